//! The product quantizer: it cuts a vector into subvectors, and codes each by the nearest of a few
//! centroids.

use crate::codec::PqSpec;
use ivf_core::error::{PartsError, TrainError};
use ivf_core::{AnyRows, MAX_DIM, Rows, TrainOptions, TrainReport};
use ivf_cpu::kernels::{BLOCK, Distance, LaneCentroids, PackedRows};
use ivf_cpu::simd::{Kernel, LANES, Level, Simd};
use ivf_cpu::{column_means, train_parts};
use std::ops::Range;

/// Maximum number of bits in a code for one subquantizer.
pub const MAX_BITS: u32 = 16;

/// Term that each centroid of a subquantizer adds to a distance. If there are fewer than `K`
/// centroids, the last one fills the table.
pub(crate) type Table<const K: usize> = [f32; K];

/// Trained product quantizer (Jégou, Douze, Schmid, "Product quantization for nearest neighbor
/// search", PAMI 2011).
///
/// ```text
/// dim 6, subquantizers 0..2 2..4 4..6   | x0 x1 | x2 x3 | x4 x5 |
/// the nearest of 2^bits centroids       |  17   |  203  |   4   |     8 bits: 3 bytes
/// ```
///
/// A code is the numbers of the centroids, `bits` bits each, one after the other from the lowest
/// bit of the first byte on.
///
/// ```
/// use ivf_core::{Rows, TrainOptions};
/// use ivf_pq::{ProductQuantizer, equal_parts};
/// // Each pair of dimensions takes 100 different values, so 256 centroids hold them all.
/// let data: Vec<f32> = (0..1000).flat_map(|i| [i % 10, i / 10 % 10, i / 100, i % 10].map(|x| x as f32)).collect();
/// let rows = Rows::new(&data, 4)?;
/// let (pq, _) = ProductQuantizer::train(rows, equal_parts(4, 2), 8, false, &TrainOptions::new())?;
/// assert_eq!((pq.dim(), pq.bits(), pq.subquantizers()), (4, 8, &[0..2, 2..4][..]));
/// // A code has a byte for each of the two subquantizers.
/// assert_eq!(pq.code_size(), 2);
/// let mut codes = vec![0; 1000 * 2];
/// pq.encode(rows, &mut codes);
/// let mut decoded = [0.0; 4];
/// for (row, code) in rows.iter().zip(codes.chunks_exact(2)) {
///     pq.decode(code, &mut decoded);
///     let error: f32 = row.iter().zip(&decoded).map(|(x, y)| (x - y) * (x - y)).sum();
///     assert!(error < 1.0, "{row:?} decodes to {decoded:?}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProductQuantizer {
    subquantizers: Vec<Range<usize>>,
    bits: u32,
    /// Centroids of each subquantizer, row after row.
    codebooks: Vec<Vec<f32>>,
    /// The centroids of each subquantizer: relative to their mean, for encoding, and packed, for
    /// making tables.
    made: Vec<(LaneCentroids, PackedRows)>,
    /// Vector that is subtracted from vectors before they are compared with centroids, so that
    /// little cancels. It is the mean of the centroids plus the quantizer's mean.
    origin: Vec<f32>,
    mean: Option<Vec<f32>>,
}

/// Returns the dimensions of `m` subquantizers of the same length for vectors of `dim` dimensions.
///
/// # Panics
/// If `m` does not divide `dim`, or is zero.
pub fn equal_parts(dim: usize, m: usize) -> Vec<Range<usize>> {
    assert!(m > 0 && dim.is_multiple_of(m), "subquantizers of the same length");
    (0..m).map(|part| part * (dim / m)..(part + 1) * (dim / m)).collect()
}

impl ProductQuantizer {
    /// Trains the codebooks of these subquantizers, of `2^bits` centroids each. The subquantizers
    /// follow one another and cover all dimensions. With `centred`, the mean is subtracted first.
    /// Training runs 25 rounds of k-means unless the options set another number, for all
    /// subquantizers at once.
    ///
    /// # Errors
    /// [`TrainError::TooFew`] for fewer than `2^bits` rows, [`TrainError::Input`] for rows that are
    /// not finite, or so large that squared distances of their subvectors from the mean overflow
    /// ([`InputError::Overflow`](ivf_core::error::InputError::Overflow)).
    /// [`TrainError::Cancelled`].
    ///
    /// # Panics
    /// If the subquantizers do not cover the dimensions, or one is empty. If `bits` is not from 1
    /// to [`MAX_BITS`].
    pub fn train(
        rows: Rows<'_, f32>,
        subquantizers: Vec<Range<usize>>,
        bits: u32,
        centred: bool,
        options: &TrainOptions<'_>,
    ) -> Result<(Self, TrainReport), TrainError> {
        let dim = rows.dim();
        let ends = std::iter::once(0).chain(subquantizers.iter().map(|part| part.end));
        let follow = subquantizers.iter().zip(ends).all(|(part, start)| part.start == start && !part.is_empty());
        assert!(
            follow && subquantizers.last().is_some_and(|last| last.end == dim),
            "subquantizers that cover all dimensions"
        );
        assert!((1..=MAX_BITS).contains(&bits), "1 to {MAX_BITS} bits");
        let (centroids, kind) = (1 << bits, PqSpec::new(subquantizers.len()).bits(bits).to_string());
        if rows.len() < centroids {
            let who = format!("the {centroids} centroids of {kind}");
            return Err(TrainError::TooFew { who, needed: centroids, found: rows.len() });
        }
        AnyRows::from(rows).check(dim)?;
        let mut moved = Vec::new();
        let (mean, rows) = if centred {
            let mean = column_means(rows);
            let all = rows.iter().flat_map(|row| row.iter().zip(&mean).map(|(x, mean)| saturated(x - mean)));
            moved.extend(all);
            (Some(mean), Rows::new(&moved, dim).expect("as many rows"))
        } else {
            (None, rows)
        };
        let (codebooks, report) = train_parts(rows, &subquantizers, centroids, options)?;
        let quantizer = Self::new(subquantizers, codebooks, mean)
            .map_err(|error| TrainError::Unsupported { kind, what: error.to_string() })?;
        Ok((quantizer, report))
    }

    /// Creates a quantizer from codebooks, row after row. All have the same number of centroids, a
    /// power of two.
    ///
    /// ```
    /// use ivf_core::Rows;
    /// use ivf_pq::{ProductQuantizer, equal_parts};
    ///
    /// // Both codebooks hold the numbers 0 to 255. The vectors are around (1000, 1000).
    /// let book: Vec<f32> = (0..256).map(|i| i as f32).collect();
    /// let pq = ProductQuantizer::new(equal_parts(2, 2), vec![book.clone(), book], Some(vec![1000.0; 2]))?;
    /// let (mut code, mut vector) = ([0; 2], [0.0; 2]);
    /// pq.encode(Rows::new(&[1003.2, 1007.9], 2)?, &mut code);
    /// pq.decode(&code, &mut vector);
    /// assert_eq!((code, vector), ([3, 8], [1003.0, 1008.0]));
    ///
    /// // A vector is the mean and a centroid of each codebook, so a caller can decode on its own.
    /// let mean = pq.mean().ok_or("there is one")?;
    /// assert_eq!(mean[1] + pq.codebook(1).row(8)[0], 1008.0);
    ///
    /// // The centroids are kept in three forms.
    /// assert!(pq.memory() >= 3 * 2 * 256 * size_of::<f32>());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PartsError::Mismatch`] if the subquantizers do not follow one another, a codebook or the
    /// mean has the wrong length, a number is not finite, or there are more than [`MAX_DIM`]
    /// dimensions. The number of centroids must be from 2 to 2^[`MAX_BITS`].
    pub fn new(
        subquantizers: Vec<Range<usize>>,
        codebooks: Vec<Vec<f32>>,
        mean: Option<Vec<f32>>,
    ) -> Result<Self, PartsError> {
        let fault = |what: String| Err(PartsError::Mismatch(what));
        let dim = subquantizers.last().map_or(0, |last| last.end);
        let mut ends = std::iter::once(0).chain(subquantizers.iter().map(|part| part.end));
        if subquantizers.is_empty()
            || subquantizers.iter().any(|part| part.is_empty() || ends.next() != Some(part.start))
        {
            return fault("subquantizers that do not follow one another".to_owned());
        }
        if dim > MAX_DIM {
            return fault(format!("{dim} dimensions: at most {MAX_DIM} are supported"));
        }
        if codebooks.len() != subquantizers.len() {
            return fault(format!("{} codebooks for {} subquantizers", codebooks.len(), subquantizers.len()));
        }
        let centroids = codebooks[0].len() / subquantizers[0].len();
        if !centroids.is_power_of_two() || !(2..=1 << MAX_BITS).contains(&centroids) {
            return fault(format!("{centroids} centroids (a power of two is needed, from 2 to {})", 1 << MAX_BITS));
        }
        for (part, book) in subquantizers.iter().zip(&codebooks) {
            if book.len() != centroids * part.len() {
                return fault(format!("a codebook of {} numbers for {} dimensions", book.len(), part.len()));
            }
        }
        if let Some(mean) = mean.as_ref().filter(|mean| mean.len() != dim) {
            return fault(format!("a mean of {} numbers for {dim} dimensions", mean.len()));
        }
        if !codebooks.iter().chain(&mean).flatten().all(|x| x.is_finite()) {
            return fault("a centroid that is not finite".to_owned());
        }
        let mut origin = Vec::with_capacity(dim);
        let pair = |(part, rows): (&Range<usize>, &Vec<f32>)| {
            let rows = Rows::new(rows, part.len()).expect("whole rows");
            let middle = column_means(rows);
            let moved = rows.iter().flat_map(|row| row.iter().zip(&middle).map(|(x, m)| saturated(x - m))).collect();
            // A table may have more entries than there are centroids.
            let missing = table_len(centroids) - centroids;
            let last = std::iter::repeat_n(rows.row(centroids - 1), missing).flatten();
            let filled: Vec<f32> = rows.as_slice().iter().chain(last).copied().collect();
            let packed = PackedRows::new(Rows::new(&filled, part.len()).expect("whole rows"));
            origin.extend(middle);
            (LaneCentroids::new(moved, part.len()), packed)
        };
        let made = subquantizers.iter().zip(&codebooks).map(pair).collect();
        if let Some(mean) = &mean {
            origin.iter_mut().zip(mean).for_each(|(origin, mean)| *origin = saturated(*origin + mean));
        }
        Ok(Self { subquantizers, bits: centroids.ilog2(), codebooks, made, origin, mean })
    }

    /// Returns the dimension of the vectors.
    pub fn dim(&self) -> usize {
        self.subquantizers.last().expect("at least one subquantizer").end
    }

    /// Returns the number of bits in a code for each subquantizer.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Returns the number of bytes of a code.
    pub fn code_size(&self) -> usize {
        code_size(self.subquantizers.len(), self.bits)
    }

    /// Returns the dimensions of each subquantizer.
    pub fn subquantizers(&self) -> &[Range<usize>] {
        &self.subquantizers
    }

    /// Returns the centroids of subquantizer `m`, row after row.
    ///
    /// # Panics
    /// If there is no such subquantizer.
    pub fn codebook(&self, m: usize) -> Rows<'_, f32> {
        Rows::new(&self.codebooks[m], self.subquantizers[m].len()).expect("whole rows")
    }

    /// Returns the dimensions of subquantizer `m`, and one of its centroids. A list from a file may
    /// hold any number; one past the end is taken modulo the number of centroids.
    #[inline(always)]
    pub(crate) fn centroid(&self, m: usize, number: u16) -> (Range<usize>, &[f32]) {
        let part = self.subquantizers[m].clone();
        let number = usize::from(number) & ((1 << self.bits) - 1);
        let centroid = &self.codebooks[m][number * part.len()..][..part.len()];
        (part, centroid)
    }

    /// Returns the mean that is subtracted from a vector before it is cut, if there is one.
    pub fn mean(&self) -> Option<&[f32]> {
        self.mean.as_deref()
    }

    /// Returns the memory in bytes.
    pub fn memory(&self) -> usize {
        // The centroids three times: as they are, relative to their mean with the norms, and
        // packed.
        let made = self.made.iter().map(|(lanes, packed)| 2 * size_of_val(lanes.rows()) + packed.memory());
        let moves = self.origin.capacity() + self.mean.as_ref().map_or(0, Vec::capacity);
        made.sum::<usize>() + ((self.subquantizers.len() << self.bits) + moves) * size_of::<f32>()
    }

    /// Encodes vectors: writes a code for each row, row after row. A vector may be so far from all
    /// centroids that distances overflow. Its code is then an arbitrary one.
    ///
    /// # Panics
    /// If the dimension of the rows or the length of `codes` is wrong.
    pub fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]) {
        assert_eq!((rows.dim(), codes.len()), (self.dim(), rows.len() * self.code_size()), "wrong lengths");
        Level::get().run(Encode { pq: self, rows, codes });
    }

    /// Decodes a code into `vector`. Coordinates beyond the range of `f32` become its largest
    /// number.
    ///
    /// # Panics
    /// If the length of `code` or of `vector` is wrong.
    pub fn decode(&self, code: &[u8], vector: &mut [f32]) {
        assert_eq!(vector.len(), self.dim(), "a vector of the quantizer's dimension");
        for (m, number) in self.numbers(code).enumerate() {
            let (part, centroid) = self.centroid(m, number);
            vector[part].copy_from_slice(centroid);
        }
        if let Some(mean) = &self.mean {
            vector.iter_mut().zip(mean).for_each(|(x, mean)| *x = saturated(*x + mean));
        }
    }

    /// Returns the numbers of the centroids that a code selects.
    ///
    /// # Panics
    /// If the code has another size.
    pub(crate) fn numbers<'c>(&self, code: &'c [u8]) -> impl Iterator<Item = u16> + use<'c> {
        assert_eq!(code.len(), self.code_size(), "a code of the quantizer's size");
        let bits = self.bits;
        (0..self.subquantizers.len()).map(move |m| number(code, bits, m))
    }

    /// Computes for each subquantizer the distances between the query's subvector and the
    /// centroids. (The caller must account for the mean.)
    #[inline(always)]
    pub(crate) fn distances<'t, S: Simd, D: Distance>(
        &self,
        simd: S,
        distance: D,
        query: &[f32],
        tables: impl Iterator<Item = &'t mut [f32]>,
    ) {
        for ((part, (_, packed)), table) in self.subquantizers.iter().zip(&self.made).zip(tables) {
            let query = &query[part.clone()];
            let (halves, rest) = table.as_chunks_mut::<LANES>().0.as_chunks_mut::<2>();
            let mut blocks = packed.columns().chunks_exact(query.len());
            for ([low, high], block) in halves.iter_mut().zip(&mut blocks) {
                let [sums] = distance.distances::<S, _, 1, 2>(simd, [query], block, 0);
                *low = simd.to_array(sums[0]);
                *high = simd.to_array(sums[1]);
            }
            // A table of 16 entries is half a block.
            for (half, block) in rest.iter_mut().zip(&mut blocks) {
                let [sums] = distance.distances::<S, _, 1, 1>(simd, [query], block, 0);
                *half = simd.to_array(sums[0]);
            }
        }
    }
}

/// Returns the number of bytes of a code.
pub(crate) fn code_size(subquantizers: usize, bits: u32) -> usize {
    (subquantizers * bits as usize).div_ceil(8)
}

/// Returns the number of entries of a table for this number of centroids.
pub(crate) fn table_len(centroids: usize) -> usize {
    [16, 256].into_iter().find(|len| centroids <= *len).unwrap_or(centroids)
}

/// Returns number `m` of a code. Bits past the end of the code are zero.
#[inline(always)]
pub(crate) fn number(code: &[u8], bits: u32, m: usize) -> u16 {
    let start = m * bits as usize;
    let bytes = &code[(start / 8).min(code.len())..];
    let word = bytes.iter().take(3).rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
    ((word >> (start % 8)) & ((1 << bits) - 1)) as u16
}

/// Sets number `m` of a code, whose bits are zero so far. Bits past the end of the code are lost.
#[inline(always)]
pub(crate) fn set_number(code: &mut [u8], bits: u32, m: usize, number: u16) {
    let start = m * bits as usize;
    let word = (u32::from(number) & ((1 << bits) - 1)) << (start % 8);
    let from = (start / 8).min(code.len());
    for (i, byte) in code[from..].iter_mut().take(3).enumerate() {
        *byte |= (word >> (8 * i)) as u8;
    }
}

/// Returns the nearest finite number of a sum that may have overflowed.
#[inline(always)]
fn saturated(sum: f32) -> f32 {
    sum.clamp(f32::MIN, f32::MAX)
}

struct Encode<'a> {
    pq: &'a ProductQuantizer,
    rows: Rows<'a, f32>,
    codes: &'a mut [u8],
}

impl Kernel for Encode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pq, rows, codes } = self;
        let (dim, size) = (pq.dim(), pq.code_size());
        codes.fill(0);
        let mut block = vec![[0.0; BLOCK]; dim];
        let (mut numbers, mut values) = ([0; BLOCK], [0.0; BLOCK]);
        for (chunk, codes) in rows.as_slice().chunks(BLOCK * dim).zip(codes.chunks_mut(BLOCK * size)) {
            for (lane, row) in chunk.chunks_exact(dim).enumerate() {
                let moved = row.iter().zip(&pq.origin).map(|(x, origin)| saturated(x - origin));
                block.iter_mut().zip(moved).for_each(|(column, x)| column[lane] = x);
            }
            for (m, (part, (centroids, _))) in pq.subquantizers.iter().zip(&pq.made).enumerate() {
                centroids.nearest(simd, &block[part.clone()], &mut numbers, &mut values);
                for (code, number) in codes.chunks_exact_mut(size).zip(numbers) {
                    if pq.bits == 8 {
                        code[m] = number as u8;
                    } else {
                        set_number(code, pq.bits, m, number as u16);
                    }
                }
            }
        }
    }
}
