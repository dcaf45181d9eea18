#!/usr/bin/env python3
"""The site's configuration as a running master has it: printed by programs, as versions, tried on the changes of the past."""
import json
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import unittest

from drover import BUILD, DEADLINE_S, Case, busy, commit, commit_on, make_repo, read, wait_for


class Site(Case):
    PROJECTS = {}
    WORKERS = {"here": {"slots": 1}}

    def put(self, name, text, mode=0o644):
        path = self.d.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def activate(self):
        a = self.d.api("POST", "/config/activate", {}, timeout=2 * DEADLINE_S)
        self.assertEqual(a.status, 200, a.body)
        return a.json

    def config(self):
        return self.d.get("/status")["config"]

    def hup(self, text=b" config: version "):
        """SIGHUP, and until the log has one more such line."""
        before = read(self.d.path("master.log")).count(text)
        self.d.master.send_signal(signal.SIGHUP)
        wait_for(lambda: read(self.d.path("master.log")).count(text) > before, "the reload")


class Generated(Site):
    """include: {run: …}"""

    def setUp(self):
        for name in ("ran", "go", "slots"):
            if os.path.exists(self.d.path(name)):
                os.unlink(self.d.path(name))
        # Each run says that it began, and ends when it may.
        self.put("gen", "#!/bin/sh\necho x >>ran\n[ ! -e hold ] || { while [ ! -e go ]; do sleep 0.02; done; rm go; }\n"
                 "echo 'projects:'\ncat projects 2>/dev/null || true\n", 0o755)
        self.put("projects", "")

    def site(self, *names):
        self.put("projects", "".join(f"  {n}: {{git: {self.d.path('none')}, poll: 30d}}\n" for n in names))

    def runs(self):
        return len(read(self.d.path("ran")).split())

    def tearDown(self):
        for name in ("hold", "go"):
            if os.path.exists(self.d.path(name)):
                os.unlink(self.d.path(name))
        self.d.configure(include=[])
        self.activate()

    def names(self):
        return sorted(p["name"] for p in self.d.get("/projects")["items"])

    def test_program(self):
        self.site("one", "two")
        self.d.configure(include={"run": ["./gen"]})
        self.assertIn(("added", "one"), [(c["what"], c["name"]) for c in self.activate()["changes"]])
        self.assertEqual(self.names(), ["one", "two"])
        self.assertEqual(self.runs(), 1)
        # Whoever asks how things are makes nothing run; a look at the difference does.
        self.site("three")
        check = {c["name"]: c for c in self.d.get("/doctor")["checks"]}["configuration"]
        self.assertEqual((check["level"], self.runs()), ("ok", 1))
        diff = self.d.get("/config/diff")
        self.assertEqual(sorted((c["what"], c["name"]) for c in diff["changes"]), [("added", "three"), ("removed", "one"), ("removed", "two")])
        self.assertEqual(self.runs(), 2)
        # One that fails: everything stays, and what it wrote is told.
        self.put("gen", "#!/bin/sh\necho no inventory today >&2\nexit 4\n", 0o755)
        a = self.d.api("POST", "/config/activate", {})
        self.assertEqual((a.status, a.json["error"]["code"]), (400, "bad_config"))
        self.assertIn("the program ./gen ended with exit code 4: no inventory today", a.json["error"]["help"])
        self.assertEqual(self.names(), ["one", "two"])
        self.put("gen", "#!/bin/sh\necho 'projects:'\necho '  bad: {gti: x}'\n", 0o755)
        self.assertIn('<output of ./gen>:2:9: unknown key "gti"', self.d.api("POST", "/config/activate", {}).json["error"]["help"])

    def test_loop_goes_on(self):
        """While a program runs the master answers; who asks meanwhile waits his turn, and what he gets was read later."""
        self.site("first")
        self.d.configure(include={"run": ["./gen"]})
        self.put("hold", "")
        answers, asked = [], read(self.d.path("master.log")).count(b": /api/v1/config/activate")
        ask = lambda: answers.append(self.activate())
        threads = [threading.Thread(target=ask)]
        threads[0].start()
        wait_for(lambda: self.runs() == 1, "the program")
        begin = time.monotonic()
        for _ in range(20):
            self.config()
        self.assertLess(time.monotonic() - begin, 5 * busy())
        for _ in range(3):
            threads.append(threading.Thread(target=ask))
            threads[-1].start()
        wait_for(lambda: read(self.d.path("master.log")).count(b": /api/v1/config/activate") >= asked + 4, "the others")
        self.put("go", "")
        wait_for(lambda: len(answers) == 1 and self.runs() == 2, "the second reading")
        self.site("second")
        os.unlink(self.d.path("hold"))
        self.put("go", "")
        for t in threads:
            t.join(DEADLINE_S)
        self.assertEqual([sorted(c["name"] for c in a["changes"] if c["kind"] == "project") for a in answers[:2]], [["first"], ["first", "second"]])
        self.assertEqual([len(a["changes"]) for a in answers[2:]], [2, 2])
        self.assertEqual(self.runs(), 2)
        self.assertEqual(self.names(), ["second"])

    def test_stopped_while_it_runs(self):
        self.site("x")
        self.put("gen", f"#!/bin/sh\necho $$ >{self.d.path('pid')}; echo x >>ran\nexec sleep 300\n", 0o755)
        self.d.configure(include={"run": ["./gen"]})
        self.d.master.send_signal(signal.SIGHUP)
        wait_for(lambda: self.runs() == 1, "the program")
        pid = int(read(self.d.path("pid")))
        begin = time.monotonic()
        self.assertEqual(self.d.stop_master(), 0)
        self.assertLess(time.monotonic() - begin, 10 * busy())
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        self.d.configure(include=[])
        self.d.start_master()
        self.d.wait_worker()

    def test_not_in_a_repository(self):
        make_repo(self.d.path("evil"), {".drover.yml": "include: {run: [touch, was-here]}\nsteps: [true]\n"})
        self.d.configure(projects={"evil": {"git": self.d.path("evil"), "poll": "200ms", "first": "build"}})
        self.activate()
        change = wait_for(lambda: [c for c in self.d.get("/changes?project=evil")["items"] if c["state"] == "failed"], "the change")[0]
        self.assertIn('.drover.yml:1:1: unknown key "include" (it is a key of the site\'s configuration)', change["error"])
        self.d.configure(projects={})


class Versions(Site):
    """Who made which version active; back to an older one, and what ends that."""

    def setUp(self):
        self.d.configure(projects={}, window="30m")
        self.activate()

    def project(self, **keys):
        return {"git": self.d.path("none"), "poll": "30d", **keys}

    def names(self):
        return sorted(p["name"] for p in self.d.get("/projects")["items"])

    def history(self):
        return self.d.get("/config/history")["items"]

    def rollback(self, version):
        return self.d.post("/config/rollback", {"version": version})

    def doctor(self):
        return {c["name"]: c for c in self.d.get("/doctor")["checks"]}["configuration"]

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", "--socket", self.d.path("api.sock"), *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S)
        self.assertEqual(p.returncode, code, p.stdout)
        return p.stdout

    def restart(self):
        self.d.stop_master()
        self.d.start_master()

    def test_history_and_refusals(self):
        first = self.config()["version"]
        self.d.configure(projects={"one": self.project()})
        self.hup()
        self.d.configure(nonsense=1)
        for _ in range(3):
            self.hup(b"config: the configuration was not changed")
        del self.d.conf["nonsense"]
        wait_for(lambda: (self.history()[0]["refused"] or {}).get("times") == 3, "the third refusal")
        self.d.configure(projects={"one": self.project(), "two": self.project()})
        self.activate()
        last = self.history()[:3]
        self.assertEqual([(v["how"], v["projects"], v["active"]) for v in last], [("activate", 2, True), ("reload", None, False), ("reload", 1, False)])
        self.assertEqual((last[1]["refused"]["count"], last[1]["who"], last[1]["size"]), (1, "SIGHUP", 0))
        self.assertIn('unknown key "nonsense"', last[1]["refused"]["text"])
        self.assertGreater(last[2]["version"], first)
        events = self.d.events("select type, body->>'version', body->>'how' from event where type like 'config%' order by number desc limit 3")
        self.assertEqual([tuple(e) for e in events], [("config", str(last[0]["version"]), "activate"), ("config.refused", str(last[1]["version"]), "reload"), ("config", str(last[2]["version"]), "reload")])
        # A restart with the same files is no new version.
        before = self.history()[0]["version"]
        self.restart()
        self.assertEqual((self.history()[0]["version"], self.config()["version"]), (before, before))
        out = self.cli("config", "history", "-n", "4")
        self.assertRegex(out, rf"{before} +\S+ \S+ +activated by \S+ .* 2 .*active\n")
        self.assertRegex(out, r"SIGHUP .*refused 3 times, 1 error: ")

    def test_differences(self):
        a = self.config()["version"]
        self.d.configure(projects={"one": self.project(steps=["make"])}, window="1h")
        b = self.activate()["version"]
        self.d.configure(projects={"one": self.project(steps=["make", "make check"])})
        c = self.activate()["version"]
        self.assertEqual(self.cli("config", "diff", str(a), str(b)), "~ setting window\n+ project one, 1 builder, scheduler commits\n")
        self.assertEqual(self.cli("config", "diff", str(b)), "~ project one\n~ builder one/one\n")
        self.assertEqual(self.cli("config", "diff", str(c), str(c)), "they say the same\n")
        self.assertIn("there is no version 99999", self.cli("config", "diff", str(a), "99999", code=2))
        self.assertEqual(self.d.api("GET", f"/config/diff?to={a}").status, 400)
        self.assertIn(f"--- # site ", self.cli("config", "show", str(a)))
        self.d.sql(f"update config_version set body = 'workers: {{}}' where id = {a}")  # as versions before this one stored it
        self.assertIn("it was stored by another version of drover", self.cli("config", "diff", str(a), str(b), code=2))
        self.assertIn("it was stored by another version of drover", self.cli("config", "rollback", str(a), code=2))
        self.assertEqual(self.config()["version"], c)

    def test_rollback_holds(self):
        """The files are not used until they say something else, or somebody says that they are."""
        self.put("gen", f"#!/bin/sh\necho x >>{self.d.path('ran')}\necho 'projects: {{made: {{git: {self.d.path('none')}, poll: 30d}}}}'\n", 0o755)
        self.d.configure(include={"run": ["./gen"]}, projects={"old": self.project()})
        old = self.activate()["version"]
        self.d.configure(include=[], projects={"new": self.project()})
        new = self.activate()["version"]
        runs = len(read(self.d.path("ran")).split())
        answer = self.rollback(old)
        back = answer["version"]
        self.assertEqual((answer["origin"], self.names()), (old, ["made", "old"]))
        self.assertGreater(back, new)
        self.assertEqual(sorted((c["what"], c["name"]) for c in answer["changes"] if c["kind"] == "project"), [("added", "made"), ("added", "old"), ("removed", "new")])
        v = self.history()[0]
        self.assertEqual((v["version"], v["how"], v["origin"], v["active"]), (back, "rollback", old, True))
        self.assertEqual((self.config()["version"], self.config()["origin"]), (back, old))
        self.assertIn(f"rolled back to {old}", self.cli("status"))
        self.assertIn(f"rolled back to version {old}", self.doctor()["text"])
        # A signal, and a restart, with the files as they were.
        self.hup(b"drover config activate takes them over")
        self.restart()
        self.assertEqual((self.names(), self.config()["version"], self.config()["origin"]), (["made", "old"], back, old))
        self.d.kill_master()
        self.d.start_master()
        self.assertEqual((self.names(), self.config()["origin"]), (["made", "old"], old))
        self.assertEqual(self.d.api("POST", "/config/rollback", {"version": old}).status, 409)
        # It asks for builds under its own number, and the program was not run for any of this.
        self.assertEqual(len(read(self.d.path("ran")).split()), runs)
        # The files change: they count.
        self.d.configure(projects={"newer": self.project()})
        self.hup(b" is active, ")
        self.assertEqual((self.names(), self.config()["origin"]), (["newer"], None))
        self.assertEqual(self.doctor()["level"], "ok")
        # While the master is down, too.
        self.rollback(old)
        self.d.stop_master()
        self.d.configure(projects={"newest": self.project()})
        self.d.start_master()
        self.assertEqual((self.names(), self.config()["origin"], self.history()[0]["how"]), (["newest"], None, "start"))
        # Somebody says so.
        self.rollback(old)
        self.assertIn("+ project newest", self.cli("config", "activate"))
        self.assertEqual((self.names(), self.config()["origin"]), (["newest"], None))
        # Back and forth between two texts of the files: what was rolled back before that does not come back.
        self.rollback(old)
        self.d.configure(projects={"other": self.project()})
        self.activate()
        self.d.stop_master()
        self.d.configure(projects={"newest": self.project()})
        self.d.start_master()
        self.assertEqual((self.names(), self.config()["origin"]), (["newest"], None))

    def test_rollback_by_hand(self):
        self.d.configure(projects={"one": self.project()})
        one = self.activate()["version"]
        self.d.configure(projects={"two": self.project()})
        self.activate()
        out = self.cli("config", "rollback", str(one))
        self.assertIn("+ project one", out)
        self.assertRegex(out, rf"configuration \d+ active, as {one} was, until the files change: drover config activate takes them over")
        for version, code, text in (("x", 2, "is not the number"), ("999999", 2, "there is no version 999999")):
            self.assertIn(text, self.cli("config", "rollback", version, code=code))
        # The files say again what was rolled back to: nothing is held any more.
        self.d.configure(projects={"one": self.project()})
        self.activate()
        self.assertIsNone(self.config()["origin"])
        # A key that needs a restart is refused, whatever the version.
        self.d.configure(helpers=3)
        self.activate()
        self.d.sql(f"update config_version set body = replace(body, 'api.sock', 'api.socc') where id = {one}")
        a = self.d.api("POST", "/config/rollback", {"version": one})
        self.assertEqual(a.status, 400)
        self.assertIn("can't change while the master runs", a.json["error"]["help"])

    def test_unusable_at_start(self):
        """The version that a rollback made active can't be read any more: the files count, and that is said."""
        self.d.configure(projects={"one": self.project()})
        one = self.activate()["version"]
        self.d.configure(projects={"two": self.project()})
        self.activate()
        back = self.rollback(one)["version"]
        self.d.stop_master()
        self.d.start_master()
        self.assertEqual(self.names(), ["one"])
        self.d.sql(f"update config_version set body = 'old' where id = {back}")
        self.restart()
        self.assertEqual((self.names(), self.config()["origin"]), (["two"], None))
        self.assertIn(b"to which was rolled back, can't be used any more", read(self.d.path("master.log")))
        v = self.history()[0]
        self.assertEqual((v["how"], v["active"], v["projects"]), ("start", True, 1))
        self.restart()
        self.assertEqual(self.config()["version"], v["version"])


class Trial(Site):
    """drover config try: the last changes decided again. No worker is needed for that."""
    WORKERS = {"nobody": {"slots": 1}}

    @classmethod
    def prepare(cls):
        cls.d.workers = {}  # none is started

    def site(self, schedulers, **more):
        builders = {b: {"checkout": "none", "steps": ["true"]} for b in ("linux", "dist", "docs")}
        return {"git": self.d.path("none"), "poll": "30d", "builders": builders, "schedulers": schedulers, **more}

    def change(self, n, project="p", branch="main", files=("src/a",), **more):
        c = self.d.post("/changes", {"project": project, "branch": branch, "revision": f"{n:040x}", "author": "Ann", "message": f"change {n}", "files": list(files), **more}, 201)
        wait_for(lambda: self.d.get("/changes/" + c["change"])["state"] != "reading", "the decision")
        return c["change"]

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", "--socket", self.d.path("api.sock"), *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S)
        self.assertEqual(p.returncode, code, p.stdout)
        return p.stdout

    def attempt(self, status=200, **body):
        return self.d.post("/config/try", body, status)

    def rows(self):
        return self.d.sql("select (select count(*) from change), (select count(*) from buildset), (select count(*) from verdict), (select count(*) from pipeline), (select count(*) from config_version), "
                          "(select count(*) from scheduler_state), (select coalesce(max(number), 0) from event)")

    def test_try(self):
        then = {"commits": {"change": {"not_only": "docs/**"}, "builders": ["linux"]}}
        self.d.configure(projects={"p": self.site(then), "q": self.site(then)})
        self.activate()
        ids = [self.change(1), self.change(2, files=["docs/x"]), self.change(3, branch="feature/x"), self.change(4, "q")]
        wait_for(lambda: self.d.sql("select count(*) from outbox") == [["0"]], "all events")
        before = self.rows()
        # The files on the disk, which nobody has activated.
        now = {"commits": {"change": {"branches": "main", "not_only": "docs/**"}, "stable": "30s", "builders": ["linux", "dist"]}, "docs": {"change": {"only": "docs/**"}, "builders": "docs", "supersede": True}}
        self.d.configure(projects={"p": self.site(now)})
        answer = self.attempt(last=4)
        got = {i["change"]: i for i in answer["items"]}
        self.assertEqual([got[i]["would"] for i in ids], [["linux", "dist"], ["docs"], [], []])
        self.assertEqual([got[i]["did"] for i in ids], [["linux"], [], ["linux"], ["linux"]])
        self.assertEqual([got[i]["added"] for i in ids], [["dist"], ["docs"], [], []])
        self.assertEqual([got[i]["dropped"] for i in ids], [[], [], ["linux"], ["linux"]])
        self.assertEqual(got[ids[3]]["note"], "the project is not there")
        self.assertEqual(answer["sum"], {"changes": 4, "differ": 4, "unknown": 0, "would": 3, "did": 3})
        self.assertEqual([i["change"] for i in self.attempt(last=2)["items"]], ids[:1:-1])
        self.assertEqual([i["change"] for i in self.attempt(project="q")["items"]], [ids[3]])
        # The same, as people see it; and a file of somebody's own.
        out = self.cli("config", "try", "--project", "p", "--last", "3")
        self.assertEqual(out, f"""\
~ {ids[2]} p feature/x 0000000 change 3
      would build: nothing
      was built: -linux
      would not: linux, dist because branch feature/x is not among main (commits)
      would not: docs because the file src/a is not under docs/** (only) (docs)
~ {ids[1]} p main 0000000 change 2
      would build: +docs; docs cancels what older changes still do
      would not: linux, dist because the file docs/x is under docs/** (not_only) (commits)
~ {ids[0]} p main 0000000 change 1
      would build: linux, +dist; commits waits 30s
      would not: docs because the file src/a is not under docs/** (only) (docs)
3 changes: 3 would be decided otherwise, 3 builds, there were 2
""")
        file = self.put("mine.yml", "builders: {linux: {steps: [make]}}\nschedulers: {commits: {change: {not_only: 'docs/**'}}}\n")
        self.assertIn("3 changes: 0 would be decided otherwise, 2 builds, there were 2", self.cli("config", "try", file, "--project", "p", "--last", "3"))
        self.assertIn("would not: linux because the file docs/x", self.cli("config", "try", file, "--project", "p", "--last", "50"))
        site = self.put("mine/master.yaml", f"allow_local: true\nprojects: {{q: {{git: /x, branches: dev, hook: {{dialect: github, secret: {{file: none}}}}}}}}\n")
        self.assertIn("can't be read", self.cli("config", "try", site, code=2))  # checked here, as config check does
        self.put("mine/master.yaml", "allow_local: true\nprojects: {q: {git: /x, branches: dev}}\n")
        self.assertIn("the project does not watch the branch", self.cli("config", "try", site))
        # Nothing was written by any of this.
        self.assertEqual(self.rows(), before)

    def test_pipelines_of_repositories(self):
        make_repo(self.d.path("r"), {".drover.yml": "builders: {a: {steps: [make]}}\nschedulers: {s: {change: {branches: main}}}\n"})
        self.d.configure(projects={"r": {"git": self.d.path("r"), "poll": "200ms"}})
        self.activate()
        self.d.wait_looked("r")
        commit(self.d.path("r"), {"x": "1"}, "one")
        c = wait_for(lambda: [c for c in self.d.get("/changes?project=r")["items"] if c["state"] == "decided"], "the change")[0]["id"]
        item = self.attempt(project="r")["items"][0]
        self.assertEqual((item["change"], item["would"], item["did"], item["known"]), (c, ["a"], ["a"], True))
        # From the site's pipeline to the repository's: what that was is not known.
        self.d.configure(projects={"r": {"git": self.d.path("r"), "poll": "200ms", "steps": ["make"]}})
        self.activate()
        self.change(7, "r")
        self.d.configure(projects={"r": {"git": self.d.path("r"), "poll": "200ms"}})
        answer = self.attempt(project="r")
        self.assertEqual([i["known"] for i in answer["items"]], [False, True])
        self.assertEqual(answer["sum"]["unknown"], 1)

    def test_refused(self):
        self.d.configure(projects={"p": self.site({}), "q": self.site({})})
        self.activate()
        for body, status, text in (({"last": 0}, 400, "from 1 to 200"), ({"last": 201}, 400, "from 1 to 200"), ({"last": "9"}, 400, "from 1 to 200"), ({"pipeline": "steps: [x]"}, 400, "of which project"),
                                   ({"project": "none"}, 404, "there is no project"), ({"site": "x", "pipeline": "y"}, 400, "either"), ({"site": "workers: {}"}, 400, "it has 1 error"),
                                   ({"project": "p", "pipeline": "stepz: [x]"}, 400, "it has 1 error")):
            self.assertIn(text, self.attempt(status, **body)["error"]["message"])
        self.assertIn("larger than the master takes", self.cli("config", "try", self.put("large.yml", "#" * (1 << 20)), "--project", "p", code=2))
        self.assertIn('.drover.yml:1:1: unknown key "stepz"', self.cli("config", "try", self.put("bad.yml", "stepz: [x]\n"), "--project", "p", code=2))
        self.d.configure(nonsense=1)
        self.assertIn('unknown key "nonsense"', self.cli("config", "try", code=2))
        del self.d.conf["nonsense"]
        self.d.configure()


class Explain(Site):
    """drover config explain through the master: builders of the site and of repositories, as they are and as a build was pinned to them."""

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", "--socket", self.d.path("api.sock"), *argv], cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S)
        self.assertEqual(p.returncode, code, p.stdout)
        return p.stdout

    def test_site(self):
        os.makedirs(self.d.path("conf.d"), exist_ok=True)
        file = self.put("conf.d/s.yaml", "projects:\n  s:\n    git: /x\n    poll: 30d\n    builders:\n      b: {checkout: none, env: {A: '1'}, steps: [{name: one, run: 'true'}]}\n      m: {matrix: {x: [p, q]}, steps: ['true']}\n")
        self.activate()
        version = self.config()["version"]
        out = self.cli("config", "explain", "s/b")
        self.assertIn(f"s/b  configuration {version}\n", out)
        self.assertRegex(out, rf"env.A +1 +{file}:6 +builder\n")
        self.assertIn("stands for 2 builders, such as", self.cli("config", "explain", "s/m", code=2))
        self.assertRegex(self.cli("config", "explain", "s/m[q]"), rf"matrix.x +q +{file}:7 +matrix\n")
        for name in ("s/none", "none/b", "-"):
            self.cli("config", "explain", name, code=2)
        # A build keeps what it was pinned to, with the lines of its time.
        rid = self.d.post("/builds", {"builder": "s/b", "branch": "main", "revision": "1" * 40}, 201)["requests"][0]
        self.d.wait_request(rid)
        self.put("conf.d/s.yaml", "projects:\n  s: {git: /x, poll: 30d, builders: {b: {checkout: none, env: {A: '2'}, steps: ['true']}}}\n")
        self.activate()
        out = self.cli("config", "explain", "s/b/1")
        self.assertIn(f"s/b  configuration {version}\n", out)
        self.assertRegex(out, rf"env.A +1 +{file}:6 +builder\n")
        self.assertRegex(self.cli("config", "explain", "b"), rf"env.A +2 +{file}:2 +builder\n")
        os.unlink(file)
        self.activate()

    def test_repository(self):
        make_repo(self.d.path("e"), {".drover.yml": "steps: ['true']\n"})
        self.d.configure(projects={"e": {"git": self.d.path("e"), "poll": "200ms"}})
        self.activate()
        self.assertIn("no pipeline was read", self.cli("config", "explain", "e/e", code=2))
        self.d.wait_looked("e")
        revisions = []
        for n, branch in enumerate(("main", "main", "side")):
            revisions.append(commit_on(self.d.path("e"), branch, {".drover.yml": "\n" * n + f"steps: [{{name: work, run: 'true', env: {{N: '{n}'}}}}]\n"}, f"number {n}"))
            wait_for(lambda: [c for c in self.d.get("/changes?project=e")["items"] if c["revision"] == revisions[-1] and c["state"] == "decided"], "the change")
        out = self.cli("config", "explain", "e/e")
        self.assertIn(f"e/e  configuration {self.config()['version']}, .drover.yml of side at {revisions[2][:7]}\n", out)
        self.assertRegex(out, r"env.N +2 +.drover.yml:3 +step\n")
        self.assertRegex(self.cli("config", "explain", "e/e", "--branch", "main"), r"env.N +1 +.drover.yml:2 +step\n")
        wait_for(lambda: len(self.d.get("/builds?builder=e/e&state=done")["items"]) == 3, "three builds")
        self.assertRegex(self.cli("config", "explain", "e/e/1"), r"env.N +0 +.drover.yml:1 +step\n")
        keys = json.loads(self.cli("config", "explain", "e/e/last", "--json"))["keys"]
        self.assertEqual([(k["step"], k["value"], k["line"]) for k in keys if k["key"] == "env.N"], [("work", "2", 3)])


class TwoMasters(Case):
    """On one database: each has its own files and active version, all see all versions."""

    def test_two(self):
        one, two = self.own({}), self.own({})
        project = lambda: {"git": one.path("none"), "poll": "30d"}
        one.start_master()
        two.configure(database=f"host={one.lock_file()[4]} user=drover dbname=drover", projects={"theirs": project()})
        two.start_master()
        names = lambda d: sorted(p["name"] for p in d.get("/projects")["items"])
        one.configure(projects={"ours": project()})
        mine = one.post("/config/activate")["version"]
        self.assertEqual((names(one), names(two)), (["ours"], ["theirs"]))
        both = [d.get("/config/history")["items"] for d in (one, two)]
        self.assertEqual(*[[(v["version"], v["how"], v["size"]) for v in h] for h in both])
        self.assertEqual([[v["version"] for v in h if v["active"]] for h in both], [[mine], [two.get("/status")["config"]["version"]]])
        # A version of the other one: compared, but not taken, for its sockets are others.
        self.assertIn("theirs", [c["name"] for c in two.get(f"/config/diff?from={mine}")["changes"]])
        a = two.api("POST", "/config/rollback", {"version": mine})
        self.assertEqual((a.status, a.json["error"]["code"]), (400, "bad_config"))
        self.assertIn('"state" can\'t change while the master runs', a.json["error"]["help"])
        # One rolls back, the other one's restart is not moved by that, and the other way round.
        two.configure(projects={"theirs": project(), "more": project()})
        before = two.get("/status")["config"]["version"]
        two.post("/config/activate")
        two.post("/config/rollback", {"version": before})
        one.configure(projects={"ours": project(), "later": project()})
        one.post("/config/activate")
        for d in (one, two):
            self.assertEqual(d.kill_master(), -signal.SIGKILL)
            d.start_master()
        self.assertEqual((names(one), names(two)), (["later", "ours"], ["theirs"]))
        self.assertEqual([d.get("/status")["config"]["origin"] for d in (one, two)], [None, before])
        two.stop_master()


if __name__ == "__main__":
    unittest.main(verbosity=2)
