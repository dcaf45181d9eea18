"""A worker that says what the test wants: the other end of docs/protocol.md, over the master's unix socket, for what no honest worker would send."""
import os
import socket
import zlib

from fakemaster import Message, encode, parse_records, records

HEX32 = "0123456789abcdef" * 2
BOOT = "f" * 32
TOKENS = 16


class Gone(Exception):
    """The master closed the link."""


class FakeWorker:
    """token: the join token's text. Greets with the facts given, answers pings by itself in next()."""

    def __init__(self, path, token, instance=HEX32, facts=(), conn=1):
        self.name, _, self.secret = token.strip().rsplit("#", 1)[1].partition(":")
        self.buffer = b""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.hello(instance, conn, facts)

    def hello(self, instance, conn, facts):
        told = [("secret", self.secret), ("os", "linux"), ("cores", "1"), ("uid", str(os.getuid() + 1)), ("work", "/nowhere"), *facts]
        self.send("hello", 1, self.name, instance, BOOT, conn, "0-0", "-", blob=records(*told))

    def send(self, verb, *tokens, blob=None):
        self.raw(encode(verb, *tokens, blob=blob))

    def raw(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            raise Gone()

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Gone()
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self.fill()
        line, _, self.buffer = self.buffer.partition(b"\n")
        verb, *tokens = line.decode().split(" ")
        blob = None
        if tokens and tokens[-1].startswith("+"):
            n = int(tokens.pop()[1:])
            while len(self.buffer) < n + 1:
                self.fill()
            blob, self.buffer = self.buffer[:n], self.buffer[n + 1:]
        return verb, tokens, blob

    def next(self, *verbs):
        """The next message of one of those verbs (any, where none are given); pings are answered, others are passed over."""
        while True:
            verb, tokens, blob = self.line()
            if verb == "ping":
                self.send("pong", *tokens)
            elif not verbs or verb in verbs:
                return verb, tokens, blob

    def ready(self):
        """Through the greeting, with nothing in the spool."""
        verb, tokens, blob = self.next("welcome", "no", "busy")
        if verb != "welcome":
            raise AssertionError((verb, tokens, blob))
        self.send("listed", 0)
        return self

    def command(self):
        """The next command: its id, its epoch, its records."""
        _, (cmd, _, epoch, _), blob = self.next("run")
        self.send("state", cmd, epoch, "accepted")
        return cmd, epoch, parse_records(blob)

    def exit(self, cmd, epoch, how="exited", code=0, reason="-", length=0, crc="00000000", lines=0, detail=None):
        self.send("exit", cmd, epoch, how, code, reason, length, crc, lines, 1, 1, 1, 1, blob=detail)

    def out(self, cmd, data, off=0, **lie):
        """One chunk of stdout; lie: what is told instead of the truth."""
        z = zlib.compressobj(1, zlib.DEFLATED, -15)
        body = z.compress(data) + z.flush(zlib.Z_FULL_FLUSH)
        spans = lie.get("spans", b"\0" + leb(len(data)) + b"\0")
        blob = spans + lie.get("body", body)
        self.send("out", cmd, 0, off, lie.get("raw", len(data)), lie.get("lines", data.count(b"\n")), lie.get("crc", f"{zlib.crc32(data):08x}"), len(spans),
                  lie.get("bcrc", f"{zlib.crc32(blob):08x}"), blob=blob)

    def close(self):
        self.socket.close()


def leb(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])
