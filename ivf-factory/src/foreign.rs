//! Tokens of Faiss, and index names of other programs, that no row of the registry knows: what they
//! are, and what to use here.

/// A kind that exists elsewhere.
#[derive(Debug)]
pub(crate) struct Foreign {
    /// Forms of its token. `#` stands for digits, `*` for any end.
    forms: &'static [&'static str],
    /// What it is, with an article.
    pub(crate) is: &'static str,
    /// What to use here instead, in words.
    pub(crate) instead: &'static str,
    /// The token to write instead, with `#` for the first number of the foreign one. Empty if there
    /// is none.
    token: &'static str,
}

impl Foreign {
    const fn new(forms: &'static [&'static str], is: &'static str, instead: &'static str, token: &'static str) -> Self {
        Self { forms, is, instead, token }
    }

    /// Returns the token to write instead of the foreign one.
    pub(crate) fn token_for(&self, text: &str) -> Option<String> {
        let from = text.find(|c: char| c.is_ascii_digit());
        let rest = &text[from.unwrap_or(text.len())..];
        let number = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        (!self.token.is_empty()).then(|| self.token.replace('#', number))
    }
}

/// What to use instead of a graph, or of a codec.
const GRAPH: &str = "HNSW<M> is the graph here";
const CODES: &str = "PQ<M> compresses vectors, and RFlat re-ranks its results";

/// The foreign kinds. The first that has a form of a token is the one.
const KINDS: &[Foreign] = &[
    Foreign::new(
        &["IVF#_NSG*", "IVF#k_NSG*", "IVF#M_NSG*", "IVF#_SVSVamana*", "IVF#k_SVSVamana*", "IVF#M_SVSVamana*"],
        "lists whose centroids a graph finds",
        "IVF<n>_HNSW<M> has another graph",
        "",
    ),
    Foreign::new(&["Residual#", "Residual#x#"], "a two-level index without lists", "IVF<n>,PQ<M> codes residuals", ""),
    Foreign::new(
        &["#+PQ*", "#x#+PQ*", "HNSW#_#+PQ*", "HNSW#_2x#+PQ*"],
        "a codec of two levels, for graphs",
        "HNSW<M>,PQ<m> has codes of one level",
        "",
    ),
    Foreign::new(&["HNSW#_FlatPanorama*"], "a graph with another layout of full vectors", GRAPH, "HNSW#"),
    Foreign::new(&["NSG", "NSG#", "NSG#_*"], "a graph", GRAPH, "HNSW#"),
    Foreign::new(&["SVSFlat*"], "a flat index", "Flat is the one here", "Flat"),
    Foreign::new(&["SVSIVF*"], "an inverted file", "IVF<n>,Flat is the one here", ""),
    Foreign::new(&["SVS*", "DISKANN", "VAMANA*", "CAGRA*"], "a graph", GRAPH, ""),
    Foreign::new(&["SQ0", "SQtq*"], "a scalar quantizer", "SQ4, SQ6 and SQ8 are the ones of few bits", ""),
    Foreign::new(
        &["RQ#*", "LSQ#*", "PRQ#*", "PLSQ#*"],
        "an additive quantizer",
        "PQ<M> is the codec with codebooks",
        "",
    ),
    Foreign::new(
        &["RCQ#*", "LSCQ#*"],
        "an additive coarse quantizer",
        "IMI2x<bits> has many lists for few centroids, too",
        "",
    ),
    Foreign::new(&["EDEN*", "LSH*", "SH*", "ZnLattice*"], "a codec of few bits", CODES, ""),
    Foreign::new(
        &["FlatPanorama*", "FlatL2Panorama*", "FlatIPPanorama*"],
        "a layout of full vectors",
        "Flat has its own layout",
        "Flat",
    ),
    Foreign::new(&["RefinePanorama"], "a wrapper that re-ranks with full vectors", "RFlat does", "RFlat"),
    Foreign::new(
        &["BFlat", "BIVF#*", "BHNSW#*", "BHash#*"],
        "an index of binary vectors",
        "only float vectors are indexed here",
        "",
    ),
];

/// Names that other programs give to an index, and the factory string that is one.
const INDEXES: &[(&str, &str)] = &[
    ("IVF_FLAT", "IVF1024,Flat"),
    ("IVF_PQ", "IVF1024,PQ16"),
    ("IVFFlat", "IVF1024,Flat"),
    ("IVFPQ", "IVF1024,PQ16"),
    ("ScaNN", "IVF1024,PQ16,RFlat"),
    ("BRUTE_FORCE", "Flat"),
    ("IndexFlat", "Flat"),
    ("IndexFlatL2", "Flat"),
    ("IndexFlatIP", "Flat"),
    ("IndexIVFFlat", "IVF1024,Flat"),
    ("IndexIVFPQ", "IVF1024,PQ16"),
];

/// Returns the kind that a token names, in any case.
pub(crate) fn find(token: &str) -> Option<&'static Foreign> {
    KINDS.iter().find(|kind| kind.forms.iter().any(|form| is(token, form)))
}

/// Returns the factory string of an index that other programs name so, in any case.
pub(crate) fn index_named(name: &str) -> Option<&'static str> {
    INDEXES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, factory)| *factory)
}

/// Returns whether a token has a form.
fn is(token: &str, form: &str) -> bool {
    let Some(expected) = form.chars().next() else { return token.is_empty() };
    match expected {
        '*' => true,
        '#' => {
            let rest = token.trim_start_matches(|c: char| c.is_ascii_digit());
            rest.len() < token.len() && is(rest, &form[1..])
        }
        expected => {
            let mut rest = token.chars();
            rest.next().is_some_and(|found| found.eq_ignore_ascii_case(&expected)) && is(rest.as_str(), &form[1..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_match_whole_tokens() {
        for (token, form) in [("SQ0", "SQ0"), ("sqTQ4", "SQtq*"), ("RQ2x4_3x8", "RQ#x#_#x#"), ("RQ4x8_Nfloat", "RQ#*")]
        {
            assert!(is(token, form), "{token} {form}");
        }
        for (token, form) in
            [("SQ00", "SQ0"), ("SQ", "SQ0"), ("NSG", "NSG#"), ("NSG8_", "NSG#_#"), ("\u{e4}", "Pad#"), ("", "#")]
        {
            assert!(!is(token, form), "{token} {form}");
        }
    }

    #[test]
    fn every_form_is_found_as_its_own_kind() {
        for kind in KINDS {
            for form in kind.forms {
                let token = form.replace('#', "12").replace('*', "");
                assert_eq!(find(&token).map(|found| found.is), Some(kind.is), "{token}");
            }
        }
        assert_eq!(find("NSG32").unwrap().token_for("NSG32"), Some("HNSW32".to_owned()));
        for ours in [
            "Flat",
            "IVF16",
            "IVF16(Flat)",
            "IVF16_HNSW32",
            "HNSW",
            "HNSW32",
            "HNSW32_SQ8",
            "PQ8",
            "PQ8x8",
            "PQ8+16",
            "SQ8",
            "SQfp16",
            "L2norm",
            "PCA8",
            "OPQ4",
            "IDMap",
            "RFlat",
            "",
        ] {
            assert!(find(ours).is_none(), "{ours}");
        }
    }
}
