"""Hosts for the tests of packages and units: each has namespaces of its own (processes, mounts, network, names, control groups), this machine's
root folder with a layer in memory over it, and systemd as its process 1. What happens in a host leaves nothing behind: the layer goes with it.

Needs root, overlayfs, a cgroup2 hierarchy and the package systemd; missing() says what is not to be had.
"""
import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from drover import Failed, read, wait_for  # noqa: E402

SYSTEMD = "/lib/systemd/systemd"
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}
BOOT_S = 60
# Process 1 before it is systemd. $1: an empty folder, $2: the host's name, $3: its machine id.
BOOT = r"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
r=$1/root
mount -t proc proc "$r/proc"
mount -t sysfs -o ro sysfs "$r/sys"
mount -t tmpfs -o mode=755 tmpfs "$r/run"
mount -t tmpfs -o mode=1777 tmpfs "$r/tmp"
mount -t tmpfs -o mode=755 tmpfs "$r/dev"
for d in null zero full random urandom tty; do touch "$r/dev/$d"; mount --bind "/dev/$d" "$r/dev/$d"; done
mkdir "$r/dev/pts" "$r/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$r/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$r/dev/shm"
ln -s pts/ptmx "$r/dev/ptmx"
ln -s /proc/self/fd "$r/dev/fd"
[ -d "$r/sys/fs/cgroup" ]
mount -t cgroup2 cgroup2 "$r/sys/fs/cgroup"
hostname "$2"
echo "$2" >"$r/etc/hostname"
echo "$3" >"$r/etc/machine-id"
: >"$r/var/lib/dpkg/triggers/File" # a manual page each time takes longer than the rest
# As if freshly installed, and nobody forbids services to start.
rm -rf "$r/etc/drover" "$r/var/lib/drover" "$r/var/lib/drover-worker" "$r/usr/sbin/policy-rc.d"
mkdir -p "$r/etc/systemd/journald.conf.d" "$r/srv/run"
chmod 1777 "$r/srv/run"
printf '[Journal]\nStorage=volatile\n' >"$r/etc/systemd/journald.conf.d/test.conf"
cd "$r"
exec chroot . /usr/bin/env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 /lib/systemd/systemd --system --unit=basic.target --log-target=console --show-status=no
"""


def cgroup2():
    """Where this machine's cgroup2 hierarchy is mounted."""
    for line in read("/proc/mounts").decode().splitlines():
        _, place, kind = line.split()[:3]
        if kind == "cgroup2":
            return place
    return None


def missing():
    """Why there can be no hosts here; None: there can."""
    if os.geteuid():
        return "not root"
    for program in ("unshare", "nsenter", "ip", "dpkg"):
        if not shutil.which(program):
            return f"no {program}"
    if not os.path.exists(SYSTEMD):
        return "no systemd"
    if not cgroup2():
        return "no cgroup2 hierarchy is mounted"
    p = subprocess.run(["unshare", "--mount", "--pid", "--fork", "sh", "-c", "d=$(mktemp -d) && mount --make-rprivate / && mount -t tmpfs tmpfs $d && mkdir $d/u $d/w $d/r && "
                        "mount -t overlay overlay -o lowerdir=/,upperdir=$d/u,workdir=$d/w $d/r && umount $d/r $d && rmdir $d"], stderr=subprocess.PIPE)
    return p.stderr.decode().strip() or "no overlayfs here" if p.returncode else None


class Host:
    """transcript: a list that gets (host, user, command, output) of each told()."""

    def __init__(self, name, transcript=None):
        self.name, self.transcript = name, transcript if transcript is not None else []
        self.folder = tempfile.mkdtemp(prefix="drover-h.", dir="/var/tmp")
        self.group = os.path.join(cgroup2(), os.path.basename(self.folder))
        os.mkdir(self.group)
        self.console = open(os.path.join(self.folder, "console"), "ab")
        layer = os.path.join(self.folder, "layer")
        os.mkdir(layer)
        machine = os.urandom(16).hex()

        def enter():
            with open(os.path.join(self.group, "cgroup.procs"), "w") as f:
                f.write(str(os.getpid()))

        self.outer = subprocess.Popen(["unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child", "bash", "-c", BOOT, "boot", layer, name, machine],
                                      stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console, preexec_fn=enter, start_new_session=True, env=ENV)
        atexit.register(self.close)
        self.pid = wait_for(self.child, f"the first process of {name}")
        self.fast = False

    def child(self):
        text = read(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children").split()
        return int(text[0]) if text else None

    def boot(self):
        def up():
            if self.outer.poll() is not None:
                raise Failed(f"{self.name} did not start: {self.log()}")
            return read(f"/proc/{self.pid}/comm").strip() == b"systemd" and self.run("systemctl is-active basic.target", ok=False).strip() == "active"
        wait_for(up, f"systemd of {self.name}: {self.log()}", BOOT_S, 0.1)
        self.run("ip link set lo up")
        return self

    def log(self):
        return read(os.path.join(self.folder, "console")).decode(errors="replace")[-3000:]

    def path(self, path):
        """A path of the host, as seen from here."""
        return f"/proc/{self.pid}/root{path}"

    def argv(self, command, user=None):
        who = ["runuser", "-u", user, "--"] if user else []
        env = [f"{k}={v}" for k, v in ENV.items() if not (user and k == "HOME")]
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "env", "-i", *env, *who, "bash", "-c", command]

    def start(self, command, user=None, **kw):
        return subprocess.Popen(self.argv(command, user), stdin=subprocess.DEVNULL, **kw)

    def run(self, command, user=None, ok=True, stdin=None, seconds=120):
        """Its output (both); Failed where it ended badly and ok."""
        p = subprocess.run(self.argv(command, user), input=stdin.encode() if stdin is not None else b"", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds)
        text = p.stdout.decode(errors="replace")
        if ok and p.returncode:
            raise Failed(f"{self.name}: {command}: exit {p.returncode}: {text[-3000:]}")
        return text

    def told(self, command, user=None, ok=True, stdin=None, seconds=120):
        """The same, and into the transcript."""
        text = self.run(command, user, ok, stdin, seconds)
        self.transcript.append((self.name, user, command, text))
        return text

    def json(self, command, user=None):
        return json.loads(self.run(command, user))

    def write(self, path, text, mode=0o644):
        full = self.path(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as f:
            f.write(text)
        os.chmod(full, mode)

    def show(self, unit, what):
        return self.run(f"systemctl show -p {what} --value {unit}").strip()

    def main_pid(self, unit):
        return int(self.show(unit, "MainPID"))

    def journal(self, unit=None, lines=60):
        return self.run(f"journalctl --no-pager -n {lines} {'-u ' + unit if unit else ''}", ok=False)

    def close(self):
        atexit.unregister(self.close)
        if self.outer.poll() is None:
            os.kill(self.pid, signal.SIGKILL)  # process 1 takes the whole namespace along
            self.outer.wait()
        self.console.close()
        for folder, _, _ in sorted(os.walk(self.group), reverse=True):
            for _ in range(100):
                try:
                    os.rmdir(folder)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)


def wire(a, b, net="10.77.0"):
    """A cable between two hosts: .1 and .2, and each knows the other's name."""
    subprocess.run(["ip", "link", "add", "drv-a", "netns", str(a.pid), "type", "veth", "peer", "name", "drv-b", "netns", str(b.pid)], check=True)
    names = f"127.0.0.1 localhost\n{net}.1 {a.name}.example.org {a.name}\n{net}.2 {b.name}.example.org {b.name}\n"
    for host, link, last in ((a, "drv-a", 1), (b, "drv-b", 2)):
        host.run(f"ip addr add {net}.{last}/24 dev {link} && ip link set {link} up")
        host.write("/etc/hosts", names)
