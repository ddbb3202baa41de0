//! One function for JavaScript: `enableSqpoll()`. It must run before the loop's first asynchronous file operation,
//! for libuv decides then, once and for all, whether the loop has a ring.
//!
//! Written against the C interfaces themselves: three functions do not deserve a dependency.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

type Env = *mut c_void;
type Value = *mut c_void;
type CallbackInfo = *mut c_void;
type Callback = unsafe extern "C" fn(Env, CallbackInfo) -> Value;

const NAPI_OK: c_int = 0;
/// `NAPI_AUTO_LENGTH`: the text ends at its NUL.
const AUTO_LENGTH: usize = usize::MAX;
/// `UV_LOOP_USE_IO_URING_SQPOLL` in uv.h (libuv 1.49 and newer).
const USE_IO_URING_SQPOLL: c_int = 2;

// SAFETY: the signatures are those of node_api.h and uv.h, which Node and libuv keep stable.
unsafe extern "C" {
    fn napi_get_uv_event_loop(env: Env, uv_loop: *mut *mut c_void) -> c_int;
    fn napi_create_function(
        env: Env,
        name: *const c_char,
        length: usize,
        callback: Callback,
        data: *mut c_void,
        result: *mut Value,
    ) -> c_int;
    fn napi_set_named_property(env: Env, object: Value, name: *const c_char, value: Value) -> c_int;
    fn napi_create_int32(env: Env, value: i32, result: *mut Value) -> c_int;
    fn uv_loop_configure(uv_loop: *mut c_void, option: c_int, ...) -> c_int;
}

/// Returns libuv's answer: 0, or a negative errno when this libuv has no such option.
unsafe extern "C" fn enable_sqpoll(env: Env, _info: CallbackInfo) -> Value {
    let mut uv_loop = ptr::null_mut();
    let mut result = ptr::null_mut();
    // SAFETY: Node calls this on the environment's own thread with a live `env`; `uv_loop` is an out parameter.
    let status = unsafe { napi_get_uv_event_loop(env, &raw mut uv_loop) };
    let answer = if status == NAPI_OK {
        // SAFETY: the loop belongs to this thread, and the option takes no further argument.
        unsafe { uv_loop_configure(uv_loop, USE_IO_URING_SQPOLL) }
    } else {
        -1
    };
    // SAFETY: as above; a failure leaves `result` null, which Node reads as undefined.
    unsafe { napi_create_int32(env, answer, &raw mut result) };
    result
}

/// # Safety
///
/// Called by Node alone, once per environment, on its thread, with live handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn napi_register_module_v1(env: Env, exports: Value) -> Value {
    let name = c"enableSqpoll";
    let mut function = ptr::null_mut();
    // SAFETY: the caller's promise; the name is NUL-terminated and `function` is an out parameter.
    let status =
        unsafe { napi_create_function(env, name.as_ptr(), AUTO_LENGTH, enable_sqpoll, ptr::null_mut(), &raw mut function) };
    if status == NAPI_OK {
        // SAFETY: as above, and `function` was just made.
        unsafe { napi_set_named_property(env, exports, name.as_ptr(), function) };
    }
    exports
}
