#!/usr/bin/env python3
"""What is asked of a worker, and ordered, at a master that has not its session: docs/rules.md 4.12.15 to 17."""
import os
import signal
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import wait_for  # noqa: E402
from workersite import Site, builder  # noqa: E402


class Elsewhere(Site):
    WORKERS, HOSTS = {"here": {"slots": 1}, "far": {"slots": 1, "tags": ["far"]}}, {}
    BUILDERS = {"far": builder(tags=["far"]), "nowhere": builder(tags=["nowhere"]), "both": builder(tags=["far", "nowhere"]), "large": builder(**{"if": "slots >= 9"}), "any": builder(),
                "hold": {"checkout": "none", "worker": {"tags": ["far"]}, "steps": [{"name": "s", "run": 'while [ ! -e "ROOT/go" ]; do sleep 0.05; done'}]}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.d.kill_worker("far")
        cls.d.wait_worker("far", connected=False)

    def setUp(self):
        super().setUp()
        self.s = self.second()
        self.move("far", self.s)
        self.s.wait_worker("far")

    def tearDown(self):
        open(self.d.path("go"), "w").close()
        super().tearDown()
        os.unlink(self.d.path("go"))

    def worker(self, name="far", master=None):
        return (master or self.d).get("/workers/" + name)

    def test_4_12_15_its_log_and_facts(self):
        here, there = (m.get("/workers/far/log?lines=5") for m in (self.d, self.s))
        self.assertEqual((here["worker"], len(here["lines"])), ("far", len(there["lines"])))
        self.assertTrue(any("drover-worker" in x or "connected" in x for x in here["lines"]), here)
        a = self.d.post("/workers/far/facts", {"tools": ["git", "no-such-tool"]})
        self.assertEqual((a["worker"], a["tools"]["no-such-tool"], a["facts"]["os"]), ("far", None, "Linux"))
        self.assertIn("git version", a["tools"]["git"])
        self.assertEqual(self.worker()["tools"], a["tools"], "kept")
        self.assertEqual(self.d.sql("select count(*) from worker_question"), [["0"]], "nothing is left")
        # refusals are the same at any master
        for m in (self.d, self.s):
            self.assertEqual(m.api("POST", "/workers/far/facts", {"tools": ["/bin/sh"]}).status, 400)
            self.assertEqual(m.api("GET", "/workers/far/log?lines=0").status, 400)
            a = m.api("GET", "/workers/nobody/log")
            self.assertEqual((a.status, a.json["error"]["message"]), (404, "there is no worker nobody"))
        self.s.kill_worker("far")
        self.s.wait_worker("far", connected=False)
        a = self.d.api("GET", "/workers/far/log")
        self.assertEqual((a.status, a.json["error"]["message"]), (409, "worker far is away"))

    def ask(self, answers, path="/workers/far/log"):
        t = threading.Thread(target=lambda: answers.append(self.d.try_api("GET", path)))
        t.start()
        return t

    def test_4_12_16_the_other_master_is_silent(self):
        """It has the worker, and says nothing: told so in time, by its name. When it speaks again nothing of the question is left."""
        answers = []
        self.s.master.send_signal(signal.SIGSTOP)
        try:
            w = self.worker()
            self.assertRegex(w["gets"]["why"], rf"worker far is connected to the master \S+ {self.s.master.pid}, which has not answered within 2 s")
            t = self.ask(answers)
            wait_for(lambda: self.d.sql("select kind, taken from worker_question where kind = 'log'") == [["log", ""]], "the question")
        finally:
            self.s.master.send_signal(signal.SIGCONT)
        t.join(30)
        self.assertEqual(answers[0].status, 200, "it speaks in time")
        self.assertEqual(self.worker()["gets"], {"items": [], "why": None})
        wait_for(lambda: self.d.sql("select count(*) from worker_question where status is null") == [["0"]], "no open question")

    def test_4_12_16_its_master_dies_in_the_middle(self):
        """The worker comes back to the master that was asked, which then asks it itself."""
        answers = []
        self.s.master.send_signal(signal.SIGSTOP)
        t = self.ask(answers)
        wait_for(lambda: self.d.sql("select count(*) from worker_question where kind = 'log'") == [["1"]], "the question")
        self.s.kill_worker("far")
        self.s.kill_master()
        self.d.start_worker("far", folder=self.s.path("work-far"))
        t.join(30)
        self.assertEqual(answers[0].status, 200, answers[0].body)
        self.d.kill_worker("far")
        self.d.wait_worker("far", connected=False)


if __name__ == "__main__":
    unittest.main()
