//! Compares every kernel, at every length and on every level of this machine, with the fold that
//! defines the distance.

use super::*;
use crate::simd::{Kernel, LANES, Lane, Level, Simd};
use half::{bf16, f16};
use ivf_core::bytes::AlignedBytes;
use ivf_core::{Metric, Rows};

/// All distances of a scan, `queries x (blocks x 32)`.
struct All<'a, D, T> {
    distance: D,
    queries: Rows<'a, f32>,
    columns: &'a [[T; BLOCK]],
}

impl<D: Distance, T: Lane> Kernel for All<'_, D, T> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f32> {
        let lanes = self.columns.len() / self.queries.dim() * BLOCK;
        let mut all = vec![f32::NAN; self.queries.len() * lanes];
        let mut thresholds = vec![f32::INFINITY; self.queries.len()];
        let queries: Vec<&[f32]> = self.queries.iter().collect();
        scan(simd, self.distance, self.queries.dim(), &queries, &mut thresholds, self.columns, |near| {
            for (lane, distance) in near.hits(u32::MAX) {
                all[near.query * lanes + near.block * BLOCK + lane] = distance;
            }
            f32::INFINITY
        });
        all
    }
}

struct Pairs<'a, D, T> {
    distance: D,
    queries: Rows<'a, f32>,
    rows: Rows<'a, T>,
}

impl<D: Distance, T: Lane> Kernel for Pairs<'_, D, T> {
    /// Distances of pairs, norms of the rows, and distances of the first query to all rows.
    type Output = (Vec<f32>, Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let mut out = vec![0.0; self.rows.len()];
        let pair = |i: usize| (self.queries.row(i % self.queries.len()), self.rows.row(i));
        distances_to_rows(simd, self.distance, (0..self.rows.len()).map(pair), &mut out);
        let mut of_first = vec![0.0; self.rows.len()];
        distances_of_query(simd, self.distance, self.queries.row(0), self.rows.iter(), &mut of_first);
        (out, self.rows.iter().map(squared_norm).collect(), of_first)
    }
}

/// Check of queries and vectors of `T` with every kernel.
struct Check<'a, T> {
    rows: Rows<'a, T>,
    queries: &'a [f32],
    /// Number of elements between an alignment boundary and the first element of each.
    offset: usize,
}

impl<T: Lane> Visitor for Check<'_, T> {
    type Output = ();

    fn visit<D: Distance>(self, distance: D) {
        let (rows, dim) = (self.rows, self.rows.dim());
        let lanes = rows.len().div_ceil(BLOCK) * BLOCK;
        let mut blocks = vec![T::from_f32(0.0); self.offset + lanes * dim];
        let columns = blocks[self.offset..].as_chunks_mut::<BLOCK>().0;
        for (i, row) in rows.iter().enumerate() {
            row.iter().enumerate().for_each(|(d, &x)| columns[i / BLOCK * dim + d][i % BLOCK] = x);
        }
        let queries = Rows::new(self.queries, dim).unwrap();
        let exact = |query: &[f32], row: &[T]| distance.between(query, row.iter().map(|x| x.to_f32()));
        let same =
            |found: f32, expected: f32| found.to_bits() == expected.to_bits() || (expected.is_nan() && found.is_nan());
        for level in Level::available() {
            let found = level.run(All { distance, queries, columns });
            for (q, found) in found.chunks_exact(columns.len() / dim * BLOCK).enumerate() {
                for (i, row) in rows.iter().enumerate() {
                    let expected = exact(queries.row(q), row);
                    assert!(same(found[i], expected), "{distance:?}, {level}, {dim}: {} for {expected}", found[i]);
                }
            }
            let (found, norms, of_first) = level.run(Pairs { distance, queries, rows });
            for (i, row) in rows.iter().enumerate() {
                assert!(same(found[i], exact(queries.row(i % queries.len()), row)), "{distance:?}, {level}, {dim}");
                assert!(same(of_first[i], exact(queries.row(0), row)), "{distance:?}, {level}, {dim}");
                let norm = row.iter().fold(0.0, |sum: f32, x| x.to_f32().mul_add(x.to_f32(), sum));
                assert!(same(norms[i], norm), "{level}, {dim}");
            }
        }
    }
}

/// Checks rows of `T` that start `offset` elements after an alignment boundary.
fn check<T: Lane>(metric: Metric, dim: usize, len: usize, offset: usize, scale: f32) {
    let value = |i: usize| ((i * 7919 % 1013) as f32 / 512.0 - 0.7) * scale;
    let data: Vec<T> = (0..offset + len * dim).map(|i| T::from_f32(value(i))).collect();
    let queries: Vec<f32> = (0..offset + 14 * dim).map(|i| value(i * 3 + 1)).collect();
    with_distance(
        metric,
        Check { rows: Rows::new(&data[offset..], dim).unwrap(), queries: &queries[offset..], offset },
    );
}

const METRICS: [Metric; 9] = [
    Metric::L2,
    Metric::InnerProduct,
    Metric::L1,
    Metric::Linf,
    Metric::Lp(1.5),
    Metric::Canberra,
    Metric::BrayCurtis,
    Metric::JensenShannon,
    Metric::Jaccard,
];

#[test]
fn every_length_and_alignment_of_every_element_type_is_the_fold_to_the_bit() {
    for dim in 1..=257 {
        // Covers all offsets within a register of floats, and with each of them all remainders of a
        // tile.
        for metric in [Metric::L2, Metric::InnerProduct] {
            check::<f32>(metric, dim, 35, dim % LANES, 1.0);
            check::<f16>(metric, dim, 3, dim % LANES, 1.0);
            check::<bf16>(metric, dim, 3, dim % LANES, 1.0);
            check::<u8>(metric, dim, 3, dim % LANES, 200.0);
            check::<i8>(metric, dim, 3, dim % LANES, 90.0);
        }
    }
    for offset in 0..LANES {
        for dim in [1, 15, 16, 17, 100] {
            check::<f32>(Metric::L2, dim, 70, offset, 1.0);
            check::<f32>(Metric::InnerProduct, dim, 70, offset, 1.0);
            check::<f16>(Metric::L2, dim, 70, offset, 1.0);
            check::<bf16>(Metric::L2, dim, 70, offset, 1.0);
            check::<u8>(Metric::L2, dim, 70, offset, 200.0);
            check::<i8>(Metric::L2, dim, 70, offset, 90.0);
        }
    }
}

#[test]
fn every_metric_is_the_fold_to_the_bit() {
    for metric in METRICS {
        for dim in (1..=33).chain([64, 100, 257]) {
            check::<f32>(metric, dim, dim % 5 * 16 + 3, 0, 1.0);
        }
    }
}

/// Hits of a scan of floats in halves with fixed thresholds: (query, vector, distance).
struct InHalves<'a, D> {
    distance: D,
    queries: &'a [&'a [f32]],
    thresholds: Vec<f32>,
    blocks: SplitFloats<'a>,
}

impl<D: Distance> Kernel for InHalves<'_, D> {
    type Output = Vec<(usize, usize, u32)>;

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) -> Self::Output {
        let (mut found, fixed) = (Vec::new(), self.thresholds.clone());
        scan_split_floats(
            simd,
            self.distance,
            self.queries,
            &mut self.thresholds,
            self.blocks,
            &mut Vec::new(),
            |_| u32::MAX,
            |near: Candidates<'_>| {
                let hits = near.hits(u32::MAX);
                found.extend(hits.map(|(lane, d)| (near.query, near.block * BLOCK + lane, d.to_bits())));
                fixed[near.query]
            },
        );
        found.sort_unstable();
        found
    }
}

/// Check with the distance of each vector as the threshold: a scan finds exactly the vectors that
/// are no farther.
struct CheckHalves<'a> {
    rows: Rows<'a, f32>,
    queries: Rows<'a, f32>,
}

impl Visitor for CheckHalves<'_> {
    type Output = ();

    fn visit<D: Distance>(self, distance: D) {
        let (rows, dim) = (self.rows, self.rows.dim());
        let layout = SplitFloats::layout(dim);
        let mut planes: [AlignedBytes; 2] =
            std::array::from_fn(|p| AlignedBytes::zeroed(layout.plane_bytes(p, rows.len())));
        let [upper, lower] = &mut planes;
        for (i, row) in rows.iter().enumerate() {
            layout.put(&mut [&mut *upper, &mut *lower], i, bytemuck::cast_slice(row));
            let mut back = vec![0.0_f32; dim];
            layout.get(&[&*upper, &*lower], i, bytemuck::cast_slice_mut(&mut back));
            assert!(row.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits()), "{row:?} became {back:?}");
        }
        let lanes = rows.len().div_ceil(BLOCK) * BLOCK;
        for query in self.queries.iter() {
            let zero = vec![0.0; dim];
            let row = |i: usize| if i < rows.len() { rows.row(i) } else { &zero };
            let all: Vec<f32> = (0..lanes).map(|i| distance.between(query, row(i).iter().copied())).collect();
            let steps =
                all.iter().flat_map(|&d| [d, d.next_down()]).chain([0.0, f32::MAX, f32::INFINITY, f32::NEG_INFINITY]);
            for threshold in steps.filter(|t| !t.is_nan()) {
                let expected: Vec<(usize, u32)> =
                    (0..lanes).filter(|&i| all[i] <= threshold).map(|i| (i, all[i].to_bits())).collect();
                for level in Level::available() {
                    for together in [1, 3] {
                        let (queries, thresholds) = (vec![query; together], vec![threshold; together]);
                        let blocks = SplitFloats::new(&planes[0], &planes[1], dim);
                        let found = level.run(InHalves { distance, queries: &queries, thresholds, blocks });
                        let expected: Vec<_> =
                            (0..together).flat_map(|q| expected.iter().map(move |&(i, d)| (q, i, d))).collect();
                        assert_eq!(found, expected, "{distance:?}, {level}, dimension {dim}, threshold {threshold}");
                    }
                }
            }
        }
    }
}

#[test]
fn floats_in_halves_are_found_as_whole_ones() {
    // First similar exponents; then all exponents, zeros, the largest and the smallest floats,
    // infinities and NaN.
    let near = |i: usize| f32::from_bits(0x3e00_0000 + ((i * 2_654_435_761) % (1 << 26)) as u32) * [1.0, -1.0][i % 2];
    let wild = |i: usize| match i % 37 {
        0 => 0.0,
        1 => -0.0,
        2 => f32::MAX,
        3 => f32::MIN,
        4 => f32::from_bits(1),
        5 => f32::MIN_POSITIVE,
        6 => f32::from_bits(0x7f7f_8000),
        _ => f32::from_bits((i as u32).wrapping_mul(2_654_435_761)),
    };
    let dims = [1, 2, 3, 7, 31, 100, 257];
    for (metric, dim) in METRICS.into_iter().take(3).flat_map(|metric| dims.map(|dim| (metric, dim))) {
        let few = if dim > 7 { 35 } else { 70 };
        let rows: Vec<f32> = (0..few * dim).map(near).collect();
        let queries: Vec<f32> = (0..2 * dim).map(|i| near(i * 31 + 7)).chain(rows[..dim].iter().copied()).collect();
        let check = |rows: &[f32], queries: &[f32]| {
            with_distance(
                metric,
                CheckHalves { rows: Rows::new(rows, dim).unwrap(), queries: Rows::new(queries, dim).unwrap() },
            );
        };
        check(&rows, &queries);
        // Products that overflow only as whole floats, or only in halves.
        let edge = 2.0_f32.powi(64);
        check(
            &(0..few * dim).map(|i| [1.0038 * edge, -0.003 * edge][i % 2]).collect::<Vec<_>>(),
            &(0..2 * dim).map(|i| [0.9965 * edge, edge][i % 2]).collect::<Vec<_>>(),
        );
        // Small values, whose sums of products underflow; then values that a file may hold although
        // `add` refuses them.
        check(
            &rows.iter().map(|x| x * 1e-22).collect::<Vec<_>>(),
            &queries.iter().map(|x| x * 1e-22).collect::<Vec<_>>(),
        );
        let queries: Vec<f32> =
            (0..3 * dim).map(|i| wild(i * 3 + 2)).map(|q| if q.is_finite() { q } else { 1.0 }).collect();
        check(&(0..few * dim).map(wild).collect::<Vec<_>>(), &queries);
    }
}

#[test]
fn nothing_is_no_distance_at_all() {
    let mut out = [];
    distances_to_rows::<_, _, f32>(crate::simd::Scalar, L2, std::iter::empty(), &mut out);
    assert_eq!(squared_norm::<f32>(&[]), 0.0);
    assert_eq!(L2.between(&[], std::iter::empty()), 0.0);
}
