//! Exact search for the nearest of a set of packed vectors, without storing the matrix of all
//! distances.

use crate::kernels::{BLOCK, Distance, PackedRows, Visitor, scan, with_distance};
use crate::simd::{Kernel, Level, Simd};
use ivf_core::executor::{Executor, map_items};
use ivf_core::{Metric, Rows};

/// Number of rows that one task of a parallel loop handles.
const CHUNK: usize = 256;

/// Finds, for each row, the nearest vector of `packed` by the inner distance of the metric. Writes
/// its number and the distance. Of equally near vectors, the lowest number wins. A row whose
/// distances are all NaN (overflow) gets number 0.
///
/// ```
/// use ivf_core::{Metric, Rows};
/// use ivf_cpu::RayonGlobal;
/// use ivf_cpu::coarse::nearest;
/// use ivf_cpu::kernels::PackedRows;
///
/// let packed = PackedRows::new(Rows::new(&[0.0, 10.0, 20.0], 1)?);
/// let (mut numbers, mut distances) = ([0; 2], [0.0; 2]);
/// nearest(Rows::new(&[12.0, 5.0], 1)?, &packed, Metric::L2, &RayonGlobal, &mut numbers, &mut distances);
/// assert_eq!((numbers, distances), ([1, 0], [4.0, 25.0]));
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
///
/// # Panics
/// If `packed` is empty or has another dimension, or if the outputs do not have one element per
/// row.
pub fn nearest(
    rows: Rows<'_, f32>,
    packed: &PackedRows,
    metric: Metric,
    executor: &dyn Executor,
    numbers: &mut [u32],
    distances: &mut [f32],
) {
    assert!(!packed.is_empty() && packed.dim() == rows.dim(), "packed vectors of the rows' dimension");
    assert!(numbers.len() == rows.len() && distances.len() == rows.len(), "one output per row");
    let jobs: Vec<_> = numbers.chunks_mut(CHUNK).zip(distances.chunks_mut(CHUNK)).collect();
    map_items(executor, jobs, |job, (numbers, distances)| {
        let rows = rows.slice(job * CHUNK..job * CHUNK + numbers.len());
        with_distance(metric, Run { rows, work: Nearest { packed, numbers, distances } });
    });
}

/// Returns, for each row, the numbers of the `k` nearest vectors of `packed` and their inner
/// distances, as `n x k` values in rows of `k`. The nearest is first; equally near vectors are
/// ordered by number. NaN distances (overflow) come last, as infinity, so every row gets `k`
/// results.
///
/// ```
/// use ivf_core::executor::Inline;
/// use ivf_core::{Metric, Rows};
/// use ivf_cpu::coarse::nearest_many;
/// use ivf_cpu::kernels::PackedRows;
///
/// let packed = PackedRows::new(Rows::new(&[0.0, 10.0, 20.0], 1)?);
/// let (numbers, distances) = nearest_many(Rows::new(&[12.0, 1.0], 1)?, &packed, Metric::L1, 2, &Inline);
/// assert_eq!(numbers, [1, 2, 0, 1]);
/// assert_eq!(distances, [2.0, 8.0, 1.0, 9.0]);
/// # Ok::<(), ivf_core::RowsError>(())
/// ```
///
/// # Panics
/// If the dimensions differ, or if `k` is zero or more than the number of packed vectors.
pub fn nearest_many(
    rows: Rows<'_, f32>,
    packed: &PackedRows,
    metric: Metric,
    k: usize,
    executor: &dyn Executor,
) -> (Vec<u32>, Vec<f32>) {
    assert!((1..=packed.len()).contains(&k) && packed.dim() == rows.dim(), "k packed vectors of the rows' dimension");
    let (mut numbers, mut distances) = (vec![0; rows.len() * k], vec![0.0; rows.len() * k]);
    let jobs: Vec<_> = numbers.chunks_mut(CHUNK * k).zip(distances.chunks_mut(CHUNK * k)).collect();
    map_items(executor, jobs, |job, (numbers, distances)| {
        let rows = rows.slice(job * CHUNK..job * CHUNK + numbers.len() / k);
        with_distance(metric, Run { rows, work: NearestMany { packed, k, numbers, distances } });
    });
    (numbers, distances)
}

/// Work on rows, generic over the distance and the instruction set.
trait Work {
    fn run<S: Simd, D: Distance>(self, simd: S, distance: D, rows: &[&[f32]]);
}

struct Run<'a, W> {
    rows: Rows<'a, f32>,
    work: W,
}

impl<W: Work> Visitor for Run<'_, W> {
    type Output = ();

    fn visit<D: Distance>(self, distance: D) {
        let rows: Vec<&[f32]> = self.rows.iter().collect();
        Level::get().run(WithDistance { distance, rows: &rows, work: self.work });
    }
}

struct WithDistance<'a, D, W> {
    distance: D,
    rows: &'a [&'a [f32]],
    work: W,
}

impl<D: Distance, W: Work> Kernel for WithDistance<'_, D, W> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.work.run(simd, self.distance, self.rows);
    }
}

/// Returns the mask of the lanes of block `b` that hold vectors.
#[inline(always)]
fn valid(packed: &PackedRows, b: usize) -> u32 {
    let lanes = packed.len() - b * BLOCK;
    if lanes >= BLOCK { u32::MAX } else { (1 << lanes) - 1 }
}

struct Nearest<'a> {
    packed: &'a PackedRows,
    numbers: &'a mut [u32],
    distances: &'a mut [f32],
}

impl Work for Nearest<'_> {
    #[inline(always)]
    fn run<S: Simd, D: Distance>(self, simd: S, distance: D, rows: &[&[f32]]) {
        let Self { packed, numbers, distances } = self;
        numbers.fill(0);
        distances.fill(f32::INFINITY);
        let mut thresholds = vec![f32::MAX; rows.len()];
        scan(simd, distance, packed.dim(), rows, &mut thresholds, packed.columns(), |near| {
            let best = &mut distances[near.query];
            for (lane, distance) in near.hits(valid(packed, near.block)) {
                // Numbers ascend, so a strict comparison keeps the lowest of equals.
                if distance < *best {
                    *best = distance;
                    numbers[near.query] = (near.block * BLOCK + lane) as u32;
                }
            }
            best.next_down()
        });
    }
}

struct NearestMany<'a> {
    packed: &'a PackedRows,
    k: usize,
    numbers: &'a mut [u32],
    distances: &'a mut [f32],
}

impl Work for NearestMany<'_> {
    #[inline(always)]
    fn run<S: Simd, D: Distance>(self, simd: S, distance: D, rows: &[&[f32]]) {
        let Self { packed, k, numbers, distances } = self;
        let mut best = vec![Smallest::new(k); rows.len()];
        let mut thresholds = vec![f32::MAX; rows.len()];
        scan(simd, distance, packed.dim(), rows, &mut thresholds, packed.columns(), |near| {
            let best = &mut best[near.query];
            for (lane, distance) in near.hits(valid(packed, near.block)) {
                best.push(distance, (near.block * BLOCK + lane) as u32);
            }
            best.threshold
        });
        for ((best, numbers), distances) in best.iter_mut().zip(numbers.chunks_mut(k)).zip(distances.chunks_mut(k)) {
            best.sort();
            let found = best.keys.len();
            for ((&key, number), distance) in best.keys.iter().zip(&mut *numbers).zip(&mut *distances) {
                (*distance, *number) = split_key(key);
            }
            if found < k {
                let mut named = vec![false; packed.len()];
                numbers[..found].iter().for_each(|&no| named[no as usize] = true);
                let unnamed = (0..packed.len() as u32).filter(|&no| !named[no as usize]);
                numbers[found..].iter_mut().zip(unnamed).for_each(|(number, no)| *number = no);
                distances[found..].fill(f32::INFINITY);
            }
        }
    }
}

/// The `k` smallest (distance, number) pairs. Each is stored as one integer with the same order.
#[derive(Clone)]
pub(super) struct Smallest {
    k: usize,
    threshold: f32,
    keys: Vec<u64>,
}

impl Smallest {
    pub(super) fn new(k: usize) -> Self {
        Self { k, threshold: f32::MAX, keys: Vec::new() }
    }

    pub(super) fn clear(&mut self) {
        self.threshold = f32::MAX;
        self.keys.clear();
    }

    /// Returns the distance beyond which no pair is among the smallest.
    #[inline(always)]
    pub(super) fn threshold(&self) -> f32 {
        self.threshold
    }

    /// Returns the pairs as integers, for [`split_key`].
    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    #[inline(always)]
    pub(super) fn push(&mut self, distance: f32, number: u32) {
        self.keys.push(key(distance, number));
        if self.keys.len() >= 2 * self.k + 16 {
            self.cut();
        }
    }

    #[cold]
    fn cut(&mut self) {
        if self.keys.len() > self.k {
            let (_, &mut kth, _) = self.keys.select_nth_unstable(self.k - 1);
            self.keys.truncate(self.k);
            self.threshold = split_key(kth).0;
        }
    }

    pub(super) fn sort(&mut self) {
        self.cut();
        self.keys.sort_unstable();
    }
}

/// Packs a distance (not NaN) into the upper half and a number into the lower half, preserving the
/// order. The bits of floats sort like integers if all bits of negative values, and the sign bit of
/// the others, are inverted. -0 and 0 are equal distances.
#[inline(always)]
fn key(distance: f32, number: u32) -> u64 {
    let bits = (distance + 0.0).to_bits();
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(ordered) << 32 | u64::from(number)
}

/// Unpacks the distance and the number of a key.
#[inline(always)]
pub(super) fn split_key(key: u64) -> (f32, u32) {
    let ordered = (key >> 32) as u32;
    let bits = if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered };
    (f32::from_bits(bits), key as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_distances_then_numbers() {
        let distances = [f32::NEG_INFINITY, -3.5, -1e-40, -0.0, 0.0, 1e-40, 2.0, f32::MAX, f32::INFINITY];
        for (a, &x) in distances.iter().enumerate() {
            assert_eq!(split_key(key(x, 7)), (x, 7));
            for &y in &distances[a..] {
                assert_eq!(key(x, 1) < key(y, 1), x < y, "{x} {y}");
                assert!(key(x, 1) < key(y, 2));
            }
        }
    }
}
