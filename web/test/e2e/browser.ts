// Drives a real browser and reads the page's content as data. Independent of the server behind it.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { type Browser, chromium, type Page } from 'playwright-core';

/** Uses the browser at `$CHROMIUM`, or Debian's. */
export const LAUNCH_OPTIONS = {
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

export interface OpenedPage {
  page: Page;
  /** Policy violations, requests to other origins and console errors; must stay empty. */
  problems: () => Promise<string[]>;
  close: () => Promise<void>;
}

export interface PageOptions {
  colorScheme?: 'light' | 'dark';
  width?: number;
  height?: number;
  /** Device pixels per CSS pixel. */
  deviceScale?: number;
  /** Fixed time of the page's clock; by default the clock runs. */
  clock?: number;
  /** Disables animations. */
  reducedMotion?: boolean;
}

let browser: Promise<Browser> | undefined;

/** Closes the browser that `openPage` started. */
export async function shutdown(): Promise<void> {
  await (await browser)?.close();
  browser = undefined;
}

/** Opens `url` in an isolated browser context. */
export async function openPage(url: string, options: PageOptions = {}): Promise<OpenedPage> {
  const {
    colorScheme = 'dark',
    width = 1440,
    height = 900,
    deviceScale = 1,
    clock,
    reducedMotion = false,
  } = options;
  browser ??= chromium.launch(LAUNCH_OPTIONS);
  const context = await (await browser).newContext({
    viewport: { width, height },
    colorScheme,
    deviceScaleFactor: deviceScale,
    reducedMotion: reducedMotion ? 'reduce' : 'no-preference',
  });
  const page = await context.newPage();
  if (clock !== undefined) await page.clock.setFixedTime(clock);
  const { origin } = new URL(url);
  const observed: string[] = [];
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) observed.push(`request to ${request.url()}`);
  });
  page.on('pageerror', (error) => observed.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // The browser itself logs refused and broken connections to the console.
    const network = /Failed to load resource|net::ERR_/.test(message.text());
    if (message.type() === 'error' && !network) observed.push(`console: ${message.text()}`);
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
    problems: async () => [...observed, ...(await violations(page))],
    close: () => context.close(),
  };
}

/** Content security policy violations since the page was loaded. */
export function violations(page: Page): Promise<string[]> {
  return page.evaluate(() => (window as unknown as { pulltraceBreaches?: string[] }).pulltraceBreaches ?? []);
}

/** One pull as shown. Texts are as displayed; empty if absent. */
export interface ShownRow {
  id: string;
  node: string;
  /** The wire's word: `downloading`, `failed`. */
  phase: string;
  /** The state with problems: `downloading`, `stalled`. */
  state: string;
  /** Name and tag, separated by a space. */
  image: string;
  /** `61 %` for a live pull. */
  percent: string;
  /** `61.0 MiB`, `110 MiB` for a live pull, the size for an ended one that did not fail. */
  bytes: string[];
  speed: string;
  eta: string;
  /** Duration of an ended pull. */
  took: string;
  /** Failure title and message. */
  reason: string;
  /** Failure hint. */
  hint: string;
  /** Waiting pods that the row names, and candidates. */
  pods: string[];
  candidates: string;
  /** `3rd attempt`; empty for the first. */
  attempt: string;
  /** `retry in 12 s` for a failed pull. */
  retry: string;
  /** Waits, stalls and slowness: their kind and text. */
  notes: { kind: string; text: string }[];
  /** Layer states on the wire, once loaded. */
  layers: string[];
}

/** Rows of the pulls table that are rendered: the visible ones and a few more. */
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
        state: row.dataset.state ?? '',
        image: [...(image?.children ?? [])].map(clean).join(' '),
        percent: field('percent'),
        bytes: field('bytes').match(/[\d.]+ \w*B\b/g) ?? [],
        speed: field('speed'),
        eta: field('eta'),
        took: field('took').replace(/^[a-z]+ /, ''),
        reason: field('reason'),
        hint: field('hint'),
        pods: [...row.querySelectorAll('[data-field="pod"]')].map(clean),
        candidates: field('candidates'),
        attempt: field('attempt'),
        retry: field('retry'),
        notes: [...row.querySelectorAll<HTMLElement>('[data-note]')].map((note) => ({
          kind: note.dataset.note ?? '',
          text: clean(note),
        })),
        layers: [...row.querySelectorAll<HTMLElement>('[data-layer]')].map(
          (layer) => layer.dataset.state ?? '',
        ),
      };
    });
  });
}

/** Kinds of the items that need attention on the overview. */
export function attention(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>('[data-attention]')].map(
      ({ dataset }) => dataset.attention ?? '',
    ),
  );
}

/** Waits until the page shows this message: `idle`, `no-agents`. */
export async function waitForMessage(page: Page, name: string): Promise<void> {
  await page.locator(`[data-message="${name}"]`).waitFor({ state: 'attached' });
}

/** `connecting`, `live`, `lost` or `resting`. */
export async function connectionState(page: Page): Promise<string> {
  return (await page.locator('[data-connection]').getAttribute('data-connection')) ?? '';
}

/** `loading`, `resyncing` or `synced`. */
export async function syncState(page: Page): Promise<string> {
  return (await page.locator('[data-sync]').getAttribute('data-sync')) ?? '';
}

/** Navigates without reloading the page, and waits until it is rendered. */
export async function goTo(page: Page, hash: string): Promise<void> {
  await page.evaluate((to) => {
    window.location.hash = to;
  }, hash);
  await page.locator('main h1').first().waitFor({ state: 'attached' });
  await page.evaluate(
    () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))),
  );
}

/** Horizontal overflow of the page in pixels. */
export function overflow(page: Page): Promise<number> {
  return page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - window.innerWidth));
}

/** A screenshot of a stable page: retaken until two in a row are equal. */
export async function stableScreenshot(page: Page, fullPage = false): Promise<Buffer> {
  await page.evaluate(() => document.fonts.ready);
  let before: Buffer = Buffer.alloc(0);
  for (let tries = 0; tries < 40; tries += 1) {
    const image = await page.screenshot({ fullPage, animations: 'disabled', caret: 'hide' });
    if (image.equals(before)) return image;
    before = image;
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 300)));
  }
  throw new Error('page did not become stable');
}

/** Violations of WCAG 2.2 AA and best practices, as found by axe. */
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

/** Polls until `holds` returns true; fails with `condition` after `ms`. */
export async function waitUntil(
  condition: string,
  holds: () => Promise<boolean> | boolean,
  ms = 20_000,
): Promise<void> {
  const end = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`timed out after ${ms} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
