// Home: what runs, what waits and why, what broke, what has just ended.
import { get } from './api.js';
import { to } from './base.js';
import { h, show } from './dom.js';
import { badge, branch, builderName, buildPath, buildRow, firstLine, idPath, person, problem, revision, row, rows, section, stateOf } from './parts.js';
import { setTitle } from './shell.js';
import { watch } from './store.js';
import { ago, duration, now, runs, stamp } from './time.js';

function bar(b) {
  if (!b.expected)
    return null;
  const part = Math.min(0.98, b.duration / b.expected);
  return h('progress', { class: 'bar', value: part.toFixed(3), max: 1, 'aria-label': 'of about ' + duration(b.expected), title: 'usually ' + duration(b.expected) });
}

function runningRow(b) {
  const at = b.now ? h('span', { class: 'chip' }, b.now.name, b.now.state !== 'run' ? [' · ', b.now.state] : null) : null;
  return row({
    id: b.id, state: stateOf(b), href: buildPath(b), title: [builderName(b.project, b.builder), h('span', { class: 'no' }, '#', b.number)],
    sub: [at, branch(b.branch), revision(b.got_revision || b.revision), b.reason],
    side: [h('span', {}, runs(now() - b.duration), b.expected ? h('span', { class: 'dim' }, ' of ~', duration(b.expected)) : null), b.worker],
    more: bar(b),
  });
}

function waitingRow(r) {
  return row({
    id: r.id, state: 'pending', href: to('requests', r.id), title: [builderName(r.project, r.builder), h('span', { class: 'no' }, r.id)],
    sub: [r.waits ? h('span', { class: 'why', 'data-test': 'why' }, r.waits.text) : null, branch(r.branch), revision(r.revision), r.tags.length ? 'on ' + r.tags.join(', ') : null],
    side: [['for ', runs(r.created)]],
  });
}

function brokenRow(x) {
  const c = x.change;
  return row({
    id: x.id, state: x.last.result_text, href: idPath(x.last.id), title: [builderName(x.project, x.name), h('span', { class: 'no' }, '#', x.last.number)],
    sub: [x.last.why || null, c ? h('span', {}, 'since ', h('a', { href: to('changes', c.id) }, c.id), ' ', h('q', {}, firstLine(c.message)), ' by ', person(c.author)) : ['since ', h('a', { href: idPath(x.since) }, x.since)],
      x.count > 1 ? x.count + ' times in a row' : null, x.good === null ? 'never good' : ['good was ', h('a', { href: to('builds', x.project, x.name, x.good) }, '#' + x.good)]],
    side: [badge(x.last.result_text), ago(x.last.finished)],
  });
}

// "site", "project/libfoo", "builder/libfoo/linux", "worker/build1"
function pausedRow(p) {
  const [kind, ...name] = p.object.split('/');
  const href = kind === 'worker' ? to('workers', ...name) : kind === 'builder' && !/[\[]/.test(name[1]) ? to('builders', ...name) : to('builders');
  return row({
    id: p.object, state: 'pending', href, title: kind === 'site' ? 'The whole site' : [h('span', { class: 'dim' }, kind, ' '), name.join('/')],
    sub: [p.reason, 'by ' + p.who], side: [p.until === null ? null : ['until ', stamp(p.until)], ago(p.since)],
  });
}

function summary(status, broken) {
  const n = status.counts, some = (k, word, state) => h('div', { class: 'sum ' + (k ? 's-' + state : '') }, h('b', {}, k === null ? '–' : k), ' ', word);
  return h('div', { class: 'sums', 'data-key': 'sums' }, some(n.running, 'running', 'running'), some(n.pending === null ? null : n.pending + n.waiting, 'waiting', 'pending'), some(broken.length, 'broken', 'failure'),
    some(n.workers_connected, n.workers_connected === 1 ? 'worker here' : 'workers here', ''));
}

export function home(main) {
  setTitle('Home', null);
  const w = watch({
    load: (signal) => Promise.all([get(['status'], {}, signal), get(['broken'], {}, signal)]),
    wants: () => true,
    shown([status, { items: broken }]) {
      const n = status.counts;
      setTitle(broken.length ? broken.length + ' broken' : n.running ? n.running + ' running' : 'Home', broken.length ? 'failure' : n.running ? 'running' : 'success');
      show(main, h('h1', { class: 'sr', 'data-key': 'h1' }, 'Home'), summary(status, broken),
        h('div', { class: 'cols', 'data-key': 'cols' },
          h('div', { class: 'col' },
            status.pauses.length ? section('paused', 'Paused', status.pauses.length, rows(status.pauses.map(pausedRow), '')) : null,
            section('running', 'Running', n.running || null, rows(status.running.map(runningRow), 'Nothing runs.')),
            section('waiting', 'Waiting', n.pending + n.waiting || null, rows(status.waiting.map(waitingRow), 'Nothing waits.'))),
          h('div', { class: 'col' },
            section('broken', 'Broken', broken.length || null, rows(broken.map(brokenRow), 'Nothing is broken.')),
            section('done', 'Just ended', null, rows(status.ended.map((b) => buildRow(b)), 'No build has ended yet.')))));
    },
    failed(e) {
      if (!main.firstChild)
        show(main, problem(e));
    },
  });
  return w;
}
