// The page of a ceremony on the domain that passkeys are for. What it asks came in the part of the address that no
// browser sends; what it answers is sealed to the program. It decides nothing. See docs/ceremony.md, section 9.
'use strict';

const KEPT = 'heirloom-handover';
const STOPPED = ['Heirloom has stopped', 'Go back to your computer and start again. Nothing was changed by this page.'];
const LOOK_MS = 1000;

// The address keeps nothing. A reload brings none: for that moment alone it is put aside.
function takeFragment() {
  const given = location.hash.slice(1) || sessionStorage.getItem(KEPT) || '';
  sessionStorage.removeItem(KEPT);
  history.replaceState(null, '', '/ceremony');
  return given;
}

async function post(path, body) {
  const answer = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    credentials: 'omit',
    cache: 'no-store',
    redirect: 'error',
  });
  if (answer.ok) return answer.json();
  const { code } = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(), { status: answer.status, code });
}
const postTo = (path, body) => post(`/v1/handovers/${path}`, body);
const pause = () => new Promise((done) => { setTimeout(done, LOOK_MS); });

const isOver = ({ status }) => status === 404;
function end(title, ...text) {
  removeEventListener('pagehide', keep);
  at('code').hidden = true;
  show({ title, text, good: false });
}

const tidy = (view) => {
  const canForget = typeof PublicKeyCredential?.signalUnknownCredential === 'function';
  return canForget ? view : { ...view, forget: null };
};

// Shows a view; `give` gets the message of whoever answers it.
function present(view, psk, give) {
  const shown = tidy(view);
  show(shown);
  at('code').hidden = !view.code;
  at('code').textContent = view.code
    ? `The computer that asks shows the code ${view.code}. Go on only if you see it there and began this yourself: else somebody else asks, and gets to read your chats.` : '';
  let dialog = null;
  at('go').onclick = async () => {
    if (dialog !== null) return;
    dialog = new AbortController();
    const { signal } = dialog;
    at('go').disabled = true;
    at('status').textContent = 'Waiting for you in your browser’s own window…';
    const message = await messageOf(view, psk, signal);
    dialog = null;
    if (message !== null) await give(message);
  };
  at('cancel').onclick = async () => {
    dialog?.abort();
    await give({ kind: 'cancelled', step: view.number });
  };
  at('forget').onclick = async () => {
    at('forget').disabled = true;
    try {
      await PublicKeyCredential.signalUnknownCredential(shown.forget);
      at('status').textContent = 'Your password manager was told to delete it.';
    } catch {
      at('status').textContent = 'That didn’t work. You can delete it in your password manager.';
    }
  };
  return () => dialog?.abort();
}

function wait() {
  at('go').disabled = true;
  at('cancel').disabled = true;
  at('status').textContent = 'Checking…';
}

// The browser of the computer that asks: one step, and back to the program by the address of this computer.
async function here(request) {
  const { port, psk, keys, view } = JSON.parse(new TextDecoder().decode(fromText(request)));
  const isAsked = Number.isInteger(port) && port >= 1024 && port <= 65535 && (view.kind === 'create' || view.kind === 'get');
  if (!isAsked) throw new TypeError('not a request');
  const secret = await derive(fromText(psk), `${HANDOVER}/psk`);
  view.keys = keys;
  delete view.code;
  let given = false;
  present(view, secret, async (message) => {
    if (given) return;
    given = true;
    wait();
    const { suite, encapsulated, sealed } = await sealMessage(message, keys, secret);
    removeEventListener('pagehide', keep);
    location.replace(`http://localhost:${port}/back#${message.step}.${suite}.${encapsulated}.${sealed}`);
  });
}

// Opens a request of the relay: only who made the QR code can have sealed it.
async function opened(request, key, session, hash, number) {
  const iv = concat(new Uint8Array(4), long(number));
  const additionalData = joined(utf8(`${HANDOVER}/request`), session, hash, long(number));
  const text = await crypto.subtle.decrypt({ name: 'AES-GCM', iv, additionalData }, key, fromText(request));
  const view = JSON.parse(new TextDecoder().decode(text));
  if (view.number !== number) throw new TypeError('another request');
  return view;
}

const SOMEBODY = ['This is not the computer whose code you scanned', 'Somebody may be in between. Nothing was sent. Begin again on the computer, and scan its new code.'];

// ---- Letting a computer in that is not signed in ----

const NO_LONGER = ['This code is no longer good', 'Begin again on the computer, and scan its new code.'];
// Whoever was let in by mistake is out as soon as this is done.
const SIGN_OUT = 'If that was a mistake, sign it out now: on one of your computers, “heirloom devices” lists it, and “--remove” ends it.';

// Whether the relay has an answer now: one that was lost on the way is sent again.
async function hand(answer, session, number) {
  for (let tries = 0; tries < 5; tries++) {
    try {
      await postTo('answer', { session, number, answer });
      return true;
    } catch (error) {
      // A second answer is refused: ours was the first, or somebody else's.
      if (error.status === 409) return tries > 0;
      if (isOver(error)) return false;
    }
    await pause();
  }
  return false;
}

// Only these members leave the page.
async function signed(options, session, signal) {
  const { rawId, response } = await navigator.credentials.get({
    publicKey: { challenge: fromText(options.challenge), rpId: options.rp_id, userVerification: 'required', timeout: 240000 },
    signal,
  });
  return {
    session,
    id: toText(rawId),
    client_data: toText(response.clientDataJSON),
    attestation: null,
    assertion: {
      authenticator_data: toText(response.authenticatorData),
      signature: toText(response.signature),
      user_handle: toText(response.userHandle ?? new ArrayBuffer(0)),
    },
  };
}

// Every word here is the page's or the server's: whoever made the QR code may be a stranger. `give` seals a message to the
// computer. What it gives: how to stop, and what to show when the computer says how it ended, or says nothing any more.
async function letIn(view, session, give) {
  let options;
  try {
    options = await post('/v1/signin/options', { session });
  } catch (error) {
    end(...isOver(error) ? NO_LONGER : STOPPED);
    return null;
  }
  if (options.device === null || options.create !== null) {
    end(...SOMEBODY);
    return null;
  }
  const name = `“${options.device}”`;
  const asks = {
    title: `Let ${name} into your account?`,
    text: [
      `A computer that calls itself ${name} asks to sign in to ${options.rp_name} as you. It shows the code ${view.code}.`,
      'It then gets what is stored in your account there, can add to it and delete it, and can let others in. By that alone it opens no backup.',
    ],
    note: 'Go on only if you began this yourself, just now, on a computer in front of you. Did somebody send you this code or link, or ask you to scan it? Then cancel: it would let them into your account.',
    button: 'Let it in',
    cancel: true,
  };
  let dialog = null;
  let isIn = false;
  let isOut = false;
  const ask = (more = {}) => show({ ...asks, ...more });
  ask();
  at('go').onclick = async () => {
    if (dialog !== null || isIn) return;
    dialog = new AbortController();
    const { signal } = dialog;
    at('go').disabled = true;
    at('status').textContent = 'Waiting for you in your browser’s own window…';
    let answer = null;
    try {
      answer = await signed(options, session, signal);
    } catch {
      if (!signal.aborted && !isOut) ask({ button: 'Try again' });
      if (!signal.aborted && !isOut) at('status').textContent = 'That didn’t work. If you cancelled, try again. If the passkey is no longer in your password manager, use another way on the computer.';
    }
    dialog = null;
    if (answer === null || isOut) return;
    wait();
    let code;
    try {
      ({ code } = await post('/v1/signin/answer', answer));
    } catch (error) {
      if (error.code === 'not-let-in') {
        isOut = true;
        end('This passkey does not sign in here', `${name} was not let in. Passkeys that open a backup do not sign in. Begin again on the computer and use another passkey, or another way.`);
        await give({ kind: 'failed', step: view.number, name: 'not-let-in' });
      } else if (isOver(error)) {
        isOut = true;
        end(...NO_LONGER);
      } else {
        ask({ button: 'Try again' });
        at('status').textContent = error.status === 429 ? 'Too many tries. Wait a minute.' : 'That didn’t work. Try again.';
      }
      return;
    }
    isIn = true;
    isIn = await give({ kind: 'signedin', step: view.number, code });
    // The computer may have been quicker.
    if (isOut) return;
    if (isIn) {
      show({ title: `You let ${name} in`, text: ['The computer goes on by itself, and says when it is signed in.', SIGN_OUT], good: true });
    } else {
      isOut = true;
      end(`${name} was not let in`, 'The answer did not reach the computer. Begin again on it, and scan its new code.');
    }
  };
  at('cancel').onclick = async () => {
    isOut = true;
    dialog?.abort();
    end(`${name} was not let in`, 'You cancelled. Nothing was changed.');
    await give({ kind: 'cancelled', step: view.number });
  };
  return {
    stop: () => {
      dialog?.abort();
      isOut = true;
    },
    // `good`: what the computer says of itself; null when it says nothing any more.
    ended: (good) => {
      const wasOut = isOut;
      isOut = true;
      dialog?.abort();
      removeEventListener('pagehide', keep);
      if (good === true && !isIn) end(`${name} was let in by somebody else`, 'The passkey of this device was not used. If that was not you either, the computer is in another account: sign it out there with “heirloom logout”, and begin again.');
      else if (good === true) show({ title: `${name} is signed in`, text: ['It stands in the list of your devices. You can close this page.', SIGN_OUT], good });
      else if (isIn) show({ title: `You let ${name} in`, text: ['It did not say that it is signed in. See whether the list of your devices has it.', SIGN_OUT], good: false });
      else if (!wasOut) end(...good === null ? STOPPED : [`${name} was not let in`, 'The computer gave up. It says why; nothing was changed.']);
    },
  };
}

// Another device than the computer that asks: step after step by the relay.
async function elsewhere(session, hashText, pskText) {
  const short = fromText(pskText);
  const hash = fromText(hashText);
  const psk = await derive(short, `${HANDOVER}/psk`);
  const key = await crypto.subtle.importKey('raw', await derive(short, `${HANDOVER}/request`), 'AES-GCM', false, ['decrypt']);
  let after = 0;
  let misses = 0;
  let stop = () => {};
  let letting = null;
  show({ title: 'One moment…', text: ['Waiting for the computer.'] });
  for (;;) {
    try {
      const { keys: given, number, request, sign_in: signIn } = await postTo('look', { session, after });
      misses = 0;
      if (number > after && request !== null) {
        const keys = { xWing: given.x_wing, x25519: given.x25519 };
        if (toText(await keysHash(keys)) !== toText(hash)) {
          end(...SOMEBODY);
          return;
        }
        let view;
        try {
          view = await opened(request, key, fromText(session), hash, number);
        } catch {
          end(...SOMEBODY);
          return;
        }
        after = number;
        const isSignIn = view.kind === 'signin';
        if (signIn !== null) {
          // Whoever is not signed in asks for one sign-in, which the server knows as well, and for nothing else.
          if (view.kind === 'end') {
            if (letting === null) end(...STOPPED);
            else letting.ended(view.good);
            return;
          }
          if (!isSignIn || view.signIn !== signIn || letting !== null) {
            letting?.stop();
            end(...SOMEBODY);
            return;
          }
          letting = await letIn(view, signIn, async (message) => hand(await sealMessage(message, keys, psk), session, number));
          if (letting === null) return;
          continue;
        }
        if (isSignIn) {
          end(...SOMEBODY);
          return;
        }
        stop();
        view.keys = keys;
        stop = present(view, psk, async (message) => {
          wait();
          const answer = await sealMessage(message, keys, psk);
          await postTo('answer', { session, number, answer }).catch(() => {});
        });
        if (view.kind === 'end') {
          removeEventListener('pagehide', keep);
          return;
        }
      }
    } catch (error) {
      misses += 1;
      if (isOver(error) || misses > 20) {
        stop();
        if (letting === null) end(...STOPPED);
        else letting.ended(null);
        return;
      }
    }
    await pause();
  }
}

// Nobody scanned anything: a code only says that somebody waits, and not who.
function typed() {
  show({ title: 'Enter the code', text: ['Heirloom on your computer shows a QR code and eight letters.'] });
  at('typed').hidden = false;
  at('typed').addEventListener('submit', async (event) => {
    event.preventDefault();
    let found = false;
    try {
      await postTo('find', { code: at('typed-code').value });
      found = true;
    } catch (error) {
      if (!isOver(error)) {
        at('status').textContent = error.status === 429 ? 'Too many tries. Wait a minute.' : 'That didn’t work. Try again.';
        return;
      }
    }
    if (found) {
      at('typed').hidden = true;
      show({
        title: 'A computer waits under this code',
        text: [
          'The code alone opens nothing: anybody could have given it to you.',
          'Scan the QR code that your computer shows, with the camera of this device. If it has none, open the address below the QR code on it.',
        ],
      });
    } else {
      at('status').textContent = 'No computer waits under this code. Codes are good for 10 minutes.';
    }
  });
}

let fragment = '';
const keep = () => sessionStorage.setItem(KEPT, fragment);

async function begin() {
  fragment = takeFragment();
  if (fragment !== '') addEventListener('pagehide', keep);
  // Another link in the same tab changes the part behind `#` alone.
  addEventListener('hashchange', () => location.reload());
  addEventListener('pageshow', (event) => {
    if (event.persisted) location.reload();
  });
  const one = /^1\.([\w-]+)$/.exec(fragment);
  const two = /^2\.([\w-]{22})\.([\w-]{43})\.([\w-]{22})$/.exec(fragment);
  try {
    if (one !== null) await here(one[1]);
    else if (two !== null) await elsewhere(two[1], two[2], two[3]);
    else if (fragment === '') typed();
    else end('This address is not whole', 'Open it again from Heirloom on your computer.');
  } catch {
    end('This address is not whole', 'Open it again from Heirloom on your computer.');
  }
}

begin();
