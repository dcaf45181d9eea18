#!/usr/bin/env python3
"""The worker protocol's second implementation, made from docs/protocol.md alone (tests/lib/wire*.py), against the real programs: a real
master with that worker, and the real worker with that master. What either says otherwise than the page is a failure."""
import hashlib
import os
import random
import socket
import subprocess
import sys
import time
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import wire  # noqa: E402
from drover import BUILD, DEADLINE_S, Case, Drover, Failed, alive, busy, make_repo, read, sha, slow, wait_for  # noqa: E402
from fakeworker import FakeWorker  # noqa: E402
from wire_chaos import Chaos, pour  # noqa: E402
from wire_master import Master, Output, Session, read_entries, read_list  # noqa: E402
from wire_worker import Worker  # noqa: E402

SUCCESS = 0
WORKER_KIB = 32 << 10   # the most of a worker, with 16 MiB of blobs that wait
MEMORY_KIB = 64 << 10   # that a stranger or a liar may cost the master
# Output of which each byte tells where it stands, more than one chunk of it, and then some on the other channel.
LONG = "import sys\nfor i in range(20000): print('%09d' % i)\nsys.stdout.flush(); sys.stderr.write('end\\n')"
LONG_LOG = b"".join(b"%09d\n" % i for i in range(20000)) + b"end\n"


def token_of(d, name):
    return wire.Token(read(d.token(name)).decode())


class SecondWorker(Case):
    """A real master over TLS with a worker that was written from the page."""

    @classmethod
    def setUpClass(cls):
        d = cls.d = Drover({"p": {}}, {"second": {"slots": 2}}, tcp=True)
        cls.first = make_repo(d.path("repo"), {"a": "one\n", "sub/b": "two\n"})
        builders = {"tree": {"steps": [{"name": "s1", "run": "cat a sub/b"}, {"name": "s2", "run": "echo $N; git rev-parse HEAD", "env": {"N": "n"}},
                                       {"name": "s3", "run": ["cat", "sub/b"]}]},
                    "long": {"steps": [{"name": "s1", "run": ["python3", "-c", LONG]}, {"name": "s2", "run": "exit 3"}]},
                    "less": {"checkout": "none", "steps": [{"name": "bytes", "run": ["python3", "-c", LONG], "output": "100K"}, {"name": "lines", "run": ["python3", "-c", LONG], "output": {"lines": 1000}}]}}
        builders["read"] = {"checkout": "none", "steps": [{"name": "given", "run": "cat", "stdin": ["a\n", "b\n"]}, {"name": "open", "run": ["sha256sum"], "stdin": {"open": True}},
                                                         {"name": "tty", "run": "stty size; read x; echo $x $TERM; ! read x", "stdin": "typed\n", "pty": "99x33"}]}
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "1h", "builders": builders}})
        try:
            d.start_master()
            cls.worker = Worker(token_of(d, "second"), d.path("second"))
            cls.worker.start()
            d.wait_worker("second")
        except BaseException:
            d.failed = True
            print(cls.told())
            d.close(polite=False)
            raise

    @classmethod
    def told(cls):
        w = getattr(cls, "worker", None)
        return w and "\n".join([str(w.broken), *(str(x) for x in w.said[-60:])])

    @classmethod
    def tearDownClass(cls):
        well = cls.worker.stop()
        if cls.d.failed or not well:
            print(cls.told(), file=sys.stderr)
        super().tearDownClass()
        if not well:
            raise AssertionError("the second worker did not end well")

    def test_build(self):
        """A checkout and three steps."""
        b = self.d.run("p/tree")
        logs = [self.d.log(b["id"], s) for s in ("s1", "s2", "s3")]
        self.assertEqual((b["result"], b["attempt"], logs), (SUCCESS, 1, [b"one\ntwo\n", b"n\n" + self.first.encode() + b"\n", b"two\n"]), self.told())

    def test_input(self):
        """What stands in the configuration, what is sent while it runs, and a terminal."""
        data = random.Random(3).randbytes(300000)
        rid = self.d.ask("p/read")
        bid = self.d.wait_build(rid)["id"]
        wait_for(lambda: self.d.api("POST", f"/builds/{bid}/input", {"step": "open"}).status == 200, "the step to take input")
        p = subprocess.run([f"{BUILD}/drover", "attach", f"{bid}:open"], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, input=data, stdout=subprocess.PIPE, timeout=60)
        self.assertEqual((p.returncode, p.stdout.split()[0].decode()), (0, hashlib.sha256(data).hexdigest()), self.told())
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS, self.told())
        self.assertEqual(self.d.log(bid, "given"), b"a\nb\n")
        self.assertEqual(sorted(self.d.log(bid, "tty").split(b"\r\n")), [b"", b"33 99", b"typed", b"typed xterm-256color"])  # the echo comes when it may

    def test_limits_of_output(self):
        """The worker keeps head and tail within what the master says; the master takes it and knows what is missing."""
        b = self.d.run("p/less")
        self.assertEqual(b["result"], SUCCESS, self.told())
        for step, head, most in ((b["steps"][0], 51200, {"length": 102400}), (b["steps"][1], 5000, {"lines": 1000})):
            log, data = step["logs"][0], self.d.log(b["id"], step["name"])
            tail = data.split(b"lines]\n")[1]
            self.assertTrue(data.startswith(LONG_LOG[:head]) and LONG_LOG.endswith(tail), data)
            gone = LONG_LOG[head:len(LONG_LOG) - len(tail)]
            self.assertEqual((log["left_bytes"], log["left_lines"]), (len(gone), gone.count(b"\n")))
            for key, value in most.items():
                self.assertTrue(value - 300 < log[key] <= value, log)

    def test_cut(self):
        """The link is cut in the midst of a chunk: the worker comes back, and the log is what was written, once."""
        before = len(self.worker.welcomes)
        self.worker.cut_at = 100000
        b = self.d.run("p/long")
        log = self.d.log(b["id"], "s1")
        step = next(s for s in b["steps"] if s["name"] == "s1")
        self.assertEqual((self.worker.cuts, len(self.worker.welcomes) - before, b["attempt"], step["result"], len(log), log == LONG_LOG), (1, 1, 1, SUCCESS, len(LONG_LOG), True), self.told())
        self.assertIn(("resume",), {s[:1] for s in self.worker.said})


class SecondMaster(Case):
    """The real worker with a master that was written from the page: every operation of its table."""

    @classmethod
    def setUpClass(cls):
        d = cls.d = Drover({}, {})
        cls.m = Master(d.root, tls=True)
        try:
            d.start_worker("second", wait=False, token=d.write_token(d.path("token"), cls.m.token), folder=d.path("second"))
            cls.s = cls.m.accept()
            cls.work = cls.s.facts["work"]
            assert cls.s.hello.high == "0-0", cls.s.hello
        except BaseException:
            d.failed = True
            d.close(polite=False)
            raise

    @classmethod
    def tearDownClass(cls):
        cls.s.close()
        cls.m.close()
        super().tearDownClass()

    def at(self, *names):
        return os.path.join(self.work, *names)

    def test_input(self):
        """Brought while it runs, in order, asked for on a new link; a terminal and its size."""
        s = self.s
        o = s.argv("sh", "-c", "read a; read b; echo $b $a; cat", records=[("input", "open")])
        s.say("stdin", o.cmd, o.epoch, 0)
        s.until(lambda m: m.verb == "fed" and m.args == [o.cmd, "0", "65536", "open"], "the limit")
        s.say("stdin", o.cmd, o.epoch, 0, blob=b"one\ntwo\nthr")
        s.say("stdin", o.cmd, o.epoch, 8, blob=b"three")
        s.say("close", o.cmd, o.epoch, 13)
        fed = []
        s.until(lambda m: m.verb == "fed" and (fed.append(m.args[1:]) or m.state == "closed"), "the end of the input")
        s.collect(o)
        self.assertEqual((o.data, fed[-1]), (b"two one\nthree", ["13", str(13 + 65536), "closed"]))
        o = s.argv("sh", "-c", "trap 'stty size; exit 5' WINCH; stty size; while :; do sleep 0.02; done", records=[("pty", "80x24")])
        s.say("follow", o.cmd, 1)
        s.until(lambda m: b"24 80" in o.data, "its size")
        s.say("resize", o.cmd, o.epoch, "101x31")
        s.collect(o)
        self.assertEqual((o.result, o.data), (("exited", 5, "-"), b"24 80\r\n31 101\r\n"))

    def test_hello(self):
        s = self.s
        self.assertEqual((s.hello.name, len(s.hello.instance), len(s.hello.boot), s.have), ("second", 32, 32, {}))
        self.assertLessEqual({"disk", "files", "control", "secrets", "report", "limits", "admin", "logs", "input"}, set(s.features))
        self.assertEqual(set(s.facts) - {"cgroup_why", "machine"}, set("os arch release cores memory_kib disk_free_kib disk_total_kib host version work path user uid isolation cgroup boot_ms load started".split()))

    def test_run(self):
        """The records of a `run`."""
        s = self.s
        o = s.collect(s.argv("sh", "-c", "printf '%s|' \"$@\"; echo err >&2; pwd; exit 7", "sh", "a b", "$(x)", records=[("cwd", "run/here")]))
        self.assertEqual((o.result, o.channel(0), o.channel(1)), (("exited", 7, "-"), b"a b|$(x)|" + self.at("run/here").encode() + b"\n", b"err\n"))
        self.assertEqual(o.states[0], "accepted")
        o = s.collect(s.argv("/usr/bin/env", records=[("env", "A=1"), ("path", "P=run/x"), ("prepend", "P=run/y"), ("prepend", "Q=run"), ("env", "B=2"), ("unset", "B"), ("unset", "PATH")]))
        self.assertEqual(sorted(o.data.decode().split("\n")), sorted(["", "A=1", f"DROVER_COMMAND={o.cmd}", f"P={self.at('run/y')}:{self.at('run/x')}", "Q=" + self.at("run")]))
        o = s.collect(s.argv("cat", records=[("stdin", b"\xff in\n"), ("mkdir", "run/m"), ("fresh", "run/here")]))
        self.assertEqual((o.result, o.data, os.path.isdir(self.at("run/m")), os.listdir(self.at("run/here"))), (("exited", 0, "-"), b"\xff in\n", True, []))
        o = s.collect(s.argv("no-such-program"))
        self.assertEqual((o.result, o.data, b"no-such-program" in o.exit.blob), (("failed", 2, "start"), b"", True))
        o = s.collect(s.argv("sh", "-c", "kill -9 $$"))
        self.assertEqual(o.result, ("signaled", 9, "-"))

    def test_limits(self):
        s = self.s
        idle, total = (s.argv("sleep", "100", records=[(key, 300), ("grace", 1000)]) for key in ("idle", "total"))
        self.assertEqual([s.collect(x).result for x in (idle, total)], [("signaled", 15, "idle"), ("signaled", 15, "total")])

    def test_limits_of_output(self):
        """Head, marker and tail within both limits; the exit tells what is missing; within the limits nothing is different."""
        s = self.s
        for records, head in (([("limit_bytes", 8000)], 4000), ([("limit_lines", 101)], 500), ([("limit_bytes", 8001), ("limit_lines", 10000)], 4000)):
            o = s.collect(s.argv("python3", "-c", LONG, records=records))
            self.assertEqual(o.result, ("exited", 0, "-"))
            marker_at = len(o.data[:head].rstrip(b"\n")) if o.data[head - 1:head] == b"\n" else head
            told = dict(wire.read_records(o.exit.blob))
            self.assertEqual(o.data[:head], LONG_LOG[:head])
            marker, tail = o.data[marker_at:].lstrip(b"\n").split(b"\n", 1)
            self.assertLess(len(marker), 256)
            self.assertTrue(LONG_LOG.endswith(tail))
            gone = LONG_LOG[head:len(LONG_LOG) - len(tail)]
            self.assertEqual((int(told["left_bytes"]), int(told["left_lines"])), (len(gone), gone.count(b"\n")))
            limits = dict(records)
            self.assertTrue(len(o.data) <= limits.get("limit_bytes", 1 << 30) and o.lines <= limits.get("limit_lines", 1 << 30))
            self.assertTrue(len(o.data) > 8000 - 4096 - 256 or o.lines > 98)
            self.assertEqual([ms for _, _, ms in o.spans], sorted(ms for _, _, ms in o.spans))
        o = s.collect(s.argv("python3", "-c", LONG, records=[("limit_bytes", len(LONG_LOG)), ("limit_lines", 20001)]))
        self.assertEqual((o.data == LONG_LOG, o.exit.blob), (True, b""))
        self.assertEqual(s.error(s.argv("true", records=[("limit_bytes", 4095)]).cmd), "badarg")

    def test_files(self):
        """Files that are followed are streams: chunks, inventory, credit and resume of each by itself, and the exit tells of all."""
        s = self.s
        script = "mkdir -p fo; cd fo; seq 30000 >a; echo b >b; echo out; while [ ! -e go ]; do sleep 0.02; done; echo last >>a; rm go"
        o = s.argv("sh", "-c", script, records=[("log", "one=fo/a"), ("log", "two=fo/b"), ("log", "none=fo/none")])
        s.until(lambda m: len(o.of("1").data) >= 168894 and o.of("2").data == b"b\n" and o.data == b"out\n", "all that there is")
        s.say("inventory")
        s.inventory()
        self.assertEqual([s.have_files[o.cmd, k].hi for k in "123"], ["168894", "2", "0"])
        s.say("ack", o.cmd, 4, 0, 1)
        self.assertEqual(s.error(o.cmd), "badarg")
        open(self.at("fo/go"), "w").close()
        s.until(lambda m: o.exit, "the exit")
        whole = b"".join(b"%d\n" % i for i in range(1, 30001)) + b"last\n"
        self.assertEqual((o.result, o.of("1").data == whole, o.of("2").data, o.of("3").data), (("exited", 0, "-"), True, b"b\n", b""))
        for stream in ("1", "2"):  # once more from the beginning: the same, and the exit behind it
            again = o.files.pop(stream).data
            s.resume(o, stream)
            s.collect(o) if stream == "2" else s.until(lambda m: o.exit, "the exit")
            self.assertEqual(o.of(stream).data, again)
        self.assertEqual([s.error(s.argv("true", records=[("log", bad)]).cmd) for bad in ("x=../x", "x", "=x")], ["badarg"] * 3)

    def test_again(self):
        """`run` of an id that is there starts nothing; an older epoch is fenced, an unknown record refused."""
        s = self.s
        o = s.argv("sh", "-c", "echo x >> once", build=7, epoch="1-70")
        s.until(lambda m: o.exit, "its exit")
        before = list(o.states)
        s.argv("sh", "-c", "echo x >> once", build=7, epoch="1-70", cmd=o.cmd)
        s.until(lambda m: len(o.states) > len(before), "its state")
        self.assertEqual((o.states[-1], read(self.at("once"))), ("done", b"x\n"))
        older = s.argv("true", build=7, epoch="1-69")
        self.assertEqual(s.error(older.cmd), "fenced")
        s.collect(o)
        for bad in ([("arg", "true"), ("no_such", "x")], [("env", "A=1")], [("arg", "true"), ("cwd", "../x")], [("arg", "true"), ("mkdir", "/tmp/x")], [("arg", "true"), ("fresh", "a/../..")]):
            o = s.run(*bad)
            self.assertEqual((s.error(o.cmd), o.states), ("badarg", []), bad)

    def test_output(self):
        """Chunks as the page has them, put end to end one deflate stream; no more than the credit; the same ones again."""
        s = self.s
        self.m.acks = False
        try:
            o = s.argv(sys.executable, "-c", LONG, limit=70000)
            s.until(lambda m: o.data, "a chunk")
            s.say("ping", 1)
            s.until(lambda m: m.verb == "pong", "the pong")
            self.assertLessEqual(len(o.data), 70000)
            first = o.data
        finally:
            self.m.acks = True
        s.resume(o)
        s.until(lambda m: o.exit, "its exit")
        self.assertEqual((o.data, o.channel(0) + o.channel(1), o.result), (LONG_LOG, LONG_LOG, ("exited", 0, "-")))
        self.assertEqual(zlib.decompressobj(-zlib.MAX_WBITS).decompress(o.deflated), LONG_LOG)
        again = self.m.outputs[o.cmd] = Output(o.cmd)
        again.epoch = o.epoch
        s.resume(again)
        s.collect(again)
        self.assertEqual((again.deflated[:1000], len(again.data)), (o.deflated[:1000], len(LONG_LOG)))
        self.assertTrue(LONG_LOG.startswith(first))

    def test_kill_and_signal(self):
        s = self.s
        o = s.argv("sh", "-c", "trap 'echo usr1' USR1; trap '' TERM; echo ready; while :; do sleep 0.05; done")
        s.say("follow", o.cmd, 1)
        s.until(lambda m: o.data == b"ready\n", "its output")
        s.say("signal", o.cmd, o.epoch, "USR1")
        s.until(lambda m: o.data == b"ready\nusr1\n", "what the signal did")
        s.say("signal", o.cmd, o.epoch, "SEGV")
        self.assertEqual(s.error(o.cmd), "badarg")
        s.say("kill", o.cmd, o.epoch, 100, "cancel")
        self.assertEqual(s.collect(o).result, ("signaled", 9, "cancel"))

    def test_forget(self):
        """It kills, and nothing is there any more; an id that nobody knows is fine."""
        s = self.s
        o = s.argv("sh", "-c", "echo $$; exec sleep 1000")
        s.until(lambda m: o.data, "its output")
        s.say("forget", o.cmd)
        s.say("forget", "1-999999")
        wait_for(lambda: not alive(int(o.data)), "its end")

        def gone():
            s.say("inventory")
            s.inventory()
            return o.cmd not in s.have
        wait_for(gone, "an inventory without it")

    def test_secrets(self):
        """Values come before the run, as variable and file, and are left out of the output; without them: refused."""
        s = self.s
        want = [("secret", "A=one"), ("secret_file", "B=two")]
        cmd = self.m.next()
        s.say("secrets", cmd, blob=wire.records(("value", "one=sesame-1\n"), ("value", "two=sesame-22"), ("value", "old=from-before")))
        o = s.argv("sh", "-c", "printf %s \"$A\" | wc -c; cat \"$B\" | wc -c; echo $A from-before c2VzYW1lLTE=; stat -c %a \"$B\"; echo $B >&2", records=want, cmd=cmd)
        s.collect(o)
        self.assertEqual((o.result, o.channel(0)), (("exited", 0, "-"), b"8\n9\n*** *** ***=\n600\n"))
        self.assertFalse(os.path.exists(o.channel(1).strip()))
        o = s.argv("true", records=want)
        self.assertEqual(s.error(o.cmd), "badarg")

    def test_report(self):
        s = self.s
        o = s.collect(s.argv("sh", "-c", "echo a=1 > rep/properties; echo well > rep/summary", records=[("report", "rep"), ("mkdir", "rep")]))
        self.assertEqual(sorted(o.report), [("properties", b"a=1\n"), ("summary", b"well\n")])
        o = s.collect(s.argv("mkfifo", "rep2/links", records=[("report", "rep2"), ("mkdir", "rep2")]))
        self.assertEqual([k for k, _ in o.report], ["bad"])

    def again(self, **how):
        """The worker's next connection, instead of this one."""
        self.s.close()
        type(self).s = self.m.accept(**how)
        return self.s

    def test_cut(self):
        """The link is lost in the midst of the output: on the next one the worker says what it has, and goes on where the master is."""
        s, go = self.s, self.at("go-on")
        rest = s.collect(s.argv("true"))
        with open(self.at("big"), "wb") as f:
            f.write(LONG_LOG)
        o = s.argv("sh", "-c", f"head -c 150000 big; while [ ! -e {go} ]; do sleep 0.02; done; tail -c +150001 big")
        s.until(lambda m: o.data, "a chunk")
        before = s.hello
        s = self.again()
        have = s.have[o.cmd]
        self.assertEqual((s.hello.instance, s.hello.boot, int(s.hello.conn), s.hello.high), (before.instance, before.boot, int(before.conn) + 1, o.cmd))
        self.assertEqual((have.epoch, have.state, have.stream, have.lo, rest.cmd in s.have), (o.epoch, "running", "0", "0", False))
        self.assertGreaterEqual(int(have.hi), len(o.data))
        with open(go, "w"):
            pass
        s.resume(o)
        self.assertEqual((s.collect(o).result, o.data == LONG_LOG), (("exited", 0, "-"), True))

    def test_silence(self):
        """A worker that hears nothing asks, and leaves; one that is greeted by an older incarnation than it knows does, too."""
        try:
            s = self.again(ping_ms=1000)  # three of these are its patience, and this test is not always given the processor at once
            end = time.monotonic() + 4
            while time.monotonic() < end:
                s.pump(0.1)   # pings are answered
            self.assertEqual(s.ask("stat", blob=b".").tag, "ok")
            s.link.dumb = True
            self.assertEqual(s.end(), "silence")
            self.m.incarnation = 5
            self.assertEqual(self.again().have, {})
            self.s.close()
            s = Session(self.m, self.m.socket())
            s.expect("hello")
            s.say("welcome", wire.VERSION, "1-1", "second", 4, 1000, 1000, "-")
            self.assertEqual(s.end(), "incarnation")
        finally:
            type(self).s = self.m.accept()

    def test_unknown(self):
        """A verb that nobody knows is skipped with its blob."""
        s = self.s
        s.say("nonsense", "a", blob=b"x" * 100000)
        self.assertEqual(s.error("-"), "unknown")
        self.assertEqual(s.ask("stat", blob=b".").tag, "ok")

    # ---- file operations ----

    def test_stat_mkdir_remove(self):
        s = self.s
        self.assertEqual((s.ask("mkdir", blob=b"f/a/b").tag, s.ask("mkdir", blob=b"f/a/b").tag), ("ok", "ok"))
        with open(self.at("f/a/file"), "w") as f:
            f.write("12345")
        os.chmod(self.at("f/a/file"), 0o640)
        os.utime(self.at("f/a/file"), (1, 1000000000))
        os.symlink("/", self.at("f/a/link"))
        self.assertEqual(s.ask("stat", blob=b"f/a/file").records, {"type": "file", "size": "5", "mode": "640", "mtime": "1000000000"})
        self.assertEqual([s.ask("stat", blob=x).records["type"] for x in (b"f/a", b"f/a/link")], ["dir", "link"])
        self.assertEqual(s.ask("mkdir", blob=b"f/a/file").tag, "notdir")
        self.assertEqual([s.ask("remove", blob=x).tag for x in (b"f/a", b"f/a", b"none")], ["ok"] * 3)
        self.assertEqual((s.ask("stat", blob=b"f/a").tag, os.path.isdir("/usr")), ("notfound", True))

    def test_usage_and_disk(self):
        s = self.s
        s.ask("mkdir", blob=b"u/v")
        with open(self.at("u/v/x"), "w") as f:
            f.write("x" * 100000)
        got = s.ask("usage", blob=b"u").records
        self.assertEqual((got["complete"], got["entries"], int(got["bytes"]) >= 100000), ("1", "3", True), got)
        self.assertEqual(s.ask("usage", blob=b"u/v/x").tag, "notdir")
        disk = s.ask("disk").records
        self.assertEqual((set(disk), 0 < int(disk["disk_free_kib"]) <= int(disk["disk_total_kib"])), ({"disk_free_kib", "disk_total_kib"}, True))

    def test_put_and_get(self):
        s, data = self.s, bytes(range(256)) * 1000
        s.ask("mkdir", blob=b"p")
        a = s.put("p/x", data, mode="755", part=data[:100000])
        self.assertEqual((a.tag, a.records, os.path.exists(self.at("p/x"))), ("ok", {"have": "100000", "complete": "0"}, False))
        self.assertEqual(s.put("p/x", data, mode="755", off=200000, part=b"").records["have"], "100000")
        a = s.put("p/x", data, mode="755", off=100000)
        self.assertEqual((a.records["complete"], read(self.at("p/x")) == data, os.stat(self.at("p/x")).st_mode & 0o777, os.listdir(self.at("p"))), ("1", True, 0o755, ["x"]))
        self.assertEqual(s.put("p/x", b"other", sum="0" * 64).tag, "changed")
        self.assertEqual(s.put("none/x", b"other").tag, "notfound")
        a = s.ask("get", 10, 150000, path="p/x")
        self.assertEqual((a.data == data[10:150010], a.records["bytes"], a.records["sum"], a.records["size"], a.records["mode"]), (True, "150000", sha(data[10:150010]), "256000", "755"))
        version = a.records["version"]
        self.assertEqual(s.ask("get", 255990, 100, path="p/x", version=version).data, data[255990:])
        self.assertEqual(s.put("p/x", b"other").records["complete"], "1")
        self.assertEqual([s.ask("get", 0, 9, **r).tag for r in ({"path": "p/x", "version": version}, {"path": "p"}, {"path": "p/none"}, {"path": "p/x", "what": "else"})],
                         ["changed", "isdir", "notfound", "badarg"])

    def test_list_and_glob(self):
        s = self.s
        s.puttree("l", ("a", "dir", 755), ("a/one.c", "file", 644, b"1"), ("a/b/two.c", "file", 644, b"22"), ("a/z", "link", 777, b"b"))
        a = s.ask("list", 2, path="l/a")
        self.assertEqual([(e["name"], e["type"], e["size"]) for e in read_list(a.data)], [(b"b", b"dir", a.data and read_list(a.data)[0]["size"]), (b"one.c", b"file", b"1")])
        self.assertEqual(a.records, {"entries": "2", "bytes": str(len(a.data)), "complete": "0"})
        a = s.ask("list", 4096, path="l/a", after="one.c")
        self.assertEqual(([e["name"] for e in read_list(a.data)], a.records["complete"]), ([b"z"], "1"))
        self.assertEqual([s.ask("list", 1, path=p).tag for p in ("l/a/z", "l/a/one.c", "l/none")], ["notdir", "notdir", "notfound"])
        for pattern, names in (("*.c", []), ("*/*.c", [b"a/one.c"]), ("**.c", [b"a/b/two.c", b"a/one.c"]), ("a/?", [b"a/b", b"a/z"])):
            a = s.ask("glob", 100, path="l", pattern=pattern)
            self.assertEqual(([e["name"] for e in read_list(a.data)], a.records["complete"]), (names, "1"), pattern)

    def test_rename_and_copy(self):
        s = self.s
        s.puttree("r", ("a", "file", 600, b"a"), ("b", "file", 644, b"b"), ("d/x", "file", 644, b"x"))
        self.assertEqual([s.ask("rename", **r).tag for r in ({"path": "r/a", "to": "r/b"}, {"path": "r/a", "to": "r/b", "replace": "1"}, {"path": "r/a", "to": "r/b"}, {"path": "r/none", "to": "r/none2"}, {"path": "r/d", "to": "r/e"})],
                         ["exists", "ok", "ok", "notfound", "ok"])
        self.assertEqual((read(self.at("r/b")), read(self.at("r/e/x"))), (b"a", b"x"))
        self.assertEqual([s.ask("copy", **r).tag for r in ({"path": "r/b", "to": "r/c"}, {"path": "r/b", "to": "r/e"}, {"path": "r/e", "to": "r/f"})], ["ok", "isdir", "isdir"])
        self.assertEqual((read(self.at("r/c")), os.stat(self.at("r/c")).st_mode & 0o777), (b"a", 0o600))

    def test_trees(self):
        s = self.s
        tree = [("a", "dir", "755", b""), ("a/b", "dir", "700", b""), ("a/b/f", "file", "755", bytes(range(256))), ("a/l", "link", "777", b"../../out"), ("c", "file", "600", b"")]
        a = s.puttree("t", *tree)
        self.assertEqual((a.tag, a.records), ("ok", {"entries": "5"}))
        a = s.ask("gettree", 1 << 20, path="t")
        self.assertEqual((read_entries(a.data), a.records), (tree, {"entries": "5", "bytes": str(len(a.data)), "complete": "1"}))
        a = s.ask("gettree", 1, path="t", after="a/b/f")
        self.assertEqual((read_entries(a.data), a.records["complete"]), (tree[3:4], "0"))

    def test_errors(self):
        """What is answered about ids that nobody knows, and about what makes no sense."""
        s = self.s
        for verb, *args in (("ack", 0, 5, 5), ("resume", "1-1", 0, 0, 5), ("kill", "1-1", 0, "cancel"), ("signal", "1-1", "TERM")):
            cmd = self.m.next()
            s.say(verb, cmd, *args)
            self.assertEqual(s.error(cmd), "notfound", verb)
        o = s.argv("sleep", "100", build=8, epoch="1-80")
        s.until(lambda m: o.states, "its state")
        for tag, verb, *args in (("badarg", "ack", 0, 5, 5), ("badarg", "ack", 1, 0, 5), ("badarg", "resume", "1-80", 1, 0, 5), ("fenced", "kill", "1-79", 0, "cancel"), ("fenced", "signal", "1-79", "TERM"), ("badarg", "signal", "1-80", "SEGV")):
            s.say(verb, o.cmd, *args)
            self.assertEqual(s.error(o.cmd), tag, (verb, *args))
        s.say("hello", 1, "a", "0", "0", 1, "0-0", "-", blob=b"")
        self.assertEqual(s.error("-"), "unknown", "a verb of its own")
        s.say("kill", o.cmd, "1-81", 60000, "whatever")
        self.assertEqual((s.collect(o).result, o.exit.epoch), (("signaled", 15, "cancel"), "1-81"))
        self.assertEqual([s.ask("remove", blob=b".").tag, s.ask("list", 0, path=".").tag, s.ask("list", 4097, path=".").tag, s.ask("stat").tag], ["badarg"] * 4)

    def test_outside(self):
        """Whatever the master asks for stays below the work folder."""
        s, out = self.s, self.d.path("outside")
        os.makedirs(out, exist_ok=True)
        with open(os.path.join(out, "f"), "w") as f:
            f.write("canary")
        s.ask("mkdir", blob=b"o/in")
        os.symlink(out, self.at("o/link"))
        os.symlink(os.path.join(out, "f"), self.at("o/flink"))
        os.symlink("/proc/self/root", self.at("o/root"))
        bad = ["../outside/f", "o/../../../outside/f", out + "/f", "/etc/passwd", "..", "o/link/f", "o/root" + out + "/f", "o/./../../x/..", "a\0b", "x" * 4096]
        for path in bad:
            raw = path.encode()
            got = [s.ask(verb, blob=raw).tag for verb in ("stat", "mkdir", "usage") if len(raw) <= 4096]
            if b"\0" not in raw:
                got += [s.ask("list", 1, path=path).tag, s.ask("get", 0, 100, path=path).tag, s.put(path, b"x").tag, s.ask("rename", path="o/in", to=path).tag, s.ask("rename", path=path, to="o/x").tag,
                        s.ask("copy", path=path, to="o/x").tag, s.ask("glob", 1, path=path, pattern="**").tag, s.puttree(path, ("f", "file", 644, b"x")).tag, s.ask("gettree", 1000, path=path).tag]
            tag = "outside" if path.startswith(("o/link", "o/root")) else "toolong" if len(path) == 4096 else "badarg"
            self.assertEqual(set(got), {tag}, path)
        for records in ([("cwd", "o/link")], [("mkdir", "o/link/x")], [("fresh", "o/root/tmp/x")]):
            o = s.collect(s.argv("true", records=records))
            self.assertEqual((o.exit.how, o.exit.reason), ("failed", "start"), records)
        for name in ("../f", "/f", "a/../../f", "link/f"):
            self.assertNotEqual(s.puttree("o", (name, "file", 644, b"x")).tag, "ok", name)
        self.assertNotEqual(s.ask("get", 0, 100, path="o/flink").tag, "ok")
        self.assertEqual([s.ask("remove", blob=b"o").tag, read(os.path.join(out, "f")), os.listdir(out)], ["ok", b"canary", ["f"]])

    def test_the_agent_itself(self):
        """Section 11. This host allows no other program, whatever is sent; to be started anew it does allow."""
        s, data = self.s, b"#!/bin/sh\ntouch " + self.at("touched").encode() + b"\n"
        sum_ = hashlib.sha256(data).hexdigest()
        for pairs, off, part in (((("size", len(data)), ("sum", sum_)), 0, data), ((("size", len(data)), ("sum", sum_), ("path", "../../x")), 0, data), ((("size", 1 << 62), ("sum", sum_)), 1 << 61, data * 1000), ((), 0, b"")):
            head = wire.records(*pairs)
            a = s.ask("upgrade", off, len(head), blob=head + part)
            self.assertEqual(a.tag, "denied")
        self.assertEqual([s.ask("restart", x).tag for x in (sum_, "x", "/bin/sh")], ["denied", "badarg", "badarg"])
        before = s.facts["started"]
        self.assertEqual(s.ask("restart", "-").tag, "ok")
        self.assertEqual(s.end(), "restart")
        t = type(self).s = self.m.accept()
        self.assertEqual((t.hello.instance, int(t.hello.conn)), (s.hello.instance, int(s.hello.conn) + 1))
        self.assertNotEqual(t.facts["started"], before)
        self.assertFalse(os.path.exists(self.at("touched")))

    def test_random_verbs(self):
        """Messages of every verb that mean nothing: the worker answers, takes little memory, and its command goes on."""
        go = self.at("go-random")
        o = self.s.argv("sh", "-c", f"echo begun; while [ ! -e {go} ]; do sleep 0.05; done; echo ended")
        self.s.until(lambda m: "running" in o.states or o.data, "its start")
        data = Chaos(random.Random(5), "master", never=("welcome", "member", "no", "busy", "bye", "stop")).messages(4000)
        self.assertEqual(pour(self.s.link, data), len(data))
        s = self.again()
        peak = [x for x in read(f"/proc/{self.d.agents['second'].pid}/status").decode().splitlines() if x.startswith("VmHWM:")][0].split()[1]
        self.assertLess(int(peak), WORKER_KIB)
        self.assertIn(o.cmd, s.have)
        with open(go, "w"):
            pass
        s.resume(o)
        self.assertEqual((s.collect(o).result, o.data), (("exited", 0, "-"), b"begun\nended\n"))


class Pipes:
    """A worker that the master has started: its standard input and output, as a socket's two directions."""

    def __init__(self, d, name, folder):
        with open(d.path("stdio.log"), "ab") as log:
            self.process = subprocess.Popen([f"{BUILD}/drover-worker", "--stdio", name, "--dir", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=d.env)
        d.agents[f"stdio-{self.process.pid}"] = self.process

    def fileno(self):
        return self.process.stdout.fileno()

    def recv(self, n):
        return os.read(self.fileno(), n)

    def sendall(self, data):
        while data:
            data = data[os.write(self.process.stdin.fileno(), data):]

    def settimeout(self, seconds):
        pass

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()


class StandardInputAndOutput(Case):
    """Section 12: a link of two pipes, as a host's sshd may make them."""

    def test_stdio(self):
        d = self.own({}, {})
        m = Master(d.root)
        m.secret = None  # who has started it knows it
        self.addCleanup(m.close)

        def start():
            p = Pipes(d, "second", d.path("folder"))
            return p, Session(m, p).greet(m.incarnation, 60000)
        p, s = start()
        self.assertEqual((s.hello.name, s.have), ("second", {}))
        go = d.path("go")
        o = s.argv("sh", "-c", f"echo one >> {d.path('once')}; seq 100000; until [ -e {go} ]; do sleep 0.02; done; echo end")
        s.until(lambda _: len(o.data) >= 588895, "the first output")
        p.process.stdin.close()  # the end: the agent goes, and nobody else has the pipe open
        self.assertEqual((s.end(), p.process.wait(DEADLINE_S)), (None, 0))
        wake = os.open(d.path("folder/wake"), os.O_RDWR | os.O_NONBLOCK)  # what was written stays while anybody has it open
        os.write(wake, b"over\n")
        p, s = start()
        os.close(wake)
        self.assertEqual(s.have[o.cmd].state, "running")
        self.assertEqual(s.ask("disk").tag, "ok", "what the one before was asked is not the next one's to do")
        p2, s2 = start()  # the first one is still there: it gives the folder up
        self.assertEqual((s.end(), p.process.wait(DEADLINE_S)), ("stop", 0))
        s2.resume(o)
        open(go, "w").close()
        s2.collect(o)
        self.assertEqual((o.result, o.data), (("exited", 0, "-"), b"".join(b"%d\n" % i for i in range(1, 100001)) + b"end\n"))
        self.assertEqual(read(d.path("once")), b"one\n")
        self.assertEqual(s2.ask("upgrade", 0, 0, blob=b"").tag, "denied")
        self.assertEqual(s2.ask("restart", "-").tag, "ok")
        self.assertEqual((s2.end(), p2.process.wait(DEADLINE_S)), ("restart", 0))
        self.assertNotIn(b"connected", read(d.path("stdio.log")), "it went on to write to standard error")
        p = Pipes(d, "second", d.path("folder"))
        s = Session(m, p)
        s.expect("hello")
        s.say("no", "name", 5000, blob=b"go away")
        self.assertEqual((s.end(), p.process.wait(DEADLINE_S)), (None, 0))


class HostileWorker(Case):
    """faults.md 2.2: whoever sends what is no protocol loses its own link, costs the master little memory, and another worker's build goes on."""
    WORKERS = {"here": {"slots": 1, "tags": ["honest"]}}
    PROJECTS = {"p": {}}
    TICK = "import os, sys, time\ni = 0\nwhile not os.path.exists(sys.argv[1]):\n  print(i, flush=True)\n  i += 1\n  time.sleep(0.02)"
    greeted = 0

    @classmethod
    def prepare(cls):
        make_repo(cls.d.path("repo"), {"a": "a"})
        one = {"checkout": "none", "worker": {"tags": ["liar"]}, "steps": [{"name": "s1", "run": "true"}]}
        tick = {**one, "worker": {"tags": ["honest"]}, "steps": [{"name": "s1", "run": ["python3", "-c", cls.TICK, cls.d.path("go")]}]}
        cls.d.configure(projects={"p": {"git": cls.d.path("repo"), "poll": "1h", "builders": {"one": one, "tick": tick}}})

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.d.workers["liar"] = {"slots": 1, "tags": ["liar"]}  # no program is started for it
        cls.rng = random.Random(os.environ.get("DROVER_CHAOS", "5"))
        cls.rid = cls.d.ask("p/tick")
        cls.build = cls.d.wait_build(cls.rid, lambda b: b["steps"], "its step")["id"]

    @classmethod
    def tearDownClass(cls):
        """The honest build has its whole log and one attempt, on the link that it began on."""
        try:
            with open(cls.d.path("go"), "w"):
                pass
            r = cls.d.wait_request(cls.rid)
            log = cls.d.log(cls.build, "s1")
            links = read(cls.d.path("worker-here.log")).count(b"connected as here")
            told = (r["result"], r["builds"], cls.d.get("/builds/" + cls.build)["attempt"], links, log == b"".join(b"%d\n" % i for i in range(log.count(b"\n"))))
            if told != (SUCCESS, [cls.build], 1, 1, True):
                cls.d.failed = True
                raise Failed(f"the honest build: {told}")
        finally:
            super().tearDownClass()

    def setUp(self):
        """The master's peak of memory is counted from here."""
        self.memory = self.status("VmRSS")
        with open(f"/proc/{self.d.master.pid}/clear_refs", "w") as f:
            f.write("5")

    def tearDown(self):
        self.assertIsNone(self.d.master.poll(), "the master ended")
        self.assertLess(self.status("VmHWM") - self.memory, MEMORY_KIB)
        now = self.written()
        wait_for(lambda: self.written() > now, "the honest build to go on")

    def written(self):
        """Bytes of the honest build's log in the database."""
        return sum(x["length"] for s in self.d.get("/builds/" + self.build)["steps"] for x in s["logs"])

    def status(self, key):
        """KiB of the master's memory."""
        return int([x for x in read(f"/proc/{self.d.master.pid}/status").decode().splitlines() if x.startswith(key + ":")][0].split()[1])

    def liar(self):
        HostileWorker.greeted += 1
        w = FakeWorker(self.d.path("w.sock"), read(self.d.token("liar")).decode(), conn=self.greeted)
        self.addCleanup(w.close)
        return w

    def stranger(self, address=None):
        """A connection that has said nothing."""
        if address:
            s = socket.create_connection(address, 30)
        else:
            s = wire.dial("unix:" + self.d.path("w.sock"), seconds=30)
        self.addCleanup(s.close)
        return s

    def wait_closed(self, sock):
        """The master closes it."""
        sock.setblocking(True)
        sock.settimeout(30 * busy())
        try:
            while sock.recv(1 << 20):
                pass
        except ConnectionError:
            pass

    def storm(self, n):
        honest = [c["id"] for s in self.d.get("/builds/" + self.build)["steps"] for c in s["commands"]]
        done = links = 0
        while done < n:
            w = self.liar().ready()
            links += 1
            chaos = Chaos(self.rng, "worker", honest + ["1-1"], never=("hello", "bye"))
            data = chaos.messages(min(n - done, 20000))
            done += 20000
            self.assertEqual(pour(w.link, data), len(data))
            w.raw(self.rng.choice((b"out 1\n", b"Out\n", b"have 1-1  1-1\n", b"state 1-1 +5\nabc\n", b"exit " + b"1 " * 20 + b"\n", b"ping 1 +3\nabc\n", b"\0\n")))
            self.wait_closed(w.link.sock)
        return links

    def test_random_verbs(self):
        """10^5 of them, about the honest build's own command as well, from a worker that has said who it is; then one that is malformed."""
        begin, log = time.monotonic(), read(self.d.path("master.log")).count(b"liar says")
        links = self.storm(100000)
        told = read(self.d.path("master.log")).count(b"liar says") - log
        self.assertLess(told, 15 * (time.monotonic() - begin + links + 1), "lines of the master's log: who may fill it?")

    @slow
    def test_many_random_verbs(self):
        self.storm(3000000)

    def test_bomb(self):
        """64 KiB that inflate to 64 MiB, about a command of its own."""
        w = self.liar().ready()
        rid = self.d.ask("p/one")
        cmd, _, _ = w.command()
        z = wire.zlib.compressobj(9, wire.zlib.DEFLATED, -wire.zlib.MAX_WBITS)
        w.out(cmd, b"\0" * wire.CHUNK_MAX, body=z.compress(b"\0" * (64 << 20)) + z.flush(wire.zlib.Z_FULL_FLUSH))
        self.wait_closed(w.link.sock)
        self.d.post(f"/requests/{rid}/cancel", {}, 200)

    def test_no_credit(self):
        """192 MiB of good chunks one after the other, whatever the master allows."""
        w = self.liar().ready()
        rid = self.d.ask("p/one")
        cmd, _, _ = w.command()
        m = wire.out(cmd, 0, 0, self.rng.randbytes(wire.CHUNK_MAX), [(0, wire.CHUNK_MAX, 0)])
        for i in range(3072):
            m.args[2] = str(i * wire.CHUNK_MAX)
            if not pour(w.link, m.encode()):
                break
        self.d.post(f"/requests/{rid}/cancel", {}, 200)

    def test_endless(self):
        """A line of 1 GiB, blobs that are announced as such, and one unknown verb with 16 MiB after the other, from who has a name and who has none."""
        giant = b"a" * (16 << 20)
        for sock in (self.liar().ready().link.sock, self.stranger()):
            link = wire.Link(sock, "master")
            self.assertLess(pour(link, giant), len(giant), "16 MiB of a line were taken")
            self.wait_closed(sock)
        for head in (b"out 1-1 0 0 1 0 00000000 0 00000000 +1073741824\n", b"nonsense +1073741824\n"):
            w = self.liar().ready()
            w.raw(head)
            self.wait_closed(w.link.sock)
        w = self.liar().ready()
        junk = b"nonsense +%d\n" % len(giant) + giant + b"\n"
        for _ in range(8):
            self.assertEqual(pour(w.link, junk), len(junk))
        w.send("ping", 7)
        self.assertEqual(w.next("pong")[1], ["7"])

    def test_deaf(self):
        """Answers that are never read don't pile up."""
        w = self.liar().ready()
        junk = b"x\n" * (4 << 20)
        pour(w.link, junk, deaf=True)
        self.wait_closed(w.link.sock)

    def comes_in(self):
        """A worker is greeted, or told to come again: there are so many at once."""
        w = self.liar()
        return w.next("welcome", "busy")[0] == "welcome"

    def slowloris(self, n):
        """Of n strangers, over TLS and not, each says a byte from time to time; none says hello. A worker with a name comes in beside them, and they are sent away."""
        socks = [self.stranger(("127.0.0.1", self.d.port) if i % 2 else None) for i in range(n)]
        wait_for(self.comes_in, "a worker that comes in beside them", every=1)
        left, end = set(socks), time.monotonic() + 60 * busy()
        while left:
            self.assertLess(time.monotonic(), end, f"{len(left)} strangers are still there")
            for s in list(left):
                try:
                    s.setblocking(False)
                    s.send(b"h")
                    if s.recv(100) == b"":
                        left.discard(s)
                except BlockingIOError:
                    pass
                except ConnectionError:
                    left.discard(s)
            time.sleep(0.5)

    def test_slowloris(self):
        self.slowloris(300)

    @slow
    def test_many_slowloris(self):
        self.slowloris(1000)


if __name__ == "__main__":
    unittest.main(verbosity=2)
