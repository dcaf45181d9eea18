"""What a master may ask of a host: `allow` of worker.conf, and nothing outside the work folder. Against a master of our own, which is hostile."""
import ctypes
import os
import re
import select
import shutil
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import drover  # noqa: E402
from agentcase import AgentCase  # noqa: E402
from fakemaster import Bench, Log, records  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOAK = bool(os.environ.get("DROVER_SOAK"))


class Watch:
    """Counts what is opened, read, made or removed in a folder: by the kernel's own account."""

    def __init__(self, folder):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self.libc.inotify_init1(os.O_NONBLOCK)
        if self.libc.inotify_add_watch(self.fd, folder.encode(), 0xFFF) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def count(self):
        n = 0
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return n
            while data:
                n, data = n + 1, data[16 + struct.unpack("IIII", data[:16])[3]:]

    def close(self):
        os.close(self.fd)


# What of section 8 a worker.conf may forbid, a second time; the rest is what a link lives on.
GROUPS = {"run": "run secrets signal stdin close resize", "read": "stat disk usage list get glob gettree", "write": "mkdir remove put rename copy puttree", "facts": "facts", "log": "tail", "restart": "restart", "stop": "stop"}
ALWAYS = "welcome member no busy inventory resume ack follow kill forget upgrade ping pong bye error".split()


class Veto(AgentCase):
    """`allow`: each verb that a master has, at workers that allow nothing, and at those that allow one group."""
    verbs = [re.match(r"V\((\w+), +(\w+)", line).groups() for line in drover.read(f"{TOP}/proto/verbs.def").decode().splitlines() if line.startswith("V(")]

    def ask(self, s, verb, n):
        """Sends it, well-formed; the tag of the answer, or None where there is none."""
        cmd, rec = f"1-{n}", lambda *pairs: records(*pairs)
        put = rec(("path", "new"), ("size", 0), ("mode", "644"), ("sum", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
        tree = rec(("path", "tree"))
        numbers = {"list": (10,), "glob": (10,), "gettree": (1000,), "get": (0, 100), "put": (0, len(put)), "puttree": (len(tree),), "tail": (100,), "restart": ("x",), "upgrade": (0, 0)}
        blobs = {"put": put, "puttree": tree, "list": rec(("path", ".")), "glob": rec(("path", "."), ("pattern", "*")), "gettree": rec(("path", ".")), "get": rec(("path", "file")), "rename": rec(("path", "file"), ("to", "moved")),
                 "copy": rec(("path", "file"), ("to", "copied")), "facts": rec(("tool", "touched")), "stat": b"file", "usage": b".", "mkdir": b"made", "remove": b"file", "upgrade": b""}
        if verb == "run":
            s.run(cmd, ["touch", "touched"])
            m = s.recv()
            if m.verb != "error":
                s.collect({cmd: Log()})
            return m["tag"] if m.verb == "error" else "ok"
        elif verb == "secrets":
            s.send("secrets", cmd, blob=rec(("value", "x=y")))
            return None
        elif verb == "signal":
            s.send("signal", cmd, "1-1", "TERM")
        elif verb == "stdin":
            s.send("stdin", cmd, "1-1", 0, blob=b"x")
        elif verb == "close":
            s.send("close", cmd, "1-1", 0)
        elif verb == "resize":
            s.send("resize", cmd, "1-1", "80x24")
        else:
            return s.ask(verb, *numbers.get(verb, ()), blob=blobs.get(verb))[0]
        m = s.recv()
        return m["tag"] if m.verb == "error" else "ok"

    def test_each_verb_has_a_group(self):
        mine = [v for v, side in self.verbs if side in ("MASTER", "BOTH")]
        self.assertEqual(sorted(mine), sorted(ALWAYS + " ".join(GROUPS.values()).split()))

    def test_nothing(self):
        s = self.connect("--allow", "no")
        with open(self.work("file"), "w") as f:
            f.write("kept")
        for n, verb in enumerate(v for words in GROUPS.values() for v in words.split()):
            self.assertIn(self.ask(s, verb, n + 1), ("denied", None), verb)
        s.send("run", "1-99", 1, "1-1", 100, blob=b"junk")
        self.assertIn(b"`allow` lacks run", s.expect("error", tag="denied", what="1-99").blob)
        self.assertEqual(self.ask(s, "upgrade", 0), "denied")
        for verb, words in (("kill", ("1-1", "1-1", 0, "cancel")), ("resume", ("1-1", "1-1", 0, 0, 100)), ("ack", ("1-1", 0, 0, 100))):
            s.send(verb, *words)
            s.expect("error", tag="notfound")
        s.send("forget", "1-1")
        s.send("follow", "1-1", 1)
        s.send("inventory")
        self.assertEqual(s.take_inventory(), [])
        self.assertEqual(os.listdir(self.work()), ["file"])
        self.assertEqual(drover.read(self.work("file")), b"kept")
        self.assertEqual(os.listdir(self.b.worker.dir + "/spool"), [])

    def test_one_group_each(self):
        self.b = b = Bench()
        self.addCleanup(b.__exit__)
        for mine in GROUPS:
            b.worker.options[:] = ["--allow", mine]
            s = b.connect()
            with open(self.work("file"), "w") as f:
                f.write("kept")
            for group, words in GROUPS.items():
                for n, verb in enumerate(words.split()):
                    if group != "stop" or mine == "stop":
                        tag = self.ask(s, verb, 100 * list(GROUPS).index(mine) + n + 1)
                        self.assertEqual(tag == "denied", group != mine and verb != "secrets", (mine, verb, tag))
            b.worker.kill()
            s.close()

    def test_a_malformed_one(self):
        s = self.connect("--allow", "no")
        s.send_bytes(b"stat x +1\nx\n")
        s.expect_gone()


HOSTILE = ["..", "../outside", "../../etc/passwd", "/etc/passwd", "//etc/passwd", "a/../../outside", "a/..", "./..", "in/../../outside", "", ".//..", "x" * 256, "y" * 4000, "z/" * 3000, "out", "out/", "out/.", "out/secret", "out//secret", "./out/secret",
           "out/../..", "out/new", "out/deep/secret", "up", "up/secret", "up/new", "up/../x", "magic", "magic/etc/passwd", "magic/mnt/new", "self", "self/root/etc/passwd", "self/cwd", "file", "file/", "chain", "chain/secret", "chain/new", "root/etc/passwd",
           "root/mnt/new", "in/out/secret", "in/out/new", "fd/0", "fd/0/../outside/secret"]


class Confined(AgentCase):
    def outside(self):
        folder = os.path.join(self.b.folder, "outside")
        os.makedirs(os.path.join(folder, "deep"))
        for name in ("secret", "deep/secret"):
            with open(os.path.join(folder, name), "w") as f:
                f.write("what is outside")
        for name, to in (("out", folder), ("up", "../../outside"), ("magic", "/proc/self/root"), ("self", "/proc/self"), ("file", folder + "/secret"), ("chain", "out"), ("root", "/"), ("fd", "/proc/self/fd")):
            os.symlink(to, self.work(name))
        os.mkdir(self.work("in"))
        os.symlink(folder, self.work("in", "out"))
        with open(self.work("mine"), "w") as f:
            f.write("inside")
        return folder

    def operations(self, s, path):
        """Every one that takes a path, as the tag and the bytes of its answer."""
        p = path.encode()
        head = records(("path", path))
        entry = records(("name", "new"), ("type", "file"), ("mode", "644"), ("size", 1)) + b"x"
        new = records(("path", path), ("size", 1), ("mode", "644"), ("sum", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"))
        for verb in ("stat", "mkdir", "usage", "remove") if len(p) <= 4096 else ():
            yield verb, s.ask(verb, blob=p)
        yield "list", s.ask("list", 100, blob=head)
        yield "get", s.ask("get", 0, 1000, blob=head)
        yield "put", s.ask("put", 0, len(new), blob=new + b"x")
        yield "glob", s.ask("glob", 100, blob=head + records(("pattern", "**")))
        yield "gettree", s.ask("gettree", 10000, blob=head)
        yield "puttree", s.ask("puttree", len(head), blob=head + entry)
        for verb in ("rename", "copy"):
            yield verb, s.ask(verb, blob=head + records(("to", "stolen")))
            yield verb, s.ask(verb, blob=records(("path", "mine"), ("to", path)))

    def test_hostile_paths(self):
        """Row 26: 44 paths, each by all operations: nothing outside is opened. A link itself is inside, and may be looked at, moved and removed."""
        s = self.connect()
        folder = self.outside()
        watch, deep = Watch(folder), Watch(folder + "/deep")
        links = ("out", "up", "magic", "self", "file", "chain", "in/out", "fd/0")
        self.assertGreaterEqual(len(HOSTILE), 40)
        for path in HOSTILE:
            for verb, (tag, told, data) in self.operations(s, path):
                self.assertNotIn(b"what is outside", data, (verb, path))
                if tag == "ok":
                    self.assertTrue(path.rstrip("/.") in links, (verb, path))
                else:
                    self.assertIn(tag, ("badarg", "toolong", "outside", "notfound", "notdir", "isdir", "exists"), (verb, path))
                if verb == "remove" or tag == "ok":  # as it was
                    for name in ("stolen", "new"):
                        shutil.rmtree(self.work(name), ignore_errors=True)
                        if os.path.lexists(self.work(name)):
                            os.unlink(self.work(name))
                    if not os.path.exists(self.work("mine")):
                        with open(self.work("mine"), "w") as f:
                            f.write("inside")
        self.assertEqual((watch.count(), deep.count()), (0, 0))
        self.assertEqual(sorted(os.listdir(folder)), ["deep", "secret"])
        watch.close()
        deep.close()

    def test_swapped_for_links(self):
        """Row 26: a folder and a link to the outside change places all the time, while it is removed, put to, moved, read and listed."""
        s = self.connect()
        folder = os.path.join(self.b.folder, "outside")
        os.mkdir(folder)
        for i in range(10):
            open(os.path.join(folder, f"keep{i}"), "w").close()
        watch, want = Watch(folder), 1000000 if SOAK else 20000
        work = self.work()
        swapper = subprocess.Popen([sys.executable, "-c", SWAPPER, work, folder, str(want)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(lambda: (swapper.kill(), swapper.wait(), swapper.stdout.close()))
        rounds = 0
        while rounds < 60 or not select.select([swapper.stdout], [], [], 0)[0]:  # it says so when it has exchanged them often enough, or dies
            rounds += 1
            s.put_tree("top/side", [(f"d{i}", "dir", 0o755, b"") for i in range(8)])
            s.put("top/side/keep0", b"x")
            s.put_tree("top/side", [("keep1", "file", 0o644, b"x"), ("sub", "dir", 0o755, b"")])
            for verb, blob in (("mkdir", b"top/side/sub/more"), ("stat", b"top/side/keep0"), ("usage", b"top/side"), ("remove", b"top/side/keep2"), ("remove", b"top/side")):
                s.ask(verb, blob=blob)
            s.ask("rename", blob=records(("path", "top/side/keep3"), ("to", "stolen")))
            s.ask("copy", blob=records(("path", "top/side/keep4"), ("to", "stolen")))
            s.get("top/side/keep5")
            s.list("top/side")
            s.get_tree("top")
            s.ask("glob", 10, blob=records(("path", "top"), ("pattern", "**")))
            s.ask("remove", blob=b"top")
        self.assertGreaterEqual(int(swapper.communicate()[0].split()[-1]), want)
        self.assertEqual(watch.count(), 0)
        self.assertEqual(len(os.listdir(folder)), 10)
        self.assertFalse(os.path.exists(self.work("stolen")))
        watch.close()


class ConfinedByComponent(Confined):
    """As on a kernel that has no openat2: one folder after the other, and no link is followed at all."""

    def connect(self, *options, **args):
        return super().connect(*options, DROVER_TEST_NO_OPENAT2="1", **args)


# Exchanges top/side, a folder, with a link, in one call each, and makes what was removed anew: as often as it is told, and until its input ends.
SWAPPER = """
import ctypes, os, select, sys
work, outside, want = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.chdir(work)
swap = ctypes.CDLL(None).renameat2
done = tries = enough = 0
while not enough or tries % 500 or not select.select([0], [], [], 0)[0]:
    tries += 1
    if done >= want and not enough:
        enough = 1
        print("enough", flush=True)
    if swap(-100, b"top/side", -100, b"evil", 2) == 0:
        done += 1
        continue
    for f in (lambda: os.makedirs("top/side/sub"), lambda: open("top/side/keep2", "w").close(), lambda: os.symlink(outside, "evil")):
        try:
            f()
        except OSError:
            pass
print(done)
"""


if __name__ == "__main__":
    unittest.main()
