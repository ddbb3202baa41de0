/**
 * HTTP from several threads: `node examples/http-workers.ts [port] [workers]`. SIGHUP replaces the threads one after the
 * other without losing a request; a thread that dies is replaced. SIGINT and SIGTERM end it.
 */
import { serve } from 'ritsu';

const [port = '8080', workers = '2'] = process.argv.slice(2);
const crew = await serve(new URL('http-worker.ts', import.meta.url), {
  listen: { port, host: '127.0.0.1' },
  workers: Number(workers),
});
crew.on('crash', (error) => console.error(`replaced: ${error.message}`));
console.log(`listening on ${crew.address().port}`);

process.on('SIGHUP', () => void crew.restart().then(() => console.log('restarted')));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void crew.close().then(() => process.exit(0)));
