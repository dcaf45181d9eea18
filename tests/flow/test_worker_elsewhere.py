#!/usr/bin/env python3
"""docs/rules.md 4.12.16 to 20: why a worker gets nothing; what is asked of a worker, and ordered, at a master that has not its session."""
import os
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import DEADLINE_S, busy, wait_for  # noqa: E402
from workersite import FarSite, Site, builder  # noqa: E402


class Gets(Site):
    """Each kind of reason, counted, as `why` says it of the requests."""
    WORKERS, HOSTS = {"one": {"slots": 1, "tags": ["a"]}, "two": {"slots": 1, "tags": ["b"]}}, {}
    HOLD = {"checkout": "none", "steps": [{"name": "s", "run": 'while [ ! -e "ROOT/go" ]; do sleep 0.05; done'}]}
    BUILDERS = {"a": builder(tags=["a"]), "b": builder(tags=["b"]), "c": builder(tags=["c"]), "large": builder(**{"if": "slots >= 9"}), "mac": builder(os="macos"), "any": builder(),
                "m": {**builder(tags=["a", "c"]), "matrix": {"n": [1, 2, 3, 4, 5]}}, "wants": {**builder(tags=["a"]), "locks": {"board": 1}}, "holds": {**HOLD, "worker": {"tags": ["b"]}, "locks": {"board": 1}},
                "hold": {**HOLD, "worker": {"tags": ["a"]}}}

    @classmethod
    def set_up(cls, hosts=None, **projects):
        cls.d.conf["locks"] = {"board": {}}
        super().set_up(hosts, **projects)

    def tearDown(self):
        open(self.d.path("go"), "w").close()
        self.d.post("/resume", {"object": "worker/one"})  # its quarantine too
        super().tearDown()
        os.unlink(self.d.path("go"))

    def gets(self, name="one"):
        g = self.d.get("/workers/" + name)["gets"]
        self.assertIsNone(g["why"])
        return g["items"]

    def until(self, kind, name="one", n=1):
        """The line of that kind, once it counts n requests."""
        return wait_for(lambda: next((x for x in self.gets(name) if (x["kind"], x["requests"]) == (kind, n)), None), f"{n} requests that {name} does not get: {kind}: {self.gets(name)}")

    def state(self, name="one"):
        """As the list and the worker's own page say it, when they say the same."""
        listed = lambda: {w["name"]: w["state"] for w in self.d.get("/workers")["items"]}[name]
        return wait_for(lambda: (state := listed()) == self.d.get("/workers/" + name)["state"] and state, f"one state of {name}")

    def test_4_12_16_what_it_lacks(self):
        self.assertEqual(self.gets(), [])
        self.assertIn("waiting   nothing waits for a worker", self.cli("worker", "show", "one"))
        c = [self.d.ask("p/c") for _ in range(3)] + [self.d.ask("q/c")]
        self.d.post("/builds", {"builder": "p/m", "branch": "main"}, 201)
        large, mac = self.d.ask("p/large"), self.d.ask("p/mac")
        tag = self.until("tag", n=9)
        self.assertEqual((tag["object"], tag["text"], tag["first"]), ("c", "one has no tag c", c[0]))
        self.assertEqual((len(tag["builders"]), tag["more"]), (3, 4))
        self.assertEqual(len(self.gets("two")), 4, "for another worker the first tag that is missing is another one")
        lines = {x["object"]: x for x in self.gets()}
        self.assertEqual((lines["slots >= 9"]["kind"], lines["slots >= 9"]["text"], lines["slots >= 9"]["first"]), ("condition", "slots >= 9 is not met by one (1)", large))
        self.assertEqual((lines['os == "macos"']["text"], lines['os == "macos"']["first"]), ('os == "macos" is not met by one (linux)', mac))
        text = self.cli("worker", "show", "one")
        self.assertRegex(text, r"waiting +r\d+: .*not met by one \(1\)  \(p/large\)")
        self.assertRegex(text, r" {10}9 requests: one has no tag c  \(.* and 4 more\)")

    def test_4_12_16_full_paused_or_at_work_elsewhere(self):
        runs, waits = self.d.ask("p/hold"), None
        self.d.wait_build(runs)
        waits = self.d.ask("p/a")
        line = self.until("slots")
        self.assertEqual(line["text"], self.reason(waits, "slots")["text"].split(". ")[0].rstrip("."), "the words of why")
        self.assertIn("one is full (1 of 1 slots: p/hold/1)", line["text"])
        w = self.d.get("/workers/one")
        self.assertEqual((w["runs"], w["used"], w["state"]), (["p/hold/1"], 1, "ready"))
        self.assertRegex(self.cli("worker", "list"), r"one +connected +1 of 1 +p/hold/1 ")
        # its own pause, with who and why and until when, outranks that it is full
        self.d.post("/pause", {"object": "worker/one", "reason": "new disk", "for": 7200000})
        line = self.until("paused")
        self.assertRegex(line["text"], r"^worker one is paused by \S+ until [0-9-]+ [0-9:]+ UTC: new disk$")
        self.assertEqual((self.state(), self.d.get("/workers/one")["paused"]["reason"]), ("paused", "new disk"))
        self.assertRegex(self.cli("worker", "list"), r"one +paused, until ")
        self.assertRegex(self.cli("worker", "show", "one"), r"paused +by \S+ just now, until .*: new disk\n")
        self.d.post("/resume", {"object": "worker/one"})
        told = wait_for(lambda: (t := self.cli("events", "worker/one")) and "resumed" in t and t, "the event")
        self.assertRegex(told, r'paused +worker/one  for=7200000 who=\S+ reason="new disk"\n.* resumed +worker/one  who=\S+\n$')
        # the builder's pause is no matter of this worker's, but keeps it from that
        self.d.post("/pause", {"object": "p/a"})
        wait_for(lambda: self.until("paused")["object"] == "builder/p/a", "the builder's pause in place of the worker's")
        self.assertEqual(self.state(), "ready")
        self.assertEqual([x["kind"] for x in self.gets("two")], ["tag"], "whatever is paused, the other one lacks the tag")
        self.d.post("/pause", {"object": "all"})
        wait_for(lambda: (self.until("paused")["object"], self.state(), self.state("two")) == ("site", "paused", "paused"), "the site's pause to be known")

    def test_4_12_16_locks(self):
        holds = self.d.ask("p/holds")
        self.d.wait_build(holds)
        waits = [self.d.ask("p/wants"), self.d.ask("p/wants")]
        line = self.until("lock", n=2)
        self.assertEqual((line["object"], line["first"]), ("board", waits[0]))
        self.assertIn("held by p/holds/1", line["text"])
        self.assertEqual([x["kind"] for x in self.gets()], ["lock"], "each is counted once")
        self.assertEqual([(k["name"], k["build"], k["n"]) for k in self.d.get("/workers/two")["locks"]], [("board", "p/holds/1", 1)])
        self.assertEqual(self.d.get("/workers/one")["locks"], [])
        self.assertRegex(self.cli("worker", "show", "two"), r"locks +board 1  p/holds/1  ")

    def test_4_12_16_closed_in_quarantine_or_low(self):
        day = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][(int(time.strftime("%w")) + 3) % 7]
        self.set_up({"one": {"slots": 1, "tags": ["a"], "calendar": f"{day} 10:00-11:00 UTC"}})
        self.d.post("/config/activate")
        self.d.ask("p/a")
        line = self.until("calendar")
        w = self.d.get("/workers/one")
        self.assertIn("calendar: one works from " + day, line["text"])
        self.assertEqual((self.state(), w["window"]["open"]), ("closed", False))
        self.assertGreater(w["window"]["turns"], time.time() * 1000)
        self.assertRegex(self.cli("worker", "list"), r"one +closed, opens ")
        self.assertRegex(self.cli("worker", "show", "one"), rf"calendar +{day} 10:00-11:00 UTC: closed, opens ")
        self.set_up()
        self.d.post("/config/activate")
        wait_for(lambda: not self.gets(), "it to be open")
        self.d.sql("update worker set quarantine_ms = 20000, quarantine_count = 2, quarantine_at = now(), quarantine_until = now() + interval '1 hour', quarantine_why = 'git could not be started' where name = 'one'")
        self.d.post("/pause", {"object": "p"})
        self.d.post("/resume", {"object": "p"})  # which is when a master looks at such rows
        self.d.ask("p/a")
        wait_for(lambda: self.state() == "quarantine", "its state")
        self.assertRegex(self.cli("worker", "show", "one"), r"quarantine +for another .*, it spoilt 2 builds in a row: git could not be started")
        self.assertIn("one is in quarantine for another", self.until("quarantine")["text"])
        self.assertIn("resumed", self.cli("resume", "one"))

    def test_4_12_21_who_is_away(self):
        """Which worker would have to come back; not one that would not do either."""
        self.d.kill_worker("two")
        self.d.wait_worker("two", connected=False)
        b, c = self.d.ask("p/b"), self.d.ask("p/c")
        self.assertIn("no connected worker has the tag b. two, which could take it, is away. ", self.reason(b, "no_worker")["text"])
        self.assertNotIn("away", self.reason(c, "no_worker")["text"])
        self.d.start_worker("two")
        self.assertEqual(self.d.wait_request(b)["result"], 0)


class Elsewhere(FarSite):
    WORKERS, HOSTS = {"here": {"slots": 1}, "far": {"slots": 1, "tags": ["far"]}}, {}
    BUILDERS = {"far": builder(tags=["far"]), "nowhere": builder(tags=["nowhere"]), "both": builder(tags=["far", "nowhere"]), "large": builder(**{"if": "slots >= 9"}), "any": builder(),
                "hold": {"checkout": "none", "worker": {"tags": ["far"]}, "steps": [{"name": "s", "run": 'while [ ! -e "ROOT/go" ]; do sleep 0.05; done'}]},
                "locked": {"checkout": "none", "worker": {"tags": ["far"]}, "locks": {"board": 1}, "steps": [{"name": "s", "run": 'while [ ! -e "ROOT/go" ]; do sleep 0.05; done'}]}, "board": {**builder(name="here"), "locks": {"board": 1}}}

    @classmethod
    def set_up(cls, hosts=None, **projects):
        cls.d.conf["locks"] = {"board": {}}
        super().set_up(hosts, **projects)

    def tearDown(self):
        open(self.d.path("go"), "w").close()
        super().tearDown()
        os.unlink(self.d.path("go"))

    def worker(self, name="far", master=None):
        return (master or self.d).get("/workers/" + name)

    def test_4_12_17_its_log_and_facts(self):
        here, there = (m.get("/workers/far/log?lines=5") for m in (self.d, self.s))
        self.assertEqual((here["worker"], len(here["lines"])), ("far", len(there["lines"])))
        self.assertTrue(any("drover-worker" in x or "connected" in x for x in here["lines"]), here)
        a = self.d.post("/workers/far/facts", {"tools": ["git", "no-such-tool"]})
        self.assertEqual((a["worker"], a["tools"]["no-such-tool"], a["facts"]["os"]), ("far", None, "Linux"))
        self.assertIn("git version", a["tools"]["git"])
        self.assertEqual(self.worker()["tools"], a["tools"], "kept")
        wait_for(lambda: self.d.sql("select count(*) from worker_question") == [["0"]], "nothing to be left")
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

    def test_4_12_18_the_other_master_is_silent(self):
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
        t.join()
        self.assertEqual(answers[0].status, 200, "it speaks in time")
        wait_for(lambda: self.worker()["gets"] == {"items": [], "why": None}, "its answer within 2 s")
        wait_for(lambda: self.d.sql("select count(*) from worker_question where status is null") == [["0"]], "no open question")

    def test_4_12_18_its_master_dies_in_the_middle(self):
        """It has taken the question, and the worker does not answer: it comes back to the master that was asked, which then asks it itself."""
        answers = []
        self.s.agents["far"].send_signal(signal.SIGSTOP)
        t = self.ask(answers)
        wait_for(lambda: self.d.sql("select w.taken = s.master from worker_question w join worker_session s on s.worker = w.worker where w.kind = 'log'") == [["t"]], "the question to be taken")
        self.s.kill_master()
        self.s.kill_worker("far")
        self.d.start_worker("far", folder=self.s.path("work-far"))
        t.join()
        self.assertEqual(answers[0].status, 200, answers[0].body)
        self.d.kill_worker("far")
        self.d.wait_worker("far", connected=False)

    def ordered(self, number, state="done", master=None):
        """That order, once it is in that state."""
        return wait_for(lambda: (o := self.worker(master=master)["order"]) and (o["number"], o["state"]) == (number, state) and o, f"order {number} to be {state}: {self.worker(master=master)['order']}")

    def begins(self, rid, kind):
        """When it will begin, told by both masters alike, once they say that it waits for that."""
        told = []
        for m in (self.d, self.s):
            w = wait_for(lambda: (w := m.get(f"/requests/{rid}/why"))["reason"]["kind"] == kind and w["eta"] and w, f"{rid} to wait for {kind}, with an end")
            listed = {r["id"]: r["eta"] for r in m.get("/queue")["items"]}[rid]
            self.assertLessEqual(max(abs(listed[k] - w["eta"][k]) for k in listed), 2000 * busy())
            self.assertTrue(w["eta"]["low"] <= w["eta"]["likely"] <= w["eta"]["high"], w)
            told.append(w["eta"]["likely"])
        self.assertLess(abs(told[0] - told[1]), 2000 * busy())
        return told[0]

    def test_4_12_20_when_it_begins(self):
        """By the workers of all masters and by who holds its lock. Such builds took an hour, says the history."""
        open(self.d.path("go"), "w").close()
        for name in ("hold", "locked"):
            self.assertEqual(self.d.run("p/" + name)["result"], 0)
        self.d.sql("update build set started = finished - interval '1 hour' where result = 0")
        os.unlink(self.d.path("go"))
        for name, waits, kind in (("hold", "far", "slots"), ("locked", "board", "lock")):
            runs = self.d.ask("p/" + name)
            self.d.wait_build(runs)
            left = self.begins(self.d.ask("p/" + waits), kind) / 1000 - time.time()
            self.assertTrue(3500 < left < 3610, left)
            self.d.post(f"/requests/{runs}/cancel", {})
            self.d.wait_request(runs)

    def test_4_12_19_orders(self):
        """Given at one, done by the other: pause, restart, upgrade, drain; who drains and is resumed has changed nothing."""
        self.assertRegex(self.cli("pause", "worker/far", "--reason", "elsewhere"), r"paused +worker/far")
        rid = self.d.ask("p/far")
        for m in (self.d, self.s):
            wait_for(lambda: (r := m.get(f"/requests/{rid}/why")["reason"])["kind"] == "paused" and "elsewhere" in r["text"], "the pause at both")
            wait_for(lambda: (w := self.worker(master=m))["state"] == "paused" and [x["kind"] for x in w["gets"]["items"]] == ["paused"], "the worker to be paused, at both")
        self.cli("resume", "worker/far")
        self.assertEqual(self.d.wait_request(rid)["result"], 0)
        self.assertRegex(self.cli("worker", "restart", "far"), r"restarted +far")
        upgrade = self.d.post("/workers/far/upgrade", {}, 202)["number"]
        self.assertIn("this host's worker.conf does not allow it", self.ordered(upgrade, "failed")["why"], "the worker's own word")
        runs = self.d.ask("p/hold")
        self.d.wait_build(runs)
        self.assertRegex(self.cli("worker", "drain", "far"), r"draining +far")
        wait_for(lambda: self.worker()["state"] == self.worker(master=self.s)["state"] == "draining", "both to say so")
        self.assertRegex(self.cli("worker", "list"), r"far +draining +1 of 1 +p/hold/\d+ ")
        self.cli("resume", "worker/far")
        wait_for(lambda: (w := self.worker())["order"]["state"] == "failed" and w["state"] == "ready", "the drain to be called off")
        open(self.d.path("go"), "w").close()
        self.assertEqual(self.d.wait_request(runs)["result"], 0)
        self.assertEqual(self.d.get("/builds/" + self.d.request(runs)["builds"][0])["worker"], "far")

    def test_4_12_19_who_gave_the_order_dies(self):
        """In the middle of a drain: the master that has the worker goes on with it."""
        runs = self.s.ask("p/hold")
        self.s.wait_build(runs)
        number = self.d.post("/workers/far/drain", {"then": "restart"}, 202)["number"]
        self.d.master.send_signal(signal.SIGKILL)  # its PostgreSQL lives on
        self.d.master.wait(DEADLINE_S)
        try:
            wait_for(lambda: self.worker(master=self.s)["state"] == "draining", "the drain")
            open(self.d.path("go"), "w").close()
            self.ordered(number, master=self.s)
            self.assertEqual(self.s.wait_request(runs)["result"], 0)
            wait_for(lambda: ((w := self.worker(master=self.s))["state"], w["paused"]) == ("ready", None), "the end of the pause")
        finally:
            self.d.start_master()
            self.d.wait_worker("here")


if __name__ == "__main__":
    unittest.main()
