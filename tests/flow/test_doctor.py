#!/usr/bin/env python3
"""drover doctor: every check that can be brought about here is made to fail once, for real, and to be well again."""
import http.client
import json
import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, make_repo, read, wait_for  # noqa: E402

BUILDERS = {"ok": {"checkout": "none", "steps": [{"name": "s1", "run": "true"}]}, "nobody": {"checkout": "none", "worker": {"tags": ["mainframe"]}, "steps": [{"name": "s1", "run": "true"}]}}
BASE = {"backup", "keys"}  # not well on a site without a backup


class Doctor(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"one": {"slots": 1}, "two": {"slots": 1}}

    @classmethod
    def prepare(cls):
        d = cls.d
        d.durable = True  # what it says of that is looked at
        make_repo(d.path("repo"), {"a": "a"})
        cls.projects = {"p": {"git": d.path("repo"), "poll": "1s", "builders": BUILDERS}}
        d.configure(projects=cls.projects, listen={**d.conf["listen"], "api": "127.0.0.1:0"})

    def cli(self, *argv, socket=None):
        p = subprocess.run([f"{BUILD}/drover", "doctor", *argv], env={**os.environ, "DROVER_SOCKET": socket or self.d.path("api.sock")}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60)
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def checks(self):
        a = self.d.try_api("GET", "/doctor")
        return {c["name"]: c for c in a.json["checks"]} if a and a.status == 200 else {}

    def ill(self):
        return {n for n, c in self.checks().items() if c["level"] in ("warn", "fail")}

    def becomes(self, name, level, *words):
        """Waits until the check is so, and all the others well."""
        def so():
            checks = self.checks()
            c = checks.get(name)
            others = {n for n, x in checks.items() if x["level"] in ("warn", "fail")} - BASE - {name}
            return c and c["level"] == level and all(w in c["text"] for w in words) and not others and c
        try:
            c = wait_for(so, f"{name} to be {level} with {words}")
        except AssertionError as e:
            raise AssertionError(f"{e}; {self.checks()}")
        if level != "ok":
            self.assertTrue(c["todo"])
        return c

    def test_a_well_one(self):
        d = self.d
        self.becomes("keys", "warn", "keys not backed up yet")
        self.becomes("backup", "warn", "there is no backup")
        self.assertIsNone(d.get("/status")["backup"])
        code, text, _ = self.cli()
        self.assertEqual(code, 0)
        self.assertRegex(text, r"(?m)^ok        database \(PostgreSQL \d+\.\d+, \d+ MB\), durability .*schema \(\d+\), ports \(\d+, \d+\), clock \(±\d+ ms\), disk \(\d+ % free\)")
        self.assertIn("warn      backup: there is no backup\n          drover-master backup DIR", text)
        subprocess.run([f"{BUILD}/drover-master", "backup", d.path("b"), "--config", d.path("master.yaml")], check=True, stdout=subprocess.DEVNULL)
        for name in BASE:
            self.becomes(name, "ok")
        status = d.get("/status")
        self.assertGreater(status["backup"]["at"], 0)
        self.assertLess(status["backup"]["age_ms"], 600000)
        self.assertGreater(status["database"]["size"], 1000000)
        self.assertEqual(self.ill(), set())
        code, text, _ = self.cli("--json")
        self.assertEqual((code, json.loads(text)["level"]), (0, "ok"))
        self.assertEqual({c["name"] for c in json.loads(text)["checks"]}, set(self.checks()) | {"command line"})
        d.sql("update backup set made = now() - interval '26 hours'")
        self.becomes("backup", "warn", "last backup 26 h old")
        self.assertEqual(self.cli()[0], 0)  # a warning
        d.sql("delete from backup")

    def setting(self, name, value):
        self.d.sql(f"alter system set {name} = {value}")  # not in a transaction with the reload
        self.d.sql("select pg_reload_conf()")

    def test_durability(self):
        for name in ("fsync", "full_page_writes"):
            self.setting(name, "off")
            self.becomes("durability", "fail", name)
            code, text, _ = self.cli()
            self.assertEqual(code, 3)
            self.assertIn("fail      durability: ", text)
            self.setting(name, "default")
            self.becomes("durability", "ok")
        self.setting("autovacuum", "off")
        self.becomes("durability", "warn", "autovacuum is off")
        self.setting("autovacuum", "default")
        self.becomes("durability", "ok")

    def test_schema(self):
        self.d.sql("insert into schema_version (version) values (999)")
        self.becomes("schema", "fail", "schema 999")
        self.d.sql("delete from schema_version where version = 999")
        self.becomes("schema", "ok")

    def test_the_database_is_away(self):
        d = self.d
        hba = d.path("pg/data/pg_hba.conf")
        os.rename(hba, hba + ".away")  # it can't start without
        os.kill(d.postmaster(), signal.SIGKILL)
        c = self.becomes_away()
        self.assertIn("away", c["text"])
        self.assertEqual(self.checks()["schema"]["level"], "unknown")
        code, text, _ = self.cli()
        self.assertEqual(code, 3)
        self.assertIn("fail      database: PostgreSQL is away", text)
        self.assertIn("unknown   durability (not known while the database is away)", text)
        os.rename(hba + ".away", hba)
        d.wait_ready()
        self.becomes("database", "ok")
        for name in self.WORKERS:
            d.wait_worker(name)

    def becomes_away(self):
        return wait_for(lambda: (c := self.checks().get("database")) and c["level"] == "fail" and c, "the database to be away")

    def test_configuration(self):
        d = self.d
        good = read(d.path("master.yaml"))
        with open(d.path("master.yaml"), "w") as f:
            f.write("no_such_key: 1\nwindow: never\n")
        self.becomes("configuration", "fail", "2 errors")
        d.master.send_signal(signal.SIGHUP)
        self.becomes("configuration", "fail", "2 errors", "the last reload was refused")
        with open(d.path("master.yaml"), "wb") as f:
            f.write(good + b"\n")
        self.becomes("configuration", "warn", "not the configuration that is used")
        with open(d.path("master.yaml"), "wb") as f:
            f.write(good)
        self.becomes("configuration", "warn", "the last reload was refused")
        d.master.send_signal(signal.SIGHUP)
        self.becomes("configuration", "ok")

    def test_repositories(self):
        d = self.d
        os.rename(d.path("repo"), d.path("repo.away"))
        c = self.becomes("repositories", "warn", "p can't be read for ", d.path("repo"))
        port = d.get("/status")["listen"]["api"]
        remote = http.client.HTTPConnection("127.0.0.1", port if isinstance(port, int) else int(port.rsplit(":", 1)[1]), timeout=DEADLINE_S)
        remote.request("GET", "/api/v1/doctor")
        r = remote.getresponse()
        body = r.read().decode()
        remote.close()
        self.assertEqual(r.status, 200)
        self.assertIn("p can't be read for ", body)
        self.assertNotIn(d.root, body)  # over TCP nobody is told where things are
        self.assertIn(d.root, c["text"])
        os.rename(d.path("repo.away"), d.path("repo"))
        self.becomes("repositories", "ok")

    def test_workers(self):
        d = self.d
        d.kill_worker("two")
        self.becomes("workers", "warn", "two away since ")
        d.start_worker("two")
        self.becomes("workers", "ok", "2 of 2 connected")
        facts = d.sql("select facts from worker where name = 'two'")[0][0]
        d.sql("""update worker set facts = facts || '{"version": "0.0", "disk_free_kib": "1000"}' where name = 'two'""")
        wait_for(lambda: self.ill() - BASE == {"versions", "workers"}, "the old worker on a full disk")
        self.assertIn("two is 0.0", self.checks()["versions"]["text"])
        self.assertIn("two has 0 MB free", self.checks()["workers"]["text"])
        d.sql(f"update worker set facts = '{facts}' where name = 'two'")
        self.becomes("versions", "ok")

    def test_waiting(self):
        d = self.d
        rid = d.ask("p/nobody")
        self.assertEqual(self.becomes("waiting", "ok")["text"], "1")
        d.sql(f"update build_request set created = now() - interval '3 hours' where id = {rid[1:]}")
        self.assertEqual(self.becomes("waiting", "warn", f"{rid} has been waiting for 3 h")["todo"], f"drover why {rid}")
        d.post(f"/requests/{rid}/cancel", {})
        self.becomes("waiting", "ok")

    def test_events(self):
        d = self.d
        holder = subprocess.Popen(d.psql_argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        try:
            holder.stdin.write(b"begin; select last from event_cursor for update;\n")
            holder.stdin.flush()
            self.assertTrue(holder.stdout.readline().strip().isdigit())
            d.sql("insert into outbox (at, type, object) values (now() - interval '20 seconds', 'test', 'x')")
            self.becomes("events", "warn", "have been waiting for their numbers")
        finally:
            holder.stdin.close()
            holder.wait(DEADLINE_S)
            holder.stdout.close()
        self.becomes("events", "ok")
        d.sql("insert into reader (name, event) values ('mail', -20000)")
        self.becomes("events", "warn", "reader mail is ")
        d.sql("delete from reader")
        self.becomes("events", "ok")

    @unittest.skipIf(os.geteuid(), "only root can mount a small disk")
    def test_disk(self):
        d = self.d
        mirrors = d.path("state")
        self.assertEqual(d.stop_master(), 0)
        os.rename(mirrors, mirrors + ".kept")
        os.mkdir(mirrors)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "drover-test", mirrors], check=True)
        try:
            d.start_master()
            self.becomes("disk", "fail", "state has ", " MB free")
        finally:
            d.stop_master()
            wait_for(lambda: not subprocess.run(["umount", mirrors]).returncode, "the end of the helpers, which had it open")
        os.rmdir(mirrors)
        os.rename(mirrors + ".kept", mirrors)
        d.start_master()
        self.becomes("disk", "ok")
        for name in self.WORKERS:
            d.wait_worker(name)

    def test_no_master(self):
        d = self.d
        code, text, err = self.cli(socket=d.path("nowhere.sock"))
        self.assertEqual((code, err), (5, ""))
        self.assertIn(f"fail      socket: {d.path('nowhere.sock')}: No such file or directory\n          no master listens there", text)
        self.assertIn("everything else: the master was not reached", text)
        code, text, _ = self.cli("--json", socket=d.path("nowhere.sock"))
        self.assertEqual((code, json.loads(text)["level"], json.loads(text)["checks"][0]["name"]), (5, "fail", "socket"))
        d.kill_master()
        code, text, _ = self.cli()
        self.assertEqual(code, 5)
        self.assertIn("it is there, but nobody answers", text)
        if not os.geteuid():
            p = subprocess.run(["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", f"{BUILD}/drover", "doctor", "--socket", d.path("api.sock")], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
            self.assertEqual(p.returncode, 5)
            self.assertIn(b"you may not use it: adduser YOU", p.stdout)
        d.start_master()
        for name in self.WORKERS:
            d.wait_worker(name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
