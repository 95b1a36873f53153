//! The kinds of the library itself, and specifications that are parsed with them.

use crate::error::ParseError;
use crate::spec::{Spec, parse_index};
use ivf_core::{ArrayLists, Registry};
use serde::de::{Deserialize, DeserializeSeed, Deserializer};
use std::str::FromStr;
use std::sync::OnceLock;

/// Returns the registry of all kinds of the library. This is the only place that knows the complete
/// set. For tokens that take an index as their argument, the registry uses [`parse_index`].
///
/// To add kinds of your own, add their rows to a clone:
///
/// ```
/// use ivf_core::registry::CodecRow;
/// use ivf_factory::{Spec, default_registry};
/// use std::sync::Arc;
/// /// `Full` is another token for the codec `Flat`, whose row reads its files.
/// const FULL: CodecRow = CodecRow::new(
///     "full",
///     "Full",
///     |token, _| (token.plain()? == "Full").then(|| Ok(Arc::new(ivf_cpu::codec::FlatSpec) as _)),
///     |node, _| Err(ivf_core::error::DecodeError::value(&node.tag, "no file has this tag")),
/// );
/// let registry = default_registry().clone().with_codecs(&[FULL]);
/// assert_eq!(Spec::parse("IVF16,Full", &registry)?.to_string(), "IVF16,Flat");
/// // The default registry does not change.
/// assert!("IVF16,Full".parse::<Spec>().is_err());
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
            .with_transforms(ivf_pq::TRANSFORMS)
            .with_wrappers(ivf_cpu::WRAPPERS)
            .with_indexes(ivf_cpu::INDEXES)
            .with_stores(&[ArrayLists::ROW])
            .with_index_parser(parse_index)
    })
}

/// Parses with the [`default_registry`].
impl FromStr for Spec {
    type Err = ParseError;

    fn from_str(factory: &str) -> Result<Self, ParseError> {
        Self::parse(factory, default_registry())
    }
}

/// Deserializes a factory string with the [`default_registry`]. See [`Spec::seed`] for another.
impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::seed(default_registry()).deserialize(deserializer)
    }
}
