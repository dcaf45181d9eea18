#!/usr/bin/env python3
"""docs/rules.md 4.6: Subversion, by its own server. What is committed is told with its files, and what is built is that tree."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, TOP, wait_for  # noqa: E402
from vcsserve import Mute, Svn, SvnServe, VcsCase, run  # noqa: E402


class SvnCase(VcsCase):
    TRUNK, ADD, HIDDEN, NO_BRANCHES = "trunk", "svn -q add --force y", ".svn", "branches/same%"

    @classmethod
    def prepare(cls):
        d = cls.d
        cls.repo = Svn(d.path("repos"))
        cls.pipeline = json.dumps(cls.pipeline_of(d))
        cls.repo.commit({".drover.yml": cls.pipeline, "file": "one"})
        cls.flat = Svn(d.path("flat"), layout=False)
        cls.flat.commit({"manual/.drover.yml": cls.pipeline, "manual/file": "flat", "other/file": "no"}, branch="")
        cls.hooked = Svn(d.path("hooked"))
        cls.server = SvnServe(d, d.root)
        cls.mute = Mute()
        projects = {
            "p": {"svn": cls.server.url("repos"), "poll": "1h", "hook": "poll"},
            "site": {"svn": cls.server.url("repos") + "/", "poll": "1h", **cls.pipeline_of(d)},
            "hooked": {"svn": cls.server.url("hooked"), "poll": "1h", "builders": {"b": {"checkout": "none", "steps": ["true"]}}, "schedulers": {"all": {"change": {}}}},
            "flat": {"svn": cls.server.url("flat/manual"), "layout": "folder", "poll": "1h", "hook": "poll"},
            "wrong": {"svn": cls.server.url("flat/manual"), "poll": "1h"},
            "mute": {"svn": f"svn://127.0.0.1:{cls.mute.port}/x", "poll": "1s"},
            "branches": {"svn": cls.server.url("repos"), "branches": ["trunk", "branches/1.*"], "poll": "1h", "hook": "poll", "builders": {"b": {"checkout": "none", "steps": ["true"]}}, "schedulers": {"all": {"change": {}}}},
        }
        d.configure(projects={k: v for k, v in projects.items() if not cls.WANTED or k in cls.WANTED})

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        cls.mute.close()
        super().tearDownClass()

    def files(self, branch="trunk"):
        """What the repository has there now, but for the pipeline."""
        names = run("svn", "list", "-R", f"{self.repo.file}/{branch}").split()
        return {n: run("svn", "cat", f"{self.repo.file}/{branch}/{n}") for n in names if not n.endswith("/") and n != ".drover.yml"}


class Looks(SvnCase):
    def test_4_6_1_each_revision_of_a_branch_is_a_change(self):
        self.d.wait_looked("p")
        first = self.repo.commit({"src/a": "a"}, "one <&> é\n\nmore", who="bob")
        second = self.repo.commit({"docs/x": "x"}, remove=["src/a"])
        one, two = self.told(first), self.told(second)
        self.assertEqual((one["author"], one["message"], one["files"], one["told_by"]), ("bob", "one <&> é\n\nmore", ["src/a"], "svn poller"))
        self.assertEqual((two["previous"], sorted(two["files"])), (first, ["docs/x", "src/a"]))
        self.assertEqual(self.builds(two), (second, self.files()))
        self.assertEqual(self.words(one), {"all": "builds", "tags": "no", "code": "builds", "docs": "no"})
        self.assertEqual(self.words(two)["code"], "builds", "not only docs")
        third = self.told(self.repo.commit({"docs/x": "y", "docs/y": "y"}))
        self.assertEqual(self.words(third), {"all": "builds", "tags": "no", "code": "no", "docs": "builds"})

    def test_4_6_2_history_is_not_built(self):
        self.d.wait_looked("p", "branches", "flat")
        for p in ("p", "branches", "flat"):
            self.assertEqual(self.changes(p, revision="1") + self.changes(p, revision="2"), [])

    def test_4_6_3_branches_and_tags_are_folders(self):
        """A new branch tells its copy, and not what it was before; a tag is built as itself; what is deleted is over."""
        self.d.wait_looked("p", "branches")
        base = self.repo.commit({"file": "base"})
        self.told(base)
        made = self.repo.copy("trunk", "branches/1.x")
        there = self.told(made, "branches/1.x")
        self.assertEqual(self.builds(there), (made, {**self.files("branches/1.x"), "file": "base"}, "branches/1.x"))
        self.assertEqual([c["revision"] for c in self.changes(branch="branches/1.x")], [made])
        self.told(made, "branches/1.x", "branches")
        on = self.repo.commit({"file": "on the branch"}, branch="branches/1.x")
        self.assertEqual(self.builds(self.told(on, "branches/1.x")), (on, {**self.files("branches/1.x"), "file": "on the branch"}, "branches/1.x"))
        after = self.told(self.repo.commit({"file": "after"}))
        self.assertEqual(self.builds(after)[1]["file"], "after", "back in the same folder of the worker")
        self.repo.copy("trunk", "branches/2.x")
        self.told(self.repo.newest(), "branches/2.x")
        self.assertEqual(self.changes("branches", branch="branches/2.x"), [], "its `branches` leave that out")
        two = [self.repo.copy("branches/1.x", "tags/v1"), self.repo.copy("trunk", "tags/v2")]
        for name, revision, text in zip(("v1", "v2"), two, ("on the branch", "after")):
            c = self.told(revision, name)
            self.assertEqual(c["kind"], "tag")
            self.assertEqual(self.builds(c, "tags"), (revision, {**self.files("tags/" + name), "file": text}, "tags/" + name))
        self.repo.remove("branches/2.x")
        self.look()
        wait_for(lambda: "branches/2.x" not in self.heads(), "the end of a branch")

    def test_4_6_4_of_one_revision_each_branch_is_its_own(self):
        """One commit that touches two branches is a change of each, with the tree of each; nothing is taken from the other."""
        self.d.wait_looked("p")
        for b in ("same-a", "same-b"):
            self.told(self.repo.copy("trunk", "branches/" + b), "branches/" + b)
        run("svn", "checkout", "-q", self.repo.file + "/branches", self.d.path("both"))
        for b in ("same-a", "same-b"):
            with open(self.d.path("both", b, "file"), "w") as f:
                f.write(b)
        run("svn", "commit", "-q", "-m", "both", cwd=self.d.path("both"))
        rev = self.repo.newest()
        for b in ("same-a", "same-b"):
            self.assertEqual(self.builds(self.told(rev, "branches/" + b)), (rev, {**self.files("branches/" + b), "file": b}, "branches/" + b))

    def test_4_6_5_a_folder_without_a_layout_is_one_branch(self):
        self.d.wait_looked("flat")
        rev = self.flat.commit({"manual/file": "new"}, branch="")
        self.flat.commit({"other/file": "nobody's"}, branch="")
        after = self.flat.commit({"manual/file": "newer"}, branch="")
        self.assertEqual(self.builds(self.told(rev, project="flat"), project="flat"), (rev, {"file": "new"}))
        self.assertEqual(self.builds(self.told(after, project="flat"), project="flat"), (after, {"file": "newer"}))
        self.assertEqual(self.told(after, project="flat")["files"], ["file"])
        self.assertEqual(len(self.changes("flat")), 2)
        self.assertIn("layout: folder", wait_for(lambda: self.project("wrong")["trouble"], "what is wrong with the other one"))

    def test_4_6_6_a_silent_server_delays_no_other(self):
        self.d.wait_looked("p")
        self.assertTrue(self.told(self.repo.commit({"file": "not delayed"})))
        p = self.project("mute")
        self.assertTrue(p["looked"] is None)

    def test_4_6_7_nothing_of_an_earlier_build_is_left(self):
        """Its folder is spoilt in each way; a build by hand, of the tip and of a revision of the past."""
        self.d.wait_looked("site")
        self.assertEqual(self.tree(self.d.run("site/b", branch="trunk"), "site")[1].get("new/deep/x"), None)
        rev = self.repo.commit({"new/deep/x": "versioned now", "y": "too"})
        b = self.d.run("site/b", branch="trunk")
        got = self.tree(b, "site")
        self.assertEqual((got[0], got[1]["new/deep/x"], got[1]["y"], got[1]["file"] != "spoilt"), (rev, "versioned now", "too", True))
        gone = self.repo.commit({}, remove=["new/deep/x", "y"])
        self.assertNotIn("y", self.tree(self.d.run("site/b", branch="trunk"), "site")[1])
        self.assertEqual(self.tree(self.d.run("site/b", branch="trunk", revision=rev), "site")[:2], (rev, got[1]))
        self.assertEqual(self.tree(self.d.run("site/b"), "site")[0], gone, "without a branch: trunk")
        a = self.d.api("POST", "/builds", {"builder": "site/b", "branch": "trunk", "revision": "0123456789abcdef0123456789abcdef01234567"})
        self.assertEqual((a.status, a.json["error"]["help"]), (400, "a number"))

    def test_4_6_8_what_is_told_by_others(self):
        self.d.wait_looked("site")
        rev = self.repo.commit({"file": "told"})
        body = {"project": "site", "branch": "trunk", "revision": rev, "author": "bob", "files": ["file"]}
        c = self.d.post("/changes", body, 201)
        self.assertEqual(self.d.post("/changes", body, 200), {"change": c["change"], "new": False})
        self.assertEqual(self.builds(self.told(rev, project="site"), project="site")[:2], (rev, {**self.files(), "file": "told"}))
        for bad in ("abcdef0", "0", "-1", "2147483648", "1:HEAD", "HEAD"):
            self.assertEqual(self.d.api("POST", "/changes", {**body, "revision": bad}).status, 400, bad)
        a = self.d.api("POST", "/try", {"project": "site", "branch": "trunk", "revision": rev, "patch": "eA=="})
        self.assertEqual(a.status, 400)
        self.assertIn("git repository only", a.json["error"]["message"])

    def test_4_6_9_a_rerun_is_of_the_same_tree(self):
        self.d.wait_looked("p")
        first = self.told(self.repo.commit({"file": "to be built again"}))
        b = self.built(first)
        self.builds(self.told(self.repo.commit({"file": "later"})))
        made = self.d.post(f"/builds/{b['id']}/rerun", {}, 201)
        r = self.d.wait_request(made["requests"][0])
        self.assertEqual(self.tree(self.d.get("/builds/" + r["builds"][-1]), "p")[1]["file"], "to be built again")

    def test_4_6_15_a_hook_tells_what_was_committed(self):
        """docs/post-commit.svn.sh, in a repository that the poller does not look at again."""
        self.d.wait_looked("hooked")
        hook = self.d.path("hooked", "hooks", "post-commit")
        with open(self.d.path("hooked", "hooks", "drover.projects"), "w") as f:
            f.write("hooked\n")
        os.symlink(os.path.join(TOP, "docs/post-commit.svn.sh"), hook + ".svn.sh")
        with open(hook, "w") as f:
            f.write(f"#!/bin/sh\nPATH={BUILD}:/usr/bin:/bin DROVER_SOCKET={self.d.path('api.sock')}\nexport PATH DROVER_SOCKET\nexec sh {self.d.path('hooked', 'hooks')}/post-commit.svn.sh \"$@\"\n")
        os.chmod(hook, 0o755)
        rev = self.hooked.commit({"file": "x", "dir/y": "y"}, "it's \"told\" $HOME", who="bob")
        c = self.told(rev, project="hooked")
        self.assertEqual((c["author"], c["message"], c["told_by"]), ("bob", "it's \"told\" $HOME", "change send"))
        self.assertEqual(self.built(c)["result"], 0)
        self.assertEqual(self.told(self.hooked.copy("trunk", "branches/1.x"), "branches/1.x", "hooked")["told_by"], "change send")


class Killed(SvnCase):
    WANTED = {"site"}  # nothing else that checks out

    def test_4_6_10_a_worker_killed_in_the_middle_of_a_checkout(self):
        """The next checkout in that folder, half or locked as it may be, is whole."""
        d = self.d
        d.wait_looked("site")
        self.repo.commit({f"many/{i:03d}/{k}": "x" * 2000 for i in range(20) for k in range(20)})
        self.repo.commit({"file": "behind many"})
        rid = d.ask("site/b", branch="trunk")
        got = self.killed_in_checkout(rid, "site")
        self.assertEqual((got[1]["file"], sum(n.startswith("many/") for n in got[1])), ("behind many", 400))


if __name__ == "__main__":
    unittest.main()
