#!/usr/bin/env python3
"""The worker for Windows under wine: commands and what becomes of them when agent or minder are killed, files, what it tells that it can, the service; against a master of our own, and with the real one. Skipped where there is no wine or no mingw-w64 (make deps-windows); make check builds the worker where both are there."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("DROVER_BUILD") or os.path.join(HERE, "..", "..", "build"))
EXE, PROBE, UNIX = (f"{BUILD}/windows/{name}.exe" for name in ("drover-worker", "probe", "unix"))

sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import wine  # noqa: E402

THERE = not wine.missing() and all(map(os.path.exists, (EXE, PROBE, UNIX)))
if THERE:
    FOLDER = tempfile.mkdtemp(prefix="drover-wine-", dir=os.environ.get("DROVER_ROOM"))
    PREFIX = wine.Prefix(os.path.join(FOLDER, "prefix"))
    os.environ["DROVER_WORKER"] = PREFIX.script(EXE, os.path.join(FOLDER, "drover-worker"))

import drover  # noqa: E402
from fakemaster import SECRET, Bench, Gone, Log, encode, parse_records, records, wait_for  # noqa: E402


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


def files_with(paths, text):
    found = []
    for path in paths:
        with open(path, "rb") as f:
            if text in f.read():
                found.append(path)
    return found


def minder_of(folder, cmd):
    """Its pid here (the one in its spool is wine's)."""
    spool = os.path.basename(os.path.dirname(folder)) + "\\state\\spool"
    for pid in processes_of("--minder"):
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            words = f.read().decode(errors="replace").split("\0")
        if cmd in words and any(w.endswith(spool) for w in words):
            return pid
    raise AssertionError("no such minder")


def channel(log, i):
    return b"".join(data for c, data in log.parts if c == i)


def many(n, times=1):
    """What probe prints: the bytes of each channel."""
    out = [bytearray(), bytearray()]
    for i in range(n):
        out[i // 1000 % 2] += b"%014d\r\n" % i
    out = [b * times for b in out]
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
        self.assertEqual((self.s.facts["os"], self.s.facts["tree"], self.s.hello["features"]), (b"Windows", b"job", "disk,secrets,files,control,report,limits,logs,input"))
        log = self.s.run_all({"1-1": (["cmd", "/c", "echo hello& echo oops>&2& exit 5"],)})["1-1"]
        self.assertEqual((channel(log, 0), channel(log, 1)), (b"hello\r\n", b"oops\r\n"))
        self.assertEqual((log.exit["how"], log.exit["code"], log.exit["reason"]), ("exited", 5, "-"))
        log = self.probe("1-2", "many", "100000", "0")
        self.assertEqual(log.length, 1600000)
        self.assertEqual([sha(channel(log, i)) for i in (0, 1)], many(100000))
        for cmd, code in (("1-3", 3000000000), ("1-4", 0xC000013A)):  # the second as of one that we end
            log = self.probe(cmd, "exit", str(code))
            self.assertEqual((log.exit["how"], log.exit["code"]), ("exited", code))

    def test_arguments(self):
        words = ["", "a b", 'say "hi"', "back\\", "two\\\\", 'b\\"c', "a\\\\ b\\", "tab\there", "^&|<>%PATH%", "Gr\u00fc\u00dfe \u65e5\u672c \U0001f600", "*", "--x=\"y z\\\""]
        log = self.probe("1-1", "arguments", *words)
        self.assertEqual([bytes.fromhex(line).decode("utf-16-be") for line in log.text.decode().split("\n")[:-1]], words)

    def test_environment(self):
        log = self.probe("1-1", "environment", more=(("env", "A=1"), ("env", "B=x y"), ("env", "A=2"), ("path", "OUT=a/b"), ("env", "Two=1"), ("env", "TWO=2"), ("env", "GONE=1"), ("unset", "GONE"), ("prepend", "PATH=bin/x")))
        env = dict(line.split("=", 1) for line in log.text.decode().splitlines() if not line.startswith("="))
        self.assertEqual((env["A"], env["B"], env["DROVER_COMMAND"]), ("2", "x y", "1-1"))
        self.assertTrue(env["OUT"].endswith("\\work\\a\\b"))
        self.assertTrue(env["PATH"].split(";")[0].endswith("\\work\\bin\\x") and env["PATH"].endswith(";C:\\windows"), env["PATH"])
        self.assertEqual([(k, v) for k, v in env.items() if k.upper() == "TWO"], [("TWO", "2")])  # Windows knows one of them
        self.assertFalse({"GONE", "HOME", "WINEPREFIX", "DROVER_WORKER"} & set(env))

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
        with open(os.path.join(self.b.worker.work, "f"), "w") as f:
            f.write("x")
        shutil.copy(PROBE, os.path.join(self.b.worker.work, "probe1.2.exe"))
        self.assertEqual(self.s.run_all({"3-1": ["./probe1.2", "exit", "7"]})["3-1"].exit["code"], 7)
        logs = self.s.run_all({"1-1": ["nonesuch"], "1-2": ["./x.bat", '" & echo bad'], "1-3": (["cmd", "/c", "exit"], ("cwd", "f"))})
        for cmd, words in {"1-1": b"nonesuch", "1-2": b"batch", "1-3": b"folder f"}.items():
            log = logs[cmd]
            self.assertEqual((log.exit["how"], log.exit["reason"]), ("failed", "start"))
            self.assertIn(words, log.exit.blob)
            self.assertNotIn(b"bad\r", log.text)
        for i, more in enumerate((("cwd", "..a/b."), ("mkdir", "a\\..\\..\\b"), ("fresh", "a/NUL.txt"), ("path", "A=a:b"), ("report", "com1"), ("log", "x=lpt9.log"))):
            self.s.run(f"2-{i}", ["cmd", "/c", "exit"], more)
            self.assertEqual(self.s.expect("error")["tag"], "badarg")

    def test_timeouts(self):
        self.s.run("1-1", [PROBE, "sleep", "50000"], ("idle", 400))
        self.s.run("1-2", [PROBE, "many", "100000000", "20"], ("total", 900))
        logs = self.s.collect({"1-1": Log(), "1-2": Log()})
        self.assertEqual([(logs[c].exit["how"], logs[c].exit["reason"]) for c in ("1-1", "1-2")], [("signaled", "idle"), ("signaled", "total")])
        self.assertTrue(400 <= logs["1-1"].exit["wall_ms"] < 50000)

    def tree(self, cmd, mark, *more):
        self.s.run(cmd, [PROBE, "tree", "2", mark], *more)
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

    def test_a_command_outlives_its_agent(self):
        """Killed twice in mid-output: the next agent finds the command, and no byte of it is lost or comes twice."""
        log, rows, work = Log(), 10000, self.b.worker.work
        self.s.run("1-1", [PROBE, "gated", str(rows), "1", "2"], limit=1 << 30)
        self.s.expect("state")
        for part in (1, 2):
            while log.length < part * rows * 16 - 65536:
                self.s.take_out(self.s.recv(), log, window=0)
            self.b.worker.kill()
            s = self.s = self.b.connect()
            self.assertEqual((s.has("1-1")["state"], s.hello["high"], s.hello["instance"]), ("running", "1-1", self.s.hello["instance"]))
            s.resume("1-1", log.length, limit=1 << 30)
            with open(os.path.join(work, str(part)), "w"):
                pass
        self.s.collect({"1-1": log}, window=0, timeout=60 * drover.BUSY)
        self.assertEqual((log.length, log.exit["how"], log.exit["code"]), (3 * rows * 16, "exited", 0))
        self.assertEqual([sha(channel(log, i)) for i in (0, 1)], many(rows, 3))
        self.s.send("forget", "1-1")
        wait_for(lambda: not os.path.exists(self.b.worker.spool("1-1")), 60 * drover.BUSY)

    def test_a_command_that_ends_without_an_agent(self):
        self.s.run("1-1", [PROBE, "gated", "2500", "go"])
        self.s.expect("state")
        self.b.worker.kill()
        with open(os.path.join(self.b.worker.work, "go"), "w"):
            pass
        wait_for(lambda: self.b.worker.has_result("1-1"), 60 * drover.BUSY)
        s = self.b.connect()
        self.assertEqual(s.has("1-1")["state"], "done")
        s.resume("1-1", 0)
        log = s.collect({"1-1": Log()})["1-1"]
        self.assertEqual((log.length, log.exit["code"]), (80000, 0))

    def test_a_killed_minder(self):
        """With it goes the tree, whose job it had; the command is lost, and what it had written is told."""
        mark = f"wm-{os.getpid()}"
        log = self.tree("1-1", mark, ("log", "x=x.log"))
        self.s.take_out(self.s.expect("out"), log)
        os.kill(minder_of(self.b.worker.dir, "1-1"), 9)
        self.s.collect({"1-1": log}, timeout=60 * drover.BUSY)
        self.assertEqual((log.exit["how"], log.exit["reason"], log.text), ("lost", "minder", b"ready\n"))
        self.assertEqual(parse_records(log.exit.blob), [("log", b"1 0 00000000 0 0 0")])
        wait_for(lambda: not processes_of(mark), 60 * drover.BUSY)  # wine's server has to notice

    def test_killed_by_the_next_agent(self):
        mark = f"wn-{os.getpid()}"
        log = self.tree("1-1", mark)
        self.b.worker.kill()
        s = self.b.connect()
        s.resume("1-1", 0)
        s.send("kill", "1-1", "1-1", 0, "cancel")
        s.collect({"1-1": log}, timeout=60 * drover.BUSY)
        self.assertEqual((log.exit["how"], log.exit["code"], log.exit["reason"]), ("signaled", 9, "cancel"))
        wait_for(lambda: not processes_of(mark), 60 * drover.BUSY)

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

    def test_put_and_get(self):
        s, work = self.s, self.b.worker.work
        data = bytes(range(256)) * 9000
        self.assertEqual(s.put("f", data, end=1 << 20), ("ok", {"have": b"1048576", "complete": b"0"}))
        self.assertFalse(os.path.exists(os.path.join(work, "f")))
        self.b.worker.kill()  # what was sent stays
        s = self.s = self.b.connect()
        self.assertEqual(s.put("f", data, off=0, end=0)[1]["have"], b"1048576")
        self.assertEqual(s.put_all("f", data), "ok")
        with open(os.path.join(work, "f"), "rb") as f:
            self.assertEqual(f.read(), data)
        self.assertEqual(s.put("f", data, off=0, end=0)[1], {"have": b"%d" % len(data), "complete": b"1"})  # asked again
        tag, told, got = s.get("f", 1000, 1 << 21)
        self.assertEqual((tag, got, told["sum"].decode(), told["mode"]), ("ok", data[1000:1000 + (1 << 21)], sha(data[1000:1000 + (1 << 21)]), b"644"))
        self.assertEqual(s.put_all("f", b"new", 0o444), "ok")  # in its place, read-only
        self.assertEqual(s.get("f", 0, 10, told["version"])[0], "changed")
        self.assertEqual((s.get("f")[2], s.get("f")[1]["mode"]), (b"new", b"444"))
        self.assertEqual(s.put_all("f", b"newer"), "ok")
        self.assertEqual(s.put("f", b"x", sum="0" * 64)[0], "changed")
        self.assertEqual(s.get("f")[2], b"newer")
        s.file_op("mkdir", "d")
        self.assertEqual((s.put("d", b"x")[0], s.get("d")[0], s.get("none")[0], s.put("no/f", b"x")[0]), ("isdir", "isdir", "notfound", "notfound"))
        self.assertEqual(sorted(os.listdir(work)), ["d", "f"])

    def test_names(self):
        s, work = self.s, self.b.worker.work
        name = "Gr\u00fc\u00dfe \u65e5\u672c \U0001f600"
        self.assertEqual(s.put(f"{name}", b"1")[0], "ok")
        s.file_op("mkdir", "d/e")
        for to, tag in (("d/x", "ok"), ("d/x", "notfound"), ("../x", "badarg"), ("NUL", "badarg"), ("d/aux.txt", "badarg"), ("x:y", "badarg"), ("d", "exists")):
            path = name if to == "d/x" and tag == "ok" else "d/x" if tag == "exists" else name
            if to == "d/x" and tag == "notfound":
                continue
            self.assertEqual(s.ask("rename", blob=records(("path", path), ("to", to)))[0], tag, to)
        self.assertEqual(s.ask("rename", blob=records(("path", name), ("to", "d/x")))[0], "ok")  # done before
        self.assertEqual(s.ask("rename", blob=records(("path", "d"), ("to", "d/e/d")))[0], "badarg")
        self.assertEqual(s.ask("copy", blob=records(("path", "d/x"), ("to", "d/e/y")))[0], "ok")
        self.assertEqual(s.ask("rename", blob=records(("path", "d/x"), ("to", "d/e/y")))[0], "exists")
        self.assertEqual(s.ask("rename", blob=records(("path", "d/x"), ("to", "d/e/y"), ("replace", "1")))[0], "ok")
        self.assertEqual(s.put(f"d/{name}.txt", b"123")[0], "ok")
        tag, told, entries = s.list("d")
        self.assertEqual((tag, told["complete"], [(e["name"].decode(), e["type"], e["size"]) for e in entries]), ("ok", b"1", [(f"{name}.txt", b"file", b"3"), ("e", b"dir", b"0")]))
        self.assertEqual([e["name"] for e in s.list("d", 1)[2]], [f"{name}.txt".encode()])
        self.assertEqual([e["name"] for e in s.list("d", 1, name + ".txt")[2]], [b"e"])
        tag, told, data = s.ask("glob", 100, blob=records(("path", "."), ("pattern", "**/y")))
        self.assertEqual((tag, told["entries"], b"name=d/e/y\0" in data), ("ok", b"1", True))
        for path in ("NUL", "d/con.x", "com1", "d/Lpt9", "conout$", "a:b", "a/b./c", "CON .txt"):
            self.assertEqual(s.put(path, b"x")[0], "badarg", path)
        self.assertEqual(s.put("console", b"x")[0], "ok")
        self.assertEqual(sorted(os.listdir(work)), ["console", "d"])
        self.assertIn("disk_free_kib", s.ask("disk")[1])
        self.assertEqual((s.file_op("usage", "d")[1]["entries"], s.file_op("usage", "d")[1]["complete"]), (b"4", b"1"))

    def test_trees_and_links(self):
        s, work = self.s, self.b.worker.work
        tree = [("a", "dir", 0o755, b""), ("a/b", "file", 0o644, b"1" * 70000), ("a/c", "file", 0o444, b""), ("d/e/f", "file", 0o644, b"x")]
        self.assertEqual(s.put_tree("t", tree), ("ok", {"entries": b"4"}))
        self.assertEqual(s.put_tree("t", tree)[0], "ok")  # over what is there, read-only too
        got = s.get_tree("t")
        self.assertEqual([(n.decode(), t, m, b) for n, t, m, b in got[2]], [tree[0], tree[1], tree[2], ("d", "dir", 0o755, b""), ("d/e", "dir", 0o755, b""), tree[3]])
        part = s.get_tree("t", 70100)
        self.assertEqual(part[1]["complete"], b"0")
        self.assertEqual(s.get_tree("t", after=part[2][-1][0])[2], got[2][len(part[2]):])
        for name in ("NUL", "x/../../y", "a:b", "con.c/x", "c/lpt1", "a\\b"):
            self.assertEqual(s.put_tree("t", [(name, "file", 0o644, b"x")])[0], "badarg", name)
        outside = os.path.join(self.b.folder, "outside")
        os.mkdir(outside)
        with open(os.path.join(outside, "f"), "w") as f:
            f.write("mine")
        os.symlink(outside, os.path.join(work, "link"))  # for wine what a junction is to Windows
        self.assertEqual(s.file_op("stat", "link")[1]["type"], b"link")
        for tag in (s.get("link/f")[0], s.put("link/g", b"x")[0], s.list("link/.")[0], s.file_op("mkdir", "link/d")[0], s.file_op("remove", "link/f")[0], s.put_tree("link", tree)[0], s.put_tree(".", [("link/x", "file", 0o644, b"")])[0], s.file_op("stat", "link/f")[0]):
            self.assertEqual(tag, "outside")
        log = self.s.run_all({"1-1": (["cmd", "/c", "exit"], ("cwd", "link/x"))})["1-1"]
        self.assertEqual((log.exit["how"], log.exit["reason"]), ("failed", "start"))
        os.mkdir(os.path.join(work, "t/in"))
        os.symlink(outside, os.path.join(work, "t/in/link"))
        s.file_op("remove", "t")  # wine would remove what a link leads to, which is not empty: but nothing is followed
        self.assertEqual((os.listdir(outside), os.path.exists(os.path.join(work, "t/in/link"))), (["f"], True))
        os.unlink(os.path.join(work, "t/in/link"))
        self.assertEqual(s.file_op("remove", "t")[0], "ok")
        self.assertEqual(os.listdir(work), ["link"])

    def test_many_messages_at_once(self):
        """What came in one piece is done at once: no poll tells of bytes that were read already."""
        for i in range(900):  # each in a record of its own
            self.s.sock.sendall(encode("ack", f"9-{i}", 0, 0, 0))
        self.assertEqual([self.s.recv()["what"] for _ in range(900)], [f"9-{i}" for i in range(900)])

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
class Features(unittest.TestCase):
    setUp = Windows.setUp
    probe = Windows.probe

    def go(self, name):
        with open(os.path.join(self.b.worker.work, name), "w"):
            pass

    def all_that_comes(self, cmd, *logs):
        """Of each stream, until the exit; what else came."""
        more = []
        while logs[0].exit is None:
            m = self.s.recv()
            if m.verb == "out":
                logs[m["stream"]].add(m)
            elif m.verb == "exit":
                logs[0].end(m)
            elif m.verb != "state":
                more.append(m)
        return more

    def test_secrets(self):
        token, key, work = "sesame-open 12\u20ac", "first line\nthe second one\n" + "x" * 30000, self.b.worker.work
        self.s.send("secrets", "1-1", blob=records(("value", b"tok=" + token.encode()), ("value", b"key=" + key.encode()), ("value", "old=of-a-step-before")))
        self.s.run("1-1", [PROBE, "file", "KEY", "go"], ("secret_file", "KEY=key"), ("secret", "TOKEN=tok"), ("report", "r"), ("mkdir", "r"))
        log = Log()
        self.s.expect("state")
        while log.text.count(b"\n") < 1 or log.length < len(key):
            self.s.take_out(self.s.recv(), log)
        path, _, told = log.text.partition(b"\n")
        self.assertEqual(told, bytes(c + 1 for c in key.encode()))
        with open(os.path.join(work, "r/summary"), "wb") as f:
            f.write(token.encode() + b" told\n")
        inside = {os.path.join(at, f) for at, _, files in os.walk(self.b.worker.dir) for f in files}
        holds = files_with(inside, b"the second one")
        self.assertEqual([os.path.basename(f) for f in holds], ["key"])
        self.assertEqual(os.path.dirname(os.path.dirname(holds[0])), os.path.join(self.b.worker.dir, "spool"))
        self.assertEqual(path.decode().replace("\\", "/").rpartition("/spool/")[2], os.path.relpath(holds[0], os.path.join(self.b.worker.dir, "spool")))
        self.assertEqual(files_with(inside, token.encode()), [os.path.join(work, "r/summary")])
        self.go("go")
        told = self.all_that_comes("1-1", log)
        self.assertEqual([(m.verb, m.blob) for m in told], [("report", records(("summary", "*** told\n")))])
        self.assertFalse(os.path.exists(os.path.dirname(holds[0])))
        self.s.send("secrets", "1-2", blob=records(("value", "tok=open-sesame"), ("value", "old=of-a-step-before")))
        log = self.probe("1-2", "environment", more=(("secret", "TOKEN=tok"), ("env", "OLD=<of-a-step-before>")))
        self.assertIn(b"TOKEN=***\n", log.text)
        self.assertIn(b"OLD=<***>\n", log.text)
        self.s.send("secrets", "1-3", blob=records(("value", b"tok=typed in\n")))
        self.assertEqual(self.probe("1-3", "input", more=(("stdin", "<"), ("stdin_secret", "tok"), ("stdin", ">"))).text, b"<***>end\n")
        self.s.run("1-4", [PROBE], ("secret", "TOKEN=tok"))
        self.assertEqual(self.s.expect("error")["tag"], "badarg")

    def test_report(self):
        log = Log()
        self.s.run("1-1", ["cmd", "/c", "echo a=1>%TELL%\\properties& echo b=2>%TELL%\\more& mkdir %TELL%\\stamps"], ("fresh", "d/tell"), ("path", "TELL=d/tell"), ("report", "d/tell"))
        self.assertEqual([(m.verb, m.blob) for m in self.all_that_comes("1-1", log)], [("report", records(("bad", "stamps is no plain file")))])
        log = Log()
        self.s.run("1-2", ["cmd", "/c", "echo a=1>%TELL%\\properties"], ("fresh", "d/tell"), ("path", "TELL=d/tell"), ("report", "d/tell"))
        self.assertEqual([(m.verb, m.blob) for m in self.all_that_comes("1-2", log)], [("report", records(("properties", "a=1\r\n")))])

    def test_limits(self):
        log = self.probe("1-1", "many", "100000", "0", more=(("limit_bytes", "65536"),))
        left = int(dict(parse_records(log.exit.blob))["left_bytes"])
        self.assertTrue(log.length <= 65536 and all(b"%014d\r\n" % i in log.text for i in (0, 99999)), log.length)
        at = log.text.index(b"drover: ")
        self.assertEqual(left + log.length - (log.text.index(b"\n", at) + 1 - at), 1600000)

    def test_followed_files(self):
        out, log = Log(), Log()
        self.s.run("1-1", ["cmd", "/c", f"echo one>d\\x.log& {PROBE} file NONE go& echo two>>d\\x.log"], ("log", "x=d/x.log"), ("log", "none=d/none"), ("mkdir", "d"))
        while log.text != b"one\r\n":
            m = self.s.recv()
            if m.verb == "out":
                (log if m["stream"] else out).add(m)
        self.go("go")
        self.all_that_comes("1-1", out, log)
        self.assertEqual((log.text, out.exit["code"]), (b"one\r\ntwo\r\n", 0))
        self.assertEqual([v.split()[:2] for k, v in parse_records(out.exit.blob) if k == "log"], [[b"1", b"10"], [b"2", b"0"]])

    def fed(self, log, want):
        """The output meanwhile goes to the log."""
        while True:
            m = self.s.recv()
            if m.verb == "out":
                log.add(m)
            elif m.verb == "fed" and (m["off"], m["state"]) == want:
                return
            elif m.verb not in ("fed", "state"):
                raise AssertionError(m)

    def test_input(self):
        """Each byte once, whatever becomes of the agent in between; more than what anybody holds."""
        log, data = Log(), os.urandom(200000)
        self.s.run("1-1", [PROBE, "input"], ("input", "open"), limit=1 << 30)
        self.s.expect("state")
        for i in range(0, len(data), 50000):
            self.s.send("stdin", "1-1", "1-1", i, blob=data[i:i + 50000])
            if i == 100000:
                self.b.worker.kill()
                self.s = self.b.connect()
                self.s.resume("1-1", log.length, limit=1 << 30)
                self.s.send("stdin", "1-1", "1-1", i - 50000, blob=data[i - 50000:i])
                self.s.send("stdin", "1-1", "1-1", i, blob=data[i:i + 50000])
            self.fed(log, (i + 50000, "open"))
        self.s.send("close", "1-1", "1-1", len(data))
        while log.exit is None:
            m = self.s.recv()
            if m.verb == "out":
                log.add(m)
            elif m.verb == "exit":
                log.end(m)
        self.assertEqual((log.length, sha(log.text)), (len(data) + 4, sha(data + b"end\n")))

    def test_input_that_nobody_reads(self):
        """However often it is brought again, it holds up nobody."""
        self.s.run("1-1", [PROBE, "sleep", "600000"], ("input", "open"))
        self.s.expect("state")
        for _ in range(6):
            self.s.send("stdin", "1-1", "1-1", 0, blob=b"x" * 65536)
            self.assertEqual(self.s.expect("fed")["state"], "open")
            self.b.worker.kill()
            self.s = self.b.connect()
        self.s.send("stdin", "1-1", "1-1", 0, blob=b"x" * 65536)
        self.s.resume("1-1", 0)
        self.s.send("kill", "1-1", "1-1", 0, "cancel")
        while (m := self.s.recv()).verb == "fed":
            pass
        self.assertEqual((m.verb, m["how"], m["reason"]), ("exit", "signaled", "cancel"))

    def test_signals(self):
        self.s.run("1-1", [PROBE, "sleep", "60000"])
        self.s.expect("state")
        self.s.send("signal", "1-1", "1-1", "NONE")
        self.assertEqual(self.s.expect("error")["tag"], "badarg")
        self.s.send("signal", "1-1", "1-1", "USR1")  # nothing that Windows has
        self.s.send("signal", "1-1", "1-1", "TERM")
        log = self.s.collect({"1-1": Log()})["1-1"]
        self.assertEqual((log.exit["how"], log.exit["code"], log.exit["reason"]), ("signaled", 9, "-"))

    def test_no_terminal(self):
        self.s.run("1-1", [PROBE], ("pty", "80x24"))
        log = self.s.collect({"1-1": Log()})["1-1"]
        self.assertEqual((log.exit["how"], log.exit["reason"]), ("failed", "start"))
        self.assertIn("terminal", log.text_of_exit)


@unittest.skipUnless(THERE, "make deps-windows, make windows")
class Service(unittest.TestCase):
    def exe(self, *argv):
        with tempfile.TemporaryFile("w+") as out:  # a pipe would stay open in wine's own processes
            code = PREFIX.start(EXE, *argv, out=out).wait(60 * drover.BUSY)
            out.seek(0)
            return out.read(), code

    def test_a_service(self):
        """Installed it runs and greets; stopped it goes as SIGTERM would have it: what it started goes on, and whoever comes next has it."""
        b = Bench(tls=True)
        self.addCleanup(b.__exit__)
        stay = PREFIX.start(PROBE, "sleep", "600000", out=subprocess.DEVNULL)  # wine's services end with the last other program
        self.addCleanup(stay.wait)
        self.addCleanup(stay.kill)
        text, code = self.exe("--install-service", "drover-test", "--dir", b.worker.dir, "--join-file", b.worker.token_file, "--log-level", "debug")
        self.assertEqual((code, "the service drover-test runs, as NT SERVICE\\drover-test" in text), (0, True), text)
        s = b.master.accept()
        s.run("1-1", [PROBE, "gated", "2500", "go"])
        s.expect("state")
        self.assertEqual(self.exe("--install-service", "drover-test", "--dir", b.worker.dir, "--join-file", b.worker.token_file)[1], 1)  # there is one
        text, code = self.exe("--uninstall-service", "drover-test")
        self.assertEqual((code, "is gone" in text), (0, True), text)
        s.expect_gone(bye="stop")
        with open(os.path.join(b.worker.dir, "log"), encoding="utf-8") as f:
            self.assertIn("stopped; 1 commands go on", f.read())
        s = b.connect()
        self.assertEqual(s.has("1-1")["state"], "running")
        s.resume("1-1", 0)
        with open(os.path.join(b.worker.work, "go"), "w"):
            pass
        log = s.collect({"1-1": Log()})["1-1"]
        self.assertEqual((log.length, log.exit["how"], log.exit["code"]), (80000, "exited", 0))
        self.assertEqual(self.exe("--uninstall-service", "drover-test")[1], 1)

    def test_what_is_no_service(self):
        for argv, word in ((("--install-service", "a/b"), "wants the service's name"), (("--install-service", "x", "--join-file", "nonesuch"), "nonesuch"), (("--install-service", "x", "--dir", "d", "--limits", "nonsense"), "limits"),
                           (("--uninstall-service", "x", "y"), "nothing else"), (("--service", "x"), "by hand")):
            text, code = self.exe(*argv)
            self.assertEqual((code, word in text), (2, True), text)


@unittest.skipUnless(THERE, "make deps-windows, make windows")
class System(drover.Case):
    def test_build(self):
        d = self.own({}, tcp=True)
        drover.make_repo(d.path("repo"), {"a": "a"})
        tell = {"name": "tell", "run": ["cmd", "/c", "echo %TOKEN% by %VAR%& type %KEY%& echo a=1>%DROVER_REPORT%\\properties& echo of the step>%DROVER_REPORT%\\summary& echo in the file>out.log& echo t>%TEMP%\\t& echo %TEMP%=%TMPDIR%& cd"],
                "secrets": {"TOKEN": "token", "KEY": {"file": "key"}}, "env": {"VAR": "pipeline"}, "logs": {"file": "out.log"}, "cwd": "sub"}
        much = {"name": "much", "run": [PROBE, "many", "50000", "0"]}
        builders = {"x": {"checkout": "none", "output": "64K", "steps": [tell, much, {"name": "s1", "run": ["cmd", "/c", "echo ${{ properties.a }} over SChannel& exit 3"]}]}}
        for name in ("token", "key"):
            with open(os.open(d.path(name), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write(f"sesame-{name}\n")
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "1h", "builders": builders}}, secrets={"token": {"file": "token"}, "key": {"file": "key"}})
        d.start_master()
        d.start_worker()
        build = d.run("p/x", 60 * drover.BUSY)
        self.assertEqual((build["result"], d.log(build["id"], "s1")), (2, b"1 over SChannel\r\n"))
        self.assertEqual(build["steps"][2]["commands"][-1]["code"], 3)
        lines = d.log(build["id"], "tell").decode().splitlines()
        self.assertEqual((lines[:2], lines[-1].endswith("\\sub")), (["*** by pipeline", "***"], True), lines)
        self.assertEqual(*lines[-2].split("="))
        self.assertEqual(build["steps"][0]["summary"], "of the step")
        self.assertEqual(d.api("GET", f"/builds/{build['id']}/logs/tell?log=file").body, b"in the file\r\n")
        much = d.log(build["id"], "much")
        self.assertTrue(len(much) <= 65536 and all(b"%014d\r\n" % i in much for i in (0, 49999)), len(much))
        d.kill_worker()  # a polite signal is nothing that wine has for it


    def test_checkout(self):
        """By real git, to which a program of Windows leads; the agent dies in between."""
        d = self.own({}, tcp=True)
        first = drover.make_repo(d.path("repo"), {"a": "one\n", "b/c": "two\n"})
        os.mkdir(d.path("bin"))
        shutil.copy(UNIX, d.path("bin/git.exe"))
        b = {"checkout": {"clean": False}, "steps": [{"name": "look", "run": ["cmd", "/c", "type a& type b\\c& echo new>left"]}]}
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "1h", "builders": {"x": b}}})
        d.start_master()
        os.mkdir(d.path("work-here"))
        with open(d.path("work-here/worker.conf"), "w") as f:
            f.write("path = Z:" + d.path("bin").replace("/", "\\") + ";C:\\windows\\system32\n")
        d.start_worker()
        build = d.run("p/x", 60 * drover.BUSY)
        self.assertEqual((build["result"], d.log(build["id"], "look")), (0, b"one\ntwo\n"), build)
        self.assertEqual(build["got_revision"], first)
        work = next(at for at, folders, _ in os.walk(d.path("work-here", "work")) if ".git" in folders)
        d.kill_worker()
        second = drover.commit(d.path("repo"), {"a": "three\n"}, "second")
        d.start_worker()
        build = d.run("p/x", 60 * drover.BUSY, revision=second)
        self.assertEqual((build["result"], d.log(build["id"], "look"), build["got_revision"]), (0, b"three\ntwo\n", second))
        self.assertTrue(os.path.exists(os.path.join(work, "left")))
        d.kill_worker()


if __name__ == "__main__":
    unittest.main(verbosity=1)
