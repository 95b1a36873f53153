//! A token of a factory string: its name and its arguments.

use super::{Parsed, Registry};
use crate::codec::CodecSpec;
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

    /// The same fault of a token that stands `offset` bytes into another one.
    #[must_use]
    pub fn shifted(self, offset: usize) -> Self {
        Self { span: self.span.start.saturating_add(offset)..self.span.end.saturating_add(offset), ..self }
    }
}

/// A token of a factory string: a name, and perhaps arguments in parentheses.
///
/// ```text
/// IVF65536_HNSW32      name only
/// IVF64(IVF16,Flat)    name IVF64, one argument list "IVF16,Flat"
/// Refine(SQ8)          name Refine, argument list "SQ8"
/// ```
///
/// ```
/// use ivf_core::registry::Token;
/// let token = Token::new("IVF64(IVF16,Flat)").unwrap();
/// assert_eq!((token.name(), token.arguments()), ("IVF64", Some("IVF16,Flat")));
/// assert_eq!(Token::new("Flat").unwrap().arguments(), None);
/// assert!(Token::new("Refine(SQ8").is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Token<'a> {
    text: &'a str,
    /// Where the argument list opens.
    open: Option<usize>,
    codec: Option<Arc<dyn CodecSpec>>,
}

impl<'a> Token<'a> {
    /// The token that this text is: a name without parentheses, and perhaps one argument list that
    /// ends it.
    ///
    /// # Errors
    /// [`TokenError`] if parentheses do not balance, or something follows the argument list.
    pub fn new(text: &'a str) -> Result<Self, TokenError> {
        let mut depth = 0_usize;
        for (at, c) in text.char_indices() {
            match c {
                '(' => depth += 1,
                ')' if depth == 0 => return Err(TokenError::new(at..at + 1, "this parenthesis closes nothing")),
                ')' => {
                    depth -= 1;
                    if depth == 0 && at + 1 < text.len() {
                        return Err(TokenError::new(at + 1..text.len(), "nothing may follow the arguments of a token"));
                    }
                }
                _ => {}
            }
        }
        let open = text.find('(');
        match open {
            Some(open) if depth > 0 => Err(TokenError::new(open..open + 1, "this parenthesis is not closed")),
            _ => Ok(Self { text, open, codec: None }),
        }
    }

    /// The same with a codec that follows it after a comma.
    #[must_use]
    pub fn with_codec(self, codec: Option<Arc<dyn CodecSpec>>) -> Self {
        Self { codec, ..self }
    }

    /// The whole text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The text before the arguments.
    pub fn name(&self) -> &'a str {
        &self.text[..self.open.unwrap_or(self.text.len())]
    }

    /// What stands between the parentheses; `None` without parentheses.
    pub fn arguments(&self) -> Option<&'a str> {
        self.open.map(|open| &self.text[open + 1..self.text.len() - 1])
    }

    /// The bytes of the token that its arguments take.
    pub fn arguments_span(&self) -> Range<usize> {
        self.open.map_or(self.text.len()..self.text.len(), |open| open + 1..self.text.len() - 1)
    }

    /// The codec that follows the token after a comma, for a kind that takes one
    /// ([`IndexRow::takes_codec`](super::IndexRow)).
    pub fn codec(&self) -> Option<&Arc<dyn CodecSpec>> {
        self.codec.as_ref()
    }

    /// The whole text, if the token has no arguments: what a row that takes none compares with its
    /// own name.
    pub fn plain(&self) -> Option<&'a str> {
        self.open.is_none().then_some(self.text)
    }

    /// The argument as a codec of the registry.
    ///
    /// # Errors
    /// [`TokenError`] with the faulty bytes of this token: no argument, or not the token of a
    /// codec.
    pub fn codec_argument(&self, registry: &Registry) -> Result<Arc<dyn CodecSpec>, TokenError> {
        self.argument("a codec", |token| registry.parse_codec(token))
    }

    /// The argument as a whole index of the registry.
    ///
    /// # Errors
    /// [`TokenError`] with the faulty bytes of this token.
    pub fn index_argument(&self, registry: &Registry) -> Result<Arc<dyn super::IndexSpec>, TokenError> {
        let arguments = self.arguments().ok_or_else(|| self.missing("an index"))?;
        registry.parse_index(arguments).map_err(|error| error.shifted(self.arguments_span().start))
    }

    /// The argument as what `parse` makes of one token; `what` names it in errors.
    ///
    /// # Errors
    /// [`TokenError`] with the faulty bytes of this token: no argument, or one that `parse` does
    /// not know.
    pub fn argument<T: ?Sized>(
        &self,
        what: &str,
        parse: impl FnOnce(&Token<'_>) -> Parsed<T>,
    ) -> Result<Arc<T>, TokenError> {
        let arguments = self.arguments().filter(|text| !text.is_empty()).ok_or_else(|| self.missing(what))?;
        let start = self.arguments_span().start;
        let token = Token::new(arguments).map_err(|error| error.shifted(start))?;
        match parse(&token) {
            Some(parsed) => parsed.map_err(|error| error.shifted(start)),
            None => Err(TokenError::new(self.arguments_span(), format!("'{arguments}' is not {what}"))),
        }
    }

    fn missing(&self, what: &str) -> TokenError {
        TokenError::new(0..self.text.len(), format!("{} needs {what} in parentheses", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_a_name_and_arguments() {
        let parts = |text| {
            let token = Token::new(text).unwrap();
            assert_eq!(&text[token.arguments_span()], token.arguments().unwrap_or_default());
            (token.name().to_owned(), token.arguments().map(str::to_owned), token.plain().is_some())
        };
        assert_eq!(parts("PQ16x4fsr_64"), ("PQ16x4fsr_64".into(), None, true));
        assert_eq!(
            parts("IVF64(IVF16(IVF4,Flat),Flat)"),
            ("IVF64".into(), Some("IVF16(IVF4,Flat),Flat".into()), false)
        );
        assert_eq!(parts("Refine()"), ("Refine".into(), Some("".into()), false));
        for (text, span) in [("A(B", 1..2), ("A)", 1..2), ("A(B)C", 4..5), ("A(B)(C)", 4..7), ("A((B)", 1..2)] {
            assert_eq!(Token::new(text).unwrap_err().span, span, "{text}");
        }
    }
}
