//! Scanning a plan: the parallel modes, which differ only in how they cut one row of tasks.

use crate::executor::or_global;
use ivf_core::error::SearchError;
use ivf_core::executor::{map_items, split};
use ivf_core::mask::Mask;
use ivf_core::scanner::{Piece, ScanQuery};
use ivf_core::{
    BoundCodec, Cancel, Executor, IdSelector, InvertedLists, ListNo, ParallelMode, Rows, SearchParams, SearchPlan, Sink,
};
use std::ops::Range;

/// Longer lists are scanned in several tasks, so that one query over one list still feeds every thread.
const TASK_CODES: u32 = 1 << 15;

/// Pieces of work for each thread where they differ in size.
const PARTS_PER_THREAD: usize = 16;

/// So many queries have to share a list, on average and for each thread, before scanning list after list pays: a tile of four
/// runs at four times the speed of a query alone, and the grouping costs little beside it.
const SHARED: usize = 4;

/// What a scan works on.
pub(super) struct Scan<'a> {
    pub(super) bound: &'a dyn BoundCodec,
    pub(super) lists: &'a dyn InvertedLists,
    selector: Option<&'a IdSelector<'a>>,
    executor: &'a dyn Executor,
    cancel: Option<&'a Cancel>,
    mode: ParallelMode,
}

/// A stretch of a list to scan for a query.
#[derive(Clone, Copy, Debug)]
struct Task {
    query: u32,
    list: ListNo,
    coarse_distance: f32,
    start: u32,
    end: u32,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        bound: &'a dyn BoundCodec,
        lists: &'a dyn InvertedLists,
        mode: ParallelMode,
        params: &SearchParams<'a>,
    ) -> Self {
        Self {
            bound,
            lists,
            selector: params.selector,
            executor: or_global(params.executor),
            cancel: params.cancel,
            mode: params.mode.unwrap_or(mode),
        }
    }

    /// Scans rows `planned` of the plan for `queries`, one each, into `sinks`, one each.
    pub(super) fn run(
        &self,
        queries: Rows<'_, f32>,
        plan: &SearchPlan,
        planned: Range<usize>,
        sinks: &mut [Sink],
    ) -> Result<(), SearchError> {
        let mut tasks = Vec::new();
        let mut starts = vec![0];
        let mut probes = 0;
        for (query, row) in planned.enumerate() {
            probes += plan.row(row).len();
            for probe in plan.row(row) {
                for start in (0..probe.prefix).step_by(TASK_CODES as usize) {
                    tasks.push(Task {
                        query: query as u32,
                        list: probe.list,
                        coarse_distance: probe.coarse_distance,
                        start,
                        end: probe.prefix.min(start.saturating_add(TASK_CODES)),
                    });
                }
            }
            starts.push(tasks.len());
        }
        let len = plan.codes().checked_div(plan.probes().len() as u64).unwrap_or(0);
        let mode = self.mode(starts.len() - 1, probes, len as usize);
        let parts = self.cut(mode, &starts);
        let list_major = mode == ParallelMode::ListMajor;
        let found = map_items(self.executor, parts, |_, part| {
            let tasks = &tasks[part];
            if list_major { self.by_list(queries, tasks, sinks) } else { self.by_query(queries, tasks, sinks) }
        });
        // Parts end in any order, but are merged in this one; and a sink's content does not depend on it anyway.
        for part in found.into_iter().collect::<Result<Vec<_>, _>>()? {
            part.into_iter().for_each(|(query, sink)| sinks[query as usize].merge(sink));
        }
        Ok(())
    }

    /// The mode that the caller names, or list-major where that pays: enough queries share each list, of about `len` codes.
    fn mode(&self, queries: usize, probes: usize, len: usize) -> ParallelMode {
        if self.mode != ParallelMode::Auto || queries == 0 {
            return self.mode;
        }
        let (nlist, together) = (self.lists.nlist(), self.queries_at_once(queries));
        let shared = probes / nlist * together / queries;
        if shared >= SHARED && self.bound.shares_lists(len) { ParallelMode::ListMajor } else { ParallelMode::Auto }
    }

    /// The queries that one thread of a list-major search takes at a time.
    fn queries_at_once(&self, queries: usize) -> usize {
        queries.div_ceil(self.executor.threads()).clamp(1, self.bound.queries_at_once().max(1))
    }

    /// Cuts the tasks into the mode's parts; query `q` has the tasks `starts[q]..starts[q + 1]`.
    fn cut(&self, mode: ParallelMode, starts: &[usize]) -> Vec<Range<usize>> {
        let threads = self.executor.threads();
        let queries = starts.len() - 1;
        let runs = |parts| -> Vec<Range<usize>> {
            split(queries, parts).into_iter().map(|run| starts[run.start]..starts[run.end]).collect()
        };
        let mut parts = match mode {
            ParallelMode::Queries => runs(threads),
            ParallelMode::ListMajor => runs(queries.div_ceil(self.queries_at_once(queries))),
            ParallelMode::Probes => (0..queries)
                .flat_map(|q| split(starts[q + 1] - starts[q], threads).into_iter().map(move |r| (q, r)))
                .map(|(q, r)| starts[q] + r.start..starts[q] + r.end)
                .collect(),
            ParallelMode::QueriesAndProbes => split(starts[queries], threads * PARTS_PER_THREAD),
            ParallelMode::FineQueries => runs(threads * PARTS_PER_THREAD),
            // Whole queries share a scanner and a threshold; only a few of them do not feed all threads.
            _ if threads == 1 || queries >= 4 * threads => runs(threads * PARTS_PER_THREAD),
            _ => split(starts[queries], threads),
        };
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// Query after query.
    fn by_query(
        &self,
        queries: Rows<'_, f32>,
        tasks: &[Task],
        sinks: &[Sink],
    ) -> Result<Vec<(u32, Sink)>, SearchError> {
        let mut scanner = self.bound.scanner();
        let mut masks = Masks::new(self.selector);
        let mut found = Vec::new();
        let mut lists = Vec::new();
        for tasks in tasks.chunk_by(|a, b| a.query == b.query) {
            self.check_cancel()?;
            lists.clear();
            lists.extend(tasks.iter().map(|task| task.list));
            self.lists.prefetch(&lists);
            let query = tasks[0].query;
            let mut sink = sinks[query as usize].fork();
            scanner.set_query(queries.row(query as usize));
            for task in tasks {
                let entries = self.lists.list(task.list)?;
                scanner.set_list(task.list, task.coarse_distance);
                let range = task.start as usize..task.end as usize;
                for piece in Piece::of_list(task.list, &entries, self.lists.layout(), range) {
                    let mask = masks.of(&piece);
                    scanner.scan(&piece.masked(mask), &mut sink);
                }
            }
            found.push((query, sink));
        }
        Ok(found)
    }

    /// List after list, each for all the queries that probe it.
    fn by_list(&self, queries: Rows<'_, f32>, tasks: &[Task], sinks: &[Sink]) -> Result<Vec<(u32, Sink)>, SearchError> {
        let mut scanner = self.bound.scanner();
        let mut masks = Masks::new(self.selector);
        let (Some(first), Some(last)) = (tasks.first(), tasks.last()) else { return Ok(Vec::new()) };
        let first = first.query;
        let mut found: Vec<(u32, Sink)> =
            (first..=last.query).map(|query| (query, sinks[query as usize].fork())).collect();

        scanner.set_queries(queries.slice(first as usize..last.query as usize + 1));
        let rounds = nearest_first(tasks);
        let ordered: Vec<Task> = rounds.iter().flat_map(|round| list_after_list(round, self.lists.nlist())).collect();
        let groups: Vec<&[Task]> = ordered.chunk_by(|a, b| (a.list, a.start) == (b.list, b.start)).collect();
        let lists: Vec<ListNo> = groups.iter().map(|group| group[0].list).collect();
        self.lists.prefetch(&lists);
        for group in groups {
            self.check_cancel()?;
            let (list, start) = (group[0].list, group[0].start as usize);
            let end = group.iter().map(|task| task.end).max().expect("a group has tasks") as usize;
            let entries = self.lists.list(list)?;
            for piece in Piece::of_list(list, &entries, self.lists.layout(), start..end) {
                let mask = masks.of(&piece);
                // A caller's probes may name a list twice for a query: the second time is a round of its own.
                let mut pending = group.to_vec();
                while !pending.is_empty() {
                    let mut again = Vec::new();
                    let mut batch: Vec<ScanQuery<'_>> = Vec::with_capacity(pending.len());
                    let mut rest = found.iter_mut();
                    let mut next = first;
                    for task in pending {
                        if task.query < next {
                            again.push(task);
                            continue;
                        }
                        let (_, sink) = rest.nth((task.query - next) as usize).expect("a sink for every query");
                        next = task.query + 1;
                        batch.push(ScanQuery {
                            number: (task.query - first) as usize,
                            query: queries.row(task.query as usize),
                            coarse_distance: task.coarse_distance,
                            limit: (task.end as usize).saturating_sub(piece.first_offset()),
                            mask,
                            sink,
                        });
                    }
                    scanner.scan_batch(&piece, &mut batch);
                    pending = again;
                }
            }
        }
        Ok(found)
    }

    fn check_cancel(&self) -> Result<(), SearchError> {
        match self.cancel {
            Some(cancel) if cancel.is_cancelled() => Err(SearchError::Cancelled),
            _ => Ok(()),
        }
    }
}

/// The first task of each query, and the others: a threshold that its nearest list gives spares much of what the others would find
/// and forget.
fn nearest_first(tasks: &[Task]) -> [Vec<Task>; 2] {
    let [mut first, mut others] = [Vec::new(), Vec::with_capacity(tasks.len())];
    for tasks in tasks.chunk_by(|a, b| a.query == b.query) {
        first.push(tasks[0]);
        others.extend_from_slice(&tasks[1..]);
    }
    [first, others]
}

/// The tasks by list, then by where they start, then by query, which is how they come: a counting sort.
fn list_after_list(tasks: &[Task], nlist: usize) -> Vec<Task> {
    let Some(&any) = tasks.first() else { return Vec::new() };
    let mut next = vec![0; nlist + 1];
    tasks.iter().for_each(|task| next[task.list.0 as usize + 1] += 1);
    for list in 0..nlist {
        next[list + 1] += next[list];
    }
    let mut sorted = vec![any; tasks.len()];
    for task in tasks {
        let place = &mut next[task.list.0 as usize];
        sorted[*place] = *task;
        *place += 1;
    }
    if tasks.iter().any(|task| task.start > 0) {
        sorted.sort_by_key(|task| (task.list, task.start));
    }
    sorted
}

/// The masks of a selector, segment by segment; the last one is kept, since tasks of one segment follow one another.
struct Masks<'a> {
    selector: Option<&'a IdSelector<'a>>,
    of: Option<(ListNo, usize)>,
    mask: Mask,
}

impl<'a> Masks<'a> {
    fn new(selector: Option<&'a IdSelector<'a>>) -> Self {
        Self { selector, of: None, mask: Mask::default() }
    }

    /// The mask over the segment of a piece.
    fn of(&mut self, piece: &Piece<'_>) -> Option<&Mask> {
        let selector = self.selector?;
        let key = (piece.list(), piece.first_offset());
        if self.of != Some(key) {
            selector.mask(piece.segment().ids(), &mut self.mask);
            self.of = Some(key);
        }
        Some(&self.mask)
    }
}
