"""The worker behind an HTTP proxy: a real one (tinyproxy), and ones that mean no good. Also what the service manager is told, and the log as JSON."""
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from drover import free_port, read, wait_for  # noqa: E402
from fakemaster import DEADLINE, Bench  # noqa: E402


class Fake:
    """A proxy that answers each connection by a function of (number, connection, request's head)."""

    def __init__(self, answer):
        self.answer, self.heads, self.at, self.open = answer, [], [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.at.append(time.monotonic())
            self.open.append(conn)
            threading.Thread(target=self.one, args=(len(self.at), conn), daemon=True).start()

    def one(self, number, conn):
        head = b""
        try:
            while b"\r\n\r\n" not in head and (part := conn.recv(4096)):
                head += part
            self.heads.append(head)
            self.answer(number, conn, head)
        except OSError:
            pass  # the worker had enough

    def close(self):
        for s in [self.listener, *self.open]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()


def say(text):
    return lambda n, conn, head: (conn.sendall(text), conn.close())


class Case(unittest.TestCase):
    def bench(self, proxy=None, more=""):
        b = Bench(tls=True)
        self.addCleanup(b.__exit__)
        os.mkdir(b.worker.dir)
        with open(os.open(os.path.join(b.worker.dir, "worker.conf"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(f"proxy = {proxy}\n{more}" if proxy else more)
        return b

    def fake(self, answer):
        f = Fake(answer)
        self.addCleanup(f.close)
        return f

    def status(self, b):
        try:
            with open(os.path.join(b.worker.dir, "status")) as f:
                return dict(line.rstrip("\n").partition(" ")[::2] for line in f)
        except FileNotFoundError:
            return {}


class Real(Case):
    def tinyproxy(self, b, *lines):
        port = free_port()
        conf = os.path.join(b.folder, "tinyproxy.conf")
        with open(conf, "w") as f:
            f.write("\n".join([f"Port {port}", "Listen 127.0.0.1", "Timeout 600", "MaxClients 20", f'LogFile "{b.folder}/tinyproxy.log"', f'PidFile "{b.folder}/tinyproxy.pid"', *lines, ""]))
        p = subprocess.Popen(["tinyproxy", "-d", "-c", conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)

        def there():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        wait_for(there, "tinyproxy")
        return port

    def with_proxy(self, credentials, *lines):
        b = self.bench()
        port = self.tinyproxy(b, *lines)
        with open(os.path.join(b.worker.dir, "worker.conf"), "w") as f:
            f.write(f"proxy = http://{credentials}127.0.0.1:{port}\n")
        return b

    @unittest.skipUnless(shutil.which("tinyproxy"), "needs tinyproxy")
    def test_a_build_goes_through(self):
        b = self.with_proxy("", "Allow 127.0.0.1")
        s = b.connect()
        out = s.sh("1-1", "seq 1 100000").text
        self.assertEqual(out, b"".join(b"%d\n" % i for i in range(1, 100001)))
        wait_for(lambda: f"CONNECT {b.master.address} ".encode() in read(os.path.join(b.folder, "tinyproxy.log")), "the proxy's own word of it")
        st = self.status(b)
        self.assertEqual((st["state"], st["address"], st["name"], st["key"], st["tries"]), ("connected", b.master.address, "w1", "matched", "0"))

    @unittest.skipUnless(shutil.which("tinyproxy"), "needs tinyproxy")
    def test_password(self):
        b = self.with_proxy("ann:secret%31@", "Allow 127.0.0.1", "BasicAuth ann secret1")
        b.connect()
        self.assertNotIn("secret1", b.worker.log_text())
        b = self.with_proxy("ann:wrong@", "Allow 127.0.0.1", "BasicAuth ann secret")
        b.worker.start()
        st = wait_for(lambda: (x := self.status(b)).get("tag") == "proxy" and x, "the refusal")
        self.assertRegex(st["why"], "the proxy refuses: 40[17]")

    @unittest.skipUnless(shutil.which("tinyproxy"), "needs tinyproxy")
    def test_not_allowed(self):
        b = self.with_proxy("", "Allow 127.0.0.1", "ConnectPort 443")
        b.worker.start()
        st = wait_for(lambda: (x := self.status(b)).get("tag") == "proxy" and x, "the refusal")
        self.assertIn("the proxy refuses: 403", st["why"])


class Hostile(Case):
    def refusal(self, answer, tag="proxy", seconds=20, credentials=""):
        f = self.fake(answer)
        b = self.bench(f"http://{credentials}127.0.0.1:{f.port}")
        b.worker.start()
        st = wait_for(lambda: (x := self.status(b)).get("tag") == tag and x, f"tag {tag}", seconds)
        self.assertEqual(b.worker.stop(), 0)
        return f, b, st["why"]

    def test_what_it_sends(self):
        f, b, _ = self.refusal(say(b"HTTP/1.1 503 no\r\n\r\n"), credentials="ann:s%20x@")
        self.assertEqual(f.heads[0], (f"CONNECT {b.master.address} HTTP/1.1\r\nHost: {b.master.address}\r\n"
                                      f"Proxy-Authorization: Basic {base64.b64encode(b'ann:s x').decode()}\r\n\r\n").encode())

    def test_refusals(self):
        for text, says in ((b"HTTP/1.1 407 Who \x1b[31mare you\r\n\r\n", "the proxy refuses: 407 Who ?[31mare you (it wants another USER:PASSWORD in `proxy`)"),
                           (b"HTTP/1.1 502 Bad Gateway\r\n", "the proxy refuses: 502 Bad Gateway"), (b"220 mail.example.org ESMTP\r\n", "what answers is no HTTP proxy"),
                           (os.urandom(100).replace(b"H", b"x"), "what answers is no HTTP proxy"), (b"", "closed the connection before it answered"),
                           (b"HTTP/1.1 200 OK\r\n", "closed the connection before it answered"), (b"HTTP/1.1 200 OK\r\n\r\nhello", "says more than its answer")):
            _, b, why = self.refusal(say(text))
            self.assertIn(says, why)
            self.assertNotIn("\x1b", b.worker.log_text())

    def test_endless_headers(self):
        def answer(n, conn, head):
            conn.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                conn.sendall(b"X: " + b"y" * 1000 + b"\r\n")
        _, _, why = self.refusal(answer)
        self.assertIn("headers do not end", why)

    def test_another_inside(self):
        """What is behind the proxy is not the master: the key says so."""
        other = Bench(tls=True)
        self.addCleanup(other.__exit__)

        def answer(n, conn, head):
            conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with socket.create_connection(other.master.address.split(":")) as to:
                threading.Thread(target=pump, args=(to, conn), daemon=True).start()
                pump(conn, to)
        threading.Thread(target=lambda: attempt(other.master.accept_raw), daemon=True).start()
        _, _, why = self.refusal(answer, tag="key")
        self.assertIn("does not match the token", why)

    def test_a_slow_one_and_backoff(self):
        """Cut into single bytes it works; a refusal counts as a failed connection: the next ones come after 1 s, 2 s."""
        def answer(n, conn, head):
            if n < 4:
                conn.sendall(b"HTTP/1.1 503 later\r\n\r\n")
                conn.close()
                return
            for i in range(len(text := b"HTTP/1.1 200 OK\r\nVia: a\r\n\r\n")):
                conn.sendall(text[i:i + 1])
                time.sleep(0.005)
            host, port = head.split()[1].decode().split(":")
            with socket.create_connection((host, int(port))) as to:
                threading.Thread(target=pump, args=(to, conn), daemon=True).start()
                pump(conn, to)
        f = self.fake(answer)
        b = self.bench(f"http://127.0.0.1:{f.port}")
        s = b.connect()
        self.assertEqual(s.sh("1-1", "echo hello").text, b"hello\n")
        gaps = [y - x for x, y in zip(f.at, f.at[1:])]
        self.assertTrue(gaps[0] >= 0.95 and gaps[1] >= 1.95 and gaps[2] >= 3.9, gaps)

    def test_nobody_there(self):
        b = self.bench(f"http://127.0.0.1:{free_port()}")
        b.worker.start()
        st = wait_for(lambda: (x := self.status(b)).get("tag") == "unreachable" and x, "the refusal")
        self.assertIn("the proxy 127.0.0.1:", st["why"])
        b = self.bench("http://no.such.proxy.invalid")
        b.worker.start()
        st = wait_for(lambda: (x := self.status(b)).get("tag") == "unknown-host" and x, "the name", 60)
        self.assertIn("no.such.proxy.invalid", st["why"])

    def test_a_unix_socket_needs_none(self):
        b = Bench()
        self.addCleanup(b.__exit__)
        b.worker.start("--proxy", f"http://127.0.0.1:{free_port()}")
        b.connect()


def attempt(call):
    try:
        call()
    except OSError:
        pass


def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Manager(Case):
    """The service manager's side: its socket, and what the worker tells it."""

    def manager(self, b, name):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        path = os.path.join(b.folder, "notify")
        s.bind(path if name == "path" else "\0" + path)
        s.settimeout(DEADLINE)
        return s, path if name == "path" else "@" + path

    def until(self, s, what):
        seen = []
        while not seen or what not in seen[-1]:
            seen.append(s.recv(4096).decode())
        return seen

    def test_ready_without_a_master(self):
        for name in ("path", "abstract"):
            b = self.bench(more=f"connect = 127.0.0.1:{free_port()}\n")
            s, path = self.manager(b, name)
            b.worker.start(NOTIFY_SOCKET=path)
            self.until(s, "READY=1")
            self.until(s, "STATUS=waiting for 127.0.0.1:")
            b.worker.process.send_signal(signal.SIGTERM)
            self.until(s, "STOPPING=1")
            self.assertEqual(b.worker.process.wait(DEADLINE), 0)

    def test_status_and_environment(self):
        b = self.bench()
        s, path = self.manager(b, "path")
        b.worker.start(NOTIFY_SOCKET=path)
        session = b.master.accept()
        self.until(s, f"STATUS=connected to {b.master.address} as w1")
        self.assertNotIn(b"NOTIFY_SOCKET", session.sh("1-1", "env").text)
        session.close()
        self.until(s, "STATUS=waiting for ")

    def test_not_ready_where_it_can_not_start(self):
        b = self.bench(more="nonsense\n")
        s, path = self.manager(b, "path")
        b.worker.start(NOTIFY_SOCKET=path)
        self.assertEqual(b.worker.process.wait(DEADLINE), 2)
        s.settimeout(0.1)
        self.assertRaises(TimeoutError, s.recv, 100)

    def test_log_as_json(self):
        b = self.bench(more="log_format = json\n")
        b.connect()
        self.assertEqual(b.worker.stop(), 0)
        for path in (b.worker.errors, os.path.join(b.worker.dir, "log")):
            with open(path) as f:
                lines = [json.loads(x) for x in f]
            self.assertTrue(any("connected as w1" in x["message"] for x in lines))
            self.assertEqual({tuple(x) for x in lines}, {("time", "level", "area", "message")})


if __name__ == "__main__":
    unittest.main()
