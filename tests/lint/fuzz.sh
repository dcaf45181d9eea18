#!/bin/bash
# docs/faults.md and tests/fuzz hold together: each fuzzer has its row, and calls something of each file that the row says it tries.
cd "$(dirname "$0")/../.." && exec python3 - <<'PY'
import glob, os, re, sys

sys.path.insert(0, "tests/lib")
import suites

PAGE = "docs/faults.md"
bad, seen, tests = 0, set(), suites.tests()


def say(where, what):
    global bad
    bad += 1
    print(f"{where}: {what}")


def functions(path):
    """Those that others may call."""
    return set(re.findall(r"^(?!static\b)[a-z][\w \*]*?\b(\w+)\([^;]*$", open(path, encoding="utf-8").read(), re.M))


def check(where, files, by):
    fuzzers = [f for f in by if f.startswith("fuzz_")]
    for t in by:
        if t in fuzzers and not os.path.exists(f"tests/fuzz/{t}.c"):
            say(where, f"there is no fuzzer {t}")
        elif t not in fuzzers and t not in tests:
            say(where, f"there is no test {t}")
    seen.update(fuzzers)
    text = "".join(open(f"tests/fuzz/{f}.c", encoding="utf-8").read() for f in fuzzers if os.path.exists(f"tests/fuzz/{f}.c"))
    for path in files:
        if not os.path.exists(path):
            say(where, f"there is no file {path}")
        elif fuzzers and not functions(path) & set(re.findall(r"\b(\w+)\(", text)):
            say(where, f"{' and '.join(fuzzers)}: nothing of {path} is called")


section = open(PAGE, encoding="utf-8").read().partition("\n## What reads bytes of others\n")
first = section[0].count("\n") + 2
for n, line in enumerate(section[2].splitlines(), first):
    m = re.fullmatch(r"\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|", line)
    if m and m[3] != "---" and m[3] != "read by":
        check(f"{PAGE}:{n}", re.split(r", *", m[3]), re.split(r", *", m[4]))
for name in sorted({os.path.basename(p)[:-2] for p in glob.glob("tests/fuzz/fuzz_*.c")} - seen):
    say(PAGE, f"{name} is in no row")
sys.exit(1 if bad else 0)
PY
