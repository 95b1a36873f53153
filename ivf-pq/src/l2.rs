//! Scanner for L2 and codes of residuals. The first pass uses the bytes of the list and of the
//! query. Exact distances are computed subquantizer by subquantizer.

use crate::bound::BoundPq;
use crate::list_tables::{ListTables, OfQuery, SetQuery};
use crate::per_query::Sums;
use crate::product::{ProductQuantizer, Table};
use crate::scan::{BLOCK, Exact, InList, ScanCodes, Stored};
use crate::tables::{ByteTables, Whole};
use ivf_core::plan::PlannedProbe;
use ivf_core::scanner::{ScanQuery, ScanRange};
use ivf_core::{InvertedListScanner, ListNo, Rows, Sink};
use ivf_cpu::kernels::{Distance, L2};
use ivf_cpu::simd::{Kernel, LANES, Level, Simd};

/// Maximum number of codes of a list whose distances are computed from the centroids. For more
/// codes, tables are made.
const SINGLES: usize = 24;

/// Scanner for L2 and codes of residuals.
///
/// With `c` the centroid of the list, `m` the mean of the quantizer and `y` the centroids that a
/// code selects, let `z = q - (c + m)`. A distance is the sum of `|z - y|^2` over the
/// subquantizers. (The coarse distance is not needed: it is rounded, and a caller may have made it
/// up.)
pub(crate) struct L2Scanner<'a, const K: usize> {
    bound: &'a BoundPq<K>,
    level: Level,
    query: Query<K>,
    block: Vec<Query<K>>,
    list: List<'a, K>,
    /// Bytes of the current query and list.
    bytes: ByteTables<K>,
    /// Buffer for the products of a query.
    products: Vec<Table<K>>,
}

/// Data that is made once for each query.
#[derive(Clone, Debug)]
struct Query<const K: usize> {
    vector: Vec<f32>,
    terms: Option<OfQuery<K>>,
}

/// Data that is made for each query and list.
struct List<'a, const K: usize> {
    pq: &'a ProductQuantizer,
    /// Buffer for the vector that the list's codes are relative to, see [`BoundPq::row`].
    row: Vec<f32>,
    z: Vec<f32>,
    /// `|z|^2`.
    start: f64,
    tables: Vec<Table<K>>,
    /// True if the tables have been made for `z`.
    made: bool,
    /// Number of codes whose distances were computed without tables.
    singles: usize,
}

impl<const K: usize> Query<K>
where
    InList: Stored<K>,
{
    fn new(bound: &BoundPq<K>) -> Self {
        let terms = bound.list_tables.as_ref().map(ListTables::of_query);
        Self { vector: vec![0.0; bound.codec.quantizer().dim()], terms }
    }

    fn set(&mut self, bound: &BoundPq<K>, level: Level, query: &[f32], tables: &mut [Table<K>]) {
        self.vector.copy_from_slice(query);
        if let (Some(terms), Some(of_query)) = (&bound.list_tables, &mut self.terms) {
            level.run(SetQuery { pq: bound.codec.quantizer(), terms, query, tables, of_query });
        }
    }
}

impl<const K: usize> List<'_, K>
where
    InList: Stored<K>,
{
    fn set(&mut self, bound: &BoundPq<K>, level: Level, query: &[f32], list: ListNo) {
        let row = bound.row(list, &mut self.row);
        self.start = f64::from(level.run(Subtract(query, row, &mut self.z)));
        self.made = false;
        self.singles = 0;
    }

    /// Returns the sum of the entries of the tables, each computed on its own.
    #[inline(always)]
    fn single(&self, code: impl Iterator<Item = u16>) -> f32 {
        let entry = |(m, number)| {
            let (part, centroid) = self.pq.centroid(m, number);
            L2.between(&self.z[part], centroid.iter().copied())
        };
        InList::sum(0.0, code.enumerate().take(self.tables.len()).map(entry))
    }

    #[inline(always)]
    fn make_tables<S: Simd>(&mut self, simd: S) {
        if !self.made {
            self.pq.distances(simd, L2, &self.z, self.tables.iter_mut().map(<[f32; K]>::as_mut_slice));
            self.made = true;
        }
    }
}

/// Subtracts the centroid from the query, and returns the squared norm of the difference.
struct Subtract<'a>(&'a [f32], &'a [f32], &'a mut [f32]);

impl Kernel for Subtract<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) -> f32 {
        let Self(query, centroid, z) = self;
        let mut sums = [0.0_f32; LANES];
        for ((query, centroid), z) in query.chunks(LANES).zip(centroid.chunks(LANES)).zip(z.chunks_mut(LANES)) {
            for i in 0..z.len() {
                z[i] = query[i] - centroid[i];
                sums[i] = z[i].mul_add(z[i], sums[i]);
            }
        }
        sums.iter().sum()
    }
}

/// Makes the tables, if they are not made yet.
struct Make<'a, 'b, const K: usize>(&'a mut List<'b, K>);

impl<const K: usize> Kernel for Make<'_, '_, K>
where
    InList: Stored<K>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.0.make_tables(simd);
    }
}

/// Exact distances: from the centroids for the first [`SINGLES`] codes, and from tables for all
/// others.
struct Lazy<'a, 'b, const K: usize>(&'a mut List<'b, K>);

impl<const K: usize> Exact for Lazy<'_, '_, K>
where
    InList: Stored<K>,
{
    #[inline(always)]
    fn subquantizers(&self) -> usize {
        self.0.tables.len()
    }

    #[inline(always)]
    fn distance<S: Simd>(&mut self, simd: S, code: impl Iterator<Item = u16>) -> f32 {
        let list = &mut *self.0;
        if list.singles < SINGLES {
            list.singles += 1;
            return list.single(code);
        }
        list.make_tables(simd);
        Sums { start: 0.0, tables: &list.tables }.of(code)
    }

    #[inline(always)]
    fn distances<S: Simd>(&mut self, simd: S, columns: &[[u8; BLOCK]], group: usize) -> Option<[f32; LANES]> {
        let list = &mut *self.0;
        if list.singles < SINGLES && !list.made {
            return None;
        }
        list.make_tables(simd);
        InList::sums(simd, 0.0, &list.tables, columns, group)
    }
}

impl<'a, const K: usize> L2Scanner<'a, K>
where
    InList: Stored<K>,
{
    pub(crate) fn new(bound: &'a BoundPq<K>) -> Self {
        let pq = bound.codec.quantizer();
        let tables = vec![[0.0; K]; pq.subquantizers().len()];
        let (row, z) = (vec![0.0; pq.dim()], vec![0.0; pq.dim()]);
        let list = List { pq, row, z, start: 0.0, tables: tables.clone(), made: false, singles: 0 };
        Self {
            bound,
            level: Level::get(),
            query: Query::new(bound),
            block: Vec::new(),
            list,
            bytes: ByteTables::default(),
            products: tables,
        }
    }
}

/// Scans a range of the current list.
fn scan<const K: usize>(
    (bound, level): (&BoundPq<K>, Level),
    query: &Query<K>,
    list: &mut List<'_, K>,
    bytes: &mut ByteTables<K>,
    scan_range: &ScanRange<'_>,
    sink: &mut Sink,
) where
    InList: Stored<K>,
{
    if let (Some(terms), Some(of_query)) = (&bound.list_tables, &query.terms) {
        let (start, source) = (list.start, Some(terms.source(scan_range.list(), of_query)));
        level.run(ScanCodes { exact: Lazy(list), start, source, bytes, scan_range, sink });
    } else if scan_range.selected_len() > SINGLES {
        level.run(Make(list));
        let tables = &list.tables;
        let exact = Sums { start: 0.0, tables };
        level.run(ScanCodes { exact, start: 0.0, source: Some(Whole(tables)), bytes, scan_range, sink });
    } else {
        let source: Option<Whole<'_, K>> = None;
        level.run(ScanCodes { exact: Lazy(list), start: 0.0, source, bytes, scan_range, sink });
    }
}

impl<const K: usize> InvertedListScanner for L2Scanner<'_, K>
where
    InList: Stored<K>,
{
    fn set_query(&mut self, query: &[f32]) {
        self.query.set(self.bound, self.level, query, &mut self.products);
    }

    fn set_list(&mut self, list: ListNo, _coarse_distance: f32) {
        self.list.set(self.bound, self.level, &self.query.vector, list);
        self.bytes.forget();
    }

    fn distance(&self, code: &[u8]) -> f32 {
        self.list.single(self.bound.codec.quantizer().numbers(code))
    }

    fn scan(&mut self, scan_range: &ScanRange<'_>, sink: &mut Sink) {
        scan((self.bound, self.level), &self.query, &mut self.list, &mut self.bytes, scan_range, sink);
    }

    fn set_queries(&mut self, queries: Rows<'_, f32>, probes: &[&[PlannedProbe]]) {
        assert_eq!(probes.len(), queries.len(), "one row of probes for each query");
        self.block.resize_with(queries.len(), || Query::new(self.bound));
        for (slot, query) in self.block.iter_mut().zip(queries.iter()) {
            slot.set(self.bound, self.level, query, &mut self.products);
        }
    }

    fn scan_batch(&mut self, scan_range: &ScanRange<'_>, queries: &mut [ScanQuery<'_>]) {
        for query in queries {
            let slot = &self.block[query.number];
            self.list.set(self.bound, self.level, &slot.vector, scan_range.list());
            self.bytes.forget();
            let scan_range = scan_range.clone().within(0..query.limit).masked(query.mask);
            scan((self.bound, self.level), slot, &mut self.list, &mut self.bytes, &scan_range, query.sink);
        }
    }
}
