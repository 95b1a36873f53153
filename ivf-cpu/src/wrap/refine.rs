//! `RFlat`: an index whose candidates are ranked again by exact distances.

use crate::codec::RowsSpec;
use crate::engine::CodesIndex;
use ivf_core::ability::{Add, Reconstruct, Remove, Reset, Train, Update};
use ivf_core::error::{
    AddError, BuildError, DecodeError, EditError, KnobError, ReconstructError, SearchError, StoreError, TrainError,
    Unable,
};
use ivf_core::executor::map;
use ivf_core::index_ivf::check_k;
use ivf_core::registry::{Registry, Side, WrapperRow, WrapperSpec};
use ivf_core::{
    AddOptions, AddReport, AnyRows, DirectMapKind, Hits, Id, IdSelector, Index, Knob, KnobValue, Location, Metric,
    Neighbor, Node, Part, SearchParams, SearchResult, Sink, SpecText, StoredNode, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// The row of this wrapper.
pub(super) const ROW: WrapperRow = WrapperRow::new(
    "refine",
    "RFlat",
    "ranks the candidates of an index again by exact distances to full vectors; knob k_factor",
    &["RFlat"],
    2,
    Side::After,
    |token| (token == "RFlat").then(|| Ok(Arc::new(RFlat) as _)),
    |node, registry| Ok(Box::new(Refine::read(node, registry)?)),
);

#[derive(Debug)]
struct RFlat;

impl fmt::Display for RFlat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROW.grammar)
    }
}

impl WrapperSpec for RFlat {
    fn wrap(&self, inner: Box<dyn Index>) -> Result<Box<dyn Index>, BuildError> {
        Ok(Box::new(Refine::flat(inner)?))
    }
}

/// An index that finds candidates, and a codec's standalone index of the same vectors that ranks them. (Faiss's `IndexRefine`.)
///
/// A search for `k` takes the best `k * k_factor` of the base and keeps the `k` whose refined distances are smallest.
#[derive(Debug)]
pub struct Refine {
    base: Box<dyn Index>,
    refine: CodesIndex,
    k_factor: f32,
}

const K_FACTOR: (&str, &str) = ("k_factor", "a number of at least 1");

impl Refine {
    /// Refines by the full vectors.
    ///
    /// # Errors
    /// [`BuildError::Unable`] if the base cannot add, or has vectors already.
    pub fn flat(mut base: Box<dyn Index>) -> Result<Self, BuildError> {
        let unable = |unable| BuildError::Unable { wrapper: ROW.grammar.to_owned(), unable };
        if !base.is_empty() {
            return Err(unable(base.unable("start empty")));
        }
        if base.as_add().is_none() {
            return Err(unable(base.unable("add")));
        }
        let refine = CodesIndex::new(base.dim(), base.metric(), Arc::new(RowsSpec))?;
        Ok(Self { base, refine, k_factor: 1.0 })
    }

    /// The index that finds candidates.
    pub fn base(&self) -> &dyn Index {
        &*self.base
    }

    fn read(node: &StoredNode, registry: &Registry) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        let k_factor: f32 = node.meta()?;
        let base = registry.read_index(node.child("base")?)?;
        let refine = CodesIndex::read(node.child("refine")?, registry)?;
        let fault = |what: String| DecodeError::value(&node.tag, what);
        if (base.dim(), base.metric(), base.len()) != (refine.dim(), refine.metric(), refine.len()) {
            return Err(fault("the base and the refining vectors differ in dimension, metric or number".to_owned()));
        }
        if refine.spec() != RowsSpec.to_string() {
            return Err(fault(format!("refined by {}", refine.spec())));
        }
        if !(k_factor.is_finite() && k_factor >= 1.0) {
            return Err(fault(format!("k_factor {k_factor}")));
        }
        Ok(Self { base, refine, k_factor })
    }
}

impl Index for Refine {
    fn dim(&self) -> usize {
        self.base.dim()
    }

    fn metric(&self) -> Metric {
        self.base.metric()
    }

    fn len(&self) -> usize {
        self.base.len()
    }

    fn is_trained(&self) -> bool {
        self.base.is_trained()
    }

    fn spec_text(&self) -> SpecText {
        self.base.spec_text().after(ROW.level, ROW.grammar)
    }

    fn search(&self, queries: AnyRows<'_>, k: usize, params: &SearchParams<'_>) -> Result<SearchResult, SearchError> {
        check_k(k)?;
        if params.locations.is_some() {
            return Err(SearchError::UnsupportedParam { param: "locations", index: "a refining index" });
        }
        let k_factor = params.k_factor.unwrap_or(self.k_factor);
        if !(k_factor.is_finite() && k_factor >= 1.0) {
            let found = k_factor.to_string();
            return Err(SearchError::InvalidParam { param: K_FACTOR.0, must: K_FACTOR.1, found });
        }
        let mut base_params = *params;
        base_params.k_factor = None;
        let candidates = (k as f64 * f64::from(k_factor)).ceil().min(usize::MAX as f64) as usize;
        let mut result = self.base.search(queries, candidates.max(k), &base_params)?;

        let started = Instant::now();
        let mut scratch = Vec::new();
        let rows = queries.to_f32(&mut scratch);
        let executor = crate::executor::or_global(params.executor);
        let sinks = map(executor, rows.len(), |i| -> Result<Sink, SearchError> {
            params.check_cancel()?;
            let ids = result.hits.row(i).ids;
            let mut sink = Sink::top_k(k);
            for (&id, distance) in ids.iter().zip(self.refine.distances(rows.row(i), ids)?) {
                sink.push(Neighbor { distance, id, location: Location::default() });
            }
            Ok(sink)
        });
        let sinks = sinks.into_iter().collect::<Result<Vec<_>, _>>()?;
        result.hits = Hits::from_sinks(self.metric(), sinks, false);
        result.stats.scan_time += started.elapsed();
        Ok(result)
    }

    fn parts(&self) -> Vec<Part> {
        let knobs = vec![Knob::new(K_FACTOR.0, KnobValue::Float(self.k_factor.into()), K_FACTOR.1)];
        let own = Part { path: String::new(), kind: ROW.tag.to_owned(), knobs };
        let base = self.base.parts().into_iter().map(|part| part.under("base"));
        // The refining vectors keep the map they need: its knob is not the caller's.
        let refine = self.refine.parts().into_iter().map(|part| Part { knobs: Vec::new(), ..part }.under("refine"));
        std::iter::once(own).chain(base).chain(refine).collect()
    }

    fn set_knob(&mut self, name: &str, value: KnobValue) -> Result<(), KnobError> {
        if name != K_FACTOR.0 {
            return self.base.set_knob(name, value);
        }
        let k_factor = value.number(name, 1.0, K_FACTOR.1)? as f32;
        if !k_factor.is_finite() {
            return Err(KnobError::Value { name: name.to_owned(), must: K_FACTOR.1, found: value.to_string() });
        }
        self.k_factor = k_factor;
        Ok(())
    }

    fn memory(&self) -> usize {
        self.base.memory() + self.refine.memory()
    }

    fn wrapped(&self) -> Option<&dyn Index> {
        Some(&*self.base)
    }

    fn memory_with(&self, vectors: usize) -> usize {
        self.base.memory_with(vectors).saturating_add(self.refine.memory_with(vectors))
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        let (base, refine) = (self.base.len(), self.refine.len());
        if base != refine {
            // No file that cannot be read again takes the place of one that can.
            return Err(StoreError::Inconsistent(format!("{base} vectors in the base, {refine} to rank them by")));
        }
        let mut node = Node::new(ROW.tag, 0, &self.k_factor);
        node.push_child("base", self.base.export()?);
        node.push_child("refine", self.refine.export()?);
        Ok(node)
    }

    fn as_train(&mut self) -> Option<&mut dyn Train> {
        self.base.as_train()?;
        Some(self)
    }

    fn as_add(&mut self) -> Option<&mut dyn Add> {
        Some(self)
    }

    fn as_reset(&mut self) -> Option<&mut dyn Reset> {
        self.base.as_reset()?;
        Some(self)
    }

    fn as_remove(&mut self) -> Option<&mut dyn Remove> {
        self.base.as_remove()?;
        Some(self)
    }

    fn as_update(&mut self) -> Option<&mut dyn Update> {
        self.base.as_update()?;
        Some(self)
    }

    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        Some(self)
    }
}

impl Train for Refine {
    fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError> {
        match self.base.as_train() {
            Some(train) => train.train(rows, options),
            None => Ok(TrainReport::default()),
        }
    }

    fn training_points(&mut self, options: &TrainOptions<'_>) -> usize {
        self.base.as_train().map_or(0, |train| train.training_points(options))
    }

    fn training_memory(&mut self, points: usize, options: &TrainOptions<'_>) -> usize {
        self.base.as_train().map_or(0, |train| train.training_memory(points, options))
    }
}

impl Add for Refine {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        // Both count ids from 0 and see the same calls, so a vector has the same id in both.
        let mark = self.refine.mark()?;
        let unable = self.refine_unable("add");
        self.refine.as_add().ok_or(unable)?.add(rows, options)?;
        let unable = self.base.unable("add");
        let added = self.base.as_add().ok_or(unable.into()).and_then(|add| add.add(rows, options));
        if added.is_err() {
            self.refine.undo(mark)?;
        }
        added
    }
}

impl Refine {
    /// Once vectors were moved, their ids no longer count up, and finding one would be a scan without a map.
    fn map_ids(&mut self) -> Result<(), EditError> {
        match self.refine.direct_map() {
            DirectMapKind::Hash => Ok(()),
            _ => self.refine.set_direct_map(DirectMapKind::Hash),
        }
    }

    fn refine_unable(&self, ability: &'static str) -> Unable {
        let refine: &dyn Index = &self.refine;
        refine.unable(ability)
    }
}

impl Reset for Refine {
    fn reset(&mut self) -> Result<(), StoreError> {
        if let Some(reset) = self.base.as_reset() {
            reset.reset()?;
        }
        match self.refine.as_reset() {
            Some(reset) => reset.reset(),
            None => Ok(()),
        }
    }
}

impl Remove for Refine {
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        let removed = self.base.remove(selector)?;
        let refine: &mut dyn Index = &mut self.refine;
        refine.remove(selector)?;
        self.map_ids()?;
        Ok(removed)
    }
}

impl Update for Refine {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError> {
        for index in [&mut *self.base, &mut self.refine] {
            let unable = index.unable("update");
            index.as_update().ok_or(unable)?.update(ids, rows, options)?;
        }
        self.map_ids()
    }
}

impl Reconstruct for Refine {
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
        match self.refine.as_reconstruct() {
            Some(reconstruct) => reconstruct.reconstruct(id, vector),
            None => Err(self.refine_unable("reconstruct").into()),
        }
    }

    fn reconstruct_many(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        match self.refine.as_reconstruct() {
            Some(reconstruct) => reconstruct.reconstruct_many(ids, vectors),
            None => Err(self.refine_unable("reconstruct").into()),
        }
    }

    fn search_and_reconstruct(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        let found = self.search(queries, k, params)?;
        // An id stands once in an index that counts its own.
        let mut vectors = vec![0.0; found.hits.total() * self.dim()];
        self.reconstruct_many(found.hits.ids(), &mut vectors)?;
        Ok((found, vectors))
    }
}
