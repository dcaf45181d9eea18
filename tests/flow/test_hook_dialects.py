#!/usr/bin/env python3
"""What the dialects make of deliveries: GitHub's published examples (npm), shapes of the others as their manuals describe them (tests/hooks/*.json), and what is wrong in many ways."""
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, TOP  # noqa: E402

SECRET = "nobody-knows-this-secret"
ZERO = "0" * 40


def examples():
    """GitHub's examples from npm, put into the build folder by the lock file."""
    folder = os.path.join(BUILD, "npm-hooks")
    there = os.path.join(folder, "node_modules/@octokit/webhooks-examples")
    if not os.path.exists(os.path.join(there, "package.json")):
        if not shutil.which("npm"):
            raise AssertionError("npm is missing: the examples of GitHub's webhooks come from it (apt-get install npm)")
        os.makedirs(folder, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(TOP, "tests/hooks", name), folder)
        p = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if p.returncode:
            raise AssertionError("npm could not install the examples of GitHub's webhooks: " + p.stdout.decode(errors="replace")[-2000:])
    found = []
    for name in sorted(os.listdir(there)):
        path = os.path.join(there, name, "index.json")
        if os.path.exists(path):
            with open(path) as f:
                found += [(name, e["name"], x) for e in json.load(f) for x in e["examples"]]
    return found


class Reader:
    """tests/lib/hook_main.c."""

    def __init__(self):
        self.p = subprocess.Popen([f"{BUILD}/tests/hook_main"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, dialect, headers, body, secret=SECRET):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"{dialect} {secret} {len(headers)} {len(body)}\n" + "".join(f"{k}: {v}\n" for k, v in headers.items())
        self.p.stdin.write(head.encode() + body)
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            raise AssertionError(f"the reader ended with {self.p.wait()} at {head}{body[:400]!r}")
        return json.loads(line)

    def close(self):
        self.p.stdin.close()
        return self.p.wait(30)


def sha256(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Dialects(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.read = Reader()

    @classmethod
    def tearDownClass(cls):
        cls.code = cls.read.close()
        cls.read.p.stdout.close()
        if cls.code:
            raise AssertionError(f"the reader ended with {cls.code}")

    def part(self, want, got, where):
        """want is a part of got; None: not there."""
        if isinstance(want, dict):
            for k, v in want.items():
                if v is None:
                    self.assertNotIn(k, got, where)
                else:
                    self.assertIn(k, got, where)
                    self.part(v, got[k], f"{where}.{k}")
        elif isinstance(want, list):
            self.assertEqual(len(want), len(got), (where, got))
            for i, (w, g) in enumerate(zip(want, got)):
                self.part(w, g, f"{where}[{i}]")
        else:
            self.assertEqual(want, got, where)

    # ---- GitHub's examples ----

    def expected(self, name, x):
        """What must come of an example, told from the example itself."""
        action = x.get("action")
        if name == "push":
            kind, _, short = x["ref"].partition("/")[2].partition("/")
            if x["after"] == ZERO:
                return {"kind": {"heads": "branch", "tags": "tag"}[kind], "branch": short, "previous": x["before"], "revision": None}
            want = {"kind": {"heads": "branch", "tags": "tag"}[kind], "branch": short, "revision": x["head_commit"]["id"], "previous": None if x["before"] == ZERO else x["before"]}
            if kind == "heads":
                want["commits"] = [{"revision": c["id"], "message": c["message"], "author": f"{c['author']['name']} <{c['author']['email']}>",
                                    "files": (c["added"] + c["modified"] + c["removed"]) or None} for c in x["commits"]]
            return want
        if name == "pull_request" and action in ("opened", "reopened", "synchronize", "ready_for_review"):
            p = x["pull_request"]
            return {"kind": "pull_request", "number": p["number"], "branch": p["base"]["ref"], "revision": p["head"]["sha"], "message": p["title"], "author": p["user"]["login"],
                    "url": p["html_url"], "properties": {"pull_request": {"ref": f"refs/pull/{p['number']}/head", "fork": p["head"]["repo"]["id"] != p["base"]["repo"]["id"],
                                                                          "head": {"repository": p["head"]["repo"]["full_name"], "branch": p["head"]["ref"]}}}}
        if name == "issue_comment" and action == "created" and x["issue"].get("pull_request"):
            return {"kind": "comment", "number": x["issue"]["number"], "message": x["comment"]["body"]}
        if name == "commit_comment":
            return {"kind": "comment", "number": None, "revision": x["comment"]["commit_id"], "message": x["comment"]["body"]}
        if name == "pull_request_review_comment" and action == "created":
            return {"kind": "comment", "number": x["pull_request"]["number"], "revision": x["comment"]["commit_id"], "message": x["comment"]["body"],
                    "properties": {"comment": {"association": x["comment"]["author_association"]}}}
        if name == "pull_request_review" and action == "submitted" and x["review"]["body"]:
            return {"kind": "comment", "number": x["pull_request"]["number"], "message": x["review"]["body"]}
        return {"kind": "ignored"}

    def test_githubs_examples(self):
        seen = {}
        for where, name, x in examples():
            got = self.read("github", {"X-GitHub-Event": name, "X-GitHub-Delivery": "d"}, x)
            self.assertEqual(got["error"], "", (where, name))
            want = self.expected(name, x)
            self.part([want], got["events"], f"{where} {name} {x.get('action')}")
            seen[name, want["kind"]] = seen.get((name, want["kind"]), 0) + 1
            if "repository" in x:
                self.assertEqual(got["repository"], x["repository"]["full_name"])
        for must in (("push", "branch"), ("push", "tag"), ("pull_request", "pull_request"), ("pull_request", "ignored"), ("commit_comment", "comment"),
                     ("pull_request_review_comment", "comment"), ("issue_comment", "ignored"), ("create", "ignored"), ("ping", "ignored")):
            self.assertIn(must, seen)  # so that an empty package proves nothing

    # ---- the other dialects ----

    def shapes(self, dialect):
        with open(os.path.join(TOP, f"tests/hooks/{dialect}.json")) as f:
            return json.load(f)

    def test_shapes(self):
        for dialect in ("github", "gitlab", "gitea", "bitbucket"):
            cases = self.shapes(dialect)
            self.assertGreater(len(cases), 10)
            for c in cases:
                with self.subTest(dialect=dialect, case=c["name"]):
                    got = self.read(dialect, c["headers"], c["body"])
                    self.assertEqual(got["error"], c.get("error", ""))
                    self.part(c["want"], got["events"], c["name"])

    def test_forgejo_reads_what_gitea_reads(self):
        for c in self.shapes("gitea"):
            self.assertEqual(self.read("forgejo", c["headers"], c["body"]), self.read("gitea", c["headers"], c["body"]))

    def test_every_field_may_be_missing_or_of_another_type(self):
        """One field of each shape is taken away, or becomes something else: an event, a sentence, never a crash, and never a name that git must not get."""
        for dialect in ("github", "gitlab", "gitea", "bitbucket"):
            for c in self.shapes(dialect):
                for body in mutants(c["body"]):
                    got = self.read(dialect, c["headers"], body)
                    for e in got["events"]:
                        self.assertRegex(e.get("branch", ""), r"\A([A-Za-z0-9][A-Za-z0-9._/+@-]*)?\Z")
                        self.assertRegex(e.get("revision", ""), r"\A([0-9a-f]{7,64})?\Z")
                        self.assertTrue(got["error"] or e["kind"] != "branch" or "revision" not in e or e["commits"][-1]["revision"] == e["revision"])

    # ---- bodies ----

    def test_bodies_that_are_none(self):
        h = {"X-GitHub-Event": "push"}
        for body in (b"", b"{", b"[]", b"null", b"{}x", b'{"a":1}{"b":2}', b"\xff\xfe", b'{"a":"\\ud800"}', b"{" * 100000, b"[" * 65 + b"]" * 65, b'{"a":' * 70 + b"1" + b"}" * 70):
            self.assertNotEqual(self.read("github", h, body)["error"], "", body[:50])
        self.assertEqual(self.read("github", h, b"{}")["error"], "the body does not tell what was pushed")
        deep = {"x": 1}
        for _ in range(62):
            deep = {"x": deep}
        self.assertEqual(self.read("github", {"X-GitHub-Event": "star"}, deep)["error"], "")
        self.assertEqual(self.read("github", {"X-GitHub-Event": "star"}, {"x": "[{" * 1000 + '\\"' * 100})["error"], "")

    def test_forms(self):
        x = self.shapes("github")[0]
        h = {**x["headers"], "Content-Type": "application/x-www-form-urlencoded"}
        whole = self.read("github", x["headers"], x["body"])["events"]
        for form in ("payload=" + urllib.parse.quote_plus(json.dumps(x["body"])), "a=b&payload=" + urllib.parse.quote(json.dumps(x["body"])) + "&c=d"):
            self.assertEqual(self.read("github", h, form.encode())["events"], whole)
        for form in (b"", b"payload", b"payload=", b"xpayload=%7B%7D", b"payload=%7", b"payload=%zz"):
            self.assertNotEqual(self.read("github", h, form)["error"], "", form)

    def test_texts_are_cleaned_and_cut(self):
        x = json.loads(json.dumps(self.shapes("github")[0]["body"]))
        x["commits"] = x["commits"][-1:]
        x["commits"][0].update(message="é" * 50000, author={"name": "A\n\x1b[31mB", "email": "x" * 2000}, added=[f"f{i}" for i in range(2500)] + ["x" * 5000])
        c = self.read("github", {"X-GitHub-Event": "push"}, x)["events"][0]["commits"][0]
        self.assertEqual(c["message"], "é" * 32768)
        self.assertTrue(c["author"].startswith("A\ufffd\ufffd[31mB <xxx"))
        self.assertLessEqual(len(c["author"]), 512)
        self.assertEqual((len(c["files"]), c["properties"]), (2000, {"files_cut": True}))
        bad = json.dumps(x).encode().replace(b"A\\n", b"\xc3(\xff")
        self.assertTrue(self.read("github", {"X-GitHub-Event": "push"}, bad)["events"][0]["commits"][0]["author"].startswith("\ufffd(\ufffd\ufffd[31mB"))

    def test_many_commits(self):
        ids = [f"{i:040x}" for i in range(1, 502)]
        body = {"ref": "refs/heads/main", "before": "a" * 40, "after": ids[-1], "commits": [{"id": i, "message": i[-3:]} for i in ids]}
        for commits in (body["commits"], body["commits"][::-1]):
            e = self.read("github", {"X-GitHub-Event": "push"}, {**body, "commits": commits})["events"][0]
            self.assertEqual([c["revision"] for c in e["commits"]], ids[-200:])
            self.assertEqual((e["whole"], "previous" in e["commits"][0]), (False, False))
        e = self.read("github", {"X-GitHub-Event": "push"}, {**body, "commits": body["commits"][:3]})["events"][0]  # without the tip
        self.assertEqual(([c["revision"] for c in e["commits"]], e["whole"]), (ids[:3] + ids[-1:], False))
        changes = [{"old": None, "new": {"type": "branch", "name": f"b{i}", "target": {"hash": "a" * 40}}} for i in range(150)]
        got = self.read("bitbucket", {"X-Event-Key": "repo:push"}, {"push": {"changes": changes}})
        self.assertEqual((len(got["events"]), got["cut"]), (100, True))

    # ---- signatures ----

    def test_signatures(self):
        body = b'{"zen": "x"}'
        good, other = sha256(body), sha256(body, "another-secret-of-the-site")
        sha1 = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
        token = "X-Gitlab-Token"
        table = [  # dialect, headers, strong enough, right
            ("github", {}, False, False),
            ("github", {"X-Hub-Signature": "sha1=" + sha1}, False, False),
            ("github", {"X-Hub-Signature": "sha256=" + good}, False, False),
            ("github", {"X-Hub-Signature-256": "sha1=" + sha1}, False, False),
            ("github", {"X-Hub-Signature-256": good}, False, False),
            ("github", {"X-Hub-Signature-256": ""}, False, False),
            ("github", {"X-Hub-Signature-256": "sha256="}, False, False),
            ("github", {"X-Hub-Signature-256": "sha256=" + good[:-2]}, False, False),
            ("github", {"X-Hub-Signature-256": "sha256=" + good + "00"}, False, False),
            ("github", {"X-Hub-Signature-256": "sha256=" + "g" * 64}, True, False),
            ("github", {"X-Hub-Signature-256": "sha256=" + other}, True, False),
            ("github", {"X-Hub-Signature-256": "sha256=" + good[:-1] + ("0" if good[-1] != "0" else "1")}, True, False),
            ("github", {"X-Hub-Signature-256": "sha256=" + good, "X-Hub-Signature": "sha1=" + "0" * 40}, True, True),
            ("gitlab", {}, False, False),
            ("gitlab", {"X-Hub-Signature-256": "sha256=" + good}, False, False),
            ("gitlab", {token: ""}, False, False),
            ("gitlab", {token: SECRET[:-1]}, True, False),
            ("gitlab", {token: SECRET + "x"}, True, False),
            ("gitlab", {token: SECRET}, True, True),
            ("gitlab", {token: "x" * 1025}, False, False),
            ("bitbucket", {}, False, False),
            ("bitbucket", {"X-Hub-Signature": "sha1=" + sha1}, False, False),
            ("bitbucket", {"X-Hub-Signature": "sha256=" + other}, True, False),
            ("bitbucket", {"X-Hub-Signature": "sha256=" + good}, True, True),
        ]
        for d in ("gitea", "forgejo"):
            table += [(d, {}, False, False), (d, {"X-Hub-Signature": "sha1=" + sha1}, False, False), (d, {"X-Gitea-Signature": good}, True, True),
                      (d, {"X-Gitea-Signature": good[:-2]}, False, False), (d, {"X-Gitea-Signature": other}, True, False), (d, {"X-Forgejo-Signature": good}, True, True),
                      (d, {"X-Hub-Signature-256": "sha256=" + good}, True, True), (d, {"X-Gogs-Signature": good}, True, True),
                      (d, {"X-Forgejo-Signature": other, "X-Gitea-Signature": good}, True, False)]
        for dialect, headers, strong, right in table:
            got = self.read(dialect, headers, body)
            self.assertEqual((got["signed"], got["good"]), (strong, right), (dialect, headers))
        for dialect, headers in (("github", {"X-Hub-Signature-256": "sha256=" + sha256(body, "short")}), ("gitlab", {token: "short"})):
            self.assertFalse(self.read(dialect, headers, body, secret="short")["good"])
        changed = self.read("github", {"X-Hub-Signature-256": "sha256=" + good}, body + b" ")
        self.assertEqual((changed["signed"], changed["good"]), (True, False))

    def test_delivery_ids(self):
        def of(dialect, headers, body=b"{}"):
            return self.read(dialect, headers, body)["delivery"]
        self.assertEqual(of("github", {"X-GitHub-Delivery": "72d3162e"}), "72d3162e")
        self.assertEqual(of("gitea", {"X-GitHub-Delivery": "g", "X-Gitea-Delivery": "t"}), "t")
        self.assertEqual(of("bitbucket", {"X-Request-Id": "i"}), "i")
        hashed = hashlib.sha256(b"{}").hexdigest()
        for headers in ({}, {"X-GitHub-Delivery": ""}, {"X-GitHub-Delivery": "x" * 129}, {"X-GitHub-Delivery": "a b"}, {"X-GitHub-Delivery": "a\x7f"}):
            self.assertEqual(of("github", headers), hashed)
        self.assertEqual(of("gitlab", {"Idempotency-Key": "k", "X-Gitlab-Event-UUID": "u"}), "k/" + hashlib.sha256(b"{}").hexdigest()[:32])
        self.assertNotEqual(of("gitlab", {"X-Gitlab-Event-UUID": "u"}), of("gitlab", {"X-Gitlab-Event-UUID": "u"}, b"{ }"))


def mutants(x):
    """Copies of x, in each one thing less or of another type."""
    paths = []

    def walk(v, path):
        if path:
            paths.append(path)
        for k, w in v.items() if isinstance(v, dict) else enumerate(v) if isinstance(v, list) else ():
            walk(w, path + (k,))
    walk(x, ())
    for path in paths:
        for instead in (None, [], {"x": 1}, "--option", -1.5, "DELETE"):
            copy = json.loads(json.dumps(x))
            at = copy
            for k in path[:-1]:
                at = at[k]
            if instead == "DELETE":
                del at[path[-1]]
            else:
                at[path[-1]] = instead
            yield copy


if __name__ == "__main__":
    unittest.main()
