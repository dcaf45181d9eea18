// One build: its steps, the states of their machines as they are passed, the log of one step.
import { get } from './api.js';
import { to } from './base.js';
import { h, show } from './dom.js';
import { LogView, size } from './log.js';
import { BAD, badge, branch, builderName, commandLine, crumbs, fact, firstLine, idPath, mark, parent, person, problem, revision, stateOf } from './parts.js';
import { say, setTitle } from './shell.js';
import { watch } from './store.js';
import { ago, duration, now, runs } from './time.js';

const stepState = (s) => s.result === null ? 'running' : s.result_text;

// The step that is looked at when nobody has chosen one: what runs, else what broke, else the last.
function chosen(b, wish) {
  const named = b.steps.find((s) => s.name === wish);
  return named || b.steps.find((s) => s.result === null) || b.steps.find((s) => BAD.has(s.result_text)) || b.steps[b.steps.length - 1] || null;
}

// The states that the step's machine has passed, each with its time, and the one it is in.
function trail(s) {
  const list = s.trail || [];
  if (s.state === 'run' || list.every((t) => t.state === 'run')) // it has but one
    return null;
  let before = s.started;
  const passed = list.map((t) => {
    const took = t.at - before;
    before = t.at;
    return h('li', { class: 'passed', 'data-state': t.state }, t.state, h('span', { class: 'num dim' }, ' ' + duration(took)));
  });
  const last = s.result !== null ? s.state !== 'done' ? h('li', { class: 's-' + stepState(s), 'data-state': s.state }, s.state) : null
    : h('li', { class: 'at s-running', 'data-state': s.state }, s.state, ' ', runs(before));
  return h('ol', { class: 'trail', 'aria-label': 'states' }, passed, last);
}

function why(s) {
  const c = s.commands[s.commands.length - 1];
  return s.waits || s.summary || (c && c.how === 'exit' && c.code ? 'exit ' + c.code : c && c.reason !== '-' && c.reason) || null;
}

function secrets(s) {
  const c = s.commands[s.commands.length - 1];
  return c && c.secrets.length ? h('p', { class: 'dim summary' }, 'takes ' + c.secrets.join(', ')) : null;
}

// What it triggered, each with how it stands.
function triggered(s) {
  return s.triggered.length ? h('p', { class: 'dim summary', 'data-test': 'triggered' }, 'triggered ', s.triggered.map((t) => [
    h('a', { href: to('buildsets', t.id) }, mark(t.state === 'done' ? t.result_text : 'running'), t.scheduler || t.requests.map((r) => builderName(...r.builder.split('/'))).join(', ')), ' '])) : null;
}

// What it is about to trigger in other projects or on other branches, or can't.
function asking(s) {
  return (s.asking || []).map((a) => h('p', { class: 'dim summary', 'data-test': 'asking' },
    `triggers ${a.builders.join(', ')} of project ${a.project}${a.branch ? ', branch ' + a.branch : ''}: ${a.refused ? 'refused' : 'about to be asked for'}${a.why ? ': ' + a.why : ''}`));
}

// What it reported: links, builders, and whether it was left out. Only http and https get here (the master sees to it), and a link opens beside the page.
function reported(s) {
  const r = s.report;
  return r ? [r.links ? h('p', { class: 'summary', 'data-test': 'links' }, r.links.map((l) => [h('a', { href: /^https?:/.test(l.url) ? l.url : null, target: '_blank', rel: 'noopener noreferrer nofollow' }, l.name), ' '])) : null,
    r.nodes ? h('p', { class: 'dim summary', 'data-test': 'nodes' }, 'reports builders ' + r.nodes.join(', ')) : null,
    r.trouble ? h(r.trouble.includes('\n') ? 'pre' : 'p', { class: 'dim summary', 'data-test': 'report-trouble' }, 'report left out: ' + (r.trouble.includes('\n') ? '\n' : '') + r.trouble) : null] : null;
}

function stepItem(b, s, on) {
  const state = stepState(s);
  return h('li', { class: 'step' + (on ? ' on' : ''), 'data-test': 'step', 'data-name': s.name, 'data-state': s.result === null ? s.state : s.result_text, 'data-key': 'step-' + s.number },
    h('a', { class: 'steplink', href: to('builds', b.project, b.builder, b.number, s.name), 'aria-current': on ? 'true' : null }, mark(state), h('span', { class: 'name' }, s.name),
      h('span', { class: 'num' }, s.result === null ? runs(now() - s.duration) : duration(s.duration))),
    why(s) ? h('p', { class: 'dim summary' }, why(s)) : null, secrets(s), triggered(s), asking(s), reported(s), trail(s));
}

// What of the step's output is not in its logs, because it was over its limit.
function leftOut(s) {
  const own = s.logs.filter((l) => !l.stream), bytes = own.reduce((n, l) => n + l.left_bytes, 0), lines = own.reduce((n, l) => n + l.left_lines, 0);
  return bytes ? size(bytes) + ' (' + lines + ' lines) left out' : own.some((l) => l.held) ? 'what comes now follows at the end' : null;
}

function toolbar(b, s, log) {
  const bytes = log.length || s.logs.reduce((n, l) => n + (l.stream ? 0 : l.length), 0), alive = s.result === null;
  return h('div', { class: 'logbar' }, h('h2', { id: 'h-log' }, s.name), h('span', { class: 'dim num' }, size(bytes)),
    leftOut(s) ? h('span', { class: 'dim', 'data-test': 'left-out', title: 'The output is over its limit: the log has its beginning and its end.' }, leftOut(s)) : null,
    h('span', { class: 'grow' }),
    // Files that its commands wrote.
    s.logs.filter((l) => l.stream && l.length).map((l) => h('a', { class: 'button small', 'data-test': 'file', 'data-key': 'file-' + l.id, href: log.address({ log: l.name, command: l.command }), title: size(l.length) }, l.name)),
    alive ? h('button', { type: 'button', class: 'button small', 'data-do': 'follow', 'aria-pressed': String(log.follows) }, log.follows ? 'Following' : 'Follow') : null,
    h('a', { class: 'button small', href: log.address({}), download: b.project + '-' + b.builder + '-' + b.number + '-' + s.name + '.txt' }, 'Download'));
}

/** What the changes are counted from; nothing where they are just those that set the build off. */
function sinceLine(b) {
  const more = b.changes_count - b.changes.length;
  if (!b.since)
    return null;
  return h('div', { class: 'dim', 'data-key': 'since' }, more ? '… and ' + more + ' older ones' : 'all', ' since ', h('a', { href: idPath(b.since) }, '#' + b.since.split('/').pop()));
}

function head(b) {
  const state = stateOf(b), alive = b.state !== 'done', short = b.got_revision || b.revision;
  return [
    crumbs(h('a', { href: to('builders', b.project, b.builder) }, builderName(b.project, b.builder)), b.number > 1 ? h('a', { href: to('builds', b.project, b.builder, b.number - 1) }, '← #' + (b.number - 1)) : null),
    h('div', { class: 'title', 'data-key': 'title' }, h('h1', {}, builderName(b.project, b.builder), h('span', { class: 'no' }, '#', b.number)), badge(state, { 'data-test': 'build-result' }),
      h('span', { class: 'dim' }, alive ? runs(now() - b.duration) : duration(b.duration), alive && b.expected ? ' of ~' + duration(b.expected) : null)),
    b.why ? h('p', { class: 'lead', 'data-key': 'lead' }, b.why) : null,
    h('dl', { class: 'facts', 'data-key': 'facts' }, fact('branch', branch(b.branch)), fact('revision', short ? h('code', { class: 'rev', title: short }, short.slice(0, 12)) : null), fact('worker', b.worker ? h('a', { href: to('workers', b.worker) }, b.worker) : null),
      fact('started', ago(b.started)), fact('ended', ago(b.finished)), fact('attempt', b.attempt > 1 ? b.attempt : null), fact('reason', b.reason), fact('request', h('a', { href: to('requests', b.request) }, b.request)), fact('triggered by', parent(b)),
      fact('codebases', (b.stamps || []).map((t) => h('div', { 'data-key': t.codebase }, t.codebase, ' ', branch(t.branch), ' ', revision(t.got_revision || t.revision), h('span', { class: 'dim' }, t.why ? ' ' + t.why : '')))),
      fact('changes', !b.changes.length ? null : [...b.changes.map((c) => h('div', {}, h('a', { href: to('changes', c.id) }, c.id), ' ', firstLine(c.message), h('span', { class: 'dim' }, ' ', person(c.author)))), sinceLine(b)])),
  ];
}

function commands(b) {
  const id = b.project + '/' + b.builder + '/' + b.number;
  return h('div', { class: 'cmds', 'data-key': 'cmds' }, b.state === 'done' ? commandLine('drover rerun ' + id, 'build it again') : commandLine('drover cancel ' + id, 'cancel it'), commandLine('drover show ' + id, 'all about it'));
}

export function build(main, [, project, name, number, wish], hash) {
  let b = null, log = null, spoken = null, all = false;
  const path = [project, name, number], object = project + '/' + name + '/' + number;
  setTitle(object, null);

  const stepNow = () => log && b && b.steps.find((s) => s.name === log.step);

  function openLog(s) {
    if (log && s && log.step === s.name)
      return;
    log?.close();
    log = s ? new LogView([b.project, b.builder, String(b.number)], s.name, () => stepNow()?.result === null, render) : null;
    if (log) {
      log.follows = s.result === null && !/^#L/.test(location.hash);
      log.bad = BAD.has(s.result_text);
      log.poll();
    }
  }

  function render() {
    if (!b)
      return;
    const s = stepNow(), hidden = b.steps.filter((x) => x.hidden && x !== s).length, shown = b.steps.filter((x) => all || !x.hidden || x === s);
    show(main, head(b), h('div', { class: 'build', 'data-key': 'build' },
      h('section', { class: 'card steps', 'aria-label': 'Steps', 'data-key': 'steps' }, b.steps.length ? h('ol', {}, shown.map((x) => stepItem(b, x, x === s))) : h('p', { class: 'none' }, 'No step has begun.'),
        hidden ? h('button', { type: 'button', class: 'button small', 'data-do': 'all', 'data-test': 'hidden', 'aria-pressed': String(all) }, hidden + ' hidden') : null),
      s ? h('section', { class: 'card logcard', 'aria-labelledby': 'h-log', 'data-key': 'log' }, toolbar(b, s, log), h('div', { 'data-keep': '', 'data-key': 'log-' + s.name, class: 'logplace' })) : null), commands(b));
    const place = main.querySelector('.logplace');
    if (place && place.firstChild !== log.el)
      place.replaceChildren(log.el);
  }

  function announce() {
    const state = stateOf(b);
    if (spoken && spoken !== state)
      say(object + ': ' + state);
    spoken = state;
  }

  const w = watch({
    load: (signal) => get(['builds', ...path], {}, signal),
    wants: (e) => e.object === object || e.object.startsWith(object + ':') || (b && (e.object === b.request || b.steps.some((s) => s.triggered.some((t) => t.id === e.object || t.requests.some((r) => r.id === e.object))))),
    shown(data) {
      b = data;
      setTitle('#' + b.number + ' ' + b.project + '/' + b.builder, stateOf(b));
      const s = chosen(b, wish);
      // Without a choice of somebody's the page goes along with the build, as long as the log on the screen is followed.
      if (!log || wish || log.follows || !stepNow())
        openLog(s);
      render();
      log?.poll();
      announce();
    },
    failed(e) {
      if (!b || e.status === 404)
        show(main, problem(e));
    },
  });
  const onClick = (e) => {
    if (e.target.closest('[data-do="follow"]') && log)
      log.follow(!log.follows);
    if (e.target.closest('[data-do="all"]')) {
      all = !all;
      render();
    }
  };
  main.addEventListener('click', onClick);
  return {
    moved(segments, mark) {
      if (segments.slice(1, 4).join('\0') !== path.join('\0'))
        return false;
      if (segments[4] !== wish && (segments[4] || !mark)) {
        wish = segments[4];
        openLog(b && chosen(b, wish));
        render();
      }
      log?.jump();
      return true;
    },
    stop() {
      main.removeEventListener('click', onClick);
      log?.close();
      w.stop();
    },
  };
}
