//! Tests of the transforms against definitions that are computed anew.

use super::*;
use crate::product::{ProductQuantizer, equal_parts};
use ivf_core::error::{Computed, DecodeError, InputError};
use ivf_core::node::NamedArray;
use ivf_core::registry::Token;
use ivf_core::{Cancel, Progress, Registry, Rows, TrainOptions, TrainReport, Transform, TransformSpec};
use ivf_testkit::data::{Vectors, clusters, uniform};
use std::sync::{Arc, Mutex};

const DIM: usize = 24;

fn spec(token: &str) -> Arc<dyn TransformSpec> {
    let registry = Registry::new().with_transforms(TRANSFORMS);
    registry.parse_transform(&Token::new(token).unwrap()).expect("a token of this crate").expect("a good token")
}

/// Vectors whose variances differ by dimension, and which are correlated.
fn sample(n: usize) -> Vectors {
    let mut vectors = clusters(5, n, DIM, 12);
    for row in vectors.data.chunks_exact_mut(DIM) {
        for d in 0..DIM {
            row[d] = row[d] * 0.93_f32.powi(d as i32) + 0.3 * row[(d + 7) % DIM] + 2.0;
        }
    }
    vectors
}

fn trained(token: &str, vectors: &Vectors, metric: Metric) -> (Arc<dyn Transform>, TrainReport) {
    let trained = spec(token).train(vectors.rows().into(), metric, &TrainOptions::new());
    trained.unwrap_or_else(|error| panic!("{token}: {error}"))
}

fn applied(transform: &dyn Transform, vectors: &Vectors) -> Vectors {
    let mut data = vec![f32::NAN; vectors.len() * transform.dim_out()];
    transform.apply(vectors.rows(), &mut data).unwrap();
    Vectors { data, dim: transform.dim_out() }
}

/// Returns the matrix of a linear map: row after row.
fn matrix(transform: &dyn Transform) -> Vec<f32> {
    transform.export().to_stored().array::<f32>("matrix").unwrap().to_vec()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// Checks that rows are orthonormal, up to the rounding of their numbers to `f32`.
fn check_orthonormal(rows: &[f32], dim: usize, what: &str) {
    // Each number is off by half a unit in the last place, relative to at most 1.
    let bound = f64::from(f32::EPSILON) * (dim as f64).sqrt();
    for (i, a) in rows.chunks_exact(dim).enumerate() {
        for (j, b) in rows.chunks_exact(dim).enumerate() {
            let off = (dot(a, b) - f64::from(u8::from(i == j))).abs();
            assert!(off <= bound, "{what}: rows {i} and {j} are off by {off}");
        }
    }
}

/// Returns the second moments of vectors, about their mean or zero.
fn moments(vectors: &Vectors, centred: bool) -> Vec<f64> {
    let (n, dim) = (vectors.len() as f64, vectors.dim);
    let mut mean = vec![0.0; dim];
    if centred {
        vectors.rows().iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(m, x)| *m += f64::from(*x) / n));
    }
    let mut moments = vec![0.0; dim * dim];
    for row in vectors.rows().iter() {
        for i in 0..dim {
            for j in 0..dim {
                moments[i * dim + j] += (f64::from(row[i]) - mean[i]) * (f64::from(row[j]) - mean[j]) / n;
            }
        }
    }
    moments
}

#[test]
fn principal_projections_are_uncorrelated_and_have_the_largest_variances() {
    let vectors = sample(1500);
    for (metric, centred) in [(Metric::L2, true), (Metric::InnerProduct, false)] {
        let (pca, report) = trained("PCA24", &vectors, metric);
        assert_eq!(report.points, 1500);
        check_orthonormal(&matrix(&*pca), DIM, "PCA24");
        let out = moments(&applied(&*pca, &vectors), false);
        let trace = |m: &[f64]| (0..DIM).map(|i| m[i * DIM + i]).sum::<f64>();
        let before = moments(&vectors, centred);
        assert!((trace(&out) - trace(&before)).abs() < 1e-5 * trace(&before));
        for i in 0..DIM {
            assert!(i == 0 || out[i * DIM + i] <= out[(i - 1) * DIM + i - 1] + 1e-6 * out[0], "{metric}: {i}");
            for j in 0..i {
                assert!(out[i * DIM + j].abs() < 1e-6 * out[0], "{metric}: {i} and {j} are correlated");
            }
        }
        // Fewer dimensions are the first ones, and a rotation of them spans the same space.
        let (few, _) = trained("PCA5", &vectors, metric);
        assert_eq!(matrix(&*few), matrix(&*pca)[..5 * DIM]);
        let (turned, _) = trained("PCAR5", &vectors, metric);
        check_orthonormal(&matrix(&*turned), DIM, "PCAR5");
        for row in matrix(&*turned).chunks_exact(DIM) {
            let inside: f64 = matrix(&*few).chunks_exact(DIM).map(|axis| dot(row, axis).powi(2)).sum();
            assert!((inside - 1.0).abs() < 1e-5, "{inside}");
        }
    }
}

#[test]
fn a_projection_for_inner_products_keeps_their_order() {
    // Vectors in a plane that does not contain the origin's neighbourhood: two dimensions are
    // enough for inner products, and the mean is not subtracted.
    let flat = uniform(3, 400, 2);
    let mut data = Vec::new();
    for row in flat.rows().iter() {
        data.extend((0..DIM).map(|d| row[0] * (d as f32).sin() + row[1] * (d as f32).cos()));
    }
    let vectors = Vectors { data, dim: DIM };
    let (pca, _) = trained("PCA2", &vectors, Metric::InnerProduct);
    let out = applied(&*pca, &vectors);
    for (i, j) in [(0, 1), (5, 9), (100, 399)] {
        let [before, after] = [&vectors, &out].map(|vectors| dot(vectors.rows().row(i), vectors.rows().row(j)));
        assert!((before - after).abs() < 1e-4 * (1.0 + before.abs()), "{before}, {after}");
    }
}

#[test]
fn whitened_projections_have_variance_one_and_come_back() {
    let vectors = sample(1200);
    // Moments are sums of floats, so a variance is off by about 1e-6 of the largest.
    let (pca, _) = trained("PCA24", &vectors, Metric::L2);
    let variances = moments(&applied(&*pca, &vectors), true);
    let bound = 2e-6 * variances[0] / variances[DIM * DIM - 1];
    assert!(bound < 0.01, "{bound}");
    for token in ["PCAW24", "PCAWR24"] {
        let (pca, _) = trained(token, &vectors, Metric::L2);
        let out = applied(&*pca, &vectors);
        let after = moments(&out, true);
        for i in 0..DIM {
            for j in 0..DIM {
                let off = (after[i * DIM + j] - f64::from(u8::from(i == j))).abs();
                assert!(off < bound, "{token}: {off} at {i}, {j}, bound {bound}");
            }
        }
        let mut back = vec![0.0; DIM];
        for (row, out) in vectors.rows().iter().zip(out.rows().iter()).take(50) {
            pca.as_reverse().unwrap().reverse(out, &mut back);
            let off = row.iter().zip(&back).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(off < 1e-3, "{token}: {off}");
        }
    }
}

#[test]
fn rotations_are_orthonormal_and_keep_distances_where_they_can() {
    let vectors = sample(300);
    for (token, keeps) in [
        ("RR", true),
        ("RR7", false),
        ("RR24", true),
        ("RR40", true),
        ("OPQ4", true),
        ("OPQ4_40", true),
        ("OPQ2_8", false),
    ] {
        let (map, _) = trained(token, &vectors, Metric::L2);
        let rows = matrix(&*map);
        if map.dim_out() <= DIM {
            check_orthonormal(&rows, DIM, token);
        } else {
            let columns: Vec<f32> =
                (0..DIM).flat_map(|d| rows.iter().skip(d).step_by(DIM).copied().collect::<Vec<_>>()).collect();
            check_orthonormal(&columns, map.dim_out(), token);
        }
        check_distances(&*map, &vectors, keeps, token);
    }
    check_distances(&*trained("HR", &vectors, Metric::L2).0, &vectors, true, "HR");
    check_distances(&*trained("HR99", &vectors, Metric::L2).0, &vectors, true, "HR99");
    check_distances(&*trained("Pad30", &vectors, Metric::L2).0, &vectors, true, "Pad30");
    assert_eq!(trained("Pad3", &vectors, Metric::L2).0.dim_out(), DIM);
}

/// Checks inner products, and the way back, of a map that keeps them, or one that shortens vectors.
fn check_distances(map: &dyn Transform, vectors: &Vectors, keeps: bool, what: &str) {
    let out = applied(map, vectors);
    let mut back = vec![0.0; DIM];
    for i in 0..40 {
        let (a, b) = (vectors.rows().row(i), vectors.rows().row(2 * i + 1));
        let (c, d) = (out.rows().row(i), out.rows().row(2 * i + 1));
        let bound = 1e-5 * (dot(a, a) * dot(b, b)).sqrt();
        if keeps {
            assert!((dot(a, b) - dot(c, d)).abs() < bound, "{what}: {} became {}", dot(a, b), dot(c, d));
            map.as_reverse().unwrap().reverse(c, &mut back);
            let off = a.iter().zip(&back).map(|(x, y)| f64::from((x - y).abs())).fold(0.0, f64::max);
            assert!(off < 1e-5 * dot(a, a).sqrt(), "{what}: the way back is off by {off}");
        } else {
            assert!(dot(c, c) <= dot(a, a) * (1.0 + 1e-6), "{what}");
        }
    }
}

/// Returns the error of a product quantizer on vectors.
fn quantization_error(vectors: &Vectors, m: usize) -> f64 {
    let (pq, _) =
        ProductQuantizer::train(vectors.rows(), equal_parts(vectors.dim, m), 8, false, &TrainOptions::new()).unwrap();
    let mut codes = vec![0; vectors.len() * pq.code_size()];
    pq.encode(vectors.rows(), &mut codes);
    let mut decoded = vec![0.0; vectors.dim];
    let errors = vectors.rows().iter().zip(codes.chunks_exact(pq.code_size())).map(|(row, code)| {
        pq.decode(code, &mut decoded);
        row.iter().zip(&decoded).map(|(x, y)| f64::from((x - y) * (x - y))).sum::<f64>()
    });
    errors.sum()
}

#[test]
fn an_optimised_rotation_lowers_the_error_of_product_codes() {
    let vectors = sample(2000);
    for m in [2, 4, 8] {
        let (opq, report) = trained(&format!("OPQ{m}"), &vectors, Metric::L2);
        let errors = &report.objectives[0];
        assert!(errors.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-5)), "{errors:?}");
        assert!(errors.last() < errors.first(), "{errors:?}");
        let [plain, turned] = [quantization_error(&vectors, m), quantization_error(&applied(&*opq, &vectors), m)];
        assert!(turned < plain, "OPQ{m}: {turned}, without {plain}");
    }
}

#[test]
fn the_signs_of_itq_say_more_than_those_of_a_random_rotation() {
    let vectors = sample(1500);
    for token in ["ITQ", "ITQ10"] {
        let (itq, report) = trained(token, &vectors, Metric::L2);
        let objective = &report.objectives[0];
        assert!(objective.len() > 2 && objective.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-6)));
        assert!(objective.last().unwrap() < &(0.99 * objective[0]), "{objective:?}");
        // The last objective is that of the trained map.
        let out = applied(&*itq, &vectors);
        let (sizes, squares) = out.data.iter().fold((0.0, 0.0), |(sizes, squares), &x| {
            (sizes + f64::from(x.abs()), squares + f64::from(x) * f64::from(x))
        });
        let count = out.data.len() as f64;
        let found = 2.0 * count - 2.0 * (count / squares).sqrt() * sizes;
        assert!(found <= objective.last().unwrap() * (1.0 + 1e-3), "{found}, {objective:?}");
        assert!(itq.as_reverse().is_none());
        if token == "ITQ" {
            assert!(out.rows().iter().all(|row| (dot(row, row) - 1.0).abs() < 1e-5));
        }
    }
}

/// Every specification that learns, with the number of vectors that it needs.
const LEARNERS: [(&str, usize); 8] = [
    ("PCA6", 7),
    ("PCAW6", 7),
    ("PCAWR24", 25),
    ("OPQ4", 256),
    ("OPQ4_40", 256),
    ("ITQ", 1),
    ("ITQ8", 9),
    ("Center", 1),
];

#[test]
fn too_few_vectors_are_an_error_and_just_enough_are_not() {
    let vectors = sample(300);
    for (token, needed) in LEARNERS {
        let train = |n: usize| {
            spec(token).train(vectors.rows().slice(0..n).into(), Metric::L2, &TrainOptions::new()).map(|(map, _)| map)
        };
        match train(needed - 1) {
            Err(TrainError::TooFew { needed: said, found, .. }) => assert_eq!((said, found), (needed, needed - 1)),
            other => panic!("{token}: {other:?}"),
        }
        let out = applied(&*train(needed).unwrap(), &vectors);
        assert!(out.data.iter().all(|x| x.is_finite()), "{token}");
    }
    // Nothing is subtracted for the inner product, so that one vector less spans the directions.
    assert!(spec("PCA6").train(vectors.rows().slice(0..6).into(), Metric::InnerProduct, &TrainOptions::new()).is_ok());
}

#[test]
fn vectors_without_variance_and_of_any_size_give_finite_transforms() {
    let one = sample(1).data;
    let copies = Vectors { data: one.repeat(300), dim: DIM };
    let two = Vectors { data: sample(2).data.repeat(150), dim: DIM };
    let zeros = Vectors { data: vec![0.0; 300 * DIM], dim: DIM };
    for (token, _) in LEARNERS.into_iter().chain([("RR", 1)]) {
        for metric in [Metric::L2, Metric::InnerProduct] {
            if spec(token).dim_out(DIM, metric).is_err() {
                continue;
            }
            for vectors in [&copies, &two, &zeros] {
                let out = applied(&*trained(token, vectors, metric).0, vectors);
                assert!(out.data.iter().all(|x| x.is_finite()), "{token}, {metric}");
            }
            // Sizes whose squares overflow or vanish: the same directions.
            let ordinary = sample(300);
            for scale in [1e-38_f32, 1e-30, 1e30, 1e36] {
                let data = ordinary.data.iter().map(|x| x * scale).collect();
                let vectors = Vectors { data, dim: DIM };
                let (map, report) = trained(token, &vectors, metric);
                let out = applied(&*map, &vectors);
                assert!(out.data.iter().all(|x| x.is_finite()), "{token}, {metric}, {scale}");
                assert!(report.objectives.iter().flatten().all(|x| x.is_finite()));
            }
        }
    }
}

#[test]
fn an_overflow_names_its_row() {
    let vectors = sample(300);
    for token in ["PCA6", "OPQ4", "RR", "HR", "Center"] {
        let (map, _) = trained(token, &vectors, Metric::L2);
        let mut rows = vectors.rows().slice(0..200).as_slice().to_vec();
        // In the direction of the first output, so that it overflows by the factor sqrt(DIM).
        let signs = if token == "HR" || token == "Center" { vec![-1.0; DIM] } else { matrix(&*map)[..DIM].to_vec() };
        let mut out = vec![0.0; 200 * map.dim_out()];
        rows[150 * DIM..151 * DIM].iter_mut().zip(&signs).for_each(|(x, sign)| *x = f32::MAX.copysign(*sign));
        match map.apply(Rows::new(&rows, DIM).unwrap(), &mut out) {
            Err(error) => assert_eq!(error, InputError::Overflow { row: 150, what: Computed::Transformed }, "{token}"),
            Ok(()) => assert!(token == "HR" || token == "Center", "{token}"),
        }
        // What is not finite already is no overflow.
        rows[150 * DIM..151 * DIM].fill(f32::INFINITY);
        map.apply(Rows::new(&rows, DIM).unwrap(), &mut out).unwrap();
        assert!(out[150 * map.dim_out()..151 * map.dim_out()].iter().any(|x| !x.is_finite()), "{token}");
    }
}

#[test]
fn training_can_be_watched_and_cancelled_midway() {
    /// A stage, and the number of its steps that are done.
    type Step = (&'static str, u64);

    /// Cancels after the last of some steps, and keeps the steps that were reported.
    struct CancelsAfter<'a>(&'static [Step], &'a Cancel, Mutex<Vec<Step>>);

    impl Progress for CancelsAfter<'_> {
        fn step(&self, stage: &'static str, done: u64, _total: u64) {
            self.2.lock().unwrap().push((stage, done));
            if self.0.last() == Some(&(stage, done)) {
                self.1.cancel();
            }
        }
    }

    const MOMENTS: Step = ("principal directions", 1);
    const EIGENVECTORS: Step = ("principal directions", 2);
    const ROTATIONS: [Step; 2] = [("rotation", 1), ("rotation", 2)];
    const CASES: [(&str, &[Step]); 6] = [
        ("PCA6", &[MOMENTS]),
        ("PCAWR6", &[MOMENTS, EIGENVECTORS]),
        ("OPQ4", &[MOMENTS]),
        ("OPQ4", &[MOMENTS, EIGENVECTORS, ROTATIONS[0], ROTATIONS[1]]),
        ("ITQ8", &[MOMENTS]),
        ("ITQ", &ROTATIONS),
    ];
    let vectors = sample(600);
    for (token, steps) in CASES {
        let cancel = Cancel::new();
        let watch = CancelsAfter(steps, &cancel, Mutex::default());
        let options = TrainOptions::new().progress(&watch).cancel(&cancel);
        let trained = spec(token).train(vectors.rows().into(), Metric::L2, &options);
        assert!(matches!(trained, Err(TrainError::Cancelled)), "{token}");
        assert_eq!(*watch.2.lock().unwrap(), steps, "{token}");
    }
}

#[test]
fn dimensions_that_vectors_cannot_have_are_errors() {
    fn check(spec: &dyn TransformSpec, dim: usize) {
        let options = TrainOptions::new();
        let found = spec.dim_out(dim, Metric::L2);
        assert!(matches!(found, Err(BuildError::Dim { .. })), "{spec}, {dim}: {found:?}");
        assert_eq!(spec.training_memory(dim, Metric::L2, 1000, &options), 0, "{spec}, {dim}");
        // Training refuses too, before it allocates.
        if (1..=DIM).contains(&dim) {
            let trained = spec.train(Rows::new(&vec![1.0_f32; 300 * dim], dim).unwrap().into(), Metric::L2, &options);
            assert!(matches!(trained, Err(TrainError::Unsupported { .. })), "{spec}, {dim}: {trained:?}");
        }
    }

    let opq = |subquantizers, dim_out| OpqSpec { subquantizers, dim_out };
    for wrong in [0, MAX_DIM + 1, usize::MAX] {
        // As the dimension of the output.
        let turned = PcaSpec { whiten: true, rotate: true, ..PcaSpec::new(wrong) };
        let specs: [&dyn TransformSpec; 8] = [
            &PcaSpec::new(wrong),
            &turned,
            &RotationSpec::new(Some(wrong)),
            &ItqSpec { dim_out: Some(wrong) },
            &PadSpec { to: wrong },
            &opq(1, Some(wrong)),
            &opq(wrong, None),
            &opq(wrong, Some(8)),
        ];
        specs.into_iter().for_each(|spec| check(spec, DIM));
        // As the dimension of the input.
        let specs: [&dyn TransformSpec; 10] = [
            &PcaSpec::new(1),
            &RotationSpec::new(None),
            &RotationSpec::new(Some(1)),
            &ItqSpec { dim_out: None },
            &ItqSpec { dim_out: Some(1) },
            &PadSpec { to: 1 },
            &opq(1, None),
            &opq(1, Some(1)),
            &HadamardSpec::default(),
            &CenterSpec,
        ];
        specs.into_iter().for_each(|spec| check(spec, wrong));
    }
    // The largest dimension is one, and its memory is no overflow.
    let specs: [&dyn TransformSpec; 6] = [
        &PcaSpec::new(MAX_DIM),
        &RotationSpec::new(None),
        &ItqSpec { dim_out: None },
        &opq(16, None),
        &HadamardSpec::default(),
        &CenterSpec,
    ];
    for spec in specs {
        assert_eq!(spec.dim_out(MAX_DIM, Metric::L2).unwrap(), MAX_DIM, "{spec}");
        spec.training_memory(MAX_DIM, Metric::L2, 1 << 20, &TrainOptions::new());
    }
}

#[test]
fn a_file_with_other_shapes_or_numbers_is_an_error() {
    let vectors = sample(300);
    let registry = Registry::new().with_transforms(TRANSFORMS);
    for token in ["PCAW6", "OPQ4", "RR40", "ITQ8", "Center", "HR5", "Pad30"] {
        let map = trained(token, &vectors, Metric::L2).0;
        let node = map.export().to_stored();
        assert_eq!(registry.read_transform(&node).unwrap().spec().to_string(), token);
        for name in ["matrix", "mean", "inverse", "center"] {
            let Ok(numbers) = node.array::<f32>(name).map(<[f32]>::to_vec) else { continue };
            let with = |numbers: Vec<f32>| {
                let mut node = node.clone();
                let other = NamedArray::owned(name, &[numbers.len() as u64], numbers);
                let mut holder = ivf_core::Node::new("holder", 0);
                holder.push(other);
                let replaced = holder.to_stored().arrays.remove(0);
                *node.arrays.iter_mut().find(|array| array.name == name).unwrap() = replaced;
                registry.read_transform(&node)
            };
            if !numbers.is_empty() {
                let mut bad = numbers.clone();
                bad[0] = f32::NAN;
                assert!(matches!(with(bad), Err(DecodeError::Value { .. })), "{token}: {name} with a NaN");
                let mut short = numbers.clone();
                short.pop();
                // A mean of one dimension less is a smaller `Center`.
                assert!(with(short).is_err() || token == "Center", "{token}: {name} that is short");
            }
            let mut long = numbers;
            long.push(1.0);
            assert!(with(long).is_err() || token == "Center", "{token}: {name} that is long");
        }
    }
    // A token of another kind, or of other dimensions.
    for (token, other) in [("PCAW6", "OPQ4"), ("PCAW6", "PCAW7"), ("RR40", "RR"), ("OPQ4", "OPQ4_40"), ("ITQ8", "PCA8")]
    {
        let map = trained(token, &vectors, Metric::L2).0;
        let mut node = map.export();
        node.fields.set("token", other);
        assert!(
            matches!(registry.read_transform(&node.to_stored()), Err(DecodeError::Value { .. })),
            "{token}, {other}"
        );
    }
}
