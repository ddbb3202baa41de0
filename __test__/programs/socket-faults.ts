/** What goes wrong with sockets outside of the program's hands: `socket-faults <backend> <scenario> [arguments]`. */
import { closeSync } from 'node:fs';
import { Proactor, connect, listen } from 'ritsu';
import type { BackendName, Stream } from 'ritsu';
import { report } from './report.ts';

const [backend = '', scenario = '', ...rest] = process.argv.slice(2);
const proactor = new Proactor({ backend: backend as BackendName });

function told(error: unknown): void {
  const { message, code, errno, syscall, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  report({ message, code, errno, syscall, address, port });
}

/** Serves each visitor once there are descriptors for it: says hello, and lets go of all when nobody comes any more. */
async function acceptAll(path: string, total: number): Promise<void> {
  const warnings: unknown[] = [];
  process.on('warning', (warning) => warnings.push((warning as Error & { code?: string }).code));
  const listener = await listen({ path, proactor });
  let held: Stream[] = [];
  let served = 0;
  let most = 0;
  const letGo = async (): Promise<void> => {
    most = Math.max(most, held.length);
    await Promise.all(held.splice(0).map((stream) => stream.destroy()));
  };
  let before = 0;
  const timer = setInterval(() => {
    if (before === held.length) void letGo();
    before = held.length;
  }, 50);
  while (served < total) {
    const stream = await listener.accept();
    held.push(stream);
    await stream.writer().writeAll('hello').then(() => (served += 1), () => {});
  }
  clearInterval(timer);
  await letGo();
  held = [];
  await listener.close();
  const { descriptorsOpen, inFlight, enters } = proactor.stats();
  report({ served, most, warnings, descriptorsOpen, inFlight, enters });
}

/** Somebody closes a descriptor of ours: its operations fail, and nothing else does. */
async function closedByOthers(): Promise<void> {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const [inside, outside] = await Promise.all([listener.accept(), connect(listener.address().port, '127.0.0.1', { proactor })]);
  closeSync(outside.fd);
  const outcomes = [
    await outside.writer().write('x').then(() => 'written', (error: NodeJS.ErrnoException) => error.code),
    await outside.hybrid().read({ prepare: () => ({ memory: Buffer.from(new ArrayBuffer(8)) }), complete: () => {} }).then(
      () => 'read',
      (error: NodeJS.ErrnoException) => error.code,
    ),
    await outside.close().then(() => 'closed', (error: NodeJS.ErrnoException) => error.code),
  ];
  await Promise.all([inside.destroy(), listener.close()]);
  const { descriptorsOpen, inFlight } = proactor.stats();
  report({ outcomes, descriptorsOpen, inFlight });
}

const SCENARIOS: Readonly<Record<string, () => Promise<unknown>>> = {
  listen: () => listen({ port: Number(rest[0]), ...(rest[1] ? { host: rest[1] } : {}), proactor }).then((it) => it.close()).catch(told),
  connect: () => connect({ port: Number(rest[0]), host: rest[1]!, proactor }).then((it) => it.close()).catch(told),
  acceptAll: () => acceptAll(rest[0]!, Number(rest[1])),
  closedByOthers,
};

await SCENARIOS[scenario]!();
await proactor.close();
report({ ended: true });
