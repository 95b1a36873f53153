//! Training, adding, removing and replacing: the same change in both indexes, or in neither.

use super::{Refine, residual};
use ivf_core::ability::{Add, Remove, Reset, Train, Update};
use ivf_core::error::{AddError, EditError, InputError, StoreError, TrainError};
use ivf_core::params::NonFinite;
use ivf_core::{AddOptions, AddReport, AnyRows, Id, IdSelector, Index, Rows, TrainOptions, TrainReport};

impl Train for Refine {
    fn train(&mut self, rows: AnyRows<'_>, options: &TrainOptions<'_>) -> Result<TrainReport, TrainError> {
        if self.refine.get_mut().as_train().is_none() {
            return self.base.train_with(rows, options);
        }
        if !self.is_empty() {
            return Err(TrainError::NotEmpty { len: self.len() });
        }
        // If one of the two fails, both stay as they were.
        let (mut base, mut refine) = (self.base.clone_index()?, self.refine.snapshot()?);
        let mut report = base.train_with(rows, options)?;
        let of_refine = on_rest(rows, &report.skipped, |rest| match self.of_residuals {
            true => residual::train(&*base, refine.get_mut(), rest, options),
            false => refine.get_mut().train_with(rest, options),
        })?;
        if report.skipped.is_empty() {
            // A base that does not learn skips nothing.
            report.skipped.clone_from(&of_refine.skipped);
        }
        report.merge(of_refine);
        (self.base, self.refine) = (base, refine);
        Ok(report)
    }

    fn training_points(&mut self, options: &TrainOptions<'_>) -> usize {
        let base = self.base.as_train().map_or(0, |train| train.training_points(options));
        base.max(self.refine.get_mut().as_train().map_or(0, |train| train.training_points(options)))
    }

    fn training_memory(&mut self, points: usize, options: &TrainOptions<'_>) -> usize {
        let base = self.base.as_train().map_or(0, |train| train.training_memory(points, options));
        let Some(train) = self.refine.get_mut().as_train() else { return base };
        // The rows that are left if the base skips some, and the trained state that is replaced.
        let vectors = points.saturating_mul(self.base.dim() * size_of::<f32>());
        let left = if options.non_finite == NonFinite::SkipRow { vectors } else { 0 };
        let refine = if self.of_residuals {
            let most = train.training_points(options);
            let learning = train.training_memory(points.min(most), options);
            residual::training_memory(self.base.dim(), points, most, learning)
        } else {
            train.training_memory(points, options)
        };
        base.max(refine.saturating_add(left)).saturating_add(self.memory())
    }
}

/// Calls `train` with the rows that are not skipped. Its errors get the caller's row numbers.
fn on_rest(
    rows: AnyRows<'_>,
    skipped: &[usize],
    train: impl FnOnce(AnyRows<'_>) -> Result<TrainReport, TrainError>,
) -> Result<TrainReport, TrainError> {
    if skipped.is_empty() {
        return train(rows);
    }
    let mut skipped = skipped.iter().peekable();
    let kept: Vec<usize> = (0..rows.len()).filter(|row| skipped.next_if_eq(&row).is_none()).collect();
    let mut scratch = Vec::new();
    let rows = rows.to_f32(&mut scratch);
    let left: Vec<f32> = kept.iter().flat_map(|&row| rows.row(row)).copied().collect();
    let left = Rows::new(&left, rows.dim()).map_err(InputError::from)?;
    train(left.into()).map_err(|error| match error {
        TrainError::Input(error) => TrainError::Input(error.renumbered(|row| kept[row])),
        other => other,
    })
}

impl Add for Refine {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        // Both indexes assign ids from 0 and get the same calls, so a vector has the same id in
        // both.
        let before = self.refine.before()?;
        if self.of_residuals {
            let added = self.add_with_residuals(rows, options);
            if added.is_err() {
                self.refine.restore(before)?;
            }
            return added;
        }
        let refined = self.add_refining(rows, options)?;
        // Each index skips what the other one cannot take.
        let (rest, rest_options) = (without(rows, &refined.skipped), (*options).non_finite(NonFinite::SkipRow));
        let added = match &rest {
            Some(rest) => self.base.add_with(rest.rows(), &rest_options),
            None => self.base.add_with(rows, options),
        };
        match added {
            Ok(report) if report.skipped == refined.skipped => Ok(report),
            Ok(report) => {
                self.refine.restore(before)?;
                if let Some(rest) = without(rows, &report.skipped) {
                    // The base has changed, so it is too late to cancel.
                    let mut again = rest_options;
                    (again.cancel, again.progress) = (None, None);
                    self.add_refining(rest.rows(), &again)?;
                }
                Ok(report)
            }
            Err(error) => {
                self.refine.restore(before)?;
                Err(error)
            }
        }
    }
}

/// Rows, some of which are replaced by NaN.
struct Rest {
    data: Vec<f32>,
    dim: usize,
}

impl Rest {
    fn rows(&self) -> AnyRows<'_> {
        Rows::new(&self.data, self.dim).expect("whole rows").into()
    }
}

/// Copies rows, without those that were skipped: NaN takes their place, so that the others keep
/// their ids. Returns `None` if none was skipped.
fn without(rows: AnyRows<'_>, skipped: &[usize]) -> Option<Rest> {
    if skipped.is_empty() {
        return None;
    }
    let dim = rows.dim();
    let mut data = rows.to_f32(&mut Vec::new()).as_slice().to_vec();
    skipped.iter().for_each(|row| data[row * dim..(row + 1) * dim].fill(f32::NAN));
    Some(Rest { data, dim })
}

impl Refine {
    fn add_refining(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let unable = self.refine_unable("add");
        self.refine.get_mut().as_add().ok_or(unable)?.add(rows, options)
    }

    /// Adds residuals to the refining index block by block, then the vectors to the base. If it
    /// fails, the base is as it was.
    fn add_with_residuals(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        if !self.is_trained() {
            return Err(AddError::NotTrained);
        }
        // A bad row is found before anything is encoded. The dimension is checked without rows too.
        let checked = if options.non_finite == NonFinite::Reject { rows } else { rows.slice(0..0) };
        checked.check(self.dim())?;
        let mut quiet = *options;
        quiet.progress = None;
        let dim = self.dim();
        let (mut codes, mut skipped) = (Vec::new(), Vec::new());
        let (mut converted, mut finite) = (Vec::new(), Vec::new());
        for start in (0..rows.len()).step_by(residual::BLOCK) {
            let end = rows.len().min(start + residual::BLOCK);
            let block = rows.slice(start..end);
            let (kept, bad) = block.finite(dim, options.non_finite, &mut finite)?;
            let kept_rows: Vec<usize> = (0..block.len()).filter(|row| bad.binary_search(row).is_err()).collect();
            let number = |row: usize| start + kept_rows[row];
            let (mut residuals, block_codes) = residual::residuals(&*self.base, kept.to_f32(&mut converted), &quiet)
                .map_err(|error| match error {
                    AddError::Input(error) => AddError::Input(error.renumbered(number)),
                    AddError::Unassigned { row } => AddError::Unassigned { row: number(row) },
                    other => other,
                })?;
            codes.extend(block_codes);
            if !bad.is_empty() {
                // A skipped row uses up its id, so the refining index has to skip it too.
                let mut all = vec![f32::NAN; block.len() * dim];
                for (&row, residual) in kept_rows.iter().zip(residuals.chunks_exact(dim)) {
                    all[row * dim..][..dim].copy_from_slice(residual);
                }
                residuals = all;
            }
            skipped.extend(bad.iter().map(|row| start + row));
            self.add_refining(Rows::new(&residuals, dim).map_err(InputError::from)?.into(), &quiet)?;
            if let Some(progress) = options.progress {
                progress.step("add", end as u64, rows.len() as u64);
            }
        }
        match self.base.as_add_codes() {
            Some(add) if skipped.is_empty() => add.add_codes(&codes, None, &quiet).map_err(residual::added),
            // Codes have no row numbers, so they cannot skip ids.
            _ => self.base.add_with(rows, &quiet),
        }
    }

    /// Returns what the refining index encodes of rows: the rows, or their residuals in `scratch`.
    fn refining<'r>(
        &self,
        rows: AnyRows<'r>,
        options: &AddOptions<'_>,
        scratch: &'r mut Vec<f32>,
    ) -> Result<AnyRows<'r>, AddError> {
        if !self.of_residuals {
            return Ok(rows);
        }
        rows.check(self.dim())?;
        *scratch = residual::residuals(&*self.base, rows.to_f32(&mut Vec::new()), options)?.0;
        Ok(Rows::new(scratch, rows.dim()).map_err(InputError::from)?.into())
    }
}

impl Reset for Refine {
    fn reset(&mut self) -> Result<(), StoreError> {
        if let Some(reset) = self.base.as_reset() {
            reset.reset()?;
        }
        match self.refine.get_mut().as_reset() {
            Some(reset) => reset.reset(),
            None => Ok(()),
        }
    }
}

impl Remove for Refine {
    fn remove(&mut self, selector: &IdSelector<'_>) -> Result<usize, EditError> {
        let removed = self.base.remove(selector)?;
        self.refine.get_mut().remove(selector)?;
        self.refine.map_ids()?;
        Ok(removed)
    }
}

impl Update for Refine {
    fn update(&mut self, ids: &[Id], rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), EditError> {
        if !self.is_trained() {
            return Err(EditError::NotTrained);
        }
        let mut scratch = Vec::new();
        let refining = self.refining(rows, options, &mut scratch)?;
        // Another index may refuse rows that the base takes, and the base is then as it was.
        let before = if self.refine.may_refuse() { Some(self.base.clone_index()?) } else { None };
        self.base.update_with(ids, rows, options)?;
        // The base has changed, so it is too late to cancel.
        let mut rest = *options;
        rest.cancel = None;
        if let Err(error) = self.refine.get_mut().update_with(ids, refining, &rest) {
            if let Some(before) = before {
                self.base = before;
            }
            return Err(error);
        }
        self.refine.map_ids()
    }
}
