#!/usr/bin/env python3
"""The worker for Windows under wine, against a master of our own, and once with the real one. Skipped where there is no wine or no mingw-w64 (make deps-windows); make check builds the worker where both are there."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("DROVER_BUILD") or os.path.join(HERE, "..", "..", "build"))
EXE, PROBE = f"{BUILD}/windows/drover-worker.exe", f"{BUILD}/windows/probe.exe"

sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import wine  # noqa: E402

THERE = not wine.missing() and all(map(os.path.exists, (EXE, PROBE)))
if THERE:
    FOLDER = tempfile.mkdtemp(prefix="drover-wine-", dir=os.environ.get("DROVER_ROOM"))
    PREFIX = wine.Prefix(os.path.join(FOLDER, "prefix"))
    os.environ["DROVER_WORKER"] = PREFIX.script(EXE, os.path.join(FOLDER, "drover-worker"))

import drover  # noqa: E402
from fakemaster import SECRET, Bench, Gone, Log, encode, wait_for  # noqa: E402


def tearDownModule():
    if THERE:
        PREFIX.close()
        shutil.rmtree(FOLDER)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def processes_of(text):
    """Pids whose command line has the text."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if text.encode() in f.read() and int(pid) != os.getpid():
                    found.append(int(pid))
        except OSError:
            pass
    return found


def channel(log, i):
    return b"".join(data for c, data in log.parts if c == i)


def many(n):
    """What probe prints: the bytes of each channel."""
    out = [bytearray(), bytearray()]
    for i in range(n):
        out[i // 1000 % 2] += b"%014d\r\n" % i
    return [sha(b) for b in out]


@unittest.skipUnless(THERE, "make deps-windows, make windows")
class Windows(unittest.TestCase):
    def setUp(self):
        self.b = Bench(tls=True)
        self.addCleanup(self.b.__exit__)
        self.s = self.b.connect()

    def probe(self, cmd, *argv, more=()):
        return self.s.run_all({cmd: ([PROBE, *argv], *more)})[cmd]

    def test_output_and_exit(self):
        self.assertEqual((self.s.facts["os"], self.s.facts["tree"], self.s.hello["features"]), (b"Windows", b"job", "-"))
        log = self.s.run_all({"1-1": (["cmd", "/c", "echo hello& echo oops>&2& exit 5"],)})["1-1"]
        self.assertEqual((channel(log, 0), channel(log, 1)), (b"hello\r\n", b"oops\r\n"))
        self.assertEqual((log.exit["how"], log.exit["code"], log.exit["reason"]), ("exited", 5, "-"))
        log = self.probe("1-2", "many", "100000", "0")
        self.assertEqual(log.length, 1600000)
        self.assertEqual([sha(channel(log, i)) for i in (0, 1)], many(100000))
        self.assertEqual(self.probe("1-3", "exit", "3000000000").exit["code"], 3000000000)

    def test_arguments(self):
        words = ["", "a b", 'say "hi"', "back\\", "two\\\\", 'b\\"c', "a\\\\ b\\", "tab\there", "^&|<>%PATH%", "Gr\u00fc\u00dfe \u65e5\u672c \U0001f600", "*", "--x=\"y z\\\""]
        log = self.probe("1-1", "arguments", *words)
        self.assertEqual([bytes.fromhex(line).decode("utf-16-be") for line in log.text.decode().split("\n")[:-1]], words)

    def test_environment(self):
        log = self.probe("1-1", "environment", more=(("env", "A=1"), ("env", "B=x y"), ("env", "A=2"), ("path", "OUT=a/b")))
        env = dict(line.split("=", 1) for line in log.text.decode().splitlines() if not line.startswith("="))
        self.assertEqual((env["A"], env["B"], env["DROVER_COMMAND"]), ("2", "x y", "1-1"))
        self.assertTrue(env["OUT"].endswith("/a/b"))
        self.assertFalse({"HOME", "WINEPREFIX", "DROVER_WORKER"} & set(env))

    def test_input_and_folder(self):
        log = self.probe("1-1", "input", more=(("stdin", "one\ntwo\n"),))
        self.assertEqual(log.text, b"one\ntwo\nend\n")
        log = self.s.run_all({"1-2": (["cmd", "/c", "cd& type nul >made"], ("mkdir", "d/e"), ("cwd", "d/e"))})["1-2"]
        self.assertTrue(log.text.strip().endswith(b"\\work\\d\\e"), log.text)
        self.assertTrue(os.path.exists(os.path.join(self.b.worker.work, "d/e/made")))
        self.s.run_all({"1-3": (["cmd", "/c", "exit"], ("fresh", "d"))})
        self.assertEqual(os.listdir(os.path.join(self.b.worker.work, "d")), [])

    def test_not_started(self):
        with open(os.path.join(self.b.worker.work, "x.bat"), "w") as f:
            f.write("@echo off\necho %1\n")
        logs = self.s.run_all({"1-1": ["nonesuch"], "1-2": ["./x.bat", '" & echo bad'], "1-3": (["cmd", "/c", "exit"], ("cwd", "..a/b.")), "1-4": (["cmd", "/c", "exit"], ("mkdir", "a\\..\\..\\b"))})
        for cmd, words in {"1-1": b"nonesuch", "1-2": b"batch", "1-3": b"b.", "1-4": b"a\\.."}.items():
            log = logs[cmd]
            self.assertEqual((log.exit["how"], log.exit["reason"]), ("failed", "start"))
            self.assertIn(words, log.exit.blob)
            self.assertNotIn(b"bad\r", log.text)

    def test_timeouts(self):
        self.s.run("1-1", [PROBE, "sleep", "50000"], ("idle", 400))
        self.s.run("1-2", [PROBE, "many", "100000000", "20"], ("total", 900))
        logs = self.s.collect({"1-1": Log(), "1-2": Log()})
        self.assertEqual([(logs[c].exit["how"], logs[c].exit["reason"]) for c in ("1-1", "1-2")], [("signaled", "idle"), ("signaled", "total")])
        self.assertTrue(400 <= logs["1-1"].exit["wall_ms"] < 50000)

    def tree(self, cmd, mark):
        self.s.run(cmd, [PROBE, "tree", "2", mark])
        self.s.expect("state")
        log = Log()
        self.s.send("follow", cmd, 1)
        wait_for(lambda: len(processes_of(mark)) == 3)
        return log

    def test_kill_ends_the_tree(self):
        mark = f"wk-{os.getpid()}"
        log = self.tree("1-1", mark)
        self.s.send("kill", "1-1", "1-1", 5000, "cancel")
        self.s.collect({"1-1": log})
        self.assertEqual((log.exit["how"], log.exit["code"], log.exit["reason"]), ("signaled", 9, "cancel"))
        wait_for(lambda: not processes_of(mark))

    def test_tree_ends_with_the_agent(self):
        mark = f"wa-{os.getpid()}"
        self.tree("1-1", mark)
        self.b.worker.kill()
        wait_for(lambda: not processes_of(mark), 60)  # wine's server has to notice
        s = self.b.connect()
        self.assertEqual((s.have, s.hello["high"], s.hello["conn"], s.hello["instance"]), ([], "1-1", 2, self.s.hello["instance"]))

    def test_lost_link_and_resume(self):
        log, rows = Log(), 200000
        self.s.run("1-1", [PROBE, "many", str(rows), "1"], limit=1 << 30)
        self.s.expect("state")
        for cut in (1 << 20, 2 << 20):
            while log.length < cut:
                self.s.take_out(self.s.recv(), log, window=0)
            self.s.close()
            self.s = self.b.master.accept()
            self.assertEqual(self.s.has("1-1")["epoch"], "1-1")
            self.s.resume("1-1", log.length, limit=1 << 30)
        self.s.collect({"1-1": log}, window=0)
        self.assertEqual((log.length, log.exit["len"], log.exit["code"]), (rows * 16, rows * 16, 0))
        self.assertEqual([sha(channel(log, i)) for i in (0, 1)], many(rows))
        self.s.close()
        self.s = self.b.master.accept()
        self.assertEqual(self.s.has("1-1")["state"], "done")
        self.s.resume("1-1", log.length)
        self.s.expect("exit", len=rows * 16)
        self.s.send("forget", "1-1")
        self.s.send("inventory")
        self.assertEqual(self.s.take_inventory(), [])

    def test_files(self):
        s, work = self.s, self.b.worker.work
        self.assertEqual(s.file_op("mkdir", "a/b")[0], "ok")
        with open(os.path.join(work, "a/f"), "w") as f:
            f.write("12345")
        tag, told = s.file_op("stat", "a/f")
        self.assertEqual((tag, told["type"], told["size"]), ("ok", b"file", b"5"))
        self.assertEqual(s.file_op("stat", "a")[1]["type"], b"dir")
        self.assertEqual(s.file_op("stat", "none")[0], "notfound")
        self.assertEqual(s.file_op("mkdir", "a/f")[0], "notdir")
        for path in ("..", "../x", "a/../../x", "/x", "a\\..\\..\\x", "a\\b", "C:x", "a:stream", "a/b.", "a/b ", "con?"):
            for verb in ("stat", "mkdir", "remove"):
                self.assertEqual(s.file_op(verb, path)[0], "badarg", (verb, path))
        deep = "/".join(["long" * 20] * 8)  # more than 260 characters
        self.assertEqual(s.file_op("mkdir", deep)[0], "ok")
        self.assertTrue(os.path.isdir(os.path.join(work, deep)))
        self.assertEqual(s.file_op("remove", "a")[0], "ok")
        self.assertEqual(s.file_op("remove", deep.split("/", maxsplit=1)[0])[0], "ok")
        self.assertEqual(s.file_op("remove", "a")[0], "ok")
        self.assertEqual(os.listdir(work), [])
        self.assertEqual(s.file_op("remove", ".")[0], "badarg")

    def test_many_messages_at_once(self):
        """What came in one piece is done at once: no poll tells of bytes that were read already."""
        for i in range(900):  # each in a record of its own
            self.s.sock.sendall(encode("stat", i, blob=b"."))
        self.assertEqual([self.s.recv()["req"] for _ in range(900)], list(range(900)))

    def test_what_the_host_allows(self):
        self.b.worker.kill()
        self.b.worker.start("--allow", "run,facts", "--max-runtime", "500ms")
        s = self.b.master.accept()
        self.assertEqual(s.file_op("mkdir", "a")[0], "denied")
        s.run("1-1", [PROBE, "sleep", "60000"], ("total", 50000))
        log = s.collect({"1-1": Log()})["1-1"]
        self.assertEqual((log.exit["how"], log.exit["reason"]), ("signaled", "total"))
        self.b.worker.kill()
        self.b.worker.start("--limits", "nproc=5")
        self.assertEqual(self.b.worker.process.wait(drover.DEADLINE_S), 2)
        self.assertIn("can't be had on Windows", self.b.worker.log_text())

    def test_wrong_key(self):
        self.b.worker.kill()
        self.b.worker.set_token(f"{self.b.master.address}#spki-sha256:{'0' * 64}#w1:{SECRET}")
        self.b.worker.start()
        with self.assertRaises((OSError, Gone)):
            self.b.master.accept()
        wait_for(lambda: "the master's key does not match the token: got " + self.b.tls.pin in self.b.worker.log_text())

    def test_second_agent(self):
        p = subprocess.run([os.environ["DROVER_WORKER"], "--join-file", self.b.worker.token_file, "--dir", self.b.worker.dir], capture_output=True, text=True, timeout=drover.DEADLINE_S)
        self.assertEqual(p.returncode, 3, p.stderr)
        self.assertIn("another drover-worker is running", p.stderr)


@unittest.skipUnless(THERE, "make deps-windows, make windows")
class System(drover.Case):
    def test_build(self):
        d = self.own({}, tcp=True)
        drover.make_repo(d.path("repo"), {"a": "a"})
        b = {"checkout": "none", "steps": [{"name": "s1", "run": ["cmd", "/c", "echo over SChannel& exit 3"]}]}
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "1h", "builders": {"x": b}}})
        d.start_master()
        d.start_worker()
        build = d.run("p/x")
        self.assertEqual((build["result"], d.log(build["id"], "s1")), (2, b"over SChannel\r\n"))
        self.assertEqual(build["steps"][0]["commands"][-1]["code"], 3)
        d.kill_worker()  # a polite signal is nothing that wine has for it


if __name__ == "__main__":
    unittest.main(verbosity=1)
