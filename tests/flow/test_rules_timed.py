#!/usr/bin/env python3
"""docs/rules.md 4.9: schedulers of time. The past is made in the database (due times are moved there), the future is read from `next`; nobody waits for a time."""
import datetime
import os
import sys
import time
import unittest
import zoneinfo

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import make_repo, wait_for  # noqa: E402
from schedsite import Rules, given  # noqa: E402

H = 3600 * 1000
DAY = 24 * H
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
UTC = datetime.timezone.utc
SOON = 10  # seconds; the master waits 20 for a lock
HOURLY = {"every": "1h"}
YEARLY = {"cron": "0 0 1 1 *"}  # so that it is not due by itself


def ms(local, zone=BERLIN):
    """When the wall of the zone shows it (the first time, where it does twice); where it never does: right after the gap."""
    t = local.replace(tzinfo=zone).astimezone(UTC)
    if t.astimezone(zone).replace(tzinfo=None) != local:
        while t.astimezone(zone).utcoffset() == (t - datetime.timedelta(minutes=1)).astimezone(zone).utcoffset():
            t -= datetime.timedelta(minutes=1)
    return int(t.timestamp()) * 1000


def next_switch(to_summer, zone=BERLIN):
    """The local day on which summer time begins, or ends; not so soon that the day before has begun."""
    day = datetime.datetime.now(zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0) + datetime.timedelta(days=2)
    while True:
        day += datetime.timedelta(days=1)
        before, after = (day.replace(hour=h, tzinfo=zone).utcoffset() for h in (0, 12))
        if before != after and (after > before) == to_summer:
            return day


class Time(Rules):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.began = time.time() * 1000

    def rows(self, name="s"):
        """(time, what, why) of its decisions about times, in the order in which they were made."""
        return [(int(t), what, why) for t, what, why in self.d.sql("select ms_of(d.scheduled), d.what, d.why from scheduler_decision d join scheduler s on s.id = d.scheduler where "
                                                                    f"s.{self.of(name)} and d.scheduled is not null order by d.id")]

    def wait_rows(self, n, name="s"):
        return wait_for(lambda: len(r := self.rows(name)) >= n and r, f"{n} decisions of {name}")

    def after_first(self, name="s"):
        """The time of its first run, which an `every` makes at once."""
        return self.wait_rows(1, name)[0][0]

    def due(self, ago_ms, name="s"):
        """It was due so long ago; the time."""
        at = int(self.d.sql(f"update scheduler set due_at = date_trunc('milliseconds', now()) - {ago_ms} * interval '1 millisecond', fresh = false where {self.of(name)} returning ms_of(due_at)")[0][0])
        self.kick()
        return at

    def due_at(self, name="s"):
        return self.scheduler(name)["due_at"]

    def will(self, local, name="s", zone=BERLIN):
        """`next`, as if the scheduler was due at that local time in the future."""
        self.d.sql(f"update scheduler set due_at = at_ms({ms(local, zone)}), fresh = false where {self.of(name)}")
        return self.scheduler(name)["next"]

    def move(self, revision, branch="main"):
        """As the poller would."""
        self.d.sql(f"update branch_head set revision = '{revision}', seen = now() where branch = '{branch}' and project = (select id from project where name = '{self.p}')")

    # ---- first times, no drift ----

    @given(s=HOURLY)
    def test_4_9_11_an_interval_begins_at_once(self):
        first = self.after_first()
        self.assertTrue(self.began - 1000 <= first <= time.time() * 1000, (self.began, first))
        self.assertEqual((self.due_at(), len(self.sets())), (first + H, 1))

    @given(s=YEARLY)
    def test_4_9_12_a_line_waits_for_its_time(self):
        due = wait_for(self.due_at, "its time")
        self.assertGreater(due, time.time() * 1000)
        self.assertEqual((self.rows(), self.sets()), ([], []))
        self.assertEqual(datetime.datetime.fromtimestamp(due / 1000, UTC).strftime("%m-%d %H:%M"), "01-01 00:00")

    @given(s=HOURLY)
    def test_4_9_7_the_next_time_follows_the_last_due_one(self):
        self.after_first()
        for late in (1, 20000, 59 * 60000):
            at = self.due(late)
            wait_for(lambda: self.rows()[-1][0] == at, "the run")
            self.assertEqual(self.due_at(), at + H, "and not the time at which it ran")
        self.assertEqual({r[1] for r in self.rows()}, {"built"})

    # ---- missed times ----

    @given(s={**HOURLY, "missed": "once"})
    def test_4_9_8_missed_times_are_one_run(self):
        self.after_first()
        at = self.due(5 * H + H // 3)
        row = self.wait_rows(2)[1]
        self.assertEqual((row[0], row[1]), (at + 5 * H, "built"))
        self.assertRegex(row[2], r"^due \S+ \S+ UTC, and for 5 times before that were missed$")
        self.assertEqual((self.due_at(), len(self.sets())), (at + 6 * H, 2))

    @given(s={**YEARLY, "missed": "once"})
    def test_4_9_8_years_are_one_run_too(self):
        wait_for(self.due_at, "its time")
        self.due(3 * 366 * DAY)
        self.assertEqual([r[1] for r in self.wait_rows(1)], ["built"])
        self.assertGreater(self.due_at(), time.time() * 1000)

    @given(s={**HOURLY, "missed": "skip"})
    def test_4_9_9_missed_times_are_told_and_left_out(self):
        self.after_first()
        at = self.due(5 * H + H // 3)
        rows = self.wait_rows(2)
        self.assertEqual([r[:2] for r in rows[1:]], [(at + 5 * H, "missed")])
        self.assertRegex(rows[1][2], r"^6 times missed, the last at \S+ \S+ UTC \(missed: skip\)$")
        self.assertEqual((self.due_at(), len(self.sets())), (at + 6 * H, 1))

    @given(s={**HOURLY, "missed": "skip"})
    def test_4_9_9_one_that_is_less_than_a_minute_late_is_run(self):
        self.after_first()
        at = self.due(2 * H + 1000)
        rows = self.wait_rows(3)
        self.assertEqual([(r[0], r[1]) for r in rows[1:]], [(at + H, "missed"), (at + 2 * H, "built")])
        self.assertEqual(len(self.sets()), 2)

    @given(s={**HOURLY, "missed": "all"})
    def test_4_9_10_each_missed_time_is_run(self):
        self.after_first()
        at = self.due(3 * H + H // 3)
        rows = self.wait_rows(5)
        self.assertEqual([(r[0], r[1]) for r in rows[1:]], [(at + i * H, "built") for i in range(4)])
        self.assertEqual(len(self.sets()), 5)

    @given(s={**HOURLY, "missed": "all"})
    def test_4_9_10_but_no_more_than_the_last_24(self):
        self.after_first()
        at = self.due(30 * H + H // 3)
        rows = self.wait_rows(26)
        self.assertEqual((rows[1][0], rows[1][1], rows[1][2].split(" missed")[0]), (at + 6 * H, "missed", "7 times"))
        self.assertEqual([(r[0], r[1]) for r in rows[2:]], [(at + i * H, "built") for i in range(7, 31)])

    # ---- once, whatever happens ----

    @given(s=HOURLY)
    def test_4_9_13_killed_between_time_and_buildset(self):
        """What is stored of a time, and its buildset, are one transaction."""
        first = self.after_first()
        other = self.session()
        other.tell("lock table buildset in share mode")
        at = self.due(1000)
        self.wait_blocked()
        self.d.kill_master()
        wait_for(lambda: self.d.sql("select count(*) from pg_stat_activity where application_name like 'drover%' and state <> 'idle' and wait_event_type is distinct from 'Lock'") == [["0"]], "its end")
        self.d.sql("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'")
        self.assertEqual(self.d.sql(f"select ms_of(due_at), ms_of(scheduled) from scheduler where {self.of()}"), [[str(at), str(first)]])
        other.close()
        self.d.start_master()
        wait_for(lambda: self.rows()[-1][0] == at, "the run")
        self.assertEqual((len(self.rows()), len(self.sets()), self.due_at()), (2, 2, at + H))

    @given(s=HOURLY)
    def test_4_2_7_another_master_was_first(self):
        """It has acted upon the time, and this one waits for its transaction with the same time in hand."""
        self.after_first()
        other = self.session()
        self.hold(other, "with t as (select id as i from %s) update scheduler set due_at = due_at + interval '1 hour' from t where id = i", "scheduler")
        other.tell("commit")
        wait_for(lambda: self.blocked() == 0, "its end")
        self.due(0)
        self.assertEqual((len(self.wait_rows(2)), len(self.sets())), (2, 2), "the first one, and the one that came after all this")

    @given(s=HOURLY, t=HOURLY)
    def test_4_9_26_a_time_that_can_not_be_acted_upon_is_tried_once_and_holds_up_no_other(self):
        self.after_first()
        self.after_first("t")
        other = self.session()
        self.hold(other, "select from %s for share", "scheduler")
        for _ in range(20):
            self.kick()
        self.due(0, "t")
        wait_for(lambda: len(self.rows("t")) == 2, "another one's", SOON)
        self.assertEqual(wait_for(self.blocked, "its try"), 1)  # one that waits in vain ends after some seconds, and there is another one
        other.close()
        self.wait_rows(2)
        self.assertEqual(len(self.sets()), 4)

    @given(s=HOURLY)
    def test_4_9_26_a_run_does_not_wait_for_the_one_before(self):
        self.after_first()
        self.due(0)
        self.wait_rows(2)
        self.assertEqual([s["state"] for s in self.sets()], ["open", "open"])

    @given(s={**HOURLY, "branch": "main"}, **{f"s{i}": YEARLY for i in range(12)})
    def test_4_9_26_many_at_the_same_moment(self):
        self.after_first()
        wait_for(lambda: all(self.due_at(f"s{i}") for i in range(12)), "their times")
        self.d.sql(f"update scheduler set due_at = date_trunc('milliseconds', now()), fresh = false where project = (select id from project where name = '{self.p}')")
        self.kick()
        wait_for(lambda: len(self.sets()) == 14, "all of them")
        self.assertEqual(sorted(s["scheduler"] for s in self.sets()), sorted(["s", "s"] + [f"s{i}" for i in range(12)]))

    # ---- zones ----

    @given(s={"cron": "30 2 * * *", "zone": "Europe/Berlin"})
    def test_4_9_15_a_time_that_is_skipped_comes_right_after_the_gap(self):
        day = next_switch(True)
        self.assertEqual((day + datetime.timedelta(hours=3)).replace(tzinfo=BERLIN).astimezone(UTC).hour, 1)
        times = self.will(day.replace(hour=2, minute=30) - datetime.timedelta(days=1))
        self.assertEqual(times, [ms((day + datetime.timedelta(days=i)).replace(hour=2, minute=30)) for i in range(-1, 4)])
        self.assertEqual(times[1], ms(day.replace(hour=3)))
        self.assertEqual([b - a for a, b in zip(times, times[1:])], [DAY - H // 2, DAY - H // 2, DAY, DAY])

    @given(s={"cron": "30 2 * * *", "zone": "Europe/Berlin"})
    def test_4_9_16_a_time_that_comes_twice_counts_once(self):
        day = next_switch(False)
        times = self.will(day.replace(hour=2, minute=30) - datetime.timedelta(days=1))
        self.assertEqual(times, [ms((day + datetime.timedelta(days=i)).replace(hour=2, minute=30)) for i in range(-1, 4)])
        self.assertEqual([b - a for a, b in zip(times, times[1:])], [DAY, DAY + H, DAY, DAY], "the first of the two")

    @given(s={"cron": "30 2 25-31 3,10 *", "zone": "Europe/Berlin", "missed": "all"})
    def test_4_9_16_run_over_a_year_of_both(self):
        """The days around both switches, really acted upon; what is right is reckoned by other means."""
        wait_for(self.due_at, "its time")
        now = time.time() * 1000
        days = [datetime.datetime(y, m, d, 2, 30) for y in range(time.gmtime().tm_year - 3, time.gmtime().tm_year + 1) for m in (3, 10) for d in range(25, 32)]
        times = [ms(x) for x in days if ms(x) < now][-20:]
        self.assertEqual(len(set(times)), 20)
        self.d.sql(f"update scheduler set due_at = at_ms({times[0]}), fresh = false where {self.of()}")
        self.kick()
        self.assertEqual([(t, what) for t, what, _ in self.wait_rows(20)], [(t, "built") for t in times])
        self.assertEqual(len(self.sets()), 20)
        said = {t: why for t, _, why in self.rows()}
        for t in times:
            shown = datetime.datetime.fromtimestamp(t / 1000, BERLIN).strftime("%Y-%m-%d %H:%M")
            self.assertEqual(said[t], f"due {shown} Europe/Berlin")

    @given(s={"cron": "0 * * * *", "zone": "Europe/Berlin"})
    def test_4_9_17_a_line_for_every_hour_goes_by_the_hours_that_there_are(self):
        for summer in (True, False):
            day = next_switch(summer)
            times = self.will(day.replace(hour=1))
            self.assertEqual([b - a for a, b in zip(times, times[1:])], [H] * 4)

    @given(berlin={"cron": "0 6 * * *", "zone": "Europe/Berlin"}, york={"cron": "0 6 * * *", "zone": "America/New_York"}, lord={"cron": "0 6 * * *", "zone": "Australia/Lord_Howe"}, utc={"cron": "0 6 * * *"})
    def test_4_9_14_each_scheduler_has_its_zone(self):
        for name, zone in (("berlin", "Europe/Berlin"), ("york", "America/New_York"), ("lord", "Australia/Lord_Howe"), ("utc", "UTC")):
            due = wait_for(lambda: self.due_at(name), "its time")
            self.assertEqual(datetime.datetime.fromtimestamp(due / 1000, zoneinfo.ZoneInfo(zone)).strftime("%H:%M"), "06:00", name)

    # ---- only_if ----

    @given(s={**HOURLY, "only_if": "changed"}, other=HOURLY)
    def test_4_9_19_only_another_revision_than_it_built_last(self):
        self.after_first()
        self.after_first("other")  # that another one built it is nothing to this one
        self.assertEqual([r[1] for r in self.rows()], ["built"], "the first run always builds")
        self.due(0)
        self.assertEqual(self.wait_rows(2)[-1][1], "nothing")
        self.assertIn(f"main is at {self.first[:12]} still, which it built last", self.rows()[-1][2])
        new = self.revision()
        self.move(new)
        self.due(0)
        self.assertEqual(self.wait_rows(3)[-1][1], "built")
        self.move(self.first)
        self.due(0)
        self.assertEqual(self.wait_rows(4)[-1][1], "built", "back is another revision too")
        self.assertEqual([s["revision"] for s in self.sets(scheduler="s")], [self.first, new, self.first])

    @given(s=HOURLY)
    def test_4_9_20_turning_it_on_builds_nothing_anew(self):
        self.after_first()
        self.reconfigure(s={**HOURLY, "only_if": "changed"})
        self.due(0)
        self.assertEqual([r[1] for r in self.wait_rows(2)], ["built", "nothing"])
        self.reconfigure(s=HOURLY)
        self.due(0)
        self.assertEqual([r[1] for r in self.wait_rows(3)], ["built", "nothing", "built"])

    @given(s={**HOURLY, "only_if": "changed", "missed": "all"})
    def test_4_9_21_of_missed_times_only_the_first_has_anything_new(self):
        self.after_first()
        self.move(self.revision())
        self.due(3 * H + H // 3)
        self.assertEqual([r[1] for r in self.wait_rows(5)], ["built", "built", "nothing", "nothing", "nothing"])

    @given(s={"every": "1h", "only_if": "changed"}, docs={"change": {"not_only": ["docs/**"]}})
    def test_4_9_22_a_new_revision_counts_whatever_its_files(self):
        self.after_first()
        c = self.change(files=["docs/x"])
        self.assertEqual(self.said(c, "docs")[0], "no")
        self.move(self.d.get("/changes/" + c)["revision"])
        self.due(0)
        self.assertEqual([r[1] for r in self.wait_rows(2)], ["built", "built"])

    @given(s={**HOURLY, "only_if": "changed"})
    def test_4_9_32_a_run_by_hand_counts(self):
        self.after_first()
        self.move(self.revision())
        self.d.post(f"/schedulers/{self.p}/s/run", status=201)
        self.due(0)
        self.assertEqual([r[1] for r in self.wait_rows(2)], ["built", "nothing"])
        self.assertEqual(len(self.sets()), 2)

    @given(s={**HOURLY, "only_if": "last.result == failure"}, c={"change": {"branches": ["main", "dev"]}, "builders": "a"})
    def test_4_9_36_a_condition_is_reckoned_when_its_time_has_come(self):
        self.after_first()
        said = "not so: last.result == failure (last.result: %s)"

        def ended(change, result):
            self.d.sql(f"select request_finish(r.id, {result}::smallint, 'test') from build_request r join buildset b on b.id = r.buildset where '{{{change[1:]}}}'::bigint[] = b.changes order by r.id")

        def run(n):
            self.due(0)
            return self.wait_rows(n)[-1][1:]
        self.assertEqual([(w, why.split("UTC: ")[-1]) for _, w, why in self.rows()], [("nothing", said % "none")])
        ended(self.change(), 2)
        self.assertEqual(run(2)[0], "built")
        self.assertEqual(run(3)[0], "built", "what it built itself is not over yet, and counts for nothing")
        self.assertIn("last.result", self.scheduler()["spec"]["only_if"])
        ended(self.change(branch="dev"), 0)
        self.assertEqual(run(4)[0], "built", "another branch is another matter")
        ended(self.change(), 0)
        what, why = run(5)
        self.assertEqual((what, why.split("UTC: ")[-1]), ("nothing", said % "success"))
        asked = self.d.post("/builds", {"builder": self.p + "/a", "branch": "main", "revision": self.revision()}, 201)["requests"][0]
        self.d.sql(f"select request_finish({asked[1:]}, 2::smallint, 'test')")
        self.assertEqual(run(6)[0], "nothing", "what somebody asked for does not count")

    @given(s={**HOURLY, "only_if": "changes >= 2 and own.result != failure"})
    def test_4_9_37_how_much_is_new(self):
        self.after_first()
        self.tell()
        self.due(0)
        self.assertEqual(self.wait_rows(2)[-1][1], "nothing")
        c = self.d.get("/changes/" + self.tell())
        self.move(c["revision"])
        self.due(0)
        self.assertEqual(self.wait_rows(3)[-1][1], "built")
        self.tell(branch="dev")
        self.due(0)
        self.assertIn("(changes: 0, own.result: none)", self.wait_rows(4)[-1][2])
        for _ in range(2):
            self.tell()
        self.d.sql("select request_finish(r.id, 2::smallint, 'test') from build_request r where r.buildset = %s" % self.sets()[-1]["id"][1:])
        self.due(0)
        self.assertIn("(changes: 2, own.result: failure)", self.wait_rows(5)[-1][2])

    @given(s={**HOURLY, "only_if": "last.age < 1h"})
    def test_4_9_38_one_that_can_not_be_reckoned_builds_nothing_and_says_why(self):
        self.after_first()
        self.assertEqual(self.rows()[0][1], "nothing")
        self.assertIn("only_if: last.age < 1h: ", self.rows()[0][2])

    # ---- what is built ----

    @given(s=HOURLY, dev={**HOURLY, "branch": "dev"})
    def test_4_9_24_the_tip_as_it_was_seen_last(self):
        self.after_first()
        new, dev = self.revision(), self.revision()
        self.move(new)
        self.d.sql(f"insert into branch_head (project, branch, revision) select id, 'dev', '{dev}' from project where name = '{self.p}'")
        self.wait_rows(1, "dev")
        for name in ("s", "dev"):
            self.due(0, name)
            self.wait_rows(2, name)
        self.assertEqual([(s["branch"], s["revision"], s["changes"]) for s in self.sets(scheduler="s")], [("main", self.first, []), ("main", new, [])])
        self.assertEqual([(s["branch"], s["revision"]) for s in self.sets(scheduler="dev")][-1:], [("dev", dev)])

    @given(s=HOURLY)
    def test_4_9_24_which_branch_is_the_default_one(self):
        self.after_first()
        head = f"insert into branch_head (project, branch, revision) select id, '%s', '%s' from project where name = '{self.p}'"
        master, moved = self.revision(), self.revision()
        self.d.sql(head % ("master", master) + ";" + head % ("zz", moved))
        for gone, want in (("none", "main"), ("main", "master"), ("master", "zz")):
            self.d.sql(f"delete from branch_head where branch = '{gone}' and project = (select id from project where name = '{self.p}')")
            n = len(self.rows())
            self.due(0)
            self.wait_rows(n + 1)
            self.assertEqual(self.sets()[-1]["branch"], want)

    @given(s={**HOURLY, "branch": "gone"})
    def test_4_9_30_without_its_branch_it_builds_nothing_and_says_so(self):
        first = self.after_first()
        self.assertEqual(self.rows()[0][1], "nothing")
        self.assertTrue(self.rows()[0][2].endswith(": no branch gone has been seen in the repository"))
        self.assertEqual((self.sets(), self.due_at()), ([], first + H))

    @given(s=HOURLY)
    def test_4_9_31_nothing_before_the_repository_was_seen(self):
        """A first time is no time to be missed."""
        late = {**self.site({"s": HOURLY, "line": YEARLY}), "git": self.d.path("late"), "poll": "100ms"}
        self.d.configure(projects={**self.d.conf["projects"], "late": late})
        self.d.post("/config/activate")
        line = lambda: self.d.api("GET", "/schedulers/late/line")
        wait_for(lambda: (a := line()).status == 200 and a.json["due_at"], "the line's time, which needs no repository")
        wait_for(lambda: next(p for p in self.d.get("/projects")["items"] if p["name"] == "late")["trouble"], "a look in vain")
        self.assertEqual(self.d.get("/schedulers/late/s")["decisions"], [])
        head = make_repo(self.d.path("late"), {"a": "late"})
        self.assertEqual([(b["revision"], b["scheduler"]) for b in wait_for(lambda: self.sets("late"), "its first time")], [(head, "s")])
        self.assertNotIn("missed", self.d.get("/schedulers/late/s")["decisions"][0]["why"])

    # ---- switched, changed, gone ----

    @given(s=HOURLY)
    def test_4_9_27_disabled_its_times_pass(self):
        self.after_first()
        self.d.post(f"/schedulers/{self.p}/s/disable", {"reason": "loud"})
        self.due(10 * H)
        self.kick()
        self.assertEqual((len(self.rows()), self.scheduler()["next"], self.due_at()), (1, [], None))
        self.assertEqual([w for w, _ in self.trace()], ["built", "disabled"])

    @given(s=HOURLY)
    def test_4_9_28_enabled_it_makes_up_for_nothing(self):
        first = self.after_first()
        self.d.post(f"/schedulers/{self.p}/s/disable")
        self.d.sql(f"update scheduler set scheduled = scheduled - interval '10 hours' where {self.of()}")
        self.d.post(f"/schedulers/{self.p}/s/enable")
        rows = self.wait_rows(2)
        self.assertNotIn("missed", rows[-1][2])
        self.assertGreater(rows[-1][0], first)
        self.assertEqual((len(self.sets()), self.due_at()), (2, rows[-1][0] + H))

    @given(s=HOURLY)
    def test_4_9_28_switched_off_and_on_it_keeps_its_interval(self):
        first = self.after_first()
        for what in ("disable", "enable", "disable", "enable"):
            self.d.post(f"/schedulers/{self.p}/s/{what}")
        due = wait_for(self.due_at, "its time")
        self.assertEqual((due, len(self.sets())), (first + H, 1))

    @given(s=HOURLY)
    def test_4_9_29_another_timing_is_reckoned_anew(self):
        first = self.after_first()
        self.reconfigure(s={"every": "2h"})
        wait_for(lambda: self.due_at() == first + 2 * H, "two hours after the last time")
        self.reconfigure(s=YEARLY)
        due = wait_for(lambda: (t := self.due_at()) and t % DAY == 0 and t, "the line's time")
        self.reconfigure(s={**YEARLY, "only_if": "changed", "builders": "b", "missed": "all"})
        wait_for(lambda: self.scheduler()["spec"].get("missed") == "all", "the new one")
        self.assertEqual((self.due_at(), len(self.sets())), (due, 1), "what is no time moves none")

    @given(s=HOURLY, keep={"force": {}})
    def test_4_9_34_one_that_goes_and_comes_back_is_new(self):
        self.after_first()
        self.d.post(f"/schedulers/{self.p}/s/disable")
        self.reconfigure(keep={"force": {}})
        wait_for(lambda: self.d.api("GET", f"/schedulers/{self.p}/s").status == 404, "its end")
        self.assertEqual(self.d.sql("select count(*) from scheduler_decision d where not exists (select from scheduler s where s.id = d.scheduler)"), [["0"]])
        self.reconfigure(s=HOURLY, keep={"force": {}})
        wait_for(lambda: self.d.api("GET", f"/schedulers/{self.p}/s").status == 200, "it")
        self.assertIsNone(self.scheduler()["disabled"])
        self.after_first()
        self.assertEqual(([w for w, _ in self.trace()], len(self.sets())), (["built"], 2))

    @given({"s": HOURLY})
    def test_4_9_34_a_project_that_leaves_rests(self):
        self.after_first()
        self.reconfigure()
        at = self.due(2 * H + H // 3)
        self.assertEqual(len(self.sets()), 1)
        self.assertEqual(self.d.api("GET", f"/schedulers?project={self.p}").json["items"], [])
        self.reconfigure(s=HOURLY)
        self.assertEqual(self.wait_rows(2)[1][:2], (at + 2 * H, "built"))
        self.assertEqual(self.due_at(), at + 3 * H)


if __name__ == "__main__":
    unittest.main()
