//! Errors in factory strings, and how they are displayed.

use ivf_core::error::{BuildError, KnobError};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// An error of parsing a factory string.
///
/// Displayed with the string and carets under the fault:
///
/// ```
/// let error = "IVF16,Falt".parse::<ivf_factory::Spec>().unwrap_err();
/// assert_eq!(error.span, 6..10);
/// assert!(error.to_string().starts_with("\
/// no codec is named 'Falt'
///   IVF16,Falt
///         ^^^^
/// expected: "));
/// assert_eq!(error.suggestion.as_deref(), Some("IVF16,Flat"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseError {
    /// The whole string.
    pub input: String,
    /// Byte range of the fault. Empty where something is missing.
    pub span: Range<usize>,
    /// What is wrong, in a few words.
    pub what: String,
    /// What is valid there: grammars of tokens, from the rows of the registry, or a punctuation
    /// mark.
    pub expected: Vec<&'static str>,
    /// A string that parses and was probably meant.
    pub suggestion: Option<String>,
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.what, &self.input, &self.span)?;
        if let Some((last, others)) = self.expected.split_last() {
            f.write_str("\nexpected: ")?;
            if !others.is_empty() {
                write!(f, "{} or ", others.join(", "))?;
            }
            f.write_str(last)?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "\ndid you mean '{}'?", escaped(suggestion.chars()))?;
        }
        Ok(())
    }
}

/// An error of building the index of a factory string: a part of it does not work with the
/// dimension, the metric or the index that it wraps.
///
/// Displayed like a [`ParseError`], with the string and carets under the part that caused it:
///
/// ```
/// use ivf_core::Metric;
/// let spec: ivf_factory::Spec = "IVF16,PQ16".parse()?;
/// let error = spec.build(100, Metric::L2).unwrap_err();
/// assert_eq!(error.span, 6..10);
/// assert!(error.to_string().ends_with("
///   IVF16,PQ16
///         ^^^^"));
/// # Ok::<(), ivf_factory::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpecError {
    /// The whole string.
    pub input: Arc<str>,
    /// Byte range of the part that caused the error.
    pub span: Range<usize>,
    /// The reason.
    pub why: BuildError,
}

impl std::error::Error for SpecError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The text of `why` is part of the text of this error.
        std::error::Error::source(&self.why)
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.why.to_string(), &self.input, &self.span)
    }
}

/// Writes what is wrong, and the string with carets under the fault.
fn show(f: &mut fmt::Formatter<'_>, what: &str, input: &str, span: &Range<usize>) -> fmt::Result {
    let (line, carets) = picture(input, span);
    write!(f, "{}\n  {line}\n  {carets}", escaped(what.chars()))
}

/// Maximum number of characters of a long string that are shown before a fault, of the fault
/// itself, and after it.
const CONTEXT: usize = 60;

/// Returns the string on one line, shortened around the fault, and a line with carets under the
/// fault.
fn picture(input: &str, span: &Range<usize>) -> (String, String) {
    let (before, rest) = input.split_at_checked(span.start).unwrap_or((input, ""));
    let (marked, after) = rest.split_at_checked(span.len()).unwrap_or((rest, ""));
    let skipped = before.chars().count().saturating_sub(CONTEXT);
    let mut line = if skipped > 0 { "...".to_owned() } else { String::new() };
    line += &escaped(before.chars().skip(skipped));
    let indent = " ".repeat(line.chars().count());
    let shown = escaped(marked.chars().take(CONTEXT));
    line += &shown;
    line += &escaped(after.chars().take(CONTEXT));
    if marked.chars().nth(CONTEXT).is_some() || after.chars().nth(CONTEXT).is_some() {
        line += "...";
    }
    (line, indent + &"^".repeat(shown.chars().count().max(1)))
}

/// Escapes text so that it takes one line, takes one column per character, and cannot control a
/// terminal.
fn escaped(text: impl Iterator<Item = char>) -> String {
    text.flat_map(|c| {
        // `escape_debug` escapes what cannot be printed, but also quotes.
        let plain = matches!(c, '\'' | '"' | '\\');
        plain.then_some(c).into_iter().chain(c.escape_debug().filter(move |_| !plain))
    })
    .collect()
}

/// An error of building an index from a factory string, or from a configuration with one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FactoryError {
    /// The string does not parse.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The index does not work with this dimension or metric.
    #[error(transparent)]
    Build(#[from] SpecError),
    /// The index has no such knob, or the knob does not accept the value.
    #[error(transparent)]
    Knob(#[from] KnobError),
}

/// A fault found by the parser: a [`ParseError`] without the string, but with the edit that
/// corrects it.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) span: Range<usize>,
    pub(crate) what: String,
    pub(crate) expected: Vec<&'static str>,
    pub(crate) edit: Option<Edit>,
}

/// An edit of a string.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    /// Byte range to replace.
    pub(crate) span: Range<usize>,
    /// Replacement text.
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(span: Range<usize>, what: impl Into<String>) -> Self {
        Self { span, what: what.into(), expected: Vec::new(), edit: None }
    }

    pub(crate) fn expect(self, expected: impl Into<Vec<&'static str>>) -> Self {
        Self { expected: expected.into(), ..self }
    }

    pub(crate) fn edit(self, span: Range<usize>, text: impl Into<String>) -> Self {
        Self { edit: Some(Edit { span, text: text.into() }), ..self }
    }
}
