// From the address to a view. A view is made with (main, segments, hash) and gives back { stop(), moved?(segments, hash) }.
import { BASE, segmentsOf } from './base.js';

let routes = [], main = null, view = null, route = null, here = null;
let onPage = () => {};

function match(shape, segments) {
  return shape.length === segments.length && shape.every((s, i) => s === null || s === segments[i]);
}

function go(keepScroll) {
  const segments = segmentsOf(location.href) || ['?'], key = segments.join('\0');
  const next = routes.find((r) => match(r.shape, segments)) || routes[routes.length - 1];
  if (view && next === route && view.moved && view.moved(segments, location.hash)) {
    here = key;
    return;
  }
  if (view && here === key) // only the hash
    return;
  here = key;
  view?.stop();
  main.replaceChildren();
  route = next;
  view = null;
  onPage(next.page);
  view = next.make(main, segments, location.hash);
  if (!keepScroll)
    scrollTo(0, 0);
}

export function visit(href, replace) {
  history[replace ? 'replaceState' : 'pushState'](null, '', href);
  go(replace);
}

function onClick(e) {
  const a = e.target.closest('a[href]');
  if (!a || e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey || a.hasAttribute('download') || a.target)
    return;
  const segments = segmentsOf(a.href);
  if (!segments || segments[0] === 'api' || segments[0] === 'download')
    return;
  e.preventDefault();
  if (a.hasAttribute('data-skip')) {
    main.focus();
    return;
  }
  visit(a.href, a.getAttribute('href').startsWith('#'));
  if (!a.closest('main'))
    main.focus({ preventScroll: true });
}

export function startRouter(table, into, pageChanged) {
  routes = table;
  main = into;
  onPage = pageChanged;
  for (const a of document.querySelectorAll('[data-to]'))
    a.href = new URL(a.dataset.to, BASE).href;
  document.addEventListener('click', onClick);
  addEventListener('popstate', () => go(true));
  go(true);
}
