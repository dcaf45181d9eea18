"""Output that is over its limits: its head, a line that says so, its tail. The worker against a master of our own (tests/lib/fakemaster.py)."""
import os
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from fakemaster import Bench, Gone, Log, parse_records, records, wait_for  # noqa: E402

MARKER = re.compile(rb"drover: the output is over its limit of (\d+) (bytes|lines): from here on only its end is kept, which follows when the command has ended(?: \(left out here: (\d+) bytes, (\d+) lines\)\n)?")
SPOOL_MORE = 11 << 20  # a segment, and the part of it that is not wanted any more


class Limits(unittest.TestCase):
    def connect(self, **args):
        self.b = Bench(**args)
        self.addCleanup(self.b.__exit__)
        return self.b.connect()

    def whole(self, log, full, limit_bytes=None, limit_lines=None):
        """The log is head, marker and tail of what the command wrote, and the exit says the same."""
        m = MARKER.search(log.text)
        self.assertIsNotNone(m, log.text[:200])
        head, tail = log.text[:m.start()], log.text[m.end():]
        left = int(m.group(3)), int(m.group(4))
        if len(head) + left[0] + len(tail) == len(full) + 1:  # the marker ended the line
            self.assertTrue(head.endswith(b"\n") and not head[:-1].endswith(b"\n"))
            head = head[:-1]
        self.assertTrue(full.startswith(head) and full.endswith(tail) and tail)
        gone = full[len(head):len(full) - len(tail)]
        self.assertEqual(left, (len(gone), gone.count(b"\n")))
        self.assertEqual({k: int(v) for k, v in parse_records(log.exit.blob)}, {"left_bytes": left[0], "left_lines": left[1]})
        if limit_bytes:
            self.assertTrue(limit_bytes - 4096 - 256 <= len(log.text) <= limit_bytes, len(log.text))
        if limit_lines:
            self.assertTrue(limit_lines - 1 <= log.lines <= limit_lines, log.lines)
        return head, tail

    def test_bytes_and_lines(self):
        s = self.connect()
        full = b"".join(b"%d\n" % i for i in range(1, 200001))
        head, tail = self.whole(s.sh("1-1", "seq 200000", ("limit_bytes", 65536)), full, limit_bytes=65536)
        self.assertEqual(len(head), 32768)
        head, tail = self.whole(s.sh("1-2", "seq 200000", ("limit_lines", 1001)), full, limit_lines=1001)
        self.assertEqual((head.count(b"\n"), tail.count(b"\n")), (500, 499))
        head, tail = self.whole(s.sh("1-3", "seq 200000", ("limit_bytes", 1000000), ("limit_lines", 50)), full, limit_lines=50)
        log = s.sh("1-4", "head -c 5000000 /dev/zero | tr '\\0' x", ("limit_bytes", 200000))  # one line
        head, tail = self.whole(log, b"x" * 5000000, limit_bytes=200000)
        self.assertEqual((len(head), len(tail)), (100000, 200000 - 100000 - 256))

    def test_what_is_within_is_as_it_was(self):
        """Up to the very limit, of either kind, not a byte is added or missing, though half of it was kept aside."""
        s = self.connect()
        for i, (script, more) in enumerate((("head -c 100000 /dev/zero", ("limit_bytes", 100000)), ("seq 1000", ("limit_lines", 1000)), ("seq 1001 | head -c -1", ("limit_lines", 1000)), ("echo; head -c 99999 /dev/zero", ("limit_bytes", 100000)))):
            log = s.sh(f"1-{i + 1}", script, more)
            self.assertEqual(log.text, subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, check=True).stdout, script)
            self.assertEqual(log.exit.blob, b"")
        for i, (script, more) in enumerate((("head -c 100001 /dev/zero", ("limit_bytes", 100000)), ("seq 1001", ("limit_lines", 1000)))):
            self.whole(s.sh(f"2-{i + 1}", script, more), subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, check=True).stdout)

    def test_channels_and_times(self):
        """What is kept keeps its channel and its time; times never go back."""
        s = self.connect()
        script = "import os, time\nfor i in range(3000):\n os.write(1 + i % 2, b'%d of channel %d\\n' % (i, i % 2))\n while i == 2900 and not os.path.exists('go'): time.sleep(0.02)\n if i == 2900: time.sleep(0.4)\n"
        s.run("1-1", ["python3", "-c", script], ("limit_bytes", 8192))
        log = Log()
        while not log.text:  # it has its time when it is read, which may be later than it was written
            m = s.recv()
            if m.verb == "out":
                s.take_out(m, log)
        open(os.path.join(self.b.worker.work, "go"), "w").close()
        s.collect({"1-1": log})
        said = [(c, int(got)) for c, p in log.parts for got in re.findall(rb"of channel (\d)", p)]
        self.assertGreater(len(said), 300)
        self.assertEqual([c for c, _ in said], [got for _, got in said])
        self.assertEqual(log.times, sorted(log.times))
        last, first = [t for t, (_, p) in zip(log.times, log.parts) if b"2999 of" in p][-1], log.times[0]
        self.assertGreaterEqual(last - first, 400)
        self.assertNotIn(b"drover:", log.channel(0))

    def test_no_part_of_a_secret_at_a_cut(self):
        """A secret that lies across the head's end, and across each place where the tail may begin, is gone before anything is cut."""
        s = self.connect()
        secret = b"c0rrect-h0rse-battery-stap1e"
        s.send("secrets", "1-1", blob=records(("value", b"s=" + secret)))
        script = f"import os\nfor i in range(4000): os.write(1, b'{secret.decode()}' * 7 + b'.' * (i % 3))\nos.write(1, b'the end\\n')\n"
        s.run("1-1", ["python3", "-c", script], ("secret", "S=s"), ("limit_bytes", 4096))
        log = s.collect({"1-1": Log()})["1-1"]
        self.assertTrue(MARKER.search(log.text) and log.text.endswith(b"the end\n"))
        self.assertEqual(set(MARKER.sub(b"", log.text).replace(b"the end\n", b"")), set(b"*.\n"))

    def size(self, cmd):
        total = 0
        for name in os.listdir(self.b.worker.spool(cmd)):
            try:
                total += os.stat(self.b.worker.spool(cmd, name)).st_size
            except FileNotFoundError:
                pass
        return total

    def test_bounded_while_nobody_takes_it(self):
        """60 MB that don't deflate, a limit of 4 MiB, and a master that grants nothing: the command goes on to its end, and its spool stays small. The end lies right behind the seventh segment
        (of 128 whole chunks) that was kept aside: the tail begins in the one before."""
        s = self.connect()
        s.run("1-1", ["sh", "-c", f"head -c {(2 << 20) + 7 * 128 * 65536 + 150000} /dev/urandom | tee ../../copy; echo; echo the end"], ("limit_bytes", 4 << 20), limit=0)
        s.expect("state")
        most = 0

        def ended():
            nonlocal most
            most = max(most, self.size("1-1"))
            return self.b.worker.has_result("1-1")
        wait_for(ended, 60)
        self.assertLess(most, (4 << 20) + SPOOL_MORE)
        self.assertFalse([n for n in os.listdir(self.b.worker.spool("1-1")) if n.startswith("tail.")])
        s.resume("1-1", 0, limit=8 << 20)
        log = s.collect({"1-1": Log()})["1-1"]
        with open(os.path.join(self.b.folder, "copy"), "rb") as f:
            self.whole(log, f.read() + b"\nthe end\n", limit_bytes=4 << 20)

    def test_the_reader_is_told_at_once(self):
        """The marker's beginning comes while the command still runs; and what is kept aside blocks nobody."""
        s = self.connect()
        s.run("1-1", ["sh", "-c", "seq 10000; while [ ! -e go ]; do sleep 0.05; done; echo the end"], ("limit_bytes", 8192))
        log = Log()
        while not MARKER.search(log.text):
            m = s.recv()
            if m.verb == "out":
                s.take_out(m, log)
        self.assertEqual((log.lines, MARKER.search(log.text).group(3)), (log.text[:4096].count(b"\n") + 1, None))
        open(os.path.join(self.b.worker.work, "go"), "w").close()
        s.collect({"1-1": log})
        self.whole(log, b"".join(b"%d\n" % i for i in range(1, 10001)) + b"the end\n", limit_bytes=8192)

    def test_agent_killed(self):
        """Again and again, in head, marker and tail: each time from a border that a commit may have been at; every byte is the same, and the command ran once."""
        s = self.connect(env={"DROVER_TEST_RETRY_MAX_MS": "0"})
        lines = b"".join(b"line %06d\n" % i for i in range(60000))
        script = "import os, sys, time\nos.write(os.open('../../note', os.O_WRONLY | os.O_CREAT | os.O_APPEND), b'started\\n')\nfor i in range(60):\n os.write(1, b''.join(b'line %06d\\n' % k for k in range(i * 1000, i * 1000 + 1000)))\n time.sleep(0.01)\n"
        s.run("1-1", ["python3", "-c", script], ("limit_bytes", 300000), limit=20000)
        log, kills = Log(), 0
        while log.exit is None:
            try:
                m = s.recv(timeout=0.3)
            except TimeoutError:
                m = None
            except Gone:
                m = None
            if m and m.verb == "out":
                s.take_out(m, log, 40000)
            elif m and m.verb == "exit":
                log.end(m)
            if log.exit is None and (m is None or (m.verb == "out" and kills < 12)):
                kills += 1
                self.b.worker.kill()
                s.close()
                s = self.b.connect()
                if kills % 3 == 0 and len(log.borders) > 2:
                    log.cut_to(log.borders[-2])
                s.resume("1-1", log.length, limit=log.length + 70000)
        self.assertGreaterEqual(kills, 5)
        self.whole(log, lines, limit_bytes=300000)
        with open(os.path.join(self.b.folder, "note")) as f:
            self.assertEqual(f.read(), "started\n")

    def test_minder_killed(self):
        """What was kept aside goes with its minder: the log ends with what was told, the result is lost, and nothing stays behind."""
        s = self.connect()
        s.run("1-1", ["sh", "-c", "seq 10000; sleep 1000"], ("limit_bytes", 8192))
        log = Log()
        while not MARKER.search(log.text):
            m = s.recv()
            if m.verb == "out":
                s.take_out(m, log)
        os.kill(self.b.worker.minder("1-1"), signal.SIGKILL)
        s.collect({"1-1": log})
        self.assertEqual((log.exit["how"], log.exit["reason"], log.exit.blob), ("lost", "minder", b""))
        self.assertEqual(MARKER.sub(b"", log.text), b"".join(b"%d\n" % i for i in range(1, 10001))[:4096] + b"\n")
        s.send("forget", "1-1")
        wait_for(lambda: not os.path.exists(self.b.worker.spool("1-1")))

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small tmpfs: needs root")
    def test_full_disk(self):
        """No room for what is kept aside: the command is held up, its idle time stands still, and it goes on when there is room. No room to put the tail behind the marker: that waits."""
        self.b = Bench()
        self.addCleanup(self.b.__exit__)
        os.mkdir(self.b.worker.dir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", self.b.worker.dir], check=True)
        try:
            s = self.b.connect()
            random, written, log = os.urandom(9000000), os.path.join(self.b.folder, "written"), Log()
            with open(os.path.join(self.b.folder, "random"), "wb") as f:
                f.write(random)
            s.run("1-1", ["sh", "-c", "cat ../../random; touch ../../written"], ("limit_bytes", 7 << 20), ("idle", 700), limit=1 << 30)
            s.expect("state")

            def still():
                with self.assertRaises(TimeoutError):
                    while True:
                        m = s.recv(1)  # longer than the idle time
                        self.assertEqual(m.verb, "out")
                        s.take_out(m, log, window=0)
            still()
            self.assertFalse(os.path.exists(written))
            subprocess.run(["mount", "-o", "remount,size=10m", self.b.worker.dir], check=True)
            wait_for(lambda: os.path.exists(written))
            still()
            self.assertFalse(self.b.worker.has_result("1-1"))
            subprocess.run(["mount", "-o", "remount,size=30m", self.b.worker.dir], check=True)
            s.collect({"1-1": log})
            self.whole(log, random, limit_bytes=7 << 20)
        finally:
            self.b.worker.kill()
            subprocess.run(["umount", "-l", self.b.worker.dir], check=True)

    def test_refused(self):
        s = self.connect()
        for key, value in (("limit_bytes", 4095), ("limit_bytes", "many"), ("limit_lines", 15), ("limit_bytes", ""), ("limit_lines", -1)):
            s.run("1-1", ["true"], (key, value))
            self.assertEqual(s.expect("error")["tag"], "badarg")
        self.assertIn("limits", s.hello["features"].split(","))


if __name__ == "__main__":
    unittest.main()
