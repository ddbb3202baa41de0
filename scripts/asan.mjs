// The Node tests with the native addon under the address sanitizer: `npm run test:asan [-- WORD...]`, each word a part
// of a test file's name. Needs a nightly Rust toolchain (-Zsanitizer) and a C compiler.
//
// Node itself is not instrumented. The sanitizer's runtime, which rustc links into programs only, is made a shared
// library and loaded before Node, so that every allocation of the process is watched and every access of our Rust code
// is checked. First an addon that reads beyond its memory on purpose must be caught: a run that could find nothing
// fails.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Explained, failWith, howItEnded, progress, runStep, runTool, say } from './console.mjs';
import { setUp } from './setup.mjs';
import { avaReader, closingLine, newTally } from './tally.mjs';
import { commandOf, root } from './toolchain.mjs';

const FOLDER = join(root, 'target', 'asan');
const REPORTS = join(FOLDER, 'reports');
const TARGET = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`;
const NIGHTLY = ['run', 'nightly'];
const RUN_TIMEOUT_MS = 40 * 60_000;
/** Whose memory, whose end: what a sanitizer can tell something about. */
const DEFAULT_FILES = [
  'ownership', 'conformance/', 'lifecycle', 'close', 'teardown', 'boundary-fuzz', 'syscalls', 'device-faults', 'endings', 'threads/',
  'soundness/memory', 'soundness/descriptors', 'soundness/streams',
];
const REPORT_LINES = 40;
let closed = false;

/** An addon that reads one byte beyond an allocation as it is loaded. */
const PROBE = `
#[unsafe(no_mangle)]
pub extern "C" fn napi_register_module_v1(_: usize, exports: usize) -> usize {
    let bytes = std::hint::black_box(vec![0u8; 64]);
    // SAFETY: none; that is the point.
    std::hint::black_box(unsafe { bytes.as_ptr().add(std::hint::black_box(64)).read() });
    exports
}
`;

function ask(command, ...args) {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

/** The runtime as a shared library: rustc's own, else the C compiler's. */
async function sharedRuntime() {
  const libraries = join(ask('rustup', ...NIGHTLY, 'rustc', '--print', 'sysroot'), 'lib', 'rustlib', TARGET, 'lib');
  const name = readdirSync(libraries).find((file) => /^librustc.*_rt\.asan\.a$/.test(file));
  const shared = join(FOLDER, 'libasan-rust.so');
  if (name !== undefined && ask('ar', '--version') !== undefined) {
    const archive = join(FOLDER, 'runtime.a');
    copyFileSync(join(libraries, name), archive);
    // A shared library may not have what is to run before all others do; loaded first, it needs none of it.
    for (const member of ask('ar', 't', archive).split('\n').filter((each) => each.includes('preinit'))) ask('ar', 'd', archive, member);
    const link = ['-shared', '-o', shared, '-Wl,--whole-archive', archive, '-Wl,--no-whole-archive', ...'-lpthread -ldl -lm -lrt -lresolv'.split(' ')];
    if ((await runStep('sanitizer runtime', 'cc', link, { cwd: FOLDER, env: process.env })).ok) return shared;
  }
  const compilers = ask('cc', '-print-file-name=libasan.so');
  if (compilers !== undefined && existsSync(compilers)) return compilers;
  throw new Explained('No shared runtime of the address sanitizer could be made or found: install gcc and binutils.');
}

async function buildAddon() {
  const env = { ...process.env, RUSTFLAGS: '-Zsanitizer=address -Cforce-frame-pointers=yes', CARGO_TARGET_DIR: FOLDER };
  const build = [...NIGHTLY, ...'cargo build --release --package ritsu-napi --target'.split(' '), TARGET];
  const { ok, output } = await runStep('native addon, sanitized', 'rustup', build, { cwd: root, env });
  if (!ok) throw new Explained(`${output}\nThe native addon could not be built.`);
  const addon = join(FOLDER, 'ritsu-asan.node');
  copyFileSync(join(FOLDER, TARGET, 'release', 'libritsu_napi.so'), addon);
  return addon;
}

function sanitizedEnvironment(env, runtime) {
  // Leaks at exit are Node's way. A small quarantine, since the tests also look at memory in use.
  const options = `detect_leaks=0:exitcode=99:quarantine_size_mb=16:log_path=${join(REPORTS, 'report')}`;
  return { ...env, LD_PRELOAD: runtime, ASAN_OPTIONS: options, NO_COLOR: '1', FORCE_COLOR: '0' };
}

function takeReports() {
  const reports = readdirSync(REPORTS).map((file) => readFileSync(join(REPORTS, file), 'utf8'));
  rmSync(REPORTS, { recursive: true });
  mkdirSync(REPORTS);
  return reports;
}

/** The sanitizer finds what it is here to find. */
async function prove(node, env) {
  const [source, probe] = [join(FOLDER, 'probe.rs'), join(FOLDER, 'probe.node')];
  writeFileSync(source, PROBE);
  const compile = [...NIGHTLY, ...'rustc -Zsanitizer=address --crate-type cdylib --edition 2024 -o'.split(' '), probe, source];
  const { ok, output } = await runStep('proof', 'rustup', compile, { cwd: FOLDER, env: process.env });
  if (!ok) throw new Explained(output);
  spawnSync(node.path, ['-e', `process.dlopen(module, ${JSON.stringify(probe)})`], { env });
  if (!takeReports().some((report) => report.includes('heap-buffer-overflow'))) {
    throw new Explained('A read beyond an allocation was not found: this run would find nothing.');
  }
}

function testFiles(words) {
  const all = readdirSync(join(root, '__test__'), { recursive: true }).filter((path) => path.endsWith('.test.ts'));
  const files = all.filter((path) => words.some((word) => path.includes(word))).map((path) => `__test__/${path}`);
  if (files.length === 0) throw new Explained(`No test file is named like ${words.join(', ')}.`, 2);
  return files;
}

async function runTests(node, env, files) {
  const tally = newTally();
  const read = avaReader(tally, say);
  const stop = progress('tests, sanitized', () => `${tally.passed} passed  ${tally.last}`);
  const args = [commandOf('ava'), ...files];
  const result = await runTool(node.path, args, { cwd: root, env, timeoutMs: RUN_TIMEOUT_MS, take: read });
  stop();
  if (!result.ok && tally.failed === 0) {
    tally.failed = 1;
    say(`ava ${howItEnded(result)}`);
  }
  return tally;
}

async function main(words) {
  if (ask('rustup', ...NIGHTLY, 'rustc', '--version') === undefined) {
    throw new Explained('The address sanitizer needs a nightly Rust toolchain: rustup toolchain install nightly.');
  }
  const files = testFiles(words.length > 0 ? words : DEFAULT_FILES);
  const { node, env } = await setUp({ native: false });
  rmSync(REPORTS, { recursive: true, force: true });
  mkdirSync(REPORTS, { recursive: true });
  const sanitized = sanitizedEnvironment(env, await sharedRuntime());
  await prove(node, sanitized);
  const addon = await buildAddon();
  const tally = await runTests(node, { ...sanitized, RITSU_NATIVE: addon, RITSU_BACKEND: '' }, files);
  const reports = takeReports();
  for (const report of reports) say(report.split('\n').slice(0, REPORT_LINES).join('\n'));
  say(`${reports.length} reports of the address sanitizer`);
  console.log(closingLine({ ...tally, failed: tally.failed + reports.length }));
  closed = true;
  process.exitCode = tally.failed + reports.length > 0 || tally.passed === 0 ? 1 : 0;
}

// Whatever ends the run early, the closing line is the last one.
process.on('exit', () => {
  if (!closed) console.log(closingLine({ passed: 0, failed: 1, skipped: 0 }));
});
main(process.argv.slice(2)).catch(failWith);
