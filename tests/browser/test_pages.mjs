// Every page: by its address and loaded again, on a phone, in both colours, by keyboard alone, with a wrong clock; without an error, and without a word to anybody else.
import assert from 'node:assert/strict';
import { measure, sticksOut } from './a11y.mjs';
import { buildPath, until, waitResult } from './lib.mjs';
import { browser, check, site, suite } from './suite.mjs';

const LONG = 'a-branch-with-a-name-that-somebody-must-have-thought-was-a-good-idea-at-the-time/and-then-some';
const PIPELINE = `
builders:
  good: {steps: [{name: say, run: "seq 1 200; printf '\\\\033[31mred\\\\033[0m \\\\033[1;32mgreen\\\\033[0m \\\\033[33myellow\\\\033[0m \\\\033[34mblue\\\\033[0m\\\\n'; printf '%0500d\\\\n' 7"}]}
  bad: {checkout: none, steps: [{name: fine, output: 64K, run: seq -f 'line %090.0f' 10000}, {name: fails, run: "echo 'parse.c:88: expected U+FFFD, got U+0000'; exit 2"}]}
  hold: {checkout: none, locks: {boards: {take: 2, as: UNITS}}, steps: [{name: hold, run: "echo holding; while [ ! -e @ROOT@/go ]; do sleep 0.05; done"}]}
  core: {checkout: none, matrix: {CC: [gcc, c++], ARCH: [x86_64]}, steps: [{name: say, run: "echo $CC on $ARCH"}]}
  nobody: {checkout: none, worker: {tags: [of-no-worker]}, steps: [{name: never, run: "true"}]}
  plan: {checkout: none, steps: [{name: tell, run: "echo told; echo 'builders: {extra: {checkout: none, steps: [echo it]}}' >\\"$DROVER_REPORT/nodes.yml\\""}]}
  spoilt: {checkout: none, steps: [{name: tell, run: "echo told; echo 'builders: {extra: {stepz: [<b>]}}' >\\"$DROVER_REPORT/nodes.yml\\""}]}
  dist: {checkout: none, needs: [good, core, hold, {bad: soft}], steps: [{name: never, run: "true"}]}
schedulers: {commits: {change: {}, builders: [good, bad, hold, core, nobody, dist]}}
`;
const MATRIX = 'core[c++,x86_64]';
const PHONE = { width: 360, height: 740 }, DESK = { width: 1280, height: 800 };
let paths, held, bad, plan, spoilt;

suite(() => site.up(PIPELINE, { 'a.c': 'int x;' }, { here: { slots: 2 } }, false, 'p', { boards: { units: ['alpha1', 'alpha2', 'beta1'] } }, { linux: { tags: ['build'], slots: 2, max: 3 } }), {
  ready: prepare,
  end: () => site?.touch('go'),
});

async function prepare() {
  await site.commit({ 'b.c': 'int y;' }, 'A first line that is longer than what fits on a telephone, by a good deal, so that it has to be cut or wrapped\n\nAnd a body.', 'Ann Other-Name-That-Is-Long');
  const change = await until('the change', async () => (await site.get('/changes?limit=1')).items[0]);
  const good = await until('its build', async () => (await site.get('/builds?builder=p/good&state=done')).items[0]);
  await until('the failure', async () => (await site.get('/builds?builder=p/bad&state=done')).items[0]);
  bad = (await site.run('p/bad')).id;
  const hold = (await site.get('/requests?builder=p/hold')).items[0] || { id: await site.ask('p/hold') };
  held = await until('what is held', async () => (await site.request(hold.id)).builds[0]);
  const core = await until('one of a matrix', async () => (await site.get('/builds?builder=' + encodeURIComponent('p/' + MATRIX) + '&state=done')).items[0]);
  const waits = (await site.get('/requests?builder=p/nobody&state=pending')).items[0] || { id: await site.ask('p/nobody') };
  const dist = (await site.get('/requests?builder=p/dist')).items[0];
  plan = await site.run('p/plan');
  spoilt = await site.run('p/spoilt');
  paths = ['', 'builders', 'builders/p/good', buildPath(good.id), 'builders/p/' + encodeURIComponent(MATRIX), buildPath(core.id), buildPath(bad), buildPath(bad) + '/fine', buildPath(held), 'changes', 'changes/' + change.id, 'workers', 'workers/here', 'requests/' + waits.id, 'requests/' + dist.id, 'buildsets/' + dist.buildset, buildPath(plan.id), buildPath(spoilt.id), 'buildsets/' + plan.buildset];
}

// Shown, not just loaded: it has a heading, no problem, and what it waits for is there.
async function ready(page) {
  await page.locator('main h1').first().waitFor({ state: 'attached' });
  assert.equal(await page.locator('[data-test="problem"]').count(), 0, page.url());
}

// Each page once, in light and dark, on a desk and on a phone; the tests below look at what was found.
const walk = new Map();

check('who holds the locks', async () => {
  const page = await browser.open();
  await page.goto(browser.url + 'workers');
  const text = await page.locator('[data-test="locks"] [data-test="row"]').innerText();
  assert.match(text, /boards/);
  assert.match(text, /p\/hold\/\d+ alpha1 alpha2/);
  assert.match(text, /1 of 3 free/);
});

check('the pools', async () => {
  const page = await browser.open();
  await page.goto(browser.url + 'workers');
  const text = await page.locator('[data-test="pools"] [data-test="row"]').innerText();
  assert.match(text, /linux\s/);
  assert.match(text, /0 of 3 members, 0 connected/);
  assert.match(text, /build/);
});

check('a quarantine is told', async () => {
  const page = await browser.open();
  await page.route('**/api/v1/workers', async (route) => {
    const answer = await route.fetch(), body = await answer.json();
    body.items[0].state = 'quarantine';
    body.items[0].quarantine = { since: Date.now(), until: Date.now() + 60000, why: 'no git there' };
    await route.fulfill({ response: answer, json: body });
  });
  await page.goto(browser.url + 'workers');
  assert.match(await page.locator('[data-test="workers"] [data-test="row"]').first().innerText(), /in quarantine until .*: no git there/);
});

check('why a worker gets nothing', async () => {
  const page = await browser.open();
  await page.goto(browser.url + 'workers/here');
  await page.locator('[data-test="gets"] [data-test="row"]', { hasText: 'here has no tag of-no-worker' }).waitFor();
});

// What the list has in it is test_rules_sets'.
check('what the changes of a build are counted from', async () => {
  const page = await browser.open();
  await page.route('**/api/v1/builds/p/good/*', async (route) => {
    const answer = await route.fetch(), body = await answer.json();
    await route.fulfill({ response: answer, json: { ...body, since: 'p/good/1', changes_count: body.changes.length + 7 } });
  });
  await page.goto(browser.url + paths.find((x) => x.startsWith('builds/p/good/')));
  const line = page.locator('dl.facts').getByText('… and 7 older ones since #1');
  await line.waitFor();
  assert.match(await line.locator('a').getAttribute('href'), /builds\/p\/good\/1$/);
});

// The beginning and the end are there, and how much is not.
check('output that is over its limit', async () => {
  const page = await browser.open(buildPath(bad) + '/fine'), log = (await site.get('/builds/' + bad)).steps[0].logs[0];
  await page.locator('[data-test="log"] .line', { hasText: /0010000$/ }).waitFor();
  assert.equal(await page.locator('[data-test="left-out"]').innerText(), `${(log.left_bytes / 1024).toFixed(0)} KiB (${log.left_lines} lines) left out`);
  assert.equal(await page.locator('[data-test="log"] .line', { hasText: `left out here: ${log.left_bytes} bytes, ${log.left_lines} lines` }).count(), 1);
  assert.deepEqual(await browser.faults(), []);
});

// The span itself is test_pause's; here the answer of a request that really waits gets one.
check('when what waits will probably begin', async () => {
  const page = await browser.open();
  await page.route('**/requests/*/why', async (route) => {
    const response = await route.fetch(), body = await response.json(), at = Date.now();
    assert.equal(body.eta, null, 'nobody is there to take it');
    await route.fulfill({ response, json: { ...body, eta: { low: at + 85500, likely: at + 262500, high: at + 3925500 } } });
  });
  await page.goto(browser.url + paths.find((x) => x.startsWith('requests/')));
  await page.locator('.facts', { hasText: 'begins' }).waitFor();
  assert.match(await page.locator('.facts').innerText(), /begins\s+in about 4:[0-2]\d min \(1:[0-2]\d min to 1:05 h\)/);
});

check('each page by its address, and loaded again', async () => {
  const page = await browser.open();
  for (const path of paths) {
    await page.emulateMedia({ colorScheme: 'light' });
    await page.goto(browser.url + path);
    await ready(page);
    if (path.startsWith('builds/'))
      await page.locator('[data-test="log"] .line').first().waitFor();
    const found = { light: await page.evaluate(measure) };
    await page.emulateMedia({ colorScheme: 'dark' });
    found.dark = await page.evaluate(measure);
    await page.setViewportSize(PHONE);
    found.phone = await page.evaluate(sticksOut);
    walk.set(path, found);
    await page.setViewportSize(DESK);
    const title = await page.title();
    await page.reload();
    await ready(page);
    await until('the title ' + title, async () => await page.title() === title);
    assert.match(title, /drover/);
  }
  assert.deepEqual(await browser.faults(), []);
  const r = await page.goto(browser.url + 'no/such/page');
  assert.equal(r.status(), 404);
  await page.locator('[data-test="problem"]').waitFor();
  await page.goto(browser.url + 'builds/p/good/99999');
  await page.locator('[data-test="problem"]').waitFor();
  assert.deepEqual((await browser.faults()).filter((x) => !/status of 404/.test(x)), []);
});

check('nothing sticks out at 360 pixels', async () => {
  assert.equal(walk.size, paths.length);
  for (const [path, { phone }] of walk)
    assert.deepEqual(phone, [], path);
});

check('text can be read in both colours, and what can be worked has a name', async () => {
  const faults = [];
  assert.equal(walk.size, paths.length);
  for (const [path, found] of walk)
    for (const scheme of ['light', 'dark']) {
      const m = found[scheme];
      assert.ok(m.texts > 10, 'only ' + m.texts + ' texts measured');
      faults.push(...[...m.odd, ...m.pale, ...m.nameless, ...m.unreachable].map((x) => scheme + ' /' + path + ': ' + x));
      assert.deepEqual([m.lang, m.mains, m.headings], ['en', 1, 1], path);
    }
  assert.deepEqual(faults, []);
});

check('what is measured would be found', async () => {
  const page = await browser.open('', { size: PHONE });
  await ready(page);
  await page.evaluate(() => {
    const p = document.createElement('p'), b = document.createElement('button'), w = document.createElement('div');
    p.textContent = 'pale';
    p.style.cssText = 'color: #999; background: #aaa';
    w.style.width = '400px';
    w.textContent = 'wide';
    document.querySelector('main').append(p, b, w);
  });
  const m = await page.evaluate(measure);
  assert.equal(m.pale.filter((x) => x.includes('"pale"')).length, 1);
  assert.deepEqual(m.nameless, ['<button></button>']);
  assert.notDeepEqual(await page.evaluate(sticksOut), []);
});

check('one of a matrix, by clicks', async () => {
  const page = await browser.open('builders');
  await page.getByRole('link', { name: MATRIX }).first().click();
  await page.locator('main h1', { hasText: MATRIX }).waitFor();
  await ready(page);
  assert.equal(decodeURIComponent(new URL(page.url()).pathname).split('/').pop(), MATRIX);
  await page.locator('section a[href*="/builds/p/"]').first().click();
  await page.locator('[data-test="log"] .line', { hasText: 'c++ on x86_64' }).waitFor();
  await ready(page);
  const href = await page.getByRole('link', { name: 'Download' }).getAttribute('href');
  const log = await page.request.get(new URL(href, page.url()).href);
  assert.deepEqual([log.status(), await log.text()], [200, 'c++ on x86_64\n']);
  await page.goBack();
  await page.locator('main h1', { hasText: MATRIX }).waitFor();
  assert.deepEqual(await browser.faults(), []);
});

check('from page to page and back, without loading', async () => {
  const page = await browser.open();
  await ready(page);
  const began = await page.evaluate(() => window.__began);
  for (const name of ['Builders', 'Changes', 'Workers', 'Home']) {
    await page.getByRole('navigation').getByRole('link', { name, exact: true }).click();
    await page.locator(`nav [aria-current="page"]`, { hasText: name }).waitFor();
    await ready(page);
  }
  await page.goBack();
  await page.locator('nav [aria-current="page"]', { hasText: 'Workers' }).waitFor();
  await page.goForward();
  await page.locator('[data-test="running"]').waitFor();
  assert.equal(await page.evaluate(() => window.__began), began);
  assert.deepEqual(await browser.faults(), []);
});

check('why things wait, and what broke', async () => {
  const page = await browser.open();
  await page.locator('[data-test="waiting"] [data-test="row"]', { hasText: 'of-no-worker' }).first().waitFor();
  await page.locator('[data-test="broken"] [data-test="row"][data-id="p/bad"]').waitFor();
  await page.locator(`[data-test="running"] [data-test="row"][data-id="${held}"]`).waitFor();
  await page.goto(browser.url + buildPath(bad));
  await waitResult(page, 'FAILURE');
  await page.locator('[data-test="log"] .line', { hasText: 'expected U+FFFD' }).waitFor();     // the step that failed is the one that is open
});

check('what each scheduler says of a change', async () => {
  const page = await browser.open(paths.find((p) => /^changes\/c/.test(p))), said = page.locator('[data-test="verdicts"]');
  await said.waitFor();
  assert.equal(await said.locator('dt').innerText(), 'commits');
  assert.match(await said.locator('dd').innerText(), /^builds s\d+$/);
});

check('builders that a build has reported', async () => {
  const page = await browser.open();
  await page.goto(browser.url + 'buildsets/' + plan.buildset);
  const node = page.locator('[data-test="node"]', { has: page.locator('[data-test="reported-by"]') });
  await node.waitFor();
  assert.match(await node.innerText(), /extra[^]*reported by p\/plan #\d+[^]*after[^]*plan/);
  await node.locator('[data-test="reported-by"] a').click();
  await page.locator('[data-test="nodes"]').waitFor();
  assert.equal(await page.locator('[data-test="nodes"]').innerText(), 'reports builders extra');
  const extra = (await site.get('/requests?buildset=' + plan.buildset + '&builder=p/extra')).items[0];
  await page.goto(browser.url + 'requests/' + extra.id);
  await page.locator('dd a', { hasText: plan.id }).waitFor();
});

check('a report of builders that can not be taken, with the line and its caret', async () => {
  const page = await browser.open();
  await page.goto(browser.url + buildPath(spoilt.id));
  const text = await page.locator('[data-test="report-trouble"]').innerText();
  assert.match(text, /nodes\.yml:1:20: unknown key "stepz"[^]*\n +builders: \{extra: \{stepz: \[<b>\]\}\}\n +\^/);
});

check('the graph of a buildset', async () => {
  const page = await browser.open(paths.find((p) => /^changes\/c/.test(p))), stages = page.locator('[data-test="graph"] .stage');
  await page.locator('[data-test="verdicts"] a').click();
  const dist = stages.nth(1).locator('[data-test="node"]');
  await dist.waitFor();
  assert.equal(await stages.count(), 2);
  assert.equal(await stages.first().locator('[data-test="node"]').count(), 6);
  assert.equal(await dist.getAttribute('data-state'), 'pending');
  assert.match(await dist.innerText(), /it needs p\/hold, which runs \(p\/hold\/1\)/);
  assert.deepEqual((await dist.locator('.after .chip').allInnerTexts()).sort(), ['failure\nbad (soft)', 'running\nhold', 'success\ncore[c++,x86_64]', 'success\ncore[gcc,x86_64]', 'success\ngood']);
  await dist.locator('.head a').click();
  await page.locator('[data-test="needs"] [data-test="row"]').first().waitFor();
  assert.equal(await page.locator('[data-test="needs"] [data-test="row"]').count(), 5);
  assert.deepEqual(await browser.faults(), []);
});

check('what is paused is on the first page', async () => {
  const page = await browser.open(), paused = page.locator('[data-test="paused"] [data-test="row"]');
  await page.locator('[data-test="running"]').waitFor();
  assert.equal(await paused.count(), 0);
  await site.post('/pause', { object: 'p/good', reason: 'a new compiler', for: 3600000 });
  await paused.waitFor();
  assert.match(await paused.innerText(), /builder p\/good[^]*a new compiler[^]*by \w+[^]*until /);
  await site.post('/resume', { object: 'p/good' });
  await until('nothing paused', async () => await paused.count() === 0);
  assert.deepEqual(await browser.faults(), []);
});

check('the switch of colours', async () => {
  const page = await browser.open(), other = await browser.open('changes');
  const shade = (p) => p.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3);
  await page.emulateMedia({ colorScheme: 'light' });
  await other.emulateMedia({ colorScheme: 'light' });
  assert.ok(await shade(page) > 200);
  await page.locator('[data-test="theme"]').click();
  await until('dark', async () => await shade(page) < 80);
  await until('dark in the other tab', async () => await shade(other) < 80);
  await page.reload();
  assert.ok(await shade(page) < 80, 'it is kept');
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.locator('[data-test="theme"]').click();
  await page.evaluate(() => localStorage.clear());
  await page.reload();
  assert.ok(await shade(page) < 80, 'as the system has it');
  assert.deepEqual(await browser.faults(), []);
});

check('by keyboard alone', async () => {
  const page = await browser.open();
  await ready(page);
  const focus = () => page.evaluate(() => {
    const e = document.activeElement, ringed = (x) => x && getComputedStyle(x).outlineStyle !== 'none' && parseFloat(getComputedStyle(x).outlineWidth) >= 2;
    return { text: (e.getAttribute('aria-label') || e.textContent || e.id).trim(), tag: e.nodeName, seen: ringed(e) || ringed(e.closest('[data-test="row"]')) };
  });
  await page.keyboard.press('Tab');
  assert.match((await focus()).text, /Skip/);
  const walked = [];
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press('Tab');
    const f = await focus();
    if (f.tag === 'BODY')
      break;
    assert.ok(f.seen, 'the focus is not to be seen on ' + JSON.stringify(f));
    walked.push(f.text);
  }
  for (const name of ['Builders', 'Changes', 'Workers', 'Colours'])
    assert.ok(walked.includes(name), name + ' is not reached: ' + walked.join(' | '));
  await page.locator(`[data-test="running"] [data-test="row"][data-id="${held}"] a.main`).focus();
  await page.keyboard.press('Enter');
  await waitResult(page, 'RUNNING');
  await page.keyboard.press('g');
  await page.keyboard.press('b');
  await page.locator('nav [aria-current="page"]', { hasText: 'Builders' }).waitFor();
  await page.locator('main [data-test="row"]').first().waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('bad');
  await until('the filter', async () => await page.locator('main [data-test="row"]:visible').count() === 1);
  await page.keyboard.press('Escape');
  await until('no filter', async () => await page.locator('main [data-test="row"]:visible').count() === 10);
  await page.keyboard.press('?');
  await page.locator('dialog[open]').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('dialog[open]').waitFor({ state: 'detached' });
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.locator('main [data-test="row"], main h1').first().waitFor();
  assert.notEqual(new URL(page.url()).pathname, '/builders');
  assert.deepEqual(await browser.faults(), []);
});

check('with the clock of the browser wrong by days', async () => {
  for (const days of [-40, 3]) {
    const page = await browser.context.newPage();
    await page.addInitScript((ms) => {
      const Real = Date, now = () => Real.now() + ms;
      window.Date = class extends Real {
        constructor(...a) {
          super(...(a.length ? a : [now()]));
        }

        static now() {
          return now();
        }
      };
    }, days * 86400000);
    await page.goto(browser.url);
    await page.locator(`[data-test="running"] [data-test="row"][data-id="${held}"]`).waitFor();
    const text = await until('how long it has run', async () => {
      const t = await page.locator(`[data-id="${held}"]`).first().innerText();
      return /\d/.test(t) && t;
    });
    assert.doesNotMatch(text, /\d+ ?d\b|-\d|NaN|Invalid/, 'days ' + days);
    await page.goto(browser.url + buildPath(bad));
    await waitResult(page, 'FAILURE');
    assert.doesNotMatch(await page.locator('main').innerText(), /\d+ ?d(ays)? ago|in \d|-\d+ ?s\b|NaN|Invalid/, 'days ' + days);
    await page.close();
  }
  assert.deepEqual(await browser.faults(), []);
});

check('a long name of a branch', async () => {
  await site.commit({ 'l.c': 'x' }, 'on a long branch', null, LONG);
  const change = await until('the change', async () => (await site.get('/changes?limit=5')).items.find((c) => c.branch === LONG));
  const page = await browser.open('changes/' + change.id, { size: PHONE });
  for (const path of ['changes/' + change.id, 'changes']) {
    await page.goto(browser.url + path);
    await ready(page);
    assert.deepEqual(await page.evaluate(sticksOut), [], path);
  }
  assert.deepEqual(await browser.faults(), []);
});
