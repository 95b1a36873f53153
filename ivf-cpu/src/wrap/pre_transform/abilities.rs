//! The abilities of the wrapped index. Input vectors pass through the transforms, and output
//! vectors pass back through them.

use super::super::measure::{check_lengths, measure};
use super::PreTransform;
use super::apply::How;
use ivf_core::ability::check_output;
use ivf_core::error::{
    AddError, CodeError, EditError, InputError, MergeError, ReconstructError, SearchError, TrainError,
};
use ivf_core::params::NonFinite;
use ivf_core::{
    Add, AddOptions, AddReport, AddWithIds, AnyRows, CopySubset, Distances, Id, Index, Merge, RangeSearch, Reconstruct,
    Rows, SearchParams, SearchResult, StandaloneCodec, Subset, Takes, Train, TrainOptions, TrainReport, Update, Upsert,
    UpsertReport,
};
use std::any::Any;

impl StandaloneCodec for PreTransform {
    fn sa_code_size(&self) -> Result<usize, CodeError> {
        self.standalone()?.sa_code_size()
    }

    fn sa_encode(&self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<Vec<u8>, CodeError> {
        rows.check(self.dim)?;
        let vectors = self.transformed(rows, How::from(options).strict())?.ok_or(CodeError::NotTrained)?;
        self.standalone()?.sa_encode(self.behind(&vectors).into(), options)
    }

    fn sa_decode(&self, codes: &[u8]) -> Result<Vec<f32>, CodeError> {
        let vectors = self.standalone()?.sa_decode(codes)?;
        Ok(self.reversed_rows(&vectors))
    }
}

impl Train for PreTransform {
    fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError> {
        if !self.is_empty() {
            return Err(TrainError::NotEmpty { len: self.len() });
        }
        let mut finite = Vec::new();
        let len = rows.len();
        let (rows, mut skipped) = rows.finite(self.dim, options.non_finite, &mut finite)?;
        let (chain, vectors, mut report, dropped) = self.train_chain(rows, options)?;
        let behind = Rows::new(&vectors, self.inner.dim()).map_err(InputError::from)?;
        let of_inner = self.inner.train_with(behind, options)?;
        for dropped in dropped.iter().chain([&of_inner.skipped]) {
            skip_more(&mut skipped, dropped, len);
        }
        report.merge(of_inner);
        report.skipped = skipped;
        self.chain = Some(chain);
        Ok(report)
    }

    fn training_points(&mut self, options: &TrainOptions<'_>) -> usize {
        let transforms = self.specs.iter().map(|spec| spec.training_points(options)).max().unwrap_or(0);
        let inner = self.inner.as_train().map_or(0, |train| train.training_points(options));
        transforms.max(inner)
    }

    fn training_memory(&mut self, points: usize, options: &TrainOptions<'_>) -> usize {
        let metric = self.inner.metric();
        let vectors = |dim: usize| points.saturating_mul(dim.saturating_mul(size_of::<f32>()));
        // The vectors before the first transform belong to the caller.
        let (mut peak, mut dim, mut before) = (0, self.dim, 0);
        for spec in &self.specs {
            let dim_out = spec.dim_out(dim, metric).unwrap_or(dim);
            let training = spec.training_memory(dim, metric, points, options);
            peak = training.max(vectors(dim_out)).saturating_add(before).max(peak);
            (dim, before) = (dim_out, vectors(dim_out));
        }
        let inner = self.inner.as_train().map_or(0, |train| train.training_memory(points, options));
        // The vectors that are left if some are skipped.
        let finite = if options.non_finite == NonFinite::SkipRow { vectors(self.dim) } else { 0 };
        // Transforms of an earlier training stay until this one has succeeded.
        let peak = peak.max(inner.saturating_add(vectors(self.inner.dim())));
        peak.saturating_add(self.chain_memory()).saturating_add(finite)
    }
}

/// Adds rows to the skipped ones of `len` rows. `more` are their numbers among the rows that were
/// left before. Both are ascending.
fn skip_more(skipped: &mut Vec<usize>, more: &[usize], len: usize) {
    if more.is_empty() {
        return;
    }
    let mut before = skipped.iter().peekable();
    let left: Vec<usize> = (0..len).filter(|row| before.next_if_eq(&row).is_none()).collect();
    skipped.extend(more.iter().map(|&row| left[row]));
    skipped.sort_unstable();
}

impl Add for PreTransform {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let vectors = self.transformed(rows, options.into())?.ok_or(AddError::NotTrained)?;
        let rows = Rows::new(&vectors, self.inner.dim()).map_err(InputError::from)?;
        self.inner.add_with(rows, options)
    }
}

impl AddWithIds for PreTransform {
    fn add_with_ids(&mut self, rows: AnyRows<'_>, ids: &[Id], options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let vectors = self.transformed(rows, options.into())?.ok_or(AddError::NotTrained)?;
        let rows = Rows::new(&vectors, self.inner.dim()).map_err(InputError::from)?;
        self.inner.add_with_ids_with(rows, ids, options)
    }
}

impl RangeSearch for PreTransform {
    fn range_search(
        &self,
        queries: AnyRows<'_>,
        radius: f32,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        let queries = self.queries(queries, params)?;
        self.inner.range_search_with(self.behind(&queries), radius, params)
    }

    fn range_takes(&self) -> Takes {
        self.inner.as_range_search().map_or_else(Takes::default, |search| search.range_takes())
    }
}

/// The distances between transformed vectors, as in a search. No transform needs to be reversed.
impl Distances for PreTransform {
    fn distances_to(&self, query: &[f32], ids: &[Id], distances: &mut [f32]) -> Result<(), SearchError> {
        check_lengths(self.dim, query, ids, distances)?;
        let query = Rows::new(query, self.dim).map_err(InputError::from)?;
        let query = self.queries(query.into(), &SearchParams::new())?;
        measure(&*self.inner, &query, ids, distances)
    }
}

impl Update for PreTransform {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError> {
        rows.check(self.dim)?;
        let vectors = self.transformed(rows, How::from(options).strict())?.ok_or(EditError::NotTrained)?;
        let rows = Rows::new(&vectors, self.inner.dim()).map_err(InputError::from)?;
        self.inner.update_with(ids, rows, options)
    }
}

impl Reconstruct for PreTransform {
    fn reconstruct(&self, id: Id, vector: &mut [f32]) -> Result<(), ReconstructError> {
        check_output(1, self.dim, vector)?;
        vector.copy_from_slice(&self.reversed(&self.inner.reconstruct(id)?));
        Ok(())
    }

    fn reconstruct_many(&self, ids: &[Id], vectors: &mut [f32]) -> Result<(), ReconstructError> {
        check_output(ids.len(), self.dim, vectors)?;
        vectors.copy_from_slice(&self.reversed_rows(&self.inner.reconstruct_many(ids)?));
        Ok(())
    }

    fn search_and_reconstruct(
        &self,
        queries: AnyRows<'_>,
        k: usize,
        params: &SearchParams<'_>,
    ) -> Result<(SearchResult, Vec<f32>), SearchError> {
        let queries = self.queries(queries, params)?;
        let (found, vectors) = self.inner.search_and_reconstruct_with(self.behind(&queries), k, params)?;
        Ok((found, self.reversed_rows(&vectors)))
    }
}

impl Upsert for PreTransform {
    fn upsert(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<UpsertReport, EditError> {
        rows.check(self.dim)?;
        let vectors = self.transformed(rows, How::from(options).strict())?.ok_or(EditError::NotTrained)?;
        let rows = Rows::new(&vectors, self.inner.dim()).map_err(InputError::from)?;
        self.inner.upsert_with(ids, rows, options)
    }
}

impl CopySubset for PreTransform {
    fn copy_subset_to(
        &self,
        other: &mut dyn Index,
        subset: &Subset<'_>,
        options: &AddOptions<'_>,
    ) -> Result<usize, MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<PreTransform>().ok_or(MergeError::Incompatible("kind"))?;
        self.check_fits(other)?;
        self.inner.copy_subset_to_with(&mut *other.inner, subset, options)
    }
}

impl Merge for PreTransform {
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64, options: &AddOptions<'_>) -> Result<(), MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<PreTransform>().ok_or(MergeError::Incompatible("kind"))?;
        self.check_fits(other)?;
        self.inner.merge_from_with(&mut *other.inner, shift, options)
    }
}
