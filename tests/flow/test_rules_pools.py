#!/usr/bin/env python3
"""docs/rules.md 4.13: pools, one token for any number of workers. Most of their members are fake ones, which greet as the worker does."""
import itertools
import json
import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import read, wait_for  # noqa: E402
from fakeworker import FakeWorker, Gone  # noqa: E402
from schedsite import Session  # noqa: E402
from workersite import Site, builder  # noqa: E402

SUCCESS, EXCEPTION = 0, 4


class Instance:
    """A fake instance of a pool on a machine of its own: greets by the pool's token until it has a name, then by its key."""
    numbers = itertools.count(1)

    def __init__(self, case, pool, master=None):
        n = next(self.numbers)
        self.case, self.pool, self.conn, self.name = case, pool, 0, None
        self.master = master or case.d
        self.instance, self.machine, self.key = f"f{n:031x}", f"a{n:031x}", f"key-{n:039d}"
        self.worker, self.up = None, False

    def greet(self, by_token=None, instance=None, key=None, machine=None):
        """What the master answers first: (verb, tokens, text). The worker may be listed with ready() behind "member" and "welcome"."""
        self.leave()
        self.conn += 1
        joins = self.name is None if by_token is None else by_token
        token = read(self.case.pool_token(self.pool)).decode() if joins else f"unix:-##{self.name}:{key or self.key}"
        facts = [("machine", machine or self.machine)] + ([("key", key or self.key)] if joins else [])
        self.worker = FakeWorker(self.master.path("w.sock"), token, instance=instance or self.instance, facts=facts, conn=self.conn)
        verb, tokens, blob = self.worker.next("member", "welcome", "no", "busy")
        self.up = verb in ("member", "welcome")
        if verb == "member":
            self.name = tokens[0]
        return verb, tokens, (blob or b"").decode()

    def come(self):
        """Connected, under the name that it got or had."""
        verb, tokens, text = self.greet()
        if verb == "member":
            self.worker.ready()
        else:
            self.case.assertEqual(verb, "welcome", (tokens, text))
            self.worker.send("listed", 0)
        self.case.addCleanup(self.leave)
        self.master.wait_worker(self.name)
        return self

    def build(self, name):
        """A build that it is given, and ends well at once."""
        rid = self.case.d.ask(name)
        cmd, _, _ = self.worker.command()
        self.worker.exit(cmd, 1)
        return self.case.d.get("/builds/" + self.case.d.wait_request(rid)["builds"][0])

    def leave(self):
        if self.worker:
            self.worker.close()
            self.worker = None
            if self.up:
                self.master.wait_worker(self.name, connected=False)


class Pools(Site):
    """One token, any number of workers."""
    WORKERS, HOSTS = {"one": {"slots": 1, "tags": ["real"]}}, {}
    POOLS = {"linux": {"tags": ["build"], "slots": 2, "max": 3}, "vault": {"tags": ["safe"], "forget": "10s"}}
    SECRET = "sesame-" * 3
    BUILDERS = {"build": builder(tags=["build"]), "safe": builder(pool="vault"), "where": builder(tags=["safe"]),
                "sign": {**builder(**{"if": '"build" in tags or "safe" in tags'}), "steps": [{"name": "s", "run": ["true"], "secrets": {"KEY": "sign-key"}}]}}

    @classmethod
    def set_up(cls, hosts=None, **projects):
        d = cls.d
        d.conf.update(pools=cls.POOLS, secrets={"sign-key": {"file": d.path("sign.key"), "for": {"pools": ["vau*"]}}})
        d.write_token(d.path("sign.key"), cls.SECRET)
        super().set_up(hosts, **projects)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.d.workers = cls.WORKERS

    def pools(self, **change):
        """The pools of the configuration from now on; those of the class are back with the test's end."""
        self.d.configure(pools={k: v for k, v in {**self.POOLS, **change}.items() if v})
        self.d.post("/config/activate")
        self.addCleanup(self.d.post, "/config/activate")
        self.addCleanup(self.d.configure, pools=self.POOLS)

    def pool_token(self, pool):
        path = self.d.path("pool-" + pool)
        return path if os.path.exists(path) else self.d.write_token(path, self.cli("pool", "token", pool).strip())

    def names(self, pool="linux"):
        return [w["name"] for w in self.d.get("/pools/" + pool)["members"]]

    def forget(self, *names):
        """These members have been away for a day; the master finds that by itself."""
        for name in names:
            self.d.wait_worker(name, connected=False)
            self.d.sql(f"update worker w set joined = now() - interval '1 day' where name = '{name}'")
            self.d.sql(f"update worker_session set lost_at = now() - interval '1 day' where worker = (select id from worker where name = '{name}')")
        wait_for(lambda: not set(names) & {w["name"] for w in self.d.get("/workers")["items"]}, f"{names} to be forgotten")

    def tearDown(self):
        super().tearDown()
        self.doCleanups()  # those that are connected leave
        self.d.sql("select member_forget(id, 'the end of the test') from worker where instance is not null")

    def test_4_13_1_each_instance_gets_a_name_and_keeps_its_key(self):
        told = "select count(*) from event where type = 'worker.joined' and object = 'worker/linux-2' and body->>'pool' = 'linux'"
        before = int(self.d.events(told)[0][0])
        one, two = Instance(self, "linux").come(), Instance(self, "linux").come()
        self.assertEqual([one.name, two.name], ["linux-1", "linux-2"])
        w = self.d.get("/workers/linux-1")
        self.assertEqual((w["pool"], w["slots"], w["tags"], w["instance"]), ("linux", 2, ["build"], one.instance))
        self.assertFalse({"secret", "key", "machine"} & set(w["facts"]))
        self.assertRegex(self.cli("worker", "show", "linux-1"), r"pool +linux\n")
        self.assertRegex(self.cli("worker", "list"), r"linux-2 +connected +0 of 2 +- +linux +build ")
        self.assertRegex(self.cli("pool", "list"), r"linux +2 of 3 +2 +0 of 4 +build ")
        two.leave()
        self.assertEqual(two.come().name, "linux-2")
        two.leave()
        self.assertEqual(one.build("p/build")["worker"], "linux-1")
        self.assertEqual(int(self.d.events(told)[0][0]), before + 1)  # it came twice, and joined once

    def test_4_13_2_many_at_once_get_a_name_each(self):
        self.pools(linux={**self.POOLS["linux"], "max": 20})
        token = read(self.pool_token("linux")).decode()
        names = []

        def join(n):
            w = FakeWorker(self.d.path("w.sock"), token, instance=f"{n:032x}", facts=[("key", f"k{n:040d}")])
            names.append(w.next("member")[1][0])
            w.close()

        threads = [threading.Thread(target=join, args=(n,)) for n in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for name in names:  # what comes behind this test finds them gone
            self.d.wait_worker(name, connected=False)
        self.assertEqual(sorted(names), sorted(f"linux-{n}" for n in range(1, 13)))

    def test_4_13_3_a_master_that_dies_in_a_first_contact(self):
        """Its transaction is held up at the pool's row, and the master killed: the name is given, and nobody has heard it."""
        self.pool_token("linux")
        session = Session(self.d)
        self.addCleanup(session.close)
        session.tell("select 1 from pool where name = 'linux' for update")
        first = Instance(self, "linux")
        thread = threading.Thread(target=lambda: self.assertRaises(Gone, first.greet))
        thread.start()
        wait_for(lambda: self.d.sql("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()") != [["0"]], "the join to wait")
        self.d.kill_master()
        thread.join()
        session.tell("commit")
        self.d.start_master()
        wait_for(lambda: self.names() == ["linux-1"], "the name that was given")
        other = Instance(self, "linux").come()
        self.assertEqual(other.name, "linux-2")
        self.assertEqual(first.come().name, "linux-1")
        self.assertEqual(self.names(), ["linux-1", "linux-2"])

    def test_4_13_4_no_more_than_max(self):
        three = [Instance(self, "linux").come() for _ in range(3)]
        late = Instance(self, "linux")
        verb, (reason, retry), text = late.greet()
        self.assertEqual((verb, reason), ("no", "full"))
        self.assertIn("the pool linux has its 3 members (max)", text)
        self.assertGreater(int(retry), 0)
        self.assertEqual(three[1].come().name, "linux-2")
        three[1].leave()
        self.assertEqual(late.greet()[1][0], "full")  # who is away counts
        self.forget("linux-2")
        self.assertEqual(late.come().name, "linux-2")

    def test_4_13_5_who_is_away_for_long_is_forgotten_unless_it_has_a_build(self):
        gone, busy = Instance(self, "linux").come(), Instance(self, "linux").come()
        gone.leave()
        rid = self.d.ask("p/build")
        self.d.wait_build(rid, lambda b: b["worker"] == busy.name, "a build on it")
        cmd, epoch, _ = busy.worker.command()
        busy.leave()
        self.d.post("/pause", {"object": "worker/linux-1"})
        self.d.sql("update worker set joined = now() - interval '1 day' where pool = 'linux'")
        self.d.sql("update worker_session set lost_at = now() - interval '1 day' where not connected and worker = (select id from worker where name = 'linux-1')")
        wait_for(lambda: self.names() == ["linux-2"], "the one without a build to be forgotten")
        self.assertEqual(self.d.sql("select members_forget()"), [["0"]])
        self.assertEqual(self.d.get("/pauses")["items"], [])
        verb, (reason, _), text = gone.greet()
        self.assertEqual((verb, reason, text), ("no", "name", "linux-1 is no member of the pool linux any more"))
        gone.name = None
        self.assertEqual(gone.come().name, "linux-1")
        self.assertEqual(busy.greet()[0], "welcome")
        busy.worker.send("have", cmd, epoch, "done", 0, 0, 0)
        busy.worker.send("listed", 1)
        busy.worker.next("resume")
        busy.worker.exit(cmd, epoch)
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)
        self.assertIn("away for 86", self.d.events("select body->>'why' from event where type = 'worker.forgotten' and object = 'worker/linux-1' order by number desc limit 1")[0][0])

    def test_4_13_6_a_copied_state_folder_is_told_apart(self):
        one = Instance(self, "linux").come()
        copy = Instance(self, "linux")
        copy.instance, copy.key, copy.conn, copy.name = one.instance, one.key, 100, one.name
        for by_token in (False, True):
            verb, (reason, _), text = copy.greet(by_token=by_token)
            self.assertEqual((verb, reason), ("no", "clone"), text)
            self.assertIn("another machine", text)
        verb, (reason, _), text = copy.greet(by_token=True, machine=one.machine, key="x" * 43)
        self.assertEqual((verb, reason), ("no", "clone"), text)
        verb, (reason, _), text = copy.greet(machine=one.machine, instance="9" * 32)
        self.assertEqual((verb, reason), ("no", "clone"), text)
        copy.leave()
        self.assertTrue(self.d.get("/workers/linux-1")["connected"])

    def test_4_13_7_who_was_removed_by_a_person_stays_out(self):
        one = Instance(self, "linux").come()
        self.cli("worker", "remove", "linux-1")
        verb, (reason, _), text = one.greet()
        self.assertEqual((verb, reason), ("no", "name"), text)
        verb, (reason, _), text = one.greet(by_token=True)
        self.assertEqual((verb, reason), ("no", "name"), text)
        self.assertIn("linux-1 was removed from the pool linux by a person", text)
        self.assertEqual(Instance(self, "linux").come().name, "linux-2")

    def test_4_13_8_tags_and_slots_are_the_pools_and_change_with_it(self):
        one = Instance(self, "linux").come()
        self.pools(linux={"tags": ["build", "new"], "slots": 5, "keep_work": "2d"})
        w = self.d.get("/workers/linux-1")
        self.assertEqual((w["slots"], w["tags"], w["keep_work"]), (5, ["build", "new"], 2 * 86400000))
        one.build("p/build")
        self.pools(linux=None)
        self.assertEqual(self.d.get("/pools/linux")["configured"], False)
        one.build("p/build")
        late = Instance(self, "linux")
        verb, (reason, _), text = late.greet()
        late.leave()
        self.assertEqual((verb, reason, text), ("no", "name", "the pool linux is not in the configuration any more, and takes in nobody"))
        self.assertIn("removed", self.cli("pool", "remove", "linux"))
        self.d.wait_worker("linux-1", connected=False)
        self.assertEqual(one.greet()[1][0], "name")
        one.leave()
        os.unlink(self.d.path("pool-linux"))
        self.pools()
        self.assertEqual(self.d.api("DELETE", "/pools/linux").status, 409)

    def test_4_13_9_a_pool_is_paused_and_why_says_so(self):
        rid = self.d.ask("p/build")
        r = wait_for(lambda: (r := self.d.get(f"/requests/{rid}/why")["reason"])["kind"] == "no_worker" and r, "the reason")
        self.assertIn("no member of the pool linux is connected", r["text"])
        self.assertNotIn("vault", r["text"])
        safe = self.d.ask("p/safe")
        self.assertIn("no member of the pool vault is connected", self.d.get(f"/requests/{safe}/why")["reason"]["text"])
        self.d.post(f"/requests/{safe}/cancel", {})
        self.cli("pause", "pool/linux", "--reason", "new image")
        host = Instance(self, "linux").come()
        r = self.reason(rid, "paused")
        self.assertEqual(r["object"], "pool/linux")
        self.assertRegex(r["text"], r"^pool linux is paused by \w+: new image")
        self.cli("resume", "pool/linux")
        cmd, _, _ = host.worker.command()
        host.worker.exit(cmd, 1)
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)

    def test_4_13_10_a_secret_of_a_pool_is_given_to_its_members_only(self):
        linux = Instance(self, "linux").come()
        r = self.d.wait_request(self.d.ask("p/sign"))
        self.assertEqual(r["result"], EXCEPTION)
        b = self.d.get("/builds/" + r["builds"][0])
        self.assertIn('the secret "sign-key" is only for members of the pools vau*, and this is linux-1, a member of linux', json.dumps(b, ensure_ascii=False).replace('\\"', '"'))
        linux.leave()
        self.d.start_pool_worker("vault", self.pool_token("vault"))
        self.assertEqual(self.d.run("p/sign")["result"], SUCCESS)
        self.assertEqual(self.d.run("p/safe")["worker"], "vault-1")
        self.assertEqual(self.d.get("/secrets")["items"][0]["for"]["pools"], ["vau*"])
        self.d.kill_worker("vault")

    def test_4_13_11_a_worker_comes_back_under_its_name_and_joins_anew_when_it_is_forgotten(self):
        """The program itself."""
        folder = self.d.path("work-vault")
        self.d.start_pool_worker("vault", self.pool_token("vault"))
        name = self.names("vault")[0]
        self.assertEqual(self.d.run("p/safe")["worker"], name)
        self.assertEqual(os.stat(folder + "/member").st_mode & 0o777, 0o600)
        key = self.lines(folder + "/member")[-1]
        self.assertIn(f"name {name}\n", read(folder + "/status").decode())
        self.d.kill_worker("vault")
        self.d.wait_worker(name, connected=False)
        self.d.start_pool_worker("vault", self.pool_token("vault"))
        self.assertEqual(self.names("vault"), [name])
        self.assertEqual(self.lines(folder + "/member")[-1], key)
        self.d.kill_worker("vault")
        self.forget(name)
        self.d.start_pool_worker("vault", self.pool_token("vault"))
        self.assertEqual(self.names("vault"), [name])
        self.assertNotEqual(self.lines(folder + "/member")[-1], key)
        self.assertEqual(self.d.run("p/safe")["worker"], name)
        self.d.kill_worker("vault")

    def test_4_13_12_a_new_token_lets_nobody_in_by_the_old_one_and_members_stay(self):
        one, late = Instance(self, "linux").come(), Instance(self, "linux")
        old = read(self.pool_token("linux"))
        os.unlink(self.d.path("pool-linux"))
        self.assertNotEqual(read(self.pool_token("linux")), old)
        self.assertEqual(one.come().name, "linux-1")
        w = FakeWorker(self.d.path("w.sock"), old.decode(), instance=late.instance, facts=[("key", late.key)])
        verb, (reason, _), text = w.next("no", "member")
        self.assertEqual((verb, reason), ("no", "secret"))
        self.assertIn(b"this is not the token of the pool linux", text)
        w.close()
        self.assertEqual(late.come().name, "linux-2")

    def test_4_13_13_names_that_a_pool_gives_are_nobody_elses(self):
        a = self.d.api("POST", "/workers", {"name": "linux-7"})
        self.assertEqual(a.status, 409, a.body)
        self.assertIn("a name that the pool linux gives to its members", a.json["error"]["message"])
        self.d.post("/workers", {"name": "linux-x"}, 201)
        self.d.configure(workers={**self.WORKERS, "linux-1": {}})
        self.addCleanup(self.d.configure, workers=self.WORKERS)
        a = self.d.api("POST", "/config/activate")
        self.assertEqual(a.status, 400)
        self.assertIn('"linux-1" is a name that the pool "linux" gives to its members', a.json["error"]["help"])

    def test_4_13_14_who_greets_with_no_key_or_a_strangers_is_no_member(self):
        token = read(self.pool_token("linux")).decode()
        for facts in ([], [("key", "short")], [("key", "k" * 65)], [("key", "k" * 30 + "\n" + "k" * 12)]):
            w = FakeWorker(self.d.path("w.sock"), token, instance="e" * 32, facts=facts)
            self.assertEqual(w.next("no", "bye", "member")[:2], ("bye", ["protocol"]), facts)
            w.close()
        w = FakeWorker(self.d.path("w.sock"), "unix:-##pool/nowhere:" + "s" * 43, instance="e" * 32, facts=[("key", "k" * 43)])
        self.assertEqual(w.next("no", "member")[2], b"there is no pool nowhere here")
        w.close()
        one = Instance(self, "linux").come()
        one.key = "k" * 43
        self.assertEqual(one.greet()[1][0], "secret")
        self.assertEqual(self.names(), ["linux-1"])


class Two(Site):
    """Two masters on one database: a member's link is one's, and it is removed through the other."""
    WORKERS, HOSTS = {"one": {"slots": 1}, "two": {"slots": 1}}, {}
    POOLS = {"linux": {"tags": ["build"], "max": 5}}
    BUILDERS = {"build": builder(tags=["build"])}
    pool_token = Pools.pool_token

    @classmethod
    def set_up(cls, hosts=None, **projects):
        cls.d.conf.update(pools=cls.POOLS)
        super().set_up(hosts, **projects)

    def test_4_13_15_removed_through_the_other_master(self):
        s = self.second()
        self.move("two", s)
        here, there = Instance(self, "linux").come(), Instance(self, "linux", s).come()
        self.assertEqual(sorted([here.name, there.name]), ["linux-1", "linux-2"])
        self.d.post("/workers/two", method="DELETE")
        self.d.post(f"/workers/{there.name}", method="DELETE")
        self.assertEqual(there.worker.next("bye")[1], ["stop"])
        wait_for(lambda: self.d.sql("select s.connected from worker_session s join worker w on w.id = s.worker where w.name = 'two'") == [["f"]], "the worker to be sent away")
        wait_for(lambda: b"two says bye" in (log := read(s.path("master.log"))) or b"worker: two" in log and b"away" in log, "the other master to say so")
        self.assertEqual(here.build("p/build")["worker"], here.name)

    def test_4_13_15_a_pool_that_goes(self):
        s = self.second()
        here, there = Instance(self, "linux").come(), Instance(self, "linux", s).come()
        for d in (self.d, s):
            d.configure(pools={})
            self.addCleanup(d.post, "/config/activate")
            self.addCleanup(d.configure, pools=self.POOLS)
            d.post("/config/activate")
        self.cli("pool", "remove", "linux")
        os.unlink(self.d.path("pool-linux"))  # its token
        for i in (here, there):
            self.assertIn(i.worker.next("bye")[1], (["stop"], ["replaced"]))
            i.up = False


if __name__ == "__main__":
    unittest.main(verbosity=2)
