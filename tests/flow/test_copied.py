#!/usr/bin/env python3
"""docs/rules.md 4.12.22: a worker's state folder that was copied to another machine."""
import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, make_repo, read, wait_for  # noqa: E402
from fakeworker import FakeWorker  # noqa: E402
from workersite import builder  # noqa: E402

ONE, OTHER = "1" * 32, "2" * 32
CAN_MOUNT = os.geteuid() == 0 and os.path.exists("/etc/machine-id") and not subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode


class Copied(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 1}}

    @classmethod
    def prepare(cls):
        make_repo(cls.d.path("repo"), {"a": "a"})
        cls.d.configure(projects={"p": {"git": cls.d.path("repo"), "poll": "1h", "builders": {"b": builder()}, "schedulers": {"none": {"force": {}}}}}, workers={**cls.WORKERS, "fake": {"slots": 1, "tags": ["fake"]}})

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.d.workers = {**cls.WORKERS, "fake": {}}
        cls.d.wait_looked("p")

    def greet(self, conn, machine, instance="ab" * 16):
        """Its connection, and what it is answered: None: welcome."""
        w = FakeWorker(self.d.path("w.sock"), read(self.d.token("fake")).decode(), instance=instance, conn=conn, facts=[("machine", machine)] if machine else [])
        verb, tokens, text = w.next("welcome", "no")
        self.addCleanup(w.close)
        if verb == "no":
            return w, (tokens[0], text.decode())
        w.send("listed", 0)
        self.d.wait_worker("fake")
        return w, None

    def session(self):
        return self.d.sql("select s.number, s.instance, s.conn, s.connected, s.machine from worker_session s join worker w on w.id = s.worker where w.name = 'fake'")[0]

    def test_4_12_22_with_a_later_number(self):
        one, said = self.greet(5, ONE)
        self.assertIsNone(said)
        before = self.session()
        _, said = self.greet(100, OTHER)
        self.assertEqual(said[0], "clone")
        self.assertRegex(said[1], r"is that of worker fake on another machine .*: it was copied; remove it here, or, where that machine is no more, the file `ident` in it")
        self.assertEqual(self.session(), before, "who is there is not disturbed")
        one.close()
        self.d.wait_worker("fake", connected=False)
        self.assertEqual(self.greet(101, OTHER)[1][0], "clone", "nor may it where the other one is away")
        late, said = self.greet(102, "")  # an older program, which tells no machine
        self.assertIsNone(said)
        late.close()
        self.d.wait_worker("fake", connected=False)
        self.assertEqual(self.greet(103, OTHER)[1][0], "clone", "and what was told before counts")
        new, said = self.greet(1, OTHER, instance="cd" * 16)  # without `ident` it is another instance
        self.assertIsNone(said)
        self.assertEqual(self.session()[4], OTHER)
        new.close()
        self.d.wait_worker("fake", connected=False)
        self.assertEqual(self.greet(104, ONE)[1], None, "an instance that comes back after another one is compared with nothing")

    @unittest.skipUnless(CAN_MOUNT, "wants root, unshare, and a machine id")
    def test_4_12_22_the_program(self):
        """A copy of the real one's folder, on a machine that is another one for it: refused, with a later number too; without `ident` it would be a second one of that name, and is once the first is away."""
        d = self.d
        machine = d.sql("select s.machine from worker_session s join worker w on w.id = s.worker where w.name = 'here'")[0][0]
        self.assertRegex(machine, "^[0-9a-f]{32}$")
        self.assertNotIn(read("/etc/machine-id").decode().strip(), machine, "the id itself stays at home")
        shutil.copytree(d.path("work-here"), d.path("copy"), ignore=lambda _, names: [n for n in names if n in ("spool", "work", "lock", "wake")])
        ident = read(d.path("copy/ident")).decode()
        with open(d.path("copy/ident"), "w") as f:
            f.write(re.sub(r"(?m)^conn \d+$", "conn 1000", ident))
        with open(d.path("machine-id"), "w") as f:
            f.write("0123456789abcdef" * 2 + "\n")
        argv = ["unshare", "-m", "sh", "-c", f'mount --bind {d.path("machine-id")} /etc/machine-id && exec "$@"', "sh", os.environ.get("DROVER_WORKER") or f"{BUILD}/drover-worker",
                "--join-file", d.token("here"), "--dir", d.path("copy"), "--connect", "unix:" + d.path("w.sock")]
        p = d.spawn("copy.log", *argv)
        wait_for(lambda: b"it was copied" in read(d.path("copy.log")), "the refusal")
        self.assertTrue(d.get("/workers/here")["connected"])
        self.assertEqual(d.run("p/b")["result"], 0)
        self.assertNotIn(b"replaced", read(d.path("worker-here.log")))
        p.send_signal(signal.SIGTERM)
        p.wait(30)
        d.kill_worker()
        d.wait_worker(connected=False)
        os.unlink(d.path("copy/ident"))
        p = d.spawn("copy.log", *argv)
        d.wait_worker()
        p.send_signal(signal.SIGTERM)
        p.wait(30)
        d.wait_worker(connected=False)


if __name__ == "__main__":
    unittest.main()
