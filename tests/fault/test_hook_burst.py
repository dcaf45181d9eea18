#!/usr/bin/env python3
"""Webhooks in numbers, and the master dies in the middle of them."""
import concurrent.futures
import hashlib
import http.client
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import busy, wait_for  # noqa: E402
from hooks import Hooked, github, push, send  # noqa: E402


class Burst(Hooked):
    """1,000 deliveries, each sent twice, within a second, and the master is killed in the middle."""
    PROJECTS = {"p": {}}
    PROJECT = {"poll": "1h", "builders": {"b": {"checkout": "none", "worker": {"tags": ["nobody"]}, "steps": [{"run": "true"}]}}}
    N, BRANCHES, SENDERS = 1000, 10, 16

    def deliveries(self):
        out, at = [], {}
        for i in range(self.N):
            branch, rev = f"b{i % self.BRANCHES}", hashlib.sha1(str(i).encode()).hexdigest()
            out.append(github(push(branch, at.get(branch), rev, [{"id": rev, "message": f"number {i}", "author": {"name": "Ann", "email": "ann@example.org"}}]), delivery=f"burst-{i}"))
            at[branch] = rev
        return out

    def persist(self, delivery, log):
        """As a forge that tries again: until it is answered with success."""
        begin = time.monotonic()
        while time.monotonic() < begin + 120 * busy():
            try:
                status, a = send(self.port, "p", *delivery, timeout=30)
            except (OSError, http.client.HTTPException):
                log["cut"] += 1
            else:
                if status in (200, 202):
                    return [c["change"] for c in a["changes"]]
                if status != 503:
                    raise AssertionError((status, a))
                log["away"] += 1
            time.sleep(0.05)
        raise AssertionError("not taken within two minutes")

    def test_nothing_is_lost_and_nothing_is_twice(self):
        self.wait_head("main", self.first)
        todo = [d for d in self.deliveries() for _ in range(2)]
        log = {"cut": 0, "away": 0}
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(self.SENDERS) as pool:
            futures = [pool.submit(self.persist, d, log) for d in todo]
            wait_for(lambda: sum(f.done() for f in futures) > len(todo) // 3, "a third of them", 120)
            self.d.kill_master()
            killed_at = sum(f.done() for f in futures)
            self.d.start_master(wait=False)
            told = [f.result() for f in futures]
        seconds = time.monotonic() - begin
        print(f"{len(todo)} deliveries in {seconds:.1f} s, killed after {killed_at}, {log['cut']} cut, {log['away']} told to come again", file=sys.stderr)
        self.assertGreater(log["cut"], 0)
        self.assertLess(killed_at, len(todo))
        self.d.wait_ready(60)
        self.assertEqual(self.d.sql("select count(*), count(distinct revision) from change where branch like 'b%'"), [[str(self.N)] * 2])
        self.assertEqual(self.d.sql("select count(*) from hook_delivery"), [[str(self.N)]])
        for i in range(self.N):
            self.assertEqual(told[2 * i], told[2 * i + 1])
        # Each change has caused its request, once.
        wait_for(lambda: self.d.sql("select count(*) from change where state = 'reading'") == [["0"]], "all decided", 60)
        self.assertEqual(self.d.sql("select count(*), count(distinct changes) from buildset"), [[str(self.N)] * 2])


if __name__ == "__main__":
    unittest.main()
