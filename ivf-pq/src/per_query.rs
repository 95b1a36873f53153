//! Scanner with one set of tables of a query for all lists. It serves the inner product, and L2 if
//! the codes are of the vectors themselves.

use crate::bound::BoundPq;
use crate::product::{ProductQuantizer, Table};
use crate::raw::{RawTables, ScanRaw, SetRaw};
use crate::scan::{BLOCK, Exact, InList, ScanCodes, Stored};
use crate::tables::{ByteTables, Whole};
use ivf_core::plan::PlannedProbe;
use ivf_core::scanner::{Exactness, ScanQuery, ScanRange};
use ivf_core::{Codec, InvertedListScanner, ListNo, Metric, Rows, Sink};
use ivf_cpu::kernels::{Distance, InnerProduct, L2};
use ivf_cpu::simd::{Kernel, LANES, Level, Simd};

/// Start value of a distance, and one table for each subquantizer.
pub(crate) struct Sums<'a, const K: usize> {
    pub(crate) start: f32,
    pub(crate) tables: &'a [Table<K>],
}

impl<const K: usize> Sums<'_, K>
where
    InList: Stored<K>,
{
    #[inline(always)]
    pub(crate) fn of(&self, code: impl Iterator<Item = u16>) -> f32 {
        InList::sum(self.start, self.tables.iter().zip(code).map(|(table, number)| table[usize::from(number) % K]))
    }
}

impl<const K: usize> Exact for Sums<'_, K>
where
    InList: Stored<K>,
{
    #[inline(always)]
    fn subquantizers(&self) -> usize {
        self.tables.len()
    }

    #[inline(always)]
    fn distance<S: Simd>(&mut self, _simd: S, code: impl Iterator<Item = u16>) -> f32 {
        self.of(code)
    }

    #[inline(always)]
    fn distances<S: Simd>(&mut self, simd: S, columns: &[[u8; BLOCK]], group: usize) -> Option<[f32; LANES]> {
        InList::sums(simd, self.start, self.tables, columns, group)
    }
}

/// Scanner with one set of tables for each query.
///
/// With `c` the centroid of the list, `m` the mean of the quantizer and `y` the centroids that a
/// code selects, a distance is a start value plus a sum of entries, one for each subquantizer:
///
/// ```text
/// codes of               distance             start        sum of entries
/// residuals, product     -q (c + m + y)       -q c - q m   -q y             (-q c is the coarse distance)
/// vectors, product       -q (m + y)           -q m         -q y
/// vectors, L2            |q - (m + y)|^2      0            |(q - m) - y|^2
/// ```
pub(crate) struct PerQueryScanner<'a, const K: usize> {
    bound: &'a BoundPq<K>,
    level: Level,
    query: Query<K>,
    coarse_distance: f32,
    block: Vec<Query<K>>,
    /// True if distances may be sums of rounded tables.
    raw_sums: bool,
}

/// Data that is made once for each query.
struct Query<const K: usize> {
    tables: Vec<Table<K>>,
    bytes: ByteTables<K>,
    /// The rounded tables, if distances are their sums.
    raw: RawTables<K>,
    is_raw: bool,
    /// Start value of a distance, without the term that depends on the list.
    start: f32,
}

/// Makes the tables of a query.
struct MakeTables<'a, D, const K: usize>(D, &'a ProductQuantizer, &'a [f32], &'a mut [Table<K>]);

impl<D: Distance, const K: usize> Kernel for MakeTables<'_, D, K> {
    type Output = ();
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.1.distances(simd, self.0, self.2, self.3.iter_mut().map(<[f32; K]>::as_mut_slice));
    }
}

impl<const K: usize> Query<K>
where
    InList: Stored<K>,
{
    fn new(bound: &BoundPq<K>) -> Self {
        let tables = vec![[0.0; K]; bound.codec.quantizer().subquantizers().len()];
        Self { tables, bytes: ByteTables::default(), raw: RawTables::default(), is_raw: false, start: 0.0 }
    }

    fn set(&mut self, bound: &BoundPq<K>, level: Level, query: &[f32], raw_sums: bool) {
        let (pq, tables) = (bound.codec.quantizer(), &mut self.tables);
        assert_eq!(query.len(), pq.dim(), "a query of the codec's dimension");
        match (bound.codec.metric(), pq.mean()) {
            (Metric::L2, None) => level.run(MakeTables(L2, pq, query, tables)),
            (Metric::L2, Some(mean)) => {
                let moved: Vec<f32> = query.iter().zip(mean).map(|(q, mean)| q - mean).collect();
                level.run(MakeTables(L2, pq, &moved, tables));
            }
            (_, mean) => {
                level.run(MakeTables(InnerProduct, pq, query, tables));
                self.start = mean.map_or(0.0, |mean| InnerProduct.between(query, mean.iter().copied()));
            }
        }
        self.bytes.forget();
        self.is_raw = raw_sums && level.run(SetRaw { tables: &self.tables, raw: &mut self.raw });
    }

    fn sums(&self, coarse_distance: f32) -> Sums<'_, K> {
        Sums { start: coarse_distance + self.start, tables: &self.tables }
    }

    /// Scans with the rounded tables. Returns false, and does nothing, if there are none. `next`
    /// are the tables that the next scan will read.
    fn scan_raw(
        &self,
        level: Level,
        coarse_distance: f32,
        scan_range: &ScanRange<'_>,
        sink: &mut Sink,
        next: Option<&RawTables<K>>,
    ) -> bool {
        if self.is_raw {
            let (subquantizers, start) = (self.tables.len(), coarse_distance + self.start);
            level.run(ScanRaw { raw: &self.raw, subquantizers, start, scan_range, sink, next });
        }
        self.is_raw
    }

    fn scan(&mut self, level: Level, coarse_distance: f32, scan_range: &ScanRange<'_>, sink: &mut Sink) {
        if self.scan_raw(level, coarse_distance, scan_range, sink, None) {
            return;
        }
        let Self { tables, bytes, start, .. } = self;
        let exact = Sums { start: coarse_distance + *start, tables };
        let (start, source) = (f64::from(exact.start), Some(Whole(tables)));
        level.run(ScanCodes { exact, start, source, bytes, scan_range, sink });
    }
}

impl<'a, const K: usize> PerQueryScanner<'a, K>
where
    InList: Stored<K>,
{
    pub(crate) fn new(bound: &'a BoundPq<K>, raw_sums: bool) -> Self {
        let query = Query::new(bound);
        Self { bound, level: Level::get(), query, coarse_distance: 0.0, block: Vec::new(), raw_sums }
    }
}

/// Returns the coarse distance if codes are of residuals, else 0.
fn of_list<const K: usize>(bound: &BoundPq<K>, coarse_distance: f32) -> f32 {
    if bound.by_residual { coarse_distance } else { 0.0 }
}

impl<const K: usize> InvertedListScanner for PerQueryScanner<'_, K>
where
    InList: Stored<K>,
{
    fn set_query(&mut self, query: &[f32]) {
        self.query.set(self.bound, self.level, query, self.raw_sums);
    }

    fn set_list(&mut self, _list: ListNo, coarse_distance: f32) {
        self.coarse_distance = of_list(self.bound, coarse_distance);
    }

    fn distance(&self, code: &[u8]) -> f32 {
        let numbers = self.bound.codec.quantizer().numbers(code);
        if self.query.is_raw {
            return self.query.raw.distance(self.coarse_distance + self.query.start, numbers);
        }
        self.query.sums(self.coarse_distance).of(numbers)
    }

    fn exactness(&self) -> Exactness {
        if self.raw_sums { Exactness::Estimate } else { Exactness::Exact }
    }

    fn scan(&mut self, scan_range: &ScanRange<'_>, sink: &mut Sink) {
        self.query.scan(self.level, self.coarse_distance, scan_range, sink);
    }

    fn set_queries(&mut self, queries: Rows<'_, f32>, probes: &[&[PlannedProbe]]) {
        assert_eq!(probes.len(), queries.len(), "one row of probes for each query");
        self.block.resize_with(queries.len(), || Query::new(self.bound));
        for (slot, query) in self.block.iter_mut().zip(queries.iter()) {
            slot.set(self.bound, self.level, query, self.raw_sums);
        }
    }

    fn scan_batch(&mut self, scan_range: &ScanRange<'_>, queries: &mut [ScanQuery<'_>]) {
        for i in 0..queries.len() {
            let next = queries.get(i + 1).map(|next| &self.block[next.number].raw);
            let query = &mut queries[i];
            let scan_range = scan_range.clone().within(0..query.limit).masked(query.mask);
            let coarse_distance = of_list(self.bound, query.coarse_distance);
            let is_done = self.block[query.number].scan_raw(self.level, coarse_distance, &scan_range, query.sink, next);
            if !is_done {
                self.block[query.number].scan(self.level, coarse_distance, &scan_range, query.sink);
            }
        }
    }
}
