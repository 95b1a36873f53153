//! Vectors into an index, whatever way it takes them.

use ivf_core::error::AddError;
use ivf_core::{AddOptions, AnyRows, Id, Index};

/// Adds vectors whose ids count up from the number of vectors there are. An index that takes only the caller's ids (`IDMap`) is
/// given these very ids.
///
/// # Errors
/// [`AddError`], as the index says it.
pub(crate) fn fill<'r>(
    index: &mut dyn Index,
    rows: impl Into<AnyRows<'r>>,
    options: &AddOptions<'_>,
) -> Result<(), AddError> {
    let rows = rows.into();
    if index.as_add().is_none() && index.as_add_with_ids().is_some() {
        let first = index.len() as i64;
        let ids: Vec<Id> = (first..first + rows.len() as i64).map(Id).collect();
        index.add_with_ids_with(rows, &ids, options)?;
    } else {
        index.add_with(rows, options)?;
    }
    Ok(())
}
