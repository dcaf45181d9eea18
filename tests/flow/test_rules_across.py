#!/usr/bin/env python3
"""docs/rules.md 4.8.22 to 4.8.29: builders that need those of other projects."""
import concurrent.futures
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import commit, git, make_repo, wait_for  # noqa: E402
from schedsite import Rules  # noqa: E402

SUCCESS, WARNINGS, FAILURE, SKIPPED, EXCEPTION, RETRY, CANCELLED = range(7)
STEPS = {"checkout": "none", "steps": ["true"]}


class Across(Rules):
    """Each test has projects of its own, app and lib and more, in repositories of their own: NAME-app, NAME-lib."""

    def name(self, which):
        return f"{self._testMethodName[5:45]}-{which}"

    def sites(self, **projects):
        """app={builder: what it says}, where "@lib/" stands for the name of the test's project lib; lib=None: its pipeline is in its repository."""
        said = {}
        for which, builders in projects.items():
            more = {"needed_by": [self.name("*")]} if which != "app" else {}
            said[self.name(which)] = {"git": self.repo(which), "poll": "1h", **more, **(self.pipeline(builders) if builders else {})}
        self.d.configure(projects={**self.d.conf["projects"], **said})
        self.d.post("/config/activate")
        self.d.wait_looked(*said)

    def pipeline(self, builders):
        return {"builders": {b: {**STEPS, **s, **({"needs": self.named(s["needs"])} if "needs" in s else {})} for b, s in builders.items()}, "schedulers": {"s": {"force": {}}}}

    def named(self, needs):
        if isinstance(needs, dict):
            return {self.named(k): v for k, v in needs.items()}
        return [self.named(n) for n in needs] if isinstance(needs, list) else "/".join([self.name(needs[1:].split("/")[0]), needs.split("/")[1]]) if needs[0] == "@" else needs

    def repo(self, which):
        path = self.d.path(self.name(which))
        if not os.path.exists(path):
            make_repo(path, {"a": which})
        return path

    def head(self, which, branch="main"):
        return git(self.repo(which), "rev-parse", branch)

    def ask(self, which, builder, **more):
        return self.d.post("/builds", {"builder": f"{self.name(which)}/{builder}", **more}, 201)["requests"][-1]

    def request(self, r):
        return self.d.get("/requests/" + r)

    def needs(self, r):
        """{project/builder: its request}, once nothing is to be asked for any more."""
        found = wait_for(lambda: (n := self.request(r)["needs"]) and all(x["request"] for x in n) and n, f"what {r} needs")
        return {n["builder"].removeprefix(self.name("")): n["request"] for n in found}

    def finish(self, r, result=SUCCESS):
        self.d.sql(f"select request_finish({r[1:]}, {result}::smallint, 'test')")

    def state(self, r):
        x = self.request(r)
        return x["state"], x["result"]

    def ended(self, r):
        return wait_for(lambda: (x := self.request(r))["state"] == "done" and x, f"the end of {r}")

    def test_4_8_22_who_needs_one_of_another_project_asks_for_it_there(self):
        self.sites(app={"pkg": {"needs": "@lib/dist"}}, lib={"dist": {"needs": "unit"}, "unit": {}})
        r = self.ask("app", "pkg")
        dist = self.needs(r)["lib/dist"]
        there = self.request(dist)
        self.assertEqual((self.state(r), there["state"], there["revision"], there["branch"]), (("waiting", None), "waiting", self.head("lib"), "main"))
        self.assertEqual(list(self.needs(dist)), ["lib/unit"], "and what that one needs")
        self.assertEqual(there["reason"], f"needed by {r} ({self.name('app')}/pkg)")
        self.finish(self.needs(dist)["lib/unit"])
        self.assertEqual((self.state(dist), self.state(r)), (("pending", None), ("waiting", None)))
        self.finish(dist)
        self.assertEqual(self.state(r), ("pending", None))

    def test_4_8_22_a_matrix_there_means_all_of_it(self):
        self.sites(app={"pkg": {"needs": ["@lib/dist"]}, "one": {"needs": ["@lib/dist[b]"]}}, lib={"dist": {"matrix": {"X": ["a", "b"]}}})
        self.assertEqual(sorted(self.needs(self.ask("app", "pkg"))), ["lib/dist[a]", "lib/dist[b]"])
        self.assertEqual(sorted(self.needs(self.ask("app", "one"))), ["lib/dist[b]"])

    def test_4_8_22_its_pipeline_may_be_in_its_repository(self):
        commit(self.repo("lib"), {".drover.yml": "builders: {dist: {checkout: none, steps: ['true']}}"}, "pipeline")
        self.sites(app={"pkg": {"needs": "@lib/dist"}, "no": {"needs": "@lib/nothing"}}, lib=None)
        self.assertEqual(self.state(self.needs(self.ask("app", "pkg"))["lib/dist"]), ("pending", None))
        end = self.ended(self.ask("app", "no"))
        self.assertEqual((end["result"], end["why"]), (EXCEPTION, f"it needs {self.name('lib')}/nothing, and there is no such builder at {self.head('lib')[:12]} of main"))

    def test_4_8_23_the_branch_of_the_same_name_else_the_default_one(self):
        git(self.repo("app"), "branch", "topic")
        git(self.repo("app"), "branch", "lone")
        git(self.repo("lib"), "checkout", "-qb", "topic")
        commit(self.repo("lib"), {"b": "b"}, "b")
        git(self.repo("lib"), "checkout", "-q", "main")
        self.sites(app={"pkg": {"needs": "@lib/dist"}}, lib={"dist": {}})
        for branch, there in (("topic", "topic"), ("lone", "main"), ("main", "main")):
            x = self.request(self.needs(self.ask("app", "pkg", branch=branch))["lib/dist"])
            self.assertEqual((x["branch"], x["revision"]), (there, self.head("lib", there)))

    def test_4_8_24_what_was_good_there_is_taken(self):
        self.sites(app={"pkg": {"needs": "@lib/dist"}}, lib={"dist": {}})
        one = self.ask("app", "pkg")
        dist = self.needs(one)["lib/dist"]
        self.finish(dist, WARNINGS)
        two = self.ask("app", "pkg")
        self.assertEqual((self.needs(two)["lib/dist"], self.state(two)), (dist, ("pending", None)))
        own = self.ask("lib", "dist", revision=self.head("lib"))
        self.finish(own)
        self.assertEqual(self.needs(self.ask("app", "pkg"))["lib/dist"], own, "also what somebody asked for there")

    def test_4_8_24_several_that_need_the_same_wait_for_one(self):
        self.sites(app={"a": {"needs": "@lib/dist"}, "b": {"needs": "@lib/dist"}, "c": {"needs": ["a", "b"]}}, lib={"dist": {}})
        self.ask("lib", "dist")  # somebody's own is not shared: it may be cancelled
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            asked = list(pool.map(lambda _: self.ask("app", "c"), range(8)))
        direct = {n for r in asked for n in self.needs(r).values()}
        self.assertEqual(len(direct), 16)
        shared = {self.needs(n)["lib/dist"] for n in direct}
        self.assertEqual(len(shared), 1)
        self.finish(shared.pop())
        self.assertEqual({self.state(n) for n in direct}, {("pending", None)})

    def test_4_8_25_one_that_fails_there_skips_who_needs_it(self):
        self.sites(app={"pkg": {"needs": "@lib/dist"}, "soft": {"needs": {"@lib/dist": "soft"}}}, lib={"dist": {}})
        for builder, result, there in (("pkg", ("done", SKIPPED), FAILURE), ("soft", ("pending", None), FAILURE), ("pkg", ("done", CANCELLED), CANCELLED)):
            r = self.ask("app", builder)
            self.finish(self.needs(r)["lib/dist"], there)
            self.assertEqual(self.state(r), result)

    def test_4_8_25_built_again_what_was_bad_there_is_asked_for_again(self):
        self.sites(app={"pkg": {"needs": "@lib/dist"}}, lib={"dist": {}})
        r = self.ask("app", "pkg")
        dist = self.needs(r)["lib/dist"]
        self.finish(dist, FAILURE)
        again = self.d.sql(f"select builders_again({r[1:]}, false)")[0][0]
        self.assertIn('"outside": true', again)
        self.assertIn(self.name("lib") + "/dist", again)

    def test_4_8_26_the_other_project_must_allow_it(self):
        self.sites(lib={"dist": {}})
        lib = self.name("lib")
        for needed_by, needs, why in (([], "dist", f"project {lib} doesn't let project app need its builders"), (["app"], "gone", f'project {lib} has no builder "gone"')):
            before = self.d.conf["projects"]
            self.d.configure(projects={lib: {**before[lib], "needed_by": needed_by}, "app": {"git": self.repo("app"), **{"builders": {"pkg": {**STEPS, "needs": f"{lib}/{needs}"}}}}})
            a = self.d.api("POST", "/config/activate", {})
            self.d.configure(projects=before)
            self.assertNotEqual(a.status // 100, 2)
            self.assertIn(why, a.json["error"]["help"])
        commit(self.repo("app"), {".drover.yml": f"builders: {{pkg: {{checkout: none, needs: [{lib}/dist], steps: ['true']}}}}"}, "pipeline")
        self.d.configure(projects={**self.d.conf["projects"], lib: {**self.d.conf["projects"][lib], "needed_by": ["others"]}, self.name("app"): {"git": self.repo("app"), "poll": "1h"}})
        self.d.post("/config/activate")
        self.d.wait_looked(self.name("app"))
        a = self.d.api("POST", "/builds", {"builder": self.name("app") + "/pkg"})
        self.assertEqual(a.status, 400)
        self.assertIn(f"needed_by: [{self.name('app')}]", a.json["error"]["message"])

    def test_4_8_27_rings_over_projects_end(self):
        self.sites(app={"pkg": {"needs": "@lib/dist"}}, lib={"dist": {"needs": "@third/x"}}, third={"x": {"needs": "y"}, "y": {"needs": "@app2/z"}}, app2={"z": {"needs": "@lib/dist"}})
        r = self.ask("app", "pkg")
        end = self.ended(r)
        self.assertEqual(end["result"], SKIPPED)
        bad = self.d.sql("select q.why from build_request q join builder u on u.id = q.builder join project p on p.id = u.project where p.name = '%s' and q.result = 4" % self.name("app2"))
        self.assertEqual(bad, [[f"it needs {self.name('lib')}/dist, which needs it: builders of several projects wait for each other"]])
        wait_for(lambda: self.d.sql("select count(*) from request_ask where not over and name like '%s%%'" % self.name("")) == [["0"]], "the end of all that was asked for")

    def test_4_8_28_cancelled_it_asks_for_nothing_any_more(self):
        self.sites(app={"pkg": {"needs": "@lib/dist"}}, lib={"dist": {}})
        lock = self.session()
        lock.tell("lock table request_ask in exclusive mode")
        asked = concurrent.futures.ThreadPoolExecutor(1).submit(self.ask, "app", "pkg")
        self.wait_blocked()
        lock.tell("commit; begin")
        r = asked.result(30)
        self.d.post(f"/requests/{r}/cancel")
        self.kick()
        wait_for(lambda: self.d.sql(f"select over from request_ask where request = {r[1:]}") in ([], [["t"]]), "its ask to be over")
        self.assertEqual(self.state(r), ("done", CANCELLED))

    def test_4_8_29_killed_in_between_it_is_asked_for_once(self):
        self.sites(app={"pkg": {"needs": "@lib/dist"}}, lib={"dist": {}})
        lock = self.session()
        lock.tell("select pg_advisory_xact_lock(hashtextextended('ask ' || (select id from project where name = '%s') || ' %s', 7421002))" % (self.name("lib"), self.head("lib")))
        r = self.ask("app", "pkg")
        self.wait_blocked()
        why = self.d.get(f"/requests/{r}/why")["reason"]
        self.assertEqual((why["kind"], why["object"]), ("needs", self.name("lib") + "/dist"))
        self.assertIn("about to be asked for", why["text"])
        self.d.kill_master(signal.SIGKILL)
        lock.tell("commit; begin")
        self.d.start_master()
        dist = self.needs(r)["lib/dist"]
        self.assertEqual(self.d.sql("select count(*) from build_request q join builder u on u.id = q.builder join project p on p.id = u.project where p.name = '%s'" % self.name("lib")), [["1"]])
        self.finish(dist)
        self.assertEqual(self.state(r), ("pending", None))


class Built(Rules):
    """With a worker."""
    WORKING = True
    WORKERS = {"here": {"slots": 2}}

    def test_4_8_22_built_before_it(self):
        lib, _ = (make_repo(self.d.path(n), {"a": n}) for n in ("lib", "app"))
        line = {"checkout": "none", "steps": [{"run": f'echo "$DROVER_BUILD $DROVER_REVISION" >>{self.d.root}/ran'}]}
        self.d.configure(projects={**self.d.conf["projects"], "lib": {"git": self.d.path("lib"), "poll": "1h", "needed_by": "app", "builders": {"dist": line}},
                                   "app": {"git": self.d.path("app"), "poll": "1h", "builders": {"pkg": {**line, "needs": "lib/dist"}}}})
        self.d.post("/config/activate")
        self.d.wait_looked("lib", "app")
        for _ in range(2):
            r = self.d.post("/builds", {"builder": "app/pkg"}, 201)["requests"][0]
            self.assertEqual(wait_for(lambda: (x := self.d.get("/requests/" + r))["state"] == "done" and x, f"the end of {r}")["result"], SUCCESS)
        self.assertEqual(self.lines(self.d.path("ran")), ["lib/dist/1", lib, "app/pkg/1", "app/pkg/2"])


if __name__ == "__main__":
    unittest.main()
