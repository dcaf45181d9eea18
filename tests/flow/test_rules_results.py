#!/usr/bin/env python3
"""docs/rules.md 4.4 and 4.5: what the end of a step makes of its build: flags, exit statuses, tries, cancels and losses, with real commands and real kills."""
import json
import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, BUSY, Case, make_repo, read, wait_for  # noqa: E402

SUCCESS, WARNINGS, FAILURE, SKIPPED, EXCEPTION, RETRY, CANCELLED = range(7)
NAMES = ["success", "warnings", "failure", "skipped", "exception", "retry", "cancelled"]
HANG = "echo $$ >ROOT/NAME.pid; while :; do sleep 0.1; done"
WAIT_S = round(8 * BUSY)  # longer than a master takes to come back
GRACE_S = 10


def builder(*steps):
    return {"checkout": "none", "steps": [{"name": f"s{i}", **(s if isinstance(s, dict) else {"run": s})} for i, s in enumerate(steps, 1)]}


def note(name, **more):
    """A step that always runs, and whoever ran it is in a file."""
    return {"run": f"echo $DROVER_BUILD >>ROOT/{name}.notes", "always": True, **more}


BUILDERS = {
    "plain": builder("true", "exit 3", "true"),
    "goes-on": builder({"run": "exit 3", "halt": False}, "true"),
    "warn": builder({"run": "exit 3", "on_failure": "warn"}, "true"),
    "ignore": builder({"run": "exit 3", "on_failure": "ignore"}, "true"),
    "warn-halt": builder({"run": "exit 3", "on_failure": "warn", "halt": True}, "true", note("warn-halt")),
    "exits": builder({"run": "exit 2", "exit": {2: "warnings"}}, {"run": "exit 77", "exit": {77: "skipped"}}, {"run": "exit 4", "exit": {4: "success"}}, {"run": "exit 5", "exit": {4: "success"}, "on_failure": "warn"}),
    "exit-warns": builder({"run": "exit 2", "exit": {2: "warnings"}, "on_warnings": "fail"}, "true"),
    "exit-no-warns": builder({"run": "exit 2", "exit": {2: "warnings"}, "on_warnings": "ignore"}, "true"),
    "exception": builder({"run": "exit 9", "exit": {9: "exception"}, "on_failure": "ignore", "halt": False}, "true", note("exception")),
    "always": builder("exit 3", "true", note("always"), {"run": "exit 4", "always": True}, {"run": "true", "always": True, "if": "result == failure"}),
    "always-adopt": builder("exit 3", {"run": HANG.replace("while :", "while [ ! -e ROOT/always-adopt.go ]").replace("NAME", "always-adopt"), "always": True}, "true"),
    "cancel": builder(HANG.replace("NAME", "cancel"), "true", note("cancel"), {"run": HANG.replace("while :", "while [ ! -e ROOT/cancel.go ]").replace("NAME", "late"), "always": True}, note("cancel")),
    "lost": builder("[ -e ROOT/lost.go ] || { " + HANG.replace("NAME", "lost") + "; }", note("lost")),
    "exit-retry": builder("echo x >>ROOT/exit-retry.runs", {"run": "[ $(wc -l <ROOT/exit-retry.runs) -gt 1 ] || exit 75", "exit": {75: "retry"}}, note("exit-retry")),
    "exit-retries": builder({"run": "exit 75", "exit": {75: "retry"}}),
    "again": builder({"run": "echo x >>ROOT/again.runs; wc -l <ROOT/again.runs; [ $(wc -l <ROOT/again.runs) -gt 2 ] || exit 75", "retry": {"times": 3, "exit": [75]}}, "true"),
    "again-other": builder({"run": "echo x >>ROOT/again-other.runs; exit 3", "retry": {"times": 3, "exit": [75]}}),
    "again-any": builder({"run": "echo x >>ROOT/again-any.runs; sleep 100", "retry": 1, "timeout": "2s"}),
    "again-mapped": builder({"run": "exit 75", "retry": {"times": 1, "exit": 75}, "exit": {75: "warnings"}}),
    "wait": builder({"run": "date +%s%3N >>ROOT/wait.runs; [ $(wc -l <ROOT/wait.runs) -gt 1 ] || exit 75", "retry": {"times": 1, "wait": f"{WAIT_S}s"}}, "true"),
    "wait-cancel": builder({"run": "exit 1", "retry": {"times": 1, "wait": "1h"}}, note("wait-cancel")),
    "names": builder("exit 3", note("names")),
    "many": builder(*[{"run": f"exit {i}", "halt": False} for i in range(1, 6)], {"run": "exit 9", "on_failure": "ignore"}),
    "gcc": builder({"run": "echo 'a.c:1:2: warning: x'; echo 'b.c:3: warning: y' >&2; printf 'ld: warning: z'", "warnings": "gcc"}, "true"),
    "quiet": builder({"run": "echo 'no warnings'", "warnings": "gcc"}),
    "limit": builder({"run": "echo WARN a; echo WARN b", "warnings": {"match": "^WARN \\w", "limit": 1}}, "true"),
    "warns-and-fails": builder({"run": "echo WARN; exit 3", "warnings": "WARN"}),
    "warn-kill": builder({"run": "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo \"WARN $i\"; echo \"plain $i\" >&2; [ $i -ne 200 ] || { printf 'WA'; touch ROOT/warn.half; while [ ! -e ROOT/warn.go ]; do sleep 0.05; done; printf 'RN half\\n'; }; done", "warnings": "^WARN"}),
    "hide": builder({"run": "true", "hide_if": "result == success"}, {"run": "exit 3", "hide_if": "result == success", "halt": False}, {"run": "true", "hide_if": "properties.x > 1"}, "true"),
    "bash": {"shell": "bash", **builder("false | true", )},
    "sh": builder("false | true", {"run": "[ -n \"$BASH_VERSION\" ]; set -o | grep -q 'pipefail.*on'", "shell": "bash"}),
    "norender": {"checkout": "none", "steps": [{"run": ["echo", "${{ properties.missing }}"], "if": "properties.wanted ?? false"}]},
    "same": {"checkout": "none", "steps": ["true", "true", "true", {"run": "true", "name": "true-2"}]},
}


class Base(Case):
    """One master and worker, and builders of its own; ROOT stands for the test's folder."""
    WORKERS = {"here": {"slots": 4}}
    PROJECTS = {"p": {}}
    BUILDERS = None

    @classmethod
    def prepare(cls):
        make_repo(cls.d.path("repo"), {"a": "a"})
        site = {"git": "ROOT/repo", "poll": "1h", "builders": cls.BUILDERS}
        cls.d.configure(projects={"p": json.loads(json.dumps(site).replace("ROOT", cls.d.root))})

    def results(self, b):
        return [(s["name"], s["result"]) for s in b["steps"]]

    def check(self, name, build, *steps, why=None):
        b = self.d.run("p/" + name)
        self.assertEqual((b["result"], self.results(b)), (build, [(f"s{n}", r) for n, r in steps]))
        self.assertEqual(b["why"], why)
        self.assertEqual(b["result_text"], NAMES[build])
        return b

    def noted(self, name):
        return read(self.d.path(name + ".notes")).decode().split()

    def running(self, rid, step, state=None):
        """The build when it is in that step."""
        return self.d.wait_build(rid, lambda b: b["steps"] and b["steps"][-1]["name"] == step and b["steps"][-1]["result"] is None and (not state or b["steps"][-1]["state"] == state), f"{step} to run")

    def pid(self, name):
        return int(wait_for(lambda: read(self.d.path(name + ".pid")).split(), name + " to begin")[0])


class Results(Base):
    BUILDERS = BUILDERS

    def test_4_4_1_the_numbers_of_results(self):
        b = self.check("exits", WARNINGS, (1, WARNINGS), (2, SKIPPED), (3, SUCCESS), (4, FAILURE), why="s1: exit 2; s4: exit 5")
        self.assertEqual([s["result_text"] for s in b["steps"]], ["warnings", "skipped", "success", "failure"])
        self.assertEqual([r for r, in self.d.sql(f"select t.result from step t join build x on x.id = t.build join builder u on u.id = x.builder where u.name = 'exits' and x.number = {b['number']} order by t.number")], ["1", "3", "0", "2"])

    def test_4_4_2_what_a_failure_makes_of_the_build(self):
        self.check("plain", FAILURE, (1, SUCCESS), (2, FAILURE), why="s2: exit 3")
        self.check("goes-on", FAILURE, (1, FAILURE), (2, SUCCESS), why="s1: exit 3")
        self.check("warn", WARNINGS, (1, FAILURE), (2, SUCCESS), why="s1: exit 3")
        self.check("ignore", SUCCESS, (1, FAILURE), (2, SUCCESS))

    def test_4_4_3_halt_ends_a_build_without_failing_it(self):
        b = self.check("warn-halt", WARNINGS, (1, FAILURE), (3, SUCCESS), why="s1: exit 3")
        self.assertEqual(self.noted("warn-halt"), [b["id"]])

    def test_4_4_4_what_warnings_make_of_the_build(self):
        self.check("exit-warns", FAILURE, (1, WARNINGS), (2, SUCCESS), why="s1: exit 2")
        self.check("exit-no-warns", SUCCESS, (1, WARNINGS), (2, SUCCESS))

    def test_4_4_5_an_exception_ends_the_build_whatever_its_flags(self):
        b = self.check("exception", EXCEPTION, (1, EXCEPTION), (3, SUCCESS), why="s1: exit 9")
        self.assertEqual(self.noted("exception"), [b["id"]])

    def test_4_4_6_steps_that_always_run(self):
        b = self.check("always", FAILURE, (1, FAILURE), (3, SUCCESS), (4, FAILURE), (5, SUCCESS), why="s1: exit 3; s4: exit 4")
        self.assertEqual(self.noted("always"), [b["id"]])

    def test_4_4_6_another_master_goes_on_with_them(self):
        rid = self.d.ask("p/always-adopt")
        self.running(rid, "s2")
        self.pid("always-adopt")
        self.d.kill_master()
        self.d.start_master()
        with open(self.d.path("always-adopt.go"), "w"):
            pass
        r = self.d.wait_request(rid)
        b = self.d.get("/builds/" + r["builds"][0])
        self.assertEqual((b["result"], b["why"], self.results(b), len(r["builds"])), (FAILURE, "s1: exit 3", [("s1", FAILURE), ("s2", SUCCESS)], 1))

    def test_4_4_7_cancelled_what_always_runs_still_does(self):
        rid = self.d.ask("p/cancel")
        b = self.running(rid, "s1")
        pid = self.pid("cancel")
        self.d.post(f"/requests/{rid}/cancel")
        self.assertEqual(self.d.request(rid)["result"], CANCELLED)  # at once
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the process", GRACE_S + 2)
        late = self.pid("late")
        self.assertEqual(self.d.get("/builds/" + b["id"])["state"], "cancelling")
        self.d.kill_master()  # whoever goes on knows that the step began after the cancel
        self.d.start_master()
        self.d.wait_worker()
        self.assertTrue(os.path.exists(f"/proc/{late}"))
        with open(self.d.path("cancel.go"), "w"):
            pass
        self.d.wait_request(rid)
        b = self.d.get("/builds/" + b["id"])
        self.assertEqual((b["result"], self.results(b)), (CANCELLED, [("s1", CANCELLED), ("s3", SUCCESS), ("s4", SUCCESS), ("s5", SUCCESS)]))
        self.assertEqual((self.d.request(rid)["result"], self.noted("cancel")), (CANCELLED, [b["id"]] * 2))

    def test_4_4_8_lost_it_is_made_anew_and_nothing_of_it_runs(self):
        rid = self.d.ask("p/lost")
        first = self.running(rid, "s1")
        pid = self.pid("lost")
        with open(self.d.path("lost.go"), "w"):
            pass
        minder = int(read(f"/proc/{pid}/stat").rsplit(b")", 1)[1].split()[1])
        os.kill(minder, signal.SIGKILL)
        r = self.d.wait_request(rid)
        lost, done = (self.d.get("/builds/" + b) for b in r["builds"])
        self.assertEqual((lost["id"], lost["result"], self.results(lost)), (first["id"], RETRY, [("s1", RETRY)]))
        self.assertEqual((r["result"], done["result"], self.results(done), self.noted("lost")), (SUCCESS, SUCCESS, [("s1", SUCCESS), ("s2", SUCCESS)], [done["id"]]))

    def test_4_4_10_an_exit_status_that_says_again(self):
        r = self.d.wait_request(self.d.ask("p/exit-retry"))
        first, second = (self.d.get("/builds/" + b) for b in r["builds"])
        self.assertEqual((r["result"], first["result"], self.results(first)), (SUCCESS, RETRY, [("s1", SUCCESS), ("s2", RETRY), ("s3", SUCCESS)]))
        self.assertEqual((second["result"], second["attempt"], self.noted("exit-retry")), (SUCCESS, 2, [first["id"], second["id"]]))
        r = self.d.wait_request(self.d.ask("p/exit-retries"))
        self.assertEqual((r["result"], len(r["builds"])), (EXCEPTION, 3))

    def test_4_4_11_a_step_is_tried_again(self):
        b = self.check("again", SUCCESS, (1, SUCCESS), (2, SUCCESS))
        s = b["steps"][0]
        self.assertEqual((s["summary"], [c["name"] for c in s["commands"]], [c["code"] for c in s["commands"]]), ("after 3 tries", ["run", "run (2)", "run (3)"], [75, 75, 0]))
        self.assertEqual(([x["name"] for x in s["logs"]], self.d.log(b["id"], "s1").split()), (["run", "run (2)", "run (3)"], [b"1", b"2", b"3"]))
        self.check("again-other", FAILURE, (1, FAILURE), why="s1: exit 3")
        self.assertEqual(self.lines(self.d.path("again-other.runs")), ["x"])
        self.check("again-any", FAILURE, (1, FAILURE), why="s1: took too long, ended, after 2 tries")
        self.assertEqual(self.lines(self.d.path("again-any.runs")), ["x"] * 2)
        self.check("again-mapped", WARNINGS, (1, WARNINGS), why="s1: exit 75, after 2 tries")

    def test_4_4_12_the_wait_before_a_try_outlives_the_master(self):
        rid = self.d.ask("p/wait")
        self.running(rid, "s1", "wait")
        self.d.kill_master()
        self.d.start_master()
        self.running(rid, "s1", "wait")
        self.d.kill_worker()
        self.d.start_worker()
        r = self.d.wait_request(rid)
        b = self.d.get("/builds/" + r["builds"][0])
        one, two = map(int, self.lines(self.d.path("wait.runs")))
        self.assertEqual((r["result"], len(r["builds"]), self.results(b)), (SUCCESS, 1, [("s1", SUCCESS), ("s2", SUCCESS)]))
        self.assertGreaterEqual(two - one, WAIT_S * 1000)

    def test_4_4_12_cancelled_in_the_wait_it_ends_at_once(self):
        rid = self.d.ask("p/wait-cancel")
        b = self.running(rid, "s1", "wait")
        self.d.post(f"/requests/{rid}/cancel")
        self.d.wait_request(rid)
        b = self.d.get("/builds/" + b["id"])
        self.assertEqual((b["result"], self.results(b), self.noted("wait-cancel")), (CANCELLED, [("s1", CANCELLED), ("s2", SUCCESS)], [b["id"]]))

    def test_4_4_13_lines_that_are_warnings(self):
        b = self.check("gcc", WARNINGS, (1, WARNINGS), (2, SUCCESS), why="s1: 3 warnings")
        self.assertEqual([x["warnings"] for s in b["steps"] for x in s["logs"]], [3, None])
        self.check("quiet", SUCCESS, (1, SUCCESS))
        self.check("limit", FAILURE, (1, FAILURE), why="s1: 2 warnings, more than 1")
        self.check("warns-and-fails", FAILURE, (1, FAILURE), why="s1: exit 3")

    def test_4_4_13_counted_once_whoever_dies(self):
        rid = self.d.ask("p/warn-kill")
        wait_for(lambda: os.path.exists(self.d.path("warn.half")), "half of it")
        self.d.kill_master()
        self.d.kill_worker()
        self.d.start_master()
        self.d.start_worker()
        self.d.wait_worker()
        self.d.kill_master()
        with open(self.d.path("warn.go"), "w"):
            pass
        self.d.start_master()
        r = self.d.wait_request(rid)
        b = self.d.get("/builds/" + r["builds"][0])
        self.assertEqual((r["result"], len(r["builds"]), b["why"]), (WARNINGS, 1, "s1: 401 warnings"))
        out, _ = self.d.channels(b["steps"][0]["logs"][0]["id"], self.d.log(b["id"], "s1"))
        self.assertEqual(out.count(b"WARN "), 401)

    def test_4_5_13_steps_that_are_not_shown(self):
        b = self.d.run("p/hide", properties={"x": "text"})
        self.assertEqual([(s["name"], s["result"], s["hidden"]) for s in b["steps"]], [("s1", SUCCESS, True), ("s2", FAILURE, False), ("s3", EXCEPTION, False)])
        self.assertEqual(b["why"], "s2: exit 3; s3: hide_if: properties.x > 1: this is a number, and a text is wanted")
        env = {**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}
        some, every = (subprocess.run([f"{BUILD}/drover", "show", b["id"], *more], env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60).stdout.decode() for more in ((), ("--all",)))
        self.assertEqual(("s1 " in some, "s2 " in some, f"1 hidden: drover show --all {b['id']}" in some), (False, True, True), some)
        self.assertEqual(("s1 " in every, "hidden:" in every), (True, False), every)

    def test_4_5_18_which_shell(self):
        self.check("bash", FAILURE, (1, FAILURE), why="s1: exit 1")
        self.check("sh", SUCCESS, (1, SUCCESS), (2, SUCCESS))

    def test_4_4_18_which_steps_a_build_names(self):
        self.check("names", FAILURE, (1, FAILURE), (2, SUCCESS), why="s1: exit 3")
        self.check("many", FAILURE, *((i, FAILURE) for i in range(1, 7)), why="s1: exit 1; s2: exit 2; s3: exit 3; and 2 more")

    def test_4_5_12_what_is_skipped_needs_no_values(self):
        b = self.d.run("p/norender")
        self.assertEqual((b["result"], [(s["name"], s["result"], s["commands"]) for s in b["steps"]]), (SUCCESS, [("echo-properties.missing", SKIPPED, [])]))
        b = self.d.run("p/norender", properties={"wanted": True})
        self.assertEqual((b["result"], b["steps"][0]["result"]), (EXCEPTION, EXCEPTION))

    def test_4_5_15_steps_of_one_name(self):
        self.assertEqual([s["name"] for s in self.d.run("p/same")["steps"]], ["true", "true-3", "true-4", "true-2"])


LOST = {
    "fail": {**builder("true", HANG.replace("NAME", "fail"), note("fail")), "on_lost": "fail"},
    "ask": builder("[ -e ROOT/ask.go ] || { " + HANG.replace("NAME", "ask") + "; }", {"run": "true", "on_lost": "fail"}),
    "ask-cancel": builder(HANG.replace("NAME", "ask-cancel")), "ask-away": builder(HANG.replace("NAME", "ask-away")), "fail-away": builder(HANG.replace("NAME", "fail-away")),
}
for name in ("ask", "ask-cancel", "ask-away"):
    LOST[name]["steps"][0]["on_lost"] = "ask"
LOST["fail-away"]["steps"][0]["on_lost"] = "fail"


class Lost(Base):
    SITE = {"window": "2s"}
    BUILDERS = LOST

    def lose(self, name):
        """A build whose command is lost: its request when that is known."""
        rid = self.d.ask("p/" + name)
        pid = self.pid(name)
        os.kill(int(read(f"/proc/{pid}/stat").rsplit(b")", 1)[1].split()[1]), signal.SIGKILL)
        self.d.wait_build(rid, lambda b: b["state"] == "done", "the end of the build")
        return self.d.request(rid)

    def test_4_4_9_lost_once_and_no_more(self):
        r = self.d.wait_request(self.lose("fail")["id"])
        b = self.d.get("/builds/" + r["builds"][0])
        self.assertEqual((r["result"], len(r["builds"]), b["result"], self.results(b)), (EXCEPTION, 1, EXCEPTION, [("s1", SUCCESS), ("s2", EXCEPTION)]))
        self.assertIn("s2: lost in run", b["why"])
        self.assertEqual(self.noted("fail"), [])

    def test_4_4_9_a_person_is_asked(self):
        r = self.lose("ask")
        rid = r["id"]
        self.assertEqual((r["state"], r["result"]), ("waiting", None))
        why = self.d.get(f"/requests/{rid}/why")["reason"]
        self.assertEqual((why["kind"], why["object"]), ("approval", rid))
        self.assertIn(f"drover approve {rid}", why["text"])
        self.assertEqual(self.d.get("/requests?state=waiting")["items"][0]["waits"]["kind"], "approval")
        self.d.kill_master()  # and it goes on waiting
        self.d.start_master()
        self.d.wait_worker()
        self.assertEqual(self.d.get("/requests/" + rid)["state"], "waiting")
        with open(self.d.path("ask.go"), "w"):
            pass
        p = subprocess.run([f"{BUILD}/drover", "approve", rid], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        self.assertEqual((p.returncode, p.stdout.decode()), (0, f"approved  {rid} is made again: drover watch {rid}\n"), p.stderr)
        r = self.d.wait_request(rid)
        self.assertEqual((r["result"], len(r["builds"]), r["attempts"]), (SUCCESS, 2, 2))
        for bad, status in ((rid, 409), ("r99999999", 404), ("s1", 400)):
            self.assertEqual(self.d.api("POST", f"/requests/{bad}/approve", {}).status, status, bad)
        r = self.lose("ask-cancel")
        self.d.post(f"/requests/{r['id']}/cancel")
        self.assertEqual((self.d.request(r["id"])["state"], self.d.request(r["id"])["result"]), ("done", CANCELLED))
        self.assertEqual(self.d.api("POST", f"/requests/{r['id']}/approve", {}).status, 409)

    def test_4_4_9_the_worker_never_comes_back(self):
        rids = [self.d.ask("p/" + name) for name in ("ask-away", "fail-away")]
        for name in ("ask-away", "fail-away"):
            self.pid(name)
        self.d.kill_worker()
        asks = wait_for(lambda: (r := self.d.request(rids[0]))["state"] == "waiting" and r, "the question")
        fails = self.d.wait_request(rids[1])
        self.assertEqual((asks["why"], fails["result"], len(fails["builds"])), ("the worker stayed away too long", EXCEPTION, 1))
        self.assertEqual([self.d.get("/builds/" + r["builds"][0])["result"] for r in (asks, fails)], [RETRY, EXCEPTION])
        self.d.start_worker()
        self.d.wait_worker()
        self.d.post(f"/requests/{rids[0]}/cancel")


if __name__ == "__main__":
    unittest.main()
