//! Node-API, each call that the bridge needs wrapped once, so that the rest of the bridge reads as what it does.
//!
//! Owns nothing but [`Reference`]s. Everything here runs on the environment's own thread. Two things can go wrong in every call:
//! JavaScript throws, or JavaScript cannot run any more (a terminating worker); both come back as [`Failure::Pending`], and the
//! caller decides whether that ends a method (the exception is already where JavaScript will find it) or ends dispatching.

use std::ffi::c_void;
use std::ptr::{self, NonNull};

use napi::sys;

use crate::uv;

/// Why a method throws.
pub enum Failure {
    /// An exception is pending already, or none can be thrown any more.
    Pending,
    /// An error to be made and thrown.
    Thrown(Box<Thrown>),
}

/// An error that JavaScript will see.
pub struct Thrown {
    kind: Kind,
    code: &'static str,
    message: String,
    details: Vec<(&'static str, Property)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Error,
    Type,
    Range,
}

/// A property of an error besides its code.
pub enum Property {
    /// A number.
    Number(i32),
    /// A string.
    Text(String),
}

impl Failure {
    /// An `Error`.
    pub fn error(code: &'static str, message: impl Into<String>) -> Failure {
        Self::new(Kind::Error, code, message.into())
    }

    /// A `TypeError`.
    pub fn wrong_type(message: impl Into<String>) -> Failure {
        Self::new(Kind::Type, "ERR_INVALID_ARG_TYPE", message.into())
    }

    /// A `RangeError`.
    pub fn out_of_range(message: impl Into<String>) -> Failure {
        Self::new(Kind::Range, "ERR_OUT_OF_RANGE", message.into())
    }

    fn new(kind: Kind, code: &'static str, message: String) -> Failure {
        Failure::Thrown(Box::new(Thrown { kind, code, message, details: Vec::new() }))
    }

    /// The same error with one more property.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Property) -> Failure {
        if let Failure::Thrown(thrown) = &mut self {
            thrown.details.push((name, value));
        }
        self
    }
}

/// An environment: one JavaScript thread's Node-API.
#[derive(Clone, Copy)]
pub struct Js(sys::napi_env);

/// A strong reference: the value is alive while this is. Must be dropped on the environment's thread, before the environment.
pub struct Reference {
    js: Js,
    raw: sys::napi_ref,
}

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: made by napi_create_reference in this environment and deleted only here; the bridge drops its references before
        // it lets go of the environment.
        unsafe { sys::napi_delete_reference(self.js.0, self.raw) };
    }
}

/// Type and memory of an `ArrayBuffer`.
pub struct BufferMemory {
    /// First byte.
    pub address: NonNull<u8>,
    /// Number of bytes.
    pub length: usize,
}

/// What calling into JavaScript came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// It returned, or its exception was given to the process and the process lives on.
    Returned,
    /// JavaScript cannot run any more in this environment.
    Dead,
}

impl Js {
    /// The environment that a callback got.
    pub fn new(env: napi::Env) -> Js {
        Js(env.raw())
    }

    /// The raw pointer.
    pub fn raw(self) -> sys::napi_env {
        self.0
    }

    /// The environment's event loop.
    pub fn event_loop(self) -> Result<NonNull<uv::Loop>, Failure> {
        let mut event_loop = ptr::null_mut();
        // SAFETY: a live environment; the result is written to our variable.
        let status = unsafe { sys::napi_get_uv_event_loop(self.0, &raw mut event_loop) };
        check(status, "napi_get_uv_event_loop")?;
        NonNull::new(event_loop.cast()).ok_or_else(|| Failure::error("ERR_RITSU_SETUP", "the environment has no event loop"))
    }

    /// Runs `body` with a handle scope of its own; values made in it die with it.
    pub fn scope<R>(self, body: impl FnOnce() -> R) -> Option<R> {
        let mut scope = ptr::null_mut();
        // SAFETY: a live environment on its own thread; closed below, in order.
        let status = unsafe { sys::napi_open_handle_scope(self.0, &raw mut scope) };
        if status != sys::Status::napi_ok {
            return None;
        }
        let result = body();
        // SAFETY: the scope opened above, and `body` closed all that it opened.
        unsafe { sys::napi_close_handle_scope(self.0, scope) };
        Some(result)
    }

    /// Keeps an object alive.
    pub fn reference(self, value: sys::napi_value) -> Result<Reference, Failure> {
        let mut raw = ptr::null_mut();
        // SAFETY: `value` is a value of the current scope.
        let status = unsafe { sys::napi_create_reference(self.0, value, 1, &raw mut raw) };
        check(status, "napi_create_reference")?;
        Ok(Reference { js: self, raw })
    }

    /// The object of a reference, in the current scope.
    pub fn dereference(self, reference: &Reference) -> Result<sys::napi_value, Failure> {
        let mut value = ptr::null_mut();
        // SAFETY: the reference is alive and of this environment.
        let status = unsafe { sys::napi_get_reference_value(self.0, reference.raw, &raw mut value) };
        check(status, "napi_get_reference_value")?;
        Ok(value)
    }

    /// An async context, in which all callbacks of one proactor run.
    pub fn async_context(self, name: &str) -> Result<sys::napi_async_context, Failure> {
        let name = self.string(name)?;
        let mut context = ptr::null_mut();
        // SAFETY: a null resource asks Node to make and keep one.
        let status = unsafe { sys::napi_async_init(self.0, ptr::null_mut(), name, &raw mut context) };
        check(status, "napi_async_init")?;
        Ok(context)
    }

    /// Ends an async context.
    pub fn destroy_async_context(self, context: sys::napi_async_context) {
        // SAFETY: made by `async_context`, destroyed once, by the bridge's last step.
        unsafe { sys::napi_async_destroy(self.0, context) };
    }

    /// Calls `function` as the event loop calls back: with a callback scope, so that microtasks and `nextTick`s run before this
    /// returns. An exception goes to the process's handlers, as one of a timer would.
    pub fn call_back(self, context: sys::napi_async_context, function: &Reference, argument: Option<u32>) -> Called {
        self.scope(|| {
            let Ok(callee) = self.dereference(function) else { return Called::Dead };
            let mut arguments = [ptr::null_mut(); 1];
            if let Some(number) = argument {
                // SAFETY: writes a new value of the current scope.
                unsafe { sys::napi_create_uint32(self.0, number, &raw mut arguments[0]) };
            }
            let count = usize::from(argument.is_some());
            let mut result = ptr::null_mut();
            // SAFETY: all values are of the current scope, and no Rust borrow is held here: JavaScript may call every method.
            let status =
                unsafe { sys::napi_make_callback(self.0, context, callee, callee, count, arguments.as_ptr(), &raw mut result) };
            if status == sys::Status::napi_ok { Called::Returned } else { self.report_exception() }
        })
        .unwrap_or(Called::Dead)
    }

    /// Gives a pending exception to `process.on('uncaughtException')`, or to the end of the process.
    fn report_exception(self) -> Called {
        let mut pending = false;
        // SAFETY: only reads the environment's state.
        let status = unsafe { sys::napi_is_exception_pending(self.0, &raw mut pending) };
        if status != sys::Status::napi_ok || !pending {
            return Called::Dead;
        }
        let mut exception = ptr::null_mut();
        // SAFETY: an exception is pending; it becomes a value of the current scope.
        let status = unsafe { sys::napi_get_and_clear_last_exception(self.0, &raw mut exception) };
        if status != sys::Status::napi_ok || exception.is_null() {
            return Called::Dead;
        }
        // SAFETY: `exception` is a value of the current scope.
        let status = unsafe { sys::napi_fatal_exception(self.0, exception) };
        if status == sys::Status::napi_ok { Called::Returned } else { Called::Dead }
    }

    /// Gives a failure to the process's handlers, where no caller could catch it.
    pub fn report(self, failure: Failure) {
        let Failure::Thrown(thrown) = failure else { return };
        self.scope(|| {
            if let Ok(error) = self.error_object(&thrown) {
                // SAFETY: `error` is a value of the current scope.
                unsafe { sys::napi_fatal_exception(self.0, error) };
            }
        });
    }

    /// Throws the failure; the result is what a napi method returns then.
    pub fn throw(self, failure: Failure) -> napi::Error {
        if let Failure::Thrown(thrown) = failure
            && let Ok(error) = self.error_object(&thrown)
        {
            // SAFETY: `error` is a value of the current scope.
            unsafe { sys::napi_throw(self.0, error) };
        }
        napi::Error::new(napi::Status::PendingException, "an exception is pending")
    }

    fn error_object(self, thrown: &Thrown) -> Result<sys::napi_value, Failure> {
        let code = self.string(thrown.code)?;
        let message = self.string(&thrown.message)?;
        let create = match thrown.kind {
            Kind::Error => sys::napi_create_error,
            Kind::Type => sys::napi_create_type_error,
            Kind::Range => sys::napi_create_range_error,
        };
        let mut error = ptr::null_mut();
        // SAFETY: both values are strings of the current scope.
        let status = unsafe { create(self.0, code, message, &raw mut error) };
        check(status, "napi_create_error")?;
        for (name, property) in &thrown.details {
            let value = match property {
                Property::Number(number) => self.number(f64::from(*number))?,
                Property::Text(text) => self.string(text)?,
            };
            let key = self.string(name)?;
            // SAFETY: all three are values of the current scope.
            unsafe { sys::napi_set_property(self.0, error, key, value) };
        }
        Ok(error)
    }

    fn string(self, text: &str) -> Result<sys::napi_value, Failure> {
        let mut value = ptr::null_mut();
        // SAFETY: pointer and length are of one live string.
        let status =
            unsafe { sys::napi_create_string_utf8(self.0, text.as_ptr().cast(), text.len().cast_signed(), &raw mut value) };
        check(status, "napi_create_string_utf8")?;
        Ok(value)
    }

    fn number(self, number: f64) -> Result<sys::napi_value, Failure> {
        let mut value = ptr::null_mut();
        // SAFETY: writes a new value of the current scope.
        let status = unsafe { sys::napi_create_double(self.0, number, &raw mut value) };
        check(status, "napi_create_double")?;
        Ok(value)
    }

    /// The memory of an `ArrayBuffer` that can be lent: not shared, not detached, not resizable, not empty.
    pub fn lendable_memory(self, value: sys::napi_value) -> Result<BufferMemory, Failure> {
        self.buffer_memory(value)?;
        if self.flag(value, "resizable")? {
            return Err(Failure::wrong_type("the ArrayBuffer is resizable"));
        }
        self.buffer_memory(value) // only now: the property may have been a getter, which is any code
    }

    /// The memory of an `ArrayBuffer` that is not shared, detached or empty, for as long as no JavaScript runs. Asking runs none.
    pub fn buffer_memory(self, value: sys::napi_value) -> Result<BufferMemory, Failure> {
        let mut is = false;
        // SAFETY: `value` is a value of the current scope, here and below.
        let status = unsafe { sys::napi_is_arraybuffer(self.0, value, &raw mut is) };
        check(status, "napi_is_arraybuffer")?;
        if !is {
            return Err(Failure::wrong_type("the memory must be an ArrayBuffer (not a view, not shared)"));
        }
        // SAFETY: see above.
        let status = unsafe { sys::napi_is_detached_arraybuffer(self.0, value, &raw mut is) };
        check(status, "napi_is_detached_arraybuffer")?;
        if is {
            return Err(Failure::wrong_type("the ArrayBuffer is detached"));
        }
        let (mut address, mut length) = (ptr::null_mut(), 0);
        // SAFETY: see above; the value is an ArrayBuffer.
        let status = unsafe { sys::napi_get_arraybuffer_info(self.0, value, &raw mut address, &raw mut length) };
        check(status, "napi_get_arraybuffer_info")?;
        match NonNull::new(address.cast::<u8>()) {
            Some(address) if length > 0 => Ok(BufferMemory { address, length }),
            _ => Err(Failure::out_of_range("the ArrayBuffer is empty")),
        }
    }

    /// Whether a property is `true`; not there is `false`.
    pub fn flag(self, object: sys::napi_value, name: &str) -> Result<bool, Failure> {
        let key = self.string(name)?;
        let mut value = ptr::null_mut();
        // SAFETY: object and key are values of the current scope.
        let status = unsafe { sys::napi_get_property(self.0, object, key, &raw mut value) };
        check(status, "napi_get_property")?;
        let mut is = false;
        // SAFETY: `value` was just made. Anything but a boolean leaves `is` alone.
        unsafe { sys::napi_get_value_bool(self.0, value, &raw mut is) };
        Ok(is)
    }

    /// A whole number within `least..=most`; anything else throws, naming `name`.
    pub fn whole_number(self, value: sys::napi_value, name: &str, least: u64, most: u64) -> Result<u64, Failure> {
        let mut kind = 0;
        // SAFETY: `value` is a value of the current scope, here and below.
        let status = unsafe { sys::napi_typeof(self.0, value, &raw mut kind) };
        check(status, "napi_typeof")?;
        if kind != sys::ValueType::napi_number {
            return Err(Failure::wrong_type(format!("{name} must be a number")));
        }
        let mut number = 0.0;
        // SAFETY: see above; the value is a number.
        let status = unsafe { sys::napi_get_value_double(self.0, value, &raw mut number) };
        check(status, "napi_get_value_double")?;
        if number.fract() != 0.0 || !(least as f64..=most as f64).contains(&number) {
            return Err(Failure::out_of_range(format!("{name} must be a whole number from {least} to {most}, not {number}")));
        }
        Ok(number as u64)
    }

    /// What `typeof` says.
    pub fn kind(self, value: sys::napi_value) -> Result<sys::napi_valuetype, Failure> {
        let mut kind = 0;
        // SAFETY: `value` is a value of the current scope.
        let status = unsafe { sys::napi_typeof(self.0, value, &raw mut kind) };
        check(status, "napi_typeof")?;
        Ok(kind)
    }

    /// A property of an object; getters run, so JavaScript may.
    pub fn property(self, object: sys::napi_value, name: &str) -> Result<sys::napi_value, Failure> {
        let key = self.string(name)?;
        let mut value = ptr::null_mut();
        // SAFETY: object and key are values of the current scope.
        let status = unsafe { sys::napi_get_property(self.0, object, key, &raw mut value) };
        check(status, "napi_get_property")?;
        Ok(value)
    }

    /// The elements of an array.
    pub fn elements(self, value: sys::napi_value, name: &str, most: u32) -> Result<Vec<sys::napi_value>, Failure> {
        let mut is = false;
        // SAFETY: `value` is a value of the current scope, here and below.
        let status = unsafe { sys::napi_is_array(self.0, value, &raw mut is) };
        check(status, "napi_is_array")?;
        if !is {
            return Err(Failure::wrong_type(format!("{name} must be an array")));
        }
        let mut length = 0;
        // SAFETY: see above; the value is an array.
        let status = unsafe { sys::napi_get_array_length(self.0, value, &raw mut length) };
        check(status, "napi_get_array_length")?;
        if length > most {
            return Err(Failure::out_of_range(format!("{name} has {length} elements; at most {most} are possible")));
        }
        let element = |index| {
            let mut element = ptr::null_mut();
            // SAFETY: see above; a missing element is undefined.
            let status = unsafe { sys::napi_get_element(self.0, value, index, &raw mut element) };
            check(status, "napi_get_element").map(|()| element)
        };
        (0..length).map(element).collect()
    }

    /// An `ArrayBuffer` over memory that is not JavaScript's. `finalize(address, hint)` is called once, on this thread, when
    /// nothing in JavaScript reaches the memory any more, also through `transfer()`, or when the environment ends.
    ///
    /// # Safety
    /// The memory stays valid until `finalize` is called. On failure it has not been called, and will not be, unless the
    /// second value of the error says so.
    pub unsafe fn external_buffer(
        self,
        memory: &BufferMemory,
        finalize: unsafe extern "C" fn(sys::napi_env, *mut c_void, *mut c_void),
        hint: *mut c_void,
    ) -> Result<sys::napi_value, (Failure, Uncertain)> {
        let mut value = ptr::null_mut();
        // SAFETY: as promised by the caller.
        let status = unsafe {
            sys::napi_create_external_arraybuffer(
                self.0,
                memory.address.as_ptr().cast(),
                memory.length,
                Some(finalize),
                hint,
                &raw mut value,
            )
        };
        if status == sys::Status::napi_no_external_buffers_allowed {
            let message = "this runtime does not allow ArrayBuffers over foreign memory (V8 memory cage); \
                           ritsu never copies a pool, so it cannot run here";
            return Err((Failure::error("ERR_RITSU_EXTERNAL_BUFFERS", message), Uncertain(false)));
        }
        // A pending exception means that nothing ran; any other failure lies behind the point where the finalizer was handed over.
        let uncertain = Uncertain(status != sys::Status::napi_pending_exception);
        check(status, "napi_create_external_arraybuffer").map_err(|failure| (failure, uncertain))?;
        Ok(value)
    }
}

/// Turns a status into a failure. A pending exception stays where it is.
fn check(status: sys::napi_status, what: &str) -> Result<(), Failure> {
    match status {
        sys::Status::napi_ok => Ok(()),
        sys::Status::napi_pending_exception | sys::Status::napi_cannot_run_js => Err(Failure::Pending),
        status => Err(Failure::error("ERR_RITSU_NODE_API", format!("{what} failed with status {status}"))),
    }
}

/// Whether a finalizer may have been handed over although the call failed.
pub struct Uncertain(pub bool);
