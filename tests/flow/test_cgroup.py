"""A control group for each command (cgroup v2): that it holds, ends and limits all of it, what is left of dead ones, and that a worker goes on without where there are none."""
import os
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import drover  # noqa: E402
from agentcase import AgentCase  # noqa: E402
from fakemaster import Bench, Log, processes_with, wait_for  # noqa: E402
from groups import Groups, missing, own_folder, prefix  # noqa: E402

MISSING = missing()
groups = unittest.skipIf(MISSING, MISSING)
CONTROLLERS = [] if MISSING else drover.read(os.path.join(own_folder(), "cgroup.controllers")).decode().split()
NOBODY = 65534
PYTHON = "/usr/bin/python3"


def group_of(pid):
    """Its folder; None: it has ended."""
    return next((own_folder(x.decode()[3:]) for x in drover.read(f"/proc/{pid}/cgroup").splitlines() if x.startswith(b"0::")), None)


class Case(AgentCase):
    def setUp(self):
        self.logs = {}

    def start_one(self, s, cmd, script, *more):
        """The command's group, once its main process has said that it runs."""
        s.run(cmd, ["sh", "-c", f"echo ready; {script}"], ("env", f"MARK={self.mark(cmd)}"), *more)
        s.expect("state")
        s.send("follow", cmd, 1)
        self.logs[cmd] = Log()
        while b"ready" not in self.logs[cmd].text:
            s.take_out(s.expect("out"), self.logs[cmd])
        found = {group_of(p) for p in processes_with(f"MARK={self.mark(cmd)}")}
        self.assertEqual(len(found), 1, found)
        return found.pop()

    def mark(self, cmd):
        return f"group-{os.getpid()}-{cmd}"

    def stranger(self, group):
        """A process in the group that is none of the command's and carries nothing of it."""
        p = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={})
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        with open(os.path.join(group, "cgroup.procs"), "w") as f:
            f.write(str(p.pid))
        return p

    def killed(self, p):
        self.assertEqual(p.wait(20 * drover.BUSY), -signal.SIGKILL)


class Without(Case):
    """Always: what a worker is where no group can be made."""

    def test_off(self):
        s = self.connect("--cgroup", "off")
        self.assertEqual((s.facts["cgroup"], s.facts.get("cgroup_why")), (b"off", None))
        log = s.sh("1-1", "cat /proc/self/cgroup")
        self.assertEqual(log.text, drover.read(f"/proc/{self.b.worker.process.pid}/cgroup"))

    def test_limits_of_each_process_instead(self):
        """memory and processes are then limits of each process, unless worker.conf has these too; of cpu there is none."""
        s = self.connect("--cgroup", "off", "--limits", "memory=512M processes=3000 cpu=50")
        self.assertEqual(s.sh("1-1", "ulimit -v; bash -c 'ulimit -u'").text.decode().split(), [str(512 << 10), "3000"])
        self.b.worker.stop()
        self.b.worker.options[:] = ["--cgroup", "off", "--limits", "memory=512M as=600M processes=3000 nproc=2000"]
        self.assertEqual(self.b.connect().sh("1-2", "ulimit -v; bash -c 'ulimit -u'").text.decode().split(), [str(600 << 10), "2000"])

    @unittest.skipUnless(os.geteuid() == 0, "only root can be somebody else")
    def test_who_may_not(self):
        """It says so, and runs all the same."""
        self.b = b = Bench()
        self.addCleanup(b.__exit__)
        s = as_nobody(b)
        self.assertEqual(s.facts["cgroup"], b"off")
        self.assertRegex(s.facts["cgroup_why"].decode(), r"^none can be made: (Permission denied|No such file or directory)$")
        self.assertEqual(s.sh("1-1", "echo ran").text, b"ran\n")


def as_nobody(b, group=None):
    """The bench's worker as nobody; in that group."""
    program = os.path.join(b.folder, "drover-worker")  # the build folder may be closed to others
    shutil.copy(b.worker.program, program)
    os.chmod(program, 0o755)
    os.makedirs(b.worker.dir, exist_ok=True)
    for path in (b.worker.dir, b.worker.token_file, b.folder):
        os.chown(path, NOBODY, NOBODY)
    os.chmod(b.master.path, 0o777)

    def enter():
        if group:
            with open(os.path.join(group, "cgroup.procs"), "w") as f:
                f.write("0")

    b.worker.process = subprocess.Popen(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", program, "--join-file", b.worker.token_file, "--dir", b.worker.dir, *b.worker.options], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, preexec_fn=enter)
    return b.master.accept()


@groups
class With(Case):
    def ours(self):
        """The groups of this worker's commands."""
        ours = prefix(self.b.worker.dir)
        return ours, [x for x in os.listdir(own_folder()) if x.startswith(ours)]

    def test_each_command_has_one(self):
        s = self.connect()
        self.assertEqual(s.facts["cgroup"], b"kill")
        self.assertNotIn("cgroup_why", s.facts)
        one = self.start_one(s, "1-1", "setsid sleep 1000 & sleep 1000")
        two = self.start_one(s, "1-2", "sleep 1000")
        ours, names = self.ours()
        self.assertEqual(sorted(names), [f"{ours}1-{n}" for n in (1, 2)])
        self.assertEqual(sorted(os.path.basename(x) for x in (one, two)), sorted(names))
        for pid in (self.b.worker.process.pid, self.b.worker.minder("1-1")):
            self.assertNotIn(os.path.basename(group_of(pid)), names)
        for cmd in ("1-1", "1-2"):
            s.send("kill", cmd, "1-1", 0, "cancel")
        s.collect(self.logs)
        self.assertEqual(self.ours()[1], [])
        self.assertEqual(s.sh("1-3", "exit 7").exit["code"], 7)
        self.assertEqual(s.run_all({"1-4": (["nonesuch-program"],)})["1-4"].exit["how"], "failed")
        self.assertEqual(self.ours()[1], [])

    def test_all_that_is_in_it_ends(self):
        """What descends from the command no more, and carries nothing of it, too."""
        s = self.connect()
        p = self.stranger(self.start_one(s, "1-1", "trap '' TERM; while :; do sleep 1; done"))
        s.send("kill", "1-1", "1-1", 100, "cancel")
        log = s.collect(self.logs)["1-1"]
        self.assertEqual((log.exit["how"], log.exit["reason"]), ("signaled", "cancel"))
        self.killed(p)
        self.assertEqual(processes_with(f"MARK={self.mark('1-1')}"), [])

    def test_groups_that_the_command_has_made(self):
        """In its own, as podman does; also where one of these holds what is left."""
        s = self.connect()
        group = self.start_one(s, "1-1", "sleep 1000")
        os.makedirs(os.path.join(group, "a", "b"))
        p = self.stranger(os.path.join(group, "a", "b"))
        s.send("signal", "1-1", "1-1", "TERM")
        self.assertEqual(s.collect(self.logs)["1-1"].exit["code"], signal.SIGTERM)
        self.killed(p)
        self.assertFalse(os.path.exists(group))

    def test_what_has_left_it_ends_too(self):
        """By the other ways: it goes back to the agent's group, which it may, as root or as the same user."""
        s = self.connect()
        home = group_of(self.b.worker.process.pid)
        group = self.start_one(s, "1-1", "trap '' TERM; sleep 1000 & while :; do sleep 1; done")
        for pid in processes_with(f"MARK={self.mark('1-1')}"):
            with open(os.path.join(home, "cgroup.procs"), "w") as f:
                f.write(str(pid))
        wait_for(lambda: not drover.read(os.path.join(group, "cgroup.procs")))
        s.send("kill", "1-1", "1-1", 0, "cancel")
        s.collect(self.logs)
        self.assertEqual(processes_with(f"MARK={self.mark('1-1')}"), [])

    def test_minder_dies(self):
        """What has hidden that it is the command's, as root: nothing but its group tells."""
        s = self.connect()
        group = self.start_one(s, "1-1", "env -i setsid sleep 1000 & sleep 1000")
        wait_for(lambda: len(drover.read(os.path.join(group, "cgroup.procs")).split()) == 3)
        p = self.stranger(group)
        os.kill(self.b.worker.minder("1-1"), signal.SIGKILL)
        self.assertEqual(s.expect("exit", how="lost", reason="minder")["cmd"], "1-1")
        self.killed(p)
        self.assertFalse(os.path.exists(group))

    def test_leftovers_of_the_dead(self):
        """At its start an agent ends what is in groups of its worker that are no command's; another worker's it leaves alone, and those of the one whose state folder is a copy of its own, or of which its own is one."""
        s = self.connect()
        s.sh("1-1", "true")
        ours = self.ours()[0]
        self.b.worker.kill()
        left = Groups(ours + "9-9", f"drover-{'0' * 16}-{ours.split('-')[2]}9-9", ours[:-1] + "0.9-9")
        self.addCleanup(left.close)
        mine, *others = (self.stranger(x) for x in left.folders)
        self.b.connect()
        self.killed(mine)
        self.assertEqual([(p.poll(), os.path.exists(x)) for p, x in zip(others, left.folders[1:])], [(None, True)] * 2)

    def test_a_command_that_lives_on_keeps_its_group(self):
        """Through the agent's death."""
        s = self.connect()
        group = self.start_one(s, "1-1", "sleep 1000")
        self.b.worker.kill()
        s = self.b.connect()
        self.assertEqual(s.has("1-1")["state"], "running")
        self.assertTrue(drover.read(os.path.join(group, "cgroup.procs")))
        p = self.stranger(group)
        s.resume("1-1", 0)
        s.send("kill", "1-1", "1-1", 0, "cancel")
        s.collect({"1-1": Log()})
        self.killed(p)
        self.assertFalse(os.path.exists(group))

    def test_delegated(self):
        """As a service manager hands a group on: to a user, and the agent is in a group below (DelegateSubgroup)."""
        self.b = b = Bench()
        self.addCleanup(b.__exit__)
        unit = Groups(f"test-{os.getpid()}.service")
        self.addCleanup(unit.close)
        top = unit.folders[0]
        agent = os.path.join(top, "drover-agent")
        os.mkdir(agent)
        for folder in (top, agent):
            for path in (folder, *(os.path.join(folder, "cgroup." + x) for x in ("procs", "subtree_control", "threads"))):
                os.chown(path, NOBODY, NOBODY)
        s = as_nobody(b, agent)
        self.assertEqual(s.facts["cgroup"], b"kill")
        group = self.start_one(s, "1-1", "sleep 1000")
        self.assertEqual(os.path.dirname(group), top)
        self.assertEqual(group_of(b.worker.process.pid), agent)
        p = self.stranger(group)
        s.send("kill", "1-1", "1-1", 0, "cancel")
        s.collect(self.logs)
        self.killed(p)
        self.assertEqual([x for x in os.listdir(top) if x.startswith("drover-")], ["drover-agent"])

    @unittest.skipUnless(os.geteuid() == 0, "only root mounts")
    def test_where_it_is_mounted(self):
        """In a cgroup namespace, as in a container; a part of the hierarchy alone; and nowhere."""
        place = Groups(f"test-{os.getpid()}.container")
        self.addCleanup(place.close)
        top = place.folders[0]
        old = next(x.split()[4] for x in drover.read("/proc/self/mountinfo").decode().splitlines() if " - cgroup2 " in x)
        for unshare, how, told in (("--cgroup", "mount -t cgroup2 cgroup2 $AT", b"kill"), ("", f"mount --bind {top} $AT; umount -l {old}", b"kill"), ("", f"umount -l {old}", b"off")):
            with self.subTest(how=how):
                self.b = b = Bench()
                self.addCleanup(b.__exit__)
                inside = os.path.join(b.folder, "inside")
                with open(inside, "w") as f:
                    f.write(f"#!/bin/sh\necho 0 >{top}/cgroup.procs\nAT={b.folder}/at; export AT; mkdir -p $AT\nexec unshare --mount {unshare} sh -ec '{how}; exec {b.worker.program} \"$@\"' sh \"$@\"\n")
                os.chmod(inside, 0o755)
                b.worker.program = inside
                s = b.connect()
                self.assertEqual(s.facts["cgroup"], told)
                group = self.start_one(s, "1-1", "sleep 1000")
                self.assertEqual(os.path.dirname(group) if told == b"kill" else group, top)
                s.send("kill", "1-1", "1-1", 0, "cancel")
                s.collect({"1-1": self.logs.pop("1-1")})
                if told == b"off":
                    self.assertEqual(s.facts["cgroup_why"], b"none can be made: No such file or directory")
                b.worker.stop()

    def test_with_users_and_namespaces(self):
        """The first process of the namespaces stays out of it, and its descriptor of the group is nowhere to be found."""
        first = 1900000000 + os.getpid() % 50000 * 4096 + 2048
        for options in (["--isolate", "auto"], ["--slot-uids", f"{first}-{first + 7}"], ["--isolate", "auto", "--slot-uids", f"{first + 8}-{first + 15}"]):
            s = self.connect(*options)
            group = self.start_one(s, "1-1", "ls /proc/self/fd | wc -l; sleep 1000", ("cwd", "p/b/1"))
            inside = {int(x) for x in drover.read(os.path.join(group, "cgroup.procs")).split()}
            minder = self.b.worker.minder("1-1")
            self.assertEqual(inside, set(processes_with(f"MARK={self.mark('1-1')}")))
            for pid in [minder, *(p for p in drover.pids() if drover.read(f"/proc/{p}/stat").split(b") ")[-1].split()[1:2] == [b"%d" % minder])]:
                open_files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
                self.assertFalse([x for x in open_files if x.endswith("cgroup.procs")], open_files)
            s.send("kill", "1-1", "1-1", 0, "cancel")
            log = s.collect(self.logs)["1-1"]
            self.assertEqual(log.text.split(), [b"ready", b"4"])
            self.assertFalse(os.path.exists(group))

    @unittest.skipIf("memory" in CONTROLLERS and "pids" in CONTROLLERS, "the controllers are there")
    def test_limits_without_controllers(self):
        s = self.connect("--limits", "memory=512M processes=3000")
        self.assertEqual(s.facts["cgroup"], b"kill")
        self.assertRegex(s.facts["cgroup_why"].decode(), "^no limits: ")
        self.assertEqual(s.sh("1-1", "ulimit -v; bash -c 'ulimit -u'").text.decode().split(), [str(512 << 10), "3000"])


@groups
class Limits(Case):
    """Where the controllers are there."""

    def begin(self, controller, limits):
        if controller not in CONTROLLERS:
            self.skipTest(f"no {controller} controller in this cgroup2 hierarchy (a hybrid one has them in v1)")
        s = self.connect("--limits", limits)
        if limits.split("=")[0].encode() not in s.facts["cgroup"]:
            self.skipTest(f"the {controller} controller is not ours to hand on: {s.facts['cgroup_why'].decode()}")
        return s

    def test_memory(self):
        s = self.begin("memory", "memory=64M")
        log = s.run_all({"1-1": ([PYTHON, "-c", f"import subprocess; p = subprocess.Popen(['{PYTHON}', '-c', 'x = bytearray(200 << 20)']); print(p.wait())"],)})["1-1"]
        self.assertIn("memory=64M ", log.text_of_exit)
        self.assertEqual(s.sh("1-2", "ulimit -v").text, b"unlimited\n")

    def test_processes(self):
        s = self.begin("pids", "processes=20")
        log = s.sh("1-1", "for i in $(seq 50); do sleep 100 & done; wait", ("grace", 0), ("total", 3000))
        self.assertIn(b"fork", log.text)

    def test_cpu(self):
        s = self.begin("cpu", "cpu=50")
        group = self.start_one(s, "1-1", "sleep 1000")
        self.assertEqual(drover.read(os.path.join(group, "cpu.max")), b"50000 100000\n")
        s.send("kill", "1-1", "1-1", 0, "cancel")
        s.collect(self.logs)


if __name__ == "__main__":
    unittest.main()
