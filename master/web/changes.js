// Changes with what came of them; one change.
import { get } from './api.js';
import { to } from './base.js';
import { h, show } from './dom.js';
import { RESULTS, badge, branch, builderName, codebase, crumbs, commandLine, fact, firstLine, idPath, mark, person, problem, revision, row, rows, section, stamps } from './parts.js';
import { setTitle } from './shell.js';
import { watch } from './store.js';
import { ago, stamp } from './time.js';

const PAGE = 50;
const SEVERITY = ['exception', 'failure', 'retry', 'cancelled', 'running', 'pending', 'warnings', 'success', 'skipped'];

const stateOfRequest = (r) => r.state === 'done' ? RESULTS[r.result] : r.state === 'claimed' ? 'running' : 'pending'; // also what waits for others

function worst(change) {
  const all = change.requests.map(stateOfRequest);
  return SEVERITY.find((s) => all.includes(s)) || (change.state === 'reading' ? 'pending' : change.state === 'failed' ? 'exception' : 'none');
}

function outcome(c) {
  return h('span', { class: 'marks' }, c.requests.slice(0, 12).map((r) => h('a', { class: 'chip', href: r.build ? idPath(r.build) : to('requests', r.id) }, mark(stateOfRequest(r)), r.builder)));
}

// What it is of: a branch, a tag, a pull request.
function source(c) {
  return c.kind === 'pull_request' ? ['pull request ' + c.number + ' into ', branch(c.branch)] : c.kind === 'tag' ? ['tag ', h('code', {}, c.branch)] : branch(c.branch);
}

// What a scheduler says of it, and why.
function verdict(v) {
  const word = v.verdict === 'no' ? 'builds nothing' : v.verdict === 'waits' ? ['waits until ', stamp(v.until), ', longer if more changes come'] : 'builds';
  return fact(v.scheduler, word, v.why ? ': ' + v.why : null, v.buildset ? [' ', h('a', { href: to('buildsets', v.buildset) }, v.buildset)] : null);
}

function changeRow(c) {
  return row({
    id: c.id, state: worst(c), href: to('changes', c.id), title: firstLine(c.message) || c.revision.slice(0, 10),
    sub: [h('span', { class: 'no' }, c.id), codebase(c), source(c), revision(c.revision), person(c.author), c.state === 'reading' ? 'its pipeline is being read' : c.error || null],
    side: [ago(c.created)], more: c.requests.length ? outcome(c) : null,
  });
}

export function changes(main) {
  setTitle('Changes', null);
  let pages = 1;
  const w = watch({
    async load(signal) {
      let items = [], next = null;
      for (let i = 0; i < pages; i++) {
        const page = await get(['changes'], { limit: PAGE, before: next }, signal);
        items = items.concat(page.items);
        next = page.next;
        if (next === null)
          break;
      }
      return { items, next };
    },
    wants: (e) => /^(change|request|build)\./.test(e.type),
    shown({ items, next }) {
      show(main, h('h1', { 'data-key': 'h1' }, 'Changes'), section('changes', 'Newest first', null, rows(items.map(changeRow), 'No changes yet. They come from polled repositories and from drover change send.'),
        next !== null ? h('button', { type: 'button', class: 'button small end', 'data-do': 'older' }, 'Older') : null));
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

function requestRow(r) {
  const state = stateOfRequest(r);
  return row({ id: r.id, state, href: r.build ? idPath(r.build) : to('requests', r.id), title: [builderName(r.project, r.builder), h('span', { class: 'no' }, r.build ? '#' + r.build.split('/')[2] : r.id)], side: [badge(state)] });
}

export function change(main, [, id]) {
  setTitle(id, null);
  return watch({
    load: (signal) => get(['changes', id], {}, signal),
    wants: (e) => e.object === id || /^(request|build)\./.test(e.type),
    shown(c) {
      const text = c.message.trimEnd(), rest = text.includes('\n') ? text.slice(text.indexOf('\n') + 1).trim() : '';
      setTitle(c.id + ' ' + firstLine(c.message), worst(c));
      show(main, crumbs(h('a', { href: to('changes') }, 'Changes')), h('h1', { 'data-key': 'h1' }, firstLine(c.message) || c.id), rest ? h('pre', { class: 'message' }, rest) : null,
        h('dl', { class: 'facts', 'data-key': 'facts' }, fact('change', c.id), fact('project', codebase(c)), c.kind === 'pull_request' ? fact('pull request', c.number + ' into ', branch(c.branch)) : fact(c.kind, branch(c.branch)), fact('revision', h('code', {}, c.revision)),
          fact('before', c.previous ? h('code', {}, c.previous.slice(0, 10)) : null), fact('author', c.author), fact('committer', c.committer === c.author ? null : c.committer), fact('category', c.category), fact('written', c.author_at ? stamp(c.author_at) : null), fact('told by', c.told_by), fact('seen', ago(c.created))),
        section('requests', 'What came of it', c.requests.length || null, c.requests.length ? rows(c.requests.map(requestRow), '') : h('p', { class: 'none' }, c.why || 'Nothing.')),
        c.verdicts.length ? section('verdicts', 'What the schedulers say', null, h('dl', { class: 'facts' }, c.verdicts.map(verdict))) : null,
        c.stamps ? section('stamps', 'With which revisions', null, h('dl', { class: 'facts' }, stamps(c.stamps))) : null,
        c.files.length ? section('files', 'Files', c.files.length, h('ul', { class: 'files' }, c.files.map((f) => h('li', {}, h('code', {}, typeof f === 'string' ? f : f.path || JSON.stringify(f)))))) : null,
        h('div', { class: 'cmds', 'data-key': 'cmds' }, commandLine('drover why ' + c.id, 'why')));
    },
    failed(e) {
      show(main, problem(e));
    },
  });
}
