#!/usr/bin/env python3
"""Rules 4.10 of docs/rules.md (and some of 4.1, 4.8, 4.9) about several codebases in a project, on real git: which revisions go together, what waits for what, and that all of it is decided once."""
import json
import os
import random
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, Failed, commit, commit_on, git, make_repo, wait_for  # noqa: E402

NAMES = ["core", "server", "ui"]
PIPELINE = """builders:
  core: {checkout: none, steps: ["true"]}
  %s: {checkout: none, steps: ["true"]}
schedulers:
  pushes: {change: {}}
"""
BUILDERS = {x: {"checkout": "none", "steps": ["true"]} for x in ("a", "b")}
# What is made of core goes into server and ui, and both into system; docs needs nothing.
DIAMOND = {"core": {"checkout": "core", "steps": ["true"]}, "server": {"checkout": "server", "needs": "core", "steps": ["true"]}, "ui": {"checkout": "ui", "needs": "core", "steps": ["true"]},
           "system": {"checkout": "none", "needs": ["server", "ui"], "steps": ["true"]}, "ship": {"checkout": "none", "needs": "system", "steps": ["true"]}, "docs": {"checkout": "ui", "steps": ["true"]}}


def head(repo, branch="main"):
    return git(repo, "rev-parse", branch).strip()


class Codebases(Case):
    """p has the site's pipeline, r that of its repository core, q waits for a quiet time, t has times. No worker is there: what is asked for stays asked for, until a test says how it ended."""
    PROJECTS = {"p": {}}

    @classmethod
    def prepare(cls):
        d = cls.d
        d.workers = {}
        cls.repos = {n: d.path(n) for n in NAMES}
        for n, path in cls.repos.items():
            make_repo(path, {"a": n, **({".drover.yml": PIPELINE % "first"} if n == "core" else {})})
        cb = {n: {"git": path, "poll": "1s"} for n, path in cls.repos.items()}
        gone = d.path("nowhere")
        d.configure(workers={}, projects={
            "p": {"codebases": cb, "builders": BUILDERS, "schedulers": {
                "pushes": {"change": {}, "builders": "a"}, "ours": {"change": {}, "codebases": ["core", "server"], "builders": "b"},
                "only": {"change": {"branches": "asked"}, "if": 'codebase == "ui"', "builders": "b"}, "tags": {"tag": "**", "builders": "b"}, "hand": {"force": {}, "builders": "a"}}},
            "q": {"codebases": cb, "builders": BUILDERS, "schedulers": {"slow": {"change": {}, "stable": "1h", "builders": "a"}}},
            "r": {"codebases": cb, "main": "core"},
            "d": {"codebases": cb, "builders": DIAMOND, "schedulers": {
                "pushes": {"change": {"branches": ["main", "still"]}, "from": "changed"}, "far": {"change": {"branches": "main"}, "from": "changed", "until": "system"},
                "server": {"change": {"branches": "main"}, "from": "changed", "until": "server"}, "slow": {"change": {"branches": "still"}, "stable": "1h", "from": "changed", "until": ["server", "docs"]}}},
            "t": {"codebases": {n: {**c, "poll": "1s"} for n, c in cb.items()}, "builders": BUILDERS, "schedulers": {"tick": {"every": "1h", "only_if": "changed", "builders": "a"}}},
            "good": {"codebases": {**cb, "ui": {**cb["ui"], "pin": "v9"}}, "stamps": {"others": ["pinned", "last_good"]}, "builders": BUILDERS, "schedulers": {"pushes": {"change": {}, "builders": "a"}}},
            "half": {"codebases": {"core": cb["core"], "dead": {"git": gone, "poll": "1s"}}, "builders": BUILDERS, "schedulers": {"pushes": {"change": {}, "builders": "a"}}}})

    def setUp(self):
        for p in ("p", "q", "r", "t", "good", "d"):
            wait_for(lambda: self.heads(p) == 3, f"the first looks of {p}")
        wait_for(lambda: self.heads("half") == 1, "the first look of half")

    def heads(self, project):
        return int(self.d.sql(f"select count(distinct h.codebase) from branch_head h join project x on x.id = h.project where x.name = '{project}'")[0][0])

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return p.stdout if not code else p.stderr

    def push(self, codebase, branch="main", text=None):
        return commit_on(self.repos[codebase], branch, {"a": f"{self._testMethodName} {text or branch}"}, f"{codebase} {branch}", "HEAD")

    def change(self, project, codebase, revision, branch="main", state=("decided", "failed")):
        """The change once it is decided."""
        def there():
            rows = [c for c in self.d.get(f"/changes?project={project}&branch={branch}&limit=200")["items"] if c["revision"] == revision and c["codebase"] == codebase]
            return rows and rows[0]["state"] in state and self.d.get("/changes/" + rows[0]["id"])
        return wait_for(there, f"{project}/{codebase} {revision[:12]} on {branch}")

    def seen(self, project, codebase, branch, revision):
        """Until the poller has seen it there (a change is made in the same transaction)."""
        wait_for(lambda: self.d.sql(f"select 1 from branch_head h join project x on x.id = h.project where x.name = '{project}' and h.codebase = '{codebase}' and h.branch = '{branch}' and h.revision = '{revision}'"),
                 f"{project}/{codebase} {branch} at {revision[:12]}")

    def settle(self, project):
        """Until it has seen all that was pushed: a branch that is new then begins at commits that are known, and brings one change."""
        for n, path in self.repos.items():
            heads = sorted(git(path, "for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads").split("\n"))
            wait_for(lambda: sorted(" ".join(r) for r in self.d.sql(f"select h.branch, h.revision from branch_head h join project x on x.id = h.project where x.name = '{project}' and h.codebase = '{n}'")) == heads,
                     f"{project} to have seen all of {n}")

    def buildset(self, change, scheduler="pushes"):
        for s in change["buildsets"]:
            b = self.d.get("/buildsets/" + s)
            if b["scheduler"] == scheduler:
                return b
        raise Failed(f"no buildset of {scheduler}: {change}")

    def stamps(self, b):
        return {x["codebase"]: (x["branch"], x["revision"], x["why"]) for x in b["stamps"]}

    def end(self, buildset, result=0):
        self.d.sql(f"select request_finish(r.id, {result}::smallint, 'test') from build_request r where r.buildset = {buildset['id'][1:]}")

    def plain(self, codebase, branch="main"):
        """Its head's stamp by one of the rules about heads."""
        return (branch, head(self.repos[codebase], branch), "same branch")

    # ---- changes ----

    def test_4_1_35_a_change_of_another_codebase_is_dropped_and_told(self):
        c = self.change("p", "ui", self.push("ui"))
        v = {x["scheduler"]: (x["verdict"], x["rule"], x["why"]) for x in c["verdicts"]}
        self.assertEqual(v["ours"], ("no", "codebases", "codebase ui is not among core, server"))
        self.assertEqual(v["pushes"][0], "builds")
        self.assertIn("codebase ui is not among core, server", self.cli("why", c["id"]))
        self.assertIn("p/ui", self.cli("show", c["id"]))
        v = {x["scheduler"]: x["verdict"] for x in self.change("p", "core", self.push("core"))["verdicts"]}
        self.assertEqual(v["ours"], "builds")

    def test_4_1_35_a_condition_has_the_codebase(self):
        for n, verdict in (("core", "no"), ("ui", "builds")):
            c = self.change("p", n, self.push(n, "asked"), "asked")
            self.assertEqual({x["scheduler"]: x["verdict"] for x in c["verdicts"]}["only"], verdict, n)

    def test_4_1_38_the_same_branch_and_else_the_tip(self):
        self.settle("p")
        rev = self.push("core")
        c = self.change("p", "core", rev)
        b = self.buildset(c)
        self.assertEqual(self.stamps(b), {"core": ("main", rev, c["id"]), "server": self.plain("server"), "ui": self.plain("ui")})
        self.assertEqual((b["codebase"], b["branch"], b["revision"]), ("core", "main", rev), "the stamp of what set it off")
        self.assertEqual([x["codebase"] for x in c["stamps"]], NAMES)
        shown = self.cli("show", b["id"])
        self.assertRegex(shown, rf"core +main +{rev} +{c['id']}\n")
        self.assertRegex(shown, rf"ui +main +{head(self.repos['ui'])} +same branch\n")
        rev = self.push("ui", "only-ui")
        c = self.change("p", "ui", rev, "only-ui")
        tip = lambda n: ("main", head(self.repos[n]), "tip of main")  # noqa: E731
        self.assertEqual(self.stamps(self.buildset(c)), {"core": tip("core"), "server": tip("server"), "ui": ("only-ui", rev, c["id"])})
        git(self.repos["core"], "branch", "only-ui", "main")
        self.seen("p", "core", "only-ui", head(self.repos["core"], "only-ui"))
        c = self.change("p", "ui", self.push("ui", "only-ui", "again"), "only-ui")
        self.assertEqual(self.stamps(self.buildset(c))["core"], self.plain("core", "only-ui"))

    def test_4_10_11_a_force_push_is_a_change_and_goes_with_what_is_there_then(self):
        self.change("p", "core", self.push("core", "forced"), "forced")
        git(self.repos["core"], "commit", "-q", "--amend", "-m", "another one")
        rev = head(self.repos["core"], "forced")
        c = self.change("p", "core", rev, "forced")
        self.assertEqual(self.stamps(self.buildset(c))["core"], ("forced", rev, c["id"]))
        c = self.change("p", "server", self.push("server", "forced"), "forced")
        self.assertEqual(self.stamps(self.buildset(c))["core"], ("forced", rev, "same branch"))

    # ---- the pipeline in the main codebase ----

    def test_4_10_11_the_pipeline_is_that_of_the_main_codebase_in_the_set(self):
        rev = self.push("core", "piped")
        self.change("r", "core", rev, "piped")
        old = commit(self.repos["core"], {".drover.yml": PIPELINE % "second"}, "another pipeline")
        self.change("r", "core", old, "piped")
        c = self.change("r", "ui", self.push("ui", "piped"), "piped")
        self.assertEqual({r["builder"] for r in self.buildset(c)["requests"]}, {"core", "second"})
        self.assertEqual(self.stamps(self.buildset(c))["core"], ("piped", old, "same branch"))

    def test_4_10_11_it_is_decided_once_and_kept_over_a_kill(self):
        """The set is made, the master dies before it has read the pipeline, and all the heads have moved when another one comes."""
        d = self.own({"k": {}})
        d.workers = {}
        repos = {n: d.path(n) for n in NAMES}
        for n, path in repos.items():
            make_repo(path, {"a": n, **({".drover.yml": PIPELINE % "first"} if n == "core" else {})})
        project = {"codebases": {n: {"git": path, "poll": "1h"} for n, path in repos.items()}}
        d.configure(workers={}, projects={"k": project})
        d.start_master()
        wait_for(lambda: d.sql("select count(*) from branch_head") == [["3"]], "the first looks")
        first = {n: head(repos[n]) for n in NAMES}
        new = commit(repos["ui"], {"a": "new"}, "new")
        address = d.lock_file()[4]
        s = self.own({"k": {}}, database=f"host={address} user=drover dbname=drover")
        self.owned.insert(0, self.owned.pop())
        s.workers = {}
        d.kill_master()
        d.sql(f"select change_add(x.id, '{repos['ui']}', 'main', jsonb_build_object('revision', '{new}'), 'test', 'ui') from project x")
        d.sql("select changes_stamp('{k}')")
        d.sql(f"update branch_head set revision = '{'1' * 40}' where codebase = 'server'")
        d.sql("select changes_stamp('{k}')")
        s.configure(projects={"k": project}, workers={})
        d.start_master()
        s.start_master()  # two of them, on one database
        # The head of server that stands there is none that it has: who looks makes a change of that, too.
        c = wait_for(lambda: (x := [x for x in d.get("/changes?project=k")["items"] if x["revision"] == new]) and x[0]["state"] == "decided" and d.get("/changes/" + x[0]["id"]), "the decision")
        self.assertEqual(len(c["buildsets"]), 1)
        got = {x["codebase"]: x["revision"] for x in d.get("/buildsets/" + c["buildsets"][0])["stamps"]}
        self.assertEqual(got, {"core": first["core"], "server": first["server"], "ui": new})
        owners = wait_for(lambda: (m := dict(d.sql("select l.codebase, l.master from poll l where l.master is not null"))) and len(m) == 3 and m, "each has somebody who looks")
        self.assertEqual(sorted(owners), NAMES)

    def test_4_10_13_last_good(self):
        """good: pinned, which means nothing until there is the tag, then last_good."""
        self.settle("good")
        base = head(self.repos["server"])
        c1 = self.change("good", "core", self.push("core", "lg"), "lg")
        self.assertEqual(self.stamps(self.buildset(c1))["server"], ("main", base, "tip of main"), "there is nothing before")
        self.end(self.buildset(c1))
        moved = self.push("server")
        self.seen("good", "server", "main", moved)
        c2 = self.change("good", "core", self.push("core", "lg", "2"), "lg")
        b2 = self.buildset(c2)
        self.assertEqual(self.stamps(b2)["server"], ("main", base, f"last good: {self.buildset(c1)['id']}"))
        self.end(b2, 2)
        c3 = self.change("good", "core", self.push("core", "lg", "3"), "lg")
        self.assertEqual(self.stamps(self.buildset(c3))["server"][2], f"last good: {self.buildset(c1)['id']}", "what failed is none")
        other = self.change("good", "core", self.push("core", "lg-other"), "lg-other")
        self.assertEqual(self.stamps(self.buildset(other))["server"], ("main", moved, "tip of main"), "of another branch it says nothing")

    def test_4_10_14_pinned(self):
        old = head(self.repos["ui"])
        git(self.repos["ui"], "tag", "v9", old)
        wait_for(lambda: self.d.sql("select 1 from tag_head h join project x on x.id = h.project where x.name = 'good' and h.tag = 'v9'"), "the tag")
        self.seen("good", "ui", "main", self.push("ui"))
        c = self.change("good", "core", self.push("core", "pin"), "pin")
        self.assertEqual(self.stamps(self.buildset(c))["ui"], ("", old, "pinned to v9"))

    def test_4_10_15_a_quiet_time_is_of_all_codebases(self):
        self.settle("q")
        c1 = self.change("q", "core", self.push("core", "calm"), "calm")
        c2 = self.change("q", "server", self.push("server", "calm"), "calm")
        c3 = self.change("q", "core", self.push("core", "calm", "2"), "calm")
        self.assertEqual({v["verdict"] for c in (c1, c2, c3) for v in self.d.get("/changes/" + c["id"])["verdicts"]}, {"waits"})
        ui = self.push("ui", "calm")
        c4 = self.change("q", "ui", ui, "calm")
        server = self.push("server", "calm-not")
        self.seen("q", "server", "calm-not", server)
        self.d.sql("update scheduler_state set due_at = now() where branch = 'calm' and changes <> '{}'")
        b = wait_for(lambda: (s := self.d.get("/changes/" + c4["id"])["buildsets"]) and self.d.get("/buildsets/" + s[0]), "the buildset")
        self.assertEqual(sorted(b["changes"]), sorted(c["id"] for c in (c1, c2, c3, c4)))
        self.assertEqual(self.stamps(b), {"core": ("calm", c3["revision"], c3["id"]), "server": ("calm", c2["revision"], c2["id"]), "ui": ("calm", ui, c4["id"])})

    def test_4_10_16_tags_and_pull_requests(self):
        self.settle("p")
        git(self.repos["ui"], "tag", "t1", "main")
        rev = head(self.repos["ui"])
        c = self.change("p", "ui", rev, "t1")
        b = self.buildset(c, "tags")
        self.assertEqual(self.stamps(b), {"core": ("main", head(self.repos["core"]), "tip of main"), "server": ("main", head(self.repos["server"]), "tip of main"), "ui": ("", rev, c["id"])})
        self.push("core", "target")
        self.seen("p", "core", "target", head(self.repos["core"], "target"))
        pid = self.d.sql("select id from project where name = 'p'")[0][0]
        cid = self.d.sql(f"select id from change_put({pid}, 'pull_request', 'target', 7, '', 'x', '{{\"revision\": \"{'a' * 40}\"}}', 'test', false, true, 'ui')")[0][0]
        got = json.loads(self.d.sql(f"select stamps_of_change(c) from change c where c.id = {cid}")[0][0])
        self.assertEqual({x["codebase"]: (x["branch"], x["revision"]) for x in got}, {"core": ("target", head(self.repos["core"], "target")), "server": ("main", head(self.repos["server"])), "ui": ("", "a" * 40)})

    def test_4_10_17_a_dead_codebase_delays_no_other(self):
        rev = self.push("core", "half")
        c = self.change("half", "core", rev, "half")
        self.assertEqual(self.stamps(self.buildset(c)), {"core": ("half", rev, c["id"])}, "what nobody has ever seen is not in it")
        p = next(x for x in self.d.get("/projects")["items"] if x["name"] == "half")
        look = {x["name"]: x for x in p["codebases"]}
        self.assertTrue(look["dead"]["trouble"])
        self.assertFalse(look["core"]["trouble"])
        self.assertIn("half/dead", self.cli("list", "projects"))

    def test_4_10_17_what_is_not_seen_yet_is_waited_for(self):
        pid = self.d.sql("insert into project (name, main, stamps) values ('unseen', 'a', '{tip}') returning id")[0][0]
        self.d.sql(f"insert into codebase (project, name, number, repository) values ({pid}, 'a', 1, 'ra'), ({pid}, 'b', 2, 'rb'); insert into branch_head (project, codebase, branch, revision) values ({pid}, 'a', 'main', 'x')")
        cid = self.d.sql(f"select id from change_add({pid}, 'ra', 'main', '{{\"revision\": \"y\"}}', 'test', 'a')")[0][0]
        stamps = lambda: self.d.sql(f"select changes_stamp('{{unseen}}'); select stamps from change where id = {cid}")[-1][0]  # noqa: E731
        self.assertEqual(stamps(), "")
        self.d.sql(f"update change set created = created - interval '61 seconds' where id = {cid}")
        self.assertEqual([x["codebase"] for x in json.loads(stamps())], ["a"])

    # ---- rows and configuration ----

    def test_4_10_18_a_codebase_that_leaves(self):
        d = self.own({"k": {}})
        d.workers = {}
        for n in ("core", "ui"):
            make_repo(d.path(n), {"a": n})
        both = {n: {"git": d.path(n), "poll": "200ms"} for n in ("core", "ui")}
        site = {"builders": BUILDERS, "schedulers": {"pushes": {"change": {}, "builders": "a"}}}
        d.configure(workers={}, projects={"k": {"git": d.path("core"), "poll": "200ms", **site}})
        d.start_master()
        d.wait_looked("k")
        pid = d.sql("select id from project where name = 'k'")[0][0]
        d.configure(projects={"k": {"codebases": both, **site}})
        d.post("/config/activate")
        wait_for(lambda: d.sql("select count(*) from branch_head where codebase <> ''") == [["2"]], "the looks of the codebases")
        self.assertEqual(d.sql("select count(*) from change"), [["0"]], "the first look of each notes its history, though the repository was known before")
        rev = commit(d.path("core"), {"a": "2"}, "2")
        c = wait_for(lambda: (x := d.get("/changes?project=k")["items"]) and x[0]["state"] == "decided" and d.get("/changes/" + x[0]["id"]), "a change in core")
        self.assertEqual({x["codebase"]: x["revision"] for x in d.get("/buildsets/" + c["buildsets"][0])["stamps"]}, {"core": rev, "ui": head(d.path("ui"))})
        for cb, why in (("", "it was told when the project had one repository; now it has codebases"), ("gone", "the project has no codebase gone any more")):
            cid = d.sql(f"select id from change_add({pid}, 'x', 'main', '{{\"revision\": \"{'b' * 40}\"}}', 'test', '{cb}')")[0][0]
            x = wait_for(lambda: (x := d.get(f"/changes/c{cid}"))["state"] == "failed" and x, "its end")
            self.assertEqual(x["error"], why)
        d.configure(projects={"k": {"codebases": {"core": both["core"]}, **site}})
        d.post("/config/activate")
        rev = commit(d.path("core"), {"a": "3"}, "3")
        c = wait_for(lambda: (x := d.get("/changes?project=k")["items"]) and x[0]["revision"] == rev and x[0]["state"] == "decided" and d.get("/changes/" + x[0]["id"]), "a change in core alone")
        self.assertEqual([x["codebase"] for x in d.get("/buildsets/" + c["buildsets"][0])["stamps"]], ["core"])
        self.assertEqual(d.sql("select count(*) from branch_head where codebase = 'ui'"), [["1"]], "its history stays")

    def test_4_10_4_two_stamps_of_one_codebase_are_an_error(self):
        one = {"codebase": "core", "repository": "r", "branch": "main", "revision": "a" * 40, "why": ""}
        with self.assertRaises(Failed):
            self.d.sql(f"select stamp_set_put(1, '{json.dumps([one, {**one, 'revision': 'b' * 40}])}', 'core', null)")
        self.assertIn("says codebase ui twice", self.cli("build", "p/a", "--at", "ui=main", "--at", "ui=dev", code=2))

    def test_4_10_4_the_same_revisions_are_the_same_set(self):
        list_ = [{"codebase": n, "repository": "r" + n, "branch": "main", "revision": "c" * 40, "why": "x"} for n in NAMES]
        made = {self.d.sql(f"select id from stamp_set_put(1, '{json.dumps(x)}', 'core', null)")[0][0] for x in (list_, list_[::-1])}
        self.assertEqual(len(made), 1)

    # ---- by hand and by time ----

    def asked(self, *argv):
        return self.d.get("/buildsets/" + json.loads(self.cli(*argv, "--json"))["buildset"])

    def test_4_10_19_by_hand(self):
        tip = {n: ("main", head(self.repos[n])) for n in NAMES}
        for n in NAMES:
            self.seen("p", n, "main", tip[n][1])
        b = self.asked("build", "p/a")
        self.assertEqual({k: v[:2] for k, v in self.stamps(b).items()}, tip)
        first = git(self.repos["ui"], "rev-list", "--max-parents=0", "main").strip()
        b = self.asked("build", "p/a", "--at", "ui=" + first, "--at", "server=main")
        self.assertEqual({k: v[:2] for k, v in self.stamps(b).items()}, {**tip, "ui": ("", first)})
        self.assertEqual(self.stamps(b)["ui"][2], "asked for")
        b = self.asked("scheduler", "run", "p/hand", "--at", "ui=" + first)
        self.assertEqual({k: v[:2] for k, v in self.stamps(b).items()}, {**tip, "ui": ("", first)})
        b = self.asked("build", "p/a", "--codebase", "ui", "--revision", first)
        self.assertEqual((b["codebase"], self.stamps(b)["ui"][1], self.stamps(b)["core"][1]), ("ui", first, tip["core"][1]))
        self.assertIn("codebase ui has no nothing", self.cli("build", "p/a", "--at", "ui=nothing", code=2))
        self.assertIn("its codebases are core, server, ui", self.cli("build", "p/a", "--at", "iu=main", code=2))

    def test_4_10_19_a_change_that_is_sent_says_its_codebase(self):
        rev = git(self.repos["server"], "rev-list", "--max-parents=0", "main").strip()
        self.assertIn("which codebase of project p?", self.cli("change", "send", "--project", "p", "--branch", "sent", "--revision", rev, code=2))
        self.cli("change", "send", "--project", "p", "--codebase", "server", "--branch", "sent", "--revision", rev)
        c = self.change("p", "server", rev, "sent")
        self.assertEqual(self.stamps(self.buildset(c))["server"], ("sent", rev, c["id"]))

    def test_4_9_25_a_time_makes_a_stamp_for_each_and_sees_any_that_moved(self):
        ran = lambda: [x for x in self.d.get("/schedulers/t/tick")["decisions"] if x["scheduled"]]  # noqa: E731
        wait_for(ran, "the first time")
        again = "update scheduler set due_at = date_trunc('milliseconds', now()) where name = 'tick'"

        def turn():
            n = len(ran())
            self.d.sql(again)
            return wait_for(lambda: len(r := ran()) > n and r[0], "another time")
        for n in NAMES:
            self.seen("t", n, "main", head(self.repos[n]))
        while turn()["what"] != "nothing":  # until all that other tests have pushed is built
            pass
        self.seen("t", "ui", "main", self.push("ui", "main", "timed"))
        new = lambda: self.d.sql("select changes_since_built(s, 'main') from scheduler s where s.name = 'tick'")[0][0]  # noqa: E731
        self.assertEqual(new(), "1", "whatever codebase it is in")
        r = turn()
        self.assertEqual(r["what"], "built")
        b = self.d.get("/buildsets/" + r["buildset"])
        self.assertEqual({k: v[1] for k, v in self.stamps(b).items()}, {n: head(self.repos[n]) for n in NAMES})
        self.assertEqual((turn()["what"], new()), ("nothing", "0"))

    # ---- codebases of several kinds ----

    def test_4_10_29_the_same_branch_in_repositories_of_other_kinds(self):
        """Each branch of each kind, and which one of each other codebase is the same."""
        kinds = {"core": "git", "ui": "git", "manual": "svn", "book": "svn-folder", "notes": "hg"}
        heads = {"core": ["main", "rel", "dev"], "ui": ["master", "rel"], "manual": ["trunk", "branches/rel", "branches/main"], "book": ["trunk"], "notes": ["default", "dev"]}
        pid = self.d.sql("insert into project (name, main, stamps) values ('kinds', 'core', '{same_branch}') returning id")[0][0]
        for i, (k, vcs) in enumerate(kinds.items()):
            self.d.sql(f"insert into codebase (project, name, number, repository) values ({pid}, '{k}', {i}, 'r{k}'); insert into repository (project, url, vcs) values ({pid}, 'r{k}', '{vcs}')")
            for br in heads[k]:
                self.d.sql(f"insert into branch_head (project, codebase, branch, revision) values ({pid}, '{k}', '{br}', '{k} {br}')")
        none = None
        same = {("core", "main"): ("main", "master", "branches/main", "trunk", "default"), ("core", "rel"): ("rel", "rel", "branches/rel", none, none), ("core", "dev"): ("dev", none, none, none, "dev"),
                ("ui", "master"): ("main", "master", "trunk", "trunk", "default"), ("manual", "trunk"): ("main", "master", "trunk", "trunk", "default"),
                ("manual", "branches/rel"): ("rel", "rel", "branches/rel", none, none), ("manual", "branches/main"): ("main", none, "branches/main", none, none),
                ("book", "trunk"): ("main", "master", "trunk", "trunk", "default"), ("notes", "default"): ("main", "master", "trunk", "trunk", "default"), ("notes", "dev"): ("dev", none, none, none, "dev")}
        called = {("ui", "master"): "main", ("manual", "trunk"): "main", ("manual", "branches/rel"): "rel", ("manual", "branches/main"): "main", ("book", "trunk"): "main", ("notes", "default"): "main", ("manual", "branches/new"): "new"}
        for (cb, br), wanted in same.items():
            got = [(self.d.sql(f"select branch, revision from codebase_same({pid}, '{cb}', '{br}', '{k}')")[0], k) for k in kinds]
            self.assertEqual([g[0] or none for g, _ in got], list(wanted), (cb, br))
            self.assertEqual([g[1] for g, _ in got], [f"{k} {b}" if b else "" for k, b in zip(kinds, wanted)], (cb, br))
        for cb, br in [*same, ("manual", "branches/new"), ("ui", "new")]:
            self.assertEqual(self.d.sql(f"select branch_in_main({pid}, '{cb}', '{br}')")[0][0] or none, called.get((cb, br)), (cb, br))
        # What somebody asks for: a number is one of the default branch, BRANCH@NUMBER one of a branch or tag that is known.
        self.d.sql(f"insert into tag_head (project, codebase, tag, revision) values ({pid}, 'manual', 'v1', '7')")
        for word, wanted in (("42", ["trunk", "42"]), ("branches/rel@41", ["branches/rel", "41"]), ("tags/v1@9", ["tags/v1", "9"]), ("v1", ["tags/v1", "7"]), ("branches/rel", ["branches/rel", "manual branches/rel"]),
                             ("branches/none@4", ["", ""]), ("2147483648", ["", ""]), ("042", ["", ""]), ("@4", ["", ""]), ("a" * 40, ["", ""]), ("rel", ["", ""])):
            self.assertEqual(self.d.sql(f"select branch, revision from codebase_word({pid}, 'manual', '{word}')")[0], wanted, word)
        self.assertEqual(self.d.sql(f"select branch, revision from codebase_word({pid}, 'core', '{'1' * 40}')")[0], ["", "1" * 40], "digits alone are a revision of git")

    # ---- reuse ----

    def test_4_8_12_of_a_set_only_what_is_checked_out_counts(self):
        pid = self.d.sql("insert into project (name, main) values ('reuse', 'core') returning id")[0][0]
        self.d.sql(f"insert into codebase (project, name, number, repository) values ({pid}, 'core', 1, 'rc'), ({pid}, 'ui', 2, 'ru')")

        def ask(core, ui, known=True):
            say = lambda names: {"codebases": names} if known else {}  # noqa: E731
            what = {"builders": [{"name": "core", "tags": [], "needed": True, **say(["core"])}, {"name": "all", "tags": [], "needs": [{"name": "core"}], **say(["core", "ui"])}], "codebase": "ui",
                    "stamps": [{"codebase": "core", "repository": "rc", "branch": "main", "revision": core, "why": ""}, {"codebase": "ui", "repository": "ru", "branch": "main", "revision": ui, "why": ""}]}
            s = self.d.sql(f"select id from buildset_add({pid}, '', 'main', '', 'x', 'test', '{{}}', '{{}}', null, null, 1, null, '{json.dumps(what)}')")[0][0]
            asked = [r[0] for r in self.d.sql(f"select u.name from build_request r join builder u on u.id = r.builder where r.buildset = {s} order by r.id")]
            self.d.sql(f"select request_finish(r.id, 0::smallint, 'test') from build_request r where r.buildset = {s} and r.state <> 'done' order by r.id")
            return asked
        self.assertEqual(ask("1", "1"), ["core", "all"])
        self.assertEqual(ask("1", "2"), ["all"], "a change in ui builds no core")
        self.assertEqual(ask("2", "2"), ["core", "all"])
        self.assertEqual(ask("2", "3", known=False), ["core", "all"], "where nobody knows what it checks out the whole set counts")
        self.assertEqual(ask("2", "3", known=False), ["all"])

    def builders_of(self, buildset):
        """The builders of its own requests: not what was good before."""
        return {r["builder"].removeprefix("d/") for r in buildset["requests"]}

    def test_4_8_30_a_change_sets_off_what_checks_it_out_and_what_follows(self):
        self.settle("d")
        first = self.change("d", "core", self.push("core"))
        b = self.buildset(first)
        self.assertEqual(self.builders_of(b), {"core", "server", "ui", "system", "ship"})
        self.end(b)
        c = self.change("d", "server", self.push("server"))
        b = self.buildset(c)
        self.assertEqual(self.builders_of(b), {"server", "system", "ship"}, "core and ui were good at what they check out")
        self.assertIn("codebase server sets off server, system, ship", self.cli("why", c["id"]))
        c = self.change("d", "ui", self.push("ui"))
        self.assertEqual(self.builders_of(self.buildset(c)), {"ui", "system", "ship", "docs", "server"}, "the server, which was not good yet, is needed")

    def test_4_8_31_no_further_than_until(self):
        c = self.change("d", "core", self.push("core"))
        self.assertEqual(self.builders_of(self.buildset(c, "far")), {"core", "server", "ui", "system"})
        self.assertEqual(self.builders_of(self.buildset(c, "server")), {"core", "server"})
        c = self.change("d", "ui", self.push("ui"))
        self.assertEqual(self.builders_of(self.buildset(c, "far")), {"core", "server", "ui", "system"})
        v = {x["scheduler"]: (x["verdict"], x["rule"], x["why"]) for x in c["verdicts"]}
        self.assertEqual(v["server"], ("no", "from", "codebase ui sets nothing off on the way to server"))
        self.assertIn("far", self.cli("scheduler", "list", "d"))
        self.assertIn("from what has changed until system", self.cli("scheduler", "list", "d"))

    def test_4_8_32_of_changes_that_waited_together_all_count(self):
        self.settle("d")
        c1 = self.change("d", "core", self.push("core", "still"), "still")
        c2 = self.change("d", "ui", self.push("ui", "still"), "still")
        self.assertEqual({v["verdict"] for c in (c1, c2) for v in self.d.get("/changes/" + c["id"])["verdicts"] if v["scheduler"] == "slow"}, {"waits"})
        self.d.sql("update scheduler_state set due_at = now() where name = 'slow' and branch = 'still' and changes <> '{}'")
        b = wait_for(lambda: [x for x in map(lambda s: self.d.get("/buildsets/" + s), self.d.get("/changes/" + c2["id"])["buildsets"]) if x["scheduler"] == "slow"], "the buildset")[0]
        self.assertEqual((sorted(b["changes"]), self.builders_of(b)), (sorted([c1["id"], c2["id"]]), {"core", "server", "docs"}))

    def test_4_10_12_generated(self):
        """2,000 (with DROVER_SOAK 10,000) short histories of heads and buildsets, and which revisions go with a change, against a model that knows nothing but the rules."""
        n, rnd = 10000 if os.environ.get("DROVER_SOAK") else 2000, random.Random(20)
        branches, rules = ["main", "master", "dev"], ["same_branch", "last_good", "tip", "last_seen", "pinned"]
        first = int(self.d.sql("select coalesce(max(id), 0) from project")[0][0]) + 1000
        base = int(self.d.sql("select coalesce(max(id), 0) from buildset")[0][0]) + 1000
        rows = {"project": [], "codebase": [], "branch_head": [], "sourcestamp": [], "stamp_set": [], "stamp_set_stamp": [], "buildset": []}
        wanted, results, stamp, bs = {}, [], base * 10, base
        for p in range(first, first + n):
            mine = rnd.sample(rules, rnd.randint(1, 5))
            rows["project"].append((p, f"gen{p}", "core", "{" + ",".join(mine) + "}"))
            heads, last, pins = {}, {}, {}
            for i, k in enumerate(NAMES):
                pins[k] = rnd.choice([None, "f" * 40, "dev", "unknown"])
                rows["codebase"].append((p, k, i + 1, "r" + k, pins[k]))
                for at, br in enumerate(rnd.sample(branches, rnd.randint(0, 3))):
                    heads[k, br] = (at, f"{p}{k}{br}")
                    rows["branch_head"].append((p, k, br, heads[k, br][1], f"2020-01-01 00:00:0{at}"))
            for _ in range(rnd.randint(0, 4)):
                bs += 1
                result, hand, own = rnd.choice([0, 1, 2, 4]), rnd.random() < .2, rnd.choice(NAMES)
                held = {k: (rnd.choice(branches) if k != own else "dev" if rnd.random() < .5 else "main", f"{bs}{k}") for k in NAMES if k == own or rnd.random() < .8}
                for k, (br, rev) in held.items():
                    stamp += 1
                    rows["sourcestamp"].append((stamp, f"gen{stamp}", p, k, "r" + k, br, rev))
                    rows["stamp_set_stamp"].append((bs, k, stamp))
                rows["stamp_set"].append((bs, f"gen{bs}"))
                rows["buildset"].append((bs, stamp, bs, "s", "gen", "someone" if hand else None))
                results.append((bs, result))
                for k, (br, rev) in held.items():
                    for good in (False, True):
                        if not hand and (result in (0, 1) or not good):
                            last[k, br, good] = (bs, held)
            cb, line = rnd.choice(NAMES), rnd.choice(branches + [None])

            def tip(k):
                here = [(br != "main", br != "master", -at, br, rev) for (c, br), (at, rev) in heads.items() if c == k]
                return min(here)[3:] if here else None

            def word(k, w):
                return None if w is None else ("", w) if len(w) == 40 else (w, heads[k, w][1]) if (k, w) in heads else None

            def before(k, good):
                br = line if line is not None else (tip(cb) or (None,))[0]
                b = last.get((cb, br, good))
                return b and b[1].get(k) and (*b[1][k], f"last {'good' if good else 'seen'}: s{b[0]}")

            def by_rule(k):
                for r in mine + ["tip"]:
                    if r == "same_branch":
                        got = (k, line) in heads and (line, heads[k, line][1], "same branch") or line is not None and line == (tip(cb) or (None,))[0] and (t := tip(k)) and (*t, "same branch")
                    elif r == "pinned":
                        got = (w := word(k, pins[k])) and (*w, f"pinned to {pins[k]}")
                    elif r == "tip":
                        got = (t := tip(k)) and (*t, f"tip of {t[0]}")
                    else:
                        got = before(k, r == "last_good")
                    if got:
                        return got
                return None
            wanted[p] = [cb, line, {k: got for k in NAMES if (got := (line or "", "own", "own") if k == cb else by_rule(k))}]

        def copy(table, columns):
            text = "\n".join("\t".join("\\N" if v is None else str(v) for v in row) for row in rows[table])
            return f"copy {table} ({columns}) from stdin;\n{text}\n\\.\n"
        script = ("begin;\n" + copy("project", "id, name, main, stamps") + copy("codebase", "project, name, number, repository, pin") + copy("branch_head", "project, codebase, branch, revision, seen")
                  + copy("sourcestamp", "id, hash, project, codebase, repository, branch, revision") + copy("stamp_set", "id, hash") + copy("stamp_set_stamp", "stamp_set, codebase, sourcestamp")
                  + copy("buildset", "id, sourcestamp, stamp_set, scheduler, reason, who")
                  + "analyze project, codebase, branch_head, sourcestamp, stamp_set, stamp_set_stamp, buildset;\n"
                  + "create temp table res (id bigint, result int); copy res from stdin;\n" + "\n".join(f"{b}\t{r}" for b, r in results) + "\n\\.\n"
                  + "do $$ declare x record; begin for x in select * from res order by random() loop update buildset b set state = 'done', result = x.result where b.id = x.id; end loop; end $$;\n"
                  + "analyze stamps_last;\n"
                  + "create temp table ask (p bigint, cb text, line text); copy ask from stdin;\n" + "\n".join(f"{p}\t{cb}\t{line if line is not None else chr(92) + 'N'}" for p, (cb, line, _) in wanted.items()) + "\n\\.\n"
                  + "select p || ' ' || stamps_compose(p, cb, line, coalesce(line, ''), 'own', 'own', '{}') from ask order by p;\nrollback;\n")
        out = subprocess.run(self.d.psql_argv("-f", "-"), input=script, capture_output=True, text=True, timeout=300, cwd="/")
        self.assertEqual(out.returncode, 0, out.stderr[-2000:])
        lines = [x for x in out.stdout.splitlines() if x[:1].isdigit()]
        self.assertEqual(len(lines), n)
        rules_met, said = set(), {r[0]: r for r in rows["project"]}
        for x in lines:
            p, got = x.split(" ", 1)
            got = {s["codebase"]: (s["branch"], s["revision"], s["why"]) for s in json.loads(got)}
            self.assertEqual(got, wanted[int(p)][2], (p, wanted[int(p)], said[int(p)]))
            rules_met |= {w.split()[0] + w.split()[1][:4] for _, _, w in got.values() if " " in w}
        self.assertEqual(rules_met, {"samebran", "lastgood", "lastseen", "pinnedto", "tipof"}, "each rule was met")


if __name__ == "__main__":
    unittest.main(verbosity=2)
