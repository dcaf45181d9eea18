#!/usr/bin/env python3
"""Files that a command writes and that become logs of its step (docs/rules.md 4.11.22), over the deaths of worker and master."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, make_repo, sha, wait_for  # noqa: E402

SUCCESS, FAILURE = 0, 2
TALK = """import os, time
os.makedirs("out", exist_ok=True)
a, b = open("out/a.log", "wb", buffering=0), open("b.log", "wb", buffering=0)
for i in range(60):
    os.write(1, b"own %05d\\n" % i * 30)
    a.write(b"a %05d\\n" % i * 3000)
    b.write(b"b %05d\\n" % i)
    while i in (40, 50) and os.path.exists("ROOT/hold%d" % i): time.sleep(0.02)
open("ROOT/said", "a").write("x")
"""


class Files(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 2}}

    @classmethod
    def prepare(cls):
        d = cls.d
        logs = {"tests": "out/a.log", "other": "b.log", "never": "no/such"}
        builders = {"talk": {"checkout": "none", "steps": [{"name": "talk", "run": ["python3", "-c", TALK.replace("ROOT", d.root)], "cwd": "sub", "logs": logs}]},
                    "again": {"checkout": "none", "steps": [{"name": "try", "run": "echo own; date +%N >f; exit 1", "logs": {"f": "f"}, "retry": 1}]},
                    "less": {"checkout": "none", "output": "64K", "steps": [{"name": "much", "run": "seq 100000 >f; mkdir -p x; ln -s /etc/passwd x/out", "logs": {"f": "f", "out": "x/out"}}]}}
        make_repo(d.path("repo"), {"a": "a"})
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "200ms", "builders": builders}})

    def logs(self, build, step=0):
        return {log["name"]: log for log in self.d.get("/builds/" + build)["steps"][step]["logs"] if log["stream"]}

    def bytes_of(self, build, step, name, **more):
        return self.d.api("GET", f"/builds/{build}/logs/{step}?log={name}", **more)

    def drover(self, *argv, check=True):
        return subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, capture_output=True, timeout=60, check=check)

    def test_4_11_22_files_become_logs(self):
        """Each byte for byte, while worker and master die, one after the other; the command ran once."""
        d = self.d
        for i in (40, 50):
            open(d.path(f"hold{i}"), "w").close()
        r = d.ask("p/talk")
        b = d.wait_build(r, lambda b: b["steps"] and len(b["steps"][0]["logs"]) == 4 and all(log["length"] for log in b["steps"][0]["logs"] if log["name"] != "never"), "all three logs")
        follow = subprocess.Popen([f"{BUILD}/drover", "log", "--follow", "--raw", b["id"] + ":talk", "--log", "tests"], env={**os.environ, "DROVER_SOCKET": d.path("api.sock")}, stdout=subprocess.PIPE)
        first = follow.stdout.read(16)  # it has begun
        d.kill_worker()
        d.start_worker(wait=False)
        d.kill_master()
        d.start_master()
        os.unlink(d.path("hold40"))
        whole_at = lambda n: len(b"".join(b"a %05d\n" % i * 3000 for i in range(n)))  # noqa: E731
        d.wait_build(r, lambda b: self.logs(b["id"])["tests"]["length"] == whole_at(51), "what came after the masters, while the command runs")
        os.unlink(d.path("hold50"))
        wait_for(lambda: not d.minders(), "the command's end")
        d.kill_worker()
        d.start_worker()
        self.assertEqual(d.wait_request(r)["result"], SUCCESS)
        with open(d.path("said")) as f:
            self.assertEqual(f.read(), "x")
        whole = {name: b"".join(text % i * n for i in range(60)) for name, text, n in (("talk", b"own %05d\n", 30), ("tests", b"a %05d\n", 3000), ("other", b"b %05d\n", 1))}
        self.assertEqual(sha(d.log(b["id"], "talk")), sha(whole["talk"]))
        told = self.logs(b["id"])
        for name in ("tests", "other"):
            a = self.bytes_of(b["id"], "talk", name)
            self.assertEqual((a.status, sha(a.body)), (200, sha(whole[name])))
            self.assertEqual((told[name]["length"], told[name]["lines"], told[name]["complete"]), (len(whole[name]), whole[name].count(b"\n"), True))
        said = follow.stdout.read()
        follow.wait(DEADLINE_S)
        self.assertEqual(sha(first + said), sha(whole["tests"]))
        self.assertEqual((told["never"]["length"], self.bytes_of(b["id"], "talk", "never").body), (0, b""))
        self.assertEqual(self.bytes_of(b["id"], "talk", "nothing").status, 404)
        self.assertEqual(self.drover("log", "--raw", b["id"] + ":talk", "--log", "other").stdout, whole["other"])
        shown = self.drover("show", b["id"] + ":talk").stdout.decode()
        self.assertIn(f"drover log {b['id']}:talk --log tests", shown)
        self.assertNotIn("never", shown)
        bad = self.drover("log", b["id"] + ":talk", "--log", "nothing", check=False)
        self.assertEqual((bad.returncode, b"has no log" in bad.stderr), (2, True))
        self.assertEqual(self.drover("log", b["id"], "--log", "tests", check=False).returncode, 2)

    def test_4_11_22_each_try_has_its_own(self):
        """A file that an earlier try left is not the next one's."""
        b = self.d.run("p/again")
        self.assertEqual(b["result"], FAILURE)
        logs = [log for log in b["steps"][0]["logs"] if log["stream"]]
        self.assertEqual(len(logs), 2)
        each = [self.bytes_of(b["id"], "try", "f&command=" + log["command"]).body for log in logs]
        self.assertEqual((len(set(each)), self.bytes_of(b["id"], "try", "f").body), (2, b"".join(each)))

    def test_4_11_22_limits_and_links(self):
        """Each has the limits of its step; what leads out of the work folder is not read."""
        b = self.d.run("p/less")
        told, body = self.logs(b["id"]), self.bytes_of(b["id"], "much", "f").body
        self.assertTrue(body.startswith(b"1\n2\n") and body.endswith(b"\n100000\n") and len(body) <= 65536)
        self.assertIn(b"left out here: %d bytes" % told["f"]["left_bytes"], body)
        self.assertEqual((told["f"]["length"], told["out"]["length"], self.d.log(b["id"], "much")), (len(body), 0, b""))


if __name__ == "__main__":
    unittest.main()
