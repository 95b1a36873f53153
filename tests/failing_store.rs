//! Stores that fail: a failed write leaves the index as it was, and a failed read is an error.

#[allow(dead_code, reason = "this test has no need for all of it")]
mod device;

use ivf::cpu::coarse::FlatQuantizerSpec;
use ivf::cpu::codec::FlatSpec;
use ivf::cpu::{DedupIndex, IvfIndex, RayonPool, SharedIndex};
use ivf::error::{AddError, CodeError, EditError, MergeError, SearchError, StoreError};
use ivf::extend::{ArrayLists, CodeLayout, InvertedLists, InvertedListsMut, Node};
use ivf::lists::{ListBatch, ListRef, Moved, StoreSpec};
use ivf::{
    AddOptions, DirectMapKind, Executor, Id, IdSelector, Index, ListNo, ListOffset, Location, Metric, SearchParams,
};
use ivf_testkit::data;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const DIM: usize = 6;

/// The conditions under which the lists fail.
#[derive(Debug, Default)]
struct Faults {
    /// Number of appends that succeed before one fails. The failing one has already written.
    appends: AtomicUsize,
    reads: AtomicBool,
    removals: AtomicBool,
    /// Whether the store supports snapshots.
    snapshots: AtomicBool,
}

fn broken() -> StoreError {
    StoreError::Backend("the disk is gone".into())
}

#[derive(Debug)]
struct Fragile(Arc<Faults>);

impl StoreSpec for Fragile {
    fn tag(&self) -> &str {
        "fragile"
    }

    fn create(&self, nlist: usize, layout: &CodeLayout) -> Result<Box<dyn InvertedLists>, StoreError> {
        Ok(Box::new(FragileLists { lists: ArrayLists::new(nlist, layout.clone()), faults: self.0.clone() }))
    }
}

#[derive(Debug)]
struct FragileLists {
    lists: ArrayLists,
    faults: Arc<Faults>,
}

impl InvertedLists for FragileLists {
    fn tag(&self) -> &str {
        "fragile"
    }

    /// Refuses snapshots unless a test enables them, so that an index writes to the lists in place.
    fn snapshot(&self) -> Result<Box<dyn InvertedLists>, StoreError> {
        if !self.faults.snapshots.load(Ordering::Relaxed) {
            return Err(StoreError::NoSnapshot { tag: self.tag().to_owned() });
        }
        Ok(Box::new(Self { lists: self.lists.clone(), faults: self.faults.clone() }))
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
        if self.faults.reads.load(Ordering::Relaxed) { Err(broken()) } else { self.lists.list(list) }
    }

    fn memory(&self) -> usize {
        self.lists.memory()
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.lists.export()
    }

    fn writer(&mut self) -> Option<&mut dyn InvertedListsMut> {
        Some(self)
    }
}

impl InvertedListsMut for FragileLists {
    fn append(&mut self, batch: &ListBatch<'_>, executor: &dyn Executor) -> Result<(), StoreError> {
        self.lists.append(batch, executor)?;
        match self.faults.appends.load(Ordering::Relaxed) {
            0 => Err(broken()),
            left => {
                self.faults.appends.store(left - 1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    fn truncate(&mut self, list: ListNo, len: usize) -> Result<(), StoreError> {
        self.lists.truncate(list, len)
    }

    fn put(&mut self, at: Location, id: Id, code: &[u8]) -> Result<(), StoreError> {
        self.lists.put(at, id, code)
    }

    fn remove(&mut self, list: ListNo, offsets: &[ListOffset]) -> Result<Vec<Moved>, StoreError> {
        if self.faults.removals.load(Ordering::Relaxed) { Err(broken()) } else { self.lists.remove(list, offsets) }
    }

    fn replace(&mut self, list: ListNo, ids: &[Id], codes: &[u8]) -> Result<(), StoreError> {
        self.lists.replace(list, ids, codes)
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.lists.clear()
    }
}

fn make(map: DirectMapKind) -> (Box<dyn Index>, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    faults.appends.store(usize::MAX, Ordering::Relaxed);
    let quantizer = Arc::new(FlatQuantizerSpec { nlist: 5 });
    let index = IvfIndex::new(DIM, Metric::L2, quantizer, Arc::new(FlatSpec)).expect("a good specification");
    let mut index = index.with_store(Arc::new(Fragile(faults.clone())));
    index.set_direct_map(map).expect("nothing to map yet");
    let mut index: Box<dyn Index> = Box::new(index);
    ivf::knobs::set_knobs(&mut *index, "nprobe=5").expect("a knob that is there");
    index.train(data::uniform(1, 300, DIM).rows()).expect("enough vectors");
    index.add(data::uniform(2, 100, DIM).rows()).expect("nothing fails yet");
    (index, faults)
}

/// Returns an index that stores equal vectors once. The vectors of the first 20 ids are there
/// twice.
fn make_dedup() -> (Box<dyn Index>, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    faults.appends.store(usize::MAX, Ordering::Relaxed);
    let index =
        DedupIndex::new(DIM, Metric::L2, Arc::new(FlatQuantizerSpec { nlist: 5 })).expect("a good specification");
    let mut index: Box<dyn Index> = Box::new(index.with_store(Arc::new(Fragile(faults.clone()))));
    ivf::knobs::set_knobs(&mut *index, "nprobe=5").expect("a knob that is there");
    index.train(data::uniform(1, 300, DIM).rows()).expect("enough vectors");
    let vectors = data::uniform(2, 100, DIM);
    index.add(vectors.rows()).expect("nothing fails yet");
    index.add(vectors.rows().slice(0..20)).expect("nothing fails yet");
    (index, faults)
}

/// Returns everything that is observable of an index: its length, results and vectors.
fn seen(index: &dyn Index) -> (usize, ivf::Hits, Vec<Option<Vec<f32>>>) {
    let queries = data::uniform(3, 5, DIM);
    let found = index.search(queries.rows(), 500, &SearchParams::new()).expect("reads do not fail");
    (index.len(), found.hits, (0..120).map(|id| index.reconstruct(Id(id)).ok()).collect())
}

#[test]
fn a_failed_write_leaves_the_index_as_it_was() {
    for map in [DirectMapKind::None, DirectMapKind::Array, DirectMapKind::Hash] {
        let (mut index, faults) = make(map);
        let before = seen(&*index);
        // More than one block of vectors, so that a later block fails after earlier ones were
        // written.
        let many = data::uniform(4, 140_000, DIM);
        for fail_at in [0, 1, 2] {
            faults.appends.store(fail_at, Ordering::Relaxed);
            let failed = index.add(many.rows());
            assert!(matches!(failed, Err(AddError::Store(StoreError::Backend(_)))), "{failed:?}");
            assert!(seen(&*index) == before, "{map:?}, append {fail_at}");
        }
        let pool = RayonPool::new(2).expect("two threads");
        let options = AddOptions::new().executor(&pool);
        let codec = index.as_standalone_codec().expect("supported");
        let codes = codec.sa_encode(many.rows().slice(0..50).into(), &options).expect("nothing is written");
        faults.appends.store(0, Ordering::Relaxed);
        let failed = index.as_add_codes().expect("supported").add_codes(&codes, None, &options);
        assert!(matches!(failed, Err(CodeError::Add(AddError::Store(_)))), "{failed:?}");
        assert!(seen(&*index) == before, "{map:?}, codes");

        let failed = index.update(&[Id(3), Id(4)], many.rows().slice(0..2));
        assert!(matches!(failed, Err(EditError::Add(AddError::Store(_)))), "{failed:?}");
        assert!(seen(&*index) == before, "{map:?}, update");

        faults.removals.store(true, Ordering::Relaxed);
        let failed = index.remove(&IdSelector::set([Id(3)]));
        assert!(matches!(failed, Err(EditError::Store(_))), "{failed:?}");
        assert!(seen(&*index) == before, "{map:?}, removal");

        // Afterwards the index works normally.
        faults.appends.store(usize::MAX, Ordering::Relaxed);
        faults.removals.store(false, Ordering::Relaxed);
        index.add(many.rows().slice(0..1)).expect("nothing fails");
        assert_eq!(index.reconstruct(Id(100)).expect("the next id"), many.rows().row(0));
    }
}

#[test]
fn a_failed_write_leaves_copies_as_they_were() {
    let (mut index, faults) = make_dedup();
    let (mut other, _) = make_dedup();
    let before = (seen(&*index), seen(&*other));
    let vectors = data::uniform(4, 50, DIM);
    let old = data::uniform(2, 100, DIM);
    // Some rows have copies already.
    let mixed = [vectors.data.clone(), old.data.clone(), vectors.data.clone()].concat();
    let mixed = ivf::Rows::new(&mixed, DIM).expect("whole rows");
    let some = [Id(3), Id(30), Id(31), Id(103)];
    faults.removals.store(true, Ordering::Relaxed);
    faults.appends.store(0, Ordering::Relaxed);
    assert!(matches!(index.add(mixed), Err(AddError::Store(_))));
    assert!(matches!(index.update(&some, mixed.slice(48..52)), Err(EditError::Add(AddError::Store(_)))));
    assert!(matches!(index.remove(&IdSelector::range(0..60)), Err(EditError::Store(_))));
    // The copies of the other index are those of this one, so nothing would be written.
    other.add(vectors.rows()).expect("nothing fails there");
    let before_merge = seen(&*other);
    assert!(matches!(index.merge_from(&mut *other, 0), Err(MergeError::Add(AddError::Store(_)))));
    assert!(seen(&*index) == before.0 && seen(&*other) == before_merge);

    faults.removals.store(false, Ordering::Relaxed);
    faults.appends.store(usize::MAX, Ordering::Relaxed);
    index.update(&some, mixed.slice(48..52)).expect("nothing fails");
    assert_eq!(index.reconstruct_many(&some).expect("there"), mixed.slice(48..52).as_slice());
    index.merge_from(&mut *other, 1000).expect("nothing fails");
    assert_eq!((index.len(), other.len()), (120 + 170, 0));
}

#[test]
fn a_failed_merge_leaves_both_indexes_as_they_were() {
    let (mut index, faults) = make(DirectMapKind::Hash);
    let (mut other, _) = make(DirectMapKind::None);
    let before = (seen(&*index), seen(&*other));
    for fail_at in 0..5 {
        faults.appends.store(fail_at, Ordering::Relaxed);
        let failed = index.as_merge().expect("supported").merge_from(&mut *other, 1000, &AddOptions::new());
        assert!(matches!(failed, Err(MergeError::Store(_))), "{failed:?}");
        assert!((seen(&*index), seen(&*other)) == before, "append {fail_at}");
    }
    faults.appends.store(usize::MAX, Ordering::Relaxed);
    index.as_merge().expect("supported").merge_from(&mut *other, 1000, &AddOptions::new()).expect("nothing fails");
    assert_eq!((index.len(), other.len()), (200, 0));
}

#[test]
fn lists_that_cannot_be_read_are_an_error_of_the_search() {
    let (index, faults) = make(DirectMapKind::None);
    faults.reads.store(true, Ordering::Relaxed);
    for mode in ivf::ParallelMode::ALL {
        let queries = data::uniform(5, 20, DIM);
        let failed = index.search(queries.rows(), 3, &SearchParams::new().mode(mode));
        assert!(matches!(failed, Err(SearchError::Store(StoreError::Backend(_)))), "{mode:?}: {failed:?}");
    }
}

#[test]
fn an_update_that_cannot_be_published_leaves_no_trace() {
    let (index, faults) = make(DirectMapKind::Hash);
    faults.snapshots.store(true, Ordering::Relaxed);
    let shared = SharedIndex::new(index).expect("a snapshot");
    let before = seen(&*shared.load());

    faults.snapshots.store(false, Ordering::Relaxed);
    let add = |index: &mut dyn Index| index.add(data::uniform(4, 20, DIM).rows()).map(drop);
    let error = shared.update(add).expect_err("no snapshot to publish");
    assert!(matches!(error, AddError::Store(StoreError::NoSnapshot { .. })), "{error}");
    assert_eq!(seen(&*shared.load()), before);

    faults.snapshots.store(true, Ordering::Relaxed);
    assert_eq!(shared.update(|index| Ok::<_, StoreError>(seen(index))).expect("nothing fails"), before);
    shared.update(add).expect("nothing fails");
    assert_eq!(shared.load().len(), 120);
}

#[test]
fn a_device_that_holds_the_lists_needs_no_snapshot_of_them() {
    let (mut index, _) = make(DirectMapKind::None);
    let rows = data::uniform(4, 10, DIM);
    for _ in 0..2 {
        let calls = device::accelerate(&mut *index);
        index.add(rows.rows()).expect("the index writes in place");
        assert_eq!(calls.taken(), [1, 0, 0], "the device assigns");
        device::accelerate(&mut *index);
        index.remove(&IdSelector::range(0..5)).expect("the index writes in place");
        assert!(!device::is_accelerated(&*index));
    }
}
