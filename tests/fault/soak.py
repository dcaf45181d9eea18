#!/usr/bin/env python3
"""An hour of everything at once: many builds on several workers, while master, agents and PostgreSQL are killed at random. Run by `make soak`.

DROVER_SOAK_S: how long (default 1800). DROVER_SEED: of the choices. At the end each request has exactly one result, each attempt-1 build
ran each step exactly once, logs are what the steps wrote, the event log is dense, memory and descriptors of the programs did not grow.
"""
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
from drover import Drover, Failed, make_repo, read, tell, wait_for  # noqa: E402

SECONDS = int(os.environ.get("DROVER_SOAK_S") or 1800)
SEED = int(os.environ.get("DROVER_SEED") or time.time())
WORKERS = {f"w{i}": {"slots": 3} for i in range(4)}
OPEN_MAX = 40            # requests that are not over
PAUSE_S = (0.2, 4.0)     # between faults
GROWN_KIB = 20 * 1024    # RSS of a program, over all
REPORT_S = 30
STEP = 'echo "$DROVER_BUILD %d" >>ROOT/ran; i=0; while [ $i -lt $((%d)) ]; do echo "$DROVER_BUILD %d $i"; i=$((i + 1)); done; sleep 0.%d'
LINES = (3, 2000, 10)


class Soak:
    def __init__(self):
        self.d = Drover({}, WORKERS)
        make_repo(self.d.path("repo"), {"a": "a"})
        steps = [{"name": f"s{n}", "run": (STEP % (n, lines, n, n)).replace("ROOT", self.d.root)} for n, lines in enumerate(LINES)]
        self.d.configure(projects={"p": {"git": self.d.path("repo"), "poll": "1h", "builders": {"b": {"checkout": "none", "steps": steps}}}})
        self.chance = random.Random(SEED)
        self.open, self.over, self.faults = [], 0, {}

    def agent(self):
        name = self.chance.choice(list(WORKERS))
        self.d.kill_worker(name, self.chance.choice((9, 9, 15)))
        self.d.start_worker(name, wait=False)

    def master(self):
        if self.d.kill_master(self.chance.choice((9, 9, 9, 15))) > 0:
            raise Failed("the master ended badly")
        self.d.start_master()

    def postmaster(self):
        tell(wait_for(self.d.postmaster, "a postmaster"), 9)  # 0, where none is there, is this very process

    def backend(self):
        found = self.d.backends()
        if found:
            tell(self.chance.choice(found), 9)

    def settle(self):
        """What is over, is right."""
        for rid in list(self.open):
            r = self.d.request(rid)
            if not r or r["state"] != "done":
                continue
            builds = [self.d.try_build(b) for b in r["builds"]]
            if not all(b and b["state"] == "done" for b in builds):
                continue
            self.open.remove(rid)
            self.over += 1
            if (r["result"], r["attempts"], len(builds)) != (0, 1, 1):
                raise Failed(f"{rid} did not end as attempt 1 with success: {r} {builds}")
            b = builds[0]["id"]
            ran = [line for line in read(self.d.path("ran")).decode().splitlines() if line.split()[0] == b]
            if ran != [f"{b} {n}" for n in range(len(LINES))]:
                raise Failed(f"{b} ran {ran}")
            for n, lines in enumerate(LINES):
                if self.d.log(b, f"s{n}").decode() != "".join(f"{b} {n} {i}\n" for i in range(lines)):
                    raise Failed(f"the log of {b}:s{n} is not what it wrote")

    def sizes(self):
        """RSS in KiB and descriptors of the master and the agents."""
        out = {}
        for name, p in {"master": self.d.master, **self.d.agents}.items():
            rss = [line for line in read(f"/proc/{p.pid}/status").decode().splitlines() if line.startswith("VmRSS")]
            out[name] = (int(rss[0].split()[1]), len(os.listdir(f"/proc/{p.pid}/fd"))) if rss else (0, 0)
        return out

    def patient(self, what):
        """Again where the database or the master was just away."""
        def tried():
            try:
                what()
                return True
            except (OSError, KeyError, TypeError, Failed) as e:
                if "did not end" in str(e) or " ran [" in str(e) or "is not what" in str(e):
                    raise
                return False
        wait_for(tried, "an answer")

    def go(self):
        self.d.up()
        end, report = time.monotonic() + SECONDS, 0
        print(f"seed {SEED}", flush=True)
        while time.monotonic() < end:
            while len(self.open) < OPEN_MAX:
                self.open.append(self.d.ask("p/b"))
            time.sleep(self.chance.uniform(*PAUSE_S))  # the faults' own rhythm
            fault = self.chance.choice((self.agent, self.agent, self.master, self.postmaster, self.backend))
            fault()
            self.faults[fault.__name__] = self.faults.get(fault.__name__, 0) + 1
            self.patient(self.settle)
            if time.monotonic() > report:
                report = time.monotonic() + REPORT_S
                print(f"{self.over} builds over, faults {self.faults}, (RSS KiB, descriptors) {self.sizes()}", flush=True)
        wait_for(lambda: self.patient(self.settle) or not self.open, "the last builds", 300)
        wait_for(lambda: self.d.sql("select count(*) from outbox") == [["0"]], "the outbox")
        count, low, high = self.d.sql("select count(*), min(number), max(number) from event")[0]
        if (low, high) != ("1", count):
            raise Failed(f"events {low} to {high} are {count}")
        for name, (rss, _) in self.sizes().items():
            if rss > GROWN_KIB * (2 if name == "master" else 1):
                raise Failed(f"{name} has grown to {rss} KiB")
        if self.d.minders():
            raise Failed("minders are left")
        print(f"soak: {self.over} builds, faults {self.faults}: all right", flush=True)


def main():
    soak = Soak()
    try:
        soak.go()
    except BaseException:
        soak.d.failed = True
        raise
    finally:
        soak.d.close(polite=not soak.d.failed)


if __name__ == "__main__":
    main()
