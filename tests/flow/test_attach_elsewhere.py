#!/usr/bin/env python3
"""docs/rules.md 4.11.28 and 29: drover attach at a master that has not the worker, whichever of the two dies; and who sends, one at a time."""
import base64
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, read, wait_for  # noqa: E402
from workersite import FarSite  # noqa: E402

OPEN = {"open": True}
SUM = "import sys, os, time, hashlib\nh = hashlib.sha256()\nwhile d := os.read(0, 65536):\n    h.update(d); time.sleep(float(sys.argv[1]))\nprint(h.hexdigest())\n"
SECRET = b"c4nary-of-what-is-sent/9x" * 40


def hints_seen(master, kind):
    """How often that master was told so by others."""
    kinds = re.findall(r"^HINT\((\w+)", read(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../master/events/hints.def")).decode(), re.M)
    return sum(bool(int(x, 16) & 1 << kinds.index(kind)) for x in re.findall(rb"looks: 0x([0-9a-f]+)", read(master.path("master.log"))))


def builder(run):
    return {"checkout": "none", "worker": {"tags": ["far"]}, "steps": [{"name": "s", "run": run, "stdin": OPEN}]}


class Elsewhere(FarSite):
    WORKERS, HOSTS = {"far": {"slots": 4, "tags": ["far"]}}, {}
    BUILDERS = {"sum": builder(["python3", "ROOT/sum.py", "0"]), "slow": builder(["python3", "ROOT/sum.py", "0.02"]), "cat": builder("cat"),
                "stuck": builder("while [ ! -e ROOT/go ]; do sleep 0.02; done; cat")}

    @classmethod
    def prepare(cls):
        super().prepare()
        with open(cls.d.path("sum.py"), "w") as f:
            f.write(SUM)

    # ---- asking ----

    def begin(self, name):
        rid = self.d.ask("p/" + name)
        b = self.d.wait_build(rid, lambda b: any(s["commands"] for s in b["steps"]))
        wait_for(lambda: (a := self.d.try_api("POST", f"/builds/{b['id']}/input", {})) and a.status == 200, "the command to run")
        return b["id"]

    def ask(self, bid, status=200, master=None, **body):
        return (master or self.d).post(f"/builds/{bid}/input", body, status)

    def attach(self, bid, data=b"", *more, master=None, close=True):
        p = subprocess.Popen([f"{BUILD}/drover", "attach", f"{bid}:s", *more], env={**os.environ, "DROVER_SOCKET": (master or self.d).path("api.sock")}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(lambda: (p.kill(), p.wait(), [f.close() for f in (p.stdin, p.stdout, p.stderr)]))

        def pour():
            try:
                p.stdin.write(data)
                p.stdin.flush()
                if close:
                    p.stdin.close()
            except (BrokenPipeError, ValueError):
                pass  # it has ended before its input did
        threading.Thread(target=pour, daemon=True).start()
        return p

    def end_of(self, p):
        out, err = p.stdout.read(), p.stderr.read()
        return p.wait(30), out.decode(), err.decode()

    def off(self, bid):
        a = self.d.try_api("POST", f"/builds/{bid}/input", {})
        return a.json["off"] if a and a.status == 200 else -1

    def flows(self, bid, p, more):
        at = wait_for(lambda: self.off(bid) + 1, "its offset")
        wait_for(lambda: self.off(bid) > at + more or p.poll() is not None, "bytes to flow")
        self.assertIsNone(p.poll(), p.poll() and p.stderr.read())

    # ---- through another master ----

    def test_4_11_28_bytes(self):
        data = random.Random(1).randbytes(2 << 20)
        bid = self.begin("sum")
        self.assertEqual(self.end_of(self.attach(bid, data)), (0, hashlib.sha256(data).hexdigest() + "\n", ""))
        self.assertGreater(hints_seen(self.d, "logs"), 0, "its log came when it was there, and not with the next look")
        wait_for(lambda: self.d.sql(f"select count(*) from worker_question where args like '%{bid}%'") == [["0"]], "nothing to be left")
        self.assertIn("is over", self.ask(bid, 409)["error"]["message"])
        bid = self.begin("cat")
        for m in (self.d, self.s):  # refusals are the same at any master
            self.assertIn("not at other", self.ask(bid, 409, m, step="other")["error"]["message"])
            self.assertIn("no terminal", self.ask(bid, 409, m, size="80x24")["error"]["message"])
            self.assertIn("letters and digits", self.ask(bid, 400, m, sender="a b")["error"]["message"])

    def test_4_11_28_the_database_has_nothing_to_read(self):
        bid, text, answers = self.begin("cat"), base64.b64encode(SECRET).decode(), []
        self.s.master.send_signal(signal.SIGSTOP)
        try:
            t = threading.Thread(target=lambda: answers.append(self.d.api("POST", f"/builds/{bid}/input", {"off": 0, "data": text})))
            t.start()
            row = wait_for(lambda: self.d.sql("select args from worker_question where kind = 'input' and args like '%sealed%'"), "the question")[0][0]
        finally:
            self.s.master.send_signal(signal.SIGCONT)
        t.join(30)
        self.assertTrue(answers[0].status == 200 and answers[0].json["taken"], answers[0].body)
        for form in (SECRET, base64.b64encode(SECRET), SECRET.hex().encode()):
            self.assertNotIn(form[:24], row.encode())
        self.assertEqual(self.d.sql("select count(*) = count(distinct address) from master"), [["t"]])
        self.ask(bid, off=len(SECRET), close=True)
        wait_for(lambda: self.d.get("/builds/" + bid)["state"] == "done", "its end")
        self.assertEqual(self.d.log(bid, "s"), SECRET)
        for m in (self.d, self.s):
            self.assertNotIn(SECRET[:24], read(m.path("master.log")))

    def test_4_11_28_both_masters_die(self):
        """First the one that is asked, then the one that has the worker, which comes to the other one: each byte reaches the command once."""
        data = random.Random(2).randbytes(6 << 20)
        bid = self.begin("slow")
        p = self.attach(bid, data)
        self.flows(bid, p, 1 << 18)
        self.d.master.send_signal(signal.SIGKILL)  # its PostgreSQL lives on
        self.d.master.wait(30)
        self.d.start_master()
        self.flows(bid, p, 1 << 18)
        self.assertTrue(self.s.get("/workers/far")["connected"])
        self.s.kill_master()
        self.s.kill_worker("far")
        self.d.start_worker("far", folder=self.s.path("work-far"))
        self.assertEqual(self.end_of(p)[:2], (0, hashlib.sha256(data).hexdigest() + "\n"))
        self.assertEqual(wait_for(lambda: (b := self.d.get("/builds/" + bid))["state"] == "done" and b, "its end")["result"], 0)
        self.d.kill_worker("far")
        self.d.wait_worker("far", connected=False)

    def test_4_11_28_an_envelope_for_one_that_is_gone(self):
        """Its master dies with the question taken; the next one can't open it, and so passes on nothing, and says so."""
        bid, answers = self.begin("cat"), []
        args = json.dumps({"build": bid, "off": 0, "close": True, "sealed": "AAAA"})  # as that one would have it, which knows already how far the command is
        row = self.d.sql(f"insert into worker_question (asker, worker, kind, args, until) select 0, id, 'input', '{args}', now() + interval '1 minute' from worker where name = 'far' returning id")[0][0]
        told = wait_for(lambda: (self.ask(bid), self.d.sql(f"select answer from worker_question where id = {row} and status is not null"))[1], "its answer")[0][0]
        self.assertEqual(json.loads(told)["body"]["taken"], False)
        self.s.agents["far"].send_signal(signal.SIGSTOP)  # so the question is not answered
        self.s.master.send_signal(signal.SIGSTOP)
        t = threading.Thread(target=lambda: answers.append(self.d.api("POST", f"/builds/{bid}/input", {"off": 0, "data": base64.b64encode(SECRET).decode(), "close": True})))
        t.start()
        wait_for(lambda: self.d.sql("select 1 from worker_question where kind = 'input' and args like '%sealed%'"), "the question")
        self.s.kill_master()
        self.s.kill_worker("far")
        self.d.start_worker("far", folder=self.s.path("work-far"))
        t.join(30)
        self.assertIn(answers[0].status, (200, 503), answers[0].body)
        if answers[0].status == 200:
            self.assertEqual((answers[0].json["taken"], answers[0].json["off"]), (False, 0))
        self.assertEqual(self.end_of(self.attach(bid, b"all of it\n"))[:2], (0, "all of it\n"))
        self.d.kill_worker("far")
        self.d.wait_worker("far", connected=False)

    # ---- who sends ----

    def test_4_11_29_one_at_a_time(self):
        """Who has it, and since when, at any master; it can be taken over, of which the other one is told, and each byte of either is read once."""
        bid = self.begin("cat")
        first = self.attach(bid, b"of the first\n", master=self.s, close=False)
        wait_for(lambda: self.off(bid) == 13, "its bytes")
        code, out, err = self.end_of(self.attach(bid, b"of the second\n"))
        self.assertEqual((code, out), (2, ""))
        self.assertRegex(err, r"the input of step s of p/cat/\d+ is sent by \S+ since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC")
        self.assertIn("drover attach --take", err)
        for m in (self.d, self.s):
            self.assertEqual(self.ask(bid, 409, m, off=13, data="eA==")["error"]["code"], "input_held")
            self.assertEqual(self.ask(bid, master=m)["next"], 13, "who only asks is answered")
        second = self.attach(bid, b"of the second\n", "--take", close=False)
        code, out, err = self.end_of(first)
        self.assertEqual(code, 3)
        self.assertRegex(err, r"taken over: the input of step s of p/cat/\d+ is sent by \S+ since 20")
        second.stdin.close()
        self.assertEqual(self.end_of(second)[:2], (0, "of the first\nof the second\n"))

    def test_4_11_29_bytes_that_are_on_their_way(self):
        """What the one before sent, and the command has not read, comes before the bytes of who takes over."""
        bid = self.begin("stuck")
        first = self.attach(bid, b"a" * 200000, close=False)  # more than there is room for
        wait_for(lambda: (a := self.ask(bid))["next"] > 65536 and a["next"] == a["limit"], "what there is room for")
        second = self.attach(bid, b"b", "--take")
        self.assertEqual(self.end_of(first)[0], 3)
        self.assertIsNone(second.poll())
        open(self.d.path("go"), "w").close()
        code, out, err = self.end_of(second)
        os.unlink(self.d.path("go"))
        self.assertEqual((code, err, out.lstrip("a"), len(out) > 65536), (0, "", "b\n", True))

    def test_4_11_29_who_leaves_or_is_silent_has_it_no_more(self):
        idle, bid = self.begin("cat"), self.begin("cat")
        waits = self.attach(idle, b"", "--take", close=False)
        wait_for(lambda: self.d.api("POST", f"/builds/{idle}/input", {"sender": "two"}).status == 409, "the one that waits to have it")
        self.ask(bid, sender="one")
        self.assertEqual(self.ask(bid, 409, sender="two")["error"]["code"], "input_held")
        self.ask(bid, sender="two", leave=True)
        self.assertEqual(self.ask(bid, 409, sender="two")["error"]["code"], "input_held", "it left nothing: it had it not")
        self.ask(bid, sender="one", leave=True)
        self.ask(bid, sender="two", off=0, data=base64.b64encode(b"x").decode())
        p = self.attach(bid, b"", "--take", close=False)
        wait_for(lambda: self.d.api("POST", f"/builds/{bid}/input", {"sender": "two"}).status == 409, "the attached one to have it")
        p.kill()
        wait_for(lambda: self.d.api("POST", f"/builds/{bid}/input", {"sender": "two"}).status == 200, "it to count as gone")
        self.ask(bid, sender="two", off=1, close=True)
        self.assertEqual(self.ask(idle, 409, sender="two")["error"]["code"], "input_held", "who is there and sends nothing has it still")
        waits.stdin.close()
        self.assertEqual(self.end_of(waits)[0], 0)


if __name__ == "__main__":
    unittest.main()
