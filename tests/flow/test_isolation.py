"""How commands are kept apart, as worker.conf says. Against a master of our own, and whole builds in each kind of isolation."""
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import drover  # noqa: E402
from fakemaster import DEADLINE, Bench, Log, processes_with, records, wait_for  # noqa: E402
from groups import missing  # noqa: E402
from isolated import ROOT, USERS, slots, BWRAP, ISOLATE, root, spaces, nobody, Case, memory_of, user_of, stat_of  # noqa: E402


class Always(Case):
    """What holds without any isolation."""

    def test_limits(self):
        s = self.connect("--limits", "nofile=77 fsize=1M", "--umask", "027")
        log = self.in_place(s, "1-1", "ulimit -n; ulimit -c; umask; ls /proc/self/fd | wc -l; ps -o sid= -p $$; echo $$; ps -o ppid= -p $$; touch made; stat -c %a made; dd if=/dev/zero of=big bs=64k count=32 2>/dev/null; stat -c %s big; echo $HOME $TMPDIR")
        n, core, mask, fds, sid, pid, minder, mode, size, places = log.text.decode().split("\n")[:10]
        self.assertEqual((n, core, mask, fds, sid.strip(), mode, size), ("77", "0", "0027", "4", pid, "640", "1048576"))
        self.assertEqual(places, self.work("p/b/1/home") + " " + self.work("p/b/1/tmp"))
        self.assertNotEqual(int(minder), self.b.worker.process.pid)
        # Never more than the worker itself has.
        hard = subprocess.run(["sh", "-c", "ulimit -H -n"], capture_output=True, text=True, check=True).stdout.strip()
        self.b.worker.options[:] = ["--limits", "nofile=none"]
        self.b.worker.stop()
        self.assertEqual(self.b.connect().sh("1-2", "ulimit -n").text.decode().strip(), hard)

    def test_max_runtime(self):
        s = self.connect("--max-runtime", "1500ms")
        logs = s.run_all({f"1-{i + 1}": (["sleep", "1000"], ("grace", 100), *more) for i, more in enumerate([(), (("total", 3600000),), (("total", 100),)])})
        self.assertEqual([log.exit["reason"] for log in logs.values()], ["total"] * 3)
        self.assertEqual(s.sh("1-4", "echo quick").exit["code"], 0)
        # Not by a grace of a day, asked for before or now, nor by taking none of its output, for which other times stand still.
        day, mark = 86400000, f"MARK=longest-{os.getpid()}"
        s.run("1-5", ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], ("env", mark), ("grace", day))
        s.run("1-6", ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], ("env", mark))
        s.expect("state")
        s.expect("state")
        s.send("kill", "1-6", "1-1", day, "cancel")
        s.collect({"1-5": Log(), "1-6": Log()})
        self.assertEqual(processes_with(mark), [])
        for n, ms in ((7, 700), (8, 6000), (9, 20000)):  # longer where so much could not be written in so little time
            self.b.worker.stop()
            self.b.worker.options[:] = ["--max-runtime", f"{ms}ms"]
            s = self.b.worker.start(DROVER_TEST_SPOOL_FULL=str(1 << 20)) and self.b.master.accept()
            s.run(f"1-{n}", ["sh", "-c", "touch began; (head -c 50000000 /dev/urandom; echo never >went) & sleep 1000"], ("env", mark), ("grace", 0), limit=0)
            s.expect("state")
            wait_for(lambda: os.path.exists(self.work("began")))
            wait_for(lambda: not processes_with(mark))
            os.unlink(self.work("began"))
            self.assertFalse(os.path.exists(self.work("went")))
            log = self.b.worker.spool(f"1-{n}", "log.0")
            if os.path.exists(log) and os.path.getsize(log) >= 1 << 20:
                break
        else:
            self.fail("its spool was never full")

    def test_what_is_demanded_and_not_there(self):
        """No worker starts with less than its worker.conf says."""
        b = Bench()
        self.addCleanup(b.__exit__)
        sets = [(["--isolate", "ipc"], "`pid` must be one of the words"), (["--limits", "nofile"], "it is NAME=NUMBER"), (["--exec-wrapper", "x {dirs}"], "there are {dir}, {slot} and {cid}"), (["--allow", "runs"], "it is `all`")]
        if ROOT and USERS:
            sets += [([*slots(), "--isolate", "pid,user"], "with slot_uids there are users enough")]
        for options, told in sets:
            b.worker.options[:] = options
            b.worker.start()
            self.assertEqual(b.worker.process.wait(DEADLINE), 2, options)
            self.assertIn(told, b.worker.log_text())

    def test_a_minder_that_is_not_told_how(self):
        """What a minder can't read of it, it does not take for nothing. (It is started once more for the same command by hand, which no agent does.)"""
        s = self.connect("--umask", "027", "--cgroup", "off")
        s.run("1-1", ["sh", "-c", "umask >>said"])
        s.collect({"1-1": Log()})
        spool, argv = self.b.worker.spool("1-1"), []
        s.run("1-2", ["sleep", "1000"])
        s.expect("state")
        argv = drover.read(f"/proc/{self.b.worker.minder('1-2')}/cmdline").split(b"\0")[:-1]
        self.assertEqual(argv[-1], b"umask 27\n")
        fds = [os.open(path, os.O_RDWR) for path in (spool + "/cmd", spool + "/ctl", self.b.worker.dir + "/wake", self.b.worker.dir + "/master-seen")]
        argv[4] = b"1-1"
        argv[7:11] = [b"%d" % fd for fd in fds]
        program = os.path.realpath(f"/proc/{self.b.worker.process.pid}/exe")
        for told, lines in ((b"umask 27\nisolate pid,moon\n", 1), (b"umask 27\n", 2)):
            argv[-1] = told
            p = subprocess.run([program, *argv[1:]], pass_fds=fds, capture_output=True, text=True, timeout=DEADLINE)
            self.assertEqual((p.returncode != 0, "can't be read" in p.stderr), (lines == 1, lines == 1), p.stderr)
            self.assertEqual(drover.read(self.work("said")), b"0027\n" * lines)
        for fd in fds:
            os.close(fd)
@spaces
class Spaces(Case):
    def test_what_is_seen(self):
        s = self.connect(*ISOLATE, base="/tmp")
        self.assertEqual(s.facts["isolation"].decode(), ISOLATE[1])
        mark = os.path.join(self.b.folder, "mark")
        open(mark, "w").close()
        mine = os.path.join("/tmp", "not-yours-" + str(os.getpid()))
        open(mine, "w").close()
        self.addCleanup(os.unlink, mine)
        log = self.in_place(s, "1-1", f"ls -d /proc/[0-9]* | wc -l; ls /tmp; ls /var/tmp; pwd -P; touch kept; cd /tmp; touch left-{os.getpid()}; kill -9 1; kill -9 -1; echo still here")
        lines = log.text.decode().split("\n")
        self.assertLessEqual(int(lines[0]), 5)
        self.assertEqual(lines[1:4], [os.path.basename(self.b.folder)] * 2 + [self.work("p/b/1/tree")])
        self.assertNotIn("not-yours", log.text.decode())
        self.assertFalse(os.path.exists(os.path.join("/tmp", f"left-{os.getpid()}")))
        self.assertTrue(os.path.exists(self.work("p/b/1/tree/kept")))
        self.assertTrue(os.path.exists(mark))
        log = self.in_place(s, "1-2", f"ls /tmp; ls {mark}; touch {self.b.worker.dir}/evil")
        self.assertNotIn("left", log.channel(0).decode())
        self.assertIn(b"No such file", log.channel(1))
        self.assertFalse(os.path.exists(self.b.worker.dir + "/evil"))

    def test_ids_of_the_host_are_not_met(self):
        """No process of the host can be seen, let alone signalled: not its minder either."""
        s = self.connect(*ISOLATE)
        log = self.in_place(s, "1-1", "echo $$ $PPID; id -u")
        words = log.channel(0).decode().split()
        self.assertEqual((words[0], words[1], words[-1]), ("2", "1", str(os.geteuid())))

    def test_net(self):
        if not ROOT:
            self.skipTest("as root")
        s = self.connect("--isolate", "pid,net,uts")
        log = s.sh("1-1", "cat /proc/net/dev; hostname changed; hostname; exec python3 -c 'import socket; a = socket.create_server((\"127.0.0.1\", 0)); socket.create_connection(a.getsockname()); print(\"loopback\")'")
        self.assertEqual(re.findall(r"^ *(\w+):", log.text.decode(), re.M), ["lo"])
        self.assertIn("changed\nloopback", log.text.decode())
        self.assertNotEqual(os.uname().nodename, "changed")

    def test_secrets_stay_out_of_the_first_process(self):
        s = self.connect(*ISOLATE)
        s.send("secrets", "1-1", blob=records(("value", "deploy=tell-nobody-of-this")))
        s.run("1-1", ["sh", "-c", "echo ready; exec sleep 1000"], ("secret", "KEY=deploy"))
        s.expect("state")
        minder = self.b.worker.minder("1-1")
        first = wait_for(lambda: next((p for p in drover.pids() if (f := stat_of(p)) and int(f[1]) == minder), 0))
        wait_for(lambda: next((p for p in drover.pids() if (f := stat_of(p)) and int(f[1]) == first), 0))
        if ROOT:
            wait_for(lambda: not memory_of(first).count(b"KEY=tell-nobody-of-this"))
            self.assertTrue(b"--minder" in memory_of(first))  # it could be looked at
        s.send("kill", "1-1", "1-1", 0, "cancel")

    @nobody
    def test_without_root(self):
        """As packages run it: a user namespace, in which it is nobody else than before."""
        self.b = b = Bench()
        self.addCleanup(b.__exit__)
        program = os.path.join(b.folder, "drover-worker")  # the build folder may be closed to others
        shutil.copy(b.worker.program, program)
        os.chmod(program, 0o755)
        os.mkdir(b.worker.dir)
        for path in (b.worker.dir, b.worker.token_file, b.folder):
            os.chown(path, 65534, 65534)
        os.chmod(b.master.path, 0o777)
        b.worker.process = subprocess.Popen(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "--join-file", b.worker.token_file, "--dir", b.worker.dir, "--isolate", "auto"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        s = b.master.accept()
        self.assertEqual(s.facts["isolation"], b"user,pid,mount,ipc")
        log = self.in_place(s, "1-1", "id -u; echo $$; grep Cap /proc/self/status; touch made; touch /etc/made; cat /proc/1/environ || echo closed")
        lines = log.channel(0).decode().split("\n")
        self.assertEqual(lines[:2], ["65534", "2"])
        self.assertTrue(all(int(x.split()[1], 16) == 0 for x in lines[2:5]), lines)
        self.assertEqual(lines[-2:], ["closed", ""])  # its first process is no window to its minder's memory
        self.assertEqual(os.stat(self.work("p/b/1/tree/made")).st_uid, 65534)
        s.run("1-2", ["sh", "-c", "setsid sleep 1000 & sleep 1000"], ("env", f"MARK=nb-{os.getpid()}"))
        s.expect("state")
        wait_for(lambda: len(processes_with(f"MARK=nb-{os.getpid()}")) == 3)
        s.send("kill", "1-2", "1-1", 100, "cancel")
        s.collect({"1-2": Log()})
        self.assertEqual(processes_with(f"MARK=nb-{os.getpid()}"), [])

    @root
    def test_auto_where_there_is_nothing(self):
        """It goes on without, and says why; where it was demanded, it does not start."""
        b = self.b = Bench()
        self.addCleanup(b.__exit__)
        less = ["setpriv", "--bounding-set", "-sys_admin", "--"]
        argv = [b.worker.program, "--join-file", b.worker.token_file, "--dir", b.worker.dir, "--isolate"]
        p = subprocess.run([*less, *argv, "pid,ipc"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(p.returncode, 2)
        self.assertRegex(p.stderr, r"isolate: pid,ipc can't be had here: a command could not make its namespaces: Operation not permitted; `isolate = auto` takes what there is")
        b.worker.process = subprocess.Popen([*less, *argv, "auto"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        s = b.master.accept()
        self.assertEqual((s.facts["isolation"], s.facts["isolation_why"]), (b"plain", b"a command could not make its namespaces: Operation not permitted"))
        self.assertEqual(s.sh("1-1", "echo ran").text, b"ran\n")


@root
@spaces
class Numbers(Case):
    def test_a_child_with_a_lower_number_than_its_parent(self):
        """Numbers of processes begin anew after the highest, so one that is found by walking over them may come before what it descends from: it gets its SIGTERM all the same. The worker is in a pid namespace, where the
        command says which number is next."""
        self.b = b = Bench()
        self.addCleanup(b.__exit__)
        inside = os.path.join(b.folder, "inside")
        with open(inside, "w") as f:
            f.write(f'#!/bin/sh\nexec unshare --pid --fork --kill-child --mount-proc {b.worker.program} "$@"\n')
        os.chmod(inside, 0o755)
        b.worker.program = inside
        b.worker.options[:] = ["--cgroup", "off"]
        s = b.connect()
        next_is = "python3 -c 'import sys; open(\"/proc/sys/kernel/ns_last_pid\", \"w\").write(sys.argv[1])'"
        script = {"low": "trap 'echo told >>told; exit' TERM; echo $$ >low", "middle": f"trap : TERM; echo $$ >middle; {next_is} 2000; sh {b.folder}/low.sh &", "high": f"trap : TERM; {next_is} 9000; sh {b.folder}/middle.sh &"}
        for name, text in script.items():
            with open(os.path.join(b.folder, name + ".sh"), "w") as f:
                f.write(text + "\nwhile :; do sleep 0.05; done\n")
        s.run("1-1", ["sh", b.folder + "/high.sh"])
        s.expect("state")
        low, middle = (int(wait_for(lambda: drover.read(self.work(x)).strip())) for x in ("low", "middle"))
        self.assertLess(low, middle)
        s.send("kill", "1-1", "1-1", 1000, "cancel")
        s.collect({"1-1": Log()})
        self.assertEqual(drover.read(self.work("told")), b"told\n")


@root
class Users(Case):
    def is_slot(self, uid):
        first, last = self.b.worker.options[1].split("-")
        return int(first) <= uid <= int(last)

    def owner(self, *names):
        st = os.lstat(self.work(*names))
        return st.st_uid, st.st_gid

    def test_each_place_has_one(self):
        before = os.getgroups()
        os.setgroups([4, 27])  # what the worker has of these nobody else gets
        self.addCleanup(os.setgroups, before)
        s = self.connect(*slots())
        self.assertEqual(s.facts["isolation"], b"uid")
        script = "id -u; id -g; id -G; grep NoNewPrivs /proc/self/status; touch $HOME/a $TMPDIR/b c; cat ../../../q/b/1/tree/c; touch ../../../x ../../x; ls ../../../../spool"
        found = {}
        for n, place in enumerate(("p/b/1", "q/b/1", "p/b/1", "p/c/1")):
            log = self.in_place(s, f"1-{n + 1}", script, place=place)
            uid = int(log.channel(0).split()[0])
            self.assertEqual(log.channel(0).decode(), f"{uid}\n{uid}\n{uid}\nNoNewPrivs:\t1\n")
            self.assertTrue(self.is_slot(uid))
            self.assertEqual(found.setdefault(place, uid), uid)
            self.assertEqual([self.owner(place, *p) for p in ((), ("home",), ("home", "a"), ("tmp", "b"), ("tree", "c"))], [(uid, uid)] * 5)
            self.assertEqual(stat.S_IMODE(os.stat(self.work(place)).st_mode), 0o700)
            self.assertEqual(log.channel(1).count(b"Permission denied") + log.channel(1).count(b"No such file"), 4, log.channel(1))
        self.assertEqual(len(set(found.values())), 3)
        self.assertEqual(sorted(os.listdir(self.work())), ["p", "q"])

    def test_file_operations(self):
        """What the master puts is the place's user's, and what that user lays out there leads the agent nowhere."""
        s = self.connect(*slots())
        secret = os.path.join(self.b.folder, "secret")
        with open(secret, "w") as f:
            f.write("root's own")
        os.chmod(secret, 0o600)
        self.assertEqual(s.file_op("mkdir", "p/b/1/tree")[0], "ok")  # before any command was there
        self.assertEqual(s.put("p/b/1/tree/early", b"x")[0], "ok")
        uid = self.owner("p/b/1")[0]
        self.assertTrue(self.is_slot(uid))
        self.assertEqual(s.put_tree("p/b/1/tree/t", [("d", "dir", 0o755, b""), ("d/f", "file", 0o644, b"y")])[0], "ok")
        self.assertEqual(s.file_op("mkdir", "p/b/1/tree/m/n")[0], "ok")
        self.assertEqual(s.ask("copy", blob=records(("path", "p/b/1/tree/early"), ("to", "p/b/1/tree/copy")))[0], "ok")
        for names in ("tree/early", "tree/t/d/f", "tree/m/n", "tree/copy"):
            self.assertEqual(self.owner("p/b/1", *names.split("/")), (uid, uid), names)
        log = self.in_place(s, "1-1", f"echo more >>early; rm -r t m; ln -s {secret} link; ln -s /etc etc; ln -s ../../2 other; mkdir closed; touch closed/x; chmod 0 closed; id -u", place="p/b/1")
        self.assertEqual((log.text.decode().strip(), log.exit["code"]), (str(uid), 0), log.text)
        self.in_place(s, "1-2", "echo theirs >mine", place="p/b/2")
        for path in ("p/b/1/tree/link", "p/b/1/tree/etc/passwd", "p/b/1/tree/other/tree/mine"):
            for tag, _, data in (s.get(path), s.ask("copy", blob=records(("path", path), ("to", "p/b/1/tree/got")))):
                self.assertIn(tag, ("outside", "denied", "badarg"), path)
                self.assertFalse(data)
        self.assertIn(s.put("p/b/1/tree/other/tree/mine", b"z")[0], ("outside", "denied"))
        self.assertEqual(s.get("p/b/1/tree/early")[2], b"xmore\n")
        self.assertEqual(s.file_op("remove", "p/b/1/tree")[0], "ok")
        self.assertEqual(s.file_op("remove", "p/b/1")[0], "ok")
        self.assertEqual(drover.read(self.work("p/b/2/tree/mine")), b"theirs\n")
        self.in_place(s, "1-3", "true", place="r/b/1")
        self.assertEqual(self.owner("r/b/1")[0], uid)  # the number is free again

    def test_fresh_and_reports(self):
        """What root reads for the command it reads as that user; what is to be removed before it is."""
        s = self.connect(*slots())
        secret = os.path.join(self.b.folder, "secret")
        with open(secret, "w") as f:
            f.write("root's own")
        os.chmod(secret, 0o600)
        report = [("mkdir", "p/b/1/report"), ("report", "p/b/1/report")]
        s.send("secrets", "1-1", blob=records(("value", "deploy=tell-nobody-of-this")))
        s.run("1-1", ["sh", "-c", "echo said >../report/summary; cat $KEY | wc -c; ls -ln $KEY; echo line >followed; mkdir -p keep/x; ls"], *report, ("cwd", "p/b/1/tree"), ("secret_file", "KEY=deploy"), ("log", "more=p/b/1/tree/followed"))
        said, told = None, b""
        while True:
            m = s.recv()
            if m.verb == "report":
                said = m.blob
            elif m.verb == "out" and m["stream"] == 0:
                log = Log()
                log.add(m)
                told += log.text
            elif m.verb == "exit":
                break
        uid = self.owner("p/b/1")[0]
        self.assertIn(b"summary=said", said)
        self.assertTrue(told.startswith(b"19\n"), told)
        self.assertIn(f"-rw------- 1 {uid} {uid}".encode(), told)
        self.assertIn(b"log", m.blob)
        s.send("forget", "1-1")
        # A second name of a file that only root may read, put there before: reports are read as the user whose they are.
        os.link(secret, self.work("p/b/1/report/links"))
        s.run("1-2", ["true"], *report, ("cwd", "p/b/1/tree"), ("log", "more=p/b/1/report/links"))
        said = b""
        while (m := s.recv()).verb != "exit":
            said += m.blob or b""
        self.assertNotIn(b"root's own", said)
        log = self.in_place(s, "1-3", "ls", ("fresh", "p/b/1/tree"))
        self.assertEqual(log.text, b"")
        self.assertEqual(self.owner("p/b/1/tree"), (uid, uid))

    def test_what_was_there_before(self):
        """slot_uids comes to a worker that has built already: its folders change hands, once, and files with a name elsewhere don't."""
        s = self.connect()
        self.in_place(s, "1-1", "mkdir -p a/b; echo old >a/b/c; ln -s /etc/passwd link; echo two >one; ln one ../../../../two")
        s.close()
        self.b.worker.stop()
        self.b.worker.options[:] = slots()
        before = os.stat("/etc/passwd")
        s = self.b.connect()
        log = self.in_place(s, "1-2", "echo new >>a/b/c; cat a/b/c; id -u")
        uid = int(log.text.split()[-1])
        self.assertEqual(log.text.decode(), f"old\nnew\n{uid}\n")
        self.assertEqual((self.owner("p/b/1/tree/link"), self.owner("p/b/1/tree/one"), self.owner("two")), ((uid, uid), (0, 0), (0, 0)))
        self.assertEqual(os.stat("/etc/passwd").st_uid, before.st_uid)

    def test_more_places_than_users(self):
        s = self.connect(*slots(2))
        logs = [self.in_place(s, f"1-{n}", "id -u", place=f"p/b/{n}") for n in (1, 2, 3)]
        self.assertEqual([log.exit["how"] for log in logs], ["exited", "exited", "failed"])
        self.assertIn("slot_uids", logs[2].text_of_exit)
        tag, told = s.put("p/b/4/x", b"x")
        self.assertEqual(tag, "busy")
        self.assertIn(b"slot_uids", told)
        log = s.sh("1-5", "true")  # in the work folder itself nobody works
        self.assertEqual(log.exit["how"], "failed")
        self.assertIn("PROJECT/BUILDER/SLOT", log.text_of_exit)

    def test_two_at_once_are_two(self):
        s = self.connect(*slots(64))
        n = 24
        for i in range(400):  # to look through all of these takes a moment, in which another one looks too
            os.makedirs(self.work(f"x{i % 20}", f"b{i}", "0"))
        logs = s.run_all({f"1-{i}": (["id", "-u"], ("cwd", f"p/b/{i}")) for i in range(1, n + 1)})
        self.assertEqual(len({log.text for log in logs.values()}), n)

    def test_nothing_stays(self):
        """No pid namespace: what runs as that user when its command has ended is ended, and others' is not."""
        s = self.connect(*slots())
        s.run("1-1", ["sleep", "1000"], ("cwd", "q/b/1"))
        s.expect("state")
        log = self.in_place(s, "1-2", "id -u")
        uid = int(log.text)
        stray = subprocess.Popen(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(stray.kill)  # as if it had come by some daemon
        wait_for(lambda: drover.read(f"/proc/{stray.pid}/comm").strip() == b"sleep")
        self.in_place(s, "1-3", "true")
        self.assertEqual(stray.wait(DEADLINE), -signal.SIGKILL)
        s.send("signal", "1-1", "1-1", "TERM")
        s.expect("exit", how="signaled", code=15)

    def test_nothing_stays_of_a_dead_minder(self):
        """What has hidden that it is the command's."""
        s = self.connect(*slots())
        s.run("1-1", ["sh", "-c", "env -i setsid sleep 1000 & setsid sleep 1000 & sleep 1000"], ("cwd", "p/b/1"))
        s.expect("state")
        minder = self.b.worker.minder("1-1")
        uid = wait_for(lambda: self.owner("p", "b", "1")[0])
        mine = lambda: [p for p in drover.pids() if (f := stat_of(p)) and f[0] != "Z" and os.path.exists(f"/proc/{p}") and user_of(p) == uid]
        wait_for(lambda: len(mine()) == 4)
        os.kill(minder, signal.SIGKILL)
        s.expect("exit", how="lost", reason="minder")
        self.assertEqual(mine(), [])

    def test_tools_are_asked_as_nobody(self):
        self.b = b = Bench()
        self.addCleanup(b.__exit__)
        tools = os.path.join(b.folder, "tools")
        os.mkdir(tools)
        with open(os.path.join(tools, "who"), "w") as f:
            f.write("#!/bin/sh\n/usr/bin/id -u\n")
        os.chmod(os.path.join(tools, "who"), 0o755)
        b.worker.options[:] = [*slots(), "--path", f"{tools}:/usr/bin:/bin"]
        s = b.connect()
        tag, told, _ = s.ask("facts", blob=records(("tool", "who")))
        self.assertEqual((tag, told["tool"], told["isolation"]), ("ok", b"who 65534", b"uid"))


class Wrapped(Case):
    """exec_wrapper, by a script of our own, which is always there."""

    def wrapper(self):
        path = os.path.join(self.b.folder, "wrapper")
        with open(path, "w") as f:
            f.write(f"#!/bin/bash\nenv -0 >>{self.b.folder}/env\nprintf '%s|' \"$@\" >>{self.b.folder}/argv\nwhile [ \"$1\" != -- ]; do shift; done; shift\nexec \"$@\"\n")
        os.chmod(path, 0o755)
        return path

    def test_what_it_is_given(self):
        self.b = b = Bench()
        self.addCleanup(b.__exit__)
        b.worker.options[:] = ["--exec-wrapper", self.wrapper() + "  {dir}/x  a{slot}b {cid} --"]
        s = b.connect()
        self.assertEqual(s.facts["isolation"], b"wrapper")
        evil = os.path.join(b.folder, "evil")
        with open(evil, "w") as f:
            f.write(f"touch {b.folder}/owned\n")
        env = [("env", "PATH=.:/bin:/usr/bin"), ("env", f"BASH_ENV={evil}"), ("env", f"ENV={evil}"), ("env", "LD_PRELOAD=/nonesuch/x.so"), ("env", "A=b c\nd"), ("env", "BASH_FUNC_env%%=() { touch owned; }")]
        s.send("secrets", "1-1", blob=records(("value", "deploy=tell-nobody-of-this")))
        s.run("1-1", ["env", "-0"], *env, ("secret", "KEY=deploy"), ("cwd", "p x/b/1;y/tree"))
        s.expect("state")
        log = s.collect({"1-1": Log()})["1-1"]
        self.assertEqual(log.exit["code"], 0, log.text)
        got = dict(x.split(b"=", 1) for x in log.channel(0).split(b"\0")[:-1])
        self.assertEqual({k: got[k] for k in (b"PATH", b"A", b"LD_PRELOAD", b"DROVER_COMMAND", b"BASH_ENV")}, {b"PATH": b".:/bin:/usr/bin", b"A": b"b c\nd", b"LD_PRELOAD": b"/nonesuch/x.so", b"DROVER_COMMAND": b"1-1", b"BASH_ENV": evil.encode()})
        self.assertFalse([k for k in got if k.startswith(b"DROVER_ENV_")])
        names = {x.split(b"=")[0] for x in drover.read(b.folder + "/env").split(b"\0")[:-1]} - {b"PWD", b"SHLVL", b"_", b"OLDPWD"}
        self.assertEqual({n for n in names if not n.startswith(b"DROVER_ENV_")}, {b"PATH", b"DROVER_COMMAND"})
        words = drover.read(b.folder + "/argv").decode().split("|")
        self.assertEqual(words[:4], [self.work("p x/b/1;y") + "/x", "ap_x-b-1_yb", "1-1", "--"])
        self.assertEqual(words[-4:], ["--unwrap", "env", "-0", ""])
        self.assertNotIn("tell-nobody-of-this", drover.read(b.folder + "/argv").decode())
        self.assertFalse(os.path.exists(b.folder + "/owned"))
        for cmd, argv, code in (("1-2", ["nonesuch"], 127), ("1-3", ["/etc/passwd"], 126), ("1-4", ["sh", "-c", "exit 6"], 6)):
            self.assertEqual(s.run_all({cmd: (argv, ("cwd", "p/b/1"))})[cmd].exit["code"], code)
        # The place may be a link that the master has put there: what counts is where it leads, and that is inside.
        os.makedirs(self.work("z/b"))
        os.symlink(self.work("p/b/1"), self.work("z/b/1"))
        os.symlink("../../p/b/1", self.work("z/b/2"))
        os.symlink("/etc", self.work("z/b/3"))
        for n, how in ((1, "failed"), (2, "exited" if USERS else "failed"), (3, "failed")):  # without openat2 no link is followed
            self.assertEqual(s.run_all({f"2-{n}": (["true"], ("cwd", f"z/b/{n}"))})[f"2-{n}"].exit["how"], how)
        words = drover.read(b.folder + "/argv").decode().split("|")
        if USERS:
            self.assertEqual(words[words.index("2-2") - 2:][:2], [self.work("p/b/1") + "/x", "az-b-2b"])
        self.assertFalse({"2-1", "2-3"} & set(words))

    def test_one_that_is_missing(self):
        s = self.connect("--exec-wrapper", "/nonesuch/wrapper --")
        log = s.sh("1-1", "echo never")
        self.assertEqual((log.exit["how"], log.exit["code"], log.text), ("failed", 2, b""))


def pipeline(d):
    """A build that works as most do, and tries what it should not."""
    outside = f"{d.root}/outside"
    steps = [{"name": "who", "run": f"id -u; echo $$; cat a; ls -A $HOME $TMPDIR; touch $HOME/x $TMPDIR/y; echo x=1 >$DROVER_REPORT/properties; touch {outside}/${{DROVER_BUILD##*/}} || true; cat $KEY", "secrets": {"KEY": {"file": "deploy"}}},
             {"name": "see", "run": "test \"$DROVER_PROPERTY_x\" = 1; test -f a; git status --porcelain"}]
    return {"whole": {"steps": steps}}


class Builds(drover.Case):
    """A whole build, checkout, secret and report and all, in each kind of isolation, and one of its commands tries to write outside."""
    PROJECTS = {"p": {}}
    WORKERS = {"here": {"slots": 1}}

    @classmethod
    def prepare(cls):
        d = cls.d
        os.chmod(d.root, 0o755)
        drover.make_repo(d.path("repo"), {"a": "contents of a\n"})
        os.mkdir(d.path("outside"))
        os.chmod(d.path("outside"), 0o777)
        with open(d.path("deploy"), "w") as f:
            f.write("tell-nobody-of-this")
        os.chmod(d.path("deploy"), 0o600)
        d.configure(projects={"p": {"git": d.path("repo"), "poll": "1h", "builders": pipeline(d)}}, secrets={"deploy": {"file": d.path("deploy")}})

    def build(self, isolation, **conf):
        """With that worker.conf: whether a file outside was made, and the lines of the first step's log."""
        d = self.d
        d.kill_worker(sig=signal.SIGTERM)
        d.wait_worker(connected=False)
        with open(d.path("work-here", "worker.conf"), "w") as f:
            f.write("".join(f"{k} = {v}\n" for k, v in conf.items()))
        d.start_worker()
        self.assertEqual(d.get("/workers/here")["facts"]["isolation"], isolation)
        shown = subprocess.run([f"{drover.BUILD}/drover", "worker", "show", "here"], env={**os.environ, "DROVER_SOCKET": d.path("api.sock")}, capture_output=True, text=True, timeout=60).stdout
        self.assertRegex(shown, rf"isolation = {isolation}\n")
        self.assertRegex(shown, r"cgroup = kill\n" if not missing() else r"cgroup = off\n(.*\n)*.*cgroup_why = ")
        b = d.run("p/whole")
        self.assertEqual(b["result"], 0, b)
        said = d.log(b["id"], "who").decode()
        self.assertIn("contents of a\n", said)
        self.assertIn("***", said)  # of two pipes: which is read first is chance
        return os.path.exists(d.path("outside", str(b["number"]))), said.split("\n")

    def test_plain(self):
        self.assertTrue(self.build("plain")[0])

    def test_by_a_wrapper_of_our_own(self):
        """It runs the command and leaves a note, and is what bwrap is where that can't be run."""
        path = self.d.path("wrapper")
        with open(path, "w") as f:
            f.write(f'#!/bin/sh\necho "$1 $2 $3" >>{self.d.root}/wrapped\nshift 4\nexec "$@"\n')
        os.chmod(path, 0o755)
        self.assertTrue(self.build("wrapper", exec_wrapper=path + " {dir} {slot} {cid} --")[0])
        notes = [x.split() for x in drover.read(self.d.path("wrapped")).decode().splitlines()]
        self.assertGreater(len(notes), 2)  # the checkout's too
        self.assertEqual({(n[0], n[1]) for n in notes}, {(os.path.realpath(self.d.path("work-here", "work", "p", "whole", "0")), "p-whole-0")})
        self.assertEqual(len({n[2] for n in notes}), len(notes))

    @unittest.skipUnless(BWRAP, "bwrap can't run here")
    def test_by_bwrap(self):
        made, said = self.build("wrapper", exec_wrapper="bwrap --ro-bind / / --dev /dev --ro-bind /dev/shm /dev/shm --proc /proc --bind {dir} {dir} --unshare-pid --die-with-parent --")
        self.assertFalse(made)
        self.assertLess(int(said[1]), 10)
        self.assertTrue(any("Read-only file system" in x for x in said), said)

    @root
    @spaces
    def test_by_users_and_namespaces(self):
        os.chmod(self.d.path("outside"), 0o755)
        self.addCleanup(os.chmod, self.d.path("outside"), 0o777)
        made, said = self.build("uid,pid,ipc", isolate="pid,ipc", slot_uids=(uids := slots()[1]))
        self.assertFalse(made)
        self.assertEqual(said[0], uids.split("-")[0], said)
        self.assertEqual(said[1], "2")
        self.assertTrue(any("Permission denied" in x for x in said), said)

    def test_refused(self):
        """`allow` without run: the build says why."""
        d = self.d
        d.kill_worker(sig=signal.SIGTERM)
        d.wait_worker(connected=False)
        with open(d.path("work-here", "worker.conf"), "w") as f:
            f.write("allow = read,log\n")
        d.start_worker()
        b = d.run("p/whole")
        self.assertNotEqual(b["result"], 0)
        self.assertIn("does not allow it: `allow` lacks run", str(b))


if __name__ == "__main__":
    unittest.main()
