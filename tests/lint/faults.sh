#!/bin/bash
# docs/faults.md and the tests hold together: each row is shown by tests that exist, and has what was measured and when.
cd "$(dirname "$0")/../.." && exec python3 - <<'PY'
import re, sys

sys.path.insert(0, "tests/lib")
import suites

PAGE = "docs/faults.md"
ROWS = (3, 4, 7, 8, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 26)
bad, seen, tests = 0, [], suites.tests()


def say(where, what):
    global bad
    bad += 1
    print(f"{where}: {what}")


for n, line in enumerate(open(PAGE, encoding="utf-8"), 1):
    if not re.match(r"\| *\d", line):
        continue
    where, m = f"{PAGE}:{n}", re.fullmatch(r"\| (\d+) \| (\S.*?) \| (\S.*?) \| (\S.*?) \| (\S.*?) \|\n", line)
    if not m:
        say(where, "a row is | number | what is asked for | shown by | long | measured |")
        continue
    seen.append(int(m[1]))
    for t in re.split(r", *", m[3]):
        if t not in tests:
            say(where, f"there is no test {t}")
    if m[5] != "-" and not re.search(r"20\d\d-\d\d-\d\d", m[5]):
        say(where, "what was measured has no date")
if tuple(seen) != ROWS:
    say(PAGE, f"rows {seen}, not {list(ROWS)}")
sys.exit(1 if bad else 0)
PY
