//! The third step of parsing: items become a tree.
//!
//! An index reads from left to right as
//!
//! ```text
//! index := (wrapper , | transform ,)*  base  (, wrapper)*
//! base  := quantizer , codec | codec | ( index )
//! ```
//!
//! and which of the tokens around the base is the outermost follows Faiss: the wrapper of the lowest level, at a tie the one
//! after the base; transforms only when no wrapper is left at either end.

use crate::error::Fault;
use crate::items::{Item, MAX_DEPTH, split};
use crate::spec::Spec;
use crate::words::{CLOSING, Cursor, Place, Word, Words, Wrapper};
use ivf_core::Registry;
use ivf_core::transform::TransformSpec;
use std::collections::VecDeque;
use std::sync::Arc;

/// Reads one factory string.
#[derive(Debug)]
pub(crate) struct Parser<'a> {
    words: Words<'a>,
    /// Wrappers and transforms read so far: each makes the tree one level deeper.
    affixes: usize,
}

/// A token in front of a base.
enum Prefix {
    Wrapper(Wrapper),
    Transform(Arc<dyn TransformSpec>),
}

impl<'a> Parser<'a> {
    /// The tree of a factory string.
    pub(crate) fn parse(input: &'a str, registry: &'a Registry) -> Result<Spec, Fault> {
        let items = split(input)?;
        Self { words: Words { input, registry }, affixes: 0 }.index(&items, "the end")
    }

    /// The index that the items of a list are.
    fn index(&mut self, items: &[Item], closing: &'static str) -> Result<Spec, Fault> {
        let mut cursor = Cursor { items, at: 0, closing };
        let mut prefixes = VecDeque::new();
        let base = loop {
            let item = self.item(cursor, Place::Start)?;
            if let Some(group) = &item.group {
                break self.index(group, CLOSING)?;
            }
            match self.words.start(item).unwrap_or_else(|| Err(self.words.unfit(cursor, item, Place::Start)))? {
                Word::Wrapper(wrapper) => prefixes.push_back(Prefix::Wrapper(wrapper)),
                Word::Transform(transform) => prefixes.push_back(Prefix::Transform(transform)),
                Word::Codec(codec) => break Spec::Codes(codec),
                Word::Quantizer(quantizer) => {
                    cursor.at += 1;
                    let item = self.item(cursor, Place::Codec)?;
                    let codec = self.words.codec(item).filter(|_| item.group.is_none());
                    let codec = codec.unwrap_or_else(|| Err(self.words.unfit(cursor, item, Place::Codec)))?;
                    break Spec::Ivf { quantizer, codec };
                }
            }
            self.count_affix(item)?;
            cursor.at += 1;
        };
        let mut suffixes = Vec::new();
        cursor.at += 1;
        while cursor.at < items.len() {
            let item = self.item(cursor, Place::After)?;
            let wrapper = self.words.wrapper(item).filter(|_| item.group.is_none());
            suffixes.push(wrapper.unwrap_or_else(|| Err(self.words.unfit(cursor, item, Place::After)))?);
            self.count_affix(item)?;
            cursor.at += 1;
        }
        Ok(nest(prefixes, base, suffixes))
    }

    /// The item at the cursor.
    fn item<'i>(&self, cursor: Cursor<'i>, place: Place) -> Result<&'i Item, Fault> {
        let item = cursor.items.get(cursor.at).filter(|item| !item.span.is_empty());
        item.ok_or_else(|| self.words.missing(cursor, place))
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

/// Puts the tokens around a base in order, the outermost first, and then around it.
fn nest(mut prefixes: VecDeque<Prefix>, base: Spec, mut suffixes: Vec<Wrapper>) -> Spec {
    let mut outside_in = Vec::new();
    loop {
        let suffix_is_outer = match (prefixes.front(), suffixes.last()) {
            (Some(Prefix::Wrapper(prefix)), Some(suffix)) => suffix.level <= prefix.level,
            (_, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => break,
        };
        let suffix = if suffix_is_outer { suffixes.pop().map(Prefix::Wrapper) } else { None };
        outside_in.extend(suffix.or_else(|| prefixes.pop_front()));
    }
    outside_in.into_iter().rfold(base, |inner, token| match token {
        Prefix::Transform(transform) => Spec::Transformed { transform, inner: Box::new(inner) },
        Prefix::Wrapper(Wrapper { spec, level, side }) => {
            Spec::Wrapped { wrapper: spec, level, side, inner: Box::new(inner) }
        }
    })
}
