//! Tests of the messages for invalid strings, compared with a golden file. `IVF_BLESS=1` rewrites
//! it.

mod common;

use common::toy_registry;
use ivf_factory::{Spec, default_registry};
use std::fmt::Write;
use std::{env, fs};

const MISTAKES: &[&str] = &[
    "",
    "IVF0,Flat",
    "IVF99999999999,Flat",
    "IVF4kM,Flat",
    "IVF16",
    "IVF16,",
    ",Flat",
    "IVF16,,Flat",
    "IVF16,Flat,",
    "IVF16,(Flat",
    "IVF16,Flat)",
    "IVF16,Fl\u{e4}t",
    "ivf16,flat",
    " IVF16, Flat",
    "Flat,Flat",
    "RFlat",
    "IDMap",
    "L2norm",
    "IVF16,L2norm,Flat",
    "IVF16,IVF16,Flat",
    "IVF16,SQ8",
    "()",
    "RFlat,Flat",
    "IVF16,PQ8x99",
    "L2norm,(IVF16,PQ0),RFlat",
    "IVF16,(Flat)",
    "(IVF16),Flat",
    "IVF16(Flat)",
    "(Flat)IDMap",
    "Flat,(Flat)",
    "HNSW32,Flat,Flat",
    "HNSW32,Falt",
    "HNSW32,PQ0",
    "HNSW32,IVF16,Flat",
    "HNSW32,",
    "HNSW0",
    "Graph,PQ8",
    "IVF16,HNSW32",
    "Flat;IDMap",
    "NSG32",
    "IVF1024_Flat",
    "IVF1024Flat",
    "ivfflat",
    "RFlat(3)",
    "IVF16,Flat,RFlat(3)",
    "Refine(Flat)",
    "Flat,Refine",
    "Flat,Refine()",
    "Flat,Refine(IVF16)",
    "Flat,refine(PQ8)",
    "Flat,Refine(PQ8",
    "Flat,Refine(PQ8)(PQ8)",
    "Flat,Refine(PQ8)x",
    "Flat,Rank(PQ8)",
    "IVF1024(RCQ2x5),PQ8",
    "IVF64(IVF16,Falt),Flat",
    "L2norm,IVF64(IVF16(IVF4,PQ0),Flat),PQ8",
    "IVF64(),Flat",
    "IVF64(IVF16,),Flat",
    "IVF16,PQ8(Flat)",
    "IVF1_HNSW0,Flat",
    "Sign(Sign(Sign(PQ8x99)))",
    "IDMap,IVF16,Falt,RFlt",
    "IVF_FLAT",
    "IVF_PQ",
    "IVF1024\u{ff0c}Flat",
    "IVF",
    "IVF16,PQ",
    "IVF16,Flat,L2norm",
    "IVF16_NSG64,Flat",
    "IVF16,PQ8+16",
    "IVF16,RaBitQ4",
    "OPQ16,IVF16,Flat",
    "Sorted8",
    "IVF16,Sorted9",
    "IVF16,sorted8",
    "IVF16,Sorted8,Flat",
    "Flat\n",
    "\u{1b}[31mFl\u{e4}t",
];

#[test]
fn mistakes_are_explained() {
    let registry = toy_registry();
    let mut text = String::new();
    for factory in MISTAKES {
        let error = Spec::parse(factory, &registry).unwrap_err();
        writeln!(text, "{error}\n").unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/mistakes.txt");
    if env::var_os("IVF_BLESS").is_some() {
        fs::write(path, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(path).unwrap(), "set IVF_BLESS=1 to rewrite {path}");
}

#[test]
fn the_library_finds_the_same_faults() {
    for (factory, fault) in [
        ("", ""),
        ("IVF0,Flat", "0"),
        ("IVF99999999999,Flat", "99999999999"),
        ("IVF4kM,Flat", "kM"),
        ("IVF16", ""),
        ("IVF16,", ""),
        (",Flat", ""),
        ("IVF16,,Flat", ""),
        ("IVF16,Flat,", ""),
        ("IVF16,(Flat", "("),
        ("IVF16,Flat)", ")"),
        ("IVF16,Fl\u{e4}t", "\u{e4}"),
        ("ivf16,flat", "ivf16"),
        ("IVF16, Flat", " "),
        ("RFlat,Flat", "RFlat"),
        ("IVF16,L2norm,Flat", "L2norm"),
        ("IVF16,Nothing", "Nothing"),
        ("IVF16,Flat,RFlat(3)", "(3)"),
        ("IVF1024(RCQ2x5),SQ8", "RCQ2x5"),
        ("IVF16,Flat,Rank(Flat)", "Rank(Flat)"),
        ("IVF1024_Flat", "IVF1024_Flat"),
    ] {
        let error = Spec::parse(factory, default_registry()).unwrap_err();
        assert_eq!(&factory[error.span.clone()], fault, "{error}");
    }
}

/// What the library knows of tokens that it lacks: the fault, a part of the message, and what was
/// probably meant.
#[test]
fn the_library_knows_the_tokens_of_faiss_that_it_lacks() {
    let mut wrong = String::new();
    for (factory, fault, what, meant) in [
        ("IVF1024(RCQ2x5)", "RCQ2x5", "in Faiss it is an additive coarse quantizer", None),
        ("IVF1024(RCQ2x5),Flat", "RCQ2x5", "IMI2x<bits> has many lists for few centroids, too", None),
        ("Refine(Flat)", "Refine(Flat)", "stands after the index that it wraps", Some("Flat,Refine(Flat)")),
        ("IVF16,Flat,Refine(IVF4,PQ0)", "0", "the number of subquantizers must be from 1", None),
        ("IVF16,Flat,Refine(IVF4)", "", "a codec must follow 'IVF4'", None),
        ("IVF16,Flat,Refine(PQ8(Flat))", "(Flat)", "'PQ8' takes no arguments", None),
        ("IVF16,Flat,Refine(RQ4x8)", "RQ4x8", "known in Faiss, not here yet", None),
        ("MinMax", "MinMax", "MinMax needs a codec in parentheses", None),
        ("MinMax,PQ0", "0", "the number of subquantizers must be from 1", None),
        ("IVF16,MinMax,SQ8", "MinMax", "MinMax needs a codec in parentheses", None),
        ("Shards0(Flat)", "0", "the number of shards must be from 1 to 64", None),
        ("Shards65(Flat)", "65", "the number of shards must be from 1 to 64", None),
        ("Replicas(Flat)", "", "the number of replicas must follow", None),
        ("Shards2(Falt)", "Falt", "unknown token 'Falt'", None),
        ("Shards2(Shards2(Shards2(Flat)))", "Shards2(Shards2(Flat))", "more than 2 of Shards and Replicas", None),
        ("IVF16,Flat,Refine(PQ0)", "0", "the number of subquantizers must be from 1", None),
        ("IVF16,Flat,Refine", "Refine", "Refine needs an index in parentheses", None),
        ("RFlat(3)", "(3)", "'RFlat' takes no arguments", Some("Flat,RFlat")),
        ("IVF1K,Flat", "K", "the number of lists may be followed only by k (x 1024)", Some("IVF1k,Flat")),
        ("IVF2m,PQ8", "m", "or M (x 1048576)", Some("IVF2M,PQ8")),
        ("ScaNN", "ScaNN", "unknown token", Some("IVF1024,PQ16,RFlat")),
        ("IVF16,Flat,RFlat(3)", "(3)", "'RFlat' takes no arguments", Some("IVF16,Flat,RFlat")),
        ("IVF_FLAT", "IVF_FLAT", "unknown token", Some("IVF1024,Flat")),
        ("IVF1024_Flat", "IVF1024_Flat", "unknown token", Some("IVF1024,Flat")),
        ("IVF1024Flat", "Flat", "the number of lists may be followed only", Some("IVF1024,Flat")),
        ("ivfflat", "ivfflat", "unknown token", Some("IVF1024,Flat")),
        ("IVFFlat", "Flat", "the number of lists is missing", Some("IVF1024,Flat")),
        ("IVF_PQ", "IVF_PQ", "unknown token", Some("IVF1024,PQ16")),
        ("IndexIVFPQ", "IndexIVFPQ", "unknown token", Some("IVF1024,PQ16")),
        ("IVF100\u{ff0c}PQ8", "\u{ff0c}PQ8", "the number of lists may be followed only", Some("IVF100,PQ8")),
        ("IVF,Flat", "", "the number of lists is missing", Some("IVF1024,Flat")),
        ("IVF100,PQ", "PQ", "PQ needs the number of subquantizers", Some("IVF100,PQ16")),
        ("IVF1024;Flat", ";Flat", "the number of lists may be followed only", Some("IVF1024,Flat")),
        ("IVF1024,Flat,L2norm", "L2norm", "only wrappers may follow", Some("L2norm,IVF1024,Flat")),
        ("\"IVF1024,Flat\"", "\"IVF1024", "unknown token", Some("IVF1024,Flat")),
        ("HNSW1", "1", "a vector has 2 to 1024 links", None),
        ("HNSW8_SQ8,PQ4", "SQ8", "a second codec follows the comma", None),
        ("HNSW8_PQ0", "0", "the number of subquantizers must be from 1", None),
        ("HNSW32_1024+PQ16", "HNSW32_1024+PQ16", "a codec of two levels, for graphs", None),
        ("HNSW32,2x10+PQ16", "2x10+PQ16", "a codec of two levels, for graphs", None),
        ("NSG32,Flat", "NSG32", "in Faiss it is a graph; HNSW<M> is the graph here", Some("HNSW32,Flat")),
        ("IVF64_NSG32,Flat", "IVF64_NSG32", "lists whose centroids a graph finds", None),
        ("IVF64_HNSW1,Flat", "1", "a vector has 2 to 1024 links", None),
        ("IVF256,SQ0", "SQ0", "in Faiss it is a scalar quantizer", None),
        ("SQtqmse4", "SQtqmse4", "in Faiss it is a scalar quantizer", None),
        ("PQ8+16", "PQ8+16", "a coarse quantizer must stand before it: IVF64,PQ8+16", None),
        ("L2norm,PQ8+16", "PQ8+16", "a coarse quantizer must stand before it", None),
        ("IVF64,PQ8+", "", "the second product quantizer must follow", None),
        ("IVF64,PQ8+0", "0", "the number of subquantizers must be from 1", None),
        ("IVF64,PQ8+4x77", "77", "the number of bits must be from 1", None),
        ("IVF64,PQ8+x4", "x4", "PQ needs the number of subquantizers", None),
        ("IVF64,PQ+16", "PQ", "PQ needs the number of subquantizers", None),
        ("IVF64,PQ0+16", "0", "the number of subquantizers must be from 1", None),
        ("IVF64,PQ8+16+32", "16+32", "'PQ16+32' is not a codec", None),
        ("IVF64,pq8+16", "pq8+16", "no codec is named", Some("IVF64,PQ8+16")),
        ("IVF64,PQ8+16(Flat)", "(Flat)", "takes no arguments", Some("IVF64,PQ8+16")),
        ("IVF64,Flat,Refine(PQ8+16)", "PQ8+16", "a coarse quantizer must stand before it", None),
        ("OPQ64_100,IVF64,PQ64", "100", "the number of subquantizers, 64, must divide 100", None),
        ("OPQ,Flat", "OPQ", "needs the number of subquantizers", Some("OPQ16,Flat")),
        ("OPQ16x8,Flat", "OPQ16x8", "needs the number of subquantizers", None),
        ("OPQ16_,Flat", "", "a number of dimensions must be here", None),
        ("PCA,Flat", "PCA", "needs the number of dimensions", Some("PCA1024,Flat")),
        ("PCAR8x,Flat", "8x", "a number of dimensions must be here", None),
        ("PCARW8,Flat", "W8", "a number of dimensions must be here", None),
        ("PCA0,Flat", "0", "from 1 to", None),
        ("RR0,Flat", "0", "from 1 to", None),
        ("HRx,Flat", "x", "only a seed may follow", None),
        ("HR4294967296,Flat", "4294967296", "only a seed may follow", None),
        ("ITQ+8,Flat", "+8", "a number of dimensions must be here", None),
        ("Pad,Flat", "Pad", "needs the number of dimensions", Some("Pad1024,Flat")),
        ("pca8,Flat", "pca8", "", Some("PCA8,Flat")),
        ("IVF256,EDEN4", "EDEN4", "in Faiss it is a codec of few bits", None),
        ("Residual2x9,PQ8", "Residual2x9", "without lists", None),
        ("IMI2x16,Flat", "16", "each half has 1 to 15 bits", None),
        ("IMI2x,Flat", "", "the number of bits of each half must follow", None),
        ("BIVF224", "BIVF224", "an index of binary vectors", None),
        ("IVF16,FlatPanorama8", "FlatPanorama8", "a layout of full vectors", Some("IVF16,Flat")),
        ("FlatDedup", "FlatDedup", "a coarse quantizer must stand before it", None),
        ("IDMap,FlatDedup", "FlatDedup", "a coarse quantizer must stand before it", None),
        ("IVF16,Flat,FlatDedup", "FlatDedup", "the index is complete", None),
        ("IVF16,flatdedup", "flatdedup", "no codec is named", Some("IVF16,FlatDedup")),
        ("IVF16,FlatDedup(PQ8)", "(PQ8)", "takes no arguments", Some("IVF16,FlatDedup")),
        ("IVF16FlatDedup", "FlatDedup", "may be followed only by k", Some("IVF16,FlatDedup")),
    ] {
        let error = Spec::parse(factory, default_registry()).unwrap_err();
        let found = (&factory[error.span.clone()], error.what.contains(what), error.suggestion.as_deref());
        if found != (fault, true, meant) || error.what.contains("a comma must stand") {
            writeln!(wrong, "{factory}: {error}\n").unwrap();
        }
    }
    assert_eq!(wrong, "");
}
