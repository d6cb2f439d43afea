// Letting a computer into an account, which shows its QR code and is not signed in. Part of the page in handover.js, which
// has the relay and the words that both need. See docs/ceremony.md, section 9.4.
'use strict';

const NO_LONGER = ['This code is no longer good', 'Begin again on the computer, and scan its new code.'];
const USED = ['This code was used already', 'The computer that showed it is signed in. If you did not let it in and it is yours, it is in another account: sign it out there with “heirloom logout”, and begin again.'];
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
