"""Control groups of tests (cgroup v2), in the group that the test itself is in."""
import os

from drover import read, wait_for


def own_folder(path=None):
    """The folder of this process's group, or of that path of the hierarchy; None: there is no such hierarchy."""
    if path is None:
        path = next((x[3:].decode() for x in read("/proc/self/cgroup").splitlines() if x.startswith(b"0::")), None)
    for line in read("/proc/self/mountinfo").decode().splitlines():
        words = line.split()
        root = words[3].rstrip("/")
        if " - cgroup2 " in line and path is not None and (path + "/").startswith(root + "/"):
            return os.path.normpath(words[4] + path[len(root):])
    return None


def prefix(state):
    """What the groups begin with of the worker whose state folder that is; None: it has no instance yet."""
    instance = next((x.decode() for x in read(os.path.join(state, "ident")).split() if len(x) == 32), None)
    return instance and f"drover-{instance[:16]}-{os.stat(state).st_ino:x}."


def sweep(state):
    """Removes what is left of a worker whose agent and minders were killed, and no agent comes again."""
    ours, folder = prefix(state), own_folder()
    for name in os.listdir(folder) if ours and folder else []:
        if name.startswith(ours):
            wait_for(lambda: gone(os.path.join(folder, name)), f"the end of {name}")


def missing():
    """Why no groups can be made here; None: they can, and be killed."""
    folder = own_folder()
    if not folder:
        return "no cgroup2 hierarchy is mounted"
    try:
        g = Groups(f"drover-test-{os.getpid()}")
    except OSError as e:
        return f"no group can be made in {folder}: {e.strerror}"
    kills = os.access(os.path.join(g.folders[0], "cgroup.kill"), os.W_OK) and os.access(os.path.join(folder, "cgroup.procs"), os.W_OK)
    g.close()
    return None if kills else "no right to put processes there, or no cgroup.kill (Linux 5.14)"


class Groups:
    """Those of the names; close() ends what is in them and removes them, and what is below."""

    def __init__(self, *names):
        self.folders = [os.path.join(own_folder(), x) for x in names]
        for folder in self.folders:
            os.mkdir(folder)

    def close(self):
        for folder in self.folders:
            if os.path.exists(folder):
                with open(os.path.join(folder, "cgroup.kill"), "w") as f:
                    f.write("1")
                for at, _, _ in os.walk(folder, topdown=False):
                    wait_for(lambda: gone(at), f"the end of {at}")


def gone(folder):
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True
