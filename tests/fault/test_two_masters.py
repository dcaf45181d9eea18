#!/usr/bin/env python3
"""Two masters on one database, killed at random while people push. Each pushed revision is one change and one request, each time of a scheduler comes once, and at no moment did both look at one repository:
what they logged of their looks is held against the leases that the database gave out. DROVER_KILLS: how many kills."""
import concurrent.futures
import datetime
import json
import os
import random
import re
import signal
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import busy, commit, make_repo, read, tell, wait_for  # noqa: E402
from fakeworker import FakeWorker  # noqa: E402
from schedsite import Base  # noqa: E402

ROUNDS = 5
KILLS = int(os.environ.get("DROVER_KILLS", "10"))
BOTH = 0.3             # how often the other one is killed too
PUSHED = ("a", "b", "c", "d")
SLOW = "slow"          # looked at each hour, and when its hook says so
SAME_S = 0.0015        # logs tell milliseconds
DEAD_S, SOON_S = 15, 4 # a master is dead so long after its last heartbeat; and its repositories are another's soon after that
PIPELINE = {"builders": {"b": {"checkout": "none", "steps": [{"run": "true"}]}}, "schedulers": {"each": {"change": {}, "builders": "b"}}}
TICKING = {"builders": PIPELINE["builders"], "schedulers": {**PIPELINE["schedulers"], "tick": {"every": "1s", "missed": "all"}}}
LOG = ("--log-format", "json")


class TwoMasters(Base):
    def begin_two(self):
        """A third one, never killed, has the database and a project of its own."""
        k = self.own({"p": {}})
        self.heads = {name: make_repo(k.path(name), {".drover.yml": json.dumps(TICKING if name == "a" else PIPELINE)}) for name in (*PUSHED, SLOW, "else")}
        k.configure(projects={"else": {"git": k.path("else"), "poll": "1s"}})
        k.start_master()
        self.k = k
        projects = {**{name: {"git": k.path(name), "poll": "1s"} for name in PUSHED}, SLOW: {"git": k.path(SLOW), "poll": "1h", "hook": "poll"}}
        self.two = []
        for _ in range(2):
            d = self.own({"p": {}}, database=f"host={k.lock_file()[4]} user=drover dbname=drover")
            self.owned.insert(0, self.owned.pop())
            d.configure(projects=projects, workers=k.conf["workers"], listen={**d.conf["listen"], "workers": "127.0.0.1:%d" % d.port})
            self.two.append(d.start_master(argv=LOG))
        self.killed = [[], []]
        wait_for(lambda: self.k.sql("select count(distinct project) from branch_head") == [[str(len(PUSHED) + 2)]], "the first look at each")
        return self.two

    def owners(self):
        """project: index of the master that looks at it."""
        mine = {f"{os.uname().nodename} {d.master.pid}": i for i, d in enumerate(self.two)}
        items = next(a for d in self.two if (a := d.try_api("GET", "/projects"))).json["items"]
        return {p["name"]: mine.get(p["master"]) for p in items}

    def kill(self, i):
        """One that had not come to the database yet has had no life."""
        self.two[i].kill_master()
        if len(self.told(i)) > len(self.killed[i]):
            self.killed[i].append(time.time())

    # ---- what the logs and the database tell ----

    def lives(self, i):
        """Of each life of that master: its lines, and when it ended."""
        return list(zip(self.told(i), [*self.killed[i], time.time()]))

    def told(self, i):
        """Of each life of that master: its lines."""
        lives = []
        for line in read(self.two[i].path("master.log")).decode().splitlines():
            try:
                e = json.loads(line)
            except ValueError:
                continue  # killed in the middle of it
            at = datetime.datetime.fromisoformat(e["time"].replace("Z", "+00:00")).timestamp()
            if e["message"].startswith("up, "):  # the first contact with the database
                lives.append([])
            if lives:
                lives[-1].append((at, e["message"]))
        return lives

    def looks(self):
        """{project: [(begin, lease, end, (master, life))]}, by begin. What was under way when a master was killed ended then."""
        found = {}
        for i in range(2):
            for n, (lines, end) in enumerate(self.lives(i)):
                open_looks = {}
                for at, text in lines:
                    if m := re.fullmatch(r"(\S+): (a look at the repository|looked), lease (\d+)", text):
                        name, what, lease = m.groups()
                        if what == "looked":
                            found.setdefault(name, []).append((*open_looks.pop(name), at, (i, n)))
                        else:
                            self.assertNotIn(name, open_looks, "two looks at once in one master")
                            open_looks[name] = (at, int(lease))
                for name, (at, lease) in open_looks.items():
                    found.setdefault(name, []).append((at, lease, end, (i, n)))
        return {name: sorted(v) for name, v in found.items()}

    def taken(self):
        """{project: {lease: when it was given}}; each number is given once."""
        wait_for(lambda: self.k.sql("select count(*) from outbox") == [["0"]], "all events to be numbered")
        given = {}
        for at, body in self.k.sql("select extract(epoch from at), body from event where type = 'poll.taken' order by number"):
            for name, lease in json.loads(body)["epochs"].items():
                self.assertNotIn(lease, given.setdefault(name, {}), "a lease was given twice")
                given[name][lease] = float(at)
        return given

    def never_two(self):
        """No look begins before the one before it is over, and none is outside the time of its lease."""
        given, looks, n = self.taken(), self.looks(), 0
        for name in PUSHED:
            self.assertEqual(sorted(given[name]), list(range(1, len(given[name]) + 1)), "leases are numbered without a gap")
            of = {}
            for before, look in zip([None, *looks[name]], looks[name]):
                begin, lease, end, who = look
                if before:
                    self.assertGreaterEqual(begin + SAME_S, before[2], (name, before, look))
                self.assertEqual(of.setdefault(lease, who), who, f"two masters with lease {lease} of {name}")
                self.assertGreaterEqual(begin + SAME_S, given[name][lease])
                if lease + 1 in given[name]:
                    self.assertLessEqual(end, given[name][lease + 1] + SAME_S, (name, look))
                n += 1
            self.assertGreater(len(of), 1, f"{name} was looked at under several leases")
        return n

    # ---- tests ----

    def test_killed_at_random(self):
        self.begin_two()
        told, stop = {name: [] for name in PUSHED}, threading.Event()
        chance = random.Random()

        def push():
            while not stop.is_set():
                name = chance.choice(PUSHED)
                told[name].append(commit(self.k.path(name), {"f": str(time.time())}, "push"))
                stop.wait(chance.random() * 0.4)
        pusher = threading.Thread(target=push)
        pusher.start()
        try:
            for _ in range(KILLS):
                n = int(self.k.sql("select count(*) from change")[0][0])
                wait_for(lambda: int(self.k.sql("select count(*) from change")[0][0]) > n, "another change")
                i = random.randrange(2)
                time.sleep(random.random())
                self.kill(i)
                if random.random() < BOTH:
                    self.kill(1 - i)
                    self.two[1 - i].start_master(wait=False, argv=LOG)
                self.two[i].start_master(wait=False, argv=LOG)
        finally:
            stop.set()
            pusher.join()
        for d in self.two:
            d.wait_ready()
        pushed = sorted(r for v in told.values() for r in v)
        wait_for(lambda: self.k.sql("select count(*) from change where state = 'decided'") == [[str(len(pushed))]] or
                 int(self.k.sql("select count(*) from change")[0][0]) > len(pushed), "each push to be a change", 60)
        self.assertEqual(sorted(r for r, in self.k.sql("select revision from change")), pushed)
        asked = self.k.sql("select s.revision from build_request r join buildset b on b.id = r.buildset join sourcestamp s on s.id = b.sourcestamp where b.scheduler = 'each'")
        self.assertEqual(sorted(r for r, in asked), pushed)
        n = self.never_two()
        owners = wait_for(lambda: (o := self.owners()) and sorted(list(o.values()).count(i) for i in range(2)) in ([2, 3],) and o, "fair shares", 30)
        self.assertNotIn(None, owners.values())
        self.cli(self.two[0], "scheduler", "disable", "a/tick")
        rows = self.each_once(self.k)
        print(f"    {len(pushed)} pushes, {len(rows)} due times, {n} looks under {sum(len(v) for v in self.taken().values())} leases, {KILLS} kills")

    def test_takes_over_asks_and_borrows(self):
        self.begin_two()
        wait_for(lambda: sorted(list(self.owners().values()).count(i) for i in range(2)) == [2, 3], "fair shares")
        owners = self.owners()
        # A look that somebody asks the other master for, long before its time.
        owner = owners[SLOW]
        new = commit(self.k.path(SLOW), {"f": "x"}, "pushed")
        due = self.k.sql(f"select round(extract(epoch from due_at - now())) from poll l join project p on p.id = l.project where p.name = '{SLOW}'")[0][0]
        self.assertGreater(int(due), 3000)
        self.assertEqual(self.two[1 - owner].hook(SLOW).status, 202)
        wait_for(lambda: self.k.sql(f"select 1 from change where revision = '{new}' and state = 'decided'"), "the change", 10)
        self.assertEqual(self.owners()[SLOW], owner)
        # A build of a pipeline in a repository that the other master looks at: it is handed over for that.
        name = next(n for n in PUSHED if owners[n] == owner)
        self.two[1 - owner].ask(f"{name}/b", revision=self.heads[name], branch="main")
        # A master that dies and does not come back: its repositories are looked at soon, no earlier than it counts as dead, and at their time.
        i = self.owners()[SLOW]
        pid = self.two[i].master.pid
        self.kill(i)
        last = float(self.k.sql(f"select extract(epoch from heartbeat) from master where pid = {pid} order by id desc limit 1")[0][0])
        wait_for(lambda: set(self.owners().values()) == {1 - i}, "all to be taken over", DEAD_S + SOON_S + 2)
        at = max(self.taken()[SLOW].values())
        self.assertGreaterEqual(at - last, DEAD_S)
        self.assertLess(at - last, DEAD_S + SOON_S * busy())
        new = {n: commit(self.k.path(n), {"f": "y"}, "after that") for n in PUSHED}
        for n in PUSHED:
            wait_for(lambda: self.k.sql(f"select 1 from change where revision = '{new[n]}'"), f"the change of {n}", 10)
        due = self.k.sql(f"select round(extract(epoch from due_at - now())) from poll l join project p on p.id = l.project where p.name = '{SLOW}'")[0][0]
        self.assertGreater(int(due), 3000, "its time stays")
        self.assertEqual([x for x in self.looks()[SLOW] if x[3][0] == 1 - i and x[0] > last], [])  # before, it may have had it for a moment, until the shares were fair
        self.two[i].start_master(argv=LOG)

    def test_both_want_it_at_once(self):
        """Builds of pipelines that are read from one repository, asked for at both masters at the same time, again and again: each gets it, works, and hands it over; and who stops meanwhile ends."""
        self.begin_two()
        wait_for(lambda: sorted(list(self.owners().values()).count(i) for i in range(2)) == [2, 3], "fair shares")
        name, answers = PUSHED[0], []
        for n in range(ROUNDS):
            revisions = [commit(self.k.path(name), {"f": f"{n} {i}"}, f"{n} {i}") for i in range(2)]
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                asked = [pool.submit(self.two[i].api, "POST", "/builds", {"builder": f"{name}/b", "branch": "main", "revision": revisions[i]}) for i in range(2)]
                answers += [(a.result().status, a.result().body if a.result().status != 201 else b"") for a in asked]
        self.assertEqual({a for a, _ in answers}, {201}, answers)

    def test_who_stops_waits_for_no_repository(self):
        """The other master, which has it, does not answer: nobody hands anything over."""
        self.begin_two()
        wait_for(lambda: sorted(list(self.owners().values()).count(i) for i in range(2)) == [2, 3], "fair shares")
        name = next(n for n in PUSHED if self.owners()[n] == 1)
        self.two[1].master.send_signal(signal.SIGSTOP)
        try:
            revision = commit(self.k.path(name), {"f": "x"}, "pushed")  # only now: of what it has looked at, the pipeline is known
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                asked = pool.submit(self.two[0].try_api, "POST", "/builds", {"builder": f"{name}/b", "branch": "main", "revision": revision})
                wait_for(lambda: self.k.sql(f"select 1 from poll l join project p on p.id = l.project where p.name = '{name}' and l.wanted is not null"), "the wish")
                self.assertEqual(self.two[0].stop_master(), 0)
                answer = asked.result()
            self.assertTrue(answer is None or answer.status == 503, answer and answer.body)
        finally:
            self.two[1].master.send_signal(signal.SIGCONT)
        self.two[0].start_master(argv=LOG)

    def test_what_one_has_done_the_other_looks_at(self):
        """Each looks by itself once an hour only, so what happens here happens by hints: builds asked for at one for a worker of the other, changes told to the one that has not the lease; also after the loss
        of all connections. Prints how long it took from the question to the build's begin."""
        d = self.own({"p": {}})
        make_repo(d.path("p"), {".drover.yml": json.dumps(PIPELINE)})
        projects = {name: {"git": d.path("p"), "poll": "1h", **(PIPELINE if name == "p" else {})} for name in ("p", "q", "r")}
        d.configure(look="1h", projects=projects)
        d.start_master()
        s = self.own({"p": {}}, database=f"host={d.lock_file()[4]} user=drover dbname=drover")
        self.owned.insert(0, self.owned.pop())
        s.configure(look="1h", projects=projects)
        s.start_master()
        s.start_worker()
        for one in (d, s):
            wait_for(lambda: b"hints: 1 other masters are alive" in read(one.path("master.log")), "each to know of the other")
        wait_for(lambda: d.sql("select count(distinct master) from poll") == [["2"]] and d.sql("select count(*) from branch_head") == [["3"]], "shares, and the first looks")
        head = d.sql("select revision from branch_head limit 1")[0][0]

        def builds(n):
            for _ in range(n):
                d.wait_request(d.ask("p/b", branch="main", revision=head))
        builds(20)
        took = sorted(float(x) for x, in d.sql("select extract(epoch from b.started - r.created) * 1000 from build b join build_request r on r.id = b.request"))
        print(f"    from the question to the begin at the other master: median {took[len(took) // 2]:.0f} ms, {took[0]:.0f} to {took[-1]:.0f}")
        for i, (name, one) in enumerate([(n, o) for n in projects for o in (d, s)]):
            rev = f"{i:040x}"
            one.post("/changes", {"project": name, "branch": "sent", "revision": rev}, 201)
            wait_for(lambda: d.sql(f"select 1 from change where revision = '{rev}' and (attempts > 0 or state <> 'reading')"), "somebody to have tried to read it")
        d.sql("select pg_terminate_backend(pid) from pg_stat_activity where query = 'listen drover'")
        wait_for(lambda: all(b"up again" in read(o.path("master.log")) for o in (d, s)), "all connections again")
        builds(3)

    def test_an_old_link_takes_no_worker_back(self):
        """A worker went on to another master while its old one was without the database, its old link not known to be dead yet: when that master is back, its link does not count any more."""
        d = self.own({"p": {}})
        make_repo(d.path("p"), {".drover.yml": json.dumps(PIPELINE)})
        projects = {"p": {"git": d.path("p"), "poll": "1h"}}
        d.configure(projects=projects)
        d.start_master()
        token, since = read(d.token("far")).decode(), d.sql("select now()")[0][0]
        s = self.own({"p": {}}, database=f"host={d.lock_file()[4]} user=drover dbname=drover")
        self.owned.insert(0, self.owned.pop())
        s.configure(projects=projects)
        s.start_master()
        links = []
        for n, one in enumerate((s, d), 1):
            links.append(FakeWorker(one.path("w.sock"), token, conn=n).ready())
            self.addCleanup(links[-1].close)
            one.wait_worker("far")
        row = d.sql("select master, number, conn, connected from worker_session")
        d.sql(f"select pg_terminate_backend(pid) from pg_stat_activity where backend_start > '{since}' and pid <> pg_backend_pid()")
        self.assertEqual(links[0].next("bye", "inventory")[:2], ("bye", ["replaced"]))
        self.assertEqual(d.sql("select master, number, conn, connected from worker_session"), row)

    def test_a_look_ends_with_the_lease(self):
        """The database does not answer: before another master may think this one dead, what it has under way at a repository ends."""
        d = self.own({"p": {}})
        with socket.create_server(("127.0.0.1", 0)) as silent:
            d.configure(projects={"p": {"git": "http://127.0.0.1:%d/p" % silent.getsockname()[1], "poll": "1s"}})
            d.start_master()
            looking = lambda: [p for p in read(f"/proc/{d.master.pid}/task/{d.master.pid}/children").split() if b"drover-git-helper" in read(f"/proc/{int(p)}/cmdline")]
            helper = wait_for(looking, "a look that waits for the server")
            masters = d.sql("select count(*) from master")
            stopped, begin = d.postgres(), time.time()
            try:
                for p in stopped:
                    tell(p, signal.SIGSTOP)
                wait_for(lambda: helper[0] not in looking(), "its end", DEAD_S + 1)
            finally:
                for p in stopped:
                    tell(p, signal.SIGCONT)
            self.assertLess(time.time() - begin, DEAD_S)
            wait_for(looking, "the next look")
            self.assertEqual(d.sql("select count(*) from master"), masters)

    def test_writes_nothing_without_its_lease(self):
        """A lease that goes while a look is under way: nothing of it is written."""
        d = self.own({"p": {}})
        make_repo(d.path("p"), {".drover.yml": json.dumps(PIPELINE)})
        d.configure(projects={"p": {"git": d.path("p"), "poll": "1s"}})
        d.start_master()
        d.wait_looked("p")
        other = d.sql("insert into master (host, pid, heartbeat) values ('h', 1, now() + interval '1 hour') returning id")[0][0]
        d.sql(f"update poll set master = {other}, epoch = epoch + 1")
        new = commit(d.path("p"), {"f": "x"}, "x")
        wait_for(lambda: b"another master looks at the repository from now on" in read(d.path("master.log")) or b"is left to the master that looks there now" in read(d.path("master.log")), "the loss")
        wait_for(lambda: b"another master looks at the repository from now on" in read(d.path("master.log")), "a heartbeat")
        self.assertEqual(d.sql("select count(*) from change"), [["0"]])
        self.assertEqual(d.get("/projects")["items"][0]["master"], "h 1")
        d.sql(f"update master set stopped = now() where id = {other}")
        wait_for(lambda: d.sql(f"select 1 from change where revision = '{new}'"), "its lease again, and the change")


if __name__ == "__main__":
    unittest.main()
