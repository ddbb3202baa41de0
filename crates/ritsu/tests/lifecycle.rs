//! Description: ops on the real ring from submit to outcome: small queues, overflow, files, times, signals.

mod harness;

use harness::{Harness, RUNGS, TemporaryFile, c_path, pattern};
use ritsu::{BlockRange, Config, Detail, Entered, Fault, Op, OpOptions, Position, StatusTarget, Token};
use std::io::Seek;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn a_quarter_million_ops_pass_through_a_queue_of_eight() {
    const OPS: u32 = 250_000;
    for first_rung in RUNGS {
        let mut harness =
            Harness::new(Config { entries: 8, completion_entries: 16, in_flight_max: 100, first_rung, ..Config::default() });
        let (mut submitted, mut completed) = (0, 0);
        while completed < OPS {
            while submitted < OPS && harness.proactor.in_flight() < 100 {
                harness.submit(Op::Nop { result: 0 });
                submitted += 1;
            }
            harness.turn();
            assert!(harness.outcomes.iter().all(|outcome| outcome.result == 0 && !outcome.more));
            completed += harness.outcomes.drain(..).count() as u32;
        }
        let statistics = harness.proactor.statistics();
        assert_eq!((statistics.submitted, statistics.completed, statistics.in_flight), (u64::from(OPS), u64::from(OPS), 0));
        assert_eq!((statistics.stale, statistics.faults), (0, 0));
        assert!(!harness.proactor.pending());
    }
}

#[test]
fn s27_ten_thousand_completions_survive_a_completion_queue_of_eight() {
    const OPS: usize = 10_000;
    for first_rung in RUNGS {
        let config = Config { entries: 8, completion_entries: 8, in_flight_max: OPS as u32, first_rung, ..Config::default() };
        let mut harness = Harness::new(config);
        assert_eq!(harness.proactor.capability().completion_entries, 8);
        for _ in 0..OPS {
            harness.submit(Op::Nop { result: 0 });
        }
        // Everything is given to the kernel while nobody reaps; a kernel that refuses (EBUSY) is met by reaping.
        while harness.proactor.push_and_submit() != Entered::Done {
            harness.reap();
        }
        let mut outcomes = harness.wait_all();
        assert_eq!(outcomes.len(), OPS);
        outcomes.sort_by_key(|outcome| outcome.token.slot);
        assert!((0..).zip(&outcomes).all(|(slot, outcome)| outcome.token == Token { slot, generation: 0 }));
        assert!(harness.proactor.statistics().overflows > 0, "rung {first_rung}");
    }
}

// Red when `Ring::enter` does not ask for events, at all or while the queue has run over; and when `Ring::pending` does not count that.
#[test]
fn s27_completions_that_the_kernel_held_back_come_although_nobody_waits_in_it() {
    const OPS: usize = 1000;
    for first_rung in RUNGS {
        let config = Config { entries: 8, completion_entries: 8, in_flight_max: OPS as u32, first_rung, ..Config::default() };
        let mut harness = Harness::new(config);
        for _ in 0..OPS {
            harness.submit(Op::Nop { result: 0 });
        }
        while harness.proactor.push_and_submit() != Entered::Done {
            harness.reap();
        }
        // All have completed. A wait would flush what the kernel holds back by itself, and hide who does not ask for it.
        let mut idle_turns = 0;
        while harness.proactor.in_flight() > 0 {
            let left = harness.proactor.in_flight();
            assert!(harness.proactor.pending(), "rung {first_rung}: {left} completions are held back, and nothing says so");
            harness.enter();
            idle_turns = if harness.reap() == 0 { idle_turns + 1 } else { 0 };
            assert!(idle_turns < 100, "rung {first_rung}: {left} completions do not come");
        }
        assert!(harness.outcomes.iter().all(|outcome| outcome.result == 0 && !outcome.more));
        assert_eq!(harness.outcomes.len(), OPS);
        assert!(harness.proactor.statistics().overflows > 0, "rung {first_rung}");
        assert!(!harness.proactor.pending());
    }
}

#[test]
fn a_nop_answers_what_it_is_told() {
    let mut harness = Harness::on_rung(0);
    for result in [-libc::EIO, 77, i32::MAX, -libc::ECANCELED] {
        let expected = if harness.proactor.capability().nop_inject { result } else { -libc::EINVAL };
        assert_eq!(harness.run(Op::Nop { result }).result, expected);
    }
}

#[test]
fn a_refused_op_comes_back_and_changes_nothing() {
    let mut harness = Harness::on_rung(0);
    let options = OpOptions::default();
    let token = Token { slot: 9, generation: 0 };
    harness.proactor.submit(token, Op::Nop { result: 0 }, options).unwrap();
    let rows = [
        (token, Fault::Occupied),
        (Token { slot: 10, generation: 1 }, Fault::Generation),
        (Token { slot: 65_536, generation: 0 }, Fault::Slot),
    ];
    for (token, fault) in rows {
        let refused = harness.proactor.submit(token, Op::Nop { result: 0 }, options).unwrap_err();
        assert_eq!((refused.error, refused.op), (fault, Op::Nop { result: 0 }));
    }
    let block = harness.block(4096);
    let (descriptor, _writer) = harness.pipe();
    let rows = [
        (block, Position::At(1 << 63), Fault::Argument),
        (block, Position::At(u64::MAX), Fault::Argument),
        (BlockRange { offset: 1, ..block }, Position::Current, Fault::Range),
        (BlockRange { block: ritsu::BlockId(99), ..block }, Position::Current, Fault::Block),
    ];
    for (target, position, fault) in rows {
        let refused = harness.try_submit(Op::Read { descriptor, target, position }, options).unwrap_err();
        assert_eq!(refused.error, fault);
    }
    let parts = vec![block; 1025];
    let refused = harness.try_submit(Op::Readv { descriptor, parts, position: Position::Current }, options).unwrap_err();
    assert_eq!(refused.error, Fault::Argument);
    assert!(matches!(refused.op, Op::Readv { parts, .. } if parts.len() == 1025));
    assert_eq!(harness.proactor.statistics().blocks_busy, 0);
    assert_eq!(harness.proactor.statistics().faults, 8);
    harness.close(descriptor);
}

#[test]
fn a_refusal_is_answered_once_through_its_slot() {
    let mut harness = Harness::on_rung(0);
    let token = Token { slot: 5, generation: 0 };
    harness.proactor.refuse(token, -libc::EBADF).unwrap();
    assert_eq!(harness.proactor.refuse(token, 0), Err(Fault::Occupied));
    assert_eq!(harness.proactor.in_flight(), 1);
    harness.proactor.cancel(token);
    assert!(harness.proactor.pending());
    assert_eq!(harness.reap(), 1);
    let outcome = harness.outcomes.remove(0);
    assert_eq!((outcome.token, outcome.result, outcome.more, outcome.detail), (token, -libc::EBADF, false, Detail::Refused));
    assert_eq!(harness.proactor.refuse(token, 0), Err(Fault::Generation));
    let statistics = harness.proactor.statistics();
    assert_eq!((statistics.submitted, statistics.completed, statistics.in_flight), (1, 1, 0));
}

#[test]
fn a_busy_block_is_refused_until_its_op_is_over() {
    let mut harness = Harness::on_rung(0);
    let block = harness.block(4096);
    let (descriptor, writer) = harness.pipe();
    let read = Op::Read { descriptor, target: block, position: Position::Current };
    let first = harness.submit(read);
    let parts = vec![harness.block(64), block];
    let refused =
        harness.try_submit(Op::Writev { descriptor, parts, position: Position::Current }, OpOptions::default()).unwrap_err();
    assert_eq!(refused.error, Fault::Block);
    assert_eq!(harness.proactor.statistics().blocks_busy, 1, "the part lent first came back");
    std::io::Write::write_all(&mut std::fs::File::from(writer), b"x").unwrap();
    assert_eq!(harness.wait(first).result, 1);
    assert_eq!(harness.proactor.statistics().blocks_busy, 0);
    assert_eq!(harness.read(descriptor, block, Position::Current), b"", "the writer is gone");
}

#[test]
fn bytes_written_are_read_back_in_every_way() {
    for first_rung in RUNGS {
        for asynchronous in [false, true] {
            let mut harness = Harness::on_rung(first_rung);
            let file = TemporaryFile::new(b"");
            let descriptor = harness.open(&file.0, libc::O_RDWR);
            let content = pattern(10_000, 7);
            let source = harness.block(10_000);
            harness.fill(source, &content);
            let write = Op::Write { descriptor, source, position: Position::At(0) };
            let token = harness.try_submit(write, OpOptions { asynchronous }).unwrap();
            assert_eq!(harness.wait(token).result, 10_000);
            assert_eq!(std::fs::read(&file.0).unwrap(), content);

            let target = BlockRange { offset: 100, length: 5000, ..harness.block(8192) };
            let read = Op::Read { descriptor, target, position: Position::At(2500) };
            let token = harness.try_submit(read, OpOptions { asynchronous }).unwrap();
            assert_eq!(harness.wait(token).result, 5000);
            assert_eq!(harness.bytes(target, 5000), &content[2500..7500]);

            // The position of the file moves by itself.
            assert_eq!(harness.read(descriptor, target, Position::Current), &content[..5000]);
            assert_eq!(harness.read(descriptor, target, Position::Current), &content[5000..]);
            assert_eq!(harness.read(descriptor, target, Position::Current), b"", "the end");
            assert_eq!(harness.read(descriptor, target, Position::At(9_999)), &content[9_999..], "a short read");
            assert_eq!(harness.read(descriptor, BlockRange { length: 0, ..target }, Position::At(0)), b"", "nothing asked");
        }
    }
}

#[test]
fn vectored_ops_keep_the_order_of_their_parts() {
    let mut harness = Harness::on_rung(0);
    let file = TemporaryFile::new(b"");
    let descriptor = harness.open(&file.0, libc::O_RDWR);
    let (one, two) = (harness.block(4096), harness.block(4096));
    harness.fill(one, b"abcdef");
    harness.fill(two, b"123456");
    let part = |block: BlockRange, offset, length| BlockRange { offset, length, ..block };
    let parts = vec![part(one, 0, 3), part(two, 2, 2), part(one, 3, 3), part(one, 0, 1)];
    assert_eq!(harness.run(Op::Writev { descriptor, parts, position: Position::At(1) }).result, 9);
    assert_eq!(std::fs::read(&file.0).unwrap(), b"\0abc34defa");

    let parts = vec![part(two, 10, 4), part(one, 0, 0), part(one, 100, 10)];
    assert_eq!(harness.run(Op::Readv { descriptor, parts, position: Position::At(1) }).result, 9);
    assert_eq!(harness.bytes(part(two, 10, 4), 4), b"abc3");
    assert_eq!(harness.bytes(part(one, 100, 5), 5), b"4defa");
    assert_eq!(harness.run(Op::Readv { descriptor, parts: vec![], position: Position::At(0) }).result, 0);
    let parts = vec![part(one, 0, 1); 1024];
    assert_eq!(harness.run(Op::Writev { descriptor, parts, position: Position::At(0) }).result, 1024);
    assert_eq!(harness.proactor.statistics().blocks_busy, 0);
}

#[test]
fn s12_positions_beyond_four_gib_are_exact() {
    let mut harness = Harness::on_rung(0);
    let file = TemporaryFile::new(b"");
    let descriptor = harness.open(&file.0, libc::O_RDWR);
    let block = harness.block(4096);
    let far = (1 << 32) + 12_345;
    for (position, byte) in [(far, b'f'), (12_345, b'n')] {
        harness.fill(block, &[byte]);
        let source = BlockRange { length: 1, ..block };
        assert_eq!(harness.run(Op::Write { descriptor, source, position: Position::At(position) }).result, 1);
    }
    assert_eq!(std::fs::metadata(&file.0).unwrap().len(), far + 1);
    assert_eq!(harness.read(descriptor, block, Position::At(far)), b"f");
    assert_eq!(harness.read(descriptor, BlockRange { length: 1, ..block }, Position::At(12_345)), b"n");
    assert_eq!(harness.run(Op::Ftruncate { descriptor, length: (5 << 30) + 1 }).result, 0);
    assert_eq!(std::fs::metadata(&file.0).unwrap().len(), (5 << 30) + 1);
    let fallocate = Op::Fallocate { descriptor, mode: libc::FALLOC_FL_KEEP_SIZE, offset: 6 << 30, length: 4096 };
    assert_eq!(harness.run(fallocate).result, 0);
}

#[test]
fn direct_reads_into_registered_blocks_see_the_file() {
    let mut harness = Harness::on_rung(0);
    let content = pattern(1 << 20, 3);
    let file = TemporaryFile::new(&content);
    let descriptor = harness.open(&file.0, libc::O_RDWR | libc::O_DIRECT);
    let (_, first) = harness.pool(1 << 16, 16);
    assert_eq!(harness.proactor.register_pool(first, 16), 16);
    assert_eq!(harness.proactor.statistics().registered_bytes, 1 << 20);
    assert_eq!(harness.proactor.register_pool(first, 16), 0, "registered once");
    let range = |index: u32| BlockRange { block: ritsu::BlockId(first.0 + index), offset: 0, length: 1 << 16 };
    let tokens: Vec<_> = (0..16)
        .map(|index| {
            let position = Position::At(u64::from(index) << 16);
            harness.submit(Op::ReadFixed { descriptor, target: range(index), position })
        })
        .collect();
    for (index, token) in (0..).zip(tokens) {
        assert_eq!(harness.wait(token).result, 1 << 16);
        assert_eq!(harness.bytes(range(index), 1 << 16), &content[(index as usize) << 16..][..1 << 16]);
    }
    harness.fill(range(0), &pattern(1 << 16, 9));
    assert_eq!(harness.run(Op::WriteFixed { descriptor, source: range(0), position: Position::At(1 << 16) }).result, 1 << 16);
    assert_eq!(&std::fs::read(&file.0).unwrap()[1 << 16..2 << 16], pattern(1 << 16, 9));
    let own = harness.block(1 << 16);
    let refused = Op::ReadFixed { descriptor, target: own, position: Position::At(0) };
    assert_eq!(harness.try_submit(refused, OpOptions::default()).unwrap_err().error, Fault::Block);
}

#[test]
fn metadata_ops_agree_with_the_standard_library() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let file = TemporaryFile::new(&pattern(5000, 1));
        let link = TemporaryFile(file.0.with_extension("link"));
        std::os::unix::fs::symlink(&file.0, &link.0).unwrap();
        let descriptor = harness.open(&file.0, libc::O_RDWR);
        assert_eq!(harness.run(Op::Fsync { descriptor }).result, 0);
        assert_eq!(harness.run(Op::Fdatasync { descriptor }).result, 0);
        let expected = std::fs::metadata(&file.0).unwrap();
        let path = |follow| StatusTarget::Path { path: c_path(&link.0), follow };
        for target in [StatusTarget::Descriptor(descriptor), path(true)] {
            let Detail::Status(status) = harness.run(Op::Statx { target }).detail else { panic!("no status") };
            assert_eq!((status.device, status.inode, status.mode), (expected.dev(), expected.ino(), expected.mode()));
            assert_eq!((status.links, status.user, status.group), (expected.nlink() as u32, expected.uid(), expected.gid()));
            assert_eq!((status.size, status.blocks, status.block_size), (5000, expected.blocks(), expected.blksize() as u32));
            assert_eq!(
                (status.modified.seconds, i64::from(status.modified.nanoseconds)),
                (expected.mtime(), expected.mtime_nsec())
            );
        }
        let Detail::Status(status) = harness.run(Op::Statx { target: path(false) }).detail else { panic!("no status") };
        assert_eq!(status.mode & libc::S_IFMT, libc::S_IFLNK);
        let target = StatusTarget::Path { path: c"/nowhere".into(), follow: true };
        let missing = harness.run(Op::Statx { target });
        assert_eq!((missing.result, missing.detail), (-libc::ENOENT, Detail::None));
        assert_eq!(harness.run(Op::Open { path: c"/nowhere".into(), flags: 0, mode: 0 }).result, -libc::ENOENT);
        let negative = Op::Ftruncate { descriptor, length: u64::MAX };
        assert_eq!(harness.run(negative).result, -libc::EINVAL);
    }
}

#[test]
fn a_timeout_completes_with_zero_and_not_early() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        for duration in [Duration::ZERO, Duration::from_micros(500), Duration::from_millis(30)] {
            let start = Instant::now();
            assert_eq!(harness.run(Op::Timeout { duration }).result, 0);
            let elapsed = start.elapsed();
            assert!(elapsed >= duration && elapsed < duration + Duration::from_millis(500), "{duration:?} took {elapsed:?}");
        }
        let token = harness.submit(Op::Timeout { duration: Duration::MAX });
        harness.turn();
        assert!(harness.outcomes.is_empty(), "a timeout of for ever is not over at once");
        harness.proactor.cancel(token);
        assert_eq!(harness.wait(token).result, -libc::ECANCELED);
    }
}

#[test]
fn s35_signals_at_a_thousand_a_second_disturb_nothing() {
    extern "C" fn ignore(_signal: libc::c_int) {}
    // SAFETY: the handler does nothing, so it is safe at any time.
    unsafe { libc::signal(libc::SIGALRM, ignore as *const () as libc::sighandler_t) };
    // To this thread: a signal to the process would go to the one that waits for the tests.
    // SAFETY: asks for a number.
    let target = unsafe { libc::pthread_self() };
    let over = Arc::new(AtomicBool::new(false));
    let seen = over.clone();
    let sender = std::thread::spawn(move || {
        while !seen.load(Ordering::Relaxed) {
            // SAFETY: the thread waits for this one before it ends.
            assert_eq!(unsafe { libc::pthread_kill(target, libc::SIGALRM) }, 0);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let mut harness = Harness::on_rung(0);
    let file = TemporaryFile::new(&pattern(1 << 16, 5));
    let descriptor = harness.open(&file.0, libc::O_RDONLY);
    let target = harness.block(1 << 16);
    let start = Instant::now();
    let full = std::env::var_os("RITSU_TEST_FULL").is_some();
    while start.elapsed() < Duration::from_millis(if full { 10_000 } else { 400 }) {
        assert_eq!(harness.run(Op::Read { descriptor, target, position: Position::At(0) }).result, 1 << 16);
        let token = harness.submit(Op::Timeout { duration: Duration::from_millis(3) });
        while !harness.outcomes.iter().any(|outcome| outcome.token == token) {
            harness.proactor.enter_and_wait(Duration::from_secs(1));
            harness.reap();
        }
        assert_eq!(harness.wait(token).result, 0);
    }
    over.store(true, Ordering::Relaxed);
    sender.join().unwrap();
    assert!(harness.proactor.statistics().retries > 0, "no signal interrupted anything");
}

/// A file that must not grow stands for a disk that is full. Red when `move_position` in `in_flight.rs` does not move it: what follows a
/// write that came short is written over it.
#[test]
fn s34_a_write_that_comes_short_is_followed_by_the_next_and_not_overwritten() {
    let content = pattern(6 << 20, 4);
    let size = (1 << 20) + 4096;
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        // SAFETY: makes a new descriptor and touches nothing else.
        let made = unsafe { libc::memfd_create(c"full".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
        assert!(made >= 0);
        // SAFETY: just made, known to nobody else.
        let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(made) });
        file.set_len(size).unwrap();
        // SAFETY: adds a seal to a file of ours.
        assert_eq!(unsafe { libc::fcntl(made, libc::F_ADD_SEALS, libc::F_SEAL_GROW) }, 0);
        let descriptor = harness.proactor.adopt(file.try_clone().unwrap().into()).unwrap();
        let source = harness.block(6 << 20);
        harness.fill(source, &content);
        let write = |offset: u32, length| {
            let source = BlockRange { offset, length, ..source };
            Op::Write { descriptor, source, position: Position::Current }
        };
        assert_eq!(harness.run(write(0, 100)).result, 100);
        let written = 100 + harness.run(write(100, 3 << 20)).result as u32;
        assert!(written > 100 && u64::from(written) <= size);
        assert_eq!(file.stream_position().unwrap(), u64::from(written));
        let rest = vec![BlockRange { offset: written, length: 3 << 20, ..source }];
        let next = harness.run(Op::Writev { descriptor, parts: rest, position: Position::Current }).result;
        let written = if next < 0 { written as usize } else { written as usize + next as usize };
        assert!(next == -libc::EPERM || written as u64 == size, "{next}");
        let mut found = vec![0; written];
        file.read_exact_at(&mut found, 0).unwrap();
        assert!(found == content[..written]);
    }
}
