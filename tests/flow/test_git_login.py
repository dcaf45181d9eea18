#!/usr/bin/env python3
"""Keys and tokens for git: a real sshd, a real smart HTTP server. What is secret is nowhere but where it belongs."""
import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, commit, make_repo, read, wait_for  # noqa: E402
from gitserve import GitHttp, Sshd, basic, fingerprint, make_key  # noqa: E402

TOKEN = "glpat-0123456789abcdefghij"
PIPELINE = "steps: [{run: 'true'}]\n"


class Login(Case):
    PROJECTS = {}

    @classmethod
    def prepare(cls):
        d, made = cls.d, {}
        for name in ("id", "rsa", "rsa-other", "other", "host"):
            make_key(d.path(name), "rsa" if name.startswith("rsa") else "ed25519")
        d.write_token(d.path("token"), TOKEN + "\n")
        d.write_token(d.path("token2"), "not-yet-the-token-0")
        make_repo(d.path("repos"), {".drover.yml": PIPELINE})
        cls.sshd = Sshd(d, d.path("host"), [d.path("id"), d.path("rsa")])
        cls.basic = GitHttp(d.root, lambda a: a == basic("x-access-token", TOKEN))
        cls.deploy = GitHttp(d.root, lambda a: a == basic("deploy-7", TOKEN))
        cls.bearer = GitHttp(d.root, lambda a: a == "Bearer " + TOKEN)
        cls.slow = GitHttp(d.root, lambda a: time.sleep(1))
        cls.thief = GitHttp(d.root)
        cls.leads = GitHttp(d.root, lambda a: a == basic("x-access-token", TOKEN), {"/away": cls.thief.url("repos").replace("127.0.0.1", "localhost")})
        ssh, pin = cls.sshd.url(d.path("repos")), fingerprint(d.path("host"))
        token = {"file": d.path("token")}
        made = {
            "ed25519": {"git": ssh, "key": {"file": d.path("id")}, "host_keys": ["SHA256:" + "A" * 43, pin]},
            "rsa": {"git": ssh, "key": {"file": d.path("rsa")}, "host_keys": [pin]},
            "stranger": {"git": ssh, "key": {"file": d.path("other")}, "host_keys": [pin]},
            "rsa-stranger": {"git": ssh, "key": {"file": d.path("rsa-other")}, "host_keys": [pin]},
            "unpinned": {"git": ssh, "key": {"file": d.path("id")}},
            "changed": {"git": ssh, "key": {"file": d.path("id")}, "host_keys": [fingerprint(d.path("other"))]},
            "keyless": {"git": ssh, "host_keys": [pin]},
            "password": {"git": cls.basic.url("repos"), "token": token},
            "deploy": {"git": cls.deploy.url("repos"), "token": {**token, "user": "deploy-7"}},
            "bearer": {"git": cls.bearer.url("repos"), "token": {**token, "as": "bearer"}},
            "slow": {"git": cls.slow.url("repos"), "token": token},
            "none": {"git": cls.basic.url("repos")},
            "wrong": {"git": cls.deploy.url("repos"), "token": token},
            "renewed": {"git": cls.basic.url("repos"), "token": {"file": d.path("token2")}},
            "led": {"git": cls.leads.url("away"), "token": token},
            "led-bearer": {"git": cls.leads.url("away"), "token": {**token, "as": "bearer"}},
            "free": {"git": cls.leads.url("away")},
        }
        d.configure(projects={k: {"poll": "1s", **v} for k, v in made.items()})

    @classmethod
    def tearDownClass(cls):
        for s in (cls.sshd, cls.basic, cls.deploy, cls.bearer, cls.slow, cls.thief, cls.leads):
            s.close()
        super().tearDownClass()

    def project(self, name):
        return next(p for p in self.d.get("/projects")["items"] if p["name"] == name)

    def trouble(self, name):
        return wait_for(lambda: self.project(name)["trouble"], f"{name}'s trouble")

    # ---- what works ----

    def test_looks_and_reads(self):
        good = ("ed25519", "password", "deploy", "bearer")
        self.d.wait_looked(*good)
        new = commit(self.d.path("repos"), {"a": "b"}, "second")
        for name in good:
            wait_for(lambda: self.d.sql(f"select 1 from change c join project p on p.id = c.project where p.name = '{name}' and revision = '{new}' and state = 'decided'"), f"a change of {name}")
        self.assertEqual(self.d.sql(f"select distinct author, committer, category from change where revision = '{new}'"), [["Ann <ann@example.org>", "Ann <ann@example.org>", ""]])

    def test_rsa(self):
        """By the program git: libssh2 signs with SHA-1 only, which OpenSSH does not take any more."""
        self.d.wait_looked("rsa")
        wait_for(lambda: self.project("rsa")["trouble"] is None, "the master to know that what it stored is stored")

    # ---- what does not ----

    def test_host_keys(self):
        pin = fingerprint(self.d.path("host"))
        self.assertEqual(self.trouble("unpinned"), f'the host key of 127.0.0.1 is not known; if it is {pin} (ssh-keygen -lf there), write to the project: host_keys: ["{pin}"]')
        self.assertEqual(self.trouble("changed"), f"the host key of 127.0.0.1 is {pin}, which is none of the project's host_keys: it was changed, or somebody else answers")
        log = read(self.d.path("sshd.log")).decode()
        self.assertNotIn("Accepted publickey for stranger", log)

    def test_refused(self):
        self.assertIn("the server does not take the project's key", self.trouble("stranger"))
        self.assertIn("can't read from the repository: the server does not take the project's key", self.trouble("rsa-stranger"))
        self.assertIn("credentials", self.trouble("keyless"))
        self.assertIn("the server asks for", self.trouble("none"))
        self.assertIn("the server does not take the project's token", self.trouble("wrong"))

    def test_a_token_is_for_one_host(self):
        self.assertIn("redirect", self.trouble("led"))
        self.assertIn("redirect", self.trouble("led-bearer"))
        self.assertIn("it redirects to another host", self.trouble("free"))
        self.assertEqual(self.thief.asked, [])

    def test_secrets_stay_where_they_are(self):
        """Not in the database, in logs, in what the API tells, in anybody's command line or environment."""
        d = self.d
        self.test_looks_and_reads()
        self.trouble("wrong")
        secrets = [TOKEN, basic("x-access-token", TOKEN).split()[1], read(d.path("id")).decode().split("\n")[2]]
        dump = subprocess.run(["pg_dump", "-h", d.lock_file()[4], "-U", "drover", "drover"], stdout=subprocess.PIPE, check=True, cwd="/").stdout.decode(errors="replace")
        told = {"database": dump, "log": read(d.path("master.log")).decode(errors="replace")}
        for path in ("/projects", "/changes", "/config", "/doctor", "/status"):
            told[path] = d.get(path) and str(d.get(path))
        for where, text in told.items():
            for s in secrets:
                self.assertNotIn(s, text, where)

        def helper():
            return [p for p in read(f"/proc/{d.master.pid}/task/{d.master.pid}/children").split() if b"drover-git-helper" in read(f"/proc/{int(p)}/cmdline")]
        found = wait_for(helper, "a helper that waits for its server", every=0.002)
        for p in found:
            for s in secrets:
                self.assertNotIn(s.encode(), read(f"/proc/{int(p)}/cmdline") + read(f"/proc/{int(p)}/environ"))
        for folder, _, names in os.walk(d.path("state")):
            for name in names:
                data = read(os.path.join(folder, name))
                for s in secrets:
                    self.assertNotIn(s.encode(), data, os.path.join(folder, name))

    # ---- the configuration ----

    def refusals(self, **project):
        path = self.d.path("check.yaml")
        with open(path, "w") as f:
            f.write(__import__("json").dumps({"projects": {"p": project}}))
        p = subprocess.run([f"{BUILD}/drover-master", "--config", path, "--check"], capture_output=True, text=True)
        self.assertNotEqual(p.returncode, 0, p.stdout + p.stderr)
        return p.stdout + p.stderr

    def test_checks(self):
        d = self.d
        opened, locked = d.write_token(d.path("opened"), TOKEN), d.path("locked")
        os.chmod(opened, 0o644)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", locked], check=True)
        https, ssh = "https://git.example.org/p", "git@git.example.org:p"
        for want, project in (
                ("is open to others, its mode is 0644", {"git": https, "token": {"file": opened}}),
                ("a token goes over https only", {"git": "http://git.example.org/p", "token": {"file": d.path("token")}}),
                ("a token goes over https only", {"git": ssh, "token": {"file": d.path("token")}}),
                ("a key is for a repository that is reached by ssh", {"git": https, "key": {"file": d.path("id")}}),
                ("has a passphrase, and nobody is there to type it", {"git": ssh, "key": {"file": locked}}),
                ("there is no private key in", {"git": ssh, "key": {"file": d.path("token")}}),
                ("can't be read: No such file", {"git": ssh, "key": {"file": d.path("nowhere")}}),
                ("a password goes over https only", {"git": "http://git.example.org/p", "user": "ann", "password": {"file": d.path("token")}}),
                ("whose password it is: neither", {"git": https, "password": {"file": d.path("token")}}),
                ('"password" beside "token"', {"git": https, "user": "ann", "password": {"file": d.path("token")}, "token": {"file": d.path("token")}}),
                ('"user" wants "password" beside it', {"git": https, "user": "ann"}),
                ("it is for the user bob, and the URL names ann", {"git": "https://ann@git.example.org/p", "user": "bob", "password": {"file": d.path("token")}}),
                ("Subversion knows no tokens", {"svn": "https://svn.example.org/p", "token": {"file": d.path("token")}}),
                ("a key is for a repository that is reached by ssh", {"svn": "https://svn.example.org/p", "key": {"file": d.path("id")}}),
                ("only git sends a token as a bearer", {"hg": "https://hg.example.org/p", "token": {"file": d.path("token"), "as": "bearer"}}),
                ('wants "key" and "host_keys"', {"hg": "ssh://hg@hg.example.org/p"}),
                ('there is no secret "deploy-kee" in the site\'s configuration', {"git": ssh, "key": "deploy-kee"}),
                ('"secret" beside "file"', {"git": https, "token": {"file": d.path("token"), "secret": "x"}}),
                ("it says neither a file nor a secret", {"git": https, "token": {"as": "bearer"}}),
                ("this is no fingerprint of a host key", {"git": ssh, "host_keys": ["ssh-ed25519 AAAA"]}),
                ("only ssh has host keys", {"git": https, "host_keys": [fingerprint(d.path("id"))]})):
            self.assertIn(want, self.refusals(**project))

    def test_new_token_by_reload(self):
        """What a file holds counts from the next reload on, though no text of the configuration is another one."""
        d = self.d
        self.trouble("renewed")
        d.write_token(d.path("token2"), TOKEN)
        d.post("/config/activate")
        d.wait_looked("renewed")


if __name__ == "__main__":
    unittest.main()
