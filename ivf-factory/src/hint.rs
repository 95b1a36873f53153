//! Suggestions for invalid factory strings.

use crate::error::Fault;
use crate::grammar::Parser;
use ivf_core::Registry;

/// Maximum number of faults that a suggestion corrects.
const MAX_EDITS: usize = 8;

/// Maximum length in bytes of a token that is compared with others.
const MAX_TOKEN: usize = 32;

/// Corrects the faults of a string one after the other. Returns the result if it parses.
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

/// The grammar of a token, and a test whether a string is such a token.
pub(crate) type Form<'a> = (&'static str, Box<dyn Fn(&str) -> bool + 'a>);

/// Returns the literal letters at the start of a form: `IVF` for `IVF<n>`.
fn head(grammar: &str) -> &str {
    grammar.split(['<', '[']).next().unwrap_or_default()
}

/// Returns the token of one of these forms that differs least from `token`: only in upper and lower
/// case, or by one or two letters of the form's literal head.
pub(crate) fn nearest(token: &str, forms: &[Form<'_>]) -> Option<String> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let mut best: Option<(usize, String)> = None;
    for (grammar, knows) in forms {
        let head = head(grammar);
        // One of two letters is half of the name: `SQ8` was not meant to be `PQ8`.
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

/// Number of lists in a suggestion, if the input has none.
const A_NUMBER: &str = "1024";

/// Number of other things in a suggestion, such as subquantizers.
const A_SMALL_NUMBER: &str = "16";

/// Returns a token that lacks only its number, with one: `IVF1024` for `IVF`, `PQ16` for `PQ`.
pub(crate) fn with_number(text: &str, forms: &[Form<'_>]) -> Option<String> {
    let mut forms = forms.iter().filter(|(grammar, _)| text.eq_ignore_ascii_case(head(grammar)));
    forms.find_map(|(grammar, knows)| {
        let number = if grammar.contains("<n>") { A_NUMBER } else { A_SMALL_NUMBER };
        Some(format!("{}{number}", head(grammar))).filter(|meant| knows(meant))
    })
}

/// Returns a token whose last letter has the wrong case, with the right one: `IVF1k` for `IVF1K`.
pub(crate) fn recased(text: &str, forms: &[Form<'_>]) -> Option<String> {
    let last = text.chars().next_back().filter(char::is_ascii_alphabetic)?;
    let other = if last.is_ascii_uppercase() { last.to_ascii_lowercase() } else { last.to_ascii_uppercase() };
    let meant = format!("{}{other}", &text[..text.len() - 1]);
    forms.iter().any(|(_, knows)| knows(&meant)).then_some(meant)
}

/// Returns two tokens with the missing comma between them: `IVF16,Flat` for `IVF16_Flat`,
/// `IVF16Flat` or `ivf16flat`, and `IVF1024,Flat` for `ivfflat`.
pub(crate) fn pair(text: &str, heads: &[Form<'_>], codecs: &[Form<'_>]) -> Option<String> {
    if text.len() > MAX_TOKEN {
        return None;
    }
    let cuts = text.char_indices().map(|(at, _)| at).skip(1).collect::<Vec<_>>();
    // Tries the longest first part first: `IVF16`, not `IVF1`.
    cuts.into_iter().rev().find_map(|at| {
        let (first, second) = text.split_at(at);
        let first = heads.iter().find_map(|(grammar, knows)| {
            let (name, rest) = first.split_at_checked(head(grammar).len())?;
            let meant = format!("{}{}", head(grammar), if rest.is_empty() { A_NUMBER } else { rest });
            (name.eq_ignore_ascii_case(head(grammar)) && knows(&meant)).then_some(meant)
        })?;
        let second = second.trim_start_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '(' | ')'));
        let is_codec = codecs.iter().any(|(_, knows)| knows(second));
        let meant = || nearest(second, codecs).or_else(|| with_number(second, codecs));
        let second = if is_codec { second.to_owned() } else { meant()? };
        Some(format!("{first},{second}"))
    })
}

/// Returns the number of letters that must be inserted, deleted, replaced or swapped with their
/// neighbour (optimal string alignment).
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

    fn number(head: &'static str) -> Form<'static> {
        let knows = move |t: &str| t.strip_prefix(head).is_some_and(|n| n.parse::<u32>().is_ok());
        (head, Box::new(knows))
    }

    #[test]
    fn the_nearest_known_token_is_found() {
        let forms = [("Flat", Box::new(|t: &str| t == "Flat") as Box<_>), number("IVF"), number("PQ")];
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

    #[test]
    fn a_comma_left_out_is_put_in() {
        let heads = [number("IVF")];
        let codecs = [("Flat", Box::new(|t: &str| t == "Flat") as Box<_>), number("PQ")];
        let pair = |text| pair(text, &heads, &codecs);
        for text in [
            "IVF1024_Flat",
            "IVF1024Flat",
            "ivf1024flat",
            "IVF1024-Falt",
            "ivfflat",
            "IVF1024;Flat",
            "IVF1024\u{ff0c}Flat",
        ] {
            assert_eq!(pair(text).as_deref(), Some("IVF1024,Flat"), "{text}");
        }
        assert_eq!(pair("ivf16pq8").as_deref(), Some("IVF16,PQ8"));
        for text in ["", "x", "IVF", "IVF16", "IVF16_SQ8", "\u{e4}\u{e4}Flat", "FlatIVF16"] {
            assert_eq!(pair(text), None, "{text}");
        }
    }
}
