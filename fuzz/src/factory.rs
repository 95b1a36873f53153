//! Fuzz target for factory strings.

use ivf::{Metric, Spec, default_registry};

/// Parses any text. A specification must be printed as text that parses into an equal one. An error
/// must be printable.
pub fn factory(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let registry = default_registry();
    let spec = match Spec::parse(text, registry) {
        Ok(spec) => spec,
        Err(error) => {
            assert!(text.get(error.span.clone()).is_some(), "the span lies in the text");
            assert!(error.to_string().chars().all(|c| c == '\n' || !c.is_control()), "the error is printable");
            let suggestion = error.suggestion.iter();
            return suggestion.for_each(|text| assert!(Spec::parse(text, registry).is_ok(), "'{text}' does not parse"));
        }
    };
    let printed = spec.to_string();
    assert_eq!(Spec::parse(&printed, registry).as_ref(), Ok(&spec), "'{printed}' means the same");
    for (dim, metric) in [(1, Metric::L2), (12, Metric::InnerProduct), (64, Metric::Cosine), (3, Metric::Lp(3.0))] {
        match spec.build(dim, metric) {
            Ok(index) => {
                assert_eq!((index.dim(), index.metric(), index.len()), (dim, metric, 0));
                assert_eq!(Spec::parse(&index.spec(), registry).as_ref(), Ok(&spec), "{} of {printed}", index.spec());
            }
            Err(error) => {
                assert!(text.get(error.span.clone()).is_some(), "the span lies in the text");
                assert!(error.to_string().chars().all(|c| c == '\n' || !c.is_control()), "the error is printable");
            }
        }
    }
}
