//! What can be computed for each list ahead of all queries: the bytes of a first pass for L2.

use crate::product::{CENTROIDS, ProductQuantizer, Table};
use crate::tables::{Bytes, Ends, MOST_PARTS, Source, least_and_most, round_down};
use ivf_core::{ListNo, Rows};
use ivf_cpu::column_means;
use ivf_cpu::kernels::{InnerProduct, L2};
use ivf_cpu::simd::{Kernel, Level, Simd};

/// Terms of the lists take at most this many bytes; beyond, there are none.
pub const MOST_TERMS: usize = 1 << 28;

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
#[derive(Debug)]
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
#[derive(Clone, Copy, Debug, Default)]
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
    /// For lists around these centroids, row after row. None for so many lists, or parts, that there is no first pass, or it
    /// would not fit [`MOST_TERMS`]; and for one list: its tables are made once for a query, and are finer.
    pub(crate) fn new(pq: &ProductQuantizer, centroids: &[f32], level: Level) -> Option<Self> {
        let nlist = centroids.len() / pq.dim();
        let fits = nlist.checked_mul(pq.parts().len() * size_of::<Bytes>()).is_some_and(|bytes| bytes <= MOST_TERMS);
        (nlist > 1 && fits && pq.parts().len() <= MOST_PARTS).then(|| level.run(Fill { pq, centroids }))
    }

    pub(crate) fn memory(&self) -> usize {
        size_of_val(&self.bytes[..]) + size_of_val(&self.left[..]) + size_of_val(&self.middle[..])
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

/// Makes the terms: a first time through the lists for the step, a second time for the bytes.
struct Fill<'a> {
    pq: &'a ProductQuantizer,
    /// Of the lists, row after row.
    centroids: &'a [f32],
}

impl Kernel for Fill<'_> {
    type Output = Terms;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Terms {
        let Self { pq, centroids } = self;
        let (parts, nlist) = (pq.parts().len(), centroids.len() / pq.dim());
        let middle = column_means(Rows::new(centroids, pq.dim()).expect("whole rows"));
        let mut norms = vec![[0.0; CENTROIDS]; parts];
        pq.distances(simd, L2, &vec![0.0; pq.dim()], &mut norms);
        let longest = norms.iter().map(|norms| f64::from(least_and_most(norms).1)).sum::<f64>().sqrt();
        let mut tables = norms.clone();
        let mut widths = Vec::with_capacity(nlist);
        for centroid in centroids.chunks_exact(pq.dim()) {
            of_list(simd, pq, (&middle, &norms), centroid, &mut tables);
            let mut widest = 0.0_f64;
            for table in &tables {
                let (least, most) = least_and_most(table);
                widest = widest.max(f64::from(most) - f64::from(least));
            }
            widths.push(widest);
        }
        let covered = (COVERED * (nlist - 1) as f64) as usize;
        let width = *widths.select_nth_unstable_by(covered, f64::total_cmp).1;
        let step = (width / f64::from(MOST_OF_LIST)).max(1e-30);

        let mut bytes = vec![[0; CENTROIDS]; nlist * parts];
        let mut left = Vec::with_capacity(nlist);
        for (centroid, bytes) in centroids.chunks_exact(pq.dim()).zip(bytes.chunks_exact_mut(parts)) {
            let radius = of_list(simd, pq, (&middle, &norms), centroid, &mut tables);
            left.push(Left { low: quantise(&tables, 1.0, step, MOST_OF_LIST, bytes), radius });
        }
        Terms { parts, middle, bytes, left, step, longest }
    }
}

/// What the centroid of a list adds to each entry, its products with the parts' centroids twice, taken away from their norms; gives its
/// distance from the middle. (A function and not a closure, which would not be compiled for the instruction set.)
#[inline(always)]
fn of_list<S: Simd>(
    simd: S,
    pq: &ProductQuantizer,
    (middle, norms): (&[f32], &[Table]),
    centroid: &[f32],
    tables: &mut [Table],
) -> f64 {
    let moved: Vec<f32> = centroid.iter().zip(middle).map(|(c, middle)| c - middle).collect();
    pq.distances(simd, InnerProduct, &moved, tables);
    for (table, norms) in tables.iter_mut().zip(norms) {
        for i in 0..CENTROIDS {
            table[i] = (-2.0_f32).mul_add(table[i], norms[i]);
        }
    }
    length(&moved)
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
