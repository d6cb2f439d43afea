// Signing in on a computer without a browser: the program shows a QR code, and a passkey on another device, in a real
// Chromium, lets it in.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';

import { look } from './axe.mjs';
import { CHROMIUM, OFTEN, cancel, eventually, press, run, startBrowser, waitForTitle, watchRequests } from './lib.mjs';
import { PROGRAM, Place, tab } from './program.mjs';

const ACCOUNT = ['--account-file', 'account.json'];
const NAME = 'Box in the cellar';
const ASKS = `Let “${NAME}” into your account?`;
const SIGNED_IN = `“${NAME}” is signed in`;
const NOT_LET_IN = `“${NAME}” was not let in`;
const SOMEBODY = 'This is not the computer whose code you scanned';
const STOPPED = 'Heirloom has stopped';

let browser;
const servers = [];
/** A computer that is signed in to a server of its own, and a phone with the passkey that signs in there. */
let here;
let url;
let page;
let authenticator;

before(async () => {
  assert.ok(existsSync(PROGRAM), `build the program first: cargo build --release -p heirloom (${PROGRAM})`);
  assert.ok(existsSync(CHROMIUM), `no Chromium at ${CHROMIUM}`);
  browser = await startBrowser();
  here = new Place();
  const server = run(PROGRAM, ['serve', '--json', '--listen', '127.0.0.1:0', '--data', 'server'], {
    cwd: here.folder,
    env: { ...process.env, HEIRLOOM_HOME: here.path('home-of-the-server') },
  });
  servers.push(server);
  url = JSON.parse(await server.line('{"v":1,"type":"listening"')).url;
  const { code, stderr } = await here.run(['login', url, ...ACCOUNT]);
  assert.equal(code, 0, stderr);
  ({ page, authenticator } = await tab(browser));
  await page.setViewportSize({ width: 360, height: 740 });
  const saving = here.start(['devices', url, '--new-passkey', '--name', 'Mine']);
  const file = await saving.opening();
  await page.goto(pathToFileURL(file).href).catch(() => {});
  await page.waitForURL(/\/signin$/);
  await waitForTitle(page, 'Save a passkey to sign in to Heirloom');
  await press(page);
  await waitForTitle(page, 'Go back to the terminal');
  assert.equal((await saving.ended()).code, 0);
});

after(async () => {
  for (const server of servers) server.stop();
  here?.end();
  await browser?.close();
});

let number = 0;
/** A new computer that asks to be let in, and what its QR code holds. */
async function asking() {
  number += 1;
  here.home = `home-${number}`;
  const file = `new-${number}.json`;
  const args = ['login', url, '--passkey', '--via', 'qr', '--device-name', NAME, '--account-file', file, '--json'];
  const command = here.start(args);
  const event = await eventually(() => {
    const line = command.said.stdout.split('\n').find((one) => one.includes('"type":"scan_qr"'));
    assert.ok(line, JSON.stringify(command.said));
    return JSON.parse(line);
  });
  return { command, file: here.path(file), home: here.path(here.home), ...event };
}

async function scan(link) {
  // Only the tab in front is drawn.
  await page.bringToFront();
  await page.goto('about:blank');
  await page.goto(link);
}

/** How devices of the account are called and got in. */
async function devices() {
  here.home = 'home';
  const { code, stdout, stderr } = await here.run(['devices', url, '--json']);
  assert.equal(code, 0, stderr);
  const events = stdout.trim().split('\n').map((line) => JSON.parse(line));
  return events.filter(({ type }) => type === 'sign_in');
}

const isNothingKept = ({ file, home }) => !existsSync(file) && !existsSync(`${home}/accounts`);

describe('a computer without a browser', () => {
  it('is named on the phone, let in by the passkey there, and stands in the list of devices', async () => {
    const before = (await devices()).length;
    const one = await asking();
    const requests = watchRequests(page);
    await scan(one.link);
    const asked = await waitForTitle(page, ASKS);
    assert.match(page.url(), /\/ceremony$/, 'the address keeps nothing');
    assert.ok(asked.text.includes(`It shows the code ${one.code}.`), asked.text);
    assert.match(asked.text, /asks to sign in to Heirloom as you/);
    assert.match(asked.note, /^Go on only if you began this yourself/);
    assert.match(asked.note, /Then cancel: it would let them into your account\.$/);
    assert.equal(asked.button, 'Let it in');
    await look(page, 'light-360', 'let-in');
    assert.equal(requests.filter(({ url: address }) => address.endsWith('/signin/answer')).length, 0, 'nobody is asked before');
    await press(page);
    const { code, stdout, stderr } = await one.command.ended();
    assert.equal(code, 0, stderr);
    const shown = await waitForTitle(page, SIGNED_IN);
    assert.match(shown.text, /^It stands in the list of your devices\./);
    assert.match(shown.text, /sign it out now/);
    await look(page, 'light-360', 'is-in');
    const { token } = JSON.parse(readFileSync(one.file, 'utf8'));
    const secret = one.link.split('.').at(-1);
    for (const request of requests) {
      const sent = JSON.stringify({ ...request, url: request.url.split('#')[0] });
      assert.ok(!sent.includes(token), 'the phone never has the sign-in');
      assert.ok(!sent.includes(secret), 'the relay never has the secret of the link');
      assert.equal(request.headers.authorization, undefined);
    }
    assert.ok(!stdout.includes(token) && !stderr.includes(token));
    const all = await devices();
    assert.equal(all.length, before + 1);
    assert.deepEqual([all.at(-1).name, all.at(-1).by], [NAME, 'passkey-elsewhere']);
    here.home = `home-${number}`;
    const listed = await here.run(['devices', url]);
    assert.match(listed.stdout, /Box in the cellar · this computer · since .*, by a QR code, with a passkey on another device/);
  });

  it('can be refused on the phone, and keeps nothing then', async () => {
    const before = await devices();
    const one = await asking();
    await scan(one.link);
    await waitForTitle(page, ASKS);
    await cancel(page);
    const shown = await waitForTitle(page, NOT_LET_IN);
    assert.equal(shown.text, 'You cancelled. Nothing was changed.');
    const { code, stdout, stderr } = await one.command.ended();
    assert.equal(code, 4, stdout);
    assert.match(stdout + stderr, /you cancelled on the other device/);
    assert.match(stdout + stderr, /this computer is not signed in; run the command again/);
    assert.ok(isNothingKept(one));
    assert.deepEqual((await devices()).map(({ id }) => id), before.map(({ id }) => id));
  });

  it('that gives up is no longer asked for', async () => {
    const one = await asking();
    await scan(one.link);
    await waitForTitle(page, ASKS);
    one.command.child.kill('SIGINT');
    assert.equal((await one.command.ended()).code, 130);
    const shown = await waitForTitle(page, new RegExp(`^(${NOT_LET_IN}|${STOPPED})$`));
    assert.equal(shown.button, '');
    assert.ok(isNothingKept(one));
    await scan(one.link);
    await waitForTitle(page, STOPPED);
  });

  it('is let in on the second try when the passkey was not found on the first', async () => {
    const one = await asking();
    await scan(one.link);
    await waitForTitle(page, ASKS);
    const [credential] = await authenticator.credentials();
    await authenticator.removeAll();
    await press(page);
    await page.waitForFunction(() => document.getElementById('status').textContent.startsWith('That didn’t work'), null, OFTEN);
    await authenticator.send('addCredential', { credential });
    await press(page);
    await waitForTitle(page, SIGNED_IN);
    assert.equal((await one.command.ended()).code, 0);
  });

  it('is not let in by a passkey that was not saved there', async () => {
    const [kept] = await authenticator.credentials();
    const { page: other, authenticator: others } = await tab(browser);
    await others.send('addCredential', { credential: { ...kept, credentialId: Buffer.alloc(32, 7).toString('base64') } });
    const one = await asking();
    await other.bringToFront();
    await other.goto(one.link);
    await waitForTitle(other, ASKS);
    await press(other);
    const shown = await waitForTitle(other, 'This passkey does not sign in here');
    assert.match(shown.text, /^“Box in the cellar” was not let in\./);
    const { code, stdout, stderr } = await one.command.ended();
    assert.equal(code, 4, stdout);
    assert.match(stdout + stderr, /this passkey does not sign in there/);
    assert.ok(isNothingKept(one));
    await other.close();
  });

  it('is not shown for a relay that swaps keys or sign-in, or for who has another secret', async () => {
    const before = await devices();
    const one = await asking();
    const posts = [];
    const watch = (request) => { if (request.url().endsWith('/answer')) posts.push(request.url()); };
    page.on('request', watch);
    const swap = (text) => (text[0] === 'A' ? 'B' : 'A') + text.slice(1);
    const lies = [
      (view) => { view.keys.x25519 = swap(view.keys.x25519); },
      (view) => { view.sign_in = swap(view.sign_in); },
      // As if somebody who is signed in asked for a passkey of a backup.
      (view) => { view.sign_in = null; },
    ];
    for (const lie of lies) {
      await page.route('**/v1/handovers/look', async (route) => {
        const answer = await route.fetch();
        const view = JSON.parse(await answer.text());
        lie(view);
        await route.fulfill({ json: view });
      });
      await scan(one.link);
      const shown = await waitForTitle(page, SOMEBODY);
      assert.equal(shown.button, '');
      await page.unroute('**/v1/handovers/look');
    }
    const wrong = one.link.slice(0, -3) + swap(one.link.at(-3)) + one.link.slice(-2);
    await scan(wrong);
    await waitForTitle(page, SOMEBODY);
    page.off('request', watch);
    assert.deepEqual(posts, []);
    // The right one is still good.
    await scan(one.link);
    await waitForTitle(page, ASKS);
    await press(page);
    await waitForTitle(page, SIGNED_IN);
    assert.equal((await one.command.ended()).code, 0);
    assert.equal((await devices()).length, before.length + 1);
  });

  it('takes no answer that was changed on the way, and the phone says that it was not let in for certain', async () => {
    const before = await devices();
    const one = await asking();
    await page.route('**/v1/handovers/answer', async (route) => {
      const body = JSON.parse(route.request().postData());
      const other = body.answer.sealed[9] === 'A' ? 'B' : 'A';
      body.answer.sealed = body.answer.sealed.slice(0, 9) + other + body.answer.sealed.slice(10);
      await route.continue({ postData: JSON.stringify(body) });
    });
    await scan(one.link);
    await waitForTitle(page, ASKS);
    await press(page);
    const { code, stdout, stderr } = await one.command.ended();
    assert.equal(code, 4, stdout);
    assert.match(stdout + stderr, /somebody may be in between/);
    const shown = await waitForTitle(page, `You let “${NAME}” in`);
    await page.waitForFunction(() => document.getElementById('title').className === 'bad', null, OFTEN);
    assert.doesNotMatch(shown.title, /is signed in/);
    await page.unroute('**/v1/handovers/answer');
    assert.ok(isNothingKept(one));
    assert.deepEqual((await devices()).map(({ id }) => id), before.map(({ id }) => id));
  });

  it('that was let in by another phone is not told of as let in by this one', async () => {
    const one = await asking();
    await scan(one.link);
    await waitForTitle(page, ASKS);
    const [credential] = await authenticator.credentials();
    const { page: other, authenticator: others } = await tab(browser);
    await others.send('addCredential', { credential });
    await other.goto(one.link);
    await waitForTitle(other, ASKS);
    await other.bringToFront();
    await press(other);
    await waitForTitle(other, SIGNED_IN);
    assert.equal((await one.command.ended()).code, 0);
    const shown = await waitForTitle(page, `“${NAME}” was let in by somebody else`);
    assert.match(shown.text, /^The passkey of this device was not used\./);
    await other.close();
  });
});

describe('a server that a stranger asks', () => {
  it('has its page ask for no passkey of a backup in that session', async () => {
    // What a stranger's program could put before the page, had it the words of another ceremony.
    const one = await asking();
    const other = await browser.context.newPage();
    await other.addInitScript(() => {
      const decrypt = SubtleCrypto.prototype.decrypt;
      SubtleCrypto.prototype.decrypt = async function lying(...all) {
        const view = JSON.parse(new TextDecoder().decode(await decrypt.apply(this, all)));
        const options = { challenge: 'AAAA', timeout: 60000, prfInput: null, rpId: 'localhost', allow: [] };
        const changed = { ...view, kind: 'get', title: 'Confirm', text: [], button: 'Unlock', cancel: true, options };
        return new TextEncoder().encode(JSON.stringify(changed)).buffer;
      };
    });
    await other.bringToFront();
    await other.goto(one.link);
    const shown = await waitForTitle(other, SOMEBODY);
    assert.equal(shown.button, '');
    await other.close();
    one.command.child.kill('SIGINT');
    assert.equal((await one.command.ended()).code, 130);
  });
});
