//! One row makes a kind.
//!
//! Everything the library knows about a kind of codec, quantizer, transform, wrapper, store or index, beyond the traits it
//! implements, stands in one row beside it: its factory token, how to parse it, the tag it has in files, how to read it, and
//! samples that tests, docs and benchmarks run over. Each crate exports its rows in a const slice; `ivf-factory` fills the default
//! [`Registry`] from them; a user's crate adds its own.

use crate::codec::{Codec, CodecSpec};
use crate::error::{BuildError, DecodeError, StoreError};
use crate::index::Index;
use crate::layout::CodeLayout;
use crate::lists::{InvertedLists, StoreSpec};
use crate::node::StoredNode;
use crate::quantizer::{Level1Quantizer, QuantizerSpec};
use crate::transform::{Transform, TransformSpec};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// What is wrong with a token that a row knows as its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError {
    /// The faulty bytes of the token.
    pub span: Range<usize>,
    /// What is wrong, in a few words: "a codec needs at least one bit".
    pub what: String,
}

impl TokenError {
    /// A fault at `span`.
    pub fn new(span: Range<usize>, what: impl Into<String>) -> Self {
        Self { span, what: what.into() }
    }
}

/// The answer of a row to a token: `None` if the token is not its own.
pub type Parsed<T> = Option<Result<Arc<T>, TokenError>>;

/// What a reader of exported nodes answers.
pub type Decoded<T> = Result<T, DecodeError>;

/// How one kind of codec is named, parsed and read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CodecRow {
    /// The tag in files.
    pub tag: &'static str,
    /// The token's form, for docs and hints: `PQ<M>[x<bits>]`.
    pub grammar: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Tokens to test and measure, for vectors whose dimension 16 divides.
    pub samples: &'static [&'static str],
    /// Parses a token.
    pub parse: fn(&str) -> Parsed<dyn CodecSpec>,
    /// Reads an exported codec.
    pub read: fn(&StoredNode) -> Decoded<Arc<dyn Codec>>,
}

impl CodecRow {
    /// A row.
    pub const fn new(
        tag: &'static str,
        grammar: &'static str,
        about: &'static str,
        samples: &'static [&'static str],
        parse: fn(&str) -> Parsed<dyn CodecSpec>,
        read: fn(&StoredNode) -> Decoded<Arc<dyn Codec>>,
    ) -> Self {
        Self { tag, grammar, about, samples, parse, read }
    }
}

/// How one kind of coarse quantizer is named, parsed and read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct QuantizerRow {
    /// The tag in files.
    pub tag: &'static str,
    /// The token's form.
    pub grammar: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Tokens to test and measure, of few lists.
    pub samples: &'static [&'static str],
    /// Parses a token.
    pub parse: fn(&str) -> Parsed<dyn QuantizerSpec>,
    /// Reads an exported quantizer.
    pub read: fn(&StoredNode, &Registry) -> Decoded<Arc<dyn Level1Quantizer>>,
}

impl QuantizerRow {
    /// A row.
    pub const fn new(
        tag: &'static str,
        grammar: &'static str,
        about: &'static str,
        samples: &'static [&'static str],
        parse: fn(&str) -> Parsed<dyn QuantizerSpec>,
        read: fn(&StoredNode, &Registry) -> Decoded<Arc<dyn Level1Quantizer>>,
    ) -> Self {
        Self { tag, grammar, about, samples, parse, read }
    }
}

/// How one kind of transform is named, parsed and read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TransformRow {
    /// The tag in files.
    pub tag: &'static str,
    /// The token's form.
    pub grammar: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Tokens to test and measure.
    pub samples: &'static [&'static str],
    /// Parses a token.
    pub parse: fn(&str) -> Parsed<dyn TransformSpec>,
    /// Reads an exported transform.
    pub read: fn(&StoredNode) -> Decoded<Arc<dyn Transform>>,
}

impl TransformRow {
    /// A row.
    pub const fn new(
        tag: &'static str,
        grammar: &'static str,
        about: &'static str,
        samples: &'static [&'static str],
        parse: fn(&str) -> Parsed<dyn TransformSpec>,
        read: fn(&StoredNode) -> Decoded<Arc<dyn Transform>>,
    ) -> Self {
        Self { tag, grammar, about, samples, parse, read }
    }
}

/// An index around an index, as a factory string names it. Displayed as its token.
pub trait WrapperSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// Wraps an empty index.
    ///
    /// # Errors
    /// [`BuildError`] if it cannot live around that one.
    fn wrap(&self, inner: Box<dyn Index>) -> Result<Box<dyn Index>, BuildError>;
}

/// Where a wrapper's token may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before or after what it wraps: `IDMap,Flat` and `Flat,IDMap`.
    Both,
    /// After what it wraps: `Flat,RFlat`.
    After,
}

/// How one kind of wrapper is named, parsed and read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WrapperRow {
    /// The tag in files.
    pub tag: &'static str,
    /// The token's form.
    pub grammar: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Tokens to test and measure.
    pub samples: &'static [&'static str],
    /// How loosely the token binds, below [`SpecText::TRANSFORM`](crate::SpecText::TRANSFORM): of several tokens that could be outermost, the one with the lowest number is. (Faiss tries
    /// `IDMap2`, then `IDMap`, then `RFlat`, then transforms.)
    pub level: u8,
    /// Where the token may stand.
    pub side: Side,
    /// Parses a token.
    pub parse: fn(&str) -> Parsed<dyn WrapperSpec>,
    /// Reads an exported wrapper, its insides with the registry.
    pub read: fn(&StoredNode, &Registry) -> Decoded<Box<dyn Index>>,
}

impl WrapperRow {
    /// A row.
    #[allow(clippy::too_many_arguments, reason = "a row is its columns")]
    pub const fn new(
        tag: &'static str,
        grammar: &'static str,
        about: &'static str,
        samples: &'static [&'static str],
        level: u8,
        side: Side,
        parse: fn(&str) -> Parsed<dyn WrapperSpec>,
        read: fn(&StoredNode, &Registry) -> Decoded<Box<dyn Index>>,
    ) -> Self {
        Self { tag, grammar, about, samples, level, side, parse, read }
    }
}

/// Makes that many empty lists of codes that lie as the layout says.
pub type CreateLists = fn(usize, &CodeLayout) -> Result<Box<dyn InvertedLists>, StoreError>;

/// How one kind of store is made and read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StoreRow {
    /// The tag in files.
    pub tag: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Makes empty lists; an error if that needs more than the row knows.
    pub create: CreateLists,
    /// Reads exported lists of codes that lie as the layout says.
    pub read: fn(&StoredNode, &CodeLayout) -> Decoded<Box<dyn InvertedLists>>,
}

impl StoreRow {
    /// A row.
    pub const fn new(
        tag: &'static str,
        about: &'static str,
        create: CreateLists,
        read: fn(&StoredNode, &CodeLayout) -> Decoded<Box<dyn InvertedLists>>,
    ) -> Self {
        Self { tag, about, create, read }
    }
}

impl StoreSpec for StoreRow {
    fn tag(&self) -> &str {
        self.tag
    }

    fn create(&self, nlist: usize, layout: &CodeLayout) -> Result<Box<dyn InvertedLists>, StoreError> {
        (self.create)(nlist, layout)
    }
}

/// How one kind of index that the factory composes itself (an engine) is read.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct IndexRow {
    /// The tag in files.
    pub tag: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Reads an exported index, its components with the registry.
    pub read: fn(&StoredNode, &Registry) -> Decoded<Box<dyn Index>>,
}

impl IndexRow {
    /// A row.
    pub const fn new(
        tag: &'static str,
        about: &'static str,
        read: fn(&StoredNode, &Registry) -> Decoded<Box<dyn Index>>,
    ) -> Self {
        Self { tag, about, read }
    }
}

/// The kinds there are.
///
/// ```
/// use ivf_core::Registry;
/// let empty = Registry::new();
/// assert!(empty.codecs().is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Registry {
    codecs: Vec<CodecRow>,
    quantizers: Vec<QuantizerRow>,
    transforms: Vec<TransformRow>,
    wrappers: Vec<WrapperRow>,
    stores: Vec<StoreRow>,
    indexes: Vec<IndexRow>,
}

macro_rules! tables {
    ($($row:ty, $add:ident, $table:ident, $what:literal;)*) => {$(
        #[doc = concat!("Adds rows of ", $what, "s; returns the registry.")]
        ///
        /// # Panics
        /// If a tag is there already: two kinds of one name would read each other's files.
        #[must_use]
        pub fn $add(mut self, rows: &[$row]) -> Self {
            for row in rows {
                assert!(self.$table.iter().all(|known| known.tag != row.tag), "two kinds of {} '{}'", $what, row.tag);
                self.$table.push(*row);
            }
            self
        }

        #[doc = concat!("The rows of ", $what, "s.")]
        pub fn $table(&self) -> &[$row] {
            &self.$table
        }
    )*};
}

macro_rules! by_tag {
    ($table:expr, $what:literal, $tag:expr) => {
        $table.iter().find(|row| row.tag == $tag).ok_or_else(|| DecodeError::UnknownTag {
            what: $what,
            tag: $tag.to_owned(),
            known: $table.iter().map(|row| row.tag).collect::<Vec<_>>().join(", "),
        })
    };
}

impl Registry {
    /// A registry that knows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    tables! {
        CodecRow, with_codecs, codecs, "codec";
        QuantizerRow, with_quantizers, quantizers, "quantizer";
        TransformRow, with_transforms, transforms, "transform";
        WrapperRow, with_wrappers, wrappers, "wrapper";
        StoreRow, with_stores, stores, "store";
        IndexRow, with_indexes, indexes, "index";
    }

    /// The codec of an exported node.
    ///
    /// # Errors
    /// [`DecodeError::UnknownTag`], or what the row's reader says; so for the other `read_*`.
    pub fn read_codec(&self, node: &StoredNode) -> Result<Arc<dyn Codec>, DecodeError> {
        (by_tag!(self.codecs, "codec", node.tag)?.read)(node)
    }

    /// The quantizer of an exported node.
    ///
    /// # Errors
    /// As [`read_codec`](Self::read_codec).
    pub fn read_quantizer(&self, node: &StoredNode) -> Result<Arc<dyn Level1Quantizer>, DecodeError> {
        (by_tag!(self.quantizers, "quantizer", node.tag)?.read)(node, self)
    }

    /// The transform of an exported node.
    ///
    /// # Errors
    /// As [`read_codec`](Self::read_codec).
    pub fn read_transform(&self, node: &StoredNode) -> Result<Arc<dyn Transform>, DecodeError> {
        (by_tag!(self.transforms, "transform", node.tag)?.read)(node)
    }

    /// The lists of an exported node.
    ///
    /// # Errors
    /// As [`read_codec`](Self::read_codec).
    pub fn read_lists(&self, node: &StoredNode, layout: &CodeLayout) -> Result<Box<dyn InvertedLists>, DecodeError> {
        (by_tag!(self.stores, "store", node.tag)?.read)(node, layout)
    }

    /// What makes empty stores of the kind with the tag.
    ///
    /// # Errors
    /// [`DecodeError::UnknownTag`].
    pub fn store_spec(&self, tag: &str) -> Result<Arc<dyn StoreSpec>, DecodeError> {
        Ok(Arc::new(*by_tag!(self.stores, "store", tag)?))
    }

    /// The index of an exported node: a wrapper's or an engine's.
    ///
    /// # Errors
    /// As [`read_codec`](Self::read_codec).
    pub fn read_index(&self, node: &StoredNode) -> Result<Box<dyn Index>, DecodeError> {
        match self.wrappers.iter().find(|row| row.tag == node.tag) {
            Some(row) => (row.read)(node, self),
            None => (by_tag!(self.indexes, "index", node.tag)?.read)(node, self),
        }
    }

    /// The codec specification that a stored token names.
    ///
    /// # Errors
    /// [`DecodeError::Value`] if no row knows it.
    pub fn codec_spec(&self, tag: &str, token: &str) -> Result<Arc<dyn CodecSpec>, DecodeError> {
        known(tag, token, self.codecs.iter().find_map(|row| (row.parse)(token)))
    }

    /// The quantizer specification that a stored token names.
    ///
    /// # Errors
    /// [`DecodeError::Value`] if no row knows it.
    pub fn quantizer_spec(&self, tag: &str, token: &str) -> Result<Arc<dyn QuantizerSpec>, DecodeError> {
        known(tag, token, self.quantizers.iter().find_map(|row| (row.parse)(token)))
    }

    /// The transform specification that a stored token names.
    ///
    /// # Errors
    /// [`DecodeError::Value`] if no row knows it.
    pub fn transform_spec(&self, tag: &str, token: &str) -> Result<Arc<dyn TransformSpec>, DecodeError> {
        known(tag, token, self.transforms.iter().find_map(|row| (row.parse)(token)))
    }
}

fn known<T: ?Sized>(tag: &str, token: &str, parsed: Parsed<T>) -> Result<Arc<T>, DecodeError> {
    // It comes from a file: nothing of it may command a terminal, or fill one.
    let token: String = token.chars().take(60).flat_map(char::escape_debug).collect();
    match parsed {
        Some(Ok(spec)) => Ok(spec),
        Some(Err(error)) => Err(DecodeError::value(tag, format!("the stored token '{token}': {}", error.what))),
        None => Err(DecodeError::value(tag, format!("the stored token '{token}' is unknown"))),
    }
}
