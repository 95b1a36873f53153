//! The first step of parsing: splits a string at its commas and parentheses.

use crate::error::Fault;
use std::mem;
use std::ops::Range;

/// The end of a group, as shown in messages.
pub(crate) const CLOSING: &str = "')'";

/// Maximum length of a factory string in bytes.
pub const MAX_LEN: usize = 4096;

/// Maximum nesting depth of parentheses. Also the maximum number of wrappers and transforms, not
/// counting those in the arguments of tokens.
pub const MAX_DEPTH: usize = 32;

/// Maximum number of commas and argument lists, counted together. Each makes the tree of an index
/// at most two levels deeper, so that a file can hold the tree.
pub const MAX_PARTS: usize = 48;

/// The text between two commas: a token, or a group in parentheses.
#[derive(Debug)]
pub(crate) struct Item {
    /// Byte range in the string. That of a group includes the parentheses. Empty if the text is
    /// missing.
    pub(crate) span: Range<usize>,
    /// The items of a group; `None` for a token, with or without arguments.
    pub(crate) group: Option<Vec<Item>>,
}

/// An open parenthesis.
struct Open {
    at: usize,
    /// The items before a group. `None` for an argument list and the parentheses in it, because a
    /// row of the registry parses those.
    before: Option<Vec<Item>>,
}

/// Splits a string into one or more items. Checks that it has no white space and that its
/// parentheses balance. An item that begins with a parenthesis is a group. Parentheses after a name
/// belong to its token.
pub(crate) fn split(input: &str) -> Result<Vec<Item>, Fault> {
    check_len(input)?;
    let mut items = Vec::new();
    // The current item: its start, and its items once it has turned out to be a group.
    let (mut start, mut group) = (0, None);
    let mut open: Vec<Open> = Vec::new();
    let mut parts = 0;
    let mut before = ',';
    for (at, c) in input.char_indices() {
        let in_arguments = open.last().is_some_and(|open| open.before.is_none());
        let opens_arguments = c == '(' && !matches!(before, ',' | '(');
        parts += usize::from(c == ',' || opens_arguments);
        if parts > MAX_PARTS {
            return Err(Fault::new(at..at + 1, format!("more than {MAX_PARTS} commas and argument lists")));
        }
        match c {
            _ if c.is_whitespace() => {
                let blank = &input[at..input.len() - input[at..].trim_start().len()];
                let span = at..at + blank.len();
                return Err(Fault::new(span.clone(), "a factory string has no white space").edit(span, ""));
            }
            ')' => match open.pop() {
                None => return Err(Fault::new(at..at + 1, "this parenthesis closes nothing").edit(at..at + 1, "")),
                Some(Open { before: None, .. }) => {}
                Some(Open { at: opened, before: Some(outer) }) => {
                    items.push(Item { span: start..at, group: group.take() });
                    start = opened;
                    group = Some(mem::replace(&mut items, outer));
                }
            },
            ',' if in_arguments => {}
            ',' => {
                items.push(Item { span: start..at, group: group.take() });
                start = at + 1;
            }
            _ if before == ')' => {
                let fault = Fault::new(at..at, "a comma must stand after the parenthesis");
                return Err(fault.expect(["','"]).edit(at..at, ","));
            }
            '(' if open.len() == MAX_DEPTH => {
                return Err(Fault::new(at..at + 1, format!("more than {MAX_DEPTH} nested parentheses")));
            }
            '(' if in_arguments || opens_arguments => open.push(Open { at, before: None }),
            '(' => {
                open.push(Open { at, before: Some(mem::take(&mut items)) });
                start = at + 1;
            }
            _ => {}
        }
        before = c;
    }
    if let Some(&Open { at, ref before }) = open.last() {
        let fault = Fault::new(at..at + 1, "this parenthesis is not closed").expect([CLOSING]);
        return Err(match before {
            Some(_) => fault.edit(at..at + 1, ""),
            None => fault.edit(input.len()..input.len(), ")"),
        });
    }
    items.push(Item { span: start..input.len(), group });
    Ok(items)
}

/// Returns the nesting depth of the parentheses of a string, in which they balance.
pub(crate) fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn check_len(input: &str) -> Result<(), Fault> {
    if input.len() <= MAX_LEN {
        return Ok(());
    }
    let what = format!("a factory string has at most {MAX_LEN} bytes, and this one has {}", input.len());
    Err(Fault::new(input.floor_char_boundary(MAX_LEN)..input.len(), what))
}
