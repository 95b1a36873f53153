//! The tree that a factory string describes, and its canonical string.

use ivf_core::registry::{IndexSpec, Side, WrapperSpec};
use ivf_core::transform::TransformSpec;
use ivf_core::{CodecSpec, QuantizerSpec, SpecText};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Shape of an index: the tree that a factory string describes.
///
/// The variants are the shapes of the grammar. They are not the kinds, which are rows of a
/// [`Registry`](ivf_core::Registry). A tree is displayed as its canonical factory string. A tree
/// that the caller makes can be converted to a [`Spec`](crate::Spec), which builds the index:
///
/// ```
/// use ivf_core::registry::Token;
/// use ivf_factory::{Spec, SpecTree, default_registry};
/// let flat = default_registry().parse_codec(&Token::new("Flat").unwrap()).unwrap().unwrap();
/// let spec = Spec::from(SpecTree::Codes(flat));
/// assert_eq!(spec, "Flat".parse().unwrap());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SpecTree {
    /// A codec alone, whose codes are scanned exhaustively: `Flat`.
    Codes(Arc<dyn CodecSpec>),
    /// A coarse quantizer and the codec of its lists: `IVF16,Flat`.
    Ivf {
        /// The coarse quantizer.
        quantizer: Arc<dyn QuantizerSpec>,
        /// The codec of the lists.
        codec: Arc<dyn CodecSpec>,
    },
    /// An index with its own token, and the codec or the coarse quantizer given to it: `HNSW32`,
    /// `HNSW32,SQ8`, `IVF16,FlatDedup`.
    Index(Arc<dyn IndexSpec>),
    /// A transform that is applied to vectors before an index: `L2norm,Flat`.
    Transformed {
        /// The transform.
        transform: Arc<dyn TransformSpec>,
        /// The index of the transformed vectors.
        inner: Box<SpecTree>,
    },
    /// A wrapper around an index: `IDMap,Flat`.
    Wrapped {
        /// The wrapper.
        wrapper: Arc<dyn WrapperSpec>,
        /// Precedence level of its token, from its row. A lower level is further outside.
        level: u8,
        /// The side on which its token is valid, from its row.
        side: Side,
        /// The index inside.
        inner: Box<SpecTree>,
    },
}

/// A canonical string, and the spans of its tokens: first those of the base, then outwards.
struct Spelling {
    text: SpecText,
    spans: Vec<Range<usize>>,
}

impl SpecTree {
    /// Returns the canonical string, and the spans of its tokens: first those of the base, then
    /// outwards.
    pub(crate) fn spell(&self) -> (String, Vec<Range<usize>>) {
        let Spelling { text, spans } = self.spelling();
        (text.to_string(), spans)
    }

    fn spelling(&self) -> Spelling {
        let base = |text: String, spans| Spelling { text: SpecText::base(text), spans };
        match self {
            Self::Codes(codec) => {
                let text = codec.to_string();
                let span = 0..text.len();
                base(text, vec![span])
            }
            Self::Index(index) => {
                let text = index.to_string();
                let span = 0..text.len();
                base(text, vec![span])
            }
            Self::Ivf { quantizer, codec } => {
                let quantizer = quantizer.to_string();
                let text = format!("{quantizer},{codec}");
                let spans = vec![0..quantizer.len(), quantizer.len() + 1..text.len()];
                base(text, spans)
            }
            Self::Transformed { transform, inner } => {
                inner.spelling().around(Side::Both, SpecText::TRANSFORM, &transform.to_string())
            }
            Self::Wrapped { wrapper, level, side, inner } => {
                inner.spelling().around(*side, *level, &wrapper.to_string())
            }
        }
    }
}

impl Spelling {
    /// Returns this with a token around it, which comes first where that is valid.
    fn around(self, side: Side, level: u8, token: &str) -> Self {
        let inside = self.text.to_string().len();
        let text = match side {
            Side::Both => self.text.before(level, token),
            Side::After => self.text.after(level, token),
        };
        let len = text.to_string().len();
        // 1 if the inner string had to be put in parentheses.
        let parenthesis = (len - inside - token.len() - 1) / 2;
        let (own, shift) = match side {
            Side::Both => (0..token.len(), token.len() + 1 + parenthesis),
            Side::After => (len - token.len()..len, parenthesis),
        };
        let shifted = self.spans.into_iter().map(|span| span.start + shift..span.end + shift);
        Self { text, spans: shifted.chain([own]).collect() }
    }
}

/// Writes the canonical string. Tokens that are valid on both sides come first, and parentheses
/// appear only where they are needed.
impl fmt::Display for SpecTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spelling().text.fmt(f)
    }
}
