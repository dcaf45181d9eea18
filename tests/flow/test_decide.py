#!/usr/bin/env python3
"""What a change causes and why not, with real repositories: filters, markers, quiet times, tags, pull requests, what is superseded; the words of `drover why` literally."""
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, commit, git, make_repo, wait_for  # noqa: E402

SUCCESS, CANCELLED = 0, 6


class Deciding(Case):
    """A master whose projects each have a repository of the same name, seen once."""

    @classmethod
    def repo(cls, project):
        return cls.d.path("repo-" + project)

    def seen(self, project, branch="main"):
        wait_for(lambda: self.d.sql(f"select 1 from branch_head h join project p on p.id = h.project where p.name = '{project}' and h.branch = '{branch}'"), f"the first look at {project}")

    def change(self, project, revision, kind="branch"):
        """Once it is decided."""
        def there():
            for c in self.d.get(f"/changes?project={project}&kind={kind}&limit=1000")["items"]:
                if c["revision"] == revision and c["state"] != "reading":
                    return self.d.get("/changes/" + c["id"])
        return wait_for(there, f"the {kind} change {revision} of {project}")

    def verdicts(self, change):
        """{scheduler: (verdict, rule, why)}"""
        return {v["scheduler"]: (v["verdict"], v["rule"], v["why"]) for v in self.d.get("/changes/" + change["id"])["verdicts"]}

    def why(self, change, requests=False):
        """What `drover why` says, without the lines of requests; ids of buildsets and times become words."""
        p = subprocess.run([f"{BUILD}/drover", "why", change["id"]], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((p.returncode, p.stderr), (0, b""))
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", re.sub(r"\bs\d+", "SET", re.sub(r"\bc\d+\b", lambda m: self.ids.get(m[0], m[0]), p.stdout.decode())))
        return [re.sub(r"^(\w+) +", r"\1 ", x) for x in text.splitlines() if requests or not re.match(r"r\d+ ", x)]

    def setUp(self):
        self.ids = {}

    def name(self, **changes):
        self.ids.update({c["id"]: word for word, c in changes.items()})

    def builds(self, change):
        """All of a change's, at their end."""
        out = []
        for s in self.d.get("/changes/" + change["id"])["buildsets"]:
            for r in self.d.get("/buildsets/" + s)["requests"]:
                out += [self.d.get("/builds/" + b) for b in self.d.wait_request(r["id"])["builds"]]
        return out


class Branches(Deciding):
    PROJECTS = {"p": {}, "calm": {}}
    PIPELINE = """
builders: {a: {steps: [{name: say, run: 'true'}]}, b: {checkout: none, steps: ['true']}}
schedulers:
  commits: {change: {branches: [main, "release/*"], not_only: ["docs/**", "*.md"]}, builders: a}
  code: {change: {only: "src/**"}, builders: b}
  always: {change: {branches: main}, skip: false, builders: b}
  ann: {change: {}, if: 'author != "Ann <ann@example.org>"', builders: b}
  tags: {tag: "v*", builders: b}
"""
    CALM = """
builders: {b: {checkout: none, steps: ['true']}}
schedulers: {calm: {change: {not_only: ["docs/**"]}, stable: 6s}}
"""

    @classmethod
    def prepare(cls):
        make_repo(cls.repo("p"), {".drover.yml": cls.PIPELINE, "src/a": "a"})
        make_repo(cls.repo("calm"), {".drover.yml": cls.CALM})
        cls.d.configure(projects={x: {"git": cls.repo(x), "poll": "200ms"} for x in cls.PROJECTS})

    def setUp(self):
        super().setUp()
        for p in self.PROJECTS:
            self.seen(p)
        git(self.repo("p"), "checkout", "-q", "main")

    def test_by_files(self):
        c = self.change("p", commit(self.repo("p"), {"docs/a": "1", "docs/b/c": "1", "README.md": "1"}, "words only"))
        self.name(C=c)
        self.assertEqual(self.why(c), ["C p main: decided", "  commits  no: all 3 files are under docs/**, *.md (not_only)", "  code     no: none of the 3 files is under src/** (only)",
                                       "  always   builds, as SET", "  ann      no: not so: author != \"Ann <ann@example.org>\"", "  tags     no: it builds tags, and this is a branch"])
        self.assertEqual([b["builder"] for b in self.builds(c)], ["b"])
        c = self.change("p", commit(self.repo("p"), {"docs/a": "2", "src/a": "2"}, "both"))
        self.assertEqual({s: v[0] for s, v in self.verdicts(c).items()}, {"commits": "builds", "code": "builds", "always": "builds", "ann": "no", "tags": "no"})
        self.assertEqual(sorted(b["builder"] for b in self.builds(c)), ["a", "b", "b"])

    def test_by_marker(self):
        c = self.change("p", commit(self.repo("p"), {"src/a": "3"}, "nothing to see\n\n[Skip CI] please"))
        self.name(C=c)
        self.assertEqual(self.why(c)[1:4], ["  commits  no: the message says [skip ci]", "  code     no: the message says [skip ci]", "  always   builds, as SET"])
        self.assertEqual(c["verdicts"][0]["rule"], "skip")

    def test_by_branch(self):
        git(self.repo("p"), "checkout", "-q", "-b", "feature/x")
        c = self.change("p", commit(self.repo("p"), {"src/a": "4"}, "a feature"))
        self.name(C=c)
        self.assertEqual(self.why(c), ["C p feature/x: decided", "  commits  no: branch feature/x is not among main, release/*", "  code     builds, as SET",
                                       "  always   no: branch feature/x is not among main", "  ann      no: not so: author != \"Ann <ann@example.org>\"",
                                       "  tags     no: it builds tags, and this is a branch"])

    def test_without_a_list_of_files(self):
        rev = commit(self.repo("p"), {}, "an empty commit")
        c = self.change("p", rev)
        self.name(C=c)
        self.assertEqual(self.why(c)[1:3], ["  commits  builds, as SET: not all of its files are known, so not_only can't be asked", "  code     builds, as SET: not all of its files are known, so only can't be asked"])

    def test_quiet_time(self):
        docs = self.change("calm", commit(self.repo("calm"), {"docs/a": "0"}, "before: nothing waits"))
        one = self.change("calm", commit(self.repo("calm"), {"a": "1"}, "one"))
        self.name(DOCS=docs, ONE=one)
        self.assertEqual(self.why(docs), ["DOCS calm main: decided", "  calm  no: the file docs/a is under docs/** (not_only)"])
        self.assertEqual(self.why(one), ["ONE calm main: decided", "  calm  waits until TIME, longer if more changes come"])
        two = self.change("calm", commit(self.repo("calm"), {"docs/a": "1"}, "it comes in the quiet time"))
        self.name(TWO=two)
        self.assertEqual(self.why(two), ["TWO calm main: decided", "  calm  waits until TIME, longer if more changes come: in the quiet time of ONE: the file docs/a is under docs/** (not_only)"])
        a, b = (self.d.get("/changes/" + c["id"])["verdicts"][0]["until"] for c in (one, two))
        self.assertEqual(a, b)
        wait_for(lambda: self.verdicts(two)["calm"][0] == "builds", "the timer")
        self.assertEqual(self.why(one), ["ONE calm main: decided", "  calm  builds, as SET: superseded by TWO"])
        self.assertEqual(self.why(two), ["TWO calm main: decided", "  calm  builds, as SET: in the quiet time of ONE: the file docs/a is under docs/** (not_only)"])
        self.assertEqual(self.d.get("/changes/" + one["id"])["buildsets"], self.d.get("/changes/" + two["id"])["buildsets"])
        self.assertEqual([b["revision"] for b in self.builds(two)], [two["revision"]])
        self.assertEqual(self.verdicts(docs)["calm"][0], "no")


if __name__ == "__main__":
    unittest.main(verbosity=2)
