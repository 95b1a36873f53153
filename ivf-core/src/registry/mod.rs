//! One row makes a kind.
//!
//! Everything the library knows about a kind of codec, quantizer, transform, wrapper, store or
//! index, beyond the traits it implements, stands in one row beside it: its factory token, how to
//! parse it, the tag it has in files, how to read it, and samples that tests, docs and benchmarks
//! run over. Each crate exports its rows in a const slice; `ivf-factory` fills the default
//! [`Registry`] from them; a user's crate adds its own.
//!
//! A row is made by its builder, so that a column more breaks nobody:
//!
//! ```
//! use ivf_core::registry::StoreRow;
//! use ivf_core::ArrayLists;
//! const ROW: StoreRow = StoreRow::new(
//!     "mine",
//!     |nlist, layout| Ok(Box::new(ArrayLists::new(nlist, layout.clone()))),
//!     |node, layout| Ok(Box::new(ArrayLists::read(node, layout)?)),
//! )
//! .about("lists of my own");
//! assert_eq!(ROW.tag, "mine");
//! ```
//!
//! Tokens nest: [`Token`] gives a row the arguments of its token, and the [`Registry`] parses them,
//! as a codec, a quantizer, a transform or a whole index.

mod token;

pub use token::{Token, TokenError};

use crate::codec::{Codec, CodecSpec};
use crate::error::{BuildError, DecodeError, StoreError};
use crate::index::Index;
use crate::layout::CodeLayout;
use crate::lists::{InvertedLists, StoreSpec};
use crate::metric::Metric;
use crate::node::StoredNode;
use crate::quantizer::{Level1Quantizer, QuantizerSpec};
use crate::transform::{Transform, TransformSpec};
use std::fmt;
use std::sync::Arc;

/// The answer of a row to a token: `None` if the token is not its own.
pub type Parsed<T> = Option<Result<Arc<T>, TokenError>>;

/// What a reader of exported nodes answers.
pub type Decoded<T> = Result<T, DecodeError>;

/// Parses a token, whose arguments the registry knows.
pub type ParseToken<T> = fn(&Token<'_>, &Registry) -> Parsed<T>;

/// Reads an exported node, whose components the registry reads.
pub type ReadNode<T> = fn(&StoredNode, &Registry) -> Decoded<T>;

/// An index as a factory string, or a part of one, names it. Displayed as that string.
pub trait IndexSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// The index for vectors of `dim`: untrained, empty.
    ///
    /// # Errors
    /// [`BuildError`] if a part does not work with the dimension, the metric or what it wraps.
    fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError>;
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

macro_rules! rows {
    ($($(#[$doc:meta])* $row:ident: $spec:ty => $read:ty { $($(#[$column_doc:meta])* $column:ident: $column_type:ty = $default:expr,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        #[non_exhaustive]
        pub struct $row {
            /// The tag in files.
            pub tag: &'static str,
            /// The token's form, for docs and hints: `PQ<M>[x<bits>]`. Empty for a kind without a
            /// token.
            pub grammar: &'static str,
            /// What it is, in a sentence.
            pub about: &'static str,
            /// Tokens to test and measure, for vectors whose dimension 16 divides.
            pub samples: &'static [&'static str],
            $($(#[$column_doc])* pub $column: $column_type,)*
            /// Parses a token.
            pub parse: ParseToken<$spec>,
            /// Reads an exported node.
            pub read: ReadNode<$read>,
        }

        impl $row {
            /// A row of the kind with this tag in files and this form of token.
            pub const fn new(
                tag: &'static str,
                grammar: &'static str,
                parse: ParseToken<$spec>,
                read: ReadNode<$read>,
            ) -> Self {
                Self { tag, grammar, about: "", samples: &[], $($column: $default,)* parse, read }
            }

            /// What the kind is, in a sentence.
            #[must_use]
            pub const fn about(self, about: &'static str) -> Self {
                Self { about, ..self }
            }

            /// Tokens to test and measure, for vectors whose dimension 16 divides.
            #[must_use]
            pub const fn samples(self, samples: &'static [&'static str]) -> Self {
                Self { samples, ..self }
            }

            $($(#[$column_doc])*
            #[must_use]
            pub const fn $column(self, $column: $column_type) -> Self {
                Self { $column, ..self }
            })*
        }
    )*};
}

rows! {
    /// How one kind of codec is named, parsed and read.
    CodecRow: dyn CodecSpec => Arc<dyn Codec> {}
    /// How one kind of coarse quantizer is named, parsed and read. Samples have few lists.
    QuantizerRow: dyn QuantizerSpec => Arc<dyn Level1Quantizer> {}
    /// How one kind of transform is named, parsed and read.
    TransformRow: dyn TransformSpec => Arc<dyn Transform> {}
    /// How one kind of wrapper is named, parsed and read.
    WrapperRow: dyn WrapperSpec => Box<dyn Index> {
        /// How loosely the token binds, below [`SpecText::TRANSFORM`](crate::SpecText::TRANSFORM):
        /// of several tokens that could be outermost, the one with the lowest number is. (Faiss
        /// tries `IDMap2`, then `IDMap`, then `RFlat`, then transforms.)
        level: u8 = 128,
        /// Where the token may stand.
        side: Side = Side::Both,
    }
    /// How one kind of index is read and, if it has a token of its own (a graph: `HNSW32`), parsed.
    IndexRow: dyn IndexSpec => Box<dyn Index> {
        /// Whether a codec may follow the token after a comma (`HNSW32,SQ8`): [`Token::codec`]
        /// then.
        takes_codec: bool = false,
    }
}

impl IndexRow {
    /// A row of an index without a token: the factory composes it, or somebody makes it by hand.
    pub const fn without_token(tag: &'static str, read: ReadNode<Box<dyn Index>>) -> Self {
        Self::new(tag, "", |_, _| None, read)
    }
}

/// Makes that many empty lists of codes that lie as the layout says.
pub type CreateLists = fn(usize, &CodeLayout) -> Result<Box<dyn InvertedLists>, StoreError>;

/// Reads exported lists of codes that lie as the layout says.
pub type ReadLists = fn(&StoredNode, &CodeLayout) -> Decoded<Box<dyn InvertedLists>>;

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
    /// Reads exported lists.
    pub read: ReadLists,
}

impl StoreRow {
    /// A row.
    pub const fn new(tag: &'static str, create: CreateLists, read: ReadLists) -> Self {
        Self { tag, about: "", create, read }
    }

    /// What the store is, in a sentence.
    #[must_use]
    pub const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
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

/// Parses a whole factory string with the kinds of a registry.
pub type ParseIndex = fn(&str, &Registry) -> Result<Arc<dyn IndexSpec>, TokenError>;

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
    parse_index: Option<ParseIndex>,
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

/// Reading and parsing components, by tag and by token.
macro_rules! components {
    ($($table:ident, $what:literal, $spec:ty, $value:ty, $read:ident, $parse:ident, $stored:ident;)*) => {$(
        #[doc = concat!("The ", $what, " of an exported node.")]
        ///
        /// # Errors
        /// [`DecodeError::UnknownTag`], or what the row's reader says.
        pub fn $read(&self, node: &StoredNode) -> Result<$value, DecodeError> {
            (by_tag!(self.$table, $what, node.tag)?.read)(node, self)
        }

        #[doc = concat!("The ", $what, " that a token names: the answer of the first row that knows it.")]
        pub fn $parse(&self, token: &Token<'_>) -> Parsed<$spec> {
            self.$table.iter().find_map(|row| (row.parse)(token, self))
        }

        #[doc = concat!("The ", $what, " that a stored token names.")]
        ///
        /// # Errors
        /// [`DecodeError::Value`] if no row knows it.
        pub fn $stored(&self, tag: &str, token: &str) -> Result<Arc<$spec>, DecodeError> {
            known(tag, token, Token::new(token).and_then(|token| match self.$parse(&token) {
                Some(parsed) => parsed.map(Some),
                None => Ok(None),
            }))
        }
    )*};
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

    components! {
        codecs, "codec", dyn CodecSpec, Arc<dyn Codec>, read_codec, parse_codec, codec_spec;
        quantizers, "quantizer", dyn QuantizerSpec, Arc<dyn Level1Quantizer>, read_quantizer, parse_quantizer, quantizer_spec;
        transforms, "transform", dyn TransformSpec, Arc<dyn Transform>, read_transform, parse_transform, transform_spec;
    }

    /// Sets who parses whole factory strings; the factory's registry comes with one.
    #[must_use]
    pub fn with_index_parser(self, parse_index: ParseIndex) -> Self {
        Self { parse_index: Some(parse_index), ..self }
    }

    /// The index that a factory string names: an argument of a token that takes any index.
    ///
    /// # Errors
    /// [`TokenError`], with the faulty bytes of the string.
    pub fn parse_index(&self, factory: &str) -> Result<Arc<dyn IndexSpec>, TokenError> {
        match self.parse_index {
            Some(parse) => parse(factory, self),
            None => Err(TokenError::new(0..factory.len(), "this registry parses no factory strings")),
        }
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
}

fn known<T: ?Sized>(tag: &str, token: &str, parsed: Result<Option<Arc<T>>, TokenError>) -> Result<Arc<T>, DecodeError> {
    // It comes from a file: nothing of it may command a terminal, or fill one.
    let token: String = token.chars().take(60).flat_map(char::escape_debug).collect();
    match parsed {
        Ok(Some(spec)) => Ok(spec),
        Err(error) => Err(DecodeError::value(tag, format!("the stored token '{token}': {}", error.what))),
        Ok(None) => Err(DecodeError::value(tag, format!("the stored token '{token}' is unknown"))),
    }
}
