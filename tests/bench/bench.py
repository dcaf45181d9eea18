#!/usr/bin/env python3
"""The figures of docs/performance.md, taken on real programs: prints lines "name value unit"; remarks go to stderr as "# …".

usage: bench.py BUILD [--only NAME[,NAME …]] [--json] [--peers FOLDER]
BENCH_QUICK=1 waits 10 s instead of 60 before it measures the idle master. Nothing here has a threshold; but figures from a database
that does not write through to its disk are none: exit 1.
"""
import argparse
import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

LATENCY_WARM, LATENCY_N = 5, 50
ONE_STEP_BUILDS, TEN_STEP_BUILDS = 1000, 200
IDLE_S, IDLE_QUICK_S, WORKER_IDLE_S, HERD_SETTLE_S = 60, 10, 5, 2
STARTS, KILLS, PUSHES, HELPER_PUSHES, DELIVERIES = 10, 5, 10, 3, 100
SPAWNS = 500
CONFIG_PROJECTS, CONFIG_RUNS = 200, 10
REPOSITORIES, POLL_S, FIRST_LOOKS_S = 500, 60, 300
CROWD_WAIT, CROWD_BUILDS, CROWD_ASKED, SLOW_STATEMENT_MS = 25000, 400, 20, 50
NS_MS = 1e6

# ---- the machine ----

def settings(s):
    """What the database promises, and the disk below it."""
    bad = False
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        value = s.db.one(f"show {name}")
        emit(f"database_{name}", value, "setting")
        bad |= value != "on"
    kind = subprocess.run(["stat", "-f", "-c", "%T", s.path("pg")], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    emit("database_filesystem", kind, "type")
    if bad or kind in ("tmpfs", "ramfs"):
        raise SystemExit("# the database does not write through to a disk: such figures say nothing")
    emit("database_version", s.db.one("show server_version").split()[0], "version")
    emit("machine_cores", os.cpu_count(), "cores")
    emit("machine_load", os.getloadavg()[0], "processes")


def spawn(s):
    """The machine's own limit for what starts processes."""
    for parents in (1, 2):
        p = subprocess.run([s.path("spawnrate"), str(SPAWNS), str(parents), "/bin/true"], stdout=subprocess.PIPE, check=True)
        emit(f"machine_spawn_{parents}", float(p.stdout), "/s")


def sizes(s):
    for name in ("drover-master", "drover-worker", "drover", "drover-git-helper"):
        emit("size_" + name.replace("-", "_"), os.path.getsize(f"{drover.BUILD}/{name}") / 1024, "KiB")


# ---- memory ----

def memory(s):
    """Idle processes. The first to be measured: nothing large has gone through the master yet."""
    agent = s.start_worker("here")
    for _ in range(10):
        s.line.build("p/one")
    s.settle()
    began = time.monotonic()
    page = site.Line(s.path("api.sock"))
    page.send("GET", "/events")  # a page that is open
    time.sleep(WORKER_IDLE_S)
    emit("rss_worker_idle", status(agent.pid, "VmRSS"), "KiB")
    wait = IDLE_QUICK_S if os.environ.get("BENCH_QUICK") == "1" else IDLE_S
    time.sleep(max(0, began + wait - time.monotonic()))
    emit("rss_master_idle", status(s.master.pid, "VmRSS") / 1024, "MiB")
    emit("rss_master_idle_after", wait, "s")
    page.close()
    s.line.build("p/sleep")
    minder = drover.wait_for(lambda: [p for p in s.minders() if status(p, "VmRSS")], "the minder")[0]
    time.sleep(1)
    emit("rss_minder", status(minder, "VmRSS"), "KiB")
    request = s.db.one("select max(id) from build_request")
    s.line.ask("POST", f"/requests/r{request}/cancel", {})
    s.settle()
    s.stop_worker("here")


# ---- submit to process ----

def latency(s):
    s.start_worker("here")
    for name, submit in (("api", submit_api), ("cli", submit_cli)):
        values, wall = [], []
        for i in range(LATENCY_WARM + LATENCY_N):
            n = s.stamped()[0]
            began = submit(s)
            at = s.wait_stamp(n + 1)
            s.settle(every=0.001)
            values.append((at - began) / NS_MS)
            wall.append((time.monotonic_ns() - began) / NS_MS)
        emit(f"submit_to_process_{name}_median", median(values[LATENCY_WARM:]), "ms")
        emit(f"submit_to_process_{name}_p99", percentile(values[LATENCY_WARM:], 99), "ms")
        emit(f"submit_to_done_{name}_median", median(wall[LATENCY_WARM:]), "ms")
    s.stop_worker("here")


def submit_api(s):
    s.line.build("p/stamp")
    return s.line.sent


def submit_cli(s):
    """The clock begins before the command line's program is executed."""
    subprocess.run([s.path("stamp"), s.launches, f"{drover.BUILD}/drover", "build", "p/stamp", "--branch", "main"], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, env={**os.environ, "DROVER_SOCKET": s.path("api.sock")}, check=True)
    return int(drover.read(s.launches).split()[-1])


# ---- throughput ----

def queue_and_run(s, builder, builds, workers):
    """Builds a second from the first one's row to the last one's end, by the database's clock; all are queued before a worker connects."""
    last = int(s.db.one("select coalesce(max(id), 0) from build"))
    began = time.monotonic()
    for _ in range(builds):
        s.line.build(f"p/{builder}")
    queued = builds / (time.monotonic() - began)
    before = cpu(s.master.pid), s.postgres_cpu()
    agents = [s.start_worker(w, wait=False) for w in workers]
    s.settle(120, every=0.05)
    master, postgres = cpu(s.master.pid) - before[0], s.postgres_cpu() - before[1]
    worker = sum(cpu(a.pid) for a in agents)
    seconds, n = s.db.rows(f"select extract(epoch from max(finished) - min(started)), count(*) from build where id > {last}")[0]
    if int(n) != builds:
        raise drover.Failed(f"{n} builds were made for {builds} requests")
    s.all_good(builder)
    for w in workers:
        s.stop_worker(w)
    return builds / float(seconds), queued, master, postgres, worker


def one(s):
    rate, queued, master, postgres, worker = queue_and_run(s, "one", ONE_STEP_BUILDS, ["here"])
    emit("one_step_builds_1x8", rate, "/s")
    emit("one_step_submitted", queued, "/s")
    emit("one_step_master_cpu", master * 1000 / ONE_STEP_BUILDS, "ms/build")
    emit("one_step_postgres_cpu", postgres * 1000 / ONE_STEP_BUILDS, "ms/build")
    emit("one_step_agent_cpu", worker * 1000 / ONE_STEP_BUILDS, "ms/build")


def ten(s):
    for name, workers in (("8x1", site.SINGLES), ("1x8", ["here"])):
        rate, _, master, postgres, worker = queue_and_run(s, "ten", TEN_STEP_BUILDS, workers)
        emit(f"ten_step_steps_{name}", rate * 10, "/s")
        emit(f"ten_step_master_cpu_{name}", master * 100 / TEN_STEP_BUILDS, "ms/step")
        emit(f"ten_step_postgres_cpu_{name}", postgres * 100 / TEN_STEP_BUILDS, "ms/step")
        emit(f"ten_step_agents_cpu_{name}", worker * 100 / TEN_STEP_BUILDS, "ms/step")


# ---- one large log ----

def log(s):
    size = site.LOG_MIB << 20
    with open(s.path("log.txt"), "wb") as f:
        subprocess.run([s.path("genlog"), str(site.LOG_MIB)], stdout=f, check=True)
    os.sync()  # the figures below are not to pay for it
    agent = s.start_worker("here")
    rss_peak_reset(s.master.pid)
    rss = status(s.master.pid, "VmRSS")
    before = cpu(s.master.pid), s.postgres_cpu(), cpu(agent.pid)
    minders = site.Watched(s.minders)
    s.line.build("p/log")
    began = s.line.sent
    s.settle(120)
    seconds = (time.monotonic_ns() - began) / 1e9
    worker = minders.end() + cpu(agent.pid) - before[2]
    emit("log_rate", size / 1e6 / seconds, "MB/s")
    emit("log_master_cpu", cpu(s.master.pid) - before[0], "s")
    emit("log_postgres_cpu", s.postgres_cpu() - before[1], "s")
    emit("log_worker_cpu", worker, "s")
    emit("log_master_rss_before", rss / 1024, "MiB")
    emit("log_master_rss_peak", status(s.master.pid, "VmHWM") / 1024, "MiB")
    s.all_good("log")
    length, stored, chunks = s.db.rows("select l.length, l.stored, (select count(*) from log_chunk k where k.log = l.id) from log l order by l.id desc limit 1")[0]
    if int(length) != size:
        raise drover.Failed(f"{length} bytes of log instead of {size}")
    emit("log_stored", int(stored) / (1 << 20), "MiB")
    emit("log_ratio", size / int(stored), "x")
    emit("log_chunks", int(chunks), "rows")
    number = s.db.one("select max(b.number) from build b join builder u on u.id = b.builder where u.name = 'log'")
    step = s.db.one("select name from step order by id desc limit 1")
    for accept in ("gzip", "identity"):
        read_back(s, f"/builds/p/log/{number}/logs/{step}", accept, size)
    s.stop_worker("here")
    os.unlink(s.path("log.txt"))


def read_back(s, path, accept, size):
    """The time is that of the transfer alone; what came is compared with what was written afterwards."""
    buffer, n = memoryview(bytearray(size + (1 << 20))), 0
    rss_peak_reset(s.master.pid)
    rss, used = status(s.master.pid, "VmRSS"), cpu(s.master.pid)
    line = site.Line(s.path("api.sock"))
    r = line.send("GET", path, accept=accept)
    while more := r.readinto(buffer[n:n + (1 << 20)]):
        n += more
    seconds = (time.monotonic_ns() - line.sent) / 1e9
    line.close()
    emit(f"log_read_{accept}", size / 1e6 / seconds, "MB/s")
    emit(f"log_read_{accept}_master_cpu", cpu(s.master.pid) - used, "s")
    emit(f"log_read_{accept}_master_rss_more", (status(s.master.pid, "VmHWM") - rss) / 1024, "MiB")
    data = gzip.decompress(buffer[:n]) if accept == "gzip" else buffer[:n]
    with open(s.path("log.txt"), "rb") as f:
        if hashlib.sha256(data).digest() != hashlib.sha256(f.read()).digest():
            raise drover.Failed(f"the log came back as other bytes than were written ({accept}, {n} bytes came)")


# ---- many workers ----

def gather(s, n):
    """So many workers that start in the same instant: who holds them, and that instant."""
    p = subprocess.Popen([s.path("herd"), f"{drover.BUILD}/drover-worker", s.root, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    began = int(p.stdout.readline())
    drover.wait_for(lambda: s.connected() == n, "the herd", 120, every=0.002)
    return p, began


def herd(s):
    for i in range(site.HERD):
        s.token(f"h{i}")
    rss = status(s.master.pid, "VmRSS")
    p, began = gather(s, site.HERD)
    emit("herd_200_ready", (time.monotonic_ns() - began) / NS_MS, "ms")
    time.sleep(HERD_SETTLE_S)
    emit("rss_master_per_worker", (status(s.master.pid, "VmRSS") - rss) / site.HERD, "KiB")
    p.stdin.close()
    p.wait()
    p.stdout.close()
    drover.wait_for(lambda: not s.connected(), "the herd's end")


def start(s):
    """From the worker's first instruction to the master's word that it is connected."""
    values = []
    for _ in range(STARTS):
        p = s.spawn("worker-w0.log", s.path("stamp"), s.launches, f"{drover.BUILD}/drover-worker", "--join-file", s.token("w0"), "--dir", s.path("work-w0"))
        drover.wait_for(lambda: s.connected() == 1, "the worker", every=0.0005)
        values.append((time.monotonic_ns() - int(drover.read(s.launches).split()[-1])) / NS_MS)
        p.terminate()
        p.wait()
        drover.wait_for(lambda: not s.connected(), "the worker's end")
    emit("worker_start_to_ready", median(values), "ms")
    emit("worker_start_to_ready_first", values[0], "ms")


# ---- faults ----

def kill(s):
    """kill -9 of the master in mid-build; the clock begins when it is started again."""
    ready, byte, api = [], [], []
    s.start_worker("here")
    request = s.line.build("p/tick")
    length = lambda: int(s.db.one("select coalesce(max(length), 0) from log where not complete"))
    taken = lambda: int(s.db.one("select x.number from worker_session x join worker w on w.id = x.worker where w.name = 'here'"))
    drover.wait_for(length, "the first byte")
    for _ in range(KILLS):
        s.kill_master(signal.SIGKILL)
        had, session = length(), taken()
        began = time.monotonic_ns()
        s.start_master(wait=False)
        s.reopen()
        api.append((time.monotonic_ns() - began) / NS_MS)
        drover.wait_for(lambda: taken() > session, "the session", every=0.001)
        ready.append((time.monotonic_ns() - began) / NS_MS)
        drover.wait_for(lambda: length() > had, "the log to go on", every=0.001)
        byte.append((time.monotonic_ns() - began) / NS_MS)
        time.sleep(random.uniform(0.2, 0.7))
    s.line.ask("POST", f"/requests/{request}/cancel", {})
    s.settle()
    attempts = s.db.one(f"select attempts from build_request where id = {request[1:]}")
    if attempts != "1":
        raise drover.Failed(f"the build that was to go on was begun {attempts} times")
    for name, values in (("api", api), ("session", ready), ("log", byte)):
        emit(f"master_killed_to_{name}_median", median(values), "ms")
        emit(f"master_killed_to_{name}_max", max(values), "ms")
    s.wait_ready()
    s.stop_worker("here")


# ---- git ----

def push(s):
    s.start_worker("here")
    values, alone = [], []
    for i in range(PUSHES):
        value, took = push_once(s, i)
        values.append(value)
        alone.append(took)
        time.sleep(random.uniform(0, 1))  # anywhere in the poll's period
    emit("push_to_process_poll_1s_median", median(values), "ms")
    emit("push_to_process_poll_1s_max", max(values), "ms")
    emit("push_to_process_poll_1s_min", min(values), "ms")
    emit("push_alone_median", median(alone), "ms")
    peak = HelperPeak()
    for i in range(HELPER_PUSHES):
        push_once(s, PUSHES + i)
    emit("rss_git_helper_peak", peak.end() / 1024, "MiB")
    s.all_good("pushed")
    s.stop_worker("here")


def push_once(s, i):
    drover.commit(s.path("tree"), {"number": f"{i} {time.time_ns()}\n"}, f"push {i}")
    n = s.stamped()[0]
    subprocess.run([s.path("stamp"), s.launches, "git", "-C", s.path("tree"), "push", "-q", "origin", "HEAD:main"], check=True)
    done = time.monotonic_ns()
    began = int(drover.read(s.launches).split()[-1])
    at = s.wait_stamp(n + 1)
    s.settle()
    return (at - began) / NS_MS, (done - began) / NS_MS


def hook(s):
    """The answer comes behind the commit of the change and, the pipeline being the site's, of the requests; so it is later than what is asked for, not earlier."""
    s.start_worker("here")
    before, values = "0" * 40, []
    for i in range(DELIVERIES):
        after = hashlib.sha1(f"{i} {time.time_ns()}".encode()).hexdigest()
        commit = {"id": after, "message": f"delivery {i}", "timestamp": "2026-01-01T00:00:00Z", "author": {"name": "Ann", "email": "ann@example.org"}, "added": ["a"], "modified": [], "removed": []}
        body, headers = site.hooks.github(site.hooks.push("main", before, after, [commit]))
        c = drover.UnixHttp(s.path("api.sock"), drover.DEADLINE_S)
        c.request("POST", "/hooks/told", body, headers)
        sent = time.monotonic_ns()
        r = c.getresponse()
        values.append((time.monotonic_ns() - sent) / NS_MS)
        if r.status != 202:
            raise drover.Failed(f"a delivery: {r.status} {r.read()[:300]!r}")
        c.close()
        asked = s.db.one(f"select count(*) from build_request r join buildset b on b.id = r.buildset join sourcestamp x on x.id = b.sourcestamp where x.revision = '{after}'")
        if asked != "1":
            raise drover.Failed(f"{asked} requests behind the answer")
        before = after
        s.settle()
    emit("hook_to_request_median", median(values), "ms")
    emit("hook_to_request_p99", percentile(values, 99), "ms")
    s.all_good("told")
    s.stop_worker("here")


# ---- many repositories ----

def polls(s):
    """What 500 repositories cost that are looked at each minute over smart HTTP, with nothing new: processor time of the master and its helpers over a minute, beside what they took before."""
    os.mkdir(s.path("many"))
    for i in range(REPOSITORIES):
        subprocess.run(["git", "clone", "-q", "--bare", "--local", s.bare, s.path("many", f"r{i}.git")], check=True)
    server = gitserve.GitHttp(s.path("many"), remember=True)  # git itself answers each repository once: the server's time is not what is measured
    before = dict(s.conf["projects"])
    s.configure(projects={**before, **{f"r{i}": {"git": server.url(f"r{i}.git"), "poll": f"{POLL_S}s", "steps": ["true"]} for i in range(REPOSITORIES)}})
    try:
        alone = polled_cpu(s)
        began = time.monotonic()
        s.post("/config/activate")
        drover.wait_for(lambda: int(s.db.one("select count(distinct h.project) from branch_head h join project p on p.id = h.project where p.name ~ '^r[0-9]'")) == REPOSITORIES, "the first looks",
                        FIRST_LOOKS_S, every=0.2)
        emit("poll_500_first_looks", time.monotonic() - began, "s")
        asked = len(server.asked)
        used = polled_cpu(s)
        asked = len(server.asked) - asked
        emit("poll_500_looks", asked, "/min")
        emit("poll_500_cpu", 100 * (used - alone) / POLL_S, "% of a core")
        emit("poll_look_cpu", 1000 * (used - alone) / asked, "ms")
        emit("poll_500_machine_load", os.getloadavg()[0], "processes")
    finally:
        s.configure(projects=before)
        s.post("/config/activate")
        server.close()


def polled_cpu(s):
    began = cpu(s.master.pid, children=True)
    time.sleep(POLL_S)
    return cpu(s.master.pid, children=True) - began


# ---- a large configuration ----

def config(s):
    """What it takes to read and check a site of 200 projects of 20 builders: each a matrix with a template, or each builder by itself."""
    say = "{name: configure, run: [cmake, --preset, %s]}, {name: build, run: [cmake, --build, %s, -j, \"${{ cores }}\"]}, {name: test, if: %s, run: [ctest, --preset, %s]}"
    preset = "\"${{ preset }}\""
    matrix = ("    templates: {cmake: {parameters: {preset: {type: string}, tests: {type: boolean, default: true}}, steps: [" + say % (preset, preset, "tests", preset) + "]}}\n"
              "    builders: {core: {matrix: {arch: [x86_64, arm64, riscv, ppc, s390], CC: [gcc, clang, icc, tcc]}, worker: {tags: [\"${{ matrix.arch }}\"]}, "
              "env: {CXX: \"${{ matrix.CC }}++\"}, steps: [{use: cmake, with: {preset: \"${{ matrix.CC }}-${{ matrix.arch }}\"}}]}}\n")
    single = "    builders:\n" + "".join("      b%d: {worker: {tags: [x%d]}, env: {CXX: c%d}, steps: [%s]}\n" % (i, i, i, say % (f"p{i}", f"p{i}", "branch == 'main'", f"p{i}")) for i in range(20))
    for name, builders in (("matrix", matrix), ("single", single)):
        top = s.path(f"config-{name}")
        os.makedirs(f"{top}/conf.d")
        with open(f"{top}/master.yaml", "w") as f:
            f.write("site: {name: bench}\n")
        for p in range(CONFIG_PROJECTS):
            with open(f"{top}/conf.d/p{p}.yaml", "w") as f:
                f.write(f"projects:\n  p{p}:\n    git: \"https://git.example.org/p{p}.git\"\n    defaults: {{timeout: 30m, env: {{LANG: C, CFLAGS: -O2}}}}\n{builders}")
        took = []
        for _ in range(CONFIG_RUNS):
            pid = os.posix_spawn(f"{drover.BUILD}/drover", ["drover", "config", "check", "--site", f"{top}/master.yaml"], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
            _, code, used = os.wait4(pid, 0)
            if code:
                raise drover.Failed(f"config check: {code}")
            took.append((used.ru_utime + used.ru_stime) * 1000)
        emit(f"config_{name}_cpu", site.median(took), "ms")
    print(f"# config: median processor time of {CONFIG_RUNS} runs of drover config check --site, {CONFIG_PROJECTS} projects of 20 builders; at most 200 ms on a machine with nothing else to do, "
          f"and the load is {os.getloadavg()[0]:.1f}", file=sys.stderr)


class HelperPeak(threading.Thread):
    """The largest git helper seen. It lives for milliseconds: every new process is looked at."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.done = 0, threading.Event()
        self.start()

    def run(self):
        last, living = self.newest(), set()
        while not self.done.wait(0.0005):
            now = self.newest()
            living |= set(range(last + 1, now + 1))
            last = max(last, now)
            for pid in list(living):
                name, state = drover.read(f"/proc/{pid}/comm"), status(pid, "VmHWM")
                if name.startswith(b"drover-git-help"):
                    self.peak = max(self.peak, state)
                elif not name.startswith(b"drover-master"):  # about to become one
                    living.discard(pid)

    @staticmethod
    def newest():
        return int(drover.read("/proc/loadavg").split()[-1])

    def end(self):
        self.done.set()
        self.join()
        return self.peak


def again(s, project, builder, n):
    """So many requests more, as one that is there already."""
    s.db.rows("insert into build_request (buildset, project, builder, tags, priority) select r.buildset, r.project, r.builder, r.tags, r.priority from build_request r join builder u on u.id = r.builder "
              f"join project p on p.id = r.project cross join generate_series(1, {n}) where r.state <> 'done' and p.name = '{project}' and u.name like '{builder}' returning 0")


def crowd(s):
    """25,000 requests of 200 builders wait for 500 workers, which are all busy; one more worker takes what it can. The sleepers stay, so this is the last figure."""
    for i in range(site.CROWD):
        s.token(f"h{i}")
    p, _ = gather(s, site.CROWD)
    s.line.build("p/sleep")
    again(s, "p", "sleep", site.CROWD - 1)
    running = lambda: int(s.db.one("select count(*) from build where state = 'running'"))
    drover.wait_for(lambda: running() == site.CROWD, "all to be busy", 240, every=0.1)
    for i in range(site.CROWD_BUILDERS):
        s.line.build(f"crowd/n{i}")
    again(s, "crowd", "n%", CROWD_WAIT // site.CROWD_BUILDERS - 1)
    s.db.rows("analyze build_request; select 0")
    s.db.rows(f"alter system set log_min_duration_statement = {SLOW_STATEMENT_MS}")
    s.db.rows("select pg_reload_conf()")
    last, logged = int(s.db.one("select max(id) from build")), slow_statements(s)
    s.start_worker(site.SINGLES[0])
    drover.wait_for(lambda: int(s.db.one(f"select count(*) from build where id > {last} and state = 'done'")) >= CROWD_BUILDS, "so many builds", 240, every=0.2)
    asked = []
    for path in ["/queue", "/requests/r" + s.db.one("select max(id) from build_request where state = 'pending'") + "/why"] * CROWD_ASKED:
        began = time.monotonic()
        s.line.ask("GET", path)
        asked.append((time.monotonic() - began) * 1000)
    slow = slow_statements(s) - logged
    gaps = [float(x[0]) for x in s.db.rows(f"select extract(epoch from started - lag) * 1000 from (select started, lag(finished) over (order by id) from build where id > {last}) x where lag is not null order by 1")]
    emit("crowd_freed_slot", median(gaps), "ms median")
    emit("crowd_freed_slot_p99", percentile(gaps, 99), "ms")
    emit("crowd_queue", median(asked[::2]), "ms median")
    emit("crowd_why", median(asked[1::2]), "ms median")
    emit("crowd_slow_statements", slow, f"over {SLOW_STATEMENT_MS} ms")
    s.db.rows("alter system reset log_min_duration_statement")
    s.db.rows("update build_request set state = 'done', result = 6 where state = 'pending'")
    s.stop_worker(site.SINGLES[0])
    p.stdin.close()
    p.wait()
    p.stdout.close()


def slow_statements(s):
    return sum(drover.read(s.path(*x)).count(b"duration: ") for x in (("master.log",), ("pg", "postgres.log")))


# ---- the link alone, and others ----

def files(s):
    benchlink.files()


def commands(s):
    benchlink.commands(s.path("genlog"))


def peers(folder):
    """The same of Buildbot on PostgreSQL, by programs that are not ours and print lines as these; they install what they need and want Debian's Python."""
    for program, *words in (("bb_dispatch.py", "pg", "n=30"), ("bb_throughput.py", "pg", "b=200", "s=1,10", "layouts=1x8,8w")):
        out = subprocess.run(["/usr/bin/python3", os.path.join(folder, program), *words], stdout=subprocess.PIPE, text=True, check=True).stdout
        for name, value, unit in (line.split(maxsplit=2) for line in out.splitlines()):
            emit(name, float(value), unit)


# In this order: what is idle is measured before anything large has gone through.
BENCHES = (sizes, spawn, files, commands, memory, latency, one, ten, log, herd, start, kill, push, hook, polls, config, crowd)


def main():
    only = options.only.split(",") if options.only else [b.__name__ for b in BENCHES]
    unknown = [n for n in only if n not in [b.__name__ for b in BENCHES]]
    if unknown:
        print(f"# no such figure: {', '.join(unknown)}; there are {' '.join(b.__name__ for b in BENCHES)}", file=sys.stderr)
        return 2
    begin = time.monotonic()
    s = site.Site()
    try:
        s.open()
        settings(s)
        for b in BENCHES:
            if b.__name__ not in only:
                continue
            began = time.monotonic()
            try:
                b(s)
            except (drover.Failed, OSError, subprocess.CalledProcessError) as e:
                site.remark(f"{b.__name__} failed: {e}")
                site.remark(s.tails().replace("\n", "\n# "))
                return 1
            site.remark(f"{b.__name__} took {time.monotonic() - began:.1f} s")
    finally:
        s.close()
    if options.peers:
        peers(options.peers)
    emit("bench_took", time.monotonic() - begin, "s")
    if options.json:
        print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Takes the figures of docs/performance.md.")
    parser.add_argument("build")
    parser.add_argument("--only", default="", metavar="NAME[,NAME]", help="only these: " + " ".join(b.__name__ for b in BENCHES))
    parser.add_argument("--json", action="store_true", help="one JSON object at the end instead of lines")
    parser.add_argument("--peers", metavar="FOLDER", help="Buildbot's too, by the programs bb_*.py of this folder")
    options = parser.parse_args()
    os.environ["DROVER_BUILD"] = os.path.abspath(options.build)
    import benchlink
    import benchsite as site
    site.as_json = options.json
    import gitserve
    from benchsite import cpu, drover, emit, figures, median, percentile, rss_peak_reset, status
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
