//! The bridge: one proactor inside one environment's event loop.
//!
//! Owns the shared page, the core's proactor, four libuv handles, the pins and the list of exposed blocks. Split by what happens
//! when: `pump` (every turn of the loop), `exposure` (memory that JavaScript sees or lends), `teardown` (the three ways to the end);
//! `page` and `js` are the hands: the page's memory, and Node-API.
//!
//! Stages: open -> refusing (abandoned, or a panic: nothing new is taken and nothing more is dispatched) -> closing (libuv closes
//! the handles) -> gone. Who keeps it alive: the event loop, by one strong count from `open` to the last close callback,
//! and the `JavaScript` object. So an object collected without `close()` changes nothing until the environment ends.
//!
//! The rule that everything here keeps: no `RefCell` borrow and no reference into the page is alive while JavaScript runs, since
//! JavaScript may call every method from inside a dispatch.

mod exposure;
mod js;
mod page;
mod pump;
mod socket;
mod teardown;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::rc::{Rc, Weak};
use std::time::Duration;

use napi::bindgen_prelude::{JsValue, Unknown};
use napi::{Env, sys};
use ritsu::{Capability, Cause, Config, Outcome, Proactor, SetupError, Stage as SetupStage};

use crate::abi::{self, word};
use crate::uv::{Callbacks, Handles, Loop};
pub use js::Failure;
use js::{Js, Property, Reference};
use page::Page;

thread_local! {
    /// The bridges of this thread, for [`Bridge::wake_siblings`]. Their loops own them, not this list.
    static SIBLINGS: RefCell<Vec<Weak<Bridge>>> = const { RefCell::new(Vec::new()) };
}

/// `IORING_SETUP_*` by bit (`io_uring_setup(2)`), as far as the core ever sets them.
const SETUP_NAMES: [(u32, &str); 8] = [
    (3, "CQSIZE"),
    (4, "CLAMP"),
    (7, "SUBMIT_ALL"),
    (8, "COOP_TASKRUN"),
    (9, "TASKRUN_FLAG"),
    (12, "SINGLE_ISSUER"),
    (13, "DEFER_TASKRUN"),
    (16, "NO_SQARRAY"),
];

/// Where a bridge is on its way to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Takes work.
    Open,
    /// Takes nothing more, and tells nothing more.
    Refusing,
    /// libuv is closing the handles.
    Closing,
    /// Nothing is left but the page.
    Gone,
}

/// How much one turn of the loop may do before timers and other sockets get theirs.
#[derive(Debug, Clone, Copy)]
struct Budget {
    rounds: u32,
    completions: u32,
    time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { rounds: 8, completions: abi::COMPLETION_MAX, time: Duration::from_millis(1) }
    }
}

/// What the loop calls: the dispatch function, and the async context that it is called in.
struct Callee {
    function: Reference,
    context: sys::napi_async_context,
}

/// Counters that only the bridge knows.
#[derive(Default)]
struct Counters {
    wakes: Cell<u64>,
    rounds: Cell<u64>,
    dispatches: Cell<u64>,
    faults: Cell<u64>,
    budget_yields: Cell<u64>,
}

fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// See the module.
pub struct Bridge {
    js: Js,
    page: Rc<Page>,
    page_given: Cell<bool>,
    stage: Cell<Stage>,
    /// A panic came out of the core: it is not touched any more, and in the end leaked.
    poisoned: Cell<bool>,
    /// The environment is ending: JavaScript is not called any more.
    ending: Cell<bool>,
    /// `None` once closed.
    proactor: RefCell<Option<Proactor>>,
    handles: OnceCell<Handles>,
    unclosed: Cell<u32>,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    callee: RefCell<Option<Rc<Callee>>>,
    close_callback: RefCell<Option<Reference>>,
    budget: Budget,
    counters: Counters,
    /// JavaScript is in `dispatch`, or in the microtasks after it: the completion page is its to read.
    dispatching: Cell<bool>,
    js_dead: Cell<bool>,
    retry_armed: Cell<bool>,
    /// Outcomes that did not fit into a batch; they go first next time.
    stash: RefCell<VecDeque<Outcome>>,
    referenced: Cell<bool>,
    pins: RefCell<HashMap<u32, Reference>>,
    own: RefCell<HashSet<u32>>,
    exposed: RefCell<HashSet<u32>>,
    collected: RefCell<Vec<u32>>,
    collected_unseen: Cell<bool>,
}

impl Bridge {
    /// Makes a proactor and puts it into the environment's event loop. `config` is an object or undefined, `dispatch` a function.
    pub fn open(env: Env, config: Unknown<'_>, dispatch: Unknown<'_>) -> napi::Result<Rc<Bridge>> {
        let js = Js::new(env);
        let opened = catch_unwind(AssertUnwindSafe(|| Self::try_open(js, config.raw(), dispatch.raw())));
        opened.unwrap_or_else(|panic| Err(panic_failure(&*panic))).map_err(|failure| js.throw(failure))
    }

    fn try_open(js: Js, config: sys::napi_value, dispatch: sys::napi_value) -> Result<Rc<Bridge>, Failure> {
        if js.kind(dispatch)? != sys::ValueType::napi_function {
            return Err(Failure::wrong_type("dispatch must be a function"));
        }
        let (config, budget) = read_config(js, config)?;
        let event_loop = js.event_loop()?;
        let function = js.reference(dispatch)?;
        let proactor = Proactor::new(config).map_err(|error| setup_failure(&error))?;
        let context = js.async_context("ritsu")?;
        let callee = Callee { function, context };
        Self::new(js, proactor, budget, callee).enter_loop(event_loop)
    }

    fn new(js: Js, proactor: Proactor, budget: Budget, callee: Callee) -> Rc<Bridge> {
        Rc::new(Bridge {
            js,
            page: Rc::new(Page::new()),
            page_given: Cell::new(false),
            stage: Cell::new(Stage::Open),
            poisoned: Cell::new(false),
            ending: Cell::new(false),
            proactor: RefCell::new(Some(proactor)),
            handles: OnceCell::new(),
            unclosed: Cell::new(0),
            hook: Cell::new(ptr::null_mut()),
            callee: RefCell::new(Some(Rc::new(callee))),
            close_callback: RefCell::new(None),
            budget,
            counters: Counters::default(),
            dispatching: Cell::new(false),
            js_dead: Cell::new(false),
            retry_armed: Cell::new(false),
            stash: RefCell::default(),
            referenced: Cell::new(false),
            pins: RefCell::default(),
            own: RefCell::default(),
            exposed: RefCell::default(),
            collected: RefCell::default(),
            collected_unseen: Cell::new(false),
        })
    }

    /// Registers for the environment's end and puts the handles into the loop.
    fn enter_loop(self: Rc<Self>, event_loop: NonNull<Loop>) -> Result<Rc<Bridge>, Failure> {
        let bridge = self;
        let fd = bridge.with_proactor(|proactor| Ok(proactor.event_fd()))?;
        let data = Rc::into_raw(Rc::clone(&bridge)).cast_mut().cast::<c_void>();
        if let Err(failure) = bridge.add_hook(data) {
            bridge.release_javascript();
            // SAFETY: the count of `into_raw` above; nobody else took it.
            unsafe { Rc::decrement_strong_count(data.cast::<Bridge>()) };
            return Err(failure);
        }
        let callbacks = Callbacks {
            poll: pump::on_readable,
            prepare: pump::on_prepare,
            idle: pump::on_idle,
            timer: pump::on_retry,
            closed: teardown::on_closed,
        };
        // SAFETY: this thread's loop; the proactor keeps the eventfd open until after the handles are closed; `data` is a strong
        // count that the last close callback gives back.
        match unsafe { Handles::open(event_loop, fd, data, callbacks) } {
            Ok(handles) => {
                bridge.unclosed.set(crate::uv::HANDLE_COUNT);
                let _ = bridge.handles.set(handles);
                SIBLINGS.with_borrow_mut(|siblings| siblings.push(Rc::downgrade(&bridge)));
                bridge.publish();
                Ok(bridge)
            }
            Err((status, unclosed)) => {
                bridge.unclosed.set(unclosed);
                bridge.stage.set(Stage::Closing);
                if unclosed == 0 {
                    bridge.finish();
                }
                let failure = Failure::error("ERR_RITSU_SETUP", format!("libuv refused the eventfd with status {status}"));
                let stage = Property::Text("event loop".into());
                let cause = Property::Text("unknown".into());
                Err(failure.with("errno", Property::Number(-status)).with("stage", stage).with("causeKind", cause))
            }
        }
    }

    /// Runs a method: a failure is thrown, a panic rejects the proactor and is thrown.
    pub fn call<R>(&self, body: impl FnOnce(&Bridge) -> Result<R, Failure>) -> napi::Result<R> {
        let result = catch_unwind(AssertUnwindSafe(|| body(self))).unwrap_or_else(|panic| {
            self.poison();
            Err(panic_failure(&*panic))
        });
        result.map_err(|failure| self.js.throw(failure))
    }

    /// What the kernel supports.
    pub fn capability(&self) -> Result<Capability, Failure> {
        self.with_proactor(|proactor| Ok(proactor.capability().clone()))
    }

    /// The names of the ring's set-up flags.
    pub fn setup_names(capability: &Capability) -> String {
        let named = SETUP_NAMES.iter().filter(|(bit, _)| capability.setup_flags & (1 << bit) != 0);
        named.map(|(_, name)| *name).collect::<Vec<_>>().join("|")
    }

    /// `reference()`: the loop shall be kept alive, and may end before it comes to look.
    pub fn reference(&self) {
        self.sync_reference();
    }

    /// `flush()`: takes the submission page and hands it to the kernel; never calls JavaScript.
    pub fn flush(&self) -> Result<(), Failure> {
        self.with_proactor(|proactor| {
            self.consume(proactor);
            proactor.push_and_submit();
            Ok(())
        })?;
        self.publish();
        Ok(())
    }

    /// `cancelAll()`: asks the kernel to end everything that is in flight.
    pub fn cancel_all(&self) -> Result<(), Failure> {
        self.with_proactor(|proactor| {
            self.consume(proactor);
            proactor.cancel_all();
            Ok(())
        })
    }

    /// Runs `body` with the proactor; JavaScript must not run in it.
    fn with_proactor<R>(&self, body: impl FnOnce(&mut Proactor) -> Result<R, Failure>) -> Result<R, Failure> {
        match &mut *self.proactor.borrow_mut() {
            Some(proactor) if self.stage.get() == Stage::Open => body(proactor),
            _ => Err(closed_failure()),
        }
    }

    fn handles(&self) -> &Handles {
        self.handles.get().expect("set before anything can call")
    }

    fn set_referenced(&self, on: bool) {
        if self.referenced.replace(on) != on {
            self.handles().set_referenced(on);
            self.page.set_word(word::REFERENCED, u32::from(on));
        }
    }

    /// The loop is kept alive exactly while JavaScript wants it to be: there it is known who waits.
    fn sync_reference(&self) {
        let able = self.stage.get() == Stage::Open && !self.js_dead.get();
        let on = able && self.page.word(word::KEEP_ALIVE) != 0;
        if self.handles.get().is_some() {
            self.set_referenced(on);
        }
    }

    /// Writes the counters into the header.
    fn publish(&self) {
        let Ok(proactor) = self.proactor.try_borrow() else { return };
        let Some(proactor) = &*proactor else { return };
        let core = proactor.statistics();
        let own = &self.counters;
        self.page.set_counters(&[
            core.submitted as f64,
            core.completed as f64,
            core.enters as f64,
            own.wakes.get() as f64,
            own.rounds.get() as f64,
            own.dispatches.get() as f64,
            core.overflows as f64,
            own.faults.get() as f64,
            core.withdrawn as f64,
            core.cancels_sent as f64,
            core.stale as f64,
            core.retries as f64,
            core.registered_bytes as f64,
            core.pool_bytes as f64,
            core.own_bytes as f64,
            core.in_flight as f64,
            core.descriptors_open as f64,
            core.blocks_busy as f64,
            core.blocks_provided as f64,
            core.leaked_bytes as f64,
            own.budget_yields.get() as f64,
        ]);
    }

    /// Takes nothing more.
    fn refuse_work(&self) {
        if self.stage.get() == Stage::Open {
            self.stage.set(Stage::Refusing);
        }
        self.page.set_word(word::CLOSED, 1);
    }

    /// After a panic: the proactor is left alone until it is closed or the environment ends. The dispatch function is called once
    /// more, with nothing, to see `closed` and tell whoever waits.
    fn poison(&self) {
        self.refuse_work();
        if self.poisoned.replace(true) {
            return;
        }
        if let Some(handles) = self.handles.get() {
            handles.set_idle(false);
        }
        self.sync_reference();
        if !self.dispatching.get() && !self.ending.get() {
            let _ = catch_unwind(AssertUnwindSafe(|| self.dispatch(0)));
        }
    }
}

fn closed_failure() -> Failure {
    Failure::error("ERR_RITSU_PROACTOR_CLOSED", "the proactor is closed")
}

fn panic_failure(panic: &(dyn std::any::Any + Send)) -> Failure {
    Failure::error("ERR_RITSU_PANIC", format!("ritsu broke one of its own rules: {}", panic_message(panic)))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no message",
    }
}

fn setup_failure(error: &SetupError) -> Failure {
    let stage = match error.stage {
        SetupStage::Setup => "setup",
        SetupStage::Features => "features",
        SetupStage::Probe => "probe",
        SetupStage::Event => "event",
        SetupStage::RegisterEvent => "registerEvent",
        SetupStage::Trial => "trial",
    };
    let cause = match error.cause {
        Cause::Kernel => "kernel",
        Cause::Sysctl => "sysctl",
        Cause::Seccomp => "seccomp",
        Cause::Memlock => "memlock",
        Cause::Unknown => "unknown",
    };
    Failure::error("ERR_RITSU_SETUP", error.to_string())
        .with("errno", Property::Number(error.errno))
        .with("stage", Property::Text(stage.into()))
        .with("causeKind", Property::Text(cause.into()))
}

/// Reads the constructor's first argument. Getters run here, before anything exists that they could disturb.
fn read_config(js: Js, object: sys::napi_value) -> Result<(Config, Budget), Failure> {
    let (mut config, mut budget) = (Config::default(), Budget::default());
    let Some(object) = optional_object(js, object, "config")? else { return Ok((config, budget)) };
    let number = |object, name, least, most, field: &mut u32| {
        let value = js.property(object, name)?;
        if js.kind(value)? != sys::ValueType::napi_undefined {
            *field = js.whole_number(value, name, least, most)? as u32;
        }
        Ok::<(), Failure>(())
    };
    number(object, "entries", 1, 32_768, &mut config.entries)?;
    number(object, "completionEntries", 1, 65_536, &mut config.completion_entries)?;
    number(object, "inFlightMax", 1, 1 << 20, &mut config.in_flight_max)?;
    let registered = js.property(object, "registeredBytesMax")?;
    if js.kind(registered)? != sys::ValueType::napi_undefined {
        config.registered_bytes_max = js.whole_number(registered, "registeredBytesMax", 0, 1 << 40)? as usize;
    }
    let off = js.property(object, "disable")?;
    if let Some(off) = optional_object(js, off, "disable")? {
        config.multishot &= !js.flag(off, "multishot")?;
        config.buffer_select &= !js.flag(off, "bufferSelect")?;
        config.zero_copy &= !js.flag(off, "zeroCopy")?;
        if js.flag(off, "registeredBuffers")? {
            config.registered_bytes_max = 0;
        }
        if js.flag(off, "deferTaskrun")? {
            config.first_rung = Config::FIRST_RUNG_NOT_DEFERRED;
        }
    }
    let limits = js.property(object, "budget")?;
    if let Some(limits) = optional_object(js, limits, "budget")? {
        number(limits, "rounds", 1, 1 << 16, &mut budget.rounds)?;
        number(limits, "completions", 1, 1 << 20, &mut budget.completions)?;
        let mut microseconds = budget.time.as_micros() as u32;
        number(limits, "microseconds", 1, 1_000_000, &mut microseconds)?;
        budget.time = Duration::from_micros(u64::from(microseconds));
    }
    Ok((config, budget))
}

fn optional_object(js: Js, value: sys::napi_value, name: &str) -> Result<Option<sys::napi_value>, Failure> {
    match js.kind(value)? {
        sys::ValueType::napi_undefined => Ok(None),
        sys::ValueType::napi_object => Ok(Some(value)),
        _ => Err(Failure::wrong_type(format!("{name} must be an object"))),
    }
}
