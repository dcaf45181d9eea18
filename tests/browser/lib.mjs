// What all browser tests stand on: a real site (site.py), Debian's Chromium, and pages that note everything that must not happen.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const HERE = dirname(fileURLToPath(import.meta.url));
export const TOP = dirname(dirname(HERE));
export const DEADLINE_MS = 60000;
const BUILD = process.env.DROVER_BUILD || join(TOP, 'build');
const { chromium } = createRequire(join(process.env.DROVER_BROWSER || join(TOP, 'build/browser'), 'x.js'))('playwright-core');
const CHROMIUM = '/usr/bin/chromium';
const FLAGS = ['--headless=new', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-dev-shm-usage', '--no-pings', '--disable-extensions', '--mute-audio', '--process-per-site', '--disable-features=OptimizationHints,OptimizationGuideModelDownloading,OnDeviceModelService,Translate,MediaRouter'];

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// The condition's first true value.
export async function until(what, condition, ms = DEADLINE_MS) {
  for (const end = Date.now() + ms; ;) {
    const got = await condition();
    if (got)
      return got;
    if (Date.now() > end)
      throw new Error('waited ' + ms + ' ms in vain for ' + what);
    await sleep(100);
  }
}

// A real master, database, worker and repository: site.up(pipeline, …), then any call of site.py by its name.
export class Site {
  constructor() {
    this.child = spawn('python3', [join(HERE, 'site.py')], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, DROVER_BUILD: BUILD } });
    this.waiting = [];
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      const { done, fail } = this.waiting.shift(), answer = JSON.parse(line);
      if ('error' in answer)
        fail(new Error(answer.error));
      else
        done(answer.value);
    });
    this.over = new Promise((done) => this.child.on('exit', done));
    this.over.then(() => this.waiting.forEach(({ fail }) => fail(new Error('site.py has ended'))));
    return new Proxy(this, { get: (t, name) => name in t || typeof name === 'symbol' || name === 'then' ? t[name] : (...argv) => t.call(name, ...argv) });
  }

  call(name, ...argv) {
    return new Promise((done, fail) => {
      this.waiting.push({ done, fail });
      this.child.stdin.write(JSON.stringify([name, ...argv]) + '\n');
    });
  }

  // All goes, and what went wrong in the master or was left running is an error.
  async end() {
    try {
      await this.call('close');
    } finally {
      this.child.stdin.end();
      await this.over;
    }
  }
}

// Runs in each page before its own scripts.
function watchdog() {
  window.__bad = [];
  window.__began = Math.random();
  document.addEventListener('securitypolicyviolation', (e) => window.__bad.push('CSP: ' + e.violatedDirective + ' ' + e.blockedURI));
}

// A browser with one profile, as a person has it. Each page notes in `bad` what must not happen: errors on the console, exceptions, dialogs, requests to others than the site.
export class Browser {
  static async start(site, url, options = {}) {
    if (!existsSync(CHROMIUM))
      throw new Error(CHROMIUM + ' is not there: .ci/deps check');
    const b = new Browser();
    b.url = url;
    b.origin = new URL(url).origin;
    b.bad = [];
    b.context = await chromium.launchPersistentContext(await site.profile(), {
      executablePath: CHROMIUM, headless: true, chromiumSandbox: process.getuid() !== 0, args: FLAGS, viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options,
    });
    b.context.setDefaultTimeout(DEADLINE_MS);
    await b.context.addInitScript(watchdog);
    b.context.on('request', (r) => {
      const u = new URL(r.url());
      if (u.origin !== b.origin && !['data:', 'blob:', 'about:'].includes(u.protocol))
        b.bad.push('request to ' + r.url());
    });
    b.context.on('page', (p) => b.watch(p));
    b.context.pages().forEach((p) => b.watch(p));
    return b;
  }

  watch(page) {
    page.on('console', (m) => ['error', 'warning'].includes(m.type()) && this.bad.push('console ' + m.type() + ': ' + m.text() + ' at ' + m.location().url));
    page.on('pageerror', (e) => this.bad.push('exception: ' + (e.stack || e.message)));
    page.on('dialog', (d) => {
      this.bad.push('dialog: ' + d.message());
      d.dismiss();
    });
    page.on('popup', (p) => this.bad.push('popup: ' + p.url()));
  }

  async open(path = '', options = {}) {
    const page = await this.context.newPage();
    if (options.size)
      await page.setViewportSize(options.size);
    await page.goto(this.url + path);
    return page;
  }

  // What happened that must not; the master's absence may leave its own traces where `away` says so.
  async faults({ away = false } = {}) {
    const found = [...this.bad];
    for (const p of this.context.pages())
      found.push(...await p.evaluate(() => window.__bad || []).catch((e) => ['page is gone: ' + e.message]));
    this.bad.length = 0;
    return found.filter((x) => !(away && /Failed to load resource: (net::ERR_(?!BLOCKED)|.*status of 503)/.test(x)));
  }

  async end() {
    await this.context.close();
  }
}

// The text of the log on the screen, line by line, without its numbers.
export function logText(page) {
  return page.evaluate(() => [...document.querySelectorAll('[data-test="log"] .line .lt')].map((x) => x.textContent + '\n').join(''));
}

export function result(page) {
  return page.locator('[data-test="build-result"]').textContent();
}

export function waitResult(page, text, ms = DEADLINE_MS) {
  return until('the result ' + text, async () => (await result(page)).includes(text), ms);
}

export const buildPath = (id) => 'builds/' + id;
