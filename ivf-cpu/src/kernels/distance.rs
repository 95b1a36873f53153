//! The distance of each metric: a fold over the dimensions in order, with one step for each.

use super::BLOCK;
use crate::simd::{LANES, Lane, Simd};
use half::bf16;
use ivf_core::Metric;

/// An inner distance (smaller is closer), as a fold over the dimensions in order.
///
/// This fold is the definition of the distance. Every implementation, for any layout and any
/// instruction set, performs these steps in this order for each pair of vectors. All results are
/// therefore bit-identical.
///
/// ```
/// use ivf_cpu::kernels::{BLOCK, Distance};
/// use ivf_cpu::simd::{LANES, Scalar, Simd};
///
/// /// The number of coordinates that differ.
/// #[derive(Clone, Copy, Debug)]
/// struct Differing;
///
/// impl Distance for Differing {
///     type Sum = u32;
///
///     #[inline(always)]
///     fn step(self, sum: u32, q: f32, x: f32) -> u32 {
///         sum + u32::from(q != x)
///     }
///
///     #[inline(always)]
///     fn finish(self, sum: u32) -> f32 {
///         sum as f32
///     }
/// }
///
/// // The provided methods fold pairs of vectors in every layout: one pair,
/// let query = [1.0, 2.0, 3.0];
/// assert_eq!(Differing.between(&query, [1.0, 2.0, 0.0].into_iter()), 1.0);
///
/// // the vectors of a block, dimension after dimension (vector i is (1, i, i)),
/// let count: [f32; BLOCK] = std::array::from_fn(|i| i as f32);
/// let block = &[[1.0; BLOCK], count, count][..];
/// let [[low, _high]] = Differing.distances::<_, _, 1, 2>(Scalar, [&query], block, 0);
/// assert_eq!(Scalar.to_array(low)[..4], [2.0, 2.0, 1.0, 1.0]);
///
/// // and 16 pairs side by side, or 16 vectors.
/// let vector = [1.0_f32, 9.0, 9.0];
/// assert_eq!(Differing.of_pairs(Scalar, [&query[..]; LANES], [&vector[..]; LANES]), [2.0; LANES]);
/// assert_eq!(Differing.of_rows(Scalar, &query, [&vector[..]; LANES]), [2.0; LANES]);
/// ```
pub trait Distance: Copy + Send + Sync + std::fmt::Debug + 'static {
    /// Accumulator of the fold.
    type Sum: Copy + Default;

    /// Whether the sums of a tile of several queries stay in registers. Tiles of other distances
    /// have one query.
    const IN_REGISTERS: bool = false;

    /// `Some((n, p))` if the distance is `n (|q|^2 + |x|^2) - p q x` except for rounding, and
    /// `None` if it does not follow from the product of the two vectors.
    const BY_PRODUCT: Option<(f64, f64)> = None;

    /// Adds one dimension: `q` is a coordinate of the query, `x` one of a stored vector.
    fn step(self, sum: Self::Sum, q: f32, x: f32) -> Self::Sum;

    /// Returns the distance after the last dimension.
    fn finish(self, sum: Self::Sum) -> f32;

    /// Returns the distances from `Q` queries to 16 `H` lanes of a block. The first lane is `LANES
    /// * half`.
    #[inline(always)]
    fn distances<S: Simd, C: Columns, const Q: usize, const H: usize>(
        self,
        simd: S,
        queries: [&[f32]; Q],
        block: C,
        half: usize,
    ) -> [[S::F32; H]; Q] {
        // Loops, since closures would not be compiled for the instruction set.
        let mut distances = [[simd.splat(0.0); H]; Q];
        for (query, distances) in queries.into_iter().zip(&mut distances) {
            let mut sums = [[Self::Sum::default(); LANES]; H];
            for (d, &q) in query[..block.dim()].iter().enumerate() {
                for (h, sums) in sums.iter_mut().enumerate() {
                    let lanes = simd.to_array(block.load(simd, d, half + h));
                    for i in 0..LANES {
                        sums[i] = self.step(sums[i], q, lanes[i]);
                    }
                }
            }
            for (sums, distances) in sums.into_iter().zip(distances) {
                let mut finished = [0.0; LANES];
                for i in 0..LANES {
                    finished[i] = self.finish(sums[i]);
                }
                *distances = simd.load(&finished);
            }
        }
        distances
    }

    /// Returns the distances of 16 pairs of vectors.
    ///
    /// # Panics
    /// If the vectors differ in length.
    #[inline(always)]
    fn of_pairs<S: Simd, T: Lane>(self, _simd: S, queries: [&[f32]; LANES], rows: [&[T]; LANES]) -> [f32; LANES] {
        let dim = same_dim(&queries, &rows);
        let mut sums = [Self::Sum::default(); LANES];
        for d in 0..dim {
            for ((sum, query), row) in sums.iter_mut().zip(queries).zip(rows) {
                *sum = self.step(*sum, query[d], row[d].to_f32());
            }
        }
        sums.map(|sum| self.finish(sum))
    }

    /// Returns the distances from one query to 16 vectors, as [`of_pairs`](Self::of_pairs) does.
    ///
    /// # Panics
    /// If the vectors differ in length.
    #[inline(always)]
    fn of_rows<S: Simd, T: Lane>(self, simd: S, query: &[f32], rows: [&[T]; LANES]) -> [f32; LANES] {
        self.of_pairs(simd, [query; LANES], rows)
    }

    /// Returns for each lane an upper bound of the negated distance, or `None` if this distance has
    /// no such bound. It includes the rounding errors of its own computation and of the exact fold.
    ///
    /// Each coordinate in `block` may be off by at most 1/256 of the exact one, apart from
    /// underflow. The distance is negated so that a comparison "at most" is true only for lanes
    /// that are certainly too far, and never for NaN.
    ///
    /// ```
    /// use half::bf16;
    /// use ivf_cpu::kernels::{BLOCK, Distance, L1, L2};
    /// use ivf_cpu::simd::{Scalar, Simd};
    ///
    /// // Every vector is (3, 4), and the query is the origin: the exact distance is 25.
    /// let block = [[bf16::from_f32(3.0); BLOCK], [bf16::from_f32(4.0); BLOCK]];
    /// let [most, _] = L2.most_negated(Scalar, &[0.0, 0.0], &block).ok_or("L2 has a bound")?;
    /// let most = Scalar.to_array(most)[0];
    /// assert!((-25.0..-24.0).contains(&most));
    /// // So no vector of the block can be within a distance of 24.
    /// assert_eq!(Scalar.at_most(Scalar.splat(most), -24.0), 0xffff);
    ///
    /// assert!(L1.most_negated(Scalar, &[0.0, 0.0], &block).is_none());
    /// # Ok::<(), &str>(())
    /// ```
    #[inline(always)]
    fn most_negated<S: Simd>(self, _simd: S, _query: &[f32], _block: &[[bf16; BLOCK]]) -> Option<[S::F32; 2]> {
        None
    }

    /// Returns the distance between a query and a vector.
    #[inline(always)]
    fn between(self, query: &[f32], vector: impl Iterator<Item = f32>) -> f32 {
        self.finish(query.iter().zip(vector).fold(Self::Sum::default(), |sum, (&q, x)| self.step(sum, q, x)))
    }
}

/// A block of vectors whose coordinates load as registers: those of a dimension, of 16 vectors at a
/// time. The vectors may be coded.
///
/// ```
/// use ivf_cpu::kernels::{BLOCK, Columns, Distance, L2};
/// use ivf_cpu::simd::{LANES, Scalar, Simd};
///
/// /// Vectors in bytes, one for each coordinate, which count tenths.
/// #[derive(Clone, Copy)]
/// struct Tenths<'a>(&'a [[u8; BLOCK]]);
///
/// impl Columns for Tenths<'_> {
///     fn dim(self) -> usize {
///         self.0.len()
///     }
///
///     #[inline(always)]
///     fn load<S: Simd>(self, simd: S, d: usize, half: usize) -> S::F32 {
///         let bytes = simd.load_u8(&self.0[d].as_chunks::<LANES>().0[half]);
///         simd.mul_add(bytes, simd.splat(0.1), simd.splat(0.0))
///     }
/// }
///
/// let block = Tenths(&[[30; BLOCK], [5; BLOCK]]);
/// let [[low, _high]] = L2.distances::<_, _, 1, 2>(Scalar, [&[1.0, 0.5]], block, 0);
/// assert_eq!((block.dim(), Scalar.to_array(low)[0]), (2, 4.0));
///
/// // Columns of any element type are such a block.
/// let columns = &[[2_i8; BLOCK]][..];
/// assert_eq!(Scalar.to_array(columns.load(Scalar, 0, 1)), [2.0; LANES]);
/// ```
pub trait Columns: Copy {
    /// Returns the number of dimensions.
    fn dim(self) -> usize;

    /// Returns dimension `d` of the 16 vectors from number `LANES * half` on.
    ///
    /// # Panics
    /// If the block has no such dimension or vectors.
    fn load<S: Simd>(self, simd: S, d: usize, half: usize) -> S::F32;
}

impl<T: Lane> Columns for &[[T; BLOCK]] {
    #[inline(always)]
    fn dim(self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn load<S: Simd>(self, simd: S, d: usize, half: usize) -> S::F32 {
        T::load(simd, &self[d].as_chunks::<LANES>().0[half])
    }
}

macro_rules! distances {
    ($($(#[$doc:meta])* $name:ident, $sum:ty, |$self:ident, $acc:ident, $q:ident, $x:ident| $step:expr, $finish:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Distance for $name {
            type Sum = $sum;

            #[inline(always)]
            fn step($self, $acc: $sum, $q: f32, $x: f32) -> $sum {
                $step
            }

            #[inline(always)]
            fn finish(self, sum: $sum) -> f32 {
                let finish: fn($sum) -> f32 = $finish;
                finish(sum)
            }
        }
    )*};
}

/// Maximum relative error of rounding to 8 bits of significand: half of the last place.
const HALF: f32 = 1.0 / 256.0;

/// Returns an upper bound of the joint rounding error of folds over `dim` dimensions, relative to
/// the sum of the absolute values of all terms. It covers one exact fold and two folds of a first
/// pass, with three roundings for each dimension.
#[inline(always)]
fn rounding(dim: usize) -> f32 {
    (8 * (dim + 8)) as f32 * (f32::EPSILON / 2.0)
}

/// Checks that all vectors have the same dimension, and returns it.
#[inline(always)]
fn same_dim<T>(queries: &[&[f32]; LANES], rows: &[&[T]; LANES]) -> usize {
    let dim = queries[0].len();
    let same = queries.iter().all(|query| query.len() == dim) && rows.iter().all(|row| row.len() == dim);
    assert!(same, "vectors of the same dimension");
    dim
}

/// Returns coordinates `d..d + 16` of 16 vectors, with one register for each coordinate.
#[inline(always)]
fn transposed<S: Simd, T: Lane>(simd: S, vectors: &[&[T]; LANES], d: usize) -> [S::F32; LANES] {
    let mut registers = [simd.splat(0.0); LANES];
    for i in 0..LANES {
        registers[i] = T::load(simd, vectors[i][d..].first_chunk().expect("16 more"));
    }
    simd.transpose(registers)
}

/// Returns the last coordinates, from `d` on, of vectors that have fewer than 16 left. Registers
/// without a coordinate have unspecified contents.
#[inline(always)]
fn last_transposed<S: Simd, T: Lane>(simd: S, vectors: &[&[T]; LANES], d: usize) -> [S::F32; LANES] {
    let mut ends = [[T::from_f32(0.0); LANES]; LANES];
    for i in 0..LANES {
        let end = &vectors[i][d..];
        ends[i][..end.len()].copy_from_slice(end);
    }
    transposed(simd, &ends.each_ref().map(<[T; LANES]>::as_slice), 0)
}

/// Implements `distances` and `of_pairs` from one step in registers. The compiler keeps the
/// sums of a tile in registers, and each column is loaded once for all queries. Pairs are
/// transposed, 16 dimensions at a time.
macro_rules! steps_in_registers {
    ($simd:ident, $sum:ident, $q:ident, $x:ident => $step:expr) => {
        #[inline(always)]
        fn distances<S: Simd, C: Columns, const Q: usize, const H: usize>(
            self,
            $simd: S,
            queries: [&[f32]; Q],
            block: C,
            half: usize,
        ) -> [[S::F32; H]; Q] {
            // Shows the compiler once that the lengths are equal.
            let dim = block.dim();
            let mut queries = queries;
            for query in &mut queries {
                *query = &query[..dim];
            }
            let mut sums = [[$simd.splat(0.0); H]; Q];
            for d in 0..dim {
                let mut columns = [$simd.splat(0.0); H];
                for h in 0..H {
                    columns[h] = block.load($simd, d, half + h);
                }
                for q in 0..Q {
                    let $q = $simd.splat(queries[q][d]);
                    for h in 0..H {
                        let ($sum, $x) = (&sums[q][h], columns[h]);
                        sums[q][h] = $step;
                    }
                }
            }
            sums
        }

        #[inline(always)]
        fn of_pairs<S: Simd, T: Lane>(self, $simd: S, queries: [&[f32]; LANES], rows: [&[T]; LANES]) -> [f32; LANES] {
            let dim = same_dim(&queries, &rows);
            let (mut sums, mut start) = ($simd.splat(0.0), 0);
            while start + LANES <= dim {
                let (queries, rows) = (transposed($simd, &queries, start), transposed($simd, &rows, start));
                for d in 0..LANES {
                    let ($sum, $q, $x) = (&sums, queries[d], rows[d]);
                    sums = $step;
                }
                start += LANES;
            }
            if start < dim {
                let (queries, rows) = (last_transposed($simd, &queries, start), last_transposed($simd, &rows, start));
                for d in 0..dim - start {
                    let ($sum, $q, $x) = (&sums, queries[d], rows[d]);
                    sums = $step;
                }
            }
            $simd.to_array(sums)
        }

        #[inline(always)]
        fn of_rows<S: Simd, T: Lane>(self, $simd: S, query: &[f32], rows: [&[T]; LANES]) -> [f32; LANES] {
            let dim = same_dim(&[query; LANES], &rows);
            let (mut sums, mut start) = ($simd.splat(0.0), 0);
            while start < dim {
                let count = LANES.min(dim - start);
                let rows =
                    if count == LANES { transposed($simd, &rows, start) } else { last_transposed($simd, &rows, start) };
                for d in 0..count {
                    let ($sum, $q, $x) = (&sums, $simd.splat(query[start + d]), rows[d]);
                    sums = $step;
                }
                start += count;
            }
            $simd.to_array(sums)
        }
    };
}

/// Squared Euclidean distance.
#[derive(Clone, Copy, Debug)]
pub struct L2;

impl Distance for L2 {
    type Sum = f32;
    const IN_REGISTERS: bool = true;
    const BY_PRODUCT: Option<(f64, f64)> = Some((1.0, 2.0));

    #[inline(always)]
    fn step(self, sum: f32, q: f32, x: f32) -> f32 {
        let d = q - x;
        d.mul_add(d, sum)
    }

    #[inline(always)]
    fn finish(self, sum: f32) -> f32 {
        sum
    }

    steps_in_registers!(simd, sum, q, x => {
        // `x - q` has the same square as `q - x`, and lets the query's coordinate come straight
        // from memory as the second operand.
        let d = simd.sub(x, q);
        simd.mul_add(d, d, *sum)
    });

    /// Uses `(q - x)^2 >= (q - h)^2 - 2 |q - h| |x - h|` for each dimension, where `h` is the
    /// rounded coordinate.
    #[inline(always)]
    fn most_negated<S: Simd>(self, simd: S, query: &[f32], block: &[[bf16; BLOCK]]) -> Option<[S::F32; 2]> {
        let query = &query[..block.len()];
        let mut squares = [simd.splat(0.0); 2];
        let mut products = squares;
        for (&q, column) in query.iter().zip(block) {
            let q = simd.splat(q);
            for (half, lanes) in column.as_chunks::<LANES>().0.iter().enumerate() {
                let h = simd.load_bf16(lanes);
                let d = simd.sub(h, q);
                squares[half] = simd.mul_add(d, d, squares[half]);
                products[half] = simd.mul_add(simd.abs(d), simd.abs(h), products[half]);
            }
        }
        let rounding = rounding(block.len());
        let (square, product) = (simd.splat(1.0 - rounding), simd.splat(2.0 * (HALF + rounding)));
        Some(std::array::from_fn(|half| {
            simd.neg_mul_add(square, squares[half], simd.mul_add(product, products[half], simd.splat(0.0)))
        }))
    }
}

distances! {
    /// Sum of absolute differences.
    L1, f32, |self, sum, q, x| sum + (q - x).abs(), |sum| sum;
    /// Largest absolute difference.
    Linf, f32, |self, sum, q, x| sum.max((q - x).abs()), |sum| sum;
    /// Sum of relative differences.
    Canberra, f32, |self, sum, q, x| {
        let total = q.abs() + x.abs();
        if total > 0.0 { sum + (q - x).abs() / total } else { sum }
    }, |sum| sum;
    /// Sum of absolute differences over sum of absolute sums.
    BrayCurtis, [f32; 2], |self, sum, q, x| [sum[0] + (q - x).abs(), sum[1] + (q + x).abs()],
        |[differences, sums]| if sums > 0.0 { differences / sums } else { 0.0 };
    /// Half the sum of the divergences from the mean distribution.
    JensenShannon, f32, |self, sum, q, x| {
        let mean = (q + x) * 0.5;
        let term = |v: f32| if v > 0.0 { v * (v / mean).ln() } else { 0.0 };
        sum + (term(q) + term(x))
    }, |sum| sum * 0.5;
    /// Negated ratio of the sum of minima to the sum of maxima.
    Jaccard, [f32; 2], |self, sum, q, x| [sum[0] + q.min(x), sum[1] + q.max(x)],
        |[minima, maxima]| if maxima == 0.0 { 0.0 } else { -(minima / maxima) };
}

/// Negated inner product: each step subtracts a product, rounded once.
#[derive(Clone, Copy, Debug)]
pub struct InnerProduct;

impl Distance for InnerProduct {
    type Sum = f32;
    const IN_REGISTERS: bool = true;
    const BY_PRODUCT: Option<(f64, f64)> = Some((0.0, 1.0));

    #[inline(always)]
    fn step(self, sum: f32, q: f32, x: f32) -> f32 {
        (-q).mul_add(x, sum)
    }

    #[inline(always)]
    fn finish(self, sum: f32) -> f32 {
        sum
    }

    steps_in_registers!(simd, sum, q, x => simd.neg_mul_add(q, x, *sum));

    /// Uses `q x <= q h + |q| |x - h|` for each dimension, where `h` is the rounded coordinate.
    #[inline(always)]
    fn most_negated<S: Simd>(self, simd: S, query: &[f32], block: &[[bf16; BLOCK]]) -> Option<[S::F32; 2]> {
        let query = &query[..block.len()];
        let mut products = [simd.splat(0.0); 2];
        let mut sizes = products;
        for (&q, column) in query.iter().zip(block) {
            let (q, size) = (simd.splat(q), simd.splat(q.abs()));
            for (half, lanes) in column.as_chunks::<LANES>().0.iter().enumerate() {
                let h = simd.load_bf16(lanes);
                products[half] = simd.mul_add(q, h, products[half]);
                sizes[half] = simd.mul_add(size, simd.abs(h), sizes[half]);
            }
        }
        let share = simd.splat(HALF + rounding(block.len()));
        Some(std::array::from_fn(|half| simd.mul_add(share, sizes[half], products[half])))
    }
}

/// Sum of absolute differences to the power `p`.
#[derive(Clone, Copy, Debug)]
pub struct Lp {
    /// The power.
    pub p: f32,
}

impl Distance for Lp {
    type Sum = f32;

    #[inline(always)]
    fn step(self, sum: f32, q: f32, x: f32) -> f32 {
        sum + (q - x).abs().powf(self.p)
    }

    #[inline(always)]
    fn finish(self, sum: f32) -> f32 {
        sum
    }
}

/// Code that runs with the distance of a metric that is known only at run time.
///
/// ```
/// use ivf_core::Metric;
/// use ivf_cpu::kernels::{Distance, Visitor, with_distance};
///
/// #[derive(Clone, Copy)]
/// struct Between<'a>(&'a [f32], &'a [f32]);
///
/// impl Visitor for Between<'_> {
///     type Output = f32;
///
///     fn visit<D: Distance>(self, distance: D) -> f32 {
///         distance.between(self.0, self.1.iter().copied())
///     }
/// }
///
/// let pair = Between(&[1.0, 0.0], &[4.0, 4.0]);
/// let metrics = [Metric::L2, Metric::L1, Metric::Linf, Metric::InnerProduct];
/// assert_eq!(metrics.map(|metric| with_distance(metric, pair)), [25.0, 7.0, 4.0, -4.0]);
/// ```
pub trait Visitor {
    /// Type of the result.
    type Output;
    /// Runs the code.
    fn visit<D: Distance>(self, distance: D) -> Self::Output;
}

/// Calls `visitor` with the distance of a metric. This is the only place that turns a metric into a
/// type, and it is outside every loop.
///
/// `Cosine` has no distance of its own: vectors are normalised beforehand, so it uses the inner
/// product.
pub fn with_distance<V: Visitor>(metric: Metric, visitor: V) -> V::Output {
    match metric {
        Metric::L2 => visitor.visit(L2),
        Metric::InnerProduct | Metric::Cosine => visitor.visit(InnerProduct),
        Metric::L1 => visitor.visit(L1),
        Metric::Linf => visitor.visit(Linf),
        Metric::Lp(p) => visitor.visit(Lp { p }),
        Metric::Canberra => visitor.visit(Canberra),
        Metric::BrayCurtis => visitor.visit(BrayCurtis),
        Metric::JensenShannon => visitor.visit(JensenShannon),
        Metric::Jaccard => visitor.visit(Jaccard),
        other => unreachable!("a metric without a distance: {other}"),
    }
}
