// The page of a passkey ceremony. It shows what the program says, asks the browser, and hands the
// answer back sealed. It decides nothing: the program verifies. See docs/ceremony.md.
'use strict';

const utf8 = (text) => new TextEncoder().encode(text);

function concat(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

// Each field with its length before it, as 4 bytes.
function joined(...fields) {
  return concat(...fields.flatMap((field) => {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, field.length);
    return [length, field];
  }));
}

const fromHex = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const toText = (bytes) => btoa(Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join(''))
  .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
const fromText = (text) => Uint8Array.from(
  atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0));

// ---- HMAC, HKDF and HPKE (RFC 9180, PSK mode) on WebCrypto ----

async function hmac(key, data) {
  // HMAC pads its key with zeros: an empty one, which WebCrypto refuses, is the same as 32 of them.
  const raw = key.length === 0 ? new Uint8Array(32) : key;
  const imported = await crypto.subtle.importKey('raw', raw, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', imported, data));
}

// HKDF-Expand for at most one block.
const expand = async (key, info, length) => (await hmac(key, concat(info, [1]))).slice(0, length);
const derive = async (key, label) => expand(await hmac(new Uint8Array(0), key), utf8(label), 32);

const two = (number) => [number >> 8, number & 255];
const VERSION = utf8('HPKE-v1');
const labeledExtract = (suite, salt, label, ikm) =>
  hmac(salt, concat(VERSION, suite, utf8(label), ikm));
const labeledExpand = (suite, key, label, info, length) =>
  expand(key, concat(two(length), VERSION, suite, utf8(label), info), length);

const X_WING = 0x647a;
const X25519 = 0x0020;
const HKDF_SHA256 = 0x0001;
const AES_256_GCM = 0x0002;
const MODE_PSK = 1;

// RFC 9180, section 5.1 (KeySchedule) and 5.2 (Seal, sequence number 0).
async function hpkeSeal(kem, shared, psk, pskId, info, aad, plaintext) {
  const suite = concat(utf8('HPKE'), two(kem), two(HKDF_SHA256), two(AES_256_GCM));
  const none = new Uint8Array(0);
  const pskIdHash = await labeledExtract(suite, none, 'psk_id_hash', pskId);
  const infoHash = await labeledExtract(suite, none, 'info_hash', info);
  const context = concat([MODE_PSK], pskIdHash, infoHash);
  const secret = await labeledExtract(suite, shared, 'secret', psk);
  const key = await labeledExpand(suite, secret, 'key', context, 32);
  const nonce = await labeledExpand(suite, secret, 'base_nonce', context, 12);
  const aes = await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt']);
  const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv: nonce, additionalData: aad }, aes, plaintext);
  for (const gone of [secret, key, nonce]) gone.fill(0);
  return new Uint8Array(sealed);
}

async function x25519(publicKey) {
  const mine = await crypto.subtle.generateKey({ name: 'X25519' }, true, ['deriveBits']);
  const theirs = await crypto.subtle.importKey('raw', publicKey, { name: 'X25519' }, true, []);
  const shared = await crypto.subtle.deriveBits({ name: 'X25519', public: theirs }, mine.privateKey, 256);
  const sent = await crypto.subtle.exportKey('raw', mine.publicKey);
  return { shared: new Uint8Array(shared), sent: new Uint8Array(sent) };
}

// DHKEM(X25519, HKDF-SHA256), RFC 9180, section 4.1.
async function encapsulateX25519(publicKey) {
  const { shared, sent } = await x25519(publicKey);
  const suite = concat(utf8('KEM'), two(X25519));
  const prk = await labeledExtract(suite, new Uint8Array(0), 'eae_prk', shared);
  const secret = await labeledExpand(suite, prk, 'shared_secret', concat(sent, publicKey), 32);
  shared.fill(0);
  prk.fill(0);
  return { shared: secret, encapsulated: sent };
}

const ML_KEM_PUBLIC = 1184;
const X_WING_LABEL = utf8('\\.//^\\');

// X-Wing (draft-connolly-cfrg-xwing-kem): X25519 and ML-KEM-768, joined by SHA3-256.
async function encapsulateXWing(publicKey) {
  const name = 'ML-KEM-768';
  const mlKem = publicKey.slice(0, ML_KEM_PUBLIC);
  const curve = publicKey.slice(ML_KEM_PUBLIC);
  const imported = await crypto.subtle.importKey('raw-public', mlKem, { name }, true, ['encapsulateBits']);
  const first = await crypto.subtle.encapsulateBits({ name }, imported);
  const firstShared = new Uint8Array(first.sharedKey);
  const second = await x25519(curve);
  const shared = sha3(concat(firstShared, second.shared, second.sent, curve, X_WING_LABEL));
  firstShared.fill(0);
  second.shared.fill(0);
  return { shared, encapsulated: concat(new Uint8Array(first.ciphertext), second.sent) };
}

// SHA3-256 (FIPS 202) of at most 135 bytes, which is one block: WebCrypto has no SHA-3 yet.
function sha3(data) {
  if (data.length > 135) throw new RangeError('one block only');
  const block = new Uint8Array(200);
  block.set(data);
  block[data.length] ^= 6;
  block[135] ^= 128;
  const view = new DataView(block.buffer);
  const mask = (1n << 64n) - 1n;
  const turn = (lane, by) => (by === 0n ? lane : ((lane << by) | (lane >> (64n - by))) & mask);
  let a = Array.from({ length: 25 }, (_, i) => view.getBigUint64(8 * i, true));
  let lfsr = 1;
  for (let round = 0; round < 24; round++) {
    const c = [0, 1, 2, 3, 4].map((x) => a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20]);
    a = a.map((lane, i) => lane ^ c[(i + 4) % 5] ^ turn(c[(i + 1) % 5], 1n));
    const b = [...a];
    let [x, y] = [1, 0];
    for (let t = 1; t <= 24; t++) {
      const by = BigInt(((t * (t + 1)) / 2) % 64);
      const lane = a[x + 5 * y];
      [x, y] = [y, (2 * x + 3 * y) % 5];
      b[x + 5 * y] = turn(lane, by);
    }
    a = b.map((lane, i) => {
      const row = 5 * Math.floor(i / 5);
      return lane ^ (~b[row + ((i + 1) % 5)] & mask & b[row + ((i + 2) % 5)]);
    });
    for (let j = 0; j < 7; j++) {
      if (lfsr & 1) a[0] ^= 1n << ((1n << BigInt(j)) - 1n);
      lfsr = lfsr & 128 ? ((lfsr << 1) ^ 0x171) : lfsr << 1;
    }
  }
  a.slice(0, 4).forEach((lane, i) => view.setBigUint64(8 * i, lane, true));
  const digest = block.slice(0, 32);
  block.fill(0);
  return digest;
}

// ---- What leaves the page ----

const LABEL = 'heirloom/v1/ceremony/';

// The strongest way of sealing that this browser has.
async function encapsulate(keys) {
  try {
    if (typeof crypto.subtle.encapsulateBits === 'function') {
      return { suite: X_WING, ...await encapsulateXWing(fromText(keys.xWing)) };
    }
  } catch (error) {
    if (error.name !== 'NotSupportedError' && !(error instanceof TypeError)) throw error;
  }
  return { suite: X25519, ...await encapsulateX25519(fromText(keys.x25519)) };
}

// The one place that touches what a passkey gives. Fields are picked by hand: a credential's own JSON
// form holds the secret, and so do the results of its extensions. The secret is sealed at once and wiped.
async function answerOf(credential, view, psk) {
  const { rawId, response } = credential;
  const prf = credential.getClientExtensionResults().prf;
  if (view.kind === 'create') {
    return {
      kind: 'created',
      step: view.number,
      id: toText(rawId),
      clientData: toText(response.clientDataJSON),
      attestationObject: toText(response.attestationObject),
      transports: (response.getTransports?.() ?? []).slice(0, 8),
      prfEnabled: prf?.enabled ?? null,
    };
  }
  const plaintext = new Uint8Array(33);
  const first = prf?.results?.first;
  if (first !== undefined && first.byteLength === 32) {
    const secret = ArrayBuffer.isView(first)
      ? new Uint8Array(first.buffer, first.byteOffset, first.byteLength) : new Uint8Array(first);
    plaintext[0] = 1;
    plaintext.set(secret, 1);
    secret.fill(0);
  }
  const { suite, shared, encapsulated } = await encapsulate(view.keys);
  const info = joined(utf8(`${LABEL}seal`), fromText(view.options.challenge));
  const aad = joined(...[rawId, response.clientDataJSON, response.authenticatorData, response.signature]
    .map((field) => new Uint8Array(field)));
  const sealed = await hpkeSeal(suite, shared, psk, utf8(`${LABEL}page`), info, aad, plaintext);
  plaintext.fill(0);
  shared.fill(0);
  return {
    kind: 'asserted',
    step: view.number,
    id: toText(rawId),
    clientData: toText(response.clientDataJSON),
    authenticatorData: toText(response.authenticatorData),
    signature: toText(response.signature),
    suite,
    encapsulated: toText(encapsulated),
    sealed: toText(sealed),
  };
}

// ---- A whole answer, from the page of a server to the program ----

const HANDOVER = 'heirloom/v1/handover';

// What tells the program's keys of one hand-over from all others.
async function keysHash(keys) {
  const fields = joined(utf8(`${HANDOVER}/keys`), fromText(keys.xWing), fromText(keys.x25519));
  return new Uint8Array(await crypto.subtle.digest('SHA-256', fields));
}

// 8 bytes, the highest first.
function long(number) {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(number));
  return out;
}

// Filled up with spaces, so that its length does not tell what was answered.
async function sealMessage(message, keys, psk) {
  const text = JSON.stringify(message);
  const plaintext = utf8(text.padEnd(Math.ceil(text.length / 4096) * 4096));
  const { suite, shared, encapsulated } = await encapsulate(keys);
  const info = joined(utf8(`${HANDOVER}/answer`), await keysHash(keys));
  const sealed = await hpkeSeal(suite, shared, psk, utf8(HANDOVER), info, long(message.step), plaintext);
  shared.fill(0);
  plaintext.fill(0);
  return { suite, encapsulated: toText(encapsulated), sealed: toText(sealed) };
}

// ---- Options of the browser's own dialog ----

const listed = (list) => list.map(({ id, transports }) => (
  { type: 'public-key', id: fromText(id), ...(transports.length ? { transports } : {}) }));

function optionsOf(view) {
  const { options } = view;
  const prf = options.prfInput === null ? {} : { eval: { first: fromText(options.prfInput) } };
  const common = { challenge: fromText(options.challenge), timeout: options.timeout, extensions: { prf } };
  if (view.kind === 'get') {
    return {
      ...common,
      rpId: options.rpId,
      userVerification: 'required',
      allowCredentials: listed(options.allow),
    };
  }
  return {
    ...common,
    rp: { id: options.rpId, name: options.rpName },
    user: { id: fromText(options.userId), name: options.userName, displayName: options.displayName },
    pubKeyCredParams: options.algorithms.map((alg) => ({ type: 'public-key', alg })),
    authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
    excludeCredentials: listed(options.exclude),
    attestation: 'none',
  };
}

// What the person answers in the browser's own dialog, as a message to the program; null when nobody waits any more.
async function messageOf(view, psk, signal) {
  if (typeof PublicKeyCredential === 'undefined' || !crypto.subtle) {
    return { kind: 'lacks', step: view.number, what: 'passkeys' };
  }
  try {
    const publicKey = optionsOf(view);
    const credential = view.kind === 'create'
      ? await navigator.credentials.create({ publicKey, signal })
      : await navigator.credentials.get({ publicKey, signal });
    return await answerOf(credential, view, psk);
  } catch (error) {
    if (signal.aborted) return null;
    const name = /^[A-Za-z]{1,40}$/.test(error?.name ?? '') ? error.name : 'Error';
    return { kind: 'failed', step: view.number, name };
  }
}

// ---- The page itself ----

const STORED = 'heirloom-page';
const at = (id) => document.getElementById(id);

// The key came with the page, once. A reload brings none: for that moment alone it is put aside.
function takeKey() {
  const meta = document.querySelector('meta[name=heirloom-key]');
  const given = meta.content || sessionStorage.getItem(STORED) || '';
  meta.remove();
  sessionStorage.removeItem(STORED);
  return /^[0-9a-f]{64}$/.test(given) ? given : null;
}

function show({ backup, step, title, text, note, button, cancel, good, forget }) {
  document.title = `${title} – Heirloom`;
  if (backup !== undefined) at('backup').textContent = backup === '' ? '' : `· ${backup}`;
  at('title').textContent = title;
  at('title').className = good === undefined ? '' : good ? 'good' : 'bad';
  at('text').replaceChildren(...text.map((line) => {
    const paragraph = document.createElement('p');
    paragraph.textContent = line;
    return paragraph;
  }));
  for (const [id, words] of [['step', step], ['note', note], ['go', button]]) {
    at(id).hidden = !words;
    at(id).textContent = words ?? '';
  }
  at('go').disabled = false;
  at('cancel').hidden = !cancel;
  at('cancel').disabled = false;
  at('forget').hidden = !forget;
  at('status').textContent = '';
  // What is new is read out; the button comes next.
  at('title').focus();
}

// What the page of a server brought back, in the part of the address that no browser sends.
function takeHanded() {
  const parts = /^#(\d{1,15})\.(\d{1,5})\.([\w-]{1,2000})\.([\w-]{1,30000})$/.exec(location.hash);
  if (parts === null) return null;
  const [, step, suite, encapsulated, sealed] = parts;
  return { kind: 'handed', step: Number(step), suite: Number(suite), encapsulated, sealed };
}

async function main() {
  const key = takeKey();
  const handed = takeHanded();
  history.replaceState(null, '', '/');
  if (key === null) {
    show({ title: 'This page is opened from Heirloom', text: ['Go back to Heirloom. It opens the page for you.'], good: false });
    return;
  }
  const secret = fromHex(key);
  const bearer = `Heirloom ${toHex(await derive(secret, `${LABEL}bearer`))}`;
  const psk = await derive(secret, `${LABEL}psk`);
  const send = (path, body, more = {}) => fetch(path, {
    method: 'POST',
    headers: { Authorization: bearer, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    ...more,
  });

  let view = null;
  let dialog = null;
  let over = false;

  addEventListener('pagehide', () => {
    if (over) return;
    sessionStorage.setItem(STORED, key);
    send('/leaving', {}, { keepalive: true }).catch(() => {});
  });
  addEventListener('pageshow', (event) => {
    if (event.persisted) location.reload();
  });

  const ended = (title, text) => {
    over = true;
    dialog?.abort();
    show({ title, text: [text], good: false });
  };
  const hand = async (message) => {
    at('go').disabled = true;
    at('cancel').disabled = true;
    at('status').textContent = 'Checking…';
    try {
      await send('/answer', message);
    } catch {
      // The poll notices as well, and says so.
    }
  };

  at('go').addEventListener('click', async () => {
    if (view === null || dialog !== null) return;
    const asked = view;
    if (asked.kind === 'leave') {
      location.replace(asked.site);
      return;
    }
    dialog = new AbortController();
    const { signal } = dialog;
    at('go').disabled = true;
    at('status').textContent = 'Waiting for you in your browser’s own window…';
    const message = await messageOf(asked, psk, signal);
    if (message === null) return;
    dialog = null;
    if (asked === view) await hand(message);
  });

  at('cancel').addEventListener('click', async () => {
    const cancelled = view;
    if (cancelled === null) return;
    dialog?.abort();
    await hand({ kind: 'cancelled', step: cancelled.number });
  });

  at('forget').addEventListener('click', async () => {
    const { rpId, credentialId } = view.forget;
    at('forget').disabled = true;
    try {
      await PublicKeyCredential.signalUnknownCredential({ rpId, credentialId });
      at('status').textContent = 'Your password manager was told to delete it.';
    } catch {
      at('status').textContent = 'That didn’t work. You can delete it in your password manager.';
    }
  });

  if (handed !== null) {
    view = { number: handed.step };
    show({ title: 'One moment…', text: [] });
    await hand(handed);
  }

  let misses = 0;
  while (!over) {
    try {
      const answer = await fetch(view === null ? '/next' : `/next?after=${view.number}`, { headers: { Authorization: bearer } });
      if (answer.status === 200) {
        dialog?.abort();
        dialog = null;
        view = await answer.json();
        // Only the page of its own relying party may have a passkey deleted.
        const canForget = typeof PublicKeyCredential?.signalUnknownCredential === 'function';
        if (view.forget && (!canForget || view.forget.rpId !== location.hostname)) view.forget = null;
        over = view.kind === 'end';
        show(view);
        if (view.kind === 'leave') location.replace(view.site);
      } else if (answer.status !== 204) {
        ended('This page is opened from Heirloom', 'Go back to Heirloom. It opens the page for you.');
      }
      misses = 0;
    } catch {
      misses += 1;
      if (misses > 3) ended('Heirloom has stopped', 'Go back to Heirloom and start again. Nothing was changed by this page.');
      else await new Promise((done) => { setTimeout(done, 400 * misses); });
    }
  }
}

if (typeof document !== 'undefined' && document.querySelector('meta[name=heirloom-key]')) main();
