#!/usr/bin/env python3
"""Seeds of tests/fuzz/fuzz_spec.c: runs with everything that may be asked for, and one for each thing that may not.

usage: fuzz_spec.py FOLDER"""
import os
import sys

GOOD = ["arg=/bin/sh", "arg=-c", "arg=", "env=A=b=c", "path=TOOLS=tools/bin", "prepend=PATH=bin", "prepend=NEW=bin", "unset=A", "fresh=build", "mkdir=home/tmp", "cwd=build", "idle=1200000", "total=1", "grace=10", "alone=0", "secret=K=key",
        "secret_file=F=other", "stdin=text", "stdin_secret=key", "report=.report", "limit_bytes=4096", "limit_lines=16", "log=out=build/out.log", "log=two=two"]
OPEN = ["arg=cat", "input=open", "pty=80x25", "env=TERM=dumb", "unset=TERM"]
VALUES = ["value=key=v\n", "value=other=two\nlines"]
NOT = ["arg=", "env=DROVER_COMMAND=1-8", "path=DROVER_COMMAND=x", "secret=DROVER_COMMAND=key", "unset=DROVER_COMMAND", "unset=A=b", "env==b", "env=A", "path=P=../x", "path=P=/x", "prepend=P=..", "mkdir=../x", "fresh=.", "fresh=x/..", "cwd=/", "report=..",
       "log=x=.", "log=x=../x", "log=/=x", "log=x", "idle=-1", "total=1s", "limit_bytes=4095", "limit_lines=15", "secret=K=../k", "secret_file=F=", "stdin_secret=a/b", "input=closed", "pty=0x25", "pty=80x1000000", "pty=80", "new=1"]


def seed(folder, name, run, values=()):
    run, values = ("".join(r + "\0" for r in what).encode() for what in (run, values))
    with open(f"{folder}/{name}", "wb") as f:
        f.write(len(run).to_bytes(2, "big") + run + values)


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    seed(folder, "all", GOOD, VALUES)
    seed(folder, "open", OPEN)
    seed(folder, "no-values", GOOD, VALUES[:1])
    seed(folder, "given-and-open", OPEN + ["stdin=x"])
    seed(folder, "logs", ["arg=x"] + [f"log=l{i}=l{i}" for i in range(9)])
    for i, line in enumerate(NOT):
        seed(folder, f"not-{i}", ["arg=x", line] if line != "arg=" else [line])


main()
