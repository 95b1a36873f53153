//! Eigenvectors of symmetric matrices, in `f64`.
//!
//! Householder's reduction to a tridiagonal matrix, then the implicit QL iteration (Wilkinson and
//! Reinsch, "Handbook for Automatic Computation II: Linear Algebra", 1971, II/1 to II/4). The
//! result does not depend on the number of threads or on the instruction set: no step is a fused
//! multiply-add, sums have a fixed order, and the only functions are square roots, which IEEE 754
//! rounds correctly.

use ivf_core::error::{Cancelled, TrainError};
use ivf_core::executor::map_items;
use ivf_core::{Cancel, TrainOptions};
use ivf_cpu::executor_for;
use ivf_cpu::simd::{Kernel, Level, Simd};

/// Number of sums that a dot product keeps side by side.
const SUMS: usize = 16;
/// Number of matrix rows in one task of the reduction.
const ROWS: usize = 64;
/// Number of columns that the rotations of a QL sweep pass over together: 32 of them, of a matrix
/// of 1,152 rows, fit the second-level cache.
const PANEL: usize = 32;
/// Number of eigenvectors that are transformed back together.
const VECTORS: usize = 16;
/// Maximum number of rotations that are gathered before they are applied.
const GATHERED: usize = 1 << 18;
/// Maximum number of QL sweeps for one eigenvalue. Two are usual.
const SWEEPS: usize = 60;

/// Sum of squares that counts as zero in a matrix whose largest number is about 1. Sums of squares
/// that are not far above the least float would be inaccurate.
const NOTHING: f64 = 1e-200;

/// Largest eigenvalues of a symmetric matrix, descending, and their eigenvectors.
#[derive(Debug)]
pub(super) struct Eigen {
    pub(super) values: Vec<f64>,
    /// The eigenvectors, row after row.
    pub(super) vectors: Vec<f64>,
}

/// Returns the memory of [`eigen`] in bytes, besides the matrix, for `n` rows.
pub(super) fn memory(n: usize) -> usize {
    // The rotated unit vectors, the chosen ones of them, a panel for each thread, rotations.
    (2 * n * n + 8 * n * PANEL + 8 * n) * size_of::<f64>() + (gathered(n) + n) * size_of::<Rotation>()
}

/// Computes the `count` largest eigenvalues of a symmetric matrix of `n` rows, and their
/// eigenvectors. The matrix is overwritten. Equal eigenvalues are in a fixed order, and their
/// eigenvectors are orthonormal.
///
/// Thousands of rows take minutes, so each step checks whether the caller has cancelled.
///
/// # Errors
/// [`TrainError::Cancelled`] if the caller has cancelled.
///
/// # Panics
/// If the matrix is not `n x n`, or there are fewer than `count` eigenvalues.
pub(super) fn eigen(
    matrix: &mut [f64],
    n: usize,
    count: usize,
    options: &TrainOptions<'_>,
) -> Result<Eigen, TrainError> {
    assert!(matrix.len() == n * n && count <= n && n > 0, "a square matrix");
    let largest = matrix.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    if largest > 0.0 {
        // A power of two changes no significand.
        let scale = power_of_two(-exponent(largest));
        matrix.iter_mut().for_each(|x| *x *= scale);
    }
    let Tridiagonal { mut diagonal, mut beside, factors } = reduce(matrix, n, options)?;
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    ql(&mut diagonal, &mut beside, options, |rotations| rotate(&mut vectors, n, rotations, options))?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    order.truncate(count);
    let mut chosen = Vec::with_capacity(count * n);
    order.iter().for_each(|&i| chosen.extend_from_slice(&vectors[i * n..][..n]));
    let jobs: Vec<&mut [f64]> = chosen.chunks_mut(VECTORS * n).collect();
    let done = map_items(executor_for(options.executor, count * n * n), jobs, |_, vectors| -> Result<(), Cancelled> {
        Cancel::check(options.cancel)?;
        Level::get().run(Back { reflectors: matrix, factors: &factors, n, vectors });
        Ok(())
    });
    done.into_iter().collect::<Result<(), Cancelled>>()?;
    let back = if largest > 0.0 { power_of_two(exponent(largest)) } else { 1.0 };
    Ok(Eigen { values: order.into_iter().map(|i| diagonal[i] * back).collect(), vectors: chosen })
}

/// Returns the exponent of a positive number: `2^exponent <= x < 2^(exponent + 1)`.
pub(super) fn exponent(x: f64) -> i32 {
    ((x.to_bits() >> 52) as i32 & 0x7ff).max(1) - 1023
}

/// Returns `2^exponent`, for exponents of normal numbers; other exponents are cut to these.
pub(super) fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent.clamp(-1022, 1023) + 1023) as u64) << 52)
}

/// A tridiagonal matrix, and the factors of the reflections that lead to it.
struct Tridiagonal {
    diagonal: Vec<f64>,
    /// The number beside each diagonal element, to the right; the last is zero.
    beside: Vec<f64>,
    factors: Vec<f64>,
}

/// Reduces a symmetric matrix. Afterwards, row `k` holds, right of the diagonal, the vector of
/// reflection `k`, which is `I - factor v v^T`.
fn reduce(matrix: &mut [f64], n: usize, options: &TrainOptions<'_>) -> Result<Tridiagonal, TrainError> {
    let (mut diagonal, mut beside, mut factors) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    // The update that is still due on the rows from `k` on, `- v w^T - w v^T`.
    let (mut v, mut w) = (vec![0.0; n], vec![0.0; n]);
    let mut next = vec![0.0; n];
    for k in 0..n {
        options.check_cancel()?;
        let (done, rest) = matrix.split_at_mut((k + 1) * n);
        let row = &mut done[k * n..];
        for j in k..n {
            row[j] -= v[k] * w[j] + w[k] * v[j];
        }
        diagonal[k] = row[k];
        if k + 1 == n {
            break;
        }
        let (factor, number) = reflection(&mut row[k + 1..]);
        (factors[k], beside[k]) = (factor, number);
        next[k + 1..].copy_from_slice(&row[k + 1..]);
        let left = n - k - 1;
        let mut products = vec![0.0; left];
        let jobs: Vec<_> = rest.chunks_mut(ROWS * n).zip(products.chunks_mut(ROWS)).collect();
        let (v_of, w_of, next_of) = (&v[k + 1..], &w[k + 1..], &next[k + 1..]);
        map_items(executor_for(options.executor, 4 * left * left), jobs, |job, (rows, products)| {
            let [first, from] = [job * ROWS, k + 1];
            Level::get().run(Update { rows, n, from, first, v: v_of, w: w_of, next: next_of, products });
        });
        // w = factor (A v - (factor v^T A v / 2) v)
        let inner: f64 = products.iter().zip(next_of).map(|(p, v)| p * v).sum();
        let half = 0.5 * factor * inner;
        for i in 0..left {
            let product = products[i] - half * next[k + 1 + i];
            w[k + 1 + i] = factor * product;
        }
        std::mem::swap(&mut v, &mut next);
    }
    Ok(Tridiagonal { diagonal, beside, factors })
}

/// Replaces a vector `x` by the vector `v` of the reflection that maps `x` to a multiple of the
/// first unit vector. Returns the factor of the reflection and that multiple.
fn reflection(x: &mut [f64]) -> (f64, f64) {
    let tail: f64 = x[1..].iter().map(|x| x * x).sum();
    if tail < NOTHING {
        let first = x[0];
        x.fill(0.0);
        return (0.0, first);
    }
    let norm = (x[0] * x[0] + tail).sqrt();
    let target = if x[0] > 0.0 { -norm } else { norm };
    let first = x[0] - target;
    x[0] = 1.0;
    x[1..].iter_mut().for_each(|x| *x /= first);
    (-first / target, target)
}

/// The sum of products, in a fixed order that lets several run side by side.
#[inline(always)]
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; SUMS];
    let (a_chunks, a_rest) = a.as_chunks::<SUMS>();
    let (b_chunks, b_rest) = b.as_chunks::<SUMS>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..SUMS {
            sums[i] += a[i] * b[i];
        }
    }
    for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[i] += a * b;
    }
    sums.iter().sum()
}

/// Adds a multiple of a vector to another one.
#[inline(always)]
pub(super) fn add(out: &mut [f64], factor: f64, vector: &[f64]) {
    for (out, x) in out.iter_mut().zip(vector) {
        *out += factor * x;
    }
}

/// The due update of some rows, and their products with the next vector.
struct Update<'a> {
    rows: &'a mut [f64],
    n: usize,
    /// Number of the first column.
    from: usize,
    /// Number of the first of the rows, counted from `from` on.
    first: usize,
    v: &'a [f64],
    w: &'a [f64],
    next: &'a [f64],
    products: &'a mut [f64],
}

impl Kernel for Update<'_> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { rows, n, from, first, v, w, next, products } = self;
        for (i, (row, product)) in rows.chunks_exact_mut(n).zip(products).enumerate() {
            let row = &mut row[from..];
            let (v_i, w_i) = (v[first + i], w[first + i]);
            for ((x, v), w) in row.iter_mut().zip(v).zip(w) {
                *x -= v_i * w + w_i * v;
            }
            *product = dot(row, next);
        }
    }
}

/// Returns the number of rotations that are gathered for a matrix of `n` rows.
fn gathered(n: usize) -> usize {
    GATHERED.min(n * n)
}

/// A rotation of two consecutive rows: `i` and `i + 1`.
#[derive(Clone, Copy, Debug)]
struct Rotation {
    i: usize,
    cosine: f64,
    sine: f64,
}

/// Returns the length of a vector of two coordinates.
fn length(a: f64, b: f64) -> f64 {
    let (a, b) = (a.abs(), b.abs());
    let (long, short) = if a > b { (a, b) } else { (b, a) };
    if long == 0.0 { 0.0 } else { long * (1.0 + (short / long) * (short / long)).sqrt() }
}

/// Finds the eigenvalues of a tridiagonal matrix, which replace its diagonal. Hands out the
/// rotations of the eigenvectors, many at a time.
fn ql(
    diagonal: &mut [f64],
    beside: &mut [f64],
    options: &TrainOptions<'_>,
    mut rotate: impl FnMut(&[Rotation]) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let n = diagonal.len();
    let most = gathered(n);
    let mut rotations = Vec::with_capacity(most + n);
    let largest = diagonal.iter().chain(&*beside).fold(0.0_f64, |largest, x| largest.max(x.abs()));
    // A number so small that it changes no eigenvalue, even if its neighbours are zero.
    let nothing = largest * f64::EPSILON * f64::EPSILON;
    for l in 0..n {
        options.check_cancel()?;
        for _ in 0..SWEEPS {
            let splits =
                |m: &usize| beside[*m].abs() <= f64::EPSILON * (diagonal[*m].abs() + diagonal[m + 1].abs()) + nothing;
            let m = (l..n - 1).find(splits).unwrap_or(n - 1);
            if m == l {
                break;
            }
            let ratio = (diagonal[l + 1] - diagonal[l]) / (2.0 * beside[l]);
            let root = length(ratio, 1.0);
            let mut g = diagonal[m] - diagonal[l] + beside[l] / (ratio + if ratio < 0.0 { -root } else { root });
            let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
            let mut is_whole = true;
            for i in (l..m).rev() {
                let (f, b) = (sine * beside[i], cosine * beside[i]);
                let r = length(f, g);
                beside[i + 1] = r;
                if r == 0.0 {
                    // The matrix falls apart here.
                    diagonal[i + 1] -= shift;
                    beside[m] = 0.0;
                    is_whole = false;
                    break;
                }
                (sine, cosine) = (f / r, g / r);
                g = diagonal[i + 1] - shift;
                let r = (diagonal[i] - g) * sine + 2.0 * cosine * b;
                shift = sine * r;
                diagonal[i + 1] = g + shift;
                g = cosine * r - b;
                rotations.push(Rotation { i, cosine, sine });
            }
            if is_whole {
                diagonal[l] -= shift;
                beside[l] = g;
                beside[m] = 0.0;
            }
            if rotations.len() >= most {
                rotate(&rotations)?;
                rotations.clear();
            }
        }
    }
    rotate(&rotations)
}

/// Applies rotations to the rows of a matrix. Columns do not depend on one another, so a few of
/// them at a time stay in the cache.
fn rotate(vectors: &mut [f64], n: usize, rotations: &[Rotation], options: &TrainOptions<'_>) -> Result<(), TrainError> {
    let executor = executor_for(options.executor, 4 * rotations.len() * n);
    let panels = n.div_ceil(PANEL);
    // As many panels at a time as there may be threads, so that few copies are there at once.
    let at_once = executor.threads().clamp(1, 8);
    let mut copies = vec![vec![[0.0; PANEL]; n]; at_once.min(panels)];
    for first in (0..panels).step_by(at_once) {
        options.check_cancel()?;
        let jobs: Vec<_> = copies.iter_mut().take(panels - first).collect();
        let source: &[f64] = vectors;
        map_items(executor, jobs, |job, copy| {
            let start = (first + job) * PANEL;
            let end = (start + PANEL).min(n);
            for (row, copy) in source.chunks_exact(n).zip(&mut *copy) {
                copy[..end - start].copy_from_slice(&row[start..end]);
            }
            Level::get().run(Rotate { rows: copy, rotations });
        });
        for (job, copy) in copies.iter().take(panels - first).enumerate() {
            let start = (first + job) * PANEL;
            let end = (start + PANEL).min(n);
            for (row, copy) in vectors.chunks_exact_mut(n).zip(copy) {
                row[start..end].copy_from_slice(&copy[..end - start]);
            }
        }
    }
    Ok(())
}

struct Rotate<'a> {
    rows: &'a mut [[f64; PANEL]],
    rotations: &'a [Rotation],
}

impl Kernel for Rotate<'_> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        for &Rotation { i, cosine, sine } in self.rotations {
            let [a, b] = self.rows[i..].first_chunk_mut().expect("two rows");
            for (a, b) in a.iter_mut().zip(b) {
                let (x, y) = (*a, *b);
                *a = cosine * x - sine * y;
                *b = sine * x + cosine * y;
            }
        }
    }
}

/// The reflections of [`reduce`], from the last to the first, on vectors.
struct Back<'a> {
    reflectors: &'a [f64],
    factors: &'a [f64],
    n: usize,
    vectors: &'a mut [f64],
}

impl Kernel for Back<'_> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { reflectors, factors, n, vectors } = self;
        for k in (0..n - 1).rev() {
            let reflector = &reflectors[k * n..][k + 1..n];
            for vector in vectors.chunks_exact_mut(n) {
                let tail = &mut vector[k + 1..];
                let product = dot(tail, reflector);
                add(tail, -(factors[k] * product), reflector);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::executor::{Executor, Inline};
    use ivf_testkit::executor::Threads;

    /// Returns a symmetric matrix of numbers in -1..1, by a generator of its own.
    fn symmetric(n: usize, seed: u32) -> Vec<f64> {
        let mut matrix = vec![0.0; n * n];
        let mut state = seed;
        for i in 0..n {
            for j in 0..=i {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let x = f64::from(state >> 8) / f64::from(1 << 23) - 1.0;
                (matrix[i * n + j], matrix[j * n + i]) = (x, x);
            }
        }
        matrix
    }

    /// Checks the definition: orthonormal vectors, which the matrix scales.
    fn check(matrix: &[f64], n: usize, count: usize) {
        let options = TrainOptions::new().executor(&Inline);
        let Eigen { values, vectors } = eigen(&mut matrix.to_vec(), n, count, &options).unwrap();
        let size = matrix.iter().fold(0.0_f64, |size, x| size.max(x.abs())) * n as f64;
        let bound = 16.0 * n as f64 * f64::EPSILON;
        assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
        for (i, (a, value)) in vectors.chunks_exact(n).zip(&values).enumerate() {
            for (j, b) in vectors.chunks_exact(n).enumerate() {
                let product: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() <= bound, "{n}: {i}, {j}: {product}");
            }
            for (row, x) in matrix.chunks_exact(n).zip(a) {
                let image: f64 = row.iter().zip(a).map(|(x, y)| x * y).sum();
                assert!((image - value * x).abs() <= bound * size, "{n}: {image} is not {value} times {x}");
            }
        }
        if count == n {
            let trace: f64 = (0..n).map(|i| matrix[i * n + i]).sum();
            assert!((values.iter().sum::<f64>() - trace).abs() <= bound * size);
        }
    }

    #[test]
    fn eigenvectors_of_matrices_of_every_sort() {
        for n in [1, 2, 3, 5, 16, 33, 100] {
            check(&symmetric(n, n as u32), n, n);
            check(&symmetric(n, 7), n, n.div_ceil(3));
            check(&vec![0.0; n * n], n, n);
            // One direction, of every size.
            for scale in [1.0, 1e-300, 1e300] {
                let rank_one: Vec<f64> = (0..n * n).map(|i| scale * ((i / n + 1) * (i % n + 1)) as f64).collect();
                check(&rank_one, n, n);
            }
            // Equal eigenvalues, and a diagonal that is in order already.
            let identity: Vec<f64> = (0..n * n).map(|i| f64::from(u8::from(i / n == i % n))).collect();
            check(&identity, n, n);
            let descending: Vec<f64> = identity.iter().enumerate().map(|(i, x)| x / (1 + i / n) as f64).collect();
            check(&descending, n, n);
            // Eigenvalues of very different sizes.
            let graded: Vec<f64> =
                symmetric(n, 3).iter().enumerate().map(|(i, x)| x * 0.1_f64.powi((i / n + i % n) as i32)).collect();
            check(&graded, n, n);
        }
    }

    #[test]
    fn the_trace_of_a_known_matrix() {
        // The second difference has the eigenvalues 2 - 2 cos(i pi / (n + 1)).
        let n = 20;
        let mut matrix = vec![0.0; n * n];
        for i in 0..n {
            matrix[i * n + i] = 2.0;
            if i + 1 < n {
                (matrix[i * n + i + 1], matrix[(i + 1) * n + i]) = (-1.0, -1.0);
            }
        }
        let found = eigen(&mut matrix, n, n, &TrainOptions::new()).unwrap().values;
        for (i, value) in found.iter().rev().enumerate() {
            let expected = 2.0 - 2.0 * ((i + 1) as f64 * std::f64::consts::PI / (n + 1) as f64).cos();
            assert!((value - expected).abs() <= 1e-14, "{value}, {expected}");
        }
    }

    #[test]
    fn threads_and_instruction_sets_change_no_bit() {
        let n = 150;
        let run = |executor: &dyn Executor| {
            let options = TrainOptions::new().executor(executor);
            let Eigen { values, vectors } = eigen(&mut symmetric(n, 5), n, n, &options).unwrap();
            values.into_iter().chain(vectors).map(f64::to_bits).collect::<Vec<_>>()
        };
        let inline = run(&Inline);
        for threads in [2, 3, 16] {
            assert!(run(&Threads(threads)) == inline, "{threads} threads");
        }
        let rows: Vec<[f64; PANEL]> = (0..8).map(|i| std::array::from_fn(|j| (i * 7 + j) as f64 * 0.1)).collect();
        let rotations: Vec<Rotation> = (0..7).map(|i| Rotation { i, cosine: 0.6, sine: 0.8 }).collect();
        let numbers: Vec<f64> = symmetric(40, 9);
        for level in Level::available() {
            let mut rotated = rows.clone();
            level.run(Rotate { rows: &mut rotated, rotations: &rotations });
            let mut scalar = rows.clone();
            Rotate { rows: &mut scalar, rotations: &rotations }.run(ivf_cpu::simd::Scalar);
            assert_eq!(rotated, scalar, "{level}");
            let updated = |run: &dyn Fn(Update<'_>)| {
                let (mut rows, mut products) = (numbers.clone(), vec![0.0; 40]);
                let (v, w, next) = (&numbers[..39], &numbers[40..79], &numbers[80..119]);
                run(Update {
                    rows: &mut rows[40..],
                    n: 40,
                    from: 1,
                    first: 0,
                    v,
                    w,
                    next,
                    products: &mut products[..39],
                });
                rows.extend(products);
                rows
            };
            let found = updated(&|update| level.run(update));
            assert_eq!(found, updated(&|update| update.run(ivf_cpu::simd::Scalar)), "{level}");
        }
    }

    #[test]
    fn every_stage_can_be_cancelled() {
        let (n, cancel) = (40, Cancel::new());
        let options = TrainOptions::new().cancel(&cancel);
        let mut matrix = symmetric(n, 2);
        let Tridiagonal { mut diagonal, mut beside, .. } = reduce(&mut matrix, n, &options).unwrap();
        cancel.cancel();
        assert!(matches!(reduce(&mut matrix, n, &options), Err(TrainError::Cancelled)));
        assert!(matches!(ql(&mut diagonal, &mut beside, &options, |_| Ok(())), Err(TrainError::Cancelled)));
        assert!(matches!(rotate(&mut matrix, n, &[], &options), Err(TrainError::Cancelled)));
        assert!(matches!(eigen(&mut matrix, n, n, &options), Err(TrainError::Cancelled)));
    }
}
