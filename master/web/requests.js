// One request: whether and why it waits, its builds.
import { get } from './api.js';
import { to } from './base.js';
import { h, show } from './dom.js';
import { RESULTS, badge, branch, builderName, crumbs, commandLine, fact, idPath, problem, revision, row, rows, section, stateOf } from './parts.js';
import { setTitle } from './shell.js';
import { watch } from './store.js';
import { ago, duration, now } from './time.js';

function needRow(n) {
  return row({ id: n.request, state: n.state === 'done' ? RESULTS[n.result] : stateOf(n), href: n.build ? idPath(n.build) : n.request ? to('requests', n.request) : null, title: n.build || n.builder,
    sub: [n.request, n.soft ? 'however it ends' : null] });
}

// By its turn and by how long such builds take; null where nobody can tell.
function begins(eta) {
  if (!eta || eta.high - now() < 1000)
    return eta ? 'now' : null;
  const [low, likely, high] = [eta.low, eta.likely, eta.high].map((t) => duration(Math.max(0, t - now())));
  return 'in about ' + likely + (low === high ? '' : ' (' + low + ' to ' + high + ')');
}

export function request(main, [, id]) {
  setTitle(id, null);
  return watch({
    load: (signal) => Promise.all([get(['requests', id], {}, signal), get(['requests', id, 'why'], {}, signal)]),
    wants: () => true, // what another build takes or gives back may be the reason
    shown([r, why]) {
      const state = stateOf(r);
      setTitle(r.id + ' ' + r.builder, state);
      show(main, crumbs(h('a', { href: to('builders', r.project, r.builder) }, builderName(r.project, r.builder))),
        h('h1', { 'data-key': 'h1' }, 'Request ', r.id, ' ', badge(state, { 'data-test': 'request-state' })),
        h('p', { class: 'lead', 'data-test': 'why', 'data-key': 'why' }, why.reason.text),
        h('dl', { class: 'facts', 'data-key': 'facts' }, fact('branch', branch(r.branch)), fact('revision', revision(r.revision)), fact('reason', r.reason), fact('reported by', r.reported_by ? h('a', { href: idPath(r.reported_by) }, r.reported_by) : null), fact('priority', r.priority),
          fact('worker tags', r.tags.length ? r.tags.join(', ') : null), fact('attempts', r.attempts || null), fact('made', ago(r.created)), fact('begins', begins(why.eta)), fact('started', ago(r.claimed)), fact('ended', ago(r.finished)), fact('buildset', h('a', { href: to('buildsets', r.buildset) }, r.buildset))),
        r.collapsed_into || r.stands_for ? h('p', { 'data-test': 'collapsed', 'data-key': 'collapsed' }, r.collapsed_into ? ['Collapsed into ', h('a', { href: to('requests', r.collapsed_into) }, r.collapsed_into), ', of a newer change.'] : ['Stands for ', ...r.stands_for.map((x, i) => [i ? ', ' : '', h('a', { href: to('requests', x) }, x)]).flat(), ' of older changes, which end as it does.']) : null,
        r.needs.length ? section('needs', 'Comes after', r.needs.length, rows(r.needs.map(needRow), '')) : null,
        section('builds', 'Builds', null, rows(r.builds.map((b) => row({ id: b, state: b === r.builds[r.builds.length - 1] ? state : 'retry', href: idPath(b), title: b })), 'It has not been started.')),
        r.state !== 'done' ? h('div', { class: 'cmds', 'data-key': 'cmds' }, commandLine('drover cancel ' + r.id, 'cancel it')) : null);
    },
    failed(e) {
      show(main, problem(e));
    },
  });
}
