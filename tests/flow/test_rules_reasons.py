#!/usr/bin/env python3
"""docs/rules.md 4.12.13 and 14: why requests wait is kept: since when, over a master's death, and by all masters of a database. That what is kept is what would be said is the model check's (tests/model)."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import wait_for  # noqa: E402
from workersite import Site, builder  # noqa: E402

HOLD = {"checkout": "none", "worker": {"tags": ["far"]}, "steps": [{"name": "s", "run": 'while [ ! -e "ROOT/go" ]; do sleep 0.05; done'}]}


class Reasons(Site):
    AWAY = "two"
    WORKERS, HOSTS = {"one": {"slots": 1}, "two": {"slots": 1, "tags": ["far"]}}, {}
    BUILDERS = {"hold": HOLD, "far": builder(tags=["far"]), "nowhere": builder(tags=["nowhere"])}

    def tearDown(self):
        open(self.d.path("go"), "w").close()
        super().tearDown()
        os.unlink(self.d.path("go"))

    def rows(self):
        return self.d.sql("select w.class, w.kind, w.object, w.master = (select max(id) from master where stopped is null) from wait_reason w order by 1, 2")

    def stored(self, n=1):
        return wait_for(lambda: len(r := self.rows()) == n and [r], f"{n} rows")[0]

    def why(self, rid, master=None):
        return (master or self.d).get(f"/requests/{rid}/why")["reason"]

    def test_4_12_13_since_when(self):
        a = self.d.ask("p/nowhere")
        self.reason(a, "no_worker")
        self.assertEqual([r[:3] for r in self.stored()], [['p/nowhere ["nowhere"] []', "no_worker", "nowhere"]])
        [[since]] = self.d.sql("select ms_of(since) from wait_reason")
        since = int(since)
        created = self.d.request(a)["created"]
        self.assertLess(abs(since - created), 30000)
        wait_for(lambda: abs(self.why(a)["since"] - max(since, created)) <= 1, "the time to be told")  # a part of a millisecond is rounded
        b = self.d.ask("p/nowhere")
        self.assertEqual(self.why(b)["since"], self.d.request(b)["created"], "none waits for longer than it is there")
        self.stored()
        self.d.kill_master()
        self.d.start_master()
        self.d.wait_worker("one")
        wait_for(lambda: [r[3] for r in self.rows()] == ["t"], "the row of the new master alone")
        self.assertEqual(self.d.sql("select ms_of(since) from wait_reason"), [[str(since)]])
        wait_for(lambda: abs(self.why(a)["since"] - max(since, created)) <= 1, "the same time again")
        listed = {r["id"]: r["waits"]["since"] for r in self.d.get("/queue")["items"]}
        self.assertEqual(listed, {r: self.why(r)["since"] for r in (a, b)})
        self.d.post("/pause", {"object": "p"})
        wait_for(lambda: [r[1] for r in self.rows()] == ["paused"], "another reason")
        self.d.post("/resume", {"object": "p"})
        wait_for(lambda: [r[1] for r in self.rows()] == ["no_worker"], "the first one again")
        self.assertGreater(int(self.d.sql("select ms_of(since) from wait_reason")[0][0]), since, "it holds from now on")
        for r in (a, b):
            self.d.post(f"/requests/{r}/cancel")
        self.stored(0)

    def test_4_12_14_where_it_is_nearest(self):
        """Its worker is another master's, and full: through this one, which knows of no such worker."""
        s = self.second()
        self.move("two", s)
        first, far, nowhere = self.d.ask("p/hold"), self.d.ask("p/far"), self.d.ask("p/nowhere")
        self.d.wait_build(first)
        for d in (self.d, s):
            wait_for(lambda: (r := self.why(far, d))["kind"] == "slots" and r["object"] == "two" and "two is full" in r["text"], "the reason of the other master")
            self.assertEqual(self.why(nowhere, d)["kind"], "no_worker")
        self.assertEqual({r["id"]: r["waits"]["kind"] for r in self.d.get("/queue")["items"]}, {far: "slots", nowhere: "no_worker"})
        s.kill_master()
        wait_for(lambda: self.why(far)["kind"] == "no_worker", "what the dead master said to count for nothing", seconds=60)
        s.kill_worker("two")
        self.d.start_worker("two", folder=s.path("work-two"))  # which ends what it began
        self.addCleanup(self.d.kill_worker, "two")


if __name__ == "__main__":
    unittest.main(verbosity=2)
