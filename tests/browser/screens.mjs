// Pictures of the page for docs/screens, from a real site whose builds have really run: make screens.
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Browser, Site, TOP, buildPath, until, waitResult } from './lib.mjs';

const MAX = 150 << 10;
const INTO = join(TOP, 'docs/screens');
const compile = `i=0; for f in resume segment minder link agent spool tree serve child files chunk_enc chunk_dec records wire; do printf '\\\\033[1mcc\\\\033[0m -O2 -c worker/%s.c -o build/%s.o\\\\n' $f $f; sleep 0.05; done`;
const PIPELINE = `
builders:
  linux:
    steps:
      - {name: build, run: "${compile}; printf 'worker/link.c:88:3: \\\\033[1;35mwarning:\\\\033[0m unused variable\\\\n'"}
      - {name: test, run: "for i in $(seq 1 40); do printf '\\\\033[32mok\\\\033[0m %d - resume after ack %d\\\\n' $i $i; sleep 0.1; [ ! -e slow ] || [ $i -lt 25 ] || while [ ! -e @ROOT@/go ]; do sleep 0.1; done; done"}
  clang: {steps: [{name: build, run: "${compile}"}, {name: test, run: "sleep 1; [ ! -e broken ] || { echo 'parse.c:88: expected U+FFFD, got U+0000'; exit 2; }; echo 212 passed"}]}
  dist: {checkout: none, needs: [linux, clang], steps: [{name: pack, run: "sleep 1; echo libfoo-1.4.tar.gz"}]}
  board: {checkout: none, worker: {tags: [arm]}, steps: [{name: flash, run: "true"}]}
schedulers:
  commits: {change: {branches: "*"}, builders: dist}
`;
const COMMITS = [
  [{ 'a.c': '1' }, 'Resume: ack after commit\n\nThe offset moves when the row is there.', 'Ann Miller'],
  [{ 'b.c': '1' }, 'Chunks end at a line where they can', 'Bob Okafor'],
  [{ 'c.c': '1' }, 'Faster parser', 'Chris Lund'],
];

async function shoot(page, name) {
  const path = join(INTO, name + '.png');
  await page.mouse.move(0, 0);
  await page.screenshot({ path, animations: 'disabled', caret: 'hide' });
  const { size } = statSync(path);
  if (size > MAX)
    throw new Error(path + ' has ' + size + ' bytes, at most ' + MAX);
  console.log('screen    docs/screens/' + name + '.png  ' + size);
}

async function builds(site) {
  const rows = (await site.get('/requests?limit=100')).items;
  return rows.every((r) => r.state === 'done' || r.builder === 'board');
}

const site = new Site();
let browser = null;
try {
  mkdirSync(INTO, { recursive: true });
  const { url } = await site.up(PIPELINE, { 'parse.c': 'int parse;\n' }, { build1: { slots: 2 }, build2: { slots: 1, tags: ['debian12'] } }, false, 'libfoo');
  for (const c of COMMITS) {
    const tip = await site.commit(...c);
    await until('the change', async () => (await site.get('/changes?limit=1')).items[0]?.revision === tip);
    await until('its builds', () => builds(site));
  }
  await site.commit({ broken: '1' }, 'Parser: skip the check for empty input', 'Dora Weiss');
  await until('the failure', async () => (await site.get('/builds?builder=libfoo/clang')).items.some((b) => b.result_text === 'failure'));
  await until('the rest', () => builds(site));
  await site.ask('libfoo/board');
  await site.commit({ slow: '1' }, 'Spool: segments of 8 MiB', 'Ann Miller', 'spool');
  const linux = await until('the build', async () => (await site.get('/builds?builder=libfoo/linux&state=running')).items[0]);
  await until('clang, too', async () => (await site.get('/builds?builder=libfoo/clang&state=running')).items.length === 0);
  browser = await Browser.start(site, url, { viewport: { width: 1200, height: 760 } });
  const page = await browser.open();
  await page.setViewportSize({ width: 1200, height: 760 });
  await page.locator('[data-test="waiting"] [data-test="row"]').first().waitFor();
  await page.locator('[data-test="broken"] [data-test="row"]').first().waitFor();
  await page.locator('[data-test="running"] [data-test="row"]').first().waitFor();
  await shoot(page, 'home');
  await page.emulateMedia({ colorScheme: 'dark' });
  await shoot(page, 'dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto(url + 'builders');
  await page.locator('[data-test="row"]').nth(3).waitFor();
  await shoot(page, 'builders');
  await page.goto(url + buildPath(linux.id));
  await waitResult(page, 'RUNNING');
  await page.locator('[data-test="log"] .line', { hasText: 'ok 25' }).waitFor();
  await shoot(page, 'build');
  await page.goto(url + 'buildsets/' + (await site.request(linux.request)).buildset);
  await page.locator('[data-test="node"][data-state="skipped"]').waitFor();
  await shoot(page, 'buildset');
  await page.setViewportSize({ width: 360, height: 740 });
  await page.goto(url);
  await page.locator('[data-test="running"] [data-test="row"]').first().waitFor();
  await shoot(page, 'phone');
  const faults = await browser.faults();
  if (faults.length)
    throw new Error(faults.join('\n'));
} catch (e) {
  await site.failed();
  throw e;
} finally {
  await browser?.end();
  await site.touch('go');
  await site.end();
}
