//! The wrapped index's abilities, with vectors that pass through the transforms on the way in and back on the way out.

use super::PreTransform;
use ivf_core::ability::check_output;
use ivf_core::error::{
    AddError, CodeError, EditError, InputError, MergeError, ReconstructError, SearchError, TrainError,
};
use ivf_core::{
    Add, AddOptions, AddReport, AddWithIds, AnyRows, CopySubset, Id, Index, Merge, RangeSearch, Reconstruct, Rows,
    SearchParams, SearchResult, StandaloneCodec, Subset, Train, TrainOptions, TrainReport, Update, Upsert,
    UpsertReport,
};
use std::any::Any;

impl StandaloneCodec for PreTransform {
    fn sa_code_size(&self) -> Result<usize, CodeError> {
        self.standalone()?.sa_code_size()
    }

    fn sa_encode(&self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<Vec<u8>, CodeError> {
        rows.check(self.dim)?;
        let vectors = self.transformed(rows, options.executor)?.ok_or(CodeError::NotTrained)?;
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
        rows.check(self.dim)?;
        let (chain, vectors, mut report) = self.train_chain(rows, options)?;
        let behind = Rows::new(&vectors, self.inner.dim()).map_err(InputError::from)?;
        if let Some(train) = self.inner.as_train() {
            report.merge(train.train(behind.into(), options)?);
        }
        self.chain = Some(chain);
        Ok(report)
    }

    fn training_points(&mut self, options: &TrainOptions<'_>) -> usize {
        let transforms = self.specs.iter().map(|spec| spec.training_points()).max().unwrap_or(0);
        let inner = self.inner.as_train().map_or(0, |train| train.training_points(options));
        transforms.max(inner)
    }

    fn training_memory(&mut self, points: usize, options: &TrainOptions<'_>) -> usize {
        let widths = self.specs.iter().scan(self.dim, |dim, spec| {
            *dim = spec.dim_out(*dim).unwrap_or(*dim);
            Some(*dim)
        });
        // The vectors before and behind the last transform of two; what the index trains on is the last one's.
        let widths: Vec<usize> = std::iter::once(0).chain(widths).collect();
        let two = widths.windows(2).map(|pair| pair[0] + pair[1]).max().unwrap_or(self.dim);
        let vectors = |width: usize| points.saturating_mul(width * size_of::<f32>());
        let inner = self.inner.as_train().map_or(0, |train| train.training_memory(points, options));
        vectors(two).max(inner.saturating_add(vectors(self.inner.dim())))
    }
}

impl Add for PreTransform {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let vectors = self.transformed(rows, options.executor)?.ok_or(AddError::NotTrained)?;
        let rows = Rows::new(&vectors, self.inner.dim()).map_err(InputError::from)?;
        let unable = self.inner.unable("add");
        self.inner.as_add().ok_or(unable)?.add(rows.into(), options)
    }
}

impl AddWithIds for PreTransform {
    fn add_with_ids(&mut self, rows: AnyRows<'_>, ids: &[Id], options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let vectors = self.transformed(rows, options.executor)?.ok_or(AddError::NotTrained)?;
        let rows = Rows::new(&vectors, self.inner.dim()).map_err(InputError::from)?;
        let unable = self.inner.unable("add with ids");
        self.inner.as_add_with_ids().ok_or(unable)?.add_with_ids(rows.into(), ids, options)
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
        let search = self.inner.as_range_search().ok_or_else(|| self.inner.unable("search within a radius"))?;
        search.range_search(self.behind(&queries).into(), radius, params)
    }
}

impl Update for PreTransform {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError> {
        rows.check(self.dim)?;
        let vectors = self.transformed(rows, options.executor)?.ok_or(EditError::NotTrained)?;
        let rows = Rows::new(&vectors, self.inner.dim()).map_err(InputError::from)?;
        let unable = self.inner.unable("update");
        self.inner.as_update().ok_or(unable)?.update(ids, rows.into(), options)
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
        let reconstruct = self.inner.as_reconstruct().ok_or_else(|| self.inner.unable("reconstruct"))?;
        let (found, vectors) = reconstruct.search_and_reconstruct(self.behind(&queries).into(), k, params)?;
        Ok((found, self.reversed_rows(&vectors)))
    }
}

impl Upsert for PreTransform {
    fn upsert(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<UpsertReport, EditError> {
        rows.check(self.dim)?;
        let vectors = self.transformed(rows, options.executor)?.ok_or(EditError::NotTrained)?;
        let rows = Rows::new(&vectors, self.inner.dim()).map_err(InputError::from)?;
        let unable = self.inner.unable("upsert");
        self.inner.as_upsert().ok_or(unable)?.upsert(ids, rows.into(), options)
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
        let copy = self.inner.as_copy_subset().ok_or_else(|| self.inner.unable("copy a part of it"))?;
        copy.copy_subset_to(&mut *other.inner, subset, options)
    }
}

impl Merge for PreTransform {
    fn merge_from(&mut self, other: &mut dyn Index, shift: i64, options: &AddOptions<'_>) -> Result<(), MergeError> {
        let other: &mut dyn Any = other;
        let other = other.downcast_mut::<PreTransform>().ok_or(MergeError::Incompatible("kind"))?;
        self.check_fits(other)?;
        let unable = self.inner.unable("merge");
        self.inner.as_merge().ok_or(unable)?.merge_from(&mut *other.inner, shift, options)
    }
}
