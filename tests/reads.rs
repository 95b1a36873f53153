//! Bytes that an index reads from a file that is open in place.

use ivf::bytes::AlignedBytes;
use ivf::error::{DecodeError, StoreError};
use ivf::lists::PlaneBytes;
use ivf::section::Section;
use ivf::{AddOptions, Id, IdSelector, Index, Metric, ParallelMode, SearchParams, Subset};
use ivf_testkit::data;
use ivf_testkit::executor::Threads;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const DIM: usize = 4;
/// More than three tasks in one list.
const N: usize = 100_000;

/// A section in a file, as far as its reader can tell, which counts the bytes that are read.
#[derive(Debug)]
struct Counted {
    bytes: AlignedBytes,
    read: Arc<AtomicU64>,
}

impl Section for Counted {
    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn whole(&self) -> Result<&[u8], DecodeError> {
        Ok(&self.bytes)
    }

    fn part(&self, range: Range<u64>) -> Result<PlaneBytes<'_>, StoreError> {
        self.read.fetch_add(range.end - range.start, Ordering::Relaxed);
        let bytes = &self.bytes[range.start as usize..range.end as usize];
        Ok(PlaneBytes::Shared(AlignedBytes::copy_of(bytes).into()))
    }

    fn memory(&self) -> usize {
        0
    }
}

/// An index whose lists are in counted sections.
struct Opened {
    index: Box<dyn Index>,
    read: Arc<AtomicU64>,
    /// Bytes of all planes, and of all ids.
    planes: u64,
    ids: u64,
}

impl Opened {
    fn new(index: &dyn Index) -> Self {
        let mut node = index.export().expect("in memory").to_stored();
        let mut lists = &mut node;
        while lists.tag != "array" {
            let at = lists.children.iter().position(|(name, _)| name == "lists" || name == "inner");
            lists = &mut lists.children[at.expect("an inverted file")].1;
        }
        let read = Arc::new(AtomicU64::new(0));
        let (mut planes, mut ids) = (0, 0);
        for array in &mut lists.arrays {
            let bytes = AlignedBytes::copy_of(array.bytes.whole().expect("in memory"));
            match array.name.as_str() {
                "ids" => ids += bytes.len(),
                name if name.starts_with("plane") => planes += bytes.len(),
                _ => continue,
            }
            array.bytes = Arc::new(Counted { bytes, read: read.clone() });
        }
        let index = ivf::default_registry().read_index(&node).expect("just exported");
        Self { index, read, planes, ids }
    }

    /// Returns the number of bytes that are read meanwhile.
    fn counted<T>(&mut self, work: impl FnOnce(&mut dyn Index) -> T) -> (T, u64) {
        let before = self.read.load(Ordering::Relaxed);
        let done = work(&mut *self.index);
        (done, self.read.load(Ordering::Relaxed) - before)
    }
}

fn filled(spec: &str) -> Box<dyn Index> {
    let vectors = data::small_integers(1, N, DIM, 40);
    let mut index = ivf::build(spec, DIM, Metric::L2).expect("a good string");
    index.train(vectors.rows().slice(0..4000)).expect("enough vectors");
    // No two ids are consecutive, so that all are stored.
    let ids: Vec<Id> = (0..N as i64).map(|i| Id(i * 7919 % N as i64 * 3)).collect();
    index.add_with_ids(vectors.rows(), &ids).expect("trained");
    index
}

#[test]
fn a_search_reads_each_block_once_however_many_tasks_there_are() {
    let all_queries = data::small_integers(2, 100, DIM, 40);
    for spec in ["Flat", "IVF2,Flat", "IVF2,PQ2"] {
        let index = filled(spec);
        let mut opened = Opened::new(&*index);
        let lists = |params: SearchParams<'static>| if spec == "Flat" { params } else { params.nprobe(2) };
        for queries in [1, 2, 10, 100] {
            let queries = all_queries.rows().slice(0..queries);
            let expected = index.search(queries, 10, &lists(SearchParams::new())).expect("good queries").hits;
            for threads in [1, 2, 3, 8, 64] {
                for mode in ParallelMode::ALL {
                    // The other modes divide the queries. So does a search by many threads that
                    // scan few codes of each query, if they need a table of the query.
                    let is_divided = !matches!(mode, ParallelMode::Auto | ParallelMode::ListMajor);
                    if (is_divided || (spec, threads) == ("IVF2,PQ2", 64)) && queries.len() > 1 {
                        continue;
                    }
                    let threads = Threads(threads);
                    let params = lists(SearchParams::new()).mode(mode).executor(&threads);
                    let (found, read) = opened.counted(|index| index.search(queries, 10, &params));
                    let subject = format!("{spec}, {} queries, {threads:?}, {mode:?}", queries.len());
                    assert_eq!(found.expect("good queries").hits, expected, "{subject}");
                    let all = opened.planes + opened.ids;
                    assert!(read <= all, "{subject}: {read} bytes read of {all}");
                }
            }
        }
    }
}

#[test]
fn a_search_of_some_entries_reads_their_blocks() {
    let query = data::small_integers(2, 1, DIM, 40);
    let threads = Threads(4);
    let mut opened = Opened::new(&*filled("Flat"));
    let all = opened.planes + opened.ids;
    let mut search = |params: &SearchParams<'_>| {
        let (found, read) = opened.counted(|index| index.search(query.rows(), 10, &params.clone().executor(&threads)));
        (found.expect("a good query").hits.row(0).len(), read)
    };
    // A prefix.
    let mut ivf = Opened::new(&*filled("IVF1,Flat"));
    let params = SearchParams::new().max_codes(1000).executor(&threads);
    let (_, read) = ivf.counted(|index| index.search(query.rows(), 10, &params).expect("a good query"));
    assert!(read <= all / 90, "{read} bytes read of {all} for a hundredth of the codes");
    // Selected entries: all ids are read to find them, and then few blocks.
    let few = IdSelector::set([0, 3, 60_000, 150_000].map(Id));
    let (found, read) = search(&SearchParams::new().selector(&few));
    let ids = N as u64 * 8;
    assert!(found == 4 && read <= ids + all / 100, "{found} found, {read} bytes read, {ids} of ids");
    // No entries.
    let none = IdSelector::range(-9..0);
    let (found, read) = search(&SearchParams::new().selector(&none));
    assert!(found == 0 && read <= ids, "{read} bytes read");
    // With a direct map, the ids of other entries are not read.
    opened.index.set_knob("direct_map", 2).expect("any ids");
    let params = SearchParams::new().selector(&few).executor(&threads);
    let (found, read) = opened.counted(|index| index.search(query.rows(), 10, &params).expect("a good query"));
    assert_eq!(found.hits.row(0).len(), 4);
    assert!(read <= all / 100, "{read} bytes read of {all}");
}

#[test]
fn edits_and_reconstruction_read_ids_and_the_blocks_that_they_need() {
    let index = filled("Flat");
    let mut opened = Opened::new(&*index);
    let (all, ids) = (opened.planes + opened.ids, opened.ids);
    let wanted = [3, 60_000, 150_000].map(Id);
    let expected = index.reconstruct_many(&wanted).expect("they are there");
    let (found, read) = opened.counted(|index| index.reconstruct_many(&wanted).expect("they are there"));
    assert_eq!(found, expected);
    assert!(read <= ids + all / 100, "{read} bytes read of {all}");
    let (_, read) = opened.counted(|index| index.set_knob("direct_map", 2).expect("any ids"));
    assert!(read <= ids, "{read} bytes read for a map of {ids} bytes of ids");
    let (found, read) = opened.counted(|index| index.reconstruct(Id(60_000)).expect("it is there"));
    assert_eq!(found, expected[DIM..2 * DIM]);
    assert!(read <= all / 100, "{read} bytes read of {all}");

    // A hundredth of the list.
    let mut copy = ivf::build("Flat", DIM, Metric::L2).expect("a good string");
    let (copied, read) = opened.counted(|index| {
        let subset = Subset::ListFraction { part: 70, of: 100 };
        let able = index.as_copy_subset().expect("supported");
        able.copy_subset_to(&mut *copy, &subset, &AddOptions::new()).expect("the same kind")
    });
    assert_eq!(copied, N / 100);
    // The ids are read to select them, and again with the codes.
    assert!(read <= all / 50, "{read} bytes read of {all}");
    let row = copy.reconstruct(Id(7919 * 70_000 % N as i64 * 3)).expect("it was copied");
    assert_eq!(row, data::small_integers(1, N, DIM, 40).rows().row(70_000));
}
