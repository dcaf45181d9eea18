// Builders with their last results; one builder with its builds.
import { get } from './api.js';
import { to } from './base.js';
import { h, show } from './dom.js';
import { BAD, buildRow, builderName, crumbs, commandLine, problem, row, rows, section, squares, stateOf } from './parts.js';
import { setTitle } from './shell.js';
import { watch } from './store.js';
import { ago, duration } from './time.js';

const PAGE = 50;
const ours = /^(build|request)\./;

function builderRow(b) {
  return row({
    id: b.id, state: b.running.length ? 'running' : stateOf(b.last), href: to('builders', b.project, b.name), title: builderName(b.project, b.name),
    sub: [b.running.length ? b.running.length + ' running' : null, b.pending ? b.pending + ' waiting' : null,
      b.last && b.last.state === 'done' ? ['last #', b.last.number, ' ', ago(b.last.finished), ', ', duration(b.last.duration)] : !b.last ? 'no builds yet' : null],
    more: squares(b.project, b.name, b.recent),
  });
}

export function builders(main) {
  setTitle('Builders', null);
  return watch({
    load: (signal) => get(['builders'], {}, signal),
    wants: (e) => ours.test(e.type),
    shown({ items }) {
      const bad = items.filter((b) => b.last && BAD.has(b.last.result_text)).length;
      setTitle('Builders', bad ? 'failure' : null);
      show(main, h('h1', { 'data-key': 'h1' }, 'Builders'), section('builders', 'All', items.length,
        items.length ? h('ul', { class: 'rows wide' }, items.map(builderRow)) : h('p', { class: 'none' }, 'No builders are known yet. They come with the first change of a project, or with the site\'s configuration.')));
    },
    failed(e) {
      if (!main.firstChild)
        show(main, problem(e));
    },
  });
}

export function builder(main, [, project, name]) {
  const id = project + '/' + name;
  let pages = 1;
  setTitle(id, null);

  async function load(signal) {
    const waiting = get(['requests'], { builder: id, state: 'pending' }, signal);
    let items = [], next = null;
    for (let i = 0; i < pages; i++) {
      const page = await get(['builds'], { builder: id, limit: PAGE, before: next }, signal);
      items = items.concat(page.items);
      next = page.next;
      if (next === null)
        break;
    }
    return { items, next, waiting: (await waiting).items };
  }

  const w = watch({
    load,
    wants: (e) => ours.test(e.type),
    shown({ items, next, waiting }) {
      const last = items.find((b) => b.state === 'done');
      setTitle(id, items[0] && items[0].state !== 'done' ? 'running' : last ? last.result_text : null);
      show(main, crumbs(h('a', { href: to('builders') }, 'Builders')), h('h1', { 'data-key': 'h1' }, builderName(project, name)),
        squares(project, name, items.slice(0, 30).map((b) => ({ number: b.number, state: b.state, result: b.result, duration: b.duration }))),
        waiting.length ? section('waiting', 'Waiting', waiting.length, rows(waiting.map((r) => row({
          id: r.id, state: 'pending', href: to('requests', r.id), title: r.id, sub: [r.waits ? r.waits.text : null, r.reason], side: [ago(r.created)] })), '')) : null,
        section('builds', 'Builds', null, rows(items.map((b) => buildRow(b)), 'No builds yet, or no such builder.'),
          next !== null ? h('button', { type: 'button', class: 'button small end', 'data-do': 'older' }, 'Older') : null),
        h('div', { class: 'cmds', 'data-key': 'cmds' }, commandLine('drover build ' + id, 'build it')));
    },
    failed(e) {
      if (!main.firstChild)
        show(main, problem(e));
    },
  });
  const onClick = (e) => {
    if (e.target.closest('[data-do="older"]')) {
      pages++;
      w.again();
    }
  };
  main.addEventListener('click', onClick);
  return { stop() {
    main.removeEventListener('click', onClick);
    w.stop();
  } };
}
