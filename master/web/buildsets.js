// One buildset: its requests as a graph, those that come first at the left, each with what it needs.
import { get } from './api.js';
import { to } from './base.js';
import { h, show } from './dom.js';
import { RESULTS, badge, branch, builderName, commandLine, crumbs, fact, idPath, mark, parent, problem, revision, section, stamps, stateOf } from './parts.js';
import { setTitle } from './shell.js';
import { watch } from './store.js';
import { ago } from './time.js';

const nameOf = (n) => n.builder.slice(n.builder.indexOf('/') + 1);

// How many stand one behind the other before it. What is needed always has the lower number.
function levels(requests) {
  const inOrder = [...requests].sort((a, b) => a.id.slice(1) - b.id.slice(1)), level = new Map(), out = [];
  for (const r of inOrder) {
    const at = r.needs.reduce((most, n) => Math.max(most, level.has(n.request) ? level.get(n.request) + 1 : 0), 0);
    level.set(r.id, at);
    (out[at] ||= []).push(r);
  }
  return out;
}

// Of another buildset: it was built before, or is another project's.
function need(n, here, project) {
  const outside = !n.builder.startsWith(project + '/');
  return h('span', { class: 'chip' }, mark(stateOf({ state: n.state, result_text: n.result === null ? null : RESULTS[n.result] })), outside ? n.builder : nameOf(n),
    n.soft ? ' (soft)' : null, here.has(n.request) || !n.request ? null : [' ', h('a', { href: n.build ? idPath(n.build) : to('requests', n.request) }, outside ? 'there' : 'from before')]);
}

function node(r, here) {
  const state = stateOf(r), build = r.builds[r.builds.length - 1];
  return h('li', { class: 'node s-' + state, 'data-test': 'node', 'data-id': r.id, 'data-state': state },
    h('div', { class: 'head' }, mark(state), h('a', { href: build ? idPath(build) : to('requests', r.id) }, r.builder), h('span', { class: 'no' }, build ? '#' + build.split('/')[2] : r.id)),
    r.why || r.waits ? h('p', { class: 'dim' }, r.state === 'done' ? r.why : r.waits.text) : null,
    r.reported_by ? h('p', { class: 'dim', 'data-test': 'reported-by' }, 'reported by ', h('a', { href: idPath(r.reported_by) }, builderName(...r.reported_by.split('/')), ' #' + r.reported_by.split('/')[2])) : null,
    r.needs.length ? h('div', { class: 'after' }, h('span', { class: 'dim' }, 'after '), r.needs.map((n) => need(n, here, r.project))) : null);
}

export function buildset(main, [, id]) {
  setTitle(id, null);
  return watch({
    load: (signal) => get(['buildsets', id], {}, signal),
    wants: () => true, // what another build takes or gives back may be why one of these waits
    shown(s) {
      const state = s.state === 'done' ? s.result_text : 'running', here = new Set(s.requests.map((r) => r.id)), graph = levels(s.requests);
      setTitle(s.id + ' ' + s.project, state);
      show(main, crumbs(s.changes.length ? s.changes.map((c) => h('a', { href: to('changes', c) }, c)) : h('span', {}, s.project)),
        h('h1', { 'data-key': 'h1' }, 'Buildset ', s.id, ' ', badge(state, { 'data-test': 'buildset-state' })),
        h('p', { class: 'lead', 'data-key': 'lead' }, s.reason),
        h('dl', { class: 'facts', 'data-key': 'facts' }, fact('project', s.project), s.stamps ? stamps(s.stamps) : [fact('branch', branch(s.branch)), fact('revision', revision(s.revision))], fact('scheduler', s.scheduler), fact('who', s.who), fact('triggered by', parent(s)),
          fact('made', ago(s.created)), fact('ended', ago(s.finished))),
        section('graph', graph.length > 1 ? 'One after the other' : 'Side by side', s.requests.length,
          h('ol', { class: 'graph', tabindex: '0', 'aria-label': 'stages' }, graph.map((list, i) => h('li', { class: 'stage', 'data-key': 'stage-' + i }, h('ul', {}, list.map((r) => node(r, here))))))),
        s.state !== 'done' ? h('div', { class: 'cmds', 'data-key': 'cmds' }, commandLine('drover cancel ' + s.id, 'cancel all of it')) : null);
    },
    failed(e) {
      show(main, problem(e));
    },
  });
}
