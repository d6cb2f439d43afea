// The page on which a passkey signs in to this server, or is saved to do so. It decides nothing: the server verifies,
// and what it gives back is worth nothing without what only the program knows. See docs/vault.md, section 7.
'use strict';

const $ = (id) => document.getElementById(id);
const meta = (name) => document.querySelector(`meta[name="heirloom-${name}"]`).content;
const session = meta('session');
const port = meta('port');
const state = meta('state');

const toText = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)))
  .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
const fromText = (text) => Uint8Array.from(
  atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0));

async function post(path, body) {
  const answer = await fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    credentials: 'omit',
    cache: 'no-store',
    redirect: 'error',
  });
  const said = await answer.json();
  if (!answer.ok) throw new Refusal(said.code);
  return said;
}

class Refusal extends Error {}

function show(title, text, button = null) {
  $('title').textContent = title;
  $('text').textContent = text;
  $('status').textContent = '';
  $('go').hidden = button === null;
  $('go').disabled = false;
  if (button !== null) $('go').textContent = button;
  $('title').focus();
}

const OVER = ['This page is no longer good', 'Go back to Heirloom and start again.'];

// Only these members leave the page: none of the browser's own summaries, which may hold more.
async function ask(options) {
  const challenge = fromText(options.challenge);
  if (options.create === null) {
    const got = await navigator.credentials.get({
      publicKey: { challenge, rpId: options.rp_id, userVerification: 'required', timeout: 240000 },
    });
    return {
      session,
      id: toText(got.rawId),
      client_data: toText(got.response.clientDataJSON),
      attestation: null,
      assertion: {
        authenticator_data: toText(got.response.authenticatorData),
        signature: toText(got.response.signature),
        user_handle: toText(got.response.userHandle ?? new ArrayBuffer(0)),
      },
    };
  }
  const made = await navigator.credentials.create({
    publicKey: {
      challenge,
      rp: { id: options.rp_id, name: options.rp_name },
      user: { id: fromText(options.create.user_id), name: options.create.user_name, displayName: options.create.user_name },
      pubKeyCredParams: [-7, -257, -8].map((alg) => ({ type: 'public-key', alg })),
      excludeCredentials: options.create.exclude.map((id) => ({ type: 'public-key', id: fromText(id) })),
      authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
      attestation: 'none',
      timeout: 240000,
    },
  });
  return {
    session,
    id: toText(made.rawId),
    client_data: toText(made.response.clientDataJSON),
    attestation: toText(made.response.attestationObject),
    assertion: null,
  };
}

async function go(options) {
  $('go').disabled = true;
  $('status').textContent = 'Your browser asks for your fingerprint, face or screen lock.';
  let answer;
  try {
    answer = await ask(options);
  } catch (error) {
    if (error.name === 'InvalidStateError') {
      show('There is a passkey already', 'This password manager has a passkey that signs in to this account. Choose another one, or close this page.', 'Try again');
    } else {
      show("That didn't work", 'If you cancelled, try again. If the passkey is no longer in your password manager, sign in another way.', 'Try again');
    }
    return;
  }
  try {
    const { code } = await post('/v1/signin/answer', answer);
    // Back to the program, which listens on this computer. Whoever else reads this address can do nothing with it.
    location.replace(`http://127.0.0.1:${port}/?${new URLSearchParams({ code, state })}`);
  } catch (error) {
    if (error instanceof Refusal && error.message === 'not-let-in') {
      show('This passkey does not sign in here', options.create === null
        ? 'Passkeys that open a backup do not sign in. Go back to Heirloom and start again with another passkey, or sign in another way.'
        : 'It was not saved here, and you can delete it. Go back to Heirloom and start again.');
    } else {
      show(...OVER);
    }
  }
}

async function begin() {
  if (typeof PublicKeyCredential === 'undefined') {
    show("This browser can't use passkeys", 'Open the page in another browser, or sign in another way.');
    return;
  }
  let options;
  try {
    options = await post('/v1/signin/options', { session });
  } catch {
    show(...OVER);
    return;
  }
  // Begun for another device's page, which says whom it lets in: this one does not.
  if (options.device !== null) {
    show(...OVER);
    return;
  }
  $('where').textContent = options.rp_name;
  if (options.create === null) {
    show(`Sign in to ${options.rp_name}`, 'Use the passkey that you saved to sign in. It opens what is stored here, never a backup.', 'Sign in');
  } else {
    show(`Save a passkey to sign in to ${options.rp_name}`, 'A new computer then gets in with your fingerprint, face or screen lock. It opens what is stored here, never a backup.', 'Save the passkey');
  }
  $('go').addEventListener('click', () => go(options));
}

begin();
