"""A project whose builds append lines to a file, for tests of schedulers: tests/flow/test_timed.py and test_schedulers.py, tests/fault/test_two_masters.py."""
import itertools
import os
import subprocess

from drover import BUILD, Case, git, make_repo, wait_for


def project(root, schedulers, **more):
    """A project of the site with one builder, which appends a line to a file."""
    run = 'echo "$DROVER_BUILD $DROVER_REVISION" >>%s/ran' % root
    return {"git": root + "/repo", "poll": "1h", "builders": {"b": {"checkout": "none", "steps": [{"name": "s1", "run": run}]}}, "schedulers": schedulers, **more}


class Base(Case):
    def begin(self, schedulers, **more):
        d = self.own({"p": {}})
        self.head = make_repo(d.path("repo"), {"a": "a"})
        d.configure(projects={"p": project(d.root, schedulers, **more)})
        return d

    def cli(self, d, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "TZ": "UTC", "DROVER_SOCKET": d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return p.stdout if not code else p.stderr

    def rows(self, d, name="tick"):
        """(time in ms, what, why) of its decisions about times, by time."""
        return [(int(t), what, why) for t, what, why in d.sql("select ms_of(d.scheduled), d.what, d.why from scheduler_decision d join scheduler s on s.id = d.scheduler "
                                                               f"where s.name = '{name}' and d.scheduled is not null order by d.scheduled")]

    def decisions(self, d, name):
        return [tuple(x) for x in d.sql(f"select t.what, t.why from scheduler s cross join lateral scheduler_trace(s, 100) t where s.name = '{name}'")][::-1]

    def built(self, d, n, name="tick", seconds=30):
        return wait_for(lambda: len(r := [x for x in self.rows(d, name) if x[1] == "built"]) >= n and r, f"{n} runs of {name}", seconds)

    def each_once(self, d, name="tick"):
        """Its times, one a second."""
        rows = self.rows(d, name)
        self.assertEqual([r[0] for r in rows], [rows[0][0] + 1000 * i for i in range(len(rows))], "no time is missing, none is there twice")
        self.assertEqual({r[1] for r in rows}, {"built"})
        return rows

    def second(self, d, argv=()):
        """Another master on the same database."""
        s = self.own({"p": {}}, database=f"host={d.lock_file()[4]} user=drover dbname=drover")
        self.owned.insert(0, self.owned.pop())  # it stops before the one whose child the database is
        s.configure(projects=d.conf["projects"], workers=d.conf["workers"])
        return s.start_master(argv=argv)

    def idle(self, d):
        wait_for(lambda: d.sql("select count(*) from build_request where state <> 'done'") == [["0"]], "the end of all builds")

    def over(self, d):
        """No time comes any more; all that was asked for is built."""
        self.idle(d)
        self.assertEqual(len(self.lines(d.path("ran"))) // 2, int(d.sql("select count(*) from build_request")[0][0]), "a line for each request")


def given(*sites, **schedulers):
    """Of a test of Rules: the schedulers of its project, or several projects, each as {scheduler: what it says} or a whole project with `schedulers`."""
    def mark(test):
        test.sites = sites or (schedulers,)
        return test
    return mark


class Rules(Case):
    """One master for many tests, without workers unless WORKING: what is asked for stays asked for. Each test with @given has a project of its own, named after it (self.p), whose pipeline
    is the site's, so that a change is decided in milliseconds. Nobody sleeps: lapse() and due() set due times in the database, and the master looks at once."""
    PROJECTS = {"p": {}}
    WORKING = False
    BUILDERS = {x: {"checkout": "none", "steps": ["true"]} for x in ("a", "b")}

    @classmethod
    def prepare(cls):
        d = cls.d
        cls.first = make_repo(d.path("repo"), {"a": "a"})
        if not cls.WORKING:
            d.workers = {}
        cls.revisions = itertools.count(1)
        given = [(cls.project_of(name, i), cls.site(s)) for name in dir(cls) if name.startswith("test_") for i, s in enumerate(getattr(getattr(cls, name), "sites", ()))]
        sites = dict(given)
        assert len(sites) == len(given), "two tests whose names begin in the same way"
        d.configure(projects={**sites, "clock": cls.site({"kick": {"force": {}}})})

    @classmethod
    def site(cls, s):
        return {"git": cls.d.path("repo"), "poll": "1h", "builders": cls.BUILDERS, **(s if "schedulers" in s else {"schedulers": s})}

    @staticmethod
    def project_of(test, i=0):
        return test[5:55] + (f"-{i + 1}" if i else "")

    def setUp(self):
        self.p = self.project_of(self._testMethodName)
        self.p2 = self.project_of(self._testMethodName, 1)
        sites = getattr(getattr(self, self._testMethodName), "sites", ())
        self.schedulers = sites[0].get("schedulers", sites[0]) if sites else {}
        self.d.wait_looked("clock", *(self.project_of(self._testMethodName, i) for i in range(len(sites))))

    def reconfigure(self, **schedulers):
        """Other schedulers, once they are rows; none: the project leaves the configuration."""
        before = self.d.conf["projects"]
        rows = f"select name, pipeline from scheduler where project = (select id from project where name = '{self.p}')"
        old = {pipe for _, pipe in self.d.sql(rows)}
        self.d.configure(projects={**{k: v for k, v in before.items() if k != self.p}, **({self.p: self.site(schedulers)} if schedulers else {})})
        self.d.post("/config/activate")
        if schedulers and schedulers != self.schedulers:
            wait_for(lambda: sorted(n for n, pipe in self.d.sql(rows) if pipe not in old) == sorted(schedulers), "the schedulers")
        self.schedulers = schedulers or self.schedulers

    # ---- changes ----

    def revision(self):
        return f"{next(self.revisions):040x}"

    def tell(self, branch="main", revision=None, project=None, **more):
        """The id of a change that somebody tells."""
        body = {"project": project or self.p, "branch": branch, "revision": revision or self.revision(), **more}
        a = wait_for(lambda: (a := self.d.api("POST", "/changes", body)).status != 503 and a, "a master that has started")
        self.assertEqual(a.status, 201, a.body)
        return a.json["change"]

    def decided(self, change):
        return wait_for(lambda: (c := self.d.get("/changes/" + change))["state"] != "reading" and c, "the decision about " + change)

    def change(self, *a, **kw):
        """The id of a change, once it is decided."""
        return self.decided(self.tell(*a, **kw))["id"]

    def verdict(self, change, scheduler="s"):
        """{verdict, rule, why, until, buildset} of one scheduler."""
        return {v["scheduler"]: v for v in self.d.get("/changes/" + change)["verdicts"]}.get(scheduler)

    def said(self, change, scheduler="s"):
        v = self.verdict(change, scheduler)
        return v["verdict"], v["rule"], v["why"]

    def words(self, change):
        """{scheduler: verdict}"""
        return {v["scheduler"]: v["verdict"] for v in self.d.get("/changes/" + change)["verdicts"]}

    def sets(self, project=None, scheduler=None):
        """Buildsets of the project, oldest first: {id, scheduler, changes, revision, branch, requests …}."""
        ids = self.d.sql(f"select b.id from buildset b join sourcestamp s on s.id = b.sourcestamp join project p on p.id = s.project where p.name = '{project or self.p}' "
                         + (f"and b.scheduler = '{scheduler}' " if scheduler else "") + "order by b.id")
        return [self.d.get("/buildsets/s" + i) for i, in ids]

    def built(self, project=None, scheduler=None):
        """The changes of each buildset."""
        return [s["changes"] for s in self.sets(project, scheduler)]

    def wait_built(self, n=1, project=None, scheduler=None):
        return wait_for(lambda: len(b := self.built(project, scheduler)) >= n and b, f"{n} buildsets")

    # ---- time ----

    def kick(self):
        """The master looks now."""
        self.d.post("/schedulers/clock/kick/enable")

    def scheduler(self, name="s", project=None):
        return self.d.get(f"/schedulers/{project or self.p}/{name}")

    def trace(self, name="s", project=None):
        """(what, why), oldest first."""
        return [(x["what"], x["why"]) for x in self.scheduler(name, project)["decisions"]][::-1]

    def of(self, name="s", project=None):
        """The rows of a scheduler in scheduler_state or scheduler."""
        return f"name = '{name}' and project = (select id from project where name = '{project or self.p}')"

    def waiting(self, name="s", project=None):
        """{branch: changes} of its quiet times."""
        return {x["branch"]: x["changes"] for x in self.scheduler(name, project)["pending"]}

    def left(self, name="s", branch="main", project=None):
        """Seconds until the branch has been quiet long enough, by the database's clock."""
        rows = self.d.sql(f"select extract(epoch from due_at - now()) from scheduler_state where {self.of(name, project)} and branch = '{branch}' and due_at is not null")
        return float(rows[0][0]) if rows else None

    def set_left(self, seconds, name="s", branch=None, project=None):
        self.d.sql(f"update scheduler_state set due_at = now() + {seconds} * interval '1 second' where {self.of(name, project)} and due_at is not null" + (f" and branch = '{branch}'" if branch else ""))

    def lapse(self, *a, **kw):
        """Its quiet times are over."""
        self.set_left(0, *a, **kw)
        self.kick()

    def session(self):
        """A transaction of somebody else: psql that is told statements; closed (rolled back) with the test."""
        s = Session(self.d)
        self.addCleanup(s.close)
        return s

    def hold(self, session, what, table="scheduler_state", name="s"):
        """It is due, and at the same moment the session does something to its row; once the master's transaction waits for that."""
        session.tell(f"update {table} set due_at = date_trunc('milliseconds', now()) where {self.of(name)} and due_at is not null; commit; begin; {what % f'{table} where {self.of(name)}'}")
        self.kick()
        self.wait_blocked()

    def wait_blocked(self, n=1):
        """Until so many of the master's transactions wait for locks."""
        wait_for(lambda: self.blocked() >= n, f"{n} that wait for a lock")

    def blocked(self):
        return int(self.d.sql("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()")[0][0])


class Session:
    def __init__(self, d):
        self.p = subprocess.Popen(d.psql_argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
        self.tell("begin")

    def tell(self, text):
        """Once it is done; what it said."""
        self.p.stdin.write(text + ";\n\\echo done-with-it\n")
        self.p.stdin.flush()
        said = []
        while (line := self.p.stdout.readline().rstrip("\n")) != "done-with-it":
            if self.p.poll() is not None:
                raise AssertionError(f"psql: {said}")
            said.append(line)
        return said

    def close(self):
        if self.p.poll() is None:
            self.p.stdin.close()
            self.p.wait(30)
        self.p.stdout.close()
