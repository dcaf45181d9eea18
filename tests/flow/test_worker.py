"""The worker as a whole, against a master of our own (tests/lib/fakemaster.py)."""
import errno
import hashlib
import os
import random
import re
import shutil
import signal
import ssl
import stat
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from drover import busy, tell  # noqa: E402
from fakemaster import (DEADLINE, PLAIN, SECRET, STATIC, WORKER, Bench, Gone, Log, encode, parse_records, processes_with, records, wait_for)  # noqa: E402

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Writes numbered records to both streams, tells its own hashes, and notes each start in an outside file.
GENERATOR = r"""
import hashlib, os, sys
size, note = int(sys.argv[1]), sys.argv[2]
os.write(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND), b"started\n")
pause = float(sys.argv[3]) if len(sys.argv) > 3 else 0
hashes, done, n = {1: hashlib.sha256(), 2: hashlib.sha256()}, 0, 0
while done < size:
    fd = 1 + (n // 7) % 2
    data = b"".join(b"record %08d %s\n" % (n * 500 + i, b"abcdefghij"[: i % 11]) for i in range(500))
    n += 1
    hashes[fd].update(data)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
    done += len(data)
    if pause:
        import time
        time.sleep(pause)
with open(note + ".hash", "w") as f:
    f.write(hashes[1].hexdigest() + " " + hashes[2].hexdigest())
"""


# What nothing but POSIX has no means for, as worker/os_posix.c says.
needs_descent = unittest.skipIf(PLAIN, "processes are found by their session only")
needs_beneath = unittest.skipIf(PLAIN, "links inside the work folder are not followed")


def sha(data):
    return hashlib.sha256(data).hexdigest()


def lines_of(path):
    try:
        with open(path) as f:
            return len(f.readlines())
    except FileNotFoundError:
        return 0


class Case(unittest.TestCase):
    def bench(self, **args):
        b = Bench(**args)
        self.addCleanup(b.__exit__)
        self.b = b
        return b

    def connect(self, **args):
        self.bench(**args)
        return self.b.connect()

    def assert_no_process(self, mark):
        wait_for(lambda: not processes_with(mark), 3, f"processes are left: {mark}")


class Commands(Case):
    def test_output_and_exit(self):
        s = self.connect()
        log = s.sh("1-1", "echo hi; echo oops >&2; exit 3")
        self.assertEqual(log.channel(0), b"hi\n")
        self.assertEqual(log.channel(1), b"oops\n")
        self.assertEqual((log.exit["how"], log.exit["code"], log.exit["reason"]), ("exited", 3, "-"))
        log = s.sh("1-2", "kill -9 $$")
        self.assertEqual((log.exit["how"], log.exit["code"]), ("signaled", 9))
        log = s.sh("1-3", "cat; echo end", ("stdin", "x" * 300000))
        self.assertEqual(log.text, b"x" * 300000 + b"end\n")
        self.assertEqual(s.sh("1-4", "cat").text, b"")

    def test_hello(self):
        s = self.connect()
        self.assertEqual((s.hello["version"], s.hello["name"], s.hello["conn"], s.hello["high"]), (1, "w1", 1, "0-0"))
        self.assertEqual(s.facts["secret"].decode(), SECRET)
        for fact in "os arch release cores memory_kib disk_free_kib disk_total_kib host version work path user uid isolation boot_ms".split():
            self.assertIn(fact, s.facts)
        self.assertEqual(s.facts["work"].decode(), os.path.realpath(self.b.worker.work))
        s.run_all({"3-7": ["true"]})
        s.close()
        t = self.b.master.accept()
        self.assertEqual((t.hello["conn"], t.hello["high"], t.hello["instance"]), (2, "3-7", s.hello["instance"]))
        self.b.worker.kill()
        t = self.b.connect()
        self.assertEqual((t.hello["conn"], t.hello["high"]), (3, "3-7"))

    def test_failures_to_start(self):
        s = self.connect()
        with open(os.path.join(self.b.worker.work, "plain"), "w") as f:
            f.write("no program")
        logs = s.run_all({"1-1": ["nonesuch-program"], "1-2": ["/bin"], "1-3": ["./plain"], "1-4": (["pwd"], ("cwd", "plain")),
                          "1-5": (["true"], ("env", "PATH="))})
        codes = {cmd: (log.exit["how"], log.exit["code"]) for cmd, log in logs.items()}
        self.assertEqual(codes, {"1-1": ("failed", 2), "1-2": ("failed", 13), "1-3": ("failed", 13), "1-4": ("failed", 20),
                                 "1-5": ("failed", 2)})
        self.assertIn("nonesuch-program", logs["1-1"].text_of_exit)
        self.assertEqual({log.exit["reason"] for log in logs.values()}, {"start"})

    def test_environment_is_exact(self):
        s = self.connect()
        work = os.path.realpath(self.b.worker.work)
        log = s.run_all({"1-1": (["env", "-0"], ("env", "A=1"), ("env", "B=x y\nz"), ("path", "OUT=a/b"), ("env", "A=2"),
                                 ("env", "E="))})["1-1"]
        got = dict(line.split(b"=", 1) for line in log.text.split(b"\0")[:-1])
        self.assertEqual(got, {b"PATH": PATH.encode(), b"DROVER_COMMAND": b"1-1", b"A": b"2", b"B": b"x y\nz", b"E": b"",
                               b"OUT": f"{work}/a/b".encode()})
        script = "ls -l /proc/self/fd | grep -c -v -e total -e /proc/; grep -E 'Sig(Blk|Ign)' /proc/self/status; umask; ulimit -n"
        lines = s.sh("1-2", script).text.decode().split("\n")
        self.assertEqual(lines[0], "3")
        theirs = 3 << 31 if PLAIN else 0  # two signals that the C library keeps for itself
        self.assertEqual([int(x.split()[1], 16) & ~theirs for x in lines[1:3]], [0, 0])
        self.assertEqual(lines[3], "0022")

    def test_large_arguments_and_environment(self):
        """What the system takes comes byte by byte; what it does not is an end that says so, at once."""
        s = self.connect()
        told = "import os, sys, hashlib\nh = hashlib.sha256()\nfor w in sys.argv[1:]: h.update(os.fsencode(w) + b'\\0')\nfor k in sorted(os.environb):\n  if k.startswith(b'V'): h.update(k + b'=' + os.environb[k] + b'\\0')\nprint(h.hexdigest())"
        for n, (words, variables) in enumerate((
                ([b"x" * 100000] * 8, {}), ([bytes([i]) for i in range(1, 256)], {}), ([b"", b"\xff\xfe", b"="], {b"V": b"\x80" * 100000}),
                ([], {b"V%04d" % i: b"%d" % i * 20 for i in range(4000)}), ([], {b"V1": b"a=b=c", b"V2": b""}))):
            cmd = f"1-{n + 1}"
            s.run(cmd, ["python3", "-c", told, *words], *[("env", k + b"=" + v) for k, v in variables.items()])
            log = s.collect({cmd: Log()})[cmd]
            want = hashlib.sha256(b"".join(w + b"\0" for w in words) + b"".join(k + b"=" + variables[k] + b"\0" for k in sorted(variables)))
            self.assertEqual(log.text.decode(), want.hexdigest() + "\n")
        for n, (words, variables) in enumerate((([b"x" * (1 << 20)], {}), ([], {b"V": b"x" * (1 << 20)}), ([b"x" * 100000] * 30, {}))):
            cmd, began = f"2-{n + 1}", time.monotonic()
            s.run(cmd, ["true", *words], *[("env", k + b"=" + v) for k, v in variables.items()])
            log = s.collect({cmd: Log()})[cmd]
            self.assertEqual((log.exit["how"], log.exit["code"], log.exit["reason"]), ("failed", errno.E2BIG, "start"))
            self.assertIn("Argument list too long", log.text_of_exit)
            self.assertLess(time.monotonic() - began, 5 * busy())

    def test_what_the_host_does_not_allow(self):
        """Refused by name, the rest is done; what is not well-formed ends the link as ever."""
        self.bench()
        self.b.worker.start("--allow", "read")
        s = self.b.connect()
        self.assertEqual((s.file_op("stat", ".")[0], s.file_op("mkdir", "x")[0]), ("ok", "denied"))
        s.send("secrets", "1-1", blob=records(("value", b"s=sesame-open")))
        s.run("1-1", ["true"])
        self.assertIn(b"`allow` lacks run", s.expect("error", tag="denied", what="1-1").blob)
        s.send("mkdir", "x", blob=b"y")
        s.expect_gone(bye="protocol")

    def test_worker_conf(self):
        self.bench()
        os.makedirs(self.b.worker.dir)
        with open(os.path.join(self.b.worker.dir, "worker.conf"), "w") as f:
            f.write("# ours\n\npath = /bin:/nowhere\n")
        s = self.b.connect()
        self.assertEqual(s.sh("1-1", "echo $PATH").text, b"/bin:/nowhere\n")
        self.b.worker.stop()
        with open(os.path.join(self.b.worker.dir, "worker.conf"), "a") as f:
            f.write("paht = x\n")
        self.b.worker.start()
        self.assertEqual(self.b.worker.process.wait(DEADLINE), 2)
        self.assertIn("worker.conf:4: unknown key `paht`", self.b.worker.log_text())

    @needs_beneath
    def test_folders_and_confinement(self):
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        os.mkdir(outside)
        os.symlink(outside, os.path.join(work, "out"))
        os.symlink("real", os.path.join(work, "in"))
        os.makedirs(os.path.join(work, "real", "deep"))
        os.makedirs(os.path.join(work, "old", "x"))
        log = s.run_all({"1-1": (["sh", "-c", "pwd -P; ls ../.. ; ls ../../old"], ("fresh", "old"), ("mkdir", "m/n"), ("cwd", "in/new"))})["1-1"]
        self.assertEqual(log.text.decode(), os.path.realpath(work) + "/real/new\nin\nm\nold\nout\nreal\n")
        for i, bad in enumerate(["../x", "/etc", "a/../../b", "", "a/.."]):
            for key in ("cwd", "fresh", "mkdir"):
                s.run(f"2-{i}", ["true"], (key, bad))
                s.expect("error", tag="badarg", what=f"2-{i}")
        s.run("2-9", ["true"], ("fresh", "."))
        s.expect("error", tag="badarg")
        logs = s.run_all({f"3-{i}": (["pwd"], (key, place)) for i, (key, place) in
                          enumerate([("cwd", "out"), ("cwd", "out/y"), ("mkdir", "out/y"), ("fresh", "out/y")])})
        self.assertEqual({(x.exit["how"], x.exit["code"]) for x in logs.values()}, {("failed", 18)})
        self.assertEqual(os.listdir(outside), [])
        for blob in (b"", b"junk", records(("arg", "true"), ("nonesuch", "1")), records(("env", "A=1")),
                     records(("arg", "true"), ("env", "novalue")), records(("arg", "true"), ("idle", "x")),
                     records(("arg", "true"), ("env", "DROVER_COMMAND=9-9"))):
            s.send("run", "4-1", 1, "1-1", 100, blob=blob)
            s.expect("error", tag="badarg", what="4-1")
        self.assertFalse(os.path.exists(self.b.worker.spool("4-1")))

    def test_run_is_idempotent(self):
        s = self.connect()
        note, go = os.path.join(self.b.folder, "note"), os.path.join(self.b.folder, "go")
        script = f"echo x >> {note}; while [ ! -e {go} ]; do sleep 0.02; done"
        for _ in range(3):
            s.run("1-1", ["sh", "-c", script])
        states = [s.expect("state")["state"] for _ in range(3)]
        self.assertEqual(states[0], "accepted")
        open(go, "w").close()
        s.collect({"1-1": Log()})
        s.run("1-1", ["sh", "-c", script])
        s.expect("state", state="done")
        self.assertEqual(lines_of(note), 1)
        s.send("forget", "1-1")
        s.send("inventory")
        self.assertEqual(s.take_inventory(), [])
        self.assertFalse(os.path.exists(self.b.worker.spool("1-1")))

    def test_fencing(self):
        s = self.connect()
        s.run("1-1", ["sleep", "100"], build=7, epoch="1-5")
        s.expect("state", state="accepted")
        s.run("1-2", ["true"], build=7, epoch="1-4")
        s.expect("error", tag="fenced", what="1-2")
        s.send("kill", "1-1", "1-4", 0, "cancel")
        s.expect("error", tag="fenced", what="1-1")
        s.resume("1-1", 0, epoch="2-1")
        s.send("inventory")
        self.assertEqual(s.take_inventory()[0]["epoch"], "2-1")
        self.b.worker.kill()
        s = self.b.connect()
        self.assertEqual(s.has("1-1")["epoch"], "2-1")
        s.resume("1-1", 0, epoch="1-9")
        s.expect("error", tag="fenced", what="1-1")
        s.run("1-3", ["true"], build=7, epoch="1-5")
        s.expect("error", tag="fenced", what="1-3")
        s.send("forget", "1-1")
        wait_for(lambda: not os.path.exists(self.b.worker.spool("1-1")))
        s.run("1-3", ["true"], build=7, epoch="1-5")
        s.expect("state", state="accepted")

    def test_several_at_once_and_turns(self):
        s = self.connect()
        logs = s.run_all({f"1-{i}": ["sh", "-c", f"seq {i} 20000"] for i in range(1, 9)})
        for i in range(1, 9):
            self.assertEqual(logs[f"1-{i}"].text, b"".join(b"%d\n" % n for n in range(i, 20001)))

    def test_all_bytes_and_a_long_line(self):
        s = self.connect()
        script = "import os,sys; os.write(1, bytes(range(256)) * 300); os.write(2, b'\\0' * 1000)"
        log = s.run_all({"1-1": ["python3", "-c", script]})["1-1"]
        self.assertEqual(log.channel(0), bytes(range(256)) * 300)
        self.assertEqual(log.channel(1), b"\0" * 1000)
        log = Log()
        log.keep = False
        s.run("1-2", ["sh", "-c", "head -c 100000000 /dev/zero | tr '\\0' x"])
        s.collect({"1-2": log}, timeout=30, window=4 << 20)
        self.assertEqual((log.length, log.lines, log.exit["code"]), (100000000, 0, 0))

    def test_chunks_close_in_time(self):
        s = self.connect()
        t = time.monotonic()
        s.run("1-1", ["sh", "-c", "echo a; sleep 100"])
        s.expect("state")
        s.expect("out")
        self.assertTrue(0.8 < time.monotonic() - t < 3 * busy(), time.monotonic() - t)
        go, took = os.path.join(self.b.folder, "go"), []
        while not took or min(took) >= 0.9 and len(took) < 5:  # a busy machine adds to some of them; who does not follow is never told in less than a second
            cmd = f"1-{len(took) + 2}"
            s.run(cmd, ["sh", "-c", f"while [ ! -e {go} ]; do sleep 0.02; done; echo b; sleep 100"])
            s.expect("state")
            s.send("follow", cmd, 1)
            t = time.monotonic()
            open(go, "w").close()
            s.expect("out", cmd=cmd)
            took.append(time.monotonic() - t)
            os.unlink(go)
        self.assertLess(min(took), 0.9)

    def test_credit_is_never_passed(self):
        s = self.connect()
        s.run("1-1", ["sh", "-c", "seq 1 100000"], limit=0)
        s.expect("state")
        with self.assertRaises(TimeoutError):
            s.recv(1.5)
        log, limit = Log(), 0
        while log.exit is None:  # one step over each border, by the smallest steps that let a chunk through
            limit += 40000
            s.limits["1-1"] = limit
            s.send("ack", "1-1", 0, log.length, limit)
            try:
                while True:
                    m = s.recv(0.05)
                    if m.verb == "exit":
                        log.end(m)
                        break
                    s.take_out(m, log, window=0)
            except TimeoutError:
                pass
        self.assertEqual(log.text, b"".join(b"%d\n" % n for n in range(1, 100001)))
        s.send("ack", "1-1", 0, log.length + 1, 1 << 30)
        s.expect("error", tag="badarg", what="1-1")

    def test_ack_of_what_was_sent_before_a_resume(self):
        """A master that was without its database for a moment asks again from what is committed, while the worker sends on: what came meanwhile is acked as soon as it is committed, whether or not it was sent again."""
        s, log, again = self.connect(), Log(), Log()
        s.run("1-1", ["echo", "a"])
        s.collect({"1-1": log})
        s.resume("1-1", 0, limit=0)
        s.send("ack", "1-1", 0, log.length, 0)
        s.send("ack", "1-1", 0, log.length + 1, 0)
        self.assertIn("not sent yet", s.expect("error", tag="badarg", what="1-1").blob.decode())
        s.limits["1-1"] = log.length
        s.send("ack", "1-1", 0, log.length, log.length)
        s.collect({"1-1": again})
        self.assertEqual(again.text, log.text)

    def test_resume_from_every_border(self):
        s = self.connect()
        log = s.collect_one = Log()
        s.run("1-1", ["python3", "-c", "import os\nfor i in range(40): os.write(1 + i % 2, b'%07d\\n' % i * 5000)"])
        s.collect({"1-1": log})
        self.assertGreater(len(log.borders), 10)
        for off in log.borders:
            again = Log()
            again.length, again.crc, again.lines = off, __import__("zlib").crc32(log.text[:off]), log.text[:off].count(b"\n")
            s.resume("1-1", off)
            s.collect({"1-1": again})
            self.assertEqual(again.text, log.text[off:])
        s.resume("1-1", log.borders[1] - 1)
        s.expect("error", tag="badarg", what="1-1")
        s.send("resume", "9-9", "1-1", 0, 0, 100)
        s.expect("error", tag="notfound", what="9-9")
        s.send("resume", "1-1", "1-1", 3, 0, 100)
        s.expect("error", tag="badarg", what="1-1")

    def test_segments_of_a_forgotten_command_are_no_others(self):
        """Its output is in two segments and was never sent: its folder is not for the next command with the second one in it."""
        s = self.connect()
        s.run("1-1", ["sh", "-c", f"head -c {12 << 20} /dev/urandom"], limit=0)
        s.expect("state")

        def ended():
            s.send("inventory")
            return s.take_inventory()[0]["state"] == "done"
        wait_for(ended)
        s.send("forget", "1-1")
        s.run("1-2", ["sh", "-c", "echo a; sleep 100"])
        s.expect("state", cmd="1-2")
        s.expect("out", cmd="1-2")
        s.send("inventory")
        self.assertEqual([(h["cmd"], h["lo"], h["hi"]) for h in s.take_inventory()], [("1-2", 0, 2)])

    def test_segments_are_dropped_when_acked(self):
        s = self.connect(env={"DROVER_TEST_KEEP_SEGMENTS": "2"})
        log, size = Log(), 40 << 20
        log.keep = False
        s.run("1-1", ["sh", "-c", f"head -c {size} /dev/urandom; sleep 100"], limit=4 << 20)
        s.expect("state")
        while log.length < size:
            s.take_out(s.expect("out"), log, 4 << 20)
        self.assertFalse(os.path.exists(self.b.worker.spool("1-1", "log.0")))
        s.send("inventory")
        have = s.take_inventory()[0]
        self.assertTrue(0 < have["lo"] < have["hi"] == size)
        s.resume("1-1", 0)
        s.expect("error", tag="notfound", what="1-1")
        # Lost: the sums still are those of the whole log.
        os.kill(self.b.worker.minder("1-1"), signal.SIGKILL)
        s.resume("1-1", log.length)
        s.collect({"1-1": log})
        self.assertEqual(log.exit["how"], "lost")

class Killing(Case):
    def ends(self, script, grace=300, seconds=2.0, mark="tree-" + str(os.getpid()), ready="ready"):
        """Runs it until it says `ready`, kills it, and nothing of it is left grace + 2 s later."""
        s = self.connect()
        s.run("1-1", ["sh", "-c", script], ("env", "MARK=" + mark))
        s.expect("state")
        s.send("follow", "1-1", 1)
        log = Log()
        while ready.encode() not in log.text:
            s.take_out(s.expect("out"), log)
        t = time.monotonic()
        s.send("kill", "1-1", "1-1", grace, "cancel")
        s.collect({"1-1": log}, timeout=grace / 1000 + seconds)
        self.assertEqual(processes_with("MARK=" + mark), [])
        self.assertLess(time.monotonic() - t, (grace / 1000 + seconds) * busy())
        self.assertEqual(log.exit["reason"], "cancel")
        return log, time.monotonic() - t

    def test_plain(self):
        log, took = self.ends("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done", grace=30000)
        self.assertEqual((log.exit["how"], log.exit["code"]), ("exited", 5))
        self.assertIn(b"bye", log.text)
        self.assertLess(took, 15)  # not the grace

    def test_ignored_sigterm(self):
        log, _ = self.ends("trap '' TERM; (trap '' TERM; sleep 1000) & echo ready; sleep 1000")
        self.assertEqual((log.exit["how"], log.exit["code"]), ("signaled", 9))

    @needs_descent
    def test_sessions_and_double_forks(self):
        self.ends("setsid sleep 1000 & setsid sh -c '(sleep 1000 >/dev/null 2>&1 &) ; (setsid sleep 1000 &)'; sleep 0.2; echo ready; sleep 1000")

    def test_stopped(self):
        self.ends("sh -c 'kill -STOP $$; sleep 1000' & sleep 0.2; echo ready; kill -STOP $$", grace=3000, seconds=0.0)

    @needs_descent
    def test_fork_bomb(self):
        # 200 at a time, deaf to SIGTERM, each in a session of its own and living on by forking itself anew; bounded in
        # time, rate and priority, so that a worker that fails here does no harm to the machine.
        self.ends("""exec nice -n 10 python3 -c "
import os, random, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
end = time.time() + 8
for n in range(200):
    if os.fork() == 0:
        os.setsid()
        while time.time() < end:
            time.sleep(0.2 + 0.2 * random.random())
            if os.fork():
                os._exit(0)
        os._exit(0)
print('ready', flush=True)
time.sleep(8)
" """, grace=200)

    def test_a_shorter_grace_shortens(self):
        s = self.connect()
        s.run("1-1", ["sh", "-c", "trap '' TERM; echo deaf; sleep 1000 & wait; while :; do sleep 1; done"])
        s.expect("state")
        s.expect("out")
        t = time.monotonic()
        s.send("kill", "1-1", "1-1", 120000, "cancel")
        s.send("kill", "1-1", "1-1", 200, "cancel")
        s.expect("exit", reason="cancel", how="signaled", code=9)
        self.assertLess(time.monotonic() - t, 60)

    def test_timeouts(self):
        s = self.connect()
        grace = ("grace", 300)
        s.run("1-1", ["sh", "-c", "echo a; sleep 1000"], ("idle", 400), grace)
        s.run("1-2", ["sh", "-c", "while :; do echo a; sleep 0.1; done"], ("idle", 1500), ("total", 3000), grace)
        s.run("1-3", ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], ("total", 1500), grace)
        logs = s.collect({f"1-{i}": Log() for i in (1, 2, 3)})
        self.assertEqual([logs[f"1-{i}"].exit["reason"] for i in (1, 2, 3)], ["idle", "total", "total"])
        self.assertEqual([logs[f"1-{i}"].exit["code"] for i in (1, 2, 3)], [15, 15, 9])
        self.assertTrue(400 <= logs["1-1"].exit["wall_ms"] < 1500 * busy(), logs["1-1"].exit)
        self.assertTrue(1800 <= logs["1-3"].exit["wall_ms"] < 3000 * busy(), logs["1-3"].exit)

    def test_alone(self):
        s = self.connect()
        s.run("1-1", ["sleep", "1000"], ("alone", 700), ("grace", 300))
        s.run("1-2", ["sleep", "1000"])
        s.expect("state")
        s.expect("state")
        self.b.worker.kill()
        self.b.worker.minder("1-2")  # it runs by now
        wait_for(lambda: self.b.worker.has_result("1-1"))
        s = self.b.connect()
        self.assertEqual((s.has("1-1")["state"], s.has("1-2")["state"]), ("done", "running"))
        s.resume("1-1", 0)
        s.expect("exit", reason="alone")

    def test_background_processes(self):
        s = self.connect()
        mark = ("env", f"MARK=bg-{os.getpid()}")
        # Holds the output: until grace, then killed; the result is the main process's.
        t = time.monotonic()
        log = s.sh("1-1", "sleep 1000 & echo main; exit 4", ("grace", 500), mark)
        self.assertEqual((log.exit["how"], log.exit["code"], log.exit["reason"], log.text), ("exited", 4, "-", b"main\n"))
        self.assertTrue(0.4 < time.monotonic() - t < 2.5 * busy())
        # What still writes is waited for.
        log = s.sh("1-2", "(sleep 0.3; echo late) & echo main", ("grace", 30000), mark)
        self.assertEqual(log.text, b"main\nlate\n")
        # Holds nothing: ended at once, politely.
        t = time.monotonic()
        log = s.sh("1-3", f"{'' if PLAIN else 'setsid'} sleep 1000 >/dev/null 2>&1 </dev/null & echo main", ("grace", 30000), mark)
        self.assertLess(time.monotonic() - t, 15)  # not the grace
        self.assertEqual(processes_with(mark[1]), [])

    def test_forget_kills(self):
        s = self.connect()
        s.run("1-1", ["sh", "-c", "trap '' TERM; sleep 1000; sleep 1000"], ("env", f"MARK=fg-{os.getpid()}"))
        s.expect("state")
        s.send("forget", "1-1")
        wait_for(lambda: not os.path.exists(self.b.worker.spool("1-1")))
        self.assert_no_process(f"MARK=fg-{os.getpid()}")
        s.send("forget", "7-7")
        s.send("inventory")
        self.assertEqual(s.take_inventory(), [])


def processes_in(folder):
    """Pids that work there."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") == os.path.realpath(folder):
                found.append(int(pid))
        except OSError:
            pass
    return found


class Crashes(Case):
    def finish(self, s, cmd, log, timeout=30):
        """After a reconnect: resumes as a master does, until the exit."""
        if s.has(cmd) is None:
            return False
        s.resume(cmd, log.length, limit=log.length + (1 << 22))
        s.collect({cmd: log}, timeout=timeout, window=1 << 22)
        return True

    def test_agent_killed_while_64_mib_flow(self):
        s = self.connect()
        note = os.path.join(self.b.folder, "note")
        s.run("1-1", ["python3", "-c", GENERATOR, str(64 << 20), note], limit=1 << 22)
        log, rng, kills = Log(), random.Random(7), 0
        while log.exit is None:
            end = time.monotonic() + rng.uniform(0.0, 0.35)
            try:
                while log.exit is None and time.monotonic() < end:
                    try:
                        m = s.recv(max(0.001, end - time.monotonic()))
                    except TimeoutError:
                        break
                    if m.verb == "out":
                        s.take_out(m, log, 1 << 22)
                    elif m.verb == "exit":
                        log.end(m)
                if log.exit is None and kills < 8:
                    kills += 1
                    self.b.worker.kill()
                    raise Gone()
            except Gone:
                s.close()
                s = self.b.connect()
                if rng.random() < 0.5:  # a commit of the master's that was not durable after all
                    log.cut_to(rng.choice(log.borders[-5:]))
                s.resume("1-1", log.length, limit=log.length + (1 << 22))
        self.assertGreaterEqual(kills, 3)
        with open(note + ".hash") as f:
            self.assertEqual([sha(log.channel(0)), sha(log.channel(1))], f.read().split())
        self.assertEqual(lines_of(note), 1)

    def test_agent_killed_at_random_moments(self):
        """Quick commands, kills between run, accepted, started, exit and forget: each starts once at most, exactly once in the end."""
        self.bench(env={"DROVER_TEST_RETRY_MAX_MS": "0"})
        rng, notes = random.Random(11), os.path.join(self.b.folder, "notes")
        os.mkdir(notes)
        todo, logs, sent, kills, enough = [], {}, set(), 0, 30
        script = 'echo x >> "$1"; echo out; echo err >&2'

        def run(s, cmd):
            sent.add(cmd)
            s.run(cmd, ["sh", "-c", script, "sh", os.path.join(notes, cmd)])

        while kills < enough or any(log.exit is None for log in logs.values()):
            s = self.b.connect()
            if kills < enough:  # always something in hand
                new = [f"1-{len(todo) + i}" for i in range(1, 7)]
                todo += new
                logs.update({c: Log() for c in new})
            for m in s.have:
                if logs[m["cmd"]].exit is None:
                    s.resume(m["cmd"], logs[m["cmd"]].length)
                else:
                    s.send("forget", m["cmd"])
            for cmd in [c for c in sent if logs[c].exit is None and s.has(c) is None]:
                self.assertEqual(logs[cmd].length, 0)
                run(s, cmd)  # same instance, same boot, empty log: never received
            end = time.monotonic() + rng.uniform(0.0, 0.03)
            try:
                for cmd in [c for c in todo if c not in sent][:4]:
                    run(s, cmd)
                while any(logs[c].exit is None for c in sent) or len(sent) < len(todo):
                    left = end - time.monotonic()
                    if left <= 0 and kills < enough:
                        break
                    if all(logs[c].exit is not None for c in sent):
                        run(s, next(c for c in todo if c not in sent))
                    try:
                        m = s.recv(max(left, 0.001) if kills < enough else 10)
                    except TimeoutError:
                        continue
                    if m.verb == "out":
                        s.take_out(m, logs[m["cmd"]])
                    elif m.verb == "exit":
                        logs[m["cmd"]].end(m)
                        s.send("forget", m["cmd"])
            except Gone:
                pass
            kills += 1
            self.b.worker.kill()
            s.close()
        for cmd in todo:
            self.assertEqual((logs[cmd].channel(0), logs[cmd].channel(1), logs[cmd].exit["code"]), (b"out\n", b"err\n", 0))
            self.assertEqual(lines_of(os.path.join(notes, cmd)), 1, cmd)

    def test_agent_killed_after_exit(self):
        s = self.connect()
        s.run("1-1", ["sh", "-c", "echo hi; exit 2"])
        s.expect("state")
        self.b.worker.kill()
        wait_for(lambda: self.b.worker.has_result("1-1"))
        for _ in range(3):
            s = self.b.connect()
            self.assertEqual((s.has("1-1")["state"], s.has("1-1")["hi"]), ("done", 3))
            log = Log()
            self.finish(s, "1-1", log)
            self.assertEqual((log.text, log.exit["code"]), (b"hi\n", 2))
            self.b.worker.kill()
            s.close()

    def test_never_received(self):
        self.bench()
        self.b.connect()
        self.b.worker.kill()
        for name in ("1-1", "1-2"):
            os.mkdir(self.b.worker.spool(name))
        with open(self.b.worker.spool("1-2", "cmd"), "w") as f:
            f.write("drover-command 1 1-2 ")
        s = self.b.connect()
        self.assertEqual(s.have, [])
        self.assertEqual(os.listdir(self.b.worker.spool("")), [])

    @needs_descent
    def test_minder_killed(self):
        s = self.connect()
        mark = f"MARK=mk-{os.getpid()}"
        s.run("1-1", ["sh", "-c", "echo one; setsid sleep 1000 & (setsid sleep 1000 &) ; sleep 1000"], ("env", mark))
        s.expect("state")
        log = Log()
        s.take_out(s.expect("out"), log)
        os.kill(self.b.worker.minder("1-1"), signal.SIGKILL)
        s.collect({"1-1": log})
        self.assertEqual((log.exit["how"], log.exit["reason"], log.text), ("lost", "minder", b"one\n"))
        self.assertEqual(processes_with(mark), [])
        s.send("inventory")
        self.assertEqual(s.take_inventory()[0]["state"], "lost")

    @needs_descent
    def test_minder_killed_beside_another_worker(self):
        """Two workers on one host, of two clusters, with the same command id: only the dead minder's processes are swept up."""
        s = self.connect()
        other = Bench()
        self.addCleanup(other.__exit__)
        t = other.connect()
        for session in (s, t):
            session.run("1-1", ["sh", "-c", "setsid sleep 1000 & sleep 1000"])
            session.expect("state", state="accepted")
        alive = wait_for(lambda: len(p := processes_in(other.worker.work)) == 3 and p)
        pid = self.b.worker.minder("1-1")
        wait_for(lambda: len(processes_in(self.b.worker.work)) == 3)
        os.kill(pid, signal.SIGKILL)
        s.expect("exit", how="lost", reason="minder")
        self.assertEqual(processes_in(self.b.worker.work), [])
        self.assertEqual(processes_in(other.worker.work), alive)

    @needs_descent
    def test_minder_killed_while_no_agent_is_there(self):
        s = self.connect()
        mark = f"MARK=mn-{os.getpid()}"
        s.run("1-1", ["sh", "-c", "echo one; sleep 1000"], ("env", mark))
        s.expect("state")
        log = Log()
        s.take_out(s.expect("out"), log)
        pid = self.b.worker.minder("1-1")
        self.b.worker.kill()
        os.kill(pid, signal.SIGKILL)
        with open(self.b.worker.spool("1-1", "log.0"), "ab") as f:
            f.write(b"out 1-1 0 4 65000 1 00000000 5 00000000 +20000\ntorn")
        s = self.b.connect()
        self.finish(s, "1-1", log)
        self.assertEqual((log.exit["how"], log.exit["reason"], log.text), ("lost", "minder", b"one\n"))
        self.assert_no_process(mark)

    def test_minder_stopped_by_the_host(self):
        s = self.connect()
        mark = f"MARK=sd-{os.getpid()}"
        s.run("1-1", ["sh", "-c", "sleep 1000 & sleep 1000"], ("env", mark))
        s.expect("state")
        os.kill(self.b.worker.minder("1-1"), signal.SIGTERM)
        s.expect("exit", how="lost", reason="shutdown")
        self.assertEqual(processes_with(mark), [])

    def test_another_boot(self):
        s = self.connect()
        s.run("1-1", ["sh", "-c", "seq 1 50000; exit 6"])
        s.run("1-2", ["sh", "-c", "seq 1 50000; sleep 1000"])
        s.run("1-3", ["sh", "-c", "seq 1 50000"])
        logs = {"1-1": Log(), "1-3": Log()}
        more = Log()
        while any(x.exit is None for x in logs.values()):
            m = s.recv()
            if m.verb == "out":
                s.take_out(m, logs.get(m["cmd"], more))
            elif m.verb == "exit":
                logs[m["cmd"]].end(m)
        self.b.worker.kill()
        os.kill(self.b.worker.minder("1-2"), signal.SIGKILL)
        with open(self.b.worker.spool("1-3", "log.0"), "r+b") as f:  # as a power cut may leave it
            f.seek(-3000, 2)
            f.write(b"\0" * 3000)
        self.b.worker.start(DROVER_TEST_BOOT_ID="b" * 32)
        s = self.b.master.accept()
        self.assertEqual(s.hello["boot"], "b" * 32)
        fresh = {c: Log() for c in ("1-1", "1-2", "1-3")}
        for c in fresh:
            s.resume(c, 0)
        s.collect(fresh)
        self.assertEqual((fresh["1-1"].exit["how"], fresh["1-1"].exit["code"], fresh["1-1"].text), ("exited", 6, logs["1-1"].text))
        for c in ("1-2", "1-3"):
            self.assertEqual((fresh[c].exit["how"], fresh[c].exit["reason"]), ("lost", "boot"))
        self.assertTrue(logs["1-3"].text.startswith(fresh["1-3"].text))

    def test_stop_leaves_commands(self):
        s = self.connect()
        go = os.path.join(self.b.folder, "go")
        s.run("1-1", ["sh", "-c", f"while [ ! -e {go} ]; do sleep 0.02; done; echo done"])
        s.expect("state")
        self.assertEqual(self.b.worker.stop(), 0)
        s.expect_gone(bye="stop")
        self.assertIn("1 commands go on", self.b.worker.log_text())
        open(go, "w").close()
        s = self.b.connect()
        log = Log()
        self.finish(s, "1-1", log)
        self.assertEqual(log.text, b"done\n")


@unittest.skipUnless(shutil.which("strace"), "needs strace")
class Syncs(Case):
    def count(self, script, stop_agent=False):
        """fsync and fdatasync calls of a command's minder."""
        s = self.connect()
        out = os.path.join(self.b.folder, "trace")
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", out, "-p", str(self.b.worker.process.pid)],
                                  stderr=subprocess.DEVNULL)
        with open(f"/proc/{self.b.worker.process.pid}/status") as f:
            wait_for(lambda: f.seek(0) == 0 and "TracerPid:\t0\n" not in f.read())
        s.run("1-1", ["sh", "-c", script])
        s.expect("state")
        if stop_agent:
            self.b.worker.kill()
            open(os.path.join(self.b.folder, "go"), "w").close()
            wait_for(lambda: self.b.worker.has_result("1-1"))
            wait_for(lambda: not processes_with(self.b.worker.dir + "/spool"))
        else:
            self.wall_ms = s.collect({"1-1": Log()})["1-1"].exit["wall_ms"]
            wait_for(lambda: not processes_with(self.b.worker.dir + "/spool"))
        tracer.terminate()
        tracer.wait()
        with open(out) as f:
            calls = [line.split()[1].split("(")[0] for line in f if "sync(" in line]
        return calls.count("fdatasync"), calls.count("fsync")

    def test_a_short_command_syncs_nothing(self):
        self.wall_ms = 1000
        while self.wall_ms >= 500:  # it was no short one then, where strace and others have the machine
            calls = self.count("echo hi")
        self.assertEqual(calls, (0, 0))

    def test_a_longer_one_syncs_log_result_and_folder(self):
        log, others = self.count("echo hi; sleep 2.4; echo ho")
        self.assertTrue(1 <= log <= 4, log)
        self.assertEqual(others, 2)

    def test_one_that_ends_alone_syncs(self):
        self.assertEqual(self.count("while [ ! -e ../../go ]; do sleep 0.02; done; echo hi", stop_agent=True), (1, 2))


class CutLink(Case):
    def test_cut_after_every_byte(self):
        """A session of three commands, cut after its k-th byte to the worker or from it, for every k: the end is always the same."""
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # thousands of greetings, each with its fsync
        self.bench(base=base, env={"DROVER_TEST_RETRY_MAX_MS": "0"})
        self.b.worker.start("--log-level", "warn")
        scripts = {"echo one": (b"one\n", 0), "echo two >&2; exit 2": (b"two\n", 2), "exit 3": (b"", 3)}
        notes = os.path.join(self.b.folder, "notes")
        counter = [0]

        def session(cut_in, cut_out):
            """Plays it through, cutting once; returns the bytes that went each way before a cut."""
            counter[0] += 1
            base = counter[0] * 10
            want = {f"1-{base + i}": x for i, x in enumerate(scripts.items())}
            logs, sent, was_cut, moved = {c: Log() for c in want}, set(), cut_in is None and cut_out is None, [0, 0]
            while True:
                s = self.b.master.accept_raw()
                if not was_cut:
                    cutter = Cutter(s, cut_in, cut_out)
                    was_cut = True
                else:
                    cutter = Cutter(s, None, None)
                try:
                    s.greet()
                    for m in s.have:
                        log = logs.get(m["cmd"])
                        if log is None or log.exit is not None:
                            s.send("forget", m["cmd"])
                        else:
                            s.resume(m["cmd"], log.length)
                    for cmd, (script, _) in want.items():
                        if logs[cmd].exit is None and s.has(cmd) is None:
                            self.assertEqual(logs[cmd].length, 0)
                            s.run(cmd, ["sh", "-c", f"echo {cmd} >> {notes}; {script}"])
                    while any(x.exit is None for x in logs.values()):
                        m = s.recv()
                        if m.verb == "out":
                            s.take_out(m, logs[m["cmd"]])
                            s.send("ack", m["cmd"], 0, logs[m["cmd"]].length, 1 << 20)
                        elif m.verb == "exit":
                            logs[m["cmd"]].end(m)
                            s.send("forget", m["cmd"])
                    s.send("inventory")
                    self.assertEqual(s.take_inventory(), [])
                    break
                except (Gone, Cut):
                    pass
                finally:
                    moved = [cutter.took, cutter.gave]
                    s.close()
            for cmd, (_, (text, code)) in want.items():
                self.assertEqual((logs[cmd].text, logs[cmd].exit["code"]), (text, code))
            return moved

        class Cut(Exception):
            pass

        class Cutter:
            """Counts a session's bytes, and cuts it hard at a count."""

            def __init__(self, s, cut_in, cut_out):
                self.s, self.cut_in, self.cut_out, self.took, self.gave = s, cut_in, cut_out, 0, 0
                self.sock, s.sock = s.sock, self

            def fileno(self):
                return self.sock.fileno()

            def pending(self):
                return False

            def recv(self, n):
                if self.cut_in is not None:
                    n = min(n, self.cut_in - self.took)
                    if n == 0:
                        raise Cut()
                data = self.sock.recv(n)
                self.took += len(data)
                return data

            def send(self, data):
                if self.cut_out is not None:
                    data = data[:self.cut_out - self.gave]
                    if not data:
                        raise Cut()
                n = self.sock.send(data)
                self.gave += n
                return n

            def close(self):
                self.sock.close()

        took, gave = session(None, None)
        # Numbers of milliseconds and the like vary a little in length: a few cuts more than bytes.
        for k in range(1, gave + 4):
            session(None, k)
        for k in range(0, took + 4, 1):
            session(k, None)
        with open(notes) as f:
            runs = f.read().split()
        self.assertEqual(len(runs), len(set(runs)))
        self.assertEqual(len(runs), 3 * counter[0])


class Spool(Case):
    def test_not_acked_output_blocks(self):
        s = self.connect(env={"DROVER_TEST_SPOOL_FULL": str(20 << 20)})
        s.run("1-1", ["sh", "-c", "head -c 60000000 /dev/urandom; echo end"], ("idle", 2000), limit=0)
        s.expect("state")

        def size():
            return sum(os.path.getsize(self.b.worker.spool("1-1", n)) for n in os.listdir(self.b.worker.spool("1-1")) if n.startswith("log."))
        wait_for(lambda: size() > 20 << 20)
        time.sleep(2.5)  # longer than the idle time, which stands still
        self.assertLess(size(), 22 << 20)
        log = Log()
        log.keep = False
        s.limits["1-1"] = 4 << 20
        s.send("ack", "1-1", 0, 0, 4 << 20)
        s.collect({"1-1": log}, window=4 << 20, timeout=30)
        self.assertEqual((log.length, log.exit["code"], log.exit["reason"]), (60000004, 0, "-"))

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small tmpfs: needs root")
    def test_full_disk_blocks(self):
        self.bench()
        os.mkdir(self.b.worker.dir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", self.b.worker.dir], check=True)
        try:
            s = self.b.connect()
            filler = os.path.join(self.b.worker.dir, "filler")
            with open(filler, "wb") as f:
                f.write(b"x" * (1 << 20))
            s.run("1-1", ["head", "-c", "9000000", "/dev/urandom"], ("idle", 2000), limit=1 << 30)
            s.expect("state")
            log = Log()
            log.keep = False
            while log.length < 3 << 20:
                m = s.recv()
                if m.verb == "out":
                    s.take_out(m, log, window=0)
            with self.assertRaises(TimeoutError):
                while True:
                    m = s.recv(2.5)  # longer than the idle time
                    self.assertEqual(m.verb, "out")
                    s.take_out(m, log, window=0)
            self.assertLess(log.length, 9000000)
            os.unlink(filler)
            subprocess.run(["mount", "-o", "remount,size=20m", self.b.worker.dir], check=True)
            s.collect({"1-1": log})
            self.assertEqual((log.length, log.exit["code"]), (9000000, 0))
        finally:
            self.b.worker.kill()
            wait_for(lambda: not processes_with(self.b.worker.dir))
            subprocess.run(["umount", self.b.worker.dir], check=True)

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small tmpfs: needs root")
    def test_full_disk_of_a_forgotten_command(self):
        """Its own output fills the disk, and then nobody wants it any more."""
        self.bench()
        os.mkdir(self.b.worker.dir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.b.worker.dir], check=True)
        try:
            s = self.b.connect()
            s.run("1-1", ["cat", "/dev/urandom"], limit=0)
            s.expect("state")

            def room():
                fs = os.statvfs(self.b.worker.dir)
                return fs.f_bavail * fs.f_frsize
            wait_for(lambda: room() < 65536)  # no other chunk fits in
            with open(os.path.join(self.b.worker.dir, "filler"), "wb", buffering=0) as f, self.assertRaises(OSError):
                while True:
                    f.write(b"x" * 4096)
            s.send("forget", "1-1")
            wait_for(lambda: not os.path.exists(self.b.worker.spool("1-1")))
            wait_for(lambda: room() > 0)  # its minder may still have them open
        finally:
            self.b.worker.kill()
            for pid in processes_with(self.b.worker.dir):
                tell(pid, signal.SIGKILL)
            wait_for(lambda: not processes_with(self.b.worker.dir))
            subprocess.run(["umount", self.b.worker.dir], check=True)

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small tmpfs: needs root")
    def test_full_disk_of_a_command_that_ended_and_is_forgotten(self):
        """The last of its output finds no room, so it can't end; then it is forgotten, and there is still none."""
        self.bench()
        os.mkdir(self.b.worker.dir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.b.worker.dir], check=True)
        try:
            s = self.b.connect()
            s.run("1-1", ["sh", "-c", "cat /dev/zero >filler 2>/dev/null; head -c 60000 /dev/urandom"])
            s.expect("state")
            wait_for(lambda: os.statvfs(self.b.worker.dir).f_bavail == 0)
            minder = self.b.worker.minder("1-1")
            with open(f"/proc/{minder}/task/{minder}/children") as children:
                wait_for(lambda: children.seek(0) == 0 and not children.read())
            self.assertFalse(self.b.worker.has_result("1-1"))
            s.send("forget", "1-1")
            wait_for(lambda: not os.path.exists(self.b.worker.spool("1-1")))
            self.assertTrue(os.path.exists(os.path.join(self.b.worker.work, "filler")))
        finally:
            self.b.worker.kill()
            wait_for(lambda: not processes_with(self.b.worker.dir))
            subprocess.run(["umount", self.b.worker.dir], check=True)

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small tmpfs: needs root")
    def test_full_disk_of_a_command_that_ends(self):
        """It has filled the disk itself and ends: its result finds the room that was kept for it, in a folder that is used again too. There is none for another command, which is told."""
        self.bench()
        os.mkdir(self.b.worker.dir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.b.worker.dir], check=True)
        try:
            s = self.b.connect()
            for i in range(1, 4):
                s.run(f"1-{i}", ["sh", "-c", "cat /dev/zero >filler 2>/dev/null; exit 3"])
                log = s.collect({f"1-{i}": Log()})[f"1-{i}"]
                self.assertEqual((log.exit["how"], log.exit["code"], os.statvfs(self.b.worker.dir).f_bavail), ("exited", 3, 0))
                if i == 1:
                    s.run("1-9", ["true"])
                    self.assertEqual(s.expect("error").tokens, ["nospace", "1-9"])
                s.send("forget", f"1-{i}")
                self.assertEqual(s.file_op("remove", "filler")[0], "ok")
        finally:
            self.b.worker.kill()
            wait_for(lambda: not processes_with(self.b.worker.dir))
            subprocess.run(["umount", self.b.worker.dir], check=True)

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small tmpfs: needs root")
    def test_full_disk_keeps_nobody_from_connecting(self):
        """What fills it may be what the worker itself keeps, or a build's files: only the master can have them removed, so the worker must get to it."""
        self.bench()
        os.mkdir(self.b.worker.dir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", self.b.worker.dir], check=True)
        try:
            s = self.b.connect()
            with open(os.path.join(self.b.worker.work, "filler"), "wb", buffering=0) as f, self.assertRaises(OSError):
                while True:
                    f.write(b"x" * 4096)
            for _ in range(3):
                s.close()
                s = self.b.connect()
            self.b.worker.kill()
            s = self.b.connect()
            self.assertEqual(s.ask("copy", blob=records(("path", "filler"), ("to", "other")))[0], "nospace")
            self.assertEqual(os.listdir(self.b.worker.work), ["filler"])
            self.assertEqual(s.file_op("remove", "filler")[0], "ok")
            wait_for(lambda: os.statvfs(self.b.worker.dir).f_bavail > 0)  # who copied it may still have it open
        finally:
            self.b.worker.kill()
            wait_for(lambda: not processes_with(self.b.worker.dir))
            subprocess.run(["umount", self.b.worker.dir], check=True)


class Files(Case):
    def test_operations(self):
        s = self.connect()
        work = self.b.worker.work
        self.assertEqual(s.file_op("stat", "a")[0], "notfound")
        self.assertEqual(s.file_op("mkdir", "a/b/c")[0], "ok")
        self.assertEqual(s.file_op("mkdir", "a/b/c")[0], "ok")
        self.assertEqual(s.file_op("stat", "a/b/c")[1]["type"], b"dir")
        with open(os.path.join(work, "a", "file"), "w") as f:
            f.write("12345")
        os.utime(os.path.join(work, "a", "file"), (100, 200))
        self.assertEqual(s.file_op("stat", "a/file")[1], {"type": b"file", "size": b"5", "mode": b"644", "mtime": b"200"})
        self.assertEqual(s.file_op("mkdir", "a/file/x")[0], "notdir")
        self.assertIn(s.file_op("mkdir", "a/file")[0], ("exists", "notdir"))
        os.symlink("/etc", os.path.join(work, "link"))
        self.assertEqual(s.file_op("stat", "link")[1]["type"], b"link")
        self.assertEqual(s.file_op("remove", "a")[0], "ok")
        self.assertEqual(s.file_op("remove", "a")[0], "ok")
        self.assertEqual(s.file_op("remove", "nothing/at/all")[0], "ok")
        self.assertEqual(os.listdir(work), ["link"])

    def test_usage(self):
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        usage = lambda path: (lambda tag, f: (tag, *(int(f[k]) for k in ("bytes", "entries", "complete"))))(*s.file_op("usage", path))
        self.assertEqual(s.file_op("usage", "a")[0], "notfound")
        os.makedirs(f"{work}/a/b")
        os.makedirs(outside)
        with open(f"{outside}/large", "wb") as f:
            f.write(bytes(3000000))
        with open(f"{work}/a/b/file", "wb") as f:
            f.write(bytes(1000000))
        tag, plain, entries, complete = usage("a")
        self.assertEqual((tag, entries, complete), ("ok", 3, 1))
        self.assertTrue(1000000 <= plain < 1200000, plain)
        # links in, out and round, a pipe, a socket of no one, holes: counted as what they are
        os.symlink(outside, f"{work}/a/out")
        os.symlink("/", f"{work}/a/root")
        os.symlink("..", f"{work}/a/b/up")
        os.symlink("loop", f"{work}/a/loop")
        os.mkfifo(f"{work}/a/pipe")
        with open(f"{work}/a/holes", "w") as f:
            f.truncate(1 << 40)
        tag, more, entries, complete = usage("a")
        self.assertEqual((tag, entries, complete), ("ok", 9, 1))
        self.assertLess(more, plain + 200000)
        for i in range(9):  # ten names of one file are one file; of names elsewhere only the own share counts
            os.link(f"{work}/a/b/file", f"{outside}/name{i}" if i % 2 == 0 else f"{work}/a/name{i}")
        tag, shared, entries, complete = usage("a")
        self.assertEqual((tag, entries, complete), ("ok", 13, 1))
        self.assertTrue(plain / 2 - 100000 < shared < plain / 2 + 200000, (plain, shared))
        # what can't be read or is too deep: at least so much
        os.makedirs(f"{work}/half/shut/in")
        os.chmod(f"{work}/half/shut", 0)
        self.assertEqual(usage("half")[0::3], ("ok", 0 if os.getuid() else 1))
        os.chmod(f"{work}/half/shut", 0o755)
        at = os.open(work, os.O_RDONLY)
        for _ in range(300):
            os.mkdir("deep", dir_fd=at)
            down = os.open("deep", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = down
        os.close(at)
        tag, _, entries, complete = usage("deep")
        self.assertEqual((tag, complete), ("ok", 0))
        self.assertIn(entries, range(190, 210))
        for path in ("a/b/file", "a/root", "a/pipe"):
            self.assertEqual(s.file_op("usage", path)[0], "notdir", path)
        self.assertEqual(s.file_op("usage", "a/out/x")[0], "outside")

    def test_usage_of_one_file_system(self):
        s = self.connect()
        other = f"{self.b.worker.work}/a/other"
        os.makedirs(other)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", other], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no file system can be mounted here")
        try:
            with open(f"{other}/file", "wb") as f:
                f.write(bytes(4000000))
            tag, found = s.file_op("usage", "a")
            self.assertEqual((tag, found["entries"], found["complete"]), ("ok", b"1", b"1"))
            self.assertLess(int(found["bytes"]), 1000000)
        finally:
            subprocess.run(["umount", "-l", other], check=True)

    def test_disk(self):
        s = self.connect()
        s.send("disk", 7)
        m = s.expect("done", req=7, tag="ok")
        fs = os.statvfs(self.b.worker.work)
        found = dict(x.split(b"=") for x in m.blob.split(b"\0") if x)
        self.assertEqual(int(found[b"disk_total_kib"]), fs.f_blocks * fs.f_frsize // 1024)
        self.assertLess(abs(int(found[b"disk_free_kib"]) - fs.f_bavail * fs.f_frsize // 1024), 20 << 20)

    def test_hostile_paths(self):
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        os.makedirs(os.path.join(outside, "keep"))
        os.symlink(outside, os.path.join(work, "out"))
        os.symlink("../../outside", os.path.join(work, "up"))
        os.symlink("/proc/self/root", os.path.join(work, "magic"))
        for path in ("..", "../outside", "/etc", "a/../../outside", "", "x\0y", "a/..", "x" * 300, "y" * 4000):
            for verb in ("stat", "mkdir", "remove"):
                self.assertIn(s.file_op(verb, path)[0], ("badarg", "toolong", "notfound" if verb == "stat" else "badarg"), (verb, path))
        for path in ("out/keep", "up/keep", "magic/tmp", "out/new"):
            for verb in ("stat", "mkdir", "remove"):
                self.assertEqual(s.file_op(verb, path)[0], "outside", (verb, path))
        self.assertEqual(s.file_op("remove", ".")[0], "badarg")
        self.assertEqual(s.file_op("mkdir", "out")[0], "outside")
        self.assertEqual(s.file_op("remove", "out")[0], "ok")
        self.assertEqual(os.listdir(outside), ["keep"])

    def test_hostile_paths_of_reading(self):
        """Nothing outside is listed or read, by whatever name."""
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        os.makedirs(outside)
        with open(os.path.join(outside, "secret"), "w") as f:
            f.write("outside")
        for name, to in (("out", outside), ("up", "../../outside"), ("magic", "/proc/self/root"), ("file", outside + "/secret"), ("chain", "out"), ("dangling", "nowhere"), ("root", "/")):
            os.symlink(to, os.path.join(work, name))
        os.link(os.path.join(outside, "secret"), os.path.join(work, "hard"))  # a name of its own, which somebody outside gave it: that is inside
        self.assertEqual(s.get("hard")[2], b"outside")
        names = ["..", "../outside", "/etc/passwd", "a/../../outside", "", "a/..", "x" * 300, "y" * 4000, "z/" * 3000, "./..", "out/../..", "out", "up", "magic", "file", "chain", "dangling", "root",
                 "out/secret", "up/secret", "magic/etc/passwd", "chain/secret", "root/etc/passwd", "file/", "out/.", "out//secret", "./out/secret", "magic/self/environ"]
        for name in names:
            for tag, _, found in (s.list(name), s.get(name)):
                self.assertIn(tag, ("badarg", "toolong", "notfound", "notdir", "outside", "isdir"), name)
                self.assertFalse(found, name)

    def test_list_in_pages(self):
        """All entries, each once, in the order of their bytes, whatever the page; names of any bytes."""
        s = self.connect()
        folder = os.path.join(os.fsencode(self.b.worker.work), b"many")
        os.makedirs(folder)
        names = [b"%d" % (i * 7919 % 3001) for i in range(3001)] + [b"\xff\xfe", b"a\nb", b" ", b"-rf", b"x" * 255, b"\x01", "é".encode()]
        for name in names:
            open(os.path.join(folder, name), "w").close()
        for most in (1000, 4096, 1111):
            got, after = [], None
            while True:
                tag, told, entries = s.list("many", most, after)
                self.assertEqual(tag, "ok")
                got += [e["name"] for e in entries]
                self.assertLessEqual(len(entries), most)
                if told["complete"] == b"1":
                    break
                after = got[-1]
            self.assertEqual(got, sorted(names))

    def test_glob_of_a_deep_tree(self):
        """Of more than 200 levels it tells what it saw, and that there is more."""
        s = self.connect()
        os.makedirs(os.path.join(self.b.worker.work, "a/" * 205))
        tag, told, data = s.ask("glob", 4096, blob=records(("path", "."), ("pattern", "**")))
        self.assertEqual((tag, told["complete"]), ("ok", b"0"))
        names = [v for k, v in parse_records(data) if k == "name"]
        self.assertEqual((names[0], len(names)), (b"a", 200))
        self.assertEqual(s.file_op("remove", "a")[0], "ok")

    def test_list_of_very_many_takes_no_memory(self):
        """A page costs its own size, however many entries there are."""
        s = self.connect()
        folder = os.path.join(self.b.worker.work, "many")
        os.makedirs(folder)
        for i in range(30000):
            os.mknod(os.path.join(folder, f"{i:06d}"))
        tag, told, entries = s.list("many", 10, after="029000")
        self.assertEqual([e["name"] for e in entries], [b"%06d" % i for i in range(29001, 29011)])
        self.assertEqual(told["complete"], b"0")

    def test_get_from_an_offset(self):
        """A large file in windows, over a lost link; and what another file in its place answers."""
        s = self.connect()
        data, path = os.urandom(5 << 20), os.path.join(self.b.worker.work, "large")
        with open(path, "wb") as f:
            f.write(data)
        tag, told, first = s.get("large", 0, 3 << 20)
        self.assertEqual((tag, first), ("ok", data[:3 << 20]))
        self.assertEqual(told["sum"].decode(), hashlib.sha256(first).hexdigest())
        s.close()
        s = self.b.connect()
        tag, later, rest = s.get("large", 3 << 20, 1 << 40, version=told["version"])
        self.assertEqual((tag, first + rest), ("ok", data))
        self.assertEqual(later["sum"].decode(), hashlib.sha256(rest).hexdigest())
        self.assertEqual(s.get("large", (5 << 20) - 3, 100)[2], data[-3:])
        self.assertEqual(s.get("large", 9 << 20, 100)[2], b"")
        with open(path, "r+b") as f:
            f.write(b"x")
        self.assertEqual(s.get("large", 0, 10, version=told["version"])[0], "changed")
        os.unlink(path)
        with open(path, "wb") as f:
            f.write(data)
        self.assertEqual(s.get("large", 0, 10, version=told["version"])[0], "changed")

    def test_put_over_the_death_of_the_agent(self):
        """The agent is killed in the middle of a put, again and again: the old file is whole until the new one is, and the upload goes on where it was."""
        s = self.connect()
        old, new = b"old\n" * 1000, os.urandom(3 << 20)
        path, rng = os.path.join(self.b.worker.work, "program"), random.Random(7)
        self.assertEqual(s.put_all("program", old, 0o755), "ok")
        begun = 0
        for _ in range(12):
            off = int(s.put("program", new, 0o700, 0, 0)[1]["have"])
            begun = max(begun, off)
            head = records(("path", "program"), ("size", len(new)), ("mode", "700"), ("sum", hashlib.sha256(new).hexdigest()))
            message = encode("put", 9, off, len(head), blob=head + new[off:off + (1 << 18)])
            cut = rng.choice((len(message), len(message), rng.randrange(len(message))))
            s.send_bytes(message[:cut])
            if cut == len(message) and rng.random() < 0.5:
                s.expect("done", req=9, tag="ok")
            self.b.worker.kill()
            with open(path, "rb") as f:
                self.assertEqual(f.read(), old)
            s = self.b.connect()
        self.assertGreater(begun, 0)
        self.assertEqual(s.put_all("program", new, 0o700, step=1 << 19), "ok")
        with open(path, "rb") as f:
            self.assertEqual(f.read(), new)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700)
        self.assertEqual(os.listdir(self.b.worker.work), ["program"])

    def test_put_of_any_size(self):
        s = self.connect()
        work = self.b.worker.work
        for n in (0, 1, 65535, 65536, 65537, 1 << 20, (1 << 20) + 1):
            data = os.urandom(n)
            self.assertEqual(s.put_all(f"f{n}", data), "ok", n)
            with open(os.path.join(work, f"f{n}"), "rb") as f:
                self.assertEqual(f.read(), data)
            self.assertEqual(s.get(f"f{n}", most=1 << 30)[2], data)

    def test_put_parts_in_flight(self):
        """Eight parts are unanswered at a time: they are done in order."""
        s = self.connect()
        data, step, got = os.urandom(4 << 20), 1 << 17, 0
        head = records(("path", "f"), ("size", len(data)), ("mode", "644"), ("sum", hashlib.sha256(data).hexdigest()))
        offs = list(range(0, len(data), step))
        for i, off in enumerate(offs):
            s.send("put", i, off, len(head), blob=head + data[off:off + step])
            if i >= 8:
                self.assertEqual(s.expect("done")["tag"], "ok")
                got += 1
        for _ in range(len(offs) - got):
            m = s.expect("done", tag="ok")
        self.assertEqual(dict(x.split(b"=") for x in m.blob.split(b"\0") if x)[b"complete"], b"1")
        self.assertEqual(s.get("f", most=1 << 30)[2], data)

    def test_put_beside_what_others_left(self):
        """What stands under the part's name is never followed or written through: a link, a file with another name, a FIFO, a folder."""
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        data = b"hello" * 10
        with open(outside, "w") as f:
            f.write("keep")
        hexa = hashlib.sha256(b"f\0" + hashlib.sha256(data).hexdigest().encode()).hexdigest()[:32]
        part = os.path.join(work, ".drover-part-" + hexa)
        for make in (lambda: os.symlink(outside, part), lambda: os.link(outside, part), lambda: os.mkfifo(part)):
            make()
            self.assertEqual(s.put("f", data, end=10)[1], {"have": b"10", "complete": b"0"})
            self.assertEqual(s.put_all("f", data), "ok")
            with open(outside) as f:
                self.assertEqual(f.read(), "keep")
            os.unlink(os.path.join(work, "f"))
        os.mkdir(part)
        self.assertIn(s.put("f", data, end=10)[0], ("exists", "isdir"))

    def test_trees(self):
        """What is put is got again, whole and in pages of any size; links stay links."""
        s = self.connect()
        rng = random.Random(3)
        entries = [(b"empty", "dir", 0o700, b""), (b"a\nb\xff", "file", 0o644, b""), (b"link", "link", 0o777, b"nowhere/at all"), (b"up", "link", 0o777, b"../../.."), (b"deep/er/file", "file", 0o755, b"x")]
        for i in range(300):
            entries.append((b"d%d/s%d/f%d" % (i % 7, i % 3, i), "file", 0o640, rng.randbytes(70000 if i % 50 == 0 else rng.choice((0, 1, 100, 5000)))))
        tag, told = s.put_tree("tree", entries)
        self.assertEqual((tag, told), ("ok", {"entries": b"305"}))
        self.assertEqual(s.put_tree("tree", entries)[0], "ok")  # again is fine
        want = {n: (t, m, b) for n, t, m, b in entries}
        order = None
        for most in (1 << 24, 1 << 18, 1000, 1):
            got, after = [], None
            while True:
                tag, told, page = s.get_tree("tree", most, after)
                self.assertEqual(tag, "ok")
                got += page
                if told["complete"] == b"1":
                    break
                after = page[-1][0]
            names = [n for n, *_ in got]
            self.assertEqual(len(names), len(set(names)))
            order = order or names
            self.assertEqual(names, order)
            found = {n: (t, m, b) for n, t, m, b in got}
            self.assertEqual({n: found[n] for n in want}, want)
            self.assertTrue(all(found[n][0] == "dir" for n in found if n not in want))
        self.assertEqual(order, sorted(order, key=lambda n: n.split(b"/")))
        with open(os.path.join(self.b.worker.work, "tree", "big"), "wb") as f:
            f.truncate(2 << 20)
        self.assertIn((b"big", "large", 0o644, b""), s.get_tree("tree", 1 << 24)[2])

    def test_hostile_trees(self):
        """Entries with names or through links that lead outside; entries that are none."""
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        os.makedirs(outside)
        with open(os.path.join(outside, "secret"), "w") as f:
            f.write("outside")
        for name in (b"../x", b"/tmp/x", b"a/../../x", b"", b".", b"a/.", b"x" * 300, b"a/", b"y/" * 3000):
            self.assertIn(s.put_tree("t", [(name, "file", 0o644, b"x")])[0], ("badarg", "toolong"), name)
        for kind, data in (("link", b""), ("link", b"x" * 4096), ("link", b"a\0b"), ("dir", b"x"), ("large", b""), ("other", b""), ("fifo", b"")):
            self.assertEqual(s.put_tree("t", [(b"x", kind, 0o644, data)])[0], "badarg", (kind, data))
        # A link that the tree itself brings, and then a file behind it or in its place.
        self.assertEqual(s.put_tree("t", [(b"out", "link", 0o777, outside.encode()), (b"out/new", "file", 0o644, b"x")])[0], "outside")
        self.assertEqual(s.put_tree("t", [(b"file", "link", 0o777, outside.encode() + b"/secret"), (b"file", "file", 0o644, b"inside")])[0], "ok")
        self.assertEqual(s.put_tree("t", [(b"out", "dir", 0o755, b"")])[0], "ok")
        self.assertEqual(s.put_tree("t", [(b"d/x", "file", 0o644, b"x"), (b"d", "file", 0o644, b"x")])[0], "isdir")
        os.symlink(outside, os.path.join(work, "t", "again"))
        self.assertEqual(s.put_tree("t/again", [(b"x", "file", 0o644, b"x")])[0], "outside")
        self.assertEqual(s.get_tree("t/again")[0], "notdir")
        self.assertIn((b"again", "link", 0o777, outside.encode()), s.get_tree("t")[2])
        os.mkfifo(os.path.join(work, "t", "fifo"))
        self.assertNotIn(b"fifo", [e[0] for e in s.get_tree("t")[2]])
        s.send("puttree", 9, 100, blob=b"path=t\0")
        self.assertEqual(s.expect("done", req=9)["tag"], "badarg")
        s.send("puttree", 10, 7, blob=b"path=t\0name=x\0type=file\0mode=644\0size=5\0four")
        self.assertEqual(s.expect("done", req=10)["tag"], "badarg")
        with open(os.path.join(outside, "secret")) as f:
            self.assertEqual(f.read(), "outside")
        self.assertEqual(os.listdir(outside), ["secret"])

    def test_hostile_paths_of_writing(self):
        """Nothing is put, moved or copied to or from outside, also while folders are exchanged for links."""
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        os.makedirs(outside)
        with open(os.path.join(outside, "secret"), "w") as f:
            f.write("outside")
        os.makedirs(os.path.join(work, "in", "side"))
        with open(os.path.join(work, "file"), "w") as f:
            f.write("inside")
        for name, to in (("out", outside), ("up", "../../outside"), ("magic", "/proc/self/root"), ("root", "/")):
            os.symlink(to, os.path.join(work, name))
        away = ["..", "../outside/x", "/tmp/x", "out/x", "up/x", "magic/tmp/x", "root/tmp/x", "in/../../x", "", "x" * 300, "y" * 4000, "z/" * 3000]
        for name in away:
            self.assertIn(s.put(name, b"bytes")[0], ("badarg", "toolong", "outside", "notfound"), name)
            for verb in ("rename", "copy"):
                for pair in ((("path", "file"), ("to", name)), (("path", name), ("to", "in/new"))):
                    self.assertIn(s.ask(verb, blob=records(*pair))[0], ("badarg", "toolong", "outside", "notfound"), (verb, pair))
            self.assertIn(s.ask("glob", 10, blob=records(("path", name), ("pattern", "**")))[0], ("badarg", "toolong", "outside", "notfound", "notdir"), name)
        stop = threading.Event()

        def swap():
            d = os.path.join(work, "in", "side")
            while not stop.is_set():
                try:
                    os.rename(d, d + ".was")
                    os.symlink(outside, d)
                    os.unlink(d)
                    os.rename(d + ".was", d)
                except OSError:
                    pass
        thread = threading.Thread(target=swap)
        thread.start()
        try:
            for i in range(60):
                s.put("in/side/f", b"%d" % i)
                s.ask("copy", blob=records(("path", "file"), ("to", "in/side/g")))
                s.ask("copy", blob=records(("path", "in/side/secret"), ("to", "stolen")))
                s.ask("rename", blob=records(("path", "in/side/secret"), ("to", "stolen")))
                s.get("in/side/secret")
        finally:
            stop.set()
            thread.join()
        self.assertEqual(os.listdir(outside), ["secret"])
        self.assertFalse(os.path.exists(os.path.join(work, "stolen")))

    def test_get_while_it_grows(self):
        """A file that is written while it is read is `changed`, never a mixture that looks whole."""
        s = self.connect()
        path, stop = os.path.join(self.b.worker.work, "log"), threading.Event()

        def write():
            with open(path, "wb", buffering=0) as f:
                while not stop.is_set():
                    f.write(b"x" * 4096)
        open(path, "w").close()
        thread = threading.Thread(target=write)
        thread.start()
        try:
            wait_for(lambda: os.path.getsize(path) > 4 << 20)
            wait_for(lambda: s.get("log", 0, 4 << 20)[0] == "changed")  # a look in which nothing is written may be whole
        finally:
            stop.set()
            thread.join()
        self.assertEqual(s.get("log", 0, 100)[0], "ok")

    def test_a_long_answer_holds_up_nobody(self):
        """A master that does not read a long answer is still told nothing else late by it: the child waits in its pipe, not in the agent's memory."""
        s = self.connect()
        with open(os.path.join(self.b.worker.work, "large"), "wb") as f:
            f.truncate(16 << 20)
        for req in range(1, 9):
            s.send("get", req, 0, 16 << 20, blob=records(("path", "large")))
        s.expect("data", off=0)
        with open(f"/proc/{self.b.worker.process.pid}/status") as f:
            peak = int(re.search(r"VmHWM:\s+(\d+)", f.read())[1])
        if not os.environ.get("DROVER_SANITIZE_ALL"):
            self.assertLess(peak, 8 << 10)
        got = {}
        while any(got.get(req, 0) < 16 << 20 for req in range(1, 9)):
            m = s.recv()
            if m.verb == "data":
                got[m["req"]] = m["off"] + len(m.blob)

    def test_remove_never_follows_a_link(self):
        """Folders are exchanged for links to the outside while trees are being removed."""
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        os.makedirs(outside)
        for i in range(50):
            open(os.path.join(outside, f"keep{i}"), "w").close()
        os.symlink(outside, os.path.join(work, "evil"))
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                for i in range(20):
                    d = os.path.join(work, "tree", f"d{i}")
                    try:
                        os.rename(d, d + ".was")
                        os.symlink(outside, d)
                    except OSError:
                        pass
        thread = threading.Thread(target=swap)
        thread.start()
        try:
            for _ in range(15):
                for i in range(20):
                    try:
                        os.makedirs(os.path.join(work, "tree", f"d{i}", "sub"), exist_ok=True)
                    except OSError:  # the other thread was quicker
                        pass
                self.assertIn(s.file_op("remove", "tree")[0], ("ok", "io", "notdir"))
        finally:
            stop.set()
            thread.join()
        self.assertEqual(len([n for n in os.listdir(outside) if n.startswith("keep")]), 50)

    def test_large_trees(self):
        s = self.connect()
        work = self.b.worker.work
        at = os.open(work, os.O_RDONLY)
        for _ in range(5000):
            os.mkdir("d", dir_fd=at)
            down = os.open("d", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = down
        os.close(at)
        for i in range(50):
            os.makedirs(f"{work}/wide/{i}")
            for k in range(100):
                os.mknod(f"{work}/wide/{i}/{k}")
        os.chmod(f"{work}/wide/7", 0)
        s.send("remove", 1, blob=b"d")
        s.send("remove", 2, blob=b"wide")
        tags = {m["req"]: m["tag"] for m in (s.recv(), s.recv())}
        self.assertEqual(tags, {1: "ok", 2: "ok"})
        self.assertEqual(os.listdir(work), [])

    def test_many_at_once(self):
        s = self.connect()
        for i in range(100):
            s.send("mkdir", i, blob=b"m/%d" % i)
        self.assertEqual({s.expect("done", tag="ok")["req"] for _ in range(100)}, set(range(100)))


class Links(Case):
    def test_tls(self):
        s = self.connect(tls=True)
        self.assertEqual(s.sock.version(), "TLSv1.2" if STATIC else "TLSv1.3")
        self.assertEqual(s.sock.selected_alpn_protocol(), "drover")
        log = s.sh("1-1", "head -c 3000000 /dev/urandom | tee /dev/fd/2 | sha256sum >/dev/null")
        self.assertEqual(log.length, 3000000)
        s.close()
        log = self.b.master.accept().sh("1-2", "echo again")
        self.assertEqual(log.text, b"again\n")

    def test_wrong_pin(self):
        self.bench(tls=True)
        self.b.worker.set_token(f"{self.b.master.address}#spki-sha256:{'0' * 64}#w1:{SECRET}")
        self.b.worker.start()
        with self.assertRaises((OSError, Gone)):
            self.b.master.accept()
        wait_for(lambda: "the master's key does not match the token: got " + self.b.tls.pin in self.b.worker.log_text())
        self.assertNotIn(SECRET, self.b.worker.log_text())
        # Two pins at a time: keys renew without touching workers.
        self.b.worker.kill()
        self.b.worker.set_token(f"{self.b.master.address}#spki-sha256:{'0' * 64},{self.b.tls.pin}#w1:{SECRET}")
        self.b.connect()

    def test_tls_other_ciphers_and_junk(self):
        self.bench(tls=True)
        self.b.tls.context.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
        self.b.tls.context.maximum_version = ssl.TLSVersion.TLSv1_2
        s = self.b.connect()
        self.assertEqual(s.sock.cipher()[0], "ECDHE-ECDSA-CHACHA20-POLY1305")
        self.assertEqual(s.sh("1-1", "echo hi").text, b"hi\n")
        s.close()
        conn, _ = self.b.master.sock.accept()
        conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        wait_for(lambda: "TLS with the master failed" in self.b.worker.log_text())
        conn.close()

    def test_no_and_busy(self):
        self.bench()
        self.b.worker.start()
        s = self.b.master.accept_raw()
        s.recv()
        s.send("no", "secret", 1200, blob=b"that is not the secret of w1")
        t = time.monotonic()
        s.expect_gone()
        s = self.b.master.accept_raw()
        self.assertGreater(time.monotonic() - t, 1.0)
        self.assertIn("refuses this worker (secret): that is not the secret of w1", self.b.worker.log_text())
        s.recv()
        s.send("busy", 300)
        t = time.monotonic()
        s = self.b.master.accept()
        self.assertTrue(0.25 < time.monotonic() - t < 1 * busy())
        s.close()

    def test_incarnations(self):
        s = self.connect()
        s.close()
        s = self.b.master.accept(incarnation=5)
        s.close()
        s = self.b.master.accept_raw()
        s.recv()
        s.send("welcome", 1, "1-1", "cluster", 4, 10000, 1000, "-")
        s.expect_gone(bye="incarnation")

    def test_greetings_that_are_none(self):
        """Another version, a name for a worker that has one: the link is closed, with a word, and tried again."""
        self.bench(env={"DROVER_TEST_RETRY_MAX_MS": "0"})
        self.b.worker.start()
        for verb, words in (("welcome", (2, "1-1", "cluster", 1, 10000, 1800000, "-")), ("welcome", ("x", "1-1", "cluster", 1, 10000, 1800000, "-")), ("member", ("w2",)), ("member", ("../w2",))):
            s = self.b.master.accept_raw()
            self.assertEqual(s.recv().verb, "hello")
            s.send(verb, *words)
            s.expect_gone(bye="protocol")
            s.close()
        self.assertEqual(self.b.connect().hello["name"], "w1")

    def test_pings_and_silence(self):
        self.bench()
        self.b.worker.start()
        s = self.b.master.accept_raw()
        s.greet(ping_ms=500)
        ping = s.recv(pings=True)
        self.assertEqual(ping.verb, "ping")
        s.send("pong", ping["n"])
        t, byes = time.monotonic(), []
        s.send("ping", 77)  # the last that it hears
        while True:
            m = s.recv(pings=True)
            if m.verb == "pong":
                break
        self.assertEqual(m["n"], 77)
        with self.assertRaises(Gone):
            while True:
                m = s.recv(pings=True)
                byes += [m["reason"]] if m.verb == "bye" else []
        self.assertEqual(byes, ["silence"])
        self.assertTrue(1.4 < time.monotonic() - t < 3 * busy())

    def test_hostile_master(self):
        hostile = [b"\n", b"RUN\n", b"run 1-1\n", b"x" * 5000, b"ack 1-1 0 99999999999999999999 1\n", b"run a b c d +5\nhello\n",
                   b"run 1-1 1 1-1 100 +5000000\n", b"stat 1 +3\nabcX", b"forget 1-01\n", b"welcome 1 1-1 c 1 100 1000 -\n",
                   b"ack 1-1 0 0 -\n", b"stat 1 +9\n\0\0\0\0\0\0\0\0\0\nkill 1-1 1-1 -5 cancel\n", b"exit\n\xff\n"]
        s = self.connect(env={"DROVER_TEST_RETRY_MAX_MS": "0"})
        s.run("1-1", ["sleep", "1000"])
        s.expect("state")
        for data in hostile:
            s.send_bytes(data)
            s.expect_gone()
            s = self.b.master.accept()
            self.assertIn(s.has("1-1")["state"], ("accepted", "running"), data)  # its minder may only just have it
        s.send("nonesuch", 1, blob=b"x" * 100000)
        m = s.expect("error", tag="unknown", what="-")
        self.assertEqual(m.blob, b"nonesuch")
        s.send("follow", "9-9", 1)
        s.send("kill", "9-9", "1-1", 0, "cancel")
        s.expect("error", tag="notfound", what="9-9")
        s.send("ack", "9-9", 0, 0, 100)
        s.expect("error", tag="notfound", what="9-9")
        self.assertEqual(s.sh("1-2", "echo ok").text, b"ok\n")

    def test_reconnect_times(self):
        self.bench()
        self.b.master.close()
        os.unlink(self.b.master.path)
        self.b.worker.start()
        time.sleep(0.5)
        self.b.master.__init__(self.b.folder)
        t = time.monotonic()
        self.b.master.accept().close()
        self.assertLess(time.monotonic() - t, 1.5 * busy())
        times = []
        for _ in range(3):  # connections that don't come to a welcome
            s = self.b.master.accept_raw()
            times.append(time.monotonic())
            s.close()
        self.assertTrue(0.9 < times[1] - times[0] < 1.8 * busy() and 1.9 < times[2] - times[1] < 2.9 * busy(), times)


class Program(Case):
    def run_program(self, *args, **more):
        return subprocess.run([WORKER, *args], capture_output=True, text=True, timeout=DEADLINE, **more)

    def test_usage(self):
        self.assertEqual(self.run_program("--help").returncode, 0)
        self.assertIn("exit codes", self.run_program("--help").stdout)
        self.assertIn("drover-worker", self.run_program("--version").stdout)
        for args in (["--config", "/nonesuch/worker.conf"], ["--nonesuch"], ["--dir", "/nonesuch"], ["--join-file", "x", "--dir", "y", "z"], ["--log-level", "loud"], ["--log-format", "xml"]):
            self.assertEqual(self.run_program(*args).returncode, 2, args)

    def test_token_file(self):
        b = self.bench()
        os.chmod(b.worker.token_file, 0o640)
        p = self.run_program("--join-file", b.worker.token_file, "--dir", b.worker.dir)
        self.assertEqual(p.returncode, 2)
        self.assertIn("can be read by others (mode 0640)", p.stderr)
        p = self.run_program("--join-file", "-", "--dir", b.worker.dir, input="nonsense#and#more")
        self.assertEqual(p.returncode, 2)
        self.assertIn("join token", p.stderr)
        p = self.run_program("--join-file", "-", "--dir", b.worker.dir, "--connect", "127.0.0.1:9", input=f"unix:/x##w1:{SECRET}")
        self.assertEqual(p.returncode, 2)
        self.assertNotIn(SECRET, p.stderr)

    def test_token_from_stdin_and_connect(self):
        b = self.bench()
        p = subprocess.Popen([WORKER, "--join-file", "-", "--dir", b.worker.dir, "--connect", b.master.address],
                             stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(p.wait)
        self.addCleanup(p.terminate)
        p.stdin.write(f"10.255.255.1:1#spki-sha256:{'0' * 64}#w1:{SECRET}".encode())
        p.stdin.close()
        self.assertEqual(b.master.accept().hello["name"], "w1")

    def test_second_agent(self):
        self.connect()
        p = self.run_program("--join-file", self.b.worker.token_file, "--dir", self.b.worker.dir)
        self.assertEqual(p.returncode, 3)
        self.assertIn("another drover-worker is running", p.stderr)

    @unittest.skipUnless(STATIC and not os.environ.get("DROVER_COVER"), "the static one is small, not others")
    def test_size_and_memory(self):
        self.assertLess(os.path.getsize(WORKER), 400 * 1024)
        s = self.connect()

        def rss(pid):
            with open(f"/proc/{pid}/status") as f:
                return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        s.run("1-1", ["sh", "-c", "head -c 5000000 /dev/urandom; sleep 1000"])
        log = Log()
        while log.length < 5000000:
            m = s.recv()
            if m.verb == "out":
                s.take_out(m, log)
        self.assertLess(rss(self.b.worker.minder("1-1")), 2048)
        wait_for(lambda: rss(self.b.worker.process.pid) < 1024)
        mode = stat.S_IMODE(os.stat(self.b.worker.spool("1-1", "cmd")).st_mode)
        self.assertEqual(mode, 0o600)


if __name__ == "__main__":
    unittest.main()
