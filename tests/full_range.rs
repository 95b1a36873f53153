//! Vectors from the whole range of finite numbers, with copies, zeros, denormals and extremes, in
//! every composition of the registry's samples.
//!
//! What an index accepts can be saved, and the file gives the same index back. What it does not
//! accept is a typed error about a vector, and changes nothing.

mod samples;

use half::{bf16, f16};
use ivf::error::{AddError, CodeError, EditError, InputError, SearchError, TrainError};
use ivf::params::NonFinite;
use ivf::{
    AddOptions, AnyRows, Element, Hits, Id, IdSelector, Index, ListNo, Metric, Rows, SearchParam, SearchParams,
    TrainOptions, default_registry,
};
use ivf_testkit::compare::assert_same_hits;
use ivf_testkit::data::{Random, random};
use rand::RngExt;

/// A dimension that every sample supports.
const DIM: usize = 16;
/// Number of training vectors: enough for every sample.
const TRAINING: usize = 320;
/// Number of vectors of an add.
const ADDED: usize = 40;
const QUERIES: usize = 4;

/// All metrics.
const METRICS: [Metric; 11] = [
    Metric::L2,
    Metric::InnerProduct,
    Metric::Cosine,
    Metric::L1,
    Metric::Linf,
    Metric::Lp(0.5),
    Metric::Lp(3.0),
    Metric::Canberra,
    Metric::BrayCurtis,
    Metric::JensenShannon,
    Metric::Jaccard,
];

/// An element type, with the numbers at the ends of its range.
trait Ends: Element {
    const EXTREMES: [Self; 4];
    const DENORMALS: [Self; 2];

    /// Returns a number whose bits are random.
    fn any(random: &mut Random) -> Self;
}

macro_rules! ends_of_floats {
    ($($type:ident: $bits:ident),*) => {$(
        impl Ends for $type {
            const EXTREMES: [Self; 4] = [$type::MAX, $type::MIN, $type::MIN_POSITIVE, $type::EPSILON];
            const DENORMALS: [Self; 2] = [$type::from_bits(1), $type::from_bits(3)];

            fn any(random: &mut Random) -> Self {
                let mut draws = std::iter::repeat_with(|| $type::from_bits(random.random::<$bits>()));
                draws.find(|x| x.is_finite()).expect("most are finite")
            }
        }
    )*};
}
ends_of_floats!(f32: u32, f16: u16, bf16: u16);

macro_rules! ends_of_integers {
    ($($type:ident),*) => {$(
        impl Ends for $type {
            const EXTREMES: [Self; 4] = [$type::MAX, $type::MIN, 0, 1];
            const DENORMALS: [Self; 2] = [0, 1];

            fn any(random: &mut Random) -> Self {
                random.random()
            }
        }
    )*};
}
ends_of_integers!(u8, i8);

/// How a vector is drawn.
#[derive(Clone, Copy, Debug)]
enum Draw {
    Ordinary,
    WholeRange,
    Repeat,
    Zero,
    Denormal,
    Extreme,
}
use Draw::{Denormal, Extreme, Ordinary, Repeat, WholeRange, Zero};

/// Mixes of vectors. Each is drawn as one of these.
const MIXES: [&[Draw]; 8] = [
    &[Ordinary, WholeRange, Repeat, Zero, Denormal, Extreme],
    &[WholeRange],
    &[Extreme, Repeat],
    &[Ordinary, Ordinary, Repeat, Zero],
    &[Ordinary, Ordinary, Ordinary, Ordinary, Ordinary, Extreme],
    &[Denormal, Zero, Repeat, Repeat, Repeat],
    &[Ordinary, Denormal, Repeat],
    &[Repeat],
];

/// Draws `n` vectors. The first one is of the whole range if it cannot repeat one.
fn draw<T: Ends>(n: usize, mix: &[Draw], random: &mut Random) -> Vec<T> {
    let mut data: Vec<T> = Vec::with_capacity(n * DIM);
    for i in 0..n {
        match mix[random.random_range(0..mix.len())] {
            Repeat if i > 0 => {
                let from = random.random_range(0..i) * DIM;
                data.extend_from_within(from..from + DIM);
            }
            Ordinary => data.extend((0..DIM).map(|_| T::from_f32(random.random_range(-3.0..3.0)))),
            Zero => data.extend([T::from_f32(0.0); DIM]),
            Denormal => data.extend((0..DIM).map(|_| T::DENORMALS[random.random_range(0..2)])),
            Extreme => {
                // One number in every coordinate, or several.
                let few = random.random_range(1..=4);
                data.extend((0..DIM).map(|_| T::EXTREMES[random.random_range(0..few)]));
            }
            Repeat | WholeRange => data.extend((0..DIM).map(|_| T::any(random))),
        }
    }
    data
}

/// Panics unless the error is about a vector.
fn allow(error: &InputError, rows: usize, at: &str) {
    let row = match error {
        InputError::Overflow { row, .. } | InputError::ZeroVector { row } => *row,
        other => panic!("{at}: {other}"),
    };
    assert!(row < rows, "{at}: {error}, of {rows}");
}

/// Returns the index as the bytes of its file.
fn file(index: &dyn Index, at: &str) -> Vec<u8> {
    let node = index.export().unwrap_or_else(|error| panic!("{at}: {error}"));
    let mut bytes = Vec::new();
    ivf::io::write_container_to(&mut bytes, &node).unwrap_or_else(|error| panic!("{at}: {error}"));
    bytes
}

/// Returns the results of searches that read every list, and of searches that do not.
fn answers(index: &dyn Index, queries: AnyRows<'_>, at: &str) -> Vec<Hits> {
    let search = |params: &SearchParams<'_>| match index.search_rows(queries, 9, params) {
        Ok(found) => Some(found.hits),
        Err(SearchError::Input(error)) => {
            allow(&error, QUERIES, at);
            None
        }
        Err(error) => panic!("{at}: {error}"),
    };
    let has_lists = index.takes().contains(SearchParam::Nprobe);
    // A zero query under cosine has no results, and the others have theirs.
    let few = SearchParams::new().skip_bad_queries(true);
    let all = has_lists.then(|| few.clone().nprobe(1000));
    [Some(few), all].iter().flatten().filter_map(search).collect()
}

/// Saves the index, reads the file, and compares the two.
fn check_file(index: &dyn Index, queries: AnyRows<'_>, at: &str) {
    let bytes = file(index, at);
    let node = ivf::io::decode_container(&bytes).unwrap_or_else(|error| panic!("{at}: {error}"));
    let back = default_registry().read_index(&node).unwrap_or_else(|error| panic!("{at}: reading it: {error}"));
    assert_eq!((back.spec(), back.len(), back.is_trained()), (index.spec(), index.len(), index.is_trained()), "{at}");
    assert!(file(&*back, at) == bytes, "{at}: the index that was read is written as other bytes");
    if !index.is_trained() {
        return;
    }
    let (found, expected) = (answers(&*back, queries, at), answers(index, queries, at));
    assert_eq!(found.len(), expected.len(), "{at}");
    assert!(!expected.is_empty(), "{at}: every search is refused");
    for (found, expected) in found.iter().zip(&expected) {
        assert_same_hits(found, expected, at);
        let mut distances = expected.rows().flat_map(|row| row.distances);
        assert!(distances.all(|distance| !distance.is_nan()), "{at}: a result at no distance");
    }
    let Some(reconstruct) = index.as_reconstruct() else { return };
    for id in expected.iter().flat_map(|hits| hits.ids()) {
        let mut vector = [0.0; DIM];
        reconstruct.reconstruct(*id, &mut vector).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(vector.iter().all(|x| x.is_finite()), "{at}: the vector of id {id} is {vector:?}");
    }
}

/// Number of operations that succeeded, and of errors.
#[derive(Debug, Default)]
struct Tally {
    trained: usize,
    refused: usize,
    added: usize,
    not_added: usize,
}

/// Trains on one mix, and adds, updates and removes vectors of the same and of other mixes.
fn check<T: Ends>(spec: &str, metric: Metric, mix: usize, seed: u64, tally: &mut Tally)
where
    for<'a> AnyRows<'a>: From<Rows<'a, T>>,
{
    let Ok(mut index) = ivf::build(spec, DIM, metric) else { return };
    let (at, mut random) = (format!("{spec}, {metric}, {:?}, mix {mix}", T::TYPE), random(seed));
    fn rows<T>(data: &[T]) -> AnyRows<'_>
    where
        for<'a> AnyRows<'a>: From<Rows<'a, T>>,
    {
        Rows::new(data, DIM).expect("whole rows").into()
    }
    let queries = draw::<T>(QUERIES, MIXES[0], &mut random);
    let training = draw::<T>(TRAINING, MIXES[mix], &mut random);
    let before = file(&*index, &at);
    let options = TrainOptions::new().iterations(3);
    let options = if seed.is_multiple_of(3) { options.mini_batch(100) } else { options };
    match index.train_with(rows(&training), &options) {
        Ok(_) => tally.trained += 1,
        Err(error) => {
            match &error {
                TrainError::Input(error) => allow(error, TRAINING, &at),
                TrainError::Centroid { list, error } => {
                    allow(error, 1000, &at);
                    assert!(list.index() < 1000, "{at}: {error}");
                }
                other => panic!("{at}: {other}"),
            }
            tally.refused += 1;
            assert!(file(&*index, &at) == before, "{at}: a refused training changes the index");
            return;
        }
    }
    check_file(&*index, rows(&queries), &at);
    for mix in [MIXES[mix], MIXES[3], MIXES[0]] {
        let added = draw::<T>(ADDED, mix, &mut random);
        let (before, len) = (file(&*index, &at), index.len());
        match index.add(rows(&added)) {
            Ok(report) => {
                tally.added += 1;
                assert_eq!((report.added, index.len()), (ADDED, len + ADDED), "{at}");
            }
            Err(AddError::Input(error)) => {
                tally.not_added += 1;
                allow(&error, ADDED, &at);
                assert!(file(&*index, &at) == before, "{at}: a refused add changes the index");
            }
            Err(error) => panic!("{at}: {error}"),
        }
        check_file(&*index, rows(&queries), &at);
    }
    if index.len() < 2 {
        return;
    }
    let before = file(&*index, &at);
    let new = draw::<T>(2, MIXES[0], &mut random);
    match index.update_with(&[Id(1), Id(0)], rows(&new), &AddOptions::new()) {
        Ok(()) | Err(EditError::Unable(_)) => {}
        Err(EditError::Input(error) | EditError::Add(AddError::Input(error))) => {
            allow(&error, 2, &at);
            assert!(file(&*index, &at) == before, "{at}: a refused update changes the index");
        }
        Err(error) => panic!("{at}: {error}"),
    }
    if index.as_remove().is_some() {
        index.remove(&IdSelector::range(3..20)).unwrap_or_else(|error| panic!("{at}: {error}"));
    }
    check_file(&*index, rows(&queries), &at);
}

#[test]
fn what_an_index_accepts_can_be_saved_and_read_again() {
    let (mut tally, mut seed) = (Tally::default(), 0);
    for spec in samples::compositions() {
        for &metric in &METRICS {
            for mix in 0..MIXES.len() {
                seed += 1;
                // Every element type meets every composition, and every mix.
                match seed % 6 {
                    0 => check::<f16>(&spec, metric, mix, seed, &mut tally),
                    1 => check::<bf16>(&spec, metric, mix, seed, &mut tally),
                    2 if seed % 4 == 0 => check::<u8>(&spec, metric, mix, seed, &mut tally),
                    2 => check::<i8>(&spec, metric, mix, seed, &mut tally),
                    _ => check::<f32>(&spec, metric, mix, seed, &mut tally),
                }
            }
        }
    }
    let Tally { trained, refused, added, not_added } = tally;
    assert!(trained > 200 && refused > 5 && added > 400 && not_added > 5, "{tally:?}");
}

/// Returns `n` vectors of `dim` equal coordinates.
fn equal(x: f32, n: usize, dim: usize) -> Vec<f32> {
    vec![x; n * dim]
}

#[test]
fn lists_around_copies_of_the_largest_floats_can_be_read_again() {
    let ordinary: Vec<f32> = (0..400).map(|i| (i * 7919 % 1013) as f32 / 512.0 - 1.0).collect();
    let mixed = [ordinary, equal(f32::MAX, 200, 1)].concat();
    for metric in [Metric::L2, Metric::InnerProduct, Metric::L1, Metric::Linf] {
        for x in [f32::MAX, f32::MIN, 3.3996e38] {
            for (spec, vectors) in [("IVF2,Flat", equal(x, 2, 1)), ("IVF16,Flat", mixed.clone())] {
                for options in [TrainOptions::new(), TrainOptions::new().mini_batch(100)] {
                    let mut index = ivf::build(spec, 1, metric).expect("a good string");
                    let rows = Rows::new(&vectors, 1).expect("whole rows");
                    index.train_with(rows, &options).unwrap_or_else(|error| panic!("{spec}, {metric}, {x}: {error}"));
                    index.add(rows).expect("trained");
                    let node = index.export().expect("in memory").to_stored();
                    let back = default_registry().read_index(&node).expect("just written");
                    assert_eq!(back.len(), rows.len());
                }
            }
        }
    }
}

/// Returns the message of an error with those of its sources.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let messages: Vec<String> =
        std::iter::successors(Some(error), |error| error.source()).map(|e| e.to_string()).collect();
    messages.join(": ")
}

#[test]
fn a_number_that_overflows_is_named_with_its_vector() {
    use ivf::error::Computed::{Residual, SubvectorNorm};
    let mut far = equal(-1e38, 1000, 1);
    far[777] = f32::MAX;
    let train = |spec: &str, vectors: &[f32]| {
        let mut index = ivf::build(spec, 1, Metric::L2).expect("a good string");
        let trained = index.train(Rows::new(vectors, 1).expect("whole rows"));
        (index, trained)
    };
    let (index, trained) = train("IVF1,PQ1", &far);
    let error = trained.expect_err("a residual that overflows");
    assert!(matches!(error, TrainError::Input(InputError::Overflow { row: 777, what: Residual })), "{error:?}");
    let message = "vector 777 is too large: its residual (the vector minus the centroid of its list) overflows f32";
    assert_eq!(told(&error), message);
    assert!(!index.is_trained());
    far[777] = 1e30;
    let (_, trained) = train("PQ1", &far);
    let error = trained.expect_err("a squared norm that overflows");
    assert!(matches!(error, TrainError::Input(InputError::Overflow { what: SubvectorNorm, .. })), "{error:?}");

    // All residuals are 0, and a vector of the other sign is too far from the only centroid.
    let (mut index, trained) = train("IVF1,PQ1", &equal(-3e38, 300, 1));
    trained.expect("residuals of 0");
    let data = [-3e38, f32::NAN, -3e38, 3e38, 1.0];
    let rows = Rows::new(&data[2..], 1).expect("whole rows");
    let overflows = |error: &InputError, row: usize| assert_eq!(*error, InputError::Overflow { row, what: Residual });
    let Err(AddError::Input(error)) = index.add(rows) else { panic!("the second row overflows") };
    overflows(&error, 1);
    let skip = AddOptions::new().non_finite(NonFinite::SkipRow);
    let Err(AddError::Input(error)) = index.add_with(Rows::new(&data, 1).expect("whole rows"), &skip) else {
        panic!("the last row but one overflows")
    };
    overflows(&error, 3);
    let lists = [Some(ListNo(0)), None, Some(ListNo(0))];
    let given = [data[0], data[3], data[3]];
    let ivf = index.as_ivf_mut().expect("it has lists");
    let preassigned = ivf.add_preassigned(Rows::new(&given, 1).expect("rows").into(), &lists, None, &AddOptions::new());
    let Err(AddError::Input(error)) = preassigned else { panic!("the last row overflows") };
    overflows(&error, 2);
    let Err(CodeError::Input(error)) = index.sa_encode(rows) else { panic!("the second row overflows") };
    overflows(&error, 1);
    assert_eq!(index.len(), 0);
    index.add(rows.slice(0..1)).expect("on the centroid");
    let Err(EditError::Add(AddError::Input(error))) = index.update(&[Id(0)], rows.slice(1..2)) else {
        panic!("the row overflows")
    };
    overflows(&error, 0);
    assert_eq!((index.len(), index.reconstruct(Id(0)).expect("it is there")), (1, vec![-3e38]));
}

#[test]
fn too_few_training_vectors_are_told_with_what_needs_them() {
    let ordinary: Vec<f32> = (0..100 * 4).map(|i| (i * 7919 % 1013) as f32).collect();
    for (spec, who, needed) in [
        ("IVF1,PQ4", "the 256 centroids of PQ4", 256),
        ("PQ2", "the 256 centroids of PQ2", 256),
        ("L2norm,IVF101,Flat", "the 101 centroids of IVF101", 101),
        ("IVF200(IVF4,Flat),Flat", "the 200 centroids of IVF200(IVF4,Flat)", 200),
    ] {
        let mut index = ivf::build(spec, 4, Metric::L2).expect("a good string");
        let error = index.train(Rows::new(&ordinary, 4).expect("whole rows")).expect_err("too few vectors");
        let more = needed - 100;
        let message = format!("100 training vectors are too few: {who} need at least {needed}, which is {more} more");
        assert_eq!(error.to_string(), message);
        assert!(matches!(&error, TrainError::TooFew { who: named, found: 100, .. } if named == who), "{error:?}");
    }
}
