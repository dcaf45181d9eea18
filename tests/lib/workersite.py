"""A site with workers that are made up, for tests of which worker gets a build: tests/flow/test_rules_workers.py, test_rules_pools.py, test_rules_reasons.py."""
import itertools
import json
import os
import socket
import subprocess
import threading

from drover import BUILD, Case, make_repo, read, wait_for
from fakeworker import FakeWorker, Gone


class Host:
    """A fake worker that ends each command as soon as it comes, in a thread of its own: well, or as `end` says (what FakeWorker.exit() takes)."""
    connections = itertools.count(1)

    def __init__(self, case, name, end=None, **facts):
        self.name, self.end = name, end or {}
        self.worker = FakeWorker(case.d.path("w.sock"), read(case.d.token(name)).decode(), instance=f"{next(self.connections):032x}", facts=list(facts.items())).ready()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        case.addCleanup(self.leave, case)
        case.d.wait_worker(name)

    def serve(self):
        try:
            while True:
                try:
                    cmd, _, _ = self.worker.command()
                except TimeoutError:  # nobody had anything for it so long
                    continue
                self.worker.exit(cmd, 1, **self.end)
        except (Gone, OSError, ValueError):
            pass

    def leave(self, case):
        if self.thread.is_alive():
            try:
                self.worker.link.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the master has closed it just now
            self.thread.join()
            self.worker.close()
            case.d.wait_worker(self.name, connected=False)


def builder(**worker):
    return {"checkout": "none", "worker": worker, "steps": [{"name": "s", "run": ["true"]}]}


class Site(Case):
    AWAY = None  # a worker that is away when the tests begin
    PROJECTS = {"p": {}}
    BUILDERS, HOSTS, MORE = {}, {}, {}

    @classmethod
    def prepare(cls):
        make_repo(cls.d.path("repo"), {"a": "a"})
        cls.set_up()

    @classmethod
    def set_up(cls, hosts=None, **projects):
        d = cls.d
        p = {"git": d.path("repo"), "poll": "1h", "builders": json.loads(json.dumps(cls.BUILDERS).replace("ROOT", d.root)), "schedulers": {"none": {"force": {}}}}
        d.configure(projects={"p": {**p, **projects.get("p", {})}, "q": {**p, **projects.get("q", {})}}, workers={**cls.WORKERS, **(hosts or cls.HOSTS)})

    def activate(self, hosts=None, **projects):
        self.set_up(hosts, **projects)
        self.d.post("/config/activate")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.d.workers = {**cls.WORKERS, **cls.HOSTS}
        if cls.AWAY:
            cls.d.kill_worker(cls.AWAY)
            cls.d.wait_worker(cls.AWAY, connected=False)

    def setUp(self):
        self.d.wait_looked("p", "q")

    def tearDown(self):
        for p in self.d.get("/pauses")["items"]:
            self.d.post("/resume", {"object": p["object"]})
        for rid, in self.d.sql("select 'r' || id from build_request where state <> 'done'"):
            self.d.post(f"/requests/{rid}/cancel", {})
        wait_for(lambda: self.d.sql("select count(*) from build where state <> 'done'") == [["0"]], "the end of all builds")

    def second(self):
        """Another master on the same database."""
        d = self.d
        s = self.own({"p": {}}, database=f"host={d.lock_file()[4]} user=drover dbname=drover")
        self.owned.insert(0, self.owned.pop())  # it stops before the one whose child the database is
        s.configure(**{k: d.conf[k] for k in ("projects", "workers", "pools", "locks") if k in d.conf})
        return s.start_master()

    def move(self, name, master):
        """The worker is started at the other master's socket."""
        master.write_token(master.path("token-" + name), read(self.d.token(name)).decode())
        master.start_worker(name)

    def cli(self, *argv):
        p = subprocess.run([f"{BUILD}/drover", *argv], env={**os.environ, "DROVER_SOCKET": self.d.path("api.sock")}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual(p.returncode, 0, (argv, p.stdout, p.stderr))
        return p.stdout

    def reason(self, rid, kind):
        return wait_for(lambda: (r := self.d.get(f"/requests/{rid}/why")["reason"])["kind"] == kind and r, f"{rid} to wait for {kind}")


class FarSite(Site):
    """One whose worker "far" is at another master, self.s."""
    AWAY = "far"

    def setUp(self):
        super().setUp()
        self.s = self.second()
        self.move("far", self.s)
        self.s.wait_worker("far")
