#!/bin/bash
# docs/rules.md and the tests hold together: each rule is shown by tests that exist, or says why not; numbers go up one by one; each test that is named after a rule is named by it.
cd "$(dirname "$0")/../.." && exec python3 - <<'PY'
import re, sys

sys.path.insert(0, "tests/lib")
import suites

PAGE = "docs/rules.md"
bad = 0


def say(where, what):
    global bad
    bad += 1
    print(f"{where}: {what}")


tests, named = suites.tests(), {}
for path, suite, c, own in suites.classes():
    for t in own if suite.startswith("test_rules_") else []:
        m = re.match(r"test_(\d+)_(\d+)_(\d+)_\w", t)
        if m:
            named[f"{suite}.{c}.{t}"] = ".".join(m.groups())
        else:
            say(path, f"{t} is named after no rule: test_4_1_3_what_holds")

count = {"tests": 0, "not here": 0, "later": 0}
last, shown, section = {}, {}, None
for n, line in enumerate(open(PAGE, encoding="utf-8"), 1):
    where = f"{PAGE}:{n}"
    if m := re.match(r"## (\d+\.\d+) ", line):
        section = m[1]
    if not re.match(r"\| *\d", line):
        continue
    m = re.fullmatch(r"\| (\d+\.\d+)\.(\d+) \| (\S.*?) \|(.*)\|\n", line)
    if not m:
        say(where, "a rule is | number | what holds | shown by |")
        continue
    number, cell = f"{m[1]}.{m[2]}", m[4].strip()
    if m[1] != section:
        say(where, f"{number} stands below the heading {section}")
    if int(m[2]) != last.get(m[1], 0) + 1:
        say(where, f"{number} comes after {m[1]}.{last.get(m[1], 0)}: " + ("it is there twice, or in the wrong place" if int(m[2]) <= last.get(m[1], 0) else "a number is missing"))
    last[m[1]] = int(m[2])
    reason = re.match(r"(not here|later): *(.*)", cell)
    if not cell:
        say(where, f"{number} is shown by nothing, and does not say why: a test, not here: …, or later: …")
    elif reason and not reason[2]:
        say(where, f"{number} does not say why")
    elif reason:
        count[reason[1]] += 1
    else:
        count["tests"] += 1
        for t in re.split(r", *", cell):
            shown.setdefault(t, set()).add(number)
            if t not in tests:
                say(where, f"there is no test {t}")
for t, number in sorted(named.items()):
    if number not in shown.get(t, ()):
        say(PAGE, f"{number} does not name {t}")
print(f"{sum(last.values())} rules: {count['tests']} shown by {len(shown)} tests, {count['not here']} not here, {count['later']} later")
sys.exit(1 if bad or not last else 0)
PY
