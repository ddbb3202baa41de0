// The stages of `npm test`, and which of them the words of a command line ask for.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { avaReader, cargoReader } from './tally.mjs';
import { commandOf, root } from './toolchain.mjs';

/** A check without counts of its own is one that passed or failed; its output matters only when it failed. */
function wholeReader(tally, show) {
  const lines = [];
  return Object.assign((line) => lines.push(line), {
    end({ ok }) {
      if (ok) tally.passed += 1;
      else lines.forEach(show);
    },
  });
}

/** The stages, cheapest first. `needs` names the toolchain's part without which a stage is skipped. */
export function allStages({ node }, { files, titles }) {
  const run = (command, ...args) => [node.path, [commandOf(...[command].flat()), ...args]];
  const narrowed = titles.length > 0 || files.length > 0;
  return [
    { name: 'types', command: run(['typescript', 'tsc'], '-p', 'tsconfig.test.json'), reader: wholeReader },
    { name: 'reference', command: [node.path, ['scripts/reference.mjs', '--check']], reader: wholeReader },
    { name: 'lint', command: run('oxlint', '--deny-warnings'), reader: wholeReader },
    { name: 'fmt', needs: 'rustfmt', command: ['cargo', ['fmt', '--all', '--check']], reader: wholeReader },
    {
      name: 'clippy',
      needs: 'clippy',
      command: ['cargo', ['clippy', '--workspace', '--all-targets', '--', '-D', 'warnings']],
      reader: wholeReader,
    },
    {
      name: 'rust',
      needs: 'cargo',
      tests: true,
      // A word that picked test files of ours means those alone.
      unwanted: files.length > 0 && titles.length === 0,
      command: ['cargo', ['test', '--workspace', '--no-fail-fast', ...(narrowed ? ['--', ...titles] : [])]],
      reader: cargoReader,
    },
    {
      name: 'node',
      tests: true,
      command: run('ava', ...files, ...titles.flatMap((title) => ['--match', `*${title}*`])),
      reader: avaReader,
    },
  ];
}

/** Splits the words of the command line into stages, test files and titles. */
export function readWords(words, names) {
  const tests = existsSync(join(root, '__test__'))
    ? readdirSync(join(root, '__test__'), { recursive: true }).map((path) => `__test__/${path}`)
    : [];
  const choice = { stages: [], files: [], titles: [] };
  for (const word of words) {
    const files = tests.filter((path) => path.endsWith('.test.ts') && path.includes(word.replace(/^\.\//, '')));
    if (names.includes(word)) choice.stages.push(word);
    else if (files.length > 0) choice.files.push(...files);
    else choice.titles.push(word);
  }
  return choice;
}

export function isWanted(stage, { stages, files, titles }) {
  const picksTests = files.length + titles.length > 0;
  if (stages.length === 0 && !picksTests) return true;
  return stages.includes(stage.name) || (picksTests && stage.tests === true && !stage.unwanted);
}
