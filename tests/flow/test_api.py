#!/usr/bin/python3
"""The HTTP API against a PostgreSQL of its own with rows put in by hand: reading, logs byte for byte, following, events, refusals.

DROVER_API names the program to test (tests/lib/api_main.c, built), or DROVER_MASTER the real master: then what depends on a world that stands still is left out.
Needs PostgreSQL's programs. Folders are made under DROVER_ROOM or /var/tmp and removed."""
import base64, concurrent.futures, glob, gzip, http.client, json, os, pwd, random, select, shutil, signal, socket, subprocess, sys, tempfile, threading, time, unittest, zlib

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'tests', 'lib'))
from drover import BUSY, busy  # noqa: E402

PROGRAM = os.environ.get('DROVER_API') or os.path.join(TOP, 'build', 'tests', 'api_main')
MASTER = os.environ.get('DROVER_MASTER')
URL = 'https://ci.example.org/drover/'
DEADLINE = 20 * BUSY
LOOKS_S = 3  # followers look so often even if nobody told them (LOOK_TICKS)


class Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout=DEADLINE):
        super().__init__('localhost', timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def until(what, seconds=DEADLINE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError('waited %d s in vain' % seconds)


def all_well(threads, work):
    """work(n) in so many threads at once; what one of them raises is raised here."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, n) for n in range(threads)]:
            done.result()


class World:
    """A PostgreSQL with our schema, and the API on it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix='drover-api-', dir=os.environ.get('DROVER_ROOM') or '/var/tmp')
        self.socket = os.path.join(self.folder, 'api.sock')
        self.master = None
        self.as_user = []
        if os.getuid() == 0:
            shutil.chown(self.folder, 'postgres')
            self.as_user = ['setpriv', '--reuid', 'postgres', '--regid', 'postgres', '--clear-groups']
        self.bin = sorted(glob.glob('/usr/lib/postgresql/*/bin'))[-1]
        self.data = os.path.join(self.folder, 'pg')
        self.run([self.bin + '/initdb', '-D', self.data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N'])
        self.pg_start()
        unittest.addModuleCleanup(self.close)
        self.psql('-c', 'create database drover', db='postgres')
        if not MASTER: # the master makes its schema itself
            for step in sorted(glob.glob(os.path.join(TOP, 'master/db/schema_*.sql'))):
                self.psql('-1', '-f', step)
        self.start()

    def run(self, argv, **kw):
        return subprocess.run(self.as_user + argv, cwd=self.folder, check=True, stdout=subprocess.DEVNULL, **kw)

    def pg_start(self):
        self.run([self.bin + '/pg_ctl', '-D', self.data, '-w', '-l', self.folder + '/pg.log', '-o', "-c listen_addresses='' -k %s" % self.folder, 'start'])

    def pg_stop(self):
        self.run([self.bin + '/pg_ctl', '-D', self.data, '-w', '-m', 'immediate', 'stop'])

    def psql(self, *args, db='drover', **kw):
        return subprocess.run([self.bin + '/psql', '-h', self.folder, '-U', 'postgres', '-d', db, '-qAtX', '-v', 'ON_ERROR_STOP=1', *args], check=True, stdout=subprocess.PIPE, **kw).stdout.decode()

    def sql(self, text):
        return self.psql('-1', '-f', '-', input=text.encode()).strip()

    def argv(self, state='state'):
        conninfo = 'host=%s user=postgres dbname=drover' % self.folder
        if not MASTER:
            return [PROGRAM, conninfo, self.socket, '127.0.0.1:0', URL]
        file = os.path.join(self.folder, state + '.yaml')
        with open(file, 'w') as f:
            f.write('site: {name: test, url: "%s"}\nstate: %s\nlisten: {socket: %s, api: "127.0.0.1:0", workers: "127.0.0.1:0"}\ndatabase: "%s"\n' % (URL, os.path.join(self.folder, state), self.socket, conninfo))
        return [MASTER, '--config', file]

    def start(self):
        self.log = open(self.folder + '/api.log', 'ab')
        self.master = subprocess.Popen(self.argv(), stdout=subprocess.DEVNULL, stderr=self.log)

        def up():
            assert self.master.poll() is None, open(self.folder + '/api.log').read()
            try:
                status = self.get('/status')
                return status['database']['up'] and status
            except (OSError, http.client.HTTPException):
                return None
        self.port = until(up)['listen']['api']

    def stop(self):
        self.master.send_signal(signal.SIGTERM)
        code = self.master.wait(DEADLINE)
        self.log.close()
        return code

    def close(self):
        code = self.stop() if self.master else 0
        self.pg_stop()
        with open(self.folder + '/api.log') as f:
            log = f.read()
        shutil.rmtree(self.folder)
        if code or 'ERROR' in log:
            raise AssertionError('the program ended with %d:\n%s' % (code, log[-4000:]))

    # ---- asking ----

    def ask(self, method, path, body=None, headers={}, tcp=False, conn=None):
        c = conn or (http.client.HTTPConnection('127.0.0.1', self.port, timeout=DEADLINE) if tcp else Unix(self.socket))
        c.request(method, path, body, headers)
        r = c.getresponse()
        r.body = r.read()
        if not conn:
            c.close()
        return r

    def get(self, path, **kw):
        r = self.ask('GET', '/api/v1' + path, **kw)
        assert r.status == 200, (path, r.status, r.body)
        return json.loads(r.body)

    def raw(self, data, tcp=False):
        s = socket.create_connection(('127.0.0.1', self.port), DEADLINE) if tcp else socket.socket(socket.AF_UNIX)
        if not tcp:
            s.settimeout(DEADLINE)
            s.connect(self.socket)
        with s:
            out = b''
            try:
                s.sendall(data)
            except (BrokenPipeError, ConnectionResetError):  # it had read enough
                pass
            try:
                while True:
                    part = s.recv(65536)
                    if not part:
                        break
                    out += part
                    head, sep, rest = out.partition(b'\r\n\r\n')
                    length = [l for l in head.split(b'\r\n') if l.lower().startswith(b'content-length:')]
                    if sep and length and len(rest) >= int(length[0].split(b':')[1]):
                        break
            except ConnectionResetError:
                pass
            return out

    # ---- rows ----

    def add_log(self, command, step, build, data, complete=True, name='run', size=65536):
        n = int(self.sql("insert into log (command, step, build, name, epoch_inc, epoch, complete) values (%d, %d, %d, '%s', 1, 1, false) returning id" % (command, step, build, name)))
        self.append(n, data, 0, complete, size)
        return n

    def append(self, log, data, off, complete=False, size=65536):
        """Chunks as a worker makes them, in one transaction."""
        rows, stored, crc_all = [], 0, 0
        for at in range(0, len(data), size):
            part = data[at:at + size]
            z = zlib.compressobj(1, zlib.DEFLATED, -15)
            out = z.compress(part) + z.flush(zlib.Z_FULL_FLUSH)
            stored += len(out)
            rows.append('%d\t%d\t%d\t%d\t0\t%d\t\\\\x00\t\\\\x%s' % (log, off + at, len(part), part.count(b'\n'), zlib.crc32(part), out.hex()))
        text = 'begin;\ncopy log_chunk (log, off, raw, lines, line_no, crc, spans, z) from stdin;\n' + ''.join(r + '\n' for r in rows) + '\\.\n'
        text += 'update log set length = length + %d, stored = stored + %d, lines = lines + %d, complete = %s where id = %d;\ncommit;\n' % (len(data), stored, data.count(b'\n'), complete, log)
        self.psql('-f', '-', input=text.encode())

    def tell(self):
        """What the writers of events and logs do after a commit; rows put in by hand are found by the master's own sweeps, a little later."""
        if not MASTER:
            self.master.send_signal(signal.SIGUSR1)


FIXED = """
insert into project (name) values ('libfoo'), ('libbar');
insert into builder (project, name) values (1, 'linux'), (1, 'dist'), (2, 'dist');
insert into worker (name, slots, tags, facts) values ('here', 2, '{debian,"x y"}', '{"os": "linux"}'), ('gone', 1, '{}', '{}');
insert into master (host, pid) values ('h', 1);
insert into worker_session (worker, instance, boot, conn, master, connected, peer) values (1, 'abc', 'def', 3, 1, true, '10.0.0.1:5');
insert into change (project, repository, branch, revision, author, message, files, told_by, state) values
  (1, 'r', 'main', 'aaaa', 'Ann <a@x>', E'Fix "it"\\nfor good \u00e4', '["a.c", "b\\"c"]', 'git poller', 'decided'), (1, 'r', 'main', 'bbbb', 'Bob', 'two', '[]', 'git poller', 'reading'),
  (2, 'r', 'x', 'cccc', 'Bob', 'three', '[]', 'change send', 'decided');
insert into sourcestamp (hash, project, repository, branch, revision) values ('h1', 1, 'r', 'main', 'aaaa'), ('h2', 2, 'r', 'x', '');
insert into buildset (sourcestamp, scheduler, reason, changes, who) values (1, 'commits', 'change', '{1}', null), (2, null, 'just so', '{}', 'anna');
insert into build_request (buildset, project, builder, state, tags, attempts, claimed) values (1, 1, 1, 'claimed', '{debian}', 1, now()), (1, 1, 2, 'pending', '{gpu}', 0, null), (2, 2, 3, 'done', '{}', 1, now());
update build_request set result = 2, why = 'tests failed', finished = now() where id = 3;
insert into build (request, builder, number, epoch_inc, worker, slot, properties) values (1, 1, 1, 1, 1, 0, '{"got_revision": "aaaa1"}');
insert into build (request, builder, number, epoch_inc, worker, slot, state, result, finished) values (3, 3, 7, 1, 1, 0, 'done', 2, now());
insert into step (build, number, name, kind, state, result, finished) values (1, 1, 'checkout', 'git', 'done', 0, now()), (1, 2, 'test', 'shell', 'run', null, null), (2, 1, 'test', 'shell', 'done', 2, now()), (2, 2, 'empty', 'shell', 'done', 0, now()), (2, 3, 'big', 'shell', 'done', 0, now());
insert into command (id, inc, build, step, name, spec, instance, boot, state, how, code) select n, 1, b, s, c, ('\\x' || encode(convert_to('arg=sh|arg=-c|arg=echo ' || c || '|env=A=b|', 'UTF8'), 'hex'))::bytea, 'abc', 'def', st, 'exited', 0
  from (values (1, 1, 1, 'clone', 'done'), (2, 1, 1, 'clean', 'done'), (3, 1, 2, 'run', 'open'), (4, 2, 3, 'run', 'done'), (5, 2, 4, 'run', 'done'), (6, 2, 5, 'run', 'done')) v (n, b, s, c, st);
update command set spec = decode(replace(encode(spec, 'hex'), '7c', '00'), 'hex');
select setval('command_number', 100);
insert into event (number, at, type, object, body) select n, now(), 'test.old', 'libfoo/linux/' || n, jsonb_build_object('n', n) from generate_series(1, 250) n;
update event_cursor set last = 250;
"""


def setUpModule():
    global W, BIG
    W = World()
    W.sql(FIXED)
    rnd = random.Random(7)
    BIG = b''.join(base64.b64encode(rnd.randbytes(rnd.randrange(10, 2000))) + b'\n' for _ in range(15000))
    W.add_log(1, 1, 1, b'cloning\n')
    W.add_log(2, 1, 1, b'cleaning\n\x00\xff\xfe<script>\n')
    W.add_log(4, 3, 2, b'one\ntwo\n' * 10, size=7)
    W.add_log(5, 4, 2, b'')
    W.add_log(6, 5, 2, BIG)


@unittest.skipIf(MASTER, 'dispatch would move these rows')
class Reading(unittest.TestCase):
    def test_status(self):
        s = W.get('/status')
        self.assertEqual(s['counts'], {'pending': 1, 'waiting': 0, 'running': 1, 'workers_connected': 1})
        self.assertEqual((s['database']['up'], s['running'][0]['id'], s['waiting'][0]['id'], s['listen']['api']), (True, 'libfoo/linux/1', 'r2', W.port))

    def test_builders(self):
        b = W.get('/builders')['items']
        self.assertEqual([x['id'] for x in b], ['libbar/dist', 'libfoo/dist', 'libfoo/linux'])
        self.assertEqual((b[0]['last']['id'], b[0]['running'], b[1]['last'], b[1]['pending'], b[2]['running'][0]['id']), ('libbar/dist/7', [], None, 1, 'libfoo/linux/1'))

    def test_build(self):
        b = W.get('/builds/libfoo/linux/1')
        self.assertEqual((b['state'], b['result'], b['result_text'], b['got_revision'], b['request'], b['buildset'], b['worker'], b['finished']),
                         ('running', None, None, 'aaaa1', 'r1', 's1', 'here', None))
        self.assertEqual([(s['name'], s['result_text'], len(s['commands'])) for s in b['steps']], [('checkout', 'success', 2), ('test', None, 1)])
        c = b['steps'][0]['commands'][0]
        self.assertEqual((c['id'], c['argv']), ('1-1', ['sh', '-c', 'echo clone']))
        self.assertEqual([(l['command'], l['length'], l['complete']) for l in b['steps'][0]['logs']], [('1-1', 8, True), ('1-2', 21, True)])
        self.assertEqual(W.get('/builds/linux/last')['id'], 'libfoo/linux/1')
        self.assertEqual(W.get('/builds/libbar/dist/last')['id'], 'libbar/dist/7')
        self.assertEqual(W.ask('GET', '/api/v1/builds/dist/7').status, 409)
        for path in ('libfoo/linux/2', 'libfoo/nix/1', 'x/linux/1', 'linux/x', 'libfoo/linux/01'):
            r = W.ask('GET', '/api/v1/builds/' + path)
            self.assertEqual((r.status, json.loads(r.body)['error']['code']), (404, 'not_found'))

    def test_builds(self):
        self.assertEqual([b['id'] for b in W.get('/builds')['items']], ['libbar/dist/7', 'libfoo/linux/1'])
        one = W.get('/builds?limit=1')
        self.assertEqual([b['id'] for b in W.get('/builds?limit=1&before=%d' % one['next'])['items']], ['libfoo/linux/1'])
        for query, ids in (('builder=libfoo/linux', ['libfoo/linux/1']), ('state=running', ['libfoo/linux/1']), ('state=done', ['libbar/dist/7']), ('branch=x', ['libbar/dist/7']),
                           ('buildset=s1', ['libfoo/linux/1']), ('builder=libfoo%2Flinux&state=done', [])):
            self.assertEqual([b['id'] for b in W.get('/builds?' + query)['items']], ids)
        for query in ('limit=0', 'limit=1001', 'limit=x', 'before=-1', 'stat=x', 'builder=linux', 'limit=1&limit=2'):
            self.assertEqual(W.ask('GET', '/api/v1/builds?' + query).status, 400, query)

    def test_requests(self):
        r = W.get('/requests/r1')
        self.assertEqual((r['builds'], r['tags'], r['state'], r['attempts']), (['libfoo/linux/1'], ['debian'], 'claimed', 1))
        self.assertEqual(W.get('/requests/1')['id'], 'r1')
        for query, ids in (('', ['r3', 'r2', 'r1']), ('?state=pending', ['r2']), ('?state=claimed', ['r1']), ('?state=done', ['r3']), ('?builder=libbar/dist', ['r3']), ('?buildset=1', ['r2', 'r1'])):
            self.assertEqual([x['id'] for x in W.get('/requests' + query)['items']], ids)
        s = W.get('/buildsets/s1')
        self.assertEqual((s['scheduler'], s['changes'], [x['id'] for x in s['requests']]), ('commits', ['c1'], ['r2', 'r1']))
        self.assertEqual(W.ask('GET', '/api/v1/requests/r99').status, 404)

    def test_why(self):
        w = W.get('/requests/r2/why')
        self.assertEqual((w['state'], w['reason']['kind'], w['reason']['object']), ('pending', 'no_worker', 'gpu'))
        self.assertIn('Scheduler commits asked for it because of c1', w['reason']['text'])
        w = W.get('/requests/r1/why')
        self.assertEqual((w['reason']['kind'], w['reason']['object']), ('running', 'libfoo/linux/1'))
        w = W.get('/requests/r3/why')
        self.assertEqual(w['reason']['kind'], 'failure')
        self.assertIn('tests failed', w['reason']['text'])
        self.assertIn('anna asked for it (just so)', w['reason']['text'])

    def test_changes(self):
        c = W.get('/changes/c1')
        self.assertEqual((c['message'], c['files'], c['buildsets'], c['why']), ('Fix "it"\nfor good ä', ['a.c', 'b"c'], ['s1'], None))
        self.assertIn('being read', W.get('/changes/c2')['why'])
        self.assertIn('no scheduler', W.get('/changes/c3')['why'])
        self.assertEqual([x['id'] for x in W.get('/changes?project=libfoo')['items']], ['c2', 'c1'])
        self.assertEqual([x['id'] for x in W.get('/changes?branch=x')['items']], ['c3'])

    def test_workers(self):
        w = W.get('/workers')['items']
        self.assertEqual([(x['name'], x['connected'], x['used'], x['tags']) for x in w], [('gone', False, 0, []), ('here', True, 1, ['debian', 'x y'])])
        w = W.get('/workers/here')
        self.assertEqual((w['facts'], [b['id'] for b in w['running']], w['peer']), ({'os': 'linux'}, ['libfoo/linux/1'], '10.0.0.1:5'))
        self.assertEqual((w['disk'], w['folders'], w['keep_work']), (None, [], 14 * 86400000))

    def test_headers_and_head(self):
        for path in ('/api/v1/status', '/api/v1/nothing', '/api/v1/builds/libbar/dist/7/logs/test'):
            r = W.ask('GET', path)
            self.assertEqual((r.getheader('X-Content-Type-Options'), r.getheader('Cache-Control'), r.getheader('Server')), ('nosniff', 'no-store', None))
            self.assertIn("default-src 'none'", r.getheader('Content-Security-Policy'))
            h = W.ask('HEAD', path)
            self.assertEqual((h.status, h.body), (r.status, b''))
            if path != '/api/v1/status':
                self.assertEqual(h.getheader('Content-Length'), r.getheader('Content-Length'))
        self.assertIn(b'/api/v1', W.ask('GET', '/', tcp=True).body)

    def test_keep_alive(self):
        c = Unix(W.socket)
        for _ in range(50):
            self.assertEqual(W.ask('GET', '/api/v1/changes/c1', conn=c).status, 200)
        c.close()


@unittest.skipIf(MASTER, 'the real ones have their own tests')
class Actions(unittest.TestCase):
    JSON = {'Content-Type': 'application/json'}

    def test_all(self):
        who = pwd.getpwuid(os.getuid()).pw_name
        for method, path, id in (('POST', '/builds', ''), ('POST', '/builds/libfoo/linux/1/rerun', 'libfoo/linux/1'), ('POST', '/requests/118/cancel', 'r118'), ('POST', '/buildsets/s7/cancel', 's7'),
                                 ('POST', '/changes', ''), ('DELETE', '/workers/here', 'here'), ('POST', '/workers/here/clean', 'here'), ('POST', '/master/stop', '')):
            r = W.ask(method, '/api/v1' + path, '{"a": 1}', self.JSON)
            b = json.loads(r.body)
            self.assertEqual((r.status, b['id'], b['who'], b['args']), (201, id, who, {'a': 1}))
            self.assertEqual(json.loads(W.ask(method, '/api/v1' + path).body)['args'], None)

    def test_bodies(self):
        for body, headers in (('{}', {}), ('{}', {'Content-Type': 'text/plain'}), ('[]', self.JSON), ('{', self.JSON), ('{} x', self.JSON), (b'{"a": "\xff"}', self.JSON), (b'{}\0', self.JSON),
                              ('{"a":' * 5000, self.JSON)):
            self.assertEqual(W.ask('POST', '/api/v1/builds', body, headers).status, 400, body[:20])
        self.assertEqual(W.ask('POST', '/api/v1/builds', '{"a": "%s"}' % ('x' * 1000000), self.JSON).status, 201)
        self.assertEqual(W.ask('POST', '/api/v1/builds', iter([b'{"a": "', b'x' * 900000, b'"}']), self.JSON).status, 201)
        self.assertIn(b' 413 ', W.raw(b'POST /api/v1/builds HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n').split(b'\r\n')[0])
        self.assertEqual(W.ask('POST', '/api/v1/builds', iter([b'x' * 65536] * 20), self.JSON).status, 413)

    def test_methods(self):
        for method, path, status, allow in (('OPTIONS', '/api/v1/status', 405, 'GET, HEAD'), ('POST', '/api/v1/status', 405, 'GET, HEAD'), ('PUT', '/api/v1/builds', 405, 'GET, HEAD, POST'),
                                            ('TRACE', '/api/v1/status', 405, 'GET, HEAD'), ('DELETE', '/api/v1/workers', 405, 'GET, HEAD, POST'), ('OPTIONS', '/api/v1/nothing', 404, None)):
            r = W.ask(method, path)
            self.assertEqual((r.status, r.getheader('Allow')), (status, allow))


class Refusals(unittest.TestCase):
    def test_tcp_is_reading(self):
        for method, path in (('POST', '/builds'), ('POST', '/builds/libfoo/linux/1/rerun'), ('POST', '/builds/libfoo/linux/1/cancel'), ('POST', '/requests/r1/cancel'), ('POST', '/buildsets/s1/cancel'),
                             ('POST', '/changes'), ('POST', '/workers'), ('DELETE', '/workers/here'), ('POST', '/workers/here/clean'), ('POST', '/master/stop')):
            for body in (None, '{}'):
                r = W.ask(method, '/api/v1' + path, body, {'Content-Type': 'application/json'}, tcp=True)
                self.assertEqual((r.status, json.loads(r.body)['error']['code']), (401, 'unauthorized'))
        self.assertIn('counts', W.get('/status', tcp=True))

    def test_host(self):
        for host, status in (('localhost', 200), ('localhost:%d' % W.port, 200), ('LOCALHOST.', 200), ('127.0.0.1', 200), ('127.1.2.3:99', 200), ('[::1]:80', 200), ('ci.example.org', 200), ('ci.example.org:8443', 200),
                             ('evil.example', 403), ('evil.example:%d' % W.port, 403), ('127.0.0.1.evil.example', 403), ('10.0.0.1', 403), ('localhost:', 403), ('localhost:x', 403), ('[::1', 403), ('', 403),
                             ('example.org', 403), ('localhost.evil', 403), ('a@localhost', 403), ('0x7f000001', 403), ('localhost/..', 403)):
            r = W.ask('GET', '/api/v1/status', headers={'Host': host}, tcp=True)
            self.assertEqual(r.status, status, host)
        self.assertIn(b' 403 ', W.raw(b'GET /api/v1/status HTTP/1.0\r\n\r\n', tcp=True).split(b'\r\n')[0])

    def test_origin(self):
        here = 'http://127.0.0.1:%d' % W.port
        for origin, status in ((here, 200), ('https://127.0.0.1:%d' % W.port, 200), ('https://ci.example.org', 200), ('http://ci.example.org', 403), ('null', 403), ('http://127.0.0.1:1', 403), ('http://evil.example', 403),
                               (here + '/', 403), ('https://ci.example.org.evil', 403), ('file://', 403), ('https://ci.example.org:444', 403)):
            for path in ('/api/v1/status', '/api/v1/events'):
                c = http.client.HTTPConnection('127.0.0.1', W.port, timeout=DEADLINE)
                c.request('GET', path, headers={'Origin': origin})
                self.assertEqual(c.getresponse().status, status, origin)
                c.close()
        for method in ('GET', 'POST'):
            self.assertEqual(W.ask(method, '/api/v1/builds', headers={'Origin': 'http://localhost'}).status, 403)

    def test_prefix(self):
        """site.url has a path: a proxy may pass it on or strip it."""
        for tcp in (False, True):
            for path in ('/drover', '/drover/', '/drover/api/v1/status', '/api/v1/status'):
                self.assertEqual(W.ask('GET', path, tcp=tcp).status, 200, path)
            for path, status in (('/drover/drover', 404), ('/drover//', 400), ('/droverx/api/v1/status', 404), ('/drover/..', 400)):
                self.assertEqual(W.ask('GET', path, tcp=tcp).status, status, path)

    def test_nobody_is_believed(self):
        """Without trusted_proxies what a proxy says is nobody's word: neither does it open anything, nor close."""
        for name in ('localhost', 'ci.example.org', 'evil.example', ''):
            for headers in ({'X-Forwarded-Host': name}, {'Forwarded': 'for=1.1.1.1;host="%s"' % name}, {'X-Forwarded-For': '127.0.0.1', 'X-Forwarded-Host': name, 'X-Forwarded-Proto': 'https'}):
                self.assertEqual(W.ask('GET', '/api/v1/status', headers=headers, tcp=True).status, 200)
                self.assertEqual(W.ask('GET', '/api/v1/status', headers={**headers, 'Host': 'evil.example'}, tcp=True).status, 403)

    def test_smuggling(self):
        end = b'Host: localhost\r\n'
        for head in (b'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', b'Content-Length: 2\r\nContent-Length: 3\r\n', b'Content-Length: 2\r\nContent-Length: 2\r\n', b'Host: localhost\r\n',
                     b'Transfer-Encoding: gzip, chunked\r\n', b'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', b'Content-Length: -1\r\n', b'Content-Length: +2\r\n', b'Content-Length: 0x2\r\n',
                     b'Content-Length: 99999999999999999999999\r\n', b'X: a\x01b\r\n', b'Origin: http://localhost\r\nOrigin: http://evil\r\n'):
            for method in (b'GET', b'POST'):
                out = W.raw(method + b' /api/v1/builds HTTP/1.1\r\n' + end + head + b'\r\n0\r\n\r\n', tcp=True)
                self.assertIn(out[9:12], (b'400', b'413', b'401', b'403'), (head, out[:200]))
                self.assertNotIn(b' 200 ', out.split(b'\r\n')[0], head)

    def test_large_heads(self):
        for data in (b'GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nX: ' + b'a' * 17000 + b'\r\n\r\n', b'GET /' + b'a' * 9000 + b' HTTP/1.1\r\nHost: localhost\r\n\r\n',
                     b'GET /' + b'a' * 60000 + b' HTTP/1.1\r\nHost: localhost\r\n\r\n', b'GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n' + b'X: a\r\n' * 5000 + b'\r\n'):
            out = W.raw(data)
            self.assertIn(out[9:10], (b'4', b''), out[:100])
        self.assertEqual(W.ask('GET', '/api/v1/builds?branch=' + 'b' * 8000).status, 200)

    def test_path_mutations(self):
        paths = []
        for base in ('/api/v1/status', '/api/v1/builds/libfoo/linux/1', '/api/v1/workers/here'):
            for m in ('%2e%2e', '..', '.', '%2f', '%5c', '\\', ';', ';.jsp', '%00', '%', '%zz', '%c0%af', '%ff', '%0a', '%0d%0aX:%20y', '//', '/', '%252e%252e', '%u002e', '%3b', '?jsp=1', '?%00', '?a=%ff', '%23', '%3f', '#x', '%7f'):
                paths += [base + m, base + '/' + m, base.replace('/api', '/' + m + '/api'), base.replace('/v1', '/v1' + m), base[:5] + m + base[5:]]
        paths += ['/RPC2', '/res/../api/v1/status', '/api/v1/../v1/status', 'http://evil/api/v1/status', '//api/v1/status', '/API/v1/status', '/api/v1/Status', '/api/v2/status', '/a' * 20, '*', '/api/v1/builds/' + 'a/' * 5]
        self.assertGreater(len(paths), 400)
        for tcp in (False, True):
            for p in paths:
                out = W.raw(b'GET ' + p.encode('latin-1') + b' HTTP/1.1\r\nHost: localhost\r\n\r\n', tcp=tcp)
                self.assertIn(out[9:10], (b'4',), (p, out[:80]))

    def test_slow(self):
        """Half heads don't keep anybody else out."""
        slow = []
        for _ in range(150):
            s = socket.create_connection(('127.0.0.1', W.port))
            s.send(b'GET /api')
            slow.append(s)
        began = time.monotonic()
        self.assertEqual(W.ask('GET', '/api/v1/status', tcp=True).status, 200)
        self.assertEqual(select.select([slow[-1]], [], [], 0)[0], [])  # still there: nobody had to go first
        slow[0].settimeout(DEADLINE)
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            try:
                slow[0].send(b'x')
                slow[0].settimeout(0.5)
                if not slow[0].recv(1):
                    break
            except socket.timeout:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
        self.assertLess(time.monotonic() - began, 13 * busy())
        for s in slow:
            s.close()


class Logs(unittest.TestCase):
    BASE = '/api/v1/builds/libbar/dist/7/logs/'

    def test_small(self):
        r = W.ask('GET', self.BASE + 'test')
        self.assertEqual((r.status, r.body, r.getheader('Content-Type'), r.getheader('X-Drover-Length'), r.getheader('X-Drover-Complete')), (200, b'one\ntwo\n' * 10, 'text/plain; charset=utf-8', '80', '1'))
        r = W.ask('GET', '/api/v1/builds/libfoo/linux/last/logs/checkout')
        self.assertEqual(r.body, b'cloning\ncleaning\n\x00\xff\xfe<script>\n')
        self.assertEqual(W.ask('GET', '/api/v1/builds/libfoo/linux/1/logs/checkout?command=1-2').body, b'cleaning\n\x00\xff\xfe<script>\n')
        for encoding in ('gzip', 'deflate, gzip;q=0.5', 'GZIP'):
            r = W.ask('GET', '/api/v1/builds/libfoo/linux/1/logs/checkout', headers={'Accept-Encoding': encoding})
            self.assertEqual((r.getheader('Content-Encoding'), gzip.decompress(r.body), int(r.getheader('Content-Length'))), ('gzip', b'cloning\ncleaning\n\x00\xff\xfe<script>\n', len(r.body)))
        for encoding in ('identity', 'gzip;q=0', 'gzip; q=0.0, br', 'xgzip', 'gzipx'):
            self.assertEqual(W.ask('GET', self.BASE + 'test', headers={'Accept-Encoding': encoding}).getheader('Content-Encoding'), None, encoding)
        self.assertEqual(W.ask('GET', self.BASE + 'empty').body, b'')
        self.assertEqual(gzip.decompress(W.ask('GET', self.BASE + 'empty', headers={'Accept-Encoding': 'gzip'}).body), b'')
        self.assertEqual(W.ask('GET', self.BASE + 'none').status, 404)
        self.assertEqual(W.ask('GET', '/api/v1/builds/libbar/dist/8/logs/test').status, 404)

    def test_from(self):
        whole = b'cloning\ncleaning\n\x00\xff\xfe<script>\n'
        for n in range(len(whole) + 2):
            r = W.ask('GET', '/api/v1/builds/libfoo/linux/1/logs/checkout?from=%d' % n, headers={'Accept-Encoding': 'gzip'})
            self.assertEqual((r.body, r.getheader('X-Drover-Length')), (whole[n:], '29'), n)
        for n in (1, 65535, 65536, 65537, 1 << 20, len(BIG) - 1):
            self.assertEqual(W.ask('GET', self.BASE + 'big?from=%d' % n).body, BIG[n:])
        self.assertEqual(W.ask('GET', self.BASE + 'big?from=x').status, 400)

    def test_big(self):
        for tcp in (False, True):
            self.assertEqual(W.ask('GET', self.BASE + 'big', tcp=tcp).body, BIG)
            r = W.ask('GET', self.BASE + 'big', headers={'Accept-Encoding': 'gzip'}, tcp=tcp)
            self.assertEqual(gzip.decompress(r.body), BIG)
        stored = bytes.fromhex(W.sql("select encode(z, 'hex') from log_chunk where log = (select id from log where step = 5) order by off").replace('\n', ''))
        self.assertEqual(r.body[10:-10], stored)

    def test_many_readers_and_quitters(self):
        def read(n):
            c, quit_at = Unix(W.socket), n * 700001
            c.request('GET', self.BASE + 'big', headers={'Accept-Encoding': 'gzip'} if quit_at % 2 else {})
            r = c.getresponse()
            while quit_at > 0 and r.read(min(quit_at, 100000)):
                quit_at -= 100000
            c.close()
        all_well(20, read)
        self.assertTrue(W.get('/status')['database']['up'])

    def test_hole(self):
        self.addCleanup(W.sql, "delete from log where command = 9; delete from command where id = 9; delete from step where name = 'hole'")
        W.sql("insert into step (build, number, name, kind, state, result) values (2, 9, 'hole', 'shell', 'done', 0); insert into command (id, inc, build, step, name, spec, instance, boot, state) values (9, 1, 2, (select max(id) from step), 'run', '', '', '', 'done')")
        log = W.add_log(9, int(W.sql('select max(id) from step')), 2, os.urandom(300000))
        W.sql('delete from log_chunk where log = %d and off = 131072' % log)
        for headers in ({}, {'Accept-Encoding': 'gzip'}):
            with self.assertRaises(http.client.IncompleteRead):
                W.ask('GET', self.BASE + 'hole', headers=headers)

    def test_follow(self):
        """A step that begins later, grows, has a second command, and ends; every byte once."""
        build = int(W.sql("insert into build_request (buildset, project, builder, state) values (1, 1, 1, 'claimed'); insert into build (request, builder, number, epoch_inc, worker, slot) values ((select max(id) from build_request), 1, 50, 1, 2, 0) returning id"))
        self.addCleanup(W.sql, "delete from log where build = %d; delete from command where build = %d; delete from step where build = %d; delete from build where id = %d; delete from build_request where id = (select max(id) from build_request)" % ((build,) * 4))
        c = Unix(W.socket)
        c.request('GET', '/api/v1/builds/libfoo/linux/50/logs/late?follow=1')
        r = c.getresponse()
        self.assertEqual((r.status, r.getheader('Transfer-Encoding')), (200, 'chunked'))
        got = bytearray()
        ended = threading.Event()

        def read():
            while True:
                part = r.read1(65536)
                if not part:
                    break
                got.extend(part)
            ended.set()
        t = threading.Thread(target=read)
        t.start()
        step = int(W.sql("insert into step (build, number, name, kind, state) values (%d, 1, 'late', 'shell', 'run') returning id" % build))
        W.sql("insert into command (id, inc, build, step, name, spec, instance, boot) values (50, 1, %d, %d, 'run', '', '', '')" % (build, step))
        want = os.urandom(150000)
        log = W.add_log(50, step, build, want, complete=False)
        W.tell()
        until(lambda: bytes(got) == want)
        began = time.monotonic()
        for n in range(5):
            more = os.urandom(1000 * n + 1)
            W.append(log, more, len(want))
            want += more
            W.tell()
            until(lambda: bytes(got) == want)
        if not MASTER:
            self.assertLess(time.monotonic() - began, 4 * LOOKS_S)  # what came after a look waits for the next one, where it is not told
        W.sql("update command set state = 'done' where id = 50; update log set complete = true where id = %d; insert into command (id, inc, build, step, name, spec, instance, boot) values (51, 1, %d, %d, 'more', '', '', '')" % (log, build, step))
        log = W.add_log(51, step, build, b'second\n', complete=False)
        want += b'second\n'
        W.tell()
        until(lambda: bytes(got) == want)
        self.assertFalse(ended.is_set())
        # the database dies and comes back in between
        W.pg_stop()
        until(lambda: not W.get('/status')['database']['up'])
        status = W.get('/status')
        self.assertTrue(status['database']['why'])
        r2 = W.ask('GET', '/api/v1/builds')
        self.assertEqual((r2.status, r2.getheader('Retry-After'), json.loads(r2.body)['error']['code']), (503, '1', 'database_away'))
        W.pg_start()
        until(lambda: W.get('/status')['database']['up'])
        W.append(log, b'third\n', 7, complete=True)
        want += b'third\n'
        until(lambda: bytes(got) == want)
        W.sql("update command set state = 'done' where id = 51; update step set result = 0, finished = now() where id = %d" % step)
        W.tell()
        self.assertTrue(ended.wait(DEADLINE))
        t.join()
        self.assertEqual(bytes(got), want)
        c.close()
        self.assertEqual(W.ask('GET', '/api/v1/builds/libfoo/linux/50/logs/late').body, want)
        self.assertEqual(W.ask('GET', '/api/v1/builds/libfoo/linux/50/logs/late?follow=1&from=150000').body, want[150000:])


class Events(unittest.TestCase):
    def open(self, path='', headers={}, tcp=False):
        c = http.client.HTTPConnection('127.0.0.1', W.port, timeout=DEADLINE) if tcp else Unix(W.socket)
        c.request('GET', '/api/v1/events' + path, headers=headers)
        r = c.getresponse()
        self.assertEqual((r.status, r.getheader('Content-Type'), r.getheader('X-Accel-Buffering')), (200, 'text/event-stream', 'no'))
        return c, r

    def next(self, r):
        """(id, type, data); comments are passed over."""
        e = {}
        while True:
            line = r.readline()
            if not line:
                raise EOFError
            line = line.decode().rstrip('\n')
            if not line and 'data' in e:
                return int(e['id']), e['event'], json.loads(e['data'])
            if line and not line.startswith(':'):
                k, _, v = line.partition(': ')
                e[k] = v

    def put(self, n, object='libfoo/linux/1', body='{}'):
        W.sql("insert into outbox (type, object, body) select 'test.new', '%s', '%s' from generate_series(1, %d)" % (object, body, n))
        W.tell()

    def last(self):
        return int(W.sql('select last from event_cursor'))

    def test_replay(self):
        c, r = self.open('?after=0')
        for n in range(1, 251):
            id, type, data = self.next(r)
            self.assertEqual((id, type, data['number'], data['object'], data['body']), (n, 'test.old', n, 'libfoo/linux/%d' % n, {'n': n}))
        c.close()
        c, r = self.open('?after=3', {'Last-Event-ID': '249'})
        self.assertEqual(self.next(r)[0], 250)
        c.close()
        for bad in ('?after=x', '?after=-1'):
            self.assertEqual(W.ask('GET', '/api/v1/events' + bad).status, 400)

    def test_live_without_gap_or_double(self):
        """While events are made all the time, 8 readers come and go; each sees all numbers once."""
        first = self.last()
        stop = threading.Event()

        def make():
            while not stop.is_set():
                self.put(50, body='{"text": "a\\\\nb"}')
        faults = []

        def read(n):
            at = first
            for part in range(6):
                c, r = self.open('?after=%d' % at, tcp=n % 2)
                for _ in range(70):
                    id = self.next(r)[0]
                    if id != at + 1:
                        faults.append((at, id))
                    at = id
                c.close()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            maker = pool.submit(make)
            try:
                all_well(8, read)
            finally:
                stop.set()
            maker.result()
        self.assertEqual(faults, [])

    def test_from_now_and_prefix(self):
        until(lambda: W.sql('select count(*) from outbox') == '0')
        c, r = self.open('?object=libfoo/dist', tcp=True)
        self.assertEqual(r.readline(), b'retry: 1000\n')
        self.put(3)
        self.put(1, 'libfoo/dist/9', '{"x": [1, "\\u00e4"]}')
        id, type, data = self.next(r)
        self.assertEqual((data['object'], data['body'], id), ('libfoo/dist/9', {'x': [1, 'ä']}, self.last()))
        c.close()

    def test_slow_reader_is_cut(self):
        until(lambda: W.sql('select count(*) from outbox') == '0')
        c, r = self.open()
        r.readline()
        body = '{"fill": "%s"}' % ('x' * 4000)
        seen = self.last()
        for _ in range(30):
            self.put(50, body=body)
            until(lambda: W.sql('select count(*) from outbox') == '0')
        ids = []
        try:
            while len(ids) < 1500:
                ids.append(self.next(r)[0])
        except (http.client.HTTPException, EOFError, ValueError, OSError, KeyError):
            pass
        except Exception as e:
            self.fail(repr(e))
        c.close()
        self.assertLess(len(ids), 1500)
        c, r = self.open(headers={'Last-Event-ID': str(ids[-1] if ids else seen)})
        while len(ids) < 1500:
            ids.append(self.next(r)[0])
        c.close()
        self.assertEqual(ids, list(range(seen + 1, seen + 1501)))

    def test_heartbeat(self):
        c, r = self.open()
        r.readline(), r.readline()
        began = time.monotonic()
        self.assertEqual(r.readline(), b':\n')
        self.assertLess(time.monotonic() - began, 18 * busy())
        c.close()


class Ending(unittest.TestCase):
    def test_stop_with_streams(self):
        """SIGTERM ends streams and leaves nothing; a stale socket is taken over, a live one not."""
        c = Unix(W.socket)
        c.request('GET', '/api/v1/events')
        r = c.getresponse()
        r.readline()
        began = time.monotonic()
        self.assertEqual(W.stop(), 0)
        self.assertLess(time.monotonic() - began, 3 * busy())
        self.assertFalse(os.path.exists(W.socket))
        c.close()
        W.start()
        self.assertEqual(os.stat(W.socket).st_mode & 0o777, 0o660)
        other = subprocess.run(W.argv('other'), capture_output=True, timeout=DEADLINE)
        self.assertIn(b'another master listens', other.stderr)
        W.master.kill()
        W.master.wait()
        W.log.close()
        W.start()
        self.assertEqual(W.get('/status')['version'][:1].isdigit(), True)


if __name__ == '__main__':
    unittest.main(verbosity=1)
