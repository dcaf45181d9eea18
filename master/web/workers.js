// Workers with the site's pools and locks, and one of them.
import { get } from './api.js';
import { to } from './base.js';
import { h, show } from './dom.js';
import { size } from './log.js';
import { buildRow, crumbs, commandLine, fact, idPath, problem, row, rows, section } from './parts.js';
import { setTitle } from './shell.js';
import { watch } from './store.js';
import { ago, stamp } from './time.js';

const wants = (e) => /^(worker|build|lock)\./.test(e.type);
const wantsToo = (e) => wants(e) || /^(pool|paused|resumed)/.test(e.type);
const wantsAll = (e) => wantsToo(e) || /^request\./.test(e.type);
const WORDS = { ready: 'connected', new: 'never seen', closed: 'closed by its calendar', quarantine: 'in quarantine' };
const MARKS = { removed: 'cancelled', away: 'exception', new: 'none', draining: 'warnings', paused: 'pending', closed: 'pending', quarantine: 'warnings' };
const stateOf = (w) => MARKS[w.state] || (w.used ? 'running' : 'success');
const word = (w) => WORDS[w.state] || w.state;

function slots(w) {
  return h('span', { class: 'slots', title: w.used + ' of ' + w.slots + ' slots in use' }, Array.from({ length: Math.min(w.slots, 32) }, (_, i) => h('i', { class: i < w.used ? 'full' : '' })),
    h('span', { class: 'num' }, w.used + '/' + w.slots));
}

// What the worker says of itself is text, whatever it says.
function system(w) {
  const f = w.facts || {};
  return [f.os, f.arch, f.cores ? f.cores + ' cores' : null].filter(Boolean).map(String).join(' · ');
}

// "by anna 5 min ago, until today 18:00: new disk"
function paused(w) {
  const p = w.paused;
  return p ? [p.object.startsWith('worker/') ? null : p.object + ' ', 'by ', p.who, ' ', ago(p.since), p.until ? [', until ', stamp(p.until)] : null, p.reason ? ': ' + p.reason : null] : null;
}

function quarantine(w) {
  const q = w.quarantine;
  return q ? ['until ', stamp(q.until), q.count > 1 ? ', it spoilt ' + q.count + ' builds in a row' : null, q.build ? [', the last ', h('a', { href: idPath(q.build) }, q.build)] : null, ': ', q.why] : null;
}

function calendar(w) {
  return w.window ? [w.calendar, ': ', w.window.open ? 'open' : 'closed', w.window.turns ? [w.window.open ? ', closes ' : ', opens ', stamp(w.window.turns)] : ', for good'] : null;
}

function order(w) {
  const o = w.order;
  return o ? [o.drain ? 'drain, then ' : null, o.what, ' by ', o.who, ' ', ago(o.at), ': ', o.state === 'wanted' ? o.drain ? 'waits for its builds' : 'waits for the worker' : o.state === 'sent' ? 'it was told' : o.state, o.why ? ', ' + o.why : null] : null;
}

// What counts most of why it gets nothing.
function stops(w) {
  return { paused: [word(w), ' ', paused(w)], draining: [word(w), ' ', paused(w)], quarantine: [word(w), ' ', quarantine(w)], closed: w.window && w.window.turns ? [word(w), ', opens ', stamp(w.window.turns)] : word(w) }[w.state] || word(w);
}

function workerRow(w) {
  return row({ id: w.name, state: stateOf(w), href: to('workers', w.name), title: w.name,
    sub: [w.pool ? 'of pool ' + w.pool : null, h('span', { 'data-test': 'state' }, stops(w)), w.state === 'ready' ? ['since ', ago(w.since)] : w.state === 'away' ? [['since ', ago(w.lost_at)], w.paused ? [', paused ', paused(w)] : null] : null, ...w.runs.map((b) => h('a', { href: idPath(b) }, b)), w.other_version ? 'version ' + w.facts.version : null, system(w), w.tags.length ? w.tags.map((t) => h('span', { class: 'chip' }, t)) : null],
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

// A kind of reason, and how many requests it keeps from this worker.
function getsRow(g) {
  const n = g.requests;
  return row({ id: g.kind + '/' + g.object, state: g.kind === 'starting' ? 'running' : 'pending', href: to('requests', g.first), title: g.text, sub: [g.builders.join(', ') + (g.more ? ' and ' + g.more + ' more' : '')], side: [n + (n === 1 ? ' request' : ' requests')] });
}

function heldRow(l) {
  return row({ id: l.name + '/' + l.build, state: 'running', href: idPath(l.build), title: [l.name, amount(l)], sub: [l.build + (l.step ? ':' + l.step : ''), l.ghost ? 'cancelled' : null], side: [ago(l.since)] });
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
    wants: wantsAll,
    shown(w) {
      show(main, crumbs(h('a', { href: to('workers') }, 'Workers')), h('h1', { 'data-key': 'h1' }, w.name), h('p', { class: 'lead', 'data-key': 'lead' }, w.connected ? ['connected since ', ago(w.since), w.state === 'ready' ? null : ', ' + word(w)] : w.lost_at ? [word(w), ' since ', ago(w.lost_at)] : word(w)),
        h('dl', { class: 'facts', 'data-key': 'facts' }, fact('slots', slots(w)), fact('tags', w.tags.join(', ')), fact('pool', w.pool), fact('paused', paused(w)), fact('quarantine', quarantine(w)), fact('calendar', calendar(w)),
          fact('weight', w.weight === 50 ? null : w.weight === 0 ? '0: only where nobody else can' : String(w.weight)), fact('order', order(w)),
          fact('disk', w.disk ? size(w.disk.free) + ' free' + (w.disk.total ? ' of ' + size(w.disk.total) : '') + (w.disk.free < w.disk.min_free ? ', ' + size(w.disk.min_free) + ' must stay free: no new builds' : '') : null),
          fact('master', w.master), fact('address', w.peer), fact('dialled at', w.ssh && w.ssh.address), fact('not reached', w.ssh && w.ssh.why)),
        section('running', 'Running on it', w.running.length || null, rows(w.running.map((b) => buildRow(b)), 'Nothing.')),
        w.connected ? section('gets', 'What waits, and why not here', w.gets.items.reduce((n, g) => n + g.requests, 0) || null, rows(w.gets.items.map(getsRow), w.gets.why ? 'Not known: ' + w.gets.why + '.' : 'Nothing waits for a worker.')) : null,
        w.locks.length ? section('locks', 'Locks held there', w.locks.length, rows(w.locks.map(heldRow), '')) : null,
        section('host', 'What it tells of itself', null, h('dl', { class: 'facts' }, Object.entries(w.facts || {}).map(([k, v]) => fact(k, typeof v === 'object' ? JSON.stringify(v) : String(v))), fact('instance', w.instance))),
        h('div', { class: 'cmds', 'data-key': 'cmds' }, commandLine('drover worker show ' + w.name, 'more')));
    },
    failed(e) {
      show(main, problem(e));
    },
  });
}
