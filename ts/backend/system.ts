/** Small questions to the file system on behalf of sockets, which no op answers. Synchronous, as libuv asks them, too. */
import { readFileSync, unlinkSync } from 'node:fs';

/** Remove the file of a Unix socket that is about to be closed. That it is gone already is fine. */
export function removeSocketFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else has removed it, or its directory: there is nothing left to do.
  }
}

/** The number of a network interface; undefined when there is none of this name. */
export function interfaceIndex(name: string): number | undefined {
  if (name.includes('/') || name.startsWith('.')) return undefined;
  try {
    return Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
  } catch {
    return undefined;
  }
}
