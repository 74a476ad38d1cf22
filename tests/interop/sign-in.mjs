// Signs somebody in: node sign-in.mjs --relay URL --tenant T --pin PIN --ca FILE --secret-file FILE --service FOLDER --user U [--sandbox]
// URL may be several, with blanks between: the relay's nodes.
// The password is one line of standard input; a second line is a new one, which is then set. Prints the outcome as JSON; 0 accepted, 1 refused, 2 wrong usage, 3 unavailable.
import { readFileSync } from 'node:fs';
import { loadService, openRelay, options, signIn } from './relay.mjs';

const o = options();
if (o.user === undefined) {
  console.error('--user is missing');
  process.exit(2);
}
const [password, newPassword] = readFileSync(0, 'utf8').replace(/\n$/, '').split('\n');
const relay = openRelay(o);
const outcome = await signIn(relay, o.pin, await loadService(o.service),
  { username: o.user, password, newPassword, client: { ip: '203.0.113.9', app: 'interop' } });

relay.close();
console.log(JSON.stringify(outcome));
process.exitCode = { accepted: 0, refused: 1 }[outcome.verdict?.verdict] ?? 3;
