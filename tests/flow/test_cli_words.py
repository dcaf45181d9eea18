#!/usr/bin/python3
"""The command line's completion in real shells, verbs of the configuration, and the log of what failed, against a scripted API; and the configuration's verbs once through a real master."""
import os, shutil, subprocess, sys, threading, time, unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'lib')]
import drover
from test_cli import API, HASH, PROGRAM, Cli, build, step

DRIVER = r'''
source /dev/stdin <<<"$(drover completion bash)"
complete -p drover
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_drover
printf '%s\n' "${COMPREPLY[@]}"
'''


class Completion(Cli):
    def setUp(self):
        super().setUp()
        os.symlink(os.path.abspath(PROGRAM), os.path.join(self.folder, 'drover'))
        self.env['PATH'] = self.folder + ':' + self.env['PATH']
        self.env['DROVER_TEST_COMPLETE_MS'] = str(int(20000 * drover.BUSY))
        self.fake.on('GET ' + API + 'builders', {'items': [{'id': 'libfoo/linux'}, {'id': 'libfoo/dist'}, {'id': 'libbar/linux[gcc,c++]'}, {'id': 'evil/$(touch\x20x)'}], 'next': None})
        self.fake.on('GET ' + API + 'workers', {'items': [{'name': 'build1'}, {'name': 'board2'}], 'next': None})
        self.fake.on('GET ' + API + 'schedulers', {'items': [{'id': 'libfoo/nightly'}], 'next': None})
        self.fake.on('GET ' + API + 'projects', {'items': [{'name': 'libfoo'}], 'next': None})

    def shell(self, *argv):
        p = subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        self.assertEqual((p.returncode, p.stderr), (0, ''), p.stdout)
        return p.stdout

    def bash(self, *words):
        out = self.shell('bash', '--norc', '-c', DRIVER, 'bash', 'drover', *words).splitlines()
        self.assertEqual(out[0], 'complete -o default -F _drover drover')
        return [x for x in out[1:] if x]

    def test_bash(self):
        first = self.bash('')
        for word in ('status', 'build', 'worker', 'config', 'completion', 'help'):
            self.assertEqual(first.count(word), 1, word)
        self.assertNotIn('complete', first)
        self.assertEqual(self.bash('st'), ['status'])
        self.assertLessEqual({'add', 'list', 'remove', 'show'}, set(self.bash('worker', '')))
        self.assertNotIn('worker', self.bash('worker', ''))
        self.assertEqual(self.bash('worker', 'rem'), ['remove'])
        self.assertEqual(self.bash('worker', 'remove', 'b'), ['build1', 'board2'])
        self.assertEqual(self.bash('worker', 'add', ''), [])
        self.assertEqual(set(self.bash('scheduler', '')), {'list', 'show', 'enable', 'disable', 'run'})
        self.assertEqual(self.bash('scheduler', 'run', ''), ['libfoo/nightly'])
        self.assertEqual(self.bash('scheduler', 'list', ''), ['libfoo'])
        self.assertEqual(self.bash('build', ''), ['libfoo/linux', 'libfoo/dist', r'libbar/linux\[gcc\,c++\]'])  # and nothing that a shell would run
        self.assertEqual(self.bash('build', 'libfoo/linux', ''), [])
        self.assertEqual(self.bash('build', '-b', 'main', 'libfoo/d'), ['libfoo/dist'])
        self.assertEqual(self.bash('show', 'libfoo/l'), ['libfoo/linux/last'])
        for typed in (r'libbar/linux\[gc', 'libbar/l', 'libbar/linux[gcc,'):  # the shell's own quoting, or none
            self.assertEqual(self.bash('show', typed), [r'libbar/linux\[gcc\,c++\]/last'])
        self.assertEqual(self.bash('show', "'libbar/linux[g"), ['libbar/linux[gcc,c++]/last'])  # inside quotes nothing is quoted again
        self.assertIn('--follow', self.bash('build', 'x', '--'))
        self.assertNotIn('--raw', self.bash('build', 'x', '--'))
        self.assertEqual(self.bash('log', '--failed', 'libfoo/d'), ['libfoo/dist/last', 'libfoo/dist'])
        self.assertEqual(self.bash('list', 'builds', '--state', 'p'), ['pending'])
        self.assertEqual(self.bash('list', 'builds', '--state', '=', 'r'), ['running'])
        self.assertEqual(self.bash('list', 'builds', '--builder', 'libfoo/l'), ['libfoo/linux'])
        self.assertEqual(self.bash('change', 'send', '--project', ''), ['libfoo'])
        self.assertEqual(self.bash('completion', ''), ['bash', 'zsh', 'fish'])
        self.assertEqual(self.bash('config', 'check', ''), [])  # then bash offers files
        self.assertEqual(self.bash('config', 'explain', 'libfoo/d'), ['libfoo/dist'])
        self.fake.on('GET ' + API + 'config/history', {'items': [{'version': 12, 'refused': None}, {'version': 11, 'refused': {'count': 1}}, {'version': 10, 'refused': None}], 'next': None})
        self.assertEqual(self.bash('config', 'rollback', '1'), ['12', '10'])

    def test_no_master_or_a_silent_one(self):
        self.env['DROVER_SOCKET'] = os.path.join(self.folder, 'nobody')
        self.assertEqual(self.bash('build', ''), [])
        self.assertEqual(self.bash('st'), ['status'])
        self.assertEqual(self.bash('--socket', self.fake.path, 'build', 'libfoo/l'), ['libfoo/linux'])
        self.env['DROVER_SOCKET'] = self.fake.path
        del self.env['DROVER_TEST_COMPLETE_MS']
        over = threading.Event()
        self.addCleanup(over.set)
        self.fake.on('GET ' + API + 'builders', lambda h, a: over.wait(60 * drover.BUSY))
        begin = time.monotonic()
        self.assertEqual(self.bash('build', ''), [])
        self.assertLess(time.monotonic() - begin, 25)  # not the 30 s of other calls

    def test_all_shells_read_their_script(self):
        for shell, flag in (('bash', '-n'), ('zsh', '-n'), ('fish', '--no-execute')):
            path = os.path.join(self.folder, shell)
            with open(path, 'w') as f:
                f.write(self.text('completion', shell))
            if shutil.which(shell):
                self.shell(shell, flag, path)
        self.run_cli('completion', 'csh', code=2)

    @unittest.skipUnless(shutil.which('fish'), 'fish is not installed')
    def test_fish(self):
        self.env['HOME'] = self.folder
        out = self.shell('fish', '--no-config', '-c', 'drover completion fish | source; complete -C "drover build libfoo/l"')
        self.assertEqual(out.split(), ['libfoo/linux'])
        out = self.shell('fish', '--no-config', '-c', r'drover completion fish | source; complete -C "drover build libbar/linux\\[g"')
        self.assertEqual(out.split(), ['libbar/linux[gcc,c++]'])

    @unittest.skipUnless(shutil.which('zsh'), 'zsh is not installed')
    def test_zsh(self):
        out = self.shell('zsh', '-f', '-c', 'compdef() {}; compadd() { shift; print -l -- "$@" }; _files() { print files }\n'
                         'eval "$(drover completion zsh)"; words=(drover build libfoo/l); CURRENT=3; _drover; ' r"words=(drover build 'libbar/linux\[g'); _drover")
        self.assertEqual(out.split(), ['libfoo/linux', 'libbar/linux[gcc,c++]'])


class Failed(Cli):
    def serve(self, results, changes=('c7',), limit_hit=False):
        """Builds 1…n of libfoo/linux with these results."""
        items = [build(n, r, buildset=f's{n}') for n, r in enumerate(results, 1)][::-1]
        self.fake.on('GET ' + API + 'builds', {'items': items, 'next': None})
        for b in items:
            self.fake.on('GET ' + API + f"builds/libfoo/linux/{b['number']}", {**b, 'steps': [step('build'), step('test', 2, b'parse.c:88: no\n', commands=[{'id': '1-2', 'code': 2}])]})
            self.fake.on('GET ' + API + f"buildsets/s{b['number']}", {'id': f"s{b['number']}", 'changes': [f"c{b['number']}"], 'requests': []})
            self.fake.on('GET ' + API + f"changes/c{b['number']}", {'id': f"c{b['number']}", 'revision': HASH, 'author': 'bob <b@x>', 'message': f"Faster parser {b['number']}\n\nmore"})
        self.serve_log(b'parse.c:88: no\n')

    def head(self, *args):
        return self.text('log', '--failed', *args).splitlines()[0]

    def test_since(self):
        self.serve([0, 2, 6, 2, 0])
        self.assertEqual(self.head('libfoo/linux'), 'libfoo/linux/4:test  FAILURE exit 2 after 4.0 s      since libfoo/linux/2, c2 a1b2c3d bob "Faster parser 2"')
        self.assertEqual(self.head('libfoo/linux/2').split('      ')[1], 'since libfoo/linux/2, c2 a1b2c3d bob "Faster parser 2"')
        self.serve([2, 2])
        self.assertTrue(self.head('libfoo/linux').endswith('at least since libfoo/linux/1, c1 a1b2c3d bob "Faster parser 1"'))

    def test_nothing_failed(self):
        self.serve([0, 1, 6])
        self.run_cli('log', '--failed', 'libfoo/linux', code=2)
        self.assertIn('no build of libfoo/linux has failed', self.err)
        self.run_cli('log', '--failed', 'libfoo/linux/1', code=2)
        self.assertIn('did not fail', self.err)


class Configuration(Cli):
    def test_check_site(self):
        site = os.path.join(self.folder, 'master.yaml')
        os.mkdir(os.path.join(self.folder, 'conf.d'))
        with open(site, 'w') as f:
            f.write('projects: {a: {git: "https://x.example.org/a.git"}}\n')
        self.assertEqual(self.text('config', 'check', site), f'ok  {site}: 1 project, 0 workers\n')
        more = os.path.join(self.folder, 'conf.d', 'more.yaml')
        with open(more, 'w') as f:
            f.write('projects:\n  b: {gti: x}\n')
        for args in ((site,), (more,), ('--site', site)):
            self.run_cli('config', 'check', *args, code=2)
            self.assertIn(f'{more}:2:7: unknown key "gti"', self.err)

    def test_new(self):
        out = self.text('config', 'new', 'https://git.example.org/libfoo.git')
        self.assertTrue(out.startswith('projects:\n  "libfoo": {git: "https://git.example.org/libfoo.git"}'), out)
        site = os.path.join(self.folder, 'master.yaml')
        for url, name in (('git@host:group/bar', 'bar'), ('https://x.example.org/a/', 'a'), ('ssh://h/x.y.git', 'x.y')):
            with open(site, 'w') as f:
                f.write(self.text('config', 'new', url))
            self.text('config', 'check', site)
            self.assertIn(f'"{name}":', self.text('config', 'new', url))
        for url in ('-x', 'a b', 'x"y', ''):
            self.run_cli('config', 'new', url, code=2)

    def test_diff_words(self):
        self.fake.on('GET ' + API + 'config/diff', {'version': 3, 'valid': True, 'count': 0, 'diagnostics': '', 'changes': [
            {'what': 'changed', 'kind': 'setting', 'name': 'window', 'keys': []}, {'what': 'removed', 'kind': 'worker', 'name': 'build3', 'keys': []},
            {'what': 'added', 'kind': 'project', 'name': 'libfoo', 'keys': [], 'builders': ['a', 'b'], 'schedulers': ['commits']},
            {'what': 'added', 'kind': 'project', 'name': 'bar', 'keys': [], 'builders': None, 'schedulers': None},
            {'what': 'changed', 'kind': 'project', 'name': 'baz', 'keys': ['git', 'poll']}, {'what': 'added', 'kind': 'builder', 'name': 'baz/new\x07', 'keys': []}]})
        self.assertEqual(self.text('config', 'diff'), '''\
~ setting window
- worker build3, whose token stays good until: drover worker remove build3
+ project libfoo, 2 builders, scheduler commits
+ project bar, the pipeline is in the repository
~ project baz: git, poll
+ builder baz/new^G
''')
        self.fake.on('GET ' + API + 'config/diff', {'version': 3, 'valid': True, 'count': 0, 'diagnostics': '', 'changes': []})
        self.assertEqual(self.text('config', 'diff'), 'the files say what is active: configuration 3\n')


class Ssh(Cli):
    """-H ssh://…: here ssh is a script that does what sshd does with the words behind the host: one line for a shell. It writes its own words down."""

    def setUp(self):
        super().setUp()
        bin = os.path.join(self.folder, 'bin')
        os.mkdir(bin)
        os.symlink(os.path.abspath(PROGRAM), os.path.join(bin, 'drover'))
        with open(os.path.join(bin, 'ssh'), 'w') as f:
            f.write('#!/bin/sh\nprintf "%%s\\n" "$*" >>%s/words\nwhile [ "$1" != -- ]; do shift; done\nshift\nhost=$1; shift\n'
                    '[ "$host" = nowhere ] && { echo "ssh: no route" >&2; exit 255; }\nDROVER_SOCKET=%s exec sh -c "$*"\n' % (self.folder, self.fake.path))
        os.chmod(os.path.join(bin, 'ssh'), 0o755)
        self.env['PATH'] = bin + ':' + self.env['PATH']
        self.env['DROVER_SOCKET'] = '/nonexistent'

    def test_through_ssh(self):
        self.fake.on('GET ' + API + 'workers', {'items': [{'name': 'build1', 'slots': 1, 'used': 0, 'tags': []}], 'next': None})
        self.assertIn('build1', self.text('-H', 'ssh://anna@ci1:2222', 'worker', 'list'))
        self.assertIn('build1', self.text('-H', 'ssh://ci1' + self.fake.path, 'worker', 'list'))
        with open(os.path.join(self.folder, 'words')) as f:
            self.assertEqual(f.read(), f'-T -p 2222 -- anna@ci1 drover api-pipe\n-T -- ci1 drover api-pipe --socket {self.fake.path}\n')

    def test_a_large_log_and_a_post(self):
        data = os.urandom(3000000)
        self.serve_build(steps=[step('test', log=data)])
        self.serve_log(data)
        self.assertEqual(self.run_cli('log', '--raw', 'linux/42:test', '-H', 'ssh://ci1'), data)
        self.fake.on('POST ' + API + 'config/activate', {'version': 2, 'changes': []})
        self.assertIn('configuration 2 active', self.text('config', 'activate', '-H', 'ssh://ci1'))

    def test_refused(self):
        for host in ('ci1', 'ssh://-oProxyCommand=x', 'ssh://', 'ssh://a b', 'ssh://a;b', 'ssh://@a', 'ssh://u@-x', 'ssh://a:b', 'ssh://a/$(x)', 'ssh://a@b@c'):
            self.run_cli('status', '-H', host, code=2)
            self.assertIn('--host wants', self.err)
        self.run_cli('status', '-H', 'ssh://nowhere', code=5)
        self.assertIn('nothing answers through ssh://nowhere', self.err)
        with open(os.path.join(self.folder, 'words')) as f:
            self.assertEqual(f.read(), '-T -- nowhere drover api-pipe\n')  # and nothing else was ever handed to ssh


class Real(drover.Case):
    """One way through a real master, as in a day of operation."""
    PROJECTS = {}

    def cli(self, *args, code=0, **kw):
        p = subprocess.run([f'{drover.BUILD}/drover', '--socket', self.d.path('api.sock'), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **kw)
        self.assertEqual(p.returncode, code, (args, p.stdout, p.stderr))
        self.err = p.stderr
        return p.stdout

    def test_a_day(self):
        repo = self.d.path('libfoo')
        rev = drover.make_repo(repo, {'.drover.yml': 'builders:\n  linux: {steps: [{name: build, run: "true"}, {name: test, run: "echo U+FFFD; exit 3"}]}\n'})
        version = self.d.get('/status')['config']['version']
        self.assertRegex(self.cli('status'), r'next +drover config new URL')
        os.mkdir(self.d.path('conf.d'))
        with open(self.d.path('conf.d/libfoo.yaml'), 'w') as f:
            f.write(self.cli('config', 'new', repo))
        self.cli('config', 'check', self.d.path('conf.d/libfoo.yaml'))
        self.assertEqual(self.cli('config', 'diff'), '+ project libfoo, the pipeline is in the repository\n')
        out = self.cli('config', 'activate')
        self.assertEqual(out, f'+ project libfoo, the pipeline is in the repository\nconfiguration {version + 1} active\nlibfoo polled: main {rev[:7]}\n')
        self.assertRegex(self.cli('list', 'projects'), rf'libfoo +repository +(just now|\d+ s ago) +main {rev[:7]}')
        self.assertEqual(self.cli('config', 'activate'), f'configuration {version + 1} active, nothing is different\n')
        self.assertIn('libfoo.yaml', self.cli('config', 'show'))
        self.assertNotIn('libfoo.yaml', self.cli('config', 'show', str(version)))
        self.cli('config', 'show', '999', code=2)
        self.assertRegex(self.cli('config', 'history'), rf'(?m)^ +{version + 1}  .*  active$')
        # A build that fails, and what is said of it.
        self.cli('build', 'libfoo/linux', '--wait', code=1)
        out = self.cli('log', '--failed', 'linux')
        self.assertRegex(out, r'^libfoo/linux/1:test  FAILURE exit 3 after .* +at least since libfoo/linux/1, main ' + rev[:7])
        self.assertTrue(out.endswith('\nU+FFFD\n'), out)
        self.assertIn('libfoo/linux/1', self.cli('last', 'libfoo/linux'))
        # Something wrong: told in diff, activate, and status, until it is right again.
        with open(self.d.path('conf.d/libfoo.yaml'), 'a') as f:
            f.write('  oops\n')
        self.cli('config', 'diff', code=2)
        self.assertRegex(self.err, r'conf\.d/libfoo\.yaml:3:')
        self.cli('config', 'activate', code=2)
        self.assertRegex(self.err, r'conf\.d/libfoo\.yaml:3:[\s\S]*version %d stays' % (version + 1))
        self.assertRegex(self.cli('status'), r'(?m)^refused +the changed configuration, .*; version %d stays: .*libfoo\.yaml:3:' % (version + 1))
        with open(self.d.path('conf.d/libfoo.yaml'), 'w') as f:
            f.write('projects:\n  libfoo: {git: "%s"}\n  gone: {git: "/nowhere"}\n' % repo)
        self.assertIn('gone can\'t be polled: ', self.cli('config', 'activate'))
        self.assertNotIn('refused', self.cli('status'))
        self.cli('status', '--watch', code=2)
        os.unlink(self.d.path('conf.d/libfoo.yaml'))
        self.assertEqual(self.cli('config', 'activate').splitlines()[:2], ['- project libfoo', '- project gone'])


if __name__ == '__main__':
    unittest.main(verbosity=2)
