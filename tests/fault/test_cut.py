"""The link is cut after byte k of a recorded session, for every k and in either direction: four commands, one of which is fed its input, and a row of file operations end as if nothing had been.

The master here knows what a database would know: each log as far as it was committed, each result, which operation it waits for. After the cut it goes by the table of docs/protocol.md 3, and asks
again what is `again`. DROVER_CUT_STEP: every so many k (1: all of them, as make soak does)."""
import hashlib
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from fakemaster import Bench, Gone, Log, ProtocolError, Session, parse_records, records  # noqa: E402

STEP = int(os.environ.get("DROVER_CUT_STEP", "101"))
PATIENCE_S = 60
INPUT = b"".join(b"line %d\n" % i for i in range(20))
PART = 33
DATA = b"".join(b"%d\n" % i for i in range(60))


class Cut(Exception):
    pass


class Thread(Session):
    """A session that is cut after so many bytes out or in; None: never."""

    def __init__(self, sock, out=None, into=None):
        super().__init__(sock)
        self.left_out, self.left_in, self.out, self.into = out, into, 0, 0

    def send_bytes(self, data):
        data = bytes(data)
        cut = self.left_out is not None and self.out + len(data) >= self.left_out
        if cut:
            data = data[:self.left_out - self.out]
        self.out += len(data)
        super().send_bytes(data)
        if cut:
            raise Cut()

    def _fill(self, timeout):
        before = len(self.inbox)
        if not super()._fill(timeout):
            return False
        self.into += len(self.inbox) - before
        if self.left_in is not None and self.into >= self.left_in:
            del self.inbox[len(self.inbox) - (self.into - self.left_in):]
            while self._whole():  # what came before the cut counts
                pass
            raise Cut()
        return True

    def _whole(self):
        m = self._cut()
        if m is not None:
            self.owner.take(self, m)
        return m is not None


class Story:
    """What is to be done, and how far it is. n tells one story's ids and folder from another's."""

    def __init__(self, n):
        self.folder = f"s{n}"
        self.fed = f"1-{4 * n + 4}"
        self.commands = {f"1-{4 * n + 1}": [("arg", "sh"), ("arg", "-c"), ("arg", "echo one; echo two >&2; echo three")],
                         f"1-{4 * n + 2}": [("arg", "sh"), ("arg", "-c"), ("arg", "cat; exit 3"), ("stdin", "words\n")],
                         f"1-{4 * n + 3}": [("arg", "sh"), ("arg", "-c"), ("arg", "seq 300; echo ran >>ran"), ("cwd", self.folder + "/c")],
                         self.fed: [("arg", "cat"), ("input", "open")]}
        self.feeding = None  # the link on which its input was sent
        self.logs = {cmd: Log() for cmd in self.commands}
        self.told = {}
        f = self.folder
        self.ops = [("mkdir", (), f.encode() + b"/a"), self.put(0, 100), self.put(100, len(DATA)), ("copy", (), records(("path", f + "/a/file"), ("to", f + "/a/copy"))),
                    ("rename", (), records(("path", f + "/a/file"), ("to", f + "/a/moved"))), ("list", (10,), records(("path", f + "/a"))),
                    ("get", (20, 100), records(("path", f + "/a/moved"))), ("remove", (), f.encode() + b"/a/copy"), ("glob", (10,), records(("path", f), ("pattern", "**")))]
        self.at, self.data, self.answers = 0, b"", []

    def put(self, off, end):
        head = records(("path", self.folder + "/a/file"), ("size", len(DATA)), ("mode", "600"), ("sum", hashlib.sha256(DATA).hexdigest()))
        return ("put", (off, len(head)), head + DATA[off:end])

    def over(self):
        return self.at == len(self.ops) and all(log.exit for log in self.logs.values())

    def ask(self, s):
        self.data = b""
        if self.at < len(self.ops):
            verb, numbers, blob = self.ops[self.at]
            s.send(verb, self.at + 1, *numbers, blob=blob)

    def take(self, s, m):
        if m.verb == "out":
            if m["off"] == self.logs[m["cmd"]].length:
                self.logs[m["cmd"]].add(m)
        elif m.verb == "exit":
            if self.logs[m["cmd"]].exit is None:
                self.logs[m["cmd"]].end(m)
                self.told[m["cmd"]] = True
        elif m.verb == "fed":
            self.feed(s, m)
        elif m.verb == "data" and m["req"] == self.at + 1:
            self.data += m.blob
        elif m.verb == "done" and m["req"] == self.at + 1:
            if m["tag"] != "ok":
                raise ProtocolError(f"{self.ops[self.at][0]}: {m} {m.blob}")
            self.answers.append((self.ops[self.at][0], self.data, m.blob))
            self.at += 1
            return True
        return False

    def feed(self, s, m):
        """All that the command was not given by then, on each link once."""
        if self.feeding is s or m["state"] != "open":
            return
        self.feeding = s
        for off in range(m["off"], len(INPUT), PART):
            s.send("stdin", self.fed, "1-1", off, blob=INPUT[off:off + PART])
        s.send("close", self.fed, "1-1", len(INPUT))

    def begin(self, s):
        """After a greeting: each command by its row, then the operation that is waited for."""
        for cmd, spec in self.commands.items():
            log, has = self.logs[cmd], s.has(cmd)
            if log.exit is not None:
                s.send("forget", cmd)
            elif has:
                s.resume(cmd, log.length)
            elif log.length:
                raise ProtocolError(f"{cmd}: lost")
            else:
                s.limits[cmd] = 1 << 20
                s.send("run", cmd, 1, "1-1", 1 << 20, blob=records(*spec))
        if self.logs[self.fed].exit is None:
            s.send("stdin", self.fed, "1-1", 0)
        self.ask(s)

    def go(self, s):
        while not self.over():
            m = s.recv(PATIENCE_S)
            if self.take(s, m):
                self.ask(s)
        for cmd in self.commands:
            s.send("forget", cmd)
        s.send("inventory")
        while s.recv(PATIENCE_S).verb != "listed":
            pass


class CutTest(unittest.TestCase):
    def accept(self, story, out=None, into=None):
        plain = self.bench.master.accept_raw(PATIENCE_S)
        s = Thread(plain.sock, out, into)
        s.owner = story
        return s

    def tell(self, n, out=None, into=None):
        """One story, cut once; returns it and its first link."""
        story, first = Story(n), None
        while True:
            s = self.accept(story, *((out, into) if first is None else ()))
            first = first or s
            try:
                s.greet()
                story.begin(s)
                story.go(s)
                return story, first
            except (Cut, Gone):
                pass
            finally:
                s.close()

    def final(self, story):
        """All that is to be the same, whatever was cut."""
        work = os.path.join(self.bench.worker.work, story.folder)
        logs = [(log.exit["how"], log.exit["code"], log.exit["reason"], log.channel(0), log.channel(1)) for log in story.logs.values()]
        files = {}
        for folder, _, names in os.walk(work):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    files[os.path.relpath(path, work)] = (oct(os.stat(path).st_mode), f.read())
        answers = [(verb, [v for k, v in parse_records(data) if k in ("name", "type", "size")] if verb in ("list", "glob") else data,
                    [r for r in parse_records(told) if r[0] not in ("version", "mtime", "have", "complete", "bytes", "entries")] if verb != "glob" else None)
                   for verb, data, told in story.answers if verb not in ("glob",)]
        return logs, files, answers

    def test_cut_after_every_byte(self):
        with Bench(env={"DROVER_TEST_RETRY_MAX_MS": "1"}) as self.bench:
            self.bench.worker.start()
            story, link = self.tell(0)
            want, told, n = self.final(story), (link.out, link.into), 0
            self.assertEqual(want[1]["c/ran"][1], b"ran\n")
            self.assertEqual(want[1]["a/moved"], (oct(0o100600), DATA))
            self.assertNotIn("a/copy", want[1])
            self.assertIn(INPUT, [log[3] for log in want[0]])
            for way in range(2):
                for k in range(n % STEP, told[way] + 1, STEP):
                    n += 1
                    story, _ = self.tell(n, **{("out", "into")[way]: k})
                    self.assertEqual(self.final(story), want, f"cut after {k} bytes {('to', 'from')[way]} the worker")
            self.assertGreater(n, sum(told) // STEP - 2)
            print(f"{n} cuts of a session of {told[0]} + {told[1]} bytes", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
