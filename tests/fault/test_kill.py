#!/usr/bin/env python3
"""kill -9 of the master, of the agent, of PostgreSQL, at any moment: the same build goes on as attempt 1 and ends with the same result, no command runs twice, the log is exact.

DROVER_KILLS: how many kills of each (default 5). DROVER_SEED: of the moments. DROVER_MIB: what the generator writes (default 16, in the soak 64).
The oracles: each step appends a line to a file outside the work folder (exactly one a step at the end); a generator writes numbered
records on both streams and its own sha256 of each to a file, and the stored log, split by its spans, must have the same; the request
has one build, attempt 1, and one result in the event log. The moments are spread evenly over claim to result of a dry run, and three
quarters of them must fall while a command was open, by the times in the database; the histogram is printed.
"""
import os
import random
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
from drover import Case, alive, busy, compile_c, make_repo, read, sha, wait_for  # noqa: E402

KILLS = int(os.environ.get("DROVER_KILLS") or 5)
SEED = int(os.environ.get("DROVER_SEED") or time.time())
MIB = int(os.environ.get("DROVER_MIB") or (64 if os.environ.get("DROVER_SOAK") else 16))
PIECES = 10          # of the histogram
BACK_S = 10 if os.environ.get("DROVER_SOAK") else 30  # the database is back by then
QUERY_S = 30
STORM = 100          # quick builds
AGAIN_S = 0.3       # after this the master is killed a second time
STEPS = ["one", "gen", "three", "four"]

# Each step tells first that it runs.
TELL = 'echo "$DROVER_BUILD %s" >>ROOT/ran\n'
WORK = {"checkout": "none", "steps": [
    {"name": "one", "run": TELL % "one" + "for i in 1 2 3 4 5 6; do echo one $i; sleep 0.05; done"},
    {"name": "gen", "run": TELL % "gen" + f"exec ROOT/gen {MIB} ROOT/sums.${{DROVER_BUILD##*/}}"},
    {"name": "three", "run": TELL % "three" + "for i in 1 2 3 4 5 6; do echo three $i >&2; sleep 0.05; done"},
    {"name": "four", "run": TELL % "four" + "sleep 0.2; echo four; exit 3"},
    {"name": "never", "run": TELL % "never"}]}
BRIEF = {"checkout": "none", "steps": [
    {"name": "one", "run": TELL % "one" + "echo begin; sleep 1.5; while [ -e ROOT/hold ]; do sleep 0.05; done; echo end"},
    {"name": "two", "run": TELL % "two" + "echo two"}]}
QUICK = {"checkout": "none", "steps": [{"name": "one", "run": 'echo "$DROVER_BUILD" >>ROOT/ran.quick'}]}
TEXT = {"one": "".join(f"one {i}\n" for i in range(1, 7)), "three": "".join(f"three {i}\n" for i in range(1, 7)), "four": "four\n"}


def with_root(value, root):
    if isinstance(value, str):
        return value.replace("ROOT", root)
    if isinstance(value, list):
        return [with_root(v, root) for v in value]
    if isinstance(value, dict):
        return {k: with_root(v, root) for k, v in value.items()}
    return value


class Killed(Case):
    back = []  # s, until an agent that was killed is taken over
    PROJECTS = {"k": {}}
    WORKERS = {"here": {"slots": 4}}

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a\n"})
        d.configure(projects={"k": with_root({"git": "ROOT/repo", "poll": "1h", "builders": {"work": WORK, "brief": BRIEF, "quick": QUICK}}, d.root)})
        compile_c(os.path.join(os.path.dirname(HERE), "lib", "gen.c"), d.path("gen"))

    def setUp(self):
        """Whatever the test before left."""
        if self.d.master.poll() is not None:
            self.d.start_master()
        if self.d.agents["here"].poll() is not None:
            self.d.start_worker()

    # ---- oracles ----

    def ran(self, build):
        """The steps that this build ran, in order, from the file that they append to."""
        return [line.split()[1] for line in read(self.d.path("ran")).decode().splitlines() if line.split()[0] == build["id"]]

    def once(self, rid, steps, result):
        """One build, attempt 1, with one result; each step ran once."""
        d = self.d
        r = d.wait_request(rid)
        self.assertEqual((len(r["builds"]), r["attempts"], r["result"]), (1, 1, result), r)
        b = d.get("/builds/" + r["builds"][0])
        self.assertEqual((b["attempt"], b["result"]), (1, result), b)
        self.assertEqual(self.ran(b), steps)
        self.assertEqual([s["name"] for s in b["steps"]], steps)
        for s in b["steps"]:
            self.assertEqual([(c["state"], c["how"]) for c in s["commands"]], [("done", "exited")], s)
            self.assertEqual([x["complete"] for x in s["logs"]], [True], s)
        for kind, what in (("build.done", b["id"]), ("request.done", rid), ("build.started", b["id"])):
            numbered = wait_for(lambda: int(d.events(f"select count(*) from event where type = '{kind}' and object = '{what}'")[0][0]), f"{kind} of {what}")
            self.assertEqual(numbered, 1, kind)
        return b

    def exact(self, rid):
        """once(), and every byte of every log of the builder `work`."""
        b = self.once(rid, STEPS, 2)
        self.assertEqual([s["result"] for s in b["steps"]], [0, 0, 0, 2])
        for step, text in TEXT.items():
            self.assertEqual(self.d.log(b["id"], step).decode(), text)
        data = self.d.log(b["id"], "gen")
        log = next(s for s in b["steps"] if s["name"] == "gen")["logs"][0]
        told = dict(line.split(maxsplit=1) for line in read(self.d.path("sums." + b["id"].rsplit("/", 1)[1])).decode().splitlines())
        for name, got in zip(("out", "err"), self.d.channels(log["id"], data)):
            digest, length = told[name].split()
            if (sha(got), len(got)) != (digest, int(length)):
                self.fail(f"{name} of {b['id']}: {first_fault(name[0], got)}; {len(got)} bytes of {length}")
        self.assertEqual((log["length"], log["lines"]), (len(data), data.count(b"\n")))
        return b

    # ---- moments ----

    def dry(self):
        """From claim to result of a build that nobody disturbs, s; the shorter of two, measured once."""
        cls = type(self)
        if not getattr(cls, "duration", None):
            cls.duration = min(b["finished"] - b["started"] for b in (self.exact(self.d.ask("k/work")) for _ in range(2))) / 1000
            print(f"dry run: {cls.duration:.2f} s, seed {SEED}", flush=True)
        return cls.duration

    def kills(self, what, kill, count):
        """count builds, each with one kill; the moments are spread over claim to result. Where a build was over before its moment, since the machine is not as busy any more as it was at the dry run, another one is
        killed, by the time that this one took."""
        duration, chance = self.dry(), random.Random(f"{SEED} {what}")
        moments = []
        while len(moments) < count:
            i = len(moments)
            ready = kill(i)  # what takes time is done before
            rid = self.d.ask("k/work")
            asked = time.monotonic()
            self.d.wait_build(rid)
            at = (i + chance.random()) / count * duration
            time.sleep(max(0, asked + at - time.monotonic()))
            now = time.time()
            ready()
            b = self.exact(rid)
            begun = float(self.d.sql(f"select extract(epoch from x.started) from build x join builder u on u.id = x.builder where u.name = 'work' and x.number = {b['number']}")[0][0])
            open_then = int(self.d.sql(f"select count(*) from command c join build x on x.id = c.build join builder u on u.id = x.builder where u.name = 'work' and x.number = {b['number']} "
                                       f"and c.started <= to_timestamp({now!r}) and c.finished >= to_timestamp({now!r})")[0][0])
            took = (b["finished"] - b["started"]) / 1000
            if now - begun < took or duration <= took:
                moments.append((now - begun, bool(open_then)))
            else:
                duration = took
        self.histogram(what, moments, duration)

    def histogram(self, what, moments, duration):
        bins = [[0, 0] for _ in range(PIECES)]
        for at, was_open in moments:
            bins[min(PIECES - 1, max(0, int(at / duration * PIECES)))][0 if was_open else 1] += 1
        print(f"{what}: {len(moments)} kills over {duration:.2f} s, {sum(o for _, o in moments)} with a command open: " +
              " ".join("#" * a + "." * b or "-" for a, b in bins), flush=True)
        self.assertGreaterEqual(sum(o for _, o in moments), len(moments) * 3 // 4)

    def master(self):
        self.d.kill_master()
        self.d.start_master()

    def agent(self):
        session = "select number from worker_session"
        before = self.d.sql(session)
        self.d.kill_worker()
        self.d.start_worker(wait=False)
        began = time.monotonic()
        wait_for(lambda: self.d.sql(session) != before, "the agent to be back", every=0.005)
        self.back.append(time.monotonic() - began)

    def postmaster(self):
        was = wait_for(self.d.postmaster, "a postmaster")  # 0, where none is there, is this very process
        os.kill(was, 9)
        wait_for(lambda: (p := self.d.postmaster()) and p != was and alive(p) and self.database_up(), "the database", BACK_S)

    def database_up(self):
        a = self.d.try_api("GET", "/status")
        return a and a.json["database"]["up"]

    def backend(self):
        """PostgreSQL ends all its sessions and recovers; its postmaster stays."""
        was, postmaster = wait_for(self.d.backends, "a backend"), self.d.postmaster()
        os.kill(random.choice(was), 9)
        wait_for(lambda: not set(was) & set(self.d.backends()) and self.database_up(), "the database", BACK_S)
        self.assertEqual(postmaster, self.d.postmaster())

    def computing(self):
        """The postmaster, while a backend computes and so does not notice."""
        text = f"do $$ declare t timestamptz := clock_timestamp(); begin while clock_timestamp() < t + interval '{QUERY_S * busy():.0f} s' loop perform 1; end loop; end $$"
        p = subprocess.Popen(self.d.psql_argv("-c", "set statement_timeout = 0", "-c", text), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        wait_for(lambda: self.d.sql("select 1 from pg_stat_activity where state = 'active' and query like 'do %'"), "the query")

        def kill():
            self.assertIsNone(p.poll())
            self.postmaster()
            p.wait()
        return kill

    # ---- one by one ----

    def test_1_master(self):
        self.kills("master", lambda i: self.master, KILLS)

    def test_1_agent(self):
        self.back.clear()
        self.kills("agent", lambda i: self.agent, KILLS)
        print(f"figure: row 3: {KILLS} agents killed, exact; back after {sorted(self.back)[len(self.back) // 2]:.2f} s, at most {max(self.back):.2f} s", flush=True)

    def test_1_postgres(self):
        kinds = (lambda: self.postmaster, lambda: self.backend, self.computing)
        self.kills("postgres", lambda i: kinds[i % 3](), -(-KILLS // 3) * 3)

    # ---- at chosen moments ----

    def hold(self):
        """The first step of the builds that begin from now on does not end before this is called off."""
        path = self.d.path("hold")
        open(path, "w").close()
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        return lambda: os.unlink(path)

    def brief(self):
        """A build whose first step runs."""
        rid = self.d.ask("k/brief")
        self.d.wait_build(rid, self.ran, "the first step")
        return rid

    def test_2_two_restarts(self):
        rid = self.brief()
        self.d.kill_master()
        self.d.start_master(wait=False)
        time.sleep(AGAIN_S)
        self.d.kill_master()
        self.d.start_master()
        self.once(rid, ["one", "two"], 0)

    def test_2_step_ends_while_the_master_is_down(self):
        go, rid = self.hold(), self.brief()
        self.d.kill_master()
        go()
        wait_for(lambda: not self.d.minders(), "the minder's end")
        self.d.start_master()
        b = self.once(rid, ["one", "two"], 0)
        self.assertEqual(self.d.log(b["id"], "one"), b"begin\nend\n")

    def test_2_step_ends_while_the_agent_is_down(self):
        go, rid = self.hold(), self.brief()
        self.d.kill_worker()
        go()
        wait_for(lambda: not self.d.minders(), "the minder's end")
        self.d.start_worker()
        self.once(rid, ["one", "two"], 0)

    def test_2_master_stopped(self):
        rid = self.brief()
        self.assertEqual(self.d.stop_master(), 0)
        self.assertEqual(self.d.postgres(), [])
        self.d.start_master()
        self.once(rid, ["one", "two"], 0)

    def test_2_agent_stopped(self):
        rid = self.brief()
        self.assertEqual(self.d.kill_worker(sig=15), 0)
        self.d.start_worker()
        self.once(rid, ["one", "two"], 0)

    def test_2_all_at_once(self):
        rid = self.brief()
        self.d.kill_worker()
        self.d.kill_master()
        os.kill(wait_for(self.d.postmaster, "a postmaster"), 9)
        self.d.start_master()
        self.d.start_worker()
        self.once(rid, ["one", "two"], 0)

    def test_2_minder(self):
        """Its command is lost, with all processes, and a new attempt is made."""
        go, rid = self.hold(), self.brief()
        minder = wait_for(lambda: len(m := self.d.minders()) == 1 and m, "its minder alone: the one of the test before may be about to end")
        first = self.d.request(rid)["builds"][0]
        began = time.monotonic()
        os.kill(minder[0], 9)
        wait_for(lambda: self.d.get("/builds/" + first)["result_text"] == "retry", "its end", every=0.005)
        go()
        print(f"figure: row 4: a minder killed, lost after {time.monotonic() - began:.2f} s", flush=True)
        r = self.d.wait_request(rid)
        self.assertEqual((r["result"], r["attempts"], len(r["builds"])), (0, 2, 2), r)
        first, second = (self.d.get("/builds/" + b) for b in sorted(r["builds"], key=lambda b: int(b.rsplit("/", 1)[1])))
        self.assertEqual((first["result_text"], first["attempt"]), ("retry", 1))
        self.assertEqual((second["result_text"], second["attempt"]), ("success", 2))
        self.assertEqual((self.ran(first), self.ran(second)), (["one"], ["one", "two"]))

    # ---- around the claim ----

    def storm(self, kill):
        """Quick builds; a kill each time another part of them ran."""
        self.d.kill_worker(sig=15)
        self.d.wait_worker(connected=False)
        before = len(read(self.d.path("ran.quick")).splitlines())
        requests = [self.d.ask("k/quick") for _ in range(STORM)]
        self.d.start_worker(wait=False)
        chance = random.Random(f"{SEED} storm {kill.__name__}")
        for i in range(5):
            ran = before + STORM * i // 6 + 1
            wait_for(lambda: len(read(self.d.path("ran.quick")).splitlines()) >= ran, f"{ran - before} of the storm", every=0.002)
            time.sleep(chance.random() * 0.05)
            kill()
        numbers = set()
        for rid in requests:
            r = self.d.wait_request(rid)
            self.assertEqual((r["result"], r["attempts"], len(r["builds"])), (0, 1, 1), r)
            numbers.add(r["builds"][0])
        lines = read(self.d.path("ran.quick")).decode().splitlines()[before:]
        self.assertEqual((len(lines), set(lines)), (STORM, numbers))
        done = self.d.events(f"select count(*), count(distinct object) from event where type = 'request.done' and object in ({','.join(repr(r) for r in requests)})")
        self.assertEqual(done, [[str(STORM)] * 2])

    def test_3_storm_master(self):
        self.storm(self.master)

    def test_3_storm_agent(self):
        self.storm(self.agent)

    def test_3_storm_postgres(self):
        self.storm(self.postmaster)

    def test_4_events_are_dense(self):
        wait_for(lambda: self.d.sql("select count(*) from outbox") == [["0"]], "the outbox")
        n, low, high = self.d.sql("select count(*), min(number), max(number) from event")[0]
        self.assertEqual((low, high), ("1", n))


def first_fault(channel, data):
    """Where the numbered records go wrong."""
    for i in range(0, len(data), 64):
        n = b"%012d" % (i // 64)
        if data[i:i + 64] != channel.encode() + b" " + n + b" " + n * 4 + b"\n":
            return f"record {i // 64} is {data[i:i + 64]!r}"
    return "all records are right"


if __name__ == "__main__":
    unittest.main()
