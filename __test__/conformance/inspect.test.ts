/**
 * Description: `console.log` of what a program holds says what it is and how it stands, open and closed, and looks at no bytes.
 *
 * What turns it red: a class without a line in `ts/inspect.ts`; a line that throws for what is closed; objects made from one
 * not guarded; depth and options not handed on; inspecting that counts as touching.
 */
import { inspect } from 'node:util';
import test from 'ava';
import { CancelScope, bind, open, pipe } from 'ritsu';
import { onReal } from '../support/backends.ts';
import { fileOf } from '../support/files.ts';
import { disposed, tcpPair, unixPair } from '../support/net.ts';

const shown = (value: unknown): string => inspect(value, { breakLength: Infinity });

onReal('a file, its readers and their bytes are shown by their getters', async (t, proactor, backend) => {
  const path = fileOf('seven b');
  const file = await open(path, { proactor });
  t.is(shown(file), `File { path: '${path}', fd: ${file.fd}, direct: false, closed: false }`);
  const reader = file.allocator({ blockSize: 4096 });
  t.is(shown(reader), 'AllocatorReader { blockSize: 4096 }');
  t.is(shown(file.submitter()), 'SubmitReader { outstanding: 0 }');
  const bytes = (await reader.read())!;
  t.is(shown(bytes), 'Bytes { length: 7, released: false }');
  t.false(bytes.touched, 'to show them is not to look at them');
  bytes.release();
  t.is(shown(bytes), 'Bytes { length: 0, released: true }');
  await file.close();
  t.is(shown(file), `File { path: '${path}', fd: -1, direct: false, closed: true }`);
  t.is(shown(proactor), `Proactor { backend: '${backend}', open: true }`);
  t.is(shown(proactor.createPool({ classes: [{ size: 4096, count: 2 }] })), 'BufferPool { sizes: [ 4096 ] }');
});

onReal('sockets and pipes are shown with their addresses, and when they are closed', async (t, proactor) => {
  const { listener, inside, outside } = await disposed(t, tcpPair(proactor));
  const { port } = listener.address();
  t.is(shown(listener), `TcpListener { address: { address: '127.0.0.1', family: 'IPv4', port: ${port} }, fd: ${listener.fd}, closed: false }`);
  const ends = `localAddress: '127.0.0.1', localPort: ${outside.localPort}, remoteAddress: '127.0.0.1', remotePort: ${port}`;
  t.is(shown(outside), `TcpStream { ${ends}, fd: ${outside.fd}, closed: false }`);
  await inside.close();
  await listener.close();
  t.regex(shown(inside), /^TcpStream \{ .*fd: -1, closed: true \}$/);
  t.regex(shown(listener), /^TcpListener \{ .*fd: -1, closed: true \}$/);

  const unix = await disposed(t, unixPair(proactor));
  const path = unix.listener.address();
  t.is(shown(unix.listener), `UnixListener { address: '${path}', fd: ${unix.listener.fd}, closed: false }`);
  t.regex(shown(unix.outside), new RegExp(`^UnixStream \\{ .*remoteAddress: '${path}', fd: ${unix.outside.fd}, closed: false \\}$`));

  const udp = await disposed(t, bind({ port: 0, host: '127.0.0.1', proactor }));
  t.is(shown(udp), `UdpSocket { address: { address: '127.0.0.1', family: 'IPv4', port: ${udp.address().port} }, fd: ${udp.fd}, closed: false }`);
  await udp.close();
  t.is(shown(udp), 'UdpSocket { address: undefined, fd: -1, closed: true }');

  const stream = await disposed(t, pipe('/dev/null', { proactor }));
  t.is(shown(stream), `Pipe { fd: ${stream.fd}, closed: false }`);
});

test('depth, colours and what is not genuine', async (t) => {
  const scope = new CancelScope();
  t.is(shown(scope), 'CancelScope { running: 0, aborted: false }');
  t.is(inspect({ scope }, { depth: 0 }), '{ scope: [CancelScope] }');
  t.is(inspect([scope], { colors: true }).includes('\u001B[33mfalse'), true);
  await scope.cancel('enough');
  t.is(shown(scope), 'CancelScope { running: 0, aborted: true }');
  t.is(shown(Object.create(scope)), 'CancelScope {}');
  t.deepEqual(Object.keys(scope), [], 'nothing of it is kept in an object');
});
