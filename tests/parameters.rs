//! Parameters and knobs of an index and of its components: in calls, in configs and in files.

use ivf::error::{KnobError, SearchError};
use ivf::{Index, KnobValue, Metric, ParallelMode, Progress, SearchParam, SearchParams, Settings, TrainOptions};
use ivf_testkit::data;
use std::sync::Mutex;

const DIM: usize = 16;

fn trained(spec: &str) -> Box<dyn Index> {
    let mut index = ivf::build(spec, DIM, Metric::L2).expect("a good string");
    index.train(data::clusters(1, 600, DIM, 8).rows()).expect("enough vectors");
    index.add(data::clusters(2, 800, DIM, 8).rows()).expect("trained");
    index
}

/// Returns the centroids of all lists.
fn centroids(quantizer: &dyn ivf::extend::Level1Quantizer) -> Vec<f32> {
    let mut all = vec![0.0; quantizer.nlist() * DIM];
    quantizer.centroid_rows(ivf::ListNo(0), &mut all);
    all
}

fn ids(index: &dyn Index, params: &SearchParams<'_>) -> Vec<ivf::Id> {
    let queries = data::clusters(3, 40, DIM, 8);
    index.search(queries.rows(), 10, params).expect("good queries").hits.ids().to_vec()
}

#[test]
fn a_parameter_of_the_quantizer_is_set_for_a_call_and_as_a_knob_and_is_saved() {
    let mut index = trained("IVF32(IVF8,Flat),Flat");
    assert!(index.takes().names().contains(&"quantizer_nprobe"), "{:?}", index.takes());
    let plain = SearchParams::new().nprobe(4);
    let wide = plain.clone().set("quantizer_nprobe", 8);
    let (narrow, all) = (ids(&*index, &plain), ids(&*index, &wide));
    assert_ne!(narrow, all, "one list of the quantizer's own, and all of them");
    index.set_knob("quantizer_nprobe", 8).expect("a knob of the quantizer");
    assert_eq!(ids(&*index, &plain), all);
    assert_eq!(ids(&*index, &plain.clone().set("quantizer_nprobe", 1)), narrow, "the call overrules the knob");
    let folder = tempfile::tempdir().expect("a folder");
    ivf::write_index(&index, folder.path().join("a.ivf")).expect("a writable folder");
    let back = ivf::read_index(folder.path().join("a.ivf")).expect("what was written");
    assert_eq!(ids(&*back, &plain), all);
    assert_eq!(back.knob("quantizer_nprobe"), Some(8.into()));
    assert_eq!(back.parts(), index.parts());
    index.set_knob_at("quantizer", "nprobe", 1.into()).expect("the same knob by its path");
    assert_eq!(ids(&*index, &plain), narrow);
}

/// Faiss ignores the quantizer's parameters in searches that return vectors or codes (Faiss issue
/// 5589).
#[test]
fn every_way_of_searching_honours_the_parameters_of_the_quantizer() {
    let index = trained("IVF32(IVF8,Flat),Flat");
    let queries = data::clusters(3, 1, DIM, 8);
    for nprobe in [1, 8] {
        let params = SearchParams::new().nprobe(4).set("quantizer_nprobe", nprobe);
        let expected = index.search(queries.rows(), 10, &params).expect("a good query").hits;
        let found = index.search_and_reconstruct_with(queries.rows(), 10, &params).expect("a good query");
        assert_eq!(found.0.hits, expected);
        let ivf = index.as_ivf().expect("an inverted file");
        let (found, _) = ivf.search_and_return_codes(queries.rows().into(), 10, &params).expect("a good query");
        assert_eq!(found.hits, expected);
        let mut sink = ivf::Sink::top_k(10);
        ivf.search_one(queries.rows().into(), &mut sink, &params).expect("a good query");
        let found: Vec<ivf::Id> = sink.into_sorted().iter().map(|hit| hit.id).collect();
        assert_eq!(found, expected.ids());
        let farthest = expected.row(0).distances[9];
        let within = index.range_search_with(queries.rows(), farthest, &params).expect("a good query").hits;
        assert_eq!(within.ids(), &expected.ids()[..within.total()]);
        let probes = ivf.assign(queries.rows().into(), 4, &SearchParams::new().nprobe(nprobe)).expect("a good query");
        let found = ivf.search_preassigned(queries.rows().into(), &probes, 10, &SearchParams::new());
        assert_eq!(found.expect("its own probes").hits, expected);
    }
}

/// The quantizer's parameters also decide the lists of added vectors (Faiss issue 2208).
#[test]
fn adding_uses_the_quantizer_as_it_is_set() {
    let vectors = data::clusters(2, 800, DIM, 8);
    let misplaced = |nprobe: u32| {
        let mut index = ivf::build("IVF32(IVF8,Flat),Flat", DIM, Metric::L2).expect("a good string");
        index.train(data::clusters(1, 600, DIM, 8).rows()).expect("enough vectors");
        index.set_knob("quantizer_nprobe", nprobe).expect("a knob of the quantizer");
        index.add(vectors.rows()).expect("trained");
        let ivf = index.as_ivf().expect("an inverted file");
        let all = ivf.assign(vectors.rows().into(), 1, &SearchParams::new().nprobe(8)).expect("good queries");
        let lists = ivf.lists().expect("trained");
        let nearest: Vec<ivf::ListNo> = (0..800).filter_map(|row| all.row(row).next()?.0).collect();
        let of_list = |no: u32| {
            let list = lists.list(ivf::ListNo(no)).expect("in memory");
            list.ids().filter(|id| nearest[id.0 as usize] != ivf::ListNo(no)).count()
        };
        (0..32).map(of_list).sum::<usize>()
    };
    assert!(misplaced(1) > 0, "the case is one where it matters");
    assert_eq!(misplaced(8), 0);
}

#[test]
fn another_quantizer_keeps_the_knobs_that_it_has() {
    let mut index = trained("IVF32(IVF8,Flat),Flat");
    index.set_knob("quantizer_nprobe", 8).expect("a knob of the quantizer");
    let params = SearchParams::new().nprobe(4);
    let expected = ids(&*index, &params);
    let ivf = index.as_ivf().expect("an inverted file");
    let nested = ivf.quantizer().expect("trained");
    let all = centroids(&*nested);
    let rows = ivf::Rows::new(&all, DIM).expect("rows");
    let flat = ivf::cpu::coarse::FlatQuantizer::from_centroids(rows, Metric::L2).expect("finite");
    let mut replace = |quantizer| {
        let ivf = index.find_ivf_mut().expect("an inverted file");
        ivf.replace_quantizer(quantizer).expect("the same centroids");
        let now = ids(&*index, &params);
        index.add(data::clusters(4, 1, DIM, 1).rows()).expect("trained");
        index.remove(&ivf::IdSelector::range(800..i64::MAX)).expect("in memory");
        let folder = tempfile::tempdir().expect("a folder");
        ivf::write_index(&index, folder.path().join("a.ivf")).expect("a writable folder");
        let back = ivf::read_index(folder.path().join("a.ivf")).expect("what was written");
        assert_eq!((ids(&*back, &params), back.parts()), (now.clone(), index.parts()));
        (index.knob("quantizer_nprobe"), now == expected)
    };
    assert_eq!(replace(nested.clone()), (Some(8.into()), true));
    assert_eq!(replace(std::sync::Arc::new(flat)), (None, true));
    assert_eq!(replace(nested), (Some(1.into()), false), "what the flat quantizer did not have is gone");
}

/// The index of the centroids has a setting of its own, which is the default of the quantizer's
/// parameter.
#[test]
fn a_knob_inside_of_the_quantizer_is_seen_after_reading() {
    let index = trained("IVF32(IVF8,Flat),Flat");
    let quantizer = index.as_ivf().expect("an inverted file").quantizer().expect("trained");
    let all = centroids(&*quantizer);
    let mut inner = ivf::build("IVF8,Flat", DIM, Metric::L2).expect("a good string");
    let rows = ivf::Rows::new(&all, DIM).expect("rows");
    inner.train(rows).expect("enough vectors");
    inner.add(rows).expect("trained");
    inner.set_knob("nprobe", 4).expect("a knob");
    let spec = ivf::default_registry().parse_index("IVF8,Flat").expect("a good string");
    let quantizer = ivf::cpu::coarse::IndexQuantizer::from_index(spec, inner).expect("centroids");
    let mut index = index;
    let ivf = index.find_ivf_mut().expect("an inverted file");
    ivf.replace_quantizer(std::sync::Arc::new(quantizer)).expect("the same centroids");
    assert_eq!(index.knob("quantizer_nprobe"), Some(4.into()));
    let folder = tempfile::tempdir().expect("a folder");
    ivf::write_index(&index, folder.path().join("a.ivf")).expect("a writable folder");
    let back = ivf::read_index(folder.path().join("a.ivf")).expect("what was written");
    assert_eq!(back.knob("quantizer_nprobe"), Some(4.into()));
}

#[test]
fn a_parameter_that_nothing_takes_is_an_error_with_its_name() {
    let index = trained("IVF16,PQ4");
    let queries = data::clusters(3, 2, DIM, 8);
    for (params, name) in [
        (SearchParams::new().set("efSearch", 3), "efSearch"),
        (SearchParams::new().set("quantizer_efSearch", 3), "quantizer_efSearch"),
        (SearchParams::new().k_factor_rf(2.0), "k_factor_rf"),
    ] {
        let error = index.search(queries.rows(), 1, &params).expect_err("nothing takes it");
        assert!(matches!(&error, SearchError::UnsupportedParam { param, .. } if param == name), "{error}");
    }
    let error = index.search(queries.rows(), 1, &SearchParams::new().set("nprobe", "many")).expect_err("no number");
    assert_eq!(error.to_string(), "nprobe must be a whole number of at least 1, not many");
}

#[test]
fn one_config_serves_indexes_of_different_kinds() {
    let text =
        r#"{"nprobe": 4, "mode": "Queries_And_Probes", "k_factor_rf": 3.5, "quantizer_nprobe": 2, "max_codes": 100}"#;
    let text = text.replace("Queries_And_Probes", "queries_and_probes");
    let config: SearchParams<'static> = serde_json::from_str(&text).expect("a good config");
    assert_eq!((config.nprobe, config.mode), (Some(4), Some(ParallelMode::QueriesAndProbes)));
    let again = serde_json::to_value(&config).expect("plain values");
    assert_eq!(again, serde_json::from_str::<serde_json::Value>(&text).expect("the same"));
    for (spec, left_out) in [
        ("Flat", &["nprobe", "max_codes", "k_factor_rf", "quantizer_nprobe"][..]),
        ("IVF16,Flat", &["k_factor_rf", "quantizer_nprobe"]),
        ("IVF16(IVF4,Flat),Flat", &["k_factor_rf"]),
        ("IVF16(IVF4,Flat),PQ4,RFlat", &[]),
    ] {
        let mut index = ivf::build(spec, DIM, Metric::L2).expect("a good string");
        index.train(data::clusters(1, 600, DIM, 8).rows()).expect("enough vectors");
        let mut params = config.clone();
        assert_eq!(params.retain(&index.takes()), left_out, "{spec}");
        index.search(data::clusters(3, 2, DIM, 8).rows(), 1, &params).expect("what it takes");
    }
    assert!(serde_json::from_str::<SearchParams<'_>>(r#"{"nprobe": -3}"#).is_err());
    assert!(serde_json::from_str::<TrainOptions<'_>>(r#"{"iteration": 3}"#).is_err());
    let options: TrainOptions<'_> = serde_json::from_str(r#"{"iterations": 3, "start": "plus_plus"}"#).expect("good");
    assert_eq!((options.iterations, options.seed_or_default()), (Some(3), 1234));
}

#[test]
fn a_metric_has_one_spelling_and_is_read_in_any_case() {
    for name in ["cosine", "Cosine", "COSINE"] {
        assert_eq!(serde_json::from_value::<Metric>(name.into()).expect("a name"), Metric::Cosine);
    }
    assert_eq!(serde_json::to_value(Metric::Lp(3.0)).expect("a name"), "lp:3");
    assert!(serde_json::from_value::<Metric>("lp:-3".into()).is_err());
}

#[test]
fn whether_residuals_are_coded_is_chosen_before_training() {
    let mut index = ivf::build("IVF16,PQ4", DIM, Metric::L2).expect("a good string");
    assert_eq!(index.knob("by_residual"), Some(true.into()));
    index.set_knob("by_residual", false).expect("before training");
    index.train(data::clusters(1, 600, DIM, 8).rows()).expect("enough vectors");
    let refused = index.set_knob("by_residual", true);
    assert!(matches!(refused, Err(KnobError::Trained { .. })), "{refused:?}");
    index.set_knob("by_residual", false).expect("what it is");
    index.add(data::clusters(2, 800, DIM, 8).rows()).expect("trained");
    // Codes of vectors instead of residuals: the distance to a code does not depend on its list,
    // and all lists together give the results of the codec alone.
    let mut alone = ivf::build("PQ4", DIM, Metric::L2).expect("a good string");
    alone.train(data::clusters(1, 600, DIM, 8).rows()).expect("enough vectors");
    alone.add(data::clusters(2, 800, DIM, 8).rows()).expect("trained");
    assert_eq!(ids(&*index, &SearchParams::new().nprobe(16)), ids(&*alone, &SearchParams::new()));
    let folder = tempfile::tempdir().expect("a folder");
    ivf::write_index(&index, folder.path().join("a.ivf")).expect("a writable folder");
    let back = ivf::read_index(folder.path().join("a.ivf")).expect("what was written");
    assert_eq!(back.as_ivf().map(|ivf| ivf.by_residual()), Some(false));
    assert_eq!(ids(&*back, &SearchParams::new()), ids(&*index, &SearchParams::new()));
    // Flat never codes residuals, so it does not have this knob.
    let flat = ivf::build("IVF16,Flat", DIM, Metric::L2).expect("a good string");
    assert_eq!(flat.knob("by_residual"), None);
}

#[test]
fn tables_of_the_lists_take_no_more_memory_than_they_may() {
    let mut index = trained("IVF16,PQ4");
    let (before, memory) = (ids(&*index, &SearchParams::new().nprobe(8)), index.memory());
    index.set_knob("table_memory", 0).expect("a knob that is there");
    assert!(index.memory() < memory, "{} bytes, {memory} with tables", index.memory());
    assert_eq!(ids(&*index, &SearchParams::new().nprobe(8)), before);
    index.set_knob("table_memory", 1_u64 << 28).expect("a knob that is there");
    assert_eq!(index.memory(), memory);
}

#[test]
fn knobs_are_set_by_words_paths_and_all_at_once_or_not_at_all() {
    let mut index = trained("IVF16,PQ4,RFlat");
    ivf::knobs::set_knobs(&mut *index, "nprobe=3, mode=queries,k_factor=2,direct_map=hash").expect("good knobs");
    let value = |index: &dyn Index, name| index.knob(name).map(|value| value.to_string());
    for (name, set) in [("nprobe", "3"), ("mode", "queries"), ("k_factor_rf", "2"), ("direct_map", "hash")] {
        assert_eq!(value(&*index, name).as_deref(), Some(set));
    }
    let before = index.parts();
    for bad in ["nprobe=5,mode=sideways", "nprobe=5,base/nprobe=0", "nprobe=5,no/such=1", "nprobe=5,table_memory"] {
        assert!(ivf::knobs::set_knobs(&mut *index, bad).is_err(), "{bad}");
        assert_eq!(index.parts(), before, "{bad}");
    }
    ivf::knobs::set_knobs(&mut *index, "nprobe=3 mode=queries k_factor=2").expect("spaces, as in Faiss");
    ivf::knobs::set_knobs(&mut *index, "base/nprobe=7").expect("a path");
    assert_eq!(index.knob("nprobe"), Some(7.into()));
    let error = index.set_knob("nprobes", 1).expect_err("no such knob");
    assert!(error.to_string().contains("nprobe, max_codes, mode"), "{error}");
    let error = index.set_knob_at("quantizer", "nprobe", KnobValue::Int(1)).expect_err("no such part");
    assert!(matches!(error, KnobError::NoSuchPart { .. }), "{error}");
    let settings: Settings = [("nprobe", 2), ("max_codes", 5)].into();
    let all = settings.iter().map(|(name, value)| (name, value.clone()));
    ivf::knobs::set_all(&mut *index, all).expect("good knobs");
    assert_eq!(index.knob("max_codes"), Some(5.into()));
    assert!(index.takes().contains(SearchParam::KFactorRf));
}

#[test]
fn one_config_serves_flat_and_ivf() {
    let config: Settings =
        [("nprobe", 5.into()), ("mode", KnobValue::from("queries")), ("base/nprobe", 6.into())].into();
    let wanted = || config.iter().map(|(name, value)| (name, value.clone()));
    for (spec, left_out) in
        [("Flat", &["base/nprobe", "nprobe"][..]), ("IVF16,Flat", &["base/nprobe"]), ("IVF16,Flat,RFlat", &[])]
    {
        let mut index = trained(spec);
        assert_eq!(ivf::knobs::set_known(&mut *index, wanted()).expect("values in range"), left_out, "{spec}");
        assert_eq!(index.knob("mode"), Some("queries".into()), "{spec}");
        let before = index.parts();
        let bad = [("mode", KnobValue::from("auto")), ("direct_map", "sideways".into())];
        ivf::knobs::set_known(&mut *index, bad).expect_err("out of range");
        assert_eq!(index.parts(), before, "{spec}");
    }
}

#[test]
fn the_first_half_of_a_search_uses_the_knobs_of_the_index() {
    let mut index = trained("IVF16(IVF8,Flat),Flat");
    ivf::knobs::set_knobs(&mut *index, "nprobe=4,quantizer_nprobe=8").expect("good knobs");
    let queries = data::clusters(3, 50, DIM, 8);
    let ivf = index.as_ivf().expect("an inverted file");
    let probes = ivf.assign(queries.rows().into(), 4, &SearchParams::new()).expect("good queries");
    let halves = ivf.search_preassigned(queries.rows().into(), &probes, 5, &SearchParams::new()).expect("its probes");
    let whole = index.search(queries.rows(), 5, &SearchParams::new()).expect("good queries");
    assert_eq!(halves.hits, whole.hits);
    // The value of the call takes precedence.
    let narrow = SearchParams::new().nprobe(1);
    let (mine, other) = (ivf.assign(queries.rows().into(), 4, &narrow).expect("good"), probes);
    assert_ne!(mine, other);
}

#[test]
fn a_bad_value_is_an_error_until_it_is_replaced() {
    let index = trained("IVF16,Flat");
    let queries = data::clusters(3, 2, DIM, 8);
    let mut bad = SearchParams::new().set("nprobe", "many");
    assert!(bad.retain(&index.takes()).is_empty());
    assert!(index.search(queries.rows(), 1, &bad).is_err());
    index.search(queries.rows(), 1, &bad.nprobe(3)).expect("a good value");
}

#[test]
fn paths_are_exact_and_errors_name_them() {
    let mut index = trained("IVF16(IVF4,Flat),Flat,RFlat");
    let before = index.parts();
    ivf::knobs::set_knobs(&mut *index, "base//nprobe=9,nprobe=0").expect_err("no such path");
    assert_eq!(index.parts(), before);
    let error = ivf::knobs::set_knobs(&mut *index, "base/codec/nprobe=3").expect_err("a codec without knobs");
    assert!(error.to_string().contains("base/codec/nprobe"), "{error}");
    let error = index.set_knob("quantizer_mode", "sideways").expect_err("no such mode");
    assert!(error.to_string().contains("quantizer_mode"), "{error}");
    let text = r#"{ "factory": "Flat", "dim": 4, "knobs": { "mode": null } }"#;
    let error = serde_json::from_str::<ivf::BuildParams>(text).expect_err("no value");
    assert!(error.to_string().contains("true, false, a number or a word"), "{error}");
    let params: SearchParams<'_> = serde_json::from_str(r#"{ "mode": "List_Major" }"#).expect("a mode in any case");
    assert_eq!(params.mode, Some(ivf::ParallelMode::ListMajor));
}

#[test]
fn an_unset_seed_is_the_one_that_the_docs_say() {
    let nodes = [TrainOptions::new(), TrainOptions::new().seed(1234)].map(|options| {
        let mut index = ivf::build("IVF16,PQ4", DIM, Metric::L2).expect("a good string");
        // More vectors than the codec trains on, so that it samples them.
        let options = options.max_points_per_centroid(2);
        index.train_with(data::clusters(1, 3000, DIM, 8).rows(), &options).expect("enough vectors");
        index.export().expect("in memory").to_stored()
    });
    ivf_testkit::compare::assert_same_node(&nodes[0], &nodes[1], "an unset seed, and 1234");
}

#[test]
fn every_verb_has_options_on_the_index_itself() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<&'static str>>);
    impl Progress for Heard {
        fn step(&self, stage: &'static str, _done: u64, _total: u64) {
            self.0.lock().expect("no panic").push(stage);
        }
    }
    let heard = Heard::default();
    let mut index = ivf::build("IDMap2,IVF16,Flat", DIM, Metric::L2).expect("a good string");
    let vectors = data::clusters(1, 600, DIM, 8);
    index.train_with(vectors.rows(), &TrainOptions::new().progress(&heard)).expect("enough vectors");
    let options = ivf::AddOptions::new().progress(&heard);
    let ids: Vec<ivf::Id> = (0..600).map(|i| ivf::Id(i * 3)).collect();
    index.add_with_ids_with(vectors.rows(), &ids, &options).expect("trained");
    index.upsert_with(&ids[..5], vectors.rows().slice(5..10), &options).expect("trained");
    index.update_with(&ids[..5], vectors.rows().slice(0..5), &options).expect("there");
    let heard = heard.0.into_inner().expect("no panic");
    assert!(heard.contains(&"add") && heard.iter().any(|stage| *stage != "add"), "{heard:?}");
}

#[test]
fn a_missing_ability_says_what_would_help() {
    let mut index = trained("Flat,RFlat");
    let error = index.add_with_ids(data::clusters(1, 1, DIM, 1).rows(), &[ivf::Id(7)]).expect_err("no ids");
    assert_eq!(error.to_string(), "Flat,RFlat cannot add with ids: wrap it as IDMap2,Flat,RFlat");
    let mut wrapped = ivf::build("IDMap2,Flat,RFlat", DIM, Metric::L2).expect("what it said");
    wrapped.add_with_ids(data::clusters(1, 1, DIM, 1).rows(), &[ivf::Id(7)]).expect("what it said");
    // Behind a transform, the error is the missing ability, not the missing training.
    let behind = ivf::build("L2norm,(IDMap,Flat)", DIM, Metric::L2).expect("a good string");
    let error = behind.sa_decode(&[0; 64]).expect_err("no standalone codes");
    assert!(matches!(error, ivf::error::CodeError::Unable(_)), "{error:?}");
}
