#!/bin/bash
# Dependencies point one way (docs/design.md, section 2): who may include whom, which library is whose, the own header first.
cd "$(dirname "$0")/../.." && exec python3 - <<'PY'
import glob, os, re, sys

# Lower never includes higher. Within a level, and downwards, everything is allowed.
LEVEL = {"conf": -1, "core": 0, "db": 0, "keep": 0, "changes": 1, "schedulers": 1, "dispatch": 1, "workers": 1, "steps": 1, "logs": 1, "events": 1, "api": 2, "notify": 2, "web": 3, "cli": 3}
# conf/ stands by itself: nothing of it knows the loop or the database.
# The command line speaks only the API: of the master it may use how a pipeline is read (drover config check), and nothing that knows the database.
CLI_MAY = {"conf", "cli"}
EXCEPTIONS = {
    "master/core/master.c": "starts and stops every part, so it is above all of them",
    "master/core/reload.c": "takes every part over to another configuration",
    "master/core/reload_start.c": "likewise, where a start finds that a rollback holds",
}
# library header: folders or files that may include it
LIBRARIES = {
    "uv.h": ["master/core", "master/db", "master/changes", "master/schedulers", "master/dispatch", "master/workers", "master/logs", "master/events", "master/api"],
    "libpq-fe.h": ["master/db"],
    "git2.h": ["master/changes/helper"],
    "libssh2.h": ["master/workers/ssh"],
    "microhttpd.h": ["master/api"],
    "openssl/": ["master", "worker/tls_openssl.c"],
    "cjson/cJSON.h": ["master"],
    "yaml.h": ["master/conf"],
    "zlib.h": ["proto", "master/cli/http.c", "master/api/web.c"],
    "bearssl.h": ["worker/tls_bearssl.c"],
}
bad = 0


def say(path, line, what):
    global bad
    bad += 1
    print(f"{path}:{line}: {what}")


def allowed(a, b):
    """May file a include file b?"""
    ta, tb = a.split("/")[0], b.split("/")[0]
    if tb == "common":
        return True
    if tb == "proto":
        return ta != "common"
    if tb == "worker":
        return ta == "worker"
    if tb != "master" or ta != "master":
        return False
    ma, mb = a.split("/")[1], b.split("/")[1]
    if ma not in LEVEL or mb not in LEVEL:
        return False
    if ma == "cli":
        return mb in CLI_MAY
    if ma == "conf":
        return mb == "conf"
    return LEVEL[mb] <= LEVEL[ma]


used = set()
files = [f for d in ("common", "proto", "worker", "master") for f in glob.glob(d + "/**/*", recursive=True) if f.endswith((".c", ".h", ".def"))]
for path in sorted(files):
    own = path[:-2] + ".h" if path.endswith(".c") else None
    first = True
    for n, line in enumerate(open(path, encoding="utf-8"), 1):
        m = re.match(r'\s*#\s*include\s*([<"])([^">]+)[">]', line)
        if not m:
            continue
        kind, name = m.groups()
        if first and own and os.path.exists(own) and name != own and not (name.endswith("_int.h") and os.path.dirname(name) == os.path.dirname(own)):
            say(path, n, f"its own header {own} comes first")
        first = False
        if kind == '"':
            if not os.path.exists(name):
                say(path, n, f"{name} is not a path from the top")
            elif not allowed(path, name):
                if path in EXCEPTIONS:
                    used.add(path)
                else:
                    say(path, n, f"may not include {name}")
            if path == "master/core/master.h" and name.startswith("master/"):
                say(path, n, f"only forward declares, but includes {name}")
            continue
        for lib, places in LIBRARIES.items():
            if (name.startswith(lib) if lib.endswith("/") else name == lib or name.endswith("/" + lib)) and not any(
                path == p or path.startswith(p + "/") for p in places
            ):
                say(path, n, f"<{name}> belongs to {', '.join(places)}")
for path in EXCEPTIONS:
    if path not in used:
        say(path, 1, "needs no exception any more: take it out of tests/lint/includes.sh")
sys.exit(1 if bad else 0)
PY
