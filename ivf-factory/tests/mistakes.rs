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
