//! The memory of a proactor: pools, own blocks, pinned blocks, buffer groups and registered buffers.
//!
//! It owns the mappings behind the block table. A mapping goes only when the block table says that no op has the block, and at the end of
//! the proactor after the ring is closed; a proactor that cannot be drained leaks all of it. Anybody who shows a block's bytes elsewhere
//! keeps an `Arc` of the mapping, so nothing is unmapped under a reader either. Public only through [`Proactor`].

use crate::block::{BlockId, BlockKind, BlockTable, Returned};
use crate::buffer::{Mapping, PAGE, ProvidedRing};
use crate::error::{Fault, MemoryError};
use crate::op::Op;
use crate::proactor::Proactor;
use crate::ring::Ring;
use std::ptr::NonNull;
use std::sync::Arc;

/// Largest block size of a pool: `io_uring` registers at most 1 GiB as one buffer.
const POOL_BLOCK_SIZE_MAX: u32 = 1 << 30;
/// Blocks of one class: a provided-buffer ring has at most 32768 entries.
const CLASS_COUNT_MAX: u32 = 1 << 15;
/// Entries of the table of registered buffers; each `register_pool` that succeeds takes one.
const FIXED_TABLE: u16 = 64;
/// Largest single registered buffer (`io_uring_registered_buffers(7)`).
const FIXED_BYTES_MAX: usize = 1 << 30;
/// Largest own or pinned block: offsets and lengths within a block are 32 bits.
const BLOCK_SIZE_MAX: usize = u32::MAX as usize;

/// One size class of a pool to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeClass {
    /// Bytes of each block: a power of two from 4096 to 1 GiB.
    pub block_size: u32,
    /// Number of blocks, 1 to 32768.
    pub count: u32,
}

/// A pool as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// One entry for each size class, in the order asked for.
    pub classes: Vec<PoolClass>,
}

/// One size class of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolClass {
    /// Number of its buffer group.
    pub group: u16,
    /// Its first block; the others follow with consecutive ids.
    pub first: BlockId,
    /// Bytes of each block.
    pub block_size: u32,
    /// Number of blocks.
    pub count: u32,
}

/// Where a block's bytes are.
#[derive(Debug, Clone)]
pub struct BlockMemory {
    /// First byte.
    pub address: NonNull<u8>,
    /// Length in bytes.
    pub length: usize,
    /// Keeps the bytes mapped; `None` for a pinned block, whose memory is the caller's.
    pub mapping: Option<Arc<Mapping>>,
}

/// A class and its buffer group.
#[derive(Debug)]
struct Class {
    shape: PoolClass,
    mapping: Arc<Mapping>,
    /// Made at the first select read: locked memory is scarce.
    provided: Option<ProvidedRing>,
}

impl Class {
    /// The class's provided-buffer ring, registered on first use.
    fn group(&mut self, ring: &Ring) -> Result<&mut ProvidedRing, Fault> {
        match &mut self.provided {
            Some(provided) => Ok(provided),
            none => {
                let provided = ProvidedRing::new(self.shape.count).map_err(Fault::Registration)?;
                ring.register_group(&provided, self.shape.group).map_err(Fault::Registration)?;
                Ok(none.insert(provided))
            }
        }
    }
}

/// All memory of one proactor.
#[derive(Debug)]
pub(crate) struct Memory {
    blocks: BlockTable,
    classes: Vec<Class>,
    /// Mappings of own blocks, by block id.
    own: Vec<Option<Arc<Mapping>>>,
    fixed_next: u16,
    registered_bytes: usize,
    registered_bytes_max: usize,
    pool_bytes: usize,
    own_bytes: usize,
}

impl Memory {
    pub(crate) fn new(registered_bytes_max: usize) -> Self {
        Self {
            blocks: BlockTable::default(),
            classes: Vec::new(),
            own: Vec::new(),
            fixed_next: 0,
            registered_bytes: 0,
            registered_bytes_max,
            pool_bytes: 0,
            own_bytes: 0,
        }
    }

    #[inline]
    pub(crate) fn blocks(&self) -> &BlockTable {
        &self.blocks
    }

    pub(crate) fn registered_bytes(&self) -> usize {
        self.registered_bytes
    }

    pub(crate) fn pool_bytes(&self) -> usize {
        self.pool_bytes
    }

    pub(crate) fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// Gives the op in `slot` all that it names, or nothing.
    #[inline]
    pub(crate) fn claim(&mut self, op: &Op, slot: u32, ring: &Ring) -> Result<(), Fault> {
        let parts = op.parts();
        for (index, range) in parts.iter().enumerate() {
            if let Err(fault) = self.blocks.lend(*range, slot) {
                for lent in &parts[..index] {
                    self.give_back(lent.block, slot);
                }
                return Err(fault);
            }
        }
        match op {
            Op::ReadFixed { target: range, .. }
            | Op::WriteFixed { source: range, .. }
            | Op::ReadMany { target: range, fixed: true, .. }
                if self.blocks.fixed(range.block).is_none() =>
            {
                self.give_back(range.block, slot);
                Err(Fault::Block)
            }
            Op::ReadSelect { group, length, provide, .. } | Op::ReceiveSelect { group, length, provide, .. } => {
                self.provide(*group, *length, *provide, ring)
            }
            _ => Ok(()),
        }
    }

    /// The op in `slot` is over: its blocks come back.
    #[inline]
    pub(crate) fn give_back_all(&mut self, op: &Op, slot: u32) {
        for range in op.parts() {
            self.give_back(range.block, slot);
        }
    }

    /// The kernel chose buffer `id` of a group.
    pub(crate) fn take_selected(&mut self, group: u16, id: u16) -> BlockId {
        let block = BlockId(self.classes[usize::from(group)].shape.first.0 + u32::from(id));
        self.blocks.take(block);
        block
    }

    /// Lets every mapping live for ever. Gives the number of bytes.
    pub(crate) fn leak(&mut self) -> u64 {
        for class in self.classes.drain(..) {
            // One of several handles is enough to keep the mapping; the ring's memory is pinned by the kernel but named by it, too.
            std::mem::forget(class);
        }
        self.own.drain(..).for_each(std::mem::forget);
        (self.pool_bytes + self.own_bytes) as u64
    }

    #[inline]
    fn give_back(&mut self, block: BlockId, slot: u32) {
        if self.blocks.give_back(block, slot) == Returned::Vacated {
            self.release_mapping(block);
        }
    }

    fn provide(&mut self, group: u16, length: u32, block: Option<BlockId>, ring: &Ring) -> Result<(), Fault> {
        let class = self.classes.get_mut(usize::from(group)).ok_or(Fault::Argument)?;
        if length > class.shape.block_size {
            return Err(Fault::Range);
        }
        if let Some(block) = block {
            self.blocks.check_provide(block, group)?;
        }
        let first = class.shape.first.0;
        let provided = class.group(ring)?;
        if let Some(block) = block {
            let (address, length) = self.blocks.provide(block);
            provided.provide(address, length, (block.0 - first) as u16);
        }
        Ok(())
    }

    fn create_pool(&mut self, classes: &[SizeClass], huge_pages: bool) -> Result<Pool, MemoryError> {
        for (index, class) in classes.iter().enumerate() {
            let sized = class.block_size.is_power_of_two() && (PAGE as u32..=POOL_BLOCK_SIZE_MAX).contains(&class.block_size);
            let grouped = self.classes.len() + index < usize::from(u16::MAX);
            if !sized || !grouped || !(1..=CLASS_COUNT_MAX).contains(&class.count) {
                return Err(MemoryError::Class { index });
            }
        }
        let size: usize = classes.iter().map(|class| class.block_size as usize * class.count as usize).sum();
        if size == 0 {
            return Ok(Pool { classes: Vec::new() });
        }
        let mapping = Mapping::anonymous(size, huge_pages).map_err(|errno| MemoryError::Map { size, errno })?;
        let mapping = Arc::new(mapping);
        self.pool_bytes += mapping.length();
        let mut address = mapping.address();
        let mut made = Vec::with_capacity(classes.len());
        for SizeClass { block_size, count } in classes.iter().copied() {
            let group = self.classes.len() as u16;
            let first = self.blocks.add_class(address, block_size, count, group);
            let shape = PoolClass { group, first, block_size, count };
            self.classes.push(Class { shape, mapping: mapping.clone(), provided: None });
            made.push(shape);
            let next = address.as_ptr().wrapping_add(block_size as usize * count as usize);
            address = NonNull::new(next).expect("a mapping does not wrap around the address space");
        }
        Ok(Pool { classes: made })
    }

    /// Registers as many of the `count` blocks from `first` on as budget and kernel allow.
    fn register(&mut self, first: BlockId, count: u32, ring: &Ring) -> u32 {
        let Some((BlockKind::Pool { class }, address, _)) = self.blocks.describe(first) else { return 0 };
        let shape = self.classes[usize::from(class)].shape;
        let block_size = shape.block_size as usize;
        let budget = self.registered_bytes_max.saturating_sub(self.registered_bytes).min(FIXED_BYTES_MAX) / block_size;
        let mut count = count.min(shape.first.0 + shape.count - first.0).min(budget as u32);
        let already = (0..count).find(|index| self.blocks.fixed(BlockId(first.0 + index)).is_some());
        count = already.unwrap_or(count);
        if count == 0 || self.fixed_next == FIXED_TABLE {
            return 0;
        }
        if self.fixed_next == 0 && ring.register_fixed_table(u32::from(FIXED_TABLE)) == Err(libc::EINVAL) {
            return 0;
        }
        while count > 0 {
            match ring.register_fixed(self.fixed_next, address, count as usize * block_size) {
                Ok(()) => {
                    self.blocks.set_fixed(first, count, self.fixed_next);
                    self.fixed_next += 1;
                    self.registered_bytes += count as usize * block_size;
                    return count;
                }
                // The locked-memory limit belongs to all processes of the user: less may still fit.
                Err(libc::ENOMEM) => count /= 2,
                Err(_) => return 0,
            }
        }
        0
    }

    fn allocate(&mut self, size: usize) -> Result<BlockId, MemoryError> {
        if size == 0 || size > BLOCK_SIZE_MAX {
            return Err(MemoryError::Size { size });
        }
        let mapping = Mapping::anonymous(size, false).map_err(|errno| MemoryError::Map { size, errno })?;
        let block = self.blocks.add(mapping.address(), size as u32, BlockKind::Own);
        self.own_bytes += mapping.length();
        let index = block.0 as usize;
        if self.own.len() <= index {
            self.own.resize(index + 1, None);
        }
        debug_assert!(self.own[index].is_none(), "a vacant block has no mapping");
        self.own[index] = Some(Arc::new(mapping));
        Ok(block)
    }

    /// Notes memory of the caller's, whose promise is [`Proactor::pin_block`]'s.
    pub(crate) fn pin(&mut self, address: NonNull<u8>, length: usize) -> Result<BlockId, MemoryError> {
        if length == 0 || length > BLOCK_SIZE_MAX {
            return Err(MemoryError::Size { size: length });
        }
        Ok(self.blocks.add(address, length as u32, BlockKind::Pinned))
    }

    fn release_mapping(&mut self, block: BlockId) {
        if let Some(mapping) = self.own.get_mut(block.0 as usize).and_then(Option::take) {
            self.own_bytes -= mapping.length();
        }
    }

    fn describe(&self, block: BlockId) -> Option<BlockMemory> {
        let (kind, address, length) = self.blocks.describe(block)?;
        let mapping = match kind {
            BlockKind::Pool { class } => Some(self.classes[usize::from(class)].mapping.clone()),
            BlockKind::Own => self.own.get(block.0 as usize).cloned().flatten(),
            BlockKind::Pinned => None,
        };
        Some(BlockMemory { address, length: length as usize, mapping })
    }
}

impl Proactor {
    /// Makes a pool: one mapping cut into size classes, each a contiguous run of block ids, all idle. With `huge_pages` it is aligned to
    /// 2 MiB and asks for huge pages (`MADV_HUGEPAGE`). Its memory is touched only when it is used.
    ///
    /// # Errors
    ///
    /// A class of the wrong shape, or no memory. Nothing has been made then.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut proactor = ritsu::Proactor::new(ritsu::Config::default())?;
    /// let pool = proactor.create_pool(&[ritsu::SizeClass { block_size: 4096, count: 16 }], false)?;
    /// assert_eq!(pool.classes[0].first, ritsu::BlockId(0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_pool(&mut self, classes: &[SizeClass], huge_pages: bool) -> Result<Pool, MemoryError> {
        self.refuse_if_closed()?;
        self.memory.create_pool(classes, huge_pages)
    }

    /// Registers pool blocks with the ring (fixed buffers, Linux 5.19): up to `count` blocks of one class from `first` on, as many as fit
    /// the budget ([`Config::registered_bytes_max`](crate::Config::registered_bytes_max)) and the locked-memory limit; on `ENOMEM` half
    /// as many are tried, and so on. Returns how many blocks, from `first` on, are registered now. Registering pins the memory.
    pub fn register_pool(&mut self, first: BlockId, count: u32) -> usize {
        if self.closed { 0 } else { self.memory.register(first, count, &self.ring) as usize }
    }

    /// Registers a class's group (its provided-buffer ring, Linux 5.19) now instead of at its first select read, so that a kernel that
    /// refuses (locked memory) is known before any read depends on it. Again is harmless.
    ///
    /// # Errors
    ///
    /// [`Fault::Argument`] for a group that does not exist, [`Fault::Registration`] with the kernel's errno.
    pub fn register_group(&mut self, group: u16) -> Result<(), Fault> {
        if self.closed {
            return Err(Fault::Closed);
        }
        let class = self.memory.classes.get_mut(usize::from(group)).ok_or(Fault::Argument)?;
        class.group(&self.ring).map(|_| ())
    }

    /// Gives an idle block to its group: the kernel may choose it for any select op. It comes back as the
    /// [`Detail::Selected`](crate::Detail::Selected) of one, and not otherwise.
    ///
    /// # Errors
    ///
    /// [`Fault::Argument`] for a group that does not exist, [`Fault::Block`] for a block that is not idle or not of the group,
    /// [`Fault::Registration`] with the kernel's errno.
    pub fn provide(&mut self, group: u16, block: BlockId) -> Result<(), Fault> {
        if self.closed {
            return Err(Fault::Closed);
        }
        self.memory.provide(group, 0, Some(block), &self.ring)
    }

    /// Makes an own block: a mapping of its own for `size` bytes, idle. Freed by [`retire_block`](Self::retire_block).
    ///
    /// # Errors
    ///
    /// A size of 0 or of 4 GiB and more, or no memory.
    pub fn allocate_block(&mut self, size: usize) -> Result<BlockId, MemoryError> {
        self.refuse_if_closed()?;
        self.memory.allocate(size)
    }

    /// Forgets a pinned block: its memory is the caller's alone again.
    ///
    /// # Errors
    ///
    /// [`Fault::Block`] while an op has the block, or if it is not a pinned block. Nothing has changed then.
    pub fn unpin_block(&mut self, block: BlockId) -> Result<(), Fault> {
        match self.memory.blocks.describe(block) {
            Some((BlockKind::Pinned, ..)) if !self.memory.blocks.is_busy(block) => self.memory.blocks.retire(block).map(drop),
            _ => Err(Fault::Block),
        }
    }

    /// Where a block's bytes are. `None` for an unknown block.
    ///
    /// The bytes may be read or written only while the block is idle, and through raw pointers only.
    #[must_use]
    pub fn block_memory(&self, block: BlockId) -> Option<BlockMemory> {
        self.memory.describe(block)
    }

    /// Gives up an own block that nobody will name again: its mapping is released now, or at the final outcome of the op that has it.
    /// Anything else than an own block is left alone.
    pub fn retire_block(&mut self, block: BlockId) {
        if let Some((BlockKind::Own, ..)) = self.memory.blocks.describe(block)
            && self.memory.blocks.retire(block) == Ok(Returned::Vacated)
        {
            self.memory.release_mapping(block);
        }
    }

    pub(crate) fn refuse_if_closed(&self) -> Result<(), MemoryError> {
        if self.closed { Err(MemoryError::Closed) } else { Ok(()) }
    }
}
