#!/bin/bash
# docs/states.md is made from the tables of states in the sources. `states.sh --print > docs/states.md` writes it anew.
cd "$(dirname "$0")/../.." || exit 1
make_page() {
  python3 - <<'PY'
import glob, re

WHAT = {
    "master/changes/githelper.c": "A request to the git helper", "master/changes/gitproc.c": "A process of the git helper", "master/api/call.c": "An HTTP call", "master/dispatch/run.c": "A build in progress",
    "master/db/db.c": "The database as the master sees it", "master/db/db_conn.c": "One database connection", "master/db/private_pg.c": "The private PostgreSQL",
    "master/workers/session.c": "A worker's session", "master/workers/link.c": "A worker's link, in the master", "master/steps/git.c": "Step: checkout by git", "master/steps/svn.c": "Step: checkout by svn", "master/steps/hg.c": "Step: checkout by hg",
    "master/steps/shell.c": "Step: run", "master/steps/trigger.c": "Step: trigger", "worker/command.c": "A command, in the worker's agent", "worker/link.c": "The worker's link",
    "worker/minder.c": "A command, in its minder", "master/workers/work.c": "The work folders of a connected worker",
    "master/workers/dial.c": "A worker that the master dials by ssh",
    "master/workers/orders.c": "What a connected worker's agent is told to do",
}
print("# States\n")
print("Made from the tables of states in the sources by `tests/lint/states.sh --print`; `make lint` compares. A state's name is what logs, the API and the")
print("database show. A move that is not here stops the process at the place where it is made (`common/sm.h`); a state without successors is an end.")
for path in sorted(f for d in ("master", "worker") for f in glob.glob(d + "/**/*.c", recursive=True)):
    text = open(path, encoding="utf-8").read()
    for table in re.finditer(r"struct sm_row (\w+)\[\w*\] = \{(.*?)\n\};", text, re.S):
        rows = re.findall(r'\[(\w+)\]\s*=\s*\{\s*"([^"]+)",\s*([^}]*?)\s*\}', table[2])
        names = {const: name for const, name, _ in rows}
        print(f"\n## {WHAT.get(path, path)}\n\n`{path}`\n\n| state | next |\n| --- | --- |")
        for _, name, moves in rows:
            to = [names[c] for c in re.findall(r"SM_TO\((\w+)\)", moves)]
            print(f"| {name} | {', '.join(to)} |")
PY
}
if [ "$1" = --print ]; then
  make_page
  exit
fi
make_page | diff - docs/states.md | sed -n 's/^[0-9,]*[acd]\([0-9]*\).*/docs\/states.md:\1: differs from the tables in the sources/p;s/^\([<>] .*\)/  \1/p' | head -40
make_page | cmp -s - docs/states.md
