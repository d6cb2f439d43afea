// One state of a page: no fault that axe finds, nothing cut off.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PICTURES = process.env.HEIRLOOM_SCREENSHOTS;

export async function axe(page) {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { violations, passes } = await window.axe.run(document);
    return {
      violations: violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`),
      passes: passes.map(({ id }) => id),
    };
  });
}

/** The page as it is now. `full` pictures hold what has to be scrolled to as well. */
export async function look(page, name, state) {
  const { violations, passes } = await axe(page);
  assert.deepEqual(violations, [], state);
  assert.ok(passes.includes('color-contrast') && passes.length > 10, `${passes}`);
  const cut = await page.evaluate(() => ({
    sideways: document.documentElement.scrollWidth > innerWidth,
    cut: [...document.querySelectorAll('h1, p, button')].filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.textContent),
    small: [...document.querySelectorAll('button')].filter((one) => one.offsetParent !== null)
      .map((one) => one.getBoundingClientRect()).filter(({ width, height }) => width < 44 || height < 44).length,
  }));
  assert.deepEqual(cut, { sideways: false, cut: [], small: 0 }, state);
  if (PICTURES) await page.screenshot({ path: join(PICTURES, `${state}-${name}.png`), fullPage: true });
}
