#!/usr/bin/python3
"""drover scheduler: what each verb asks, and its texts, word for word, against a scripted API."""
import os, re, sys, time, unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'lib')]
from test_cli import API, HOUR, Cli

MINUTE = 60000


def now():
    return int(time.time() * 1000)


def day(n, hour):
    """That hour of the day n days from today, UTC."""
    return (now() // (24 * HOUR) + n) * 24 * HOUR + hour * HOUR


def shown(ms):
    return time.strftime('%Y-%m-%d %H:%M', time.gmtime(ms / 1000))


def scheduler(name, kind, spec, due=None, last=None, disabled=None, **more):
    return dict({'id': 'libfoo/' + name, 'project': 'libfoo', 'name': name, 'kind': kind, 'spec': {'builders': ['linux', 'dist'], **spec}, 'due_at': due, 'scheduled': None,
                 'built': None, 'disabled': disabled, 'last': last}, **more)


def decision(ago, what, why, buildset=None):
    return {'at': now() - ago, 'scheduled': None, 'what': what, 'why': why, 'buildset': buildset, 'change': None}


def all_kinds():
    return [scheduler('again', 'every', {'every': 4 * HOUR, 'missed': 'skip'}, now() + 12 * MINUTE + 30000, decision(3 * HOUR, 'missed', '3 times missed, the last at 2024-07-01 02:30:00 UTC (missed: skip)')),
            scheduler('commits', 'change', {'branches': ['main', 'release/*'], 'stable': 30000}, None, decision(2 * MINUTE, 'built', 'main was quiet, saw c7,c8', 's77')),
            scheduler('every', 'change', {'branches': [], 'stable': 0}, None, None, {'at': now() - 5 * MINUTE, 'by': 'anna', 'reason': None}),
            scheduler('nightly', 'cron', {'cron': '0 3 * * *', 'zone': 'Europe/Berlin', 'missed': 'once', 'only_if': 'changed'}, day(1, 3), decision(HOUR, 'nothing', 'due 2024-07-01 03:00 Europe/Berlin: main is at a1b2c3d4e5f6 still, which it built last')),
            scheduler('release', 'force', {'parameters': []}),
            scheduler('review', 'pull_request', {'branches': ['main']}),
            scheduler('tags', 'tag', {'tags': ['v*']})]


class Schedulers(Cli):
    def test_list(self):
        self.fake.on('GET ' + API + 'schedulers', {'items': all_kinds(), 'next': None})
        self.assertEqual(self.text('scheduler', 'list'), """\
SCHEDULER       SET OFF BY                                NEXT            LAST       DID      WHY
libfoo/again    every 4h, missed: skip                    in 12 min       3 h ago    missed   3 times missed, the last at 2024-07-01 02:30:00 UTC (missed: skip)
libfoo/commits  change of main, release/*, quiet for 30s  -               2 min ago  s77      main was quiet, saw c7,c8
libfoo/every    change of any branch                      disabled        -          -        -
libfoo/nightly  0 3 * * * Europe/Berlin, if changed       tomorrow 03:00  1 h ago    nothing  due 2024-07-01 03:00 Europe/Berlin: main is at a1b2c3d4e5f6 still, which it built last
libfoo/release  by hand                                   -               -          -        -
libfoo/review   pull request into main                    -               -          -        -
libfoo/tags     tag v*                                    -               -          -        -
""")
        self.assertEqual(self.fake.asked[-1].query, {})
        self.fake.on('GET ' + API + 'schedulers', {'items': [], 'next': None})
        self.assertEqual(self.text('scheduler', 'list', 'libfoo'), 'no schedulers of project libfoo\n')
        self.assertEqual(self.fake.asked[-1].query, {'project': 'libfoo'})

    def test_show(self):
        s = scheduler('nightly', 'cron', {'cron': '0 3 * * *', 'zone': 'UTC', 'missed': 'once', 'branch': 'stable/2'}, day(1, 3), next=[day(n, 3) for n in (1, 8, 9)], pending=[], trouble=None,
                      decisions=[decision(HOUR, 'built', 'due 2024-07-01 03:00 UTC, and for 2 times before that were missed', 's80'), decision(5 * HOUR, 'enabled', 'by anna')])
        self.fake.on('GET ' + API + 'schedulers/libfoo/nightly', s)
        self.assertEqual(self.text('scheduler', 'show', 'libfoo/nightly'), f"""\
name      libfoo/nightly
set off   0 3 * * * UTC
builds    linux, dist of stable/2
next      tomorrow 03:00, {shown(day(8, 3))}, {shown(day(9, 3))}
WHEN     DID      BUILDSET  WHY
1 h ago  built    s80       due 2024-07-01 03:00 UTC, and for 2 times before that were missed
5 h ago  enabled  -         by anna
""")
        s = scheduler('commits', 'change', {'branches': [], 'stable': 30000}, pending=[{'branch': 'main', 'due_at': now() + 20500, 'changes': ['c7', 'c8']}], next=[], decisions=[],
                      disabled={'at': now() - 5 * MINUTE, 'by': 'anna', 'reason': 'too loud'}, trouble='.drover.yml:2:1: unknown key\n  x: 1\n  ^\n')
        self.fake.on('GET ' + API + 'schedulers/libfoo/commits', s)
        self.fake.on('GET ' + API + 'schedulers', {'items': [s], 'next': None})
        text = self.text('scheduler', 'show', 'commits')
        self.assertRegex(text, r'until it is quiet: in (1\d|2[01]) s\n')  # as long as it took to ask
        self.assertEqual(re.sub(r'(?<=: in )\d+ s$', '21 s', text, flags=re.M), """\
name      libfoo/commits
set off   change of any branch, quiet for 30s
builds    linux, dist
disabled  by anna 5 min ago: too loud
trouble   the pipeline at the tip can't be taken over, this is an older one:
  .drover.yml:2:1: unknown key
    x: 1
    ^
waits     c7, c8 of main, until it is quiet: in 21 s
""")
        s = scheduler('release', 'force', {'parameters': [{'name': 'version', 'type': 'string', 'match': '^[0-9]+$'}, {'name': 'how', 'type': 'choice', 'choices': ['debug', 'release'], 'default': 'debug'}]},
                      next=[], pending=[], decisions=[], trouble=None)
        self.fake.on('GET ' + API + 'schedulers/libfoo/release', s)
        self.assertEqual(self.text('scheduler', 'show', 'libfoo/release'), """\
name      libfoo/release
set off   by hand
builds    linux, dist
takes     version: string that matches ^[0-9]+$
takes     how: choice of debug, release, default "debug"
""")

    def test_names(self):
        two = [scheduler('nightly', 'force', {}), {**scheduler('nightly', 'force', {}), 'id': 'libbar/nightly'}]
        self.fake.on('GET ' + API + 'schedulers', {'items': two, 'next': None})
        self.text('scheduler', 'run', 'nightly', code=2)
        self.assertEqual(self.err, 'drover: 2 projects have a scheduler nightly: name it PROJECT/NAME\n')
        self.text('scheduler', 'enable', 'nobody', code=2)
        self.assertEqual(self.err, 'drover: there is no scheduler nobody; drover scheduler list shows them all\n')

    def test_switch(self):
        self.fake.on('POST ' + API + 'schedulers/libfoo/nightly/disable', {'id': 'libfoo/nightly', 'disabled': True, 'was': False})
        self.assertEqual(self.text('scheduler', 'disable', 'libfoo/nightly', '--reason', 'too loud'),
                         'disabled  libfoo/nightly: its times and changes pass; drover scheduler enable libfoo/nightly brings it back\n')
        self.assertEqual(self.fake.asked[-1].json, {'reason': 'too loud'})
        self.fake.on('POST ' + API + 'schedulers/libfoo/nightly/enable', {'id': 'libfoo/nightly', 'disabled': False, 'was': True})
        self.assertEqual(self.text('scheduler', 'enable', 'libfoo/nightly'), 'enabled   libfoo/nightly, as it was before\n')
        self.assertEqual(self.fake.asked[-1].json, {})

    def test_run(self):
        self.fake.on('POST ' + API + 'schedulers/libfoo/release/run', lambda h, a: h.send_json({'buildset': 's9', 'requests': ['r1', 'r2']}, 201))
        self.assertEqual(self.text('scheduler', 'run', 'libfoo/release', '-p', 'version=1.2', '-p', 'n:=3', '--reason', 'now'), 'requested  r1 r2 of buildset s9; to see it: drover watch s9\n')
        self.assertEqual(self.fake.asked[-1].json, {'reason': 'now', 'parameters': {'version': '1.2', 'n': 3}})
        self.text('scheduler', 'run', 'libfoo/release', '-p', 'version', code=2)


if __name__ == '__main__':
    unittest.main()
