/** Every engine there is, by name. */
import type { Plan } from '../plan.ts';
import { blockCount } from '../plan.ts';
import { ProcessEngine } from './engine.ts';
import type { Engine } from './engine.ts';
import {
  always,
  engineProcess,
  findExecutable,
  rawAvailable,
  rawRing,
  ritsuAvailable,
  ritsuBackend,
  sqpollAddon,
  sqpollAvailable,
  sqpollPreload,
} from './provision.ts';
import type { Availability } from './provision.ts';

interface Script {
  readonly role: Engine['role'];
  readonly available: () => Availability;
  readonly file?: string;
  /** What stands before the script's name. */
  readonly leading: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** An engine in JavaScript: `MODULE/WORKLOAD` in a process of its own. */
function script(name: string, workload: string, options: Script): Engine {
  return new ProcessEngine({
    name,
    role: options.role,
    available: options.available,
    batches: true,
    command: (plans) => ({
      file: options.file ?? process.execPath,
      arguments: [...options.leading, engineProcess, ...workload.split('/'), JSON.stringify(plans)],
      ...(options.environment && { environment: options.environment }),
    }),
  });
}

// Node 22 says that it strips types; it would say so in front of every failure.
const quiet = '--disable-warning=ExperimentalWarning';

function node(name: string, workload: string, role: Engine['role'] = 'rival'): Engine {
  return script(name, workload, { role, available: always, leading: [quiet] });
}

function ritsu(name: string, workload: string, available = ritsuAvailable): Engine {
  return script(ritsuBackend === 'uring' ? name : `${name} on ${ritsuBackend}`, workload, {
    role: 'ours',
    available,
    leading: [quiet],
    environment: { RITSU_BACKEND: ritsuBackend },
  });
}

/** libuv's own ring. Needs both the loop's option and the variable. */
function sqpoll(name: string, workload: string): Engine {
  return script(name, workload, {
    role: 'rival',
    available: sqpollAvailable,
    leading: [quiet, '--require', sqpollPreload],
    environment: { UV_USE_IO_URING: '1', RITSU_BENCH_SQPOLL_ADDON: sqpollAddon },
  });
}

/** Another runtime, by its own node:fs. */
function runtime(command: string, leading: readonly string[]): Engine {
  const file = findExecutable(command);
  return script(`${command} FileHandle.read`, 'node-file/promises', {
    role: 'rival',
    available: () => (file === undefined ? `${command} is neither on the path nor in node_modules` : true),
    ...(file !== undefined && { file }),
    leading,
  });
}

/** The limit: a ring in Rust, by the io-uring crate. */
function rawRingEngine(name: string, fixed: boolean): Engine {
  return new ProcessEngine({
    name,
    role: 'limit',
    available: rawAvailable,
    batches: false,
    command: ([plan]) => ({ file: rawRing, arguments: rawArguments(plan!, fixed) }),
  });
}

function rawArguments(plan: Plan, fixed: boolean): string[] {
  const values = {
    mode: plan.mode,
    path: plan.path,
    block: plan.blockSize,
    blocks: blockCount(plan),
    depth: plan.depth,
    ops: plan.operations,
    'warm-up': plan.warmUpOperations,
    seed: plan.seed,
    'content-seed': plan.contentSeed,
  };
  const flags = { direct: plan.direct, fixed, verify: plan.verify };
  return [
    ...Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...Object.entries(flags).flatMap(([name, on]) => (on ? [`--${name}`] : [])),
  ];
}

export const raw = rawRingEngine('raw ring', false);
export const rawFixed = rawRingEngine('raw ring, fixed buffers', true);

export const fileHandle = node('node FileHandle.read', 'node-file/promises');
export const callback = node('node fs.read', 'node-file/callback');
export const readSync = node('node fs.readSync', 'node-file/sync');
export const readStream = node('node createReadStream', 'node-file/stream');
export const byobStream = node('node readableWebStream BYOB', 'node-file/byob');
export const sqpollFileHandle = sqpoll('libuv SQPOLL FileHandle.read', 'node-file/promises');
export const sqpollCallback = sqpoll('libuv SQPOLL fs.read', 'node-file/callback');
export const bun = runtime('bun', []);
export const deno = runtime('deno', ['run', '--allow-all']);

export const allocator = ritsu('ritsu allocator', 'ritsu-file/allocator');
export const allocatorMany = ritsu('ritsu allocator, readMany', 'ritsu-file/allocator-many');
export const allocatorOffloaded = ritsu('ritsu allocator, offloaded', 'ritsu-file/allocator-offloaded');
export const allocatorUnfenced = ritsu('ritsu allocator, fence off', 'ritsu-file/allocator-unfenced');
export const submit = ritsu('ritsu submit', 'ritsu-file/submit');
export const submitUnfenced = ritsu('ritsu submit, fence off', 'ritsu-file/submit-unfenced');
export const hybridPooled = ritsu('ritsu hybrid pooled', 'ritsu-file/hybrid-pooled');
export const hybridOwned = ritsu('ritsu hybrid owned', 'ritsu-file/hybrid-owned');
export const hybridOwnedUnfenced = ritsu('ritsu hybrid owned, fence off', 'ritsu-file/hybrid-owned-unfenced');
export const iterateAllocator = ritsu('ritsu allocator', 'ritsu-file/iterate-allocator');
export const iterateSubmit = ritsu('ritsu submit', 'ritsu-file/iterate-submit');
export const iterateHybrid = ritsu('ritsu hybrid pooled', 'ritsu-file/iterate-hybrid');
export const wholeFiles = ritsu('ritsu readFile', 'ritsu-file/whole-files');
export const wholePromises = node('node fs.promises.readFile', 'node-file/whole-promises');
export const wholeCallback = node('node fs.readFile', 'node-file/whole-callback');
export const wholeSync = node('node fs.readFileSync', 'node-file/whole-sync');
export const nopBatch = ritsu('ritsu no-op, awaited as a batch', 'ritsu-nop/nop');
export const nopLanes = ritsu('ritsu no-op, in lanes', 'ritsu-nop/lanes');

export const nopRemote = ritsu('ritsu no-op on another thread', 'ritsu-nop/remote');

const movable = (): Availability => (ritsuBackend === 'node' ? 'connections of the node backend cannot be moved' : ritsuAvailable());
export const handOver = ritsu('ritsu hand-over there and back', 'ritsu-threads/bounce', movable);
export const oneServer = ritsu('ritsu, one thread', 'ritsu-threads/one');
export const twoServers = ritsu('ritsu, two threads', 'ritsu-threads/two');

export const messages = node('postMessage there and back', 'nop/messages');
export const turn = node('promises and a turn, no I/O', 'nop/turn', 'limit');
export const view = node('a view', 'nop/view', 'limit');
export const transfer = node('a transfer and a view', 'nop/transfer', 'limit');
