//! The second step of parsing: which row a token belongs to, what may stand where, and what to say of a token that may not.

use crate::error::Fault;
use crate::hint::nearest;
use crate::items::Item;
use ivf_core::registry::{Parsed, Side, TokenError, WrapperSpec};
use ivf_core::transform::TransformSpec;
use ivf_core::{CodecSpec, QuantizerSpec, Registry};
use std::ops::Range;
use std::sync::Arc;

/// A wrapper with what its row says about its place.
#[derive(Debug)]
pub(crate) struct Wrapper {
    pub(crate) spec: Arc<dyn WrapperSpec>,
    pub(crate) level: u8,
    pub(crate) side: Side,
}

/// A token at the start of an index, read.
#[derive(Debug)]
pub(crate) enum Word {
    Wrapper(Wrapper),
    Transform(Arc<dyn TransformSpec>),
    Quantizer(Arc<dyn QuantizerSpec>),
    Codec(Arc<dyn CodecSpec>),
}

/// What has to come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An index, or one more token in front of it.
    Start,
    /// The codec of the coarse quantizer before.
    Codec,
    /// Nothing more, or a wrapper around what stands before.
    After,
}

/// A list of items, and how far it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'i> {
    pub(crate) items: &'i [Item],
    pub(crate) at: usize,
    /// What closes the list: a parenthesis, or the end of the string.
    pub(crate) closing: &'static str,
}

impl<'i> Cursor<'i> {
    fn before(&self) -> Option<&'i Item> {
        self.at.checked_sub(1).and_then(|at| self.items.get(at))
    }
}

/// What closes a group, as it is shown.
pub(crate) const CLOSING: &str = "')'";

/// The words of a factory string.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    pub(crate) input: &'a str,
    pub(crate) registry: &'a Registry,
}

/// What a row answers: `None` if the token is not its own.
type Claim<T> = Option<Result<T, Fault>>;

/// The form of a token, and whether a string is such a token.
type Form<'a> = (&'static str, Box<dyn Fn(&str) -> bool + 'a>);

impl<'a> Words<'a> {
    pub(crate) fn text(&self, item: &Item) -> &'a str {
        &self.input[item.span.clone()]
    }

    /// The token at the start of an index, in Faiss's order: wrappers, transforms, coarse quantizers, codecs.
    pub(crate) fn start(&self, item: &Item) -> Claim<Word> {
        self.wrapper(item)
            .filter(|wrapper| wrapper.as_ref().map_or(true, |wrapper| wrapper.side == Side::Both))
            .map(|wrapper| wrapper.map(Word::Wrapper))
            .or_else(|| self.transform(item).map(|transform| transform.map(Word::Transform)))
            .or_else(|| self.quantizer(item).map(|quantizer| quantizer.map(Word::Quantizer)))
            .or_else(|| self.codec(item).map(|codec| codec.map(Word::Codec)))
    }

    pub(crate) fn wrapper(&self, item: &Item) -> Claim<Wrapper> {
        self.registry.wrappers().iter().find_map(|row| {
            let spec = self.claim(item, row.grammar, (row.parse)(self.text(item)))?;
            Some(spec.map(|spec| Wrapper { spec, level: row.level, side: row.side }))
        })
    }

    pub(crate) fn codec(&self, item: &Item) -> Claim<Arc<dyn CodecSpec>> {
        let mut rows = self.registry.codecs().iter();
        rows.find_map(|row| self.claim(item, row.grammar, (row.parse)(self.text(item))))
    }

    fn transform(&self, item: &Item) -> Claim<Arc<dyn TransformSpec>> {
        let mut rows = self.registry.transforms().iter();
        rows.find_map(|row| self.claim(item, row.grammar, (row.parse)(self.text(item))))
    }

    fn quantizer(&self, item: &Item) -> Claim<Arc<dyn QuantizerSpec>> {
        let mut rows = self.registry.quantizers().iter();
        rows.find_map(|row| self.claim(item, row.grammar, (row.parse)(self.text(item))))
    }

    /// A row's answer, with its fault placed in the whole string.
    fn claim<T: ?Sized>(&self, item: &Item, grammar: &'static str, parsed: Parsed<T>) -> Claim<Arc<T>> {
        let place = |error: TokenError| Fault::new(self.within(item, &error.span), error.what).expect([grammar]);
        parsed.map(|spec| spec.map_err(place))
    }

    /// A span of the token as one of the string. A row may be somebody else's: what it says is cut to the token.
    fn within(&self, item: &Item, span: &Range<usize>) -> Range<usize> {
        let at = |offset: usize| item.span.start.saturating_add(offset).min(item.span.end);
        let start = self.input.floor_char_boundary(at(span.start));
        start..self.input.ceil_char_boundary(at(span.end)).max(start)
    }

    /// The forms of tokens that may stand at a place.
    fn forms(&self, place: Place) -> Vec<Form<'a>> {
        macro_rules! forms {
            ($rows:expr) => {
                $rows
                    .into_iter()
                    .map(|row| -> Form<'a> { (row.grammar, Box::new(|t| matches!((row.parse)(t), Some(Ok(_))))) })
            };
        }
        let registry = self.registry;
        let forms: Vec<Form<'a>> = match place {
            Place::Codec => forms!(registry.codecs()).collect(),
            Place::After => forms!(registry.wrappers()).collect(),
            Place::Start => forms!(registry.codecs())
                .chain(forms!(registry.quantizers()))
                .chain(forms!(registry.transforms()))
                .chain(forms!(registry.wrappers().iter().filter(|row| row.side == Side::Both)))
                .collect(),
        };
        // A kind that only the library itself makes has no token.
        forms.into_iter().filter(|(grammar, _)| !grammar.is_empty()).collect()
    }

    fn expected(&self, place: Place, closing: &'static str) -> Vec<&'static str> {
        let mut expected: Vec<_> = self.forms(place).into_iter().map(|(grammar, _)| grammar).collect();
        match place {
            Place::Start => expected.push("'('"),
            Place::Codec => {}
            Place::After => expected.push(closing),
        }
        expected
    }

    /// The fault of a list where something has to come and nothing does.
    pub(crate) fn missing(&self, cursor: Cursor<'_>, place: Place) -> Fault {
        let before = cursor.before().map(|item| self.text(item));
        let what = match (place, before) {
            (Place::Start, None) if cursor.items.len() > 1 => "nothing stands before the comma".to_owned(),
            (Place::Start, None) if cursor.closing == CLOSING => "nothing stands between the parentheses".to_owned(),
            (Place::Start, None) => "the factory string is empty".to_owned(),
            (Place::Start, Some(before)) => format!("an index must follow '{before}'"),
            (Place::Codec, before) => format!("a codec must follow '{}'", before.unwrap_or_default()),
            (Place::After, _) => "nothing stands after the comma".to_owned(),
        };
        let at = match (cursor.items.get(cursor.at), cursor.before()) {
            (Some(item), _) => item.span.start,
            (None, before) => before.map_or(0, |item| item.span.end),
        };
        let fault = Fault::new(at..at, what).expect(self.expected(place, cursor.closing));
        match self.input[..at].bytes().next_back() {
            Some(b',') => fault.edit(at - 1..at, ""),
            _ if self.input[at..].starts_with(',') => fault.edit(at..at + 1, ""),
            _ => fault,
        }
    }

    /// The fault of an item that may not stand where it does.
    pub(crate) fn unfit(&self, cursor: Cursor<'_>, item: &Item, place: Place) -> Fault {
        let text = self.text(item);
        let before = cursor.before().map_or("", |item| self.text(item));
        let Some(noun) = self.noun(item) else { return self.unknown(cursor, item, place) };
        let what = match place {
            Place::Start => format!("'{text}' stands after the index that it wraps"),
            Place::Codec => format!("a codec must follow '{before}', and '{text}' is a {noun}"),
            Place::After => format!("the index is complete before '{text}': only wrappers may follow"),
        };
        let fault = Fault::new(item.span.clone(), what).expect(self.expected(place, cursor.closing));
        match (place, cursor.before()) {
            (Place::Start, _) => match cursor.items.get(cursor.at + 1..).and_then(|rest| rest.first().zip(rest.last()))
            {
                Some((first, last)) => {
                    let inner = &self.input[first.span.start..last.span.end];
                    fault.edit(item.span.start..last.span.end, format!("{inner},{text}"))
                }
                None => fault,
            },
            (Place::Codec, _) if item.group.is_some() => fault.edit(item.span.clone(), &text[1..text.len() - 1]),
            (Place::Codec, Some(quantizer)) if noun == TRANSFORM => {
                fault.edit(quantizer.span.start..item.span.end, format!("{text},{before}"))
            }
            _ => fault,
        }
    }

    /// The fault of a token that nobody knows.
    fn unknown(&self, cursor: Cursor<'_>, item: &Item, place: Place) -> Fault {
        let text = self.text(item);
        let mut what = match place {
            Place::Start => format!("'{text}' is not known"),
            Place::Codec => format!("no codec is named '{text}'"),
            Place::After => format!("no wrapper is named '{text}'"),
        };
        let mut span = item.span.clone();
        if let Some((at, c)) = text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
            what += &format!(": '{c}' is not an ASCII letter");
            span = item.span.start + at..item.span.start + at + c.len_utf8();
        }
        let fault = Fault::new(span, what).expect(self.expected(place, cursor.closing));
        match nearest(text, &self.forms(place)) {
            Some(meant) => fault.edit(item.span.clone(), meant),
            None => fault,
        }
    }

    /// What sort of thing an item is, if it is any.
    fn noun(&self, item: &Item) -> Option<&'static str> {
        if item.group.is_some() {
            return Some("group");
        }
        let nouns = [
            ("wrapper", self.wrapper(item).is_some()),
            (TRANSFORM, self.transform(item).is_some()),
            ("coarse quantizer", self.quantizer(item).is_some()),
            ("codec", self.codec(item).is_some()),
        ];
        nouns.into_iter().find_map(|(noun, is)| is.then_some(noun))
    }
}

const TRANSFORM: &str = "transform";
