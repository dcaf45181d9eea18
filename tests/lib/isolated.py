"""What can be had here of the ways to keep commands apart, for test_isolation.py and test_trees.py."""
import itertools
import os
import shutil
import subprocess
import unittest

import drover
from agentcase import AgentCase

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOAK = bool(os.environ.get("DROVER_SOAK"))
ROOT = os.geteuid() == 0
USERS = "/posix/plain" not in drover.BUILD
PYTHON = "/usr/bin/python3"  # which every user may run
# Users that no other run of these tests has at the same time: what ends all that runs as one of them would end theirs too. For each worker others, since the last one's may not be over.
UIDS = itertools.count(1900000000 + os.getpid() % 50000 * 4096, 64)


def slots(n=8):
    first = next(UIDS)
    return ["--slot-uids", f"{first}-{first + n - 1}"]


def can(*words):
    return not subprocess.run([*words, "true"], stdin=subprocess.DEVNULL, capture_output=True).returncode


SPACES = can("unshare", "--pid", "--mount", "--ipc", "--fork", "--mount-proc") if ROOT else can("unshare", "--user", "--map-current-user", "--pid", "--mount", "--ipc", "--fork", "--mount-proc")
BWRAP = bool(shutil.which("bwrap")) and can("bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--")
ISOLATE = ["--isolate", "pid,mount,ipc" if ROOT else "user,pid,mount,ipc"]
root = unittest.skipUnless(ROOT, "only root has other users")
spaces = unittest.skipUnless(SPACES, "no namespaces here")
nobody = unittest.skipUnless(ROOT and can("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "--user", "--map-current-user", "--pid", "--fork", "--mount-proc"), "no namespaces for those who are not root")


class Case(AgentCase):
    def in_place(self, s, cmd, script, *more, place="p/b/1", **args):
        """The environment that a master gives."""
        where = [("mkdir", f"{place}/home"), ("path", f"HOME={place}/home"), ("mkdir", f"{place}/tmp"), ("path", f"TMPDIR={place}/tmp"), ("cwd", f"{place}/tree")]
        return s.sh(cmd, script, *where, *more, **args)


def memory_of(pid):
    """What it may write to."""
    all_of_it = b""
    for line in drover.read(f"/proc/{pid}/maps").decode().splitlines():
        a, b = (int(x, 16) for x in line.split()[0].split("-"))
        if " rw" in line and "[v" not in line and b - a < 64 << 20:  # not what a sanitizer has for itself
            with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
                f.seek(a)
                all_of_it += f.read(b - a)
    return all_of_it


def user_of(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def stat_of(pid):
    """State and parent."""
    try:
        return drover.read(f"/proc/{pid}/stat").decode(errors="replace").rpartition(")")[2].split()[:2]
    except OSError:
        return None


def descends(pid, root_pid):
    while pid > 1 and pid != root_pid:
        f = stat_of(pid)
        pid = int(f[1]) if f else 0
    return pid == root_pid
