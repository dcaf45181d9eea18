#!/usr/bin/env python3
"""docs/rules.md 4.3, `collapse`: requests that wait are put together with those of newer changes, and end as they do."""
import os
import pty
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, wait_for  # noqa: E402
from schedsite import Rules, given  # noqa: E402

SUCCESS, WARNINGS, FAILURE, SKIPPED, EXCEPTION, RETRY, CANCELLED = range(7)
COLLAPSE = {"change": {}, "collapse": 5, "builders": ["a", "b"]}


class Sets(Rules):
    def set_of(self, change, scheduler="s"):
        return self.d.get("/buildsets/" + self.verdict(change, scheduler)["buildset"])

    def request(self, change, builder="a", scheduler="s"):
        return next(self.d.request(r["id"]) for r in self.set_of(change, scheduler)["requests"] if r["builder"] == builder)

    def into(self, *changes, builder="a", scheduler="s"):
        """Of each change's request that of which other change it is collapsed into; None: it stands for itself."""
        of = {self.request(c, builder, scheduler)["id"]: c for c in changes}
        return [of.get((r := self.request(c, builder, scheduler))["collapsed_into"], r["collapsed_into"]) for c in changes]

    def end(self, change, result, builder="a"):
        self.d.sql(f"select request_finish({self.request(change, builder)['id'][1:]}, {result}::smallint, 'test')")


class Collapse(Sets):
    @given(s=COLLAPSE)
    def test_4_3_18_what_waits_ends_as_the_newest_does(self):
        one, two, three = (self.change() for _ in range(3))
        self.assertEqual(self.into(one, two, three), [three, three, None])
        r = self.request(three)
        self.assertEqual(r["stands_for"], [self.request(c)["id"] for c in (one, two)])
        for c in (one, two):
            q = next(x for x in self.d.get(f"/requests?builder={self.p}/a&state=waiting")["items"] if x["id"] == self.request(c)["id"])
            self.assertEqual((q["waits"]["kind"], q["waits"]["object"]), ("collapsed", r["id"]))
            why = self.d.get(f"/requests/{q['id']}/why")["reason"]
            self.assertEqual((why["kind"], why["object"]), ("collapsed", r["id"]))
            self.assertIn(f"It ends as {r['id']} does, which a newer change has made and into which it was collapsed; that waits too", why["text"])
        self.assertEqual([e for e, in self.d.events(f"select object from event where type = 'request.collapsed' and body->>'into' = '{r['id']}'")], [self.request(c)["id"] for c in (one, two)])
        self.end(three, FAILURE)
        for c in (one, two, three):
            q = self.request(c)
            self.assertEqual((q["state"], q["result"]), ("done", FAILURE))
        self.assertEqual(self.request(one)["why"], f"as {r['id']}, into which it was collapsed: test")
        self.assertEqual([self.set_of(c)["state"] for c in (one, two, three)], ["open"] * 3, "their other builders wait")
        self.end(three, SUCCESS, "b")
        self.assertEqual([(s["state"], s["result"]) for s in map(self.set_of, (one, two, three))], [("done", FAILURE)] * 3)

    @given({"s": COLLAPSE, "t": COLLAPSE, "plain": {"change": {}}}, {"s": COLLAPSE})
    def test_4_3_19_of_the_same_scheduler_branch_and_project_only(self):
        one, dev, theirs = self.change(), self.change("dev"), self.change(project=self.p2)
        two = self.change()
        self.assertEqual(self.into(one, two), [two, None])
        self.assertEqual(self.into(one, two, scheduler="t"), [two, None])
        self.assertEqual(self.into(one, two, scheduler="plain"), [None, None])
        self.assertEqual([self.request(c)["collapsed_into"] for c in (dev, theirs)], [None, None])
        self.assertNotEqual(self.request(one)["collapsed_into"], self.request(one, scheduler="t")["collapsed_into"])

    @given(s=COLLAPSE)
    def test_4_3_20_what_people_asked_for_and_what_has_begun_stays(self):
        hand = self.d.post("/builds", {"builder": self.p + "/a", "branch": "main", "revision": self.first}, 201)["requests"][0]
        one = self.change()
        self.d.sql(f"update build_request set state = 'claimed', claimed = now(), attempts = 1 where id = {self.request(one)['id'][1:]}")
        two = self.change()
        self.d.sql(f"update build_request set attempts = 1 where id = {self.request(two)['id'][1:]}")  # it was lost, and waits again
        three = self.change()
        self.assertEqual(self.into(one, two, three), [None, None, None])
        self.assertEqual(self.into(one, two, three, builder="b"), [three, three, None])
        self.assertEqual(self.d.request(hand)["collapsed_into"], None)
        self.d.sql(f"update build_request set state = 'pending' where id = {self.request(one)['id'][1:]}")

    @given(s={**COLLAPSE, "collapse": 3})
    def test_4_3_17_a_build_stands_for_no_more_than_so_many(self):
        c = [self.change() for _ in range(5)]
        self.assertEqual(self.into(*c), [c[2], c[2], None, c[4], None])

    BUILDERS = {**Rules.BUILDERS, "lib": {"checkout": "none", "steps": ["true"]}, "app": {"checkout": "none", "needs": "lib", "steps": ["true"]}}

    @given(s={**COLLAPSE, "builders": ["app", "a"]})
    def test_4_3_21_nodes_of_a_graph_stay(self):
        one, two = self.change(), self.change()
        self.assertEqual(self.into(one, two), [two, None])
        for b in ("lib", "app"):
            self.assertEqual(self.into(one, two, builder=b), [None, None])

    @given(s={**COLLAPSE, "priority": 20})
    def test_4_3_22_it_takes_their_place_in_the_queue(self):
        """Else a branch that changes often would never be built."""
        one = self.change()
        hand = self.d.post("/builds", {"builder": self.p + "/b", "branch": "main", "revision": self.first}, 201)["requests"][0]
        self.d.post(f"/requests/{hand}/priority", {"priority": 20})
        self.d.post(f"/requests/{self.request(one)['id']}/priority", {"priority": 30})
        two = self.change()
        self.assertEqual(self.request(two)["priority"], 30)
        self.d.post(f"/requests/{self.request(two)['id']}/priority", {"priority": 20})
        order = [r["id"] for r in self.d.get("/queue?limit=200")["items"] if r["id"] in (hand, self.request(two)["id"])]
        self.assertEqual(order, [self.request(two)["id"], hand])

    @given(s=COLLAPSE)
    def test_4_3_23_a_cancel_of_the_newest_names_the_others_and_asks(self):
        one, two, three = (self.change() for _ in range(3))
        ids = [self.request(c)["id"] for c in (one, two, three)]
        a = self.d.api("POST", f"/requests/{ids[2]}/cancel", {})
        self.assertEqual((a.status, a.json["error"]["code"]), (409, "stands_for_others"))
        self.assertIn(f"{ids[0]} ({one}), {ids[1]} ({two})", a.json["error"]["message"])
        self.assertEqual({self.request(c)["result"] for c in (one, two, three)}, {None}, "nothing was done")
        self.d.post(f"/requests/{ids[0]}/cancel")  # one of the others is its own affair
        self.assertEqual([self.request(c)["result"] for c in (one, two, three)], [CANCELLED, None, None])
        a = self.d.post(f"/requests/{ids[2]}/cancel", {"others": True})
        self.assertEqual([self.request(c)["result"] for c in (one, two, three)], [CANCELLED] * 3)
        self.assertRegex(self.request(two)["why"], rf"^as {ids[2]}, into which it was collapsed: cancelled by ")
        self.assertEqual({s["state"] for s in map(self.set_of, (one, two, three))}, {"open"})
        self.d.post(f"/buildsets/{self.set_of(three)['id']}/cancel", {"others": True})
        self.assertEqual([(s["state"], s["result"]) for s in map(self.set_of, (one, two, three))], [("done", CANCELLED)] * 3)

    def drover(self, *argv, said=None):
        """(exit code, what it wrote); said: on a terminal, where a person types that."""
        env = {**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}
        if said is None:
            p = subprocess.run([f"{BUILD}/drover", *argv], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
            return p.returncode, p.stdout + p.stderr
        up, down = pty.openpty()
        p = subprocess.Popen([f"{BUILD}/drover", *argv], env=env, stdin=down, stdout=down, stderr=down)
        os.close(down)
        os.write(up, said.encode())
        text = b""
        while True:
            try:
                part = os.read(up, 4096)
            except OSError:
                break
            if not part:
                break
            text += part
        os.close(up)
        return p.wait(), text.decode()

    @given(s={**COLLAPSE, "builders": "a"})
    def test_4_3_23_on_the_command_line(self):
        one, two = self.change(), self.change()
        r = self.request(two)["id"]
        code, text = self.drover("cancel", r)
        self.assertEqual(code, 2)
        self.assertIn(f"{self.request(one)['id']} ({one})", text)
        self.assertIn("drover cancel --others", text)
        code, text = self.drover("cancel", r, said="n\n")
        self.assertIn("Cancel these too? [y/N]", text)
        self.assertEqual((code, self.request(two)["result"]), (2, None))
        self.assertIn(f"part of   {r}", self.drover("show", self.request(one)["id"])[1])
        self.assertIn(f"stands for  {self.request(one)['id']}", self.drover("show", r)[1])
        code, text = self.drover("cancel", r, said="y\n")
        self.assertEqual((code, [self.request(c)["result"] for c in (one, two)]), (0, [CANCELLED] * 2), text)

    @given({"s": {**COLLAPSE, "builders": "a"}, "then": {"after": "s", "builders": "b"}})
    def test_4_3_24_what_was_not_built_at_its_revision_counts_for_nothing_later(self):
        """The traps: success without a build of its own would set off what comes after, and be taken for a good build of that revision."""
        one = self.change(revision=self.first)
        two = self.change()
        self.assertEqual(self.into(one, two), [two, None])
        self.end(two, SUCCESS)
        self.assertEqual([(s["state"], s["result"]) for s in map(self.set_of, (one, two))], [("done", SUCCESS)] * 2)
        self.assertEqual([s["revision"] for s in self.sets(scheduler="then")], [self.set_of(two)["revision"]])
        good = f"select request_good(s.project, 'a', s.repository, s.branch, s.revision, null, b.pipeline, '{{}}') from buildset b join sourcestamp s on s.id = b.sourcestamp where b.id = %s"
        self.assertEqual([self.d.sql(good % self.set_of(c)["id"][1:])[0][0] for c in (one, two)], ["", self.request(two)["id"][1:]])

    @given(s=COLLAPSE)
    def test_4_3_24_it_is_no_last_good_of_its_branch(self):
        one = self.change()
        self.d.sql(f"update build_request set state = 'claimed', attempts = 1 where id = {self.request(one, 'b')['id'][1:]}")
        two = self.change()
        self.assertEqual([self.into(one, two), self.into(one, two, builder="b")], [[two, None], [None, None]])
        for c in (one, two):
            s = self.set_of(c)
            self.d.sql(f"update buildset b set stamp_set = (select x.id from stamp_set_put((select id from project where name = '{self.p}'), jsonb_build_array(jsonb_build_object('codebase', 'x', 'repository', 'y', "
                       f"'branch', 'main', 'revision', '{s['revision']}', 'why', 'set off')), 'x', null) x) where b.id = {s['id'][1:]}")
        self.end(one, SUCCESS, "b")
        self.end(two, SUCCESS)
        self.assertEqual([(s["state"], s["result"]) for s in map(self.set_of, (one, two))], [("done", SUCCESS), ("open", None)])
        last = f"select distinct buildset from stamps_last where project = (select id from project where name = '{self.p}')"
        self.assertEqual(self.d.sql(last), [])
        self.end(two, SUCCESS, "b")
        self.assertEqual(self.d.sql(last), [[self.set_of(two)["id"][1:]]])

    @given(s=COLLAPSE)
    def test_4_3_25_what_is_being_claimed_is_left_out_and_nobody_waits(self):
        one = self.change()
        other = self.session()
        other.tell(f"begin; select from build_request where id = {self.request(one)['id'][1:]} for update")
        two = self.change()
        self.assertEqual(self.into(one, two), [None, None])
        self.assertEqual(self.into(one, two, builder="b"), [two, None])
        other.tell("rollback")
        three = self.change()
        self.assertEqual(self.into(one, two, three), [three, three, None])

    @given(s={**COLLAPSE, "stable": "1h"})
    def test_4_3_26_behind_a_quiet_time(self):
        one = self.change()
        self.lapse()
        self.wait_built()
        two = self.change()
        self.assertEqual(self.request(one)["collapsed_into"], None, "the newer one waits")
        self.lapse()
        self.wait_built(2)
        wait_for(lambda: self.into(one, two) == [two, None], "the collapse")


class Built(Sets):
    """With a worker, which waits for a file."""
    WORKING = True
    WORKERS = {"here": {"slots": 1}}

    @classmethod
    def site(cls, s):
        run = f'while ! [ -e {cls.d.path("go")} ]; do sleep 0.05; done; echo "$DROVER_REVISION" >>{cls.d.path("ran")}'
        return {**super().site(s), "builders": {"a": {"checkout": "none", "steps": [{"name": "s", "run": run}]}}}

    def setUp(self):
        super().setUp()
        if os.path.exists(self.d.path("go")):
            os.unlink(self.d.path("go"))

    @given(s={**COLLAPSE, "builders": "a"})
    def test_4_3_18_one_build_and_its_links_and_changes(self):
        c = [self.change()]
        self.d.wait_build(self.request(c[0])["id"])
        c += [self.change() for _ in range(3)]
        self.assertEqual(self.into(*c), [None, c[3], c[3], None])
        self.d.kill_master()
        self.d.start_master()
        open(self.d.path("go"), "w").close()
        for x in c:
            self.assertEqual(self.d.wait_request(self.request(x)["id"])["result"], SUCCESS)
        builds = [self.request(x)["builds"] for x in c]
        self.assertEqual(builds, [[f"{self.p}/a/1"]] + [[f"{self.p}/a/2"]] * 3)
        self.assertEqual([x["id"] for x in self.d.get(f"/builds/{self.p}/a/2")["changes"]][::-1], c[1:])
        with open(self.d.path("ran")) as f:
            self.assertEqual(f.read().split()[-2:], [self.set_of(x)["revision"] for x in (c[0], c[3])])

    @given(s={**COLLAPSE, "builders": "a"})
    def test_4_3_23_a_build_that_runs_is_cancelled_with_those_it_stands_for(self):
        first = self.change()
        build = self.d.wait_build(self.request(first)["id"])
        one, two = self.change(), self.change()
        self.assertEqual(self.into(first, one, two), [None, two, None])
        self.d.post(f"/builds/{build['id']}/cancel")
        running = self.d.wait_build(self.request(two)["id"], lambda b: b["state"] == "running")
        a = self.d.api("POST", f"/builds/{running['id']}/cancel", {})
        self.assertEqual((a.status, a.json["error"]["code"]), (409, "stands_for_others"))
        self.assertEqual(self.d.get("/builds/" + running["id"])["state"], "running")
        self.d.post(f"/builds/{running['id']}/cancel", {"others": True})
        self.assertEqual([self.request(c)["result"] for c in (first, one, two)], [CANCELLED] * 3)
        wait_for(lambda: self.d.get("/builds/" + running["id"])["state"] == "done", "the end of its processes")


if __name__ == "__main__":
    unittest.main(verbosity=2)
