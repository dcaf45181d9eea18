"""What is killed, cut, lost or full while the worker's commands run, against a master of our own."""
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from drover import tell  # noqa: E402
from fakemaster import Bench, Gone, Log, processes_with, records, wait_for  # noqa: E402
from workercase import GENERATOR, needs_descent, sha, lines_of, Case, processes_in  # noqa: E402


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


if __name__ == "__main__":
    unittest.main()
