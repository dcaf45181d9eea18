// Text from outside stays text: payloads come in by real commits, `drover change send`, reasons of builds and build output, and every page that shows them is looked at.
import assert from 'node:assert/strict';
import { CONTROLS, PAYLOADS } from './payloads.mjs';
import { buildPath, until, waitResult } from './lib.mjs';
import { browser, check, site, suite } from './suite.mjs';

const SOAK = process.env.DROVER_SOAK; // each payload on a page of its own
const GROUP = SOAK ? 5 : 15;
const REVISION = '0123456789abcdef0123456789abcdef012345';
const PIPELINE = `
builders:
  say: {steps: [{name: payloads, run: cat payloads.txt}, {name: torn, run: "sh torn.sh"}]}
schedulers:
  none: {change: {branches: nothing-of-this-name}}
`;
// Tags that our own page never makes, and attributes that no element of ours has.
const FOREIGN = 'script:not([src]), iframe, frame, object, embed, applet, base, style, video, audio, source, math, marquee, template, details, textarea, select, form:not([method="dialog"]), img, animate, .pwn, [srcdoc], [popover], ' +
  'a[href^="javascript:" i], a[href^="data:" i], [formaction], [action], meta[http-equiv], link[href*="evil"], main [style*="url"]';
const log = PAYLOADS.join('\n') + '\n' + CONTROLS.map((c) => c.bytes).join('\n') + '\n';
let bid;

const torn = PAYLOADS.slice(0, 3).map((p) => [...p].map((c) => `printf '%s' '${c.replaceAll("'", "'\\''")}'`).join('; sleep 0.004; ') + '; echo').join('\n');

suite(() => site.up(PIPELINE, { 'payloads.txt': log, 'torn.sh': torn }));

// Nothing ran, nothing was made, nothing was asked for; and what was to be shown is there, letter by letter.
async function harmless(page, texts, where) {
  const found = await page.evaluate((foreign) => ({
    pwned: window.__pwned,
    elements: [...document.querySelectorAll(foreign)].map((e) => e.outerHTML.slice(0, 200)),
    handlers: [...document.querySelectorAll('*')].filter((e) => e.getAttributeNames().some((a) => /^on/i.test(a))).map((e) => e.outerHTML.slice(0, 200)),
    text: document.body.textContent + document.title,
    ids: [...document.querySelectorAll('[id]')].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i),
  }), FOREIGN);
  assert.equal(found.pwned, undefined, where);
  assert.deepEqual([found.elements, found.handlers, found.ids], [[], [], []], where);
  const squeezed = found.text.replace(/\s+/g, ' ');
  for (const t of texts)
    assert.ok(squeezed.includes(t.replace(/\s+/g, ' ').trim()), where + ' does not show ' + JSON.stringify(t));
  assert.deepEqual(await browser.faults(), [], where);
}

async function click(page) { // what a hand could hit
  for (const a of await page.locator('main a').all())
    await a.dispatchEvent('mouseover');
}

check('the page as it is has none of what is looked for', async () => {
  const page = await browser.open();
  await page.locator('[data-test="running"]').waitFor();
  await harmless(page, [], 'home');
});

check('what is looked for would be found', async () => {
  const page = await browser.open();
  const breaks = [
    () => document.querySelector('main').append(Object.assign(document.createElement('img'), { alt: 'x' })),
    () => document.querySelector('main').append(Object.assign(document.createElement('a'), { href: 'javascript:1' })),
    () => document.querySelector('main').setAttribute('onfound', '1'),
    () => { window.__pwned = 1; },
    () => document.querySelector('main').append(document.createElement('iframe')),
    () => { new Image().src = 'http://evil.example/'; },
    () => console.error('something'),
  ];
  for (const f of breaks) {
    await page.reload();
    await page.locator('[data-test="running"]').waitFor();
    await page.evaluate(f);
    const found = await until('it to be found: ' + f, () => harmless(page, [], 'broken').then(() => null, (e) => e)); // what the browser tells of comes a moment later
    assert.ok(found instanceof assert.AssertionError, String(f));
    await browser.faults();
  }
  await assert.rejects(harmless(page, ['a text that is not there'], 'home'));
  await browser.faults();
});

check(PAYLOADS.length + CONTROLS.length + ' payloads in a log', async () => {
  assert.ok(PAYLOADS.length >= 50 && new Set(PAYLOADS).size === PAYLOADS.length);
  const b = await site.run('p/say');
  bid = b.id;
  for (const step of ['payloads', 'torn']) {
    const page = await browser.open(buildPath(bid) + '/' + step);
    await waitResult(page, 'SUCCESS');
    await page.locator('[data-test="log"] .line').first().waitFor();
    const lines = await until('the log of ' + step, async () => {
      const got = await page.locator('[data-test="log"] .line .lt').allTextContents();
      return got.length >= (step === 'torn' ? 3 : PAYLOADS.length + CONTROLS.length) && got;
    });
    PAYLOADS.slice(0, step === 'torn' ? 3 : PAYLOADS.length).forEach((p, i) => assert.equal(lines[i], p));
    if (step === 'payloads')
      CONTROLS.forEach((c, i) => assert.ok(lines[PAYLOADS.length + i].endsWith(c.shown), JSON.stringify(lines[PAYLOADS.length + i])));
    await click(page);
    await harmless(page, [], 'log of ' + step);
    await page.close();
  }
  assert.equal(await site.log(bid, 'payloads'), log);  // and the log is what was written
});

check('the same log itself is no page', async () => {
  const page = await browser.open('api/v1/builds/' + bid + '/logs/payloads');
  assert.equal(await page.evaluate(() => document.contentType), 'text/plain');
  assert.equal(await page.evaluate(() => window.__pwned), undefined);
  assert.deepEqual((await browser.faults()).filter((x) => !x.includes('favicon')), []);
  await page.close();
});

check('payloads as messages of commits', async () => {
  const shown = await browser.open('changes');
  for (let i = 0; i < PAYLOADS.length; i += GROUP)     // the first line of each is what lists show
    await site.commit({ ['f' + i]: 'x' }, PAYLOADS.slice(i, i + GROUP).join('\n'));
  await site.commit({ last: 'x' }, 'the last one');
  const last = await site.head();
  const newest = await until('the change', async () => (await site.get('/changes?limit=1')).items[0]?.revision === last && (await site.get('/changes?limit=100')).items);
  await shown.locator(`[data-id="${newest[0].id}"]`).waitFor();
  await harmless(shown, [], 'changes');
  const all = new Map(newest.map((c) => [c.message, c.id]));
  for (let i = 0; i < PAYLOADS.length; i += GROUP) {
    const group = PAYLOADS.slice(i, i + GROUP), id = [...all].find(([m]) => m.trim() === group.join('\n').trim())?.[1];
    if (!id)                                           // pushed together with the next: only the tip is a change
      continue;
    await shown.goto(browser.url + 'changes/' + id);
    await shown.locator('main', { hasText: id }).waitFor();
    await harmless(shown, group, id);
  }
});

check('payloads as author, message, file and revision of changes that are sent', async () => {
  const page = await browser.open('changes');
  for (const [i, p] of PAYLOADS.entries()) {
    const revision = REVISION + String(i).padStart(2, '0');
    const r = await site.cli('change', 'send', '--project', 'p', '--branch', 'main', '--revision', revision, '--author', p, '--message', p, '--file', p, '--property', 'x=' + p);
    assert.equal(r.code, 0, r.text);
  }
  const { items } = await site.get('/changes?limit=100');
  const sent = items.filter((c) => c.revision.startsWith(REVISION)).sort((a, b) => a.revision < b.revision ? -1 : 1);
  assert.equal(sent.length, PAYLOADS.length);
  sent.forEach((c, i) => assert.deepEqual([c.author, c.message], [PAYLOADS[i], PAYLOADS[i]]));
  await page.locator(`[data-id="${sent[sent.length - 1].id}"]`).waitFor();
  await harmless(page, PAYLOADS.slice(-20).map((p) => p.split('\n')[0]), 'changes');
  await click(page);
  for (const [i, c] of [...sent.entries()].filter(([i]) => SOAK || i % 4 === 0)) {               // within the page, as a person goes from one to the next
    await page.evaluate((path) => {
      history.pushState(null, '', path);
      dispatchEvent(new PopStateEvent('popstate'));
    }, new URL(browser.url).pathname + 'changes/' + c.id);
    await page.locator('main', { hasText: c.revision.slice(0, 7) }).waitFor();
    await harmless(page, [PAYLOADS[i]], c.id);
  }
});

check('payloads as branches', async () => {
  const page = await browser.open();
  for (const p of PAYLOADS.filter((_, i) => i % 3 === 0)) {
    const r = await site.cli('change', 'send', '--project', 'p', '--branch', p, '--revision', REVISION + 'ff');
    assert.equal(r.code, 2, 'a branch of this name was taken: ' + p);
  }
  // A repository may have them. They make no change; and were one to get into the database by another way, it would be shown as it is.
  for (const ref of ['refs/heads/<img/src=x/onerror=alert(1)>', "refs/heads/'-alert(1)-'", 'refs/heads/javascript:'.replace(':', ';') + 'alert(1)'])
    await site.raw_commit('Eve <eve@example.org>', 'on a strange branch', ref);
  const tip = await site.commit({ z: 'z' }, 'behind the strange branches');
  const seen = await until('the look behind them', async () => (await site.get('/changes?limit=20')).items.find((c) => c.revision === tip));
  assert.deepEqual((await site.get('/changes?limit=20')).items.filter((c) => c.message.includes('strange branch') && c.id !== seen.id && /[<'(;]/.test(c.branch)), []);
  for (const p of PAYLOADS.filter((x) => !x.includes("'")).slice(0, 8)) {
    await site.sql(`update change set branch = '${p}' where id = ${seen.id.slice(1)}`);
    await page.goto(browser.url + 'changes/' + seen.id);
    await page.locator('main', { hasText: seen.id }).waitFor();
    await harmless(page, [p], p);
  }
});

check('payloads as authors of raw commits', async () => {
  for (const [i, name] of ['<script>window.__pwned=1</script> <eve@example.org>', 'Eve <"><img src=x onerror=alert(1) class=pwn>>', "'><svg onload=alert(1)> <x@y>"].entries())
    await site.raw_commit(name, 'raw author ' + i, 'refs/heads/raw' + i);
  const raws = await until('the changes', async () => {
    const items = (await site.get('/changes?limit=20')).items.filter((c) => c.message.startsWith('raw author'));
    return items.length === 3 && items;
  });
  const page = await browser.open('changes');
  for (const c of raws) {
    await page.goto(browser.url + 'changes/' + c.id);
    await page.locator('main', { hasText: c.id }).waitFor();
    await harmless(page, [], c.author);
  }
});

check('payloads as the reason of a build', async () => {
  const page = await browser.open();
  for (const p of PAYLOADS.slice(0, 3)) {
    const [rid] = (await site.post('/builds', { builder: 'p/say', reason: p, properties: { x: p } }, 201)).requests;
    const r = await site.wait_request(rid);
    await page.goto(browser.url + 'requests/' + rid);
    await page.locator('main', { hasText: rid }).waitFor();
    await harmless(page, [], rid);
    await page.goto(browser.url + buildPath(r.builds[0]));
    await waitResult(page, 'SUCCESS');
    await harmless(page, [p], r.builds[0]);
  }
  await page.goto(browser.url);
  await page.locator('[data-test="done"] [data-test="row"]').first().waitFor();
  await harmless(page, [], 'home');
});
