//! The third step of parsing: builds a tree from the items.
//!
//! The grammar of an index, from left to right:
//!
//! ```text
//! index := (wrapper , | transform ,)*  base  (, wrapper)*
//! base  := quantizer , (codec | lists-token) | index-token [, codec] | [outer-codec ,] codec | ( index )
//! ```
//!
//! The nesting of the tokens around the base follows Faiss. Of the tokens at the two ends, the
//! wrapper of the lower level is the outermost. At a tie, it is the one after the base. A transform
//! is the outermost only when there is no wrapper at either end.

use crate::error::Fault;
use crate::items::{CLOSING, Item, MAX_DEPTH, MAX_LEN, depth, split};
use crate::tree::SpecTree;
use crate::words::{Cursor, Expected, Word, Words, Wrapper};
use ivf_core::Registry;
use ivf_core::transform::TransformSpec;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Parser of one factory string.
#[derive(Debug)]
pub(crate) struct Parser<'a> {
    words: Words<'a>,
    /// Number of wrappers and transforms read so far. Each makes the tree one level deeper.
    affixes: usize,
}

/// A tree, and the spans of its tokens in the string: first those of the base, then outwards.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) tree: SpecTree,
    pub(crate) spans: Vec<Range<usize>>,
}

/// A token around a base.
struct Affix {
    kind: AffixKind,
    span: Range<usize>,
}

enum AffixKind {
    Wrapper(Wrapper),
    Transform(Arc<dyn TransformSpec>),
}

impl<'a> Parser<'a> {
    /// Parses a factory string.
    pub(crate) fn parse(input: &'a str, registry: &'a Registry) -> Result<Reading, Fault> {
        Self::read(Words { input, registry, hints: true }, "the end")
    }

    /// Parses the argument of a token. Its faults have no suggestions, which would take time for
    /// each level of arguments.
    pub(crate) fn parse_argument(input: &'a str, registry: &'a Registry) -> Result<Reading, Fault> {
        Self::read(Words { input, registry, hints: false }, CLOSING)
    }

    fn read(words: Words<'a>, closing: &'static str) -> Result<Reading, Fault> {
        let input = words.input;
        let items = split(input)?;
        let reading = Self { words, affixes: 0 }.index(&items, closing)?;
        // The canonical string must parse as well. It may need parentheses where the order of the
        // tokens made them unnecessary, at most one pair per comma.
        if input.bytes().filter(|byte| matches!(byte, b',' | b'(')).count() > MAX_DEPTH {
            let canonical = reading.tree.to_string();
            let excess = match canonical.len() {
                _ if depth(&canonical) > MAX_DEPTH => Some(format!("more than {MAX_DEPTH} nested parentheses")),
                len if len > MAX_LEN => Some(format!("{len} bytes, more than {MAX_LEN}")),
                _ => None,
            };
            if let Some(excess) = excess {
                return Err(Fault::new(0..input.len(), format!("in canonical form, it has {excess}")));
            }
        }
        Ok(reading)
    }

    /// Parses the items of a list as an index.
    fn index(&mut self, items: &[Item], closing: &'static str) -> Result<Reading, Fault> {
        let mut cursor = Cursor { items, at: 0, closing };
        let mut prefixes = VecDeque::new();
        let mut after = Expected::After;
        let base = loop {
            let item = self.item(cursor, Expected::Start)?;
            if let Some(group) = &item.group {
                break self.index(group, CLOSING)?;
            }
            let word = self
                .words
                .start(cursor, item)
                .map(|word| word.map_err(|fault| self.words.hint(fault, item, Expected::Start)));
            let kind = match word.unwrap_or_else(|| Err(self.words.unfit(cursor, item, Expected::Start)))? {
                Word::Wrapper(wrapper) => AffixKind::Wrapper(wrapper),
                Word::Transform(transform) => AffixKind::Transform(transform),
                Word::Codec(codec) => break Reading { tree: SpecTree::Codes(codec), spans: vec![item.span.clone()] },
                Word::CodecOfCodec { codec, inside } => {
                    cursor.at += 1;
                    let span = item.span.start..inside.span.end;
                    break Reading { tree: SpecTree::Codes(codec), spans: vec![span] };
                }
                Word::Index { index, next } => {
                    after = next;
                    break Reading { tree: SpecTree::Index(index), spans: vec![item.span.clone()] };
                }
                Word::IndexOfCodec { index, codec } => {
                    cursor.at += 1;
                    let (tree, span) = (SpecTree::Index(index), item.span.start..codec.span.end);
                    break Reading { tree, spans: vec![span] };
                }
                Word::Quantizer(quantizer) => {
                    cursor.at += 1;
                    let second = self.item(cursor, Expected::Codec)?;
                    let hint = |fault| self.words.hint(fault, second, Expected::Codec);
                    let Some(codec) = self.words.codec(second) else {
                        let index = self.words.index_of_lists(second, quantizer);
                        let index = index.map(|index| index.map_err(hint));
                        let index = index.unwrap_or_else(|| Err(self.words.unfit(cursor, second, Expected::Codec)))?;
                        let (tree, span) = (SpecTree::Index(index), item.span.start..second.span.end);
                        break Reading { tree, spans: vec![span] };
                    };
                    let codec = codec.map_err(hint)?;
                    let spans = vec![item.span.clone(), second.span.clone()];
                    break Reading { tree: SpecTree::Ivf { quantizer, codec }, spans };
                }
            };
            prefixes.push_back(Affix { kind, span: item.span.clone() });
            self.count_affix(item)?;
            cursor.at += 1;
        };
        let mut suffixes = Vec::new();
        cursor.at += 1;
        while cursor.at < items.len() {
            let item = self.item(cursor, after)?;
            let wrapper = self.words.wrapper(item);
            let wrapper = wrapper.map(|wrapper| wrapper.map_err(|fault| self.words.hint(fault, item, after)));
            let wrapper = wrapper.unwrap_or_else(|| Err(self.words.unfit(cursor, item, after)))?;
            suffixes.push((wrapper, item.span.clone()));
            self.count_affix(item)?;
            after = Expected::After;
            cursor.at += 1;
        }
        Ok(nest(prefixes, base, suffixes))
    }

    /// Returns the item at the cursor.
    fn item<'i>(&self, cursor: Cursor<'i>, next: Expected) -> Result<&'i Item, Fault> {
        let item = cursor.items.get(cursor.at).filter(|item| !item.span.is_empty());
        item.ok_or_else(|| self.words.missing(cursor, next))
    }

    fn count_affix(&mut self, item: &Item) -> Result<(), Fault> {
        self.affixes += 1;
        if self.affixes > MAX_DEPTH {
            let what = format!("more than {MAX_DEPTH} wrappers and transforms");
            return Err(Fault::new(item.span.clone(), what));
        }
        Ok(())
    }
}

/// Orders the tokens around a base, outermost first, and nests them around it.
fn nest(mut prefixes: VecDeque<Affix>, base: Reading, mut suffixes: Vec<(Wrapper, Range<usize>)>) -> Reading {
    let mut outside_in = Vec::new();
    loop {
        let suffix_is_outer = match (prefixes.front().map(|prefix| &prefix.kind), suffixes.last()) {
            (Some(AffixKind::Wrapper(prefix)), Some((suffix, _))) => suffix.level <= prefix.level,
            (_, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => break,
        };
        let suffix = if suffix_is_outer { suffixes.pop() } else { None };
        let suffix = suffix.map(|(wrapper, span)| Affix { kind: AffixKind::Wrapper(wrapper), span });
        outside_in.extend(suffix.or_else(|| prefixes.pop_front()));
    }
    outside_in.into_iter().rfold(base, |Reading { tree, mut spans }, affix| {
        spans.push(affix.span);
        let inner = Box::new(tree);
        let tree = match affix.kind {
            AffixKind::Transform(transform) => SpecTree::Transformed { transform, inner },
            AffixKind::Wrapper(Wrapper { spec, level, side }) => {
                SpecTree::Wrapped { wrapper: spec, level, side, inner }
            }
        };
        Reading { tree, spans }
    })
}
