/**
 * Which backend answers: the ring where it can be had, else Node's fs with the cause kept. `RITSU_BACKEND` forces one
 * and fails loudly; a fallback is announced once per process, by a warning and on the channel `ritsu:fallback`.
 */
import { channel } from 'node:diagnostics_channel';
import { RitsuError, argumentValueError } from '../errors.js';
import type { Backend, BackendKind, BackendMaker, BackendName, Features, Settle } from './backend.js';
import { NodeBackend } from './node.js';
import { switchedOff } from './switches.js';
import type { FeatureSwitch } from './switches.js';
import { UringBackend } from './uring.js';

export type { BackendKind, BackendMaker, BackendName };

/** What kept the ring away: the system or the runtime, the kernel, a sysctl, a seccomp filter, the memlock limit, or no binding. */
export type CauseKind = 'binding' | 'forced' | 'kernel' | 'memlock' | 'runtime' | 'seccomp' | 'sysctl' | 'system' | 'unknown';

/** Which backend answers, and why. */
export interface BackendInfo {
  /** What answers. */
  readonly backend: BackendKind;
  /** What it does; each by a trial, not by the kernel's version. */
  readonly features: Features;
  /** Why it is not the ring. */
  readonly cause?: {
    /** What kept it away. */
    readonly kind: CauseKind;
    /** In a sentence. */
    readonly message: string;
  };
  /** What would bring the ring. */
  readonly fix?: string;
}

export interface Choice {
  readonly backend?: BackendName | 'auto' | undefined;
  readonly entries?: number | undefined;
  readonly completionEntries?: number | undefined;
  readonly inFlightMax?: number | undefined;
  readonly registeredBytesMax?: number | undefined;
  readonly disable?: readonly FeatureSwitch[] | undefined;
}

const IN_FLIGHT_MAX = 65_536;

const FIXES: Readonly<Record<CauseKind, string | undefined>> = {
  binding: 'install ritsu on this machine with its optional dependencies, or build the binding (`npm run build:native` in its repository)',
  forced: undefined,
  kernel: 'run on Linux 5.19 or later with io_uring compiled in',
  memlock: 'raise the memlock limit (`ulimit -l`, LimitMEMLOCK=), or lower `registeredBytesMax` and `entries`',
  runtime: 'run it on Node.js 22.12 or later',
  seccomp: 'allow io_uring_setup, io_uring_enter and io_uring_register in the container\'s seccomp profile',
  sysctl: 'set the sysctl kernel.io_uring_disabled to 0',
  system: 'run on Linux; where it is meant so, set RITSU_BACKEND=node',
  unknown: undefined,
};

const fallback = channel('ritsu:fallback');
let announced = false;

/** A backend, and how it came to be this one. */
export interface Chosen {
  readonly backend: Backend;
  readonly info: BackendInfo;
}

export function chooseBackend(options: Choice, settle: Settle, make?: BackendMaker): Chosen {
  if (make !== undefined) return chosen(make(settle, options.inFlightMax ?? IN_FLIGHT_MAX), undefined);
  const wanted = wantedBackend(options);
  const inFlightMax = options.inFlightMax ?? IN_FLIGHT_MAX;
  const disable = switchedOff(options.disable); // a wrong name is an error, whatever answers
  if (wanted === 'node') return chosen(new NodeBackend(settle, { inFlightMax }), { kind: 'forced', message: 'asked for' });
  try {
    const config = Object.fromEntries(
      Object.entries({ ...options, disable, backend: undefined, inFlightMax }).filter(([, value]) => value !== undefined),
    );
    return chosen(new UringBackend(settle, { ...config, inFlightMax }), undefined);
  } catch (error) {
    const [message = ''] = (error as Error).message.split('\n'); // Node adds whence it was asked for
    const cause = { kind: causeOf(error), message };
    if (wanted === 'uring') {
      const fix = FIXES[cause.kind] === undefined ? '' : `. To fix it: ${FIXES[cause.kind]}`;
      throw new RitsuError('ERR_RITSU_UNAVAILABLE', `no io_uring here (${cause.kind}): ${message}${fix}`, { cause: error });
    }
    const choice = chosen(new NodeBackend(settle, { inFlightMax }), cause);
    announce(choice.info);
    return choice;
  }
}

export function wantedBackend(options: Choice): BackendName | 'auto' {
  const wanted = options.backend ?? process.env.RITSU_BACKEND ?? 'auto';
  if (wanted === 'uring' || wanted === 'node' || wanted === 'auto') return wanted;
  if (wanted === '') return 'auto';
  throw argumentValueError(options.backend === undefined ? 'RITSU_BACKEND' : 'backend', "must be 'uring', 'node' or 'auto'", wanted);
}

function causeOf(error: unknown): CauseKind {
  const { causeKind, code } = error as { causeKind?: CauseKind; code?: string };
  if (causeKind !== undefined) return causeKind;
  if (code === 'ERR_RITSU_EXTERNAL_BUFFERS') return 'runtime';
  return code === 'ERR_RITSU_SETUP' ? 'unknown' : 'binding';
}

function chosen(backend: Backend, cause: BackendInfo['cause']): Chosen {
  const fix = cause === undefined ? undefined : FIXES[cause.kind];
  const info = {
    backend: backend.name,
    features: backend.features,
    ...(cause === undefined ? {} : { cause }),
    ...(fix === undefined ? {} : { fix }),
  };
  return { backend, info };
}

function announce(info: BackendInfo): void {
  if (fallback.hasSubscribers) fallback.publish(info);
  if (announced) return;
  announced = true;
  const { cause, fix } = info;
  process.emitWarning(`running without io_uring (${cause!.kind}): ${cause!.message}`, {
    type: 'RitsuWarning',
    code: 'RITSU_FALLBACK',
    ...(fix === undefined ? {} : { detail: `To fix it: ${fix}` }),
  });
}
