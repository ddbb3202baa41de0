//! The proactor: takes ops, gives outcomes. The one type that ties ring, slots, blocks and descriptors together.
//!
//! It owns all four. Order of an op's life: `submit` (checks, takes ownership, queues) - `enter` (encodes, pushes, one system call) -
//! `reap` (finishes, gives ownership back). Nothing calls back: `reap` hands outcomes to a sink that cannot reach the proactor.
//! Used by one thread, the one that made it. Memory lives in `memory.rs`, cancels in `cancel.rs`, the end in
//! `drain.rs`.

use crate::capability::Capability;
use crate::config::Config;
use crate::descriptor::{CloseStep, DescriptorId, DescriptorTable};
use crate::error::{Fault, SetupError, SubmitError};
use crate::identity::{Kind, Token};
use crate::in_flight::{InFlight, Scratch, Surroundings};
use crate::many::Many;
use crate::memory::Memory;
use crate::op::{Op, OpOptions};
use crate::outcome::Outcome;
use crate::ring::{Completion, Ring};
use crate::slot::{Lifecycle, SlotTable};
use crate::socket;
use crate::statistics::Statistics;
use std::collections::VecDeque;
use std::fs::File;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// How often an enter that a signal cut short is repeated before the caller gets a turn.
const INTERRUPTIONS_MAX: u32 = 16;

/// What an enter came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// The kernel took what it was given.
    Done,
    /// The kernel could not, with this errno (positive: `EINTR`, `EAGAIN`, `EBUSY`, `ENOMEM`). Nothing is lost: reap, wait a little,
    /// enter again.
    Retry(i32),
}

/// How an errno of `io_uring_enter(2)` is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EnterFailure {
    /// A signal came first: again at once.
    Interrupted,
    /// The time of a wait is up; nothing failed.
    Elapsed,
    /// Want of memory, or of room for completions: again after a reap and a little while.
    Busy,
    /// No errno of a ring in order: lost completions (`EBADR`), a ring that is not ours any more.
    Broken,
}

/// Decides what an errno (positive) of `io_uring_enter(2)` means.
fn enter_failure(errno: i32) -> EnterFailure {
    match errno {
        libc::EINTR => EnterFailure::Interrupted,
        libc::ETIME => EnterFailure::Elapsed,
        libc::EAGAIN | libc::EBUSY | libc::ENOMEM => EnterFailure::Busy,
        _ => EnterFailure::Broken,
    }
}

/// What an op has been given at its start.
struct Admitted {
    /// The kernel's integer of its file, or -1.
    file: RawFd,
    lifecycle: Lifecycle,
    scratch: Scratch,
}

/// Owner of one `io_uring`, its op slots, its blocks and its descriptors.
///
/// Belongs to the thread that made it (the kernel accepts submissions from that thread only), hence neither `Send` nor `Sync`.
/// Dropping it drains, with a short deadline; see [`drain`](Self::drain) for one of your own.
///
/// ```
/// use ritsu::{Config, Op, OpOptions, Proactor, Token};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut proactor = Proactor::new(Config::default())?;
/// proactor.submit(Token { slot: 0, generation: 0 }, Op::Nop { result: 0 }, OpOptions::default())?;
/// proactor.enter();
/// let mut outcomes = Vec::new();
/// proactor.reap(16, &mut |outcome| outcomes.push(outcome));
/// assert_eq!(outcomes[0].result, 0);
/// # Ok(())
/// # }
/// ```
pub struct Proactor {
    // Declared first, dropped first: the kernel lets go of all memory before any of it is freed.
    pub(crate) ring: Ring,
    pub(crate) slots: SlotTable<InFlight>,
    pub(crate) memory: Memory,
    pub(crate) descriptors: DescriptorTable<File>,
    capability: Capability,
    /// Ops waiting for room in the submission queue, oldest first. Withdrawn ones stay until their turn and are skipped.
    queue: VecDeque<Token>,
    /// Cancels waiting for room; they go before ops. Bounded by the slots: there is at most one for an op.
    pub(crate) cancels: VecDeque<Token>,
    /// Ops whose result is known without the kernel.
    pub(crate) ready: VecDeque<Token>,
    pub(crate) statistics: Statistics,
    /// Takes nothing more.
    pub(crate) closed: bool,
    not_send: PhantomData<*mut ()>,
}

impl Proactor {
    /// Makes a ring in the newest mode that the kernel has, and asks the kernel what it supports.
    ///
    /// # Errors
    ///
    /// [`SetupError`] names the step, the errno and the likely cause: kernel, sysctl, seccomp filter or locked-memory limit.
    // By value: a caller that has a configuration gives it away here, and one that has none writes no ampersand.
    #[allow(clippy::needless_pass_by_value)]
    pub fn new(config: Config) -> Result<Self, SetupError> {
        let config = config.clamped();
        let (ring, capability) = Ring::new(&config)?;
        Ok(Self {
            ring,
            slots: SlotTable::new(config.in_flight_max),
            memory: Memory::new(config.registered_bytes_max),
            descriptors: DescriptorTable::new(),
            capability,
            queue: VecDeque::new(),
            cancels: VecDeque::new(),
            ready: VecDeque::new(),
            statistics: Statistics::default(),
            closed: false,
            not_send: PhantomData,
        })
    }

    /// What the kernel was asked and supports.
    #[must_use]
    pub fn capability(&self) -> &Capability {
        &self.capability
    }

    /// The eventfd that the kernel signals when there is something to reap. Nonblocking; to be polled, not closed.
    #[must_use]
    pub fn event_fd(&self) -> RawFd {
        self.ring.event_fd()
    }

    /// Reads the eventfd, so that polling it sleeps again. Returns how often it was signalled, 0 if not at all.
    // Most callers only want the eventfd empty.
    #[allow(clippy::must_use_candidate)]
    pub fn clear_event(&mut self) -> u64 {
        self.ring.clear_event()
    }

    /// Accepts an op: it takes its slot, blocks and descriptor, and is queued. The kernel sees it at the next enter.
    ///
    /// # Errors
    ///
    /// The op comes back with the reason, and nothing has changed.
    #[inline]
    pub fn submit(&mut self, token: Token, mut op: Op, options: OpOptions) -> Result<(), SubmitError> {
        match self.admit(token, &op) {
            Ok(Admitted { file, lifecycle, scratch }) => {
                op.make_do(&self.capability);
                self.slots.occupy(token, InFlight { op, file, options, scratch, cancels: 0, is_cancel_queued: false }, lifecycle);
                match lifecycle {
                    Lifecycle::Queued => self.queue.push_back(token),
                    Lifecycle::Ready(_) => self.ready.push_back(token),
                    // A close comes back into the queue when its last holder lets go.
                    Lifecycle::Free | Lifecycle::Waiting | Lifecycle::Pushed | Lifecycle::Cancelling => {}
                }
                self.statistics.submitted += 1;
                Ok(())
            }
            Err(error) => {
                self.statistics.faults += 1;
                Err(SubmitError { error, op })
            }
        }
    }

    /// Answers for an op that was not accepted: its slot is taken, and the next reap frees it with `result` and
    /// [`Detail::Refused`](crate::Detail::Refused). So whoever numbers the ops sees one rule, that each has one final outcome. Allowed after the end, too.
    ///
    /// # Errors
    ///
    /// The slot is not free, or is of another generation: then nobody can be told.
    pub fn refuse(&mut self, token: Token, result: i32) -> Result<(), Fault> {
        self.slots.check(token)?;
        let nothing = InFlight {
            op: Op::Nop { result: 0 },
            file: -1,
            options: OpOptions::default(),
            scratch: Scratch::Refused,
            cancels: 0,
            is_cancel_queued: false,
        };
        self.slots.occupy(token, nothing, Lifecycle::Ready(result));
        self.ready.push_back(token);
        self.statistics.submitted += 1;
        Ok(())
    }

    /// Whether there is something to enter or to reap: ops or cancels queued, outcomes ready, completions or deferred work waiting.
    #[must_use]
    #[inline]
    pub fn pending(&self) -> bool {
        self.has_queued() || self.ring.pending()
    }

    fn has_queued(&self) -> bool {
        !self.queue.is_empty() || !self.cancels.is_empty() || !self.ready.is_empty()
    }

    /// Pushes what fits into the submission queue and enters the kernel once, which also does deferred completion work. What did not
    /// fit stays queued ([`pending`](Self::pending) says so).
    #[inline]
    pub fn enter(&mut self) -> Entered {
        self.push();
        self.enter_with(|ring| ring.enter(true))
    }

    /// As [`enter`](Self::enter), then sleeps until a completion arrives or the time is up.
    pub fn enter_and_wait(&mut self, timeout: Duration) -> Entered {
        self.push();
        let timeout = if self.ready.is_empty() && self.queue.is_empty() { timeout } else { Duration::ZERO };
        self.enter_with(|ring| ring.enter_and_wait(timeout))
    }

    /// Gives everything queued to the kernel without asking for completions: for a submission page that has filled up. But for the parts of
    /// a [`Op::ReadMany`] once the kernel has to hold completions back, or it would keep a thousand for each op; what is behind them stays
    /// queued, too ([`pending`](Self::pending) says so).
    pub fn push_and_submit(&mut self) -> Entered {
        if self.queue.is_empty() && self.cancels.is_empty() && !self.ring.has_unsubmitted() {
            return Entered::Done;
        }
        loop {
            self.push();
            let entered = self.enter_with(|ring| ring.enter(false));
            let is_done = self.queue.is_empty() && self.cancels.is_empty();
            if entered != Entered::Done || is_done || (self.parts_are_next() && self.ring.overflowed()) {
                return entered;
            }
        }
    }

    fn parts_are_next(&self) -> bool {
        let next = self.queue.front().and_then(|token| self.slots.cargo(*token));
        next.is_some_and(|cargo| matches!(cargo.scratch, Scratch::Many(_)))
    }

    /// Hands up to `limit` outcomes to `sink`: first those known without the kernel, then completions. With each final outcome the op's
    /// slot, blocks and descriptor are free again. Returns the number handed over.
    #[inline]
    pub fn reap(&mut self, limit: usize, sink: &mut dyn FnMut(Outcome)) -> usize {
        let mut reaped = 0;
        while reaped < limit {
            let Some(token) = self.ready.pop_front() else { break };
            sink(self.finish_ready(token));
            reaped += 1;
        }
        while reaped < limit {
            let Some(completion) = self.ring.next() else { break };
            if let Some(outcome) = self.finish(&completion) {
                sink(outcome);
                reaped += 1;
            }
        }
        reaped
    }

    /// Turns the eventfd off, or each enter would signal what it has just seen. Without effect, always on, except on x86-64.
    pub fn mute(&self) {
        self.ring.signalling(false);
    }

    /// Before sleeping on the eventfd: turns it on, with a fence, and looks once more, since what arrived just before was not signalled.
    /// Returns whether there is something to enter or to reap. If not, whatever comes makes the eventfd readable.
    pub fn rest(&mut self) -> bool {
        self.ring.signalling(true);
        if self.has_queued() || self.ring.has_entries() {
            return true;
        }
        self.ring.believe_taskrun(true); // or a mark of before would outlive an enter that is refused
        if self.ring.taskrun() {
            // A busy ring has more, as a rule: that costs no call here. Where the flag is a left-over, the next enter brings nothing.
            if !self.ring.is_fruitless() || self.enter_and_wait(Duration::ZERO) != Entered::Done {
                return true;
            }
            self.ring.believe_taskrun(false);
        }
        self.pending()
    }

    /// Ops accepted whose final outcome has not been reaped.
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.slots.in_flight()
    }

    /// The counters as they are now.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            registered_bytes: self.memory.registered_bytes() as u64,
            pool_bytes: self.memory.pool_bytes() as u64,
            own_bytes: self.memory.own_bytes() as u64,
            in_flight: u64::from(self.slots.in_flight()),
            descriptors_open: u64::from(self.descriptors.open()),
            blocks_busy: u64::from(self.memory.blocks().busy()),
            blocks_provided: u64::from(self.memory.blocks().provided()),
            leaked_bytes: crate::leaked_bytes(),
            ..self.statistics
        }
    }

    /// Checks an op and takes what it names, or makes the socket that it asks for.
    #[inline]
    fn admit(&mut self, token: Token, op: &Op) -> Result<Admitted, Fault> {
        if self.closed {
            return Err(Fault::Closed);
        }
        self.slots.check(token)?;
        op.check()?;
        if let Op::ReadSelect { .. } | Op::ReceiveSelect { .. } = op
            && !self.capability.buffer_select
        {
            return Err(Fault::Unsupported);
        }
        if let Op::Close { descriptor } = op {
            let (step, file) = self.descriptors.close(*descriptor, token).ok_or(Fault::Descriptor)?;
            let lifecycle = if step == CloseStep::Now { Lifecycle::Queued } else { Lifecycle::Waiting };
            return Ok(Admitted { file: file.as_raw_fd(), lifecycle, scratch: Scratch::None });
        }
        let Some(descriptor) = op.descriptor() else { return Ok(self.admit_without_file(op)) };
        let file = self.descriptors.hold(descriptor).ok_or(Fault::Descriptor)?;
        let integer = file.as_raw_fd();
        let now = match op {
            Op::Ftruncate { length, .. } if !self.capability.ftruncate => Some(truncate_now(file, *length)),
            Op::Shutdown { how, .. } if !self.capability.shutdown => Some(socket::shut_down(file, *how)),
            _ => None,
        };
        if let Some(result) = now {
            return Ok(Admitted { file: integer, lifecycle: Lifecycle::Ready(result), scratch: Scratch::None });
        }
        if let Err(fault) = self.memory.claim(op, token.slot, &self.ring) {
            let close = self.descriptors.release(descriptor);
            debug_assert_eq!(close, None, "no close can have come between");
            return Err(fault);
        }
        let scratch = match op {
            Op::ReadMany { positions, .. } => Scratch::Many(Box::new(Many::new(positions.len()))),
            _ => Scratch::None,
        };
        Ok(Admitted { file: integer, lifecycle: Lifecycle::Queued, scratch })
    }

    fn admit_without_file(&self, op: &Op) -> Admitted {
        let ready = |made: Result<File, i32>| match made {
            Ok(socket) => (Lifecycle::Ready(0), Scratch::Socket(socket)),
            Err(errno) => (Lifecycle::Ready(-errno), Scratch::None),
        };
        let (lifecycle, scratch) = match op {
            Op::Connect { address, local } => match socket::connecting(address, local.as_deref()) {
                Ok(socket) => (Lifecycle::Queued, Scratch::Connecting(socket, Box::new(address.encode()))),
                Err(errno) => (Lifecycle::Ready(-errno), Scratch::None),
            },
            Op::Listen { address, backlog, options } => ready(socket::listening(address, *backlog, *options)),
            Op::Bind { address, peer, options } => ready(socket::bound(address, peer.as_deref(), *options)),
            Op::Nop { result } if *result != 0 && !self.capability.nop_inject => (Lifecycle::Ready(-libc::EINVAL), Scratch::None),
            _ => (Lifecycle::Queued, Scratch::None),
        };
        let file = if let Scratch::Connecting(socket, _) = &scratch { socket.as_raw_fd() } else { -1 };
        Admitted { file, lifecycle, scratch }
    }

    /// Encodes cancels, then ops, as long as there is room.
    #[inline]
    fn push(&mut self) {
        while let Some(target) = self.cancels.front().copied() {
            if self.slots.is_cancelling(target) {
                let cargo = self.slots.complete(target).expect("it is cancelling");
                if !cargo.push_cancels(target, &mut self.ring, &mut self.statistics.cancels_sent) {
                    return;
                }
                if cargo.end_cancels() {
                    self.cancels.push_back(target); // behind those of other ops
                }
            }
            self.cancels.pop_front();
        }
        while let Some(token) = self.queue.front().copied()
            && !self.ring.is_full()
        {
            // `None`: withdrawn while it was queued.
            let goes_on = self.slots.push(token).is_some_and(|cargo| !cargo.push(token, self.memory.blocks(), &mut self.ring));
            if goes_on {
                return; // it stays the first, until there is room for the rest of it
            }
            self.queue.pop_front();
        }
    }

    #[inline]
    fn enter_with(&mut self, mut enter: impl FnMut(&mut Ring) -> Result<u32, i32>) -> Entered {
        if self.ring.overflowed() {
            self.statistics.overflows += 1;
        }
        for _ in 0..INTERRUPTIONS_MAX {
            self.statistics.enters += 1;
            let Err(errno) = enter(&mut self.ring) else { return Entered::Done };
            match enter_failure(errno) {
                EnterFailure::Elapsed => return Entered::Done,
                EnterFailure::Interrupted => self.statistics.retries += 1,
                EnterFailure::Busy => {
                    self.statistics.retries += 1;
                    return Entered::Retry(errno);
                }
                EnterFailure::Broken => panic!("io_uring_enter failed with errno {errno}: the ring cannot be used any more"),
            }
        }
        Entered::Retry(libc::EINTR)
    }

    /// Turns a completion into an outcome. `None` for a cancel's own completion and for a stale one.
    #[inline]
    fn finish(&mut self, completion: &Completion) -> Option<Outcome> {
        let token = completion.user_data.token();
        match completion.user_data.kind() {
            Some(Kind::Op) => {}
            Some(Kind::Cancel) => {
                self.repeat_cancel(token, completion.user_data.part(), completion.result);
                return None;
            }
            Some(Kind::Internal) => return None,
            None => {
                self.statistics.stale += 1;
                return None;
            }
        }
        let Some(cargo) = self.slots.complete(token) else {
            self.statistics.stale += 1;
            return None;
        };
        match cargo.answer(completion.user_data.part(), completion.result) {
            Some(true) => {}
            Some(false) => return None,
            None => {
                self.statistics.stale += 1;
                return None;
            }
        }
        let mut surroundings =
            Surroundings { descriptors: &mut self.descriptors, memory: &mut self.memory, abandoned: self.closed };
        let (result, detail) = cargo.finish(completion, &mut surroundings);
        let more = completion.more();
        if !more {
            let op = &cargo.op;
            self.memory.give_back_all(op, token.slot);
            let held = op.descriptor();
            self.free(token, held);
        }
        Some(Outcome { token, result, more, detail })
    }

    /// The outcome of an op that the kernel did not see.
    fn finish_ready(&mut self, token: Token) -> Outcome {
        let (cargo, result) = self.slots.ready(token).expect("an op that is ready stays until it is reaped");
        let mut surroundings =
            Surroundings { descriptors: &mut self.descriptors, memory: &mut self.memory, abandoned: self.closed };
        let (result, detail) = cargo.finish_ready(result, &mut surroundings);
        self.memory.give_back_all(&cargo.op, token.slot);
        let held = cargo.op.descriptor();
        self.free(token, held);
        Outcome { token, result, more: false, detail }
    }

    #[inline]
    fn free(&mut self, token: Token, held: Option<DescriptorId>) {
        self.slots.free(token);
        self.statistics.completed += 1;
        if let Some(close) = held.and_then(|descriptor| self.descriptors.release(descriptor)) {
            self.slots.queue(close);
            self.queue.push_back(close);
        }
    }
}

/// `ftruncate(2)` for kernels whose ring cannot do it. Gives 0 or a negative errno.
fn truncate_now(file: &File, length: u64) -> i32 {
    match file.set_len(length) {
        Ok(()) => 0,
        Err(error) => -error.raw_os_error().unwrap_or(libc::EINVAL),
    }
}

#[cfg(test)]
#[path = "proactor_tests.rs"]
mod tests;
