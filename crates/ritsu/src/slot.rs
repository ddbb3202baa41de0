//! The slot table: what is in flight, and in which state. Pure: it never touches the kernel and is tested with invented completions.
//!
//! It owns the cargo of every op (op, buffers' names, memory that the kernel reads) from submit to the final outcome. A slot never
//! moves in memory after it is made, because the kernel is given addresses inside the cargo. Only the proactor calls it.
//!
//! ```text
//!            occupy                push                    complete (final) + free
//!   Free ───────────> Queued ───────────> Pushed ──────────────────────────────────> Free, generation + 1
//!    │                  │ cancel             │ cancel                                  ^  ^
//!    │ occupy           v                    v            complete (final) + free      │  │
//!    ├───────────> Ready <────────────── Cancelling ───────────────────────────────────┘  │
//!    │                │      make_ready (of many parts, and the kernel has none)          │
//!    │                └────────────────────────── free ───────────────────────────────────┘
//!    └───────────> Waiting ── queue ──> Queued        (only a close: it waits for the descriptor's holders)
//! ```

use crate::error::Fault;
use crate::identity::Token;

/// Where an op is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    /// No op is here; the cargo is empty and the generation is the one that the next token must carry.
    Free,
    /// A close that waits until no other op holds its descriptor. The kernel has not seen it; it cannot be cancelled.
    Waiting,
    /// Accepted and waiting for room in the submission queue. The kernel has not seen it, so a cancel withdraws it for certain.
    Queued,
    /// In the submission queue or in the kernel: its memory belongs to the kernel until the final completion.
    Pushed,
    /// As pushed, and a cancel has been asked for. There is at most one; the op's own completion still decides.
    Cancelling,
    /// Its result is known without the kernel (withdrawn, or answered here); it waits for the next reap.
    Ready(i32),
}

/// What a cancel has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelStep {
    /// The op is not here any more, or is already being cancelled, or cannot be.
    Nothing,
    /// It was still queued: it is ready now with `-ECANCELED`, and the kernel never saw it.
    Withdrawn,
    /// The kernel has it: a cancel must be sent.
    Send,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    lifecycle: Lifecycle,
    cargo: Option<T>,
}

/// Slots that are made together, when the first of them is used: a table may be large and mostly empty.
const CHUNK: usize = 256;

/// At most so many slots, indexed by the caller's slot number. A slot that was never used is free, with generation 0.
#[derive(Debug)]
pub(crate) struct SlotTable<T> {
    chunks: Vec<Box<[Slot<T>]>>,
    capacity: u32,
    in_flight: u32,
}

impl<T> SlotTable<T> {
    pub(crate) fn new(capacity: u32) -> Self {
        Self { chunks: Vec::new(), capacity, in_flight: 0 }
    }

    /// Slots that are not free.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether an op with this token may be accepted.
    #[inline]
    pub(crate) fn check(&self, token: Token) -> Result<(), Fault> {
        if token.slot >= self.capacity {
            return Err(Fault::Slot);
        }
        let Some(slot) = self.slot(token.slot) else {
            return if token.generation == 0 { Ok(()) } else { Err(Fault::Generation) };
        };
        if slot.lifecycle != Lifecycle::Free {
            return Err(Fault::Occupied);
        }
        if slot.generation != token.generation {
            return Err(Fault::Generation);
        }
        Ok(())
    }

    /// Takes the cargo in. `lifecycle` is where it starts: queued, waiting or ready. The token must have passed [`check`](Self::check).
    #[inline]
    pub(crate) fn occupy(&mut self, token: Token, cargo: T, lifecycle: Lifecycle) {
        debug_assert_eq!(self.check(token), Ok(()));
        debug_assert!(matches!(lifecycle, Lifecycle::Queued | Lifecycle::Waiting | Lifecycle::Ready(_)));
        let index = token.slot as usize;
        while self.chunks.len() <= index / CHUNK {
            self.chunks.push((0..CHUNK).map(|_| Slot { generation: 0, lifecycle: Lifecycle::Free, cargo: None }).collect());
        }
        let slot = &mut self.chunks[index / CHUNK][index % CHUNK];
        slot.lifecycle = lifecycle;
        slot.cargo = Some(cargo);
        self.in_flight += 1;
    }

    /// A waiting close may go: waiting becomes queued.
    pub(crate) fn queue(&mut self, token: Token) {
        let slot = self.own(token).expect("a waiting close stays until it has been pushed");
        assert_eq!(slot.lifecycle, Lifecycle::Waiting, "only a waiting close is queued late");
        slot.lifecycle = Lifecycle::Queued;
    }

    /// Queued becomes pushed, and the cargo is shown in its place for encoding; again, where that was in part. `None` if it was withdrawn
    /// meanwhile, or what is left of it was.
    #[inline]
    pub(crate) fn push(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.own(token)?;
        if !matches!(slot.lifecycle, Lifecycle::Queued | Lifecycle::Pushed) {
            return None;
        }
        slot.lifecycle = Lifecycle::Pushed;
        slot.cargo.as_mut()
    }

    /// What is left of an op has been withdrawn, and the kernel has answered the rest: cancelling becomes ready.
    pub(crate) fn make_ready(&mut self, token: Token, result: i32) {
        let slot = self.own(token).expect("an op stays until it has been reaped");
        assert_eq!(slot.lifecycle, Lifecycle::Cancelling, "the kernel has nothing of it");
        slot.lifecycle = Lifecycle::Ready(result);
    }

    /// What a cancel of this op must do; the state follows.
    pub(crate) fn cancel(&mut self, token: Token) -> CancelStep {
        let Some(slot) = self.own(token) else { return CancelStep::Nothing };
        match slot.lifecycle {
            Lifecycle::Queued => {
                slot.lifecycle = Lifecycle::Ready(-libc::ECANCELED);
                CancelStep::Withdrawn
            }
            Lifecycle::Pushed => {
                slot.lifecycle = Lifecycle::Cancelling;
                CancelStep::Send
            }
            Lifecycle::Free | Lifecycle::Waiting | Lifecycle::Cancelling | Lifecycle::Ready(_) => CancelStep::Nothing,
        }
    }

    /// Whether a cancel for this op is still worth sending.
    pub(crate) fn is_cancelling(&self, token: Token) -> bool {
        self.slot(token.slot).is_some_and(|slot| slot.generation == token.generation && slot.lifecycle == Lifecycle::Cancelling)
    }

    /// The cargo that a completion from the kernel belongs to. `None` for a stale one: an old generation, or an op that the kernel
    /// was never given. The slot stays taken until [`free`](Self::free).
    #[inline]
    pub(crate) fn complete(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.own(token)?;
        match slot.lifecycle {
            Lifecycle::Pushed | Lifecycle::Cancelling => slot.cargo.as_mut(),
            Lifecycle::Free | Lifecycle::Waiting | Lifecycle::Queued | Lifecycle::Ready(_) => None,
        }
    }

    /// The cargo and the result of an op that is ready.
    pub(crate) fn ready(&mut self, token: Token) -> Option<(&mut T, i32)> {
        let slot = self.own(token)?;
        let Lifecycle::Ready(result) = slot.lifecycle else { return None };
        slot.cargo.as_mut().map(|cargo| (cargo, result))
    }

    /// The op is over: its cargo is dropped and the generation moves on.
    #[inline]
    pub(crate) fn free(&mut self, token: Token) {
        let slot = self.own(token).expect("only an occupied slot is freed");
        assert!(slot.lifecycle != Lifecycle::Free, "a slot is freed once");
        slot.cargo = None;
        slot.lifecycle = Lifecycle::Free;
        slot.generation = token.next().generation;
        self.in_flight -= 1;
    }

    /// The cargo of an op in flight.
    pub(crate) fn cargo(&self, token: Token) -> Option<&T> {
        let slot = self.slot(token.slot)?;
        if slot.generation == token.generation { slot.cargo.as_ref() } else { None }
    }

    /// Every op in flight.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let taken = self.chunks.iter().flatten().enumerate().filter(|(_, slot)| slot.lifecycle != Lifecycle::Free);
        taken.map(|(index, slot)| Token { slot: index as u32, generation: slot.generation }).collect()
    }

    #[inline]
    fn own(&mut self, token: Token) -> Option<&mut Slot<T>> {
        let index = token.slot as usize;
        let slot = self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)?;
        (slot.generation == token.generation).then_some(slot)
    }

    /// `None` for one that was never used.
    #[inline]
    fn slot(&self, slot: u32) -> Option<&Slot<T>> {
        self.chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)
    }
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
