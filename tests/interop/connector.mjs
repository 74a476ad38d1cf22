// A connector's checks of a request (PROTOCOL.md, section 7.6), for the vectors: a second opinion beside the C code.
import './webcrypto.mjs';
import { createHash } from 'node:crypto';
import * as jose from 'jose';
import { PADS, PROTECTED, SKEW, parseJws, unpad, verifyJws } from './client.mjs';
import { Refused, array, fromB64u, id, integer, kid, malformed, members, parseObject, string, tenantName, toB64u } from './strict.mjs';

const TEXT_MAX = 7076;

// ---- the sealed text, section 7.4 ----

// The parts of one line, each the base64url of so many bytes.
function partsOf(line, lengths) {
  const parts = line.split('.');
  if (parts.length !== lengths.length) throw malformed('sealed: not the parts of a line');
  parts.forEach((part, i) => fromB64u(part, lengths[i]));
  return parts;
}

// What the relay checks as well: {shared, lines, kids, padded}.
export async function parseRequest(text) {
  if (Buffer.byteLength(text) > TEXT_MAX) throw new Refused('too-large', 'sealed: too large');
  const lines = text.split('\n');
  if (lines.pop() !== '') throw malformed('sealed: the last line has no end');
  const shared = lines.shift() ?? '';
  if (!shared.startsWith(`${PROTECTED}.`)) throw malformed('sealed: another protected header');
  const padded = PADS.find((n) => shared.length === PROTECTED.length + 41 + Math.ceil((n * 4) / 3));
  if (!padded) throw malformed('sealed: the plaintext is of no class');
  partsOf(shared.slice(PROTECTED.length + 1), [12, padded, 16]);
  array(lines, 1, 8);
  const kids = lines.map((line) => partsOf(line, [32, 32, 32, 40])[0]);
  if (new Set(kids).size !== kids.length) throw malformed('sealed: a kid is repeated');
  return { shared, lines, kids, padded };
}

// The share of one recipient, as the relay forwards it.
export const share = ({ shared, lines }, i) => `${shared}\n${lines[i]}\n`;

// The JWE that a share stands for.
export function jweOf(shared, line) {
  const [header, iv, ciphertext, tag] = shared.split('.');
  const [kid, x, y, key] = line.split('.');
  return { protected: header, iv, ciphertext, tag,
    recipients: [{ header: { alg: 'ECDH-ES+A256KW', kid, epk: { kty: 'EC', crv: 'P-256', x, y } }, encrypted_key: key }] };
}

export async function decrypt(parsed, i, privateJwk) {
  const { kty, crv, x, y, d } = privateJwk;
  try {
    const key = await jose.importJWK({ kty, crv, x, y, d }, 'ECDH-ES+A256KW');
    return (await jose.generalDecrypt(jweOf(parsed.shared, parsed.lines[i]), key)).plaintext;
  } catch {
    throw malformed('sealed: does not open');
  }
}

// ---- the claims, section 7.2 ----

function checkClaims(c) {
  if (c.v !== 1) throw malformed('claims: other version');
  members(c, ['v', 'iss', 'aud', 'jti', 'iat', 'exp', 'to', 'username', 'password', 'rk', ...(c.op === 'change-password' ? ['new_password'] : [])], ['client', 'op']);
  if (c.op === 'change-password' && typeof c.new_password !== 'string') throw malformed('claims: new_password');
  id(c.iss);
  tenantName(c.aud);
  id(c.jti);
  integer(c.iat);
  integer(c.exp);
  if (c.exp <= c.iat || c.exp > c.iat + 60) throw malformed('claims: life');
  if (new Set(array(c.to, 1, 8)).size !== c.to.length) throw malformed('claims: a kid is repeated');
  c.to.forEach((k) => kid(k));
  string(c.username, 0, Infinity);
  string(c.password, 0, Infinity);
  fromB64u(c.rk, 32);
  if ('client' in c) {
    members(c.client, [], ['ip', 'agent', 'app']);
    Object.values(c.client).forEach((text) => string(text, 0, Infinity, /^[^\0]*$/));
  }
  if ('op' in c) string(c.op, 1, 31, /^[a-z0-9-]+$/);
}

function badForm(c) {
  const n = Buffer.byteLength(c.username);
  if (n === 0 || n > 256 || c.username.includes('\0')) return 'bad_name_form';
  if (c.password === '') return 'empty_password';
  if (Buffer.byteLength(c.password) > 1024 || c.password.includes('\0')) return 'bad_password_form';
  const n2 = Buffer.byteLength(c.new_password ?? 'none');
  return n2 === 0 || n2 > 1024 || c.new_password?.includes('\0') ? 'bad_new_password' : undefined;
}

// self: {kid (identity), keys: Map kid -> private JWK, tenant, roster, id (Postern-Id), now, seen: Set}.
// "declined WHY", "reason WORD" or "accepted"; the claims with the last two.
export async function takeRequest(text, self) {
  const decline = (why) => ({ says: `declined ${why}` });
  try {
    const parsed = await parseRequest(text);
    const i = parsed.kids.findIndex((k) => self.keys.has(k));
    if (i < 0) return decline('stale_key');
    const jws = parseJws(unpad(await decrypt(parsed, i, self.keys.get(parsed.kids[i])), parsed.padded), 'postern-request+jwt');
    const claims = parseObject(jws.payload, { nul: true });
    checkClaims(claims);
    return await judge(jws, claims, self, decline);
  } catch (e) {
    if (e instanceof Refused) return { ...decline('bad_request'), why: e.message };
    throw e;
  }
}

async function judge(jws, claims, self, decline) {
  const reason = (word) => ({ says: `reason ${word}`, claims });
  const service = self.roster.services.find((s) => s.kid === jws.kid);
  if (!service) return reason('service_unknown');
  try {
    await verifyJws(jws, service.key);
  } catch {
    return reason('request_signature');
  }
  if (claims.iss !== service.id) return reason('service_unknown');
  if (claims.aud !== self.tenant) return reason('wrong_audience');
  if (!claims.to.includes(self.kid)) return reason('not_addressed');
  if (claims.jti !== self.id) return decline('bad_request');
  if (claims.iat - SKEW > self.now || self.now > claims.exp + SKEW) return decline('expired');
  if (self.seen.has(`${jws.kid} ${claims.jti}`)) return decline('replay');
  self.seen.add(`${jws.kid} ${claims.jti}`);
  if (!['sign-in', 'change-password'].includes(claims.op ?? 'sign-in')) return reason('operation_unknown');
  const form = badForm(claims);
  return form ? reason(form) : { says: 'accepted', claims, req: toB64u(createHash('sha256').update(jws.text).digest()) };
}
