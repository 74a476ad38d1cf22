// Node 18 (Debian 12) has WebCrypto, but not under the names that jose expects. Imported before jose.
import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto;
globalThis.CryptoKey ??= webcrypto.CryptoKey;
