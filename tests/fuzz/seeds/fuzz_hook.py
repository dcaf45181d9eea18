#!/usr/bin/env python3
"""Seeds of tests/fuzz/fuzz_hook.c, from the deliveries in tests/hooks: one file each, and their words as a dictionary.

usage: fuzz_hook.py FOLDER
Bytes that come of nothing never become a delivery in the seconds that a fuzzer has: with these it begins inside of each dialect."""
import glob
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(os.path.dirname(HERE))
EVENT = ("X-GitHub-Event", "X-Gitlab-Event", "X-Gitea-Event", "X-Forgejo-Event", "X-Event-Key")


def table(name, text):
    return [bytes(s, "utf-8").decode("unicode_escape") for s in re.findall(r'"((?:[^"\\]|\\.)*)"', re.search(name + r"\[\] = \{(.*?)\};", text, re.S)[1])]


def words(x):
    if isinstance(x, dict):
        for k, v in x.items():
            yield k
            yield from words(v)
    elif isinstance(x, list):
        for v in x:
            yield from words(v)
    elif isinstance(x, str) and re.fullmatch(r"[A-Za-z_:/]{2,24}", x):
        yield x


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(os.path.dirname(HERE), "fuzz_hook.c"), encoding="utf-8") as f:
        text = f.read()
    names, events = table("names", text), table("events", text)
    seen, n = set(), 0
    for path in sorted(glob.glob(f"{TESTS}/hooks/*.json")):
        dialect = os.path.basename(path)[:-5]
        if dialect not in names:
            continue
        with open(path, encoding="utf-8") as f:
            shapes = json.load(f)
        for s in shapes:
            event = next(s["headers"][h] for h in EVENT if h in s["headers"])
            if event not in events:
                sys.exit(f"{path}: fuzz_hook.c does not know the event {event}")
            for name in [dialect] + (["forgejo"] if dialect == "gitea" else []):
                with open(os.path.join(folder, f"{name}-{n}"), "wb") as f:
                    f.write(bytes((names.index(name), events.index(event), 0)) + json.dumps(s["body"]).encode())
                n += 1
            seen |= set(words(s["body"]))
    with open(folder.rstrip("/") + ".dict", "w", encoding="ascii") as f:
        f.writelines(f'"\\"{w}\\""\n' for w in sorted(seen))


if __name__ == "__main__":
    main()
