//! Description: the block table with invented addresses; nothing is ever dereferenced.

use super::{BlockId, BlockKind, BlockRange, BlockTable, Returned};
use crate::error::Fault;
use proptest::prelude::*;
use std::collections::HashSet;
use std::ptr::NonNull;

const SIZE: u32 = 4096;

fn table(count: u32) -> BlockTable {
    let mut table = BlockTable::default();
    assert_eq!(table.add_class(NonNull::dangling(), SIZE, count, 0), BlockId(0));
    table
}

fn whole(block: u32) -> BlockRange {
    BlockRange { block: BlockId(block), offset: 0, length: SIZE }
}

#[test]
fn a_block_in_an_op_cannot_be_given_to_another() {
    let mut table = table(1);
    assert_eq!(table.lend(whole(0), 5), Ok(()));
    assert_eq!(table.lend(whole(0), 6), Err(Fault::Block));
    assert_eq!(table.busy(), 1);
    assert_eq!(table.give_back(BlockId(0), 5), Returned::Kept);
    assert_eq!(table.lend(whole(0), 6), Ok(()));
}

#[test]
fn a_vectored_op_may_name_a_block_twice_and_gives_it_back_once() {
    let mut table = table(1);
    table.lend(whole(0), 5).unwrap();
    table.lend(whole(0), 5).unwrap();
    assert_eq!(table.busy(), 1);
    table.give_back(BlockId(0), 5);
    table.give_back(BlockId(0), 5);
    assert_eq!(table.busy(), 0);
}

#[test]
#[should_panic(expected = "comes back from the op that has it")]
fn a_block_does_not_come_back_from_a_stranger() {
    let mut table = table(1);
    table.lend(whole(0), 5).unwrap();
    table.give_back(BlockId(0), 6);
}

#[test]
fn ranges_are_checked_without_overflow() {
    let mut table = table(1);
    let rows =
        [(0, SIZE, true), (SIZE, 0, true), (1, SIZE, false), (SIZE, 1, false), (u32::MAX, u32::MAX, false), (0, u32::MAX, false)];
    for (offset, length, fits) in rows {
        let range = BlockRange { block: BlockId(0), offset, length };
        assert_eq!(table.lend(range, 1), if fits { Ok(()) } else { Err(Fault::Range) }, "{offset} {length}");
        table.give_back(BlockId(0), 1);
    }
    assert_eq!(table.lend(whole(1), 1), Err(Fault::Block));
    assert_eq!(table.lend(BlockRange { block: BlockId::NONE, ..whole(0) }, 1), Err(Fault::Block));
}

#[test]
fn a_provided_block_is_the_groups_until_the_kernel_chose_it() {
    let mut table = table(2);
    assert_eq!(table.check_provide(BlockId(1), 1), Err(Fault::Block), "another class's group");
    assert_eq!(table.check_provide(BlockId(1), 0), Ok(()));
    let (address, length) = table.provide(BlockId(1));
    assert_eq!((address.as_ptr(), length), (NonNull::<u8>::dangling().as_ptr().wrapping_add(SIZE as usize), SIZE));
    assert_eq!(table.check_provide(BlockId(1), 0), Err(Fault::Block));
    assert_eq!(table.lend(whole(1), 3), Err(Fault::Block));
    table.take(BlockId(1));
    assert_eq!(table.lend(whole(1), 3), Ok(()));
}

#[test]
fn a_retired_block_is_vacant_now_or_at_its_ops_end() {
    let mut table = table(1);
    let own = table.add(NonNull::dangling(), 64, BlockKind::Own);
    let range = BlockRange { block: own, offset: 0, length: 64 };
    table.lend(range, 1).unwrap();
    assert_eq!(table.retire(own), Ok(Returned::Kept));
    assert_eq!(table.give_back(own, 1), Returned::Vacated);
    assert_eq!(table.lend(range, 1), Err(Fault::Block));
    assert_eq!(table.retire(own), Err(Fault::Block));
    let pinned = table.add(NonNull::dangling(), 64, BlockKind::Pinned);
    assert_eq!(pinned, own, "a vacant id is used again");
    assert_eq!(table.retire(pinned), Ok(Returned::Vacated));
    assert_eq!(table.retire(BlockId(0)), Err(Fault::Block), "pool blocks stay");
}

#[test]
fn only_registered_blocks_are_fixed() {
    let mut table = table(3);
    table.set_fixed(BlockId(0), 2, 7);
    assert_eq!([0, 1, 2, 99].map(|block| table.fixed(BlockId(block))), [Some(7), Some(7), None, None]);
}

proptest! {
    /// The oracle: a set of idle blocks, of provided blocks, and of (block, slot) pairs.
    #[test]
    fn a_block_is_in_exactly_one_place(steps in prop::collection::vec((0usize..5, 0u32..8, 0u32..3), 0..300)) {
        let mut table = table(6);
        let mut idle: HashSet<u32> = (0..6).collect();
        let mut provided: HashSet<u32> = HashSet::new();
        let mut busy: HashSet<(u32, u32)> = HashSet::new();
        for (kind, block, slot) in steps {
            match kind {
                0 | 1 => {
                    let allowed = idle.contains(&block) || busy.contains(&(block, slot));
                    prop_assert_eq!(table.lend(whole(block), slot).is_ok(), allowed);
                    if allowed { idle.remove(&block); busy.insert((block, slot)); }
                }
                2 => if busy.remove(&(block, slot)) {
                    table.give_back(BlockId(block), slot);
                    idle.insert(block);
                },
                3 => {
                    prop_assert_eq!(table.check_provide(BlockId(block), 0).is_ok(), idle.contains(&block));
                    if idle.remove(&block) { table.provide(BlockId(block)); provided.insert(block); }
                }
                _ => if provided.remove(&block) { table.take(BlockId(block)); idle.insert(block); },
            }
            prop_assert_eq!(table.busy() as usize, busy.len());
            prop_assert_eq!(table.provided() as usize, provided.len());
            prop_assert_eq!(busy.iter().map(|(block, _)| block).collect::<HashSet<_>>().len(), busy.len());
        }
    }
}
