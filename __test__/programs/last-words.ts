/** Writes to a connection and exits in the same breath: `last-words <port>`. */
import { once } from 'node:events';
import { connect } from 'ritsu';
import { toDuplex } from 'ritsu/streams';

const duplex = toDuplex(connect).connect(Number(process.argv[2]), '127.0.0.1');
await once(duplex, 'connect');
setTimeout(() => {
  duplex.write('last words');
  process.exit();
}, 20);
