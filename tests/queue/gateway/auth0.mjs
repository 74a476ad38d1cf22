// Runs queue/gateway/auth0/login.js as Auth0 does: a function without a module, with its error classes and `configuration`.
// usage: auth0.mjs LOGIN_JS CONFIGURATION_JSON USER, the password on stdin. Prints what the callback got, as JSON.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import vm from 'node:vm';

const [, , script, configuration, user] = process.argv;
class WrongUsernameOrPasswordError extends Error {
  constructor(who, message) { super(message); this.who = who; this.kind = 'WrongUsernameOrPasswordError'; }
}
class UnauthorizedError extends Error {
  constructor(message) { super(message); this.kind = 'UnauthorizedError'; }
}
const sandbox = { require: createRequire(import.meta.url), configuration: JSON.parse(configuration), Buffer, URL, Error,
  WrongUsernameOrPasswordError, UnauthorizedError };
const login = vm.runInNewContext(`${readFileSync(script, 'utf8')}\nlogin`, sandbox);
let calls = 0;

process.on('exit', () => { if (calls !== 1) { console.error(`the callback was called ${calls} times`); process.exitCode = 3; } });
login(user, readFileSync(0, 'utf8'), (error, profile) => {
  calls++;
  console.log(JSON.stringify(error ? { error: error.kind ?? error.constructor.name, message: error.message, who: error.who ?? null } : { profile }));
});
