/** How much memory this process has resident outside V8's heap, in bytes: a heap's young generation grows by itself under load. */
export function residentOutsideHeap(): number {
  const { rss, heapTotal } = process.memoryUsage();
  return rss - heapTotal;
}
