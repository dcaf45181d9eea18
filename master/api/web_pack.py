#!/usr/bin/env python3
"""Packs master/web into one C file: each file gzipped, with the hash of its contents. usage: web_pack.py FOLDER-OF-FILES TYPES-DEF OUTPUT-FOLDER

index.html goes in once for each depth of a page's address, with {root} replaced by as many "../" as lead up from there: so every reference
is relative, and the page works under any path that a proxy puts in front. {version} is the hash of all files, which makes their addresses
good for ever."""
import gzip
import hashlib
import os
import re
import sys

DEPTHS = 5        # as WEB_DEPTHS in web.h
HASH_DIGITS = 20  # of an ETag
SIZE_MAX = 1 << 20


def digest(data):
    return hashlib.sha256(data).hexdigest()[:HASH_DIGITS]


def row(name, kind, data, folder):
    path = os.path.join(folder, name + ".gz")
    packed = gzip.compress(data, 9, mtime=0)
    with open(path, "wb") as f:
        f.write(packed)
    symbol = "web_" + re.sub(r"[^a-z0-9]", "_", name)
    blob = (f'extern const unsigned char {symbol}[];\n__asm__(".section .rodata\\n.global {symbol}\\n{symbol}:\\n.incbin \\"{path}\\"\\n.byte 0\\n.previous\\n");\n')
    return blob, f'  {{ "{name}", "{kind}", "{digest(data)}", {symbol}, {len(packed)}, {len(data)} }},\n'


def main(source, types, folder):
    kinds = dict(re.findall(r'^T\("(\w+)", "([^"]+)"\)', open(types, encoding="utf-8").read(), re.M))
    os.makedirs(folder, exist_ok=True)
    files, index = {}, None
    for name in sorted(os.listdir(source)):
        with open(os.path.join(source, name), "rb") as f:
            data = f.read()
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*\.[a-z]+", name) or name.rsplit(".")[-1] not in kinds or len(data) > SIZE_MAX:
            sys.exit(f"{source}/{name}: not a name, an ending ({types}) or a size that can be served")
        if name == "index.html":
            index = data
        else:
            files[name] = data
    if index is None:
        sys.exit(f"{source}: there is no index.html")
    version = digest("\n".join(f"{n} {digest(d)}" for n, d in files.items()).encode())
    blobs, assets, pages = "", "", ""
    for name, data in files.items():
        blob, line = row(name, kinds[name.rsplit(".")[-1]], data, folder)
        blobs, assets = blobs + blob, assets + line
    for depth in range(DEPTHS):
        data = index.replace(b"{root}", b"../" * depth).replace(b"{version}", version.encode())
        blob, line = row(f"index{depth}", kinds["html"], data, folder)
        blobs, pages = blobs + blob, pages + line
    with open(os.path.join(folder, "web_files.c"), "w", encoding="utf-8") as f:
        f.write(f'/* Made by master/api/web_pack.py. */\n#include "master/api/web.h"\n\n{blobs}\nconst char web_version[] = "{version}";\n'
                f"const struct web_file web_assets[] = {{\n{assets}}};\nconst size_t web_assets_count = sizeof web_assets / sizeof *web_assets;\n"
                f"const struct web_file web_pages[WEB_DEPTHS] = {{\n{pages}}};\n")


main(*sys.argv[1:4])
