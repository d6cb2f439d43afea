// Looks for secrets in bytes, in every form that a program might write one.

import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const PYTHON = process.env.HEIRLOOM_PYTHON ?? fileURLToPath(new URL('../../target/venv/bin/python', import.meta.url));

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const pairs = (bytes) => hex(bytes).match(/../g);
const groups = (bytes, between) => hex(bytes).match(/.{4}/g).join(between);

/** The base64 that stands for the bytes wherever they begin in what was encoded; the edges are shared with neighbours. */
function base64(bytes, alphabet) {
  return [0, 1, 2].map((before) => {
    const whole = Buffer.concat([Buffer.alloc(before), Buffer.from(bytes)]).toString(alphabet).replaceAll('=', '');
    const first = Math.ceil((before * 8) / 6);
    const last = Math.floor(((before + bytes.length) * 8) / 6);
    return whole.slice(first, last);
  });
}

const NAMED = /"\d+":/g;

/** How somebody might write bytes down. Each gives one or more texts or byte strings. */
export const FORMS = {
  'raw bytes': (bytes) => [Buffer.from(bytes)],
  'raw bytes as UTF-8 of their characters': (bytes) => [Buffer.from(String.fromCharCode(...bytes), 'utf8')],
  'two bytes for each': (bytes) => [Buffer.from(String.fromCharCode(...bytes), 'utf16le')],
  hex: (bytes) => [hex(bytes)],
  'hex in capitals': (bytes) => [hex(bytes).toUpperCase()],
  'hex in pairs': (bytes) => [' ', ':', '-', ', ', ',', '\\x'].map((between) => pairs(bytes).join(between)),
  'hex as numbers': (bytes) => [', ', ','].map((between) => pairs(bytes).map((pair) => `0x${pair}`).join(between)),
  'hex in groups of four': (bytes) => [' ', '-', '\n', '%20', '+'].flatMap((between) => [groups(bytes, between), groups(bytes, between).toUpperCase()]),
  base64: (bytes) => base64(bytes, 'base64'),
  base64url: (bytes) => base64(bytes, 'base64url'),
  'percent-encoded': (bytes) => [pairs(bytes).map((pair) => `%${pair}`).join(''), pairs(bytes).map((pair) => `%${pair.toUpperCase()}`).join('')],
  'percent-encoded where it must be': (bytes) => [encodeURIComponent(String.fromCharCode(...bytes)), escape(String.fromCharCode(...bytes))],
  'JSON numbers': (bytes) => [bytes.join(','), bytes.join(', '), bytes.join('\n'), bytes.join(' ')],
  'JSON with names': (bytes) => [JSON.stringify({ ...bytes }).slice(1, -1).replace(NAMED, '"":')],
  'a JSON string': (bytes) => [JSON.stringify(String.fromCharCode(...bytes)).slice(1, -1), pairs(bytes).map((pair) => `\\u00${pair}`).join('')],
};
/** Half of it is too much already: each half is looked for, forwards and backwards. */
function halves(secret) {
  const half = secret.length >> 1;
  return [secret.subarray(0, half), secret.subarray(secret.length - half)]
    .flatMap((part) => [part, Buffer.from(part).reverse()]);
}

/** Everything below a folder. A browser that runs removes folders of its own meanwhile. */
function below(folder) {
  for (let again = 0; ; again += 1) {
    try {
      return readdirSync(folder, { recursive: true, withFileTypes: true });
    } catch (error) {
      if (error.code !== 'ENOENT' || again === 100) throw error;
    }
  }
}

/** Finds secrets (name → bytes) in what `look` is given, and says which, where and in which form. */
export class Search {
  found = [];
  looked = 0;

  constructor(secrets) {
    this.needles = Object.entries(secrets).flatMap(([name, secret]) => {
      if (secret.length < 28) throw new Error(`${name} is too short to be looked for`);
      return halves(Buffer.from(secret)).flatMap((part) => Object.entries(FORMS)
        .flatMap(([form, write]) => write([...part]).map((needle) => ({ name, form, needle: Buffer.from(needle, typeof needle === 'string' ? 'utf8' : undefined) }))));
    });
  }

  look(where, bytes) {
    const data = Buffer.from(bytes);
    this.looked += data.length;
    const named = Buffer.from(data.toString('latin1').replace(NAMED, '"":'), 'latin1');
    for (const { name, form, needle } of this.needles) {
      if ((form === 'JSON with names' ? named : data).includes(needle)) this.found.push({ name, where, form });
    }
  }

  /** Every file below a folder, and its name. */
  lookInto(folder, { except = [] } = {}) {
    for (const entry of below(folder)) {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      const name = relative(folder, path);
      this.look(`the name of ${name}`, Buffer.from(name));
      if (entry.isFile() && !except.includes(name)) {
        try {
          this.look(name, readFileSync(path));
        } catch (error) {
          // A browser that runs removes files of its own.
          if (error.code !== 'ENOENT') throw error;
        }
      }
    }
  }
}

/** What a way in leads to, by the reader in Python: keys of its slot, root keys, reader keys. */
export function derived(store, ...way) {
  const script = fileURLToPath(new URL('keys.py', import.meta.url));
  const printed = execFileSync(PYTHON, [script, store, ...way], { encoding: 'utf8', env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' } });
  return Object.fromEntries(Object.entries(JSON.parse(printed)).map(([name, value]) => [name, Buffer.from(value, 'hex')]));
}
