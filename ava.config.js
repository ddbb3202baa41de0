// Tests are TypeScript, run as they stand: Node (>= 22.18) strips the types itself.
export default {
  files: ['__test__/**/*.test.ts'],
  extensions: ['ts'],
  // Leak and fence tests call gc() to see what the collector gives back.
  nodeArguments: ['--expose-gc'],
  // A process for each file: a crash, an exit hook or a leaked ring stays its own.
  workerThreads: false,
  // Ring tests need a core of their own to be fair; CI machines have two.
  concurrency: 2,
  timeout: '120s',
};
