#!/usr/bin/env python3
"""Restore and upgrade-db: put back on another host under the same workers, over what is there, by other users, onto another PostgreSQL."""
import glob
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from backupsite import STREAM_LINES, Base  # noqa: E402
from drover import BUILD, DEADLINE_S, read, slow, wait_for  # noqa: E402


SUCCESS = 0
AFTER = 20  # builds after the backup


class Restores(Base):
    def test_the_same_workers_on_another_host(self):
        """Backup, 20 builds, restore, same workers: every log its own, no worker needs a token. And the same backup put back once more."""
        d = self.site(tcp=True).up()
        d.nonce("before")
        old = [d.run("p/nonce")["id"] for _ in range(3)]
        streaming = d.ask("p/stream")
        d.wait_build(streaming, lambda b: any(x["length"] for s in b["steps"] for x in s["logs"]), "output")
        d.post("/secrets", {"name": "kept", "value": "only the key opens it"}, 201)
        text = d.verb("backup", d.path("b1"))
        self.assertRegex(text, r"^database \d\S* [KM]?B, logs \d\S* [KM]?B \(--no-logs to leave them out\), 2 keys, configuration 1; verified, [0-9.]+ s\n$")
        self.assertEqual(stat.S_IMODE(os.stat(d.path("b1")).st_mode), 0o700)
        for path in glob.glob(d.path("b1", "**"), recursive=True):
            self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)
        self.assertIn("all as written", d.verb("verify", d.path("b1")))
        self.assertEqual(d.sql("select place, logs, bytes > 1000 from backup"), [[d.path("b1"), "t", "t"]])
        d.nonce("after")
        after = [d.run("p/nonce")["id"] for _ in range(AFTER)]
        open(d.path("go"), "w").close()
        d.wait_request(streaming)
        self.assertEqual(d.stop_master(), 0)  # workers stay, and look for a master

        d2 = self.site(fill=False)
        d2.start_master()  # as a package does when it is installed: a drover that nobody would miss
        self.assertEqual(d2.stop_master(), 0)
        self.move(d, d2, "b1", 2)
        key = d2.path("state", "keys", "site.key")
        self.assertEqual((read(key), stat.S_IMODE(os.stat(key).st_mode)), (read(d.path("state", "keys", "site.key")), 0o600))
        self.assertEqual(d2.post("/site-key/rotate"), {"key": d2.sql("select key from secret")[0][0], "secrets": 1, "unreadable": []})
        status = d2.get("/status")
        self.assertEqual(status["incarnation"], 2)
        for b in old:
            self.assertEqual(d2.log(b, "s1"), b"before")
        for b in after:
            self.assertEqual(d2.api("GET", f"/builds/{b}").status, 404)
        self.new_builds(d2, "restored")
        r = d2.wait_request(streaming)
        self.assertEqual(r["result"], SUCCESS)
        self.assertEqual(d2.log(r["builds"][-1], "s1"), b"".join(b"line %08d of the stream\n" % i for i in range(STREAM_LINES)))
        self.assertEqual(d2.sql("select count(*) from command where inc > 2"), [["0"]])
        high = int(d2.sql("select max(id) from command")[0][0])
        self.assertEqual(d2.stop_master(), 0)
        self.assertNotIn(b"refused", read(d2.path("master.log")))
        if os.environ.get("DROVER_SOAK"):
            self.and_another(d, high)

    def and_another(self, d, high):
        d3 = self.site(fill=False)  # and that host burnt too: the same backup, the same incarnation, other numbers
        self.move(d, d3, "b1", 2)
        self.new_builds(d3, "again")
        self.assertGreater(int(d3.sql("select min(id) from command where inc = 2")[0][0]), high)
        self.assertNotIn(b"refused", read(d3.path("master.log")))
        cluster = d3.get("/status")["cluster"]
        self.assertEqual(d3.stop_master(), 0)
        self.an_older_one(d3, cluster)

    def an_older_one(self, d3, cluster):
        """Workers that have seen a higher incarnation than a backup's leave its master alone, which says what to do."""
        self.assertIn("incarnation 1 \u2192 7", d3.verb("restore", d3.path("backup"), "--replace", cluster, "--above", "6"))
        d3.start_master()
        self.new_builds(d3, "third")
        self.assertEqual(d3.stop_master(), 0)
        shutil.rmtree(d3.path("pg"))
        d3.verb("restore", d3.path("backup"))
        d3.start_master()
        wait_for(lambda: b"worked under incarnation 7 of this cluster, the database is at 2" in read(d3.path("master.log")), "the master's word about it")
        self.assertIn(b"drover-master restore DIR --above 7", read(d3.path("master.log")))
        self.stop(d3)

    def move(self, d, to, backup, incarnation):
        """Puts d's backup back into another folder, on d's port, and waits for d's workers there."""
        os.unlink(to.path("master.yaml"))
        to.port = d.port
        shutil.copytree(d.path(backup), to.path("backup"))
        text = to.verb("restore", to.path("backup"))
        for name in ("master.yaml", "conf.d/p.yaml", "p.pipeline.yml"):
            self.assertIn("wrote " + to.path(name), text)
            self.assertEqual(read(to.path(name)), read(d.path(name)))
        self.assertIn(f"incarnation 1 → {incarnation} · 2 workers will find 127.0.0.1 here without new tokens", text)
        to.start_master()
        for name in d.agents:
            to.wait_worker(name)

    def new_builds(self, d2, text):
        source = d2.sql("select body from pipeline limit 1")  # the pipeline names the first host's folder
        root = os.path.dirname(json.loads(bytes.fromhex(source[0][0][2:]))["builders"]["nonce"]["steps"][0]["run"][1])
        with open(root + "/nonce", "w") as f:
            f.write(text)
        for _ in range(8):
            b = d2.run("p/nonce")
            self.assertEqual((b["result"], d2.log(b["id"], "s1")), (SUCCESS, text.encode()))

    def test_over_what_is_there(self):
        d = self.site().up()
        d.nonce("one")
        kept = d.run("p/nonce")["id"]
        d.verb("backup", d.path("b"))
        d.nonce("two")
        lost = [d.run("p/nonce")["id"] for _ in range(4)]
        self.assertIn("a master runs on the state folder", d.verb("restore", d.path("b"), code=3))
        cluster = d.get("/status")["cluster"]
        self.assertEqual(d.stop_master(), 0)
        for argv, words in ((("restore", d.path("b")), f"there is a drover in that database already, cluster {cluster} with 5 builds: nothing was changed"),
                            (("restore", d.path("b"), "--force"), f"would destroy cluster {cluster} (incarnation 1) with its 5 builds, their logs, and the tokens of 2 workers; to do it, add: --replace {cluster}"),
                            (("restore", d.path("b"), "--replace", "0" * 32), "nothing was changed")):
            self.assertIn(words, d.verb(*argv, code=1))
        text = d.verb("restore", d.path("b"), "--force", "--replace", cluster)
        self.assertIn("kept " + d.path("master.yaml"), text)
        self.assertIn("incarnation 1 → 2", text)
        self.assertIn("4 builds after the backup are unknown: workers are told to forget them", text)
        self.assertEqual(d.postgres(), [])  # it ran for the restore only
        d.start_master()
        for name in d.agents:
            d.wait_worker(name)
        self.assertEqual(d.log(kept, "s1"), b"one")
        self.assertEqual(d.api("GET", f"/builds/{lost[-1]}").status, 404)
        d.nonce("three")
        b = d.run("p/nonce")
        self.assertEqual((b["id"], d.log(b["id"], "s1")), (lost[0], b"three"))
        self.without_logs(d, cluster)
        self.stop(d)

    def without_logs(self, d, cluster):
        b = d.run("p/noise")["id"]
        self.assertIn("logs left out", d.verb("backup", d.path("n"), "--no-logs"))
        self.assertNotIn("logs.dump", os.listdir(d.path("n")))
        self.assertLess(sum(os.path.getsize(x) for x in glob.glob(d.path("n", "*"))), 1000000)
        d.verb("verify", d.path("n"))
        self.assertEqual(d.stop_master(), 0)
        self.assertIn("logs are not in this backup", d.verb("restore", d.path("n"), "--replace", cluster))
        d.start_master()
        for name in d.agents:
            d.wait_worker(name)
        a = d.api("GET", f"/builds/{b}/logs/s1")
        self.assertEqual((a.status, a.json["error"]["code"]), (410, "gone"))
        self.assertIn("not in the backup of ", a.json["error"]["message"])
        p = subprocess.run([f"{BUILD}/drover", "log", "noise/last"], env={**os.environ, "DROVER_SOCKET": d.path("api.sock")}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertIn(b"not in the backup of ", p.stdout)
        d.nonce("here")
        self.assertEqual(d.log(d.run("p/nonce")["id"], "s1"), b"here")

    @slow
    def test_restore_breaks_off(self):
        """Killed, or without space, in the middle: the database is as it was, and the next try works."""
        d = self.site().up()
        d.run("p/noise")
        d.verb("backup", d.path("b"))
        self.stop(d)
        d2 = self.site(fill=False)
        r = subprocess.Popen([f"{BUILD}/drover-master", "restore", d.path("b"), "--config", d2.path("master.yaml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=d2.env)
        wait_for(lambda: self.programs(d2, "psql"), "psql", every=0.001)
        r.kill()
        r.wait(DEADLINE_S)
        wait_for(lambda: not self.programs(d2, "psql"), "the end of psql")
        d2.verb("restore", d.path("b"))
        d2.start_master()
        self.assertEqual(d2.get("/status")["incarnation"], 2)
        self.assertEqual(d2.stop_master(), 0)

    @unittest.skipIf(os.geteuid(), "only root can be others")
    @slow
    def test_other_users(self):
        """A master that runs as somebody: they and root can back up and restore; the cluster stays theirs."""
        uid = pwd.getpwnam("nobody").pw_uid
        d = self.site(uid=uid)
        os.mkdir(d.path("theirs"))
        os.chown(d.path("theirs"), uid, uid)
        d.start_master()
        cluster = d.get("/status")["cluster"]
        d.verb("backup", d.path("theirs", "b"), uid=uid)
        d.verb("backup", d.path("b"))
        self.assertEqual((os.stat(d.path("b")).st_uid, os.stat(d.path("theirs", "b")).st_uid), (0, uid))
        d.verb("verify", d.path("theirs", "b"), uid=uid)
        other = pwd.getpwnam("postgres").pw_uid
        self.assertIn("Permission denied", d.verb("verify", d.path("b"), uid=other, code=1))
        self.assertEqual(d.stop_master(), 0)
        d.verb("restore", d.path("theirs", "b"), "--replace", cluster, uid=uid)
        d.verb("restore", d.path("b"), "--replace", cluster)
        for at, folders, names in os.walk(d.path("pg")):
            for name in folders + names:
                self.assertEqual(os.lstat(os.path.join(at, name)).st_uid, uid, name)
        d.start_master()
        self.assertEqual(d.get("/status")["incarnation"], 3)
        self.assertEqual(d.stop_master(), 0)
        d2 = self.site(uid=uid, fill=False)  # a fresh host, as the packages leave it: the state folder is the service's
        d2.configure(state="state", database={"folder": "state/pg"})
        os.mkdir(d2.path("state"))
        os.chown(d2.path("state"), uid, uid)
        d2.verb("restore", d.path("b"))
        d2.start_master()
        self.assertEqual(d2.get("/status")["incarnation"], 2)
        self.assertEqual(d2.stop_master(), 0)


class Upgrades(Base):
    """Another major version of PostgreSQL is rarely at hand; pg_upgrade also goes from one version to itself, which is every step of ours for real."""

    def bindir(self, d):
        return os.path.dirname(os.readlink(f"/proc/{d.postmaster()}/exe"))

    @slow
    def test_upgrade(self):
        d = self.site().up()
        bindir = self.bindir(d)
        both = ("--from", bindir, "--to", bindir)
        major = int(read(d.path("pg/data/PG_VERSION")))
        d.nonce("kept")
        b = d.run("p/nonce")["id"]
        with open(d.path("pg/data/local.conf"), "a") as f:
            f.write("work_mem = '5MB'\n")
        system = d.sql("select system_identifier from pg_control_system()")
        self.assertIn("a master runs on the state folder", d.verb("upgrade-db", *both, code=3))
        d.kill_master()  # and leaves PostgreSQL running
        self.assertIn("PostgreSQL runs on ", d.verb("upgrade-db", *both, code=1))
        d.start_master()
        self.assertEqual(d.stop_master(), 0)
        text = d.verb("upgrade-db")
        self.assertIn(f"the database is of PostgreSQL {major}, and no newer one is installed: nothing to do", text)
        self.assertIn("finds nothing in the way", d.verb("upgrade-db", "--check", *both))
        self.assertEqual(sorted(os.listdir(d.path("pg"))), ["data", "postgres.log"])
        self.assertIn("done in", d.verb("upgrade-db", *both))
        kept = f"data.old-{major}"
        self.assertEqual(sorted(os.listdir(d.path("pg"))), ["data", kept, "postgres.log"])
        self.assertIn("of an upgrade before: remove it first", d.verb("upgrade-db", *both, code=1))
        shutil.rmtree(d.path("pg", kept))
        d.start_master()
        for name in d.agents:
            d.wait_worker(name)
        self.assertEqual(d.get("/status")["incarnation"], 1)  # it is no copy
        self.assertNotEqual(d.sql("select system_identifier from pg_control_system()"), system)
        self.assertEqual(d.sql("show work_mem"), [["5MB"]])
        self.assertEqual(d.log(b, "s1"), b"kept")
        d.nonce("new")
        self.assertEqual(d.log(d.run("p/nonce")["id"], "s1"), b"new")
        self.stop(d)
        self.refusals(d, major, bindir)

    def refusals(self, d, major, bindir):
        """A cluster of a version that is not here: neither the master nor upgrade-db touches it; both say what to type."""
        path = d.path("pg/data/PG_VERSION")
        with open(path, "r+") as f:
            f.write("12\n")
        d.start_master(wait=False)
        self.assertEqual(d.master.wait(DEADLINE_S), 1)
        text = read(d.path("master.log")).decode()
        self.assertIn(f"was made by PostgreSQL 12, installed is only {major}", text)
        self.assertIn("`apt-get install postgresql-12`", text)
        self.assertIn("`drover-master upgrade-db`", text)
        text = d.verb("upgrade-db", code=1)
        self.assertIn("pg_upgrade needs the programs of PostgreSQL 12 too", text)
        self.assertIn("`apt-get install postgresql-12`", text)
        self.assertIn("`drover-master backup DIR`", text)
        self.assertIn("was made by PostgreSQL 12", d.verb("backup", d.path("b"), code=1))
        with open(path, "r+") as f:
            f.write("99\n")
        self.assertIn(f"of PostgreSQL 99, the newest that is installed is {major}", d.verb("upgrade-db", code=1))
        with open(path, "r+") as f:
            f.write(f"{major}\n")
        os.chmod(d.path("pg/data/global/pg_control"), 0)  # pg_upgrade refuses: the old cluster stays the database
        self.assertIn("pg_upgrade refused: ", d.verb("upgrade-db", "--from", bindir, "--to", bindir, code=1))
        self.assertEqual(sorted(os.listdir(d.path("pg"))), ["data", "postgres.log"])
        os.chmod(d.path("pg/data/global/pg_control"), 0o600)
        d.configure(database="host=/nowhere dbname=x")
        self.assertIn("names a server that is not drover's", d.verb("upgrade-db", code=2))


if __name__ == "__main__":
    unittest.main(verbosity=2)
