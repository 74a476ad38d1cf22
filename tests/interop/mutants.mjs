// Takes each check of this implementation away in turn and demands that some vector notices: node mutants.mjs FOLDER [EVERY]
// With EVERY, 3 say, each third one only.
//
// A check is a disjunct of an `if (...) throw`, a call of one of strict.mjs's readers, or one of the limits in such a call. (That a member is
// missing is seen by its reader as well, so that alone is no check here; the vectors have those cases for languages where it reads as 0.) A line that
// says `// no vector: WHY` is left out, one that says "// no vector for `WHAT`: WHY" as far as WHAT goes: nothing outside can tell, or another
// check sees the same. Prints the checks that nothing noticed; 1 if there is one.
import { on, once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';

const here = dirname(fileURLToPath(import.meta.url));
const FILES = ['strict.mjs', 'client.mjs'];
const READERS = ['members', 'integer', 'string', 'array', 'word', 'id', 'tenantName', 'kid', 'fromB64u'];
const EXEMPT = /\/\/ no vector(?: for `([^`]+)`)?: \S/;

// The index behind the text, comment or pattern that begins at i; i where none does.
function skip(text, i) {
  const from = (pattern) => {
    pattern.lastIndex = i;
    const found = pattern.exec(text);
    return found ? i + found[0].length : i;
  };
  if (text[i] === "'" || text[i] === '"') return from(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/y);
  if (text[i] === '`') return from(/`(?:[^`\\]|\\.)*`/y);
  if (text.startsWith('//', i)) return from(/\/\/[^\n]*/y);
  if (text[i] === '/' && /[(,=:[!&|?{};]\s*$/.test(text.slice(Math.max(0, i - 8), i))) return from(/\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y);
  return i;
}

// Calls fn(i, depth) for each character of code from `from` on until it returns true; the index where it did.
function walk(text, from, fn) {
  let depth = 0;
  for (let i = from; i < text.length; i += 1) {
    const behind = skip(text, i);
    if (behind > i) {
      i = behind - 1;
      continue;
    }
    if (')]}'.includes(text[i])) depth -= 1;
    if (fn(i, depth)) return i;
    if ('([{'.includes(text[i])) depth += 1;
  }
  throw new Error('brackets that do not close');
}

// What stands between the bracket at `open` and its partner: [begin, end) of each part, parted by `separator` at the top.
function parts(text, open, separator) {
  const found = [];
  let begin = open + 1;
  const end = walk(text, open, (i, depth) => {
    if (i > open && depth === 1 && text.startsWith(separator, i)) {
      found.push([begin, i]);
      begin = i + separator.length;
    }
    return i > open && depth === 0;
  });
  if (text.slice(begin, end).trim()) found.push([begin, end]);
  return { list: found, end };
}

const lineOf = (text, at) => text.slice(0, at).split('\n').length;

// [{at, begin, end, text}]: replace [begin, end) by text.
function mutantsOf(source) {
  const found = [];
  const lines = source.split('\n');
  const add = (begin, end, text, what) => {
    const line = lineOf(source, begin);
    const exempt = EXEMPT.exec(lines[line - 1]);
    if (!exempt || (exempt[1] && !what.includes(exempt[1]))) found.push({ line, begin, end, text, what });
  };
  for (const { index, 0: head } of source.matchAll(/\bif \(/g)) {
    const open = index + head.length - 1;
    const { list, end } = parts(source, open, '||');
    if (!/^\)\s*\{?\s*throw /.test(source.slice(end))) continue;
    for (const [a, b] of list) add(a, b, list.length > 1 ? ' false ' : 'false', `\`${source.slice(a, b).trim()}\` is not looked at`);
  }
  for (const { index, 1: before, 2: name } of source.matchAll(new RegExp(`(^|[^.\\w])(${READERS.join('|')})\\(`, 'gm'))) {
    const begin = index + before.length;
    if (/function $/.test(source.slice(0, begin))) continue;
    const { list, end } = parts(source, begin + name.length, ',');
    if (/^\s*\{/.test(source.slice(end + 1))) continue; // a method's definition
    const texts = list.map(([a, b]) => source.slice(a, b).trim());
    const call = (args) => `${name}(${args.join(', ')})`;
    const said = source.slice(begin, end + 1).replace(/\s+/g, ' ');
    const replace = (text, what) => add(begin, end + 1, text, `${said}: ${what}`);
    if (name === 'members') {
      replace(`present(${texts[0]}, ${texts[1]})`, 'members that are not listed pass');
      continue;
    }
    if (name !== 'fromB64u') replace(`(${texts[0]})`, 'is not looked at');
    const any = { fromB64u: ['undefined'], integer: ['-Infinity', 'Infinity'], string: ['-Infinity', 'Infinity', 'undefined'], array: ['-Infinity', 'Infinity'] }[name] ?? [];
    for (const [i, wide] of any.entries()) {
      if (texts[i + 1] !== undefined && !['0', wide].includes(texts[i + 1])) replace(call(Object.assign([...texts], { [i + 1]: wide })), `${texts[i + 1]} is no limit`);
    }
  }
  return found;
}

// A folder with the programs, one of them changed.
function make(folder, mutant) {
  mkdirSync(folder);
  cpSync(here, folder, { recursive: true, filter: (path) => path === here || path.endsWith('.mjs') });
  symlinkSync(join(here, 'node_modules'), join(folder, 'node_modules'));
  const source = readFileSync(join(here, mutant.file), 'utf8');
  const changed = source.slice(0, mutant.begin) + mutant.text + source.slice(mutant.end);
  const imports = mutant.file === 'strict.mjs' ? '' : "import { present, listed } from './strict.mjs';\n";
  writeFileSync(join(folder, mutant.file), imports + changed);
}

// Thrown where vectors.mjs would end the process.
class Ended extends Error {
  constructor(code) {
    super(`ended with ${code}`);
    this.code = code;
  }
}

// Whether the vectors notice; isWanted is asked before each. They run within this thread, so that jose is loaded once.
async function noticed(folder, vectors, isWanted) {
  process.argv.splice(2, process.argv.length, vectors, '--first');
  Object.assign(globalThis, { isWanted });
  process.exit = (code) => {
    throw new Ended(code);
  };
  try {
    await import(`${pathToFileURL(join(folder, 'vectors.mjs'))}?${(runs += 1)}`);
  } catch (e) {
    return !(e instanceof Ended) || e.code !== 0;
  } finally {
    process.exit = exit;
  }
  throw new Error('vectors.mjs did not end');
}

// The programs with nothing taken away tell for each mutant which vectors come by its place: [[number of a vector]].
async function visitors(queue, folder, vectors) {
  const seen = queue.map(() => new Set());
  let vector = -1;
  globalThis.visit = (n) => seen[n].add(vector);
  for (const file of FILES) {
    let source = readFileSync(join(folder, file), 'utf8');
    const marks = queue.flatMap((m, n) => (m.file === file ? [{ at: m.begin, text: `(globalThis.visit(${n}), `, long: m.begin - m.end },
      { at: m.end, text: '\n)', long: m.end - m.begin }] : []));
    marks.sort((a, b) => b.at - a.at || b.long - a.long);
    for (const { at, text } of marks) source = source.slice(0, at) + text + source.slice(at);
    writeFileSync(join(folder, file), source);
  }
  if (await noticed(folder, vectors, () => (vector += 1) >= 0)) throw new Error('the vectors fail before anything was taken away');
  return seen.map((s) => [...s]);
}

const exit = process.exit;
const vectors = process.argv[2];
let runs = 0;
console.log = () => {};
console.error = () => {};

// A thread's part: each message is a mutant's folder and the vectors that come by; the answer is whether they noticed.
async function serve() {
  for await (const [{ folder, visits }] of on(parentPort, 'message')) {
    const wanted = new Set(visits);
    let vector = -1;
    parentPort.postMessage((await noticed(folder, vectors, () => wanted.has((vector += 1)))) || (await noticed(folder, vectors, () => true)));
  }
}

// The queue by as many threads as there are processors; the mutants that were not noticed.
async function survivorsOf(queue, visits, top) {
  const found = [];
  let next = 0;
  const thread = async () => {
    const worker = new Worker(fileURLToPath(import.meta.url), { argv: [vectors] });
    while (next < queue.length) {
      const n = next;
      next += 1;
      const folder = join(top, String(n));
      make(folder, queue[n]);
      worker.postMessage({ folder, visits: visits[n] });
      const [seen] = await once(worker, 'message');
      if (!seen) found.push(queue[n]);
      rmSync(folder, { recursive: true, force: true });
    }
    await worker.terminate();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, thread));
  return found;
}

async function main() {
  const say = (text) => process.stdout.write(`${text}\n`);
  const top = mkdtempSync(join(tmpdir(), 'postern-mutants-'));
  const every = Number(process.argv[3] ?? 1);
  const queue = FILES.flatMap((file) => mutantsOf(readFileSync(join(here, file), 'utf8')).map((m) => ({ file, ...m }))).filter((_, n) => n % every === 0);
  let survivors;
  try {
    const whole = join(top, 'whole');
    make(whole, { file: 'strict.mjs', begin: 0, end: 0, text: '' });
    survivors = await survivorsOf(queue, await visitors(queue, whole, vectors), top);
  } finally {
    rmSync(top, { recursive: true, force: true });
  }
  survivors.sort((a, b) => a.file.localeCompare(b.file) || a.begin - b.begin);
  for (const s of survivors) say(`${s.file}:${s.line}: ${s.what}`);
  say(`${queue.length - survivors.length} of ${queue.length} checks are noticed when they are missing`);
  exit(survivors.length || !queue.length ? 1 : 0);
}

await (isMainThread ? main() : serve());
