//! Vectors in dimension-major blocks of 32.

use ivf_core::Rows;
use ivf_core::bytes::AlignedBytes;

/// Number of vectors in a block.
pub const BLOCK: usize = 32;

/// Matrix of `f32` vectors packed for scanning: blocks of 32 vectors, dimension after dimension.
///
/// ```text
/// dim 2, vectors a b c ... (x, y their coordinates):
///   block 0 | ax bx cx ... 32 | ay by cy ... 32 |   block 1 | ...
/// ```
///
/// One load reads a coordinate of 32 vectors. A step of 32 sums needs no shuffle, and each sum
/// still runs over the dimensions in order. The lanes past the last vector are zero, and callers
/// must ignore them.
///
/// ```
/// use ivf_core::Rows;
/// use ivf_cpu::kernels::{BLOCK, PackedRows};
///
/// // 33 vectors, (0, 1), (2, 3) and so on: one more than a block.
/// let vectors: Vec<f32> = (0..66).map(|i| i as f32).collect();
/// let packed = PackedRows::new(Rows::new(&vectors, 2)?);
/// assert_eq!((packed.len(), packed.dim(), packed.is_empty()), (33, 2, false));
///
/// // Two blocks of two columns. The second block has one vector, and zeros after it.
/// assert_eq!(packed.blocks().len(), 2);
/// assert_eq!(packed.columns()[1][..3], [1.0, 3.0, 5.0]);
/// assert_eq!(packed.columns()[2][..3], [64.0, 0.0, 0.0]);
/// assert_eq!(packed.memory(), 2 * 2 * BLOCK * size_of::<f32>());
///
/// // Reading vectors back: one of them, or several across the end of a block.
/// let (mut one, mut two) = ([0.0; 2], [0.0; 4]);
/// packed.row(5, &mut one);
/// packed.rows(31, &mut two);
/// assert_eq!((one, two), ([10.0, 11.0], [62.0, 63.0, 64.0, 65.0]));
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PackedRows {
    bytes: AlignedBytes,
    len: usize,
    dim: usize,
}

impl PackedRows {
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

    /// Returns the number of vectors.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the dimension of the vectors.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Returns the memory in bytes.
    pub fn memory(&self) -> usize {
        self.bytes.memory()
    }

    /// Returns the blocks, each with `dim` columns of 32 floats.
    #[inline(always)]
    pub fn blocks(&self) -> std::slice::ChunksExact<'_, [f32; BLOCK]> {
        self.columns().chunks_exact(self.dim)
    }

    /// Returns all columns: `dim` for each block.
    #[inline(always)]
    pub fn columns(&self) -> &[[f32; BLOCK]] {
        bytemuck::cast_slice(&self.bytes)
    }

    /// Writes vector `i` to `out`.
    ///
    /// # Panics
    /// If `i >= len` or `out` is not `dim` long.
    pub fn row(&self, i: usize, out: &mut [f32]) {
        assert!(i < self.len && out.len() == self.dim, "row {i} of {}, {} of {} floats", self.len, out.len(), self.dim);
        let block = self.blocks().nth(i / BLOCK).expect("a block for every row");
        out.iter_mut().zip(block).for_each(|(x, lanes)| *x = lanes[i % BLOCK]);
    }
    /// Writes the vectors from `first` on to `out`, row after row.
    ///
    /// # Panics
    /// If there are fewer vectors, or `out` is not a whole number of rows.
    pub fn rows(&self, first: usize, out: &mut [f32]) {
        assert!(out.len().is_multiple_of(self.dim), "rows of {} numbers", self.dim);
        let count = out.len() / self.dim;
        assert!(first <= self.len && count <= self.len - first, "{count} rows from {first} on, of {}", self.len);
        let mut done = 0;
        while done < count {
            let (block, start) = ((first + done) / BLOCK, (first + done) % BLOCK);
            let lanes = (BLOCK - start).min(count - done);
            let rows = &mut out[done * self.dim..][..lanes * self.dim];
            let columns = &self.columns()[block * self.dim..][..self.dim];
            for (lane, row) in (start..).zip(rows.chunks_exact_mut(self.dim)) {
                row.iter_mut().zip(columns).for_each(|(x, column)| *x = column[lane]);
            }
            done += lanes;
        }
    }
}
