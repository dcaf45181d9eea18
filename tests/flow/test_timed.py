#!/usr/bin/env python3
"""Schedulers of time and of people: real masters, real PostgreSQL, real git."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import Case, commit, make_repo, read, wait_for  # noqa: E402


def project(root, schedulers, **more):
    """A project of the site with one builder, which appends a line to a file."""
    run = 'echo "$DROVER_BUILDER $DROVER_BUILD $DROVER_REVISION" >>%s/ran' % root
    return {"git": root + "/repo", "poll": "1h", "builders": {"b": {"checkout": "none", "steps": [{"name": "s1", "run": run}]}}, "schedulers": schedulers, **more}


class Time(Case):
    def begin(self, schedulers, **more):
        d = self.own({"p": {}})
        make_repo(d.path("repo"), {"a": "a"})
        d.configure(projects={"p": project(d.root, schedulers, **more)})
        return d

    def rows(self, d, name="tick"):
        """(time in ms, what, why) of its decisions about times, oldest first."""
        return [(int(t), what, why) for t, what, why in d.sql("select ms_of(d.scheduled), d.what, d.why from scheduler_decision d join scheduler s on s.id = d.scheduler "
                                                               f"where s.name = '{name}' and d.scheduled is not null order by d.scheduled")]

    def test_every(self):
        d = self.begin({"tick": {"every": "1s"}}).up()
        wait_for(lambda: len([1 for r in self.rows(d) if r[1] == "built"]) >= 3, "three runs")
        rows = self.rows(d)
        print(rows, d.sql("select reason, scheduler from buildset"))
        self.assertTrue(all((r[0] - rows[0][0]) % 1000 == 0 for r in rows))


if __name__ == "__main__":
    unittest.main()
