// The one stream of events of this browser: it is read with fetch, because that tells a refusal from an outage, notices silence, and needs no list of the kinds of events.
// Runs in the shared worker, or in the tab that leads where there is none.
const SILENT_MS = 40000;        // the master sends something each 15 s
const BACK_OFF_MS = [300, 600, 1200, 2400, 5000];

// The parts of a stream of server-sent events: feed() takes text as it comes and calls back with { id, data } of each event.
export function parser(found) {
  let rest = '', id = null, data = [];
  const line = (text) => {
    if (text === '') {
      if (data.length)
        found({ id, data: data.join('\n') });
      data = [];
      return;
    }
    const colon = text.indexOf(':'), name = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? '' : text.slice(colon + 1).replace(/^ /, '');
    if (name === 'id')
      id = value;
    else if (name === 'data')
      data.push(value);
  };
  return {
    feed(text) {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      lines.forEach((l) => line(l.endsWith('\r') ? l.slice(0, -1) : l));
    },
  };
}

// tell({ kind: 'open' | 'event' | 'away', … }). Numbers are dense: after a break the stream goes on behind the last one, so nothing is lost or told twice.
export function openSource(url, tell) {
  let last = null, tries = 0, stop = null, timer = null, watch = null, closed = false, state = { kind: 'away', why: 'connecting' };

  function say(message) {
    if (message.kind !== 'event')
      state = message;
    tell(message);
  }

  function heard() {
    clearTimeout(watch);
    watch = setTimeout(() => stop?.abort(), SILENT_MS);
  }

  const events = () => parser(({ id, data }) => {
    const event = JSON.parse(data);
    last = Number(id ?? event.number);
    say({ kind: 'event', event });
  });

  async function read() {
    const at = new URL(url), sse = events(), text = new TextDecoder();
    if (last !== null)
      at.searchParams.set('after', last);
    stop = new AbortController();
    heard();
    const r = await fetch(at, { signal: stop.signal, headers: { Accept: 'text/event-stream' }, cache: 'no-store' });
    if (!r.ok)
      throw new Error(r.status === 503 ? 'database' : 'refused');
    const reader = r.body.getReader();
    for (let first = true; ; first = false) {
      const { done, value } = await reader.read();
      if (done)
        throw new Error('ended');
      heard();
      if (first) {
        tries = 0;
        say({ kind: 'open' });
      }
      sse.feed(text.decode(value, { stream: true }));
    }
  }

  async function go() {
    timer = null;
    try {
      await read();
    } catch (e) {
      clearTimeout(watch);
      if (closed)
        return;
      say({ kind: 'away', why: e.message === 'database' ? 'database' : 'master' });
      const wait = BACK_OFF_MS[Math.min(tries++, BACK_OFF_MS.length - 1)];
      timer = setTimeout(go, wait * (0.75 + Math.random() / 2));
    }
  }

  go();
  return {
    state: () => state,
    hurry() { // somebody looks at the page: don't wait the rest of the time
      if (timer !== null) {
        clearTimeout(timer);
        tries = 0;
        go();
      }
    },
    close() {
      closed = true;
      clearTimeout(timer);
      clearTimeout(watch);
      stop?.abort();
    },
  };
}
