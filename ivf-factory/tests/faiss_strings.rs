//! Factory strings that people write, with what Faiss makes of each (`data/factory_strings.txt`).
//! Each is parsed as Faiss parses it, or refused as Faiss refuses it, or refused by the name of the
//! token that is missing here.

use ivf_core::Metric;
use ivf_factory::{FactoryError, Spec, build};
use std::collections::BTreeMap;

const STRINGS: &str = include_str!("data/factory_strings.txt");

/// The canonical form of strings that differ from theirs. It shows how the tokens nest.
const CANONICAL: &[(&str, &str)] = &[
    ("IVF65k,Flat", "IVF66560,Flat"),
    ("IVF1M,Flat", "IVF1048576,Flat"),
    ("IDMap,L2Norm,Flat", "IDMap,L2norm,Flat"),
    ("IVF4096,PQ64x8", "IVF4096,PQ64"),
    ("PQ8x8", "PQ8"),
    // There are no polysemous codes, which `np` turns off.
    ("IVF100,PQ8np", "IVF100,PQ8"),
    ("HNSW32,Flat", "HNSW32"),
    ("HNSW32_PQ4", "HNSW32,PQ4"),
    ("OPQ64_128,IVF1024_HNSW32,PQ64x8", "OPQ64_128,IVF1024_HNSW32,PQ64"),
    ("OPQ256_768,IVF16384_HNSW32,PQ256x8", "OPQ256_768,IVF16384_HNSW32,PQ256"),
    ("PCA160,IVF20000_HNSW,PQ20x10,RFlat", "PCA160,IVF20000_HNSW32,PQ20x10,RFlat"),
    ("IVF1024,Flat,IDMap,RFlat", "(IDMap,IVF1024,Flat),RFlat"),
    ("IVF1024,Flat,Refine(Flat)", "IVF1024,Flat,RFlat"),
    ("IVF20480,PQ192x4fs,Refine(PQ96x8)", "IVF20480,PQ192x4fs,Refine(PQ96)"),
    ("IVF8,PQ2x4np,RFlat", "IVF8,PQ2x4,RFlat"),
];

struct Line {
    factory: String,
    dim: usize,
    /// The classes in Faiss, or `None` if it refuses the string.
    faiss: Option<&'static str>,
}

fn lines() -> impl Iterator<Item = Line> {
    STRINGS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let [factory, dim, faiss] = line.split('\t').collect::<Vec<_>>().try_into().expect("three columns");
        let factory = factory.replace("\\s", " ").replace("\\n", "\n");
        Line { factory, dim: dim.parse().expect("a dimension"), faiss: Some(faiss).filter(|faiss| *faiss != "refused") }
    })
}

/// What a kind of Faiss is called in canonical strings. Enough to compare how tokens nest.
fn nesting_of_classes(classes: &str) -> Vec<&'static str> {
    // The quantizer of an inverted file is inside of it.
    classes
        .split('/')
        .take_while(|class| !class.contains("IVF"))
        .filter_map(|class| match class {
            "IndexIDMap" => Some("IDMap"),
            "IndexIDMap2" => Some("IDMap2"),
            "IndexRefine" | "IndexRefineFlat" => Some("Refine"),
            "IndexPreTransform" => Some("transforms"),
            _ => None,
        })
        .collect()
}

/// Returns the wrappers of an index from the outside in, each sort of them once.
fn nesting_of(factory: &str, dim: usize) -> Vec<&'static str> {
    let index = build(factory, dim, Metric::L2).unwrap();
    std::iter::successors(Some(&*index), |index| index.wrapped())
        .filter_map(|index| match &*index.parts()[0].kind {
            "id-map" => Some("IDMap"),
            "id-map2" => Some("IDMap2"),
            "refine" => Some("Refine"),
            "pre-transform" => Some("transforms"),
            _ => None,
        })
        .collect()
}

#[test]
fn strings_are_read_or_refused_as_in_faiss_or_name_what_is_missing() {
    let canonical: BTreeMap<&str, &str> = CANONICAL.iter().copied().collect();
    let mut used = Vec::new();
    let (mut read, mut refused, mut missing) = (0, 0, 0);
    for Line { factory, dim, faiss } in lines() {
        match (build(&factory, dim, Metric::L2), faiss) {
            (Ok(index), Some(classes)) => {
                read += 1;
                let wanted = canonical.get(&*factory).copied().unwrap_or(&factory);
                assert_eq!(index.spec(), wanted, "{factory}");
                let nesting = nesting_of_classes(classes);
                // Refining codes of residuals are one index in both.
                assert_eq!(nesting_of(&factory, dim), nesting, "{factory}: Faiss makes {classes}");
                used.extend(canonical.get_key_value(&*factory).map(|(factory, _)| *factory));
            }
            (Err(FactoryError::Parse(error)), Some(_)) => {
                missing += 1;
                assert!(error.to_string().contains("known in Faiss, not here yet"), "{error}");
                // The caret is under one token.
                let token = &factory[error.span.clone()];
                assert!(!token.is_empty() && !token.contains(','), "{error}");
                used.extend(canonical.get_key_value(&*factory).map(|(factory, _)| *factory));
            }
            (Err(_), None) => refused += 1,
            (Ok(index), None) => panic!("Faiss refuses {factory:?}, and here it is {}", index.spec()),
            (Err(error), Some(_)) => panic!("Faiss takes {factory:?}: {error}"),
        }
    }
    assert!(read >= 31 && refused == 17 && read + refused + missing == 78, "{read}, {refused}, {missing}");
    assert_eq!(used, CANONICAL.iter().map(|(factory, _)| *factory).collect::<Vec<_>>(), "in the order of the strings");
}

#[test]
fn canonical_forms_are_their_own() {
    for (_, canonical) in CANONICAL {
        if let Ok(spec) = canonical.parse::<Spec>() {
            assert_eq!(spec.to_string(), *canonical);
        }
    }
}
