//! From strings to indexes, to files and back.

mod common;

use common::specs;
use ivf_core::error::{BuildError, DecodeError};
use ivf_core::{Index, Metric, Registry, Rows, SearchParams};
use ivf_factory::{
    FactoryError, ReadIndexError, WriteIndexError, build, build_with, default_registry, read_index, read_index_with,
    write_index,
};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

const DIM: usize = 16;

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Vectors of `DIM` that all differ, none of length zero.
fn vectors(n: usize) -> Vec<f32> {
    (0..n * DIM).map(|i| ((i * 7 + i / DIM * 3) % 101) as f32 - 50.0).collect()
}

proptest! {
    #[test]
    fn an_index_says_the_string_it_was_built_from(
        spec in specs(default_registry()),
        metric in prop::sample::select(vec![Metric::L2, Metric::InnerProduct, Metric::Cosine]),
    ) {
        match spec.build(DIM, metric) {
            Ok(index) => {
                prop_assert_eq!(index.spec(), spec.to_string());
                prop_assert_eq!((index.dim(), index.metric(), index.len()), (DIM, metric, 0));
            }
            // Not everything can stand around everything.
            Err(error) => prop_assert!(matches!(error, BuildError::Unable { .. }), "{spec}: {error}"),
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
            write_index(&*index, &path).unwrap();
            let again = read_index(&path).unwrap();
            assert_eq!((again.spec(), again.metric(), again.len()), (factory.to_owned(), metric, 100));
            let search = |index: &dyn Index| index.search(rows.into(), 5, &SearchParams::new()).unwrap().hits;
            assert_eq!(search(&*again), search(&*index), "{factory} {metric}");
        }
    }
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    assert!(matches!(build("IVF0,Flat", DIM, Metric::L2), Err(FactoryError::Parse(_))));
    assert!(matches!(build("Flat", 0, Metric::L2), Err(FactoryError::Build(BuildError::Dim { .. }))));
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
    let error = read_index_with(&path, &Registry::new()).unwrap_err();
    assert!(matches!(&error, ReadIndexError::Decode { why: DecodeError::UnknownTag { .. }, .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}
