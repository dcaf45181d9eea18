"""Messages that are well-formed and mean nothing, of any verb: what a side of the wire must live through. The same ones for the same seed."""
import select

import wire
from wire_master import entry

WORDS = {"state": ("accepted", "running", "done", "lost", "never"), "how": ("exited", "signaled", "failed", "lost", "x"), "reason": ("-", "cancel", "idle", "stop", "x"),
         "tag": ("ok", "badarg", "notfound", "fenced", "io", "x"), "name": ("TERM", "KILL", "x"), "features": ("-", "disk"), "what": ("-", "1-1", "x")}
IDS = ("cmd", "epoch")
EDGES = (0, 1, 2, 65535, 65536, 2**31, 2**32, 2**63 - 65536, 2**63 - 1)
PATHS = ("..", "/etc/passwd", "a/../../b", ".", "chaos", "chaos/x", "x" * 300)
KEYS = ("path", "to", "after", "pattern", "version", "size", "mode", "sum", "arg", "env", "cwd", "no_such", "value", "replace")


class Chaos:
    """sender: whose messages. ids: commands and epochs that the other side knows, named half of the time; never: verbs that are left out."""

    def __init__(self, rng, sender, ids=(), never=()):
        self.rng, self.ids = rng, list(ids)
        self.verbs = sorted(v for v, x in wire.VERBS.items() if x.sender in (sender, "both") and v not in never)

    def token(self, name):
        r = self.rng
        if name in IDS:
            return r.choice(self.ids) if self.ids and r.random() < 0.5 else f"{r.choice(EDGES)}-{r.choice(EDGES)}"
        if name in ("crc", "bcrc"):
            return "%08x" % r.getrandbits(32)
        return r.choice(WORDS[name]) if name in WORDS else str(r.choice(EDGES) if r.random() < 0.7 else r.randrange(100))

    def blob(self):
        r = self.rng
        kind = r.randrange(5)
        if kind == 0:
            return r.randbytes(r.randrange(200))
        if kind == 1:
            return entry(r.choice(PATHS), r.choice(("file", "dir", "link", "x")), 644, r.randbytes(r.randrange(50)))
        if kind == 2:
            return r.choice(PATHS).encode()
        return wire.records(*((r.choice(KEYS), r.choice(PATHS)) for _ in range(r.randrange(5))))

    def message(self):
        verb = self.rng.choice(self.verbs)
        most = wire.VERBS[verb].blob
        blob = self.blob()[:most] if most and self.rng.random() < 0.9 else None
        return wire.Message(verb, [self.token(n) for n in wire.VERBS[verb].tokens], blob).encode()

    def messages(self, n):
        return b"".join(self.message() for _ in range(n))


def pour(link, data, deaf=False):
    """Sends all of it while what comes is read and dropped (deaf: is not read). The bytes that the other side took before it closed, or all."""
    sock, at = link.sock, 0
    sock.setblocking(False)
    while at < len(data):
        ready, room, _ = select.select([] if deaf else [sock], [sock], [], 30)
        if not ready and not room:
            return at  # it takes no more
        try:
            if ready and not sock.recv(1 << 20):
                return at
            if room:
                at += sock.send(data[at:at + 65536])
        except BlockingIOError:
            pass
        except OSError:
            return at
    sock.setblocking(True)
    return at
