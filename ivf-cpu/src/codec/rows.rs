//! `Flat` with each vector contiguous, for vectors that are read one at a time at arbitrary
//! locations.
//!
//! With a block of 32 vectors ([`SplitFloats`](crate::kernels::SplitFloats)), such a read would
//! cost two cache lines per dimension.

use super::flat::{FlatCodec, FlatSpec, distance_of};
use crate::kernels::{Distance, Visitor, distances_of_query, with_distance};
use crate::simd::{Kernel, LANES, Level, Simd};
use ivf_core::error::{BuildError, TrainError};
use ivf_core::{
    Codec, CodecContext, CodecSpec, CodecTraining, InvertedListScanner, ListNo, Metric, Residuals, TrainOptions,
    TrainReport,
};
use std::fmt;
use std::sync::Arc;

/// The specification of `Flat` with contiguous vectors, for an index that re-ranks candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowsSpec;

impl fmt::Display for RowsSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FlatSpec.fmt(f)
    }
}

impl CodecSpec for RowsSpec {
    fn check(&self, context: &CodecContext) -> Result<(), BuildError> {
        FlatSpec.check(context)
    }

    fn residuals(&self) -> Residuals {
        FlatSpec.residuals()
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        0
    }

    fn training_memory(&self, _context: &CodecContext, _points: usize, _options: &TrainOptions<'_>) -> usize {
        0
    }

    fn code_size(&self, context: &CodecContext) -> usize {
        FlatSpec.code_size(context)
    }

    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        Ok((Arc::new(FlatCodec::rows(input.rows.dim(), input.context.metric)), TrainReport::default()))
    }
}

/// A scanner that computes distances of given codes. It scans lists with the provided methods of
/// the trait.
pub(super) struct RowsScanner<D> {
    pub(super) distance: D,
    pub(super) level: Level,
    pub(super) query: Vec<f32>,
}

impl<D: Distance> InvertedListScanner for RowsScanner<D> {
    fn set_query(&mut self, query: &[f32]) {
        self.query.copy_from_slice(query);
    }

    fn set_list(&mut self, _list: ListNo, _coarse_distance: f32) {}

    fn distance(&self, code: &[u8]) -> f32 {
        distance_of(self.distance, &self.query, code)
    }

    fn distances(&self, codes: &[u8], distances: &mut [f32]) {
        let query = &self.query;
        assert_eq!(codes.len(), distances.len() * size_of_val(&query[..]), "whole codes");
        match bytemuck::try_cast_slice(codes) {
            Ok(rows) => self.level.run(Rows { distance: self.distance, query, rows, out: distances }),
            // The bytes are not aligned for floats.
            Err(_) => {
                for (code, distance) in codes.chunks_exact(size_of_val(&query[..])).zip(distances) {
                    *distance = self.distance(code);
                }
            }
        }
    }

    fn distances_to(&self, codes: &[&[u8]], distances: &mut [f32]) {
        let query = &self.query;
        assert_eq!(codes.len(), distances.len(), "a code for each distance");
        let rows = codes.iter().map(|code| bytemuck::try_cast_slice(code).ok());
        match rows.collect::<Option<Vec<&[f32]>>>() {
            Some(rows) => self.level.run(Scattered { distance: self.distance, query, rows: &rows, out: distances }),
            // The bytes are not aligned for floats.
            None => codes.iter().zip(distances).for_each(|(code, distance)| *distance = self.distance(code)),
        }
    }
}

/// Number of rows whose memory is read while the distances to other rows are computed.
const AHEAD: usize = 32;

/// Computes the distances to rows that lie anywhere in memory.
struct Scattered<'a, D> {
    distance: D,
    query: &'a [f32],
    rows: &'a [&'a [f32]],
    out: &'a mut [f32],
}

impl<D: Distance> Kernel for Scattered<'_, D> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { distance, query, rows, out } = self;
        rows.iter().take(AHEAD).for_each(|row| simd.prefetch(row));
        for (i, (some, out)) in rows.chunks(LANES).zip(out.chunks_mut(LANES)).enumerate() {
            rows.iter().skip(i * LANES + AHEAD).take(LANES).for_each(|row| simd.prefetch(row));
            distances_of_query(simd, distance, query, some.iter().copied(), out);
        }
    }
}

struct Rows<'a, D> {
    distance: D,
    query: &'a [f32],
    rows: &'a [f32],
    out: &'a mut [f32],
}

impl<D: Distance> Kernel for Rows<'_, D> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let rows = self.rows.chunks_exact(self.query.len());
        distances_of_query(simd, self.distance, self.query, rows, self.out);
    }
}

/// Writes the inner distances from a query to vectors, which lie one after the other, to `out`.
pub(crate) fn distances_to_vectors(metric: Metric, query: &[f32], vectors: &[f32], out: &mut [f32]) {
    struct Each<'a>(&'a [f32], &'a [f32], &'a mut [f32]);
    impl Visitor for Each<'_> {
        type Output = ();
        fn visit<D: Distance>(self, distance: D) {
            let Self(query, rows, out) = self;
            Level::get().run(Rows { distance, query, rows, out });
        }
    }
    with_distance(metric, Each(query, vectors, out));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::bytes::AlignedBytes;

    #[test]
    fn distances_are_those_of_each_code_wherever_the_bytes_lie() {
        const DIM: usize = 37;
        struct All;
        impl crate::kernels::Visitor for All {
            type Output = ();
            fn visit<D: Distance>(self, distance: D) {
                let value = |i: usize| (i * 7919 % 1013) as f32 / 512.0 - 0.7;
                let query: Vec<f32> = (0..DIM).map(|d| value(d * 3 + 1)).collect();
                for len in [0, 1, 15, 16, 17, 40] {
                    let rows: Vec<f32> = (0..len * DIM).map(value).collect();
                    let bytes: &[u8] = bytemuck::cast_slice(&rows);
                    let scanner = RowsScanner { distance, level: Level::get(), query: query.clone() };
                    let expected: Vec<u32> =
                        bytes.chunks_exact(4 * DIM).map(|code| scanner.distance(code).to_bits()).collect();
                    for offset in 0..4 {
                        let mut shifted = AlignedBytes::zeroed(offset + bytes.len());
                        shifted[offset..].copy_from_slice(bytes);
                        let mut found = vec![f32::NAN; len];
                        scanner.distances(&shifted[offset..], &mut found);
                        assert!(found.iter().map(|x| x.to_bits()).eq(expected.iter().copied()), "{len}, {offset}");
                        // More rows than are read ahead, in another order.
                        let order: Vec<usize> = (0..7 * len).map(|i| i * 11 % len).collect();
                        let code = |i: &usize| &shifted[offset + i * 4 * DIM..][..4 * DIM];
                        let mut found = vec![f32::NAN; order.len()];
                        scanner.distances_to(&order.iter().map(code).collect::<Vec<_>>(), &mut found);
                        let expected = order.iter().map(|&i| expected[i]);
                        assert!(found.iter().map(|x| x.to_bits()).eq(expected), "{len}, {offset}");
                    }
                }
            }
        }
        for metric in [Metric::L2, Metric::InnerProduct, Metric::L1, Metric::BrayCurtis] {
            crate::kernels::with_distance(metric, All);
        }
    }
}
