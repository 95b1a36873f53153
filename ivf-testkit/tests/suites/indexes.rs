//! Tests of the index suites: a naive index passes, and its faulty variants are caught.

use crate::assert_caught;
use crate::naive::{Fault, Naive};
use ivf_core::{Index, Metric};
use ivf_testkit::data::{clusters, small_integers};
use ivf_testkit::indexes::{
    check_bad_input, check_damaged, check_exhaustive, check_history, check_modes, check_reload,
};

const METRICS: [Metric; 3] = [Metric::L2, Metric::InnerProduct, Metric::Cosine];

fn make(metric: Metric, fault: Fault) -> impl Fn() -> Box<dyn Index> {
    move || Box::new(Naive::new(6, metric, fault))
}

fn filled(metric: Metric, fault: Fault) -> Box<dyn Index> {
    let mut index = make(metric, fault)();
    index.add(clusters(1, 120, 6, 4).rows()).expect("added");
    index
}

fn reload(index: &dyn Index) -> Box<dyn Index> {
    Naive::read(&index.export().expect("exported").to_stored()).expect("read back")
}

#[test]
fn a_naive_index_passes() {
    for metric in METRICS {
        check_exhaustive(&make(metric, Fault::None));
        check_history(&make(metric, Fault::None));
        check_bad_input(&mut *filled(metric, Fault::None));
        check_modes(&*filled(metric, Fault::None), clusters(2, 20, 6, 4).rows(), None);
        check_reload(&*filled(metric, Fault::None), &reload);
        check_damaged(&*filled(metric, Fault::None), &Naive::read);
    }
    for metric in [
        Metric::L1,
        Metric::Linf,
        Metric::Lp(3.0),
        Metric::Canberra,
        Metric::BrayCurtis,
        Metric::JensenShannon,
        Metric::Jaccard,
    ] {
        check_exhaustive(&make(metric, Fault::None));
    }
}

#[test]
fn faulty_results_are_caught() {
    for (fault, words) in
        [(Fault::IgnoresSelector, "Range("), (Fault::IncludesRadius, "Radius("), (Fault::ReversesTies, "place")]
    {
        assert_caught(words, || check_exhaustive(&make(Metric::L2, fault)));
    }
}

#[test]
fn faulty_histories_are_caught() {
    for (fault, words) in [
        (Fault::CountsIdsOnAfterReset, "after"),
        (Fault::UpdatesOnlyFirst, "after update"),
        (Fault::ForgetsSkippedIds, "rows skipped"),
        (Fault::ClonesAllButOne, "a clone of 20 steps before"),
    ] {
        assert_caught(words, || check_history(&make(Metric::L2, fault)));
    }
}

#[test]
fn bad_input_let_through_is_caught() {
    for (fault, words) in [
        (Fault::TakesNaN, "instead of NonFinite { row: 257 }"),
        (Fault::NamesRowOfBlock, "instead of NonFinite { row: 257 }"),
        (Fault::AddsBeforeItFails, "add failed, and the index changed"),
        (Fault::IgnoresNprobe, "takes nprobe, which it should refuse"),
        (Fault::DeclaresNprobe, "refuses nprobe, which it should take"),
        (Fault::RefusesEffort, "refuses effort, which it should take"),
        (Fault::TakesAnyEffort, "\"effort\": Word(\"xyzzy\")"),
        (Fault::TakesAnyKnob, "setting effort to Word(\"xyzzy\") gives Ok"),
        (Fault::KnowsAnyPath, "a knob of 'no_such_part' gives Ok"),
    ] {
        assert_caught(words, || check_bad_input(&mut *filled(Metric::L2, fault)));
    }
}

#[test]
fn results_that_depend_on_the_way_are_caught() {
    let queries = small_integers(3, 20, 6, 4);
    assert_caught("8 threads", || check_modes(&*filled(Metric::L2, Fault::DependsOnThreads), queries.rows(), None));
    assert_caught("ListMajor", || check_modes(&*filled(Metric::L2, Fault::DependsOnMode), queries.rows(), None));
}

#[test]
fn faulty_readers_are_caught() {
    let index = filled(Metric::L2, Fault::None);
    assert_caught("vectors, training", || check_reload(&*index, &|_| make(Metric::L2, Fault::None)()));
    assert_caught("panicked", || {
        check_damaged(&*index, &|node| {
            // Trusts the lengths.
            let (ids, data) = (node.array::<i64>("ids")?, node.array::<f32>("data")?);
            assert_eq!(data.len(), 6 * ids.len());
            Naive::read(node)
        });
    });
}
