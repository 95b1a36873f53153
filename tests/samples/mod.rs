//! Compositions of the samples of all registry rows.

use ivf::default_registry;

/// Returns factory strings made of the samples: every codec alone and after the first quantizer,
/// every index with a token of its own, and two codecs and every index of lists after every
/// quantizer. Some of them are also under every transform and wrapper, and under each pair of these
/// whose outer one is a wrapper or `L2norm`.
pub(crate) fn compositions() -> Vec<String> {
    let registry = default_registry();
    let in_lists = |token: &'static str| {
        registry.quantizers().iter().flat_map(|row| row.samples).map(move |quantizer| format!("{quantizer},{token}"))
    };
    let first = registry.quantizers()[0].samples;
    let plain = |base: &&String| first.iter().any(|token| base.starts_with(&format!("{token},")));
    let mut bases = Vec::new();
    let codecs: Vec<&'static str> = registry.codecs().iter().flat_map(|row| row.samples).copied().collect();
    for (i, codec) in codecs.iter().enumerate() {
        bases.push((*codec).to_owned());
        // A codec does not depend on how lists are found, so all quantizers are composed with two.
        let is_composed = i == 0 || i + 1 == codecs.len();
        bases.extend(in_lists(codec).filter(|base| is_composed || plain(&base)));
    }
    let transforms: Vec<&str> = registry.transforms().iter().flat_map(|row| row.samples).copied().collect();
    let wrapped = |inner: &str, transforms: &[&str]| -> Vec<String> {
        let around = registry.wrappers().iter().flat_map(|row| row.samples.iter().map(move |token| (row, token)));
        around
            .map(|(row, token)| match row.side {
                ivf::registry::Side::After => format!("({inner}),{token}"),
                _ => format!("{token},({inner})"),
            })
            .chain(transforms.iter().map(|token| format!("{token},({inner})")))
            .collect()
    };
    let mut all = bases.clone();
    // Wrappers do not depend on how lists are found, so only compositions with the first quantizer
    // are wrapped.
    let exact = bases.iter().rfind(|base| plain(base) && is_exact(base)).expect("lists of exact codes");
    let coded = bases.iter().rfind(plain).expect("lists of codes");
    for base in [&bases[0], exact, coded] {
        for once in wrapped(base, &transforms) {
            all.extend(wrapped(&once, &transforms[..1]));
            all.push(once);
        }
    }
    for token in registry.indexes().iter().filter(|row| row.takes_quantizer).flat_map(|row| row.samples) {
        all.extend(in_lists(token).find(|base| plain(&base)).iter().flat_map(|base| wrapped(base, &transforms[..1])));
        all.extend(in_lists(token));
    }
    let alone = registry.indexes().iter().filter(|row| !row.grammar.is_empty() && !row.takes_quantizer);
    for token in alone.flat_map(|row| row.samples) {
        all.extend(wrapped(token, &transforms[..1]));
        all.push((*token).to_owned());
    }
    all
}

/// Returns the samples of indexes whose token takes a codec: graphs, which are approximate.
#[allow(dead_code, reason = "not every test that has this module needs them")]
pub(crate) fn graphs() -> impl Iterator<Item = &'static str> {
    let rows = default_registry().indexes().iter().filter(|row| row.takes_codec);
    rows.flat_map(|row| row.samples).copied()
}

/// Returns whether the results are exact if every list is probed.
pub(crate) fn is_exact(spec: &str) -> bool {
    // Refining some results of another codec is not exact, and the codec of the centroids is not
    // that of the lists. Transforms round, or change distances, except for the one that appends
    // zeros.
    let transforms = default_registry().transforms().iter().flat_map(|row| row.samples);
    let rounds = transforms.filter(|token| !token.starts_with("Pad"));
    let is_coarser = rounds.chain(&["Refine("]).any(|kind| spec.contains(kind));
    spec.replace("RFlat", "").replace("(IVF4,Flat)", "").contains("Flat") && !is_coarser
}
