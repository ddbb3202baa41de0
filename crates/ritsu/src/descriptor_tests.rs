//! Description: the descriptor table with plain numbers for files.

use super::{CloseStep, DescriptorId, DescriptorTable};
use crate::identity::Token;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

const CLOSE: Token = Token { slot: 9, generation: 3 };

#[test]
fn a_close_without_holders_goes_at_once_and_hides_the_descriptor() {
    let mut table = DescriptorTable::new();
    let id = table.insert(5).unwrap();
    assert_eq!(table.close(id, CLOSE), Some((CloseStep::Now, &5)));
    assert_eq!(table.hold(id), None);
    assert_eq!(table.close(id, CLOSE), None);
    assert_eq!(table.open(), 1);
    assert_eq!(table.closed(id), 5);
    assert_eq!(table.open(), 0);
}

#[test]
fn a_close_waits_for_the_last_holder() {
    let mut table = DescriptorTable::new();
    let id = table.insert(5).unwrap();
    table.hold(id).unwrap();
    table.hold(id).unwrap();
    assert_eq!(table.close(id, CLOSE).unwrap().0, CloseStep::Later);
    assert_eq!(table.release(id), None);
    assert_eq!(table.release(id), Some(CLOSE));
}

#[test]
fn an_old_id_does_not_reach_the_indexs_next_file() {
    let mut table = DescriptorTable::new();
    let first = table.insert(0).unwrap();
    table.close(first, CLOSE).unwrap();
    table.closed(first);
    let again = (0..).find_map(|file| {
        Some(table.insert(file).unwrap()).filter(|id| id.index() == first.index()).or_else(|| {
            let id = table.insert(1000).unwrap();
            table.close(id, CLOSE).unwrap();
            table.closed(id);
            None
        })
    });
    assert_ne!(again, Some(first));
    assert_eq!(table.hold(first), None);
    assert_eq!(table.close(first, CLOSE), None);
}

#[test]
fn unknown_ids_are_refused() {
    let mut table = DescriptorTable::<u32>::new();
    for id in [DescriptorId(0), DescriptorId(77), DescriptorId::NONE] {
        assert_eq!(table.hold(id), None);
        assert_eq!(table.close(id, CLOSE), None);
    }
}

#[test]
#[should_panic(expected = "released by its holders only")]
fn releasing_without_holding_is_a_broken_invariant() {
    let mut table = DescriptorTable::new();
    let id = table.insert(5).unwrap();
    table.release(id);
}

struct CountsDrops(Rc<Cell<u32>>);
impl Drop for CountsDrops {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn at_a_bad_end_only_unheld_files_are_closed() {
    let drops = Rc::new(Cell::new(0));
    let mut table = DescriptorTable::new();
    let ids = [(); 3].map(|()| table.insert(CountsDrops(drops.clone())).ok().unwrap());
    table.hold(ids[0]);
    table.close(ids[1], CLOSE);
    table.close_unheld_and_forget_the_rest();
    assert_eq!(drops.get(), 1);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Insert,
    Hold(usize),
    Release(usize),
    Close(usize),
    Closed(usize),
}

#[derive(Debug, Clone, Copy)]
struct Model {
    file: u32,
    holders: u32,
    closing: bool,
}

proptest! {
    #[test]
    fn the_table_agrees_with_a_map(steps in prop::collection::vec((0usize..5, 0usize..12), 0..300)) {
        let mut table = DescriptorTable::new();
        let mut oracle: HashMap<DescriptorId, Model> = HashMap::new();
        let mut given: Vec<DescriptorId> = Vec::new();
        for (number, (kind, which)) in steps.into_iter().enumerate() {
            let step = [Step::Insert, Step::Hold(which), Step::Release(which), Step::Close(which), Step::Closed(which)][kind];
            let id_of = |which: usize| given.get(which % given.len().max(1)).copied().unwrap_or(DescriptorId::NONE);
            match step {
                Step::Insert => {
                    let id = table.insert(number as u32).unwrap();
                    let earlier = oracle.insert(id, Model { file: number as u32, holders: 0, closing: false });
                    prop_assert!(earlier.is_none());
                    given.push(id);
                }
                Step::Hold(which) => {
                    let expected = oracle.get_mut(&id_of(which)).filter(|model| !model.closing);
                    prop_assert_eq!(table.hold(id_of(which)).copied(), expected.as_ref().map(|model| model.file));
                    if let Some(model) = expected { model.holders += 1; }
                }
                Step::Release(which) => {
                    if let Some(model) = oracle.get_mut(&id_of(which)).filter(|model| model.holders > 0) {
                        model.holders -= 1;
                        let due = model.closing && model.holders == 0;
                        prop_assert_eq!(table.release(id_of(which)), due.then_some(CLOSE));
                    }
                }
                Step::Close(which) => {
                    let expected = oracle.get_mut(&id_of(which)).filter(|model| !model.closing);
                    prop_assert_eq!(table.close(id_of(which), CLOSE).is_some(), expected.is_some());
                    if let Some(model) = expected { model.closing = true; }
                }
                Step::Closed(which) => {
                    let id = id_of(which);
                    if oracle.get(&id).is_some_and(|model| model.closing && model.holders == 0) {
                        prop_assert_eq!(table.closed(id), oracle.remove(&id).unwrap().file);
                    }
                }
            }
            prop_assert_eq!(table.open() as usize, oracle.len());
        }
    }
}
