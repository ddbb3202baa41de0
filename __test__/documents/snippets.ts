/**
 * The TypeScript in the documents, as programs: each ```ts block is one; one of ```ts types needs what is not here, and is
 * only checked. The compiler that the library is built with checks and lowers them, since Node 22 does not parse `using`;
 * they see the library as a user does, by its name.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as ritsu from 'ritsu';

export const root = fileURLToPath(new URL('../..', import.meta.url));

const run = promisify(execFile);
const COMPILER = join(root, 'node_modules/typescript/bin/tsc');
const COMPILER_OPTIONS = {
  target: 'es2022',
  lib: ['es2024', 'esnext.disposable'],
  types: ['node'],
  module: 'nodenext',
  moduleDetection: 'force',
  strict: true,
  skipLibCheck: true,
  rootDir: 'source',
  outDir: 'lowered',
};
const PROGRAM_MS_MAX = 30_000;
/** Child processes at a time. */
const RUNNING_MAX = 2;
/** Left out in the documents where a block says nothing of where names come from. */
const IMPORT = `import { ${Object.keys(ritsu).join(', ')} } from 'ritsu'; `;

export interface Snippet {
  /** Document, section, and the how-manieth block of it. */
  readonly name: string;
  /** For a file name. */
  readonly id: string;
  readonly code: string;
  /** Whether it can be run anywhere. */
  readonly runs: boolean;
  /** What it says that it prints, by `// ->`. */
  readonly prints: readonly string[];
}

/** The ```ts blocks of a document. */
export function snippetsOf(document: string): Snippet[] {
  const snippets: Snippet[] = [];
  const counts = new Map<string, number>();
  let section = '';
  const text = readFileSync(join(root, document), 'utf8');
  for (const { groups, index } of text.matchAll(/^#+ (?<heading>.+)$|^```ts(?<types> types)?\n(?<code>[^]*?)^```$/gm)) {
    const { heading, code, types } = groups!;
    if (heading !== undefined) section = heading;
    if (code === undefined) continue;
    const count = (counts.get(section) ?? 0) + 1;
    counts.set(section, count);
    const line = text.slice(0, index).split('\n').length;
    const prints = [...code.matchAll(/\/\/ -> (.*)$/gm)].map((found) => found[1]!);
    const id = `${document.replace(/\W/g, '-')}-${line}`;
    snippets.push({ name: `${document}, ${section}, ${count}`, id, code, runs: types === undefined, prints });
  }
  return snippets;
}

export interface Result {
  readonly output: string;
  readonly ok: boolean;
}

async function execute(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<Result & { printed: string }> {
  try {
    const { stdout, stderr } = await run(process.execPath, args, { cwd, env, timeout: PROGRAM_MS_MAX });
    return { ok: true, output: stdout + stderr, printed: stdout };
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string };
    return { ok: false, output: `${message}\n${stdout}${stderr}`, printed: stdout };
  }
}

/** A folder inside the repository, since only there the package can be imported by its own name. */
export class Workshop {
  readonly #folder: string;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor() {
    mkdirSync(join(root, '.tmp'), { recursive: true });
    this.#folder = mkdtempSync(join(root, '.tmp/documents-'));
    process.on('exit', () => rmSync(this.#folder, { recursive: true, force: true }));
  }

  /** Check and lower. What the compiler says, where it says anything. */
  async compile(snippets: readonly Snippet[]): Promise<Result> {
    mkdirSync(join(this.#folder, 'source'));
    for (const { id, code } of snippets) {
      const hasImport = /from 'ritsu'/.test(code);
      writeFileSync(join(this.#folder, 'source', `${id}.ts`), `${hasImport ? '' : IMPORT}${code}`);
    }
    writeFileSync(join(this.#folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: COMPILER_OPTIONS, include: ['source'] }));
    return execute([COMPILER, '-p', this.#folder], root, process.env);
  }

  /** Run a block that was lowered, in a fresh folder with these files; what it printed, line by line. */
  async run({ id }: Snippet, backend: string, files: Readonly<Record<string, string>>): Promise<Result & { lines: string[] }> {
    const program = join(this.#folder, 'lowered', `${id}.js`);
    if (!existsSync(program)) return { ok: false, output: 'was not compiled', lines: [] };
    const folder = mkdtempSync(join(this.#folder, 'run-'));
    await this.#enter();
    try {
      for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
      const result = await execute([program], folder, { ...process.env, RITSU_BACKEND: backend, NO_COLOR: '1' });
      return { ...result, lines: result.printed.split('\n').slice(0, -1) };
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #enter(): Promise<void> {
    while (this.#running >= RUNNING_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running += 1;
  }
}
