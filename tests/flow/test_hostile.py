#!/usr/bin/env python3
"""Configuration that means harm: `drover config check`, which reads as the master does, in a process whose memory is bounded. Refused with a place, in little memory, with few words."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from drover import BUILD

PROGRAM = f"{BUILD}/drover"
SPACE_MAX = 192 << 20       # address space: what is not there can't be used
PEAK_MAX_KIB = 32 << 10     # memory at its most, of one text
ALL_PEAK_MAX_KIB = 64 << 10 # of as many files as are read
CPU_MAX_S = 10              # processor time, ten times what the slowest takes: nothing is looked at once for each line and again for each error
SAID_MAX = 64 << 10         # bytes of diagnostics
TEXT_MAX = 1 << 20          # bytes that are read of a text


# Starts the words behind it, and writes down what they took: a process counts what it was forked from, and this one is small.
BETWEEN = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({SPACE_MAX}, {SPACE_MAX}))
resource.setrlimit(resource.RLIMIT_CPU, ({CPU_MAX_S}, {CPU_MAX_S}))
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
open(sys.argv[1], "w").write(f"{{os.waitstatus_to_exitcode(status)}} {{used.ru_maxrss}}")
"""


def laughs(n, width, item="lol"):
    lines = [f"a0: &a0 [{', '.join([item] * width)}]"]
    return "\n".join(lines + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, n)]) + "\n"


def merges(n, keys, width):
    """Maps that each merge the one before `width` times: what is in them grows slowly, what is looked at does not."""
    lines = ["m0: &m0 {" + ", ".join(f"k{i}: v" for i in range(keys)) + "}"]
    return "\n".join(lines + [f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * width)}], own{i}: v}}" for i in range(1, n)]) + "\n"


# name: (text, what is said). Each is refused at a line and column.
HOSTILE = {
    "laughs": (laughs(12, 10), "more than 100000 values, aliases written out"),
    "laughs that are long": (laughs(4, 30, "x" * 30000), "more than 16 MiB, aliases written out"),
    "merges": (merges(40, 2000, 10), "more than 100000 values, aliases written out"),
    "merges of themselves": ("a: &a {<<: *a}\n", "*a stands inside what it names"),
    "itself in a list": ("a: &a [*a]\n", "*a stands inside what it names"),
    "itself further up": ("a: &a {b: {c: [1, {d: *a}]}}\n", "*a stands inside what it names"),
    "itself as its key": ("&a a: {*a : *b}\n", "there is no anchor &b above"),
    "deep lists": ("a: " + "[" * 10000, "more than 64 levels inside each other"),
    "deep lists, closed": ("a: " + "[" * 10000 + "]" * 10000, "more than 64 levels inside each other"),
    "deep maps": ("a: " + "{a: " * 10000, "more than 64 levels inside each other"),
    "deep by indentation": ("\n".join(" " * i + "a:" for i in range(1400)), "more than 64 levels inside each other"),
    "deep on one line": ("- " * 10000 + "a", "more than 64 levels inside each other"),
    "deep by alias": ("\n".join(["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 100)]), "more than 64 levels inside each other"),
    "a scalar of 100 MB": (lambda: "a: " + "x" * 100_000_000, "the text is larger than 1024 KiB, the most that is read"),
    "a quoted scalar of 100 MB": (lambda: 'a: "' + "x" * 100_000_000, "the text is larger than 1024 KiB, the most that is read"),
    "100 MB of line feeds": (lambda: "\n" * 100_000_000, "the text is larger than 1024 KiB, the most that is read"),
    "a million keys": ("".join(f"k{i}:\n" for i in range(1_000_000)), "the text is larger than 1024 KiB, the most that is read"),
    "as many keys as fit": ("".join(f"{i:x}:\n" for i in range(140_000)), "more than 100000 values"),
    "as many items as fit": ("a: [" + "1," * ((TEXT_MAX - 10) // 2), "more than 100000 values"),
    "the same key all the time": ("a:\n" * 49_000, 'key "a" stands twice, first at 1:1'),
    "errors far down": ("\n" * 500_000 + "a:\n" * 49_000, 'key "a" stands twice, first at 500001:1'),
    "a key in two": ("builders: {a: {steps: [x]}}\nsteps: [y]\nbuilders: {b: {steps: [x]}}\n", 'key "builders" stands twice, first at 1:1'),
    "unknown keys": ("".join(f"x{i}:\n" for i in range(49_000)), 'unknown key "x0"'),
    "many anchors": ("a: [" + "".join(f"&a{i} 1," for i in range(60_000)) + "*none]\n", "there is no anchor &none above"),
    "an anchor of a megabyte": ("a: &" + "a" * 1_000_000 + " 1\nb: *b\n", None),
    "a map as a key": ("{{a: 1}: 2}\n", "a key must be a plain word or string, this is a map"),
    "question marks": ("? " * 100_000, None),
    "tags": ("a: !!python/object/apply:os.system [id]\n", "tags are not supported"),
    "a bomb of builders": ("x: &s [" + ", ".join(["make"] * 2000) + "]\n", 'unknown key "x"'),
    "a matrix of many": ("builders: {a: {matrix: {" + ", ".join(f"A{i}: [1, 2, 3, 4]" for i in range(8)) + "}, steps: [make]}}\n", "combinations"),
    "matrices and steps": ("templates: {t: {steps: &s [" + ", ".join("{name: s%d, run: x}" % i for i in range(400)) + "]}}\nbuilders:\n" +
                           "".join("  b%d: {matrix: {A: [%s]}, steps: [use: t]}\n" % (k, ", ".join(map(str, range(256)))) for k in range(4)), "more than"),
    "templates in each other": ("templates:\n" + "".join("  t%d: {steps: [%s]}\n" % (i, ", ".join(["use: t%d" % (i + 1)] * 9)) for i in range(9)) + "  t9: {steps: [x]}\nbuilders: {a: {steps: [use: t0]}}\n", "more than"),
    "an expression that is deep": ("builders: {a: {steps: [{run: x, if: '" + "(" * 50_000 + "'}]}}\n", None),
    "not UTF-8": (b"a: \xff\xfe\n" * 1000, "byte 0xff is not UTF-8"),
    "zeros": (b"\0" * 100_000, "character U+0000 can't be in a YAML text"),
}


class Hostile(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="drover-t.", dir=os.environ.get("DROVER_ROOM") or "/var/tmp")
        self.addCleanup(shutil.rmtree, self.folder)

    def put(self, name, text):
        path = os.path.join(self.folder, name)
        text = text() if callable(text) else text
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return path

    def check(self, *argv, stdin=None):
        """(exit code, what was said, most memory in KiB)"""
        took = os.path.join(self.folder, "took")
        p = subprocess.run([sys.executable, "-S", "-E", "-c", BETWEEN, took, PROGRAM, "config", "check", *argv], stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        with open(took) as f:
            code, peak = map(int, f.read().split())
        return code, p.stdout.decode(), peak

    def refused(self, got, place, says):
        code, said, peak = got
        self.assertEqual(code, 2, said[:2000])
        self.assertLess(peak, PEAK_MAX_KIB)
        self.assertLess(len(said), SAID_MAX)
        first = said.split("\n")[0]
        self.assertRegex(first, "^" + re.escape(place) + r":\d+:\d+: ", first)
        if says:
            self.assertIn(says, said)
        return peak

    def test_pipelines(self):
        most = 0
        for name, (text, says) in HOSTILE.items():
            with self.subTest(name):
                path = self.put("x.yml", text)
                most = max(most, self.refused(self.check(path), path, says))
        print(f"    {len(HOSTILE)} texts, {most} KiB at most", file=sys.stderr)

    def test_site(self):
        """The same in a file of conf.d: one bad file among good ones, all of which are read."""
        os.mkdir(os.path.join(self.folder, "conf.d"))
        site = self.put("master.yaml", "workers: {a: }\n")
        for i in range(20):
            self.put(f"conf.d/p{i}.yaml", f"projects: {{p{i}: {{git: 'git@h:p', steps: [make]}}}}\n")
        for name in ("laughs", "merges", "deep lists", "a scalar of 100 MB", "as many keys as fit", "the same key all the time", "unknown keys"):
            with self.subTest(name):
                text, says = HOSTILE[name]
                bad = self.put("conf.d/bad.yaml", text)
                self.refused(self.check(site), bad, says)

    def test_programs(self):
        """A program that prints without end, and one that prints bombs."""
        for name, script, place, says in (("endless", "yes 'a: b'", "master.yaml:1:16", "the program ./gen printed more than 1024 KiB, and was killed"),
                                          ("bomb", "cat bomb", "<output of ./gen>:5:", "more than 100000 values, aliases written out"),
                                          ("noise", "yes noise >&2 & sleep 0.5; kill $!; exit 1", "master.yaml:1:16", "ended with exit code 1")):
            with self.subTest(name):
                self.put("bomb", laughs(12, 10))
                os.chmod(self.put("gen", f"#!/bin/sh\n{script}\n"), 0o755)
                site = self.put("master.yaml", "include: {run: [./gen]}\n")
                code, said, peak = self.check(site)
                self.assertEqual(code, 2, said)
                self.assertLess(peak, PEAK_MAX_KIB)
                self.assertLess(len(said), 4096)
                self.assertIn(place, said)
                self.assertIn(says, said)

    def test_many_files(self):
        """As many large files as somebody likes: what is read of them has a bound."""
        os.mkdir(os.path.join(self.folder, "conf.d"))
        site = self.put("master.yaml", "workers: {a: }\n")
        for i in range(40):
            self.put(f"conf.d/{i:03}.yaml", "#" * (TEXT_MAX - 1))
        code, said, peak = self.check(site)
        self.assertEqual(code, 2, said[:1000])
        self.assertLess(peak, ALL_PEAK_MAX_KIB)
        self.assertIn("the configuration has more than 1000 files or 16 MiB", said)

    def test_standard_input(self):
        read, write = os.pipe()
        p = subprocess.Popen(["yes", "a: b"], stdout=write, stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as f:
            code, said, peak = self.check("-", stdin=f)
        p.wait(30)
        self.assertEqual(code, 2)
        self.assertLess(peak, PEAK_MAX_KIB)
        self.assertIn("larger than", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
