#!/usr/bin/env python3
"""Builders that need others: what is requested, what waits for what and says so, what is taken from before, failures, cancels, reruns, kills. And the rows alone: random graphs against a
model, and ends that meet."""
import json
import os
import random
import re
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, Failed, commit, make_repo, wait_for  # noqa: E402

SUCCESS, FAILURE, SKIPPED, CANCELLED = 0, 2, 3, 6
ALL = ["base[1]", "base[2]", "lib", "docs", "dist", "top"]


def site(root):
    """Each builder writes its name to `ran`, waits while there is a file hold-NAME, and fails where there is fail-NAME."""
    run = {"name": "s", "run": 'n="${DROVER_BUILDER##*/}"; echo "$n $DROVER_REVISION" >>@/ran; while [ -e "@/hold-$n" ]; do sleep 0.02; done; [ ! -e "@/fail-$n" ]'.replace("@", root)}
    b = {"checkout": "none", "steps": [run]}
    return {"base": {**b, "matrix": {"N": [1, 2]}}, "lib": {**b, "needs": "base"}, "docs": b, "dist": {**b, "needs": ["lib", {"docs": "soft"}]}, "top": {**b, "needs": {"dist": "good"}},
            "made": {"checkout": "none", "steps": ['echo "version=1.${DROVER_BUILD##*/}" >"$DROVER_REPORT/properties"']},
            "uses": {"checkout": "none", "needs": ["made", {"docs": "soft"}], "steps": [
                run, {"name": "say", "env": {"V": "${{ needs.made.version }} ${{ needs.docs.version ?? 'none' }}"}, "run": 'echo "$V"'},
                {"name": "if", "if": "needs['made'].version == '0'", "run": "false"}]}}


class Needs(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 4}}

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a"})
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "200ms", "builders": site(d.root), "schedulers": {
            "tags": {"tag": "v*", "builders": "top"}, "pushes": {"change": {"branches": "built"}, "builders": "lib"},
            "first": {"force": {"parameters": {"word": {"default": "x"}}}, "builders": "lib"}, "second": {"after": "first", "builders": "docs"}, "third": {"after": "second", "builders": "dist"},
            "fast": {"force": {}, "fail_fast": True, "builders": ["base", "docs"]}, "anew": {"force": {}, "reuse": "none", "builders": "lib"}}}})

    def setUp(self):
        """At a revision of its own, so that nothing of before counts."""
        self.d.wait_looked("p")
        self.rev = commit(self.d.path("repo"), {"a": self._testMethodName}, self._testMethodName)
        open(self.d.path("ran"), "w").close()

    def tearDown(self):
        for name in os.listdir(self.d.root):
            if name.startswith(("hold-", "fail-")):
                os.unlink(self.d.path(name))

    def mark(self, what, *builders):
        for b in builders:
            open(self.d.path(f"{what}-{b}"), "w").close()

    def go(self, builder):
        os.unlink(self.d.path("hold-" + builder))

    def ask(self, builder, **more):
        """The requests of its buildset by builder, and the buildset."""
        a = self.d.post("/builds", {"builder": "p/" + builder, "branch": "main", "revision": self.rev, **more}, 201)
        return self.set(a["buildset"]), a["buildset"]

    def set(self, s):
        return {r["builder"]: r for r in self.d.get("/buildsets/" + s)["requests"]}

    def wait_set(self, s):
        wait_for(lambda: self.d.get("/buildsets/" + s)["state"] == "done", f"the end of {s}")
        return {b: (r["result"], len(r["builds"])) for b, r in self.set(s).items()}

    def wait_state(self, request, state):
        return wait_for(lambda: (r := self.d.get("/requests/" + request["id"]))["state"] == state and r, f"{request['builder']} to be {state}")

    def ran(self):
        return [x.split()[0] for x in open(self.d.path("ran")).read().splitlines()]

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return p.stdout

    def test_what_was_reported_there(self):
        """Properties go along the edges, also where the build there is one of before, and over the master's death."""
        self.mark("hold", "uses")
        r, s = self.ask("uses")
        b = self.d.wait_build(r["uses"]["id"], lambda b: "uses" in self.ran(), "the first step")
        self.d.kill_master()
        self.d.start_master()
        self.go("uses")
        self.assertEqual(self.wait_set(s)["uses"], (SUCCESS, 1))
        made = self.d.request(r["made"]["id"])["builds"][0].rsplit("/", 1)[1]
        self.assertEqual(self.d.log(b["id"], "say"), f"1.{made} none\n".encode())
        self.assertEqual([x["result"] for x in self.d.get("/builds/" + b["id"])["steps"]], [SUCCESS, SUCCESS, SKIPPED])
        r, s = self.ask("uses")
        self.assertEqual(self.wait_set(s)["uses"], (SUCCESS, 1))
        self.assertNotIn("made", r, "it is taken from before")
        self.assertEqual(self.d.log(self.d.request(r["uses"]["id"])["builds"][0], "say"), f"1.{made} none\n".encode())

    def test_what_it_needs_comes_first(self):
        self.mark("hold", "base[1]", "lib", "docs")
        r, s = self.ask("dist")
        self.assertEqual(sorted(r), sorted(ALL[:-1]))
        self.assertEqual({b: x["state"] for b, x in r.items() if b in ("lib", "dist")}, {"lib": "waiting", "dist": "waiting"})
        self.assertEqual([(n["builder"], n["soft"]) for n in r["dist"]["needs"]], [("p/lib", False), ("p/docs", True)])
        self.wait_state(r["base[2]"], "done")
        one = self.wait_state(r["base[1]"], "claimed")
        why = self.d.get(f"/requests/{r['lib']['id']}/why")
        self.assertEqual((why["state"], why["reason"]["kind"], why["reason"]["object"]), ("waiting", "needs", one["id"]))
        self.assertTrue(why["reason"]["text"].startswith(f"It needs p/base[1], which runs ({one['builds'][0]}). "), why)
        waits = {x["builder"]: x["waits"]["text"] for x in self.d.get("/status")["waiting"]}
        self.assertEqual(waits["dist"], f"it needs p/lib, which waits too ({r['lib']['id']}), and 1 more")
        self.assertIn("needs     p/base[1]", re.sub(r" +", lambda m: m.group() if len(m.group()) < 20 else " ", self.cli("show", r["lib"]["id"])))
        self.assertEqual(self.d.get("/status")["counts"]["waiting"], 2)
        self.go("base[1]")
        self.wait_state(r["lib"], "claimed")
        self.go("lib")
        self.wait_state(r["lib"], "done")
        self.assertEqual(self.d.get("/requests/" + r["dist"]["id"])["state"], "waiting")  # for docs, softly
        self.go("docs")
        self.assertEqual(self.wait_set(s), {b: (SUCCESS, 1) for b in ALL[:-1]})
        order = self.ran()
        self.assertEqual(order[-1], "dist")
        self.assertLess(order.index("base[1]"), order.index("lib"))

    def test_what_was_good_is_not_built_again(self):
        self.mark("fail", "docs")
        _, s = self.ask("lib")
        old = self.wait_set(s)
        self.assertEqual(old, {"base[1]": (SUCCESS, 1), "base[2]": (SUCCESS, 1), "lib": (SUCCESS, 1)})
        lib = self.set(s)["lib"]["id"]
        r, s = self.ask("dist")
        self.assertEqual(sorted(r), ["dist", "docs"])
        self.assertEqual(r["dist"]["needs"][0]["request"], lib)
        self.assertEqual(self.wait_set(s), {"dist": (SUCCESS, 1), "docs": (FAILURE, 1)})
        # What is asked for by name is built whatever there is; other properties are another build.
        r, s = self.ask("lib")
        self.assertEqual(sorted(r), ["lib"])
        self.wait_set(s)
        r, s = self.ask("lib", properties={"x": "y"})
        self.assertEqual(sorted(r), ["base[1]", "base[2]", "lib"])
        self.wait_set(s)

    def test_a_need_that_fails(self):
        self.mark("fail", "lib")
        r, s = self.ask("top")
        self.assertEqual(self.wait_set(s), {"base[1]": (SUCCESS, 1), "base[2]": (SUCCESS, 1), "docs": (SUCCESS, 1), "lib": (FAILURE, 1), "dist": (SKIPPED, 0), "top": (SKIPPED, 0)})
        self.assertEqual(self.d.get("/buildsets/" + s)["result"], FAILURE)
        self.assertEqual(self.set(s)["dist"]["why"], f"it needs lib, which failed ({r['lib']['id']})")
        self.assertEqual(self.set(s)["top"]["why"], f"it needs dist, which was skipped ({r['dist']['id']})")
        text = self.d.get(f"/requests/{r['top']['id']}/why")["reason"]["text"]
        self.assertIn(f"It ended before it was started: skipped (it needs dist, which was skipped ({r['dist']['id']})).", text)
        self.cli("build", "p/top", "--branch", "main", "--revision", self.rev, "--wait", code=1)

    def test_rerun_of_a_node(self):
        self.mark("fail", "lib")
        r, s = self.ask("top")
        self.wait_set(s)
        lib = self.set(s)["lib"]["builds"][0]
        os.unlink(self.d.path("fail-lib"))
        only = self.d.post(f"/builds/{lib}/rerun", {"only": True}, 201)
        self.assertEqual(list(self.set(only["buildset"])), ["lib"])
        self.wait_set(only["buildset"])
        again = self.d.post(f"/builds/{lib}/rerun", {"reason": "it was the disk"}, 201)["buildset"]
        self.assertEqual(self.wait_set(again), {"lib": (SUCCESS, 1), "dist": (SUCCESS, 1), "top": (SUCCESS, 1)})
        new = self.set(again)
        self.assertEqual([n["request"] for n in new["lib"]["needs"]], [r["base[1]"]["id"], r["base[2]"]["id"]])
        self.assertEqual([n["request"] for n in new["dist"]["needs"]], sorted([r["docs"]["id"], new["lib"]["id"]], key=lambda x: int(x[1:])))
        self.assertIn("it was the disk", self.d.get("/buildsets/" + again)["reason"])
        self.assertIn("(r", self.cli("rerun", lib, "--only", "--reason", "x", "--wait") + "(r")

    def test_rerun_whose_need_is_bad(self):
        self.mark("fail", "base[2]")
        self.mark("hold", "docs")
        r, s = self.ask("dist")
        self.wait_state(r["dist"], "done")
        base = self.wait_state(r["base[1]"], "done")["builds"][0]
        again = self.d.post(f"/builds/{base}/rerun", {}, 201)["buildset"]
        self.assertEqual(self.wait_set(again), {"base[1]": (SUCCESS, 1), "lib": (SKIPPED, 0), "dist": (SKIPPED, 0)})
        self.assertEqual(self.set(again)["lib"]["why"], f"it needs base[2], which failed ({r['base[2]']['id']})")
        self.go("docs")
        self.wait_set(s)

    def test_cancel(self):
        self.mark("hold", "base[1]")
        r, s = self.ask("top")
        self.wait_state(r["base[1]"], "claimed")
        self.assertEqual(self.d.post(f"/requests/{r['lib']['id']}/cancel", {"reason": "no"})["state"], "cancelled")
        got = self.set(s)
        self.assertEqual([(got[b]["result"], got[b]["why"]) for b in ("dist", "top")],
                         [(CANCELLED, f"it needs lib, which was cancelled ({r['lib']['id']})"), (CANCELLED, f"it needs dist, which was cancelled ({r['dist']['id']})")])
        self.assertEqual(got["base[1]"]["state"], "claimed")
        self.go("base[1]")
        self.wait_set(s)
        self.mark("hold", "base[1]")
        self.rev = commit(self.d.path("repo"), {"a": "again"}, "again")
        r, s = self.ask("top")
        self.wait_state(r["base[1]"], "claimed")
        answer = self.d.post(f"/buildsets/{s}/cancel", {"reason": "all of it"})
        self.assertLessEqual({r["base[1]"]["id"], r["top"]["id"]}, set(answer["requests"]))
        got = self.set(s)
        self.assertTrue(all(got[b]["result"] == CANCELLED and got[b]["why"].endswith("all of it") for b in ("base[1]", "lib", "dist", "top")), got)
        self.assertEqual(self.d.get("/buildsets/" + s)["state"], "done")
        self.assertEqual(self.d.api("POST", "/requests/r999999/cancel", {}).status, 404)
        self.assertEqual(self.d.api("POST", f"/buildsets/{s}/cancel", {}).status, 409)

    def test_by_schedulers(self):
        """What a tag asks for is built from what the branch has built at that revision already."""
        from drover import git
        repo = self.d.path("repo")
        wait_for(lambda: self.d.sql("select 1 from project where name = 'p' and tags_at is not null"), "the first look at the tags")
        git(repo, "checkout", "-q", "-B", "built")
        rev = commit(repo, {"b": "b"}, "built")
        git(repo, "checkout", "-q", "main")
        done = wait_for(lambda: next((c for c in self.d.get("/changes?project=p")["items"] if c["revision"] == rev and c["buildsets"]), None), "the change")
        self.assertEqual(self.wait_set(done["buildsets"][0]), {"base[1]": (SUCCESS, 1), "base[2]": (SUCCESS, 1), "lib": (SUCCESS, 1)})
        git(repo, "tag", "v1", rev)
        tag = wait_for(lambda: next((c for c in self.d.get("/changes?project=p&kind=tag")["items"] if c["revision"] == rev and c["buildsets"]), None), "the tag's change")
        self.assertEqual(self.wait_set(tag["buildsets"][0]), {"docs": (SUCCESS, 1), "dist": (SUCCESS, 1), "top": (SUCCESS, 1)})

    def force(self, scheduler, **parameters):
        """Its buildset, at the head of main."""
        wait_for(lambda: self.d.sql(f"select 1 from branch_head where branch = 'main' and revision = '{self.rev}'"), "the head")
        return self.d.post(f"/schedulers/p/{scheduler}/run", {"parameters": parameters}, 201)["buildset"]

    def of(self, scheduler):
        """The id of its newest buildset at this test's revision, once it is there."""
        return "s" + wait_for(lambda: self.d.sql(f"select b.id from buildset b join sourcestamp s on s.id = b.sourcestamp where b.scheduler = '{scheduler}' and s.revision = '{self.rev}' order by b.id desc limit 1"),
                              f"a buildset of {scheduler}")[0][0]

    def trace(self, scheduler):
        return [(x["what"], x["why"]) for x in self.d.get(f"/schedulers/p/{scheduler}")["decisions"]]

    def test_one_scheduler_after_the_other(self):
        self.mark("hold", "lib")
        one = self.force("first", word="y")
        self.wait_state(self.set(one)["lib"], "claimed")
        self.assertEqual(self.d.sql(f"select count(*) from buildset b join sourcestamp s on s.id = b.sourcestamp where s.revision = '{self.rev}'"), [["1"]])
        self.d.kill_master()
        self.go("lib")
        self.d.start_master()
        two, three = self.of("second"), self.of("third")
        self.assertEqual(self.wait_set(two), {"docs": (SUCCESS, 1)})
        self.assertEqual(self.wait_set(three), {"dist": (SUCCESS, 1)})  # what it needs was good, with the same properties
        self.assertEqual(self.d.sql(f"select properties->>'word' from buildset where id = {three[1:]}"), [["y"]])
        self.assertEqual(self.trace("third")[0], ("built", f"{two} of second ended well"))
        self.assertEqual(self.d.get("/buildsets/" + three)["reason"], f"scheduler third: {two} of second ended well")
        self.assertEqual(self.d.get("/schedulers/p/third")["spec"]["after"], "second")

    def test_no_scheduler_after_what_failed_or_when_disabled(self):
        self.mark("fail", "lib")
        self.wait_set(self.force("first"))
        os.unlink(self.d.path("fail-lib"))
        self.d.post("/schedulers/p/third/disable", {"reason": "not now"})
        try:
            one = self.force("first", word="z")
            self.wait_set(one)
            two = self.of("second")
            self.wait_set(two)
        finally:
            self.d.post("/schedulers/p/third/enable")
        what, why = self.trace("third")[1]
        self.assertEqual(what, "passed")
        self.assertRegex(why, rf"^{two} of second ended well, but it is disabled by \w+: not now$")
        self.assertRegex(self.cli("scheduler", "list"), r"(?m)^p/third +after second ")
        self.assertEqual(self.d.sql(f"select b.scheduler, count(*) from buildset b join sourcestamp s on s.id = b.sourcestamp where s.revision = '{self.rev}' group by 1 order by 1"), [["first", "2"], ["second", "1"]])

    def test_fail_fast(self):
        self.mark("hold", "base[1]", "base[2]", "docs")
        self.mark("fail", "docs")
        s = self.force("fast")
        for b in ("base[1]", "base[2]"):
            self.wait_state(self.set(s)[b], "claimed")
        self.go("docs")
        self.assertEqual(self.wait_set(s), {"base[1]": (CANCELLED, 1), "base[2]": (CANCELLED, 1), "docs": (FAILURE, 1)})
        r = self.set(s)
        self.assertEqual(r["base[1]"]["why"], f"docs ended badly ({r['docs']['id']}), and the first that does ends all (fail_fast)")
        wait_for(lambda: all(b["state"] == "done" for b in self.d.get("/builds?limit=10")["items"]), "the end of their processes")

    def test_reuse_none(self):
        s = self.force("anew")
        self.wait_set(s)
        self.assertEqual(self.wait_set(self.force("anew")), {b: (SUCCESS, 1) for b in ("base[1]", "base[2]", "lib")})

    def test_kills(self):
        """Requests that wait are rows: nothing of it is in a master."""
        self.mark("hold", "base[1]", "lib")
        r, s = self.ask("top")
        self.wait_state(r["base[1]"], "claimed")
        self.d.kill_master()
        self.go("base[1]")
        self.d.start_master()
        self.wait_state(r["lib"], "claimed")
        self.d.kill_master()
        self.d.start_master()
        self.go("lib")
        self.assertEqual(self.wait_set(s), {b: (SUCCESS, 1) for b in ALL})
        self.assertEqual(sorted(self.ran()), sorted(ALL))


class Psql:
    """A session of its own; answers rows as lists of texts."""

    def __init__(self, d):
        self.p = subprocess.Popen(d.psql_argv("-F", "\x1f", "-v", "ON_ERROR_STOP=0", "-v", "VERBOSITY=sqlstate"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", text=True, bufsize=1)

    def __call__(self, text):
        self.p.stdin.write(text + ";\n\\echo ---\n")
        self.p.stdin.flush()
        rows = []
        while (line := self.p.stdout.readline()) != "---\n":
            if not line or line.startswith("ERROR"):
                raise Failed(f"{text}: {line}")
            rows.append(line.rstrip("\n").split("\x1f"))
        return rows

    def close(self):
        self.p.stdin.close()
        self.p.wait()
        self.p.stdout.close()


class Rows(Case):
    """For no worker: the test itself is what ends requests."""
    PROJECTS = {"p": {}}

    RUNS = int(os.environ.get("DROVER_GRAPHS", "150"))

    @classmethod
    def prepare(cls):
        make_repo(cls.d.path("repo"), {"a": "a"})
        cls.d.configure(projects={"p": {"git": cls.d.path("repo"), "poll": "1h", "builders": {"b": {"checkout": "none", "steps": ["true"]}}, "schedulers": {"none": {"force": {}}}}})

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.d.wait_looked("p")
        cls.project = cls.d.sql("select id from project where name = 'p'")[0][0]

    def add(self, sql, builders, rev="a" * 40, props="{}"):
        row = sql(f"select id, requests from buildset_add({self.project}, 'r', 'main', '{rev}', null, 'test', '{{}}', '{props}', 'test', null, 1, null, '{json.dumps(builders)}')")[0]
        return int(row[0]), [int(x) for x in row[1].strip("{}").split(",") if x]

    @staticmethod
    def graph(rng, n):
        out = []
        for i in range(n):
            needs = [{"name": f"n{k}", **({"soft": True} if rng.random() < 0.25 else {})} for k in range(i) if rng.random() < 2.5 / (i + 1)]
            out.append({"name": f"n{i}", "tags": ["nobody"], **({"needs": needs} if needs else {})})
        return out

    @staticmethod
    def model(builders, results):
        """From (state, result) of those that were ended by hand (None: not yet) to that of all."""
        out = {}
        for b in builders:
            name, needs = b["name"], b.get("needs", [])
            over = [out[n["name"]] for n in needs]
            bad = [o[1] for n, o in zip(needs, over) if o[0] == "done" and o[1] != SUCCESS and "soft" not in n]
            if results.get(name) is not None:
                out[name] = ("done", results[name])
            elif bad:
                out[name] = ("done", bad)
            elif all(o[0] == "done" for o in over):
                out[name] = ("pending", None)
            else:
                out[name] = ("waiting", None)
        return out

    def check(self, sql, s, builders, results, seed):
        rows = {n: (st, int(res) if res else None) for n, st, res in sql(f"select u.name, r.state, r.result from build_request r join builder u on u.id = r.builder where r.buildset = {s}")}
        settled = dict(results)
        for b in builders:
            state, res = self.model(builders, settled)[b["name"]]
            if isinstance(res, list):  # of several that ended badly the first to end decides
                self.assertIn(rows[b["name"]], {("done", CANCELLED if x == CANCELLED else SKIPPED) for x in res}, (seed, b, results))
            else:
                self.assertEqual(rows[b["name"]], (state, res), (seed, b, results))
            if state == "done":
                settled[b["name"]] = rows[b["name"]][1]
        open_rows = sum(st != "done" for st, _ in rows.values())
        self.assertEqual([int(x) for x in sql(f"select open from buildset where id = {s}")[0]], [open_rows], seed)
        return rows

    def test_random_graphs(self):
        sql = Psql(self.d)
        try:
            for seed in range(self.RUNS):
                rng = random.Random(seed)
                builders = self.graph(rng, rng.randint(2, 12))
                s, ids = self.add(sql, builders, rev=f"{seed:040x}")
                by_name = dict(zip((b["name"] for b in builders), ids))
                results = {}
                while True:
                    rows = self.check(sql, s, builders, results, seed)
                    ready = [n for n, (st, _) in rows.items() if st == "pending"]
                    left = [n for n, (st, _) in rows.items() if st != "done"]
                    if not left:
                        break
                    self.assertTrue(ready, (seed, rows))
                    if rng.random() < 0.15:
                        some = rng.sample(left, rng.randint(1, len(left)))
                        sql(f"select count(*) from requests_cancel('{{{','.join(str(by_name[n]) for n in some)}}}', 'test')")
                        results.update({n: CANCELLED for n in some})
                    else:
                        n = rng.choice(ready)
                        results[n] = rng.choice([SUCCESS, SUCCESS, SUCCESS, FAILURE])
                        sql(f"select request_finish({by_name[n]}, {results[n]}::smallint, 'test')")
                self.assertEqual(sql(f"select state, result from buildset where id = {s}")[0][0], "done")
        finally:
            sql.close()

    def test_ends_that_meet(self):
        """Several sessions end what is ready, and cancel, all at once: nothing waits for ever, nothing blocks another for good."""
        sql, others = Psql(self.d), [Psql(self.d) for _ in range(3)]
        trouble = []

        def work(me, s, seed):
            rng = random.Random(seed)
            while True:
                try:
                    rows = me(f"select id, state from build_request where buildset = {s} and state <> 'done' order by random() limit 4")
                    if not rows:
                        return
                    for i, state in rows:
                        if rng.random() < 0.04:
                            me(f"select count(*) from requests_cancel('{{{','.join(r[0] for r in rows)}}}', 'test')")
                        elif state == "pending":
                            me(f"select request_finish({i}, {rng.choice([0, 0, 0, 0, 2])}::smallint, 'test')")
                except Exception as e:  # told by the main thread
                    trouble.append((seed, str(e)))
                    return
        try:
            for seed in range(max(4, self.RUNS // 10)):
                builders = self.graph(random.Random(1000 + seed), 30)
                s, _ = self.add(sql, builders, rev=f"{seed + 5000:040x}")
                threads = [threading.Thread(target=work, args=(me, s, seed * 10 + i)) for i, me in enumerate(others)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join(2 * DEADLINE_S)
                self.assertFalse(any(t.is_alive() for t in threads), f"seed {seed}: " + str(sql(f"select id, state, waits from build_request where buildset = {s} and state <> 'done'")))
                self.assertEqual(trouble, [])
                rows = {n: int(res) for n, res in sql(f"select u.name, r.result from build_request r join builder u on u.id = r.builder where r.buildset = {s}")}
                for b in builders:
                    bad = [n["name"] for n in b.get("needs", []) if "soft" not in n and rows[n["name"]] != SUCCESS]
                    if bad:
                        self.assertIn(rows[b["name"]], (SKIPPED, CANCELLED), (seed, b))
        finally:
            for x in (sql, *others):
                x.close()

    def test_a_need_that_ends_as_it_is_taken(self):
        """The need's end is not committed yet when somebody takes it for another buildset: that one waits for the commit, and sees it."""
        a, b = Psql(self.d), Psql(self.d)
        try:
            for res, state in ((SUCCESS, "pending"), (FAILURE, "done")):
                _, (need,) = self.add(a, [{"name": "x", "tags": ["nobody"]}], rev=f"{res + 9000:040x}")
                a("begin")
                a(f"select request_finish({need}, {res}::smallint, 'test')")
                got = []
                t = threading.Thread(target=lambda: got.append(self.add(b, [{"name": "y", "tags": ["nobody"], "needs": [{"request": need}]}], rev=f"{res + 9000:040x}")))
                t.start()
                wait_for(lambda: self.d.sql("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%buildset_add%'") == [["1"]], "the second one to wait")
                a("commit")
                t.join(DEADLINE_S)
                self.assertEqual(a(f"select state from build_request where id = {got[0][1][0]}"), [[state]])
        finally:
            a.close()
            b.close()


if __name__ == "__main__":
    unittest.main()
