/**
 * A file on a device that fails: `device-faults <scenario> <file> [image]`. Reports the error of the first operation that
 * fails, how many bytes had been written by then, and what is left after all is closed.
 */
import { truncateSync } from 'node:fs';
import { Proactor, alloc, open, owned } from 'ritsu';
import type { BackendName } from 'ritsu';
import { report } from './report.ts';

const [scenario = '', path = '', image = ''] = process.argv.slice(2);
const BLOCK = 65_536;
const BLOCKS_MAX = 1024;
const proactor = new Proactor({ backend: (process.env['RITSU_BACKEND'] || 'uring') as BackendName });

async function failing(work: () => Promise<unknown>): Promise<object> {
  try {
    await work();
    return { code: undefined };
  } catch (error) {
    const { code, errno, syscall, buffer, bytesTransferred } = error as NodeJS.ErrnoException & { buffer?: Buffer; bytesTransferred?: number };
    return { code, errno, syscall, memoryIsBack: buffer === undefined ? undefined : buffer.length, bytesTransferred };
  }
}

const SCENARIOS: Readonly<Record<string, () => Promise<object>>> = {
  /** Until the device, or the limit, takes no more. */
  async fill() {
    const file = await open(path, { flags: 'w', proactor });
    const writer = file.writer();
    let written = 0;
    const fault = await failing(async () => {
      for (let count = 0; count < BLOCKS_MAX; count += 1) {
        const { bytesWritten } = await writer.write(Buffer.alloc(BLOCK, 'x'));
        written += bytesWritten;
      }
      await file.sync();
    });
    const { size } = await file.stat();
    await file.close();
    return { ...fault, written, size };
  },
  /** The end of the device is gone: what lies there cannot be read any more, the rest can. */
  async gone() {
    const writing = await open(path, { flags: 'w', proactor });
    await writing.writer().writeAll(alloc(BLOCK * 64, { proactor }));
    await writing.sync();
    await writing.close();
    truncateSync(image, BLOCK);
    const file = await open(path, { direct: true, proactor });
    const reads = await Promise.all(Array.from({ length: 64 }, (_, index) => failing(() => file.hybrid().read(owned(alloc(BLOCK, { proactor })), { position: index * BLOCK }))));
    await file.close();
    return reads[0]!;
  },
};

const outcome = await SCENARIOS[scenario]!();
const { inFlight, blocksBusy, descriptorsOpen, stale } = proactor.stats();
await proactor.close();
report({ ...outcome, left: { inFlight, blocksBusy, descriptorsOpen, stale } });
