/**
 * What a stream has in flight to read, and what a result says about it. Pure.
 *
 * | flow | in flight | left for |
 * |---|---|---|
 * | idle | nothing | the first read takes chunks: armed, or waiting. It has memory: direct |
 * | waiting | nothing; the stream is in the group's queue | a block came, or the first read has memory: idle |
 * | armed | the multishot | its final completion: idle. First read has memory, stash full, close: stopping |
 * | stopping | the multishot, cancelled | its final completion: idle; what it still delivers is stashed |
 * | direct | the first read | its completion: idle |
 * | polling | a poll: the descriptor is non-blocking and had nothing | its completion: idle |
 */
import { ECANCELED, EINTR } from '../op.js';

export type Flow = 'idle' | 'waiting' | 'armed' | 'stopping' | 'direct' | 'polling';

/**
 * `bytes`: they are there. `end`: no read will get anything else. `again`: it was ended by ourselves or by a signal.
 * `empty`: the group has no block. `not ready`: the descriptor is non-blocking and had nothing. `one shot`: it cannot be
 * read by a multishot. `failed`: this operation, not the stream.
 */
export type Verdict = 'bytes' | 'end' | 'again' | 'empty' | 'not ready' | 'one shot' | 'failed';

const EAGAIN = -11;
const ENOMEM = -12;
const EINVAL = -22;
const EBADFD = -77;
const EOPNOTSUPP = -95;
const ENOBUFS = -105;
/** Below: faults that the boundary found. */
const ERRNO_LAST = -4095;

export function verdictOf(result: number, wasMultishot: boolean): Verdict {
  if (result > 0) return 'bytes';
  switch (result) {
    case ECANCELED:
    case EINTR:
      return 'again';
    case EAGAIN:
      return 'not ready';
    case ENOBUFS:
      return 'empty';
    case ENOMEM:
      return 'failed';
    case EBADFD:
    case EINVAL:
    case EOPNOTSUPP:
      return wasMultishot ? 'one shot' : 'end';
    default:
      return result < ERRNO_LAST ? 'failed' : 'end';
  }
}
