//! The boundary between JavaScript and the ritsu core: every item that JavaScript sees, and nothing else.
//!
//! Ops and completions do not pass through these functions but through two shared pages (`abi`), and the event loop drives them
//! (`bridge`). What is left here is called once per proactor, per pool or per buffer. Tests are built without Node, so only the abi
//! is part of them.
#![cfg_attr(test, allow(dead_code))]

mod abi;
#[cfg(not(test))]
mod bridge;
#[cfg(not(test))]
mod uv;

#[cfg(not(test))]
mod items {
    use std::collections::HashMap;
    use std::rc::Rc;

    use napi::bindgen_prelude::{Either, Env, Result, Unknown};
    use napi_derive::napi;

    use crate::abi::{self, Opcode, word};
    use crate::bridge::Bridge;
    use crate::uv;

    /// Version of the shared pages; JavaScript refuses to load another one.
    #[napi]
    pub const ABI_VERSION: u32 = abi::ABI_VERSION;

    /// The same as `ABI_VERSION`.
    #[napi]
    pub fn abi_version() -> u32 {
        abi::ABI_VERSION
    }

    /// Where every number of the shared pages lies. Offsets and sizes in bytes, except the header's words, which are indices.
    #[napi(object)]
    pub struct Layout {
        /// Size of the page.
        pub total_bytes: u32,
        /// Size of the header.
        pub header_bytes: u32,
        /// Header words (u32) by name: index.
        pub header: HashMap<String, u32>,
        /// Byte offset of the counters (f64).
        pub counter_offset: u32,
        /// The counters' names, in their order.
        pub counters: Vec<String>,
        /// First submission record.
        pub submission_offset: u32,
        /// Size of a submission record.
        pub submission_bytes: u32,
        /// Number of submission records.
        pub submission_max: u32,
        /// Argument arena.
        pub argument_offset: u32,
        /// Its size.
        pub argument_bytes: u32,
        /// First completion record.
        pub completion_offset: u32,
        /// Size of a completion record.
        pub completion_bytes: u32,
        /// Number of completion records.
        pub completion_max: u32,
        /// Result arena.
        pub result_offset: u32,
        /// Its size.
        pub result_bytes: u32,
        /// Numbers (f64) of one file status in it.
        pub status_numbers: u32,
        /// No block, no descriptor.
        pub none: u32,
        /// Parts of one vectored op.
        pub parts_max: u32,
        /// Operation codes by name.
        pub opcodes: HashMap<String, u32>,
        /// Completion flags by name.
        pub flags: HashMap<String, u32>,
        /// Option bits by name.
        pub options: HashMap<String, u32>,
        /// Boundary faults by name.
        pub faults: HashMap<String, i32>,
    }

    /// Where every number of the shared pages lies.
    #[napi]
    pub fn layout() -> Layout {
        let named = |rows: &[(&str, u32)]| rows.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        let header = [
            ("submissionCount", word::SUBMISSION_COUNT as u32),
            ("argumentUsed", word::ARGUMENT_USED as u32),
            ("referenced", word::REFERENCED as u32),
            ("collectedCount", word::COLLECTED_COUNT as u32),
            ("closed", word::CLOSED as u32),
            ("company", word::COMPANY as u32),
            ("keepAlive", word::KEEP_ALIVE as u32),
        ];
        let faults = [
            ("OPCODE", abi::fault::OPCODE),
            ("BLOCK", abi::fault::BLOCK),
            ("RANGE", abi::fault::RANGE),
            ("ARGUMENT", abi::fault::ARGUMENT),
            ("CLOSED", abi::fault::CLOSED),
        ];
        Layout {
            total_bytes: abi::TOTAL_BYTES as u32,
            header_bytes: abi::HEADER_BYTES as u32,
            header: named(&header),
            counter_offset: abi::COUNTER_OFFSET as u32,
            counters: abi::COUNTER_NAMES.map(str::to_owned).to_vec(),
            submission_offset: abi::SUBMISSION_OFFSET as u32,
            submission_bytes: size_of::<abi::SubmissionRecord>() as u32,
            submission_max: abi::SUBMISSION_MAX,
            argument_offset: abi::ARGUMENT_OFFSET as u32,
            argument_bytes: abi::ARGUMENT_BYTES as u32,
            completion_offset: abi::COMPLETION_OFFSET as u32,
            completion_bytes: size_of::<abi::CompletionRecord>() as u32,
            completion_max: abi::COMPLETION_MAX,
            result_offset: abi::RESULT_OFFSET as u32,
            result_bytes: abi::RESULT_BYTES as u32,
            status_numbers: abi::STATUS_NUMBERS as u32,
            none: abi::NONE,
            parts_max: abi::PARTS_MAX as u32,
            opcodes: Opcode::ALL.iter().map(|(opcode, name)| ((*name).to_owned(), *opcode as u32)).collect(),
            flags: named(&[("MORE", abi::FLAG_MORE), ("SELECTED", abi::FLAG_SELECTED), ("REFUSED", abi::FLAG_REFUSED)]),
            options: named(&[("ASYNC", abi::OPTION_ASYNC)]),
            faults: faults.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect(),
        }
    }

    /// What the running kernel was asked and supports.
    #[napi(object)]
    #[allow(clippy::struct_excessive_bools)]
    pub struct Capability {
        /// Rung of the set-up ladder in use; 0 is the newest mode.
        pub rung: u32,
        /// The ring's `IORING_SETUP_*` flags.
        pub setup_flags: u32,
        /// Their names, joined by `|`.
        pub setup: String,
        /// Entries of the submission queue.
        pub entries: u32,
        /// Entries of the completion queue.
        pub completion_entries: u32,
        /// Completion work waits for the proactor's own thread.
        pub defer_taskrun: bool,
        /// The kernel chooses the buffer of a read.
        pub buffer_select: bool,
        /// Reads and writes of registered memory.
        pub registered_buffers: bool,
        /// A NOP may carry the result that it shall have.
        pub nop_inject: bool,
        /// Truncation by the ring.
        pub ftruncate: bool,
        /// One accept brings many connections.
        pub multishot_accept: bool,
        /// One receive fills many blocks.
        pub multishot_receive: bool,
        /// One read of a pipe fills many blocks.
        pub multishot_read: bool,
        /// Sends without a copy.
        pub zero_copy: bool,
        /// Signalling is off while the proactor is awake.
        pub signalling: bool,
        /// libuv's version, major << 16 | minor << 8 | patch.
        pub libuv: u32,
    }

    /// One proactor of this thread.
    #[napi]
    pub struct NativeProactor {
        bridge: Rc<Bridge>,
    }

    #[napi]
    impl NativeProactor {
        /// Sets up a ring; `dispatch(count)` is called when completions are in the page. Throws `ERR_RITSU_SETUP` with `errno`, `stage` and
        /// `causeKind` when there is no ring to be had.
        #[napi(
            constructor,
            ts_args_type = "config: { entries?: number, completionEntries?: number, inFlightMax?: number, registeredBytesMax?: number, disable?: Record<string, boolean>, budget?: { rounds?: number, completions?: number, microseconds?: number } } | undefined, dispatch: (count: number) => void"
        )]
        pub fn new(env: Env, config: Unknown<'_>, dispatch: Unknown<'_>) -> Result<Self> {
            Ok(Self { bridge: Bridge::open(env, config, dispatch)? })
        }

        /// The shared page, once.
        #[napi(ts_return_type = "ArrayBuffer")]
        pub fn page<'env>(&self, _env: &'env Env) -> Result<Unknown<'env>> {
            self.bridge.call(Bridge::page)
        }

        /// What the kernel supports.
        #[napi]
        pub fn capability(&self) -> Result<Capability> {
            let capability = self.bridge.call(Bridge::capability)?;
            Ok(Capability {
                rung: capability.rung as u32,
                setup_flags: capability.setup_flags,
                setup: Bridge::setup_names(&capability),
                entries: capability.entries,
                completion_entries: capability.completion_entries,
                defer_taskrun: capability.defer_taskrun,
                buffer_select: capability.buffer_select,
                // Every ring has them; whether memory can be locked for them shows at `registerPool`.
                registered_buffers: true,
                nop_inject: capability.nop_inject,
                ftruncate: capability.ftruncate,
                multishot_accept: capability.multishot_accept,
                multishot_receive: capability.multishot_receive,
                multishot_read: capability.multishot_read,
                zero_copy: capability.zero_copy,
                signalling: capability.signalling,
                libuv: uv::version(),
            })
        }

        /// `header.keepAlive` was set while `header.referenced` was 0: keep the loop alive. It is looked at after each turn besides.
        #[napi]
        pub fn reference(&self) -> Result<()> {
            self.bridge.call(|bridge| {
                bridge.reference();
                Ok(())
            })
        }

        /// Hands the submission page to the kernel now. Never calls JavaScript.
        #[napi]
        pub fn flush(&self) -> Result<()> {
            self.bridge.call(Bridge::flush)
        }

        /// Makes the pool: rows of `[group, firstBlock, blockSize, count]`.
        #[napi(
            ts_args_type = "classes: Array<[blockSize: number, count: number]>, hugePages: boolean",
            ts_return_type = "Array<[group: number, firstBlock: number, blockSize: number, count: number]>"
        )]
        pub fn create_pool(&self, classes: Unknown<'_>, huge_pages: bool) -> Result<Vec<Vec<u32>>> {
            self.bridge.call(|bridge| bridge.create_pool(classes, huge_pages))
        }

        /// Registers blocks with the ring as far as the budget allows: how many, from the first on.
        #[napi(ts_args_type = "firstBlock: number, count: number")]
        pub fn register_pool(&self, first_block: Unknown<'_>, count: Unknown<'_>) -> Result<u32> {
            self.bridge.call(|bridge| bridge.register_pool(first_block, count))
        }

        /// Registers a class's buffer group; false where the kernel refuses, and reads have to name their block.
        #[napi(ts_args_type = "group: number")]
        pub fn register_group(&self, group: Unknown<'_>) -> Result<bool> {
            self.bridge.call(|bridge| bridge.register_group(group))
        }

        /// The memory of a block. Throws `ERR_RITSU_EXPOSED` while an earlier `ArrayBuffer` of the block lives, and
        /// `ERR_RITSU_EXTERNAL_BUFFERS` where the runtime does not allow it.
        #[napi(ts_args_type = "block: number", ts_return_type = "ArrayBuffer")]
        pub fn expose<'env>(&self, _env: &'env Env, block: Unknown<'_>) -> Result<Unknown<'env>> {
            self.bridge.call(|_| self.bridge.expose(block))
        }

        /// A page-aligned, zeroed block of its own; freed when its `ArrayBuffer` is collected.
        #[napi(ts_args_type = "size: number")]
        pub fn allocate(&self, size: Unknown<'_>) -> Result<u32> {
            self.bridge.call(|bridge| bridge.allocate(size))
        }

        /// Lends the memory of an `ArrayBuffer` that nothing else in JavaScript can detach, until `unpin`.
        #[napi(ts_args_type = "arrayBuffer: ArrayBuffer")]
        pub fn pin(&self, array_buffer: Unknown<'_>) -> Result<u32> {
            self.bridge.call(|bridge| bridge.pin(array_buffer))
        }

        /// Ends a pin. Throws while an op has the block.
        #[napi(ts_args_type = "block: number")]
        pub fn unpin(&self, block: Unknown<'_>) -> Result<()> {
            self.bridge.call(|bridge| bridge.unpin(block))
        }

        /// Sends what a socket takes at once from the memory of an `ArrayBuffer`, which stays where it is: how many bytes, or `-errno`.
        #[napi(ts_args_type = "descriptor: number, arrayBuffer: ArrayBuffer, offset: number, length: number")]
        pub fn send_now(
            &self,
            descriptor: Unknown<'_>,
            array_buffer: Unknown<'_>,
            offset: Unknown<'_>,
            length: Unknown<'_>,
        ) -> Result<i32> {
            self.bridge.call(|bridge| bridge.send_now(descriptor, array_buffer, offset, length))
        }

        /// Takes in a duplicate of somebody else's descriptor: `[descriptor, fd]`, or `-errno`.
        #[napi(ts_args_type = "fd: number", ts_return_type = "[descriptor: number, fd: number] | number")]
        pub fn adopt(&self, fd: Unknown<'_>) -> Result<Either<Vec<u32>, i32>> {
            self.bridge.call(|bridge| bridge.adopt(fd))
        }

        /// The bytes of a socket's address, or of its peer's; or `-errno`.
        #[napi(ts_args_type = "descriptor: number, peer: boolean", ts_return_type = "number[] | number")]
        pub fn address(&self, descriptor: Unknown<'_>, peer: bool) -> Result<Either<Vec<u32>, i32>> {
            self.bridge.call(|bridge| bridge.address(descriptor, peer))
        }

        /// Sets a socket option, by its number in the core: 0 or `-errno`.
        #[napi(ts_args_type = "descriptor: number, option: number, value: number")]
        pub fn set_option(&self, descriptor: Unknown<'_>, option: Unknown<'_>, value: i32) -> Result<i32> {
            self.bridge.call(|bridge| bridge.set_option(descriptor, option, value))
        }

        /// Asks for a socket option: its value or `-errno`.
        #[napi(ts_args_type = "descriptor: number, option: number")]
        pub fn option(&self, descriptor: Unknown<'_>, option: Unknown<'_>) -> Result<i32> {
            self.bridge.call(|bridge| bridge.option(descriptor, option))
        }

        /// Joins or leaves a multicast group, on the interface that `over` names; addresses as arrays of their bytes. 0 or `-errno`.
        #[napi(ts_args_type = "descriptor: number, join: boolean, group: number[], over: number[] | undefined")]
        pub fn membership(
            &self,
            descriptor: Unknown<'_>,
            join: bool,
            group: Unknown<'_>,
            over: Option<Unknown<'_>>,
        ) -> Result<i32> {
            self.bridge.call(|bridge| bridge.membership(descriptor, join, group, over))
        }

        /// Pool blocks whose `ArrayBuffer` was collected since the last call.
        #[napi]
        pub fn collected(&self) -> Result<Vec<u32>> {
            self.bridge.call(|bridge| Ok(bridge.collected()))
        }

        /// Asks the kernel to end everything that is in flight.
        #[napi]
        pub fn cancel_all(&self) -> Result<()> {
            self.bridge.call(Bridge::cancel_all)
        }

        /// Closes ring and handles, then calls back. Throws `ERR_RITSU_BUSY` while anything is in flight, unless it was abandoned.
        #[napi(ts_args_type = "callback: () => void")]
        pub fn close(&self, callback: Unknown<'_>) -> Result<()> {
            self.bridge.call(|bridge| bridge.close(callback))
        }

        /// Cancels everything and waits for it, blocking, up to the deadline: how many ops the kernel still has. Nothing more is
        /// dispatched afterwards; only `close` makes sense then.
        #[napi(ts_args_type = "deadlineMs: number")]
        pub fn abandon(&self, deadline_ms: Unknown<'_>) -> Result<u32> {
            self.bridge.call(|bridge| bridge.abandon(deadline_ms))
        }
    }
}
