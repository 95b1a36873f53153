//! The codes of the nodes, as a search reads them.

use super::beam::Scratch;
use super::scorer::{OfCodes, OfRows, Scorer};
use crate::engine::StoredCodes;
use crate::kernels::{LaneQuery, NegatedProducts, SquaredDifferences};
use crate::simd::{Kernel, Level, Simd};
use ivf_core::{Id, Ids, InvertedListScanner, ListNo, Metric, Settings};

/// The codes of all nodes, and how distances to them are computed.
pub(super) struct Vectors<'a> {
    pub(super) metric: Metric,
    pub(super) dim: usize,
    stored: &'a StoredCodes<'a>,
    codes: &'a [u8],
    ids: Ids<'a>,
    /// The codes as vectors, for the metrics whose distances are computed by lanes.
    rows: Option<&'a [f32]>,
}

/// A query, and what its distances need.
pub(super) struct Query<'a> {
    lanes: LaneQuery,
    scanner: Box<dyn InvertedListScanner + 'a>,
}

/// Code for every kind of scorer.
pub(super) trait WithScorer {
    type Output;
    fn run<S: Simd, C: Scorer>(self, simd: S, scorer: &C) -> Self::Output;
}

/// Runs such code with the instruction set of a kernel.
struct Scored<C, W>(C, W);

impl<C: Scorer, W: WithScorer> Kernel for Scored<C, W> {
    type Output = W::Output;
    const BYTES: bool = false;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> W::Output {
        self.1.run(simd, &self.0)
    }
}

impl<'a> Vectors<'a> {
    pub(super) fn new(metric: Metric, dim: usize, stored: &'a StoredCodes<'a>) -> Self {
        let by_lanes = stored.are_vectors() && matches!(metric, Metric::L2 | Metric::InnerProduct);
        let codes = stored.codes();
        let rows = if by_lanes { bytemuck::try_cast_slice(codes).ok() } else { None };
        Self { metric, dim, stored, codes, ids: stored.ids(), rows }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn ids(&self) -> Ids<'a> {
        self.ids
    }

    pub(super) fn id(&self, node: u32) -> Id {
        self.ids.get(node as usize)
    }

    pub(super) fn code(&self, node: u32) -> &'a [u8] {
        let size = self.stored.code_size();
        &self.codes[node as usize * size..][..size]
    }

    /// Returns a query that is not set yet. The settings are the codec's.
    pub(super) fn query(&self, settings: &Settings) -> Query<'a> {
        Query { lanes: LaneQuery::default(), scanner: self.stored.scanner(settings) }
    }

    pub(super) fn set_query(&self, query: &mut Query<'_>, vector: &[f32]) {
        query.scanner.set_query(vector);
        query.scanner.set_list(ListNo(0), 0.0);
        if self.rows.is_some() {
            query.lanes.set(vector);
        }
    }

    /// Writes the distances of nodes that a search reports to `out`: a fold over the dimensions in
    /// order, or what the codec computes. They may be NaN.
    pub(super) fn exact(&self, query: &Query<'_>, nodes: &[u32], out: &mut [f32]) {
        let codes: Vec<&[u8]> = nodes.iter().map(|node| self.code(*node)).collect();
        query.scanner.distances_to(&codes, out);
    }

    /// Writes the vector that the code of a node stands for.
    pub(super) fn decode(&self, node: u32, vector: &mut [f32]) {
        match self.rows {
            Some(rows) => vector.copy_from_slice(&rows[node as usize * self.dim..][..self.dim]),
            None => self.stored.decode(node as usize, vector),
        }
    }

    /// Runs code with the scorer of a query.
    pub(super) fn with_scorer<W: WithScorer>(&self, query: &Query<'_>, run: W) -> W::Output {
        let level = Level::get();
        match (self.rows, self.metric) {
            (Some(rows), Metric::L2) => level.run(Scored(self.of_rows(SquaredDifferences, query, rows), run)),
            (Some(rows), _) => level.run(Scored(self.of_rows(NegatedProducts, query, rows), run)),
            _ => level.run(Scored(self.of_codes(query), run)),
        }
    }

    fn of_rows<'q, D>(&self, distance: D, query: &'q Query<'_>, rows: &'q [f32]) -> OfRows<'q, D> {
        OfRows { distance, query: &query.lanes, rows, dim: self.dim }
    }

    fn of_codes<'q>(&'q self, query: &'q Query<'_>) -> OfCodes<'q> {
        OfCodes { scanner: &*query.scanner, codes: self.codes, code_size: self.stored.code_size() }
    }
}

/// A greedy walk and a search with a beam, from the entry of a graph down to a level.
pub(super) struct Widen<'a> {
    pub(super) graph: &'a super::graph::Graph,
    pub(super) scratch: &'a mut Scratch,
    pub(super) entry: u32,
    pub(super) ef: usize,
}

impl WithScorer for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, C: Scorer>(self, simd: S, scorer: &C) {
        let Self { graph, scratch, entry, ef } = self;
        let top = graph.level(entry);
        let start = super::beam::descend(simd, scorer, graph, scratch, entry, 1..=top);
        scratch.beam.clear();
        scratch.beam.push(start);
        super::beam::widen(simd, scorer, graph, scratch, 0, ef);
    }
}
