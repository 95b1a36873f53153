//! Passing rows through one transform, in parallel.

use crate::executor::executor_for;
use ivf_core::error::{AddError, Cancelled, CodeError, EditError, InputError, SearchError, TrainError};
use ivf_core::executor::map_items;
use ivf_core::params::NonFinite;
use ivf_core::{AddOptions, AnyRows, Cancel, Executor, Rows, TrainOptions, Transform};

/// How rows are transformed.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) executor: Option<&'a dyn Executor>,
    pub(super) cancel: Option<&'a Cancel>,
    pub(super) non_finite: NonFinite,
}

impl<'a> From<&AddOptions<'a>> for How<'a> {
    fn from(options: &AddOptions<'a>) -> Self {
        Self { executor: options.executor, cancel: options.cancel, non_finite: options.non_finite }
    }
}

impl<'a> From<&TrainOptions<'a>> for How<'a> {
    fn from(options: &TrainOptions<'a>) -> Self {
        Self { executor: options.executor, cancel: options.cancel, non_finite: options.non_finite }
    }
}

impl How<'_> {
    /// Returns an error for the first bad row.
    pub(super) fn strict(mut self) -> Self {
        self.non_finite = NonFinite::Reject;
        self
    }
}

/// Why rows were not transformed.
pub(super) enum Failed {
    Input(InputError),
    Cancelled,
}

impl From<InputError> for Failed {
    fn from(error: InputError) -> Self {
        Self::Input(error)
    }
}

impl From<Cancelled> for Failed {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

macro_rules! from_failed {
    ($($error:ident: $cancelled:expr,)*) => {$(
        impl From<Failed> for $error {
            fn from(failed: Failed) -> Self {
                match failed {
                    Failed::Input(error) => error.into(),
                    Failed::Cancelled => $cancelled,
                }
            }
        }
    )*};
}

from_failed! {
    TrainError: Self::Cancelled,
    AddError: Self::Cancelled,
    SearchError: Self::Cancelled,
    EditError: Self::Add(AddError::Cancelled),
    CodeError: Self::Add(AddError::Cancelled),
}

/// Number of rows in one task of a parallel transform.
const CHUNK: usize = 512;

/// Passes rows through one transform, converting and transforming them chunk by chunk. With
/// [`NonFinite::SkipRow`], a row that cannot be transformed becomes NaN.
pub(super) fn apply(transform: &dyn Transform, rows: AnyRows<'_>, how: How<'_>) -> Result<Vec<f32>, Failed> {
    let executor = executor_for(how.executor, rows.len() * rows.dim() * transform.dim_out());
    let mut out = vec![0.0; rows.len() * transform.dim_out()];
    let jobs: Vec<&mut [f32]> = out.chunks_mut(CHUNK * transform.dim_out()).collect();
    let done = map_items(executor, jobs, |job, out| {
        Cancel::check(how.cancel)?;
        let start = job * CHUNK;
        let mut scratch = Vec::new();
        let rows = rows.slice(start..start + out.len() / transform.dim_out()).to_f32(&mut scratch);
        let applied = match how.non_finite {
            NonFinite::SkipRow => apply_to_good(transform, rows, out),
            _ => transform.apply(rows, out),
        };
        applied.map_err(|error| error.renumbered(|row| start + row).into())
    });
    done.into_iter().collect::<Result<(), Failed>>()?;
    Ok(out)
}

/// Transforms rows. Rows for which the transform returns an error become NaN.
fn apply_to_good(transform: &dyn Transform, rows: Rows<'_, f32>, out: &mut [f32]) -> Result<(), InputError> {
    let (mut next, dim) = (0, transform.dim_out());
    while next < rows.len() {
        match transform.apply(rows.slice(next..rows.len()), &mut out[next * dim..]) {
            Ok(()) => break,
            Err(InputError::ZeroVector { row } | InputError::NonFinite { row } | InputError::Overflow { row, .. })
                if row < rows.len() - next =>
            {
                let bad = next + row;
                // A transform that fails may have left the rows before undone.
                transform.apply(rows.slice(next..bad), &mut out[next * dim..bad * dim])?;
                out[bad * dim..(bad + 1) * dim].fill(f32::NAN);
                next = bad + 1;
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}
