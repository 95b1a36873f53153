//! An index that a device searches: the same results, and no device that has other contents.

mod device;

use device::{Calls, accelerate, is_accelerated};
use ivf::ability::Subset;
use ivf::error::{AddError, EditError, SearchError};
use ivf::{
    Cancel, Id, IdSelector, Index, ListNo, Metric, QueryParams, Rows, SearchParam, SearchParams, SearchResult, Sink,
    Takes,
};
use ivf_testkit::data;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const DIM: usize = 16;

/// Returns an index of 1,000 vectors that probes a part of its lists.
fn filled(spec: &str, metric: Metric) -> Box<dyn Index> {
    let mut index = ivf::build(spec, DIM, metric).expect("a good string");
    if index.as_train().is_some() {
        index.train(data::clusters(1, 900, DIM, 12).rows()).expect("enough vectors");
    }
    // Some entries are equally far from each query.
    index.add(data::clusters(2, 1000, DIM, 12).with_duplicates(5).rows()).expect("it is trained");
    let _ = index.set_knob("nprobe", 4);
    index
}

fn queries() -> data::Vectors {
    data::clusters(3, 40, DIM, 12)
}

/// Returns what is to be the same with a device.
fn shown(found: &SearchResult) -> (&ivf::Hits, u64, u64) {
    (&found.hits, found.stats.lists, found.stats.codes)
}

/// Returns a name for each of the searches that an index takes, the calls of a device that it
/// makes, and the result.
fn searches(index: &dyn Index, calls: Option<&Calls>) -> Vec<(String, [usize; 3], SearchResult)> {
    let (vectors, third) = (queries(), |id: Id| id.0 % 3 == 0);
    let (some, few) = (IdSelector::Fn(&third), IdSelector::set([7, 70, 700, 701].map(Id)));
    let own: Vec<QueryParams<'_>> = (0..vectors.len())
        .map(|i| match i % 4 {
            0 => QueryParams::new(),
            1 => QueryParams::new().nprobe(1 + i % 7),
            2 => QueryParams::new().selector(&some),
            _ => QueryParams::new().selector(&few).max_codes(i * 5),
        })
        .collect();
    let mut selectors = own.clone();
    selectors.iter_mut().for_each(|one| (one.nprobe, one.max_codes) = (None, None));
    let mut bad = vectors.data.clone();
    (bad[DIM + 3], bad[5 * DIM]) = (f32::NAN, f32::INFINITY);
    let bad = Rows::new(&bad, DIM).expect("whole rows");
    let asked = [
        ("plain", SearchParams::new()),
        ("locations", SearchParams::new().locations(true)),
        ("many probes", SearchParams::new().nprobe(1000)),
        ("max_codes", SearchParams::new().max_codes(77)),
        ("max_lists", SearchParams::new().max_lists(2)),
        ("ensure_k", SearchParams::new().nprobe(1).ensure_k(true)),
        ("one filter", SearchParams::new().selector(&some).locations(true)),
        ("few ids", SearchParams::new().selector(&few)),
        ("filters", SearchParams::new().per_query(&selectors)),
        ("queries of their own", SearchParams::new().per_query(&own)),
        ("bad queries", SearchParams::new().skip_bad_queries(true)),
    ];
    let mut found = Vec::new();
    let mut note = |name: String, result: Result<SearchResult, SearchError>| {
        let result = result.unwrap_or_else(|error| panic!("{}, {name}: {error}", index.spec()));
        found.push((name, calls.map(Calls::taken).unwrap_or_default(), result));
    };
    let takes = |params: &SearchParams<'_>, takes: &Takes| params.only("", takes).is_ok();
    for (name, params) in &asked {
        let rows = if *name == "bad queries" { bad } else { vectors.rows() };
        if takes(params, &index.takes()) {
            for k in [10, 60] {
                note(format!("{name}, {k}"), index.search(rows, k, params));
            }
        }
        let Some(range) = index.as_range_search() else { continue };
        let radius = {
            let near = index.search(vectors.rows(), 30, &SearchParams::new()).expect("good queries");
            calls.map(Calls::taken);
            *near.hits.row(0).distances.last().expect("results")
        };
        for most in [0, 5] {
            for empty in [0, 1] {
                let mut params = params.clone();
                (params.max_results, params.max_empty_lists) = (Some(most), Some(empty).filter(|_| empty > 0));
                if takes(&params, &range.range_takes()) {
                    let name = format!("{name} within a radius, at most {most}, {empty} empty");
                    note(name, index.range_search_with(rows, radius, &params));
                }
            }
        }
        let Some(ivf) = index.as_ivf() else { continue };
        let given = params.clone().without(SearchParam::Nprobe).without(SearchParam::EnsureK);
        if params.per_query.is_none() || *name == "filters" {
            let mut assigning = SearchParams::new();
            assigning.skip_bad_queries = params.skip_bad_queries;
            let probes = ivf.assign(rows.into(), 6, &assigning).expect("good queries");
            note(format!("{name}, given lists"), ivf.search_preassigned(rows.into(), &probes, 10, &given));
            let within = ivf.range_search_preassigned(rows.into(), &probes, radius, &given);
            note(format!("{name} within a radius, given lists"), within);
        }
    }
    if let Some(ivf) = index.as_ivf() {
        let mut sink = Sink::top_k(10);
        let row = vectors.rows().slice(3..4);
        let stats = ivf.search_one(row.into(), &mut sink, &SearchParams::new()).expect("a good query");
        let hits = ivf::Hits::from_sinks(index.metric(), [sink], true);
        note("one query".to_owned(), Ok(SearchResult::new(hits, stats)));
    }
    found
}

#[test]
fn a_device_changes_no_result() {
    let specs = ["IVF16,Flat", "Flat", "IVF16,PQ4", "PQ4", "IVF16,SQ8", "IVF16,RaBitQ4", "IVF16_HNSW8,Flat"];
    for (spec, metric) in specs.iter().flat_map(|spec| [(*spec, Metric::L2), (*spec, Metric::InnerProduct)]) {
        for map in ["none", "hash"] {
            let mut index = filled(spec, metric);
            index.set_knob("direct_map", map).expect("a knob of all of these");
            let expected = searches(&*index, None);
            let calls = accelerate(&mut *index);
            for cannot_assign in [false, true] {
                calls.cannot_assign.store(cannot_assign, Ordering::Relaxed);
                let found = searches(&*index, Some(&calls));
                assert_eq!(found.len(), expected.len());
                for ((name, calls, found), (_, _, expected)) in found.iter().zip(&expected) {
                    assert_eq!(shown(found), shown(expected), "{spec}, {metric}, {map}, {name}");
                    let [assigns, scans, searches] = *calls;
                    let is_free = ["plain", "locations", "many probes"].iter().any(|free| name.starts_with(free));
                    let is_given = name.ends_with("given lists");
                    match name.as_str() {
                        "one query" => assert_eq!(*calls, [0, 0, 0], "{name}"),
                        _ if is_free && !is_given && !name.contains("radius") => {
                            let expected = if cannot_assign { [1, 1, 1] } else { [0, 0, 1] };
                            assert_eq!(*calls, expected, "{spec}, {name}");
                        }
                        _ => {
                            let is_assigned = assigns > 0 || is_given;
                            assert!(scans > 0 && is_assigned && searches == 0, "{spec}, {name}: {calls:?}");
                        }
                    }
                }
            }
            assert!(calls.masks.load(Ordering::Relaxed) > 0);
        }
    }
}

#[test]
fn the_cpu_handles_parameters_that_have_other_values() {
    let queries = queries();
    let mut index = filled("IVF16_HNSW8,PQ4x4", Metric::InnerProduct);
    let calls = accelerate(&mut *index);
    let made = |index: &dyn Index, params: &SearchParams<'_>| {
        index.search(queries.rows(), 5, params).expect("good queries");
        calls.taken()
    };
    let (whole, assign, scan) = ([0, 0, 1], [1, 0, 0], [0, 1, 0]);
    let set = |name: &str, value: i64| SearchParams::new().set(name, value);
    assert_eq!(made(&*index, &SearchParams::new()), whole);
    assert_eq!(made(&*index, &SearchParams::new().set("raw_sums", true)), assign);
    assert_eq!(made(&*index, &SearchParams::new().set("raw_sums", false)), whole);
    let default = index.knob("quantizer_efSearch").expect("a knob of the graph");
    assert_eq!(made(&*index, &SearchParams::new().set("quantizer_efSearch", default.clone())), whole);
    assert_eq!(made(&*index, &set("quantizer_efSearch", 99)), scan);
    let bad = index.search(queries.rows(), 5, &set("quantizer_efSearch", 0));
    assert!(matches!(bad, Err(SearchError::InvalidParam { .. })), "{bad:?}");
    let ivf = index.as_ivf().expect("an inverted file");
    for (params, expected) in [(SearchParams::new(), 1), (set("efSearch", 99), 0)] {
        ivf.assign(queries.rows().into(), 3, &params).expect("good queries");
        assert_eq!(calls.taken(), [expected, 0, 0]);
    }

    index.set_knob("quantizer_efSearch", 99).expect("in range");
    assert_eq!(made(&*index, &SearchParams::new()), scan);
    // The call returns to the default.
    assert_eq!(made(&*index, &SearchParams::new().set("quantizer_efSearch", default)), whole);
    index.set_knob("raw_sums", true).expect("in range");
    assert_eq!(made(&*index, &SearchParams::new()), [0, 0, 0]);
    assert!(is_accelerated(&*index), "knobs of a search change no list");
}

/// A change of an index of vectors with the ids 0 to 999.
type Change = fn(&mut dyn Index);

fn other() -> data::Vectors {
    data::clusters(4, 3, DIM, 12)
}

#[test]
fn every_change_drops_the_device() {
    let changes: &[(&str, Change)] = &[
        ("add", |index| assert_eq!(index.add(other().rows()).unwrap().added, 3)),
        ("add_with_ids", |index| drop(index.add_with_ids(other().rows(), &[7, 8, -9].map(Id)).unwrap())),
        ("add_codes", |index| {
            let codes = index.sa_encode(other().rows()).unwrap();
            index.add_codes(&codes, None).unwrap();
        }),
        ("remove", |index| assert_eq!(index.remove(&IdSelector::range(5..9)).unwrap(), 4)),
        ("update", |index| index.update(&[1, 2, 3].map(Id), other().rows()).unwrap()),
        ("upsert", |index| assert_eq!(index.upsert(&[1, 2, 3000].map(Id), other().rows()).unwrap().added, 1)),
        ("merge", |index| {
            let mut other = index.clone_index().unwrap();
            index.merge_from(&mut *other, 5000).unwrap();
            assert!(!is_accelerated(&*other), "the other index is empty now");
        }),
        ("copy", |index| {
            let other = index.clone_index().unwrap();
            other.copy_subset_to(index, &Subset::Elements(0..10)).unwrap();
            assert!(is_accelerated(&*other), "nothing changed there");
        }),
        ("reset", |index| index.reset().unwrap()),
        ("undo", |index| {
            let mark = index.as_undo().unwrap().mark().unwrap();
            index.add(other().rows()).unwrap();
            accelerate(index);
            index.as_undo().unwrap().undo(mark).unwrap();
        }),
        ("train", |index| {
            index.reset().unwrap();
            accelerate(index);
            index.train(data::clusters(9, 900, DIM, 12).rows()).unwrap();
        }),
        ("add_preassigned", |index| {
            let lists = [1, 2, 3].map(|list| Some(ListNo(list)));
            index
                .as_ivf_mut()
                .unwrap()
                .add_preassigned(other().rows().into(), &lists, None, &Default::default())
                .unwrap();
        }),
        ("replace_quantizer", |index| {
            let quantizer = index.as_ivf().unwrap().quantizer().unwrap();
            index.as_ivf_mut().unwrap().replace_quantizer(quantizer).unwrap();
        }),
        ("replace_lists", |index| {
            let lists = index.as_ivf().unwrap().lists().unwrap().snapshot().unwrap();
            index.as_ivf_mut().unwrap().replace_lists(lists).unwrap();
        }),
        ("permute_lists", |index| {
            let order: Vec<ListNo> = (0..16).rev().map(ListNo).collect();
            index.as_ivf_mut().unwrap().permute_lists(&order).unwrap();
        }),
        ("sort_entries", |index| {
            index.upsert(&[Id(1)], other().rows().slice(0..1)).unwrap();
            accelerate(index);
            index.as_ivf_mut().unwrap().sort_entries().unwrap();
        }),
        ("table_memory", |index| index.set_knob("table_memory", 0).unwrap()),
    ];
    let of_lists = ["add_preassigned", "replace_quantizer", "replace_lists", "permute_lists", "sort_entries"];
    for spec in ["IVF16,Flat", "IVF16,PQ4", "Flat", "L2norm,IVF16,Flat"] {
        for (name, change) in changes {
            let mut index = filled(spec, Metric::L2);
            if spec == "Flat" && (of_lists.contains(name) || ["train", "table_memory"].contains(name)) {
                continue;
            }
            let calls = accelerate(&mut *index);
            assert!(is_accelerated(&*index));
            change(&mut *index);
            assert!(!is_accelerated(&*index), "{spec}: {name}");
            calls.taken();
            index.search(queries().rows(), 3, &SearchParams::new()).expect("good queries");
            assert_eq!(calls.taken(), [0, 0, 0], "{spec}: {name}");
        }
    }
}

#[test]
fn what_changes_no_list_keeps_the_device() {
    let mut index = filled("IVF16,Flat", Metric::L2);
    accelerate(&mut *index);
    index.set_knob("direct_map", "hash").unwrap();
    index.set_knob("nprobe", 7).unwrap();
    let rows = other();
    index.add(rows.rows().slice(0..0)).unwrap();
    assert!(index.add(Rows::new(&[f32::NAN; DIM], DIM).unwrap()).is_err());
    assert!(index.update(&[Id(5000)], rows.rows().slice(0..1)).is_err());
    assert!(index.train(rows.rows()).is_err());
    let mark = index.as_undo().unwrap().mark().unwrap();
    index.as_undo().unwrap().undo(mark).unwrap();
    index.as_ivf_mut().unwrap().sort_entries().unwrap();
    assert!(is_accelerated(&*index));
    assert_eq!(index.as_ivf().unwrap().quantizer().map(|quantizer| quantizer.nlist()), Some(16));
    index.as_accelerate_mut().unwrap().set_accelerator(None).unwrap();
    assert!(!is_accelerated(&*index));
}

#[test]
fn a_clone_keeps_the_device_until_one_of_the_two_changes() {
    for spec in ["IVF16,Flat", "Flat", "IDMap2,IVF16,Flat,RFlat", "IVF16,FlatDedup"] {
        let mut index = filled(spec, Metric::L2);
        let calls = accelerate(&mut *index);
        let mut copy = index.clone_index().expect("lists in memory");
        let found =
            [&*index, &*copy].map(|index| index.search(queries().rows(), 5, &SearchParams::new()).unwrap().hits);
        assert_eq!((found[0] == found[1], calls.taken()), (true, [0, 0, 2]), "{spec}");
        copy.add(other().rows()).unwrap();
        assert_eq!((is_accelerated(&*index), is_accelerated(&*copy)), (true, false), "{spec}");
        let copy = index.clone_index().expect("lists in memory");
        index.add(other().rows()).unwrap();
        assert_eq!((is_accelerated(&*index), is_accelerated(&*copy)), (false, true), "{spec}");
        assert_eq!(copy.search(queries().rows(), 5, &SearchParams::new()).unwrap().hits, found[1], "{spec}");
    }
}

#[test]
fn wrappers_pass_the_device_on() {
    let specs = [
        "IDMap,IVF16,Flat",
        "IDMap2,Flat",
        "L2norm,IVF16,SQ8",
        "PCA8,IVF16,Flat",
        "IVF16,Flat,RFlat",
        "IVF16,SQ8,Refine(IVF4,Flat)",
        "L2norm,IDMap2,IVF16,Flat,RFlat",
        "IVF16,FlatDedup",
    ];
    let all = specs.map(|spec| (spec, Metric::L2)).into_iter().chain([("IVF16,Flat", Metric::Cosine)]);
    for (spec, metric) in all {
        let mut index = filled(spec, metric);
        let expected = searches(&*index, None);
        let calls = accelerate(&mut *index);
        for ((name, calls, found), (_, _, expected)) in searches(&*index, Some(&calls)).iter().zip(&expected) {
            assert_eq!(shown(found), shown(expected), "{spec}, {name}");
            assert!(calls.iter().sum::<usize>() > 0 || name == "one query", "{spec}, {name}");
        }
        index.remove(&IdSelector::range(5..9)).expect("lists in memory");
        assert!(!is_accelerated(&*index), "{spec}");
    }
    for spec in ["HNSW8", "Shards2(IVF16,Flat)", "Replicas2(Flat)"] {
        let mut index = filled(spec, Metric::L2);
        assert!(index.as_accelerate().is_none() && index.as_accelerate_mut().is_none(), "{spec}");
    }
}

#[test]
fn a_device_assigns_what_is_added() {
    for spec in ["IVF16,Flat", "IVF16,PQ4", "L2norm,IVF16,SQ8"] {
        let (rows, mut index) = (data::clusters(7, 500, DIM, 12), filled(spec, Metric::L2));
        let mut expected = index.clone_index().unwrap();
        expected.add(rows.rows()).unwrap();
        for cannot_assign in [false, true] {
            let mut index = index.clone_index().unwrap();
            let calls = accelerate(&mut *index);
            calls.cannot_assign.store(cannot_assign, Ordering::Relaxed);
            assert_eq!(index.sa_encode(rows.rows()).unwrap(), expected.sa_encode(rows.rows()).unwrap());
            assert_eq!(calls.taken(), [1, 0, 0], "{spec}");
            index.add(rows.rows()).unwrap();
            assert_eq!(calls.taken(), [1, 0, 0], "{spec}");
            assert!(index.export().unwrap().same(&expected.export().unwrap()), "{spec}");
        }
        // Several blocks, after the first of which the index no longer has the device.
        let many = data::uniform(8, 70_000, DIM);
        let calls = accelerate(&mut *index);
        index.add(many.rows()).unwrap();
        assert_eq!(calls.taken(), [2, 0, 0], "{spec}");
    }
}

#[test]
fn a_device_that_fails_is_a_typed_error() {
    fn is_device(error: &SearchError) -> bool {
        matches!(error, SearchError::Device(source) if source.to_string() == "no power")
    }
    let (queries, rows) = (queries(), other());
    let mut index = filled("IVF16,Flat", Metric::L2);
    let calls = accelerate(&mut *index);
    calls.fails.store(true, Ordering::Relaxed);
    for params in [SearchParams::new(), SearchParams::new().max_codes(50)] {
        let error = index.search(queries.rows(), 3, &params).unwrap_err();
        assert!(is_device(&error), "{error}");
        assert_eq!(error.to_string(), "searching on the device failed");
    }
    assert!(is_device(&index.range_search(queries.rows(), 1.0).unwrap_err()));
    let before = index.len();
    let error = index.add(rows.rows()).unwrap_err();
    assert!(matches!(&error, AddError::Assign(source) if is_device(source)), "{error}");
    let error = index.add_with_ids(rows.rows(), &[1, 2, 3].map(Id)).unwrap_err();
    assert!(matches!(&error, AddError::Assign(source) if is_device(source)), "{error}");
    assert_eq!((index.len(), is_accelerated(&*index)), (before, true), "nothing was written");
    // An update writes before it adds, and has no device by then.
    index.update(&[Id(1)], rows.rows().slice(0..1)).expect("the CPU assigns");
    assert!(matches!(index.update(&[Id(-5)], rows.rows().slice(0..1)), Err(EditError::NoSuchId(_))));
}

#[test]
fn a_cancelled_search_and_an_untrained_index_are_errors() {
    let mut index = filled("IVF16,Flat", Metric::L2);
    let calls = accelerate(&mut *index);
    let cancel = Cancel::new();
    cancel.cancel();
    for params in [SearchParams::new(), SearchParams::new().max_codes(50)] {
        let found = index.search(queries().rows(), 3, &params.cancel(&cancel));
        assert!(matches!(found, Err(SearchError::Cancelled)), "{found:?}");
    }
    assert_eq!(calls.taken(), [0, 0, 0]);

    let device = index.as_accelerate().unwrap().accelerator();
    let mut empty = ivf::build("IVF16,Flat", DIM, Metric::L2).unwrap();
    let ability = empty.as_accelerate_mut().unwrap();
    assert!(ability.accelerated().is_none() && ability.accelerator().is_none());
    assert!(matches!(ability.set_accelerator(device), Err(SearchError::NotTrained)));
    ability.set_accelerator(None).unwrap();
}

#[test]
fn a_shared_index_serves_a_device() {
    let mut index = filled("IVF16,Flat", Metric::L2);
    index.as_ivf_mut().expect("an inverted file").set_nprobe(16).unwrap();
    let expected = index.search(queries().rows(), 5, &SearchParams::new()).unwrap();
    let shared = ivf::cpu::SharedIndex::new(index).unwrap();
    let calls: Arc<Calls> = shared.update(|index| Ok::<_, ivf::error::StoreError>(accelerate(index))).unwrap();
    let found = shared.load().search(queries().rows(), 5, &SearchParams::new()).unwrap();
    assert_eq!((found.hits == expected.hits, calls.taken()), (true, [0, 0, 1]));
}
