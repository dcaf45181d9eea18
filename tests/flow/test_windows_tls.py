"""The Windows worker's TLS (worker/windows/tls_schannel.c) under wine, against Python's TLS: what it lets through, and what it refuses before a byte is said. wine's SChannel is GnuTLS, so this is about our half of it."""
import ctypes
import hashlib
import os
import queue
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import wine
import wire
from drover import BUILD, DEADLINE_S, ROOM

PROGRAM = os.path.join(BUILD, "windows", "schannel_main.exe")
LARGE = 8 << 20
SMALL = 100_001
V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
APPLICATION_DATA = 23
NO_13 = "this wine's SChannel has no TLS 1.3"
NO_HELLO = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"


def make_key(folder, name, *kind):
    """(certificate, key, hash of the public key)"""
    cert, key = (os.path.join(folder, f"{name}.{x}") for x in ("cert", "key"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "2", "-subj", "/CN=any", "-keyout", key, "-out", cert], check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(cert) as f:
        return cert, key, hashlib.sha256(wire.spki_of(ssl.PEM_cert_to_DER_cert(f.read()))).hexdigest()


class Session:
    """The server's side of one connection, record by record."""

    def __init__(self, sock, context):
        self.sock, self.into, self.out = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_side=True)

    def more(self):
        """What came, to TLS. False: nothing comes any more."""
        got = self.sock.recv(65536)
        if got:
            self.into.write(got)
        else:
            self.into.write_eof()
        return bool(got)

    def flight(self, do, *args):
        """What `do` makes of what has come, and the bytes that it wants sent; (None, bytes): it needs more."""
        try:
            done = do(*args)
            return (True if done is None else done), self.out.read()
        except ssl.SSLWantReadError:
            return None, self.out.read()
        except ssl.SSLError:
            self.sock.sendall(self.out.read())  # the alert
            raise

    def until(self, do, *args, send=None):
        while True:
            done, made = self.flight(do, *args)
            if made:
                (send or self.sock.sendall)(made)
            if done is not None:
                return done
            self.more()

    def shake(self, send=None):
        self.until(self.tls.do_handshake, send=send)
        return self

    def say(self, data):
        self.sock.sendall(self.sealed(data))

    def sealed(self, data):
        self.tls.write(data)
        return self.out.read()

    def read(self, n=65536):
        return self.until(self.tls.read, n)

    def rest(self):
        """All that comes until the client's goodbye; an end without one is an error."""
        got = b""
        try:
            while part := self.read():
                got += part
        except ssl.SSLZeroReturnError:
            pass
        return got


def echo(session, midway=None, first=0):
    """Sends back what comes, in pieces of its own, the `first` bytes when all of them are there. The hash of it all, at the goodbye."""
    seen, held = hashlib.sha256(), b""
    while len(held) < first:
        held += session.read()
    seen.update(held)
    if held:
        session.say(held)
    try:
        while part := session.read(30011):
            seen.update(part)
            for at in range(0, len(part), 7001):
                session.say(part[at:at + 7001])
            if midway:
                midway(session)
                midway = None
    except ssl.SSLZeroReturnError:
        pass
    return seen.hexdigest()


class Client:
    """The program, connected to a server that is serve(socket) in a thread. `served`: what that returned or raised."""

    def __init__(self, prefix, serve, pins, size, room=None):
        self.listener = socket.create_server(("127.0.0.1", 0))
        if room:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.listener.settimeout(DEADLINE_S)
        self.results = queue.Queue()
        threading.Thread(target=self.run, args=(serve,), daemon=True).start()
        self.process = prefix.start(PROGRAM, str(self.listener.getsockname()[1]), ",".join(pins), str(size))

    def run(self, serve):
        try:
            with self.listener, self.listener.accept()[0] as sock:
                sock.settimeout(DEADLINE_S)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.results.put(serve(sock))
        except Exception as e:  # the test looks at it
            self.results.put(e)

    def line(self):
        return self.process.stdout.readline().strip()

    def end(self):
        """(the last line that it said, what was served)"""
        lines = self.process.communicate(timeout=2 * DEADLINE_S)[0].split("\n")
        self.peer = next((x.split()[1] for x in lines if x.startswith("peer ")), None)
        return lines[-2] if len(lines) > 1 else "", self.results.get(timeout=DEADLINE_S)


# What Python's TLS can't be asked for, OpenSSL itself is: CPython keeps its objects right behind its own two words (and a session's behind the socket).
LIB = ctypes.CDLL("libssl.so.3")
CHOOSER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_char), ctypes.c_uint, ctypes.c_void_p)
ALERT_FATAL = 2


def inner(thing, words):
    return ctypes.c_void_p(ctypes.c_void_p.from_address(id(thing) + words * ctypes.sizeof(ctypes.c_void_p)).value)


def refusing(context, offers):
    """The context of a server to which no protocol is good enough; what it was offered goes to `offers`."""
    def choose(_ssl, _out, _length, offered, n, _arg):
        offers.append(offered[:n])
        return ALERT_FATAL
    context.kept = CHOOSER(choose)
    LIB.SSL_CTX_set_alpn_select_cb(inner(context, 2), context.kept, None)
    return context


def new_keys(session):
    assert LIB.SSL_key_update(inner(session.tls._sslobj, 3), 1) == 1


def asks_again(session):
    """Asks the client for another handshake of TLS 1.2."""
    assert LIB.SSL_renegotiate(inner(session.tls._sslobj, 3)) == 1
    _, made = session.flight(session.tls.do_handshake)
    session.sock.sendall(made)
    return session.sock.recv(65536)


MISSING = wine.missing() or (None if os.path.exists(PROGRAM) else "make windows")


@unittest.skipIf(MISSING, MISSING)
class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="wine-", dir=ROOM)
        cls.key = make_key(cls.folder, "ec", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        cls.pin = cls.key[2]
        cls.prefix = wine.Prefix(os.path.join(cls.folder, "prefix"))
        cls.has_13 = Client(cls.prefix, lambda sock: echo(Session(sock, cls.context(V13)).shake()), (cls.pin,), 1).end()[0].startswith("echoed")

    @classmethod
    def tearDownClass(cls):
        cls.prefix.close()
        shutil.rmtree(cls.folder)

    @classmethod
    def context(cls, version=V12, key=None, alpn="drover"):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(*(key or cls.key)[:2])
        c.minimum_version = c.maximum_version = version
        if alpn:
            c.set_alpn_protocols([alpn])
        return c

    def client(self, serve, *pins, size=SMALL, room=None):
        return Client(self.prefix, serve, pins or (self.pin,), size, room)

    def refused(self, serve, *pins, size=SMALL, how="failed EPROTO"):
        """What was served to a client that then gave up."""
        client = self.client(serve, *pins, size=size)
        said, served = client.end()
        self.assertEqual(said, how, str(served)[:200])
        if isinstance(served, AssertionError):
            raise served
        return served

    def echoed(self, context, *pins, size=SMALL, send=None, midway=None, room=None, first=0):
        """The server's side of a session that went well."""
        def serve(sock):
            s = Session(sock, context).shake(send and (lambda data: send(sock, data)))
            return s, echo(s, midway, first)
        client = self.client(serve, *pins, size=size, room=room)
        said, served = client.end()
        self.assertEqual(said.split()[0], "echoed", str(served)[:200])
        self.assertEqual((client.peer, said.split()[1]), (self.pin, served[1]))
        return served[0].tls

    def after(self, act, how, version=V12, size=0):
        """A server that does something when the handshake is over: the client's last word is `how`."""
        def serve(sock):
            s = Session(sock, self.context(version)).shake()
            s.read(1)  # the client is content, too
            return act(s)
        return self.refused(serve, how=how, size=size or 1)

    def end_of(self, sock):
        """What comes until the client closes; a connection that is cut off is an end, too."""
        got = b""
        try:
            while part := sock.recv(65536):
                got += part
        except ConnectionResetError:
            pass
        return got

    # ---- sessions ----

    def whole(self, version, name):
        tls = self.echoed(self.context(version), size=LARGE)
        self.assertEqual((tls.version(), tls.selected_alpn_protocol()), (name, "drover"))

    def test_8_mib_both_ways(self):
        self.whole(V12, "TLSv1.2")

    def test_8_mib_both_ways_by_tls_1_3(self):
        if not self.has_13:
            self.skipTest(NO_13)
        self.whole(V13, "TLSv1.3")

    def test_records_that_the_socket_takes_in_parts(self):
        """And no answer comes that could wake the client up, before the last byte is there."""
        self.echoed(self.context(), size=SMALL, room=4096, first=SMALL)

    def test_a_server_without_protocols(self):
        self.assertIsNone(self.echoed(self.context(alpn=None)).selected_alpn_protocol())

    def test_any_of_the_pins(self):
        self.echoed(self.context(), "0" * 64, self.pin)

    def test_a_handshake_byte_by_byte(self):
        def trickle(sock, data):
            for i in range(len(data)):
                sock.sendall(data[i:i + 1])
        self.echoed(self.context(), send=trickle)

    def test_a_server_that_would_like_a_certificate(self):
        c = self.context()
        c.verify_mode = ssl.CERT_OPTIONAL
        c.load_verify_locations(self.key[0])
        self.assertIsNone(self.echoed(c).getpeercert())

    def test_nothing_is_said_of_names(self):
        names = []
        c = self.context()
        c.sni_callback = lambda _, name, __: names.append(name)
        self.echoed(c)
        self.assertEqual(names, [None])

    # ---- who is refused ----

    def untrusted(self, context, *pins):
        """Nothing was said to who isn't trusted: reading has failed, by an alert or (wine's SChannel makes none) by the end."""
        client = self.client(lambda sock: Session(sock, context).shake().read(), *pins)
        said, served = client.end()
        self.assertEqual(said, "failed EPROTO")
        self.assertIsInstance(served, OSError)  # as all of Python's TLS errors are
        return client.peer

    def test_another_key(self):
        for version in (V12, V13)[:1 + self.has_13]:
            with self.subTest(version):
                self.assertEqual(self.untrusted(self.context(version), "0" * 64, "f" * 64), self.pin)  # which is told, for people

    def test_the_right_key_of_a_wrong_kind(self):
        key = make_key(self.folder, "rsa", "rsa:2048")
        self.assertEqual(self.untrusted(self.context(key=key), key[2]), key[2])

    def test_tls_1_1(self):
        with warnings.catch_warnings(action="ignore"):
            c = self.context(ssl.TLSVersion.TLSv1_1)
        c.set_ciphers("ALL:@SECLEVEL=0")
        self.refused(lambda sock: Session(sock, c).shake().read())

    def test_another_protocol(self):
        """A server that speaks another and so refuses ours. (An answer with one that was not offered is nothing to GnuTLS, so wine can't show what becomes of that.)"""
        offers = []
        served = self.refused(lambda sock: Session(sock, refusing(self.context(alpn=None), offers)).shake())
        self.assertEqual((offers, served.reason), ([b"\x06drover"], "NO_APPLICATION_PROTOCOL"))

    # ---- what is no TLS, or not all of it ----

    def test_a_server_that_says_nothing(self):
        go = threading.Event()
        client = self.client(lambda sock: (go.wait(DEADLINE_S), len(sock.recv(4096))))
        self.assertEqual(client.line(), "again")
        go.set()
        said, served = client.end()
        self.assertEqual((said, served[0], served[1] > 100), ("failed ECONNRESET", True, True))

    def test_garbage(self):
        for name, bad in (("http", NO_HELLO), ("a long record", b"\x16\x03\x03\xff\xff"), ("an empty record", b"\x16\x03\x03\0\0"), ("another version", b"\x16\x02\x03"), ("not a handshake", b"\x17\x03\x03\0\x20" + bytes(32)),
                          ("a message without end", (b"\x16\x03\x03\x40\0" + b"\x02\xff\xff\xff" + bytes(16380)) * 8)):
            with self.subTest(name):
                def serve(sock):
                    sock.sendall(bad)
                    return self.end_of(sock)  # the client ends it, not we
                self.refused(serve)

    def test_an_end_in_the_handshake(self):
        def serve(sock):
            sent = []
            s = Session(sock, self.context())
            while s.tls.version() is None or not sent:
                _, made = s.flight(s.tls.do_handshake)
                if made:
                    sock.sendall(made[:len(made) // 2])
                    sent.append(made)
                    return None
                s.more()
        self.refused(serve, how="failed ECONNRESET")

    def test_goodbye(self):
        def bye(s):
            _, made = s.flight(s.tls.unwrap)
            s.sock.sendall(made)
            return s.rest()
        self.assertEqual(self.after(bye, "closed"), b"")

    def test_no_goodbye(self):
        self.after(lambda s: s.sock.shutdown(socket.SHUT_WR), "failed ECONNRESET")

    def test_a_record_that_is_cut(self):
        self.after(lambda s: (s.sock.sendall(s.sealed(b"x" * 1000)[:-1]), s.sock.shutdown(socket.SHUT_WR)), "failed ECONNRESET")

    def test_a_record_that_is_changed(self):
        def change(s):
            data = bytearray(s.sealed(b"x" * 1000))
            data[500] ^= 1
            s.sock.sendall(data)
            return self.end_of(s.sock)
        self.after(change, "failed EPROTO")

    def test_garbage_behind_the_handshake(self):
        self.after(lambda s: (s.sock.sendall(NO_HELLO), self.end_of(s.sock)), "failed EPROTO")

    def test_new_keys(self):
        """TLS 1.3: the server takes new ones, and wants that of the client."""
        if not self.has_13:
            self.skipTest(NO_13)
        self.echoed(self.context(V13), midway=new_keys, size=LARGE // 8)

    def test_renegotiation(self):
        """Nobody needs it: what comes instead of the client's greeting is its end."""
        self.assertEqual(self.after(asks_again, "failed EPROTO"), b"")


if __name__ == "__main__":
    unittest.main()
