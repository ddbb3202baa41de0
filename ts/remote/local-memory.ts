/** The memory of a remote handle: ordinary ArrayBuffers of this thread, none of which the other one ever has. */
import type { ClassLayout } from '../backend/backend.js';
import { BlockTable } from '../backend/node/blocks.js';
import type { Block } from '../memory/block.js';
import { NONE, Opcode } from '../op.js';
import type { Operation } from '../op.js';
import { headLength } from './record.js';

const PART_WORDS = 3;

export function isRead({ opcode }: { readonly opcode: number }): boolean {
  return opcode === Opcode.READ || opcode === Opcode.READ_MANY || opcode === Opcode.RECEIVE_MESSAGE;
}

export abstract class LocalMemory {
  onCollected: ((ids: readonly number[]) => void) | undefined = undefined;
  protected readonly blocks = new BlockTable((id) => this.onCollected?.([id]));

  createPool(classes: readonly (readonly [size: number, count: number])[], _hugePages: boolean): ClassLayout[] {
    return this.blocks.createPool(classes);
  }

  registerPool(_classes: readonly ClassLayout[]): number {
    return 0;
  }

  /** The memory is here, and the kernel's choice there. */
  registerGroup(_layout: ClassLayout): boolean {
    return false;
  }

  provide(_block: Block, _group: number): void {
    // There is no group.
  }

  expose(block: Block): ArrayBuffer {
    return this.blocks.expose(block);
  }

  allocate(size: number): number {
    return this.blocks.allocate(size);
  }

  pin(memory: ArrayBuffer): number {
    return this.blocks.pin(memory);
  }

  unpin(id: number): void {
    this.blocks.unpin(id);
  }

  lost(block: Block): boolean {
    return this.blocks.lost(block);
  }

  /** Take the memory it names: what it writes, as a copy; or the number of its refusal. */
  protected lendOut(operation: Operation<unknown>): Uint8Array | undefined | number {
    const { opcode, block, offset, length } = operation;
    if (isRead(operation) || opcode === Opcode.WRITE || opcode === Opcode.SEND) {
      const view = this.blocks.view(block?.id ?? NONE, offset, length);
      if (typeof view === 'number') return view;
      this.blocks.take(block!.id);
      return isRead(operation) ? undefined : view.slice();
    }
    return opcode === Opcode.WRITEV || opcode === Opcode.SEND_MESSAGE ? this.#gather(operation) : undefined;
  }

  /** The parts of a vectored write as one. */
  #gather(operation: Operation<unknown>): Uint8Array | number {
    const argument = operation.argument!;
    const head = headLength(operation);
    const words = new Uint32Array(argument.slice(head).buffer);
    const views: Uint8Array[] = [];
    for (let at = 0; at < words.length; at += PART_WORDS) {
      const view = this.blocks.view(words[at]!, words[at + 1]!, words[at + 2]!);
      if (typeof view === 'number') return view;
      views.push(view);
    }
    const gathered = new Uint8Array(views.reduce((total, { length }) => total + length, 0));
    let end = 0;
    for (const view of views) {
      gathered.set(view, end);
      end += view.length;
    }
    return gathered;
  }

  /** What was read: in place of the block's memory where it is as large, else copied into it. */
  protected fill({ opcode, block, offset, length: asked }: Operation<unknown>, memory: ArrayBuffer, result: number): void {
    const target = block!;
    const length = opcode === Opcode.READ_MANY ? asked : result; // each of its places fills a share
    if (target.memory!.byteLength === memory.byteLength) {
      this.blocks.replace(target, memory);
    } else new Uint8Array(target.memory!, offset, length).set(new Uint8Array(memory, 0, length));
  }
}
