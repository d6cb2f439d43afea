// The program itself, from the command line to a passkey in a real Chromium and back.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';

import {
  CHROMIUM, OFTEN, addAuthenticator, cancel, eventually, openFile, press, startBrowser, waitForTitle, words,
} from './lib.mjs';
import {
  AGAIN, CHECK, CONFIRM, KEY, PASSKEY, PROGRAM, Place, RESTORE, SAMPLE, SAVE, TEST, UNLOCKED, addPasskey, firstBackup, pressAll, tab,
} from './program.mjs';

const ASKS = 'Next, your browser asks for your fingerprint, face or screen lock.\n';
const SAVES = 'Next, your browser asks where to save the passkey. Choose the password manager that you use every day.\n'
  + 'Then it asks for the passkey three times: twice to see that it always answers alike, once to open your backup with it.\n';
/** What a page says of a hint: flags are for the terminal. */
const onPage = (words) => words.replace(/ \(`--[^)]*\)/g, '').replaceAll('`', '');
const upper = (words) => words[0].toUpperCase() + words.slice(1);
const sentence = (words) => upper(onPage(words)).replace(/([^.!?])$/, '$1.');
/** Title and text of a page for what the terminal says: a long message is split, its first part is the title. */
const ended = (message, hint) => {
  const at = message.length > 80 ? message.indexOf(': ') : -1;
  return at < 0
    ? { title: upper(onPage(message)), text: sentence(hint) }
    : { title: upper(onPage(message.slice(0, at))), text: `${sentence(message.slice(at + 2))} ${sentence(hint)}` };
};
const OR_KEY = 'use another way: the recovery key (`--recovery-key-file FILE`)';
const KEY_TOO = 'the recovery key (`--recovery-key-file FILE`) opens this backup too';

let browser;
const places = [];

before(async () => {
  assert.ok(existsSync(PROGRAM), `build the program first: cargo build --release -p heirloom (${PROGRAM})`);
  assert.ok(existsSync(CHROMIUM), `no Chromium at ${CHROMIUM}`);
  browser = await startBrowser();
});

after(async () => {
  for (const place of places) place.end();
  await browser?.close();
});

function place() {
  places.push(new Place());
  return places.at(-1);
}

async function backedUp() {
  const here = place();
  const { code, stderr } = await firstBackup(here);
  assert.equal(code, 0, stderr);
  return here;
}

const summary = async (here) => {
  const { summary: { status, proven }, ways } = await here.status();
  return { status, proven, ways: ways.map(({ name }) => name) };
};

/** Restores on a computer that has nothing but the store; gives what came back. */
async function restored(here, home, way, page = null) {
  here.home = home;
  const args = ['restore', 'store', '--to', `out-${home}`, ...way];
  if (page === null) {
    const { code, stderr } = await here.run(args);
    assert.equal(code, 0, stderr);
  } else {
    const run = await here.open(page, args);
    await pressAll(page, RESTORE);
    const shown = await waitForTitle(page, UNLOCKED);
    assert.equal(shown.text, 'Go back to the terminal. You can close this page.');
    const { code, stderr } = await run.ended();
    assert.equal(code, 0, stderr);
    assert.ok(stderr.startsWith(ASKS), stderr);
  }
  const files = here.listing(`out-${home}`);
  assert.ok(Object.keys(files).length > 1);
  return files;
}

describe('enabled, backed up, and back on a new computer with the same synced passkey', () => {
  for (const kind of ['prf', 'hmac']) {
    it(`at the first backup, with an authenticator of kind ${kind}`, async () => {
      const here = place();
      const { page, authenticator } = await tab(browser, { kind });
      const first = await here.open(page, ['backup', SAMPLE, '--to', 'store', '--new-recovery-key-file', 'key.txt', '--new-passkey']);
      await waitForTitle(page, SAVE);
      assert.deepEqual(Object.keys(here.listing('store')).filter((name) => name.startsWith('packs')), [], 'no chats before the ways in are ready');
      await pressAll(page, SAVE, TEST, AGAIN, CONFIRM);
      const last = await waitForTitle(page, 'Passkey saved');
      assert.equal(last.text, 'We tested it: it opens your backup. The backup goes on in the terminal. You can close this page.');
      const { code, stdout, stderr } = await first.ended();
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^Backed up .*family-chat\.zip to \[FOLDER\]\/store\n/);
      assert.ok(stderr.startsWith(
        `The recovery key opens the new backup ✓\n${SAVES}Now the passkey opens your backup: confirm once more\n`
        + 'Passkey saved. It was tested: it opens your backup\n'
        + 'warning: this passkey works in browsers on computers, not on a phone\n',
      ), stderr);
      assert.match(stderr, /\nProtected\n$/);
      assert.deepEqual(await summary(here), { status: 'protected', proven: 2, ways: ['Recovery key', 'Passkey'] });

      const again = await here.run(['backup', SAMPLE, '--to', 'store', '--force']);
      assert.equal(again.code, 0, again.stderr);
      const byPasskey = await restored(here, 'new', PASSKEY, page);
      assert.deepEqual(byPasskey, await restored(here, 'newer', KEY), 'byte-equal');
      assert.equal((await authenticator.credentials()).length, 1);
      assert.deepEqual(here.leftovers(), []);
      await page.close();
    });

    it(`to a backup that is there, with an authenticator of kind ${kind}`, async () => {
      const here = await backedUp();
      assert.deepEqual(await summary(here), { status: 'almost_protected', proven: 1, ways: ['Recovery key'] });
      const { page } = await tab(browser, { kind });
      const { code, stdout, stderr } = await addPasskey(here, page);
      assert.equal(code, 0, stderr);
      assert.equal(stdout, '"Passkey" was added, and opens the backup · Protected · keyring 4\n');
      const last = await waitForTitle(page, 'Passkey saved');
      assert.equal(last.text, 'We tested it: it opens your backup. Go back to the terminal. You can close this page.');
      const again = await here.run(['backup', SAMPLE, '--to', 'store', '--force']);
      assert.equal(again.code, 0, again.stderr);
      assert.deepEqual(await restored(here, 'new', PASSKEY, page), await restored(here, 'newer', KEY), 'byte-equal');
      await page.close();
    });
  }

  it('with two password managers: either opens, and two that can only be extras are no second way of another kind', async () => {
    const here = await backedUp();
    const [one, two] = [await tab(browser, { kind: 'prf' }), await tab(browser, { kind: 'hmac' })];
    for (const [name, { page }] of [['At home', one], ['At work', two]]) {
      const { code, stderr } = await addPasskey(here, page, ['--name', name]);
      assert.equal(code, 0, stderr);
    }
    assert.deepEqual(await summary(here), { status: 'protected', proven: 2, ways: ['Recovery key', 'At home', 'At work'] });
    const back = [
      await restored(here, 'first', PASSKEY, one.page),
      await restored(here, 'second', PASSKEY, two.page),
      await restored(here, 'third', KEY),
    ];
    assert.deepEqual(back[0], back[2], 'byte-equal');
    assert.deepEqual(back[1], back[2], 'byte-equal');

    // The two alone would not protect: the recovery key stays.
    here.home = 'home';
    const before = here.listing('store');
    const run = await here.open(one.page, ['protect', 'remove', 'store', 'Recovery key', '--yes', ...PASSKEY]);
    await pressAll(one.page, 'First, unlock with a way that stays');
    const ended = await run.ended();
    assert.equal(ended.code, 1);
    assert.equal(ended.stderr, `${ASKS}error: what would remain is only good as an extra way in; try another one first\n`
      + "hint: a passkey of this computer's own page, or of one device, is good beside another way in, not alone; "
      + 'to have a recovery key: `heirloom protect add recovery-key STORE`\n');
    assert.deepEqual(here.listing('store'), before);
    await Promise.all([one.page.close(), two.page.close()]);
  });

  it('two recovery keys count as one way, with a passkey they are two', async () => {
    const here = await backedUp();
    const added = await here.run(['protect', 'add', 'recovery-key', 'store', '--new-key-file', 'second.txt', ...KEY]);
    assert.equal(added.code, 0, added.stderr);
    assert.deepEqual(await summary(here), { status: 'almost_protected', proven: 1, ways: ['Recovery key', 'Recovery key 2'] });
    const { page } = await tab(browser);
    assert.equal((await addPasskey(here, page)).code, 0);
    assert.equal((await summary(here)).status, 'protected');
    await page.close();
  });

  it('by recovery key after the passkey was deleted', async () => {
    const here = await backedUp();
    const { page, authenticator } = await tab(browser);
    assert.equal((await addPasskey(here, page)).code, 0);
    const before = here.listing('store');
    await authenticator.removeAll();
    here.home = 'new';
    await refused(here, page, {
      args: ['restore', 'store', '--to', 'out', ...PASSKEY],
      steps: () => pressAll(page, RESTORE),
      ...GONE,
    });
    assert.equal((await authenticator.credentials()).length, 0, 'no passkey is made in answer to it');
    assert.ok(Object.keys(await restored(here, 'newer', KEY)).length > 1);
    assert.deepEqual(here.listing('store'), before);
    await page.close();
  });

  it('with a browser that the command line names', async () => {
    const here = await backedUp();
    const { page } = await tab(browser);
    assert.equal((await addPasskey(here, page)).code, 0);
    const run = here.start(['protect', 'check', 'store', ...PASSKEY, '--browser', `${here.browser} --new-window %s`]);
    const opened = await run.opening();
    assert.match(opened, /^--new-window \/.*\/open-[0-9a-f]{16}\.html$/);
    await openFile(page, opened.split(' ')[1]);
    await pressAll(page, CHECK);
    await waitForTitle(page, 'It opens your backup');
    const { code, stdout } = await run.ended();
    assert.equal(code, 0);
    assert.match(stdout, /^"Passkey" opens the backup · Protected/);
    await page.close();
  });
});

const GONE = {
  code: 4,
  title: "That didn't work",
  text: 'If you cancelled, try again; if the passkey is no longer in your password manager, use another way: the recovery key.',
  stderr: `${ASKS}error: that didn't work\nhint: if you cancelled, try again; if the passkey is no longer in your password manager, ${OR_KEY}\n`,
};

/** Runs one ceremony that has to end badly: the words of page and terminal, the code, and a store that was not touched. */
async function refused(here, page, { args, steps, code, title, text, stderr, forget = '', seen = true }) {
  const before = here.listing('store');
  const run = await here.open(page, args);
  await steps(run);
  assert.deepEqual(await run.ended(), { code, stdout: '', stderr });
  if (seen) {
    const shown = await lastWords(page, text);
    assert.deepEqual({ title: shown.title, text: shown.text, forget: shown.forget }, { title, text, forget });
    assert.deepEqual([shown.button, shown.cancel], ['', '']);
  }
  assert.deepEqual(here.listing('store'), before, 'nothing in the store was changed');
  assert.deepEqual(here.leftovers(), []);
  return run;
}

/** What the page says when the program has ended: the same as the terminal, after its own first words. */
async function lastWords(page, text) {
  await page.waitForFunction((last) => document.getElementById('text').innerText.trim() === last, text, OFTEN)
    .catch(() => {});
  return words(page);
}

/** In the page: what a passkey gives is changed from the `from`th time on. */
const tamper = (page, from = 1) => page.evaluate((first) => {
  let times = 0;
  const real = PublicKeyCredential.prototype.getClientExtensionResults;
  PublicKeyCredential.prototype.getClientExtensionResults = function () {
    const results = real.call(this);
    if (this.response instanceof AuthenticatorAssertionResponse) {
      times += 1;
      if (times >= first) new Uint8Array(results.prf.results.first)[0] ^= times;
    }
    return results;
  };
}, from);

describe('a new passkey is refused, and the backup stays as it was', () => {
  let here;
  const add = ['protect', 'add', 'passkey', 'store', ...KEY];
  before(async () => { here = await backedUp(); });

  it('when it gives no answer that a backup can use', async () => {
    const { page, authenticator } = await tab(browser, { kind: 'none' });
    await refused(here, page, {
      args: add,
      steps: () => pressAll(page, SAVE),
      code: 4,
      title: "This passkey can't be used for backups",
      text: 'It was saved but not used: you can delete it; try a different password manager, a phone, or a security key.',
      forget: 'Delete the unused passkey',
      stderr: `${SAVES}error: this passkey can't be used for backups\n`
        + 'hint: it was saved but not used: you can delete it; try a different password manager, a phone, or a security key\n',
    });
    await page.locator('#forget').click();
    await page.waitForFunction(() => document.getElementById('status').textContent !== '', null, OFTEN);
    assert.equal((await words(page)).status, 'Your password manager was told to delete it.');
    assert.equal((await authenticator.credentials()).length, 0);
    await page.close();
  });

  it('when nobody confirms with a fingerprint, face or screen lock', async () => {
    const { page, authenticator } = await tab(browser);
    await authenticator.setVerified(false);
    await refused(here, page, {
      args: add,
      steps: () => pressAll(page, SAVE),
      code: 4,
      title: "That didn't work",
      text: 'If you cancelled, try again; if the passkey is no longer in your password manager, use another way.',
      stderr: `${SAVES}error: that didn't work\nhint: if you cancelled, try again; if the passkey is no longer in your password manager, use another way\n`,
    });
    assert.equal((await authenticator.credentials()).length, 0);
    await page.close();
  });

  it('when it is cancelled before it is saved', async () => {
    const { page, authenticator } = await tab(browser);
    await refused(here, page, {
      args: add,
      steps: async () => {
        await waitForTitle(page, SAVE);
        await cancel(page);
      },
      ...CANCELLED(SAVES),
    });
    assert.equal((await authenticator.credentials()).length, 0);
    await page.close();
  });

  it('when the second authentication gives something else', async () => {
    const { page } = await tab(browser);
    await refused(here, page, {
      args: add,
      steps: async () => {
        await waitForTitle(page, SAVE);
        await tamper(page, 2);
        await pressAll(page, SAVE, TEST, AGAIN);
      },
      code: 12,
      title: 'This passkey gave two different answers',
      text: 'It was saved but not used: you can delete it; try a different password manager, a phone, or a security key.',
      forget: 'Delete the unused passkey',
      stderr: `${SAVES}error: this passkey gave two different answers\n`
        + 'hint: it was saved but not used: you can delete it; try a different password manager, a phone, or a security key\n',
    });
    await page.close();
  });

  it('when it is deleted between saving and testing', async () => {
    const { page, authenticator } = await tab(browser);
    await refused(here, page, {
      args: add,
      steps: async () => {
        await pressAll(page, SAVE);
        await waitForTitle(page, TEST);
        await authenticator.removeAll();
        await press(page);
      },
      code: 4,
      title: "That didn't work",
      text: 'If you cancelled, try again; if the passkey is no longer in your password manager, use another way.',
      stderr: `${SAVES}error: that didn't work\nhint: if you cancelled, try again; if the passkey is no longer in your password manager, use another way\n`,
    });
    await page.close();
  });

  it('when the answer of one step is given again to the next', async () => {
    const { page } = await tab(browser);
    const answers = [];
    await page.route('**/answer', async (route) => {
      const message = JSON.parse(route.request().postData());
      answers.push(message);
      // The third answer is the second one, with the number of the step that is asked.
      const sent = answers.length === 3 ? { ...answers[1], step: message.step } : message;
      await route.continue({ postData: JSON.stringify(sent) });
    });
    await refused(here, page, {
      args: add,
      steps: () => pressAll(page, SAVE, TEST, AGAIN),
      code: 4,
      title: "The browser's answer was used before",
      text: 'Nothing was changed; close other pages and browser extensions that handle passkeys, and try again.',
      stderr: `${SAVES}error: the browser's answer was used before\n`
        + 'hint: nothing was changed; close other pages and browser extensions that handle passkeys, and try again\n',
    });
    await page.close();
  });

  it('when the same place holds one already', async () => {
    const own = await backedUp();
    const { page, authenticator } = await tab(browser);
    assert.equal((await addPasskey(own, page)).code, 0);
    await refused(own, page, {
      args: add,
      steps: () => pressAll(page, SAVE),
      code: 4,
      title: 'There is a passkey for this backup already',
      text: 'Choose a different password manager, a phone, or a security key.',
      stderr: `${SAVES}error: there is a passkey for this backup already\nhint: choose a different password manager, a phone, or a security key\n`,
    });
    assert.equal((await authenticator.credentials()).length, 1);
    await page.close();
  });

  it('when it agreed twice and does not open what lies in the store: it is taken out again', async () => {
    const own = await backedUp();
    const { page } = await tab(browser);
    const run = await own.open(page, add);
    await waitForTitle(page, SAVE);
    await tamper(page, 3);
    await pressAll(page, SAVE, TEST, AGAIN, CONFIRM);
    await waitForTitle(page, 'This passkey gave two different answers');
    const { code, stdout, stderr } = await run.ended();
    assert.deepEqual([code, stdout], [12, '']);
    assert.ok(stderr.startsWith(`${SAVES}Now the passkey opens your backup: confirm once more\nerror: this passkey gave two different answers\n`), stderr);
    assert.deepEqual(await summary(own), { status: 'almost_protected', proven: 1, ways: ['Recovery key'] });
    own.home = 'new';
    const later = await own.run(['restore', 'store', '--to', 'out', ...PASSKEY]);
    assert.equal(later.code, 4);
    await page.close();
  });

  it('and the recovery key opens it after all of them', async () => {
    assert.deepEqual(await summary(here), { status: 'almost_protected', proven: 1, ways: ['Recovery key'] });
    assert.ok(Object.keys(await restored(here, 'after', KEY)).length > 1);
  });
});

function CANCELLED(before, hint = 'nothing was changed; run the command again') {
  return {
    code: 4,
    ...ended('you cancelled in the browser', hint),
    stderr: `${before}error: you cancelled in the browser\nhint: ${hint}\n`,
  };
}

describe('a restore by passkey is refused, and nothing is changed', () => {
  let here;
  let page;
  let authenticator;
  let computers = 0;
  const restore = ['restore', 'store', '--to', 'out', ...PASSKEY];
  const TAMPERED = `nothing was changed; close other pages and browser extensions that handle passkeys, and try again; ${KEY_TOO}`;

  before(async () => {
    here = await backedUp();
    ({ page, authenticator } = await tab(browser));
    assert.equal((await addPasskey(here, page)).code, 0);
  });

  /** A tab with the same passkey, synced without its secret: it signs, and gives nothing. */
  async function synced() {
    const other = await tab(browser);
    const [credential] = await authenticator.credentials();
    await other.authenticator.send('addCredential', { credential });
    return other;
  }

  /** On a computer that has nothing. */
  const onNew = (on, how) => {
    computers += 1;
    here.home = `computer-${computers}`;
    return refused(here, on, { args: restore, ...how });
  };
  const broken = (why) => ({
    code: 4,
    ...ended(`the browser's answer was refused: ${why}`, TAMPERED),
    stderr: `${ASKS}error: the browser's answer was refused: ${why}\nhint: ${TAMPERED}\n`,
  });

  it('when nobody confirms with a fingerprint, face or screen lock', async () => {
    const other = await synced();
    await other.authenticator.setVerified(false);
    await onNew(other.page, { steps: () => pressAll(other.page, RESTORE), ...GONE });
    await other.page.close();
  });

  it('when Cancel is pressed before the browser asks', async () => {
    await onNew(page, {
      steps: async () => {
        await waitForTitle(page, RESTORE);
        await cancel(page);
      },
      ...CANCELLED(ASKS, `nothing was changed; run the command again; ${KEY_TOO}`),
    });
  });

  it('when Cancel is pressed while the browser asks', async () => {
    const other = await synced();
    await other.authenticator.setPresence(false);
    await onNew(other.page, {
      steps: async () => {
        await pressAll(other.page, RESTORE);
        await other.page.waitForFunction(() => document.getElementById('status').textContent.startsWith('Waiting for you'), null, OFTEN);
        await cancel(other.page);
      },
      ...CANCELLED(ASKS, `nothing was changed; run the command again; ${KEY_TOO}`),
    });
    await other.page.close();
  });

  it('when the passkey is in another password manager', async () => {
    const other = await tab(browser);
    await onNew(other.page, { steps: () => pressAll(other.page, RESTORE), ...GONE });
    assert.equal((await other.authenticator.credentials()).length, 0, 'no passkey is made in answer to it');
    await other.page.close();
  });

  it('when the passkey was synced without what a backup needs', async () => {
    const other = await synced();
    const hint = `try another browser, the device that the passkey is on, or another way; ${KEY_TOO}`;
    await onNew(other.page, {
      steps: () => pressAll(other.page, RESTORE),
      code: 4,
      title: "This passkey can't open a backup in this browser",
      text: 'Try another browser, the device that the passkey is on, or another way; the recovery key opens this backup too.',
      stderr: `${ASKS}error: this passkey can't open a backup in this browser\nhint: ${hint}\n`,
    });
    await other.page.close();
  });

  it('when the passkey answers, and its answer does not open the backup', async () => {
    const what = 'the passkey answered, and what it gave does not open this backup';
    const why = "this device's system has a known fault, or it is another passkey than the one that was added";
    const message = `${what}: ${why}`;
    const hint = `update the system and the browser and try again (iPhones before iOS 18.4 have such a fault), or ${OR_KEY}`;
    await onNew(page, {
      steps: async () => {
        await waitForTitle(page, RESTORE);
        await tamper(page);
        await press(page);
      },
      code: 12,
      title: `T${what.slice(1)}`,
      text: `T${why.slice(1)}. ${sentence(hint)}`,
      stderr: `${ASKS}error: ${message}\nhint: ${hint}\n`,
    });
  });

  it('when the answer was made on another page of localhost, by the right passkey', async () => {
    const hostile = createServer((request, response) => {
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>another page</title>');
    });
    await new Promise((resolve) => { hostile.listen(0, '127.0.0.1', resolve); });
    const origin = `http://localhost:${hostile.address().port}`;
    const other = await synced();
    await other.page.goto(`${origin}/`);
    // The real signature of the real passkey, to the real question, on that page.
    await page.exposeFunction('elsewhere', (asked) => other.page.evaluate(async ({ challenge, id }) => {
      const { response } = await navigator.credentials.get({
        publicKey: {
          challenge: Uint8Array.from(challenge),
          rpId: 'localhost',
          userVerification: 'required',
          allowCredentials: [{ type: 'public-key', id: Uint8Array.from(id) }],
        },
      });
      return ['clientDataJSON', 'authenticatorData', 'signature'].map((name) => [name, [...new Uint8Array(response[name])]]);
    }, asked));
    const hint = TAMPERED;
    await onNew(page, {
      steps: async () => {
        await waitForTitle(page, RESTORE);
        await page.evaluate(() => {
          CredentialsContainer.prototype.get = async ({ publicKey }) => {
            const { id } = publicKey.allowCredentials[0];
            const fields = await window.elsewhere({ challenge: [...publicKey.challenge], id: [...id] });
            return {
              rawId: id,
              response: Object.fromEntries(fields.map(([name, bytes]) => [name, Uint8Array.from(bytes).buffer])),
              getClientExtensionResults: () => ({ prf: { results: { first: new Uint8Array(32).fill(7).buffer } } }),
            };
          };
        });
        await press(page);
      },
      code: 4,
      ...ended(`the answer came from another page: ${origin}`, hint),
      stderr: `${ASKS}error: the answer came from another page: ${origin}\nhint: ${hint}\n`,
    });
    hostile.close();
    await other.page.close();
  });

  it('when an answer of an earlier run is given again', async () => {
    let kept;
    page.on('request', (request) => {
      if (request.url().endsWith('/answer') && request.postData().includes('"asserted"')) kept = JSON.parse(request.postData());
    });
    here.home = 'earlier';
    const run = await here.open(page, ['snapshots', 'store', ...PASSKEY]);
    await pressAll(page, 'Unlock your backup');
    assert.equal((await run.ended()).code, 0);
    await eventually(() => assert.ok(kept));
    page.removeAllListeners('request');
    await page.route('**/answer', (route) => {
      const { step } = JSON.parse(route.request().postData());
      return route.continue({ postData: JSON.stringify({ ...kept, step }) });
    });
    await onNew(page, { steps: () => pressAll(page, RESTORE), ...broken('it answers another question') });
    await page.unroute('**/answer');
  });

  it('when what the answer carries is changed on the way', async () => {
    await page.route('**/answer', (route) => {
      const message = JSON.parse(route.request().postData());
      assert.equal(message.kind, 'asserted');
      const sealed = Buffer.from(message.sealed, 'base64url');
      sealed[0] ^= 1;
      return route.continue({ postData: JSON.stringify({ ...message, sealed: sealed.toString('base64url') }) });
    });
    await onNew(page, { steps: () => pressAll(page, RESTORE), ...broken('what it carried was changed on the way') });
    await page.unroute('**/answer');
  });

  it('when the page is closed', async () => {
    const other = await tab(browser);
    const hint = `nothing was changed; run the command again; ${KEY_TOO}`;
    await onNew(other.page, {
      steps: async () => {
        await waitForTitle(other.page, RESTORE);
        await other.page.close();
      },
      seen: false,
      code: 4,
      stderr: `${ASKS}error: the page was closed before it was done\nhint: ${hint}\n`,
    });
  });

  it('and it opens after all of them', async () => {
    const before = here.listing('store');
    assert.deepEqual(await restored(here, 'last', PASSKEY, page), await restored(here, 'key', KEY));
    assert.deepEqual(here.listing('store'), before);
  });
});

describe('who else may open the page', () => {
  let here;
  let page;
  before(async () => {
    here = await backedUp();
    ({ page } = await tab(browser));
    assert.equal((await addPasskey(here, page)).code, 0);
  });

  /** A copy of an opening file in a tab of its own; gives the words that it ends with. */
  async function copied(form) {
    const copy = here.path('copy.html');
    writeFileSync(copy, form);
    const other = await browser.context.newPage();
    await other.goto(pathToFileURL(copy).href).catch(() => {});
    await other.waitForURL(/\/open$/);
    const shown = [await other.locator('h1').innerText(), await other.locator('main p').last().innerText()];
    await other.close();
    return shown;
  }

  async function opens(run) {
    await pressAll(page, RESTORE);
    await waitForTitle(page, UNLOCKED);
    const { code, stderr } = await run.ended();
    assert.equal(code, 0, stderr);
  }

  it('nobody with a token that was used, and the first page goes on', async () => {
    here.home = 'used';
    const run = await here.open(page, ['restore', 'store', '--to', 'out-used', ...PASSKEY]);
    assert.ok(!existsSync(run.file), 'the file is gone once it was used');
    assert.deepEqual(await copied(run.form), [
      'This page was opened already',
      'It opens once. Look for its other tab, or go back to Heirloom and start again.',
    ]);
    await opens(run);
  });

  it('nobody with a token that was never given', async () => {
    here.home = 'guessed';
    const run = await here.open(page, ['restore', 'store', '--to', 'out-guessed', ...PASSKEY]);
    // The token of an earlier run, on the port of this one, before its own is used.
    const next = here.start(['snapshots', 'store', ...PASSKEY]);
    const file = await next.opening();
    const port = /localhost:(\d+)/.exec(readFileSync(file, 'utf8'))[1];
    assert.deepEqual(await copied(run.form.replace(/localhost:\d+/, `localhost:${port}`)), [
      'This page was not opened by Heirloom',
      'Go back to Heirloom. It opens the page for you.',
    ]);
    next.child.kill('SIGINT');
    assert.equal((await next.ended()).code, 130);
    await opens(run);
  });

  it('nobody with the token of a run that is over', async () => {
    here.home = 'over';
    const run = await here.open(page, ['restore', 'store', '--to', 'out-over', ...PASSKEY]);
    await opens(run);
    await assert.rejects(fetch(`${run.origin}/open`, { method: 'POST', body: 'token=0' }), /fetch failed/);
  });

  it('127.0.0.1 leads to localhost, where a tab that Heirloom did not open gets nothing', async () => {
    here.home = 'numeric';
    const run = await here.open(page, ['restore', 'store', '--to', 'out-numeric', ...PASSKEY]);
    const { port } = new URL(run.origin);
    const other = await browser.context.newPage();
    await other.goto(`http://127.0.0.1:${port}/`);
    assert.equal(other.url(), `http://localhost:${port}/`);
    assert.equal(await other.locator('h1').innerText(), 'This page is opened from Heirloom');
    await other.close();
    await opens(run);
  });

  it('an answer that is sent twice is taken once', async () => {
    const own = await backedUp();
    const other = await tab(browser);
    const run = await own.open(other.page, ['protect', 'add', 'passkey', 'store', ...KEY]);
    await waitForTitle(other.page, SAVE);
    const [request] = await Promise.all([other.page.waitForRequest('**/answer'), press(other.page)]);
    await waitForTitle(other.page, TEST);
    // The very same request, from outside of the browser, with all that the page knows.
    const headers = await request.allHeaders();
    const repeat = async (changed = {}) => {
      const answer = await fetch(request.url(), { method: 'POST', headers: { ...headers, ...changed }, body: request.postData() });
      return [answer.status, /<h1>(.*)<\/h1>/.exec(await answer.text())[1]];
    };
    assert.deepEqual(await repeat(), [409, 'This answer was used already']);
    assert.deepEqual(await repeat({ authorization: `Heirloom ${'0'.repeat(64)}` }), [403, 'This page is opened from Heirloom']);
    assert.deepEqual(await repeat({ origin: 'http://localhost:1' }), [403, 'This request came from another page']);
    await pressAll(other.page, TEST, AGAIN, CONFIRM);
    assert.equal((await run.ended()).code, 0);
    await other.page.close();
  });
});
