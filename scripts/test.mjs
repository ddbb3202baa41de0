// Every check of the repository, each run even when an earlier one failed, then one table and one closing
// line. `npm test -- WORD...`: a stage's name runs that stage; any other word picks tests by file or title.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { bold, dim, failWith, howItEnded, progress, red, runTool, say, seconds } from './console.mjs';
import { setUp } from './setup.mjs';
import { allStages, isWanted, readWords } from './stages.mjs';
import { closingLine, judgeSkips, newTally } from './tally.mjs';
import { cargoRuns, missingPrograms, root } from './toolchain.mjs';

const MINUTE_MS = 60_000;
/** No single test of a normal run takes half of it. ava's own limit is off while a test could still ask for more. */
const QUIET_MS = process.env.RITSU_TEST_FULL === '1' ? undefined : 8 * MINUTE_MS;
const LISTED_MAX = 50;
let closed = false;

/** Which parts of the Rust toolchain are not here. */
function missingParts(withoutNative) {
  if (withoutNative !== undefined || !cargoRuns()) return ['cargo', 'rustfmt', 'clippy'];
  return [...(cargoRuns('fmt') ? [] : ['rustfmt']), ...(cargoRuns('clippy') ? [] : ['clippy'])];
}

async function runStage(stage, env, missing) {
  const tally = newTally();
  const begun = performance.now();
  say(`${bold(stage.name)} ...`);
  if (missing.includes(stage.needs)) {
    tally.skipped += 1;
    tally.skips.push(`stage ${stage.name}`);
    say(`${bold(stage.name)} skipped: it needs ${stage.needs}, which is not here`);
    return { tally, time: seconds(begun) };
  }
  const held = [];
  const read = stage.reader(tally, (line) => held.push(line));
  // A log that nobody watches keeps every line, as it comes.
  const take = (raw) => {
    const line = stripVTControlCharacters(raw);
    if (process.env.CI) say(line);
    read(line);
  };
  const stop = progress(stage.name, () => `${tally.passed} passed  ${tally.last}`);
  const [command, args] = stage.command;
  const result = await runTool(command, args, { cwd: root, env, timeoutMs: 40 * MINUTE_MS, quietMs: QUIET_MS, take });
  stop();
  read.end?.(result);
  if (!result.ok && tally.failed === 0) {
    tally.failed = 1;
    tally.failures.push(`${stage.name} ${howItEnded(result)}`);
  }
  if (held.length > 0 && tally.failed > 0 && !process.env.CI) say(held.join('\n'));
  const words = `${bold(stage.name)} ${closingLine(tally)}  ${dim(seconds(begun))}`;
  say(tally.failed > 0 ? red(words) : words);
  return { tally, time: seconds(begun) };
}

/** Causes that lie in the machine. One in our own binary (it does not load) excuses nothing. */
const MACHINE_CAUSES = new Set(['kernel', 'seccomp', 'sysctl', 'memlock', 'system']);

/** The backend that tests get by default; says so when it is not the ring. */
function defaultBackend({ node, env }) {
  if (env.RITSU_BACKEND) return env.RITSU_BACKEND;
  const ask = "import('./dist/index.js').then(({ backendInfo }) => process.exit(console.log(JSON.stringify(backendInfo()))))";
  const { stdout } = spawnSync(node.path, ['-e', ask], { cwd: root, env: { ...env, NODE_NO_WARNINGS: '1' }, encoding: 'utf8' });
  const { backend, cause, fix } = JSON.parse(stdout || '{}');
  if (backend !== 'node' || !MACHINE_CAUSES.has(cause.kind)) return 'uring';
  say(bold(`No io_uring here (${cause.kind}: ${cause.message}): only the node backend is tested.${fix ? ` To have it, ${fix}.` : ''}`));
  return 'node';
}

/** What a skip may be expected for. CI excuses no missing toolchain or ring: it has to be told of them. */
function labelsOf(ready, missing) {
  const { CI, RITSU_BACKEND } = process.env;
  return [
    'any',
    `platform=${process.platform}`,
    `node=${ready.node.version.slice(1).split('.')[0]}`,
    `backend=${CI ? RITSU_BACKEND || 'uring' : defaultBackend(ready)}`,
    `user=${process.getuid?.() === 0 ? 'root' : 'other'}`,
    ...(CI ? [] : missing.map((part) => `without=${part}`)),
  ];
}

/** Programs of others that are nowhere on this machine excuse in CI, too: the tests have tried to fetch them. */
function labelsOfPrograms() {
  return missingPrograms().map((name) => `without=${name}`);
}

function printTable(rows) {
  const columns = ['stage', 'passed', 'failed', 'skipped', 'time'];
  const cells = rows.map(({ name, tally, time }) => [name, tally.passed, tally.failed, tally.skipped, time]);
  const print = (row) => console.log(row.map((cell, at) => (at === 0 ? String(cell).padEnd(8) : String(cell).padStart(9))).join(''));
  console.log('');
  [columns, ...cells].forEach(print);
}

function printList(title, lines) {
  if (lines.length === 0) return;
  console.log(`\n${title}:`);
  for (const line of lines.slice(0, LISTED_MAX)) console.log(`  ${line}`);
  if (lines.length > LISTED_MAX) console.log(`  and ${lines.length - LISTED_MAX} more`);
}

async function main(words) {
  const ready = await setUp();
  const choice = readWords(words, allStages(ready, { files: [], titles: [] }).map(({ name }) => name));
  const stages = allStages(ready, choice).filter((stage) => isWanted(stage, choice));
  const missing = missingParts(ready.withoutNative);
  const env = { ...ready.env, RUST_BACKTRACE: '1', CARGO_TERM_COLOR: 'never', NO_COLOR: '1' };
  delete env.FORCE_COLOR;
  const expected = JSON.parse(readFileSync(join(root, '__test__/expected-skips.json'), 'utf8'));
  const labels = labelsOf(ready, missing);
  const rows = [];
  for (const stage of stages) {
    const { tally, time } = await runStage(stage, env, missing);
    const excused = judgeSkips(tally, expected, [...labels, ...labelsOfPrograms()]);
    rows.push({ name: stage.name, tally, time, excused });
  }
  printTable(rows);
  printList(`skipped, as expected (${[...labels, ...labelsOfPrograms()].join(', ')})`, rows.flatMap(({ name, excused }) =>
    excused.map(({ test, because, count }) => `${name}: ${count} x ${test}: ${because}`)));
  printList('failed', rows.flatMap(({ name, tally }) => tally.failures.map((test) => `${name}: ${test}`)));
  console.log('');
  const sum = (key) => rows.reduce((total, { tally }) => total + tally[key], 0);
  const total = { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
  if (total.passed + total.failed === 0) console.log('No test ran.');
  console.log(closingLine(total));
  closed = true;
  process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
}

// Whatever ends the run early, the closing line is the last one.
process.on('exit', (code) => {
  if (!closed) console.log(closingLine({ passed: 0, failed: code === 0 ? 0 : 1, skipped: 0 }));
});
main(process.argv.slice(2)).catch(failWith);
