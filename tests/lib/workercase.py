"""What the suites of the worker alone have in common."""
import hashlib
import os
import unittest

from fakemaster import PLAIN, Bench, processes_with, wait_for

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Writes numbered records to both streams, tells its own hashes, and notes each start in an outside file.
GENERATOR = r"""
import hashlib, os, sys
size, note = int(sys.argv[1]), sys.argv[2]
os.write(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND), b"started\n")
pause = float(sys.argv[3]) if len(sys.argv) > 3 else 0
hashes, done, n = {1: hashlib.sha256(), 2: hashlib.sha256()}, 0, 0
while done < size:
    fd = 1 + (n // 7) % 2
    data = b"".join(b"record %08d %s\n" % (n * 500 + i, b"abcdefghij"[: i % 11]) for i in range(500))
    n += 1
    hashes[fd].update(data)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
    done += len(data)
    if pause:
        import time
        time.sleep(pause)
with open(note + ".hash", "w") as f:
    f.write(hashes[1].hexdigest() + " " + hashes[2].hexdigest())
"""


# What nothing but POSIX has no means for, as worker/os_posix.c says.
needs_descent = unittest.skipIf(PLAIN, "processes are found by their session only")
needs_beneath = unittest.skipIf(PLAIN, "links inside the work folder are not followed")


def sha(data):
    return hashlib.sha256(data).hexdigest()


def lines_of(path):
    try:
        with open(path) as f:
            return len(f.readlines())
    except FileNotFoundError:
        return 0


class Case(unittest.TestCase):
    def bench(self, **args):
        b = Bench(**args)
        self.addCleanup(b.__exit__)
        self.b = b
        return b

    def connect(self, **args):
        self.bench(**args)
        return self.b.connect()

    def assert_no_process(self, mark):
        wait_for(lambda: not processes_with(mark), 3, f"processes are left: {mark}")


def processes_in(folder):
    """Pids that work there."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd") == os.path.realpath(folder):
                found.append(int(pid))
        except OSError:
            pass
    return found
