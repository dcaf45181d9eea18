#!/bin/bash
# The tables of docs/api.md (methods, and addresses of the page) are master/api/routes.def.
cd "$(dirname "$0")/../.." && exec python3 - <<'PY'
import re, sys

STRING = r'"((?:[^"\\]|\\.)*)"'
table, addresses = [], []
for n, line in enumerate(open("master/api/routes.def", encoding="utf-8"), 1):
    m = re.match(r'R\((\w+),\s*' + STRING + r',\s*(\w+),\s*\w+,\s*' + STRING + r',\s*' + STRING + r'\)', line)
    a = re.match(r'A\((\w+),\s*' + STRING + r',\s*(\w+),\s*\w+,\s*' + STRING + r'\)', line)
    p = re.match(r'P\(' + STRING + r',\s*' + STRING + r'\)', line)
    if p:
        addresses.append((n, ("", p[1], p[2])))
        continue
    if m:
        row = (m[1], m[2], m[3].lower(), m[5])
    elif a:
        row = (a[1], a[2], a[3].lower(), a[4])
    elif re.match(r"[RAP]\(", line):
        sys.exit(f"master/api/routes.def:{n}: not understood")
    else:
        continue
    table.append((n, row))

page, pages = [], []
for n, line in enumerate(open("docs/api.md", encoding="utf-8"), 1):
    m = re.match(r"\| (GET|POST|PUT|PATCH|DELETE) \| (\S+) \| (\w+) \| (.*) \|$", line)
    if m:
        page.append((n, m.groups()))
    m = re.match(r"\| (/\S*) \| (.*) \|$", line)
    if m:
        pages.append((n, ("", *m.groups())))

bad = 0


def compare(table, page):
    global bad
    for i in range(max(len(table), len(page))):
        if i >= len(page):
            print(f"master/api/routes.def:{table[i][0]}: not in docs/api.md: {' '.join(table[i][1][:2])}")
        elif i >= len(table):
            print(f"docs/api.md:{page[i][0]}: not in master/api/routes.def: {' '.join(page[i][1][:2])}")
        elif table[i][1] != page[i][1]:
            print(f"docs/api.md:{page[i][0]}: master/api/routes.def:{table[i][0]} says {' | '.join(table[i][1])} |")
        else:
            continue
        bad += 1


compare(table, page)
compare(addresses, pages)
sys.exit(1 if bad or not table or not addresses else 0)
PY
