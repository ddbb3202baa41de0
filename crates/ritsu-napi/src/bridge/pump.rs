//! The pump: what happens at a turn of the event loop.
//!
//! `prepare` runs it before the loop waits, `poll` when the eventfd says that completions are there, the timer when a refused
//! enter is to be tried again. A round: consume the submission page, enter, reap into the completion page, one call of dispatch,
//! whose microtasks may have queued the next round's records. The eventfd is mute while it runs; afterwards it signals again and
//! everything is looked at once more, or a wake-up would be lost. Work that remains starts the idle handle, so that the loop comes
//! straight back after it served its timers and sockets.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::{Rc, Weak};
use std::time::Instant;

use ritsu::{Entered, Proactor, SubmitError, Token};

use super::js::Called;
use super::{Bridge, SIBLINGS, Stage, count, panic_failure};
use crate::abi::{self, Refusal, Request, word};
use crate::uv::{self, Handle};

/// A refused enter (EAGAIN, EBUSY, ENOMEM) is tried again after so long.
const RETRY_MS: u64 = 1;
/// Enters in a row that a signal may interrupt before the timer takes over.
const INTERRUPTIONS_MAX: u32 = 3;

impl Bridge {
    /// Moves the submission page's records into the core, and empties the page.
    pub(super) fn consume(&self, proactor: &mut Proactor) {
        let claimed = self.page.word(word::SUBMISSION_COUNT);
        if claimed == 0 {
            return;
        }
        let records = claimed.min(abi::SUBMISSION_MAX);
        if claimed > records {
            count(&self.counters.faults);
        }
        for index in 0..records {
            let record = self.page.submission(index);
            match abi::decode(&record, &|offset, length| self.page.argument(offset, length)) {
                Ok(request) => self.submit(proactor, request),
                Err(Refusal { token, result }) => self.refuse(proactor, token, result),
            }
        }
        self.page.set_word(word::SUBMISSION_COUNT, 0);
        self.page.set_word(word::ARGUMENT_USED, 0);
    }

    fn submit(&self, proactor: &mut Proactor, request: Request) {
        let (token, op, options) = match request {
            Request::Cancel(target) => return proactor.cancel(target),
            Request::Provide { group, block } => {
                if proactor.provide(group, block).is_err() {
                    count(&self.counters.faults);
                }
                return;
            }
            Request::Submit { token, op, options } => (token, op, options),
        };
        if let Err(SubmitError { error, .. }) = proactor.submit(token, op, options) {
            match abi::refusal_result(error) {
                Some(result) => self.refuse(proactor, token, result),
                None => count(&self.counters.faults),
            }
        }
    }

    /// Completes a record that cannot be submitted. If even its slot is not right, nobody can be told.
    fn refuse(&self, proactor: &mut Proactor, token: Token, result: i32) {
        if proactor.refuse(token, result).is_err() {
            count(&self.counters.faults);
        }
    }

    /// Whether a pump would find something to do. Reads memory only: an idle turn of the loop costs no system call.
    fn has_work(&self, proactor: &Proactor) -> bool {
        self.page.word(word::SUBMISSION_COUNT) > 0
            || self.collected_unseen.get()
            || !self.stash.borrow().is_empty()
            || proactor.pending()
    }

    fn work_remains(&self) -> bool {
        self.proactor.borrow().as_ref().is_some_and(|proactor| self.has_work(proactor))
    }

    fn may_pump(&self) -> bool {
        self.stage.get() == Stage::Open && !self.dispatching.get() && !self.ending.get()
    }

    /// Before the loop waits.
    fn turn(&self) {
        if !self.may_pump() || self.retry_armed.get() {
            return;
        }
        if self.work_remains() {
            self.pump();
        } else {
            self.handles().set_idle(false);
            self.sync_reference();
        }
    }

    /// Rounds, as many as the budget allows.
    fn pump(&self) {
        self.mute();
        let started = Instant::now();
        let (mut rounds, mut completions) = (0, 0);
        loop {
            let limit = self.budget.completions.saturating_sub(completions).min(abi::COMPLETION_MAX);
            let length = self.round(limit);
            let collected = self.collected_unseen.replace(false);
            if length == 0 && !collected {
                break;
            }
            rounds += 1;
            completions += length;
            self.dispatch(length);
            if self.stage.get() != Stage::Open || !self.work_remains() {
                break;
            }
            let spent = rounds >= self.budget.rounds || completions >= self.budget.completions;
            if spent || started.elapsed() >= self.budget.time {
                count(&self.counters.budget_yields);
                break;
            }
        }
        self.rest(rounds > 0);
        self.wake_siblings();
    }

    /// JavaScript that ran here may have queued records for another proactor of this thread, whose `prepare` was called before ours
    /// in this turn: without a nudge they would lie there while the loop waits. Not only in its page: a question about a descriptor
    /// takes them from there into the core.
    fn wake_siblings(&self) {
        // The list is gone when the thread ends; then nothing waits any more either.
        let _ = SIBLINGS.try_with(|siblings| {
            let siblings = siblings.borrow();
            if siblings.len() < 2 {
                return;
            }
            for sibling in siblings.iter().filter_map(Weak::upgrade) {
                if ptr::eq(&raw const *sibling, self) {
                    continue;
                }
                sibling.sync_reference(); // or one that nothing is to keep alive any more lets the loop wait
                if sibling.work_remains() {
                    sibling.nudge();
                }
            }
        });
    }

    /// The loop may wait again, or must not: where JavaScript ran, and has rings that this copy of the addon does not know of, it
    /// may have queued records for one whose `prepare` was called before. So the loop turns once more.
    fn rest(&self, dispatched: bool) {
        if self.stage.get() != Stage::Open {
            return;
        }
        let pending = self.proactor.borrow_mut().as_mut().is_some_and(Proactor::rest);
        let busy = (pending || self.work_remains()) && !self.retry_armed.get();
        let company = dispatched && self.page.word(word::COMPANY) != 0;
        self.handles().set_idle(busy || company);
        self.sync_reference();
        self.publish();
    }

    fn mute(&self) {
        if let Some(proactor) = &*self.proactor.borrow() {
            proactor.mute();
        }
    }

    /// Consume, enter, reap; how many completions are in the page.
    fn round(&self, limit: u32) -> u32 {
        let mut proactor = self.proactor.borrow_mut();
        let Some(proactor) = &mut *proactor else { return 0 };
        self.consume(proactor);
        for _ in 0..INTERRUPTIONS_MAX {
            match proactor.enter() {
                Entered::Done => break,
                Entered::Retry(libc::EINTR) => {}
                Entered::Retry(_) => {
                    self.arm_retry();
                    break;
                }
            }
        }
        self.reap(proactor, limit)
    }

    fn arm_retry(&self) {
        if !self.retry_armed.replace(true) {
            self.handles().start_timer(RETRY_MS);
        }
    }

    /// Fills the completion page: what was left over first, then what the core has.
    fn reap(&self, proactor: &mut Proactor, limit: u32) -> u32 {
        assert!(!self.dispatching.get(), "JavaScript is still reading the completion page");
        self.page.begin_batch();
        let mut stash = self.stash.borrow_mut();
        while let Some(outcome) = stash.front()
            && self.page.batch_length() < limit
            && self.page.push(outcome)
        {
            stash.pop_front();
        }
        let room = limit - self.page.batch_length();
        if stash.is_empty() && room > 0 {
            proactor.reap(room as usize, &mut |outcome| {
                if !stash.is_empty() || !self.page.push(&outcome) {
                    stash.push_back(outcome);
                }
            });
        }
        self.page.batch_length()
    }

    /// One call into JavaScript for a batch. No borrow is held.
    pub(super) fn dispatch(&self, length: u32) {
        if self.js_dead.get() {
            return;
        }
        let Some(callee) = self.callee.borrow().clone() else { return };
        count(&self.counters.rounds);
        count(&self.counters.dispatches);
        self.publish();
        let was_poisoned = self.poisoned.get();
        self.dispatching.set(true);
        let mut outcome = self.js.call_back(callee.context, &callee.function, Some(length));
        self.dispatching.set(false);
        // A panic in a call that JavaScript made from there: it had looked before that whether all is well.
        if was_poisoned != self.poisoned.get() && outcome != Called::Dead {
            outcome = self.js.call_back(callee.context, &callee.function, Some(0));
        }
        if outcome == Called::Dead {
            self.js_dead.set(true);
        }
    }

    /// JavaScript may want to look at `collected()`: have the loop come by. A bridge that waits for its timer looks at all of it then.
    pub(super) fn nudge(&self) {
        if self.stage.get() == Stage::Open && !self.ending.get() && !self.retry_armed.get() {
            self.handles().set_idle(true);
        }
    }
}

/// Runs a callback of the event loop: nothing unwinds into libuv.
///
/// # Safety
/// `handle` is a handle that [`uv::Handles::open`] made for a bridge, not yet gone.
pub(super) unsafe fn enter_bridge(handle: *mut Handle, body: impl FnOnce(&Bridge)) {
    // SAFETY: one of our handles, as promised by the caller.
    let data = unsafe { uv::data(handle) }.cast::<Bridge>();
    // SAFETY: `data` is the loop's strong count, which the last close callback gives back, and this is not after it.
    unsafe { Rc::increment_strong_count(data) };
    // SAFETY: takes over the count just added, so that the bridge outlives `body` whatever that does.
    let bridge = unsafe { Rc::from_raw(data) };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&bridge))) {
        let first = !bridge.poisoned.get();
        bridge.poison();
        if first && !bridge.ending.get() {
            bridge.js.report(panic_failure(&*panic));
        }
    }
}

/// `uv_prepare_cb`.
pub(super) unsafe extern "C" fn on_prepare(handle: *mut Handle) {
    // SAFETY: libuv calls with a handle of ours.
    unsafe { enter_bridge(handle, Bridge::turn) };
}

/// `uv_poll_cb`: the eventfd is readable.
pub(super) unsafe extern "C" fn on_readable(handle: *mut Handle, _status: i32, _events: i32) {
    let body = |bridge: &Bridge| {
        if let Some(proactor) = &mut *bridge.proactor.borrow_mut() {
            proactor.clear_event();
        }
        count(&bridge.counters.wakes);
        if bridge.may_pump() && bridge.work_remains() {
            bridge.pump();
        }
    };
    // SAFETY: libuv calls with a handle of ours.
    unsafe { enter_bridge(handle, body) };
}

/// `uv_idle_cb`: being active is all that an idle handle does.
pub(super) unsafe extern "C" fn on_idle(_handle: *mut Handle) {}

/// `uv_timer_cb`: an enter that the kernel refused is tried again.
pub(super) unsafe extern "C" fn on_retry(handle: *mut Handle) {
    let body = |bridge: &Bridge| {
        bridge.retry_armed.set(false);
        bridge.turn();
    };
    // SAFETY: libuv calls with a handle of ours.
    unsafe { enter_bridge(handle, body) };
}
