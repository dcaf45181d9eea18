// Asking the API. An answer is an object; a refusal an ApiError with the API's own words; no answer at all an Away.
import { apiUrl } from './base.js';
import { clockIs } from './time.js';

const PATIENCE_MS = 20000; // for an answer's head and body; logs come in ranges, so they are short too

export class ApiError extends Error {
  constructor(status, error) {
    super(error.message || 'the master answered ' + status);
    this.status = status;
    this.code = error.code || '';
    this.help = error.help || '';
  }
}

export class Away extends Error {}

async function ask(url, options, read) {
  const stop = new AbortController(), timer = setTimeout(() => stop.abort(), PATIENCE_MS), given = options.signal;
  const onAbort = () => stop.abort();
  given?.addEventListener('abort', onAbort);
  if (given?.aborted)
    stop.abort();
  try {
    const r = await fetch(url, { ...options, signal: stop.signal, credentials: 'same-origin', redirect: 'error' });
    const date = Date.parse(r.headers.get('Date') || '');
    if (date)
      clockIs(date + 500);
    return await read(r);
  } catch (e) {
    if (e instanceof ApiError || given?.aborted)
      throw e;
    throw new Away('the master is not reached', { cause: e });
  } finally {
    clearTimeout(timer);
    given?.removeEventListener('abort', onAbort);
  }
}

async function refuse(r) {
  let error = {};
  try {
    error = (await r.json()).error || {};
  } catch { /* not from the master: a proxy's page */ }
  if (r.status >= 502 && !error.code)
    throw new Away('the proxy does not reach the master');
  throw new ApiError(r.status, error);
}

// get(['builds', 'libfoo', 'linux', 42])
export function get(segments, query, signal) {
  return ask(apiUrl(segments, query), { signal, headers: { Accept: 'application/json' } }, async (r) => r.ok ? r.json() : refuse(r));
}

// Bytes from..to of a step's log: { bytes, from, length, lines (LFs in length), complete }
export function logRange(build, step, from, upto, signal) {
  const url = apiUrl(['builds', ...build, 'logs', step], { from, to: upto });
  return ask(url, { signal, headers: { Accept: 'text/plain' } }, async (r) => r.ok ? {
    bytes: new Uint8Array(await r.arrayBuffer()),
    from,
    length: Number(r.headers.get('X-Drover-Length')),
    lines: Number(r.headers.get('X-Drover-Lines')),
    complete: r.headers.get('X-Drover-Complete') === '1',
  } : refuse(r));
}
