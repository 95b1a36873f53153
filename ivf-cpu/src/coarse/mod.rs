//! Coarse quantizers.

mod first_pass;
mod flat;
mod index;
mod multi;
mod nearest;
mod one_list;

pub use flat::{FlatQuantizer, FlatQuantizerSpec};
pub use index::{IndexQuantizer, IndexQuantizerSpec};
pub use multi::{MultiQuantizer, MultiQuantizerSpec};
pub use nearest::{nearest, nearest_many};
pub use one_list::{OneList, OneListSpec};

use crate::kmeans::KMeans;
use ivf_core::error::{InputError, SearchError, TrainError};
use ivf_core::registry::{QuantizerRow, TokenError};
use ivf_core::{AnyRows, Centroids, Metric, QuantizerSpec, Rows, SearchParams, TrainOptions, TrainReport};
use std::fmt;

/// The coarse quantizers of this crate. ([`OneList`] has no token: it is part of a codec's
/// standalone index.)
pub const QUANTIZERS: &[QuantizerRow] = &[flat::ROW, index::ROW, multi::ROW, one_list::ROW];

/// Parses the number of lists from `IVF<n>[k|M]`: k = 1024, M = 1024 x 1024. Returns `None` for the
/// name of another kind, such as `IVF4_HNSW32`.
fn parse_nlist(name: &str) -> Option<Result<usize, TokenError>> {
    let number = name.strip_prefix("IVF")?;
    if number.contains('_') {
        return None;
    }
    let suffix = 3 + number.bytes().take_while(u8::is_ascii_digit).count();
    let fault = |start: usize, what: &str| Some(Err(TokenError::new(start..name.len(), what)));
    if suffix == 3 {
        return fault(3, "the number of lists is missing");
    }
    let scale: u64 = match &name[suffix..] {
        "" => 1,
        "k" => 1 << 10,
        "M" => 1 << 20,
        _ => return fault(suffix, "the number of lists may be followed only by k (x 1024) or M (x 1048576)"),
    };
    match name[3..suffix].parse::<u64>().ok().and_then(|n| n.checked_mul(scale)) {
        Some(0) => fault(3, "the number of lists must be at least 1"),
        Some(nlist) if nlist <= u32::MAX.into() => Some(Ok(nlist as usize)),
        _ => fault(3, "the number of lists must be at most 4294967295"),
    }
}

/// Returns the error of a quantizer that cannot be trained.
fn unsupported(spec: &dyn QuantizerSpec, what: impl fmt::Display) -> TrainError {
    TrainError::Unsupported { kind: spec.to_string(), what: what.to_string() }
}

/// Learns the centroids of the lists by k-means, for every quantizer. All are finite.
fn learn(
    spec: &dyn QuantizerSpec,
    rows: AnyRows<'_>,
    metric: Metric,
    options: &TrainOptions<'_>,
) -> Result<(Vec<f32>, TrainReport), TrainError> {
    let nlist = spec.nlist();
    KMeans::new(nlist, metric).train(rows, options).map_err(|error| match error {
        TrainError::TooFew { needed, found, .. } => {
            TrainError::TooFew { who: format!("the {nlist} centroids of {spec}"), needed, found }
        }
        other => other,
    })
}

/// Checks the arguments of an assignment, for every quantizer.
fn check_assign(
    quantizer: &dyn Centroids,
    rows: Rows<'_, f32>,
    nprobe: usize,
    params: &SearchParams<'_>,
) -> Result<(), SearchError> {
    params.check_cancel()?;
    if rows.dim() != quantizer.dim() {
        return Err(InputError::Dim { expected: quantizer.dim(), found: rows.dim() }.into());
    }
    if nprobe == 0 {
        return Err(SearchError::invalid("nprobe", "at least 1", 0));
    }
    Ok(())
}

/// Returns the first row that holds a NaN or an infinity.
fn first_non_finite(rows: Rows<'_, f32>) -> Option<usize> {
    rows.iter().position(|row| !row.iter().all(|x| x.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_lists_has_a_suffix_and_a_limit() {
        let nlist = |name: &str| parse_nlist(name).map(|parsed| parsed.map_err(|error| error.span));
        for (name, expected) in [("IVF1", 1), ("IVF40", 40), ("IVF2k", 2048), ("IVF3M", 3 << 20)] {
            assert_eq!(nlist(name), Some(Ok(expected)), "{name}");
        }
        assert_eq!(nlist("IVF4294967295"), Some(Ok(u32::MAX as usize)));
        for (name, span) in [("IVF", 3..3), ("IVFk", 3..4), ("IVF0", 3..4), ("IVF16x", 5..6), ("IVF4096M", 3..8)] {
            assert_eq!(nlist(name), Some(Err(span)), "{name}");
        }
        assert_eq!((nlist("Flat"), nlist("IVF16_HNSW32")), (None, None));
    }
}
