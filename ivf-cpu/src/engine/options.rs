//! Options of an inverted-file index.

use ivf_core::lists::StoreSpec;
use ivf_core::{Binding, DirectMapKind, ParallelMode, Settings};
use std::sync::Arc;

/// Options of an [`IvfIndex`](crate::IvfIndex) that is assembled from parts. Most of them are also
/// knobs.
///
/// ```
/// let mut options = ivf_cpu::IvfOptions::default();
/// options.nprobe = 16;
/// assert_eq!(options.max_codes, 0);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IvfOptions {
    /// Default number of lists probed for each query, at least 1. Initially 1.
    pub nprobe: usize,
    /// Default maximum number of codes scanned for each query; 0 means no limit. Initially 0.
    pub max_codes: usize,
    /// Default parallel mode.
    pub mode: ParallelMode,
    /// Kind of direct map.
    pub direct_map: DirectMapKind,
    /// Whether codes encode residuals; if absent, the codec's default applies.
    pub by_residual: Option<bool>,
    /// Maximum memory of precomputed per-list tables, in bytes. Initially
    /// [`Binding::TABLE_MEMORY`].
    pub table_memory: usize,
    /// Parameters of the codec, and those of the quantizer with the prefix `quantizer_`.
    pub settings: Settings,
    /// The first id that `add` assigns; if absent, one more than the largest in the lists.
    pub next_id: Option<u64>,
    /// Creates the lists when the index is trained again; if absent, the lists are in memory.
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
