"""Windows programs under wine, in a prefix of their own that costs nothing: wine's own files are linked into it, not copied.

wine makes a prefix by copying 700 MB, which takes six seconds of a processor. What it looks at is whether the system's folder holds the libraries, and that nothing is to be brought up to date.
"""
import glob
import os
import shlex
import shutil
import subprocess

FILES = next(iter(sorted(glob.glob("/usr/lib/*/wine/x86_64-windows") + glob.glob("/usr/lib*/wine/x86_64-windows") + glob.glob("/opt/wine*/lib*/wine/x86_64-windows"))), None)


def missing():
    """What hinders whoever would run Windows programs here; None: nothing."""
    for program in ("wine", "wineserver"):
        if not shutil.which(program):
            return f"{program} is not installed (make deps-windows)"
    return None if FILES else "wine's 64-bit libraries are not found"


class Prefix:
    """In `folder`, which is the caller's and is not there yet."""

    def __init__(self, folder):
        self.own = {"WINEPREFIX": folder, "WINEDEBUG": "-all", "DISPLAY": ""}
        system = os.path.join(folder, "drive_c", "windows", "system32")
        os.makedirs(system)
        for name in os.listdir(FILES):
            os.symlink(os.path.join(FILES, name), os.path.join(system, name))
        with open(os.path.join(folder, ".update-timestamp"), "w") as f:
            f.write("disable\n")

    def start(self, *argv, out=None):
        """A program; what it prints is a pipe of text, or goes to the file."""
        return subprocess.Popen(["wine", *argv], env={**os.environ, **self.own}, stdin=subprocess.DEVNULL, stdout=out or subprocess.PIPE, stderr=out or subprocess.DEVNULL, text=True)

    def script(self, program, path):
        """A script that is the program, for whoever starts programs by name. Its path."""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o755), "w") as f:
            f.write("#!/bin/sh\n" + "".join(f"export {k}={shlex.quote(v)}\n" for k, v in self.own.items()) + f'exec wine {shlex.quote(program)} "$@"\n')
        return path

    def close(self):
        """Ends all that still runs in it, wine's own server too, which would stay for some seconds."""
        subprocess.run(["wineserver", "-k", "-w"], env={**os.environ, **self.own}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
