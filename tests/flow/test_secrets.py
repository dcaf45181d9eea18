#!/usr/bin/env python3
"""Secrets on their whole way: who gets them and who doesn't, that only names are ever written down, and that nothing of a value is in any log, whatever it looks like and whoever dies."""
import base64
import hashlib
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import unittest
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, Case, alive, commit, make_repo, read, wait_for  # noqa: E402
from fakeworker import FakeWorker  # noqa: E402
from hooks import Hooked, github  # noqa: E402

SUCCESS, EXCEPTION = 0, 4
CANARY = 'dRv7x+Q/9=zK @canary"42%w?Zq'
KEY = "-----BEGIN KEY-----\n" + "\n".join("MIIBcanary%d" % i + "Vx9q" * 11 for i in range(8)) + "\n-----END KEY-----\n"
SHORT = "abc12"
STORED = "stored-c4nary-f8Jk2mZ0"

# What programs make of a secret. The script runs on the worker; the test knows the same forms to look for.
FORMS = r'''
import base64, json, urllib.parse
def forms(s):
    b = s.encode()
    out = [b, b.hex().encode(), b.hex().upper().encode(), json.dumps(s).encode()[1:-1]]
    for safe in ("", "/", "!'()*"):
        q = urllib.parse.quote(s, safe=safe)
        out += [q.encode(), "".join(c.lower() if i and "%" in q[max(0, i - 2):i] else c for i, c in enumerate(q)).encode()]
    out += [urllib.parse.quote_plus(s).encode()]
    for code in (base64.b64encode, base64.urlsafe_b64encode):
        out += [code(x + b) for x in (b"", b"u", b"us", b"use")] + [code(b + x) for x in (b"\n", b"ab")]
    return out
'''
exec(FORMS)
SPEAK = FORMS + r'''
import os, sys, time
secret = os.environ["TOKEN"]
go = sys.argv[1]
def say(fd, data, pause):
    for i in range(len(data)):
        os.write(fd, data[i:i+1])
        if pause and i % 7 == 3: time.sleep(pause)
for i, f in enumerate(forms(secret) + [open(os.environ["KEY_FILE"], "rb").read()]):
    for fd in (1, 2):
        say(fd, b"<%d " % i + f + b">\n", 0.002)
    if i == 2:
        open(go + ".begun", "w").close()
    if i == 3:
        say(1, b"half " + f[:len(f) // 2], 0)
        begin = time.monotonic()
        while not os.path.exists(go): time.sleep(0.02)   # meanwhile agent and master die
        held = time.monotonic() - begin < 1.5  # what may become a secret is kept for 2 s
        say(1, f[len(f) // 2:] + (b" whole\n" if held else b" late\n"), 0.01)
os.write(1, b"and both at once " + secret.encode() * 3 + b" end\n")
'''
TELL = '''
import hashlib, os, stat
def tell(name, data): print(name, hashlib.sha256(data).hexdigest())
tell("env", os.environ["TOKEN"].encode())
path = os.environ["KEY_FILE"]
tell("file", open(path, "rb").read())
print("mode", oct(stat.S_IMODE(os.stat(path).st_mode)), oct(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode)))
print("path", path)
'''


def sha(data):
    return hashlib.sha256(data).hexdigest()


def needles(secret):
    """What must be nowhere: each form, and of the encoded ones what is left where its ends depend on what stands beside it."""
    out = set()
    for f in forms(secret):
        out.add(f)
        if len(f) > 16:
            out.add(f[4:-4])
    return out


class Secrets(Case):
    PROJECTS = {"s": {}}
    WORKERS = {"here": {"slots": 6, "tags": ["here"]}, "vault1": {"slots": 1, "tags": ["vault"]}, "old": {"slots": 1, "tags": ["old"]}}

    @classmethod
    def prepare(cls):
        d = cls.d
        d.durable = True  # the doctor looks at that, too
        os.mkdir(d.path("keep"), 0o700)
        cls.put("token", CANARY + "\n")
        cls.put("key", KEY)
        cls.put("short", SHORT + "\n")
        cls.put("moved", "the first value\n")
        for name, text in (("speak.py", SPEAK), ("tell.py", TELL)):
            with open(d.path(name), "w") as f:
                f.write(text)
        both = {"TOKEN": "token", "KEY_FILE": {"file": "key"}}
        py = "exec python3 "

        def builder(*steps, **more):
            return {"checkout": "none", "steps": list(steps), "worker": {"tags": ["here"]}, **more}
        builders = {
            "speak": builder({"name": "speak", "run": py + d.path("speak.py") + " " + d.path("go"), "secrets": both}),
            "tell": builder({"name": "tell", "run": 'printf "%s" "<$TOKEN>" >left; ' + py + d.path("tell.py"), "secrets": {"TOKEN": {"env": "token"}, "KEY_FILE": {"file": "key"}}}, {"name": "none", "run": "env; cat left"}),
            "short": builder({"name": "short", "run": 'echo "here: $S."', "secrets": {"S": "short"}}),
            "half": builder({"name": "half", "run": f'printf "x {CANARY[:9]}"; while [ ! -e {d.path("half.go")} ]; do sleep 0.02; done; echo', "secrets": {"TOKEN": "token"}}),
            "hold": builder({"name": "hold", "run": f'echo "$KEY_FILE" >{d.path("hold.path")}; while [ ! -e {d.path("hold.go")} ]; do sleep 0.02; done', "secrets": {"KEY_FILE": {"file": "key"}}}),
            "disk": builder({"name": "disk", "run": 'echo "$K"; sha256sum <"$K"; mkdir "${K%/*}/more"', "secrets": {"K": {"file": "key"}}}, worker={"tags": ["vault"]}),
            "again": builder({"name": "again", "run": 'printf "%s" "$M" | sha256sum', "secrets": {"M": "moved"}}),
            "gone": builder({"name": "before", "run": "true"}, {"name": "gone", "run": "echo started", "secrets": {"G": "gone"}}),
            "branch": builder({"name": "b", "run": "echo started", "secrets": {"T": "of-branch"}}),
            "vault": builder({"name": "v", "run": "echo started", "secrets": {"T": "of-vault"}}, worker={"tags": ["vault"]}),
            "novault": builder({"name": "v", "run": "echo started", "secrets": {"T": "of-vault"}}),
            "old": builder({"name": "o", "run": "echo started", "secrets": {"T": "token"}}, worker={"tags": ["old"]}),
            "stored": builder({"name": "stored", "run": 'echo "$S"; printf "%s" "$S" | sha256sum', "secrets": {"S": "stored"}}),
        }
        cls.repo = d.path("repo")
        cls.first = make_repo(cls.repo, {"word": "w\n"})
        d.configure(projects={"s": {"git": cls.repo, "poll": "1h", "builders": builders}},
                    secrets={"token": {"file": "keep/token"}, "key": {"file": "keep/key"}, "short": {"file": "keep/short"}, "moved": {"file": "keep/moved"},
                             "gone": {"file": "keep/gone"}, "stored": {"store": True},
                             "of-branch": {"file": "keep/token", "for": {"builders": ["s/*"], "branches": ["release/*"]}},
                             "of-vault": {"file": "keep/token", "for": {"workers": ["vault*"]}}})

    @classmethod
    def put(cls, name, text):
        path = cls.d.path("keep", name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(text)
        return path

    def cli(self, *argv, code=0, stdin=None):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                           **({} if stdin is not None else {"stdin": subprocess.DEVNULL}))
        self.assertEqual(p.returncode, code, (argv, p.stdout, p.stderr))
        return (p.stdout + p.stderr).decode()

    def build(self, builder, **more):
        return self.d.run("s/" + builder, branch="main", **more)

    def said(self, b, step=0):
        s = b["steps"][step]
        return s["result"], s["summary"] or ""

    # ---- what a step gets ----

    def test_values(self):
        b = self.build("tell")
        self.assertEqual(b["result"], SUCCESS, b)
        told = dict(line.split(" ", 1) for line in self.d.log(b["id"], "tell").decode().splitlines())
        self.assertEqual((told["env"], told["file"], told["mode"]), (sha(CANARY.encode()), sha(KEY.encode()), "0o600 0o700"))
        self.assertFalse(told["path"].startswith(self.d.path("work-here", "work")), told)
        self.assertFalse(os.path.exists(os.path.dirname(told["path"])), told)
        # the next step named none; what the one before left behind is masked there all the same
        env = self.d.log(b["id"], "none").decode()
        self.assertTrue(env.endswith("<***>"), env[-60:])
        self.assertNotIn("TOKEN", env)
        self.assertNotIn("KEY_FILE", env)

    def test_a_file_is_gone_whoever_dies(self):
        r, path, minder = self.held()
        self.assertEqual(read(path).decode(), KEY)
        os.kill(minder, signal.SIGKILL)
        wait_for(lambda: not os.path.exists(os.path.dirname(path)), "the end of the folder with secrets")
        self.let_go(r)

    def test_a_host_without_a_tmpfs(self):
        self.d.kill_worker("vault1")
        self.d.start_worker("vault1", env={"DROVER_TEST_NO_TMPFS": "1"})
        b = self.build("disk")
        path, digest = self.d.log(b["id"], "disk").decode().split()[:2]
        self.assertEqual((b["result"], digest), (SUCCESS, sha(KEY.encode())))
        spool = self.d.path("work-vault1", "spool")
        self.assertEqual(os.path.dirname(os.path.dirname(path)), spool)
        self.assertEqual([f for f in os.listdir(spool) if "secret" in f], [])

    def held(self):
        for name in ("hold.path", "hold.go"):
            if os.path.exists(self.d.path(name)):
                os.remove(self.d.path(name))
        r = self.d.ask("s/hold", branch="main")
        path = wait_for(lambda: read(self.d.path("hold.path")).decode().strip(), "the step")
        cmd = str(self.d.wait_build(r)["steps"][0]["commands"][0]["id"]).encode()
        return r, path, [p for p in self.d.minders() if cmd in read(f"/proc/{p}/cmdline").split(b"\0")][0]

    def let_go(self, r):
        open(self.d.path("hold.go"), "w").close()
        self.d.wait_request(r)

    def test_too_short_to_be_masked(self):
        b = self.build("short")
        self.assertEqual(self.d.log(b["id"], "short").decode(), f"drover: the secret short is shorter than 6 bytes, too short to be masked\nhere: {SHORT}.\n")

    def test_held_no_longer_than_it_has_to(self):
        r = self.d.ask("s/half", branch="main")
        b = self.d.wait_build(r, lambda b: b["steps"] and b["steps"][0]["commands"])
        wait_for(lambda: self.d.log(b["id"], "half") == ("x " + CANARY[:9]).encode(), "what might have become a secret")
        open(self.d.path("half.go"), "w").close()
        self.d.wait_request(r)

    # ---- who doesn't get any ----

    def test_for(self):
        self.assertEqual(self.said(self.build("branch")), (EXCEPTION, 'the secret "of-branch" is only for branches release/*, and this is a build of main'))
        self.assertEqual(self.said(self.build("novault")), (EXCEPTION, 'the secret "of-vault" is only for workers vault*, and this is here'))
        self.assertEqual(self.build("vault")["result"], SUCCESS)
        self.assertIn("only for branches release/*", self.cli("why", "s/branch/last"))
        self.assertEqual(self.d.sql("select count(*) from command c join step t on t.id = c.step where t.summary like 'the secret _of-%'"), [["0"]])  # nothing was started

    def test_what_is_tried(self):
        patch = "--- a/word\n+++ b/word\n@@ -1 +1 @@\n-w\n+x\n"
        a = self.d.post("/try", {"project": "s", "branch": "main", "revision": self.first, "patch": base64.b64encode(patch.encode()).decode(), "builders": ["tell"]}, 201)
        b = self.d.get("/builds/" + self.d.wait_request(a["requests"][0])["builds"][0])
        self.assertEqual(self.said(b), (EXCEPTION, 'it wants the secret "token", and builds that try a patch get no secrets'))

    def test_a_file_that_is_not_there(self):
        b = self.build("gone")
        self.assertEqual((b["result"], self.said(b)[0]), (EXCEPTION, SUCCESS))
        self.assertEqual(self.said(b, 1), (EXCEPTION, f"the secret's file {self.d.path('keep/gone')} can't be read: No such file or directory"))
        path = self.put("gone", "now it is there\n")
        os.chmod(path, 0o644)
        self.assertIn("is open to others, its mode is 0644 (chmod 0600", self.said(self.build("gone"), 1)[1])
        os.chmod(path, 0o600)
        self.assertEqual(self.build("gone")["result"], SUCCESS)  # no reload was needed

    def test_worker_that_is_too_old(self):
        with open(self.d.token("old")) as f:
            token = f.read()
        self.d.kill_worker("old")
        self.d.wait_worker("old", connected=False)
        w = FakeWorker(self.d.path("w.sock"), token, instance="e" * 32).ready()
        try:
            b = self.build("old")
            self.assertEqual(self.said(b), (EXCEPTION, 'it wants the secret "token", and the drover-worker on old is too old to take secrets: upgrade it'))
        finally:
            w.close()

    # ---- the store ----

    def secrets(self):
        return {s["name"]: s for s in self.d.get("/secrets")["items"]}

    def test_store(self):
        self.d.api("DELETE", "/secrets/stored")  # of another test
        since = int(self.d.events("select coalesce(max(number), 0) from event")[0][0])
        self.assertEqual(self.said(self.build("stored")), (EXCEPTION, 'the store has no secret "stored": drover secret set stored'))
        self.assertEqual(self.secrets()["stored"]["trouble"], "it was not set yet")
        self.assertIn("stored can't be had: it was not set yet", self.cli("doctor"))
        self.assertIn("there is no value", self.cli("secret", "set", "stored", code=2))
        self.assertIn("larger than 16 KiB", self.cli("secret", "set", "stored", code=2, stdin=b"x" * 16385))
        self.assertIn("no text", self.cli("secret", "set", "stored", code=2, stdin=b"a\0b"))
        self.assertIn("is in the file", self.cli("secret", "set", "token", code=2, stdin=b"x"))
        self.assertIn("encrypted; steps get it from now on", self.cli("secret", "set", "stored", stdin=STORED.encode() + b"\n"))
        self.assertIn("secrets: {other: {store: true}}", self.cli("secret", "set", "other", stdin=b"of no use"))
        key = self.d.path("state", "keys", "site.key")
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)

        def good():
            b = self.build("stored")
            self.assertEqual(b["result"], SUCCESS, b)
            self.assertEqual(self.d.log(b["id"], "stored").decode(), f"***\n{sha(STORED.encode())}  -\n")
        good()
        now = self.secrets()
        self.assertEqual((now["stored"]["trouble"], now["stored"]["builders"], now["other"]["declared"], now["token"]["file"]), (None, ["s/stored"], False, self.d.path("keep/token")))
        self.assertNotIn("value", now["stored"])
        shown = self.cli("secret", "list")
        self.assertIn("s/stored", shown)
        self.assertEqual(self.cli("complete", "--", "secret", "remove", "sto"), "stored\n")
        self.assertIn("takes", self.cli("help", "secret", "list"))
        self.looked_through("secret list", shown.encode(), [STORED])
        # what is encrypted as one secret is nothing as another
        self.d.sql("update secret a set nonce = b.nonce, sealed = b.sealed from secret b where a.name = 'other' and b.name = 'stored'")
        # another key: the same value; the broken one is told and stays
        before = read(key)
        self.assertIn("set these again, their key is not here: other", self.cli("secret", "rotate"))
        self.assertEqual(len(read(key).splitlines()), 1)
        self.assertNotEqual(read(key), before)
        good()
        # the key is lost: a sentence, and all else goes on
        os.rename(key, key + ".away")
        self.assertIn(f"the site's key {key} is not there", self.said(self.build("stored"))[1])
        self.assertIn("site.key", self.cli("doctor"))
        self.assertEqual(self.build("tell")["result"], SUCCESS)
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(before)
        self.assertIn("which is not in keys/site.key", self.said(self.build("stored"))[1])
        os.rename(key + ".away", key)
        os.chmod(key, 0o640)
        self.assertIn("open to others", self.said(self.build("stored"))[1])
        os.chmod(key, 0o600)
        good()
        # who did what; no value in any of it
        events = self.d.events(f"select type, object, body from event where type in ('secret.set', 'secret.rotated') and number > {since} order by number")
        self.assertEqual([e[:2] for e in events], [["secret.set", "secret/stored"], ["secret.set", "secret/other"], ["secret.rotated", "secret"]])
        self.assertIn("removed", self.cli("secret", "remove", "other"))
        self.assertIn("there is no secret other", self.cli("secret", "remove", "other", code=2))
        self.assertNotIn("other", self.secrets())

    def test_store_is_in_a_backup(self):
        self.cli("secret", "set", "stored", stdin=STORED.encode())
        to = self.d.path("backup")
        subprocess.run([f"{BUILD}/drover-master", "backup", to, "--config", self.d.path("master.yaml")], check=True, stdout=subprocess.DEVNULL, cwd="/")
        kept = [f for f in os.listdir(os.path.join(to, "keys"))]
        self.assertEqual(len(kept), 1, kept)
        self.assertEqual(read(os.path.join(to, "keys", kept[0])), read(self.d.path("state", "keys", "site.key")))
        for top, _, files in os.walk(to):
            for f in files:
                self.looked_through(f, read(os.path.join(top, f)), [STORED, CANARY])

    def test_prompt_without_echo(self):
        pid, fd = pty.fork()
        if pid == 0:
            os.environ["DROVER_SOCKET"] = self.d.path("api.sock")
            os.execv(f"{BUILD}/drover", ["drover", "secret", "set", "stored"])
        seen = b""
        while b"Value of stored: " not in seen:
            seen += os.read(fd, 1000)
        os.write(fd, STORED.encode() + b"\n")
        try:
            while data := os.read(fd, 1000):
                seen += data
        except OSError:
            pass
        self.assertEqual(os.waitpid(pid, 0)[1], 0, seen)
        self.assertNotIn(STORED.encode(), seen)
        b = self.build("stored")
        self.assertIn(sha(STORED.encode()), self.d.log(b["id"], "stored").decode())

    # ---- sent again ----

    def test_read_afresh(self):
        """The worker dies before it has taken a run: the same command goes out again, with what the file holds by then."""
        agent = self.d.agents["here"]
        wait_for(lambda: not self.d.get("/status")["running"], "the other tests' builds")
        os.kill(agent.pid, signal.SIGSTOP)
        r = self.d.ask("s/again", branch="main")
        self.d.wait_build(r, lambda b: b["steps"] and b["steps"][0]["commands"], "the command")
        self.put("moved", "the second value\n")
        os.kill(agent.pid, signal.SIGKILL)
        agent.wait()
        self.d.wait_worker(connected=False)
        self.d.start_worker()
        b = self.d.get("/builds/" + self.d.wait_request(r)["builds"][-1])
        self.assertEqual(self.d.log(b["id"], "again").split()[0].decode(), sha(b"the second value"))
        self.assertEqual(len(b["steps"][0]["commands"]), 1)

    # ---- nothing of them is anywhere ----

    def looked_through(self, where, data, secrets):
        for s in secrets:
            for n in needles(s):
                self.assertNotIn(n, data, f"{where}: {n!r} at {data.find(n)}: {data[max(0, data.find(n) - 40):][:160]!r}")

    def test_nothing_is_left(self):
        go = self.d.path("go")
        r = self.d.ask("s/speak", branch="main")
        wait_for(lambda: os.path.exists(go + ".begun"), "the first forms")
        b = self.d.wait_build(r)
        lines = [KEY.split("\n")[i] for i in (1, 4)]
        everything = [CANARY, *lines, STORED]
        # what can be seen of the processes
        minders = self.d.minders()
        self.assertTrue(minders)
        for pid in [*minders, self.d.master.pid, *(a.pid for a in self.d.agents.values())]:
            for file in ("cmdline", "environ"):
                self.looked_through(f"{file} of {pid}", read(f"/proc/{pid}/{file}"), everything)
        self.d.kill_worker()
        self.d.kill_master()
        self.d.start_master()
        self.d.start_worker()
        open(go, "w").close()
        self.assertEqual(self.d.wait_request(r)["result"], SUCCESS)
        log = self.d.log(b["id"], "speak")
        self.looked_through("the log", log, everything)
        self.assertEqual(len(self.d.get("/builds/" + b["id"])["steps"][0]["commands"]), 1)
        out, err = self.d.channels(self.d.sql(f"select id from log where command = {str(b['steps'][0]['commands'][0]['id']).split('-')[-1]}")[0][0], log)
        n = len(forms(CANARY)) + 1
        for channel in (out, err):
            for i in range(n):
                m = re.search(rb"<%d (.*?)>\n" % i, channel, re.S)
                self.assertTrue(m and b"***" in m.group(1), (i, channel[:4000]))
                # only the ends of base64, where other bytes share a digit, may be left
                self.assertLessEqual(len(m.group(1).replace(b"***", b"").strip()), 8 if i < n - 1 else 2, m.group(0))
        self.assertTrue(b"half *** whole\n" in out or b" late\n" in out, out[-4000:])
        self.assertTrue(out.endswith(b"and both at once *** end\n"), out[-100:])
        # the database, byte by byte
        dump = subprocess.run(["pg_dump", "-h", self.d.lock_file()[4], "-U", "drover", "drover"], stdout=subprocess.PIPE, check=True, cwd="/").stdout
        self.assertGreater(len(dump), 10000)
        self.looked_through("the database", dump, everything)
        # every file of master and worker, what they log too; deflated segments are what the log above was made of
        seen = 0
        for top, folders, files in os.walk(self.d.root):
            folders[:] = [f for f in folders if (top, f) != (self.d.root, "keep")]
            for f in files:
                if f not in ("speak.py", "tell.py") and os.path.isfile(os.path.join(top, f)):
                    self.looked_through(os.path.join(top, f), read(os.path.join(top, f)), everything)
                    seen += 1
        self.assertGreater(seen, 50)

    def test_cores_are_not_written(self):
        """Neither of the master, the agent nor of a minder that has secrets, whatever limit they have; any other process of this host leaves one."""
        r, _, minder = self.held()
        other = subprocess.Popen(["sleep", "60"], cwd=self.d.path("keep"))
        for pid in (other.pid, minder, self.d.agents["here"].pid, self.d.master.pid):
            resource.prlimit(pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            os.kill(pid, signal.SIGABRT)
        other.wait()
        self.d.agents["here"].wait()
        self.d.master.wait()
        wait_for(lambda: not alive(minder), "the minder's end")
        cores = [os.path.join(top, f) for top, _, files in os.walk(self.d.root) for f in files if f == "core" or f.startswith("core.")]
        self.d.start_master()
        self.d.start_worker()
        self.let_go(r)
        if not any(c.startswith(self.d.path("keep")) for c in cores):
            self.skipTest("this host writes cores elsewhere")
        self.assertEqual([os.path.dirname(c) for c in cores], [self.d.path("keep")])


class Forks(Hooked):
    """Pull requests; a pipeline in the repository."""
    PROJECTS = {}
    PROJECT = {"poll": "1h", "builders": {"b": {"checkout": "none", "steps": [{"name": "take", "run": 'printf "%s" "$T" | sha256sum', "secrets": {"T": "token"}}]}},
               "schedulers": {"review": {"pull_request": {}, "builders": "b"}}}
    PIPELINE = "steps: [{name: take, run: 'echo started', secrets: {T: tokem}}]\n"

    @classmethod
    def names(cls):
        return ["p", "open"]

    @classmethod
    def more(cls):
        make_repo(cls.d.path("own"), {".drover.yml": cls.PIPELINE})
        return {"own": {"git": cls.d.path("own"), "poll": "1h"}}

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.secret_file(cls.d.path("token"), CANARY)
        projects = cls.d.conf["projects"]
        projects["open"]["forks"] = "build"
        cls.d.configure(projects=projects, secrets={"token": {"file": "token"}})

    def pull(self, project, number, fork):
        rev = f"{number:040x}"
        body = {"action": "opened", "number": number, "repository": {"full_name": "o/r"},
                "pull_request": {"number": number, "title": "t", "user": {"login": "bob"}, "html_url": "https://f.example.org/7", "base": {"ref": "main", "repo": {"id": 1}},
                                 "head": {"ref": "feature", "sha": rev, "repo": {"id": 2 if fork else 1, "full_name": "b/r" if fork else "o/r", "clone_url": "https://f.example.org/x"}}}}
        self.deliver(*github(body, "pull_request"), project=project)
        return next(c for c in self.changes(project) if c["revision"] == rev), rev

    def built(self, project, rev, n=1):
        return wait_for(lambda: len(v := [b for b in self.builds(rev, project) if b["state"] == "done"]) == n and v, f"{n} builds of {rev}")[0]

    def refused(self, b):
        b = self.d.get("/builds/" + b["id"])
        why = 'it wants the secret "token", and builds of pull requests from forks get no secrets, approved or not'
        self.assertEqual((b["result"], b["steps"][0]["result"], b["steps"][0]["summary"], b["steps"][0]["commands"]), (EXCEPTION, EXCEPTION, why, []))
        self.assertIn(why, self.d.get(f"/requests/{b['request']}/why")["reason"]["text"])

    def test_of_the_same_repository(self):
        _, rev = self.pull("p", 3, False)
        b = self.built("p", rev)
        self.assertEqual((b["result"], self.d.log(b["id"], "take").split()[0].decode()), (SUCCESS, sha(CANARY.encode())))

    def test_of_a_fork_that_was_approved(self):
        c, rev = self.pull("p", 4, True)
        wait_for(lambda: self.changes("p", id=c["id"], state="decided"), "its verdicts")
        self.assertEqual(self.builds(rev), [])
        self.d.post(f"/changes/{c['id']}/approve", {})
        b = self.built("p", rev)
        self.refused(b)
        self.d.post(f"/builds/{b['id']}/rerun", {}, 201)
        self.built("p", rev, 2)
        for b in self.builds(rev):
            self.refused(b)

    def test_of_a_fork_where_the_site_builds_them(self):
        self.refused(self.built("open", self.pull("open", 5, True)[1]))

    def test_in_a_repository(self):
        self.d.wait_looked("own")
        a = self.d.api("POST", "/builds", {"builder": "own/own", "branch": "main"})
        self.assertIn('.drover.yml:1:56: there is no secret \\"tokem\\" in the site\'s configuration (did you mean \\"token\\"?)', a.body.decode())
        rev = commit(self.d.path("own"), {".drover.yml": "secrets: {token: {file: /etc/shadow}}\nsteps: [{run: 'true'}]\n"}, "its own secrets")
        a = self.d.api("POST", "/builds", {"builder": "own/own", "branch": "main", "revision": rev})
        self.assertIn(".drover.yml:1:1: secrets are declared in the site's files", a.body.decode())


if __name__ == "__main__":
    unittest.main()
