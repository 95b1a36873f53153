//! Indexes with a direct map: the conformance suites, and maps that are read back from a file.

use ivf::cpu::coarse::FlatQuantizerSpec;
use ivf::cpu::codec::FlatSpec;
use ivf::cpu::{CodesIndex, IvfIndex};
use ivf::{DirectMapKind, Index, Metric};
use ivf_testkit::{data, indexes};
use std::sync::Arc;

const DIM: usize = 16;
const KINDS: [DirectMapKind; 3] = [DirectMapKind::None, DirectMapKind::Array, DirectMapKind::Hash];

fn ivf_flat(kind: DirectMapKind) -> Box<dyn Index> {
    let quantizer = Arc::new(FlatQuantizerSpec { nlist: 12 });
    let mut index = IvfIndex::new(DIM, Metric::L2, quantizer, Arc::new(FlatSpec)).expect("a good specification");
    index.set_direct_map(kind).expect("nothing to map yet");
    index.set_knob_at("", "nprobe", 12.into()).expect("a knob that is there");
    let mut index: Box<dyn Index> = Box::new(index);
    index.train(data::clusters(1, 300, DIM, 6).rows()).expect("enough vectors");
    index
}

fn flat(kind: DirectMapKind) -> Box<dyn Index> {
    let mut index = CodesIndex::new(DIM, Metric::InnerProduct, Arc::new(FlatSpec)).expect("a good specification");
    index.set_direct_map(kind).expect("nothing to map yet");
    Box::new(index)
}

#[test]
fn histories_are_the_same_with_every_kind_of_map() {
    for kind in KINDS {
        indexes::check_history(&|| ivf_flat(kind));
        indexes::check_history(&|| flat(kind));
    }
}

#[test]
fn edits_of_ids_with_many_entries_are_the_same_with_every_kind_of_map() {
    const N: usize = 5000;
    for ids in [1, 3, 70] {
        let histories = [DirectMapKind::None, DirectMapKind::Hash].map(|kind| {
            let mut index = ivf_flat(kind);
            let vectors = data::clusters(2, N, DIM, 6);
            let of_rows = |rows: std::ops::Range<i64>| rows.map(|row| ivf::Id(row * 31 % ids)).collect::<Vec<_>>();
            index.add_with_ids(vectors.rows(), &of_rows(0..N as i64)).expect("trained");
            let rows = |n: usize| vectors.rows().slice(0..n);
            let mut seen = Vec::new();
            let mut note = |index: &dyn Index, done: usize| {
                let found = index.search(rows(5), 20, &ivf::SearchParams::new()).expect("good queries").hits;
                let kept = index.reconstruct(ivf::Id(0)).ok();
                seen.push((done, index.len(), found, kept));
            };
            let removed = index.remove(&ivf::IdSelector::set([ivf::Id(ids - 1)])).expect("supported");
            note(&*index, removed);
            index.add_with_ids(vectors.rows(), &of_rows(5..5 + N as i64)).expect("trained");
            index.update(&[ivf::Id(0)], rows(1)).expect("it is there");
            note(&*index, 1);
            index.add_with_ids(vectors.rows(), &of_rows(9..9 + N as i64)).expect("trained");
            let report = index.upsert(&[ivf::Id(0), ivf::Id(1000)], rows(2)).expect("supported");
            note(&*index, report.updated);
            seen
        });
        assert!(histories[0] == histories[1], "{ids} ids: {:?}", histories.map(|seen| seen.len()));
    }
}

#[test]
fn a_map_comes_back_from_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("index.ivf");
    for kind in KINDS {
        let mut index = ivf_flat(kind);
        index.add(data::clusters(2, 200, DIM, 6).rows()).expect("trained");
        index.remove(&ivf::IdSelector::range(20..50)).expect("supported");
        indexes::check_reload(&*index, &|index| {
            ivf::write_index(index, &path).expect("a writable folder");
            let mut back = ivf::read_index(&path).expect("just written");
            // The map of the index that was read keeps working.
            assert_eq!(back.remove(&ivf::IdSelector::range(50..60)).expect("supported"), 10);
            assert!(back.reconstruct(ivf::Id(55)).is_err() && back.reconstruct(ivf::Id(60)).is_ok());
            ivf::read_index(&path).expect("just written")
        });
    }
}

#[test]
fn an_array_whose_ids_are_mostly_gone_is_a_table_after_a_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("index.ivf");
    let mut index = flat(DirectMapKind::Array);
    index.add(data::uniform(4, 30_000, DIM).rows()).expect("always trained");
    assert_eq!(index.remove(&ivf::IdSelector::range(0..29_990)).expect("supported"), 29_990);
    ivf::write_index(&*index, &path).expect("a writable folder");
    let mut back = ivf::read_index(&path).expect("just written");
    assert_eq!(
        back.reconstruct(ivf::Id(29_995)).expect("it is there"),
        index.reconstruct(ivf::Id(29_995)).expect("too")
    );
    assert!(back.memory() < 100_000, "{} bytes for ten vectors", back.memory());
    back.add(data::uniform(5, 3, DIM).rows()).expect("always trained");
    assert!(back.reconstruct(ivf::Id(30_002)).is_ok());
}

#[test]
fn an_array_is_refused_where_it_would_be_mostly_empty() {
    let mut index = CodesIndex::new(DIM, Metric::L2, Arc::new(FlatSpec)).expect("a good specification");
    let far = ivf::Id(1 << 50);
    let as_index: &mut dyn Index = &mut index;
    as_index.add_with_ids(data::uniform(6, 1, DIM).rows(), &[far]).expect("any id");
    as_index.remove(&ivf::IdSelector::All).expect("supported");
    let refused = index.set_direct_map(DirectMapKind::Array);
    assert!(matches!(refused, Err(ivf::error::EditError::NotForArray(id)) if id == far), "{refused:?}");
}

#[test]
fn a_map_finds_what_to_remove_as_a_scan_does() {
    for kind in KINDS {
        let mut index = ivf_flat(kind);
        let vectors = data::uniform(7, 60, DIM);
        index.add(vectors.rows()).expect("trained");
        let ids = || [3, 9, 10, 500, -4].map(ivf::Id);
        let mut left = 60;
        for (selector, gone) in [
            (ivf::IdSelector::set(ids()), 3),
            (ivf::IdSelector::sorted(ids().to_vec()), 0),
            (ivf::IdSelector::range(8..12), 2),
            (!ivf::IdSelector::range(20..1000), 15),
        ] {
            assert_eq!(index.remove(&selector).expect("supported"), gone, "{kind:?}, {selector:?}");
            left -= gone;
            assert_eq!(index.len(), left);
        }
        for id in 20..60 {
            let row = vectors.rows().row(id);
            assert_eq!(index.reconstruct(ivf::Id(id as i64)).expect("it is there"), row, "{kind:?}, {id}");
        }
    }
}

#[test]
fn an_array_is_refused_over_ids_that_do_not_count_up() {
    let quantizer = Arc::new(FlatQuantizerSpec { nlist: 2 });
    let mut index = IvfIndex::new(DIM, Metric::L2, quantizer, Arc::new(FlatSpec)).expect("a good specification");
    let vectors = data::clusters(3, 100, DIM, 2);
    let as_index: &mut dyn Index = &mut index;
    as_index.train(vectors.rows()).expect("enough vectors");
    let mut ids = data::sequential_ids(100);
    ids[7] = ivf::Id(i64::MAX);
    as_index.add_with_ids(vectors.rows(), &ids).expect("any ids");
    let refused = index.set_direct_map(DirectMapKind::Array);
    assert!(matches!(refused, Err(ivf::error::EditError::NotForArray(ivf::Id(i64::MAX)))), "{refused:?}");
    index.set_direct_map(DirectMapKind::Hash).expect("a table takes any id");
}

#[test]
fn knobs_are_turned_together_or_the_error_says_which_is_not() {
    let mut index = flat(DirectMapKind::None);
    let turn = |index: &mut dyn Index, text: &str| ivf::knobs::set_knobs(index, text);
    turn(&mut *index, "direct_map=1").expect("nothing to map yet");
    turn(&mut *index, "direct_map=1").expect("as it is");
    index.add(data::uniform(8, 30_000, DIM).rows()).expect("always trained");
    index.remove(&ivf::IdSelector::range(0..29_990)).expect("supported");
    for text in ["direct_map=2,nprobe=0", "direct_map=2,nope=1", "direct_map=7", "direct_map=x", ""] {
        assert!(turn(&mut *index, text).is_err(), "{text}");
        assert!(index.reconstruct(ivf::Id(29_999)).is_ok());
    }
}
