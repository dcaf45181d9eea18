#!/usr/bin/env python3
"""Several codebases in one build, on real git: folders, one within another, submodules, short histories, what is kept, agents and masters that die on the way."""
import glob
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, commit, git, make_repo, slow, wait_for  # noqa: E402
from gitserve import GitHttp  # noqa: E402
from vcsserve import Hg, Svn, SvnServe  # noqa: E402

SUCCESS, FAILURE, EXCEPTION = 0, 2, 4
SHOW = 'for f in $(find . -name word | sort); do echo "$f $(cat $f)"; done'
NAMES = ("core", "server", "ui")


def stamps(of, off="core", project="p"):
    """The last statement of a transaction: the newest buildset is of these stamps, {codebase: (repository, branch, revision)}."""
    rows = ", ".join(f"('{c}', '{r}', '{b}', '{v}')" for c, (r, b, v) in of.items())
    return f"""with v(codebase, repository, branch, revision) as (values {rows}),
      s as (insert into sourcestamp (hash, project, codebase, repository, branch, revision) select 'test ' || gen_random_uuid(), p.id, v.* from v, project p where p.name = '{project}' returning id, codebase),
      t as (insert into stamp_set (hash) values (gen_random_uuid()::text) returning id),
      x as (insert into stamp_set_stamp (stamp_set, codebase, sourcestamp) select t.id, s.codebase, s.id from s, t)
      update buildset b set stamp_set = t.id, sourcestamp = (select id from s where codebase = '{off}') from t where b.id = (select max(id) from buildset)"""


class Sets(Case):
    """The pipeline and the stamps are rows: what a build makes of them, whoever wrote them."""
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 1}}

    @classmethod
    def prepare(cls):
        cls.repo = {name: cls.d.path(name) for name in (*NAMES, "part", "deep")}
        for name, path in cls.repo.items():
            make_repo(path, {"word": f"{name} 1\n"})
        git(cls.repo["part"], "-c", "protocol.file.allow=always", "submodule", "add", "-q", "../deep", "in/deep")
        git(cls.repo["part"], "commit", "-q", "-m", "deep")
        cls.d.configure(projects={"p": {"git": cls.repo["core"], "poll": "1h", "builders": {"b": {"steps": [{"name": "show", "run": "true"}]}}, "schedulers": {"none": {"force": {}}}}})

    def set_up(self, builder, of, off="core"):
        """A build of that builder and these stamps; its request."""
        self.d.post("/pause", {"object": "all"})
        rid = self.d.ask("p/b", branch="main")
        text = json.dumps({"builders": {"b": builder}})
        self.d.sql(stamps(of, off))
        self.d.sql(f"with p as (insert into pipeline (hash, body) values ('test ' || gen_random_uuid(), convert_to($x${text}$x$, 'UTF8')) returning id) update buildset b set pipeline = p.id from p where b.id = (select max(id) from buildset)")
        self.d.post("/resume", {"object": "all"})
        return rid

    def build(self, builder, of, off="core"):
        r = self.d.wait_request(self.set_up(builder, of, off))
        return self.d.get("/builds/" + r["builds"][-1])

    def at(self, *names, **revisions):
        return {n: (self.repo[n], "main", revisions.get(n, git(self.repo[n], "rev-parse", "HEAD"))) for n in names}

    def shown(self, b, step="show"):
        return self.d.log(b["id"], step).decode().splitlines()

    def commands(self, b, step):
        return [c["name"] for s in b["steps"] if s["name"] == step for c in s["commands"]]

    def tree(self):
        return glob.glob(self.d.path("work-here", "work", "p", "**", "tree"), recursive=True)[0]

    def test_1_three_in_folders(self):
        """4.10.20, 4.10.21"""
        env = 'echo "$DROVER_REVISION $DROVER_BRANCH $DROVER_REVISION_CORE $DROVER_REVISION_SERVER $DROVER_BRANCH_UI"'
        builder = {"checkout": list(NAMES), "steps": [{"name": "show", "run": SHOW}, {"name": "env", "run": env},
                                                      {"name": "said", "run": ["echo", "${{ stamps.ui.revision }} ${{ stamps.ui.branch }} ${{ stamps['core'].repository }}"], "if": "stamps.ui.branch == 'main'"}]}
        of = self.at(*NAMES)
        of["ui"] = (of["ui"][0], "main", "")  # its tip, whatever that is
        b = self.build(builder, of, off="server")
        self.assertEqual((b["result"], [s["name"] for s in b["steps"]]), (SUCCESS, ["checkout-core", "checkout-server", "checkout-ui", "show", "env", "said"]), b["why"])
        self.assertEqual(self.shown(b), [f"./{n}/word {n} 1" for n in NAMES])
        tips = {n: git(self.repo[n], "rev-parse", "HEAD") for n in NAMES}
        self.assertEqual(self.shown(b, "env"), [" ".join((tips["server"], "main", tips["core"], tips["server"], "main"))])
        self.assertEqual(self.shown(b, "said"), [f"{tips['ui']} main {self.repo['core']}"])
        self.assertEqual({t["codebase"]: (t["revision"], t["got_revision"], t["set_off"]) for t in b["stamps"]},
                         {n: ("" if n == "ui" else tips[n], tips[n], n == "server") for n in NAMES})
        self.assertEqual((b["revision"], b["got_revision"]), (tips["server"], tips["server"]))
        self.assertEqual(b["steps"][1]["summary"], "server " + tips["server"][:12])
        # the next one fetches into what is there, and an older revision is no trouble
        old = git(self.repo["ui"], "rev-parse", "HEAD")
        commit(self.repo["ui"], {"word": "ui 2\n"}, "two")
        tell = "insert into change (project, codebase, repository, branch, revision, told_by, state) select id, '%s', '', 'main', '%s', 'test', 'decided' from project where name = 'p' returning 'c' || id"
        for name in NAMES:
            self.d.sql(tell % (name, tips[name]))
        [[two]] = self.d.sql(tell % ("ui", git(self.repo["ui"], "rev-parse", "HEAD")))
        before, b = b, self.build(builder, self.at(*NAMES))
        self.assertEqual(([c["id"] for c in b["changes"]], b["since"]), ([two], before["id"]), "4.3.16: of each codebase what is newer than in the build before")
        self.assertEqual((b["result"], self.shown(b)[2], self.commands(b, "checkout-ui")), (SUCCESS, "./ui/word ui 2", ["trust", "fetch", "checkout", "clean", "revision"]))
        b = self.build(builder, self.at(*NAMES, ui=old))
        self.assertEqual((b["result"], self.shown(b)[2]), (SUCCESS, "./ui/word ui 1"))

    def test_2_one_within_another(self):
        """4.10.22: the parent comes first, whatever stands first, and leaves alone what lies in it."""
        builder = {"checkout": [{"ui": {"to": "lib/u i"}}, {"core": {"to": "."}}, {"server": {"to": "lib/u i/srv"}}], "steps": [{"name": "show", "run": 'find . -name word | sort; ls -a "lib/u i"; echo x >rubbish; echo x >"lib/u i/rubbish"'}]}
        for again in (False, True):
            b = self.build(builder, self.at(*NAMES))
            self.assertEqual((b["result"], [s["name"] for s in b["steps"][:3]]), (SUCCESS, ["checkout-core", "checkout-ui", "checkout-server"]), b["why"])
            self.assertEqual(self.shown(b), ["./lib/u i/srv/word", "./lib/u i/word", "./word", ".", "..", ".git", "srv", "word"])
            for name in ("checkout-core", "checkout-ui", "checkout-server"):
                self.assertIn("fetch" if again else "clone", self.commands(b, name))

    def test_3_another_layout(self):
        """4.10.23: a tree of another layout is made anew, once."""
        folders, top = {"checkout": list(NAMES), "steps": [{"name": "show", "run": SHOW}]}, {"checkout": "core", "steps": [{"name": "show", "run": SHOW}]}
        moved = {"checkout": ["core", {"ui": {"to": "web"}}, "server"], "steps": [{"name": "show", "run": SHOW}]}
        self.build({"checkout": {"core": {"to": "else/where"}}, "steps": ["true"]}, self.at("core"))
        for builder, words in ((folders, ["core/word", "server/word", "ui/word"]), (top, ["word"]), (moved, ["core/word", "server/word", "web/word"]), (folders, ["core/word", "server/word", "ui/word"])):
            for again in (False, True):
                b = self.build(builder, self.at(*NAMES))
                self.assertEqual((b["result"], [x.split()[0] for x in self.shown(b)]), (SUCCESS, ["./" + w for w in words]), b["why"])
                self.assertEqual(("wipe" in [t["state"] for t in b["steps"][0]["trail"]], "clone" in self.commands(b, b["steps"][0]["name"])), (not again, not again))

    def test_4_submodules(self):
        """4.10.24"""
        builder = {"checkout": {"part": {"submodules": True}}, "steps": [{"name": "show", "run": SHOW + "; ls in/deep; echo x >in/deep/rubbish"}]}
        b = self.build(builder, self.at("part"), off="part")
        self.assertEqual((b["result"], self.shown(b)), (SUCCESS, ["./in/deep/word deep 1", "./word part 1", "word"]), b["why"])
        # the submodule moves on, and so does the place of both: its address counts from where the repository is now
        commit(self.repo["deep"], {"word": "deep 2\n"}, "two")
        git(os.path.join(self.repo["part"], "in/deep"), "pull", "-q", "origin", "main")
        commit(self.repo["part"], {"word": "part 2\n"}, "two")
        os.mkdir(self.d.path("moved"))
        for name in ("part", "deep"):
            git(self.d.root, "clone", "-q", "--bare", self.repo[name], self.d.path("moved", name))
        git(self.d.path("moved", "deep"), "update-ref", "refs/heads/new", commit(self.repo["deep"], {"word": "deep 3\n"}, "three"), ok=False)
        b = self.build(builder, {"part": (self.d.path("moved", "part"), "main", git(self.repo["part"], "rev-parse", "HEAD"))}, off="part")
        self.assertEqual((b["result"], self.shown(b)), (SUCCESS, ["./in/deep/word deep 2", "./word part 2", "word"]), b["why"])
        self.assertEqual(git(os.path.join(self.tree(), "in/deep"), "config", "remote.origin.url"), self.d.path("moved", "deep"))

    def test_5_kept(self):
        """4.10.25: what is untracked stays, what is of the repository is as it is there."""
        builder = {"checkout": {"core": {"clean": False}}, "steps": [{"name": "show", "run": "ls; cat word; echo mine >>word; echo x >kept"}]}
        self.build(builder, self.at("core"))
        b = self.build(builder, self.at("core"))
        self.assertEqual((b["result"], self.shown(b)), (SUCCESS, ["kept", "word", "core 1"]), b["why"])
        b = self.build({"checkout": "core", "steps": [{"name": "show", "run": "ls"}]}, self.at("core"))
        self.assertEqual(self.shown(b), ["word"])

    def test_6_no_such_codebase(self):
        """4.10.26"""
        b = self.build({"checkout": ["core", "docs"], "steps": ["true"]}, self.at("core"))
        self.assertEqual((b["result"], b["steps"][1]["summary"]), (EXCEPTION, 'nothing of the codebase "docs" is to be built: it was no codebase of the project when this was asked for'))
        b = self.build({"checkout": "core", "steps": [{"name": "s", "run": ["echo", "${{ stamps.docs.revision }}"]}]}, self.at("core"))
        self.assertEqual(b["result"], EXCEPTION)
        self.assertIn("stamps.docs.revision", b["why"])

    def test_7_killed_in_the_second(self):
        """4.10.27: the agent dies in the middle of a checkout; its minder goes on, and so does the build."""
        builder = {"checkout": list(NAMES), "steps": [{"name": "show", "run": SHOW}]}
        with SlowGit(self.d, self.repo["server"]) as slow:
            of = self.at(*NAMES)
            of["server"] = (slow.url, "main", of["server"][2])
            rid = self.set_up(builder, of)
            b = self.d.wait_build(rid, lambda b: (b["now"] or {}).get("name") == "checkout-server" and b["now"]["state"] in ("clone", "fetch") and slow.asked(), "the second checkout")
            self.d.kill_worker()
            self.d.start_worker()
            slow.go()
            r = self.d.wait_request(rid)
            b = self.d.get("/builds/" + r["builds"][-1])
            self.assertEqual((b["result"], len(r["builds"]), len(self.shown(b))), (SUCCESS, 1, 3), b["why"])

    def test_8_adopted_by_another_master(self):
        """4.10.27: the next master goes on with the same codebase, knowing what the ones before it brought."""
        builder = {"checkout": list(NAMES), "steps": [{"name": "show", "run": SHOW + '; echo "$DROVER_REVISION_CORE"'}]}
        with SlowGit(self.d, self.repo["server"]) as slow:
            of = self.at(*NAMES, core="")
            of["server"] = (slow.url, "main", of["server"][2])
            rid = self.set_up(builder, of, off="server")
            self.d.wait_build(rid, lambda b: (b["now"] or {}).get("name") == "checkout-server" and slow.asked(), "the second checkout")
            self.d.kill_master()
            slow.go()
            self.d.start_master()
            r = self.d.wait_request(rid)
            b = self.d.get("/builds/" + r["builds"][-1])
            core = git(self.repo["core"], "rev-parse", "HEAD")
            self.assertEqual((b["result"], len(r["builds"]), self.shown(b)[-1]), (SUCCESS, 1, core), b["why"])
            self.assertEqual([t["got_revision"] for t in b["stamps"]], [core, of["server"][2], of["ui"][2]])


class SlowGit:
    """A repository over smart http whose first answer waits."""

    def __init__(self, d, repo):
        self.flag, self.seen = d.path("slow.go"), []
        self.served = GitHttp(os.path.dirname(repo), wants=self.wants)
        self.url = self.served.url(os.path.basename(repo))

    def wants(self, headers):
        self.seen.append(1)
        wait_for(lambda: os.path.exists(self.flag), "the repository's turn", 60)
        return True

    def asked(self):
        return bool(self.seen)

    def go(self):
        open(self.flag, "w").close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go()
        self.served.close()
        os.unlink(self.flag)


class One(Case):
    """A project with one repository has the options too."""
    PROJECTS = {"g": {}}

    @classmethod
    def prepare(cls):
        cls.repo = cls.d.path("served", "repo")
        os.mkdir(cls.d.path("served"))
        make_repo(cls.repo, {"word": "1\n"})
        cls.revs = [commit(cls.repo, {"word": f"{i}\n"}, str(i)) for i in range(2, 9)]
        cls.http = GitHttp(cls.d.path("served"))
        count = [{"name": "count", "run": "git rev-list --count HEAD; cat word"}]
        cls.d.configure(projects={"g": {"git": cls.http.url("repo"), "poll": "1h", "builders": {
            "short": {"checkout": {"depth": 2}, "steps": count}, "whole": {"checkout": {"depth": 1}, "steps": count},
            "to": {"steps": [{"name": "before", "run": "mkdir -p sub"}, {"checkout": {"to": "sub/tree"}}, {"name": "count", "run": "cd sub/tree; git rev-list --count HEAD; cat word"}]}}, "schedulers": {"none": {"force": {}}}}})

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.http.close()

    def shown(self, b):
        return self.d.log(b["id"], "count").decode().split()

    def names(self, b):
        return [c["name"] for s in b["steps"] if s["kind"] == "git" for c in s["commands"]]

    def test_1_short_history(self):
        """4.10.28: the revision alone, also an older one, from what is there and from nothing."""
        git(self.repo, "config", "uploadpack.allowAnySHA1InWant", "true")
        b = self.d.run("g/short", branch="main")
        self.assertEqual((b["result"], self.shown(b), self.names(b)), (SUCCESS, ["2", "8"], ["init", "shallow", "checkout", "clean", "revision"]), b["why"])
        b = self.d.run("g/short", branch="main", revision=self.revs[1])
        self.assertEqual((b["result"], self.shown(b), b["got_revision"]), (SUCCESS, ["2", "3"], self.revs[1]), b["why"])

    def test_2_not_given_out(self):
        """4.10.28: what the server does not give out alone, and a short revision, which it can't: all of it is fetched."""
        git(self.repo, "config", "uploadpack.allowAnySHA1InWant", "false")
        for revision, count in ((self.revs[2], "4"), (self.revs[1][:10], "3")):
            b = self.d.run("g/whole", branch="main", revision=revision)
            self.assertEqual((b["result"], self.shown(b)), (SUCCESS, [count, count]), b["why"])
            self.assertEqual(self.names(b)[-5:], ["shallow", "fetch", "checkout", "clean", "revision"])

    def test_3_somewhere_else(self):
        for _ in range(2):
            b = self.d.run("g/to", branch="main")
            self.assertEqual((b["result"], self.shown(b)), (SUCCESS, ["8", "8"]), b["why"])

    def test_4_no_codebases(self):
        """4.10.26: where there is one repository the name of a codebase is refused with the configuration."""
        before = self.d.conf["projects"]
        self.d.configure(projects={"g": {**before["g"], "builders": {"named": {"checkout": "core", "steps": ["true"]}}}})
        a = self.d.api("POST", "/config/activate", {})
        self.d.configure(projects=before)
        self.assertEqual(a.status, 400)
        self.assertIn('the project has one repository, and no codebase "core"', a.json["error"]["help"])


SHOWS = {"name": "show", "run": SHOW + '; echo "$DROVER_REVISION_CORE $DROVER_REVISION_UI $DROVER_REVISION_MANUAL $DROVER_REVISION_NOTES"; echo x >manual/rubbish; echo x >core/notes/rubbish'}
OF_ALL = {"checkout": ["core", "ui", "manual", {"notes": {"to": "core/notes"}}], "steps": [SHOWS]}
# A merge, say: a commit on a branch of ui that nobody watches for, which the build tells, and what it then triggers.
MAKES = {"checkout": ["core", "ui"], "steps": [{"name": "make", "run": "cd ui; git config user.email ann@example.org; git config user.name Ann; echo 'ui made' >word; git commit -qam made; git push -q -f origin HEAD:refs/heads/made\n"
                                                                   "echo ui $(git rev-parse HEAD) made >$DROVER_REPORT/stamps"},
                                               {"name": "go", "trigger": {"builders": "each", "wait": True, "stamps": {"ui": "derived", "manual": 2, "notes": "tip", "core": "same"}}}]}
PIPELINE = {"builders": {"each": OF_ALL, "makes": MAKES, "within": {"checkout": [{"manual": {"to": "."}}, {"core": {"to": "lib/core"}}], "steps": [{"name": "show", "run": "find . -name rubbish; " + SHOW + "; echo x >rubbish"}]}},
            "schedulers": {"pushes": {"change": {"branches": ["main", "rel*"]}, "builders": "each"}, "slow": {"change": {"branches": "main"}, "stable": "1h", "builders": "each"}}}


class Kinds(Case):
    """Repositories of git, Subversion (by its own server) and Mercurial in one project; the pipeline is that of core. Its default branch is called main, that of ui master, of manual trunk, of notes default."""
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 1}}
    NAMES = ("core", "ui", "manual", "notes")

    @classmethod
    def prepare(cls):
        d = cls.d
        cls.core, cls.ui = d.path("core"), d.path("ui")
        make_repo(cls.core, {".drover.yml": json.dumps(PIPELINE), "word": "core 1\n"})
        make_repo(cls.ui, {"word": "ui 1\n"})
        git(cls.ui, "branch", "-m", "main", "master")
        cls.svn, cls.hg = Svn(d.path("manual")), Hg(d.path("notes"))
        cls.svn.commit({"word": "manual 1\n"})
        cls.hg.commit({"word": "notes 1\n"})
        cls.serve = SvnServe(d, d.root)
        cls.projects = {"p": {"codebases": {"core": {"git": cls.core, "poll": "300ms"}, "ui": {"git": cls.ui, "poll": "300ms"}, "manual": {"svn": cls.serve.url("manual"), "poll": "500ms"}, "notes": {"hg": cls.hg.path, "poll": "1h"}},
                              "stamps": {"others": ["same_branch", "tip"]}}}
        d.configure(projects=cls.projects)

    @classmethod
    def tearDownClass(cls):
        cls.serve.close()
        super().tearDownClass()

    def setUp(self):
        wait_for(lambda: self.d.sql("select count(distinct codebase) from branch_head") == [["4"]], "the first looks")

    def cli(self, *argv, code=0, cwd=None):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock"), "GIT_CONFIG_GLOBAL": "/dev/null"}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, cwd=cwd)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return p.stdout if not code else p.stderr

    def seen(self, codebase, branch, revision):
        wait_for(lambda: self.d.sql(f"select 1 from branch_head where codebase = '{codebase}' and branch = '{branch}' and revision = '{revision}'"), f"{codebase} {branch} at {revision}")

    def change(self, codebase, revision, branch):
        """The change once it is decided."""
        def there():
            rows = [c for c in self.d.get("/changes?project=p&limit=200")["items"] if (c["codebase"], c["revision"], c["branch"]) == (codebase, revision, branch)]
            return rows and rows[0]["state"] in ("decided", "failed") and self.d.get("/changes/" + rows[0]["id"])
        return wait_for(there, f"the change {codebase} {branch} {revision}")

    def built(self, buildset):
        """Its set and its build, when that is over."""
        s = self.d.get("/buildsets/" + buildset)
        r = self.d.wait_request(s["requests"][0]["id"], 60)
        return {x["codebase"]: (x["branch"], x["revision"], x["why"]) for x in s["stamps"]}, self.d.get("/builds/" + r["builds"][-1])

    def of(self, change):
        v = {x["scheduler"]: x for x in change["verdicts"]}
        self.assertEqual(v["pushes"]["verdict"], "builds", v)
        return self.built(v["pushes"]["buildset"])

    def head(self, repo, branch):
        return git(repo, "rev-parse", branch)

    def shown(self, b):
        return self.d.log(b["id"], "show").decode().splitlines()

    def good(self, b):
        """Each was checked out by its own kind, as its stamp says; lines that the step shows."""
        self.assertEqual((b["result"], [(s["name"], s["kind"]) for s in b["steps"]]),
                         (SUCCESS, [("checkout-core", "git"), ("checkout-ui", "git"), ("checkout-manual", "svn"), ("checkout-notes", "hg"), ("show", "shell")]), b["why"])
        of = {x["codebase"]: x for x in b["stamps"]}
        self.assertEqual({n: of[n]["got_revision"] for n in self.NAMES}, {n: of[n]["revision"] for n in self.NAMES})
        *lines, revisions = self.shown(b)
        self.assertEqual(revisions.split(), [of[n]["revision"] for n in self.NAMES])
        return lines

    def test_1_each_by_its_own_kind(self):
        """4.10.29 to 4.10.31: a commit to trunk; and what waits for a quiet time waits together."""
        for n in (2, 3):  # the second time each tree is there, and has rubbish in it
            rev = self.svn.commit({"word": f"manual {n}\n"})
            c = self.change("manual", rev, "trunk")
            stamps, b = self.of(c)
            self.assertEqual(stamps, {"core": ("main", self.head(self.core, "main"), "same branch"), "ui": ("master", self.head(self.ui, "master"), "same branch"), "manual": ("trunk", rev, c["id"]),
                                      "notes": ("default", self.hg.tip(), "same branch")})
            self.assertEqual(self.good(b), ["./core/notes/word notes 1", "./core/word core 1", f"./manual/word manual {n}", "./ui/word ui 1"])
            self.assertEqual((b["revision"], b["got_revision"], b["branch"]), (rev, rev, "trunk"))
        waiting = self.d.get("/schedulers/p/slow")["pending"]
        c2 = self.change("ui", commit(self.ui, {"word": "ui 2\n"}, "two"), "master")
        after = self.d.get("/schedulers/p/slow")["pending"]
        self.assertEqual([p["branch"] for p in after], ["main"])
        self.assertEqual(after[0]["changes"], [*waiting[0]["changes"], c2["id"]])

    @slow
    def test_2_branches_of_the_same_name(self):
        """4.10.29: branches/rel1 of Subversion, and rel1."""
        at = self.svn.copy("trunk", "branches/rel1")
        self.seen("manual", "branches/rel1", at)
        git(self.core, "checkout", "-q", "-b", "rel1")
        rev = commit(self.core, {"word": "core rel1\n"}, "rel1")
        git(self.core, "checkout", "-q", "main")
        stamps, b = self.of(c := self.change("core", rev, "rel1"))
        self.assertEqual(stamps, {"core": ("rel1", rev, c["id"]), "manual": ("branches/rel1", at, "same branch"), "ui": ("master", self.head(self.ui, "master"), "tip of master"), "notes": ("default", self.hg.tip(), "tip of default")})
        self.assertIn("./core/word core rel1", self.good(b))
        own = self.svn.commit({"word": "manual rel1\n"}, branch="branches/rel1")
        stamps, b = self.of(c := self.change("manual", own, "branches/rel1"))
        self.assertEqual((stamps["core"], stamps["manual"]), (("rel1", rev, "same branch"), ("branches/rel1", own, c["id"])))
        self.assertLess({"./core/word core rel1", "./manual/word manual rel1"}, set(self.good(b)))

    @slow
    def test_3_one_in_the_tree_of_another_kind(self):
        """4.10.31: what Subversion throws away with its rubbish comes anew."""
        for _ in range(2):
            b = self.d.run("p/within", branch="main")
            self.assertEqual((b["result"], sorted(x.split()[0] for x in self.shown(b))), (SUCCESS, ["./lib/core/word", "./word"]), b["why"])

    @slow
    def test_4_numbers_by_hand_and_again(self):
        """4.10.32: --at with numbers; built again it is the same set."""
        asked = lambda *argv: json.loads(self.cli(*argv, "--json"))["buildset"]  # noqa: E731
        stamps, b = self.built(asked("build", "p/each", "--at", "manual=2", "--at", "notes=default"))
        self.assertEqual((stamps["manual"][:2], stamps["notes"][:2]), (("trunk", "2"), ("default", self.hg.tip())))
        self.assertIn("./manual/word manual 1", self.good(b))
        at = self.svn.commit({"word": "manual old\n"}, branch="branches/old") if self.svn.copy("trunk", "branches/old") else None
        self.seen("manual", "branches/old", at)
        newer = self.svn.commit({"word": "manual new\n"}, branch="branches/old")
        self.seen("manual", "branches/old", newer)
        stamps, b = self.built(asked("build", "p/each", "--at", f"manual=branches/old@{at}"))
        self.assertEqual(stamps["manual"][:2], ("branches/old", at))
        self.assertIn("./manual/word manual old", self.good(b))
        self.change("ui", commit(self.ui, {"word": "ui moved\n"}, "moved"), "master")
        again, b2 = self.built(asked("rerun", b["id"]))
        self.assertEqual(again, stamps)
        self.assertEqual([(x["codebase"], x["got_revision"]) for x in b2["stamps"]], [(x["codebase"], x["got_revision"]) for x in b["stamps"]])
        for word in ("99999999999", "branches/none@3", "f" * 40):
            self.assertIn(f"codebase manual has no {word}", self.cli("build", "p/each", "--at", "manual=" + word, code=2))

    def test_6_derived_by_a_build(self):
        """4.10.37 to 4.10.39"""
        b = self.d.run("p/makes", 60, branch="main")
        made = self.head(self.ui, "made")
        steps = {x["name"]: x for x in b["steps"]}
        self.assertEqual((b["result"], steps["make"]["report"]["stamps"]), (SUCCESS, [{"codebase": "ui", "revision": made, "branch": "made"}]), b["why"])
        s = steps["go"]["triggered"][0]["id"]
        stamps, t = self.built(s)
        self.assertEqual(stamps, {"core": ("main", self.head(self.core, "main"), stamps["core"][2]), "ui": ("made", made, f"derived by {b['id']}:make"), "manual": ("trunk", "2", f"asked for by {b['id']}:go"),
                                  "notes": ("default", self.hg.tip(), "tip of default")})
        self.assertLess({"./ui/word ui made", "./manual/word manual 1"}, set(self.good(t)))
        again = json.loads(self.cli("rerun", t["id"], "--json"))["buildset"]
        self.assertEqual(self.built(again)[0], stamps)
        self.assertEqual(self.d.get("/buildsets/" + again)["lineage"], [{"buildset": s, "how": "rerun"}, {"buildset": b["buildset"], "how": "triggered", "build": b["id"], "step": "go"}])
        self.assertIsNone(self.d.get("/buildsets/" + b["buildset"])["lineage"])
        self.assertIn(f"set of {s}, built again; {b['buildset']}, triggered by {b['id']}:go", " ".join(self.cli("show", again).split()))
        self.assertIn(f"ui {made} on made", self.cli("show", b["id"]))

    @slow
    def test_5_trying(self):
        """4.10.33: a patch in one codebase, the others by the rules or as they are asked for."""
        work = self.d.path("clone")
        git(self.d.root, "clone", "-q", self.ui, work)
        with open(os.path.join(work, "word"), "w") as f:
            f.write("ui tried\n")
        base = git(work, "rev-parse", "HEAD")
        for argv in (["--project", "p"], ["p/each", "--codebase", "ui", "--at", "manual=2"]):
            stamps, b = self.built(json.loads(self.cli("try", *argv, "--json", cwd=work))["buildset"])
            self.assertEqual((stamps["ui"][:2], stamps["core"], stamps["manual"][0]), (("master", base), ("main", self.head(self.core, "main"), "same branch"), "trunk"))
            self.assertIn("./ui/word ui tried", self.good(b))
            self.assertEqual(b["steps"][1]["summary"], f"ui {base[:12]} and a patch")
        self.assertEqual(stamps["manual"][:2], ("trunk", "2"))
        self.assertIn("codebase manual of this project is read by svn", self.cli("try", "p/each", "--codebase", "manual", code=2, cwd=work))


if __name__ == "__main__":
    unittest.main(verbosity=2)
