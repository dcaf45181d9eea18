#!/usr/bin/env python3
"""What a change causes and why not, with real repositories: filters, markers, quiet times, tags, pull requests, what is superseded; the words of `drover why` literally."""
import json
import os
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, DEADLINE_S, Case, commit, commit_on, free_port, git, make_repo, wait_for  # noqa: E402
from hooks import SECRET, entry, github, push, send  # noqa: E402
from vcsserve import answers  # noqa: E402

SUCCESS, CANCELLED = 0, 6


class Deciding(Case):
    """A master whose projects each have a repository of the same name, seen once."""

    @classmethod
    def repo(cls, project):
        return cls.d.path("repo-" + project)

    def seen(self, project, branch="main"):
        wait_for(lambda: self.d.sql(f"select 1 from branch_head h join project p on p.id = h.project where p.name = '{project}' and h.branch = '{branch}'"), f"the first look at {project}")

    def change(self, project, revision, kind="branch"):
        """Once it is decided."""
        def there():
            for c in self.d.get(f"/changes?project={project}&kind={kind}&limit=1000")["items"]:
                if c["revision"] == revision and c["state"] != "reading":
                    return self.d.get("/changes/" + c["id"])
        return wait_for(there, f"the {kind} change {revision} of {project}")

    def verdicts(self, change):
        """{scheduler: (verdict, rule, why)}"""
        return {v["scheduler"]: (v["verdict"], v["rule"], v["why"]) for v in self.d.get("/changes/" + change["id"])["verdicts"]}

    def why(self, change, requests=False):
        """What `drover why` says, without the lines of requests and of when they begin; ids of buildsets and times become words."""
        p = subprocess.run([f"{BUILD}/drover", "why", change["id"]], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((p.returncode, p.stderr), (0, b""))
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", re.sub(r"\bs\d+", "SET", re.sub(r"\bc\d+\b", lambda m: self.ids.get(m[0], m[0]), p.stdout.decode())))
        return [re.sub(r"^(\w+) +", r"\1 ", x) for x in text.splitlines() if requests or not re.match(r"r\d+ |begins ", x)]

    def setUp(self):
        self.ids = {}

    def name(self, **changes):
        self.ids.update({c["id"]: word for word, c in changes.items()})

    def builds(self, change):
        """All of a change's, at their end."""
        out = []
        for s in self.d.get("/changes/" + change["id"])["buildsets"]:
            for r in self.d.get("/buildsets/" + s)["requests"]:
                out += [self.d.get("/builds/" + b) for b in self.d.wait_request(r["id"])["builds"]]
        return out


class Branches(Deciding):
    PROJECTS = {"p": {}, "calm": {}}
    PIPELINE = """
builders: {a: {steps: [{name: say, run: 'true'}]}, b: {checkout: none, steps: ['true']}}
schedulers:
  commits: {change: {branches: [main, "release/*"], not_only: ["docs/**", "*.md"]}, builders: a}
  code: {change: {only: "src/**"}, builders: b}
  always: {change: {branches: main}, skip: false, builders: b}
  ann: {change: {}, if: 'author != "Ann <ann@example.org>"', builders: b}
  tags: {tag: "v*", builders: b}
"""
    CALM = """
builders: {b: {checkout: none, steps: ['true']}}
schedulers: {calm: {change: {not_only: ["docs/**"]}, stable: 1h}}
"""

    @classmethod
    def prepare(cls):
        make_repo(cls.repo("p"), {".drover.yml": cls.PIPELINE, "src/a": "a"})
        make_repo(cls.repo("calm"), {".drover.yml": cls.CALM})
        cls.d.configure(projects={x: {"git": cls.repo(x), "poll": "200ms"} for x in cls.PROJECTS})

    def setUp(self):
        super().setUp()
        for p in self.PROJECTS:
            self.seen(p)
        git(self.repo("p"), "checkout", "-q", "main")

    def test_by_files(self):
        c = self.change("p", commit(self.repo("p"), {"docs/a": "1", "docs/b/c": "1", "README.md": "1"}, "words only"))
        self.name(C=c)
        self.assertEqual(self.why(c), ["C p main: decided", "  commits  no: all 3 files are under docs/**, *.md (not_only)", "  code     no: none of the 3 files is under src/** (only)",
                                       "  always   builds, as SET", "  ann      no: not so: author != \"Ann <ann@example.org>\"", "  tags     no: it builds tags, and this is a branch"])
        self.assertEqual([b["builder"] for b in self.builds(c)], ["b"])
        c = self.change("p", commit(self.repo("p"), {"docs/a": "2", "src/a": "2"}, "both"))
        self.assertEqual({s: v[0] for s, v in self.verdicts(c).items()}, {"commits": "builds", "code": "builds", "always": "builds", "ann": "no", "tags": "no"})
        self.assertEqual(sorted(b["builder"] for b in self.builds(c)), ["a", "b", "b"])

    def test_by_marker(self):
        c = self.change("p", commit(self.repo("p"), {"src/a": "3"}, "nothing to see\n\n[Skip CI] please"))
        self.name(C=c)
        self.assertEqual(self.why(c)[1:4], ["  commits  no: the message says [skip ci]", "  code     no: the message says [skip ci]", "  always   builds, as SET"])
        self.assertEqual(c["verdicts"][0]["rule"], "skip")

    def test_by_branch(self):
        git(self.repo("p"), "checkout", "-q", "-b", "feature/x")
        c = self.change("p", commit(self.repo("p"), {"src/a": "4"}, "a feature"))
        self.name(C=c)
        self.assertEqual(self.why(c), ["C p feature/x: decided", "  commits  no: branch feature/x is not among main, release/*", "  code     builds, as SET",
                                       "  always   no: branch feature/x is not among main", "  ann      no: not so: author != \"Ann <ann@example.org>\"",
                                       "  tags     no: it builds tags, and this is a branch"])

    def test_without_a_list_of_files(self):
        rev = commit(self.repo("p"), {}, "an empty commit")
        c = self.change("p", rev)
        self.name(C=c)
        self.assertEqual(self.why(c)[1:3], ["  commits  builds, as SET: not all of its files are known, so not_only can't be asked", "  code     builds, as SET: not all of its files are known, so only can't be asked"])

    def test_quiet_time(self):
        docs = self.change("calm", commit(self.repo("calm"), {"docs/a": "0"}, "before: nothing waits"))
        one = self.change("calm", commit(self.repo("calm"), {"a": "1"}, "one"))
        self.name(DOCS=docs, ONE=one)
        self.assertEqual(self.why(docs), ["DOCS calm main: decided", "  calm  no: the file docs/a is under docs/** (not_only)"])
        self.assertEqual(self.why(one), ["ONE calm main: decided", "  calm  waits until TIME, longer if more changes come"])
        two = self.change("calm", commit(self.repo("calm"), {"docs/a": "1"}, "it comes in the quiet time"))
        self.name(TWO=two)
        self.assertEqual(self.why(two), ["TWO calm main: decided", "  calm  waits until TIME, longer if more changes come: in the quiet time of ONE: the file docs/a is under docs/** (not_only)"])
        a, b = (self.d.get("/changes/" + c["id"])["verdicts"][0]["until"] for c in (one, two))
        self.assertEqual(a, b)
        self.d.sql("update scheduler_state set due_at = now() where due_at is not null")  # the hour is over
        wait_for(lambda: self.verdicts(two)["calm"][0] == "builds", "the timer")
        self.assertEqual(self.why(one), ["ONE calm main: decided", "  calm  builds, as SET: superseded by TWO"])
        self.assertEqual(self.why(two), ["TWO calm main: decided", "  calm  builds, as SET: in the quiet time of ONE: the file docs/a is under docs/** (not_only)"])
        self.assertEqual(self.d.get("/changes/" + one["id"])["buildsets"], self.d.get("/changes/" + two["id"])["buildsets"])
        self.assertEqual([b["revision"] for b in self.builds(two)], [two["revision"]])
        self.assertEqual(self.verdicts(docs)["calm"][0], "no")


class Stopping(Deciding):
    PROJECTS = {"p": {}}

    @classmethod
    def prepare(cls):
        make_repo(cls.repo("p"), {".drover.yml": "builders: {b: {checkout: none, steps: ['true']}}\n"})
        cls.d.configure(projects={"p": {"git": cls.repo("p"), "poll": "200ms"}})

    def hold(self, rows):
        """A session that has these rows, until it is closed."""
        p = subprocess.Popen(self.d.psql_argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        p.stdin.write(f"begin; select 'locked' from {rows} order by id desc limit 1 for update;\n".encode())
        p.stdin.flush()
        self.assertEqual(p.stdout.readline(), b"locked\n")
        return p

    def active(self, *statements):
        """Until these are what the database is asked, and no others."""
        def asked():
            got = [x for x, in self.d.sql("select query from pg_stat_activity where state = 'active' and datname = 'drover' and pid <> pg_backend_pid() order by query")]
            return len(got) == len(statements) and all(x.startswith(y) for x, y in zip(got, statements))
        wait_for(asked, f"{statements} alone")

    def test_a_pipeline_that_was_read_in_the_last_moment(self):
        """That its row is there, and that all masters know of the end, is answered in one turn: nothing comes behind it."""
        d = self.d
        self.seen("p")
        self.change("p", commit(self.repo("p"), {"a": "1"}, "its pipeline is known"))
        row = self.hold("pipeline")
        commit(self.repo("p"), {"a": "2"}, "it is read again")
        self.active("insert into pipeline")
        goodbye = self.hold("master")
        d.kill_worker(sig=signal.SIGTERM)
        d.master.terminate()
        self.active("insert into pipeline", "update master set stopped")
        d.master.send_signal(signal.SIGSTOP)
        for session, left in (row, ["update master set stopped"]), (goodbye, []):
            session.stdin.close()
            session.wait(DEADLINE_S)
            session.stdout.close()
            self.active(*left)
        d.master.send_signal(signal.SIGCONT)
        self.assertEqual(d.master.wait(DEADLINE_S), 0)


ENV = "echo [$DROVER_BRANCH] [${DROVER_TAG-none}] [${DROVER_PULL_REQUEST-none}] $(git rev-parse HEAD) $(cat word)"


class Forge(Deciding):
    """A forge: its deliveries come over TCP, and its repositories by a git daemon, with the refs that it keeps for pull requests."""

    @classmethod
    def prepare(cls):
        d = cls.d
        cls.port, cls.git_port = free_port(), free_port()
        with open(os.open(d.path("hook.secret"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(SECRET)
        projects = {}
        for name, more in cls.PROJECTS.items():
            cls.files(name)
            projects[name] = {"git": f"git://127.0.0.1:{cls.git_port}/repo-{name}", "poll": "1h", "hook": {"dialect": "github", "secret": {"file": d.path("hook.secret")}}, **more}
        d.configure(listen={**d.conf["listen"], "api": f"127.0.0.1:{cls.port}"}, projects=projects)
        cls.daemon = d.spawn("git-daemon.log", "git", "-c", "safe.directory=*", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={cls.git_port}", f"--base-path={d.root}")
        wait_for(lambda: answers(cls.git_port), "the git daemon")  # a first look in vain, and the next is an hour later

    @classmethod
    def files(cls, name):
        """Makes the project's repository."""

    @classmethod
    def tearDownClass(cls):
        cls.daemon.terminate()
        cls.daemon.wait()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        for p in self.PROJECTS:
            self.seen(p)
            git(self.repo(p), "checkout", "-q", "main")

    def deliver(self, project, body, event="push"):
        status, answer = send(self.port, project, *github(body, event))
        self.assertIn(status, (200, 202), answer)
        return answer["changes"]

    def off(self, project, branch, files, message):
        """A commit on a branch of its own, which is not told; main is checked out again."""
        git(self.repo(project), "checkout", "-q", "-B", branch, "main")
        rev = commit(self.repo(project), files, message)
        git(self.repo(project), "checkout", "-q", "main")
        return rev

    def pull(self, project, number, revision, into="main", title="a title", fork=False, action="opened"):
        """The forge keeps the head of a pull request and tells of it; the change."""
        git(self.repo(project), "update-ref", f"refs/pull/{number}/head", revision)
        body = {"action": action, "number": number, "repository": {"full_name": "o/r"},
                "pull_request": {"number": number, "title": title, "user": {"login": "bob"}, "html_url": "https://f.example.org/7", "base": {"ref": into, "repo": {"id": 1}},
                                 "head": {"ref": "feature", "sha": revision, "repo": {"id": 2 if fork else 1, "full_name": "b/r" if fork else "o/r", "clone_url": "https://f.example.org/x"}}}}
        self.deliver(project, body, "pull_request")
        return self.change(project, revision, "pull_request")

    def only_build(self, change):
        builds = self.builds(change)
        self.assertEqual(len(builds), 1)
        return builds[0]

    def said(self, build):
        return self.d.log(build["id"], "say", zipped=False).decode().strip()


class Pulls(Forge):
    PROJECTS = {"own": {}, "open": {"forks": "build"}}
    PIPELINE = json.dumps({"builders": {"b": {"steps": [{"name": "say", "run": ENV}, {"name": "not-main", "if": 'branch != "main"', "run": "true"}, {"name": "seven", "if": "pull_request == 7", "run": "true"}]}},
                           "schedulers": {"review": {"pull_request": {"branches": ["main", "release/*"]}}, "commits": {"change": {"branches": "main"}}}})

    @classmethod
    def files(cls, name):
        make_repo(cls.repo(name), {".drover.yml": cls.PIPELINE, "word": "main"})

    def test_in_the_same_repository(self):
        rev = self.off("own", "gone", {"word": "pull"}, "a pull request")
        git(self.repo("own"), "branch", "-q", "-D", "gone")  # so that nothing but the forge's own ref has it
        c = self.pull("own", 7, rev)
        b = self.only_build(c)
        self.assertEqual((b["result"], self.said(b), b["branch"]), (SUCCESS, f"[] [none] [7] {rev} pull", ""))
        self.assertEqual([(s["name"], s["result"]) for s in b["steps"][1:]], [("say", SUCCESS), ("not-main", SUCCESS), ("seven", SUCCESS)])
        self.name(C=c)
        self.assertEqual(self.why(c), ["C own pull request 7 into main: decided", "  review   builds, as SET", "  commits  no: it builds branches, and this is a pull request"])
        self.assertEqual(b["reason"], f"scheduler review saw {c['id']} (pull request 7)")
        again = self.d.post(f"/builds/{b['id']}/rerun", status=201)
        self.assertEqual(self.said(self.d.get("/builds/" + self.d.wait_request(again["requests"][0])["builds"][0])), f"[] [none] [7] {rev} pull")

    def test_into_another_branch(self):
        c = self.pull("own", 8, self.off("own", "dev-8", {"word": "8"}, "8"), into="dev")
        self.assertEqual(self.verdicts(c)["review"], ("no", "branches", "its target dev is not among main, release/*"))
        self.assertEqual(c["buildsets"], [])

    def test_a_title_that_says_so(self):
        c = self.pull("own", 10, self.off("own", "dev-10", {"word": "10"}, "10"), title="WIP [no ci]")
        self.assertEqual(self.verdicts(c)["review"], ("no", "skip", "the title says [no ci]"))

    EVIL = json.dumps({"builders": {"evil": {"steps": [{"name": "say", "run": "echo evil"}]}}, "schedulers": {"evil": {"pull_request": {}}}})

    def test_from_a_fork(self):
        rev = self.off("own", "fork-9", {"word": "fork", ".drover.yml": self.EVIL}, "not to be trusted")
        c = self.pull("own", 9, rev, fork=True)
        self.name(C=c)
        self.assertEqual(self.why(c), ["C own pull request 9 into main: decided", "  review   no: from a fork: waits for approval", "  commits  no: it builds branches, and this is a pull request"])
        self.assertEqual(c["buildsets"], [])
        # The same revision on a branch of the repository is another matter: its own pipeline counts, whatever was read for the fork.
        self.deliver("own", push("fork-9", None, rev, [entry(self.repo("own"), rev)]))
        self.assertEqual(self.verdicts(self.change("own", rev))["evil"], ("no", "kind", "it builds pull requests, and this is a branch"))

    def test_from_a_fork_approved(self):
        """One revision, by the pipeline of the branch that it goes into; what its author pushes next has to be looked at again."""
        rev = self.off("own", "fork-12", {"word": "fork", ".drover.yml": self.EVIL}, "looked at")
        git(self.repo("own"), "branch", "-q", "-D", "fork-12")
        c = self.pull("own", 12, rev, fork=True)
        self.assertEqual(self.verdicts(c)["review"][:2], ("no", "forks"))
        self.assertEqual(self.approve(c), f"approved  {c['id']}: what it causes: drover why {c['id']}\n")
        wait_for(lambda: self.verdicts(c).get("review", ("",))[0] == "builds", "what it causes")
        b = self.only_build(c)
        self.assertEqual((b["builder"], b["result"], b["got_revision"]), ("b", SUCCESS, rev))
        who = self.d.get("/changes/" + c["id"])["approved_by"]
        self.assertEqual(self.approve(c), f"approved  {c['id']} was before, by {who}\n")
        more = self.off("own", "fork-12b", {"word": "more", ".drover.yml": self.EVIL}, "not looked at")
        git(self.repo("own"), "branch", "-q", "-D", "fork-12b")
        again = self.pull("own", 12, more, fork=True, action="synchronize")
        self.assertEqual(self.verdicts(again)["review"][:2], ("no", "forks"))
        for bad, status in (("c999999", 404), ("r1", 400), ("c", 400), ("c1x", 400)):
            self.assertEqual(self.d.api("POST", f"/changes/{bad}/approve", {}).status, status, bad)
        own = self.change("own", self.merge_something())
        a = self.d.api("POST", f"/changes/{own['id']}/approve", {})
        self.assertEqual((a.status, a.json["error"]["code"]), (409, "conflict"))

    def approve(self, change):
        return subprocess.run([f"{BUILD}/drover", "change", "approve", change["id"]], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=True).stdout

    def merge_something(self):
        """A change of a branch, which needs nobody's approval."""
        at = git(self.repo("own"), "rev-parse", "HEAD")
        rev = commit(self.repo("own"), {"word": "own"}, "our own")
        self.deliver("own", push("main", at, rev, [entry(self.repo("own"), rev)]))
        return rev

    def test_from_a_fork_where_the_site_builds_them(self):
        rev = self.off("open", "fork-9", {"word": "fork", ".drover.yml": self.EVIL}, "trusted with nothing but its files")
        git(self.repo("open"), "branch", "-q", "-D", "fork-9")
        c = self.pull("open", 9, rev, fork=True)
        b = self.only_build(c)
        self.assertEqual((b["builder"], b["result"], self.said(b)), ("b", SUCCESS, f"[] [none] [9] {rev} fork"))


class Tags(Forge):
    """told: looked at once an hour, and by hooks. polled: by looking alone. none: the site's pipeline wants no tags."""
    PROJECTS = {"told": {}, "polled": {"poll": "300ms"}, "none": {"poll": "300ms", "builders": {"b": {"checkout": "none", "steps": ["true"]}}},
                "site": {"poll": "300ms", "builders": {"b": {"checkout": "none", "steps": [{"name": "say", "run": "echo $DROVER_TAG"}]}}, "schedulers": {"releases": {"tag": ["v*", "r/*"]}}}}
    PIPELINE = json.dumps({"builders": {"b": {"steps": [{"name": "say", "run": ENV}, {"name": "v1", "if": 'tag == "v1" and branch == none', "run": "true"}]}},
                           "schedulers": {"releases": {"tag": "v*"}, "commits": {"change": {"branches": "main"}}}})

    @classmethod
    def files(cls, name):
        make_repo(cls.repo(name), {".drover.yml": cls.PIPELINE, "word": "main"})
        git(cls.repo(name), "tag", "v0")
        git(cls.repo(name), "tag", "v0.1")

    def setUp(self):
        super().setUp()
        for p in self.PROJECTS:
            if p != "none":
                wait_for(lambda: self.d.sql(f"select 1 from project where name = '{p}' and tags_at is not null"), f"the first look at the tags of {p}")

    def tags(self, project):
        return sorted((c["branch"], c["revision"]) for c in self.d.get(f"/changes?project={project}&kind=tag&limit=1000")["items"])

    def looked(self, project):
        """A whole look began and ended after this."""
        for _ in range(2):
            before = self.at(project)
            wait_for(lambda: self.at(project) > before, f"a look at {project}")

    def at(self, project):
        return next(p["looked"] for p in self.d.get("/projects")["items"] if p["name"] == project) or 0

    def test_by_looking(self):
        self.assertEqual(self.tags("polled"), [])  # the first look notes them
        one = self.off("polled", "loose", {"word": "one"}, "one [skip ci]")
        git(self.repo("polled"), "branch", "-q", "-D", "loose")
        git(self.repo("polled"), "tag", "-a", "-m", "the first", "v1", one)
        c = self.change("polled", one, "tag")
        self.name(C=c)
        self.assertEqual((c["branch"], c["message"].strip(), c["told_by"], c["author"]), ("v1", "one [skip ci]", "git poller", "Ann <ann@example.org>"))
        self.assertEqual(self.why(c), ["C polled tag v1: decided", "  releases  builds, as SET", "  commits   no: it builds branches, and this is a tag"])
        b = self.only_build(c)
        self.assertEqual((b["result"], self.said(b), b["reason"]), (SUCCESS, f"[] [v1] [none] {one} one", f"scheduler releases saw {c['id']} (tag v1)"))
        self.assertEqual([(x["name"], x["result"]) for x in b["steps"][1:]], [("say", SUCCESS), ("v1", SUCCESS)])
        git(self.repo("polled"), "tag", "nightly", one)
        wait_for(lambda: len(self.tags("polled")) == 2, "the other tag")
        n = next(x for x in self.d.get("/changes?project=polled&kind=tag")["items"] if x["branch"] == "nightly")
        wait_for(lambda: self.d.get("/changes/" + n["id"])["state"] == "decided", "its decision")
        self.assertEqual(self.verdicts(n)["releases"], ("no", "tag", "tag nightly is not among v*"))
        # Moved, and back: each time another change.
        two = self.off("polled", "loose", {"word": "two"}, "two")
        git(self.repo("polled"), "tag", "-f", "v1", two)
        self.assertEqual(self.change("polled", two, "tag")["previous"], one)
        git(self.repo("polled"), "tag", "-f", "v1", one)
        wait_for(lambda: self.tags("polled").count(("v1", one)) == 2, "the tag that came back")
        # Deleted, and made again.
        git(self.repo("polled"), "tag", "-d", "v1")
        wait_for(lambda: self.d.sql("select count(*) from tag_head h join project p on p.id = h.project where p.name = 'polled' and h.tag = 'v1'") == [["0"]], "the deletion")
        git(self.repo("polled"), "tag", "v1", one)
        wait_for(lambda: self.tags("polled").count(("v1", one)) == 3, "the tag that was made again")
        self.assertEqual(self.tags("polled").count(("v1", two)), 1)
        self.assertNotIn("v0", {t for t, _ in self.tags("polled")})

    def test_told_twice_is_one_change(self):
        rev = git(self.repo("told"), "rev-parse", "HEAD")
        two = self.off("told", "loose", {"word": "two"}, "two")
        git(self.repo("told"), "tag", "v2", two)
        told = {"ref": "refs/tags/v2", "before": "0" * 40, "after": two, "commits": [], "head_commit": entry(self.repo("told"), two), "repository": {"full_name": "o/r"}}
        made = self.deliver("told", told)
        self.assertEqual([(m["kind"], m["new"]) for m in made], [("tag", True)])
        b = self.only_build(self.change("told", two, "tag"))
        self.assertEqual((b["result"], self.said(b)), (SUCCESS, f"[] [v2] [none] {two} two"))
        self.look("told")
        self.assertEqual(self.tags("told"), [("v2", two)])
        # The hook of an older move comes late: the head is not there, nothing is built again.
        git(self.repo("told"), "tag", "-f", "v2", rev)
        self.look("told")
        wait_for(lambda: ("v2", rev) in self.tags("told"), "the moved tag")
        late = self.deliver("told", told)
        self.assertEqual([m["new"] for m in late], [False])
        self.look("told")
        self.assertEqual(self.tags("told"), sorted([("v2", rev), ("v2", two)]))

    def look(self, project):
        """The repository is looked at because a deletion is told that does not fit."""
        before = self.at(project)
        self.deliver(project, push("main", "b" * 40, None))
        wait_for(lambda: self.at(project) > before, f"a look at {project}")

    def test_of_the_sites_pipeline(self):
        rev = git(self.repo("site"), "rev-parse", "HEAD")
        git(self.repo("site"), "tag", "r/1", rev)
        b = self.only_build(self.change("site", rev, "tag"))
        self.assertEqual((b["result"], self.said(b)), (SUCCESS, "r/1"))

    def test_unless_a_pipeline_wants_them(self):
        git(self.repo("none"), "tag", "v1")
        self.looked("none")
        self.assertEqual(self.tags("none"), [])
        self.assertEqual(self.d.sql("select tags_at is null, (select count(*) from tag_head h where h.project = p.id) from project p where name = 'none'"), [["t", "0"]])


class Superseded(Forge):
    """Builds wait for a file; what a newer change makes needless is cancelled, pending and running. site: decided with the delivery; repo: after the pipeline was read."""
    PROJECTS = {"site": {}, "repo": {}}
    WORKERS = {"here": {"slots": 2}}

    @classmethod
    def files(cls, name):
        pipeline = {"builders": {x: {"checkout": "none", "steps": [{"name": "wait", "run": f"while ! [ -e {cls.d.path('go')} ]; do sleep 0.1; done"}]} for x in ("a", "b", "c")},
                    "schedulers": {"commits": {"change": {"branches": ["main", "dev"]}, "supersede": True}, "calm": {"change": {"branches": "calm"}, "stable": "1s", "supersede": True, "builders": "a"}, "review": {"pull_request": {}, "supersede": True, "builders": "a"},
                                   "keep": {"change": {"branches": "main"}, "builders": "a", "priority": 'branch == "main" ? 10 : 90'}}}
        if name == "site":
            cls.PROJECTS["site"].update(pipeline)
        make_repo(cls.repo(name), {".drover.yml": json.dumps(pipeline), "word": "main"})

    def requests(self, change, scheduler):
        v = {v["scheduler"]: v for v in self.d.get("/changes/" + change["id"])["verdicts"]}[scheduler]
        return self.d.get("/buildsets/" + v["buildset"])["requests"]

    def told(self, project, branch, text):
        """One more commit on a branch, told by the forge; its change."""
        rev = commit_on(self.repo(project), branch, {"word": text}, text)
        at = git(self.repo(project), "rev-parse", "HEAD^")
        git(self.repo(project), "checkout", "-q", "main")
        self.deliver(project, push(branch, at, rev, [entry(self.repo(project), rev)]))
        return self.change(project, rev)

    def while_running(self, project):
        one = self.told(project, "main", "one")
        other = self.told(project, "dev", "another branch")
        running = [self.d.wait_build(r["id"], lambda b: b["state"] == "running") for r in self.requests(one, "commits") if r["builder"] in ("a", "b")]
        two = self.told(project, "main", "two")
        for r in self.requests(one, "commits"):
            r = self.d.wait_request(r["id"])
            self.assertEqual((r["result"], r["why"]), (CANCELLED, f"superseded by {two['id']}"))
            self.assertEqual(len(r["builds"]), 0 if r["builder"] == "c" else 1)
        for b in running:
            b = wait_for(lambda: (x := self.d.get("/builds/" + b["id"]))["state"] == "done" and x, "the end of the cancelled build")
            self.assertEqual(b["result"], CANCELLED)
        self.name(TWO=two)
        p = self.why(one, requests=True)
        self.assertIn("superseded by TWO", "".join(p))
        self.assertEqual({r["state"] for r in self.requests(one, "keep")} | {r["state"] for r in self.requests(other, "commits")} - {"claimed"}, {"pending"})
        self.assertEqual([r["priority"] for r in self.requests(one, "keep") + self.requests(two, "commits")], [10, 50, 50, 50])
        open(self.d.path("go"), "w").close()
        for change, scheduler in ((one, "keep"), (other, "commits"), (two, "commits"), (two, "keep")):
            self.assertEqual([self.d.wait_request(r["id"])["result"] for r in self.requests(change, scheduler)], [SUCCESS] * len(self.requests(change, scheduler)))
        self.assertEqual(self.d.sql("select count(*) from buildset where state = 'open'"), [["0"]])

    def tearDown(self):
        open(self.d.path("go"), "w").close()
        left = "select (select count(*) from change where state = 'reading') + (select count(*) from scheduler_state where due_at is not null) + (select count(*) from build where state <> 'done') + (select count(*) from build_request where state <> 'done')"
        wait_for(lambda: self.d.sql(left) == [["0"]], "the end of all builds, and of what would make some")
        os.unlink(self.d.path("go"))

    def test_decided_with_the_delivery(self):
        self.while_running("site")

    def test_decided_after_reading(self):
        self.while_running("repo")

    def test_pull_requests(self):
        first = self.pull("repo", 7, self.off("repo", "p7", {"word": "7"}, "7"))
        other = self.pull("repo", 8, self.off("repo", "p8", {"word": "8"}, "8"))
        second = self.pull("repo", 7, self.off("repo", "p7", {"word": "7a"}, "7a"), action="synchronize")
        r = self.d.wait_request(self.requests(first, "review")[0]["id"])
        self.assertEqual((r["result"], r["why"]), (CANCELLED, f"superseded by {second['id']}"))
        wait_for(lambda: {r["state"] for r in self.requests(other, "review") + self.requests(second, "review")} == {"claimed"}, "both to be built")

    def test_after_the_quiet_time(self):
        one = self.told("repo", "calm", "one")
        wait_for(lambda: self.verdicts(one)["calm"][0] == "builds", "the timer")
        self.d.wait_build(self.requests(one, "calm")[0]["id"], lambda b: b["state"] == "running")
        two = self.told("repo", "calm", "two")
        r = self.d.wait_request(self.requests(one, "calm")[0]["id"])
        self.assertEqual((r["result"], r["why"]), (CANCELLED, f"superseded by {two['id']}"))
        self.assertEqual(self.verdicts(two)["calm"][0], "builds")

    def test_an_older_one_that_is_decided_later(self):
        old, at = "d" * 40, git(self.repo("site"), "rev-parse", "HEAD")
        self.d.sql("begin; select change_put(p.id, 'branch', 'main', 0, '', 'x', '{\"revision\": \"" + old + "\"}', 'test', false, true) from project p where p.name = 'site'; "
                   f"update change set due_at = 'infinity' where revision = '{old}'; commit")
        two = self.told("site", "main", "newer")
        self.d.sql(f"update change set due_at = now() where revision = '{old}'")
        self.name(TWO=two)
        c = self.change("site", old)
        self.assertEqual([self.verdicts(c)[s] for s in ("commits", "keep")], [("no", "supersede", f"superseded by {two['id']}"), ("builds", None, "priority 10")])
        self.assertNotEqual(at, two["revision"])
        self.assertEqual({r["state"] for r in self.requests(two, "commits")} - {"claimed", "pending"}, set())


if __name__ == "__main__":
    unittest.main(verbosity=2)
