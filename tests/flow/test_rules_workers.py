#!/usr/bin/env python3
"""docs/rules.md 4.12: which worker gets a build. What workers tell of themselves is told by fake ones, which take a build and end it at once."""
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, make_repo, wait_for  # noqa: E402
from schedsite import Session  # noqa: E402
from workersite import Host, Site, builder  # noqa: E402

SUCCESS, FAILURE, EXCEPTION = 0, 2, 4
GIB_KIB = 1 << 20  # a GiB, in KiB


class Facts(Case):
    """What a build asks of its worker."""
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 2, "tags": ["real"]}}
    HOSTS = ("small", "large", "odd")
    BUILDERS = {
        "big": builder(memory="8G"), "huge": builder(**{"if": "memory >= 1000000G"}), "on-small": builder(name="small"), "arm": builder(arch="aarch64"), "odd-os": builder(os="Plan9"),
        "either": builder(os=["plan9", "inferno"]), "tagged": builder(tags=["fake"], memory="8G"), "here": builder(**{"if": "cores >= 1 and disk_free > 0 and \"real\" in tags and os == 'linux'"}),
        "told": builder(tags=["fake"], **{"if": "memory > 0"}), "many": builder(tags=["fake"], **{"if": "cores > 0"}), "release": builder(tags=["fake"], **{"if": "release == 'x'"}),
        "split": builder(tags=["fake"], memory="8G", os="plan9"), "any": builder(), "free": builder(tags=["real"]), "m": {**builder(name="${{ matrix.on }}", memory="1M"), "matrix": {"on": ["small", "large"]}},
        "apart": builder(tags=["fake"], **{"if": "isolation == 'namespaces'"}), "ended": builder(tags=["fake"], **{"if": "cgroup in ['kill', 'limits']"}),
        "crossed": {**builder(tags=["fake"], **{"if": "memory >= matrix.gb * 1G"}), "matrix": {"gb": [3, 900]}},
    }

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a"})
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "1h", "builders": cls.BUILDERS, "schedulers": {"none": {"force": {}}}}})

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in cls.HOSTS:
            cls.d.workers[name] = {"slots": 2, "tags": ["fake"]}

    def setUp(self):
        self.d.wait_looked("p")

    def tearDown(self):
        for rid, in self.d.sql("select 'r' || id from build_request where state <> 'done'"):
            self.d.post(f"/requests/{rid}/cancel", {})

    def small(self):
        return Host(self, "small", memory_kib=str(2 * GIB_KIB), cores="2", arch="x86_64")

    def large(self):
        return Host(self, "large", memory_kib=str(16 * GIB_KIB), cores="8", arch="aarch64", os="Linux")

    def worker_of(self, name):
        return self.d.run("p/" + name)["worker"]

    def waits(self, name, text, obj=None):
        """It waits for a worker, and says so; its request."""
        rid = self.d.ask("p/" + name)
        r = wait_for(lambda: (r := self.d.get(f"/requests/{rid}/why")["reason"])["kind"] == "no_worker" and text in r["text"] and r, f"{name}: {text}: " + str(self.d.get(f"/requests/{rid}/why")))
        if obj:
            self.assertEqual(r["object"], obj)
        return rid

    def test_4_12_1_only_who_has_all_tags_and_meets_all_conditions(self):
        self.small()
        self.large()
        self.assertEqual(self.worker_of("tagged"), "large")
        self.assertEqual(self.worker_of("on-small"), "small")
        self.assertEqual(self.worker_of("arm"), "large")
        self.assertEqual(self.worker_of("here"), "here")
        self.waits("split", "no connected worker with its tags has os == \"plan9\" (there is linux)", 'os == "plan9"')
        Host(self, "odd", os="Plan9", memory_kib=str(GIB_KIB))
        self.waits("split", "no connected worker with its tags has all that it needs: each of its 2 conditions is met by some, not all of them by one")
        self.assertEqual(self.worker_of("odd-os"), "odd")
        self.assertEqual(self.worker_of("either"), "odd")

    def test_4_12_2_why_names_the_condition_and_who_comes_nearest(self):
        self.small()
        self.large()
        self.waits("odd-os", 'no connected worker has os == "plan9" (there is linux)', 'os == "plan9"')
        rid = self.waits("crossed[900]", "no connected worker with its tags has memory >= 900 * 1G")
        out = subprocess.run([f"{BUILD}/drover", "why", rid], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, capture_output=True, text=True, timeout=60).stdout
        self.assertIn("no connected worker with its tags has memory >= 900 * 1G", out)
        self.d.post(f"/requests/{rid}/cancel", {})
        out = subprocess.run([f"{BUILD}/drover", "show", rid], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, capture_output=True, text=True, timeout=60).stdout
        self.assertRegex(out, r"wants +memory >= 900 \* 1G")
        rid = self.waits("huge", "no connected worker has memory >= 1000000G (the most is ")
        self.assertRegex(self.d.get(f"/requests/{rid}/why")["reason"]["text"], r"\(the most is [0-9.]+ [GT]iB on \w+\)")
        queue = {r["id"]: r for r in self.d.get("/requests?state=pending")["items"]}
        self.assertEqual(queue[rid]["waits"]["kind"], "no_worker")
        self.assertIn("(the most is ", queue[rid]["waits"]["text"])

    def test_4_12_3_what_is_not_told_or_is_no_value_is_not_met(self):
        """A worker's word narrows where a build goes and does nothing else."""
        for facts in ({"memory_kib": "lots"}, {"memory_kib": "-1"}, {"memory_kib": "9" * 30}, {"memory_kib": str(1 << 62)}, {"memory_kib": "1e9"}, {"memory_kib": ""}, {"memory_kib": " 5"}, {}):
            with self.subTest(facts=facts):
                host = Host(self, "odd", **facts)
                self.assertIn("(none tells it)", self.d.get("/requests/" + self.waits("told", "memory > 0") + "/why")["reason"]["text"])
                host.leave(self)
                self.tearDown()
        for cores in ("4294967297", "0x10", "1048577", "many", "-3"):
            with self.subTest(cores=cores):
                host = Host(self, "odd", cores=cores)
                self.assertIn("(none tells it)", self.d.get("/requests/" + self.waits("many", "cores > 0") + "/why")["reason"]["text"])
                host.leave(self)
                self.tearDown()
        for release in ("x" * 5000, "\x1b[31mx", "x\ny"):
            host = Host(self, "odd", release=release)
            self.waits("release", "release == \"x\" (there is ")
            host.leave(self)
            self.tearDown()
        host = Host(self, "odd", os="../../etc", arch="x" * 64, memory_kib="1")
        self.waits("split", "has ")
        self.assertEqual(self.worker_of("told"), "odd")

    def test_4_12_3_how_its_commands_are_kept_apart(self):
        """One word for how far it goes, whatever else the worker has."""
        for facts in ({}, {"isolation": "moon", "cgroup": "moon"}, {"isolation": "pidx,xpid,,", "cgroup": ""}):
            with self.subTest(facts=facts):
                host = Host(self, "odd", **facts)
                self.waits("apart", 'isolation == "namespaces" (none tells it)')
                self.waits("ended", 'cgroup in ["kill", "limits"]')
                host.leave(self)
                self.tearDown()
        host = Host(self, "odd", isolation="uid", cgroup="off")
        self.waits("apart", 'isolation == "namespaces" (there is users)')
        self.waits("ended", 'cgroup in ["kill", "limits"]')
        host.leave(self)
        self.tearDown()
        host = Host(self, "odd", isolation="uid,user,pid,mount,ipc", cgroup="kill,memory")
        self.assertEqual([self.worker_of("apart"), self.worker_of("ended")], ["odd", "odd"])

    def test_4_12_4_who_waits_for_no_free_worker_holds_up_nobody(self):
        """Hundreds before it in the queue, of many kinds: what can be built is built."""
        self.small()
        self.d.run("p/any")
        self.d.sql("insert into buildset (sourcestamp, pipeline, reason, open) select max(sourcestamp), max(pipeline), 'many', 400 from buildset")
        one = "select b.project, b.id from builder b join project p on p.id = b.project where p.name = 'p' and b.name = 'any'"
        self.d.sql(f"insert into build_request (buildset, project, builder, priority, wants) select (select max(id) from buildset), x.project, x.id, 99, array['memory >= ' || i % 150 + 900 || 'T', 'cores > 0'] "
                   f"from ({one}) x cross join generate_series(1, 400) i")
        self.assertEqual(self.d.run("p/on-small")["worker"], "small")
        self.assertEqual(self.d.run("p/any")["result"], SUCCESS)
        self.assertEqual(self.d.sql("select count(*) from build_request where state = 'pending' and priority = 99"), [["400"]])
        self.d.post("/buildsets/s" + self.d.sql("select max(id) from buildset where reason = 'many'")[0][0] + "/cancel", {})
        self.assertEqual(self.d.sql("select count(*) from build where request in (select id from build_request where priority = 99)"), [["0"]])

    def test_4_12_5_each_key_of_a_builder_replaces_that_of_defaults_and_may_be_made_of_the_matrix(self):
        self.small()
        self.large()
        rids = self.d.post("/builds", {"builder": "p/m", "branch": "main"}, 201)["requests"]
        for rid in rids:
            b = self.d.get("/builds/" + self.d.wait_request(rid)["builds"][0])
            self.assertEqual(b["builder"], f"m[{b['worker']}]")
        self.assertEqual(self.worker_of("crossed[3]"), "large")

    def test_4_12_6_built_again_it_wants_the_same(self):
        self.large()
        b = self.d.run("p/tagged")
        again = self.d.post(f"/builds/{b['id']}/rerun", {}, 201)["requests"][0]
        self.assertEqual(self.d.get("/requests/" + again)["wants"], ["memory >= 8G"])
        self.assertEqual(self.d.get("/builds/" + self.d.wait_request(again)["builds"][0])["worker"], "large")


class Order(Site):
    """Whom it is given to, where several will do."""
    WORKERS = {"one": {"slots": 8, "tags": ["real"]}}
    HOSTS = {"a": {"slots": 2, "tags": ["fake"]}, "b": {"slots": 2, "tags": ["fake"], "weight": 80}, "c": {"slots": 2, "tags": ["fake"], "weight": 0}}
    HOLD = "while [ -e ROOT/hold ]; do sleep 0.05; done"
    BUILDERS = {"any": builder(tags=["fake"]), "other": builder(tags=["fake"]), "hold": {**builder(tags=["real"]), "steps": [{"name": "s", "run": HOLD}]}}

    def worker_of(self, name):
        return self.d.run("p/" + name)["worker"]

    def test_4_12_7_weight_zero_and_the_warm_tree(self):
        for name in "abc":
            Host(self, name)
        self.assertEqual(self.worker_of("any"), "b")
        self.cli("pause", "b")
        self.assertEqual(self.worker_of("any"), "a")
        self.cli("resume", "b")
        self.assertEqual(self.worker_of("any"), "a")
        self.assertEqual(self.worker_of("other"), "b")
        self.cli("pause", "a")
        self.cli("pause", "b")
        self.assertEqual(self.worker_of("any"), "c")
        self.cli("resume", "b")
        self.assertEqual(self.worker_of("any"), "b")
        self.assertRegex(self.cli("worker", "show", "c"), r"weight +0")

    def test_4_12_7_an_attempt_that_was_lost_is_made_elsewhere(self):
        Host(self, "b", end={"how": "lost", "reason": "reboot"})
        Host(self, "a")
        r = self.d.wait_request(self.d.ask("q/any"))
        self.assertEqual([self.d.get("/builds/" + b)["worker"] for b in r["builds"]], ["b", "a"])
        self.assertEqual(r["result"], SUCCESS)

    def test_4_12_8_a_calendar_opens_and_closes(self):
        Host(self, "a")
        hour = (time.gmtime().tm_hour + 2) % 24
        self.activate({"a": {"slots": 2, "tags": ["fake"], "calendar": f"{hour:02}:00-{(hour + 2) % 24:02}:00"}})
        rid = self.d.ask("p/any")
        r = self.reason(rid, "calendar")
        self.assertRegex(r["text"], rf"^calendar: a works from {hour:02}:00 \(UTC\), in (2 h|\d+ min)\. ")
        self.assertEqual(r["object"], "a")
        self.assertRegex(self.cli("worker", "show", "a"), rf"calendar +{hour:02}:00-")
        self.assertEqual(self.d.get("/requests/" + rid)["state"], "pending")
        self.activate({"a": {"slots": 2, "tags": ["fake"], "calendar": f"Mon-Sun {(hour - 3) % 24:02}:00-{hour:02}:00 Etc/UTC"}})
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)
        self.activate()

    def test_4_12_9_projects_get_their_shares(self):
        self.activate(p={"share": 3})
        open(self.d.path("hold"), "w").close()
        self.d.post("/pause", {"object": "all"})
        first = [self.d.ask(f"{p}/hold") for p in "qp" for _ in range(8)]
        self.d.post("/resume", {"object": "all"})
        wait_for(lambda: self.d.sql("select count(*) from build where state <> 'done'") == [["8"]], "eight builds")
        got = dict(self.d.sql("select p.name, count(*) from build b join builder u on u.id = b.builder join project p on p.id = u.project where b.state <> 'done' group by 1"))
        self.assertEqual(got, {"p": "6", "q": "2"})
        os.unlink(self.d.path("hold"))
        for rid in first:
            self.d.wait_request(rid)
        self.activate()

    def test_4_12_15_a_slot_that_frees_while_its_waiters_row_is_locked(self):
        """Whoever is behind it takes the slot, and it begins once it may."""
        hold = self.d.path("hold")
        open(hold, "w").close()
        self.activate({"one": {"slots": 1, "tags": ["real"]}})
        first, waits, behind = (self.d.ask("p/hold") for _ in range(3))
        self.d.wait_build(first)
        other = Session(self.d)
        self.addCleanup(other.close)
        other.tell(f"begin; select from build_request where id = {waits[1:]} for update")
        os.unlink(hold)
        for rid in (first, behind):
            self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)
        self.assertEqual(self.d.request(waits)["state"], "pending")
        other.tell("rollback")
        self.assertEqual(self.d.wait_request(waits)["result"], SUCCESS)
        begun, freed = (self.d.sql(f"select ms_of({c}) from build where request = {r[1:]}")[0][0] for c, r in (("started", waits), ("finished", behind)))
        self.assertGreaterEqual(int(begun), int(freed))
        self.activate()


class Quarantine(Site):
    WORKERS = {"one": {"slots": 1, "tags": ["real"]}}
    HOSTS = {"bad": {"slots": 1, "tags": ["fake"]}}
    BUILDERS = {"co": {"worker": {"tags": ["fake"]}, "steps": [{"name": "s", "run": ["true"]}]}, "any": builder(tags=["fake"]),
                "expr": {**builder(tags=["real"]), "steps": [{"name": "s", "run": ["echo", "${{ properties.nothing }}"]}]},
                "program": {**builder(tags=["real"]), "steps": [{"name": "s", "run": ["/nowhere/at-all"]}]}}

    def quarantine(self):
        return self.d.get("/workers/bad")["quarantine"]

    def tearDown(self):
        super().tearDown()
        self.d.post("/resume", {"object": "worker/bad"})

    def test_4_12_10_a_checkout_that_can_not_be_started(self):
        host = Host(self, "bad", end={"how": "failed", "code": 2, "reason": "exec", "detail": b"git: no such file"})
        r = self.d.wait_request(self.d.ask("p/co"))
        self.assertEqual(r["result"], EXCEPTION)
        q = self.quarantine()
        self.assertIn("git could not be started", q["why"])
        self.assertAlmostEqual(q["until"] - q["since"], 10000, delta=1)
        self.d.sql("update worker set quarantine_until = now() + interval '100 seconds' where name = 'bad'")  # ten may be over before anybody has asked
        rid = self.d.ask("p/any")
        why = self.reason(rid, "quarantine")
        self.assertRegex(why["text"], r"^bad is in quarantine for another \d+ s, because it spoilt a build: git could not be started")
        self.assertEqual(why["object"], "bad")
        self.assertRegex(self.cli("worker", "list"), r"bad +quarantine, ")
        self.d.sql("update worker set quarantine_until = now() + interval '1 hour' where name = 'bad'")  # longer than what follows takes
        self.d.kill_master()
        self.d.start_master()
        host.worker.close()
        Host(self, "bad")
        self.reason(rid, "quarantine")
        self.assertEqual(self.d.get("/requests/" + rid)["state"], "pending")
        self.assertIn("resumed", self.cli("worker", "resume", "bad"))
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)
        self.assertIsNone(self.quarantine())
        self.assertEqual(self.d.events("select count(*) from event where type = 'worker.quarantined' and object = 'worker/bad'"), [["1"]])

    def test_4_12_10_twice_as_long_each_time_up_to_an_hour(self):
        """By rows: nobody waits for hours. What a build in between means is the master's to say."""
        host = Host(self, "bad", end={"how": "failed", "code": 2, "reason": "exec"})
        lasted = []
        for long in (0, 0, 640000, 0, 0):
            if long:
                self.d.sql(f"update worker set quarantine_ms = {long} where name = 'bad'")
            self.assertEqual(self.d.wait_request(self.d.ask("p/co"))["result"], EXCEPTION)
            q = self.quarantine()
            lasted.append(round((q["until"] - q["since"]) / 1000))
            self.d.sql("update worker set quarantine_until = now() where name = 'bad'")
        self.assertEqual(lasted, [10, 20, 1280, 2560, 3600])
        host.end = {"how": "lost", "reason": "reboot"}
        self.assertEqual(self.d.wait_request(self.d.ask("p/any"))["result"], EXCEPTION)  # lost three times: proves nothing
        self.assertEqual(self.d.sql("select quarantine_ms from worker where name = 'bad'"), [["3600000"]])
        host.end = {"code": 1}
        self.assertEqual(self.d.wait_request(self.d.ask("p/any"))["result"], FAILURE)
        self.assertEqual(self.d.sql("select quarantine_ms from worker where name = 'bad'"), [["0"]])

    def test_4_12_11_the_pipelines_own_exceptions(self):
        self.assertEqual(self.d.run("p/expr")["result"], EXCEPTION)
        self.assertEqual(self.d.run("p/program")["result"], FAILURE)
        self.assertIsNone(self.d.get("/workers/one")["quarantine"])
        Host(self, "bad", end={"code": 128})
        self.assertEqual(self.d.wait_request(self.d.ask("p/co"))["result"], FAILURE)
        self.assertIsNone(self.quarantine())

    def test_4_12_12_builds_that_began_before_it(self):
        Host(self, "bad")
        b = self.d.run("p/any")
        row, = self.d.sql(f"select b.id from build b join build_request r on r.id = b.request where 'r' || r.id = '{b['request']}'")
        blame = f"select worker_blame({row[0]}, 'x')"
        self.d.sql(blame)
        self.assertEqual(self.d.sql("select quarantine_ms from worker where name = 'bad'"), [["10000"]])
        self.d.sql(blame)
        self.d.sql(f"select worker_proved({row[0]})")
        self.assertEqual(self.d.sql("select quarantine_ms from worker where name = 'bad'"), [["10000"]])



if __name__ == "__main__":
    unittest.main(verbosity=2)
