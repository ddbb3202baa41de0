/**
 * Source files as the house rules see them: the text as written, and the same text with comments and strings
 * blanked out, so that a rule about code is never met by prose. Positions and lines are the same in all of them.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Source {
  /** Path from the root of the repository. */
  readonly path: string;
  readonly text: string;
  /** Without comments; strings are kept. */
  readonly uncommented: string;
  /** Without comments and without what stands in strings. */
  readonly code: string;
}

const MADE = new Set(['.git', 'node_modules', 'target', 'dist', 'native', 'coverage', '.tmp']);
const BINARY = /\.(node|png|gif|ico|wasm|bin)$/;
const SIZE_MAX_BYTES = 2_000_000;

function walk(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return MADE.has(entry.name) ? [] : walk(path);
    return entry.isFile() ? [path] : [];
  });
}

/** What is, or is about to be, in the repository; without git, all that set-up did not make. */
function listFiles(): string[] {
  try {
    const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
    const listed = execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return listed.split('\0').filter((path) => path !== '');
  } catch {
    return walk('');
  }
}

function isReadable(path: string): boolean {
  const status = statSync(join(root, path), { throwIfNoEntry: false });
  return status?.isFile() === true && status.size <= SIZE_MAX_BYTES && !BINARY.test(path);
}

export function readSources(): Source[] {
  return listFiles()
    .filter(isReadable)
    .map((path) => sourceOf(path, readFileSync(join(root, path), 'utf8')));
}

export function sourceOf(path: string, text: string): Source {
  const isRust = path.endsWith('.rs');
  if (!isRust && !/\.(ts|mts|cts|js|mjs|cjs)$/.test(path)) return { path, text, uncommented: text, code: text };
  const pieces = isRust ? rustPieces(text) : scriptPieces(text);
  const blank = (kinds: string) => pieces.map(([kind, words]) => (kinds.includes(kind) ? words.replace(/[^\n]/g, ' ') : words)).join('');
  return { path, text, uncommented: blank('c'), code: blank('cs') };
}

export function lineAt(text: string, index: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < index; at = text.indexOf('\n', at + 1)) line += 1;
  return line;
}

/** Index just past the bracket that closes the one at `open`; the end of the code if none does. */
export function endOfBlock(code: string, open: number): number {
  const opener = code.charAt(open);
  const closer = opener === '{' ? '}' : ')';
  let depth = 0;
  for (let at = open; at < code.length; at += 1) {
    const character = code.charAt(at);
    if (character === opener) depth += 1;
    else if (character === closer && (depth -= 1) === 0) return at + 1;
  }
  return code.length;
}

/** A piece of a text: c(omment), s(tring) or p(lain). */
type Piece = readonly ['c' | 's' | 'p', string];

/** Cuts a text by sticky patterns; a string's quotes stay plain, so that brackets and calls keep their shape. */
function cut(text: string, next: (at: number, plain: string) => readonly ['c' | 's', number] | undefined): Piece[] {
  const pieces: Piece[] = [];
  let plain = '';
  let at = 0;
  while (at < text.length) {
    const found = next(at, plain);
    if (found === undefined) {
      plain += text.charAt(at);
      at += 1;
      continue;
    }
    if (plain !== '') pieces.push(['p', plain]);
    plain = '';
    pieces.push([found[0], text.slice(at, found[1])]);
    at = found[1];
  }
  return [...pieces, ['p', plain]];
}

function match(pattern: RegExp, text: string, at: number): number | undefined {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : undefined;
}

/** Rust's block comments nest. */
function endOfRustComment(text: string, at: number): number {
  const marks = /\/\*|\*\//g;
  marks.lastIndex = at;
  let depth = 0;
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    depth += mark[0] === '/*' ? 1 : -1;
    if (depth === 0) return marks.lastIndex;
  }
  return text.length;
}

function rustPieces(text: string): Piece[] {
  const lineComment = /\/\/[^\n]*/y;
  const string = /b?"(?:[^"\\]|\\[\s\S])*"|b?'(?:[^'\\\n]|\\(?:u\{[^}]*\}|x..|.))'/y;
  const raw = /b?r(#*)"[\s\S]*?"\1/y;
  return cut(text, (at, plain) => {
    if (text.startsWith('/*', at)) return ['c', endOfRustComment(text, at)];
    const comment = match(lineComment, text, at);
    if (comment !== undefined) return ['c', comment];
    const isWord = /\w$/.test(plain);
    const end = (isWord ? undefined : match(raw, text, at)) ?? match(string, text, at);
    return end === undefined ? undefined : ['s', end];
  });
}

function scriptPieces(text: string): Piece[] {
  const comment = /\/\/[^\n]*|\/\*[\s\S]*?\*\//y;
  const string = /'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"|`(?:[^`\\]|\\[\s\S])*`/y;
  const regex = /\/(?![*/])(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
  return cut(text, (at, plain) => {
    const commented = match(comment, text, at);
    if (commented !== undefined) return ['c', commented];
    const end = match(string, text, at) ?? (/(?:[(,=:[!&|?{};+~>]|\breturn|^)\s*$/.test(plain) ? match(regex, text, at) : undefined);
    return end === undefined ? undefined : ['s', end];
  });
}
