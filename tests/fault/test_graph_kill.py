#!/usr/bin/env python3
"""kill -9 of the master (the only one, and one of two), the agent and PostgreSQL while graphs of 50 builders run: each node has one result and was built once, after all that it needs.

DROVER_KILLS: how many kills of each (default 5). DROVER_SEED: of the graphs and the moments."""
import os
import random
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import Case, Drover, commit, make_repo, read, tell, wait_for  # noqa: E402

KILLS = int(os.environ.get("DROVER_KILLS") or 5)
SEED = int(os.environ.get("DROVER_SEED") or time.time())
NODES = 50
END_S = 120


def graph(rng, root):
    """n0 … n49, each needs some of those before; `top` needs those that nobody else does."""
    builders, free = {}, set()
    for i in range(NODES):
        needs = [f"n{k}" for k in range(i) if rng.random() < 2.0 / (i + 1)]
        run = f'echo "begin n{i} $DROVER_BUILD" >>{root}/ran; sleep 0.0{rng.randint(1, 9)}; echo "end n{i} $DROVER_BUILD" >>{root}/ran'
        builders[f"n{i}"] = {"checkout": "none", "steps": [{"name": "s", "run": run}], **({"needs": needs} if needs else {})}
        free = free - set(needs) | {f"n{i}"}
    builders["top"] = {"checkout": "none", "needs": sorted(free), "steps": [{"name": "s", "run": "true"}]}
    return builders


class Graph(Case):
    PROJECTS = {"g": {}}
    WORKERS = {"here": {"slots": 4}}

    @classmethod
    def prepare(cls):
        print("seed", SEED, file=sys.stderr)
        cls.builders = graph(random.Random(SEED), cls.d.root)
        make_repo(cls.d.path("repo"), {"a": "a"})
        cls.d.configure(projects={"g": {"git": cls.d.path("repo"), "poll": "1h", "builders": cls.builders, "schedulers": {"none": {"force": {}}}}})

    KINDS = ("master", "agent", "postgres")

    def api(self, *a):
        return self.d.try_api(*a)

    def kill(self, what, rng):
        if what == "master":
            self.d.kill_master()
            self.d.start_master(wait=False)
        elif what == "agent":
            self.d.kill_worker()
            self.d.start_worker(wait=False)
        elif pid := self.d.postmaster():
            tell(pid, signal.SIGKILL)

    def check(self, buildset):
        rows = self.d.sql("select u.name, r.state, r.result, r.attempts, count(b.id), min(b.number) from build_request r join builder u on u.id = r.builder left join build b on b.request = r.id "
                          f"where r.buildset = {buildset[1:]} group by r.id, u.name, r.state, r.result, r.attempts")
        self.assertEqual({r[0]: r[1:5] for r in rows}, {name: ["done", "0", "1", "1"] for name in self.builders})
        number = {r[0]: r[5] for r in rows}
        lines = [x.split() for x in read(self.d.path("ran")).decode().splitlines()]
        mine = [(what, name) for what, name, build in lines if build == f"g/{name}/{number[name]}"]
        self.assertEqual(sorted(mine), sorted((what, f"n{i}") for i in range(NODES) for what in ("begin", "end")), "each began and ended once")
        at = {x: i for i, x in enumerate(mine)}
        for name, b in self.builders.items():
            for need in b.get("needs", []) if name != "top" else []:
                self.assertLess(at["end", need], at["begin", name], f"{name} needs {need}")
        for kind in ("request.done", "request.new"):
            self.assertEqual(self.d.events(f"select object, count(*) from event where type = '{kind}' and object in (select 'r' || id from build_request where buildset = {buildset[1:]}) group by 1 having count(*) <> 1"), [])
        self.assertEqual(self.d.sql(f"select state, result, open from buildset where id = {buildset[1:]}"), [["done", "0", "0"]])

    def run_with(self, kills, rng):
        """One buildset at a revision of its own, with these kills at moments of their own while it runs; those that were still to come when it ended are given back."""
        rev = commit(self.d.path("repo"), {"a": str(rng.random())}, "next")
        a = wait_for(lambda: (x := self.api("POST", "/builds", {"builder": "g/top", "branch": "main", "revision": rev})) and x.status == 201 and x.json, "the request")
        self.assertEqual(len(a["requests"]), NODES + 1)
        over = lambda: (x := self.api("GET", "/buildsets/" + a["buildset"])) and x.status == 200 and x.json["state"] == "done"
        left = list(kills)
        while left:
            end = time.monotonic() + rng.uniform(0.05, 1.0)
            while time.monotonic() < end and not over():
                time.sleep(0.05)
            if over():
                break
            self.kill(left.pop(0), rng)
            wait_for(lambda: self.api("GET", "/status") is not None, "the master to answer")
        wait_for(over, "the end of " + a["buildset"], END_S)
        wait_for(lambda: self.d.events(f"select count(*) from event where type = 'buildset.done' and object = '{a['buildset']}'") == [["1"]], "its event")
        self.check(a["buildset"])
        return left

    def test_kills(self):
        rng = random.Random(SEED)
        kills = list(self.KINDS) * KILLS
        rng.shuffle(kills)
        self.d.wait_looked("g")
        rounds = 0
        while kills:
            before = len(kills)
            kills = self.run_with(kills[:6], rng) + kills[6:]
            rounds += 1
            self.assertTrue(len(kills) < before or rounds < 3 * KILLS, "the graphs end before anything can be killed")
        print(f"{len(self.KINDS) * KILLS} kills in {rounds} graphs", file=sys.stderr)


class OneOfTwo(Graph):
    """Two masters, to which the worker has an address each. Who is killed stays dead for a while, so that its worker and builds go on at the other one; PostgreSQL is the first one's child, and outlives it."""
    KINDS = ("master", "postgres")

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.d.tcp = True
        cls.dead = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        d = cls.d
        cls.other = o = Drover({}, {"here": {"slots": 4}}, database=f"host={d.lock_file()[4]} user=drover dbname=drover")
        try:
            o.configure(projects=d.conf["projects"], listen={**o.conf["listen"], "workers": f"127.0.0.1:{o.port}"})
            o.start_master()
            token = read(d.token()).decode()
            own = f"127.0.0.1:{d.port}#"
            assert token.startswith(own), token
            d.kill_worker()
            d.write_token(d.path("token-here"), f"127.0.0.1:{d.port},127.0.0.1:{o.port}#" + token[len(own):])
            d.start_worker()
        except BaseException:
            o.failed = d.failed = True
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.other.failed |= cls.d.failed
        try:
            cls.other.close(polite=not cls.d.failed)
        finally:
            super().tearDownClass()

    def setUp(self):
        self.took_over = 0

    def api(self, *a):
        return next((x for m in (self.d, self.other) if (x := m.try_api(*a)) is not None), None)

    def session(self):
        """Which of them has the worker, as the database says."""
        pid = self.d.sql("select m.pid from worker_session s join master m on m.id = s.master where s.connected")
        return next((m for m in (self.d, self.other) if pid and m.master and str(m.master.pid) == pid[0][0]), None)

    def kill(self, what, rng):
        if what != "master":
            super().kill(what, rng)
            if self.dead is not self.d:
                return  # else nobody is there who would start it again
            what = None
        if self.dead:
            self.dead.start_master()
        self.dead = None
        if not what:
            return
        had = self.session()
        one = had if had and rng.random() < 0.7 else rng.choice((self.d, self.other))
        one.kill_master()
        self.dead = one
        if one is had:
            wait_for(lambda: (s := self.session()) and s is not one, "the worker at the other master", END_S)
            self.took_over += 1

    def test_kills(self):
        super().test_kills()
        self.assertGreater(self.took_over, 0, "the worker went on at the other master")
        print(f"it went on at the other one {self.took_over} times", file=sys.stderr)
        if self.dead:
            self.dead.start_master()


if __name__ == "__main__":
    unittest.main()
