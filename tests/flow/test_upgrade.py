#!/usr/bin/env python3
"""A worker becomes another program, or itself again, or stops, while what it runs lives on: the agent against a master of ours (Agent), and the whole way from the command line (Orders)."""
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, make_repo, read, wait_for  # noqa: E402
from fakeworker import FakeWorker, read_records  # noqa: E402
from fakemaster import WORKER, Bench, Gone, Log, parse_records, processes_with, records  # noqa: E402
from relay import LOOK_S, Relay  # noqa: E402

NEXT = f"{BUILD}/tests/drover-worker"  # the same, of a later version
VERSION = subprocess.run([WORKER, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
LATER = VERSION + ".1"
KIND = f"linux-{platform.machine()}"
COUNT = 400
# Numbered lines with pauses, until `go` is there: something comes at any time, whatever happens to the agent.
COUNTING = f"i=0; while [ $i -lt {COUNT} ] || [ ! -e GO ]; do i=$((i+1)); echo line $i; [ $((i % 20)) != 0 ] || sleep 0.02; done"


def sum_of(data):
    return hashlib.sha256(data).hexdigest()


def counted(text):
    """Is that the output of COUNTING, every byte of it once?"""
    n = text.count(b"\n")
    return n >= COUNT and text == b"".join(b"line %d\n" % i for i in range(1, n + 1))


def kill(found):
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Agent(unittest.TestCase):
    """The program in a folder of its own, on a state folder that allows what is asked."""

    def start(self, conf="upgrade = yes\n", **env):
        self.b = b = Bench(env={"DROVER_TEST_RETRY_MAX_MS": "20", **env})
        self.addCleanup(self.end)
        self.program = os.path.join(b.folder, "bin", "drover-worker")
        os.mkdir(os.path.dirname(self.program))
        shutil.copy(WORKER, self.program)
        b.worker.program = self.program
        os.mkdir(b.worker.dir)
        with open(os.path.join(b.worker.dir, "worker.conf"), "w") as f:
            f.write(conf)
        return b.connect()

    def end(self):
        kill(processes_with(self.b.folder))  # guards, and agents that they started
        self.b.__exit__()

    def ask(self, s, data, off=0, end=None, **more):
        head = records(("size", more.pop("size", len(data))), ("sum", more.pop("sum", None) or sum_of(data)), *more.items())
        return s.ask("upgrade", off, len(head), blob=head + data[off:end])[:2]

    def put(self, s, data):
        for off in range(0, len(data), 1 << 20):
            tag, told = self.ask(s, data, off, off + (1 << 20))
            self.assertEqual(tag, "ok", told)
        self.assertEqual(told, {"have": b"%d" % len(data), "complete": b"1"})

    def switch(self, s, data):
        """Sends it, and has the agent become it."""
        self.put(s, data)
        s.send("restart", 9, sum_of(data))
        s.expect("done", req=9, tag="ok")
        s.expect_gone(bye="upgrade")

    def beside(self):
        return sorted(os.listdir(os.path.dirname(self.program)))

    def assert_kept(self, s, data):
        """The old one is back, under its name, and says why the other is not there."""
        self.assertEqual(s.facts["version"].decode(), VERSION)
        self.assertEqual(read(self.program), read(WORKER))
        wait_for(lambda: self.beside() == ["drover-worker"], "the new one to be gone")
        tag, told = self.ask(s, data, 0, 0)
        self.assertEqual((tag, told["complete"], told["have"]), ("ok", b"0", b"0"))
        return told["refused"].decode()

    def test_a_command_lives_on(self):
        s, new = self.start(), read(NEXT)
        go = os.path.join(self.b.folder, "go")
        s.run("1-1", ["sh", "-c", COUNTING.replace("GO", go)])
        s.expect("state", state="accepted")
        log = Log()
        while log.length < 1000:
            s.take_out(s.expect("out"), log)
        pid = self.b.worker.process.pid
        # in parts, the second one twice, as after a lost answer; then what is there is asked for
        half = len(new) // 2
        self.assertEqual(self.until(s, new, log, 0, half), ("ok", {"have": b"%d" % half, "complete": b"0"}))
        for _ in range(2):
            self.assertEqual(self.until(s, new, log, half, len(new)), ("ok", {"have": b"%d" % len(new), "complete": b"1"}))
        self.assertEqual(self.beside(), ["drover-worker", "drover-worker.new"])
        s.send("restart", 9, sum_of(new))
        try:
            while True:
                m = s.recv()
                if m.verb == "out":
                    s.take_out(m, log)
        except Gone:
            pass
        # until it is welcomed the old one keeps its name
        t = self.b.master.accept_raw()
        self.assertEqual(read(self.program), read(WORKER))
        t.greet()
        self.assertEqual((t.facts["version"].decode(), t.hello["conn"], t.hello["instance"]), (LATER, 2, s.hello["instance"]))
        self.assertEqual([m["state"] for m in t.have], ["running"])
        wait_for(lambda: self.beside() == ["drover-worker"], "the new name")
        self.assertEqual(read(self.program), new)
        self.assertEqual(self.ask(t, new, 0, 0), ("ok", {"have": b"%d" % len(new), "complete": b"1", "running": b"1"}))
        self.assertEqual(self.b.worker.process.pid, pid)
        self.assertEqual(self.b.worker.process.poll(), None)
        t.resume("1-1", log.length)
        open(go, "w").close()
        t.collect({"1-1": log})
        self.assertEqual((log.exit["how"], log.exit["code"]), ("exited", 0))
        self.assertTrue(counted(log.text), log.text[-200:])
        # and the next one is started as any other, by the new program
        self.assertEqual(t.sh("1-2", "echo hi").text, b"hi\n")
        wait_for(lambda: len(processes_with(self.b.worker.dir)) == 1, "the guard's end")

    def until(self, s, data, log, off, end):
        """As ask(), beside a log that goes on."""
        head = records(("size", len(data)), ("sum", sum_of(data)))
        for at in range(off, end, 1 << 20):
            s.send("upgrade", 5, at, len(head), blob=head + data[at:min(end, at + (1 << 20))])
            while (m := s.recv()).verb == "out":
                s.take_out(m, log)
        return m["tag"], dict(parse_records(m.blob))

    def test_who_is_not_allowed(self):
        s, new = self.start(conf="upgrade = no\n"), read(NEXT)
        tag, told = self.ask(s, new, 0, 1 << 16)
        self.assertEqual(tag, "denied")
        self.assertIn(b"upgrade = yes", told)
        s.send("restart", 2, sum_of(new))
        s.expect("done", req=2, tag="denied")
        self.assertEqual(self.beside(), ["drover-worker"])

    def test_what_is_refused(self):
        """What a hostile master may try: none of it leaves anything but a part beside the program, of at most the size of a program."""
        s, new = self.start(), read(NEXT)
        for more, blob in (({"size": 1 << 40}, b"x"), ({"size": 0}, b""), ({"size": (8 << 20) + 1}, b"x"), ({"sum": "../../etc/passwd"}, b"x"), ({"sum": "a" * 63}, b"x"),
                           ({"path": "../x"}, b"x"), ({"mode": "4777"}, b"x")):
            tag, told = self.ask(s, blob, **more)
            self.assertEqual(tag, "badarg", (more, told))
        head = records(("size", 10), ("sum", "a" * 64))
        for off, size, blob in ((0, len(head) + 99, head), (11, len(head), head), (5, len(head), head + b"123456"), (0, 5, head)):
            self.assertEqual(s.ask("upgrade", off, size, blob=blob)[0], "badarg")
        # other bytes than those of the sum
        wrong = new[:-1] + bytes([new[-1] ^ 1])
        for at in range(0, len(new), 1 << 20):
            tag, told = self.ask(s, wrong, at, at + (1 << 20), sum=sum_of(new))
        self.assertEqual(tag, "changed", told)
        self.assertEqual(self.beside(), ["drover-worker"])
        # nothing was sent, or another one than that
        s.send("restart", 3, sum_of(new))
        s.expect("done", req=3, tag="notfound")
        self.put(s, new)
        s.send("restart", 4, "b" * 64)
        s.expect("done", req=4, tag="changed")
        os.unlink(self.program + ".new")
        os.symlink(NEXT, self.program + ".new")
        s.send("restart", 5, sum_of(new))
        s.expect("done", req=5, tag="notfound")
        self.assertEqual(s.sh("1-1", "echo on").text, b"on\n")

    def test_a_folder_that_cant_be_written(self):
        """As packages have it: the program is root's, the worker is not."""
        self.start()
        self.b.worker.kill()
        bin_dir, state = os.path.dirname(self.program), self.b.worker.dir
        as_other = []
        if os.geteuid() == 0:
            as_other = ["setpriv", "--reuid", "65534", "--clear-groups"]
            subprocess.run(["chown", "-R", "65534", state, self.b.worker.token_file], check=True)
            os.chmod(self.b.master.path, 0o777)
        else:
            os.chmod(bin_dir, 0o555)
            self.addCleanup(os.chmod, bin_dir, 0o755)
        self.b.worker.process = subprocess.Popen([*as_other, self.program, "--join-file", self.b.worker.token_file, "--dir", state], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        s = self.b.master.accept()
        tag, told = self.ask(s, b"new", 0, 3)
        self.assertEqual(tag, "denied")
        self.assertIn(f"may not write into the folder of its program {self.program}".encode(), told)
        self.assertIn(b"drover worker restart", told)
        self.assertEqual(self.beside(), ["drover-worker"])

    def went_back(self, new, why, **env):
        s = self.start(**env)
        s.run("1-1", ["sh", "-c", COUNTING.replace("GO", os.path.join(self.b.folder, "go"))])
        s.expect("state", state="accepted")
        self.put_beside(s, new)
        open(os.path.join(self.b.folder, "go"), "w").close()
        t = self.b.master.accept()
        self.assertIn(why, self.assert_kept(t, new))
        log = Log()
        self.assertIn(t.has("1-1")["state"], ("running", "done"))
        t.resume("1-1", 0)
        t.collect({"1-1": log})
        self.assertTrue(counted(log.text))
        return t

    def put_beside(self, s, new):
        """As switch(), beside a command whose output is thrown away."""
        head = records(("size", len(new)), ("sum", sum_of(new)))
        s.send("upgrade", 5, 0, len(head), blob=head + new)
        while s.recv().verb == "out":
            pass
        s.send("restart", 9, sum_of(new))
        try:
            while True:
                s.recv()
        except Gone:
            pass

    def test_one_that_is_open_elsewhere(self):
        """As in a process that was being started while it was written: it waits for that."""
        s, new = self.start(), read(NEXT)
        self.put(s, new)
        with open(self.program + ".new", "r+b"):
            s.send("restart", 9, sum_of(new))
            s.expect("done", req=9, tag="ok")
            s.expect_gone(bye="upgrade")
            with self.assertRaises(TimeoutError):
                self.b.master.accept(timeout=0.3)
        t = self.b.master.accept()
        self.assertEqual(t.facts["version"].decode(), LATER)

    def test_one_that_is_no_program(self):
        t = self.went_back(b"no program at all\n", "does not start")
        # the same agent goes on; tried anew it may be sent again
        self.assertEqual(self.b.worker.process.poll(), None)
        tag, told = self.ask(t, b"no program at all\n", 0, 0, anew=1)
        self.assertEqual((tag, told), ("ok", {"have": b"0", "complete": b"0"}))

    def test_one_that_ends_at_once(self):
        self.went_back(b"#!/bin/sh\nexit 3\n", "ended before the master had welcomed it")
        self.assertEqual(self.b.worker.process.wait(DEADLINE_S), 3)  # whoever started it sees that; the old one is the guard's

    def test_one_that_is_never_welcomed(self):
        self.went_back(b"#!/bin/sh\nexec sleep 1000\n", "did not welcome it within", DROVER_TEST_TRIAL_MS="300")
        self.assertEqual(self.b.worker.process.wait(DEADLINE_S), -signal.SIGKILL)

    def test_killed_with_its_guard(self):
        """Nobody is left who could go back: the name has never been the new one's."""
        s, new = self.start(), read(NEXT)
        self.switch(s, new)
        t = self.b.master.accept_raw()
        self.assertEqual(t.recv().verb, "hello")
        kill(sorted(processes_with(self.program), key=lambda pid: pid == self.b.worker.process.pid))  # the guard first: it would see the other's end
        self.b.worker.kill()
        t = self.b.connect()
        self.assertEqual(t.facts["version"].decode(), VERSION)
        self.switch(t, new)
        self.assertEqual(self.b.master.accept().facts["version"].decode(), LATER)

    def test_stopped_on_its_trial(self):
        """A service that is stopped just then stays stopped."""
        s, new = self.start(), read(NEXT)
        self.switch(s, new)
        t = self.b.master.accept_raw()
        self.assertEqual(t.recv().verb, "hello")
        self.assertEqual(self.b.worker.stop(), 0)
        wait_for(lambda: not processes_with(self.b.worker.dir), "the guard's end")
        self.assertEqual(self.b.connect().facts["version"].decode(), VERSION)

    def test_again(self):
        s = self.start()
        first = s.facts["started"]
        s.send("restart", 1, "-")
        s.expect("done", req=1, tag="ok")
        s.expect_gone(bye="restart")
        s = self.b.master.accept()
        self.assertNotEqual(s.facts["started"], first)
        # descriptors do not pile up, and commands have none but their own
        fds = lambda: len(os.listdir(f"/proc/{self.b.worker.process.pid}/fd"))  # noqa: E731
        first = fds()
        for _ in range(3):
            s.send("restart", 1, "-")
            s.expect_gone(bye="restart")
            s = self.b.master.accept()
        wait_for(lambda: fds() <= first, "as few descriptors as before")
        self.assertEqual(s.sh("1-1", "ls /proc/self/fd | wc -l").text, b"4\n")
        # a worker.conf that is no good any more would end it
        with open(os.path.join(self.b.worker.dir, "worker.conf"), "a") as f:
            f.write("upgrad = yes\n")
        s.send("restart", 2, "-")
        s.expect("done", req=2, tag="badarg")
        self.assertEqual(s.sh("1-2", "echo on").text, b"on\n")

    def tail(self, s, most):
        tag, told, data = s.ask("tail", most)
        self.assertEqual((tag, told), ("ok", {"bytes": b"%d" % len(data)}))
        return data

    def test_its_log(self):
        s = self.start()
        lines = self.tail(s, 65536).split(b"\n")
        self.assertRegex(lines[0], rb"^\d{4}-\d\d-\d\dT.*Z info worker: drover-worker " + VERSION.encode())
        self.assertEqual(b"\n".join(lines), read(os.path.join(self.b.worker.dir, "log")))
        self.assertEqual(self.tail(s, len(lines[-2]) + 2), lines[-2] + b"\n")
        self.assertEqual(self.tail(s, 1), b"")
        for most in (0, 65537, 1 << 62):
            self.assertEqual(s.ask("tail", most)[0], "badarg")
        # much is said: the end of it is kept, of earlier starts too, and no more than that
        for i in range(3000):
            s.send("error", "unknown", i, blob=b"word %d\n\x1b[2J" % i)
        wait_for(lambda: b"about 2999" in self.tail(s, 65536).split(b"\n")[-2], "all of it")
        told = self.tail(s, 65536)
        self.assertLessEqual(len(told), 32768)
        self.assertGreater(len(told), 8192)
        numbers = [int(x.split(b"about ")[1].split(b":")[0]) for x in told.split(b"\n")[:-1]]
        self.assertEqual(numbers, list(range(numbers[0], 3000)))
        self.assertNotIn(b"\x1b", told)
        self.b.worker.kill()
        s = self.b.connect()
        again = self.tail(s, 65536)
        self.assertIn(told[-4096:], again)
        self.assertIn(b"connected as w1", again[-200:])

    def test_facts(self):
        tools = os.path.join(self.folder(), "tools")
        os.mkdir(tools)
        for name, script in {"good": "echo good 1.2; echo more", "err": "echo err 3 >&2; exit 1", "rude": "printf 'a\\033[2Jb\\377\\n'", "endless": "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxx; done | /usr/bin/tr -d '\\n'",
                             "env": "/usr/bin/env | /usr/bin/sort | /usr/bin/tr '\\n' ' '", "in": "cat; echo end", "mute": "exit 0", "child": f"sleep 1000 & echo $! >{tools}/pid; echo left"}.items():
            with open(os.path.join(tools, name), "w") as f:
                f.write("#!/bin/sh\n" + script.replace("cat;", "/bin/cat;").replace("sleep", "/bin/sleep") + "\n")
            os.chmod(f.name, 0o755)
        s = self.start(conf=f"path = {tools}\n", SECRET_OF_THE_AGENT="x")
        names = ("good", "err", "rude", "endless", "env", "in", "mute", "child", "nothing")
        tag, told, _ = s.ask("facts", blob=records(*(("tool", n) for n in names)))
        self.assertEqual((tag, told["os"]), ("ok", b"Linux"))
        s.send("facts", 2, blob=records(*(("tool", n) for n in names)))
        said = [v.split(b" ", 1) for k, v in parse_records(s.expect("done", req=2).blob) if k == "tool"]
        self.assertEqual([n.decode() for n, _ in said], list(names))
        said = {n.decode(): v for n, v in said}
        self.assertEqual([said[n] for n in ("good", "err", "rude", "in", "mute", "child", "nothing")], [b"good 1.2", b"err 3", b"a?[2Jb\xff", b"end", b"", b"left", b""])
        self.assertEqual(said["endless"], b"x" * 200)
        self.assertEqual(set(said["env"].split()) - {b"PWD=" + os.path.realpath(self.b.worker.work).encode(), b"_=/usr/bin/env", b"OLDPWD=", b"SHLVL=0", b"SHLVL=1"}, {b"LC_ALL=C", b"PATH=" + tools.encode()})
        pid = int(read(os.path.join(tools, "pid")))
        wait_for(lambda: read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:1] in ([], [b"Z"]), "the end of what a tool left")
        for bad in ("../x", "/bin/sh", "-x", "a b", "", "x" * 65, "a;b"):
            self.assertEqual(s.ask("facts", blob=records(("tool", bad)))[0], "badarg", bad)
        self.assertEqual(s.ask("facts", blob=records(*[("tool", "good")] * 17))[0], "badarg")

    def folder(self):
        folder = tempfile.mkdtemp(prefix="drover-facts-")
        self.addCleanup(shutil.rmtree, folder)
        return folder

    def test_stop(self):
        s = self.start()
        s.send("stop", 1)
        s.expect("done", req=1, tag="ok")
        s.expect_gone(bye="stop")
        self.assertEqual(self.b.worker.process.wait(DEADLINE_S), 4)


class Gate(Relay):
    """Lets bytes to the worker pass up to a limit, then holds what comes, until it is opened."""

    def __init__(self, port):
        self.limit, self.passed, self.held = None, 0, False
        super().__init__(port)

    def wait(self, way, data):
        if way == "down" and self.limit is not None:
            self.passed += len(data)
            while self.limit is not None and self.passed > self.limit:
                self.held = True
                time.sleep(LOOK_S)


class Orders(Case):
    """The master offers the later version. Each test has a worker of its own, in a folder of its own, and a builder that runs there."""
    PROJECTS = {}
    WORKERS = {name: {"slots": 2} for name in ("live", "shut", "down", "cut", "drain", "stop", "logs", "facts", "fake")}

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a"})
        run = COUNTING.replace("GO", d.path("go-$DROVER_BUILDER"))
        builders = {name: {"checkout": "none", "worker": {"tags": [name]}, "steps": [{"name": "s", "run": run}]} for name in d.workers}
        os.mkdir(d.path("offer"))
        shutil.copy(NEXT, d.path("offer", KIND))
        d.configure(downloads=d.path("offer"), projects={"p": {"git": d.path("repo"), "poll": "1h", "builders": builders, "schedulers": {"none": {"force": {}}}}},
                    workers={name: {**w, "tags": [name]} for name, w in d.workers.items()})
        d.workers = {}  # each test starts its own

    def start(self, name, program=WORKER, upgrade="yes", connect=None, **env):
        d = self.d
        own = d.path("bin-" + name, "drover-worker")
        os.mkdir(os.path.dirname(own))
        shutil.copy(program, own)
        d.agents[name] = d.spawn(f"worker-{name}.log", own, "--join-file", d.token(name), "--dir", d.path("work-" + name), "--upgrade", upgrade, "--connect", connect or "unix:" + d.path("w.sock"),
                                 env={**d.env, "DROVER_TEST_RETRY_MAX_MS": "50", **env})
        wait_for(lambda: d.api("GET", f"/workers/{name}/log").status == 200, "worker " + name)
        return d.agents[name]

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return p.stdout if code == 0 else p.stderr

    def worker(self, name):
        return self.d.get("/workers/" + name)

    def ask(self, name):
        self.d.wait_looked("p")
        return self.d.ask("p/" + name, branch="main")

    def running(self, name):
        """A build that writes, of that builder: its request."""
        rid = self.ask(name)
        b = self.d.wait_build(rid, lambda b: b["state"] == "running" and b["steps"] and b["steps"][0]["logs"] and b["steps"][0]["logs"][0]["length"] > 1000, "its log")
        return rid, b["id"]

    def go(self, name):
        open(self.d.path("go-" + name), "w").close()

    def assert_whole(self, rid, bid):
        """It ended well, at its first attempt, and its log has every byte once."""
        r = self.d.wait_request(rid)
        self.assertEqual((r["result"], r["builds"]), (0, [bid]))
        self.assertTrue(counted(self.d.log(bid, "s")))

    def events(self, name):
        return [(t, json.loads(b)) for t, b in self.d.events(f"select type, body from event where object = 'worker/{name}' and (type like 'worker.%ed' or type in ('paused', 'resumed')) and type not in "
                                                             "('worker.connected', 'worker.joined') order by number")]

    def test_beside_a_build(self):
        d, pid = self.d, self.start("live").pid
        self.assertRegex(self.cli("worker", "list"), r"live +connected +0 of 2")
        rid, bid = self.running("live")
        self.assertEqual(self.cli("worker", "upgrade", "live"), f"upgraded  live  {VERSION} to {LATER}\n")
        self.assertRegex(self.cli("worker", "list"), rf"live +connected, version {LATER} +1 of 2")
        self.assertEqual(self.cli("worker", "restart", "live"), "restarted  live\n")
        self.assertEqual(self.cli("worker", "upgrade", "live"), "upgraded  live  it was that program already\n")
        self.go("live")
        self.assert_whole(rid, bid)
        self.assertEqual((d.agents["live"].pid, d.agents["live"].poll()), (pid, None))
        self.assertEqual(read(d.path("bin-live/drover-worker")), read(NEXT))
        told = [(t, b.get("from"), b.get("to")) for t, b in self.events("live") if t != "worker.ordered"]
        self.assertEqual(told, [("worker.upgraded", VERSION, LATER), ("worker.restarted", LATER, LATER)])
        self.assertIn("connection 3", read(d.path("worker-live.log")).decode())

    def test_not_allowed(self):
        self.start("shut", upgrade="no")
        self.assertIn("shut: upgrade failed: this host's worker.conf does not allow it: `upgrade = yes`", self.cli("worker", "upgrade", "shut", code=3))
        self.assertEqual(os.listdir(self.d.path("bin-shut")), ["drover-worker"])
        self.assertRegex(self.cli("worker", "show", "shut"), r"(?m)^order +upgrade by \w+ .*: failed, this host's worker.conf does not allow it")
        self.assertEqual([t for t, _ in self.events("shut")], ["worker.ordered", "worker.order_failed"])
        self.assertIn("there is no worker nobody", self.cli("worker", "upgrade", "nobody", code=2))
        self.assertIn("then wants stop, restart or upgrade", self.cli("worker", "drain", "shut", "--then", "dance", code=2))
        self.assertIn("name the workers, or --all", self.cli("worker", "upgrade", code=2))

    def test_an_older_one(self):
        """Nobody gets an older program by mistake."""
        d = self.d
        newest = d.path("newest")
        data = read(NEXT)
        marked = f"@(#)drover-worker {LATER}".encode()
        self.assertEqual(data.count(marked), 1)
        with open(newest, "wb") as f:  # a version that is later still
            f.write(data.replace(marked, f"@(#)drover-worker {LATER[:-1]}9".encode()))
        os.chmod(newest, 0o755)
        self.start("down", newest)
        self.assertIn(f"which is newer than {LATER}", self.cli("worker", "upgrade", "down", code=3))
        self.assertEqual(self.cli("worker", "upgrade", "down", "--downgrade"), f"upgraded  down  {LATER[:-1]}9 to {LATER}\n")

    def test_master_killed_in_the_middle(self):
        """It is killed while half of the program is there; another one goes on from there, as the row says."""
        d = self.d
        gate = Gate(d.port)
        self.addCleanup(gate.listener.close)
        self.start("cut", connect=gate.address)
        rid, bid = self.running("cut")
        gate.limit = 200000
        self.d.post("/workers/cut/upgrade", {}, 202)
        part = lambda: [n for n in os.listdir(d.path("bin-cut")) if n.startswith(".drover-part-")]  # noqa: E731
        wait_for(lambda: gate.held and part() and os.path.getsize(d.path("bin-cut", part()[0])) >= 65536, "half of the program")
        d.kill_master()
        half = os.path.getsize(d.path("bin-cut", part()[0]))
        self.assertLess(half, len(read(NEXT)))
        self.assertEqual(self.d.sql("select 1") and d.sql("select state from worker_order o join worker w on w.id = o.worker where w.name = 'cut'"), [["wanted"]])
        gate.limit = None
        d.start_master()
        wait_for(lambda: (self.worker("cut")["order"] or {}).get("state") == "done", "the upgrade")
        self.assertEqual(self.worker("cut")["facts"]["version"], LATER)
        self.assertEqual(sorted(os.listdir(d.path("bin-cut"))), ["drover-worker"])
        self.go("cut")
        self.assert_whole(rid, bid)

    def test_drain(self):
        d = self.d
        self.start("drain")
        rid, bid = self.running("drain")
        self.assertIn("draining  drain  upgrade when its builds are over", self.cli("worker", "drain", "drain", "--then", "upgrade"))
        waits = self.ask("drain")
        wait_for(lambda: d.get(f"/requests/{waits}/why")["reason"]["kind"] == "paused", "the pause")
        self.assertRegex(self.cli("pause"), r"paused +worker/drain by \w+ .*: drain")
        self.assertEqual(self.worker("drain")["order"]["state"], "wanted")
        self.assertRegex(self.cli("worker", "show", "drain"), r"(?m)^order +drain, then upgrade by \w+ .*: waits for its builds$")
        self.assertEqual(self.worker("drain")["facts"]["version"], VERSION)
        self.go("drain")
        self.assert_whole(rid, bid)
        self.assertEqual(d.wait_request(waits)["result"], 0)  # the pause ends with it
        self.assertEqual(self.worker("drain")["facts"]["version"], LATER)
        self.assertEqual([t for t, _ in self.events("drain")], ["paused", "worker.ordered", "resumed", "worker.upgraded"])

    def test_drain_and_stop(self):
        d = self.d
        p = self.start("stop")
        rid, bid = self.running("stop")
        self.cli("worker", "drain", "stop")
        self.assertIn("resumed", self.cli("worker", "resume", "stop"))  # changed their mind
        self.assertEqual(self.worker("stop")["order"]["state"], "failed")
        self.cli("worker", "drain", "stop")
        self.go("stop")
        self.assert_whole(rid, bid)
        self.assertEqual(p.wait(DEADLINE_S), 4)  # what tells systemd to leave it stopped
        d.wait_worker("stop", connected=False)
        wait_for(lambda: self.worker("stop")["order"]["state"] == "done", "its end in the row")
        self.assertRegex(self.cli("pause"), r"paused +worker/stop by \w+ .*: drain")
        self.assertIn("is away", self.cli("worker", "restart", "stop"))
        d.agents["stop"] = d.spawn("worker-stop.log", d.path("bin-stop/drover-worker"), "--join-file", d.token("stop"), "--dir", d.path("work-stop"), "--connect", "unix:" + d.path("w.sock"))
        wait_for(lambda: self.worker("stop")["order"]["state"] == "done", "the restart when it is back")
        self.assertEqual(self.cli("worker", "drain", "stop", "--wait"), "stopped   stop\n")
        self.assertEqual(d.agents.pop("stop").wait(DEADLINE_S), 4)
        self.cli("worker", "resume", "stop")

    def test_its_log(self):
        self.start("logs")
        text = self.cli("worker", "log", "logs")
        self.assertRegex(text, rf"^\S+Z info worker: drover-worker {VERSION} in \S+work-logs\n(?s:.*)connected as logs, connection 1\n$")
        self.assertEqual(self.cli("worker", "log", "logs", "-n", "1"), text.splitlines(True)[-1])
        self.assertEqual(self.d.get("/workers/logs/log?lines=1")["lines"], [text.splitlines()[-1]])
        self.assertIn("wants a number", self.cli("worker", "log", "logs", "-n", "0", code=2))
        self.assertIn("there is no worker nobody", self.cli("worker", "log", "nobody", code=2))

    def test_facts(self):
        self.start("facts")
        version = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        text = self.cli("worker", "facts", "facts", "git", "nonesuch")
        self.assertRegex(text, r"(?m)^fact +load = \d+\.\d\d$")
        self.assertIn(f"tool      git = {version}\n", text)
        self.assertIn("tool      nonesuch = not there", text)
        self.cli("worker", "facts", "facts", "sh-none")
        self.assertEqual(self.worker("facts")["tools"], {"git": version, "nonesuch": None, "sh-none": None})
        self.assertIn(f"tool      git = {version}\n", self.cli("worker", "show", "facts"))
        self.assertEqual(self.worker("facts")["facts"]["version"], VERSION)
        self.assertNotIn("tool", self.worker("facts")["facts"])
        self.assertIn("without a path", self.cli("worker", "facts", "facts", "/bin/sh", code=2))
        self.assertIn("there is no worker nobody", self.cli("worker", "facts", "nobody", code=2))

    # ---- workers that lie ----

    def fake(self, conn, **facts):
        w = FakeWorker(self.d.path("w.sock"), read(self.d.token("fake")).decode(), conn=conn, features=facts.pop("features", "admin"),
                       facts=[("arch", platform.machine()), ("version", VERSION), ("started", facts.pop("started", str(conn))), *facts.items()]).ready()
        self.addCleanup(w.close)
        self.d.wait_worker("fake")
        return w

    def failed(self, why):
        o = wait_for(lambda: (o := self.worker("fake")["order"]) and o["state"] in ("failed", "done") and o, "the end of the order")
        self.assertEqual(o["state"], "failed")
        self.assertIn(why, o["why"])

    def order(self, what="upgrade"):
        self.d.post(f"/workers/fake/{what}", {}, 202)

    def answer(self, w, **told):
        _, (req, off, head), blob = w.next("upgrade")
        w.send("done", req, "ok", blob=records(*told.items()))
        return int(off), blob[int(head):]

    def test_workers_that_lie(self):
        w = self.fake(1, features="disk")
        self.order()
        self.failed("too old to know how")
        w.close()
        w = self.fake(2)
        for told in ({}, {"have": "-1"}, {"have": "x"}, {"have": str(1 << 40)}, {"have": len(read(NEXT))}):
            self.order()
            self.answer(w, **told)
            self.failed("says what can't be")
        # never any further
        self.order()
        for _ in range(2 * (len(read(NEXT)) // 65536) + 16 + 1):
            self.answer(w, have=0, complete=0)
        self.failed("says what can't be")
        # a sentence that is none
        self.order()
        _, (req, *_), _ = w.next("upgrade")
        w.send("done", req, "denied", blob=b"\x1b[2Jno\n\xff" + b"x" * 5000)
        self.failed("no")
        self.assertNotIn("\x1b", self.worker("fake")["order"]["why"])
        self.assertLess(len(self.worker("fake")["order"]["why"]), 1200)
        # complete, and then always another program
        self.order()
        for conn in (3, 4, 5):
            self.answer(w, have=len(read(NEXT)), complete=1)
            _, (req, told), _ = w.next("restart")
            self.assertEqual(told, sum_of(read(NEXT)))
            w.send("done", req, "ok", blob=b"")
            w.close()
            w = self.fake(conn)
        self.answer(w, have=0, complete=0)
        self.failed("it was told 3 times, and still runs another program")
        # went back
        self.order()
        self.answer(w, have=len(read(NEXT)), complete=1)
        w.next("restart")
        w.close()
        w = self.fake(6)
        self.answer(w, have=0, complete=0, refused="it fell over")
        self.failed("it fell over")
        # a log without end, and one of no text at all
        answers = []
        def asked():  # noqa: E306
            t = threading.Thread(target=lambda: answers.append(self.d.api("GET", "/workers/fake/log")))
            t.start()
            _, (req, most), _ = w.next("tail")
            self.assertEqual(most, "65536")
            return t, req
        t, req = asked()
        junk = bytes(range(256)) * 64
        w.send("data", req, 0, blob=junk)
        w.send("done", req, "ok", blob=records(("bytes", len(junk))))
        t.join()
        told = answers[-1].json["lines"]
        self.assertEqual((answers[-1].status, len(told)), (200, 64 + 1))
        self.assertFalse([x for line in told for x in line if ord(x) < 32 or ord(x) == 127])
        t, req = asked()
        w.send("data", req, 0, blob=b"x" * 65536)
        w.send("data", req, 65536, blob=b"x")
        t.join()
        self.assertEqual((answers[-1].status, answers[-1].json["error"]["message"]), (409, "worker fake: the worker went away before it answered"))
        w.close()
        w = self.fake(7)
        t, req = asked()
        w.send("done", req, "denied", blob=b"\x1bno")
        t.join()
        self.assertEqual(answers[-1].status, 409)
        # facts of somebody else's, tools that nobody asked for, lines that are none
        t = threading.Thread(target=lambda: answers.append(self.d.api("POST", "/workers/fake/facts", {"tools": ["git", "make"]})))
        t.start()
        _, (req,), blob = w.next("facts")
        self.assertEqual(read_records(blob), [("tool", b"git"), ("tool", b"make")])
        w.send("done", req, "ok", blob=records(("os", "other"), ("secret", "x"), ("features", "y"), ("tool", "gcc 1"), ("tool", "git \x1b[2J\n" + "x" * 5000), ("tool", "make"), ("tool", " "), ("tool", "")))
        t.join()
        got = answers[-1].json
        self.assertEqual((answers[-1].status, got["facts"]["os"], sorted(got["tools"]), got["tools"]["make"]), (200, "other", ["git", "make"], None))
        self.assertEqual((got["facts"]["features"], "secret" in got["facts"]), ("admin", False))
        self.assertLess(len(got["tools"]["git"]), 800)
        self.assertNotIn("\x1b", got["tools"]["git"])
        # says yes to a restart and stays: another order is done nevertheless
        self.order("restart")
        _, (req, told), _ = w.next("restart")
        self.assertEqual(told, "-")
        w.send("done", req, "ok", blob=b"")
        self.order("upgrade")
        self.answer(w, running=1, have=1, complete=1)
        wait_for(lambda: self.worker("fake")["order"]["state"] == "done", "the other order")
        # the same agent again: it is told again; another one: that is what was wanted
        self.order("restart")
        w.next("restart")
        w.close()
        w = self.fake(8, started="7")
        w.next("restart")
        self.assertEqual(self.worker("fake")["order"]["state"], "sent")
        w.close()
        w = self.fake(9)
        wait_for(lambda: self.worker("fake")["order"]["state"] == "done", "the restart")


if __name__ == "__main__":
    unittest.main()
