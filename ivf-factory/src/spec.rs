//! Parsed factory strings, and how config files hold them.

use crate::error::{ParseError, SpecError};
use crate::grammar::{Parser, Reading};
use crate::hint;
use crate::tree::SpecTree;
use ivf_core::error::BuildError;
use ivf_core::registry::{IndexSpec, TokenError};
use ivf_core::{Index, Metric, Registry};
use serde::{Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Specification of an index: a parsed factory string.
///
/// It holds the [tree](Self::tree) that the string describes, and the span of each token in the
/// string, so that an error of [`build`](Self::build) points at the token that caused it. It is
/// displayed as its canonical factory string, which parses back into an equal specification. Config
/// files hold that string.
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
    /// The string that was parsed.
    pub(crate) input: Arc<str>,
    /// Spans of the tokens in the string: first those of the base, then outwards.
    pub(crate) spans: Vec<Range<usize>>,
}

impl Spec {
    /// Parses a factory string with the kinds of `registry`.
    ///
    /// # Errors
    /// [`ParseError`], which shows the fault and what is valid there. No string causes a panic.
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

    /// Returns the tree of the index.
    ///
    /// ```
    /// use ivf_factory::{Spec, SpecTree};
    ///
    /// let spec: Spec = "IVF16,Flat".parse()?;
    /// assert!(matches!(spec.tree(), SpecTree::Ivf { quantizer, .. } if quantizer.nlist() == 16));
    /// # Ok::<(), ivf_factory::ParseError>(())
    /// ```
    pub fn tree(&self) -> &SpecTree {
        &self.tree
    }

    /// Returns the string that was parsed, or the canonical string if this was made from a tree.
    ///
    /// ```
    /// use ivf_factory::Spec;
    ///
    /// let spec: Spec = "((IVF1k,Flat))".parse()?;
    /// assert_eq!((spec.input(), spec.to_string().as_str()), ("((IVF1k,Flat))", "IVF1024,Flat"));
    /// assert_eq!(Spec::from(spec.tree().clone()).input(), "IVF1024,Flat");
    /// # Ok::<(), ivf_factory::ParseError>(())
    /// ```
    pub fn input(&self) -> &str {
        &self.input
    }

    /// Returns a seed that deserializes a factory string with the kinds of `registry`.
    ///
    /// `Spec` itself is deserialized with the [`default_registry`](crate::default_registry). A
    /// config with kinds of your own needs a function:
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

/// Parses the argument of a token that takes a whole index. Pass it to
/// [`Registry::with_index_parser`] for a registry that starts from [`Registry::new`]. The
/// [`default_registry`](crate::default_registry) has it.
///
/// ```
/// use ivf_core::{Metric, Registry};
/// use ivf_factory::{Spec, parse_index};
///
/// // A registry without kinds of the library's, or with some of them.
/// let registry = Registry::new()
///     .with_codecs(ivf_cpu::CODECS)
///     .with_quantizers(ivf_cpu::QUANTIZERS)
///     .with_indexes(ivf_cpu::INDEXES)
///     .with_index_parser(parse_index);
/// // The coarse quantizer of this index is an index.
/// let spec = Spec::parse("IVF64(IVF4,Flat),Flat", &registry)?;
/// assert_eq!(spec.build(8, Metric::L2)?.spec(), "IVF64(IVF4,Flat),Flat");
/// // The parser of the argument alone:
/// let argument = parse_index("IVF4,Flat", &registry)?;
/// assert_eq!(argument.to_string(), "IVF4,Flat");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`TokenError`] with the span of the fault in the string. No string causes a panic.
pub fn parse_index(factory: &str, registry: &Registry) -> Result<Arc<dyn IndexSpec>, TokenError> {
    match Parser::parse_argument(factory, registry) {
        Ok(Reading { tree, spans }) => Ok(Arc::new(Spec { tree, input: factory.into(), spans })),
        Err(fault) => Err(TokenError::new(fault.span, fault.what)),
    }
}

/// Makes a specification usable as the argument of a token: the index in `IVF64(IVF16,Flat)`.
impl IndexSpec for Spec {
    fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError> {
        Spec::build(self, dim, metric).map_err(|error: SpecError| error.why)
    }
}

/// Converts a tree that the caller made. Its spans refer to its canonical string.
impl From<SpecTree> for Spec {
    fn from(tree: SpecTree) -> Self {
        let (input, spans) = tree.spell();
        Self { tree, input: input.into(), spans }
    }
}

/// Writes the canonical string. Tokens that are valid on both sides come first, and parentheses
/// appear only where they are needed.
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

/// Serializes the canonical string.
impl Serialize for Spec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Seed that deserializes a [`Spec`] with a given registry. Made by [`Spec::seed`].
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
