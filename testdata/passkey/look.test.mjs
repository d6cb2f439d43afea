// Every state of the page, light and dark, narrow and wide: no fault that axe finds, nothing cut off.
// HEIRLOOM_SCREENSHOTS names a folder for pictures.

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import { axe, look } from './axe.mjs';
import { OFTEN, cancel, press, startBrowser, waitForTitle } from './lib.mjs';
import { AGAIN, CONFIRM, KEY, PASSKEY, Place, RESTORE, SAVE, TEST, UNLOCKED, firstBackup, pressAll, tab } from './program.mjs';

const places = [];
after(() => { for (const place of places) place.end(); });

/** In the page: what a passkey gives is something else each time. */
const tamper = (page) => page.evaluate(() => {
  let times = 0;
  const real = PublicKeyCredential.prototype.getClientExtensionResults;
  PublicKeyCredential.prototype.getClientExtensionResults = function () {
    const results = real.call(this);
    times += 1;
    if (results.prf?.results?.first) new Uint8Array(results.prf.results.first)[0] ^= times;
    return results;
  };
});

describe('the page is whole', { concurrency: 2 }, () => {
  for (const [name, options] of Object.entries({
    'light-1280': { width: 1280, height: 800 },
    'dark-1280': { width: 1280, height: 800, colorScheme: 'dark' },
    'light-360': { width: 360, height: 640 },
    'dark-360': { width: 360, height: 640, colorScheme: 'dark' },
  })) {
    it(`while a passkey is saved and opens, and when it fails: ${name}`, async () => {
      const browser = await startBrowser(options);
      const place = new Place();
      places.push(place);
      try {
        assert.equal((await firstBackup(place)).code, 0);
        const { page, authenticator } = await tab(browser);
        const add = ['protect', 'add', 'passkey', 'store', ...KEY];
        const run = await place.open(page, add);
        for (const [title, state] of [[SAVE, 'save'], [TEST, 'test'], [AGAIN, 'again'], [CONFIRM, 'confirm']]) {
          await waitForTitle(page, title);
          await look(page, name, state);
          await press(page);
        }
        assert.equal((await run.ended()).code, 0);
        await waitForTitle(page, 'Passkey saved');
        await look(page, name, 'saved');

        place.home = 'new';
        const restore = ['restore', 'store', '--to', 'out', ...PASSKEY];
        const wrong = await place.open(page, restore);
        await waitForTitle(page, RESTORE);
        await look(page, name, 'unlock');
        await tamper(page);
        await press(page);
        assert.equal((await wrong.ended()).code, 12);
        await waitForTitle(page, /^The passkey answered/);
        await look(page, name, 'wrong-key');

        const right = await place.open(page, restore);
        await pressAll(page, RESTORE);
        assert.equal((await right.ended()).code, 0);
        await waitForTitle(page, UNLOCKED);
        await look(page, name, 'unlocked');

        const cancelled = await place.open(page, ['snapshots', 'store', ...PASSKEY]);
        await waitForTitle(page, 'Unlock your backup');
        await cancel(page);
        assert.equal((await cancelled.ended()).code, 4);
        await waitForTitle(page, 'You cancelled in the browser');
        await look(page, name, 'cancelled');

        const pending = await place.open(page, ['snapshots', 'store', ...PASSKEY]);
        await authenticator.setPresence(false);
        await pressAll(page, 'Unlock your backup');
        await page.waitForFunction(() => document.getElementById('status').textContent !== '', null, OFTEN);
        await look(page, name, 'pending');
        pending.child.kill('SIGINT');
        await pending.ended();
        await page.close();

        const gone = await tab(browser);
        const missing = await place.open(gone.page, restore);
        await pressAll(gone.page, RESTORE);
        assert.equal((await missing.ended()).code, 4);
        await waitForTitle(gone.page, "That didn't work");
        await look(gone.page, name, 'gone');
        // A program that is killed says nothing more: the page notices.
        const killed = await place.open(gone.page, restore);
        await waitForTitle(gone.page, RESTORE);
        killed.child.kill('SIGKILL');
        await waitForTitle(gone.page, 'Heirloom has stopped');
        await look(gone.page, name, 'stopped');
        await gone.page.close();

        place.home = 'home';
        const faulty = await tab(browser);
        const differs = await place.open(faulty.page, add);
        await waitForTitle(faulty.page, SAVE);
        await tamper(faulty.page);
        await pressAll(faulty.page, SAVE, TEST, AGAIN);
        assert.equal((await differs.ended()).code, 12);
        await waitForTitle(faulty.page, 'This passkey gave two different answers');
        await look(faulty.page, name, 'faulty');
        await faulty.page.close();

        const none = await tab(browser, { kind: 'none' });
        const unusable = await place.open(none.page, add);
        await pressAll(none.page, SAVE);
        assert.equal((await unusable.ended()).code, 4);
        await waitForTitle(none.page, "This passkey can't be used for backups");
        await look(none.page, name, 'no-answer');
        await none.page.close();

        // Opened by nobody.
        const plain = await tab(browser);
        const last = await place.open(plain.page, restore.slice(0, 2).concat('--to', 'out2', ...PASSKEY));
        const other = await browser.context.newPage();
        await other.goto(last.origin);
        await look(other, name, 'notice');
        last.child.kill('SIGINT');
        await last.ended();
      } finally {
        await browser.close();
      }
    });
  }
});

it('axe finds a fault that was made on purpose', async () => {
  const browser = await startBrowser();
  try {
    const { page } = browser;
    await page.setContent('<html lang="en"><title>x</title><main><h1 style="color: #ccc; background: #fff">Faint</h1></main></html>');
    const { violations } = await axe(page);
    assert.match(violations.join(), /color-contrast/);
  } finally {
    await browser.close();
  }
});
