"""Deliveries of forges, and a master that takes them."""
import hashlib
import hmac
import http.client
import json
import os
import uuid

from drover import DEADLINE_S, Case, free_port, git, make_repo, wait_for

SECRET = "a secret of the test, long enough"
ZERO = "0" * 40
SITE = {"builders": {"b": {"checkout": "none", "steps": [{"run": "true"}]}}}


def sign(secret, body):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def github(body, event="push", secret=SECRET, delivery=None, **headers):
    """(body, headers) of a delivery as GitHub sends it."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return body, {"Content-Type": "application/json", "X-GitHub-Event": event, "X-GitHub-Delivery": delivery or str(uuid.uuid4()),
                  "X-Hub-Signature-256": "sha256=" + sign(secret, body), **headers}


def push(branch, before, after, commits=(), **more):
    return {"ref": f"refs/heads/{branch}", "before": before or ZERO, "after": after or ZERO, "commits": list(commits), "repository": {"full_name": "o/r"}, **more}


def entry(repo, revision):
    """A commit as forges tell it."""
    name, mail, when, text = git(repo, "log", "-1", "--format=%an%x00%ae%x00%aI%x00%B", revision).split("\0")
    files = git(repo, "diff-tree", "--root", "--no-commit-id", "--name-only", "-r", revision).split("\n")
    return {"id": revision, "message": text, "timestamp": when, "author": {"name": name, "email": mail}, "added": [f for f in files if f], "modified": [], "removed": []}


class Hooked(Case):
    """A master with the project p, its repository, and a way to send it deliveries. EACH: each test has a project of its own instead, named after it, of the same repository,
    so that no look that another test asked for comes in between."""
    EACH = False
    PROJECT = {"poll": "1h", **SITE}
    WORKERS = {"here": {"slots": 2}}

    @classmethod
    def prepare(cls):
        d = cls.d
        cls.port = free_port()
        cls.secret_file(d.path("hook.secret"), SECRET)
        cls.first = make_repo(d.path("repo"), {"a": "a"})
        d.configure(listen={**d.conf["listen"], "api": f"127.0.0.1:{cls.port}"},
                    site={**d.conf["site"], "url": "https://ci.example.org/"}, projects={**{name: {"git": d.path("repo"), "hook": cls.hook("github"), **cls.PROJECT} for name in cls.names()}, **cls.more()})

    @classmethod
    def names(cls):
        return [name[5:] for name in dir(cls) if name.startswith("test_")] if cls.EACH else ["p"]

    @property
    def p(self):
        return self._testMethodName[5:] if self.EACH else "p"

    @classmethod
    def hook(cls, dialect):
        return {"dialect": dialect, "secret": {"file": cls.d.path("hook.secret")}}

    @classmethod
    def more(cls):
        """Other projects."""
        return {}

    @staticmethod
    def secret_file(path, text):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(text + "\n")

    def deliver(self, body, headers, project=None, status=None):
        a = send(self.port, project or self.p, body, headers)
        if status is not None:
            self.assertEqual(a[0], status, a)
        return a[1]

    def changes(self, project=None, **equal):
        """Of the test's project, oldest first."""
        found = [c for c in self.d.get(f"/changes?limit=1000&project={project or self.p}")["items"] if all(c[k] == v for k, v in equal.items())]
        return sorted(found, key=lambda c: int(c["id"][1:]))

    def builds(self, revision, project=None):
        return [b for b in self.d.get("/builds?limit=1000")["items"] if b["revision"] == revision and b["project"] == (project or self.p)]

    def head(self, branch):
        rows = self.d.sql(f"select revision from branch_head h join project p on p.id = h.project where h.branch = '{branch}' and p.name = '{self.p}'")
        return rows[0][0] if rows else None

    def wait_head(self, branch, revision):
        wait_for(lambda: self.head(branch) == revision, f"the head of {branch} at {revision}")


def send(port, project, body, headers, timeout=DEADLINE_S):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request("POST", f"/hooks/{project}", body, headers)
        r = c.getresponse()
        data = r.read()
        return r.status, json.loads(data) if data else None
    finally:
        c.close()
