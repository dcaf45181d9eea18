#!/usr/bin/env python3
"""Which schedulers there are, switched off and on, and run by people: a real master, real PostgreSQL, real git."""
import json
import os
import pwd
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import commit, git, make_repo, read, wait_for  # noqa: E402
from schedsite import Base, project  # noqa: E402

WHO = pwd.getpwuid(os.getuid()).pw_name


class People(Base):
    def test_disable_and_enable(self):
        d = self.begin({"tick": {"every": "1s"}, "other": {"every": "1h"}}).up()
        self.built(d, 1)
        self.assertEqual(self.cli(d, "scheduler", "disable", "p/tick", "--reason", "too loud"), "disabled  p/tick: its times and changes pass; drover scheduler enable p/tick brings it back\n")
        n = len(self.rows(d))
        self.assertEqual(self.cli(d, "scheduler", "disable", "tick"), "disabled  p/tick, as it was before\n")
        at = time.time() * 1000
        s = d.get("/schedulers/p/tick")
        self.assertEqual((s["disabled"]["by"], s["disabled"]["reason"], s["due_at"], s["next"]), (WHO, "too loud", None, []))
        d.kill_master()
        d.start_master()
        wait_for(lambda: time.time() * 1000 > at + 3000, "times that pass")
        self.assertEqual(len(self.rows(d)), n, "disabled over a restart")
        self.assertIn(f"p/tick is disabled by {WHO}: too loud", self.cli(d, "scheduler", "run", "tick", code=2))
        self.assertEqual(self.cli(d, "scheduler", "enable", "tick"), "enabled   p/tick\n")
        rows = self.built(d, n + 2)
        self.assertGreater(rows[n][0], at + 2900, "what passed is not made up for")
        told = re.search(r"for (\d+) times? before", rows[n][2])  # one where the master was held up just now
        self.assertLess(int(told[1]) if told else 0, 3, rows[n])
        self.assertEqual([x for x in self.decisions(d, "tick") if x[0] in ("disabled", "enabled")], [("disabled", f"by {WHO}: too loud"), ("enabled", f"by {WHO}")])
        self.assertIn("there is no scheduler p/nobody", self.cli(d, "scheduler", "disable", "p/nobody", code=2))
        self.assertIn("there is no scheduler nobody; drover scheduler list shows them all", self.cli(d, "scheduler", "show", "nobody", code=2))
        for body, text in (({"reason": "a\nb"}, b"a reason is one line"),):
            a = d.api("POST", "/schedulers/p/tick/disable", body)
            self.assertEqual((a.status, text in a.body), (400, True), a.body)

    def test_a_disabled_scheduler_lets_changes_pass(self):
        d = self.begin({"commits": {"change": {}}, "later": {"change": {}, "stable": "1h"}, "hand": {"force": {}}, "night": {"cron": "0 3 * * *"}}).up()
        wait_for(lambda: len(d.get("/schedulers")["items"]) == 4 and d.sql("select 1 from branch_head"), "the schedulers, and the first look")
        send = lambda rev: self.cli(d, "change", "send", "--project", "p", "--branch", "main", "--revision", rev)
        decided = lambda n: wait_for(lambda: d.sql("select count(*) from change where state = 'decided'") == [[str(n)]], "the change")
        send("a" * 40)
        decided(1)
        self.assertEqual(self.decisions(d, "commits"), [("built", "saw c1")])
        self.assertEqual(self.decisions(d, "later"), [("waits", "saw c1, waits until main is quiet")])
        self.assertEqual([(p["branch"], p["changes"]) for p in d.get("/schedulers/p/later")["pending"]], [("main", ["c1"])])
        self.assertEqual(d.get("/schedulers/p/commits")["last"]["buildset"], "s1")
        self.cli(d, "scheduler", "disable", "commits", "--reason", "frozen")
        self.cli(d, "scheduler", "disable", "later")
        self.assertEqual(d.get("/schedulers/p/later")["pending"], [])
        self.assertEqual(self.decisions(d, "later")[-1], ("passed", f"c1 passes: disabled by {WHO}"))
        send("b" * 40)
        decided(2)
        self.assertEqual(self.decisions(d, "commits")[-1], ("passed", f"c2 passes: disabled by {WHO}: frozen"))
        self.assertEqual(self.cli(d, "why", "c2"), f"c2        p main: decided\n  commits  no: disabled by {WHO}: frozen\n  later    no: disabled by {WHO}\n")
        self.assertEqual(d.sql("select count(*) from buildset"), [["1"]])
        self.cli(d, "scheduler", "enable", "commits")
        send("c" * 40)
        decided(3)
        self.assertEqual(self.decisions(d, "commits")[-1], ("built", "saw c3"))
        self.assertEqual(self.decisions(d, "hand") + self.decisions(d, "night"), [], "no change is theirs")
        self.assertEqual(d.sql("select count(*) from buildset"), [["2"]])

    def test_a_stable_timer_tells_too(self):
        d = self.begin({"later": {"change": {}, "stable": "300ms"}}).up()
        wait_for(lambda: d.get("/schedulers")["items"] and d.sql("select 1 from branch_head"), "the scheduler, and the first look")
        self.cli(d, "change", "send", "--project", "p", "--branch", "main", "--revision", self.head)
        wait_for(lambda: self.decisions(d, "later") == [("built", "saw c1")], "the quiet time")
        self.assertEqual(d.get("/schedulers/p/later")["last"]["buildset"], "s1")

    def test_run_by_hand(self):
        d = self.begin({"night": {"cron": "0 3 * * *", "only_if": "changed"}, "commits": {"change": {}}, "old": {"force": {}, "branch": "old/1"}, "nope": {"force": {}, "branch": "nope"},
                        "tick": {"every": "1h", "branch": "nope"}})
        git(d.path("repo"), "branch", "old/1")
        now = commit(d.path("repo"), {"a": "b"}, "second")
        d.up()
        wait_for(lambda: d.get("/schedulers")["items"] and d.sql("select 1 from branch_head"), "the scheduler, and the first look")
        out = self.cli(d, "scheduler", "run", "night", "--reason", "for the release", "--wait")
        self.assertIn("SUCCESS", out)
        self.assertEqual(d.sql("select reason, who, scheduler from buildset"), [[f"scheduler night, run by {WHO}: for the release", WHO, "night"]])
        self.assertEqual(self.decisions(d, "night"), [("built", f"scheduler night, run by {WHO}: for the release")])
        self.assertEqual(d.get("/schedulers/p/night")["built"], now)
        self.assertIn("scheduler p/night takes no parameters", self.cli(d, "scheduler", "run", "night", "-p", "x=1", code=2))
        self.cli(d, "scheduler", "run", "commits", "--wait")
        self.cli(d, "scheduler", "run", "old", "--wait")
        self.assertEqual(d.sql("select s.branch, s.revision from buildset b join sourcestamp s on s.id = b.sourcestamp order by b.id"), [["main", now], ["main", now], ["old/1", self.head]])
        self.assertIn("no branch nope of project p has been seen yet", self.cli(d, "scheduler", "run", "nope", code=2))
        wait_for(lambda: [why.split(": ")[-1] for what, why in self.decisions(d, "tick")] == ["no branch nope has been seen in the repository"], "the first time of one without a branch")

    def test_parameters(self):
        d = self.own({"p": {}})
        head = make_repo(d.path("repo"), {"a": "a"})
        steps = [{"name": "s1", "run": ["sh", "-c", 'printf "%%s|" "$@" >>%s/ran' % d.root, "sh", "${{ properties.version }}", "${{ properties.n + 1 }}", "${{ properties.sure ? 'yes' : 'no' }}",
                                         "${{ properties.how }}", "${{ properties.ratio }}", "${{ properties.note }}"]}]
        ask = {"version": {"match": r"^\d+\.\d+$"}, "n": {"type": "integer", "default": "3"}, "sure": {"type": "boolean", "default": "false"},
               "how": {"type": "choice", "choices": ["debug", "release"], "default": "debug"}, "ratio": {"type": "number", "default": "0.5"}, "note": {"type": "text", "default": ""}}
        d.configure(projects={"p": {"git": d.root + "/repo", "poll": "1h", "builders": {"b": {"checkout": "none", "steps": steps}},
                                    "schedulers": {"ask": {"force": {"parameters": ask}}, "plain": {"force": {}}}}})
        d.up()
        wait_for(lambda: d.get("/schedulers")["items"] and d.sql("select 1 from branch_head"), "the scheduler, and the first look")
        for argv, text in (((), 'parameter "version" must be given\n  -p version=VALUE; it is of type string'),
                           (("version=1",), r'parameter "version" must match ^\d+\.\d+$, and "1" does not'),
                           (("version=1.2", "n=x"), 'parameter "n" is a whole number of at most 15 digits, not "x"'),
                           (("version=1.2", "sure=yes"), 'parameter "sure" is true or false, not "yes"'),
                           (("version=1.2", "how=fast"), 'parameter "how" is one of debug and release, not "fast"'),
                           (("version=1.2", "ratio=a"), 'parameter "ratio" is a number of at most 15 digits, not "a"'),
                           (("version=1.2", "versoin=1.2"), 'scheduler p/ask has no parameter "versoin"\n  it has version, n, sure, how, ratio, note'),
                           (("version:=[1]",), 'parameter "version" is neither a text nor a number nor true or false')):
            err = self.cli(d, "scheduler", "run", "ask", *[x for a in argv for x in ("-p", a)], code=2)
            self.assertEqual(err, f"drover: {text}\n")
        self.assertEqual(d.sql("select count(*) from buildset"), [["0"]])
        self.assertIn("SUCCESS", self.cli(d, "scheduler", "run", "ask", "-p", "version=1.2", "--wait"))
        self.assertIn("SUCCESS", self.cli(d, "scheduler", "run", "ask", "-p", "version=1.10", "-p", "n:=41", "-p", "sure:=true", "-p", "how=release", "-p", "ratio=2", "-p", "note=$(id)", "--wait"))
        self.assertEqual(read(d.path("ran")).decode(), "1.2|4|no|debug|0.5||1.10|42|yes|release|2|$(id)|")
        self.assertEqual([json.loads(x) for x, in d.sql("select properties from buildset order by id")],
                         [{"version": "1.2", "n": 3, "sure": False, "how": "debug", "ratio": 0.5, "note": ""},
                          {"version": "1.10", "n": 41, "sure": True, "how": "release", "ratio": 2, "note": "$(id)"}])
        self.assertIn("scheduler p/plain takes no parameters", self.cli(d, "scheduler", "run", "plain", "-p", "x=1", code=2))
        self.cli(d, "scheduler", "run", "p/plain")
        self.assertEqual(d.sql("select s.revision from buildset b join sourcestamp s on s.id = b.sourcestamp where scheduler = 'plain'"), [[head]])
        a = d.api("POST", "/schedulers/p/ask/run", {"parameters": [1]})
        self.assertEqual(a.status, 400, a.body)


class Which(Base):
    """Which schedulers there are."""

    def names(self, d):
        return {s["name"]: (s["kind"], s["due_at"]) for s in d.get("/schedulers?project=p")["items"]}

    def test_the_sites(self):
        d = self.begin({"a": {"every": "1h"}, "b": {"cron": "0 3 * * *"}, "c": {"change": {}}}).up()
        self.built(d, 1, "a")  # its first time, behind which the next one is known
        before = wait_for(lambda: (n := self.names(d)) and all(n[x][1] for x in "ab") and n, "their times")
        self.assertEqual({k: v[0] for k, v in before.items()}, {"a": "every", "b": "cron", "c": "change"})
        self.cli(d, "scheduler", "disable", "b")
        d.configure(projects={"p": project(d.root, {"a": {"every": "1h", "only_if": "changed"}, "b": {"cron": "0 4 * * *"}, "e": {"force": {}}})})
        self.cli(d, "config", "activate")
        now = wait_for(lambda: "e" in (n := self.names(d)) and n, "the new ones")
        self.assertEqual(sorted(now), ["a", "b", "e"])
        self.assertEqual(now["a"], before["a"], "its times are as they were")
        self.assertEqual(d.get("/schedulers/p/b")["disabled"]["by"], WHO)
        self.assertEqual(d.get("/schedulers/p/b")["spec"]["cron"], "0 4 * * *")
        self.assertEqual(d.sql("select count(*) from scheduler_decision d where not exists (select from scheduler s where s.id = d.scheduler)"), [["0"]])
        d.configure(projects={"p": project(d.root, {"a": {"every": "2h"}})})
        self.cli(d, "config", "activate")
        wait_for(lambda: (n := self.names(d)) and list(n) == ["a"] and n["a"][1] == before["a"][1] + 3600000, "two hours after it was due last")

    def test_the_repositorys(self):
        d = self.own({"p": {}})
        pipe = "steps: [{name: s1, run: echo}]\nschedulers: {%s}\n"
        make_repo(d.path("repo"), {".drover.yml": pipe % "night: {cron: 0 3 * * *}"})
        d.configure(projects={"p": {"git": d.root + "/repo", "poll": "200ms"}})
        d.up()
        wait_for(lambda: self.names(d).get("night", ("", 0))[1], "its time, though the first look builds nothing")
        commit(d.path("repo"), {".drover.yml": pipe % "night: {cron: 0 3 * * *}, tick: {every: 1h}"}, "tick")
        wait_for(lambda: sorted(self.names(d)) == ["night", "tick"], "both")
        bad = commit(d.path("repo"), {".drover.yml": "steps: [a]\nschedulers: {x: {cron: never}}\n"}, "bad")
        text = wait_for(lambda: d.get("/schedulers/p/tick")["trouble"], "why the tip is not taken over")
        self.assertIn(".drover.yml:2:24: here a minute should stand", text)
        self.assertEqual(sorted(self.names(d)), ["night", "tick"])
        self.assertEqual(d.sql("select schedulers_from from project"), [[bad]])
        commit(d.path("repo"), {".drover.yml": pipe % "tick: {every: 1h}"}, "good")
        wait_for(lambda: sorted(self.names(d)) == ["tick"], "the one that is left")
        self.assertIsNone(d.get("/schedulers/p/tick")["trouble"])


if __name__ == "__main__":
    unittest.main()
