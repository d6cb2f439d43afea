// The page's own pieces of cryptography, held against Node's. What both halves do together is held by
// every ceremony in a browser: nothing opens otherwise.

import assert from 'node:assert/strict';
import { createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { createContext, runInContext } from 'node:vm';

const script = readFileSync(new URL('../../crates/ceremony/src/page/ceremony.js', import.meta.url), 'utf8');
const page = createContext({ crypto, TextEncoder, btoa, atob });
runInContext(`${script}; globalThis.parts = { sha3, hmac, derive, joined, toText, fromText };`, page);
const { parts } = page;
const hex = (bytes) => Buffer.from(bytes).toString('hex');

it('SHA3-256 of every length that fits one block', () => {
  for (let length = 0; length <= 135; length++) {
    const data = randomBytes(length);
    assert.equal(hex(parts.sha3(new Uint8Array(data))), createHash('sha3-256').update(data).digest('hex'), `${length}`);
  }
  assert.throws(() => parts.sha3(new Uint8Array(136)), /one block only/);
});

it('SHA3-256 of FIPS 202', () => {
  assert.equal(hex(parts.sha3(new Uint8Array(0))), 'a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a');
});

it('HMAC with an empty key, which WebCrypto refuses', async () => {
  for (const key of [Buffer.alloc(0), randomBytes(32)]) {
    assert.equal(hex(await parts.hmac(new Uint8Array(key), new Uint8Array(3))), createHmac('sha256', key).update(Buffer.alloc(3)).digest('hex'));
  }
});

it('HKDF-SHA256 of one block without salt', async () => {
  const key = randomBytes(32);
  const expected = hkdfSync('sha256', key, Buffer.alloc(0), 'heirloom/v1/ceremony/psk', 32);
  assert.equal(hex(await parts.derive(new Uint8Array(key), 'heirloom/v1/ceremony/psk')), hex(expected));
});

it('lengths and base64url', () => {
  assert.equal(hex(parts.joined(new Uint8Array([1, 2]), new Uint8Array(0))), '00000002010200000000');
  const bytes = randomBytes(200);
  assert.equal(parts.toText(bytes), bytes.toString('base64url'));
  assert.equal(hex(parts.fromText(bytes.toString('base64url'))), hex(bytes));
});
