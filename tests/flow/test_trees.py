"""All of a command ends, whatever it starts: at each way of keeping commands apart, against a master of our own."""
import os
import re
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import drover  # noqa: E402
from fakemaster import Log, processes_with, wait_for  # noqa: E402
from groups import missing  # noqa: E402
from isolated import SOAK, PYTHON, slots, ISOLATE, root, spaces, Case, stat_of, descends  # noqa: E402

# 200 processes deaf to SIGTERM, each in a session of its own and living on by forking itself anew, their parents gone; bounded in time, rate and priority.
BOMB = """
import os, signal, sys, time
os.nice(10)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
end = time.time() + 30
for n in range(200):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        while time.time() < end:
            time.sleep(0.2 + n / 1000)
            if os.fork():
                os._exit(0)
        os._exit(0)
print("ready", flush=True)
time.sleep(30)
"""
ORPHANS = """
import os, sys, time
for n in range(%d):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
print("ready", flush=True)
time.sleep(1000)
"""


class Trees:
    """The same at each kind of isolation: OPTIONS."""
    OPTIONS = []

    def begin(self, s, cmd, script):
        s.run(cmd, [PYTHON, "-c", script], ("env", f"MARK=tree-{os.getpid()}"), ("cwd", "p/b/1"))
        s.expect("state")
        s.send("follow", cmd, 1)
        log = Log()
        while b"ready" not in log.text:
            s.take_out(s.expect("out", timeout=20 * drover.busy() * (10 if SOAK else 1)), log)
        return log

    def test_all_of_it_ends(self):
        """Row 15: no survivors at grace + 2 s. Output is held open by all of them."""
        s, grace = self.connect(*self.OPTIONS), 200
        for i in range(100 if SOAK else 3):
            log = self.begin(s, f"1-{i + 1}", BOMB)
            t = time.monotonic()
            s.send("kill", f"1-{i + 1}", "1-1", grace, "cancel")
            s.collect({f"1-{i + 1}": log}, timeout=grace / 1000 + 2)
            self.assertEqual(processes_with(f"MARK=tree-{os.getpid()}"), [])
            self.assertLess(time.monotonic() - t, grace / 1000 + 2 * drover.busy())
            self.assertEqual((log.exit["how"], log.exit["reason"]), ("signaled", "cancel"))

    def test_orphans(self):
        """Row 16: none of them stays a zombie."""
        s = self.connect(*self.OPTIONS)
        rss = lambda: int(re.search(r"VmRSS:\s+(\d+)", drover.read(f"/proc/{self.b.worker.process.pid}/status").decode())[1])
        s.sh("1-1", "true")
        before = rss()
        log = self.begin(s, "1-2", ORPHANS % (10000 if SOAK else 300))
        minder = self.b.worker.minder("1-2")
        wait_for(lambda: not [p for p in drover.pids() if (f := stat_of(p)) and f[0] == "Z" and descends(p, minder)])
        self.assertLessEqual(rss() - before, 256)
        s.send("kill", "1-2", "1-1", 0, "cancel")
        s.collect({"1-2": log})

    def test_results(self):
        """What a command's end looks like does not depend on where it ran."""
        s = self.connect(*self.OPTIONS)
        log = s.sh("1-1", "echo out; echo err >&2; exit 7")
        self.assertEqual((log.exit["how"], log.exit["code"], log.channel(0), log.channel(1)), ("exited", 7, b"out\n", b"err\n"))
        log = s.sh("1-2", "kill -SEGV $$")
        self.assertEqual((log.exit["how"], log.exit["code"]), ("signaled", 11))
        log = s.run_all({"1-3": (["nonesuch-program"], ("cwd", "p/b/1"))})["1-3"]
        self.assertEqual((log.exit["how"], log.exit["code"]), ("failed", 2))
        self.assertIn("nonesuch-program", log.text_of_exit)
        # Left in the background: with the output for grace, without it not at all; and the result is the main process's.
        log = s.sh("1-4", "sleep 1000 & echo main; exit 4", ("grace", 300))
        self.assertEqual((log.exit["code"], log.text), (4, b"main\n"))
        begin = time.monotonic()
        log = s.sh("1-5", "setsid sleep 1000 >/dev/null 2>&1 & (sleep 0.2; echo late) & exit 3", ("grace", 30000))
        self.assertEqual((log.exit["code"], log.text), (3, b"late\n"))
        self.assertLess(time.monotonic() - begin, 15)  # nobody else holds it
        log = s.sh("1-6", "exec sleep 1000", ("total", 1000), ("grace", 10000))
        self.assertEqual((log.exit["how"], log.exit["code"], log.exit["reason"]), ("signaled", 15, "total"))
        s.run("1-7", ["sh", "-c", "trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.05; done"], ("cwd", "p/b/1"))
        s.expect("state")
        s.send("follow", "1-7", 1)
        log = Log()
        while b"ready" not in log.text:
            s.take_out(s.expect("out"), log)
        s.send("signal", "1-7", "1-1", "USR1")
        s.collect({"1-7": log})
        self.assertEqual((log.exit["how"], log.exit["code"], log.text), ("exited", 9, b"ready\ngot\n"))
        log = s.sh("1-9", "stty size; test -t 0 && echo by name >/dev/tty; echo named >$(tty)", ("pty", "81x25"))
        self.assertEqual((log.text.split(), log.exit["code"]), (b"25 81 by name named".split(), 0))
        log = s.sh("1-8", "dd if=/dev/zero bs=1M count=3 2>/dev/null | tr '\\0' x; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
        self.assertEqual(log.length, 3 << 20)
        self.assertGreater(log.exit["user_ms"], 0)

    def test_who_dies(self):
        """The agent: nothing changes. The minder: all of it ends, and the command is lost."""
        s = self.connect(*self.OPTIONS)
        go = self.work("p", "b", "1", "go")
        s.run("1-1", ["sh", "-c", "while [ ! -e go ]; do sleep 0.02; done; echo went; exit 5"], ("cwd", "p/b/1"))
        s.run("1-2", ["sh", "-c", "setsid sleep 1000 & setsid sleep 1000 & sleep 1000"], ("env", f"MARK=dies-{os.getpid()}"), ("cwd", "p/b/2"))
        for _ in range(2):
            s.expect("state")
        _, minder = self.b.worker.minder("1-1"), self.b.worker.minder("1-2")
        self.b.worker.kill()
        s = self.b.connect()
        self.assertEqual(s.has("1-1")["state"], "running")
        open(go, "w").close()
        s.resume("1-1", 0)
        log = s.collect({"1-1": Log()})["1-1"]
        self.assertEqual((log.exit["code"], log.text), (5, b"went\n"))
        wait_for(lambda: len(processes_with(f"MARK=dies-{os.getpid()}")) >= 3)
        s.resume("1-2", 0)
        os.kill(minder, signal.SIGKILL)
        self.assertEqual(s.expect("exit", how="lost", reason="minder")["cmd"], "1-2")
        wait_for(lambda: not processes_with(f"MARK=dies-{os.getpid()}"))


class TreesPlain(Trees, Case):
    OPTIONS = ["--cgroup", "off"]


@unittest.skipIf(missing(), missing())
class TreesGroups(Trees, Case):
    OPTIONS = ["--cgroup", "auto"]


@spaces
class TreesSpaces(Trees, Case):
    OPTIONS = ISOLATE


@root
class TreesUsers(Trees, Case):
    def connect(self, *options, **env):
        s = super().connect(*slots(), *options, **env)
        sh = s.sh
        s.sh = lambda cmd, script, *more, **args: sh(cmd, script, ("cwd", "p/b/1"), *more, **args)
        return s

if __name__ == "__main__":
    unittest.main()
