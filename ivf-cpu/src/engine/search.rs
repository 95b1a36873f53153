//! Searching: find the lists, plan, scan.

use super::scan::Scan;
use super::{IvfIndex, Trained};
use ivf_core::error::{InputError, SearchError};
use ivf_core::executor::split;
use ivf_core::index_ivf::{check_k, check_radius};
use ivf_core::{
    AnyRows, Hits, IndexIvf, InvertedLists, Level1Quantizer, ParallelMode, Probes, RangeSearch, SearchParams,
    SearchPlan, SearchResult, SearchStats, Sink,
};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Blocks of queries that are converted, assigned, planned and scanned at a time, all of about the same size: as many as have about
/// a million probes, so that a search of all lists does not write down all pairs of queries and lists.
fn blocks(queries: usize, nprobe: usize) -> Vec<Range<usize>> {
    let most = ((1 << 20) / nprobe.max(1)).clamp(64, 16384);
    split(queries, queries.div_ceil(most))
}

/// The parameters of a search.
pub(super) const PARAMS: &[&str] = &["nprobe", "max_codes", "ensure_k", "selector", "mode", "locations", "quantizer"];

/// The same without the ones that only make sense for a top-k.
const RANGE_PARAMS: &[&str] = &["nprobe", "max_codes", "selector", "mode", "locations", "quantizer"];

/// The parameters of a search whose lists are given.
const PREASSIGNED_PARAMS: &[&str] = &["max_codes", "selector", "mode", "locations"];

impl IvfIndex {
    pub(super) fn search_nearest(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_k(k)?;
        params.only("an IVF index", PARAMS)?;
        let trained = self.checked(queries)?;
        let mut search = Search::new(self, trained, params)?;
        let mut sinks = vec![Sink::top_k(k); queries.len()];
        for block in blocks(queries.len(), search.nprobe) {
            search.run(queries.slice(block.clone()), &mut sinks[block.clone()])?;
            if params.ensure_k == Some(true) {
                search.widen(queries.slice(block.clone()), k, &mut sinks[block])?;
            }
        }
        Ok(search.finish(queries.len(), sinks, params))
    }

    /// The index, if it can answer these queries.
    fn checked(&self, queries: AnyRows<'_>) -> Result<&Trained, SearchError> {
        let trained = self.trained.as_ref().ok_or(SearchError::NotTrained)?;
        queries.check(self.dim)?;
        Ok(trained)
    }

    fn max_codes_of(&self, params: &SearchParams<'_>) -> Option<usize> {
        Some(params.max_codes.unwrap_or(self.max_codes)).filter(|&max| max > 0)
    }
}

impl RangeSearch for IvfIndex {
    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_radius(radius)?;
        params.only("a range search of an IVF index", RANGE_PARAMS)?;
        let trained = self.checked(queries)?;
        let mut search = Search::new(self, trained, params)?;
        let mut sinks = vec![Sink::range(self.metric.public(radius)); queries.len()];
        for block in blocks(queries.len(), search.nprobe) {
            search.run(queries.slice(block.clone()), &mut sinks[block])?;
        }
        Ok(search.finish(queries.len(), sinks, params))
    }
}

impl IndexIvf for IvfIndex {
    fn nlist(&self) -> usize {
        self.quantizer.nlist()
    }

    fn nprobe(&self) -> usize {
        self.nprobe
    }

    fn max_codes(&self) -> usize {
        self.max_codes
    }

    fn parallel_mode(&self) -> ParallelMode {
        self.mode
    }

    fn quantizer(&self) -> Option<&Arc<dyn Level1Quantizer>> {
        self.trained.as_ref().map(|trained| &trained.quantizer)
    }

    fn lists(&self) -> Option<&dyn InvertedLists> {
        self.trained.as_ref().map(|trained| &*trained.entries.lists)
    }

    fn search_preassigned_into(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        sinks: &mut [Sink],
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        params.only("a search of given lists", PREASSIGNED_PARAMS)?;
        let Trained { entries, .. } = self.checked(queries)?;
        for (what, found) in [("probes", probes.len()), ("sinks", sinks.len())] {
            if found != queries.len() {
                return Err(SearchError::Count { what, found, queries: queries.len() });
            }
        }
        let started = Instant::now();
        let plan = plan(&*entries.lists, probes, self.max_codes_of(params))?;
        let scan = Scan::new(&*entries.bound, &*entries.lists, self.mode, params);
        let mut scratch = Vec::new();
        for block in blocks(queries.len(), probes.nprobe()) {
            let rows = queries.slice(block.clone()).to_f32(&mut scratch);
            scan.run(rows, &plan, block.clone(), &mut sinks[block])?;
        }
        let mut stats = SearchStats::default();
        stats.queries = queries.len() as u64;
        stats.lists = plan.probes().len() as u64;
        stats.codes = plan.codes();
        stats.scan_time = started.elapsed();
        Ok(stats)
    }
}

fn plan(lists: &dyn InvertedLists, probes: &Probes, max_codes: Option<usize>) -> Result<SearchPlan, SearchError> {
    SearchPlan::new(probes, lists.nlist(), max_codes, |list| Ok(lists.list_len(list)?))
}

/// A search under way.
struct Search<'a> {
    trained: &'a Trained,
    scan: Scan<'a>,
    quantizer_params: SearchParams<'a>,
    nprobe: usize,
    max_codes: Option<usize>,
    /// Codes planned for each query of the last run.
    planned: Vec<u64>,
    stats: SearchStats,
}

impl<'a> Search<'a> {
    fn new(index: &'a IvfIndex, trained: &'a Trained, params: &SearchParams<'a>) -> Result<Self, SearchError> {
        let nprobe = params.nprobe.unwrap_or(index.nprobe);
        if nprobe == 0 {
            return Err(SearchError::InvalidParam { param: "nprobe", must: "at least 1", found: "0".into() });
        }
        let mut quantizer_params = params.quantizer.copied().unwrap_or_default();
        quantizer_params.executor = quantizer_params.executor.or(params.executor);
        quantizer_params.cancel = quantizer_params.cancel.or(params.cancel);
        Ok(Self {
            trained,
            scan: Scan::new(&*trained.entries.bound, &*trained.entries.lists, index.mode, params),
            quantizer_params,
            nprobe: nprobe.min(trained.quantizer.nlist()),
            max_codes: index.max_codes_of(params),
            planned: Vec::new(),
            stats: SearchStats::default(),
        })
    }

    fn run(&mut self, queries: AnyRows<'_>, sinks: &mut [Sink]) -> Result<(), SearchError> {
        let mut scratch = Vec::new();
        let rows = queries.to_f32(&mut scratch);
        let started = Instant::now();
        let probes = self.trained.quantizer.assign(rows, self.nprobe, &self.quantizer_params)?;
        let assigned = Instant::now();
        let plan = plan(self.scan.lists, &probes, self.max_codes)?;
        self.scan.run(rows, &plan, 0..rows.len(), sinks)?;
        self.stats.lists += plan.probes().len() as u64;
        self.stats.codes += plan.codes();
        self.stats.coarse_time += assigned - started;
        self.stats.scan_time += assigned.elapsed();
        self.planned.clear();
        self.planned.extend((0..rows.len()).map(|q| plan.row(q).iter().map(|p| u64::from(p.prefix)).sum::<u64>()));
        Ok(())
    }

    /// Doubles the probes of the queries that have found fewer than `k`, until they have or all lists are probed. A query that
    /// has spent its `max_codes` is not widened. A round starts from nothing: a quantizer need not name the same lists first.
    fn widen(&mut self, queries: AnyRows<'_>, k: usize, sinks: &mut [Sink]) -> Result<(), SearchError> {
        let asked = self.nprobe;
        let mut short: Vec<usize> = (0..queries.len()).collect();
        loop {
            let spent = |codes: u64| self.max_codes.is_some_and(|max| codes >= max as u64);
            let planned = std::mem::take(&mut self.planned);
            let pairs = short.iter().zip(&planned);
            short = pairs.filter(|&(&q, &codes)| sinks[q].len() < k && !spent(codes)).map(|(&q, _)| q).collect();
            if short.is_empty() || self.nprobe == self.trained.quantizer.nlist() {
                self.nprobe = asked;
                return Ok(());
            }
            self.nprobe = (self.nprobe * 2).min(self.trained.quantizer.nlist());
            let (mut one, mut rows) = (Vec::new(), Vec::new());
            for &q in &short {
                rows.extend_from_slice(queries.slice(q..q + 1).to_f32(&mut one).as_slice());
            }
            let rows = ivf_core::Rows::new(&rows, queries.dim()).map_err(InputError::from)?;
            let mut again = vec![Sink::top_k(k); short.len()];
            self.run(rows.into(), &mut again)?;
            short.iter().zip(again).for_each(|(&q, sink)| sinks[q] = sink);
        }
    }

    fn finish(mut self, queries: usize, sinks: Vec<Sink>, params: &SearchParams<'_>) -> SearchResult {
        self.stats.queries = queries as u64;
        let metric = self.trained.entries.bound.codec().metric();
        SearchResult::new(Hits::from_sinks(metric, sinks, params.locations.unwrap_or(false)), self.stats)
    }
}
