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
  // urls: of the relay's nodes, with blanks between. They are asked in that order, each until it fails.
  constructor({ urls, tenant, bearer, ca, sandbox = false }) {
    Object.assign(this, { urls: urls.trim().split(/ +/).map((url) => url.replace(/\/+$/, '')), at: 0, tenant, bearer, sandbox });
    this.agent = new Agent({ ca: ca && readFileSync(ca), keepAlive: true, minVersion: 'TLSv1.2' });
  }

  goOn() {
    this.at = (this.at + 1) % this.urls.length;
  }

  // {status, headers, body (Buffer)}. Rejects when no whole answer came in ms; `sent` of the error says whether a byte of the request may have left.
  call(method, path, { headers = {}, body, ms = 15000, bearer = this.bearer } = {}) {
    return new Promise((resolve, reject) => {
      const all = { ...(bearer && { Authorization: `Bearer ${bearer}` }), ...(body && { 'Content-Length': Buffer.byteLength(body) }), ...headers };
      let sent = false;
      const fail = (e) => reject(Object.assign(e, { sent }));
      const req = httpsRequest(`${this.urls[this.at]}${path}`, { method, agent: this.agent, headers: all, signal: AbortSignal.timeout(ms) }, (res) => {
        const parts = [];
        let n = 0;
        res.on('data', (part) => {
          n += part.length;
          if (n > ANSWER_MAX) req.destroy(new Error('the answer is too long'));
          parts.push(part);
        });
        res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, body: Buffer.concat(parts) }));
        res.on('error', fail);
      });
      req.on('socket', (socket) => {
        if (req.reusedSocket) sent = true;
        else socket.once('secureConnect', () => { sent = true; });
      });
      req.on('error', fail);
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

// Of the node that is asked. elsewhere: another one may do better.
async function fetchThere(relay, pin, service, base) {
  let answer;
  try {
    answer = await relay.call('GET', relay.path('keys') + (base?.state ? `?since=${base.state}` : ''));
  } catch (e) {
    return { failed: { problem: 'transport', started: 'no', retry: 'later', detail: e.message }, elsewhere: true };
  }
  if (answer.status === 304) return { directory: base };
  if (answer.status !== 200) return { failed: problemOf(answer), elsewhere: answer.status >= 500 };
  try {
    const directory = await openDirectory(answer.body, { pin, tenant: relay.tenant, now: now(), minSeq: service.seq, sandbox: relay.sandbox }, base);
    const hash = hashOf(directory.rosterText);
    if (directory.roster.seq === service.seq && service.hash && hash !== service.hash) throw new Refused('seq', 'another roster of a number seen before');
    if (directory.roster.seq > service.seq) keepSeq(service, directory.roster.seq, hash);
    return { directory, elsewhere: directory.ready.size === 0 };
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
    return { failed: { problem: 'bad-keys', started: 'no', retry: 'later', detail: `${e.what}: ${e.message}` } };
  }
}

// base: what was fetched before, since which the relay tells what changed; or nothing.
// service keeps the highest roster seq that it ever saw, and the hash of its text, on disk: no older roster is taken again, nor another of that seq.
export async function fetchDirectory(relay, pin, service, base) {
  let found;
  for (let left = relay.urls.length; left > 0; left -= 1) {
    found = await fetchThere(relay, pin, service, base);
    if (!found.elsewhere) break;
    if (left > 1) relay.goOn();
  }
  return found;
}

// The request as it is goes to the next node only where not a byte of it left.
async function postSomewhere(relay, request) {
  for (let left = relay.urls.length; ; left -= 1) {
    try {
      return await postRequest(relay, request);
    } catch (e) {
      if (e.sent || left === 1) throw e;
      relay.goOn();
    }
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
    return { ...await outcomeOf(request, await postSomewhere(relay, request)), tried: request.sealedTo, directory };
  } catch (e) {
    return { id: request.id, problem: 'transport', started: e.sent ? 'unknown' : 'no', retry: e.sent ? 'never' : 'later', detail: e.message };
  } finally {
    request.rk.fill(0);
  }
}

// One sign-in, tried a second time only where the relay says that nobody started on the first: at the next node, where there is one and
// this one cannot take it now.
export async function signIn(relay, pin, service, params) {
  const first = await attempt(relay, pin, service, params);
  const elsewhere = first.status === 503 && relay.urls.length > 1;
  const again = first.started === 'no' && (elsewhere || ['now', 'refresh-keys'].includes(first.retry) || first.problem === 'busy');
  if (again && elsewhere) {
    first.retry = 'now';
    relay.goOn();
  }
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

export const openRelay = (o) => new Relay({ urls: o.relay, tenant: o.tenant, bearer: secretOf(o['secret-file']), ca: o.ca, sandbox: o.sandbox });

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
