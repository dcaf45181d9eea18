// Bytes of a log to lines of text, without a document: what log.js puts on the screen. Bytes that are no UTF-8 become U+FFFD; a line is cut only between bytes LF, so no character is ever torn. Pure.
import { PLAIN, lastState, parseLine } from './ansi.js';

const LF = 10;
const LINE_MAX = 32 << 10; // longer ones go on in the next: no browser likes a line of a megabyte

function join(a, b) {
  if (!a.length)
    return b;
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}

// So many bytes up to the last one that begins a character.
function border(bytes, n) {
  let at = n;
  while (at > n - 4 && (bytes[at] & 0xc0) === 0x80)
    at--;
  return (bytes[at] & 0xc0) === 0x80 ? n : at;
}

export function countLf(bytes) {
  let n = 0;
  for (const b of bytes)
    n += b === LF;
  return n;
}

// Where the part of bytes begins that is shown: its last lines, at most so many, all of them whole. whole: bytes begin with a line.
export function lastLines(bytes, max, whole) {
  let at = bytes.length, left = max;
  if (at && bytes[at - 1] === LF) // the end of the last line, not the beginning of another
    at--;
  while (left && at > 0) {
    at = bytes.lastIndexOf(LF, at - 1);
    left--;
  }
  if (at >= 0 && !left)
    return at + 1;
  return whole ? 0 : (bytes.indexOf(LF) + 1) % (bytes.length || 1); // a line longer than all this is shown torn
}

export class Lines {
  // number, at: of the first line, and of its first byte in the log.
  constructor(number, at) {
    this.next = number;
    this.at = at;
    this.style = PLAIN;
    this.rest = new Uint8Array(0); // of the line that has not ended
    this.goesOn = false;           // the last piece did not end its line
  }

  // → lines that have ended: [{ number (null: goes on from the line above), at, spans }]
  feed(bytes) {
    const all = join(this.rest, bytes), lines = [];
    let at = 0;
    for (;;) {
      let end = all.indexOf(LF, at);
      const long = end < 0 ? all.length - at >= LINE_MAX : end - at > LINE_MAX;
      if (end < 0 && !long)
        break;
      if (long)
        end = border(all, at + LINE_MAX);
      lines.push(this.line(all.subarray(at, end), this.at + at));
      this.goesOn = long;
      at = long ? end : end + 1;
    }
    this.rest = all.slice(at);
    this.at += at;
    return lines;
  }

  line(bytes, at) {
    const text = lastState(new TextDecoder().decode(bytes)), { spans, style } = parseLine(text, this.style);
    this.style = style;
    return { number: this.goesOn ? null : this.next++, at, spans };
  }

  // The line that has not ended, as it would look now; null: there is none.
  open() {
    if (!this.rest.length)
      return null;
    const { spans } = parseLine(lastState(new TextDecoder().decode(this.rest)), this.style);
    return { number: this.goesOn ? null : this.next, at: this.at, spans };
  }
}
