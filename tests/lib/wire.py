"""The worker protocol a second time, from docs/protocol.md alone: lines and blobs, records, spans, chunks, the join token, a link.

Nothing here was taken from the programs, and the verbs are read from that page: what it says wrongly, or leaves out, shows as a
failing test. wire_worker.py is a worker made of this, wire_master.py a master.
"""
import collections
import hashlib
import os
import re
import select
import socket
import ssl
import time
import zlib

PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs/protocol.md")
VERSION = 1
LINE_MAX = 4096           # with the LF
TOKENS_MAX = 16
UNKNOWN_MAX = 16 << 20    # blob of an unknown verb
NUMBER_MAX = 2**63 - 1
CHUNK_MAX = 65536         # raw bytes
READ_SIZE = 65536
LINE = re.compile(rb"[a-z]{1,16}(?: [A-Za-z0-9._:/+=@,-]{1,255}){0,%d}" % TOKENS_MAX)
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
KEY = re.compile(r"[a-z_]{1,32}")
Verb = collections.namedtuple("Verb", "sender tokens blob")  # blob: its greatest size, None where there is none


class Malformed(Exception):
    """The link can't go on: `bye protocol`."""


class Closed(Exception):
    """The other side is gone."""


def verbs_of(page):
    """Section 8: verb -> Verb."""
    found = {}
    for line in page.split("## 8. Verbs")[1].split("## 9.")[0].splitlines():
        cells = [c.strip() for c in line.split("|")[1:-1]]
        if len(cells) == 4 and cells[1] in ("worker", "master", "both"):
            found[cells[0]] = Verb(cells[1], cells[2].split(), int(cells[3].split()[1]) if cells[3] else None)
    return found


def page_verbs():
    with open(PAGE, encoding="utf-8") as f:
        return verbs_of(f.read())


VERBS = page_verbs()


# ---- values ----

def number(token):
    if not NUMBER.fullmatch(token) or int(token) > NUMBER_MAX:
        raise Malformed(f"no number: {token}")
    return int(token)


def ident(token):
    """`<incarnation>-<n>` as a pair, which compares as ids do."""
    first, hyphen, second = token.partition("-")
    if not hyphen:
        raise Malformed(f"no id: {token}")
    return number(first), number(second)


def crc(data):
    return f"{zlib.crc32(data):08x}"


def records(*pairs):
    """A blob of records; a value is text, bytes or a number."""
    out = b""
    for key, value in pairs:
        value = value if isinstance(value, bytes) else str(value).encode()
        if not KEY.fullmatch(key) or b"\0" in value:
            raise ValueError(f"no record: {key}={value!r}")
        out += key.encode() + b"=" + value + b"\0"
    return out


def read_records(blob):
    """The pairs of a blob, in their order, values as bytes."""
    if blob and not blob.endswith(b"\0"):
        raise Malformed("records without their end")
    pairs = []
    for record in blob.split(b"\0")[:-1]:
        key, equals, value = record.partition(b"=")
        if not equals or not KEY.fullmatch(key.decode("latin-1")):
            raise Malformed(f"no record: {record[:60]!r}")
        pairs.append((key.decode(), value))
    return pairs


def leb128(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def read_leb128(data):
    """All numbers of `data`."""
    numbers, value, shift = [], 0, 0
    for b in data:
        value |= (b & 127) << shift
        shift += 7
        if not b & 128:
            numbers.append(value)
            value = shift = 0
    if shift:
        raise Malformed("a number without its end")
    return numbers


# ---- messages ----

class Message:
    def __init__(self, verb, args=(), blob=None):
        self.verb, self.args, self.blob = verb, [str(a) for a in args], blob

    def encode(self):
        line = " ".join([self.verb, *self.args] + ([f"+{len(self.blob)}"] if self.blob is not None else []))
        return line.encode() + b"\n" + (self.blob + b"\n" if self.blob is not None else b"")

    def __getattr__(self, name):
        """A token by the name that the page gives it."""
        names = VERBS[self.verb].tokens if self.verb in VERBS else []
        if name not in names:
            raise AttributeError(name)
        return self.args[names.index(name)]

    def records(self):
        return read_records(self.blob or b"")

    def value(self, key, default=None):
        return next((v for k, v in self.records() if k == key), default)

    def __repr__(self):
        return " ".join([self.verb, *self.args]) + (f" +{self.blob[:200]!r}" if self.blob is not None else "")


class Parser:
    """Bytes to messages. `sender` is who sends them: a verb of the other side is malformed."""

    def __init__(self, sender):
        self.sender, self.data, self.head, self.need = sender, bytearray(), None, 0

    def feed(self, data):
        self.data += data

    def next(self):
        """A message, or None until there is more."""
        if self.head is None and not self.line():
            return None
        message = self.head
        if message.blob is not None:
            if len(self.data) <= self.need:
                return None
            if self.data[self.need] != ord("\n"):
                raise Malformed("no LF after a blob")
            message.blob = bytes(self.data[:self.need])
            del self.data[:self.need + 1]
        self.head = None
        return message

    def line(self):
        end = self.data.find(b"\n", 0, LINE_MAX)
        if end < 0:
            if len(self.data) >= LINE_MAX:
                raise Malformed("a line that is too long")
            return False
        line = bytes(self.data[:end])
        del self.data[:end + 1]
        if not LINE.fullmatch(line):
            raise Malformed(f"no line: {line[:80]!r}")
        verb, *args = line.decode().split(" ")
        blob = None
        if args and args[-1].startswith("+"):
            self.need, blob = number(args.pop()[1:]), b""
        known = VERBS.get(verb)
        most = UNKNOWN_MAX if not known else -1 if known.blob is None else known.blob
        if blob is not None and self.need > most:
            raise Malformed(f"too large a blob: {verb} +{self.need}")
        if known and (known.sender not in (self.sender, "both") or len(args) != len(known.tokens)):
            raise Malformed(f"no message: {line[:80]!r}")
        self.head = Message(verb, args, blob)
        return True


# ---- chunks of output ----

Chunk = collections.namedtuple("Chunk", "raw lines spans deflated")  # spans: [(channel, length, milliseconds)]


def deflate(data):
    z = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return z.compress(data) + z.flush(zlib.Z_FULL_FLUSH)


def out(cmd, stream, off, data, spans, table=None, body=None):
    """The message `out` of these bytes; table and body: what the blob holds instead of the spans and of the deflated bytes, for lies."""
    table = b"".join(leb128(n) for span in spans for n in span) if table is None else table
    blob = table + (deflate(data) if body is None else body)
    return Message("out", [cmd, stream, off, len(data), data.count(b"\n"), crc(data), len(table), crc(blob)], blob)


def read_chunk(message):
    """The Chunk of a message `out`; Malformed where anything that it says of itself is wrong."""
    raw, table = number(message.raw), number(message.spans)
    if raw > CHUNK_MAX or table > len(message.blob) or crc(message.blob) != message.bcrc:
        raise Malformed(f"bad chunk: {message.args}")
    numbers = read_leb128(message.blob[:table])
    spans = list(zip(numbers[::3], numbers[1::3], numbers[2::3]))
    deflated, z = message.blob[table:], zlib.decompressobj(-zlib.MAX_WBITS)
    data = z.decompress(deflated, raw + 1)
    whole = len(data) == raw and not z.eof and not z.unconsumed_tail and deflated.endswith(b"\0\0\xff\xff")
    if not whole or len(numbers) % 3 or sum(s[1] for s in spans) != raw or any(s[0] > 1 for s in spans):
        raise Malformed(f"bad chunk: {message.args}")
    if crc(data) != message.crc or data.count(b"\n") != number(message.lines):
        raise Malformed(f"a chunk's bytes are others: {message.args}")
    return Chunk(data, data.count(b"\n"), spans, deflated)


# ---- the join token, connections ----

class Token:
    """HOST:PORT[,HOST:PORT…]#spki-sha256:HEX[,…]#name:secret"""

    def __init__(self, text):
        addresses, pins, who = text.strip().split("#")
        self.addresses = addresses.split(",")
        self.pins = [p.removeprefix("spki-sha256:") for p in pins.split(",") if p]
        self.name, self.secret = who.split(":")


def der(data, at):
    """(where the contents begin, where they end) of the element at `at`."""
    n = data[at + 1]
    if n < 128:
        return at + 2, at + 2 + n
    size = int.from_bytes(data[at + 2:at + 2 + (n & 127)], "big")
    return at + 2 + (n & 127), at + 2 + (n & 127) + size


def spki_of(certificate):
    """The SubjectPublicKeyInfo of an X.509 certificate (both DER): the seventh of its fields, with the version."""
    at = der(certificate, der(certificate, 0)[0])[0]
    for _ in range(6 if certificate[at] == 0xA0 else 5):  # version, serial, algorithm, issuer, dates, subject
        at = der(certificate, at)[1]
    return certificate[at:der(certificate, at)[1]]


def dial(address, pins=(), seconds=10):
    """A connected socket, over TLS unless it is a unix one."""
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(seconds)
        s.connect(address[5:])
        return s
    host, _, port = address.rpartition(":")
    s = socket.create_connection((host.strip("[]"), int(port)), seconds)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the pin says who it is
    context.set_alpn_protocols(["drover"])
    s = context.wrap_socket(s)
    if hashlib.sha256(spki_of(s.getpeercert(True))).hexdigest() not in pins:
        s.close()
        raise Malformed("not the master's key")
    return s


class Link:
    """Messages over a connected socket; pings are answered, and left out of what is read, as pongs are without `pongs`."""

    def __init__(self, sock, peer, pongs=False):
        self.sock, self.parser, self.pongs, self.dumb = sock, Parser(peer), pongs, False
        self.heard = self.said = time.monotonic()

    def send(self, verb, *args, blob=None):
        self.write(Message(verb, args, blob).encode())

    def write(self, data):
        try:
            self.sock.sendall(data)
            self.said = time.monotonic()
        except OSError as e:
            raise Closed(str(e)) from None

    def answer(self, ping):
        try:
            if not self.dumb:
                self.send("pong", ping.n)
        except Closed:
            pass  # what the other side said before is still to be read

    def fileno(self):
        return self.sock.fileno()

    def pending(self):
        """Whether there is something to read that select would not tell of."""
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    def poll(self):
        """The next whole message of what has come, None until more does."""
        while message := self.parser.next():
            if message.verb == "ping":
                self.answer(message)
            elif message.verb != "pong" or self.pongs:
                return message
        return None

    def read(self):
        """Takes what has come. At the other side's end: Closed."""
        try:
            data = self.sock.recv(READ_SIZE)
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        except OSError as e:
            raise Closed(str(e)) from None
        if not data:
            raise Closed("closed")
        self.heard = time.monotonic()
        self.parser.feed(data)

    def receive(self, seconds):
        """The next message; None where none came in that time."""
        end = time.monotonic() + seconds
        while True:
            if message := self.poll():
                return message
            left = end - time.monotonic()
            if left <= 0:
                return None
            if self.pending() or select.select([self.sock], [], [], left)[0]:
                self.read()

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass
