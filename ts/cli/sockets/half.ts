/** The socket half of the main job: what is compared, how long, and in which order. */
import type { BackendName, Style } from '../../index.js';
import type { Settings } from '../arguments.js';
import { compare, passesOf } from '../comparison.js';
import type { Progress } from '../progress.js';
import { socketTableOf } from '../report.js';
import type { SocketTable } from '../report.js';
import { bytesText, socketTableText, socketsText } from '../table.js';
import { Arena, socketEngines } from './contest.js';
import type { Trial } from './contest.js';

const KIB = 1024;
const ECHO_MS = 400;
const BULK_MS = 300;
const ECHO_WARM_UP_MS = 1500;
const BULK_WARM_UP_MS = 500;
/** Not a multiple of anything that is read or written at a time. */
const TRANSFER_BYTES = 16 * KIB * KIB + 5;

function trials(connections: number): Trial[] {
  return [
    { role: 'echo', connections, messageBytes: 64, milliseconds: ECHO_MS, warmUpMilliseconds: ECHO_WARM_UP_MS },
    { role: 'echo', connections, messageBytes: 16 * KIB, milliseconds: ECHO_MS, warmUpMilliseconds: ECHO_WARM_UP_MS },
    { role: 'receive', connections: 1, messageBytes: TRANSFER_BYTES, milliseconds: BULK_MS, warmUpMilliseconds: BULK_WARM_UP_MS },
    { role: 'send', connections: 1, messageBytes: TRANSFER_BYTES, milliseconds: BULK_MS, warmUpMilliseconds: BULK_WARM_UP_MS },
  ];
}

function titleOf({ role, connections, messageBytes }: Trial): string {
  if (role === 'receive') return 'bulk transfer, client to server: the server reads in each style';
  if (role === 'send') return 'bulk transfer, server to client: the server writes';
  return `echo of ${bytesText(messageBytes)} over ${connections === 1 ? 'one connection' : `${connections} connections`}`;
}

/** Steps of the progress bar. */
export function socketPasses(styles: readonly Style[], rounds: number): number {
  return trials(1).reduce((sum, { role }) => sum + passesOf(socketEngines(role, styles), rounds), 0);
}

/** Compare all; each table is told when it is there. */
export async function compareSockets(
  { connections, styles, runs }: Settings,
  backend: BackendName,
  progress: Progress,
  say: (text: string) => void,
): Promise<SocketTable[]> {
  const arena = new Arena(backend);
  const tables: SocketTable[] = [];
  try {
    for (const trial of trials(connections)) {
      const title = titleOf(trial);
      const outcomes = await compare(title, arena.contestants(trial, styles), runs, progress);
      tables.push(socketTableOf(trial, title, outcomes));
      if (tables.length === 1) say(socketsText(tables));
      say(socketTableText(tables.at(-1)!));
    }
    return tables;
  } finally {
    await arena.stop();
  }
}
