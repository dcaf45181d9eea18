"""What `make install`, `make deb` and `make dist` put where, and what the packages say of themselves. What they do on hosts: test_hosts.py."""
import glob
import gzip
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from drover import BUILD, TOP, read, sha  # noqa: E402

NAMES = ("drover-master", "drover-worker", "drover")
PROGRAMS = {"usr/sbin/drover-master", "usr/bin/drover", "usr/bin/drover-worker", "usr/lib/drover/drover-git-helper", "usr/lib/drover/drover-ssh-helper", f"usr/lib/drover/worker/linux-{os.uname().machine}"}
WORKER_LIMIT = 400000


def sh(*argv, env=None, cwd=TOP):
    p = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "MAKEFLAGS": "", **(env or {})})
    if p.returncode:
        raise AssertionError(f"{argv}: exit {p.returncode}\n{p.stdout.decode()[-3000:]}")
    return p.stdout.decode()


def version():
    return re.search(r"^VERSION = (\S+)", read(f"{TOP}/Makefile").decode(), re.M).group(1)


def place(what, folder, prefix, *parts):
    """As the Makefile calls it, on the programs of DROVER_BUILD."""
    return sh(f"{TOP}/.pkg/install", what, *(parts or ("master", "worker", "cli")), env={"B": BUILD, "PREFIX": prefix, "DESTDIR": folder, "VERSION": version()})


def files(folder):
    return {os.path.relpath(os.path.join(d, f), folder) for d, _, names in os.walk(folder) for f in names}


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = tempfile.mkdtemp(prefix="drover-t.")
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.build(f"{cls.root}/deb")

    @classmethod
    def build(cls, folder, **env):
        sh(f"{TOP}/.pkg/deb", folder, env={"B": BUILD, "VERSION": version(), "DEB_REVISION": "7", "SOURCE_DATE_EPOCH": "1700000000", **env})

    def deb(self, name, folder="deb"):
        found = glob.glob(f"{self.root}/{folder}/{name}_*.deb")
        self.assertEqual(len(found), 1, found)
        return found[0]

    def field(self, name, field):
        return sh("dpkg-deb", "-f", self.deb(name), field).strip()

    def unpack(self, name):
        to = tempfile.mkdtemp(dir=self.root)
        sh("dpkg-deb", "-R", self.deb(name), to)
        return to

    def listing(self, name):
        """(mode, owner, path, size) of each entry."""
        out = []
        for line in sh("dpkg-deb", "-c", self.deb(name)).splitlines():
            mode, owner, size, _, _, path = line.split(None, 5)
            out.append((mode, owner, path.removeprefix("./"), int(size)))
        return out

    def test_fields(self):
        for name in NAMES:
            self.assertEqual(self.field(name, "Package"), name)
            self.assertEqual(self.field(name, "Version"), version() + "-7")
            self.assertGreater(int(self.field(name, "Installed-Size")), 100)
        for field in ("Depends", "Pre-Depends", "Recommends"):
            self.assertEqual(self.field("drover-worker", field), "", "the worker depends on nothing")
        self.assertRegex(self.field("drover-master", "Depends"), r"libuv1.*")
        self.assertIn("libpq5", self.field("drover-master", "Depends"))
        self.assertIn("libgit2", self.field("drover-master", "Depends"), "the helper's library")
        self.assertNotRegex(self.field("drover", "Depends"), "libpq|libuv|libcurl|libgit2")
        self.assertIn("postgresql-15 | postgresql (>= 15)", self.field("drover-master", "Recommends"))

    def test_files(self):
        seen = {}
        for name in NAMES:
            for mode, owner, path, size in self.listing(name):
                self.assertEqual(owner, "root/root", path)
                self.assertNotIn("usr/local", path)
                self.assertNotRegex(path, r"\.debug|/build/|~$")
                if not path or path.endswith("/"):
                    self.assertEqual(mode, "drwxr-xr-x", path)
                    continue
                self.assertEqual(mode, "-rwxr-xr-x" if path in PROGRAMS else "-rw-r--r--", path)
                self.assertNotIn(path, seen, "in two packages")
                seen[path] = name
                if "worker" in path and path in PROGRAMS:
                    self.assertLess(size, WORKER_LIMIT)
        self.assertLessEqual(PROGRAMS, set(seen))
        for unit, name in (("drover-master", "drover-master"), ("drover-postgresql", "drover-master"), ("drover-worker", "drover-worker")):
            self.assertEqual(seen[f"lib/systemd/system/{unit}.service"], name)
        for name in NAMES:
            self.assertIn(f"usr/share/doc/{name}/copyright", seen)
        self.assertEqual({p for p in seen if p.startswith("etc/")}, {"etc/drover/master.yaml"})

    def test_contents(self):
        for name in NAMES:
            root = self.unpack(name)
            for path in files(root):
                full = os.path.join(root, path)
                if path in PROGRAMS:
                    self.assertNotRegex(sh("readelf", "-S", full), r"\.debug_info|\.symtab", path)
                if path.endswith(".gz"):
                    self.assertTrue(gzip.decompress(read(full)))
                if "/man/" in path:
                    self.assertTrue(path.endswith(".gz"), path)
            sums = dict(reversed(line.split("  ", 1)) for line in read(f"{root}/DEBIAN/md5sums").decode().splitlines())
            self.assertEqual(set(sums), {p for p in files(root) if not p.startswith(("DEBIAN/", "etc/"))})
            sh("md5sum", "-c", "--quiet", "DEBIAN/md5sums", cwd=root)
            for script in glob.glob(f"{root}/DEBIAN/p*"):
                sh("sh", "-n", script)
                self.assertNotIn(b"#FUNCTIONS#", read(script))
                self.assertIn(b"\nset -e\n", read(script))
        root = self.unpack("drover-master")
        self.assertEqual(read(f"{root}/DEBIAN/conffiles"), b"/etc/drover/master.yaml\n")
        self.assertIn(": ok, 0 projects", sh(f"{BUILD}/drover-master", "--config", f"{root}/etc/drover/master.yaml", "--check"), "the sample is all comments")
        worker = f"usr/lib/drover/worker/linux-{os.uname().machine}"
        self.assertEqual(sha(read(f"{root}/{worker}")), sha(read(f"{self.unpack('drover-worker')}/usr/bin/drover-worker")))

    def test_sample_uncommented(self):
        """What the sample shows is right when its comment signs go."""
        text = read(f"{TOP}/.pkg/master.yaml").decode()
        head, _, body = text.partition("\n\n")
        with open(f"{self.root}/sample.yaml", "w") as f:
            f.write("".join(re.sub(r"^# ?", "", x) + "\n" for x in body.splitlines() if re.match(r"# *[a-z]+:", x)))
        self.assertIn("ok, 1 projects", sh(f"{BUILD}/drover-master", "--config", f"{self.root}/sample.yaml", "--check"))

    def test_same_bytes_again(self):
        self.build(f"{self.root}/again", B=BUILD)
        for name in NAMES:
            self.assertEqual(sha(read(self.deb(name))), sha(read(self.deb(name, "again"))), name)

    def test_install_puts_the_same(self):
        """make install PREFIX=/usr DESTDIR= and the packages differ in Debian's own files only."""
        place("install", f"{self.root}/inst", "/usr")
        ours = {p.replace("usr/lib/systemd", "lib/systemd") for p in files(f"{self.root}/inst")}
        theirs = set()
        for name in NAMES:
            theirs |= {re.sub(r"(/man/.*)\.gz$", r"\1", p) for p in files(self.unpack(name)) if not p.startswith("DEBIAN/")}
        debian = {f"usr/share/doc/{n}/{f}" for n in NAMES for f in ("changelog.gz", "copyright")}
        self.assertEqual(ours - debian, theirs - debian)
        for path in PROGRAMS:
            self.assertEqual(os.stat(f"{self.root}/inst/{path}").st_mode & 0o7777, 0o755)

    def test_prefix_and_uninstall(self):
        to = f"{self.root}/local"
        place("install", to, "/opt/drover")
        unit = read(f"{to}/opt/drover/lib/systemd/system/drover-master.service").decode()
        self.assertIn("ExecStart=/opt/drover/sbin/drover-master --config /etc/drover/master.yaml --database-unit", unit)
        self.assertNotIn("/usr/sbin", unit)
        self.assertIn("ExecStart=/opt/drover/bin/drover-worker", read(f"{to}/opt/drover/lib/systemd/system/drover-worker.service").decode())
        with open(f"{to}/etc/drover/master.yaml", "a") as f:
            f.write("# the site's own\n")
        place("install", to, "/opt/drover")
        self.assertTrue(read(f"{to}/etc/drover/master.yaml").endswith(b"# the site's own\n"), "never replaced")
        self.assertEqual(sh(f"{to}/opt/drover/sbin/drover-master", "--version").strip(), f"drover-master {version()}")
        place("uninstall", to, "/opt/drover")
        self.assertEqual(files(to), {"etc/drover/master.yaml"}, "the configuration stays, all else is gone")
        self.assertFalse(os.path.exists(f"{to}/opt/drover/lib/drover"))

    def test_helper_is_found(self):
        """Beside the program, or in ../lib/drover of its real path, through links as well."""
        to = f"{self.root}/place"
        place("install", to, "/usr", "master")
        os.symlink(f"{to}/usr/sbin/drover-master", f"{self.root}/linked")
        for program in (f"{to}/usr/sbin/drover-master", f"{self.root}/linked"):
            p = subprocess.run([program, "--git-helper"], input=b"nonsense", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertNotIn(b"can't start", p.stderr)
        os.remove(f"{to}/usr/lib/drover/drover-git-helper")
        p = subprocess.run([f"{to}/usr/sbin/drover-master", "--git-helper"], input=b"", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual((p.returncode, p.stderr.decode()), (1, f"drover-master: can't start {to}/usr/sbin/drover-git-helper\n"))

    def test_dist(self):
        """The tarball is what git has, and is all that a build needs."""
        if not os.path.exists(f"{TOP}/.git"):
            self.skipTest("not a clone")
        sh("make", "dist", f"B={self.root}/dist")
        with tarfile.open(f"{self.root}/dist/drover-{version()}.tar.gz") as t:
            names = {m.name.split("/", 1)[1] for m in t.getmembers() if not m.isdir()}
            t.extractall(self.root)
        head = sh("git", "-c", "core.quotepath=off", "ls-tree", "-r", "--name-only", "HEAD").split("\n")
        self.assertEqual(names, set(filter(None, head)))
        made = f"{self.root}/drover-{version()}"
        sh("make", "build/m/common/buf.o", "build/w/common/buf.o", cwd=made)
        self.assertTrue(os.path.exists(f"{made}/build/w/common/buf.o"))
        self.assertIn("drover-master", sh("make", "-n", "all", cwd=made))


if __name__ == "__main__":
    unittest.main()
