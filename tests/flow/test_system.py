#!/usr/bin/env python3
"""The whole: real master, real PostgreSQL, real workers, real git, driven through the API and the command line."""
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, UnixHttp, alive, busy, commit, free_port, git, link_of, make_repo, pids, read, sha, tell, wait_for  # noqa: E402

needs_descent = unittest.skipIf("/plain/" in os.environ.get("DROVER_WORKER", ""), "with nothing but POSIX processes are found by their session only")
GRACE_S = 10
BACK_S = 30
LINE_MB = 100
SUCCESS, FAILURE, SKIPPED, EXCEPTION, RETRY, CANCELLED = 0, 2, 3, 4, 5, 6


def site(builders, root, **project):
    """A project whose pipeline is the site's; ROOT stands for the test's folder."""
    for b in builders.values():
        b.setdefault("checkout", "none")
    return json.loads(json.dumps({"git": "ROOT/repo", "poll": "1h", "builders": builders, **project}).replace("ROOT", root))


def steps(*texts, **more):
    return {"steps": [{"name": f"s{i}", "run": t, **more} for i, t in enumerate(texts, 1)]}


def python(text, *args):
    return {"steps": [{"name": "s1", "run": ["python3", "-c", text, *args]}]}


# Prints 100 MB without a line feed, each MB different.
LINE = f"import sys\nblock = b'0123456789abcdefghij' * 49999\nfor i in range({LINE_MB}): sys.stdout.buffer.write(b'%020d' % i + block)"
# A tree of processes that does not want to end: a child in its own session, a double fork, one that ignores SIGTERM.
TREE = r'''
import os, signal, sys, time
def note():
    with open(sys.argv[1], "a") as f: f.write("%d\n" % os.getpid())
def stay(): note(); time.sleep(1000); os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0: os.setsid(); stay()
if os.fork() == 0:
    if os.fork() == 0: os.setsid(); os.environ.clear(); stay()
    os._exit(0)
if os.fork() == 0: signal.signal(signal.SIGTERM, signal.SIG_DFL); stay()
os.wait()
stay()
'''


class Builds(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 2}, "other": {"slots": 1, "tags": ["board", "big"]}}

    @classmethod
    def prepare(cls):
        make_repo(cls.d.path("repo"), {"a": "a"})
        cls.d.configure(projects={"p": site({
            "ok": steps("echo hello; echo oops >&2"),
            "three": steps('echo one', 'echo "$DROVER_BUILD $DROVER_PROJECT $DROVER_BUILDER"; exit 3', "echo never"),
            "argv": {"steps": [{"name": "s1", "run": ["printf", "%s|", "a b", "$(x)", ";"]}]},
            "signal": steps("kill -9 $$"), "none": {"steps": [{"name": "s1", "run": ["/no/such/program"]}]},
            "env": {"env": {"A": "1", "B": "2"}, "steps": [{"name": "s1", "run": "env", "env": {"B": "3"}}]},
            "idle": {"steps": [{"name": "s1", "run": "echo x; sleep 100", "timeout": {"idle": "1s"}}]},
            "total": {"steps": [{"name": "s1", "run": "while :; do echo x; sleep 0.1; done", "timeout": {"total": "1s"}}]},
            "tree": python(TREE, "ROOT/tree.pids"), "away": python(TREE, "ROOT/away.pids"),
            "wait": steps("while [ ! -e ROOT/go ]; do sleep 0.02; done"),
            "board": {"worker": {"tags": ["board"]}, **steps("echo board")},
            "nobody": {"worker": {"tags": ["mainframe"]}, **steps("echo never")},
            "bytes": python("import sys; sys.stdout.buffer.write(bytes(range(256)) * 300 + b'\\0\\xff\\xfe\\xc3(\\r\\n' * 5 + b'no end')"),
            "line": python(LINE), "empty": steps(":"),
            "if": {"env": {"JOBS": "${{ properties.jobs ?? 1 }}"}, "steps": [
                {"name": "s1", "run": ["echo", "${{ builder }} on ${{ branch ?? 'no branch' }}"]},
                {"name": "s2", "run": "echo full", "if": "properties.full"},
                {"name": "s3", "run": "echo $JOBS", "if": "result == success and branch == 'main'"}]},
            "novalue": {"steps": [{"name": "s1", "run": ["echo", "${{ properties.missing }}"]}]},
            "nonce": steps("cat ROOT/nonce")}, cls.d.root)})

    def cli(self, *argv, code=0, env=()):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock"), **dict(env)}, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return p.stdout.decode()

    def kinds(self, b):
        return [(s["name"], s["result"]) for s in b["steps"]]

    def command(self, b):
        return b["steps"][-1]["commands"][-1]

    # ---- results ----

    def test_success(self):
        b = self.d.run("p/ok")
        self.assertEqual((b["result"], b["state"], b["attempt"], self.kinds(b)), (SUCCESS, "done", 1, [("s1", SUCCESS)]))
        self.assertEqual(sorted(self.d.log(b["id"], "s1").split()), [b"hello", b"oops"])
        c = self.command(b)
        self.assertEqual((c["how"], c["code"], c["reason"]), ("exited", 0, "-"))

    def test_failing_step_halts(self):
        b = self.d.run("p/three")
        self.assertEqual((b["result"], self.kinds(b)), (FAILURE, [("s1", SUCCESS), ("s2", FAILURE)]))
        self.assertEqual((self.command(b)["how"], self.command(b)["code"]), ("exited", 3))
        self.assertEqual(self.d.log(b["id"], "s2").decode(), f"{b['id']} p three\n")
        self.assertIn("exit 3", b["steps"][1]["summary"])

    def test_argv_has_no_shell(self):
        b = self.d.run("p/argv")
        self.assertEqual(self.d.log(b["id"], "s1"), b"a b|$(x)|;|")
        self.assertEqual(self.command(b)["argv"], ["printf", "%s|", "a b", "$(x)", ";"])

    def test_conditions_and_expressions(self):
        b = self.d.run("p/if", properties={"jobs": 7})
        self.assertEqual((b["result"], self.kinds(b)), (SUCCESS, [("s1", SUCCESS), ("s2", SKIPPED), ("s3", SUCCESS)]))
        self.assertEqual((self.d.log(b["id"], "s1"), self.d.log(b["id"], "s3")), (b"if on main\n", b"7\n"))
        self.assertEqual((b["steps"][1]["summary"], b["steps"][1]["commands"]), ("not so: properties.full", []))
        self.cli("build", "p/if", "-p", "full:=true", "-p", "jobs=$(touch /nowhere)", "--wait")
        b = self.d.get("/builds/p/if/last")
        self.assertEqual((self.d.log(b["id"], "s2"), self.d.log(b["id"], "s3")), (b"full\n", b"$(touch /nowhere)\n"))
        b = self.d.run("p/novalue")
        self.assertEqual((b["result"], b["steps"][0]["summary"]), (EXCEPTION, "${{ properties.missing }}: this has no value"))
        for bad in ("x:=nope", "x:={}", "=1", ":=1", "x"):
            self.cli("build", "p/if", "-p", bad, code=2)

    def test_signal(self):
        b = self.d.run("p/signal")
        self.assertEqual((b["result"], self.command(b)["how"], self.command(b)["code"]), (FAILURE, "signaled", 9))

    def test_no_such_program(self):
        b = self.d.run("p/none")
        self.assertIn(b["result"], (FAILURE, EXCEPTION))
        self.assertEqual(self.command(b)["how"], "failed")
        self.assertIn("/no/such/program", json.dumps(b))

    def test_environment_is_clean(self):
        b = self.d.run("p/env")
        env = dict(line.split("=", 1) for line in self.d.log(b["id"], "s1").decode().splitlines())
        for name, value in {"A": "1", "B": "3", "CI": "true", "LANG": "C.UTF-8", "DROVER_BUILD": b["id"]}.items():
            self.assertEqual(env.get(name), value)
        self.assertTrue(env["HOME"].startswith(self.d.path("work-")))
        self.assertFalse({"DROVER_SOCKET", "DROVER_TEST_ROOT"} & set(env))

    def test_timeouts(self):
        for kind in ("idle", "total"):
            b = self.d.run("p/" + kind)
            self.assertNotEqual(b["result"], SUCCESS)
            self.assertEqual(self.command(b)["reason"], kind)
            self.assertLess(self.command(b)["wall_ms"], 3500 * busy())

    def test_command_line(self):
        self.cli("build", "p/ok", "--wait")
        self.assertIn("hello", self.cli("build", "p/ok", "--follow"))
        self.cli("build", "p/three", "--wait", code=1)
        self.assertEqual(self.cli("log", "--raw", "three/last:s1"), "one\n")
        self.cli("status")
        self.cli("build", "p/nothing", "--wait", code=2)
        self.cli("status", code=5, env={"DROVER_SOCKET": self.d.path("nobody.sock")})

    # ---- logs ----

    def same_log(self, b, want):
        for zipped in (True, False):
            got = self.d.log(b["id"], "s1", zipped)
            self.assertEqual((len(got), sha(got)), (len(want), sha(want)))
        self.assertEqual(b["steps"][0]["logs"][0]["length"], len(want))

    def test_log_of_any_bytes(self):
        b = self.d.run("p/bytes")
        self.same_log(b, bytes(range(256)) * 300 + b"\0\xff\xfe\xc3(\r\n" * 5 + b"no end")
        self.same_log(self.d.run("p/empty"), b"")
        log = b["steps"][0]["logs"][0]["id"]
        stored = b"".join(bytes.fromhex(z) for z, in self.d.sql(f"select encode(z, 'hex') from log_chunk where log = {log} order by off"))
        body = self.d.api("GET", f"/builds/{b['id']}/logs/s1", headers={"Accept-Encoding": "gzip"}).body
        at = body.find(stored)
        self.assertTrue(stored and 0 < at <= 30 and len(body) - at - len(stored) <= 30, "the body is not the stored rows with a head and a tail")

    def test_log_line_of_100_mb(self):
        b = self.d.run("p/line", seconds=120)
        self.assertEqual(b["result"], SUCCESS)
        block = b"0123456789abcdefghij" * 49999
        self.same_log(b, b"".join(b"%020d" % i + block for i in range(LINE_MB)))

    # ---- where ----

    def test_tags(self):
        self.assertEqual(self.d.run("p/board")["worker"], "other")
        rid = self.d.ask("p/nobody")
        why = wait_for(lambda: (w := self.d.get(f"/requests/{rid}/why"))["reason"]["kind"] == "no_worker" and w, "the reason")
        self.assertIn("mainframe", why["reason"]["text"])
        r = self.d.post(f"/requests/{rid}/cancel", {"reason": "no such machine"})
        self.assertEqual(r["state"], "cancelled")
        r = self.d.wait_request(rid)
        self.assertEqual((r["result"], r["builds"]), (CANCELLED, []))

    def test_slots(self):
        go = self.d.path("go")
        rids = [self.d.ask("p/wait") for _ in range(5)]
        wait_for(lambda: sum(self.d.request(r)["state"] == "claimed" for r in rids) == 3, "three builds")
        wait_for(lambda: self.d.get("/status")["counts"]["running"] == 3, "three that run")
        waiting = [r for r in rids if self.d.request(r)["state"] == "pending"]
        wait_for(lambda: self.d.get(f"/requests/{waiting[0]}/why")["reason"]["kind"] == "slots", "the reason of the fourth")
        open(go, "w").close()
        where = [self.d.get("/builds/" + self.d.wait_request(r)["builds"][0]) for r in rids]
        os.unlink(go)
        self.assertEqual({b["result"] for b in where}, {SUCCESS})
        self.assertEqual({b["worker"] for b in where}, {"here", "other"})

    def test_rerun(self):
        b = self.d.run("p/ok")
        rid = self.d.post(f"/builds/{b['id']}/rerun", {}, 201)["requests"][0]
        again = self.d.get("/builds/" + self.d.wait_request(rid)["builds"][0])
        self.assertEqual((again["result"], again["revision"], again["attempt"]), (SUCCESS, b["revision"], 1))
        self.assertNotEqual(again["id"], b["id"])
        self.assertIn(b["id"], again["reason"])

    # ---- cancel ----

    def tree(self, name):
        path = self.d.path(name)
        words = wait_for(lambda: (t := read(path).split()) and len(t) >= 4 and t, "the tree")
        return [int(w) for w in words]

    @needs_descent
    def test_cancel_running(self):
        rid = self.d.ask("p/tree")
        tree = self.tree("tree.pids")
        b = self.d.wait_build(rid)
        begin = time.monotonic()
        self.assertEqual(self.d.post(f"/builds/{b['id']}/cancel", {"reason": "enough"})["state"], "cancelling")
        self.assertEqual(self.d.request(rid)["result"], CANCELLED)  # at once
        wait_for(lambda: not [p for p in tree if alive(p)], "the end of the tree", GRACE_S + 2)
        self.assertGreater(time.monotonic() - begin, GRACE_S - 1)   # somebody ignores SIGTERM
        r = self.d.wait_request(rid)
        b = self.d.get("/builds/" + b["id"])
        self.assertEqual((r["result"], b["result"], len(r["builds"])), (CANCELLED, CANCELLED, 1))
        self.d.post(f"/builds/{b['id']}/cancel", {}, 200)  # again: nothing

    @needs_descent
    def test_cancel_while_the_worker_is_away(self):
        self.d.start_worker("third")
        self.d.kill_worker("here", 15)
        self.d.kill_worker("other", 15)
        self.d.wait_worker("here", False)
        self.d.wait_worker("other", False)
        try:
            rid = self.d.ask("p/away")
            tree = self.tree("away.pids")
            self.d.kill_worker("third")
            self.d.wait_worker("third", False)
            self.d.post(f"/requests/{rid}/cancel")
            self.assertEqual((self.d.request(rid)["state"], self.d.request(rid)["result"]), ("done", CANCELLED))
            self.assertTrue([p for p in tree if alive(p)])
            self.d.start_worker("third")
            wait_for(lambda: not [p for p in tree if alive(p)], "the end of the tree", GRACE_S + 5)
            self.assertEqual(self.d.wait_request(rid)["result"], CANCELLED)
        finally:
            self.d.start_worker("here")
            self.d.start_worker("other")
        # and removed: its link is closed, nothing new goes there
        self.d.api("DELETE", "/workers/third")
        wait_for(lambda: "no worker third" in read(self.d.path("worker-third.log")).decode(), "the worker's word")
        wait_for(lambda: "refused third" in read(self.d.path("master.log")).decode(), "the master's word")
        self.d.kill_worker("third", 15)
        self.assertEqual(self.d.run("p/ok")["result"], SUCCESS)

    # ---- the event stream ----

    def events(self, after, headers=None):
        last = int(self.d.events("select max(number) from event")[0][0])  # with what was committed just now
        c = UnixHttp(self.d.path("api.sock"), DEADLINE_S)
        c.request("GET", f"/api/v1/events?after={after}" if after is not None else "/api/v1/events", headers=headers or {})
        r = c.getresponse()
        found, fields = [], {}
        while not found or found[-1]["number"] < last:
            line = r.readline().decode().rstrip("\n")
            if line.startswith("data:"):
                found.append(json.loads(line[5:]))
                self.assertEqual(int(fields["id"]), found[-1]["number"])
            elif ":" in line and line[0] != ":":
                name, value = line.split(":", 1)
                fields[name] = value.strip()
        c.close()
        return found

    def test_events_are_dense(self):
        self.d.run("p/ok")
        numbers = [e["number"] for e in self.events(0)]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.d.run("p/ok")
        more = self.events(None, {"Last-Event-ID": str(numbers[-1])})
        self.assertEqual([e["number"] for e in more], list(range(len(numbers) + 1, len(numbers) + len(more) + 1)))
        self.assertLessEqual({"build.started", "step.started", "step.done", "build.done", "request.done"}, {e["type"] for e in more})

    # ---- the database is away ----

    def test_database_away(self):
        data, gone = self.d.path("pg/data"), self.d.path("pg/data.gone")
        connected = read(self.d.path("worker-here.log")).count(b"connected as")
        rid = self.d.ask("p/wait")
        self.d.wait_build(rid, lambda b: b["steps"][0]["commands"], "the command")
        postmaster = self.d.postmaster()
        os.rename(data, gone)  # so that it can't come back at once
        self.addCleanup(lambda: os.path.exists(gone) and os.rename(gone, data))
        os.kill(postmaster, 9)
        status = wait_for(lambda: not (s := self.d.get("/status"))["database"]["up"] and s["database"]["why"] and s, "the status")
        self.assertTrue(status["version"])
        a = self.d.api("POST", "/builds", {"builder": "p/ok"})
        self.assertEqual((a.status, a.json["error"]["code"], a.headers["Retry-After"]), (503, "database_away", "1"))
        self.assertIn("database", self.cli("status").lower())
        open(self.d.path("go"), "w").close()  # it ends meanwhile
        wait_for(lambda: not self.d.minders(), "the step's end")
        os.rename(gone, data)
        wait_for(lambda: self.d.get("/status")["database"]["up"], "the database", BACK_S)
        r = self.d.wait_request(rid)
        os.unlink(self.d.path("go"))
        self.assertEqual((r["result"], r["attempts"]), (SUCCESS, 1))
        self.assertEqual(read(self.d.path("worker-here.log")).count(b"connected as"), connected)


class Git(Case):
    PROJECTS = {"g": {}, "stable": {}, "broken": {}, "wire": {}}

    @classmethod
    def prepare(cls):
        d = cls.d
        cls.repo = {name: d.path("repo-" + name) for name in cls.PROJECTS}
        cls.first = make_repo(cls.repo["g"], {".drover.yml": "steps:\n  - {name: show, run: 'cat word; git rev-parse HEAD'}\n", "word": "first\n"})
        make_repo(cls.repo["stable"], {".drover.yml": "builders:\n  b: {steps: ['cat word']}\nschedulers:\n  calm: {change: {}, stable: 4s}\n", "word": "0\n"})
        make_repo(cls.repo["broken"], {"word": "no pipeline\n"})
        make_repo(cls.repo["wire"], {".drover.yml": "steps: [{name: show, run: cat word}]\n", "word": "wire\n"})
        cls.port = free_port()
        d.configure(projects={**{name: {"git": cls.repo[name], "poll": "200ms"} for name in ("g", "stable", "broken")},
                              "wire": {"git": f"git://127.0.0.1:{cls.port}/repo-wire", "poll": "1h"}})
        cls.daemon = d.spawn("git-daemon.log", "git", "-c", "safe.directory=*", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={cls.port}", f"--base-path={d.root}")

        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", cls.port)) == 0
        wait_for(listens, "git daemon")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.terminate()
        cls.daemon.wait()
        super().tearDownClass()

    def setUp(self):
        """The poller has noted what was there."""
        for name in ("g", "stable", "broken"):
            self.d.wait_looked(name)

    def change(self, project, revision):
        def there():
            for c in self.d.get(f"/changes?project={project}")["items"]:
                if c["revision"] == revision and c["state"] != "reading":
                    return self.d.get("/changes/" + c["id"])
        return wait_for(there, f"the change {revision}")

    def build_of(self, change):
        sets = wait_for(lambda: self.d.get("/changes/" + change["id"])["buildsets"], "the buildset")
        self.assertEqual(len(sets), 1)
        rid = self.d.get("/buildsets/" + sets[0])["requests"][0]["id"]
        return self.d.get("/builds/" + self.d.wait_request(rid)["builds"][0])

    def names(self, build):
        """The checkout's commands, in order."""
        return [c["name"] for c in build["steps"][0]["commands"]]

    def tree(self, project):
        return glob.glob(self.d.path("work-here", "work", project, "**", "tree"), recursive=True)[0]

    def test_1_commit_to_build(self):
        rev = commit(self.repo["g"], {"word": "second\n"}, "second\n\nwith a body, ü")
        c = self.change("g", rev)
        self.assertEqual((c["branch"], c["previous"], c["message"].strip(), c["files"], c["told_by"]), ("main", self.first, "second\n\nwith a body, ü", ["word"], "git poller"))
        self.assertIn("Ann", c["author"])
        b = self.build_of(c)
        self.assertEqual((b["result"], b["revision"], b["got_revision"]), (SUCCESS, rev, rev))
        self.assertEqual(self.d.log(b["id"], "show").decode(), f"second\n{rev}\n")
        git_step = b["steps"][0]
        self.assertEqual((git_step["kind"], git_step["state"], git_step["result"]), ("git", "done", SUCCESS))
        self.assertEqual(self.names(b), ["trust", "clone", "checkout", "clean", "revision"])
        for cmd in git_step["commands"]:
            self.assertEqual((cmd["argv"][0], cmd["state"], cmd["code"]), ("git", "done", 0))
        # the next one fetches into the tree that is there
        rev = commit(self.repo["g"], {"word": "third\n"}, "third")
        b = self.build_of(self.change("g", rev))
        self.assertEqual((b["result"], b["got_revision"], self.names(b)), (SUCCESS, rev, ["trust", "fetch", "checkout", "clean", "revision"]))
        self.assertEqual(self.d.log(b["id"], "show").decode(), f"third\n{rev}\n")

    def test_2_pipeline_at_the_revision(self):
        old = git(self.repo["g"], "rev-parse", "HEAD")
        new = commit(self.repo["g"], {".drover.yml": "steps:\n  - {name: other, run: echo other}\n"}, "another pipeline")
        self.assertEqual([s["name"] for s in self.build_of(self.change("g", new))["steps"]][1:], ["other"])
        self.assertEqual([s["name"] for s in self.d.run("g/g", branch="main", revision=old)["steps"]][1:], ["show"])

    def test_3_force_push(self):
        before = git(self.repo["g"], "rev-parse", "HEAD")
        with open(os.path.join(self.repo["g"], "word"), "w") as f:
            f.write("amended\n")
        git(self.repo["g"], "commit", "-q", "-a", "--amend", "-m", "amended")
        rev = git(self.repo["g"], "rev-parse", "HEAD")
        self.assertNotEqual(rev, before)
        b = self.build_of(self.change("g", rev))
        self.assertEqual((b["result"], b["got_revision"]), (SUCCESS, rev))

    def test_4_broken_tree(self):
        self.assertEqual(self.d.run("g/g", branch="main")["result"], SUCCESS)
        for entry in glob.glob(os.path.join(self.tree("g"), ".git/objects/*")):
            shutil.rmtree(entry)
        b = self.d.run("g/g", branch="main")  # git fetches all of it again
        self.assertEqual((b["result"], b["got_revision"]), (SUCCESS, git(self.repo["g"], "rev-parse", "HEAD")))
        with open(os.path.join(self.tree("g"), ".git/config"), "w") as f:
            f.write("[what is this\n")
        b = self.d.run("g/g", branch="main")
        self.assertEqual((b["result"], b["got_revision"]), (SUCCESS, git(self.repo["g"], "rev-parse", "HEAD")))
        self.assertEqual(self.names(b), ["trust", "fetch", "clone", "checkout", "clean", "revision"])
        # without HEAD it is no repository to git, which must not go looking for one above it
        above = self.d.path("work-here", "work", "g")
        git(above, "init", "-q")
        os.unlink(os.path.join(self.tree("g"), ".git/HEAD"))
        b = self.d.run("g/g", branch="main")
        self.assertEqual((b["result"], b["got_revision"]), (SUCCESS, git(self.repo["g"], "rev-parse", "HEAD")))
        self.assertIn("clone", self.names(b))
        self.assertEqual(git(above, "for-each-ref"), "")
        shutil.rmtree(os.path.join(above, ".git"))

    def test_5_untracked_files_go(self):
        with open(os.path.join(self.tree("g"), "rubbish"), "w") as f:
            f.write("x")
        self.assertEqual(self.d.run("g/g", branch="main")["result"], SUCCESS)
        self.assertFalse(os.path.exists(os.path.join(self.tree("g"), "rubbish")))

    def test_6_stable_timer(self):
        revs = [commit(self.repo["stable"], {"word": f"{i}\n"}, str(i)) for i in range(3)]
        c = self.change("stable", revs[-1])
        b = self.build_of(c)
        self.assertEqual((b["result"], b["got_revision"]), (SUCCESS, revs[-1]))
        sets = self.d.sql("select count(*) from buildset where scheduler = 'calm'")
        self.assertEqual(sets, [["1"]])
        self.assertEqual(len(self.d.get("/builds?builder=stable/b")["items"]), 1)

    def test_7_no_pipeline_and_a_bad_one(self):
        rev = commit(self.repo["broken"], {"word": "x"}, "still none")
        c = self.change("broken", rev)
        self.assertIn(".drover.yml", c["error"])
        self.assertEqual(c["buildsets"], [])
        rev = commit(self.repo["broken"], {".drover.yml": "steps:\n  - run: make\n  - runn: make\n"}, "a typing error")
        c = self.change("broken", rev)
        self.assertEqual((c["state"], c["buildsets"]), ("failed", []))
        self.assertRegex(c["error"], r"\.drover\.yml:3:\d+")
        self.assertIn("runn", c["error"])
        a = self.d.api("POST", "/builds", {"builder": "broken/broken", "branch": "main", "revision": rev})
        self.assertEqual(a.status, 400)
        self.assertRegex(a.json["error"]["message"], r"\.drover\.yml:3:\d+")

    def test_8_change_send(self):
        known = git(self.repo["g"], "rev-parse", "HEAD")
        self.change("g", known)
        send = {"project": "g", "branch": "main", "revision": known, "author": "me", "message": "told again"}
        a = self.d.api("POST", "/changes", send)
        self.assertEqual((a.status, a.json["new"]), (200, False))
        git(self.repo["g"], "checkout", "-q", "--detach")
        rev = commit(self.repo["g"], {"word": "on no branch\n"}, "loose")
        git(self.repo["g"], "branch", "-f", "topic", rev)
        git(self.repo["g"], "checkout", "-q", "main")
        answers = [self.d.api("POST", "/changes", {**send, "branch": "topic", "revision": rev}).json for _ in range(2)]
        self.assertEqual(len({a["change"] for a in answers}), 1)
        self.assertFalse(answers[1]["new"])
        self.assertEqual(self.build_of(self.change("g", rev))["result"], SUCCESS)
        self.assertEqual(len([c for c in self.d.get("/changes?project=g")["items"] if c["revision"] == rev]), 1)

    def test_9_hostile_names(self):
        marker = self.d.path("pwned")
        bad = ["--upload-pack=touch " + marker, "-x", "a b", "a..b", "../x", "a\nb", "x;touch " + marker, "$(touch " + marker + ")", "@{-1}", "a~1", "a:b", ".", "x.lock", "\x1b[m", "a\\b", ""]
        head = git(self.repo["g"], "rev-parse", "HEAD")
        for name in bad[:-1]:
            for path, body in (("/builds", {"builder": "g/g", "branch": name}), ("/changes", {"project": "g", "branch": name, "revision": head})):
                self.assertEqual(self.d.api("POST", path, body).status, 400, (path, name))
        for name in ["--help", "HEAD", "main", "x" * 40, "$(touch " + marker + ")", "-" + "a" * 39]:
            for path, body in (("/builds", {"builder": "g/g", "branch": "main", "revision": name}), ("/changes", {"project": "g", "branch": "main", "revision": name})):
                self.assertEqual(self.d.api("POST", path, body).status, 400, (path, name))
        # names that git allows: built as they are, or not at all, but never run
        for name in ("a;touch${IFS}" + marker, "$(touch${IFS}" + marker + ")", "`touch${IFS}" + marker + "`", "a|b", "a&b", "ü"):
            git(self.repo["g"], "branch", "-f", name, head)
            a = self.d.api("POST", "/builds", {"builder": "g/g", "branch": name})
            self.assertIn(a.status, (201, 400), name)
            if a.status == 201:
                r = self.d.wait_request(a.json["requests"][0])
                self.assertEqual(r["result"], SUCCESS, name)
        self.assertFalse(os.path.exists(marker))

    def test_a_no_shell_before_the_first_step(self):
        trace = self.d.path("trace")
        self.d.kill_worker(sig=15)
        self.d.wait_worker(connected=False)
        argv = [f"{BUILD}/drover-worker", "--join-file", self.d.token(), "--dir", self.d.path("work-here"), "--connect", "unix:" + self.d.path("w.sock")]
        env = {**self.d.env, "ASAN_OPTIONS": "detect_leaks=0"}  # it can't look for leaks while it is traced
        p = self.d.spawn("strace.log", "strace", "-f", "-q", "-e", "trace=execve", "-e", "signal=none", "-o", trace, *argv, env=env)
        self.d.wait_worker()
        b = self.d.run("wire/wire", branch="main")
        self.d.agents["here"] = p
        worker = wait_for(lambda: [q for q in pids() if link_of(q, "exe") == f"{BUILD}/drover-worker" and b"--minder" not in read(f"/proc/{q}/cmdline") and
                                   self.d.root.encode() in read(f"/proc/{q}/cmdline")], "the worker")
        for q in worker:
            tell(q, 15)
        p.wait(DEADLINE_S)
        self.d.start_worker()
        self.assertEqual(b["result"], SUCCESS)
        self.assertEqual(self.names(b), ["clone", "checkout", "clean", "revision"])
        begun, lines = {}, []
        for pid, text in re.findall(r"^(\d+) +(.*)$", read(trace).decode(), re.M):  # a call in which another process ends or calls comes in two parts
            if text.endswith("<unfinished ...>"):
                begun[pid] = text[:-16]
            else:
                lines.append(begun.pop(pid, "") + text.partition("<... execve resumed>")[2] if text.startswith("<... execve") else text)
        ran = re.findall(r'execve\("([^"]*)", \[(.*?)\]?(?:\.\.\.)?\], .* = 0$', "\n".join(lines), re.M)
        programs = [os.path.basename(path) for path, _ in ran]
        shell = next(i for i, name in enumerate(programs) if name in ("sh", "dash", "bash"))
        before = programs[:shell]
        self.assertLessEqual({name for name in before if not name.startswith("git")}, {"drover-worker", "exe"})  # exe: the worker starts itself as a minder
        self.assertGreaterEqual(sum(path.endswith("/git") for path, _ in ran[:shell]), 4)
        self.assertIn("cat word", ran[shell][1])


class Links(Case):
    """Over TLS, with join tokens."""

    def refused(self, d, name, text, words):
        """A worker with this token is told why, and the master says whom it refused."""
        path = d.write_token(d.path("token-bad"), text)
        p = d.start_worker(name, wait=False, token=path, folder=d.path("work-bad"))
        for log, word in words.items():
            wait_for(lambda: re.search(word, read(d.path(log)).decode()), f"{word} in {log}", 20)
        self.assertIsNone(p.poll())  # it goes on trying
        self.assertLess(read(d.path(f"worker-{name}.log")).count(b"\n"), 60)
        d.kill_worker(name, 15)
        shutil.rmtree(d.path("work-bad"))
        os.unlink(d.path(f"worker-{name}.log"))

    def test_tls(self):
        d = self.own({}, tcp=True)
        make_repo(d.path("repo"), {"a": "a"})
        d.configure(projects={"p": site({"ok": steps("echo over TLS")}, d.root)})
        d.start_master()
        text = read(d.token()).decode()
        self.assertRegex(text, r"^127\.0\.0\.1:\d+#spki-sha256:[0-9a-f]{64}#here:[A-Za-z0-9_-]{32,64}$")
        address, pin, who = text.split("#")
        self.refused(d, "w1", f"{address}#{pin}#here:{'x' * 43}", {"master.log": r"warn worker: refused here from .*secret", "worker-w1.log": r"(warn|error) .*secret of worker here"})
        self.refused(d, "w2", f"{address}#{pin}#nobody:{who.split(':')[1]}", {"master.log": r"refused nobody from .*no worker nobody", "worker-w2.log": r"no worker nobody"})
        wrong = "spki-sha256:" + "".join("0" if c != "0" else "1" for c in pin.split(":")[1])
        self.refused(d, "w3", f"{address}#{wrong}#{who}", {"master.log": r"link: 127.* does not trust this master's key", "worker-w3.log": r"(warn|error) .*(pin|key)"})
        d.start_worker()
        b = d.run("p/ok")
        self.assertEqual((b["result"], d.log(b["id"], b["steps"][0]["name"])), (SUCCESS, b"over TLS\n"))
        # a second instance under the name is refused while the first one answers
        d.start_worker("again", wait=False, token=d.token(), folder=d.path("work-again"))
        wait_for(lambda: "another instance is connected as here" in read(d.path("worker-again.log")).decode(), "the refusal")
        d.kill_worker("again", 15)
        self.assertEqual(d.run("p/ok")["result"], SUCCESS)


class Lives(Case):
    """Reboots, and a backup that is restored."""

    def drover(self):
        d = self.own({})
        make_repo(d.path("repo"), {"a": "a"})
        d.configure(projects={"p": site({"hang": steps("echo run >>ROOT/ran; sleep 1000"), "nonce": steps("cat ROOT/nonce"),
                                         "slow": steps("while [ ! -e ROOT/go ]; do sleep 0.02; done; cat ROOT/nonce")}, d.root)})
        return d

    def test_reboot(self):
        d = self.drover()
        d.start_master()
        d.start_worker(env={"DROVER_TEST_BOOT_ID": "%032x" % 1})
        rid = d.ask("p/hang")
        for boot in (2, 3, 4):
            wait_for(lambda: len(self.lines(d.path("ran"))) == boot - 1 and d.minders(), f"attempt {boot - 1}")
            d.kill_worker()
            for p in d.ours():  # a reboot leaves nothing of the worker's
                if p != d.master.pid and link_of(p, "exe") and p not in d.postgres() and b"drover-git-helper" not in read(f"/proc/{p}/cmdline"):
                    tell(p, 9)
            d.start_worker(env={"DROVER_TEST_BOOT_ID": "%032x" % boot})
        r = d.wait_request(rid)
        self.assertEqual((r["result"], r["attempts"], len(r["builds"])), (EXCEPTION, 3, 3))
        self.assertIn("lost 3 times", r["why"])
        self.assertEqual(sorted((b["attempt"], b["result"]) for b in (d.get("/builds/" + x) for x in r["builds"])), [(1, RETRY), (2, RETRY), (3, RETRY)])
        self.assertEqual(len(self.lines(d.path("ran"))), 3)

    def nonce(self, d, text):
        with open(d.path("nonce"), "w") as f:
            f.write(text)

    def test_restore(self):
        d = self.drover()
        d.up()
        self.nonce(d, "before")
        old = [d.run("p/nonce")["id"] for _ in range(3)]
        running = d.ask("p/slow")
        d.wait_build(running, lambda b: b["steps"][0]["commands"], "the command")
        dump = subprocess.run(["pg_dump", *d.psql_argv()[7:11], "drover"], stdout=subprocess.PIPE, check=True).stdout
        self.nonce(d, "after")
        open(d.path("go"), "w").close()
        for _ in range(5):
            d.run("p/nonce")
        d.wait_request(running)
        was = d.get("/status")
        self.assertEqual(d.kill_worker(sig=15), 0)
        self.assertEqual(d.stop_master(), 0)
        os.rename(d.path("pg"), d.path("pg.old"))
        d.start_master()   # makes a fresh cluster
        d.kill_master()    # and leaves it running
        psql = d.psql_argv()[:-2]
        subprocess.run([*psql, "-d", "postgres", "-c", "drop database drover with (force)", "-c", "create database drover"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*psql, "-d", "drover"], input=dump, check=True, stdout=subprocess.DEVNULL)
        self.nonce(d, "restored")
        d.start_master()
        status = d.get("/status")
        self.assertEqual((status["cluster"], status["incarnation"]), (was["cluster"], was["incarnation"] + 1))
        d.start_worker()   # the same folder, the same token
        for b in old:
            self.assertEqual(d.log(b, "s1"), b"before")
        for _ in range(8):
            b = d.run("p/nonce")
            self.assertEqual((b["result"], d.log(b["id"], "s1")), (SUCCESS, b"restored"))
        r = d.wait_request(running)  # it ran when the dump was made: its result is one that belongs to it
        self.assertEqual(r["result"], SUCCESS)
        self.assertEqual(d.log(r["builds"][-1], "s1"), b"restored" if r["attempts"] > 1 else d.log(r["builds"][-1], "s1"))


class Programs(unittest.TestCase):
    """What the programs are made of."""

    def out(self, *argv):
        return subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout.decode()

    def test_no_git_in_the_worker(self):
        self.assertEqual([line for line in self.out("strings", f"{BUILD}/drover-worker").splitlines() if re.search(r"\bgit\b", line)], [])

    def test_the_master_deflates_nothing(self):
        self.assertEqual([s for s in self.out("nm", "-u", f"{BUILD}/drover-master").split() if s.startswith("deflate") or s == "compress"], [])

    def test_the_command_line_knows_no_database(self):
        self.assertNotIn("libpq", self.out("ldd", f"{BUILD}/drover"))


if __name__ == "__main__":
    unittest.main()
