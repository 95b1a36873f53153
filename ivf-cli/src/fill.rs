//! Adding the vectors of a file to an index, block by block.

use crate::failure::Failure;
use crate::memory::{MemoryLimit, block_bytes};
use crate::progress::Stages;
use crate::threads::Threads;
use ivf_core::error::{AddError, EditError, InputError};
use ivf_core::params::{NonFinite, Progress as _};
use ivf_core::{AddOptions, Id, Index, Rows, UpsertReport};
use ivf_io::VectorReader;
use std::path::Path;
use std::time::{Duration, Instant};

/// Memory that adding a vector takes, in bytes, beside its numbers: an id, a list number, a
/// position in a batch.
const OF_ROW: usize = 64;

/// The ids of the vectors of a file.
pub(crate) enum NewIds {
    /// They count up from the id after the largest that the index ever had.
    Next,
    /// They count up from this id.
    From(i64),
    /// One for each vector.
    Listed(Vec<Id>),
}

impl NewIds {
    /// Returns the memory of the ids, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        match self {
            Self::Next | Self::From(_) => 0,
            Self::Listed(ids) => size_of_val(&ids[..]) as u64,
        }
    }

    /// Returns the ids of some rows, or `None` if the index counts them itself.
    fn of(&self, rows: std::ops::Range<usize>) -> Option<Vec<Id>> {
        match self {
            Self::Next => None,
            Self::From(first) => Some(rows.map(|row| Id(first + row as i64)).collect()),
            Self::Listed(ids) => Some(ids[rows].to_vec()),
        }
    }
}

/// How the vectors of a file are added.
pub(crate) struct Fill<'a> {
    /// The file, as messages name it.
    pub(crate) base: &'a Path,
    pub(crate) ids: &'a NewIds,
    /// Whether vectors replace those of the same ids. The ids must not be [`NewIds::Next`].
    pub(crate) upsert: bool,
    pub(crate) skip_bad_rows: bool,
    pub(crate) limit: Option<MemoryLimit>,
    pub(crate) threads: &'a Threads,
    pub(crate) stages: &'a Stages,
}

/// What was added.
#[derive(Default)]
pub(crate) struct Filled {
    pub(crate) added: usize,
    pub(crate) replaced: usize,
    pub(crate) skipped: usize,
    /// The time that it took, without reading the file.
    pub(crate) time: Duration,
}

impl Fill<'_> {
    /// Adds all vectors of the file.
    ///
    /// # Errors
    /// [`Failure`] with the number of the vector in the file. The index may hold the vectors before
    /// it.
    pub(crate) fn run(&self, index: &mut dyn Index, base: &mut VectorReader) -> Result<Filled, Failure> {
        let dim = base.dim();
        let bar = self.stages.stage();
        let mut block: Vec<f32> = Vec::new();
        let max_rows = (block_bytes(self.limit) / (size_of::<f32>() * widest(index) + OF_ROW)).max(1);
        let tables = index.memory();
        let (mut filled, mut done) = (Filled::default(), 0);
        while base.read_block(max_rows, &mut block)? > 0 {
            let rows = Rows::new(&block, dim).map_err(|error| self.cannot(&error))?;
            let start = Instant::now();
            self.add(index, rows, done, &mut filled)?;
            filled.time += start.elapsed();
            done += rows.len();
            bar.step("add", done as u64, base.len());
            self.limit.map_or(Ok(()), |limit| limit.check_grown(index, tables, done as u64, base.len()))?;
        }
        Ok(filled)
    }

    /// Adds rows. Vector number `first` of the file is the first row.
    fn add(
        &self,
        index: &mut dyn Index,
        rows: Rows<'_, f32>,
        first: usize,
        filled: &mut Filled,
    ) -> Result<(), Failure> {
        let mut options = AddOptions::new().executor(self.threads.executor());
        if self.skip_bad_rows {
            options = options.non_finite(NonFinite::SkipRow);
        }
        let ids = self.ids.of(first..first + rows.len());
        let bad = |error: InputError| {
            let what = format_args!("cannot add the vectors of {}", self.base.display());
            Failure::of_vector(what, &in_file(error, |row| (first + row) as u64))
        };
        if let (true, Some(ids)) = (self.upsert, &ids) {
            let (report, skipped) = upsert(index, ids, rows, &options).map_err(|error| match error {
                EditError::Input(error) | EditError::Add(AddError::Input(error)) => bad(error),
                error => self.cannot(&error),
            })?;
            filled.added += report.added;
            filled.replaced += report.updated;
            filled.skipped += skipped;
            return Ok(());
        }
        let report = match ids {
            Some(ids) => index.add_with_ids_with(rows, &ids, &options),
            None => index.add_with(rows, &options),
        };
        let report = report.map_err(|error| match error {
            AddError::Input(error) => bad(error),
            error => self.cannot(&error),
        })?;
        filled.added += report.added;
        filled.skipped += report.skipped.len();
        Ok(())
    }

    fn cannot(&self, error: &dyn std::error::Error) -> Failure {
        Failure::failed(format_args!("cannot add the vectors of {}", self.base.display()), error)
    }
}

/// Replaces or adds vectors, and returns the number of skipped ones too. An index skips no vector
/// of an upsert itself, so bad ones are left out here if the options say so. An id whose vector is
/// skipped keeps its old one.
fn upsert(
    index: &mut dyn Index,
    ids: &[Id],
    rows: Rows<'_, f32>,
    options: &AddOptions<'_>,
) -> Result<(UpsertReport, usize), EditError> {
    if options.non_finite != NonFinite::SkipRow {
        return Ok((index.upsert_with(ids, rows, options)?, 0));
    }
    let mut kept: Vec<usize> = (0..rows.len()).filter(|row| rows.row(*row).iter().all(|x| x.is_finite())).collect();
    loop {
        let vectors: Vec<f32> = kept.iter().flat_map(|row| rows.row(*row)).copied().collect();
        let kept_ids: Vec<Id> = kept.iter().map(|row| ids[*row]).collect();
        let vectors = Rows::new(&vectors, rows.dim()).map_err(InputError::from)?;
        // Only the index knows which other vectors it cannot take. An error leaves it as it was.
        match index.upsert_with(&kept_ids, vectors, options) {
            Err(EditError::Input(error) | EditError::Add(AddError::Input(error))) => match error {
                InputError::ZeroVector { .. } => kept.retain(|row| rows.row(*row).iter().any(|x| *x != 0.0)),
                InputError::Overflow { row, .. } => drop(kept.remove(row)),
                other => return Err(EditError::Input(other)),
            },
            result => return Ok((result?, rows.len() - kept.len())),
        }
    }
}

/// Returns the maximum dimension of a vector on its way into the index. A transform may increase
/// it.
fn widest(index: &dyn Index) -> usize {
    let nested = std::iter::successors(Some(index), |index| index.wrapped());
    nested.map(|index| index.dim()).max().unwrap_or_default()
}

/// Replaces the row in an error by the vector's number in the file.
pub(crate) fn in_file(error: InputError, number: impl Fn(usize) -> u64) -> InputError {
    error.renumbered(|row| number(row) as usize)
}
