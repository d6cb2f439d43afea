// The ceremony page in a real Chromium, through the example of crates/ceremony.
// HEIRLOOM_CEREMONY names the built example; HEIRLOOM_SCREENSHOTS a folder for pictures.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

import {
  CHROMIUM, OFTEN, addAuthenticator, cancel, eventually, openFile, press, run, startBrowser, waitForTitle, watchRequests,
  words,
} from './lib.mjs';

const PROGRAM = process.env.HEIRLOOM_CEREMONY
  ?? fileURLToPath(new URL('../../target/debug/examples/ceremony', import.meta.url));
const PICTURES = process.env.HEIRLOOM_SCREENSHOTS;

const SAVE = 'Protect your backup with a passkey';
const TEST = 'Passkey saved';
const AGAIN = 'Once more';

let browser;
let folder;
const children = [];

before(async () => {
  assert.ok(existsSync(PROGRAM), `build the example first: cargo build -p heirloom-ceremony --example ceremony (${PROGRAM})`);
  assert.ok(existsSync(CHROMIUM), `no Chromium at ${CHROMIUM}`);
  folder = mkdtempSync(join(tmpdir(), 'heirloom-ceremony-'));
  browser = await startBrowser();
});

after(async () => {
  for (const child of children) child.stop();
  await browser?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** Starts the program and opens its page; the authenticator is there first. */
async function started(args, { kind = 'prf', more = {}, from = browser, arrange = async () => {} } = {}) {
  const page = await from.context.newPage();
  const authenticator = kind === null ? null : await addAuthenticator(page, kind, more);
  await arrange(page);
  const requests = watchRequests(page);
  const problems = [];
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'error') problems.push(message.text()); });
  const program = await restarted(page, args);
  return { page, authenticator, requests, problems, ...program };
}

async function restarted(page, args) {
  const program = run(PROGRAM, ['--folder', folder, '--timeout', '120', ...args]);
  children.push(program);
  const opening = (await program.line('open ')).slice('open '.length);
  await openFile(page, opening);
  return { program, opening };
}

async function register(page) {
  for (const title of [SAVE, TEST, AGAIN]) {
    await waitForTitle(page, title);
    await press(page);
  }
}

/** The suites that the page chose, one for each answer that it sent. */
const suites = (requests) => requests.map(({ body }) => /"suite":(\d+)/.exec(body)?.[1]).filter(Boolean);

const field = (line, name) => new RegExp(`${name}=(\\S*)`).exec(line)[1];

describe('a passkey is saved, tested twice, and opens', () => {
  for (const kind of ['prf', 'hmac']) {
    it(`with an authenticator of kind ${kind}`, async () => {
      const { page, program, requests, problems, opening, authenticator } = await started(['register', 'unlock'], { kind });
      const first = await waitForTitle(page, SAVE);
      assert.equal(first.step, '1 of 3: save the passkey');
      assert.equal(first.button, 'Save a passkey');
      assert.match(first.text, /Choose the password manager that you use on all your computers\./);
      assert.match(first.note, /If you delete this passkey later, you can't open your backup with it\./);
      assert.ok(!existsSync(opening), 'the opening file is gone once it was used');
      assert.equal(new URL(page.url()).pathname, '/');
      await press(page);
      assert.equal((await waitForTitle(page, TEST)).step, '2 of 3: test it');
      await press(page);
      assert.equal((await waitForTitle(page, AGAIN)).step, '3 of 3: once more');
      await press(page);
      const registered = await program.line('registered ');
      assert.equal(field(registered, 'be'), 'true');
      assert.equal(field(registered, 'bs'), 'true');
      assert.equal((await waitForTitle(page, 'Unlock your backup')).button, 'Unlock');
      await press(page);
      await program.line('answered ');
      await waitForTitle(page, 'It opens your backup');
      assert.equal(await program.exit, 0);
      const kept = await authenticator.credentials();
      assert.equal(kept.length, 1);
      assert.ok(kept[0].isResidentCredential);
      // X-Wing was chosen each time, for this Chromium has ML-KEM.
      await eventually(() => assert.deepEqual(suites(requests), ['25722', '25722', '25722']));
      assert.deepEqual(problems, []);
      await page.close();
    });
  }

  it('and again on the page of another program, with no key known there', async () => {
    const { page, program } = await started(['register']);
    await register(page);
    const id = (await program.line('registered ')).split(' ')[1];
    await waitForTitle(page, 'It opens your backup');
    const later = await restarted(page, ['--known', id, 'restore']);
    assert.equal((await waitForTitle(page, 'Unlock your backup on this computer')).button, 'Unlock');
    await press(page);
    assert.equal((await later.program.line('answered ')).split(' ')[1], id);
    await page.close();
  });

  it('with X25519 where the browser has no ML-KEM', async () => {
    const { page, program, requests } = await started(['register'], {
      arrange: (fresh) => fresh.addInitScript(() => { delete SubtleCrypto.prototype.encapsulateBits; }),
    });
    await register(page);
    await program.line('registered ');
    await eventually(() => assert.deepEqual(suites(requests), ['32', '32']));
    await page.close();
  });
});

describe('no output leaves the page', () => {
  it('in any encoding, in no request', async () => {
    const outputs = [];
    const { page, program, requests } = await started(['register', 'unlock'], {
      arrange: async (fresh) => {
        await fresh.exposeFunction('sawOutput', (hex) => { outputs.push(hex); });
        // Looks at each output before the page does.
        await fresh.addInitScript(() => {
          const real = PublicKeyCredential.prototype.getClientExtensionResults;
          PublicKeyCredential.prototype.getClientExtensionResults = function () {
            const results = real.call(this);
            const first = results.prf?.results?.first;
            if (first) {
              window.sawOutput(Array.from(new Uint8Array(first), (byte) => byte.toString(16).padStart(2, '0')).join(''));
            }
            return results;
          };
        });
      },
    });
    await register(page);
    await waitForTitle(page, 'Unlock your backup');
    await press(page);
    await program.line('answered ');
    await eventually(() => {
      assert.ok(outputs.length >= 3);
      assert.equal(suites(requests).length, 3);
    });
    // Registration's output is never asked for by the page: it reads `enabled` alone, of one look.
    assert.equal(new Set(outputs).size, 1);
    const secret = Buffer.from(outputs[0], 'hex');
    assert.equal(secret.length, 32);
    const everything = requests.map((request) => JSON.stringify(request)).join('\n');
    const decoded = requests.flatMap(({ body }) => [...body.matchAll(/"([A-Za-z0-9_-]{16,})"/g)]
      .map(([, text]) => Buffer.from(text, 'base64url')));
    assert.ok(decoded.length > 10);
    for (const form of ['hex', 'base64', 'base64url', 'latin1']) {
      assert.ok(!everything.includes(secret.toString(form)), form);
    }
    assert.ok(!everything.includes(JSON.stringify([...secret]).slice(1, -1)), 'as numbers');
    for (const bytes of decoded) assert.ok(!bytes.includes(secret));
    assert.ok(!everything.includes('clientExtensionResults'));
    for (const { url } of requests) assert.ok(/^(file:|http:\/\/localhost:\d+\/(open|next(\?after=\d+)?|answer|leaving|ceremony\.(js|css)|favicon\.ico)?$)/.test(url), url);
    await page.close();
  });
});

describe('what goes wrong is told in words', () => {
  it('when the authenticator gives no outputs', async () => {
    const { page, program, authenticator } = await started(['register'], { kind: 'none' });
    await waitForTitle(page, SAVE);
    await press(page);
    const title = /^(This passkey can't be used for backups|Passkey saved)$/;
    if ((await waitForTitle(page, title)).title === TEST) await press(page);
    const shown = await waitForTitle(page, "This passkey can't be used for backups");
    assert.equal(shown.text, 'It was saved but not used: you can delete it. Try a different password manager, a phone, or a security key.');
    assert.equal(await program.line('error '), "error this passkey can't be used for backups");
    assert.equal((await authenticator.credentials()).length, 1);
    assert.equal(shown.forget, 'Delete the unused passkey');
    await program.exit;
    await page.locator('#forget').click();
    await page.waitForFunction(() => document.getElementById('status').textContent.startsWith('Your password manager was told'), null, OFTEN);
    assert.equal((await authenticator.credentials()).length, 0);
    await page.close();
  });

  it('when an older passkey gives none here', async () => {
    const { page, program, authenticator } = await started(['register'], {});
    await register(page);
    const id = (await program.line('registered ')).split(' ')[1];
    await waitForTitle(page, 'It opens your backup');
    // Synced without its secret: exported and imported elsewhere.
    const [kept] = await authenticator.credentials();
    await authenticator.remove();
    const other = await addAuthenticator(page, 'prf');
    await other.send('addCredential', { credential: kept });
    const later = await restarted(page, ['--known', id, 'unlock']);
    await waitForTitle(page, 'Unlock your backup');
    await press(page);
    const shown = await waitForTitle(page, "This passkey can't open a backup in this browser");
    assert.equal(shown.forget, '', 'an old passkey is never offered for deletion');
    assert.equal(await later.program.line('kind '), 'kind Unavailable');
    await page.close();
  });

  it('when the person is not verified', async () => {
    const { page, program, authenticator } = await started(['register', 'unlock']);
    await register(page);
    await program.line('registered ');
    await waitForTitle(page, 'Unlock your backup');
    await authenticator.setVerified(false);
    await press(page);
    const shown = await waitForTitle(page, /^(That didn't work|Nobody confirmed)/);
    assert.equal(shown.text, 'If you cancelled, try again. If the passkey is no longer in your password manager, use another way.');
    await page.close();
  });

  it('when the passkey was deleted: the same words as for a cancelled dialog', async () => {
    const { page, program, authenticator } = await started(['register', 'unlock']);
    await register(page);
    await program.line('registered ');
    await waitForTitle(page, 'Unlock your backup');
    await authenticator.removeAll();
    await press(page);
    const shown = await waitForTitle(page, "That didn't work");
    assert.equal(shown.text, 'If you cancelled, try again. If the passkey is no longer in your password manager, use another way.');
    assert.equal(await program.line('kind '), 'kind CancelledOrGone');
    assert.equal((await authenticator.credentials()).length, 0, 'nothing is made in answer to it');
    await page.close();
  });

  it('when the same place holds a passkey already', async () => {
    const { page, program } = await started(['register', 'register']);
    await register(page);
    await program.line('registered ');
    await waitForTitle(page, SAVE);
    await press(page);
    const shown = await waitForTitle(page, 'There is a passkey for this backup already');
    assert.equal(shown.text, 'Choose a different password manager, a phone, or a security key.');
    await page.close();
  });

  it('when the second test gives something else', async () => {
    const { page, program } = await started(['register'], {
      arrange: (fresh) => fresh.addInitScript(() => {
        // A provider whose outputs change each time, as Safari 26.4 had with security keys.
        let times = 0;
        const real = PublicKeyCredential.prototype.getClientExtensionResults;
        PublicKeyCredential.prototype.getClientExtensionResults = function () {
          const results = real.call(this);
          times += 1;
          if (results.prf?.results?.first) new Uint8Array(results.prf.results.first)[0] ^= times;
          return results;
        };
      }),
    });
    await register(page);
    const shown = await waitForTitle(page, 'This passkey gave two different answers');
    assert.equal(shown.forget, 'Delete the unused passkey');
    assert.equal(await program.line('kind '), 'kind FaultyProvider');
    await page.close();
  });

  it('when Cancel is pressed, before and while the browser asks', async () => {
    const before = await started(['register']);
    await waitForTitle(before.page, SAVE);
    await cancel(before.page);
    await waitForTitle(before.page, 'You cancelled in the browser');
    assert.equal(await before.program.line('kind '), 'kind Cancelled');
    await before.page.close();

    const during = await started(['register'], {});
    await during.authenticator.setPresence(false);
    await waitForTitle(during.page, SAVE);
    await press(during.page);
    await during.page.waitForFunction(() => document.getElementById('status').textContent.startsWith('Waiting for you'), null, OFTEN);
    await cancel(during.page);
    await waitForTitle(during.page, 'You cancelled in the browser');
    // And not when the browser's dialog ends, which nobody answers.
    assert.equal(await during.program.line('kind '), 'kind Cancelled');
    await during.page.close();
  });

  it('when the page is closed', async () => {
    const { page, program } = await started(['register']);
    await waitForTitle(page, SAVE);
    await page.close();
    assert.equal(await program.line('kind '), 'kind PageClosed');
  });

  it('when nobody answers', async () => {
    const page = await browser.context.newPage();
    await addAuthenticator(page);
    const program = run(PROGRAM, ['--folder', folder, '--timeout', '8', 'register']);
    children.push(program);
    await openFile(page, (await program.line('open ')).slice(5));
    await waitForTitle(page, 'Nobody answered in the browser in time');
    assert.equal(await program.line('kind '), 'kind TimedOut');
    await page.close();
  });

  it('when the program is gone', async () => {
    const { page, program } = await started(['register']);
    await waitForTitle(page, SAVE);
    program.stop();
    const shown = await waitForTitle(page, 'Heirloom has stopped');
    assert.match(shown.text, /Nothing was changed by this page\./);
    await page.close();
  });
});

describe('the page belongs to one tab', () => {
  it('a reload goes on with the step', async () => {
    const { page, program, problems } = await started(['register']);
    await waitForTitle(page, SAVE);
    await page.reload();
    await waitForTitle(page, SAVE);
    await press(page);
    await waitForTitle(page, TEST);
    await page.reload();
    await waitForTitle(page, TEST);
    await press(page);
    await waitForTitle(page, AGAIN);
    await press(page);
    await program.line('registered ');
    assert.equal(await page.evaluate(() => sessionStorage.length), 0, 'the key lies nowhere while the page is shown');
    assert.deepEqual(problems, []);
    await page.close();
  });

  it('its address in another tab is nothing', async () => {
    const { page } = await started(['register']);
    await waitForTitle(page, SAVE);
    const other = await browser.context.newPage();
    await other.goto(page.url());
    await waitForTitle(other, 'This page is opened from Heirloom');
    assert.equal((await words(other)).button, '');
    await other.close();
    await page.close();
  });

  it('a click beside what the opening file does by itself uses the token once', async () => {
    const page = await browser.context.newPage();
    const asked = [];
    await page.route('**/open', async (route) => {
      asked.push(route.request().method());
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
      await route.continue();
    });
    const program = run(PROGRAM, ['--folder', folder, '--timeout', '120', 'register']);
    children.push(program);
    const opening = (await program.line('open ')).slice('open '.length);
    // In the page, for a click from outside would wait until it is gone.
    await page.addInitScript(() => {
      if (location.protocol === 'file:') setTimeout(() => document.querySelector('button').click(), 300);
    });
    await openFile(page, opening);
    await waitForTitle(page, SAVE);
    assert.deepEqual(asked, ['POST']);
    await page.close();
  });

  it('a token that was used is told so', async () => {
    const { page, requests } = await started(['register']);
    await waitForTitle(page, SAVE);
    const post = await eventually(() => {
      const found = requests.find(({ method, url }) => method === 'POST' && url.endsWith('/open'));
      assert.ok(found);
      return found;
    });
    const other = await browser.context.newPage();
    // What a copy of the opening file would do.
    await other.goto(pathToFileURL(fileURLToPath(new URL('lib.mjs', import.meta.url))).href);
    await other.evaluate(({ url, body }) => {
      const form = document.createElement('form');
      Object.assign(form, { method: 'post', action: url });
      const input = document.createElement('input');
      Object.assign(input, { name: 'token', value: body.split('=')[1] });
      form.append(input);
      (document.body ?? document.documentElement).append(form);
      form.submit();
    }, post);
    await other.waitForURL(/\/open$/);
    assert.equal(await other.locator('h1').innerText(), 'This page was opened already');
    await other.close();
    await page.close();
  });

  it('a page on another port of localhost gets the cookie, and nothing else', async () => {
    const { page } = await started(['register']);
    await waitForTitle(page, SAVE);
    const { port } = new URL(page.url());
    const stolen = [];
    const hostile = createServer((request, response) => {
      stolen.push(request.headers.cookie ?? '');
      response.setHeader('content-type', 'text/html').end('<!doctype html><title>hostile</title>');
    });
    await new Promise((resolve) => { hostile.listen(0, '127.0.0.1', resolve); });
    const other = await browser.context.newPage();
    await other.goto(`http://localhost:${hostile.address().port}/`);
    const cookie = stolen.find((one) => one.includes(`heirloom-${port}=`));
    assert.ok(cookie, 'browsers share cookies among ports');
    // The hostile server itself, with the cookie:
    const asked = await fetch(`http://localhost:${port}/next`, { headers: { cookie } });
    assert.equal(asked.status, 403);
    assert.match(await asked.text(), /This page is opened from Heirloom/);
    // And its page, from within the browser:
    const tried = await other.evaluate(async (target) => {
      const results = [];
      for (const path of ['next', 'answer', 'open']) {
        try {
          const answer = await fetch(`http://localhost:${target}/${path}`, { method: path === 'next' ? 'GET' : 'POST', credentials: 'include', mode: 'no-cors' });
          results.push(answer.type);
        } catch (error) { results.push(error.name); }
      }
      return results;
    }, port);
    assert.ok(tried.every((one) => ['TypeError', 'opaque'].includes(one)), String(tried));
    await waitForTitle(page, SAVE);
    hostile.close();
    await other.close();
    await page.close();
  });

  it('127.0.0.1 leads to localhost', async () => {
    const { page } = await started(['register']);
    await waitForTitle(page, SAVE);
    const { port } = new URL(page.url());
    const answer = await fetch(`http://127.0.0.1:${port}/`, { redirect: 'manual' });
    assert.equal(answer.status, 307);
    assert.equal(answer.headers.get('location'), `http://localhost:${port}/`);
    await page.close();
  });

  it('a script that was injected does not run', async () => {
    const { page } = await started(['register']);
    await waitForTitle(page, SAVE);
    const outcome = await page.evaluate(() => {
      try {
        document.getElementById('title').innerHTML = '<b>x</b>';
        return 'set';
      } catch (error) { return error.name; }
    });
    assert.equal(outcome, 'TypeError');
    const ran = await page.evaluate(() => {
      const script = document.createElement('script');
      try { script.text = 'window.injected = true'; document.head.append(script); } catch { /* trusted types */ }
      return window.injected === true;
    });
    assert.equal(ran, false);
    await page.close();
  });
});

describe('the page is for people', () => {
  it('is used with the keyboard alone', async () => {
    const { page, program } = await started(['register']);
    for (const title of [SAVE, TEST, AGAIN]) {
      await waitForTitle(page, title);
      await eventually(async () => assert.equal(await page.evaluate(() => document.activeElement.id), 'title'));
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement.id), 'go');
      await page.keyboard.press('Enter');
    }
    await program.line('registered ');
    await page.close();
  });

  for (const [name, options] of Object.entries({
    light: {}, dark: { colorScheme: 'dark' }, narrow: { width: 360, height: 640 }, 'narrow-dark': { width: 360, height: 640, colorScheme: 'dark' },
  })) {
    it(`has targets of 44 px, enough contrast and no sideways scrolling: ${name}`, async () => {
      const own = await startBrowser(options);
      try {
        const { page, program } = await started(['register', 'unlock'], { from: own });
        const looked = async (title, picture) => {
          await waitForTitle(page, title);
          if (PICTURES) await page.screenshot({ path: join(PICTURES, `${picture}-${name}.png`) });
          const { wide, small, faint } = await page.evaluate(measure);
          assert.equal(wide, false, `${title} scrolls sideways`);
          assert.deepEqual(small, []);
          assert.deepEqual(faint, []);
        };
        await looked(SAVE, 'save');
        await press(page);
        await looked(TEST, 'test');
        await press(page);
        await looked(AGAIN, 'again');
        await press(page);
        await program.line('registered ');
        await looked('Unlock your backup', 'unlock');
        await cancel(page);
        await looked('You cancelled in the browser', 'cancelled');
      } finally {
        await own.close();
      }
    });
  }

  it('leaves no opening file behind', () => {
    assert.deepEqual(readdirSync(folder).filter((name) => name.startsWith('open-')), []);
  });
});

/** In the page: what is too wide, too small, or too faint (WCAG 2.2: 1.4.3, 1.4.10, 2.5.8). */
function measure() {
  const shown = [...document.querySelectorAll('h1, p, button')]
    .filter((one) => one.getClientRects().length > 0 && one.textContent.trim() !== '');
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const color = channels(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const contrast = (one) => {
    const [a, b] = [light(channels(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  return {
    wide: document.documentElement.scrollWidth > innerWidth,
    small: shown.filter((one) => one.matches('button')).map((one) => one.getBoundingClientRect())
      .filter(({ width, height }) => width < 44 || height < 44).map(({ width, height }) => [width, height]),
    faint: shown.map((one) => [one.textContent, contrast(one)]).filter(([, ratio]) => ratio < 4.5),
  };
}
