//! The registry: one row describes one kind of component.
//!
//! A kind of codec, quantizer, transform, wrapper, store or index is described by the traits that
//! it implements and by one row, which is declared next to it. The row has the factory token and
//! its parser, the tag in files and the reader, and samples for tests, docs and benchmarks. Each
//! crate exports its rows in a const slice. `ivf-factory` fills the default [`Registry`] from these
//! slices, and a user's crate adds its own rows.
//!
//! Rows are built with a builder, so that a new column does not break existing code:
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
//! Tokens nest. [`Token`] provides the arguments of a token, and the [`Registry`] parses them as a
//! codec, a quantizer, a transform or a whole index.

mod token;

pub use crate::lists::{CreateLists, ReadLists, StoreRow};
pub use token::{Token, TokenError};

use crate::codec::{Codec, CodecSpec};
use crate::error::{BuildError, DecodeError};
use crate::index::Index;
use crate::layout::CodeLayout;
use crate::lists::{InvertedLists, StoreSpec};
use crate::metric::Metric;
use crate::node::StoredNode;
use crate::quantizer::{Level1Quantizer, QuantizerSpec};
use crate::transform::{Transform, TransformSpec};
use std::fmt;
use std::sync::Arc;

/// The result of parsing a token with a row: `None` if the token is not one of the row's kind.
pub type Parsed<T> = Option<Result<Arc<T>, TokenError>>;

/// The result of reading an exported node.
pub type Decoded<T> = Result<T, DecodeError>;

/// A function that parses a token. It parses the arguments with the registry.
pub type ParseToken<T> = fn(&Token<'_>, &Registry) -> Parsed<T>;

/// A function that reads an exported node. It reads the child components with the registry.
pub type ReadNode<T> = fn(&StoredNode, &Registry) -> Decoded<T>;

/// The specification of an index, parsed from a factory string or a part of one. Displayed as that
/// string.
///
/// ```
/// use ivf_core::Metric;
/// let registry = ivf_factory::default_registry();
/// let spec = registry.parse_index("IVF16,Flat").map_err(|error| error.what)?;
/// let index = spec.build(8, Metric::L2)?;
/// assert_eq!((index.spec(), index.dim(), index.is_trained()), (spec.to_string(), 8, false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait IndexSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// Builds the untrained, empty index for vectors of dimension `dim`.
    ///
    /// # Errors
    /// [`BuildError`] if a component does not support the dimension, the metric or the index that
    /// it wraps.
    fn build(&self, dim: usize, metric: Metric) -> Result<Box<dyn Index>, BuildError>;
}

/// The specification of a wrapper: an index around another index. Displayed as its token.
///
/// ```
/// use ivf_core::{Metric, registry::Token};
/// let registry = ivf_factory::default_registry();
/// let token = Token::new("IDMap").map_err(|error| error.what)?;
/// let parsed = registry.wrappers().iter().find_map(|row| (row.parse)(&token, registry));
/// let spec = parsed.ok_or("no row has this token")?.map_err(|error| error.what)?;
/// let index = spec.wrap(ivf_factory::build("Flat", 2, Metric::L2)?)?;
/// assert_eq!(index.spec(), "IDMap,Flat");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait WrapperSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// Wraps an empty index.
    ///
    /// # Errors
    /// [`BuildError`] if the wrapper does not support that index.
    fn wrap(&self, inner: Box<dyn Index>) -> Result<Box<dyn Index>, BuildError>;
}

/// The position of a wrapper's token relative to the wrapped index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before or after the wrapped index: `IDMap,Flat` and `Flat,IDMap`.
    Both,
    /// After the wrapped index: `Flat,RFlat`.
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
            /// The syntax of the token, for docs and hints: `PQ<M>[x<bits>]`. Empty for a kind
            /// without a token.
            pub grammar: &'static str,
            /// A one-sentence description.
            pub about: &'static str,
            /// Sample tokens for tests and benchmarks. They support every dimension that is a
            /// multiple of 16.
            pub samples: &'static [&'static str],
            $($(#[$column_doc])* pub $column: $column_type,)*
            /// The parser of the token.
            pub parse: ParseToken<$spec>,
            /// The reader of an exported node.
            pub read: ReadNode<$read>,
        }

        impl $row {
            /// Creates a row from the tag in files, the syntax of the token, the parser and the
            /// reader.
            pub const fn new(
                tag: &'static str,
                grammar: &'static str,
                parse: ParseToken<$spec>,
                read: ReadNode<$read>,
            ) -> Self {
                Self { tag, grammar, about: "", samples: &[], $($column: $default,)* parse, read }
            }

            /// Sets the one-sentence description.
            #[must_use]
            pub const fn about(self, about: &'static str) -> Self {
                Self { about, ..self }
            }

            /// Sets the sample tokens for tests and benchmarks. They must support every dimension
            /// that is a multiple of 16.
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
    /// The row of one kind of codec: its names, parser and reader.
    CodecRow: dyn CodecSpec => Arc<dyn Codec> {
        /// Whether the codec inside may also follow the token of a standalone index after a comma
        /// (`MinMax,SQ8` for `MinMax(SQ8)`). [`Token::codec`] returns it.
        takes_codec: bool = false,
    }
    /// The row of one kind of coarse quantizer: its names, parser and reader. Its samples have few
    /// lists.
    QuantizerRow: dyn QuantizerSpec => Arc<dyn Level1Quantizer> {}
    /// The row of one kind of transform: its names, parser and reader.
    TransformRow: dyn TransformSpec => Arc<dyn Transform> {}
    /// The row of one kind of wrapper: its names, parser and reader.
    WrapperRow: dyn WrapperSpec => Box<dyn Index> {
        /// The binding level of the token, below
        /// [`SpecText::TRANSFORM`](crate::SpecText::TRANSFORM). If several tokens could be
        /// outermost, the one with the lowest level is. (Faiss tries `IDMap2`, then `IDMap`, then
        /// `RFlat`, then transforms.)
        level: u8 = 128,
        /// The position of the token relative to the wrapped index.
        side: Side = Side::Both,
    }
    /// The row of one kind of index: its tag and reader, and the parser if it has a token of its
    /// own (a graph: `HNSW32`).
    IndexRow: dyn IndexSpec => Box<dyn Index> {
        /// Whether a codec may follow the token after a comma (`HNSW32,SQ8`). [`Token::codec`]
        /// returns it.
        takes_codec: bool = false,
        /// Whether the token stands after a coarse quantizer, in the place of a codec
        /// (`IVF64,FlatDedup`). [`Token::quantizer`] returns the quantizer. The parser must claim
        /// the token without one too, with an error.
        takes_quantizer: bool = false,
    }
}

impl IndexRow {
    /// Creates the row of an index without a token. The factory composes such an index, or a caller
    /// constructs it directly.
    ///
    /// ```
    /// use ivf_core::registry::IndexRow;
    /// use ivf_core::{Metric, Node};
    /// /// An index in a box, under a tag of its own.
    /// const BOXED: IndexRow =
    ///     IndexRow::without_token("boxed", |node, registry| registry.read_index(node.child("index")?));
    /// let registry = ivf_factory::default_registry().clone().with_indexes(&[BOXED]);
    /// let index = ivf_factory::build("Flat", 2, Metric::L2)?;
    /// let mut node = Node::new("boxed", 0);
    /// node.push_child("index", index.export()?);
    /// assert_eq!(registry.read_index(&node.to_stored())?.spec(), "Flat");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn without_token(tag: &'static str, read: ReadNode<Box<dyn Index>>) -> Self {
        Self::new(tag, "", |_, _| None, read)
    }
}

/// A function that parses a whole factory string with the kinds of a registry.
pub type ParseIndex = fn(&str, &Registry) -> Result<Arc<dyn IndexSpec>, TokenError>;

/// The set of all known kinds of components.
///
/// A registry parses tokens and reads nodes by its rows. A new one has none:
///
/// ```
/// use ivf_core::error::DecodeError;
/// use ivf_core::registry::CodecRow;
/// use ivf_core::{ArrayLists, Codec, Metric, Registry};
/// use ivf_cpu::codec::{FlatCodec, FlatSpec};
/// use std::sync::Arc;
/// /// A second token for the codec `Flat`. Files have the tag and the token of `Flat`.
/// const EXACT: CodecRow = CodecRow::new(
///     "exact",
///     "Exact",
///     |token, _| (token.plain()? == "Exact").then(|| Ok(Arc::new(FlatSpec) as _)),
///     |node, _| Err(DecodeError::value(&node.tag, "no file has this tag")),
/// )
/// .about("full vectors")
/// .samples(&["Exact"]);
/// assert!(Registry::new().codec_spec("example", "Flat").is_err());
/// let registry = Registry::new().with_codecs(ivf_cpu::CODECS).with_codecs(&[EXACT]).with_stores(&[ArrayLists::ROW]);
/// assert_eq!(registry.codec_spec("example", EXACT.samples[0])?.to_string(), "Flat");
/// assert!(registry.codec_spec("example", "Exakt").is_err());
///
/// let codec = registry.read_codec(&FlatCodec::new(2, Metric::L2).export().to_stored())?;
/// let lists = registry.store_spec("array")?.create(4, codec.layout())?;
/// let lists = registry.read_lists(&lists.export()?.to_stored(), codec.layout())?;
/// assert_eq!((codec.dim(), lists.nlist()), (2, 4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
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
        #[doc = concat!("Returns the registry with ", $what, " rows added.")]
        ///
        /// # Panics
        /// If the registry already has one of the tags, since two kinds with the same tag would
        /// read each other's files.
        #[must_use]
        pub fn $add(mut self, rows: &[$row]) -> Self {
            for row in rows {
                assert!(self.$table.iter().all(|known| known.tag != row.tag), "duplicate {} tag '{}'", $what, row.tag);
                self.$table.push(*row);
            }
            self
        }

        #[doc = concat!("Returns the ", $what, " rows.")]
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

/// Generates the methods that read components by tag and parse them by token.
macro_rules! components {
    ($($table:ident, $what:literal, $spec:ty, $value:ty, $read:ident, $parse:ident, $stored:ident;)*) => {$(
        #[doc = concat!("Reads the ", $what, " of an exported node.")]
        ///
        /// # Errors
        /// [`DecodeError::UnknownTag`] if no row has the tag, or the error of the row's reader.
        pub fn $read(&self, node: &StoredNode) -> Result<$value, DecodeError> {
            (by_tag!(self.$table, $what, node.tag)?.read)(node, self)
        }

        #[doc = concat!("Parses a token as a ", $what, ", with the first row that accepts it.")]
        pub fn $parse(&self, token: &Token<'_>) -> Parsed<$spec> {
            self.$table.iter().find_map(|row| (row.parse)(token, self))
        }

        #[doc = concat!("Parses a stored token as a ", $what, ". The errors contain `tag`.")]
        ///
        /// # Errors
        /// [`DecodeError::Value`] if no row accepts the token, or the token is malformed.
        pub fn $stored(&self, tag: &str, token: &str) -> Result<Arc<$spec>, DecodeError> {
            known(tag, token, Token::new(token).and_then(|token| match self.$parse(&token) {
                Some(parsed) => parsed.map(Some),
                None => Ok(None),
            }))
        }
    )*};
}

impl Registry {
    /// Creates an empty registry.
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

    /// Sets the parser of whole factory strings. The registry of `ivf-factory` has one.
    ///
    /// ```
    /// use ivf_core::Registry;
    /// let registry = Registry::new().with_codecs(ivf_cpu::CODECS);
    /// assert!(registry.parse_index("Flat").is_err());
    /// let registry = registry.with_index_parser(ivf_factory::parse_index);
    /// assert!(registry.parse_index("Flat").is_ok());
    /// assert!(registry.parse_index("PQ8").is_err()); // a codec of another crate
    /// ```
    #[must_use]
    pub fn with_index_parser(self, parse_index: ParseIndex) -> Self {
        Self { parse_index: Some(parse_index), ..self }
    }

    /// Parses a factory string as the specification of an index. Used for arguments of tokens that
    /// accept any index.
    ///
    /// # Errors
    /// [`TokenError`] with the range of the faulty bytes in the string.
    pub fn parse_index(&self, factory: &str) -> Result<Arc<dyn IndexSpec>, TokenError> {
        match self.parse_index {
            Some(parse) => parse(factory, self),
            None => Err(TokenError::new(0..factory.len(), "this registry parses no factory strings")),
        }
    }

    /// Reads the lists of an exported node.
    ///
    /// # Errors
    /// As for [`read_codec`](Self::read_codec).
    pub fn read_lists(&self, node: &StoredNode, layout: &CodeLayout) -> Result<Box<dyn InvertedLists>, DecodeError> {
        (by_tag!(self.stores, "store", node.tag)?.read)(node, layout)
    }

    /// Returns the specification that creates empty stores of the kind with this tag.
    ///
    /// # Errors
    /// [`DecodeError::UnknownTag`] if no row has the tag.
    pub fn store_spec(&self, tag: &str) -> Result<Arc<dyn StoreSpec>, DecodeError> {
        Ok(Arc::new(*by_tag!(self.stores, "store", tag)?))
    }

    /// Reads the index of an exported node, which may be a wrapper or an index without an inner
    /// one.
    ///
    /// ```
    /// use ivf_core::{Metric, Registry};
    /// let stored = ivf_factory::build("IDMap,Flat", 2, Metric::L2)?.export()?.to_stored();
    /// assert_eq!(ivf_factory::default_registry().read_index(&stored)?.spec(), "IDMap,Flat");
    /// assert!(Registry::new().read_index(&stored).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`read_codec`](Self::read_codec).
    pub fn read_index(&self, node: &StoredNode) -> Result<Box<dyn Index>, DecodeError> {
        match self.wrappers.iter().find(|row| row.tag == node.tag) {
            Some(row) => (row.read)(node, self),
            None => (by_tag!(self.indexes, "index", node.tag)?.read)(node, self),
        }
    }
}

fn known<T: ?Sized>(tag: &str, token: &str, parsed: Result<Option<Arc<T>>, TokenError>) -> Result<Arc<T>, DecodeError> {
    // The token comes from a file. Escape it and cut it, so that an error message contains no
    // terminal control sequences and stays short.
    let token: String = token.chars().take(60).flat_map(char::escape_debug).collect();
    match parsed {
        Ok(Some(spec)) => Ok(spec),
        Err(error) => Err(DecodeError::value(tag, format!("the stored token '{token}': {}", error.what))),
        Ok(None) => Err(DecodeError::value(tag, format!("the stored token '{token}' is unknown"))),
    }
}
