//! What a factory string says, and how it stands in a config file.

use crate::default::default_registry;
use crate::error::{ParseError, SpecError};
use crate::grammar::{Parser, Reading};
use crate::hint;
use crate::tree::SpecTree;
use ivf_core::error::BuildError;
use ivf_core::registry::{IndexSpec, TokenError};
use ivf_core::{Index, Metric, Registry};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

/// What an index shall be: a factory string that was read.
///
/// It knows the [tree](Self::tree) that the string stands for, and where each token stands in it,
/// so that an error of [`build`](Self::build) points at the token that refuses. Displayed as its
/// canonical factory string, which parses back into an equal one. In a config file it stands as
/// that string.
///
/// ```
/// use ivf_factory::Spec;
/// let spec: Spec = "((IVF4k,Flat),RFlat)".parse()?;
/// assert_eq!(spec.to_string(), "IVF4096,Flat,RFlat");
/// # Ok::<(), ivf_factory::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Spec {
    pub(crate) tree: SpecTree,
    /// The string that it was read from.
    pub(crate) input: Arc<str>,
    /// Where the tokens stand in the string: those of the base, and then outwards.
    pub(crate) spans: Vec<Range<usize>>,
}

impl Spec {
    /// Parses a factory string of the kinds that `registry` knows.
    ///
    /// # Errors
    /// [`ParseError`], which shows the fault and what could stand there. It never panics, whatever
    /// the string.
    pub fn parse(factory: &str, registry: &Registry) -> Result<Self, ParseError> {
        match Parser::parse(factory, registry) {
            Ok(Reading { tree, spans }) => Ok(Self { tree, input: factory.into(), spans }),
            Err(fault) => {
                let suggestion = hint::mend(factory, &fault, registry);
                Err(ParseError {
                    input: factory.to_owned(),
                    span: fault.span,
                    what: fault.what,
                    expected: fault.expected,
                    suggestion,
                })
            }
        }
    }

    /// The shape of the index.
    pub fn tree(&self) -> &SpecTree {
        &self.tree
    }

    /// The string that it was parsed from; the canonical one if a tree became this.
    pub fn input(&self) -> &str {
        &self.input
    }

    /// Reads a factory string of the kinds that `registry` knows out of a config file.
    ///
    /// `Spec` itself reads with the [`default_registry`]. A config with kinds of your own is read
    /// by a function of yours:
    ///
    /// ```
    /// use ivf_core::Registry;
    /// use ivf_factory::{Spec, default_registry};
    /// use serde::de::{Deserialize, DeserializeSeed, Deserializer};
    /// use std::sync::LazyLock;
    ///
    /// # const MY_CODECS: &[ivf_core::registry::CodecRow] = &[];
    /// static REGISTRY: LazyLock<Registry> = LazyLock::new(|| default_registry().clone().with_codecs(MY_CODECS));
    ///
    /// fn my_spec<'de, D: Deserializer<'de>>(config: D) -> Result<Spec, D::Error> {
    ///     Spec::seed(&REGISTRY).deserialize(config)
    /// }
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Config {
    ///     #[serde(deserialize_with = "my_spec")]
    ///     index: Spec,
    /// }
    ///
    /// let config: Config = serde_json::from_str(r#"{ "index": "IVF16,Flat" }"#)?;
    /// assert_eq!(config.index.to_string(), "IVF16,Flat");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn seed(registry: &Registry) -> SpecSeed<'_> {
        SpecSeed { registry }
    }
}

/// Parses a factory string for a token that takes a whole index as its argument. A registry that
/// starts from [`Registry::new`] is given it with [`Registry::with_index_parser`]; the
/// [`default_registry`] has it.
///
/// # Errors
/// [`TokenError`] with the faulty bytes of the string. It never panics, whatever the string.
pub fn parse_index(factory: &str, registry: &Registry) -> Result<Arc<dyn IndexSpec>, TokenError> {
    match Parser::parse_argument(factory, registry) {
        Ok(Reading { tree, spans }) => Ok(Arc::new(Spec { tree, input: factory.into(), spans })),
        Err(fault) => Err(TokenError::new(fault.span, fault.what)),
    }
}

/// An argument of a token: the index of `IVF64(IVF16,Flat)`.
impl IndexSpec for Spec {
    fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError> {
        Spec::build(self, dim, metric).map_err(|error: SpecError| error.why)
    }
}

/// A tree that was put together by hand; its tokens stand where they do in its canonical string.
impl From<SpecTree> for Spec {
    fn from(tree: SpecTree) -> Self {
        let (input, spans) = tree.spell();
        Self { tree, input: input.into(), spans }
    }
}

/// The canonical string: tokens that may stand on both sides stand before, parentheses only where
/// they are needed.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tree.fmt(f)
    }
}

/// Two specifications are equal if their canonical strings are.
impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Spec {}

/// Parses with the [`default_registry`].
impl FromStr for Spec {
    type Err = ParseError;

    fn from_str(factory: &str) -> Result<Self, ParseError> {
        Self::parse(factory, default_registry())
    }
}

/// As the canonical string.
impl Serialize for Spec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From a factory string, with the [`default_registry`]. See [`Spec::seed`] for another.
impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::DeserializeSeed::deserialize(Self::seed(default_registry()), deserializer)
    }
}

/// Reads a [`Spec`] with a registry of the caller's: what [`Spec::seed`] gives.
#[derive(Clone, Copy, Debug)]
pub struct SpecSeed<'r> {
    registry: &'r Registry,
}

impl<'de> de::DeserializeSeed<'de> for SpecSeed<'_> {
    type Value = Spec;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Spec, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl de::Visitor<'_> for SpecSeed<'_> {
    type Value = Spec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a factory string")
    }

    fn visit_str<E: de::Error>(self, factory: &str) -> Result<Spec, E> {
        Spec::parse(factory, self.registry).map_err(E::custom)
    }
}
