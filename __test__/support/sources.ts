/** What is read in a test: a stream with its sender, a file; and what came of it. */
import type { ExecutionContext } from 'ava';
import { open } from 'ritsu';
import type { Bytes, File, Proactor } from 'ritsu';
import { fileOf } from './files.ts';
import { disposed, tcpPair } from './net.ts';

/** Text that a read brought; its memory goes back. */
export function textOf(bytes: Bytes | null): string {
  const text = bytes!.data.toString();
  bytes!.release();
  return text;
}

/** A stream, and what sends to it; closed with the test. */
export async function streamOf(t: ExecutionContext, proactor: Proactor) {
  const { inside, outside } = await disposed(t, tcpPair(proactor));
  return { stream: inside, peer: outside, send: (text: string) => outside.writer().writeAll(text) };
}

/** A file with this content, closed with the test. */
export async function fileFor(t: ExecutionContext, proactor: Proactor, content: Uint8Array | string): Promise<File> {
  const file = await open(fileOf(Buffer.from(content)), { proactor });
  t.teardown(() => file.close());
  return file;
}
