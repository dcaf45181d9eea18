#!/bin/bash
# The table of checks in docs/operations.md is master/api/doctor.def. `doctor.sh --print` prints it.
cd "$(dirname "$0")/../.." || exit 1
table() { sed -n 's/^D(\([a-z]*\), "\(.*\)")$/| \1 | \2 |/p' master/api/doctor.def; }
if [ "${1:-}" = --print ]; then
  table
  exit
fi
[ "$(table | wc -l)" = "$(grep -c '^D(' master/api/doctor.def)" ] || { echo "master/api/doctor.def: a row is not understood"; exit 1; }
diff <(table) <(sed -n '/^| check | what is looked at |$/,/^$/p' docs/operations.md | tail -n +3 | sed '/^$/d') >/dev/null && exit
echo "docs/operations.md: the table of checks is not that of master/api/doctor.def (bash tests/lint/doctor.sh --print)"
exit 1
