#!/usr/bin/env python3
"""A real site for the browser tests, which are JavaScript: each line of stdin is a call ["name", argument, …], each line of stdout its answer {"value": …} or {"error": text}.

Everything is ended and removed when stdin ends, however that came about."""
import json
import os
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from drover import BUILD, DEADLINE_S, Drover, Failed, free_port, git, make_repo, read  # noqa: E402

EVENTS = b"/api/v1/events"


class Tap:
    """A port before the master's that counts: which connections are open, and what was last asked for on each."""

    def __init__(self, to):
        self.to, self.open, self.most = to, {}, 0
        self.lock = threading.Lock()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.server.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.to))
        except OSError:
            client.close()
            return
        with self.lock:
            self.open[client] = b""
            self.most = max(self.most, len(self.open))
        threading.Thread(target=self.pump, args=(server, client, None), daemon=True).start()
        self.pump(client, server, client)
        with self.lock:
            del self.open[client]

    def pump(self, a, b, asks):
        try:
            while data := a.recv(65536):
                line = data.split(b"\r\n", 1)[0].split(b" ")
                if asks and len(line) == 3 and line[2].startswith(b"HTTP/"):
                    with self.lock:
                        self.open[asks] = line[1]
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def count(self):
        with self.lock:
            asked = list(self.open.values())
        return {"connections": len(asked), "most": self.most, "streams": sum(EVENTS in x for x in asked)}


class Site:
    def __init__(self):
        self.d = self.tap = None

    def up(self, pipeline, files=None, workers=None, tap=False, project="p", locks=None, pools=None):
        self.d = d = Drover({}, workers or {"here": {"slots": 4}})
        self.port = free_port()
        self.repo = d.path("repo")
        make_repo(self.repo, {".drover.yml": pipeline.replace("@ROOT@", d.root), **(files or {})})
        d.conf["listen"]["api"] = f"127.0.0.1:{self.port}"
        d.configure(projects={project: {"git": self.repo, "poll": "300ms"}}, locks=locks or {}, pools=pools or {})
        d.up()
        if tap:
            self.tap = Tap(self.port)
        return {"root": d.root, "url": f"http://127.0.0.1:{self.tap.port if tap else self.port}/"}

    def profile(self):
        """A folder for the browser; it goes with the site's."""
        path = self.d.path("chromium")
        os.makedirs(path, exist_ok=True)
        return path

    def commit(self, files, message, author=None, branch=None):
        if branch:
            git(self.repo, "checkout", "-q", "-B", branch)
        for name, text in files.items():
            with open(os.path.join(self.repo, name), "w") as f:
                f.write(text)
        git(self.repo, "add", "-A")
        git(self.repo, "commit", "-q", "-m", message, env={"GIT_AUTHOR_NAME": author} if author else None)
        return self.head("HEAD")

    def raw_commit(self, author, message, ref):
        """A commit with an author that git would not write itself; the object and its branch are real."""
        tree, parent = git(self.repo, "rev-parse", "main^{tree}"), git(self.repo, "rev-parse", "main")
        text = f"tree {tree}\nparent {parent}\nauthor {author} 1700000000 +0000\ncommitter {author} 1700000000 +0000\n\n{message}\n"
        p = subprocess.run(["git", "-C", self.repo, "hash-object", "-w", "-t", "commit", "--literally", "--stdin"], input=text.encode(), stdout=subprocess.PIPE, check=True)
        sha = p.stdout.decode().strip()
        git(self.repo, "update-ref", ref, sha)
        return sha

    def head(self, ref="main"):
        return git(self.repo, "rev-parse", ref)

    def cli(self, *argv):
        p = subprocess.run([f"{BUILD}/drover", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S,
                           env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")})
        return {"code": p.returncode, "text": p.stdout.decode(errors="replace")}

    def touch(self, name):
        open(self.d.path(name), "w").close()

    def log(self, build, step):
        return self.d.log(build, step).decode()

    def count(self):
        return self.tap.count()

    def connections(self):
        """Of the master's port, by the kernel's table."""
        rows = [x.split() for x in read("/proc/net/tcp").decode().splitlines()[1:]]
        return sum(r[3] == "01" and int(r[1].rsplit(":", 1)[1], 16) == self.port for r in rows)

    def failed(self):
        self.d.failed = True

    def close(self):
        d, self.d = self.d, None
        if d:
            d.close(polite=not d.failed)

    def call(self, name, *argv):
        if name in ("ask", "run", "get", "post", "sql", "wait_request", "try_build", "request", "start_worker"):
            got = getattr(self.d, name)(*argv)
            return None if name == "start_worker" else got
        if name in ("kill_master", "stop_master", "start_master", "kill_worker"):
            getattr(self.d, name)(*argv)
            return None
        return getattr(self, name)(*argv)


def main():
    out, sys.stdout = sys.stdout, sys.stderr
    site = Site()
    for line in sys.stdin:
        try:
            answer = {"value": site.call(*json.loads(line))}
        except (Exception, Failed) as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        out.write(json.dumps(answer) + "\n")
        out.flush()
    if site.d:
        site.d.failed = True
        site.d.close(polite=False)


if __name__ == "__main__":
    main()
