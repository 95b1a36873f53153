//! Splitting a search: into blocks of queries, and, for range searches that may end early, into
//! rounds of lists.

use super::scan::{Batch, Scan};
use ivf_core::error::SearchError;
use ivf_core::executor::split;
use ivf_core::{ListNo, SearchParams, SearchPlan, SearchStats, Sink};
use std::ops::Range;

/// Blocks of queries, of about the same size, that are converted, assigned, planned and scanned at
/// a time. The maximum size is `2^20 / nprobe` queries, but at least 1 and at most 16384. So a
/// search of all lists does not store every pair of query and list.
pub(super) struct QueryBlocks(std::vec::IntoIter<Range<usize>>);

/// A block of queries.
pub(super) struct QueryBlock(Range<usize>, Vec<usize>);

impl QueryBlocks {
    pub(super) fn new(queries: usize, nprobe: usize) -> Self {
        let most = ((1 << 20) / nprobe.max(1)).clamp(1, 16384);
        Self(split(queries, queries.div_ceil(most)).into_iter())
    }
}

impl Iterator for QueryBlocks {
    type Item = QueryBlock;

    fn next(&mut self) -> Option<QueryBlock> {
        self.0.next().map(|range| QueryBlock(range.clone(), range.collect()))
    }
}

impl QueryBlock {
    pub(super) fn range(&self) -> Range<usize> {
        self.0.clone()
    }

    /// Returns the positions of the block's queries in the call.
    pub(super) fn numbers(&self) -> &[usize] {
        &self.1
    }
}

/// Number of queries processed at a time in a capped range search that may end early.
const TOGETHER: usize = 64;

/// The limits of a range search, which decide whether it scans its lists in rounds.
pub(super) struct Rounds {
    /// Radius as an inner distance; results are strictly nearer.
    radius: f32,
    /// Maximum number of results per query.
    most: usize,
    /// Number of consecutive lists without a result after which the search of a query ends. `None`
    /// if all lists are scanned.
    empty: Option<usize>,
}

impl Rounds {
    pub(super) fn new(radius: f32, params: &SearchParams<'_>) -> Self {
        let limit = |asked: Option<usize>| asked.filter(|&most| most > 0);
        Self { radius, most: limit(params.max_results).unwrap_or(usize::MAX), empty: limit(params.max_empty_lists) }
    }

    /// Creates the sink for the results of a query.
    pub(super) fn sink(&self) -> Sink {
        if self.most == usize::MAX { Sink::range(self.radius) } else { Sink::top_k_within(self.most, self.radius) }
    }

    /// Scans the lists of a batch.
    pub(super) fn run(
        &self,
        scan: &Scan<'_>,
        batch: Batch<'_>,
        sinks: &mut [Sink],
        stats: &mut SearchStats,
    ) -> Result<(), SearchError> {
        let Some(most_empty) = self.empty else { return scan.run_counted(batch, sinks, stats) };
        // A round holds all of its results, even if the cap keeps only a few. So a capped search
        // handles few queries at a time.
        let together = if self.most == usize::MAX { batch.queries.len().max(1) } else { TOGETHER };
        for start in (0..batch.queries.len()).step_by(together) {
            let range = start..batch.queries.len().min(start + together);
            let queries = batch.queries.slice(range.clone());
            let part = Batch { queries, first: batch.first + start, numbers: &batch.numbers[range.clone()], ..batch };
            self.run_rounds(scan, part, most_empty, &mut sinks[range], stats)?;
        }
        Ok(())
    }

    /// Scans the lists of a batch in rounds. Each round scans, for each query, the number of empty
    /// lists that would end its search. So no list after the end of a search is scanned.
    fn run_rounds(
        &self,
        scan: &Scan<'_>,
        batch: Batch<'_>,
        most_empty: usize,
        sinks: &mut [Sink],
        stats: &mut SearchStats,
    ) -> Result<(), SearchError> {
        // For each query, the number of lists scanned, and the number of consecutive empty lists at
        // their end.
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
            // No cap here: a result that a full sink would drop still makes its list non-empty.
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
