// The relay's calls (PROTOCOL.md, sections 10 and 11) over node:https. Follows no redirects, bounds answers and time.
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import { parseArgs } from 'node:util';
import './webcrypto.mjs';
import * as jose from 'jose';
import { checkVerdict, makeRequest, namesAnother, openDirectory } from './client.mjs';
import { Refused, parseObject } from './strict.mjs';

const ANSWER_MAX = 4 * 1024 * 1024;

export class Relay {
  constructor({ url, tenant, bearer, ca, sandbox = false }) {
    Object.assign(this, { url: url.replace(/\/+$/, ''), tenant, bearer, sandbox });
    this.agent = new Agent({ ca: ca && readFileSync(ca), keepAlive: true, minVersion: 'TLSv1.2' });
  }

  // {status, headers, body (Buffer)}. Rejects when no whole answer came in ms.
  call(method, path, { headers = {}, body, ms = 15000, bearer = this.bearer } = {}) {
    return new Promise((resolve, reject) => {
      const all = { ...(bearer && { Authorization: `Bearer ${bearer}` }), ...(body && { 'Content-Length': Buffer.byteLength(body) }), ...headers };
      const req = httpsRequest(`${this.url}${path}`, { method, agent: this.agent, headers: all, signal: AbortSignal.timeout(ms) }, (res) => {
        const parts = [];
        let n = 0;
        res.on('data', (part) => {
          n += part.length;
          if (n > ANSWER_MAX) req.destroy(new Error('the answer is too long'));
          parts.push(part);
        });
        res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, body: Buffer.concat(parts) }));
        res.on('error', reject);
      });
      req.on('error', reject);
      req.end(body);
    });
  }

  path(rest) {
    return `/v1/tenants/${this.tenant}/${rest}`;
  }

  close() {
    this.agent.destroy();
  }
}

// A problem document as {status, problem, started, retry, reasons, detail}; what is none says nothing, so it counts as started unknown.
export function problemOf(answer) {
  const base = { status: answer.status, problem: 'bad-answer', started: 'unknown', retry: 'never' };
  if (!String(answer.headers['content-type']).startsWith('application/problem+json')) return base;
  try {
    const p = parseObject(answer.body);
    const type = String(p.type).replace(/^urn:postern:/, '');
    return { ...base, problem: type, started: p.started ?? 'unknown', retry: p.retry ?? 'never', reasons: p.reasons, detail: p.detail };
  } catch {
    return base;
  }
}

export const now = () => Math.floor(Date.now() / 1000);

// base: what was fetched before, since which the relay tells what changed; or nothing.
// service keeps the highest roster seq that it ever saw, and the hash of its text, on disk: no older roster is taken again, nor another of that seq.
export async function fetchDirectory(relay, pin, service, base) {
  const answer = await relay.call('GET', relay.path('keys') + (base?.state ? `?since=${base.state}` : ''));
  if (answer.status === 304) return { directory: base };
  if (answer.status !== 200) return { failed: problemOf(answer) };
  try {
    const directory = await openDirectory(answer.body, { pin, tenant: relay.tenant, now: now(), minSeq: service.seq, sandbox: relay.sandbox }, base);
    const hash = hashOf(directory.rosterText);
    if (directory.roster.seq === service.seq && service.hash && hash !== service.hash) throw new Refused('seq', 'another roster of a number seen before');
    if (directory.roster.seq > service.seq) keepSeq(service, directory.roster.seq, hash);
    return { directory };
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
    return { failed: { problem: 'bad-keys', started: 'no', retry: 'later', detail: `${e.what}: ${e.message}` } };
  }
}

export const postRequest = (relay, request, { budget = 8000, headers = {}, ...rest } = {}) =>
  relay.call('POST', relay.path('sign-ins'), {
    headers: { 'Content-Type': 'application/postern-request', 'Postern-Id': request.id, 'Postern-Budget': String(budget), ...headers },
    body: request.body, ms: budget + 1000, ...rest,
  });

// What came of a POST: {verdict, connector} or a problem.
export async function outcomeOf(request, answer) {
  if (answer.status !== 200) return { id: request.id, ...problemOf(answer) };
  try {
    const verdict = await checkVerdict(request, answer.body.toString('latin1'), now());
    return { id: request.id, status: 200, verdict, connector: answer.headers['postern-connector'] };
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
    return { id: request.id, status: 200, problem: 'bad-verdict', started: 'unknown', retry: 'never', detail: e.message };
  }
}

// again: { problem, id, tried } of the first attempt. The second is made after stale-keys, or where the relay goes down,
// anyhow; else only if the fresh keys name somebody who was not tried.
async function attempt(relay, pin, service, params, again) {
  const { directory, failed } = await fetchDirectory(relay, pin, service, again?.directory);
  if (failed) return failed;
  const { id: first, tried = [], retry, problem } = again ?? {};
  if (again && retry !== 'now' && problem !== 'stale-keys' && !namesAnother(directory, params.username, now(), tried)) return again;
  let request;
  try {
    request = await makeRequest(directory, service, { ...params, now: now(), first, tried });
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
    return { problem: e.what, started: 'no', retry: 'later', detail: e.message };
  }
  try {
    return { ...await outcomeOf(request, await postRequest(relay, request)), tried: request.sealedTo, directory };
  } catch (e) {
    return { id: request.id, problem: 'transport', started: 'unknown', retry: 'never', detail: e.message };
  } finally {
    request.rk.fill(0);
  }
}

// One sign-in, tried a second time only where the relay says that nobody started on the first.
export async function signIn(relay, pin, service, params) {
  const first = await attempt(relay, pin, service, params);
  const again = first.started === 'no' && (['now', 'refresh-keys'].includes(first.retry) || first.problem === 'busy');
  const { tried, directory, ...outcome } = again ? await attempt(relay, pin, service, params, first) : first;
  return outcome;
}

// ---- what the programs share ----

const OPTIONS = ['relay', 'tenant', 'pin', 'ca', 'secret-file', 'service', 'user', 'admin-secret-file'];

export function options() {
  const spec = { ...Object.fromEntries(OPTIONS.map((name) => [name, { type: 'string' }])), sandbox: { type: 'boolean' } };
  const { values } = parseArgs({ options: spec });
  for (const name of ['relay', 'tenant', 'pin', 'secret-file', 'service']) {
    if (!values[name]) {
      console.error(`--${name} is missing`);
      process.exit(2);
    }
  }
  return values;
}

export const secretOf = (file) => readFileSync(file, 'utf8').trim();

export const openRelay = (o) => new Relay({ url: o.relay, tenant: o.tenant, bearer: secretOf(o['secret-file']), ca: o.ca, sandbox: o.sandbox });

// A folder of keygen.mjs.
export async function loadService(folder) {
  const { id, kid } = JSON.parse(readFileSync(`${folder}/service.pub.json`, 'utf8'));
  const key = await jose.importJWK(JSON.parse(readFileSync(`${folder}/service.key.json`, 'utf8')), 'ES256');
  let seq = 0;
  let hash = '';
  try {
    seq = JSON.parse(readFileSync(`${folder}/roster.seq`, 'utf8'));
    hash = JSON.parse(readFileSync(`${folder}/roster.hash`, 'utf8'))[seq] ?? '';
  } catch (e) {
    if (e.code !== 'ENOENT') throw e;
  }
  return { id, kid, key, folder, seq, hash };
}

const hashOf = (text) => createHash('sha256').update(text).digest('base64url');

function keepSeq(service, seq, hash) {
  writeFileSync(`${service.folder}/roster.hash`, JSON.stringify({ [seq]: hash }));
  writeFileSync(`${service.folder}/roster.seq.new`, String(seq));
  renameSync(`${service.folder}/roster.seq.new`, `${service.folder}/roster.seq`);
  service.seq = seq;
  service.hash = hash;
}
