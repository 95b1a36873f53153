//! Compositions of the samples of all registry rows.

use ivf::default_registry;

/// Returns factory strings made of the samples: every codec alone, and every codec and index of
/// lists after every quantizer. Some of them are also under every transform and wrapper, and under
/// each pair of these.
pub(crate) fn compositions() -> Vec<String> {
    let registry = default_registry();
    let in_lists = |token: &'static str| {
        registry.quantizers().iter().flat_map(|row| row.samples).map(move |quantizer| format!("{quantizer},{token}"))
    };
    let mut bases = Vec::new();
    for codec in registry.codecs().iter().flat_map(|row| row.samples) {
        bases.push((*codec).to_owned());
        bases.extend(in_lists(codec));
    }
    let wrapped = |inner: &str| -> Vec<String> {
        let around = registry.wrappers().iter().flat_map(|row| row.samples.iter().map(move |token| (row, token)));
        around
            .map(|(row, token)| match row.side {
                ivf::registry::Side::After => format!("({inner}),{token}"),
                _ => format!("{token},({inner})"),
            })
            .chain(registry.transforms().iter().flat_map(|row| row.samples).map(|token| format!("{token},({inner})")))
            .collect()
    };
    let mut all = bases.clone();
    // Wrappers do not depend on how lists are found, so compositions with index quantizers are not
    // wrapped.
    let plain = |base: &&String| !base.contains('(');
    let exact = bases.iter().rfind(|base| plain(base) && is_exact(base)).expect("lists of exact codes");
    let coded = bases.iter().rfind(plain).expect("lists of codes");
    for base in [&bases[0], exact, coded] {
        for once in wrapped(base) {
            all.extend(wrapped(&once));
            all.push(once);
        }
    }
    for token in registry.indexes().iter().filter(|row| row.takes_quantizer).flat_map(|row| row.samples) {
        all.extend(in_lists(token).find(|base| plain(&base)).iter().flat_map(|base| wrapped(base)));
        all.extend(in_lists(token));
    }
    all
}

/// Returns whether the results are exact if every list is probed.
pub(crate) fn is_exact(spec: &str) -> bool {
    // Refining some results of another codec is not exact, and the codec of the centroids is not
    // that of the lists.
    let is_coarser = ["L2norm", "Refine("].iter().any(|kind| spec.contains(kind));
    spec.replace("RFlat", "").replace("(IVF4,Flat)", "").contains("Flat") && !is_coarser
}
