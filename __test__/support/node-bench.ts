/** The `node` backend alone, with slots, blocks and a promise for each record: what the layers above it are otherwise. */
import * as fs from 'node:fs';
import { NodeBackend } from '../../dist/backend/node.js';
import { Block } from '../../dist/memory/block.js';
import { NONE, Opcode } from '../../dist/op.js';
import type { Completion, Operation } from '../../dist/op.js';

export type Fields = Partial<Pick<Operation<unknown>, 'argument' | 'blockId' | 'descriptor' | 'extra' | 'flags'>> &
  Partial<Pick<Operation<unknown>, 'length' | 'offset' | 'opcode' | 'options' | 'position' | 'target'>>;

export interface Answer extends Completion {
  readonly numbers: Float64Array;
}

/** A record that names nothing. */
export const NOTHING = {
  descriptor: NONE,
  blockId: NONE,
  offset: 0,
  length: 0,
  flags: 0,
  position: -1,
  extra: 0,
  target: 0,
  options: 0,
};

/** A backend with slots and blocks, and a promise for each record. */
export class Bench {
  readonly backend: NodeBackend;
  readonly blocks: Block[];
  readonly group: number;
  readonly order: number[] = [];
  inside = false;
  settledInside = 0;
  #slot = 0;
  readonly #waiting = new Map<number, (answer: Answer) => void>();

  constructor() {
    this.backend = new NodeBackend((completion) => this.#settle(completion));
    const [layout] = this.backend.createPool([[4096, 4]], false);
    this.group = layout!.group;
    this.blocks = Array.from({ length: 4 }, (_, index) => {
      const block = new Block(layout!.first + index, 4096, 'pool', this.backend);
      block.memory = this.backend.expose(block);
      return block;
    });
  }

  /** Encode a record; its answer, and the operation to cancel it by. */
  submit(opcode: number, fields: Fields = {}): Promise<Answer> & { operation: Operation<unknown> } {
    const slot = this.#slot;
    this.#slot += 1;
    const record = { ...NOTHING, argument: undefined, opcode, slot, generation: 5, ...fields };
    const operation = record as unknown as Operation<unknown>;
    const answer = new Promise<Answer>((resolve) => this.#waiting.set(slot, resolve));
    this.within(() => this.backend.encode(operation));
    return Object.assign(answer, { operation });
  }

  within(work: () => void): void {
    this.inside = true;
    work();
    this.inside = false;
  }

  async open(path: string, flags = fs.constants.O_RDWR): Promise<number> {
    const { result, value, extra } = await this.submit(Opcode.OPEN, { argument: Buffer.from(path), flags, target: 0o600 });
    if (result !== 0 || fs.readlinkSync(`/proc/self/fd/${extra}`) !== path) throw new Error(`open: ${result}`);
    return value;
  }

  text(index: number, length: number): string {
    return Buffer.from(this.blocks[index]!.memory!, 0, length).toString();
  }

  #settle(completion: Completion): void {
    if (this.inside) this.settledInside += 1;
    if (completion.generation !== 5) throw new Error('another generation');
    this.order.push(completion.slot);
    this.#waiting.get(completion.slot)!({ ...completion, numbers: this.backend.numbers(completion).slice() });
    this.#waiting.delete(completion.slot);
  }
}

/** The argument of a vectored operation: triples of block, offset and length. */
export const parts = (...words: number[]): Uint8Array => new Uint8Array(Uint32Array.from(words).buffer);
