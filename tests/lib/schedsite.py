"""A project whose builds append lines to a file, for tests of schedulers: tests/flow/test_timed.py and test_schedulers.py, tests/fault/test_two_masters.py."""
import os
import subprocess
import time

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
