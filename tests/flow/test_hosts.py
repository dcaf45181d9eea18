"""The packages on two hosts with systemd, master and worker: installed, used as docs say, upgraded in mid-build, killed, backed up, removed.

Each host is namespaces on this machine (tests/lib/hosts.py). By itself: to the upgrade in mid-build; DROVER_WALK (make hosts) runs all. DROVER_NEXT names a build folder of a later version (default: the same programs in
packages of a later version); DROVER_TRANSCRIPT a file that gets each command with its output, to be read beside the documentation.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import hosts  # noqa: E402
from drover import BUILD, TOP, Failed, pids, read, wait_for  # noqa: E402

WALK = unittest.skipUnless(os.environ.get("DROVER_WALK"), "make hosts runs this too")
SLOW_S = 90  # a systemd, a dpkg, a PostgreSQL on two busy cores
SUCCESS = 0
URL = "git://git.example.org/libfoo.git"
STEP = 'echo x >>/srv/run/{0}.started; i=0; while [ ! -e /srv/run/gate ]; do i=$((i+1)); echo "{0} $i"; sleep 0.02; done; echo "{0} last $i"'
BUILDERS = ("gcc", "clang", "dist")
PIPELINE = "builders:\n" + "".join(f"  {b}:\n    worker: {{tags: [debian12]}}\n    steps:\n      - {{name: make, run: '{STEP.format(b)}'}}\n" for b in BUILDERS)


def version():
    return re.search(r"^VERSION = (\S+)", read(f"{TOP}/Makefile").decode(), re.M).group(1)


def packages(folder, build, number):
    subprocess.run([f"{TOP}/.pkg/deb", folder], env={**os.environ, "B": build, "VERSION": number, "DEB_REVISION": ""}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


class Hosts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        why = hosts.missing()
        if why:
            raise unittest.SkipTest(f"no hosts here: {why}")
        cls.root = tempfile.mkdtemp(prefix="drover-t.", dir="/var/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.transcript = []
        cls.addClassCleanup(cls.write_transcript)
        cls.later = version() + ".1"
        packages(f"{cls.root}/now", BUILD, version())
        packages(f"{cls.root}/next", os.environ.get("DROVER_NEXT") or BUILD, cls.later)
        cls.ci1 = cls.host("ci1")
        cls.build1 = cls.host("build1")
        cls.ci1.boot()
        cls.build1.boot()
        hosts.wire(cls.ci1, cls.build1)
        for h in (cls.ci1, cls.build1):
            with open(h.path("/etc/hosts"), "a") as f:
                f.write("10.77.0.1 git.example.org\n")

    @classmethod
    def host(cls, name):
        h = hosts.Host(name, cls.transcript)
        cls.addClassCleanup(h.close)
        return h

    @classmethod
    def write_transcript(cls):
        path = os.environ.get("DROVER_TRANSCRIPT")
        if path:
            with open(path, "w") as f:
                for host, user, command, text in cls.transcript:
                    f.write(f"{user + '@' if user else ''}{host}{'$' if user else '#'} {command}\n{text}{'' if text.endswith(chr(10)) or not text else chr(10)}")

    def install(self, host, folder, *names):
        """dpkg, as apt calls it."""
        files = []
        for f in os.listdir(f"{self.root}/{folder}"):
            if f.split("_")[0] in names:
                shutil.copy(f"{self.root}/{folder}/{f}", host.path(f"/srv/run/{f}"))
                files.append(f"/srv/run/{f}")
        return host.told("dpkg -i " + " ".join(sorted(files)), seconds=300)

    def api(self, path):
        return self.ci1.json(f"curl -s --unix-socket /run/drover/drover.sock http://drover/api/v1{path}")

    def fail_with_logs(self, what):
        raise Failed(f"{what}\n--- ci1\n{self.ci1.journal()}\n--- build1\n{self.build1.journal()}")

    def wait(self, condition, what, seconds=SLOW_S):
        def tried():
            try:
                return condition()
            except (Failed, ValueError, KeyError, IndexError):
                return None
        try:
            return wait_for(tried, what, seconds, 0.2)
        except Failed as e:
            self.fail_with_logs(e)

    def ready(self):
        self.wait(lambda: self.api("/status")["database"]["up"], "the master")

    def connected(self, worker="build1"):
        self.wait(lambda: self.api(f"/workers/{worker}")["connected"], f"worker {worker}")

    # ---- the walk: one method after the other, each on what the one before left ----

    def run(self, result=None):
        begin = time.monotonic()
        super().run(result)
        if getattr(result, "showAll", False):
            result.stream.writeln(f"    {time.monotonic() - begin:.1f} s")

    def test_01_master(self):
        """dpkg -i, and it runs: hardened, on its own PostgreSQL, with a socket for its group."""
        said = self.install(self.ci1, "now", "drover-master", "drover")
        self.assertIn("whoever is in group drover may use the command line here", said)
        self.ci1.told("systemctl enable --now drover-master 2>&1")
        self.ready()
        for unit in ("drover-master", "drover-postgresql"):
            self.assertEqual(self.ci1.show(unit, "ActiveState"), "active")
            self.assertEqual(self.ci1.run(f"systemctl is-enabled {unit}").strip(), "enabled")
            self.assertEqual(self.ci1.run(f"ps -o user= -p {self.ci1.main_pid(unit)}").strip(), "drover")
        self.assertEqual(self.ci1.run("stat -c '%U:%G %a' /run/drover/drover.sock").strip(), "drover:drover 660")
        self.assertEqual(self.ci1.run("stat -c '%U %a' /var/lib/drover/pg").strip(), "drover 700")
        self.assertTrue(os.path.basename(os.readlink(f"/proc/{self.outside(self.ci1, 'drover-postgresql')}/exe")).startswith("postgres"))
        status = read(f"/proc/{self.outside(self.ci1, 'drover-master')}/status").decode()
        self.assertIn("NoNewPrivs:\t1", status)
        self.assertRegex(status, r"CapBnd:\t0+\n")
        self.assertIn("Seccomp:\t2", status)

    def outside(self, host, unit):
        """The unit's main process, as this machine numbers it."""
        pid = host.main_pid(unit)
        for p in pids():
            m = re.search(r"^NSpid:\t.*\t(\d+)$", read(f"/proc/{p}/status").decode(), re.M)
            if m and int(m.group(1)) == pid and os.path.exists(f"/proc/{p}/root") and self.same_ns(p, host.pid):
                return p
        raise Failed(f"no process {pid} in {host.name}")

    def same_ns(self, a, b):
        try:
            return os.readlink(f"/proc/{a}/ns/pid") == os.readlink(f"/proc/{b}/ns/pid")
        except OSError:
            return False

    def test_02_group_may_act(self):
        self.ci1.run("useradd -m anna; useradd -m eve")
        denied = self.ci1.told("drover status", user="eve", ok=False)
        self.assertRegex(denied, "group drover|ermission denied")
        self.ci1.told("usermod -aG drover anna")
        self.assertIn("drover", self.ci1.told("drover status", user="anna"))

    def test_03_worker(self):
        """A package that depends on nothing; the token on standard input."""
        self.install(self.build1, "now", "drover-worker")
        self.assertEqual(self.build1.show("drover-worker", "ConditionResult"), "no", "without worker.conf the unit waits")
        said = self.ci1.told("drover worker add build1 --slots 3 --tag debian12", user="anna")
        token = re.search(r"^\s*(\S+#\S+#build1:\S+)$", said, re.M).group(1)
        self.assertIn("ci1", token.split("#")[0])
        told = self.build1.told("drover-worker install", stdin=token + "\n", seconds=300)
        self.assertIn("build1", told)
        self.assertNotIn(token, told)
        self.connected()
        self.assertEqual(self.build1.run("stat -c '%a' /etc/drover/worker.conf").strip(), "600")
        self.assertEqual(self.build1.show("drover-worker", "ActiveState"), "active")
        self.assertEqual(self.build1.run(f"ps -o user= -p {self.build1.main_pid('drover-worker')}").strip(), "drover-worker"[:32])
        for key, value in (("KillMode", "process"), ("Delegate", "yes"), ("SendSIGKILL", "no"), ("OOMPolicy", "continue"), ("TasksMax", "infinity"), ("PrivateTmp", "no")):
            self.assertEqual(self.build1.show("drover-worker", key), value)

    def test_04_project(self):
        """A real repository by the git protocol; the configuration in conf.d, taken over without a restart."""
        self.ci1.run("useradd -r git; mkdir -p /srv/git && git init -q --bare -b main /srv/git/libfoo.git && git -C /srv/git/libfoo.git config receive.denyCurrentBranch ignore && chown -R git /srv/git")
        self.ci1.run("systemd-run --unit=git-daemon -p User=git git daemon --export-all --enable=receive-pack --base-path=/srv/git --reuseaddr /srv/git 2>&1")
        self.build1.run("mkdir /srv/libfoo && cd /srv/libfoo && git init -q -b main && git config user.name Bob && git config user.email bob@example.org")
        self.push({"README": "libfoo\n"}, "first")
        before = self.ci1.main_pid("drover-master")
        stub = self.ci1.told(f"drover config new {URL}", user="anna")
        self.assertIn("libfoo", stub)
        self.ci1.write("/etc/drover/conf.d/libfoo.yaml", stub.replace("{git:", "{poll: 1s, git:"))
        self.ci1.told("drover config diff", user="anna")
        self.ci1.told("drover config activate", user="anna")
        self.wait(lambda: self.api("/status")["config"]["projects"] == 1 if "projects" in self.api("/status")["config"] else "libfoo" in json.dumps(self.api("/projects")), "the new configuration")
        self.ci1.write("/etc/drover/conf.d/bad.yaml", "projects: {x: {gti: nowhere}}\n")
        self.ci1.told("systemctl reload drover-master")
        self.wait(lambda: "bad.yaml" in self.ci1.journal("drover-master"), "the refusal")
        self.ci1.run("rm /etc/drover/conf.d/bad.yaml && systemctl reload drover-master")
        self.assertEqual(self.ci1.main_pid("drover-master"), before)
        self.wait(lambda: "main" in self.ci1.run("ls /var/lib/drover/mirrors/*/packed-refs /var/lib/drover/mirrors/*/refs -R 2>/dev/null", ok=False), "the mirror")

    def push(self, files, message):
        for name, text in files.items():
            self.build1.write(f"/srv/libfoo/{name}", text)
        self.wait(lambda: "fatal" not in self.build1.run(f"cd /srv/libfoo && git add -A && git commit -q --allow-empty -m '{message}' && git push -q {URL} main 2>&1", ok=False), "git push")

    def running(self):
        return [b for b in self.api("/builds?state=running")["builds"]]

    def minders(self):
        out = self.build1.run("pgrep -u drover-worker -f -- --minder", ok=False)
        return sorted(int(x) for x in out.split())

    def build_all(self, message):
        """A push that starts the three builders, all of them in mid-build."""
        self.build1.run("rm -f /srv/run/gate /srv/run/*.started")
        self.push({".drover.yml": PIPELINE, "stamp": message}, message)
        self.wait(lambda: all(os.path.exists(self.build1.path(f"/srv/run/{b}.started")) for b in BUILDERS), "three running builds")

    def ends_well(self, since):
        """All three, each in one attempt and with each line of its log once."""
        self.build1.run("touch /srv/run/gate")
        for b in BUILDERS:
            build = self.wait(lambda: (x := self.api(f"/builds/libfoo/{b}/{since}"))["state"] == "done" and x, f"the end of {b}")
            self.assertEqual((build["result"], build["attempt"]), (SUCCESS, 1), build)
            lines = self.ci1.run(f"drover log libfoo/{b}/{since}:make", user="anna").splitlines()
            n = len(lines) - 1
            self.assertGreater(n, 0)
            self.assertEqual(lines, [f"{b} {i}" for i in range(1, n + 1)] + [f"{b} last {n}"], "no line is lost or doubled")
            self.assertEqual(read(self.build1.path(f"/srv/run/{b}.started")), b"x\n", "started once")

    def test_05_upgrade_in_mid_build(self):
        """Each package while three builds run: the same processes go on, the database's too."""
        self.build_all("upgrade")
        minders, postmaster = self.minders(), self.ci1.main_pid("drover-postgresql")
        master, worker = self.ci1.main_pid("drover-master"), self.build1.main_pid("drover-worker")
        self.ci1.told("drover status", user="anna")
        self.assertEqual(len(minders), len(BUILDERS))
        self.install(self.ci1, "next", "drover-master", "drover")
        self.ready()
        self.connected()
        self.assertNotEqual(self.ci1.main_pid("drover-master"), master, "the new one runs")
        self.assertEqual(self.ci1.main_pid("drover-postgresql"), postmaster)
        self.install(self.build1, "next", "drover-worker")
        self.wait(lambda: self.build1.main_pid("drover-worker") not in (0, worker), "the new worker")
        self.connected()
        self.assertEqual(self.minders(), minders, "no command was ended or begun")
        self.ci1.told("drover worker list", user="anna")
        self.ends_well(1)
        for command in ("list builds", "why libfoo/dist", "log --failed libfoo/gcc", "status", "config history"):
            self.ci1.told("drover " + command, user="anna", ok=False)

    @WALK
    def test_06_restarts_and_kills_in_mid_build(self):
        self.build_all("restarts")
        minders, postmaster = self.minders(), self.ci1.main_pid("drover-postgresql")
        self.build1.told("systemctl restart drover-worker")
        self.assertEqual(self.minders(), minders)
        worker = self.build1.main_pid("drover-worker")
        self.build1.run(f"kill -9 {worker}")
        self.wait(lambda: self.build1.main_pid("drover-worker") not in (0, worker), "Restart=always")
        self.assertEqual(self.minders(), minders)
        self.ci1.told("systemctl restart drover-master", seconds=300)
        self.assertEqual(self.ci1.main_pid("drover-postgresql"), postmaster)
        master = self.ci1.main_pid("drover-master")
        self.ci1.run(f"kill -9 {master}")
        self.wait(lambda: self.ci1.main_pid("drover-master") not in (0, master), "Restart=on-failure")
        self.ready()
        master = self.ci1.main_pid("drover-master")
        self.ci1.told("systemctl restart drover-postgresql", seconds=300)
        self.ready()
        self.ci1.run(f"kill -9 {self.ci1.main_pid('drover-postgresql')}")
        self.wait(lambda: self.ci1.show("drover-postgresql", "SubState") == "running" and self.api("/status")["database"]["up"], "PostgreSQL again")
        self.assertEqual(self.ci1.main_pid("drover-master"), master, "an outage of the database is none of the master")
        self.connected()
        self.ends_well(2)

    @WALK
    def test_07_stop_leaves_commands(self):
        self.build_all("stop")
        minders = self.minders()
        self.build1.told("systemctl stop drover-worker")
        self.assertEqual(self.minders(), minders)
        self.build1.told("systemctl start drover-worker")
        self.connected()
        self.ends_well(3)
        self.wait(lambda: not self.minders(), "the end of the minders")

    @WALK
    def test_08_backup_and_restore(self):
        """As root, beside the running service; purged, installed anew, restored: the same builds, and the worker needs no new token."""
        self.ci1.told("drover-master backup /srv/backup", seconds=300)
        self.ci1.told("drover-master verify /srv/backup", seconds=300)
        self.ci1.told("dpkg --purge drover-master", seconds=300)
        self.assertFalse(os.path.exists(self.ci1.path("/var/lib/drover")))
        self.assertEqual(self.ci1.run("pgrep -u drover", ok=False), "")
        self.install(self.ci1, "next", "drover-master")
        self.ready()
        self.ci1.told("systemctl stop drover-master", seconds=300)
        # The package's first start has made a database here, which nobody has used: nothing has to be named for it to go.
        self.ci1.told("drover-master restore /srv/backup", seconds=300)
        self.ci1.told("systemctl start drover-master", seconds=300)
        self.ready()
        self.connected()
        self.assertEqual(self.api("/builds/libfoo/gcc/1")["result"], SUCCESS)
        self.assertIn("ok", self.ci1.told("drover doctor", user="anna", ok=False))

    @WALK
    def test_09_remove_and_purge(self):
        self.build1.told("dpkg --remove drover-worker", seconds=300)
        self.assertEqual(self.build1.run("systemctl is-active drover-worker", ok=False).strip(), "inactive")
        self.assertTrue(os.path.exists(self.build1.path("/var/lib/drover-worker/spool")), "remove keeps what is the builds'")
        self.assertTrue(os.path.exists(self.build1.path("/etc/drover/worker.conf")))
        self.build1.told("dpkg --purge drover-worker", seconds=300)
        self.ci1.told("dpkg --remove drover-master", seconds=300)
        self.assertTrue(os.path.exists(self.ci1.path("/var/lib/drover/pg/data/PG_VERSION")))
        self.ci1.told("dpkg --purge drover-master drover", seconds=300)
        for h, paths in ((self.build1, ("/var/lib/drover-worker", "/etc/drover")), (self.ci1, ("/var/lib/drover", "/etc/drover/master.yaml", "/run/drover"))):
            for path in paths:
                self.assertFalse(os.path.exists(h.path(path)), path)
            self.assertEqual(h.run("find /usr /lib/systemd /etc/systemd -name '*drover*'", ok=False), "")
            self.assertEqual(h.run("pgrep -u drover 2>/dev/null; pgrep -u drover-worker 2>/dev/null", ok=False), "")

    @WALK
    def test_10_without_systemd(self):
        """In a chroot where no systemd runs, packages install, upgrade and go all the same."""
        run = f"unshare --mount sh -c 'mount -t tmpfs tmpfs /run && exec \"$@\"' sh"
        for folder in ("now", "next"):
            names = " ".join(f"/srv/run/{f}" for f in sorted(os.listdir(f"{self.root}/{folder}")))
            for f in os.listdir(f"{self.root}/{folder}"):
                shutil.copy(f"{self.root}/{folder}/{f}", self.ci1.path(f"/srv/run/{f}"))
            self.ci1.run(f"{run} dpkg -i {names}", seconds=300)
            self.assertEqual(self.ci1.run("pgrep -u drover", ok=False), "")
        self.assertIn("drover-worker:", self.ci1.run("getent passwd drover-worker"))
        self.ci1.run(f"{run} dpkg --purge drover-master drover-worker drover", seconds=300)
        self.assertFalse(os.path.exists(self.ci1.path("/var/lib/drover")))


if __name__ == "__main__":
    unittest.main(failfast=True)
