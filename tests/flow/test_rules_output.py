#!/usr/bin/env python3
"""Limits of output from the configuration to the log (docs/rules.md 4.11.15): a repository's pipeline and the site's, the worker's and the master's deaths, what API, command line and rows tell."""
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, make_repo, read, sha, wait_for  # noqa: E402

SUCCESS = 0
MARKER = re.compile(rb"drover: the output is over its limit of (\d+) (bytes|lines): [^\n(]*(?:\(left out here: (\d+) bytes, (\d+) lines\)\n)?")
LINES = b"".join(b"line %06d\n" % i for i in range(60000))  # 720000 bytes
SITE = 256 << 10
# Says all of it, in pieces, with a pause after each while `hold` is there.
TALK = """import os, time
for i in range(60):
    os.write(1, b"".join(b"line %06d\\n" % k for k in range(i * 1000, i * 1000 + 1000)))
    while i in (20, 50) and os.path.exists("ROOT/hold"): time.sleep(0.02)
open("ROOT/said", "a").write("x")
"""


def pipeline(root):
    talk = ["python3", "-c", TALK.replace("ROOT", root)]
    return {"defaults": {"output": {"lines": 40000}}, "builders": {
        "site": {"checkout": "none", "output": "1T", "steps": [{"name": "talk", "run": talk}]},
        "less": {"checkout": "none", "output": "128K", "steps": [{"name": "talk", "run": talk}, {"name": "step", "run": talk, "output": {"bytes": "64K", "lines": 200}}]},
        "within": {"checkout": "none", "steps": [{"name": "talk", "run": f"head -c {SITE} /dev/zero; exit 0"}]}}}


class Output(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 2}}

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {".drover.yml": json.dumps(pipeline(d.root))})
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "200ms"}, "q": {"git": d.path("repo"), "poll": "200ms", "output": {"bytes": "2M", "lines": 50000}}}, output="256K")

    def setUp(self):
        for name in ("said", "hold"):
            if os.path.exists(self.d.path(name)):
                os.unlink(self.d.path(name))

    def whole(self, build, step, limit, kind="bytes", full=LINES):
        """Head, marker and tail in the bytes as they are served, the same in the rows, and no more than the limit."""
        log = next(s for s in build["steps"] if s["name"] == step)["logs"][0]
        data = self.d.log(build["id"], step)
        m = MARKER.search(data)
        self.assertIsNotNone(m, data[-300:])
        self.assertEqual((int(m.group(1)), m.group(2).decode()), (limit, kind))
        head, tail, left = data[:m.start()], data[m.end():], (int(m.group(3)), int(m.group(4)))
        if not full.startswith(head) or len(head) + left[0] + len(tail) != len(full):
            head = head[:-1]  # it ended within a line
        self.assertEqual(sha(head + full[len(head):len(head) + left[0]] + tail), sha(full))
        self.assertEqual(full[len(head):len(head) + left[0]].count(b"\n"), left[1])
        self.assertEqual((log["left_bytes"], log["left_lines"], log["held"], log["complete"]), (*left, False, True))
        self.assertEqual((log["length"], log["lines"]), (len(data), data.count(b"\n")))
        self.assertLessEqual(log["length" if kind == "bytes" else "lines"], limit)
        self.assertGreater(log["length" if kind == "bytes" else "lines"], limit * 9 // 10)
        stored = self.d.sql(f"select sum(raw), (select length from log where id = {log['id']}) from log_chunk where log = {log['id']}")
        self.assertEqual(stored, [[str(len(data))] * 2])
        return log

    def drover(self, *argv):
        return subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, capture_output=True, timeout=60, check=True)

    def test_4_11_15_the_beginning_and_the_end_are_kept(self):
        """While the agent is killed, in the head and behind it, and the master too; the command runs once, and half of its output is never held up."""
        d = self.d
        open(d.path("hold"), "w").close()
        r = d.ask("p/site")
        wait = lambda what: d.wait_build(r, lambda b: b["steps"] and b["steps"][0]["logs"] and what(b["steps"][0]["logs"][0]), "the log")  # noqa: E731
        b = wait(lambda log: log["held"])  # 20 pieces are 240 KB: half of the site's limit is there, and the rest is kept at the worker
        self.assertFalse(MARKER.search(d.log(b["id"], "talk", zipped=False)))
        p = self.drover("show", b["id"] + ":talk")
        self.assertIn(b"more than half of the limit of ", p.stdout)
        d.kill_worker()
        os.unlink(d.path("hold"))
        wait_for(lambda: not d.minders(), "the command's end, with nobody there")
        self.assertEqual(read(d.path("said")), b"x")
        d.kill_master()
        d.start_worker(wait=False)
        d.start_master()
        self.assertEqual(d.wait_request(r)["result"], SUCCESS)
        log = self.whole(d.get("/builds/" + b["id"]), "talk", SITE)
        self.assertEqual((log["limit_bytes"], log["limit_lines"]), (SITE, 40000))
        self.assertEqual(read(d.path("said")), b"x")
        p = self.drover("show", b["id"] + ":talk")
        self.assertRegex(p.stdout.decode(), r"talk: \d+ KB \(\d+ lines\) left out, over the limit of 262 KB or 40000 lines")
        p = self.drover("log", b["id"] + ":talk")
        self.assertIn(b"left out here: %d bytes" % log["left_bytes"], p.stdout)
        self.assertIn(b"left out, over the limit of", p.stderr)
        self.assertIn(b"left out, over the limit of", self.drover("log", b["id"]).stdout)

    def test_4_11_15_a_reader_sees_it_begin(self):
        """Who follows gets the marker while the command runs, and its end later, each byte once."""
        d = self.d
        open(d.path("hold"), "w").close()
        r = d.ask("p/less")
        b = d.wait_build(r, lambda b: b["steps"] and MARKER.search(d.log(b["id"], "talk", zipped=False)), "the marker")
        self.assertIsNone(MARKER.search(d.log(b["id"], "talk", zipped=False)).group(3))
        follow = subprocess.Popen([f"{BUILD}/drover", "log", "--follow", "--raw", b["id"] + ":talk"], env={**os.environ, "DROVER_SOCKET": d.path("api.sock")}, stdout=subprocess.PIPE)
        os.unlink(d.path("hold"))
        said, _ = follow.communicate(timeout=DEADLINE_S)
        self.assertEqual(d.wait_request(r)["result"], SUCCESS)
        b = d.get("/builds/" + b["id"])
        self.assertEqual(sha(said), sha(d.log(b["id"], "talk")))
        self.whole(b, "talk", 128 << 10)
        self.whole(b, "step", 200, "lines")

    def test_4_11_15_who_may_say_more(self):
        """A repository only less than the site's; the site's word on one project counts instead of its own."""
        d = self.d
        b = d.run("q/site")
        self.whole(b, "talk", 40000, "lines")  # 2 MiB are enough; the pipeline's lines are less than the project's
        self.assertEqual(b["steps"][0]["logs"][0]["limit_bytes"], 2 << 20)
        b = d.run("p/within")
        log = b["steps"][0]["logs"][0]
        self.assertEqual((log["length"], log["left_bytes"], d.log(b["id"], "talk") == bytes(SITE)), (SITE, 0, True))
        p = self.drover("log", b["id"] + ":talk")
        self.assertNotIn(b"left out", p.stderr)


if __name__ == "__main__":
    unittest.main()
