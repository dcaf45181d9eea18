#!/usr/bin/env python3
"""docs/rules.md 4.8: builders that need others, schedulers after each other: where it meets supersede, moving branches and changing configurations. The rest is in test_needs.py."""
import base64
import concurrent.futures
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from schedsite import Rules, given  # noqa: E402

SUCCESS, WARNINGS, FAILURE, SKIPPED, EXCEPTION, RETRY, CANCELLED = range(7)
SUPERSEDE = {"change": {}, "supersede": True, "builders": "dist"}
CHAIN = {"s": {"change": {}, "builders": "a"}, "t": {"after": "s", "builders": "b"}}


class After(Rules):
    BUILDERS = {"a": {"checkout": "none", "steps": ["true"]}, "b": {"checkout": "none", "steps": ["true"]}, "dist": {"checkout": "none", "needs": "a", "steps": ["true"]}}

    def requests(self, buildset):
        return {r["builder"]: r for r in self.d.get("/buildsets/" + buildset)["requests"]}

    def states(self, buildset):
        return {b: (r["state"], r["result"]) for b, r in self.requests(buildset).items()}

    def finish(self, request, result):
        self.d.sql(f"select request_finish({request['id'][1:]}, {result}::smallint, 'test')")

    def ask(self, builder, **more):
        return self.d.post("/builds", {"builder": f"{self.p}/{builder}", "branch": "main", **more}, 201)["buildset"]

    @given(s=SUPERSEDE)
    def test_4_8_8_who_waits_for_others_is_no_request_for_a_worker(self):
        self.change()
        s = self.sets()[0]["id"]
        self.assertEqual(self.states(s), {"a": ("pending", None), "dist": ("waiting", None)})
        self.assertEqual(self.d.sql(f"select count(*) from build_request where buildset = {s[1:]} and state = 'pending'"), [["1"]])
        self.finish(self.requests(s)["a"], WARNINGS)
        self.assertEqual(self.states(s), {"a": ("done", WARNINGS), "dist": ("pending", None)})

    @given(s=SUPERSEDE)
    def test_4_8_9_what_was_superseded_is_no_success_for_who_waits(self):
        one, two = self.change(), self.change()
        old, new = (self.verdict(c)["buildset"] for c in (one, two))
        self.assertEqual(self.states(old), {b: ("done", CANCELLED) for b in ("a", "dist")})
        self.assertEqual({r["why"] for r in self.requests(old).values()}, {f"superseded by {two}"})
        self.assertEqual(self.states(new), {"a": ("pending", None), "dist": ("waiting", None)})

    @given(s={**SUPERSEDE, "builders": "a"}, t={"after": "s", "builders": "b"})
    def test_4_8_9_nothing_follows_what_was_superseded(self):
        one, two = self.change(), self.change()
        self.assertEqual(self.built(scheduler="t"), [])
        self.finish(self.requests(self.verdict(two)["buildset"])["a"], SUCCESS)
        self.assertEqual(self.built(scheduler="t"), [[two]], f"and nothing for {one}")

    @given(**CHAIN)
    def test_4_8_10_success_and_warnings_are_good_and_nothing_else_is(self):
        good = []
        for result in (SUCCESS, WARNINGS, FAILURE, SKIPPED, EXCEPTION, CANCELLED):
            c = self.change()
            self.finish(self.requests(self.verdict(c)["buildset"])["a"], result)
            good += [[c]] if result in (SUCCESS, WARNINGS) else []
            self.assertEqual(self.built(scheduler="t"), good, result)

    @given(s={"change": {}, "builders": ["a", "b"]}, t={"after": "s", "builders": "dist"})
    def test_4_8_10_once_however_many_end_at_the_same_moment(self):
        told = [self.change() for _ in range(6)]
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda r: self.finish(r, SUCCESS), [r for c in told for r in self.requests(self.verdict(c, "s")["buildset"]).values()]))
        self.assertEqual(sorted(self.built(scheduler="t")), sorted([c] for c in told))

    @given(**CHAIN)
    def test_4_8_11_what_follows_is_of_the_same_revision(self):
        one = self.change()
        self.change()
        first = self.sets()[0]
        self.finish(self.requests(first["id"])["a"], SUCCESS)
        follows = self.sets(scheduler="t")[0]
        self.assertEqual((follows["revision"], follows["branch"], follows["changes"]), (first["revision"], first["branch"], [one]))

    @given(s={"force": {}})
    def test_4_8_11_a_branch_alone_is_no_revision_that_was_good(self):
        """Asked for by its branch, a build is of whatever is there by then: what was good at some earlier time is no help."""
        one = self.ask("dist")
        self.finish(self.requests(one)["a"], SUCCESS)
        two = self.ask("dist")
        self.assertEqual(self.states(two), {"a": ("pending", None), "dist": ("waiting", None)})
        self.finish(self.requests(self.ask("dist", revision=self.first))["a"], SUCCESS)
        self.assertEqual(list(self.states(self.ask("dist", revision=self.first))), ["dist"], "of a revision it is one")

    @given(**CHAIN)
    def test_4_8_14_what_follows_was_said_by_the_first_ones_pipeline(self):
        c = self.change()
        self.reconfigure(s=CHAIN["s"], u={"after": "s", "builders": "b"})
        self.finish(self.requests(self.verdict(c)["buildset"])["a"], SUCCESS)
        self.assertEqual((self.built(scheduler="t"), self.built(scheduler="u")), ([[c]], []))
        d = self.change()
        self.finish(self.requests(self.verdict(d)["buildset"])["a"], SUCCESS)
        self.assertEqual((self.built(scheduler="t"), self.built(scheduler="u")), ([[c]], [[d]]))

    @given(s={"change": {}, "supersede": True, "builders": "a"})
    def test_4_3_14_what_is_tried_is_not_superseded(self):
        patch = b"--- a/a\n+++ b/a\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n"
        tried = self.d.post("/try", {"project": self.p, "branch": "main", "revision": self.first, "patch": base64.b64encode(patch).decode(), "builders": ["a"]}, 201)["buildset"]
        one = self.change(revision=self.first)
        self.change()
        self.assertEqual((self.states(tried), self.states(self.verdict(one)["buildset"])), ({"a": ("pending", None)}, {"a": ("done", CANCELLED)}))
        self.assertNotEqual(*[x for x, in self.d.sql(f"select sourcestamp from buildset where id in ({tried[1:]}, {self.verdict(one)['buildset'][1:]})")])


if __name__ == "__main__":
    unittest.main()
