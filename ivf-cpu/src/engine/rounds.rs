//! Searches in parts: blocks of queries, and, for range searches that may end early, rounds of lists.

use super::scan::{Batch, Scan};
use ivf_core::error::SearchError;
use ivf_core::executor::split;
use ivf_core::{ListNo, SearchParams, SearchPlan, SearchStats, Sink};
use std::ops::Range;

/// Blocks of queries that are converted, assigned, planned and scanned at a time, all of about the same size: as many as have about
/// a million probes, so that a search of all lists does not write down all pairs of queries and lists.
pub(super) struct Batches(std::vec::IntoIter<Range<usize>>);

/// One of them.
pub(super) struct Block(Range<usize>, Vec<usize>);

impl Batches {
    pub(super) fn new(queries: usize, nprobe: usize) -> Self {
        let most = ((1 << 20) / nprobe.max(1)).clamp(64, 16384);
        Self(split(queries, queries.div_ceil(most)).into_iter())
    }
}

impl Iterator for Batches {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        self.0.next().map(|range| Block(range.clone(), range.collect()))
    }
}

impl Block {
    pub(super) fn range(&self) -> Range<usize> {
        self.0.clone()
    }

    /// The numbers of its queries in the call.
    pub(super) fn numbers(&self) -> &[usize] {
        &self.1
    }
}

/// Queries of a capped range search that may end early, at a time.
const TOGETHER: usize = 64;

/// How a range search goes through its lists.
pub(super) struct Rounds {
    /// An inner distance; results are strictly nearer.
    radius: f32,
    most: usize,
    /// So many lists in a row without a result end the search of a query; `None`: it scans all.
    empty: Option<usize>,
}

impl Rounds {
    pub(super) fn new(radius: f32, params: &SearchParams<'_>) -> Self {
        let limit = |asked: Option<usize>| asked.filter(|&most| most > 0);
        Self { radius, most: limit(params.max_results).unwrap_or(usize::MAX), empty: limit(params.max_empty_lists) }
    }

    /// Where the results of a query go.
    pub(super) fn sink(&self) -> Sink {
        if self.most == usize::MAX { Sink::range(self.radius) } else { Sink::top_k_within(self.most, self.radius) }
    }

    /// Scans for a batch.
    pub(super) fn run(
        &self,
        scan: &Scan<'_>,
        batch: Batch<'_>,
        sinks: &mut [Sink],
        stats: &mut SearchStats,
    ) -> Result<(), SearchError> {
        let Some(most_empty) = self.empty else { return scan.run_counted(batch, sinks, stats) };
        // What a round finds is held whole, also where few are to be kept: for few queries at a time.
        let together = if self.most == usize::MAX { batch.queries.len().max(1) } else { TOGETHER };
        for start in (0..batch.queries.len()).step_by(together) {
            let range = start..batch.queries.len().min(start + together);
            let queries = batch.queries.slice(range.clone());
            let part = Batch { queries, first: batch.first + start, numbers: &batch.numbers[range.clone()], ..batch };
            self.run_rounds(scan, part, most_empty, &mut sinks[range], stats)?;
        }
        Ok(())
    }

    /// Scans for a batch. A query that may end early has in each round as many lists as it takes for that, all without a result: no
    /// list is scanned that comes after its end.
    fn run_rounds(
        &self,
        scan: &Scan<'_>,
        batch: Batch<'_>,
        most_empty: usize,
        sinks: &mut [Sink],
        stats: &mut SearchStats,
    ) -> Result<(), SearchError> {
        // For each query, how many of its lists are scanned, and how many of the last of those had no result.
        let mut done = vec![(0, 0); batch.queries.len()];
        loop {
            let rows = done.iter().enumerate().map(|(q, &(scanned, empty))| {
                let row = &batch.plan.row(batch.first + q)[scanned..];
                &row[..row.len().min(most_empty - empty)]
            });
            let plan = SearchPlan::from_rows(rows);
            if plan.probes().is_empty() {
                return Ok(());
            }
            // Without a cap: what is pushed out of a full sink was a result of its list all the same.
            let mut found = vec![Sink::range(self.radius); batch.queries.len()];
            scan.run_counted(Batch { plan: &plan, first: 0, ..batch }, &mut found, stats)?;
            for (q, (found, (scanned, empty))) in found.into_iter().zip(&mut done).enumerate() {
                let mut lists: Vec<ListNo> = found.held().iter().map(|hit| hit.location.list).collect();
                lists.sort_unstable();
                for probe in plan.row(q) {
                    *scanned += 1;
                    *empty = if lists.binary_search(&probe.list).is_ok() { 0 } else { *empty + 1 };
                }
                sinks[q].merge(found);
            }
        }
    }
}
