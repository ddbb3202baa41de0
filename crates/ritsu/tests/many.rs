//! Description: one op that reads at many places. Its parts are the kernel's in whatever number there is room for, and one op to everybody
//! else: one slot, one block, one outcome, one cancel.

mod harness;

use harness::{Harness, RUNGS, TemporaryFile, pattern};
use ritsu::{BlockRange, Config, DescriptorId, Detail, Entered, Fault, Op, OpOptions, Outcome, Position, Token};
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

const SHARE: u32 = 64;

fn many(descriptor: DescriptorId, target: BlockRange, positions: &[u64]) -> Op {
    Op::ReadMany { descriptor, target, positions: positions.into(), fixed: false }
}

/// A target for so many places.
fn target(harness: &mut Harness, count: usize) -> BlockRange {
    BlockRange { length: SHARE * count as u32, ..harness.block(SHARE * count as u32) }
}

fn counts(outcome: Outcome) -> Vec<i32> {
    let Detail::Counts(counts) = outcome.detail else { panic!("errno {}", -outcome.result) };
    assert_eq!(outcome.result, counts.iter().sum::<i32>());
    counts.into_vec()
}

/// A proactor whose submission queue has fewer entries than the ops of these tests have parts.
fn narrow(first_rung: usize) -> Harness {
    Harness::new(Config { first_rung, entries: 4, completion_entries: 8, ..Config::default() })
}

#[test]
fn each_place_goes_to_its_share() {
    for first_rung in RUNGS {
        for asynchronous in [false, true] {
            let mut harness = Harness::on_rung(first_rung);
            let content = pattern(10_000, 5);
            let file = TemporaryFile::new(&content);
            let descriptor = harness.open(&file.0, libc::O_RDONLY);
            let positions = [4096, 0, 9_990, 20_000, 4096, 1];
            let block = harness.block(4096);
            let target = BlockRange { offset: 100, length: SHARE * 6, ..block };
            let token = harness.try_submit(many(descriptor, target, &positions), OpOptions { asynchronous }).unwrap();
            let outcome = harness.wait(token);
            assert!(!outcome.more);
            assert_eq!(counts(outcome), [64, 64, 10, 0, 64, 64]);
            for (index, position) in positions.iter().enumerate() {
                let expected: Vec<u8> = content.iter().copied().skip(*position as usize).take(SHARE as usize).collect();
                let share = BlockRange { offset: 100 + SHARE * index as u32, ..target };
                assert_eq!(harness.bytes(share, expected.len()), expected);
            }
            assert_eq!(harness.proactor.statistics().blocks_busy, 0);
        }
    }
}

#[test]
fn more_places_than_the_queue_has_entries() {
    for first_rung in RUNGS {
        let mut harness = narrow(first_rung);
        let content = pattern(100_000, 6);
        let file = TemporaryFile::new(&content);
        let descriptor = harness.open(&file.0, libc::O_RDONLY);
        let positions: Vec<u64> = (0..1024u64).map(|index| index * 7919 % 99_000).collect();
        let first = target(&mut harness, 1024);
        let second = target(&mut harness, 1024);
        let before = harness.submit(Op::Nop { result: 0 });
        let tokens = [first, second].map(|target| harness.submit(many(descriptor, target, &positions)));
        let after = harness.submit(Op::Nop { result: 0 });
        assert_eq!(harness.proactor.in_flight(), 4);
        for token in tokens {
            let outcome = harness.wait(token);
            assert_eq!(counts(outcome), [SHARE as i32; 1024]);
        }
        assert_eq!((harness.wait(before).result, harness.wait(after).result), (0, 0));
        for (index, position) in positions.iter().enumerate() {
            let share = BlockRange { offset: SHARE * index as u32, ..second };
            assert_eq!(harness.bytes(share, SHARE as usize), content[*position as usize..][..SHARE as usize]);
        }
        let statistics = harness.proactor.statistics();
        assert_eq!((statistics.stale, statistics.in_flight, statistics.completed), (0, 0, statistics.submitted));
    }
}

#[test]
fn a_full_page_does_not_heap_up_completions_in_the_kernel() {
    for first_rung in RUNGS {
        let mut harness = narrow(first_rung);
        let file = TemporaryFile::new(&pattern(10_000, 6));
        let descriptor = harness.open(&file.0, libc::O_RDONLY);
        let tokens = [(); 3].map(|()| {
            let target = target(&mut harness, 1024);
            harness.submit(many(descriptor, target, &[0; 1024]))
        });
        let before = harness.proactor.statistics().enters;
        while harness.proactor.push_and_submit() != Entered::Done {}
        let enters = harness.proactor.statistics().enters - before;
        assert!(enters < 20, "{enters} enters, of 4 parts each, for a completion queue of 8");
        assert!(harness.proactor.pending(), "what is left is not forgotten");
        for token in tokens {
            let outcome = harness.wait(token);
            assert_eq!(counts(outcome), [SHARE as i32; 1024]);
        }
    }
}

#[test]
fn the_block_is_the_ops_until_the_last_part_is_over() {
    for first_rung in RUNGS {
        let mut harness = Harness::on_rung(first_rung);
        let (pipe, mut writer) = harness.pipe();
        let block = target(&mut harness, 2);
        let token = harness.submit(many(pipe, block, &[0, 0]));
        let mut writer = File::from(std::mem::replace(&mut writer, harness::pipe().1));
        writer.write_all(&[1; SHARE as usize]).unwrap();
        for _ in 0..3 {
            harness.turn();
        }
        assert!(harness.outcomes.is_empty(), "one of two");
        let other = Op::Read { descriptor: pipe, target: block, position: Position::Current };
        assert_eq!(harness.try_submit(other, OpOptions::default()).unwrap_err().error, Fault::Block);
        assert_eq!((harness.proactor.statistics().blocks_busy, harness.proactor.in_flight()), (1, 1));
        writer.write_all(b"late").unwrap();
        let mut got = counts(harness.wait(token));
        got.sort_unstable();
        assert_eq!(got, [4, 64]);
        assert_eq!(harness.proactor.statistics().blocks_busy, 0);
    }
}

#[test]
fn wrong_shapes_are_refused_and_take_nothing() {
    let mut harness = Harness::on_rung(0);
    let file = TemporaryFile::new(b"content");
    let descriptor = harness.open(&file.0, libc::O_RDONLY);
    let block = harness.block(65_536 * 2);
    let rows: [(u32, Vec<u64>, Fault); 6] = [
        (64, vec![], Fault::Argument),
        (65, vec![0, 1], Fault::Argument),
        (1025, vec![0; 1025], Fault::Argument),
        (64, vec![0, i64::MAX as u64 + 1], Fault::Argument),
        (65_536 * 2 + 2, vec![0, 1], Fault::Range),
        (64, vec![0; 64], Fault::Descriptor),
    ];
    for (length, positions, fault) in rows {
        let file = if fault == Fault::Descriptor { DescriptorId(77) } else { descriptor };
        let op = many(file, BlockRange { length, ..block }, &positions);
        assert_eq!(harness.try_submit(op, OpOptions::default()).unwrap_err().error, fault, "{length} of {}", positions.len());
    }
    let unregistered =
        Op::ReadMany { descriptor, target: BlockRange { length: 64, ..block }, positions: Box::new([0]), fixed: true };
    assert_eq!(harness.try_submit(unregistered, OpOptions::default()).unwrap_err().error, Fault::Block);
    assert_eq!(harness.proactor.statistics().blocks_busy, 0);
}

#[test]
fn a_place_that_cannot_be_read_is_the_answer_of_all() {
    let mut harness = Harness::on_rung(0);
    let directory = harness.open(&std::env::temp_dir(), libc::O_RDONLY);
    let block = target(&mut harness, 3);
    let outcome = harness.run(many(directory, block, &[0, 1, 2]));
    assert_eq!((outcome.result, outcome.detail), (-libc::EISDIR, Detail::None));
    assert_eq!(harness.proactor.statistics().blocks_busy, 0);
}

#[test]
fn registered_memory() {
    let mut harness = Harness::on_rung(0);
    let content = pattern(16_384, 7);
    let file = TemporaryFile::new(&content);
    let descriptor = harness.open(&file.0, libc::O_RDONLY);
    let (_, first) = harness.pool(8192, 2);
    assert_eq!(harness.proactor.register_pool(first, 2), 2);
    let target = BlockRange { block: first, offset: 0, length: 8192 };
    let outcome = harness.run(Op::ReadMany { descriptor, target, positions: Box::new([8192, 0]), fixed: true });
    assert_eq!(counts(outcome), [4096, 4096]);
    assert_eq!(harness.bytes(target, 8192), [&content[8192..12_288], &content[..4096]].concat());
}

/// 100 reads of a pipe that has nothing.
fn waiting(harness: &mut Harness) -> (Token, DescriptorId, File) {
    let (pipe, writer) = harness.pipe();
    let block = target(harness, 100);
    (harness.submit(many(pipe, block, &[0; 100])), pipe, File::from(writer))
}

#[test]
fn a_cancel_ends_all_parts_and_consumes_nothing() {
    for first_rung in RUNGS {
        // Turns before the cancel: the kernel has seen none of the parts, four, most, all.
        for turns in [0, 1, 20, 40] {
            let mut harness = narrow(first_rung);
            let (token, pipe, mut writer) = waiting(&mut harness);
            for _ in 0..turns {
                harness.turn();
            }
            harness.proactor.cancel(token);
            harness.proactor.cancel(token);
            let outcome = harness.wait(token);
            assert_eq!((outcome.result, outcome.detail), (-libc::ECANCELED, Detail::None), "{turns}");
            writer.write_all(b"still here").unwrap();
            let block = harness.block(SHARE);
            assert_eq!(harness.read(pipe, block, Position::Current), b"still here");
            let statistics = harness.proactor.statistics();
            assert_eq!((statistics.blocks_busy, statistics.stale, statistics.in_flight), (0, 0, 0));
            // The slot's next op is not taken for it.
            assert_eq!(harness.run(Op::Nop { result: 0 }).result, 0);
        }
    }
}

#[test]
fn a_cancel_when_the_kernel_has_answered_what_it_was_given() {
    let mut harness = narrow(0);
    let file = TemporaryFile::new(&pattern(10_000, 8));
    let descriptor = harness.open(&file.0, libc::O_RDONLY);
    let block = target(&mut harness, 100);
    let token = harness.submit(many(descriptor, block, &[0; 100]));
    harness.turn();
    harness.proactor.cancel(token);
    assert_eq!(harness.wait(token).result, -libc::ECANCELED);
    assert_eq!(harness.proactor.statistics().cancels_sent, 0, "there was nothing to cancel");
    assert_eq!(harness.proactor.statistics().blocks_busy, 0);
    let outcome = harness.run(many(descriptor, block, &[0; 100]));
    assert_eq!(counts(outcome), [64; 100]);
}

#[test]
fn a_close_waits_for_all_parts() {
    let mut harness = narrow(0);
    let (token, pipe, mut writer) = waiting(&mut harness);
    let close = harness.submit(Op::Close { descriptor: pipe });
    for _ in 0..40 {
        harness.turn();
    }
    assert!(harness.outcomes.is_empty());
    writer.write_all(b"x").unwrap();
    drop(writer);
    let got = counts(harness.wait(token));
    assert_eq!(got.iter().sum::<i32>(), 1);
    assert_eq!(harness.wait(close).result, 0);
}

#[test]
fn a_drain_ends_all_parts() {
    for first_rung in RUNGS {
        for turns in [0, 1, 40] {
            let mut harness = narrow(first_rung);
            let kept: Vec<_> = (0..3).map(|_| waiting(&mut harness)).collect();
            for _ in 0..turns {
                harness.turn();
            }
            let mut ended = Vec::new();
            let drained =
                harness.proactor.drain(Instant::now() + Duration::from_secs(10), &mut |outcome| ended.push(outcome.result));
            assert_eq!((drained.remaining, ended), (0, vec![-libc::ECANCELED; 3]));
            assert_eq!(harness.proactor.statistics().blocks_busy, 0);
            drop(kept);
        }
    }
}
