//! Abilities that only an inverted file has: searches of given lists, and access to entries by
//! location.

use super::accelerate::Assigner;
use super::filter::restricted;
use super::pieces::{Chosen, reads};
use super::rounds::{QueryBlocks, Rounds};
use super::scan::{Batch, Scan};
use super::search::{NOTHING, plan};
use super::{IvfIndex, Trained};
use ivf_core::ability::check_output;
use ivf_core::accelerator::Accelerator;
use ivf_core::error::{ReconstructError, SearchError};
use ivf_core::index_ivf::check_radius;
use ivf_core::params::QUANTIZER_PREFIX;
use ivf_core::scanner::ScanRange;
use ivf_core::{
    AnyRows, Codec, Collector, Hits, IndexIvf, InvertedLists, Level1Quantizer, Limits, Location, ParallelMode, Probes,
    SearchParam, SearchParams, SearchPlan, SearchResult, SearchStats, Settings, Sink, Takes,
};
use std::sync::Arc;
use std::time::Instant;

/// The parameters of a search of given lists, without those of the codec.
const TAKES: Takes = Takes::of(&[
    SearchParam::MaxCodes,
    SearchParam::MaxLists,
    SearchParam::Selector,
    SearchParam::Mode,
    SearchParam::Locations,
    SearchParam::SkipBadQueries,
    SearchParam::PerQuery,
]);

/// The parameters of a range search of given lists, without those of the codec.
const RANGE_TAKES: Takes = TAKES.with(SearchParam::MaxResults).with(SearchParam::MaxEmptyLists);

/// The parameters of a search of given lists for one query with a collector, without those of the
/// codec.
const ONE_TAKES: Takes =
    Takes::of(&[SearchParam::MaxCodes, SearchParam::MaxLists, SearchParam::Selector, SearchParam::SkipBadQueries]);

/// Maximum number of codes scanned between two calls of a collector.
const COLLECT_BATCH: usize = 4096;

impl IndexIvf for IvfIndex {
    fn nlist(&self) -> usize {
        self.quantizer.nlist()
    }

    fn nprobe(&self) -> usize {
        self.options.nprobe
    }

    fn max_codes(&self) -> usize {
        self.options.max_codes
    }

    fn parallel_mode(&self) -> ParallelMode {
        self.options.mode
    }

    fn quantizer(&self) -> Option<Arc<dyn Level1Quantizer>> {
        self.trained.as_ref().map(|trained| trained.quantizer.clone())
    }

    fn lists(&self) -> Option<Arc<dyn InvertedLists>> {
        self.trained.as_ref().map(|trained| trained.entries.lists.clone())
    }

    fn codec(&self) -> Option<Arc<dyn Codec>> {
        self.trained.as_ref().map(|trained| trained.entries.codec.clone())
    }

    fn by_residual(&self) -> bool {
        self.by_residual
    }

    fn assign(&self, queries: AnyRows<'_>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        let is_plain = params.own.is_empty() && params.asked().all(|param| param == SearchParam::SkipBadQueries);
        let trained = self.trained.as_ref().filter(|_| is_plain);
        let accelerator = trained.and_then(|trained| self.assigning(trained, &Settings::new()));
        self.assign_by(accelerator, queries, nprobe, params)
    }

    fn search_preassigned_into(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        sinks: &mut [Sink],
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        params.only("a search of given lists", &self.with_codec_params(&TAKES))?;
        if sinks.len() != queries.len() {
            return Err(SearchError::Count { what: "sinks", found: sinks.len(), queries: queries.len() });
        }
        self.scan_planned(queries, probes, params, |scan, batch, block, stats| {
            scan.run_counted(batch, &mut sinks[block], stats)
        })
    }

    fn range_search_preassigned(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_radius(radius)?;
        params.only("a range search of given lists", &self.with_codec_params(&RANGE_TAKES))?;
        let rounds = Rounds::new(self.metric.to_user_distance(radius), params);
        let mut sinks = vec![rounds.sink(); queries.len()];
        let stats = self.scan_planned(queries, probes, params, |scan, batch, block, stats| {
            rounds.run(scan, batch, &mut sinks[block], stats)
        })?;
        Ok(SearchResult::new(Hits::from_sinks(self.metric, sinks, params.locations.unwrap_or(false)), stats))
    }

    fn search_one_preassigned(
        &self,
        query: AnyRows<'_>,
        probes: &Probes,
        collector: &mut dyn Collector,
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        params.only("a search of one query with a collector", &self.with_codec_params(&ONE_TAKES))?;
        if query.len() != 1 {
            let found = query.len().to_string();
            return Err(SearchError::invalid("query", "one row", found));
        }
        let mut finite = Vec::new();
        let (Trained { entries, .. }, plan, query) = self.planned(query, probes, params, &mut finite)?;
        let started = Instant::now();
        let mut stats = SearchStats::of_queries(1);
        let mut scratch = Vec::new();
        let selector = params.selector.map(|selector| selector.prepare(plan.codes() as usize));
        let settings = params.resolved(&self.codec_params(), &self.options.settings)?;
        let mut scanner = entries.bound.scanner(&settings);
        scanner.set_query(query.to_f32(&mut scratch).row(0));
        scanner.set_probes(plan.row(0));
        'lists: for probe in plan.row(0) {
            params.check_cancel()?;
            scanner.set_list(probe.list, probe.coarse_distance);
            stats.lists += 1;
            for piece in reads(entries.layout(), 0..probe.codes as usize, None) {
                let chosen = match &selector {
                    Some(selector) => {
                        Some(Chosen::of_ids(selector, &entries.lists.list_ids(probe.list, piece.clone())?))
                    }
                    None => None,
                };
                let (before, end) = (stats.codes, stats.codes + piece.len() as u64);
                for range in reads(entries.layout(), piece.clone(), chosen.as_ref()) {
                    let list = entries.lists.list_range(probe.list, range.clone())?;
                    for scan_range in ScanRange::of_list(probe.list, &list, entries.layout(), range) {
                        let (first, len) = (scan_range.first_offset(), scan_range.segment().len());
                        let selected = chosen.as_ref().map(|chosen| chosen.of_segment(first, len));
                        for start in scan_range.range().step_by(COLLECT_BATCH) {
                            let stretch = scan_range.clone().within(start..start + COLLECT_BATCH);
                            // Entries that are not selected count too.
                            stats.codes = before + (first + stretch.range().end - piece.start) as u64;
                            let mut sink = Sink::within(collector.threshold());
                            if let Some(stretch) = restricted(stretch, selected.as_deref()) {
                                scanner.scan(&stretch, &mut sink);
                            }
                            stats.updates += sink.updates();
                            if !sink.is_empty() && collector.collect(sink.held()).is_break() {
                                break 'lists;
                            }
                        }
                    }
                }
                stats.codes = end;
            }
        }
        stats.scan_time = started.elapsed();
        Ok(stats)
    }

    fn search_one(
        &self,
        query: AnyRows<'_>,
        collector: &mut dyn Collector,
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        let takes = self.with_own(&ONE_TAKES).with(SearchParam::Nprobe);
        params.only("a search of one query with a collector", &takes)?;
        let mut rest = params.clone().without(SearchParam::Nprobe);
        rest.own = rest.own.without_prefix(QUANTIZER_PREFIX);
        let started = Instant::now();
        let nprobe = params.nprobe.unwrap_or(self.options.nprobe);
        let mut coarse = params.for_quantizer(&self.options.settings);
        coarse.skip_bad_queries = params.skip_bad_queries;
        let probes = self.assign_by(None, query, nprobe, &coarse)?;
        let coarse_time = started.elapsed();
        let mut stats = self.search_one_preassigned(query, &probes, collector, &rest)?;
        stats.coarse_time = coarse_time;
        Ok(stats)
    }

    fn reconstruct_at(&self, at: Location, vector: &mut [f32]) -> Result<(), ReconstructError> {
        let entries = &self.trained.as_ref().ok_or(ReconstructError::NotTrained)?.entries;
        check_output(1, self.dim, vector)?;
        entries.decode_at(&[at], vector)?;
        Ok(())
    }
}

impl IvfIndex {
    /// Returns the lists nearest to the queries, by the accelerator or by the quantizer with
    /// `params`.
    fn assign_by(
        &self,
        accelerator: Option<&dyn Accelerator>,
        queries: AnyRows<'_>,
        nprobe: usize,
        params: &SearchParams<'_>,
    ) -> Result<Probes, SearchError> {
        let mut own = SearchParams::new();
        own.skip_bad_queries = params.skip_bad_queries;
        let (mut finite, mut scratch) = (Vec::new(), Vec::new());
        let (trained, queries) = self.checked(queries, &own, &mut finite)?;
        let params = params.clone().without(SearchParam::SkipBadQueries);
        let params = params.or(&self.options.settings.under(QUANTIZER_PREFIX));
        let rows = queries.rows.to_f32(&mut scratch);
        let (quantizer, nprobe) = (&*trained.quantizer, nprobe.min(trained.quantizer.nlist()));
        let probes = Assigner { quantizer, accelerator, params: &params }.assign(rows, nprobe)?;
        Ok(if queries.skipped().is_empty() { probes } else { probes.without_rows(queries.skipped()) })
    }

    /// Plans the scan of queries with given probes. Returns the queries as they are to be scanned.
    fn planned<'q>(
        &self,
        queries: AnyRows<'q>,
        probes: &Probes,
        params: &SearchParams<'_>,
        finite: &'q mut Vec<f32>,
    ) -> Result<(&Trained, SearchPlan, AnyRows<'q>), SearchError> {
        let (trained, queries) = self.checked(queries, params, finite)?;
        if probes.len() != queries.rows.len() {
            return Err(SearchError::Count { what: "probes", found: probes.len(), queries: queries.rows.len() });
        }
        let limits = |i| match queries.skipped().binary_search(&i) {
            Ok(_) => NOTHING,
            Err(_) => Limits { nprobe: usize::MAX, ..self.limits(params, i) },
        };
        Ok((trained, plan(&*trained.entries.lists, probes, limits)?, queries.rows))
    }

    /// Scans given lists by calling `run` for each block of queries.
    fn scan_planned(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        params: &SearchParams<'_>,
        mut run: impl FnMut(&Scan<'_>, Batch<'_>, std::ops::Range<usize>, &mut SearchStats) -> Result<(), SearchError>,
    ) -> Result<SearchStats, SearchError> {
        let mut finite = Vec::new();
        let (Trained { entries, .. }, plan, queries) = self.planned(queries, probes, params, &mut finite)?;
        let scan = Scan::new(self, entries, params, queries.len(), probes.nprobe())?;
        let mut stats = SearchStats::of_queries(queries.len());
        let mut scratch = Vec::new();
        for block in QueryBlocks::new(queries.len(), probes.nprobe()) {
            let range = block.range();
            let rows = queries.slice(range.clone()).to_f32(&mut scratch);
            let batch = Batch { queries: rows, plan: &plan, first: range.start, numbers: block.numbers() };
            run(&scan, batch, range, &mut stats)?;
        }
        Ok(stats)
    }
}
