// Where the page lives. Every address is made from where this very file was loaded, so the page works under any path that a proxy puts in front.
export const BASE = new URL('../../', import.meta.url);

const part = (s) => encodeURIComponent(String(s));

// A page of ours: to('builds', 'libfoo', 'linux', 42). Segments are escaped here and nowhere else.
export function to(...segments) {
  return new URL(segments.map(part).join('/'), BASE).href;
}

// A method of the API, with the query's keys; null ones are left out.
export function apiUrl(segments, query = {}) {
  const url = new URL('api/v1/' + segments.map(part).join('/'), BASE);
  for (const [key, value] of Object.entries(query))
    if (value !== null && value !== undefined)
      url.searchParams.set(key, value);
  return url;
}

// The segments of an address of ours; null for any other.
export function segmentsOf(href) {
  const url = new URL(href, BASE);
  if (url.origin !== BASE.origin || !url.pathname.startsWith(BASE.pathname))
    return null;
  const rest = url.pathname.slice(BASE.pathname.length);
  try {
    return rest === '' ? [] : rest.split('/').map(decodeURIComponent);
  } catch {
    return null;
  }
}
