//! The second step of parsing: finds the row of each token, and what is expected next.
//!
//! * [`Item`]: the first step's span of the text between two commas, not yet looked up.
//! * [`Token`]: an item that is not a group, cut into name and arguments; rows parse it.
//! * [`Claim`]: what the rows of one sort say of a token: not theirs, a value, or a fault.
//! * [`Word`]: a token at the start of an index, once a row of any sort has claimed it.

use crate::error::Fault;
use crate::items::Item;
use ivf_core::registry::{CodecRow, IndexSpec, Parsed, Side, Token, TokenError, WrapperSpec};
use ivf_core::transform::TransformSpec;
use ivf_core::{CodecSpec, QuantizerSpec, Registry};
use std::ops::Range;
use std::sync::Arc;

/// A wrapper, with its level and side from its row.
#[derive(Debug)]
pub(crate) struct Wrapper {
    pub(crate) spec: Arc<dyn WrapperSpec>,
    pub(crate) level: u8,
    pub(crate) side: Side,
}

/// A parsed token at the start of an index.
#[derive(Debug)]
pub(crate) enum Word<'i> {
    Wrapper(Wrapper),
    Transform(Arc<dyn TransformSpec>),
    Quantizer(Arc<dyn QuantizerSpec>),
    Codec(Arc<dyn CodecSpec>),
    /// A codec around the one after it.
    CodecOfCodec {
        codec: Arc<dyn CodecSpec>,
        inside: &'i Item,
    },
    /// An index with its own token, and what may follow.
    Index {
        index: Arc<dyn IndexSpec>,
        next: Expected,
    },
    /// An index with its own token, and the codec after it.
    IndexOfCodec {
        index: Arc<dyn IndexSpec>,
        codec: &'i Item,
    },
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// An index, or one more token before it.
    Start,
    /// The codec for the preceding coarse quantizer.
    Codec,
    /// The end, or a wrapper around the preceding index.
    After,
    /// The end, a wrapper, or the codec for the preceding index token.
    AfterIndex,
}

/// A list of items, and the index of the current one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'i> {
    pub(crate) items: &'i [Item],
    pub(crate) at: usize,
    /// The end of the list: a parenthesis, or the end of the string.
    pub(crate) closing: &'static str,
}

impl<'i> Cursor<'i> {
    pub(crate) fn before(&self) -> Option<&'i Item> {
        self.at.checked_sub(1).and_then(|at| self.items.get(at))
    }

    pub(crate) fn after(&self) -> &'i [Item] {
        self.items.get(self.at + 1..).unwrap_or_default()
    }
}

/// The tokens of a factory string, and the registry that parses them.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    pub(crate) input: &'a str,
    pub(crate) registry: &'a Registry,
    /// Whether faults include a suggestion.
    pub(crate) hints: bool,
}

/// Result of a row: `None` if the token does not belong to it.
pub(crate) type Claim<T> = Option<Result<T, Fault>>;

/// Defines methods that parse a sort of token with the first row that accepts it.
macro_rules! claims {
    ($($name:ident: $rows:ident => $spec:ty;)*) => {$(
        pub(crate) fn $name(&self, item: &Item) -> Claim<Arc<$spec>> {
            let token = self.token(item)?;
            let mut rows = self.registry.$rows().iter();
            rows.find_map(|row| self.claim(item, row.grammar, (row.parse)(&token, self.registry)))
        }
    )*};
}

impl<'a> Words<'a> {
    pub(crate) fn text(&self, item: &Item) -> &'a str {
        &self.input[item.span.clone()]
    }

    /// Returns the item as a token, or `None` for a group.
    pub(crate) fn token(&self, item: &Item) -> Option<Token<'a>> {
        if item.group.is_some() {
            return None;
        }
        Token::new(self.text(item)).ok()
    }

    claims! {
        codec: codecs => dyn CodecSpec;
        transform: transforms => dyn TransformSpec;
        quantizer: quantizers => dyn QuantizerSpec;
    }

    pub(crate) fn wrapper(&self, item: &Item) -> Claim<Wrapper> {
        let token = self.token(item)?;
        self.registry.wrappers().iter().find_map(|row| {
            let spec = self.claim(item, row.grammar, (row.parse)(&token, self.registry))?;
            Some(spec.map(|spec| Wrapper { spec, level: row.level, side: row.side }))
        })
    }

    /// Parses an index whose token stands after a coarse quantizer, in the place of a codec.
    pub(crate) fn index_of_lists(&self, item: &Item, quantizer: Arc<dyn QuantizerSpec>) -> Claim<Arc<dyn IndexSpec>> {
        let token = self.token(item)?.with_quantizer(Some(quantizer));
        let mut rows = self.registry.indexes().iter().filter(|row| row.takes_quantizer);
        rows.find_map(|row| self.claim(item, row.grammar, (row.parse)(&token, self.registry)))
    }

    /// Parses an index with its own token. Also returns whether its row takes a codec. If so, the
    /// row gets `codec`.
    pub(crate) fn index(&self, item: &Item, codec: Option<Arc<dyn CodecSpec>>) -> Claim<(Arc<dyn IndexSpec>, bool)> {
        let token = self.token(item)?;
        self.registry.indexes().iter().find_map(|row| {
            let token = token.clone().with_codec(codec.clone().filter(|_| row.takes_codec));
            let spec = self.claim(item, row.grammar, (row.parse)(&token, self.registry))?;
            Some(spec.map(|spec| (spec, row.takes_codec)))
        })
    }

    /// Parses the token at the start of an index, in Faiss's order: wrappers, transforms, coarse
    /// quantizers, codecs; and then indexes.
    pub(crate) fn start<'i>(&self, cursor: Cursor<'i>, item: &Item) -> Claim<Word<'i>> {
        self.wrapper(item)
            .filter(|wrapper| wrapper.as_ref().map_or(true, |wrapper| wrapper.side == Side::Both))
            .map(|wrapper| wrapper.map(Word::Wrapper))
            .or_else(|| self.transform(item).map(|transform| transform.map(Word::Transform)))
            .or_else(|| self.quantizer(item).map(|quantizer| quantizer.map(Word::Quantizer)))
            .or_else(|| self.codec_of_codec(cursor, item))
            .or_else(|| self.codec(item).map(|codec| codec.map(Word::Codec)))
            .or_else(|| self.start_of_index(cursor, item))
    }

    /// Parses a codec whose inner codec is the token after it, which may be followed by one in
    /// turn: `MinMax,SQ8`.
    fn codec_of_codec<'i>(&self, cursor: Cursor<'i>, item: &Item) -> Claim<Word<'i>> {
        let token = self.token(item).filter(|token| token.arguments().is_none())?;
        let inside = cursor.after().first()?;
        let takes = |row: &&CodecRow| row.takes_codec && (row.parse)(&token, self.registry).is_some();
        let row = self.registry.codecs().iter().find(takes)?;
        let given = match self.codec(inside)? {
            Ok(given) => given,
            Err(fault) => return Some(Err(fault)),
        };
        let codec = self.claim(item, row.grammar, (row.parse)(&token.with_codec(Some(given)), self.registry))?;
        Some(codec.map(|codec| Word::CodecOfCodec { codec, inside }))
    }

    /// Parses an index with its own token, and the codec after it if there is one.
    fn start_of_index<'i>(&self, cursor: Cursor<'i>, item: &Item) -> Claim<Word<'i>> {
        let second = cursor.after().first();
        // The row is called once, with the codec: its argument may hold indexes that hold
        // arguments.
        let codec = second.and_then(|second| Some((second, self.codec(second)?)));
        let given = codec.as_ref().and_then(|(_, codec)| codec.as_ref().ok().cloned());
        let (index, takes_codec) = match self.index(item, given)? {
            Ok(claimed) => claimed,
            Err(fault) => return Some(Err(fault)),
        };
        Some(match codec {
            Some((codec, Ok(_))) if takes_codec => Ok(Word::IndexOfCodec { index, codec }),
            Some((_, Err(fault))) if takes_codec => Err(fault),
            None if takes_codec => Ok(Word::Index { index, next: Expected::AfterIndex }),
            _ => Ok(Word::Index { index, next: Expected::After }),
        })
    }

    /// Converts a row's result. A fault gets its span in the whole string.
    fn claim<T: ?Sized>(&self, item: &Item, grammar: &'static str, parsed: Parsed<T>) -> Claim<Arc<T>> {
        let at_its_span = |error: TokenError| {
            let span = self.within(item, &error.span);
            // The grammar of the whole token does not help with a fault inside its arguments.
            let arguments = self.text(item).find('(').map(|open| item.span.start + open + 1..item.span.end - 1);
            let inside = |arguments: Range<usize>| {
                arguments.start <= span.start && span.end <= arguments.end && arguments != span
            };
            let expected = if arguments.is_some_and(inside) { vec![] } else { vec![grammar] };
            Fault::new(span, error.what).expect(expected)
        };
        parsed.map(|spec| spec.map_err(at_its_span))
    }

    /// Converts a span in the token to a span in the string. It is clipped to the token, because
    /// the row may be third-party code.
    fn within(&self, item: &Item, span: &Range<usize>) -> Range<usize> {
        let at = |offset: usize| item.span.start.saturating_add(offset).min(item.span.end);
        let start = self.input.floor_char_boundary(at(span.start));
        start..self.input.ceil_char_boundary(at(span.end)).max(start)
    }
}
