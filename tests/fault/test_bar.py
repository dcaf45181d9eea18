#!/usr/bin/env python3
"""What the links, workers and logs of a site must stand (docs/faults.md has the list, and what was measured): silent networks, workers that come back too late, second ones of a name, long logs, followers that read nothing.

Short here; DROVER_SOAK=1 takes the sizes that are asked for, and prints the figures as lines "figure: ...". DROVER_BAR_MIB: of the long log, instead."""
import gzip
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
from drover import BUILD, Case, alive, busy, compile_c, inside, link_of, make_repo, read, sha, slow, tell, wait_for  # noqa: E402
from relay import Relay  # noqa: E402

LONG = bool(os.environ.get("DROVER_SOAK"))
MIB = int(os.environ.get("DROVER_BAR_MIB") or (4608 if LONG else 24))   # of the long log: more than 2^32 bytes
MASTER_KIB, AGENT_KIB, MINDER_KIB = 64 << 10, 8 << 10, 2 << 10
TAIL_P95_S = 1.0
FOLLOWERS = 100 if LONG else 10             # half of them stalled
FOLLOWED_MIB = 32 if LONG else 2
VIEWER_KIB = 256
LATE_ROUNDS, LATE_BUILDS = (5, 20) if LONG else (1, 3)   # workers that come back too late, some half of so many builds each
WINDOW = "24s"                              # more than two pings: else a command thinks that it is alone
SILENCE_S = 30                              # after which a link is dead
LATE_TREE_S = 5
BRIEF = "echo begin; while [ ! -e ROOT/go.$BUILD ]; do sleep 0.05; done; echo end"
NAME = "BUILD=$(echo $DROVER_BUILD | tr / -); "


def figure(text):
    print(f"figure: {text}", flush=True)


def status(pid, key):
    """KiB of a process; 0: it has ended."""
    return next((int(x.split()[1]) for x in read(f"/proc/{pid}/status").decode().splitlines() if x.startswith(key + ":")), 0)


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]


class Follower(threading.Thread):
    """Reads a step's log while it grows. stalled: nothing of it, until release() is called."""

    def __init__(self, path, build, step, stalled=False, keep=True):
        super().__init__(daemon=True)
        self.free, self.digest, self.got, self.parts, self.bad = threading.Event(), zlib.crc32(b""), 0, [] if keep else None, None
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(path)
        self.sock.sendall(f"GET /api/v1/builds/{build}/logs/{step}?follow=1 HTTP/1.0\r\nAccept-Encoding: identity\r\n\r\n".encode())
        self.sock.recv(1, socket.MSG_PEEK)  # once it is served
        if not stalled:
            self.free.set()
        self.start()

    def release(self):
        self.free.set()

    def run(self):
        try:
            self.free.wait()
            f = self.sock.makefile("rb", 65536)
            while f.readline().strip():
                pass
            while data := f.read1(65536):
                self.digest = zlib.crc32(data, self.digest)
                self.got += len(data)
                if self.parts is not None:
                    self.parts.append((time.time(), data))
        except OSError as e:
            self.bad = e
        finally:
            self.sock.close()


class Bar(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"a": {"slots": 12, "tags": ["a"]}, "b": {"slots": 12, "tags": ["b"]}}
    SITE = {"window": WINDOW}

    @classmethod
    def prepare(cls):
        d = cls.d
        cls.relay = Relay(d.port)
        d.conf["site"] = {"address": cls.relay.address}
        d.tcp = True
        make_repo(d.path("repo"), {"a": "a\n"})
        compile_c(os.path.join(os.path.dirname(HERE), "lib", "gen.c"), d.path("gen"))

        def builder(run, **more):
            return {"checkout": "none", "steps": [{"name": "s1", "run": (NAME + run).replace("ROOT", d.root)}], **more}
        here = {"worker": {"tags": ["a"]}}
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "1h", "output": "16G", "builders": {
            "brief": builder(BRIEF), "here": builder(BRIEF, **here), "gen": builder(f"exec ROOT/gen {MIB} ROOT/sums.$BUILD", **here),
            "many": builder("exec ROOT/gen 200 ROOT/sums.$BUILD", **here),
            "followed": builder(f"while [ ! -e ROOT/go.$BUILD ]; do sleep 0.02; done; exec ROOT/gen {FOLLOWED_MIB} ROOT/sums.$BUILD", **here),
            "clock": builder("exec python3 -c 'import os, sys, time\nwhile not os.path.exists(sys.argv[1]): print(time.time(), flush=True); time.sleep(0.05)' ROOT/go.clock", **here)}}})

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.relay.close()

    def setUp(self):
        self.relay.hold.clear()
        for name in self.WORKERS:
            self.d.wait_worker(name)

    def go(self, build):
        with open(self.d.path("go." + build["id"].replace("/", "-")), "w"):
            pass

    def begun(self, builder="p/brief"):
        """A build whose step has written its first line."""
        rid = self.d.ask(builder)
        return rid, self.d.wait_build(rid, lambda b: any(x["length"] for s in b["steps"] for x in s["logs"]), "its first line")

    def exact(self, rid):
        """The same build went on, its log is whole."""
        r = self.d.wait_request(rid)
        self.assertEqual((r["result"], r["attempts"], len(r["builds"])), (0, 1, 1), r)
        self.assertEqual(self.d.log(r["builds"][0], "s1"), b"begin\nend\n")

    def sums(self, build, data):
        """What the generator wrote of each channel is in the log, and nothing else."""
        told = dict(line.split(maxsplit=1) for line in read(self.d.path("sums." + build["id"].replace("/", "-"))).decode().splitlines())
        log = self.d.get("/builds/" + build["id"])["steps"][0]["logs"][0]
        for name, got in zip(("out", "err"), self.d.channels(log["id"], data)):
            self.assertEqual(told[name].split(), [sha(got), str(len(got))], name)

    # ---- row 7: networks that swallow bytes ----

    def window(self, value):
        """How long a worker may be away, from now on."""
        count = "select count(*) from event where type = 'config'"
        n = int(self.d.events(count)[0][0])
        self.d.configure(window=value)
        self.d.master.send_signal(signal.SIGHUP)
        wait_for(lambda: int(self.d.events(count)[0][0]) > n, "the reload")

    def silent(self, ways, seconds):
        """A build runs while nothing passes, and ends when it passes again. Notices when the master counted the worker as away."""
        rid, b = self.begun("p/here")
        self.relay.hold |= set(ways)
        began, away = time.monotonic(), None
        self.go(b)
        while time.monotonic() < began + seconds:
            if away is None and not self.d.get("/workers/a")["connected"]:
                away = time.monotonic() - began
            time.sleep(0.1)
        self.relay.hold.clear()
        self.exact(rid)
        return away

    def test_7_silent_for_a_second(self):
        for ways in (("up", "down"), ("up",), ("down",)):
            self.silent(ways, 1)

    @slow
    def test_7_silent_for_long(self):
        self.window("30m")
        for ways, seconds in ((("up", "down"), 60), (("up",), 60), (("down",), 60), (("up", "down"), 600)):
            away = self.silent(ways, seconds)
            figure(f"row 7: {' and '.join(ways)} silent for {seconds} s, noticed after {away:.1f} s, exact")
            self.assertLess(away, SILENCE_S + 5)

    # ---- row 12: a worker that comes back when its build was made by another ----

    def stop_all(self, name):
        """A worker, its minders and what runs below them stand still, and its link breaks. Returns all of them, and the last."""
        d = self.d
        minders = [p for p in d.minders() if d.path("work-" + name).encode() in read(f"/proc/{p}/cmdline")]
        tree = [p for p in d.ours() if b"DROVER_COMMAND=" in read(f"/proc/{p}/environ") and inside(link_of(p, "cwd"), d.path("work-" + name))]  # the loop of BRIEF starts others, which end by themselves
        for p in (stopped := [d.agents[name].pid, *minders, *tree]):
            tell(p, signal.SIGSTOP)
        self.relay.cut()
        return stopped, minders + tree

    def test_12_late(self):
        """All of it stands still until its builds were lost and made anew elsewhere; what it says then changes nothing, and its processes end."""
        d, worst, late = self.d, 0, 0
        for _ in range(LATE_ROUNDS):
            begun = [self.begun() for _ in range(LATE_BUILDS)]
            name = begun[0][1]["worker"]
            for rid, b in begun:
                if b["worker"] != name:
                    self.go(b)
                    self.exact(rid)
            begun = [(rid, b) for rid, b in begun if b["worker"] == name]
            stopped, tree = self.stop_all(name)
            self.assertGreaterEqual(len(tree), 2 * len(begun))
            pairs = [(rid, first, d.wait_build(rid, lambda b, one=first: b["id"] != one["id"] and any(x["length"] for s in b["steps"] for x in s["logs"]), "the second attempt", 60)) for rid, first in begun]
            for rid, first, second in pairs:
                self.go(first)
                self.go(second)
                d.wait_request(rid)
            rows = f"select * from build where id in (select build from command where id in ({','.join(c['id'].split('-')[1] for _, first, _ in pairs for s in first['steps'] for c in s['commands'])})) order by id"
            before = d.sql(rows)
            for p in stopped:
                tell(p, signal.SIGCONT)
            began = time.monotonic()
            wait_for(lambda: not any(alive(p) for p in tree), "the end of what was late")
            worst = max(worst, time.monotonic() - began)
            d.wait_worker(name)
            wait_for(lambda: not [n for n in os.listdir(d.path("work-" + name, "spool")) if not n.startswith(".")], "its spool to be empty")
            self.assertEqual((d.sql(rows), len(before)), (before, len(pairs)))
            for rid, first, second in pairs:
                r = d.request(rid)
                self.assertEqual((r["result"], r["attempts"], [d.get("/builds/" + b["id"])["result_text"] for b in (first, second)]), (0, 2, ["retry", "success"]))
                self.assertEqual((d.log(first["id"], "s1"), d.log(second["id"], "s1")), (b"begin\n", b"begin\nend\n"))
            late += len(pairs)
        figure(f"row 12: {late} late commands, each refused, processes gone within {worst:.1f} s")
        self.assertLess(worst, LATE_TREE_S * busy())

    # ---- row 13: second ones of a name ----

    def cut_once(self):
        """All links are cut, and every worker is back on a new one."""
        d = self.d
        before = {name: d.links(name) for name in self.WORKERS}
        self.relay.cut()
        wait_for(lambda: all(d.links(name) > n for name, n in before.items()), "the workers to come again")
        for name in self.WORKERS:
            d.wait_worker(name)

    def second(self, folder):
        """Another agent with a's token; what it was told."""
        d, log = self.d, self.d.path(os.path.basename(folder) + ".err")
        p = d.spawn(os.path.basename(log), f"{BUILD}/drover-worker", "--join-file", d.token("a"), "--dir", folder)
        try:
            began = time.monotonic()
            said = wait_for(lambda: next((x for x in read(log).decode().splitlines() if "refuse" in x or "another instance" in x or "copied" in x), None), "its refusal")
            return said, time.monotonic() - began
        finally:
            p.kill()
            p.wait()

    def test_13_the_same_name_and_a_copied_folder(self):
        """The copy is older than the last connection of the one that it was made of."""
        d = self.d
        rid, b = self.begun("p/here")
        shutil.copytree(d.path("work-a"), d.path("copy"), ignore=lambda _, names: [n for n in names if n in ("spool", "work", "lock", "wake")])
        self.cut_once()
        sessions = d.sql("select worker, number, instance, conn, connected from worker_session order by 1")
        said, took = self.second(d.path("other"))
        self.assertIn("another instance is connected as a and answers", said)
        self.assertLess(took, 1.5 * busy())
        said, took = self.second(d.path("copy"))
        self.assertIn("the state folder was copied", said)
        self.assertLess(took, 1.5 * busy())
        self.assertEqual((d.sql("select worker, number, instance, conn, connected from worker_session order by 1"), read(d.path("worker-a.log")).count(b"replaced")), (sessions, 0))
        self.go(b)
        self.exact(rid)

    # ---- row 18: long logs ----

    def peaks(self):
        """Counted from here; what the programs have now."""
        for p in (self.d.master.pid, self.d.agents["a"].pid):
            with open(f"/proc/{p}/clear_refs", "w") as f:
                f.write("5")
        return status(self.d.master.pid, "VmRSS")

    def test_18_long_log(self):
        """One long log at full speed, while another build writes a line each 50 ms that somebody follows."""
        d = self.d
        crid = d.ask("p/clock")
        clock = d.wait_build(crid, lambda b: b["steps"])
        tail = Follower(d.path("api.sock"), clock["id"], "s1")
        before = self.peaks()
        began = time.monotonic()
        rid = d.ask("p/gen")
        minder = 0
        while not (r := d.request(rid)) or r["state"] != "done":
            minder = max([minder, *[status(p, "VmHWM") for p in d.minders()]])
            time.sleep(0.05)
        took = time.monotonic() - began
        master, agent = status(d.master.pid, "VmHWM") - before, status(d.agents["a"].pid, "VmHWM")
        with open(d.path("go.clock"), "w"):
            pass
        d.wait_request(crid)
        tail.join()
        os.unlink(d.path("go.clock"))
        late = [at - float(line) for at, data in tail.parts for line in data.splitlines() if line.count(b".") == 1 and len(line) > 12]
        b = d.get("/builds/" + r["builds"][0])
        self.assertEqual((r["result"], r["attempts"], b["steps"][0]["logs"][0]["length"]), (0, 1, MIB << 20))
        self.whole(b)
        figure(f"row 18: {MIB} MiB in {took:.1f} s ({MIB / took:.0f} MiB/s), equal; master + {master >> 10} MiB, agent {agent} KiB, minder {minder} KiB; tail of another log, 95th of {len(late)}: {percentile(late, 95):.2f} s")
        self.assertLess((master, agent, minder), (MASTER_KIB, 1 << 30, 1 << 30))
        self.assertLess(agent, AGENT_KIB)
        self.assertLess(minder, MINDER_KIB)
        self.assertLess(percentile(late, 95), TAIL_P95_S if LONG else (TAIL_P95_S + 1) * busy())

    def whole(self, build):
        """A log that is too long for memory: records of each channel by spans, a chunk at a time."""
        d, told = self.d, dict(line.split(maxsplit=1) for line in read(self.d.path("sums." + build["id"].replace("/", "-"))).decode().splitlines())
        f = socket.socket(socket.AF_UNIX)
        f.connect(d.path("api.sock"))
        f.sendall(f"GET /api/v1/builds/{build['id']}/logs/s1 HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n".encode())
        stream = f.makefile("rb")
        while stream.readline().strip():
            pass
        sums, n, rest = {b"o": hashlib.sha256(), b"e": hashlib.sha256()}, {b"o": 0, b"e": 0}, b""
        with gzip.GzipFile(fileobj=stream) as z:
            while data := z.read(1 << 20):
                data = rest + data
                for i in range(0, len(data) - 63, 64):
                    record = data[i:i + 64]
                    sums[record[:1]].update(record)
                    n[record[:1]] += 64
                rest = data[len(data) - len(data) % 64:]
        self.assertEqual(rest, b"")
        for name, c in (("out", b"o"), ("err", b"e")):
            self.assertEqual(told[name].split(), [sums[c].hexdigest(), str(n[c])], name)
        f.close()

    @slow
    def test_18_ten_at_once(self):
        d = self.d
        before, began = self.peaks(), time.monotonic()
        requests = [d.ask("p/many") for _ in range(10)]
        for rid in requests:
            r = d.wait_request(rid, 600)
            self.assertEqual((r["result"], r["attempts"]), (0, 1))
        took, more = time.monotonic() - began, status(d.master.pid, "VmHWM") - before
        for rid in requests:
            self.whole(d.get("/builds/" + d.request(rid)["builds"][0]))
        figure(f"row 18: 10 logs of 200 MiB at once in {took:.1f} s, equal; master + {more >> 10} MiB, agent {status(d.agents['a'].pid, 'VmHWM')} KiB")
        self.assertLess(more, MASTER_KIB)

    # ---- row 20: followers ----

    def followed(self, n):
        """A build with so many followers, half of which read nothing until it has ended: how long it took, what the master grew by."""
        d = self.d
        rid = d.ask("p/followed")
        b = d.wait_build(rid, lambda b: b["steps"])
        all_of = [Follower(d.path("api.sock"), b["id"], "s1", stalled=i % 2 == 1, keep=False) for i in range(n)]
        before = self.peaks()
        self.go(b)
        began = time.monotonic()
        r = d.wait_request(rid, 300)
        took, more = time.monotonic() - began, status(d.master.pid, "VmHWM") - before
        for f in all_of:
            f.release()
        for f in all_of:
            f.join(120)
        data = d.log(b["id"], "s1")
        self.assertEqual((r["result"], len(data)), (0, FOLLOWED_MIB << 20))
        self.sums(b, data)
        self.assertEqual({(f.got, f.digest, f.bad) for f in all_of}, {(len(data), zlib.crc32(data), None)} if n else set())
        return took, more

    def test_20_followers(self):
        alone, usual = self.followed(0)
        took, more = self.followed(FOLLOWERS)
        more = max(0, more - usual)
        figure(f"row 20: {FOLLOWERS} followers, half of them stalled, {FOLLOWED_MIB} MiB: {took:.2f} s, alone {alone:.2f} s; master + {more} KiB, {more / FOLLOWERS:.0f} a viewer; all bytes to all")
        self.assertLess(more / FOLLOWERS, VIEWER_KIB)


@unittest.skipUnless(os.geteuid() == 0, "mounts a small tmpfs: needs root")
class FullDatabase(Case):
    """Row 17: the disk of the database is full for a while."""

    def test_17_database(self):
        d = self.own({"p": {}}, {"here": {"slots": 2}})
        where = d.path("disk")
        os.mkdir(where)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,mode=755", "tmpfs", where], check=True)
        try:
            self.fill(d, where)
        finally:
            self.owned.remove(d)
            d.close(polite=False)
            subprocess.run(["umount", "-l", where], check=False)

    def fill(self, d, where):
        os.symlink("disk/pg", d.path("pg"))
        d.configure(database={"folder": f"{where}/pg"})
        make_repo(d.path("repo"), {"a": "a\n"})
        compile_c(os.path.join(os.path.dirname(HERE), "lib", "gen.c"), d.path("gen"))
        steps = [{"name": "s1", "run": f"while [ ! -e {d.root}/go ]; do sleep 0.02; done; exec {d.root}/gen {48 if LONG else 8} {d.root}/sums"}]
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "1h", "builders": {"gen": {"checkout": "none", "steps": steps}}}})
        d.up()
        master = d.master.pid
        rid = d.ask("p/gen")
        b = d.wait_build(rid, lambda b: b["steps"])
        with open(f"{where}/ballast", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * (1 << 16))
            except OSError:
                pass
        with open(d.path("go"), "w"):
            pass
        wait_for(lambda: b"No space left" in read(d.path("master.log")), "the database to refuse", 60)
        time.sleep(5 if LONG else 1)  # it stays so for a while; nothing is expected of that time
        self.assertEqual((d.master.poll(), d.agents["here"].poll()), (None, None))
        began = time.monotonic()
        os.unlink(f"{where}/ballast")
        wait_for(lambda: self.up(d), "the database", 60)
        back = time.monotonic() - began
        r = d.wait_request(rid, 120)
        self.assertEqual((r["result"], r["attempts"], r["builds"], d.master.pid, d.master.poll()), (0, 1, [b["id"]], master, None))
        data = d.log(b["id"], "s1")
        told = dict(line.split(maxsplit=1) for line in read(d.path("sums")).decode().splitlines())
        log = d.get("/builds/" + b["id"])["steps"][0]["logs"][0]
        for name, got in zip(("out", "err"), d.channels(log["id"], data)):
            self.assertEqual(told[name].split(), [sha(got), str(len(got))], name)
        figure(f"row 17: the database's disk full in mid-build: back {back:.1f} s after there was room, {len(data) >> 20} MiB exact, attempt 1")
        self.assertLess(back, 10 if LONG else 30 * busy())

    def up(self, d):
        a = d.try_api("GET", "/status")
        return bool(a and a.json["database"]["up"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
