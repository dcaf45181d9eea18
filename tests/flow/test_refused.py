#!/usr/bin/env python3
"""The database is there and refuses (a disk that is full, a statement that takes too long): what it refused is tried again, by the worker coming again, and no build stands still or is lost for it."""
import os
import sys
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import wire  # noqa: E402
from drover import Case, make_repo, read, wait_for  # noqa: E402
from fakeworker import FakeWorker  # noqa: E402

SUCCESS = 0
DATA = b"line\n"
ONE = {"checkout": "none", "worker": {"tags": ["told"]}, "steps": [{"name": "s1", "run": ["true"]}]}
REFUSE = "create or replace function refuse() returns trigger language plpgsql as $$ begin raise exception 'no room' using errcode = '53100'; end $$; create trigger refuse before {} on {} for each row execute function refuse()"


class Refused(Case):
    WORKERS = {"here": {"slots": 1, "tags": ["other"]}}
    PROJECTS = {"p": {"poll": "1h", "builders": {"one": ONE}}}
    conn = 0

    @classmethod
    def prepare(cls):
        make_repo(cls.d.path("repo"), {"README": "x"})
        cls.d.configure(projects={"p": {**cls.PROJECTS["p"], "git": cls.d.path("repo")}})

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.d.workers["told"] = {"slots": 1, "tags": ["told"]}  # no program is started for it

    def dial(self):
        Refused.conn += 1
        w = FakeWorker(self.d.path("w.sock"), read(self.d.token("told")).decode(), conn=Refused.conn)
        self.addCleanup(w.close)
        return w

    def begin(self):
        w = self.dial().ready()
        rid = self.d.ask("one")
        cmd, epoch, _ = w.command()
        return w, rid, cmd, epoch

    def all_at_once(self, w, cmd, epoch):
        """Its output and its end in one piece, so that the second does not wait for what becomes of the first."""
        w.raw(wire.out(cmd, 0, 0, DATA, [(0, len(DATA), 0)]).encode() + wire.Message("exit", (cmd, epoch, "exited", 0, "-", len(DATA), f"{zlib.crc32(DATA):08x}", 1, 1, 1, 1, 1)).encode())

    def end(self, w, rid, cmd, epoch):
        self.all_at_once(w, cmd, epoch)
        w.next("forget")
        r = self.d.wait_request(rid)
        self.assertEqual((r["result"], len(r["builds"])), (SUCCESS, 1))

    def refuse(self, what, table):
        self.d.sql(REFUSE.format(what, table))
        self.addCleanup(lambda: self.d.sql(f"drop trigger if exists refuse on {table}"))

    def taken_up(self, cmd):
        """On a new link: the command goes on where its log ends."""
        w = self.dial()
        self.assertEqual(w.next("welcome", "busy", "no")[0], "welcome")
        w.send("have", cmd, "1-1", "running", 0, 0, len(DATA))
        w.send("listed", 1)
        _, (_, epoch, _, off, _), _ = w.next("resume")
        self.assertEqual(off, "0")
        return w, epoch

    def test_output(self):
        w, rid, cmd, _ = self.begin()
        self.refuse("insert", "log_chunk")
        w.out(cmd, DATA)
        self.assertEqual(w.next("bye", "ack")[:2], ("bye", ["database"]))
        self.d.sql("drop trigger refuse on log_chunk")
        w, epoch = self.taken_up(cmd)
        self.end(w, rid, cmd, epoch)

    def test_output_and_not_the_end_behind_it(self):
        """They are two transactions. The end does not count without the output."""
        w, rid, cmd, epoch = self.begin()
        self.refuse("insert", "log_chunk")
        self.all_at_once(w, cmd, epoch)
        self.assertEqual(w.next("bye", "forget")[:2], ("bye", ["database"]))
        self.d.sql("drop trigger refuse on log_chunk")
        w, epoch = self.taken_up(cmd)
        self.end(w, rid, cmd, epoch)
        self.assertEqual(self.d.log(self.d.request(rid)["builds"][0], "s1"), DATA)

    def test_taking_over_again(self):
        """After an outage the worker, which is still there, is to be taken over."""
        w, rid, cmd, _ = self.begin()
        self.refuse("update", "worker_session")
        self.d.sql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()")
        self.assertEqual(w.next("bye", "inventory")[:2], ("bye", ["database"]))
        self.d.sql("drop trigger refuse on worker_session")
        w, epoch = self.taken_up(cmd)
        self.end(w, rid, cmd, epoch)

    def test_reading_what_is_to_be_sent_again(self):
        w, rid, cmd, _ = self.begin()
        w.close()
        self.d.sql("alter table log_chunk rename to hidden")
        try:
            self.assertEqual(self.dial().next("welcome", "busy", "no")[0], "busy")
        finally:
            self.d.sql("alter table hidden rename to log_chunk")
        w = self.dial().ready()
        again, epoch, _ = w.command()
        self.assertEqual(again, cmd)
        self.end(w, rid, cmd, epoch)

    def test_an_end(self):
        """What follows from it is refused, and so is giving the build up: nobody forgets it."""
        w, rid, cmd, epoch = self.begin()
        self.refuse("update", "build")
        w.out(cmd, DATA)
        w.next("ack")
        w.exit(cmd, epoch, length=len(DATA), crc=f"{zlib.crc32(DATA):08x}", lines=1)
        self.assertEqual(w.next("bye", "forget")[:2], ("bye", ["database"]))
        self.assertEqual(wait_for(lambda: self.dial().next("welcome", "busy", "no")[0], "an answer"), "busy")
        self.d.sql("drop trigger refuse on build")
        w = self.dial()
        w.next("welcome")
        w.send("have", cmd, "1-1", "done", 0, 0, len(DATA))
        w.send("listed", 1)
        _, (_, epoch, _, off, _), _ = w.next("resume")
        self.assertEqual(off, str(len(DATA)))
        self.assertEqual(w.next("ack")[1][:3], [cmd, "0", off])  # the ack may have been lost with the link, and there may be nothing more to ack
        w.exit(cmd, epoch, length=len(DATA), crc=f"{zlib.crc32(DATA):08x}", lines=1)
        w.next("forget")
        self.assertEqual(self.d.wait_request(rid)["result"], SUCCESS)


if __name__ == "__main__":
    unittest.main()
