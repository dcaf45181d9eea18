"""A unit file, and what systemd does with it: how it starts the program, what it hears, whom it sends what at a stop. For tests where there is no systemd."""
import os
import re
import signal
import socket
import subprocess
import time

from drover import DEADLINE_S, TOP, Failed, alive, busy, pids, read, tell, wait_for

MARK = "DROVER_TEST_UNIT"  # stands for the control group: children inherit it
SECONDS = {"": 1, "s": 1, "sec": 1, "min": 60, "ms": 0.001, "infinity": None}


class Unit:
    """substitute: {what stands in the unit: what stands for it here}. more: words behind its ExecStart."""

    def __init__(self, name, d, substitute, more=(), **env):
        self.name, self.d, self.substitute, self.more, self.env = name, d, substitute, list(more), env
        self.keys = {}
        for line in read(f"{TOP}/.pkg/units/{name}.service").decode().splitlines():
            key, sign, value = line.partition("=")
            if sign and not line.startswith("#"):
                self.keys.setdefault(key, value)
        self.path = d.path(name + ".notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)  # under root PostgreSQL is another user
        self.heard = []  # (pid of the sender, text)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.main = None

    def argv(self, key="ExecStart"):
        return [self.substitute.get(w, w) for w in self.keys[key].split()]

    def condition(self):
        """Whether ExecCondition lets it start."""
        return subprocess.run(self.argv("ExecCondition"), env=self.environment()).returncode == 0

    def environment(self):
        return {**self.d.env, **self.env, MARK: self.name, "NOTIFY_SOCKET": self.path}

    def start(self, wait=True):
        if self.keys["Type"] != "notify":
            raise Failed(f"{self.name}: Type={self.keys['Type']}")
        self.main = self.d.spawn(self.name + ".log", *self.argv(), *self.more, env=self.environment())
        if wait:
            self.wait_ready()
        return self.main

    def hear(self, seconds):
        self.socket.settimeout(seconds)
        try:
            text, control, _, _ = self.socket.recvmsg(4096, 1024)
        except socket.timeout:
            return None
        pid = int.from_bytes(control[0][2][:4], "little")
        self.heard.append((pid, text.decode()))
        return self.heard[-1]

    def wait_ready(self, seconds=60):
        """READY=1, and from the main process, as NotifyAccess=main wants it."""
        end = time.monotonic() + seconds * busy()
        while time.monotonic() < end:
            if self.main.poll() is not None:
                raise Failed(f"{self.name} ended with {self.main.returncode} before it was ready")
            got = self.hear(0.2)
            if got and "READY=1" in got[1].split("\n"):
                if got[0] != self.main.pid:
                    raise Failed(f"READY=1 came from {got[0]}, the main process is {self.main.pid}")
                return
        raise Failed(f"{self.name}: no READY=1; heard {self.heard}")

    def group(self):
        mark = f"{MARK}={self.name}".encode()
        return [p for p in pids() if alive(p) and (p == self.main.pid or mark in read(f"/proc/{p}/environ").split(b"\0"))]

    def timeout(self):
        n, word = re.fullmatch(r"(\d*)(\w*)", self.keys.get("TimeoutStopSec", "90")).groups()
        return float(n or 0) * SECONDS[word] if SECONDS[word] else None

    def signal(self, number, whom):
        for p in whom:
            tell(p, number)

    def stop(self):
        """systemd.kill(5): the signal to whom KillMode says, after the time SIGKILL to what is left, if SendSIGKILL. The exit code, and whether SIGKILL was needed."""
        mode = self.keys.get("KillMode", "control-group")
        number = getattr(signal, self.keys.get("KillSignal", "SIGTERM"))
        self.signal(number, self.group() if mode == "control-group" else [self.main.pid])
        try:
            code, killed = self.main.wait(self.timeout()), False
        except subprocess.TimeoutExpired:
            if self.keys.get("SendSIGKILL") == "no":
                raise Failed(f"{self.name} does not stop")
            self.main.kill()
            code, killed = self.main.wait(DEADLINE_S), True
        if self.keys.get("SendSIGKILL") != "no" and mode != "process":
            self.signal(signal.SIGKILL, self.group())
        return code, killed

    def close(self):
        self.socket.close()
