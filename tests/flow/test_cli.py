#!/usr/bin/python3
"""The command line against a scripted API: what each command asks, prints and exits with; lost connections; hostile bytes.

DROVER_CLI names the program (default build/drover). Folders are made under /tmp and removed."""
import json, os, pty, random, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time, unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, 'tests', 'lib'))
from drover import BUSY
from fakeapi import Cut, Fake, gzip_of

PROGRAM = os.environ.get('DROVER_CLI') or os.path.join(TOP, 'build', 'drover')
DEADLINE = 20 * BUSY
NOW = int(time.time() * 1000)
HOUR = 3600000
API = '/api/v1/'
HASH = 'a1b2c3d4e5f60718293a4b5c6d7e8f9001122334'

HOSTILE = (b'\x1b]52;c;cm0gLXJmIH4=\x07 \x1bP$q"p\x1b\\ \x1b]0;title\x07 \x1b[6n \x1b[?1049h \x9b31m \xc2\x9b31m \x1b_Ga=q;\x1b\\ '
           b'\x1b[8mhidden \x1b[31mred\x1b[0m \x1bc \x00\x01\x7f\r \x1b[3;1;38;5;200mok\x1b[m \xff\xfe \xe2\x80\xae evil \xc3\xa9\n')


def until(what, seconds=DEADLINE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = what()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError('waited %d s in vain' % seconds)


def put(path, data):
    with open(path, 'wb') as f:
        f.write(data)


def step(name, result=0, log=b'', kind='run', summary=None, commands=(), **more):
    return dict({'name': name, 'number': 1, 'kind': kind, 'state': 'done' if result is not None else 'run', 'result': result,
                 'summary': summary, 'started': NOW - 9000, 'finished': NOW - 5000, 'duration': 4000,
                 'commands': list(commands), 'logs': [{'id': 1, 'name': 'log', 'command': '1-1', 'length': len(log), 'stored': len(log) // 4,
                                                       'lines': log.count(b'\n'), 'complete': result is not None}]}, **more)


def build(n=42, result=0, state='done', steps=(), **more):
    return dict({'id': 'libfoo/linux/%d' % n, 'number': n, 'project': 'libfoo', 'builder': 'linux', 'state': state, 'result': result,
                 'result_text': 'x', 'why': None, 'attempt': 1, 'request': 'r118', 'buildset': 's77', 'worker': 'build1', 'slot': 0,
                 'branch': 'main', 'revision': HASH, 'got_revision': HASH, 'reason': 'scheduler commits saw c1',
                 'started': NOW - 3.5 * HOUR, 'finished': NOW - 3.4 * HOUR if state == 'done' else None, 'duration': 43600, 'steps': list(steps)}, **more)


def request(state='done', result=0, builds=('libfoo/linux/42',), **more):
    return dict({'id': 'r118', 'buildset': 's77', 'project': 'libfoo', 'builder': 'linux', 'state': state, 'result': result, 'why': None,
                 'priority': 50, 'attempts': 1, 'branch': 'main', 'revision': HASH, 'reason': 'anna asked', 'tags': ['debian12'],
                 'created': NOW - 3.5 * HOUR, 'claimed': NOW - 3.5 * HOUR, 'finished': NOW, 'builds': list(builds)}, **more)


class Running:
    """A program whose output is collected while it runs, in out and err."""

    def __init__(self, argv, env):
        self.out = self.err = b''
        self.p = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.threads = [threading.Thread(target=self.read, args=(n,), daemon=True) for n in ('out', 'err')]
        for t in self.threads:
            t.start()

    def read(self, name):
        with getattr(self.p, 'std' + name) as f:
            while piece := os.read(f.fileno(), 65536):
                setattr(self, name, getattr(self, name) + piece)

    def until(self, text, name='out'):
        until(lambda: text.encode() in getattr(self, name))

    def wait(self):
        for t in self.threads:
            t.join(3 * DEADLINE)
        return self.p.wait(DEADLINE)


class Cli(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='drover-cli-', dir='/tmp')
        self.fake = Fake(os.path.join(self.folder, 's'))
        self.env = {'PATH': os.environ['PATH'], 'LANG': 'C.UTF-8', 'TZ': 'UTC', 'TERM': 'xterm', 'DROVER_SOCKET': self.fake.path}
        for name in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS'):
            if name in os.environ:
                self.env[name] = os.environ[name]

    def tearDown(self):
        if self.fake.server and not self.fake.stopping:
            self.fake.stop()
        shutil.rmtree(self.folder)

    def run_cli(self, *args, code=0, stdin=None, env=()):
        p = subprocess.run([PROGRAM, *args], env={**self.env, **dict(env)}, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=3 * DEADLINE)
        self.err = p.stderr.decode()
        self.assertEqual(p.returncode, code, (args, p.stdout, p.stderr))
        return p.stdout

    def text(self, *args, **kw):
        return self.run_cli(*args, **kw).decode()

    def start_cli(self, *args):
        return Running([PROGRAM, *args], self.env)

    def finish(self, p, code=0):
        got = p.wait()
        self.err = p.err.decode()
        self.assertEqual(got, code, (p.out, p.err))
        return p.out

    def on_terminal(self, *args, columns=100, code=0, env=()):
        """Everything that a terminal of so many columns is sent on standard output."""
        master, slave = pty.openpty()
        import fcntl, struct, termios
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 25, columns, 0, 0))
        attr = termios.tcgetattr(slave)
        attr[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, attr)
        p = subprocess.Popen([PROGRAM, *args], env={**self.env, **dict(env)}, stdout=slave, stderr=subprocess.PIPE)
        os.close(slave)
        out = b''
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            out += piece
        os.close(master)
        err = p.stderr.read()
        p.stderr.close()
        self.assertEqual(p.wait(60), code, (out, err))
        return out

    def serve_log(self, data, gzip=True):
        """A complete log of any step."""
        def log(h, asked, *_):
            at = int(asked.query.get('from', 0))
            if gzip and at == 0 and 'gzip' in asked.headers.get('Accept-Encoding', ''):
                body, extra = gzip_of(data), [('Content-Encoding', 'gzip')]
            else:
                body, extra = data[at:], []
            h.send_response_only(200)
            for k, v in [('Content-Type', 'text/plain'), ('Content-Length', str(len(body))), ('X-Drover-Length', str(len(data)))] + extra:
                h.send_header(k, v)
            h.end_headers()
            h.wfile.write(body)
        self.fake.on('GET ' + API + 'builds/libfoo/linux/[0-9]+/logs/(.*)', log)

    def serve_build(self, **kw):
        self.fake.on('GET ' + API + '(?:builds/libfoo/linux/(?:42|last)|builds/linux/(?:42|last))', build(**kw))


class Words(Cli):
    def test_help_and_manual(self):
        text = self.text('--help')
        with open(os.path.join(TOP, 'docs', 'drover.1')) as f:
            manual = f.read().replace('\\-', '-')
        names = re.findall(r'^  ([a-z]+(?: [a-z]+)?)(?: [\[A-Z]| {2,}|$)', text, re.M)
        self.assertIn('worker add', names)
        self.assertGreater(len(names), 15)
        for name in names:
            self.assertTrue(re.search(r'^\.BI?R? "?drover %s\b' % name, manual, re.M), name)
            own = self.text(*name.split(), '--help')
            self.assertTrue(own.startswith('drover ' + name), own)
            for flag in re.findall(r'--[a-z-]+', own):
                self.assertIn(flag, manual, (name, flag))
        for alias in ('force', 'requeue'):
            self.assertIn(alias, manual)
        self.assertEqual(self.text('help', 'build'), self.text('build', '--help'))
        self.assertRegex(self.text('--version'), r'^drover \d+\.\d+\n$')

    def test_did_you_mean(self):
        for args, want in ((['stauts'], 'did you mean status?'), (['worker', 'ad', 'x'], 'did you mean worker add?'), (['worker'], 'add, install, list, show, clean, upgrade, restart, drain, facts, key, trust, log, forget-ghosts, resume, remove'),
                           (['build', 'x', '--brnch', 'y'], 'did you mean --branch?'), (['list', 'bulds'], 'did you mean builds?'),
                           (['xyzzy'], 'drover --help'), (['log'], 'ID[:STEP] is missing'), (['log', 'a/b/1', 'c'], 'too many'),
                           (['log', 'a/b/1', '--branch', 'x'], 'takes no --branch'), (['build', 'x', '--wait=1'], 'takes no value'),
                           (['build', 'x', '-b'], '-b needs a value'), (['show', 'a/b/c/d'], 'is no id'), (['list', 'workers', '--state', 'done'], 'takes no --state'),
                           (['watch', 'r1', '--retry', 'soon'], '--retry wants'), ([], 'which command'), (['-x'], 'no flag -x'),
                           (['worker', 'add', 'a b'], 'is no name'), (['worker', 'add', 'a', '--slots', '0'], 'from 1 to'),
                           (['change', 'send', '--project', 'p'], '--branch is missing'), (['build', 'a/b', '-p', 'x'], 'NAME=TEXT'),
                           (['cancel', 'linux'], 'is no id'), (['rerun', 'c1'], 'is no id'), (['watch', 'c1'], 'is no id')):
            self.assertEqual(self.run_cli(*args, code=2), b'')
            self.assertIn(want, self.err, args)
        self.assertEqual(self.fake.asked, [])

    def test_not_reached(self):
        for where, want in ((self.folder + '/nothing', 'there is no master at'), ('/' + 'x' * 200, 'longer than')):
            self.run_cli('status', '--socket', where, code=2 if 'longer' in want else 5)
            self.assertIn(want, self.err)
        dead = self.folder + '/dead'
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(dead)
        self.run_cli('status', '--socket=' + dead, code=5)
        self.assertIn('is not running', self.err)
        self.assertIn('systemctl start drover-master', self.err)
        sock.close()

    def test_errors(self):
        for status, code in ((400, 2), (401, 2), (403, 2), (404, 2), (500, 3), (503, 5)):
            self.fake.on('GET ' + API + 'changes/c1', lambda h, a, status=status: h.error(status, 'x', 'no \x1b[31mway', 'try \nthis'))
            self.assertEqual(self.run_cli('show', 'c1', code=code), b'')
            self.assertEqual(self.err, 'drover: no ^[[31mway\n  try ^Jthis\n')
        self.fake.on('POST ' + API + 'requests/r1/cancel', lambda h, a: h.error(409, 'conflict', 'it is over'))
        self.run_cli('cancel', 'r1', code=2)
        self.fake.on('GET ' + API + 'changes/c1', lambda h, a: h.send_json(b'not json'))
        self.run_cli('show', 'c1', code=3)
        self.assertIn('is no JSON', self.err)

        def garbage(h, a):
            h.wfile.write(b'SSH-2.0-OpenSSH_9.2\r\n\r\n')
            raise Cut()
        self.fake.on('GET ' + API + 'changes/c1', garbage)
        self.run_cli('show', 'c1', code=3)

        def silent(h, a):
            raise Cut()
        self.fake.on('GET ' + API + 'changes/c1', silent)
        self.run_cli('show', 'c1', code=5)


class Reading(Cli):
    def test_status(self):
        self.fake.on('GET ' + API + 'status', {
            'version': '0.1', 'up_ms': 6000, 'database': {'up': True, 'private': True, 'version': '15.20', 'size': 41200000},
            'host': 'ci1', 'listen': {'api': 7420, 'workers': 7421, 'pin': '3f9a77c2' * 8, 'page': '127.0.0.1:7420', 'join': '*:7421'}, 'backup': None,
            'config': {'version': 1, 'file': '/etc/drover/master.yaml', 'projects': 1, 'workers': 1,
            'refused': {'at': NOW - 5400000, 'text': '/etc/drover/conf.d/a.yaml:2:1: what\x07?\nsecond\n', 'count': 2}}, 'counts': {'pending': 2, 'running': 1, 'workers_connected': 1},
            'waiting': [dict(request('pending', None, builder='clang'), waits={'kind': 'slots', 'text': 'build1 is full\x07', 'object': 'build1'}), request('pending', None, builder='clang', id='r119')], 'event': 7})
        self.fake.on('GET ' + API + 'builders', {'items': [
            {'id': 'libfoo/linux', 'project': 'libfoo', 'name': 'linux', 'last': build(finished=NOW - 2.5 * HOUR),
             'running': [build(43, None, 'running', duration=31000, now={'name': 'make', 'number': 1, 'state': 'run'}, expected=43600)], 'pending': 0},
            {'id': 'libfoo/clang', 'project': 'libfoo', 'name': 'clang', 'last': None, 'running': [build(1, None, 'running', duration=31000, now={'name': 'make', 'number': 1, 'state': 'run'}, expected=None)], 'pending': 2}], 'next': None})
        self.assertEqual(self.text('status'), '''\
drover 0.1 on ci1, up 6.0 s · PostgreSQL 15.20 private, 41 MB · configuration 1 (/etc/drover: 1 project, 1 worker)
listening  page 127.0.0.1:7420 · workers *:7421 (TLS, key 3f9a 77c2 …)      keys not backed up yet: drover-master backup DIR
refused   the changed configuration, 1 h ago; version 1 stays: /etc/drover/conf.d/a.yaml:2:1: what^G? (and 1 more: drover config diff)
now       1 running · 2 waiting · 1 workers connected
BUILDER       LAST                NOW                                   WAITING
libfoo/linux  42 SUCCESS 2 h ago  43 make 31.0 s of ~43.6 s on build1   -
libfoo/clang  -                   1 make 31.0 s (no history) on build1  r118: build1 is full^G (+1)
''')
        narrow = re.sub(rb'\x1b\[[0-9;]*m', b'', self.on_terminal('status', columns=60)).decode()
        for line in narrow.splitlines()[3:]:
            self.assertLessEqual(len(line), 60)
        self.assertIn('…', narrow)
        self.assertEqual(json.loads(self.run_cli('status', '--json'))['event'], 7)

    def test_status_without_database(self):
        self.fake.on('GET ' + API + 'status', {'version': '0.1', 'up_ms': 61000, 'database': {'up': False, 'why': 'it was killed'}, 'listen': {}, 'config': {}, 'counts': {}})
        text = self.text('status')
        self.assertIn('up 1:01 min · the database is away: it was killed', text)
        self.assertNotIn('running', text)

    def test_lists(self):
        self.fake.on('GET ' + API + 'builds', {'items': [build(), build(41, 2, why='worker \x1b]0;x\x07 gone'), build(40, None, 'running')], 'next': 17})
        self.assertEqual(self.text('list', 'builds', '-n', '3', '--state', 'done', '--builder', 'libfoo/linux', '--branch', 'rel/1'), '''\
BUILD            RESULT   BRANCH  REVISION  STARTED    TIME  WORKER  REASON
libfoo/linux/42  SUCCESS  main    a1b2c3d   3 h ago  43.6 s  build1  scheduler commits saw c1
libfoo/linux/41  FAILURE  main    a1b2c3d   3 h ago  43.6 s  build1  worker ^[]0;x^G gone
libfoo/linux/40  running  main    a1b2c3d   3 h ago  43.6 s  build1  scheduler commits saw c1
older ones: drover list builds --before 17
''')
        self.assertEqual(self.fake.asked[-1].query, {'limit': '3', 'state': 'done', 'builder': 'libfoo/linux', 'branch': 'rel/1'})
        raw = b'{"items": [], "next": null,  "odd": "\\u0007"}'
        self.fake.on('GET ' + API + 'requests', lambda h, a: h.send_json(raw))
        self.assertEqual(self.run_cli('list', 'requests', '--json', '--before', 'r20'), raw + b'\n')
        self.assertEqual(self.fake.asked[-1].query, {'before': '20'})
        self.assertEqual(self.text('list', 'requests'), 'no requests\n')
        self.fake.on('GET ' + API + 'requests', {'items': [request('pending', None, ())], 'next': None})
        self.assertIn('r118     libfoo/linux  pending  main    3 h ago  -       anna asked', self.text('list', 'requests'))
        self.fake.on('GET ' + API + 'changes', {'items': [{'id': 'c1', 'project': 'libfoo', 'branch': 'main', 'revision': HASH, 'author': 'Bob\n', 'message': 'one\ntwo',
                                                           'state': 'decided', 'created': NOW - 86400000 * 3}], 'next': None})
        self.assertRegex(self.text('list', 'changes', '--project', 'libfoo'), r'c1 +libfoo +main +a1b2c3d +Bob\^J +3 d ago +decided +one\n')
        for kind, more, said in (('tag', {'branch': 'v1'}, 'tag v1'), ('pull_request', {'branch': 'main', 'number': 7}, 'pull request 7 into main')):
            change = {'id': 'c2', 'project': 'libfoo', 'kind': kind, 'revision': HASH, 'author': 'Bob', 'message': 'x', 'state': 'decided', 'created': NOW, **more}
            self.fake.on('GET ' + API + 'changes', {'items': [change], 'next': None})
            self.assertRegex(self.text('list', 'changes'), rf'c2 +libfoo +{said} +a1b2c3d')
            self.fake.on('GET ' + API + 'changes/c2', change)
            self.assertIn(f'c2  libfoo {said} {HASH}\n', self.text('show', 'c2'))
        self.fake.on('GET ' + API + 'workers', {'items': [
            {'name': 'build1', 'state': 'ready', 'connected': True, 'slots': 2, 'used': 1, 'runs': ['p/b/7'], 'tags': ['a', 'b'], 'facts': {'host': 'h1', 'os': 'linux', 'arch': 'x86_64'}, 'peer': '[::1]:5', 'pool': 'lab'},
            {'name': 'build2', 'state': 'away', 'paused': {'object': 'site'}, 'connected': False, 'lost_at': NOW - 3.5 * HOUR, 'slots': 1, 'used': 0, 'tags': [], 'facts': {}},
            {'name': 'build3', 'state': 'removed', 'connected': False, 'lost_at': None, 'slots': 1, 'used': 0, 'removed': NOW}], 'next': None})
        self.assertEqual(self.text('worker', 'list'), '''\
WORKER  STATE                  SLOTS   RUNS   POOL  TAGS  HOST
build1  connected              1 of 2  p/b/7  lab   a b   h1 linux x86_64
build2  away, 3 h ago, paused  0 of 1  -      -     -     -
build3  removed                0 of 1  -      -     -     -
''')

    def test_show(self):
        steps = [step('checkout', kind='git', commands=[{'id': '1-1', 'name': n, 'state': 'done', 'how': 'exited', 'code': 0, 'argv': ['git', n]} for n in ('clone', 'clean')]),
                 step('test', 2, b'x' * 412000, summary='211 passed, 1 failed')]
        self.serve_build(result=2, steps=steps, attempt=2)
        text = self.text('show', 'linux/42')
        self.assertIn('libfoo/linux/42  FAILURE  in 43.6 s, attempt 2\n', text)
        self.assertIn('because   scheduler commits saw c1\n', text)
        self.assertIn('log       412 KB (103 KB stored): drover log libfoo/linux/42\n', text)
        self.assertIn('checkout  SUCCESS  4.0 s     0 B  clone · clean\n', text)
        self.assertIn('test      FAILURE  4.0 s  412 KB  211 passed, 1 failed\n', text)
        self.assertIn('clone    done   exited 0', self.text('show', 'libfoo/linux/last:checkout'))
        self.assertEqual(json.loads(self.run_cli('show', 'linux/42:test', '--json'))['summary'], '211 passed, 1 failed')
        self.run_cli('show', 'linux/42:nope', code=2)
        self.assertIn('has no step "nope"', self.err)
        self.fake.on('GET ' + API + 'requests/r118', request())
        self.assertIn('r118  SUCCESS  libfoo/linux\n', self.text('show', 'r118'))
        self.fake.on('GET ' + API + 'buildsets/s77', {'id': 's77', 'state': 'done', 'result': 6, 'reason': 'anna\x9b asked', 'requests': [request()], 'changes': ['c1', 'c2'], 'created': NOW})
        text = self.text('show', 's77')
        self.assertIn('s77  CANCELLED\n', text)
        self.assertIn('changes   c1 c2\n', text)
        self.assertIn('anna' + 'M-^[ asked', text)
        self.fake.on('GET ' + API + 'changes/c1', {'id': 'c1', 'project': 'libfoo', 'branch': 'main', 'revision': HASH, 'author': 'Bob', 'message': 'Faster\n\nparser\x1b[2J', 'files': ['a.c', 'b.c'],
                                                   'state': 'decided', 'created': NOW, 'buildsets': ['s77'], 'error': None})
        text = self.text('show', 'c1')
        self.assertIn('    Faster\n', text)
        self.assertIn('    parser^[[2J\n', text)
        self.assertIn('files     a.c, b.c\n', text)
        self.fake.on('GET ' + API + 'workers/build1', {'name': 'build1', 'state': 'quarantine', 'connected': True, 'slots': 2, 'used': 1, 'weight': 0, 'tags': ['x'], 'facts': {'os': 'linux', 'cores': 4},
                       'running': [build(7, None, 'running')], 'quarantine': {'until': NOW + 3.5 * HOUR, 'why': 'no git\x07', 'count': 2, 'build': 'p/b/6'}, 'locks': [{'name': 'board', 'build': 'p/b/7', 'step': 's', 'n': None, 'units': ['a1'], 'since': NOW - 3.5 * HOUR}],
                       'gets': {'why': None, 'items': [{'kind': 'quarantine', 'object': 'build1', 'text': 'it is in quarantine\x07', 'requests': 1, 'first': 'r7', 'builders': ['p/b'], 'more': 0},
                                                       {'kind': 'tag', 'object': 'y', 'text': 'build1 has no tag y', 'requests': 9, 'first': 'r8', 'builders': ['p/b', 'p/c'], 'more': 2}]}})
        text = self.text('show', 'build1')
        self.assertRegex(text, r'build1  quarantine, until (today|tomorrow) .*  1 of 2 slots used\n')
        self.assertRegex(text, r'quarantine  until .*, it spoilt 2 builds in a row, the last p/b/6: no git\^G\n')
        self.assertIn('weight    0: only where nobody else can\n', text)
        self.assertIn('waiting   r7: it is in quarantine^G  (p/b)\n          9 requests: build1 has no tag y  (p/b, p/c and 2 more)\n', text)
        self.assertIn('locks     board a1  p/b/7:s  3 h ago\n', text)
        self.assertIn('cores = 4\n', text)
        self.assertIn('libfoo/linux/7', text)
        self.fake.on('GET ' + API + 'builders', {'items': [{'id': 'libfoo/linux', 'project': 'libfoo', 'name': 'linux', 'running': [], 'pending': 3}], 'next': None})
        self.fake.on('GET ' + API + 'builds', {'items': [build()], 'next': None})
        self.assertIn('libfoo/linux  0 running, 3 waiting\n', self.text('show', 'libfoo/linux'))
        self.assertEqual(self.fake.asked[-1].query['builder'], 'libfoo/linux')
        self.assertIn('libfoo/linux/42', self.text('show', 'linux'))
        self.run_cli('show', 'nothing', code=2)
        self.assertIn('no worker and no builder "nothing"', self.err)

    def test_events(self):
        self.fake.on('GET ' + API + 'status', lambda h, a: h.send_json({'event': len(self.fake.events)}))
        self.fake.on('GET ' + API + 'events', self.fake.serve_events)
        self.assertEqual(self.text('events'), '')
        for object, type, body in (('libfoo', 'project.x', {}), ('libfoo/linux/1', 'build.done', {'result': 2, 'why': 'no\x1b[2J "route"'}), ('libfoo2', 'x', {}), ('worker/b\x071', 'paused', {'who': 'anna'})):
            self.fake.tell(object, type, body)
        lines = self.text('events').splitlines()
        self.assertEqual(len(lines), 4)
        self.assertRegex(lines[1], r'^01-01 \d\d:\d\d:00  build.done +libfoo/linux/1  result=FAILURE why="no\\u001b\[2J ')
        self.assertTrue(lines[3].endswith('paused              worker/b^G1  who=anna'), lines)
        self.assertEqual([x.split()[3] for x in self.text('events', 'libfoo').splitlines()], ['libfoo', 'libfoo/linux/1'])
        self.assertEqual(self.text('events', 'libfoo', '-n', '2'), '')
        self.assertEqual(self.text('events', '-n', '0'), '')
        self.assertEqual(json.loads(self.run_cli('events', 'worker', '--json'))['event']['number'], 4)
        self.run_cli('events', '-n', 'x', code=2)
        p = self.start_cli('events', '-f', '-n', '1')
        p.until('paused')
        self.fake.tell('r9', 'request.new')
        p.until('request.new')
        p.p.send_signal(signal.SIGTERM)  # SIGINT is ignored where the tests are a shell's background job
        self.assertEqual((p.wait(), p.out.count(b'\n')), (-signal.SIGTERM, 2))

    def test_worker_folders(self):
        folder = lambda path, **more: {'path': path, 'project': 'p', 'builder': 'b', 'slot': 0, 'state': 'kept', 'bytes': 3 << 20, 'complete': True, 'measured_at': NOW, 'last_used': NOW - 2.5 * HOUR,
                                       'build': 'p/b/7', 'wanted_at': None, 'wanted_by': None, 'error': None, 'tries': 0, 'due_at': None, **more}
        worker = {'name': 'build1', 'connected': True, 'slots': 2, 'used': 1, 'tags': [], 'facts': {}, 'running': [], 'disk': {'free': 3328599655, 'total': 100 << 30, 'min_free': 10 << 30, 'at': NOW},
                  'folders': [folder('p/b/0', state='used', wanted_at=NOW), folder('p/b/1', bytes=None), folder('p/c/0', complete=False), folder('p/d/0', state='cleaning'),
                              folder('p/e/0', error='io: bad\x1b[2Jdisk', tries=2, due_at=NOW + 30.5 * 60000), folder('p/f/0', wanted_at=NOW)]}
        self.fake.on('GET ' + API + 'workers/build1', worker)
        text = self.text('worker', 'show', 'build1')
        self.assertIn('disk      3.1 GiB free of 100 GiB, 10 GiB must stay free: no new builds\n', text)
        self.assertIn('WORK FOLDER', text)
        for line in (r'p/b/0 +3 MiB +now +p/b/7, then it is removed', r'p/b/1 +- +2 h ago +-', r'p/c/0 +at least 3 MiB +2 h ago', r'p/d/0 +3 MiB +2 h ago +is being removed',
                     r'p/e/0 .* could not be removed: io: bad\^\[\[2Jdisk; again in (30|2\d):\d\d min', r'p/f/0 .* is to be removed'):
            self.assertRegex(text, line)
        worker['disk'].update(free=50 << 30, min_free=0, total=None)
        self.assertIn('disk      50 GiB free\n', self.text('worker', 'show', 'build1'))
        self.fake.on('POST ' + API + 'workers/build1/clean', {'worker': 'build1', 'connected': False, 'folders': [{'path': 'p/b/0', 'bytes': 3 << 20, 'build': None}, {'path': 'p/c/0', 'bytes': None, 'build': 'p/c/4'}]})
        self.assertEqual(self.text('worker', 'clean', 'build1'), 'removing  p/b/0  3 MiB\nlater     p/c/0  when p/c/4 is over\nbuild1 is away: they go when it is back\n')
        self.assertEqual(self.fake.asked[-1].json, {})
        self.assertEqual(json.loads(self.run_cli('worker', 'clean', 'build1', 'p/c', '--json'))['connected'], False)
        self.assertEqual(self.fake.asked[-1].json, {'builder': 'p/c'})
        self.run_cli('worker', 'clean', code=2)
        self.run_cli('worker', 'clean', 'a', 'b', 'c', code=2)

    def test_why(self):
        self.fake.on('GET ' + API + 'requests/(r118|r119)/why', {'state': 'pending', 'reason': {'text': 'build1 is full', 'since': NOW - 2.5 * HOUR}})
        self.assertEqual(self.text('why', 'r118'), 'r118      pending: build1 is full  (2 h ago)\n')
        self.serve_build()
        self.assertIn('because   scheduler commits saw c1\nr118      pending', self.text('why', 'linux/42'))
        self.fake.on('GET ' + API + 'buildsets/s77', {'requests': [request(), request(id='r119')]})
        self.assertEqual(self.text('why', 's77').count('build1 is full'), 2)
        self.fake.on('GET ' + API + 'requests', {'items': [request()], 'next': None})
        self.fake.on('GET ' + API + 'builders', {'items': [{'project': 'libfoo', 'name': 'linux'}], 'next': None})
        self.fake.on('GET ' + API + 'projects', {'items': [{'name': 'libfoo', 'looked': NOW, 'trouble': None}], 'next': None})
        self.assertIn('r118', self.text('why', 'libfoo/linux'))
        self.fake.on('GET ' + API + 'requests', {'items': [], 'next': None})
        self.assertIn('never asked for', self.text('why', 'libfoo/linux'))
        self.fake.on('GET ' + API + 'changes/c9', {'id': 'c9', 'project': 'libfoo', 'branch': 'x', 'state': 'decided', 'why': 'no scheduler wants it', 'buildsets': []})
        self.assertEqual(self.text('why', 'c9'), 'c9        libfoo x: decided: no scheduler wants it\n')

    def test_config_check(self):
        good, bad = self.folder + '/good.yml', self.folder + '/bad.yml'
        put(good, b'steps:\n  - run: make\n')
        put(bad, b'stepz:\n  - run: make\n')
        self.assertIn('ok', self.text('config', 'check', good, '--project', 'libfoo'))
        self.assertEqual(self.run_cli('config', 'check', bad, code=2), b'')
        self.assertIn('bad.yml:1:1:', self.err)
        self.assertIn('steps', self.err)
        self.run_cli('config', 'check', self.folder + '/none', code=2)
        self.assertIn('No such file', self.err)
        many = os.path.join(self.folder, 'many.yml')
        with open(many, 'w') as f:
            f.write('builders:\n  a:\n    matrix: {CC: [gcc, clang]}\n    steps: [make]\n')
        self.assertIn('2 builders a[…] with 2 steps', self.text('config', 'check', many))
        self.assertRegex(self.text('config', 'explain', many, 'a[clang]'), r'make +run +make +\S+many.yml:4 +step\n')
        self.assertRegex(self.text('config', 'explain', many, 'a[clang]'), r'env.CC +clang +\S+many.yml:3 +matrix\n')
        keys = json.loads(self.text('config', 'explain', many, 'a[gcc]', '--json'))['explain']['keys']
        self.assertIn({'step': 'make', 'key': 'env.CC', 'value': 'gcc', 'file': many, 'line': 3, 'from': 'matrix'}, keys)
        for args in ([many], [many, 'a'], [many, 'b'], [many + 'x'], ['libfoo/linux', '--site']):
            self.run_cli('config', 'explain', *args, code=2)
        self.assertIn('ok', self.text('config', 'check', '-', stdin=b'steps: [{run: make}]\n'))
        put(bad, b'#' * (2 << 20))
        self.run_cli('config', 'check', bad, code=2)
        self.assertEqual(self.fake.asked, [])


class Acting(Cli):
    def test_build(self):
        self.fake.on('POST ' + API + 'builds', lambda h, a: h.send_json({'buildset': 's77', 'requests': ['r118']}, 201))
        text = self.text('build', 'libfoo/linux', '-b', 'main', '--revision=' + HASH, '-p', 'a=1', '-p', 'b=x=y', '-p', 'a=2', '--reason', 'a "b"\n')
        self.assertEqual(text, 'requested  r118 of buildset s77; to see it: drover watch s77\n')
        asked = self.fake.requests('POST')[0]
        self.assertEqual(asked.json, {'builder': 'libfoo/linux', 'branch': 'main', 'revision': HASH, 'reason': 'a "b"\n', 'properties': {'a': '2', 'b': 'x=y'}})
        self.assertEqual(asked.headers['Content-Type'], 'application/json')
        self.assertEqual(json.loads(self.run_cli('force', 'linux', '--json')), {'buildset': 's77', 'requests': ['r118']})
        self.assertEqual(self.fake.asked[-1].json, {'builder': 'linux'})

    def test_changes(self):
        self.fake.on('GET ' + API + 'changes', {'items': [{'id': 'c9', 'project': 'libfoo', 'branch': 'x', 'state': 'decided', 'kind': 'branch', 'revision': HASH, 'author': 'Ann', 'message': 'a fix', 'created': NOW}], 'next': None})
        self.assertEqual(self.text('change', 'list', '--branch', 'x'), self.text('list', 'changes', '--branch', 'x'))
        self.assertEqual([a.query for a in self.fake.asked[-2:]], [{'branch': 'x'}] * 2)
        self.fake.on('GET ' + API + 'changes/c9', {'id': 'c9', 'project': 'libfoo', 'branch': 'x', 'state': 'decided', 'buildsets': []})
        self.assertEqual(self.text('change', 'show', 'c9'), self.text('show', 'c9'))
        for other in ('linux/42', 'r118', '118', 'c', 'c9x'):
            self.run_cli('change', 'show', other, code=2)
            self.assertIn('a change is c and a number', self.err)

    def test_builders_by_name(self):
        self.fake.on('GET ' + API + 'builders', {'items': [{'project': p, 'name': n} for p, n in (('libfoo', 'linux'), ('libfoo', 'dist'), ('bar', 'dist'))], 'next': None})
        self.fake.on('GET ' + API + 'builds', {'items': [], 'next': None})
        self.run_cli('list', '--builder', 'linux')
        self.assertEqual(self.fake.asked[-1].query, {'builder': 'libfoo/linux'})
        self.run_cli('list', '--builder', 'dist', code=2)
        self.assertIn('more than one project has a builder "dist": libfoo/dist, bar/dist', self.err)
        for noun in ('projects', 'schedulers'):  # what else the name could be of
            self.fake.on('GET ' + API + noun, {'items': [], 'next': None})
        self.run_cli('why', 'linx', code=2)
        self.assertIn('did you mean linux?', self.err)
        for asked in self.fake.requests(pattern='.*/builders'):
            self.assertEqual(asked.query, {})  # it takes none

    def test_a_post_is_sent_once(self):
        def lost(h, a):
            raise Cut()
        self.fake.on('POST ' + API + 'builds', lost)
        self.run_cli('build', 'libfoo/linux', '--follow', code=5)
        self.assertEqual(len(self.fake.requests('POST')), 1)
        self.serve_build()
        self.fake.on('POST ' + API + 'builds/libfoo/linux/42/cancel', lost)
        self.run_cli('cancel', 'linux/42', code=5)  # on a connection that a GET has used
        self.assertEqual(len(self.fake.requests('POST')), 2)

    def test_rerun_cancel(self):
        self.serve_build()
        self.fake.on('POST ' + API + 'builds/libfoo/linux/42/rerun', lambda h, a: h.send_json({'buildset': 's78', 'requests': ['r119']}, 201))
        self.assertIn('r119', self.text('rerun', 'linux/last'))
        self.assertIn('r119', self.text('requeue', 'libfoo/linux/42', '--reason', 'again'))
        self.assertEqual(self.fake.requests('POST')[-1].json, {'reason': 'again'})
        for what, path in (('linux/last', 'builds/libfoo/linux/42/cancel'), ('r118', 'requests/r118/cancel'), ('s77', 'buildsets/s77/cancel')):
            self.fake.on('POST ' + API + path, {'request': 'r118', 'state': 'cancelling'})
            self.assertIn('cancelling  ' + what, self.text('cancel', what, '--reason', 'no'))
            self.assertEqual((self.fake.asked[-1].path, self.fake.asked[-1].json), (API + path, {'reason': 'no'}))

    def test_cancelled_too_late(self):
        self.fake.on('POST ' + API + 'requests/r118/cancel', {'request': 'r118', 'state': 'done'})
        self.assertEqual(self.text('cancel', 'r118'), 'done      r118 had ended before\n')

    def test_worker(self):
        token = 'ci1.example.org:7421#spki-sha256:%s#build1:%s' % ('3f' * 32, 'x' * 32)
        self.fake.on('POST ' + API + 'workers', lambda h, a: h.send_json({'name': 'build1', 'token': token}, 201))
        self.assertEqual(self.text('worker', 'add', 'build1', '--slots', '2', '--tag', 'a', '--tag=b'), token + '\n')
        self.assertEqual(self.fake.asked[-1].json, {'name': 'build1', 'slots': 2, 'tags': ['a', 'b']})
        shown = self.on_terminal('worker', 'add', 'build1', env={'NO_COLOR': '1'}).decode()
        self.assertIn('never as an argument', shown)
        self.assertIn('\n  ' + token + '\n', shown)
        self.assertEqual(self.on_terminal('worker', 'add', 'build1', '--quiet').decode(), token + '\n')
        self.fake.on('DELETE ' + API + 'workers/build1', {})
        self.assertIn('removed   build1', self.text('worker', 'remove', 'build1'))

    def test_change_and_stop(self):
        self.fake.on('POST ' + API + 'changes', lambda h, a: h.send_json({'change': 'c991', 'new': True}, 201))
        self.assertIn('change    c991 is new', self.text('change', 'send', '--project', 'p', '-b', 'main', '-r', 'abc', '--author', 'Zoë', '--committer', 'Yan', '--category', 'docs', '-m', 'x\ny', '--file', 'a', '--file', 'b'))
        self.assertEqual(self.fake.asked[-1].json, {'project': 'p', 'branch': 'main', 'revision': 'abc', 'author': 'Zoë', 'committer': 'Yan', 'category': 'docs', 'message': 'x\ny', 'files': ['a', 'b']})
        self.fake.on('POST ' + API + 'master/stop', {})
        self.assertIn('stopping', self.text('master', 'stop'))


class Logs(Cli):
    def test_raw_is_exact(self):
        data = bytes(random.Random(1).randrange(256) for _ in range(300000)) * 3
        for gzip in (True, False):
            self.serve_log(data, gzip)
            self.serve_build(steps=[step('a', log=data), step('test', log=data), step('none')])
            self.assertEqual(self.run_cli('log', 'linux/42:test', '--raw'), data)
            self.assertEqual(self.run_cli('log', 'linux/42', '--raw'), data * 2)
        self.assertIn('gzip', self.fake.requests(pattern='.*logs/test')[0].headers['Accept-Encoding'])

    def test_gzip_far_smaller_than_raw(self):
        data = b'\0' * (8 << 20)
        self.serve_log(data)
        self.serve_build(steps=[step('test', log=data)])
        self.assertEqual(self.run_cli('log', 'linux/42:test', '--raw'), data)

    def test_harmless(self):
        self.serve_log(HOSTILE * 3)
        self.serve_build(steps=[step('test', log=HOSTILE)])
        out = self.run_cli('log', 'linux/42:test')
        self.assertEqual(set(out) & set(range(32)), {10})
        self.assertNotIn(b'\x7f', out)
        self.assertEqual(out.decode().splitlines()[0],
                         '^[]52;c;cm0gLXJmIH4=^G ^[P$q"p^[\\ ^[]0;title^G ^[[6n ^[[?1049h M-^[31m M-^[31m ^[_Ga=q;^[\\ ^[[8mhidden ^[[31mred^[[0m ^[c ^@^A^?^M '
                         '^[[3;1;38;5;200mok^[[m M-^?M-~ <U+202E> evil é')
        out = self.on_terminal('log', 'linux/42:test')
        self.assertIn(b'\x1b[31mred\x1b[0m', out)
        self.assertIn(b'\x1b[3;1;38;5;200mok\x1b[m', out)
        self.assertIn(b'^[[8mhidden', out)
        rest = re.sub(rb'\x1b\[[0-9;]*m', b'', out)
        self.assertEqual(set(rest) & set(range(32)), {10})
        rest.decode()
        for more in (('--no-color',), ()):
            out = self.on_terminal('log', 'linux/42:test', *more, env={} if more else {'NO_COLOR': '1'})
            self.assertNotIn(b'\x1b', out)

    def test_headers_between_steps(self):
        self.serve_log(b'no line feed')
        self.serve_build(steps=[step('a', log=b'x', commands=[{'name': 'run', 'argv': ['sh', '-eu', '-c', 'make -j4\nmake check\n']}]), step('b', log=b'x'), step('c')])
        self.assertEqual(self.text('log', 'linux/42'), '── a: make -j4 … ──\nno line feed\n── b ──\nno line feed\n── c ──\n')

    def test_broken_off_goes_on(self):
        """Each request breaks at another place; from= goes on there."""
        data = bytes(random.Random(2).randrange(256) for _ in range(100000))
        tries = []

        def log(h, asked, *_):
            at = int(asked.query.get('from', 0))
            tries.append(at)
            h.send_response_only(200)
            body = gzip_of(data, 5000) if at == 0 else data[at:]
            if at == 0:
                h.send_header('Content-Encoding', 'gzip')
            h.send_header('Content-Length', str(len(body)))
            h.send_header('X-Drover-Length', str(len(data)))
            h.end_headers()
            h.wfile.write(body[:len(body) * 2 // 3] if len(tries) < 6 else body)
            if len(tries) < 6:
                raise Cut()
        self.fake.on('GET ' + API + 'builds/libfoo/linux/42/logs/test', log)
        self.serve_build(steps=[step('test', log=data)])
        self.assertEqual(self.run_cli('log', 'linux/42:test', '--raw'), data)
        self.assertGreater(len(set(tries)), 3)
        self.assertEqual(self.err.count('trying again'), 1)

    def test_ends_early(self):
        """A proper end, but short of the length that was promised."""
        def log(h, asked, *_):
            part = b'0123456789'[int(asked.query.get('from', 0)):][:4]
            h.send_response_only(200)
            h.send_header('Content-Length', str(len(part)))
            h.send_header('X-Drover-Length', '10')
            h.end_headers()
            h.wfile.write(part)
        self.fake.on('GET ' + API + 'builds/libfoo/linux/42/logs/test', log)
        self.serve_build(steps=[step('test', log=b'0123456789')])
        self.assertEqual(self.run_cli('log', 'linux/42:test', '--raw'), b'0123456789')

    def test_json(self):
        data = 'é "x"\\\n'.encode() + HOSTILE
        self.serve_log(data, gzip=False)
        self.serve_build(steps=[step('test', log=data)])
        lines = [json.loads(x) for x in self.run_cli('log', 'linux/42:test', '--json').splitlines()]
        self.assertEqual(''.join(x['log']['text'] for x in lines), data.decode(errors='replace'))
        self.assertEqual((lines[0]['log']['from'], lines[0]['log']['step']), (0, 'test'))

    def test_full_disk(self):
        data = b'x' * 3000000
        self.serve_log(data)
        self.serve_build(steps=[step('test', log=data)])
        with open('/dev/full', 'wb') as full:
            p = subprocess.run([PROGRAM, 'log', 'linux/42:test', '--raw'], env=self.env, stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual((p.returncode, p.stderr), (3, b"drover: can't write the output: No space left on device\n"))

    def test_missing(self):
        self.serve_build(steps=[step('test')])
        self.run_cli('log', 'linux/42:tset', code=2)
        self.assertIn('it has: test', self.err)
        self.fake.on('GET ' + API + 'builds/no/such/1', lambda h, a: h.error(404, 'not_found', 'there is no such builder'))
        self.run_cli('log', 'no/such/1', code=2)


class Play:
    """A build that goes on while somebody follows it: one request, attempts one after the other, steps that write logs piece by piece."""

    def __init__(self, fake, attempts=1):
        self.fake, self.lock = fake, fake.lock
        self.state, self.result, self.builds, self.why, self.away = 'pending', None, [], 'build1 is full', False
        self.cuts = {}       # step: raw offsets at which the connection is cut
        self.froms = []
        fake.on('POST ' + API + 'builds', lambda h, a: h.send_json({'buildset': 's77', 'requests': ['r118']}, 201))
        fake.on('GET ' + API + 'status', lambda h, a: h.send_json({'event': len(fake.events), 'database': {'up': True}}))
        fake.on('GET ' + API + 'events', self.guard(fake.serve_events))
        fake.on('GET ' + API + 'requests/r118', self.guard(lambda h, a: h.send_json(self.request())))
        fake.on('GET ' + API + 'requests/r118/why', self.guard(lambda h, a: h.send_json({'state': self.state, 'reason': {'kind': 'slots', 'text': self.why}})))
        fake.on('GET ' + API + r'builds/libfoo/linux/(\d+)', self.guard(lambda h, a, n: h.send_json(self.build(int(n)))))
        fake.on('GET ' + API + r'builds/libfoo/linux/(\d+)/logs/(.*)', self.guard(self.log))

    def guard(self, f):
        def guarded(h, asked, *groups):
            if self.away:
                h.error(503, 'database_away', 'the database is away', None, [('Retry-After', '1')])
            else:
                f(h, asked, *groups)
        return guarded

    def request(self):
        with self.lock:
            return request(self.state, self.result, ['libfoo/linux/%d' % b['n'] for b in self.builds])

    def build(self, n):
        with self.lock:
            b = next(b for b in self.builds if b['n'] == n)
            return build(n, b['result'], b['state'], [step(s['name'], s['result'], s['log'], s.get('kind', 'run')) for s in b['steps']], attempt=n - 41, why=b.get('why'))

    def tell(self):
        self.fake.tell('libfoo/linux/42', body={'request': 'r118'})

    def begin(self, n=42):
        with self.lock:
            self.state = 'claimed'
            self.builds.append({'n': n, 'result': None, 'state': 'running', 'steps': []})
        self.tell()

    def begin_step(self, name, **kw):
        with self.lock:
            self.builds[-1]['steps'].append({'name': name, 'result': None, 'log': b'', **kw})
        self.tell()

    def write(self, data):
        with self.lock:
            self.builds[-1]['steps'][-1]['log'] += data
            self.fake.changed.notify_all()

    def end_step(self, result=0):
        with self.lock:
            self.builds[-1]['steps'][-1]['result'] = result
            self.fake.changed.notify_all()
        self.tell()

    def end(self, result=0, why=None, last=True):
        with self.lock:
            self.builds[-1].update(result=result, state='done', why=why)
            self.state, self.result = ('done', result) if last else ('pending', None)
        self.tell()

    def log(self, h, asked, n, name):
        at = int(asked.query.get('from', 0))
        with self.lock:
            b = next(b for b in self.builds if b['n'] == int(n))
            s = next((s for s in b['steps'] if s['name'] == name), None)
            self.froms.append((name, at))
        if not s:
            h.error(404, 'not_found', 'no step')
            return
        follow = asked.query.get('follow') == '1'
        h.begin('text/plain', [('X-Drover-Length', str(len(s['log'])))])
        while True:
            with self.lock:
                if follow and len(s['log']) <= at and s['result'] is None and b['state'] != 'done' and not self.fake.stopping:
                    self.fake.changed.wait(0.2)
                data, over = s['log'][at:], s['result'] is not None or b['state'] == 'done'
                cuts = self.cuts.get(name) or []
                cut = next((c for c in cuts if at <= c < at + len(data)), None)
                if cut is not None:
                    cuts.remove(cut)
                    data = data[:cut - at]
            if cut is not None:
                h.wfile.write(b'%x\r\n' % (len(data) + 7) + data)
                raise Cut()
            h.chunk(data)
            at += len(data)
            if self.fake.stopping:
                raise Cut()
            if not follow or (over and at == len(s['log'])):
                break
        h.end()


def no_times(text):
    text = re.sub(r'(?<= )[0-9:.]+ (ms|s|min)\b', 'T', text)
    return re.sub(r' +(?=T)', ' ', text)


class Following(Cli):
    def test_from_request_to_result(self):
        play = Play(self.fake)
        p = self.start_cli('build', 'libfoo/linux', '--follow')
        p.until('build1 is full')
        asked = len(self.fake.requests(pattern='.*/why'))
        play.tell()
        until(lambda: len(self.fake.requests(pattern='.*/why')) > asked)
        play.why = 'no worker has tag x'
        play.tell()
        p.until('no worker has tag x')
        play.begin()
        play.begin_step('checkout', kind='git')
        play.end_step()
        play.begin_step('build')
        until(lambda: ('build', 0) in play.froms)
        play.write(b'cc -c a.c\n')
        play.write(b'cc -c b.c')
        play.end_step()
        play.end()
        out = no_times(self.finish(p).decode())
        self.assertEqual(out, '''\
requested  r118 of buildset s77
waiting   r118: build1 is full
waiting   r118: no worker has tag x
build     libfoo/linux/42 on build1, because scheduler commits saw c1
  checkout T   a1b2c3d
── build ──
cc -c a.c
cc -c b.c
  build T
SUCCESS   libfoo/linux/42 in T, log 19 B (4 B stored)
'''.replace('requested  r118 of buildset s77\n', ''))

    def test_results_as_exit_codes(self):
        for result, code in ((0, 0), (1, 0), (2, 1), (3, 4), (4, 3), (5, 3), (6, 4)):
            play = Play(self.fake)
            play.begin()
            play.end(result)
            text = self.text('build', 'libfoo/linux', '--wait', code=code)
            self.assertRegex(text, r'^[A-Z]+ +libfoo/linux/42 in 43.6 s, log 0 B \(0 B stored\)\n$')
            self.text('watch', 'libfoo/linux/42', code=code)
            self.text('watch', 'r118', code=code)

    def test_never_started(self):
        play = Play(self.fake)
        play.state, play.result = 'done', 6
        self.assertEqual(self.text('watch', 'r118', code=4), 'CANCELLED  r118 of libfoo/linux never started\n')

    def test_buildset(self):
        play = Play(self.fake)
        play.begin()
        play.end(0)
        self.fake.on('GET ' + API + 'requests/r119', request(result=2, builds=('libfoo/linux/43',), id='r119'))
        self.fake.on('GET ' + API + 'builds/libfoo/linux/43', build(43, 2))
        self.fake.on('GET ' + API + 'buildsets/s77', {'id': 's77', 'requests': [request(), request(id='r119')]})
        text = self.text('watch', 's77', code=1)
        self.assertIn('SUCCESS   libfoo/linux/42', text)
        self.assertIn('FAILURE   libfoo/linux/43', text)

    def test_new_attempt(self):
        play = Play(self.fake)
        play.begin()
        play.begin_step('build')
        p = self.start_cli('watch', 'r118')
        until(lambda: ('build', 0) in play.froms)
        play.write(b'first attempt\n')
        play.end(5, 'worker build1 was lost', last=False)
        p.until('was lost')
        play.begin(43)
        play.begin_step('build')
        play.write(b'second attempt\n')
        play.end_step()
        play.end()
        out = self.finish(p).decode()
        self.assertEqual(out.count('first attempt'), 1)
        self.assertEqual(out.count('second attempt'), 1)
        self.assertIn('RETRY     libfoo/linux/42 in', out)
        self.assertIn(': worker build1 was lost', out)
        self.assertIn('libfoo/linux/43 on build1, attempt 2', out)

    def test_cuts_and_restarts_lose_no_byte(self):
        rnd = random.Random(3)
        play = Play(self.fake)
        play.begin()
        play.begin_step('build')
        p = self.start_cli('log', 'libfoo/linux/42:build', '--follow', '--raw', '--retry', '10m')  # it says once in that time that it tries again
        data = b''
        until(lambda: play.froms)
        for i in range(60):
            piece = bytes(rnd.randrange(256) for _ in range(rnd.randrange(1, 5000)))
            with play.lock:
                if rnd.random() < 0.5:
                    play.cuts.setdefault('build', []).append(len(data) + rnd.randrange(len(piece)))
            data += piece
            play.write(piece)
            if i % 20 == 10:
                seen = len(play.froms)
                self.fake.stop()
                time.sleep(0.15)
                self.fake.start()
                until(lambda: len(play.froms) > seen)
            elif i % 20 == 15:
                play.away = True
                play.cuts.setdefault('build', []).append(len(data))
                play.write(b'!')
                data += b'!'
                time.sleep(0.15)
                play.away = False
            time.sleep(0.005)
        play.end_step()
        play.end()
        out = self.finish(p)
        self.assertEqual(len(out), len(data))
        self.assertEqual(out, data)
        self.assertEqual(self.err.count('trying again'), 1, self.err)
        self.assertGreater(len(play.froms), 10)

    def test_master_restarts_while_a_build_is_followed(self):
        play = Play(self.fake)
        p = self.start_cli('build', 'libfoo/linux', '-f')
        until(lambda: self.fake.requests(pattern='.*/events'))
        self.fake.stop()
        play.begin()
        play.begin_step('build')
        play.write(b'one\n')
        p.until('trying again', 'err')
        self.fake.start()
        p.until('one\n')
        self.fake.stop()
        play.write(b'two\n')
        play.end_step(1)
        play.end(1)
        time.sleep(0.3)
        self.fake.start()
        out = self.finish(p).decode()
        self.assertEqual((out.count('one\n'), out.count('two\n')), (1, 1), out)
        self.assertIn('WARNINGS  libfoo/linux/42', out)
        self.assertEqual(self.err.count('trying again for 1:00 min'), 1, self.err)

    def test_events_resume_after_the_last_one(self):
        play = Play(self.fake)
        for _ in range(5):
            self.fake.tell('worker/x')
        p = self.start_cli('watch', 'r118')
        until(lambda: self.fake.requests(pattern='.*/events'))
        self.assertEqual(self.fake.requests(pattern='.*/events')[0].headers['Last-Event-ID'], '5')
        looks = len(self.fake.requests(pattern='.*/r118'))
        play.tell()
        until(lambda: len(self.fake.requests(pattern='.*/r118')) > looks + 1)
        self.fake.stop()
        self.fake.start()
        until(lambda: len(self.fake.requests(pattern='.*/events')) > 1)
        self.assertEqual(self.fake.requests(pattern='.*/events')[-1].headers['Last-Event-ID'], '6')
        play.begin()
        play.end()
        self.finish(p)

    def test_an_event_is_acted_upon_at_once(self):
        """Without the event it would look after 5 s, for an event about something else after 1 s. A busy machine gets several tries."""
        took = []
        while len(took) < 5 and (not took or took[-1] > 0.7):
            play = Play(self.fake)
            p = self.start_cli('watch', 'r118')
            p.until('waiting')
            begun = time.monotonic()
            play.begin()
            play.end()
            self.finish(p)
            took.append(time.monotonic() - begun)
        self.assertLess(min(took), 0.7, took)

    def test_gives_up(self):
        play = Play(self.fake)
        p = self.start_cli('watch', 'r118', '--retry', '1s')
        until(lambda: self.fake.requests(pattern='.*/events'))
        self.fake.stop()
        self.finish(p, 5)
        self.assertIn('given up after', self.err)

    def test_lost_log_does_not_hang(self):
        """The step's row says more than there is, for good."""
        play = Play(self.fake)
        play.begin()
        play.begin_step('build')
        play.write(b'abc\n')
        play.end_step(4)
        play.end(4)
        whole = play.build(42)
        whole['steps'][0]['logs'][0]['length'] = 100
        self.fake.on('GET ' + API + 'builds/libfoo/linux/42', whole)
        self.assertIn('abc\n', self.text('watch', 'libfoo/linux/42', code=3))

    def test_interrupt(self):
        play = Play(self.fake)
        play.begin()
        play.begin_step('build')
        p = self.start_cli('watch', 'libfoo/linux/42')
        until(lambda: ('build', 0) in play.froms)
        play.write(b'half a line')
        p.until('half a line')
        p.p.send_signal(signal.SIGINT)
        out = self.finish(p, 130).decode()
        self.assertIn('half a line', out)
        self.assertIn('libfoo/linux/42 goes on; to stop it: drover cancel libfoo/linux/42', self.err)
        self.assertEqual(self.fake.requests('POST'), [])

    def test_json_stream(self):
        play = Play(self.fake)
        play.begin()
        play.begin_step('build')
        play.write(HOSTILE)
        play.end_step()
        play.end(2)
        lines = [json.loads(x) for x in self.text('build', 'libfoo/linux', '--follow', '--json', code=1).splitlines()]
        self.assertEqual([list(x)[0] for x in lines], ['build', 'log', 'step', 'build', 'request'])
        self.assertEqual(lines[1]['log']['text'], HOSTILE.decode(errors='replace'))
        self.assertEqual(lines[-1]['request']['result'], 2)

    def test_log_of_a_whole_build_followed(self):
        play = Play(self.fake)
        play.begin()
        play.begin_step('a')
        p = self.start_cli('log', 'libfoo/linux/42', '-f')
        until(lambda: ('a', 0) in play.froms)
        play.write(b'1\n')
        play.end_step()
        play.begin_step('b')
        play.write(b'2\n')
        play.end_step(2)
        play.end(2)
        self.assertEqual(self.finish(p).decode(), '── a ──\n1\n── b ──\n2\n')

    def test_hostile_log_on_a_terminal(self):
        play = Play(self.fake)
        play.begin()
        play.begin_step('build\x1b]0;x\x07')
        play.write(HOSTILE + b'\x1b[31mleft red')
        play.end_step()
        play.end(0, 'why \x1b[2J')
        out = self.on_terminal('watch', 'libfoo/linux/42')
        self.assertIn(b'left red\x1b[0m\n', out)
        rest = re.sub(rb'\x1b\[[0-9;]*m', b'', out)
        self.assertEqual(set(rest) & set(range(32)), {10})


if __name__ == '__main__':
    unittest.main()
