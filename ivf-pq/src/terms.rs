//! What can be computed for each list ahead of all queries: the bytes of a first pass for L2.

use crate::product::{CENTROIDS, ProductQuantizer, Table};
use crate::tables::{Bytes, Ends, MOST_PARTS, Source, least_and_most, round_down};
use ivf_core::error::Cancelled;
use ivf_core::executor::{map, map_items};
use ivf_core::{Binding, ListNo, Rows};
use ivf_cpu::kernels::{InnerProduct, L2};
use ivf_cpu::simd::{Kernel, Level, Simd};
use ivf_cpu::{column_means, executor_or_global};

/// Lists that one task works on. The number of threads does not change it, and no list's bytes
/// depend on another list's task.
pub(crate) const TASK_LISTS: usize = 64;

/// The bytes of a list go so far; the query's may take what is left of 255, and what goes beyond counts as 255.
const MOST_OF_LIST: u8 = 127;

/// The step is such that this share of the lists has no entry beyond [`MOST_OF_LIST`].
const COVERED: f64 = 0.95;

/// For L2 what the centroid of a list and a part's centroid add to a distance together, in bytes. `c` is the centroid of the list (with
/// the quantizer's mean), `y` that of the part, and all is seen from the middle `o` of the lists' centroids, where numbers are small:
///
/// ```text
/// |q - (c + y)|^2 = |q - c|^2  +  |y|^2 + 2 (c - o) y  -  2 (q - o) y
///                    start        of the list             of the query
/// ```
///
/// The bytes of both are added up, 64 at a time, and are the tables of the first pass.
#[derive(Debug, PartialEq)]
pub(crate) struct Terms {
    parts: usize,
    middle: Vec<f32>,
    /// List after list.
    bytes: Vec<Bytes>,
    left: Vec<Left>,
    /// What a byte is worth.
    step: f64,
    /// At least the length of what any code stands for.
    longest: f64,
}

/// What bytes leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Left {
    /// The sum of the least entries. (An entry that is infinite or NaN comes from lengths that [`Ends::size`] counts.)
    low: f64,
    /// The distance from the middle.
    radius: f64,
}

/// The bytes of a query.
#[derive(Clone, Debug)]
pub(crate) struct OfQuery {
    bytes: Vec<Bytes>,
    left: Left,
}

impl Terms {
    /// For lists around these centroids, row after row. None if there is no first pass: for too
    /// many parts, for bytes that would take more than [`Binding::table_memory`], and for one list.
    /// (The tables of one list are made once for a query, and are finer.)
    ///
    /// # Errors
    /// [`Cancelled`].
    pub(crate) fn new(
        pq: &ProductQuantizer,
        centroids: &[f32],
        level: Level,
        to: &Binding<'_>,
    ) -> Result<Option<Self>, Cancelled> {
        let (dim, parts) = (pq.dim(), pq.parts().len());
        let nlist = centroids.len() / dim;
        let bytes = nlist.checked_mul(parts * size_of::<Bytes>());
        if nlist < 2 || parts > MOST_PARTS || bytes.is_none_or(|bytes| bytes > to.table_memory) {
            return Ok(None);
        }
        let executor = executor_or_global(to.executor);
        let middle = column_means(Rows::new(centroids, dim).expect("whole rows"));
        let norms = level.run(Norms { pq });
        let longest = norms.iter().map(|norms| f64::from(least_and_most(norms).1)).sum::<f64>().sqrt();
        let lists = Lists { pq, middle: &middle, norms: &norms };

        // A first time through the lists for the step, a second time for the bytes.
        let tasks: Vec<&[f32]> = centroids.chunks(TASK_LISTS * dim).collect();
        let widths = map(executor, tasks.len(), |task| {
            to.check_cancel()?;
            Ok(level.run(Widths { lists, centroids: tasks[task] }))
        });
        let mut widths = widths.into_iter().collect::<Result<Vec<_>, Cancelled>>()?.concat();
        let covered = (COVERED * (nlist - 1) as f64) as usize;
        let width = *widths.select_nth_unstable_by(covered, f64::total_cmp).1;
        let step = (width / f64::from(MOST_OF_LIST)).max(1e-30);

        let mut bytes = vec![[0; CENTROIDS]; nlist * parts];
        let left = map_items(executor, bytes.chunks_mut(TASK_LISTS * parts).collect(), |task, bytes| {
            to.check_cancel()?;
            Ok(level.run(Quantise { lists, centroids: tasks[task], step, bytes }))
        });
        let left = left.into_iter().collect::<Result<Vec<_>, Cancelled>>()?.concat();
        Ok(Some(Self { parts, middle, bytes, left, step, longest }))
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity() * size_of::<Bytes>()
            + self.left.capacity() * size_of::<Left>()
            + self.middle.capacity() * size_of::<f32>()
    }

    /// Room for a query.
    pub(crate) fn of_query(&self) -> OfQuery {
        OfQuery { bytes: vec![[0; CENTROIDS]; self.parts], left: Left::default() }
    }

    /// The source of a first pass over a list.
    ///
    /// # Panics
    /// If there is no such list.
    pub(crate) fn source<'a>(&'a self, list: ListNo, query: &'a OfQuery) -> Both<'a> {
        let bytes = &self.bytes[list.index() * self.parts..][..self.parts];
        Both { terms: self, bytes, left: self.left[list.index()], query }
    }
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt()
}

/// Makes the squared norms of the parts' centroids.
struct Norms<'a> {
    pq: &'a ProductQuantizer,
}

impl Kernel for Norms<'_> {
    type Output = Vec<Table>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<Table> {
        let mut norms = vec![[0.0; CENTROIDS]; self.pq.parts().len()];
        self.pq.distances(simd, L2, &vec![0.0; self.pq.dim()], &mut norms);
        norms
    }
}

/// What the entries of all lists are made from.
#[derive(Clone, Copy)]
struct Lists<'a> {
    pq: &'a ProductQuantizer,
    middle: &'a [f32],
    norms: &'a [Table],
}

impl Lists<'_> {
    /// What the centroid of a list adds to each entry: the norms of the parts' centroids less twice
    /// their products with it. Gives its distance from the middle. (A function and not a closure,
    /// which would not be compiled for the instruction set.)
    #[inline(always)]
    fn entries<S: Simd>(self, simd: S, centroid: &[f32], tables: &mut [Table]) -> f64 {
        let moved: Vec<f32> = centroid.iter().zip(self.middle).map(|(c, middle)| c - middle).collect();
        self.pq.distances(simd, InnerProduct, &moved, tables);
        for (table, norms) in tables.iter_mut().zip(self.norms) {
            for i in 0..CENTROIDS {
                table[i] = (-2.0_f32).mul_add(table[i], norms[i]);
            }
        }
        length(&moved)
    }
}

/// Measures lists: for each how far its widest table goes.
struct Widths<'a> {
    lists: Lists<'a>,
    /// Of the lists, row after row.
    centroids: &'a [f32],
}

impl Kernel for Widths<'_> {
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
struct Quantise<'a> {
    lists: Lists<'a>,
    /// Of the lists, row after row.
    centroids: &'a [f32],
    step: f64,
    bytes: &'a mut [Bytes],
}

impl Kernel for Quantise<'_> {
    type Output = Vec<Left>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<Left> {
        let Self { lists, centroids, step, bytes } = self;
        let (dim, mut tables) = (lists.pq.dim(), lists.norms.to_vec());
        let mut left = Vec::with_capacity(centroids.len() / dim);
        for (centroid, bytes) in centroids.chunks_exact(dim).zip(bytes.chunks_exact_mut(tables.len())) {
            let radius = lists.entries(simd, centroid, &mut tables);
            left.push(Left { low: quantise(&tables, 1.0, step, MOST_OF_LIST, bytes), radius });
        }
        left
    }
}

/// Writes `factor * entry - least` in steps; gives the sum of the least.
#[inline(always)]
fn quantise(tables: &[Table], factor: f32, step: f64, most: u8, bytes: &mut [Bytes]) -> f64 {
    let mut low = 0.0;
    for (table, bytes) in tables.iter().zip(bytes) {
        let least = factor * least_and_most(table).0;
        low += f64::from(least);
        round_down(table, factor, least, step, most, bytes);
    }
    low
}

/// Sets the bytes of a query.
pub(crate) struct SetQuery<'a> {
    pub(crate) pq: &'a ProductQuantizer,
    pub(crate) terms: &'a Terms,
    pub(crate) query: &'a [f32],
    /// Room for the products.
    pub(crate) tables: &'a mut [Table],
    pub(crate) of_query: &'a mut OfQuery,
}

impl Kernel for SetQuery<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { pq, terms, query, tables, of_query: OfQuery { bytes, left } } = self;
        let moved: Vec<f32> = query.iter().zip(&terms.middle).map(|(q, middle)| q - middle).collect();
        pq.distances(simd, InnerProduct, &moved, tables);
        *left = Left { low: quantise(tables, 2.0, terms.step, u8::MAX, bytes), radius: length(&moved) };
    }
}

/// The terms of a list and a query.
#[derive(Clone, Copy)]
pub(crate) struct Both<'a> {
    terms: &'a Terms,
    bytes: &'a [Bytes],
    left: Left,
    query: &'a OfQuery,
}

impl Source for Both<'_> {
    #[inline(always)]
    fn ends(self) -> Ends {
        // No number that comes up is larger than this, squared; and each sum over the dimensions is off by less than so many last
        // places of it, or by an underflow.
        let size = (self.left.radius + self.query.left.radius + self.terms.longest).powi(2);
        let slack = size * 16.0 * (self.terms.middle.len() + 16) as f64 * f64::from(f32::EPSILON) + 1e-30;
        Ends { low: self.left.low + self.query.left.low, size, slack, width: 0.0 }
    }

    #[inline(always)]
    fn fill(self, _step: f64, bytes: &mut [Bytes]) -> f64 {
        for ((sum, of_list), of_query) in bytes.iter_mut().zip(self.bytes).zip(&self.query.bytes) {
            for i in 0..CENTROIDS {
                sum[i] = of_list[i].saturating_add(of_query[i]);
            }
        }
        self.terms.step
    }
}
