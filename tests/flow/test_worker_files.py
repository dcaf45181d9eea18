"""The worker's operations on files, against a master of our own."""
import hashlib
import os
import random
import re
import stat
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from fakemaster import encode, parse_records, records, wait_for  # noqa: E402
from workercase import Case  # noqa: E402


class Files(Case):
    def test_operations(self):
        s = self.connect()
        work = self.b.worker.work
        self.assertEqual(s.file_op("stat", "a")[0], "notfound")
        self.assertEqual(s.file_op("mkdir", "a/b/c")[0], "ok")
        self.assertEqual(s.file_op("mkdir", "a/b/c")[0], "ok")
        self.assertEqual(s.file_op("stat", "a/b/c")[1]["type"], b"dir")
        with open(os.path.join(work, "a", "file"), "w") as f:
            f.write("12345")
        os.utime(os.path.join(work, "a", "file"), (100, 200))
        self.assertEqual(s.file_op("stat", "a/file")[1], {"type": b"file", "size": b"5", "mode": b"644", "mtime": b"200"})
        self.assertEqual(s.file_op("mkdir", "a/file/x")[0], "notdir")
        self.assertIn(s.file_op("mkdir", "a/file")[0], ("exists", "notdir"))
        os.symlink("/etc", os.path.join(work, "link"))
        self.assertEqual(s.file_op("stat", "link")[1]["type"], b"link")
        self.assertEqual(s.file_op("remove", "a")[0], "ok")
        self.assertEqual(s.file_op("remove", "a")[0], "ok")
        self.assertEqual(s.file_op("remove", "nothing/at/all")[0], "ok")
        self.assertEqual(os.listdir(work), ["link"])

    def test_usage(self):
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        usage = lambda path: (lambda tag, f: (tag, *(int(f[k]) for k in ("bytes", "entries", "complete"))))(*s.file_op("usage", path))
        self.assertEqual(s.file_op("usage", "a")[0], "notfound")
        os.makedirs(f"{work}/a/b")
        os.makedirs(outside)
        with open(f"{outside}/large", "wb") as f:
            f.write(bytes(3000000))
        with open(f"{work}/a/b/file", "wb") as f:
            f.write(bytes(1000000))
        tag, plain, entries, complete = usage("a")
        self.assertEqual((tag, entries, complete), ("ok", 3, 1))
        self.assertTrue(1000000 <= plain < 1200000, plain)
        # links in, out and round, a pipe, a socket of no one, holes: counted as what they are
        os.symlink(outside, f"{work}/a/out")
        os.symlink("/", f"{work}/a/root")
        os.symlink("..", f"{work}/a/b/up")
        os.symlink("loop", f"{work}/a/loop")
        os.mkfifo(f"{work}/a/pipe")
        with open(f"{work}/a/holes", "w") as f:
            f.truncate(1 << 40)
        tag, more, entries, complete = usage("a")
        self.assertEqual((tag, entries, complete), ("ok", 9, 1))
        self.assertLess(more, plain + 200000)
        for i in range(9):  # ten names of one file are one file; of names elsewhere only the own share counts
            os.link(f"{work}/a/b/file", f"{outside}/name{i}" if i % 2 == 0 else f"{work}/a/name{i}")
        tag, shared, entries, complete = usage("a")
        self.assertEqual((tag, entries, complete), ("ok", 13, 1))
        self.assertTrue(plain / 2 - 100000 < shared < plain / 2 + 200000, (plain, shared))
        # what can't be read or is too deep: at least so much
        os.makedirs(f"{work}/half/shut/in")
        os.chmod(f"{work}/half/shut", 0)
        self.assertEqual(usage("half")[0::3], ("ok", 0 if os.getuid() else 1))
        os.chmod(f"{work}/half/shut", 0o755)
        at = os.open(work, os.O_RDONLY)
        for _ in range(300):
            os.mkdir("deep", dir_fd=at)
            down = os.open("deep", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = down
        os.close(at)
        tag, _, entries, complete = usage("deep")
        self.assertEqual((tag, complete), ("ok", 0))
        self.assertIn(entries, range(190, 210))
        for path in ("a/b/file", "a/root", "a/pipe"):
            self.assertEqual(s.file_op("usage", path)[0], "notdir", path)
        self.assertEqual(s.file_op("usage", "a/out/x")[0], "outside")

    def test_usage_of_one_file_system(self):
        s = self.connect()
        other = f"{self.b.worker.work}/a/other"
        os.makedirs(other)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", other], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no file system can be mounted here")
        try:
            with open(f"{other}/file", "wb") as f:
                f.write(bytes(4000000))
            tag, found = s.file_op("usage", "a")
            self.assertEqual((tag, found["entries"], found["complete"]), ("ok", b"1", b"1"))
            self.assertLess(int(found["bytes"]), 1000000)
        finally:
            subprocess.run(["umount", "-l", other], check=True)

    def test_disk(self):
        s = self.connect()
        s.send("disk", 7)
        m = s.expect("done", req=7, tag="ok")
        fs = os.statvfs(self.b.worker.work)
        found = dict(x.split(b"=") for x in m.blob.split(b"\0") if x)
        self.assertEqual(int(found[b"disk_total_kib"]), fs.f_blocks * fs.f_frsize // 1024)
        self.assertLess(abs(int(found[b"disk_free_kib"]) - fs.f_bavail * fs.f_frsize // 1024), 20 << 20)

    def test_hostile_paths(self):
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        os.makedirs(os.path.join(outside, "keep"))
        os.symlink(outside, os.path.join(work, "out"))
        os.symlink("../../outside", os.path.join(work, "up"))
        os.symlink("/proc/self/root", os.path.join(work, "magic"))
        for path in ("..", "../outside", "/etc", "a/../../outside", "", "x\0y", "a/..", "x" * 300, "y" * 4000):
            for verb in ("stat", "mkdir", "remove"):
                self.assertIn(s.file_op(verb, path)[0], ("badarg", "toolong", "notfound" if verb == "stat" else "badarg"), (verb, path))
        for path in ("out/keep", "up/keep", "magic/tmp", "out/new"):
            for verb in ("stat", "mkdir", "remove"):
                self.assertEqual(s.file_op(verb, path)[0], "outside", (verb, path))
        self.assertEqual(s.file_op("remove", ".")[0], "badarg")
        self.assertEqual(s.file_op("mkdir", "out")[0], "outside")
        self.assertEqual(s.file_op("remove", "out")[0], "ok")
        self.assertEqual(os.listdir(outside), ["keep"])

    def test_hostile_paths_of_reading(self):
        """Nothing outside is listed or read, by whatever name."""
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        os.makedirs(outside)
        with open(os.path.join(outside, "secret"), "w") as f:
            f.write("outside")
        for name, to in (("out", outside), ("up", "../../outside"), ("magic", "/proc/self/root"), ("file", outside + "/secret"), ("chain", "out"), ("dangling", "nowhere"), ("root", "/")):
            os.symlink(to, os.path.join(work, name))
        os.link(os.path.join(outside, "secret"), os.path.join(work, "hard"))  # a name of its own, which somebody outside gave it: that is inside
        self.assertEqual(s.get("hard")[2], b"outside")
        names = ["..", "../outside", "/etc/passwd", "a/../../outside", "", "a/..", "x" * 300, "y" * 4000, "z/" * 3000, "./..", "out/../..", "out", "up", "magic", "file", "chain", "dangling", "root",
                 "out/secret", "up/secret", "magic/etc/passwd", "chain/secret", "root/etc/passwd", "file/", "out/.", "out//secret", "./out/secret", "magic/self/environ"]
        for name in names:
            for tag, _, found in (s.list(name), s.get(name)):
                self.assertIn(tag, ("badarg", "toolong", "notfound", "notdir", "outside", "isdir"), name)
                self.assertFalse(found, name)

    def test_list_in_pages(self):
        """All entries, each once, in the order of their bytes, whatever the page; names of any bytes."""
        s = self.connect()
        folder = os.path.join(os.fsencode(self.b.worker.work), b"many")
        os.makedirs(folder)
        names = [b"%d" % (i * 7919 % 3001) for i in range(3001)] + [b"\xff\xfe", b"a\nb", b" ", b"-rf", b"x" * 255, b"\x01", "é".encode()]
        for name in names:
            open(os.path.join(folder, name), "w").close()
        for most in (1000, 4096, 1111):
            got, after = [], None
            while True:
                tag, told, entries = s.list("many", most, after)
                self.assertEqual(tag, "ok")
                got += [e["name"] for e in entries]
                self.assertLessEqual(len(entries), most)
                if told["complete"] == b"1":
                    break
                after = got[-1]
            self.assertEqual(got, sorted(names))

    def test_glob_of_a_deep_tree(self):
        """Of more than 200 levels it tells what it saw, and that there is more."""
        s = self.connect()
        os.makedirs(os.path.join(self.b.worker.work, "a/" * 205))
        tag, told, data = s.ask("glob", 4096, blob=records(("path", "."), ("pattern", "**")))
        self.assertEqual((tag, told["complete"]), ("ok", b"0"))
        names = [v for k, v in parse_records(data) if k == "name"]
        self.assertEqual((names[0], len(names)), (b"a", 200))
        self.assertEqual(s.file_op("remove", "a")[0], "ok")

    def test_list_of_very_many_takes_no_memory(self):
        """A page costs its own size, however many entries there are."""
        s = self.connect()
        folder = os.path.join(self.b.worker.work, "many")
        os.makedirs(folder)
        for i in range(30000):
            os.mknod(os.path.join(folder, f"{i:06d}"))
        tag, told, entries = s.list("many", 10, after="029000")
        self.assertEqual([e["name"] for e in entries], [b"%06d" % i for i in range(29001, 29011)])
        self.assertEqual(told["complete"], b"0")

    def test_get_from_an_offset(self):
        """A large file in windows, over a lost link; and what another file in its place answers."""
        s = self.connect()
        data, path = os.urandom(5 << 20), os.path.join(self.b.worker.work, "large")
        with open(path, "wb") as f:
            f.write(data)
        tag, told, first = s.get("large", 0, 3 << 20)
        self.assertEqual((tag, first), ("ok", data[:3 << 20]))
        self.assertEqual(told["sum"].decode(), hashlib.sha256(first).hexdigest())
        s.close()
        s = self.b.connect()
        tag, later, rest = s.get("large", 3 << 20, 1 << 40, version=told["version"])
        self.assertEqual((tag, first + rest), ("ok", data))
        self.assertEqual(later["sum"].decode(), hashlib.sha256(rest).hexdigest())
        self.assertEqual(s.get("large", (5 << 20) - 3, 100)[2], data[-3:])
        self.assertEqual(s.get("large", 9 << 20, 100)[2], b"")
        with open(path, "r+b") as f:
            f.write(b"x")
        self.assertEqual(s.get("large", 0, 10, version=told["version"])[0], "changed")
        os.unlink(path)
        with open(path, "wb") as f:
            f.write(data)
        self.assertEqual(s.get("large", 0, 10, version=told["version"])[0], "changed")

    def test_put_over_the_death_of_the_agent(self):
        """The agent is killed in the middle of a put, again and again: the old file is whole until the new one is, and the upload goes on where it was."""
        s = self.connect()
        old, new = b"old\n" * 1000, os.urandom(3 << 20)
        path, rng = os.path.join(self.b.worker.work, "program"), random.Random(7)
        self.assertEqual(s.put_all("program", old, 0o755), "ok")
        begun = 0
        for _ in range(12):
            off = int(s.put("program", new, 0o700, 0, 0)[1]["have"])
            begun = max(begun, off)
            head = records(("path", "program"), ("size", len(new)), ("mode", "700"), ("sum", hashlib.sha256(new).hexdigest()))
            message = encode("put", 9, off, len(head), blob=head + new[off:off + (1 << 18)])
            cut = rng.choice((len(message), len(message), rng.randrange(len(message))))
            s.send_bytes(message[:cut])
            if cut == len(message) and rng.random() < 0.5:
                s.expect("done", req=9, tag="ok")
            self.b.worker.kill()
            with open(path, "rb") as f:
                self.assertEqual(f.read(), old)
            s = self.b.connect()
        self.assertGreater(begun, 0)
        self.assertEqual(s.put_all("program", new, 0o700, step=1 << 19), "ok")
        with open(path, "rb") as f:
            self.assertEqual(f.read(), new)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700)
        self.assertEqual(os.listdir(self.b.worker.work), ["program"])

    def test_put_of_any_size(self):
        s = self.connect()
        work = self.b.worker.work
        for n in (0, 1, 65535, 65536, 65537, 1 << 20, (1 << 20) + 1):
            data = os.urandom(n)
            self.assertEqual(s.put_all(f"f{n}", data), "ok", n)
            with open(os.path.join(work, f"f{n}"), "rb") as f:
                self.assertEqual(f.read(), data)
            self.assertEqual(s.get(f"f{n}", most=1 << 30)[2], data)

    def test_put_parts_in_flight(self):
        """Eight parts are unanswered at a time: they are done in order."""
        s = self.connect()
        data, step, got = os.urandom(4 << 20), 1 << 17, 0
        head = records(("path", "f"), ("size", len(data)), ("mode", "644"), ("sum", hashlib.sha256(data).hexdigest()))
        offs = list(range(0, len(data), step))
        for i, off in enumerate(offs):
            s.send("put", i, off, len(head), blob=head + data[off:off + step])
            if i >= 8:
                self.assertEqual(s.expect("done")["tag"], "ok")
                got += 1
        for _ in range(len(offs) - got):
            m = s.expect("done", tag="ok")
        self.assertEqual(dict(x.split(b"=") for x in m.blob.split(b"\0") if x)[b"complete"], b"1")
        self.assertEqual(s.get("f", most=1 << 30)[2], data)

    def test_put_beside_what_others_left(self):
        """What stands under the part's name is never followed or written through: a link, a file with another name, a FIFO, a folder."""
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        data = b"hello" * 10
        with open(outside, "w") as f:
            f.write("keep")
        hexa = hashlib.sha256(b"f\0" + hashlib.sha256(data).hexdigest().encode()).hexdigest()[:32]
        part = os.path.join(work, ".drover-part-" + hexa)
        for make in (lambda: os.symlink(outside, part), lambda: os.link(outside, part), lambda: os.mkfifo(part)):
            make()
            self.assertEqual(s.put("f", data, end=10)[1], {"have": b"10", "complete": b"0"})
            self.assertEqual(s.put_all("f", data), "ok")
            with open(outside) as f:
                self.assertEqual(f.read(), "keep")
            os.unlink(os.path.join(work, "f"))
        os.mkdir(part)
        self.assertIn(s.put("f", data, end=10)[0], ("exists", "isdir"))

    def test_trees(self):
        """What is put is got again, whole and in pages of any size; links stay links."""
        s = self.connect()
        rng = random.Random(3)
        entries = [(b"empty", "dir", 0o700, b""), (b"a\nb\xff", "file", 0o644, b""), (b"link", "link", 0o777, b"nowhere/at all"), (b"up", "link", 0o777, b"../../.."), (b"deep/er/file", "file", 0o755, b"x")]
        for i in range(300):
            entries.append((b"d%d/s%d/f%d" % (i % 7, i % 3, i), "file", 0o640, rng.randbytes(70000 if i % 50 == 0 else rng.choice((0, 1, 100, 5000)))))
        tag, told = s.put_tree("tree", entries)
        self.assertEqual((tag, told), ("ok", {"entries": b"305"}))
        self.assertEqual(s.put_tree("tree", entries)[0], "ok")  # again is fine
        want = {n: (t, m, b) for n, t, m, b in entries}
        order = None
        for most in (1 << 24, 1 << 18, 1000, 1):
            got, after = [], None
            while True:
                tag, told, page = s.get_tree("tree", most, after)
                self.assertEqual(tag, "ok")
                got += page
                if told["complete"] == b"1":
                    break
                after = page[-1][0]
            names = [n for n, *_ in got]
            self.assertEqual(len(names), len(set(names)))
            order = order or names
            self.assertEqual(names, order)
            found = {n: (t, m, b) for n, t, m, b in got}
            self.assertEqual({n: found[n] for n in want}, want)
            self.assertTrue(all(found[n][0] == "dir" for n in found if n not in want))
        self.assertEqual(order, sorted(order, key=lambda n: n.split(b"/")))
        with open(os.path.join(self.b.worker.work, "tree", "big"), "wb") as f:
            f.truncate(2 << 20)
        self.assertIn((b"big", "large", 0o644, b""), s.get_tree("tree", 1 << 24)[2])

    def test_hostile_trees(self):
        """Entries with names or through links that lead outside; entries that are none."""
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        os.makedirs(outside)
        with open(os.path.join(outside, "secret"), "w") as f:
            f.write("outside")
        for name in (b"../x", b"/tmp/x", b"a/../../x", b"", b".", b"a/.", b"x" * 300, b"a/", b"y/" * 3000):
            self.assertIn(s.put_tree("t", [(name, "file", 0o644, b"x")])[0], ("badarg", "toolong"), name)
        for kind, data in (("link", b""), ("link", b"x" * 4096), ("link", b"a\0b"), ("dir", b"x"), ("large", b""), ("other", b""), ("fifo", b"")):
            self.assertEqual(s.put_tree("t", [(b"x", kind, 0o644, data)])[0], "badarg", (kind, data))
        # A link that the tree itself brings, and then a file behind it or in its place.
        self.assertEqual(s.put_tree("t", [(b"out", "link", 0o777, outside.encode()), (b"out/new", "file", 0o644, b"x")])[0], "outside")
        self.assertEqual(s.put_tree("t", [(b"file", "link", 0o777, outside.encode() + b"/secret"), (b"file", "file", 0o644, b"inside")])[0], "ok")
        self.assertEqual(s.put_tree("t", [(b"out", "dir", 0o755, b"")])[0], "ok")
        self.assertEqual(s.put_tree("t", [(b"d/x", "file", 0o644, b"x"), (b"d", "file", 0o644, b"x")])[0], "isdir")
        os.symlink(outside, os.path.join(work, "t", "again"))
        self.assertEqual(s.put_tree("t/again", [(b"x", "file", 0o644, b"x")])[0], "outside")
        self.assertEqual(s.get_tree("t/again")[0], "notdir")
        self.assertIn((b"again", "link", 0o777, outside.encode()), s.get_tree("t")[2])
        os.mkfifo(os.path.join(work, "t", "fifo"))
        self.assertNotIn(b"fifo", [e[0] for e in s.get_tree("t")[2]])
        s.send("puttree", 9, 100, blob=b"path=t\0")
        self.assertEqual(s.expect("done", req=9)["tag"], "badarg")
        s.send("puttree", 10, 7, blob=b"path=t\0name=x\0type=file\0mode=644\0size=5\0four")
        self.assertEqual(s.expect("done", req=10)["tag"], "badarg")
        with open(os.path.join(outside, "secret")) as f:
            self.assertEqual(f.read(), "outside")
        self.assertEqual(os.listdir(outside), ["secret"])

    def test_hostile_paths_of_writing(self):
        """Nothing is put, moved or copied to or from outside, also while folders are exchanged for links."""
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        os.makedirs(outside)
        with open(os.path.join(outside, "secret"), "w") as f:
            f.write("outside")
        os.makedirs(os.path.join(work, "in", "side"))
        with open(os.path.join(work, "file"), "w") as f:
            f.write("inside")
        for name, to in (("out", outside), ("up", "../../outside"), ("magic", "/proc/self/root"), ("root", "/")):
            os.symlink(to, os.path.join(work, name))
        away = ["..", "../outside/x", "/tmp/x", "out/x", "up/x", "magic/tmp/x", "root/tmp/x", "in/../../x", "", "x" * 300, "y" * 4000, "z/" * 3000]
        for name in away:
            self.assertIn(s.put(name, b"bytes")[0], ("badarg", "toolong", "outside", "notfound"), name)
            for verb in ("rename", "copy"):
                for pair in ((("path", "file"), ("to", name)), (("path", name), ("to", "in/new"))):
                    self.assertIn(s.ask(verb, blob=records(*pair))[0], ("badarg", "toolong", "outside", "notfound"), (verb, pair))
            self.assertIn(s.ask("glob", 10, blob=records(("path", name), ("pattern", "**")))[0], ("badarg", "toolong", "outside", "notfound", "notdir"), name)
        stop = threading.Event()

        def swap():
            d = os.path.join(work, "in", "side")
            while not stop.is_set():
                try:
                    os.rename(d, d + ".was")
                    os.symlink(outside, d)
                    os.unlink(d)
                    os.rename(d + ".was", d)
                except OSError:
                    pass
        thread = threading.Thread(target=swap)
        thread.start()
        try:
            for i in range(60):
                s.put("in/side/f", b"%d" % i)
                s.ask("copy", blob=records(("path", "file"), ("to", "in/side/g")))
                s.ask("copy", blob=records(("path", "in/side/secret"), ("to", "stolen")))
                s.ask("rename", blob=records(("path", "in/side/secret"), ("to", "stolen")))
                s.get("in/side/secret")
        finally:
            stop.set()
            thread.join()
        self.assertEqual(os.listdir(outside), ["secret"])
        self.assertFalse(os.path.exists(os.path.join(work, "stolen")))

    def test_get_while_it_grows(self):
        """A file that is written while it is read is `changed`, never a mixture that looks whole."""
        s = self.connect()
        path, stop = os.path.join(self.b.worker.work, "log"), threading.Event()

        def write():
            with open(path, "wb", buffering=0) as f:
                while not stop.is_set():
                    f.write(b"x" * 4096)
        open(path, "w").close()
        thread = threading.Thread(target=write)
        thread.start()
        try:
            wait_for(lambda: os.path.getsize(path) > 4 << 20)
            wait_for(lambda: s.get("log", 0, 4 << 20)[0] == "changed")  # a look in which nothing is written may be whole
        finally:
            stop.set()
            thread.join()
        self.assertEqual(s.get("log", 0, 100)[0], "ok")

    def test_a_long_answer_holds_up_nobody(self):
        """A master that does not read a long answer is still told nothing else late by it: the child waits in its pipe, not in the agent's memory."""
        s = self.connect()
        with open(os.path.join(self.b.worker.work, "large"), "wb") as f:
            f.truncate(16 << 20)
        for req in range(1, 9):
            s.send("get", req, 0, 16 << 20, blob=records(("path", "large")))
        s.expect("data", off=0)
        with open(f"/proc/{self.b.worker.process.pid}/status") as f:
            peak = int(re.search(r"VmHWM:\s+(\d+)", f.read())[1])
        if not os.environ.get("DROVER_SANITIZE_ALL"):
            self.assertLess(peak, 8 << 10)
        got = {}
        while any(got.get(req, 0) < 16 << 20 for req in range(1, 9)):
            m = s.recv()
            if m.verb == "data":
                got[m["req"]] = m["off"] + len(m.blob)

    def test_remove_never_follows_a_link(self):
        """Folders are exchanged for links to the outside while trees are being removed."""
        s = self.connect()
        work, outside = self.b.worker.work, os.path.join(self.b.folder, "outside")
        os.makedirs(outside)
        for i in range(50):
            open(os.path.join(outside, f"keep{i}"), "w").close()
        os.symlink(outside, os.path.join(work, "evil"))
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                for i in range(20):
                    d = os.path.join(work, "tree", f"d{i}")
                    try:
                        os.rename(d, d + ".was")
                        os.symlink(outside, d)
                    except OSError:
                        pass
        thread = threading.Thread(target=swap)
        thread.start()
        try:
            for _ in range(15):
                for i in range(20):
                    try:
                        os.makedirs(os.path.join(work, "tree", f"d{i}", "sub"), exist_ok=True)
                    except OSError:  # the other thread was quicker
                        pass
                self.assertIn(s.file_op("remove", "tree")[0], ("ok", "io", "notdir"))
        finally:
            stop.set()
            thread.join()
        self.assertEqual(len([n for n in os.listdir(outside) if n.startswith("keep")]), 50)

    def test_large_trees(self):
        s = self.connect()
        work = self.b.worker.work
        at = os.open(work, os.O_RDONLY)
        for _ in range(5000):
            os.mkdir("d", dir_fd=at)
            down = os.open("d", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = down
        os.close(at)
        for i in range(50):
            os.makedirs(f"{work}/wide/{i}")
            for k in range(100):
                os.mknod(f"{work}/wide/{i}/{k}")
        os.chmod(f"{work}/wide/7", 0)
        s.send("remove", 1, blob=b"d")
        s.send("remove", 2, blob=b"wide")
        tags = {m["req"]: m["tag"] for m in (s.recv(), s.recv())}
        self.assertEqual(tags, {1: "ok", 2: "ok"})
        self.assertEqual(os.listdir(work), [])

    def test_many_at_once(self):
        s = self.connect()
        for i in range(100):
            s.send("mkdir", i, blob=b"m/%d" % i)
        self.assertEqual({s.expect("done", tag="ok")["req"] for _ in range(100)}, set(range(100)))


if __name__ == "__main__":
    unittest.main()
