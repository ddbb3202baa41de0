/** Sockets: echoes, bulk transfers, idle connections and a hello world over HTTP, against node:net and the limit. */
import { pinnedCores } from '../dist/cli/sockets/line-process.js';
import { rawLoadAvailable } from './engines/provision.ts';
import * as engines from './engines/sockets.ts';
import type { SocketEngine, SocketPlan } from './engines/sockets.ts';
import { runWhenMain } from './harness.ts';
import type { LiveBench } from './harness.ts';
import { formatRow } from './report.ts';
import type { Outcome, RowReport, Target } from './report.ts';
import { runRounds } from './rounds.ts';
import { chosenEngines } from './settings.ts';
import type { Settings } from './settings.ts';

const KIB = 1024;
/** V8 goes on making a server's code faster for seconds. */
const REAL = { milliseconds: 2000, warmUpMilliseconds: 3000, transferBytes: 64 * KIB * KIB + 5 } as const;
const SMOKE = { milliseconds: 30, warmUpMilliseconds: 0, transferBytes: 2 * KIB * KIB + 5, idle: 200 } as const;

interface Row {
  readonly title: string;
  readonly plan: Pick<SocketPlan, 'mode' | 'transport' | 'connections' | 'messageBytes'>;
  readonly engines: readonly SocketEngine[];
  readonly baselines: readonly SocketEngine[];
  readonly targets?: readonly Target[];
}

const styles = [engines.allocator, engines.submit, engines.hybrid];
/** Who need not look at the bytes passes them on. */
const ways = [...styles, engines.piped];
const echoing = [engines.rawEchoServer, ...ways, engines.nodeNet];

function target(measure: Target['measure'], engine: SocketEngine, limit: Pick<Target, 'atLeast' | 'atMost'>, against = engines.nodeNet): Target {
  return { engine, against, measure, ...limit };
}

function echo(connections: number, messageBytes: number, targets: readonly Target[]): Row {
  const size = messageBytes < KIB ? `${messageBytes} B` : `${messageBytes / KIB} KiB`;
  return {
    title: `echo of ${size} over ${connections === 1 ? 'one connection' : `${connections} connections`}`,
    plan: { mode: 'echo', transport: 'tcp', connections, messageBytes },
    engines: echoing,
    baselines: [engines.nodeNet, engines.rawEchoServer],
    targets,
  };
}

function bulk(mode: 'send' | 'receive', transport: SocketPlan['transport']): Row {
  const direction = mode === 'send' ? 'server to client' : 'client to server';
  const writers = [engines.movedWriter, engines.copiedWriter, ...(transport === 'tcp' ? [engines.zeroCopyWriter] : [])];
  return {
    title: `bulk transfer over ${transport === 'tcp' ? 'TCP' : 'Unix'}, ${direction}, an op is a MiB`,
    plan: { mode, transport, connections: 1, messageBytes: 0 },
    engines: [...(mode === 'send' ? writers : styles), engines.nodeNet],
    baselines: [engines.nodeNet],
  };
}

/**
 * The submit style is not among those with a target: the memory is the caller's, and it is out as long as a read waits. Nor is what is
 * passed on, which keeps the write that goes round.
 */
function idleRow(what: string, messageBytes: number): Row {
  return {
    title: `10,000 idle connections, ${what}, an op is a connection`,
    plan: { mode: 'idle', transport: 'tcp', connections: 10_000, messageBytes },
    engines: echoing,
    baselines: [engines.nodeNet],
    targets: [engines.allocator, engines.hybrid].map((style) => target('memory', style, { atMost: 1 })),
  };
}

const rows: readonly Row[] = [
  echo(64, 64, [
    ...ways.map((way) => target('rate', way, { atLeast: 1.3 })),
    ...ways.map((way) => target('cpu', way, { atMost: 0.65 })),
    ...ways.map((way) => target('rate', way, { atLeast: 0.85 }, engines.rawEchoServer)),
  ]),
  echo(64, 16 * KIB, ways.map((way) => target('rate', way, { atLeast: 2 }))),
  echo(1, 64, ways.map((way) => target('rate', way, { atLeast: 0.95 }))),
  bulk('send', 'tcp'),
  bulk('receive', 'tcp'),
  bulk('send', 'unix'),
  bulk('receive', 'unix'),
  idleRow('nothing sent yet', 0),
  idleRow('one echo of 64 B done', 64),
  {
    title: 'hello world of node:http over 64 connections',
    plan: { mode: 'http', transport: 'tcp', connections: 64, messageBytes: 0 },
    engines: [engines.duplex, engines.nodeNet],
    baselines: [engines.nodeNet],
  },
];

function planOf({ plan }: Row, { smoke, scale }: Settings): SocketPlan {
  const { idle, ...size } = smoke ? SMOKE : { ...REAL, idle: plan.connections };
  const connections = plan.mode === 'idle' ? Math.min(idle, engines.mostConnections()) : plan.connections;
  return { ...plan, ...size, milliseconds: Math.ceil(size.milliseconds * scale), connections, verify: smoke };
}

/** With the load that there is, what cannot be done by it has a reason. */
function absence(plan: SocketPlan): string | undefined {
  const available = rawLoadAvailable();
  const needsRaw = plan.mode === 'idle' || plan.mode === 'http';
  return available === true || !needsRaw ? undefined : `the load in Rust is needed: ${available}`;
}

async function runRow(row: Row, plan: SocketPlan, settings: Settings): Promise<RowReport> {
  const { title, baselines, targets = [] } = row;
  const chosen = chosenEngines(row.engines, settings);
  const absent = absence(plan);
  const work = {
    run: (engine: SocketEngine) => engine.run(plan),
    syscallsPerOperation: (engine: SocketEngine) => engine.syscallsPerOperation(plan),
  };
  // Of idle connections it is the memory that differs, and no time. The smoke size goes both ways.
  const takesTurns = plan.mode !== 'idle' && rawLoadAvailable() === true && (!settings.smoke || plan.connections > 1);
  const together = (able: readonly SocketEngine[]): ReturnType<typeof engines.runInTurns> => engines.runInTurns(able, plan);
  const limits = settings.smoke ? { runs: 1, syscalls: false } : settings;
  const outcomes: Outcome[] =
    absent === undefined
      ? await runRounds(title, chosen, limits, takesTurns ? { ...work, together } : work)
      : chosen.map((engine) => ({ engine, results: [], absent }));
  return { title, plan, outcomes, baselines, targets };
}

/** What was verified, without figures. */
function smokeText({ title, outcomes }: RowReport): string {
  const right = outcomes.filter(({ results }) => results.length > 0).map(({ engine }) => engine.name);
  const reasons = Map.groupBy(outcomes, ({ failure, absent }) => (failure === undefined ? absent && `without: ${absent}` : `FAILED: ${failure}`) ?? '');
  const others = [...reasons].flatMap(([reason, those]) => {
    const [what, ...why] = reason.split(': ');
    return reason === '' ? [] : [`  ${what} ${those.map(({ engine }) => engine.name).join(', ')}: ${why.join(': ')}`];
  });
  return [`  ${title}: ${right.length === 0 ? 'nobody' : right.join(', ')} right`, ...others].join('\n');
}

function circumstances(): string {
  const [server, load] = pinnedCores();
  const places = server === undefined ? 'not kept apart (no taskset, or one core)' : `on core ${server} and core ${load}`;
  const available = rawLoadAvailable();
  const kind = available === true ? 'a ring in Rust' : `node:net, which is the slower side: ${available}`;
  return `server and load ${places}; the load is ${kind}`;
}

export const bench: LiveBench = {
  name: 'echo',
  async measure(settings, print) {
    print(circumstances());
    const reports: RowReport[] = [];
    for (const row of rows.filter(({ title }) => title.includes(settings.rows))) {
      const plan = planOf(row, settings);
      if (!settings.smoke && plan.connections < row.plan.connections) {
        print(`\nopen files are limited to fewer: ${plan.connections} connections instead of ${row.plan.connections}`);
      }
      const report = await runRow(row, plan, settings);
      print(settings.smoke ? smokeText(report) : formatRow(report));
      reports.push(report);
    }
    return reports;
  },
};

await runWhenMain(import.meta.url, bench);
