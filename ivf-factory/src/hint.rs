//! What was probably meant.

use crate::error::Fault;
use crate::grammar::Parser;
use ivf_core::Registry;

/// At most this many single faults are mended for a suggestion.
const MAX_EDITS: usize = 8;

/// Longer tokens are not compared with others.
const MAX_TOKEN: usize = 32;

/// The string with its faults edited away one after the other, if that makes it parse.
pub(crate) fn mend(input: &str, fault: &Fault, registry: &Registry) -> Option<String> {
    let mut text = input.to_owned();
    let mut edit = fault.edit.clone()?;
    for _ in 0..MAX_EDITS {
        text.replace_range(edit.span, &edit.text);
        match Parser::parse(&text, registry) {
            Ok(_) => return Some(text),
            Err(next) => edit = next.edit?,
        }
    }
    None
}

/// The token of one of these forms that differs least from `token`: in upper and lower case only, or by a letter or two of the
/// form's literal head (`IVF` of `IVF<n>`).
pub(crate) fn nearest<F: Fn(&str) -> bool>(token: &str, forms: &[(&'static str, F)]) -> Option<String> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let mut best: Option<(usize, String)> = None;
    for (grammar, knows) in forms {
        let head = grammar.split(['<', '[']).next().unwrap_or_default();
        // One letter of two is half a name: `SQ8` was not meant to be `PQ8`.
        let allowed = match head.len() {
            0..3 => 0,
            3..6 => 1,
            _ => 2,
        };
        let ends = token.char_indices().map(|(at, _)| at).chain([token.len()]);
        for (written, rest) in ends.map(|at| token.split_at(at)) {
            let distance = edit_distance(&written.to_lowercase(), &head.to_lowercase());
            let meant = format!("{head}{rest}");
            if distance <= allowed && best.as_ref().is_none_or(|(least, _)| distance < *least) && knows(&meant) {
                best = Some((distance, meant));
            }
        }
    }
    best.map(|(_, meant)| meant)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour (optimal string alignment).
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // rows[i][j]: the distance between the first i letters of a and the first j of b.
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swapped = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                replaced.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_optimal_string_alignment() {
        for (a, b, distance) in [
            ("", "", 0),
            ("flat", "", 4),
            ("flat", "flat", 0),
            ("falt", "flat", 1),
            ("flt", "flat", 1),
            ("flatt", "flat", 1),
            ("fl\u{e4}t", "flat", 1),
            ("l2nrom", "l2norm", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
            assert_eq!(edit_distance(b, a), distance, "{b} {a}");
        }
    }

    #[test]
    fn the_nearest_known_token_is_found() {
        let number = |head: &'static str| move |t: &str| t.strip_prefix(head).is_some_and(|n| n.parse::<u32>().is_ok());
        type Knows = Box<dyn Fn(&str) -> bool>;
        let forms: [(&str, Knows); 3] = [
            ("Flat", Box::new(|t| t == "Flat")),
            ("IVF<n>[k|M]", Box::new(number("IVF"))),
            ("PQ<M>", Box::new(number("PQ"))),
        ];
        let nearest = |token| nearest(token, &forms);
        assert_eq!(nearest("flat").as_deref(), Some("Flat"));
        assert_eq!(nearest("ivf16").as_deref(), Some("IVF16"));
        assert_eq!(nearest("IFV16").as_deref(), Some("IVF16"));
        assert_eq!(nearest("pq8").as_deref(), Some("PQ8"));
        assert_eq!(nearest("SQ8"), None, "another kind");
        assert_eq!(nearest("IVF"), None, "no number");
        assert_eq!(nearest("HNSW32"), None);
        assert_eq!(nearest(&"Flat".repeat(100)), None);
    }
}
