//! Adding vectors to an index that may require ids.

use ivf_core::error::AddError;
use ivf_core::{AddOptions, AnyRows, Id, Index};

/// Adds vectors, whose ids count up from the number of vectors in the index. An index that requires
/// ids from the caller (`IDMap`) gets the same ids.
///
/// # Errors
/// [`AddError`] of the index.
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
