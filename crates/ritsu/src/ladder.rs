//! Set-up: the newest mode that the kernel takes, and which ops it knows.
//!
//! A ladder: the newest mode first; on `EINVAL` the next rung, on `ENOMEM` (locked memory) smaller queues. Nothing is kept here; `ring.rs`
//! owns what comes of it and is the only caller.

use crate::capability::{Capability, setup_error};
use crate::config::Config;
use crate::error::{SetupError, Stage};
use crate::ring::errno_of;
use io_uring::{IoUring, Probe, opcode};
use std::io;
use std::time::Duration;

/// `IORING_SETUP_*` (`io_uring_setup(2)`).
mod setup {
    pub(super) const CQSIZE: u32 = 1 << 3;
    pub(super) const CLAMP: u32 = 1 << 4;
    pub(super) const SUBMIT_ALL: u32 = 1 << 7;
    pub(super) const COOP_TASKRUN: u32 = 1 << 8;
    pub(super) const TASKRUN_FLAG: u32 = 1 << 9;
    pub(super) const SINGLE_ISSUER: u32 = 1 << 12;
    pub(super) const DEFER_TASKRUN: u32 = 1 << 13;
    pub(super) const NO_SQARRAY: u32 = 1 << 16;
}

/// The set-up ladder, newest first. Each rung: the flags, all of which its kernel knows.
///
/// Not on it, on purpose: SQPOLL and personalities (both keep old credentials after setuid), IOPOLL.
pub(crate) const RUNGS: [u32; 6] = {
    let plain = setup::CQSIZE | setup::CLAMP;
    let all = plain | setup::SUBMIT_ALL;
    let cooperative = all | setup::COOP_TASKRUN | setup::TASKRUN_FLAG;
    let deferred = all | setup::SINGLE_ISSUER | setup::DEFER_TASKRUN | setup::TASKRUN_FLAG;
    [
        deferred | setup::NO_SQARRAY,       // Linux 6.6
        deferred,                           // Linux 6.1
        cooperative | setup::SINGLE_ISSUER, // Linux 6.0
        cooperative,                        // Linux 5.19
        all,                                // Linux 5.18
        plain,                              // Linux 5.6
    ]
};

/// Ops without which there is nothing to offer; all of Linux 5.6 or older.
const NEEDED: [u8; 13] = [
    opcode::Nop::CODE,
    opcode::OpenAt::CODE,
    opcode::Close::CODE,
    opcode::Read::CODE,
    opcode::ReadFixed::CODE,
    opcode::Write::CODE,
    opcode::WriteFixed::CODE,
    opcode::Readv::CODE,
    opcode::Writev::CODE,
    opcode::Fsync::CODE,
    opcode::Statx::CODE,
    opcode::Timeout::CODE,
    opcode::AsyncCancel::CODE,
];

/// Queues are not made smaller than this for want of locked memory; below, the cause is something else.
const ENTRIES_FLOOR: u32 = 16;
/// A ring that was closed gives its locked memory back only some 20 to 60 ms later (measured on Linux 6.18): so long a new one keeps
/// trying before it says that there is none.
const LOCKED_MEMORY_PAUSES: u32 = 20;
const LOCKED_MEMORY_PAUSE: Duration = Duration::from_millis(5);
/// Walks down the ladder. Gives the ring and the index of its rung.
pub(crate) fn climb(config: &Config) -> Result<(IoUring, usize), SetupError> {
    let mut rung = config.first_rung.min(RUNGS.len() - 1);
    let mut pauses = LOCKED_MEMORY_PAUSES;
    loop {
        match shrink(RUNGS[rung], config) {
            Ok(uring) => return Ok((uring, rung)),
            Err(libc::EINVAL) if rung + 1 < RUNGS.len() => rung += 1,
            Err(libc::ENOMEM) if pauses > 0 => {
                pauses -= 1;
                std::thread::sleep(LOCKED_MEMORY_PAUSE);
            }
            Err(errno) => return Err(setup_error(Stage::Setup, errno)),
        }
    }
}

/// Whether a rung defers completion work to our own enter.
pub(crate) fn defers(rung: usize) -> bool {
    RUNGS[rung] & setup::DEFER_TASKRUN != 0
}

/// Makes a ring of one mode, with queues half as long, and again, as locked memory demands. The error is an errno.
fn shrink(flags: u32, config: &Config) -> Result<IoUring, i32> {
    let (mut entries, mut completion_entries) = (config.entries, config.completion_entries);
    loop {
        match build(flags, entries, completion_entries) {
            Ok(ring) => return Ok(ring),
            Err(error) => match errno_of(&error) {
                libc::ENOMEM if completion_entries > ENTRIES_FLOOR => {
                    completion_entries /= 2;
                    entries = entries.min(ENTRIES_FLOOR).max(entries / 2);
                }
                errno => return Err(errno),
            },
        }
    }
}

fn build(flags: u32, entries: u32, completion_entries: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    // A child that inherited the rings could disturb them; it inherits the descriptor closed on exec anyway.
    builder.dontfork().setup_cqsize(completion_entries).setup_clamp();
    if flags & setup::SUBMIT_ALL != 0 {
        builder.setup_submit_all();
    }
    if flags & setup::COOP_TASKRUN != 0 {
        builder.setup_coop_taskrun();
    }
    if flags & setup::TASKRUN_FLAG != 0 {
        builder.setup_taskrun_flag();
    }
    if flags & setup::SINGLE_ISSUER != 0 {
        builder.setup_single_issuer();
    }
    if flags & setup::DEFER_TASKRUN != 0 {
        builder.setup_defer_taskrun();
    }
    if flags & setup::NO_SQARRAY != 0 {
        builder.setup_no_sqarray();
    }
    builder.build(entries)
}

/// Asks for the ops (`IORING_REGISTER_PROBE`, Linux 5.6; sandboxes like gVisor do not answer). Gives what follows from the answer; the rest
/// is found out by trial.
///
/// Multishot is a flag of an op and not asked for: each came with an op of its own time.
pub(crate) fn probe(ring: &IoUring, config: &Config) -> Result<Capability, SetupError> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|error| setup_error(Stage::Probe, errno_of(&error)))?;
    if !NEEDED.iter().all(|code| probe.is_supported(*code)) {
        return Err(setup_error(Stage::Probe, libc::ENOSYS));
    }
    let zero_copy = probe.is_supported(opcode::SendZc::CODE);
    Ok(Capability {
        ftruncate: probe.is_supported(opcode::Ftruncate::CODE),
        shutdown: probe.is_supported(opcode::Shutdown::CODE),
        multishot_accept: config.multishot && probe.is_supported(opcode::Socket::CODE),
        multishot_receive: config.multishot && zero_copy,
        multishot_read: config.multishot && probe.is_supported(opcode::ReadMulti::CODE),
        zero_copy: config.zero_copy && zero_copy,
        ..Capability::default()
    })
}
