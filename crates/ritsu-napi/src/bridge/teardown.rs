//! The three ways to the end: `close()` when nothing is in flight, `abandon()` when something will not come back in time, and the
//! end of the environment at any moment. All meet in [`Bridge::finish`], in the last handle's close callback: only then is the
//! memory gone that libuv knows, and only then is the cleanup hook removed that holds the environment open.
//!
//! A block is retired by its op's final completion and nothing else, so each way drains first; past its deadline the core leaks
//! the memory and counts it.

use std::ffi::c_void;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use napi::bindgen_prelude::{JsValue, Unknown};
use napi::sys;
use ritsu::Proactor;

use super::js::Failure;
use super::{Bridge, SIBLINGS, Stage, closed_failure, pump};
use crate::abi::word;
use crate::uv::{self, Handle};

/// How long an ending environment waits for the kernel.
const END_DEADLINE: Duration = Duration::from_secs(1);
/// An `abandon` longer than this is a mistake.
const ABANDON_MS_MAX: u64 = 600_000;

impl Bridge {
    /// Has the environment call us when it ends.
    pub(super) fn add_hook(&self, data: *mut c_void) -> Result<(), Failure> {
        let mut hook = ptr::null_mut();
        // SAFETY: a live environment; `data` is the loop's strong count, given back only after the hook is removed.
        let status = unsafe { sys::napi_add_async_cleanup_hook(self.js.raw(), Some(on_environment_end), data, &raw mut hook) };
        if status != sys::Status::napi_ok {
            return Err(Failure::error("ERR_RITSU_NODE_API", format!("the cleanup hook was refused, status {status}")));
        }
        self.hook.set(hook);
        Ok(())
    }

    /// `close(callback)`: nothing is in flight, or what is was abandoned.
    pub fn close(&self, callback: Unknown<'_>) -> Result<(), Failure> {
        if self.js.kind(callback.raw())? != sys::ValueType::napi_function {
            return Err(Failure::wrong_type("callback must be a function"));
        }
        if self.stage.get() > Stage::Refusing {
            return Err(closed_failure());
        }
        if self.stage.get() == Stage::Open {
            let in_flight = self.proactor.borrow().as_ref().map_or(0, Proactor::in_flight);
            let told = self.page.word(word::SUBMISSION_COUNT) == 0 && self.stash.borrow().is_empty();
            if in_flight > 0 || !told {
                return Err(Failure::error("ERR_RITSU_BUSY", format!("{in_flight} ops are in flight")));
            }
        }
        self.close_callback.replace(Some(self.js.reference(callback.raw())?));
        self.begin_closing();
        Ok(())
    }

    /// `abandon(deadlineMs)`: cancels everything and waits, blocking; how many ops the kernel still has. Their outcomes, and those of
    /// the ops that ended, are told to nobody.
    pub fn abandon(&self, deadline: Unknown<'_>) -> Result<u32, Failure> {
        let milliseconds = self.js.whole_number(deadline.raw(), "deadlineMs", 0, ABANDON_MS_MAX)?;
        let deadline = Instant::now() + Duration::from_millis(milliseconds);
        let remaining = self.with_proactor(|proactor| {
            self.consume(proactor);
            Ok(proactor.drain(deadline, &mut drop).remaining)
        })?;
        self.stash.take();
        self.refuse_work();
        self.handles().set_idle(false);
        self.sync_reference();
        self.publish();
        Ok(remaining)
    }

    fn begin_closing(&self) {
        self.refuse_work();
        self.stage.set(Stage::Closing);
        self.page.set_word(word::REFERENCED, 0);
        self.handles().close();
    }

    /// The environment ends: JavaScript does not run any more, the thread soon neither.
    fn end(&self) {
        self.ending.set(true);
        self.page.set_word(word::CLOSED, 1);
        if self.stage.get() > Stage::Refusing {
            return;
        }
        let drained = catch_unwind(AssertUnwindSafe(|| {
            if let Some(proactor) = &mut *self.proactor.borrow_mut() {
                // Memory of our own can be leaked past the deadline. JavaScript's cannot: it goes with its heap, so as long as the
                // kernel may have some of it, the thread has to wait.
                while proactor.drain(Instant::now() + END_DEADLINE, &mut drop).remaining > 0 && !self.pins.borrow().is_empty() {}
            }
        }));
        if drained.is_err() {
            self.poisoned.set(true);
        }
        self.begin_closing();
    }

    /// All handles are closed: drops everything, tells JavaScript if it still runs, lets the environment go.
    pub(super) fn finish(&self) {
        let proactor = self.proactor.take();
        if self.poisoned.get() {
            // A core that broke a rule must not free what the kernel may still write to.
            mem::forget(proactor);
        } else {
            // Its own drop drains once more, or leaks. A panic in it leaves the rest to us all the same.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(proactor)));
        }
        self.stash.take();
        self.stage.set(Stage::Gone);
        let _ = SIBLINGS.try_with(|siblings| siblings.borrow_mut().retain(|other| !ptr::eq(other.as_ptr(), self)));
        let callback = self.close_callback.take();
        let callee = self.callee.borrow().clone();
        if let (Some(callback), Some(callee), false) = (&callback, &callee, self.ending.get()) {
            self.js.call_back(callee.context, callback, None);
        }
        drop(callback);
        drop(callee);
        self.release_javascript();
        // SAFETY: added in `add_hook`, removed once, here.
        unsafe { sys::napi_remove_async_cleanup_hook(self.hook.replace(ptr::null_mut())) };
        // SAFETY: the loop's strong count from `open`; whoever called us holds another.
        unsafe { Rc::decrement_strong_count(ptr::from_ref(self)) };
    }

    /// Drops every reference into JavaScript.
    pub(super) fn release_javascript(&self) {
        drop(self.pins.take());
        if let Some(callee) = self.callee.take() {
            self.js.destroy_async_context(callee.context);
        }
    }
}

/// `napi_async_cleanup_hook`.
unsafe extern "C" fn on_environment_end(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    let data = data.cast::<Bridge>();
    // SAFETY: the loop's strong count; the hook is removed before that is given back.
    unsafe { Rc::increment_strong_count(data) };
    // SAFETY: takes over the count just added.
    let bridge = unsafe { Rc::from_raw(data) };
    let _ = catch_unwind(AssertUnwindSafe(|| bridge.end()));
}

/// `uv_close_cb` of each handle.
pub(super) unsafe extern "C" fn on_closed(handle: *mut Handle) {
    let body = |bridge: &Bridge| {
        // SAFETY: libuv calls this once for a handle, when it is done with it. `data` was read before.
        unsafe { uv::free(handle) };
        bridge.unclosed.set(bridge.unclosed.get() - 1);
        if bridge.unclosed.get() == 0 {
            bridge.finish();
        }
    };
    // SAFETY: libuv calls with a handle of ours.
    unsafe { pump::enter_bridge(handle, body) };
}
