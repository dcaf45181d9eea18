// Pieces that several pages show: results, rows, squares, commits, command lines, what went wrong.
import { to } from './base.js';
import { h, icon } from './dom.js';
import { ago, duration } from './time.js';

// Results by their numbers in lists that carry numbers only.
export const RESULTS = ['success', 'warnings', 'failure', 'skipped', 'exception', 'retry', 'cancelled'];
export const BAD = new Set(['failure', 'exception']);

const DRAWN = {
  success: 'M3 8.6 6.4 12 13 4.8',
  warnings: 'M8 3.2v5.6M8 12.4v.2',
  failure: 'M4 4l8 8M12 4l-8 8',
  exception: 'M8 3.2v5.6M8 12.4v.2',
  retry: 'M12.5 8a4.5 4.5 0 1 1-1.4-3.2M12.5 2.5v3h-3',
  cancelled: 'M4 8h8',
  skipped: 'M5 4l4 4-4 4M11 4v8',
  running: 'M8 2.5a5.5 5.5 0 1 1-5.5 5.5',
  cancelling: 'M8 2.5a5.5 5.5 0 1 1-5.5 5.5',
  pending: 'M8 4.5V8l2.4 1.6M8 2.2a5.8 5.8 0 1 0 0 11.6 5.8 5.8 0 0 0 0-11.6',
  none: 'M5 8h.1M8 8h.1M11 8h.1',
};

export const stateOf = (b) => !b ? 'none' : b.state !== 'done' ? b.state === 'claimed' ? 'running' : b.state === 'waiting' ? 'pending' : b.state : b.result_text || 'none';

export function mark(state) {
  return h('span', { class: 'mark s-' + state, title: state }, icon(DRAWN[state] || DRAWN.none), h('span', { class: 'sr' }, state));
}

export function badge(state, attrs) {
  return h('span', { class: 'badge s-' + state, ...attrs }, icon(DRAWN[state] || DRAWN.none, { width: 14, height: 14 }), h('span', {}, state.toUpperCase()));
}

export const builderPath = (b) => to('builders', b.project, b.builder || b.name);
export const buildPath = (b) => to('builds', b.project, b.builder, b.number);
// 'libfoo/linux/42'
export const idPath = (id) => to('builds', ...id.split('/'));

export function builderName(project, name) {
  return [h('span', { class: 'dim' }, project, '/'), name];
}

// The build that triggered it.
export function parent(o) {
  return o.parent ? [h('a', { href: idPath(o.parent.build) }, o.parent.build), ':' + o.parent.step, o.parent.waits ? ', which waits for it' : null] : null;
}

// Of several codebases: a fact for each, its revision and why it is there.
export function stamps(list) {
  return (list || []).map((s) => fact(s.codebase, branch(s.branch), ' ', revision(s.revision), ' ', s.why));
}

export function codebase(o) {
  return o.codebase ? o.project + '/' + o.codebase : o.project;
}

export function revision(r) {
  return r ? h('code', { class: 'rev', title: r }, r.slice(0, 10)) : null;
}

export function branch(b) {
  return b ? h('span', { class: 'branch' }, icon('M4.5 5.5v5M4.5 2.2a1.6 1.6 0 1 0 0 3.2 1.6 1.6 0 0 0 0-3.2M4.5 10.6a1.6 1.6 0 1 0 0 3.2 1.6 1.6 0 0 0 0-3.2M11.5 3.6a1.6 1.6 0 1 0 0 3.2 1.6 1.6 0 0 0 0-3.2M11.5 6.8c0 2.6-4.5 2-7 2.6', { width: 13, height: 13, 'stroke-width': 1.3 }), b) : null;
}

export function dots(...parts) {
  return parts.filter((p) => p !== null && p !== undefined && p !== '' && p !== false).map((p) => h('span', {}, p));
}

// One row of a list: { id, state, href, title, sub: parts, side: parts, more }
export function row(r) {
  return h('li', { class: 'row', 'data-test': 'row', 'data-id': r.id },
    mark(r.state),
    h('div', { class: 'what' }, h('a', { class: 'main', href: r.href }, r.title), h('div', { class: 'sub' }, dots(...(r.sub || [])))),
    r.side ? h('div', { class: 'side' }, dots(...r.side)) : null,
    r.more || null);
}

export function rows(items, empty) {
  return items.length ? h('ul', { class: 'rows' }, items) : h('p', { class: 'none' }, empty);
}

export function section(name, title, count, body, more) {
  return h('section', { class: 'card', 'data-test': name, 'data-key': name, 'aria-labelledby': 'h-' + name },
    h('h2', { id: 'h-' + name }, title, count !== null && count !== undefined ? h('span', { class: 'count' }, count) : null, more || null), body);
}

export function buildRow(b, more) {
  return row({
    id: b.id, state: stateOf(b), href: buildPath(b), title: [builderName(b.project, b.builder), h('span', { class: 'no' }, '#', b.number)],
    sub: [branch(b.branch), revision(b.got_revision || b.revision), b.why && b.state === 'done' ? b.why : b.reason],
    side: [b.state === 'done' ? duration(b.duration) : null, b.worker, ago(b.finished || b.started)], more,
  });
}

// The last results of a builder, the newest at the right.
export function squares(project, builder, recent) {
  const tell = {};
  for (const x of recent)
    tell[stateOfRecent(x)] = (tell[stateOfRecent(x)] || 0) + 1;
  const text = Object.entries(tell).map(([k, n]) => n + ' ' + k).join(', ');
  return h('div', { class: 'squares' }, h('span', { class: 'sr' }, recent.length ? 'last ' + recent.length + ': ' + text : 'no builds yet'),
    h('span', { class: 'sqs', 'aria-hidden': 'true' }, [...recent].reverse().map((x) => h('a', {
      class: 'sq s-' + stateOfRecent(x), tabindex: '-1', href: to('builds', project, builder, x.number), 'data-key': x.number,
      title: '#' + x.number + ' ' + stateOfRecent(x) + (x.duration ? ', ' + duration(x.duration) : ''),
    }))));
}

export const stateOfRecent = (x) => x.state !== 'done' ? x.state : RESULTS[x.result] || 'none';

// A command line to be copied: what can't be done over the network can be done on the master's host.
export function commandLine(text, what) {
  return h('div', { class: 'cmd' }, h('span', { class: 'dim' }, what), h('code', {}, text),
    h('button', { type: 'button', class: 'button small', 'data-do': 'copy', 'aria-label': 'Copy: ' + text }, 'Copy'));
}

export function fact(name, ...value) {
  const there = value.flat().some((v) => v !== null && v !== undefined && v !== '' && v !== false);
  return there ? h('div', {}, h('dt', {}, name), h('dd', {}, value)) : null;
}

export function crumbs(...parts) {
  return h('nav', { class: 'crumbs', 'aria-label': 'Path' }, parts);
}

export function problem(e) {
  if (e.status === 404)
    return h('div', { class: 'problem', 'data-test': 'problem' }, h('h1', {}, 'Not there'), h('p', {}, e.message, '.'), e.help ? h('p', { class: 'dim' }, e.help) : null);
  return h('div', { class: 'problem', 'data-test': 'problem' }, h('h1', {}, e.status ? 'The master refused this' : 'Not reached'), h('p', {}, e.message, '.'), e.help ? h('p', { class: 'dim' }, e.help) : null);
}

export const firstLine = (text) => (text || '').split('\n')[0];
// "Ann <ann@example.org>" → "Ann"
export const person = (text) => (text || '').replace(/\s*<[^>]*>\s*$/, '') || text || '';
