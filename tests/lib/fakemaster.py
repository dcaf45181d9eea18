"""A master for tests of the worker: speaks docs/protocol.md over a unix socket or TLS, and checks all that a worker sends.

    with Bench() as b:                     # a folder, a listening socket, a worker that is started when asked
        b.worker.start()
        s = b.master.accept()              # hello, welcome, have..., listed
        out = s.run_all({"1-1": ["echo", "hi"]})
        out["1-1"].text, out["1-1"].exit["code"]
"""
import hashlib
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import zlib

from cover import KILL
from drover import BUSY, busy, tell
import groups

BUILD = os.path.abspath(os.environ.get("DROVER_BUILD", "build"))
WORKER = os.path.abspath(os.environ.get("DROVER_WORKER") or os.path.join(BUILD, "drover-worker"))
# Other builds of it: tests/flow/test_posix.py runs these tests with them.
STATIC, PLAIN = not os.environ.get("DROVER_WORKER"), "/plain/" in WORKER  # plain: nothing but POSIX
SECRET = "s" * 40
DEADLINE = 20.0 * BUSY

VERB_TOKENS = {
    "hello": "version name instance boot conn high features", "have": "cmd epoch state stream lo hi", "listed": "count",
    "state": "cmd epoch state", "out": "cmd stream off raw lines crc spans bcrc",
    "fed": "cmd off limit state", "exit": "cmd epoch how code reason len crc lines wall_ms user_ms sys_ms maxrss_kib", "done": "req tag", "data": "req off",
    "ping": "n", "pong": "n", "bye": "reason", "error": "tag what",
}

# A worker that itself runs under a drover must not hand that command's id on to what is started here.
os.environ.pop("DROVER_COMMAND", None)


class ProtocolError(Exception):
    pass


class Gone(Exception):
    """The worker closed the link."""


class Message:
    def __init__(self, verb, tokens, blob):
        self.verb, self.tokens, self.blob = verb, tokens, blob
        names = VERB_TOKENS[verb].split() if verb in VERB_TOKENS else []
        if verb in VERB_TOKENS and len(tokens) != len(names):
            raise ProtocolError(f"{verb}: {len(tokens)} tokens")
        self.field = dict(zip(names, tokens))

    def __getitem__(self, name):
        v = self.field[name]
        return int(v) if name not in ("crc", "bcrc", "features") and v.isdigit() else v

    def __repr__(self):
        return f"<{self.verb} {' '.join(self.tokens)}{'' if self.blob is None else ' +%d' % len(self.blob)}>"


def records(*pairs):
    return b"".join(k.encode() + b"=" + (v if isinstance(v, bytes) else str(v).encode()) + b"\0" for k, v in pairs)


def parse_records(blob):
    if blob and blob[-1:] != b"\0":
        raise ProtocolError("records don't end in NUL")
    return [(k.decode(), v) for k, _, v in (r.partition(b"=") for r in blob.split(b"\0")[:-1])]


def encode(verb, *tokens, blob=None):
    line = " ".join([verb, *map(str, tokens)])
    if blob is None:
        return line.encode() + b"\n"
    return f"{line} +{len(blob)}\n".encode() + blob + b"\n"


def decode_leb(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return value, at


class Log:
    """One command's output as the database would hold it: only whole, contiguous, checked chunks."""

    def __init__(self):
        self.data = bytearray()
        self.parts = []       # (channel, bytes) in order
        self.times = []       # milliseconds, of each of these
        self.borders = [0]
        self.lines = 0
        self.exit = None
        self.text_of_exit = None
        self.keep = True
        self.length = 0
        self.crc = 0
        self.deflated = []

    def add(self, m):
        off, raw = m["off"], m["raw"]
        if off != self.length:
            raise ProtocolError(f"{m}: the log has {self.length}")
        if not 0 < raw <= 65536:
            raise ProtocolError(f"{m}: raw")
        if zlib.crc32(m.blob) != int(m["bcrc"], 16):
            raise ProtocolError(f"{m}: bcrc")
        spans, body = m.blob[:m["spans"]], m.blob[m["spans"]:]
        z = zlib.decompressobj(-15)
        data = z.decompress(body, 65537)
        if len(data) != raw or z.unconsumed_tail or zlib.crc32(data) != int(m["crc"], 16) or data.count(b"\n") != m["lines"]:
            raise ProtocolError(f"{m}: contents")
        if body[-4:] != b"\0\0\xff\xff":
            raise ProtocolError(f"{m}: not ended by a full flush")
        at = start = 0
        while at < len(spans):
            channel, at = decode_leb(spans, at)
            size, at = decode_leb(spans, at)
            ms, at = decode_leb(spans, at)
            if self.keep:
                self.times.append(ms)
                self.parts.append((channel, data[start:start + size]))
            start += size
        if start != raw:
            raise ProtocolError(f"{m}: spans")
        self.length += raw
        self.crc = zlib.crc32(data, self.crc)
        self.lines += m["lines"]
        self.borders.append(self.length)
        if self.keep:
            self.data += data
            self.deflated.append(body)

    def end(self, m):
        if (m["len"], int(m["crc"], 16), m["lines"]) != (self.length, self.crc, self.lines):
            raise ProtocolError(f"{m}: the log has {self.length} {self.crc:08x} {self.lines}")
        self.exit = m
        self.text_of_exit = m.blob.decode()

    @property
    def text(self):
        return bytes(self.data)

    def channel(self, n):
        return b"".join(d for c, d in self.parts if c == n)

    def cut_to(self, off):
        """Forgets what lies behind a border, as a master would whose last commit was lost."""
        assert off in self.borders
        self.borders = [b for b in self.borders if b <= off]
        del self.data[off:]
        self.length, self.crc, self.lines = off, zlib.crc32(self.data), self.data.count(b"\n")
        left, parts = off, []
        for c, d in self.parts:
            if left > 0:
                parts.append((c, d[:left]))
                left -= len(d)
        self.parts, self.exit = parts, None
        del self.deflated[len(self.borders) - 1:]


class Session:
    """One connection of a worker."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.setblocking(False)
        self.inbox = bytearray()
        self.parsed = 0
        self.hello = None
        self.have = []
        self.limits = {}
        self.seen = []

    # -- bytes --
    def send_bytes(self, data):
        view = memoryview(data)
        deadline = time.monotonic() + DEADLINE
        while view:
            try:
                view = view[self.sock.send(view):]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if time.monotonic() > deadline:
                    raise TimeoutError("the worker takes nothing")
                self._fill(0.05)
            except (BrokenPipeError, ConnectionResetError) as e:
                raise Gone() from e

    def send(self, verb, *tokens, blob=None):
        self.send_bytes(encode(verb, *tokens, blob=blob))

    def _fill(self, timeout):
        """Reads what is there, waiting at most timeout. False: nothing came."""
        pending = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
        if not pending:
            ready, _, _ = select.select([self.sock], [], [], max(0, timeout))
            if not ready:
                return False
        try:
            data = self.sock.recv(1 << 18)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except ConnectionResetError as e:
            raise Gone() from e
        if not data:
            raise Gone()
        self.inbox += data
        return True

    def _cut(self):
        lf = self.inbox.find(b"\n", self.parsed, self.parsed + 4096)
        if lf < 0:
            if len(self.inbox) - self.parsed >= 4096:
                raise ProtocolError("a line without end")
            return None
        words = self.inbox[self.parsed:lf].decode("ascii").split(" ")
        end, blob = lf + 1, None
        if len(words) > 1 and words[-1].startswith("+"):
            n = int(words.pop()[1:])
            if len(self.inbox) < end + n + 1:
                return None
            blob = bytes(self.inbox[end:end + n])
            if self.inbox[end + n] != 10:
                raise ProtocolError("no LF behind a blob")
            end += n + 1
        self.parsed = end
        if self.parsed > 1 << 20 or self.parsed == len(self.inbox):
            del self.inbox[:self.parsed]
            self.parsed = 0
        return Message(words[0], words[1:], blob)

    def recv(self, timeout=DEADLINE, pings=False):
        """The next message; pings are answered here unless asked for. TimeoutError, Gone."""
        deadline = time.monotonic() + timeout
        while True:
            m = self._cut()
            if m is not None:
                self.seen.append(m.verb)
                if m.verb == "ping" and not pings:
                    self.send("pong", m["n"])
                    continue
                if m.verb == "pong" and not pings:
                    continue
                return m
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no message in {timeout} s")
            self._fill(left)

    def expect(self, verb, timeout=DEADLINE, **fields):
        m = self.recv(timeout)
        if m.verb != verb or any(str(m.field[k]) != str(v) for k, v in fields.items()):
            raise ProtocolError(f"expected {verb} {fields}, got {m} {m.blob if m.verb in ('error', 'exit') else ''}")
        return m

    def expect_gone(self, timeout=DEADLINE, bye=None):
        """The worker closes; said bye before, if bye is given."""
        said = []
        try:
            while True:
                m = self.recv(timeout)
                said += [m["reason"]] if m.verb == "bye" else []
        except Gone:
            pass
        if bye is not None and bye not in said:
            raise ProtocolError(f"no bye {bye}: {said}")

    # -- greeting --
    def greet(self, incarnation=1, ping_ms=60000):  # who is silent for three of these is gone: a test may do something else meanwhile
        self.hello = self.recv()
        if self.hello.verb != "hello":
            raise ProtocolError(f"{self.hello} instead of hello")
        self.facts = dict(parse_records(self.hello.blob))
        self.send("welcome", 1, "1-1", "cluster", incarnation, ping_ms, 1800000, "-")
        self.take_inventory()
        return self

    def take_inventory(self):
        self.have = []
        while True:
            m = self.recv()
            if m.verb == "have":
                self.have.append(m)
            elif m.verb == "listed":
                if m["count"] != len(self.have):
                    raise ProtocolError("listed a wrong count")
                return self.have
            else:
                raise ProtocolError(f"{m} in the inventory")

    def has(self, cmd):
        return next((m for m in self.have if m["cmd"] == cmd), None)

    # -- commands --
    def run(self, cmd, argv, *more, build=1, epoch="1-1", limit=1 << 20):
        blob = records(*[("arg", a) for a in argv], *more)
        self.limits[cmd] = limit
        self.send("run", cmd, build, epoch, limit, blob=blob)

    def resume(self, cmd, off, epoch="1-1", limit=None):
        limit = off + (1 << 20) if limit is None else limit
        self.limits[cmd] = limit
        self.send("resume", cmd, epoch, 0, off, limit)

    def take_out(self, m, log, window=1 << 20):
        if m["off"] + m["raw"] > self.limits[m["cmd"]]:
            raise ProtocolError(f"{m}: credit ends at {self.limits[m['cmd']]}")
        log.add(m)
        if window and log.length + window // 2 > self.limits[m["cmd"]]:
            self.limits[m["cmd"]] = log.length + window
            self.send("ack", m["cmd"], 0, log.length, log.length + window)

    def collect(self, logs, timeout=20.0, window=1 << 20, states=True):
        """Until every log of the dict has its exit. timeout: on a machine that is not busy."""
        deadline = time.monotonic() + timeout * busy()
        while any(log.exit is None for log in logs.values()):
            m = self.recv(max(0.01, deadline - time.monotonic()))
            if m.verb == "out":
                self.take_out(m, logs[m["cmd"]], window)
            elif m.verb == "exit":
                logs[m["cmd"]].end(m)
            elif m.verb != "state" or not states:
                raise ProtocolError(f"{m} {m.blob}")
        return logs

    def run_all(self, commands, **args):
        """{id: argv or (argv, records...)} -> {id: Log}, forgotten at the end."""
        for cmd, argv in commands.items():
            more = ()
            if isinstance(argv, tuple):
                argv, *more = argv
            self.run(cmd, argv, *more)
        logs = self.collect({cmd: Log() for cmd in commands}, **args)
        for cmd in commands:
            self.send("forget", cmd)
        return logs

    def sh(self, cmd, script, *more, **args):
        return self.run_all({cmd: (["sh", "-c", script], *more)}, **args)[cmd]

    def ask(self, verb, *numbers, blob=None, req=1):
        """A file operation with an answer of any length: its tag, its records (or sentence), its bytes."""
        self.send(verb, req, *numbers, blob=blob)
        data = bytearray()
        while True:
            m = self.recv()
            if m["req"] != req or m.verb not in ("data", "done"):
                raise ProtocolError(f"{m} in the answer to {verb} {req}")
            if m.verb == "done":
                return m["tag"], (dict(parse_records(m.blob)) if m["tag"] == "ok" else m.blob), bytes(data)
            if m["off"] != len(data) or not m.blob:
                raise ProtocolError(f"{m}: the answer has {len(data)} bytes")
            data += m.blob

    def file_op(self, verb, path, req=1):
        tag, told, _ = self.ask(verb, blob=path if isinstance(path, bytes) else path.encode(), req=req)
        return tag, told

    def list(self, path, most=1000, after=None, req=1):
        """Tag, what `done` told, the entries as dicts."""
        tag, told, data = self.ask("list", most, blob=records(("path", path), *([("after", after)] if after is not None else [])), req=req)
        entries = []
        for key, value in parse_records(data):
            if key == "name":
                entries.append({})
            entries[-1][key] = value
        return tag, told, entries

    def put(self, path, data, mode=0o644, off=0, end=None, req=1, **lie):
        """data[off:end] of a file that holds data in the end."""
        head = records(("path", path), ("size", lie.get("size", len(data))), ("mode", "%o" % mode), ("sum", lie.get("sum") or hashlib.sha256(data).hexdigest()))
        return self.ask("put", off, len(head), blob=head + data[off:end], req=req)[:2]

    def put_all(self, path, data, mode=0o644, step=1 << 20):
        """From wherever it stands to its end."""
        told = self.put(path, data, mode, 0, 0)[1] if data else {"have": b"0"}
        while told.get("complete") != b"1":
            off = int(told["have"])
            tag, told = self.put(path, data, mode, off, off + step)
            if tag != "ok":
                return tag
        return "ok"

    def put_tree(self, path, entries, req=1):
        """entries: (name, type, mode, bytes)."""
        head = records(("path", path))
        body = b"".join(records(("name", n), ("type", t), ("mode", "%o" % m), ("size", len(b))) + b for n, t, m, b in entries)
        return self.ask("puttree", len(head), blob=head + body, req=req)[:2]

    def get_tree(self, path, most=1 << 20, after=None, req=1):
        """Tag, what `done` told, the entries as for put_tree."""
        tag, told, data = self.ask("gettree", most, blob=records(("path", path), *([("after", after)] if after is not None else [])), req=req)
        entries, at = [], 0
        while at < len(data):
            values = []
            for key in (b"name=", b"type=", b"mode=", b"size="):
                end = data.index(b"\0", at)
                if not data.startswith(key, at):
                    raise ProtocolError(f"no {key} at {at} of a tree")
                values.append(data[at + len(key):end])
                at = end + 1
            size = int(values[3])
            entries.append((values[0], values[1].decode(), int(values[2], 8), data[at:at + size]))
            at += size
        return tag, told, entries

    def get(self, path, off=0, most=1 << 20, version=None, req=1):
        return self.ask("get", off, most, blob=records(("path", path), *([("version", version)] if version is not None else [])), req=req)

    def close(self):
        self.sock.close()


class Master:
    """A listening socket: a unix one, or TLS on 127.0.0.1 when there is a certificate."""

    def __init__(self, folder, tls=None):
        self.tls, self.sessions = tls, []
        if tls:
            self.sock = socket.create_server(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]
        else:
            self.path = os.path.join(folder, "master.sock")
            if os.path.exists(self.path):
                os.unlink(self.path)
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(self.path)
            self.sock.listen(64)
            self.address = "unix:" + self.path

    def accept_raw(self, timeout=DEADLINE):
        self.sock.settimeout(timeout)
        conn, _ = self.sock.accept()
        conn.settimeout(timeout)
        if self.tls:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                conn = self.tls.context.wrap_socket(conn, server_side=True)
            except OSError:
                conn.close()
                raise
        self.sessions = [s for s in self.sessions if s.sock.fileno() >= 0] + [Session(conn)]
        return self.sessions[-1]

    def drop_waiting(self):
        """Connections that nobody has accepted: of a worker that is dead, which may have dialled once more before it was killed."""
        self.sock.settimeout(0)
        try:
            while True:
                self.sock.accept()[0].close()
        except BlockingIOError:
            pass

    def accept(self, timeout=DEADLINE, **args):
        return self.accept_raw(timeout).greet(**args)

    def close(self):
        for s in self.sessions:
            s.close()
        self.sock.close()


class Tls:
    """A self-signed P-256 certificate made by the openssl program, and the pin of its key."""

    def __init__(self, folder, name="master"):
        key, cert = os.path.join(folder, name + ".key"), os.path.join(folder, name + ".crt")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=drover"], check=True, capture_output=True)
        der = subprocess.run("openssl x509 -in '%s' -pubkey -noout | openssl pkey -pubin -outform DER" % cert, shell=True,
                             check=True, capture_output=True).stdout
        self.pin = "spki-sha256:" + hashlib.sha256(der).hexdigest()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.context.set_alpn_protocols(["drover"])


class Worker:
    """A drover-worker on a state folder; started and killed as often as one likes."""

    def __init__(self, folder, token, env=None, options=()):
        self.options = list(options)  # of each start
        self.dir, self.token_file = os.path.join(folder, "state"), os.path.join(folder, "token")
        self.env = dict(os.environ, **(env or {}))
        self.process, self.program = None, WORKER
        self.errors = os.path.join(folder, "worker.err")
        self.set_token(token)

    def set_token(self, token):
        with open(os.open(self.token_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(token + "\n")

    def start(self, *args, **env):
        with open(self.errors, "ab") as err:
            self.process = subprocess.Popen(
                [self.program, "--join-file", self.token_file, "--dir", self.dir, "--log-level", "debug", *self.options, *args],
                stdin=subprocess.DEVNULL, stderr=err, env=dict(self.env, **env))
        return self

    def kill(self, sig=KILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(DEADLINE) if self.process else None
        self.process = None
        return code

    def stop(self):
        return self.kill(signal.SIGTERM)

    def minder(self, cmd):
        """Its pid, once it has started the command."""
        def find():
            try:
                with open(self.spool(cmd, "started")) as f:
                    told = f.read().split()
                return int(told[3]) if told[0] == cmd else 0  # its folder may have been another command's
            except (FileNotFoundError, IndexError):
                return 0
        return wait_for(find)

    @property
    def work(self):
        return os.path.join(self.dir, "work")

    def spool(self, cmd, *names):
        return os.path.join(self.dir, "spool", cmd, *names)

    def has_result(self, cmd):
        """Before it is written its file keeps room for it, and holds zeros."""
        try:
            with open(self.spool(cmd, "result"), "rb") as f:
                return f.read(len(cmd)) == cmd.encode()
        except FileNotFoundError:
            return False

    def log_text(self):
        with open(self.errors, errors="replace") as f:
            return f.read()


def processes_with(text):
    """Pids whose environment or command line holds the text."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rpartition(")")[2].split()[0] in "ZX":
                    continue
            for name in ("environ", "cmdline"):
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    if text.encode() in f.read():
                        found.append(int(pid))
                        break
        except OSError:
            pass
    return found


def wait_for(what, timeout=20.0, message="waited in vain"):
    begin = time.monotonic()
    while True:
        got = what()
        if got:
            return got
        passed = time.monotonic() - begin
        if passed > timeout and passed > timeout * busy():
            raise TimeoutError(message)
        time.sleep(0.005)


class Bench:
    """A folder with a master and a worker in it; everything is ended and removed at the end."""

    def __init__(self, tls=False, base=None, env=None, options=()):
        self.folder = tempfile.mkdtemp(prefix="drover-worker-test-", dir=base)
        os.chmod(self.folder, 0o755)
        self.tls = Tls(self.folder) if tls else None
        self.master = Master(self.folder, self.tls)
        token = f"{self.master.address}#{self.tls.pin if tls else ''}#w1:{SECRET}"
        self.worker = Worker(self.folder, token, env, options)

    def __enter__(self):
        return self

    def _end_commands(self):
        """Asks each minder to end its tree at once, since only the minder knows all of it."""
        spool = os.path.join(self.worker.dir, "spool")
        for cmd in os.listdir(spool) if os.path.isdir(spool) else []:
            try:
                fd = os.open(os.path.join(spool, cmd, "ctl"), os.O_WRONLY | os.O_NONBLOCK)
                os.write(fd, b"kill 0 cancel\n")
                os.close(fd)
            except OSError:
                pass

    def __exit__(self, *_):
        self.worker.kill()
        self._end_commands()
        try:
            wait_for(lambda: not self._left(), 2)
        except TimeoutError:
            for pid in self._left():
                tell(pid, signal.SIGKILL)
        self.master.close()
        groups.sweep(self.worker.dir)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _left(self):
        """Minders, and whatever works below our folder."""
        left = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
                if words[0] == b"drover-worker" and any(w.startswith(self.folder.encode()) for w in words):
                    left.append(int(pid))
                elif os.readlink(f"/proc/{pid}/cwd").startswith(self.worker.work) and int(pid) != os.getpid():
                    left.append(int(pid))
            except OSError:
                pass
        return left

    def connect(self, **args):
        if not self.worker.process:
            self.master.drop_waiting()
            self.worker.start()
        return self.master.accept(**args)
