/** The list of ops stands in two languages; these readers make them comparable. */
import type { Source } from './source.ts';

/** From `export const Opcode = { NOP: 0, .. } as const`. */
export function opcodesOfTypescript({ code }: Source): Map<string, number> {
  const body = /export const Opcode = \{([^}]*)\}/.exec(code)?.[1] ?? '';
  return new Map([...body.matchAll(/(\w+)\s*:\s*(\d+)/g)].map((found) => [plain(found[1]), Number(found[2])]));
}

/** From `enum Opcode { Nop = 0, .. }`; a variant without a number has the one after its predecessor's. */
export function opcodesOfRust({ code }: Source): Map<string, number> {
  const body = /\benum Opcode\s*\{([^}]*)\}/.exec(code)?.[1] ?? '';
  const numbers = new Map<string, number>();
  let next = 0;
  for (const found of body.matchAll(/(?:^|,)\s*(?:#\[[^\]]*\]\s*)*(\w+)\s*(?:=\s*(\d+))?(?=\s*(?:,|$))/g)) {
    const value = found[2] === undefined ? next : Number(found[2]);
    numbers.set(plain(found[1]), value);
    next = value + 1;
  }
  return numbers;
}

const plain = (name = '') => name.replaceAll('_', '').toLowerCase();
