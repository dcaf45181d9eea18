#!/usr/bin/env python3
"""Backup, verify, restore: taken while builds run, broken in every way, put back on another host under the same workers."""
import glob
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, Drover, link_of, make_repo, pids, read, sha, wait_for  # noqa: E402

SUCCESS = 0
AFTER = 20  # builds after the backup
STREAM_LINES = 40000
# Numbered lines until a file is there, some of them before the backup and some behind it.
STREAM = f"""
import os, sys, time
for i in range({STREAM_LINES}):
    print("line %08d of the stream" % i, flush=i % 1000 == 0)
    if i == {STREAM_LINES} // 2:
        sys.stdout.flush()
        while not os.path.exists(sys.argv[1]): time.sleep(0.02)
"""


def pipeline(root):
    return {"builders": {"nonce": {"checkout": "none", "steps": [{"name": "s1", "run": ["cat", root + "/nonce"]}]},
                         "stream": {"checkout": "none", "steps": [{"name": "s1", "run": ["python3", "-c", STREAM, root + "/go"]}]},
                         "noise": {"checkout": "none", "steps": [{"name": "s1", "run": ["head", "-c", "3000000", "/dev/urandom"]}]}}}


class Site(Drover):
    """Its configuration has relative places, a conf.d and a file of its own for the pipeline, so that it can be put elsewhere as it is."""

    def __init__(self, uid=None, fill=True, **more):
        self.uid = uid
        super().__init__({}, {"here": {"slots": 4}, "two": {"slots": 2}}, **more)
        if uid is not None:
            os.chown(self.root, uid, uid)
        if fill:
            self.write()

    def write(self):
        root = self.path()
        make_repo(self.path("repo"), {"a": "a"})
        self.configure(state="state", database={"folder": "pg"}, listen={"socket": "api.sock", "api": "none", "workers": f"127.0.0.1:{self.port}", "workers_socket": "w.sock"})
        os.mkdir(self.path("conf.d"))
        with open(self.path("conf.d", "p.yaml"), "w") as f:
            json.dump({"projects": {"p": {"git": self.path("repo"), "poll": "1h", "pipeline": "../p.pipeline.yml"}}}, f)
        with open(self.path("p.pipeline.yml"), "w") as f:
            json.dump(pipeline(root), f)

    def configure(self, **change):
        super().configure(**change)
        if not self.conf["projects"]:
            del self.conf["projects"]
            super().configure()
            self.conf["projects"] = {}

    def spawn(self, log, *argv, env=None):
        if self.uid is None:
            return super().spawn(log, *argv, env=env)
        with open(self.path(log), "ab") as f:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f, start_new_session=True, cwd=self.root, env=env or self.env,
                                    user=self.uid, group=self.uid, extra_groups=[])

    def verb(self, name, *argv, code=0, uid=None, config=True):
        """The verb to its end: what it printed, both ways."""
        who = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        p = subprocess.run([f"{BUILD}/drover-master", name, *argv, *(["--config", self.path("master.yaml")] if config else [])], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, env=self.env, cwd=self.root, timeout=120, **who)
        text = p.stdout.decode()
        if p.returncode != code:
            raise AssertionError(f"{name} {argv}: exit {p.returncode}, {code} expected\n{text}")
        return text

    def nonce(self, text):
        with open(self.path("nonce"), "w") as f:
            f.write(text)


class Base(Case):
    def site(self, *a, **kw):
        self.owned.append(Site(*a, **kw))
        return self.owned[-1]

    def stop(self, d):
        for name in list(d.agents):
            if d.agents[name].poll() is None:
                self.assertEqual(d.kill_worker(name, sig=signal.SIGTERM), 0)
        self.assertEqual(d.stop_master(), 0)

    def programs(self, d, *names):
        """PostgreSQL's programs that are connected to d's database."""
        sock = (d.lock_file() + [""] * 5)[4] or "nowhere"
        return [p for p in pids() if os.path.basename(link_of(p, "exe")) in names and sock in read(f"/proc/{p}/cmdline").decode()]


class Folders(Base):
    """One site, backed up again and again."""

    @classmethod
    def setUpClass(cls):
        cls.d = Site()
        cls.d.up()
        cls.d.run("p/noise")

    def setUp(self):
        for name in ("b", "b.partial"):
            shutil.rmtree(self.d.path(name), ignore_errors=True)

    def test_folders(self):
        d = self.d
        os.mkdir(d.path("full"))
        open(d.path("full", "x"), "w").close()
        self.assertIn("is there already and not an empty folder", d.verb("backup", d.path("full"), code=1))
        self.assertEqual(os.listdir(d.path("full")), ["x"])
        self.assertIn("No such file or directory", d.verb("backup", d.path("no", "b"), code=1))
        os.mkdir(d.path("empty"))
        d.verb("backup", d.path("empty") + "/")
        self.assertIn("manifest.json", os.listdir(d.path("empty")))
        self.assertIn("usage:", d.verb("backup", code=2))
        self.assertIn("takes no --force", d.verb("backup", d.path("b"), "--force", code=2))
        self.assertEqual(d.stop_master(), 0)
        d.verb("backup", d.path("b"))  # no master: the database is started for it
        self.assertEqual(d.postgres(), [])
        os.rename(d.path("pg"), d.path("pg.away"))
        self.assertIn("there is no database in", d.verb("backup", d.path("c"), code=1))
        self.assertFalse(os.path.exists(d.path("pg", "data")))
        self.assertFalse(os.path.exists(d.path("c.partial")))
        os.rmdir(d.path("pg"))
        os.rename(d.path("pg.away"), d.path("pg"))
        d.start_master()

    def test_damage(self):
        """One byte of any file, a missing file, a cut one: found, and not put back."""
        d = self.d
        d.verb("backup", d.path("b"))
        files = [os.path.join(at, n) for at, _, names in os.walk(d.path("b")) for n in names]
        self.assertGreaterEqual(len(files), 7)
        for path in files:
            whole = read(path)
            for broken in (whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:], whole[:-1], None):
                os.unlink(path)
                if broken is not None:
                    with open(path, "wb") as f:
                        f.write(broken)
                text = d.verb("verify", d.path("b"), code=1)
                self.assertIn("manifest" if path.endswith("manifest.sha256") else os.path.basename(path), text)
                if path.endswith("database.dump"):
                    self.assertEqual(d.verb("restore", d.path("b"), code=1).replace("restore", "verify"), text)
                with open(path, "wb") as f:
                    f.write(whole)
        d.verb("verify", d.path("b"))

    def test_a_dump_that_lies(self):
        """Sums that are right for a dump that is not the one counted: the rows tell."""
        d = self.d
        d.verb("backup", d.path("b"))
        manifest = json.loads(read(d.path("b", "manifest.json")))
        manifest["tables"]["build"] += 1
        text = json.dumps(manifest)
        with open(d.path("b", "manifest.json"), "w") as f:
            f.write(text)
        with open(d.path("b", "manifest.sha256"), "w") as f:
            f.write(f"{sha(text.encode())}  manifest.json\n")
        self.assertIn("table build has 1 rows in the dump, 2 were counted", d.verb("verify", d.path("b"), code=1))

    def blocked(self, d, table, *argv):
        """A backup that waits for a lock on a table, and the session that holds it."""
        holder = subprocess.Popen(d.psql_argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        holder.stdin.write(f"begin; lock table {table} in access exclusive mode; select 'locked';\n".encode())
        holder.stdin.flush()
        self.assertEqual(holder.stdout.readline(), b"locked\n")
        b = d.spawn("backup.log", f"{BUILD}/drover-master", "backup", d.path("b"), *argv, "--config", d.path("master.yaml"))
        wait_for(lambda: d.sql("select 1 from pg_stat_activity where wait_event_type = 'Lock'"), "the backup at the lock")
        return b, holder

    def release(self, holder):
        holder.stdin.close()
        self.assertEqual(holder.wait(DEADLINE_S), 0)
        holder.stdout.close()

    def test_killed(self):
        d = self.d
        before = d.sql("select count(*) from backup")
        for table, argv, dumping in (("builder", (), False), ("log_chunk", ("--no-logs",), True)):
            for number in (signal.SIGKILL, signal.SIGTERM):
                b, holder = self.blocked(d, table, *argv)
                self.assertTrue(os.path.isdir(d.path("b.partial")))
                self.assertEqual(bool(self.programs(d, "pg_dump")), dumping)
                self.assertIn("another backup is being written", d.verb("backup", d.path("b"), code=1))
                if dumping or number == signal.SIGKILL:
                    b.send_signal(number)
                    self.assertEqual(b.wait(DEADLINE_S), -number if number == signal.SIGKILL else 1)
                    wait_for(lambda: not self.programs(d, "pg_dump"), "the end of pg_dump")
                    self.release(holder)
                else:
                    b.send_signal(number)
                    self.release(holder)  # a statement of ours ends first
                    self.assertEqual(b.wait(DEADLINE_S), 1)
                self.assertFalse(os.path.exists(d.path("b")))
                self.assertEqual(os.path.exists(d.path("b.partial")), number == signal.SIGKILL)
        self.assertEqual(d.sql("select count(*) from backup"), before)
        d.nonce("x")
        self.assertEqual(d.log(d.run("p/nonce")["id"], "s1"), b"x")
        d.verb("backup", d.path("b"))
        self.assertFalse(os.path.exists(d.path("b.partial")))

    def test_output_goes_on_beside_a_reader(self):
        """A new partition while a backup reads the old ones: waits for nobody."""
        d = self.d
        holder = subprocess.Popen(d.psql_argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        holder.stdin.write(b"begin; lock table log_chunk in access share mode; select 'locked';\n")
        holder.stdin.flush()
        self.assertEqual(holder.stdout.readline(), b"locked\n")
        before = int(d.sql("select max(n) from log_partition")[0][0])
        d.sql("set lock_timeout = 2000; select log_roll('0 seconds', 1)")
        self.assertEqual(int(d.sql("select max(n) from log_partition")[0][0]), before + 1)
        self.release(holder)
        self.assertEqual(d.sql("select count(*) from pg_index i where i.indrelid = (select max(c.oid) from pg_class c where c.relname like 'log\\_chunk\\__') and i.indisprimary"), [["1"]])

    def test_disk_full(self):
        d = self.d
        os.mkdir(d.path("small"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "drover-test", d.path("small")], check=True)
        try:
            text = d.verb("backup", d.path("small", "b"), code=1)
            self.assertIn("No space left on device", text)
            self.assertEqual(os.listdir(d.path("small")), [])
            d.verb("backup", d.path("small", "b"), "--no-logs")
            self.assertEqual(os.listdir(d.path("small")), ["b"])
            self.assertIn("is where a disk is mounted", d.verb("backup", self.emptied(d.path("small")), code=1))
        finally:
            subprocess.run(["umount", d.path("small")], check=True)

    def emptied(self, path):
        for name in os.listdir(path):
            shutil.rmtree(os.path.join(path, name))
        return path


class Restores(Base):
    def test_the_same_workers_on_another_host(self):
        """Backup, 20 builds, restore, same workers: every log its own, no worker needs a token. And the same backup put back once more."""
        d = self.site(tcp=True).up()
        d.nonce("before")
        old = [d.run("p/nonce")["id"] for _ in range(3)]
        streaming = d.ask("p/stream")
        d.wait_build(streaming, lambda b: any(x["length"] for s in b["steps"] for x in s["logs"]), "output")
        text = d.verb("backup", d.path("b1"))
        self.assertRegex(text, r"^database \d\S* [KM]?B, logs \d\S* [KM]?B \(--no-logs to leave them out\), 1 key, configuration 1; verified, [0-9.]+ s\n$")
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
        self.move(d, d2, "b1", 2)
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

        d3 = self.site(fill=False)  # and that host burnt too: the same backup, the same incarnation, other numbers
        self.move(d, d3, "b1", 2)
        self.new_builds(d3, "again")
        self.assertGreater(int(d3.sql("select min(id) from command where inc = 2")[0][0]), high)
        self.assertNotIn(b"refused", read(d2.path("master.log")) + read(d3.path("master.log")))
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
