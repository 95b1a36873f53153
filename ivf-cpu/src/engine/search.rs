//! Searching: assign the queries to lists, plan, and scan.

use super::accelerate::Assigner;
use super::rounds::{QueryBlocks, Rounds};
use super::scan::{Batch, Scan};
use super::{IvfIndex, Trained};
use ivf_core::accelerator::Accelerator;
use ivf_core::error::{InputError, SearchError};
use ivf_core::index_ivf::{check_k, check_radius};
use ivf_core::plan::PlannedProbe;
use ivf_core::{
    AnyRows, Hits, Index, InvertedLists, Limits, Probes, RangeSearch, Rows, SearchParam, SearchParams, SearchPlan,
    SearchResult, SearchStats, Sink, Takes,
};
use std::mem;
use std::time::Instant;

/// The search parameters, without those of the quantizer and the codec.
pub(super) const TAKES: Takes = Takes::of(&[
    SearchParam::Nprobe,
    SearchParam::MaxCodes,
    SearchParam::MaxLists,
    SearchParam::EnsureK,
    SearchParam::Selector,
    SearchParam::Mode,
    SearchParam::Locations,
    SearchParam::SkipBadQueries,
    SearchParam::PerQuery,
]);

/// The range-search parameters, without those of the quantizer and the codec.
const RANGE_TAKES: Takes =
    TAKES.without(SearchParam::EnsureK).with(SearchParam::MaxResults).with(SearchParam::MaxEmptyLists);

impl IvfIndex {
    pub(super) fn search_nearest(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_k(k)?;
        params.only("an IVF index", &self.takes())?;
        let mut finite = Vec::new();
        let (trained, queries) = self.checked(queries, params, &mut finite)?;
        let mut search = Search::new(self, trained, &queries, params)?;
        let queries = queries.rows;
        let mut sinks = vec![Sink::top_k(k); queries.len()];
        for block in QueryBlocks::new(queries.len(), search.nprobe) {
            let rows = queries.slice(block.range());
            if search.run_whole(rows, &mut sinks[block.range()])? {
                continue;
            }
            let plan = search.run(rows, block.numbers(), &mut sinks[block.range()])?;
            if params.ensure_k == Some(true) {
                let scanned: Vec<(usize, &[PlannedProbe])> =
                    block.numbers().iter().enumerate().map(|(row, &q)| (q, plan.row(row))).collect();
                // Widening may probe all lists, so the queries are split again into smaller blocks.
                for smaller in QueryBlocks::new(scanned.len(), search.trained.quantizer.nlist()) {
                    search.widen(queries, &scanned[smaller.range()], k, &mut sinks)?;
                }
            }
        }
        Ok(search.finish(sinks))
    }

    /// Returns the trained index, and the queries after checking that it can answer them.
    pub(super) fn checked<'q>(
        &self,
        queries: AnyRows<'q>,
        params: &SearchParams<'_>,
        finite: &'q mut Vec<f32>,
    ) -> Result<(&Trained, Queries<'q>), SearchError> {
        let trained = self.trained.as_ref().ok_or(SearchError::NotTrained)?;
        let queries = Queries::new(queries, self.dim, params.skip_bad_queries == Some(true), finite)?;
        params.check_per_query(queries.rows.len())?;
        Ok((trained, queries))
    }

    /// Returns the limits on what query `i` of a call scans. A `max_lists` or `max_codes` of 0
    /// means no limit. `max_lists` is not a knob, so it has no default in the index.
    pub(super) fn limits(&self, params: &SearchParams<'_>, i: usize) -> Limits {
        let asked = params.of_query(i);
        let limit = |asked: Option<usize>| asked.filter(|&most| most > 0).unwrap_or(usize::MAX);
        Limits {
            nprobe: asked.nprobe.unwrap_or(self.options.nprobe),
            max_lists: limit(asked.max_lists),
            max_codes: limit(Some(asked.max_codes.unwrap_or(self.options.max_codes))),
        }
    }
}

impl RangeSearch for IvfIndex {
    fn range_takes(&self) -> Takes {
        self.with_own(&RANGE_TAKES)
    }

    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_radius(radius)?;
        params.only("a range search of an IVF index", &self.range_takes())?;
        let mut finite = Vec::new();
        let (trained, queries) = self.checked(queries, params, &mut finite)?;
        let mut search = Search::new(self, trained, &queries, params)?;
        let queries = queries.rows;
        // The conversion between inner and user distances is its own inverse.
        let rounds = Rounds::new(self.metric.to_user_distance(radius), params);
        let mut sinks = vec![rounds.sink(); queries.len()];
        for block in QueryBlocks::new(queries.len(), search.nprobe) {
            let mut scratch = Vec::new();
            let rows = queries.slice(block.range()).to_f32(&mut scratch);
            let plan = search.plan(rows, block.numbers())?;
            let batch = Batch { queries: rows, plan: &plan, first: 0, numbers: block.numbers() };
            rounds.run(&search.scan, batch, &mut sinks[block.range()], &mut search.stats)?;
        }
        Ok(search.finish(sinks))
    }
}

/// The queries of a call. Those that cannot be searched are replaced by zero vectors, which scan
/// nothing.
pub(crate) struct Queries<'q> {
    pub(crate) rows: AnyRows<'q>,
    /// Numbers of the replaced queries, ascending.
    skipped: Vec<usize>,
}

impl<'q> Queries<'q> {
    /// Checks queries of dimension `dim`. If `skips` is true, queries that are not finite are
    /// replaced, and `finite` holds all queries.
    pub(crate) fn new(
        rows: AnyRows<'q>,
        dim: usize,
        skips: bool,
        finite: &'q mut Vec<f32>,
    ) -> Result<Self, InputError> {
        match rows.check(dim) {
            Err(InputError::NonFinite { .. }) if skips => {}
            checked => return checked.map(|()| Self { rows, skipped: Vec::new() }),
        }
        *finite = rows.to_f32(finite).as_slice().to_vec();
        let mut skipped = Vec::new();
        for (row, vector) in finite.chunks_exact_mut(dim).enumerate() {
            if vector.iter().any(|x| !x.is_finite()) {
                vector.fill(0.0);
                skipped.push(row);
            }
        }
        Ok(Self { rows: Rows::new(finite, dim)?.into(), skipped })
    }

    /// Returns the numbers of the queries that are skipped, ascending.
    pub(crate) fn skipped(&self) -> &[usize] {
        &self.skipped
    }
}

/// The limits of a query that scans nothing.
pub(super) const NOTHING: Limits = Limits { nprobe: 1, max_lists: 0, max_codes: 0 };

/// Turns probes into a plan, with the lengths of the lists.
pub(super) fn plan(
    lists: &dyn InvertedLists,
    probes: &Probes,
    limits: impl Fn(usize) -> Limits,
) -> Result<SearchPlan, SearchError> {
    SearchPlan::new(probes, lists.nlist(), limits, |list| Ok(lists.list_len(list)?))
}

/// A search in progress.
struct Search<'a> {
    index: &'a IvfIndex,
    trained: &'a Trained,
    scan: Scan<'a>,
    params: SearchParams<'a>,
    quantizer_params: SearchParams<'a>,
    /// Assigns in place of the quantizer.
    assigning: Option<&'a dyn Accelerator>,
    /// Maximum number of lists that a query probes.
    nprobe: usize,
    /// Numbers of the queries that scan nothing, ascending.
    skipped: Vec<usize>,
    stats: SearchStats,
}

impl<'a> Search<'a> {
    fn new(
        index: &'a IvfIndex,
        trained: &'a Trained,
        queries: &Queries<'_>,
        params: &SearchParams<'a>,
    ) -> Result<Self, SearchError> {
        // Without parameters of single queries, query 0 represents all.
        let own = params.per_query.map_or(0, <[_]>::len);
        let nprobes = (0..own.max(1)).map(|i| index.limits(params, i).nprobe);
        if nprobes.clone().any(|nprobe| nprobe == 0) {
            return Err(SearchError::invalid("nprobe", "at least 1", 0));
        }
        let nprobe = nprobes.max().unwrap_or(1).min(trained.quantizer.nlist());
        Ok(Self {
            index,
            trained,
            scan: Scan::new(index, &trained.entries, params, queries.rows.len(), nprobe)?,
            params: params.clone(),
            quantizer_params: params.for_quantizer(&index.options.settings),
            assigning: index.assigning(trained, &params.own),
            nprobe,
            skipped: queries.skipped().to_vec(),
            stats: SearchStats::of_queries(queries.rows.len()),
        })
    }

    /// Returns the limits on what query `i` of the call scans.
    fn limits(&self, i: usize) -> Limits {
        if self.skipped.binary_search(&i).is_ok() { NOTHING } else { self.index.limits(&self.params, i) }
    }

    /// Plans the scan of the queries at these positions in the call.
    fn plan(&mut self, rows: Rows<'_, f32>, numbers: &[usize]) -> Result<SearchPlan, SearchError> {
        let limits: Vec<Limits> = numbers.iter().map(|&number| self.limits(number)).collect();
        self.plan_within(rows, |i| limits[i])
    }

    /// Assigns rows to lists and plans their scan. `limits(row)` are the limits of a row.
    fn plan_within(
        &mut self,
        rows: Rows<'_, f32>,
        limits: impl Fn(usize) -> Limits,
    ) -> Result<SearchPlan, SearchError> {
        let started = Instant::now();
        let nlist = self.trained.quantizer.nlist();
        let nprobes: Vec<usize> = (0..rows.len()).map(|i| limits(i).nprobe.min(nlist)).collect();
        let probes = self.assign(rows, &nprobes)?;
        self.stats.coarse_time += started.elapsed();
        plan(self.scan.lists, &probes, limits)
    }

    /// Returns the probes of each row, `nprobes[row]` of them; shorter rows are padded with `None`.
    /// Rows with different numbers are
    /// assigned separately, because the first lists that a quantizer returns may depend on the
    /// number. So the result of a query never depends on the other queries of the batch.
    fn assign(&self, rows: Rows<'_, f32>, nprobes: &[usize]) -> Result<Probes, SearchError> {
        let (accelerator, params) = (self.assigning, &self.quantizer_params);
        let assigner = Assigner { quantizer: &*self.trained.quantizer, accelerator, params };
        let most = nprobes.iter().copied().max().unwrap_or(1);
        if nprobes.iter().all(|nprobe| *nprobe == most) {
            return assigner.assign(rows, most);
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&row| nprobes[row]);
        let (mut lists, mut distances) = (vec![None; rows.len() * most], vec![0.0; rows.len() * most]);
        for same in order.chunk_by(|&a, &b| nprobes[a] == nprobes[b]) {
            let same_rows: Vec<f32> = same.iter().flat_map(|&row| rows.row(row)).copied().collect();
            let same_rows = Rows::new(&same_rows, rows.dim()).map_err(InputError::from)?;
            let probes = assigner.assign(same_rows, nprobes[same[0]])?;
            for (i, &row) in same.iter().enumerate() {
                for (place, (list, distance)) in probes.row(i).enumerate().take(most) {
                    (lists[row * most + place], distances[row * most + place]) = (list, distance);
                }
            }
        }
        Probes::new(most, lists, distances)
    }

    /// Returns the accelerator if it may search on its own: nothing limits what a query scans.
    fn whole(&self) -> Option<&'a dyn Accelerator> {
        let is_equal = self.params.per_query.is_none() && self.skipped.is_empty();
        let limits = Limits { nprobe: 0, ..self.index.limits(&self.params, 0) };
        let is_unlimited = limits == Limits { nprobe: 0, ..Limits::default() } && self.params.ensure_k != Some(true);
        self.scan.unfiltered().filter(|_| is_equal && is_unlimited && self.assigning.is_some())
    }

    /// Lets the accelerator search on its own, if it may and can. Returns whether it has.
    fn run_whole(&mut self, rows: AnyRows<'_>, sinks: &mut [Sink]) -> Result<bool, SearchError> {
        let Some(accelerator) = self.whole() else { return Ok(false) };
        self.params.check_cancel()?;
        let (started, mut scratch) = (Instant::now(), Vec::new());
        let Some(counts) = accelerator.search(rows.to_f32(&mut scratch), self.nprobe, sinks)? else {
            return Ok(false);
        };
        self.stats.lists += counts.lists;
        self.stats.codes += counts.codes;
        self.stats.updates += sinks.iter().map(Sink::updates).sum::<u64>();
        self.stats.scan_time += started.elapsed();
        Ok(true)
    }

    /// Plans and scans for the queries at these positions in the call.
    fn run(&mut self, rows: AnyRows<'_>, numbers: &[usize], sinks: &mut [Sink]) -> Result<SearchPlan, SearchError> {
        let mut scratch = Vec::new();
        let queries = rows.to_f32(&mut scratch);
        let plan = self.plan(queries, numbers)?;
        self.scan.run_counted(Batch { queries, plan: &plan, first: 0, numbers }, sinks, &mut self.stats)?;
        Ok(plan)
    }

    /// Doubles the probes of each query that has found fewer than `k` results. It stops when the
    /// query has `k`, has probed all lists, or has reached one of its limits. If the quantizer
    /// returns the same first lists again, only the new lists are scanned. Otherwise the query
    /// starts over: its results are dropped and all planned lists are scanned, because an entry
    /// that is found twice would count twice.
    fn widen(
        &mut self,
        queries: AnyRows<'_>,
        scanned: &[(usize, &[PlannedProbe])],
        k: usize,
        sinks: &mut [Sink],
    ) -> Result<(), SearchError> {
        let nlist = self.trained.quantizer.nlist();
        let mut short: Vec<(usize, Vec<PlannedProbe>)> =
            scanned.iter().map(|&(q, row)| (q, if sinks[q].len() < k { row.to_vec() } else { Vec::new() })).collect();
        for factor in std::iter::successors(Some(2_usize), |factor| factor.checked_mul(2)) {
            let wide = |q: usize, factor: usize| self.limits(q).nprobe.saturating_mul(factor);
            short.retain(|(q, scanned)| {
                // `factor / 2` is the factor of the round before: a query that reached `nlist` in
                // it has probed every list.
                let limits = self.limits(*q);
                let codes: u64 = scanned.iter().map(|probe| u64::from(probe.codes)).sum();
                let is_spent = codes >= limits.max_codes as u64 || scanned.len() >= limits.max_lists;
                sinks[*q].len() < k && !is_spent && wide(*q, factor / 2) < nlist
            });
            if short.is_empty() {
                break;
            }
            let (mut one, mut rows) = (Vec::new(), Vec::with_capacity(short.len() * queries.dim()));
            for (q, _) in &short {
                rows.extend_from_slice(queries.slice(*q..*q + 1).to_f32(&mut one).as_slice());
            }
            let rows = Rows::new(&rows, queries.dim()).map_err(InputError::from)?;
            let limits: Vec<Limits> =
                short.iter().map(|(q, _)| Limits { nprobe: wide(*q, factor), ..self.limits(*q) }).collect();
            let plan = self.plan_within(rows, |i| limits[i])?;

            let numbers: Vec<usize> = short.iter().map(|(q, _)| *q).collect();
            let (mut rest, mut wider) = (Vec::new(), Vec::new());
            for (row, (q, scanned)) in short.iter_mut().enumerate() {
                let planned = plan.row(row);
                let known = if planned.starts_with(scanned) { scanned.len() } else { 0 };
                let sink = mem::replace(&mut sinks[*q], Sink::top_k(k));
                wider.push(if known > 0 { sink } else { Sink::top_k(k) });
                rest.push(&planned[known..]);
                *scanned = planned.to_vec();
            }
            let plan = SearchPlan::from_rows(rest);
            let batch = Batch { queries: rows, plan: &plan, first: 0, numbers: &numbers };
            self.scan.run_counted(batch, &mut wider, &mut self.stats)?;
            numbers.iter().zip(wider).for_each(|(&q, sink)| sinks[q] = sink);
        }
        Ok(())
    }

    fn finish(self, sinks: Vec<Sink>) -> SearchResult {
        let metric = self.index.metric;
        SearchResult::new(Hits::from_sinks(metric, sinks, self.params.locations.unwrap_or(false)), self.stats)
    }
}
