//! The block table: which memory may be given to an op, and who has it now. Pure: it holds addresses and never looks behind them.
//!
//! A block is in exactly one state; an op is given idle blocks only. The memory itself belongs to `memory.rs`. Only the proactor and
//! `memory.rs` call this.
//!
//! ```text
//!   Vacant ── add ──> Idle ── lend ──────> Busy ── give_back ──> Idle (or Vacant, if it was retired meanwhile)
//!     ^                │  └── provide ───> Provided ── take ───> Idle
//!     └─── retire ─────┘
//! ```

use crate::error::Fault;
use std::ptr::NonNull;

/// A block of memory known to a proactor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockId(pub u32);

impl BlockId {
    /// The id that no block ever has.
    pub const NONE: Self = Self(u32::MAX);
}

/// A range of one block, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRange {
    /// The block.
    pub block: BlockId,
    /// First byte.
    pub offset: u32,
    /// Number of bytes.
    pub length: u32,
}

/// What kind of memory a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// Part of a pool's mapping; `class` is the index of its size class and the number of its buffer group.
    Pool { class: u16 },
    /// A mapping of its own.
    Own,
    /// Memory of the caller, kept alive by the caller.
    Pinned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The id is unused.
    Vacant,
    /// The caller has it; an op may be given it.
    Idle,
    /// The op in this slot owns it until its final outcome. `retiring`: the caller wants it gone then.
    Busy { slot: u32, retiring: bool },
    /// In its group's provided-buffer ring: the kernel may choose it for any select read of the group.
    Provided,
}

#[derive(Debug)]
struct Block {
    address: NonNull<u8>,
    length: u32,
    /// Index of the registered buffer that covers the block, or [`NOT_FIXED`].
    fixed: u16,
    state: State,
    kind: BlockKind,
}

const NOT_FIXED: u16 = u16::MAX;

/// What became of a block that came back, or that was retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returned {
    /// It is idle (or stays with its op).
    Kept,
    /// It is vacant now: its memory may be freed.
    Vacated,
}

/// All blocks of one proactor.
#[derive(Debug, Default)]
pub(crate) struct BlockTable {
    blocks: Vec<Block>,
    vacant: Vec<u32>,
    busy: u32,
    provided: u32,
}

impl BlockTable {
    /// Blocks owned by ops.
    pub(crate) fn busy(&self) -> u32 {
        self.busy
    }

    /// Blocks in provided-buffer rings.
    pub(crate) fn provided(&self) -> u32 {
        self.provided
    }

    /// Adds `count` blocks of one class with consecutive ids, laid out one after the other from `address`.
    pub(crate) fn add_class(&mut self, address: NonNull<u8>, block_size: u32, count: u32, class: u16) -> BlockId {
        let first = BlockId(self.blocks.len() as u32);
        let kind = BlockKind::Pool { class };
        for index in 0..count as usize {
            let address = address.as_ptr().wrapping_add(index * block_size as usize);
            let address = NonNull::new(address).expect("a mapping does not wrap around the address space");
            self.blocks.push(Block { address, length: block_size, fixed: NOT_FIXED, state: State::Idle, kind });
        }
        first
    }

    /// Adds one block; ids of vacant blocks are used again.
    pub(crate) fn add(&mut self, address: NonNull<u8>, length: u32, kind: BlockKind) -> BlockId {
        let block = Block { address, length, fixed: NOT_FIXED, state: State::Idle, kind };
        if let Some(index) = self.vacant.pop() {
            self.blocks[index as usize] = block;
            return BlockId(index);
        }
        self.blocks.push(block);
        BlockId(self.blocks.len() as u32 - 1)
    }

    /// Gives an idle block to the op in `slot`. The same op may be given ranges of one block several times (a vectored op).
    #[inline]
    pub(crate) fn lend(&mut self, range: BlockRange, slot: u32) -> Result<(), Fault> {
        let block = self.blocks.get_mut(range.block.0 as usize).ok_or(Fault::Block)?;
        match block.state {
            State::Idle => {}
            State::Busy { slot: owner, .. } if owner == slot => {}
            State::Vacant | State::Busy { .. } | State::Provided => return Err(Fault::Block),
        }
        if u64::from(range.offset) + u64::from(range.length) > u64::from(block.length) {
            return Err(Fault::Range);
        }
        if block.state == State::Idle {
            block.state = State::Busy { slot, retiring: false };
            self.busy += 1;
        }
        Ok(())
    }

    /// Takes a block back from the op in `slot`, at its final outcome or when its submit is refused. Harmless when the op named the
    /// block twice and it came back already.
    #[inline]
    pub(crate) fn give_back(&mut self, id: BlockId, slot: u32) -> Returned {
        let block = &mut self.blocks[id.0 as usize];
        match block.state {
            State::Busy { slot: owner, retiring } => {
                assert_eq!(owner, slot, "a block comes back from the op that has it");
                self.busy -= 1;
                block.state = State::Idle;
                if retiring { self.vacate(id) } else { Returned::Kept }
            }
            State::Idle | State::Vacant => Returned::Kept,
            State::Provided => unreachable!("a block of an op is not in a buffer ring"),
        }
    }

    /// The address of a range that was lent.
    #[inline]
    pub(crate) fn address(&self, range: BlockRange) -> *mut u8 {
        let block = &self.blocks[range.block.0 as usize];
        debug_assert!(u64::from(range.offset) + u64::from(range.length) <= u64::from(block.length));
        block.address.as_ptr().wrapping_add(range.offset as usize)
    }

    /// Whether an idle block of this class may be provided to the class's group.
    pub(crate) fn check_provide(&self, id: BlockId, class: u16) -> Result<(), Fault> {
        match self.blocks.get(id.0 as usize) {
            Some(Block { state: State::Idle, kind: BlockKind::Pool { class: own }, .. }) if *own == class => Ok(()),
            _ => Err(Fault::Block),
        }
    }

    /// Idle becomes provided; gives address and length for the group's ring. It must have passed [`check_provide`](Self::check_provide).
    pub(crate) fn provide(&mut self, id: BlockId) -> (NonNull<u8>, u32) {
        let block = &mut self.blocks[id.0 as usize];
        assert_eq!(block.state, State::Idle, "only an idle block is provided");
        block.state = State::Provided;
        self.provided += 1;
        (block.address, block.length)
    }

    /// The kernel chose this block: provided becomes idle.
    pub(crate) fn take(&mut self, id: BlockId) {
        let block = &mut self.blocks[id.0 as usize];
        assert_eq!(block.state, State::Provided, "the kernel chooses among provided blocks");
        block.state = State::Idle;
        self.provided -= 1;
    }

    /// The caller has done with this block: it is vacant at once, or when its op is over. Refused for pool blocks and unknown ids.
    pub(crate) fn retire(&mut self, id: BlockId) -> Result<Returned, Fault> {
        let block = self.blocks.get_mut(id.0 as usize).ok_or(Fault::Block)?;
        match (&mut block.state, block.kind) {
            (State::Vacant | State::Provided, _) | (_, BlockKind::Pool { .. }) => Err(Fault::Block),
            (State::Busy { retiring, .. }, _) => {
                *retiring = true;
                Ok(Returned::Kept)
            }
            (State::Idle, _) => Ok(self.vacate(id)),
        }
    }

    /// Kind, address and length in bytes of a block that is not vacant.
    pub(crate) fn describe(&self, id: BlockId) -> Option<(BlockKind, NonNull<u8>, u32)> {
        let block = self.blocks.get(id.0 as usize).filter(|block| block.state != State::Vacant)?;
        Some((block.kind, block.address, block.length))
    }

    /// Whether an op has the block.
    pub(crate) fn is_busy(&self, id: BlockId) -> bool {
        matches!(self.blocks.get(id.0 as usize), Some(Block { state: State::Busy { .. }, .. }))
    }

    /// The registered buffer that covers the block.
    #[inline]
    pub(crate) fn fixed(&self, id: BlockId) -> Option<u16> {
        self.blocks.get(id.0 as usize).map(|block| block.fixed).filter(|fixed| *fixed != NOT_FIXED)
    }

    /// Notes that `count` blocks from `first` on are covered by registered buffer `fixed`.
    pub(crate) fn set_fixed(&mut self, first: BlockId, count: u32, fixed: u16) {
        debug_assert_ne!(fixed, NOT_FIXED);
        for block in &mut self.blocks[first.0 as usize..][..count as usize] {
            block.fixed = fixed;
        }
    }

    fn vacate(&mut self, id: BlockId) -> Returned {
        self.blocks[id.0 as usize].state = State::Vacant;
        self.vacant.push(id.0);
        Returned::Vacated
    }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
