//! Description: descriptors: an op sees the file it was submitted for, a close waits for its turn, and no integer leaks.

mod harness;

use harness::{Harness, RUNGS, TemporaryFile, c_path, pipe};
use ritsu::{DescriptorId, Detail, Fault, Op, OpOptions, Position};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The tests count the integers of the whole process, so they run one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_integers() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn is_open(integer: RawFd) -> bool {
    std::fs::symlink_metadata(format!("/proc/self/fd/{integer}")).is_ok()
}

fn open(harness: &mut Harness, file: &TemporaryFile) -> (DescriptorId, RawFd) {
    let outcome = harness.run(Op::Open { path: c_path(&file.0), flags: libc::O_RDWR, mode: 0 });
    let Detail::Opened(descriptor, integer) = outcome.detail else { panic!("errno {}", -outcome.result) };
    (descriptor, integer)
}

/// The hazard: an entry that is queued resolves its integer when it is submitted. Close and open in between, and the kernel would read
/// another file.
#[test]
fn s13_a_queued_read_sees_its_own_file_although_it_was_closed_and_another_opened() {
    let _alone = alone();
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (mine, other) = (TemporaryFile::new(b"mine"), TemporaryFile::new(b"other"));
        let (descriptor, integer) = open(&mut harness, &mine);
        let target = harness.block(64);
        let read = harness.submit(Op::Read { descriptor, target, position: Position::At(0) });
        let close = harness.submit(Op::Close { descriptor });
        assert!(is_open(integer), "an op still holds it");
        let another = File::open(&other.0).unwrap();
        assert_ne!(another.as_raw_fd(), integer);
        let late = harness.try_submit(Op::Fsync { descriptor }, OpOptions::default()).unwrap_err();
        assert_eq!(late.error, Fault::Descriptor, "out of the table at once");
        assert_eq!(harness.wait(read).result, 4);
        assert_eq!(harness.bytes(target, 4), b"mine");
        assert_eq!(harness.wait(close).result, 0);
        assert!(!is_open(integer));
        let again = File::open(&other.0).unwrap();
        assert_eq!(again.as_raw_fd(), integer, "now it may be used again");
        let unknown = harness.try_submit(Op::Close { descriptor }, OpOptions::default()).unwrap_err();
        assert_eq!(unknown.error, Fault::Descriptor);
        assert_eq!(harness.proactor.statistics().descriptors_open, 0);
    }
}

#[test]
fn s2_a_close_waits_for_the_ops_that_hold_the_descriptor() {
    let _alone = alone();
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (descriptor, writer) = harness.pipe();
        let target = harness.block(64);
        let read = harness.submit(Op::Read { descriptor, target, position: Position::Current });
        harness.turn();
        let close = harness.submit(Op::Close { descriptor });
        for _ in 0..5 {
            harness.turn();
        }
        assert!(harness.outcomes.is_empty(), "the read still holds it");
        assert!(!harness.proactor.pending(), "a waiting close does not keep a loop busy");
        File::from(writer).write_all(b"bytes").unwrap();
        assert_eq!(harness.wait(read).result, 5);
        assert_eq!(harness.wait(close).result, 0);
    }
}

#[test]
fn opened_files_close_on_exec_and_with_their_proactor() {
    let _alone = alone();
    let before = open_integers();
    let file = TemporaryFile::new(b"");
    let mut harness = Harness::on_rung(0);
    let integers: Vec<_> = (0..10).map(|_| open(&mut harness, &file).1).collect();
    for integer in &integers {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{integer}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        assert_ne!(i32::from_str_radix(flags.trim(), 8).unwrap() & libc::O_CLOEXEC, 0);
    }
    drop(harness);
    assert!(integers.iter().all(|integer| !is_open(*integer)));
    assert_eq!(open_integers(), before, "ring and eventfd included");
}

#[test]
fn s31_two_thousand_opens_cancelled_at_random_leak_no_integer() {
    let _alone = alone();
    let file = TemporaryFile::new(b"");
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let before = open_integers();
        let (mut opened, mut cancelled) = (0, 0);
        for round in 0..2000u32 {
            // O_CREAT goes to a kernel worker, where a cancel can meet it half-way.
            let flags = libc::O_RDWR | if round % 2 == 0 { libc::O_CREAT } else { 0 };
            let token = harness.submit(Op::Open { path: c_path(&file.0), flags, mode: 0o600 });
            if round % 5 > 0 {
                harness.enter();
            }
            harness.proactor.cancel(token);
            let outcome = harness.wait(token);
            if let Detail::Opened(descriptor, _) = outcome.detail {
                harness.close(descriptor);
                opened += 1;
            } else {
                // An open that a worker was waiting in ends with EINTR.
                assert!([-libc::ECANCELED, -libc::EINTR].contains(&outcome.result), "{}", outcome.result);
                cancelled += 1;
            }
        }
        assert!(opened > 0 && cancelled > 0, "{opened} opened, {cancelled} cancelled");
        assert_eq!(open_integers(), before);
        assert_eq!(harness.proactor.statistics().descriptors_open, 0);
    }
}

#[test]
fn opens_that_arrive_in_a_drain_are_closed() {
    let _alone = alone();
    let file = TemporaryFile::new(b"");
    let before = open_integers();
    let mut harness = Harness::on_rung(0);
    for _ in 0..100 {
        harness.submit(Op::Open { path: c_path(&file.0), flags: libc::O_RDONLY, mode: 0 });
    }
    harness.enter();
    let deadline = std::time::Instant::now() + harness::PATIENCE;
    let mut results = Vec::new();
    assert_eq!(harness.proactor.drain(deadline, &mut |outcome| results.push(outcome)).remaining, 0);
    assert_eq!(results.len(), 100);
    assert!(results.iter().all(|outcome| outcome.result == -libc::ECANCELED && outcome.detail == Detail::None));
    assert_eq!(open_integers(), before + 2, "ring and eventfd");
}

#[test]
fn an_adopted_descriptor_is_the_proactors_to_close() {
    let _alone = alone();
    let mut harness = Harness::on_rung(0);
    let (reader, _writer) = pipe();
    let integer = reader.as_raw_fd();
    let descriptor = harness.proactor.adopt(reader).unwrap();
    assert_eq!(harness.proactor.statistics().descriptors_open, 1);
    harness.close(descriptor);
    assert!(!is_open(integer));
}
