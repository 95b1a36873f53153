//! Tests of correct behaviour where Faiss misbehaves. Each doc comment describes what Faiss does
//! (observed in Faiss 1.15.1, or read in its source).

use ivf::ability::Subset;
use ivf::cpu::IvfIndex;
use ivf::cpu::coarse::FlatQuantizerSpec;
use ivf::cpu::codec::FlatSpec;
use ivf::error::{AddError, EditError, MergeError, ReconstructError, SearchError};
use ivf::extend::RangeSearch;
use ivf::params::NonFinite;
use ivf::quantizer::{decode_list, list_code_size};
use ivf::{
    AddOptions, Collector, DirectMapKind, Id, IdSelector, Index, ListNo, Metric, Neighbor, ParallelMode, Probes,
    QueryParams, Rows, SearchParams,
};
use ivf_testkit::data::{self, Vectors};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

const DIM: usize = 8;
const N: usize = 600;

/// Returns an index of 600 vectors in 20 lists, with ids from 0.
fn filled(kind: DirectMapKind) -> (Box<dyn Index>, Vectors) {
    let mut index = empty(kind);
    let vectors = data::clusters(1, N, DIM, 20);
    index.add(vectors.rows()).expect("trained");
    (index, vectors)
}

fn empty(kind: DirectMapKind) -> Box<dyn Index> {
    let quantizer = Arc::new(FlatQuantizerSpec { nlist: 20 });
    let mut index = IvfIndex::new(DIM, Metric::L2, quantizer, Arc::new(FlatSpec)).expect("a good specification");
    index.set_direct_map(kind).expect("nothing to map yet");
    index.set_knob_at("", "nprobe", 20.into()).expect("a knob that is there");
    let mut index: Box<dyn Index> = Box::new(index);
    index.train(data::clusters(1, N, DIM, 20).rows()).expect("enough vectors");
    index
}

const MAPS: [DirectMapKind; 3] = [DirectMapKind::None, DirectMapKind::Array, DirectMapKind::Hash];

/// Returns five vectors, with a NaN in the third.
fn with_a_nan() -> Vec<f32> {
    let mut rows = data::clusters(2, 5, DIM, 20).data;
    rows[2 * DIM + 3] = f32::NAN;
    rows
}

fn range_search(index: &dyn Index) -> &dyn RangeSearch {
    index.as_range_search().expect("supported")
}

/// In Faiss (`DirectMap.cpp`), `add` without ids stores garbage in a hash map: none of 50 vectors
/// could be reconstructed.
#[test]
fn a_hash_map_knows_the_ids_that_add_gives() {
    for kind in MAPS {
        let (index, vectors) = filled(kind);
        for id in (0..N).step_by(11) {
            assert_eq!(index.reconstruct(Id(id as i64)).expect("added"), vectors.rows().row(id));
        }
    }
}

/// In Faiss, a vector that is assigned to no list leaves an entry in the hash map, and removing its
/// id aborts the process.
#[test]
fn the_id_of_a_skipped_vector_stands_nowhere() {
    for kind in MAPS {
        let mut index = empty(kind);
        let rows = with_a_nan();
        let options = AddOptions::new().non_finite(NonFinite::SkipRow);
        let report =
            index.as_add().expect("supported").add(Rows::new(&rows, DIM).expect("whole rows").into(), &options);
        assert_eq!(report.expect("skipped").skipped, [2]);
        assert!(matches!(index.reconstruct(Id(2)), Err(ReconstructError::NoSuchId(Id(2)))));
        assert_eq!(index.remove(&IdSelector::sorted(vec![Id(2)])).expect("no error"), 0);
        assert_eq!(index.remove(&IdSelector::sorted(vec![Id(1), Id(2), Id(3)])).expect("no error"), 2);
    }
}

/// In Faiss, `ntotal` counts vectors that no list holds.
#[test]
fn what_is_skipped_is_not_counted() {
    let mut index = empty(DirectMapKind::None);
    let rows = with_a_nan();
    let rows = Rows::new(&rows, DIM).expect("whole rows");
    let options = AddOptions::new().non_finite(NonFinite::SkipRow);
    index.as_add().expect("supported").add(rows.into(), &options).expect("skipped");
    let lists = index.as_ivf().and_then(|ivf| ivf.lists()).expect("trained");
    assert_eq!((index.len(), lists.total_len().expect("in memory")), (4, 4));
    // The skipped vector still uses up its implicit id.
    index.add(data::clusters(3, 1, DIM, 20).rows()).expect("trained");
    assert!(index.reconstruct(Id(5)).is_ok() && index.reconstruct(Id(2)).is_err());
}

/// In Faiss, `update_vectors` with a NaN aborts the process, and is refused without a direct map.
#[test]
fn an_update_with_a_nan_is_an_error_and_one_without_a_map_works() {
    for kind in MAPS {
        let (mut index, vectors) = filled(kind);
        let rows = with_a_nan();
        let ids: Vec<Id> = (10..15).map(Id).collect();
        let refused = index.update(&ids, Rows::new(&rows, DIM).expect("whole rows"));
        assert!(refused.is_err(), "{refused:?}");
        assert_eq!(index.reconstruct(Id(10)).expect("as before"), vectors.rows().row(10));
        let new = data::clusters(4, 5, DIM, 20);
        index.update(&ids, new.rows()).expect("finite");
        assert_eq!(index.reconstruct(Id(12)).expect("there"), new.rows().row(2));
        assert_eq!(index.len(), N);
    }
}

/// In Faiss, a hash map refuses removal by any selector except an array of ids. An array map
/// refuses all removals. Both refuse merges.
#[test]
fn every_map_takes_every_selector_and_merges() {
    for kind in MAPS {
        let (mut index, vectors) = filled(kind);
        let third = |id: Id| id.0 % 3 == 0;
        let removed = index.remove(&(IdSelector::Fn(&third) & !IdSelector::range(0..300))).expect("any selector");
        assert_eq!((removed, index.len()), (100, 500));
        let mut other = empty(kind);
        other.add(vectors.rows().slice(0..50)).expect("trained");
        let merge = index.as_merge().expect("supported");
        merge.merge_from(&mut *other, N as i64, &AddOptions::new()).expect("ids that follow");
        assert_eq!((index.len(), other.len()), (550, 0));
        assert_eq!(index.reconstruct(Id(N as i64 + 7)).expect("merged"), vectors.rows().row(7));
        assert!(index.reconstruct(Id(300)).is_err() && index.reconstruct(Id(301)).is_ok());
    }
}

/// In Faiss, the compatibility check of a merge compares the types of two pointers, which are
/// always equal.
#[test]
fn indexes_that_do_not_fit_are_not_merged() {
    let (mut index, _) = filled(DirectMapKind::None);
    for other in ["Flat", "IVF20,PQ4", "IVF10,Flat", "L2norm,IVF20,Flat"] {
        let mut other = ivf::build(other, DIM, Metric::L2).expect("a good string");
        other.train(data::clusters(1, N, DIM, 20).rows()).expect("enough vectors");
        let merged = index.as_merge().expect("supported").merge_from(&mut *other, 0, &AddOptions::new());
        assert!(matches!(merged, Err(MergeError::Incompatible(_))), "{}: {merged:?}", other.spec());
        let copied = index.copy_subset_to(&mut *other, &Subset::Lists(0..20));
        assert!(matches!(copied, Err(MergeError::Incompatible(_))), "{}: {copied:?}", other.spec());
    }
}

/// In Faiss, parameters made for a selector alone set nprobe to 1, and plain parameters make an
/// inverted-file index throw.
#[test]
fn a_selector_alone_leaves_nprobe_alone() {
    let (index, vectors) = filled(DirectMapKind::None);
    let queries = vectors.rows().slice(0..3);
    let all = IdSelector::All;
    let found = index.search(queries, N, &SearchParams::new().selector(&all)).expect("a good query");
    assert!(found.hits.rows().all(|row| row.ids.len() == N));
}

/// In Faiss, `max_codes` is a soft limit that counts after the selector. Range search ignores it,
/// and half of the parallel modes refuse it. Parallel mode 3 has no range search.
#[test]
fn max_codes_is_the_same_in_every_mode_and_in_a_range_search() {
    let (index, vectors) = filled(DirectMapKind::None);
    let queries = vectors.rows().slice(0..9);
    let odd = |id: Id| id.0 % 2 == 1;
    let odd = IdSelector::Fn(&odd);
    for selector in [&IdSelector::All, &odd] {
        let params = SearchParams::new().max_codes(77).selector(selector);
        let expected = index.search(queries, N, &params).expect("a good query");
        assert_eq!(expected.stats.codes, 9 * 77);
        for mode in ParallelMode::ALL {
            let found = index.search(queries, N, &params.clone().mode(mode)).expect("every mode");
            assert_eq!(found.hits, expected.hits, "{mode:?}");
            let within = range_search(&*index).range_search(queries.into(), f32::INFINITY, &params.clone().mode(mode));
            assert_eq!(within.expect("every mode").hits, expected.hits, "{mode:?}");
        }
    }
}

/// In Faiss, `ensure_topk_full` stays within nprobe lists, so it does not ensure k. Half of the
/// parallel modes refuse it.
#[test]
fn ensure_k_goes_on_until_there_are_k_or_a_limit_is_reached() {
    let (index, vectors) = filled(DirectMapKind::None);
    let rare = IdSelector::sorted((0..N as i64).step_by(50).map(Id).collect());
    let queries = vectors.rows().slice(0..30);
    for mode in ParallelMode::ALL {
        let params = SearchParams::new().nprobe(1).selector(&rare).ensure_k(true).mode(mode);
        let found = index.search(queries, 10, &params).expect("a good query");
        assert!(found.hits.rows().all(|row| row.ids.len() == 10), "{mode:?}: there are 12");
        let limited = index.search(queries, 10, &params.max_lists(4)).expect("a good query");
        assert!(limited.hits.rows().any(|row| row.ids.len() < 10), "{mode:?}: 4 lists hold fewer");
        assert!(limited.stats.lists <= 30 * 4, "{mode:?}");
    }
}

/// In Faiss, the search of one query into a handler ignores the selector and `max_codes`. Iterators
/// over the codes of a list do so too.
#[test]
fn a_collector_sees_what_the_filter_and_the_limits_let_through() {
    struct All(Vec<Neighbor>);
    impl Collector for All {
        fn threshold(&self) -> f32 {
            f32::INFINITY
        }
        fn collect(&mut self, found: &[Neighbor]) -> ControlFlow<()> {
            self.0.extend_from_slice(found);
            ControlFlow::Continue(())
        }
    }
    let (index, vectors) = filled(DirectMapKind::None);
    let query = vectors.rows().slice(4..5);
    let few = IdSelector::range(100..250);
    let params = SearchParams::new().max_codes(333).selector(&few);
    let expected = index.search(query, N, &params).expect("a good query");
    let ivf = index.as_ivf().expect("an inverted file");
    let mut all = All(Vec::new());
    let stats = ivf.search_one(query.into(), &mut all, &params).expect("a good query");
    all.0.sort_by(Neighbor::order);
    assert_eq!(all.0.iter().map(|hit| hit.id).collect::<Vec<_>>(), expected.hits.row(0).ids);
    assert_eq!((stats.codes, stats.updates as usize), (333, expected.hits.total()));
    // All selected entries of one list, in the order of the list.
    let probes = Probes::new(1, vec![Some(ListNo(3))], vec![0.0]).expect("one probe");
    let mut one = All(Vec::new());
    ivf.search_one_preassigned(query.into(), &probes, &mut one, &SearchParams::new().selector(&few)).expect("a list");
    let lists = ivf.lists().expect("trained");
    let list = lists.list(ListNo(3)).expect("in memory");
    let there: Vec<Id> = list.ids().filter(|id| few.contains(*id)).collect();
    assert_eq!(one.0.iter().map(|hit| hit.id).collect::<Vec<_>>(), there);
}

/// In Faiss, `reconstruct_n` does not write the output for missing ids.
#[test]
fn reconstructing_a_range_with_a_hole_is_an_error() {
    for kind in MAPS {
        let (mut index, vectors) = filled(kind);
        assert_eq!(index.reconstruct_n(40..60).expect("all there"), vectors.rows().slice(40..60).as_slice());
        index.remove(&IdSelector::range(50..51)).expect("supported");
        assert!(matches!(index.reconstruct_n(40..60), Err(ReconstructError::NoSuchId(Id(50)))));
        assert!(matches!(index.reconstruct_n(0..i64::MAX), Err(ReconstructError::NoSuchId(Id(50)))));
        assert_eq!(index.reconstruct_n(7..7).expect("nothing asked for"), []);
    }
}

/// In Faiss, `search_and_reconstruct` and `search_and_return_codes` throw with any selector except
/// a range. They ignore the quantizer's parameters, and fill missing rows with NaN or 0xff.
#[test]
fn vectors_and_codes_of_results_come_with_any_filter() {
    let (index, vectors) = filled(DirectMapKind::None);
    let queries = vectors.rows().slice(0..5);
    let seven = |id: Id| id.0 % 100 == 7;
    let seven = IdSelector::Fn(&seven);
    let params = SearchParams::new().selector(&seven);
    let reconstruct = index.as_reconstruct().expect("supported");
    let (found, rows) = reconstruct.search_and_reconstruct(queries.into(), 10, &params).expect("any filter");
    assert_eq!((found.hits.total(), rows.len()), (5 * 6, 5 * 6 * DIM), "six ids end in 07: rows are ragged");
    for (id, vector) in found.hits.ids().iter().zip(rows.chunks_exact(DIM)) {
        assert_eq!(vector, vectors.rows().row(id.0 as usize));
    }
    let ivf = index.as_ivf().expect("an inverted file");
    let (again, codes) = ivf.search_and_return_codes(queries.into(), 10, &params).expect("any filter");
    assert_eq!(again.hits, found.hits);
    assert_eq!(index.as_standalone_codec().expect("supported").sa_decode(&codes).expect("its own codes"), rows);
    let refused = reconstruct.search_and_reconstruct(queries.into(), 10, &params.set("quantizer_nprobe", 4));
    assert!(matches!(refused, Err(SearchError::UnsupportedParam { param, .. }) if *param == *"quantizer_nprobe"));
}

/// In Faiss, a range selector that assumes sorted lists gives wrong results for unsorted lists.
#[test]
fn a_range_is_right_whatever_the_order_of_the_lists() {
    let (mut index, vectors) = filled(DirectMapKind::None);
    let range = IdSelector::range(200..400);
    let check = |index: &dyn Index, gone: std::ops::Range<i64>| {
        let found = index.search(vectors.rows().slice(0..1), N, &SearchParams::new().selector(&range));
        let mut ids = found.expect("a good query").hits.ids().to_vec();
        ids.sort_unstable();
        assert_eq!(ids, (200..400).filter(|id| !gone.contains(id)).map(Id).collect::<Vec<_>>());
    };
    check(&*index, 0..0);
    // Removals move entries from the ends of lists.
    index.remove(&IdSelector::range(0..250)).expect("supported");
    check(&*index, 200..250);
    index.as_ivf_mut().expect("an inverted file").sort_entries().expect("in memory");
    check(&*index, 200..250);
}

/// In Faiss, a bitmap of n bits is made with n bytes, and a negative id causes a shift by a
/// negative number.
#[test]
fn ids_outside_of_a_bitmap_are_out() {
    let mut index = empty(DirectMapKind::Hash);
    let vectors = data::clusters(1, 4, DIM, 20);
    index.add_with_ids(vectors.rows(), &[Id(-1), Id(3), Id(1 << 40), Id(i64::MIN)]).expect("any ids");
    let bitmap = IdSelector::Bitmap(vec![0xff]);
    let found = index.search(vectors.rows(), 4, &SearchParams::new().selector(&bitmap)).expect("good queries");
    assert!(found.hits.rows().all(|row| row.ids == [Id(3)]));
}

/// In Faiss, the search time includes the time to find lists, and statistics are added to a global
/// without locks.
#[test]
fn statistics_come_back_with_the_call() {
    let (index, vectors) = filled(DirectMapKind::None);
    let found = index.search(vectors.rows().slice(0..10), 3, &SearchParams::new().nprobe(2)).expect("queries");
    let stats = &found.stats;
    assert_eq!((stats.queries, stats.lists), (10, 20));
    assert!(stats.codes >= 20 && stats.updates >= 30 && stats.updates <= stats.codes);
    assert!(stats.coarse_time > Duration::ZERO && stats.scan_time > Duration::ZERO);
}

/// In Faiss, the order in which candidates are found decides ties at the k-th position. Large
/// batches on `Flat` give other distances than small ones.
#[test]
fn ties_and_batches_do_not_show() {
    let mut index = ivf::build("Flat", DIM, Metric::L2).expect("a good string");
    let vectors = data::small_integers(7, 3000, DIM, 2);
    index.add(vectors.rows()).expect("always trained");
    let queries = vectors.rows().slice(0..200);
    let all = index.search(queries, 20, &SearchParams::new()).expect("good queries").hits;
    for q in 0..200 {
        let one = index.search(queries.slice(q..q + 1), 20, &SearchParams::new()).expect("a good query").hits;
        assert_eq!(one.row(0), all.row(q));
        let pairs = all.row(q).distances.iter().zip(all.row(q).ids);
        assert!(pairs.clone().zip(pairs.skip(1)).all(|(a, b)| a.0 < b.0 || (a.0 == b.0 && a.1 < b.1)));
    }
}

/// In Faiss, `IDMap` writes to the caller's parameters during a search, and its range search drops
/// the selector.
#[test]
fn an_id_map_leaves_the_parameters_alone_and_filters_ranges() {
    for spec in ["IDMap,Flat", "IDMap2,Flat", "IDMap,(IVF20,Flat)", "IDMap2,(IVF20,Flat)"] {
        let mut index = ivf::build(spec, DIM, Metric::L2).expect("a good string");
        let vectors = data::clusters(1, N, DIM, 20);
        index.train(vectors.rows()).expect("enough vectors");
        let ids: Vec<Id> = (0..N as i64).map(|i| Id(-1000 * i)).collect();
        index.add_with_ids(vectors.rows(), &ids).expect("any ids");
        let few = IdSelector::sorted(ids[10..20].to_vec());
        let half = IdSelector::range(-300_000..1);
        for (selector, most) in [(&few, 10), (&half, 301)] {
            let params = SearchParams::new().selector(selector);
            let queries = vectors.rows().slice(0..8);
            let expected = index.search(queries, N, &params).expect("good queries").hits;
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let found = index.search(queries, N, &params).expect("good queries").hits;
                        assert_eq!(found, expected, "{spec}");
                    });
                }
            });
            assert!(expected.ids().iter().all(|id| selector.contains(*id)) && expected.total() <= 8 * most);
            let within = range_search(&*index).range_search(queries.into(), f32::INFINITY, &params);
            assert_eq!(within.expect("good queries").hits, expected, "{spec}");
            // The same selector for each query on its own.
            let own = [QueryParams::new().selector(selector); 8];
            let found = index.search(queries, N, &SearchParams::new().per_query(&own)).expect("good queries");
            assert_eq!(found.hits, expected, "{spec}");
        }
    }
}

/// A list number in an external code (one byte for 20 lists) may be out of range.
#[test]
fn a_list_number_from_outside_is_checked() {
    let (mut index, _) = filled(DirectMapKind::None);
    assert_eq!((list_code_size(1), list_code_size(20)), (0, 1));
    assert!(decode_list(20, &[20]).is_err() && decode_list(20, &[19]).is_ok());
    let mut code = vec![0; 1 + 4 * DIM];
    code[0] = 200;
    let refused = index.as_add_codes().expect("supported").add_codes(&code, None, &AddOptions::new());
    assert!(refused.is_err() && index.len() == N, "{refused:?}");
    let vector = vec![1.0; DIM];
    let row = Rows::new(&vector, DIM).expect("one row");
    let ivf = index.as_ivf_mut().expect("an inverted file");
    let refused = ivf.add_preassigned(row.into(), &[Some(ListNo(20))], None, &AddOptions::new());
    assert!(matches!(refused, Err(AddError::NoSuchList { row: 0, list: ListNo(20), nlist: 20 })), "{refused:?}");
    // A vector without a list is skipped and not counted, but uses up its id.
    let report = ivf.add_preassigned(row.into(), &[None], None, &AddOptions::new()).expect("left out");
    assert_eq!((report.added, report.skipped), (0, vec![0]));
    let report = ivf.add_preassigned(row.into(), &[Some(ListNo(19))], None, &AddOptions::new()).expect("a list");
    assert_eq!((report.added, index.len()), (1, N + 1));
    assert_eq!(index.reconstruct(Id(N as i64 + 1)).expect("added"), vector);
}

/// Removal, update and upsert treat all entries of a repeated id as one.
#[test]
fn an_id_that_stands_twice_is_replaced_as_one() {
    for kind in [DirectMapKind::None, DirectMapKind::Hash] {
        let (mut index, vectors) = filled(kind);
        index.add_with_ids(vectors.rows().slice(0..3), &[Id(5), Id(5), Id(9000)]).expect("any ids");
        let ids = [Id(5), Id(9001)];
        let report = index.upsert(&ids, vectors.rows().slice(30..32)).expect("one known, one new");
        assert_eq!((report.updated, report.added, index.len()), (1, 1, N + 3 - 3 + 2));
        assert_eq!(index.reconstruct(Id(5)).expect("there"), vectors.rows().row(30));
        assert_eq!(index.remove(&IdSelector::set(ids)).expect("supported"), 2);
        let twice = index.upsert(&[Id(1), Id(1)], vectors.rows().slice(0..2));
        assert!(matches!(twice, Err(EditError::TwiceNamed(Id(1)))), "{twice:?}");
    }
}
