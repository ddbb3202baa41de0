/**
 * Copies of this package in one thread (two versions of it in node_modules, say). Each has rings of its own on the same event
 * loop, and knows only those. What JavaScript asks of one copy's ring while another copy's calls it may come after that ring
 * has had its turn, so with company a ring has the loop turn once more (`crates/ritsu-napi/src/bridge/pump.rs`).
 */
interface Ring {
  meet(): void;
}

const COPIES = Symbol.for('ritsu.copies');
const rings = new Set<Ring>();
let isKnown = false;
let hasCompany = false;

/** What all copies share: how to tell each that there are several. */
function copies(): Set<() => void> {
  const shared = globalThis as { [COPIES]?: Set<() => void> };
  if (shared[COPIES] === undefined) Object.defineProperty(shared, COPIES, { value: new Set() });
  return shared[COPIES]!;
}

function meet(): void {
  hasCompany = true;
  for (const ring of rings) ring.meet();
}

/** A ring that is open. */
export function join(ring: Ring): void {
  rings.add(ring);
  if (!isKnown) {
    isKnown = true;
    const all = copies().add(meet);
    if (all.size > 1) for (const tell of all) tell();
  }
  if (hasCompany) ring.meet();
}

export function leave(ring: Ring): void {
  rings.delete(ring);
}
