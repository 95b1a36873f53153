//! Searching: with a beam through the graph, or through all selected vectors where that costs less.

use super::beam::{self, Found, Scratch};
use super::filter::{Filter, Filters};
use super::graph::Graph;
use super::scorer::Scorer;
use super::vectors::{Query, Vectors, Widen, WithScorer};
use super::{EF_SEARCH, HnswIndex, TAKES};
use crate::engine::Queries;
use crate::executor::executor_for;
use crate::simd::{LANES, Simd};
use ivf_core::error::SearchError;
use ivf_core::executor::map_items;
use ivf_core::index_ivf::{check_k, check_radius};
use ivf_core::{
    AnyRows, Hits, Index, Location, Neighbor, RangeSearch, SearchParam, SearchParams, SearchResult, SearchStats,
    Settings, Sink, Takes,
};
use std::time::Instant;

/// Number of tasks for each thread.
const TASKS: usize = 4;

/// Maximum number of queries in a task.
const MOST_QUERIES: usize = 64;

/// Number of vectors whose distances are computed at a time where all are compared.
const TOGETHER: usize = 256;

/// The distances by which a search finds its way differ from the exact ones by rounding. Nodes
/// farther than the radius by this part of it still count as within.
const SLACK: f32 = 1e-4;

/// Factor by which the beam of a range search grows.
const WIDENED: usize = 4;

/// A range search compares all vectors if the links of a wider beam are more than one for so many
/// vectors. (A wide beam also costs a long insertion for each vector in it.)
const MOST_WIDENED: usize = 4;

impl HnswIndex {
    pub(super) fn search_nearest(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_k(k)?;
        params.only("a graph", &self.takes())?;
        self.run(queries, params, Want::Nearest(k))
    }

    fn run(&self, queries: AnyRows<'_>, params: &SearchParams<'_>, want: Want) -> Result<SearchResult, SearchError> {
        let own = params.resolved(&[EF_SEARCH.with_default(self.ef_search)], &Settings::new())?;
        let ef = own.whole(&EF_SEARCH.name).map_or(self.ef_search, |ef| usize::try_from(ef).unwrap_or(usize::MAX));
        let settings = self.storage.codec_settings(params)?;
        let stored = self.storage.stored()?.ok_or(SearchError::NotTrained)?;
        let mut finite = Vec::new();
        let queries = Queries::new(queries, self.dim(), params.skip_bad_queries == Some(true), &mut finite)?;
        params.check_per_query(queries.rows.len())?;
        params.check_cancel()?;
        let vectors = Vectors::new(self.metric(), self.dim(), &stored);
        let (mut converted, started) = (Vec::new(), Instant::now());
        let rows = queries.rows.to_f32(&mut converted);
        let ef = match want {
            Want::Nearest(k) => ef.max(k),
            Want::Within(..) => ef,
        };
        let m = self.graph.upper.width;
        // The number of selected vectors `s` for which comparing all costs as much as a search,
        // which computes about `ef m n / s` distances.
        let few = (ef as f64 * m as f64 * vectors.len() as f64).sqrt() as usize;
        let filters = Filters::new(params, rows.len(), &vectors, few, ef.saturating_mul(2 * m));
        let search = Search { graph: &self.graph, vectors: &vectors, filters: &filters, ef, few, want };
        let mut sinks = vec![want.sink(); rows.len()];
        let each = ef.saturating_mul(m).min(vectors.len()).saturating_mul(self.dim());
        let executor = executor_for(params.executor, rows.len().saturating_mul(each));
        let chunk = rows.len().div_ceil(executor.threads() * TASKS).clamp(1, MOST_QUERIES);
        let jobs: Vec<&mut [Sink]> = sinks.chunks_mut(chunk).collect();
        let computed = map_items(executor, jobs, |job, sinks| {
            let first = job * chunk;
            self.pool.with(|scratch| {
                scratch.computed = 0;
                let mut query = vectors.query(&settings);
                for (i, sink) in (first..).zip(sinks) {
                    params.check_cancel()?;
                    if queries.skipped().binary_search(&i).is_err() {
                        vectors.set_query(&mut query, rows.row(i));
                        search.one(i, &query, scratch, sink);
                    }
                }
                Ok::<u64, SearchError>(scratch.computed)
            })
        });
        let mut stats = SearchStats::of_queries(rows.len());
        for computed in computed {
            stats.codes += computed?;
        }
        stats.updates = sinks.iter().map(Sink::updates).sum();
        stats.scan_time = started.elapsed();
        let hits = Hits::from_sinks(self.metric(), sinks, params.locations == Some(true));
        Ok(SearchResult::new(hits, stats))
    }
}

impl RangeSearch for HnswIndex {
    /// Returns vectors within the radius. The search widens its beam of `efSearch` until it reaches
    /// beyond the radius, so it finds as many of them as a search for the nearest does. If there
    /// are many, all vectors are compared, and none is missed.
    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_radius(radius)?;
        params.only("a range search of a graph", &self.range_takes())?;
        let most = params.max_results.filter(|most| *most > 0).unwrap_or(usize::MAX);
        // The conversion between inner and user distances is its own inverse.
        self.run(queries, params, Want::Within(self.metric().to_user_distance(radius), most))
    }

    fn range_takes(&self) -> Takes {
        self.with_own(&TAKES.with(SearchParam::MaxResults))
    }
}

/// What is searched for.
#[derive(Clone, Copy)]
enum Want {
    Nearest(usize),
    /// At most so many vectors within an inner distance.
    Within(f32, usize),
}

impl Want {
    fn sink(self) -> Sink {
        match self {
            Self::Nearest(k) => Sink::top_k(k),
            Self::Within(radius, most) => Sink::top_k_within(most, radius),
        }
    }
}

/// A search in progress.
struct Search<'a> {
    graph: &'a Graph,
    vectors: &'a Vectors<'a>,
    filters: &'a Filters<'a>,
    ef: usize,
    few: usize,
    want: Want,
}

impl Search<'_> {
    /// Searches for the query with number `i`.
    fn one(&self, i: usize, query: &Query<'_>, scratch: &mut Scratch, sink: &mut Sink) {
        let mut own = None;
        let filter = self.filters.of(i, &mut own);
        let Some(entry) = self.graph.entry else { return };
        if let Some(nodes) = filter.listed() {
            return self.compare(query, nodes.iter().copied(), scratch, sink);
        }
        let is_small = self.vectors.len() <= self.few;
        if is_small || !self.through_graph(query, filter, entry, scratch, sink) {
            *sink = self.want.sink();
            let nodes = (0..self.vectors.len() as u32).filter(|node| self.keeps(filter, *node));
            self.compare(query, nodes, scratch, sink);
        }
    }

    fn keeps(&self, filter: &Filter<'_>, node: u32) -> bool {
        filter.keeps(node, || self.vectors.id(node))
    }

    /// Returns whether a node or one of its copies is selected.
    fn keeps_any(&self, filter: &Filter<'_>, node: u32) -> bool {
        let copies = || self.graph.copies.get(&node).into_iter().flatten();
        self.keeps(filter, node) || copies().any(|copy| self.keeps(filter, *copy))
    }

    /// Searches the graph. Returns false if that found too few, or would cost too much.
    fn through_graph(
        &self,
        query: &Query<'_>,
        filter: &Filter<'_>,
        entry: u32,
        scratch: &mut Scratch,
        sink: &mut Sink,
    ) -> bool {
        let (graph, ef) = (self.graph, self.ef);
        let within = match self.want {
            Want::Nearest(_) if filter.is_all() => {
                self.vectors.with_scorer(query, Widen { graph, scratch, entry, ef });
                None
            }
            Want::Nearest(_) => {
                let most = 2 * self.few as u64;
                let selected =
                    Selected { graph, scratch, entry, limits: (ef, most), keeps: |node| self.keeps_any(filter, node) };
                if !self.vectors.with_scorer(query, selected) {
                    return false;
                }
                None
            }
            Want::Within(radius, _) => {
                // The beam grows until it reaches beyond the radius.
                let (within, mut ef) = (radius + SLACK * radius.abs(), ef);
                loop {
                    self.vectors.with_scorer(query, Widen { graph, scratch: &mut *scratch, entry, ef });
                    if scratch.beam.last().is_some_and(|last| last.distance() > within) {
                        break;
                    }
                    if scratch.beam.len() < ef
                        || (ef * WIDENED).saturating_mul(graph.upper.width) > self.vectors.len() / MOST_WIDENED
                    {
                        return false;
                    }
                    ef *= WIDENED;
                }
                Some(within)
            }
        };
        match (within, self.want) {
            (None, Want::Nearest(k)) => {
                // Whole groups of lanes cost no more.
                scratch.beam.truncate(k.next_multiple_of(LANES));
                self.collect(query, filter, scratch, k, sink);
                sink.len() >= k.min(self.vectors.len())
            }
            (within, _) => {
                let within = within.unwrap_or(f32::INFINITY);
                scratch.beam.retain(|found| found.distance() <= within);
                self.collect(query, filter, scratch, usize::MAX, sink);
                true
            }
        }
    }

    /// Puts the nodes of the beam and their copies into the sink, with exact distances. At most
    /// `k` copies of a node count.
    fn collect(&self, query: &Query<'_>, filter: &Filter<'_>, scratch: &mut Scratch, k: usize, sink: &mut Sink) {
        let mut distances = [0.0; TOGETHER];
        for some in scratch.beam.chunks(TOGETHER) {
            let mut nodes = [0; TOGETHER];
            nodes.iter_mut().zip(some).for_each(|(node, found)| *node = found.node());
            let (nodes, distances) = (&nodes[..some.len()], &mut distances[..some.len()]);
            self.vectors.exact(query, nodes, distances);
            for (&node, &distance) in nodes.iter().zip(&*distances) {
                let copies = self.graph.copies.get(&node).into_iter().flatten().copied();
                let same = [node].into_iter().chain(copies).filter(|node| self.keeps(filter, *node));
                same.take(k).for_each(|node| sink.push(self.neighbor(node, distance)));
            }
        }
    }

    /// Compares the query with nodes.
    fn compare(&self, query: &Query<'_>, nodes: impl Iterator<Item = u32>, scratch: &mut Scratch, sink: &mut Sink) {
        let (mut some, mut distances, mut nodes) = (Vec::with_capacity(TOGETHER), [0.0; TOGETHER], nodes);
        loop {
            some.clear();
            some.extend(nodes.by_ref().take(TOGETHER));
            if some.is_empty() {
                break;
            }
            scratch.computed += some.len() as u64;
            self.vectors.exact(query, &some, &mut distances[..some.len()]);
            for (&node, distance) in some.iter().zip(distances) {
                if distance <= sink.threshold() {
                    sink.push(self.neighbor(node, distance));
                }
            }
        }
    }

    fn neighbor(&self, node: u32, distance: f32) -> Neighbor {
        Neighbor { distance, id: self.vectors.id(node), location: Location::new(0, node) }
    }
}

/// A search for the nearest of the nodes that a filter selects.
struct Selected<'a, F> {
    graph: &'a Graph,
    scratch: &'a mut Scratch,
    entry: u32,
    limits: (usize, u64),
    keeps: F,
}

impl<F: Fn(u32) -> bool> WithScorer for Selected<'_, F> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd, C: Scorer>(self, simd: S, scorer: &C) -> bool {
        let Self { graph, scratch, entry, limits, keeps } = self;
        let start: Found = beam::descend(simd, scorer, graph, scratch, entry, 1..=graph.level(entry));
        beam::widen_selected(simd, scorer, graph, scratch, start, limits, keeps)
    }
}
