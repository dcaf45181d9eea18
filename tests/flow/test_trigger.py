#!/usr/bin/env python3
"""Steps that trigger builds of others: with and without waiting for them, results, properties, cancels in every direction, slots, kills of the master in each state."""
import json
import os
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, commit, commit_on, git, make_repo, read, wait_for  # noqa: E402
from schedsite import Session  # noqa: E402

SUCCESS, WARNINGS, FAILURE, SKIPPED, EXCEPTION, RETRY, CANCELLED = range(7)


def pipeline(root):
    """Each builder writes its name, revision and properties to `ran`, waits while there is a file hold-NAME, and fails where there is fail-NAME."""
    run = {"name": "s", "run": 'n="${DROVER_BUILDER##*/}"; echo "$n ${DROVER_REVISION:-none} ${DROVER_PROPERTY_word:-none} ${DROVER_PROPERTY_n:-none}" >>@/ran; '
           'while [ -e "@/hold-$n" ]; do sleep 0.02; done; [ ! -e "@/fail-$n" ]'.replace("@", root)}
    b = {"checkout": "none", "steps": [run]}

    def by(trigger, *before, **more):
        return {"checkout": "none", **more, "steps": [*before, {"name": "go", "trigger": trigger}, {**run, "name": "after"}]}

    late = {"name": "first", "run": f"while [ -e {root}/hold-late ]; do sleep 0.02; done"}
    abroad = {"out": by({"builders": ["other/dist", "a"], "wait": True, "with": {"word": "w"}}), "leaves": by("other/dist"), "soft-out": by({"builders": ["a", "other/dist"], "wait": True, "unimportant": "other/dist"}),
              "line": by({"builders": "other/dist", "branch": "${{ properties.line }}", "wait": True}), "own": by({"builders": ["a", "m"], "branch": "side", "wait": True}),
              "none": by({"builders": "other/nothing", "wait": True}), "ring": by({"builders": "other/back", "wait": True}), "late": by({"builders": "other/dist", "wait": True}, late)}
    return {**abroad, "a": b, "lib": b, "b": {**b, "needs": "lib"}, "m": {**b, "matrix": {"N": [1, 2]}},
            "fire": by("b"), "waits": by({"builders": ["a", "b"], "wait": True}), "soft": by({"builders": ["a", "b"], "wait": True, "unimportant": "b"}),
            "sets": by({"schedulers": ["one", "two"], "wait": True, "with": {"n": "${{ 6 * 7 }}", "word": "${{ properties.word ?? 'x' }}y"}}),
            "hands": by({"builders": "a", "wait": True, "copy": ["word", "other"], "with": {"n": "${{ number + 0 }}"}, "reason": "for ${{ builder }}"}),
            "checked": {"steps": [{"name": "go", "trigger": {"builders": "a", "wait": True}}]},
            "other": by({"builders": "a", "wait": True, "revision": "${{ properties.rev }}"}),
            "high": by("m", {"name": "first", "run": f"while [ -e {root}/hold-first ]; do sleep 0.02; done"}), "deep": by({"builders": "waits", "wait": True}), "bad": by({"schedulers": "one", "with": {"n": "many", "word": "w"}})}


SCHEDULERS = {"none": {"force": {}, "builders": "a"},
              "one": {"triggered": {"parameters": {"n": {"type": "integer"}, "word": {"default": "dull"}}}, "builders": "a"},
              "two": {"triggered": {"parameters": {"n": {}, "word": {"default": "dull"}}}, "builders": ["m"]}}


class Trigger(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 4}}

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a"})
        p = pipeline(d.root)
        other = {"builders": {"pre": p["lib"], "dist": {**p["lib"], "needs": "pre"}, "back": {"checkout": "none", "steps": [{"trigger": {"builders": "p/ring", "wait": True}}]}}}
        make_repo(d.path("other"), {".drover.yml": json.dumps(other)})
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "200ms", "triggered_by": "other", "builders": p, "schedulers": SCHEDULERS},
                              "other": {"git": d.path("other"), "poll": "200ms", "triggered_by": ["p"]}})

    def setUp(self):
        self.d.wait_looked("p", "other")
        self.rev = commit(self.d.path("repo"), {"a": self._testMethodName}, self._testMethodName)
        open(self.d.path("ran"), "w").close()

    def tearDown(self):
        for name in os.listdir(self.d.root):
            if name.startswith(("hold-", "fail-")):
                os.unlink(self.d.path(name))

    def mark(self, what, *builders):
        for b in builders:
            open(self.d.path(f"{what}-{b}"), "w").close()

    def go(self, *builders):
        for b in builders:
            os.unlink(self.d.path("hold-" + b))

    def ask(self, builder, **more):
        """The request of its builder."""
        a = self.d.post("/builds", {"builder": "p/" + builder, "branch": "main", "revision": self.rev, **more}, 201)
        return a["requests"][-1]

    def build(self, request):
        """The build of a request, as soon as there is one."""
        b = wait_for(lambda: (self.d.get("/requests/" + request)["builds"] or [None])[-1], f"a build of {request}")
        return self.d.get("/builds/" + b)

    def step(self, request, name="go"):
        return next((s for s in self.build(request)["steps"] if s["name"] == name), None)

    def wait_waiting(self, request):
        wait_for(lambda: (s := self.step(request)) and s["state"] == "wait" and s["result"] is None, f"{request} to wait")

    def end(self, request):
        r = wait_for(lambda: (r := self.d.get("/requests/" + request))["state"] == "done" and r, f"the end of {request}")
        return r["result"]

    def children(self, request):
        """The requests that its builds triggered, by builder."""
        sets = [t for b in self.d.get("/requests/" + request)["builds"] for s in self.d.get("/builds/" + b)["steps"] for t in s["triggered"]]
        return {r["builder"]: r for t in sets for r in self.d.get("/buildsets/" + t["id"])["requests"]}

    def wait_child(self, request, builder, state):
        return wait_for(lambda: (r := self.children(request).get(builder)) and r["state"] == state and r, f"{builder} to be {state}")

    def ran(self):
        return [x.split() for x in read(self.d.path("ran")).decode().splitlines()]

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return p.stdout

    def test_without_waiting_it_succeeds_at_once(self):
        self.mark("hold", "lib")
        r = self.ask("fire")
        self.assertEqual(self.end(r), SUCCESS)
        self.assertEqual((self.step(r)["result"], self.step(r)["state"]), (SUCCESS, "done"))
        c = self.children(r)
        self.assertEqual(sorted(c), ["b", "lib"])  # with what it needs
        self.assertNotEqual(c["b"]["state"], "done")
        self.go("lib")
        self.assertEqual(self.end(c["b"]["id"]), SUCCESS)

    def test_who_waits_has_the_worst_of_their_results(self):
        for fails, result in (((), SUCCESS), (("b",), FAILURE), (("lib",), FAILURE), (("a", "b"), FAILURE)):
            self.rev = commit(self.d.path("repo"), {"a": f"{fails}"}, "again")
            self.mark("fail", *fails)
            r = self.ask("waits")
            self.assertEqual(self.end(r), result, fails)
            self.assertEqual(self.step(r)["result"], result)
            self.assertEqual(self.step(r, "after") is not None, result == SUCCESS)
            for b in fails:
                self.assertIn(f"{b}: failure ({self.children(r)[b]['id']})", self.step(r)["summary"])
                os.unlink(self.d.path("fail-" + b))
        self.assertEqual(self.cli("show", self.build(r)["id"] + ":go").count("triggered"), 1)

    def test_what_is_unimportant_does_not_count(self):
        self.mark("fail", "lib")  # only b needs it
        r = self.ask("soft")
        self.assertEqual(self.end(r), SUCCESS)
        self.assertEqual({b: c["result"] for b, c in self.children(r).items()}, {"a": SUCCESS, "lib": FAILURE, "b": SKIPPED})
        os.unlink(self.d.path("fail-lib"))
        self.mark("fail", "a")
        self.assertEqual(self.end(self.ask("soft")), FAILURE)

    def test_schedulers_with_their_parameters(self):
        r = self.ask("sets", properties={"word": "w"})
        self.assertEqual(self.end(r), SUCCESS)
        sets = self.step(r)["triggered"]
        self.assertEqual([(t["scheduler"], t["waited"]) for t in sets], [("one", True), ("two", True)])
        self.assertEqual(sorted(x[0] + " " + " ".join(x[2:]) for x in self.ran() if x[0] != "sets"), ["a wy 42", "m[1] wy 42", "m[2] wy 42"])
        types = self.d.sql(f"select properties from buildset where id = any(array[{','.join(t['id'][1:] for t in sets)}]) order by id")
        self.assertEqual([json.loads(t[0])["n"] for t in types], [42, "42"])
        kinds = {s["name"]: s for s in self.d.get("/schedulers")["items"] if s["project"] == "p"}
        self.assertEqual(kinds["one"]["kind"], "triggered")
        # One that is disabled is passed over; nothing left to do is no failure.
        self.d.post("/schedulers/p/one/disable", {"reason": "holidays"})
        try:
            r = self.ask("bad")
            self.assertEqual(self.end(r), EXCEPTION)
            self.assertIn('parameter "n" is a whole number', self.step(r)["summary"])
            r = self.ask("sets")
            self.assertEqual(self.end(r), SUCCESS)
            self.assertEqual([t["scheduler"] for t in self.step(r)["triggered"]], ["two"])
        finally:
            self.d.post("/schedulers/p/one/enable", {})

    def test_what_is_handed_on(self):
        r = self.ask("hands", properties={"word": "told", "more": "not"})
        self.assertEqual(self.end(r), SUCCESS)
        build = self.build(r)
        s = self.d.get("/buildsets/" + self.step(r)["triggered"][0]["id"])
        self.assertEqual(s["reason"], "for hands")
        self.assertEqual(s["parent"], {"build": build["id"], "step": "go", "waits": True})
        self.assertEqual([x[1:] for x in self.ran() if x[0] == "a"], [[self.rev, "told", str(build["number"])]])
        self.assertIn("parent    " + build["id"] + ":go, which waits for it", re.sub(" +", lambda m: m.group() if len(m.group()) > 1 else " ", self.cli("show", s["id"])))

    def test_at_what_was_really_checked_out(self):
        a = self.d.post("/builds", {"builder": "p/checked", "branch": "main"}, 201)  # of the branch's tip, whatever it is
        self.assertEqual(self.end(a["requests"][-1]), SUCCESS)
        self.assertEqual(self.ran()[0][:2], ["a", self.rev])

    def test_at_another_revision(self):
        old = self.rev
        self.rev = commit(self.d.path("repo"), {"a": "newer"}, "newer")
        r = self.ask("other", properties={"rev": old})
        self.assertEqual(self.end(r), SUCCESS)
        c = self.children(r)["a"]
        self.assertEqual((c["branch"], c["revision"]), ("", old))
        r = self.ask("other", properties={"rev": "main"})
        self.assertEqual(self.end(r), EXCEPTION)
        self.assertIn("this is no revision: main", self.step(r)["summary"])
        self.assertEqual(self.children(r), {})

    def test_priority_of_whoever_triggers(self):
        self.mark("hold", "m[1]", "m[2]")
        self.mark("hold", "first")
        r = self.ask("high")
        wait_for(lambda: self.build(r), "the build")
        self.d.post(f"/requests/{r}/priority", {"priority": 73})
        self.go("first")
        self.end(r)
        self.assertEqual({c["priority"] for c in self.children(r).values()}, {73})
        self.go("m[1]", "m[2]")
        for c in self.children(r).values():  # they write into the file of the next test else
            self.end(c["id"])

    def test_cancelled_with_whoever_waits(self):
        self.mark("hold", "a", "lib")
        top = self.ask("deep")
        middle = self.wait_child(top, "waits", "claimed")["id"]
        self.wait_child(middle, "a", "claimed"), self.wait_child(middle, "lib", "claimed"), self.wait_child(middle, "b", "waiting")
        told = self.d.post(f"/requests/{top}/cancel", {})
        children = {b: c["id"] for b, c in self.children(middle).items()}
        self.assertEqual(sorted(told["requests"]), sorted([top, middle, *children.values()]))
        for r in (top, middle, *children.values()):
            self.assertEqual(self.end(r), CANCELLED)
        for r in (top, middle, children["a"], children["lib"]):
            wait_for(lambda: self.build(r)["state"] == "done", f"the end of the build of {r}")
            self.assertEqual(self.build(r)["result"], CANCELLED)
        self.assertEqual(self.d.get("/requests/" + children["b"])["builds"], [])

    def test_one_of_them_cancelled(self):
        self.mark("hold", "a")
        r = self.ask("waits")
        a = self.wait_child(r, "a", "claimed")["id"]
        self.d.post(f"/requests/{a}/cancel", {})
        self.assertEqual(self.end(r), CANCELLED)
        self.assertIn(f"a: cancelled ({a})", self.step(r)["summary"])

    def test_rerun_triggers_anew(self):
        r = self.ask("waits")
        self.assertEqual(self.end(r), SUCCESS)
        again = self.d.post(f"/builds/{self.build(r)['id']}/rerun", {}, 201)["requests"][0]
        self.assertEqual(self.end(again), SUCCESS)
        self.assertFalse({c["id"] for c in self.children(r).values()} & {c["id"] for c in self.children(again).values()})


    # ---- other projects, other branches ----

    def head(self, repo, branch="main"):
        return git(self.d.path(repo), "rev-parse", branch)

    def seen(self, project, branch, revision):
        wait_for(lambda: self.d.sql(f"select 1 from branch_head h join project p on p.id = h.project where p.name = '{project}' and h.branch = '{branch}' and h.revision = '{revision}'"), f"{project} {branch}")

    def side(self, project, repo, text):
        """A commit on its branch side, seen."""
        rev = commit_on(self.d.path(repo), "side", {"b": text}, text)
        git(self.d.path(repo), "checkout", "-q", "main")
        self.seen(project, "side", rev)
        return rev

    def test_4_8_33_builders_of_another_project(self):
        self.mark("hold", "dist")
        r = self.ask("out")
        self.wait_child(r, "dist", "claimed")
        self.assertEqual(sorted(c["builder"] for c in self.children(r).values()), ["a", "dist", "pre"])
        dist = self.d.get("/requests/" + self.children(r)["dist"]["id"])
        self.assertEqual((dist["project"], dist["branch"], dist["revision"], dist["reason"]), ("other", "main", self.head("other"), f"triggered by {self.build(r)['id']}:go"))
        self.wait_waiting(r)
        self.go("dist")
        self.assertEqual(self.end(r), SUCCESS)
        self.assertIn(["dist", self.head("other"), "w", "none"], self.ran())
        self.mark("fail", "dist")
        r = self.ask("out")
        self.assertEqual(self.end(r), FAILURE)
        self.assertEqual(self.step(r)["summary"], f"other/dist: failure ({self.children(r)['dist']['id']})")
        self.assertEqual(self.end(self.ask("soft-out")), SUCCESS)
        r = self.ask("leaves")
        self.assertEqual(self.end(r), SUCCESS, "who doesn't wait")
        self.assertEqual(self.end(wait_for(lambda: self.children(r).get("dist"), "what it left behind")["id"]), FAILURE)

    def test_4_8_34_another_branch(self):
        rev = self.side("other", "other", "one")
        r = self.ask("line", properties={"line": "side"})
        self.assertEqual(self.end(r), SUCCESS)
        c = self.children(r)["dist"]
        self.assertEqual((c["branch"], c["revision"]), ("side", rev))
        for line, why in (("nowhere", 'project other has no branch "nowhere"'), ("-x", "branch: this is no branch: -x")):
            r = self.ask("line", properties={"line": line})
            self.assertEqual(self.end(r), EXCEPTION)
            self.assertEqual(self.step(r)["summary"], why)
        rev = self.side("p", "repo", "two")
        r = self.ask("own")
        self.assertEqual(self.end(r), SUCCESS)
        self.assertEqual({(c["builder"], c["branch"], c["revision"]) for c in self.children(r).values()}, {(b, "side", rev) for b in ("a", "m[1]", "m[2]")})

    def test_4_8_35_cancelled_along_and_cancelled_there(self):
        self.mark("hold", "dist")
        r = self.ask("line", properties={"line": "main"})
        dist = self.wait_child(r, "dist", "claimed")["id"]
        told = self.d.post(f"/requests/{r}/cancel", {})
        self.assertIn(dist, told["requests"])
        self.assertEqual((self.end(r), self.end(dist)), (CANCELLED, CANCELLED))
        r = self.ask("line", properties={"line": "main"})
        dist = self.wait_child(r, "dist", "claimed")["id"]
        self.d.post(f"/requests/{dist}/cancel", {})
        self.assertEqual(self.end(r), CANCELLED)

    def test_4_8_36_what_can_not_be_had(self):
        r = self.ask("none")
        self.assertEqual(self.end(r), EXCEPTION)
        self.assertEqual(self.step(r)["summary"], f"project other has no builder nothing at {self.head('other')[:12]} of main")
        r = self.ask("ring")
        self.assertEqual(self.end(r), EXCEPTION)
        back = self.children(r)["back"]["id"]
        self.assertIn("p/ring would trigger itself: what it triggers has led here", self.d.get("/builds/" + self.d.get("/requests/" + back)["builds"][-1])["steps"][-1]["summary"])
        before = self.d.conf["projects"]
        try:
            self.d.configure(projects={**before, "other": {**before["other"], "triggered_by": "q"}})
            a = self.d.api("POST", "/config/activate", {})
            self.assertNotEqual(a.status // 100, 2)
            self.assertIn("project other doesn't let project p trigger its builders: the site says so with `triggered_by: [p]` there", a.json["error"]["help"])
        finally:
            self.d.configure(projects=before)

    def test_4_8_37_killed_before_it_is_asked_for(self):
        self.mark("hold", "late")
        r = self.ask("late")
        wait_for(lambda: (s := self.step(r, "first")) and s["state"] == "run", "its first step")
        lock = Session(self.d)
        self.addCleanup(lock.close)
        lock.tell("lock table buildset in exclusive mode")
        self.go("late")
        wait_for(lambda: self.d.sql("select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%trigger_answer%'"), "what asks for it")
        self.assertIn("What it waits for, other/dist, is about to be asked for", self.cli("why", r))
        self.d.kill_master(signal.SIGKILL)
        lock.tell("commit; begin")
        self.d.start_master()
        self.d.wait_worker()
        self.assertEqual(self.end(r), SUCCESS)
        self.assertEqual([x[0] for x in self.ran()].count("dist"), 1)

    def test_kills(self):
        """The master dies in each state; what happens meanwhile counts."""
        d = self.d
        self.mark("hold", "a", "lib")
        r = self.ask("waits")
        self.wait_waiting(r)
        d.kill_master()
        d.start_master()
        d.wait_worker()
        self.wait_waiting(r)
        self.assertEqual(sorted(self.children(r)), ["a", "b", "lib"])  # once
        wait_for(lambda: {"a", "lib"} <= {x[0] for x in self.ran()}, "the builds to run")
        d.kill_master()
        self.go("a", "lib")  # they end while there is no master
        d.start_master()
        self.assertEqual(self.end(r), SUCCESS)
        self.assertEqual([x[0] for x in self.ran()].count("waits"), 1)
        self.assertEqual(sorted(self.children(r)), ["a", "b", "lib"])

    def test_the_slot_is_free_while_it_waits(self):
        """One slot, three builds deep: each goes on in it when the one that it waits for has ended, in its own work folder."""
        d = self.own({"p": {}}, {"here": {"slots": 1}})
        make_repo(d.path("repo"), {"a": "a"})
        leaf = {"checkout": "none", "steps": [{"name": "s", "run": "echo leaf >leaf"}]}

        def by(name):
            return {"checkout": "none", "steps": [{"name": "before", "run": f"echo {name} >mine"}, {"name": "go", "trigger": {"builders": name, "wait": True}}, {"name": "after", "run": f"grep {name} mine"}]}

        d.configure(projects={"p": {"git": d.path("repo"), "poll": "200ms", "builders": {"leaf": leaf, "middle": by("leaf"), "top": by("middle")}}})
        d.up()
        b = d.run("p/top")
        self.assertEqual(b["result"], SUCCESS, b)
        self.assertEqual([s["result"] for s in b["steps"]], [0, 0, 0])
        slots = d.sql("select u.name, b.slot from build b join builder u on u.id = b.builder order by 1")
        self.assertEqual(len({s for _, s in slots}), 3, slots)
        self.assertEqual(d.get("/workers/here")["used"], 0)

    def test_rings_are_refused(self):
        bad = self.d.path("bad.yml")
        with open(bad, "w") as f:
            f.write("builders:\n  a: {steps: [{trigger: s}]}\n  b: {needs: a, steps: [make]}\nschedulers:\n  s: {triggered: {}, builders: b}\n")
        p = subprocess.run([f"{BUILD}/drover", "config", "check", bad], capture_output=True, text=True, timeout=60)
        self.assertIn('what this triggers would trigger itself, for ever: "a" ▸ "s" ▸ "b" ▸ "a"', p.stdout + p.stderr)


if __name__ == "__main__":
    unittest.main()
