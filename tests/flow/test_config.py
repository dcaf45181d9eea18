#!/usr/bin/env python3
"""The site's configuration as a running master has it: printed by programs, as versions, tried on the changes of the past."""
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import unittest

from drover import DEADLINE_S, Case, make_repo, read, wait_for


class Site(Case):
    PROJECTS = {}
    WORKERS = {"here": {"slots": 1}}

    def put(self, name, text, mode=0o644):
        path = self.d.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def activate(self):
        a = self.d.api("POST", "/config/activate", {}, timeout=2 * DEADLINE_S)
        self.assertEqual(a.status, 200, a.body)
        return a.json

    def config(self):
        return self.d.get("/status")["config"]

    def hup(self, text=b" config: version "):
        """SIGHUP, and until the log has one more such line."""
        before = read(self.d.path("master.log")).count(text)
        self.d.master.send_signal(signal.SIGHUP)
        wait_for(lambda: read(self.d.path("master.log")).count(text) > before, "the reload")


class Generated(Site):
    """include: {run: …}"""

    def setUp(self):
        for name in ("ran", "go", "slots"):
            if os.path.exists(self.d.path(name)):
                os.unlink(self.d.path(name))
        # Each run says that it began, and ends when it may.
        self.put("gen", "#!/bin/sh\necho x >>ran\n[ ! -e hold ] || { while [ ! -e go ]; do sleep 0.02; done; rm go; }\n"
                 "echo 'projects:'\ncat projects 2>/dev/null || true\n", 0o755)
        self.put("projects", "")

    def site(self, *names):
        self.put("projects", "".join(f"  {n}: {{git: {self.d.path('none')}, poll: 30d}}\n" for n in names))

    def runs(self):
        return len(read(self.d.path("ran")).split())

    def tearDown(self):
        for name in ("hold", "go"):
            if os.path.exists(self.d.path(name)):
                os.unlink(self.d.path(name))
        self.d.configure(include=[])
        self.activate()

    def names(self):
        return sorted(p["name"] for p in self.d.get("/projects")["items"])

    def test_program(self):
        self.site("one", "two")
        self.d.configure(include={"run": ["./gen"]})
        self.assertIn(("added", "one"), [(c["what"], c["name"]) for c in self.activate()["changes"]])
        self.assertEqual(self.names(), ["one", "two"])
        self.assertEqual(self.runs(), 1)
        # Whoever asks how things are makes nothing run; a look at the difference does.
        self.site("three")
        check = {c["name"]: c for c in self.d.get("/doctor")["checks"]}["configuration"]
        self.assertEqual((check["level"], self.runs()), ("ok", 1))
        diff = self.d.get("/config/diff")
        self.assertEqual(sorted((c["what"], c["name"]) for c in diff["changes"]), [("added", "three"), ("removed", "one"), ("removed", "two")])
        self.assertEqual(self.runs(), 2)
        # One that fails: everything stays, and what it wrote is told.
        self.put("gen", "#!/bin/sh\necho no inventory today >&2\nexit 4\n", 0o755)
        a = self.d.api("POST", "/config/activate", {})
        self.assertEqual((a.status, a.json["error"]["code"]), (400, "bad_config"))
        self.assertIn("the program ./gen ended with exit code 4: no inventory today", a.json["error"]["help"])
        self.assertEqual(self.names(), ["one", "two"])
        self.put("gen", "#!/bin/sh\necho 'projects:'\necho '  bad: {gti: x}'\n", 0o755)
        self.assertIn('<output of ./gen>:2:9: unknown key "gti"', self.d.api("POST", "/config/activate", {}).json["error"]["help"])

    def test_loop_goes_on(self):
        """While a program runs the master answers; who asks meanwhile waits his turn, and what he gets was read later."""
        self.site("first")
        self.d.configure(include={"run": ["./gen"]})
        self.put("hold", "")
        answers, asked = [], read(self.d.path("master.log")).count(b": /api/v1/config/activate")
        ask = lambda: answers.append(self.activate())
        threads = [threading.Thread(target=ask)]
        threads[0].start()
        wait_for(lambda: self.runs() == 1, "the program")
        begin = time.monotonic()
        for _ in range(20):
            self.config()
        self.assertLess(time.monotonic() - begin, 5)
        for _ in range(3):
            threads.append(threading.Thread(target=ask))
            threads[-1].start()
        wait_for(lambda: read(self.d.path("master.log")).count(b": /api/v1/config/activate") >= asked + 4, "the others")
        self.put("go", "")
        wait_for(lambda: len(answers) == 1 and self.runs() == 2, "the second reading")
        self.site("second")
        os.unlink(self.d.path("hold"))
        self.put("go", "")
        for t in threads:
            t.join(DEADLINE_S)
        self.assertEqual([sorted(c["name"] for c in a["changes"] if c["kind"] == "project") for a in answers[:2]], [["first"], ["first", "second"]])
        self.assertEqual([len(a["changes"]) for a in answers[2:]], [2, 2])
        self.assertEqual(self.runs(), 2)
        self.assertEqual(self.names(), ["second"])

    def test_stopped_while_it_runs(self):
        self.site("x")
        self.put("gen", f"#!/bin/sh\necho $$ >{self.d.path('pid')}; echo x >>ran\nexec sleep 300\n", 0o755)
        self.d.configure(include={"run": ["./gen"]})
        self.d.master.send_signal(signal.SIGHUP)
        wait_for(lambda: self.runs() == 1, "the program")
        pid = int(read(self.d.path("pid")))
        begin = time.monotonic()
        self.assertEqual(self.d.stop_master(), 0)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        self.d.configure(include=[])
        self.d.start_master()
        self.d.wait_worker()

    def test_not_in_a_repository(self):
        make_repo(self.d.path("evil"), {".drover.yml": "include: {run: [touch, was-here]}\nsteps: [true]\n"})
        self.d.configure(projects={"evil": {"git": self.d.path("evil"), "poll": "200ms", "first": "build"}})
        self.activate()
        change = wait_for(lambda: [c for c in self.d.get("/changes?project=evil")["items"] if c["state"] == "failed"], "the change")[0]
        self.assertIn('.drover.yml:1:1: unknown key "include" (it is a key of the site\'s configuration)', change["error"])
        self.d.configure(projects={})


if __name__ == "__main__":
    unittest.main(verbosity=2)
