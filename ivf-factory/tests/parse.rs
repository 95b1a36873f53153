//! Tests of parsing, and of parsing printed trees again.

mod common;

use common::{layered_registry, nested, scraps, specs, specs_in_arguments, tied_registry, toy_registry};
use ivf_core::Registry;
use ivf_factory::{MAX_DEPTH, MAX_LEN, MAX_PARTS, Spec, SpecTree, default_registry};
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
        ("HNSW32", "HNSW32", "HNSW32"),
        ("HNSW32,PQ8x8,IDMap", "IDMap(HNSW32,PQ8)", "IDMap,HNSW32,PQ8"),
        ("RR,HNSW32,RFlat", "RFlat(RR(HNSW32))", "RR,HNSW32,RFlat"),
        ("(HNSW32),RFlat", "RFlat(HNSW32)", "HNSW32,RFlat"),
        ("Graph,RFlat", "RFlat(Graph)", "Graph,RFlat"),
        ("HNSW32,Sign(PQ8x8)", "HNSW32,Sign(PQ8)", "HNSW32,Sign(PQ8)"),
        ("IVF65536_HNSW32,PQ16x4fsr_64", "IVF65536_HNSW32,PQ16x4fsr_64", "IVF65536_HNSW32,PQ16x4fsr_64"),
        ("OPQ16_64,IVF16,PQ8", "OPQ16_64(IVF16,PQ8)", "OPQ16_64,IVF16,PQ8"),
        ("IVF64(IVF4k,Flat),PQ8", "IVF64(IVF4096,Flat),PQ8", "IVF64(IVF4096,Flat),PQ8"),
        ("IVF64((Flat,IDMap)),PQ8", "IVF64(IDMap,Flat),PQ8", "IVF64(IDMap,Flat),PQ8"),
        ("IVF64(IVF16(IVF4,Flat),Flat),PQ8", "IVF64(IVF16(IVF4,Flat),Flat),PQ8", "IVF64(IVF16(IVF4,Flat),Flat),PQ8"),
        ("Flat,Refine(Sign(PQ8)),IDMap", "IDMap(Refine(Sign(PQ8))(Flat))", "IDMap,Flat,Refine(Sign(PQ8))"),
        (
            "(IVF64(HNSW32,PQ8),Flat),Refine(PQ8)",
            "Refine(PQ8)(IVF64(HNSW32,PQ8),Flat)",
            "IVF64(HNSW32,PQ8),Flat,Refine(PQ8)",
        ),
    ] {
        let spec = parse(factory);
        assert_eq!(nested(spec.tree()), tree, "{factory}");
        assert_eq!(spec.to_string(), canonical, "{factory}");
        assert_eq!(parse(canonical), spec, "{factory}");
    }
}

/// Oracle of precedence: applies the table of Faiss's `index_factory_sub` literally, to tokens
/// without parentheses.
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

/// Checks that the canonical string of a tree parses into the same tree, with the same spans.
fn survives(tree: &SpecTree, registry: &Registry) -> Result<(), TestCaseError> {
    let text = tree.to_string();
    let again = Spec::parse(&text, registry).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!(nested(again.tree()), nested(tree));
    // The spans are equal, whether parsed or computed.
    prop_assert_eq!(format!("{again:?}"), format!("{:?}", Spec::from(again.tree().clone())));
    Ok(())
}

proptest! {
    #[test]
    fn precedence_is_that_of_faiss(
        prefixes in prop::collection::vec(prop::sample::select(vec!["IDMap2", "IDMap", "L2norm", "RR"]), 0..6),
        base in prop::sample::select(vec![vec!["Flat"], vec!["IVF16", "PQ8"]]),
        suffixes in prop::collection::vec(prop::sample::select(vec!["IDMap2", "IDMap", "RFlat"]), 0..6),
    ) {
        let tokens = [prefixes, base, suffixes].concat();
        prop_assert_eq!(nested(parse(&tokens.join(",")).tree()), as_faiss_would(&tokens));
    }

    #[test]
    fn a_tree_survives_being_printed(tree in specs(&toy_registry())) {
        survives(&tree, &toy_registry())?;
    }

    #[test]
    fn a_tree_with_levels_in_common_survives_too(tree in specs(&tied_registry())) {
        survives(&tree, &tied_registry())?;
    }

    #[test]
    fn a_tree_with_trees_in_arguments_survives_too(tree in specs_in_arguments()) {
        let text = tree.to_string();
        // Some exceed the limits.
        if text.matches([',', '(']).count() <= MAX_DEPTH {
            survives(&tree, &toy_registry())?;
        }
    }

    #[test]
    fn a_tree_of_the_library_survives_too(tree in specs(default_registry())) {
        survives(&tree, default_registry())?;
    }

    /// Whole indexes as arguments. What can be built says the canonical string.
    #[test]
    fn a_tree_of_the_library_in_an_argument_survives_too(tree in specs(default_registry()), around in 0..4_usize) {
        let around = ["Flat,Refine(@)", "Shards2(@)", "IVF16(@),Flat", "IDMap2,L2norm,Replicas2(Flat,Refine(@))"][around];
        let factory = around.replace('@', &tree.to_string());
        // Some exceed the limits.
        if let Ok(spec) = factory.parse::<Spec>() {
            let canonical = spec.to_string();
            prop_assert_eq!(canonical.parse::<Spec>(), Ok(spec.clone()));
            if let Ok(index) = spec.build(16, ivf_core::Metric::L2) {
                prop_assert_eq!(index.spec(), canonical);
            }
        }
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
    let in_arguments = |n: usize| "Sign(".repeat(n) + "Flat" + &")".repeat(n);
    let indexes = |n: usize| "IVF4(".repeat(n) + "Graph" + &"),Flat".repeat(n);
    for factory in [around(MAX_DEPTH), in_parentheses(MAX_DEPTH), in_arguments(MAX_DEPTH), indexes(MAX_PARTS / 2)] {
        assert!(Spec::parse(&factory, &registry).is_ok(), "{factory}");
    }
    let limits = [
        (around(MAX_DEPTH + 1), "more than 32 wrappers and transforms"),
        (in_parentheses(MAX_DEPTH + 1), "more than 32 nested parentheses"),
        (in_arguments(MAX_DEPTH + 1), "more than 32 nested parentheses"),
        ("(".repeat(MAX_LEN), "more than 32 nested parentheses"),
        (indexes(MAX_PARTS / 2 + 1), "more than 48 commas and argument lists"),
        ("IDMap,".repeat(600), "more than 48 commas and argument lists"),
    ];
    for (factory, limit) in limits {
        let error = Spec::parse(&factory, &registry).unwrap_err();
        assert_eq!(error.what, limit, "{error}");
    }
    for factory in ["(".repeat(1 << 20), ",".repeat(1 << 20), "\u{e4}".repeat(1 << 20)] {
        let error = Spec::parse(&factory, &registry).unwrap_err();
        assert!(error.what.starts_with("a factory string has at most 4096 bytes"), "{error}");
        assert!(error.to_string().len() < 1000, "a long string is shortened");
    }
    // The deepest tree needs a pair of parentheses per level, and its printed form still parses.
    let deepest = (0..MAX_DEPTH).fold("Flat".to_owned(), |inner, level| match level % 2 {
        0 => format!("IDMap,({inner})"),
        _ => format!("({inner}),RFlat"),
    });
    let spec = Spec::parse(&deepest, &registry).unwrap();
    assert_eq!(Spec::parse(&spec.to_string(), &registry), Ok(spec));
    // The canonical string needs parentheses that this order of wrappers does not need.
    let registry = layered_registry();
    let in_order = |n: usize| {
        (0..n).fold("Graph".to_owned(), |inner, _| format!("IVF4({inner}),Flat,IDMap2,IDMap,RFlat,Skin,Coat,Roof"))
    };
    let spec = Spec::parse(&in_order(5), &registry).unwrap();
    assert_eq!(Spec::parse(&spec.to_string(), &registry), Ok(spec));
    let error = Spec::parse(&in_order(6), &registry).unwrap_err();
    assert!(error.what.starts_with("in canonical form, it has more than 32 nested"), "{error}");
    // The canonical string is longer, because it spells `4k` as `4096`.
    let long = |bytes: usize| {
        let (start, end) = (around(MAX_DEPTH).replace("Flat", "IVF4k,PQ"), "x4fs_64");
        start.clone() + &"1".repeat(bytes - start.len() - end.len()) + end
    };
    let spec = Spec::parse(&long(MAX_LEN - 2), &registry).unwrap();
    assert_eq!(spec.to_string().len(), MAX_LEN);
    let error = Spec::parse(&long(MAX_LEN), &registry).unwrap_err();
    assert_eq!(error.what, "in canonical form, it has 4098 bytes, more than 4096");
}

/// Work that could repeat at each level is done once, for the outermost.
#[test]
fn faults_deep_in_arguments_take_no_time() {
    let registry = toy_registry();
    for inside in ["Falt", "IVF16,IVF16", "RFlat", "IVF16,Falt(", "HNSW32,Falt", "Refine(PQ8)", ""] {
        for (open, close) in
            [("IVF4(", "),Flat"), ("IVF4(IVF4,IVF4(", "),Flat),Flat"), ("HNSW32,IVF4(", ")"), ("falt(", ")")]
        {
            for depth in 0..=MAX_DEPTH {
                let factory = open.repeat(depth) + inside + &close.repeat(depth);
                let error = Spec::parse(&factory, &registry).unwrap_err();
                assert!(factory.get(error.span.clone()).is_some(), "{error}");
            }
        }
    }
}

#[test]
fn a_row_that_answers_nonsense_does_no_harm() {
    use ivf_core::registry::{CodecRow, TokenError};
    use std::ops::Range;
    const SPAN: Range<usize> = Range { start: usize::MAX, end: 1 };
    let rows = [CodecRow::new(
        "odd",
        "Odd",
        |_, _| Some(Err(TokenError::new(SPAN, "\u{1b}[31m"))),
        |node, _| Err(ivf_core::error::DecodeError::value(&node.tag, "")),
    )];
    let error = Spec::parse("(\u{e4}\u{e4})", &Registry::new().with_codecs(&rows)).unwrap_err();
    assert_eq!(error.span, 5..5);
    assert!(error.to_string().starts_with("\\u{1b}[31m\n"), "{error}");
}

#[test]
fn a_registry_without_a_parser_of_indexes_says_so() {
    let registry = Registry::new().with_quantizers(toy_registry().quantizers()).with_codecs(toy_registry().codecs());
    let error = Spec::parse("IVF64(Flat),Flat", &registry).unwrap_err();
    assert_eq!((error.what.as_str(), error.span), ("this registry parses no factory strings", 6..10));
}
