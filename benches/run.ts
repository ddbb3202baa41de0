/** All benches, one after the other: `npm run bench`, with the arguments of each. */
import { bench as boundary } from './boundary.ts';
import { bench as echo } from './echo.ts';
import { bench as file } from './file.ts';
import { runBenches } from './harness.ts';
import { bench as readStyles } from './read-styles.ts';
import { bench as threads } from './threads.ts';

await runBenches([file, readStyles, boundary, echo, threads], process.argv.slice(2));
