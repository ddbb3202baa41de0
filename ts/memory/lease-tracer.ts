/**
 * Finds leases that were collected without having been released, and names the call that asked for them. Their blocks
 * come back all the same (Rust learns when the memory can no longer be reached); the warning is for the program, which
 * ran with less memory meanwhile.
 */
import type { Bytes } from './bytes.js';

// For all tracers, since it must not be collected: see `ts/backend/node/blocks.ts`.
const registry = new FinalizationRegistry<string>((site) => {
  process.emitWarning(`a lease was collected without having been released; it was asked for${site}`, {
    code: 'RITSU_LEASE_LEAK',
    type: 'RitsuWarning',
  });
});

export class LeaseTracer {
  /** Remember where the operation was made. */
  mark(operation: { site: string | undefined }): void {
    operation.site = new Error('lease').stack?.replace(/^.*\n/, '\n');
  }

  watch(bytes: Bytes, site: string | undefined): void {
    registry.register(bytes, site ?? ' at an unknown place', bytes);
    bytes.onReleased = () => registry.unregister(bytes);
  }
}
