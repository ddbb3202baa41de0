/**
 * Servers in a comparison: one process for each engine and role, which lives as long as the comparison, and one load
 * that goes from server to server. Whatever fails is ended, and begun anew at its next turn.
 */
import { performance } from 'node:perf_hooks';
import type { BackendName, Style } from '../../index.js';
import type { Attempt, Contestant, Run } from '../comparison.js';
import { Load, Server } from './peers.js';
import type { LoadPlan, LoadResult } from './peers.js';

/** What ratios are taken to. */
export const SOCKET_BASELINE = 'node:net';

/** One table: what is done over the sockets. */
export interface Trial {
  readonly role: LoadPlan['mode'];
  readonly connections: number;
  /** Of one request of an echo; of one bulk transfer. */
  readonly messageBytes: number;
  /** Of a timed pass. */
  readonly milliseconds: number;
  /** Of the pass before, which checks every byte and warms up server and load: V8 compiles what it finds busy for a second or two. */
  readonly warmUpMilliseconds: number;
}

interface SocketEngine {
  readonly name: string;
  /** Undefined for node:net, and for what is the same in every style: writing. */
  readonly style?: Style;
  /** As the server's process knows it. */
  readonly engine: string;
  readonly roles: readonly Trial['role'][];
}

const ENGINES: readonly SocketEngine[] = [
  { name: SOCKET_BASELINE, engine: 'node', roles: ['echo', 'send', 'receive'] },
  { name: 'ritsu allocator', style: 'allocator', engine: 'allocator', roles: ['echo', 'receive'] },
  { name: 'ritsu submit', style: 'submit', engine: 'submit', roles: ['echo', 'receive'] },
  { name: 'ritsu hybrid pooled', style: 'hybrid', engine: 'hybrid', roles: ['echo', 'receive'] },
  { name: 'ritsu writer, memory of alloc', engine: 'moved', roles: ['send'] },
  { name: 'ritsu writer, any memory', engine: 'copied', roles: ['send'] },
];

export function socketEngines(role: Trial['role'], styles: readonly Style[]): SocketEngine[] {
  return ENGINES.filter((engine) => engine.roles.includes(role) && (engine.style === undefined || styles.includes(engine.style)));
}

export class Arena {
  readonly #backend: BackendName;
  readonly #servers = new Map<string, Server>();
  #load: Load | undefined = undefined;

  constructor(backend: BackendName) {
    this.#backend = backend;
  }

  contestants(trial: Trial, styles: readonly Style[]): Contestant[] {
    return socketEngines(trial.role, styles).map(({ name, engine }) => ({
      name,
      ours: name !== SOCKET_BASELINE,
      absent: undefined,
      attempt: (thorough): Attempt => {
        const milliseconds = thorough ? trial.warmUpMilliseconds : trial.milliseconds;
        const begun = performance.now();
        const done = (): number => Math.min((performance.now() - begun) / milliseconds, 1);
        return { done, run: this.#run(engine, trial, milliseconds, thorough) };
      },
    }));
  }

  /** End all processes. */
  async stop(): Promise<void> {
    const all = [...this.#servers.values(), ...(this.#load === undefined ? [] : [this.#load])];
    this.#servers.clear();
    this.#load = undefined;
    await Promise.all(all.map((each) => each.stop()));
  }

  async #run(engine: string, trial: Trial, milliseconds: number, thorough: boolean): Promise<Run> {
    const { role, connections, messageBytes } = trial;
    const key = `${engine} ${role}`;
    const server = this.#servers.get(key) ?? (await Server.start({ engine, role, backend: this.#backend }));
    this.#servers.set(key, server);
    this.#load ??= Load.start();
    const load = this.#load;
    const { address } = server;
    const plan = { address, mode: role, connections, messageBytes, transferBytes: messageBytes, thorough, milliseconds };
    try {
      await load.prepare(plan);
      const before = await server.usage();
      const result = await load.go(milliseconds);
      const after = await server.usage();
      await load.finish();
      return runOf(result, after.cpuSeconds - before.cpuSeconds);
    } catch (error) {
      this.#servers.delete(key);
      this.#load = undefined;
      await Promise.all([server.stop(), load.stop()]);
      const said = server.complaint;
      if (said !== '') (error as Error).message += `; the server said: ${said}`;
      throw error;
    }
  }
}

function runOf({ operations, bytes, seconds, p50Us, p99Us, busy: loadBusy }: LoadResult, cpuSeconds: number): Run {
  return { operations, bytes, seconds, cpuSeconds, loadBusy, p50Us: p50Us ?? Number.NaN, p99Us: p99Us ?? Number.NaN };
}
