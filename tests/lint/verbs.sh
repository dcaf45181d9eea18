#!/bin/bash
# The table of docs/protocol.md, section 8, is proto/verbs.def.
cd "$(dirname "$0")/../.." && exec python3 - <<'PY'
import re, sys

table = []
for n, line in enumerate(open("proto/verbs.def", encoding="utf-8"), 1):
    m = re.match(r'V\((\w+),\s*(\w+),\s*"([^"]*)",\s*(\w+)\)', line)
    if m:
        name, side, tokens, blob = m.groups()
        table.append((n, f"| {name} | {side.lower()} | {tokens} | {'' if blob == 'NO_BLOB' else '≤ ' + blob} |"))
    elif line.startswith("V("):
        sys.exit(f"proto/verbs.def:{n}: not understood")

page, inside = [], False
for n, line in enumerate(open("docs/protocol.md", encoding="utf-8"), 1):
    if line.startswith("## "):
        inside = line.startswith("## 8.")
    if inside and line.startswith("| ") and not line.startswith(("| verb", "| ---")):
        page.append((n, line.strip()))


def plain(row):
    return [c.strip() for c in row.strip("|").split("|")]


bad = 0
for i in range(max(len(table), len(page))):
    if i >= len(page):
        print(f"proto/verbs.def:{table[i][0]}: not in docs/protocol.md: {table[i][1]}")
    elif i >= len(table):
        print(f"docs/protocol.md:{page[i][0]}: not in proto/verbs.def: {page[i][1]}")
    elif plain(table[i][1]) != plain(page[i][1]):
        print(f"docs/protocol.md:{page[i][0]}: proto/verbs.def says {table[i][1]}")
    else:
        continue
    bad += 1
if not table:
    print("proto/verbs.def:1: no verbs found")
sys.exit(1 if bad or not table else 0)
PY
