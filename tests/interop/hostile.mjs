// A hostile service, and a careless one: everything it tries is refused, each with its own answer. Options as sign-in.mjs, and
// --admin-secret-file. The password on standard input is a wrong one: whoever calls this checks that no DC has counted it.
import { readFileSync } from 'node:fs';
import * as jose from 'jose';
import { PROTECTED, choose, freshId, makeRequest, pad, sealTo, signJws } from './client.mjs';
import { jweOf } from './connector.mjs';
import { parseObject } from './strict.mjs';
import { fetchDirectory, loadService, now, openRelay, options, outcomeOf, postRequest, problemOf, secretOf } from './relay.mjs';

const o = options();
const username = o.user;
const password = readFileSync(0, 'utf8').replace(/\n$/, '');
const relay = openRelay(o);
const service = await loadService(o.service);
const { directory, failed } = await fetchDirectory(relay, o.pin, service);
if (failed) throw new Error(JSON.stringify(failed));
const chosen = choose(directory, username, now());
if (chosen.length < 2) throw new Error('two connectors are needed');
const { privateKey: strangersKey, publicKey } = await jose.generateKeyPair('ES256', { extractable: true });
const strangersKid = await jose.calculateJwkThumbprint(await jose.exportJWK(publicKey));

const request = (change = (c) => c, as = service) => makeRequest(directory, as, { username, password, now: now(), change });
const edited = (edit) => (claims) => ({ ...claims, ...edit(claims) });

// ---- answers ----

// A signed verdict of this reason that asked no DC.
function verdict(reason, verdictWord = 'unavailable', classWord = 'infrastructure') {
  return (got) => {
    const v = got.verdict;
    return v?.verdict === verdictWord && v.class === classWord && v.reason === reason && v.may_have_counted === '0' && !v.dc && !v.user;
  };
}

// A problem of the relay: the password reached nobody.
const problem = (status, word, reason) => (got) =>
  got.status === status && got.problem === word && got.started === 'no' && (!reason || got.reasons?.includes(reason));

// ---- attempts ----

async function post(made, more) {
  return outcomeOf(made, await postRequest(relay, made, more));
}

// Signs a request's claims in another way and seals them to the same connectors.
async function signedOtherwise(made, sign) {
  const claims = Buffer.from(made.jws.split('.')[1], 'base64url').toString();
  made.jws = await sign(claims);
  made.req = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(made.jws))).toString('base64url');
  made.padded = made.jws.length > 2048 ? 4096 : 2048;
  made.body = await sealTo(pad(made.jws, made.padded), chosen.map((s) => s.keys[0]));
  return made;
}

const b64u = (text) => Buffer.from(text).toString('base64url');

// Puts something into the protected header without sealing anew: nobody may even try to open it.
function withProtected(made, edit) {
  const header = JSON.parse(Buffer.from(PROTECTED, 'base64url'));
  made.body = made.body.replace(PROTECTED, b64u(JSON.stringify({ ...header, ...edit })));
  return made;
}

// The request to one connector alone, signed by us, sealed again by that connector to the other one.
async function resealed() {
  const [first, second] = chosen;
  const made = await request(edited(() => ({ to: [first.connector.kid] })));
  made.to = [second.connector];
  made.body = await sealTo(pad(made.jws, made.padded), [second.keys[0]]);
  return post(made);
}

async function replayed() {
  const made = await request(edited(() => ({ password: '' }))); // refused at once, so that the first costs nothing
  const first = await post(made);
  if (first.verdict?.reason !== 'empty_password') return first;
  return post(made);
}

async function replayedUnderNewId() {
  const made = await request(edited(() => ({ password: '' })));
  await post(made);
  return post({ ...made, id: freshId() });
}

const ATTEMPTS = [
  ['wrong signature', verdict('request_signature'),
    async () => post(await signedOtherwise(await request(), (claims) => signJws(strangersKey, 'postern-request+jwt', service.kid, claims)))],
  ['not in the roster', verdict('service_unknown'), async () => post(await request(undefined, { id: service.id, key: strangersKey, kid: strangersKid }))],
  ['in the name of another service', verdict('service_unknown'), async () => {
    const other = freshId();
    return post({ ...(await request(edited(() => ({ iss: other })))), service: other });
  }],
  ['wrong audience', verdict('wrong_audience'), async () => post(await request(edited(() => ({ aud: 'fabrikam' }))))],
  ['re-sealed to another connector', verdict('not_addressed'), resealed],
  ['unknown operation', verdict('operation_unknown'), async () => post(await request(edited(() => ({ op: 'read-mail' }))))],
  ['empty password', verdict('empty_password', 'refused', 'credentials'), async () => post(await request(edited(() => ({ password: '' }))))],
  ['NUL in the password', verdict('bad_password_form', 'refused', 'credentials'), async () => post(await request(edited(() => ({ password: `a\0${password}` }))))],
  ['password too long', verdict('bad_password_form', 'refused', 'credentials'), async () => post(await request(edited(() => ({ password: 'x'.repeat(1025) }))))],
  ['a DN as name', verdict('bad_name_form', 'refused', 'credentials'), async () => post(await request(edited(() => ({ username: `CN=a,${username}` }))))],

  ['expired', problem(400, 'malformed', 'expired'), async () => post(await request(edited(() => ({ iat: now() - 600, exp: now() - 540 }))))],
  ['from the future', problem(400, 'malformed', 'expired'), async () => post(await request(edited(() => ({ iat: now() + 600, exp: now() + 660 }))))],
  ['living too long', problem(400, 'malformed', 'bad_request'), async () => post(await request(edited((c) => ({ exp: c.iat + 61 }))))],
  ['unsigned', problem(400, 'malformed', 'bad_request'), async () => post(await signedOtherwise(await request(), async (claims) =>
    `${b64u(JSON.stringify({ alg: 'none', typ: 'postern-request+jwt', kid: service.kid }))}.${b64u(claims)}.`))],
  ['a key in the header', problem(400, 'malformed', 'bad_request'), async () => post(await signedOtherwise(await request(), async (claims) =>
    new jose.CompactSign(Buffer.from(claims)).setProtectedHeader({ alg: 'ES256', typ: 'postern-request+jwt', kid: strangersKid,
      jwk: await jose.exportJWK(publicKey) }).sign(strangersKey)))],
  ['an unknown claim', problem(400, 'malformed', 'bad_request'), async () => post(await request(edited(() => ({ admin: true }))))],
  ['a claim twice', problem(400, 'malformed', 'bad_request'), async () => post(await signedOtherwise(await request(), (claims) =>
    signJws(service.key, 'postern-request+jwt', service.kid, claims.replace('{"v":1,', '{"v":1,"aud":"fabrikam",'))))],
  ['changed on the way', problem(400, 'malformed', 'bad_request'), async () => {
    const made = await request();
    const [header, iv, ciphertext, ...rest] = made.body.split('.');
    return post({ ...made, body: [header, iv, `${ciphertext[0] === 'A' ? 'B' : 'A'}${ciphertext.slice(1)}`, ...rest].join('.') });
  }],
  ['replayed under a new id', problem(400, 'malformed', 'bad_request'), replayedUnderNewId],

  ['replayed', problem(409, 'duplicate-id'), replayed],
  ['crit', problem(400, 'malformed'), async () => post(withProtected(await request(), { crit: ['exp'], exp: 1 }))],
  ['compressed', problem(400, 'malformed'), async () => post(withProtected(await request(), { zip: 'DEF' }))],
  ['CBC', problem(400, 'malformed'), async () => post(withProtected(await request(), { enc: 'A256CBC-HS512' }))],
  ['a plaintext of another length', problem(400, 'malformed'), async () => {
    const made = await request();
    return post({ ...made, body: await sealTo(Buffer.from(made.jws), chosen.map((s) => s.keys[0])) });
  }],
  ['the JWE in JSON', problem(400, 'malformed'), async () => {
    const made = await request();
    const [shared, line] = made.body.split('\n');
    return post({ ...made, body: JSON.stringify(jweOf(shared, line)) });
  }],
  ['another form', problem(400, 'malformed'), async () => post({ ...(await request()), body: 'username=alice&password=secret' })],
  ['no id', problem(400, 'malformed'), async () => post({ ...(await request()), id: 'short' })],
  ['a budget without end', problem(400, 'malformed'), async () => post(await request(), { headers: { 'Postern-Budget': '3600000' } })],
  ['oversized', problem(413, 'too-large'), async () => {
    const made = await request();
    return post({ ...made, body: made.body.padEnd(7077, ' ') });
  }],
  ['another media type', problem(415, 'unsupported-type'), async () => post(await request(), { headers: { 'Content-Type': 'application/json' } })],
  ['unknown recipient key', problem(422, 'stale-keys'), async () => {
    const made = await request();
    const { publicKey: nobody } = await jose.generateKeyPair('ECDH-ES+A256KW', { crv: 'P-256', extractable: true });
    const { kty, crv, x, y } = await jose.exportJWK(nobody);
    const jwk = { kty, crv, x, y };
    return post({ ...made, body: await sealTo(pad(made.jws, made.padded), [{ jwk, kid: await jose.calculateJwkThumbprint(jwk) }]) });
  }],
  ['wrong bearer', problem(401, 'bad-credentials'), async () => post(await request(), { bearer: 'x'.repeat(43) })],
  ['no bearer', problem(401, 'bad-credentials'), async () => post(await request(), { bearer: null })],
  ['the admin secret', problem(403, 'not-permitted'), async () => post(await request(), { bearer: secretOf(o['admin-secret-file']) })],
  ['another tenant', problem(404, 'no-such-tenant'), async () => problemOf(await relay.call('GET', '/v1/tenants/fabrikam/keys'))],
  ['a roster of its own', problem(403, 'not-permitted'), async () => problemOf(await relay.call('PUT', relay.path('roster'),
    { headers: { 'Content-Type': 'application/jose' }, body: 'a.b.c' }))],
  ['a roster with the admin secret, without the tenant key', (got) => got.status === 403 && got.problem === 'wrong-tenant-key', async () => {
    const { privateKey, publicKey: own } = await jose.generateKeyPair('ES256', { extractable: true });
    const { kty, crv, x, y } = await jose.exportJWK(own);
    const key = { kty, crv, x, y };
    const claims = { v: 1, tenant: o.tenant, key, seq: 9999, iat: now(), exp: now() + 3600, connectors: [], services: [], removed: [] };
    const body = await signJws(privateKey, 'postern-roster+jwt', await jose.calculateJwkThumbprint(key), claims);
    return problemOf(await relay.call('PUT', relay.path('roster'),
      { headers: { 'Content-Type': 'application/jose' }, body, bearer: secretOf(o['admin-secret-file']) }));
  }],
  ['deleting the roster', problem(405, 'no-such-method'), async () => problemOf(await relay.call('DELETE', relay.path('roster')))],
  ['a connector\'s stream without a certificate', problem(401, 'bad-credentials'),
    async () => problemOf(await relay.call('GET', `/v1/link/stream?boot=${b64u('sixteen bytes...')}`))],
];

let faults = 0;
for (const [name, expected, attempt] of ATTEMPTS) {
  let got;
  try {
    got = await attempt();
  } catch (e) {
    got = { error: e.message };
  }
  const ok = expected(got);
  faults += !ok;
  const said = got.verdict ? `verdict ${got.verdict.reason}` : `${got.status} ${got.problem} ${(got.reasons ?? []).join(',')}`;
  console.log(`${ok ? 'refused' : 'WRONG'}  ${name}: ${got.error ?? said.trim()}`);
  if (!ok) console.log(JSON.stringify(got));
}

// What the relay remembers of one of them names nobody.
const made = await request(edited(() => ({ aud: 'fabrikam' })));
await post(made);
const trail = parseObject((await relay.call('GET', relay.path(`sign-ins/${made.id}`))).body);
if (trail.state !== 'answered' || !trail.connector || JSON.stringify(trail).includes(username)) {
  faults += 1;
  console.log(`WRONG  metadata: ${JSON.stringify(trail)}`);
}

relay.close();
console.log(`${ATTEMPTS.length + 1 - faults} refused as they must be, ${faults} not`);
process.exitCode = faults ? 1 : 0;
