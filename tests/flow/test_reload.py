#!/usr/bin/env python3
"""A running master takes over a changed configuration, or keeps the old one and says why: SIGHUP and POST /config/activate, with builds running,
repositories being looked at, the database away, and the master killed in between."""
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import unittest

from drover import BUILD, DEADLINE_S, Case, busy, commit, git, make_repo, read, tell, wait_for

QUICK = "200ms"


def rss_kib(pid):
    for line in read(f"/proc/{pid}/status").decode().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Reload(Case):
    PROJECTS = {}
    WORKERS = {"here": {"slots": 1}}

    @classmethod
    def prepare(cls):
        for name in ("one", "two"):
            make_repo(cls.d.path(name), {".drover.yml": "steps: [{name: work, run: 'echo here'}]\n", "a": name})

    def setUp(self):
        self.d.configure(projects={}, workers={"here": {"slots": 1}}, window="30m")
        self.activate()

    def repo(self, name):
        return {"git": self.d.path(name), "poll": QUICK}

    def activate(self, status=200):
        return self.d.post("/config/activate", status=status)

    def hup(self):
        """SIGHUP, and until it was heard: the log has one more line of an end."""
        before = self.ends()
        self.d.master.send_signal(signal.SIGHUP)
        wait_for(lambda: self.ends() > before, "the reload")

    def ends(self):
        log = read(self.d.path("master.log"))
        return sum(log.count(x) for x in (b" is active, ", b" stays: the files", b" config: the configuration was not changed"))

    def config(self):
        return self.d.get("/status")["config"]

    def projects(self):
        return {p["name"]: p for p in self.d.get("/projects")["items"]}

    def looked(self, name):
        return wait_for(lambda: (p := self.projects().get(name)) and p["looked"] and p, f"a look at {name}")

    def test_projects_come_change_and_go(self):
        before = self.config()["version"]
        self.d.configure(projects={"one": self.repo("one")})
        self.hup()
        after = self.config()
        self.assertEqual((after["projects"], after["refused"]), (1, None))
        self.assertNotEqual(after["version"], before)
        event = self.d.events("select body->>'who', body->>'version' from event where type = 'config' order by number desc limit 1")
        self.assertEqual(event, [["SIGHUP", str(after["version"])]])
        # It is polled, and what comes is built.
        self.looked("one")
        rev = commit(self.d.path("one"), {"a": "more"}, "more")
        change = wait_for(lambda: [c for c in self.d.get("/changes")["items"] if c["revision"] == rev and c["buildsets"]], "a build of the commit")[0]
        rid = self.d.get("/buildsets/" + change["buildsets"][0])["requests"][0]["id"]
        r = self.d.wait_request(rid)
        self.assertEqual(r["result"], 0)
        self.assertEqual(self.d.sql(f"select config from buildset where id = {change['buildsets'][0][1:]}"), [[str(after["version"])]])
        # Another repository under the same name, watched for one branch only.
        git(self.d.path("two"), "branch", "-f", "side")
        self.d.configure(projects={"one": {**self.repo("two"), "branches": "side"}})
        answer = self.activate()
        self.assertEqual([(c["what"], c["kind"], c["name"], c["keys"]) for c in answer["changes"]], [("changed", "project", "one", ["git", "branches"])])
        side = git(self.d.path("two"), "rev-parse", "side")
        wait_for(lambda: {h["branch"]: h["revision"] for h in self.projects()["one"]["heads"]} == {"side": side}, "a look at the other repository")
        # Gone: no more looks, no more changes.
        self.d.configure(projects={})
        self.assertEqual([(c["what"], c["name"]) for c in self.activate()["changes"]], [("removed", "one")])
        self.assertEqual(self.projects(), {})
        count = len(self.d.get("/changes")["items"])
        git(self.d.path("two"), "checkout", "-q", "side")
        commit(self.d.path("two"), {"b": "x"}, "unseen")
        git(self.d.path("two"), "checkout", "-q", "main")
        looks = read(self.d.path("master.log")).count(b"sm: git request")
        self.d.configure(projects={"other": self.repo("one")})  # the pollers do work meanwhile
        self.activate()
        self.looked("other")
        wait_for(lambda: read(self.d.path("master.log")).count(b"sm: git request") > looks + 8, "looks at the other one")
        self.assertEqual(len(self.d.get("/changes")["items"]), count)
        self.assertEqual(self.d.api("POST", "/builds", {"builder": "one/one"}).status, 404)

    def test_workers_slots_and_tags(self):
        site = {"git": self.d.path("one"), "builders": {"plain": {"checkout": "none", "steps": [{"name": "work", "run": f"while [ ! -e {self.d.path('slots.go')} ]; do sleep 0.05; done"}]},
                                                        "tagged": {"checkout": "none", "worker": {"tags": ["board"]}, "steps": ["true"]}}}
        self.d.configure(projects={"slots": site})
        self.activate()
        asked = [self.d.ask("slots/plain", branch="main") for _ in range(3)]
        tagged = self.d.ask("slots/tagged", branch="main")
        running = lambda: sum(self.d.request(r)["state"] == "claimed" for r in asked)
        wait_for(running, "the first build")
        self.assertIn("here is full (1 of 1 slots", self.d.get(f"/requests/{asked[1]}/why")["reason"]["text"])
        self.d.configure(workers={"here": {"slots": 4, "tags": ["board"]}})
        self.assertEqual([(c["kind"], c["name"], c["keys"]) for c in self.activate()["changes"]], [("worker", "here", ["slots", "tags"])])
        wait_for(lambda: running() == 3, "three builds at a time")
        self.assertEqual(self.d.wait_request(tagged)["result"], 0)
        self.d.configure(workers={"here": {"slots": 1}})
        self.activate()
        self.assertEqual(running(), 3)  # they go on
        open(self.d.path("slots.go"), "w").close()
        for rid in asked:
            r = self.d.wait_request(rid)
            self.assertEqual((r["result"], len(r["builds"])), (0, 1))
        self.assertEqual((self.d.get("/workers/here")["slots"], self.d.get("/workers/here")["tags"]), (1, []))

    def test_refusals(self):
        version = self.config()["version"]
        with open(self.d.path("master.yaml"), "a") as f:
            f.write("\nsecret-word\n")
        self.hup()
        refused = self.config()["refused"]
        self.assertEqual(self.config()["version"], version)
        self.assertIn(self.d.path("master.yaml") + ":", refused["text"])
        self.assertNotIn("secret-word", refused["text"])
        self.assertGreater(refused["count"], 0)
        a = self.d.api("POST", "/config/activate", {})
        self.assertEqual((a.status, a.json["error"]["code"]), (400, "bad_config"))
        self.assertIn(f"version {version} stays", a.json["error"]["message"])
        # A key that needs a restart, beside a change that would do: neither is taken.
        os.mkdir(self.d.path("elsewhere"))
        listen = self.d.conf["listen"]
        self.d.configure(projects={"one": self.repo("one")}, listen={**listen, "socket": self.d.path("elsewhere/api.sock")})
        a = self.d.api("POST", "/config/activate", {})
        self.assertEqual(a.status, 400)
        line = next(i for i, x in enumerate(read(self.d.path("master.yaml")).decode().split("\n"), 1) if '"socket"' in x)
        self.assertIn(f'master.yaml:{line}:3: "listen.socket" can\'t change while the master runs (restart the master to change it)', a.json["error"]["help"])
        self.assertEqual(self.projects(), {})
        # In a file of conf.d, named with its line; and a FIFO there holds nobody.
        self.d.configure(listen=listen)
        os.makedirs(self.d.path("conf.d"), exist_ok=True)
        with open(self.d.path("conf.d", "x.yaml"), "w") as f:
            f.write("projects:\n  two: {git: 'ftp://x'}\n")
        os.mkfifo(self.d.path("conf.d", "y.yaml"))
        self.hup()
        text = self.config()["refused"]["text"]
        self.assertIn(self.d.path("conf.d/x.yaml") + ":2:14: ", text)
        self.assertIn(self.d.path("conf.d/y.yaml") + ": can't be read: it is not an ordinary file", text)
        diff = self.d.get("/config/diff")
        self.assertEqual((diff["valid"], diff["changes"]), (False, []))
        os.unlink(self.d.path("conf.d", "y.yaml"))
        os.unlink(self.d.path("conf.d", "x.yaml"))
        # The next good one forgets it.
        self.assertEqual([c["what"] for c in self.d.get("/config/diff")["changes"]], ["added"])
        self.hup()
        self.assertEqual((self.config()["refused"], self.config()["projects"]), (None, 1))

    def test_database_away(self):
        version = self.config()["version"]
        os.kill(self.d.postmaster(), signal.SIGSTOP)
        stopped = self.d.postgres()
        for p in stopped:
            tell(p, signal.SIGSTOP)
        try:
            self.d.configure(projects={"one": self.repo("one")})
            answers = []
            t = threading.Thread(target=lambda: answers.append(self.d.api("POST", "/config/activate", {}, timeout=2 * DEADLINE_S)))
            t.start()
            # The transaction is under way when the connections die.
            wait_for(lambda: b"-> storing" in read(self.d.path("master.log")).split(b"config: reading")[-1], "the transaction")
        finally:
            for p in stopped:
                tell(p, signal.SIGKILL)
        t.join()
        self.assertEqual((answers[0].status, answers[0].json["error"]["code"]), (503, "database_away"))
        self.assertIn(f"configuration {version} stays", answers[0].json["error"]["message"])
        self.assertIn("database is away", self.config()["refused"]["text"])
        wait_for(lambda: self.d.get("/status")["database"]["up"], "the database")
        self.assertEqual(self.config()["version"], version)
        self.assertEqual(self.projects(), {})
        wait_for(lambda: self.d.api("POST", "/config/activate", {}).status == 200, "the second try")
        self.looked("one")

    def test_builds_go_on(self):
        """Twenty reloads while a build runs and repositories are looked at: one attempt, one line a step, its own pipeline."""
        out, go = self.d.path("steps.out"), self.d.path("steps.go")
        def site(n):
            return {"git": self.d.path("one"), "poll": QUICK, "builders": {"b": {"checkout": "none", "steps": [
                {"name": "first", "run": f"echo first >>{out}; while [ ! -e {go} ]; do sleep 0.05; done"}, {"name": "second", "run": f"echo {n} >>{out}"}]}}}
        self.d.configure(projects={"steps": site(0)})
        self.activate()
        rid = self.d.ask("steps/b", branch="main")
        wait_for(lambda: os.path.exists(out), "the first step")
        base = None
        for n in range(1, 21):
            more = {f"p{i}": self.repo("one" if i % 2 else "two") for i in range(n % 5)}
            self.d.configure(projects={"steps": site(n), **more}, window=f"{20 + n % 3}m")
            self.hup() if n % 2 else self.activate()
            self.assertIsNone(self.config()["refused"])
            if n == 8:
                base = rss_kib(self.d.master.pid)
        if "/san" not in BUILD:  # the sanitizer keeps what was freed for a while; there the leak check at the end tells
            self.assertLess(rss_kib(self.d.master.pid), base + 4096)
        open(go, "w").close()
        r = self.d.wait_request(rid)
        self.assertEqual((r["result"], len(r["builds"])), (0, 1))
        self.assertEqual(self.lines(out), ["first", "0"])

    def test_killed_in_between(self):
        out, go = self.d.path("kill.out"), self.d.path("kill.go")
        def site(n):
            return {"git": self.d.path("two"), "poll": QUICK, "builders": {"b": {"checkout": "none", "steps": [
                {"name": "work", "run": f"echo work >>{out}; while [ ! -e {go} ]; do sleep 0.05; done; echo {n} >>{out}"}]}}}
        self.d.configure(projects={"killed": site(0)})
        self.activate()
        rid = self.d.ask("killed/b", branch="main")
        wait_for(lambda: os.path.exists(out), "the step")
        for n in range(1, 6):
            self.d.configure(projects={"killed": site(n), f"p{n}": self.repo("one")})
            self.d.master.send_signal(signal.SIGHUP)
            time.sleep(0.003 * n)  # somewhere before, in or behind the transaction
            self.d.kill_master()
            self.d.start_master()
            self.assertEqual(self.config()["projects"], 2)
            self.assertEqual(self.d.sql(f"select count(*) from config_version where id = {self.config()['version']} and position('p{n}' in body) > 0"), [["1"]])
        self.d.wait_worker()
        open(go, "w").close()
        r = self.d.wait_request(rid, 60)
        self.assertEqual((r["result"], len(r["builds"])), (0, 1))
        self.assertEqual(self.lines(out), ["work", "0"])

    def test_silent_repository_does_not_hold_its_successor(self):
        """A look is under way at a server that says nothing; the project gets another URL: its answer is nobody's any more."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(8)
            url = f"http://127.0.0.1:{s.getsockname()[1]}/x.git"
            self.d.configure(projects={"quiet": {"git": url, "poll": "1s"}, "fine": self.repo("one")})
            self.activate()
            peer, _ = s.accept()
            self.d.configure(projects={"fine": {**self.repo("one"), "poll": "300ms"}})
            self.activate()
            looked = self.looked("fine")["looked"]
            peer.close()
            wait_for(lambda: self.projects()["fine"]["looked"] > looked, "further looks")
            self.assertNotIn("quiet", self.projects())

    def test_two_hundred_projects(self):
        many = {f"p{i}": {"git": self.d.path("one"), "poll": "30d", "builders": {f"b{k}": {"steps": ["true"]} for k in range(4)}} for i in range(200)}
        self.d.configure(projects=many)
        begin = time.monotonic()
        self.assertEqual(len(self.activate()["changes"]), 200)
        took = time.monotonic() - begin
        log = read(self.d.path("master.log")).decode()
        print(f"    200 projects: {took * 1000:.0f} ms; {[x for x in log.splitlines() if ' is active, 200' in x][-1]}", file=sys.stderr)
        self.assertLess(took, (10 if "/san" in BUILD else 2) * busy())
        self.assertEqual(len(self.projects()), 200)


class Manager(Case):
    def test_reloading_is_told(self):
        d = self.own({})
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(d.path("notify.sock"))
            s.settimeout(DEADLINE_S)
            d.env["NOTIFY_SOCKET"] = d.path("notify.sock")
            d.start_master()
            while "READY=1" not in (m := s.recv(4096).decode().split("\n")):
                pass
            for good in (True, False):
                if not good:
                    d.configure(nonsense=1)
                before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                d.master.send_signal(signal.SIGHUP)
                m = dict(x.split("=", 1) for x in s.recv(4096).decode().split("\n"))
                self.assertEqual(m["RELOADING"], "1")
                self.assertGreaterEqual(int(m["MONOTONIC_USEC"]), before)
                m = dict(x.split("=", 1) for x in s.recv(4096).decode().split("\n"))
                self.assertEqual(m["READY"], "1")
            d.configure()
            d.conf.pop("nonsense")


if __name__ == "__main__":
    unittest.main(verbosity=2)
