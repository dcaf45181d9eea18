#!/usr/bin/env python3
"""What the service manager hears, on a real datagram socket: readiness, status, stopping; and the form of the log."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import unittest

from drover import BUILD, DEADLINE_S, Case, Failed, read, wait_for


class Manager:
    """The socket that NOTIFY_SOCKET names."""

    def __init__(self, d):
        self.path = d.path("notify.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        d.env["NOTIFY_SOCKET"] = self.path
        self.heard = []  # each message as a dict

    def next(self, seconds=DEADLINE_S):
        self.socket.settimeout(seconds)
        try:
            text = self.socket.recv(4096).decode()
        except socket.timeout:
            raise Failed(f"nothing more was told; before: {self.heard}")
        self.heard.append(dict(line.split("=", 1) for line in text.split("\n")))
        return self.heard[-1]

    def until(self, condition, what, seconds=DEADLINE_S):
        end = time.monotonic() + seconds
        while not condition(m := self.next(max(0.1, end - time.monotonic()))):
            pass
        return m

    def close(self):
        self.socket.close()


class Notify(Case):
    def managed(self):
        d = self.own({})
        manager = Manager(d)
        self.addCleanup(manager.close)
        return d, manager

    def test_ready_database_away_stopping(self):
        d, manager = self.managed()
        d.start_master(wait=False)
        first = manager.next()
        self.assertNotIn("READY", first)
        self.assertIn("PostgreSQL", first["STATUS"])
        manager.until(lambda m: m.get("READY") == "1", "READY")
        a = d.get("/status")  # it answers, and with the database
        self.assertTrue(a["database"]["up"])
        self.assertEqual(manager.heard[-1]["STATUS"], f"configuration {a['config']['version']}: 0 projects, 1 workers")
        for pid in d.postgres():
            self.assertNotIn(b"NOTIFY_SOCKET", read(f"/proc/{pid}/environ"))
        os.kill(d.postmaster(), signal.SIGKILL)
        away = manager.until(lambda m: "away" in m.get("STATUS", ""), "that the database is away")
        self.assertNotIn("READY", away)
        back = manager.until(lambda m: "configuration" in m.get("STATUS", ""), "that it is back")
        self.assertNotIn("READY", back)
        d.master.send_signal(signal.SIGTERM)
        self.assertIn("SIGTERM", manager.until(lambda m: m.get("STOPPING") == "1", "STOPPING")["STATUS"])
        self.assertEqual(d.master.wait(DEADLINE_S), 0)

    def test_a_manager_that_is_gone_stops_nothing(self):
        d, manager = self.managed()
        manager.close()
        d.start_master()
        self.assertEqual(d.stop_master(), 0)


class Log(Case):
    def test_json(self):
        d = self.own({"old": {"git": "/nowhere/\u00fcber", "poll": "100ms"}})
        d.master = d.spawn("master.log", f"{BUILD}/drover-master", "--config", d.path("master.yaml"), "--log-format", "json")
        d.wait_ready()
        wait_for(lambda: "\u00fcber".encode() in read(d.path("master.log")), "the poller's trouble")
        self.assertEqual(d.stop_master(), 0)
        lines = [json.loads(x) for x in read(d.path("master.log")).decode().splitlines()]
        for line in lines:
            self.assertEqual(sorted(line), ["area", "level", "message", "time"])
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(line["level"], ("info", "warn", "error"))
        self.assertTrue(any(x["area"] == "master" and x["message"].startswith("ready ") for x in lines))

    def test_usage(self):
        d = self.own({})
        def run(*argv):
            p = subprocess.run([f"{BUILD}/drover-master", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S, cwd="/")
            return p.returncode, p.stdout, p.stderr
        code, _, err = run("--log-format", "xml", "--check", "--config", d.path("master.yaml"))
        self.assertEqual((code, err), (2, "drover-master: no log format xml\n"))
        if not os.path.exists("/etc/drover/master.yaml"):
            code, _, err = run("--check")
            self.assertEqual(code, 2)
            self.assertIn("/etc/drover/master.yaml: can't be read", err)
        self.assertRegex(run("--help")[1], re.compile(r"default /etc/drover/master\.yaml"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
