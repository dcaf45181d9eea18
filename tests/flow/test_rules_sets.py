#!/usr/bin/env python3
"""docs/rules.md 4.2, 4.3, 4.5, 4.10 and 4.11: buildsets and their stamps, what newer changes supersede, numbers, builds asked for and built again, and what is told of all that."""
import concurrent.futures
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, commit, git, wait_for  # noqa: E402
from schedsite import Rules, given  # noqa: E402

SUCCESS, WARNINGS, FAILURE, SKIPPED, EXCEPTION, RETRY, CANCELLED = range(7)
MILD_TO_WORST = [SKIPPED, SUCCESS, WARNINGS, FAILURE, EXCEPTION, RETRY, CANCELLED]
SUPERSEDE = {"change": {}, "supersede": True}


class Sets(Rules):
    def set_of(self, change, scheduler="s"):
        return self.d.get("/buildsets/" + self.verdict(change, scheduler)["buildset"])

    def states(self, change, scheduler="s"):
        return {r["builder"]: (r["state"], r["result"]) for r in self.set_of(change, scheduler)["requests"]}

    def finish(self, request, result):
        self.d.sql(f"select request_finish({request['id'][1:]}, {result}::smallint, 'test')")

    def finish_set(self, change, *results):
        for r, result in zip(self.set_of(change)["requests"], results):
            self.finish(r, result)

    PENDING = {x: ("pending", None) for x in "ab"}
    GONE = {x: ("done", CANCELLED) for x in "ab"}

    # ---- 4.2: the end of a buildset ----

    @given(s={"change": {}})
    def test_4_2_1_it_is_over_with_its_last_request(self):
        c = self.change()
        a, b = self.set_of(c)["requests"]
        self.d.post(f"/requests/{a['id']}/cancel")
        s = self.set_of(c)
        self.assertEqual((s["state"], s["result"], s["finished"]), ("open", None, None))
        self.d.post(f"/requests/{b['id']}/cancel")
        s = self.set_of(c)
        self.assertEqual((s["state"], s["result"]), ("done", CANCELLED))
        self.assertIsNotNone(s["finished"])

    @given(s={"change": {}})
    def test_4_2_2_its_result_is_the_worst_and_not_the_highest_number(self):
        for mild, worst in zip(MILD_TO_WORST, MILD_TO_WORST[1:]):
            for results in ((mild, worst), (worst, mild), (worst, worst)):
                c = self.change()
                self.finish_set(c, *results)
                self.assertEqual(self.set_of(c)["result"], worst, results)

    @given(s={"change": {}})
    def test_4_2_3_ended_from_several_sides_at_once_it_ends_once(self):
        sets = [self.set_of(self.change()) for _ in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda r: self.d.api("POST", f"/requests/{r}/cancel").status, [r["id"] for s in sets for r in s["requests"]] * 2))
        self.assertEqual(set(answers), {200})
        ids = sorted(s["id"] for s in sets)
        events = lambda: sorted(o for o, in self.d.events(f"select object from event where type = 'buildset.done' and object in ({', '.join(repr(i) for i in ids)})"))
        wait_for(lambda: len(events()) >= len(ids), "their events")
        self.assertEqual(events(), ids)
        self.assertEqual({self.d.get("/buildsets/" + i)["state"] for i in ids}, {"done"})
        self.assertEqual(self.d.sql("select count(*) from buildset where open < 0"), [["0"]])

    @given(s={"change": {}})
    def test_4_2_4_what_has_ended_stays_as_it_ended(self):
        c = self.change()
        self.finish_set(c, SUCCESS, FAILURE)
        self.finish_set(c, CANCELLED, CANCELLED)
        self.assertEqual(self.d.api("POST", f"/buildsets/{self.set_of(c)['id']}/cancel").status, 409)
        s = self.set_of(c)
        self.assertEqual((s["result"], sorted(r["result"] for r in s["requests"])), (FAILURE, [SUCCESS, FAILURE]))

    # ---- 4.3: what newer changes supersede ----

    @given(s={"change": {}})
    def test_4_3_1_nothing_is_put_together_unasked(self):
        told = [self.change() for _ in range(3)]
        self.assertEqual([self.states(c) for c in told], [self.PENDING] * 3)

    @given(s=SUPERSEDE)
    def test_4_3_2_a_newer_change_cancels_what_older_ones_wait_for(self):
        one, two, three = (self.change() for _ in range(3))
        self.assertEqual([self.states(c) for c in (one, two, three)], [self.GONE, self.GONE, self.PENDING])
        self.assertEqual([{r["why"] for r in self.set_of(c)["requests"]} for c in (one, two, three)], [{f"superseded by {two}"}, {f"superseded by {three}"}, {None}])

    @given(s=SUPERSEDE)
    def test_4_3_3_cancelled_is_no_success(self):
        """The trap of collapsing: work that was not done counts as done well."""
        one = self.change()
        self.finish(self.set_of(one)["requests"][0], SUCCESS)
        self.change()
        s = self.set_of(one)
        self.assertEqual((s["state"], s["result"], sorted(r["result"] for r in s["requests"])), ("done", CANCELLED, [SUCCESS, CANCELLED]))

    @given({"s": SUPERSEDE, "t": SUPERSEDE, "keep": {"change": {}}}, {"s": SUPERSEDE})
    def test_4_3_4_only_its_own_and_only_of_that_branch(self):
        old, dev, theirs = self.change(), self.change("dev"), self.change(project=self.p2)
        self.reconfigure(s=SUPERSEDE, t={"change": {"branches": "dev"}, "supersede": True}, keep={"change": {}})
        self.change()
        self.assertEqual((self.states(old), self.states(old, "t"), self.states(old, "keep")), (self.GONE, self.PENDING, self.PENDING))
        self.assertEqual((self.states(dev), self.states(dev, "t"), self.states(theirs)), (self.PENDING,) * 3)

    @given(s=SUPERSEDE)
    def test_4_3_5_what_people_asked_for_stays(self):
        by_hand = self.d.post(f"/schedulers/{self.p}/s/run", status=201)["buildset"]
        asked = self.d.post("/builds", {"builder": self.p + "/a", "branch": "main", "revision": self.first}, 201)["buildset"]
        self.change()
        self.change()
        for s in (by_hand, asked):
            self.assertEqual({r["state"] for r in self.d.get("/buildsets/" + s)["requests"]}, {"pending"})

    @given(s={"change": {"not_only": ["docs/**"]}, "supersede": True})
    def test_4_3_6_one_that_does_not_count_cancels_nothing(self):
        one = self.change(files=["a.c"])
        for kw in ({"files": ["docs/x"]}, {"message": "[skip ci]"}):
            self.change(**kw)
        self.assertEqual(self.states(one), self.PENDING)

    @given(s={**SUPERSEDE, "stable": "1h"})
    def test_4_3_7_with_a_quiet_time_when_the_newer_one_is_built(self):
        one = self.change()
        self.lapse()
        self.wait_built()
        two, three = self.change(), self.change()
        self.assertEqual(self.states(one), self.PENDING, "it may still be built when nothing more comes")
        self.lapse()
        self.wait_built(2)
        self.assertEqual((self.states(one), self.states(three)), (self.GONE, self.PENDING))
        self.assertEqual({r["why"] for r in self.set_of(one)["requests"]}, {f"superseded by {three}"})
        self.assertEqual(self.set_of(two)["id"], self.set_of(three)["id"])

    @given(s=SUPERSEDE)
    def test_4_3_8_what_is_over_stays(self):
        one = self.change()
        self.finish_set(one, SUCCESS, FAILURE)
        self.change()
        self.assertEqual((self.set_of(one)["result"], {r["why"] for r in self.set_of(one)["requests"]}), (FAILURE, {"test"}))

    @given(s=SUPERSEDE)
    def test_4_3_9_many_at_once_leave_the_newest(self):
        """Told by eight at a time, decided in whatever order."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            told = sorted(pool.map(lambda rev: self.tell(revision=rev), [self.revision() for _ in range(24)]), key=lambda c: int(c[1:]))
        for c in told:
            self.decided(c)
        self.assertEqual(self.states(told[-1]), self.PENDING)
        for c in told[:-1]:
            v = self.verdict(c)
            self.assertTrue(v["rule"] == "supersede" or self.states(c) == self.GONE, v)

    @given(s={"change": {}})
    def test_4_3_10_the_requests_of_one_buildset_stay_apart(self):
        self.reconfigure(s=SUPERSEDE)
        self.assertEqual(self.states(self.change()), self.PENDING)

    # ---- 4.5: properties ----

    @given(s={"change": {}, "if": 'properties.team == "db"'}, hand={"force": {"parameters": {"team": {"default": "x"}}}})
    def test_4_5_2_properties_of_a_change_are_for_conditions_only(self):
        c = self.change(properties={"team": "db", "branch": "evil"})
        self.assertEqual(self.said(c)[0], "builds")
        self.assertEqual(self.said(self.change(properties={"team": "ui"}))[1], "if")
        self.d.post(f"/schedulers/{self.p}/hand/run", {"parameters": {"team": "a"}}, 201)
        props = f"select b.properties from buildset b join sourcestamp s on s.id = b.sourcestamp join project p on p.id = s.project where p.name = '{self.p}' order by b.id"
        self.assertEqual([json.loads(x) for x, in self.d.sql(props)], [{}, {"team": "a"}])

    @given(s={"change": {}})
    def test_4_5_7_who_asked_is_kept(self):
        self.change()
        self.d.post("/builds", {"builder": self.p + "/a", "branch": "main", "revision": self.first, "reason": "for fun"}, 201)
        seen, asked = self.sets()
        self.assertEqual((seen["who"], asked["scheduler"], asked["reason"]), (None, None, "for fun"))
        self.assertTrue(asked["who"])

    # ---- 4.10: stamps ----

    def stamps(self):
        return self.d.sql(f"select s.branch, s.revision, s.repository, count(b.id) from sourcestamp s join project p on p.id = s.project left join buildset b on b.sourcestamp = s.id "
                          f"where p.name = '{self.p}' group by s.id order by s.id")

    @given(s={"change": {}}, t={"change": {}})
    def test_4_10_1_the_same_sources_are_one_stamp(self):
        rev = self.revision()
        self.change(revision=rev)
        self.change("dev", revision=rev)
        self.assertEqual(self.stamps(), [["main", rev, self.d.path("repo"), "2"], ["dev", rev, self.d.path("repo"), "2"]])

    @given(s={"change": {}})
    def test_4_10_9_a_change_keeps_the_repository_that_it_was_told_for(self):
        c = self.change()
        git(self.d.root, "clone", "-q", "--bare", self.d.path("repo"), self.d.path("elsewhere"))
        self.d.configure(projects={**self.d.conf["projects"], self.p: {**self.d.conf["projects"][self.p], "git": self.d.path("elsewhere")}})
        self.d.post("/config/activate")
        d = self.change()
        self.assertEqual([x[2] for x in self.stamps()], [self.d.path("repo"), self.d.path("elsewhere")])
        self.assertEqual([self.set_of(x)["revision"] for x in (c, d)], [self.d.get("/changes/" + x)["revision"] for x in (c, d)])

    # ---- 4.11: what is told ----

    @given(s={"change": {"not_only": ["docs/**"]}})
    def test_4_11_2_what_was_filtered_can_be_asked_for(self):
        c, d = self.change(files=["docs/x"]), self.change(files=["a.c"])
        self.assertEqual(self.trace(), [("nothing", f"{c}: the file docs/x is under docs/** (not_only)"), ("built", f"saw {d}")])
        last = self.scheduler()["last"]
        self.assertEqual((last["what"], last["buildset"]), ("built", self.sets()[0]["id"]))
        self.assertEqual([(v["rule"], v["buildset"]) for v in (self.verdict(c), self.verdict(d))], [("not_only", None), (None, self.sets()[0]["id"])])

    @given(s={"force": {}})
    def test_4_11_5_a_trace_keeps_the_last_200_and_not_all(self):
        self.d.sql(f"select scheduler_note(id, null, 'nothing', 'n' || i, null) from scheduler, generate_series(1, 1000) i where {self.of()}")
        kept = self.d.sql(f"select count(*), min(substr(d.why, 2)::int), max(substr(d.why, 2)::int) from scheduler_decision d join scheduler s on s.id = d.scheduler where s.{self.of()}")[0]
        n, first, last = map(int, kept)
        self.assertTrue(200 <= n <= 216 and last == 1000 and first == last - n + 1, kept)

    @given(s={"change": {}})
    def test_4_11_9_ids_rise_over_all_projects(self):
        told = [self.change() for _ in range(3)]
        numbers = lambda ids: [int(i[1:]) for i in ids]
        sets = [self.set_of(c) for c in told]
        for ids in (told, [s["id"] for s in sets], [min((r["id"] for r in s["requests"]), key=lambda i: int(i[1:])) for s in sets]):
            self.assertEqual(numbers(ids), sorted(set(numbers(ids))))

    @given(s={**SUPERSEDE})
    def test_4_11_10_cancelled_only_once_there_is_a_newer_request(self):
        """A newer change that nobody has decided yet cancels nothing."""
        one = self.change()
        rev = self.revision()
        self.d.sql("begin; select id from change_put((select id from project where name = '%s'), 'branch', 'main', 0, '', '', '{\"revision\": \"%s\"}', 'test', false, true); "
                   "update change set due_at = 'infinity' where revision = '%s'; commit" % (self.p, rev, rev))
        self.kick()
        self.kick()
        self.assertEqual(self.states(one), self.PENDING)
        self.d.sql(f"update change set due_at = now() where revision = '{rev}'")
        self.kick()
        wait_for(lambda: self.states(one) == self.GONE, "the newer one's decision")


class Built(Rules):
    """With a worker of one slot."""
    WORKING = True
    WORKERS = {"here": {"slots": 1}}
    BUILDERS = {"a": {"checkout": "none", "steps": [{"name": "say", "run": ["echo", "${{ branch }} ${{ properties.branch ?? 'none' }} ${{ properties.n ?? 0 }}"]}]},
                "got": {"steps": [{"name": "say", "run": "git rev-parse HEAD"}]}}
    HOLD = {x: {"checkout": "none", "steps": [{"name": "s", "run": 'while ! [ -e "$GO" ]; do sleep 0.05; done', "env": {"GO": "GO"}}]} for x in ("first", "low", "mid", "mid2", "high")}

    @classmethod
    def site(cls, s):
        made = super().site(s)
        hold = {k: {**v, "steps": [{**v["steps"][0], "env": {"GO": cls.d.path("go")}}]} for k, v in cls.HOLD.items()}
        return {**made, "builders": hold} if "first" in json.dumps(s) else made

    def setUp(self):
        super().setUp()
        if os.path.exists(self.d.path("go")):  # of a test before: builds are to wait
            os.unlink(self.d.path("go"))

    def ended(self, asked):
        return [self.d.get("/builds/" + self.d.wait_request(r)["builds"][-1]) for r in asked["requests"]]

    def ask(self, builder, **more):
        return self.ended(self.d.post("/builds", {"builder": f"{self.p}/{builder}", "branch": "main", **more}, 201))[0]

    @given(now={"change": {}, "builders": "first"}, low={"change": {"branches": "x"}, "priority": 10, "builders": "low"}, mid={"change": {"branches": "x"}, "builders": ["mid", "mid2"]},
           high={"change": {"branches": "x"}, "priority": 90, "builders": "high"})
    def test_4_2_5_highest_priority_first_then_the_oldest(self):
        first = self.change()
        self.d.wait_build(self.d.get("/buildsets/" + self.verdict(first, "now")["buildset"])["requests"][0]["id"])
        c = self.change("x")
        open(self.d.path("go"), "w").close()
        wait_for(lambda: self.d.sql("select count(*) from build_request where state <> 'done'") == [["0"]], "all builds")
        order = self.d.sql(f"select u.name from build b join builder u on u.id = b.builder join project p on p.id = u.project where p.name = '{self.p}' order by b.started")
        self.assertEqual([x for x, in order if x != "first"], ["high", "mid", "mid2", "low"])
        self.assertEqual(self.words(c), {"now": "builds", "low": "builds", "mid": "builds", "high": "builds"})

    @given(s={"force": {}})
    def test_4_5_5_a_property_stands_beside_the_names_of_a_build(self):
        b = self.ask("a", revision=self.first, properties={"branch": "evil", "n": 7})
        self.assertEqual(self.d.log(b["id"], "say"), b"main evil 7\n")

    @given(s={"force": {}})
    def test_4_10_2_what_was_built_is_known_and_built_again(self):
        """Asked for by its branch alone, a build is of the newest revision at that time; built again it is that revision's, whatever came since."""
        git(self.d.path("repo"), "checkout", "-q", "-B", "moving", self.first)
        one = commit(self.d.path("repo"), {"m": "1"}, "one")
        b = self.ask("got", branch="moving")
        self.assertEqual((b["result"], b["got_revision"], self.d.log(b["id"], "say").decode().strip()), (SUCCESS, one, one))
        two = commit(self.d.path("repo"), {"m": "2"}, "two")
        again = self.ended(self.d.post(f"/builds/{b['id']}/rerun", status=201))[0]
        self.assertEqual((again["got_revision"], again["revision"]), (one, one))
        self.assertEqual(self.ask("got", branch="moving")["got_revision"], two)

    @given({"s": {"force": {}}}, {"s": {"force": {}}})
    def test_4_11_6_builds_are_numbered_by_builder(self):
        numbers = [self.ask("a", revision=self.first)["number"] for _ in range(3)]
        self.assertEqual(numbers, [1, 2, 3])
        self.assertEqual(self.ask("got")["number"], 1)
        other = self.d.post("/builds", {"builder": f"{self.p2}/a", "branch": "main", "revision": self.first}, 201)
        self.assertEqual(self.ended(other)[0]["id"], f"{self.p2}/a/1")

    @given(now={"change": {}, "builders": "first"}, hand={"force": {}})
    def test_4_11_7_what_never_began_takes_no_number(self):
        c = self.change()
        self.d.wait_build(self.d.get("/buildsets/" + self.verdict(c, "now")["buildset"])["requests"][0]["id"])
        gone, kept = (self.d.post("/builds", {"builder": self.p + "/low", "branch": "main", "revision": self.first}, 201) for _ in range(2))
        self.d.post(f"/requests/{gone['requests'][0]}/cancel")
        open(self.d.path("go"), "w").close()
        self.assertEqual(self.ended(kept)[0]["number"], 1)
        self.assertEqual(self.d.request(gone["requests"][0])["builds"], [])

    @given(s={"change": {}, "builders": ["a", "got"]}, hand={"force": {"parameters": {"n": {"type": "integer"}}}, "builders": "a"})
    def test_4_11_13_built_again_with_the_same_stamp_changes_and_properties(self):
        c = self.change(revision=self.first)
        first = next(b for b in self.ended({"requests": [r["id"] for r in self.d.get("/buildsets/" + self.verdict(c)["buildset"])["requests"]]}) if b["builder"] == "a")
        made = self.d.post(f"/builds/{first['id']}/rerun", status=201)
        again = self.ended(made)
        self.assertEqual(len(again), 1, "that builder alone")
        s = self.d.get("/buildsets/" + made["buildset"])
        self.assertEqual((s["changes"], s["branch"], s["revision"], s["scheduler"]), ([c], "main", self.first, None))
        self.assertRegex(s["reason"], rf"^rerun of {self.p}/a/1 asked for by \S+$")
        self.assertEqual(self.d.sql(f"select n.rerun_of = o.id, n.sourcestamp = o.sourcestamp from buildset n, buildset o where n.id = {made['buildset'][1:]} and o.id = {self.verdict(c)['buildset'][1:]}"), [["t", "t"]])
        self.assertEqual(self.verdict(c)["buildset"], f"s{int(self.verdict(c)['buildset'][1:])}", "the verdict names what the scheduler made")
        hand = self.ended(self.d.post(f"/schedulers/{self.p}/hand/run", {"parameters": {"n": 41}}, 201))[0]
        again = self.ended(self.d.post(f"/builds/{hand['id']}/rerun", status=201))[0]
        self.assertEqual([self.d.log(b["id"], "say") for b in (hand, again)], [b"main none 41\n"] * 2)

    @given(s={"change": {"branches": ["main", "x"]}, "supersede": True, "builders": "first"}, hand={"force": {}, "builders": "low"})
    def test_4_3_16_all_since_the_builders_last_one(self):
        """Whoever was superseded meanwhile; of its own branch alone, and from a build with a result."""
        go = self.d.path("go")
        open(go, "w").close()
        build = lambda c: self.ended({"requests": [r["id"] for r in self.d.get("/buildsets/" + self.verdict(c)["buildset"])["requests"]]})[0]
        one = self.change()
        a = build(one)
        os.unlink(go)
        holds = self.d.post("/builds", {"builder": self.p + "/low", "branch": "main", "revision": self.first}, 201)
        self.d.wait_build(holds["requests"][0])
        two, other, three = self.change(), self.change("x"), self.change()
        skipped = self.change(message="[skip ci] words")
        four = self.change(message="the fourth\nmore of it", author="Bo <bo@example.org>")
        open(go, "w").close()
        b, x = build(four), build(other)
        told = lambda y: ([(c["id"], c["own"]) for c in y["changes"]], y["changes_count"], y["since"])
        self.assertEqual([told(y) for y in (a, x)], [([(one, True)], 1, None), ([(other, True)], 1, None)])
        self.assertEqual(told(b), ([(four, True), (skipped, False), (three, False), (two, False)], 4, a["id"]))
        p = subprocess.run([f"{BUILD}/drover", "show", b["id"]], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertRegex(p.stdout, rf"changes +{four} the fourth \(Bo <bo@example.org>\)\n +{skipped} (.*\n)+ +all since {a['id']}\n")
        again = self.ended(self.d.post(f"/builds/{b['id']}/rerun", status=201))[0]
        self.assertEqual(told(again), ([(four, True)], 1, None), "nothing is new in what is built again")
        self.d.sql(f"update build set result = {RETRY} where id in (select b.id from build b join builder u on u.id = b.builder join project p on p.id = u.project where p.name = '{self.p}' and b.number = {b['number']})")
        five = self.change()
        self.assertEqual(told(build(five)), ([(five, True)], 1, again["id"]))

    @given(s={"change": {}, "supersede": True, "builders": "first"}, t={"change": {"branches": "never"}})
    def test_4_3_5_built_again_it_is_not_superseded(self):
        open(self.d.path("go"), "w").close()
        c = self.change()
        b = self.ended({"requests": [r["id"] for r in self.d.get("/buildsets/" + self.verdict(c)["buildset"])["requests"]]})[0]
        os.unlink(self.d.path("go"))
        again = self.d.post(f"/builds/{b['id']}/rerun", status=201)
        self.d.wait_build(again["requests"][0])
        self.change()
        self.assertEqual(self.d.request(again["requests"][0])["state"], "claimed")
        open(self.d.path("go"), "w").close()
        self.assertEqual(self.ended(again)[0]["result"], SUCCESS)
        wait_for(lambda: self.d.sql("select count(*) from build_request where state <> 'done'") == [["0"]], "all builds")


if __name__ == "__main__":
    unittest.main()
