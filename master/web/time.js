// Times and lengths of time for people. <time data-ago=MS> and <span data-runs=MS> are kept true by one clock for the whole page.
import { h } from './dom.js';

let skew = 0; // the master's clock less ours

// From the Date header of an answer, which has whole seconds: smaller differences mean nothing.
export function clockIs(ms) {
  const d = ms - Date.now();
  skew = Math.abs(d) > 2000 ? d : 0;
}

export const now = () => Date.now() + skew;

const UNITS = [[86400000, 'd'], [3600000, 'h'], [60000, 'min'], [1000, 's']];

// 0.4 s, 36 s, 2:05 min, 1:02 h, 3 d 4 h
export function duration(ms) {
  if (ms === null || ms === undefined)
    return '';
  if (ms < 0)
    ms = 0;
  const two = (n) => String(n).padStart(2, '0');
  if (ms < 1000)
    return Math.round(ms) + ' ms';
  if (ms < 10000)
    return (Math.floor(ms / 100) / 10).toFixed(1) + ' s';
  const s = Math.floor(ms / 1000);
  if (s < 60)
    return s + ' s';
  if (s < 3600)
    return Math.floor(s / 60) + ':' + two(s % 60) + ' min';
  if (s < 86400)
    return Math.floor(s / 3600) + ':' + two(Math.floor(s / 60) % 60) + ' h';
  return Math.floor(s / 86400) + ' d ' + Math.floor(s / 3600) % 24 + ' h';
}

// While it runs: whole seconds, so that it does not flicker.
export function running(ms) {
  return ms < 1000 ? '0 s' : duration(ms < 10000 ? Math.floor(ms / 1000) * 1000 : ms).replace('.0 s', ' s');
}

export function agoText(ms) {
  const gone = now() - ms;
  if (gone < 5000)
    return 'just now';
  for (const [unit, name] of UNITS)
    if (gone >= unit)
      return Math.floor(gone / unit) + ' ' + name + ' ago';
  return 'just now';
}

const two = (n) => String(n).padStart(2, '0');

export function stamp(ms) {
  const d = new Date(ms);
  return d.getFullYear() + '-' + two(d.getMonth() + 1) + '-' + two(d.getDate()) + ' ' + two(d.getHours()) + ':' + two(d.getMinutes()) + ':' + two(d.getSeconds());
}

export function ago(ms) {
  return ms === null || ms === undefined ? null : h('time', { datetime: new Date(ms).toISOString(), title: stamp(ms), 'data-ago': ms }, agoText(ms));
}

// since: by the master's clock.
export function runs(since) {
  return h('span', { class: 'num', 'data-runs': since }, running(now() - since));
}

function put(el, text) {
  if (el.textContent !== text)
    el.textContent = text;
}

function tick() {
  if (document.hidden)
    return;
  for (const el of document.querySelectorAll('[data-ago]'))
    put(el, agoText(Number(el.dataset.ago)));
  for (const el of document.querySelectorAll('[data-runs]'))
    put(el, running(now() - Number(el.dataset.runs)));
}

export function startClock() {
  setInterval(tick, 1000);
  document.addEventListener('visibilitychange', tick);
}
