// Elements from values. Text goes in as text, attributes by name from a short list, addresses only if they are ours: nothing of a log, a name or a message can become markup.
import { segmentsOf } from './base.js';

const PLAIN = new Set(['class', 'id', 'title', 'role', 'tabindex', 'type', 'datetime', 'download', 'hidden', 'disabled', 'colspan', 'scope', 'lang', 'value', 'max']);
const SVG = 'http://www.w3.org/2000/svg';
const SVG_ATTRS = new Set(['viewBox', 'width', 'height', 'd', 'fill', 'stroke', 'class', 'aria-hidden', 'stroke-width', 'stroke-linecap', 'stroke-linejoin']);

function allowed(name) {
  return PLAIN.has(name) || name.startsWith('data-') || name.startsWith('aria-');
}

function setAttr(el, name, value) {
  if (value === null || value === undefined || value === false)
    return;
  if (name === 'href') {
    if (!String(value).startsWith('#') && !segmentsOf(value))
      throw new Error('not an address of this page');
  } else if (!allowed(name)) {
    throw new Error('attribute ' + name + ' is not known here');
  }
  el.setAttribute(name, value === true ? '' : String(value));
}

function append(el, child) {
  if (child === null || child === undefined || child === false)
    return;
  if (Array.isArray(child))
    child.forEach((c) => append(el, c));
  else
    el.append(child instanceof Node ? child : document.createTextNode(String(child)));
}

// h('a', { href, class }, 'text', element, [more], null …)
export function h(tag, attrs, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs || {}))
    setAttr(el, name, value);
  append(el, children);
  return el;
}

// A drawing of one path.
export function icon(d, attrs = {}) {
  const svg = document.createElementNS(SVG, 'svg'), path = document.createElementNS(SVG, 'path');
  const all = { viewBox: '0 0 16 16', width: 16, height: 16, 'aria-hidden': 'true', fill: 'none', stroke: 'currentColor', 'stroke-width': 2, 'stroke-linecap': 'round', 'stroke-linejoin': 'round', ...attrs };
  for (const [name, value] of Object.entries(all)) {
    if (!SVG_ATTRS.has(name))
      throw new Error('attribute ' + name + ' is not known here');
    svg.setAttribute(name, String(value));
  }
  path.setAttribute('d', d);
  svg.append(path);
  return svg;
}

// ---- making what is there like what is wanted, so that focus, selection and scrolling stay ----

const keyOf = (node) => node.nodeType === 1 ? node.getAttribute('data-key') || node.getAttribute('data-id') || node.id || null : null;

function same(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
}

function morphAttrs(old, want) {
  for (const { name } of [...old.attributes])
    if (!want.hasAttribute(name))
      old.removeAttribute(name);
  for (const { name, value } of want.attributes)
    if (old.getAttribute(name) !== value)
      old.setAttribute(name, value);
}

function morphNode(old, want) {
  if (old.nodeType !== 1) {
    if (old.data !== want.data)
      old.data = want.data;
    return;
  }
  if (old.hasAttribute('data-keep')) // somebody else's inside
    return;
  morphAttrs(old, want);
  morphChildren(old, want);
}

function morphChildren(old, want) {
  const byKey = new Map();
  for (const node of old.childNodes)
    if (keyOf(node))
      byKey.set(keyOf(node), node);
  let at = old.firstChild;
  for (const next of [...want.childNodes]) {
    const key = keyOf(next), keyed = key && byKey.get(key);
    if (keyed && same(keyed, next)) {
      if (keyed === at)
        at = at.nextSibling;
      else
        old.insertBefore(keyed, at);
      morphNode(keyed, next);
    } else if (!key && at && same(at, next)) {
      const after = at.nextSibling;
      morphNode(at, next);
      at = after;
    } else {
      old.insertBefore(next, at);
    }
  }
  while (at) {
    const after = at.nextSibling;
    at.remove();
    at = after;
  }
}

// The children of el become like those given.
export function show(el, ...children) {
  const want = document.createElement(el.nodeName);
  append(want, children);
  morphChildren(el, want);
}
