//! Vectors in dimension-major blocks of 32, and the loops over them.

use super::Distance;
use ivf_core::bytes::AlignedBytes;
use ivf_core::{CodeLayout, Rows};

/// Vectors in a block.
pub const BLOCK: usize = 32;

/// A matrix of `f32` vectors packed for scanning: blocks of 32 vectors, dimension after dimension.
///
/// ```text
/// dim 2, vectors a b c ... (x, y their coordinates):
///   block 0 | ax bx cx ... 32 | ay by cy ... 32 |   block 1 | ...
/// ```
///
/// One load gives a coordinate of 32 vectors, a step of 32 sums needs no shuffle, and each sum still runs over the dimensions
/// in order. The lanes past the last vector are zero and never reported.
#[derive(Clone, Debug)]
pub struct PackedRows {
    bytes: AlignedBytes,
    len: usize,
    dim: usize,
}

impl PackedRows {
    /// The layout of one vector's bytes in the blocks, for lists that hold the same blocks.
    pub fn layout(dim: usize) -> CodeLayout {
        CodeLayout::interleaved(size_of::<f32>(), dim, BLOCK)
    }

    /// Packs rows.
    pub fn new(rows: Rows<'_, f32>) -> Self {
        let dim = rows.dim();
        let blocks = rows.len().div_ceil(BLOCK);
        let mut bytes = AlignedBytes::zeroed(blocks * BLOCK * dim * size_of::<f32>());
        let floats: &mut [f32] = bytemuck::cast_slice_mut(&mut bytes);
        for (i, row) in rows.iter().enumerate() {
            let block = &mut floats[i / BLOCK * BLOCK * dim..][..BLOCK * dim];
            for (lanes, &x) in block.as_chunks_mut::<BLOCK>().0.iter_mut().zip(row) {
                lanes[i % BLOCK] = x;
            }
        }
        Self { bytes, len: rows.len(), dim }
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no vector.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Dimension of the vectors.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.bytes.len()
    }

    /// The blocks, each `dim` lanes of 32 floats.
    #[inline(always)]
    pub fn blocks(&self) -> std::slice::ChunksExact<'_, [f32; BLOCK]> {
        bytemuck::cast_slice::<u8, [f32; BLOCK]>(&self.bytes).chunks_exact(self.dim)
    }

    /// Writes vector `i` to `out`.
    ///
    /// # Panics
    /// If `i >= len` or `out` is not `dim` long.
    pub fn row(&self, i: usize, out: &mut [f32]) {
        assert!(i < self.len && out.len() == self.dim, "row {i} of {}, {} of {} places", self.len, out.len(), self.dim);
        let block = self.blocks().nth(i / BLOCK).expect("a block for every row");
        out.iter_mut().zip(block).for_each(|(x, lanes)| *x = lanes[i % BLOCK]);
    }
}

/// Distances from one entered query to the 32 vectors of a block.
#[inline(always)]
pub fn block_distances<D: Distance>(distance: D, query: &[f32], block: &[[f32; BLOCK]]) -> [f32; BLOCK] {
    tile_distances(distance, [query], block)[0]
}

/// Distances from `Q` entered queries to the 32 vectors of a block: each lane of the block is loaded once for all queries.
#[inline(always)]
pub fn tile_distances<D: Distance, const Q: usize>(
    distance: D,
    queries: [&[f32]; Q],
    block: &[[f32; BLOCK]],
) -> [[f32; BLOCK]; Q] {
    // Equal lengths, told to the compiler once.
    let queries = queries.map(|query| &query[..block.len()]);
    let mut sums = [[D::Sum::default(); BLOCK]; Q];
    for (d, lanes) in block.iter().enumerate() {
        for (sums, query) in sums.iter_mut().zip(queries) {
            let q = query[d];
            for (sum, &x) in sums.iter_mut().zip(lanes) {
                *sum = distance.step(*sum, q, x);
            }
        }
    }
    sums.map(|sums| sums.map(|sum| distance.finish(sum)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Visitor, with_distance};
    use crate::simd::{Kernel, Level};
    use ivf_core::Metric;

    struct Tile<'a, D> {
        distance: D,
        queries: [&'a [f32]; 4],
        packed: &'a PackedRows,
    }

    impl<D: Distance> Kernel for Tile<'_, D> {
        type Output = Vec<[[f32; BLOCK]; 4]>;

        #[inline(always)]
        fn run(self) -> Self::Output {
            self.packed.blocks().map(|block| tile_distances(self.distance, self.queries, block)).collect()
        }
    }

    /// Every lane of every block against the fold that defines the distance.
    struct Check {
        dim: usize,
        len: usize,
    }

    impl Visitor for Check {
        type Output = ();

        fn visit<D: Distance>(self, distance: D) {
            let Self { dim, len } = self;
            let value = |i: usize| (i * 7919 % 1013) as f32 / 512.0 - 0.7;
            let data: Vec<f32> = (0..len * dim).map(value).collect();
            let packed = PackedRows::new(Rows::new(&data, dim).unwrap());
            let queries: Vec<f32> = (0..4 * dim).map(|i| distance.enter(value(i * 3 + 1))).collect();
            let queries: [&[f32]; 4] = std::array::from_fn(|q| &queries[q * dim..][..dim]);
            for level in Level::available() {
                let found = level.run(Tile { distance, queries, packed: &packed });
                for (i, vector) in data.chunks_exact(dim).enumerate() {
                    let mut row = vec![0.0; dim];
                    packed.row(i, &mut row);
                    assert_eq!(row, vector);
                    for (q, query) in queries.iter().enumerate() {
                        let expected = distance.between(query, vector.iter().copied());
                        let found = found[i / BLOCK][q][i % BLOCK];
                        let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                        assert!(same, "{distance:?}, {level}, dim {dim}, vector {i} of {len}: {found} for {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_level_computes_the_fold_to_the_bit() {
        let metrics = [
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
        for metric in metrics {
            for dim in (1..=33).chain([64, 100, 257]) {
                with_distance(metric, Check { dim, len: dim % 5 * 16 + 3 });
            }
        }
    }
}
