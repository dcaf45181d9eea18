"""Repositories of Subversion and Mercurial, their own servers on loopback, and what tests of both ask."""
import http.client
import http.server
import os
import re
import signal
import socket
import subprocess
import threading

from drover import Case, Failed, free_port, inside, link_of, pids, tell, wait_for

ENV = {**os.environ, "LC_ALL": "C.UTF-8", "HGRCPATH": "", "HGPLAIN": "1", "HGUSER": "Ann <ann@example.org>"}


def run(*argv, cwd=None, ok=True):
    p = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV)
    if ok and p.returncode:
        raise Failed(f"{argv}: {p.stderr.decode()}")
    return p.stdout.decode().strip()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Server:
    def __init__(self, d, log, argv):
        self.port = free_port()
        # hg loads modules when they are first used, and of two requests that do at the same time one gets an error (6.3.2).
        self.process = d.spawn(log, *argv(self.port), env={**ENV, "HGDEMANDIMPORT": "disable"})
        wait_for(lambda: answers(self.port), argv(self.port)[0])

    def close(self):
        self.process.kill()
        self.process.wait()


class SvnServe(Server):
    """Everybody may read all below a folder."""

    def __init__(self, d, folder):
        super().__init__(d, "svnserve.log", lambda port: ["svnserve", "-d", "--foreground", "-T", "--listen-host", "127.0.0.1", "--listen-port", str(port), "-r", folder])

    def url(self, name):
        return f"svn://127.0.0.1:{self.port}/{name}"


class BasicGate:
    """Passes on to another server what comes with the right Authorization. asked: [(path, Authorization or None)]. led: {path's head: address}."""

    def __init__(self, port, wants, led=None):
        self.asked, outer = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                given, body = self.headers.get("Authorization"), self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.path, given))
                for head, to in (led or {}).items():
                    if self.path.startswith(head):
                        return self.answer(301, [("Location", to + self.path[len(head):])], b"")
                if not wants(given):
                    return self.answer(401, [("WWW-Authenticate", 'Basic realm="private"')], b"")
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                c.request(self.command, self.path, body or None, {k: v for k, v in self.headers.items() if k.lower() not in ("host", "authorization", "connection")})
                r = c.getresponse()
                data = r.read()
                self.answer(r.status, [(k, v) for k, v in r.getheaders() if k.lower() not in ("transfer-encoding", "content-length", "connection")], data)
                c.close()

            do_POST = do_OPTIONS = do_PROPFIND = do_REPORT = do_GET

            def answer(self, status, headers, data):
                self.send_response(status)
                for k, v in [*headers, ("Content-Length", str(len(data)))]:
                    self.send_header(k, v)
                try:
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:  # whoever asked is gone
                    self.close_connection = True
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def url(self, host="127.0.0.1"):
        return f"http://{host}:{self.port}/"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class HgServe(Server):
    """One repository."""

    def __init__(self, d, repo):
        super().__init__(d, "hgserve.log", lambda port: ["hg", "serve", "-R", repo, "-a", "127.0.0.1", "-p", str(port), "--config", "web.accesslog=/dev/null"])

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"


class Mute:
    """Takes connections and never says a word."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.kept = []
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        try:
            while True:
                self.kept.append(self.socket.accept()[0])
        except OSError:
            pass

    def close(self):
        self.socket.close()
        for s in self.kept:
            s.close()


class Svn:
    """A repository and a working copy of each branch."""

    def __init__(self, path, layout=True):
        self.path = path
        run("svnadmin", "create", path)
        self.file = "file://" + path
        if layout:
            run("svn", "mkdir", "-q", "-m", "layout", *(f"{self.file}/{x}" for x in ("trunk", "branches", "tags")))

    def commit(self, files, message="a change", branch="trunk", who="ann", remove=()):
        """One revision by `who`: files written and removed; its number."""
        wc = f"{self.path}.wc/{branch or 'top'}"
        if not os.path.isdir(wc):
            run("svn", "checkout", "-q", f"{self.file}/{branch}", wc)
        run("svn", "update", "-q", cwd=wc)
        for name, text in files.items():
            full = os.path.join(wc, name)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w") as f:
                f.write(text)
        if files:
            run("svn", "add", "-q", "--force", "--parents", *(n + "@" for n in files), cwd=wc)
        if remove:
            run("svn", "rm", "-q", *(n + "@" for n in remove), cwd=wc)
        run("svn", "commit", "-q", "--username", who, "-m", message, cwd=wc)
        return self.newest()

    def only_for(self, **users):
        """From now on its server asks for a user and password."""
        with open(os.path.join(self.path, "conf/svnserve.conf"), "w") as f:
            f.write("[general]\nanon-access = none\nauth-access = write\npassword-db = passwd\nrealm = private\n")
        with open(os.path.join(self.path, "conf/passwd"), "w") as f:
            f.write("[users]\n" + "".join(f"{u} = {p}\n" for u, p in users.items()))

    def copy(self, what, to, message="a copy"):
        run("svn", "copy", "-q", "-m", message, f"{self.file}/{what}", f"{self.file}/{to}")
        return self.newest()

    def remove(self, what):
        run("svn", "rm", "-q", "-m", "gone", f"{self.file}/{what}")
        return self.newest()

    def newest(self):
        return run("svnlook", "youngest", self.path)


class Hg:
    def __init__(self, path):
        self.path = path
        run("hg", "init", path)

    def hg(self, *argv, ok=True):
        return run("hg", "--noninteractive", "--config", "extensions.strip=", *argv, cwd=self.path, ok=ok)

    def commit(self, files, message="a change", who="Ann <ann@example.org>", remove=()):
        for name, text in files.items():
            full = os.path.join(self.path, name)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w") as f:
                f.write(text)
        for name in remove:
            os.unlink(os.path.join(self.path, name))
        said = self.hg("commit", "--debug", "-A", "-u", who, "-m", message)  # one start of hg costs a third of a second
        return re.search(r"^committed changeset \d+:([0-9a-f]{40})$", said, re.M).group(1)

    def tip(self, rev="."):
        return self.hg("log", "-r", rev, "-T", "{node}")


class VcsCase(Case):
    """Projects of one kind of repository. Each build writes what it finds in the tree, and where it is, into a file; what it leaves behind must be gone the next time."""
    PROJECTS = {}
    WANTED = None  # only these of the projects
    TRUNK, ADD, HIDDEN = "", "", ""

    @classmethod
    def pipeline_of(cls, d):
        show = f"find . -name {cls.HIDDEN} -prune -o -type f -print | LC_ALL=C sort | while read -r f; do echo \"$f=$(cat \"$f\")\"; done >{d.root}/tree.$$; echo $DROVER_REVISION $DROVER_BRANCH >>{d.root}/tree.$$; mv {d.root}/tree.$$ {d.root}/tree-$DROVER_PROJECT-$DROVER_REVISION-$(echo $DROVER_BRANCH | tr / _)"
        spoil = f"echo spoilt >file; rm -f .drover.yml; mkdir -p new/deep; echo x >new/deep/x; echo y >y; {cls.ADD}"
        return {"builders": {"b": {"steps": [show, spoil]}},
                "schedulers": {"all": {"change": {}}, "tags": {"tag": "*"}, "code": {"change": {"not_only": ["docs/**"]}}, "docs": {"change": {"only": ["docs/**"]}}}}

    def changes(self, project="p", **want):
        return [c for c in self.d.get(f"/changes?project={project}&limit=200")["items"] if all(c[k] == v for k, v in want.items())]

    def look(self, project="p"):
        """As a hook without a secret asks for it: looks of svn and hg start programs that cost too much to do it each second."""
        a = self.d.hook(project)
        self.assertEqual(a.status, 202, a.body)

    def told(self, revision, branch=None, project="p"):
        """The change, once it is decided."""
        branch = branch or self.TRUNK
        if self.d.conf["projects"][project].get("hook") == "poll":
            self.look(project)
        c = wait_for(lambda: next((c for c in self.changes(project, revision=revision, branch=branch) if c["state"] != "reading"), None), f"revision {revision} of {branch}", 60)
        return self.d.get("/changes/" + c["id"])

    def words(self, change):
        return {v["scheduler"]: v["verdict"] for v in change["verdicts"]}

    def project(self, name):
        return next(p for p in self.d.get("/projects")["items"] if p["name"] == name)

    def heads(self, project="p"):
        return {b for b, in self.d.sql(f"select h.branch from branch_head h join project p on p.id = h.project where p.name = '{project}'")}

    def tree(self, build, project):
        """(revision, {file: text} without the pipeline, branch) that the build saw."""
        self.assertEqual((build["state"], build["result"]), ("done", 0), build)
        with open(self.d.path(f"tree-{project}-{build['got_revision']}-{build['branch'].replace('/', '_')}")) as f:
            *files, where = f.read().splitlines()
        revision, branch = where.split()
        self.assertEqual(build["got_revision"], revision)
        got = dict(x[2:].split("=", 1) for x in files)
        self.assertIn(".drover.yml", got)
        del got[".drover.yml"]
        return revision, got, branch

    def builds(self, change, scheduler="all", project="p"):
        """As tree, of the build that the scheduler made of the change; without the branch where it is the trunk."""
        got = self.tree(self.built(change, scheduler), project)
        return got[:2] if got[2] == self.TRUNK else got

    def built(self, change, scheduler="all"):
        """The build that the scheduler made of it, when it is over."""
        s = {v["scheduler"]: v for v in change["verdicts"]}[scheduler]
        self.assertEqual(s["verdict"], "builds", change["verdicts"])
        r = self.d.wait_request(self.d.get("/buildsets/" + s["buildset"])["requests"][0]["id"], 60)
        return self.d.get("/builds/" + r["builds"][-1])

    def killed_in_checkout(self, rid, project):
        """The tree that a request's build sees in the end, whose worker is killed with all that it runs when files of the checkout are there."""
        d, work = self.d, self.d.path("work-here")
        wait_for(lambda: any("many" in dirs for _, dirs, _ in os.walk(work)), "the middle of a checkout", every=0.001)
        for pid in pids():
            if pid == d.agents["here"].pid or inside(link_of(pid, "cwd"), work):
                tell(pid, signal.SIGKILL)
        d.agents["here"].wait()
        d.start_worker()
        r = d.wait_request(rid, 90)
        return self.tree(d.get("/builds/" + r["builds"][-1]), project)
