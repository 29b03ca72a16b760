// Encoding against the npm package @huggingface/tokenizers: the same files and tokenizer.json, in turn, one
// thread each; and whether the ids are equal. bench/README.md.
//   node tokenizer_npm.mjs [--rounds N] PROGRAM TOKENIZER_DIR FILE...
// PROGRAM is frugal_bench_tokenizer; the package is looked for in NODE_MODULES (a node_modules folder).
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const words = process.argv.slice(2);
const rounds = words[0] === '--rounds' ? Number(words.splice(0, 2)[1]) : 3;
const [program, directory, ...files] = words;
const modules = process.env.NODE_MODULES;
if (files.length === 0 || !modules) {
  console.error('NODE_MODULES=DIR/node_modules node tokenizer_npm.mjs [--rounds N] PROGRAM TOKENIZER_DIR FILE...');
  process.exit(2);
}
const entry = join(modules, '@huggingface/tokenizers/dist/tokenizers.mjs');
const { Tokenizer } = await import(pathToFileURL(entry).href);
const json = (name) => JSON.parse(readFileSync(join(directory, name), 'utf8'));
const tokenizer = new Tokenizer(json('tokenizer.json'), json('tokenizer_config.json'));

const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
const scratch = mkdtempSync(join(tmpdir(), 'tokenizer-'));

// [ids, MB/s] of frugal, which measures itself: the start of the process does not count.
function encodeWithFrugal(file) {
  const out = execFileSync(program, ['--rounds', '1', '--ids', join(scratch, 'ids'), directory, file], { encoding: 'utf8' });
  const bytes = readFileSync(join(scratch, 'ids.0'));
  return [new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4), Number(out.trim().split('\n').pop().trim().split(/\s+/)[3])];
}

function encodeWithPackage(text, bytes) {
  const start = process.cpuUsage();
  const { ids } = tokenizer.encode(text, { add_special_tokens: false });
  const { user, system } = process.cpuUsage(start);
  return [ids, bytes / (user + system)];
}

// The text around the first difference, as the tokens of both.
function difference(ours, theirs) {
  let i = 0;
  while (ours[i] === theirs[i]) ++i;
  const around = (ids) => tokenizer.decode(Array.from(ids.slice(Math.max(0, i - 4), i + 6)));
  return `differs at token ${i}: ${JSON.stringify(around(ours))} is ${ours.slice(i, i + 6)} here, ${theirs.slice(i, i + 6)} there`;
}

console.log('     bytes     tokens   frugal  package  ratio  ids    file');
let differ = 0;
for (const file of files) {
  const data = readFileSync(file);
  const text = data.toString('utf8');
  const rates = [[], []];
  let ours, theirs;
  for (let round = 0; round < rounds; ++round) {
    const [a, rateA] = encodeWithFrugal(file);
    const [b, rateB] = encodeWithPackage(text, data.length);
    [ours, theirs] = [a, b];
    rates[0].push(rateA);
    rates[1].push(rateB);
  }
  const equal = ours.length === theirs.length && ours.every((id, i) => id === theirs[i]);
  const [a, b] = rates.map(median);
  const cells = [String(data.length).padStart(10), String(ours.length).padStart(10), a.toFixed(1).padStart(8), b.toFixed(2).padStart(8), (a / b).toFixed(1).padStart(6), equal ? ' equal' : ' DIFFER'];
  console.log(cells.join(' '), '', file);
  if (!equal) {
    ++differ;
    console.log('  ', difference(ours, theirs));
  }
}
rmSync(scratch, { recursive: true });
process.exit(differ === 0 ? 0 : 1);
