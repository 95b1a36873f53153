//! Scanning for the inner product: one set of tables for each query, whatever the list.

use crate::bound::BoundPq;
use crate::product::{CENTROIDS, ProductQuantizer, Table};
use crate::scan::{Exact, Scan};
use crate::tables::{ByteTables, Whole};
use ivf_core::scanner::{Piece, ScanQuery};
use ivf_core::{InvertedListScanner, ListNo, Rows, Sink};
use ivf_cpu::kernels::{Distance, InnerProduct};
use ivf_cpu::simd::{Kernel, Level, Simd};

/// A start, and for each part an entry of its table.
pub(crate) struct Sums<'a> {
    pub(crate) start: f32,
    pub(crate) tables: &'a [Table],
}

impl Sums<'_> {
    #[inline(always)]
    pub(crate) fn of(&self, code: impl Iterator<Item = u8>) -> f32 {
        self.tables.iter().zip(code).fold(self.start, |sum, (table, number)| sum + table[usize::from(number)])
    }
}

impl Exact for Sums<'_> {
    #[inline(always)]
    fn parts(&self) -> usize {
        self.tables.len()
    }

    #[inline(always)]
    fn distance<S: Simd>(&mut self, _simd: S, code: impl Iterator<Item = u8>) -> f32 {
        self.of(code)
    }
}

/// With `c` the centroid of the list, `m` the mean of the quantizer and `y` what a code stands for, a distance is `-q (c + m + y)`:
/// the coarse distance, `-q m`, and a sum of entries `-q y`.
pub(crate) struct InnerProductScanner<'a> {
    bound: &'a BoundPq,
    level: Level,
    query: Query,
    coarse_distance: f32,
    block: Vec<Query>,
}

/// What is made once for a query.
struct Query {
    tables: Vec<Table>,
    bytes: ByteTables,
    of_mean: f32,
}

/// Makes the tables.
struct Products<'a>(&'a ProductQuantizer, &'a [f32], &'a mut [Table]);

impl Kernel for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.0.distances(simd, InnerProduct, self.1, self.2);
    }
}

impl Query {
    fn new(bound: &BoundPq) -> Self {
        let tables = vec![[0.0; CENTROIDS]; bound.codec.quantizer().parts().len()];
        Self { tables, bytes: ByteTables::default(), of_mean: 0.0 }
    }

    fn set(&mut self, bound: &BoundPq, level: Level, query: &[f32]) {
        let pq = bound.codec.quantizer();
        level.run(Products(pq, query, &mut self.tables));
        self.of_mean = pq.mean().map_or(0.0, |mean| InnerProduct.between(query, mean.iter().copied()));
        self.bytes.forget();
    }

    fn sums(&self, coarse_distance: f32) -> Sums<'_> {
        Sums { start: coarse_distance + self.of_mean, tables: &self.tables }
    }

    fn scan(&mut self, level: Level, coarse_distance: f32, piece: &Piece<'_>, sink: &mut Sink) {
        let Self { tables, bytes, of_mean } = self;
        let exact = Sums { start: coarse_distance + *of_mean, tables };
        let (start, source) = (f64::from(exact.start), Some(Whole(tables)));
        level.run(Scan { exact, start, source, bytes, piece, sink });
    }
}

impl<'a> InnerProductScanner<'a> {
    pub(crate) fn new(bound: &'a BoundPq) -> Self {
        let query = Query::new(bound);
        Self { bound, level: Level::get(), query, coarse_distance: 0.0, block: Vec::new() }
    }
}

impl InvertedListScanner for InnerProductScanner<'_> {
    fn set_query(&mut self, query: &[f32]) {
        self.query.set(self.bound, self.level, query);
    }

    fn set_list(&mut self, _list: ListNo, coarse_distance: f32) {
        self.coarse_distance = coarse_distance;
    }

    fn distance(&self, code: &[u8]) -> f32 {
        assert_eq!(code.len(), self.query.tables.len(), "a code of the codec's size");
        self.query.sums(self.coarse_distance).of(code.iter().copied())
    }

    fn scan(&mut self, piece: &Piece<'_>, sink: &mut Sink) {
        self.query.scan(self.level, self.coarse_distance, piece, sink);
    }

    fn set_queries(&mut self, queries: Rows<'_, f32>) {
        self.block.resize_with(queries.len(), || Query::new(self.bound));
        self.block.iter_mut().zip(queries.iter()).for_each(|(slot, query)| slot.set(self.bound, self.level, query));
    }

    fn scan_batch(&mut self, piece: &Piece<'_>, queries: &mut [ScanQuery<'_>]) {
        for query in queries {
            let piece = piece.clone().within(0..query.limit).masked(query.mask);
            self.block[query.number].scan(self.level, query.coarse_distance, &piece, query.sink);
        }
    }
}
