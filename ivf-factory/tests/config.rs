//! Specifications and whole indexes in config files.

mod common;

use common::toy_registry;
use ivf_core::error::KnobError;
use ivf_core::params::NonFinite;
use ivf_core::{KnobValue, Metric};
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
