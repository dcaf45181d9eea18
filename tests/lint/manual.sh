#!/bin/bash
# The manuals say what the programs say: each command and flag of the command line's tables, each option of drover-master and drover-worker, and none that isn't there.
cd "$(dirname "$0")/../.." || exit 1
build=${DROVER_BUILD:-build}
for p in drover drover-master drover-worker; do
  [ -x "$build/$p" ] || { echo "$build/$p:0: not built"; exit 1; }
done
BUILD=$build exec python3 - <<'PY'
import os, re, subprocess, sys

BUILD = os.environ["BUILD"]
bad = 0


def say(path, what, text=None):
    global bad
    bad += 1
    line = 1
    if text:
        line = next((n for n, x in enumerate(open(path, encoding="utf-8"), 1) if text in x.replace("\\-", "-")), 1)
    print(f"{path}:{line}: {what}")


def run(*argv):
    return subprocess.run([f"{BUILD}/{argv[0]}", *argv[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout


def plain(path):
    """The manual without roff: fonts, escapes, requests' names."""
    text = open(path, encoding="utf-8").read().replace("\\-", "-")
    text = re.sub(r"\\f[BIRP]|\\f\(..|\\&", "", text)
    return re.sub(r"\\\(dq", '"', text)


def options(text, foreign=None):
    """Options in it, but for lines that show another program's use."""
    lines = [x for x in text.split("\n") if not foreign or not re.search(foreign, x)]
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", "\n".join(lines)))


# The tables themselves, so that a name can't be told from its help alone.
rows = re.findall(r'^  \{ "([a-z -]+)", "[^"]*", \d+, \d+, [^;]*?, cmd_\w+, (NULL|"[^"]*")', open("master/cli/commands.c", encoding="utf-8").read(), re.M)
names = {n for n, help in rows if help != '""'}
aliases = {n for n, help in rows if help == "NULL"}
flags = set(re.findall(r"^  X\(\w+, ([a-z-]+),", open("master/cli/args.h", encoding="utf-8").read(), re.M))
if len(names) < 15 or len(flags) < 15:
    say("master/cli/commands.c", "the table was not understood")

manual = plain("docs/drover.1")
told = set()
for line in manual.split("\n"):
    m = re.match(r'\.BI?R? "?drover ([a-z]+)(?: ([a-z-]+))?', line)
    if m:
        told.add(f"{m[1]} {m[2]}" if m[2] and f"{m[1]} {m[2]}" in names | {f"{m[1]} {m[2]}"} and any(x.startswith(m[1] + " ") for x in names) else m[1])
for name in sorted(names - told - aliases):
    say("docs/drover.1", f"nothing about: drover {name}")
for name in sorted(told - names):
    say("docs/drover.1", f"there is no command: drover {name}", f"drover {name}")
for alias in sorted(aliases):
    if not re.search(rf"drover {alias}\b", manual):
        say("docs/drover.1", f"nothing about: drover {alias}")
for flag in sorted(flags):
    if not re.search(rf"(?<![\w-])--{flag}(?![\w-])", manual):
        say("docs/drover.1", f"nothing about the flag --{flag}")

for flag in sorted(options(manual, r"drover-(worker|master)\b|git diff") - {"--" + f for f in flags}):
    say("docs/drover.1", f"there is no flag {flag}", flag)

VERBS = {"drover-worker": ("install", "uninstall")}  # verbs with options of their own, which --help alone doesn't list
for program in ("drover-master", "drover-worker"):
    page = f"docs/{program}.8"
    helps = run(program, "--help") + "".join(run(program, verb, "--help") for verb in VERBS.get(program, ()))
    if program == "drover-worker":
        helps += open("worker/windows/main_windows.h", encoding="utf-8").read()  # what its help has more on Windows
    known, told = options(helps), options(plain(page), r"\bdrover [a-z]|systemctl|pg_upgrade|drover-(?!%s)" % program[7:])
    if len(known) < 4:
        say(page, f"{program} --help was not understood")
    for option in sorted(known - told):
        say(page, f"nothing about the option {option}")
    for option in sorted(told - known):
        say(page, f"{program} has no option {option}", option)
sys.exit(1 if bad else 0)
PY
