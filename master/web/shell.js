// What stands around every page: title and icon, the line that says the master is away, the filter, the words for screen readers, the footer.
import { h, show } from './dom.js';
import { listen } from './stream.js';
import { now, runs } from './time.js';

const AWAY_MS = 700; // shorter breaks are nobody's business
const $ = (id) => document.getElementById(id);
const COLOURS = { success: '#1f8a57', failure: '#cf3a35', exception: '#9a4fd0', running: '#2f74d8', warnings: '#b7791f', cancelled: '#7a8580' };

export function say(text) {
  $('say').textContent = text;
}

// state: a result, running, or null: the icon is a dot of its colour, or drover's own.
export function setTitle(text, state) {
  document.title = text + ' · drover';
  const link = document.querySelector('link[rel="icon"]');
  const own = new URL('./icon.svg', import.meta.url).href, colour = COLOURS[state];
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="' + colour + '"/></svg>';
  const href = colour ? 'data:image/svg+xml,' + encodeURIComponent(svg) : own;
  if (link.href !== href)
    link.href = href;
}

// ---- the filter: rows that don't have the words are hidden ----

function matches(row, words) {
  const text = row.textContent.toLowerCase();
  return words.every((w) => text.includes(w));
}

let filtered = false;

function applyFilter() {
  const words = $('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length && !filtered)
    return;
  filtered = words.length > 0;
  for (const row of document.querySelectorAll('main [data-test="row"]'))
    row.toggleAttribute('data-out', words.length > 0 && !matches(row, words));
}

// ---- the master away ----

let away = null, timer = null;
const WORDS = {
  master: 'The master is not reached; trying again. What you see may be old.',
  database: 'The master has no database at the moment; trying again. What you see may be old.',
};

function setAway(why) {
  if (why === away)
    return;
  const was = away;
  away = why;
  clearTimeout(timer);
  if (!why) {
    if (!$('offline').hidden && was)
      say('The master is back.');
    $('offline').hidden = true;
    return;
  }
  timer = setTimeout(() => {
    show($('offline'), WORDS[why] || WORDS.master);
    $('offline').hidden = false;
  }, $('offline').hidden ? AWAY_MS : 0);
}

export function startShell() {
  const icon = document.querySelector('link[rel="icon"]');
  icon.href = icon.href; // absolute: browsers resolve it anew on each page that we move to
  listen((m) => {
    if (m.kind === 'open')
      setAway(null);
    else if (m.kind === 'away' && m.why !== 'connecting')
      setAway(m.why);
  });
  $('filter').addEventListener('input', applyFilter);
  new MutationObserver(applyFilter).observe($('main'), { childList: true, subtree: true });
  document.addEventListener('drover-say', (e) => say(e.detail));
  document.addEventListener('click', onCopy);
}

export function setPage(page) {
  for (const a of document.querySelectorAll('nav [data-page]'))
    if (a.dataset.page === page)
      a.setAttribute('aria-current', 'page');
    else
      a.removeAttribute('aria-current');
  $('filter').value = '';
}

export function setFoot(status) {
  show($('foot'), h('span', {}, 'drover ', status.version), h('span', {}, 'up ', runs(now() - status.up_ms)),
    status.database.up ? h('span', {}, 'PostgreSQL ' + (status.database.version || '').split(' ')[0]) : h('span', { class: 'bad' }, 'database away: ' + (status.database.why || '')),
    h('span', {}, 'read-only over the network; the command line acts'));
}

// ---- copying a command line ----

async function copy(text, from) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not a secure context: the old way
    const range = document.createRange();
    range.selectNodeContents(from);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    if (!document.execCommand('copy'))
      return false;
  }
  return true;
}

async function onCopy(e) {
  const button = e.target.closest('[data-do="copy"]');
  if (!button)
    return;
  const code = button.parentElement.querySelector('code');
  const done = await copy(code.textContent, code);
  say(done ? 'Copied: ' + code.textContent : 'Press Ctrl+C to copy it.');
  button.dataset.done = done ? 'yes' : 'no';
  setTimeout(() => delete button.dataset.done, 1500);
}
