//! Description: cancels. The target's own completion decides, nothing is lost, and no cancel is dropped.

mod harness;

use harness::{Harness, RUNGS, TemporaryFile, pattern};
use ritsu::{BlockRange, Config, Op, Position, Token};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[test]
fn a_queued_op_is_withdrawn_and_never_happened() {
    let mut harness = Harness::on_rung(0);
    let file = TemporaryFile::new(b"before");
    let descriptor = harness.open(&file.0, libc::O_RDWR);
    let source = harness.block(4096);
    harness.fill(source, b"after!");
    let enters = harness.proactor.statistics().enters;
    let token = harness.submit(Op::Write { descriptor, source, position: Position::At(0) });
    harness.proactor.cancel(token);
    harness.proactor.cancel(token);
    assert!(harness.proactor.pending());
    assert_eq!(harness.reap(), 1, "known without asking the kernel");
    assert_eq!(harness.outcomes[0].result, -libc::ECANCELED);
    let statistics = harness.proactor.statistics();
    assert_eq!((statistics.enters, statistics.withdrawn, statistics.cancels_sent), (enters, 1, 0));
    assert_eq!((statistics.blocks_busy, statistics.in_flight), (0, 0));
    harness.outcomes.clear();
    // The slot's next op is queued behind the withdrawn one and is not taken for it.
    assert_eq!(harness.run(Op::Nop { result: 0 }).token, token.next());
    assert_eq!(std::fs::read(&file.0).unwrap(), b"before");
}

#[test]
fn a_cancelled_pipe_read_consumes_nothing() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (descriptor, writer) = harness.pipe();
        let target = harness.block(64);
        let token = harness.submit(Op::Read { descriptor, target, position: Position::Current });
        harness.turn();
        harness.proactor.cancel(token);
        harness.proactor.cancel(token);
        assert_eq!(harness.wait(token).result, -libc::ECANCELED);
        assert_eq!(harness.proactor.statistics().cancels_sent, 1, "one cancel for an op");
        File::from(writer).write_all(b"still here").unwrap();
        assert_eq!(harness.read(descriptor, target, Position::Current), b"still here");
    }
}

#[test]
fn a_late_cancel_does_nothing() {
    let mut harness = Harness::on_rung(0);
    let token = harness.submit(Op::Nop { result: 0 });
    harness.wait(token);
    harness.proactor.cancel(token);
    let (descriptor, writer) = harness.pipe();
    let target = harness.block(64);
    let next = harness.submit(Op::Read { descriptor, target, position: Position::Current });
    assert_eq!(next, token.next(), "the same slot");
    harness.turn();
    harness.proactor.cancel(token);
    harness.proactor.cancel(Token { slot: u32::MAX, generation: 0 });
    harness.turn();
    assert_eq!(harness.proactor.statistics().cancels_sent, 0);
    File::from(writer).write_all(b"x").unwrap();
    assert_eq!(harness.wait(next).result, 1);
}

#[test]
fn s28_cancels_wait_for_room_and_go_before_ops() {
    for first_rung in RUNGS {
        let mut harness = Harness::new(Config { entries: 4, first_rung, ..Config::default() });
        let (descriptor, _writer) = harness.pipe();
        let reads: Vec<_> = (0..32)
            .map(|_| {
                let target = harness.block(64);
                harness.submit(Op::Read { descriptor, target, position: Position::Current })
            })
            .collect();
        while harness.proactor.pending() {
            harness.turn();
        }
        assert_eq!(harness.proactor.in_flight(), 32);
        for _ in 0..200 {
            harness.submit(Op::Nop { result: 0 });
        }
        for read in &reads {
            harness.proactor.cancel(*read);
        }
        for _ in 0..8 {
            harness.enter();
        }
        assert_eq!(harness.proactor.statistics().cancels_sent, 32);
        let outcomes = harness.wait_all();
        for read in reads {
            let outcome = outcomes.iter().find(|outcome| outcome.token == read).expect("every read ends");
            assert_eq!(outcome.result, -libc::ECANCELED);
        }
        assert_eq!(outcomes.len(), 232);
    }
}

#[test]
fn a_disk_read_ends_by_itself_or_cancelled_but_never_torn() {
    let mut harness = Harness::on_rung(0);
    let content = pattern(1 << 20, 11);
    let file = TemporaryFile::new(&content);
    let descriptor = harness.open(&file.0, libc::O_RDONLY | libc::O_DIRECT);
    let target = harness.block(1 << 20);
    for _ in 0..20 {
        harness.fill(target, &vec![0; 1 << 20]);
        let token = harness.submit(Op::Read { descriptor, target, position: Position::At(0) });
        harness.enter();
        harness.proactor.cancel(token);
        match harness.wait(token).result {
            result if result >= 0 => assert_eq!(harness.bytes(target, result as usize), &content[..result as usize]),
            result => assert_eq!(result, -libc::ECANCELED),
        }
    }
}

#[test]
fn a_close_is_not_cancelled() {
    let mut harness = Harness::on_rung(0);
    let (descriptor, _writer) = harness.pipe();
    let token = harness.submit(Op::Close { descriptor });
    harness.proactor.cancel(token);
    assert_eq!(harness.wait(token).result, 0);
    assert_eq!(harness.proactor.statistics().descriptors_open, 0);
}

#[test]
fn all_ops_can_be_cancelled_at_once() {
    let mut harness = Harness::on_rung(0);
    let (descriptor, _writer) = harness.pipe();
    let duration = Duration::from_secs(100);
    for _ in 0..10 {
        let target = harness.block(64);
        harness.submit(Op::Read { descriptor, target, position: Position::Current });
        harness.submit(Op::Timeout { duration });
    }
    harness.turn();
    harness.submit(Op::Timeout { duration });
    harness.proactor.cancel_all();
    let outcomes = harness.wait_all();
    assert!(outcomes.iter().all(|outcome| outcome.result == -libc::ECANCELED));
    assert_eq!((outcomes.len(), harness.proactor.statistics().withdrawn), (21, 1));
}

/// A writer thread sends counting numbers; every read is cancelled at a moment of its own. What was delivered, put together, must be
/// what was sent.
#[test]
fn no_byte_is_lost_or_repeated_in_cancel_races() {
    const NUMBERS: u32 = 20_000;
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (descriptor, writer) = harness.pipe();
        let cancelled = Arc::new(AtomicU32::new(0));
        let seen = cancelled.clone();
        let thread = std::thread::spawn(move || {
            let mut writer = File::from(writer);
            for number in 0..NUMBERS {
                // Now and then the pipe stays empty until a read was cancelled, so that both ends are met on any machine.
                while number % 16 == 0 && seen.load(Ordering::Relaxed) < number / 16 {
                    std::thread::yield_now();
                }
                writer.write_all(&number.to_le_bytes()).unwrap();
            }
        });
        let target = BlockRange { length: 12, ..harness.block(64) };
        let (mut received, mut won) = (Vec::new(), 0);
        loop {
            let token = harness.submit(Op::Read { descriptor, target, position: Position::Current });
            harness.enter();
            for _ in 0..received.len() % 50 {
                std::hint::spin_loop();
            }
            harness.proactor.cancel(token);
            let result = harness.wait(token).result;
            match result {
                0 => break,
                1.. => {
                    received.extend(harness.bytes(target, result as usize));
                    won += 1;
                }
                _ => {
                    assert_eq!(result, -libc::ECANCELED);
                    cancelled.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        thread.join().unwrap();
        let expected: Vec<u8> = (0..NUMBERS).flat_map(u32::to_le_bytes).collect();
        assert!(received == expected, "{} bytes of {}", received.len(), expected.len());
        assert!(won > 0 && cancelled.load(Ordering::Relaxed) > 0);
    }
}
