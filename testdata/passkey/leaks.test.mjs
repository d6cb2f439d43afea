// Everything that leaves the browser and the program during whole ceremonies, searched for secrets.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';

import { eventually, startBrowser, waitForTitle } from './lib.mjs';
import { KEY, PASSKEY, Place, RESTORE, SAMPLE, UNLOCKED, addPasskey, firstBackup, pressAll, tab } from './program.mjs';
import { proxied, startProxy } from './proxy.mjs';
import { FORMS, Search, derived } from './secrets.mjs';

let proxy;
let browser;
const places = [];

before(async () => {
  proxy = await startProxy();
  browser = await startBrowser({ flags: proxied(proxy) });
});

after(async () => {
  for (const place of places) place.end();
  await browser?.close();
  proxy?.close();
});

/** A tab that hands what a passkey gives to the test, and not over the network. */
async function watched(kind) {
  const outputs = new Map();
  const arrange = async (page) => {
    await page.exposeFunction('sawOutput', (id, bytes) => { outputs.set(Buffer.from(bytes).toString('hex'), Buffer.from(id).toString('hex')); });
    await page.addInitScript(() => {
      const real = PublicKeyCredential.prototype.getClientExtensionResults;
      PublicKeyCredential.prototype.getClientExtensionResults = function () {
        const results = real.call(this);
        const first = results.prf?.results?.first;
        if (first) window.sawOutput([...new Uint8Array(this.rawId)], [...new Uint8Array(first)]);
        return results;
      };
    });
  };
  return { ...await tab(browser, { kind, arrange }), outputs };
}

const recoveryKey = (place, file) => Buffer.from(
  readFileSync(place.path(file), 'utf8').split('\n').filter((line) => !line.startsWith('#')).join('').replaceAll(/\s/g, ''), 'hex');

describe('nothing secret leaves the browser or the program', () => {
  for (const kind of ['prf', 'hmac']) {
    it(`in all ceremonies of an authenticator of kind ${kind}`, async () => {
      const place = new Place();
      places.push(place);
      const { page, outputs, authenticator } = await watched(kind);
      assert.equal((await firstBackup(place)).code, 0);
      const ceremonies = [
        ['protect', 'check', 'store', ...PASSKEY],
        ['backup', SAMPLE, '--to', 'store', '--force', ...PASSKEY],
        ['protect', 'add', 'recovery-key', 'store', '--new-key-file', 'second.txt', ...PASSKEY],
        ['protect', 'rotate', 'store', ...PASSKEY],
        ['protect', 'remove', 'store', 'Recovery key 2', '--yes', ...PASSKEY],
        ['protect', 'off', 'store', '--yes', ...PASSKEY],
        ['protect', 'off', 'store', '--undo', ...PASSKEY],
        ['snapshots', 'store', ...PASSKEY],
      ];
      assert.equal((await addPasskey(place, page)).code, 0);
      const [[output, id]] = await eventually(() => {
        assert.ok(outputs.size > 0);
        return outputs;
      });
      assert.equal(outputs.size, 1, 'one passkey, one input, one output');
      writeFileSync(place.path('output.txt'), output, { mode: 0o600 });
      const secrets = {};
      const learn = (when) => {
        for (const [way, ...args] of [['recovery key', 'key.txt'], ['passkey', 'output.txt', id]]) {
          const found = derived(place.path('store'), ...args.map((arg) => (arg === id ? arg : place.path(arg))));
          for (const [name, secret] of Object.entries(found)) secrets[`${name} (by ${way}, ${when})`] = secret;
        }
      };
      learn('as added');
      for (const args of ceremonies) {
        const run = place.start(args);
        const file = await Promise.race([run.opening().catch(() => null), run.ended().then(() => null)]);
        if (file !== null) {
          await page.bringToFront();
          await page.goto(`file://${file}`).catch(() => {});
          await page.waitForURL(/^http:\/\/localhost/);
          await page.locator('#go').click();
        }
        const { code, stderr } = await run.ended();
        assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
        learn(args[1]);
      }
      place.home = 'new';
      const restore = await place.open(page, ['restore', 'store', '--to', 'out', ...PASSKEY]);
      await pressAll(page, RESTORE);
      await waitForTitle(page, UNLOCKED);
      assert.equal((await restore.ended()).code, 0);
      // A failure as well: what is said in answer to it.
      await authenticator.removeAll();
      const refused = await place.open(page, ['restore', 'store', '--to', 'other', ...PASSKEY]);
      await pressAll(page, RESTORE);
      assert.equal((await refused.ended()).code, 4);

      secrets['the recovery key'] = recoveryKey(place, 'key.txt');
      secrets['the second recovery key'] = recoveryKey(place, 'second.txt');
      secrets['what the passkey gave'] = Buffer.from(output, 'hex');
      const idKeys = Object.keys(secrets).filter((name) => name.startsWith('the chunk id key'));
      assert.equal(outputs.size, 1);
      const search = new Search(secrets);
      search.look('what left the browser', proxy.sent());
      search.look('what left the program', proxy.received());
      assert.ok(proxy.sent().includes('POST http://localhost:') && proxy.received().includes('"challenge":"'), 'loopback went through the proxy');
      for (const { said, file, form } of place.runs) {
        search.look('the terminal', Buffer.from(said.stdout + said.stderr));
        if (file) search.look('the opening file', Buffer.from(file + form));
      }
      search.lookInto(place.path('store'));
      assert.deepEqual(search.found, []);
      // What a device must know to add to the backup lies in its home, and is found there: the search sees.
      for (const home of ['home', 'new']) search.lookInto(place.path(home));
      assert.ok(search.found.length > 0);
      assert.deepEqual(search.found.filter(({ name, where }) => !idKeys.includes(name) || !/^repositories\/[^/]+\/writer$/.test(where)), []);
      assert.ok(search.looked > 500_000, `${search.looked} bytes`);
      await page.close();
    });
  }

  it('and the page asks nobody but the program', async () => {
    const place = new Place();
    places.push(place);
    const { page } = await watched('prf');
    const asked = new Set();
    page.on('request', (request) => { asked.add(new URL(request.url()).origin); });
    page.on('websocket', () => { asked.add('a socket'); });
    assert.equal((await firstBackup(place)).code, 0);
    assert.equal((await addPasskey(place, page)).code, 0);
    assert.deepEqual([...asked].sort(), ['null', place.runs.at(-1).origin].sort(), 'the opening file, and the program');
    await page.close();
  });

  it('nor does the browser keep it in its profile', async () => {
    const own = await startBrowser();
    const place = new Place();
    places.push(place);
    const outputs = [];
    const { page } = await tab(own, {
      arrange: async (fresh) => {
        await fresh.exposeFunction('sawOutput', (bytes) => { outputs.push(Buffer.from(bytes)); });
        await fresh.addInitScript(() => {
          const real = PublicKeyCredential.prototype.getClientExtensionResults;
          PublicKeyCredential.prototype.getClientExtensionResults = function () {
            const results = real.call(this);
            if (results.prf?.results?.first) window.sawOutput([...new Uint8Array(results.prf.results.first)]);
            return results;
          };
        });
      },
    });
    assert.equal((await firstBackup(place)).code, 0);
    const { code, stderr } = await addPasskey(place, page);
    assert.equal(code, 0, stderr);
    await eventually(() => assert.ok(outputs.length > 0));
    const token = /name="token" value="([0-9a-f]{64})"/.exec(place.runs.at(-1).form)[1];
    const search = new Search({
      'what the passkey gave': outputs[0], 'the recovery key': recoveryKey(place, 'key.txt'), 'the token': Buffer.from(token, 'hex'),
    });
    await page.close();
    await own.context.close();
    search.lookInto(own.profile);
    await own.close();
    assert.ok(search.looked > 100_000, `${search.looked} bytes`);
    assert.deepEqual(search.found, []);
  });
});

it('the search finds what a page gives away on purpose, in each form', async () => {
  const place = new Place();
  places.push(place);
  const forms = Object.keys(FORMS);
  const { page, outputs } = await watched('prf');
  await page.exposeFunction('written', (at, bytes) => FORMS[forms[at]](bytes)
    .map((text) => [...Buffer.concat([Buffer.from('{"x":"ab'), Buffer.from(text), Buffer.from('yz"}')])]));
  // Over the network, out of the very place where the page reads what the passkey gave.
  await page.addInitScript((count) => {
    const real = PublicKeyCredential.prototype.getClientExtensionResults;
    PublicKeyCredential.prototype.getClientExtensionResults = function () {
      const results = real.call(this);
      const first = results.prf?.results?.first;
      if (!first || window.leaked) return results;
      const secret = [...new Uint8Array(first)];
      window.leaked = (async () => {
        for (let at = 0; at < count; at += 1) {
          for (const body of await window.written(at, secret)) {
            // The program may be gone by now. The proxy hears it, and says that nobody is there.
            await fetch(`/leak-${at}-`, { method: 'POST', body: Uint8Array.from(body) }).catch(() => {});
          }
        }
      })();
      return results;
    };
  }, forms.length);
  assert.equal((await firstBackup(place)).code, 0);
  const before = proxy.sent().length;
  assert.equal((await addPasskey(place, page)).code, 0);
  // The page is alive when the program is gone: its server does not answer any more, the proxy hears it.
  await page.evaluate(() => window.leaked);
  const sent = proxy.sent().subarray(before);
  const search = new Search({ 'what the passkey gave': Buffer.from([...outputs.keys()][0], 'hex') });
  search.look('the page', sent);
  assert.deepEqual([...new Set(search.found.map(({ form }) => form))].sort(), [...forms].sort());
  await page.close();
});

for (const [form, write] of Object.entries(FORMS)) {
  it(`and finds half of it, wherever it lies: ${form}`, () => {
    const secret = Buffer.from(Array.from({ length: 32 }, (_, at) => (at * 37 + 129) & 255));
    for (const half of [secret.subarray(0, 16), secret.subarray(16)]) {
      for (const before of ['', 'a', 'ab', '{"key":"']) {
        for (const text of write([...half])) {
          const search = new Search({ secret });
          search.look('here', Buffer.concat([Buffer.from(before), Buffer.from(text), Buffer.from('"}')]));
          assert.ok(search.found.some((one) => one.form === form));
        }
      }
    }
    const other = new Search({ secret: Buffer.alloc(32, 201) });
    for (const text of write([...secret])) other.look('here', Buffer.from(text));
    assert.deepEqual(other.found, []);
  });
}
