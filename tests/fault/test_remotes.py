#!/usr/bin/env python3
"""Git servers that mean no good: they delay nobody but themselves."""
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, busy, commit, make_repo, read, wait_for  # noqa: E402
from gitserve import GitHttp  # noqa: E402

SILENT, GOOD, HELPERS = 10, 3, 4
POLL_S = 1
LATE_S = 2.5           # a push is a change within POLL_S and this, whatever the others do
SEEN_S = 40            # the silent ones come first and nobody knows them yet: each holds a helper for 5 s
PUSHES = 4
OID = b"a" * 40
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n"


def packet(data):
    return b"%04x" % (len(data) + 4) + data


class Server:
    """One answer to each connection: talk(socket, what it asked)."""

    def __init__(self, talk):
        self.socket, self.talk, self.asked = socket.create_server(("127.0.0.1", 0), backlog=100), talk, 0
        self.port, self.open = self.socket.getsockname()[1], True
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while self.open:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            self.asked += 1
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        try:
            with c:
                self.talk(self, c, c.recv(65536))
        except OSError:
            pass

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while self.open and time.monotonic() < end:
            time.sleep(0.1)

    def close(self):
        self.open = False
        self.socket.close()


def silent(s, c, asked):
    s.wait(600)


def drip(s, c, asked):
    for b in refs((OID, b"refs/heads/main")) + b" " * 600:
        c.sendall(bytes([b]))
        s.wait(1)


def refs(*heads):
    lines = b"".join(packet(oid + b" " + ref + (b"\0agent=x\n" if i == 0 else b"\n")) for i, (oid, ref) in enumerate(heads))
    return HEAD % b"application/x-git-upload-pack-advertisement" + packet(b"# service=git-upload-pack\n") + b"0000" + lines + b"0000"


def endless(s, c, asked):
    """A pack of four thousand million objects, slow enough to leave the machine to others."""
    if asked.startswith(b"GET"):
        c.sendall(refs((OID, b"refs/heads/main")))
        return
    blob = os.urandom(60000)
    entry = bytes([0x80 | 3 << 4 | len(blob) & 15, 0x80 | len(blob) >> 4 & 127, len(blob) >> 11]) + zlib.compress(blob, 0)
    c.sendall(HEAD % b"application/x-git-upload-pack-result" + packet(b"NAK\n") + b"PACK" + struct.pack(">II", 2, 0xffffffff))
    while s.open:
        c.sendall(entry)
        s.wait(0.1)


def redirect(to):
    def talk(s, c, asked):
        c.sendall(b"HTTP/1.1 302 There\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (to.encode().replace(b"PORT", b"%d" % s.port)))
    return talk


def names(s, c, asked):
    c.sendall(refs((OID, b"refs/heads/a\x1b[2Jb"), (OID, b"refs/heads/\x01"), (OID, b"refs/heads/../../x"), (OID, b"refs/heads/-x")))


class Remotes(Case):
    PROJECTS = {}
    SITE = {"helpers": HELPERS}

    @classmethod
    def prepare(cls):
        d = cls.d
        cls.servers = {**{f"silent{i}": Server(silent) for i in range(SILENT)}, "drip": Server(drip), "endless": Server(endless), "names": Server(names),
                       "loop": Server(redirect("http://127.0.0.1:PORT/x/info/refs?service=git-upload-pack")), "file": Server(redirect("file:///etc/passwd")), "ext": Server(redirect("ext::sh -c id")),
                       "metadata": Server(redirect("http://169.254.169.254/latest/info/refs?service=git-upload-pack"))}
        cls.good = {f"good{i}": make_repo(d.path(f"good{i}"), {".drover.yml": "steps: [{run: 'true'}]\n"}) for i in range(GOOD)}
        cls.http = GitHttp(d.root)
        d.configure(projects={**{k: {"git": f"http://127.0.0.1:{s.port}/r", "poll": f"{POLL_S}s"} for k, s in cls.servers.items()},
                              **{k: {"git": cls.http.url(k), "poll": f"{POLL_S}s"} for k in cls.good}})

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        for s in (*cls.servers.values(), cls.http):
            s.close()

    def cli(self, *argv):
        return subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock"), "COLUMNS": "400"}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout

    def project(self, name):
        return next(p for p in self.d.get("/projects")["items"] if p["name"] == name)

    def wait_trouble(self, name, words, seconds=60):
        """Its first one may be another: that it was slow, while all of them were looked at."""
        wait_for(lambda: words in (self.project(name)["trouble"] or ""), f"the trouble of {name}: {words}", seconds)

    def helpers(self):
        pid = self.d.master.pid
        return [p for p in read(f"/proc/{pid}/task/{pid}/children").split() if b"drover-git-helper" in read(f"/proc/{int(p)}/cmdline")]

    def test_1_pushes_are_changes_in_time(self):
        d, most = self.d, 0
        wait_for(lambda: d.sql("select count(distinct p.name) from branch_head h join project p on p.id = h.project where p.name like 'good%'") == [[str(GOOD)]], "the first look at the good ones", SEEN_S)
        late = []
        for i in range(PUSHES):
            for name in self.good:
                new = commit(d.path(name), {"a": str(i)}, f"push {i}")
                begin = time.monotonic()
                while not d.sql(f"select 1 from change where revision = '{new}'"):
                    most = max(most, len(self.helpers()))
                    self.assertLess(time.monotonic() - begin, (POLL_S * 1.05 + LATE_S) * busy(), (name, i, self.project(name)))
                late.append(time.monotonic() - begin)
        self.assertLessEqual(most, HELPERS)
        self.assertGreater(most, 1)
        print(f"    {len(late)} pushes, the latest change after {max(late):.2f} s; at most {most} helpers")

    def test_2_the_silent_ones_back_off_and_say_so(self):
        d = self.d
        p = wait_for(lambda: next((p for p in d.get("/projects")["items"] if p["name"].startswith("silent") and p["failures"] >= 2 and (p["next_look"] or 0) > time.time() * 1000 + POLL_S * 1100), None),
                     "one that failed twice and is looked at later than it would be", 90)
        self.assertRegex(p["trouble"], r"^the repository gave no answer within \d+\.\d s, and others wait$")
        wait_for(lambda: re.search(r"and others wait \(\d+ times, the next look in \d", self.cli("list", "projects")), "that in the list")
        checks = {c["name"]: c for c in d.get("/doctor")["checks"]}
        self.assertEqual(checks["repositories"]["level"], "warn")
        self.assertRegex(checks["repositories"]["text"], r"can't be read for .*: ")

    def test_3_redirections_and_names(self):
        for name, words in (("loop", "redirect"), ("file", "redirect"), ("ext", "redirect"), ("metadata", "redirects to another host")):
            self.wait_trouble(name, words)
        wait_for(lambda: self.project("names")["looked"] or self.project("names")["trouble"], "a look at the bad names", 60)
        self.assertEqual(self.project("names")["heads"], [])
        self.assertNotIn(b"\x1b", read(self.d.path("master.log")))

    def test_4_dripping_is_silence(self):
        self.wait_trouble("drip", "gave no answer")


if __name__ == "__main__":
    unittest.main()
