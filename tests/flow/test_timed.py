#!/usr/bin/env python3
"""Schedulers of time: real masters, killed at random, real PostgreSQL, real git."""
import os
import random
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import commit, read, wait_for  # noqa: E402
from schedsite import Base  # noqa: E402

KILLS = 10


class Time(Base):
    def follow(self, last, rows):
        """Each row is the time behind the one before, or behind those that it tells of as missed: a master that is held up for a second misses some again."""
        for at, what, why in rows:
            told = re.search(r"(\d+) times? (?:before that w(?:as|ere) )?missed", why)
            n = int(told[1]) + (what == "built") if told else 1
            self.assertEqual(at, last + 1000 * n, (what, why))
            last = at

    def test_every_has_no_drift(self):
        d = self.begin({"tick": {"every": "1s", "missed": "all"}}).up()  # a master that is held up for a second makes up for it
        rows = self.built(d, 3)
        self.assertEqual([r[0] - rows[0][0] for r in rows][:3], [0, 1000, 2000])
        self.assertEqual(d.sql("select distinct scheduler, who from buildset"), [["tick", ""]])
        self.assertRegex(d.sql("select reason from buildset order by id limit 1")[0][0], r"^scheduler tick, due \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$")
        self.assertEqual(d.sql("select distinct s.branch, s.revision from buildset b join sourcestamp s on s.id = b.sourcestamp"), [["main", self.head]])

    def test_a_new_cron_line_waits_for_its_time(self):
        d = self.begin({"night": {"cron": "0 3 * * *", "zone": "Europe/Berlin"}}).up()
        due = wait_for(lambda: d.get("/schedulers/p/night")["due_at"], "its time")
        self.assertGreater(due, time.time() * 1000)
        self.assertEqual(d.get("/schedulers/p/night")["next"][0], due)
        self.assertIn(time.gmtime(due / 1000).tm_hour, (1, 2))
        self.assertEqual(self.decisions(d, "night"), [])

    def test_only_if_changed(self):
        d = self.begin({"tick": {"every": "1s", "only_if": "changed", "missed": "all"}, "none": {"force": {}}}).up()
        rows = wait_for(lambda: len(r := self.rows(d)) >= 3 and r, "three times")
        self.assertEqual([r[1] for r in rows[:3]], ["built", "nothing", "nothing"])
        self.assertRegex(rows[1][2], r"^due [-0-9]+ [:0-9]+ UTC: main is at %s still, which it built last$" % self.head[:12])
        new = commit(d.path("repo"), {"a": "b"}, "second")
        d.sql(f"update branch_head set revision = '{new}'")  # as the poller would
        wait_for(lambda: [r[1] for r in self.rows(d)].count("built") == 2, "the new revision")
        self.idle(d)
        self.assertEqual([x.split()[1] for x in read(d.path("ran")).decode().splitlines()], [self.head, new])

    def missed(self, rule):
        d = self.begin({"tick": {"every": "1s", "missed": rule}}).up()
        self.built(d, 2)
        d.kill_master()
        last = self.rows(d)[-1][0]
        wait_for(lambda: time.time() * 1000 > last + 4500, "more than three due times")
        d.start_master()
        rows = wait_for(lambda: (r := self.rows(d)) and r[-1][0] >= last + 6000 and r, "times after that")
        return last, [r for r in rows if r[0] > last]

    def test_missed_once(self):
        last, rows = self.missed("once")
        first = rows[0]
        gap = (first[0] - last) // 1000
        self.assertGreaterEqual(gap, 4)
        self.assertEqual(first[1], "built")
        self.assertTrue(first[2].endswith(f", and for {gap - 1} times before that were missed"), first)
        self.follow(first[0], rows[1:])

    def test_missed_skip(self):
        last, rows = self.missed("skip")
        gap = (rows[0][0] - last) // 1000
        self.assertGreaterEqual(gap, 3)
        self.assertEqual(rows[0][1], "missed")
        self.assertRegex(rows[0][2], r"^%d times missed, the last at [-0-9]+ [:0-9]+ UTC \(missed: skip\)$" % gap)
        self.follow(rows[0][0], rows[1:])
        self.assertIn("built", {r[1] for r in rows[1:]})

    def test_missed_all(self):
        last, rows = self.missed("all")
        self.assertEqual([r[0] for r in rows], [last + 1000 * i for i in range(1, len(rows) + 1)])
        self.assertEqual({r[1] for r in rows}, {"built"})

    def test_nights_without_a_master(self):
        for rule, whats in (("once", ["built"]), ("skip", ["missed"]), ("all", ["built"] * 3)):
            d = self.begin({"night": {"cron": "0 3 * * *", "missed": rule}}).up()
            due = wait_for(lambda: d.get("/schedulers/p/night")["due_at"], "its time")
            d.kill_master()  # maybe before the first look at the repository: then the times wait for that
            d.sql("update scheduler set due_at = due_at - interval '3 days'")  # what it was three days ago, and nobody was there since
            if time.time() * 1000 > due - 600000 or time.time() * 1000 < due - 86400000 + 600000:
                self.skipTest("it is 3 o'clock")
            d.start_master()
            rows = wait_for(lambda: d.get("/schedulers/p/night")["due_at"] == due and self.rows(d, "night"), "the next time")
            self.assertEqual([r[1] for r in rows], whats)
            self.assertEqual([r[0] for r in rows], [due - 86400000 * n for n in ((3, 2, 1) if rule == "all" else (1,))])
            self.assertEqual(d.get("/schedulers/p/night")["scheduled"], due - 86400000)
            self.assertEqual(d.sql("select count(*) from buildset"), [[str(whats.count("built"))]])

    def test_two_masters_killed_at_random(self):
        """Each due time is acted upon once: in the rows, and in the file to which each build appends."""
        d = self.begin({"tick": {"every": "1s", "missed": "all"}}).up()
        self.built(d, 1)
        second = self.second(d)
        masters = {"first": d.start_master, "second": second.start_master}
        alive = {"first": d, "second": second}
        for i in range(KILLS):
            n = len(self.rows(d))
            wait_for(lambda: len(self.rows(d)) > n, "another time")
            name = random.choice(sorted(masters))
            time.sleep(random.random())  # at any moment of a period
            alive[name].kill_master()
            if random.random() < 0.3:
                other = {"first": "second", "second": "first"}[name]
                alive[other].kill_master()
                masters[other](wait=False)
            masters[name](wait=False)
        d.wait_ready()
        d.wait_worker()
        rows = self.rows(d)
        n = len(rows)
        rows = wait_for(lambda: len(r := self.rows(d)) > n + 2 and r, "times after all kills")
        self.cli(d, "scheduler", "disable", "tick")
        self.over(d)
        rows = self.each_once(d)
        self.assertEqual(int(d.sql("select count(*) from buildset")[0][0]), len(rows))
        lines = [x.split()[0] for x in read(d.path("ran")).decode().splitlines()]
        self.assertEqual(len(lines), len(rows))
        self.assertEqual(len(set(lines)), len(lines))
        print(f"    {len(rows)} due times, {KILLS} kills")


if __name__ == "__main__":
    unittest.main()
