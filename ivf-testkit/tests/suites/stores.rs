//! Tests of the store suite: the array lists of ivf-core pass, and their faulty variants are
//! caught.

use crate::assert_caught;
use ivf_core::bytes::AlignedBytes;
use ivf_core::error::{DecodeError, StoreError};
use ivf_core::executor::Inline;
use ivf_core::lists::{ArrayLists, ListBatch, ListRef, Moved, PlaneBytes, Segment, SegmentIds, StoreSpec};
use ivf_core::node::StoredFields;
use ivf_core::{
    CodeLayout, Executor, Id, InvertedLists, InvertedListsMut, ListNo, ListOffset, Location, Node, StoredNode,
};
use ivf_testkit::segments;
use ivf_testkit::stores::{check_store, check_store_export};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

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
    PanicsOnBadLengths,
    KeepsItsMemory,
    SaysNoMemory,
}

#[derive(Debug)]
struct Faulty {
    lists: ArrayLists,
    fault: Fault,
    /// Maximum memory so far, in bytes.
    memory: AtomicUsize,
}

impl Faulty {
    fn make(nlist: usize, layout: &CodeLayout, fault: Fault) -> Box<dyn InvertedLists> {
        Box::new(Self { lists: ArrayLists::new(nlist, layout.clone()), fault, memory: AtomicUsize::new(0) })
    }
}

/// Faulty lists whose snapshots share their content.
#[derive(Debug)]
struct Shared(Arc<Mutex<ArrayLists>>, CodeLayout);

impl Shared {
    fn get(&self) -> MutexGuard<'_, ArrayLists> {
        self.0.lock().expect("no lock holder panics")
    }
}

impl InvertedLists for Shared {
    fn tag(&self) -> &str {
        ArrayLists::ROW.tag
    }
    fn nlist(&self) -> usize {
        self.get().nlist()
    }
    fn layout(&self) -> &CodeLayout {
        &self.1
    }
    fn list_len(&self, list: ListNo) -> Result<usize, StoreError> {
        self.get().list_len(list)
    }
    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError> {
        let lists = self.get();
        let list = lists.list(list)?;
        let segment = |segment: &Segment<'_>| {
            let plane = |p| PlaneBytes::Shared(AlignedBytes::copy_of(segment.plane(p)).into());
            let ids = (0..segment.len()).map(|slot| segment.ids().get(slot)).collect();
            Segment::new(&self.1, SegmentIds::Shared(ids), (0..self.1.plane_count()).map(plane).collect())
        };
        Ok(ListRef::new(list.segments().map(segment).collect::<Result<Vec<_>, _>>()?))
    }
    fn memory(&self) -> usize {
        self.get().memory()
    }
    fn export(&self) -> Result<Node<'_>, StoreError> {
        Err(StoreError::ReadOnly)
    }
    fn snapshot(&self) -> Result<Box<dyn InvertedLists>, StoreError> {
        Ok(Box::new(Self(self.0.clone(), self.1.clone())))
    }
    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        Some(self)
    }
}

impl InvertedListsMut for Shared {
    fn append(&mut self, batch: &ListBatch<'_>, executor: &dyn Executor) -> Result<(), StoreError> {
        self.get().append(batch, executor)
    }
    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError> {
        self.get().truncate(list, len)
    }
    fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError> {
        self.get().put(at, id, code)
    }
    fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError> {
        self.get().remove(list, offsets)
    }
    fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError> {
        self.get().replace(list, ids, codes)
    }
    fn clear(&mut self) -> Result<(), StoreError> {
        self.get().clear()
    }
}

impl InvertedLists for Faulty {
    fn tag(&self) -> &str {
        self.lists.tag()
    }
    fn nlist(&self) -> usize {
        self.lists.nlist()
    }
    fn layout(&self) -> &CodeLayout {
        self.lists.layout()
    }
    fn list_len(&self, list: ListNo) -> Result<usize, StoreError> {
        self.lists.list_len(list)
    }
    fn list(&self, list: ListNo) -> Result<ListRef<'_>, StoreError> {
        self.lists.list(list)
    }
    fn memory(&self) -> usize {
        let memory = self.lists.memory();
        match self.fault {
            Fault::KeepsItsMemory => self.memory.fetch_max(memory, Ordering::Relaxed).max(memory),
            Fault::SaysNoMemory => 0,
            _ => memory,
        }
    }
    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.lists.export()
    }
    fn snapshot(&self) -> Result<Box<dyn InvertedLists>, StoreError> {
        Err(StoreError::NoSnapshot { tag: self.tag().to_owned() })
    }
    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        Some(self)
    }
}

impl Faulty {
    fn content(&self, list: ListNo) -> Result<(Vec<Id>, Vec<u8>), StoreError> {
        let list = self.lists.list(list)?;
        Ok((list.ids().collect(), list.unpack(self.lists.layout())))
    }
}

impl InvertedListsMut for Faulty {
    fn append(&mut self, batch: &ListBatch<'_>, executor: &dyn Executor) -> Result<(), StoreError> {
        match self.fault {
            Fault::AppendsHalfABatch => {
                for group in batch.groups() {
                    let (ids, codes) = (group.ids().collect::<Vec<_>>(), group.codes().collect::<Vec<_>>().concat());
                    let lists = vec![group.list; group.len()];
                    self.lists.append(&ListBatch::group(&lists, &ids, &codes, batch.code_size()), &Inline)?;
                }
                Ok(())
            }
            Fault::AppendsBackwards if executor.threads() > 1 && batch.code_size() == self.layout().code_size() => {
                for group in batch.groups() {
                    for (id, code) in group.ids().zip(group.codes()).collect::<Vec<_>>().into_iter().rev() {
                        self.lists.append(&ListBatch::group(&[group.list], &[id], code, batch.code_size()), &Inline)?;
                    }
                }
                Ok(())
            }
            _ => self.lists.append(batch, executor),
        }
    }

    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError> {
        let len = if self.fault == Fault::ForgetsTheTail { len.next_multiple_of(4) } else { len };
        self.lists.truncate(list, len)
    }

    fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError> {
        assert!(self.fault != Fault::PanicsOnBadLengths || code.len() == self.layout().code_size(), "a whole code");
        let kept = self.lists.list(at.list)?.ids().nth(at.offset.index());
        self.lists.put(at, kept.filter(|_| self.fault == Fault::LosesIdsOnPut).unwrap_or(id), code)
    }

    fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError> {
        let (ids, codes) = self.content(list)?;
        let moves = self.lists.remove(list, offsets)?;
        match self.fault {
            Fault::ShiftsOnRemove => {
                let stays = |i: &usize| !offsets.contains(&ListOffset(*i as u32));
                let size = self.layout().code_size();
                let left: Vec<usize> = (0..ids.len()).filter(stays).collect();
                let ids: Vec<Id> = left.iter().map(|&i| ids[i]).collect();
                let codes: Vec<u8> = left.iter().flat_map(|&i| &codes[i * size..][..size]).copied().collect();
                self.lists.replace(list, &ids, &codes)?;
                Ok(moves)
            }
            Fault::ReportsNoMoves => Ok(Vec::new()),
            _ => Ok(moves),
        }
    }

    fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError> {
        self.lists.replace(list, ids, codes)
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.lists.clear()
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
        (Fault::PanicsOnBadLengths, "panics"),
        (Fault::KeepsItsMemory, "after clear, "),
    ] {
        assert_caught(words, || {
            check_store(&|nlist, layout| Faulty::make(nlist, layout, fault));
        });
    }
    assert_caught("the snapshot of step", || {
        check_store(&|nlist, layout| {
            let lists = ArrayLists::new(nlist, layout.clone());
            Box::new(Shared(Arc::new(Mutex::new(lists)), layout.clone()))
        });
    });
}

#[test]
fn faulty_readers_are_caught() {
    assert_caught("panicked", || {
        check_store_export(&array, &|node, layout| {
            // Indexes a slice without checking its length.
            let lens = node.array::<u64>("lens")?;
            let plane = node.array::<u8>("plane0")?;
            let bytes: usize = lens.iter().map(|&len| layout.plane_bytes(0, len as usize)).sum();
            assert!(plane[..bytes].len() == bytes);
            read(node, layout)
        });
    });
    assert_caught("bytes of memory, out of which come", || {
        check_store_export(&|nlist, layout| Faulty::make(nlist, layout, Fault::SaysNoMemory), &read);
    });
    assert_caught("read back", || {
        check_store_export(&array, &|node, layout| {
            let nlist = read(node, layout)?.nlist();
            Ok(array(nlist, layout))
        });
    });
    // Each of these readers accepts one kind of wrong layout.
    for (lost, words) in [
        ("code_size", "read as lists of another code size"),
        ("block_len", "read as lists of another block length"),
        ("layout", "read as lists of another name"),
        ("codec", "read as lists of another codec"),
    ] {
        assert_caught(words, || {
            check_store_export(&array, &|node, layout| {
                let mut node = node.clone();
                if let StoredFields::Named(fields) = &mut node.fields {
                    match lost {
                        "code_size" => fields.set(lost, layout.code_size()),
                        "block_len" => fields.set(lost, layout.block_len()),
                        "layout" => fields.set(lost, layout.name()),
                        _ => fields.set(lost, layout.codec()),
                    }
                }
                read(&node, layout)
            });
        });
    }
}
