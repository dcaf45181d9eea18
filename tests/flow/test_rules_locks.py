#!/usr/bin/env python3
"""docs/rules.md 4.7: locks. Builds of one site run until the test lets them end; who has what is read from the rows and from what the builds themselves write."""
import concurrent.futures
import json
import os
import random
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, make_repo, wait_for  # noqa: E402
from schedsite import Session  # noqa: E402

SUCCESS, CANCELLED = 0, 6
LOCKS = {"boards": {"units": ["alpha1", "alpha2", "beta1"]}, "license": {"count": 3}, "disk": {"count": 1, "per": "worker"}, "release": None, "other": {}, "later": {"count": 2}, "gone": {}}


class Base(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"one": {"slots": 6}, "two": {"slots": 6, "tags": ["two"]}}

    @classmethod
    def builder(cls, locks=None, step_locks=None, **more):
        """One that tells its units and then waits for leave: a file of its own, or of all."""
        run = f'echo "$DROVER_BUILD:${{UNITS-none}}" >>{cls.d.root}/ran; n=$(echo "$DROVER_BUILD" | tr / -); while [ ! -e {cls.d.root}/go/$n ] && [ ! -e {cls.d.root}/go/all ]; do sleep 0.02; done'
        step = {"name": "s", "run": run, **({"locks": step_locks} if step_locks else {})}
        return {"checkout": "none", "steps": more.pop("before", []) + [step] + more.pop("after", []), **({"locks": locks} if locks else {}), **more}

    @classmethod
    def builders(cls):
        b = cls.builder
        return {"free": b(), "one-license": b({"license": 1}), "two-licenses": b({"license": 2}), "all-licenses": b({"license": "exclusive"}), "none-of-it": b({"license": 0, "release": 1}),
                "board": b({"boards": {"take": 1, "as": "UNITS"}}), "boards": b({"boards": {"take": 2, "as": "UNITS"}}), "all-boards": b({"boards": {"take": "exclusive", "as": "UNITS"}}),
                "release": b({"release": "exclusive"}), "other": b({"other": 1}), "both": b({"release": 1, "other": 1}), "disk": b({"disk": 1}), "disk-two": b({"disk": 1}, worker={"tags": ["two"]}),
                "nowhere": b({"release": 1}, worker={"tags": ["nowhere"]}), "later": b({"later": 1}), "gone": b({"gone": 1}), "fails": {"checkout": "none", "locks": {"release": 1}, "steps": ["false"]},
                "step": b(None, {"release": 1}, before=[{"name": "before", "run": "true"}], after=[{"name": "after", "run": "true"}]),
                "step-boards": b(None, {"boards": {"take": 2, "as": "UNITS"}}, after=[{"name": "told", "run": f'echo "after:${{UNITS-none}}" >>{cls.d.root}/ran'}]),
                "argv": {"checkout": "none", "locks": {"boards": 2}, "steps": [{"run": ["sh", "-c", f"echo \"$1\" >>{cls.d.root}/ran", "sh", "${{ locks.boards }}"]}, {"if": "locks.release == none", "run": f"echo no release >>{cls.d.root}/ran"}]}}

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a"})
        os.mkdir(d.path("go"))
        d.configure(locks=LOCKS, projects={"p": {"git": d.path("repo"), "poll": "1h", "builders": cls.builders(), "schedulers": {"none": {"force": {}}}}})

    def setUp(self):
        self.d.wait_looked("p")
        open(self.d.path("ran"), "w").close()

    def tearDown(self):
        self.let_all_end()
        for f in os.listdir(self.d.path("go")):
            os.unlink(self.d.path("go", f))

    def let_all_end(self):
        """All that is asked for, over and nothing held."""
        self.let("all")
        for rid, state in self.d.sql("select id, state from build_request where state <> 'done'"):
            if state == "pending":
                self.d.post(f"/requests/r{rid}/cancel")
        wait_for(lambda: self.d.sql("select (select count(*) from build_request where state <> 'done') + (select count(*) from build where state <> 'done')") == [["0"]], "the end of all")
        self.assertEqual(self.d.sql("select (select count(*) from lock_hold) + (select count(*) from lock_wait where step > 0)"), [["0"]], "what is over holds nothing")
        os.unlink(self.d.path("go", "all"))

    # ---- what is done ----

    def ask(self, builder, **more):
        return self.d.post("/builds", {"builder": "p/" + builder, "branch": "main", **more}, 201)["requests"][0]

    def let(self, build):
        open(self.d.path("go", build.replace("/", "-")), "w").close()

    def end(self, rid):
        """Its build ends well."""
        self.let(self.build(rid))
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)

    def activate(self, **locks):
        self.d.configure(locks={**LOCKS, **locks})
        self.d.post("/config/activate")

    # ---- what there is ----

    def build(self, rid):
        return self.d.request(rid)["builds"][-1]

    def runs(self, rid):
        """Once its step runs."""
        return wait_for(lambda: self.d.request(rid)["state"] == "claimed" and any(line.startswith(self.build(rid) + ":") for line in self.ran()) and self.build(rid), f"{rid} to run")

    def ran(self):
        with open(self.d.path("ran")) as f:
            return f.read().split("\n")[:-1]

    def units(self, rid):
        build = self.runs(rid)
        return next(line.split(":", 1)[1] for line in self.ran() if line.startswith(build + ":")).split()

    def reason(self, rid):
        return self.d.get(f"/requests/{rid}/why")["reason"]

    def waits(self, rid, lock, text=""):
        """Once it waits for that lock, and says so."""
        return wait_for(lambda: (r := self.reason(rid))["kind"] == "lock" and r["object"] == lock and text in r["text"] and r, f"{rid} to wait for {lock} ({text})")

    def pending(self, *rids):
        self.assertEqual([self.d.request(r)["state"] for r in rids], ["pending"] * len(rids))

    def held(self, lock):
        """{build: n or None}"""
        return {h["build"]: h["n"] for h in self.lock(lock)["holders"]}

    def lock(self, name):
        return next(x for x in self.d.get("/locks")["items"] if x["name"] == name)

    def line(self, name):
        return [w["request"] for w in self.lock(name)["waiting"]]

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return p.stdout if code == 0 else p.stderr


class Locks(Base):
    def test_4_7_1_as_many_as_there_are(self):
        a, b, c = (self.ask("one-license") for _ in range(3))
        for r in (a, b, c):
            self.runs(r)
        d = self.ask("one-license")
        r = self.waits(d, "license")
        self.assertRegex(r["text"], r"^waits for lock license: 0 of 3 free, needs 1; held by p/one-license/\d+ \(1\), p/one-license/\d+ \(1\), p/one-license/\d+ \(1\); 1st in line\. ")
        self.assertEqual(list(self.held("license").values()), [1, 1, 1])
        self.pending(d)
        self.assertEqual(self.d.run("p/argv")["result"], SUCCESS, "what wants none of it goes on")
        self.end(b)
        self.runs(d)
        self.assertEqual(len(self.held("license")), 3)

    def test_4_7_2_exclusive_when_nobody_has_any_and_nobody_beside(self):
        a = self.ask("one-license")
        self.runs(a)
        x = self.ask("all-licenses")
        self.waits(x, "license", "2 of 3 free, needs it for itself; held by " + self.build(a))
        b = self.ask("one-license")
        self.waits(b, "license", "2nd in line")
        self.end(a)
        self.runs(x)
        self.assertEqual(self.held("license"), {self.build(x): None})
        self.waits(b, "license", self.build(x) + " (exclusive)")
        self.end(x)
        self.runs(b)

    def test_4_7_9_the_names_of_its_units(self):
        a, b = self.ask("boards"), self.ask("board")
        self.assertEqual((self.units(a), self.units(b)), (["alpha1", "alpha2"], ["beta1"]))
        c = self.ask("board")
        self.waits(c, "boards", "0 of 3 units free, needs 1; held by " + self.build(a) + " (2), " + self.build(b) + " (1)")
        self.end(a)
        self.assertEqual(self.units(c), ["alpha1"])
        self.assertEqual([h["units"] for h in self.lock("boards")["holders"]], [["beta1"], ["alpha1"]])
        x = self.ask("all-boards")
        self.end(b)
        self.end(c)
        self.assertEqual(self.units(x), ["alpha1", "alpha2", "beta1"])

    def test_4_7_9_in_expressions(self):
        self.assertEqual(self.d.run("p/argv")["result"], SUCCESS)
        self.assertEqual(self.ran(), ["alpha1 alpha2", "no release"])

    def test_4_7_7_a_steps_locks(self):
        a = self.ask("release")
        self.runs(a)
        s = self.ask("step")
        r = self.waits(s, "release")
        self.assertRegex(r["text"], r"^p/step/\d+ runs it on \w+, slot \d+\. Its step waits for lock release: 0 of 1 free, needs 1; held by p/release/\d+ \(exclusive\); 1st in line\. ")
        b = self.d.get("/builds/" + self.build(s))
        self.assertEqual([(t["name"], t["state"], len(t["commands"])) for t in b["steps"]], [("before", "done", 1), ("s", "locks", 0)])
        self.assertIn("waits for lock release", b["steps"][1]["waits"])
        self.assertIn("waits for lock release: 0 of 1 free", self.cli("show", self.build(s)))
        self.end(a)
        self.runs(s)
        self.assertEqual([(h["build"], h["step"], h["n"]) for h in self.lock("release")["holders"]], [(self.build(s), "s", 1)])
        self.end(s)

    def test_4_7_7_only_while_the_step_runs(self):
        s = self.ask("step-boards")
        self.assertEqual(self.units(s), ["alpha1", "alpha2"])
        self.end(s)
        self.assertEqual(self.ran()[-1], "after:none")

    def test_4_7_3_higher_priority_first_then_the_older_one(self):
        a = self.ask("release")
        self.runs(a)
        b, c, d = self.ask("release"), self.ask("step"), self.ask("none-of-it")
        for r in (b, c, d):
            self.waits(r, "release")
        self.d.post(f"/requests/{d}/priority", {"priority": 90})
        wait_for(lambda: self.line("release") == [d, b, c], "the line")
        self.waits(b, "release", "2nd in line")
        self.waits(c, "release", "3rd in line")
        for r, then in ((a, d), (d, b), (b, c)):
            self.end(r)
            build = self.runs(then)
            self.assertEqual(list(self.held("release")), [build])

    def test_4_7_4_who_wants_many_is_not_overtaken_by_who_wants_few(self):
        a = self.ask("two-licenses")
        self.runs(a)
        b = self.ask("two-licenses")
        self.waits(b, "license", "1 of 3 free, needs 2")
        c, d = self.ask("one-license"), self.ask("one-license")
        self.waits(c, "license", "1 of 3 free, needs 1; held by " + self.build(a) + " (2); 2nd in line")
        self.waits(d, "license", "3rd in line")
        self.end(a)
        self.assertEqual({self.runs(b), self.runs(c)}, set(self.held("license")))
        self.waits(d, "license", "1st in line")

    def test_4_7_5_all_or_none_and_what_it_could_have_is_left_to_others(self):
        a = self.ask("other")
        self.runs(a)
        b = self.ask("both")
        self.waits(b, "other", "1st in line")
        wait_for(lambda: self.line("other") == [b], "the line in the rows, which follow what the master says")
        self.assertEqual((self.held("release"), self.line("release")), ({}, []))
        c = self.ask("release")
        self.runs(c)
        self.end(a)
        self.waits(b, "release")
        wait_for(lambda: (self.line("other"), self.line("release")) == ([], [b]), "the lines in the rows")
        self.assertEqual(self.held("other"), {})
        self.end(c)
        build = self.runs(b)
        self.assertEqual((list(self.held("release")), list(self.held("other"))), ([build],) * 2)

    def test_4_7_6_to_the_builds_end_however_it_ends(self):
        a = self.ask("release")
        self.runs(a)
        f, b = self.ask("fails"), self.ask("release")
        self.waits(b, "release")
        self.pending(f, b)
        self.d.post(f"/requests/{a}/cancel")
        self.assertEqual(self.d.wait_request(f)["result"], 2)
        self.runs(b)

    def test_4_7_6_another_attempt_takes_them_anew(self):
        a = self.ask("boards")
        one = self.runs(a)
        b = self.ask("board")
        self.assertEqual(self.units(b), ["beta1"])
        minder = next(p for p in self.d.minders() if f"DROVER_BUILD={one}" in self.builds_below(p))
        os.kill(minder, 9)
        two = wait_for(lambda: len(r := self.d.request(a)["builds"]) == 2 and r[-1], "another attempt")
        self.assertEqual(self.d.get("/builds/" + one)["result"], 5)
        wait_for(lambda: any(line.startswith(two + ":") for line in self.ran()), "it to run")
        self.assertEqual(self.held("boards"), {two: 2, self.build(b): 1})

    def builds_below(self, pid):
        """DROVER_BUILD of the processes below it."""
        out = []
        for p in os.listdir("/proc"):
            try:
                with open(f"/proc/{p}/stat") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
                if parent == pid:
                    with open(f"/proc/{p}/environ", "rb") as f:
                        out += [x.decode() for x in f.read().split(b"\0") if x.startswith(b"DROVER_BUILD=")]
            except (OSError, ValueError):
                continue
        return out

    def test_4_7_8_on_each_worker_by_its_name(self):
        a, b = self.ask("disk"), self.ask("disk")
        self.runs(a), self.runs(b)
        self.assertEqual({h["worker"] for h in self.lock("disk")["holders"]}, {"one", "two"}, "the worker is chosen by where it is free")
        c = self.ask("disk-two")
        self.waits(c, "disk", "0 of 1 free on its worker")
        on = {h["worker"]: h["build"] for h in self.lock("disk")["holders"]}
        self.let(on["one"])
        wait_for(lambda: len(self.held("disk")) == 1, "the other one's end")
        self.waits(c, "disk", "held by " + on["two"])
        self.let(on["two"])
        self.runs(c)

    def test_4_7_10_lowered_nobody_loses_any_raised_others_go_on(self):
        a, b = self.ask("later"), self.ask("later")
        self.runs(a), self.runs(b)
        c = self.ask("later")
        self.waits(c, "later", "0 of 2 free")
        self.activate(later={"count": 1})
        self.waits(c, "later", "0 of 1 free")
        self.assertEqual(set(self.held("later")), {self.build(a), self.build(b)})
        self.end(a)
        self.waits(c, "later", "0 of 1 free, needs 1; held by " + self.build(b) + " (1); 1st in line")
        self.activate(later={"count": 3})
        self.runs(c)
        self.activate()

    def test_4_7_11_one_that_leaves_the_configuration(self):
        a = self.ask("gone")
        self.runs(a)
        b = self.ask("gone")
        self.waits(b, "gone")
        p = self.d.conf["projects"]["p"]
        self.d.configure(locks={k: v for k, v in LOCKS.items() if k != "gone"}, projects={"p": {**p, "builders": {k: v for k, v in p["builders"].items() if k != "gone"}}})
        self.d.post("/config/activate")
        self.waits(b, "gone", "the site's configuration has no such lock any more")
        self.assertEqual((self.lock("gone")["gone"], self.held("gone")), (True, {self.build(a): 1}))
        self.end(a)
        self.pending(b)
        self.d.configure(locks=LOCKS, projects={"p": p})
        self.d.post("/config/activate")
        self.runs(b)

    def test_4_7_12_none_of_it_is_nothing(self):
        x = self.ask("all-licenses")
        self.runs(x)
        a = self.ask("none-of-it")
        self.runs(a)
        self.assertEqual((list(self.held("release")), list(self.held("license"))), ([self.build(a)], [self.build(x)]))

    def test_4_7_13_who_is_cancelled_leaves_the_line(self):
        a = self.ask("one-license")
        self.runs(a)
        x, s, b = self.ask("all-licenses"), self.ask("step"), self.ask("one-license")
        self.waits(x, "license")
        self.waits(b, "license", "2nd in line")
        self.d.post(f"/requests/{x}/cancel")
        self.runs(b)
        self.runs(s)
        t, u = self.ask("step"), self.ask("release")
        self.waits(t, "release", "1st in line")
        self.waits(u, "release", "2nd in line")
        self.d.post(f"/builds/{self.build(t)}/cancel")
        self.assertEqual(self.d.wait_request(t)["result"], CANCELLED)
        wait_for(lambda: self.d.get("/builds/" + self.build(t))["state"] == "done", "the end of its build")
        self.waits(u, "release", "1st in line")
        self.end(s)
        self.runs(u)

    def test_4_7_16_who_has_no_worker_is_in_no_line(self):
        n = self.ask("nowhere")
        self.d.post(f"/requests/{n}/priority", {"priority": 100})
        wait_for(lambda: self.reason(n)["kind"] == "no_worker", "it to wait for a worker")
        a, b = self.ask("release"), self.ask("release")
        self.runs(a)
        self.waits(b, "release", "1st in line")
        wait_for(lambda: self.line("release") == [b], "the line in the rows")
        self.assertEqual(self.reason(n)["kind"], "no_worker")
        self.end(a)
        self.runs(b)

    def test_4_7_20_seen_from_the_command_line(self):
        a = self.ask("boards")
        self.runs(a)
        b = self.ask("boards")
        self.waits(b, "boards")
        wait_for(lambda: self.line("boards") == [b], "the line")
        text = self.cli("locks")
        self.assertRegex(text, r"boards  1 of 3 free\n +held by +p/boards/\d+  alpha1 alpha2  on (one|two)  .*\n +waits +" + b + r" \(p/boards\)  2  ")
        self.assertIn("release  1 of 1 free", text)
        self.assertIn("disk  1 on each worker", text)
        self.assertRegex(self.cli("why", b), "waits for lock boards: 1 of 3 units free, needs 2; held by p/boards")
        types = [t for t, in self.d.events("select type from event where object = 'lock/boards' and (body->>'build')::bigint = (select max(id) from build) order by number")]
        self.assertEqual(types, ["lock.taken"])

    def checked(self, builders, locks, code=2, **more):
        """What `config check` says of a site."""
        with open(self.d.path("other.yaml"), "w") as f:
            json.dump({"allow_local": True, "locks": locks, "projects": {"q": {"git": self.d.path("repo"), "builders": builders, **more}}}, f, indent=1)
        return self.cli("config", "check", "--site", self.d.path("other.yaml"), code=code)

    def test_4_7_21_who_waits_for_what_it_triggered_and_holds_what_that_wants(self):
        one = {"checkout": "none"}
        low = {**one, "locks": {"l": 1}, "steps": ["true"]}
        go = {"name": "go", "trigger": {"builders": "mid", "wait": True}}
        builders = {"top": {**one, "locks": {"l": 1}, "steps": [go]}, "mid": {**one, "needs": "low", "steps": ["true"]}, "low": low}
        locks = {"l": {"count": 2}}
        self.assertRegex(self.checked(builders, locks), r'q/top holds the lock "l" while this step waits for builds that take "l": builds of them could wait for each other for ever \(take it in a step')
        self.checked({**builders, "low": {**one, "steps": ["true"]}}, locks, code=0)
        self.checked({**builders, "top": {**one, "steps": [{"run": "true", "locks": {"l": 1}}, go]}}, locks, code=0)
        self.checked({**builders, "top": {**one, "locks": {"l": 1}, "steps": [{"name": "go", "trigger": {"builders": "mid", "wait": False}}]}}, locks, code=0)
        self.assertRegex(self.checked({**builders, "top": {**one, "steps": [{**go, "locks": {"l": 1}}]}}, locks), r'"locks"')

    def test_4_7_17_what_can_not_be_had_is_refused(self):
        one = {"checkout": "none"}
        for builders, locks, text in (
                ({"b": {**one, "locks": {"relese": 1}, "steps": ["true"]}}, {"release": {}}, r':\d+:\d+: there is no lock "relese" in the site\'s configuration \(did you mean "release"\?\)'),
                ({"b": {**one, "locks": {"l": 3}, "steps": ["true"]}}, {"l": {"count": 2}}, r'it takes 3 of the lock "l", and there are only 2'),
                ({"b": {**one, "locks": {"l": {"take": 1, "as": "X"}}, "steps": ["true"]}}, {"l": {}}, r'what there is of the lock "l" has no names'),
                ({"b": {**one, "locks": {"l": 1}, "steps": [{"run": "true", "locks": {"l": 1}}]}}, {"l": {"count": 2}}, r'the builder holds the lock "l" already'),
                ({"b": {**one, "locks": {"l": {"take": 1, "as": "X"}}, "steps": [{"run": "true", "env": {"X": "1"}}]}}, {"l": {"units": ["u"]}}, r'"X" is also a variable of `env`'),
                ({"b": {**one, "locks": {"l": "some"}, "steps": ["true"]}}, {"l": {}}, r'the lock "l" wants how many are taken'),
                ({"b": {**one, "steps": [{"run": "true", "always": True, "locks": {"l": 1}}]}}, {"l": {}}, r"a step that runs in any case \(`always`\) can't wait for locks"),
                ({"b": {**one, "steps": ["true"]}}, {"l": {"units": ["u", "u"]}}, r'the unit "u" stands twice'),
                ({"b": {**one, "steps": ["true"]}}, {"l": {"units": ["u"], "count": 1}}, r'"count" beside "units"'),
                ({"b": {**one, "locks": {"l": 1}, "steps": [{"run": "true", "locks": {"m": 1}}]}, "c": {**one, "locks": {"m": 1}, "steps": [{"run": "true", "locks": {"k": 1}}]},
                  "d": {**one, "locks": {"k": 1}, "steps": [{"run": "true", "locks": {"l": 1}}]}}, {"l": {}, "m": {}, "k": {}},
                 r'q/b holds the lock "l" while this step waits for "m", which q/c holds while it waits for "k", which q/d holds while it waits for "l": builds of them could wait for each other for ever')):
            self.assertRegex(self.checked(builders, locks), text)


class Away(Base):
    WORKERS = {"one": {"slots": 2}, "two": {"slots": 2, "tags": ["two"]}}

    @classmethod
    def builders(cls):
        return {"far": cls.builder({"boards": {"take": 3, "as": "UNITS"}}, worker={"tags": ["two"]}), "near": cls.builder({"boards": {"take": 1, "as": "UNITS"}})}

    def away(self):
        """A build on worker two, which is away; and one that waits for what it has."""
        a = self.ask("far")
        self.runs(a)
        b = self.ask("near")
        self.waits(b, "boards")
        self.d.kill_worker("two")
        self.d.wait_worker("two", connected=False)
        return a, b

    def processes(self, build):
        """Those of its step."""
        found = []
        for p in self.d.ours():
            try:
                with open(f"/proc/{p}/environ", "rb") as f:
                    found += [p] if f"DROVER_BUILD={build}".encode() in f.read().split(b"\0") else []
            except OSError:
                continue
        return found

    def test_4_7_14_cancelled_while_its_worker_is_away(self):
        a, b = self.away()
        self.waits(b, "boards", "held by " + self.build(a) + " (3); 1st in line")
        self.d.post(f"/requests/{a}/cancel")
        self.assertEqual((self.d.request(a)["state"], self.d.request(a)["result"]), ("done", CANCELLED), "at once")
        self.waits(b, "boards", "held by " + self.build(a) + " (3, cancelled, and its worker is away)")
        self.assertIn("Its slot and locks are held until two has told that all processes are gone", self.reason(a)["text"])
        self.assertEqual([(h["build"], h["ghost"]) for h in self.lock("boards")["holders"]], [(self.build(a), True)])
        self.assertRegex(self.cli("locks"), "cancelled, and its worker is away .drover worker forget-ghosts two.")
        self.assertNotEqual(self.processes(self.build(a)), [])
        self.d.start_worker("two")
        self.runs(b)
        self.assertEqual(self.processes(self.build(a)), [], "not before the old one is gone")

    def test_4_7_15_until_somebody_says_that_nothing_runs_any_more(self):
        self.assertIn("worker two is connected", self.cli("worker", "forget-ghosts", "two", code=2))
        a, b = self.away()
        self.assertIn("nothing that was cancelled", self.cli("worker", "forget-ghosts", "two"))
        self.waits(b, "boards", "held by " + self.build(a) + " (3); 1st in line")
        self.d.post(f"/requests/{a}/cancel")
        self.waits(b, "boards", "cancelled, and its worker is away")
        self.assertIn("forgotten  " + self.build(a), self.cli("worker", "forget-ghosts", "two"))
        self.runs(b)
        [[who, builds]] = self.d.events("select body->>'by', body->>'builds' from event where type = 'worker.ghosts_forgotten' order by number desc limit 1")
        self.assertEqual((bool(who), json.loads(builds)), (True, [self.build(a)]))
        self.d.start_worker("two")
        wait_for(lambda: not self.processes(self.build(a)), "what it still ran to be ended")
        self.assertEqual(self.d.get("/builds/" + self.build(a))["result"], CANCELLED)


class Masters(Base):
    WORKERS = {"one": {"slots": 4}}

    @classmethod
    def builders(cls):
        return {"release": cls.builder({"release": 1}, worker={"name": "one"}), "far": cls.builder({"release": 1}, worker={"tags": ["far"]}), "step": cls.builder(None, {"boards": {"take": 2, "as": "UNITS"}})}

    def again(self):
        self.d.kill_master()
        self.d.start_master()
        self.d.wait_worker("one")

    def test_4_7_18_a_steps_locks_over_the_masters_death(self):
        a = self.ask("step")
        units = self.units(a)
        b = self.ask("step")
        self.waits(b, "boards")
        slot = self.d.sql(f"select count(*) from build where state = 'running' and request = {b[1:]}")
        self.again()
        self.waits(b, "boards", "1 of 3 units free, needs 2; held by " + self.build(a) + " (2); 1st in line")
        self.assertEqual(slot, [["1"]])
        self.end(a)
        self.assertEqual(self.units(b), units)
        self.again()
        self.assertEqual([h["units"] for h in self.lock("boards")["holders"]], [units])
        self.end(b)
        self.assertEqual([self.d.request(r)["attempts"] for r in (a, b)], [1, 1])
        self.assertEqual(len(self.ran()), 2, "each ran once")

    def claims(self, n, rounds):
        """One session that takes several locks and gives them back, again and again: (taken, refused)."""
        dice, s, counts = random.Random(n), Session(self.d), [0, 0]
        too_much = "select l.name from lock l join lock_hold h on h.lock = l.id group by l.id having sum(h.n) > l.count or (bool_or(h.n is null) and count(*) > 1)"
        try:
            s.p.stdin.write("\\set ON_ERROR_STOP off\n")
            s.tell("commit")
            for i in range(rounds):
                b = -(n * rounds + i + 1)
                wants = [{"lock": x, "n": dice.choice([1, 1, None])} for x in dice.sample(["other", "license", "release", "later"], dice.randint(2, 4))]
                out = s.tell(f"begin; select locks_take({b}, 0, 1, '{json.dumps([{k: v for k, v in w.items() if v} for w in wants])}')")
                refused = [x for x in out if "ERROR" in x]
                if refused:
                    self.assertRegex(refused[0], "the lock .* is taken", "and nothing else, no deadlock above all")
                counts[bool(refused)] += 1
                s.tell("rollback" if refused else "commit")
                self.assertEqual([x for x in s.tell(too_much) if x], [])
                if dice.random() < 0.9 or i == rounds - 1:  # also after a refusal: what a session keeps may be what refuses it, and the others, for good
                    s.tell(f"select locks_free(x, null, 0) from generate_series({-(n * rounds + rounds)}, {-(n * rounds + 1)}) x")
        finally:
            s.close()
        return counts

    def test_4_7_19_three_that_claim_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            counts = list(pool.map(lambda n: self.claims(n, 80), range(3)))
        self.assertTrue(all(taken and taken + refused == 80 for taken, refused in counts), counts)
        self.assertEqual(self.d.sql("select count(*) from lock_hold where build < 0"), [["0"]])
        self.assertEqual(self.d.sql("select deadlocks from pg_stat_database where datname = current_database()"), [["0"]])

    @unittest.skipUnless(os.environ.get("DROVER_SOAK"), "two causes of its rare failures were found (one in drover, one here): in the usual run again when some soaks have passed")
    def test_4_7_19_in_the_whole_cluster(self):
        s = self.own({"p": {}}, database=f"host={self.d.lock_file()[4]} user=drover dbname=drover")
        self.owned.insert(0, self.owned.pop())
        s.configure(projects=self.d.conf["projects"], workers={**self.d.conf["workers"], "far": {"slots": 1, "tags": ["far"]}}, locks=LOCKS)
        s.start_master()
        s.workers = {"far": {"slots": 1, "tags": ["far"]}}
        s.start_worker("far")
        a, b = self.ask("release"), self.ask("far")
        self.runs(a)
        wait_for(lambda: (r := s.get(f"/requests/{b}/why")["reason"])["kind"] == "lock" and "1st in line" in r["text"], "the other master's to wait")
        c = self.ask("release")
        self.waits(c, "release", "2nd in line")
        wait_for(lambda: self.line("release") == [b, c], "the line in the rows")
        self.end(a)
        self.runs(b)
        self.waits(c, "release", "held by " + self.build(b))
        self.end(b)
        self.runs(c)


if __name__ == "__main__":
    unittest.main()
