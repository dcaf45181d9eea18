#!/bin/bash
# The manual page's WORKER.CONF and OPTIONS have the keys of worker/conf.def, all of them and no others, in its order.
cd "$(dirname "$0")/../.." && exec python3 - <<'PY'
import re, sys

bad = 0


def say(where, what):
    global bad
    bad += 1
    print(f"{where}: {what}")


keys = []
for n, line in enumerate(open("worker/conf.def", encoding="utf-8"), 1):
    m = re.match(r'C\((\w+), "([^"]+)", (OPTION|NO_OPTION), "', line)
    if m:
        keys.append(m.groups())
    elif line.startswith("C("):
        say(f"worker/conf.def:{n}", "not understood")
if not keys:
    say("worker/conf.def:1", "no keys found")

section, terms = "", {}
for n, line in enumerate(open("docs/drover-worker.8", encoding="utf-8"), 1):
    if line.startswith(".SH "):
        section = line[4:].strip()
    m = re.match(r"\.(?:B|BI|BR) (\S+)(.*)", line)
    if m and previous == ".TP":
        terms.setdefault(section, []).append((n, m[1].replace("\\-", "-").strip('"')))
    previous = line.strip()

in_file = terms.get("WORKER.CONF", [])
if [t for _, t in in_file] != [k for k, _, _ in keys]:
    say(f"docs/drover-worker.8:{in_file[0][0] if in_file else 1}", f"WORKER.CONF has {[t for _, t in in_file]}, worker/conf.def {[k for k, _, _ in keys]}")
options = [t for _, t in terms.get("OPTIONS", [])]
for k, _, option in keys:
    name = "--" + k.replace("_", "-")
    if (name in options) != (option == "OPTION"):
        say("docs/drover-worker.8:1", f"OPTIONS {'lacks' if option == 'OPTION' else 'must not have'} {name}")
sys.exit(1 if bad else 0)
PY
