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
            if (letting === null) end(...(view.good ? USED : STOPPED));
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
