/**
 * Description: joining another thread's proactor by its port: a port that can have no handle, and an owner that does not answer.
 *
 * What turns it red: `isOpen` or the list of taken ports left out of `remoteProactor`; a limit that does not close the port, or whose
 * timer or signal is not let go.
 */
import { getEventListeners, once } from 'node:events';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { remoteProactor } from 'ritsu';
import type { Proactor, RitsuError } from 'ritsu';
import { onEachAlone } from '../support/backends.ts';
import { internals } from '../support/internals.ts';
import { eventually, pause } from '../support/net.ts';

/** The same port again, as a thread has it that it was sent to. */
function sentAndReceived(port: MessagePort): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(port, [port]);
  return (receiveMessageOnPort(port2) as { message: MessagePort }).message;
}

onEachAlone('a port that is closed, gone or used is refused, at whatever time it was closed', {}, async (t, proactor) => {
  const ways: Record<string, (port: MessagePort) => Promise<Proactor>> = {
    'closed just now': async (port) => {
      port.close();
      return remoteProactor(port);
    },
    'closed long ago': async (port) => {
      port.close();
      await once(port, 'close');
      return remoteProactor(port);
    },
    'closed while it joins': (port) => {
      const joining = remoteProactor(port);
      port.close();
      return joining;
    },
    'closed while it joins, later': (port) => {
      const joining = remoteProactor(port);
      queueMicrotask(() => port.close());
      return joining;
    },
    'sent away': async (port) => {
      sentAndReceived(port).close();
      return remoteProactor(port);
    },
    'sent away long ago': async (port) => {
      sentAndReceived(port).close();
      await pause(20);
      return remoteProactor(port);
    },
    'a second handle': async (port) => {
      const first = await remoteProactor(port);
      const second = await remoteProactor(port).catch((error: Error) => error);
      await first.close();
      if (second instanceof Error) throw second;
      return second;
    },
    'a second handle, of the port that was sent away': async (port) => {
      await remoteProactor(port);
      return remoteProactor(sentAndReceived(port));
    },
  };
  for (const [name, join] of Object.entries(ways)) {
    const settled = await Promise.race([join(proactor.share()).then(() => 'joined', ({ code }: RitsuError) => code), pause(5000)]);
    t.is(settled, 'ERR_RITSU_CLOSED', name);
  }
  const remote = await remoteProactor(sentAndReceived(proactor.share()));
  t.is(await remote.nop(5), 5);
  await remote.close();
  await eventually(t, 'no guest is left', () => internals(proactor).residents.size === 0);
});

/** A port that no `share()` made, whose other end nobody answers. */
function foreignPort(): { readonly port: MessagePort; readonly closed: Promise<unknown> } {
  const { port1, port2 } = new MessageChannel();
  port2.on('message', () => {}); // waits
  return { port: port1, closed: once(port2, 'close') };
}

onEachAlone('whoever joins does not have to wait for an owner that does not answer', {}, async (t, proactor) => {
  const foreign = foreignPort();
  await t.throwsAsync(remoteProactor(foreign.port, { timeout: 20 }), { name: 'TimeoutError', code: 'ERR_RITSU_TIMEOUT' });
  await foreign.closed;
  const ways: Record<string, (controller: AbortController) => void> = {
    'while it joins': (controller) => setImmediate(() => controller.abort(new Error('enough'))),
    'at once': (controller) => queueMicrotask(() => controller.abort(new Error('enough'))),
  };
  for (const [name, end] of Object.entries(ways)) {
    const { port, closed } = foreignPort();
    const controller = new AbortController();
    const joining = remoteProactor(port, { signal: controller.signal });
    end(controller);
    const error = await t.throwsAsync(joining, { name: 'AbortError' }, name);
    t.is((error?.cause as Error | undefined)?.message, 'enough');
    await closed;
  }
  const port = proactor.share();
  await t.throwsAsync(remoteProactor(port, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  await t.throwsAsync(remoteProactor(port, { timeout: -1 }), { code: 'ERR_OUT_OF_RANGE' });
  const { signal } = new AbortController();
  const remote = await remoteProactor(port, { timeout: 10_000, signal }); // the port was not used up
  t.is(await remote.nop(5), 5);
  await remote.close();
  await eventually(t, 'no guest is left', () => internals(proactor).residents.size === 0);
  t.is(getEventListeners(signal, 'abort').length, 0);
});
