//! The kinds that the library itself has.

use crate::spec::parse_index;
use ivf_core::{ArrayLists, Registry};
use std::sync::OnceLock;

/// All kinds of the library: the only place that knows the complete set. It parses factory strings,
/// for tokens that take an index as their argument, with [`parse_index`].
///
/// A registry with kinds of your own is a clone of this one and their rows:
///
/// ```
/// use ivf_core::registry::CodecRow;
/// # const MY_CODECS: &[CodecRow] = &[];
/// let registry = ivf_factory::default_registry().clone().with_codecs(MY_CODECS);
/// let spec = ivf_factory::Spec::parse("IVF16,Flat", &registry)?;
/// # Ok::<(), ivf_factory::ParseError>(())
/// ```
pub fn default_registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        Registry::new()
            .with_codecs(ivf_cpu::CODECS)
            .with_codecs(ivf_pq::CODECS)
            .with_quantizers(ivf_cpu::QUANTIZERS)
            .with_transforms(ivf_cpu::TRANSFORMS)
            .with_wrappers(ivf_cpu::WRAPPERS)
            .with_indexes(ivf_cpu::INDEXES)
            .with_stores(&[ArrayLists::ROW])
            .with_index_parser(parse_index)
    })
}
