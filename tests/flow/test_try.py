#!/usr/bin/env python3
"""drover try: what is here and not pushed yet, built by a real worker from a real clone; and what is refused."""
import base64
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, git, make_repo, wait_for  # noqa: E402

SUCCESS, FAILURE = 0, 2
PIPELINE = """builders:
  show: {steps: [{name: show, run: "cat word; ls; cat bin 2>/dev/null | od -An -c | head -2; cat new 2>/dev/null || true"}]}
  dist: {needs: show, steps: [{name: dist, run: "cat word"}]}
  other: {checkout: none, steps: ["true"]}
  late: {steps: [{name: wait, run: "while [ -e @/hold ]; do sleep 0.02; done"}, checkout, {name: late, run: cat word}]}
schedulers: {commits: {change: {branches: main}, builders: show}}
"""


class Try(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 2}}

    @classmethod
    def prepare(cls):
        cls.bare, cls.work = cls.d.path("repo"), cls.d.path("clone")
        make_repo(cls.d.path("first"), {".drover.yml": PIPELINE.replace("@", cls.d.root), "word": "as pushed\n", "latin": "a\n"})
        git(cls.d.root, "clone", "-q", "--bare", cls.d.path("first"), cls.bare)
        git(cls.d.root, "clone", "-q", cls.bare, cls.work)
        cls.d.configure(projects={"p": {"git": cls.bare, "poll": "1h"}})

    def setUp(self):
        self.d.wait_looked("p")
        git(self.work, "reset", "-q", "--hard", "origin/main")
        git(self.work, "clean", "-qfd")

    def write(self, name, data):
        with open(os.path.join(self.work, name), "wb") as f:
            f.write(data)

    def cli(self, *argv, code=0, cwd=None, stdin=None):
        p = subprocess.run([f"{BUILD}/drover", "try", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock"), "GIT_CONFIG_GLOBAL": "/dev/null"}, cwd=cwd or self.work,
                           input=stdin, capture_output=True, timeout=60)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return (p.stdout + p.stderr).decode("utf-8", "replace")

    def newest(self, builder="show"):
        b = self.d.get(f"/builds?builder=p/{builder}&limit=1")["items"][0]
        return b, self.d.log(b["id"], builder).decode("utf-8", "replace")

    def test_what_is_not_pushed(self):
        """A commit, a change that is not committed, a binary file, bytes that are not UTF-8; from a folder below the top."""
        self.write("word", b"committed here\n")
        self.write("bin", bytes(range(256)) * 40)
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "-m", "not pushed")
        self.write("latin", b"gr\xfc\xdfe\n")
        self.write("new", b"unknown to git\n")
        os.makedirs(os.path.join(self.work, "sub"), exist_ok=True)
        out = self.cli("--wait", "--reason", "before I push", cwd=os.path.join(self.work, "sub"))
        self.assertIn("left out  1 file that git does not know", out)
        b, log = self.newest()
        self.assertEqual((b["result"], b["branch"], b["revision"]), (SUCCESS, "main", git(self.work, "rev-parse", "origin/main")))
        self.assertRegex(b["reason"], "^tried by .+: before I push$")
        self.assertTrue(log.startswith("committed here\n"), log)
        self.assertIn("\\0 001 002", log)
        self.assertNotIn("unknown to git", log)
        checkout = self.d.get("/builds/" + b["id"])["steps"][0]
        self.assertEqual((checkout["summary"], [t["state"] for t in checkout["trail"]][-2:]), (b["revision"][:12] + " and a patch", ["revision", "patch"]))
        request = self.d.get("/requests/" + b["request"])
        s = self.d.get("/buildsets/" + request["buildset"])
        patch = self.d.api("GET", f"/buildsets/{s['id']}/patch")
        self.assertEqual((patch.status, patch.headers["Content-Type"], len(patch.body)), (200, "text/plain; charset=utf-8", s["patch"]["bytes"]))
        self.assertIn(b"+gr\xfc\xdfe", patch.body)
        self.assertIn("on top of it", subprocess.run([f"{BUILD}/drover", "show", s["id"]], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, capture_output=True, text=True, check=True).stdout)
        # The next build in that folder has nothing of it, a rerun has all of it, and what was tried is not what was pushed.
        plain = self.d.run("p/show", branch="main")
        self.assertTrue(self.d.log(plain["id"], "show").startswith(b"as pushed\n"))
        self.assertNotIn(b"bin", self.d.log(plain["id"], "show"))
        again = self.d.post(f"/builds/{b['id']}/rerun", {}, 201)["requests"][0]
        again = self.d.get("/builds/" + self.d.wait_request(again)["builds"][0])
        self.assertTrue(self.d.log(again["id"], "show").startswith(b"committed here\n"))

    def test_needs_of_what_is_tried(self):
        """What was good without the patch is not good with it; with the same patch it is."""
        self.d.run("p/show", branch="main")
        self.write("word", b"tried\n")
        n = lambda: len(self.d.get("/builds?builder=p/show&limit=100")["items"])
        before = n()
        self.cli("dist", "-w")
        self.assertEqual((n(), self.newest("dist")[1]), (before + 1, "tried\n"))
        self.cli("p/dist", "-w")
        self.assertEqual(n(), before + 1)

    def test_a_patch_that_does_not_apply(self):
        self.write("word", b"x\n")
        diff = subprocess.run(["git", "-C", self.work, "diff"], capture_output=True, check=True).stdout.replace(b"-as pushed", b"-something else")
        out = self.cli("--patch", "-", "--branch", "main", "--revision", git(self.work, "rev-parse", "origin/main"), "--project", "p", "-f", code=1, stdin=diff, cwd="/")
        self.assertIn("the patch does not apply to " + git(self.work, "rev-parse", "origin/main")[:12], out)
        self.assertIn("error: patch failed: word:1", out)

    def test_a_patch_cannot_leave_the_tree(self):
        at = git(self.work, "rev-parse", "origin/main")
        for path in ("../../escaped", ".git/hooks/post-checkout", "/var/lib/escaped"):
            diff = f"diff --git a/{path} b/{path}\nnew file mode 100755\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+x\n".encode()
            out = self.cli("--patch", "-", "-b", "main", "-r", at, "-f", code=1, stdin=diff, cwd="/")
            self.assertIn("the patch does not apply", out)
        self.assertEqual([x for top, _, names in os.walk(self.d.root) for x in names if x == "escaped"], [])

    def test_what_is_refused(self):
        self.assertIn("nothing differs from ", self.cli(code=2))
        self.write("word", b"y\n")
        for argv, says in (([], None), (["--branch", "side"], "no scheduler of project p builds commits on branch side"), (["nothing"], "project p has no builder nothing at that revision"),
                           (["q/show"], "there is no project q"), (["p/show", "q/show"], "q/show is not of project p"), (["--revision", "zz"], "git does not tell"), (["--patch", "/no/such/file"], "No such file")):
            if says:
                self.assertIn(says, self.cli(*argv, code=2))
        git(self.work, "checkout", "-q", "-b", "alone")
        self.assertIn("follows none at a remote", self.cli(code=2))
        git(self.work, "checkout", "-q", "main")
        at, word = git(self.work, "rev-parse", "origin/main"), base64.b64encode(b"--- a/word\n").decode()
        good = {"project": "p", "branch": "main", "revision": at, "patch": word}
        for change, status in (({"patch": "%%%%"}, 400), ({"patch": ""}, 400), ({"patch": base64.b64encode(b"a\0b").decode()}, 400), ({"patch": "QQ="}, 400), ({"revision": ""}, 400), ({"revision": "--x"}, 400),
                               ({"branch": "-x"}, 400), ({"level": 10}, 400), ({"level": 1.5}, 400), ({"level": "1"}, 400), ({"builders": "show"}, 400), ({"builders": ["a b"]}, 400), ({"project": "none"}, 404),
                               ({"properties": [1]}, 400), ({"patch": "A" * (4 << 20) + "AAAA" * 100000}, 413)):
            a = self.d.api("POST", "/try", {**good, **change})
            self.assertEqual(a.status, status, (str(change)[:100], a.body))
        large = base64.b64encode(b"x" * (3 << 20)).decode()
        self.assertEqual(self.d.api("POST", "/try", {**good, "patch": large, "builders": ["other"]}).status, 201)

    def test_kill_in_between(self):
        """A master that dies in a build whose patch is still to be applied: the next one goes on, with the same patch."""
        self.write("word", b"over a kill\n")
        open(self.d.path("hold"), "w").close()
        p = subprocess.Popen([f"{BUILD}/drover", "try", "late", "--wait"], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock"), "GIT_CONFIG_GLOBAL": "/dev/null"}, cwd=self.work,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: [s for b in self.d.get("/builds?builder=p/late")["items"] for s in self.d.get("/builds/" + b["id"])["steps"] if s["name"] == "wait"], "the first step")
        self.d.kill_master()
        self.d.start_master()
        os.unlink(self.d.path("hold"))
        self.assertEqual(p.wait(2 * DEADLINE_S), 0)
        b, log = self.newest("late")
        self.assertEqual((b["attempt"], log), (1, "over a kill\n"))


if __name__ == "__main__":
    unittest.main()
