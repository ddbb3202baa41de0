//! Description: sleeping on the eventfd as an event loop does: enter without waiting, signalling off while awake, no wake-up lost.

mod harness;

use harness::{Harness, PATIENCE, RUNGS};
use ritsu::{BlockRange, Op, Position};
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

/// Sleeps until the eventfd is readable. `false` if it was not in time.
fn sleep_on_event(harness: &Harness, patience: Duration) -> bool {
    let mut entry = libc::pollfd { fd: harness.proactor.event_fd(), events: libc::POLLIN, revents: 0 };
    let start = Instant::now();
    // A signal cuts the sleep short in the modes without deferral.
    while entry.revents == 0 && start.elapsed() < patience {
        // SAFETY: one pollfd, alive during the call.
        unsafe { libc::poll(&raw mut entry, 1, patience.as_millis() as libc::c_int) };
    }
    entry.revents == libc::POLLIN
}

#[test]
fn the_eventfd_signals_while_signalling_is_on_only() {
    let mut harness = Harness::on_rung(0);
    for on in [true, false] {
        harness.proactor.clear_event();
        harness.proactor.signalling(on);
        harness.submit(Op::Nop { result: 0 });
        harness.enter();
        assert!(harness.proactor.pending(), "a completion waits");
        let signalled = harness.proactor.clear_event() > 0;
        assert_eq!(signalled, on || !harness.proactor.capability().signalling);
        assert_eq!(harness.reap(), 1);
        assert!(!harness.proactor.pending());
    }
}

#[test]
fn a_sleeper_on_the_eventfd_is_woken_and_one_enter_brings_the_outcome() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (descriptor, writer) = harness.pipe();
        let target = harness.block(4096);
        let token = harness.submit(Op::Read { descriptor, target, position: Position::Current });
        harness.turn();
        harness.proactor.clear_event();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            File::from(writer).write_all(b"wake").unwrap();
        });
        assert!(sleep_on_event(&harness, Duration::from_secs(5)), "rung {first_rung}");
        assert!(harness.proactor.pending());
        harness.turn();
        assert_eq!((harness.outcomes[0].token, harness.outcomes[0].result), (token, 4));
        thread.join().unwrap();
    }
}

/// What arrives after the last look and before signalling is on again is not signalled: the second look must see it.
#[test]
fn what_arrives_while_signalling_is_off_is_seen_by_the_look_after() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (descriptor, writer) = harness.pipe();
        let target = harness.block(4096);
        harness.submit(Op::Read { descriptor, target, position: Position::Current });
        harness.turn();
        harness.proactor.signalling(false);
        harness.proactor.clear_event();
        assert!(!harness.proactor.pending(), "the last look");
        File::from(writer).write_all(b"between").unwrap();
        harness.proactor.signalling(true);
        assert_eq!(harness.proactor.clear_event() > 0, !harness.proactor.capability().signalling);
        assert!(harness.proactor.pending(), "rung {first_rung}");
        harness.turn();
        assert_eq!(harness.outcomes[0].result, 7);
    }
}

/// The loop of an event loop: off while awake, on before sleeping, and one more look in between.
#[test]
fn no_wake_up_is_lost_between_two_sleeps() {
    const BYTES: usize = 100_000;
    const PIPES: usize = 4;
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let mut threads = Vec::new();
        let mut reads: Vec<_> = (0..PIPES)
            .map(|_| {
                let (descriptor, writer) = harness.pipe();
                threads.push(std::thread::spawn(move || {
                    let mut writer = File::from(writer);
                    for _ in 0..BYTES / PIPES {
                        writer.write_all(b".").unwrap();
                    }
                }));
                let target = BlockRange { length: 16, ..harness.block(64) };
                (harness.submit(Op::Read { descriptor, target, position: Position::Current }), descriptor, target)
            })
            .collect();
        let (start, mut received) = (Instant::now(), 0);
        while !reads.is_empty() {
            harness.proactor.signalling(false);
            while harness.proactor.pending() {
                assert!(start.elapsed() < PATIENCE, "work that no enter brings");
                harness.turn();
                for outcome in std::mem::take(&mut harness.outcomes) {
                    let index = reads.iter().position(|(token, ..)| *token == outcome.token).expect("a read of ours");
                    let (_, descriptor, target) = reads.swap_remove(index);
                    received += usize::try_from(outcome.result).expect("no error");
                    if outcome.result > 0 {
                        let read = Op::Read { descriptor, target, position: Position::Current };
                        reads.push((harness.submit(read), descriptor, target));
                    }
                }
            }
            harness.proactor.signalling(true);
            if !harness.proactor.pending() && !reads.is_empty() {
                assert!(sleep_on_event(&harness, Duration::from_secs(2)), "a wake-up was lost after {received} bytes");
                harness.proactor.clear_event();
            }
        }
        assert_eq!(received, BYTES);
        for thread in threads {
            thread.join().unwrap();
        }
    }
}
