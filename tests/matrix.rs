//! Runs the conformance suites for every kind in the registry, in every composition of its samples.
//! A new registry row is tested without further code.

mod samples;

use ivf::extend::CodecContext;
use ivf::{AnyRows, Index, Metric, Rows, Spec, default_registry};
use ivf_testkit::{codecs, data, indexes, quantizers, scanners, transforms, wrappers};
use samples::{compositions, graphs, is_exact};

/// A dimension that every sample supports.
const DIM: usize = 16;

/// The metrics that every sample is tried with. [`ivf::error::BuildError`] reports the ones it does
/// not support.
const METRICS: [Metric; 10] = [
    Metric::L2,
    Metric::InnerProduct,
    Metric::Cosine,
    Metric::L1,
    Metric::Linf,
    Metric::Lp(3.0),
    Metric::Canberra,
    Metric::BrayCurtis,
    Metric::JensenShannon,
    Metric::Jaccard,
];

/// Returns a trained, empty index that probes every list, or `None` if the kind does not support
/// the metric.
fn make(spec: &str, metric: Metric) -> Option<Box<dyn Index>> {
    let mut index = match ivf::build(spec, DIM, metric) {
        Ok(index) => index,
        Err(ivf::FactoryError::Build(_)) => return None,
        Err(error) => panic!("{spec}: {error}"),
    };
    let training = data::clusters(1, 400, DIM, 8);
    index.train(training.rows()).unwrap_or_else(|error| panic!("{spec}, {metric}: {error}"));
    if index.parts().iter().flat_map(|part| &part.knobs).any(|knob| knob.name() == "nprobe") {
        ivf::knobs::set_knobs(&mut *index, "nprobe=1000000").expect("a knob that is there");
    }
    Some(index)
}

fn each(mut check: impl FnMut(&str, Metric)) {
    for spec in compositions() {
        for metric in METRICS {
            // Training some of them takes long.
            if ivf::build(&spec, DIM, metric).is_ok() {
                check(&spec, metric);
            }
        }
    }
}

/// Runs the check with all metrics for plain compositions, and with the three main ones for wrapped
/// ones.
fn each_briefly(mut check: impl FnMut(&str, Metric)) {
    each(|spec, metric| {
        if !spec.contains('(') || is_main(metric) {
            check(spec, metric);
        }
    });
}

/// Runs a check that takes long with the compositions and metrics that have code of their own: L2
/// with all but doubly wrapped ones, which have the code of the wrapped one; the other metrics with
/// those that are not wrapped; and the rarer of these with exact codes only, because their kernels
/// are the same for all codecs.
fn each_unlike_others(mut check: impl FnMut(&str, Metric)) {
    each(|spec, metric| {
        let groups =
            spec.match_indices('(').filter(|(at, _)| spec[..*at].is_empty() || spec[..*at].ends_with([',', '(']));
        let wrapped = groups.count();
        let is_unlike = match metric {
            Metric::L2 => wrapped <= 1,
            _ => wrapped == 0 && (is_main(metric) || is_exact(spec)),
        };
        if is_unlike {
            check(spec, metric);
        }
    });
}

fn is_main(metric: Metric) -> bool {
    matches!(metric, Metric::L2 | Metric::InnerProduct | Metric::Cosine)
}

#[test]
fn specs_are_canonical_and_metrics_are_kept() {
    each(|spec, metric| {
        let index = make(spec, metric).expect("made before");
        let canonical: Spec = spec.parse().expect("parsed before");
        assert_eq!(index.spec(), canonical.to_string());
        assert_eq!(index.spec().parse::<Spec>().expect("its own spec"), canonical);
        assert_eq!((index.metric(), index.dim(), index.len()), (metric, DIM, 0));
    });
}

#[test]
fn exact_indexes_equal_the_oracle() {
    each_briefly(|spec, metric| {
        // Internal ids decide ties under an id map, so its results under ties are not the oracle's.
        // tests/id_map.rs compares its histories.
        if is_exact(spec) && !spec.contains("IDMap") {
            indexes::check_exhaustive(&|| make(spec, metric).expect("made before"));
        }
    });
}

#[test]
fn graphs_find_nearly_all() {
    // Codes of a codec are not the vectors.
    for spec in graphs().filter(|spec| !spec.contains(',')) {
        for metric in METRICS {
            // Some of the rarer metrics need a wide beam.
            let make = || {
                let mut index = make(spec, metric).expect("every metric");
                index.set_knob("efSearch", 64).expect("a knob of graphs");
                index
            };
            // By the inner product, links lead to long vectors, and the hundredth result is far
            // from the first. So a radius with many results misses some.
            let recall = if metric == Metric::InnerProduct { 0.4 } else { 0.85 };
            indexes::check_approximate(&make, recall);
        }
    }
}

#[test]
fn histories_equal_a_model() {
    each_briefly(|spec, metric| {
        if is_exact(spec) && !spec.contains("IDMap") {
            indexes::check_history(&|| make(spec, metric).expect("made before"));
        }
    });
}

fn filled(spec: &str, metric: Metric) -> Box<dyn Index> {
    let mut index = make(spec, metric).expect("made before");
    let base = data::small_integers(2, 700, DIM, 5).with_duplicates(3);
    let nonzero: Vec<f32> = base.data.iter().map(|x| x + 1.0).collect();
    let rows = Rows::new(&nonzero, DIM).expect("whole rows");
    index.add(rows).unwrap_or_else(|error| panic!("{spec}, {metric}: {error}"));
    index
}

// The modes take the longest, so two tests share them.
#[test]
fn modes_and_threads_do_not_show() {
    check_modes(|metric| metric == Metric::L2);
}

#[test]
fn modes_and_threads_do_not_show_in_other_metrics() {
    check_modes(|metric| metric != Metric::L2);
}

fn check_modes(is_wanted: impl Fn(Metric) -> bool) {
    each_unlike_others(|spec, metric| {
        if !is_wanted(metric) {
            return;
        }
        let mut index = filled(spec, metric);
        let has_lists = ivf::knobs::set_knobs(&mut *index, "nprobe=5").is_ok();
        let queries = data::clusters(4, 20, DIM, 8);
        indexes::check_modes(&*index, queries.rows(), has_lists.then_some(5));
        if let Some(ivf) = index.as_ivf() {
            indexes::check_preassigned(ivf, queries.rows(), 5);
        }
    });
}

#[test]
fn distances_are_those_of_the_vectors_that_codes_stand_for() {
    each_briefly(|spec, metric| {
        // Refined distances are distances to the vectors themselves, RaBitQ estimates these, and
        // some transforms change distances.
        let main = metric == Metric::L2 || metric == Metric::InnerProduct;
        if !main || ["RFlat", "RaBitQ", "L2norm", "PCA", "ITQ"].iter().any(|kind| spec.contains(kind)) {
            return;
        }
        let index = filled(spec, metric);
        let Some(reconstruct) = index.as_reconstruct() else { return };
        let queries = data::clusters(4, 5, DIM, 8);
        let found = index.search(queries.rows(), 3, &ivf::SearchParams::new()).expect("good queries").hits;
        let mut vector = [0.0; DIM];
        for (query, row) in queries.rows().iter().zip(found.rows()) {
            for (&id, &distance) in row.ids.iter().zip(row.distances) {
                reconstruct.reconstruct(id, &mut vector).expect("an id that was found");
                let pairs = query.iter().zip(&vector).map(|(&q, &x)| (f64::from(q), f64::from(x)));
                let (sum, size) = pairs.fold((0.0, 1.0), |(sum, size), (q, x)| match metric {
                    Metric::L2 => (sum + (q - x) * (q - x), size + q * q + x * x),
                    _ => (sum + q * x, size + (q * x).abs()),
                });
                let off = (f64::from(distance) - sum).abs();
                assert!(off <= 1e-5 * size, "{spec}, {metric}: {id:?} at {distance}, its code at {sum}");
            }
        }
    });
}

#[test]
fn bad_input_is_an_error_and_changes_nothing() {
    each_unlike_others(|spec, metric| indexes::check_bad_input(&mut *filled(spec, metric)));
}

#[test]
fn quantizers_and_transforms_keep_their_contracts() {
    let registry = default_registry();
    for row in registry.quantizers() {
        for token in row.samples {
            let spec = registry.parse_quantizer(&token_of(token)).expect("its own token").expect("a good token");
            for metric in METRICS.into_iter().filter(|metric| spec.check(DIM, *metric).is_ok()) {
                quantizers::check_quantizer(&spec, DIM, metric, &|node| registry.read_quantizer(node));
            }
        }
    }
    for row in registry.transforms() {
        for token in row.samples {
            let spec = registry.parse_transform(&token_of(token)).expect("its own token").expect("a good token");
            for metric in METRICS.into_iter().filter(|metric| spec.dim_out(DIM, *metric).is_ok()) {
                transforms::check_transform(&spec, DIM, metric, &|node| registry.read_transform(node));
            }
        }
    }
}

#[test]
fn wrappers_keep_their_contract() {
    let registry = default_registry();
    for row in registry.wrappers() {
        for token in row.samples {
            let wrapper = (row.parse)(&token_of(token), registry).expect("its own token").expect("a good token");
            for inner in ["Flat", "IVF16,Flat"] {
                let make = || make(inner, Metric::L2).expect("a sample");
                wrappers::check_wrapper(&*wrapper, &make, &|node| registry.read_index(node));
            }
        }
    }
}

fn token_of(text: &str) -> ivf::registry::Token<'_> {
    ivf::registry::Token::new(text).expect("a sample is a token")
}

#[test]
fn files_bring_the_same_index_back_and_damage_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("index.ivf");
    each_briefly(|spec, metric| {
        let index = filled(spec, metric);
        indexes::check_reload(&*index, &|index| {
            ivf::write_index(index, &path).unwrap_or_else(|error| panic!("{spec}: {error}"));
            ivf::read_index(&path).unwrap_or_else(|error| panic!("{spec}: {error}"))
        });
        indexes::check_reload(&*index, &|_| ivf::open_index(&path).unwrap_or_else(|error| panic!("{spec}: {error}")));
        // Writing the index again must give the same bytes.
        let first = std::fs::read(&path).expect("the file is there");
        let again = ivf::open_index(&path).expect("opened before");
        ivf::write_index(&again, &path).expect("written before");
        assert!(std::fs::read(&path).expect("the file is there") == first, "{spec}, {metric}: other bytes");
        ivf::verify_index(&path).unwrap_or_else(|error| panic!("{spec}: {error}"));
        #[cfg(target_os = "linux")]
        indexes::check_reload(&*index, &|_| {
            let file = ivf_testkit::sealed::SealedFile::new(&first).expect("a file in memory");
            let map = ivf::io::Map::open_if_safe(file.path()).unwrap_or_else(|error| panic!("{spec}: {error}"));
            ivf::open_mapped(map).unwrap_or_else(|error| panic!("{spec}: {error}"))
        });
    });
    for spec in compositions() {
        let index = filled(&spec, Metric::L2);
        indexes::check_damaged(&*index, &|node| default_registry().read_index(node));
    }
}

#[test]
fn untrained_indexes_travel_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("index.ivf");
    let training = data::clusters(1, 400, DIM, 8);
    for spec in compositions() {
        let index = ivf::build(&spec, DIM, Metric::L2).expect("a sample");
        ivf::write_index(&index, &path).unwrap_or_else(|error| panic!("{spec}: {error}"));
        let mut back = ivf::read_index(&path).unwrap_or_else(|error| panic!("{spec}: {error}"));
        assert_eq!((back.spec(), back.is_trained()), (index.spec(), index.is_trained()));
        back.train(training.rows()).unwrap_or_else(|error| panic!("{spec}: {error}"));
        back.add(training.rows()).unwrap_or_else(|error| panic!("{spec}: {error}"));
        assert_eq!(back.len(), 400);
    }
}

#[test]
fn codecs_and_their_scanners_keep_their_contracts() {
    for row in default_registry().codecs() {
        for token in row.samples {
            let registry = default_registry();
            let spec = (row.parse)(&token_of(token), registry).expect("its own token").expect("a good token");
            for metric in METRICS {
                if spec.check(&CodecContext::new(DIM, metric)).is_ok() {
                    codecs::check_codec(&spec, DIM, metric, &|node| (row.read)(node, registry));
                    let codec = codecs::train(&spec, DIM, metric);
                    scanners::check_scanner(codec.clone());
                    scanners::check_distances(codec);
                }
            }
        }
    }
}

#[test]
fn every_element_type_trains_and_adds() {
    let bytes: Vec<u8> = (0..DIM * 500).map(|i| (i * 131 % 251) as u8).collect();
    let floats: Vec<f32> = bytes.iter().map(|&b| b.into()).collect();
    let of_bytes: AnyRows = Rows::new(&bytes, DIM).expect("whole rows").into();
    let of_floats: AnyRows = Rows::new(&floats, DIM).expect("whole rows").into();
    let filled = |rows: AnyRows<'_>| {
        let mut index = ivf::build("IVF16,Flat", DIM, Metric::L2).expect("a sample");
        index.train(rows).expect("enough vectors");
        index.add(rows).expect("trained");
        index.search(rows, 3, &ivf::SearchParams::new().nprobe(4)).expect("good queries").hits
    };
    assert_eq!(filled(of_bytes), filled(of_floats));
}

#[test]
fn the_deepest_string_becomes_an_index_that_travels() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("index.ivf");
    for base in ["Flat", "IVF1,Flat"] {
        let deepest =
            (0..100).map(|n| format!("{}{base}", "IDMap,".repeat(n))).take_while(|s| s.parse::<Spec>().is_ok());
        let deepest = deepest.last().expect("none is one");
        assert!(deepest.len() > 100, "{deepest}");
        let index = ivf::build(&deepest, DIM, Metric::Cosine).expect("it parses");
        ivf::write_index(&index, &path).unwrap_or_else(|error| panic!("{deepest}: {error}"));
        assert_eq!(ivf::read_index(&path).expect("just written").spec(), deepest);
    }
}
