//! Snapshots of an index, the parts that it hands out, and an index shared by many threads.

use ivf::cpu::SharedIndex;
use ivf::error::{AddError, EditError, StoreError};
use ivf::{IdSelector, Index, Metric, SearchParams};
use ivf_testkit::{data, oracle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const DIM: usize = 16;

fn trained(spec: &str) -> Box<dyn Index> {
    let mut index = ivf::build(spec, DIM, Metric::L2).expect("a good string");
    index.train(data::clusters(1, 600, DIM, 8).rows()).expect("enough vectors");
    if index.parts().iter().flat_map(|part| &part.knobs).any(|knob| knob.name() == "nprobe") {
        index.set_knob("nprobe", 1000).expect("a knob that is there");
    }
    index
}

fn filled(spec: &str, n: usize) -> Box<dyn Index> {
    let mut index = trained(spec);
    index.add(data::clusters(2, n, DIM, 8).rows()).expect("trained");
    index
}

fn answers(index: &dyn Index) -> Vec<Vec<(ivf::Id, f32)>> {
    let queries = data::clusters(3, 20, DIM, 8);
    let found = index.search(queries.rows(), 10, &SearchParams::new()).expect("good queries");
    found.hits.rows().map(|row| row.iter().collect()).collect()
}

#[test]
fn a_snapshot_between_two_adds_is_searched_while_another_thread_goes_on_adding() {
    let (first, second) = (data::clusters(2, 500, DIM, 8), data::clusters(4, 3000, DIM, 8));
    let queries = data::clusters(3, 20, DIM, 8);
    for spec in ["IVF16,Flat", "Flat", "IDMap2,IVF16,Flat", "L2norm,IVF16,Flat,RFlat"] {
        let mut index = trained(spec);
        index.add(first.rows()).expect("trained");
        let before = answers(&*index);
        if spec == "IVF16,Flat" || spec == "Flat" {
            let ids: Vec<ivf::Id> = (0..500).map(ivf::Id).collect();
            let expected = oracle::exact(Metric::L2, first.rows(), &ids, queries.rows(), Some(10), None, |_| true);
            assert_eq!(before, expected, "{spec}: the index is exact");
        }
        let snapshot = index.clone_index().expect("lists in memory");
        let done = AtomicBool::new(false);
        thread::scope(|threads| {
            threads.spawn(|| {
                for start in (0..second.len()).step_by(100) {
                    index.add(second.rows().slice(start..start + 100)).expect("trained");
                }
                index.remove(&IdSelector::range(0..250)).expect("lists in memory");
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                assert_eq!(answers(&*snapshot), before, "{spec}: the snapshot changed");
            }
        });
        assert_eq!((snapshot.len(), index.len()), (500, 3250), "{spec}");
        assert_eq!(answers(&*snapshot), before, "{spec}: the snapshot changed");
        assert_ne!(answers(&*index), before, "{spec}: the index did not change");
    }
}

#[test]
fn a_snapshot_that_is_written_to_leaves_the_index_as_it_was() {
    for spec in ["IVF16,Flat", "IVF16,PQ4", "IDMap,Flat", "IDMap2,IVF16,PQ4,RFlat"] {
        let mut index = filled(spec, 400);
        for map in ["array", "hash"] {
            let _ = index.set_knob("direct_map", map);
            let (before, mut copy) = (answers(&*index), index.clone_index().expect("lists in memory"));
            assert_eq!((copy.spec(), copy.parts()), (index.spec(), index.parts()), "{spec}");
            copy.add(data::clusters(4, 100, DIM, 8).rows()).expect("trained");
            copy.remove(&IdSelector::range(0..50)).expect("lists in memory");
            copy.set_knob("k_factor_rf", 3.0).ok();
            assert_eq!((answers(&*index), index.len()), (before, 400), "{spec}");
            copy.reset().expect("lists in memory");
            assert_eq!((copy.len(), index.len()), (0, 400), "{spec}");
        }
    }
}

#[test]
fn the_lists_that_an_index_hands_out_stay_as_they_are() {
    let mut index = filled("IVF16,Flat", 400);
    let lists = index.as_ivf().and_then(|ivf| ivf.lists()).expect("trained");
    let quantizer = index.as_ivf().and_then(|ivf| ivf.quantizer()).expect("trained");
    index.add(data::clusters(4, 100, DIM, 8).rows()).expect("trained");
    index.remove(&IdSelector::range(0..300)).expect("lists in memory");
    assert_eq!(lists.total_len().expect("in memory"), 400);
    assert_eq!(index.as_ivf().and_then(|ivf| ivf.lists()).expect("trained").total_len().expect("in memory"), 200);
    assert!(Arc::ptr_eq(&quantizer, &index.as_ivf().and_then(|ivf| ivf.quantizer()).expect("trained")));
}

#[test]
fn the_inverted_file_inside_of_wrappers_can_be_changed() {
    let mut index = filled("IDMap2,L2norm,IVF16,Flat,RFlat", 800);
    index.set_knob("nprobe", 1).expect("a knob that is there");
    let narrow = answers(&*index);
    let ivf = index.find_ivf_mut().expect("an inverted file");
    ivf.set_nprobe(64).expect("more than there are means all");
    assert!(ivf.set_nprobe(0).is_err());
    assert_eq!(ivf.nprobe(), 64);
    assert_eq!(index.find_ivf().map(|ivf| ivf.nprobe()), Some(64));
    assert_eq!(index.knob("nprobe"), Some(64.into()));
    let wide = answers(&*index);
    assert_ne!(narrow, wide);
    index.set_knob_at("index/base/index", "nprobe", 1.into()).expect("where it stands");
    assert_eq!(answers(&*index), narrow);
    let kinds: Vec<(String, String)> = index.parts().into_iter().map(|part| (part.path, part.kind)).collect();
    let kinds: Vec<(&str, &str)> = kinds.iter().map(|(path, kind)| (path.as_str(), kind.as_str())).collect();
    for part in [
        ("", "id-map2"),
        ("index", "refine"),
        ("index/base", "pre-transform"),
        ("index/base/transform0", "l2norm"),
        ("index/base/index", "ivf"),
        ("index/base/index/quantizer", "flat"),
        ("index/base/index/codec", "flat"),
        ("index/base/index/lists", "array"),
    ] {
        assert!(kinds.contains(&part), "{part:?} is not among {kinds:?}");
    }
}

#[test]
fn readers_of_a_shared_index_see_whole_updates() {
    let shared = SharedIndex::new(filled("IVF16,Flat", 100)).expect("lists in memory");
    let more = data::clusters(4, 100, DIM, 8);
    thread::scope(|threads| {
        threads.spawn(|| {
            for _ in 0..20 {
                let update = |index: &mut dyn Index| -> Result<(), AddError> {
                    index.add(more.rows().slice(0..30))?;
                    index.add(more.rows().slice(30..100)).map(drop)
                };
                shared.update(update).expect("good vectors");
            }
        });
        let mut last = 0;
        while last < 2100 {
            let index = shared.load();
            assert!(index.len().is_multiple_of(100) && index.len() >= last, "{}", index.len());
            assert_eq!(answers(&*index).len(), 20);
            last = index.len();
        }
    });
}

#[test]
fn an_update_that_fails_or_panics_leaves_no_trace() {
    let shared = SharedIndex::new(filled("IDMap2,IVF16,Flat", 100)).expect("lists in memory");
    let before = answers(&*shared.load());
    let failed: Result<(), EditError> = shared.update(|index| {
        index.remove(&IdSelector::range(0..50))?;
        Err(StoreError::ReadOnly.into())
    });
    assert!(failed.is_err());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        shared.update(|index| -> Result<(), EditError> {
            index.remove(&IdSelector::range(0..50))?;
            panic!("half way")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(answers(&*shared.load()), before);
    let kept: Result<usize, EditError> = shared.update(|index| Ok(index.len()));
    assert_eq!(kept.expect("nothing to fail"), 100);
    assert_eq!(answers(&*shared.load()), before);
}
