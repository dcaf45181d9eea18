#!/usr/bin/env python3
"""docs/rules.md 4.1: which changes count for a scheduler and which don't, what is said of each, and who told them. Quiet times are in test_rules_stable.py."""
import concurrent.futures
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from schedsite import Rules, given  # noqa: E402

CODE = {"change": {"not_only": ["docs/**"]}}


class Which(Rules):
    @given(s={"change": {}})
    def test_4_1_1_each_change_is_one_buildset_at_once(self):
        told = [self.change(b) for b in ("main", "main", "dev")]
        self.assertEqual(self.built(), [[c] for c in told])
        self.assertEqual([s["branch"] for s in self.sets()], ["main", "main", "dev"])
        self.assertEqual([self.said(c) for c in told], [("builds", None, None)] * 3)

    @given(s={"change": {}}, t={"change": {}, "builders": "b"}, u={"change": {"branches": "other"}})
    def test_4_1_1_each_scheduler_decides_for_itself(self):
        c = self.change()
        self.assertEqual(self.words(c), {"s": "builds", "t": "builds", "u": "no"})
        self.assertEqual(sorted((s["scheduler"], r["builder"]) for s in self.sets() for r in s["requests"]), [("s", "a"), ("s", "b"), ("t", "b")])
        self.assertEqual([v["scheduler"] for v in self.d.get("/changes/" + c)["verdicts"]], ["s", "t", "u"], "in the pipeline's order")

    @given(s={"change": {}})
    def test_4_1_1_decided_once_by_however_many_looks(self):
        told = [self.tell("b%d" % i) for i in range(30)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: self.kick(), range(100)))
        for c in told:
            self.decided(c)
        self.assertEqual(sorted(self.built()), sorted([c] for c in told))

    @given(s=CODE)
    def test_4_1_2_what_does_not_count_is_not_kept(self):
        docs = self.change(files=["docs/a"])
        code = self.change(files=["a.c"])
        self.assertEqual(self.built(), [[code]], "not among the changes of the next buildset either")
        self.assertEqual(self.said(docs), ("no", "not_only", "the file docs/a is under docs/** (not_only)"))
        self.assertEqual(self.waiting(), {})

    FULL = {"change": {"branches": "main", "only": ["src/**"]}, "if": 'author != "bot"'}

    @given(s=FULL)
    def test_4_1_9_the_first_rule_that_says_no_is_told(self):
        """Each change fails all rules from one on: what is told is that one."""
        bad = {"branch": "dev", "message": "[skip ci]", "author": "bot", "files": ["x"]}
        good = {"branch": "main", "message": "", "author": "ann", "files": ["src/x"]}
        for i, (key, rule) in enumerate((("branch", "branches"), ("message", "skip"), ("author", "if"), ("files", "only"))):
            c = self.change(**{k: (good if k in list(bad)[:i] else bad)[k] for k in bad})
            self.assertEqual(self.said(c)[:2], ("no", rule), key)
        self.assertEqual(self.said(self.change(**good))[0], "builds")

    @given(s={"change": {}, "if": "properties.n + 1 > 2"}, t={"change": {}, "if": "properties.n"}, u={"change": {}, "if": "properties.n > 1"})
    def test_4_1_10_a_condition_that_can_not_be_reckoned_says_no_and_why(self):
        text, none, two = self.change(properties={"n": "text"}), self.change(), self.change(properties={"n": 2})
        for c, s in ((text, "s"), (text, "t"), (none, "s"), (two, "t"), (text, "u"), (none, "u")):
            verdict, rule, why = self.said(c, s)
            self.assertEqual((verdict, rule), ("no", "if"), (c, s))
            self.assertRegex(why, r"^if: properties\.n.*: .")
        self.assertEqual(self.said(two), ("builds", None, None))
        self.assertEqual(self.said(two, "u"), ("builds", None, None))
        self.assertEqual(self.said(none, "t"), ("no", "if", "not so: properties.n"))

    @given(s=CODE, t={"change": {"only": ["src/**"], "not_only": ["**/*.md"]}})
    def test_4_1_11_a_change_whose_files_nobody_knows_counts(self):
        c = self.change()
        self.assertEqual([self.said(c, s) for s in "st"], [("builds", None, "not all of its files are known, so not_only can't be asked"),
                                                           ("builds", None, "not all of its files are known, so only and not_only can't be asked")])

    @given(s={"change": {"only": ["src/**", "Makefile"], "not_only": ["**/*.md", "*.md"]}})
    def test_4_1_12_one_file_that_counts_is_enough(self):
        for files, verdict in ((["src/a"], "builds"), (["Makefile"], "builds"), (["src/a.md"], "no"), (["x"], "no"), (["x", "src/a.md"], "no"), (["x", "src/a.md", "src/b"], "builds"), (["sub/Makefile"], "no")):
            self.assertEqual(self.said(self.change(files=files))[0], verdict, files)

    @given(s={"change": {"branches": ["main", "release/*", "deep/**"]}, "stable": "1h"})
    def test_4_1_29_each_of_several_branches_has_its_own_quiet_time(self):
        told = {b: self.change(b) for b in ("main", "release/1", "release/2", "deep/a/b")}
        for b in ("dev", "release/1/x", "Main"):
            self.assertEqual(self.said(self.change(b))[:2], ("no", "branches"), b)
        self.assertEqual(self.waiting(), {b: [c] for b, c in told.items()})
        self.lapse(branch="release/1")
        self.assertEqual(self.wait_built(), [[told["release/1"]]])
        self.assertEqual(set(self.waiting()), {"main", "release/2", "deep/a/b"})

    @given(s={"change": {}})
    def test_4_1_28_what_is_no_branch_does_not_wait(self):
        for s, key in (({"tag": "v*", "stable": "1s"}, "stable"), ({"pull_request": {}, "stable": "1s"}, "stable"), ({"tag": "v*", "supersede": True}, "supersede"), ({"every": "1h", "stable": "1s"}, "stable")):
            before = self.d.conf["projects"]
            self.d.configure(projects={**before, self.p: self.site({"s": s})})
            a = self.d.api("POST", "/config/activate")
            self.d.configure(projects=before)
            self.assertEqual(a.status, 400)
            self.assertIn(f"\"{key}\" can't stand beside", a.body.decode().replace('\\"', '"'))

    @given(s={"change": {}})
    def test_4_1_30_told_twice_is_one_change(self):
        rev = self.revision()
        one = self.change(revision=rev)
        again = self.d.post("/changes", {"project": self.p, "branch": "main", "revision": rev, "author": "Ann", "message": "late"}, 200)
        self.assertEqual(again, {"change": one, "new": False})
        c = self.d.get("/changes/" + one)
        self.assertEqual((c["author"], c["message"]), ("Ann", "late"))
        self.assertEqual(self.d.post("/changes", {"project": self.p, "branch": "main", "revision": rev, "author": "Eve"}, 200)["new"], False)
        self.assertEqual(self.d.get("/changes/" + one)["author"], "Ann", "what the first has said stands")
        self.assertEqual(self.built(), [[one]])

    @given(s={"change": {}})
    def test_4_1_30_told_by_many_at_once(self):
        rev = self.revision()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.d.api("POST", "/changes", {"project": self.p, "branch": "main", "revision": rev}), range(24)))
        self.assertEqual(sorted(a.status for a in answers), [200] * 23 + [201])
        self.decided(answers[0].json["change"])
        self.assertEqual(self.built(), [[answers[0].json["change"]]])

    @given(s={"change": {"branches": ["main", "dev"]}})
    def test_4_1_32_one_revision_on_two_branches_is_two_changes(self):
        rev = self.revision()
        one, two = self.change("main", rev), self.change("dev", rev)
        self.assertNotEqual(one, two)
        self.assertEqual(self.built(), [[one], [two]])

    @given(s={"change": {}}, quiet={"change": {}, "skip": False})
    def test_4_1_34_marks_in_the_message(self):
        for mark in ("[skip ci]", "[CI Skip]", "text [No CI] text", "subject\n\n[skip drover]"):
            self.assertEqual(self.words(self.change(message=mark)), {"s": "no", "quiet": "builds"}, mark)
        for mark in ("skip ci", "[skip  ci]", "[skipci]", "[ skip ci ]", "[skip ci"):
            self.assertEqual(self.words(self.change(message=mark)), {"s": "builds", "quiet": "builds"}, mark)

    @given(s={"change": {}})
    def test_4_1_31_a_disabled_scheduler_lets_changes_pass(self):
        self.d.post(f"/schedulers/{self.p}/s/disable", {"reason": "holidays"})
        c = self.change()
        verdict, rule, why = self.said(c)
        self.assertEqual((verdict, rule), ("no", "disabled"))
        self.assertRegex(why, r"^disabled by \S+: holidays$")
        self.d.post(f"/schedulers/{self.p}/s/enable")
        self.assertEqual(self.built(), [])
        d = self.change()
        self.assertEqual(self.built(), [[d]])

    @given(s={"change": {"not_only": ["docs/**"]}})
    def test_4_1_31_disabled_is_not_said_where_it_would_not_have_built(self):
        self.d.post(f"/schedulers/{self.p}/s/disable")
        self.assertEqual(self.said(self.change(files=["docs/a"]))[1], "not_only")

    @given({"s": {"change": {}}}, {"s": {"change": {}}})
    def test_4_1_15_projects_do_not_see_each_others_changes(self):
        rev = self.revision()
        one, two = self.change(revision=rev), self.change(revision=rev, project=self.p2)
        self.assertEqual((self.built(), self.built(self.p2)), ([[one]], [[two]]))


if __name__ == "__main__":
    unittest.main()
