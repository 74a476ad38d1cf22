// Asks postern-gateway whether a password is right: node sign-in.mjs SOCKET USER, the password on standard input. It is TypeScript, too.
import { readFileSync } from 'node:fs';
import { request } from 'node:http';

const [socketPath, username] = process.argv.slice(2);
const options = { socketPath, path: '/v1/sign-in', method: 'POST', timeout: 20000, headers: { 'Content-Type': 'application/json' } };
const gateway = request(options, async (answer) => {
  let text = '';
  for await (const part of answer) text += part;
  const said = JSON.parse(text);
  // another status than 200: nobody was asked, which is a fault and never a wrong password
  if (answer.statusCode !== 200) throw new Error(`unavailable: ${said.title}`);
  if (said.verdict !== 'accepted') throw new Error(`${said.verdict}: ${said.text} (${said.id})`);
  console.log(said.user.domain, said.user.id); // the account: key it by both
});
gateway.on('timeout', () => gateway.destroy(new Error('unavailable: no answer')));
gateway.end(JSON.stringify({ username, password: readFileSync(0, 'utf8').trimEnd() }));
