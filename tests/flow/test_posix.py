#!/usr/bin/env python3
"""The worker as an ordinary program of a POSIX system, with OpenSSL (make posix): the worker's own tests and the system's, once more. `posix` uses what this system has beyond POSIX, `plain` nothing (worker/os_posix.c).

Some cases in make check, all of them under DROVER_SOAK.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from drover import BUSY  # noqa: E402

BUILD = os.path.abspath(os.environ.get("DROVER_BUILD") or os.path.join(HERE, "..", "..", "build"))
WORKERS = {"posix": f"{BUILD}/posix/drover-worker", "plain": f"{BUILD}/posix/plain/drover-worker"}
SOAK = bool(os.environ.get("DROVER_SOAK"))
LIMIT_S = (1200 if SOAK else 120) * BUSY
SUITES = ("test_worker", "test_worker_crashes", "test_worker_files", "test_worker_links")
COMMANDS = ("test_worker.Commands.test_output_and_exit", "test_worker.Commands.test_hello", "test_worker.Commands.test_environment_is_exact", "test_worker.Commands.test_folders_and_confinement", "test_worker.Killing.test_plain", "test_worker.Killing.test_stopped",
            "test_worker.Killing.test_background_processes", "test_worker_crashes.Crashes.test_stop_leaves_commands", "test_worker_crashes.Crashes.test_agent_killed_after_exit", "test_worker_files.Files.test_operations", "test_worker_files.Files.test_hostile_paths", "test_worker_files.Files.test_hostile_trees", "test_worker_files.Files.test_usage",
            "test_worker_links.Links.test_tls", "test_worker_links.Links.test_wrong_pin", "test_worker_links.Links.test_tls_other_ciphers_and_junk")
ARM64, QEMU = f"{BUILD}/arm64/drover-worker", shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
FOREIGN = ("test_worker_files.Files.test_operations", "test_worker_files.Files.test_trees", "test_worker_files.Files.test_hostile_paths", "test_worker_links.Links.test_wrong_pin", "test_worker_links.Links.test_incarnations")  # without another process of its architecture, which this kernel may not start
TLS = ("test_worker.Commands.test_output_and_exit", "test_worker.Commands.test_environment_is_exact", "test_worker.Killing.test_sessions_and_double_forks", "test_worker_links.Links.test_tls", "test_worker_links.Links.test_wrong_pin", "test_worker_links.Links.test_tls_other_ciphers_and_junk")  # what else this one is of, the static worker is too
SYSTEM = ("test_system.Builds.test_success", "test_system.Builds.test_timeouts", "test_system.Links.test_tls")


class Again(unittest.TestCase):
    def again(self, worker, cases):
        """Suites, or tests of them, with another worker; how many passed."""
        self.assertTrue(os.path.exists(worker), "make posix")
        p = subprocess.run([sys.executable, "-m", "unittest", *cases], cwd=HERE, env=dict(os.environ, DROVER_WORKER=worker, DROVER_BUILD=BUILD), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S)
        self.assertEqual(p.returncode, 0, p.stdout[-6000:])
        ran, skipped = re.search(r"^Ran (\d+)", p.stdout, re.M), re.search(r"skipped=(\d+)", p.stdout)
        return int(ran.group(1)) - (int(skipped.group(1)) if skipped else 0)


class Posix(Again):
    def test_linked_to_the_system(self):
        for path in WORKERS.values():
            said = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=True).stdout
            self.assertIn("libssl", said)
            self.assertNotIn("bearssl", said)

    def test_plain_has_nothing_of_linux(self):
        """Not by what it links, which is the library's, but by what it calls and where it looks."""
        calls = subprocess.run(["nm", "-D", "-u", WORKERS["plain"]], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertIn(" pselect@", calls)
        for name in ("syscall", "prctl", "ppoll", "pipe2", "vfork", "wait4", "accept4", "flistxattr", "getrandom", "initgroups"):
            self.assertNotIn(f" {name}@", calls)
        with open(WORKERS["plain"], "rb") as f:
            self.assertNotIn(b"/proc/", f.read())

    def test_worker(self):
        self.assertGreaterEqual(self.again(WORKERS["posix"], SUITES if SOAK else TLS), len(TLS))

    def test_worker_plain(self):
        self.assertGreaterEqual(self.again(WORKERS["plain"], SUITES if SOAK else COMMANDS), len(COMMANDS) - 1)  # links inside the work folder

    def test_system(self):
        self.assertGreaterEqual(self.again(WORKERS["plain"], ["test_system"] if SOAK else SYSTEM), len(SYSTEM))
        if SOAK:
            self.again(WORKERS["posix"], ["test_system"])


@unittest.skipUnless(QEMU and os.path.exists(ARM64), "make arm64, and qemu to run it")
class Arm64(Again):
    def test_worker(self):
        with tempfile.TemporaryDirectory() as d:
            script = os.path.join(d, "drover-worker")
            with open(os.open(script, os.O_WRONLY | os.O_CREAT, 0o755), "w") as f:
                f.write(f'#!/bin/sh\nexec {QEMU} {ARM64} "$@"\n')
            self.assertEqual(self.again(script, FOREIGN), len(FOREIGN))


if __name__ == "__main__":
    unittest.main(verbosity=1)
