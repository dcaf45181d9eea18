"""A master in Python, from docs/protocol.md alone (wire.py): greets workers, sends them operations one by one, collects output.

Synchronous: whoever calls waits, with a deadline, and in the meantime pings are answered, output is checked, kept and acked.
"""
import hashlib
import os
import socket
import ssl
import subprocess
import time

import wire
from drover import busy

WINDOW = 256 << 10
PING_MS = 60000   # of a session whose matter is not silence: nobody reads it all the time
SECONDS = 30
SECRET = "a-secret-of-at-least-32-characters"


class Unexpected(AssertionError):
    pass


class Output:
    """What a command wrote, as far as it came, checked chunk by chunk; its exit record, and what else was told of it."""

    def __init__(self, cmd):
        self.cmd, self.data, self.lines, self.spans, self.deflated = cmd, b"", 0, [], b""
        self.exit, self.states, self.report = None, [], None
        self.files = {}  # those that are followed, by stream

    def of(self, stream):
        """The same of one of its streams."""
        return self if stream == "0" else self.files.setdefault(stream, Output(self.cmd))

    def take(self, message):
        if wire.number(message.off) != len(self.data):
            raise Unexpected(f"{message}: {len(self.data)} bytes are there")
        chunk = wire.read_chunk(message)
        self.data, self.lines, self.deflated = self.data + chunk.raw, self.lines + chunk.lines, self.deflated + chunk.deflated
        self.spans += chunk.spans

    def ended(self, message):
        if (wire.number(message.len), message.crc, wire.number(message.lines)) != (len(self.data), wire.crc(self.data), self.lines):
            raise Unexpected(f"{message}: {len(self.data)} bytes and {self.lines} lines came")
        told = {k: v for k, _, v in (x.decode().partition(" ") for n, x in (message.records() if message.how != "failed" else []) if n == "log")}
        for stream, (length, crc, lines, _, _) in ((k, v.split()) for k, v in told.items()):
            f = self.of(stream)
            if (int(length), crc, int(lines)) != (len(f.data), wire.crc(f.data), f.lines):
                raise Unexpected(f"{message}: {len(f.data)} bytes and {f.lines} lines of stream {stream} came")
        if set(self.files) - set(told):
            raise Unexpected(f"{message}: nothing of {set(self.files) - set(told)}")
        self.exit = message

    @property
    def result(self):
        """how, code, reason"""
        return self.exit.how, int(self.exit.code), self.exit.reason

    def channel(self, n):
        at, out = 0, b""
        for channel, length, _ in self.spans:
            out += self.data[at:at + length] if channel == n else b""
            at += length
        return out


class Answer:
    """Of a file operation: the tag, the records of its `done` (or the sentence), the bytes of `data`."""

    def __init__(self, done, data):
        self.tag, self.data = done.tag, data
        self.records = {k: v.decode() for k, v in done.records()} if done.tag == "ok" else {}
        self.why = "" if done.tag == "ok" else done.blob.decode()

    def __repr__(self):
        return f"{self.tag} {self.why or self.records} {self.data[:200]!r}"


class Session:
    """A link that has said hello. `have`: what the worker said that it has, by command."""

    def __init__(self, master, sock):
        self.master, self.link = master, wire.Link(sock, "worker", pongs=True)
        self.have, self.told, self.requests = {}, [], 0

    def greet(self, incarnation, ping_ms, features="-"):
        self.hello = self.expect("hello")
        self.facts = {k: v.decode() for k, v in self.hello.records()}
        self.features = self.hello.features.split(",")
        if self.facts.pop("secret", None) != self.master.secret or self.hello.version != str(wire.VERSION):
            raise Unexpected(repr(self.hello))
        self.say("welcome", wire.VERSION, "1-1", "second", incarnation, ping_ms, WINDOW, features)
        self.inventory()
        return self

    def inventory(self):
        """Takes the `have` lines up to `listed`."""
        self.have, self.have_files = {}, {}
        while (m := self.expect("have", "listed")).verb == "have":
            wire.ident(m.cmd), wire.ident(m.epoch)
            if m.stream == "0":
                self.have[m.cmd] = m
            else:
                self.have_files[m.cmd, m.stream] = m
        if wire.number(m.count) != len(self.have) + len(self.have_files):
            raise Unexpected(f"{m}: {len(self.have)} and {len(self.have_files)} came")

    def say(self, verb, *args, blob=None):
        self.link.send(verb, *args, blob=blob)

    def pump(self, seconds=SECONDS):
        """One message, after what it means for outputs; None at the deadline."""
        m = self.link.receive(seconds)
        if m and m.verb in ("out", "exit", "state", "report") and m.cmd in self.master.outputs:
            self.keep(self.master.outputs[m.cmd], m)
        return m

    def keep(self, output, m):
        if m.verb == "out":
            if self.master.deaf:
                return
            stream = output.of(m.stream)
            stream.take(m)
            if self.master.acks:
                self.say("ack", m.cmd, m.stream, len(stream.data), len(stream.data) + WINDOW)
        elif m.verb == "exit":
            output.ended(m)
        elif m.verb == "state":
            output.states.append(m.state)
        else:
            output.report = m.records()

    def until(self, condition, what, seconds=SECONDS):
        """Messages, until the condition says something of one (or of the state of things)."""
        end = time.monotonic() + seconds * busy()
        while True:
            m = self.pump(max(0, end - time.monotonic()))
            if m is None:
                raise Unexpected(f"waited in vain for {what}; the last: {self.told[-10:]}")
            self.told.append(m)
            if got := condition(m):
                return got

    def expect(self, *verbs, seconds=SECONDS):
        """The next message, which is one of these."""
        m = self.until(lambda m: m, " or ".join(verbs), seconds)
        if m.verb not in verbs:
            raise Unexpected(f"not {verbs}: {m}")
        return m

    def end(self, seconds=SECONDS):
        """The reason of the worker's `bye` before it closed; None without one."""
        reason = None
        try:
            while True:
                m = self.until(lambda m: m, "the end of the link", seconds)
                reason = m.reason if m.verb == "bye" else reason
        except wire.Closed:
            return reason
        finally:
            self.close()

    def close(self):
        self.link.close()

    # ---- commands ----

    def run(self, *pairs, cmd=None, build=1, epoch=None, limit=WINDOW):
        """Sends `run`; its Output."""
        cmd = cmd or self.master.next()
        output = self.master.outputs.setdefault(cmd, Output(cmd))
        output.epoch = epoch or cmd
        self.say("run", cmd, build, output.epoch, limit, blob=wire.records(*pairs))
        return output

    def argv(self, *words, records=(), **more):
        return self.run(*records, *(("arg", w) for w in words), **more)

    def resume(self, output, stream=0):
        """Goes on with it on this link, from what is there."""
        output.exit = None
        there = len(output.of(str(stream)).data)
        self.say("resume", output.cmd, output.epoch, stream, there, there + WINDOW)

    def collect(self, output, seconds=SECONDS):
        """To the command's end, and forgets it; the Output."""
        if not output.exit:
            self.until(lambda m: output.exit, f"the exit of {output.cmd}", seconds)
        self.say("forget", output.cmd)
        return output

    def error(self, what):
        """The `error` about an id: its tag."""
        return self.until(lambda m: m.verb == "error" and m.what == what and m.tag, f"an error about {what}")

    # ---- file operations ----

    def send(self, verb, *args, blob=None):
        """A request that is not waited for; its number."""
        self.requests += 1
        self.say(verb, self.requests, *args, blob=blob)
        return str(self.requests)

    def answer(self, req, seconds=SECONDS):
        data = []

        def step(m):
            if m.verb == "data" and m.req == req:
                if wire.number(m.off) != sum(map(len, data)):
                    raise Unexpected(f"a gap: {m}")
                data.append(m.blob)
            return m.verb == "done" and m.req == req and m
        done = self.until(step, f"the answer to {req}", seconds)
        return Answer(done, b"".join(data))

    def ask(self, verb, *args, blob=None, **records):
        """One file operation, its blob given or made of records."""
        if records:
            blob = wire.records(*records.items())
        return self.answer(self.send(verb, *args, blob=blob))

    def put(self, path, data, mode="644", off=0, part=None, sum=None):
        head = wire.records(("path", path), ("size", len(data)), ("mode", mode), ("sum", sum or hashlib.sha256(data).hexdigest()))
        return self.ask("put", off, len(head), blob=head + (data[off:] if part is None else part))

    def puttree(self, path, *entries):
        head = wire.records(("path", path))
        return self.ask("puttree", len(head), blob=head + b"".join(entry(*e) for e in entries))


def entry(name, kind, mode, data=b""):
    """Of a tree, as bytes."""
    return wire.records(("name", name), ("type", kind), ("mode", mode), ("size", len(data))) + data


def read_entries(data):
    """Those of an answer, as tuples of entry()."""
    found, at = [], 0
    while at < len(data):
        end = at
        for _ in range(4):
            end = data.index(b"\0", end) + 1
        e = dict(wire.read_records(data[at:end]))
        size = int(e["size"]) if e["type"] != b"large" else 0
        found.append((e["name"].decode(), e["type"].decode(), e["mode"].decode(), data[end:end + size]))
        at = end + size
    return found


def read_list(data):
    """Entries of `list` or `glob`: a dict each, in which every key came in the page's order."""
    pairs, found = wire.read_records(data), []
    for i in range(0, len(pairs), 5):
        if [k for k, _ in pairs[i:i + 5]] != ["name", "type", "size", "mode", "mtime"]:
            raise Unexpected(f"another order: {pairs[i:i + 5]}")
        found.append(dict(pairs[i:i + 5]))
    return found


class Master:
    """Listens in `folder`, on a unix socket or (tls) on a port with a key made for it. `outputs` outlive links: they are its database."""

    def __init__(self, folder, tls=False, name="second", port=0):
        self.name, self.secret, self.outputs, self.count = name, SECRET, {}, 0
        self.incarnation, self.acks, self.deaf = 1, True, False
        self.pin, self.context = "", None
        if tls:
            self.make_key(folder)
            self.listener = socket.create_server(("127.0.0.1", port))
            self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        else:
            path = os.path.join(folder, "master.sock")
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.listener.listen()
            self.address = "unix:" + path
        self.token = f"{self.address}#{self.pin}#{name}:{self.secret}"

    def make_key(self, folder):
        key, cert = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=any", "-keyout", key, "-out", cert],
                       check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(cert) as f:
            self.pin = "spki-sha256:" + hashlib.sha256(wire.spki_of(ssl.PEM_cert_to_DER_cert(f.read()))).hexdigest()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.context.set_alpn_protocols(["drover"])

    def next(self):
        """A new command's id."""
        self.count += 1
        return f"{self.incarnation}-{self.count}"

    def socket(self, seconds=SECONDS):
        """The next connection."""
        self.listener.settimeout(seconds * busy())
        s = self.listener.accept()[0]
        s.settimeout(seconds * busy())
        return self.context.wrap_socket(s, server_side=True) if self.context else s

    def accept(self, ping_ms=PING_MS, seconds=SECONDS):
        """The next worker, greeted, its inventory read."""
        return Session(self, self.socket(seconds)).greet(self.incarnation, ping_ms)

    def close(self):
        self.listener.close()
