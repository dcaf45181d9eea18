#!/usr/bin/env python3
"""Builders that a build reports (DROVER_REPORT, nodes.yml), in the order of docs/rules.md 4.2: what is added and when, over deaths, what is refused, who ends them, what is built again."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, UnixHttp, commit, make_repo, tell, wait_for  # noqa: E402
from hooks import SECRET, github  # noqa: E402
from schedsite import Session  # noqa: E402

SUCCESS, WARNINGS, FAILURE, SKIPPED, EXCEPTION, RETRY, CANCELLED = range(7)


def site(root):
    """Each builder writes its name to `ran`, reports report-NAME where there is one, then waits while there is hold-NAME, and fails where there is fail-NAME."""
    tell = {"name": "tell", "run": 'n="${DROVER_BUILDER##*/}"; echo "$n" >>@/ran; echo "version=$n-1" >"$DROVER_REPORT/properties"; [ ! -e "@/report-$n" ] || cp "@/report-$n" "$DROVER_REPORT/nodes.yml"'.replace("@", root)}
    after = {"name": "after", "run": 'n="${DROVER_BUILDER##*/}"; [ ! -e "@/report-$n-2" ] || cp "@/report-$n-2" "$DROVER_REPORT/nodes.yml"; while [ -e "@/hold-$n" ]; do sleep 0.02; done; [ ! -e "@/fail-$n" ]'.replace("@", root)}
    b = {"checkout": "none", "steps": [{"use": "usual"}]}
    return {"templates": {"usual": {"steps": [tell, after]}}, "defaults": {"env": {"FROM": "defaults"}},
            "builders": {"gen": b, "gen2": b, "core": b, "docs": b, "behind": {**b, "needs": "gen"}, "next": {**b, "needs": "gen"}},
            "schedulers": {"fast": {"force": {}, "fail_fast": True, "builders": ["gen", "docs"]}, "both": {"force": {}, "builders": ["gen", "gen2"]}, "three": {"force": {}, "builders": ["behind", "docs"]}, "pulls": {"pull_request": {}, "builders": "gen"}, "called": {"triggered": {}, "builders": "gen2"},
                           "pushes": {"change": {"branches": "line"}, "supersede": True, "builders": "gen"}}}


def node(needs=None, steps=None, **more):
    return {"checkout": "none", "steps": steps or [{"use": "usual"}], **({"needs": needs} if needs else {}), **more}


class Nodes(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 4}}

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a"})
        with open(d.path("hook"), "w") as f:
            f.write(SECRET)
        os.chmod(d.path("hook"), 0o600)
        make_repo(d.path("core"), {"a": "a"})
        make_repo(d.path("own"), {"a": "a"})
        d.configure(projects={"own": {"git": d.path("own"), "poll": "1h"}, "q": {"codebases": {"app": {"git": d.path("repo"), "poll": "200ms"}, "core": {"git": d.path("core"), "poll": "200ms"}}, "report_builders": True, "needed_by": ["p"], **site(d.root), "schedulers": {"never": {"force": {}}}}, "p": {"git": d.path("repo"), "poll": "200ms", "forks": "build", "report_builders": True, "hook": {"dialect": "github", "secret": {"file": d.path("hook")}}, **site(d.root)}}, locks={"one": None})

    def setUp(self):
        """At a revision of its own, so that nothing of before counts."""
        self.d.wait_looked("p", "q", "own")
        self.rev = commit(self.d.path("repo"), {"a": self._testMethodName}, self._testMethodName)
        open(self.d.path("ran"), "w").close()

    def tearDown(self):
        for name in os.listdir(self.d.root):
            if name.startswith(("hold-", "fail-", "report-")):
                os.unlink(self.d.path(name))

    def mark(self, what, *builders):
        for b in builders:
            open(self.d.path(f"{what}-{b}"), "w").close()

    def go(self, builder):
        os.unlink(self.d.path("hold-" + builder))

    def reports(self, builder, nodes=None, text=None):
        with open(self.d.path("report-" + builder), "w") as f:
            f.write(text if text is not None else json.dumps({"builders": nodes}))

    def ask(self, builder, **more):
        return self.d.post("/builds", {"builder": "p/" + builder, "branch": "main", "revision": self.rev, **more}, 201)["buildset"]

    def force(self, scheduler):
        wait_for(lambda: self.d.sql(f"select 1 from branch_head h join project p on p.id = h.project where p.name = 'p' and h.branch = 'main' and h.revision = '{self.rev}'"), "the head")
        return self.d.post(f"/schedulers/p/{scheduler}/run", {}, 201)["buildset"]

    def set(self, s):
        return {r["builder"]: r for r in self.d.get("/buildsets/" + s)["requests"]}

    def wait_set(self, s):
        """{builder: (result, how many builds)} once it is over; its result."""
        wait_for(lambda: self.d.get("/buildsets/" + s)["state"] == "done", f"the end of {s}")
        return {b: (r["result"], len(r["builds"])) for b, r in self.set(s).items()}

    def result(self, s):
        return self.d.get("/buildsets/" + s)["result"]

    def wait_told(self, s, builder="gen"):
        """Its build, once the step that reports has ended and the one behind it runs."""
        return self.d.wait_build(self.set(s)[builder]["id"], lambda b: any(x["name"] == "after" and x["state"] == "run" for x in b["steps"]), f"{builder}: its second step")

    def ran(self):
        return self.lines(self.d.path("ran"))

    def build(self, s, builder):
        return self.d.get("/builds/" + self.set(s)[builder]["builds"][-1])

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return p.stdout

    # ---- what is added ----

    def test_4_2_12_they_join_the_buildset_when_their_build_has_ended_well(self):
        self.mark("hold", "gen", "unit")
        self.reports("gen", {"unit": node(), "pack": node(["unit", "core", {"docs": "soft"}], [{"name": "say", "env": {"V": "${{ needs.gen.version }} ${{ needs.unit.version }}"}, "run": 'echo "$V $FROM"'}]),
                             "many": node(matrix={"N": [1, 2]})})
        s = self.ask("gen")
        b = self.wait_told(s)
        self.assertEqual(list(self.set(s)), ["gen"], "not before the build has ended")
        self.d.sql(f"update build_request set priority = 77 where id = {self.set(s)['gen']['id'][1:]}")
        step = {x["name"]: x for x in b["steps"]}["tell"]
        self.assertEqual((step["result"], step["report"]["nodes"]), (SUCCESS, ["unit", "pack", "many[1]", "many[2]"]))
        self.go("gen")
        self.d.wait_request(self.set(s)["gen"]["id"])
        got = self.set(s)
        self.assertEqual({r["priority"] for r in got.values()}, {77})
        self.assertEqual(sorted(got), ["core", "docs", "gen", "many[1]", "many[2]", "pack", "unit"], "with what they need of the pipeline")
        self.assertEqual({k: r["reported_by"] for k, r in got.items()}, {**dict.fromkeys(["gen", "core", "docs"]), **dict.fromkeys(["unit", "pack", "many[1]", "many[2]"], b["id"])})
        self.assertEqual(sorted((n["builder"], n["soft"]) for n in got["pack"]["needs"]), [("p/core", False), ("p/docs", True), ("p/gen", False), ("p/unit", False)])
        self.assertEqual([n["builder"] for n in got["many[2]"]["needs"]], ["p/gen"], "behind who reported it, also where it does not say so")
        self.assertEqual(self.d.get("/buildsets/" + s)["state"], "open", "it is over with the last of them")
        wait_for(lambda: {b for b, r in self.set(s).items() if r["state"] != "done"} == {"unit", "pack"}, "the others")
        wait_for(lambda: self.set(s)["unit"]["state"] == "claimed", "unit to run")
        text = self.d.get(f"/requests/{got['pack']['id']}/why")["reason"]["text"]
        self.assertIn("It needs p/unit, which runs", text)
        self.assertIn(f"{b['id']} reported it.", text)
        self.assertIn("It needs p/unit", self.cli("why", s))
        self.go("unit")
        self.assertEqual(self.wait_set(s), {k: (SUCCESS, 1) for k in got})
        self.assertEqual(self.result(s), SUCCESS)
        self.assertEqual(self.d.log(self.set(s)["pack"]["builds"][0], "say"), b"gen-1 unit-1 defaults\n", "properties go along, and defaults are the pipeline's")
        self.assertEqual(self.ran()[0], "gen")

    def test_4_2_12_its_result_is_theirs_too(self):
        self.mark("fail", "unit")
        self.reports("gen", {"unit": node(), "late": node("unit"), "soft": node({"unit": "soft"})})
        s = self.ask("gen")
        self.assertEqual(self.wait_set(s), {"gen": (SUCCESS, 1), "unit": (FAILURE, 1), "late": (SKIPPED, 0), "soft": (SUCCESS, 1)})
        self.assertEqual(self.result(s), FAILURE)
        # One of the pipeline that has ended badly before they come.
        self.mark("fail", "gen2")
        self.mark("hold", "gen")
        self.reports("gen", {"unit": node("gen2"), "late": node("unit"), "well": node()})
        s = self.force("both")
        self.d.wait_request(self.set(s)["gen2"]["id"])
        self.go("gen")
        os.unlink(self.d.path("fail-unit"))
        self.assertEqual(self.wait_set(s), {"gen": (SUCCESS, 1), "gen2": (FAILURE, 1), "unit": (SKIPPED, 0), "late": (SKIPPED, 0), "well": (SUCCESS, 1)})
        self.assertRegex(self.set(s)["unit"]["why"], r"^it needs gen2, which failed \(r\d+\)$")

    def test_4_2_12_what_is_there_is_taken(self):
        """A builder of the pipeline that one of them needs: that of the buildset, also where it is over."""
        self.mark("hold", "gen")
        self.reports("gen", {"unit": node(["core", "behind"])})
        s = self.d.post("/builds", {"builder": "p/behind", "branch": "main", "revision": self.rev}, 201)["buildset"]
        self.wait_told(s)
        self.go("gen")
        self.assertEqual(self.wait_set(s), dict.fromkeys(["gen", "behind", "core", "unit"], (SUCCESS, 1)))
        self.assertEqual(self.ran()[-1], "unit")
        # Where it is good already nothing is built for it.
        self.assertEqual(self.wait_set(self.ask("gen")), dict.fromkeys(["gen", "unit"], (SUCCESS, 1)))
        self.assertEqual((self.ran().count("core"), self.ran().count("behind")), (1, 1))
        # Nor is what a build has reported that is itself taken from before.
        self.assertEqual(self.wait_set(self.ask("behind")), {"behind": (SUCCESS, 1)})

    def test_4_2_12_of_another_project(self):
        self.reports("gen", {"unit": node(["q/docs"])})
        s = self.ask("gen")
        self.assertEqual(self.wait_set(s), dict.fromkeys(["gen", "unit"], (SUCCESS, 1)))
        self.assertEqual([n["builder"] for n in self.set(s)["unit"]["needs"]], ["p/gen", "q/docs"])
        self.reports("gen", {"unit": node(["q/none"])})
        s = self.ask("gen")
        self.assertEqual(self.wait_set(s), {"gen": (EXCEPTION, 1)}, "what is known of it is said at once")

    def test_4_2_13_locks_and_conditions_are_theirs(self):
        self.mark("hold", "a1")
        self.reports("gen", {"a1": node(locks={"one": "exclusive"}), "a2": node(locks={"one": "exclusive"}), "a3": node(worker={"tags": "nobody-has-it"})})
        s = self.ask("gen")
        wait_for(lambda: "a1" in self.ran(), "the first one")
        got = self.set(s)
        self.assertIn("lock one", wait_for(lambda: (t := self.d.get(f"/requests/{got['a2']['id']}/why")["reason"]["text"]) and "lock" in t and t, "its reason"))
        self.assertIn("nobody-has-it", self.d.get(f"/requests/{got['a3']['id']}/why")["reason"]["text"])
        self.assertIn("nobody-has-it", self.cli("show", got["a3"]["id"]))
        self.assertIn("reported by", self.cli("show", got["a3"]["id"]))
        self.d.post(f"/requests/{got['a3']['id']}/cancel", {})
        self.go("a1")
        self.assertEqual(self.wait_set(s), {"gen": (SUCCESS, 1), "a1": (SUCCESS, 1), "a2": (SUCCESS, 1), "a3": (CANCELLED, 0)})

    def test_4_2_13_they_are_no_builders_of_the_project_for_ever(self):
        listed = lambda: {x["name"] for x in self.d.get("/builders")["items"]}  # noqa: E731
        self.reports("gen", {"shortlived": node()})
        s = self.ask("gen")
        self.wait_set(s)
        self.assertIn("shortlived", listed())
        b = self.build(s, "shortlived")
        self.assertIn("has no builder shortlived", self.d.post("/builds", {"builder": "p/shortlived", "branch": "main", "revision": self.rev}, 404)["error"]["message"])
        self.assertIn("builder", self.cli("config", "explain", b["id"]))
        self.d.sql("update build set finished = finished - interval '8 days' where builder = (select id from builder where name = 'shortlived')")
        self.assertNotIn("shortlived", listed())
        self.assertEqual(self.d.get("/builds/" + b["id"])["result"], SUCCESS)
        self.assertTrue({"gen", "core"} <= listed())

    # ---- deaths ----

    def test_4_2_14_over_the_masters_death(self):
        """What a step has reported is a row; with the build's end it becomes requests, in one transaction."""
        d = self.d
        self.mark("hold", "gen")
        self.reports("gen", {"unit": node("core")})
        s = self.ask("gen")
        self.wait_told(s)
        d.kill_master()
        os.unlink(d.path("report-gen"))  # it is told by the rows alone
        self.go("gen")
        wait_for(lambda: not d.minders(), "the command's end")
        d.start_master()
        self.assertEqual(self.wait_set(s), dict.fromkeys(["gen", "core", "unit"], (SUCCESS, 1)))

    def test_4_2_14_a_second_step_builds_on_what_the_first_has_reported(self):
        """Also where another master has it then."""
        d = self.d
        for names, result in (({"two": node("one")}, SUCCESS), ({"one": node()}, EXCEPTION)):
            for dies in (False, True):
                with self.subTest(names=list(names), dies=dies):
                    self.mark("hold", "gen")
                    self.reports("gen", {"one": node()})
                    self.reports("gen-2", names)
                    s = self.ask("gen")
                    self.wait_told(s)
                    if dies:
                        d.kill_master()
                        d.start_master()
                    self.go("gen")
                    self.assertEqual(self.wait_set(s), dict.fromkeys(["gen", "one", "two"], (SUCCESS, 1)) if result == SUCCESS else {"gen": (EXCEPTION, 1)})
                    if result:
                        self.assertIn('there is a builder "one" already, reported by "gen"', self.build(s, "gen")["why"])

    def test_4_2_14_killed_in_the_middle_of_the_builds_end(self):
        """Its transaction waits for a row when the master dies: it is done or it is not, and never twice."""
        d = self.d
        self.mark("hold", "gen")
        self.reports("gen", {"unit": node(), "core-too": node("core")})
        s = self.ask("gen")
        self.wait_told(s)
        other = Session(d)
        self.addCleanup(other.close)
        other.tell(f"select from buildset where id = {s[1:]} for update")
        self.go("gen")
        wait_for(lambda: d.sql("select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%build_finish%'"), "the end to wait for the buildset")
        d.kill_master()
        other.tell("commit")
        d.start_master()
        self.assertEqual(self.wait_set(s), dict.fromkeys(["gen", "unit", "core-too", "core"], (SUCCESS, 1)))
        self.assertEqual(sorted(self.ran()), ["core", "core-too", "gen", "unit"])

    def test_4_2_14_nothing_is_left_of_builds_that_fail_or_are_lost(self):
        d = self.d
        self.reports("gen", {"unit": node()})
        self.mark("fail", "gen")
        s = self.ask("gen")
        self.assertEqual(self.wait_set(s), {"gen": (FAILURE, 1)})
        os.unlink(d.path("fail-gen"))
        self.mark("hold", "gen")
        s = self.ask("gen")
        b = self.wait_told(s)
        d.sql(f"update command set boot = 'another' where build = (select id from build where number = {b['number']} and builder = (select u.id from builder u join project p on p.id = u.project where u.name = 'gen' and p.name = 'p')) and state = 'open'")
        d.kill_worker()
        for pid in d.minders():
            tell(pid, 9)
        self.reports("gen", {"other": node()})
        self.go("gen")
        d.start_worker()
        self.assertEqual(self.wait_set(s), {"gen": (SUCCESS, 2), "other": (SUCCESS, 1)})

    # ---- what is refused ----

    REFUSED = {
        "taken": ('builders:\n  core: {steps: [a]}\n', "nodes.yml:2:3: there is a builder \"core\" already, the pipeline's"),
        "itself": ('builders:\n  gen: {steps: [a]}\n', "nodes.yml:2:3: there is a builder \"gen\" already, the pipeline's"),
        "unknown": ('builders:\n  unit: {needs: cor, steps: [a]}\n', 'nodes.yml:2:17: there is no builder "cor" (did you mean "core"?)'),
        "key": ('builders:\n  unit: {stepz: [a]}\n', 'nodes.yml:2:10: unknown key "stepz" (did you mean "steps"?)'),
        "secrets": ('secrets: {x: {store: true}}\nbuilders:\n  unit: {steps: [a]}\n', "nodes.yml:1:1: secrets are declared in the site's files"),
        "site": ('workers: {w: {slots: 4}}\nbuilders:\n  unit: {steps: [a]}\n', "nodes.yml:1:1: unknown key \"workers\" (it is a key of the site's configuration)"),
        "lock": ('builders:\n  unit: {locks: {two: 1}, steps: [a]}\n', 'nodes.yml:2:18: there is no lock "two" in the'),
        "secret": ('builders:\n  unit: {steps: [{run: a, secrets: {X: deploy}}]}\n', 'nodes.yml:2:'),
        "schedulers": ('schedulers: {all: {change: {}}}\nbuilders:\n  unit: {steps: [a]}\n', "nodes.yml:1:1: a report has builders only"),
        "empty": ("", 'nodes.yml:1:1: the report has no "builders"'),
        "list": ("[a, b]", "nodes.yml:1:1: a report of builders is a map, got a list"),
        "tags": ("builders: !!python/object/apply:os.system [id]", "nodes.yml:1:"),
        "many": ("builders:\n" + "".join(f"  n{i}: {{steps: [a]}}\n" for i in range(201)), "nodes.yml:202:3: more than 200 builders in one report, those of matrices counted"),
        "large": ("#" * 70000, "nodes.yml is longer than 61440 bytes"),
        "bytes": ("\x00", "nodes.yml has a NUL in it"),
    }

    def test_4_2_15_what_can_not_be_taken_is_an_exception_that_says_why(self):
        for name, (text, says) in self.REFUSED.items():
            with self.subTest(name):
                self.reports("gen", text=text)
                s = self.ask("gen")
                self.assertEqual(self.wait_set(s), {"gen": (EXCEPTION, 1)})
                b = self.build(s, "gen")
                step = {x["name"]: x for x in b["steps"]}["tell"]
                self.assertTrue(step["report"]["trouble"].startswith(says), step)
                self.assertEqual(list(step["report"]), ["trouble"], "nothing of it is taken")
                self.assertIn("it reports builders that can't be taken: " + says, step["summary"])
                self.assertIn(says, b["why"])
        self.reports("gen", text=self.REFUSED["unknown"][0])
        s = self.ask("gen")
        self.wait_set(s)
        self.assertIn("  unit: {needs: cor, steps: [a]}", self.cli("show", self.build(s, "gen")["id"]), "with the line and a caret")
        self.assertEqual(self.d.sql("select name from builder where name in ('n0', 'n1')"), [])

    def test_4_2_16_two_reports_of_one_name(self):
        self.mark("hold", "gen", "gen2", "unit")
        self.reports("gen", {"unit": node()})
        self.reports("gen2", {"unit": node(), "more": node()})
        s = self.force("both")
        self.wait_told(s), self.wait_told(s, "gen2")
        self.go("gen")
        first = self.d.wait_request(self.set(s)["gen"]["id"])["builds"][0]
        self.go("gen2")
        self.assertEqual(self.d.wait_request(self.set(s)["gen2"]["id"])["result"], EXCEPTION)
        self.assertEqual(self.build(s, "gen2")["why"], f'it reports a builder "unit", which was reported by {first} before; names of builders are for one report each')
        self.go("unit")
        self.assertEqual(self.wait_set(s), {"gen": (SUCCESS, 1), "gen2": (EXCEPTION, 1), "unit": (SUCCESS, 1)})
        self.assertEqual(self.result(s), EXCEPTION)

    def test_4_2_17_what_was_reported_may_report(self):
        d = self.d
        self.reports("gen", {"one": node(), "beside": node()})
        self.reports("one", {"two": node(["beside", "core"])})
        self.reports("two", {"three": node(["one", "gen"])})
        s = self.ask("gen")
        self.assertEqual(self.wait_set(s), dict.fromkeys(["gen", "one", "beside", "two", "core", "three"], (SUCCESS, 1)))
        got = self.set(s)
        self.assertEqual([got[k]["reported_by"] for k in ("one", "two", "three")], [got[k]["builds"][0] for k in ("gen", "one", "two")])
        self.assertEqual({n["builder"] for n in got["three"]["needs"]}, {"p/one", "p/gen", "p/two"})
        # What it knows is what is below it: no name twice on the way, and no more than the buildset may have.
        self.reports("two", {"beside": node()})
        s = self.ask("gen")
        self.assertEqual(self.wait_set(s)["two"], (EXCEPTION, 1))
        self.assertIn('there is a builder "beside" already, reported by "gen"', self.build(s, "two")["why"])
        self.reports("two", {"three": node()})
        d.sql("create or replace function nodes_max() returns int language sql immutable as $$ select 3 $$")
        try:
            s = self.ask("gen")
            self.assertEqual(self.wait_set(s)["two"], (EXCEPTION, 1))
            self.assertEqual(self.build(s, "two")["why"], "it reports 1 builders, and with these the buildset would have more than 3 that were reported")
        finally:
            d.sql("create or replace function nodes_max() returns int language sql immutable as $$ select 500 $$")

    # ---- their end ----

    def test_4_2_18_whoever_ends_the_buildset_ends_them(self):
        self.mark("hold", "unit", "docs")
        self.mark("fail", "bad")
        self.reports("gen", {"unit": node(), "later": node("unit"), "bad": node()})
        s = self.force("fast")  # fail_fast
        self.assertEqual(self.wait_set(s), {"gen": (SUCCESS, 1), "docs": (CANCELLED, 1), "unit": (CANCELLED, 1), "later": (CANCELLED, 0), "bad": (FAILURE, 1)})
        os.unlink(self.d.path("fail-bad"))
        self.reports("gen", {"unit": node(), "later": node("unit")})
        s = self.ask("gen")
        wait_for(lambda: self.set(s).get("unit", {}).get("state") == "claimed", "it to run")
        self.d.post(f"/buildsets/{s}/cancel", {"reason": "no"})
        self.assertEqual({b: r for b, (r, _) in self.wait_set(s).items()}, {"gen": SUCCESS, "unit": CANCELLED, "later": CANCELLED})

    def ends_while(self, s, end, waits):
        """The transaction of gen's end is under way when end() comes, whose statement waits for it."""
        d, other = self.d, Session(self.d)
        self.addCleanup(other.close)
        other.tell(f"select from buildset where id = {s[1:]} for update")
        self.go("gen")
        asked = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%{}%'"
        wait_for(lambda: d.sql(asked.format("build_finish")), "the end to wait for the buildset")
        end()
        wait_for(lambda: d.sql(asked.format(waits)), "it to wait for the build")
        other.tell("commit")
        self.assertEqual({b: r for b, (r, _) in self.wait_set(s).items()}, {"gen": SUCCESS, "unit": CANCELLED, "later": CANCELLED})

    def test_4_2_18_also_at_the_moment_when_they_are_added(self):
        """Who ends a buildset while the transaction of a build's end is under way waits for the build's row, and ends what that has added."""
        d = self.d
        self.mark("hold", "gen")
        self.reports("gen", {"unit": node(), "later": node("unit")})
        s = self.ask("gen")
        self.wait_told(s)

        def cancel():
            p = subprocess.Popen([f"{BUILD}/drover", "cancel", s, "--reason", "no"], env={**os.environ, "DROVER_SOCKET": d.path("api.sock")}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            self.addCleanup(p.wait)
        self.ends_while(s, cancel, "requests_cancel")

        tell = lambda rev: d.post("/changes", {"project": "p", "branch": "line", "revision": rev}, 201)["change"]  # noqa: E731
        self.mark("hold", "gen")
        one = tell(self.rev)
        s = wait_for(lambda: d.get("/changes/" + one)["buildsets"], "its buildset")[0]
        self.wait_told(s)
        self.ends_while(s, lambda: tell("1" * 40), "change_decide")
        self.assertIn("superseded by c", self.set(s)["unit"]["why"])

    def test_4_2_18_what_is_to_stop_gets_no_more(self):
        """`fail_fast`: one has ended badly, and nobody has ended the others yet."""
        self.mark("hold", "gen", "docs")
        self.reports("gen", {"unit": node()})
        s = self.force("fast")
        self.wait_told(s)
        other = Session(self.d)
        self.addCleanup(other.close)
        other.tell(f"update buildset set stop_for = {self.set(s)['docs']['id'][1:]} where id = {s[1:]}")  # it is seen when gen's end is under way: the master, which looks now and then, would end gen too
        self.go("gen")
        wait_for(lambda: self.d.sql("select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%build_finish%'"), "the end to wait for the buildset")
        other.tell("commit")
        self.assertEqual({b: r for b, (r, _) in self.wait_set(s).items()}, {"gen": SUCCESS, "docs": CANCELLED})

    def test_4_2_18_who_was_cancelled_adds_nothing(self):
        self.mark("hold", "gen")
        self.reports("gen", {"unit": node()})
        s = self.ask("gen")
        self.wait_told(s)
        self.d.post(f"/requests/{self.set(s)['gen']['id']}/cancel", {})
        self.go("gen")
        self.assertEqual(self.wait_set(s), {"gen": (CANCELLED, 1)})
        wait_for(lambda: self.build(s, "gen")["state"] == "done", "the end of its processes")
        self.assertEqual(list(self.set(s)), ["gen"])
        # The request is over, and the build ends well before its master hears of it.
        self.mark("hold", "gen")
        s = self.ask("gen")
        b = self.wait_told(s)
        self.d.sql(f"select request_finish({b['request'][1:]}, 6::smallint, 'no')")
        self.go("gen")
        wait_for(lambda: self.build(s, "gen")["state"] == "done", "its end")
        self.assertEqual((self.build(s, "gen")["result"], self.wait_set(s)), (SUCCESS, {"gen": (CANCELLED, 1)}))

    def test_4_2_18_others_of_the_buildset_end_meanwhile(self):
        """The rows of requests come before that of the buildset: who has it waits for nobody."""
        d = self.d
        self.mark("hold", "gen", "docs")
        self.reports("gen", {"unit": node()})
        s = self.force("three")
        self.wait_told(s)
        other = Session(d)
        self.addCleanup(other.close)
        other.tell(f"select from build_request where id = {self.set(s)['behind']['id'][1:]} for update")
        self.go("gen")
        wait_for(lambda: d.sql("select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%build_finish%'"), "the end to wait for the request behind it")
        d.post(f"/requests/{self.set(s)['docs']['id']}/cancel", {})
        other.tell("commit")
        self.assertEqual({b: r for b, (r, _) in self.wait_set(s).items()}, {"gen": SUCCESS, "behind": SUCCESS, "unit": SUCCESS, "docs": CANCELLED})

    # ---- again ----

    def test_4_2_19_built_again(self):
        self.reports("gen", {"unit": node(), "late": node("unit", [{"name": "say", "env": {"V": "${{ needs.gen.version }}"}, "run": 'echo "$V"'}])})
        s = self.d.post("/builds", {"builder": "p/behind", "branch": "main", "revision": self.rev}, 201)["buildset"]
        self.assertEqual(self.wait_set(s), dict.fromkeys(["gen", "behind", "unit", "late"], (SUCCESS, 1)))
        got = self.set(s)
        # One of them, as it was reported, with what needs it; who reported it is not built again.
        os.unlink(self.d.path("report-gen"))
        again = self.d.post(f"/builds/{got['unit']['builds'][0]}/rerun", {}, 201)["buildset"]
        self.assertEqual(self.wait_set(again), dict.fromkeys(["unit", "late"], (SUCCESS, 1)))
        new = self.set(again)
        self.assertEqual([n["request"] for n in new["unit"]["needs"]], [got["gen"]["id"]])
        self.assertEqual(new["late"]["reported_by"], got["gen"]["builds"][0])
        self.assertEqual(self.d.log(new["late"]["builds"][0], "say"), b"gen-1\n")
        only = self.d.post(f"/builds/{new['unit']['builds'][0]}/rerun", {"only": True}, 201)["buildset"]
        self.assertEqual(self.wait_set(only), {"unit": (SUCCESS, 1)})
        # Who reports: what needs it of the pipeline goes along, and what it reports is what it reports now.
        self.reports("gen", {"unit": node()})
        again = self.d.post(f"/builds/{got['gen']['builds'][0]}/rerun", {}, 201)["buildset"]
        self.assertEqual(self.wait_set(again), dict.fromkeys(["gen", "behind", "unit"], (SUCCESS, 1)))
        self.assertEqual(self.set(again)["unit"]["reported_by"], self.set(again)["gen"]["builds"][0])

    def test_4_10_40_of_the_buildsets_set(self):
        """Of several codebases; both have moved on when they are added."""
        d = self.d
        where = [{"name": "where", "run": f'echo "$DROVER_REVISION_APP $DROVER_REVISION_CORE" >>{d.path("where")}'}]
        self.mark("hold", "gen")
        self.reports("gen", {"unit": node(["core"], where)})
        s = d.post("/builds", {"builder": "q/gen", "branch": "main", "revision": self.rev}, 201)["buildset"]
        self.wait_told(s)
        stamps = d.get("/buildsets/" + s)["stamps"]
        core = commit(d.path("core"), {"a": self._testMethodName}, "core")
        app = commit(d.path("repo"), {"a": "moved on"}, "app")
        wait_for(lambda: d.sql(f"select 1 from branch_head where revision in ('{app}', '{core}') and codebase <> '' having count(*) = 2"), "the heads")
        self.go("gen")
        self.assertEqual(self.wait_set(s), dict.fromkeys(["gen", "core", "unit"], (SUCCESS, 1)))
        then = {x["codebase"]: x["revision"] for x in stamps}
        self.assertEqual(then["app"], self.rev)
        self.assertEqual(self.lines(d.path("where")), [self.rev, then["core"]])
        # What they need counts as good at that set only.
        s = d.post("/builds", {"builder": "q/gen", "branch": "main", "revision": self.rev, "at": {"core": then["core"]}}, 201)["buildset"]
        self.assertEqual(self.wait_set(s), dict.fromkeys(["gen", "unit"], (SUCCESS, 1)))
        s = d.post("/builds", {"builder": "q/gen", "branch": "main", "revision": self.rev, "at": {"core": core}}, 201)["buildset"]
        self.assertEqual(self.wait_set(s), dict.fromkeys(["gen", "core", "unit"], (SUCCESS, 1)))

    # ---- whose word it is ----

    def test_4_2_20_forks_report_none(self):
        """Their pipeline is that of the branch which they want to go into."""
        self.reports("gen", {"unit": node()})
        body = {"action": "opened", "number": 7, "repository": {"full_name": "o/r", "default_branch": "main"}, "sender": {"login": "eve"}, "pull_request": {
            "number": 7, "title": "t", "body": "", "user": {"login": "eve"}, "html_url": "https://f.example.org/o/r/pull/7", "base": {"ref": "main", "sha": self.rev, "repo": {"id": 1, "full_name": "o/r"}},
            "head": {"ref": "feature", "sha": self.rev, "repo": {"id": 2, "full_name": "b/r", "clone_url": "https://f.example.org/x"}}}}
        c = UnixHttp(self.d.path("api.sock"), DEADLINE_S)
        self.addCleanup(c.close)
        c.request("POST", "/hooks/p", *github(body, "pull_request"))
        self.assertEqual(c.getresponse().status // 100, 2)
        s = "s" + wait_for(lambda: self.d.sql(f"select b.id from buildset b join sourcestamp t on t.id = b.sourcestamp where b.scheduler = 'pulls' and t.revision = '{self.rev}'"), "its buildset")[0][0]
        self.assertEqual(self.wait_set(s), {"gen": (EXCEPTION, 1)})
        self.assertIn("builds of pull requests from forks report no builders", self.build(s, "gen")["why"])

    def test_4_2_20_of_the_sites_pipeline_only_where_the_site_says_so(self):
        d = self.d
        self.reports("gen", {"unit": node()})
        projects = d.conf["projects"]
        for says, result in ((False, EXCEPTION), (True, SUCCESS)):
            d.configure(projects={**projects, "p": {**projects["p"], "report_builders": says}})
            d.post("/config/activate")
            s = self.ask("gen")
            self.assertEqual(self.wait_set(s)["gen"], (result, 1))
            self.assertEqual(self.build(s, "gen")["why"], None if says else "tell: it reports builders that can't be taken: the pipeline of project p is the site's, and builds report builders there only where it says `report_builders: true`")
        # In a repository it is the repository's word anyway.
        own = commit(d.path("own"), {".drover.yml": json.dumps({k: v for k, v in site(d.root).items() if k != "schedulers"})}, "own")
        s = d.post("/builds", {"builder": "own/gen", "branch": "main", "revision": own}, 201)["buildset"]
        self.assertEqual(self.wait_set(s), dict.fromkeys(["gen", "unit"], (SUCCESS, 1)))
        self.assertIn("nodes.yml", self.cli("config", "explain", self.build(s, "unit")["id"]))

    def test_4_2_21_no_ring_over_reports_and_triggers(self):
        self.reports("gen", {"unit": node(steps=[{"trigger": {"builders": "gen"}}])})
        s = self.ask("gen")
        self.assertEqual(self.wait_set(s), {"gen": (EXCEPTION, 1)})
        self.assertIn("what this triggers would trigger itself, for ever", self.build(s, "gen")["why"])
        # Over two reports, of which neither knows the other: it ends where it would come back.
        self.reports("gen", {"unit": node(steps=[{"trigger": {"schedulers": "called", "wait": True}}])})
        self.reports("gen2", {"deep": node(steps=[{"trigger": {"builders": "gen", "wait": True}}])})
        s = self.ask("gen")
        self.assertEqual(self.wait_set(s), {"gen": (SUCCESS, 1), "unit": (EXCEPTION, 1)})
        called = self.build(s, "unit")["steps"][0]["triggered"][0]["id"]
        self.assertEqual(self.wait_set(called), {"gen2": (SUCCESS, 1), "deep": (EXCEPTION, 1)})
        self.assertIn("gen would trigger itself, for ever: over builders that were reported it has led here", self.build(called, "deep")["why"])
        self.assertEqual((self.ran().count("gen"), self.ran().count("gen2")), (2, 1))


if __name__ == "__main__":
    unittest.main()
