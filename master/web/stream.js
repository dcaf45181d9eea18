// A tab's side of the one stream of events. Three ways, the first that the browser has: a shared worker; one tab that leads, found with Web Locks, which tells the others over a
// BroadcastChannel; or a stream of the tab's own while it is looked at.
import { BASE, apiUrl } from './base.js';
import { openSource } from './source.js';

const ALIVE_MS = 10000;
const listeners = new Set();
let hurry = () => {};

function tell(message) {
  for (const f of [...listeners])
    f(message);
}

// f({ kind: 'open' }) when the stream stands (again), { kind: 'event', event }, { kind: 'away', why }
export function listen(f) {
  listeners.add(f);
  return () => listeners.delete(f);
}

// Trusted types: the only address of a script that is ever made at run time.
function workerUrl() {
  const href = new URL('./stream-worker.js', import.meta.url).href;
  if (!globalThis.trustedTypes)
    return href;
  return trustedTypes.createPolicy('drover-worker', { createScriptURL: (s) => {
    if (s !== href)
      throw new TypeError('not our worker');
    return s;
  } }).createScriptURL(href);
}

function byWorker() {
  const port = new SharedWorker(workerUrl(), { type: 'module', name: 'drover' }).port;
  port.addEventListener('message', ({ data }) => tell(data));
  port.start();
  port.postMessage('hello');
  setInterval(() => port.postMessage('alive'), ALIVE_MS);
  window.addEventListener('pagehide', () => port.postMessage('bye'));
  window.addEventListener('pageshow', (e) => e.persisted && port.postMessage('hello'));
  hurry = () => port.postMessage('hurry');
}

function byLeader() {
  const channel = new BroadcastChannel('drover ' + BASE.href);
  let source = null;
  channel.addEventListener('message', ({ data }) => {
    if (data === 'hello' || data === 'hurry') {
      if (source && data === 'hurry')
        source.hurry();
      else if (source)
        channel.postMessage(source.state());
    } else if (!source) {
      tell(data);
    }
  });
  channel.postMessage('hello');
  // Held for as long as the tab lives; the next in the queue leads then, and all fetch anew when its stream stands.
  navigator.locks.request('drover ' + BASE.href, () => new Promise(() => {
    source = openSource(apiUrl(['events']), (message) => {
      tell(message);
      channel.postMessage(message);
    });
  }));
  hurry = () => source ? source.hurry() : channel.postMessage('hurry');
}

function byItself() {
  let source = null;
  const look = () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source) {
      source = openSource(apiUrl(['events']), tell);
    }
  };
  document.addEventListener('visibilitychange', look);
  look();
  hurry = () => source?.hurry();
}

export function startStream() {
  if (globalThis.SharedWorker)
    byWorker();
  else if (globalThis.navigator?.locks && globalThis.BroadcastChannel)
    byLeader();
  else
    byItself();
  document.addEventListener('visibilitychange', () => document.hidden || hurry());
  window.addEventListener('online', () => hurry());
}
