#!/usr/bin/env python3
"""Keys, tokens and passwords of checkouts: real servers of git, which the workers' checkouts get through to and nobody else does. What is secret goes to its own server only, and is gone with the command."""
import base64
import functools
import glob
import os
import secrets
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, commit, free_port, git, make_repo, read, slow, wait_for  # noqa: E402
from gitserve import GitHttp, Sshd, basic, fingerprint, make_key  # noqa: E402
from hooks import Hooked, github  # noqa: E402
from vcsserve import BasicGate, Hg, HgServe, Svn, SvnServe  # noqa: E402

SUCCESS, FAILURE, EXCEPTION = 0, 2, 4
TOKEN, PASSWORD = "glpat-" + secrets.token_hex(10), "p:ss%w/rd @1"  # nobody else's: it is looked for where other tests have theirs
# What a step finds of what its checkout had: it can't reach the server.
LOOK = 'cat word; env; cat .git/config; ls -a ~; GIT_TERMINAL_PROMPT=0 git ls-remote "$(git config remote.origin.url)" && echo it got through || echo it can not'


class Slow:
    """What a server thinks about while it is held."""

    def __init__(self, wants):
        self.wants, self.go = wants, threading.Event()
        self.go.set()

    def __call__(self, given):
        if given:
            self.go.wait(DEADLINE_S)
        return self.wants(given)


def add_module(repo, name, url, revision):
    git(repo, "config", "-f", ".gitmodules", f"submodule.{name}.path", name)
    git(repo, "config", "-f", ".gitmodules", f"submodule.{name}.url", url)
    git(repo, "add", ".gitmodules")
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{revision},{name}")


class Checkouts(Case):
    PROJECTS = {}
    WORKERS = {"here": {"slots": 4}}

    @classmethod
    def prepare(cls):
        d = cls.d
        for name in ("id", "rsa", "other", "host", "host2"):
            make_key(d.path(name), "rsa" if name == "rsa" else "ed25519")
        d.write_token(d.path("token"), TOKEN + "\n")
        d.write_token(d.path("password"), PASSWORD + "\n")
        cls.revision = make_repo(d.path("repo"), {"word": "secret words\n"})
        make_repo(d.path("part"), {"word": "a part\n"})
        cls.sshd = Sshd(d, d.path("host"), [d.path("id"), d.path("rsa")])
        cls.sshd2 = Sshd(d, d.path("host2"), [d.path("id")], name="sshd2")
        cls.gate = Slow(lambda a: a == basic("x-access-token", TOKEN))
        cls.basic = GitHttp(d.root, cls.gate)
        cls.named = GitHttp(d.root, lambda a: a == basic("ann e", PASSWORD))
        cls.bearer = GitHttp(d.root, lambda a: a == "Bearer " + TOKEN)
        cls.thief = GitHttp(d.root, lambda a: False)
        cls.open_thief = GitHttp(d.root)

        def elsewhere(server, name):
            return server.url(name).replace("127.0.0.1", "localhost")
        cls.leads = GitHttp(d.root, lambda a: a == basic("x-access-token", TOKEN), {"/away": elsewhere(cls.thief, "repo"), "/there": "/repo"})
        cls.leads_bearer = GitHttp(d.root, lambda a: a == "Bearer " + TOKEN, {"/away": elsewhere(cls.open_thief, "repo")})
        part = git(d.path("part"), "rev-parse", "HEAD")
        cls.modules = {}
        for name, urls in (("same", ("../part",)), ("far", ("../part", elsewhere(cls.thief, "part"))), ("far-bearer", ("../part", elsewhere(cls.open_thief, "part"))),
                           ("far-ssh", ("../part", cls.sshd2.url(d.path("part"))))):
            repo = d.path("modules-" + name)
            make_repo(repo, {"word": "with modules\n"})
            for i, url in enumerate(urls):
                add_module(repo, f"m{i}", url, part)
            git(repo, "commit", "-q", "-m", "modules")
            cls.modules[name] = git(repo, "rev-parse", "HEAD")
        ssh, pin = cls.sshd.url(d.path("repo")), fingerprint(d.path("host"))
        key, token, bearer = {"file": d.path("id")}, {"file": d.path("token")}, {"file": d.path("token"), "as": "bearer"}
        projects = {
            "key": {"git": ssh, "key": key, "host_keys": ["SHA256:" + "A" * 43, pin]},
            "short-form": {"git": cls.sshd.url(d.path("repo")), "key": "deploy-key", "host_keys": [pin]},
            "rsa": {"git": ssh, "key": {"file": d.path("rsa")}, "host_keys": [pin]},
            "token": {"git": cls.basic.url("repo"), "token": token},
            "stored": {"git": cls.basic.url("repo"), "token": "stored-token"},
            "password": {"git": cls.named.url("repo"), "user": "ann e", "password": {"file": d.path("password")}},
            "bearer": {"git": cls.bearer.url("repo"), "token": bearer},
            "elsewhere": {"git": ssh, "key": "vault-key", "host_keys": [pin]},
            "stranger": {"git": ssh, "key": {"file": d.path("other")}, "host_keys": [pin]},
            "changed": {"git": ssh, "key": key, "host_keys": [fingerprint(d.path("other"))]},
            "wrong": {"git": cls.named.url("repo"), "token": token},
            "led": {"git": cls.leads.url("away"), "token": token},
            "led-within": {"git": cls.leads.url("there"), "token": token},
            "led-bearer": {"git": cls.leads_bearer.url("away"), "token": bearer},
            "same": {"git": cls.basic.url("modules-same"), "token": token},
            "same-bearer": {"git": cls.bearer.url("modules-same"), "token": bearer},
            "same-ssh": {"git": cls.sshd.url(d.path("modules-same")), "key": key, "host_keys": [pin]},
            "far": {"git": cls.basic.url("modules-far"), "token": token},
            "far-bearer": {"git": cls.bearer.url("modules-far-bearer"), "token": bearer},
            "far-ssh": {"git": cls.sshd.url(d.path("modules-far-ssh")), "key": key, "host_keys": [pin]},
        }
        for name, p in projects.items():
            how = {"checkout": {"submodules": True}} if name.startswith(("same", "far")) else {}
            show = "cat word; cat m*/word" if how else LOOK
            p.update(poll="1h", builders={"b": {**how, "steps": [{"name": "look", "run": show}]}}, schedulers={"none": {"force": {}}})
        # of the pipeline's environment nothing gets to who has a token: where this did, there would be no git-remote-http
        projects["token"]["builders"]["b"].update(env={"GIT_EXEC_PATH": "/nonexistent"}, steps=[{"name": "look", "run": "unset GIT_EXEC_PATH; " + LOOK}])
        d.configure(projects=projects, secrets={"deploy-key": {"file": d.path("id")}, "stored-token": {"store": True}, "vault-key": {"file": d.path("id"), "for": {"workers": ["vault*"]}}})

    @classmethod
    def tearDownClass(cls):
        for s in (cls.sshd, cls.sshd2, cls.basic, cls.named, cls.bearer, cls.thief, cls.open_thief, cls.leads, cls.leads_bearer):
            s.close()
        super().tearDownClass()

    def build(self, name, revision=None, **more):
        return self.d.run(f"{name}/b", branch="main", revision=revision or self.revision, **more)

    def good(self, name, revision=None):
        b = self.build(name, revision)
        self.assertEqual(b["result"], SUCCESS, (name, b["steps"], self.log(b)))
        return b

    def log(self, b):
        return {s["name"]: [self.d.log(b["id"], s["name"])[-600:]] for s in b["steps"] if s["commands"]}

    def bad(self, name, *words, revision=None, result=FAILURE):
        b = self.build(name, revision)
        self.assertEqual((b["result"], b["steps"][0]["result"]), (result, result), (b["steps"], self.log(b)))
        for w in words:
            self.assertIn(w, b["steps"][0]["summary"])
        return b

    @functools.cache
    def needles(self):
        d = self.d
        made = [TOKEN, PASSWORD, *(base64.b64encode(f"{u}:{p}".encode()).decode() for u, p in (("x-access-token", TOKEN), ("ann e", PASSWORD)))]
        return [x.encode() for x in made] + [line for name in ("id", "rsa") for line in read(d.path(name)).split(b"\n")[1:4]]

    # ---- what works ----

    def test_checkouts_get_through_and_steps_do_not(self):
        subprocess.run([f"{BUILD}/drover", "secret", "set", "stored-token"], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, input=TOKEN.encode() + b"\n", check=True, stdout=subprocess.DEVNULL)
        for name in ("key", "short-form", "rsa", "token", "stored", "password", "bearer"):
            for again in (False, True) if name in ("key", "token", "bearer") else (False,):
                b = self.good(name)
                said = self.d.log(b["id"], "look").decode()
                self.assertIn("secret words\n", said)
                self.assertIn("it can not\n", said)
                self.assertEqual(b["got_revision"], self.revision)
                for word in ("DROVER_SSH", "DROVER_LOGIN", "GIT_SSH_COMMAND", "helper", "extraHeader", ".git-credentials"):
                    self.assertNotIn(word, said)
                names = [c["name"] for c in b["steps"][0]["commands"]]
                self.assertEqual("fetch" in names, again, names)

    def test_what_is_tried_is_checked_out_too(self):
        """Somebody else's code: steps of it get no secrets, and the checkout is none of its steps."""
        patch = "--- a/word\n+++ b/word\n@@ -1 +1 @@\n-secret words\n+tried\n"
        a = self.d.post("/try", {"project": "token", "branch": "main", "revision": self.revision, "patch": base64.b64encode(patch.encode()).decode(), "builders": ["b"]}, 201)
        b = self.d.get("/builds/" + self.d.wait_request(a["requests"][0])["builds"][0])
        said = self.d.log(b["id"], "look").decode()
        self.assertIn("tried\n", said)
        self.assertIn("it can not\n", said)

    def test_submodules_of_the_same_server(self):
        for name in ("same", "same-bearer", "same-ssh"):
            b = self.good(name, self.modules["same"])
            self.assertEqual(self.d.log(b["id"], "look").decode(), "with modules\na part\n")

    def test_led_within_the_server(self):
        self.good("led-within")

    # ---- what goes nowhere else ----

    def test_submodules_of_another_server_get_nothing(self):
        self.bad("far", "git submodules failed", revision=self.modules["far"])
        self.assertTrue(self.thief.asked)
        self.good("far-bearer", self.modules["far-bearer"])
        self.assertTrue(self.open_thief.asked)
        self.assertEqual({given for s in (self.thief, self.open_thief) for _, given in s.asked}, {None})
        self.bad("far-ssh", "git submodules failed", revision=self.modules["far-ssh"])
        self.assertNotIn(b"publickey", read(self.d.path("sshd2.log")))

    def test_redirections_to_another_server_get_nothing(self):
        self.bad("led")
        self.assertTrue(any("repo" in path for path, _ in self.thief.asked))
        self.bad("led-bearer")
        self.assertEqual({given for s in (self.thief, self.open_thief) for _, given in s.asked} - {None}, set())

    def test_another_server_in_the_build(self):
        """What was asked for before the repository moved has the address of then, and the login is for the server of now."""
        b = self.good("password")
        self.d.sql(f"update sourcestamp set repository = '{self.thief.url('repo').replace('127.0.0.1', 'localhost')}' where id in (select sourcestamp from buildset where id in (select buildset from build_request where id = {b['request'][1:]}))")
        try:
            r = self.d.post(f"/builds/{b['id']}/rerun", {}, 201)
            again = self.d.get("/builds/" + self.d.wait_request(r["requests"][0])["builds"][-1])
            self.assertEqual(again["result"], FAILURE)
            self.assertEqual({given for _, given in self.thief.asked}, {None})
        finally:
            self.d.sql(f"update sourcestamp set repository = '{self.named.url('repo')}' where repository like '%localhost%'")

    # ---- what is refused ----

    def test_refused(self):
        b = self.bad("stranger", "the key of stranger was refused; git says: ", "Permission denied (publickey)")
        self.assertEqual([c["name"] for c in b["steps"][0]["commands"]], ["clone"], "the tree is not to blame")
        self.bad("changed", "the key of changed was refused; git says: the host key of [127.0.0.1]:", fingerprint(self.d.path("host")), "which is none of host_keys")
        self.bad("wrong", "the token of wrong was refused; git says: fatal: Authentication failed")
        self.bad("elsewhere", 'the secret "vault-key" is only for workers vault*, and this is here', result=EXCEPTION)

    # ---- nothing of them is anywhere ----

    def test_nothing_is_left(self):
        d = self.d
        self.good("key")
        self.gate.go.clear()
        rid = d.ask("token/b", branch="main", revision=self.revision)
        files = wait_for(lambda: [f for f in glob.glob("/dev/shm/.drover-secret-*/drover.login") if TOKEN.encode() in read(f)], "the token on the worker")
        self.assertEqual([os.stat(f).st_mode & 0o777 for f in files], [0o600])
        wait_for(lambda: any(b"git-remote-http" in read(f"/proc/{p}/cmdline") for p in d.ours()), "git at the server")
        for p in d.ours():
            argv = read(f"/proc/{p}/cmdline")
            for n in self.needles():
                self.assertNotIn(n, argv)
                self.assertNotIn(n, read(f"/proc/{p}/environ"))
        self.gate.go.set()
        b = d.get("/builds/" + d.wait_request(rid)["builds"][0])
        self.assertEqual(b["result"], SUCCESS, self.log(b))
        self.assertFalse(os.path.exists(files[0]))
        dump = subprocess.run(["pg_dump", "-h", d.lock_file()[4], "-U", "drover", "drover"], stdout=subprocess.PIPE, check=True, cwd="/").stdout
        for n in self.needles():
            self.assertNotIn(n, dump)
        for folder in (d.path("state"), d.path("work-here")):
            for top, _, names in os.walk(folder):
                for name in names:
                    self.looked_through(os.path.join(top, name))
        for name in os.listdir(d.root):
            if name.endswith((".log", ".yaml")):
                self.looked_through(d.path(name))

    def looked_through(self, path):
        data = read(path) if os.path.isfile(path) else b""  # a pipe would be waited for
        for n in self.needles():
            self.assertNotIn(n, data, path)


class Forks(Hooked):
    """Pull requests from forks: code that the repository's owners have not looked at."""
    PROJECTS = {}
    PROJECT = {"poll": "1h", "forks": "build", "builders": {"b": {"steps": [{"name": "look", "run": LOOK}]}}, "schedulers": {"review": {"pull_request": {}}}}

    @classmethod
    def prepare(cls):
        super().prepare()
        d = cls.d
        d.write_token(d.path("token"), TOKEN + "\n")
        cls.server = GitHttp(d.root, lambda a: a == basic("x-access-token", TOKEN))
        commit(d.path("repo"), {"word": "secret words\n"}, "words")
        git(d.path("repo"), "checkout", "-q", "-b", "theirs")
        cls.theirs = commit(d.path("repo"), {"word": "their words\n"}, "theirs")
        git(d.path("repo"), "checkout", "-q", "main")
        git(d.path("repo"), "update-ref", "refs/pull/7/head", cls.theirs)
        git(d.path("repo"), "branch", "-q", "-D", "theirs")
        projects = d.conf["projects"]
        projects["p"].update(git=cls.server.url("repo"), token={"file": d.path("token")})
        d.configure(projects=projects)

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        super().tearDownClass()

    def test_their_checkout_gets_through_their_steps_do_not(self):
        body = {"action": "opened", "number": 7, "repository": {"full_name": "o/r"},
                "pull_request": {"number": 7, "title": "t", "user": {"login": "bob"}, "html_url": "https://f.example.org/7", "base": {"ref": "main", "repo": {"id": 1}},
                                 "head": {"ref": "feature", "sha": self.theirs, "repo": {"id": 2, "full_name": "b/r", "clone_url": "https://f.example.org/x"}}}}
        self.deliver(*github(body, "pull_request"), project="p")
        b = wait_for(lambda: next((b for b in self.builds(self.theirs, "p") if b["state"] == "done"), None), "the build of the pull request")
        self.assertEqual(b["result"], SUCCESS, b)
        said = self.d.log(b["id"], "look").decode()
        self.assertIn("their words\n", said)
        self.assertIn("it can not\n", said)
        # what they left in the tree is not where the next credential is used
        for again, first in ((False, "wipe"), (True, "fetch")):
            b = self.d.run("p/b", branch="main")
            self.assertEqual((b["result"], [t["state"] for t in b["steps"][0]["trail"]][1]), (SUCCESS, first), (again, b["steps"]))


@slow
class Others(Case):
    """Subversion and Mercurial, each by its own server: the master's looks, and the workers' checkouts."""
    PROJECTS = {}
    WORKERS = {"here": {"slots": 4}}
    PIPELINE = "steps: [{name: look, run: 'cat word; env; ls -a ~'}]\n"

    @classmethod
    def prepare(cls):
        d = cls.d
        for name in ("id", "rsa", "other", "host"):
            make_key(d.path(name), "rsa" if name == "rsa" else "ed25519")
        d.write_token(d.path("password"), PASSWORD + "\n")
        d.write_token(d.path("bad"), "not the password\n")
        files = {".drover.yml": cls.PIPELINE, "word": "one\n"}
        cls.svn = Svn(d.path("svn"))
        cls.svn.commit(files)
        cls.svn.only_for(ann=PASSWORD)
        cls.svnserve = SvnServe(d, d.root)
        cls.hg = Hg(d.path("hg"))
        cls.hg.commit(files)
        cls.hgserve = HgServe(d, d.path("hg"))
        cls.gate = BasicGate(cls.hgserve.port, lambda a: a == basic("ann", PASSWORD))
        cls.thief = BasicGate(cls.hgserve.port, lambda a: False)
        cls.leads = BasicGate(cls.hgserve.port, lambda a: a == basic("ann", PASSWORD), {"/": cls.thief.url("localhost")})
        cls.svn_leads = BasicGate(cls.hgserve.port, lambda a: False, {"/svn": cls.thief.url("localhost") + "svn"})
        cls.repo = d.path("git")
        make_repo(cls.repo, files)
        cls.sshd = Sshd(d, d.path("host"), [d.path("id"), d.path("rsa")])
        pin, password = [fingerprint(d.path("host"))], {"user": "ann", "password": {"file": d.path("password")}}
        svn, hg, git_ssh = cls.svnserve.url("svn"), cls.gate.url(), cls.sshd.url(cls.repo)
        ssh = cls.sshd.url("/" + d.path("hg"))  # with two slashes it is no place below the home
        projects = {
            "svn": {"svn": svn, **password},
            "svn-wrong": {"svn": svn, "user": "ann", "password": {"file": d.path("bad")}},
            "svn-none": {"svn": svn},
            "svn-led": {"svn": cls.svn_leads.url() + "svn", **password, "builders": {"b": {"steps": ["true"]}}},
            "away": {"git": f"http://127.0.0.1:{free_port()}/x"},
            "hg": {"hg": hg, **password, "category": "vendor"},
            "hg-wrong": {"hg": hg, "user": "ann", "password": {"file": d.path("bad")}},
            "hg-led": {"hg": cls.leads.url(), **password},
            "hg-ssh": {"hg": ssh, "key": "deploy-key", "host_keys": pin},
            "hg-stranger": {"hg": ssh, "key": {"file": d.path("other")}, "host_keys": pin},
            "hg-changed": {"hg": ssh, "key": {"file": d.path("id")}, "host_keys": [fingerprint(d.path("other"))]},
            "git-rsa": {"git": git_ssh, "key": {"file": d.path("rsa")}, "host_keys": pin, "category": "vendor"},
            "git-rsa-unpinned": {"git": git_ssh, "key": {"file": d.path("rsa")}},
        }
        d.configure(projects={k: {"poll": "2s", **v} for k, v in projects.items()}, secrets={"deploy-key": {"file": d.path("id")}}, helpers=16)

    @classmethod
    def tearDownClass(cls):
        for s in (cls.svnserve, cls.hgserve, cls.gate, cls.thief, cls.leads, cls.svn_leads, cls.sshd):
            s.close()
        super().tearDownClass()

    def trouble(self, name):
        return wait_for(lambda: next(p for p in self.d.get("/projects")["items"] if p["name"] == name)["trouble"], f"{name}'s trouble")

    def built(self, project, revision):
        """The build that the poller's change made, and that change."""
        c = wait_for(lambda: next((c for c in self.d.get(f"/changes?project={project}&limit=50")["items"] if c["revision"] == revision and c["state"] != "reading"), None), f"{revision} of {project}")
        c = self.d.get("/changes/" + c["id"])
        self.assertEqual([v["verdict"] for v in c["verdicts"]], ["builds"], c)
        r = self.d.wait_request(self.d.get("/buildsets/" + c["verdicts"][0]["buildset"])["requests"][0]["id"])
        b = self.d.get("/builds/" + r["builds"][-1])
        self.assertEqual(b["result"], SUCCESS, (b["steps"], [self.d.log(b["id"], s["name"])[-500:] for s in b["steps"] if s["commands"]]))
        return b, c

    def through(self, *projects, commit):
        """A look, a checkout where nothing was, and one where something was."""
        self.d.wait_looked(*projects)
        for word in ("two\n", "three\n"):
            revision = commit({"word": word})
            for p in projects:
                b, c = self.built(p, revision)
                said = self.d.log(b["id"], "look").decode()
                self.assertTrue(said.startswith(word), said)
                for name in ("DROVER_SSH", "DROVER_LOGIN", "HGRCPATH", "hgrc"):
                    self.assertNotIn(name, said)
        return c

    def test_subversion(self):
        self.through("svn", commit=self.svn.commit)
        self.assertIn("the server does not take the project's user or password", self.trouble("svn-wrong"))
        self.assertIn("the server asks for credentials, and none are set for this address", self.trouble("svn-none"))

    def test_mercurial(self):
        self.assertEqual(self.through("hg-ssh", "hg", commit=self.hg.commit)["category"], "vendor")
        self.assertIn("the server does not take the project's user or password", self.trouble("hg-wrong"))
        self.assertIn("the server does not take the project's key", self.trouble("hg-stranger"))
        self.assertEqual(self.trouble("hg-changed"), f"the host key of 127.0.0.1 is {fingerprint(self.d.path('host'))}, which is none of the project's host_keys: it was changed, or somebody else answers")

    def test_a_password_is_for_one_server(self):
        self.trouble("hg-led")
        wait_for(lambda: self.thief.asked, "who is led there")
        self.assertIn("it redirects to another address", self.trouble("svn-led"))
        b = self.d.run("svn-led/b", branch="trunk", revision="7")
        self.assertEqual((b["result"], b["steps"][0]["summary"]), (FAILURE, "the password of svn-led was refused; svn says: the repository is led elsewhere, and no password goes there"))
        self.assertTrue([path for path, _ in self.thief.asked if path.startswith("/svn")])
        self.assertEqual({given for _, given in self.thief.asked}, {None})

    def test_rsa_goes_by_the_program_git(self):
        def change(files):
            return commit(self.repo, files, "more")
        git(self.repo, "tag", "-a", "-m", "t", "v0")
        self.assertEqual(self.through("git-rsa", commit=change)["category"], "vendor")
        git(self.repo, "checkout", "-q", "-b", "branch/new")
        self.built("git-rsa", change({"word": "four\n"}))
        pin = fingerprint(self.d.path("host"))
        self.assertEqual(self.trouble("git-rsa-unpinned"), f'the host key of 127.0.0.1 is not known; if it is {pin} (ssh-keygen -lf there), write to the project: host_keys: ["{pin}"]')

    def cli(self, *argv):
        return subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout.decode()

    def test_who_has_a_secret(self):
        self.assertEqual([s["repositories"] for s in self.d.get("/secrets")["items"]], [["hg-ssh"]])
        self.assertRegex(self.cli("secret", "list"), r"deploy-key .*repositories of hg-ssh")

    def test_why_tells_a_silent_repository(self):
        self.assertIn("failed to connect", self.trouble("away"))
        self.assertRegex(self.cli("why", "away"), r"repository +away has not answered since .*failed to connect.*never seen so far")
        c = self.d.post("/changes", {"project": "away", "branch": "main", "revision": "a" * 40}, 201)["change"]
        wait_for(lambda: self.d.get("/changes/" + c)["error"], "the first try to read it")
        said = self.cli("why", c)
        self.assertRegex(said, r"main: reading since .*; it can't be read yet: .*failed to connect")
        self.assertRegex(said, r"repository +away has not answered since ")

    def test_nothing_is_left(self):
        """Neither in command lines and environments of helpers, nor on the master's disk or the worker's."""
        d = self.d
        d.wait_looked("svn", "hg", "hg-ssh", "git-rsa")
        needles = [PASSWORD.encode(), base64.b64encode(f"ann:{PASSWORD}".encode()), *(line for name in ("id", "rsa", "other") for line in read(d.path(name)).split(b"\n")[1:3])]
        seen = set()

        def look():
            for p in d.ours():
                argv = read(f"/proc/{p}/cmdline")
                data = argv + read(f"/proc/{p}/environ")
                seen.update(x for x in (b"svn", b"hg", b"ssh", b"ls-remote") if x in [os.path.basename(a) for a in argv.split(b"\0")])
                for n in needles:
                    self.assertNotIn(n, data, argv)
            return len(seen) == 4
        wait_for(look, "each of the programs", every=0.001)
        for folder in (d.path("state"), d.path("work-here")):
            for top, _, names in os.walk(folder):
                for path in (os.path.join(top, name) for name in names):
                    for n in needles if os.path.isfile(path) else ():
                        self.assertNotIn(n, read(path), path)


if __name__ == "__main__":
    unittest.main()
