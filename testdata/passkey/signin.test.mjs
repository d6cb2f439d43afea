// Signing in to a server with a passkey: the program, the server's own page in a real Chromium, and the way back.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';

import { CHROMIUM, press, run, startBrowser, waitForTitle, watchRequests } from './lib.mjs';
import { PROGRAM, Place, tab } from './program.mjs';

const ACCOUNT = ['--account-file', 'account.json'];
const BACK = 'Go back to the terminal';

let browser;
const places = [];
const servers = [];

before(async () => {
  assert.ok(existsSync(PROGRAM), `build the program first: cargo build --release -p heirloom (${PROGRAM})`);
  assert.ok(existsSync(CHROMIUM), `no Chromium at ${CHROMIUM}`);
  browser = await startBrowser();
});

after(async () => {
  for (const server of servers) server.stop();
  for (const place of places) place.end();
  await browser?.close();
});

/** A computer that is signed in to a server of its own. */
async function signedIn() {
  const here = new Place();
  places.push(here);
  const server = run(PROGRAM, ['serve', '--json', '--listen', '127.0.0.1:0', '--data', 'server'], {
    cwd: here.folder,
    env: { ...process.env, HEIRLOOM_HOME: here.path('home-of-the-server') },
  });
  servers.push(server);
  const { url } = JSON.parse(await server.line('{"v":1,"type":"listening"'));
  const { code, stderr } = await here.run(['login', url, ...ACCOUNT]);
  assert.equal(code, 0, stderr);
  return { here, url };
}

/** Starts a command that opens the server's page, and has the tab open it. */
async function onPage(here, page, args) {
  const command = here.start(args);
  const file = await command.opening();
  command.form = readFileSync(file, 'utf8');
  await page.bringToFront();
  await page.goto(pathToFileURL(file).href).catch(() => {});
  await page.waitForURL(/\/signin$/);
  return command;
}

async function savePasskey(here, url, page) {
  const saving = await onPage(here, page, ['devices', url, '--new-passkey', '--name', 'My passkey']);
  await waitForTitle(page, 'Save a passkey to sign in to Heirloom');
  await press(page);
  await waitForTitle(page, BACK);
  const { code, stdout, stderr } = await saving.ended();
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'Passkey saved. It signs new devices in, and opens no backup\n');
  assert.ok(stderr.startsWith('Next, your browser asks for your fingerprint, face or screen lock.\n'), stderr);
}

describe('a passkey that signs in', () => {
  it('is saved on the page of the server, and lets a new computer in', async () => {
    const { here, url } = await signedIn();
    const { page, authenticator } = await tab(browser);
    const requests = watchRequests(page);
    await savePasskey(here, url, page);
    const [kept] = await authenticator.credentials();
    assert.equal(kept.rpId, 'localhost');
    assert.equal(kept.userName, 'Sign in to Heirloom');

    here.home = 'new-home';
    const login = await onPage(here, page, ['login', url, '--passkey', '--account-file', 'new.json']);
    assert.equal(new URL(page.url()).search, '', 'nothing stands in the address');
    await waitForTitle(page, 'Sign in to Heirloom');
    await press(page);
    const shown = await waitForTitle(page, BACK);
    assert.equal(shown.text, 'Heirloom has what it needs and goes on there. You can close this page.');
    const { code, stdout, stderr } = await login.ended();
    assert.equal(code, 0, stderr);
    assert.equal(stdout, `Signed in to ${url}\n`);

    const { token } = JSON.parse(readFileSync(here.path('new.json'), 'utf8'));
    for (const request of requests) {
      assert.ok(!JSON.stringify(request).includes(token), 'the browser never has the sign-in');
      assert.equal(request.headers.authorization, undefined);
    }
    const list = await here.run(['devices', url, '--json']);
    const events = list.stdout.trim().split('\n').map((line) => JSON.parse(line));
    assert.deepEqual(events.filter(({ type }) => type === 'sign_in').map(({ by, present }) => [by, present]), [['first', false], ['passkey', true]]);
    assert.deepEqual(events.filter(({ type }) => type === 'sign_in_passkey').map(({ name, synced }) => [name, synced]), [['My passkey', true]]);
    assert.deepEqual(here.leftovers(), []);
    await page.close();
  });

  it('is not one that nobody saved there, and the page says so', async () => {
    const { here, url } = await signedIn();
    const { page, authenticator } = await tab(browser);
    await savePasskey(here, url, page);
    const list = await here.run(['devices', url, '--json']);
    const { id } = list.stdout.trim().split('\n').map((line) => JSON.parse(line)).find(({ type }) => type === 'sign_in_passkey');
    const removed = await here.run(['devices', url, '--remove', id]);
    assert.equal(removed.stdout, 'This passkey signs in no more. You can delete it in your password manager\n');
    assert.equal((await authenticator.credentials()).length, 1);
    here.home = 'new-home';
    const login = await onPage(here, page, ['login', url, '--passkey', '--account-file', 'new.json']);
    await waitForTitle(page, 'Sign in to Heirloom');
    await press(page);
    const shown = await waitForTitle(page, 'This passkey does not sign in here');
    assert.match(shown.text, /^Passkeys that open a backup do not sign in\./);
    login.child.kill();
    await page.close();
  });

  it('is refused by the browser when nobody confirms it', async () => {
    const { here, url } = await signedIn();
    const { page, authenticator } = await tab(browser);
    await savePasskey(here, url, page);
    here.home = 'new-home';
    const login = await onPage(here, page, ['login', url, '--passkey', '--account-file', 'new.json']);
    await waitForTitle(page, 'Sign in to Heirloom');
    await authenticator.setVerified(false);
    await press(page);
    await waitForTitle(page, "That didn't work");
    login.child.kill();
    await page.close();
  });

  it('that the browser does not find can be tried again', async () => {
    const { here, url } = await signedIn();
    const { page, authenticator } = await tab(browser);
    await savePasskey(here, url, page);
    const [credential] = await authenticator.credentials();
    await authenticator.removeAll();
    here.home = 'new-home';
    const login = await onPage(here, page, ['login', url, '--passkey', '--account-file', 'new.json']);
    await waitForTitle(page, 'Sign in to Heirloom');
    await press(page);
    await waitForTitle(page, "That didn't work");
    await authenticator.send('addCredential', { credential });
    await press(page);
    await waitForTitle(page, BACK);
    assert.equal((await login.ended()).code, 0);
    await page.close();
  });
});
