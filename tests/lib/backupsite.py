"""A drover that is backed up and put elsewhere: for tests/flow/test_backup.py and test_restore.py."""
import json
import os
import shutil
import signal
import subprocess

from drover import BUILD, Case, Drover, link_of, make_repo, pids, read

STREAM_LINES = 40000
# Numbered lines until a file is there, some of them before the backup and some behind it.
STREAM = f"""
import os, sys, time
for i in range({STREAM_LINES}):
    print("line %08d of the stream" % i, flush=i % 1000 == 0)
    if i == {STREAM_LINES} // 2:
        sys.stdout.flush()
        while not os.path.exists(sys.argv[1]): time.sleep(0.02)
"""


def pipeline(root):
    return {"builders": {"nonce": {"checkout": "none", "steps": [{"name": "s1", "run": ["cat", root + "/nonce"]}]},
                         "stream": {"checkout": "none", "steps": [{"name": "s1", "run": ["python3", "-c", STREAM, root + "/go"]}]},
                         "noise": {"checkout": "none", "steps": [{"name": "s1", "run": ["head", "-c", "3000000", "/dev/urandom"]}]}}}


class Site(Drover):
    """Its configuration has relative places, a conf.d and a file of its own for the pipeline, so that it can be put elsewhere as it is."""

    def __init__(self, uid=None, fill=True, **more):
        self.uid = uid
        super().__init__({}, {"here": {"slots": 4}, "two": {"slots": 2}}, **more)
        self.programs = BUILD
        if uid is not None:
            os.chown(self.root, uid, uid)
            self.programs = self.path("bin")  # whoever else it is may not come by the build folder: root's home is closed
            os.mkdir(self.programs)
            for name in ("drover-master", "drover-git-helper"):
                shutil.copy(f"{BUILD}/{name}", self.programs)
        if fill:
            self.write()

    def write(self):
        root = self.path()
        make_repo(self.path("repo"), {"a": "a"})
        self.configure(state="state", database={"folder": "pg"}, listen={"socket": "api.sock", "api": "none", "workers": f"127.0.0.1:{self.port}", "workers_socket": "w.sock"})
        os.mkdir(self.path("conf.d"))
        with open(self.path("conf.d", "p.yaml"), "w") as f:
            json.dump({"projects": {"p": {"git": self.path("repo"), "poll": "1h", "pipeline": "../p.pipeline.yml"}}}, f)
        with open(self.path("p.pipeline.yml"), "w") as f:
            json.dump(pipeline(root), f)

    def configure(self, **change):
        super().configure(**change)
        if not self.conf["projects"]:
            del self.conf["projects"]
            super().configure()
            self.conf["projects"] = {}

    def spawn(self, log, *argv, env=None):
        if self.uid is None:
            return super().spawn(log, *argv, env=env)
        with open(self.path(log), "ab") as f:
            argv = (f"{self.programs}/{os.path.basename(argv[0])}", *argv[1:])
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f, start_new_session=True, cwd=self.root, env=env or self.env,
                                    user=self.uid, group=self.uid, extra_groups=[])

    def verb(self, name, *argv, code=0, uid=None, config=True):
        """The verb to its end: what it printed, both ways."""
        who = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        p = subprocess.run([f"{self.programs}/drover-master", name, *argv, *(["--config", self.path("master.yaml")] if config else [])], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, env=self.env, cwd=self.root, timeout=120, **who)
        text = p.stdout.decode()
        if p.returncode != code:
            raise AssertionError(f"{name} {argv}: exit {p.returncode}, {code} expected\n{text}")
        return text

    def nonce(self, text):
        with open(self.path("nonce"), "w") as f:
            f.write(text)


class Base(Case):
    def site(self, *a, **kw):
        self.owned.append(Site(*a, **kw))
        return self.owned[-1]

    def stop(self, d):
        for name in list(d.agents):
            if d.agents[name].poll() is None:
                self.assertEqual(d.kill_worker(name, sig=signal.SIGTERM), 0)
        self.assertEqual(d.stop_master(), 0)

    def programs(self, d, *names):
        """PostgreSQL's programs that are connected to d's database."""
        sock = (d.lock_file() + [""] * 5)[4] or "nowhere"
        return [p for p in pids() if os.path.basename(link_of(p, "exe")) in names and sock in read(f"/proc/{p}/cmdline").decode()]
