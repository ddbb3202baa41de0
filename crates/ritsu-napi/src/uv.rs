//! libuv: the few calls that put a proactor into an environment's event loop, declared by hand.
//!
//! Node exports libuv's symbols to addons. A handle's size differs between versions, so each is allocated by
//! `uv_handle_size` and only ever touched through functions. [`Handles`] owns four: `poll` on the ring's eventfd,
//! `prepare`, `idle` and `timer`. States: open (all four initialised, `data` set) -> closing (`close` was called) -> gone
//! (each memory freed in its own close callback, never before). Only the bridge calls this, on the loop's thread.

use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::RawFd;
use std::ptr::NonNull;

/// `uv_loop_t`, opaque.
#[repr(C)]
pub struct Loop {
    _opaque: [u8; 0],
}

/// `uv_handle_t`, opaque; every handle starts with it.
#[repr(C)]
pub struct Handle {
    _opaque: [u8; 0],
}

/// Callback of a prepare, idle, timer or closed handle.
pub type Callback = unsafe extern "C" fn(*mut Handle);
/// Callback of a poll handle: handle, status, events.
pub type PollCallback = unsafe extern "C" fn(*mut Handle, c_int, c_int);

/// Places in `uv_handle_type`, an enum that libuv only ever appends to.
const UV_IDLE: c_int = 6;
const UV_POLL: c_int = 8;
const UV_PREPARE: c_int = 9;
const UV_TIMER: c_int = 13;
/// `UV_READABLE` of `enum uv_poll_event`.
const UV_READABLE: c_int = 1;

/// How many handles one proactor has; so many close callbacks follow [`Handles::close`].
pub const HANDLE_COUNT: u32 = 4;

// SAFETY: as uv.h declares them; Node exports these symbols.
unsafe extern "C" {
    safe fn uv_handle_size(kind: c_int) -> usize;
    fn uv_handle_set_data(handle: *mut Handle, data: *mut c_void);
    fn uv_handle_get_data(handle: *const Handle) -> *mut c_void;
    fn uv_ref(handle: *mut Handle);
    fn uv_unref(handle: *mut Handle);
    fn uv_close(handle: *mut Handle, callback: Option<Callback>);
    fn uv_poll_init(event_loop: *mut Loop, handle: *mut Handle, fd: c_int) -> c_int;
    fn uv_poll_start(handle: *mut Handle, events: c_int, callback: PollCallback) -> c_int;
    fn uv_prepare_init(event_loop: *mut Loop, handle: *mut Handle) -> c_int;
    fn uv_prepare_start(handle: *mut Handle, callback: Callback) -> c_int;
    fn uv_idle_init(event_loop: *mut Loop, handle: *mut Handle) -> c_int;
    fn uv_idle_start(handle: *mut Handle, callback: Callback) -> c_int;
    fn uv_idle_stop(handle: *mut Handle) -> c_int;
    fn uv_timer_init(event_loop: *mut Loop, handle: *mut Handle) -> c_int;
    fn uv_timer_start(handle: *mut Handle, callback: Callback, timeout_ms: u64, repeat_ms: u64) -> c_int;
    safe fn uv_version() -> c_uint;
}

/// What the loop calls for one proactor.
pub struct Callbacks {
    /// The eventfd is readable.
    pub poll: PollCallback,
    /// The loop is about to wait.
    pub prepare: Callback,
    /// Does nothing: an active idle handle makes the wait return at once.
    pub idle: Callback,
    /// A retry is due.
    pub timer: Callback,
    /// One handle is closed; must call [`free`] on it.
    pub closed: Callback,
}

/// The four handles of one proactor.
pub struct Handles {
    poll: *mut Handle,
    prepare: *mut Handle,
    idle: *mut Handle,
    timer: *mut Handle,
    callbacks: Callbacks,
    idle_started: Cell<bool>,
    closing: Cell<bool>,
}

impl Handles {
    /// Puts the handles into `event_loop`: `poll` on `fd` and `prepare` start at once, none keeps the loop alive.
    /// On failure nothing is left behind but handles on their way through `callbacks.closed`; the second value says
    /// how many those are.
    ///
    /// # Safety
    /// `event_loop` is the current thread's live loop, `fd` stays open until `close`, and `data` stays valid until the
    /// last close callback.
    pub unsafe fn open(
        event_loop: NonNull<Loop>,
        fd: RawFd,
        data: *mut c_void,
        callbacks: Callbacks,
    ) -> Result<Handles, (c_int, u32)> {
        let event_loop = event_loop.as_ptr();
        // SAFETY: memory of the handle's size, on the loop given; of these inits only this one can fail, and nothing is linked then.
        let poll = make(UV_POLL, data, |handle| unsafe { uv_poll_init(event_loop, handle, fd) }).map_err(|status| (status, 0))?;
        // SAFETY: as above. libuv implements the other three as returning 0, always.
        let prepare = make(UV_PREPARE, data, |handle| unsafe { uv_prepare_init(event_loop, handle) });
        // SAFETY: as above.
        let idle = make(UV_IDLE, data, |handle| unsafe { uv_idle_init(event_loop, handle) });
        // SAFETY: as above.
        let timer = make(UV_TIMER, data, |handle| unsafe { uv_timer_init(event_loop, handle) });
        let handles = Handles {
            poll,
            prepare: prepare.expect("libuv: uv_prepare_init returns 0"),
            idle: idle.expect("libuv: uv_idle_init returns 0"),
            timer: timer.expect("libuv: uv_timer_init returns 0"),
            callbacks,
            idle_started: Cell::new(false),
            closing: Cell::new(false),
        };
        // SAFETY: initialised above, and not closing.
        unsafe { uv_prepare_start(handles.prepare, handles.callbacks.prepare) };
        // SAFETY: initialised above, and not closing.
        let status = unsafe { uv_poll_start(handles.poll, UV_READABLE, handles.callbacks.poll) };
        if status != 0 {
            handles.close();
            return Err((status, HANDLE_COUNT));
        }
        Ok(handles)
    }

    /// Keeps the loop alive (`true`) or lets it end (`false`).
    pub fn set_referenced(&self, on: bool) {
        if self.closing.get() {
            return;
        }
        let change = if on { uv_ref } else { uv_unref };
        // SAFETY: not closing, so the handle is live; both are idempotent.
        unsafe { change(self.poll) };
    }

    /// While on, the loop does not wait for events but turns again at once.
    pub fn set_idle(&self, on: bool) {
        if self.closing.get() || self.idle_started.replace(on) == on {
            return;
        }
        if on {
            // SAFETY: not closing, so the handle is live.
            unsafe { uv_idle_start(self.idle, self.callbacks.idle) };
        } else {
            // SAFETY: not closing, so the handle is live.
            unsafe { uv_idle_stop(self.idle) };
        }
    }

    /// Calls the timer callback once, `milliseconds` from now.
    pub fn start_timer(&self, milliseconds: u64) {
        if self.closing.get() {
            return;
        }
        // SAFETY: not closing, so the handle is live.
        unsafe {
            uv_timer_start(self.timer, self.callbacks.timer, milliseconds, 0);
        }
    }

    /// Closes all handles; [`HANDLE_COUNT`] close callbacks follow, from the loop. Safe to call twice.
    pub fn close(&self) {
        if self.closing.replace(true) {
            return;
        }
        for handle in [self.poll, self.prepare, self.idle, self.timer] {
            // SAFETY: the handle is live and this is the only call of uv_close for it.
            unsafe { uv_close(handle, Some(self.callbacks.closed)) };
        }
    }
}

/// The `data` given to [`Handles::open`].
///
/// # Safety
/// `handle` comes from libuv's callback for one of our handles.
pub unsafe fn data(handle: *mut Handle) -> *mut c_void {
    // SAFETY: as promised by the caller.
    unsafe { uv_handle_get_data(handle) }
}

/// Frees a handle's memory.
///
/// # Safety
/// Called once for a handle, from its close callback.
pub unsafe fn free(handle: *mut Handle) {
    // SAFETY: the memory came from `allocate`; libuv is done with a handle when it calls its close callback.
    unsafe { libc::free(handle.cast()) };
}

/// libuv's version as one number, major << 16 | minor << 8 | patch.
pub fn version() -> u32 {
    uv_version()
}

/// Allocates a handle, initialises it, and lets it not keep the loop alive.
fn make(kind: c_int, data: *mut c_void, init: impl FnOnce(*mut Handle) -> c_int) -> Result<*mut Handle, c_int> {
    // SAFETY: plain allocation, checked below.
    let memory = unsafe { libc::calloc(1, uv_handle_size(kind)) };
    assert!(!memory.is_null(), "no memory for a handle");
    let handle = memory.cast::<Handle>();
    let status = init(handle);
    if status != 0 {
        // SAFETY: ours, and a failed init has not linked it into the loop.
        unsafe { libc::free(memory) };
        return Err(status);
    }
    // SAFETY: initialised.
    unsafe { uv_handle_set_data(handle, data) };
    // SAFETY: initialised.
    unsafe { uv_unref(handle) };
    Ok(handle)
}
