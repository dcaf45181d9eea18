#!/usr/bin/env python3
"""A worker that lies (faults.md 2.2): whatever it sends, the master stays up, believes nothing it should not, and the build ends."""
import os
import sys
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import wire  # noqa: E402
from drover import Case, make_repo, read, wait_for  # noqa: E402
from fakeworker import FakeWorker, Gone  # noqa: E402

SUCCESS, FAILURE, EXCEPTION, RETRY = 0, 2, 4, 5
BAD = b"caf\xe9 \xed\xa0\x80 \xc0\xaf \xf4\x90\x80\x80 \x00 \x1b]0;x\x07 \xff"
STEP = {"name": "s1", "run": ["true"]}
ONE = {"checkout": "none", "steps": [STEP]}


class Liar(Case):
    PROJECTS = {"p": {"poll": "1h", "builders": {"one": {**ONE, "worker": {"tags": ["liar"]}}, "little": {**ONE, "output": "64K", "worker": {"tags": ["liar"]}},
                                                 "files": {"checkout": "none", "steps": [{**STEP, "logs": {"f": "f"}}], "worker": {"tags": ["liar"]}}, "honest": {**ONE, "worker": {"tags": ["honest"]}}}}}
    WORKERS = {"here": {"slots": 2, "tags": ["honest"]}}
    SITE = {"window": "20s"}  # within which a liar that was sent away may come again
    connections = 0

    @classmethod
    def prepare(cls):
        make_repo(cls.d.path("repo"), {"README": "x"})
        cls.d.configure(projects={"p": {**cls.PROJECTS["p"], "git": cls.d.path("repo")}})

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.d.workers["liar"] = {"slots": 1, "tags": ["liar"]}  # no program is started for it

    def setUp(self):
        self.master = self.d.master.pid

    def tearDown(self):
        """The same master still serves an honest worker."""
        self.assertIsNone(self.d.master.poll(), "the master ended")
        self.assertEqual(self.d.master.pid, self.master)
        self.assertEqual(self.d.run("honest")["result"], SUCCESS)

    def liar(self, **more):
        Liar.connections += 1
        w = FakeWorker(self.d.path("w.sock"), read(self.d.token("liar")).decode(), conn=Liar.connections, **more)
        self.addCleanup(w.close)
        return w

    def begin(self, builder="one", **more):
        """A ready liar with a command: (worker, request, command, epoch)."""
        w = self.liar(**more).ready()
        rid = self.d.ask(builder)
        cmd, epoch, _ = w.command()
        return w, rid, cmd, epoch

    def end(self, rid):
        """The request is over; a build that the liar left open ends when it comes again without it, or not at all."""
        if self.d.request(rid)["state"] != "done":
            self.d.post(f"/requests/{rid}/cancel", {}, 200)
        return wait_for(lambda: (r := self.d.request(rid)) and r["state"] == "done" and r, "its end")

    def test_facts_are_not_utf8(self):
        w = self.liar(facts=[("host", BAD.replace(b"\0", b"")), ("unheard_of", b"\xff\xfe"), ("features", "all")]).ready()
        self.d.wait_worker("liar")
        facts = self.d.get("/workers/liar")["facts"]
        self.assertIn("caf\ufffd", facts["host"])
        self.assertEqual(facts["unheard_of"], "\ufffd\ufffd")
        self.assertNotIn("secret", facts)
        self.assertEqual(facts["features"], "-")  # what it greeted with, not what it calls so
        w.close()

    def test_sentence_of_an_exit_is_not_utf8(self):
        w, rid, cmd, epoch = self.begin()
        w.exit(cmd, epoch, "failed", 2, detail=BAD)
        w.next("forget")
        r = self.d.wait_request(rid)
        self.assertIn(r["result"], (FAILURE, EXCEPTION))
        step = self.d.get("/builds/" + r["builds"][0])["steps"][0]
        self.assertIn("caf\ufffd", step["summary"] or "", step)

    def test_refusal_is_not_utf8(self):
        w, rid, cmd, epoch = self.begin()
        w.send("error", "badarg", cmd, blob=BAD)
        self.assertIn(self.d.wait_request(rid)["result"], (FAILURE, EXCEPTION))

    def test_refused_by_the_database(self):
        """Should it ever refuse what follows from an answer: the build ends and says so, and its slot is free."""
        self.d.sql("alter table step add constraint odd check (summary is null or summary not like '%bang%')")
        self.addCleanup(self.d.sql, "alter table step drop constraint odd")
        w, rid, cmd, epoch = self.begin()
        w.exit(cmd, epoch, "failed", 2, detail=b"bang")
        self.assertEqual(w.next("forget")[1], [cmd])
        r = self.d.wait_request(rid)
        self.assertEqual(r["result"], EXCEPTION)
        b = self.d.get("/builds/" + r["builds"][0])
        self.assertIn("the database refused what follows: step_end: 23514", b["why"])
        self.assertEqual(b["steps"][0]["result"], EXCEPTION)
        rid = self.d.ask("one")
        cmd, epoch, _ = w.command()
        w.exit(cmd, epoch)
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)

    def test_answers_nobody_asked_for(self):
        w, rid, cmd, epoch = self.begin()
        for i in range(200):
            w.send("done", i, "ok", blob=b"type=dir\0")
            w.send("exit", f"1-{10**9 + i}", epoch, "exited", 0, "-", 0, "00000000", 0, 1, 1, 1, 1)
            w.send("state", f"7-{i}", epoch, "done")
            w.send("have", f"1-{i + 1}", "1-1", "done", 0, 0, 0)
        w.exit(cmd, epoch)
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)

    def test_command_of_another_worker(self):
        """It ends, and writes to the log of, what was given to somebody else: nothing of that counts."""
        self.d.configure(projects={**self.d.conf["projects"], "q": {"git": self.d.path("repo"), "poll": "1h", "builders": {
            "slow": {"checkout": "none", "worker": {"tags": ["honest"]}, "steps": [{"name": "s1", "run": f"echo honest; while ! test -e {self.d.path('go')}; do sleep 0.05; done"}]}}}})
        self.d.post("/config/activate", {})
        rid = self.d.ask("q/slow")
        b = self.d.wait_build(rid, lambda b: b["steps"] and b["steps"][0]["commands"], "its step's command")
        cmd = self.d.sql("select inc || '-' || id from command where build = (select max(id) from build)")[0][0]
        epoch = self.d.sql("select epoch_inc || '-' || epoch from build order by id desc limit 1")[0][0]
        w = self.liar().ready()
        w.out(cmd, b"forged\n")
        w.exit(cmd, epoch, length=7, crc=f"{zlib.crc32(b'forged' + bytes([10])):08x}", lines=1)
        w.send("ping", 1)
        w.next("pong")
        self.assertEqual(self.d.request(rid)["state"], "claimed")
        open(self.d.path("go"), "w").close()
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)
        self.assertEqual(self.d.log(b["id"], "s1"), b"honest\n")

    def test_chunks_that_are_not_what_they_say(self):
        """Each lie about a chunk closes the link or is dropped; the log never holds a byte of it."""
        data = b"line\n" * 100
        lies = [{"crc": "00000000"}, {"bcrc": "00000000"}, {"raw": 65536}, {"raw": 0}, {"raw": (1 << 32) + 500}, {"lines": (1 << 32) + 100}, {"lines": 7}, {"spans": b"\0\x05\0"}, {"spans": b"\xff" * 40}, {"body": b"\xff" * 30},
                {"off": 1 << 40}, {"off": 3}, {"off": 2**63 - 1}, {"off": 2**64 - 65536}]
        for lie in lies:
            with self.subTest(lie=lie):
                w, rid, cmd, epoch = self.begin()
                try:
                    w.out(cmd, data, **{"off": 0, **lie})
                    w.exit(cmd, epoch, length=len(data), crc=f"{zlib.crc32(data):08x}", lines=100)
                    verb, _, _ = w.next("ack", "forget", "resume", "bye")
                    self.assertIn(verb, ("resume", "bye", "forget"))
                except Gone:
                    pass
                w.close()
                self.end(rid)
                b = self.d.get("/builds/" + self.d.request(rid)["builds"][0])
                self.assertNotEqual(b["result"], SUCCESS)
                self.assertEqual(self.d.sql("select coalesce(max(length), 0) from log where build = (select max(id) from build)"), [["0"]])

    def test_burst_and_then_nothing(self):
        """No lie: a command that writes much at once, and then nothing for long. All of it is in the log then, whatever the database took first."""
        w, rid, cmd, epoch = self.begin()
        data, n = b"line\n" * 100, 20
        w.raw(b"".join(wire.out(cmd, 0, i * len(data), data, [(0, len(data), 0)]).encode() for i in range(n)))
        wait_for(lambda: self.d.sql("select length from log where build = (select max(id) from build)") == [[str(n * len(data))]], "all of it in the log")
        w.exit(cmd, epoch, length=n * len(data), crc=f"{zlib.crc32(data * n):08x}", lines=100 * n)
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)

    def test_bomb(self):
        """64 KiB that say they are 64 KiB and inflate to 64 MiB."""
        w, rid, cmd, epoch = self.begin()
        z = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = z.compress(b"\0" * (64 << 20)) + z.flush(zlib.Z_FULL_FLUSH)
        try:
            w.out(cmd, b"\0" * 65536, body=body)
            self.assertEqual(w.next("bye", "resume", "ack")[0], "bye")
        except Gone:
            pass
        w.close()
        self.end(rid)

    def test_more_than_the_limit(self):
        """It knows limits, is told one, and sends more: that is as bad as a chunk that is none. One that knows none is told none, and may."""
        data = b"0123456789abcde\n" * 2500
        w, rid, cmd, epoch = self.begin("little", features="disk,limits")
        w.out(cmd, data)
        w.next("ack")
        for again in (False, True):  # by the run that began it, and by one that was made from the rows
            if again:
                w = self.liar(features="limits")
                w.next("welcome")
                w.send("have", cmd, epoch, "running", 0, 0, 2 * len(data))
                w.send("listed", 1)
                epoch = w.next("resume")[1][1]
                w.next("ack")  # of what is committed
            w.out(cmd, data, off=len(data))
            with self.assertRaises(Gone):
                self.assertEqual(w.next("bye", "ack", "resume")[0], "bye")
                w.next()
            w.close()
        self.end(rid)
        length = "select length, limit_bytes from log where build = (select max(id) from build)"
        self.assertEqual(self.d.sql(length), [[str(len(data)), "65536"]])
        w, rid, cmd, epoch = self.begin("little")
        w.out(cmd, data)
        w.next("ack")
        w.out(cmd, data, off=len(data))
        w.next("ack")
        w.exit(cmd, epoch, length=2 * len(data), crc=f"{zlib.crc32(data + data):08x}", lines=5000)
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)
        self.assertEqual(self.d.sql(length), [[str(2 * len(data)), "0"]])
        w.close()

    def test_files(self):
        """Of a file that it followed it tells another sum than what it sent: lost. A stream that was not asked for is dropped."""
        data = b"0123456789abcde\n" * 10
        for crc, good in ((f"{zlib.crc32(data):08x}", True), ("00000000", False)):
            with self.subTest(crc=crc):
                w, rid, cmd, epoch = self.begin("files", features="logs")
                w.out(cmd, data, stream=1)
                w.next("ack")
                w.out(cmd, data, stream=7)
                w.exit(cmd, epoch, detail=b"log=7 160 00000000 10 0 0\0log=1 160 %s 10 0 0\0" % crc.encode())
                w.next("forget")
                if good:
                    self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)
                w.close()
                self.end(rid)
                b = self.d.get("/builds/" + self.d.request(rid)["builds"][0])
                self.assertEqual((b["result"] == SUCCESS, [(log["name"], log["length"]) for log in b["steps"][0]["logs"]]), (good, [("run", 0), ("f", 160)]))

    def test_what_is_left_out(self):
        """Records of an exit that are none, or have no numbers: nothing is known of what was left out, and the build ends as it would."""
        for detail, left in ((b"left_bytes=12\0left_lines=3\0what=else\0", (12, 3)), (b"left_bytes=many\0left_lines=3\0", (0, 0)), (b"left_bytes=-1\0", (0, 0)), (b"left_bytes=99999999999999999999\0", (0, 0)),
                             (b"left_bytes=7", (0, 0)), (BAD, (0, 0)), (b"left_bytes=1099511627776\0left_lines=x\0", (1 << 40, 0)), (b"left_bytes=9223372036854775807\0", None)):
            with self.subTest(detail=detail):
                w, rid, cmd, epoch = self.begin("little", features="limits")
                w.exit(cmd, epoch, detail=detail)
                r = self.d.wait_request(rid)
                self.assertEqual(r["result"], SUCCESS)
                step = self.d.get("/builds/" + r["builds"][0])["steps"][0]
                log = step["logs"][0]
                self.assertEqual((left and (log["left_bytes"], log["left_lines"]), step["commands"][0]["detail"]), (left, None))
                w.close()

    def test_note_of_an_end(self):
        """What the worker says about the end of a command that ran is with the step, as a sentence for people."""
        for detail, summary in ((b"note=out of memory: no more\0", "exit 3: out of memory: no more"), (b"left_bytes=12\0note=caf\xe9\0", "exit 3: caf\ufffd"), (b"note=", "exit 3"), (b"note=" + b"x" * 3000 + b"\0", "exit 3: " + "x" * 300)):
            with self.subTest(detail=detail[:20]):
                w, rid, cmd, epoch = self.begin()
                w.exit(cmd, epoch, code=3, detail=detail)
                r = self.d.wait_request(rid)
                self.assertEqual(r["result"], FAILURE)
                self.assertEqual(self.d.get("/builds/" + r["builds"][0])["steps"][0]["summary"], summary)
                w.close()

    def test_out_of_order(self):
        """Verbs where they don't belong, and a second greeting."""
        for verb, tokens in (("listed", [0]), ("listed", [5]), ("hello", [1, "liar", "a" * 32, "b" * 32, 9, "0-0", "-"]), ("welcome", [1, "x", "y", 1, 1, 1, "-"])):
            with self.subTest(verb=verb):
                w = self.liar()
                w.next("welcome")
                w.send("listed", 0)
                w.send(verb, *tokens)
                try:
                    w.send("ping", 3)
                    w.next("pong", "error", "bye")
                except Gone:
                    pass
                w.close()

    def test_storm(self):
        """A hundred thousand small lies: bounded in memory, and the API answers meanwhile."""
        w = self.liar().ready()
        before = self.rss()
        junk = b"".join(b"have 1-%d 1-1 done 0 0 5\ndone %d ok +3\nabc\n" % (i, i) for i in range(1000))
        try:
            for _ in range(100):
                w.raw(junk)
                self.d.get("/status")
        except Gone:
            pass
        self.assertLess(self.rss() - before, 32 << 10)

    def rss(self):
        """KiB"""
        return int([line for line in read(f"/proc/{self.d.master.pid}/status").decode().splitlines() if line.startswith("VmRSS")][0].split()[1])


if __name__ == "__main__":
    unittest.main(verbosity=2)
