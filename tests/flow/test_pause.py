#!/usr/bin/env python3
"""What is paused starts nothing, and says so; what runs goes on. Priorities of what waits, and whose turn it is."""
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, busy, make_repo, wait_for  # noqa: E402


class Pause(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"one": {"slots": 2}, "two": {"slots": 1, "tags": ["two"]}}

    @classmethod
    def prepare(cls):
        d = cls.d
        b = {"checkout": "none", "steps": [{"name": "s", "run": f'echo "$DROVER_BUILDER" >>{d.root}/ran; while [ -e {d.root}/hold ]; do sleep 0.02; done'}]}
        make_repo(d.path("repo"), {"a": "a"})
        d.configure(projects={name: {"git": d.path("repo"), "poll": "1h", "builders": {"b": b, "m": {**b, "matrix": {"N": [1, 2]}}, "only-two": {**b, "worker": {"tags": ["two"]}}, "timed": {**b, "worker": {"tags": ["two"]}}}, "schedulers": {"none": {"force": {}}}} for name in ("p", "q")})

    def setUp(self):
        self.d.wait_looked("p", "q")
        open(self.d.path("ran"), "w").close()

    def tearDown(self):
        if os.path.exists(self.d.path("hold")):
            os.unlink(self.d.path("hold"))
        for p in self.d.get("/pauses")["items"]:
            self.d.post("/resume", {"object": p["object"]})
        wait_for(lambda: self.d.sql("select count(*) from build_request where state <> 'done'") == [["0"]] and self.d.sql("select count(*) from build where state <> 'done'") == [["0"]], "the end of all")

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return p.stdout if code == 0 else p.stderr

    def ask(self, builder):
        a = self.d.post("/builds", {"builder": builder, "branch": "main"}, 201)
        return a["requests"][0] if len(a["requests"]) == 1 else a["requests"]

    def reason(self, rid):
        return self.d.get(f"/requests/{rid}/why")["reason"]

    def wait_paused(self, rid, what):
        return wait_for(lambda: (r := self.reason(rid))["kind"] == "paused" and r["object"] == what and r, f"{rid} to wait for {what}")

    def ran(self):
        return open(self.d.path("ran")).read().split()

    def test_a_builder_and_its_project(self):
        self.assertIn("paused    builder/p/b", self.cli("pause", "p/b", "--reason", "it is broken"))
        rid = self.ask("p/b")
        r = self.wait_paused(rid, "builder/p/b")
        self.assertRegex(r["text"], r"^builder p/b is paused by \w+: it is broken\. ")
        other = self.ask("q/b")
        self.assertEqual(self.d.wait_request(other)["result"], 0)
        self.assertEqual(self.d.get("/requests/" + rid)["state"], "pending")
        self.assertRegex(self.cli("status"), r"paused +builder/p/b by \w+ .*: it is broken")
        self.cli("pause", "p")
        self.cli("resume", "p/b")
        self.wait_paused(rid, "project/p")
        self.assertIn("resumed   project/p", self.cli("resume", "p"))
        self.assertEqual(self.d.wait_request(rid)["result"], 0)
        self.assertIn("not paused  project/p", self.cli("resume", "p"))
        self.assertIn("nothing is paused", self.cli("pause"))
        events = [e[0] for e in self.d.events("select type || ' ' || object from event where type in ('paused', 'resumed') order by number desc limit 4")][::-1]
        self.assertEqual(events, ["paused builder/p/b", "paused project/p", "resumed builder/p/b", "resumed project/p"])

    def test_a_matrix(self):
        self.cli("pause", "p/m")
        rids = self.ask("p/m")
        self.wait_paused(rids[0], "builder/p/m")
        self.cli("pause", "p/m[2]")
        self.cli("resume", "p/m")
        self.assertEqual(self.d.wait_request(rids[0])["result"], 0)
        self.wait_paused(rids[1], "builder/p/m[2]")

    def test_a_worker(self):
        """The others take what they can; what runs there goes on."""
        open(self.d.path("hold"), "w").close()
        runs = self.ask("p/only-two")
        wait_for(lambda: self.d.get("/requests/" + runs)["state"] == "claimed", "the build on two")
        self.cli("pause", "two", "--for", "1h")
        waits = self.ask("q/only-two")
        os.unlink(self.d.path("hold"))
        self.assertEqual(self.d.wait_request(runs)["result"], 0)
        r = self.wait_paused(waits, "worker/two")
        self.assertRegex(r["text"], r"^worker two is paused by \w+ until \d{4}-\d\d-\d\d \d\d:\d\d UTC\. ")
        free = self.ask("p/b")
        self.assertEqual(self.d.get("/builds/" + self.d.wait_request(free)["builds"][0])["worker"], "one")
        self.cli("pause", "one")
        both = self.ask("p/b")
        self.wait_paused(both, "worker/one")
        self.cli("resume", "one")
        self.assertEqual(self.d.wait_request(both)["result"], 0)
        self.assertEqual(self.d.get("/requests/" + waits)["state"], "pending")

    def test_all_of_it_over_a_restart(self):
        self.cli("pause", "all", "--reason", "moving")
        rids = [self.ask("p/b"), self.ask("q/b")]
        self.wait_paused(rids[0], "site")
        self.d.kill_master()
        self.d.start_master()
        self.d.wait_worker("one")
        self.assertTrue(self.wait_paused(rids[1], "site")["text"].startswith("the site is paused by "))
        self.assertEqual(self.ran(), [])
        self.cli("resume", "all")
        for r in rids:
            self.assertEqual(self.d.wait_request(r)["result"], 0)

    def test_it_ends_by_itself(self):
        begin, ms = time.time(), int(1500 * busy())  # so long that it is seen before it ends
        self.d.post("/pause", {"object": "p", "for": ms})
        rid = self.ask("p/b")
        self.wait_paused(rid, "project/p")
        self.assertEqual(self.d.wait_request(rid)["result"], 0)
        self.assertGreater(self.d.get("/requests/" + rid)["claimed"], begin * 1000 + ms - 50)
        wait_for(lambda: self.d.sql("select count(*) from pause") == [["0"]], "the row to go")

    def test_what_is_refused(self):
        self.assertIn("there is nothing called nobody", self.cli("pause", "nobody", code=2))
        self.assertIn('"b" may be several: builder/p/b, builder/q/b', self.cli("pause", "b", code=2))
        self.assertIn("--for wants a time", self.cli("pause", "p", "--for", "soon", code=2))
        for body in ({}, {"object": ""}, {"object": "x" * 400}, {"object": 7}, {"object": "p", "for": 0}, {"object": "p", "for": "1h"}, {"object": "p", "for": 1e15}):
            self.assertEqual(self.d.api("POST", "/pause", body).status, 400, body)
        self.assertEqual(self.d.get("/pauses")["items"], [])

    def test_priority(self):
        """Of what waits the higher one starts first, whenever it was given."""
        open(self.d.path("hold"), "w").close()
        first = self.ask("p/only-two")
        wait_for(lambda: self.d.get("/requests/" + first)["state"] == "claimed", "the first")
        low, high, sets = self.ask("p/only-two"), self.ask("q/only-two"), self.ask("p/only-two")
        s = self.d.get("/requests/" + sets)["buildset"]
        self.assertIn(f"priority  70: {sets}", self.cli("priority", s, "70"))
        self.cli("priority", high, "90")
        self.assertEqual(self.d.get("/requests/" + high)["priority"], 90)
        os.unlink(self.d.path("hold"))
        done = {r: self.d.wait_request(r)["claimed"] for r in (low, high, sets)}
        self.assertLess(done[high], done[sets])
        self.assertLess(done[sets], done[low])
        for argv, says in ((("priority", low, "90"), "has nothing that waits"), (("priority", "p/b/1", "9"), "neither a request"), (("priority", low, "x"), "whole number"), (("priority", "r99999", "9"), "has nothing that waits")):
            self.assertIn(says, self.cli(*argv, code=2))
        self.assertEqual(self.d.api("POST", f"/requests/{low}/priority", {"priority": 101}).status, 400)


    def test_queue(self):
        """Who is next, why it waits and when it will probably begin; durations of before are set by hand, so that it can be reckoned by hand."""
        for _ in range(3):
            self.assertEqual(self.d.wait_request(self.ask("p/timed"))["result"], 0)
        self.assertIn("nothing waits for a worker", self.cli("queue"))
        self.d.sql("update build b set started = b.finished - make_interval(mins => (b.number % 3)::int + 1) from builder u, project p where u.id = b.builder and u.name = 'timed' and p.id = u.project and p.name = 'p'")
        open(self.d.path("hold"), "w").close()
        runs = self.ask("p/timed")
        wait_for(lambda: self.d.get("/requests/" + runs)["state"] == "claimed", "the first")
        late, soon, paused = self.ask("p/timed"), self.ask("p/timed"), self.ask("q/only-two")
        self.cli("priority", soon, "80")
        self.cli("pause", "q/only-two")
        self.wait_paused(paused, "builder/q/only-two")
        q = self.d.get("/queue")
        self.assertEqual(([r["id"] for r in q["items"]], q["total"]), ([soon, late, paused], 3))
        self.assertEqual([r["waits"]["kind"] for r in q["items"]], ["slots", "slots", "paused"])
        self.assertIsNone(q["items"][2]["eta"], "nobody knows when somebody resumes")
        now = time.time() * 1000
        for r, builds in ((q["items"][0], 1), (q["items"][1], 2)):
            for key, s in (("low", 84), ("likely", 120), ("high", 156)):  # between 1, 2 and 3 minutes
                ms = r["eta"][key] - now
                self.assertTrue(s * builds - 60 < ms / 1000 <= s * builds + 1, (r["id"], key, ms))
            told = self.d.get(f"/requests/{r['id']}/why")
            self.assertLess(abs(told["eta"]["likely"] - r["eta"]["likely"]), 30000)
        out = self.cli("queue").splitlines()
        self.assertRegex(out[0], r"^REQUEST +BUILDER +PRIO +ASKED +BEGINS +WAITS$")
        self.assertRegex(out[1], rf"^{soon} +p/timed +80 +\S.* in about [12]:\d\d min \([^)]* to 2:\d\d min\) +two is full")
        self.assertRegex(out[3], rf"^{paused} +q/only-two +50 +\S.* - +builder q/only-two is paused")
        self.assertRegex(self.cli("queue", "--limit", "1"), r"and 2 more: drover queue --limit 3\n$")
        self.assertRegex(self.cli("why", late), r"\nbegins +in about [34]:\d\d min \(.*\), by its turn and by how long such builds take\n$")
        self.assertNotIn("begins", self.cli("why", paused))
        self.assertIsNone(self.d.get(f"/requests/{runs}/why")["eta"])
        self.assertEqual(self.d.api("GET", "/queue?limit=0").status, 400)


class Share(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"one": {"slots": 8}}
    EACH, UNTIL = 1000, 400

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a"})
        pipeline = {"builders": {"b": {"checkout": "none", "steps": [{"name": "s", "run": ["true"]}]}}, "schedulers": {"none": {"force": {}}}}
        d.configure(projects={name: {"git": d.path("repo"), "poll": "1h", **pipeline} for name in ("p", "q", "r")})

    def fill(self, project, n):
        """So many requests at once, as one that is there already."""
        self.d.sql("insert into build_request (buildset, project, builder, tags, priority) select r.buildset, r.project, r.builder, r.tags, r.priority from build_request r "
                   f"join project p on p.id = r.project cross join generate_series(1, {n}) where p.name = '{project}'")

    def test_two_projects_that_want_all(self):
        """One project had all its requests there first: after 400 builds of two with 1,000 pending each, each has had half; a third one that comes late doesn't wait for either."""
        self.d.wait_looked("p", "q", "r")
        for project in ("p", "q", "r"):
            self.d.run(project + "/b", branch="main")
        self.d.post("/pause", {"object": "all"})
        wait_for(lambda: self.d.get("/status")["pauses"], "the pause")
        self.fill("p", self.EACH)
        self.fill("q", self.EACH)
        first = int(self.d.sql("select max(id) from build")[0][0])
        self.d.post("/resume", {"object": "all"})
        wait_for(lambda: int(self.d.sql(f"select count(*) from build where id > {first}")[0][0]) >= self.UNTIL, "so many builds", 120)
        late = self.d.ask("r/b", branch="main")
        got = dict(self.d.sql(f"select p.name, count(*) from (select * from build where id > {first} order by started, id limit {self.UNTIL}) b join builder u on u.id = b.builder join project p on p.id = u.project group by 1"))
        print("builds of the first", self.UNTIL, got, file=sys.stderr)
        for project in ("p", "q"):
            self.assertLessEqual(abs(int(got[project]) - self.UNTIL // 2), 4, got)
        self.d.wait_request(late)
        self.assertGreater(int(self.d.sql("select count(*) from build_request where state = 'pending'")[0][0]), self.EACH)
        self.d.sql("update build_request set state = 'done', result = 6 where state = 'pending'")


if __name__ == "__main__":
    unittest.main()
