//! The meaning of search parameters, on an index whose lists are known.

use ivf::error::SearchError;
use ivf::{Cancel, Id, IdSelector, Index, ListNo, Metric, Probes, Rows, SearchParams, Sink};
use ivf_testkit::data;

const DIM: usize = 8;

fn index() -> (Box<dyn Index>, data::Vectors) {
    let vectors = data::clusters(1, 600, DIM, 20);
    let mut index = ivf::build("IVF20,Flat", DIM, Metric::L2).expect("a good string");
    index.train(vectors.rows()).expect("enough vectors");
    index.add(vectors.rows()).expect("trained");
    (index, vectors)
}

#[test]
fn blocks_of_queries_against_a_list_find_the_same_as_each_query_alone() {
    // 128 subquantizers: a scanner holds the tables of 128 of the 700 queries at a time.
    let dim = 128;
    let vectors = data::clusters(2, 3000, dim, 4);
    for metric in [Metric::L2, Metric::InnerProduct] {
        let mut index = ivf::build("IVF4,PQ128", dim, metric).expect("a good string");
        let mut options = ivf::TrainOptions::new();
        options.iterations = Some(2);
        index.as_train().expect("trainable").train(vectors.rows().into(), &options).expect("enough vectors");
        index.add(vectors.rows()).expect("trained");
        let queries = vectors.rows().slice(0..700);
        let even = |id: Id| id.0 % 2 == 0;
        let even = IdSelector::Fn(&even);
        for threads in [1, 2] {
            let pool = ivf::cpu::RayonPool::new(threads).expect("threads");
            let params = SearchParams::new().nprobe(3).executor(&pool);
            for params in [params.clone(), params.clone().selector(&even), params.max_codes(900)] {
                let search = |mode| index.search(queries, 10, &params.clone().mode(mode)).expect("a good query");
                let alone = search(ivf::ParallelMode::Queries);
                // Each list has about 750 codes, and about 96 queries share it. `Auto` therefore
                // also selects list-major where the CPU has instructions for lookups.
                for mode in [ivf::ParallelMode::ListMajor, ivf::ParallelMode::Auto] {
                    let together = search(mode);
                    assert_eq!(together.hits, alone.hits, "{metric}, {mode:?}, {threads} threads");
                    assert_eq!(together.stats.codes, alone.stats.codes);
                }
            }
        }
    }
}

#[test]
fn a_selector_leaves_nprobe_as_it_was_set() {
    // In Faiss, parameters made for a selector alone reset nprobe to 1.
    let (mut index, vectors) = index();
    ivf::knobs::set_knobs(&mut *index, "nprobe=20").expect("a knob that is there");
    let all = IdSelector::All;
    let queries = vectors.rows().slice(0..5);
    let with = index.search(queries, 30, &SearchParams::new().selector(&all)).expect("a good query");
    let without = index.search(queries, 30, &SearchParams::new()).expect("a good query");
    assert_eq!(with.hits, without.hits);
    assert_eq!(with.stats.lists, 100);
}

#[test]
fn max_codes_is_exact_and_counts_before_the_filter() {
    let (index, vectors) = index();
    let none = |_: Id| false;
    let none = IdSelector::Fn(&none);
    for max in [1, 7, 100, 599, 600, 10_000] {
        for params in [SearchParams::new(), SearchParams::new().selector(&none)] {
            let params = params.nprobe(20).max_codes(max);
            let found = index.search(vectors.rows().slice(0..4), 1000, &params).expect("a good query");
            assert_eq!(found.stats.codes, 4 * max.min(600) as u64);
            let expected = if params.selector.is_some() { 0 } else { max.min(600) };
            assert!(found.hits.rows().all(|row| row.ids.len() == expected));
        }
    }
}

#[test]
fn ensure_k_widens_only_the_queries_that_are_short() {
    let (index, vectors) = index();
    let rare = |id: Id| id.0 % 60 == 7;
    let rare = IdSelector::Fn(&rare);
    let params = SearchParams::new().nprobe(1).selector(&rare);
    let queries = vectors.rows().slice(0..50);
    let short = index.search(queries, 10, &params).expect("a good query");
    assert!(short.hits.rows().any(|row| row.ids.len() < 10));
    let full = index.search(queries, 10, &params.clone().ensure_k(true)).expect("a good query");
    assert!(full.hits.rows().all(|row| row.ids.len() == 10), "600 vectors hold 10 of these");
    let easy = index.search(queries, 1, &SearchParams::new().nprobe(1).ensure_k(true)).expect("a good query");
    assert_eq!(easy.stats.lists, 50, "no query was short");
    let capped = index.search(queries, 10, &params.ensure_k(true).max_codes(40)).expect("a good query");
    assert!(capped.hits.rows().all(|row| row.ids.len() <= 10));
}

#[test]
fn what_an_index_cannot_honour_is_an_error() {
    let vectors = data::clusters(1, 100, DIM, 5);
    let mut flat = ivf::build("Flat", DIM, Metric::L2).expect("a good string");
    flat.add(vectors.rows()).expect("always trained");
    let refused = flat.search(vectors.rows(), 1, &SearchParams::new().nprobe(3));
    assert!(matches!(&refused, Err(SearchError::UnsupportedParam { param, .. }) if param == "nprobe"), "{refused:?}");
    let (index, vectors) = index();
    let ivf = index.as_ivf().expect("an inverted file");
    let probes = Probes::new(1, vec![Some(ListNo(0)); 600], vec![0.0; 600]).expect("a good shape");
    for params in [SearchParams::new().nprobe(2), SearchParams::new().ensure_k(true)] {
        let refused = ivf.search_preassigned(vectors.rows().into(), &probes, 1, &params);
        assert!(matches!(refused, Err(SearchError::UnsupportedParam { .. })), "{refused:?}");
    }
    let refused = index.search(vectors.rows(), 1, &SearchParams::new().nprobe(0));
    assert!(matches!(&refused, Err(SearchError::InvalidParam { param, .. }) if param == "nprobe"), "{refused:?}");
}

#[test]
fn given_probes_may_be_absent_repeated_or_wrong() {
    let (index, vectors) = index();
    let ivf = index.as_ivf().expect("an inverted file");
    let query: Rows<'_, f32> = vectors.rows().slice(3..4);
    let search = |lists: &[Option<u32>]| {
        let lists: Vec<_> = lists.iter().map(|no| no.map(ListNo)).collect();
        let probes = Probes::new(lists.len(), lists, vec![0.0; 3]).expect("a good shape");
        ivf.search_preassigned(query.into(), &probes, 1000, &SearchParams::new())
    };
    let len = |no: u32| ivf.lists().expect("trained").list_len(ListNo(no)).expect("a list");
    let absent = search(&[None, Some(4), None]).expect("probes may be absent");
    assert_eq!(absent.hits.row(0).ids.len(), len(4));
    let twice = search(&[Some(4), Some(5), Some(4)]).expect("a caller may probe a list twice");
    assert_eq!(twice.hits.row(0).ids.len(), 2 * len(4) + len(5));
    let wrong = search(&[Some(4), Some(20), None]);
    assert!(matches!(wrong, Err(SearchError::NoSuchList { row: 0, list: ListNo(20), nlist: 20 })), "{wrong:?}");
}

#[test]
fn results_accumulate_over_calls() {
    let (index, vectors) = index();
    let ivf = index.as_ivf().expect("an inverted file");
    let queries = vectors.rows().slice(10..30);
    let one_list = |no: u32| Probes::new(1, vec![Some(ListNo(no)); 20], vec![0.0; 20]).expect("a good shape");
    let mut sinks = vec![Sink::top_k(5); 20];
    for no in 0..20 {
        ivf.search_preassigned_into(queries.into(), &one_list(no), &mut sinks, &SearchParams::new()).expect("a list");
    }
    let all = index.search(queries, 5, &SearchParams::new().nprobe(20)).expect("a good query");
    for (sink, row) in sinks.into_iter().zip(all.hits.rows()) {
        assert_eq!(sink.into_sorted().iter().map(|n| n.id).collect::<Vec<_>>(), row.ids);
    }
    let refused = ivf.search_preassigned_into(queries.into(), &one_list(0), &mut [], &SearchParams::new());
    assert!(matches!(refused, Err(SearchError::Count { what: "sinks", .. })), "{refused:?}");
}

#[test]
fn a_cancelled_search_says_so() {
    let (index, vectors) = index();
    let cancel = Cancel::new();
    cancel.cancel();
    let cancelled = index.search(vectors.rows(), 1, &SearchParams::new().cancel(&cancel));
    assert!(matches!(cancelled, Err(SearchError::Cancelled)), "{cancelled:?}");
}

#[test]
fn cancelled_changes_leave_everything_as_it_was() {
    struct CancelAtOnce(Cancel);
    impl ivf::params::Progress for CancelAtOnce {
        fn step(&self, _: &'static str, _: u64, _: u64) {
            self.0.cancel();
        }
    }
    let (mut index, vectors) = index();
    let cancel = Cancel::new();
    cancel.cancel();
    let options = ivf::AddOptions::new().cancel(&cancel);
    let (mut other, _) = self::index();
    let merged = index.as_merge().expect("supported").merge_from(&mut *other, 600, &options);
    assert!(merged.is_err() && (index.len(), other.len()) == (600, 600), "{merged:?}");
    let all = ivf::ability::Subset::Lists(0..20);
    let copied = index.as_copy_subset().expect("supported").copy_subset_to(&mut *other, &all, &options);
    assert!(copied.is_err() && other.len() == 600, "{copied:?}");

    // An upsert that is cancelled between its two halves undoes the first.
    for spec in ["IDMap,(IVF20,Flat)", "IDMap2,(IVF20,Flat)"] {
        let mut index = ivf::build(spec, DIM, Metric::L2).expect("a good string");
        index.train(vectors.rows()).expect("enough vectors");
        index.add(vectors.rows().slice(0..30)).expect("trained");
        let progress = CancelAtOnce(Cancel::new());
        let options = ivf::AddOptions::new().cancel(&progress.0).progress(&progress);
        let upsert = index.as_upsert().expect("supported");
        let upserted = upsert.upsert(&[Id(5), Id(1000)], vectors.rows().slice(40..42).into(), &options);
        assert!(upserted.is_err() && index.len() == 30, "{upserted:?}");
        assert_eq!(index.reconstruct(Id(5)).expect("as before"), vectors.rows().row(5));
        index.add(vectors.rows().slice(50..51)).expect("trained");
        assert_eq!(index.reconstruct(Id(30)).expect("counted on"), vectors.rows().row(50));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("index.ivf");
        ivf::write_index(&*index, &path).expect("a writable folder");
        assert_eq!(ivf::read_index(&path).expect("just written").len(), 31);
    }
}
