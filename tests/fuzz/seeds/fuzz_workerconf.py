#!/usr/bin/env python3
"""Seeds of tests/fuzz/fuzz_workerconf.c: settings that are good together, and one file for each that is not.

usage: fuzz_workerconf.py FOLDER"""
import os
import sys

OPEN_TO_ALL, DIALLED, JOIN_FILE = 1, 2, 4
SECRET = "0123456789" * 4 + "abc"
TOKEN = "m.example.org:8431,[::1]:7#spki-sha256:" + "ab" * 32 + "#w1:" + SECRET
LOCAL = "unix:/run/drover/link##w1:" + SECRET
ALL = ["dir = /srv/w", "path = /bin:/usr/bin", "proxy = http://[::1]:3128/", "log_level = debug", "log_format = json", "upgrade = yes"]
CONFINED = ["allow = run,read, log", "max_runtime = 4h", "limits = nproc=100 nofile=none core=1G", "umask = 027", "slot_uids = 70000-70999", "isolate = pid,mount,user", "exec_wrapper = nice -n 5 --dir={dir} {slot} {cid}"]
OTHERS = ["isolate = auto", "allow = no", "allow = all", "proxy = no", "slot_uids = no", "exec_wrapper = no", "max_runtime = 0", "connect = unix:/x"]
NOT = ["umask = 0777", "umask = 9", "isolate = mount", "isolate = no,pid", "slot_uids = 0-5", "slot_uids = 5-4", "slot_uids = 1-70000", "limits = nproc", "limits = cpu=1", "limits = nproc=1K", "allow = runs", "max_runtime = 4", "exec_wrapper = {uid}",
       "connect = host:1", "connect = host", "dir = srv", "dir =", "log_level = loud", "log_format = xml", "upgrade = maybe", "proxy = https://x", "proxy = http://u:p@[::1", "umask = 022\numask = 022", "join_file = x", "colour = blue", "words", "dir = /\0x"]


def seed(folder, name, how, lines, join=""):
    with open(f"{folder}/{name}", "wb") as f:
        f.write(bytes([how]) + "\n".join(lines).encode() + (b"\xff" + join.encode() if how & JOIN_FILE else b""))


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    seed(folder, "all", 0, ["# all", "join = " + TOKEN, *ALL])
    seed(folder, "confined", 0, ["join = " + LOCAL, *CONFINED])
    seed(folder, "file", JOIN_FILE, ALL + CONFINED, f" {TOKEN}\n")
    seed(folder, "dialled", DIALLED, ["dir = /srv/w", *CONFINED])
    seed(folder, "dialled-token", DIALLED, ["join = " + TOKEN])
    seed(folder, "open", OPEN_TO_ALL, ["join = " + TOKEN])
    seed(folder, "open-proxy", OPEN_TO_ALL | JOIN_FILE, ["proxy = http://user:password@proxy"], TOKEN)
    seed(folder, "proxy", JOIN_FILE, ["proxy = http://user:pass%40word@proxy:1"], TOKEN)
    seed(folder, "nothing", 0, [])
    seed(folder, "looks-secret", 0, ["join = " + LOCAL, "log_level = \x10" + SECRET[1:]])  # the log says \\x10…
    for i, line in enumerate(OTHERS + NOT):
        seed(folder, f"line-{i}", 0, ["join = " + LOCAL, line])


main()
