// The keyboard: / j k g+letter f ? Esc. Nothing here while somebody writes, or with Ctrl, Alt or Meta.
import { to } from './base.js';
import { visit } from './router.js';

const PAGES = { h: [], b: ['builders'], c: ['changes'], w: ['workers'] };
const GO_MS = 10000; // between g and its letter; any other key ends it sooner
let prefix = 0;

function move(step) {
  const links = [...document.querySelectorAll('main [data-test="row"] a.main')].filter((a) => a.offsetParent);
  if (!links.length)
    return;
  const at = links.findIndex((a) => a.closest('[data-test="row"]').contains(document.activeElement));
  const next = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.max(0, Math.min(links.length - 1, at + step))];
  next.focus();
  next.closest('[data-test="row"]').scrollIntoView({ block: 'nearest' });
}

function writing(el) {
  return el && (el.matches('input, textarea, select') || el.isContentEditable);
}

function onKey(e, does) {
  const help = document.getElementById('help'), filter = document.getElementById('filter');
  if (e.ctrlKey || e.altKey || e.metaKey || e.isComposing)
    return;
  if (e.key === 'Escape' && document.activeElement === filter) {
    filter.value = '';
    filter.dispatchEvent(new Event('input'));
    filter.blur();
    return;
  }
  if (e.key === 'Enter' && document.activeElement === filter) {
    move(1);
    return;
  }
  if (writing(document.activeElement) || help.open)
    return;
  const going = Date.now() - prefix < GO_MS;
  prefix = 0;
  if (going && PAGES[e.key])
    visit(to(...PAGES[e.key]));
  else if (e.key === 'g')
    prefix = Date.now();
  else if (e.key === 'j' || e.key === 'k')
    move(e.key === 'j' ? 1 : -1);
  else if (e.key === '/')
    filter.focus();
  else if (e.key === '?')
    help.showModal();
  else if (e.key === 'f')
    does.follow();
  else
    return;
  e.preventDefault();
}

// does.follow(): what f does.
export function startKeys(does) {
  document.addEventListener('keydown', (e) => onKey(e, does));
  document.addEventListener('click', (e) => {
    const help = document.getElementById('help');
    if (e.target.closest('[data-do="help"]'))
      help.showModal();
    else if (e.target === help) // the backdrop
      help.close();
  });
}
