// A passkey of a server's domain: asked for on that server's page in a real Chromium, in the browser of the computer
// itself, which comes back to the program, and on another device, which scanned a QR code.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';

import { CHROMIUM, OFTEN, cancel, eventually, press, run, startBrowser, waitForTitle, watchRequests } from './lib.mjs';
import { AGAIN, CONFIRM, KEY, PROGRAM, Place, RESTORE, SAMPLE, SAVE, TEST, UNLOCKED, pressAll, tab } from './program.mjs';

const ACCOUNT = ['--account-file', 'account.json'];
const ELSEWHERE = 'Unlock your backup on your computer';
const SOMEBODY = 'This is not the computer whose code you scanned';
const STOPPED = 'Heirloom has stopped';

let browser;
const places = [];
const servers = [];
/** A computer whose backup lies on a server, with a passkey of that server's domain in the tab. */
let here;
let url;
let phone;

before(async () => {
  assert.ok(existsSync(PROGRAM), `build the program first: cargo build --release -p heirloom (${PROGRAM})`);
  assert.ok(existsSync(CHROMIUM), `no Chromium at ${CHROMIUM}`);
  browser = await startBrowser();
  here = new Place();
  places.push(here);
  const server = run(PROGRAM, ['serve', '--json', '--listen', '127.0.0.1:0', '--data', 'server'], {
    cwd: here.folder,
    env: { ...process.env, HEIRLOOM_HOME: here.path('home-of-the-server') },
  });
  servers.push(server);
  url = JSON.parse(await server.line('{"v":1,"type":"listening"')).url;
  for (const args of [['login', url, ...ACCOUNT], ['backup', SAMPLE, '--to', url, '--new-recovery-key-file', 'key.txt']]) {
    const { code, stderr } = await here.run(args);
    assert.equal(code, 0, stderr);
  }
  phone = await tab(browser);
});

after(async () => {
  for (const server of servers) server.stop();
  for (const place of places) place.end();
  await browser?.close();
});

/** Opens what the program wants opened, here: by way of the program's own page to the server's. */
async function onSite(page, args) {
  const command = here.start([...args, '--via', 'browser']);
  const file = await command.opening();
  await page.bringToFront();
  await page.goto(pathToFileURL(file).href).catch(() => {});
  await page.waitForURL(/\/ceremony$/);
  return command;
}

/** Starts a command and gives what its QR code holds. */
async function scanned(args) {
  const command = here.start([...args, '--via', 'qr', '--json']);
  const event = await eventually(() => {
    const line = command.said.stdout.split('\n').find((one) => one.includes('"type":"scan_qr"'));
    assert.ok(line, JSON.stringify(command.said));
    return JSON.parse(line);
  });
  return { command, ...event };
}

const restore = (to) => ['restore', url, '--to', to, '--passkey', ...ACCOUNT];
let number = 0;
const fresh = () => {
  number += 1;
  here.home = `home-${number}`;
  return `restored-${number}`;
};

/** What a browser sends away: never what is behind the `#`. */
const sent = (requests) => requests.map(({ url: address, method, headers, body }) => JSON.stringify([address.split('#')[0], method, headers, body]));

describe('a passkey of the server’s domain', () => {
  it('is saved in the browser of this computer and restores there', async () => {
    const { page, authenticator } = await tab(browser);
    const requests = watchRequests(page);
    const adding = await onSite(page, ['protect', 'add', 'passkey', url, '--name', 'Mine', ...KEY]);
    await pressAll(page, SAVE, TEST, AGAIN, CONFIRM);
    const added = await adding.ended();
    assert.equal(added.code, 0, added.stderr);
    await waitForTitle(page, TEST);
    assert.match(page.url(), /^http:\/\/localhost:\d+\/$/, 'the address keeps nothing');
    const [kept] = await authenticator.credentials();
    assert.equal(kept.rpId, 'localhost');

    const restoring = await onSite(page, restore(fresh()));
    await pressAll(page, RESTORE);
    await waitForTitle(page, UNLOCKED);
    const restored = await restoring.ended();
    assert.equal(restored.code, 0, restored.stderr);
    const to = new URL(url).port;
    const server = requests.filter((request) => new URL(request.url).port === to);
    assert.ok(server.length > 0);
    for (const { url: address, method } of server) {
      assert.equal(method, 'GET', 'the server is asked for the page and told nothing');
      assert.match(new URL(address).pathname + new URL(address).search, /^\/(ceremony(\.js|\.css)?|(handover|letin)\.js|favicon\.ico)$/);
    }
    for (const request of sent(requests)) assert.doesNotMatch(request, /results|"psk"|#1\./);
    assert.deepEqual(here.leftovers(), []);
    await page.close();
  });

  it('is saved on another device, which restores as well', async () => {
    const { page } = phone;
    // Only the tab in front is drawn.
    await page.bringToFront();
    here.home = 'home';
    const { command, code, link } = await scanned(['protect', 'add', 'passkey', url, ...KEY]);
    const requests = watchRequests(page);
    await page.goto(link);
    await waitForTitle(page, SAVE);
    assert.match(page.url(), /\/ceremony$/, 'the address keeps nothing');
    assert.match(await page.locator('#code').innerText(), new RegExp(`shows the code ${code}\\.`));
    await pressAll(page, SAVE, TEST, AGAIN, CONFIRM);
    const added = await command.ended();
    assert.equal(added.code, 0, added.stderr);
    await waitForTitle(page, TEST);
    const secret = link.split('.').at(-1);
    for (const request of sent(requests)) {
      assert.ok(!request.includes(secret), 'the relay never has the secret of the link');
      assert.doesNotMatch(request, /clientData|prfInput|Unlocks your chat backup/);
    }

    const restoring = await scanned(restore(fresh()));
    await page.goto('about:blank');
    await page.goto(restoring.link);
    await waitForTitle(page, ELSEWHERE);
    await page.reload();
    await pressAll(page, ELSEWHERE);
    const restored = await restoring.command.ended();
    assert.equal(restored.code, 0, restored.stderr);
    await waitForTitle(page, UNLOCKED);
  });

  it('is not asked for a relay that swaps the keys, or for who has another secret', async () => {
    const { page } = phone;
    // Only the tab in front is drawn.
    await page.bringToFront();
    const { command, link } = await scanned(restore(fresh()));
    const posts = [];
    page.on('request', (request) => { if (request.url().endsWith('/answer')) posts.push(request.url()); });
    await page.route('**/v1/handovers/look', async (route) => {
      const answer = await route.fetch();
      const view = JSON.parse(await answer.text());
      const other = view.keys.x25519[0] === 'A' ? 'B' : 'A';
      view.keys.x25519 = other + view.keys.x25519.slice(1);
      await route.fulfill({ json: view });
    });
    await page.goto('about:blank');
    await page.goto(link);
    await waitForTitle(page, SOMEBODY);
    await page.unroute('**/v1/handovers/look');

    const wrong = link.slice(0, -3) + (link.at(-3) === 'A' ? 'B' : 'A') + link.slice(-2);
    await page.goto('about:blank');
    await page.goto(wrong);
    const shown = await waitForTitle(page, SOMEBODY);
    assert.equal(shown.button, '');
    assert.deepEqual(posts, []);
    command.child.kill('SIGINT');
    assert.equal((await command.ended()).code, 130);
  });

  it('is not asked for a code that somebody typed', async () => {
    const page = await browser.context.newPage();
    const { command, code, link } = await scanned(restore(fresh()));
    await page.goto(link.split('#')[0]);
    await waitForTitle(page, 'Enter the code');
    await page.locator('#typed-code').fill('BBBB-BBBB');
    await page.locator('#typed button').click();
    await page.waitForFunction(() => document.getElementById('status').textContent.startsWith('No computer waits'), null, OFTEN);
    await page.locator('#typed-code').fill(code.toLowerCase());
    await page.locator('#typed button').click();
    const shown = await waitForTitle(page, 'A computer waits under this code');
    assert.match(shown.text, /^The code alone opens nothing/);
    assert.equal(shown.button, '');
    command.child.kill('SIGINT');
    assert.equal((await command.ended()).code, 130);
  });

  it('may be refused on the other device, which is told when the computer gives up', async () => {
    const { page } = phone;
    // Only the tab in front is drawn.
    await page.bringToFront();
    const one = await scanned(restore(fresh()));
    await page.goto('about:blank');
    await page.goto(one.link);
    await waitForTitle(page, ELSEWHERE);
    await cancel(page);
    const ended = await one.command.ended();
    assert.equal(ended.code, 4, ended.stdout);
    assert.match(ended.stderr + ended.stdout, /you cancelled in the browser/);

    const two = await scanned(restore(fresh()));
    await page.goto('about:blank');
    await page.goto(two.link);
    await waitForTitle(page, ELSEWHERE);
    two.command.child.kill('SIGINT');
    assert.equal((await two.command.ended()).code, 130);
    await page.waitForFunction((title) => document.getElementById('title').textContent === title, STOPPED, OFTEN);
  });

  it('is refused in the browser of this computer in the words of every page', async () => {
    const { page } = await tab(browser);
    const restoring = await onSite(page, restore(fresh()));
    await waitForTitle(page, RESTORE);
    await press(page);
    await waitForTitle(page, "That didn't work");
    const ended = await restoring.ended();
    assert.equal(ended.code, 4, ended.stderr);
    await page.close();
  });
});
