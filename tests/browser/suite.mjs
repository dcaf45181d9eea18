// What every suite of browser tests does: one site and one browser, a clean table after each test, and the site's logs where one failed. `site` and `browser` are there from the first test on.
import { after, afterEach, before, test } from 'node:test';
import { Browser, Site } from './lib.mjs';

const LIMIT_MS = 240000; // of one test
export let site, browser;
let failed = false;

// up: starts the site, gives {url}. ready, end: before the first test, and before the site goes.
export function suite(up, { ready, end } = {}) {
  before(async () => {
    site = new Site();
    const { url } = await up();
    browser = await Browser.start(site, url);
    await ready?.();
  });
  after(async () => {
    await browser?.end();
    if (failed)
      await site.failed();
    await end?.();
    await site?.end();
  });
  afterEach(async () => {
    for (const p of browser.context.pages().slice(1))
      await p.close();
  });
}

export function check(name, f) {
  test(name, { timeout: LIMIT_MS }, async () => {
    try {
      await f();
    } catch (e) {
      failed = true;
      throw e;
    }
  });
}
