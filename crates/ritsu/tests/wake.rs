//! Description: sleeping on the eventfd as an event loop does: enter without waiting, signalling off while awake, no wake-up lost.

mod harness;

use harness::{Harness, PATIENCE, RUNGS};
use ritsu::{BlockRange, Op, Position};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
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
        if on {
            assert!(!harness.proactor.rest());
        } else {
            harness.proactor.mute();
        }
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
        harness.proactor.mute();
        harness.proactor.clear_event();
        assert!(!harness.proactor.pending(), "the last look");
        File::from(writer).write_all(b"between").unwrap();
        assert_eq!(harness.proactor.clear_event() > 0, !harness.proactor.capability().signalling);
        assert!(harness.proactor.rest(), "rung {first_rung}");
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
            harness.proactor.mute();
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
            if !harness.proactor.rest() && !reads.is_empty() {
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

/// An enter that does not wait does a part of the work only (Linux 6.13: 20 items), says by TASKRUN that there is more, and signals
/// nothing: who takes that for a stale flag sleeps for ever. Here a byte wakes all readers of a pipe, of whom one gets it.
#[test]
fn what_a_busy_enter_leaves_behind_is_not_slept_on() {
    const LOSERS: usize = 100;
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let ((crowded, crowd_writer), (last, last_writer)) = (harness.pipe(), harness.pipe());
        for _ in 0..LOSERS {
            let target = harness.block(64);
            harness.submit(Op::Read { descriptor: crowded, target, position: Position::Current });
        }
        let target = harness.block(64);
        let awaited = harness.submit(Op::Read { descriptor: last, target, position: Position::Current });
        harness.turn();
        while harness.proactor.rest() {
            harness.turn();
        }
        for writer in [&crowd_writer, &last_writer] {
            File::from(writer.try_clone().unwrap()).write_all(b".").unwrap();
        }
        while !harness.outcomes.iter().any(|outcome| outcome.token == awaited) {
            assert!(sleep_on_event(&harness, Duration::from_secs(2)), "rung {first_rung}: a wake-up was lost");
            harness.proactor.clear_event();
            loop {
                harness.proactor.mute();
                // As the pump does it: rounds until one brings nothing.
                while harness.proactor.pending() {
                    let before = harness.outcomes.len();
                    harness.turn();
                    if harness.outcomes.len() == before {
                        break;
                    }
                }
                if !harness.proactor.rest() {
                    break;
                }
            }
        }
        assert_eq!(harness.outcomes.len(), 2, "rung {first_rung}: one of the crowd, and the last");
    }
}

/// A thread that spins, and writes a byte for each that is asked for, until it is told to end.
fn writing_on_demand(mut writer: File) -> (Arc<AtomicUsize>, Arc<AtomicBool>, JoinHandle<()>) {
    let (asked, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let thread = std::thread::spawn({
        let (asked, ended) = (Arc::clone(&asked), Arc::clone(&ended));
        move || {
            let mut written = 0;
            while !ended.load(Ordering::Relaxed) {
                while written < asked.load(Ordering::Acquire) {
                    writer.write_all(b".").unwrap();
                    written += 1;
                }
                std::hint::spin_loop();
            }
        }
    });
    (asked, ended, thread)
}

/// A kernel thread on another core puts work on the list, we do it, and only then the kernel says that there is work: TASKRUN stays set
/// with nothing behind it, and no enter clears it. An event loop that believed it would turn without end.
#[test]
fn work_that_was_done_before_it_was_announced_keeps_nobody_awake() {
    const ROUNDS: usize = 100_000;
    /// Looks after which whatever the kernel has still been doing for the last round is over.
    const LOOKS: usize = 100;
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (descriptor, writer) = harness.pipe();
        let target = harness.block(4096);
        let (asked, ended, thread) = writing_on_demand(File::from(writer));
        let (start, mut is_stale) = (Instant::now(), false);
        for round in 0..ROUNDS {
            harness.submit(Op::Read { descriptor, target, position: Position::Current });
            harness.proactor.mute();
            harness.turn();
            // With a stale flag, sleep: what comes then is not announced by the flag.
            let is_sleeper = is_stale && !harness.proactor.rest();
            asked.fetch_add(1, Ordering::Release);
            while harness.outcomes.is_empty() {
                assert!(start.elapsed() < PATIENCE);
                if is_sleeper {
                    assert!(
                        sleep_on_event(&harness, Duration::from_secs(2)),
                        "rung {first_rung}, round {round}: a wake-up was lost"
                    );
                    harness.proactor.clear_event();
                }
                if !is_sleeper || harness.proactor.pending() {
                    harness.turn();
                }
            }
            assert_eq!(harness.outcomes.pop().map(|outcome| outcome.result), Some(1));
            let mut looks = 0;
            let mut enters = harness.proactor.statistics().enters;
            while harness.proactor.rest() {
                looks += 1;
                assert!(looks < LOOKS, "rung {first_rung}, round {round}: nothing is in flight, and there is always work");
                harness.turn();
                enters = harness.proactor.statistics().enters;
            }
            is_stale = harness.proactor.statistics().enters > enters;
            if is_stale {
                // What completes at once leaves the flag as it is. It may stand for work again, so both looks have to say so.
                harness.submit(Op::Nop { result: 0 });
                harness.proactor.mute();
                harness.turn();
                harness.outcomes.clear();
                assert!(
                    harness.proactor.rest() && harness.proactor.pending(),
                    "rung {first_rung}, round {round}: one look believes it"
                );
                harness.turn();
                assert!(!harness.proactor.rest(), "rung {first_rung}, round {round}: nothing came");
            }
        }
        ended.store(true, Ordering::Relaxed);
        thread.join().unwrap();
    }
}
