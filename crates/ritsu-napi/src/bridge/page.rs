//! The shared pages' memory: one allocation, zeroed and page aligned, freed when neither bridge nor `ArrayBuffer` needs it.
//!
//! JavaScript and Rust use it in turns on one thread: JavaScript never runs while a function here does. All access is by raw
//! pointer and by value, never by reference, since JavaScript may write any of it at its turn.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::NonNull;

use ritsu::{Detail, Outcome};

use crate::abi::{self, CompletionRecord, SubmissionRecord};

const PAGE_ALIGNMENT: usize = 4096;
/// Whole pages.
pub const PAGE_BYTES: usize = abi::TOTAL_BYTES.next_multiple_of(PAGE_ALIGNMENT);

/// The memory, and how far the current completion batch has filled it.
pub struct Page {
    memory: NonNull<u8>,
    completions: Cell<u32>,
    result_used: Cell<usize>,
}

impl Page {
    /// A fresh page, all zero.
    pub fn new() -> Page {
        let layout = Self::layout();
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        Page { memory, completions: Cell::new(0), result_used: Cell::new(0) }
    }

    fn layout() -> Layout {
        Layout::from_size_align(PAGE_BYTES, PAGE_ALIGNMENT).expect("a constant layout")
    }

    /// First byte.
    pub fn address(&self) -> NonNull<u8> {
        self.memory
    }

    /// Reads a header word.
    pub fn word(&self, index: usize) -> u32 {
        debug_assert!(index < abi::COUNTER_OFFSET / 4);
        // SAFETY: inside the header, aligned; nobody else runs.
        unsafe { self.at::<u32>(index * 4).read() }
    }

    /// Writes a header word.
    pub fn set_word(&self, index: usize, value: u32) {
        debug_assert!(index < abi::COUNTER_OFFSET / 4);
        // SAFETY: inside the header, aligned; nobody else runs.
        unsafe { self.at::<u32>(index * 4).write(value) };
    }

    /// Writes all counters.
    pub fn set_counters(&self, counters: &[f64; abi::COUNTER_COUNT]) {
        // SAFETY: inside the header (asserted at compile time), aligned; nobody else runs.
        unsafe { self.at::<[f64; abi::COUNTER_COUNT]>(abi::COUNTER_OFFSET).write(*counters) };
    }

    /// A copy of a submission record.
    pub fn submission(&self, index: u32) -> SubmissionRecord {
        assert!(index < abi::SUBMISSION_MAX);
        let offset = abi::SUBMISSION_OFFSET + index as usize * size_of::<SubmissionRecord>();
        // SAFETY: inside the submission records, aligned; any bits make a record.
        unsafe { self.at::<SubmissionRecord>(offset).read() }
    }

    /// A copy of bytes of the argument arena.
    pub fn argument(&self, offset: usize, length: usize) -> Vec<u8> {
        assert!(offset + length <= abi::ARGUMENT_BYTES);
        let mut bytes = Vec::with_capacity(length);
        let source = self.at::<u8>(abi::ARGUMENT_OFFSET + offset);
        // SAFETY: `length` bytes of the arena, into fresh memory of that capacity.
        unsafe { source.copy_to_nonoverlapping(bytes.as_mut_ptr(), length) };
        // SAFETY: that many bytes were just written.
        unsafe { bytes.set_len(length) };
        bytes
    }

    /// Starts a new completion batch over the old one, which JavaScript has read.
    pub fn begin_batch(&self) {
        self.completions.set(0);
        self.result_used.set(0);
    }

    /// Completions in the batch.
    pub fn batch_length(&self) -> u32 {
        self.completions.get()
    }

    /// Adds a completion to the batch; `false` if records or result arena are full.
    pub fn push(&self, outcome: &Outcome) -> bool {
        let index = self.completions.get();
        if index >= abi::COMPLETION_MAX {
            return false;
        }
        let used = self.result_used.get();
        let length = abi::result_bytes(&outcome.detail);
        if used + length > abi::RESULT_BYTES {
            return false;
        }
        match &outcome.detail {
            Detail::Status(status) => self.set_numbers(used, abi::status_numbers(status).into_iter()),
            Detail::Counts(counts) => self.set_numbers(used, counts.iter().copied().map(f64::from)),
            Detail::Message { address, .. } => {
                self.set_address(abi::RESULT_OFFSET + used, &address.as_ref().map(abi::encode_address).unwrap_or_default());
            }
            _ => {}
        }
        self.result_used.set(used + length);
        let offset = abi::COMPLETION_OFFSET + index as usize * size_of::<CompletionRecord>();
        // SAFETY: inside the completion records, aligned.
        unsafe { self.at::<CompletionRecord>(offset).write(abi::encode(outcome, used as u32)) };
        self.completions.set(index + 1);
        true
    }

    /// Writes numbers into the result arena, from `used` on.
    fn set_numbers(&self, used: usize, numbers: impl ExactSizeIterator<Item = f64>) {
        assert!(used.is_multiple_of(align_of::<f64>()) && used + numbers.len() * size_of::<f64>() <= abi::RESULT_BYTES);
        for (index, number) in numbers.enumerate() {
            let place = self.at::<f64>(abi::RESULT_OFFSET + used + index * size_of::<f64>());
            // SAFETY: inside the result arena, as asserted, and aligned; nobody else runs.
            unsafe { place.write(number) };
        }
    }

    /// Writes an encoded address and its length; no address has length 0.
    fn set_address(&self, offset: usize, bytes: &[u8]) {
        assert!(size_of::<u32>() + bytes.len() <= abi::ADDRESS_BYTES);
        // SAFETY: the caller has made sure of `ADDRESS_BYTES` from `offset` on, a multiple of 32; nobody else runs.
        unsafe { self.at::<u32>(offset).write(bytes.len() as u32) };
        let target = self.at::<u8>(offset + size_of::<u32>());
        // SAFETY: inside the same `ADDRESS_BYTES`, as asserted; the bytes are Rust's own.
        unsafe { target.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    fn at<T>(&self, offset: usize) -> *mut T {
        assert!(offset + size_of::<T>() <= PAGE_BYTES);
        // SAFETY: inside the allocation, as just asserted.
        unsafe { self.memory.as_ptr().add(offset).cast() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; the last owner is gone.
        unsafe { dealloc(self.memory.as_ptr(), Self::layout()) };
    }
}
