#!/usr/bin/env python3
"""Runs the suites, some at a time, and sums them up; the last line is "N passed, N failed".

usage: tests/run.py BUILD SANITIZED [PATTERN ...]
BUILD and SANITIZED are build folders. A suite is a program of tests/unit or tests/seq, a unittest file, a file of tests for node (the page, the schema), a fuzzer (2 s), or a lint.
"""
import atexit
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIMIT_S = 420   # no suite takes longer, on a machine that is not busy
FUZZ_S = 2
WHY = re.compile(r"(?:FAIL|ERROR): |\[  FAILED  \] test|not ok \d|.*(?:ERROR: \w+Sanitizer|runtime error:)|SUMMARY: ")
WHYS, WHY_LINES = 5, 25
RECAP, RECAP_LINES = 6, 12
SECOND_MAX = 3  # suites that are tried again; where more fail it is no matter of a busy machine
JOBS = (os.cpu_count() or 1) + 2  # suites wait more than they reckon
MEMORY_DISK, ROOM_MIN = "/dev/shm", 8 << 30
SEED_FROM = 3  # suites of whole systems; fewer start for themselves
BY_HAND = ("test_hosts.py",)  # make hosts: two hosts with systemd, root and some minutes
# Under the sanitizers a whole system costs five times the processor time; what most of these are about is not memory. make soak runs all of them sanitized (DROVER_SANITIZE_ALL=1).
SANITIZED = ("test_api.py", "test_hook_dialects.py", "test_liar.py", "test_secrets.py", "test_system.py", "test_vcs_helper.py")
PLAIN = ("test_git.c", "test_checkouts.c", "test_private_pg.c", "test_dispatch_model.c", "test_link_sim.c")  # of the others, which are sanitized
LONG = ("test_dispatch_model.c", "test_link_sim.c", "test_kill.py", "test_bar.py", "test_restore.py", "test_rules_hg.py", "test_rules_svn.py", "test_two_masters.py", "test_rules_timed.py", "test_rules_stable.py", "test_rules_codebases.py", "test_hooks.py",
        "test_schedulers.py", "test_work.py", "test_demo.py", "test_second.py", "test_api.py", "test_pages.mjs", "test_private_pg.c", "test_checkout_login.py", "test_codebases.py", "test_worker.py", "test_system.py", "test_xss.mjs")
AS_SHIPPED = ("test_worker.py", "test_worker_crashes.py", "test_worker_files.py", "test_worker_links.py", "test_posix.py", "test_windows.py", "test_windows_tls.py", "test_transcripts.py", "test_packages.py", "test_hosts.py")  # the programs themselves; the sanitized ones run in the system's tests


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
        words = [d for d in (f"{TOP}/tests/fuzz/seeds/{name}.dict", f"{seeds}.dict") if os.path.exists(d)]
        more = [f"-dict={d}" for d in words[:1]] + [corpus] + ([seeds] if os.path.isdir(seeds) else [])
        cmd = [f"{san}/fuzz/{name}", f"-max_total_time={FUZZ_S}", "-rss_limit_mb=1024", "-verbosity=0", f"-artifact_prefix={corpus}-", *more]
        found.append((rel(path), cmd, san, "fuzz"))
    for path in sorted(glob.glob(f"{TOP}/tests/flow/test_*.py") + glob.glob(f"{TOP}/tests/fault/test_*.py")):
        if os.path.basename(path) in BY_HAND:
            continue
        plain = os.path.basename(path) not in SANITIZED and not os.environ.get("DROVER_SANITIZE_ALL")
        where = build if plain or "/fault/" in path or os.path.basename(path) in AS_SHIPPED else san
        found.append((rel(path), [sys.executable, path], where, "unittest"))
    for path in sorted(glob.glob(f"{TOP}/tests/browser/test_*.mjs") + glob.glob(f"{TOP}/tests/browser/unit/*.mjs") + glob.glob(f"{TOP}/tests/schema/test_*.mjs")):
        found.append((rel(path), ["node", "--test-reporter=tap", path], build, "node"))
    # The long ones first, so that nothing is waited for at the end.
    found.sort(key=lambda s: (not s[0].endswith(LONG), s[3] not in ("unittest", "node"), s[3] == "lint"))
    return [s for s in found if not patterns or any(p in s[0] for p in patterns)]


def seed(build):
    """One first start for all suites whose matter it is not."""
    made = subprocess.run([sys.executable, "-c", "import drover; print(drover.make_seed())"], cwd=f"{TOP}/tests/lib", env=dict(os.environ, DROVER_BUILD=build, **({"DROVER_ROOM": ROOM} if ROOM else {})), stdout=subprocess.PIPE, text=True)
    return made.stdout.strip() or None  # what hinders a first start is told by the suites that make one


def room():
    """A file system in memory, with room, where programs may be run: making the thousand files of a database there costs a tenth. None where there is no such thing; what is killed under fault lies on a disk in any case."""
    try:
        mounts = [line.split() for line in open("/proc/mounts")]
        options = next((m[3].split(",") for m in mounts if m[1] == MEMORY_DISK and m[2] == "tmpfs"), ["noexec"])
        free, memory = os.statvfs(MEMORY_DISK), int(re.search(r"MemAvailable: +(\d+)", open("/proc/meminfo").read()).group(1)) << 10
        return MEMORY_DISK if "noexec" not in options and min(free.f_bavail * free.f_frsize, memory) >= ROOM_MIN and os.access(MEMORY_DISK, os.W_OK) else None
    except (OSError, AttributeError):
        return None


def limit():
    return LIMIT_S * min(6, max(1, os.getloadavg()[0] / (os.cpu_count() or 1) / 2))  # as tests/lib/drover.py reckons


ROOM = room()


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


def run(suite, first=None):
    name, command, where, kind = suite
    env = dict(os.environ, DROVER_BUILD=where, DROVER_CLI=f"{where}/drover", DROVER_API=f"{where}/tests/api_main", DROVER_BROWSER=f"{where}/browser", DROVER_SCHEMA=f"{where}/schema", ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:exitcode=99", UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1",
               PYTHONDONTWRITEBYTECODE="1")
    if first:
        env["DROVER_FIRST_START"] = first
    if "/fault/" in name:
        env["DROVER_DURABLE"] = "1"
    elif ROOM:
        env["DROVER_ROOM"] = ROOM
    begin, most, used = time.monotonic(), limit(), 0
    with tempfile.TemporaryFile() as said:
        try:
            p = subprocess.Popen(command, cwd=TOP, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
            late = threading.Timer(most, p.kill)
            late.start()
            _, status, usage = os.wait4(p.pid, 0)
            late.cancel()
            p.returncode = code = os.waitstatus_to_exitcode(status)
            used = usage.ru_utime + usage.ru_stime  # with all that it waited for
        except OSError as e:
            said.write(str(e).encode())
            code = 127
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    took = time.monotonic() - begin
    if took >= most:
        text, code = text + f"\ntook longer than {most:.0f} s\n", 124
    passed, failed = counts(kind, text, code)
    return name, passed, failed, took, used, text


def second(suite, text, bad, first):
    """What failed, once more and alone, so that whoever reads this knows whether it is a matter of timing. It has failed all the same: such a test has a fault, or has found a rare one."""
    name, command, where, kind = suite
    ids = re.findall(r"^(?:FAIL|ERROR): \w+ \(__main__\.(\w+\.\w+)\)", text, re.M) if kind == "unittest" else []
    if len(set(ids)) != bad:
        ids = []  # a class that could not begin: all of it
    _, passed, failed, took, _, said = run((name, [*command, *sorted(set(ids))], where, kind), first)
    print(f"alone {name:44} {passed:5} passed {failed:3} failed  {took:6.1f} s", flush=True)
    if failed:
        show(whys(said.splitlines(), WHY_LINES))


def whys(lines, most):
    """Which tests failed and why, of all that a suite said."""
    first = []
    for i in [i for i, line in enumerate(lines) if WHY.match(line)][:WHYS]:
        end = next((k for k in range(i + 1, min(len(lines), i + most)) if lines[k].startswith("=====")), i + most)
        first += lines[i:end]
    return first


def show(lines):
    print("".join(f"      | {line}\n" for line in lines), flush=True)


def again(failures):
    """Short, at the end, what failed: whoever keeps only the end of this has that."""
    for name, lines in failures[:RECAP]:
        print(f"FAIL  {name}")
        show(whys(lines, RECAP_LINES) or lines[-RECAP_LINES:])
    if len(failures) > RECAP:
        print(f"      and {len(failures) - RECAP} more")


def main():
    build, san, *patterns = sys.argv[1:]
    todo = suites(os.path.abspath(build), os.path.abspath(san), patterns)
    passed = failed = 0
    failures, tries = [], []
    first = seed(os.path.abspath(build)) if sum(s[3] in ("unittest", "cmocka") for s in todo) > SEED_FROM else None
    if first:
        atexit.register(shutil.rmtree, first, ignore_errors=True)
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("TEST_JOBS", JOBS))) as pool:
        jobs = {pool.submit(run, s, first): s for s in todo}
        for done in concurrent.futures.as_completed(jobs):
            name, ok, bad, seconds, used, text = done.result()
            passed, failed = passed + ok, failed + bad
            print(f"{'ok  ' if not bad else 'FAIL'}  {name:44} {ok:5} passed {bad:3} failed  {seconds:6.1f} s {used:6.1f} s of a processor", flush=True)
            if bad:
                lines = text.splitlines()
                failures.append((name, lines))
                tries.append((jobs[done], text, bad))
                show(whys(lines, WHY_LINES) + ["..."] + lines[-60:])
    for suite, text, bad in tries if len(tries) <= SECOND_MAX else []:
        second(suite, text, bad, first)
    again(failures)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
