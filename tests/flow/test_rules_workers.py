#!/usr/bin/env python3
"""docs/rules.md 4.12: which worker gets a build. What workers tell of themselves is told by fake ones, which take a build and end it at once."""
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, make_repo, read, wait_for  # noqa: E402
from fakeworker import FakeWorker, Gone  # noqa: E402
from schedsite import Session  # noqa: E402

SUCCESS, FAILURE, EXCEPTION = 0, 2, 4
GIB_KIB = 1 << 20  # a GiB, in KiB


class Host:
    """A fake worker that ends each command as soon as it comes, in a thread of its own: well, or as `end` says (what FakeWorker.exit() takes)."""
    connections = itertools.count(1)

    def __init__(self, case, name, end=None, **facts):
        self.name, self.end = name, end or {}
        self.worker = FakeWorker(case.d.path("w.sock"), read(case.d.token(name)).decode(), instance=f"{next(self.connections):032x}", facts=list(facts.items())).ready()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        case.addCleanup(self.leave, case)
        case.d.wait_worker(name)

    def serve(self):
        try:
            while True:
                cmd, _, _ = self.worker.command()
                self.worker.exit(cmd, 1, **self.end)
        except (Gone, OSError, ValueError):
            pass

    def leave(self, case):
        if self.thread.is_alive():
            self.worker.link.sock.shutdown(socket.SHUT_RDWR)
            self.thread.join(10)
            self.worker.close()
            case.d.wait_worker(self.name, connected=False)


def builder(**worker):
    return {"checkout": "none", "worker": worker, "steps": [{"name": "s", "run": ["true"]}]}


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


class Site(Case):
    PROJECTS = {"p": {}}
    BUILDERS, HOSTS, MORE = {}, {}, {}

    @classmethod
    def prepare(cls):
        make_repo(cls.d.path("repo"), {"a": "a"})
        cls.set_up()

    @classmethod
    def set_up(cls, hosts=None, **projects):
        d = cls.d
        p = {"git": d.path("repo"), "poll": "1h", "builders": json.loads(json.dumps(cls.BUILDERS).replace("ROOT", d.root)), "schedulers": {"none": {"force": {}}}}
        d.configure(projects={"p": {**p, **projects.get("p", {})}, "q": {**p, **projects.get("q", {})}}, workers={**cls.WORKERS, **(hosts or cls.HOSTS)})

    def activate(self, hosts=None, **projects):
        self.set_up(hosts, **projects)
        self.d.post("/config/activate")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.d.workers = {**cls.WORKERS, **cls.HOSTS}

    def setUp(self):
        self.d.wait_looked("p", "q")

    def tearDown(self):
        for p in self.d.get("/pauses")["items"]:
            self.d.post("/resume", {"object": p["object"]})
        for rid, in self.d.sql("select 'r' || id from build_request where state <> 'done'"):
            self.d.post(f"/requests/{rid}/cancel", {})
        wait_for(lambda: self.d.sql("select count(*) from build where state <> 'done'") == [["0"]], "the end of all builds")

    def cli(self, *argv):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, 0, (argv, p.stdout, p.stderr))
        return p.stdout

    def reason(self, rid, kind):
        return wait_for(lambda: (r := self.d.get(f"/requests/{rid}/why")["reason"])["kind"] == kind and r, f"{rid} to wait for {kind}")


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


class Instance:
    """A fake instance of a pool on a machine of its own: greets by the pool's token until it has a name, then by its key."""
    numbers = itertools.count(1)

    def __init__(self, case, pool):
        n = next(self.numbers)
        self.case, self.pool, self.conn, self.name = case, pool, 0, None
        self.instance, self.machine, self.key = f"f{n:031x}", f"a{n:031x}", f"key-{n:039d}"
        self.worker, self.up = None, False

    def greet(self, by_token=None, instance=None, key=None, machine=None):
        """What the master answers first: (verb, tokens, text). The worker may be listed with ready() behind "member" and "welcome"."""
        self.leave()
        self.conn += 1
        joins = self.name is None if by_token is None else by_token
        token = read(self.case.pool_token(self.pool)).decode() if joins else f"unix:-##{self.name}:{key or self.key}"
        facts = [("machine", machine or self.machine)] + ([("key", key or self.key)] if joins else [])
        self.worker = FakeWorker(self.case.d.path("w.sock"), token, instance=instance or self.instance, facts=facts, conn=self.conn)
        verb, tokens, blob = self.worker.next("member", "welcome", "no", "busy")
        self.up = verb in ("member", "welcome")
        if verb == "member":
            self.name = tokens[0]
        return verb, tokens, (blob or b"").decode()

    def come(self):
        """Connected, under the name that it got or had."""
        verb, tokens, text = self.greet()
        if verb == "member":
            self.worker.ready()
        else:
            self.case.assertEqual(verb, "welcome", (tokens, text))
            self.worker.send("listed", 0)
        self.case.addCleanup(self.leave)
        self.case.d.wait_worker(self.name)
        return self

    def build(self, name):
        """A build that it is given, and ends well at once."""
        rid = self.case.d.ask(name)
        cmd, _, _ = self.worker.command()
        self.worker.exit(cmd, 1)
        return self.case.d.get("/builds/" + self.case.d.wait_request(rid)["builds"][0])

    def leave(self):
        if self.worker:
            self.worker.close()
            self.worker = None
            if self.up:
                self.case.d.wait_worker(self.name, connected=False)


class Pools(Site):
    """One token, any number of workers."""
    WORKERS, HOSTS = {"one": {"slots": 1, "tags": ["real"]}}, {}
    POOLS = {"linux": {"tags": ["build"], "slots": 2, "max": 3}, "vault": {"tags": ["safe"], "forget": "10s"}}
    SECRET = "sesame-" * 3
    BUILDERS = {"build": builder(tags=["build"]), "safe": builder(pool="vault"), "where": builder(tags=["safe"]),
                "sign": {**builder(**{"if": '"build" in tags or "safe" in tags'}), "steps": [{"name": "s", "run": ["true"], "secrets": {"KEY": "sign-key"}}]}}

    @classmethod
    def set_up(cls, hosts=None, **projects):
        d = cls.d
        d.conf.update(pools=cls.POOLS, secrets={"sign-key": {"file": d.path("sign.key"), "for": {"pools": ["vau*"]}}})
        d.write_token(d.path("sign.key"), cls.SECRET)
        super().set_up(hosts, **projects)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.d.workers = cls.WORKERS

    def pools(self, **change):
        """The pools of the configuration from now on; those of the class are back with the test's end."""
        self.d.configure(pools={k: v for k, v in {**self.POOLS, **change}.items() if v})
        self.d.post("/config/activate")
        self.addCleanup(self.d.post, "/config/activate")
        self.addCleanup(self.d.configure, pools=self.POOLS)

    def pool_token(self, pool):
        path = self.d.path("pool-" + pool)
        return path if os.path.exists(path) else self.d.write_token(path, self.cli("pool", "token", pool).strip())

    def names(self, pool="linux"):
        return [w["name"] for w in self.d.get("/pools/" + pool)["members"]]

    def forget(self, *names):
        """These members have been away for a day; the master finds that by itself."""
        for name in names:
            self.d.wait_worker(name, connected=False)
            self.d.sql(f"update worker w set joined = now() - interval '1 day' where name = '{name}'")
            self.d.sql(f"update worker_session set lost_at = now() - interval '1 day' where worker = (select id from worker where name = '{name}')")
        wait_for(lambda: not set(names) & {w["name"] for w in self.d.get("/workers")["items"]}, f"{names} to be forgotten")

    def tearDown(self):
        super().tearDown()
        self.doCleanups()  # those that are connected leave
        self.d.sql("select member_forget(id, 'the end of the test') from worker where instance is not null")

    def test_4_13_1_each_instance_gets_a_name_and_keeps_its_key(self):
        told = "select count(*) from event where type = 'worker.joined' and object = 'worker/linux-2' and body->>'pool' = 'linux'"
        before = int(self.d.events(told)[0][0])
        one, two = Instance(self, "linux").come(), Instance(self, "linux").come()
        self.assertEqual([one.name, two.name], ["linux-1", "linux-2"])
        w = self.d.get("/workers/linux-1")
        self.assertEqual((w["pool"], w["slots"], w["tags"], w["instance"]), ("linux", 2, ["build"], one.instance))
        self.assertFalse({"secret", "key", "machine"} & set(w["facts"]))
        self.assertRegex(self.cli("worker", "show", "linux-1"), r"pool +linux\n")
        self.assertRegex(self.cli("worker", "list"), r"linux-2 +connected +0 of 2 +linux +build ")
        self.assertRegex(self.cli("pool", "list"), r"linux +2 of 3 +2 +0 of 4 +build ")
        two.leave()
        self.assertEqual(two.come().name, "linux-2")
        two.leave()
        self.assertEqual(one.build("p/build")["worker"], "linux-1")
        self.assertEqual(int(self.d.events(told)[0][0]), before + 1)  # it came twice, and joined once

    def test_4_13_2_many_at_once_get_a_name_each(self):
        self.pools(linux={**self.POOLS["linux"], "max": 20})
        token = read(self.pool_token("linux")).decode()
        names = []

        def join(n):
            w = FakeWorker(self.d.path("w.sock"), token, instance=f"{n:032x}", facts=[("key", f"k{n:040d}")])
            names.append(w.next("member")[1][0])
            w.close()

        threads = [threading.Thread(target=join, args=(n,)) for n in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(30)
        self.assertEqual(sorted(names), sorted(f"linux-{n}" for n in range(1, 13)))

    def test_4_13_3_a_master_that_dies_in_a_first_contact(self):
        """Its transaction is held up at the pool's row, and the master killed: the name is given, and nobody has heard it."""
        self.pool_token("linux")
        session = Session(self.d)
        self.addCleanup(session.close)
        session.tell("select 1 from pool where name = 'linux' for update")
        first = Instance(self, "linux")
        thread = threading.Thread(target=lambda: self.assertRaises(Gone, first.greet))
        thread.start()
        wait_for(lambda: self.d.sql("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()") != [["0"]], "the join to wait")
        self.d.kill_master()
        thread.join(30)
        session.tell("commit")
        self.d.start_master()
        wait_for(lambda: self.names() == ["linux-1"], "the name that was given")
        other = Instance(self, "linux").come()
        self.assertEqual(other.name, "linux-2")
        self.assertEqual(first.come().name, "linux-1")
        self.assertEqual(self.names(), ["linux-1", "linux-2"])

    def test_4_13_4_no_more_than_max(self):
        three = [Instance(self, "linux").come() for _ in range(3)]
        late = Instance(self, "linux")
        verb, (reason, retry), text = late.greet()
        self.assertEqual((verb, reason), ("no", "full"))
        self.assertIn("the pool linux has its 3 members (max)", text)
        self.assertGreater(int(retry), 0)
        self.assertEqual(three[1].come().name, "linux-2")
        three[1].leave()
        self.assertEqual(late.greet()[1][0], "full")  # who is away counts
        self.forget("linux-2")
        self.assertEqual(late.come().name, "linux-2")

    def test_4_13_5_who_is_away_for_long_is_forgotten_unless_it_has_a_build(self):
        gone, busy = Instance(self, "linux").come(), Instance(self, "linux").come()
        gone.leave()
        rid = self.d.ask("p/build")
        self.d.wait_build(rid, lambda b: b["worker"] == busy.name, "a build on it")
        cmd, epoch, _ = busy.worker.command()
        busy.leave()
        self.d.post("/pause", {"object": "worker/linux-1"})
        self.d.sql("update worker set joined = now() - interval '1 day' where pool = 'linux'")
        self.d.sql("update worker_session set lost_at = now() - interval '1 day' where not connected and worker = (select id from worker where name = 'linux-1')")
        wait_for(lambda: self.names() == ["linux-2"], "the one without a build to be forgotten")
        self.assertEqual(self.d.sql("select members_forget()"), [["0"]])
        self.assertEqual(self.d.get("/pauses")["items"], [])
        verb, (reason, _), text = gone.greet()
        self.assertEqual((verb, reason, text), ("no", "name", "linux-1 is no member of the pool linux any more"))
        gone.name = None
        self.assertEqual(gone.come().name, "linux-1")
        self.assertEqual(busy.greet()[0], "welcome")
        busy.worker.send("have", cmd, epoch, "done", 0, 0, 0)
        busy.worker.send("listed", 1)
        busy.worker.next("resume")
        busy.worker.exit(cmd, epoch)
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)
        self.assertIn("away for 86", self.d.events("select body->>'why' from event where type = 'worker.forgotten' and object = 'worker/linux-1' order by number desc limit 1")[0][0])

    def test_4_13_6_a_copied_state_folder_is_told_apart(self):
        one = Instance(self, "linux").come()
        copy = Instance(self, "linux")
        copy.instance, copy.key, copy.conn, copy.name = one.instance, one.key, 100, one.name
        for by_token in (False, True):
            verb, (reason, _), text = copy.greet(by_token=by_token)
            self.assertEqual((verb, reason), ("no", "clone"), text)
            self.assertIn("another machine", text)
        verb, (reason, _), text = copy.greet(by_token=True, machine=one.machine, key="x" * 43)
        self.assertEqual((verb, reason), ("no", "clone"), text)
        verb, (reason, _), text = copy.greet(machine=one.machine, instance="9" * 32)
        self.assertEqual((verb, reason), ("no", "clone"), text)
        copy.leave()
        self.assertTrue(self.d.get("/workers/linux-1")["connected"])

    def test_4_13_7_who_was_removed_by_a_person_stays_out(self):
        one = Instance(self, "linux").come()
        self.cli("worker", "remove", "linux-1")
        verb, (reason, _), text = one.greet()
        self.assertEqual((verb, reason), ("no", "name"), text)
        verb, (reason, _), text = one.greet(by_token=True)
        self.assertEqual((verb, reason), ("no", "name"), text)
        self.assertIn("linux-1 was removed from the pool linux by a person", text)
        self.assertEqual(Instance(self, "linux").come().name, "linux-2")

    def test_4_13_8_tags_and_slots_are_the_pools_and_change_with_it(self):
        one = Instance(self, "linux").come()
        self.pools(linux={"tags": ["build", "new"], "slots": 5, "keep_work": "2d"})
        w = self.d.get("/workers/linux-1")
        self.assertEqual((w["slots"], w["tags"], w["keep_work"]), (5, ["build", "new"], 2 * 86400000))
        one.build("p/build")
        self.pools(linux=None)
        self.assertEqual(self.d.get("/pools/linux")["configured"], False)
        one.build("p/build")
        late = Instance(self, "linux")
        verb, (reason, _), text = late.greet()
        late.leave()
        self.assertEqual((verb, reason, text), ("no", "name", "the pool linux is not in the configuration any more, and takes in nobody"))
        self.assertIn("removed", self.cli("pool", "remove", "linux"))
        self.d.wait_worker("linux-1", connected=False)
        self.assertEqual(one.greet()[1][0], "name")
        one.leave()
        os.unlink(self.d.path("pool-linux"))
        self.pools()
        self.assertEqual(self.d.api("DELETE", "/pools/linux").status, 409)

    def test_4_13_9_a_pool_is_paused_and_why_says_so(self):
        rid = self.d.ask("p/build")
        r = wait_for(lambda: (r := self.d.get(f"/requests/{rid}/why")["reason"])["kind"] == "no_worker" and r, "the reason")
        self.assertIn("no member of the pool linux is connected", r["text"])
        self.assertNotIn("vault", r["text"])
        safe = self.d.ask("p/safe")
        self.assertIn("no member of the pool vault is connected", self.d.get(f"/requests/{safe}/why")["reason"]["text"])
        self.d.post(f"/requests/{safe}/cancel", {})
        self.cli("pause", "pool/linux", "--reason", "new image")
        host = Instance(self, "linux").come()
        r = self.reason(rid, "paused")
        self.assertEqual(r["object"], "pool/linux")
        self.assertRegex(r["text"], r"^pool linux is paused by \w+: new image")
        self.cli("resume", "pool/linux")
        cmd, _, _ = host.worker.command()
        host.worker.exit(cmd, 1)
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)

    def test_4_13_10_a_secret_of_a_pool_is_given_to_its_members_only(self):
        linux = Instance(self, "linux").come()
        r = self.d.wait_request(self.d.ask("p/sign"))
        self.assertEqual(r["result"], EXCEPTION)
        b = self.d.get("/builds/" + r["builds"][0])
        self.assertIn('the secret "sign-key" is only for members of the pools vau*, and this is linux-1, a member of linux', json.dumps(b, ensure_ascii=False).replace('\\"', '"'))
        linux.leave()
        self.d.start_pool_worker("vault", self.pool_token("vault"))
        self.assertEqual(self.d.run("p/sign")["result"], SUCCESS)
        self.assertEqual(self.d.run("p/safe")["worker"], "vault-1")
        self.assertEqual(self.d.get("/secrets")["items"][0]["for"]["pools"], ["vau*"])
        self.d.kill_worker("vault")

    def test_4_13_11_a_worker_comes_back_under_its_name_and_joins_anew_when_it_is_forgotten(self):
        """The program itself."""
        folder = self.d.path("work-vault")
        self.d.start_pool_worker("vault", self.pool_token("vault"))
        name = self.names("vault")[0]
        self.assertEqual(self.d.run("p/safe")["worker"], name)
        self.assertEqual(os.stat(folder + "/member").st_mode & 0o777, 0o600)
        key = self.lines(folder + "/member")[-1]
        self.assertIn(f"name {name}\n", read(folder + "/status").decode())
        self.d.kill_worker("vault")
        self.d.wait_worker(name, connected=False)
        self.d.start_pool_worker("vault", self.pool_token("vault"))
        self.assertEqual(self.names("vault"), [name])
        self.assertEqual(self.lines(folder + "/member")[-1], key)
        self.d.kill_worker("vault")
        self.forget(name)
        self.d.start_pool_worker("vault", self.pool_token("vault"))
        self.assertEqual(self.names("vault"), [name])
        self.assertNotEqual(self.lines(folder + "/member")[-1], key)
        self.assertEqual(self.d.run("p/safe")["worker"], name)
        self.d.kill_worker("vault")

    def test_4_13_12_a_new_token_lets_nobody_in_by_the_old_one_and_members_stay(self):
        one, late = Instance(self, "linux").come(), Instance(self, "linux")
        old = read(self.pool_token("linux"))
        os.unlink(self.d.path("pool-linux"))
        self.assertNotEqual(read(self.pool_token("linux")), old)
        self.assertEqual(one.come().name, "linux-1")
        w = FakeWorker(self.d.path("w.sock"), old.decode(), instance=late.instance, facts=[("key", late.key)])
        verb, (reason, _), text = w.next("no", "member")
        self.assertEqual((verb, reason), ("no", "secret"))
        self.assertIn(b"this is not the token of the pool linux", text)
        w.close()
        self.assertEqual(late.come().name, "linux-2")

    def test_4_13_13_names_that_a_pool_gives_are_nobody_elses(self):
        a = self.d.api("POST", "/workers", {"name": "linux-7"})
        self.assertEqual(a.status, 409, a.body)
        self.assertIn("a name that the pool linux gives to its members", a.json["error"]["message"])
        self.d.post("/workers", {"name": "linux-x"}, 201)
        self.d.configure(workers={**self.WORKERS, "linux-1": {}})
        self.addCleanup(self.d.configure, workers=self.WORKERS)
        a = self.d.api("POST", "/config/activate")
        self.assertEqual(a.status, 400)
        self.assertIn('"linux-1" is a name that the pool "linux" gives to its members', a.json["error"]["help"])

    def test_4_13_14_who_greets_with_no_key_or_a_strangers_is_no_member(self):
        token = read(self.pool_token("linux")).decode()
        for facts in ([], [("key", "short")], [("key", "k" * 65)], [("key", "k" * 30 + "\n" + "k" * 12)]):
            w = FakeWorker(self.d.path("w.sock"), token, instance="e" * 32, facts=facts)
            self.assertEqual(w.next("no", "bye", "member")[:2], ("bye", ["protocol"]), facts)
            w.close()
        w = FakeWorker(self.d.path("w.sock"), "unix:-##pool/nowhere:" + "s" * 43, instance="e" * 32, facts=[("key", "k" * 43)])
        self.assertEqual(w.next("no", "member")[2], b"there is no pool nowhere here")
        w.close()
        one = Instance(self, "linux").come()
        one.key = "k" * 43
        self.assertEqual(one.greet()[1][0], "secret")
        self.assertEqual(self.names(), ["linux-1"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
