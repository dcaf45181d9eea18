#!/usr/bin/env python3
"""docs/rules.md 4.14.6 and 10: another key for dialling, with a real sshd; and a master that stops in an orderly way, whose workers another one dials at once."""
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_ssh  # noqa: E402
from drover import read, wait_for  # noqa: E402

SOON_S = 8  # a master that died is one for 15 s after its last heartbeat


def fingerprint(line):
    p = subprocess.run(["ssh-keygen", "-lf", "-"], input=line, capture_output=True, text=True, check=True)
    return p.stdout.split()[1]


class Site(test_ssh.Site):
    def second(self):
        """Another master on the same database, with the same configuration."""
        base = self.d
        d = self.own({"p": {}}, database=f"host={base.lock_file()[4]} user=drover dbname=drover")
        d.workers = {}
        d.configure(workers=base.conf["workers"], projects=base.conf["projects"], listen={**d.conf["listen"], "workers": f"127.0.0.1:{d.port}"}, same_user=True)
        return d.start_master()

    def logins(self):
        """The keys that sshd let in, in order."""
        return re.findall(rb"Accepted publickey for .* (SHA256:\S+)", read(self.d.path("sshd.log")))

    def again(self):
        """The master dials anew."""
        before = len(self.logins())
        self.cli("worker", "restart", "far")
        wait_for(lambda: len(self.logins()) > before, "another login")
        self.d.wait_worker("far")
        wait_for(lambda: self.worker()["ssh"]["up"], "the link to be welcomed")

    def newest(self):
        return self.logins()[-1].decode()


class Key(Site):
    def key(self, d=None):
        listen = (d or self.d).get("/status")["listen"]
        return listen["ssh_key"], listen["ssh_key_old"]

    def test_4_14_10_rotation(self):
        """Each host is logged in to by the new key where that is let in, else by the old one; which is dropped once no host needs it. A build lives through all of it."""
        s = self.second()
        r, (old, none) = self.begin_long(), self.key()
        self.assertIsNone(none)
        self.assertIn("no other ssh key", self.cli("worker", "key", "--drop", code=2))
        said = self.cli("worker", "key", "--rotate")
        new = self.key()[0]
        self.assertEqual((new == old, self.key()[1], new in said.splitlines()), (False, old, True))
        self.assertIn("drover worker key --drop", self.cli("worker", "key"))
        self.assertIn("under way", self.cli("worker", "key", "--rotate", code=2))
        wait_for(lambda: self.key(s) == (new, old), "the other master to have it")
        self.again()
        self.assertEqual((self.newest(), self.worker()["ssh"]["old_key"]), (fingerprint(old), True))
        self.assertIn("not been let in yet", self.cli("worker", "show", "far"))
        self.assertRegex(self.cli("worker", "key", "--drop", code=2), "not let the new ssh key in yet: far")
        self.let_in(old + "\n" + new + "\n")
        self.again()
        self.assertEqual((self.newest(), self.worker()["ssh"]["old_key"]), (fingerprint(new), False))
        self.assertNotIn("rotation", self.cli("worker", "show", "far"))
        self.assertIn("dropped", self.cli("worker", "key", "--drop"))
        wait_for(lambda: self.key() == self.key(s) == (new, None), "both masters to have one key")
        self.let_in(new + "\n")
        self.again()
        self.end_long(r)
        stored = self.d.sql("select ssh_key, ssh_key_old from cluster")[0]
        self.assertTrue(stored[0].startswith("-----BEGIN") and stored[1] == "", "nothing of the old one is left")
        told = lambda: [(t, json.loads(b)) for t, b in self.d.sql("select type, body from event where type like 'ssh_key%' order by number")][-2:]
        wait_for(lambda: told() == [("ssh_key.rotated", {"who": self.user}), ("ssh_key.dropped", {"who": self.user, "hosts": []})], "both events")

    def test_4_14_10_dropped_anyway(self):
        old = self.key()[0]
        self.let_in(old + "\n")
        self.cli("worker", "key", "--rotate")
        new = self.key()[0]
        self.assertIn("--force only with --drop", self.cli("worker", "key", "--force", code=2))
        self.assertRegex(self.cli("worker", "key", "--drop", "--force"), r"not reached +far")
        self.d.post("/workers/far/restart", {}, 202)
        self.assertIn("drover worker key", self.trouble("auth")["why"])
        self.let_in(new + "\n")
        self.d.wait_worker("far")
        self.assertEqual((self.newest(), self.worker()["ssh"]["old_key"]), (fingerprint(new), False))
        self.assertEqual(self.d.run("p/short")["result"], 0)


class Stop(Site):
    def test_4_14_6_an_orderly_stop(self):
        """The other one hears of it, and dials: nobody waits until the first counts as dead, nor for a heartbeat."""
        s, base = self.second(), self.d
        dials = lambda: (x := self.worker()["ssh"])["up"] and x["master"] or ""
        self.reload()
        wait_for(lambda: str(s.master.pid) in dials(), "the second to dial")
        self.reload(far=self.far())
        wait_for(lambda: b"1 other masters are alive" in read(s.path("master.log")), "the second to know of the first")
        r, before = self.begin_long(), len(self.logins())
        kinds = re.findall(r"^HINT\((\w+)", read(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../master/events/hints.def")).decode(), re.M)
        told = lambda: sum(bool(int(x, 16) & 1 << kinds.index("dials")) for x in re.findall(rb"looks: 0x([0-9a-f]+)", read(base.path("master.log"))))
        had = told()
        s.stop_master()
        wait_for(lambda: str(base.master.pid) in dials(), "the first to dial", SOON_S)
        self.assertEqual((len(self.logins()), told()), (before + 1, had + 1), "it was told, and dialled once")
        self.end_long(r)


if __name__ == "__main__":
    unittest.main()
