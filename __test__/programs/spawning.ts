/**
 * Starts children while bytes go through the ring: `spawning <children> <path>`. Reports what the children had open that was
 * not their own, and how much of our memory a fork would copy.
 */
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { once } from 'node:events';
import { Proactor, connect, listen, open } from 'ritsu';
import { ensure, report } from './report.ts';

const children = Number(process.argv[2]);
const path = process.argv[3]!;
/** What whoever started us left open is not the ring's. */
const inherited = new Set(readdirSync('/proc/self/fd').flatMap((fd) => {
  try {
    return [readlinkSync(`/proc/self/fd/${fd}`)];
  } catch {
    return []; // the one that listed the folder
  }
}).filter((target) => /^(pipe|socket):/.test(target)));
const before = keptBack();
const proactor = Proactor.current();
const listener = await listen({ port: 0, host: '127.0.0.1' });
const [near, far] = await Promise.all([connect({ port: listener.address().port, host: '127.0.0.1' }), listener.accept()]);
const file = await open(path);
const content = readFileSync(path);
let isOver = false;
let echoes = 0;

async function echo(): Promise<void> {
  for await (const bytes of far.allocator()) await far.writer().writeAll(bytes);
  await far.close();
}

async function ask(): Promise<void> {
  const reader = near.allocator();
  for (; !isOver; echoes += 1) {
    await near.writer().writeAll(`question ${echoes}`);
    let answer = '';
    while (answer.length < `question ${echoes}`.length) {
      const bytes = (await reader.read())!;
      answer += bytes.data.toString();
      bytes.release();
    }
    ensure(answer === `question ${echoes}`, `${answer} is the wrong answer`);
  }
  await near.close();
}

async function read(): Promise<void> {
  const reader = file.allocator({ blockSize: 4096 });
  for (let position = 0; !isOver; position = (position + 4096) % content.length) {
    const bytes = (await reader.read({ position }))!;
    ensure(content.subarray(position, position + bytes.length).equals(bytes.data), `wrong bytes at ${position}`);
    bytes.release();
  }
}

/** What a child has open beside its standard streams and the folder that it lists. */
async function foreign(): Promise<string[]> {
  const child = spawn('ls', ['-l', '/proc/self/fd'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let listed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (listed += text));
  const [code] = (await once(child, 'close')) as [number];
  ensure(code === 0 && listed.includes(' 2 -> '), `ls ended with ${code}: ${listed}`);
  const links = listed.split('\n').filter((line) => line.includes(' -> ')).map((line) => /(\d+) -> (.*)$/.exec(line)!);
  return links.filter(([, fd, target]) => Number(fd) > 2 && !/^\/proc\/\d+\/fd$/.test(target!) && !inherited.has(target!)).map(([, , target]) => target!);
}

/** What a fork does not copy: mappings of rings, and bytes of anonymous memory. Node has some of both. */
function keptBack(): { readonly rings: number; readonly bytes: number } {
  const entries = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).filter((entry) => /^VmFlags:.* dc\b/m.test(entry));
  const anonymous = entries.filter((entry) => / 00:00 0 *\n/.test(entry));
  const bytes = anonymous.reduce((sum, entry) => sum + Number(/^Size: +(\d+) kB/m.exec(entry)![1]) * 1024, 0);
  return { rings: entries.filter((entry) => entry.includes('anon_inode:[io_uring]')).length, bytes };
}

const load = Promise.all([echo(), ask(), read()]);
const found = new Set<string>();
for (let started = 0; started < children; started += 10) {
  const some = await Promise.all(Array.from({ length: Math.min(10, children - started) }, foreign));
  for (const target of some.flat()) found.add(target);
}
while (echoes < 20) await new Promise((resolve) => setTimeout(resolve, 5));
const now = keptBack();
report({ foreign: [...found], rings: now.rings - before.rings, kept: now.bytes - before.bytes, poolBytes: proactor.stats().poolBytes, echoes });
isOver = true;
await load;
await Promise.all([file.close(), listener.close()]);
