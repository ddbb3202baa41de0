/** What the test runner counts: a wrong count here would hide a failure anywhere. */
import test from 'ava';
import { avaReader, cargoReader, closingLine, judgeSkips, newTally } from '../../scripts/tally.mjs';
import type { ExpectedSkips, Tally } from '../../scripts/tally.mjs';

type Reader = (tally: Tally, show: (line: string) => void) => (line: string) => void;

function read(reader: Reader, text: string) {
  const shown: string[] = [];
  const tally = newTally();
  text.split('\n').forEach(reader(tally, (line) => shown.push(line)));
  return { tally, shown: shown.join('\n') };
}

test('ava: passed, failed, skipped and to do are told apart', (t) => {
  const text = [
    '  ✔ a › one (1.2s)',
    '    ℹ a word',
    '  ✘ [fail]: a › two why',
    '  - [skip] a › three',
    '  - [todo] a › four',
    'printed by a test',
    '  a › two',
    '  1 test failed',
    '  1 test skipped',
  ].join('\n');
  const { tally, shown } = read(avaReader, text);
  t.like(tally, { passed: 1, failed: 1, skipped: 2, last: 'a › one' });
  t.like(tally, { failures: ['a › two why'], skips: ['a › three', 'a › four'] });
  t.true(shown.includes('printed by a test'));
  t.false(shown.includes('✔'));
});

test('ava: a file that crashes, exits or hangs is one failure', (t) => {
  const text = [
    '  ✘ __test__/a.test.ts exited due to SIGSEGV',
    '  ✘ Exiting due to process.exit() when running __test__/b.test.ts',
    '  ✘ 2 tests remaining in __test__/b.test.ts',
    '  Uncaught exception in __test__/c.test.ts',
    '  ✘ __test__/c.test.ts exited with a non-zero exit code: 1',
    '  ✘ Timed out while running tests',
    '  ✘ No tests found in __test__/d.test.ts',
  ].join('\n');
  t.is(read(avaReader, text).tally.failed, 5);
});

test('ava: its own count of passed tests wins over lines that a test printed', (t) => {
  const { tally } = read(avaReader, '  ✔ a › one\n  ✔ printed by a child\n  ─\n\n  1 test passed');
  t.like(tally, { passed: 1, failed: 0 });
});

test('cargo test: every suite counts, doc tests too, and failures and skips have names', (t) => {
  const text = [
    '   Compiling ritsu v0.1.0',
    '     Running unittests src/lib.rs (target/debug/deps/ritsu-1)',
    'running 3 tests',
    'test slot::tests::one ... ok',
    'test slot::tests::two - should panic ... ok',
    'test slot::tests::three ... FAILED',
    'thread panicked at slot.rs:1',
    'test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out',
    '   Doc-tests ritsu',
    'test src/lib.rs - Proactor (line 9) ... ok',
    'test src/ring.rs - Ring (line 2) ... ignored, needs a ring',
    'test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out',
  ].join('\n');
  const { tally, shown } = read(cargoReader, text);
  t.like(tally, { passed: 3, failed: 1, skipped: 1 });
  t.deepEqual(tally.failures, ['src/lib.rs › slot::tests::three']);
  t.deepEqual(tally.skips, ['src/ring.rs - Ring (line 2)']);
  t.true(shown.includes('thread panicked'));
  t.false(shown.includes('Compiling'));
});

test('a skip that nobody expects is a failure', (t) => {
  const expected: ExpectedSkips = {
    any: [{ test: 'a › one', because: 'x' }],
    'backend=node': [{ test: '* › uring: *', because: 'x' }],
  };
  const skips = ['a › one', 'c › uring: read', 'b'];
  const onNode = { ...newTally(), skipped: 3, skips };
  const excused = judgeSkips(onNode, expected, ['any', 'backend=node']);
  t.deepEqual(excused.map(({ count }) => count), [1, 1]);
  t.like(onNode, { skipped: 2, failed: 1 });
  const onUring = { ...newTally(), skipped: 3, skips };
  judgeSkips(onUring, expected, ['any']);
  t.like(onUring, { skipped: 1, failed: 2 });
  t.regex(onUring.failures.join('\n'), /^c › uring: read: skipped, but .*\nb: skipped/);
});

test('the closing line names skips only when there are any', (t) => {
  t.is(closingLine({ passed: 3, failed: 0, skipped: 0 }), '3 passed, 0 failed');
  t.is(closingLine({ passed: 3, failed: 1, skipped: 2 }), '3 passed, 1 failed, 2 skipped');
});
