//! The first step of parsing: a string is cut at its commas and parentheses.

use crate::error::Fault;
use crate::words::CLOSING;
use std::mem;
use std::ops::Range;

/// A factory string is at most this many bytes long.
pub const MAX_LEN: usize = 4096;

/// A factory string has at most this many parentheses around one another, and at most this many wrappers and transforms.
pub const MAX_DEPTH: usize = 32;

/// What stands between two commas.
#[derive(Debug)]
pub(crate) struct Item {
    /// Its bytes in the string; of a group, with the parentheses. Empty if nothing stands there.
    pub(crate) span: Range<usize>,
    /// The items of a group; `None` for a token.
    pub(crate) group: Option<Vec<Item>>,
}

/// Cuts a string into items: at least one, tokens that hold no comma, parenthesis or white space, groups that balance.
pub(crate) fn split(input: &str) -> Result<Vec<Item>, Fault> {
    check_len(input)?;
    let mut items = Vec::new();
    // Of the item that is being read: where it starts, and its insides once it turned out to be a group.
    let (mut start, mut group) = (0, None);
    // The open parentheses, each with the items before it.
    let mut open: Vec<(usize, Vec<Item>)> = Vec::new();
    for (at, c) in input.char_indices() {
        match c {
            ',' => {
                items.push(Item { span: start..at, group: group.take() });
                start = at + 1;
            }
            '(' if at > start => return Err(comma_missing(at, "before")),
            '(' if open.len() == MAX_DEPTH => {
                return Err(Fault::new(at..at + 1, format!("more than {MAX_DEPTH} parentheses around one another")));
            }
            '(' => {
                open.push((at, mem::take(&mut items)));
                start = at + 1;
            }
            ')' => {
                items.push(Item { span: start..at, group: group.take() });
                let Some((opened, outer)) = open.pop() else {
                    return Err(Fault::new(at..at + 1, "this parenthesis closes nothing").edit(at..at + 1, ""));
                };
                start = opened;
                group = Some(mem::replace(&mut items, outer));
            }
            _ if c.is_whitespace() => {
                let blank = &input[at..input.len() - input[at..].trim_start().len()];
                let span = at..at + blank.len();
                return Err(Fault::new(span.clone(), "a factory string has no white space").edit(span, ""));
            }
            _ if group.is_some() => return Err(comma_missing(at, "after")),
            _ => {}
        }
    }
    if let Some(&(opened, _)) = open.last() {
        let fault = Fault::new(opened..opened + 1, "this parenthesis is not closed").expect([CLOSING]);
        return Err(fault.edit(opened..opened + 1, ""));
    }
    items.push(Item { span: start..input.len(), group });
    Ok(items)
}

fn check_len(input: &str) -> Result<(), Fault> {
    if input.len() <= MAX_LEN {
        return Ok(());
    }
    let what = format!("a factory string has at most {MAX_LEN} bytes, and this one {}", input.len());
    Err(Fault::new(input.floor_char_boundary(MAX_LEN)..input.len(), what))
}

fn comma_missing(at: usize, side: &str) -> Fault {
    Fault::new(at..at, format!("a comma must stand {side} the parenthesis")).expect(["','"]).edit(at..at, ",")
}
