//! The token.

use super::HnswIndex;
use crate::codec::FlatSpec;
use ivf_core::error::BuildError;
use ivf_core::registry::{IndexSpec, Parsed, Registry, Token, TokenError};
use ivf_core::{CodecSpec, Index, Metric};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The name of the token, before M.
pub(crate) const NAME: &str = "HNSW";

/// M unless the token has it.
const DEFAULT_M: usize = 32;

/// The values of M. With one link there would be no levels.
pub(super) const M: RangeInclusive<usize> = 2..=1024;

/// The specification `HNSW<M>[,<codec>]`.
///
/// ```
/// use ivf_core::{Index, Metric, registry::IndexSpec};
/// use ivf_cpu::{HnswSpec, codec::FlatSpec};
/// use std::sync::Arc;
/// let spec = HnswSpec::new(16, Arc::new(FlatSpec))?;
/// assert_eq!((spec.to_string().as_str(), spec.m()), ("HNSW16", 16));
/// assert!(spec.build(4, Metric::L2)?.is_empty());
/// assert!(HnswSpec::new(1, Arc::new(FlatSpec)).is_err());
/// # Ok::<(), ivf_core::error::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HnswSpec {
    m: usize,
    codec: Arc<dyn CodecSpec>,
}

impl HnswSpec {
    /// Specifies a graph of `m` links for each vector, over the codes of a codec.
    ///
    /// # Errors
    /// [`BuildError`] if `m` is not within 2 to 1024.
    pub fn new(m: usize, codec: Arc<dyn CodecSpec>) -> Result<Self, BuildError> {
        if !M.contains(&m) {
            return Err(BuildError::Environment(format!("{NAME}{m}: {}", must())));
        }
        Ok(Self { m, codec })
    }

    pub(super) fn of(m: usize, codec: Arc<dyn CodecSpec>) -> Self {
        Self { m, codec }
    }

    /// Returns the number of links of a vector on each level above 0.
    pub fn m(&self) -> usize {
        self.m
    }
}

/// Returns what M must be.
pub(super) fn must() -> String {
    format!("a vector has {} to {} links", M.start(), M.end())
}

impl fmt::Display for HnswSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAME}{}", self.m)?;
        let codec = self.codec.to_string();
        if codec == FlatSpec.to_string() { Ok(()) } else { write!(f, ",{codec}") }
    }
}

impl IndexSpec for HnswSpec {
    fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError> {
        Ok(Box::new(HnswIndex::new(dim, metric, self.m, self.codec.clone())?))
    }
}

/// Parses `HNSW[<M>]` with the codec after a comma, and `HNSW[<M>]_<codec>`.
pub(super) fn parse(token: &Token<'_>, registry: &Registry) -> Parsed<dyn IndexSpec> {
    let name = token.name();
    let (m, codec) = match name.strip_prefix(NAME)?.split_once('_') {
        Some((m, _)) => (m, Some(NAME.len() + m.len() + 1)),
        None => (token.plain()?.strip_prefix(NAME)?, None),
    };
    let m = parse_m(m, NAME.len())?;
    let codec = match (codec, token.codec()) {
        (Some(start), given) => {
            let text = &token.text()[start..];
            if given.is_some() {
                return Some(Err(TokenError::new(start..token.text().len(), "a second codec follows the comma")));
            }
            // Not claimed if it is no codec.
            let codec = Token::new(text).map_or_else(|error| Some(Err(error)), |token| registry.parse_codec(&token))?;
            codec.map_err(|error| error.shifted(start))
        }
        (None, given) => Ok(given.cloned().unwrap_or_else(|| Arc::new(FlatSpec))),
    };
    Some(m.and_then(|m| Ok(Arc::new(HnswSpec { m, codec: codec? }) as _)))
}

/// Parses M, whose text begins at `start` of a token. Returns `None` for a name of another kind.
fn parse_m(text: &str, start: usize) -> Option<Result<usize, TokenError>> {
    if text.is_empty() {
        return Some(Ok(DEFAULT_M));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let m = text.parse().ok().filter(|m| M.contains(m));
    Some(m.ok_or_else(|| TokenError::new(start..start + text.len(), must())))
}
