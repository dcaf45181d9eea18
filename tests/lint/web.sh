#!/bin/bash
# The page's files: whole modules of JavaScript, and nothing that turns text into markup or code, nothing inline, nothing of other hosts, no file too long. The policy that the master sends forbids most of it too; this tells at once.
cd "$(dirname "$0")/../.." && exec python3 - <<'PY'
import glob, re, subprocess, sys

LINES = 300
EVERYWHERE = [
    (r"\b(inner|outer)HTML\b", "text must go in as text (dom.js)"),
    (r"insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|srcdoc", "text must go in as text (dom.js)"),
    (r"\beval\s*\(|new\s+Function\b|\bset(Timeout|Interval)\s*\(\s*['\"`]", "no code from text"),
    (r"javascript:", "no code in an address"),
    (r"(?i)\b(https?|wss?|ftp):\s*//(?!www\.w3\.org/2000/svg['\"])", "no other host is named"),
    (r"@import\b|(?i:url\()\s*['\"]?\s*(//|[a-z]+:)", "no style from elsewhere"),
    (r"\.style\b(?!\s*[,;)}=:])|style\s*:\s*['\"`]|cssText", "no inline style: use a class"),
    (r"\bimport\s*\(", "no module is loaded at run time"),
]
HTML = [
    (r"(?i)\son[a-z]+\s*=", "no handler in an attribute"),
    (r"(?i)\sstyle\s*=|<style", "no inline style"),
    (r"(?i)<script(?![^>]*\ssrc=)[^>]*>|<script[^>]*>\s*[^<\s]", "no script inside the page"),
    (r"(?i)<(iframe|object|embed|base|form(?!\s+method=\"dialog\"))\b", "not in this page"),
    (r"(?i)\s(src|href)\s*=\s*\"(?!\{root\}|#)", "references begin with {root}"),
]
bad = 0
files = sorted(glob.glob("master/web/*"))
for path in files:
    text = open(path, encoding="utf-8").read()
    rules = EVERYWHERE + (HTML if path.endswith(".html") else [])
    for n, line in enumerate(text.splitlines(), 1):
        for pattern, why in rules:
            if re.search(pattern, line):
                bad += 1
                print(f"{path}:{n}: {why}: {line.strip()[:80]}")
    if path.endswith(".js"):
        said = subprocess.run(["node", "--input-type=module", "--check"], input=text, capture_output=True, text=True)
        if said.returncode:
            bad += 1
            print(f"{path}: " + "\n".join(said.stderr.splitlines()[:5]))
    if text.count("\n") > LINES:
        bad += 1
        print(f"{path}:1: {text.count(chr(10))} lines, the limit is {LINES}")
# What is imported is there, and is preloaded, so that a page comes in two round trips; nothing lies about unused.
page = open("master/web/index.html", encoding="utf-8").read()
used = set(re.findall(r"\{version\}/([a-z0-9.-]+)", page)) | {"index.html", "stream-worker.js"}
for path in files:
    for name in re.findall(r"from '\./([a-z0-9.-]+)'", open(path, encoding="utf-8").read()):
        if f"master/web/{name}" not in files:
            bad += 1
            print(f"{path}:1: imports {name}, which is not there")
        elif name not in used:
            bad += 1
            print(f"{path}:1: imports {name}, which index.html does not preload")
for path in files:
    if path.split("/")[-1] not in used:
        bad += 1
        print(f"{path}:1: is used by nothing")
sys.exit(1 if bad or not files else 0)
PY
