#!/usr/bin/env python3
"""The master behind nginx, with the very configuration that docs/operations.md shows: only ports, names of files and one time-out are put in.

Clients come from 127.0.0.2, so that they are no trusted proxies themselves."""
import http.client
import os
import re
import select
import socket
import ssl
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from drover import TOP, Case, Failed, free_port, make_repo, read, wait_for  # noqa: E402

NAME = "ci.example.org"
CLIENT = "127.0.0.2"
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
HEARTBEATS_MAX = 8
READ_TIMEOUT_S = 25   # stands for the hour of the example: a heartbeat comes each 15 s
TEMPORARY = "".join(f"  {x}_temp_path temp-{x};\n" for x in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
PIPELINE = """
builders:
  quick: {checkout: none, steps: [{name: say, run: echo hello through the proxy}]}
  slow: {checkout: none, steps: [{name: wait, run: "echo first; while [ ! -e %s ]; do sleep 0.05; done; seq 100000"}]}
"""


def examples():
    """The nginx blocks of the manual, and that there are as many as are known here."""
    text = read(os.path.join(TOP, "docs/operations.md")).decode()
    found = re.findall(r"^```nginx\n(.*?)^```", text, re.M | re.S)
    if len(found) != 3:
        raise Failed(f"{len(found)} examples for nginx in docs/operations.md, not 3")
    return found


def put(text, *pairs):
    """Each must be there: an example that was changed is an example that isn't tested."""
    for old, new in pairs:
        if old not in text:
            raise Failed(f"{old!r} is not in the example")
        text = text.replace(old, new)
    return text


class Tls(http.client.HTTPSConnection):
    """To a port of this host by the page's name, from a client's address."""
    def __init__(self, port, context, timeout=30):
        super().__init__(NAME, port, timeout=timeout, context=context)

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), self.timeout, (CLIENT, 0))
        self.sock = self._context.wrap_socket(s, server_hostname=NAME)


class Proxy(Case):
    PROJECTS = {}
    WORKERS = {"here": {"slots": 4}}
    SITE = {"tcp": True}

    @classmethod
    def prepare(cls):
        d = cls.d
        cls.page, cls.path, cls.strip, cls.shared, cls.api_port = (free_port() for _ in range(5))
        make_repo(d.path("repo"), {"x": "x"})
        with open(d.path("pipeline.yml"), "w") as f:
            f.write(PIPELINE % d.path("go"))
        d.conf["listen"]["api"] = f"127.0.0.1:{cls.api_port}"
        d.configure(site={"url": f"https://{NAME}:{cls.page}/ci/", "address": f"127.0.0.1:{cls.shared}"}, trusted_proxies=["127.0.0.1"],
                    projects={"p": {"git": d.path("repo"), "poll": "500ms", "pipeline": d.path("pipeline.yml")}})
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
                        "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", d.path("tls.key"), "-out", d.path("tls.pem")], check=True, stderr=subprocess.DEVNULL)
        cls.context = ssl.create_default_context(cafile=d.path("tls.pem"))
        with open(d.path("nginx.conf"), "w") as f:
            f.write(cls.nginx_conf())
        os.mkdir(d.path("nginx"))
        cls.nginx = d.spawn("nginx.log", "nginx", "-p", d.path("nginx"), "-e", "stderr", "-c", d.path("nginx.conf"))
        for port in (cls.page, cls.path, cls.strip, cls.shared):
            wait_for(lambda p=port: cls.nginx.poll() is None and cls.listens(p), f"nginx on {port}")

    @staticmethod
    def listens(port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    @classmethod
    def nginx_conf(cls):
        d, (server, location, stream) = cls.d, examples()
        ours = (("127.0.0.1:7420", f"127.0.0.1:{cls.api_port}"), ("proxy_read_timeout 1h", f"proxy_read_timeout {READ_TIMEOUT_S}s"))
        server = put(server, *ours, ("/etc/ssl/ci.example.org.pem", d.path("tls.pem")), ("/etc/ssl/ci.example.org.key", d.path("tls.key")))
        location = put(location, *ours)
        stripped = put(location, (f"proxy_pass http://127.0.0.1:{cls.api_port};", f"proxy_pass http://127.0.0.1:{cls.api_port}/;"))
        frame, rest = server[:server.index("  location / {")], "}\n"
        servers = [put(s, ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"))
                   for port, s in ((cls.page, server), (cls.path, frame + location + rest), (cls.strip, frame + stripped + rest))]
        stream = put(stream, ("listen 443", f"listen 127.0.0.1:{cls.shared}"), ("127.0.0.1:7421", f"127.0.0.1:{d.port}"), ("127.0.0.1:8443", f"127.0.0.1:{cls.page}"))
        load = "" if "--with-stream " in cls.nginx_flags() else f"load_module {STREAM_MODULE};\n"
        return f"{load}daemon off;\npid nginx.pid;\nworker_processes 1;\nevents {{}}\nhttp {{\n  access_log off;\n{TEMPORARY}{''.join(servers)}}}\n{stream}"

    @staticmethod
    def nginx_flags():
        return subprocess.run(["nginx", "-V"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout.decode() + " "

    @classmethod
    def tearDownClass(cls):
        cls.nginx.terminate()
        cls.nginx.wait(30)
        super().tearDownClass()

    def open(self, path, port=None, headers=None, method="GET"):
        c = Tls(port or self.page, self.context)
        self.addCleanup(c.close)
        c.request(method, path, headers=headers or {})
        return c.getresponse()

    def status(self, *a, **kw):
        r = self.open(*a, **kw)
        r.read()
        return r.status

    def direct(self, path, headers=None, source="127.0.0.1"):
        """Past nginx, as whoever else has come to this port."""
        c = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=30, source_address=(source, 0))
        self.addCleanup(c.close)
        c.request("GET", path, headers=headers or {})
        r = c.getresponse()
        r.read()
        return r.status

    # ---- the page ----

    def test_page_and_api(self):
        for path in ("/", "/api/v1/status", "/ci/", "/ci/api/v1/status"):
            self.assertEqual(self.status(path), 200, path)
        for port in (self.path, self.strip):
            for path in ("/ci/", "/ci/api/v1/status", "/ci/api/v1/builders"):
                self.assertEqual(self.status(path, port), 200, (port, path))
            self.assertEqual(self.status("/ci/api/v1/nothing", port), 404)
            self.assertEqual(self.status("/ci/%2e%2e/api/v1/status", port), 404)
        self.assertEqual(self.status("/api/v1/builds", method="POST"), 401)

    def test_names(self):
        """What the proxy passes on is checked as if there were none; what it says can only narrow."""
        for host, status in ((NAME, 200), (f"{NAME}:{self.page}", 200), ("evil.example", 403), (f"{NAME}.evil.example", 403), ("10.1.2.3", 403)):
            self.assertEqual(self.status("/api/v1/status", headers={"Host": host}), status, host)
        self.assertEqual(self.status("/api/v1/status", headers={"X-Forwarded-Host": "evil.example", "Forwarded": "for=1.1.1.1;host=evil.example"}), 200)  # nginx puts its own there
        for source, trusted in (("127.0.0.1", True), ("127.0.0.3", False)):
            for headers, status in (({"X-Forwarded-Host": NAME}, 200), ({"X-Forwarded-Host": "evil.example"}, 403 if trusted else 200), ({"Host": "evil.example", "X-Forwarded-Host": NAME}, 403),
                                    ({"Forwarded": "for=1.1.1.1;host=evil.example"}, 403 if trusted else 200), ({"Host": "evil.example"}, 403), ({}, 200)):
                self.assertEqual(self.direct("/api/v1/status", headers, source), status, (source, headers))

    def test_origins(self):
        for origin, status in ((f"https://{NAME}:{self.page}", 200), (f"https://{NAME}", 200), (f"http://{NAME}", 403), (f"http://{NAME}:{self.page}", 403), ("https://evil.example", 403), ("null", 403)):
            self.assertEqual(self.status("/api/v1/status", headers={"Origin": origin}), status, origin)

    def asked_by(self, what):
        """Who the master says has asked for it."""
        found = re.search(rb"api: (\S+): \S*" + re.escape(what.encode()) + rb" \d", read(self.d.path("master.log")))
        return found and found.group(1).decode()

    def test_who(self):
        cases = {"c900001": lambda p: self.open(p).read(),
                 "c900002": lambda p: self.open(p, headers={"X-Forwarded-For": "203.0.113.9"}).read(),
                 "c900003": lambda p: self.open(p, headers={"Forwarded": "for=203.0.113.9"}).read(),
                 "c900004": lambda p: self.direct(p, {"X-Forwarded-For": "203.0.113.9"}, "127.0.0.3"),
                 "c900005": lambda p: self.direct(p, {"X-Forwarded-For": "198.51.100.1, 203.0.113.9"}, "127.0.0.1")}
        wanted = {"c900001": CLIENT, "c900002": CLIENT, "c900003": CLIENT, "c900004": "127.0.0.3", "c900005": "203.0.113.9"}
        for change, ask in cases.items():
            ask(f"/api/v1/changes/{change}")
            self.assertEqual(wait_for(lambda c=change: self.asked_by(c), change), wanted[change], change)

    # ---- streams ----

    def events(self, port, **headers):
        r = self.open("/ci/api/v1/events", port, {"Accept": "text/event-stream", **headers})
        self.assertEqual((r.status, r.getheader("Content-Type"), r.getheader("Cache-Control")), (200, "text/event-stream", "no-store"))
        self.assertEqual(r.readline(), b"retry: 1000\n")
        self.assertEqual(r.readline(), b"\n")
        return r

    def line(self, r):
        """The next that is not of a heartbeat; those come only when nothing has happened for long: some, where the build took long."""
        for _ in range(HEARTBEATS_MAX):
            if (text := r.readline()) != b":\n":
                break
            r.readline()
        if text in (b"", b":\n"):
            raise Failed("the stream has " + ("nothing to tell" if text else "ended"))
        return text

    def test_events_at_once(self):
        """The stream stays open and what happens comes through it: a proxy that waits for a full buffer would bring nothing."""
        streams = [self.events(p) for p in (self.page, self.path, self.strip, self.shared)]
        build = self.d.run("p/quick")
        for r in streams:
            seen = [self.line(r)]
            while b"event: build.done" not in seen[-1]:
                seen.append(self.line(r))
            self.assertIn(build["id"].encode(), self.line(r))

    def test_heartbeats(self):
        """Nothing happens for longer than the proxy waits, but the stream lives on."""
        begin = time.monotonic()
        r = self.open("/api/v1/events?object=nothing/has/this/name")
        self.assertEqual([r.readline() for _ in range(4)], [b"retry: 1000\n", b"\n", b":\n", b"\n"])
        left = begin + READ_TIMEOUT_S + 2 - time.monotonic()
        self.assertLess(left, READ_TIMEOUT_S / 2, "the line came before any heartbeat could")
        heard = select.select([r.fp.raw._sock], [], [], left)[0] and r.readline()
        self.assertIn(heard, ([], b":\n"), "cut by the proxy")

    def test_log_follows(self):
        rid = self.d.ask("p/slow")
        bid = self.d.wait_build(rid, lambda b: b["steps"] and b["steps"][-1]["logs"])["id"]
        got = [self.open(f"/ci/api/v1/builds/{bid}/logs/wait?follow=1", p) for p in (self.path, self.strip)]
        for r in got:
            self.assertEqual(r.readline(), b"first\n")
        self.assertEqual(self.d.try_build(bid)["state"], "running")
        open(self.d.path("go"), "w").close()
        want = b"first\n" + b"".join(b"%d\n" % i for i in range(1, 100001))
        for r in got:
            self.assertEqual(b"first\n" + r.read(), want)
        self.assertEqual(self.d.wait_request(rid)["result_text"], "success")
        self.assertEqual(self.d.log(bid, "wait"), want)

    # ---- the worker link ----

    def hello(self, port, alpn):
        """What becomes of a TLS client that offers these protocols: the one chosen, or that it was refused."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(alpn)
        try:
            with socket.create_connection(("127.0.0.1", port), 30) as s, context.wrap_socket(s) as t:
                return t.selected_alpn_protocol() or "none"
        except (ssl.SSLError, ConnectionError):
            return "refused"

    def test_worker_link(self):
        """The worker's only way to the master is the shared port, and it builds."""
        self.assertIn(f"127.0.0.1:{self.shared}", read(self.d.token()).decode())
        self.assertEqual(self.d.run("p/quick")["result_text"], "success")
        self.assertEqual(self.hello(self.shared, ["drover"]), "drover")
        self.assertEqual(self.status("/ci/", self.shared), 200)          # and a browser finds the page on it
        self.assertEqual(self.hello(self.d.port, ["http/1.1"]), "refused")
        self.assertEqual(self.hello(self.d.port, ["h2", "drover"]), "drover")
        self.assertEqual(self.hello(self.d.port, []), "none")            # older workers

    def test_worker_back_after_the_proxy(self):
        """The proxy's restart is a lost link, not a lost build."""
        rid = self.d.ask("p/quick")
        self.nginx.terminate()
        self.nginx.wait(30)
        type(self).nginx = self.d.spawn("nginx.log", "nginx", "-p", self.d.path("nginx"), "-e", "stderr", "-c", self.d.path("nginx.conf"))
        self.assertEqual(self.d.wait_request(rid)["result_text"], "success")


if __name__ == "__main__":
    unittest.main(verbosity=2)
