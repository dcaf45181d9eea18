"""What the figures are taken on: a drover in its own folder whose workers come over TLS, with clocks, memory and processor time of its processes."""
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "lib"))
import drover  # noqa: E402  (DROVER_BUILD is set by then)
import hooks  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
HERE = os.path.dirname(os.path.abspath(__file__))
HELPERS = ("stamp", "spawnrate", "herd", "genlog")
HERD = 200
CROWD, CROWD_BUILDERS = 500, 200
LOG_MIB = 200
KEPT_S = 2  # the server closes idle connections after some more
SINGLES = [f"w{i}" for i in range(8)]
as_json = False  # the figures are printed at the end


figures = {}


def emit(name, value, unit):
    figures[name] = {"value": value, "unit": unit}
    if not as_json:
        print(name, value if isinstance(value, str) else f"{value:.4g}" if value < 10000 else f"{value:.0f}", unit, flush=True)


def median(values):
    v = sorted(values)
    return (v[(len(v) - 1) // 2] + v[len(v) // 2]) / 2


def percentile(values, p):
    v = sorted(values)
    return v[min(len(v) - 1, round(p / 100 * (len(v) - 1)))]


def remark(text):
    print("#", text, file=sys.stderr, flush=True)


def status(pid, key):
    """A line of /proc/PID/status in KiB; 0 where the process is gone."""
    for line in drover.read(f"/proc/{pid}/status").decode().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


def rss_peak_reset(pid):
    with open(f"/proc/{pid}/clear_refs", "w") as f:
        f.write("5")


def cpu(pid, children=False):
    """Processor seconds so far, user and system; 0 where the process is gone."""
    a = drover.read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return sum(int(x) for x in a[11:15 if children else 13]) / TICK if a else 0.0


class Watched(threading.Thread):
    """Processor seconds of processes that come and go: asked for as long as it lives, the last answer of each counts."""

    def __init__(self, find, every=0.02):
        super().__init__(daemon=True)
        self.find, self.every, self.seen, self.done = find, every, {}, threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(self.every):
            for pid in self.find():
                self.seen[pid] = max(cpu(pid), self.seen.get(pid, 0.0))

    def end(self):
        self.done.set()
        self.join()
        return sum(self.seen.values())


class Line:
    """One connection to the API's socket, kept alive for as long as the server keeps it too. sent: the clock just before the first byte of the
    last request left."""

    def __init__(self, path):
        self.path, self.sent = path, 0
        self.connect()

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(drover.DEADLINE_S)
        self.sock.connect(self.path)

    def send(self, method, path, body=None, accept="identity"):
        text = json.dumps(body).encode() if body is not None else b""
        head = f"{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {accept}\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n"
        data = head.encode() + b"\r\n" + text
        if time.monotonic_ns() - self.sent > KEPT_S * 1e9 and self.sent:
            self.close()
            self.connect()
        self.sent = time.monotonic_ns()
        self.sock.sendall(data)
        r = http.client.HTTPResponse(self.sock, method=method)
        r.begin()
        return r

    def ask(self, method, path, body=None):
        r = self.send(method, path, body)
        text = r.read()
        if r.status not in (200, 201):
            raise drover.Failed(f"{method} {path}: {r.status} {text[:300]!r}")
        return json.loads(text)

    def build(self, builder):
        return self.ask("POST", "/builds", {"builder": builder, "branch": "main"})["requests"][0]

    def close(self):
        self.sock.close()


class Sql:
    """One psql that stays, so that asking costs no process and no connection."""

    def __init__(self, argv):
        self.p = subprocess.Popen(argv + ["-F", "\t"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", text=True)

    def rows(self, text):
        self.p.stdin.write(text + ";\n\\echo .\n")
        self.p.stdin.flush()
        rows = []
        while (line := self.p.stdout.readline()) != ".\n":
            if not line:
                raise drover.Failed(f"psql ended: {text}")
            rows.append(line.rstrip("\n").split("\t"))
        return rows

    def one(self, text):
        return self.rows(text)[0][0]

    def close(self):
        self.p.stdin.close()
        self.p.wait()
        self.p.stdout.close()


class Site(drover.Drover):
    """The drover under test. Builders: stamp one ten log sleep tick, and the project q, whose branch is pushed to."""

    def __init__(self):
        run = lambda *argv: {"run": list(argv)}
        workers = {"here": {"slots": 8}, **{w: {"slots": 1} for w in SINGLES}, **{f"h{i}": {"slots": 1} for i in range(CROWD)}}
        super().__init__({}, workers, tcp=True)
        self.line = self.db = None
        for name in HELPERS:
            subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-static", "-o", self.path(name), f"{HERE}/{name}.c"], check=True)
        self.stamps, self.launches = self.path("stamps"), self.path("launches")
        open(self.stamps, "w").close()
        stamp = run(self.path("stamp"), self.stamps)
        builder = lambda *steps: {"checkout": "none", "steps": list(steps)}
        drover.make_repo(self.path("tree"), {"README": "The tree that is pushed.\n"})
        self.bare = self.path("q.git")
        drover.git(self.path("tree"), "clone", "-q", "--bare", ".", self.bare)
        drover.git(self.path("tree"), "remote", "add", "origin", self.bare)
        self.configure(projects={
            "p": {"git": self.bare, "poll": "1d", "schedulers": {"never": {"change": {"branches": "never"}}}, "builders": {
                "stamp": builder(stamp), "one": builder(run("/bin/true")), "ten": builder(*[{"name": f"s{i}", **run("/bin/true")} for i in range(10)]),
                "log": builder(run("/bin/cat", self.path("log.txt"))), "sleep": builder(run("/bin/sleep", "600")),
                "tick": builder(run(self.path("genlog"), "0", "600"))}},
            "crowd": {"git": self.bare, "poll": "1d", "schedulers": {"never": {"change": {"branches": "never"}}}, "builders": {f"n{i}": builder(run("/bin/true")) for i in range(CROWD_BUILDERS)}},
            "q": {"git": self.bare, "poll": "1s", "builders": {"pushed": builder(stamp)}},
            "told": {"git": self.bare, "poll": "1d", "hook": {"dialect": "github", "secret": {"file": self.write_token(self.path("hook.secret"), hooks.SECRET + "\n")}},
                     "builders": {"told": builder(run("/bin/true"))}, "schedulers": {"all": {"change": {}}}}})

    # Figures are those of a site as people run it: without the tests' debugging words.
    def spawn(self, log, *argv, env=None):
        return super().spawn(log, *["info" if a == "debug" else a for a in argv], env=env)

    def open(self):
        self.start_master()
        self.line = Line(self.path("api.sock"))
        self.db = Sql(self.psql_argv())
        return self

    def reopen(self):
        """The API's connection after a new start of the master."""
        self.line.close()
        self.line = drover.wait_for(self.try_line, "the API", every=0.001)

    def try_line(self):
        try:
            return Line(self.path("api.sock"))
        except OSError:
            return None

    def stop_worker(self, name):
        self.kill_worker(name, drover.signal.SIGTERM)
        self.wait_worker(name, connected=False)

    def connected(self):
        return self.line.ask("GET", "/status")["counts"]["workers_connected"]

    def stamped(self):
        """How many stamps there are, and the last one's clock in ns."""
        text = drover.read(self.stamps)
        lines = text.split(b"\n")
        return len(lines) - 1, int(lines[-2]) if len(lines) > 1 else 0

    def wait_stamp(self, n):
        return drover.wait_for(lambda: (s := self.stamped())[0] >= n and s, "the step's process", every=0.001)[1]

    def pending(self):
        return int(self.db.one("select count(*) from build_request where state <> 'done'"))

    def settle(self, seconds=drover.DEADLINE_S, every=0.005):
        """Waits until no request is open."""
        drover.wait_for(lambda: not self.pending(), "the builds' end", seconds, every)

    def all_good(self, builder):
        bad = self.db.one(f"select count(*) from build b join builder u on u.id = b.builder where u.name = '{builder}' and b.result is distinct from 0")
        if bad != "0":
            raise drover.Failed(f"{bad} builds of {builder} did not succeed")

    def postgres_cpu(self):
        """Of the postmaster, what it has buried, and its living children."""
        pm = self.postmaster()
        return cpu(pm, children=True) + sum(cpu(p) for p in self.postgres() if p != pm)

    def close(self, polite=False):
        for it in (self.line, self.db):
            if it:
                it.close()
        super().close(polite)
        shutil.rmtree(self.root, ignore_errors=True)
