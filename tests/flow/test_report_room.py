#!/usr/bin/env python3
"""A report that finds no room on the worker's disk. The worker against a master of our own (tests/lib/fakemaster.py)."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from fakemaster import Bench, parse_records, wait_for  # noqa: E402

# It reports more than a page, and then fills the disk to its last byte.
FILLS = 'seq 4000 >$R/summary; echo kept=yes >$R/properties; touch ../../told; cat /dev/zero >filler 2>/dev/null; exit 3'
SUMMARY = "".join(f"{n}\n" for n in range(1, 4001)).encode()


@unittest.skipUnless(os.geteuid() == 0, "mounts a small tmpfs: needs root")
class Room(unittest.TestCase):
    def setUp(self):
        self.b = Bench()
        self.addCleanup(self.b.__exit__)
        os.mkdir(self.b.worker.dir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.b.worker.dir], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.b.worker.dir], check=True)
        self.addCleanup(self.b.worker.kill)
        self.s = self.b.connect()
        self.filler = os.path.join(self.b.worker.work, "filler")

    def begin(self):
        """Until the command has ended and there is no room for its report."""
        s = self.s
        s.run("1-1", ["sh", "-c", FILLS], ("fresh", "r"), ("path", "R=r"), ("report", "r"))
        s.expect("state")
        wait_for(lambda: os.statvfs(self.b.worker.dir).f_bavail == 0)
        minder = self.b.worker.minder("1-1")
        with open(f"/proc/{minder}/task/{minder}/children") as children:
            wait_for(lambda: children.seek(0) == 0 and not children.read())
        return minder

    def test_it_waits(self):
        """As output does: until there is room for all of it. Room for a part of it is none."""
        self.begin()
        os.truncate(self.filler, os.stat(self.filler).st_size - 8192)
        self.assertFalse(self.b.worker.has_result("1-1"))
        os.unlink(self.filler)
        told = self.s.expect("report")
        self.assertEqual(dict(parse_records(told.blob)), {"summary": SUMMARY, "properties": b"kept=yes\n"})
        m = self.s.expect("exit")
        self.assertEqual((m.tokens[2:4]), ["exited", "3"])

    def test_nobody_wants_it(self):
        """A build that is cancelled does not wait: it ends without it, and half of a report is none."""
        minder = self.begin()
        os.truncate(self.filler, os.stat(self.filler).st_size - 8192)
        self.s.send("kill", "1-1", "1-1", 0, "cancel")
        m = self.s.recv()
        self.assertEqual((m.verb, m.tokens[2:4]), ("exit", ["exited", "3"]))
        self.assertFalse(os.path.exists(os.path.join(self.b.worker.spool("1-1"), "report")))
        wait_for(lambda: not os.path.exists(f"/proc/{minder}"))


if __name__ == "__main__":
    unittest.main()
