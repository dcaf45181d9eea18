"""Files that a command writes and the worker follows: streams of their own. The worker against a master of our own (tests/lib/fakemaster.py)."""
import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from drover import busy  # noqa: E402
from fakemaster import DEADLINE, Bench, Gone, Log, parse_records, records, wait_for  # noqa: E402

WINDOW = 1 << 20
SPOOL_MORE = 300000  # what is read at once, and what it is in
NOT_READ = b"\ndrover: the rest of the file is not read\n"
WAIT = "while [ ! -e go ]; do sleep 0.02; done"


class Followed(unittest.TestCase):
    def connect(self, **args):
        self.b = Bench(**args)
        self.addCleanup(self.b.__exit__)
        self.s = self.b.connect()
        return self.s

    def at(self, *names):
        return os.path.join(self.b.worker.work, *names)

    def write(self, name, data, how="ab"):
        with open(self.at(name), how) as f:
            f.write(data)

    def begin(self, script, *places, cmd="1-1", more=(), window=WINDOW):
        """A command that follows these places; its logs by stream."""
        logs = [Log() for _ in range(len(places) + 1)]
        self.limit, self.cmd, self.window, self.began = [window] * len(logs), cmd, window, time.monotonic()
        self.s.run(cmd, ["sh", "-c", script], *[("log", f"n{i}={p}") for i, p in enumerate(places)], *more, limit=window)
        return logs

    def take(self, logs, until, timeout=DEADLINE):
        """Messages until that is true, or the exit has come where until is None."""
        while not until() if until else logs[0].exit is None:
            m = self.s.recv(timeout)
            if m.verb == "out":
                k = int(m["stream"])
                self.assertLessEqual(m["off"] + m["raw"], self.limit[k])
                logs[k].add(m)
                if logs[k].length + self.window // 2 > self.limit[k]:
                    self.limit[k] = logs[k].length + self.window
                    self.s.send("ack", self.cmd, k, logs[k].length, self.limit[k])
            elif m.verb == "exit":
                logs[0].end(m)
                self.told = {int(k): v.split() for k, v in ((x.decode() if isinstance(x, bytes) else x).split(" ", 1) for n, x in parse_records(m.blob) if n == "log")} if m["how"] != "failed" else {}
                for k, (length, crc, lines, left, _) in self.told.items():
                    self.assertEqual((int(length), int(crc, 16), int(lines)), (logs[k].length, logs[k].crc, logs[k].lines), f"stream {k}")
                    logs[k].left = int(left)
                self.assertEqual(sorted(self.told), list(range(1, len(logs))) if m["how"] != "failed" else [])
        return logs

    def resume(self, logs):
        for k in reversed(range(len(logs))):
            self.limit[k] = logs[k].length + self.window
            self.s.send("resume", self.cmd, "1-1", k, logs[k].length, self.limit[k])

    def test_late_grown_cut_rotated(self):
        """Each thing that may happen to a file, one after the other, and nothing of it is missing or twice."""
        self.connect()
        logs = self.begin("echo up; " + WAIT + "; printf last >>sub/a.log; echo done", "sub/a.log", "never")
        log = logs[1]
        self.s.send("follow", "1-1", 1)
        self.take(logs, lambda: logs[0].text == b"up\n")
        os.makedirs(self.at("sub"))
        self.write("sub/a.log", b"one\n")  # late
        self.take(logs, lambda: log.text == b"one\n")
        self.write("sub/a.log", b"two\n")
        self.take(logs, lambda: log.text == b"one\ntwo\n")
        self.write("sub/a.log", b"3\n", "wb")  # cut, and shorter
        self.take(logs, lambda: log.text == b"one\ntwo\n3\n")
        self.write("sub/a.log", b"x" * 100 + b"\n", "wb")  # written anew, and longer
        self.take(logs, lambda: log.text.endswith(b"3\n" + b"x" * 100 + b"\n"))
        before = log.length
        with open(self.at("sub/a.log"), "ab") as f:  # rotated: the rest of the old one first
            os.rename(self.at("sub/a.log"), self.at("sub/a.1"))
            f.write(b"the old one's rest\n")
            f.flush()
            self.write("sub/new", b"new one\n")
            os.rename(self.at("sub/new"), self.at("sub/a.log"))
        self.take(logs, lambda: log.text[before:] == b"the old one's rest\nnew one\n")
        os.unlink(self.at("sub/a.log"))
        self.write("sub/a.log", b"again\n")
        self.take(logs, lambda: log.text.endswith(b"new one\nagain\n"))
        self.write("go", b"")
        self.take(logs, None)
        self.assertEqual((log.text[before:], logs[0].text, logs[2].text), (b"the old one's rest\nnew one\nagain\nlast", b"up\ndone\n", b""))
        self.s.send("inventory")
        self.assertEqual([(m["stream"], m["hi"]) for m in self.s.take_inventory()], [(0, 8), (1, log.length), (2, 0)])

    def test_what_stood_there_before(self):
        """What an earlier command left is not this one's; what is added to it is, and all of it when it is written anew."""
        self.connect()
        os.makedirs(self.at(), exist_ok=True)
        for name in ("added", "anew", "left"):
            self.write(name, b"old %s\n" % name.encode() * 20)
        logs = self.begin("echo more >>added; yes new | head -n 5000 >anew", "added", "anew", "left")
        self.take(logs, None)
        self.assertEqual([log.text for log in logs], [b"", b"more\n", b"new\n" * 5000, b""])

    def test_read_to_the_end(self):
        """Written in the last moment, by a process that ends with the command, more than fits into what is looked at in between."""
        self.connect()
        logs = self.begin("head -c 9000000 /dev/zero | tr '\\0' 'y' >big; echo end >>big", "big")
        self.take(logs, None)
        self.assertEqual((logs[1].length, logs[1].text[-6:], logs[1].text.count(b"y")), (9000004, b"yyend\n", 9000000))

    def spooled(self):
        """Bytes of stream 1 in the spool."""
        try:
            return sum(os.path.getsize(self.b.worker.spool("1-1", n)) for n in os.listdir(self.b.worker.spool("1-1")) if n.startswith("log-1."))
        except FileNotFoundError:
            return 0

    def held(self, size, full, *more):
        """A command that has ended with so many bytes of its file to be read, which wait for a master that acks nothing."""
        self.connect(env={"DROVER_TEST_SPOOL_FULL": str(full)})
        logs = self.begin(f"head -c {size} /dev/urandom >big; touch ended", "big", more=more, window=0)
        wait_for(lambda: os.path.exists(self.at("ended")) and self.spooled() > full)
        last = [0, 0]

        def settled():
            now, size = time.monotonic(), self.spooled()
            if size != last[1]:
                last[:] = now, size
            return now - last[0] > 0.5
        wait_for(settled)
        self.assertTrue(full < self.spooled() < full + SPOOL_MORE, self.spooled())
        self.s.send("inventory")
        inventory = self.take_inventory()
        self.assertEqual([m["state"] for m in inventory], ["running"] * 2)
        with open(self.at("big"), "rb") as f:
            return logs, f.read()

    def take_inventory(self):
        """What was accepted before is passed over."""
        while "state" not in self.s.seen:
            self.s.expect("state")
        return self.s.take_inventory()

    def test_the_rest_waits_for_the_master(self):
        """A file of any size takes no more of the spool at the end than before: what the master does not take is left in the file, no time is over for it, and the command has not ended."""
        total = int(6000 * busy())  # several times what it takes to fill the spool
        logs, big = self.held(26000000, 14 << 20, ("total", total))
        with self.assertRaises(TimeoutError):  # longer than its time, which stands still
            self.s.recv(max(0.01, total / 1000 + 0.5 - (time.monotonic() - self.began)))
        self.window = WINDOW
        for k in range(2):
            self.limit[k] = WINDOW
            self.s.send("ack", "1-1", k, 0, WINDOW)
        self.take(logs, None)
        self.assertTrue(logs[1].text == big)
        self.assertEqual((logs[0].exit["how"], logs[0].exit["code"], logs[0].exit["reason"]), ("exited", 0, "-"))
        self.assertLess(logs[0].exit["wall_ms"], total)

    def cut_off(self, logs, big):
        """It ended well, and its log says that not all of the file is in it."""
        self.resume(logs)
        self.take(logs, None)
        self.assertEqual((logs[0].exit["how"], logs[0].exit["code"], logs[0].exit["reason"]), ("exited", 0, "-"))
        self.assertTrue(logs[1].text.endswith(NOT_READ))
        self.assertTrue(big.startswith(logs[1].text[:-len(NOT_READ)]) and 1 << 20 < logs[1].length < 1300000)

    def test_cancelled_while_the_rest_waits(self):
        logs, big = self.held(3000000, 1 << 20)
        self.window = 4 << 20
        self.s.send("kill", "1-1", "1-1", 0, "cancel")
        wait_for(lambda: self.b.worker.has_result("1-1"))
        self.cut_off(logs, big)

    def test_alone_while_the_rest_waits(self):
        """Nobody will ever take it: the worker is asked for nothing any more."""
        logs, big = self.held(3000000, 1 << 20, ("alone", 5000))
        self.window = 4 << 20
        self.b.worker.kill()
        self.s.close()
        wait_for(lambda: self.b.worker.has_result("1-1"))
        self.s = self.b.connect()
        self.assertEqual([m["state"] for m in self.s.have], ["done"] * 2)
        self.cut_off(logs, big)

    def test_forgotten_while_the_rest_waits(self):
        self.held(3000000, 1 << 20)
        self.s.send("forget", "1-1")
        wait_for(lambda: not os.path.exists(self.b.worker.spool("1-1")))

    def test_stopped_by_the_host_while_the_rest_waits(self):
        logs, big = self.held(3000000, 1 << 20)
        self.window = 4 << 20
        os.kill(self.b.worker.minder("1-1"), signal.SIGTERM)
        self.cut_off(logs, big)

    def test_confined(self):
        """Links out of the work folder, fifos, folders, devices: as if they were not there; a link within is followed."""
        self.connect()
        os.makedirs(self.at("dir"), exist_ok=True)
        with open(os.path.join(self.b.folder, "outside"), "w") as f:
            f.write("secret of the host\n")
        os.symlink("../../outside", self.at("out"))
        os.symlink(self.b.folder, self.at("far"))
        os.mkfifo(self.at("fifo"))
        os.symlink("real", self.at("link"))
        logs = self.begin("echo within >real; ln -s /etc/passwd late; sleep 0.3", "out", "far/outside", "fifo", "dir", "link", "late")
        self.take(logs, None)
        self.assertEqual([log.text for log in logs], [b"", b"", b"", b"", b"", b"within\n", b""])
        for place in ("../x", "/etc/passwd", "", ".", "a/../../b"):
            self.s.run("1-9", ["true"], ("log", f"n={place}"))
            self.assertEqual(self.s.expect("error")["tag"], "badarg")
        for bad in ("nolog", "=x", "a b=x"):
            self.s.run("1-9", ["true"], ("log", bad))
            self.assertEqual(self.s.expect("error")["tag"], "badarg")
        self.s.run("1-9", ["true"], *[("log", f"n{i}=x") for i in range(9)])
        self.assertEqual(self.s.expect("error")["tag"], "badarg")

    def test_masks_and_limits(self):
        """As of what the process writes: each by itself."""
        self.connect()
        self.s.send("secrets", "1-1", blob=records(("value", b"s=sesame-open")))
        logs = self.begin('echo "one $S" >one; seq 100000 >two; echo "it is $S"', "one", "two", more=[("secret", "S=s"), ("limit_bytes", 8192)])
        self.take(logs, None)
        self.assertEqual((logs[0].text, logs[1].text, logs[1].left), (b"it is ***\n", b"one ***\n", 0))
        self.assertTrue(logs[2].text.startswith(b"1\n2\n") and logs[2].text.endswith(b"99999\n100000\n") and 7000 < logs[2].length <= 8192)
        self.assertIn(b"(left out here: %d bytes" % logs[2].left, logs[2].text)
        self.assertEqual(dict(parse_records(logs[0].exit.blob)).get("left_bytes"), None)

    def test_agent_killed(self):
        """While three streams flow: each goes on from a border of its own, and the exit comes behind all of them."""
        self.connect(env={"DROVER_TEST_RETRY_MAX_MS": "0"})
        script = ("import os\nf = [open(n, 'wb', buffering=0) for n in 'ab']\n"
                  "for i in range(300):\n os.write(1, b'out %06d\\n' % i * 20)\n f[0].write(b'a %06d\\n' % i * 50)\n f[1].write(b'b %06d\\n' % i * 700)\n")
        logs = self.begin(f"python3 -c \"$P\"; {WAIT}", "a", "b", more=[("env", "P=" + script)], window=140000)
        kills, end = 0, time.monotonic() + 3 * DEADLINE
        while logs[0].exit is None:
            self.assertLess(time.monotonic(), end, [log.length for log in logs])
            seen = sum(log.length for log in logs)
            try:
                self.take(logs, lambda: sum(log.length for log in logs) > seen + 30000 or logs[0].exit is not None, 0.5)
            except (TimeoutError, Gone):
                pass
            if kills == 20 and not os.path.exists(self.at("go")):
                self.write("go", b"")
            if logs[0].exit is None and kills < 30:
                kills += 1
                self.b.worker.kill()
                self.s.close()
                self.s = self.b.connect()
                for log in logs:
                    if kills % 3 == 1 and len(log.borders) > 2:
                        log.cut_to(log.borders[-2])
                self.resume(logs)
        self.assertGreaterEqual(kills, 20)
        self.assertEqual([log.text == b"".join(p % i * n for i in range(300)) for log, p, n in zip(logs, (b"out %06d\n", b"a %06d\n", b"b %06d\n"), (20, 50, 700))], [True] * 3)

    def test_minder_killed(self):
        """The command is lost; what had come of a file stays, as far as it was spooled."""
        self.connect()
        logs = self.begin("echo x >f; echo out; sleep 1000", "f")
        self.take(logs, lambda: logs[1].text == b"x\n" and logs[0].text == b"out\n")
        os.kill(self.b.worker.minder("1-1"), signal.SIGKILL)
        self.take(logs, None)
        self.assertEqual((logs[0].exit["how"], self.told[1][0]), ("lost", "2"))
        self.s.send("ack", "1-1", 2, 0, 1)
        self.assertEqual(self.s.expect("error")["tag"], "badarg")
        self.s.send("forget", "1-1")
        wait_for(lambda: not os.path.exists(self.b.worker.spool("1-1")))


if __name__ == "__main__":
    unittest.main()
