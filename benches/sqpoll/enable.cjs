// Preloaded with --require, so that it runs before the first asynchronous file operation of the process: libuv makes or
// refuses its ring then, and never asks again.
'use strict';

const { RITSU_BENCH_SQPOLL_ADDON } = process.env;
const answer = require(RITSU_BENCH_SQPOLL_ADDON).enableSqpoll();
if (answer !== 0) throw new Error(`this libuv has no SQPOLL option (uv_loop_configure: ${answer})`);
