#!/usr/bin/env python3
"""Backup and verify: taken while a master runs, broken off in every way, damaged in every file."""
import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from backupsite import Base, Site  # noqa: E402
from drover import BUILD, DEADLINE_S, read, sha, wait_for  # noqa: E402


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
            flipped = whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:]
            for broken in (flipped, whole[:-1], None) if path.endswith(".dump") else (flipped, None):
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
        wait_for(lambda: d.sql("select 1 from pg_stat_activity where wait_event_type = 'Lock' and application_name in ('drover backup', 'pg_dump')"), "the backup at the lock")
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
        d.sql("set lock_timeout = '20s'; select log_roll('0 seconds', 1)")
        self.assertEqual(int(d.sql("select max(n) from log_partition")[0][0]), before + 1)
        self.release(holder)
        self.assertEqual(d.sql("select count(*) from pg_index i where i.indrelid = (select max(c.oid) from pg_class c where c.relname like 'log\\_chunk\\__') and i.indisprimary"), [["1"]])

    @unittest.skipIf(os.geteuid(), "only root can mount a small disk")
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
