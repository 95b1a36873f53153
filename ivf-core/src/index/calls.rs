//! The methods of `dyn Index`: operations of every index, and those of its abilities.

use super::Index;
use crate::ability::Subset;
use crate::error::{AddError, CodeError, EditError, MergeError, ReconstructError, SearchError, TrainError, Unable};
use crate::hits::SearchResult;
use crate::id::Id;
use crate::index_ivf::{IndexIvf, IndexIvfMut};
use crate::params::{AddOptions, SearchParams, TrainOptions};
use crate::report::{AddReport, TrainReport, UpsertReport};
use crate::rows::AnyRows;
use crate::selector::IdSelector;
use std::ops::Range;

/// Operations of every index, and those of abilities.
///
/// A method `*_with` takes options. For example, one flag cancels changes of every kind:
///
/// ```
/// # use ivf_core::{AddOptions, Cancel, Id, Metric, Rows, ability::Subset};
/// # let rows = Rows::new(&[0.0_f32, 1.0], 1)?;
/// # let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
/// # index.add(rows)?;
/// # let (mut shard, mut copy) = (index.clone_index()?, ivf_factory::build("Flat", 1, Metric::L2)?);
/// let cancel = Cancel::new();
/// let options = AddOptions::new().cancel(&cancel);
/// cancel.cancel();
/// assert!(index.add_with(rows, &options).is_err());
/// assert!(index.add_with_ids_with(rows, &[Id(7), Id(8)], &options).is_err());
/// assert!(index.update_with(&[Id(0), Id(1)], rows, &options).is_err());
/// assert!(index.upsert_with(&[Id(1), Id(2)], rows, &options).is_err());
/// assert!(index.merge_from_with(&mut *shard, 2, &options).is_err());
/// assert!(index.copy_subset_to_with(&mut *copy, &Subset::Elements(0..1), &options).is_err());
/// assert_eq!((index.len(), shard.len(), copy.len()), (2, 2, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl dyn Index + '_ {
    /// Returns the `k` nearest vectors of each query, or fewer if the scanned lists hold fewer.
    ///
    /// # Errors
    /// Those of [`search_rows`](Index::search_rows).
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
    ///
    /// ```
    /// let mut index = ivf_factory::build("IVF16,Flat,RFlat", 2, ivf_core::Metric::L2)?;
    /// assert!(index.as_ivf().is_none());
    /// assert_eq!(index.find_ivf().map(|ivf| ivf.nlist()), Some(16));
    /// index.find_ivf_mut().ok_or("not an inverted file")?.set_nprobe(4)?;
    /// // The parts of the index inside have the path "base" and paths below it.
    /// let paths: Vec<String> = index.parts().into_iter().map(|part| part.path).collect();
    /// assert_eq!(paths[..3], ["", "base", "base/quantizer"]);
    /// assert_eq!(index.wrapped().map(|base| base.spec()).as_deref(), Some("IVF16,Flat"));
    /// assert_eq!(index.wrapped_mut().and_then(|base| base.knob("nprobe")), Some(4.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_ivf_mut(&mut self) -> Option<&mut dyn IndexIvfMut> {
        if self.as_ivf().is_some() {
            return self.as_ivf_mut();
        }
        self.wrapped_mut()?.find_ivf_mut()
    }

    /// Trains on vectors with default options.
    ///
    /// # Errors
    /// Those of [`Train::train`](crate::ability::Train::train).
    pub fn train<'r>(&mut self, rows: impl Into<AnyRows<'r>>) -> Result<TrainReport, TrainError> {
        self.train_with(rows, &TrainOptions::new())
    }

    /// Trains on vectors. An index without the ability needs no training and returns an empty
    /// report.
    ///
    /// ```
    /// # use ivf_core::{Metric, Rows, TrainOptions};
    /// let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// let sample = Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?;
    /// let report = index.train_with(sample, &TrainOptions::new().iterations(3).seed(7))?;
    /// assert_eq!((report.points, report.objectives[0].len()), (4, 3));
    /// // Four vectors are few for two lists.
    /// assert_eq!(report.warnings.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Train::train`](crate::ability::Train::train).
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

    /// Adds vectors. Their ids count up from the one after the largest id ever added.
    ///
    /// # Errors
    /// Those of [`Add::add`](crate::ability::Add::add), and [`Unable`] if the index lacks the
    /// ability.
    pub fn add<'r>(&mut self, rows: impl Into<AnyRows<'r>>) -> Result<AddReport, AddError> {
        self.add_with(rows, &AddOptions::new())
    }

    /// Like `add`, with options, such as an executor or what to do with a NaN.
    ///
    /// # Errors
    /// Those of [`Add::add`](crate::ability::Add::add), and [`Unable`] if the index lacks the
    /// ability.
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

    /// Adds vectors under ids of the caller, one per row.
    ///
    /// ```
    /// # use ivf_core::{Id, Metric, Rows, SearchParams};
    /// # let rows = Rows::new(&[0.0_f32, 1.0], 1)?;
    /// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
    /// index.add_with_ids(rows, &[Id(70), Id(-3)])?;
    /// assert_eq!(index.search(rows, 1, &SearchParams::new())?.hits.ids(), [Id(70), Id(-3)]);
    ///
    /// let mut refined = ivf_factory::build("Flat,RFlat", 1, Metric::L2)?;
    /// let error = refined.add_with_ids(rows, &[Id(70), Id(-3)]).unwrap_err();
    /// assert!(error.to_string().ends_with("wrap it as IDMap2,Flat,RFlat"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`AddWithIds::add_with_ids`](crate::ability::AddWithIds::add_with_ids), and
    /// [`Unable`] if the index lacks the ability.
    pub fn add_with_ids<'r>(&mut self, rows: impl Into<AnyRows<'r>>, ids: &[Id]) -> Result<AddReport, AddError> {
        self.add_with_ids_with(rows, ids, &AddOptions::new())
    }

    /// Like `add_with_ids`, with options.
    ///
    /// # Errors
    /// Those of [`AddWithIds::add_with_ids`](crate::ability::AddWithIds::add_with_ids), and
    /// [`Unable`] if the index lacks the ability.
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

    /// Removes all vectors and keeps the trained state. Ids count from 0 again.
    ///
    /// # Errors
    /// Those of [`Reset::reset`](crate::ability::Reset::reset), and [`Unable`] if the index lacks
    /// the ability.
    pub fn reset(&mut self) -> Result<(), EditError> {
        match self.as_reset() {
            Some(able) => Ok(able.reset()?),
            None => Err(self.unable("reset").into()),
        }
    }

    /// Returns all vectors nearer to each query than `radius`, or more similar for a similarity.
    ///
    /// # Errors
    /// Those of [`RangeSearch::range_search`](crate::ability::RangeSearch::range_search), and
    /// [`Unable`] if the index lacks the ability.
    pub fn range_search<'r>(&self, queries: impl Into<AnyRows<'r>>, radius: f32) -> Result<SearchResult, SearchError> {
        self.range_search_with(queries, radius, &SearchParams::new())
    }

    /// Like `range_search`, with parameters.
    ///
    /// ```
    /// # use ivf_core::{Id, IdSelector, Metric, Rows, SearchParams};
    /// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
    /// index.add(Rows::new(&[0.0_f32, 1.0, 3.0], 1)?)?;
    /// // The radius is a squared distance. A vector at exactly this distance is left out.
    /// let query = Rows::new(&[0.0_f32], 1)?;
    /// assert_eq!(index.range_search(query, 9.0)?.hits.row(0).ids, [Id(0), Id(1)]);
    /// let found = index.range_search_with(query, 9.0, &SearchParams::new().max_results(1))?;
    /// assert_eq!(found.hits.row(0).ids, [Id(0)]);
    /// // The vectors of the results:
    /// assert_eq!(index.search_and_reconstruct(query, 2)?.1, [0.0, 1.0]);
    /// let high = IdSelector::range(1..100);
    /// let params = SearchParams::new().selector(&high);
    /// assert_eq!(index.search_and_reconstruct_with(query, 2, &params)?.1, [1.0, 3.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`RangeSearch::range_search`](crate::ability::RangeSearch::range_search), and
    /// [`Unable`] if the index lacks the ability.
    pub fn range_search_with<'r>(
        &self,
        queries: impl Into<AnyRows<'r>>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        let search = self.as_range_search().ok_or_else(|| self.unable("search within a radius"))?;
        search.range_search(queries.into(), radius, params)
    }

    /// Removes the selected vectors. Returns how many were removed.
    ///
    /// # Errors
    /// Those of [`Remove::remove`](crate::ability::Remove::remove), and [`Unable`] if the index
    /// lacks the ability.
    pub fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        match self.as_remove() {
            Some(able) => able.remove(selector),
            None => Err(self.unable("remove").into()),
        }
    }

    /// Replaces the vectors of these ids. Every id must be in the index.
    ///
    /// # Errors
    /// Those of [`Update::update`](crate::ability::Update::update), and [`Unable`] if the index
    /// lacks the ability.
    pub fn update<'r>(&mut self, ids: &[Id], rows: impl Into<AnyRows<'r>>) -> Result<(), EditError> {
        self.update_with(ids, rows, &AddOptions::new())
    }

    /// Like `update`, with options.
    ///
    /// # Errors
    /// Those of [`Update::update`](crate::ability::Update::update), and [`Unable`] if the index
    /// lacks the ability.
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

    /// Replaces the vectors of the ids that are in the index, and adds the others.
    ///
    /// ```
    /// # use ivf_core::{Id, IdSelector, Metric, Rows};
    /// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
    /// index.add(Rows::new(&[0.0_f32, 1.0], 1)?)?;
    /// let two = Rows::new(&[5.0_f32, 6.0], 1)?;
    /// // An update needs both ids to be there.
    /// assert!(index.update(&[Id(1), Id(9)], two).is_err());
    /// let report = index.upsert(&[Id(1), Id(9)], two)?;
    /// assert_eq!((report.updated, report.added), (1, 1));
    /// assert_eq!(index.reconstruct(Id(1))?, [5.0]);
    ///
    /// assert_eq!(index.remove(&IdSelector::range(1..1000))?, 2);
    /// // After a removal, ids count on. After a reset, they count from 0.
    /// index.reset()?;
    /// index.add(two)?;
    /// assert_eq!(index.reconstruct_n(0..2)?, [5.0, 6.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Upsert::upsert`](crate::ability::Upsert::upsert), and [`Unable`] if the index
    /// lacks the ability.
    pub fn upsert<'r>(&mut self, ids: &[Id], rows: impl Into<AnyRows<'r>>) -> Result<UpsertReport, EditError> {
        self.upsert_with(ids, rows, &AddOptions::new())
    }

    /// Like `upsert`, with options.
    ///
    /// # Errors
    /// Those of [`Upsert::upsert`](crate::ability::Upsert::upsert), and [`Unable`] if the index
    /// lacks the ability.
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

    /// Passes the id of each vector to `found`, in any order.
    ///
    /// ```
    /// # use ivf_core::{Id, Metric, Rows};
    /// let mut index = ivf_factory::build("Flat", 1, Metric::L2)?;
    /// index.add_with_ids(Rows::new(&[0.0_f32, 1.0], 1)?, &[Id(70), Id(-3)])?;
    /// let mut largest = None;
    /// index.scan_ids(|id| largest = largest.max(Some(id)))?;
    /// assert_eq!(largest, Some(Id(70)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`ScanIds::scan_ids`](crate::ability::ScanIds::scan_ids), and [`Unable`] if the
    /// index lacks the ability.
    pub fn scan_ids(&self, mut found: impl FnMut(Id)) -> Result<(), ReconstructError> {
        let scan = self.as_scan_ids().ok_or_else(|| self.unable("list its ids"))?;
        Ok(scan.scan_ids(&mut found)?)
    }

    /// Moves all vectors of `other` into this index, and adds `shift` to their ids. Both must be of
    /// the same kind with the same trained state. `other` is empty afterwards.
    ///
    /// ```
    /// # use ivf_core::{Id, Metric, Rows, ability::Subset};
    /// # let mut index = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// index.train(Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?)?;
    /// let mut shard = index.clone_index()?;
    /// index.add(Rows::new(&[0.0_f32, 1.0], 1)?)?;
    /// shard.add(Rows::new(&[10.0_f32, 11.0], 1)?)?;
    /// // The ids of the shard, 0 and 1, become 2 and 3.
    /// index.merge_from(&mut *shard, 2)?;
    /// assert_eq!((index.len(), shard.len(), index.reconstruct(Id(3))?), (4, 0, vec![11.0]));
    /// // The shard gets the odd ids again, this time as copies.
    /// let odd = Subset::IdModulo { modulus: 2, remainder: 1 };
    /// assert_eq!((index.copy_subset_to(&mut *shard, &odd)?, index.len()), (2, 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Merge::merge_from`](crate::ability::Merge::merge_from), and [`Unable`] if the
    /// index lacks the ability.
    pub fn merge_from(&mut self, other: &mut dyn Index, shift: i64) -> Result<(), MergeError> {
        self.merge_from_with(other, shift, &AddOptions::new())
    }

    /// Like `merge_from`, with options.
    ///
    /// # Errors
    /// Those of [`Merge::merge_from`](crate::ability::Merge::merge_from), and [`Unable`] if the
    /// index lacks the ability.
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

    /// Copies a subset of the vectors, with their ids, into `other`. Returns how many were copied.
    ///
    /// # Errors
    /// Those of [`CopySubset::copy_subset_to`](crate::ability::CopySubset::copy_subset_to), and
    /// [`Unable`] if the index lacks the ability.
    pub fn copy_subset_to(&self, other: &mut dyn Index, subset: &Subset<'_>) -> Result<usize, MergeError> {
        self.copy_subset_to_with(other, subset, &AddOptions::new())
    }

    /// Like `copy_subset_to`, with options.
    ///
    /// # Errors
    /// Those of [`CopySubset::copy_subset_to`](crate::ability::CopySubset::copy_subset_to), and
    /// [`Unable`] if the index lacks the ability.
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
    /// Those of [`Reconstruct::reconstruct_many`](crate::ability::Reconstruct::reconstruct_many):
    /// every id must be in the index. [`Unable`] if the index lacks the ability.
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

    /// Returns the vectors of these ids, row after row, as the codes give them.
    ///
    /// # Errors
    /// Those of [`Reconstruct::reconstruct_many`](crate::ability::Reconstruct::reconstruct_many),
    /// and [`Unable`] if the index lacks the ability.
    pub fn reconstruct_many(&self, ids: &[Id]) -> Result<Vec<f32>, ReconstructError> {
        let reconstruct = self.as_reconstruct().ok_or_else(|| self.unable("reconstruct"))?;
        let mut vectors = vec![0.0; ids.len() * self.dim()];
        reconstruct.reconstruct_many(ids, &mut vectors)?;
        Ok(vectors)
    }

    /// Searches, and also returns the vectors of the results, in the same order, row after row
    /// (`hits.total() x dim` numbers).
    ///
    /// # Errors
    /// Those of
    /// [`Reconstruct::search_and_reconstruct`](crate::ability::Reconstruct::search_and_reconstruct),
    /// and [`Unable`] if the index lacks the ability.
    pub fn search_and_reconstruct<'r>(
        &self,
        queries: impl Into<AnyRows<'r>>,
        k: usize,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        self.search_and_reconstruct_with(queries, k, &SearchParams::new())
    }

    /// Like `search_and_reconstruct`, with parameters.
    ///
    /// # Errors
    /// Those of
    /// [`Reconstruct::search_and_reconstruct`](crate::ability::Reconstruct::search_and_reconstruct),
    /// and [`Unable`] if the index lacks the ability.
    pub fn search_and_reconstruct_with<'r>(
        &self,
        queries: impl Into<AnyRows<'r>>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        let reconstruct = self.as_reconstruct().ok_or_else(|| self.unable("reconstruct"))?;
        reconstruct.search_and_reconstruct(queries.into(), k, params)
    }

    /// Returns the vector of an id, as its code gives it.
    ///
    /// # Errors
    /// Those of [`Reconstruct::reconstruct`](crate::ability::Reconstruct::reconstruct), and
    /// [`Unable`] if the index lacks the ability.
    pub fn reconstruct(&self, id: Id) -> Result<Vec<f32>, ReconstructError> {
        let reconstruct = self.as_reconstruct().ok_or_else(|| self.unable("reconstruct"))?;
        let mut vector = vec![0.0; self.dim()];
        reconstruct.reconstruct(id, &mut vector)?;
        Ok(vector)
    }

    /// Encodes vectors without storing them. Returns codes of equal length, one after the other.
    ///
    /// # Errors
    /// Those of [`StandaloneCodec::sa_encode`](crate::ability::StandaloneCodec::sa_encode), and
    /// [`Unable`] if the index lacks the ability.
    pub fn sa_encode<'r>(&self, rows: impl Into<AnyRows<'r>>) -> Result<Vec<u8>, CodeError> {
        let codec = self.as_standalone_codec().ok_or_else(|| self.unable("encode vectors"))?;
        codec.sa_encode(rows.into(), &AddOptions::new())
    }

    /// Decodes what `sa_encode` returned. Returns the vectors, row after row.
    ///
    /// # Errors
    /// Those of [`StandaloneCodec::sa_decode`](crate::ability::StandaloneCodec::sa_decode), and
    /// [`Unable`] if the index lacks the ability.
    pub fn sa_decode(&self, codes: &[u8]) -> Result<Vec<f32>, CodeError> {
        self.as_standalone_codec().ok_or_else(|| self.unable("decode vectors"))?.sa_decode(codes)
    }

    /// Adds vectors by the codes that `sa_encode` returned. Without ids, they count
    /// up as for `add`.
    ///
    /// ```
    /// # use ivf_core::{Id, Metric, Rows};
    /// let mut encoder = ivf_factory::build("IVF2,Flat", 1, Metric::L2)?;
    /// encoder.train(Rows::new(&[0.0_f32, 1.0, 10.0, 11.0], 1)?)?;
    /// let mut index = encoder.clone_index()?;
    /// // A code is the number of a list (one byte) and a vector (four bytes).
    /// let codes = encoder.sa_encode(Rows::new(&[10.0_f32, 0.0], 1)?)?;
    /// assert_eq!((codes.len(), encoder.sa_decode(&codes)?), (2 * 5, vec![10.0, 0.0]));
    /// index.add_codes(&codes, Some(&[Id(7), Id(8)]))?;
    /// assert_eq!(index.reconstruct_many(&[Id(8), Id(7)])?, [0.0, 10.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`AddCodes::add_codes`](crate::ability::AddCodes::add_codes), and [`Unable`] if the
    /// index lacks the ability.
    pub fn add_codes(&mut self, codes: &[u8], ids: Option<&[Id]>) -> Result<AddReport, CodeError> {
        match self.as_add_codes() {
            Some(able) => able.add_codes(codes, ids, &AddOptions::new()),
            None => Err(self.unable("add codes").into()),
        }
    }

    /// Returns the error for an ability that this index lacks.
    ///
    /// ```
    /// use ivf_core::{Index, Metric, error::Unable};
    /// fn lists(index: &dyn Index) -> Result<usize, Unable> {
    ///     let ivf = index.find_ivf().ok_or_else(|| index.unable("count its lists"))?;
    ///     Ok(ivf.nlist())
    /// }
    /// assert_eq!(lists(&*ivf_factory::build("IVF16,Flat", 2, Metric::L2)?)?, 16);
    /// let error = lists(&*ivf_factory::build("Flat", 2, Metric::L2)?).unwrap_err();
    /// assert_eq!(error.to_string(), "Flat cannot count its lists");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
