//! The ring: push, enter, next completion, registrations, trials of what the kernel can. With `buffer.rs` the only file with `unsafe`.
//!
//! It owns the ring's descriptor and mappings and the eventfd, and nothing that an op owns. Dropping it closes the ring *without
//! draining*: the kernel goes on writing into the memory of ops in flight (measured; `io_uring_setup(2)` promises nothing else). The
//! proactor therefore drains first, or [`leak`](Ring::leak)s.

use crate::buffer::{ProvidedRing, last_errno};
use crate::capability::{Capability, setup_error};
use crate::config::Config;
use crate::error::{SetupError, Stage};
use crate::identity::{Kind, Token, UserData};
use crate::ladder::{RUNGS, climb, defers, probe};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue, types};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

/// A kernel short of memory for the moment is asked again this often.
const TRIAL_PAUSES: u32 = 20;
const TRIAL_PAUSE: Duration = Duration::from_millis(1);
/// Kernel workers for ops that cannot be served at once: at most this many for files, and for everything else. The kernel's own limits
/// reach tens of thousands of threads for the latter.
const WORKERS_MAX: [u32; 2] = [4, 16];
/// `IORING_REGISTER_RING_FDS`, `IORING_UNREGISTER_RING_FDS` (Linux 5.18): enter without looking the descriptor up, 46 ns less.
const REGISTER_RING_FDS: libc::c_uint = 20;
const UNREGISTER_RING_FDS: libc::c_uint = 21;
/// `IORING_NOP_INJECT_RESULT` (Linux 6.10).
const NOP_INJECT_RESULT: u32 = 1;
/// Buffer group number of the trial registration; real groups count from 0.
const TRIAL_GROUP: u16 = u16::MAX;
/// Without a time limit on enter (before Linux 5.11) the eventfd is polled, but not for longer than this: it may be turned off.
const POLL_SLICE: Duration = Duration::from_millis(10);

/// What the kernel said about one submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) user_data: UserData,
    pub(crate) result: i32,
    /// `IORING_CQE_F_*`.
    flags: u32,
}

impl Completion {
    /// Not final: `IORING_CQE_F_MORE`.
    #[inline]
    pub(crate) fn more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// Not a result, but the end of a zero-copy send: `IORING_CQE_F_NOTIF`.
    pub(crate) fn is_notification(&self) -> bool {
        cqueue::notif(self.flags)
    }

    /// The buffer id the kernel chose: `IORING_CQE_F_BUFFER`.
    #[inline]
    pub(crate) fn selected(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// An entry for the submission queue. Whoever makes one vouches that all memory it names is owned by an op in its slot, or by the ring.
pub(crate) type Entry = squeue::Entry;

/// `struct io_uring_getevents_arg` (`io_uring_enter(2)`, Linux 5.11; the third field 6.12).
#[repr(C)]
struct WaitArgument {
    signal_mask: u64,
    signal_mask_bytes: u32,
    least_microseconds: u32,
    timespec: u64,
}

/// One `io_uring` and its eventfd.
pub(crate) struct Ring {
    uring: ManuallyDrop<IoUring>,
    event: File,
    /// Index of the registered ring descriptor of this thread, if there is one.
    registered: Option<u32>,
    wait_timeout: bool,
    /// The kernel's TASKRUN flag was left over: set, and no work behind it (see [`believe_taskrun`](Self::believe_taskrun)).
    is_taskrun_stale: bool,
    /// Completions taken since the last enter.
    taken: u32,
    leaked: bool,
}

impl Ring {
    /// Makes a ring as new as the kernel allows and finds out what it can do.
    pub(crate) fn new(config: &Config) -> Result<(Self, Capability), SetupError> {
        let (uring, step) = climb(config)?;
        if !uring.params().is_feature_nodrop() || !uring.params().is_feature_rw_cur_pos() {
            return Err(setup_error(Stage::Features, libc::ENOSYS));
        }
        let probed = probe(&uring, config)?;
        let event = event_file().map_err(|errno| setup_error(Stage::Event, errno))?;
        let registered = uring.submitter().register_eventfd(event.as_raw_fd());
        registered.map_err(|error| setup_error(Stage::RegisterEvent, errno_of(&error)))?;
        let wait_timeout = uring.params().is_feature_ext_arg();
        let uring = ManuallyDrop::new(uring);
        let mut ring = Self { uring, event, registered: None, wait_timeout, is_taskrun_stale: false, taken: 0, leaked: false };
        // Both are improvements only; without them the kernel's defaults hold.
        let _ = ring.uring.submitter().register_iowq_max_workers(&mut { WORKERS_MAX });
        ring.registered = register_ring(ring.uring.as_raw_fd());
        let nop_inject = ring.trial_nop()?;
        let entries = ring.uring.submission().capacity() as u32;
        let completion_entries = ring.uring.completion().capacity() as u32;
        let capability = Capability {
            rung: step,
            setup_flags: RUNGS[step],
            entries,
            completion_entries,
            defer_taskrun: defers(step),
            buffer_select: config.buffer_select && ring.trial_group(),
            nop_inject,
            wait_timeout,
            signalling: cfg!(target_arch = "x86_64"),
            ..probed
        };
        Ok((ring, capability))
    }

    /// The registered eventfd, nonblocking.
    pub(crate) fn event_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Reads the eventfd: how often it was signalled since the last read, 0 if not at all. What signalled may be deferred work, so
    /// TASKRUN counts again.
    pub(crate) fn clear_event(&mut self) -> u64 {
        self.believe_taskrun(true);
        let mut count = [0; 8];
        match self.event.read(&mut count) {
            Ok(8) => u64::from_ne_bytes(count),
            _ => 0,
        }
    }

    /// Whether the submission queue has no room.
    #[inline]
    pub(crate) fn is_full(&mut self) -> bool {
        self.uring.submission().is_full()
    }

    /// Whether entries were pushed that the kernel has not taken.
    pub(crate) fn has_unsubmitted(&mut self) -> bool {
        !self.uring.submission().is_empty()
    }

    /// Puts an entry into the submission queue. `false` if it is full.
    #[inline]
    pub(crate) fn push(&mut self, entry: &Entry) -> bool {
        // SAFETY: an entry names memory of an op that stays in its slot until its final completion (see `Entry`), and the slots outlive
        // the ring.
        unsafe { self.uring.submission().push(entry) }.is_ok()
    }

    /// One `io_uring_enter(2)`: submits what was pushed, and with `reap` lets the kernel do deferred work and flush overflowed
    /// completions. Gives the number submitted or an errno.
    pub(crate) fn enter(&mut self, reap: bool) -> Result<u32, i32> {
        let to_submit = self.uring.submission().len() as u32;
        self.enter_raw(to_submit, 0, if reap { EnterFlags::GETEVENTS } else { EnterFlags::empty() })
    }

    /// As [`enter`](Self::enter), and sleeps until there is a completion or the time is up.
    pub(crate) fn enter_and_wait(&mut self, timeout: Duration) -> Result<u32, i32> {
        if !self.wait_timeout {
            let submitted = self.enter(true)?;
            if self.uring.completion().is_empty() {
                poll_readable(self.event.as_raw_fd(), timeout.min(POLL_SLICE));
            }
            return self.enter(true).map(|again| submitted + again);
        }
        let to_submit = self.uring.submission().len() as u32;
        let timespec = types::Timespec::from(timeout);
        let argument =
            WaitArgument { signal_mask: 0, signal_mask_bytes: 0, least_microseconds: 0, timespec: (&raw const timespec) as u64 };
        let flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        // SAFETY: `timespec` lives until the call is over.
        unsafe { self.call_enter(to_submit, 1, flags, (&raw const argument).cast(), size_of::<WaitArgument>()) }
    }

    fn enter_raw(&mut self, to_submit: u32, min_complete: u32, flags: EnterFlags) -> Result<u32, i32> {
        // SAFETY: no pointer is passed.
        unsafe { self.call_enter(to_submit, min_complete, flags, ptr::null(), 0) }
    }

    /// # Safety
    ///
    /// `argument` is null, or `bytes` of what `flags` say it is, with pointers that are good during the call.
    unsafe fn call_enter(
        &mut self,
        to_submit: u32,
        min_complete: u32,
        flags: EnterFlags,
        argument: *const u8,
        bytes: usize,
    ) -> Result<u32, i32> {
        let (descriptor, flags) = match self.registered {
            Some(index) => (index, flags | EnterFlags::REGISTERED_RING),
            None => (self.uring.as_raw_fd() as u32, flags),
        };
        // SAFETY: the descriptor is our ring, alive as long as self; the argument is good, as promised by the caller. What the pushed
        // entries name is argued in `push`.
        let result = unsafe {
            libc::syscall(libc::SYS_io_uring_enter, descriptor, to_submit, min_complete, flags.bits(), argument, bytes)
        };
        let result = if result < 0 { Err(last_errno()) } else { Ok(result as u32) };
        self.taken = 0;
        // Work that was done has cleared the flag: when it is set again, there is more.
        self.is_taskrun_stale = self.is_taskrun_stale && self.taskrun();
        result
    }

    /// The next completion, removed from the queue.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Completion> {
        let entry = self.uring.completion().next()?;
        self.taken = self.taken.wrapping_add(1);
        Some(Completion { user_data: UserData(entry.user_data()), result: entry.result(), flags: entry.flags() })
    }

    /// Whether the kernel holds completions back because the completion queue is full.
    pub(crate) fn overflowed(&mut self) -> bool {
        self.uring.submission().cq_overflow()
    }

    /// Whether another enter or reap has something to do: entries not submitted, completions not reaped, deferred work, overflow.
    pub(crate) fn pending(&self) -> bool {
        self.has_entries() || (self.taskrun() && !self.is_taskrun_stale)
    }

    /// As [`pending`](Self::pending), but for deferred work.
    pub(crate) fn has_entries(&self) -> bool {
        // SAFETY: no other view of the submission queue exists: each lives within one method of this type, and this one ends here.
        let submission = unsafe { self.uring.submission_shared() };
        // SAFETY: the same for the completion queue.
        let completion = unsafe { self.uring.completion_shared() };
        !completion.is_empty() || !submission.is_empty() || submission.cq_overflow()
    }

    /// `IORING_SQ_TASKRUN`: the kernel has deferred work for an enter, or had.
    pub(crate) fn taskrun(&self) -> bool {
        // SAFETY: no other view of the submission queue exists (see `has_entries`).
        unsafe { self.uring.submission_shared() }.taskrun()
    }

    /// Whether the last enter brought nothing that has been taken: if TASKRUN is set then, it may be a left-over.
    pub(crate) fn is_fruitless(&self) -> bool {
        self.taken == 0
    }

    /// Believes TASKRUN again, or, after a wait with signalling on that found nothing, no more until the eventfd is signalled.
    ///
    /// The kernel puts work on its list and then sets the flag (`io_req_local_work_add`, Linux 6.18). If we have done the work in
    /// between, the flag stays set with nothing behind it, and an enter that finds no work does not clear it. It must have been a wait:
    /// an enter that does not wait leaves work behind (more than 20 items, Linux 6.13), sets the flag and signals nothing. A wait ends
    /// without a completion only when there is no work left; what comes after that comes to an empty list, and signals.
    pub(crate) fn believe_taskrun(&mut self, is_believed: bool) {
        self.is_taskrun_stale = !is_believed && self.taskrun();
    }

    /// Turns the eventfd on or off (`IORING_CQ_EVENTFD_DISABLED`, Linux 5.8), with a full fence behind it.
    ///
    /// On other machines than x86-64 it stays on: there the kernel sets TASKRUN by a relaxed operation, which the fence does not order.
    pub(crate) fn signalling(&self, on: bool) {
        if cfg!(target_arch = "x86_64") {
            // SAFETY: no other view of the completion queue exists (see `has_entries`).
            let completion = unsafe { self.uring.completion_shared() };
            if on {
                completion.enable_eventfd();
            } else {
                completion.disable_eventfd();
            }
            fence(Ordering::SeqCst);
        }
    }

    /// Registers a provided-buffer ring as group `group`. The error is an errno.
    pub(crate) fn register_group(&self, provided: &ProvidedRing, group: u16) -> Result<(), i32> {
        let address = provided.address().as_ptr() as u64;
        // SAFETY: the mapping has `entries` entries, page aligned; it is kept until after the ring is closed, and the kernel pins its
        // pages besides.
        let result = unsafe { self.uring.submitter().register_buf_ring_with_flags(address, provided.entries(), group, 0) };
        result.map_err(|error| errno_of(&error))
    }

    /// Makes the table of registered buffers, empty (Linux 5.19). The error is an errno.
    pub(crate) fn register_fixed_table(&self, entries: u32) -> Result<(), i32> {
        self.uring.submitter().register_buffers_sparse(entries).map_err(|error| errno_of(&error))
    }

    /// Registers a range of memory as fixed buffer `index` of the table. The error is an errno.
    pub(crate) fn register_fixed(&self, index: u16, address: NonNull<u8>, length: usize) -> Result<(), i32> {
        let part = libc::iovec { iov_base: address.as_ptr().cast(), iov_len: length };
        // SAFETY: the range is part of a pool mapping, which outlives the ring; the kernel pins its pages.
        let result = unsafe { self.uring.submitter().register_buffers_update(u32::from(index), &[part], None) };
        result.map_err(|error| errno_of(&error))
    }

    /// Lets the ring and its mappings live for ever: the kernel may still write into the memory of ops that it holds.
    pub(crate) fn leak(&mut self) {
        self.leaked = true;
    }

    /// Sends a nop through the ring: proves that enter is allowed and that completions arrive, and whether a result can be injected.
    fn trial_nop(&mut self) -> Result<bool, SetupError> {
        const INJECTED: i32 = -libc::EXDEV;
        let user_data = UserData::new(Kind::Internal, Token { slot: 0, generation: 0 });
        let pushed = self.push(&nop_injecting(INJECTED).user_data(user_data.0));
        debug_assert!(pushed, "a fresh ring has room");
        let mut pauses = TRIAL_PAUSES;
        while let Err(errno) = self.enter_raw(1, 1, EnterFlags::GETEVENTS) {
            match errno {
                libc::EINTR => {}
                libc::EAGAIN | libc::EBUSY | libc::ENOMEM if pauses > 0 => {
                    pauses -= 1;
                    std::thread::sleep(TRIAL_PAUSE);
                }
                errno => return Err(setup_error(Stage::Trial, errno)),
            }
        }
        self.clear_event();
        match self.next() {
            Some(completion) if completion.user_data == user_data => Ok(completion.result == INJECTED),
            _ => Err(setup_error(Stage::Trial, libc::EIO)),
        }
    }

    fn trial_group(&self) -> bool {
        let Ok(provided) = ProvidedRing::new(1) else { return false };
        self.register_group(&provided, TRIAL_GROUP).is_ok() && self.uring.submitter().unregister_buf_ring(TRIAL_GROUP).is_ok()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.leaked {
            return;
        }
        if let Some(index) = self.registered {
            // The thread's table holds a reference to the ring of its own; without this the ring would stay open until the thread ends.
            let _ = ring_descriptor(self.uring.as_raw_fd(), UNREGISTER_RING_FDS, index, 0);
        }
        // SAFETY: dropped here and nowhere else. The proactor has drained: no op is in the kernel.
        unsafe { ManuallyDrop::drop(&mut self.uring) };
    }
}

/// A nop that answers `result` (Linux 6.10; older kernels answer 0). The crate has no builder for it.
pub(crate) fn nop_injecting(result: i32) -> Entry {
    /// `struct io_uring_sqe` (`io_uring_enter(2)`).
    #[repr(C)]
    struct RawEntry {
        opcode: u8,
        flags: u8,
        priority: u16,
        descriptor: i32,
        offset: u64,
        address: u64,
        length: u32,
        op_flags: u32,
        user_data: u64,
        rest: [u64; 3],
    }
    let raw = RawEntry {
        opcode: opcode::Nop::CODE,
        flags: 0,
        priority: 0,
        descriptor: -1,
        offset: 0,
        address: 0,
        length: result as u32,
        op_flags: NOP_INJECT_RESULT,
        user_data: 0,
        rest: [0; 3],
    };
    // SAFETY: both are the 64 bytes of the kernel's entry (equal size is checked by the compiler), made of integers only.
    unsafe { std::mem::transmute::<RawEntry, Entry>(raw) }
}

/// Takes ownership of the integer that a successful open has given.
pub(crate) fn own_opened(result: i32) -> File {
    debug_assert!(result >= 0);
    // SAFETY: the kernel made this descriptor for the op that is being finished, and nobody else knows it.
    File::from(unsafe { OwnedFd::from_raw_fd(result) })
}

/// Sends what a socket takes without waiting (`send(2)`), raises no signal. The error is an errno.
///
/// # Safety
///
/// `length` bytes from `address` on must be memory that can be read, and stays so for the call. It need not hold still.
pub(crate) unsafe fn send_now(socket: RawFd, address: NonNull<u8>, length: usize) -> Result<usize, i32> {
    const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel only reads, before it returns, what the caller says can be read; it refuses an integer that is no socket.
    let sent = unsafe { libc::send(socket, address.as_ptr().cast(), length, FLAGS) };
    usize::try_from(sent).map_err(|_negative| last_errno())
}

/// A second integer for an open file (`F_DUPFD_CLOEXEC`), above the standard streams. The error is an errno.
pub(crate) fn duplicate(file: RawFd) -> Result<OwnedFd, i32> {
    const ABOVE_STANDARD_STREAMS: libc::c_int = 3;
    // SAFETY: makes a new descriptor and touches nothing else; the kernel refuses an integer that is no open file.
    let copy = unsafe { libc::fcntl(file, libc::F_DUPFD_CLOEXEC, ABOVE_STANDARD_STREAMS) };
    if copy < 0 {
        return Err(last_errno());
    }
    // SAFETY: just made, known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Whether a write that came short has moved the file's position by what it wrote. Since Linux 6.0 the ring tries the rest by itself, and
/// when that fails it answers what was written and leaves the position where it was (seen with a full disk). Asked of the kernel once, by
/// the first write that comes short.
pub(crate) fn short_write_moves_position() -> bool {
    static MOVES: OnceLock<bool> = OnceLock::new();
    *MOVES.get_or_init(|| trial_short_write().unwrap_or(false))
}

/// A write of two parts, the second of which has no memory: the first is written, the second cannot be.
fn trial_short_write() -> io::Result<bool> {
    let first = [1_u8; 8];
    let nothing = ptr::without_provenance_mut(first.len());
    let parts = [
        libc::iovec { iov_base: first.as_ptr().cast_mut().cast(), iov_len: first.len() },
        libc::iovec { iov_base: nothing, iov_len: first.len() },
    ];
    // SAFETY: makes a new descriptor and touches nothing else.
    let made = unsafe { libc::memfd_create(c"ritsu".as_ptr(), libc::MFD_CLOEXEC) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, known to nobody else.
    let mut file = File::from(unsafe { OwnedFd::from_raw_fd(made) });
    let mut uring = IoUring::new(1)?;
    let entry = opcode::Writev::new(types::Fd(made), parts.as_ptr(), 2).offset(u64::MAX).build();
    // SAFETY: parts, and the memory of the first, outlive the op, whose only completion is waited for below. The kernel answers EFAULT for
    // the second: nothing is mapped there.
    unsafe { uring.submission().push(&entry) }.map_err(|_full| io::Error::from_raw_os_error(libc::EBUSY))?;
    while let Err(error) = uring.submit_and_wait(1) {
        assert_eq!(errno_of(&error), libc::EINTR, "a fresh ring takes one op");
    }
    match uring.completion().next().map(|completion| completion.result()) {
        Some(8) => Ok(file.stream_position()? == 8),
        other => Err(io::Error::from_raw_os_error(-other.unwrap_or(-libc::EIO))),
    }
}

fn event_file() -> Result<File, i32> {
    // SAFETY: makes a new descriptor and touches nothing else.
    let event = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if event < 0 {
        return Err(last_errno());
    }
    // SAFETY: just made, known to nobody else.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(event) }))
}

/// Registers the ring's descriptor with this thread. `None` where the kernel cannot, or the thread has 16 already.
fn register_ring(ring: RawFd) -> Option<u32> {
    ring_descriptor(ring, REGISTER_RING_FDS, u32::MAX, ring as u64).ok()
}

/// `io_uring_register(2)` with one `struct io_uring_rsrc_update`; gives the index, which the kernel fills in.
fn ring_descriptor(ring: RawFd, operation: libc::c_uint, index: u32, data: u64) -> Result<u32, i32> {
    #[repr(C)]
    struct Update {
        offset: u32,
        reserved: u32,
        data: u64,
    }
    let mut update = Update { offset: index, reserved: 0, data };
    // SAFETY: one properly laid out update, alive during the call.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_register, ring, operation, ptr::from_mut(&mut update), 1) };
    if result == 1 { Ok(update.offset) } else { Err(last_errno()) }
}

fn poll_readable(descriptor: RawFd, timeout: Duration) {
    let mut entry = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, alive during the call. Whatever it answers, the caller looks at the completion queue itself.
    let _ = unsafe { libc::poll(ptr::from_mut(&mut entry), 1, timeout.as_millis() as libc::c_int) };
}

pub(crate) fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
