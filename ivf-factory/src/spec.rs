//! What a factory string says, as a tree, and how the tree is printed.

use crate::default::default_registry;
use crate::error::ParseError;
use crate::grammar::Parser;
use crate::hint;
use ivf_core::registry::{Side, WrapperSpec};
use ivf_core::transform::TransformSpec;
use ivf_core::{CodecSpec, QuantizerSpec, Registry, SpecText};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What an index shall be: the tree that a factory string stands for.
///
/// The variants are the shapes of the grammar, not the kinds there are: those are rows of a [`Registry`]. Displayed as its
/// canonical factory string, which parses back into an equal tree as long as it nests at most [`MAX_DEPTH`](crate::MAX_DEPTH)
/// wrappers and transforms. In a config file it stands as that string.
///
/// ```
/// use ivf_factory::Spec;
/// let spec: Spec = "((IVF4k,Flat),RFlat)".parse()?;
/// assert_eq!(spec.to_string(), "IVF4096,Flat,RFlat");
/// # Ok::<(), ivf_factory::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub enum Spec {
    /// A codec alone, scanned from end to end: `Flat`.
    Codes(Arc<dyn CodecSpec>),
    /// A coarse quantizer and the codec of its lists: `IVF16,Flat`.
    Ivf {
        /// The coarse quantizer.
        quantizer: Arc<dyn QuantizerSpec>,
        /// The codec of the lists.
        codec: Arc<dyn CodecSpec>,
    },
    /// A transform of the vectors before an index sees them: `L2norm,Flat`.
    Transformed {
        /// The transform.
        transform: Arc<dyn TransformSpec>,
        /// The index that sees what it makes.
        inner: Box<Spec>,
    },
    /// An index around an index: `IDMap,Flat`.
    Wrapped {
        /// The wrapper.
        wrapper: Arc<dyn WrapperSpec>,
        /// How loosely its token binds, from its row.
        level: u8,
        /// Where its token may stand, from its row.
        side: Side,
        /// The index inside.
        inner: Box<Spec>,
    },
}

impl Spec {
    /// Parses a factory string of the kinds that `registry` knows.
    ///
    /// # Errors
    /// [`ParseError`], which shows the fault and what could stand there. It never panics, whatever the string.
    pub fn parse(factory: &str, registry: &Registry) -> Result<Self, ParseError> {
        Parser::parse(factory, registry).map_err(|fault| {
            let suggestion = hint::mend(factory, &fault, registry);
            ParseError {
                input: factory.to_owned(),
                span: fault.span,
                what: fault.what,
                expected: fault.expected,
                suggestion,
            }
        })
    }

    /// The canonical string, with what decides about parentheses around it.
    fn text(&self) -> SpecText {
        match self {
            Self::Codes(codec) => SpecText::base(codec.to_string()),
            Self::Ivf { quantizer, codec } => SpecText::base(format!("{quantizer},{codec}")),
            Self::Transformed { transform, inner } => inner.text().before(SpecText::TRANSFORM, &transform.to_string()),
            Self::Wrapped { wrapper, level, side: Side::Both, inner } => {
                inner.text().before(*level, &wrapper.to_string())
            }
            Self::Wrapped { wrapper, level, side: Side::After, inner } => {
                inner.text().after(*level, &wrapper.to_string())
            }
        }
    }
}

/// The canonical string: tokens that may stand on both sides stand before, parentheses only where they are needed.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
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

/// From a factory string, with the [`default_registry`].
impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FactoryString;

        impl de::Visitor<'_> for FactoryString {
            type Value = Spec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a factory string")
            }

            fn visit_str<E: de::Error>(self, factory: &str) -> Result<Spec, E> {
                factory.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(FactoryString)
    }
}
