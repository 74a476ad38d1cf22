// Checks tests/vectors/*.json with jose and with nothing of the project's C code: node vectors.mjs FOLDER [--first]
// --first: ends with the first one that fails.
import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROTECTED, checkVerdict, openDirectory, pad, parseJws, publicKey, sealTo, signJws, unpad, verifyJws, verifyRoster, verifyStatement }
  from './client.mjs';
import { decrypt, jweOf, parseRequest, share, takeRequest } from './connector.mjs';
import { Refused, fromB64u, parseObject, toB64u } from './strict.mjs';
import * as jose from 'jose';

const folder = process.argv[2];
const read = (name) => JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
const sha256 = (text) => toB64u(createHash('sha256').update(text).digest());
const [keys, roster, statements, identity, request, verdicts, negative] =
  ['keys', 'roster', 'statements', 'identity', 'request', 'verdicts', 'negative'].map(read);
const helpdesk = read('question');
const expectedRoster = { pin: roster.with.pin, tenant: roster.with.tenant, now: roster.with.now, minSeq: roster.with.min_seq };
const jwkOf = (name) => keys.keys[name].jwk;
const publicOf = ({ kty, crv, x, y }) => publicKey({ kty, crv, x, y });

let passed = 0;
const failures = [];

// Whether a check is of use: mutants.mjs knows which ones come by what it took away.
const isWanted = globalThis.isWanted ?? (() => true);

async function check(name, fn) {
  if (!isWanted()) return;
  try {
    await fn();
    passed += 1;
  } catch (e) {
    failures.push(`${name}: ${e.message}`);
    if (process.argv.includes('--first')) process.exit(1);
  }
}

// ---- right ones ----

async function checkJws(text, typ, signer, header, payload) {
  const jws = parseJws(text, typ);
  assert.equal(Buffer.from(text.split('.')[0], 'base64url').toString(), header);
  assert.equal(jws.payload.toString(), payload);
  await verifyJws(jws, await publicOf(jwkOf(signer)));
  // made anew by jose: the same signing input, another signature, which verifies too
  const anew = await signJws(await jose.importJWK(jwkOf(signer), 'ES256'), typ, keys.keys[signer].kid, payload);
  assert.equal(anew.split('.').slice(0, 2).join('.'), text.split('.').slice(0, 2).join('.'));
  await verifyJws(parseJws(anew, typ), await publicOf(jwkOf(signer)));
}

for (const [name, entry] of Object.entries(keys.keys)) {
  await check(`key ${name}`, async () => {
    const key = await publicOf(entry.jwk);
    assert.equal(key.kid, entry.kid);
    assert.equal(sha256(entry.thumbprint_input), entry.kid);
    assert.equal(key.pin, entry.pin);
  });
}

await check('roster', async () => {
  await checkJws(roster.jws, 'postern-roster+jwt', roster.signer, roster.header, roster.payload);
  const r = await verifyRoster(roster.jws, expectedRoster);
  assert.deepEqual([r.connectors.length, r.services.length, r.seq], [2, 1, 7]);
});

await check('a person of the roster', async () => {
  const { with: w, jws } = helpdesk.roster;
  const r = await verifyRoster(jws, { pin: w.pin, tenant: w.tenant, now: w.now, minSeq: w.min_seq });
  assert.deepEqual(r.people.map((p) => [p.kid, p.role, p.domains]), [[keys.keys.frida.kid, 'helpdesk', ['corp.example']]]);
});

await check('question and answer', async () => {
  const { question: q, answer: a, by_time: t } = helpdesk;
  await checkJws(q.jws, 'postern-question+jwt', 'frida', q.header, q.claims);
  await checkJws(t.jws, 'postern-question+jwt', 'frida', q.header, t.claims);
  await checkJws(a.jws, 'postern-answer+jwt', 'berlin-1', a.header, a.claims);
  const { shared, lines } = await parseRequest(q.sealed);
  const opened = await jose.generalDecrypt(jweOf(shared, lines[0]), await jose.importJWK(jwkOf(q.open_with), 'ECDH-ES+A256KW'));
  assert.equal(Buffer.from(opened.plaintext).toString(), q.jws.padEnd(2048));
  assert.equal(sha256(q.jws), q.req);
  assert.equal(JSON.parse(a.claims).req, q.req);
  const answer = await jose.compactDecrypt(a.jwe, fromB64u(helpdesk.rk, 32));
  assert.deepEqual(answer.protectedHeader, { alg: 'dir', enc: 'A256GCM', typ: 'postern-answer+jwe', cty: 'JWT' });
  assert.equal(Buffer.from(answer.plaintext).toString(), a.jws.padEnd(a.padded_length));
  assert.equal(JSON.parse(JSON.parse(a.claims).body).ok, true);
});

const trusted = await verifyRoster(roster.jws, expectedRoster);

for (const s of statements.statements) {
  await check(`statement of ${s.connector}`, async () => {
    await checkJws(s.jws, 'postern-keys+jwt', s.signer, s.header, s.payload);
    assert.equal((await verifyStatement(s.jws, trusted, statements.with.now)).connector.id, s.connector);
  });
}

await check('answer of GET keys', async () => {
  const d = await openDirectory(statements.keys_answer, expectedRoster);
  assert.deepEqual([d.statements.length, d.refused], [2, 0]);
  assert.equal(d.statements[0].connector.id, statements.statements[0].connector);
});

await check('what changed of the keys', async () => {
  const base = await openDirectory(statements.keys_answer, expectedRoster);
  const d = await openDirectory(statements.keys_change, expectedRoster, base);
  assert.deepEqual([d.statements.map((s) => s.text), d.refused], [[statements.signing.jws], 0]);
  assert.equal(d.roster, base.roster);
  assert.deepEqual([...base.ready.values(), ...d.ready.values()], [64, 16]);
  assert.equal(await refusal(openDirectory(statements.keys_change, expectedRoster)), 'malformed');
  assert.equal(await refusal(openDirectory(statements.keys_change, expectedRoster, d)), 'malformed');
  const change = parseObject(statements.keys_change);
  for (const gone of [{}, Array.from({ length: 1025 }, () => 'x')]) {
    assert.equal(await refusal(openDirectory(JSON.stringify({ ...change, gone }), expectedRoster, base)), 'malformed');
  }
  assert.equal((await openDirectory(JSON.stringify({ ...change, gone: Array.from({ length: 1024 }, () => 'x') }), expectedRoster, base)).statements.length, 2);
  assert.equal(await refusal(openDirectory(statements.keys_change, { ...expectedRoster, now: base.roster.exp + 121 }, base)), 'expired');
});

await check('identity', async () => {
  await checkJws(identity.proof, 'postern-identity+jwt', identity.signer, identity.header, identity.payload);
  const body = parseObject(identity.body);
  await verifyJws(parseJws(body.proof, 'postern-identity+jwt'), await publicKey(body.jwk));
});

await check('request: claims, JWS, padding', async () => {
  await checkJws(request.jws, 'postern-request+jwt', request.signer, request.header, request.claims);
  assert.equal(sha256(request.jws), request.req);
  assert.equal(request.padded, request.jws.padEnd(2048, ' '));
  assert.equal(sha256(request.padded), request.padded_sha256);
  assert.equal(parseObject(request.claims).rk, request.rk);
});

await check('request: both recipients open', async () => {
  const parsed = await parseRequest(request.sealed);
  assert.equal(parsed.padded, request.padded_length);
  assert.equal(fromB64u(PROTECTED).toString(), request.protected);
  for (const [i, name] of request.recipient_keys.entries()) {
    assert.equal(Buffer.from(await decrypt(parsed, i, jwkOf(name))).toString(), request.padded);
    assert.equal(share(parsed, i), request.shares[i]);
    // jose's own reading of the JWE that it stands for
    const [shared, line] = request.shares[i].split('\n');
    const opened = await jose.generalDecrypt(jweOf(shared, line), await jose.importJWK(jwkOf(name), 'ECDH-ES+A256KW'));
    assert.equal(Buffer.from(opened.plaintext).toString(), request.padded);
  }
});

await check('request: sealed anew by jose, to one and to two', async () => {
  const keysOf = (names) => names.map((name) => ({ jwk: { ...jwkOf(name), d: undefined }, kid: keys.keys[name].kid }));
  for (const names of [request.recipient_keys.slice(0, 1), request.recipient_keys]) {
    const text = await sealTo(pad(request.jws, 2048), keysOf(names));
    const parsed = await parseRequest(text);
    assert.equal(parsed.kids.length, names.length);
    assert.equal(Buffer.from(await decrypt(parsed, 0, jwkOf(names[0]))).toString(), request.padded);
  }
});

await check('request: a change of the password, in the larger class', async () => {
  const { sealed, claims, jws, req, padded_length: padded, open_with: name } = request.change;
  await checkJws(jws, 'postern-request+jwt', request.signer, request.header, claims);
  assert.equal(sha256(jws), req);
  const parsed = await parseRequest(sealed);
  assert.equal(parsed.padded, padded);
  assert.equal(unpad(await decrypt(parsed, 0, jwkOf(name)), padded), jws);
});

const self = async (c = {}) => ({
  kid: keys.keys['berlin-1'].kid, keys: new Map([[keys.keys['berlin-1-enc'].kid, jwkOf('berlin-1-enc')]]), tenant: request.with.tenant,
  roster: trusted, id: c.id ?? request.with.id, now: c.now ?? request.with.now, seen: new Set(),
});

await check('request: taken by a connector', async () => {
  const taken = await takeRequest(request.shares[0], await self());
  assert.equal(taken.says, 'accepted');
  assert.equal(taken.req, request.req);
});

const asked = {
  id: verdicts.with.id, req: verdicts.with.req, padded: verdicts.with.padded, rk: fromB64u(verdicts.with.rk, 32), service: verdicts.with.service, tenant: verdicts.with.tenant,
  domain: verdicts.with.domain, domainSid: verdicts.with.domain_sid, otherSids: verdicts.with.other_sids,
  to: trusted.connectors.filter((c) => verdicts.with.sealed_to.some((s) => s.kid === c.kid && s.id === c.id)),
};

// The first connector's statement certified these keys.
const signOf = async ({ key, nbf, exp }) => [{ kid: keys.keys[key].kid, nbf, exp, key: await publicOf(jwkOf(key)) }];
const certified = async (sign) =>
  (sign ? { ...asked, to: [{ ...asked.to[0], sign: await signOf(sign) }, ...asked.to.slice(1)] } : asked);

for (const v of verdicts.verdicts) {
  await check(`verdict ${v.name}`, async () => {
    await checkJws(v.jws, 'postern-verdict+jwt', verdicts.signer, verdicts.header, v.claims);
    const opened = await jose.compactDecrypt(v.jwe, asked.rk);
    assert.equal(unpad(opened.plaintext, verdicts.with.padded), v.jws);
    assert.equal(JSON.stringify(await checkVerdict({ ...asked, domainSid: v.domain_sid ?? asked.domainSid }, v.jwe, verdicts.with.now)),
      JSON.stringify(parseObject(v.claims)));
  });
}

await check('verdict by a signing key', async () => {
  const v = verdicts.signing;
  await checkJws(statements.signing.jws, 'postern-keys+jwt', statements.signing.signer, statements.signing.header, statements.signing.payload);
  const [sign] = (await verifyStatement(statements.signing.jws, trusted, statements.with.now)).sign;
  assert.deepEqual([sign.kid, sign.nbf, sign.exp], [keys.keys[v.sign.key].kid, v.sign.nbf, v.sign.exp]);
  await checkJws(v.jws, 'postern-verdict+jwt', v.signer, v.header, v.claims);
  assert.equal(JSON.stringify(await checkVerdict(await certified(v.sign), v.jwe, verdicts.with.now)), JSON.stringify(parseObject(v.claims)));
});

await check('verdict on a change, in its class', async () => {
  const { id, req, padded_length: padded } = request.change;
  const on = { ...asked, id, req, padded };
  await checkJws(verdicts.change.jws, 'postern-verdict+jwt', verdicts.signer, verdicts.header, verdicts.change.claims);
  assert.equal((await checkVerdict(on, verdicts.change.jwe, verdicts.with.now)).reason, 'password_changed');
  assert.equal(await refusal(checkVerdict({ ...on, padded: 2048 }, verdicts.change.jwe, verdicts.with.now)), 'malformed');
});

// ---- wrong ones ----

async function refusal(promise) {
  try {
    await promise;
  } catch (e) {
    if (e instanceof Refused) return e.what;
    throw e;
  }
  return 'accepted';
}

for (const c of negative.rosters) {
  await check(`wrong roster ${c.name}`, async () => {
    const expected = { pin: c.pin ?? roster.with.pin, tenant: c.tenant ?? roster.with.tenant, now: c.now ?? roster.with.now,
      minSeq: c.min_seq ?? roster.with.min_seq };
    assert.equal(await refusal(verifyRoster(c.text, expected)), c.expect);
  });
}

for (const c of negative.statements) {
  await check(`wrong statement ${c.name}`, async () => {
    assert.equal(await refusal(verifyStatement(c.text, trusted, c.now ?? statements.with.now)), c.expect);
  });
}

await check('a relay that adds statements of its own', async () => {
  const answer = parseObject(statements.keys_answer);
  answer.statements.unshift(...negative.statements.filter((c) => !('now' in c)).map((c) => c.text));
  answer.ready.unshift({ kid: keys.keys.stranger.kid, realms: ['corp.example'] });
  const d = await openDirectory(JSON.stringify(answer), expectedRoster);
  assert.deepEqual(d.statements.map((s) => s.connector.id), statements.statements.map((s) => s.connector));
  assert.ok(d.refused > 10);
});

await check('answers of GET keys of another form', async () => {
  const answer = parseObject(statements.keys_answer);
  const many = Array.from({ length: 513 }, () => answer.statements[0]);
  for (const wrong of [{ statements: {} }, { statements: many }, { ready: {} }, { ready: many.map(() => answer.ready[0]) }, { roster: 7 }]) {
    assert.equal(await refusal(openDirectory(JSON.stringify({ ...answer, ...wrong }), expectedRoster)), 'malformed', Object.keys(wrong)[0]);
  }
  const d = await openDirectory(JSON.stringify({ ...answer, statements: [7, ...answer.statements] }), expectedRoster);
  assert.deepEqual([d.statements.length, d.refused], [2, 1]);
});

for (const c of negative.requests) {
  await check(`wrong request ${c.name}`, async () => {
    const me = await self(c);
    if (c.after_itself) assert.equal((await takeRequest(c.text, me)).says, 'accepted');
    assert.equal((await takeRequest(c.text, me)).says, c.expect);
    const relay = await refusal(parseRequest(c.text));
    assert.equal(relay === 'accepted' ? undefined : relay, c.relay);
  });
}

for (const c of negative.verdicts) {
  await check(`wrong verdict ${c.name}`, async () => {
    const said = await refusal(checkVerdict({ ...(await certified(c.sign)), domainSid: c.domain_sid ?? asked.domainSid, padded: c.padded ?? asked.padded }, c.text, c.now ?? verdicts.with.now));
    assert.equal(said === 'accepted', c.expect === 'accepted', said);
  });
}

const total = negative.rosters.length + negative.statements.length + negative.requests.length + negative.verdicts.length;
await check('enough wrong ones', async () => assert.ok(total >= 100));

for (const failure of failures) console.error(failure);
console.log(`${passed} passed, ${failures.length} failed`);
process.exit(failures.length ? 1 : 0);
