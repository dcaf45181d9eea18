"""A worker in Python, from docs/protocol.md alone (wire.py): it registers with a join token, runs commands and file operations in
a folder for real, and resumes after a lost link. One thread with one loop; its spool is in memory, so commands go with the object.

A test steers it by attributes: `cut_at` cuts the link in the midst of the chunk that passes that offset.
"""
import fcntl
import json
import os
import platform
import queue
import random
import secrets
import select
import shutil
import signal
import stat
import struct
import subprocess
import termios
import threading
import time
import traceback

from drover import busy
import wire

TICK_S = 0.05
CLOSE_S, FOLLOWED_S = 1.0, 0.1    # a chunk's age
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FEATURES = "disk,control,limits,input"
INPUT_WINDOW = 65536
MARKER_BYTES, MARKER_LINES = 256, 2
SIGNALS = "HUP INT QUIT KILL USR1 USR2 TERM ALRM CONT STOP TSTP WINCH".split()


class Refused(Exception):
    """An error tag and a sentence: what is answered instead of a result."""

    def __init__(self, tag, why=""):
        super().__init__(why)
        self.tag, self.why = tag, why


def beneath(work, path, follow=True):
    """The absolute path of a place below the work folder, links resolved; a link at its end only with `follow`."""
    if path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise Refused("badarg", "not below the work folder")
    full = os.path.join(work, path)
    folder, last = os.path.split(full.rstrip("/"))
    real = os.path.realpath(full) if follow else os.path.join(os.path.realpath(folder), last)
    if real != work and not real.startswith(work + "/"):
        raise Refused("outside", "a link leaves the work folder")
    return real


def size_of(text):
    """COLSxROWS."""
    sides = text.split("x")
    if len(sides) != 2 or not all(wire.NUMBER.fullmatch(s) and 1 <= int(s) <= 9999 for s in sides):
        raise Refused("badarg", "no size of a terminal")
    return int(sides[0]), int(sides[1])


def set_size(fd, size):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("4H", size[1], size[0], 0, 0))


def tag_of(e):
    known = {FileNotFoundError: "notfound", NotADirectoryError: "notdir", IsADirectoryError: "isdir", FileExistsError: "exists", PermissionError: "denied"}
    return known.get(type(e), "io")


class Spec:
    """What the records of a `run` ask for."""

    def __init__(self, work, cmd, blob):
        self.argv, self.env, self.folders, self.cwd, self.stdin = [], {"PATH": PATH, "DROVER_COMMAND": cmd}, [], work, None
        self.open, self.pty = False, None
        self.limits = {"idle": 0, "total": 0, "grace": 10000, "alone": 1680000, "limit_bytes": 0, "limit_lines": 0}
        for key, value in wire.read_records(blob):
            text = os.fsdecode(value)
            name, _, rest = text.partition("=")
            if key == "arg":
                self.argv.append(value)
            elif key == "env":
                self.env[name] = rest
            elif key in ("path", "prepend"):
                place, had = beneath(work, rest), self.env.get(name)
                self.env[name] = f"{place}:{had}" if key == "prepend" and had else place
            elif key == "unset":
                self.env.pop(text, None)
            elif key in ("fresh", "mkdir"):
                self.folders.append((key, beneath(work, text)))
            elif key == "cwd":
                self.cwd = beneath(work, text)
            elif key == "stdin":
                self.stdin = (self.stdin or b"") + value
            elif key == "input" and text == "open":
                self.open = True
            elif key == "pty":
                self.pty = size_of(text)
            elif key in self.limits:
                self.limits[key] = wire.number(text)
            else:
                raise Refused("badarg", f"unknown record {key}")
        if not self.argv or 0 < self.limits["limit_bytes"] < 4096 or 0 < self.limits["limit_lines"] < 16:
            raise Refused("badarg", "no arg, or a limit that is too small")
        if self.open and self.stdin is not None:
            raise Refused("badarg", "input that is given and open")
        if self.pty:
            self.env.setdefault("TERM", "xterm-256color")

    def start(self):
        for what, folder in self.folders:
            if what == "fresh":
                shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder, exist_ok=True)
        os.makedirs(self.cwd, exist_ok=True)
        program = self.argv[0]
        if b"/" not in program:
            program = shutil.which(os.fsdecode(program), path=self.env.get("PATH", "")) or ""
        if not program:
            raise FileNotFoundError(2, f"no such program: {self.argv[0]!r}")
        if self.pty:
            self.terminal, slave = os.openpty()
            set_size(self.terminal, self.pty)
            try:
                return subprocess.Popen(self.argv, executable=program, env=self.env, cwd=self.cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
            finally:
                os.close(slave)
        stdin = subprocess.PIPE if self.stdin is not None or self.open else subprocess.DEVNULL
        return subprocess.Popen(self.argv, executable=program, env=self.env, cwd=self.cwd, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


class Command:
    """One command with its spool. `chunks`: messages `out` in their order; `sent` of them went over this link."""

    def __init__(self, cmd, build, epoch, limit, spec):
        self.cmd, self.build, self.epoch, self.limit, self.spec = cmd, build, epoch, limit, spec
        self.state, self.chunks, self.sent, self.told, self.open_link = "accepted", [], 0, False, True
        self.hi = self.lines = self.crc = 0
        self.buffer, self.spans, self.opened = b"", [], 0
        self.begun = self.heard = time.monotonic()
        self.reason, self.kill_at, self.follow = "-", None, False
        self.process, self.exit, self.failed = None, None, None
        self.input, self.fed, self.waiting, self.ends, self.fed_state, self.mid_line = None, 0, b"", False, "open", False
        self.told_fed = None  # on this link; None: it was not asked for
        self.pipes = {}
        self.most = [spec.limits[k] or 1 << 62 for k in ("limit_bytes", "limit_lines")]
        self.had, self.head, self.aside, self.marked, self.last = [0, 0], [0, 0], [], False, b"\n"  # bytes and line feeds; what comes behind the head

    def start(self):
        try:
            self.process = self.spec.start()
        except OSError as e:
            self.failed = e
            self.finish("failed", e.errno or 5, f"{os.fsdecode(self.spec.argv[0])}: {e.strerror}")
            return
        self.state = "running"
        if self.spec.pty:
            self.pipes = {self.spec.terminal: 0}
            self.input = os.dup(self.spec.terminal)
        else:
            self.pipes = {self.process.stdout.fileno(): 0, self.process.stderr.fileno(): 1}
            self.input = self.process.stdin.fileno() if self.spec.open else None
        if self.input is not None:
            os.set_blocking(self.input, False)
        if self.spec.pty and not self.spec.open:
            self.waiting, self.ends = self.spec.stdin or b"", True
        elif self.spec.stdin is not None:
            threading.Thread(target=self.give, daemon=True).start()

    def give(self):
        try:
            self.process.stdin.write(self.spec.stdin)
            self.process.stdin.close()
        except OSError:
            pass  # it reads no more

    def have(self):
        """Where what came of the input ends."""
        return self.fed + len(self.waiting)

    def bring(self, off, data):
        if self.fed_state == "open" and not self.ends and off <= self.have():
            self.waiting += data[self.have() - off:][:self.fed + INPUT_WINDOW - self.have()]

    def feed(self):
        """What the command takes of its input now."""
        try:
            while self.input is not None and self.waiting:
                n = os.write(self.input, self.waiting)
                self.fed, self.waiting, self.mid_line = self.fed + n, self.waiting[n:], self.waiting[n - 1] != 10
            if self.input is not None and self.ends:
                if self.spec.pty:
                    os.write(self.input, b"\4\4" if self.mid_line else b"\4")
                self.shut("closed")
        except BlockingIOError:
            pass
        except OSError:
            self.shut("gone")

    def shut(self, state):
        """Nothing more goes to the command; the state counts where there was any to come."""
        if self.input is not None and self.spec.pty:
            os.close(self.input)
        elif self.input is not None:
            self.process.stdin.close()
        if self.fed_state == "open":
            self.fed_state = state
        self.input, self.waiting = None, b""

    def take(self, fd):
        """Bytes of a pipe, into chunks."""
        try:
            data = os.read(fd, wire.READ_SIZE)
        except OSError:
            data = b""  # of a terminal that nobody has open
        if not data:
            del self.pipes[fd]
            if self.spec.pty:
                os.close(fd)
            return
        now = time.monotonic()
        self.heard = now
        channel, ms = self.pipes[fd], int((now - self.begun) * 1000)
        self.had = [self.had[0] + len(data), self.had[1] + data.count(b"\n")]
        head = self.of_head(data)
        self.head = [self.head[0] + len(head), self.head[1] + head.count(b"\n")]
        self.add(channel, ms, head)
        if len(head) < len(data):
            self.aside.append((channel, ms, data[len(head):]))
        if not self.marked and (self.had[0] > self.most[0] or self.had[1] > self.most[1]):
            self.marked = True
            mid_line = self.last != b"\n"
            self.add(1, ms, b"\n" * mid_line + b"[this is too much; the end comes at the end, without")

    def of_head(self, data):
        """Those of these bytes that belong to the head."""
        if self.head[0] == self.most[0] // 2 or self.head[1] == self.most[1] // 2:
            return b""
        data, lines = data[:self.most[0] // 2 - self.head[0]], self.most[1] // 2 - self.head[1]
        ends = [i + 1 for i, byte in enumerate(data) if byte == 10][:lines] if data.count(b"\n") >= lines else []
        return data[:ends[-1]] if ends else data

    def put_aside(self):
        """The command has ended: the tail, behind the marker where something is missing."""
        data = b"".join(piece for _, _, piece in self.aside)
        skip = 0
        if self.marked:
            skip = max(0, len(data) - (self.most[0] - self.head[0] - MARKER_BYTES))
            lines = data.count(b"\n") - (self.most[1] - self.head[1] - MARKER_LINES)
            while data.count(b"\n", 0, skip) < lines:
                skip = data.index(b"\n", skip) + 1
        self.left = (skip, data.count(b"\n", 0, skip))
        for channel, ms, piece in self.aside:
            if len(piece) > skip and self.marked is True:
                self.add(1, ms, b" %d bytes, %d lines]\n" % self.left)
                self.marked = "told"
            self.add(channel, ms, piece[skip:])
            skip = max(0, skip - len(piece))

    def add(self, channel, ms, data):
        self.last = data[-1:] or self.last
        while data:
            if not self.buffer:
                self.opened = time.monotonic()
            piece, data = data[:wire.CHUNK_MAX - len(self.buffer)], data[wire.CHUNK_MAX - len(self.buffer):]
            self.buffer += piece
            self.spans.append((channel, len(piece), ms))
            if len(self.buffer) == wire.CHUNK_MAX:
                self.close_chunk()

    def close_chunk(self):
        if not self.buffer:
            return
        self.chunks.append(wire.out(self.cmd, 0, self.hi, self.buffer, self.spans))
        self.crc = wire.zlib.crc32(self.buffer, self.crc)
        self.lines += self.buffer.count(b"\n")
        self.hi += len(self.buffer)
        self.buffer, self.spans = b"", []

    def kill(self, grace_ms, reason):
        if self.exit or not self.process:
            return
        self.reason = reason
        at = time.monotonic() + grace_ms / 1000
        self.kill_at = min(self.kill_at or at, at)
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except OSError:
            pass  # nobody is left

    def tick(self, now):
        if self.exit:
            return
        if self.buffer and now - self.opened >= (FOLLOWED_S if self.follow else CLOSE_S):
            self.close_chunk()
        self.feed()
        limits = self.spec.limits
        for name, since in (("idle", self.heard), ("total", self.begun)):
            if limits[name] and not self.kill_at and now - since > limits[name] / 1000:
                self.kill(limits["grace"], name)
        if self.kill_at and now >= self.kill_at:
            self.signal(signal.SIGKILL)
        if not self.pipes and self.process.poll() is not None:
            code = self.process.returncode
            self.finish("signaled" if code < 0 else "exited", abs(code))

    def finish(self, how, code, why=""):
        self.shut("gone")
        self.put_aside()
        self.close_chunk()
        wall = int((time.monotonic() - self.begun) * 1000)
        self.state = "done"
        self.exit = wire.Message("exit", [self.cmd, self.epoch, how, code, self.reason, self.hi, f"{self.crc:08x}", self.lines, wall, 0, 0, 0],
                                 wire.records(("left_bytes", self.left[0]), ("left_lines", self.left[1])) if self.left[0] else why.encode())

    def end(self):
        """Kills what runs."""
        if self.process:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.shut("gone")
            for fd in self.pipes if self.spec.pty else ():
                os.close(fd)
            for f in (self.process.stdout, self.process.stderr):
                if f:
                    f.close()
            self.pipes = {}


class Files:
    """The file operations that every worker has, and those of the feature `disk`: blob to records."""

    def __init__(self, work):
        self.work = work

    def stat(self, blob):
        try:
            s = os.lstat(beneath(self.work, os.fsdecode(blob), follow=False))
        except FileNotFoundError:
            raise Refused("notfound", "nothing there") from None
        kind = "file" if stat.S_ISREG(s.st_mode) else "dir" if stat.S_ISDIR(s.st_mode) else "link" if stat.S_ISLNK(s.st_mode) else "other"
        return [("type", kind), ("size", s.st_size), ("mode", f"{stat.S_IMODE(s.st_mode):o}"), ("mtime", int(s.st_mtime))]

    def mkdir(self, blob):
        os.makedirs(beneath(self.work, os.fsdecode(blob)), exist_ok=True)
        return []

    def remove(self, blob):
        path = beneath(self.work, os.fsdecode(blob), follow=False)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)
        return []

    def usage(self, blob):
        top = beneath(self.work, os.fsdecode(blob))
        if not os.path.isdir(top):
            raise Refused("notdir" if os.path.lexists(top) else "notfound", "no folder")
        total = entries = 0
        for folder, dirs, files in os.walk(top):
            for name in dirs + files:
                s = os.lstat(os.path.join(folder, name))
                total += s.st_blocks * 512 // (1 if stat.S_ISDIR(s.st_mode) else s.st_nlink)
                entries += 1
        return [("bytes", total), ("entries", entries), ("complete", 1)]

    def disk(self, _):
        s = os.statvfs(self.work)
        return [("disk_free_kib", s.f_bavail * s.f_frsize >> 10), ("disk_total_kib", s.f_blocks * s.f_frsize >> 10)]


class Worker(threading.Thread):
    """token: a wire.Token. folder: its state, with `work` in it. addresses: instead of the token's."""

    def __init__(self, token, folder, addresses=None, features=FEATURES):
        super().__init__(daemon=True)
        self.token, self.folder, self.work, self.features = token, folder, os.path.join(os.path.realpath(folder), "work"), features
        self.addresses = addresses or token.addresses
        os.makedirs(self.work, exist_ok=True)
        self.files, self.commands = Files(self.work), {}
        self.link, self.ping_s, self.pings, self.failures = None, 10, 0, 0
        self.posted, self.ending = queue.Queue(), False
        self.welcomes = []       # arguments of each
        self.said = []           # (verb, …) of what the master asked, for tests
        self.cut_at = None
        self.cuts = 0
        self.broken = None       # what went wrong in the loop itself
        self.kept = self.load()

    # ---- the state that outlives it ----

    def load(self):
        try:
            with open(os.path.join(self.folder, "ident")) as f:
                return json.load(f)
        except OSError:
            return {"instance": secrets.token_hex(16), "conn": 0, "incarnation": 0, "high": "0-0"}

    def save(self, **change):
        self.kept.update(change)
        new = os.path.join(self.folder, "ident.new")
        with open(new, "w") as f:
            json.dump(self.kept, f)
            f.flush()
            os.fsync(f.fileno())
        os.rename(new, os.path.join(self.folder, "ident"))

    # ---- the loop ----

    def run(self):
        try:
            while not self.ending:
                self.once()
        except Exception:
            self.broken = traceback.format_exc()
        finally:
            for c in self.commands.values():
                c.end()
            self.hang_up()

    def once(self):
        """A connection from its beginning to its end, and the pause behind it."""
        pause = random.random()
        try:
            pause = self.connect()
            while not self.ending and self.link:
                self.turn()
        except (wire.Closed, OSError):
            pass
        except wire.Malformed as e:
            self.bye("protocol")
            self.said.append(("malformed", str(e)))
        self.hang_up()
        end = time.monotonic() + pause
        while not self.ending and time.monotonic() < end:
            self.turn()

    def connect(self):
        """Up to the end of the inventory; how long to wait before the next connection."""
        self.failures += 1
        last = OSError("no address")
        for address in self.addresses:
            try:
                self.link = wire.Link(wire.dial(address, self.token.pins), "master")
                break
            except OSError as e:
                last = e
        if not self.link:
            self.failures = 0
            raise last
        self.greet()
        answer = self.link.receive(20)
        if not answer or answer.verb in ("no", "busy", "bye"):
            self.said.append((answer.verb, *answer.args) if answer else ("silent",))
            self.hang_up()
            return wire.number(answer.retry_ms if answer.verb == "no" else answer.ms) / 1000 if answer and answer.verb != "bye" else min(60, 2**(self.failures - 1))
        self.failures = 0
        self.welcomes.append(answer.args)
        self.ping_s = wire.number(answer.ping_ms) / 1000
        incarnation = wire.number(answer.incarnation)
        if incarnation < self.kept["incarnation"]:
            self.bye("incarnation")
            return 1
        self.save(incarnation=incarnation)
        self.inventory()
        return random.random()

    def greet(self):
        self.save(conn=self.kept["conn"] + 1)
        with open("/proc/sys/kernel/random/boot_id") as f:
            boot = f.read().strip().replace("-", "")
        facts = wire.records(("secret", self.token.secret), ("os", "linux"), ("arch", platform.machine()), ("cores", os.cpu_count()),
                             ("host", platform.node() or "here"), ("version", "python"), ("work", self.work), ("path", PATH), ("uid", os.getuid()))
        self.link.send("hello", wire.VERSION, self.token.name, self.kept["instance"], boot, self.kept["conn"], self.kept["high"], self.features, blob=facts)

    def inventory(self):
        for c in self.commands.values():
            c.open_link, c.told_fed = False, None
            self.link.send("have", c.cmd, c.epoch, c.state, 0, 0, c.hi)
        self.link.send("listed", len(self.commands))

    def turn(self):
        """What came, from the master or a command, or a moment."""
        fds = {fd: c for c in self.commands.values() for fd in c.pipes}
        watched = list(fds) + ([self.link] if self.link else [])
        ready = select.select(watched, [], [], 0 if self.link and self.link.pending() else TICK_S)[0]
        for fd in [x for x in ready if x in fds]:
            fds[fd].take(fd)
        while not self.posted.empty():
            self.posted.get()()
        now = time.monotonic()
        for c in self.commands.values():
            c.tick(now)
        if self.link and (self.link in ready or self.link.pending()):
            self.link.read()
            while self.link and (message := self.link.poll()):
                self.serve(message)
        if self.link:
            self.live(now)
            for c in list(self.commands.values()):
                self.send_on(c)

    def live(self, now):
        if now - self.link.heard > 3 * self.ping_s:
            self.bye("silence")
        elif now - self.link.said > self.ping_s:
            self.pings += 1
            self.link.send("ping", self.pings)

    def send_on(self, c):
        """How much of its input it was given, chunks that the credit allows, then the exit."""
        if c.told_fed and c.told_fed != (c.fed, c.fed_state):
            self.tell_fed(c)
        while self.link and c.open_link and c.sent < len(c.chunks):
            m = c.chunks[c.sent]
            end = wire.number(m.off) + wire.number(m.raw)
            if end > c.limit:
                return
            if self.cut_at is not None and end > self.cut_at:
                self.cut_at, self.cuts = None, self.cuts + 1
                data = m.encode()
                self.link.write(data[:len(data) // 2])
                raise wire.Closed("cut")
            self.link.write(m.encode())
            c.sent += 1
        if self.link and c.open_link and c.exit and not c.told:
            self.link.write(c.exit.encode())
            c.told = True

    def bye(self, reason):
        try:
            self.link.send("bye", reason)
        except (wire.Closed, AttributeError):
            pass
        self.hang_up()

    def hang_up(self):
        if self.link:
            self.link.close()
            self.link = None

    # ---- what the master asks for ----

    def serve(self, m):
        self.said.append((m.verb, *m.args))
        if m.verb in wire.VERBS and hasattr(self, "on_" + m.verb):
            try:
                getattr(self, "on_" + m.verb)(m)
            except Refused as e:
                self.link.send("error", e.tag, m.args[0] if m.args else "-", blob=e.why.encode())
        elif m.verb in wire.VERBS and m.verb in ("stat", "mkdir", "remove", "usage", "disk"):
            self.file_operation(m)
        elif m.verb not in ("error", "pong"):
            self.link.send("error", "unknown", "-", blob=m.verb.encode())

    def file_operation(self, m):
        try:
            tag, blob = "ok", wire.records(*getattr(self.files, m.verb)(m.blob))
        except Refused as e:
            tag, blob = e.tag, e.why.encode()
        except OSError as e:
            tag, blob = tag_of(e), str(e.strerror).encode()
        self.link.send("done", m.req, tag, blob=blob)

    def on_run(self, m):
        if c := self.commands.get(m.cmd):
            self.link.send("state", c.cmd, c.epoch, c.state)
            return
        if any(c.build == m.build and wire.ident(c.epoch) > wire.ident(m.epoch) for c in self.commands.values()):
            raise Refused("fenced", "an older epoch")
        c = Command(m.cmd, m.build, m.epoch, wire.number(m.limit), Spec(self.work, m.cmd, m.blob))
        if wire.ident(m.cmd) > wire.ident(self.kept["high"]):
            self.save(high=m.cmd)
        self.commands[m.cmd] = c
        self.link.send("state", c.cmd, c.epoch, c.state)
        c.start()

    def on_resume(self, m):
        c = self.commands.get(m.cmd)
        at = next((i for i, x in enumerate(c.chunks) if x.off == m.off), None) if c else None
        if not c or (at is None and wire.number(m.off) != c.hi):
            raise Refused("notfound", "no chunk begins there")
        c.epoch, c.limit = m.epoch, wire.number(m.limit)
        c.sent, c.told, c.open_link = len(c.chunks) if at is None else at, False, True
        if c.exit:
            c.exit.args[1] = c.epoch

    def on_ack(self, m):
        if c := self.commands.get(m.cmd):
            c.limit = max(c.limit, wire.number(m.limit))

    def on_follow(self, m):
        if c := self.commands.get(m.cmd):
            c.follow = m.on == "1"

    def on_kill(self, m):
        if c := self.commands.get(m.cmd):
            c.kill(wire.number(m.grace_ms), m.reason)

    def on_signal(self, m):
        if m.name not in SIGNALS:
            raise Refused("badarg", "no such signal")
        if (c := self.commands.get(m.cmd)) and c.process and c.process.poll() is None:
            os.kill(c.process.pid, getattr(signal, "SIG" + m.name))

    def fed_of(self, m):
        c = self.commands.get(m.cmd)
        if not c:
            raise Refused("notfound", "no such command")
        if any(x.build == c.build and wire.ident(x.epoch) > wire.ident(m.epoch) for x in self.commands.values()):
            raise Refused("fenced", "an older epoch")
        c.epoch = m.epoch
        return c

    def tell_fed(self, c):
        c.told_fed = c.fed, c.fed_state
        self.link.send("fed", c.cmd, c.fed, c.fed + INPUT_WINDOW, c.fed_state)

    def on_stdin(self, m):
        c = self.fed_of(m)
        if not c.spec.open:
            raise Refused("badarg", "its input is not open")
        c.bring(wire.number(m.off), m.blob or b"")
        self.tell_fed(c)

    def on_close(self, m):
        c = self.fed_of(m)
        if not c.spec.open:
            raise Refused("badarg", "its input is not open")
        c.ends = c.ends or wire.number(m.off) == c.have()
        self.tell_fed(c)

    def on_resize(self, m):
        c = self.fed_of(m)
        size = size_of(m.size)
        if not c.spec.pty:
            raise Refused("badarg", "it has no terminal")
        if c.pipes:
            set_size(c.spec.terminal, size)

    def on_forget(self, m):
        if c := self.commands.pop(m.cmd, None):
            c.end()

    def on_inventory(self, m):
        self.inventory()

    def on_bye(self, m):
        self.hang_up()

    # ---- for tests ----

    def stop(self, seconds=10):
        self.ending = True
        self.join(seconds * busy())
        return not self.is_alive() and self.broken is None
