// The real program on a computer of its own: a store, homes, and a browser that is told which file to open.
// HEIRLOOM_PROGRAM names the built program; `cargo xtask test --only passkey` sets it.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { PATIENCE, addAuthenticator, openFile, press, waitForTitle } from './lib.mjs';

export const root = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
export const PROGRAM = process.env.HEIRLOOM_PROGRAM ?? root('target/release/heirloom');
export const SAMPLE = root('examples/family-chat.zip');

/** Titles of the page. */
export const SAVE = 'Protect your backup with a passkey';
export const TEST = 'Passkey saved';
export const AGAIN = 'Once more';
export const CONFIRM = 'Now open your backup with it';
export const CHECK = 'Check that your passkey opens the backup';
export const RESTORE = 'Unlock your backup on this computer';
export const UNLOCKED = 'Your backup is unlocked';

export const KEY = ['--recovery-key-file', 'key.txt'];
export const PASSKEY = ['--passkey'];

/** A folder with `store` and one home for each computer. */
export class Place {
  home = 'home';
  runs = [];

  constructor() {
    this.folder = realpathSync(mkdtempSync(join(tmpdir(), 'heirloom-program-')));
    // What the program takes for a browser. It gets a path and nothing else.
    this.browser = this.path('browser.sh');
    writeFileSync(this.browser, '#!/bin/sh\nprintf %s "$*" > "$HEIRLOOM_TEST_OPENED.part" && mv "$HEIRLOOM_TEST_OPENED.part" "$HEIRLOOM_TEST_OPENED"\n');
    chmodSync(this.browser, 0o700);
  }

  path(...parts) { return join(this.folder, ...parts); }

  /** Starts the program; `opening()` is the file that a browser is to open, `ended()` what it said. */
  start(args) {
    const opened = this.path(`opened-${this.runs.length}`);
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HEIRLOOM_')));
    const child = spawn(PROGRAM, args, {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...inherited,
        NO_COLOR: '1',
        HEIRLOOM_HOME: this.path(this.home),
        HEIRLOOM_DEVICE_NAME: 'Laptop',
        HEIRLOOM_BROWSER: this.browser,
        HEIRLOOM_TEST_OPENED: opened,
      },
    });
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr']) child[stream].setEncoding('utf8').on('data', (text) => { said[stream] += text; });
    let over = false;
    const end = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        over = true;
        resolve({ code: code ?? signal, stdout: this.tame(said.stdout), stderr: this.tame(said.stderr) });
      });
    });
    const run = {
      child,
      said,
      ended: () => end,
      opening: async () => {
        for (let waited = 0; !existsSync(opened); waited += 20) {
          if (over || waited > PATIENCE) throw new Error(`no browser was opened: ${JSON.stringify(said)}`);
          await sleep(20);
        }
        return readFileSync(opened, 'utf8');
      },
    };
    this.runs.push(run);
    return run;
  }

  run(args) { return this.start(args).ended(); }

  /** Starts the program and has the tab open its page. */
  async open(page, args) {
    const run = this.start(args);
    run.file = await run.opening();
    run.form = readFileSync(run.file, 'utf8');
    // Only the tab in front is drawn.
    await page.bringToFront();
    await openFile(page, run.file);
    run.origin = new URL(page.url()).origin;
    return run;
  }

  async status() {
    const { code, stdout, stderr } = await this.run(['protect', 'status', 'store', '--json', ...KEY]);
    if (code !== 0) throw new Error(stderr);
    const events = stdout.trim().split('\n').map((line) => JSON.parse(line));
    return { summary: events.at(-1), ways: events.filter(({ type }) => type === 'way') };
  }

  /** Every file below a folder, as the hash of its bytes. */
  listing(folder) {
    const base = this.path(folder);
    if (!existsSync(base)) return {};
    return Object.fromEntries(readdirSync(base, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
      .sort()
      .map((path) => [relative(base, path), createHash('sha256').update(readFileSync(path)).digest('hex')]));
  }

  /** Opening files that nobody used. */
  leftovers() {
    return readdirSync(this.folder, { recursive: true }).filter((path) => /open-[0-9a-f]+\.html$/.test(path));
  }

  tame(text) { return text.replaceAll(this.folder, '[FOLDER]'); }

  end() {
    for (const { child } of this.runs) child.kill();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Presses the main button of one title after the other. */
export async function pressAll(page, ...titles) {
  for (const title of titles) {
    await waitForTitle(page, title);
    await press(page);
  }
}

/** A first backup with a recovery key in `key.txt`. */
export const firstBackup = (place) => place.run(['backup', SAMPLE, '--to', 'store', '--new-recovery-key-file', 'key.txt']);

/** Adds a passkey of the tab's authenticator, beside the recovery key. */
export async function addPasskey(place, page, more = []) {
  const run = await place.open(page, ['protect', 'add', 'passkey', 'store', ...more, ...KEY]);
  await pressAll(page, SAVE, TEST, AGAIN, CONFIRM);
  return run.ended();
}

/** A tab with an authenticator, which is a password manager: it lives with the tab, for all computers. */
export async function tab(browser, { kind = 'prf', more = {}, arrange = async () => {} } = {}) {
  const page = await browser.context.newPage();
  const authenticator = await addAuthenticator(page, kind, more);
  await arrange(page);
  return { page, authenticator };
}
