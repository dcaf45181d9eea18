#!/usr/bin/env python3
"""Work folders and full disks: what the master knows of them, what it removes and when, and that nothing is removed under a build."""
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, alive, link_of, make_repo, pids, read, tell, wait_for  # noqa: E402

SUCCESS, FAILURE = 0, 2
MIB = 1 << 20
DISK_MIB, LEAST_MIB, BUILD_MIB = 96, 60, 20
PATIENCE_S = 60
SLOW_US = 60000  # each unlink of a slowed-down removal


FILL = f"dd if=/dev/zero of=fill bs=1M count={BUILD_MIB} 2>/dev/null; touch ROOT/filled-$DROVER_BUILDER; while [ ! -e ROOT/go-$DROVER_BUILDER ]; do sleep 0.05; done"
BUSY = "echo x >file; touch ROOT/busy; while [ ! -e ROOT/go ]; do sleep 0.05; done; cat file"
# Notices when something is taken from it.
WATCHFUL = "for i in $(seq 40); do echo $i >f$i; done; mkdir -p d/e; sleep 0.05; [ $(ls | wc -l) = 41 ]; cat f1 f40; [ -d d/e ]; [ -d $HOME ]; [ -d $TMPDIR ]; rm -rf f*"
HOSTILE = """import os
os.symlink('/', 'root'); os.symlink('ROOT/outside', 'out'); os.symlink('..', 'up'); os.symlink('loop', 'loop'); os.mkfifo('pipe')
for i in range(100):
    os.mkdir('d%d' % i)
    for k in range(1000): os.close(os.open('d%d/%d' % (i, k), os.O_CREAT))
os.mkdir('shut'); os.mkdir('shut/in'); os.chmod('shut', 0)
with open('sparse', 'w') as f: f.truncate(1 << 40)
for i in range(800): os.mkdir('deep'); os.chdir('deep')
"""
MANY = "if [ -e 1 ]; then echo old; exit 1; fi; for i in $(seq 200); do echo $i >$i; done"


def project(root, tag, **builders):
    """Builders that run on the worker with that tag; ROOT stands for the test's folder."""
    text = json.dumps({"git": "ROOT/repo", "poll": "1h", "builders": {name: {"checkout": "none", "worker": {"tags": [tag]}, "steps": [{"name": "s", "run": run}]}
                                                                      for name, run in builders.items()}})
    return json.loads(text.replace("ROOT", root))


class Folders(Case):
    """One master; each test has a worker and a project of its own, both with its name."""

    def worker(self, name):
        return self.d.get("/workers/" + name)

    def folder(self, name, path):
        return next((f for f in self.worker(name)["folders"] if f["path"] == path), None)

    def on_disk(self, name, *path):
        return self.d.path("work-" + name, "work", *path)

    def wait_gone(self, name, path, seconds=PATIENCE_S):
        """From the database, and from the disk before that."""
        wait_for(lambda: not self.folder(name, path), f"the removal of {path}", seconds)
        self.assertFalse(os.path.exists(self.on_disk(name, path)))

    def events(self, name, kind):
        return [json.loads(body) for body, in self.d.events(f"select body from event where type = 'work.{kind}' and object = 'worker/{name}' order by number")]

    def why(self, rid):
        a = self.d.try_api("GET", f"/requests/{rid}/why")
        return a.json["reason"] if a and a.status == 200 else {"kind": "", "text": "", "object": None}

    def wait_why(self, rid, kind):
        return wait_for(lambda: (w := self.why(rid))["kind"] == kind and w, f"reason {kind} of {rid}", PATIENCE_S)

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return (p.stdout if code == 0 else p.stderr).decode()

    def touch(self, name):
        open(self.d.path(name), "w").close()

    def start(self, name):
        """The test's worker; ended with the test."""
        p = self.d.start_worker(name)
        self.addCleanup(lambda: (p.poll() is None and p.terminate(), p.wait(30)))
        return p

    def agents(self, name):
        """Its agent's process and those forked from it, which remove or measure."""
        folder = self.d.path("work-" + name).encode()
        return [p for p in pids() if link_of(p, "exe").startswith(f"{BUILD}/drover-worker") and folder in (a := read(f"/proc/{p}/cmdline").split(b"\0")) and b"--minder" not in a]

    def parent(self, pid):
        found = re.search(rb"\nPPid:\t(\d+)\n", read(f"/proc/{pid}/status"))
        return int(found[1]) if found else 0

    def removers(self, name):
        agents = self.agents(name)
        return [p for p in agents if self.parent(p) in agents]


class Alive(Folders):
    PROJECTS = {}
    WORKERS = {"full": {"slots": 3, "min_free": f"{LEAST_MIB}M"}, "tiny": {"min_free": "1000T"}, "late": {"keep_work": "2s"}, "clean": {"slots": 2}, "stuck": {}, "race": {"slots": 2},
               "race2": {}, "lock": {}, "evil": {"slots": 2}, "old": {"min_free": "1000T"}}

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a"})
        builders = {"full": {"a": FILL, "b": FILL, "c": "echo built"}, "tiny": {"a": "echo never"}, "late": {"a": "echo x >file"},
                    "clean": {"a": "dd if=/dev/zero of=fill bs=1M count=3 2>/dev/null", "b": "echo x >file", "busy": BUSY}, "stuck": {"a": "echo x >file"},
                    "race": {"a": WATCHFUL, "b": WATCHFUL}, "lock": {"a": "[ ! -e file ]; echo x >file", "b": "while [ -e ROOT/hold ]; do sleep 0.05; done"},
                    "evil": {"bad": ["python3", "-c", HOSTILE], "ok": "echo fine"}, "old": {"a": "echo x >file"}}
        d.configure(projects={name: project(d.root, name, **b) for name, b in builders.items()},
                    workers={name: {**w, "tags": ["race" if name == "race2" else name]} for name, w in d.workers.items()})
        d.workers = {}  # each test starts its own

    # ---- a disk that fills up ----

    def small_disk(self, folder):
        os.mkdir(folder, 0o755)
        p = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0755", "none", folder], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if p.returncode:
            os.rmdir(folder)
            self.skipTest(f"no file system can be mounted here: {p.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)

    def test_full_disk(self):
        d = self.d
        self.small_disk(d.path("work-full"))
        self.start("full")
        disk = self.worker("full")["disk"]
        self.assertEqual((disk["total"], disk["min_free"]), (DISK_MIB * MIB, LEAST_MIB * MIB))
        self.assertLess(LEAST_MIB * MIB, disk["free"])
        a, b = d.ask("full/a"), d.ask("full/b")
        wait_for(lambda: os.path.exists(d.path("filled-a")) and os.path.exists(d.path("filled-b")), "40 MiB of files", PATIENCE_S)
        wait_for(lambda: self.worker("full")["disk"]["free"] < LEAST_MIB * MIB, "the master to know", PATIENCE_S)
        c = d.ask("full/c")
        w = self.wait_why(c, "disk")
        self.assertEqual(w["object"], "full")
        self.assertRegex(w["text"], r"^full has 5\d MiB free, 60 MiB must stay free \(min_free\)")
        wait_for(lambda: "no unused work folder is left" in self.why(c)["text"], "a look at the folders", PATIENCE_S)
        self.assertIn("must stay free", self.cli("why", c))
        self.assertRegex(self.cli("worker", "show", "full"), r"disk +5\d MiB free of 96 MiB, 60 MiB must stay free: no new builds")
        self.assertEqual(d.request(c)["state"], "pending")
        slot = d.wait_build(a)["slot"]
        self.touch("go-a")  # now its folder is used by nobody, and in the way
        self.assertEqual(d.wait_request(c, PATIENCE_S)["result"], SUCCESS)
        self.assertEqual(d.request(a)["result"], SUCCESS)
        cleaned = self.events("full", "cleaned")[0]
        self.assertEqual(cleaned["path"], f"full/a/{slot}")
        self.assertIn("min_free", cleaned["why"])
        used = self.folder("full", f"full/b/{d.wait_build(b)['slot']}")
        self.assertEqual((used["state"], os.path.getsize(self.on_disk("full", used["path"], "tree", "fill"))), ("used", BUILD_MIB * MIB))
        self.touch("go-b")
        self.assertEqual(d.wait_request(b)["result"], SUCCESS)
        # what doctor and other masters read
        row, = d.sql("select disk_free > 0, disk_total, disk_at > now() - interval '1 hour' from worker_session x join worker w on w.id = x.worker where w.name = 'full'")
        self.assertEqual(row, ["t", str(DISK_MIB * MIB), "t"])

    def test_a_disk_that_can_never_have_so_much_free(self):
        self.start("tiny")
        a = self.d.ask("tiny/a")
        self.assertRegex(self.wait_why(a, "disk")["text"], r"1000 TiB must stay free \(min_free\); its disk has only .* in all")
        self.assertEqual(self.d.request(a)["state"], "pending")

    # ---- time ----

    def test_unused_for_long(self):
        self.start("late")
        self.assertEqual(self.d.run("late/a")["result"], SUCCESS)
        self.wait_gone("late", "late/a/0")
        self.assertEqual([(e["path"], "keep_work" in e["why"]) for e in self.events("late", "cleaned")], [("late/a/0", True)])
        self.assertEqual(self.d.run("late/a")["result"], SUCCESS)

    # ---- by hand ----

    def test_clean(self):
        d = self.d
        self.start("clean")
        self.assertRegex(self.cli("worker", "clean", "clean"), "clean has no work folders")
        d.run("clean/a"), d.run("clean/b")
        rid = d.ask("clean/busy")
        wait_for(lambda: os.path.exists(d.path("busy")), "the build")
        f = wait_for(lambda: (f := self.folder("clean", "clean/a/0")) and f["bytes"] and f, "its size", PATIENCE_S)
        self.assertEqual((f["bytes"] >> 20, f["complete"], f["state"], f["project"], f["builder"], f["slot"]), (3, True, "kept", "clean", "a", 0))
        text = self.cli("worker", "show", "clean")
        self.assertRegex(text, r"disk +[0-9.]+ \wiB free of [0-9.]+ \wiB")
        self.assertRegex(text, r"clean/a/0 +3(\.\d)? MiB +(just now|\d+ (s|min) ago)")
        self.assertRegex(text, r"clean/busy/0 +\S+( \wi?B)? +now +clean/busy/1")
        # what can't be
        self.assertIn("there is no worker nobody", self.cli("worker", "clean", "nobody", code=2))
        self.assertIn("clean has no work folder of builder clean/nothing", self.cli("worker", "clean", "clean", "clean/nothing", code=2))
        self.assertIn("wants the name of a builder", self.cli("worker", "clean", "clean", "a/b/c", code=2))
        self.assertEqual(d.api("POST", "/workers/clean/clean", {"builder": 7}).status, 400)
        # one builder's
        self.assertRegex(self.cli("worker", "clean", "clean", "a"), r"^removing +clean/a/0 +3(\.\d)? MiB\n$")
        self.wait_gone("clean", "clean/a/0")
        self.assertTrue(os.path.exists(self.on_disk("clean", "clean/b/0/tree/file")))
        # all: what is used goes when it is free
        text = self.cli("worker", "clean", "clean")
        self.assertRegex(text, r"removing +clean/b/0.*\n")
        self.assertRegex(text, r"later +clean/busy/0.* when clean/busy/1 is over\n")
        self.wait_gone("clean", "clean/b/0")
        self.assertEqual(self.folder("clean", "clean/busy/0")["state"], "used")
        self.assertRegex(self.cli("worker", "show", "clean"), r"clean/busy/1, then it is removed")
        self.touch("go")
        self.assertEqual(d.wait_request(rid)["result"], SUCCESS)
        self.wait_gone("clean", "clean/busy/0")
        self.assertEqual([(e["folders"], bool(e["who"])) for e in self.events("clean", "wanted")], [(1, True), (2, True)])
        # a worker that is away: when it is back
        d.run("clean/b")
        d.kill_worker("clean")
        d.wait_worker("clean", connected=False)
        self.assertRegex(self.cli("worker", "clean", "clean"), r"removing +clean/b/0[\s\S]*clean is away: they go when it is back")
        self.start("clean")
        self.wait_gone("clean", "clean/b/0")

    def test_what_can_not_be_removed(self):
        d = self.d
        probe = "t=$(mktemp -p .) && { chattr +i $t && chattr -i $t; r=$?; rm -f $t; exit $r; }"
        if subprocess.run(["sh", "-c", probe], cwd=d.root, stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no file can be made immutable here")
        self.start("stuck")
        d.run("stuck/a")
        file = self.on_disk("stuck", "stuck/a/0/tree/file")
        subprocess.run(["chattr", "+i", file], check=True)
        try:
            self.cli("worker", "clean", "stuck")
            f = wait_for(lambda: (f := self.folder("stuck", "stuck/a/0"))["error"] and f, "the failure", PATIENCE_S)
            self.assertEqual((f["state"], f["tries"]), ("kept", 1))
            self.assertGreater(f["due_at"], time.time() * 1000)
            self.assertIn("denied", f["error"])
            self.assertRegex(self.cli("worker", "show", "stuck"), r"could not be removed: denied: .*; again in")
            self.assertEqual(self.events("stuck", "failed")[0]["path"], "stuck/a/0")
            self.assertEqual(d.wait_request(d.ask("stuck/a"))["result"], FAILURE)  # builds may have the folder meanwhile: this one can't write that file
        finally:
            subprocess.run(["chattr", "-i", file], check=True)
        self.cli("worker", "clean", "stuck")  # asked again: tried at once
        self.wait_gone("stuck", "stuck/a/0")
        self.assertEqual(d.run("stuck/a")["result"], SUCCESS)

    # ---- against builds ----

    def test_never_under_a_build(self):
        """Somebody cleans without end, while builds run that would notice."""
        d, stop = self.d, threading.Event()
        self.start("race")
        self.start("race2")

        def clean():
            while not stop.is_set():
                for name in ("race", "race2"):
                    d.try_api("POST", f"/workers/{name}/clean", {})
        thread = threading.Thread(target=clean)
        thread.start()
        try:
            asked, cleaned = [], lambda: len(self.events("race", "cleaned") + self.events("race2", "cleaned"))
            while len(asked) < 32 or (cleaned() <= 8 and len(asked) < 400):  # on a busy machine builds come more often between the ends and the removals
                asked += [d.ask("race/a"), d.ask("race/b"), d.ask("race/a"), d.ask("race/b")]
                for rid in asked[-2:]:
                    d.wait_request(rid, PATIENCE_S)
            done = [d.wait_request(rid, PATIENCE_S) for rid in asked]
        finally:
            stop.set()
            thread.join()
        self.assertEqual([r["result"] for r in done], [SUCCESS] * len(done))
        self.assertEqual([len(r["builds"]) for r in done], [1] * len(done))
        self.assertGreater(cleaned(), 8)

    def session(self):
        """A database session of the test's own, fed statement by statement."""
        p = subprocess.Popen(self.d.psql_argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
        self.addCleanup(p.communicate)

        def tell(*texts):
            p.stdin.write("".join(t + ";\n" for t in texts) + "select 'told';\n")
            p.stdin.flush()
            while (line := p.stdout.readline().strip()) != "told":
                self.assertTrue(line and "ERROR" not in line, line)
        return tell

    def waits_for_lock(self, word):
        return self.d.sql(f"select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%{word}%' and pid <> pg_backend_pid()")

    def test_the_database_decides(self):
        """Claim and removal meet in the database, as they would with two masters: whoever has the session's row first wins, and the other sees it."""
        d, path = self.d, "lock/a/0"
        self.start("lock")
        d.run("lock/a"), d.run("lock/b")
        tell = self.session()
        lock = "select worker from worker_session where worker = (select id from worker where name = 'lock') for update"
        look = lambda: d.post("/workers/lock/clean", {"builder": "lock/b"}, 202)
        # A removal that is not committed yet, when the master claims.
        tell("begin", lock, f"update work_folder set state = 'cleaning' where path = '{path}'")
        rid = d.ask("lock/a")
        wait_for(lambda: self.waits_for_lock("build_request"), "the claim to wait")
        tell("commit")
        time.sleep(0.5)  # many tries of the master's, all in vain
        look()  # and now it finds and finishes what was begun
        self.assertEqual(d.wait_request(rid, PATIENCE_S)["result"], SUCCESS)  # what was in the folder is not there any more
        number = lambda where: int(d.events(f"select min(number) from event where {where}")[0][0])
        self.assertLess(number(f"type = 'work.cleaned' and body->>'path' = '{path}'"), number("type = 'build.started' and object = 'lock/a/2'"))
        # A claim that is not committed yet, when the master begins a removal: afterwards a build that runs has the folder.
        self.touch("hold")
        other = d.ask("lock/b")
        d.wait_build(other, lambda b: b["state"] == "running" and b["steps"])
        (build,), = d.sql(f"select id from build where request = {other[1:]}")
        cleaned = lambda: [e["path"] for e in self.events("lock", "cleaned")].count(path)
        before = cleaned()
        tell("begin", lock)  # before it is wanted: the master also looks by itself
        d.sql(f"update work_folder set wanted_at = now() where path = '{path}'")
        look()
        wait_for(lambda: self.waits_for_lock("for update"), "the removal to wait")
        tell(f"update work_folder set build = {build} where path = '{path}'", "commit")
        wait_for(lambda: not self.waits_for_lock("for update"), "the removal to go on")
        time.sleep(1)
        self.assertEqual((cleaned(), self.folder("lock", path)["state"]), (before, "used"))
        self.assertTrue(os.path.exists(self.on_disk("lock", path, "tree/file")))
        os.unlink(d.path("hold"))
        self.assertEqual(d.wait_request(other)["result"], SUCCESS)
        self.wait_gone("lock", path)

    # ---- hostile ----

    def test_a_hostile_folder(self):
        """Links out of it, 100,000 files, 800 levels: it is measured and removed, nothing outside is touched, and the worker answers meanwhile."""
        d = self.d
        os.makedirs(d.path("outside", "keep"))
        self.touch("outside/keep/file")
        self.start("evil")
        self.assertEqual(d.run("evil/bad", PATIENCE_S)["result"], SUCCESS)
        f = wait_for(lambda: (f := self.folder("evil", "evil/bad/0")) and f["measured_at"] and f, "its size", PATIENCE_S)
        self.assertFalse(f["complete"])  # deeper than it looks
        self.assertLess(f["bytes"], 1 << 33)
        self.cli("worker", "clean", "evil", "evil/bad")
        for _ in range(3):
            self.assertEqual(d.run("evil/ok")["result"], SUCCESS)  # beside it
        self.wait_gone("evil", "evil/bad/0", seconds=120)
        self.assertTrue(self.worker("evil")["connected"])
        self.assertNotIn("evil away", read(d.path("master.log")).decode())
        self.assertTrue(os.path.exists(d.path("outside", "keep", "file")))

    # ---- an older worker ----

    def test_a_worker_without_the_verbs(self):
        """Its greeting has no feature: nothing is asked that it does not know, its disk is not known, and it is cleaned all the same."""
        d, old = self.d, self.d.path("drover-worker-old")
        program = read(f"{BUILD}/drover-worker")
        other, n = re.subn(rb"\0disk(?=\0|,[a-z,]*\0)", b"\0dish", program)  # the verb, and the feature
        self.assertEqual((n, len(other)), (2, len(program)))
        with open(old, "wb") as f:
            f.write(other)
        os.chmod(old, 0o755)
        p = d.spawn("worker-old.log", old, "--join-file", d.token("old"), "--dir", d.path("work-old"), "--connect", "unix:" + d.path("w.sock"))
        self.addCleanup(lambda: (p.terminate(), p.wait(30)))
        d.wait_worker("old")
        self.assertEqual(d.run("old/a")["result"], SUCCESS)
        self.assertIsNone(self.worker("old")["disk"])
        self.assertIsNone(self.folder("old", "old/a/0")["bytes"])
        self.cli("worker", "clean", "old")
        self.wait_gone("old", "old/a/0")
        self.assertIsNone(p.poll())
        self.assertNotIn("old says error", read(d.path("master.log")).decode())


class Killed(Folders):
    """In the middle of a removal, which is slowed down by a tracer: some 12 s for 200 files."""
    PROJECTS = {}
    WORKERS = {"slow": {"tags": ["slow"]}}

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a"})
        d.configure(projects={"slow": project(d.root, "slow", a=MANY, ok=":"), "gone": project(d.root, "slow", a="echo x >file")})
        d.workers = {}

    def half_removed(self):
        """A worker that takes its time with each file it removes, in the middle of it."""
        d, tree = self.d, self.on_disk("slow", "slow/a/0/tree")
        argv = ["strace", "-f", "-q", "-e", "trace=unlinkat", "-e", "signal=none", "-e", f"inject=unlinkat:delay_enter={SLOW_US}", "-o", "/dev/null",
                f"{BUILD}/drover-worker", "--join-file", d.token("slow"), "--dir", d.path("work-slow"), "--connect", "unix:" + d.path("w.sock")]
        p = d.spawn("strace.log", *argv, env={**d.env, "ASAN_OPTIONS": "detect_leaks=0"})
        self.addCleanup(lambda: ([tell(a, signal.SIGKILL) for a in self.agents("slow")], p.wait(30)))
        wait_for(lambda: p.poll() is not None or (a := d.try_api("GET", "/workers/slow")) and a.json["connected"], "the worker", PATIENCE_S)
        if p.poll() is not None:
            self.skipTest("no process can be traced here: " + read(d.path("strace.log")).decode()[-200:])
        self.assertEqual(d.run("slow/a", PATIENCE_S)["result"], SUCCESS)
        d.post("/workers/slow/clean", {"builder": "slow/a"}, 202)
        wait_for(lambda: os.path.exists(tree) and len(os.listdir(tree)) < 195, "the first files to go", PATIENCE_S)
        self.assertEqual(self.folder("slow", "slow/a/0")["state"], "cleaning")
        remover, = wait_for(lambda: len(r := self.removers("slow")) == 1 and r, "what measured the folder to be over")
        return tree, remover, len(self.events("slow", "cleaned"))

    def test_1_the_worker(self):
        d = self.d
        tree, remover, before = self.half_removed()
        rid = d.ask("slow/a")
        w = self.wait_why(rid, "disk")
        self.assertEqual(w["object"], "slow")
        self.assertIn("slow is removing its work folder of slow/a", w["text"])
        os.kill(self.parent(remover), signal.SIGKILL)
        wait_for(lambda: not alive(remover), "the end of the removal with its agent", 10)
        self.assertGreater(len(os.listdir(tree)), 0)
        d.start_worker("slow")  # not slowed down
        b = d.get("/builds/" + d.wait_request(rid, PATIENCE_S)["builds"][0])
        self.assertEqual((b["result"], len(os.listdir(tree))), (SUCCESS, 200))  # nothing old was there, nothing new is missing
        self.assertEqual(len(self.events("slow", "cleaned")), before + 1)
        self.cli("worker", "clean", "slow")
        self.wait_gone("slow", "slow/a/0")
        self.assertEqual(d.kill_worker("slow", signal.SIGTERM), 0)

    def test_2_the_master(self):
        d = self.d
        tree, remover, before = self.half_removed()
        d.kill_master()
        wait_for(lambda: not alive(remover), "the end of the removal with the link", 10)
        d.start_master()
        self.assertEqual(self.folder("slow", "slow/a/0")["state"], "cleaning")
        rid = d.ask("slow/a")
        self.assertEqual(d.run("slow/ok", PATIENCE_S)["result"], SUCCESS)  # another builder has the slot meanwhile
        self.assertEqual(d.wait_request(rid, PATIENCE_S)["result"], SUCCESS)
        self.assertEqual(len(os.listdir(tree)), 200)
        self.assertEqual(len(self.events("slow", "cleaned")), before + 1)

    def test_3_a_project_that_is_gone(self):
        d = self.d
        d.start_worker("slow")
        self.assertEqual([d.run(b)["result"] for b in ("gone/a", "slow/ok")], [SUCCESS, SUCCESS])
        self.assertEqual(d.stop_master(), 0)
        d.configure(projects={"slow": d.conf["projects"]["slow"]})
        d.start_master()
        d.wait_worker("slow")
        self.assertEqual(self.folder("slow", "gone/a/0")["state"], "kept")  # for an hour: the configuration may be mended
        d.sql("update work_folder set last_used = now() - interval '2 hours'")
        d.sql("update build set finished = now() - interval '2 hours'")
        d.run("slow/ok")  # a look follows
        self.wait_gone("slow", "gone/a/0")
        self.assertIn("not in the configuration", self.events("slow", "cleaned")[-1]["why"])
        self.assertEqual(self.folder("slow", "slow/ok/0")["state"], "kept")


if __name__ == "__main__":
    unittest.main()
