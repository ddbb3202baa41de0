/**
 * The native binding: found, loaded and checked once per thread. The numbers of the shared pages are compiled into both
 * sides; a binding whose numbers differ from ours is refused.
 */
import { createRequire } from 'node:module';
import { Opcode } from '../op.js';

/** The page layout, in bytes, as `crates/ritsu-napi/src/abi.rs` has it. */
export const Layout = {
  SUBMISSIONS: 512,
  SUBMISSION_SIZE: 64,
  SUBMISSION_COUNT: 1024,
  ARGUMENTS: 66_048,
  ARGUMENTS_SIZE: 65_536,
  COMPLETIONS: 131_584,
  COMPLETION_SIZE: 32,
  COMPLETION_COUNT: 1024,
  RESULTS: 164_352,
  RESULTS_SIZE: 65_536,
  COUNTERS: 64,
} as const;

export interface NativeCapability {
  readonly bufferSelect: boolean;
  readonly registeredBuffers: boolean;
  readonly nopInject: boolean;
  readonly multishotReceive: boolean;
  readonly zeroCopy: boolean;
  readonly deferTaskrun: boolean;
}

export interface NativeConfig {
  readonly entries?: number;
  readonly completionEntries?: number;
  readonly inFlightMax?: number;
  readonly registeredBytesMax?: number;
  /** Features that shall not be used, by their names. */
  readonly disable?: Readonly<Record<string, boolean>>;
}

/** See `crates/ritsu-napi/src/lib.rs`, where each is documented. */
export interface NativeProactor {
  page(): ArrayBuffer;
  capability(): NativeCapability;
  reference(): void;
  flush(): void;
  createPool(classes: [number, number][], hugePages: boolean): [group: number, first: number, size: number, count: number][];
  registerPool(first: number, count: number): number;
  registerGroup(group: number): boolean;
  expose(block: number): ArrayBuffer;
  allocate(size: number): number;
  pin(memory: ArrayBuffer): number;
  unpin(block: number): void;
  sendNow(descriptor: number, memory: ArrayBuffer, offset: number, length: number): number;
  adopt(fd: number): [descriptor: number, fd: number] | number;
  address(descriptor: number, peer: boolean): number[] | number;
  setOption(descriptor: number, option: number, value: number): number;
  option(descriptor: number, option: number): number;
  membership(descriptor: number, join: boolean, group: number[], over: number[] | undefined): number;
  collected(): number[];
  cancelAll(): void;
  close(callback: () => void): void;
  abandon(deadline: number): number;
}

export interface NativeBinding {
  readonly ABI_VERSION: number;
  layout(): { readonly opcodes: Readonly<Record<string, number>> };
  NativeProactor: new (config: NativeConfig, dispatch: (count: number) => void) => NativeProactor;
}

export const ABI_VERSION = 7;

let loaded: NativeBinding | undefined;

/** Where this code is. A bundler that makes CommonJS of it leaves `import.meta` empty, and there `__filename` says so. */
const here = (import.meta.url as string | undefined) ?? __filename;

function noRing(causeKind: 'runtime' | 'system', message: string): Error {
  return Object.assign(new Error(message), { causeKind });
}

/**
 * Others run programs for Node, too, and say that they have a libuv. What they have is not one that the ring could live in: Bun ends
 * the process at the first call of it, Deno cannot load the binding.
 */
function checkRuntime({ bun, deno }: NodeJS.ProcessVersions): void {
  const runtime = bun !== undefined ? `Bun ${bun}` : deno !== undefined && `Deno ${deno}`;
  if (runtime !== false) throw noRing('runtime', `the ring lives in Node's event loop; this is ${runtime}`);
}

/** This machine, as the packages with binaries name it: `linux-x64-gnu`. */
function target(): string {
  const { platform, arch } = process;
  if (platform !== 'linux') throw noRing('system', `io_uring is a Linux interface; this is ${platform}`);
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return `${platform}-${arch}-${report.header?.glibcVersionRuntime === undefined ? 'musl' : 'gnu'}`;
}

/**
 * The binding for this machine: the one that `RITSU_NATIVE` names, else the one built in this folder, else that of the
 * package of this machine's own, which npm installs along.
 */
function find(): NativeBinding {
  checkRuntime(process.versions);
  const require = createRequire(here);
  if (process.env.RITSU_NATIVE) return require(process.env.RITSU_NATIVE) as NativeBinding;
  const name = target();
  const packageName = `ritsu-${name}`;
  for (const place of [`../../native/ritsu.${name}.node`, packageName]) {
    try {
      return require(place) as NativeBinding;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error; // it is there and cannot be loaded
    }
  }
  throw new Error(`no binary for ${name}: the package ${packageName} is not installed`);
}

/** Load the binding. Throws where there is none, or where it is not of this version. */
export function loadNative(): NativeBinding {
  loaded ??= check(find());
  return loaded;
}

function check(binding: NativeBinding): NativeBinding {
  const version = binding.ABI_VERSION;
  const { opcodes } = binding.layout();
  const same = Object.entries(Opcode).every(([name, code]) => opcodes[name] === code);
  if (version !== ABI_VERSION || !same) {
    throw new Error(`the native binding is of another version (its ABI is ${version}, ours ${ABI_VERSION}): reinstall ritsu`);
  }
  return binding;
}
