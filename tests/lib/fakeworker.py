"""A worker that says what the test wants, over the master's unix socket: for what no honest worker would send. The wire is wire.py's; wire_worker.py has an honest one."""
import os

from drover import BUSY
import wire
from wire import Closed as Gone, read_records  # noqa: F401  the master closed the link

HEX32 = "0123456789abcdef" * 2
BOOT = "f" * 32
PATIENCE_S = 30 * BUSY


class FakeWorker:
    """token: the join token's text. Greets with the facts given, answers pings by itself in next()."""

    def __init__(self, path, token, instance=HEX32, facts=(), conn=1, features="-"):
        who = wire.Token(token)
        self.name, self.secret = who.name, who.secret
        self.link = wire.Link(wire.dial("unix:" + path, seconds=PATIENCE_S), "master", pongs=True)
        self.features = features
        self.hello(instance, conn, facts)

    def hello(self, instance, conn, facts):
        usual = [("secret", self.secret), ("os", "linux"), ("cores", "1"), ("uid", str(os.getuid() + 1)), ("work", "/nowhere")]
        told = [*(x for x in usual if x[0] not in {k for k, _ in facts}), *facts]
        self.send("hello", 1, self.name, instance, BOOT, conn, "0-0", self.features, blob=wire.records(*told))

    def send(self, verb, *tokens, blob=None):
        self.link.send(verb, *tokens, blob=blob)

    def raw(self, data):
        self.link.write(data)

    def next(self, *verbs):
        """The next message of one of those verbs (any, where none are given); pings are answered, others are passed over."""
        while True:
            m = self.link.receive(PATIENCE_S)
            if m is None:
                raise TimeoutError(f"no {verbs} in {PATIENCE_S} s")
            if not verbs or m.verb in verbs:
                return m.verb, m.args, m.blob

    def ready(self):
        """Through the greeting, with nothing in the spool."""
        verb, tokens, blob = self.next("welcome", "no", "busy")
        if verb != "welcome":
            raise AssertionError((verb, tokens, blob))
        self.send("listed", 0)
        return self

    def command(self):
        """The next command: its id, its epoch, its records."""
        _, (cmd, _, epoch, _), blob = self.next("run")
        self.send("state", cmd, epoch, "accepted")
        return cmd, epoch, read_records(blob)

    def exit(self, cmd, epoch, how="exited", code=0, reason="-", length=0, crc="00000000", lines=0, detail=None):
        self.send("exit", cmd, epoch, how, code, reason, length, crc, lines, 1, 1, 1, 1, blob=detail)

    def out(self, cmd, data, off=0, **lie):
        """One chunk of stdout; lie: what is told instead of the truth, by the tokens' names, `spans` and `body` as bytes."""
        spans, body = lie.pop("spans", None), lie.pop("body", None)
        m = wire.out(cmd, 0, off, data, [(0, len(data), 0)], table=spans, body=body)
        for name, value in lie.items():
            m.args[wire.VERBS["out"].tokens.index(name)] = str(value)
        self.link.write(m.encode())

    def close(self):
        self.link.close()
