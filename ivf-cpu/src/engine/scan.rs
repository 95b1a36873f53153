//! Scanning a plan. The parallel modes differ only in how they split one sequence of tasks.

use super::IvfIndex;
use super::accelerate::BatchSelection;
use super::entries::Entries;
use super::filter::{Filters, SelectionCache, restricted};
use super::gathered::{self, Gathered};
use super::pieces::{Chosen, TASK_CODES, reads};
use crate::executor::executor_for;
use ivf_core::accelerator::{Accelerator, PlannedScan, Selection};
use ivf_core::error::SearchError;
use ivf_core::executor::{map_items, split};
use ivf_core::mask::Mask;
use ivf_core::plan::PlannedProbe;
use ivf_core::scanner::{ScanQuery, ScanRange};
use ivf_core::selector::Selected;
use ivf_core::{
    BoundCodec, Cancel, Executor, InvertedListScanner, InvertedLists, ListNo, ParallelMode, Rows, SearchParams,
    SearchPlan, SearchStats, Settings, Sink,
};
use std::ops::Range;
use std::time::Instant;

/// Number of parts per thread where parts differ in size.
const PARTS_PER_THREAD: usize = 16;

/// Minimum average number of queries per list and thread for which list-major scanning pays. A tile
/// of four queries runs at four times the speed of a single query, and the grouping costs little in
/// comparison.
const MIN_QUERIES_PER_LIST: usize = 4;

/// The same for lists that are not in memory, which are then read once instead of once per query.
const MIN_QUERIES_PER_READ: usize = 2;

/// Minimum average number of codes per query and thread for which several threads divide the lists
/// of a batch and not its queries. Each of them prepares its own state of every query, such as a
/// lookup table.
const PREPARED_CODES: usize = 1 << 12;

/// The inputs of a scan that all queries share.
pub(super) struct Scan<'a> {
    pub(super) bound: &'a dyn BoundCodec,
    pub(super) lists: &'a dyn InvertedLists,
    /// Scans in place of this.
    accelerator: Option<&'a dyn Accelerator>,
    filters: Filters<'a>,
    executor: Option<&'a dyn Executor>,
    cancel: Option<&'a Cancel>,
    mode: ParallelMode,
    /// Values of the codec's parameters.
    settings: Settings,
}

/// A range of a list to scan for a query.
#[derive(Clone, Copy, Debug)]
struct Task {
    query: u32,
    list: ListNo,
    coarse_distance: f32,
    start: u32,
    end: u32,
}

impl Task {
    /// Returns the range of offsets to scan.
    fn entries(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Returns the range of offsets to scan for tasks of one list that have the same start.
fn entries_of(tasks: &[Task]) -> Range<usize> {
    let end = tasks.iter().map(|task| task.end).max().expect("a group has tasks");
    tasks[0].start as usize..end as usize
}

/// A batch of queries to scan for.
#[derive(Clone, Copy)]
pub(super) struct Batch<'b> {
    pub(super) queries: Rows<'b, f32>,
    /// The probes of each query, one row per query.
    pub(super) plan: &'b SearchPlan,
    /// The plan row of the first query.
    pub(super) first: usize,
    /// The position of each query in the call, which selects its filter.
    pub(super) numbers: &'b [usize],
}

impl<'a> Scan<'a> {
    /// Creates the scan of a search with `queries` queries that each scan about `lists` lists.
    pub(super) fn new(
        index: &IvfIndex,
        entries: &'a Entries,
        params: &SearchParams<'a>,
        queries: usize,
        lists: usize,
    ) -> Result<Self, SearchError> {
        let settings = params.resolved(&index.codec_params(), &index.options.settings)?;
        Ok(Self {
            bound: &*entries.bound,
            lists: &*entries.lists,
            accelerator: index.scanning(entries, &settings),
            filters: Filters::new(params, entries, queries, lists),
            executor: params.executor,
            cancel: params.cancel,
            mode: params.mode.unwrap_or(index.options.mode),
            settings,
        })
    }

    /// Returns the accelerator if no query has a filter.
    pub(super) fn unfiltered(&self) -> Option<&'a dyn Accelerator> {
        self.accelerator.filter(|_| !self.filters.are_any())
    }

    /// Calls [`run`](Self::run), and adds its counts and time to `stats`.
    pub(super) fn run_counted(
        &self,
        batch: Batch<'_>,
        sinks: &mut [Sink],
        stats: &mut SearchStats,
    ) -> Result<(), SearchError> {
        let started = Instant::now();
        let updates = |sinks: &[Sink]| sinks.iter().map(Sink::updates).sum::<u64>();
        let before = updates(sinks);
        self.run(batch, sinks)?;
        for row in batch.first..batch.first + batch.queries.len() {
            let probes = batch.plan.row(row);
            stats.lists += probes.len() as u64;
            stats.codes += probes.iter().map(|probe| u64::from(probe.codes)).sum::<u64>();
        }
        stats.updates += updates(sinks) - before;
        stats.scan_time += started.elapsed();
        Ok(())
    }

    /// Scans for a batch of queries into `sinks`, one per query.
    fn run(&self, batch: Batch<'_>, sinks: &mut [Sink]) -> Result<(), SearchError> {
        let Batch { plan, first, .. } = batch;
        if let Some(accelerator) = self.accelerator {
            self.check_cancel()?;
            if (first..first + batch.queries.len()).all(|row| plan.row(row).is_empty()) {
                return Ok(());
            }
            let selected = BatchSelection { filters: &self.filters, lists: self.lists, numbers: batch.numbers };
            let selection: Option<&dyn Selection> = self.filters.are_any().then_some(&selected);
            let scan = PlannedScan::new(batch.queries, plan, first).with_selection(selection).with_cancel(self.cancel);
            return accelerator.scan(&scan, sinks);
        }
        let mut tasks = Vec::new();
        let mut starts = vec![0];
        let mut probes = 0;
        for (query, row) in (first..first + batch.queries.len()).enumerate() {
            probes += plan.row(row).len();
            for probe in plan.row(row) {
                for start in (0..probe.codes).step_by(TASK_CODES as usize) {
                    tasks.push(Task {
                        query: query as u32,
                        list: probe.list,
                        coarse_distance: probe.coarse_distance,
                        start,
                        end: probe.codes.min(start.saturating_add(TASK_CODES)),
                    });
                }
            }
            starts.push(tasks.len());
        }
        let codes = tasks.iter().map(|task| (task.end - task.start) as usize).sum::<usize>();
        let executor = executor_for(self.executor, codes.saturating_mul(self.lists.layout().code_size()));
        let threads = executor.threads();
        let queries = starts.len() - 1;
        let most = self.bound.queries_at_once().max(1);
        let is_read_once =
            !self.lists.in_memory() && (most == usize::MAX || codes / threads >= PREPARED_CODES * queries);
        let at_once = if is_read_once { queries } else { queries.div_ceil(threads) }.clamp(1, most);
        let mode = self.mode(queries, probes, codes.checked_div(probes).unwrap_or(0), at_once);
        let parts = cut(mode, &starts, threads, at_once);
        if mode == ParallelMode::ListMajor && is_read_once {
            for part in parts {
                let ordered = list_after_list(&tasks[part.clone()], self.lists.nlist());
                let run = |_, piece: Range<usize>| self.by_list(batch, &tasks[part.clone()], &ordered[piece], sinks);
                merge(map_items(executor, cut_lists(&ordered, threads), run), sinks)?;
            }
            return Ok(());
        }
        let run = |_, part: Range<usize>| {
            let tasks = &tasks[part];
            if mode != ParallelMode::ListMajor {
                return self.by_query(batch, tasks, sinks);
            }
            let rounds = nearest_first(tasks);
            let ordered =
                rounds.iter().flat_map(|round| list_after_list(round, self.lists.nlist())).collect::<Vec<_>>();
            self.by_list(batch, tasks, &ordered, sinks)
        };
        merge(map_items(executor, parts, run), sinks)
    }

    /// Returns the mode that the caller selects. In automatic mode, returns list-major if enough
    /// queries share each list of about `len` codes. One thread of a list-major search handles
    /// `at_once` queries at a time.
    fn mode(&self, queries: usize, probes: usize, len: usize, at_once: usize) -> ParallelMode {
        // Per-query filters compute a mask for each query and list anyway.
        if self.mode != ParallelMode::Auto || queries == 0 || matches!(self.filters, Filters::PerQuery(..)) {
            return self.mode;
        }
        let nlist = self.lists.nlist();
        let is_list_major = if self.lists.in_memory() {
            is_shared(nlist, queries, probes, at_once, MIN_QUERIES_PER_LIST) && self.bound.shares_lists(len)
        } else {
            is_shared(nlist, queries, probes, at_once, MIN_QUERIES_PER_READ)
        };
        if is_list_major { ParallelMode::ListMajor } else { ParallelMode::Auto }
    }

    /// Scans query by query.
    fn by_query(&self, batch: Batch<'_>, tasks: &[Task], sinks: &[Sink]) -> Result<Vec<(u32, Sink)>, SearchError> {
        let mut scanner = self.bound.scanner(&self.settings);
        let mut cache = SelectionCache::default();
        let mut found = Vec::new();
        let mut lists = Vec::new();
        for tasks in tasks.chunk_by(|a, b| a.query == b.query) {
            self.check_cancel()?;
            let query = tasks[0].query as usize;
            let filter = self.filters.of(batch.numbers[query]);
            if let Filters::PerQuery(..) = self.filters {
                cache.forget();
            }
            let is_wanted = |task: &Task| filter.is_none_or(|filter| filter.may_choose_of(task.list, task.entries()));
            lists.clear();
            lists.extend(tasks.iter().filter(|task| is_wanted(task)).map(|task| task.list));
            self.lists.prefetch(&lists);
            let mut sink = sinks[query].fork();
            scanner.set_query(batch.queries.row(query));
            scanner.set_probes(batch.plan.row(batch.first + query));
            for task in tasks.iter().filter(|task| is_wanted(task)) {
                let start = task.start as usize;
                let chosen =
                    filter.map(|filter| filter.select(self.lists, task.list, start, &mut cache)).transpose()?;
                let mut ranges = reads(self.lists.layout(), task.entries(), chosen).peekable();
                if ranges.peek().is_some() {
                    scanner.set_list(task.list, task.coarse_distance);
                }
                for range in ranges {
                    let entries = self.lists.list_range(task.list, range.clone())?;
                    for scan_range in ScanRange::of_list(task.list, &entries, self.lists.layout(), range) {
                        let (first, len) = (scan_range.first_offset(), scan_range.segment().len());
                        let selected = chosen.map(|chosen| chosen.of_segment(first, len));
                        if let Some(scan_range) = restricted(scan_range, selected.as_deref()) {
                            scanner.scan(&scan_range, &mut sink);
                        }
                    }
                }
            }
            found.push((tasks[0].query, sink));
        }
        Ok(found)
    }

    /// Scans list by list, each for all queries that probe it. `ordered` holds tasks of the queries
    /// of `tasks`, all of a list and a start one after the other.
    fn by_list(
        &self,
        batch: Batch<'_>,
        tasks: &[Task],
        ordered: &[Task],
        sinks: &[Sink],
    ) -> Result<Vec<(u32, Sink)>, SearchError> {
        let mut scanner = self.bound.scanner(&self.settings);
        let (mut cache, mut gathered) = (SelectionCache::default(), Gathered::default());
        let (Some(first), Some(end)) = (tasks.first(), tasks.last()) else { return Ok(Vec::new()) };
        let first = first.query;
        let mut found: Vec<(u32, Sink)> =
            (first..=end.query).map(|query| (query, sinks[query as usize].fork())).collect();

        let queries = first as usize..end.query as usize + 1;
        let probes: Vec<&[PlannedProbe]> = queries.clone().map(|query| batch.plan.row(batch.first + query)).collect();
        scanner.set_queries(batch.queries.slice(queries), &probes);
        let common = if let Filters::Common(filter) = &self.filters { Some(filter) } else { None };
        let mut groups: Vec<&[Task]> = ordered.chunk_by(is_same_piece).collect();
        groups.retain(|group| common.is_none_or(|filter| filter.may_choose_of(group[0].list, entries_of(group))));
        let lists: Vec<ListNo> = groups.iter().map(|group| group[0].list).collect();
        self.lists.prefetch(&lists);
        let layout = self.lists.layout();
        for tasks in groups {
            self.check_cancel()?;
            let (list, start) = (tasks[0].list, tasks[0].start as usize);
            let chosen = common.map(|filter| filter.select(self.lists, list, start, &mut cache)).transpose()?;
            // With per-query filters: for each task, its selection.
            let own: Vec<Option<Chosen>> = match &self.filters {
                Filters::PerQuery(..) => {
                    tasks.iter().map(|task| self.own_choice(batch, task)).collect::<Result<_, _>>()?
                }
                _ => Vec::new(),
            };
            for range in reads(layout, entries_of(tasks), chosen) {
                let is_unwanted = |own: &Option<Chosen>| own.as_ref().is_some_and(|own| !own.selects_of(&range));
                if !own.is_empty() && own.iter().all(is_unwanted) {
                    continue;
                }
                let entries = self.lists.list_range(list, range.clone())?;
                for scan_range in ScanRange::of_list(list, &entries, layout, range) {
                    let (offset, len) = (scan_range.first_offset(), scan_range.segment().len());
                    let limit = |task: &Task| (task.end as usize).saturating_sub(offset);
                    let group = Group { batch, first, tasks };
                    match chosen.map(|chosen| chosen.of_segment(offset, len)).as_deref() {
                        Some(Selected::None) => {}
                        Some(Selected::Run(run)) => {
                            let run = scan_range.clone().within(run.clone());
                            group.scan(&mut *scanner, &run, |i| (limit(&tasks[i]), None), &mut found);
                        }
                        Some(Selected::Some(mask)) => {
                            let chosen = mask.count_in(scan_range.range());
                            if gathered::pays(chosen, scan_range.range().len(), tasks.len()) {
                                gathered.take_out(&scan_range, mask);
                                let taken = gathered.segment(layout)?;
                                let taken = ScanRange::taken_out(list, &taken, layout, offset, gathered.slots());
                                let below = |i: usize| (gathered.below(limit(&tasks[i])), None);
                                group.scan(&mut *scanner, &taken, below, &mut found);
                            } else {
                                group.scan(&mut *scanner, &scan_range, |i| (limit(&tasks[i]), Some(mask)), &mut found);
                            }
                        }
                        None => {
                            let mask = |own: &Option<Chosen>| {
                                Some(own.as_ref()?.of_segment(offset, len).into_owned().into_mask(len))
                            };
                            let masks: Vec<Option<Mask>> = own.iter().map(mask).collect();
                            let mask = |i: usize| masks.get(i).and_then(Option::as_ref);
                            group.scan(&mut *scanner, &scan_range, |i| (limit(&tasks[i]), mask(i)), &mut found);
                        }
                    }
                }
            }
        }
        Ok(found)
    }

    /// Returns the entries that the filter of a task's query selects, or `None` if the query has no
    /// filter.
    fn own_choice(&self, batch: Batch<'_>, task: &Task) -> Result<Option<Chosen>, SearchError> {
        let Some(filter) = self.filters.of(batch.numbers[task.query as usize]) else { return Ok(None) };
        let mut cache = SelectionCache::default();
        Ok(Some(filter.select(self.lists, task.list, task.start as usize, &mut cache)?.clone()))
    }

    fn check_cancel(&self) -> Result<(), SearchError> {
        match self.cancel {
            Some(cancel) if cancel.is_cancelled() => Err(SearchError::Cancelled),
            _ => Ok(()),
        }
    }
}

/// Splits the tasks into the parts of the mode. Query `q` has the tasks
/// `starts[q]..starts[q + 1]`.
fn cut(mode: ParallelMode, starts: &[usize], threads: usize, at_once: usize) -> Vec<Range<usize>> {
    let queries = starts.len() - 1;
    let runs = |parts| -> Vec<Range<usize>> {
        split(queries, parts).into_iter().map(|run| starts[run.start]..starts[run.end]).collect()
    };
    let mut parts = match mode {
        ParallelMode::Queries => runs(threads),
        ParallelMode::ListMajor => runs(queries.div_ceil(at_once)),
        ParallelMode::Probes => (0..queries)
            .flat_map(|q| split(starts[q + 1] - starts[q], threads).into_iter().map(move |r| (q, r)))
            .map(|(q, r)| starts[q] + r.start..starts[q] + r.end)
            .collect(),
        ParallelMode::QueriesAndProbes => split(starts[queries], threads * PARTS_PER_THREAD),
        ParallelMode::FineQueries => runs(threads * PARTS_PER_THREAD),
        // The tasks of a query share a scanner and a threshold, so parts of whole queries are
        // best. A small number of queries is split instead, to use all threads.
        _ if threads == 1 || queries >= 4 * threads => runs(threads * PARTS_PER_THREAD),
        _ => split(starts[queries], threads),
    };
    parts.retain(|part| !part.is_empty());
    parts
}

/// Returns whether at least `least` queries share a list when `together` queries are scanned at
/// once: `probes / nlist * together / queries` on average. `probes` is the total over all queries.
fn is_shared(nlist: usize, queries: usize, probes: usize, together: usize, least: usize) -> bool {
    probes as u128 * together as u128 >= least as u128 * nlist as u128 * queries as u128
}

/// Splits tasks that are ordered by list and start into about `parts` parts of about the same
/// number of codes to scan. No piece of a list is in two parts.
fn cut_lists(ordered: &[Task], parts: usize) -> Vec<Range<usize>> {
    let weight = |tasks: &[Task]| tasks.iter().map(|task| task.entries().len()).sum::<usize>();
    let most = weight(ordered).div_ceil(parts);
    let (mut cut, mut start, mut end, mut codes) = (Vec::new(), 0, 0, 0);
    for tasks in ordered.chunk_by(is_same_piece) {
        (end, codes) = (end + tasks.len(), codes + weight(tasks));
        if codes >= most {
            cut.push(start..end);
            (start, codes) = (end, 0);
        }
    }
    if start < end {
        cut.push(start..end);
    }
    cut
}

fn is_same_piece(a: &Task, b: &Task) -> bool {
    (a.list, a.start) == (b.list, b.start)
}

/// Merges what the parts found. Parts finish in any order, but are merged in sequence. The content
/// of a sink does not depend on the order anyway.
fn merge(found: Vec<Result<Vec<(u32, Sink)>, SearchError>>, sinks: &mut [Sink]) -> Result<(), SearchError> {
    for part in found.into_iter().collect::<Result<Vec<_>, _>>()? {
        part.into_iter().for_each(|(query, sink)| sinks[query as usize].merge(sink));
    }
    Ok(())
}

/// Returns the first task of each query, and then all others. The nearest list of a query gives it
/// a threshold, which spares the other lists many candidates that would be dropped later.
fn nearest_first(tasks: &[Task]) -> [Vec<Task>; 2] {
    let [mut first, mut others] = [Vec::new(), Vec::with_capacity(tasks.len())];
    for tasks in tasks.chunk_by(|a, b| a.query == b.query) {
        first.push(tasks[0]);
        others.extend_from_slice(&tasks[1..]);
    }
    [first, others]
}

/// Maximum number of lists per task for which a counting sort, which visits every list, is faster
/// than a comparison sort.
const COUNTED: usize = 16;

/// Returns the tasks sorted by list, then by start, then by query. The input is in query order.
fn list_after_list(tasks: &[Task], nlist: usize) -> Vec<Task> {
    let Some(&any) = tasks.first() else { return Vec::new() };
    if nlist / COUNTED > tasks.len() {
        let mut sorted = tasks.to_vec();
        sorted.sort_by_key(|task| (task.list, task.start));
        return sorted;
    }
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

/// The tasks of a list, in a part of a batch that begins with query `first`.
struct Group<'g> {
    batch: Batch<'g>,
    first: u32,
    tasks: &'g [Task],
}

impl Group<'_> {
    /// Scans a range for the query of each task. `view(i)` returns the number of leading entries
    /// that task `i` scans, and its mask if it has one.
    fn scan<'m>(
        &self,
        scanner: &mut dyn InvertedListScanner,
        scan_range: &ScanRange<'_>,
        view: impl Fn(usize) -> (usize, Option<&'m Mask>),
        found: &mut [(u32, Sink)],
    ) {
        // A caller's probes may name a list twice for a query. The second time needs another pass.
        let mut pending: Vec<usize> = (0..self.tasks.len()).collect();
        while !pending.is_empty() {
            let mut again = Vec::new();
            let mut queries: Vec<ScanQuery<'_>> = Vec::with_capacity(pending.len());
            let mut rest = found.iter_mut();
            let mut next = self.first;
            for i in pending {
                let task = &self.tasks[i];
                if task.query < next {
                    again.push(i);
                    continue;
                }
                let (_, sink) = rest.nth((task.query - next) as usize).expect("a sink for every query");
                next = task.query + 1;
                let (limit, mask) = view(i);
                if limit <= scan_range.range().start {
                    continue;
                }
                queries.push(ScanQuery {
                    number: (task.query - self.first) as usize,
                    query: self.batch.queries.row(task.query as usize),
                    probes: self.batch.plan.row(self.batch.first + task.query as usize),
                    coarse_distance: task.coarse_distance,
                    limit,
                    mask,
                    sink,
                });
            }
            if !queries.is_empty() {
                scanner.scan_batch(scan_range, &mut queries);
            }
            pending = again;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_shared;

    #[test]
    fn queries_of_a_list_are_counted_without_rounding() {
        // 45 probes of 11 queries over 10 lists: 4.09 queries per list if 10 are scanned together,
        // 3.7 if 9 are.
        assert!(is_shared(10, 11, 45, 10, 4));
        assert!(!is_shared(10, 11, 45, 9, 4));
        // Exactly the minimum, and numbers whose product exceeds 64 bits.
        assert!(is_shared(1, 4, 4, 4, 4) && !is_shared(1, 4, 4, 3, 4));
        let most = u32::MAX as usize;
        assert!(is_shared(most, usize::MAX, usize::MAX, 1 << 40, 4));
        assert!(!is_shared(most, usize::MAX, usize::MAX, 1 << 30, 4));
    }
}
