/**
 * Servers as the socket bench sees them: each measured in a process of its own on one core, under a load on another. The
 * load is a program in Rust, or it would be the slower side; without cargo it is node:net, and the bench says so.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LineProcess, pinned } from '../../dist/cli/sockets/line-process.js';
import type { Command } from '../../dist/cli/sockets/line-process.js';
import { Load, Server } from '../../dist/cli/sockets/peers.js';
import type { LoadResult, Usage } from '../../dist/cli/sockets/peers.js';
import { HTTP_REQUEST, HTTP_RESPONSE } from '../../dist/cli/sockets/server.js';
import type { Address, Role, Transport } from '../../dist/cli/sockets/server.js';
import type { BackendName } from 'ritsu';
import type { Measurement } from '../plan.ts';
import { hold, inTurns, release } from '../turns.ts';
import { totalCalls } from './engine.ts';
import type { Participant } from './engine.ts';
import { always, rawEcho, rawEchoAvailable, rawLoad, rawLoadAvailable, ritsuAvailable, ritsuBackend } from './provision.ts';
import type { Availability } from './provision.ts';

export interface SocketPlan {
  /** `idle`: connections that did one request each, or none of 0 bytes, and stay. */
  readonly mode: Role | 'idle';
  readonly transport: Transport;
  readonly connections: number;
  /** Of one request of an echo. */
  readonly messageBytes: number;
  /** Of one bulk transfer. */
  readonly transferBytes: number;
  readonly milliseconds: number;
  readonly warmUpMilliseconds: number;
  /** Have the server compare all that it receives; what the load receives is always compared. */
  readonly verify: boolean;
}

type Wrap = (command: Command) => Command;

/** What the bench needs of a server. */
interface Measured {
  readonly address: Address;
  readonly pid: number;
  usage(): Promise<Usage>;
  stop(): Promise<void>;
}

interface SocketEngineOptions {
  readonly name: string;
  readonly role: Participant['role'];
  readonly available: () => Availability;
  readonly start: (plan: SocketPlan, wrap: Wrap) => Promise<Measured>;
}

const PATIENCE_MS = 30_000;
const TICKS_PER_SECOND = 100;
/** Of idle connections it is the number that differs; all others have a time. */
const STRACE_FEW = { milliseconds: 200, warmUpMilliseconds: 0 } as const;
const STRACE_MANY = { milliseconds: 800, warmUpMilliseconds: 0 } as const;

/** Open files that a process may have besides the connections that count: idle ones that were made before, and some of its own. */
const OTHER_FILES = 2_600;

/** Connections that the limit of open files allows, as far as it can be raised. */
export function mostConnections(): number {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? '';
  return hard === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(hard) - OTHER_FILES;
}

/** Node raises its own limit of open files; others are started with a raised one. */
function withFiles({ connections }: SocketPlan, command: Command): Command {
  const script = 'ulimit -n "$0" && exec "$@"';
  const files = Math.min(connections, mostConnections()) + OTHER_FILES;
  return { ...command, file: 'sh', arguments: ['-c', script, `${files}`, command.file, ...command.arguments] };
}

export class SocketEngine implements Participant {
  readonly name: string;
  readonly role: Participant['role'];
  readonly available: () => Availability;
  readonly #start: SocketEngineOptions['start'];

  constructor({ name, role, available, start }: SocketEngineOptions) {
    this.name = name;
    this.role = role;
    this.available = available;
    this.#start = start;
  }

  run(plan: SocketPlan): Promise<Measurement> {
    return this.#measure(plan, (command) => command);
  }

  /** By strace on the server, as the difference of a long pass and a short one, so that all but requests cancels out. */
  async syscallsPerOperation(plan: SocketPlan): Promise<number> {
    const fewer = plan.mode === 'idle' ? { connections: Math.ceil(plan.connections / 4) } : {};
    const few = await this.#countSyscalls({ ...plan, ...STRACE_FEW, ...fewer });
    const many = await this.#countSyscalls({ ...plan, ...STRACE_MANY });
    return (many.calls - few.calls) / (many.operations - few.operations);
  }

  async #countSyscalls(plan: SocketPlan): Promise<{ calls: number; operations: number }> {
    const directory = mkdtempSync(join(tmpdir(), 'ritsu-bench-strace-'));
    try {
      const report = join(directory, 'report');
      const { operations } = await this.#measure(plan, (command) => ({
        ...command,
        file: 'strace',
        arguments: ['-f', '-c', '-o', report, command.file, ...command.arguments],
      }));
      return { calls: totalCalls(readFileSync(report, 'utf8')), operations };
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  /** Its server, on the core of servers. */
  serve(plan: SocketPlan, wrap: Wrap = (command) => command): Promise<Measured> {
    return this.#start(plan, (command) => pinned(wrap(command), 0));
  }

  async #measure(plan: SocketPlan, wrap: Wrap): Promise<Measurement> {
    const server = await this.serve(plan, wrap);
    try {
      return await underLoad(plan, server);
    } finally {
      await server.stop();
    }
  }
}

/** One that is ready: its server is there, its load is warm, and held. */
interface Contender {
  readonly server: Measured;
  readonly load: Load;
  readonly before: Usage;
}

/**
 * All of them in short turns, each under a load of its own. One that fails leaves the others theirs. Requests that are under way when a turn
 * ends take until the next one: one in some hundreds, so that of latencies the 99.9th percentile is not told.
 */
export async function runInTurns(engines: readonly SocketEngine[], plan: SocketPlan): Promise<PromiseSettledResult<Measurement>[]> {
  const all = { ...plan, milliseconds: plan.milliseconds * engines.length };
  const started: Promise<Contender>[] = [];
  for (const engine of engines) {
    started.push(contend(engine, all));
    await started.at(-1)!.catch(() => {}); // told below
  }
  const contenders = await Promise.allSettled(started);
  const able = contenders.flatMap((contender) => (contender.status === 'fulfilled' ? [contender.value] : []));
  try {
    const passes = able.map(({ load }) => load.go(all.milliseconds * 2));
    const seconds = await inTurns(able.map(({ load }, index) => ({ pid: load.pid, done: passes[index]! })));
    const measured = able.map(async ({ server, before }, index) => {
      const result = { ...(await passes[index]!), seconds: seconds[index]!, p999Us: null };
      return measurementOf(plan, result, before, await server.usage(), peakRssBytes(server.pid));
    });
    const settled = (await Promise.allSettled(measured)).values();
    return contenders.map((contender) => (contender.status === 'fulfilled' ? settled.next().value! : contender));
  } finally {
    for (const { load, server } of able) {
      release(load.pid);
      await load.stop();
      await server.stop();
    }
  }
}

async function contend(engine: SocketEngine, plan: SocketPlan): Promise<Contender> {
  const server = await engine.serve(plan);
  const load = rawLoadOn(plan, server);
  try {
    await load.ready(plan.warmUpMilliseconds);
    hold(load.pid);
    return { server, load, before: await server.usage() };
  } catch (error) {
    await load.stop();
    await server.stop();
    throw error;
  }
}

async function underLoad(plan: SocketPlan, server: Measured): Promise<Measurement> {
  const load = rawLoadAvailable() === true ? rawLoadOn(plan, server) : Load.start();
  try {
    if (rawLoadAvailable() === true) await load.ready(plan.warmUpMilliseconds);
    else await prepareNodeLoad(load, plan, server.address);
    const before = await server.usage();
    const result = await load.go(plan.milliseconds);
    const after = await server.usage();
    return measurementOf(plan, result, before, after, peakRssBytes(server.pid));
  } finally {
    await load.stop();
  }
}

function measurementOf(plan: SocketPlan, result: LoadResult, before: Usage, after: Usage, peak: number): Measurement {
  const { operations, bytes, seconds, p50Us, p99Us, p999Us } = result;
  return {
    operations,
    bytes,
    seconds,
    cpuSeconds: after.cpuSeconds - before.cpuSeconds,
    p50Us: p50Us ?? Number.NaN,
    p99Us: p99Us ?? Number.NaN,
    p999Us: p999Us ?? Number.NaN,
    maximumRssBytes: peak,
    ...(plan.mode === 'idle' && { bytesPerConnection: (after.rssBytes - before.rssBytes) / operations }),
    ...(plan.mode === 'idle' && after.blocksHeld !== undefined && { blocksHeld: after.blocksHeld }),
  };
}

/** The load in Rust: when it is `ready`, it has warmed up. */
function rawLoadOn(plan: SocketPlan, { address }: Measured): Load {
  const values = {
    address,
    mode: plan.mode === 'http' ? 'echo' : plan.mode,
    connections: plan.connections,
    message: plan.messageBytes,
    transfer: plan.transferBytes,
    milliseconds: plan.milliseconds,
    'warm-up': plan.warmUpMilliseconds,
    ...(plan.mode === 'http' && { request: hex(HTTP_REQUEST), response: hex(HTTP_RESPONSE) }),
  };
  const words = Object.entries(values).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  return new Load(withFiles(plan, { file: rawLoad, arguments: [...words, ...(plan.verify ? ['--thorough'] : [])] }));
}

function hex(text: string): string {
  return Buffer.from(text).toString('hex');
}

async function prepareNodeLoad(load: Load, plan: SocketPlan, address: Address): Promise<void> {
  const { mode, connections, messageBytes, transferBytes, milliseconds, warmUpMilliseconds, verify: thorough } = plan;
  if (mode === 'http' || mode === 'idle') throw new Error('only the load in Rust can do this');
  const base = { address, mode, connections, messageBytes, transferBytes, thorough };
  if (warmUpMilliseconds > 0) {
    await load.prepare({ ...base, milliseconds: warmUpMilliseconds });
    await load.go(warmUpMilliseconds);
    await load.finish();
  }
  await load.prepare({ ...base, milliseconds });
}

/** The most memory that a process ever had; 0 where it runs under another one. */
function peakRssBytes(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}

let names = 0;

function nameOf({ transport }: SocketPlan): { name?: string } {
  names += 1;
  return transport === 'unix' ? { name: `ritsu-bench-${process.pid}-${names}` } : {};
}

/** A server in JavaScript, the same as in the main job's comparison. */
function scripted(name: string, role: Participant['role'], available: () => Availability, engine: string): SocketEngine {
  const start = (plan: SocketPlan, wrap: Wrap): Promise<Measured> => {
    const backend = ritsuBackend as BackendName;
    if (plan.mode !== 'idle') return Server.start({ engine, role: plan.mode, backend, ...nameOf(plan) }, wrap);
    // By default ritsu has fewer operations in flight than there are connections, each of which waits in one.
    const inFlightMax = 2 * (plan.connections + OTHER_FILES);
    return Server.start({ engine, role: 'echo', collect: true, inFlightMax, backend, ...nameOf(plan) }, wrap);
  };
  return new SocketEngine({ name, role, available, start });
}

function ritsu(name: string, engine: string): SocketEngine {
  return scripted(ritsuBackend === 'uring' ? name : `${name} on ${ritsuBackend}`, 'ours', ritsuAvailable, engine);
}

/** Its CPU time comes in ticks of the system. */
async function startRawEcho(plan: SocketPlan, wrap: Wrap): Promise<Measured> {
  const child = new LineProcess('the raw echo server', withFiles(plan, wrap({ file: rawEcho, arguments: [] })));
  const port = Number(await child.line(PATIENCE_MS));
  const usage = (): Usage => {
    const ticks = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]!.split(' ').slice(11, 13).map(Number);
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1];
    return { cpuSeconds: (ticks[0]! + ticks[1]!) / TICKS_PER_SECOND, rssBytes: Number(resident) * 1024 };
  };
  return { address: `tcp:${port}`, pid: child.pid, usage: () => Promise.resolve(usage()), stop: () => child.stop() };
}

export const rawEchoServer = new SocketEngine({ name: 'raw ring', role: 'limit', available: rawEchoAvailable, start: startRawEcho });
export const nodeNet = scripted('node:net', 'rival', always, 'node');
export const allocator = ritsu('ritsu allocator', 'allocator');
export const submit = ritsu('ritsu submit', 'submit');
export const hybrid = ritsu('ritsu hybrid pooled', 'hybrid');
export const piped = ritsu('ritsu pipeTo', 'piped');
export const movedWriter = ritsu('ritsu writer, memory of alloc', 'moved');
export const copiedWriter = ritsu('ritsu writer, any memory', 'copied');
export const zeroCopyWriter = ritsu('ritsu writer, zero copy', 'zero-copy');
export const duplex = ritsu('ritsu toDuplex', 'duplex');
