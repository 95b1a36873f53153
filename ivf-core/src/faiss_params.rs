//! Names of search parameters in Faiss's `ParameterSpace`, and why an index here may lack them.

/// Parameters of Faiss that no index has, or only some kinds of index.
const NAMES: &[(&str, &str)] = &[
    ("ht", "Faiss's threshold of polysemous codes; here no code is skipped by its Hamming distance"),
    ("verbose", "Faiss's switch for printing; here progress and reports come from TrainOptions and AddOptions"),
    ("prune_headroom", "Faiss's margin for pruning; no search here prunes by one"),
    ("efSearch", "a setting of searches of graphs"),
    ("efConstruction", "a knob of graphs, for adding"),
    ("k_factor_rf", "a setting of RFlat, Refine and PQ<M>+<M2>"),
    ("k_factor", "a setting of RFlat, Refine and PQ<M>+<M2>"),
    ("nprobe", "a setting of inverted files"),
    ("max_codes", "a setting of inverted files"),
];

/// Returns the reason why an index may lack a parameter, as the end of an error: `" (...)"`, or
/// nothing. A prefix or a path does not matter.
pub(crate) fn reason(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let of_quantizer = name.strip_prefix(crate::params::QUANTIZER_PREFIX);
    let name = of_quantizer.unwrap_or(name);
    let whose = if of_quantizer.is_some() { ", here of the coarse quantizer" } else { "" };
    NAMES.iter().find(|(known, _)| *known == name).map_or_else(String::new, |(_, why)| format!(" ({why}{whose})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_under_a_path_and_a_prefix() {
        for name in ["ht", "quantizer_ht", "base/quantizer/ht"] {
            assert!(reason(name).contains("polysemous"), "{name}");
        }
        assert_eq!(reason("nprob"), "");
    }
}
