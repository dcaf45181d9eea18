"""What systemd sends, by the real unit files and without systemd: a worker's stop reaches the worker only, a master's never its database; both say when they are ready."""
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, alive, make_repo, read, wait_for  # noqa: E402
from units import Unit  # noqa: E402

SUCCESS = 0
# Numbered lines until FILE is there; a line for each start of the step in FILE.started.
COUNT = 'echo x >>{0}.started; i=0; while [ ! -e {0} ]; do i=$((i+1)); echo "line $i"; sleep 0.02; done; echo "last $i"'


class Units(Case):
    def setUp(self):
        d = self.d1 = self.own({"p": {}}, {"here": {"slots": 2}}, tcp=True)
        self.gate = d.path("gate")
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "1h", "builders": {"count": {"checkout": "none", "steps": [{"name": "s1", "run": COUNT.format(self.gate)}]}}}},
                    database={"folder": d.path("pg")})
        make_repo(d.path("repo"), {"README": "x\n"})
        here = {"/usr/sbin/drover-master": f"{BUILD}/drover-master", "/etc/drover/master.yaml": d.path("master.yaml"), "/usr/bin/drover-worker": f"{BUILD}/drover-worker"}
        self.postgres = Unit("drover-postgresql", d, here, RUNTIME_DIRECTORY=self.folder("run"))
        self.master = Unit("drover-master", d, here, ["--log-level", "debug"])
        self.worker = Unit("drover-worker", d, here, ["--config", d.path("worker.conf"), "--log-level", "debug"])
        for u in (self.postgres, self.master, self.worker):
            self.addCleanup(u.close)

    def folder(self, name):
        path = self.d1.path(name)
        os.mkdir(path, 0o700)
        return path

    def up(self):
        d = self.d1
        self.assertTrue(self.postgres.condition())
        self.start_postgres()
        d.master = self.master.start()
        token = read(d.token()).decode()
        d.write_token(d.path("worker.conf"), f"join = {token.strip()}\ndir = {d.path('work-here')}\n")
        d.agents["here"] = self.worker.start()
        d.wait_worker()

    def start_postgres(self):
        """Where it listens is the unit's RuntimeDirectory, which goes with it; under root a folder of its own."""
        self.postgres.start()
        sock = self.d1.lock_file()[4]
        self.addCleanup(lambda: os.path.isdir(sock) and not os.listdir(sock) and os.rmdir(sock))

    def in_mid_build(self):
        """A build that runs, with output in the database."""
        rid = self.d1.ask("p/count")
        self.d1.wait_build(rid, lambda b: b["state"] == "running" and os.path.exists(self.gate + ".started"), "a running step")
        return rid

    def ends_well(self, rid):
        open(self.gate, "w").close()
        r = self.d1.wait_request(rid)
        self.assertEqual((r["result"], len(r["builds"])), (SUCCESS, 1), r)
        build = self.d1.get("/builds/" + r["builds"][0])
        self.assertEqual(build["attempt"], 1)
        self.assertEqual(read(self.gate + ".started"), b"x\n", "the step was started once")
        lines = self.d1.log(build["id"], "s1").decode().splitlines()
        n = len(lines) - 1
        self.assertEqual(lines, [f"line {i}" for i in range(1, n + 1)] + [f"last {n}"], "no line is lost or doubled")
        for name in ("gate", "gate.started"):
            os.remove(self.d1.path(name))
        return lines

    def stop_rest(self):
        self.assertEqual(self.worker.stop(), (0, False))
        self.assertEqual(self.master.stop(), (0, False))
        self.assertEqual(self.postgres.stop(), (0, False))
        self.assertEqual(self.d1.postgres(), [])

    def test_worker_restart_in_mid_build(self):
        self.up()
        rid = self.in_mid_build()
        minders = self.d1.minders()
        self.assertTrue(minders)
        for _ in range(2):
            self.assertEqual(self.worker.stop(), (0, False))
            self.assertTrue(all(alive(p) for p in minders), "KillMode=process and SendSIGKILL=no leave commands alone")
            self.d1.agents["here"] = self.worker.start()
            self.d1.wait_worker()
        self.assertTrue(all(alive(p) for p in minders))
        self.ends_well(rid)
        self.stop_rest()

    def test_master_restart_in_mid_build(self):
        """Stopped as systemd does, then killed as at its timeout: the database is another unit's, and goes on."""
        self.up()
        rid = self.in_mid_build()
        postmaster = self.d1.postmaster()
        self.assertEqual(postmaster, self.postgres.main.pid, "it became PostgreSQL itself")
        self.assertEqual(self.master.stop(), (0, False))
        self.assertTrue(alive(postmaster))
        self.d1.master = self.master.start()
        self.d1.master.kill()
        self.d1.master.wait()
        self.assertTrue(alive(postmaster))
        self.d1.master = self.master.start()
        self.d1.wait_worker()
        self.assertEqual(self.d1.postmaster(), postmaster)
        self.ends_well(rid)
        self.stop_rest()

    def test_database_unit_restart_is_an_outage(self):
        self.up()
        rid = self.in_mid_build()
        master = self.d1.master.pid
        self.assertEqual(self.postgres.stop(), (0, False))
        wait_for(lambda: (a := self.d1.try_api("GET", "/status")) and a.status == 200 and not a.json["database"]["up"], "the outage to be seen")
        self.assertEqual(self.d1.postgres(), [], "the master does not start what is not its own")
        self.postgres.start()
        self.d1.wait_ready()
        self.assertEqual(self.d1.master.pid, master)
        self.assertIsNone(self.d1.master.poll())
        os.kill(self.d1.postmaster(), signal.SIGKILL)  # Restart=always
        self.postgres.main.wait()
        wait_for(lambda: not self.d1.postgres(), "the end of what it leaves, which systemd would see to before it starts the unit again")
        self.postgres.start()
        self.d1.wait_ready()
        self.ends_well(rid)
        self.stop_rest()

    def test_ready_means_it_answers(self):
        d = self.d1
        self.start_postgres()
        env = read(f"/proc/{self.postgres.main.pid}/environ").split(b"\0")
        self.assertIn(b"PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj", env, "its backends may be killed for memory, it may not")
        self.assertFalse([x for x in env if x.startswith(b"DROVER")])
        d.master = self.master.start(wait=False)
        self.master.wait_ready()
        a = d.api("GET", "/status")
        self.assertEqual((a.status, a.json["database"]["up"]), (200, True))
        texts = [text for _, text in self.master.heard]
        self.assertNotIn("READY=1", "\n".join(texts[:-1]).split("\n"))
        self.assertEqual(self.master.stop(), (0, False))
        while self.master.hear(0.2):
            pass
        self.assertIn("STOPPING=1", self.master.heard[-1][1] + self.master.heard[-2][1])
        self.assertEqual(self.postgres.stop(), (0, False))

    def test_database_given(self):
        """With `database` there is nothing for the database's unit to do, and it says so."""
        d = self.d1
        d.configure(database="host=/nowhere dbname=drover")
        self.assertFalse(self.postgres.condition())
        main = self.postgres.start(wait=False)
        self.assertEqual(main.wait(DEADLINE_S), 0)
        self.assertIn("there is no private one to run", read(d.path("drover-postgresql.log")).decode())


if __name__ == "__main__":
    unittest.main()
