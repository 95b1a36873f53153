//! The scanner of product-quantised lists.

use crate::bound::BoundPq;
use crate::query::QueryTables;
use crate::scan::Scan;
use crate::tables::{ByteTables, Tables};
use ivf_core::scanner::{Piece, ScanQuery};
use ivf_core::{InvertedListScanner, ListNo, Rows, Sink};
use ivf_cpu::simd::Level;

/// One query after the other, or a block of them whose tables are kept while list after list goes by.
pub(crate) struct PqScanner<'a, Q> {
    bound: &'a BoundPq,
    level: Level,
    one: Slot<Q>,
    block: Vec<Slot<Q>>,
    list: Option<ListNo>,
    /// What every code of the list has in its distance.
    start: f32,
    /// The bytes of a query and a list, where a list changes them.
    bytes: ByteTables,
}

/// A query, and its bytes where they serve all lists.
struct Slot<Q> {
    query: Q,
    bytes: ByteTables,
}

impl<Q: QueryTables> Slot<Q> {
    fn new(bound: &BoundPq) -> Self {
        Self { query: Q::new(bound), bytes: ByteTables::default() }
    }

    fn set(&mut self, bound: &BoundPq, level: Level, vector: &[f32]) {
        self.query.set(bound, level, vector);
        self.bytes.forget();
    }
}

impl<'a, Q: QueryTables> PqScanner<'a, Q> {
    pub(crate) fn new(bound: &'a BoundPq) -> Self {
        Self {
            bound,
            level: Level::get(),
            one: Slot::new(bound),
            block: Vec::new(),
            list: None,
            start: 0.0,
            bytes: ByteTables::default(),
        }
    }
}

/// Scans a piece of the list that is set.
fn scan<Q: QueryTables>(
    (bound, level): (&BoundPq, Level),
    slot: &mut Slot<Q>,
    bytes: &mut ByteTables,
    start: f32,
    piece: &Piece<'_>,
    sink: &mut Sink,
) {
    let tables = slot.query.tables(bound, piece.list());
    let bytes = if Q::SERVE_ALL_LISTS { &mut slot.bytes } else { bytes };
    level.run(Scan { tables, start, bytes, piece, sink });
}

impl<Q: QueryTables> InvertedListScanner for PqScanner<'_, Q> {
    fn set_query(&mut self, query: &[f32]) {
        self.one.set(self.bound, self.level, query);
    }

    fn set_list(&mut self, list: ListNo, coarse_distance: f32) {
        self.start = self.one.query.set_list(self.bound, self.level, list, coarse_distance);
        self.list = Some(list);
        self.bytes.forget();
    }

    fn distance(&self, code: &[u8]) -> f32 {
        let tables = self.one.query.tables(self.bound, self.list.expect("a list is set"));
        assert_eq!(code.len(), tables.parts(), "a code of the codec's size");
        tables.distance(self.start, code.iter().copied())
    }

    fn scan(&mut self, piece: &Piece<'_>, sink: &mut Sink) {
        scan((self.bound, self.level), &mut self.one, &mut self.bytes, self.start, piece, sink);
    }

    fn set_queries(&mut self, queries: Rows<'_, f32>) {
        self.block.resize_with(queries.len(), || Slot::new(self.bound));
        for (slot, query) in self.block.iter_mut().zip(queries.iter()) {
            slot.set(self.bound, self.level, query);
        }
    }

    fn scan_batch(&mut self, piece: &Piece<'_>, queries: &mut [ScanQuery<'_>]) {
        for query in queries {
            let slot = &mut self.block[query.number];
            let start = slot.query.set_list(self.bound, self.level, piece.list(), query.coarse_distance);
            self.bytes.forget();
            let piece = piece.clone().within(0..query.limit).masked(query.mask);
            scan((self.bound, self.level), slot, &mut self.bytes, start, &piece, query.sink);
        }
    }
}
