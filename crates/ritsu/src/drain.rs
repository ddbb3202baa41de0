//! The end of a proactor: cancel all, wait for every final completion, and only then free memory. Past the deadline: leak, never free.
//!
//! Closing the ring or cancelling does not stop the kernel from writing (of 64 MiB of direct reads in flight, nearly all was written
//! after `close` returned); only the final completion of each op does.

use crate::outcome::Outcome;
use crate::proactor::{Entered, Proactor};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long dropping a proactor may wait for its ops.
const DROP_DEADLINE: Duration = Duration::from_millis(500);
/// Longest single sleep in a drain.
const WAIT_SLICE: Duration = Duration::from_millis(20);
/// Pause after an enter that the kernel could not serve.
const RETRY_PAUSE: Duration = Duration::from_millis(1);

static LEAKED_BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes of block memory that this process has leaked on purpose, because a proactor ended with ops still in the kernel.
#[must_use]
pub fn leaked_bytes() -> u64 {
    LEAKED_BYTES.load(Ordering::Relaxed)
}

/// What a drain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Ops that the kernel still holds past the deadline. Unless a later drain ends them, their memory will be leaked.
    pub remaining: u32,
}

impl Proactor {
    /// Closes the proactor to new ops, cancels all, and waits until every op has had its final outcome or the deadline has passed.
    /// Outcomes go to `sink`; a descriptor that an open brings now is closed (`-ECANCELED`). May be called again.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut proactor = ritsu::Proactor::new(ritsu::Config::default())?;
    /// let token = ritsu::Token { slot: 0, generation: 0 };
    /// proactor.submit(token, ritsu::Op::Timeout { duration: Duration::from_secs(60) }, ritsu::OpOptions::default())?;
    /// proactor.enter();
    /// let drained = proactor.drain(Instant::now() + Duration::from_secs(1), &mut |_outcome| {});
    /// assert_eq!(drained.remaining, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain(&mut self, deadline: Instant, sink: &mut dyn FnMut(Outcome)) -> Drained {
        self.closed = true;
        self.cancel_all();
        // A signalling that was left off would let a wait by poll oversleep.
        self.ring.signalling(true);
        let mut timeout = Duration::ZERO;
        let mut repeat_at = Instant::now() + WAIT_SLICE;
        loop {
            while self.reap(usize::MAX, sink) > 0 {}
            if self.in_flight() == 0 {
                return Drained { remaining: 0 };
            }
            if Instant::now() >= repeat_at {
                self.repeat_cancels();
                repeat_at = Instant::now() + WAIT_SLICE;
            }
            // The first time without waiting: even a deadline in the past sends the cancels that there is room for and takes what is
            // there.
            if let Entered::Retry(_) = self.enter_and_wait(timeout) {
                std::thread::sleep(RETRY_PAUSE);
            }
            while self.reap(usize::MAX, sink) > 0 {}
            timeout = WAIT_SLICE.min(deadline.saturating_duration_since(Instant::now()));
            if timeout.is_zero() {
                return Drained { remaining: self.in_flight() };
            }
        }
    }
}

impl Drop for Proactor {
    fn drop(&mut self) {
        // A ring that is broken panics in enter; then nothing can be waited for any more. No unwinding out of a drop.
        let mut ended = false;
        let attempt = std::panic::AssertUnwindSafe(|| {
            ended = self.drain(Instant::now() + DROP_DEADLINE, &mut |_outcome| {}).remaining == 0;
        });
        let _ = std::panic::catch_unwind(attempt);
        if !ended && self.in_flight() > 0 {
            self.leak();
        }
    }
}

impl Proactor {
    /// Ops remain in the kernel: whatever they name must live for ever.
    fn leak(&mut self) {
        self.ring.leak();
        let slots = std::mem::replace(&mut self.slots, crate::slot::SlotTable::new(0));
        std::mem::forget(slots);
        self.descriptors.close_unheld_and_forget_the_rest();
        LEAKED_BYTES.fetch_add(self.memory.leak(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, leaked_bytes};
    use crate::{BlockRange, Config, Op, OpOptions, Position, Proactor, Token};
    use std::io::Write;
    use std::time::Instant;

    /// An op that outlives every deadline cannot be made without a broken disk, so the leak itself is called. In the plain mode the
    /// kernel finishes the op at any system call: the ring lives on, and so must the memory.
    #[test]
    fn s20_memory_that_the_kernel_still_holds_is_leaked_and_stays_writable() {
        let mut proactor = Proactor::new(Config { first_rung: usize::MAX, ..Config::default() }).unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let descriptor = proactor.adopt(reader.into()).unwrap();
        let block = proactor.allocate_block(4096).unwrap();
        let address = proactor.block_memory(block).unwrap().address;
        let target = BlockRange { block, offset: 0, length: 4096 };
        let read = Op::Read { descriptor, target, position: Position::Current };
        proactor.submit(Token { slot: 0, generation: 0 }, read, OpOptions::default()).unwrap();
        proactor.enter();
        proactor.leak();
        drop(proactor);
        assert_eq!(leaked_bytes(), 4096);
        writer.write_all(b"x").unwrap();
        let start = Instant::now();
        // Safe code looks through the kernel's eyes: what is at the address of a mapping that was given up would be an error to write.
        let byte = || {
            let mut byte = [0];
            let memory = std::fs::File::open("/proc/self/mem").unwrap();
            std::os::unix::fs::FileExt::read_at(&memory, &mut byte, address.as_ptr() as u64).map(|_| byte[0])
        };
        while byte().expect("still mapped") != b'x' {
            assert!(start.elapsed() < Duration::from_secs(10), "the op in the leaked ring did not end");
        }
    }
}
