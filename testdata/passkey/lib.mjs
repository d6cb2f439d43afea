// Drives the ceremony page in a real Chromium with a virtual authenticator (CDP, WebAuthn domain).
// Nothing here knows which program serves the page: it opens a file and presses buttons.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { chromium } from 'playwright-core';

/** How long anything may take, in milliseconds: for machines that are slow and busy. Nobody waits longer than it takes. */
export const PATIENCE = 60_000;

export const CHROMIUM = process.env.HEIRLOOM_CHROMIUM ?? '/usr/bin/chromium';

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** A Chromium with a profile of its own. `close()` ends it and removes the profile. */
export async function startBrowser({ colorScheme = 'light', width = 1024, height = 768, flags = [] } = {}) {
  const profile = mkdtempSync(join(tmpdir(), 'heirloom-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    args: [...FLAGS, ...flags],
    colorScheme,
    viewport: { width, height },
  });
  context.setDefaultTimeout(PATIENCE);
  return {
    context,
    profile,
    page: context.pages()[0] ?? await context.newPage(),
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/**
 * Gives the tab an authenticator. `kind`: 'prf' gives values at registration too, 'hmac' only later,
 * 'none' never. It lives with the tab, through other pages and ports: the same synced passkey.
 */
export async function addAuthenticator(page, kind = 'prf', more = {}) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('WebAuthn.enable', {});
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      ctap2Version: 'ctap2_1',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      hasPrf: kind === 'prf',
      hasHmacSecret: kind === 'hmac',
      automaticPresenceSimulation: true,
      isUserVerified: true,
      defaultBackupEligibility: true,
      defaultBackupState: true,
      ...more,
    },
  });
  const send = (method, params = {}) => cdp.send(`WebAuthn.${method}`, { authenticatorId, ...params });
  return {
    id: authenticatorId,
    send,
    credentials: async () => (await send('getCredentials')).credentials,
    setVerified: (isUserVerified) => send('setUserVerified', { isUserVerified }),
    setPresence: (enabled) => send('setAutomaticPresenceSimulation', { enabled }),
    removeAll: () => send('clearCredentials'),
    remove: () => send('removeVirtualAuthenticator'),
  };
}

/**
 * Checks again and again until it holds, and gives what it gives. For what the browser tells in its own time: that the
 * program has said something does not mean that all which led to it was heard of.
 */
export async function eventually(check) {
  for (const until = Date.now() + PATIENCE; ; await sleep(20)) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > until) throw error;
    }
  }
}

/** Every request of the page, with its body: for what must not be in there. */
export function watchRequests(page) {
  const seen = [];
  page.on('request', (request) => seen.push({
    url: request.url(), method: request.method(), headers: request.headers(), body: request.postData() ?? '',
  }));
  return seen;
}

/** Opens the opening file as the program would have the browser do it. */
export const openFile = (page, path) => page.goto(pathToFileURL(path).href).catch(() => {})
  .then(() => page.waitForURL(/^http:\/\/localhost/));

/** What the person reads now. */
export async function words(page) {
  const text = async (id) => {
    const at = page.locator(`#${id}`);
    return await at.isVisible() ? (await at.innerText()).trim() : '';
  };
  return {
    step: await text('step'),
    title: await text('title'),
    text: await text('text'),
    note: await text('note'),
    button: await text('go'),
    cancel: await text('cancel'),
    forget: await text('forget'),
    status: await text('status'),
  };
}

/** Not when the tab is drawn, which only the one in front is. */
export const OFTEN = { polling: 50 };

/** Waits for a title (a text or a pattern) and gives the words then. */
export async function waitForTitle(page, title) {
  const wanted = title instanceof RegExp ? { source: title.source } : { exact: title };
  await page.waitForFunction(({ source, exact }) => {
    const shown = document.getElementById('title')?.textContent ?? '';
    return source === undefined ? shown === exact : new RegExp(source).test(shown);
  }, wanted, OFTEN);
  return words(page);
}

/** Presses the main button, as a person does it. */
export const press = (page) => page.locator('#go').click();
export const cancel = (page) => page.locator('#cancel').click();

/** A program whose lines are read. `line(start)` waits for the next line that begins with it. */
export function run(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  const lines = [];
  const waiting = [];
  let errors = '';
  let code = null;
  const settle = () => {
    for (const one of [...waiting]) {
      const at = lines.findIndex((line) => line.startsWith(one.start));
      if (at >= 0) {
        waiting.splice(waiting.indexOf(one), 1);
        one.resolve(lines.splice(0, at + 1).at(-1));
      } else if (code !== null) {
        waiting.splice(waiting.indexOf(one), 1);
        one.reject(new Error(`no line "${one.start}"; ended with ${code}; ${lines.join('\n')}\n${errors}`));
      }
    }
  };
  child.stderr.on('data', (data) => { errors += data; });
  createInterface({ input: child.stdout }).on('line', (line) => { lines.push(line); settle(); });
  const exit = new Promise((resolve) => {
    child.on('close', (given) => { code = given ?? 'a signal'; settle(); resolve(code); });
  });
  return {
    exit,
    errors: () => errors,
    stop: () => child.kill(),
    line: (start) => new Promise((resolve, reject) => {
      const one = { start, resolve, reject };
      waiting.push(one);
      setTimeout(() => {
        if (waiting.includes(one)) {
          waiting.splice(waiting.indexOf(one), 1);
          reject(new Error(`no line "${start}" in time; ${lines.join('\n')}\n${errors}`));
        }
      }, PATIENCE).unref();
      settle();
    }),
  };
}
