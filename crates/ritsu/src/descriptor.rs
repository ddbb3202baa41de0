//! The descriptor table: which open files the proactor knows, who holds them, and when they may be closed. Pure (generic over the file).
//!
//! An op holds its descriptor from submit to its final outcome, so the integer that was encoded for the kernel cannot be closed and
//! reused underneath it: an entry that is queued but not yet submitted resolves its integer only at submit. A close therefore takes the
//! descriptor out of sight at once (new ops get `EBADF`) and is pushed when the last holder is gone. Only the proactor calls this.
//!
//! ```text
//!   Vacant ── insert ──> Open ── close ──> Closing ── closed ──> Vacant, generation + 1
//! ```

use crate::identity::Token;
use std::collections::VecDeque;

/// Bits of the index in a descriptor id.
const INDEX_BITS: u32 = 20;
/// The largest index in use. The one above it is left out so that no id is ever [`DescriptorId::NONE`].
const INDEX_MAX: u32 = (1 << INDEX_BITS) - 2;
/// The largest generation; the one after it is 0.
const GENERATION_MAX: u32 = (1 << (32 - INDEX_BITS)) - 1;

/// An open file known to a proactor: index (20 bits) | generation (12 bits) << 20. Not the kernel's integer, and never reused soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DescriptorId(pub u32);

impl DescriptorId {
    /// The id that no descriptor ever has.
    pub const NONE: Self = Self(u32::MAX);

    fn new(index: usize, generation: u32) -> Self {
        Self(index as u32 | generation << INDEX_BITS)
    }

    #[inline]
    fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)) as usize
    }

    #[inline]
    fn generation(self) -> u32 {
        self.0 >> INDEX_BITS
    }
}

/// Whether a close may be pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseStep {
    /// Nobody holds the descriptor.
    Now,
    /// Other ops hold it; [`release`](DescriptorTable::release) says when the last one is gone.
    Later,
}

#[derive(Debug)]
enum State<F> {
    /// Free for the next descriptor.
    Vacant,
    /// Known to the caller; ops may take hold of it.
    Open { file: F, holders: u32 },
    /// Out of the caller's sight. With holders left, the close waits for them; without, the close is queued or in the kernel.
    Closing { file: F, holders: u32, close: Token },
}

#[derive(Debug)]
struct Descriptor<F> {
    generation: u32,
    state: State<F>,
}

/// All descriptors of one proactor.
#[derive(Debug)]
pub(crate) struct DescriptorTable<F> {
    descriptors: Vec<Descriptor<F>>,
    /// First in, first out: with 12 bits of generation an index should rest as long as possible.
    vacant: VecDeque<u32>,
    open: u32,
}

impl<F> DescriptorTable<F> {
    pub(crate) fn new() -> Self {
        Self { descriptors: Vec::new(), vacant: VecDeque::new(), open: 0 }
    }

    /// Descriptors that are open or closing.
    pub(crate) fn open(&self) -> u32 {
        self.open
    }

    /// Takes a file in. Gives it back when the table is full (2^20 - 1 files).
    pub(crate) fn insert(&mut self, file: F) -> Result<DescriptorId, F> {
        let state = State::Open { file, holders: 0 };
        self.open += 1;
        // A rest of at least 64 other indices before one is used again; only a young table grows for it.
        let reuse = self.vacant.len() > 64 || self.descriptors.len() > INDEX_MAX as usize;
        if let Some(index) = reuse.then(|| self.vacant.pop_front()).flatten() {
            let descriptor = &mut self.descriptors[index as usize];
            descriptor.state = state;
            return Ok(DescriptorId::new(index as usize, descriptor.generation));
        }
        if self.descriptors.len() > INDEX_MAX as usize {
            self.open -= 1;
            let State::Open { file, .. } = state else { unreachable!("made open above") };
            return Err(file);
        }
        self.descriptors.push(Descriptor { generation: 0, state });
        Ok(DescriptorId::new(self.descriptors.len() - 1, 0))
    }

    /// Takes hold of an open descriptor for one op. `None` (`EBADF`) if it is unknown or being closed.
    #[inline]
    pub(crate) fn hold(&mut self, id: DescriptorId) -> Option<&F> {
        match &mut self.own(id)?.state {
            State::Open { file, holders } => {
                *holders += 1;
                Some(file)
            }
            State::Vacant | State::Closing { .. } => None,
        }
    }

    /// The file of an open descriptor, to ask or to set something at once.
    pub(crate) fn file(&self, id: DescriptorId) -> Option<&F> {
        let descriptor = self.descriptors.get(id.index()).filter(|descriptor| descriptor.generation == id.generation())?;
        if let State::Open { file, .. } = &descriptor.state { Some(file) } else { None }
    }

    /// One op lets go. Gives the close that may be pushed now, if one was waiting for this.
    #[inline]
    pub(crate) fn release(&mut self, id: DescriptorId) -> Option<Token> {
        let descriptor = self.own(id).expect("a held descriptor stays in the table");
        match &mut descriptor.state {
            State::Open { holders, .. } => {
                assert!(*holders > 0, "a descriptor is released by its holders only");
                *holders -= 1;
                None
            }
            State::Closing { holders, close, .. } => {
                assert!(*holders > 0, "a descriptor is released by its holders only");
                *holders -= 1;
                (*holders == 0).then_some(*close)
            }
            State::Vacant => unreachable!("a held descriptor is never vacant"),
        }
    }

    /// Takes the descriptor out of sight for the close `token`, and shows its file. `None` (`EBADF`) if it is unknown or already closing.
    pub(crate) fn close(&mut self, id: DescriptorId, token: Token) -> Option<(CloseStep, &F)> {
        let descriptor = self.own(id)?;
        match std::mem::replace(&mut descriptor.state, State::Vacant) {
            State::Open { file, holders } => {
                descriptor.state = State::Closing { file, holders, close: token };
                let State::Closing { file, .. } = &descriptor.state else { unreachable!("set just above") };
                Some((if holders == 0 { CloseStep::Now } else { CloseStep::Later }, file))
            }
            other => {
                descriptor.state = other;
                None
            }
        }
    }

    /// The close is over: the index is vacant, and the file is the caller's to forget (the kernel closed it) or to drop.
    pub(crate) fn closed(&mut self, id: DescriptorId) -> F {
        let descriptor = self.own(id).expect("a closing descriptor stays in the table");
        let State::Closing { file, holders: 0, .. } = std::mem::replace(&mut descriptor.state, State::Vacant) else {
            unreachable!("a close completes after the last holder")
        };
        descriptor.generation = (descriptor.generation + 1) & GENERATION_MAX;
        self.vacant.push_back(id.index() as u32);
        self.open -= 1;
        file
    }

    /// Files that no op in the kernel can name any more; the rest is forgotten, never closed. For the end of a proactor that could not
    /// be drained.
    pub(crate) fn close_unheld_and_forget_the_rest(&mut self) {
        for descriptor in self.descriptors.drain(..) {
            match descriptor.state {
                State::Vacant | State::Open { holders: 0, .. } => {}
                State::Open { file, .. } | State::Closing { file, .. } => std::mem::forget(file),
            }
        }
        self.vacant.clear();
        self.open = 0;
    }

    #[inline]
    fn own(&mut self, id: DescriptorId) -> Option<&mut Descriptor<F>> {
        self.descriptors.get_mut(id.index()).filter(|descriptor| descriptor.generation == id.generation())
    }
}

#[cfg(test)]
#[path = "descriptor_tests.rs"]
mod tests;
