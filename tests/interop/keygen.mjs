// Makes a service's key: node keygen.mjs FOLDER NAME. Prints its kid; FOLDER/service.pub.json is for `postern tenant approve-service`.
import './webcrypto.mjs';
import { mkdirSync, writeFileSync } from 'node:fs';
import * as jose from 'jose';
import { freshId } from './client.mjs';

const [folder, name] = process.argv.slice(2);
const { privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
const { kty, crv, x, y, d } = await jose.exportJWK(privateKey);
const jwk = { kty, crv, x, y };
const kid = await jose.calculateJwkThumbprint(jwk);

mkdirSync(folder, { recursive: true, mode: 0o700 });
writeFileSync(`${folder}/service.key.json`, JSON.stringify({ ...jwk, d }), { mode: 0o600, flag: 'wx' });
writeFileSync(`${folder}/service.pub.json`, JSON.stringify({ v: 1, id: freshId(), name, kid, jwk }));
console.log(kid);
