//! Every token of Faiss's `index_factory`: it is a token here too, or its error names it. The table
//! in docs/factory.md is generated. `IVF_BLESS=1` rewrites it.

use ivf_core::Metric;
use ivf_factory::{FactoryError, build};
use std::fmt::Write;
use std::{env, fs};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/factory.md");

/// Dimension of the samples.
const DIM: usize = 64;

/// A token of Faiss. `~` in a sample is the token itself, which the caret of an error is under.
struct Row {
    token: &'static str,
    samples: &'static [&'static str],
    /// How the index differs from that of Faiss, if it is there.
    note: &'static str,
}

const fn row(token: &'static str, samples: &'static [&'static str]) -> Row {
    Row { token, samples, note: "" }
}

impl Row {
    const fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }
}

const ROWS: &[Row] = &[
    row("IDMap, IDMap2", &["IDMap,Flat", "Flat,IDMap", "IDMap2,IVF4,Flat", "IDMap2,Flat,IDMap"]),
    row("RFlat", &["IVF4,PQ8,RFlat", "IDMap,Flat,RFlat"]).note("`k_factor_rf` is 4 by default, not 1"),
    row("Refine(<index>)", &["Flat,Refine(SQ8)", "PQ8,Refine(IVF4,Flat)", "PQ8,Refine(L2norm,Flat)"])
        .note("an inverted file finds given ids by a map, which Faiss leaves to the caller"),
    row("RefinePanorama(<index>)", &["IVF4,PQ8,~RefinePanorama(Flat)~"]),
    row("PCA[W][R]<n>", &["~PCA16~,Flat", "~PCAW16~,Flat", "~PCAR16~,Flat", "~PCAWR16~,IVF4,Flat"])
        .note("the mean is subtracted for L2 only, so inner products keep their order"),
    row("L2norm, L2Norm", &["L2norm,Flat", "L2Norm,IVF4,Flat"]).note("a zero vector is an error"),
    row("RR[<n>]", &["~RR~,Flat", "~RR16~,Flat"]),
    row("HR[<seed>]", &["~HR~,Flat", "~HR7~,Flat"]),
    row("ITQ[<n>]", &["~ITQ~,Flat", "~ITQ16~,Flat"]),
    row("OPQ<M>[_<d>]", &["~OPQ8~,PQ8", "~OPQ8_32~,IVF4,PQ8"]),
    row("Pad<n>", &["~Pad128~,Flat"]),
    row("MinMax, MinMaxFP16", &["MinMax,SQ8", "MinMaxFP16,SQ4", "IDMap,MinMax,PQ8"])
        .note("takes a codec, and not any index; it can be searched, and `IVF16,MinMax(SQ8)` is valid"),
    row("IVF<n>", &["IVF4,Flat", "IVF4k,Flat", "IVF1M,SQ8"]),
    row("IMI2x<b>", &["~IMI2x4~,Flat"]),
    row("IVF<n>_HNSW<M>", &["~IVF16_HNSW32~,Flat", "~IVF16_HNSW~,PQ8", "~IVF4k_HNSW8~,SQ8"]),
    row("IVF<n>_NSG<R>", &["~IVF16_NSG64~,Flat", "~IVF4k_NSG64~,Flat"]),
    row("IVF<n>_SVSVamana<d>", &["~IVF16_SVSVamana32~,Flat", "~IVF16_SVSVamana32_FP16~,Flat"]),
    row("IVF<n>(<index>)", &["IVF16(IVF4,Flat),Flat", "IVF16(L2norm,Flat),PQ8"]),
    row("Residual<n>, Residual<M>x<b>", &["~Residual16~,PQ8", "~Residual2x4~,PQ8x4"]),
    row("Flat", &["Flat", "IVF4,Flat"]),
    row("FlatDedup", &["IVF4,FlatDedup"]).note("also with a direct map, range search and updates"),
    row("FlatPanorama", &["IVF4,~FlatPanorama~", "IVF4,~FlatPanorama8_64~"]),
    row("FlatL2Panorama<n>, FlatIPPanorama<n>", &["~FlatL2Panorama8~", "~FlatIPPanorama8_64~"]),
    row("SQ4, SQ6, SQ8", &["SQ4", "SQ6", "IVF4,SQ8"]),
    row("SQfp16, SQbf16", &["SQfp16", "IVF4,SQbf16"]),
    row("SQ8_direct, SQ8_direct_signed", &["SQ8_direct", "IVF4,SQ8_direct_signed"]),
    row("SQ0", &["~SQ0~", "IVF4,~SQ0~"]),
    row("SQtqmse<b>, SQtq<b>", &["~SQtqmse4~", "IVF4,~SQtq5~"]),
    row("PQ<M>[x<b>][np]", &["PQ8", "PQ8x4", "PQ8x12np", "IVF4,PQ8np"])
        .note("no polysemous codes: `np` changes nothing"),
    row("PQ<M>+<M2>", &["IVF4,PQ8+16"]),
    row("PQ<M>x4fs[r][_<bbs>]", &["PQ8x4fs", "IVF4,PQ8x4fsr", "IVF4,PQ8x4fs_64"])
        .note("distances are exact, and the block size changes nothing"),
    row(
        "RQ.., LSQ..",
        &[
            "~RQ4x8~",
            "~LSQ4x8~",
            "IVF4,~RQ2x4_3x8_Nfloat~",
            "~RQ4x4fs_32_Nrq2x4~",
            "IVF4,~LSQ4x4fsr_64~",
            "~RQ2x4_3x8~",
        ],
    ),
    row("PRQ.., PLSQ..", &["~PRQ2x4x8~", "IVF4,~PLSQ2x4x8_Nqint8~", "~PRQ2x4x4fs_32~", "IVF4,~PLSQ2x4x4fsr~"]),
    row("RCQ.., LSCQ..", &["~RCQ2x5~", "~LSCQ4x8~", "IVF16(~RCQ2x5~),SQ8"]),
    row("LSH[<n>][r][t]", &["~LSH~", "~LSH16rt~", "~LSHt~", "PQ8,Refine(~LSH~)"]),
    row("(ITQ|PCA|PCAR)<n>,SH..", &["IVF4,~PCA16~,~SH8c~", "IVF4,~ITQ16~,~SH~", "IVF4,~PCAR16~,~SH-1e10g~"]),
    row("ZnLattice<M>x<r>_<b>", &["~ZnLattice4x10_6~"]),
    row("RaBitQ[<b>]", &["RaBitQ", "IVF4,RaBitQ4"]).note("knob `qb`: 0 by default, not 4"),
    row("RaBitQfs[<b>][_<bbs>]", &["RaBitQfs", "IVF4,RaBitQfs2_64"]),
    row("EDEN[<b>][BIAS|BIASED]", &["~EDEN~", "IVF4,~EDEN4BIASED~"]),
    row("HNSW<M>[,Flat|,SQ..|,PQ..]", &["~HNSW~", "~HNSW32~", "~HNSW32~,Flat", "~HNSW16~,SQ8", "~HNSW16~,PQ8"]),
    row("HNSW<M>,<n>+PQ.., HNSW<M>,2x<b>+PQ..", &["~HNSW32~,~64+PQ8~", "~HNSW32~,~2x8+PQ8~"]),
    row("NSG<R>[,Flat|,SQ..|,PQ..]", &["~NSG~", "~NSG32~,Flat", "~NSG16~,SQ8"]),
    row("SVS..", &["~SVSFlat~", "~SVSVamana32~,SQ8", "~SVSIVF64~"]),
    row("BFlat, BIVF.., BHNSW.., BHash..", &["~BFlat~", "~BIVF64~", "~BIVF64_HNSW32~", "~BHNSW32~", "~BHash16x8~"]),
];

/// Returns whether a sample builds. If it does not, the error must say that Faiss knows one of its
/// marked tokens, and be under it.
fn is_here(sample: &str) -> bool {
    let parts: Vec<&str> = sample.split('~').collect();
    let factory = parts.concat();
    let marked: Vec<&str> = parts.iter().skip(1).step_by(2).copied().collect();
    match build(&factory, DIM, Metric::L2) {
        Ok(_) => true,
        Err(FactoryError::Parse(error)) => {
            let at = &factory[error.span.clone()];
            assert!(error.to_string().contains("known in Faiss, not here yet"), "{error}");
            assert!(marked.contains(&at), "the caret is under '{at}', not under one of {marked:?}: {error}");
            false
        }
        Err(error) => panic!("{factory}: {error}"),
    }
}

fn table() -> String {
    let mut text = "\n| token | here | note |\n|---|---|---|\n".to_owned();
    for Row { token, samples, note } in ROWS {
        let here = samples.iter().filter(|sample| is_here(sample)).count();
        let status = match here {
            0 => "not yet",
            _ if here < samples.len() => "in part",
            _ if note.is_empty() => "yes",
            _ => "differs",
        };
        let note = if here == 0 { "" } else { note };
        writeln!(text, "| `{}` | {status} | {note} |", token.replace('|', "\\|")).unwrap();
    }
    text + "\n"
}

#[test]
fn every_token_of_faiss_is_here_or_refused_by_its_name() {
    let found = fs::read_to_string(PATH).unwrap();
    let (begin, end) = ("<!-- faiss-tokens: begin -->\n", "<!-- faiss-tokens: end -->");
    let (head, rest) = found.split_once(begin).expect("the table begins at its marker");
    let (_, tail) = rest.split_once(end).expect("the table ends at its marker");
    let wanted = format!("{head}{begin}{}{end}{tail}", table());
    if env::var_os("IVF_BLESS").is_some() {
        fs::write(PATH, &wanted).unwrap();
    }
    assert_eq!(fs::read_to_string(PATH).unwrap(), wanted, "set IVF_BLESS=1 to rewrite {PATH}");
}
