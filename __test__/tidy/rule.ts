/** What a house rule is. */
import { lineAt } from './source.ts';
import type { Source } from './source.ts';

export interface Finding {
  readonly line: number;
  readonly what: string;
}

export interface Rule {
  readonly name: string;
  readonly applies: (path: string) => boolean;
  readonly check: (source: Source) => Finding[];
  /** Samples that the rule must find something in, so that no rule is empty. */
  readonly bad: readonly Source[];
  /** Samples that look alike and are allowed. */
  readonly good: readonly Source[];
}

/** Every match of a pattern as a finding. */
export function findAll(text: string, pattern: RegExp): Finding[] {
  return [...text.matchAll(pattern)].map(({ 0: what, index }) => ({ line: lineAt(text, index), what: what.trim() }));
}
