//! Factory strings.

use ivf::{Metric, Spec, default_registry};

/// Any text is a specification, which is printed as text that means the same, or an error that can be shown.
pub fn factory(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let registry = default_registry();
    let spec = match Spec::parse(text, registry) {
        Ok(spec) => spec,
        Err(error) => {
            assert!(text.get(error.span.clone()).is_some(), "the span lies in the text");
            assert!(error.to_string().chars().all(|c| c == '\n' || !c.is_control()), "it can be shown");
            let suggestion = error.suggestion.iter();
            return suggestion.for_each(|text| assert!(Spec::parse(text, registry).is_ok(), "'{text}' is no better"));
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
                assert!(text.get(error.span.clone()).is_some(), "the part that refuses lies in the text");
                assert!(error.to_string().chars().all(|c| c == '\n' || !c.is_control()), "it can be shown");
            }
        }
    }
}
