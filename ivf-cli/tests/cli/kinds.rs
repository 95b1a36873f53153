//! Tests of `ivf kinds`.

use crate::program::ivf;
use serde_json::Value;

#[test]
fn all_kinds_of_the_registry_are_listed() {
    let kinds: Value = serde_json::from_str(&ivf(["kinds", "--json"]).ok().stdout).unwrap();
    let text = ivf(["kinds"]).ok().stdout;
    let registry = ivf_factory::default_registry();
    let tokens = |name: &str| -> Vec<String> {
        kinds[name].as_array().unwrap().iter().map(|kind| kind["token"].as_str().unwrap().to_owned()).collect()
    };
    macro_rules! check {
        ($($sort:ident)*) => {$(
            let expected: Vec<&str> = registry.$sort().iter().map(|row| row.grammar).filter(|text| !text.is_empty()).collect();
            assert_eq!(tokens(stringify!($sort)), expected);
            assert!(expected.iter().all(|token| text.contains(&format!("| {token} "))), "{text}");
        )*};
    }
    check!(codecs quantizers indexes transforms wrappers);
    let names = |sort: &str, name: &str| -> Vec<String> {
        kinds[sort].as_array().unwrap().iter().map(|kind| kind[name].as_str().unwrap().to_owned()).collect()
    };
    let formats: Vec<_> = ivf_io::vectors::FORMATS.iter().map(|format| format.extension).collect();
    assert_eq!(names("vector_formats", "extension"), formats);
    // Every knob can be set to its default in its example.
    for knob in kinds["knobs"].as_array().unwrap() {
        let mut index = ivf_factory::build(knob["example"].as_str().unwrap(), 64, ivf_core::Metric::L2).unwrap();
        let default: ivf_core::KnobValue = serde_json::from_value(knob["default"].clone()).unwrap();
        index.set_knob(knob["name"].as_str().unwrap(), default.clone()).unwrap();
        assert_eq!(index.knob(knob["name"].as_str().unwrap()), Some(default), "{knob}");
    }
    for name in ["nprobe", "max_codes", "k_factor_rf"] {
        assert!(names("search_params", "name").contains(&name.to_owned()), "{name}");
    }
    for metric in kinds["metrics"].as_array().unwrap() {
        assert!(text.contains(metric.as_str().unwrap()), "{metric}");
    }
}
