//! Vectors into an index, whatever way it takes them.

use ivf_core::error::AddError;
use ivf_core::{AddOptions, AnyRows, Id, Index};

/// Adds vectors whose ids count up from the number of vectors there are. An index that takes only the caller's ids (`IDMap`) is
/// given these very ids.
///
/// # Errors
/// [`AddError`], as the index says it.
pub(crate) fn fill(index: &mut dyn Index, rows: AnyRows<'_>, options: &AddOptions<'_>) -> Result<(), AddError> {
    let first = index.len() as i64;
    let unable = index.unable("add");
    if let Some(add) = index.as_add() {
        add.add(rows, options)?;
    } else {
        let ids: Vec<Id> = (first..first + rows.len() as i64).map(Id).collect();
        index.as_add_with_ids().ok_or(unable)?.add_with_ids(rows, &ids, options)?;
    }
    Ok(())
}
