"""Plays tests/proto/*.txt (see the README there) against the real worker: one test a file, found by name."""
import fnmatch
import glob
import os
import re
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from fakemaster import Bench, encode  # noqa: E402

ESCAPES = {"0": b"\0", "n": b"\n", "\\": b"\\", '"': b'"'}


def unquote(text):
    out = bytearray()
    for plain, hexa, escape in re.findall(r'([^\\]+)|\\x([0-9a-f]{2})|\\(.)', text):
        out += plain.encode() if plain else bytes([int(hexa, 16)]) if hexa else ESCAPES[escape]
    return bytes(out)


def split_blob(text):
    """'verb a b +"..."' -> (['verb', 'a', 'b'], blob pattern or None)"""
    found = re.search(r' \+(\*|"(.*)")$', text)
    if not found:
        return text.split(), None
    return text[:found.start()].split(), "*" if found[1] == "*" else unquote(found[2]).decode("latin-1")


def matches(message, text):
    words, blob = split_blob(text)
    got = [message.verb, *message.tokens]
    if len(got) != len(words) or not all(fnmatch.fnmatchcase(g, w) for g, w in zip(got, words)):
        return False
    if blob is None or message.blob is None:
        return blob is None and message.blob is None
    return fnmatch.fnmatchcase(message.blob.decode("latin-1"), blob.replace("[", "[[]") if "[" in blob else blob)


class Transcripts(unittest.TestCase):
    def play(self, path):
        with Bench(env={"DROVER_TEST_RETRY_MAX_MS": "20"}) as bench, open(path) as f:
            bench.worker.start()
            session = bench.master.accept_raw()
            for number, line in enumerate(f, 1):
                where, kind, text = f"{os.path.basename(path)}:{number}", line[:2], line[2:].strip()
                if kind == "M:":
                    words, blob = split_blob(text)
                    session.send_bytes(encode(*words, blob=None if blob is None else blob.encode("latin-1")))
                elif kind == "M>":
                    session.send_bytes(unquote(text[1:-1]))
                elif kind == "M!":
                    session.close()
                elif kind == "M+":
                    session = bench.master.accept_raw()
                elif kind == "W:":
                    message = session.recv(pings="ping" in text or "pong" in text)
                    self.assertTrue(matches(message, text), f"{where}: expected {text}, got {message} {message.blob}")
                elif kind == "W!":
                    session.expect_gone(bye=None if text == "-" else text)
                else:
                    self.assertTrue(not line.strip() or line.startswith("#"), f"{where}: what is that?")


def add(path):
    name = os.path.basename(path)[:-4]
    setattr(Transcripts, "test_" + name, lambda self: self.play(path))


for transcript in sorted(glob.glob(os.path.join(HERE, "..", "proto", "*.txt"))):
    add(transcript)

if __name__ == "__main__":
    unittest.main()
