//! The index: the operations of every index, access to abilities, and their methods on `dyn Index`.

use crate::ability::{
    Add, AddCodes, AddWithIds, CopySubset, Merge, RangeSearch, Reconstruct, Remove, Reset, ScanIds, StandaloneCodec,
    Subset, Train, Update, Upsert,
};
use crate::error::{
    AddError, CodeError, EditError, KnobError, MergeError, ReconstructError, SearchError, StoreError, TrainError,
    Unable,
};
use crate::hits::SearchResult;
use crate::id::Id;
use crate::index_ivf::{IndexIvf, IndexIvfMut};
use crate::metric::Metric;
use crate::node::Node;
use crate::params::{AddOptions, SearchParams, Takes, TrainOptions};
use crate::part::{KnobValue, Part};
use crate::report::{AddReport, TrainReport, UpsertReport};
use crate::rows::AnyRows;
use crate::selector::IdSelector;
use crate::spec::SpecText;
use std::any::Any;
use std::fmt;
use std::ops::Range;

/// A searchable collection of vectors.
///
/// This trait has the operations of every index. All others are abilities: traits of their own,
/// which `as_*` returns. If `as_remove` returns `None`, the index cannot remove vectors. No method
/// exists only to fail.
///
/// Callers and implementers rely on these promises:
///
/// * Many threads may search at the same time.
/// * Results do not depend on the number of threads, on the batches of queries, or on the parallel
///   mode.
/// * A call that fails leaves the index unchanged. (Exception: a removal or an update may be done
///   in part if the store of the lists fails during the call.)
///
/// Applications call methods of `dyn Index`, for abilities too. A method takes default options
/// under its own name, and given options as `*_with`. If the index lacks the ability, the call
/// returns an error. For ids of the caller, the error names the wrapper that provides them.
///
/// ```no_run
/// # fn get() -> Box<dyn ivf_core::Index> { unimplemented!() }
/// use ivf_core::{Rows, SearchParams};
/// let mut index = get();
/// let vectors = [0.0_f32, 1.0, 2.0, 3.0];
/// let rows = Rows::new(&vectors, 2)?;
/// index.train(rows)?;
/// index.add(rows)?;
/// for row in &index.search(rows, 1, &SearchParams::new())? {
///     for (id, distance) in row {
///         println!("{id} at {distance}");
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Index: Any + Send + Sync + fmt::Debug {
    /// Returns the dimension of the vectors.
    fn dim(&self) -> usize;

    /// Returns the metric.
    fn metric(&self) -> Metric;

    /// Returns the number of vectors.
    fn len(&self) -> usize;

    /// Returns true if there are no vectors.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true if vectors can be added. An index without the ability [`Train`] is always
    /// trained.
    fn is_trained(&self) -> bool;

    /// Returns the factory string with its outermost level, which a wrapper needs to add its token.
    fn spec_text(&self) -> SpecText;

    /// Returns the factory string that builds such an index, untrained and empty.
    fn spec(&self) -> String {
        self.spec_text().to_string()
    }

    /// Returns the `k` nearest vectors of each query, or fewer if the scanned lists hold fewer.
    /// `search` of `dyn Index` calls this.
    ///
    /// # Errors
    /// [`SearchError`]: `k` is 0, the queries have another dimension or hold a NaN or an infinity,
    /// the index does not take a parameter, it is not trained, the call was cancelled, or the lists
    /// cannot be read.
    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError>;

    /// Returns the parameters that a search takes. Any other is [`SearchError::UnsupportedParam`].
    /// ([`SearchParams::retain`] removes the others from a config.)
    fn takes(&self) -> Takes;

    /// Returns the index and its components with their knobs, from the outside in: wrappers,
    /// transforms, the coarse quantizer, the codec, the lists.
    fn parts(&self) -> Vec<Part>;

    /// Sets the knob `name` of the part at `path` (a [`Part::path`]; `""` is the index itself).
    /// `set_knob` of `dyn Index` finds the part by itself.
    ///
    /// # Errors
    /// [`KnobError`] for an unknown path or name, or a value out of range. The index is unchanged.
    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError>;

    /// Returns the memory of vectors and tables, in bytes.
    fn memory(&self) -> usize;

    /// Estimates [`memory`](Self::memory) for an index of `vectors` vectors, at least as many as it
    /// holds now. The estimate assumes that the last block of each list is half full. For an
    /// untrained index, it excludes what training will create.
    fn memory_with(&self, vectors: usize) -> usize;

    /// Returns the contents of the index as data, for a file or another reader.
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be read.
    fn export(&self) -> Result<Node<'_>, StoreError>;

    /// Returns a snapshot. It shares the quantizer, the codec, and the lists in memory with this
    /// index. A list is copied when either of the two writes to it. (Faiss's `clone_index` copies
    /// everything.)
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`] if the lists are in a store that cannot be copied.
    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError>;

    /// Returns the ability to train on vectors.
    fn as_train(&mut self) -> Option<&mut dyn Train> {
        None
    }

    /// Returns the ability to add vectors with consecutive ids.
    fn as_add(&mut self) -> Option<&mut dyn Add> {
        None
    }

    /// Returns the ability to add vectors with the caller's ids.
    fn as_add_with_ids(&mut self) -> Option<&mut dyn AddWithIds> {
        None
    }

    /// Returns the ability to remove all vectors.
    fn as_reset(&mut self) -> Option<&mut dyn Reset> {
        None
    }

    /// Returns the ability to find all vectors within a radius.
    fn as_range_search(&self) -> Option<&dyn RangeSearch> {
        None
    }

    /// Returns the ability to remove selected vectors.
    fn as_remove(&mut self) -> Option<&mut dyn Remove> {
        None
    }

    /// Returns the ability to replace vectors by id.
    fn as_update(&mut self) -> Option<&mut dyn Update> {
        None
    }

    /// Returns the ability to replace vectors by id and to add those that are new.
    fn as_upsert(&mut self) -> Option<&mut dyn Upsert> {
        None
    }

    /// Returns the ability to pass through all ids.
    fn as_scan_ids(&self) -> Option<&dyn ScanIds> {
        None
    }

    /// Returns the ability to reconstruct vectors from their codes.
    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        None
    }

    /// Returns the ability to move the vectors of another index into this one.
    fn as_merge(&mut self) -> Option<&mut dyn Merge> {
        None
    }

    /// Returns the ability to copy a subset of the vectors into another index.
    fn as_copy_subset(&self) -> Option<&dyn CopySubset> {
        None
    }

    /// Returns the ability to encode vectors without storing them.
    fn as_standalone_codec(&self) -> Option<&dyn StandaloneCodec> {
        None
    }

    /// Returns the ability to add codes that a standalone codec made.
    fn as_add_codes(&mut self) -> Option<&mut dyn AddCodes> {
        None
    }

    /// Returns the index as an inverted-file index, if it is one.
    fn as_ivf(&self) -> Option<&dyn IndexIvf> {
        None
    }

    /// Returns the write half of an inverted-file index, if it is one.
    fn as_ivf_mut(&mut self) -> Option<&mut dyn IndexIvfMut> {
        None
    }

    /// Returns the wrapped index, if this is a wrapper.
    fn wrapped(&self) -> Option<&dyn Index> {
        None
    }

    /// Returns the wrapped index, to change its knobs, its quantizer or the order of its lists. Add
    /// and remove vectors only through the wrapper, which keeps ids or copies of them: after a
    /// change behind it, searches may fail or return wrong ids, and the index cannot be saved.
    fn wrapped_mut(&mut self) -> Option<&mut dyn Index> {
        None
    }
}

impl<'i> AsRef<dyn Index + 'i> for dyn Index + 'i {
    fn as_ref(&self) -> &(dyn Index + 'i) {
        self
    }
}

/// Lets functions take a boxed index and a concrete one alike: `write_index(&index, path)`.
#[macro_export]
macro_rules! index_as_ref {
    ($($index:ty),* $(,)?) => {$(
        impl AsRef<dyn $crate::Index> for $index {
            fn as_ref(&self) -> &(dyn $crate::Index + 'static) {
                self
            }
        }
    )*};
}

/// Operations of every index, and those of abilities.
impl dyn Index + '_ {
    /// Returns the `k` nearest vectors of each query, or fewer if the scanned lists hold fewer.
    ///
    /// # Errors
    /// As [`search_rows`](Index::search_rows).
    pub fn search<'r>(
        &self,
        queries: impl Into<AnyRows<'r>>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        self.search_rows(queries.into(), k, params)
    }

    /// Returns this index if it is an inverted-file index, or else the one inside its wrappers.
    /// (Faiss's `extract_index_ivf`.) Its ids and vectors may differ from those of the wrapper.
    pub fn find_ivf(&self) -> Option<&dyn IndexIvf> {
        self.as_ivf().or_else(|| self.wrapped()?.find_ivf())
    }

    /// Like `find_ivf`, for changes such as [`set_nprobe`](IndexIvfMut::set_nprobe).
    /// [`wrapped_mut`](Index::wrapped_mut) lists the changes that are allowed behind a wrapper.
    pub fn find_ivf_mut(&mut self) -> Option<&mut dyn IndexIvfMut> {
        if self.as_ivf().is_some() {
            return self.as_ivf_mut();
        }
        self.wrapped_mut()?.find_ivf_mut()
    }

    /// Trains on vectors with default options.
    ///
    /// # Errors
    /// As [`Train::train`].
    pub fn train<'r>(&mut self, rows: impl Into<AnyRows<'r>>) -> Result<TrainReport, TrainError> {
        self.train_with(rows, &TrainOptions::new())
    }

    /// Trains on vectors. An index without the ability needs no training and returns an empty
    /// report.
    ///
    /// # Errors
    /// As [`Train::train`].
    pub fn train_with<'r>(
        &mut self,
        rows: impl Into<AnyRows<'r>>,
        options: &TrainOptions<'_>,
    ) -> Result<TrainReport, TrainError> {
        match self.as_train() {
            Some(train) => train.train(rows.into(), options),
            None => Ok(TrainReport::default()),
        }
    }

    /// Calls [`Add::add`] with default options.
    ///
    /// # Errors
    /// As [`Add::add`]; [`Unable`] without the ability.
    pub fn add<'r>(&mut self, rows: impl Into<AnyRows<'r>>) -> Result<AddReport, AddError> {
        self.add_with(rows, &AddOptions::new())
    }

    /// Calls [`Add::add`].
    ///
    /// # Errors
    /// As [`Add::add`]; [`Unable`] without the ability.
    pub fn add_with<'r>(
        &mut self,
        rows: impl Into<AnyRows<'r>>,
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError> {
        match self.as_add() {
            Some(able) => able.add(rows.into(), options),
            None => Err(self.unable("add").into()),
        }
    }

    /// Calls [`AddWithIds::add_with_ids`] with default options.
    ///
    /// # Errors
    /// As [`AddWithIds::add_with_ids`]; [`Unable`] without the ability.
    pub fn add_with_ids<'r>(&mut self, rows: impl Into<AnyRows<'r>>, ids: &[Id]) -> Result<AddReport, AddError> {
        self.add_with_ids_with(rows, ids, &AddOptions::new())
    }

    /// Calls [`AddWithIds::add_with_ids`].
    ///
    /// # Errors
    /// As [`AddWithIds::add_with_ids`]; [`Unable`] without the ability.
    pub fn add_with_ids_with<'r>(
        &mut self,
        rows: impl Into<AnyRows<'r>>,
        ids: &[Id],
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError> {
        match self.as_add_with_ids() {
            Some(able) => able.add_with_ids(rows.into(), ids, options),
            None => Err(self.unable_unless_wrapped("add with ids").into()),
        }
    }

    /// Calls [`Reset::reset`].
    ///
    /// # Errors
    /// As [`Reset::reset`]; [`Unable`] without the ability.
    pub fn reset(&mut self) -> Result<(), EditError> {
        match self.as_reset() {
            Some(able) => Ok(able.reset()?),
            None => Err(self.unable("reset").into()),
        }
    }

    /// Calls [`RangeSearch::range_search`] with default parameters.
    ///
    /// # Errors
    /// As [`RangeSearch::range_search`]; [`Unable`] without the ability.
    pub fn range_search<'r>(&self, queries: impl Into<AnyRows<'r>>, radius: f32) -> Result<SearchResult, SearchError> {
        self.range_search_with(queries, radius, &SearchParams::new())
    }

    /// Calls [`RangeSearch::range_search`].
    ///
    /// # Errors
    /// As [`RangeSearch::range_search`]; [`Unable`] without the ability.
    pub fn range_search_with<'r>(
        &self,
        queries: impl Into<AnyRows<'r>>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        let search = self.as_range_search().ok_or_else(|| self.unable("search within a radius"))?;
        search.range_search(queries.into(), radius, params)
    }

    /// Calls [`Remove::remove`].
    ///
    /// # Errors
    /// As [`Remove::remove`]; [`Unable`] without the ability.
    pub fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        match self.as_remove() {
            Some(able) => able.remove(selector),
            None => Err(self.unable("remove").into()),
        }
    }

    /// Calls [`Update::update`] with default options.
    ///
    /// # Errors
    /// As [`Update::update`]; [`Unable`] without the ability.
    pub fn update<'r>(&mut self, ids: &[Id], rows: impl Into<AnyRows<'r>>) -> Result<(), EditError> {
        self.update_with(ids, rows, &AddOptions::new())
    }

    /// Calls [`Update::update`].
    ///
    /// # Errors
    /// As [`Update::update`]; [`Unable`] without the ability.
    pub fn update_with<'r>(
        &mut self,
        ids: &[Id],
        rows: impl Into<AnyRows<'r>>,
        options: &AddOptions<'_>,
    ) -> Result<(), EditError> {
        match self.as_update() {
            Some(able) => able.update(ids, rows.into(), options),
            None => Err(self.unable("update").into()),
        }
    }

    /// Calls [`Upsert::upsert`] with default options.
    ///
    /// # Errors
    /// As [`Upsert::upsert`]; [`Unable`] without the ability.
    pub fn upsert<'r>(&mut self, ids: &[Id], rows: impl Into<AnyRows<'r>>) -> Result<UpsertReport, EditError> {
        self.upsert_with(ids, rows, &AddOptions::new())
    }

    /// Calls [`Upsert::upsert`].
    ///
    /// # Errors
    /// As [`Upsert::upsert`]; [`Unable`] without the ability.
    pub fn upsert_with<'r>(
        &mut self,
        ids: &[Id],
        rows: impl Into<AnyRows<'r>>,
        options: &AddOptions<'_>,
    ) -> Result<UpsertReport, EditError> {
        match self.as_upsert() {
            Some(able) => able.upsert(ids, rows.into(), options),
            None => Err(self.unable_unless_wrapped("upsert").into()),
        }
    }

    /// Calls [`ScanIds::scan_ids`].
    ///
    /// ```no_run
    /// # fn get() -> Box<dyn ivf_core::Index> { unimplemented!() }
    /// let index = get();
    /// let mut largest = None;
    /// index.scan_ids(|id| largest = largest.max(Some(id)))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`ScanIds::scan_ids`]; [`Unable`] without the ability.
    pub fn scan_ids(&self, mut found: impl FnMut(Id)) -> Result<(), ReconstructError> {
        let scan = self.as_scan_ids().ok_or_else(|| self.unable("list its ids"))?;
        Ok(scan.scan_ids(&mut found)?)
    }

    /// Calls [`Merge::merge_from`] with default options.
    ///
    /// # Errors
    /// As [`Merge::merge_from`]; [`Unable`] without the ability.
    pub fn merge_from(&mut self, other: &mut dyn Index, shift: i64) -> Result<(), MergeError> {
        self.merge_from_with(other, shift, &AddOptions::new())
    }

    /// Calls [`Merge::merge_from`].
    ///
    /// # Errors
    /// As [`Merge::merge_from`]; [`Unable`] without the ability.
    pub fn merge_from_with(
        &mut self,
        other: &mut dyn Index,
        shift: i64,
        options: &AddOptions<'_>,
    ) -> Result<(), MergeError> {
        match self.as_merge() {
            Some(able) => able.merge_from(other, shift, options),
            None => Err(self.unable("merge").into()),
        }
    }

    /// Calls [`CopySubset::copy_subset_to`] with default options.
    ///
    /// # Errors
    /// As [`CopySubset::copy_subset_to`]; [`Unable`] without the ability.
    pub fn copy_subset_to(&self, other: &mut dyn Index, subset: &Subset<'_>) -> Result<usize, MergeError> {
        self.copy_subset_to_with(other, subset, &AddOptions::new())
    }

    /// Calls [`CopySubset::copy_subset_to`].
    ///
    /// # Errors
    /// As [`CopySubset::copy_subset_to`]; [`Unable`] without the ability.
    pub fn copy_subset_to_with(
        &self,
        other: &mut dyn Index,
        subset: &Subset<'_>,
        options: &AddOptions<'_>,
    ) -> Result<usize, MergeError> {
        let copy = self.as_copy_subset().ok_or_else(|| self.unable("copy a subset"))?;
        copy.copy_subset_to(other, subset, options)
    }

    /// Returns the vectors of the ids from `ids.start` to `ids.end - 1`, row after row.
    ///
    /// # Errors
    /// As [`Reconstruct::reconstruct_many`]; every id must be in the index. [`Unable`] without the
    /// ability.
    pub fn reconstruct_n(&self, ids: Range<i64>) -> Result<Vec<f32>, ReconstructError> {
        if ids.start < ids.end && ids.end.abs_diff(ids.start) > self.len() as u64 {
            // There are more ids than vectors, so at least one is missing. Find it without
            // allocating memory for all of them.
            let mut start = ids.start;
            while start < ids.end {
                let end = start.saturating_add(4096).min(ids.end);
                self.reconstruct_many(&(start..end).map(Id).collect::<Vec<Id>>())?;
                start = end;
            }
        }
        let ids: Vec<Id> = ids.map(Id).collect();
        self.reconstruct_many(&ids)
    }

    /// Calls [`Reconstruct::reconstruct_many`] and returns the vectors, row after row.
    ///
    /// # Errors
    /// As [`Reconstruct::reconstruct_many`]; [`Unable`] without the ability.
    pub fn reconstruct_many(&self, ids: &[Id]) -> Result<Vec<f32>, ReconstructError> {
        let reconstruct = self.as_reconstruct().ok_or_else(|| self.unable("reconstruct"))?;
        let mut vectors = vec![0.0; ids.len() * self.dim()];
        reconstruct.reconstruct_many(ids, &mut vectors)?;
        Ok(vectors)
    }

    /// Calls [`Reconstruct::search_and_reconstruct`] with default parameters.
    ///
    /// # Errors
    /// As [`Reconstruct::search_and_reconstruct`]; [`Unable`] without the ability.
    pub fn search_and_reconstruct<'r>(
        &self,
        queries: impl Into<AnyRows<'r>>,
        k: usize,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        self.search_and_reconstruct_with(queries, k, &SearchParams::new())
    }

    /// Calls [`Reconstruct::search_and_reconstruct`].
    ///
    /// # Errors
    /// As [`Reconstruct::search_and_reconstruct`]; [`Unable`] without the ability.
    pub fn search_and_reconstruct_with<'r>(
        &self,
        queries: impl Into<AnyRows<'r>>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        let reconstruct = self.as_reconstruct().ok_or_else(|| self.unable("reconstruct"))?;
        reconstruct.search_and_reconstruct(queries.into(), k, params)
    }

    /// Calls [`Reconstruct::reconstruct`] and returns the vector.
    ///
    /// # Errors
    /// As [`Reconstruct::reconstruct`]; [`Unable`] without the ability.
    pub fn reconstruct(&self, id: Id) -> Result<Vec<f32>, ReconstructError> {
        let reconstruct = self.as_reconstruct().ok_or_else(|| self.unable("reconstruct"))?;
        let mut vector = vec![0.0; self.dim()];
        reconstruct.reconstruct(id, &mut vector)?;
        Ok(vector)
    }

    /// Calls [`StandaloneCodec::sa_encode`] with default options.
    ///
    /// # Errors
    /// As [`StandaloneCodec::sa_encode`]; [`Unable`] without the ability.
    pub fn sa_encode<'r>(&self, rows: impl Into<AnyRows<'r>>) -> Result<Vec<u8>, CodeError> {
        let codec = self.as_standalone_codec().ok_or_else(|| self.unable("encode vectors"))?;
        codec.sa_encode(rows.into(), &AddOptions::new())
    }

    /// Calls [`StandaloneCodec::sa_decode`].
    ///
    /// # Errors
    /// As [`StandaloneCodec::sa_decode`]; [`Unable`] without the ability.
    pub fn sa_decode(&self, codes: &[u8]) -> Result<Vec<f32>, CodeError> {
        self.as_standalone_codec().ok_or_else(|| self.unable("decode vectors"))?.sa_decode(codes)
    }

    /// Calls [`AddCodes::add_codes`] with default options.
    ///
    /// # Errors
    /// As [`AddCodes::add_codes`]; [`Unable`] without the ability.
    pub fn add_codes(&mut self, codes: &[u8], ids: Option<&[Id]>) -> Result<AddReport, CodeError> {
        match self.as_add_codes() {
            Some(able) => able.add_codes(codes, ids, &AddOptions::new()),
            None => Err(self.unable("add codes").into()),
        }
    }

    /// Returns the error for an ability that this index lacks.
    pub fn unable(&self, ability: &'static str) -> Unable {
        Unable { ability, index: self.spec(), help: None }
    }

    /// Returns the error for an ability that the index would have inside an id map.
    fn unable_unless_wrapped(&mut self, ability: &'static str) -> Unable {
        let index = self.spec();
        let help = self.as_add().map(|_| format!("wrap it as IDMap2,{index}"));
        Unable { ability, index, help }
    }
}
