#!/usr/bin/env python3
"""Workers that the master dials by ssh: a real sshd on loopback, as root and as a user. Nothing is installed there by hand, nothing is trusted without being told to, and whatever breaks, commands live on."""
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import drover
import wire
from drover import BUILD, link_of, pids, read, sha, tell, wait_for
from gitserve import Sshd, fingerprint, make_key
from schedsite import Session

BLOCKS, BLOCK = 3, 16000  # of numbered lines; after the first one the command waits for a word
LINE = "%d a line of the log that must be there once, in its place"
LONG = f"""echo "$DROVER_BUILD" >> "$MARKS"; i=0
while [ $i -lt {BLOCKS} ]; do
  seq -f "{LINE.replace('%d', '%.0f')}" $((i * {BLOCK})) $((i * {BLOCK} + {BLOCK - 1})); i=$((i + 1))
  if [ $i = 1 ]; then touch "$MARKS.half"; until [ -e "$MARKS.go" ]; do sleep 0.02; done; fi
done"""
WHOLE = "".join(LINE % n + "\n" for n in range(BLOCKS * BLOCK)).encode()
DIALS_S = 1.2  # after a link that was lost
USERS = ("postgres",)  # whoever of these is here, and may log in, is the one that is no administrator


def parent(pid):
    m = re.search(r"^PPid:\t(\d+)", read(f"/proc/{pid}/status").decode(errors="replace"), re.M)
    return int(m[1]) if m else 0


class Site(drover.Case):
    """One master, its sshd, and a worker there that is up."""
    TRUSTED = True  # the configuration has the host's key
    SSHD = {} if os.getuid() else {"UsePAM": "yes"}  # accounts without a password count as locked, but with PAM

    @classmethod
    def setUpClass(cls):
        d = cls.d = drover.Drover({})
        try:
            cls.begin(d)
        except BaseException:
            d.failed = True
            d.close(polite=False)
            raise

    @classmethod
    def begin(cls, d):
        drover.make_repo(d.path("repo"), {"README": "x"})
        cls.user = pwd.getpwuid(os.getuid()).pw_name
        cls.host_key = make_key(d.path("host"))
        open(d.path("nobody.pub"), "w").close()
        cls.sshd = Sshd(d, cls.host_key, [d.path("nobody")], **cls.SSHD)
        builders = {"theirs": {"worker": {"tags": ["user"]}, "steps": [{"name": "run", "run": "id -un"}]}, "short": {"steps": [{"name": "run", "run": "id -un; uname -s"}]}, "long": {"steps": [{"name": "run", "run": LONG, "env": {"MARKS": d.path("marks")}}]}}
        with open(d.path("p.yml"), "w") as f:
            json.dump({"builders": {name: {"checkout": "none", **b} for name, b in builders.items()}}, f)
        cls.pin = " ".join(read(cls.host_key + ".pub").decode().split()[:2])
        d.workers = {}
        d.configure(workers={"far": cls.far()}, projects={"p": {"git": d.path("repo"), "pipeline": d.path("p.yml")}}, same_user=True)
        d.start_master()
        cls.let_in()
        cls.before()
        d.wait_worker("far")

    @classmethod
    def before(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        code = cls.d.stop_master() if cls.d.master.poll() is None else cls.d.master.returncode
        cls.d.failed |= bool(code)
        cls.sshd.close()
        super().tearDownClass()
        if code:
            raise drover.Failed(f"the master ended with {code}")

    @classmethod
    def far(cls, user=None, dir="far", **more):
        return {"ssh": f"{user or cls.user}@127.0.0.1:{cls.sshd.port}", "dir": cls.d.path(dir), "slots": 2, **({"host_key": cls.pin} if cls.TRUSTED else {}), **more}

    @classmethod
    def let_in(cls, line=None):
        """What drover worker key prints, into the host's authorized_keys."""
        with open(cls.d.path("sshd.allowed"), "w") as f:
            f.write(cls.cli("worker", "key") if line is None else line)

    @classmethod
    def cli(cls, *argv, code=0):
        p = subprocess.run([f"{BUILD}/drover", "--socket", cls.d.path("api.sock"), *argv], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=drover.DEADLINE_S * 2)
        if p.returncode not in (code if isinstance(code, tuple) else (code,)):
            raise drover.Failed(f"{argv}: {p.returncode}\n{p.stdout}{p.stderr}")
        return p.stdout + p.stderr

    def reload(self, **workers):
        self.d.configure(workers=workers)
        self.cli("config", "activate")

    def worker(self, name="far"):
        return self.d.get("/workers/" + name)

    def trouble(self, word, name="far", seconds=30):
        """Once the worker is in that trouble: what the master says of it."""
        return wait_for(lambda: (s := self.worker(name)["ssh"]) and s["trouble"] == word and s, f"{name} to be in trouble: {word} ({self.worker(name)['ssh']})", seconds)

    def agents(self, dir="far"):
        return [p for p in pids() if b"--stdio" in read(f"/proc/{p}/cmdline").split(b"\0") and link_of(p, "exe").startswith(self.d.path(dir) + "/")]

    def helpers(self, d=None):
        return [p for p in pids() if parent(p) == (d or self.d).master.pid and b"drover-ssh-helper" in read(f"/proc/{p}/cmdline")]

    def one_agent(self):
        """Its pid: the one before may be about to end."""
        return wait_for(lambda: len(a := self.agents()) == 1 and a, "one agent")[0]

    def begin_long(self):
        """A build that has written its first block and waits; its request."""
        for end in ("", ".half", ".go"):
            if os.path.exists(self.d.path("marks" + end)):
                os.remove(self.d.path("marks" + end))
        r = self.d.ask("p/long")
        wait_for(lambda: os.path.exists(self.d.path("marks.half")), "half of the log")
        return r

    def end_long(self, r):
        """It goes on; the log is what was written, and the command ran once."""
        open(self.d.path("marks.go"), "w").close()
        done = self.d.wait_request(r)
        self.assertEqual(len(done["builds"]), 1, "no other attempt was made")
        self.assertEqual(self.d.get("/builds/" + done["builds"][0])["result"], 0)
        self.assertEqual(sha(self.d.log(done["builds"][0], "run")), sha(WHOLE))
        self.assertEqual(len(self.lines(self.d.path("marks"))), 1)


class Link(Site):
    def test_builds_run_and_nothing_was_there_before(self):
        self.assertEqual(read(self.d.path("far/drover-worker")), read(f"{BUILD}/drover-worker"))
        self.assertEqual(os.stat(self.d.path("far")).st_mode & 0o777, 0o700)
        b = self.d.run("p/short")
        self.assertEqual((b["result"], b["worker"]), (0, "far"))
        self.assertEqual(self.d.log(b["id"], "run"), f"{self.user}\nLinux\n".encode())
        w = self.worker()
        self.assertEqual(w["peer"], f"ssh:{self.user}@127.0.0.1:{self.sshd.port}")
        self.assertEqual((w["ssh"]["up"], w["ssh"]["trouble"], w["ssh"]["failures"]), (True, None, w["ssh"]["failures"]))
        self.assertIn(f"{self.user}@127.0.0.1:{self.sshd.port}", self.cli("worker", "show", "far"))
        self.assertNotIn("libssh2", subprocess.run(["ldd", f"{BUILD}/drover-master"], capture_output=True, text=True).stdout)

    def test_the_connection_is_cut(self):
        """sshd's process for the connection is killed: the agent there ends, the command doesn't."""
        r, agent = self.begin_long(), [self.one_agent()]
        minder = [p for p in self.d.minders() if link_of(p, "exe").startswith(self.d.path("far"))]
        shell = parent(agent[0])
        tell(shell, signal.SIGKILL)
        wait_for(lambda: not set(agent) & set(self.agents()), "the end of the agent")
        self.end_long(r)
        self.assertTrue(minder)

    def test_the_helper_is_killed(self):
        r, helper = self.begin_long(), wait_for(lambda: len(h := self.helpers()) == 1 and h, "one helper")
        tell(helper[0], signal.SIGKILL)
        wait_for(lambda: (h := self.helpers()) and h != helper, "another helper")
        self.d.wait_worker("far")
        self.end_long(r)

    def narrow(self):
        """A port from which there is a way to sshd that holds little and is slow."""
        ear = socket.socket()
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        ear.bind(("127.0.0.1", 0))
        ear.listen()
        self.addCleanup(ear.close)

        def pump(a, b):
            try:
                while part := a.recv(16000):
                    b.sendall(part)
                    time.sleep(0.003)  # so slow it is
                b.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        def serve():
            a, b = ear.accept()[0], socket.socket()
            for s in (a, b):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            b.connect(("127.0.0.1", self.sshd.port))
            with a, b:
                both = [threading.Thread(target=pump, args=x, daemon=True) for x in ((a, b), (b, a))]
                for t in both:
                    t.start()
                for t in both:
                    t.join()
        threading.Thread(target=serve, daemon=True).start()
        return ear.getsockname()[1]

    def test_the_bridge_loses_no_byte(self):
        """drover-ssh-helper by itself, with sockets that take little at once, on its network too, and a program that sends back what it gets."""
        os.mkdir(self.d.path("echo"))
        with open(self.d.path("echo/drover-worker"), "w") as f:
            f.write("#!/bin/sh\nexec cat\n")
        os.chmod(self.d.path("echo/drover-worker"), 0o755)
        ours, theirs = socket.socketpair()
        for s in (ours, theirs):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        place = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
        p = subprocess.Popen([sys.executable, "-c", place, str(theirs.fileno()), f"{BUILD}/drover-ssh-helper"], pass_fds=(theirs.fileno(),), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.d.env)
        theirs.close()
        self.addCleanup(p.kill)

        def say(*records):
            p.stdin.write(wire.records(*records, ("end", "1")))
            p.stdin.flush()

        def hear():
            got = b""
            while not got.endswith(b"\0end=1\0"):
                part = os.read(p.stdout.fileno(), 1)
                self.assertTrue(part, got)
                got += part
            return {k: v.decode() for k, v in wire.read_records(got)}
        say(("name", "echo"), ("user", self.user), ("host", "127.0.0.1"), ("port", str(self.narrow())), ("dir", self.d.path("echo")), ("key", self.d.sql("select ssh_key from cluster")[0][0]), ("pin", self.pin))
        self.assertEqual(hear()["at"], "look")
        host = hear()
        self.assertEqual((host["at"], host["os"], host["sum"]), ("host", "Linux", sha(b"#!/bin/sh\nexec cat\n")))
        say(("sum", host["sum"]))
        self.assertEqual(hear()["at"], "run")
        data, back = os.urandom(6 << 20), bytearray()
        t = threading.Thread(target=ours.sendall, args=(data,), daemon=True)
        t.start()
        ours.settimeout(drover.DEADLINE_S)
        while len(back) < len(data) and (part := ours.recv(random.randint(1, 50000))):
            back += part
        t.join()
        ours.shutdown(socket.SHUT_WR)  # as a master that closes the link
        self.assertEqual(ours.recv(1), b"")
        self.assertEqual(sha(bytes(back)), sha(data))
        self.assertEqual((p.wait(drover.DEADLINE_S), p.stdout.read()), (0, b""))
        for f in (p.stdin, p.stdout, ours):
            f.close()

    def test_the_master_is_killed(self):
        """The next one on its state folder waits for nothing, also while its former life still counts as alive."""
        r = self.begin_long()
        self.d.kill_master()
        self.d.sql("update master set heartbeat = now() + interval '1 hour'")
        self.d.start_master()
        self.d.wait_worker("far")
        self.end_long(r)

    def test_the_old_agent_hangs_on(self):
        """A connection that is dead to the master, and alive to the host: the next agent takes the folder over, at once."""
        r, old = self.begin_long(), self.one_agent()
        asked = read(self.d.path("far/log")).count(b"another agent takes this folder over")
        keep = parent(old)  # sshd's process: it stands still, and so neither reads nor tells anybody that the other side has gone
        os.kill(keep, signal.SIGSTOP)
        try:
            tell(self.helpers()[0], signal.SIGKILL)
            new = wait_for(lambda: [p for p in self.agents() if p != old and self.worker()["connected"]], "the new agent")
            self.assertEqual(len(new), 1)
            wait_for(lambda: not os.path.exists(f"/proc/{old}") or read(f"/proc/{old}/stat").split(b") ")[-1][:1] == b"Z", "the end of the old one")
            self.assertEqual(read(self.d.path("far/log")).count(b"another agent takes this folder over"), asked + 1)
            self.end_long(r)
        finally:
            tell(keep, signal.SIGCONT)

    def test_another_program_is_replaced(self):
        """Of another version, and half of one: what is not the same bytes is brought anew, as a whole, at the next connection."""
        before = [self.one_agent()]
        with open(self.d.path("far/other"), "wb") as f:
            f.write(read(f"{BUILD}/drover-worker")[:100000])
        os.chmod(self.d.path("far/other"), 0o755)
        os.rename(self.d.path("far/other"), self.d.path("far/drover-worker"))
        self.cli("worker", "restart", "far")
        wait_for(lambda: (a := self.agents()) and a != before, "the new agent")
        self.d.wait_worker("far")
        self.assertEqual(read(self.d.path("far/drover-worker")), read(f"{BUILD}/drover-worker"))
        self.assertEqual([n for n in os.listdir(self.d.path("far")) if ".new" in n], [])
        wait_for(lambda: self.worker()["order"]["state"] == "done", "the end of the order")
        self.assertIn("a restart does it", self.cli("worker", "upgrade", "far", code=3))

    def test_the_host_goes_down_and_comes_up(self):
        r = self.begin_long()
        self.sshd.close()
        for p in filter(None, map(parent, self.agents())):
            tell(p, signal.SIGKILL)
        s = self.trouble("unreachable")
        self.assertIn("Connection refused", s["why"])
        self.assertIn("is not reached by ssh: 127.0.0.1 port", self.cli("doctor", code=(0, 3)))  # 3: a database that was copied for many tests does not write through
        self.assertIn("Connection refused", self.cli("worker", "show", "far"))
        self.sshd.process = self.d.spawn("sshd.log", "/usr/sbin/sshd", "-D", "-e", "-f", self.d.path("sshd.conf"))
        self.d.wait_worker("far")
        self.end_long(r)
        self.assertIsNone(self.worker()["ssh"]["trouble"])

    def tries(self):
        return read(self.d.path("sshd.log")).count(b"Accepted publickey")

    def left_alone(self, tries):
        """It was drained and the master has not dialled it since; resumed it is dialled."""
        for _ in range(2):  # with each heartbeat the master looks whether it is to dial
            beat = self.d.sql("select max(heartbeat) from master")
            wait_for(lambda: self.d.sql("select max(heartbeat) from master") != beat, "a heartbeat")
        self.assertEqual((self.agents(), self.tries()), ([], tries))
        self.assertEqual(self.worker()["ssh"]["trouble"], None)
        self.cli("worker", "resume", "far")
        self.d.wait_worker("far")
        self.assertEqual(self.tries(), tries + 1)

    def test_it_is_drained_and_left_alone(self):
        """Also by a master that is slow to hear of it: its heartbeat has to wait, and it has time to dial meanwhile."""
        tries, other = self.tries(), Session(self.d)
        self.addCleanup(other.close)
        other.tell("select from master for no key update")
        self.cli("worker", "drain", "far", "--wait")
        wait_for(lambda: not self.agents() and not self.worker()["connected"], "the end of the agent")
        wait_for(lambda: self.d.sql("select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"), "the heartbeat to wait")
        begin = time.monotonic()
        wait_for(lambda: time.monotonic() > begin + DIALS_S, "the time in which it dials again whoever was not drained")
        other.tell("commit")
        self.left_alone(tries)

    def test_it_is_drained_by_a_slow_database(self):
        """Heartbeats are faster than the word that it has stopped."""
        tries = self.tries()
        self.d.sql(f"create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep({DIALS_S}); return new; end $$; "
                   "create trigger slow before update on worker_order for each row when (new.state = 'done') execute function slow()")
        try:
            self.cli("worker", "drain", "far", "--wait")
        finally:
            self.d.sql("drop trigger slow on worker_order; drop function slow()")
        self.left_alone(tries)

    def test_one_master_dials_and_the_others_take_over(self):
        """Two more masters on the same database, with the same configuration and the same key: one of the three dials. Where it has no such worker any more, stops, or is killed, another one does."""
        base, two = self.d, []
        for _ in range(2):
            d = self.own({"p": {}}, database=f"host={base.lock_file()[4]} user=drover dbname=drover")
            d.workers = {}
            d.configure(workers=base.conf["workers"], projects=base.conf["projects"], listen={**d.conf["listen"], "workers": f"127.0.0.1:{d.port}"})
            two.append(d.start_master())
        self.assertEqual(len({d.get("/status")["listen"]["ssh_key"] for d in (base, *two)}), 1)
        dials = lambda: self.worker()["ssh"]["master"] or ""
        self.assertIn(str(base.master.pid), dials())
        r, agents = self.begin_long(), [self.one_agent()]
        self.reload()
        owner = wait_for(lambda: next((d for d in two if str(d.master.pid) in dials()), None), "another master to dial")
        wait_for(lambda: self.worker()["connected"] and self.worker()["ssh"]["up"], "the worker at the other master")
        wait_for(lambda: len(self.agents()) == 1 and self.agents() != agents, "one agent")
        other = two[owner is two[0]]
        there = self.d.sql(f"select id from master where pid = {other.master.pid}")[0][0]
        self.d.sql(f"update dial set master = {there}")  # as if the owner had counted as dead for a while, without knowing
        wait_for(lambda: str(other.master.pid) in dials() and self.worker()["ssh"]["up"], "the one that has the row now")
        wait_for(lambda: not self.helpers(owner), "the end of the former owner's helper")
        owner, other = other, owner
        if os.environ.get("DROVER_SOAK"):
            owner.kill_master()
        else:
            owner.stop_master()
        wait_for(lambda: str(other.master.pid) in dials() and self.worker()["ssh"]["up"], "the last master to dial", 60)
        self.end_long(r)
        self.reload(far=self.far())
        other.stop_master()
        wait_for(lambda: str(base.master.pid) in dials() and self.worker()["ssh"]["up"], "the first master to dial again")

    @unittest.skipIf(os.getuid(), "only root's sshd lets others in")
    def test_a_user_that_is_no_administrator(self):
        name = next((u.pw_name for u in pwd.getpwall() if u.pw_name in USERS and os.access(u.pw_shell, os.X_OK)), None)
        if not name:
            self.skipTest("there is nobody here who is no administrator and may log in")
        os.mkdir(self.d.path("home"))
        os.chown(self.d.path("home"), *pwd.getpwnam(name)[2:4])
        self.reload(far=self.far(), user=self.far(user=name, dir="home/deep/far", tags=["user"]))
        self.d.wait_worker("user")
        self.assertEqual(self.worker("user")["facts"]["user"], name)
        b = self.d.run("p/theirs")
        self.assertEqual((b["worker"], self.d.log(b["id"], "run")), ("user", f"{name}\n".encode()))
        self.reload(far=self.far())
        wait_for(lambda: not self.agents("home"), "the end of the agent")


class Trouble(Site):
    """What can be wrong, each in a word and a sentence; and that it is right again as soon as it is put right."""
    TRUSTED = False

    @classmethod
    def before(cls):
        """Nobody has said whose key it is: the host is asked for it, and nothing else."""
        t = cls("run")
        s = t.trouble("unknown_host_key")
        mark = fingerprint(cls.host_key)
        t.assertEqual((s["mark"], s["up"], s["trusted"]), (mark, False, None))
        t.assertIn(f"drover worker trust far {mark}", s["why"])
        t.assertIn(f"drover worker trust far {mark}", cls.cli("worker", "trust", "far"))
        t.assertNotIn(b"publickey", read(cls.d.path("sshd.log")), "the key was shown to a host that nobody trusts")
        t.assertFalse(os.path.exists(cls.d.path("far")))
        t.assertIn("fingerprint", cls.cli("worker", "trust", "far", "SHA256:short", code=2))
        cls.cli("worker", "trust", "far", mark)

    def test_trusted_by_a_person(self):
        s, mark = self.worker()["ssh"], fingerprint(self.host_key)
        self.assertEqual((s["trusted"], s["trusted_by"], s["mark"], s["up"]), (mark, self.user, None, True))
        self.assertEqual(self.d.run("p/short")["result"], 0)
        self.assertIn(("worker.trusted", {"who": self.user, "host_key": mark}), [(t, json.loads(b)) for t, b in self.d.events("select type, body from event where object = 'worker/far'")])
        self.d.api("POST", "/workers/none/trust", {"host_key": mark})
        self.assertEqual(self.d.api("POST", "/workers/none/trust", {"host_key": mark}).status, 404)

    def test_another_host_answers(self):
        """The configuration's word counts, not the person's; nothing is started, and the key is not shown."""
        other = make_key(self.d.path("other" + self.id().rsplit(".")[-1]))
        before = read(self.d.path("sshd.log")).count(b"Starting session")
        self.reload(far=self.far(), wrong=self.far(dir="wrong", host_key=" ".join(read(other + ".pub").decode().split()[:2])), print=self.far(dir="print", host_key=fingerprint(other)),
                    rsa=self.far(dir="rsa", host_key="ssh-rsa " + "AAAA" + "B" * 100))
        for name in ("wrong", "print"):
            s = self.trouble("host_key", name)
            self.assertIn(f"is {fingerprint(self.host_key)}, which is not the one that is trusted", s["why"])
        self.assertIn("ssh-ed25519", self.trouble("protocol", "rsa")["why"])
        self.assertEqual(read(self.d.path("sshd.log")).count(b"Starting session"), before)
        self.assertEqual(self.d.api("POST", "/workers/wrong/trust", {"host_key": fingerprint(self.host_key)}).status, 409)
        self.reload(far=self.far(), wrong=self.far(dir="wrong", host_key=self.pin))
        self.d.wait_worker("wrong")
        self.reload(far=self.far())
        wait_for(lambda: not self.agents("wrong"), "the end of the agent that is not configured any more")
        wait_for(lambda: not self.worker("wrong")["ssh"]["master"], "the master to let go of it")

    def test_not_let_in(self):
        self.let_in("")
        self.d.post("/workers/far/restart", {}, 202)
        s = self.trouble("auth")
        self.assertIn("drover worker key", s["why"])
        wait_for(lambda: not self.agents(), "the end of the one that was to start anew")
        self.let_in()
        self.d.wait_worker("far")

    def test_the_folder_and_the_host(self):
        """A folder that can't be, a disk that is full, a host for which there is no program."""
        open(self.d.path("file"), "w").close()
        self.reload(far=self.far(), bad=self.far(dir="file/below", host_key=self.pin))
        self.assertIn("Not a directory", self.trouble("folder", "bad")["why"])
        self.reload(far=self.far(), kind=self.far(dir="kind", host_key=self.pin))
        self.d.wait_worker("kind")
        self.d.configure(downloads=self.d.path("none"))
        os.makedirs(self.d.path("none"), exist_ok=True)
        self.reload(far=self.far(), kind=self.far(dir="kind2", host_key=self.pin))
        self.assertIn(f'"Linux {os.uname().machine}"', self.trouble("no_program", "kind")["why"])
        shutil.copy(f"{BUILD}/drover-worker", self.d.path("none/linux-" + os.uname().machine))
        self.d.wait_worker("kind")
        self.reload(far=self.far())
        del self.d.conf["downloads"]
        self.reload(far=self.far())

    @unittest.skipIf(os.getuid(), "only root mounts")
    def test_the_disk_is_full(self):
        os.mkdir(self.d.path("small"))
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", self.d.path("small")], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("nothing can be mounted here")
        os.mkdir(self.d.path("large"))  # a program that is more than a channel takes at once
        with open(self.d.path("large/linux-" + os.uname().machine), "wb") as f:
            f.write(read(f"{BUILD}/drover-worker") + bytes(3 << 20))
        self.d.configure(downloads=self.d.path("large"))
        try:
            self.reload(far=self.far(), full=self.far(dir="small/w", host_key=self.pin))
            self.assertIn("No space left", self.trouble("disk_full", "full")["why"])
            wait_for(lambda: not os.listdir(self.d.path("small/w")), "the end of half a program, which is there while it is tried again, too")
            subprocess.run(["mount", "-o", "remount,size=16m", self.d.path("small")], check=True)
            self.d.wait_worker("full")
        finally:
            del self.d.conf["downloads"]
            self.reload(far=self.far())
            wait_for(lambda: not self.agents("small/w"), "the end of the agent")
            wait_for(lambda: subprocess.run(["umount", self.d.path("small")], stderr=subprocess.DEVNULL).returncode == 0, "whoever was in the folder to leave it")

    def test_two_agents_one_with_a_token(self):
        """A folder of a worker that dials by itself is no place for one that is dialled: it is left alone."""
        token = self.d.token("own")
        self.d.start_worker("own", token=token, folder=self.d.path("shared"), wait=False)
        self.d.wait_worker("own")
        self.reload(far=self.far(), shared=self.far(dir="shared", host_key=self.pin))
        self.assertIn("another drover-worker is running on the folder", self.trouble("worker", "shared")["why"])
        self.assertTrue(self.worker("own")["connected"])
        self.d.kill_worker("own", signal.SIGTERM)
        self.d.wait_worker("shared")
        self.reload(far=self.far())

    def test_a_host_that_lies(self):
        """What a host says is never more than words and bytes: noise without end, names that are none, a worker that is none."""
        script, says = self.d.path("liar"), self.d.path("liar.says")
        with open(script, "w") as f:
            f.write(f'#!/bin/sh\n. {says}\n')
        os.chmod(script, 0o755)
        liar = Sshd(self.d, self.host_key, [self.d.path("nobody")], name="liar-sshd", ForceCommand=script)
        self.addCleanup(liar.close)
        shutil.copy(self.d.path("sshd.allowed"), self.d.path("liar-sshd.allowed"))
        good = 'echo "drover-host: good yes"; '
        for n, (what, word, sentence) in enumerate((
                ("head -c 3000000 /dev/zero | tr '\\0' x", "refused", "has no shell that runs a command"),
                ("exec sleep 0", "refused", "has no shell that runs a command"),
                (good + "printf 'drover-host: os \\377\\377\\ndrover-host: arch ../../etc\\n'", "no_program", 'the host is " "'),
                (good + "echo 'drover-host: os Linux'; echo 'drover-host: arch ../master'", "no_program", 'the host is "Linux "'),
                (f"case $SSH_ORIGINAL_COMMAND in *uname*) {good} echo 'drover-host: os Linux'; echo \"drover-host: arch $(uname -m)\";; *cat*) head -c 100 >/dev/null; exec false;; esac", "folder", "did not arrive whole"),
                (f"case $SSH_ORIGINAL_COMMAND in *uname*) {good} echo 'drover-host: os Linux'; echo \"drover-host: arch $(uname -m)\"; echo \"drover-host: sum {sha(read(f'{BUILD}/drover-worker'))}\";; "
                 "*) head -c 300000 /dev/urandom; printf 'a word\\033[31m' >&2; esac", "worker", ""),
                ("exec /bin/sh -c \"$(printf %s \"$SSH_ORIGINAL_COMMAND\" | sed 's/--stdio liar6/--stdio somebody/')\"", "refused", "worker liar6 was dialled, and somebody answers"))):
            with open(says, "w") as f:
                f.write(what + "\n")
            name = f"liar{n}"
            self.reload(far=self.far(), **{name: {**self.far(dir=name, host_key=self.pin), "ssh": f"{self.user}@127.0.0.1:{liar.port}"}})
            s = self.trouble(word, name)
            self.assertIn(sentence, s["why"])
            self.assertNotIn("\033", s["why"])
        # One with few programs, of which one loses bytes: where there is no sha256sum the size tells, and the program is brought each time.
        tools = self.d.path("tools")
        os.mkdir(tools)
        for name in "sh uname mkdir wc rm mv chmod".split():
            os.symlink(shutil.which(name), f"{tools}/{name}")
        with open(f"{tools}/cat", "w") as f:
            f.write("#!/bin/sh\nexec head -c 100000\n".replace("head", shutil.which("head")))
        os.chmod(f"{tools}/cat", 0o755)
        with open(says, "w") as f:
            f.write(f'PATH={tools}; export PATH; exec sh -c "$SSH_ORIGINAL_COMMAND"\n')
        self.reload(far=self.far(), few={**self.far(dir="few", host_key=self.pin), "ssh": f"{self.user}@127.0.0.1:{liar.port}"})
        self.assertIn("did not arrive whole", self.trouble("folder", "few")["why"])
        wait_for(lambda: not os.listdir(self.d.path("few")), "the end of what did not arrive whole, which is there while it is tried again, too")
        os.remove(f"{tools}/cat")
        os.symlink(shutil.which("cat"), f"{tools}/cat")
        self.d.wait_worker("few")
        self.reload(far=self.far())
        self.assertEqual(self.d.run("p/short")["result"], 0)

    def test_the_configuration_is_checked(self):
        for key, value, what in (("ssh", "build3", "neither whom nor where"), ("ssh", "-oProxyCommand=x@h", "neither whom nor where"), ("ssh", "a@h:0", "neither whom nor where"), ("host_key", "ssh-ed25519 nonsense", "neither a host key"),
                                 ("dir", "a;b", "no folder"), ("dir", "../x", "no folder"), ("dir", "$(id)", "no folder")):
            self.d.configure(workers={"far": self.far(), "x": {**self.far(dir="x"), key: value}})
            self.assertIn(what, self.cli("config", "check", self.d.path("master.yaml"), code=2))
        self.d.configure(workers={"far": self.far(), "x": {"dir": "/srv"}})
        self.assertIn('"ssh" is not there', self.cli("config", "check", self.d.path("master.yaml"), code=2))
        self.d.configure(workers={"far": self.far()})


if __name__ == "__main__":
    unittest.main()
