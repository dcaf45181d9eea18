#!/usr/bin/env python3
"""The demo, as a person meets it: kinds of repositories, its exit code, two side by side, and nothing left behind."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUSY, slow  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("DROVER_BUILD", os.path.join(TOP, "build")))
LIMIT_S = 120 * BUSY


def git(where, *argv):
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-C", where, *argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def processes_with(word):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            seen = [os.readlink(f"/proc/{pid}/{x}") for x in ("cwd", "root", "exe")]
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                seen.append(f.read().decode("utf-8", "replace"))
        except OSError:
            continue
        if any(word in s for s in seen):
            found.append((pid, seen))
    return found


class Demo(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="drover-t-demo.", dir="/var/tmp")
        os.chmod(self.root, 0o755)
        self.addCleanup(shutil.rmtree, self.root, True)

    def repository(self, name, pipeline, commit=True):
        path = os.path.join(self.root, name)
        os.mkdir(path)
        if pipeline is not None:
            with open(f"{path}/.drover.yml", "w") as f:
                f.write(pipeline)
        with open(f"{path}/file", "w") as f:
            f.write("contents\n")
        if commit:
            git(path, "init", "-q", "-b", "main")
            git(path, "add", "-A")
            git(path, "commit", "-q", "-m", "First")
        return path

    def start(self, **env):
        # The demo builds with make where something is missing; here everything is built already, in BUILD.
        return subprocess.Popen([f"{TOP}/tests/demo/demo"], cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                start_new_session=True, env=dict(os.environ, B=BUILD, DROVER_DEMO_BUILT="1", **env))

    def finish(self, p, code):
        try:
            text = p.communicate(timeout=LIMIT_S)[0]
        except subprocess.TimeoutExpired:
            p.terminate()
            text = p.communicate()[0]
            self.fail("the demo did not end:\n" + text)
        self.assertEqual(p.returncode, code, text)
        where = re.search(r"/var/tmp/drover-demo\.\w+", text)
        if where:
            self.assertEqual(processes_with(where.group()), [], text)
            self.assertFalse(os.path.exists(where.group()), text)
        return text

    def test_good_twice_side_by_side(self):
        repo = self.repository("good", "steps:\n  - run: cat file\n")
        both = [self.start(REPO=repo), self.start(REPO=repo)]
        for p in both:
            text = self.finish(p, 0)
            self.assertRegex(text, r"change +c1 good main [0-9a-f]{7} \"First\" found by the poller")
            self.assertIn("contents\n", text)
            self.assertRegex(text, r"SUCCESS +good/good/1 in")

    def test_bad_build_and_uncommitted_files(self):
        repo = self.repository("bad", "steps:\n  - {name: breaks, run: exit 7}\n")
        open(f"{repo}/new", "w").close()
        text = self.finish(self.start(REPO=repo), 1)
        self.assertIn("(1 file not committed is not in it)", text)
        self.assertIn("exit 7", text)

    @slow
    def test_pipeline_given_and_detached_head(self):
        repo = self.repository("none", None)
        git(repo, "checkout", "-q", "--detach")
        with open(f"{self.root}/p.yml", "w") as f:
            f.write("steps:\n  - run: test -f file\n")
        text = self.finish(self.start(REPO=repo, PIPELINE=f"{self.root}/p.yml"), 0)
        self.assertIn("on no branch", text)

    def test_no_pipeline(self):
        text = self.finish(self.start(REPO=self.repository("none", None)), 2)
        self.assertIn("steps:", text)

    @slow
    def test_tree_without_git(self):
        text = self.finish(self.start(REPO=self.repository("tarball", "steps:\n  - run: cat file\n", commit=False)), 0)
        self.assertIn("a copy of it was committed", text)

    def test_ended_in_mid_build(self):
        repo = self.repository("long", "steps:\n  - run: trap '' TERM; echo begun; setsid sleep 300 & sleep 300\n")
        p = self.start(REPO=repo)
        lines = []
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end and not any(line.startswith("begun") for line in lines):
            lines.append(p.stdout.readline())
        root = re.search(r"/var/tmp/drover-demo\.\w+", "".join(lines)).group()
        os.kill(p.pid, signal.SIGTERM)
        p.communicate(timeout=LIMIT_S)
        self.assertEqual(processes_with(root), [])
        self.assertFalse(os.path.exists(root))


if __name__ == "__main__":
    unittest.main()
