//! The index: what every one can do, the way to what some can, and short calls for both.

use crate::ability::{
    Add, AddCodes, AddWithIds, CopySubset, Merge, RangeSearch, Reconstruct, Remove, Reset, StandaloneCodec, Subset,
    Train, Update, Upsert,
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
/// What every index can do stands here; everything else is an ability, a trait of its own, reached by `as_*`. An index of
/// which `as_remove` says `None` cannot remove: there is no method that exists only to fail.
///
/// Both sides may rely on: searches run from many threads at once; results do not depend on the number of threads, on how
/// queries are cut into batches or on the parallel mode; a call that fails leaves the index as it was (a removal or an update whose
/// store fails half way may be done in part).
///
/// The verbs are methods of `dyn Index` itself, those of abilities too: with default options under
/// their own name, with options as `*_with`. A verb of an ability that the index lacks is an error
/// that says what would help.
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
    /// Dimension of the vectors.
    fn dim(&self) -> usize;

    /// The metric.
    fn metric(&self) -> Metric;

    /// How many vectors there are.
    fn len(&self) -> usize;

    /// True if there are no vectors.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if vectors can be added. An index without the ability [`Train`] always is.
    fn is_trained(&self) -> bool;

    /// What [`spec`](Self::spec) prints, with what a wrapper must know to put itself around it.
    fn spec_text(&self) -> SpecText;

    /// The factory string that makes such an index, untrained and empty.
    fn spec(&self) -> String {
        self.spec_text().to_string()
    }

    /// The `k` nearest vectors of each query, as many as there are: what `search` of `dyn Index`
    /// calls.
    ///
    /// # Errors
    /// [`SearchError`]: `k` is 0, queries of another dimension or with a NaN or an infinity, a parameter the index does not
    /// take, not trained, cancelled, or the lists cannot be read.
    fn search_rows(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError>;

    /// The parameters that a search takes; any other is [`SearchError::UnsupportedParam`].
    /// ([`SearchParams::retain`] leaves the others out of a config.)
    fn takes(&self) -> Takes;

    /// The index and its components, from the outside in, with their knobs: transforms, wrappers,
    /// the coarse quantizer, the codec, the lists.
    fn parts(&self) -> Vec<Part>;

    /// Sets the knob `name` of the part at `path` (a [`Part::path`]; `""` is the index itself).
    /// `set_knob` of `dyn Index` finds the part by itself.
    ///
    /// # Errors
    /// [`KnobError`] for a path or a name that is not there, or a value out of range. The index is
    /// as it was.
    fn set_knob_at(&mut self, path: &str, name: &str, value: KnobValue) -> Result<(), KnobError>;

    /// Bytes of memory that vectors and tables take.
    fn memory(&self) -> usize;

    /// Bytes of memory that it takes once it holds `vectors` vectors, if that is more than it holds now: [`memory`](Self::memory) then,
    /// about: no one can know before how far the last blocks of lists are filled. An untrained index leaves out what it will learn.
    fn memory_with(&self, vectors: usize) -> usize;

    /// The index for a file or another reader of its insides.
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be read.
    fn export(&self) -> Result<Node<'_>, StoreError>;

    /// The index as it is now, for a reader while this one changes, or the other way round. It
    /// shares what neither changes: the quantizer, the codec, and lists in memory until one of the
    /// two writes to them. (Faiss's `clone_index` copies.)
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`] if the lists are in a store that cannot be copied.
    fn clone_index(&self) -> Result<Box<dyn Index>, StoreError>;

    /// The ability to learn from vectors.
    fn as_train(&mut self) -> Option<&mut dyn Train> {
        None
    }

    /// The ability to take vectors and count up their ids.
    fn as_add(&mut self) -> Option<&mut dyn Add> {
        None
    }

    /// The ability to take vectors with the caller's ids.
    fn as_add_with_ids(&mut self) -> Option<&mut dyn AddWithIds> {
        None
    }

    /// The ability to forget all vectors.
    fn as_reset(&mut self) -> Option<&mut dyn Reset> {
        None
    }

    /// The ability to find everything within a radius.
    fn as_range_search(&self) -> Option<&dyn RangeSearch> {
        None
    }

    /// The ability to forget some vectors.
    fn as_remove(&mut self) -> Option<&mut dyn Remove> {
        None
    }

    /// The ability to replace vectors.
    fn as_update(&mut self) -> Option<&mut dyn Update> {
        None
    }

    /// The ability to replace vectors and add those that are not there.
    fn as_upsert(&mut self) -> Option<&mut dyn Upsert> {
        None
    }

    /// The ability to give vectors back.
    fn as_reconstruct(&self) -> Option<&dyn Reconstruct> {
        None
    }

    /// The ability to take over another index.
    fn as_merge(&mut self) -> Option<&mut dyn Merge> {
        None
    }

    /// The ability to copy some of its vectors into another index.
    fn as_copy_subset(&self) -> Option<&dyn CopySubset> {
        None
    }

    /// The ability to code vectors without keeping them.
    fn as_standalone_codec(&self) -> Option<&dyn StandaloneCodec> {
        None
    }

    /// The ability to take codes made by a standalone codec.
    fn as_add_codes(&mut self) -> Option<&mut dyn AddCodes> {
        None
    }

    /// The index as an inverted-file index, if it is one.
    fn as_ivf(&self) -> Option<&dyn IndexIvf> {
        None
    }

    /// The write half of an inverted-file index.
    fn as_ivf_mut(&mut self) -> Option<&mut dyn IndexIvfMut> {
        None
    }

    /// The index that this one is wrapped around, if it is a wrapper.
    fn wrapped(&self) -> Option<&dyn Index> {
        None
    }

    /// The same, to change: knobs, the quantizer, the order of lists. Vectors go through the
    /// wrapper, which keeps ids, or other copies of them; one that was added or removed behind its
    /// back is found under a wrong id, or none, and such an index cannot be saved.
    fn wrapped_mut(&mut self) -> Option<&mut dyn Index> {
        None
    }
}

impl<'i> AsRef<dyn Index + 'i> for dyn Index + 'i {
    fn as_ref(&self) -> &(dyn Index + 'i) {
        self
    }
}

/// Makes an index usable where a function takes any, boxed or not: `write_index(&index, path)`.
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

/// The verbs.
impl dyn Index + '_ {
    /// The `k` nearest vectors of each query, as many as there are.
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

    /// The inverted-file index that this is, or that stands inside its wrappers. (Faiss's `extract_index_ivf`.) Its ids and its
    /// vectors are its own: a wrapper may have others.
    pub fn find_ivf(&self) -> Option<&dyn IndexIvf> {
        self.as_ivf().or_else(|| self.wrapped()?.find_ivf())
    }

    /// The same, to change: `index.find_ivf_mut()` and then
    /// [`set_nprobe`](IndexIvfMut::set_nprobe). See [`wrapped_mut`](Index::wrapped_mut) for what
    /// may be changed behind a wrapper.
    pub fn find_ivf_mut(&mut self) -> Option<&mut dyn IndexIvfMut> {
        if self.as_ivf().is_some() {
            return self.as_ivf_mut();
        }
        self.wrapped_mut()?.find_ivf_mut()
    }

    /// `train_with` with default options.
    ///
    /// # Errors
    /// As [`Train::train`].
    pub fn train<'r>(&mut self, rows: impl Into<AnyRows<'r>>) -> Result<TrainReport, TrainError> {
        self.train_with(rows, &TrainOptions::new())
    }

    /// [`Train::train`]; an index without the ability has nothing to learn and says so with an
    /// empty report.
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

    /// [`Add::add`] with default options.
    ///
    /// # Errors
    /// As [`Add::add`]; [`Unable`] without the ability.
    pub fn add<'r>(&mut self, rows: impl Into<AnyRows<'r>>) -> Result<AddReport, AddError> {
        self.add_with(rows, &AddOptions::new())
    }

    /// [`Add::add`].
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

    /// [`AddWithIds::add_with_ids`] with default options.
    ///
    /// # Errors
    /// As [`AddWithIds::add_with_ids`]; [`Unable`] without the ability.
    pub fn add_with_ids<'r>(&mut self, rows: impl Into<AnyRows<'r>>, ids: &[Id]) -> Result<AddReport, AddError> {
        self.add_with_ids_with(rows, ids, &AddOptions::new())
    }

    /// [`AddWithIds::add_with_ids`].
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

    /// [`Reset::reset`].
    ///
    /// # Errors
    /// As [`Reset::reset`]; [`Unable`] without the ability.
    pub fn reset(&mut self) -> Result<(), EditError> {
        match self.as_reset() {
            Some(able) => Ok(able.reset()?),
            None => Err(self.unable("forget its vectors").into()),
        }
    }

    /// [`RangeSearch::range_search`] with default parameters.
    ///
    /// # Errors
    /// As [`RangeSearch::range_search`]; [`Unable`] without the ability.
    pub fn range_search<'r>(&self, queries: impl Into<AnyRows<'r>>, radius: f32) -> Result<SearchResult, SearchError> {
        self.range_search_with(queries, radius, &SearchParams::new())
    }

    /// [`RangeSearch::range_search`].
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

    /// [`Remove::remove`].
    ///
    /// # Errors
    /// As [`Remove::remove`]; [`Unable`] without the ability.
    pub fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        match self.as_remove() {
            Some(able) => able.remove(selector),
            None => Err(self.unable("remove").into()),
        }
    }

    /// [`Update::update`] with default options.
    ///
    /// # Errors
    /// As [`Update::update`]; [`Unable`] without the ability.
    pub fn update<'r>(&mut self, ids: &[Id], rows: impl Into<AnyRows<'r>>) -> Result<(), EditError> {
        self.update_with(ids, rows, &AddOptions::new())
    }

    /// [`Update::update`].
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

    /// [`Upsert::upsert`] with default options.
    ///
    /// # Errors
    /// As [`Upsert::upsert`]; [`Unable`] without the ability.
    pub fn upsert<'r>(&mut self, ids: &[Id], rows: impl Into<AnyRows<'r>>) -> Result<UpsertReport, EditError> {
        self.upsert_with(ids, rows, &AddOptions::new())
    }

    /// [`Upsert::upsert`].
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

    /// [`Merge::merge_from`] with default options.
    ///
    /// # Errors
    /// As [`Merge::merge_from`]; [`Unable`] without the ability.
    pub fn merge_from(&mut self, other: &mut dyn Index, shift: i64) -> Result<(), MergeError> {
        self.merge_from_with(other, shift, &AddOptions::new())
    }

    /// [`Merge::merge_from`].
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

    /// [`CopySubset::copy_subset_to`] with default options.
    ///
    /// # Errors
    /// As [`CopySubset::copy_subset_to`]; [`Unable`] without the ability.
    pub fn copy_subset_to(&self, other: &mut dyn Index, subset: &Subset<'_>) -> Result<usize, MergeError> {
        self.copy_subset_to_with(other, subset, &AddOptions::new())
    }

    /// [`CopySubset::copy_subset_to`].
    ///
    /// # Errors
    /// As [`CopySubset::copy_subset_to`]; [`Unable`] without the ability.
    pub fn copy_subset_to_with(
        &self,
        other: &mut dyn Index,
        subset: &Subset<'_>,
        options: &AddOptions<'_>,
    ) -> Result<usize, MergeError> {
        let copy = self.as_copy_subset().ok_or_else(|| self.unable("copy a part of it"))?;
        copy.copy_subset_to(other, subset, options)
    }

    /// The vectors of the ids from `ids.start` on, below `ids.end`, row after row.
    ///
    /// # Errors
    /// As [`Reconstruct::reconstruct_many`]: each of them has to be there. [`Unable`] without the ability.
    pub fn reconstruct_n(&self, ids: Range<i64>) -> Result<Vec<f32>, ReconstructError> {
        if ids.start < ids.end && ids.end.abs_diff(ids.start) > self.len() as u64 {
            // More than there can be: the first that is missing, found without room for all.
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

    /// [`Reconstruct::reconstruct_many`] into new vectors, row after row.
    ///
    /// # Errors
    /// As [`Reconstruct::reconstruct_many`]; [`Unable`] without the ability.
    pub fn reconstruct_many(&self, ids: &[Id]) -> Result<Vec<f32>, ReconstructError> {
        let reconstruct = self.as_reconstruct().ok_or_else(|| self.unable("reconstruct"))?;
        let mut vectors = vec![0.0; ids.len() * self.dim()];
        reconstruct.reconstruct_many(ids, &mut vectors)?;
        Ok(vectors)
    }

    /// [`Reconstruct::search_and_reconstruct`] with default parameters.
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

    /// [`Reconstruct::search_and_reconstruct`].
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

    /// [`Reconstruct::reconstruct`] into a new vector.
    ///
    /// # Errors
    /// As [`Reconstruct::reconstruct`]; [`Unable`] without the ability.
    pub fn reconstruct(&self, id: Id) -> Result<Vec<f32>, ReconstructError> {
        let reconstruct = self.as_reconstruct().ok_or_else(|| self.unable("reconstruct"))?;
        let mut vector = vec![0.0; self.dim()];
        reconstruct.reconstruct(id, &mut vector)?;
        Ok(vector)
    }

    /// [`StandaloneCodec::sa_encode`] with default options.
    ///
    /// # Errors
    /// As [`StandaloneCodec::sa_encode`]; [`Unable`] without the ability.
    pub fn sa_encode<'r>(&self, rows: impl Into<AnyRows<'r>>) -> Result<Vec<u8>, CodeError> {
        let codec = self.as_standalone_codec().ok_or_else(|| self.unable("code vectors"))?;
        codec.sa_encode(rows.into(), &AddOptions::new())
    }

    /// [`StandaloneCodec::sa_decode`].
    ///
    /// # Errors
    /// As [`StandaloneCodec::sa_decode`]; [`Unable`] without the ability.
    pub fn sa_decode(&self, codes: &[u8]) -> Result<Vec<f32>, CodeError> {
        self.as_standalone_codec().ok_or_else(|| self.unable("decode vectors"))?.sa_decode(codes)
    }

    /// [`AddCodes::add_codes`] with default options.
    ///
    /// # Errors
    /// As [`AddCodes::add_codes`]; [`Unable`] without the ability.
    pub fn add_codes(&mut self, codes: &[u8], ids: Option<&[Id]>) -> Result<AddReport, CodeError> {
        match self.as_add_codes() {
            Some(able) => able.add_codes(codes, ids, &AddOptions::new()),
            None => Err(self.unable("add codes").into()),
        }
    }

    /// The error for an ability that this index lacks.
    pub fn unable(&self, ability: &'static str) -> Unable {
        Unable { ability, index: self.spec(), help: None }
    }

    /// The same for an ability that an id map around it would have.
    fn unable_unless_wrapped(&mut self, ability: &'static str) -> Unable {
        let index = self.spec();
        let help = self.as_add().map(|_| format!("wrap it, IDMap2,{index}"));
        Unable { ability, index, help }
    }
}
