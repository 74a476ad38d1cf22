// A connector's checks of a request (PROTOCOL.md, section 7.6), for the vectors: a second opinion beside the C code.
import './webcrypto.mjs';
import { createHash } from 'node:crypto';
import * as jose from 'jose';
import { SKEW, parseJws, unpad, verifyJws } from './client.mjs';
import { Refused, array, fromB64u, id, integer, isObject, kid, malformed, members, parseObject, string, tenantName, toB64u }
  from './strict.mjs';

const JWE_MAX = 16384;

// ---- the JWE, section 7.4 ----

function checkRecipient(element, shared, alone) {
  members(element, ['encrypted_key'], ['header']);
  fromB64u(element.encrypted_key, 40);
  const own = element.header ?? {};
  if ('header' in element && (!isObject(own) || Object.keys(own).length === 0)) throw malformed('JWE: empty header');
  for (const name of Object.keys(own)) if (name in shared) throw malformed('JWE: a member in both headers');
  const header = { ...shared, ...own };
  members(header, ['enc', 'typ', 'cty', 'alg', 'kid', 'epk']);
  if (!alone) members(shared, ['enc', 'typ', 'cty']);
  if (header.enc !== 'A256GCM' || header.typ !== 'postern-request+jwe' || header.cty !== 'JWT' || header.alg !== 'ECDH-ES+A256KW') {
    throw malformed('JWE: not the suite');
  }
  // a relay passes the point on; whether it is on the curve is found by whoever opens (section 7.4)
  members(header.epk, ['kty', 'crv', 'x', 'y']);
  if (header.epk.kty !== 'EC' || header.epk.crv !== 'P-256') throw malformed('JWE: epk is not on P-256');
  fromB64u(header.epk.x, 32);
  fromB64u(header.epk.y, 32);
  return kid(header.kid);
}

// What the relay checks as well. {jwe (general form), kids}.
export async function parseRequest(text) {
  if (Buffer.byteLength(text) > JWE_MAX) throw new Refused('too-large', 'JWE: too large');
  const o = parseObject(text);
  if (!('recipients' in o)) {
    members(o, ['protected', 'encrypted_key', 'iv', 'ciphertext', 'tag'], ['header']);
    o.recipients = [{ ...('header' in o && { header: o.header }), encrypted_key: o.encrypted_key }];
    delete o.header;
    delete o.encrypted_key;
  }
  members(o, ['protected', 'recipients', 'iv', 'ciphertext', 'tag']);
  array(o.recipients, 1, 8);
  const shared = parseObject(fromB64u(o.protected));
  const kids = [];
  for (const element of o.recipients) {
    const k = checkRecipient(element, shared, o.recipients.length === 1);
    if (kids.includes(k)) throw malformed('JWE: a kid stands twice');
    kids.push(k);
  }
  fromB64u(o.iv, 12);
  fromB64u(o.tag, 16);
  fromB64u(o.ciphertext);
  return { jwe: o, kids };
}

// The share of one recipient, as the relay forwards it.
export const only = ({ jwe }, i) => ({ ...jwe, recipients: [jwe.recipients[i]] });

export async function decrypt(parsed, i, privateJwk) {
  const { kty, crv, x, y, d } = privateJwk;
  try {
    const key = await jose.importJWK({ kty, crv, x, y, d }, 'ECDH-ES+A256KW');
    return (await jose.generalDecrypt(only(parsed, i), key)).plaintext;
  } catch {
    throw malformed('JWE: does not open');
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
  if (new Set(array(c.to, 1, 8)).size !== c.to.length) throw malformed('claims: a kid stands twice');
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
  return Buffer.byteLength(c.password) > 1024 || c.password.includes('\0') ? 'bad_password_form' : undefined;
}

// self: {kid (identity), keys: Map kid -> private JWK, tenant, roster, id (Postern-Id), now, seen: Set}.
// "declined WHY", "reason WORD" or "accepted"; the claims with the last two.
export async function takeRequest(text, self) {
  const decline = (why) => ({ says: `declined ${why}` });
  try {
    const parsed = await parseRequest(text);
    const i = parsed.kids.findIndex((k) => self.keys.has(k));
    if (i < 0) return decline('stale_key');
    const jws = parseJws(unpad(await decrypt(parsed, i, self.keys.get(parsed.kids[i]))), 'postern-request+jwt');
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
