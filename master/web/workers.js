// Workers with the site's pools and locks, and one of them.
import { get } from './api.js';
import { to } from './base.js';
import { h, show } from './dom.js';
import { buildRow, crumbs, commandLine, fact, idPath, problem, row, rows, section } from './parts.js';
import { setTitle } from './shell.js';
import { watch } from './store.js';
import { ago, stamp } from './time.js';

const wants = (e) => /^(worker|build|lock)\./.test(e.type);
const wantsToo = (e) => wants(e) || /^(pool|paused|resumed)/.test(e.type);
const stateOf = (w) => w.removed ? 'cancelled' : w.connected ? w.used ? 'running' : 'success' : w.since || w.lost_at ? 'exception' : 'none';
const word = (w) => w.removed ? 'removed' : w.connected ? 'connected' : w.lost_at ? 'away' : 'never seen';

function slots(w) {
  return h('span', { class: 'slots', title: w.used + ' of ' + w.slots + ' slots in use' }, Array.from({ length: Math.min(w.slots, 32) }, (_, i) => h('i', { class: i < w.used ? 'full' : '' })),
    h('span', { class: 'num' }, w.used + '/' + w.slots));
}

// What the worker says of itself is text, whatever it says.
function system(w) {
  const f = w.facts || {};
  return [f.os, f.arch, f.cores ? f.cores + ' cores' : null].filter(Boolean).map(String).join(' · ');
}

function quarantine(w) {
  return w.quarantine ? ['in quarantine until ', h('span', {}, stamp(w.quarantine.until)), ': ', w.quarantine.why] : null;
}

function workerRow(w) {
  return row({ id: w.name, state: stateOf(w), href: to('workers', w.name), title: w.name,
    sub: [w.pool ? 'of pool ' + w.pool : null, word(w), quarantine(w), w.connected ? ['since ', ago(w.since)] : w.lost_at ? ['since ', ago(w.lost_at)] : null, system(w), w.tags.length ? w.tags.map((t) => h('span', { class: 'chip' }, t)) : null],
    side: [slots(w)] });
}

// A token for any number of workers: how many there are, and how many there may be.
function poolRow(p) {
  return row({ id: 'pool/' + p.name, state: p.connected ? p.used ? 'running' : 'success' : 'none', href: to('workers'), title: p.name,
    sub: [p.configured ? null : 'not in the configuration any more', p.count + ' of ' + p.max + ' members, ' + p.connected + ' connected', p.tags.length ? p.tags.map((t) => h('span', { class: 'chip' }, t)) : null],
    side: [h('span', { class: 'num' }, p.used + '/' + p.connected * p.slots)] });
}

// " 2", " exclusive", or which.
function amount(x) {
  return x.n === null ? ' exclusive' : x.units && x.units.length ? ' ' + x.units.join(' ') : ' ' + x.n;
}

// Who holds it, and the first in its line.
function lockRow(l) {
  const first = l.waiting[0], holds = l.holders[0];
  return row({ id: 'lock/' + l.name, state: first ? 'pending' : holds ? 'running' : 'none', title: l.name, href: first ? to('requests', first.request) : holds ? idPath(holds.build) : to('workers'),
    sub: [l.gone ? 'not in the configuration any more' : null, ...l.holders.map((x) => h('span', {}, h('a', { href: idPath(x.build) }, x.build), amount(x), x.ghost ? ' (cancelled, its worker is away)' : null)),
      first ? ['waits: ', h('a', { href: to('requests', first.request) }, first.request), amount(first), l.waiting.length > 1 ? ' and ' + (l.waiting.length - 1) + ' more' : null] : null],
    side: [l.per ? l.count + ' on each worker' : l.free + ' of ' + l.count + ' free'] });
}

export function workers(main) {
  setTitle('Workers', null);
  return watch({
    load: (signal) => Promise.all([get(['workers'], {}, signal), get(['locks'], {}, signal), get(['pools'], {}, signal)]),
    wants: wantsToo,
    shown([{ items }, { items: locks }, { items: pools }]) {
      const there = items.filter((w) => !w.removed);
      show(main, h('h1', { 'data-key': 'h1' }, 'Workers'), section('workers', 'All', there.length, rows(there.map(workerRow), 'No worker is known yet. On the master\'s host: drover worker add NAME')),
        pools.length ? section('pools', 'Pools', pools.length, rows(pools.map(poolRow), '')) : null,
        locks.length ? section('locks', 'Locks', locks.length, rows(locks.map(lockRow), '')) : null);
    },
    failed(e) {
      if (!main.firstChild)
        show(main, problem(e));
    },
  });
}

export function worker(main, [, name]) {
  setTitle(name, null);
  return watch({
    load: (signal) => get(['workers', name], {}, signal),
    wants,
    shown(w) {
      show(main, crumbs(h('a', { href: to('workers') }, 'Workers')), h('h1', { 'data-key': 'h1' }, w.name), h('p', { class: 'lead', 'data-key': 'lead' }, word(w), ' ', w.connected ? ['since ', ago(w.since)] : w.lost_at ? ['since ', ago(w.lost_at)] : null),
        h('dl', { class: 'facts', 'data-key': 'facts' }, fact('slots', slots(w)), fact('tags', w.tags.join(', ')), fact('pool', w.pool), fact('quarantine', quarantine(w)), fact('address', w.peer), fact('instance', w.instance),
          Object.entries(w.facts || {}).map(([k, v]) => fact(k, typeof v === 'object' ? JSON.stringify(v) : String(v)))),
        section('running', 'Running on it', w.running.length || null, rows(w.running.map((b) => buildRow(b)), 'Nothing.')),
        h('div', { class: 'cmds', 'data-key': 'cmds' }, commandLine('drover worker show ' + w.name, 'more')));
    },
    failed(e) {
      show(main, problem(e));
    },
  });
}
