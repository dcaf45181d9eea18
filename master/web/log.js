// A step's log on the screen: its tail first, earlier parts when asked for, and while the step runs what comes.

// What comes is asked for with short requests (?from=N), one a second, only in a tab that is looked at: a stream for each tab would use up the six connections that a browser has for a
// host, and the seventh tab would hang. Positions are bytes and every request begins where the last answer ended, so each byte is shown exactly once, whatever fails in between.
import { Away, logRange } from './api.js';
import { apiUrl } from './base.js';
import { h } from './dom.js';
import { Lines, countLf, lastLines } from './loglines.js';

const TAIL = 512 << 10;      // bytes that are shown at first, and with each "earlier", and
const TAIL_LINES = 5000;     // so many lines
const BEHIND_MAX = 4 << 20;  // further behind than this: the tail again, instead of all that was missed
const KEEP_MAX = 12 << 20;   // bytes on the screen; more would make the tab slow, and nobody reads so much in it; and
const KEEP_LINES = 60000;    // so many lines
const POLL_MS = 1000;
const BLOCK_LINES = 400;     // in one block, which the browser lays out only when it is near the window

export function size(n) {
  return n < 1024 ? n + ' B' : n < 1 << 20 ? (n / 1024).toFixed(0) + ' KiB' : n < 1 << 30 ? (n / (1 << 20)).toFixed(1) + ' MiB' : (n / (1 << 30)).toFixed(2) + ' GiB';
}

function lineOf(l) {
  return h('div', { class: 'line', id: l.number === null ? null : 'L' + l.number },
    l.number === null ? h('span', { class: 'ln' }) : h('a', { class: 'ln', href: '#L' + l.number, 'data-n': l.number, tabindex: '-1', 'aria-label': 'line ' + l.number }),
    h('span', { class: 'lt' }, l.spans.map((s) => s.cls ? h('span', { class: s.cls }, s.text) : s.text)));
}

// build: ['project', 'builder', 'number']. live(): whether the step runs. changed(): the toolbar's numbers have. poll() starts it.
export class LogView {
  constructor(build, step, live, changed) {
    Object.assign(this, { build, step, live, changed, start: 0, end: 0, length: 0, firstLine: 1, complete: false, lines: null, timer: null, busy: false, failed: null, follows: false, bad: false });
    this.stop = new AbortController();
    this.blocks = h('div', { class: 'blocks' });
    this.open = h('div', { class: 'open' });
    this.earlier = h('button', { type: 'button', class: 'button small earlier', hidden: true }, 'Show earlier');
    this.note = h('p', { class: 'lognote', hidden: true });
    this.el = h('div', { class: 'log', 'data-test': 'log', 'data-keep': '', tabindex: '0', role: 'region', 'aria-label': 'Log of ' + step }, this.earlier, this.blocks, this.open, this.note);
    this.earlier.addEventListener('click', () => this.loadEarlier());
    this.el.addEventListener('scroll', () => this.scrolled(), { passive: true });
    this.onSeen = () => document.hidden || this.poll();
    document.addEventListener('visibilitychange', this.onSeen);
  }

  close() {
    this.stop.abort();
    clearTimeout(this.timer);
    document.removeEventListener('visibilitychange', this.onSeen);
  }

  address(query) {
    return apiUrl(['builds', ...this.build, 'logs', this.step], query).href;
  }

  tell(text) {
    this.note.textContent = text || '';
    this.note.hidden = !text;
  }

  plan(ms) {
    clearTimeout(this.timer);
    this.timer = this.stop.signal.aborted ? null : setTimeout(() => this.poll(), ms);
  }

  // ---- what comes ----

  async poll() {
    if (this.busy || this.complete || document.hidden || this.stop.signal.aborted)
      return;
    this.busy = true;
    const began = performance.now(), was = this.length, alive = this.live(); // before the question: what came while it ran is in the answer
    try {
      if (this.lines === null)
        await this.loadTail();
      else
        await this.loadMore();
      this.failed = null;
      this.complete = this.complete && !alive;
      this.tell(this.length || alive ? '' : 'No output.');
    } catch (e) {
      if (!this.stop.signal.aborted)
        this.trouble(e);
    } finally {
      this.busy = false;
    }
    if (!this.complete)
      this.plan(Math.max(alive && !this.failed ? POLL_MS : 3 * POLL_MS, performance.now() - began)); // a slow master is asked less
    if (this.length !== was || this.complete)
      this.changed();
  }

  trouble(e) {
    this.failed = e;
    if (e.status === 404 && !this.live())
      this.complete = true;
    this.tell(e instanceof Away ? '' : e.message + '.');
  }

  async loadTail() {
    const head = await logRange(this.build, this.step, 0, 0, this.stop.signal);
    const r = await logRange(this.build, this.step, Math.max(0, head.length - TAIL), null, this.stop.signal);
    const skip = lastLines(r.bytes, TAIL_LINES, r.from === 0), bytes = r.bytes.subarray(skip);
    this.blocks.replaceChildren();
    this.start = r.from + skip;
    this.end = r.from + r.bytes.length;
    this.firstLine = r.lines - countLf(bytes) + 1;
    this.lines = new Lines(this.firstLine, this.start);
    this.take(bytes, r);
    this.showEarlier();
    if (!this.jump() && (this.bad || this.start > 0)) // what went wrong stands at the end
      this.toEnd();
  }

  async loadMore() {
    const r = await logRange(this.build, this.step, this.end, this.end + BEHIND_MAX, this.stop.signal);
    if (r.length - this.end > BEHIND_MAX) {
      this.lines = null;
      await this.loadTail();
      return;
    }
    this.end += r.bytes.length;
    this.take(r.bytes, r);
  }

  take(bytes, r) {
    const stick = this.follows;
    this.length = r.length;
    this.complete = r.complete && this.end >= r.length;
    if (bytes.length) {
      this.put(this.blocks, this.lines.feed(bytes));
      const open = this.lines.open();
      this.open.replaceChildren(...(open ? [lineOf(open)] : []));
      this.trim();
    }
    if (stick)
      this.toEnd();
  }

  put(into, lines) {
    let block = into.lastElementChild;
    for (const l of lines) {
      if (!block || (block.childElementCount >= BLOCK_LINES && l.number !== null)) {
        block = h('div', { class: 'block', 'data-at': l.at, 'data-line': l.number });
        into.append(block);
      }
      block.append(lineOf(l));
    }
  }

  // The oldest blocks go when too much is on the screen; they can be asked for again.
  trim() {
    while (this.full() && this.blocks.childElementCount > 2) {
      this.blocks.firstElementChild.remove();
      const first = this.blocks.firstElementChild;
      this.start = Number(first.dataset.at);
      this.firstLine = Number(first.dataset.line);
    }
    this.showEarlier();
  }

  full() {
    return this.end - this.start > KEEP_MAX || this.lines.next - this.firstLine > KEEP_LINES;
  }

  // ---- earlier ----

  showEarlier() {
    this.earlier.hidden = this.start === 0;
    this.earlier.disabled = this.full();
    this.earlier.textContent = this.earlier.disabled ? 'The rest (' + size(this.start) + ') is in the download' : 'Show earlier (' + size(this.start) + ')';
  }

  async loadEarlier() {
    if (this.loading || !this.start || this.full())
      return false;
    this.loading = true;
    try {
      const from = Math.max(0, this.start - TAIL), r = await logRange(this.build, this.step, from, this.start, this.stop.signal);
      const skip = lastLines(r.bytes, TAIL_LINES, from === 0), bytes = r.bytes.subarray(skip);
      const first = this.firstLine - countLf(bytes), lines = new Lines(first, from + skip), part = h('div', {});
      const below = this.el.scrollHeight - this.el.scrollTop;
      this.put(part, lines.feed(bytes));
      if (lines.open()) // it was torn where the part below begins
        this.put(part, [lines.open()]);
      this.blocks.prepend(...part.children);
      this.firstLine = first;
      this.start = from + skip;
      this.el.scrollTop = this.el.scrollHeight - below;
      this.showEarlier();
      return true;
    } catch (e) {
      if (!this.stop.signal.aborted)
        this.tell('Earlier lines could not be fetched: ' + e.message + '.');
      return false;
    } finally {
      this.loading = false;
    }
  }

  // ---- where one looks ----

  toEnd() {
    this.auto = true;
    this.el.scrollTop = this.el.scrollHeight;
  }

  scrolled() {
    const below = this.el.scrollHeight - this.el.scrollTop - this.el.clientHeight;
    if (this.auto) {
      this.auto = false;
      return;
    }
    const was = this.follows;
    this.follows = this.live() && below < 24;
    if (was !== this.follows)
      this.changed();
  }

  follow(on) {
    this.follows = on;
    if (on)
      this.toEnd();
    this.changed();
  }

  // #L123
  jump() {
    const m = /^#L(\d+)$/.exec(location.hash), line = m && document.getElementById('L' + m[1]);
    this.el.querySelector('.line.at')?.classList.remove('at');
    if (line) {
      this.follows = false;
      line.classList.add('at');
      line.scrollIntoView({ block: 'center' });
    } else if (m && this.start && !this.full() && Number(m[1]) < this.firstLine) {
      this.loadEarlier().then((more) => more && this.jump());
    }
    return Boolean(line);
  }
}
