//! Description: the life of a slot, with invented completions instead of a kernel.

use super::{CancelStep, Lifecycle, SlotTable};
use crate::error::Fault;
use crate::identity::{GENERATION_MAX, Token};
use proptest::prelude::*;
use std::collections::HashMap;

fn token(slot: u32, generation: u32) -> Token {
    Token { slot, generation }
}

fn queued(slot: u32) -> SlotTable<&'static str> {
    let mut table = SlotTable::new(4);
    table.occupy(token(slot, 0), "cargo", Lifecycle::Queued);
    table
}

#[test]
fn an_op_is_queued_pushed_completed_and_the_generation_moves_on() {
    let mut table = queued(2);
    assert_eq!(table.in_flight(), 1);
    assert!(table.push(token(2, 0)).is_some());
    assert!(table.complete(token(2, 0)).is_some());
    table.free(token(2, 0));
    assert_eq!(table.in_flight(), 0);
    assert_eq!(table.check(token(2, 0)), Err(Fault::Generation));
    assert_eq!(table.check(token(2, 1)), Ok(()));
}

#[test]
fn an_occupied_slot_a_wrong_generation_and_an_unknown_slot_are_refused() {
    let table = queued(1);
    assert_eq!(table.check(token(1, 0)), Err(Fault::Occupied));
    assert_eq!(table.check(token(0, 1)), Err(Fault::Generation));
    assert_eq!(table.check(token(4, 0)), Err(Fault::Slot));
}

#[test]
fn s16_a_completion_of_an_old_generation_is_stale() {
    let mut table = queued(0);
    table.push(token(0, 0));
    table.free(token(0, 0));
    table.occupy(token(0, 1), "next", Lifecycle::Queued);
    table.push(token(0, 1));
    assert_eq!(table.complete(token(0, 0)), None);
    assert_eq!(table.complete(token(0, 1)), Some(&mut "next"));
}

#[test]
fn a_completion_for_an_op_the_kernel_never_had_is_stale() {
    let mut table = queued(0);
    assert_eq!(table.complete(token(0, 0)), None);
    assert_eq!(table.complete(token(3, 0)), None);
    assert_eq!(table.complete(token(99, 0)), None);
}

#[test]
fn a_multishot_op_completes_many_times_and_is_freed_once() {
    let mut table = queued(0);
    table.push(token(0, 0));
    for _ in 0..3 {
        assert!(table.complete(token(0, 0)).is_some());
        assert_eq!(table.in_flight(), 1);
    }
    table.free(token(0, 0));
    assert_eq!(table.complete(token(0, 0)), None);
}

#[test]
#[should_panic(expected = "only an occupied slot is freed")]
fn freeing_twice_is_a_broken_invariant() {
    let mut table = queued(0);
    table.free(token(0, 0));
    table.free(token(0, 0));
}

#[test]
fn a_cancel_of_a_queued_op_withdraws_it() {
    let mut table = queued(0);
    assert_eq!(table.cancel(token(0, 0)), CancelStep::Withdrawn);
    assert_eq!(table.push(token(0, 0)), None, "the kernel must not see it");
    assert_eq!(table.cancel(token(0, 0)), CancelStep::Nothing);
    assert_eq!(table.ready(token(0, 0)), Some((&mut "cargo", -libc::ECANCELED)));
}

#[test]
fn a_pushed_op_is_cancelled_once_and_completes_by_itself() {
    let mut table = queued(0);
    table.push(token(0, 0));
    assert_eq!(table.cancel(token(0, 0)), CancelStep::Send);
    assert!(table.is_cancelling(token(0, 0)));
    assert_eq!(table.cancel(token(0, 0)), CancelStep::Nothing);
    assert!(table.complete(token(0, 0)).is_some());
    table.free(token(0, 0));
    assert!(!table.is_cancelling(token(0, 0)), "a cancel that comes too late is not sent");
}

#[test]
fn s16_a_late_cancel_does_not_reach_the_slots_next_op() {
    let mut table = queued(0);
    table.push(token(0, 0));
    table.free(token(0, 0));
    table.occupy(token(0, 1), "next", Lifecycle::Queued);
    assert_eq!(table.cancel(token(0, 0)), CancelStep::Nothing);
    assert!(table.push(token(0, 1)).is_some());
}

#[test]
fn a_waiting_close_is_not_pushed_or_cancelled_before_it_is_queued() {
    let mut table = SlotTable::new(1);
    table.occupy(token(0, 0), "close", Lifecycle::Waiting);
    assert_eq!(table.push(token(0, 0)), None);
    assert_eq!(table.cancel(token(0, 0)), CancelStep::Nothing);
    table.queue(token(0, 0));
    assert!(table.push(token(0, 0)).is_some());
}

#[test]
fn an_op_that_is_pushed_in_part_is_shown_again_until_it_is_cancelled() {
    let mut table = SlotTable::new(1);
    table.occupy(token(0, 0), "many", Lifecycle::Queued);
    assert!(table.push(token(0, 0)).is_some() && table.push(token(0, 0)).is_some());
    assert_eq!(table.cancel(token(0, 0)), CancelStep::Send);
    assert_eq!(table.push(token(0, 0)), None);
    table.make_ready(token(0, 0), -5);
    assert_eq!(table.complete(token(0, 0)), None, "the kernel has nothing of it");
    assert_eq!(table.ready(token(0, 0)), Some((&mut "many", -5)));
}

#[test]
fn a_generation_wraps_to_zero() {
    let mut table = SlotTable::new(1);
    table.occupy(token(0, 0), (), Lifecycle::Ready(0));
    table.free(token(0, 0));
    table.chunks[0][0].generation = GENERATION_MAX;
    table.occupy(token(0, GENERATION_MAX), (), Lifecycle::Ready(0));
    table.free(token(0, GENERATION_MAX));
    assert_eq!(table.check(token(0, 0)), Ok(()));
}

#[test]
fn slots_are_made_when_they_are_used_and_never_move() {
    let mut table = SlotTable::<u64>::new(100_000);
    table.occupy(token(3, 0), 7, Lifecycle::Queued);
    let before = std::ptr::from_ref(table.cargo(token(3, 0)).expect("occupied"));
    assert_eq!(table.chunks.len(), 1);
    assert_eq!(table.check(token(99_999, 0)), Ok(()));
    assert_eq!(table.check(token(99_999, 1)), Err(Fault::Generation));
    assert_eq!(table.check(token(100_000, 0)), Err(Fault::Slot));
    table.occupy(token(99_999, 0), 9, Lifecycle::Queued);
    assert_eq!(std::ptr::from_ref(table.cargo(token(3, 0)).expect("occupied")), before);
    assert_eq!(table.tokens(), [token(3, 0), token(99_999, 0)]);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Occupy(Token),
    Push(Token),
    Cancel(Token),
    Final(Token),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let token = (0u32..3, 0u32..4).prop_map(|(slot, generation)| Token { slot, generation });
    prop::collection::vec(
        (0usize..4, token).prop_map(|(kind, token)| match kind {
            0 => Step::Occupy(token),
            1 => Step::Push(token),
            2 => Step::Cancel(token),
            _ => Step::Final(token),
        }),
        0..200,
    )
}

/// The oracle: which tokens are in flight, and what the kernel may know of them.
#[derive(Default)]
struct Oracle {
    generation: HashMap<u32, u32>,
    ops: HashMap<Token, Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    /// All, or a part of it.
    Pushed,
    /// It is to be ended: nothing more of it is pushed.
    Cancelling,
}

proptest! {
    #[test]
    fn every_accepted_op_ends_exactly_once(steps in steps()) {
        let mut table = SlotTable::new(3);
        let mut oracle = Oracle::default();
        for step in steps {
            match step {
                Step::Occupy(token) => {
                    let current = *oracle.generation.entry(token.slot).or_insert(0);
                    let taken = oracle.ops.contains_key(&Token { slot: token.slot, generation: current });
                    prop_assert_eq!(table.check(token).is_ok(), !taken && current == token.generation);
                    if table.check(token).is_ok() {
                        table.occupy(token, token, Lifecycle::Queued);
                        oracle.ops.insert(token, Known::Nothing);
                    }
                }
                Step::Push(token) => {
                    let pushable = matches!(oracle.ops.get(&token), Some(Known::Nothing | Known::Pushed));
                    prop_assert_eq!(table.push(token).is_some(), pushable);
                    if pushable {
                        oracle.ops.insert(token, Known::Pushed);
                    }
                }
                Step::Cancel(token) => {
                    let step = table.cancel(token);
                    match oracle.ops.get(&token) {
                        Some(Known::Nothing) => {
                            prop_assert_eq!(step, CancelStep::Withdrawn);
                            prop_assert_eq!(table.ready(token).map(|(cargo, result)| (*cargo, result)), Some((token, -libc::ECANCELED)));
                            table.free(token);
                            oracle.ops.remove(&token);
                            oracle.generation.insert(token.slot, token.next().generation);
                        }
                        Some(Known::Pushed) => {
                            prop_assert_eq!(step, CancelStep::Send);
                            oracle.ops.insert(token, Known::Cancelling);
                        }
                        Some(Known::Cancelling) | None => prop_assert_eq!(step, CancelStep::Nothing),
                    }
                }
                Step::Final(token) => {
                    let known = matches!(oracle.ops.get(&token), Some(Known::Pushed | Known::Cancelling));
                    prop_assert_eq!(table.complete(token).copied(), known.then_some(token));
                    if known {
                        table.free(token);
                        oracle.ops.remove(&token);
                        oracle.generation.insert(token.slot, token.next().generation);
                    }
                }
            }
            prop_assert_eq!(table.in_flight() as usize, oracle.ops.len());
            prop_assert_eq!(table.tokens().len(), oracle.ops.len());
        }
    }
}
