#!/usr/bin/env python3
"""docs/rules.md 4.6: Mercurial, by its own server. What is committed is told with its files, and what is built is that tree."""
import json
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import slow, wait_for  # noqa: E402
from vcsserve import Hg, HgServe, Mute, VcsCase  # noqa: E402


class HgCase(VcsCase):
    TRUNK, ADD, HIDDEN = "default", "hg -q add y; printf '[hooks]\\nupdate = false\\n' >>.hg/hgrc", ".hg"

    @classmethod
    def prepare(cls):
        d = cls.d
        cls.repo = Hg(d.path("repo"))
        cls.pipeline = json.dumps(cls.pipeline_of(d))
        cls.first = cls.repo.commit({".drover.yml": cls.pipeline, "file": "one"})
        cls.server = HgServe(d, d.path("repo"))
        cls.mute = Mute()
        projects = {
            "p": {"hg": cls.server.url, "poll": "1h", "hook": "poll"},
            "site": {"hg": cls.server.url, "poll": "1h", **cls.pipeline_of(d)},
            "mute": {"hg": f"http://127.0.0.1:{cls.mute.port}/x", "poll": "1s"},
        }
        d.configure(projects={k: v for k, v in projects.items() if not cls.WANTED or k in cls.WANTED})

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        cls.mute.close()
        super().tearDownClass()

    def files(self):
        """What the repository's tree has now, but for the pipeline."""
        found = {}
        for folder, folders, names in os.walk(self.repo.path):
            folders[:] = [x for x in folders if x != ".hg"]
            for path in (os.path.join(folder, n) for n in names):
                with open(path) as f:
                    found[os.path.relpath(path, self.repo.path)] = f.read().strip()
        del found[".drover.yml"]
        return found


class Looks(HgCase):
    def test_4_6_11_each_commit_of_a_branch_is_a_change(self):
        self.d.wait_looked("p")
        first = self.repo.commit({"src/a": "a"}, "one <&> \"é\"\n\nmore", who="Bob <bob@example.org>")
        second = self.repo.commit({"docs/x": "x"}, remove=["src/a"])
        one, two = self.told(first), self.told(second)
        self.assertEqual((one["author"], one["message"], one["files"], one["told_by"]), ("Bob <bob@example.org>", "one <&> \"é\"\n\nmore", ["src/a"], "hg poller"))
        self.assertEqual((two["previous"], sorted(two["files"])), (first, ["docs/x", "src/a"]))
        self.assertEqual(self.builds(two), (second, self.files()))
        self.assertEqual(self.words(one), {"all": "builds", "tags": "no", "code": "builds", "docs": "no"})
        third = self.told(self.repo.commit({"docs/x": "y", "docs/y": "y"}))
        self.assertEqual(self.words(third), {"all": "builds", "tags": "no", "code": "no", "docs": "builds"})
        self.assertEqual(self.changes(revision=self.first), [], "history is not built")

    @slow
    def test_4_6_12_branches_bookmarks_and_tags(self):
        self.d.wait_looked("p")
        base = self.repo.commit({"file": "base"})
        self.told(base)
        self.repo.hg("branch", "-q", "feature")
        on = self.repo.commit({"file": "on the branch"})
        self.assertEqual(self.builds(self.told(on, "feature")), (on, self.files(), "feature"))
        self.repo.hg("update", "-q", "default")
        after = self.repo.commit({"file": "after"})
        self.assertEqual(self.builds(self.told(after)), (after, self.files()))
        self.repo.hg("bookmark", "-i", "-r", base, "book")
        self.look()
        wait_for(lambda: "book" in self.heads(), "the bookmark's head")
        self.repo.hg("update", "-q", base)
        self.repo.hg("bookmark", "-q", "book")
        marked = self.repo.commit({"file": "marked"})
        self.assertEqual(self.builds(self.told(marked, "book")), (marked, self.files(), "book"))
        self.repo.hg("update", "-q", "-C", after)
        self.repo.hg("tag", "-r", on, "v1")
        c = self.told(on, "v1")
        self.assertEqual((c["kind"], self.built(c, "tags")["got_revision"]), ("tag", on))
        self.repo.hg("bookmark", "-d", "book")
        self.repo.hg("update", "-q", "feature")
        self.repo.hg("commit", "-q", "--close-branch", "-m", "over")
        self.look()
        wait_for(lambda: not {"book", "feature"} & self.heads(), "the end of a bookmark and of a branch")
        self.repo.hg("update", "-q", "-C", "default")

    @slow
    def test_4_6_13_what_was_stripped_counts_no_more(self):
        self.d.wait_looked("p")
        base = self.told(self.repo.commit({"file": "stays"}))["revision"]
        gone = self.told(self.repo.commit({"file": "is taken out"}))["revision"]
        self.repo.hg("strip", "-q", "--no-backup", gone)
        self.look()
        wait_for(lambda: [base] in self.d.sql("select h.revision from branch_head h join project p on p.id = h.project where p.name = 'p' and h.branch = 'default'"), "the head of before")
        new = self.told(self.repo.commit({"file": "instead"}))
        self.assertEqual((new["previous"], self.builds(new)), (base, (new["revision"], self.files())))

    @slow
    def test_4_6_6_a_silent_server_delays_no_other(self):
        self.d.wait_looked("p")
        self.assertTrue(self.told(self.repo.commit({"file": "not delayed"})))
        self.assertIsNone(self.project("mute")["looked"])

    def test_4_6_7_nothing_of_an_earlier_build_is_left(self):
        """Its folder is spoilt in each way, and its settings with a hook that fails."""
        self.d.wait_looked("site")
        self.d.run("site/b", branch="default", seconds=60)
        rev = self.repo.commit({"new/deep/x": "versioned now", "y": "too"})
        got = self.tree(self.d.run("site/b", branch="default", seconds=60), "site")
        self.assertEqual(got[:2], (rev, self.files()))
        gone = self.repo.commit({}, remove=["new/deep/x", "y"])
        self.assertEqual(self.tree(self.d.run("site/b", seconds=60), "site")[:2], (gone, self.files()))
        self.assertEqual(self.tree(self.d.run("site/b", branch="default", revision=rev[:12], seconds=60), "site")[:2], got[:2])
        a = self.d.api("POST", "/builds", {"builder": "site/b", "branch": "default", "revision": "42"})
        self.assertEqual((a.status, a.json["error"]["help"]), (400, "7 to 40 hex digits"))

    @slow
    def test_4_6_14_the_mirror_may_go_at_any_time(self):
        self.d.wait_looked("p")
        self.told(self.repo.commit({"file": "before"}))
        shutil.rmtree(self.d.path("state", "mirrors", "p.hg"))
        c = self.told(self.repo.commit({"file": "behind"}))
        self.assertEqual(self.builds(c)[1]["file"], "behind")


class Killed(HgCase):
    WANTED = {"site"}  # nothing else that checks out

    def test_4_6_10_a_worker_killed_in_the_middle_of_a_checkout(self):
        d = self.d
        d.wait_looked("site")
        self.repo.commit({f"many/{i:03d}/{k}": "x" * 2000 for i in range(20) for k in range(20)})
        self.repo.commit({"file": "behind many"})
        rid = d.ask("site/b", branch="default")
        got = self.killed_in_checkout(rid, "site")
        self.assertEqual((got[1]["file"], sum(n.startswith("many/") for n in got[1])), ("behind many", 400))


if __name__ == "__main__":
    unittest.main()
