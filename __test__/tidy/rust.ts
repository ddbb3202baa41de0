/** House rules about Rust: where `unsafe` may stand, and what must be said about it. */
import { findAll } from './rule.ts';
import type { Finding, Rule } from './rule.ts';
import { lineAt, sourceOf } from './source.ts';
import type { Source } from './source.ts';

const REASON_LINES_MAX = 6;

/** The ring, the buffers and the bridge with its libuv half: here the project's unsafe operations live. */
export const UNSAFE_FILES = [
  /^crates\/ritsu\/src\/(ring|buffer)\w*\.rs$/,
  /^crates\/ritsu-napi\/src\/(bridge\w*|uv)\.rs$/,
  /^crates\/ritsu-napi\/src\/bridge\/\w+\.rs$/,
];

export const isRust = (path: string) => path.endsWith('.rs');
const isLibraryRust = (path: string) => /^crates\/[^/]+\/src\/.*\.rs$/.test(path);

interface Unsafe {
  readonly line: number;
  /** A `contract` asks something of Rust callers, a `callback` is called by C; a `use` relies on a contract. */
  readonly kind: 'contract' | 'callback' | 'use';
}

/** Every `unsafe` but those inside a type (`type Callback = unsafe extern "C" fn(..)`), which do nothing. */
export function findUnsafe({ code }: Source): Unsafe[] {
  return [...code.matchAll(/\bunsafe\b/g)].flatMap(({ index }): Unsafe[] => {
    const rest = code.slice(index + 'unsafe'.length);
    const line = lineAt(code, index);
    if (/^\s+fn\s+\w/.test(rest)) return [{ line, kind: 'contract' }];
    if (/^\s+extern\s+fn\s+\w/.test(rest)) return [{ line, kind: 'callback' }];
    return /^(\s+extern)?\s+fn\s*\(|^\(/.test(rest) ? [] : [{ line, kind: 'use' }];
  });
}

function unsafePlaces(source: Source): Finding[] {
  if (UNSAFE_FILES.some((allowed) => allowed.test(source.path))) return [];
  // An `unsafe fn` is a contract for callers; it holds no unsafe operation by itself (unsafe_op_in_unsafe_fn).
  return findUnsafe(source)
    .filter(({ kind }) => kind === 'use')
    .map(({ line }) => ({ line, what: 'unsafe outside of the ring, the buffers and the bridge' }));
}

/** The comment and attribute lines right above a line, and the few code lines of the statement it is in. */
function wordsAbove(lines: readonly string[], line: number): string {
  let first = line - 1;
  const isComment = (at: number) => /^\s*(\/\/|#\[)/.test(lines[at] ?? '');
  for (let steps = 0; first > 0 && (isComment(first - 1) || steps < REASON_LINES_MAX); first -= 1) {
    if (!isComment(first - 1)) steps += 1;
    // A statement or block that ended there has its own reasons.
    if (/^\s*$|[;}]\s*$/.test(lines[first - 1] ?? '') && !isComment(first - 1)) break;
  }
  return lines.slice(first, line).join('\n');
}

function unsafeReasons(source: Source): Finding[] {
  const lines = source.text.split('\n');
  return findUnsafe(source).flatMap(({ line, kind }) => {
    const words = wordsAbove(lines, line);
    if (kind === 'callback') return [];
    if (kind === 'contract') return /\/\/\/ # Safety/.test(words) ? [] : [{ line, what: 'unsafe fn without a `# Safety` section' }];
    return /\/\/ SAFETY:/.test(words) ? [] : [{ line, what: 'unsafe without `// SAFETY:` right above it' }];
  });
}

const LEFTOVER = /\b(todo|unimplemented|dbg|println|eprintln|print|eprint)!/g;

export const rustRules: Rule[] = [
  {
    name: 'unsafe stands only in the ring, the buffers and the bridge',
    applies: isLibraryRust,
    check: unsafePlaces,
    bad: [sourceOf('crates/ritsu/src/slot.rs', '// SAFETY: no.\nlet x = unsafe { read(p) };\n')],
    good: [
      sourceOf('crates/ritsu/src/ring.rs', 'let x = unsafe { read(p) };\n'),
      sourceOf('crates/ritsu/src/slot.rs', '// unsafe\nlet x = "unsafe"; type F = unsafe extern "C" fn(u8);\n'),
    ],
  },
  {
    name: 'every unsafe says why it is sound',
    applies: isRust,
    check: unsafeReasons,
    bad: [
      sourceOf('crates/ritsu/src/ring.rs', '// SAFETY: mine.\nunsafe { a() };\nunsafe { b() };\n'),
      sourceOf('crates/ritsu/src/ring.rs', 'unsafe impl Send for X {}\n'),
      sourceOf('crates/ritsu-napi/src/uv.rs', 'const A: u8 = 1;\n\nunsafe extern "C" {\n    fn a();\n}\n'),
      sourceOf('crates/ritsu/src/ring.rs', '/// Reads.\npub unsafe fn read() {}\n'),
    ],
    good: [
      sourceOf('crates/ritsu/src/ring.rs', '// SAFETY: mine.\nlet x = call(\n    unsafe { a() },\n);\n'),
      sourceOf('crates/ritsu/src/ring.rs', '/// Reads.\n///\n/// # Safety\n/// Valid.\n#[must_use]\npub unsafe fn read() {}\n'),
      sourceOf('crates/ritsu-napi/src/uv.rs', '/// `uv_close_cb`.\nunsafe extern "C" fn on_closed(_: *mut u8) {}\n'),
    ],
  },
  {
    name: 'no left-overs of writing in Rust library code',
    applies: (path) => isLibraryRust(path) && !/_tests?\.rs$/.test(path),
    check: ({ code }) => findAll(code, LEFTOVER),
    bad: [sourceOf('crates/ritsu/src/op.rs', 'fn a() { todo!() }\n'), sourceOf('crates/ritsu/src/op.rs', 'println!("x");\n')],
    good: [sourceOf('crates/ritsu/src/op.rs', '// todo!()\nlet x = "println!";\n')],
  },
];
