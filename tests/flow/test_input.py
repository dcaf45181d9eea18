"""Standard input that the master brings, and terminals: the worker against a master of our own (tests/lib/fakemaster.py)."""
import hashlib
import os
import random
import re
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from drover import busy  # noqa: E402
from fakemaster import Bench, Gone, Log, encode, processes_with, records, wait_for  # noqa: E402

WINDOW = 65536
FOREVER = f"1000.{os.getpid()}"  # seconds of a sleep of ours: other tests have some, too
LONGER = f"1001.{os.getpid()}"
OPEN = ("input", "open")


class Fed:
    """The master's side of one command's input: what it may send, and what was taken. It holds the worker to the page."""

    def __init__(self, session, cmd, data):
        self.cmd, self.data, self.off, self.sent, self.limit, self.state, self.closed = cmd, data, 0, 0, 0, "open", False
        self.begin(session)

    def begin(self, session):
        """On a new link: asks how far it came, and goes on there."""
        self.s, self.sent, self.limit, self.closed = session, None, 0, False
        session.send("stdin", self.cmd, "1-1", 0, blob=b"")

    def take(self, m):
        off, limit = m["off"], m["limit"]
        if not self.off <= off <= len(self.data) or limit != off + WINDOW or (self.sent is not None and off > self.sent):
            raise AssertionError(f"{m}: at {self.off}, sent {self.sent}")
        if self.state != "open" and (m["state"], off) != (self.state, self.off):
            raise AssertionError(f"{m}: it was {self.state} at {self.off}")
        self.off, self.limit, self.state = off, limit, m["state"]
        self.sent = off if self.sent is None else self.sent

    def send(self, size=WINDOW):
        while self.sent is not None and self.state == "open" and self.sent < min(self.limit, len(self.data)):
            part = self.data[self.sent:min(self.sent + size, self.limit)]
            self.s.send("stdin", self.cmd, "1-1", self.sent, blob=part)
            self.sent += len(part)
        if self.sent == len(self.data) and not self.closed and self.state == "open":
            self.closed = True
            self.s.send("close", self.cmd, "1-1", self.sent)


class Case(unittest.TestCase):
    def connect(self, **args):
        self.b = Bench(**args)
        self.addCleanup(self.b.__exit__)
        self.s = self.b.connect()
        return self.s

    def again(self):
        self.s.close()
        self.s = self.b.connect()
        return self.s

    def at(self, *names):
        return os.path.join(self.b.worker.work, *names)

    def begin(self, argv, *more, cmd="1-1"):
        self.s.run(cmd, argv, *more)
        self.s.expect("state")
        self.s.send("follow", cmd, 1)
        return Log()

    def take(self, log, until=None, fed=None, size=WINDOW, timeout=20):
        """Messages until that is true, or the exit has come."""
        if fed:
            fed.send(size)
        while not until() if until else log.exit is None:
            try:
                m = self.s.recv(timeout * busy())
            except TimeoutError as e:
                raise AssertionError(f"{e}: {log.text[-100:]} {fed and (fed.off, fed.sent, fed.limit, fed.state)}") from None
            if m.verb == "out":
                self.s.take_out(m, log)
            elif m.verb == "exit":
                log.end(m)
            elif m.verb == "fed":
                fed.take(m)
                fed.send(size)
            elif m.verb != "state":
                raise AssertionError(f"{m} {m.blob}")
        return log


class Input(Case):
    def full(self, fed):
        """A pipe is full (of bytes, or of parts, each of which may take a page), and what may be on the way to it is."""
        return WINDOW // 4 < fed.off <= WINDOW and fed.sent == min(fed.limit, len(fed.data))

    def test_bytes(self):
        """8 MiB, each of them once, of any kind, and in parts of any size."""
        self.connect()
        data = random.Random(7).randbytes(8 << 20)
        log = self.begin(["sha256sum"], OPEN)
        fed = Fed(self.s, "1-1", data)
        self.take(log, fed=fed)
        self.assertEqual((log.text.split()[0].decode(), fed.off), (hashlib.sha256(data).hexdigest(), len(data)))

    def test_at_once(self):
        """Bytes and their end are there before anybody minds the command."""
        self.connect()
        spec, logs = records(("arg", "cat"), OPEN), {f"1-{i}": Log() for i in range(1, 13)}
        self.s.send_bytes(b"".join(encode("run", c, 1, "1-1", WINDOW, blob=spec) + encode("stdin", c, "1-1", 0, blob=b"early") + encode("close", c, "1-1", 5) for c in logs))
        fed = {c: [] for c in logs}
        while any(log.exit is None for log in logs.values()):
            m = self.s.recv(20 * busy())
            if m.verb == "out":
                logs[m["cmd"]].add(m)
            elif m.verb == "exit":
                logs[m["cmd"]].end(m)
            elif m.verb == "fed":
                fed[m["cmd"]].append((m["off"], m["state"]))
        for c, log in logs.items():
            self.assertEqual((log.text, fed[c][0], fed[c][-1]), (b"early", (0, "open"), (5, "closed")))

    def test_small_parts(self):
        """So many that there is no room for all of them on the way to a command that does not read yet."""
        self.connect()
        data = random.Random(11).randbytes(WINDOW + 6000)
        log = self.begin(["sh", "-c", "while [ ! -e go ]; do sleep 0.02; done; sha256sum"], OPEN)
        fed = Fed(self.s, "1-1", data)
        fed.closed = True
        self.take(log, lambda: self.full(fed), fed, size=40000)
        self.assertEqual(fed.sent, len(data))
        fed.data += random.Random(12).randbytes(5000)
        self.take(log, lambda: fed.sent == len(fed.data), fed, size=1)
        self.s.send("ping", 1)
        while self.s.recv(pings=True).verb != "pong":
            pass
        with open(self.at("go"), "w"):
            pass
        fed.closed = False
        self.take(log, fed=fed)
        self.assertEqual((log.text.split()[0].decode(), fed.state), (hashlib.sha256(fed.data).hexdigest(), "closed"))

    def sleeps(self, pid):
        """Nothing is to be done: who is awake all the same turns in circles."""
        def asleep():
            with open(f"/proc/{pid}/stat") as f:
                return f.read().rpartition(")")[2].split()[0] == "S"
        wait_for(asleep)

    def test_never_read(self):
        """Whoever does not read holds up nobody, and takes no more than the window; then it is ended as any other."""
        self.connect()
        log = self.begin(["sleep", "1000"], OPEN)
        fed = Fed(self.s, "1-1", b"x" * (1 << 20))
        self.take(log, lambda: self.full(fed), fed)
        self.assertEqual(fed.state, "open")
        self.s.run("1-2", ["echo", "beside it"])
        other = Log()
        while other.exit is None:
            m = self.s.recv()
            if m.verb == "out":
                self.s.take_out(m, other)
            elif m.verb == "exit":
                other.end(m)
            elif m.verb == "fed":
                fed.take(m)
        self.assertEqual(other.text, b"beside it\n")
        for pid in (self.b.worker.minder("1-1"), self.b.worker.process.pid):
            self.sleeps(pid)
        self.s.send("kill", "1-1", "1-1", 0, "cancel")
        self.take(log, lambda: log.exit is not None and fed.state != "open", fed)
        self.assertEqual((log.exit["reason"], fed.state, self.full(fed)), ("cancel", "gone", True))

    def test_closed_by_the_command(self):
        """Told at once, also where nothing was on its way; what comes then is dropped."""
        self.connect()
        log = self.begin(["sh", "-c", "head -c 3 >&2; exec 0<&-; echo shut; while [ ! -e go ]; do sleep 0.02; done"], OPEN)
        fed = Fed(self.s, "1-1", b"")
        self.s.send("stdin", "1-1", "1-1", 0, blob=b"abc")
        fed.data, fed.sent, fed.closed = b"abc", 3, True
        self.take(log, lambda: fed.state == "gone" and b"shut" in log.text, fed)
        self.assertEqual(fed.off, 3)
        self.s.send("stdin", "1-1", "1-1", 3, blob=b"more")
        self.s.expect("fed", off=3, state="gone")
        self.s.send("close", "1-1", "1-1", 3)
        self.s.expect("fed", off=3, state="gone")
        with open(self.at("go"), "w"):
            pass
        self.assertEqual(self.take(log).exit["code"], 0)

    def test_agent_killed(self):
        """And links cut, again and again in the midst of it: each byte once, in order."""
        self.connect(env={"DROVER_TEST_RETRY_MAX_MS": "0"})
        data = random.Random(8).randbytes(3 << 20)
        slow = "import os,hashlib,time\nh=hashlib.sha256()\nwhile d := os.read(0, 40000):\n h.update(d); time.sleep(0.004)\nprint(h.hexdigest())"
        log = self.begin(["python3", "-c", slow], OPEN)
        fed, rounds = Fed(self.s, "1-1", data), 0
        while log.exit is None:
            before = fed.off
            try:
                self.take(log, lambda: (fed.off > before + 150000 and rounds < 16) or log.exit is not None, fed)
            except Gone:
                pass
            if log.exit is None:
                rounds += 1
                if rounds % 2:
                    self.b.worker.kill()
                self.again()
                self.s.resume("1-1", log.length)
                fed.begin(self.s)
        self.assertGreaterEqual(rounds, 12)
        self.assertEqual((log.text.decode().strip(), fed.off), (hashlib.sha256(data).hexdigest(), len(data)))

    def test_overlap(self):
        """What a dead agent has left on the way, and what the next one brings, in other parts."""
        self.connect()
        data = random.Random(13).randbytes(WINDOW * 2 + 1000)
        log = self.begin(["sh", "-c", "while [ ! -e go ]; do sleep 0.02; done; sha256sum"], OPEN)
        fed = Fed(self.s, "1-1", data)
        self.take(log, lambda: self.full(fed), fed)
        self.s.send("ping", 1)  # all of it has come to the agent
        while self.s.recv(pings=True).verb != "pong":
            pass
        self.b.worker.kill()
        self.again()
        self.s.resume("1-1", log.length)
        fed.begin(self.s)
        self.take(log, lambda: fed.sent == fed.limit, fed, size=3001)
        with open(self.at("go"), "w"):
            pass
        self.take(log, fed=fed, size=3001)
        self.assertEqual((log.text.split()[0].decode(), fed.off), (hashlib.sha256(data).hexdigest(), len(data)))

    def test_minder_killed(self):
        self.connect()
        log = self.begin(["cat"], OPEN)
        fed = Fed(self.s, "1-1", b"")
        self.s.send("stdin", "1-1", "1-1", 0, blob=b"abc\n")
        fed.data, fed.sent, fed.closed = b"abc\n", 4, True
        self.take(log, lambda: log.text == b"abc\n" and fed.off == 4, fed)
        self.sleeps(self.b.worker.minder("1-1"))
        os.kill(self.b.worker.minder("1-1"), signal.SIGKILL)
        self.take(log, lambda: log.exit is not None and fed.state == "gone", fed)
        self.assertEqual((log.exit["how"], fed.off), ("lost", 4))

    def test_in_no_file(self):
        """While the bytes wait in each of the places where they can: nothing of them is in the state folder or in a log."""
        self.connect()
        word = b"unforgettable-%d" % random.Random(9).randrange(10**9)
        log = self.begin(["sleep", "1000"], OPEN)
        fed = Fed(self.s, "1-1", word * 6000)
        self.take(log, lambda: self.full(fed), fed)
        files = [os.path.join(d, f) for d, _, names in os.walk(self.b.worker.dir) for f in names]
        plain = [f for f in files if os.path.isfile(f)]
        self.assertIn(self.b.worker.spool("1-1", "fed"), plain)
        for f in plain + [self.b.worker.errors]:
            with open(f, "rb") as at:
                self.assertNotIn(word, at.read(), f)
        self.s.send("forget", "1-1")
        wait_for(lambda: not os.path.exists(self.b.worker.spool("1-1")))

    def rss(self, pid):
        with open(f"/proc/{pid}/status") as f:
            return int(re.search(r"VmHWM:\s*(\d+) kB", f.read())[1])

    def flood(self, mib):
        """A master that sends without an eye to the limit, and does not read what it is told."""
        self.connect()
        self.begin(["sleep", "1000"], OPEN)
        part = b"y" * WINDOW
        for i in range(mib * 16):
            self.s.send_bytes(encode("stdin", "1-1", "1-1", i * WINDOW, blob=part))
        self.s.send("ping", 77)
        while True:
            m = self.s.recv(pings=True)
            if m.verb == "pong":
                break
            self.assertLessEqual(m["off"], 2 * WINDOW)
        self.assertLess(self.rss(self.b.worker.process.pid), 20000)
        self.assertLess(self.rss(self.b.worker.minder("1-1")), 20000)

    def test_flood(self):
        self.flood(64)

    @unittest.skipUnless(os.environ.get("DROVER_SOAK"), "DROVER_SOAK")
    def test_flood_of_a_gib(self):
        self.flood(1024)

    def test_garbled(self):
        """Somebody else of the command's user writes into the FIFO: no more comes, and that is told."""
        self.connect()
        log = self.begin(["sh", "-c", "cat >/dev/null; echo end"], OPEN)
        fed = Fed(self.s, "1-1", b"")
        fed.closed = True
        self.take(log, lambda: fed.limit == WINDOW, fed)
        with open(self.b.worker.spool("1-1", "in"), "wb", buffering=0) as f:
            f.write(b"\xff" * 100)
        self.take(log, lambda: fed.state == "gone" and log.exit is not None, fed)
        self.assertEqual((log.text, log.exit["code"]), (b"end\n", 0))


class Terminal(Case):
    def type(self, text):
        self.s.send("stdin", "1-1", "1-1", self.typed, blob=text)
        self.typed += len(text)
        self.fed.data += text
        self.fed.sent = self.typed

    def shell(self, script, *more):
        log = self.begin(["sh", "-c", script], ("pty", "80x24"), *more)
        self.typed = 0
        if OPEN in more:
            self.fed = Fed(self.s, "1-1", b"")
            self.fed.closed = True
            self.take(log, lambda: self.fed.limit, self.fed)
        return log

    def test_size_and_resize(self):
        self.connect()
        log = self.shell("trap 'stty size; n=1' WINCH; tty; stty size; n=0; while [ $n = 0 ]; do sleep 0.02; done", OPEN)
        self.take(log, lambda: b"24 80\r\n" in log.text, self.fed)
        self.assertRegex(log.text, rb"^/dev/pts/\d+\r\n24 80\r\n$")
        self.s.send("resize", "1-1", "1-1", "132x43")
        self.take(log, fed=self.fed)
        self.assertTrue(log.text.endswith(b"24 80\r\n43 132\r\n"), log.text)

    def test_interrupt(self):
        """The byte 3 is SIGINT to those in the foreground; the shell goes on with its trap, and reads lines until the end."""
        self.connect()
        log = self.shell("trap 'echo interrupted' INT; echo up; sleep %s; read a; echo got $a; cat; echo over" % FOREVER, OPEN)
        self.take(log, lambda: b"up" in log.text, self.fed)
        wait_for(lambda: processes_with("sleep\0" + FOREVER))
        self.type(b"\x03")
        self.take(log, lambda: b"interrupted" in log.text, self.fed)
        self.type(b"hello\n")
        self.take(log, lambda: b"got hello" in log.text, self.fed)
        self.type(b"half a line")
        self.s.send("close", "1-1", "1-1", self.typed)
        self.take(log, lambda: log.exit is not None and self.fed.state == "closed", self.fed)
        self.assertTrue(log.text.endswith(b"half a linehalf a lineover\r\n"), log.text)  # once as an echo
        self.assertEqual((log.exit["how"], log.exit["code"], {c for c, _ in log.parts}), ("exited", 0, {0}))

    def test_tree_killed(self):
        """With whoever made a session of his own, and holds the terminal open."""
        self.connect()
        log = self.shell(f"trap '' HUP TERM; setsid sleep {FOREVER} & sleep {LONGER}")
        wait_for(lambda: processes_with("sleep\0" + FOREVER) and processes_with("sleep\0" + LONGER))
        self.s.send("kill", "1-1", "1-1", 0, "cancel")
        self.take(log)
        self.assertEqual((log.exit["how"], log.exit["code"], log.exit["reason"]), ("signaled", 9, "cancel"))
        self.assertEqual(processes_with("sleep\0" + FOREVER) + processes_with("sleep\0" + LONGER), [])

    def test_output_as_without(self):
        """Masks, limits and times: of a terminal, too; and all of a long output, which ends although nobody closes it."""
        self.connect()
        self.s.send("secrets", "1-1", blob=b"value=s=sesame-open\0")
        log = self.begin(["sh", "-c", "read p; echo it is $p; seq 200000"], ("pty", "80x24"), ("limit_bytes", 8192), ("stdin_secret", "s"), ("stdin", "\n"))
        self.take(log)
        self.assertTrue(log.text.startswith(b"***\r\nit is ***\r\n1\r\n2\r\n") and log.text.endswith(b"200000\r\n"), log.text[:60])
        self.assertNotIn(b"sesame", log.text)
        self.assertLessEqual(log.length, 8192)
        log = self.begin(["seq", "100000"], ("pty", "80x24"), cmd="1-2")
        self.take(log)
        self.assertEqual(log.text.replace(b"\r", b""), b"".join(b"%d\n" % i for i in range(1, 100001)))
        log = self.begin(["sh", "-c", "stty -echo; echo up; read x"], ("pty", "80x24"), OPEN, ("idle", 1500), ("grace", 100), cmd="1-3")
        self.take(log)
        self.assertEqual((log.exit["reason"], log.text), ("idle", b"up\r\n"))

    def test_much_of_it(self):
        """More than a terminal holds, to a command that reads it as bytes: flow control reaches as far as the master."""
        self.connect()
        data = random.Random(10).randbytes(400000)
        log = self.begin(["sh", "-c", "stty raw -echo; echo up; head -c 400000 | sha256sum"], ("pty", "80x24"), OPEN)
        self.take(log, lambda: log.text.strip() == b"up")
        fed = Fed(self.s, "1-1", data)
        fed.closed = True
        self.take(log, fed=fed)
        self.assertIn(hashlib.sha256(data).hexdigest().encode(), log.text)

    def test_variables(self):
        self.connect()
        log = self.begin(["sh", "-c", "echo $TERM"], ("pty", "80x24"), ("env", "TERM=dumb"))
        self.assertEqual(self.take(log).text, b"dumb\r\n")
        log = self.begin(["/no/such"], ("pty", "80x24"), OPEN, cmd="1-2")
        fed = Fed(self.s, "1-2", b"")
        fed.closed = True
        self.take(log, lambda: fed.state == "gone" and log.exit is not None, fed)
        self.assertEqual((log.exit["how"], log.exit["code"]), ("failed", 2))


if __name__ == "__main__":
    unittest.main()
