//! Tables that are computed for each list ahead of all queries: the bytes of a first pass for L2.

use crate::product::{ProductQuantizer, Table};
use crate::tables::{Bytes, Ends, Source, least_and_most, round_down};
use ivf_core::error::Cancelled;
use ivf_core::executor::{map, map_items};
use ivf_core::{Binding, ListNo, Rows};
use ivf_cpu::kernels::{InnerProduct, L2};
use ivf_cpu::simd::{Kernel, Level, Simd};
use ivf_cpu::{column_means, executor_for};

/// Number of lists in one task. It does not depend on the number of threads, and the bytes of a
/// list do not depend on another list's task.
pub(crate) const TASK_LISTS: usize = 64;

/// Maximum number of bytes whose sum fits 16 bits.
const MAX_SUBQUANTIZERS: usize = 257;

/// Largest value of a list's byte. A query's byte uses the range up to 255, at which sums saturate.
const MOST_OF_LIST: u8 = 127;

/// Fraction of the lists whose entries must all fit [`MOST_OF_LIST`]. It sets the quantisation
/// step.
const COVERED: f64 = 0.95;

/// Joint term of a list's centroid and a subquantizer's centroid in an L2 distance, in bytes.
///
/// `c` is the centroid of the list (with the quantizer's mean) and `y` the centroid of the
/// subquantizer. All vectors are relative to the mean `o` of the lists' centroids, where numbers
/// are small:
///
/// ```text
/// |q - (c + y)|^2 = |q - c|^2  +  |y|^2 + 2 (c - o) y  -  2 (q - o) y
///                    start        of the list             of the query
/// ```
///
/// The bytes of the list and of the query are added, 64 at a time. The sums are the tables of the
/// first pass.
#[derive(Debug, PartialEq)]
pub(crate) struct ListTables<const K: usize> {
    subquantizers: usize,
    /// Mean of the lists' centroids.
    middle: Vec<f32>,
    /// Tables, list after list.
    bytes: Vec<Bytes<K>>,
    offsets: Vec<Offsets>,
    /// Value of one unit of a byte.
    step: f64,
    /// Upper bound of the norm of the vector that any code selects.
    longest: f64,
}

/// Terms of a distance that the byte tables omit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Offsets {
    /// Sum of the least entries. (An entry is infinite or NaN only because of large norms, which
    /// [`Ends::size`] includes.)
    low: f64,
    /// Distance from `middle`.
    radius: f64,
}

/// Bytes of a query.
#[derive(Clone, Debug)]
pub(crate) struct OfQuery<const K: usize> {
    bytes: Vec<Bytes<K>>,
    offsets: Offsets,
}

impl<const K: usize> ListTables<K> {
    /// Makes the tables of lists with these centroids, row after row. Returns `None` if there is no
    /// first pass: for too many subquantizers, for bytes that would take more than
    /// [`Binding::table_memory`], and for a single list. (The tables of a single list are made once
    /// for each query, and are finer.)
    ///
    /// # Errors
    /// [`Cancelled`] if the caller cancels.
    pub(crate) fn new(
        pq: &ProductQuantizer,
        centroids: &[f32],
        level: Level,
        to: &Binding<'_>,
    ) -> Result<Option<Self>, Cancelled> {
        let (dim, subquantizers) = (pq.dim(), pq.subquantizers().len());
        let nlist = centroids.len() / dim;
        let bytes = nlist.checked_mul(subquantizers * size_of::<Bytes<K>>());
        if nlist < 2 || subquantizers > MAX_SUBQUANTIZERS || bytes.is_none_or(|bytes| bytes > to.table_memory) {
            return Ok(None);
        }
        let executor = executor_for(to.executor, centroids.len() * K);
        let middle = column_means(Rows::new(centroids, dim).expect("whole rows"));
        let norms = level.run(Norms::<K> { pq });
        let longest = norms.iter().map(|norms| f64::from(least_and_most(norms).1)).sum::<f64>().sqrt();
        let lists = Lists { pq, middle: &middle, norms: &norms };

        // One loop over the lists determines the step, and a second loop makes the bytes.
        let tasks: Vec<&[f32]> = centroids.chunks(TASK_LISTS * dim).collect();
        let widths = map(executor, tasks.len(), |task| {
            to.check_cancel()?;
            Ok(level.run(Widths { lists, centroids: tasks[task] }))
        });
        let mut widths = widths.into_iter().collect::<Result<Vec<_>, Cancelled>>()?.concat();
        let covered = (COVERED * (nlist - 1) as f64) as usize;
        let width = *widths.select_nth_unstable_by(covered, f64::total_cmp).1;
        let step = (width / f64::from(MOST_OF_LIST)).max(1e-30);

        let mut bytes = vec![[0; K]; nlist * subquantizers];
        let offsets = map_items(executor, bytes.chunks_mut(TASK_LISTS * subquantizers).collect(), |task, bytes| {
            to.check_cancel()?;
            Ok(level.run(Quantise { lists, centroids: tasks[task], step, bytes }))
        });
        let offsets = offsets.into_iter().collect::<Result<Vec<_>, Cancelled>>()?.concat();
        Ok(Some(Self { subquantizers, middle, bytes, offsets, step, longest }))
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() * size_of::<Bytes<K>>()
            + self.offsets.capacity() * size_of::<Offsets>()
            + self.middle.capacity() * size_of::<f32>()
    }

    /// Returns room for the bytes of a query.
    pub(crate) fn of_query(&self) -> OfQuery<K> {
        OfQuery { bytes: vec![[0; K]; self.subquantizers], offsets: Offsets::default() }
    }

    /// Returns the source of a first pass over a list.
    ///
    /// # Panics
    /// If there is no such list.
    pub(crate) fn source<'a>(&'a self, list: ListNo, query: &'a OfQuery<K>) -> Both<'a, K> {
        let bytes = &self.bytes[list.index() * self.subquantizers..][..self.subquantizers];
        Both { terms: self, bytes, offsets: self.offsets[list.index()], query }
    }
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

/// Computes the squared norms of the subquantizers' centroids.
struct Norms<'a, const K: usize> {
    pq: &'a ProductQuantizer,
}

impl<const K: usize> Kernel for Norms<'_, K> {
    type Output = Vec<Table<K>>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<Table<K>> {
        let mut norms = vec![[0.0; K]; self.pq.subquantizers().len()];
        let tables = norms.iter_mut().map(<[f32; K]>::as_mut_slice);
        self.pq.distances(simd, L2, &vec![0.0; self.pq.dim()], tables);
        norms
    }
}

/// Inputs for the entries of all lists.
#[derive(Clone, Copy)]
struct Lists<'a, const K: usize> {
    pq: &'a ProductQuantizer,
    middle: &'a [f32],
    norms: &'a [Table<K>],
}

impl<const K: usize> Lists<'_, K> {
    /// Computes the term of a list's centroid in each entry: the squared norms of the
    /// subquantizers' centroids plus twice their products with the list's centroid. Returns the
    /// distance of the list's centroid from `middle`. (This is a function because a closure would
    /// not be compiled for the instruction set.)
    #[inline(always)]
    fn entries<S: Simd>(self, simd: S, centroid: &[f32], tables: &mut [Table<K>]) -> f64 {
        let moved: Vec<f32> = centroid.iter().zip(self.middle).map(|(c, middle)| c - middle).collect();
        self.pq.distances(simd, InnerProduct, &moved, tables.iter_mut().map(<[f32; K]>::as_mut_slice));
        for (table, norms) in tables.iter_mut().zip(self.norms) {
            for i in 0..K {
                table[i] = (-2.0_f32).mul_add(table[i], norms[i]);
            }
        }
        length(&moved)
    }
}

/// Measures the width of the widest table of each list.
struct Widths<'a, const K: usize> {
    lists: Lists<'a, K>,
    /// Centroids of the lists, row after row.
    centroids: &'a [f32],
}

impl<const K: usize> Kernel for Widths<'_, K> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f64> {
        let Self { lists, centroids } = self;
        let (dim, mut tables) = (lists.pq.dim(), lists.norms.to_vec());
        let mut widths = Vec::with_capacity(centroids.len() / dim);
        for centroid in centroids.chunks_exact(dim) {
            lists.entries(simd, centroid, &mut tables);
            let mut widest = 0.0_f64;
            for table in &tables {
                let (least, most) = least_and_most(table);
                widest = widest.max(f64::from(most) - f64::from(least));
            }
            widths.push(widest);
        }
        widths
    }
}

/// Makes the bytes of lists.
struct Quantise<'a, const K: usize> {
    lists: Lists<'a, K>,
    /// Centroids of the lists, row after row.
    centroids: &'a [f32],
    step: f64,
    bytes: &'a mut [Bytes<K>],
}

impl<const K: usize> Kernel for Quantise<'_, K> {
    type Output = Vec<Offsets>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<Offsets> {
        let Self { lists, centroids, step, bytes } = self;
        let (dim, mut tables) = (lists.pq.dim(), lists.norms.to_vec());
        let mut offsets = Vec::with_capacity(centroids.len() / dim);
        for (centroid, bytes) in centroids.chunks_exact(dim).zip(bytes.chunks_exact_mut(tables.len())) {
            let radius = lists.entries(simd, centroid, &mut tables);
            offsets.push(Offsets { low: quantise(&tables, 1.0, step, MOST_OF_LIST, bytes), radius });
        }
        offsets
    }
}

/// Writes `factor * entry - least` in steps, where `least` is the least `factor * entry` of a
/// table. Returns the sum of `least` over all tables.
#[inline(always)]
fn quantise<const K: usize>(tables: &[Table<K>], factor: f32, step: f64, most: u8, bytes: &mut [Bytes<K>]) -> f64 {
    let mut low = 0.0;
    for (table, bytes) in tables.iter().zip(bytes) {
        let least = factor * least_and_most(table).0;
        low += f64::from(least);
        round_down(table, factor, least, step, most, bytes);
    }
    low
}

/// Makes the bytes of a query.
pub(crate) struct SetQuery<'a, const K: usize> {
    pub(crate) pq: &'a ProductQuantizer,
    pub(crate) terms: &'a ListTables<K>,
    pub(crate) query: &'a [f32],
    /// Buffer for the products.
    pub(crate) tables: &'a mut [Table<K>],
    pub(crate) of_query: &'a mut OfQuery<K>,
}

impl<const K: usize> Kernel for SetQuery<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pq, terms, query, tables, of_query: OfQuery { bytes, offsets } } = self;
        let moved: Vec<f32> = query.iter().zip(&terms.middle).map(|(q, middle)| q - middle).collect();
        pq.distances(simd, InnerProduct, &moved, tables.iter_mut().map(<[f32; K]>::as_mut_slice));
        *offsets = Offsets { low: quantise(tables, 2.0, terms.step, u8::MAX, bytes), radius: length(&moved) };
    }
}

/// Bytes of a list and of a query, as a source of their sums.
#[derive(Clone, Copy)]
pub(crate) struct Both<'a, const K: usize> {
    terms: &'a ListTables<K>,
    bytes: &'a [Bytes<K>],
    offsets: Offsets,
    query: &'a OfQuery<K>,
}

impl<const K: usize> Source<K> for Both<'_, K> {
    #[inline(always)]
    fn ends(self) -> Ends {
        // `size` bounds every intermediate number. The error of each sum over the dimensions is
        // less than the counted number of last places of `size`, or an underflow.
        let size = (self.offsets.radius + self.query.offsets.radius + self.terms.longest).powi(2);
        let slack = size * 16.0 * (self.terms.middle.len() + 16) as f64 * f64::from(f32::EPSILON) + 1e-30;
        Ends { low: self.offsets.low + self.query.offsets.low, size, slack, width: 0.0 }
    }

    #[inline(always)]
    fn fill(self, _step: f64, bytes: &mut [Bytes<K>]) -> f64 {
        for ((sum, of_list), of_query) in bytes.iter_mut().zip(self.bytes).zip(&self.query.bytes) {
            for i in 0..K {
                sum[i] = of_list[i].saturating_add(of_query[i]);
            }
        }
        self.terms.step
    }
}
