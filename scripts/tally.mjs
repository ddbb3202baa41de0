// Counts what test runners say: ava and `cargo test`. Pure: lines in, a tally out.
import { CARGO_PROGRESS } from './console.mjs';

/**
 * @typedef {{ passed: number, failed: number, skipped: number, failures: string[], skips: string[], last: string }} Tally
 * @typedef {Record<string, { test: string, because: string }[]>} ExpectedSkips
 */

/**
 * Counts of one stage, and the names a reader needs: what failed, what was skipped.
 * @returns {Tally}
 */
export function newTally() {
  return { passed: 0, failed: 0, skipped: 0, failures: [], skips: [], last: '' };
}

/** What ava says of a test file rather than of a test; each such file is one failure. */
const FILE_FAILURE =
  /^\s*(?:[✘×] )?(?:(?:Uncaught exception|Unhandled rejection|No tests found) in (\S+?),?|(\S+) exited (?:due to|with) .*|Exiting due to process\.exit\(\) when running (\S+)|Failed to exit when running (\S+)|\d+ tests? remaining in (\S+)|\d+ tests were pending in (\S+)|(Timed out while running tests))\s*$/;
const DURATION = / \((?:[\d.]+(?:ms|s|m|h) ?)+\)$/;

/**
 * Reads ava's own report, not its TAP: that one breaks off when a test file ends the process. The closing
 * counts win over the lines counted, among which a test may have printed something alike.
 * `show(line)` gets everything but passed tests.
 * @param {Tally} tally
 * @param {(line: string) => void} show
 * @returns {(line: string) => void}
 */
export function avaReader(tally, show) {
  const brokenFiles = new Set();
  let failedTests = 0;
  const count = () => (tally.failed = failedTests + brokenFiles.size);
  return (line) => {
    const passed = /^\s*[✔√] (.+)$/.exec(line);
    const failed = /^\s*[✘×] \[(?:fail|unexpected pass)\]: (.+)$/.exec(line);
    const skipped = /^\s*- \[(?:skip|todo)\] (.+)$/.exec(line);
    const broken = FILE_FAILURE.exec(line)?.slice(1).find((file) => file !== undefined);
    const closing = /^\s*(\d+) (?:known failures?|(tests?|hooks?) (passed|failed|skipped))$/.exec(line);
    if (passed) {
      tally.passed += 1;
      tally.last = passed[1].replace(DURATION, '');
    } else if (failed) {
      failedTests += 1;
      tally.failures.push(failed[1]);
    } else if (skipped) {
      tally.skipped += 1;
      tally.skips.push(skipped[1]);
    } else if (broken && !brokenFiles.has(broken)) {
      brokenFiles.add(broken);
      tally.failures.push(line.trim());
    } else if (closing?.[2]?.startsWith('test') && closing[3] === 'passed') {
      tally.passed = Number(closing[1]);
    }
    count();
    if (!passed) show(line);
  };
}

/**
 * Reads `cargo test`. `show(line)` gets failures, panics and the compiler's words.
 * @param {Tally} tally
 * @param {(line: string) => void} show
 * @returns {(line: string) => void}
 */
export function cargoReader(tally, show) {
  let suite = '';
  return (line) => {
    const running = /^\s*(?:Running (?:unittests )?(\S+)|(Doc-tests \S+))/.exec(line);
    const test = /^test (.+?) (?:- should panic )?\.\.\. (ok|FAILED|ignored)/.exec(line);
    const result = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/.exec(line);
    if (running) suite = running[1] ?? running[2];
    if (test) {
      tally.last = test[1];
      if (test[2] === 'ignored') tally.skips.push(test[1]);
      if (test[2] === 'FAILED') tally.failures.push(`${suite} › ${test[1]}`);
    }
    if (result) {
      tally.passed += Number(result[1]);
      tally.failed += Number(result[2]);
      tally.skipped += Number(result[3]);
    }
    const isNoise = CARGO_PROGRESS.test(line) || /^(running \d+ tests?|\s*Doc-tests .*|\s*)$/.test(line);
    if (!isNoise && test?.[2] !== 'ok' && result?.[2] !== '0') {
      show(line);
    }
  };
}

/** Matches a whole name; '*' stands for any words. */
function matches(pattern, name) {
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}

/**
 * Skips must be expected: `expected` maps a label of the environment ('any', 'backend=node', 'platform=linux' ...)
 * to entries { test, because }, in whose names '*' stands for anything. Other skips become failures.
 * Returns the reasons with how many skips each excused.
 * @param {Tally} tally
 * @param {ExpectedSkips} expected
 * @param {string[]} labels
 */
export function judgeSkips(tally, expected, labels) {
  const entries = labels.flatMap((label) => expected[label] ?? []).map((entry) => ({ ...entry, count: 0 }));
  for (const name of tally.skips) {
    const entry = entries.find(({ test }) => matches(test, name));
    if (entry) {
      entry.count += 1;
      continue;
    }
    tally.skipped -= 1;
    tally.failed += 1;
    tally.failures.push(`${name}: skipped, but __test__/expected-skips.json does not expect it here`);
  }
  return entries.filter(({ count }) => count > 0);
}

/**
 * The closing line, the same in every language of the repository.
 * @param {{ passed: number, failed: number, skipped: number }} total
 */
export function closingLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
