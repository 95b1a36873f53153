//! Faults of lists of items that form no index: what is wrong, what is valid there, what to change.

use crate::error::Fault;
use crate::foreign;
use crate::hint::{Form, nearest, pair, recased, with_number};
use crate::items::{CLOSING, Item};
use crate::words::{Cursor, Expected, Words};
use ivf_core::registry::{Side, Token};

impl<'a> Words<'a> {
    /// Returns the forms of the tokens that may come next.
    fn forms(&self, next: Expected) -> Vec<Form<'a>> {
        let registry = self.registry;
        macro_rules! forms {
            ($rows:expr) => {
                $rows.into_iter().flat_map(|row| {
                    let knows = move |text: &str| {
                        Token::new(text).is_ok_and(|token| matches!((row.parse)(&token, registry), Some(Ok(_))))
                    };
                    written(row.grammar).map(move |grammar| -> Form<'a> { (grammar, Box::new(knows)) })
                })
            };
        }
        let wrappers = registry.wrappers().iter();
        // Tokens that need a quantizer before them are not parsed here, but claimed.
        let of_lists = registry.indexes().iter().filter(|row| row.takes_quantizer).map(|row| -> Form<'a> {
            let knows = move |text: &str| Token::new(text).is_ok_and(|token| (row.parse)(&token, registry).is_some());
            (row.grammar, Box::new(knows))
        });
        let forms: Vec<Form<'a>> = match next {
            Expected::Codec => forms!(registry.codecs()).chain(of_lists).collect(),
            Expected::After => forms!(wrappers).collect(),
            Expected::AfterIndex => forms!(registry.codecs()).chain(forms!(wrappers)).collect(),
            Expected::Start => forms!(registry.codecs())
                .chain(forms!(registry.quantizers()))
                .chain(forms!(registry.indexes().iter().filter(|row| !row.takes_quantizer)))
                .chain(forms!(registry.transforms()))
                .chain(forms!(wrappers.filter(|row| row.side == Side::Both)))
                .collect(),
        };
        // A kind that only the library itself creates has no token.
        forms.into_iter().filter(|(grammar, _)| !grammar.is_empty()).collect()
    }

    /// Returns the forms of tokens that a codec may follow.
    fn heads(&self) -> Vec<Form<'a>> {
        let with_codec = |grammar: &str| {
            let indexes = self.registry.indexes().iter().filter(|row| row.takes_codec).map(|row| row.grammar);
            let mut rows = indexes.chain(self.registry.quantizers().iter().map(|row| row.grammar));
            rows.any(|known| written(known).any(|known| known == grammar))
        };
        self.forms(Expected::Start).into_iter().filter(|(grammar, _)| with_codec(grammar)).collect()
    }

    fn expected(&self, next: Expected, closing: &'static str) -> Vec<&'static str> {
        let mut expected: Vec<_> = self.forms(next).into_iter().map(|(grammar, _)| grammar).collect();
        match next {
            Expected::Start => expected.push("'('"),
            Expected::Codec => {}
            Expected::After | Expected::AfterIndex => expected.push(closing),
        }
        expected
    }

    /// Returns the fault of a list in which a required item is missing.
    pub(crate) fn missing(&self, cursor: Cursor<'_>, next: Expected) -> Fault {
        let before = cursor.before().map(|item| self.text(item));
        let what = match (next, before) {
            (Expected::Start, None) if cursor.items.len() > 1 => "nothing stands before the comma".to_owned(),
            (Expected::Start, None) if cursor.closing == CLOSING => "nothing stands between the parentheses".to_owned(),
            (Expected::Start, None) => "the factory string is empty".to_owned(),
            (Expected::Start, Some(before)) => format!("an index must follow '{before}'"),
            (Expected::Codec, before) => format!("a codec must follow '{}'", before.unwrap_or_default()),
            (Expected::After | Expected::AfterIndex, _) => "nothing stands after the comma".to_owned(),
        };
        let at = match (cursor.items.get(cursor.at), cursor.before()) {
            (Some(item), _) => item.span.start,
            (None, before) => before.map_or(0, |item| item.span.end),
        };
        let fault = Fault::new(at..at, what).expect(self.expected(next, cursor.closing));
        match self.input[..at].bytes().next_back() {
            Some(b',') => fault.edit(at - 1..at, ""),
            _ if self.input[at..].starts_with(',') => fault.edit(at..at + 1, ""),
            _ => fault,
        }
    }

    /// Returns the fault of an item other than the expected ones.
    pub(crate) fn unfit(&self, cursor: Cursor<'_>, item: &Item, next: Expected) -> Fault {
        let text = self.text(item);
        if let Some((at, of_lists)) = self.codec_of_faiss(cursor, item, next) {
            return self.unknown(at, of_lists, next);
        }
        let before = cursor.before().map_or("", |item| self.text(item));
        let Some(noun) = self.noun(item) else { return self.unknown(cursor, item, next) };
        let what = match next {
            Expected::Start => format!("'{text}' stands after the index that it wraps"),
            Expected::Codec => format!("a codec must follow '{before}', and '{text}' is {noun}"),
            Expected::After => format!("the index is complete before '{text}': only wrappers may follow"),
            Expected::AfterIndex => {
                format!("the index is complete before '{text}': only a codec or wrappers may follow")
            }
        };
        let fault = Fault::new(item.span.clone(), what).expect(self.expected(next, cursor.closing));
        match (next, cursor.before()) {
            (Expected::Start, _) => match cursor.after().first().zip(cursor.after().last()) {
                Some((first, last)) => {
                    let inner = &self.input[first.span.start..last.span.end];
                    fault.edit(item.span.start..last.span.end, format!("{inner},{text}"))
                }
                // Nothing is there to be wrapped.
                None if self.hints => fault.edit(item.span.start..item.span.start, "Flat,"),
                None => fault,
            },
            (Expected::Codec, _) if item.group.is_some() => fault.edit(item.span.clone(), &text[1..text.len() - 1]),
            (Expected::After | Expected::AfterIndex, Some(last)) if noun == TRANSFORM => {
                let start = cursor.items[0].span.start;
                let inner = &self.input[start..last.span.end];
                fault.edit(start..item.span.end, format!("{text},{inner}"))
            }
            (Expected::Codec, Some(quantizer)) if noun == TRANSFORM => {
                fault.edit(quantizer.span.start..item.span.end, format!("{text},{before}"))
            }
            _ => fault,
        }
    }

    /// Returns the second token of a codec of Faiss that is written as two, if it is one that is
    /// missing here: `SH` in `IVF16,PCA8,SH`.
    fn codec_of_faiss<'i>(&self, cursor: Cursor<'i>, item: &Item, next: Expected) -> Option<(Cursor<'i>, &'i Item)> {
        let second = cursor.after().first()?;
        let is_pair = next == Expected::Codec && self.noun(item) == Some(TRANSFORM);
        let is_missing = self.noun(second).is_none() && foreign::find(self.text(second)).is_some();
        (is_pair && is_missing).then_some((Cursor { at: cursor.at + 1, ..cursor }, second))
    }

    /// Returns the fault of an unknown token.
    fn unknown(&self, cursor: Cursor<'_>, item: &Item, next: Expected) -> Fault {
        let text = self.text(item);
        if let Some(fault) = self.without_arguments(item, next) {
            return fault;
        }
        let mut what = match next {
            Expected::Start => format!("unknown token '{text}'"),
            Expected::Codec => format!("no codec is named '{text}'"),
            Expected::After => format!("no wrapper is named '{text}'"),
            Expected::AfterIndex => format!("no codec and no wrapper is named '{text}'"),
        };
        let mut span = item.span.clone();
        if let Some((at, c)) = text.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
            what += &format!(": '{c}' is not an ASCII letter");
            span = item.span.start + at..item.span.start + at + c.len_utf8();
        }
        let name = text.split('(').next().unwrap_or_default();
        let forms = self.forms(next);
        let near = nearest(text, &forms);
        // What differs only in case is a token of this library, whatever it is elsewhere.
        let is_ours = near.as_ref().is_some_and(|near| near.eq_ignore_ascii_case(text));
        let kind = if is_ours { None } else { foreign::find(name) };
        if let Some(kind) = kind {
            what = format!("{what} (known in Faiss, not here yet): in Faiss it is {}; {}", kind.is, kind.instead);
        }
        let fault = Fault::new(span, what).expect(self.expected(next, cursor.closing));
        if !self.hints {
            return fault;
        }
        let index = || foreign::index_named(text).filter(|_| next == Expected::Start).map(str::to_owned);
        let meant = if kind.is_some() { None } else { near.or_else(index) };
        match meant {
            Some(meant) => fault.edit(item.span.clone(), meant),
            None => self.hint(fault, item, next),
        }
    }

    /// Adds an edit to a fault that a row found in its token: the token of another kind that was
    /// probably meant, a missing number or, at the start of an index, a missing comma.
    pub(crate) fn hint(&self, fault: Fault, item: &Item, next: Expected) -> Fault {
        if !self.hints || fault.edit.is_some() {
            return fault;
        }
        let text = self.text(item);
        let name = text.split('(').next().unwrap_or_default();
        let meant = foreign::find(name).and_then(|kind| kind.token_for(name));
        let meant = meant.or_else(|| with_number(text, &self.forms(next)));
        let meant = meant.or_else(|| recased(text, &self.forms(next)));
        let pair = || pair(text, &self.heads(), &self.forms(Expected::Codec)).filter(|_| next == Expected::Start);
        match meant.or_else(pair) {
            Some(meant) => fault.edit(item.span.clone(), meant),
            None => fault,
        }
    }

    /// Returns the fault of a token that is valid only without its arguments.
    fn without_arguments(&self, item: &Item, next: Expected) -> Option<Fault> {
        let token = self.token(item)?;
        let arguments = token.arguments()?;
        let name = Item { span: item.span.start..item.span.start + token.name().len(), group: None };
        self.noun(&name)?;
        let span = name.span.end..item.span.end;
        let fault = Fault::new(span.clone(), format!("'{}' takes no arguments", token.name()));
        // `IVF16(Flat)` was probably meant to be `IVF16,Flat`.
        let knows = |form: &Form<'_>| (form.1)(arguments);
        Some(match next {
            Expected::Start if self.hints && self.forms(Expected::Codec).iter().any(knows) => {
                fault.edit(span, format!(",{arguments}"))
            }
            _ => fault.edit(span, ""),
        })
    }

    /// Returns the sort of an item, if it is known.
    fn noun(&self, item: &Item) -> Option<&'static str> {
        if item.group.is_some() {
            return Some("a group");
        }
        let known = |noun, is: bool| is.then_some(noun);
        known("a wrapper", self.wrapper(item).is_some())
            .or_else(|| known(TRANSFORM, self.transform(item).is_some()))
            .or_else(|| known("a coarse quantizer", self.quantizer(item).is_some()))
            .or_else(|| known("a codec", self.codec(item).is_some()))
            .or_else(|| known("an index", self.index(item, None).is_some()))
    }
}

const TRANSFORM: &str = "a transform";

/// Returns the forms in which a kind is written. A grammar separates them by commas and spaces.
fn written(grammar: &'static str) -> impl Iterator<Item = &'static str> {
    grammar.split(", ")
}
