/** Both sides of a measurement, each in a process of its own: the server, and the load that is put on it. */
import { join } from 'node:path';
import type { BackendName } from '../../index.js';
import { WrongBytes } from '../meter.js';
import { LineProcess, pinned } from './line-process.js';
import type { Command } from './line-process.js';
import type { Address, Role } from './server.js';

/** What a server used so far. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly rssBytes: number;
  readonly blocksHeld?: number;
}

/** What is done to a server; goes to the load's process as JSON. */
export interface LoadPlan {
  readonly address: Address;
  readonly mode: Exclude<Role, 'http'>;
  readonly connections: number;
  /** Of one request of an echo, at most `PIECE_BYTES`. */
  readonly messageBytes: number;
  /** Of one bulk transfer; they follow each other until the time is over. */
  readonly transferBytes: number;
  /** Have the server compare every byte it receives, too. Bytes that come back are always compared. */
  readonly thorough: boolean;
  readonly milliseconds: number;
}

/** An operation is a request with its answer; of a bulk transfer a mebibyte. Latencies are null where there are none. */
export interface LoadResult {
  readonly operations: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  readonly p999Us: number | null;
  /** How much of the time its event loop was at work, 0 to 1, if it has one. */
  readonly busy?: number;
}

/** For starting a process, and for all that takes no time by itself. */
const PATIENCE_MS = 30_000;
/** Node 22 says that it strips types, where a preloaded module has some. */
const QUIET = '--disable-warning=ExperimentalWarning';

/** Goes to the server's process as JSON, but for what is said to Node itself. */
export interface ServerOptions {
  readonly engine: string;
  readonly role: Role;
  readonly backend?: BackendName | 'auto';
  /** Operations in flight at once: a connection that waits for bytes is one. ritsu's default where not given. */
  readonly inFlightMax?: number;
  /** An abstract Unix name; a TCP port where not given. */
  readonly name?: string;
  /** Collect garbage before memory is told. */
  readonly collect?: boolean;
}

function serverCommand({ backend, collect = false, ...options }: ServerOptions): Command {
  const words = [QUIET, ...(collect ? ['--expose-gc'] : []), join(import.meta.dirname, 'server-process.js'), JSON.stringify(options)];
  // Which one it is was settled, and announced, by whoever measures: no server falls back by itself.
  const environment = backend === undefined || backend === 'auto' ? {} : { RITSU_BACKEND: backend };
  return { file: process.execPath, arguments: words, environment };
}

export class Server {
  readonly address: Address;
  readonly #process: LineProcess;

  private constructor(child: LineProcess, address: Address) {
    this.#process = child;
    this.address = address;
  }

  static async start(options: ServerOptions, wrap: (command: Command) => Command = (command) => pinned(command, 0)): Promise<Server> {
    const child = new LineProcess(`the server ${options.engine}`, wrap(serverCommand(options)));
    try {
      return new Server(child, (await child.line(PATIENCE_MS)) as Address);
    } catch (error) {
      await child.stop();
      throw error;
    }
  }

  get pid(): number {
    return this.#process.pid;
  }

  async usage(): Promise<Usage> {
    this.#process.say('usage');
    return JSON.parse(await this.#process.line(PATIENCE_MS)) as Usage;
  }

  /** What it complained of; '' when all was well. */
  get complaint(): string {
    return this.#process.complaint;
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}

/** A load whose connections are open: `go` runs the measured pass, and they stay open after it. */
export class Load {
  readonly #process: LineProcess;

  constructor(command: Command) {
    this.#process = new LineProcess('the load', pinned(command, 1));
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** With `node:net`; takes one plan after the other. */
  static start(): Load {
    return new Load({ file: process.execPath, arguments: [QUIET, join(import.meta.dirname, 'load-process.js')] });
  }

  /** Open the connections of a plan. */
  async prepare(plan: LoadPlan): Promise<void> {
    this.#process.say(JSON.stringify(plan));
    await this.ready(0);
  }

  /** Wait until it can go; that long and no longer than it takes. */
  async ready(milliseconds: number): Promise<void> {
    this.#parse(await this.#process.line(milliseconds + PATIENCE_MS));
  }

  /** Throws `WrongBytes` when a byte that came was not the one that was sent. */
  async go(milliseconds: number): Promise<LoadResult> {
    this.#process.say('go');
    return this.#parse(await this.#process.line(milliseconds + PATIENCE_MS)) as LoadResult;
  }

  /** Close the connections of a plan. */
  async finish(): Promise<void> {
    this.#process.say('finish');
    await this.ready(0);
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }

  #parse(line: string): unknown {
    if (line === 'ready') return undefined;
    const told = JSON.parse(line) as { wrong?: string; error?: string };
    if (told.wrong !== undefined) throw new WrongBytes(told.wrong);
    if (told.error !== undefined) throw new Error(told.error);
    return told;
  }
}
