// A real browser on a page, and what the page shows as data. Knows nothing of the server behind it.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { type Browser, chromium, type Page } from 'playwright-core';

/** The browser at `$CHROMIUM`, or Debian's. */
export const LAUNCH = {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
};

export interface Opened {
  page: Page;
  /** What must stay empty: breaches of the policy, requests to other origins, errors in the console. */
  faults: () => Promise<string[]>;
  close: () => Promise<void>;
}

export interface Options {
  colorScheme?: 'light' | 'dark';
  width?: number;
  height?: number;
  /** Pixels of the screen for each of the page. */
  scale?: number;
  /** The instant at which the page's clock stands; it runs where none is said. */
  clock?: number;
  /** Nothing moves by itself. */
  still?: boolean;
}

let browser: Promise<Browser> | undefined;

/** Ends the browser that `open` started. */
export async function shutdown(): Promise<void> {
  await (await browser)?.close();
  browser = undefined;
}

/** Opens `url` in a window that shares nothing with others. */
export async function open(url: string, options: Options = {}): Promise<Opened> {
  const { colorScheme = 'dark', width = 1440, height = 900, scale = 1, clock, still = false } = options;
  browser ??= chromium.launch(LAUNCH);
  const context = await (await browser).newContext({
    viewport: { width, height },
    colorScheme,
    deviceScaleFactor: scale,
    reducedMotion: still ? 'reduce' : 'no-preference',
  });
  const page = await context.newPage();
  if (clock !== undefined) await page.clock.setFixedTime(clock);
  const { origin } = new URL(url);
  const seen: string[] = [];
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) seen.push(`request to ${request.url()}`);
  });
  page.on('pageerror', (error) => seen.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // A connection that is refused or cut is written to the console by the browser itself.
    const network = /Failed to load resource|net::ERR_/.test(message.text());
    if (message.type() === 'error' && !network) seen.push(`console: ${message.text()}`);
  });
  await page.addInitScript(() => {
    const breaches: string[] = [];
    Object.assign(window, { pulltraceBreaches: breaches });
    document.addEventListener('securitypolicyviolation', (event) => {
      breaches.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile ?? ''}`);
    });
  });
  await page.goto(url);
  return {
    page,
    faults: async () => [...seen, ...(await violations(page))],
    close: () => context.close(),
  };
}

/** Breaches of the content security policy since the page was loaded. */
export function violations(page: Page): Promise<string[]> {
  return page.evaluate(() => (window as unknown as { pulltraceBreaches?: string[] }).pulltraceBreaches ?? []);
}

/** One pull as the page shows it. Texts are as a person reads them; empty where nothing is said. */
export interface ShownRow {
  id: string;
  node: string;
  /** `downloading`, `failed`: the wire's word. */
  phase: string;
  /** `Downloading`, `Stalled`. */
  state: string;
  /** The name and, after a blank, its tag. */
  image: string;
  /** `61 %` of a live pull. */
  percent: string;
  /** `61.0 MiB of 110 MiB` of a live pull, its size of one that ended otherwise than by failing. */
  bytes: string;
  speed: string;
  eta: string;
  /** How long an ended pull took. */
  took: string;
  /** Why it failed. */
  reason: string;
  /** What to do about that. */
  hint: string;
  /** Who waits for it, as far as the row names them; and who perhaps does. */
  pods: string[];
  candidates: string;
  /** `3rd try` of one that is not the first. */
  attempt: string;
  /** `again in 12 s` of one that failed. */
  retry: string;
  /** What it waits for, that it is stalled or slow. */
  notes: string[];
  /** The states of its layers, once they are known, by the wire's words. */
  layers: string[];
}

/** The pulls that the table of pulls draws, in its order: those in view, and a few beyond. */
export function rows(page: Page): Promise<ShownRow[]> {
  return page.evaluate(() => {
    const clean = (element: Element | null): string =>
      (element?.textContent ?? '').replaceAll(/\s+/g, ' ').trim();
    return [...document.querySelectorAll<HTMLElement>('[data-pull]')].map((row) => {
      const field = (name: string): string => clean(row.querySelector(`[data-field="${name}"]`));
      const image = row.querySelector('[data-field="image"] > :first-child');
      return {
        id: row.dataset.pull ?? '',
        node: row.dataset.node ?? '',
        phase: row.dataset.phase ?? '',
        state: field('state'),
        image: [...(image?.children ?? [])].map(clean).join(' '),
        percent: field('percent'),
        bytes: field('bytes'),
        speed: field('speed'),
        eta: field('eta'),
        took: field('took'),
        reason: field('reason'),
        hint: field('hint'),
        pods: [...row.querySelectorAll('[data-field="pod"]')].map(clean),
        candidates: field('candidates'),
        attempt: field('attempt'),
        retry: field('retry'),
        notes: [...row.querySelectorAll('[data-field="note"]')].map(clean),
        layers: [...row.querySelectorAll<HTMLElement>('[data-layer]')].map(
          (layer) => layer.dataset.state ?? '',
        ),
      };
    });
  });
}

/** `connecting`, `live`, `lost` or `resting`. */
export async function connection(page: Page): Promise<string> {
  return (await page.locator('[data-connection]').getAttribute('data-connection')) ?? '';
}

/** Whether a snapshot is being filled in, or all of it is here: `filling`, `refilling`, `whole`. */
export async function sync(page: Page): Promise<string> {
  return (await page.locator('[data-sync]').getAttribute('data-sync')) ?? '';
}

/** Goes to a screen as a link does, without loading the page again, and waits until it is drawn. */
export async function go(page: Page, hash: string): Promise<void> {
  await page.evaluate((to) => {
    window.location.hash = to;
  }, hash);
  await page.locator('main h1').first().waitFor({ state: 'attached' });
  await page.evaluate(
    () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))),
  );
}

/** How many pixels the page is wider than its window. */
export function overflow(page: Page): Promise<number> {
  return page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - window.innerWidth));
}

/** A picture of a page that stands still: it is taken again until it is the same twice. */
export async function picture(page: Page, fullPage = false): Promise<Buffer> {
  await page.evaluate(() => document.fonts.ready);
  let before: Buffer = Buffer.alloc(0);
  for (let tries = 0; tries < 40; tries += 1) {
    const image = await page.screenshot({ fullPage, animations: 'disabled', caret: 'hide' });
    if (image.equals(before)) return image;
    before = image;
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 300)));
  }
  throw new Error('the page does not stand still');
}

/** Breaches of WCAG 2.2 AA and of best practice, as axe finds them. */
export async function accessibility(page: Page): Promise<string[]> {
  const source = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  await page.evaluate(source);
  return page.evaluate(async () => {
    type Axe = {
      run: (
        options: object,
      ) => Promise<{ violations: { id: string; nodes: { html: string; failureSummary?: string }[] }[] }>;
    };
    const { axe } = window as unknown as { axe: Axe };
    const { violations: found } = await axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    });
    return found.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${node.html} ${node.failureSummary ?? ''}`),
    );
  });
}

/** Waits until `holds`, and says what it waited for where it does not come. */
export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  ms = 20_000,
): Promise<void> {
  const end = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
