//! Description: little locked memory. Queues and registered memory shrink to what the limit allows, and say so.
//!
//! The limit belongs to the whole process, so this is one test in a file of its own.

mod harness;

use harness::{Harness, TemporaryFile, pattern};
use ritsu::{BlockId, BlockRange, Config, Fault, Op, OpOptions, Position};

/// Gives up all capabilities of this thread: with `CAP_IPC_LOCK` nothing is charged.
fn drop_capabilities() {
    #[repr(C)]
    struct Header {
        version: u32,
        thread: i32,
    }
    /// `_LINUX_CAPABILITY_VERSION_3` (`capset(2)`).
    const VERSION: u32 = 0x2008_0522;
    let header = Header { version: VERSION, thread: 0 };
    let none = [0_u32; 6];
    // SAFETY: header and three words for each of two halves, as version 3 wants them, alive during the call.
    assert_eq!(unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) }, 0);
}

fn limit_locked_memory(bytes: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: one limit, alive during the call.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) }, 0);
    limit.rlim_cur = bytes;
    // SAFETY: as above; lowering the soft limit is always allowed.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) }, 0);
}

#[test]
fn queues_and_registered_memory_shrink_to_the_limit() {
    drop_capabilities();
    limit_locked_memory(1 << 20);
    let mut harness = Harness::on_rung(0);
    let (_, first) = harness.pool(4096, 1024);
    let registered = harness.proactor.register_pool(first, 1024);
    assert!((1..1024).contains(&registered), "{registered} of 1024 blocks of 4 KiB within 1 MiB");
    assert_eq!(harness.proactor.statistics().registered_bytes, registered as u64 * 4096);

    let content = pattern(4096, 6);
    let file = TemporaryFile::new(&content);
    let descriptor = harness.open(&file.0, libc::O_RDONLY);
    let read = |index| {
        let target = BlockRange { block: BlockId(first.0 + index), offset: 0, length: 4096 };
        Op::ReadFixed { descriptor, target, position: Position::At(0) }
    };
    assert_eq!(harness.run(read(registered as u32 - 1)).result, 4096);
    let refused = harness.try_submit(read(registered as u32), OpOptions::default()).unwrap_err();
    assert_eq!(refused.error, Fault::Block);
    drop(harness);

    // A closed ring gives its memory back a little later, so the next one starts with less than the whole limit.
    limit_locked_memory(256 << 10);
    let harness = Harness::new(Config { entries: 4096, completion_entries: 65_536, ..Config::default() });
    let capability = harness.proactor.capability();
    assert!(capability.completion_entries < 65_536, "{}", capability.completion_entries);
    assert_eq!(capability.rung, 0, "little memory is no reason for an older mode");
    drop(harness);

    limit_locked_memory(0);
    let error = ritsu::Proactor::new(Config::default()).err().expect("no memory at all");
    assert_eq!((error.errno, error.cause), (libc::ENOMEM, ritsu::Cause::Memlock));
}
