#!/bin/bash
# docs/config.md is what `drover-master --reference` prints.
cd "$(dirname "$0")/../.." || exit 1
build=${DROVER_BUILD:-build}
[ -x "$build/drover-master" ] || { echo "$build/drover-master:0: not built"; exit 1; }
"$build/drover-master" --reference | diff - docs/config.md | sed -n 's/^\([0-9,]*\)[acd]\([0-9]*\).*/docs\/config.md:\2: differs from drover-master --reference/p;s/^\([<>] .*\)/  \1/p' | head -40
"$build/drover-master" --reference | cmp -s - docs/config.md
