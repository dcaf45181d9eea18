#!/usr/bin/env python3
"""What the commands of steps read, and their terminals, on the whole way: from the configuration, and from `drover attach`, whoever dies meanwhile."""
import base64
import fcntl
import hashlib
import os
import pty
import random
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, make_repo, read, wait_for  # noqa: E402
from fakeworker import FakeWorker, Gone  # noqa: E402
from schedsite import Session  # noqa: E402

SUCCESS, FAILURE, EXCEPTION, CANCELLED = 0, 2, 4, 6
VALUE = "c4nary-of-stdin+9x/Q"
OPEN = {"open": True}
SLOW = "import sys, os, time, hashlib\nh = hashlib.sha256()\nwhile d := os.read(0, 65536):\n    h.update(d); time.sleep(float(sys.argv[1]))\nprint(h.hexdigest())\n"


def step(run, **more):
    return {"checkout": "none", "steps": [{"name": "s", "run": run, **more}], "worker": {"tags": ["here"]}}


class Attach(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 8, "tags": ["here"]}}
    OTHERS = {"old": {"slots": 2, "tags": ["old"]}, "liar": {"slots": 1, "tags": ["liar"]}}  # made up

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a"})
        with open(d.path("slow.py"), "w") as f:
            f.write(SLOW)
        with open(os.open(d.path("value"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(VALUE + "\n")
        slow = ["python3", d.path("slow.py")]
        builders = {
            "text": step("cat", stdin="number ${{ number }}, ${{ properties.what }}\n"),
            "secret": step("sha256sum; echo ${#P}", secrets={"P": "pass"}, stdin=["user=me\npassword=", {"secret": "pass"}, "\n"]),
            "only": step(["sha256sum"], stdin={"secret": "pass"}),
            "empty": step("cat; echo end", stdin=""),
            "large": step(["sha256sum"], stdin=["x" * 100000, "y\n" * 50000, "z"]),
            "none": step("cat; echo end"),
            "missing": step("cat", stdin="${{ properties.nothing }}"),
            "tty": step("tty; stty size; echo $TERM; test -t 0 && test -t 2", pty=True),
            "wide": step("stty size", pty="132x43", env={"TERM": "vt100"}),
            "sum": step([*slow, "0.001"], stdin=OPEN),
            "slow": step([*slow, "0.04"], stdin=OPEN),
            "never": step("sleep 1000", stdin=OPEN),
            "early": step("head -c 5; exec 0<&-; while [ ! -e " + d.path("go") + " ]; do sleep 0.02; done", stdin=OPEN),
            "two": {**step("cat", stdin=OPEN), "steps": [{"name": "s", "run": "cat", "stdin": OPEN}, {"name": "t", "run": "cat", "stdin": OPEN}]},
            "shell": step("stty -echo; exec sh", stdin=OPEN, pty="90x30"),
            "oldtext": {**step("cat", stdin="x"), "worker": {"tags": ["old"]}},
            "oldpty": {**step("cat", pty=True), "worker": {"tags": ["old"]}},
            "oldopen": {**step("cat", stdin=OPEN), "worker": {"tags": ["old"]}},
            "lies": {**step("cat", stdin=OPEN), "worker": {"tags": ["liar"]}},
        }
        p = {"git": d.path("repo"), "poll": "1h", "builders": builders, "schedulers": {"none": {"force": {}}}}
        d.configure(projects={"p": p}, workers={**cls.WORKERS, **cls.OTHERS}, secrets={"pass": {"file": d.path("value"), "for": {"builders": ["p/secret", "p/only"]}}})

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.d.workers = {**cls.d.workers, **cls.OTHERS}
        cls.d.wait_looked("p")

    # ---- the command line ----

    def cli(self, *argv, **more):
        return subprocess.Popen([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

    def begin(self, builder):
        """A build whose step can be attached to."""
        rid = self.d.ask("p/" + builder)
        b = self.d.wait_build(rid, lambda b: any(s["commands"] for s in b["steps"]))
        wait_for(lambda: (a := self.d.try_api("POST", f"/builds/{b['id']}/input", {})) and a.status == 200, "the command to run")
        return b["id"]

    def over(self, bid):
        return wait_for(lambda: (b := self.d.try_build(bid)) and b["state"] == "done" and b, "the end of " + bid)

    def ask(self, bid, status=200, **body):
        return self.d.post(f"/builds/{bid}/input", body, status)

    # ---- what stands in the configuration ----

    def test_given(self):
        d = self.d
        b = d.run("p/text", properties={"what": "a\nb"})
        self.assertEqual(d.log(b["id"], "s"), b"number %d, a\nb\n" % b["number"])
        b = d.run("p/secret")
        want = hashlib.sha256(b"user=me\npassword=%s\n" % VALUE.encode()).hexdigest()
        self.assertEqual(d.log(b["id"], "s").decode(), f"{want}  -\n{len(VALUE)}\n")
        b = d.run("p/only")
        self.assertEqual(d.log(b["id"], "s").decode(), hashlib.sha256(VALUE.encode()).hexdigest() + "  -\n")
        self.assertEqual(d.log(d.run("p/empty")["id"], "s"), b"end\n")
        self.assertEqual(d.log(d.run("p/none")["id"], "s"), b"end\n")
        self.assertEqual(d.log(d.run("p/large")["id"], "s").decode(), hashlib.sha256(b"x" * 100000 + b"y\n" * 50000 + b"z").hexdigest() + "  -\n")
        b = d.run("p/missing")
        self.assertEqual((b["result"], "properties.nothing" in b["steps"][-1]["summary"]), (EXCEPTION, True))
        rows = d.sql("select encode(spec, 'hex') from command where spec is not null")
        self.assertTrue(any(b"stdin_secret=pass" in bytes.fromhex(r[0]) for r in rows))
        self.assertFalse(any(VALUE.encode() in bytes.fromhex(r[0]) for r in rows))
        for name in ("master.log", "worker-here.log"):
            self.assertNotIn(VALUE.encode(), read(d.path(name)))

    def test_terminal(self):
        d = self.d
        b = d.run("p/tty")
        self.assertRegex(d.log(b["id"], "s"), rb"^/dev/pts/\d+\r\n24 80\r\nxterm-256color\r\n$")
        self.assertEqual(b["result"], SUCCESS)
        self.assertEqual(d.log(d.run("p/wide")["id"], "s"), b"43 132\r\n")

    def test_old_worker(self):
        """One that knows no more than a text gets a text, and nothing else."""
        old = FakeWorker(self.d.path("w.sock"), read(self.d.token("old")).decode(), instance="a1" * 16, conn=self.conn()).ready()
        self.addCleanup(old.close)
        self.d.wait_worker("old")
        for name, words in (("oldpty", "a terminal"), ("oldopen", "more than a text")):
            b = self.d.run("p/" + name)
            self.assertEqual(b["result"], EXCEPTION)
            self.assertRegex(b["steps"][-1]["summary"], f"{words}.*on old is too old.*upgrade")
        rid = self.d.ask("p/oldtext")
        cmd, epoch, records = old.command()
        self.assertIn(("stdin", b"x"), [(k if isinstance(k, str) else k.decode(), v) for k, v in records])
        old.exit(cmd, epoch)
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)

    conns = 0

    @classmethod
    def conn(cls):
        cls.conns += 1
        return cls.conns

    # ---- attach ----

    def feed(self, bid, data, step="s"):
        p = self.cli("attach", f"{bid}:{step}")
        threading.Thread(target=self.pour, args=(p, data), daemon=True).start()
        return p

    @staticmethod
    def pour(p, data):
        try:
            p.stdin.write(data)
            p.stdin.close()
        except BrokenPipeError:
            pass  # it has ended before its input did

    def end_of(self, p):
        out, err = p.stdout.read(), p.stderr.read()
        code = p.wait(DEADLINE_S)
        p.stdout.close(), p.stderr.close()
        return code, out, err

    def test_bytes(self):
        data = random.Random(1).randbytes(8 << 20)
        bid = self.begin("sum")
        code, out, err = self.end_of(self.feed(bid, data))
        self.assertEqual((code, out.decode(), err), (0, hashlib.sha256(data).hexdigest() + "\n", b""))
        self.assertEqual(self.over(bid)["result"], SUCCESS)
        code, _, err = self.end_of(self.feed(bid, b""))
        self.assertEqual((code, b"is over" in err), (2, True))

    def test_everybody_dies(self):
        """The agent, the link, the master: one after the other, while bytes flow. Each reaches the command once."""
        d, data = self.d, random.Random(2).randbytes(6 << 20)
        bid = self.begin("slow")
        p = self.feed(bid, data)

        def off():
            a = d.try_api("POST", f"/builds/{bid}/input", {})
            return a.json["off"] if a and a.status == 200 else -1
        for what in (lambda: (d.kill_worker(), d.start_worker(wait=False)), lambda: (d.kill_master(), d.start_master()), lambda: (d.kill_worker(), d.start_worker(wait=False))):
            at = wait_for(lambda: off() + 1, "its offset")
            wait_for(lambda: off() > at + (1 << 19) or p.poll() is not None, "bytes to flow")
            self.assertIsNone(p.poll(), p.poll() and p.stderr.read())
            what()
        d.wait_worker()
        code, out, err = self.end_of(p)
        self.assertEqual((code, out.decode()), (0, hashlib.sha256(data).hexdigest() + "\n"), err)
        self.assertEqual(self.over(bid)["result"], SUCCESS)

    def test_one_step_after_the_other(self):
        bid = self.begin("two")
        self.assertEqual(self.end_of(self.feed(bid, b"first of all\n"))[:2], (0, b"first of all\n"))
        wait_for(lambda: self.d.api("POST", f"/builds/{bid}/input", {"step": "t"}).status == 200, "the second step")
        self.assertEqual(self.end_of(self.feed(bid, b"2\n", step="t"))[:2], (0, b"2\n"))
        self.assertEqual(self.over(bid)["result"], SUCCESS)
        self.assertNotIn(b"here tells of input what can't be", read(self.d.path("master.log")))

    def test_the_end_of_the_step_takes_its_time(self):
        """Its command has ended, the step has not yet: whoever sent input is told nothing of that."""
        bid = self.begin("two")
        held = Session(self.d)
        self.addCleanup(held.close)
        held.tell(f"select 1 from build b join builder u on u.id = b.builder join step s on s.build = b.id where u.name = 'two' and b.number = {bid.rsplit('/', 1)[1]} for update")
        answered = lambda status: len(re.findall(rf"debug api: .*/builds/{bid}/input {status} ", read(self.d.path("master.log")).decode()))
        before = answered(200)
        p = self.cli("attach", f"{bid}:s")
        wait_for(lambda: answered(200) > before, "it to be attached")
        self.ask(bid, sender="other", take=True, off=0, close=True)  # somebody else ends the command's input
        wait_for(lambda: self.d.api("POST", f"/builds/{bid}/input", {}).status == 503, "the command's end")
        before = answered(503)
        self.pour(p, b"x")
        wait_for(lambda: answered(503) > before + 1, "it to have asked for a command that is no more")
        held.tell("commit")
        self.assertEqual(self.end_of(p), (0, b"", b""))
        self.d.post(f"/builds/{bid}/cancel", {})
        self.over(bid)

    def test_never_read(self):
        """It is cancelled while the input waits: the build ends, and so does who sends."""
        bid = self.begin("never")
        p = self.feed(bid, b"x" * (1 << 20))
        wait_for(lambda: self.ask(bid)["off"] > 60000, "a full pipe")
        self.d.post(f"/builds/{bid}/cancel", {})
        self.assertEqual(self.over(bid)["result"], CANCELLED)
        self.end_of(p)

    def test_closed_early(self):
        bid = self.begin("early")
        p = self.feed(bid, b"hello" + b"x" * 300000)
        wait_for(lambda: self.ask(bid)["state"] == "gone", "the command to read no more")
        with open(self.d.path("go"), "w"):
            pass
        code, out, _ = self.end_of(p)
        self.assertEqual((code, out), (0, b"hello\n"))
        self.assertEqual(self.over(bid)["result"], SUCCESS)

    def test_interactive(self):
        """Keys, the size, Ctrl-C, and Ctrl-] to leave; the terminal is as it was then."""
        bid = self.begin("shell")
        began, begin = os.pipe()
        pid, fd = pty.fork()
        if not pid:
            os.close(begin)
            os.read(began, 1)  # not before its terminal was looked at
            os.environ["DROVER_SOCKET"] = self.d.path("api.sock")
            os.execv(f"{BUILD}/drover", ["drover", "attach", f"{bid}:s"])
        seen = bytearray()

        def shows(pattern, typed=b""):
            os.write(fd, typed)
            def there():
                while select.select([fd], [], [], 0)[0]:
                    seen.extend(os.read(fd, 65536))
                return re.search(pattern, seen)
            wait_for(there, f"{pattern} in {bytes(seen)!r}")
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", 33, 101, 0, 0))
        before = termios.tcgetattr(fd)
        os.close(begin), os.close(began)
        os.kill(pid, signal.SIGWINCH)
        wait_for(lambda: not termios.tcgetattr(fd)[3] & termios.ICANON, "keys to go through")
        shows(rb"\$ |# ")
        shows(rb"33 101\r\n", b"while [ \"$(stty size)\" != '33 101' ]; do sleep 0.02; done; stty size\r")
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", 25, 80, 0, 0))
        shows(rb"25 80\r\n", b"while [ \"$(stty size)\" != '25 80' ]; do sleep 0.02; done; stty size\r")
        os.write(fd, b"trap 'echo inter''rupted' INT; sleep 1003\r")
        wait_for(lambda: any(read(f"/proc/{p}/cmdline") == b"sleep\0" + b"1003\0" for p in self.d.ours()), "the sleep")  # before that Ctrl-C is the shell's, and nobody's after it
        shows(rb"interrupted\r\n", b"\x03")
        shows(rb"42\r\n", b"echo $((6 * 7))\r")
        os.write(fd, b"\x1d")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        self.assertEqual(termios.tcgetattr(fd), before)
        os.close(fd)
        self.assertEqual(self.d.get(f"/builds/{bid}")["state"], "running")
        end = self.ask(bid)
        self.ask(bid, off=end["off"], data=base64.b64encode(b"exit 0\n").decode())
        self.assertEqual(self.over(bid)["result"], SUCCESS)

    def test_sent_again(self):
        """What was sent, and its end too, is lost with the link before the command was given it."""
        def stdin(w):
            """What comes until the end, answered as one that gives nothing to the command yet."""
            got = b""
            while True:
                verb, tokens, blob = w.next("stdin", "close")
                got = got[:int(tokens[2])] + (blob or b"") if verb == "stdin" and blob else got
                w.send("fed", tokens[0], 0, 65536, "open")
                if verb == "close":
                    return got, tokens[2]
        w = self.fake("liar", "c3" * 16)
        rid = self.d.ask("p/lies")
        w.command()
        bid = self.d.wait_build(rid)["id"]
        p = self.feed(bid, b"abcdef")
        self.assertEqual(stdin(w), (b"abcdef", "6"))
        w.close()
        w = self.fake("liar", "c3" * 16)  # has nothing of it: it is sent again
        cmd, _, _ = w.command()
        self.assertEqual(stdin(w), (b"abcdef", "6"))
        w.send("fed", cmd, 6, 65542, "closed")
        w.exit(cmd, "1-1")
        code, _, err = self.end_of(p)
        self.assertEqual((code, self.over(bid)["result"]), (0, SUCCESS), err)
        w.close()
        self.d.wait_worker("liar", connected=False)

    def fake(self, name, instance):
        return FakeWorker(self.d.path("w.sock"), read(self.d.token(name)).decode(), instance=instance, conn=self.conn(), features="input").ready()

    # ---- what is refused ----

    def test_api(self):
        bid = self.begin("never")
        a = self.ask(bid)
        self.assertEqual((a["build"], a["step"], a["pty"], a["off"], a["state"], a["limit"]), (bid, "s", False, 0, "open", 65536))
        for status, words, body in ((409, "not at other", {"step": "other"}), (409, "no terminal", {"size": "80x24"}), (400, "COLSxROWS", {"size": "0x0"}), (400, "COLSxROWS", {"size": "65535x65535"}),
                                    (400, "base64", {"data": "x"}), (400, "number", {"off": -1}), (400, "number", {"off": "1"}), (400, "number", {"after": 1e17}),
                                    (413, "65536", {"data": base64.b64encode(b"x" * 65537).decode()})):
            self.assertIn(words, self.ask(bid, status, **body)["error"]["message"])
        a = self.ask(bid, off=1, data=base64.b64encode(b"x" * 65536).decode())
        self.assertEqual((a["off"], a["taken"]), (0, False))
        a = self.ask(bid, off=1000, data=base64.b64encode(b"behind a gap").decode())  # passed on, and dropped there
        self.assertEqual(a["off"], 0)
        ask = self.ask(bid, off=0, data=base64.b64encode(b"abc").decode())
        self.assertEqual(ask["taken"], True)
        self.assertEqual(self.ask(bid, after=2)["off"], 3)
        self.d.post(f"/builds/{bid}/cancel", {})
        self.over(bid)
        self.assertIn("is over", self.ask(bid, 409)["error"]["message"])
        self.assertIn("no build", self.ask("p/never/9999", 404)["error"]["message"])
        self.assertIn("this is no build", self.ask("p/never/x", 400)["error"]["message"])

    def test_lies(self):
        """A worker that tells what can't be."""
        for feds, closed, status in (([(3, 2, "open")], True, 503), ([(0, 65536, "maybe")], True, 503), ([("x", 65536, "open")], True, 503), ([(9, 65545, "open"), (8, 65545, "open")], True, 200), ([(0, 1 << 60, "open")], False, 200)):
            liar = FakeWorker(self.d.path("w.sock"), read(self.d.token("liar")).decode(), instance="b2" * 16, conn=self.conn(), features="input").ready()
            rid = self.d.ask("p/lies")
            cmd, epoch, _ = liar.command()
            bid = self.d.wait_build(rid)["id"]
            got = []
            t = threading.Thread(target=lambda: got.append(self.d.api("POST", f"/builds/{bid}/input", {})))
            t.start()
            _, tokens, blob = liar.next("stdin")
            self.assertEqual((tokens, blob), ([cmd, epoch, "0"], None))
            for fed in feds:
                liar.send("fed", cmd, *fed)
            if closed:
                with self.assertRaises(Gone):
                    liar.next("never")
            t.join()
            self.assertEqual(got[0].status, status)
            if not closed:
                self.assertEqual(got[0].json["limit"], 65536)
                p = self.feed(bid, b"abc")
                while liar.next("stdin")[2] != b"abc":
                    liar.send("fed", cmd, 0, 65536, "open")
                liar.send("fed", cmd, 5000, 70536, "open")  # more than was sent
                code, _, err = self.end_of(p)
                self.assertEqual((code, b"somebody else sends" in err), (3, True), err)
            liar.close()
            self.d.wait_worker("liar", connected=False)
            self.d.post(f"/builds/{bid}/cancel", {})
            self.d.post("/workers/liar/forget-ghosts", {})
            self.over(bid)


if __name__ == "__main__":
    unittest.main()
