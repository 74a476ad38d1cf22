// The text forms of PROTOCOL.md, section 2, read strictly: JSON.parse takes duplicate members and 1.0, and Buffer takes loose base64.

export class Refused extends Error {
  // what: the word that a vector or a caller knows it by; text: for humans
  constructor(what, text) {
    super(text);
    this.what = what;
  }
}

export const malformed = (text) => new Refused('malformed', text);

const DEPTH_MAX = 32;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const BLANK = /[ \t\n\r]*/y;

class Parser {
  constructor(text, nul) {
    this.text = text;
    this.nul = nul;
    this.at = 0;
  }

  take(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) return undefined;
    this.at += found[0].length;
    return found[0];
  }

  skip() {
    this.take(BLANK);
  }

  expect(char) {
    if (this.text[this.at] !== char) throw malformed('JSON: syntax error');
    this.at += 1;
  }

  string() {
    const raw = this.take(STRING);
    if (raw === undefined) throw malformed('JSON: syntax error in a string');
    const value = JSON.parse(raw);
    if (!value.isWellFormed?.() && /[\ud800-\udfff]/u.test(value)) throw malformed('JSON: a lone surrogate');
    if (!this.nul && value.includes('\0')) throw malformed('JSON: a string holds NUL');
    return value;
  }

  number() {
    const raw = this.take(NUMBER);
    if (raw === undefined) throw malformed('JSON: syntax error'); // no vector: what is no number is no text's, object's or word's begin either
    const value = Number(raw);
    return /^-?\d+$/.test(raw) && Number.isSafeInteger(value) ? value : { notAnInteger: raw };
  }

  members(depth) {
    const object = Object.create(null);
    this.expect('{');
    this.skip();
    if (this.text[this.at] === '}') {
      this.at += 1;
      return object;
    }
    for (;;) {
      this.skip();
      const name = this.string();
      if (name in object) throw malformed('JSON: a member is repeated');
      this.skip();
      this.expect(':');
      object[name] = this.value(depth + 1);
      this.skip();
      if (this.text[this.at] === '}') break;
      this.expect(',');
    }
    this.at += 1;
    return object;
  }

  elements(depth) {
    const list = [];
    this.expect('[');
    this.skip();
    if (this.text[this.at] === ']') {
      this.at += 1;
      return list;
    }
    for (;;) {
      list.push(this.value(depth + 1));
      this.skip();
      if (this.text[this.at] === ']') break;
      this.expect(',');
    }
    this.at += 1;
    return list;
  }

  value(depth) {
    if (depth > DEPTH_MAX) throw malformed('JSON: nested too deeply'); // no vector: guards this program's stack
    this.skip();
    const char = this.text[this.at];
    if (char === '{') return this.members(depth);
    if (char === '[') return this.elements(depth);
    if (char === '"') return this.string();
    for (const [word, value] of [['true', true], ['false', false], ['null', null]]) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// Exactly one JSON object; integers are numbers, other numbers are not. bytes may be a text.
export function parseObject(bytes, { nul = false } = {}) {
  let text = bytes;
  if (typeof bytes !== 'string') {
    try {
      text = utf8.decode(bytes);
    } catch {
      throw malformed('JSON: not UTF-8');
    }
  }
  const parser = new Parser(text, nul);
  const value = parser.value(0);
  parser.skip();
  if (parser.at !== text.length) throw malformed('JSON: something stands behind it');
  if (!isObject(value)) throw malformed('JSON: not an object'); // no vector: its members are asked for
  return value;
}

export const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

// b64u, strictly; n: the number of bytes that it must be.
export function fromB64u(text, n) {
  if (typeof text !== 'string' || !/^[A-Za-z0-9_-]+$/.test(text)) throw malformed('not base64url'); // no vector for `+$`: encoded anew it differs
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) throw malformed('base64url with loose bits');
  if (n !== undefined && bytes.length !== n) throw malformed(`not ${n} bytes`);
  return bytes;
}

export const toB64u = (bytes) => Buffer.from(bytes).toString('base64url');

// At least these members.
export function present(object, names) {
  if (!isObject(object)) throw malformed('not an object');
  for (const name of names) if (!(name in object)) throw malformed(`member ${name} is missing`); // no vector for `!(name in object)`: what reads the member sees it, too
}

// At most these members.
export function listed(object, names) {
  for (const name of Object.keys(object)) if (!names.includes(name)) throw malformed('a member that is not listed');
}

// Exactly these members, and perhaps those of optional.
export function members(object, required, optional = []) {
  present(object, required);
  listed(object, [...required, ...optional]);
}

export function integer(value, min = 0, max = Number.MAX_SAFE_INTEGER) {
  if (!Number.isInteger(value) || value < min || value > max) throw malformed('not an integer in its range');
  return value;
}

// A string of min to max bytes that perhaps looks like pattern.
export function string(value, min, max, pattern) {
  if (typeof value !== 'string') throw malformed('not a string');
  const n = Buffer.byteLength(value);
  if (n < min || n > max || (pattern && !pattern.test(value))) throw malformed('a string out of its limits');
  return value;
}

export function array(value, min, max) {
  if (!Array.isArray(value) || value.length < min || value.length > max) throw malformed('not an array within its limits');
  return value;
}

export function word(value, words) {
  if (!words.includes(value)) throw malformed(`not one of ${words.join(', ')}`);
  return value;
}

export const id = (value) => string(value, 16, 64, /^[A-Za-z0-9-]+$/);
export const tenantName = (value) => string(value, 0, 64, /^[a-z0-9-]+$/);
export const kid = (value) => {
  fromB64u(value, 32);
  return value;
};
