#!/usr/bin/env python3
"""docs/rules.md 4.1: quiet times (`stable`) of branches, attacked: two at the same moment, changes that come while a timer fires, masters killed in between, configurations that change under them."""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import read, wait_for  # noqa: E402
from schedsite import Rules, given  # noqa: E402

HOUR = {"change": {}, "stable": "1h"}
CODE = {"change": {"not_only": ["docs/**"]}, "stable": "1h"}
LEFT = 3600  # seconds of an hour; a test takes less than SLACK of them
SLACK = 60
SOON = 10  # seconds; the master waits 20 for a lock


class Quiet(Rules):
    def assert_full(self, *a, **kw):
        left = self.left(*a, **kw)
        self.assertTrue(left and LEFT - SLACK < left <= LEFT, left)

    # ---- one after the other ----

    @given(s=HOUR)
    def test_4_1_3_a_change_that_counts_begins_a_quiet_time(self):
        c = self.change()
        self.assertEqual(self.said(c), ("waits", None, None))
        self.assertEqual((self.waiting(), self.built()), ({"main": [c]}, []))
        self.assert_full()
        self.assertEqual(self.trace(), [("waits", f"saw {c}, waits until main is quiet")])

    @given(s=HOUR)
    def test_4_1_4_another_one_begins_it_anew(self):
        one = self.change()
        self.set_left(600)
        two = self.change()
        self.assert_full()
        self.assertEqual(self.waiting(), {"main": [one, two]})
        self.assertEqual(self.verdict(one)["until"], self.verdict(two)["until"])
        self.assertEqual(self.verdict(one)["until"], self.scheduler()["pending"][0]["due_at"])

    @given(s=CODE)
    def test_4_1_5_one_that_does_not_count_joins_and_begins_it_anew(self):
        one = self.change(files=["a.c"])
        self.set_left(600)
        two = self.change(files=["docs/x"])
        self.assert_full()
        self.assertEqual(self.waiting(), {"main": [one, two]})
        self.assertEqual(self.said(two), ("waits", None, f"in the quiet time of {one}: the file docs/x is under docs/** (not_only)"))

    @given(s=CODE)
    def test_4_1_6_without_a_quiet_time_it_is_not_kept(self):
        before = self.change(files=["docs/x"])
        self.assertIsNone(self.left())
        elsewhere = self.change("dev", files=["a.c"])
        after = self.change(files=["docs/y"])  # a quiet time of another branch is none of main's
        self.assertEqual([self.said(c)[:2] for c in (before, after)], [("no", "not_only")] * 2)
        code = self.change(files=["a.c"])
        self.lapse()
        self.assertEqual(sorted(self.wait_built(2)), sorted([[elsewhere], [code]]))

    @given(s=CODE)
    def test_4_1_6_after_the_buildset_the_quiet_time_is_over(self):
        one = self.change(files=["a.c"])
        self.lapse()
        self.wait_built()
        two = self.change(files=["docs/x"])
        self.assertEqual((self.said(two)[:2], self.waiting(), self.built()), (("no", "not_only"), {}, [[one]]))

    @given(s=CODE)
    def test_4_1_7_one_buildset_of_all_that_waited(self):
        waited = [self.change(files=[f]) for f in ("a.c", "docs/1", "b.c", "docs/2")]
        self.lapse()
        self.assertEqual(self.wait_built(), [waited])
        s = self.sets()[0]
        self.assertEqual((s["revision"], s["branch"], sorted(r["builder"] for r in s["requests"])), (self.d.get("/changes/" + waited[-1])["revision"], "main", ["a", "b"]))
        for c in waited:
            self.assertEqual((self.verdict(c)["verdict"], self.verdict(c)["buildset"], self.verdict(c)["until"]), ("builds", s["id"], None))
        self.assertEqual((self.waiting(), self.left()), ({}, None))

    @given(s={**CODE, "if": 'author != "bot"', "change": {"branches": "main", "not_only": ["docs/**"]}})
    def test_4_1_8_what_is_refused_joins_no_quiet_time(self):
        one = self.change(files=["a.c"])
        self.set_left(600)
        refused = {"if": self.change(files=["a.c"], author="bot"), "skip": self.change(files=["a.c"], message="x [ci skip]"), "branches": self.change("dev", files=["a.c"])}
        for rule, c in refused.items():
            self.assertEqual(self.said(c)[:2], ("no", rule))
        self.assertLess(self.left(), 601, "it is not begun anew either")
        self.assertEqual(self.waiting(), {"main": [one]})

    # ---- several timers ----

    @given(s=HOUR)
    def test_4_1_13_a_branch_takes_its_own_changes_only(self):
        """The mistake that is still in others: what fires takes all changes up to its highest, also those of other branches."""
        low = self.change("b")
        high = self.change("a")
        self.lapse(branch="a")
        self.assertEqual(self.wait_built(), [[high]])
        self.assertEqual(self.waiting(), {"b": [low]})
        self.lapse(branch="b")
        self.assertEqual(self.wait_built(2), [[high], [low]])

    @given(s=HOUR)
    def test_4_1_14_two_branches_at_the_same_moment(self):
        told = {b: [] for b in ("a", "b", "c")}
        for i in range(3):
            for b in told:
                told[b].append(self.change(b))
        self.lapse()
        self.assertEqual(sorted(self.wait_built(3)), sorted(told.values()))
        self.assertEqual({s["branch"]: s["changes"] for s in self.sets()}, told)
        self.assertEqual(self.waiting(), {})

    @given({"s": HOUR, "t": {"change": {}, "stable": "2h"}, "now": {"change": {}}}, {"s": HOUR})
    def test_4_1_15_each_scheduler_and_project_has_its_own(self):
        mine, theirs = self.change(), self.change(project=self.p2)
        self.assertEqual(self.words(mine), {"s": "waits", "t": "waits", "now": "builds"})
        self.assertGreater(self.left("t"), LEFT + SLACK)
        self.lapse()
        self.wait_built(1, scheduler="s")
        self.assertEqual((self.waiting("s"), self.waiting("t"), self.waiting(project=self.p2)), ({}, {"main": [mine]}, {"main": [theirs]}))

    @given(s=HOUR)
    def test_4_1_16_nothing_is_built_twice(self):
        one = self.change()
        self.lapse()
        self.wait_built()
        two = self.change()
        self.assert_full()
        self.assertEqual(self.waiting(), {"main": [two]})
        self.lapse()
        self.assertEqual(self.wait_built(2), [[one], [two]])

    @given(s=HOUR)
    def test_4_1_25_the_stamp_is_that_of_the_highest_change(self):
        """Also where it was decided before the others."""
        ids = [self.change() for _ in range(3)]
        shuffled = "{%s}" % ",".join(c[1:] for c in (ids[1], ids[2], ids[0]))
        self.d.sql(f"update scheduler_state set changes = '{shuffled}' where {self.of()}")
        self.lapse()
        self.wait_built()
        s = self.sets()[0]
        self.assertEqual((s["revision"], sorted(s["changes"])), (self.d.get("/changes/" + ids[2])["revision"], sorted(ids)))
        self.assertEqual([self.said(c)[2] for c in ids], [f"superseded by {ids[2]}", f"superseded by {ids[2]}", None])

    @given({"s": HOUR}, {"s": HOUR})
    def test_4_1_26_quiet_since_it_came_and_not_since_it_was_committed(self):
        old = self.d.sql("select id from change_put((select id from project where name = '%s'), 'branch', 'main', 0, '', '', '{\"revision\": \"%s\", \"at\": 1000000000000}', 'test', false, true)"
                         % (self.p, self.revision()))
        new = self.d.sql("select id from change_put((select id from project where name = '%s'), 'branch', 'main', 0, '', '', '{\"revision\": \"%s\", \"at\": 4000000000000}', 'test', false, true)"
                         % (self.p2, self.revision()))
        self.kick()
        for project, ((c,),) in ((self.p, old), (self.p2, new)):
            self.decided("c" + c)
            self.assert_full(project=project)
            self.assertEqual(self.built(project), [])

    # ---- in each other's way ----

    @given(s=HOUR)
    def test_4_1_17_a_change_that_comes_while_the_timer_fires(self):
        """The timer was first: the change begins the next quiet time."""
        one = self.change()
        other = self.session()
        other.tell("lock table buildset in share mode")
        self.lapse()
        self.wait_blocked()
        two = self.tell()
        self.wait_blocked(2)
        other.close()
        self.decided(two)
        self.assertEqual(self.built(), [[one]])
        self.assertEqual(self.waiting(), {"main": [two]})
        self.assert_full()
        self.assertEqual(self.verdict(two)["verdict"], "waits")

    @given(s=HOUR)
    def test_4_1_17_a_timer_that_fires_while_a_change_comes(self):
        """The change was first: the timer does nothing, and the quiet time is begun anew for both."""
        for seconds in (1, 4, 16):  # until the timer; a slow machine wants more for the change to be first
            branch = f"b{seconds}"
            one = self.change(branch)
            other = self.session()
            other.tell("lock table verdict in share mode")
            self.set_left(seconds, branch=branch)
            two = self.tell(branch)
            self.wait_blocked()
            first = self.d.sql("select query from pg_stat_activity where wait_event_type = 'Lock'")
            self.wait_blocked(2)
            other.close()
            self.decided(two)
            if len(first) == 1 and "change_decide" in first[0][0]:
                break
        self.assertEqual(self.waiting()[branch], [one, two])
        self.assertNotIn([one], self.built())
        self.assert_full(branch=branch)
        self.lapse(branch=branch)
        wait_for(lambda: [one, two] in self.built(), "both")

    @given(s=CODE)
    def test_4_1_17_one_that_does_not_count_while_the_timer_fires(self):
        """There is no quiet time any more that it could join."""
        one = self.change(files=["a.c"])
        other = self.session()
        other.tell("lock table buildset in share mode")
        self.lapse()
        self.wait_blocked()
        two = self.tell(files=["docs/x"])
        self.wait_blocked(2)
        other.close()
        self.decided(two)
        self.assertEqual((self.built(), self.waiting(), self.said(two)[:2]), ([[one]], {}, ("no", "not_only")))

    @given(s=HOUR)
    def test_4_2_7_another_master_was_first(self):
        one = self.change()
        other = self.session()
        self.hold(other, "with t as (select project as p, name as n, branch as b from %s) update scheduler_state set due_at = null, changes = '{}' from t where (project, name, branch) = (p, n, b)")
        other.tell("commit")
        wait_for(lambda: self.blocked() == 0, "its end")
        two = self.change()
        self.lapse()
        self.assertEqual(self.wait_built(), [[two]], f"{one} was the other one's")

    @given(s=HOUR)
    def test_4_1_36_a_timer_that_can_not_fire_is_tried_once_and_holds_up_no_other(self):
        """However often the master looks meanwhile: it has few connections."""
        one = self.change()
        other = self.session()
        self.hold(other, "select from %s for share")
        for _ in range(20):
            self.kick()
        more = self.change("dev")
        self.lapse(branch="dev")
        wait_for(lambda: self.built() == [[more]], "another branch's", SOON)
        self.assertLessEqual(self.blocked(), 1)
        self.assertEqual(wait_for(self.blocked, "its try"), 1)  # one that waits in vain ends after some seconds, and there is another one
        other.close()
        self.assertEqual(self.wait_built(2), [[more], [one]])

    @given(s=HOUR)
    def test_4_1_40_one_that_the_database_refuses_is_tried_again(self):
        """It is tried again each second or two, not as fast as the loop turns, and fires once it may; others do meanwhile."""
        self.d.sql("create function refuse() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$; create trigger refuse before update on scheduler_state "
                   "for each row when (old.branch = 'main' and new.due_at is null) execute function refuse()")
        refused = lambda: read(self.d.path("master.log")).count(b"error scheduler: ")
        before = refused()
        try:
            one = self.change()
            self.lapse()
            wait_for(lambda: refused() > before, "the first try")
            begin = time.monotonic()
            more = self.change("dev")
            self.lapse(branch="dev")
            wait_for(lambda: self.built() == [[more]], "another branch's", SOON)
            wait_for(lambda: refused() > before + 1, "the second try")
            self.assertLessEqual(refused() - before, 3 + (time.monotonic() - begin))
        finally:
            self.d.sql("drop trigger refuse on scheduler_state; drop function refuse()")
        self.assertEqual(self.wait_built(2), [[more], [one]])

    # ---- masters come and go ----

    @given(s=HOUR)
    def test_4_1_18_it_goes_on_over_a_restart(self):
        one = self.change()
        self.set_left(600)
        due = self.verdict(one)["until"] and self.scheduler()["pending"][0]["due_at"]
        self.d.kill_master()
        self.d.start_master()
        self.assertEqual(self.scheduler()["pending"][0]["due_at"], due, "neither full length again nor forgotten")
        two = self.change()
        self.assert_full()
        self.lapse()
        self.assertEqual(self.wait_built(), [[one, two]])

    @given(s=HOUR)
    def test_4_1_19_one_that_ended_while_no_master_ran_fires_with_the_next(self):
        one = self.change()
        self.d.kill_master()
        self.set_left(-500)
        self.d.start_master()
        self.assertEqual(self.wait_built(), [[one]])

    @given(s=HOUR)
    def test_4_1_20_killed_between_timer_and_buildset(self):
        """Flush and buildset are one transaction: a master that dies in it has done nothing, and the next one does it."""
        one = self.change()
        other = self.session()
        other.tell("lock table buildset in share mode")
        self.lapse()
        self.wait_blocked()
        self.d.kill_master()
        wait_for(lambda: self.d.sql("select count(*) from pg_stat_activity where application_name like 'drover%' and state <> 'idle' and wait_event_type is distinct from 'Lock'") == [["0"]], "its end")
        self.d.sql("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'")  # what it had asked for and did not live to see
        self.assertEqual(self.d.sql(f"select changes from scheduler_state where {self.of()}"), [["{%s}" % one[1:]]])
        other.close()
        self.d.start_master()
        self.assertEqual(self.wait_built(), [[one]])
        self.assertEqual(self.verdict(one)["verdict"], "builds")

    # ---- configurations come and go ----

    @given(s=HOUR)
    def test_4_1_21_stable_is_taken_away(self):
        one = self.change()
        self.reconfigure(s={"change": {}})
        two = self.change()
        self.assertEqual((self.built(), self.waiting()), ([[two]], {"main": [one]}))
        self.lapse()
        self.assertEqual(self.wait_built(2), [[two], [one]])

    @given(s={"change": {}})
    def test_4_1_21_stable_comes(self):
        one = self.change()
        self.reconfigure(s=HOUR)
        two = self.change()
        self.assertEqual((self.built(), self.waiting()), ([[one]], {"main": [two]}))

    @given(old=HOUR)
    def test_4_1_22_the_scheduler_gets_another_name(self):
        one = self.change()
        self.reconfigure(new=HOUR)
        two = self.change()
        self.assertEqual((self.words(one), self.words(two)), ({"old": "waits"}, {"new": "waits"}))
        self.assertEqual(self.waiting("new"), {"main": [two]})
        self.assertEqual(self.d.api("GET", f"/schedulers/{self.p}/old").status, 404)
        self.lapse("old")
        self.assertEqual(self.wait_built(), [[one]])
        self.assertEqual((self.sets()[0]["scheduler"], self.words(one), self.waiting("new")), ("old", {"old": "builds"}, {"main": [two]}))

    @given(s=HOUR, keep={"force": {}})
    def test_4_1_22_it_goes_and_comes_back(self):
        one = self.change()
        self.reconfigure(keep={"force": {}})
        self.assertEqual(self.words(self.change()), {})
        self.reconfigure(s=HOUR, keep={"force": {}})
        two = self.change()
        self.assertEqual(self.waiting(), {"main": [one, two]})
        self.assert_full()
        self.lapse()
        self.assertEqual(self.wait_built(), [[one, two]])

    @given(s=HOUR)
    def test_4_1_22_builders_are_those_of_the_newest_change(self):
        self.change()
        self.reconfigure(s={**HOUR, "builders": "b", "priority": 70})
        self.change()
        self.lapse()
        self.wait_built()
        self.assertEqual([(r["builder"], r["priority"]) for r in self.sets()[0]["requests"]], [("b", 70)])

    @given({"s": HOUR}, {"t": HOUR})
    def test_4_1_23_the_newest_changes_pipeline_has_no_such_scheduler(self):
        one = self.change()
        other = self.change(project=self.p2)
        self.d.sql(f"update change set pipeline = (select pipeline from change where id = {other[1:]}) where id = {one[1:]}")
        self.lapse()
        wait_for(lambda: self.verdict(one)["verdict"] == "no", "what becomes of it")
        self.assertEqual(self.said(one), ("no", "gone", f"the pipeline of {one} has no such scheduler any more"))
        self.assertEqual((self.built(), self.waiting()), ([], {}))

    @given(s=HOUR)
    def test_4_1_24_another_length_counts_from_the_next_change(self):
        self.change()
        self.reconfigure(s={"change": {}, "stable": "10m"})
        self.assert_full()
        self.change()
        self.assertLessEqual(self.left(), 600)

    @given(s=HOUR)
    def test_4_1_31_disabled_what_waits_passes(self):
        one, two = self.change(), self.change("dev")
        self.d.post(f"/schedulers/{self.p}/s/disable", {"reason": "frozen"})
        self.assertEqual({self.said(c)[1] for c in (one, two)}, {"disabled"})
        self.assertEqual((self.waiting(), self.left()), ({}, None))
        three = self.change()
        self.assertEqual(self.said(three)[:2], ("no", "disabled"))
        self.d.post(f"/schedulers/{self.p}/s/enable")
        four = self.change()
        self.lapse()
        self.assertEqual(self.wait_built(), [[four]], "what passed does not come back")

    @given({"s": HOUR})
    def test_4_1_33_the_project_leaves_the_configuration(self):
        one = self.change()
        self.reconfigure()
        self.lapse()
        self.d.post("/config/activate")
        self.assertEqual(self.d.sql(f"select changes from scheduler_state where {self.of()}"), [["{%s}" % one[1:]]])
        self.assertEqual(self.built(), [])
        self.reconfigure(s=HOUR)
        self.assertEqual(self.wait_built(), [[one]])

    @given(s={**HOUR, "supersede": True})
    def test_4_1_37_an_older_one_that_is_decided_later_waits_for_nothing(self):
        """With `supersede` a newer one was built already: neither does the older one wait, nor is anything newer cancelled for it."""
        old = self.d.sql("begin; select id from change_put((select id from project where name = '%s'), 'branch', 'main', 0, '', '', '{\"revision\": \"%s\"}', 'test', false, true); "
                         "update change set due_at = 'infinity' where state = 'reading'; commit" % (self.p, self.revision()))
        old = "c" + old[0][0]
        new = self.change()
        self.lapse()
        self.wait_built()
        self.d.sql(f"update change set due_at = now() where id = {old[1:]}")
        self.kick()
        self.decided(old)
        self.assertEqual(self.said(old), ("no", "supersede", f"superseded by {new}"))
        self.assertEqual((self.waiting(), self.built()), ({}, [[new]]))

    @given(s={**HOUR, "supersede": True})
    def test_4_1_37_what_waited_goes_when_a_newer_one_is_built(self):
        one, other = self.change(), self.change("dev")
        self.reconfigure(s={"change": {}, "supersede": True})
        two = self.change()
        self.assertEqual((self.built(), self.waiting()), ([[two]], {"dev": [other]}))
        self.assertEqual((self.said(one), self.said(other)[0]), (("no", "supersede", f"superseded by {two}"), "waits"))
        self.assertIsNone(self.left())


if __name__ == "__main__":
    unittest.main()
