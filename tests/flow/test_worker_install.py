"""drover-worker install: from a token to the master's answer. A real master, real files below a folder, and once as real root in a mount namespace."""
import json
import os
import pty
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import drover
from drover import BUILD, alive, pids, read, wait_for

WORKER = f"{BUILD}/drover-worker"
UNIT = ["Type=notify", "User=drover-worker", "ExecStart=/usr/local/bin/drover-worker", "Restart=always", "KillMode=process", "SendSIGKILL=no", "Delegate=yes",
        "OOMPolicy=continue", "OOMScoreAdjust=-500", "TasksMax=infinity", "StateDirectory=drover-worker"]
NEVER = ("PrivateTmp", "Protect", "NoNewPrivileges", "Private")


class Case(drover.Case):
    PROJECTS = {}
    WORKERS = {}

    @classmethod
    def setUpClass(cls):
        cls.d = drover.Drover({}, {"unused": {"slots": 1}}, tcp=True)
        cls.d.workers = {}
        try:
            cls.d.start_master()
        except BaseException:
            cls.d.failed = True
            cls.d.close(polite=False)
            raise

    def setUp(self):
        self.root = self.d.path(self._testMethodName)
        os.mkdir(self.root)
        self.addCleanup(self.stop)

    def at(self, *names):
        return os.path.join(self.root, *names)

    def token(self, name):
        return self.d.post("/workers", {"name": name, "slots": 2}, 201)["token"]

    def install(self, token, *options, code=0, verb="install", program=WORKER):
        p = subprocess.run([program, verb, "--root", self.root, *options], input=token, capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, code, p.stdout + p.stderr)
        return p.stdout + p.stderr

    def running(self):
        return [p for p in pids() if drover.link_of(p, "exe").startswith(self.root) and alive(p)]

    def stop(self):
        for p in self.running():
            drover.tell(p, signal.SIGTERM)
        wait_for(lambda: not self.running(), "the worker's end")

    def conf(self):
        with open(self.at("etc/drover/worker.conf")) as f:
            return f.read()

    def files(self):
        return sorted(os.path.join(d, f)[len(self.root):] for d, _, names in os.walk(self.root) for f in names if os.path.isfile(os.path.join(d, f)))


NAMESPACE = """set -e
cp -a /etc "$1/etc-copy"; mount --bind "$1/etc-copy" /etc
for place in /usr/local /var/lib /run; do mount -t tmpfs none "$place"; done
mkdir /usr/local/bin
set +e
"$2" install --background; echo "code $?"
"$2" install "$(cat)" </dev/null; echo "code $?"
stat -c '%n %U %a' /etc/drover/worker.conf /var/lib/drover-worker /usr/local/bin/drover-worker
getent passwd drover-worker
exec sleep 1000
"""


class Download:
    """/download/ of the master."""
    def get(self, path, method="GET", **headers):
        c = drover.UnixHttp(self.d.path("api.sock"), 30)
        c.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        body = r.read()
        c.close()
        return r.status, r.headers, body

    def test_what_a_build_leaves(self):
        name = "drover-worker-linux-" + os.uname().machine
        program = read(WORKER)
        status, headers, body = self.get("/download/", Accept="application/json")
        self.assertEqual((status, json.loads(body)), (200, {"items": [{"name": name, "size": len(program), "sha256": drover.sha(program)}], "next": None}))
        text = self.get("/download/")[2].decode()
        self.assertRegex(text.splitlines()[1], rf"^{drover.sha(program)} +{len(program)} {name}$")
        status, headers, body = self.get("/download/" + name)
        self.assertEqual((status, headers["Content-Type"], headers["Content-Length"]), (200, "application/octet-stream", str(len(program))))
        self.assertEqual(body, program)
        self.assertEqual(headers["ETag"], f'"{drover.sha(program)}"')
        status, headers, body = self.get("/download/" + name, "HEAD")
        self.assertEqual((status, headers["Content-Length"], body), (200, str(len(program)), b""))
        self.assertEqual(self.get("/download/" + name, If_None_Match=headers["ETag"])[0], 304)
        with open(self.at(name), "wb") as f:
            f.write(program)
        p = subprocess.run(["sha256sum", "-c"], input=self.get(f"/download/{name}.sha256")[2], cwd=self.root, capture_output=True)
        self.assertEqual(p.returncode, 0, p.stderr)
        os.chmod(self.at(name), 0o755)
        self.assertIn("I am dl", subprocess.run([self.at(name), "install", "--root", self.root, "--background"], input=self.token("dl"), capture_output=True, text=True).stdout)

    def test_only_these(self):
        for name in ("", "drover-worker", "drover-worker-", "drover-worker-linux", "drover-worker-linux-", "drover-worker-plan9-mips", "drover-master", "drover-worker-..-x",
                     "drover-worker-linux-%2e%2e%2fetc", "linux-x86_64", "drover-worker-linux-x86_64.sha256.sha256", "drover-worker-" + "a" * 300 + "-b"):
            self.assertIn(self.get("/download/" + name)[0], (400, 404) if name else (200,), name)

    def test_a_folder_of_the_site(self):
        folder = self.at("offered")
        os.mkdir(folder)
        for name, data in {"linux-aarch64": b"arm", "linux-x86_64": b"x86", "notes.txt": b"no", "empty-file": b"", "Linux-x86": b"no"}.items():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)
        os.symlink("/etc/passwd", os.path.join(folder, "linux-link"))
        os.mkdir(os.path.join(folder, "linux-folder"))
        os.mkfifo(os.path.join(folder, "linux-fifo"))
        with open(os.path.join(folder, "linux-huge"), "wb") as f:
            f.truncate(9 << 20)
        d = self.own({}, {"unused": {}}, downloads=folder)
        d.start_master()
        self.d, shared = d, self.d
        try:
            items = json.loads(self.get("/download/", Accept="application/json")[2])["items"]
            self.assertEqual([(x["name"], x["sha256"]) for x in items], [("drover-worker-linux-aarch64", drover.sha(b"arm")), ("drover-worker-linux-x86_64", drover.sha(b"x86"))])
            self.assertEqual(self.get("/download/drover-worker-linux-aarch64")[2], b"arm")
            for name in ("link", "folder", "fifo", "huge"):
                self.assertEqual(self.get("/download/drover-worker-linux-" + name)[0], 404, name)
            with open(os.path.join(folder, "new"), "wb") as f:
                f.write(b"ARM")
            os.rename(os.path.join(folder, "new"), os.path.join(folder, "linux-aarch64"))  # an upgrade
            self.assertIn(drover.sha(b"ARM").encode(), self.get("/download/drover-worker-linux-aarch64.sha256")[2])
        finally:
            self.d = shared


CAN_UNSHARE = os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


# A host of its own as far as files go: its root's home is below $1, its own accounts, nothing of the real one is written. An ssh server on loopback.
HOST = """set -e
cp -a /etc "$1/etc-copy"; sed -i "s,^root:.*,root:x:0:0:root:$1/home:/bin/sh," "$1/etc-copy/passwd"; mount --bind "$1/etc-copy" /etc
for place in /usr/local /var/lib /run /tmp; do mount -t tmpfs -o mode=1777 none "$place"; done
mkdir /usr/local/bin
exec dropbear -F -E -s -r "$1/hostkey" -p "127.0.0.1:$2"
"""


class BySsh:
    """drover worker install."""
    def host(self):
        """Starts it; its process and the ssh command that reaches it."""
        port = drover.free_port()
        os.chmod(self.root, 0o755)
        os.makedirs(self.at("home/.ssh"), 0o700)
        os.chmod(self.at("home"), 0o700)
        subprocess.run(["dropbearkey", "-t", "ed25519", "-f", self.at("hostkey")], check=True, capture_output=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.at("id")], check=True, capture_output=True)
        with open(self.at("home/.ssh/authorized_keys"), "wb") as f:
            f.write(read(self.at("id.pub")))
        os.chmod(self.at("home/.ssh/authorized_keys"), 0o600)
        with open(self.at("ssh.conf"), "w") as f:
            f.write(f"Host build7.example.org\n HostName 127.0.0.1\n Port {port}\n IdentityFile {self.at('id')}\n IdentitiesOnly yes\n"
                    "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\nBatchMode yes\n")
        p = subprocess.Popen(["unshare", "-m", "sh", "-c", HOST, "sh", self.root, str(port)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

        def inside():
            here = drover.link_of(p.pid, "ns/mnt")
            return [x for x in pids() if here and drover.link_of(x, "ns/mnt") == here and x != p.pid]

        def end():
            for x in inside():
                drover.tell(x, signal.SIGTERM)
            wait_for(lambda: not [x for x in inside() if alive(x)], "the end of the worker")
            p.kill()
            p.wait()
            p.stderr.close()
        self.addCleanup(end)
        ssh = f"ssh -F {self.at('ssh.conf')}"
        wait_for(lambda: subprocess.run([*ssh.split(), "build7.example.org", "true"], capture_output=True).returncode == 0, "the ssh server")
        return p, ssh

    def drover(self, *argv):
        return subprocess.run([f"{BUILD}/drover", "--socket", self.d.path("api.sock"), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    @unittest.skipUnless(CAN_UNSHARE and all(shutil.which(x) for x in ("ssh", "dropbear", "ssh-keygen")), "needs root, mount namespaces, ssh and dropbear")
    @unittest.skipIf(os.environ.get("DROVER_COVER"), "counts would be written on that host")
    def test_a_host_becomes_a_worker(self):
        host, ssh = self.host()
        p = self.drover("worker", "install", "root@build7.example.org", "--slots", "3", "--tag", "debian12", "--ssh", ssh, "--", "--background")
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)
        self.assertIn("wrote /usr/local/bin/drover-worker, /etc/drover/worker.conf (0600), drover-worker.service; started", p.stdout)
        self.assertIn("I am build7: ", p.stdout)
        self.d.wait_worker("build7")
        w = self.d.get("/workers/build7")
        self.assertEqual((w["slots"], w["tags"]), (3, ["debian12"]))
        self.assertEqual(os.listdir(f"/proc/{host.pid}/root/tmp"), [])
        self.assertEqual(read(f"/proc/{host.pid}/root/usr/local/bin/drover-worker"), read(WORKER))
        conf = f"/proc/{host.pid}/root/etc/drover/worker.conf"
        self.assertEqual(os.stat(conf).st_mode & 0o777, 0o600)
        # what goes wrong there is told, and nothing is left
        p = self.drover("worker", "install", "root@build7.example.org", "--name", "other", "--ssh", ssh, "--", "--background")
        self.assertEqual(p.returncode, 2)
        self.assertIn("this host is worker build7 already", p.stdout)
        self.assertIn("ended with 2", p.stderr)
        p = self.drover("worker", "install", "root@build7.example.org", "--ssh", ssh, "--", "--dir", "it's; touch /tmp/x")
        self.assertIn("is not an absolute path", p.stdout)
        self.assertEqual(os.listdir(f"/proc/{host.pid}/root/tmp"), [])

    def test_what_is_refused_here(self):
        for target in ("-oProxyCommand=touch x", "root@-oX", "a b", "root@h;id", "root@$(id)", "@h", "root@", "a@b@c"):
            p = self.drover("worker", "install", "--", target)
            self.assertEqual(p.returncode, 2, target)
            self.assertIn("is not [USER@]HOST", p.stderr)
        self.assertIn("--name NAME", self.drover("worker", "install", "root@10.0.0.1").stderr)
        before = len(self.d.get("/workers")["items"])
        p = self.drover("worker", "install", "root@h", "--ssh", "false")
        self.assertEqual(p.returncode, 3)
        for fake in ("echo hello", "printf Linux\\tx86_64\\n/etc\\n"):
            p = self.drover("worker", "install", "root@h", "--ssh", fake)
            self.assertEqual(p.returncode, 3, fake)
            self.assertIn("not understood", p.stderr)
        self.assertEqual(len(self.d.get("/workers")["items"]), before)  # no token was made


class Install(Download, BySsh, Case):
    @unittest.skipUnless(CAN_UNSHARE, "needs root and mount namespaces")
    def test_real_places(self):
        """The real folders, the real useradd, another user: in a mount namespace, where the host's own are hidden."""
        if subprocess.run(["getent", "passwd", "drover-worker"], capture_output=True).returncode == 0:
            self.skipTest("the user is there already")
        os.chmod(self.root, 0o755)
        p = subprocess.Popen(["unshare", "-m", "sh", "-c", NAMESPACE, "sh", self.root, WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        def inside():
            here = os.readlink(f"/proc/{p.pid}/ns/mnt")
            return [x for x in pids() if drover.link_of(x, "ns/mnt") == here]

        def end():
            for x in inside() if p.poll() is None else []:
                if x != p.pid:
                    drover.tell(x, signal.SIGTERM)
            if p.poll() is None:
                wait_for(lambda: inside() == [p.pid], "the end of the worker")
            p.kill()
            p.wait()
            p.stdout.close()
        self.addCleanup(end)
        p.stdin.write(self.token("r1") + "\n")
        p.stdin.close()
        said = []
        while not said or not said[-1].startswith("drover-worker:x:"):
            line = p.stdout.readline()
            if not line:
                break
            said.append(line)
        text = "".join(said)
        self.assertRegex(text, r"wrote /usr/local/bin/drover-worker, /etc/drover/worker.conf \(0600\), drover-worker.service; started")
        self.assertIn("I am r1", text)
        self.assertIn("code 0\n", text)
        self.assertIn("/etc/drover/worker.conf drover-worker 600\n", text)
        self.assertIn("/var/lib/drover-worker drover-worker 755\n", text)
        self.assertIn("/usr/local/bin/drover-worker root 755\n", text)
        self.assertRegex(said[-1], r"drover-worker:x:\d+:\d+:.*:/var/lib/drover-worker:/usr/sbin/nologin")
        self.d.wait_worker("r1")
        uid = int(said[-1].split(":")[2])
        facts = self.d.get("/workers/r1")["facts"]
        self.assertEqual((int(facts["uid"]), facts["user"], facts["work"]), (uid, "drover-worker", "/var/lib/drover-worker/work"))
        agent = [x for x in inside() if b"drover-worker" in read(f"/proc/{x}/cmdline").split(b"\0")[0]]
        self.assertEqual({os.stat(f"/proc/{x}").st_uid for x in agent}, {uid})

    def test_to_the_answer(self):
        token = self.token("b1")
        said = self.install(token + "\n", "--background")
        self.assertRegex(said, r"^wrote /usr/local/bin/drover-worker, /etc/drover/worker\.conf \(0600\), drover-worker\.service below .*; started in the background")
        self.assertRegex(said, rf"connected to 127\.0\.0\.1:{self.d.port}, key matches the token; I am b1: \d+ cores, \d+ GiB, \d+ GiB free, Linux .*; isolation ((user,)?pid,mount,ipc|plain \(a command could not .*\))\n")
        self.d.wait_worker("b1")
        self.assertEqual(stat.S_IMODE(os.stat(self.at("etc/drover/worker.conf")).st_mode), 0o600)
        self.assertIn(f"join = {token}\n", self.conf())
        self.assertIn("dir = /var/lib/drover-worker\n", self.conf())
        self.assertIn("\nisolate = auto\ncgroup = auto\n", self.conf())
        self.assertNotIn("slot_uids", self.conf())  # it does not know who it will be
        self.assertEqual(read(self.at("usr/local/bin/drover-worker")), read(WORKER))
        self.assertTrue(os.access(self.at("usr/local/bin/drover-worker"), os.X_OK))
        unit = read(self.at("etc/systemd/system/drover-worker.service")).decode()
        for line in UNIT:
            self.assertIn(line + "\n", unit)
        self.assertFalse([x for x in unit.splitlines() if x.startswith(NEVER)])
        # the secret is nowhere but in worker.conf: no argument, environment, log or other file
        secret = token.rsplit(":", 1)[1].encode()
        self.assertEqual([x for x in self.files() if secret in read(self.root + x)], ["/etc/drover/worker.conf"])
        for p in self.running():
            self.assertNotIn(secret, read(f"/proc/{p}/cmdline") + read(f"/proc/{p}/environ"))
        self.assertNotIn(secret.decode(), said)

    def test_again(self):
        token = self.token("b2")
        self.install(token, "--background")
        self.assertIn("that is not the service's runs on", self.install(token, "--background", code=3))
        self.stop()
        kept = self.conf().replace("isolate = auto\n", "")  # as of an older version
        with open(self.at("etc/drover/worker.conf"), "w") as f:
            f.write(kept + "# ours\npath = /bin:/usr/bin\nlog_level = debug\n")
        newer = self.token("b2")
        self.assertNotEqual(newer, token)
        self.assertIn("I am b2", self.install(newer, "--background"))
        self.assertIn(f"join = {newer}\n", self.conf())
        self.assertNotIn(token, self.conf())
        self.assertEqual(self.conf().count("path = /bin:/usr/bin\n"), 1)
        self.assertIn("# ours\n", self.conf())
        self.assertNotIn("isolate", self.conf())

    def test_a_state_folder_and_options(self):
        self.install(self.token("b3"), "--background", "--dir", "/srv/w")
        self.assertIn("dir = /srv/w\n", self.conf())
        self.assertTrue(os.path.exists(self.at("srv/w/ident")))
        self.assertNotIn("StateDirectory", read(self.at("etc/systemd/system/drover-worker.service")).decode())
        self.stop()
        self.assertIn("I am b3", self.install(self.token("b3"), "--background"))  # where it was
        self.assertFalse(os.path.exists(self.at("var/lib/drover-worker")))
        for bad in (["--dir", "x"], ["--user", "a b"], ["--proxy", "ftp://x"], ["--proxy", "http://u:p@x:1"], ["--wait", "soon"], ["--nonesuch"]):
            self.install("", *bad, code=2)

    def test_upgrade(self):
        """The program is the worker's own then, where its user may replace it; said once, it stays so."""
        token = self.token("b3u")
        self.install(token, "--upgrade", "--no-start")
        own = "/var/lib/drover-worker/bin/drover-worker"
        self.assertIn("upgrade = yes\n", self.conf())
        self.assertIn(f"\nExecStart={own}\n", drover.read(self.at("etc/systemd/system/drover-worker.service")).decode())
        self.assertEqual(drover.read(self.at(own[1:])), drover.read(WORKER))
        self.assertFalse(os.path.exists(self.at("usr/local/bin/drover-worker")))
        said = self.install(token, "--background")
        self.assertIn("I am b3u", said)
        self.assertEqual(self.conf().count("upgrade = yes"), 1)
        self.assertTrue(os.access(self.at(own[1:]), os.X_OK))
        self.stop()

    def test_no_start(self):
        said = self.install(self.token("b4"), "--no-start")
        self.assertIn("not started", said)
        self.assertFalse(self.running())
        self.assertIn("not started", self.install(self.token("b4")))  # --root without --background

    def test_nothing_is_written_before_the_token_is_good(self):
        token = self.token("b5")
        said = self.install("", token, code=2)
        self.assertIn("never given as an argument", said)
        self.assertNotIn(token, said)
        self.assertIn("no token on standard input", self.install("", code=2))
        self.assertIn("is no join token", self.install("ci1:7421#nonsense", code=2))
        self.assertIn("is no join token", self.install(token[:-20], code=2))
        self.install("x" * 100000, code=2)
        self.assertEqual(self.files(), [])

    def test_another_master(self):
        mine, other = self.token("b6"), self.token("b6x")
        self.install(mine, "--background")
        self.stop()
        before = self.conf()
        self.assertIn("this host is worker b6 already", self.install(other, code=2))
        key = re.search("spki-sha256:([0-9a-f]{64})", mine)[1]
        self.assertIn("this host is worker b6 already", self.install(mine.replace(key, "0" * 64), code=2))
        self.assertEqual(self.conf(), before)
        self.assertIn("I am b6x", self.install(other, "--force", "--background"))
        self.stop()
        with open(self.at("etc/drover/worker.conf"), "a") as f:
            f.write("paht = /bin\nlog_level = loud\n")
        said = self.install(other, code=2)
        self.assertRegex(said, r"worker\.conf:\d+: unknown key `paht`, did you mean `path`\?")
        self.assertRegex(said, r"worker\.conf:\d+: log_level: loud is neither")
        self.assertIn("I am b6x", self.install(other, "--force", "--background"))

    def test_refused_by_the_master(self):
        old = self.token("b7")
        self.token("b7")
        said = self.install(old, "--background", code=4)
        self.assertIn("set up, but not joined: the master refuses this worker (secret)", said)
        self.assertIn("make a new one on the master", said)
        self.stop()
        self.assertIn("no worker nobody", self.install(old.replace("#b7:", "#nobody:"), "--background", "--force", code=4))
        self.stop()
        key = re.search("spki-sha256:([0-9a-f]{64})", old)[1]
        said = self.install(old.replace(key, "0" * 64), "--background", "--force", code=4)
        self.assertIn(f"the master's key does not match the token: got spki-sha256:{key}", said)
        self.assertIn("drover status", said)

    def test_not_reached(self):
        port = drover.free_port()
        said = self.install(self.token("b8").replace(f":{self.d.port}#", f":{port}#"), "--background", "--wait", "3", code=5)
        self.assertIn(f"127.0.0.1:{port} is not reached: Connection refused", said)
        self.stop()
        said = self.install(self.token("b8").replace(f"127.0.0.1:{self.d.port}#", "no.such.host.invalid:7421#"), "--background", "--wait", "2", code=5)
        self.assertIn("no.such.host.invalid", said)

    def test_terminal_without_echo(self):
        token = self.token("b9")
        pid, fd = pty.fork()
        if not pid:
            os.execv(WORKER, [WORKER, "install", "--root", self.root, "--background"])
        seen = b""
        while b"Token: " not in seen:
            seen += os.read(fd, 4096)
        os.write(fd, token.encode() + b"\n")
        try:
            while got := os.read(fd, 4096):
                seen += got
        except OSError:
            pass  # its end
        self.assertEqual(os.waitpid(pid, 0)[1], 0, seen)
        self.assertIn(b"I am b9", seen)
        self.assertNotIn(token.encode(), seen)
        self.assertNotIn(token[-10:].encode(), seen)
        os.close(fd)

    def test_killed_at_any_moment(self):
        token = self.token("b10")
        before = None
        for i in range(25):
            p = subprocess.Popen([WORKER, "install", "--root", self.root, "--no-start"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            p.stdin.write(token.encode())
            p.stdin.close()
            try:
                p.wait(random.uniform(0, 0.03))
            except subprocess.TimeoutExpired:
                p.kill()
            p.wait()
            conf = read(self.at("etc/drover/worker.conf"))
            self.assertIn(conf, (b"", before, conf if conf.endswith(b"\n") and token.encode() in conf else None), "a half-written worker.conf")
            before = conf
            if conf:
                self.assertEqual(os.stat(self.at("etc/drover/worker.conf")).st_mode & 0o77, 0)
            program = read(self.at("usr/local/bin/drover-worker"))
            self.assertIn(len(program), (0, os.path.getsize(WORKER)))
        self.assertIn("I am b10", self.install(token, "--background"))
        self.assertFalse([x for x in self.files() if x.endswith(".new")])

    def test_two_hosts_with_one_token(self):
        """A living worker is not pushed out; one that is silent for 5 s is."""
        token = self.d.write_token(self.at("token"), self.token("twin"))
        first, second = (self.d.start_worker(x, token=token, folder=self.at(x), wait=False, env={"DROVER_TEST_RETRY_MAX_MS": "300"}) for x in ("first", "second"))
        self.addCleanup(lambda: [p.send_signal(s) for p in (first, second) for s in (signal.SIGCONT, signal.SIGTERM)])

        def status(x):
            return dict(line.partition(" ")[::2] for line in read(self.at(x, "status")).decode().splitlines())

        def who():
            return {x: s for x in ("first", "second") if (s := status(x))}
        wait_for(lambda: any(s["state"] == "connected" for s in who().values()) and any(s["tag"] == "no-duplicate" for s in who().values()), "one in, one out")
        inside, outside = ("first", "second") if status("first")["state"] == "connected" else ("second", "first")
        instance = self.d.get("/workers/twin")["instance"]
        for _ in range(3):  # it goes on trying, and does no harm
            tries = int(status(outside)["tries"])
            wait_for(lambda: int(status(outside)["tries"]) > tries, "another try", 90)
            self.assertEqual((status(inside)["state"], self.d.get("/workers/twin")["instance"]), ("connected", instance))
        frozen = self.d.agents[inside]
        frozen.send_signal(signal.SIGSTOP)
        wait_for(lambda: status(outside)["state"] == "connected", "the other one", 90)
        self.assertNotEqual(self.d.get("/workers/twin")["instance"], instance)
        frozen.send_signal(signal.SIGCONT)
        wait_for(lambda: status(inside)["tag"] == "no-duplicate", "the first one refused", 60)
        self.assertEqual(status(outside)["state"], "connected")

    def test_uninstall(self):
        self.install(self.token("b11"), "--background")
        self.assertIn("stop it first", self.install("", verb="uninstall", code=3))
        self.stop()
        said = self.install("", verb="uninstall")
        self.assertIn("kept", said)
        self.assertTrue(os.path.exists(self.at("var/lib/drover-worker/ident")))
        self.assertFalse([x for x in self.files() if not x.startswith("/var/lib/drover-worker/")])
        self.install("", "--purge", verb="uninstall")
        self.assertEqual(self.files(), [])
        self.install("", verb="uninstall")  # nothing there is fine


if __name__ == "__main__":
    unittest.main()
