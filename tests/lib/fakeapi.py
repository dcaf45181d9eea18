"""A scripted API server on a unix socket, for tests of the command line: answers from a table, keeps what it was asked, and can break off anywhere."""
import json, os, re, socket, socketserver, threading, zlib
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit


class Cut(Exception):
    """Raised by a route: the connection ends here, without a proper end."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = 0

    def log_message(self, *a):
        pass

    def address_string(self):
        return 'unix'

    def handle_all(self):
        size = int(self.headers.get('Content-Length') or 0)
        body = self.rfile.read(size)
        parts = urlsplit(self.path)
        self.query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
        asked = Asked(self.command, self.path, parts.path, self.query, dict(self.headers), body)
        fake = self.server.fake
        with fake.lock:
            fake.asked.append(asked)
        try:
            fake.answer(self, asked)
        except (Cut, BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            try:
                self.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    do_GET = do_POST = do_DELETE = handle_all

    def send_json(self, value, status=200, headers=()):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response_only(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        for k, v in headers:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)

    def error(self, status, code, message, help=None, headers=()):
        self.send_json({'error': {'code': code, 'message': message, 'help': help}}, status, headers)

    def begin(self, kind, headers=()):
        """A chunked answer; then chunk() and end()."""
        self.send_response_only(200)
        self.send_header('Content-Type', kind)
        self.send_header('Transfer-Encoding', 'chunked')
        for k, v in headers:
            self.send_header(k, v)
        self.end_headers()

    def chunk(self, data):
        if data:
            self.wfile.write(b'%x\r\n%s\r\n' % (len(data), data))

    def end(self):
        self.wfile.write(b'0\r\n\r\n')


class Asked:
    def __init__(self, method, target, path, query, headers, body):
        self.method, self.target, self.path, self.query, self.headers, self.body = method, target, path, query, headers, body

    @property
    def json(self):
        return json.loads(self.body) if self.body else None

    def __repr__(self):
        return '%s %s %s' % (self.method, self.target, self.body)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self):
        sock, _ = super().get_request()
        with self.fake.lock:
            self.fake.links.append(sock)
        return sock, ('unix', 0)

    def handle_error(self, request, client_address):
        if not self.fake.stopping:
            super().handle_error(request, client_address)


class Fake:
    """routes: ['METHOD regex', value or function(handler, asked, *groups)], the first that matches the path wins."""

    def __init__(self, path):
        self.path, self.lock, self.asked, self.links, self.routes = path, threading.RLock(), [], [], []
        self.server, self.stopping = None, False
        self.changed = threading.Condition(self.lock)
        self.events = []
        self.start()

    def start(self):
        self.stopping = False
        self.server = Server(self.path, Handler)
        self.server.fake = self
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True).start()

    def stop(self):
        """As kill -9: all connections end, nobody listens."""
        self.stopping = True
        self.server.shutdown()
        self.server.server_close()
        os.unlink(self.path)
        with self.lock:
            links, self.links = self.links, []
            self.changed.notify_all()
        for sock in links:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def on(self, what, value):
        method, pattern = what.split(' ', 1)
        self.routes.insert(0, (method, re.compile(pattern + r'\Z'), value))

    def answer(self, handler, asked):
        for method, pattern, value in self.routes:
            match = method == asked.method and pattern.match(asked.path)
            if not match:
                continue
            if callable(value):
                value(handler, asked, *map(unquote, match.groups()))
            else:
                handler.send_json(value)
            return
        handler.error(404, 'not_found', 'there is no ' + asked.path)

    def requests(self, method='GET', pattern='.*'):
        with self.lock:
            return [a for a in self.asked if a.method == method and re.match(pattern + r'\Z', a.path)]

    def tell(self, object, type='x', body=None):
        """An event; wakes who serves events() and wait_for()."""
        with self.lock:
            n = len(self.events) + 1
            self.events.append({'number': n, 'at': 0, 'type': type, 'object': object, 'body': body or {}})
            self.changed.notify_all()

    def serve_events(self, handler, asked):
        at = int(asked.headers.get('Last-Event-ID', len(self.events)))
        handler.begin('text/event-stream')
        handler.chunk(b'retry: 1000\n\n')
        while not self.stopping:
            with self.lock:
                while at >= len(self.events) and not self.stopping:
                    if not self.changed.wait(0.2):
                        break
                new = self.events[at:]
            for e in new:
                handler.chunk(('id: %d\nevent: %s\ndata: %s\n\n' % (e['number'], e['type'], json.dumps(e))).encode())
            at += len(new)
        raise Cut()


def gzip_of(data, chunk=65536):
    """As the master makes it: deflated pieces end to end between a gzip head and tail."""
    out = b'\x1f\x8b\x08\0\0\0\0\0\0\xff'
    for i in range(0, len(data), chunk):
        z = zlib.compressobj(1, zlib.DEFLATED, -15)
        out += z.compress(data[i:i + chunk]) + z.flush(zlib.Z_FULL_FLUSH)
    return out + b'\x03\0' + zlib.crc32(data).to_bytes(4, 'little') + (len(data) & 0xffffffff).to_bytes(4, 'little')
