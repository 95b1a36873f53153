//! What an index may be able to do beside searching: each ability is a trait of its own.

use crate::error::{AddError, CodeError, EditError, MergeError, ReconstructError, SearchError, StoreError, TrainError};
use crate::hits::SearchResult;
use crate::id::Id;
use crate::index::Index;
use crate::params::{AddOptions, SearchParams, Takes, TrainOptions};
use crate::report::{AddReport, TrainReport, UpsertReport};
use crate::rows::AnyRows;
use crate::selector::IdSelector;
use std::ops::Range;

/// The ability to learn from vectors.
pub trait Train {
    /// Learns from `rows`, as many of them as it can use. An empty index that was trained before forgets what it had learnt.
    ///
    /// # Errors
    /// [`TrainError`]: too few or unusable vectors, the index holds vectors already, cancelled. The index is as it was.
    fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError>;

    /// How many vectors training uses at most: of more, it draws this many. `usize::MAX` if it uses
    /// all there are.
    ///
    /// Callers short of memory may draw that many themselves, at random; the result is equivalent.
    /// (An index is borrowed mutably here because a wrapper reaches the training of what it wraps
    /// by [`Index::as_train`].)
    fn training_points(&mut self, options: &TrainOptions<'_>) -> usize;

    /// Bytes of memory that training on `points` vectors takes at its peak, beside those vectors (as `f32`) and what the index
    /// has learnt in the end; more points take more.
    fn training_memory(&mut self, points: usize, options: &TrainOptions<'_>) -> usize;
}

/// The ability to take vectors and count up their ids.
pub trait Add {
    /// Adds vectors. Their ids count up from the one after the largest ever added, or from 0 if there was none above.
    ///
    /// # Errors
    /// [`AddError`]: unusable vectors, not trained, cancelled, or the lists cannot be written. The index is as it was.
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError>;
}

/// The ability to take vectors with the caller's ids.
pub trait AddWithIds {
    /// Adds vectors, `ids[i]` for row `i`. Any id will do, negative ones and ones that are there already too.
    ///
    /// # Errors
    /// As [`Add::add`], and if there is not one id a row.
    fn add_with_ids(&mut self, rows: AnyRows<'_>, ids: &[Id], options: &AddOptions<'_>) -> Result<AddReport, AddError>;
}

/// The ability to forget all vectors.
pub trait Reset {
    /// Forgets all vectors; what was learnt stays. Ids count from 0 again.
    ///
    /// # Errors
    /// [`StoreError`] if the lists cannot be written.
    fn reset(&mut self) -> Result<(), StoreError>;
}

/// The ability to find everything within a radius.
pub trait RangeSearch {
    /// All vectors nearer than `radius`, strictly: distances below it, similarities above it.
    ///
    /// # Errors
    /// As [`Index::search_rows`]; a radius that is NaN.
    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError>;

    /// The parameters that a range search takes.
    fn range_takes(&self) -> Takes;
}

/// The ability to forget some vectors.
pub trait Remove {
    /// Removes the vectors whose ids are selected and says how many entries are gone. The others keep their ids.
    ///
    /// # Errors
    /// [`EditError`] if the lists cannot be read or written.
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError>;
}

/// The ability to replace vectors.
pub trait Update {
    /// Replaces the vectors of `ids` by `rows`. If an id stands several times, one entry takes their place.
    ///
    /// # Errors
    /// [`EditError`]: an id that is not there, or stands twice in `ids`; unusable vectors
    /// ([`NonFinite::SkipRow`](crate::params::NonFinite) is no option here: it would leave an id without a vector). The index is as
    /// it was.
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError>;
}

/// The ability to replace vectors and add those that are not there.
pub trait Upsert {
    /// Replaces the vectors of those of `ids` that are there, as [`Update::update`], and adds the others, as
    /// [`AddWithIds::add_with_ids`].
    ///
    /// # Errors
    /// As both; an id that stands twice in `ids`. (An array direct map takes new ids only where they count on: one that was removed is refused.)
    /// The index is as it was.
    fn upsert(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<UpsertReport, EditError>;
}

/// The ability to give vectors back.
pub trait Reconstruct {
    /// Writes the vector of `id`, as near as its code has it, to `vector` (`dim` places). If the id stands several times, the
    /// entry first in list order is given.
    ///
    /// # Errors
    /// [`ReconstructError`]: no such id, another length.
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError>;

    /// Writes the vectors of `ids`, row after row (`ids.len() x dim` places). An index without a direct map looks for all of them in one
    /// pass over its lists.
    ///
    /// # Errors
    /// [`ReconstructError`]: an id that is not there (the rows before it may be written), another length.
    fn reconstruct_many(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        let dim = vectors.len().checked_div(ids.len()).unwrap_or(0);
        check_output(ids.len(), dim.max(1), vectors)?;
        ids.iter().zip(vectors.chunks_exact_mut(dim.max(1))).try_for_each(|(id, vector)| self.reconstruct(*id, vector))
    }

    /// [`Index::search_rows`], and the vectors of the results in the same order, row after row
    /// (`hits.total() x dim`): those of the entries that were found, where several have one id.
    ///
    /// # Errors
    /// As [`Index::search_rows`]; the lists cannot be read.
    fn search_and_reconstruct(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError>;
}

/// Refuses an output of another length than `rows` vectors of `dim`.
///
/// # Errors
/// [`ReconstructError::OutputLength`].
pub fn check_output(rows: usize, dim: usize, output: &[f32]) -> Result<(), ReconstructError> {
    match rows.checked_mul(dim) {
        Some(expected) if expected == output.len() => Ok(()),
        expected => {
            let expected = expected.unwrap_or(usize::MAX);
            Err(ReconstructError::OutputLength { expected, found: output.len() })
        }
    }
}

/// The ability to take over another index.
pub trait Merge {
    /// Moves all vectors of `other`, an index of the same kind that learnt the same, into this one, `shift` added to their ids.
    ///
    /// # Errors
    /// [`MergeError`]: the indexes do not fit together, or an id overflows. Both are as they were.
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64, options: &AddOptions<'_>) -> Result<(), MergeError>;
}

/// The ability to copy some of its vectors into another index.
pub trait CopySubset {
    /// Adds the entries of a subset to `other`, an index of the same kind that learnt the same, with the ids they have here, and says how
    /// many. This index stays as it is.
    ///
    /// # Errors
    /// [`MergeError`]: the indexes do not fit together, or a subset that cannot be ([`MergeError::Subset`]). The other is as it was.
    fn copy_subset_to(
        &self,
        other: &mut dyn Index,
        subset: &Subset<'_>,
        options: &AddOptions<'_>,
    ) -> Result<usize, MergeError>;
}

/// Some of the entries of an index. (Faiss's `subset_type` 0 to 4, and one of any ids.)
///
/// The parts of a partition ([`IdModulo`](Self::IdModulo) with every remainder, [`Elements`](Self::Elements) whose ranges adjoin,
/// [`ListFraction`](Self::ListFraction) with every part, [`Lists`](Self::Lists)) have every entry once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Subset<'a> {
    /// Those whose ids are selected; `IdSelector::range` for Faiss's `ID_RANGE`.
    Ids(&'a IdSelector<'a>),
    /// Those whose id leaves `remainder` (0 to `modulus - 1`, of negative ids too) when it is divided by `modulus`.
    IdModulo {
        /// What ids are divided by, at least 1.
        modulus: i64,
        /// What is left.
        remainder: i64,
    },
    /// The entries of these ranks, where the ranks go through all lists at the same pace: entry `i` of a list of `n` has its rank by
    /// `(2 i + 1) / 2 n`, of equal ones the one in the lower list first. Each list gives of its entries, in order, about the same share.
    /// (Faiss's `ELEMENT_RANGE` rounds list by list, so that an entry may be in two of its ranges that adjoin, or in none.)
    Elements(Range<usize>),
    /// Of each list, in order, the `part`-th of `of` pieces.
    ListFraction {
        /// Which piece, counted from 0.
        part: usize,
        /// How many pieces.
        of: usize,
    },
    /// All of these lists.
    Lists(Range<usize>),
}

/// The ability to code vectors without keeping them. (Faiss's `sa_encode`, `sa_decode`.)
pub trait StandaloneCodec {
    /// Bytes of a standalone code: the list number, if there are lists, and the code.
    fn sa_code_size(&self) -> Result<usize, CodeError>;

    /// Codes vectors: `sa_code_size` bytes each.
    ///
    /// # Errors
    /// [`CodeError`]: unusable vectors, not trained.
    fn sa_encode(&self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<Vec<u8>, CodeError>;

    /// Decodes what [`sa_encode`](Self::sa_encode) made, from outside perhaps: vectors of `dim`, row after row.
    ///
    /// # Errors
    /// [`CodeError`]: the bytes do not divide into codes, or one names a list that is not there.
    fn sa_decode(&self, codes: &[u8]) -> Result<Vec<f32>, CodeError>;
}

/// The ability to take codes made by a standalone codec. (Faiss's `add_sa_codes`.)
pub trait AddCodes {
    /// Adds codes made by [`StandaloneCodec::sa_encode`] of this index or one that learnt the same, `ids[i]` for code `i`, or
    /// counted up if `ids` is `None`.
    ///
    /// # Errors
    /// [`CodeError`]: the bytes do not divide into codes, a code names a list that is not there, not one id a code.
    fn add_codes(&mut self, codes: &[u8], ids: Option<&[Id]>, options: &AddOptions<'_>)
    -> Result<AddReport, CodeError>;
}
