//! Coarse quantizers.

mod flat;
mod nearest;
mod one_list;

pub use flat::{FlatQuantizer, FlatQuantizerSpec};
pub use nearest::{nearest, nearest_many};
pub use one_list::{OneList, OneListSpec};

use ivf_core::error::SearchError;
use ivf_core::registry::QuantizerRow;
use ivf_core::{Level1Quantizer, ListNo, Rows, SearchParams};

/// The coarse quantizers of this crate. (`OneList` has no token: it is inside a codec's standalone index.)
pub const QUANTIZERS: &[QuantizerRow] = &[flat::ROW, one_list::ROW];

/// The list of each row, where the quantizer names one.
pub(crate) fn nearest_lists(
    quantizer: &dyn Level1Quantizer,
    rows: Rows<'_, f32>,
    params: &SearchParams<'_>,
) -> Result<Vec<Option<ListNo>>, SearchError> {
    let probes = quantizer.assign(rows, 1, params)?;
    Ok((0..rows.len()).map(|row| probes.row(row).next().and_then(|(list, _)| list)).collect())
}
