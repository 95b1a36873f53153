//! Stores: the array lists of ivf-core, and the same with faults.

use crate::assert_caught;
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::executor::Inline;
use ivf_core::lists::{ArrayLists, ListBatch, ListRef, Moved, StoreSpec};
use ivf_core::{
    CodeLayout, Executor, Id, InvertedLists, InvertedListsMut, ListNo, ListOffset, Location, Node, StoredNode,
};
use ivf_testkit::segments;
use ivf_testkit::stores::{check_store, check_store_export};

fn array(nlist: usize, layout: &CodeLayout) -> Box<dyn InvertedLists> {
    Box::new(ArrayLists::new(nlist, layout.clone()))
}

fn read(node: &StoredNode, layout: &CodeLayout) -> Result<Box<dyn InvertedLists>, DecodeError> {
    Ok(Box::new(ArrayLists::read(node, layout)?))
}

#[test]
fn array_lists_pass() {
    check_store(&array);
    check_store_export(&array, &read);
}

#[test]
fn segmented_lists_pass() {
    let make = |nlist: usize, layout: &CodeLayout| segments::ROW.create(nlist, layout).expect("it cannot fail");
    check_store(&make);
    check_store_export(&make, &segments::ROW.read);
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    ShiftsOnRemove,
    ReportsNoMoves,
    ForgetsTheTail,
    AppendsHalfABatch,
    LosesIdsOnPut,
    AppendsBackwards,
}

#[derive(Debug)]
struct Faulty(ArrayLists, Fault);

impl InvertedLists for Faulty {
    fn nlist(&self) -> usize {
        self.0.nlist()
    }
    fn layout(&self) -> &CodeLayout {
        self.0.layout()
    }
    fn list_len(&self, list: ListNo) -> Result<usize, StoreError> {
        self.0.list_len(list)
    }
    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError> {
        self.0.list(list)
    }
    fn memory(&self) -> usize {
        self.0.memory()
    }
    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.0.export()
    }
    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        Some(self)
    }
}

impl Faulty {
    fn content(&self, list: ListNo) -> Result<(Vec<Id>, Vec<u8>), StoreError> {
        let list = self.0.list(list)?;
        Ok((list.ids().collect(), list.unpack(self.0.layout())))
    }
}

impl InvertedListsMut for Faulty {
    fn append(&mut self, batch: &ListBatch<'_>, executor: &dyn Executor) -> Result<(), StoreError> {
        match self.1 {
            Fault::AppendsHalfABatch => {
                for group in batch.groups() {
                    let (ids, codes) = (group.ids().collect::<Vec<_>>(), group.codes().collect::<Vec<_>>().concat());
                    let lists = vec![group.list; group.len()];
                    self.0.append(&ListBatch::group(&lists, &ids, &codes, batch.code_size()), &Inline)?;
                }
                Ok(())
            }
            Fault::AppendsBackwards if executor.threads() > 1 && batch.code_size() == self.layout().code_size() => {
                for group in batch.groups() {
                    for (id, code) in group.ids().zip(group.codes()).collect::<Vec<_>>().into_iter().rev() {
                        self.0.append(&ListBatch::group(&[group.list], &[id], code, batch.code_size()), &Inline)?;
                    }
                }
                Ok(())
            }
            _ => self.0.append(batch, executor),
        }
    }

    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError> {
        let len = if self.1 == Fault::ForgetsTheTail { len.next_multiple_of(4) } else { len };
        self.0.truncate(list, len)
    }

    fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError> {
        let kept = self.0.list(at.list)?.ids().nth(at.offset.index());
        self.0.put(at, kept.filter(|_| self.1 == Fault::LosesIdsOnPut).unwrap_or(id), code)
    }

    fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError> {
        let (ids, codes) = self.content(list)?;
        let moves = self.0.remove(list, offsets)?;
        match self.1 {
            Fault::ShiftsOnRemove => {
                let stays = |i: &usize| !offsets.contains(&ListOffset(*i as u32));
                let size = self.layout().code_size();
                let left: Vec<usize> = (0..ids.len()).filter(stays).collect();
                let ids: Vec<Id> = left.iter().map(|&i| ids[i]).collect();
                let codes: Vec<u8> = left.iter().flat_map(|&i| &codes[i * size..][..size]).copied().collect();
                self.0.replace(list, &ids, &codes)?;
                Ok(moves)
            }
            Fault::ReportsNoMoves => Ok(Vec::new()),
            _ => Ok(moves),
        }
    }

    fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError> {
        self.0.replace(list, ids, codes)
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.0.clear()
    }
}

#[test]
fn faulty_stores_are_caught() {
    for (fault, words) in [
        (Fault::ShiftsOnRemove, "ids"),
        (Fault::ReportsNoMoves, "moves of the removal"),
        (Fault::ForgetsTheTail, "length"),
        (Fault::AppendsHalfABatch, "after failed append with a list past the end"),
        (Fault::LosesIdsOnPut, "after put"),
        (Fault::AppendsBackwards, "entries on 3 threads"),
    ] {
        assert_caught(words, || {
            check_store(&|nlist, layout| Box::new(Faulty(ArrayLists::new(nlist, layout.clone()), fault)));
        });
    }
}

#[test]
fn faulty_readers_are_caught() {
    assert_caught("panicked", || {
        check_store_export(&array, &|node, layout| {
            // Indexing where a checked read belongs.
            let lens = node.array::<u64>("lens")?;
            let plane = node.array::<u8>("plane0")?;
            let bytes: usize = lens.iter().map(|&len| layout.plane_bytes(0, len as usize)).sum();
            assert!(plane[..bytes].len() == bytes);
            read(node, layout)
        });
    });
    assert_caught("read back", || {
        check_store_export(&array, &|node, layout| {
            let nlist = read(node, layout)?.nlist();
            Ok(array(nlist, layout))
        });
    });
    assert_caught("read as lists of", || {
        check_store_export(&array, &|node, layout| read(node, layout).or_else(|_| Ok(array(1, layout))));
    });
}
