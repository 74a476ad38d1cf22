// A sign-in service's side of the protocol, written from queue/PROTOCOL.md with the jose package: verifies rosters, statements and verdicts,
// makes requests. Knows no network: relay.mjs does.
import './webcrypto.mjs';
import { createHash, randomBytes } from 'node:crypto';
import * as jose from 'jose';
import { Refused, array, fromB64u, id, integer, isObject, kid, malformed, members, parseObject, string, tenantName, toB64u, word }
  from './strict.mjs';

export const SKEW = 120;
export const PADS = [2048, 4096]; // of padding, bytes
const CLAIMS_MAX = new Map([[2048, 1374], [4096, 2910]]);
// b64u({"cty":"JWT","enc":"A256GCM","typ":"postern-request+jwe"}): the one protected header of a request
export const PROTECTED = 'eyJjdHkiOiJKV1QiLCJlbmMiOiJBMjU2R0NNIiwidHlwIjoicG9zdGVybi1yZXF1ZXN0K2p3ZSJ9';
const SPKI_HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');

const sha256 = (bytes) => createHash('sha256').update(bytes).digest();

// ---- keys ----

// A public key from a JWK that is exactly kty, crv, x, y (and the members in extra): {jwk, kid, pin, verify}.
export async function publicKey(given, extra = []) {
  members(given, ['kty', 'crv', 'x', 'y', ...extra]);
  if (given.kty !== 'EC' || given.crv !== 'P-256') throw malformed('not a P-256 key');
  const x = fromB64u(given.x, 32); // no vector for `32`: WebCrypto refuses it, too
  const y = fromB64u(given.y, 32); // no vector for `32`: the same
  const jwk = { kty: 'EC', crv: 'P-256', x: given.x, y: given.y };
  let verify;
  try {
    verify = await jose.importJWK(jwk, 'ES256'); // WebCrypto checks that the point is on the curve
  } catch {
    throw malformed('not a point on P-256');
  }
  return { jwk, verify, kid: await jose.calculateJwkThumbprint(jwk), pin: toB64u(sha256(Buffer.concat([SPKI_HEAD, x, y]))) };
}

// ---- JWS ----

// A header in its base64url form: at most 1024 bytes.
function parseHeader(text) {
  const bytes = fromB64u(text);
  if (bytes.length > 1024) throw malformed('a header that is too long');
  return parseObject(bytes);
}

// Form and header, exactly {alg, typ, kid}. Proves nothing yet.
export function parseJws(text, typ, max = 262144) {
  if (typeof text !== 'string' || Buffer.byteLength(text) > max) throw malformed('JWS: too long');
  const parts = text.split('.');
  if (parts.length !== 3) throw malformed('JWS: not three parts');
  const header = parseHeader(parts[0]);
  members(header, ['alg', 'typ', 'kid']);
  if (header.alg !== 'ES256' || header.typ !== typ) throw malformed('JWS: other alg or typ');
  kid(header.kid);
  const payload = fromB64u(parts[1]);
  fromB64u(parts[2], 64);
  return { text, kid: header.kid, payload };
}

export async function verifyJws(jws, key, what = 'key') {
  if (jws.kid !== key.kid) throw new Refused(what, 'JWS: kid of another key');
  try {
    await jose.compactVerify(jws.text, key.verify, { algorithms: ['ES256'] });
  } catch {
    throw new Refused(what, 'JWS: the signature does not verify');
  }
}

export const signJws = (key, typ, kidText, claims) =>
  new jose.CompactSign(Buffer.from(typeof claims === 'string' ? claims : JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'ES256', typ, kid: kidText }).sign(key);

// ---- roster and statements ----

function times(claims, lifeMax) {
  integer(claims.iat);
  integer(claims.exp);
  if (claims.exp <= claims.iat || claims.exp - claims.iat > lifeMax) throw malformed('exp is not within the life behind iat');
}

function current(claims, now) {
  if (claims.iat > now + SKEW || now > claims.exp + SKEW) throw new Refused('time', 'not current');
}

const WORD = /^[^\u0000-\u0020\u007f"/\\:*?<>|@,]+$/;
const DNS = /^(?=.{1,253}$)(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))+$/;
const NUMBER = '(0|[1-9][0-9]{0,9})';
const SID = new RegExp(`^S-1-5-21-${NUMBER}-${NUMBER}-${NUMBER}$`);
const lower = (text) => text.replace(/[A-Z]/g, (c) => c.toLowerCase());

// One of the roster's domains. seen: what leads to a domain already.
function rosterDomain(entry, seen) {
  members(entry, ['name', 'suffixes', 'netbios'], ['sid', 'default']);
  string(entry.name, 0, Infinity, DNS);
  for (const suffix of array(entry.suffixes, 0, 64)) if (lower(string(suffix, 0, 255, WORD)) !== suffix) throw malformed('a suffix in capitals');
  for (const netbios of array(entry.netbios, 0, 64)) string(netbios, 0, 255, WORD);
  if (entry.sid !== undefined && string(entry.sid, 0, Infinity, SID).split('-').some((n) => Number(n) > 0xffffffff)) throw malformed('a SID that is none');
  if (entry.default !== undefined && entry.default !== true) throw malformed('default is true or absent');
  const marks = [entry.name, ...entry.suffixes].map((name) => `upn ${name}`).concat(entry.netbios.map((name) => `netbios ${lower(name)}`));
  if (entry.sid) marks.push(`sid ${entry.sid}`);
  if (entry.default) marks.push('default');
  for (const mark of marks) {
    if (seen.has(mark)) throw malformed(`two domains of one ${mark}`);
    seen.add(mark);
  }
  return { name: entry.name, suffixes: entry.suffixes, netbios: entry.netbios.map(lower), sid: entry.sid ?? '', default: entry.default === true };
}

async function rosterMember(entry, seen, ...further) {
  members(entry, ['id', 'kid', 'jwk', 'name', ...further]);
  id(entry.id);
  string(entry.name, 0, 64, /^[^\u0000-\u001f\u007f]+$/);
  const key = await publicKey(entry.jwk);
  if (key.kid !== entry.kid) throw malformed('kid is not the thumbprint');
  for (const mark of [`id ${entry.id}`, `name ${entry.name}`, `key ${entry.kid}`]) {
    if (seen.has(mark)) throw malformed('is in the roster twice');
    seen.add(mark);
  }
  return { id: entry.id, name: entry.name, kid: entry.kid, key };
}

function memberDomains(entry, domains) {
  array(entry.domains, 0, 64); // no vector for `64 is`: there are no more, and none twice
  for (const name of entry.domains) if (!domains.some((d) => d.name === name)) throw malformed('a domain that is not in the roster');
  if (new Set(entry.domains).size !== entry.domains.length) throw malformed('a domain twice');
  return entry.domains;
}

async function rosterConnector(entry, seen, domains) {
  const connector = await rosterMember(entry, seen, 'domains');
  return { ...connector, domains: memberDomains(entry, domains) };
}

// Of version 3: people, who ask what became of sign-ins (section 21). iat: the roster's.
async function rosterPerson(entry, seen, domains, iat) {
  const person = await rosterMember(entry, seen, 'role', 'domains', 'exp');
  string(entry.role, 0, 31, /^[a-z0-9-]+$/); // no vector for `31 is`: a service's role has one
  if (integer(entry.exp) < 1 || entry.exp > iat + 90 * 86400) throw malformed("a person's end");
  return { ...person, role: entry.role, domains: memberDomains(entry, domains), exp: entry.exp };
}

async function rosterService(entry, seen) {
  const service = await rosterMember(entry, seen, 'role');
  string(entry.role, 0, 31, /^[a-z0-9-]+$/);
  return { ...service, role: entry.role };
}

// Section 5, in its order. Refused.what: malformed, key, tenant, kind, time, seq. sandbox: it is one that the caller speaks to.
export async function verifyRoster(text, { pin, tenant, now, minSeq, sandbox = false }) {
  const jws = parseJws(text, 'postern-roster+jwt');
  const p = parseObject(jws.payload);
  const key = await publicKey(p.key);
  if (key.pin !== pin) throw new Refused('key', 'roster: not the pinned tenant key');
  await verifyJws(jws, key);
  if (p.v !== 2 && p.v !== 3) throw malformed('roster: other version');
  members(p, ['v', 'tenant', 'key', 'seq', 'iat', 'exp', 'domains', 'connectors', 'services', 'removed'].concat(p.v === 3 ? ['people'] : []), ['kind']);
  if (p.kind !== undefined && p.kind !== 'sandbox') throw malformed('roster: a kind that is none');
  tenantName(p.tenant);
  integer(p.seq);
  times(p, 30 * 86400);
  if (p.tenant !== tenant) throw new Refused('tenant', 'roster: of another tenant');
  if ((p.kind === 'sandbox') !== sandbox) throw new Refused('kind', sandbox ? 'roster: not of a sandbox' : 'roster: of a sandbox');
  current(p, now);
  if (p.seq < minSeq) throw new Refused('seq', 'roster: older than one seen before');
  const seen = new Set([`key ${key.kid}`]);
  const roster = { tenant, seq: p.seq, exp: p.exp, domains: [], connectors: [], services: [], people: [] };
  for (const entry of array(p.domains, 0, 64)) roster.domains.push(rosterDomain(entry, seen));
  for (const entry of array(p.connectors, 0, 512)) roster.connectors.push(await rosterConnector(entry, seen, roster.domains)); // no vector for `512 is`: 200 KB; removed has one
  for (const entry of array(p.services, 0, 512)) roster.services.push(await rosterService(entry, seen)); // no vector for `512 is`: the same
  for (const entry of array(p.people ?? [], 0, 64)) roster.people.push(await rosterPerson(entry, seen, roster.domains, p.iat)); // no vector for `64 is`: the same
  for (const removed of array(p.removed, 0, 512)) {
    if (seen.has(`key ${kid(removed)}`)) throw malformed('roster: a removed key');
    seen.add(`key ${removed}`);
  }
  return roster;
}

function names(list) {
  for (const name of array(list, 0, 64)) string(name, 0, 255, /^[^\u0000-\u0020\u007f"/\\:*?<>|@,]+$/);
  return list.map((name) => name.toLowerCase());
}

async function statementKey(entry, identityKid, seen, use, alg) {
  const key = await publicKey(entry, ['kid', 'use', 'alg', 'nbf', 'exp']);
  if (entry.kid !== key.kid || entry.use !== use || entry.alg !== alg) throw malformed('statement: a key that is none');
  integer(entry.nbf);
  integer(entry.exp);
  if (entry.exp <= entry.nbf || key.kid === identityKid || seen.has(key.kid)) throw malformed('statement: a key that may not be there');
  seen.add(key.kid);
  return { kid: key.kid, jwk: key.jwk, nbf: entry.nbf, exp: entry.exp };
}

// Section 6. Refused.what: malformed, unknown (not a connector of the roster), key, tenant, time.
export async function verifyStatement(text, roster, now) {
  const jws = parseJws(text, 'postern-keys+jwt', 12288);
  const connector = roster.connectors.find((c) => c.kid === jws.kid);
  if (!connector) throw new Refused('unknown', 'statement: its key is no connector of the roster');
  await verifyJws(jws, connector.key);
  const p = parseObject(jws.payload);
  for (const version of array(p.v, 1, 8)) integer(version, 1); // no vector for `8): 1 is`: 1 must be among them
  if (!p.v.includes(1)) throw malformed('statement: does not speak version 1');
  members(p, ['v', 'iss', 'tenant', 'boot', 'seq', 'iat', 'exp', 'realms', 'suffixes', 'netbios', 'keys'], ['sign', 'pad', 'guard', 'roster']);
  if (p.roster !== undefined) integer(p.roster, 1, 255);
  if ('guard' in p) word(p.guard, ['on']);
  fromB64u(p.boot, 16);
  integer(p.seq);
  times(p, 7200);
  id(p.iss);
  tenantName(p.tenant);
  if (p.tenant !== roster.tenant || p.iss !== connector.id) throw new Refused('tenant', 'statement: of another tenant or connector');
  current(p, now);
  const seen = new Set();
  const statement = { connector, boot: p.boot, iat: p.iat, seq: p.seq, exp: p.exp, keys: [], sign: [], pad: 'pad' in p ? word(p.pad, PADS) : 2048 };
  for (const list of ['realms', 'suffixes', 'netbios']) statement[list] = names(p[list]);
  for (const entry of array(p.keys, 1, 4)) statement.keys.push(await statementKey(entry, connector.kid, seen, 'enc', 'ECDH-ES+A256KW'));
  if ('sign' in p) {
    for (const entry of array(p.sign, 1, 2)) {
      const key = await statementKey(entry, connector.kid, seen, 'sig', 'ES256');
      if (key.exp > p.exp || key.exp - key.nbf > 7200) throw malformed('statement: a signing key that outlives it');
      statement.sign.push({ ...key, key: await publicKey(key.jwk) });
    }
  }
  return statement;
}

// The answer of GET keys: what verified, best first; or, beside what there was (base), what changed since. What is in base with the same text
// is not verified again, but for its times. refused: how many statements did not verify.
export async function openDirectory(text, expected, base) {
  const answer = parseObject(text);
  const change = 'since' in answer;
  if (change && (!base?.state || answer.since !== base.state)) throw malformed('keys: a change since a state that is not ours');
  const same = base && ((change && !('roster' in answer)) || answer.roster === base.rosterText);
  if (same && expected.now > base.roster.exp + 120) throw new Refused('expired', 'roster');
  const roster = same ? base.roster : await verifyRoster(answer.roster, expected);
  const known = new Map((base?.statements ?? []).filter((s) => expected.now <= s.exp + 120).map((s) => [s.text, s]));
  const byKid = new Map();
  let refused = 0;
  const gone = change ? array(answer.gone, 0, 1024) : [];
  const member = (s) => roster.connectors.find((c) => c.kid === s.connector.kid && c.id === s.connector.id);
  for (const s of change ? known.values() : []) {
    const connector = member(s);
    if (connector && !gone.includes(s.connector.kid)) byKid.set(s.connector.kid, { ...s, connector });
  }
  for (const jws of array(answer.statements, 0, 512)) {
    try {
      const connector = known.has(jws) && member(known.get(jws));
      const s = connector ? { ...known.get(jws), connector } : { ...await verifyStatement(jws, roster, expected.now), text: jws };
      const old = byKid.get(s.connector.kid);
      if (!old || (s.boot === old.boot ? s.seq > old.seq : s.iat > old.iat || (s.iat === old.iat && s.seq > old.seq))) byKid.set(s.connector.kid, s);
    } catch (e) {
      if (!(e instanceof Refused)) throw e; // no vector: a fault of this program
      refused += 1;
    }
  }
  const weights = change && !('ready' in answer) ? base.ready : new Map(array(answer.ready, 0, 512)
    .filter((r) => isObject(r) && Array.isArray(r.realms) && r.realms.length > 0)
    .map((r) => [r.kid, Number.isInteger(r.weight) && r.weight >= 1 && r.weight <= 1000 ? r.weight : 1]));
  const ready = new Map([...weights].filter(([kid]) => byKid.has(kid)));
  const order = [...ready.keys()];
  const rank = (s) => (ready.has(s.connector.kid) ? order.indexOf(s.connector.kid) : 1e9);
  const statements = [...byKid.values()].sort((a, b) => rank(a) - rank(b));
  return { roster, rosterText: same ? base.rosterText : answer.roster, state: typeof answer.state === 'string' && /^[\w.-]{1,63}$/.test(answer.state)
    ? answer.state : '', statements, refused, ready };
}

// ---- request ----

// The roster's domain that a name belongs to, and whether a statement takes the name.
function route(roster, username) {
  const slash = username.indexOf('\\');
  const at = username.lastIndexOf('@');
  if (slash >= 0) {
    const netbios = lower(username.slice(0, slash));
    return { domain: roster.domains.find((d) => d.netbios.includes(netbios)), takes: (s) => s.netbios.includes(netbios) };
  }
  if (at < 0) return { domain: roster.domains.find((d) => d.default), takes: () => true };
  const suffix = lower(username.slice(at + 1));
  return { domain: roster.domains.find((d) => d.name === suffix || d.suffixes.includes(suffix)),
    takes: (s) => s.realms.includes(suffix) || s.suffixes.includes(suffix) };
}

const liveKey = (statement, now) =>
  statement.keys.filter((k) => k.nbf <= now && now < k.exp).sort((a, b) => b.nbf - a.nbf)[0];

// Who is sealed to: ready ones first, of them those first whose keys were not tried; within each at random, by the relay's weight.
export function choose(directory, username, now, tried = []) {
  const { domain, takes } = route(directory.roster, username);
  if (!domain) return [];
  const may = (s) => s.connector.domains.includes(domain.name) && s.realms.includes(domain.name) && takes(s);
  const order = (s) => (!directory.ready.has(s.connector.kid) ? 2 : tried.includes(liveKey(s, now).kid) ? 1 : 0);
  return directory.statements.filter((s) => may(s) && now < s.exp && liveKey(s, now))
    .map((s) => ({ s, at: order(s), draw: -Math.log(1 - Math.random()) / (directory.ready.get(s.connector.kid) ?? 1) }))
    .sort((a, b) => a.at - b.at || a.draw - b.draw).slice(0, 4).map(({ s }) => s);
}

// Whether somebody is ready whose key was not tried.
export const namesAnother = (directory, username, now, tried) =>
  choose(directory, username, now, tried).slice(0, 1).some((s) => directory.ready.has(s.connector.kid) && !tried.includes(liveKey(s, now).kid));

export const freshId = () => randomBytes(16).toString('hex');

// Seals a padded plaintext to public JWKs, each with its kid: the text of section 7.4. jose writes epk and alg into the protected header
// of a lone recipient, so there are always two; the line of the second, whose key nobody has, is left out.
export async function sealTo(plain, keys) {
  const jwe = new jose.GeneralEncrypt(plain).setProtectedHeader({ cty: 'JWT', enc: 'A256GCM', typ: 'postern-request+jwe' });
  for (const key of keys) {
    jwe.addRecipient(await jose.importJWK(key.jwk, 'ECDH-ES+A256KW')).setUnprotectedHeader({ alg: 'ECDH-ES+A256KW', kid: key.kid });
  }
  if (keys.length === 1) {
    const { publicKey: nobodys } = await jose.generateKeyPair('ECDH-ES+A256KW', { crv: 'P-256' });
    jwe.addRecipient(nobodys).setUnprotectedHeader({ alg: 'ECDH-ES+A256KW', kid: 'nobody' });
  }
  const { protected: header, iv, ciphertext, tag, recipients } = await jwe.encrypt();
  if (header !== PROTECTED) throw new Error('jose has written another protected header'); // no vector: what is sent, not read
  const lines = recipients.slice(0, keys.length).map(({ header: { kid: k, epk }, encrypted_key: key }) => [k, epk.x, epk.y, key]);
  return [[header, iv, ciphertext, tag], ...lines].map((parts) => `${parts.join('.')}\n`).join('');
}

export function pad(text, padded) {
  if (Buffer.byteLength(text) > padded) throw malformed('too long for the padding'); // no vector: what is sent, not read
  return Buffer.concat([Buffer.from(text), Buffer.alloc(padded - Buffer.byteLength(text), 0x20)]);
}

// The class of padding: by operation and by what the connectors announce; by what was typed only where that does not fit.
function classOf(claims, chosen) {
  const n = Buffer.byteLength(JSON.stringify(claims));
  if (n > CLAIMS_MAX.get(4096)) throw new Refused('too-long', 'name and passwords do not fit'); // no vector: what is sent, not read
  return claims.op === 'change-password' || chosen.some((s) => s.pad === 4096) || n > CLAIMS_MAX.get(2048) ? 4096 : 2048;
}

// service: {id, key (private CryptoKey), kid}. first: the id of this sign-in's first attempt, where this is the second. change edits the
// claims before they are signed (for hostile.mjs). Returns what the service keeps to check the verdict, and the body to POST.
export async function makeRequest(directory, service, { username, password, newPassword, now, client, first, tried, change = (claims) => claims }) {
  const chosen = choose(directory, username, now, tried);
  if (chosen.length === 0) throw new Refused('no-connector', 'no connector serves this name'); // no vector: what is sent, not read
  const rk = randomBytes(32);
  const { domain } = route(directory.roster, username);
  const claims = change({
    v: 1, iss: service.id, aud: directory.roster.tenant, jti: first ? `${first}-2` : freshId(), iat: now, exp: now + 60,
    to: chosen.map((s) => s.connector.kid), username, password, rk: toB64u(rk), ...(client && { client }),
    ...(newPassword !== undefined && { op: 'change-password', new_password: newPassword }),
  });
  const padded = classOf(claims, chosen);
  const jws = await signJws(service.key, 'postern-request+jwt', service.kid, claims);
  return {
    id: claims.jti, req: toB64u(sha256(jws)), rk, padded, service: service.id, tenant: directory.roster.tenant,
    domain: domain.name, domainSid: domain.sid, otherSids: directory.roster.domains.filter((d) => d !== domain && d.sid).map((d) => d.sid),
    to: chosen.map((s) => ({ ...s.connector, sign: s.sign })), sealedTo: chosen.map((s) => liveKey(s, now).kid), jws,
    body: await sealTo(pad(jws, padded), chosen.map((s) => liveKey(s, now))),
  };
}

// ---- verdict ----

export function unpad(bytes, padded) {
  if (bytes.length !== padded) throw malformed('padding: not of its class');
  const text = Buffer.from(bytes).toString('latin1').replace(/ +$/, '');
  if (text === '' || text.includes(' ')) throw malformed('padding: not at the end alone'); // no vector: no JWS is empty or has a space, so its reader refuses both
  return text;
}

function checkUser(v) {
  if (('user' in v) !== (v.verdict === 'accepted')) throw malformed('verdict: user stands with accepted, and only there');
  if (v.verdict === 'accepted' && v.password_proved !== true) throw malformed('verdict: accepted without its proof');
}

function checkAttributes(v) {
  if (v.verdict !== 'accepted') throw malformed('verdict: attributes without accepted');
  members(v.attributes, ['state', 'values']);
  word(v.attributes.state, ['complete', 'truncated', 'unavailable']);
  const values = v.attributes.values;
  if (typeof values !== 'object' || values === null || Array.isArray(values) || Object.keys(values).length > 16) {
    throw malformed('verdict: attributes are no object of at most 16');
  }
  if (v.attributes.state === 'unavailable' && Object.keys(values).length) throw malformed('verdict: attributes that are unavailable');
  let bytes = 0;
  for (const [name, list] of Object.entries(values)) {
    if (!/^[A-Za-z0-9.-]{1,64}$/.test(name) || !Array.isArray(list) || !list.length) throw malformed('verdict: attribute');
    for (const value of list) bytes += Buffer.byteLength(string(value, 0, 1600)) + Buffer.byteLength(name) + 2; // no vector for `1600 is`: the sum has it
  }
  if (bytes > 1600) throw malformed('verdict: attributes are too long');
}

const CLASSES = { accepted: ['none'], refused: ['credentials', 'policy'], unavailable: ['infrastructure'] };

function checkVerdictClaims(v) {
  if (v.v !== 1) throw malformed('verdict: other version');
  members(v, ['v', 'iss', 'aud', 'tenant', 'jti', 'req', 'iat', 'exp', 'verdict', 'class', 'reason', 'password_proved', 'may_have_counted', 't'],
    ['user', 'attributes', 'dc', 'method', 'raw', 'retry_after']);
  if ('retry_after' in v) {
    integer(v.retry_after, 1, 604800);
    if (v.reason !== 'throttled') throw malformed('verdict: retry_after without throttled');
  }
  for (const name of ['iss', 'aud', 'jti']) id(v[name]); // no vector: each is compared with what was sent
  tenantName(v.tenant); // no vector: it is compared with what was sent
  fromB64u(v.req, 32); // no vector: it is compared with what was sent
  integer(v.iat); // no vector: exp is compared with iat + 30
  if (integer(v.exp) !== v.iat + 30) throw malformed('verdict: exp is not iat + 30'); // no vector for `integer(v.exp): is`: it is compared
  word(v.verdict, Object.keys(CLASSES));
  word(v.may_have_counted, ['0', '1', 'unknown']);
  word(v.password_proved, [true, false]);
  string(v.reason, 1, 47);
  if (!CLASSES[v.verdict].includes(v.class)) throw malformed('verdict: class does not go with it');
  if ('dc' in v) string(v.dc, 0, 256);
  if ('method' in v) word(v.method, ['krb5', 'ldap']);
  if ('user' in v) {
    members(v.user, ['id', 'domain'], ['guid', 'upn', 'sam']);
    string(v.user.id, 1, 191);
    for (const [name, max] of [['domain', 256], ['guid', 36], ['upn', 256], ['sam', 256]]) if (name in v.user) string(v.user[name], 0, max);
  }
  if ('attributes' in v) checkAttributes(v);
  if ('raw' in v) {
    members(v.raw, [], ['ldap', 'krb', 'ntstatus']);
    for (const [name, text] of Object.entries(v.raw)) string(text, 0, name === 'ldap' ? 63 : 31);
  }
  members(v.t, ['opened', 'dc', 'total']);
  for (const name of ['opened', 'dc', 'total']) integer(v.t[name], 0, 4294967295);
  checkUser(v);
}

async function openVerdict(jwe, rk) {
  const parts = String(jwe).split('.');
  if (parts.length !== 5 || jwe.length > 8192) throw malformed('verdict: not a compact JWE'); // no vector: jose counts the parts; header and plaintext have their own limits
  const header = parseHeader(parts[0]);
  members(header, ['alg', 'enc', 'typ', 'cty']);
  if (header.typ !== 'postern-verdict+jwe' || header.cty !== 'JWT') throw malformed('verdict: header');
  if (header.alg !== 'dir' || header.enc !== 'A256GCM' || parts[1] !== '') throw malformed('verdict: header'); // no vector: jose is told the same
  fromB64u(parts[2], 12); // no vector: jose refuses it, too
  fromB64u(parts[3]);
  fromB64u(parts[4], 16); // no vector: jose refuses it, too
  try {
    const opened = await jose.compactDecrypt(jwe, rk, { keyManagementAlgorithms: ['dir'], contentEncryptionAlgorithms: ['A256GCM'] });
    return opened.plaintext;
  } catch {
    throw malformed('verdict: rk does not open it');
  }
}

const ofDomain = (account, sid) => account.startsWith(`${sid}-`) && /^(0|[1-9][0-9]{0,9})$/.test(account.slice(sid.length + 1)) &&
  Number(account.slice(sid.length + 1)) <= 0xffffffff;

// The account is of the domain that was asked, by its name and its SID.
function checkAccount(request, user) {
  if (user.domain !== request.domain) throw malformed('verdict: an account of another domain');
  if (request.domainSid && !ofDomain(user.id, request.domainSid)) throw malformed('verdict: not an account of the domain');
  if (request.otherSids.some((sid) => ofDomain(user.id, sid))) throw malformed('verdict: an account of another domain of the roster');
}

// Section 8.3. request is makeRequest's. Whatever is Refused means unavailable.
export async function checkVerdict(request, jwe, now) {
  const jws = parseJws(unpad(await openVerdict(jwe, request.rk), request.padded), 'postern-verdict+jwt');
  const live = (k) => k.kid === jws.kid && k.nbf <= now + SKEW && now - SKEW < k.exp;
  const signer = request.to.find((c) => c.kid === jws.kid || c.sign?.some(live));
  if (!signer) throw new Refused('key', 'verdict: signed by nobody whom the request was sealed to');
  await verifyJws(jws, signer.kid === jws.kid ? signer.key : signer.sign.find(live).key);
  const v = parseObject(jws.payload);
  checkVerdictClaims(v);
  const expected = { iss: signer.id, aud: request.service, tenant: request.tenant, jti: request.id, req: request.req };
  for (const [name, value] of Object.entries(expected)) {
    if (v[name] !== value) throw malformed(`verdict: ${name} is another's`);
  }
  current(v, now);
  if (v.verdict === 'accepted') checkAccount(request, v.user);
  return v;
}
