"""The worker's commands, and their end, against a master of our own (tests/lib/fakemaster.py)."""
import errno
import hashlib
import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from drover import busy  # noqa: E402
from fakemaster import DEADLINE, PLAIN, SECRET, Log, processes_with, records, wait_for  # noqa: E402
from workercase import PATH, needs_descent, needs_beneath, lines_of, Case  # noqa: E402


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


if __name__ == "__main__":
    unittest.main()
