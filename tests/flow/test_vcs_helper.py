#!/usr/bin/env python3
"""The helper with programs svn and hg that are not there, never end, or write what they should not: each answer is bounded, and says what was wrong. Nothing of them is left."""
import os
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
from drover import BUILD, alive, read, wait_for  # noqa: E402
from vcsserve import Mute  # noqa: E402

HEX = "0123456789abcdef0123456789abcdef01234567"
INFO = ('<info><entry path="x" revision="9" kind="dir"><url>svn://h/r</url><repository><root>svn://h/r</root></repository><commit revision="7"></commit></entry></info>')
LAYOUT = '<lists><list path="x"><entry kind="dir"><name>trunk</name><commit revision="7"/></entry><entry kind="dir"><name>branches</name><commit revision="7"/></entry></list></lists>'


class Helper(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="drover-t.", dir=os.environ.get("DROVER_ROOM") or "/var/tmp")
        self.addCleanup(self.folder.cleanup)

    def path(self, *names):
        return os.path.join(self.folder.name, *names)

    def program(self, name, script):
        """`name` in PATH, a script of sh that gets its words."""
        os.makedirs(self.path("bin"), exist_ok=True)
        with open(self.path("bin", name), "w") as f:
            f.write(f"#!/bin/sh\necho $$ >>{self.path('pids')}\n{script}\n")
        os.chmod(self.path("bin", name), 0o755)

    def ask(self, vcs, op="poll", deadline=60000, path=None, url=None, **more):
        words = {"op": op, "vcs": vcs, "mirrors": self.path("mirrors"), "name": "p", "url": url or ("https://h.example.org/x"), "local": "0", "deadline": str(deadline), **more, "end": "1"}
        bytes_in = b"".join(f"{k}={v}".encode() + b"\0" for k, value in words.items() for v in (value if isinstance(value, list) else [value]))
        p = subprocess.run([f"{BUILD}/drover-git-helper"], input=bytes_in, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, env={"PATH": path or self.path("bin") + ":/usr/bin:/bin"})
        self.code = p.returncode
        for pid in read(self.path("pids")).split():
            wait_for(lambda: not alive(int(pid)), "the end of a program")
        got = {}
        for record in p.stdout.split(b"\0")[:-1]:
            k, _, v = record.partition(b"=")
            got.setdefault(k.decode(), []).append(v.decode())
        return got

    def svn(self, info=INFO, layout=LAYOUT, branches="<lists></lists>", log="<log></log>"):
        """svn that answers with these texts, each a word of sh that writes one."""
        def say(text):
            return text[3:] if text.startswith("sh:") else f"cat <<'E'\n{text}\nE\n"
        self.program("svn", "case $1 in\ninfo) %s ;;\nlist) case $3 in */branches@*) %s ;; *) %s ;; esac ;;\nlog) %s ;;\nesac" % tuple(say(t) for t in (info, branches, layout, log)))

    def bad(self, got, err, words):
        self.assertEqual(got.get("err"), [err], got)
        self.assertIn(words, got["why"][0])
        self.assertNotIn("head", got)

    def test_no_such_program(self):
        for vcs, package in (("svn", "subversion"), ("svn-folder", "subversion"), ("hg", "mercurial")):
            self.bad(self.ask(vcs, path="/nonexistent"), "notfound", f"install the package {package}")

    def test_endless_answers_are_ended(self):
        endless = "sh:echo '<lists><list path=\"x\">'; while :; do echo '<entry kind=\"dir\"><name>trunk</name><commit revision=\"7\"/></entry>'; done"
        self.svn(branches=endless.replace(">trunk<", ">x<"))
        self.bad(self.ask("svn"), "toobig", "branches")
        self.svn(log="sh:echo '<log>'; while :; do echo '<logentry revision=\"7\"><msg>x</msg></logentry>'; done")
        self.bad(self.ask("svn", known="1 branches/x"), "toobig", "log")
        self.svn(info="sh:yes '<a>'")
        self.bad(self.ask("svn"), "failed", "too deep")
        self.svn(info="sh:echo '<info><entry><url>'; cat /dev/zero | tr '\\0' x")
        self.bad(self.ask("svn"), "toobig", "too much")

    def test_a_document_type_is_not_taken(self):
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><info><entry><url>&c;</url></entry></info>'
        self.svn(info=bomb)
        self.bad(self.ask("svn"), "failed", "document type")

    def test_names_that_are_not_taken_are_counted(self):
        names = ["1.x", "-r1", "a b", "a&#10;b", "../x", "x@{1}", "a;b", "é", "a..b", "ok"]
        self.svn(branches='<lists><list path="x">' + "".join(f'<entry kind="dir"><name>{n}</name><commit revision="5"/></entry>' for n in names) + '<entry kind="file"><name>f</name><commit revision="5"/></entry></list></lists>',
                 log='<log><logentry revision="7"><author>a&#9;b</author><date>nonsense</date><msg>one\ntwo</msg></logentry></log>')
        got = self.ask("svn", known=["7 trunk", "5 branches/-r1", "5 branches/1.x", "5 branches/ok"])
        self.assertEqual(got["err"], ["ok"], got)
        self.assertEqual((got["head"], got["ignored"]), (["5 branches/-r1", "5 branches/1.x", "5 branches/ok", "7 trunk"], ["7"]), "as a part of a URL a hyphen is none of an option")

    def test_a_log_that_does_not_tell_what_was_listed(self):
        self.svn(log="<log></log>")
        self.assertEqual(self.ask("svn", known="1 trunk")["err"], ["failed"])
        self.svn(log='<log><logentry revision="3"></logentry></log>')
        self.assertEqual(self.ask("svn", known="1 trunk")["err"], ["failed"])

    def test_a_log_too_large_is_told_without_files(self):
        self.svn(log="sh:case \"$*\" in *-v*) echo '<log>'; while :; do echo '<logentry revision=\"7\">'; cat /dev/zero | tr '\\0' ' ' | head -c 40000000; done ;; "
                     "*) echo '<log><logentry revision=\"7\"><author>ann</author><msg>m</msg></logentry></log>' ;; esac")
        got = self.ask("svn", known="1 trunk")
        self.assertEqual((got["err"], got["commit"], got["cut"], got["author"]), (["ok"], ["7"], ["1"], ["ann"]))
        self.assertNotIn("file", got)

    def test_one_that_never_answers_goes_with_its_helper(self):
        for vcs, name in (("svn", "svn"), ("hg", "hg")):
            self.program(name, "exec sleep 1000")
            before = time.monotonic()
            self.assertEqual(self.ask(vcs, deadline=1000).get("end"), None)
            self.assertLess(time.monotonic() - before, 50)
            self.assertNotEqual(self.code, 0)

    def test_hg_that_writes_what_it_should_not(self):
        def hg(**cases):
            self.program("hg", "for w; do case $w in\n" + "\n".join(f"{k}) {v}; exit ;;" for k, v in {"init": "mkdir -p %s; : >%s" % (self.path("mirrors/p.hg/.hg"), self.path("mirrors/p.hg/.hg/requires")), "pull": ":",
                         "outgoing": "exit 1", "branches": f"echo {HEX} default", "debugpushkey": ":", "tags": ":", "log": "echo '{}'", **cases}.items()) + "\nesac; done")
        hg(branches="yes x")
        self.bad(self.ask("hg"), "toobig", "names")
        hg(branches="tr '\\0' x </dev/zero")
        self.bad(self.ask("hg"), "toobig", "names")
        hg()
        self.bad(self.ask("hg"), "failed", "no log")
        hg(log="echo 'no JSON'")
        self.bad(self.ask("hg"), "failed", "no log")
        hg(log=r"""printf '%s\n' '{"n":"@","p":"","a":"x","m":"lone \udc80 and \ud83d\ude00 pair","f":["a\udcff"],"d":[1,0]}' | sed 's/@/""" + HEX + "/'")
        got = self.ask("hg")
        self.assertEqual((got["err"], got["message"], got["file"]), (["ok"], ["lone \ufffd and \U0001f600 pair"], ["a\ufffd"]))
        hg(branches=f"printf '%s\\n' '{HEX} -x' '{HEX} a b' 'zz default' '{HEX}' '{HEX} ok'", debugpushkey=f"printf 'book\\t{HEX}\\nbad name\\t{HEX}\\nx\\t12\\n'", log=f"echo '{{\"n\":\"{HEX}\",\"p\":\"{HEX}\"}}'")
        got = self.ask("hg")
        self.assertEqual((got["err"], got["head"], got["ignored"]), (["ok"], [f"{HEX} book", f"{HEX} ok"], ["3"]))

    def test_servers_that_say_nothing_of_use(self):
        """The programs themselves, against a server that is silent."""
        mute = Mute()
        self.addCleanup(mute.close)
        for vcs, url in (("svn", f"svn://127.0.0.1:{mute.port}/x"), ("svn", f"http://127.0.0.1:{mute.port}/x"), ("hg", f"http://127.0.0.1:{mute.port}/x")):
            self.assertEqual(self.ask(vcs, deadline=1000, url=url).get("end"), None)


if __name__ == "__main__":
    unittest.main()
