/** The command line of the benches. */
import { parseArgs } from 'node:util';
import type { Participant } from './engines/engine.ts';

export interface Settings {
  readonly smoke: boolean;
  readonly runs: number;
  readonly record: boolean;
  readonly json: boolean;
  readonly syscalls: boolean;
  readonly rows: string;
  readonly engines: string;
  readonly directory: string | undefined;
  readonly scale: number;
}

export const usage = `usage: node benches/{file,boundary,read-styles,echo,threads,run}.ts
  --smoke            small sizes, every byte verified, no timing worth reading
  --runs N           rounds of the real size (5)
  --row TEXT         only rows whose title has TEXT
  --engine TEXT      only engines whose name has TEXT (several with |)
  --scale X          multiply the operations of every row, or its time (1)
  --directory DIR    where the file is made, if it reads one (the system's folder for temporary files)
  --syscalls         also count system calls per operation, by strace
  --json             the result as JSON on standard output, a line for each bench, and nothing else there
  --record           keep the result under benches/record/`;

export function parseSettings(words: readonly string[]): Settings {
  const { values } = parseArgs({
    args: [...words],
    options: {
      smoke: { type: 'boolean', default: false },
      runs: { type: 'string', default: '5' },
      record: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      syscalls: { type: 'boolean', default: false },
      row: { type: 'string', default: '' },
      engine: { type: 'string', default: '' },
      scale: { type: 'string', default: '1' },
      directory: { type: 'string' },
    },
  });
  const runs = Number(values.runs);
  const scale = Number(values.scale);
  if (!Number.isInteger(runs) || runs < 1) throw new RangeError(`--runs ${values.runs}: a whole number from 1 on`);
  if (!(scale > 0)) throw new RangeError(`--scale ${values.scale}: a number above 0`);
  if (values.smoke && values.record) throw new RangeError('--smoke measures nothing that --record could keep');
  const { smoke, record, json, syscalls, directory } = values;
  return { smoke, record, json, syscalls, directory, runs, scale, rows: values.row, engines: values.engine };
}

/** Those of a row that were asked for. */
export function chosenEngines<E extends Participant>(engines: readonly E[], settings: Settings): E[] {
  const names = settings.engines.split('|');
  return engines.filter((engine) => names.some((name) => engine.name.includes(name)));
}
