//! Adding vectors: check the input, then assign, encode and append block by block. If a block
//! fails, all of them are undone.

use super::accelerate::Assigner;
use super::entries::Write;
use super::{IvfIndex, Trained};
use ivf_core::accelerator::Accelerator;
use ivf_core::error::{AddError, InputError, SearchError};
use ivf_core::params::NonFinite;
use ivf_core::{Add, AddOptions, AddReport, AddWithIds, AnyRows, Id, ListNo, Rows, SearchParams, Settings};
use std::borrow::Cow;
use std::sync::Arc;

/// Number of vectors that are converted, assigned and encoded at a time (the same as in Faiss).
const BLOCK: usize = 65536;

impl Add for IvfIndex {
    fn add(&mut self, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let ids = self.trained.as_ref().ok_or(AddError::NotTrained)?.entries.count_ids(rows.len())?;
        self.add_checked(rows, &ids, options)
    }
}

impl AddWithIds for IvfIndex {
    fn add_with_ids(&mut self, rows: AnyRows<'_>, ids: &[Id], options: &AddOptions<'_>) -> Result<AddReport, AddError> {
        let trained = self.trained.as_ref().ok_or(AddError::NotTrained)?;
        if ids.len() != rows.len() {
            return Err(InputError::IdCount { rows: rows.len(), ids: ids.len() }.into());
        }
        trained.entries.check_ids(ids.iter().copied())?;
        self.add_checked(rows, ids, options)
    }
}

impl IvfIndex {
    /// Adds rows with one id each to their nearest lists.
    pub(super) fn add_checked(
        &mut self,
        rows: AnyRows<'_>,
        ids: &[Id],
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError> {
        self.add_to(rows, ids, None, options)
    }

    /// Adds rows with one id each to the given lists, or to their nearest lists.
    pub(super) fn add_to(
        &mut self,
        rows: AnyRows<'_>,
        ids: &[Id],
        lists: Option<&[Option<ListNo>]>,
        options: &AddOptions<'_>,
    ) -> Result<AddReport, AddError> {
        if rows.dim() != self.dim {
            return Err(InputError::Dim { expected: self.dim, found: rows.dim() }.into());
        }
        if options.non_finite == NonFinite::Reject
            && let Some(row) = rows.first_non_finite()
        {
            return Err(InputError::NonFinite { row }.into());
        }
        let assign = self.assign_params(options);
        // The first write drops the accelerator.
        let accelerator = self.trained.as_ref().and_then(|trained| {
            self.assigning(trained, &Settings::new())?;
            trained.entries.accelerator.clone()
        });
        let trained = self.trained.as_mut().ok_or(AddError::NotTrained)?;
        let mut write = Write::default();
        match trained.append_blocks(&mut write, rows, ids, lists, (options, &assign, accelerator)) {
            Ok(skipped) => {
                let added = rows.len() - skipped.len();
                trained.entries.commit(write, added, ids.iter().copied().max());
                Ok(AddReport::new(added, skipped))
            }
            Err(error) => {
                trained.entries.roll_back(&write)?;
                Err(error)
            }
        }
    }
}

impl IvfIndex {
    /// Returns the parameters for assigning vectors to lists: the settings of the quantizer, as in
    /// a search.
    pub(super) fn assign_params<'a>(&self, options: &AddOptions<'a>) -> SearchParams<'a> {
        let mut params = SearchParams::new().for_quantizer(&self.options.settings);
        (params.executor, params.cancel) = (options.executor, options.cancel);
        params
    }
}

impl Trained {
    /// Appends all finite rows that have a list. Returns the row numbers of the others.
    fn append_blocks(
        &mut self,
        write: &mut Write,
        rows: AnyRows<'_>,
        ids: &[Id],
        given: Option<&[Option<ListNo>]>,
        (options, params, mut accelerator): (&AddOptions<'_>, &SearchParams<'_>, Option<Arc<dyn Accelerator>>),
    ) -> Result<Vec<usize>, AddError> {
        let (mut skipped, mut scratch, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for start in (0..rows.len()).step_by(BLOCK) {
            params.check_cancel().map_err(|_| AddError::Cancelled)?;
            let end = rows.len().min(start + BLOCK);
            let mut block = rows.slice(start..end).to_f32(&mut scratch);
            let mut ids = Cow::Borrowed(&ids[start..end]);
            // Numbers of the rows that are left, unless all are.
            let mut left: Option<Vec<usize>> = None;
            let mut given = given.map(|lists| Cow::Borrowed(&lists[start..end]));
            let is_listless = given.as_ref().is_some_and(|lists| lists.contains(&None));
            if is_listless || AnyRows::from(block).first_non_finite().is_some() {
                let keep = |&i: &usize| {
                    let has_list = given.as_ref().is_none_or(|lists| lists[i].is_some());
                    has_list && block.row(i).iter().all(|x| x.is_finite())
                };
                let (good, bad): (Vec<usize>, Vec<usize>) = (0..block.len()).partition(keep);
                skipped.extend(bad.into_iter().map(|i| start + i));
                kept.clear();
                good.iter().for_each(|&i| kept.extend_from_slice(block.row(i)));
                ids = good.iter().map(|&i| ids[i]).collect();
                given = given.map(|lists| good.iter().map(|&i| lists[i]).collect());
                block = Rows::new(&kept, block.dim()).expect("whole rows");
                left = Some(good);
            }
            let number = |i: usize| start + left.as_ref().map_or(i, |left| left[i]);
            let lists = match given {
                Some(lists) => lists.iter().copied().flatten().collect(),
                None => {
                    let accelerator = accelerator.as_deref();
                    assign_all(&Assigner { quantizer: &*self.quantizer, accelerator, params }, block, number)?
                }
            };
            if end == rows.len() {
                // The accelerator may hold the lists. Writing to shared lists needs a snapshot.
                accelerator = None;
            }
            self.entries.check_residuals(block, &lists).map_err(|error| error.renumbered(number))?;
            let codes = self.entries.encode(block, &lists, options.executor);
            self.entries.append(write, &lists, &ids, &codes, options.executor)?;
            if let Some(progress) = options.progress {
                progress.step("add", end as u64, rows.len() as u64);
            }
        }
        Ok(skipped)
    }
}

/// Returns the list of each row. `number` returns the caller's number of a row.
pub(super) fn assign_all(
    assigner: &Assigner<'_>,
    rows: Rows<'_, f32>,
    number: impl Fn(usize) -> usize,
) -> Result<Vec<ListNo>, AddError> {
    let lists = assigner.nearest(rows).map_err(|error| match error {
        SearchError::Cancelled => AddError::Cancelled,
        SearchError::Input(error) => AddError::Input(error.renumbered(&number)),
        other => AddError::Assign(Box::new(other)),
    })?;
    let named = lists.into_iter().enumerate();
    named.map(|(row, list)| list.ok_or_else(|| AddError::Unassigned { row: number(row) })).collect()
}
