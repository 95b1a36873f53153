//! What strings parse into, and that trees survive being printed.

mod common;

use common::{nested, scraps, specs, tied_registry, toy_registry};
use ivf_factory::{MAX_DEPTH, MAX_LEN, Spec, default_registry};
use proptest::prelude::*;

fn parse(factory: &str) -> Spec {
    Spec::parse(factory, &toy_registry()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn tokens_nest_in_the_order_of_faiss() {
    for (factory, tree, canonical) in [
        ("Flat", "Flat", "Flat"),
        ("PQ8x8", "PQ8", "PQ8"),
        ("IVF4k,PQ8x4", "IVF4096,PQ8x4", "IVF4096,PQ8x4"),
        ("IDMap,Flat", "IDMap(Flat)", "IDMap,Flat"),
        ("Flat,IDMap", "IDMap(Flat)", "IDMap,Flat"),
        ("IDMap2,Flat,IDMap", "IDMap2(IDMap(Flat))", "IDMap2,IDMap,Flat"),
        ("IDMap,Flat,IDMap2", "IDMap2(IDMap(Flat))", "IDMap2,IDMap,Flat"),
        ("IDMap,IDMap2,Flat", "IDMap(IDMap2(Flat))", "IDMap,(IDMap2,Flat)"),
        ("IDMap,IDMap,Flat,IDMap", "IDMap(IDMap(IDMap(Flat)))", "IDMap,IDMap,IDMap,Flat"),
        ("IDMap,Flat,RFlat", "IDMap(RFlat(Flat))", "IDMap,Flat,RFlat"),
        ("Flat,RFlat,IDMap", "IDMap(RFlat(Flat))", "IDMap,Flat,RFlat"),
        ("Flat,IDMap,RFlat", "RFlat(IDMap(Flat))", "(IDMap,Flat),RFlat"),
        ("(IDMap,Flat),RFlat", "RFlat(IDMap(Flat))", "(IDMap,Flat),RFlat"),
        ("Flat,RFlat,RFlat", "RFlat(RFlat(Flat))", "Flat,RFlat,RFlat"),
        ("L2norm,IVF4,Flat", "L2norm(IVF4,Flat)", "L2norm,IVF4,Flat"),
        ("L2norm,IVF4,Flat,RFlat", "RFlat(L2norm(IVF4,Flat))", "L2norm,IVF4,Flat,RFlat"),
        ("L2norm,(IVF4,Flat,RFlat)", "L2norm(RFlat(IVF4,Flat))", "L2norm,(IVF4,Flat,RFlat)"),
        ("L2norm,IDMap,Flat", "L2norm(IDMap(Flat))", "L2norm,(IDMap,Flat)"),
        ("IDMap,L2norm,Flat", "IDMap(L2norm(Flat))", "IDMap,L2norm,Flat"),
        ("L2norm,Flat,IDMap", "IDMap(L2norm(Flat))", "IDMap,L2norm,Flat"),
        ("L2norm,RR,IDMap,Flat,RFlat", "RFlat(L2norm(RR(IDMap(Flat))))", "L2norm,RR,(IDMap,Flat),RFlat"),
        ("((Flat))", "Flat", "Flat"),
        ("(L2norm,(Flat))", "L2norm(Flat)", "L2norm,Flat"),
    ] {
        let spec = parse(factory);
        assert_eq!(nested(&spec), tree, "{factory}");
        assert_eq!(spec.to_string(), canonical, "{factory}");
        assert_eq!(parse(canonical), spec, "{factory}");
    }
}

/// The table of Faiss's `index_factory_sub` taken at its word, over tokens without parentheses: the oracle of precedence.
fn as_faiss_would(tokens: &[&str]) -> String {
    let (last, first) = (tokens.len() - 1, tokens[0]);
    for wrapper in ["IDMap2", "IDMap", "RFlat"] {
        if last > 0 && tokens[last] == wrapper {
            return format!("{wrapper}({})", as_faiss_would(&tokens[..last]));
        }
        if last > 0 && first == wrapper && wrapper != "RFlat" {
            return format!("{wrapper}({})", as_faiss_would(&tokens[1..]));
        }
    }
    match first {
        "L2norm" | "RR" => format!("{first}({})", as_faiss_would(&tokens[1..])),
        _ => tokens.join(","),
    }
}

proptest! {
    #[test]
    fn precedence_is_that_of_faiss(
        prefixes in prop::collection::vec(prop::sample::select(vec!["IDMap2", "IDMap", "L2norm", "RR"]), 0..6),
        base in prop::sample::select(vec![vec!["Flat"], vec!["IVF16", "PQ8"]]),
        suffixes in prop::collection::vec(prop::sample::select(vec!["IDMap2", "IDMap", "RFlat"]), 0..6),
    ) {
        let tokens = [prefixes, base, suffixes].concat();
        prop_assert_eq!(nested(&parse(&tokens.join(","))), as_faiss_would(&tokens));
    }

    #[test]
    fn a_tree_survives_being_printed(spec in specs(&toy_registry())) {
        let again = Spec::parse(&spec.to_string(), &toy_registry()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(nested(&again), nested(&spec));
    }

    #[test]
    fn a_tree_with_levels_in_common_survives_too(spec in specs(&tied_registry())) {
        let again = Spec::parse(&spec.to_string(), &tied_registry()).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(nested(&again), nested(&spec));
    }

    #[test]
    fn a_tree_of_the_library_survives_too(spec in specs(default_registry())) {
        let again: Spec = spec.to_string().parse().map_err(|e: ivf_factory::ParseError| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(nested(&again), nested(&spec));
    }

    #[test]
    fn no_string_panics(factory in any::<String>(), scraps in scraps()) {
        for factory in [factory, scraps] {
            for registry in [&toy_registry(), default_registry()] {
                match Spec::parse(&factory, registry) {
                    Ok(spec) => prop_assert_eq!(Spec::parse(&spec.to_string(), registry), Ok(spec)),
                    Err(error) => {
                        prop_assert!(factory.get(error.span.clone()).is_some(), "{:?}", error.span);
                        let shown = error.to_string();
                        prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", shown);
                        if let Some(suggestion) = &error.suggestion {
                            prop_assert!(Spec::parse(suggestion, registry).is_ok(), "{}", suggestion);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn depth_and_length_are_limited() {
    let registry = toy_registry();
    let around = |n: usize| "IDMap,".repeat(n) + "Flat";
    let in_parentheses = |n: usize| "(".repeat(n) + "Flat" + &")".repeat(n);
    assert!(Spec::parse(&around(MAX_DEPTH), &registry).is_ok());
    assert!(Spec::parse(&in_parentheses(MAX_DEPTH), &registry).is_ok());
    for factory in [around(MAX_DEPTH + 1), in_parentheses(MAX_DEPTH + 1), "(".repeat(MAX_LEN), "IDMap,".repeat(600)] {
        let error = Spec::parse(&factory, &registry).unwrap_err();
        assert!(error.what.starts_with(&format!("more than {MAX_DEPTH}")), "{error}");
    }
    for factory in ["(".repeat(1 << 20), ",".repeat(1 << 20), "\u{e4}".repeat(1 << 20)] {
        let error = Spec::parse(&factory, &registry).unwrap_err();
        assert!(error.what.starts_with("a factory string has at most 4096 bytes"), "{error}");
        assert!(error.to_string().len() < 1000, "a picture of a long string is cut");
    }
    // The deepest tree needs a pair of parentheses a level, and still parses when printed.
    let deepest = (0..MAX_DEPTH).fold("Flat".to_owned(), |inner, level| match level % 2 {
        0 => format!("IDMap,({inner})"),
        _ => format!("({inner}),RFlat"),
    });
    let spec = Spec::parse(&deepest, &registry).unwrap();
    assert_eq!(Spec::parse(&spec.to_string(), &registry), Ok(spec));
}

#[test]
fn a_row_that_answers_nonsense_does_no_harm() {
    use ivf_core::registry::{CodecRow, TokenError};
    use std::ops::Range;
    fn read(node: &ivf_core::StoredNode) -> ivf_core::registry::Decoded<std::sync::Arc<dyn ivf_core::Codec>> {
        Err(ivf_core::error::DecodeError::value(&node.tag, ""))
    }
    const SPAN: Range<usize> = Range { start: usize::MAX, end: 1 };
    let rows = [CodecRow::new("odd", "Odd", "", &[], |_| Some(Err(TokenError::new(SPAN, "\u{1b}[31m"))), read)];
    let error = Spec::parse("(\u{e4}\u{e4})", &ivf_core::Registry::new().with_codecs(&rows)).unwrap_err();
    assert_eq!(error.span, 5..5);
    assert!(error.to_string().starts_with("\\u{1b}[31m\n"), "{error}");
}

#[test]
fn a_specification_stands_as_its_string_in_a_config_file() {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};
    use serde::{Deserialize, Serialize};

    struct Serialized<'a>(&'a Spec);
    impl std::fmt::Display for Serialized<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.serialize(f)
        }
    }

    let read = |factory: &'static str| -> Result<Spec, Error> {
        let deserializer: StrDeserializer<'_, Error> = factory.into_deserializer();
        Spec::deserialize(deserializer)
    };
    let spec = read("Flat,IDMap").unwrap();
    assert_eq!(Serialized(&spec).to_string(), "IDMap,Flat");
    assert!(read("Falt").unwrap_err().to_string().contains("did you mean 'Flat'?"));
}
