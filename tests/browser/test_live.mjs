// A page that stays open: it sees a build from queue to end, outlives the master's death, and eight tabs cost the master one stream.
import assert from 'node:assert/strict';
import { buildPath, logText, until, waitResult } from './lib.mjs';
import { browser, check, site, suite } from './suite.mjs';

const TABS = 8;
const LINES = 300;      // of the build that the master dies under; in the middle it waits to be let on
const PIPELINE = `
builders:
  first: {checkout: none, steps: [{name: hold, run: "while [ ! -e @ROOT@/go ]; do sleep 0.05; done"}]}
  live:
    checkout: none
    steps:
      - {name: one, run: "echo this is one"}
      - {name: two, run: "echo this is two; while [ ! -e @ROOT@/go2 ]; do sleep 0.05; done; echo end of two"}
      - {name: three, run: "seq 1 50"}
  long: {checkout: none, steps: [{name: count, run: "i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo line $i; sleep 0.02; [ $i != 150 ] || while [ ! -e @ROOT@/go3 ]; do sleep 0.05; done; done"}]}
  red: {checkout: none, steps: [{name: no, run: "echo this is wrong; exit 3"}]}
`;

suite(() => site.up(PIPELINE, null, { here: { slots: 1 } }, true));

const row = (page, part, id) => page.locator(`[data-test="${part}"] [data-test="row"][data-id="${id}"]`);

check('a build from the queue to success, live', async () => {
  const home = await browser.open(), first = await site.ask('p/first');
  const began = await home.evaluate(() => window.__began);
  await until('the first build', async () => (await site.request(first)).builds.length);
  const rid = await site.ask('p/live');               // the one slot is taken: it waits
  await row(home, 'waiting', rid).waitFor();
  const request = await browser.open('requests/' + rid);
  await request.locator('main', { hasText: rid }).waitFor();
  await site.touch('go');
  const id = await until('the build', async () => (await site.request(rid)).builds[0]);
  await row(home, 'running', id).waitFor();
  await row(home, 'waiting', rid).waitFor({ state: 'detached' });
  const page = await browser.open(buildPath(id));
  await waitResult(page, 'RUNNING');
  await page.locator('[data-test="step"][data-name="two"][data-state="run"]').waitFor();
  await page.locator('[data-test="log"]', { hasText: 'this is two' }).waitFor();
  assert.equal(await page.locator('[data-test="step"][data-name="three"]').count(), 0, 'a step that has not begun');
  await site.touch('go2');
  await waitResult(page, 'SUCCESS');
  for (const step of ['one', 'two', 'three'])
    await page.locator(`[data-test="step"][data-name="${step}"][data-state="success"]`).waitFor();
  await row(home, 'running', id).waitFor({ state: 'detached' });
  assert.equal(await home.evaluate(() => window.__began), began, 'the page was loaded again');
  assert.deepEqual(await browser.faults(), []);
});

check('what broke is on the first page', async () => {
  const home = await browser.open();
  await site.run('p/red');
  await row(home, 'broken', 'p/red').waitFor();
  assert.deepEqual(await browser.faults(), []);
});

check('the master is killed and comes back; no reload, every byte of the log once', async () => {
  const rid = await site.ask('p/long'), id = await until('the build', async () => (await site.request(rid)).builds[0]);
  const page = await browser.open(buildPath(id));
  const began = await page.evaluate(() => window.__began);
  await page.locator('[data-test="log"] .line', { hasText: 'line 20' }).first().waitFor();
  await site.kill_master();
  await page.locator('[data-test="offline"]').waitFor({ state: 'visible' });
  const shown = await logText(page);
  assert.ok(shown.includes('line 20\n') && !shown.includes('line ' + LINES + '\n'), 'killed in the middle');
  await site.touch('go3'); // the rest is written while no master is there, or after it
  await site.start_master();
  await page.locator('[data-test="offline"]').waitFor({ state: 'hidden' });
  await waitResult(page, 'SUCCESS');
  const want = Array.from({ length: LINES }, (_, i) => 'line ' + (i + 1) + '\n').join('');
  await until('the whole log', async () => (await logText(page)).length >= want.length);
  assert.equal(await logText(page), want);
  assert.equal(await site.log(id, 'count'), want);
  assert.equal(await page.evaluate(() => window.__began), began, 'the page was loaded again');
  assert.equal((await site.wait_request(rid)).builds.length, 1, 'the same build');
  assert.deepEqual(await browser.faults({ away: true }), []);
});

check(TABS + ' tabs are live on one stream', async () => {
  const tabs = [];
  for (let i = 0; i < TABS; i++)
    tabs.push(await browser.open());
  await until('the one stream', async () => (await site.count()).streams === 1);
  // The seventh tab of six connections would hang: each asks for something now, all at once.
  const answers = await Promise.all(tabs.map((t) => t.evaluate(async () => (await fetch('/api/v1/status')).status)));
  assert.deepEqual(answers, tabs.map(() => 200));
  await site.touch('go3');
  const rid = await site.ask('p/long'), id = await until('the build', async () => (await site.request(rid)).builds[0]);
  await Promise.all(tabs.map((t) => row(t, 'running', id).waitFor()));
  const { streams, connections } = await site.count();
  assert.equal(streams, 1);
  assert.ok(connections <= 6, connections + ' connections');
  await tabs[0].close();                               // whichever had the stream: the others go on
  await Promise.all(tabs.slice(1).map((t) => row(t, 'running', id).waitFor({ state: 'detached' })));
  assert.equal((await site.count()).streams, 1);
  await until('the master to have as many connections as the browser', async () => await site.connections() === (await site.count()).connections); // one that was idle may be closing
  assert.deepEqual(await browser.faults(), []);
});
