// Compares two images. Uses a browser to decode them, to avoid another dependency.

import { type Browser, chromium, type Page } from 'playwright-core';
import { LAUNCH_OPTIONS } from '../test/e2e/browser';

/** Tolerance per colour channel: text rendering differs slightly between machines. */
const TOLERANCE = 24;

export class ImageComparer {
  #browser: Promise<Browser> | undefined;
  #page: Promise<Page> | undefined;

  /** Share of pixels that differ, 0 to 1. Returns 1 for images of different size. */
  async share(a: Buffer, b: Buffer): Promise<number> {
    if (a.equals(b)) return 0;
    this.#browser ??= chromium.launch(LAUNCH_OPTIONS);
    this.#page ??= this.#browser.then((browser) => browser.newPage());
    const pictures = [a, b].map((picture) => picture.toString('base64'));
    return (await this.#page).evaluate(differingShare, { pictures, tolerance: TOLERANCE });
  }

  async close(): Promise<void> {
    await (await this.#browser)?.close();
  }
}

/** Runs in the browser. */
async function differingShare({
  pictures,
  tolerance,
}: {
  pictures: string[];
  tolerance: number;
}): Promise<number> {
  const pixels = await Promise.all(
    pictures.map(async (picture) => {
      const image = new Image();
      image.src = `data:image/png;base64,${picture}`;
      await image.decode();
      const { width, height } = image;
      const context = new OffscreenCanvas(width, height).getContext('2d');
      if (!context) throw new Error('no 2D canvas context');
      context.drawImage(image, 0, 0);
      return { width, height, data: context.getImageData(0, 0, width, height).data };
    }),
  );
  const [a, b] = pixels;
  if (!a || !b || a.width !== b.width || a.height !== b.height) return 1;
  let count = 0;
  for (let i = 0; i < a.data.length; i += 4) {
    const differs = [0, 1, 2].some((channel) => {
      return Math.abs((a.data[i + channel] ?? 0) - (b.data[i + channel] ?? 0)) > tolerance;
    });
    if (differs) count += 1;
  }
  return count / (a.width * a.height);
}
