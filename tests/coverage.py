#!/usr/bin/env python3
"""Which lines of the source run in the module tests, the fuzzers' seeds and the tests that drive the worker; run by `make coverage`, which has built all of it to count.

usage: tests/coverage.py BUILD [--missing] [--table]
--missing: also the numbers of lines that did not run. --table: only the table, of what was counted before.
Fails where a file that must be covered (below) has less than LEAST percent, or a suite fails. Not counted is what the simulation and the model check run: their copies of the code are built without counters.
"""
import collections
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LEAST = 90
# What reads bytes of others: the wire, and in the worker its settings, what the master says, its own files (another version may have written them), a proxy's answer, what commands leave.
COVERED = sorted(glob.glob("proto/*.c", root_dir=TOP)) + [f"worker/{name}.c" for name in (
    "admin", "conf", "confine", "cut", "fileop", "fileop_get", "fileop_list", "fileop_move", "fileop_page", "fileop_put", "fileop_tree", "ident", "input", "mask", "mask_forms", "member", "notice", "proxy", "report", "secrets", "segment", "serve", "small", "spec", "spool", "veil")]
SUITES = ["tests/unit/", "tests/seq/test_shell.c", "tests/seq/test_tables.c", "tests/seq/test_trigger.c"] + [f"tests/flow/test_{name}.py" for name in (
    "worker", "worker_install", "worker_proxy", "followed", "output_limits", "upgrade", "second", "report", "secrets", "rules_pools", "input", "attach")]
FILES_AT_ONCE = 40


def run_all(build):
    """True: all suites are good."""
    for path in glob.glob(f"{build}/**/*.gcda", recursive=True):
        os.unlink(path)
    env = dict(os.environ, DROVER_COVER="1", TEST_JOBS=os.environ.get("TEST_JOBS", str(os.cpu_count() or 1)))  # what counts its lines is slow: of many at once those that wait for each other would give up
    good = subprocess.run([sys.executable, f"{TOP}/tests/run.py", build, build, *SUITES], env=env).returncode == 0
    for path in sorted(glob.glob(f"{TOP}/tests/fuzz/seeds/*")):
        name = os.path.basename(path).partition(".")[0]
        with tempfile.TemporaryDirectory() as made:
            if path.endswith(".py"):
                subprocess.run([sys.executable, path, made], check=True)
            files = sorted(glob.glob(f"{made if path.endswith('.py') else path}/*"))
            good = (not files or subprocess.run([f"{build}/replay/{name}", *files]).returncode == 0) and good
    return good


def count(build):
    """{source: {line: times}} of all copies of the objects."""
    lines = collections.defaultdict(dict)
    notes = sorted(glob.glob(f"{build}/**/*.gcno", recursive=True))
    for i in range(0, len(notes), FILES_AT_ONCE):
        told = subprocess.run(["gcov", "--json-format", "--stdout", *notes[i:i + FILES_AT_ONCE]], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        for text in told.splitlines():
            for f in json.loads(text)["files"]:
                if os.path.exists(os.path.join(TOP, f["file"])) and not os.path.isabs(f["file"]):
                    of = lines[f["file"]]
                    for line in f["lines"]:
                        of[line["line_number"]] = max(line["count"], of.get(line["line_number"], 0))
    return lines


def ranges(numbers):
    """1 2 3 7 as "1-3 7"."""
    out = []
    for n in numbers:
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return " ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in out)


def percent(ran, of):
    return 100.0 * ran / of if of else 100.0


def table(lines, missing):
    """Prints it; how many files have too little."""
    bad = 0
    print(f"{'must be covered':32} {'lines':>6} {'ran':>6}")
    for name in COVERED:
        of = lines.get(name, {})
        ran = sum(n > 0 for n in of.values())
        low = not of or percent(ran, len(of)) < LEAST
        bad += low
        print(f"{name:32} {len(of):6} {ran:6} {percent(ran, len(of)) if of else 0:6.1f} %{f'  below {LEAST} %' if low else ''}")
        if missing:
            print(f"    {ranges(sorted(k for k, n in of.items() if not n))}")
    folders = collections.defaultdict(lambda: [0, 0])
    for name, of in lines.items():
        if not name.startswith("tests/"):
            sums = folders[os.path.dirname(name)]
            sums[0] += len(of)
            sums[1] += sum(n > 0 for n in of.values())
    print(f"\n{'folders':32} {'lines':>6} {'ran':>6}")
    for name, (of, ran) in sorted(folders.items()):
        print(f"{name:32} {of:6} {ran:6} {percent(ran, of):6.1f} %")
    return bad


def main():
    build = os.path.abspath(sys.argv[1])
    if not shutil.which("gcov"):
        sys.exit("coverage: there is no gcov (it comes with gcc)")
    good = "--table" in sys.argv or run_all(build)
    bad = table(count(build), "--missing" in sys.argv)
    print(f"coverage: {bad} of {len(COVERED)} files below {LEAST} %{'' if good else '; a suite failed'}")
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
