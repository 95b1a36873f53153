//! Tokens of factory strings: names and arguments.

use super::{Parsed, Registry};
use crate::codec::CodecSpec;
use crate::quantizer::QuantizerSpec;
use std::ops::Range;
use std::sync::Arc;

/// The error for a malformed token, or for invalid arguments of a token that a row accepts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
#[non_exhaustive]
pub struct TokenError {
    /// The range of the faulty bytes in the token.
    pub span: Range<usize>,
    /// A short description: "a codec needs at least one bit".
    pub what: String,
}

impl TokenError {
    /// Creates an error at `span`.
    pub fn new(span: Range<usize>, what: impl Into<String>) -> Self {
        Self { span, what: what.into() }
    }

    /// Returns the error for a token that contains the faulty one from byte `offset` on.
    ///
    /// ```
    /// use ivf_core::registry::TokenError;
    /// let error = TokenError::new(2..3, "a codec needs at least one bit"); // the 0 in SQ0
    /// assert_eq!(error.shifted(7).span, 9..10); // the 0 in Refine(SQ0)
    /// ```
    #[must_use]
    pub fn shifted(self, offset: usize) -> Self {
        Self { span: self.span.start.saturating_add(offset)..self.span.end.saturating_add(offset), ..self }
    }
}

/// A token of a factory string: a name and optional arguments in parentheses.
///
/// ```text
/// IVF65536_HNSW32      name only
/// IVF64(IVF16,Flat)    name IVF64, one argument list "IVF16,Flat"
/// Refine(SQ8)          name Refine, argument list "SQ8"
/// ```
///
/// ```
/// use ivf_core::registry::Token;
/// let token = Token::new("IVF64(IVF16,Flat)")?;
/// assert_eq!((token.name(), token.arguments()), ("IVF64", Some("IVF16,Flat")));
/// assert_eq!(Token::new("Flat")?.arguments(), None);
/// assert!(Token::new("Refine(SQ8").is_err());
/// # Ok::<(), ivf_core::registry::TokenError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Token<'a> {
    text: &'a str,
    /// Index of the opening parenthesis of the argument list.
    open: Option<usize>,
    codec: Option<Arc<dyn CodecSpec>>,
    quantizer: Option<Arc<dyn QuantizerSpec>>,
}

impl<'a> Token<'a> {
    /// Parses a token. It consists of a name without parentheses and an optional argument list,
    /// with which it ends.
    ///
    /// # Errors
    /// [`TokenError`] if the parentheses do not balance, or if text follows the argument list.
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
            _ => Ok(Self { text, open, codec: None, quantizer: None }),
        }
    }

    /// Returns the token with a codec that follows it after a comma.
    #[must_use]
    pub fn with_codec(self, codec: Option<Arc<dyn CodecSpec>>) -> Self {
        Self { codec, ..self }
    }

    /// Returns the whole text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Returns the text before the arguments.
    pub fn name(&self) -> &'a str {
        &self.text[..self.open.unwrap_or(self.text.len())]
    }

    /// Returns the text between the parentheses, or `None` without parentheses.
    pub fn arguments(&self) -> Option<&'a str> {
        self.open.map(|open| &self.text[open + 1..self.text.len() - 1])
    }

    /// Returns the byte range of the arguments in the token.
    pub fn arguments_span(&self) -> Range<usize> {
        self.open.map_or(self.text.len()..self.text.len(), |open| open + 1..self.text.len() - 1)
    }

    /// Returns the codec that follows the token after a comma, for a kind that accepts one
    /// ([`IndexRow::takes_codec`](super::IndexRow), [`CodecRow::takes_codec`](super::CodecRow)).
    ///
    /// The factory parses `Graph32,Flat` for a row that takes a codec:
    ///
    /// ```
    /// # use ivf_core::registry::{Token, TokenError};
    /// let token = Token::new("Graph32")?.with_codec(Some(std::sync::Arc::new(ivf_cpu::codec::FlatSpec)));
    /// assert_eq!((token.text(), token.codec().map(|codec| codec.to_string())), ("Graph32", Some("Flat".to_owned())));
    /// # Ok::<(), TokenError>(())
    /// ```
    pub fn codec(&self) -> Option<&Arc<dyn CodecSpec>> {
        self.codec.as_ref()
    }

    /// Returns the token with a coarse quantizer that stands before it, followed by a comma.
    #[must_use]
    pub fn with_quantizer(self, quantizer: Option<Arc<dyn QuantizerSpec>>) -> Self {
        Self { quantizer, ..self }
    }

    /// Returns the coarse quantizer that stands before the token, for a kind that needs one
    /// ([`IndexRow::takes_quantizer`](super::IndexRow)).
    ///
    /// The factory parses `IVF64,Sorted` for a row that takes a quantizer:
    ///
    /// ```
    /// # use ivf_core::registry::{Token, TokenError};
    /// let ivf64 = std::sync::Arc::new(ivf_cpu::coarse::FlatQuantizerSpec { nlist: 64 });
    /// let token = Token::new("Sorted")?.with_quantizer(Some(ivf64));
    /// assert_eq!(token.quantizer().map(|quantizer| quantizer.to_string()), Some("IVF64".to_owned()));
    /// # Ok::<(), TokenError>(())
    /// ```
    pub fn quantizer(&self) -> Option<&Arc<dyn QuantizerSpec>> {
        self.quantizer.as_ref()
    }

    /// Returns the whole text if the token has no arguments. A row without arguments compares it
    /// with its own name.
    ///
    /// ```
    /// # use ivf_core::registry::{Token, TokenError};
    /// assert_eq!(Token::new("PQ8")?.plain(), Some("PQ8"));
    /// assert_eq!(Token::new("PQ8(Flat)")?.plain(), None);
    /// # Ok::<(), TokenError>(())
    /// ```
    pub fn plain(&self) -> Option<&'a str> {
        self.open.is_none().then_some(self.text)
    }

    /// Parses the argument as a codec with the registry.
    ///
    /// ```
    /// # use ivf_core::registry::{Token, TokenError};
    /// let registry = ivf_factory::default_registry();
    /// assert_eq!(Token::new("Sign(PQ8)")?.codec_argument(registry)?.to_string(), "PQ8");
    /// let token = Token::new("Sign(PX8)")?;
    /// let span = token.codec_argument(registry).map_err(|error| error.span);
    /// assert_eq!(span.err(), Some(token.arguments_span()));
    /// # Ok::<(), TokenError>(())
    /// ```
    ///
    /// # Errors
    /// [`TokenError`] with the range of the faulty bytes in this token, if there is no argument or
    /// it is not the token of a codec.
    pub fn codec_argument(&self, registry: &Registry) -> Result<Arc<dyn CodecSpec>, TokenError> {
        self.argument("a codec", |token| registry.parse_codec(token))
    }

    /// Parses the argument as a whole index with the registry.
    ///
    /// ```
    /// # use ivf_core::registry::{Token, TokenError};
    /// let token = Token::new("Cells64(IVF8,Flat)")?;
    /// assert_eq!(token.index_argument(ivf_factory::default_registry())?.to_string(), "IVF8,Flat");
    /// # Ok::<(), TokenError>(())
    /// ```
    ///
    /// # Errors
    /// [`TokenError`] with the range of the faulty bytes in this token.
    pub fn index_argument(&self, registry: &Registry) -> Result<Arc<dyn super::IndexSpec>, TokenError> {
        let arguments = self.arguments().ok_or_else(|| self.missing("an index"))?;
        registry.parse_index(arguments).map_err(|error| error.shifted(self.arguments_span().start))
    }

    /// Parses the argument as one token with `parse`. `what` names the expected component in
    /// errors.
    ///
    /// ```
    /// # use ivf_core::registry::{Token, TokenError};
    /// let registry = ivf_factory::default_registry();
    /// let transform = |token: &Token<'_>| token.argument("a transform", |inner| registry.parse_transform(inner));
    /// assert_eq!(transform(&Token::new("Before(L2norm)")?)?.to_string(), "L2norm");
    /// let refused = transform(&Token::new("Before(Flat)")?).map_err(|error| error.what);
    /// assert_eq!(refused.err().as_deref(), Some("'Flat' is not a transform"));
    /// # Ok::<(), TokenError>(())
    /// ```
    ///
    /// # Errors
    /// [`TokenError`] with the range of the faulty bytes in this token, if there is no argument or
    /// `parse` does not accept it.
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
