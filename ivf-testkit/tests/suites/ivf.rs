//! Tests of the inverted-file suites: a plain index with fixed centroids and vectors in lists,
//! searched with the oracle's distances.

use crate::assert_caught;
use crate::quantizers::{KMeans, QuantizerFault};
use ivf_core::ability::RangeSearch;
use ivf_core::error::{KnobError, ReconstructError, SearchError, StoreError};
use ivf_core::index_ivf::{check_k, check_radius};
use ivf_core::part::unknown_part;
use ivf_core::{
    AnyRows, Codec, Hits, Id, Index, IndexIvf, InvertedLists, KnobValue, Level1Quantizer, Limits, ListNo, Location,
    Metric, Neighbor, Node, ParallelMode, Part, Probes, Rows, SearchParam, SearchParams, SearchPlan, SearchResult,
    SearchStats, Sink, SpecText, Takes,
};
use ivf_testkit::data::clusters;
use ivf_testkit::indexes::{check_modes, check_preassigned};
use ivf_testkit::oracle::distance;
use std::sync::Arc;

/// The parameters that a search of given lists takes.
const PREASSIGNED: Takes =
    Takes::of(&[SearchParam::MaxCodes, SearchParam::Selector, SearchParam::Mode, SearchParam::Locations]);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    StartsSinksAnew,
    IgnoresNprobe,
    SkipsBadProbes,
    CutsByQuery,
}

#[derive(Debug)]
struct NaiveIvf {
    quantizer: Arc<dyn Level1Quantizer>,
    lists: Vec<Vec<(Id, Vec<f32>)>>,
    fault: Fault,
}

impl NaiveIvf {
    fn new(n: usize, dim: usize, fault: Fault) -> Self {
        let quantizer = KMeans::new(clusters(1, 8, dim, 8), Metric::L2, QuantizerFault::None);
        let mut lists = vec![Vec::new(); 8];
        for (id, vector) in clusters(2, n, dim, 8).rows().iter().enumerate() {
            let row = Rows::new(vector, dim).expect("one row");
            let probes = quantizer.assign(row, 1, &SearchParams::new()).expect("assigned");
            let list = probes.row(0).next().and_then(|(list, _)| list).expect("one list");
            lists[list.index()].push((Id(id as i64), vector.to_vec()));
        }
        Self { quantizer: Arc::new(quantizer), lists, fault }
    }

    fn find(&self, queries: AnyRows<'_>, empty: Sink, params: &SearchParams<'_>) -> Result<SearchResult, SearchError> {
        params.only("naive ivf", &self.takes())?;
        let probes = self.assign(queries, params.nprobe.unwrap_or(1), &SearchParams::new())?;
        let rest = params.clone().without(SearchParam::Nprobe);
        let mut sinks = vec![empty; queries.len()];
        let stats = self.search_preassigned_into(queries, &probes, &mut sinks, &rest)?;
        let hits = Hits::from_sinks(self.metric(), sinks, params.locations.unwrap_or(false));
        Ok(SearchResult::new(hits, stats))
    }
}

impl Index for NaiveIvf {
    fn dim(&self) -> usize {
        self.quantizer.dim()
    }
    fn metric(&self) -> Metric {
        Metric::L2
    }
    fn len(&self) -> usize {
        self.lists.iter().map(Vec::len).sum()
    }
    fn is_trained(&self) -> bool {
        true
    }
    fn spec_text(&self) -> SpecText {
        SpecText::base("Naive8,Flat")
    }
    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_k(k)?;
        self.find(queries, Sink::top_k(k), params)
    }
    fn takes(&self) -> Takes {
        PREASSIGNED.with(SearchParam::Nprobe)
    }
    fn parts(&self) -> Vec<Part> {
        Vec::new()
    }
    fn set_knob_at(&mut self, path: &str, _: &str, _: KnobValue) -> Result<(), KnobError> {
        Err(unknown_part(path, &[]))
    }
    fn memory(&self) -> usize {
        0
    }
    fn memory_with(&self, vectors: usize) -> usize {
        4 * self.dim() * vectors
    }
    fn export(&self) -> Result<Node<'_>, StoreError> {
        Ok(Node::new("naive ivf", 0))
    }
    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError> {
        let (quantizer, lists) = (self.quantizer.clone(), self.lists.clone());
        Ok(Box::new(Self { quantizer, lists, fault: self.fault }))
    }
    fn as_range_search(&self) -> Option<&dyn RangeSearch> {
        Some(self)
    }
    fn as_ivf(&self) -> Option<&dyn IndexIvf> {
        Some(self)
    }
}

impl RangeSearch for NaiveIvf {
    fn range_takes(&self) -> Takes {
        self.takes()
    }
    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        check_radius(radius)?;
        self.find(queries, Sink::range(radius), params)
    }
}

impl IndexIvf for NaiveIvf {
    fn nlist(&self) -> usize {
        self.lists.len()
    }
    fn nprobe(&self) -> usize {
        1
    }
    fn max_codes(&self) -> usize {
        0
    }
    fn parallel_mode(&self) -> ParallelMode {
        ParallelMode::Auto
    }
    fn quantizer(&self) -> Option<Arc<dyn Level1Quantizer>> {
        Some(self.quantizer.clone())
    }
    fn lists(&self) -> Option<Arc<dyn InvertedLists>> {
        None
    }
    fn codec(&self) -> Option<Arc<dyn Codec>> {
        None
    }
    fn by_residual(&self) -> bool {
        false
    }

    fn assign(&self, queries: AnyRows<'_>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        let mut scratch = Vec::new();
        self.quantizer.assign(queries.to_f32(&mut scratch), nprobe, params)
    }

    fn reconstruct_at(&self, at: Location, vector: &mut [f32]) -> Result<(), ReconstructError> {
        vector.copy_from_slice(&self.lists[at.list.index()][at.offset.index()].1);
        Ok(())
    }

    fn search_preassigned_into(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        sinks: &mut [Sink],
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        if self.fault != Fault::IgnoresNprobe {
            params.only("naive ivf", &PREASSIGNED)?;
        }
        for (what, found) in [("probes", probes.len()), ("sinks", sinks.len())] {
            if found != queries.len() {
                return Err(SearchError::Count { what, found, queries: queries.len() });
            }
        }
        let codes = params.max_codes.filter(|&limit| limit > 0).unwrap_or(usize::MAX);
        let limit = |_| Limits { max_codes: codes, ..Limits::default() };
        let len = |list: ListNo| Ok(self.lists[list.index()].len());
        let plan = match self.fault {
            Fault::SkipsBadProbes => {
                SearchPlan::new(probes, usize::MAX, limit, |list| Ok(self.lists.get(list.index()).map_or(0, Vec::len)))
            }
            _ => SearchPlan::new(probes, self.nlist(), limit, len),
        }?;
        let mut scratch = Vec::new();
        for (i, query) in queries.to_f32(&mut scratch).iter().enumerate() {
            if self.fault == Fault::StartsSinksAnew {
                sinks[i] = sinks[i].fork();
            }
            for probe in plan.row(i) {
                let cut = usize::from(self.fault == Fault::CutsByQuery && i == 5);
                for (offset, (id, vector)) in
                    self.lists[probe.list.index()][cut..probe.codes as usize].iter().enumerate()
                {
                    if params.selector.is_none_or(|selector| selector.contains(*id)) {
                        let location = Location::new(probe.list.0, (offset + cut) as u32);
                        sinks[i].push(Neighbor { distance: distance(Metric::L2, query, vector), id: *id, location });
                    }
                }
            }
        }
        Ok(SearchStats::default())
    }
}

#[test]
fn a_plain_ivf_passes() {
    let (index, queries) = (NaiveIvf::new(300, 5, Fault::None), clusters(3, 20, 5, 8));
    check_preassigned(&index, queries.rows(), 4);
    check_modes(&index, queries.rows(), Some(4));
}

#[test]
fn faulty_ivfs_are_caught() {
    let queries = clusters(3, 20, 5, 8);
    for (fault, words) in [
        (Fault::StartsSinksAnew, "two halves"),
        (Fault::IgnoresNprobe, "nprobe is no error"),
        (Fault::SkipsBadProbes, "a probe past the last list is no error"),
    ] {
        assert_caught(words, || check_preassigned(&NaiveIvf::new(300, 5, fault), queries.rows(), 4));
    }
    assert_caught("queries 7..14: query 12", || {
        check_modes(&NaiveIvf::new(300, 5, Fault::CutsByQuery), queries.rows(), Some(8))
    });
}
