//! Memory between the two worlds: blocks that JavaScript sees (exposed), and JavaScript's own that the kernel gets (pinned).
//!
//! An exposed block is an `ArrayBuffer` over the core's mapping, at most one alive at a time. Its finalizer runs when nothing in
//! JavaScript reaches the memory any more, even after `transfer()`; until then [`Exposure`] keeps the mapping, whatever becomes of
//! the proactor. A pinned block is an `ArrayBuffer` of JavaScript's kept alive by a reference until `unpin`.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use napi::bindgen_prelude::{JsValue, Unknown};
use napi::sys;
use ritsu::{BlockId, Fault, Mapping, MemoryError, PoolClass, SizeClass};

use super::js::{BufferMemory, Failure, Property, Uncertain};
use super::page::{PAGE_BYTES, Page};
use super::{Bridge, Stage, closed_failure};
use crate::abi::word;

/// Blocks are counted in 32 bits; more than this many classes is a mistake.
const CLASSES_MAX: u32 = 64;

/// What an exposed block's finalizer holds.
struct Exposure {
    bridge: Weak<Bridge>,
    block: BlockId,
    /// Keeps the memory mapped.
    _mapping: Arc<Mapping>,
}

impl Bridge {
    /// `page()`: the shared page as an `ArrayBuffer`, once.
    pub fn page<'env>(&self) -> Result<Unknown<'env>, Failure> {
        if self.page_given.get() {
            return Err(Failure::error("ERR_RITSU_EXPOSED", "the page was given already"));
        }
        let memory = BufferMemory { address: self.page.address(), length: PAGE_BYTES };
        let hint = Rc::into_raw(Rc::clone(&self.page)).cast_mut().cast::<c_void>();
        // SAFETY: the page lives while the count in `hint` does; the finalizer gives it back.
        match unsafe { self.js.external_buffer(&memory, on_page_collected, hint) } {
            Ok(value) => {
                self.page_given.set(true);
                // SAFETY: a value of the current scope, in its environment.
                Ok(unsafe { Unknown::from_raw_unchecked(self.js.raw(), value) })
            }
            Err((failure, uncertain)) => {
                if !uncertain.0 {
                    // SAFETY: the finalizer was not handed over, so the count of `into_raw` is still ours.
                    unsafe { Rc::decrement_strong_count(hint.cast::<Page>()) };
                }
                Err(failure)
            }
        }
    }

    /// `createPool(classes, hugePages)`: classes as `[blockSize, count]`; the pool as `[group, firstBlock, blockSize, count]`.
    pub fn create_pool(&self, classes: Unknown<'_>, huge_pages: bool) -> Result<Vec<Vec<u32>>, Failure> {
        let mut wishes = Vec::new();
        for class in self.js.elements(classes.raw(), "classes", CLASSES_MAX)? {
            let [block_size, count] = self.js.elements(class, "a class", 2)?[..] else {
                return Err(Failure::wrong_type("a class must be [blockSize, count]"));
            };
            wishes.push(SizeClass {
                block_size: self.js.whole_number(block_size, "blockSize", 1, u64::from(u32::MAX))? as u32,
                count: self.js.whole_number(count, "count", 1, u64::from(u32::MAX))? as u32,
            });
        }
        if wishes.is_empty() {
            return Err(Failure::out_of_range("classes must not be empty"));
        }
        let pool =
            self.with_proactor(|proactor| proactor.create_pool(&wishes, huge_pages).map_err(|error| memory_failure(&error)))?;
        self.publish();
        let row = |class: &PoolClass| vec![u32::from(class.group), class.first.0, class.block_size, class.count];
        Ok(pool.classes.iter().map(row).collect())
    }

    /// `registerPool(firstBlock, count)`: how many blocks from the first on are registered now.
    pub fn register_pool(&self, first: Unknown<'_>, count: Unknown<'_>) -> Result<u32, Failure> {
        let (first, count) = (self.block_id(first)?, self.number(count, "count", 0, u64::from(u32::MAX))?);
        let registered = self.with_proactor(|proactor| Ok(proactor.register_pool(first, count as u32)))?;
        self.publish();
        Ok(registered as u32)
    }

    /// `registerGroup(group)`: whether the kernel can choose blocks of this class.
    pub fn register_group(&self, group: Unknown<'_>) -> Result<bool, Failure> {
        let group = self.number(group, "group", 0, u64::from(u16::MAX))?;
        self.with_proactor(|proactor| Ok(proactor.register_group(group as u16).is_ok()))
    }

    /// `allocate(size)`: a block of its own.
    pub fn allocate(&self, size: Unknown<'_>) -> Result<u32, Failure> {
        let size = self.number(size, "size", 1, u64::from(u32::MAX))?;
        let block =
            self.with_proactor(|proactor| proactor.allocate_block(size as usize).map_err(|error| memory_failure(&error)))?;
        self.own.borrow_mut().insert(block.0);
        self.publish();
        Ok(block.0)
    }

    /// `expose(block)`: the block's memory as an `ArrayBuffer`.
    pub fn expose<'env>(self: &Rc<Self>, block: Unknown<'_>) -> Result<Unknown<'env>, Failure> {
        let block = self.block_id(block)?;
        let memory = self.with_proactor(|proactor| proactor.block_memory(block).ok_or_else(|| unknown_block(block)))?;
        let Some(mapping) = memory.mapping else {
            return Err(Failure::error("ERR_RITSU_BLOCK", format!("block {} is JavaScript's own memory", block.0)));
        };
        if self.exposed.borrow().contains(&block.0) {
            return Err(Failure::error("ERR_RITSU_EXPOSED", format!("block {} has an ArrayBuffer already", block.0)));
        }
        let exposure = Box::new(Exposure { bridge: Rc::downgrade(self), block, _mapping: mapping });
        let hint = Box::into_raw(exposure);
        let memory = BufferMemory { address: memory.address, length: memory.length };
        // SAFETY: the exposure keeps the mapping; the finalizer drops it.
        match unsafe { self.js.external_buffer(&memory, on_block_collected, hint.cast()) } {
            Ok(value) => {
                self.exposed.borrow_mut().insert(block.0);
                // SAFETY: a value of the current scope, in its environment.
                Ok(unsafe { Unknown::from_raw_unchecked(self.js.raw(), value) })
            }
            Err((failure, Uncertain(uncertain))) => {
                // If the finalizer may still come, the exposure is left to it; leaked is better than freed twice.
                if !uncertain {
                    // SAFETY: the finalizer was not handed over, so the box is still ours.
                    drop(unsafe { Box::from_raw(hint) });
                }
                Err(failure)
            }
        }
    }

    /// `collected()`: pool blocks that may be exposed again.
    pub fn collected(&self) -> Vec<u32> {
        self.page.set_word(word::COLLECTED_COUNT, 0);
        self.collected.take()
    }

    /// `pin(arrayBuffer)`: lends JavaScript's memory until `unpin`.
    pub fn pin(&self, buffer: Unknown<'_>) -> Result<u32, Failure> {
        if self.stage.get() != Stage::Open {
            return Err(closed_failure());
        }
        let memory = self.js.lendable_memory(buffer.raw())?;
        let reference = self.js.reference(buffer.raw())?;
        let block = self.with_proactor(|proactor| {
            // SAFETY: the reference keeps the buffer, and so its memory, until `unpin` (which the core refuses while an op has the
            // block) or until the drain at the end; JavaScript's side gives us only buffers that nothing else there can detach.
            unsafe { proactor.pin_block(memory.address, memory.length) }.map_err(|error| memory_failure(&error))
        })?;
        let previous = self.pins.borrow_mut().insert(block.0, reference);
        assert!(previous.is_none(), "a pinned block's id was given twice");
        Ok(block.0)
    }

    /// `unpin(block)`.
    pub fn unpin(&self, block: Unknown<'_>) -> Result<(), Failure> {
        let block = self.block_id(block)?;
        if !self.pins.borrow().contains_key(&block.0) {
            return Err(unknown_block(block));
        }
        self.with_proactor(|proactor| proactor.unpin_block(block).map_err(|fault| block_failure(block, fault)))?;
        let reference = self.pins.borrow_mut().remove(&block.0);
        drop(reference);
        Ok(())
    }

    fn block_id(&self, value: Unknown<'_>) -> Result<BlockId, Failure> {
        // The largest number means "no block".
        self.number(value, "block", 0, u64::from(u32::MAX) - 1).map(|number| BlockId(number as u32))
    }

    pub(super) fn number(&self, value: Unknown<'_>, name: &str, least: u64, most: u64) -> Result<u64, Failure> {
        self.js.whole_number(value.raw(), name, least, most)
    }

    /// Nothing in JavaScript reaches the block's memory any more.
    fn on_collected(&self, block: BlockId) {
        self.exposed.borrow_mut().remove(&block.0);
        if self.stage.get() > Stage::Refusing || self.poisoned.get() {
            return;
        }
        if self.own.borrow_mut().remove(&block.0) {
            if let Some(proactor) = &mut *self.proactor.borrow_mut() {
                proactor.retire_block(block);
            }
            return;
        }
        let waiting = {
            let mut collected = self.collected.borrow_mut();
            collected.push(block.0);
            collected.len()
        };
        self.page.set_word(word::COLLECTED_COUNT, waiting as u32);
        self.collected_unseen.set(true);
        self.nudge();
    }
}

fn unknown_block(block: BlockId) -> Failure {
    Failure::error("ERR_RITSU_BLOCK", format!("block {} is unknown", block.0))
}

fn block_failure(block: BlockId, fault: Fault) -> Failure {
    Failure::error("ERR_RITSU_BLOCK", format!("block {}: {fault}", block.0))
}

fn memory_failure(error: &MemoryError) -> Failure {
    let message = error.to_string();
    match *error {
        MemoryError::Class { .. } | MemoryError::Size { .. } => Failure::out_of_range(message),
        MemoryError::Map { errno, .. } => Failure::error("ERR_RITSU_MEMORY", message).with("errno", Property::Number(errno)),
        MemoryError::Closed => closed_failure(),
    }
}

/// Finalizer of an exposed block.
unsafe extern "C" fn on_block_collected(_env: sys::napi_env, _data: *mut c_void, hint: *mut c_void) {
    // SAFETY: the box that `expose` handed over; Node calls a finalizer once.
    let exposure = unsafe { Box::from_raw(hint.cast::<Exposure>()) };
    let told = catch_unwind(AssertUnwindSafe(|| {
        if let Some(bridge) = exposure.bridge.upgrade() {
            bridge.on_collected(exposure.block);
        }
    }));
    if told.is_err()
        && let Some(bridge) = exposure.bridge.upgrade()
    {
        bridge.poison();
    }
}

/// Finalizer of the page.
unsafe extern "C" fn on_page_collected(_env: sys::napi_env, _data: *mut c_void, hint: *mut c_void) {
    // SAFETY: the count that `page` handed over; Node calls a finalizer once.
    unsafe { Rc::decrement_strong_count(hint.cast::<Page>()) };
}
