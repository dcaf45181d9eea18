#!/usr/bin/env python3
"""Builders of a matrix and steps of templates on a real worker: what they see, where they work, and their names with brackets and commas everywhere a name goes."""
import glob
import json
import os
import subprocess
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, commit, make_repo, wait_for  # noqa: E402

SUCCESS, SKIPPED = 0, 3
PIPELINE = r"""
defaults: {env: {CC: of the defaults, PLAIN: "1"}}
templates:
  say:
    parameters: {word: {type: string}, tests: {type: boolean, default: true}, n: {type: integer, default: 2}}
    steps:
      - {name: "say-${{ word }}", run: [echo, "${{ word }} of ${{ builder }} on ${{ branch }}, ${{ n * 21 }}"]}
      - {name: test, if: tests, run: 'echo "tested with $CC"'}
  both:
    parameters: {cc: {type: choice, choices: [gcc, clang]}}
    steps: [{use: say, with: {word: "${{ cc }}", tests: "${{ cc == 'gcc' }}"}}]
builders:
  core:
    matrix: {ARCH: [x86_64, arm64], CC: [gcc, clang], exclude: [{ARCH: arm64, CC: clang}]}
    env: {CXX: "${{ matrix.CC }}++"}
    steps:
      - {use: both, with: {cc: "${{ matrix.CC }}"}}
      - {name: env, run: env}
      - name: only
        if: matrix.ARCH == "arm64"
        run: echo "only on $ARCH"
      # what breaks where a folder has brackets and commas in its name
      - {name: tools, run: 'echo "int main(void){return 0;}" >m.c; gcc -Wl,-rpath,"$PWD" -o m m.c; printf "all:;@echo \$(words \$(wildcard \$(CURDIR)/word))\n" >Makefile; ls $PWD/word; make -s'}
  hold: {checkout: none, matrix: {N: [1, 2]}, steps: [{name: hold, run: "while [ ! -e @ROOT@/go ]; do sleep 0.02; done"}, {name: after, if: matrix.N + 1 == 3, run: [echo, "${{ matrix.N * 10 }}"]}]}
  nobody: {checkout: none, matrix: {V: [1.10, c++]}, worker: {tags: ["has-${{ matrix.V == '1.10' ? 'old' : 'new' }}"]}, steps: [a]}
schedulers:
  commits: {change: {}, builders: core}
  one: {change: {branches: one}, builders: "core[arm64,gcc]"}
"""
CORE = ["core[x86_64,gcc]", "core[x86_64,clang]", "core[arm64,gcc]"]


class Matrix(Case):
    PROJECTS = {"m": {}}
    WORKERS = {"here": {"slots": 4}}

    @classmethod
    def prepare(cls):
        cls.repo = cls.d.path("repo")
        cls.first = make_repo(cls.repo, {"word": "w\n", ".drover.yml": PIPELINE.replace("@ROOT@", cls.d.root)})
        cls.d.configure(projects={"m": {"git": cls.repo, "poll": "300ms"}, "s": cls.site("one")}, site={**cls.d.conf["site"], "url": "https://ci.example.org/sub"})

    @classmethod
    def site(cls, word):
        return {"git": cls.repo, "poll": "1h", "templates": {"t": {"parameters": {"w": {"type": "string", "default": word}}, "steps": [{"name": "say", "run": ["echo", "${{ w }}"]}]}},
                "builders": {"b": {"checkout": "none", "matrix": {"A": [True, 7]}, "steps": [{"use": "t"}]}}}

    def cli(self, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock"), "DROVER_TEST_COMPLETE_MS": "20000"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return (p.stdout if code == 0 else p.stderr).decode()

    def builds(self, builder):
        return self.d.get("/builds?builder=" + urllib.parse.quote(builder, safe=""))["items"]

    def commit_built(self, word):
        self.d.wait_looked("m")
        rev = commit(self.repo, {"word": word + "\n"}, word)
        c = wait_for(lambda: next((c for c in self.d.get("/changes?project=m")["items"] if c["revision"] == rev and c["state"] == "decided"), None), "the change")
        s = self.d.get("/buildsets/" + c["buildsets"][0]["id"] if isinstance(c["buildsets"][0], dict) else "/buildsets/" + c["buildsets"][0])
        return {r["builder"]: self.d.get("/builds/" + self.d.wait_request(r["id"])["builds"][0]) for r in s["requests"]}

    def test_1_a_commit_builds_all_combinations(self):
        built = self.commit_built("one")
        self.assertEqual(sorted(built), sorted(CORE))
        for name, b in built.items():
            arch, cc = name[5:-1].split(",")
            self.assertEqual((b["result"], b["id"]), (SUCCESS, f"m/{name}/1"))
            steps = {s["name"]: s["result"] for s in b["steps"]}
            self.assertEqual(steps, {"checkout": SUCCESS, f"say-{cc}": SUCCESS, "test": SUCCESS if cc == "gcc" else SKIPPED, "env": SUCCESS,
                                     "only": SUCCESS if arch == "arm64" else SKIPPED, "tools": SUCCESS})
            self.assertEqual(self.d.log(f"m/{urllib.parse.quote(name)}/1", f"say-{cc}").decode(), f"{cc} of {name} on main, 42\n")
            env = dict(line.split("=", 1) for line in self.d.log(b["id"], "env").decode().splitlines())  # the brackets as they are: a URL's path takes them
            self.assertLessEqual({"ARCH": arch, "CC": cc, "CXX": cc + "++", "PLAIN": "1", "DROVER_BUILDER": name, "DROVER_BUILD": b["id"],
                                  "DROVER_URL": "https://ci.example.org/sub/builds/" + urllib.parse.quote(b["id"])}.items(), env.items())
            self.assertEqual(self.d.log(b["id"], "tools").decode().split()[-1], "1")
            # all of the build is in its own folder, whose name has nothing that tools take for something else
            folder = self.d.path("work-here", "work", "m", name.replace("[", "@").replace(",", "@").replace("]", ""))
            self.assertTrue(env["HOME"].startswith(folder + "/"))
            self.assertEqual(env["PWD"], os.path.join(os.path.dirname(env["HOME"]), "tree"))
        self.assertEqual(sorted(os.listdir(self.d.path("work-here", "work", "m"))), ["core@arm64@gcc", "core@x86_64@clang", "core@x86_64@gcc"])

    def test_2_one_of_them(self):
        a = self.d.api("POST", "/builds", {"builder": "m/core[arm64,gcc]", "branch": "main"})
        self.assertEqual((a.status, len(a.json["requests"])), (201, 1))
        self.d.wait_request(a.json["requests"][0])
        for bad, status in (("m/core[arm64,clang]", 404), ("m/core[arm64]", 404), ("m/core[", 400), ("m/core[]", 400), ("m/core[a,]", 400), ("m/core[a/b]", 400), ("m/[a]", 400), ("m/core[a]b", 400)):
            self.assertEqual(self.d.api("POST", "/builds", {"builder": bad, "branch": "main"}).status, status, bad)
        a = self.d.api("POST", "/builds", {"builder": "m/core", "branch": "main"})
        self.assertEqual((a.status, len(a.json["requests"])), (201, 3))
        for r in a.json["requests"]:
            self.assertEqual(self.d.wait_request(r)["result"], SUCCESS)

    def test_3_command_line(self):
        self.assertIn("SUCCESS", self.cli("build", "m/core[x86_64,gcc]", "--follow"))
        n = self.builds("m/core[x86_64,gcc]")[0]["number"]
        for build in (f"m/core[x86_64,gcc]/{n}", f"core[x86_64,gcc]/{n}", "core[x86_64,gcc]/last", "m/core[x86_64,gcc]/last"):
            self.assertIn(f"m/core[x86_64,gcc]/{n}", self.cli("show", build))
            self.assertEqual(self.cli("log", build + ":say-gcc", "--raw"), "gcc of core[x86_64,gcc] on main, 42\n")
        self.assertIn(f"core[x86_64,gcc]/{n}", self.cli("last", "core[x86_64,gcc]"))
        self.assertIn("core[arm64,gcc]", self.cli("builders"))
        self.assertIn("core[x86_64,clang]", self.cli("list", "builds", "--builder", "m/core[x86_64,clang]"))
        self.assertIn("SUCCESS", self.cli("rerun", f"m/core[x86_64,gcc]/{n}", "--follow"))
        # without the project; all of them at once
        self.assertEqual(self.cli("build", "core", "--wait").count("SUCCESS"), 3)
        self.assertIn("m/core[x86_64,gcc]", self.cli("complete", "--", "build", "m/core[x"))
        self.assertIn("did you mean", self.cli("list", "builds", "--builder", "core[x86_64,gccc]", code=2))

    def test_4_why_and_cancel(self):
        a = self.d.api("POST", "/builds", {"builder": "m/nobody", "branch": "main"})
        self.assertEqual([self.d.request(r)["builder"] for r in a.json["requests"]], ["nobody[1.10]", "nobody[c++]"])
        for r, tag in zip(a.json["requests"], ("has-old", "has-new")):
            self.assertIn(tag, self.cli("why", r))
        self.assertIn("has-new", self.cli("why", "m/nobody[c++]"))
        self.cli("cancel", a.json["requests"][0])
        self.cli("cancel", a.json["buildset"])
        self.assertEqual({self.d.request(r)["state"] for r in a.json["requests"]}, {"done"})

    def test_5_a_master_that_was_killed(self):
        a = self.d.api("POST", "/builds", {"builder": "m/hold", "branch": "main"})
        for r in a.json["requests"]:
            self.d.wait_build(r, lambda b: b["steps"] and b["steps"][0]["commands"], "the step at work")
        self.d.kill_master()
        self.d.start_master()
        open(self.d.path("go"), "w").close()
        results = [self.d.get("/builds/" + self.d.wait_request(r)["builds"][0]) for r in a.json["requests"]]
        self.assertEqual([(b["result"], b["attempt"], [s["result"] for s in b["steps"]]) for b in results], [(SUCCESS, 1, [SUCCESS, SKIPPED]), (SUCCESS, 1, [SUCCESS, SUCCESS])])
        self.assertEqual(self.d.log("m/hold[2]/1", "after"), b"20\n")

    def test_6_of_the_site(self):
        a = self.d.api("POST", "/builds", {"builder": "s/b", "branch": "main", "revision": self.first})
        self.assertEqual(len(a.json["requests"]), 2)
        for r in a.json["requests"]:
            self.assertEqual(self.d.wait_request(r)["result"], SUCCESS)
        self.assertEqual(self.d.log(self.d.request(a.json["requests"][0])["builds"][0], "say"), b"one\n")
        project = next(p for p in self.d.get("/projects")["items"] if p["name"] == "s")
        self.assertEqual(project["builders"], ["b[true]", "b[7]"])
        self.d.configure(projects={**self.d.conf["projects"], "s": self.site("two")})
        self.assertIn("templates", self.cli("config", "diff"))
        self.cli("config", "activate")
        b = self.d.run("s/b[7]", branch="main", revision=self.first)
        self.assertEqual((b["result"], self.d.log(f"s/b%5B7%5D/{b['number']}", "say")), (SUCCESS, b"two\n"))

    def test_7_folders_go(self):
        self.assertIn("m/core@arm64@gcc", self.cli("worker", "clean", "here", "m/core[arm64,gcc]"))
        wait_for(lambda: not glob.glob(self.d.path("work-here", "work", "m", "core@arm64@gcc", "*")), "the removal")
        self.assertTrue(glob.glob(self.d.path("work-here", "work", "m", "core@x86_64@gcc", "*", "tree")))
        self.cli("worker", "clean", "here", "m/core")  # all of them
        wait_for(lambda: not glob.glob(self.d.path("work-here", "work", "m", "core@*", "*")), "the removal of the others")
        self.assertTrue(glob.glob(self.d.path("work-here", "work", "m", "hold@1", "*")))

    def test_8_backup(self):
        to = self.d.path("backup")
        p = subprocess.run([f"{BUILD}/drover-master", "backup", "--config", self.d.path("master.yaml"), to], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        self.assertEqual(p.returncode, 0, p.stdout)
        p = subprocess.run([f"{BUILD}/drover-master", "verify", to], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        self.assertEqual(p.returncode, 0, p.stdout)

    def test_9_events_name_them(self):
        names = {json.loads(body).get("builder") for body, in self.d.events("select body from event where type = 'request.new'")}
        self.assertLessEqual({"m/" + n for n in CORE} | {"m/nobody[c++]", "s/b[true]"}, names)
        objects = {o for o, in self.d.events("select distinct object from event where object like 'm/core%'")}
        self.assertIn("m/core[x86_64,gcc]/1", objects)


if __name__ == "__main__":
    unittest.main()
