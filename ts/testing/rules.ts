/** What the library owes the kernel about memory that an op has: it stays where it is, and as it is. */
import { Opcode } from '../op.js';
import type { RingCall } from './call.js';
import { describe } from './trace.js';
import type { Trace } from './trace.js';

/** Bytes that a sample looks at. */
const SAMPLE = 256;
const READS_MEMORY: ReadonlySet<number> = new Set([
  Opcode.WRITE, Opcode.WRITE_FIXED, Opcode.WRITEV, Opcode.SEND, Opcode.SEND_MESSAGE,
]);

/** A hash of some of the bytes that an op reads; 0 for an op that reads none. */
export function sampleOf({ operation, views }: RingCall): number {
  if (!READS_MEMORY.has(operation.opcode)) return 0;
  let hash = 0x811c9dc5;
  for (const view of views) {
    const stride = Math.max(1, Math.floor(view.length / SAMPLE));
    for (let at = 0; at < view.length; at += stride) hash = Math.imul(hash ^ view[at]!, 0x01000193) >>> 0;
  }
  return hash;
}

/** Asked at its final completion, while the op still owns its memory. */
export function stillThere(call: RingCall, trace: Trace): void {
  if (call.views.some(({ buffer }) => (buffer as ArrayBuffer).detached)) {
    trace.broken(`memory of ${describe(call)} was moved away while the kernel had it`);
  }
  if (sampleOf(call) !== call.sample) trace.broken(`memory of ${describe(call)} was changed while the kernel read it`);
}
