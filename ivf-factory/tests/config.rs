//! Specifications and whole indexes in config files.

mod common;

use common::toy_registry;
use ivf_core::error::KnobError;
use ivf_core::params::{KMeansStart, NonFinite};
use ivf_core::{DirectMapKind, KnobValue, Metric, ParallelMode};
use ivf_factory::{BuildParams, FactoryError, Spec};
use serde::de::DeserializeSeed;
use serde_json::json;

#[test]
fn a_specification_stands_as_its_string() {
    let spec: Spec = serde_json::from_value(json!("Flat,IDMap")).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), json!("IDMap,Flat"));
    let error = serde_json::from_value::<Spec>(json!("Falt")).unwrap_err();
    assert!(error.to_string().contains("did you mean 'Flat'?"), "{error}");
    let error = serde_json::from_value::<Spec>(json!(3)).unwrap_err();
    assert!(error.to_string().contains("a factory string"), "{error}");
}

#[test]
fn a_specification_is_read_with_the_registry_that_knows_it() {
    let registry = toy_registry();
    let read = |factory: &str| Spec::seed(&registry).deserialize(json!(factory));
    assert_eq!(read("IVF64(IVF16,Flat),PQ8x8").unwrap().to_string(), "IVF64(IVF16,Flat),PQ8");
    assert!(read("IVF64(IVF16,Flat),PQ0").unwrap_err().to_string().contains("1 to 65535 parts"));
    assert!(serde_json::from_value::<Spec>(json!("Graph")).is_err());
}

#[test]
fn a_config_builds_an_index_with_its_knobs() {
    let config: BuildParams = serde_json::from_value(json!({
        "factory": "IDMap2,IVF16,PQ4,RFlat",
        "dim": 8,
        "metric": "inner_product",
        "knobs": { "nprobe": 4, "by_residual": false, "mode": "list_major", "k_factor": 3 },
        "train": { "iterations": 3 },
        "add": { "non_finite": "skip_row" },
        "search": { "nprobe": 8, "k_factor_rf": 4 },
    }))
    .unwrap();
    let index = config.build().unwrap();
    assert_eq!(
        (index.spec().as_str(), index.dim(), index.metric()),
        ("IDMap2,IVF16,PQ4,RFlat", 8, Metric::InnerProduct)
    );
    let knobs = [
        ("nprobe", KnobValue::from(4)),
        ("by_residual", false.into()),
        ("mode", "list_major".into()),
        ("k_factor_rf", 3.0.into()),
    ];
    for (name, value) in knobs {
        assert_eq!(index.knob(name), Some(value), "{name}");
    }
    assert_eq!((config.train.iterations, config.add.non_finite), (Some(3), NonFinite::SkipRow));
    assert_eq!((config.search.nprobe, config.search.k_factor_rf), (Some(8), Some(4.0)));

    // `params` is another name of `knobs`.
    let named = json!({ "factory": "IVF16,Flat", "dim": 8, "params": { "nprobe": 5 } });
    let named = serde_json::from_value::<BuildParams>(named).unwrap().build().unwrap();
    assert_eq!(named.knob("nprobe"), Some(5.into()));

    let again: BuildParams = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
    assert_eq!(format!("{again:?}"), format!("{config:?}"));
}

#[test]
fn a_knob_has_the_path_that_parts_have() {
    let index = BuildParams::new("IVF16,Flat,RFlat", 8).metric(Metric::Cosine).knob("nprobe", 2).build().unwrap();
    let parts = index.parts();
    let part = parts.iter().find(|part| part.knobs.iter().any(|knob| knob.name() == "nprobe")).unwrap();
    let path = format!("{}/nprobe", part.path);
    let index = BuildParams::new("IVF16,Flat,RFlat", 8).metric(Metric::Cosine).knob(&path, 3).build().unwrap();
    assert_eq!(index.knob("nprobe"), Some(3.into()), "{path}");
}

#[test]
fn a_config_says_what_is_wrong_with_it() {
    let unknown = |error: FactoryError| matches!(error, FactoryError::Knob(KnobError::Unknown { .. }));
    assert!(unknown(BuildParams::new("Flat", 8).knob("nprobe", 4).build().unwrap_err()));
    let value = BuildParams::new("IVF16,Flat", 8).knob("nprobe", 0).build().unwrap_err();
    assert!(matches!(value, FactoryError::Knob(KnobError::Value { .. })), "{value}");
    assert!(matches!(BuildParams::new("Falt", 8).build(), Err(FactoryError::Parse(_))));
    assert!(matches!(BuildParams::new("PQ3", 8).build(), Err(FactoryError::Build(_))));

    let read = |config| serde_json::from_value::<BuildParams>(config).map(|config| config.metric);
    assert_eq!(read(json!({ "factory": "Flat", "dim": 8 })).unwrap(), Metric::L2);
    for (config, what) in [
        (json!({ "factory": "Flat" }), "missing field `dim`"),
        (json!({ "factory": "Flat", "dim": 8, "metrik": "l2" }), "unknown field `metrik`"),
        (json!({ "factory": "Flat", "dim": 8, "train": { "rounds": 3 } }), "unknown field `rounds`"),
    ] {
        let error = read(config).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_metric_has_the_names_of_faiss_and_ours_in_any_case() {
    let read = |metric: serde_json::Value| serde_json::from_value::<Metric>(metric);
    for (names, metric) in [
        (&["ip", "IP", "InnerProduct", "inner_product", "METRIC_INNER_PRODUCT"][..], Metric::InnerProduct),
        (&["l2", "L2", "METRIC_L2", "metric_l2"], Metric::L2),
        (&["linf", "Linf", "METRIC_Linf"], Metric::Linf),
        (&["BrayCurtis", "bray_curtis", "METRIC_BrayCurtis"], Metric::BrayCurtis),
        (&["lp:3", "Lp:3", "LP:3.0", "METRIC_Lp:3"], Metric::Lp(3.0)),
    ] {
        for name in names {
            assert_eq!(read(json!(name)).unwrap(), metric, "{name}");
            assert_eq!(name.parse(), Ok(metric), "the command line takes the same: {name}");
        }
        assert_eq!(read(serde_json::to_value(metric).unwrap()).unwrap(), metric);
    }
    // As an earlier version wrote it.
    assert_eq!(read(json!({ "Lp": 3.0 })).unwrap(), Metric::Lp(3.0));
    assert_eq!(read(json!({ "lp": 1 })).unwrap(), Metric::Lp(1.0));
    for impossible in [
        json!({ "Lp": -3.0 }),
        json!({ "Lp": 0 }),
        json!({ "Lp": 1e300 }),
        json!({ "Lp": "3" }),
        json!({ "Lp": 3.0, "L2": 1 }),
        json!({ "L2": 3.0 }),
        json!({}),
        json!("lp:-3"),
        json!("lp"),
        json!("euclidean"),
        json!(1),
        json!(null),
    ] {
        let error = read(impossible.clone()).expect_err("no metric").to_string();
        let is_power = [json!({ "Lp": 0 }), json!({ "Lp": -3.0 }), json!("lp:-3")].contains(&impossible);
        assert!(!is_power || error.contains("p must be above 0"), "{impossible}: {error}");
        let config = json!({ "factory": "Flat", "dim": 8, "metric": impossible });
        assert!(serde_json::from_value::<BuildParams>(config).is_err(), "{impossible}");
    }
}

#[test]
fn every_word_of_a_config_is_read_in_any_case_and_written_as_before() {
    fn check<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
        value: T,
        written: &str,
        names: &[&str],
    ) {
        assert_eq!(serde_json::to_value(&value).unwrap(), json!(written));
        for name in names.iter().chain([&written]) {
            assert_eq!(serde_json::from_value::<T>(json!(name)).unwrap(), value, "{name}");
        }
        let error = serde_json::from_value::<T>(json!("nothing")).unwrap_err().to_string();
        assert!(error.contains("one of ") && error.contains(written), "{error}");
    }
    check(NonFinite::SkipRow, "skip_row", &["SkipRow", "SKIP-ROW"]);
    check(NonFinite::Reject, "reject", &["Reject"]);
    check(KMeansStart::PlusPlus, "plus_plus", &["PlusPlus", "KMEANS_PLUS_PLUS", "k-means++"]);
    check(KMeansStart::Random, "random", &["RANDOM"]);
    check(DirectMapKind::None, "None", &["none", "NoMap"]);
    check(DirectMapKind::Array, "Array", &["array"]);
    check(DirectMapKind::Hash, "Hash", &["hash", "Hashtable"]);
    check(ParallelMode::ListMajor, "list_major", &["ListMajor", "list-major"]);

    let config = json!({
        "factory": "IVF16,Flat",
        "dim": 8,
        "knobs": { "direct_map": "HASH", "mode": "FineQueries" },
        "search": { "mode": "List-Major", "nprobe": null },
    });
    let config: BuildParams = serde_json::from_value(config).unwrap();
    assert_eq!((config.search.mode, config.search.nprobe), (Some(ParallelMode::ListMajor), None));
    let index = config.build().unwrap();
    assert_eq!(index.knob("direct_map"), Some("hash".into()));
    assert_eq!(index.knob("mode"), Some("fine_queries".into()));
}

#[test]
fn an_impossible_value_fails_where_it_is_read() {
    let read = |field: &str, value: serde_json::Value| {
        let mut config = json!({ "factory": "IVF16,Flat", "dim": 8 });
        config[field] = value;
        serde_json::from_value::<BuildParams>(config)
    };
    for (field, value, what) in [
        ("dim", json!(0), "dim must be at least 1"),
        ("dim", json!(-8), "-8"),
        ("search", json!({ "nprobe": 0 }), "nprobe"),
        ("search", json!({ "nprobe": -1 }), "nprobe"),
        ("search", json!({ "nprobe": 1.5 }), "a whole number of at least 1"),
        ("search", json!({ "k_factor_rf": 0.5 }), "a number of at least 1"),
        ("search", json!({ "mode": "sideways" }), "one of auto, queries"),
        ("search", json!({ "ensure_k": "yes" }), "true or false"),
        ("add", json!({ "non_finite": "drop" }), "one of reject, skip_row"),
        ("train", json!({ "start": "best" }), "one of random, plus_plus"),
        ("train", json!({ "iterations": -1 }), "-1"),
    ] {
        let error = read(field, value.clone()).unwrap_err().to_string();
        assert!(error.contains(what), "{field} {value}: {error}");
    }
    let twice = serde_json::from_str::<ivf_core::SearchParams<'_>>(r#"{ "nprobe": 1, "nprobe": 2 }"#);
    assert!(twice.unwrap_err().to_string().contains("'nprobe' is given twice"));
    // Only the index knows the parameters of its parts.
    assert!(read("search", json!({ "quantizer_efSearch": 64 })).is_ok());
}
