//! What can be set on an inverted-file index.

use ivf_core::lists::StoreSpec;
use ivf_core::{Binding, DirectMapKind, ParallelMode, Settings};
use std::sync::Arc;

/// What can be set on an [`IvfIndex`](crate::IvfIndex) made of parts; each is a knob, too.
///
/// ```
/// let mut options = ivf_cpu::IvfOptions::default();
/// options.nprobe = 16;
/// assert_eq!(options.max_codes, 0);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IvfOptions {
    /// Lists probed for each query unless a call says otherwise, at least 1 (1).
    pub nprobe: usize,
    /// Codes scanned at most for each query unless a call says otherwise; 0 means no limit (0).
    pub max_codes: usize,
    /// How work is cut up unless a call says otherwise.
    pub mode: ParallelMode,
    /// Which direct map is kept.
    pub direct_map: DirectMapKind,
    /// Whether codes are of residuals; the codec's own choice if absent.
    pub by_residual: Option<bool>,
    /// Bytes that tables of the lists may take ([`Binding::TABLE_MEMORY`]).
    pub table_memory: usize,
    /// Parameters of the codec, and of the quantizer with the prefix `quantizer_`.
    pub settings: Settings,
    /// The id that `add` counts up from; one more than the largest in the lists if absent.
    pub next_id: Option<u64>,
    /// What makes the lists when the index is trained anew; lists in memory if absent.
    pub store: Option<Arc<dyn StoreSpec>>,
}

impl Default for IvfOptions {
    fn default() -> Self {
        Self {
            nprobe: 1,
            max_codes: 0,
            mode: ParallelMode::Auto,
            direct_map: DirectMapKind::None,
            by_residual: None,
            table_memory: Binding::TABLE_MEMORY,
            settings: Settings::new(),
            next_id: None,
            store: None,
        }
    }
}
