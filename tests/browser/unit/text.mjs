// The page's parts that need no browser: control sequences, lines of a log, events of a stream. Run by node --test.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { pathToFileURL } from 'node:url';

// A copy that says it has modules: older node asks for that, the page's own folder doesn't need it.
const copy = mkdtempSync(join(tmpdir(), 'drover-web-'));
cpSync(new URL('../../../master/web/', import.meta.url), copy, { recursive: true });
writeFileSync(join(copy, 'package.json'), '{"type": "module"}');
after(() => rmSync(copy, { recursive: true }));
const web = pathToFileURL(copy + '/');
const { PLAIN, lastState, parseLine } = await import(new URL('ansi.js', web));
const { Lines, countLf, lastLines } = await import(new URL('loglines.js', web));
const { parser } = await import(new URL('source.js', web));

const bytes = (s) => new TextEncoder().encode(s);
const flat = (spans) => spans.map((s) => s.text).join('');
const ESC = '\x1b';

test('colours become classes', () => {
  const cases = [
    [`${ESC}[31mred${ESC}[0m plain`, [['f1', 'red'], ['', ' plain']]],
    [`${ESC}[1;4;32mx${ESC}[22;24;39my`, [['f2 t-bold t-under', 'x'], ['', 'y']]],
    [`${ESC}[91;104mx${ESC}[mz`, [['f9 b12', 'x'], ['', 'z']]],
    [`${ESC}[38;5;196mx`, [['f1', 'x']]],
    [`${ESC}[48;2;255;255;255mx`, [['b15', 'x']]],
    [`${ESC}[38;5;mx`, [['f0', 'x']]],
    [`${ESC}[38;5;999mx`, [['', 'x']]],
    [`${ESC}[7mx`, [['t-inverse', 'x']]],
    [`${ESC}[31m${ESC}[31mab${ESC}[31mcd`, [['f1', 'abcd']]],
  ];
  for (const [text, want] of cases)
    assert.deepEqual(parseLine(text).spans.map((s) => [s.cls, s.text]), want, JSON.stringify(text));
});

test('a style goes on to the next line', () => {
  const one = parseLine(`${ESC}[35mfirst`), two = parseLine('second', one.style);
  assert.equal(two.spans[0].cls, 'f5');
  assert.deepEqual(parseLine(`${ESC}[0m`, one.style).style, PLAIN);
});

test('no other control sequence comes through', () => {
  const gone = [`${ESC}[2J`, `${ESC}[1;1H`, `${ESC}[6n`, `${ESC}[?25l`, `${ESC}]0;title\x07`, `${ESC}]8;;javascript:alert(1)\x07`, `${ESC}]52;c;AAAA${ESC}\\`, `${ESC}P$q"p${ESC}\\`, `${ESC}c`, `${ESC}(B`, `${ESC}[31`, ESC, `${ESC}[?31m`, `${ESC}[>4;2m`];
  for (const s of gone)
    assert.equal(flat(parseLine(`a${s}b`).spans).replace(/[ab]/g, '').replace(/^.*/, (x) => x.includes(ESC) ? x : ''), '', JSON.stringify(s));
  assert.equal(flat(parseLine('a\x00b\x07c\x7fd\x9be').spans), 'a\u2400b\u2407c\u2421d‹009b›e');
  assert.equal(flat(parseLine('a\u202eb\u2066c\ufeffd').spans), 'a‹202e›b‹2066›c‹feff›d');
  assert.equal(flat(parseLine('tab\tstays').spans), 'tab\tstays');
});

test('markup is text', () => {
  assert.deepEqual(parseLine('<script>alert(1)</script>').spans, [{ text: '<script>alert(1)</script>', cls: '' }]);
});

test('a progress line is what was written last', () => {
  assert.equal(lastState('10%\r50%\r100%'), '100%');
  assert.equal(lastState('dos line\r'), 'dos line');
  assert.equal(lastState('done\r\r'), 'done');
  assert.equal(lastState('\rx'), 'x');
});

// What a Lines would have made of all at once.
function whole(data) {
  const l = new Lines(1, 0), out = l.feed(data), open = l.open();
  return [...out, ...(open ? [open] : [])];
}

test('however the bytes come, the lines are the same', () => {
  const text = `eins\nzwei ü 日本 😀\n${ESC}[31mrot\nnoch rot${ESC}[0m\n\nletzte ohne Ende`, data = bytes(text), want = whole(data);
  assert.deepEqual(want.map((l) => l.number), [1, 2, 3, 4, 5, 6]);
  for (let cut = 0; cut <= data.length; cut++) {
    const l = new Lines(1, 0), got = [...l.feed(data.subarray(0, cut)), ...l.feed(data.subarray(cut))];
    if (l.open())
      got.push(l.open());
    assert.deepEqual(got, want, 'cut at ' + cut);
  }
  const l = new Lines(1, 0), got = [];
  for (const b of data)
    got.push(...l.feed(Uint8Array.of(b)));
  assert.deepEqual([...got, l.open()], want);
});

test('offsets are those of the bytes', () => {
  const data = bytes('a\nüü\n\nend');
  assert.deepEqual(whole(data).map((l) => l.at), [0, 2, 7, 8]);
});

test('bytes that are no UTF-8', () => {
  assert.equal(flat(whole(Uint8Array.of(0x61, 0xff, 0xc3, 0x0a))[0].spans), 'a\ufffd\ufffd');
});

test('a line without an end is shown in pieces, none of them torn in a character', () => {
  const text = '日'.repeat(50000), lines = whole(bytes(text));
  assert.ok(lines.length > 3);
  assert.deepEqual(lines.map((l) => l.number), [1, ...Array(lines.length - 1).fill(null)]);
  assert.equal(lines.map((l) => flat(l.spans)).join(''), text);
  const l = new Lines(1, 0);
  l.feed(bytes(text + '\n'));
  assert.equal(l.feed(bytes('next\n'))[0].number, 2);
});

test('the last lines of a part', () => {
  const b = bytes('one\ntwo\nthree\n');
  assert.equal(lastLines(b, 1, true), 8);
  assert.equal(lastLines(b, 2, true), 4);
  assert.equal(lastLines(b, 3, true), 0);
  assert.equal(lastLines(b, 9, true), 0);
  assert.equal(lastLines(b, 9, false), 4);
  assert.equal(lastLines(bytes('no end'), 9, false), 0);
  assert.equal(lastLines(bytes('ends\n'), 9, false), 0);
  assert.equal(lastLines(bytes('a\nb'), 1, true), 2);
  assert.equal(lastLines(bytes(''), 5, true), 0);
  assert.equal(countLf(b), 3);
});

test('events of a stream, however it is cut', () => {
  const text = 'retry: 1000\n\nid: 7\nevent: build.done\ndata: {"a":1}\n\n:\n\nid: 8\r\ndata: x\r\ndata: y\r\n\r\n';
  for (let cut = 0; cut <= text.length; cut++) {
    const got = [], p = parser((e) => got.push(e));
    p.feed(text.slice(0, cut));
    p.feed(text.slice(cut));
    assert.deepEqual(got, [{ id: '7', data: '{"a":1}' }, { id: '8', data: 'x\ny' }]);
  }
});
