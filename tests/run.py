#!/usr/bin/env python3
"""Runs the suites, some at a time, and sums them up; the last line is "N passed, N failed".

usage: tests/run.py BUILD SANITIZED [PATTERN ...]
BUILD and SANITIZED are build folders. A suite is a program of tests/unit or tests/seq, a unittest file, a file of tests for node (the page, the schema), a fuzzer (3 s), or a lint.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMIT_S = 420          # no suite takes longer
FUZZ_S = 3
WHY = re.compile(r"(?:FAIL|ERROR): |\[  FAILED  \] test|not ok \d|.*(?:ERROR: \w+Sanitizer|runtime error:)|SUMMARY: ")
WHYS, WHY_LINES = 5, 25
JOBS = (os.cpu_count() or 1) + 2  # suites wait more than they reckon
BY_HAND = ("test_hosts.py",)  # make hosts: two hosts with systemd, root and some minutes
# Under the sanitizers a whole system costs five times the processor time; what these are about is not memory. make soak runs them sanitized too (DROVER_SANITIZE_ALL=1).
PLAIN = ("test_git.c", "test_backup.py", "test_config.py", "test_hostile.py", "test_decide.py", "test_schedulers.py", "test_web.py", "test_restore.py", "test_work.py", "test_timed.py", "test_rules_changes.py", "test_rules_stable.py", "test_rules_timed.py", "test_rules_sets.py", "test_rules_needs.py", "test_matrix.py", "test_needs.py", "test_pause.py", "test_try.py", "test_proxy.py", "test_notify.py", "test_doctor.py", "test_worker_install.py", "test_worker_proxy.py")
AS_SHIPPED = ("test_worker.py", "test_transcripts.py", "test_packages.py", "test_hosts.py")  # the programs themselves; the sanitized ones run in the system's tests


def suites(build, san, patterns):
    found = []
    for path in sorted(glob.glob(f"{TOP}/tests/lint/*.sh")):
        found.append((rel(path), ["bash", path], build, "lint"))
    for path in sorted(glob.glob(f"{TOP}/tests/unit/test_*.c") + glob.glob(f"{TOP}/tests/seq/test_*.c")):
        where = build if os.path.basename(path) in PLAIN and not os.environ.get("DROVER_SANITIZE_ALL") else san
        found.append((rel(path), [f"{where}/tests/{os.path.basename(path)[:-2]}"], where, "cmocka"))
    for path in sorted(glob.glob(f"{TOP}/tests/fuzz/fuzz_*.c")):
        name = os.path.basename(path)[:-2]
        corpus = f"{san}/corpus/{name}"
        os.makedirs(corpus, exist_ok=True)
        seeds = f"{TOP}/tests/fuzz/seeds/{name}"  # with what is hard to come by: whole files of a language, its words
        if os.path.exists(f"{seeds}.py"):  # made from what other tests have
            subprocess.run([sys.executable, f"{seeds}.py", f"{corpus}-seeds"], check=True)
            seeds = f"{corpus}-seeds"
        more = ([f"-dict={seeds}.dict"] if os.path.exists(f"{seeds}.dict") else []) + [corpus] + ([seeds] if os.path.isdir(seeds) else [])
        cmd = [f"{san}/fuzz/{name}", f"-max_total_time={FUZZ_S}", "-rss_limit_mb=1024", "-verbosity=0", f"-artifact_prefix={corpus}-", *more]
        found.append((rel(path), cmd, san, "fuzz"))
    for path in sorted(glob.glob(f"{TOP}/tests/flow/test_*.py") + glob.glob(f"{TOP}/tests/fault/test_*.py")):
        if os.path.basename(path) in BY_HAND:
            continue
        plain = os.path.basename(path) in PLAIN and not os.environ.get("DROVER_SANITIZE_ALL")
        where = build if plain or "/fault/" in path or os.path.basename(path) in AS_SHIPPED else san
        found.append((rel(path), [sys.executable, path], where, "unittest"))
    for path in sorted(glob.glob(f"{TOP}/tests/browser/test_*.mjs") + glob.glob(f"{TOP}/tests/browser/unit/*.mjs") + glob.glob(f"{TOP}/tests/schema/test_*.mjs")):
        found.append((rel(path), ["node", "--test-reporter=tap", path], build, "node"))
    # The long ones first, so that nothing is waited for at the end.
    found.sort(key=lambda s: (s[3] not in ("unittest", "node"), s[3] == "lint"))
    return [s for s in found if not patterns or any(p in s[0] for p in patterns)]


def rel(path):
    return os.path.relpath(path, TOP)


def counts(kind, text, code):
    """(passed, failed) of a suite, from what its runner printed; a suite that printed no count counts as one."""
    if kind == "unittest":
        ran = re.search(r"^Ran (\d+) tests?", text, re.M)
        bad = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", text))
        skipped = sum(int(n) for n in re.findall(r"skipped=(\d+)", text))
        if ran:
            total = int(ran.group(1)) - skipped
            return max(0, total - bad), bad if code == 0 else max(1, bad)
    if kind == "cmocka":
        passed = sum(int(n) for n in re.findall(r"\[  PASSED  \] (\d+) test", text))
        failed = sum(int(n) for n in re.findall(r"\[  FAILED  \] (\d+) test", text))
        if passed or failed:
            return passed, failed if code == 0 else max(1, failed)
    if kind == "node":
        told = {word: int(n) for word, n in re.findall(r"^# (tests|pass|fail|cancelled) (\d+)", text, re.M)}
        if told.get("tests"):
            return told["pass"], told["fail"] + told["cancelled"] if code == 0 else max(1, told["fail"] + told["cancelled"])
        return 0, 1
    return (1, 0) if code == 0 else (0, 1)


def run(suite):
    name, command, where, kind = suite
    env = dict(os.environ, DROVER_BUILD=where, DROVER_CLI=f"{where}/drover", DROVER_API=f"{where}/tests/api_main", DROVER_BROWSER=f"{where}/browser", DROVER_SCHEMA=f"{where}/schema", ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:exitcode=99", UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1",
               PYTHONDONTWRITEBYTECODE="1")
    begin = time.monotonic()
    try:
        p = subprocess.run(command, cwd=TOP, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S)
        text, code = p.stdout.decode("utf-8", "replace"), p.returncode
    except subprocess.TimeoutExpired as e:
        text, code = (e.stdout or b"").decode("utf-8", "replace") + f"\ntook longer than {LIMIT_S} s\n", 124
    except OSError as e:
        text, code = str(e), 127
    passed, failed = counts(kind, text, code)
    return name, passed, failed, code, time.monotonic() - begin, text


def shown(lines):
    """Of a suite that failed: first which tests and why (whoever keeps only the head of this has that), then the end of all it said."""
    why = [i for i, line in enumerate(lines) if WHY.match(line)]
    first = []
    for i in why[:WHYS]:
        end = next((k for k in range(i + 1, min(len(lines), i + WHY_LINES)) if lines[k].startswith("=====")), i + WHY_LINES)
        first += lines[i:end]
    return first + (["..."] if first else []) + lines[-60:]


def main():
    build, san, *patterns = sys.argv[1:]
    todo = suites(os.path.abspath(build), os.path.abspath(san), patterns)
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("TEST_JOBS", JOBS))) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, s) for s in todo]):
            name, ok, bad, code, seconds, text = done.result()
            passed, failed = passed + ok, failed + bad
            print(f"{'ok  ' if not bad else 'FAIL'}  {name:44} {ok:5} passed {bad:3} failed  {seconds:6.1f} s", flush=True)
            if bad:
                print("".join(f"      | {line}\n" for line in shown(text.splitlines())), flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
