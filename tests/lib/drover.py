"""A whole drover in a folder of its own: master with its private PostgreSQL, workers, API; started, killed and swept up by pid.

DROVER_BUILD names the folder of the programs (default build). The folder lies under /var/tmp, or where DROVER_ROOM says, because root's database runs as
user postgres, who must get there. Nothing here waits for a time: wait_for() polls a condition until its deadline.
"""
import atexit
import gzip
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

from cover import KILL
import pq
import wire

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("DROVER_BUILD") or os.path.join(TOP, "build"))


ROOM = os.environ.get("DROVER_ROOM") or "/var/tmp"


def busy():
    """A deadline says that something hangs, not how fast a machine is: one that is busy with other things as well has more time, so many times as much."""
    return min(6, max(1, os.getloadavg()[0] / len(os.sched_getaffinity(0)) / 2))


BUSY = busy()
DEADLINE_S = 30 * BUSY
YOUNG_S = 2 * BUSY  # an agent that was just started may not have come to where it takes signals
SELDOM_S = 0.25
SEED_SEGMENT_MIB = 1
LOG_TAIL = 60
NOISE = ("debug sm: call:", "debug api:")
BAD = re.compile(rb".*(?:Assertion|AddressSanitizer|LeakSanitizer|runtime error).*")  # in a program's log


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Failed(AssertionError):
    pass


def wait_for(condition, what, seconds=30, every=0.02):
    """The condition's first true value."""
    begin = time.monotonic()
    while True:
        got = condition()
        if got:
            return got
        passed = time.monotonic() - begin
        if passed > seconds and passed > seconds * busy():  # as it is by now: the load of the last minute tells late
            raise Failed(f"waited {passed:.0f} s in vain for {what}")
        time.sleep(max(every, min(SELDOM_S, passed / 20)))  # looking costs, too: what takes long is looked at less often


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def tell(pid, sig):
    """A signal to a process that was found, and may have ended by itself just now."""
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def free_port():
    """Below those that the kernel gives to outgoing connections: one of these could take it before it is listened on. No other test gets it as long as this process lives: a name that only the kernel knows is bound for it,
    since the port itself is free while a master that listened on it is dead."""
    while True:
        port, kept = random.randrange(20000, 32768), socket.socket(socket.AF_UNIX)
        with socket.socket() as s:
            try:
                kept.bind(f"\0drover-test-port-{port}")
                s.bind(("127.0.0.1", port))
                kept.detach()  # it stays open
                return port
            except OSError:
                kept.close()


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("drover", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Drover:
    """projects: as in the configuration. workers: {name: settings}; tcp: workers dial over TLS, else over the unix socket."""

    def __init__(self, projects, workers=None, tcp=False, **site):
        self.root = tempfile.mkdtemp(prefix="drover-t.", dir=ROOM)
        os.chmod(self.root, 0o755)
        self.tcp, self.port = tcp, free_port()
        self.workers = workers or {"here": {"slots": 4}}
        self.conf = {"state": self.path("state"), "database": {"folder": self.path("pg")}, "allow_local": True, "same_user": True,
                     "min_free": 0,  # a full machine must not keep tests from building
                     "listen": {"socket": self.path("api.sock"), "api": "none", "workers": f"127.0.0.1:{self.port}",
                                "workers_socket": self.path("w.sock")},
                     "site": {"address": f"127.0.0.1:{self.port}"}, "workers": self.workers, "projects": projects, **site}
        self.master, self.durable = None, bool(os.environ.get("DROVER_DURABLE"))
        self.agents = {}    # name -> Popen
        self.begun = {}     # name -> when, of those that start_worker started
        self.started = 0    # how often the master was
        self.failed = False
        self.env = {**os.environ, "DROVER_TEST_ROOT": self.root}
        atexit.register(self.sweep)
        self.configure()

    def path(self, *names):
        return os.path.join(self.root, *names)

    # ---- master ----

    def configure(self, **change):
        self.conf.update(change)
        with open(self.path("master.yaml"), "w") as f:
            json.dump(self.conf, f, indent=1)  # JSON is YAML

    def spawn(self, log, *argv, env=None):
        with open(self.path(log), "ab") as f:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f, start_new_session=True, cwd=self.root, env=env or self.env)

    def seeded(self):
        """A first start makes a database, which costs seconds: it is tried where it is the matter (DROVER_FIRST_START unset), else it is a copy of one that a first start made."""
        seed, here = os.environ.get("DROVER_FIRST_START"), {"state": self.path("state"), "database": {"folder": self.path("pg")}}
        if not seed or any(self.conf[k] != v for k, v in here.items()) or os.path.exists(here["state"]) or os.path.exists(self.path("pg")):
            return
        for name in ("state", "pg"):
            subprocess.run(["cp", "-a", "--reflink=auto", f"{seed}/{name}", self.root], check=True)
        if not self.durable:  # what is killed here is processes, never the machine
            with open(self.path("pg/data/local.conf"), "a") as f:
                f.write("fsync = off\nfull_page_writes = off\n")

    def start_master(self, wait=True, argv=()):
        self.seeded()
        self.master = self.spawn("master.log", f"{BUILD}/drover-master", "--config", self.path("master.yaml"), "--log-level", "debug", *argv)
        self.started += 1
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        def ready():
            if self.master.poll() is not None:
                raise Failed(f"the master ended with {self.master.returncode}")
            a = self.try_api("GET", "/status")
            return a and a.status == 200 and a.json["database"]["up"] and a.json["listen"].get("workers")
        wait_for(ready, "the master", seconds)

    def kill_master(self, sig=KILL):
        self.master.send_signal(sig)
        return self.master.wait(DEADLINE_S)

    def stop_master(self):
        return self.kill_master(signal.SIGTERM)

    # ---- workers ----

    def token(self, name="here"):
        """A token of the worker's own, made once and kept in a file."""
        path = self.path(f"token-{name}")
        if not os.path.exists(path):
            body = {"name": name, **{k: v for k, v in self.workers.get(name, {}).items() if k in ("slots", "tags")}}
            self.write_token(path, self.post("/workers", body, 201)["token"])
        return path

    def write_token(self, path, text):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, text.encode())
        os.close(fd)
        return path

    def start_worker(self, name="here", wait=True, env=None, token=None, folder=None):
        connect = [] if self.tcp or token else ["--connect", "unix:" + self.path("w.sock")]
        argv = [os.environ.get("DROVER_WORKER") or f"{BUILD}/drover-worker", "--join-file", token or self.token(name), "--dir", folder or self.path("work-" + name), "--log-level", "debug"]
        links = self.links(name)
        self.begun[name] = time.monotonic()
        self.agents[name] = self.spawn(f"worker-{name}.log", *argv, *connect, env={**self.env, **(env or {})})
        if wait:
            wait_for(lambda: self.links(name) > links, f"worker {name} to be welcomed")  # the master may not have noticed yet that the one before is gone
            self.wait_worker(name)
        return self.agents[name]

    def links(self, name):
        """How often a worker of that name was welcomed, by its log."""
        return read(self.path(f"worker-{name}.log")).count(b"connected as ")

    def start_pool_worker(self, pool, token):
        """The program, with a pool's token; once it is connected under whatever name it got."""
        self.start_worker(pool, wait=False, token=token)
        wait_for(lambda: self.get("/pools/" + pool)["connected"], f"a member of {pool}")

    def wait_worker(self, name="here", connected=True, seconds=30):
        wait_for(lambda: (a := self.try_api("GET", f"/workers/{name}")) and a.status == 200 and a.json["connected"] == connected, f"worker {name}", seconds)

    def kill_worker(self, name="here", sig=KILL):
        self.agents[name].send_signal(sig)
        return self.agents[name].wait(DEADLINE_S)

    def minders(self, name="here"):
        return [p for p in self.ours() if b"--minder" in read(f"/proc/{p}/cmdline").split(b"\0")]

    def wait_looked(self, *projects):
        """Until each one's repository was looked at once: what is pushed from then on is a change (before, the first look just notes it)."""
        for name in projects:
            wait_for(lambda: self.sql(f"select 1 from branch_head h join project p on p.id = h.project where p.name = '{name}'"), "the first look at " + name)

    def up(self):
        self.start_master()
        for name in self.workers:
            self.start_worker(name)
        return self

    # ---- PostgreSQL ----

    def lock_file(self):
        return read(self.path("pg/data/postmaster.pid")).decode().split("\n")

    def postmaster(self):
        lines = self.lock_file()
        return int(lines[0]) if lines[0].isdigit() else 0

    def postgres(self):
        """Every process of the private PostgreSQL."""
        data = os.path.realpath(self.path("pg/data"))
        return [p for p in pids() if link_of(p, "cwd") == data]

    def backends(self):
        """Processes that serve a connection."""
        return [p for p in self.postgres() if re.match(rb"postgres: (\S+: )?\S+ drover \[local\]", read(f"/proc/{p}/cmdline"))]

    def psql_argv(self, *more):
        return ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.lock_file()[4], "-U", "drover", "-d", "drover", *more]

    def sql(self, text):
        """The answer's rows, as lists of strings. Patient where PostgreSQL does not take connections."""
        def asked():
            lock = self.lock_file()
            if len(lock) < 5:
                return None
            try:
                rows = pq.ask(f"host={lock[4]} user=drover dbname=drover connect_timeout={DEADLINE_S:.0f} options='-c statement_timeout={DEADLINE_S:.0f}s'", text)
            except pq.Refused as e:
                raise Failed(str(e)) from None
            return None if rows is None else (rows,)
        return wait_for(asked, "the database")[0]

    def events(self, text):
        """Rows of events, all of them that tell of what is committed by now: they have their numbers a moment after it."""
        last = self.sql("select coalesce(max(id), 0) from outbox")[0][0]
        wait_for(lambda: self.sql(f"select not exists (select from outbox where id <= {last})") == [["t"]], "the events to have their numbers")
        return self.sql(text)

    # ---- API ----

    def hook(self, project):
        """A delivery without a word: look now."""
        c = UnixHttp(self.path("api.sock"), DEADLINE_S)
        try:
            c.request("POST", f"/hooks/{project}", "")
            r = c.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            c.close()

    def api(self, method, path, body=None, headers=None, timeout=DEADLINE_S):
        c = UnixHttp(self.path("api.sock"), timeout)
        try:
            c.request(method, "/api/v1" + path, json.dumps(body) if body is not None else None,
                      {**({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})})
            r = c.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            c.close()

    def try_api(self, *a, **kw):
        """None where the master is away in the middle of it."""
        try:
            return self.api(*a, **kw)
        except (OSError, http.client.HTTPException):
            return None

    def get(self, path, status=200):
        a = self.api("GET", path)
        if a.status != status:
            raise Failed(f"GET {path}: {a.status} {a.body[:300]!r}")
        return a.json

    def post(self, path, body=None, status=200, method="POST"):
        a = self.api(method, path, {} if body is None else body)
        if a.status != status:
            raise Failed(f"{method} {path}: {a.status} {a.body[:300]!r}")
        return a.json if a.body else None

    # ---- builds ----

    def ask(self, builder, **more):
        """Asks for a build, again while the database is away or the poller has not looked yet; its request's id."""
        def asked():
            a = self.try_api("POST", "/builds", {"builder": builder, **more})
            if a and a.status not in (201, 503) and b"no branch of project" not in a.body:
                raise Failed(f"{builder}: {a.status} {a.body[:300]!r}")
            return a and a.status == 201 and a.json["requests"][0]
        return wait_for(asked, "a build of " + builder)

    def request(self, rid):
        a = self.try_api("GET", f"/requests/{rid}")
        return a.json if a and a.status == 200 else None

    def wait_request(self, rid, seconds=30):
        """The request when it and its builds are over."""
        def over():
            r = self.request(rid)
            return r and r["state"] == "done" and all((b := self.try_build(x)) and b["state"] == "done" for x in r["builds"]) and r
        return wait_for(over, f"the end of {rid} ({self.request(rid)})", seconds)

    def try_build(self, bid):
        a = self.try_api("GET", f"/builds/{bid}")
        return a.json if a and a.status == 200 else None

    def run(self, builder, seconds=30, **more):
        """Builds to the end; the build."""
        r = self.wait_request(self.ask(builder, **more), seconds)
        if len(r["builds"]) != 1:
            raise Failed(f"not one build: {r}")
        return self.get("/builds/" + r["builds"][0])

    def wait_build(self, rid, condition=lambda b: True, what="the build", seconds=30):
        def there():
            r = self.request(rid)
            b = r and r["builds"] and self.try_build(r["builds"][-1])
            return b and condition(b) and b
        return wait_for(there, what, seconds)

    def log(self, build, step, zipped=True):
        """A step's log, as gzip by the way or plain."""
        a = self.api("GET", f"/builds/{build}/logs/{step}", headers={"Accept-Encoding": "gzip"} if zipped else {})
        if a.status != 200:
            raise Failed(f"log of {build}:{step}: {a.status} {a.body[:300]!r}")
        if zipped and a.headers["Content-Encoding"] != "gzip":
            raise Failed("the log did not come as gzip")
        return gzip.decompress(a.body) if zipped else a.body

    def channels(self, log, data):
        """What each channel wrote: the merged bytes, split by the spans that are stored with them."""
        parts, at = ([], []), 0
        for spans, in self.sql(f"select encode(spans, 'hex') from log_chunk where log = {int(log)} order by off"):
            for channel, n in spans_of(bytes.fromhex(spans)):
                parts[channel].append(memoryview(data)[at:at + n])
                at += n
        if at != len(data):
            raise Failed(f"the spans cover {at} bytes of {len(data)}")
        return [b"".join(p) for p in parts]

    # ---- the end ----

    def ours(self):
        """Every process that has to do with the folder: by working folder, root, program, command line or environment."""
        mark, me = self.root.encode(), os.getpid()
        found = []
        for p in pids():
            if p != me and (any(inside(link_of(p, x), self.root) for x in ("cwd", "root", "exe")) or
                            mark in read(f"/proc/{p}/cmdline") or mark in read(f"/proc/{p}/environ")):
                found.append(p)
        return found

    def named(self, found):
        return [(p, read(f"/proc/{p}/cmdline").replace(b"\0", b" ").decode(errors="replace")[:120]) for p in found]

    def tails(self):
        out = []
        for name in sorted(os.listdir(self.root)):
            if name.endswith(".log"):
                lines = [x for x in read(self.path(name)).decode(errors="replace").splitlines() if not x.startswith(NOISE)]
                out.append(f"--- {name} ({len(lines)} lines), the last:\n" + "\n".join(lines[-LOG_TAIL:]))
        return "\n".join(out)

    def sweep(self, remove=True):
        """Ends whatever is left, by pid; also where the tests were ended from outside."""
        for _ in range(100):
            found = self.ours()
            for p in found:
                tell(p, signal.SIGKILL)
            if not found:
                break
            time.sleep(0.05)
        if remove:
            shutil.rmtree(self.root, ignore_errors=True)

    def close(self, polite=True):
        """Stops everything, removes the folder. What is left of builds that are over, after a polite stop, is a failure."""
        left = []
        try:
            for p in self.agents.values():
                if p.poll() is None:
                    p.terminate()
            for name, p in self.agents.items():
                was, young = p.returncode, time.monotonic() - self.begun.get(name, 0) < YOUNG_S
                if p.wait(DEADLINE_S) and was is None and not (young and p.returncode == -signal.SIGTERM):
                    left.append((name, f"exit code {p.returncode}"))
            if self.master and self.master.poll() is None:
                self.master.terminate()
                if self.master.wait(DEADLINE_S):
                    left.append(("master", f"exit code {self.master.returncode}"))
            if polite:
                try:
                    wait_for(lambda: not self.ours(), "the end of all processes", 5)
                except Failed:
                    left += self.named(self.ours())
            for name in os.listdir(self.root):
                if name.endswith(".log") and (found := BAD.search(read(self.path(name)))):
                    left.append((name, found.group().decode(errors="replace")))
        finally:
            self.sweep(remove=False)
            if self.failed or left:
                print(self.tails(), file=sys.stderr)
            atexit.unregister(self.sweep)
            if not (self.failed and os.environ.get("DROVER_KEEP")):
                shutil.rmtree(self.root, ignore_errors=True)
        if left:
            raise Failed(f"left running, or ended badly: {left}")


def make_seed():
    """A drover's folder after its first start and a clean stop, for others to begin with (Drover.seeded), and `empty` in it, the same without a schema (tests/lib/pgfix.h); who calls removes it."""
    d = Drover({})
    d.configure(workers={})  # those of a first configuration are rows that stay
    d.start_master()
    bindir = os.path.dirname(os.readlink(f"/proc/{d.postmaster()}/exe"))
    if d.stop_master():
        raise Failed("the master did not end well:\n" + d.tails())
    as_owner = [] if os.geteuid() else ["setpriv", "--reuid", str(os.stat(d.path("pg")).st_uid), "--clear-groups"]

    def single(folder, database, text):
        subprocess.run([*as_owner, f"{bindir}/postgres", "--single", "-D", d.path(folder, "data"), database], input=text, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, cwd="/")

    # It is copied hundreds of times: without a database that nobody opens, and with small segments of its log.
    single("pg", "drover", b"update pg_database set datistemplate = false where datname = 'template0'\ndrop database template0\n")
    subprocess.run([*as_owner, f"{bindir}/pg_resetwal", f"--wal-segsize={SEED_SEGMENT_MIB}", "-D", d.path("pg", "data")], stdout=subprocess.DEVNULL, check=True, cwd="/")
    subprocess.run(["cp", "-a", "--reflink=auto", d.path("pg"), d.path("empty")], check=True)
    single("empty", "drover", b"drop schema public cascade\ncreate schema public\n")
    atexit.unregister(d.sweep)
    return d.root


slow = unittest.skipUnless(os.environ.get("DROVER_SOAK"), "make soak")  # costs minutes of processor time, and others show most of it


class Case(unittest.TestCase):
    """One Drover for the class, where it gives PROJECTS; logs are shown when a test failed; no process may be left."""
    PROJECTS = None
    WORKERS = None
    SITE = {}
    d = None

    @classmethod
    def setUpClass(cls):
        if cls.PROJECTS is None:
            return
        cls.d = Drover(cls.PROJECTS, cls.WORKERS, **cls.SITE)
        try:
            cls.prepare()
            cls.d.up()
        except BaseException:
            cls.d.failed = True
            cls.d.close(polite=False)
            raise

    @classmethod
    def prepare(cls):
        """Before the start: files that the configuration names."""

    @classmethod
    def tearDownClass(cls):
        if cls.d:
            cls.d.close(polite=not cls.d.failed)

    def run(self, result=None):
        self.owned, bad = [], lambda: len(result.failures) + len(result.errors)
        before, begin = bad(), time.monotonic()
        super().run(result)
        if getattr(result, "showAll", False):
            result.stream.writeln(f"    {time.monotonic() - begin:.1f} s")
        failed = bad() > before
        if self.d:
            self.d.failed |= failed
        for d in self.owned:
            d.failed |= failed
            try:
                d.close(polite=not failed)
            except Failed:
                result.addFailure(self, sys.exc_info())

    def own(self, *a, **kw):
        """A Drover of this test alone."""
        self.owned.append(Drover(*a, **kw))
        return self.owned[-1]

    def lines(self, path):
        return read(path).decode().split()


def pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def link_of(pid, name):
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except OSError:
        return ""


def inside(path, folder):
    return path == folder or path.startswith(folder + "/")


def alive(pid):
    """Whether it runs; a zombie does not."""
    s = read(f"/proc/{pid}/stat")
    return bool(s) and s.rsplit(b")", 1)[1].split()[0] not in (b"Z", b"X")


def spans_of(data):
    """(channel, length) of each: three LEB128 numbers, the third is the time."""
    numbers = wire.read_leb128(data)
    return [(numbers[i], numbers[i + 1]) for i in range(0, len(numbers), 3)]


def sha(data):
    return hashlib.sha256(data).hexdigest()


def compile_c(source, to):
    subprocess.run(["cc", "-O2", "-o", to, source], check=True)
    os.chmod(to, os.stat(to).st_mode | stat.S_IXOTH)
    return to


def git(repo, *argv, env=None, ok=True):
    who = {"GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.org", "GIT_COMMITTER_NAME": "Ann", "GIT_COMMITTER_EMAIL": "ann@example.org",
           "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    p = subprocess.run(["git", "-C", repo, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **who, **(env or {})})
    if ok and p.returncode:
        raise Failed(f"git {argv}: {p.stderr.decode()}")
    return p.stdout.decode().strip()


def make_repo(path, files):
    os.makedirs(path)
    git(path, "init", "-q", "-b", "main")
    return commit(path, files, "first")


def commit(path, files, message):
    for name, text in files.items():
        full = os.path.join(path, name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as f:
            f.write(text)
    git(path, "add", "-A")
    git(path, "commit", "-q", "--allow-empty", "-m", message)
    return git(path, "rev-parse", "HEAD")


def commit_on(path, branch, files, message, base="main"):
    """The same on a branch, which stays checked out. A new one comes with its commit: what a look saw of it before would be a change, too."""
    there = git(path, "branch", "--list", branch).strip()
    git(path, "checkout", "-q", *([branch] if there else ["--detach", base]))
    revision = commit(path, files, message)
    if not there:
        git(path, "checkout", "-q", "-b", branch)
    return revision
