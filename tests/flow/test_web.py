#!/usr/bin/python3
"""The page as it is served: addresses, headers, gzip and not, ETags, what must not be had; --web-dir; and what the API tells only for it: trail of states, broken builders, reasons in lists."""
import gzip
import http.client
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from drover import TOP, Answer, Case, UnixHttp, DEADLINE_S, commit, git, make_repo, read, wait_for

WEB = os.path.join(TOP, "master", "web")
PAGES = ["/", "/builders", "/builders/p/b", "/builds/p/b/1", "/builds/p/b/1/test", "/changes", "/changes/c1", "/requests/r1", "/workers", "/workers/here"]
KINDS = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml", "html": "text/html; charset=utf-8"}
GZIP = {"Accept-Encoding": "br, gzip;q=0.8"}


class Web(Case):
    def ask(self, path, method="GET", d=None, **headers):
        c = http.client.HTTPConnection("127.0.0.1", self.port_of(d or self.d), timeout=DEADLINE_S)
        try:
            c.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            r = c.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            c.close()

    def port_of(self, d):
        if not hasattr(d, "web_port"):
            d.web_port = d.get("/status")["listen"]["api"]
        return d.web_port

    def plain(self, a):
        return gzip.decompress(a.body) if a.headers["Content-Encoding"] == "gzip" else a.body

    def version(self):
        return re.search(rb"assets/([0-9a-f]{20})/main\.js", self.ask("/").body)[1].decode()

    def guarded(self, a):
        csp = dict(x.strip().partition(" ")[::2] for x in a.headers["Content-Security-Policy"].split(";"))
        self.assertEqual((csp["default-src"], csp["script-src"], csp["style-src"], csp["connect-src"], csp["worker-src"], csp["font-src"]), ("'none'", "'self'", "'self'", "'self'", "'self'", "'none'"))
        self.assertEqual((csp["base-uri"], csp["form-action"], csp["frame-ancestors"], csp["img-src"], csp["require-trusted-types-for"]), ("'none'", "'none'", "'none'", "'self' data:", "'script'"))
        self.assertNotIn("unsafe", a.headers["Content-Security-Policy"])
        self.assertEqual((a.headers["X-Content-Type-Options"], a.headers["Referrer-Policy"], a.headers["Cross-Origin-Opener-Policy"]), ("nosniff", "no-referrer", "same-origin"))
        self.assertTrue(a.headers["Permissions-Policy"])
        for name in ("Content-Security-Policy", "Cache-Control", "X-Content-Type-Options", "Content-Type"):
            self.assertEqual(len(a.headers.get_all(name)), 1, name)


class Packed(Web):
    PROJECTS = {}
    WORKERS = {}

    @classmethod
    def prepare(cls):
        cls.d.conf["listen"]["api"] = "127.0.0.1:0"
        cls.d.configure()

    def test_every_address_of_a_page(self):
        """The same page everywhere, but for how many steps lead up to its files; each of them is there."""
        with open(os.path.join(WEB, "index.html"), "rb") as f:
            text = f.read()
        version = self.version().encode()
        for path in PAGES:
            a = self.ask(path)
            up = b"../" * max(0, path.count("/") - 1)
            self.assertEqual((a.status, a.headers["Content-Type"], a.headers["Cache-Control"], a.headers["Vary"]), (200, KINDS["html"], "no-cache", "Accept-Encoding"), path)
            self.assertEqual(a.body, text.replace(b"{root}", up).replace(b"{version}", version), path)
            self.guarded(a)

    def test_files(self):
        version, names = self.version(), sorted(os.listdir(WEB))
        self.assertIn("main.js", names)
        for name in names:
            if name == "index.html":
                continue
            with open(os.path.join(WEB, name), "rb") as f:
                text = f.read()
            a, z = self.ask(f"/assets/{version}/{name}"), self.ask(f"/assets/{version}/{name}", **GZIP)
            self.assertEqual((a.status, a.headers["Content-Type"], a.headers["Content-Encoding"], a.body), (200, KINDS[name.rsplit(".")[-1]], None, text), name)
            self.assertEqual((z.status, z.headers["Content-Encoding"], gzip.decompress(z.body)), (200, "gzip", text), name)
            self.assertEqual(a.headers["Cache-Control"], "public, max-age=31536000, immutable")
            self.assertEqual(z.body[4:8], bytes(4), "no time in the gzip head: the same sources make the same bytes")
            self.guarded(a)
            self.guarded(z)
        # all that the page names, in it or in modules, is among them
        named = re.findall(rb"assets/[0-9a-f]+/([a-z0-9.-]+)", self.ask("/").body)
        self.assertTrue(set(x.decode() for x in named) <= set(names))

    def test_etags(self):
        version = self.version()
        for path in ("/", "/builds/p/b/1", f"/assets/{version}/main.js"):
            a, z = self.ask(path), self.ask(path, **GZIP)
            tags = a.headers["ETag"], z.headers["ETag"]
            self.assertRegex(tags[0], r'^"[0-9a-f]{20}"$')
            self.assertNotEqual(*tags)  # strong: of other bytes
            for have, more, want in ((tags[0], {}, 304), (tags[1], GZIP, 304), (tags[0], GZIP, 200), (tags[1], {}, 200), ("*", {}, 304), (f'"x", W/{tags[0]} ', {}, 304),
                                     (f"{tags[0]}x", {}, 200), ('""', {}, 200), (tags[0].strip('"'), {}, 200)):
                r = self.ask(path, If_None_Match=have, **more)
                self.assertEqual(r.status, want, (path, have, more))
                self.assertEqual(bool(r.body), want == 200)
                if want == 304:
                    self.assertEqual((r.headers["ETag"], r.headers["Vary"]), (tags[1] if more else tags[0], "Accept-Encoding"))
        self.assertNotEqual(self.ask("/").headers["ETag"], self.ask("/builds/p/b/1").headers["ETag"])

    def test_gzip_is_asked_for(self):
        for value, want in (("gzip", True), ("GZIP", True), ("deflate, gzip", True), ("gzip;q=0", False), ("gzip; q=0.0", False), ("gzip;q=0.1", True), ("xgzip", False), ("gzipx", False), ("identity", False), ("", False)):
            a = self.ask("/", Accept_Encoding=value)
            self.assertEqual(a.headers["Content-Encoding"] == "gzip", want, value)
            self.assertIn(b"<!doctype html>", self.plain(a))

    def test_head(self):
        version = self.version()
        for path in ("/", "/workers", f"/assets/{version}/base.css"):
            for more in ({}, GZIP):
                a, h = self.ask(path, **more), self.ask(path, "HEAD", **more)
                self.assertEqual((h.status, h.body), (200, b""))
                for name in ("Content-Length", "Content-Type", "ETag", "Content-Encoding", "Cache-Control"):
                    self.assertEqual(h.headers[name], a.headers[name], (path, name))

    def test_what_is_not_there(self):
        version = self.version()
        for path in (f"/assets/{version}/index.html", f"/assets/{version}/index0", f"/assets/{version}/nothing.js", f"/assets/{'0' * 20}/main.js", "/assets/main.js", f"/assets/{version}", "/assets",
                     f"/assets/{version}/a/main.js", "/api", "/api/v1", "/api/v2/status", "/download/nothing/at/all"):
            a = self.ask(path, Accept="text/html")
            self.assertEqual((a.status, a.headers["Content-Type"]), (404, "application/json"), path)
        for path in ("/nothing", "/builds", "/builds/p", "/builds/p/b", "/builds/p/b/1/test/more", "/index.html", "/favicon.ico", "/Builders"):
            a, plain = self.ask(path, Accept="text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), self.ask(path)
            if path.count("/") <= 5:
                self.assertEqual((a.status, a.headers["Content-Type"]), (404, KINDS["html"]), path)
                self.assertIn(b"/main.js", a.body)
                self.guarded(a)
            self.assertEqual((plain.status, plain.headers["Content-Type"]), (404, "application/json"), path)
        self.assertEqual(self.ask("/a/b/c/d/e/f/g", Accept="text/html").status, 404)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            a = self.ask("/builders", method)
            self.assertEqual((a.status, a.headers["Allow"]), (405, "GET, HEAD"), method)

    def test_paths_that_lead_elsewhere(self):
        version = self.version()
        for bad in ("../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "..\\..\\etc\\passwd", "main.js%00.css", "//etc/passwd", "/etc/passwd", "main.js;x", ".", "..", "%2e", ""):
            for lead in (f"/assets/{version}/", "/assets/", "/"):
                a = self.ask(lead + bad, Accept="text/html")
                if lead + bad != "/":
                    self.assertIn(a.status, (400, 404), lead + bad)
                self.assertNotIn(b"root:", a.body)

    def test_other_hosts(self):
        """As for the API: a page of another site can't have it read under another name, nor be asked from elsewhere."""
        for path in ("/", f"/assets/{self.version()}/main.js"):
            self.assertEqual(self.ask(path, Host="evil.example").status, 403)
            self.assertEqual(self.ask(path, Origin="https://evil.example").status, 403)
            self.assertEqual(self.ask(path, Host="localhost").status, 200)

    def test_over_the_socket(self):
        c = UnixHttp(self.d.path("api.sock"), DEADLINE_S)
        c.request("GET", "/")
        r = c.getresponse()
        self.assertEqual((r.status, b"/api/v1" in r.read()), (200, True))
        c.close()


class Folder(Web):
    """--web-dir: files as they are now; nothing from outside, whatever lies in the folder."""

    def test_web_dir(self):
        d = self.own({}, {})
        d.conf["listen"]["api"] = "127.0.0.1:0"
        d.configure()
        folder, secret = d.path("page"), d.path("secret.js")
        os.makedirs(folder + "/sub")
        files = {"index.html": "<p>{root}assets/{version}/a.js {root}", "a.js": "one", ".hidden.js": "secret", "notes.txt": "secret", "sub/b.js": "secret"}
        for name, text in files.items():
            with open(os.path.join(folder, name), "w") as f:
                f.write(text)
        with open(secret, "w") as f:
            f.write("secret")
        os.symlink(secret, folder + "/out.js")
        os.symlink("a.js", folder + "/in.js")
        os.symlink(d.root, folder + "/dir.js")
        os.link(secret, folder + "/hard.css")  # one of the folder's own names: that is all the kernel can tell
        os.mkfifo(folder + "/fifo.js")
        os.mkdir(folder + "/folder.js")
        with open(folder + "/big.js", "wb") as f:
            f.truncate((1 << 20) + 1)
        d.start_master(argv=("--web-dir", folder))
        a = self.ask("/builds/p/b/1", d=d)
        self.assertEqual((a.status, a.body, a.headers["Cache-Control"]), (200, b"<p>../../../assets/dev/a.js ../../../", "no-store"))
        self.guarded(a)
        a = self.ask("/assets/dev/a.js", d=d)
        self.assertEqual((a.status, a.body, a.headers["Content-Type"]), (200, b"one", KINDS["js"]))
        with open(folder + "/a.js", "w") as f:
            f.write("two")
        self.assertEqual(self.ask("/assets/any/a.js", d=d).body, b"two")
        for name in (".hidden.js", "notes.txt", "out.js", "in.js", "dir.js", "fifo.js", "folder.js", "sub", "none.js", "..", "%2e%2e%2fsecret.js", "..%5csecret.js", "sub%2fb.js"):
            a = self.ask("/assets/dev/" + name, d=d)
            self.assertIn(a.status, (400, 404), name)
            self.assertNotEqual(a.body, b"secret", name)
        self.assertEqual(self.ask("/assets/dev/big.js", d=d).status, 500)
        self.assertEqual(self.ask("/nothing", d=d, Accept="text/html").status, 404)
        os.remove(folder + "/index.html")
        self.assertEqual(self.ask("/", d=d).status, 404)
        # a folder that is not there: the page comes from the program, and the log says why
        d.stop_master()
        del d.web_port
        d.start_master(argv=("--web-dir", d.path("nothing")))
        self.assertIn(b"/main.js", self.ask("/", d=d).body)
        self.assertIn(b"--web-dir", read(d.path("master.log")))


PIPELINE = """builders:
  good: {steps: [{name: say, run: "printf 'eins\\\\nzwei\\\\ndrei\\\\n'"}]}
  bad: {steps: [{name: test, run: "test ! -f bad"}]}
  far: {worker: {tags: [mars]}, steps: ["true"]}
"""


class Told(Web):
    """Fields and methods of the API that are there for the page."""
    PROJECTS = {}
    WORKERS = {"here": {"slots": 2}}

    @classmethod
    def prepare(cls):
        d = cls.d
        cls.repo = d.path("repo")
        make_repo(cls.repo, {".drover.yml": PIPELINE})
        d.configure(projects={"p": {"git": cls.repo, "poll": "200ms"}})

    def test_states_of_a_step(self):
        at = self.d.get("/status")["event"]
        b = self.d.run("p/good")
        checkout, say = b["steps"]
        states = [x["state"] for x in checkout["trail"]]
        self.assertIn(states[2], ("clone", "fetch"))  # whether another test built here before
        self.assertEqual((states[:2] + states[3:], checkout["state"]), (["trust", "stat", "checkout", "clean", "revision"], "done"))
        times = [checkout["started"]] + [x["at"] for x in checkout["trail"]]
        self.assertEqual(times, sorted(times))
        self.assertEqual([x["state"] for x in say["trail"]], ["run"])
        self.assertEqual((b["now"], b["expected"]), (None, None))
        moved = self.d.events(f"select object, body->>'state' from event where number > {at} and type = 'step.moved' order by number")
        self.assertEqual([s for o, s in moved if o == b["id"] + ":checkout"], states[1:])

    def test_ranges_of_a_log(self):
        b = self.d.run("p/good")
        whole = b"eins\nzwei\ndrei\n"
        for first in range(len(whole) + 2):
            for last in range(len(whole) + 2):
                a = self.d.api("GET", f"/builds/{b['id']}/logs/say?from={first}&to={last}", headers={"Accept-Encoding": "gzip"})
                self.assertEqual((a.status, a.body, a.headers["Content-Encoding"]), (200, whole[first:last], None), (first, last))
                self.assertEqual((a.headers["X-Drover-Length"], a.headers["X-Drover-Lines"], a.headers["X-Drover-Complete"]), (str(len(whole)), "3", "1"))
        for query in ("to=-1", "to=x", "to=5&follow=1"):
            self.assertEqual(self.d.api("GET", f"/builds/{b['id']}/logs/say?{query}").status, 400, query)

    def test_broken(self):
        d = self.d
        broken = lambda: {x["id"]: x for x in d.get("/broken")["items"]}
        good = d.run("p/bad")
        self.assertEqual(good["result_text"], "success")
        self.assertNotIn("p/bad", broken())
        commit(self.repo, {"bad": "1"}, "Break it\n\nOn purpose.")
        first = wait_for(lambda: [b for b in d.get("/builds?builder=p/bad&state=done")["items"] if b["result_text"] == "failure"], "the change's build")[-1]
        second = d.run("p/bad")
        x = broken()["p/bad"]
        self.assertEqual((x["last"]["id"], x["since"], x["good"], x["count"]), (second["id"], first["id"], good["number"], 2))
        self.assertEqual((x["change"]["message"].split("\n")[0], x["change"]["author"].split(" ")[0], x["since_at"]), ("Break it", "Ann", first["started"]))
        self.assertEqual([c["message"].split("\n")[0] for c in d.get("/builds/" + first["id"])["changes"]], ["Break it"])
        change = d.get("/changes/" + x["change"]["id"])
        self.assertEqual({r["builder"]: r["build"] for r in change["requests"]}["bad"], first["id"])
        recent = [b for b in d.get("/builders")["items"] if b["id"] == "p/bad"][0]["recent"]
        self.assertEqual([(r["number"], r["result"]) for r in recent[:3]], [(second["number"], 2), (first["number"], 2), (good["number"], 0)])
        git(self.repo, "rm", "-q", "bad")
        commit(self.repo, {}, "Mend it")
        wait_for(lambda: "p/bad" not in broken(), "the mended builder")

    def test_what_has_just_ended(self):
        """By their ends, whatever their numbers."""
        d = self.d
        old, new = d.run("p/bad"), d.run("p/bad")
        self.assertEqual([b["id"] for b in d.get("/status")["ended"][:2]], [new["id"], old["id"]])
        d.sql(f"update build set finished = now() where number = {old['number']} and builder = (select id from builder where name = 'bad')")
        ended = d.get("/status")["ended"]
        self.assertEqual([b["id"] for b in ended[:2]], [old["id"], new["id"]])
        self.assertEqual(ended, sorted(ended, key=lambda b: -b["finished"]))

    def test_why_in_lists(self):
        d = self.d
        rid = d.ask("p/far")
        waiting = {r["id"]: r for r in d.get("/status")["waiting"]}
        one = d.get(f"/requests/{rid}/why")["reason"]
        for r in (waiting[rid], [x for x in d.get("/requests?state=pending")["items"] if x["id"] == rid][0]):
            self.assertEqual((r["waits"]["kind"], r["waits"]["object"]), (one["kind"], one["object"]))
            self.assertIn("mars", r["waits"]["text"])
            self.assertTrue(one["text"].startswith(r["waits"]["text"]))
        d.post(f"/requests/{rid}/cancel", {})
        self.assertEqual([x["waits"] for x in d.get("/requests")["items"] if x["id"] == rid], [None])


if __name__ == "__main__":
    unittest.main(verbosity=2)
