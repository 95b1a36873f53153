//! An inverted file behind transforms. Lists and probes belong to the wrapped index, and vectors
//! pass through the chain.

use super::PreTransform;
use ivf_core::ability::check_output;
use ivf_core::error::{
    AddError, InputError, KnobError, ReconstructError, ReplaceError, SearchError, StoreError, Unable,
};
use ivf_core::part::unknown_knob;
use ivf_core::{
    AddOptions, AddReport, AnyRows, Codec, Collector, Id, Index, IndexIvf, IndexIvfMut, InvertedLists, Level1Quantizer,
    ListNo, Location, ParallelMode, Probes, SearchParams, SearchResult, SearchStats, Sink,
};
use std::sync::Arc;

impl PreTransform {
    fn inverted(&self) -> Result<&dyn IndexIvf, Unable> {
        self.inner.as_ivf().ok_or_else(|| self.inner.unable("search given lists"))
    }

    fn inverted_mut(&mut self) -> Result<&mut dyn IndexIvfMut, Unable> {
        let unable = self.inner.unable("change its lists");
        self.inner.as_ivf_mut().ok_or(unable)
    }
}

/// The quantizer, its centroids and the codec work on transformed vectors. [`IndexIvf::assign`]
/// takes vectors that are not transformed.
impl IndexIvf for PreTransform {
    fn nlist(&self) -> usize {
        self.inner.as_ivf().map_or(0, |ivf| ivf.nlist())
    }

    fn nprobe(&self) -> usize {
        self.inner.as_ivf().map_or(0, |ivf| ivf.nprobe())
    }

    fn max_codes(&self) -> usize {
        self.inner.as_ivf().map_or(0, |ivf| ivf.max_codes())
    }

    fn parallel_mode(&self) -> ParallelMode {
        self.inner.as_ivf().map_or(ParallelMode::Auto, |ivf| ivf.parallel_mode())
    }

    fn quantizer(&self) -> Option<Arc<dyn Level1Quantizer>> {
        self.inner.as_ivf()?.quantizer()
    }

    fn lists(&self) -> Option<Arc<dyn InvertedLists>> {
        self.inner.as_ivf()?.lists()
    }

    fn codec(&self) -> Option<Arc<dyn Codec>> {
        self.inner.as_ivf()?.codec()
    }

    fn by_residual(&self) -> bool {
        self.inner.as_ivf().is_some_and(|ivf| ivf.by_residual())
    }

    fn assign(&self, queries: AnyRows<'_>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        let queries = self.queries(queries, params)?;
        self.inverted()?.assign(self.behind(&queries).into(), nprobe, params)
    }

    fn search_preassigned_into(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        sinks: &mut [Sink],
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        let queries = self.queries(queries, params)?;
        self.inverted()?.search_preassigned_into(self.behind(&queries).into(), probes, sinks, params)
    }

    fn range_search_preassigned(
        &self,
        queries: AnyRows<'_>,
        probes: &Probes,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        let queries = self.queries(queries, params)?;
        self.inverted()?.range_search_preassigned(self.behind(&queries).into(), probes, radius, params)
    }

    fn search_one_preassigned(
        &self,
        query: AnyRows<'_>,
        probes: &Probes,
        collector: &mut dyn Collector,
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        let query = self.queries(query, params)?;
        self.inverted()?.search_one_preassigned(self.behind(&query).into(), probes, collector, params)
    }

    fn search_one(
        &self,
        query: AnyRows<'_>,
        collector: &mut dyn Collector,
        params: &SearchParams<'_>,
    ) -> Result<SearchStats, SearchError> {
        let query = self.queries(query, params)?;
        self.inverted()?.search_one(self.behind(&query).into(), collector, params)
    }

    fn reconstruct_at(&self, at: Location, vector: &mut [f32]) -> Result<(), ReconstructError> {
        check_output(1, self.dim, vector)?;
        if !self.is_reversible() {
            let index: &dyn Index = self;
            return Err(index.unable("reconstruct").into());
        }
        let mut behind = vec![0.0; self.inner.dim()];
        self.inverted()?.reconstruct_at(at, &mut behind)?;
        vector.copy_from_slice(&self.reversed(&behind));
        Ok(())
    }
}

impl IndexIvfMut for PreTransform {
    fn set_nprobe(&mut self, nprobe: usize) -> Result<(), KnobError> {
        if let Some(ivf) = self.inner.as_ivf_mut() {
            return ivf.set_nprobe(nprobe);
        }
        Err(unknown_knob("nprobe", &self.parts()))
    }

    fn add_preassigned(
        &mut self,
        rows: AnyRows<'_>,
        lists: &[Option<ListNo>],
        ids: Option<&[Id]>,
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError> {
        let vectors = self.transformed(rows, options.into())?.ok_or(AddError::NotTrained)?;
        let rows = ivf_core::Rows::new(&vectors, self.inner.dim()).map_err(InputError::from)?;
        self.inverted_mut()?.add_preassigned(rows.into(), lists, ids, options)
    }

    fn replace_quantizer(&mut self, quantizer: Arc<dyn Level1Quantizer>) -> Result<(), ReplaceError> {
        self.inverted_mut()?.replace_quantizer(quantizer)
    }

    fn replace_lists(&mut self, lists: Box<dyn InvertedLists>) -> Result<Arc<dyn InvertedLists>, ReplaceError> {
        self.inverted_mut()?.replace_lists(lists)
    }

    fn permute_lists(&mut self, order: &[ListNo]) -> Result<(), ReplaceError> {
        self.inverted_mut()?.permute_lists(order)
    }

    fn sort_entries(&mut self) -> Result<(), StoreError> {
        self.inner.as_ivf_mut().map_or(Ok(()), |ivf| ivf.sort_entries())
    }
}
