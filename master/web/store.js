// What is on the screen is fetched, shown, and fetched again when an event says that it has changed: never faster than GAP_MS, one request at a time, and not while nobody looks.
import { Away } from './api.js';
import { listen } from './stream.js';

const GAP_MS = 500;
const RETRY_MS = [1000, 2000, 4000, 8000, 15000];

// load(signal) → data; wants(event) → whether it may have changed the data; shown(data) and failed(error) put it on the screen.
export function watch({ load, wants, shown, failed }) {
  const stop = new AbortController();
  let dirty = true, busy = false, timer = null, began = 0, tries = 0;

  function plan(ms) {
    if (timer === null && !stop.signal.aborted)
      timer = setTimeout(() => {
        timer = null;
        go();
      }, ms);
  }

  async function go() {
    if (busy || !dirty || stop.signal.aborted || timer !== null || (document.hidden && began))
      return;
    const wait = began + GAP_MS - performance.now();
    if (began && wait > 0) {
      plan(wait);
      return;
    }
    dirty = false;
    busy = true;
    began = performance.now();
    try {
      const data = await load(stop.signal);
      if (stop.signal.aborted)
        return;
      tries = 0;
      shown(data);
    } catch (e) {
      if (stop.signal.aborted)
        return;
      if (e instanceof Away || e.status >= 500) {
        dirty = true;
        plan(RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
      }
      failed(e);
    } finally {
      busy = false;
    }
    go();
  }

  const forget = listen((message) => {
    if (message.kind === 'away' || (message.kind === 'event' && !wants(message.event)))
      return;
    dirty = true;
    if (message.kind === 'open' && timer !== null) { // the master is back: now, not when the time is up
      clearTimeout(timer);
      timer = null;
    }
    go();
  });
  const seen = () => document.hidden || go();
  document.addEventListener('visibilitychange', seen);
  go();
  return {
    again() {
      dirty = true;
      go();
    },
    stop() {
      stop.abort();
      clearTimeout(timer);
      forget();
      document.removeEventListener('visibilitychange', seen);
    },
  };
}
