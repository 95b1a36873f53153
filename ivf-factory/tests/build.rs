//! Tests of building indexes from strings, and of writing and reading them.

mod common;

use common::{specs, toy_registry};
use ivf_core::error::{BuildError, DecodeError};
use ivf_core::{Id, Index, Metric, Registry, Rows, SearchParams};
use ivf_factory::{
    FactoryError, ReadIndexError, Spec, WriteIndexError, build, build_with, default_registry, open_container_with,
    read_index, read_index_with, write_index,
};
use proptest::prelude::*;
use std::error::Error;
use std::path::{Path, PathBuf};

const DIM: usize = 16;

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Returns `n` vectors of dimension `DIM`. All differ, and none is zero.
fn vectors(n: usize) -> Vec<f32> {
    (0..n * DIM).map(|i| ((i * 7 + i / DIM * 3) % 101) as f32 - 50.0).collect()
}

proptest! {
    #[test]
    fn an_index_says_the_string_it_was_built_from(
        tree in specs(default_registry()),
        metric in prop::sample::select(vec![Metric::L2, Metric::InnerProduct, Metric::Cosine]),
    ) {
        let spec = Spec::from(tree);
        match spec.build(DIM, metric) {
            Ok(index) => {
                prop_assert_eq!(index.spec(), spec.to_string());
                prop_assert_eq!((index.dim(), index.metric(), index.len()), (DIM, metric, 0));
            }
            // Not every wrapper or transform works with every index, metric and dimension.
            Err(error) => {
                let is_expected =
                    matches!(error.why, BuildError::Unable { .. } | BuildError::Metric { .. } | BuildError::Dim { .. });
                prop_assert!(is_expected, "{spec}: {error}");
                prop_assert_eq!(Some(&error.input[error.span.clone()]), error.why.kind(), "{}", error);
            }
        }
    }
}

#[test]
fn transforms_in_a_row_are_one_index() {
    let index = build("L2norm,L2norm,Flat", DIM, Metric::L2).unwrap();
    let kinds: Vec<String> = index.parts().into_iter().map(|part| part.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "pre-transform").count(), 1, "{kinds:?}");
    assert_eq!(index.spec(), "L2norm,L2norm,Flat");
}

#[test]
fn an_index_is_read_as_it_was_written() {
    for factory in ["Flat", "IVF16,Flat", "IDMap2,L2norm,IVF16,Flat", "L2norm,IVF16,Flat,RFlat"] {
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
            let mut index = build(factory, DIM, metric).unwrap();
            let vectors = vectors(100);
            let rows = Rows::new(&vectors, DIM).unwrap();
            index.train(rows).unwrap();
            match index.as_add() {
                Some(_) => index.add(rows).unwrap(),
                None => index.add_with_ids(rows, &(0..100).map(Into::into).collect::<Vec<_>>()).unwrap(),
            };
            let path = temporary(&format!("{metric}-{}.ivf", factory.replace(',', "-")));
            write_index(&index, &path).unwrap();
            let again = read_index(&path).unwrap();
            assert_eq!((again.spec(), again.metric(), again.len()), (factory.to_owned(), metric, 100));
            let search = |index: &dyn Index| index.search(rows, 5, &SearchParams::new()).unwrap().hits;
            assert_eq!(search(&*again), search(&*index), "{factory} {metric}");
        }
    }
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    assert!(matches!(build("IVF0,Flat", DIM, Metric::L2), Err(FactoryError::Parse(_))));
    let error = build("Flat", 0, Metric::L2).unwrap_err();
    assert!(matches!(&error, FactoryError::Build(error) if matches!(error.why, BuildError::Dim { .. })), "{error}");
    assert!(matches!(build_with("Flat", DIM, Metric::L2, &Registry::new()), Err(FactoryError::Parse(_))));

    let missing = temporary("no such folder/index.ivf");
    let error = read_index(&missing).unwrap_err();
    assert!(matches!(error, ReadIndexError::File(_)));
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");

    let index = build("Flat", DIM, Metric::L2).unwrap();
    let error = write_index(&*index, &missing).unwrap_err();
    assert!(matches!(error, WriteIndexError::File(_)));
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");

    let path = temporary("unknown-kind.ivf");
    write_index(&*index, &path).unwrap();
    let container = ivf_io::Container::open(&path).unwrap();
    assert!(open_container_with(&container, &Registry::new()).is_err());
    assert_eq!(open_container_with(&container, default_registry()).unwrap().spec(), "Flat");
    let error = read_index_with(&path, &Registry::new()).unwrap_err();
    assert!(matches!(&error, ReadIndexError::Decode { why: DecodeError::UnknownTag { .. }, .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

/// The text of an error does not repeat the text of its source.
#[test]
fn errors_do_not_repeat_their_source() {
    let missing = read_index(temporary("no such folder/index.ivf")).unwrap_err();
    let path = temporary("a-toy.ivf");
    write_index(&build("Flat", DIM, Metric::L2).unwrap(), &path).unwrap();
    let unknown = read_index_with(&path, &Registry::new()).unwrap_err();
    let refused = build("IVF16,PQ16", 100, Metric::L2).unwrap_err();
    assert!(missing.source().is_some() && unknown.source().is_none() && refused.source().is_none());
    for error in [&missing as &dyn Error, &unknown, &refused] {
        let text = error.to_string();
        assert!(error.source().is_none_or(|source| !text.contains(&source.to_string())), "{text}");
    }
}

/// Whether a transform can be reversed is known before it is trained.
#[test]
fn transforms_may_stand_in_a_coarse_quantizer() {
    let vectors = vectors(600);
    for token in ["RR", "PCA4", "HR", "Pad12", "Center", "L2norm", "PCA4,RR"] {
        let factory = format!("IVF8({token},Flat),Flat");
        let mut index = ivf_factory::build(&factory, DIM, Metric::L2).unwrap_or_else(|error| panic!("{error}"));
        let rows = Rows::new(&vectors, DIM).unwrap();
        index.train(rows).unwrap_or_else(|error| panic!("{factory}: {error}"));
        index.add(rows).unwrap_or_else(|error| panic!("{factory}: {error}"));
        let found = index.search(rows.slice(0..20), 1, &SearchParams::new().nprobe(8)).unwrap().hits;
        assert!((0..20).all(|i| found.row(i).ids == [Id(i as i64)]), "{factory}");
    }
}

#[test]
fn a_transform_that_cannot_be_is_refused_before_it_trains() {
    for (factory, metric, token, why) in [
        ("PCA16,Flat", Metric::L2, "PCA16", "a projection keeps at most as many, not 16"),
        ("PCAWR16,IVF4,Flat", Metric::Cosine, "PCAWR16", "a projection"),
        ("ITQ9,Flat", Metric::L2, "ITQ9", "a projection"),
        ("OPQ3,Flat", Metric::L2, "OPQ3", "must divide it; OPQ3_6 makes 6"),
        ("OPQ16,Flat", Metric::L2, "OPQ16", "must divide it; OPQ16_16 makes 16"),
        ("Pad12,OPQ8,Flat", Metric::L2, "OPQ8", "must divide it"),
        ("L2norm,PCA4,PCA5,Flat", Metric::L2, "PCA5", "a projection"),
        ("PCA4,Flat", Metric::L1, "PCA4", "the metric l1"),
        ("RR,Flat", Metric::Canberra, "RR", "the metric"),
        ("HR,Flat", Metric::Linf, "HR", "the metric"),
        ("OPQ4,Flat", Metric::Jaccard, "OPQ4", "the metric"),
        ("ITQ,Flat", Metric::L1, "ITQ", "the metric"),
        ("Center,Flat", Metric::InnerProduct, "Center", "the metric"),
        ("Center,Flat", Metric::Cosine, "Center", "the metric"),
    ] {
        let error = Spec::parse(factory, default_registry()).unwrap().build(8, metric).unwrap_err();
        assert_eq!(&factory[error.span.clone()], token, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    for (factory, metric) in [
        ("Pad12,Flat", Metric::JensenShannon),
        ("Center,Flat", Metric::Lp(3.0)),
        ("RR5,RR9,HR7,Pad20,OPQ5,PCAR4,Flat", Metric::Cosine),
        ("ITQ,ITQ4,Flat", Metric::L2),
        ("OPQ4_16,IVF4,PQ4", Metric::InnerProduct),
    ] {
        assert_eq!(build(factory, 8, metric).unwrap().spec(), factory);
    }
}

#[test]
fn an_index_that_cannot_be_says_which_token_refuses() {
    let registry = toy_registry();
    for (factory, metric, token) in [
        ("IVF16,PQ16", Metric::L2, "PQ16"),
        ("PQ16", Metric::L2, "PQ16"),
        ("IDMap,L2norm,(IVF16,PQ16x4)", Metric::InnerProduct, "PQ16x4"),
        ("IDMap2,IVF16,PQ16,IDMap", Metric::Cosine, "PQ16"),
        ("RR,IVF64(IVF16,PQ16),Flat", Metric::L2, "PQ16"),
        ("IVF64(IVF16(HNSW32,PQ16),PQ8),Flat", Metric::L2, "PQ16"),
        ("IVF16,Sign(PQ16)", Metric::L2, "PQ16"),
        ("IVF16,Sign(PQ16x8)", Metric::L2, "Sign(PQ16x8)"),
        ("IVF16,Flat,Refine(Sign(PQ16)),IDMap", Metric::L2, "PQ16"),
        ("HNSW32,PQ16,IDMap", Metric::L2, "PQ16"),
        ("IDMap,HNSW32,PQ10", Metric::L2, "HNSW32,PQ10"),
        ("IVF16,Flat,Refine(Flat)", Metric::L2, "Refine(Flat)"),
    ] {
        let error = Spec::parse(factory, &registry).unwrap().build(100, metric).unwrap_err();
        assert_eq!(&factory[error.span.clone()], token, "{error}");
    }
}

#[test]
fn a_build_error_is_shown_as_a_parse_error_is() {
    let error = build("IVF16,PQ16", 100, Metric::L2).unwrap_err();
    let FactoryError::Build(error) = error else { panic!("{error}") };
    assert_eq!(error.to_string(), format!("{}\n  IVF16,PQ16\n        ^^^^", error.why));
    // The spans of a tree that was not parsed refer to its canonical string.
    let spec: Spec = "(IVF4k,PQ16),IDMap".parse().unwrap();
    let error = Spec::from(spec.tree().clone()).build(100, Metric::L2).unwrap_err();
    assert_eq!((&*error.input, &error.input[error.span.clone()]), ("IDMap,IVF4096,PQ16", "PQ16"));
    let error = spec.build(100, Metric::L2).unwrap_err();
    assert_eq!((&*error.input, &error.input[error.span.clone()]), ("(IVF4k,PQ16),IDMap", "PQ16"));
}

/// An index in an argument is built once at any depth, even if it fails.
#[test]
fn deep_arguments_are_built_once() {
    let nested = |inner: &str| (0..20).fold(inner.to_owned(), |inner, _| format!("IVF4({inner}),Flat"));
    let build = |inner| Spec::parse(&nested(inner), &toy_registry()).unwrap().build(100, Metric::L2);
    build("PQ10").unwrap_or_else(|error| panic!("{error}"));
    let error = build("PQ16").unwrap_err();
    assert_eq!(&error.input[error.span.clone()], "PQ16", "{error}");
    let error = build("IVF16,PQ16x8").unwrap_err();
    assert_eq!(error.span.start, 0, "{error}");
}
