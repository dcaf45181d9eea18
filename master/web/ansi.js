// A line of a log as spans: colours of SGR become classes from a fixed list, every other control sequence is dropped, every other control byte is made visible. Pure.

// What no text may do to the page around it: turn the direction of writing, or hide.
const INVISIBLE = /[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u061c]/g;
// In order: CSI with its parameters, strings (OSC, DCS, SOS, PM, APC) to their end, other escapes, control bytes.
// eslint-disable-next-line no-control-regex
const CONTROL = /\x1b\[([0-?]*)([ -/]*)([@-~])?|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

export const PLAIN = Object.freeze({ fg: '', bg: '', bold: false, dim: false, italic: false, under: false, strike: false, inverse: false });

const CUBE = [0, 95, 135, 175, 215, 255];
const BASIC = [[0, 0, 0], [205, 49, 49], [13, 188, 121], [200, 170, 20], [36, 114, 200], [188, 63, 188], [17, 168, 205], [190, 190, 190],
  [110, 110, 110], [241, 76, 76], [35, 209, 139], [245, 230, 67], [59, 142, 234], [214, 112, 214], [41, 184, 219], [255, 255, 255]];

// The nearest of the sixteen: the page's two palettes are made to be read, a log's own colours are not.
function nearest(r, g, b) {
  let best = 0, least = Infinity;
  BASIC.forEach(([x, y, z], i) => {
    const d = (x - r) ** 2 + (y - g) ** 2 + (z - b) ** 2;
    if (d < least) {
      least = d;
      best = i;
    }
  });
  return String(best);
}

function indexed(n) {
  if (n < 16)
    return String(n);
  if (n < 232)
    return nearest(CUBE[Math.floor((n - 16) / 36)], CUBE[Math.floor((n - 16) / 6) % 6], CUBE[(n - 16) % 6]);
  return nearest(8 + (n - 232) * 10, 8 + (n - 232) * 10, 8 + (n - 232) * 10);
}

// 38;5;N and 38;2;R;G;B (48 alike): the colour, and how many numbers it took.
function extended(p, i) {
  const ok = (n) => n >= 0 && n <= 255;
  if (p[i + 1] === 5 && ok(p[i + 2]))
    return [indexed(p[i + 2]), 2];
  if (p[i + 1] === 2 && ok(p[i + 2]) && ok(p[i + 3]) && ok(p[i + 4]))
    return [nearest(p[i + 2], p[i + 3], p[i + 4]), 4];
  return [null, p.length];
}

function sgr(style, params) {
  let s = { ...style };
  const p = params === '' ? [0] : params.split(/[;:]/).map((x) => x === '' ? 0 : Number(x));
  for (let i = 0; i < p.length; i++) {
    const n = p[i];
    if (n === 0)
      s = { ...PLAIN };
    else if (n === 1)
      s.bold = true;
    else if (n === 2)
      s.dim = true;
    else if (n === 3)
      s.italic = true;
    else if (n === 4)
      s.under = true;
    else if (n === 7)
      s.inverse = true;
    else if (n === 9)
      s.strike = true;
    else if (n === 22)
      s.bold = s.dim = false;
    else if (n === 23)
      s.italic = false;
    else if (n === 24)
      s.under = false;
    else if (n === 27)
      s.inverse = false;
    else if (n === 29)
      s.strike = false;
    else if (n >= 30 && n <= 37)
      s.fg = String(n - 30);
    else if (n === 39)
      s.fg = '';
    else if (n >= 40 && n <= 47)
      s.bg = String(n - 40);
    else if (n === 49)
      s.bg = '';
    else if (n >= 90 && n <= 97)
      s.fg = String(n - 82);
    else if (n >= 100 && n <= 107)
      s.bg = String(n - 92);
    else if (n === 38 || n === 48) {
      const [colour, took] = extended(p, i);
      if (colour !== null)
        s[n === 38 ? 'fg' : 'bg'] = colour;
      i += took;
    }
  }
  return s;
}

export function classOf(s) {
  const c = [];
  if (s.fg)
    c.push('f' + s.fg);
  if (s.bg)
    c.push('b' + s.bg);
  for (const name of ['bold', 'dim', 'italic', 'under', 'strike', 'inverse'])
    if (s[name])
      c.push('t-' + name);
  return c.join(' ');
}

const code = (ch) => ch.charCodeAt(0);
// Control pictures where Unicode has one, else the number.
const visible = (ch) => code(ch) < 32 ? String.fromCharCode(0x2400 + code(ch)) : code(ch) === 127 ? '\u2421' : '‹' + code(ch).toString(16).padStart(4, '0') + '›';

// A progress line as a terminal would leave it: what stands behind the last return.
export function lastState(text) {
  const line = text.replace(/\r+$/, ''), at = line.lastIndexOf('\r');
  return at < 0 ? line : line.slice(at + 1);
}

// Returns { spans: [{ text, cls }], style } with the style that the next line begins with.
export function parseLine(text, style = PLAIN) {
  const spans = [];
  let at = 0;
  const put = (s) => {
    if (s === '')
      return;
    const cls = classOf(style), shown = s.replace(INVISIBLE, visible);
    if (spans.length && spans[spans.length - 1].cls === cls)
      spans[spans.length - 1].text += shown;
    else
      spans.push({ text: shown, cls });
  };
  for (const m of text.matchAll(CONTROL)) {
    put(text.slice(at, m.index));
    at = m.index + m[0].length;
    if (m[3] === 'm' && !m[2] && /^[0-9;:]*$/.test(m[1]))
      style = sgr(style, m[1]);
    else if (m[0].length === 1 && m[0] !== '\x1b')
      put(visible(m[0]));
  }
  put(text.slice(at));
  return { spans, style };
}
