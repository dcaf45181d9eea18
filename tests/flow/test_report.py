#!/usr/bin/env python3
"""What a command reports in the folder DROVER_REPORT: properties, a summary, links; over the master's death; and reports that mean no good."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, make_repo, read, wait_for  # noqa: E402

SUCCESS, WARNINGS, FAILURE, SKIPPED, EXCEPTION, RETRY, CANCELLED = range(7)
SECRET = "a-secret-that-nobody-may-see"

HOSTILE = {
    "many": ('cd "$DROVER_REPORT" && seq 100000 | xargs touch && echo x=1 >properties', "there are more than 64 files in it"),
    "large": ('truncate -s 1G "$DROVER_REPORT/summary"', "summary is longer than 61440 bytes"),
    "link": ('ln -s /etc/passwd "$DROVER_REPORT/summary"', "summary is no plain file"),
    "fifo": ('mkfifo "$DROVER_REPORT/properties"', "properties is no plain file"),
    "folder": ('mkdir "$DROVER_REPORT/links"', "links is no plain file"),
    "nul": (r'printf "a=b\000c" >"$DROVER_REPORT/properties"', "properties has a NUL in it"),
    "utf8": (r'printf "bad \377" >"$DROVER_REPORT/summary"', "it is no UTF-8"),
    "script": ('echo "x javascript:alert(1)" >"$DROVER_REPORT/links"', "links, line 1: a name and an http or https address are wanted"),
    "taken": ('echo got_revision=1234567 >"$DROVER_REPORT/properties"', "the property got_revision is the checkout's"),
    "elsewhere": ('rmdir "$DROVER_REPORT" && ln -s /etc "$DROVER_REPORT"', None),
    "dots": ('cd "$DROVER_REPORT" && touch ..x "...summary" "$(printf "a\\nb")"', None),
}


def pipeline(root):
    told = {"checkout": "none", "steps": [
        {"name": "tell", "run": 'cd "$DROVER_REPORT"; echo "version=1.2 beta" >properties; echo \'{"n": 42, "list": ["a", 2], "full": true}\' >properties.json; '
                                'printf "3 tests left out\\nmore\\n" >summary; printf "coverage https://x.example/c\\n" >links'},
        {"name": "see", "run": f'echo "$DROVER_PROPERTY_version $DROVER_PROPERTY_n" >{root}/saw; ls "$DROVER_REPORT" | wc -l >>{root}/saw'},
        {"name": "full", "if": "properties.full and properties.n > 41", "run": ["true", "${{ properties.version }}"]},
        {"name": "never", "if": "properties.n > 42", "run": "false"}]}
    fails = {"checkout": "none", "steps": [{"name": "test", "run": 'echo "3 of 40 failed" >"$DROVER_REPORT/summary"; exit 7'}]}
    waits = {"checkout": "none", "steps": [{"name": "tell", "run": f'echo when=before >"$DROVER_REPORT/properties"; while [ -e {root}/hold ]; do sleep 0.02; done'},
                                           {"name": "see", "run": f'echo "$DROVER_PROPERTY_when" >{root}/saw'}]}
    keeps = {"checkout": "none", "steps": [{"name": "tell", "secrets": {"X": "deploy"}, "run": 'echo "said $X" >"$DROVER_REPORT/summary"; echo "p=$X" >"$DROVER_REPORT/properties"'}]}
    hands = {"checkout": "none", "steps": [{"name": "tell", "run": 'echo version=7 >"$DROVER_REPORT/properties"'}, {"trigger": {"builders": "gets", "wait": True, "copy": "version"}}]}
    gets = {"checkout": "none", "steps": [{"run": f'echo "$DROVER_PROPERTY_version" >{root}/saw'}]}
    more = {"h-" + name: {"checkout": "none", "steps": [{"name": "bad", "run": run}, {"name": "after", "run": "true"}]} for name, (run, _) in HOSTILE.items()}
    return {"told": told, "fails": fails, "waits": waits, "keeps": keeps, "hands": hands, "gets": gets, **more}


class Report(Case):
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 2}}

    @classmethod
    def prepare(cls):
        d = cls.d
        make_repo(d.path("repo"), {"a": "a"})
        with open(d.path("deploy"), "w") as f:
            f.write(SECRET)
        os.chmod(d.path("deploy"), 0o600)
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "200ms", "builders": pipeline(d.root)}}, secrets={"deploy": {"file": d.path("deploy")}})

    def steps(self, build):
        return {s["name"]: s for s in build["steps"]}

    def saw(self):
        return read(self.d.path("saw")).decode().split("\n")

    def test_what_is_told(self):
        b = self.d.run("p/told")
        self.assertEqual(b["result"], SUCCESS, b)
        s = self.steps(b)
        self.assertEqual(s["tell"]["report"], {"properties": {"version": "1.2 beta", "n": 42, "list": ["a", 2], "full": True}, "links": [{"name": "coverage", "url": "https://x.example/c"}]})
        self.assertEqual(s["tell"]["summary"], "3 tests left out")
        self.assertIsNone(s["see"]["report"])
        self.assertEqual(self.saw()[:2], ["1.2 beta 42", "0"])  # and the folder is empty again
        self.assertEqual((s["full"]["result"], s["never"]["result"]), (SUCCESS, SKIPPED))
        p = subprocess.run([f"{BUILD}/drover", "show", b["id"]], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, capture_output=True, text=True, timeout=60)
        for words in ("version = 1.2 beta", "coverage  https://x.example/c", "3 tests left out"):
            self.assertIn(words, p.stdout)
        self.assertEqual(self.d.sql(f"select properties->>'n' from build where number = {b['number']} and properties ? 'full'"), [["42"]])

    def test_a_failure_says_it_in_its_own_words(self):
        b = self.d.run("p/fails")
        self.assertEqual((b["result"], self.steps(b)["test"]["summary"]), (FAILURE, "3 of 40 failed (exit 7)"))
        self.assertIn("3 of 40 failed", b["why"])

    def test_over_the_masters_death(self):
        d = self.d
        open(d.path("hold"), "w").close()
        r = d.ask("p/waits")
        d.wait_build(r, lambda b: self.steps(b).get("tell", {}).get("state") == "run", "the step")
        d.kill_master()
        os.unlink(d.path("hold"))  # it ends while there is no master
        wait_for(lambda: not d.minders(), "the command's end")
        d.start_master()
        self.assertEqual(d.wait_request(r)["result"], SUCCESS)
        self.assertEqual(self.saw()[0], "before")
        open(d.path("hold"), "w").close()
        r = d.ask("p/waits")
        d.wait_build(r, lambda b: self.steps(b).get("tell", {}).get("state") == "run", "the step")
        d.kill_worker()
        os.unlink(d.path("hold"))
        wait_for(lambda: not d.minders(), "the command's end")
        d.start_worker()
        self.assertEqual(d.wait_request(r)["result"], SUCCESS)
        self.assertEqual(self.saw()[0], "before")

    def test_secrets_are_masked(self):
        b = self.d.run("p/keeps")
        self.assertEqual((b["result"], self.steps(b)["tell"]["summary"]), (SUCCESS, "said ***"))
        self.assertNotIn(SECRET, json.dumps(self.d.get("/builds/" + b["id"])))

    def test_handed_on(self):
        self.assertEqual(self.d.run("p/hands")["result"], SUCCESS)
        self.assertEqual(self.saw()[0], "7")

    def test_hostile_reports_cost_the_build_its_report(self):
        for name, (_, trouble) in HOSTILE.items():
            with self.subTest(name):
                b = self.d.run("p/h-" + name, seconds=120)
                self.assertEqual(b["result"], SUCCESS, b)
                s = self.steps(b)
                self.assertEqual(s["bad"]["report"], {"trouble": trouble} if trouble else None)
                self.assertEqual((s["bad"]["summary"], s["after"]["result"]), (None, SUCCESS))
        self.assertEqual(self.d.run("p/told")["result"], SUCCESS)


if __name__ == "__main__":
    unittest.main()
