"""The worker's links, and its program, against masters of our own."""
import os
import ssl
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from drover import busy  # noqa: E402
from fakemaster import DEADLINE, SECRET, STATIC, WORKER, Gone, Log, wait_for  # noqa: E402
from workercase import Case  # noqa: E402


class Links(Case):
    def test_tls(self):
        s = self.connect(tls=True)
        self.assertEqual(s.sock.version(), "TLSv1.2" if STATIC else "TLSv1.3")
        self.assertEqual(s.sock.selected_alpn_protocol(), "drover")
        log = s.sh("1-1", "head -c 3000000 /dev/urandom | tee /dev/fd/2 | sha256sum >/dev/null")
        self.assertEqual(log.length, 3000000)
        s.close()
        log = self.b.master.accept().sh("1-2", "echo again")
        self.assertEqual(log.text, b"again\n")

    def test_wrong_pin(self):
        self.bench(tls=True)
        self.b.worker.set_token(f"{self.b.master.address}#spki-sha256:{'0' * 64}#w1:{SECRET}")
        self.b.worker.start()
        with self.assertRaises((OSError, Gone)):
            self.b.master.accept()
        wait_for(lambda: "the master's key does not match the token: got " + self.b.tls.pin in self.b.worker.log_text())
        self.assertNotIn(SECRET, self.b.worker.log_text())
        # Two pins at a time: keys renew without touching workers.
        self.b.worker.kill()
        self.b.worker.set_token(f"{self.b.master.address}#spki-sha256:{'0' * 64},{self.b.tls.pin}#w1:{SECRET}")
        self.b.connect()

    def test_tls_other_ciphers_and_junk(self):
        self.bench(tls=True)
        self.b.tls.context.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
        self.b.tls.context.maximum_version = ssl.TLSVersion.TLSv1_2
        s = self.b.connect()
        self.assertEqual(s.sock.cipher()[0], "ECDHE-ECDSA-CHACHA20-POLY1305")
        self.assertEqual(s.sh("1-1", "echo hi").text, b"hi\n")
        s.close()
        conn, _ = self.b.master.sock.accept()
        conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        wait_for(lambda: "TLS with the master failed" in self.b.worker.log_text())
        conn.close()

    def test_no_and_busy(self):
        self.bench()
        self.b.worker.start()
        s = self.b.master.accept_raw()
        s.recv()
        s.send("no", "secret", 1200, blob=b"that is not the secret of w1")
        t = time.monotonic()
        s.expect_gone()
        s = self.b.master.accept_raw()
        self.assertGreater(time.monotonic() - t, 1.0)
        self.assertIn("refuses this worker (secret): that is not the secret of w1", self.b.worker.log_text())
        s.recv()
        s.send("busy", 300)
        t = time.monotonic()
        s = self.b.master.accept()
        self.assertTrue(0.25 < time.monotonic() - t < 1 * busy())
        s.close()

    def test_incarnations(self):
        s = self.connect()
        s.close()
        s = self.b.master.accept(incarnation=5)
        s.close()
        s = self.b.master.accept_raw()
        s.recv()
        s.send("welcome", 1, "1-1", "cluster", 4, 10000, 1000, "-")
        s.expect_gone(bye="incarnation")

    def test_greetings_that_are_none(self):
        """Another version, a name for a worker that has one: the link is closed, with a word, and tried again."""
        self.bench(env={"DROVER_TEST_RETRY_MAX_MS": "0"})
        self.b.worker.start()
        for verb, words in (("welcome", (2, "1-1", "cluster", 1, 10000, 1800000, "-")), ("welcome", ("x", "1-1", "cluster", 1, 10000, 1800000, "-")), ("member", ("w2",)), ("member", ("../w2",))):
            s = self.b.master.accept_raw()
            self.assertEqual(s.recv().verb, "hello")
            s.send(verb, *words)
            s.expect_gone(bye="protocol")
            s.close()
        self.assertEqual(self.b.connect().hello["name"], "w1")

    def test_pings_and_silence(self):
        self.bench()
        self.b.worker.start()
        s = self.b.master.accept_raw()
        s.greet(ping_ms=500)
        ping = s.recv(pings=True)
        self.assertEqual(ping.verb, "ping")
        s.send("pong", ping["n"])
        t, byes = time.monotonic(), []
        s.send("ping", 77)  # the last that it hears
        while True:
            m = s.recv(pings=True)
            if m.verb == "pong":
                break
        self.assertEqual(m["n"], 77)
        with self.assertRaises(Gone):
            while True:
                m = s.recv(pings=True)
                byes += [m["reason"]] if m.verb == "bye" else []
        self.assertEqual(byes, ["silence"])
        self.assertTrue(1.4 < time.monotonic() - t < 3 * busy())

    def test_hostile_master(self):
        hostile = [b"\n", b"RUN\n", b"run 1-1\n", b"x" * 5000, b"ack 1-1 0 99999999999999999999 1\n", b"run a b c d +5\nhello\n",
                   b"run 1-1 1 1-1 100 +5000000\n", b"stat 1 +3\nabcX", b"forget 1-01\n", b"welcome 1 1-1 c 1 100 1000 -\n",
                   b"ack 1-1 0 0 -\n", b"stat 1 +9\n\0\0\0\0\0\0\0\0\0\nkill 1-1 1-1 -5 cancel\n", b"exit\n\xff\n"]
        s = self.connect(env={"DROVER_TEST_RETRY_MAX_MS": "0"})
        s.run("1-1", ["sleep", "1000"])
        s.expect("state")
        for data in hostile:
            s.send_bytes(data)
            s.expect_gone()
            s = self.b.master.accept()
            self.assertIn(s.has("1-1")["state"], ("accepted", "running"), data)  # its minder may only just have it
        s.send("nonesuch", 1, blob=b"x" * 100000)
        m = s.expect("error", tag="unknown", what="-")
        self.assertEqual(m.blob, b"nonesuch")
        s.send("follow", "9-9", 1)
        s.send("kill", "9-9", "1-1", 0, "cancel")
        s.expect("error", tag="notfound", what="9-9")
        s.send("ack", "9-9", 0, 0, 100)
        s.expect("error", tag="notfound", what="9-9")
        self.assertEqual(s.sh("1-2", "echo ok").text, b"ok\n")

    def test_reconnect_times(self):
        self.bench()
        self.b.master.close()
        os.unlink(self.b.master.path)
        self.b.worker.start()
        time.sleep(0.5)
        self.b.master.__init__(self.b.folder)
        t = time.monotonic()
        self.b.master.accept().close()
        self.assertLess(time.monotonic() - t, 1.5 * busy())
        times = []
        for _ in range(3):  # connections that don't come to a welcome
            s = self.b.master.accept_raw()
            times.append(time.monotonic())
            s.close()
        self.assertTrue(0.9 < times[1] - times[0] < 1.8 * busy() and 1.9 < times[2] - times[1] < 2.9 * busy(), times)


class Program(Case):
    def run_program(self, *args, **more):
        return subprocess.run([WORKER, *args], capture_output=True, text=True, timeout=DEADLINE, **more)

    def test_usage(self):
        self.assertEqual(self.run_program("--help").returncode, 0)
        self.assertIn("exit codes", self.run_program("--help").stdout)
        self.assertIn("drover-worker", self.run_program("--version").stdout)
        for args in (["--config", "/nonesuch/worker.conf"], ["--nonesuch"], ["--dir", "/nonesuch"], ["--join-file", "x", "--dir", "y", "z"], ["--log-level", "loud"], ["--log-format", "xml"]):
            self.assertEqual(self.run_program(*args).returncode, 2, args)

    def test_token_file(self):
        b = self.bench()
        os.chmod(b.worker.token_file, 0o640)
        p = self.run_program("--join-file", b.worker.token_file, "--dir", b.worker.dir)
        self.assertEqual(p.returncode, 2)
        self.assertIn("can be read by others (mode 0640)", p.stderr)
        p = self.run_program("--join-file", "-", "--dir", b.worker.dir, input="nonsense#and#more")
        self.assertEqual(p.returncode, 2)
        self.assertIn("join token", p.stderr)
        p = self.run_program("--join-file", "-", "--dir", b.worker.dir, "--connect", "127.0.0.1:9", input=f"unix:/x##w1:{SECRET}")
        self.assertEqual(p.returncode, 2)
        self.assertNotIn(SECRET, p.stderr)

    def test_token_from_stdin_and_connect(self):
        b = self.bench()
        p = subprocess.Popen([WORKER, "--join-file", "-", "--dir", b.worker.dir, "--connect", b.master.address],
                             stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(p.wait)
        self.addCleanup(p.terminate)
        p.stdin.write(f"10.255.255.1:1#spki-sha256:{'0' * 64}#w1:{SECRET}".encode())
        p.stdin.close()
        self.assertEqual(b.master.accept().hello["name"], "w1")

    def test_second_agent(self):
        self.connect()
        p = self.run_program("--join-file", self.b.worker.token_file, "--dir", self.b.worker.dir)
        self.assertEqual(p.returncode, 3)
        self.assertIn("another drover-worker is running", p.stderr)

    @unittest.skipUnless(STATIC and not os.environ.get("DROVER_COVER"), "the static one is small, not others")
    def test_size_and_memory(self):
        self.assertLess(os.path.getsize(WORKER), 400 * 1024)
        s = self.connect()

        def rss(pid):
            with open(f"/proc/{pid}/status") as f:
                return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        s.run("1-1", ["sh", "-c", "head -c 5000000 /dev/urandom; sleep 1000"])
        log = Log()
        while log.length < 5000000:
            m = s.recv()
            if m.verb == "out":
                s.take_out(m, log)
        self.assertLess(rss(self.b.worker.minder("1-1")), 2048)
        wait_for(lambda: rss(self.b.worker.process.pid) < 1024)
        mode = stat.S_IMODE(os.stat(self.b.worker.spool("1-1", "cmd")).st_mode)
        self.assertEqual(mode, 0o600)


if __name__ == "__main__":
    unittest.main()
