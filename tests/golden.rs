//! Index files from the time when their format version was frozen. They can be read, give the same
//! answers as then, and are written again byte for byte.
//!
//! `tests/golden/` has files of version 1, which is no longer written, with their recorded answers.
//! `tests/golden/version2/` has the result of writing each of them again, and files of kinds that
//! were added later.
//!
//! `IVF_BLESS=1` adds the files for new rows of [`CASES`] and [`LATER`]. It never overwrites an
//! existing file: other bytes would mean another format.

use ivf::node::{DType, StoredFields, StoredNode};
use ivf::{Id, IdSelector, Index, Metric, Rows, SearchParams, read_index, write_index};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// File name, factory string and metric of the files of version 1.
const CASES: &[(&str, &str, Metric)] = &[
    ("flat", "Flat", Metric::L2),
    ("ivf_flat_l2", "IVF6,Flat", Metric::L2),
    ("ivf_flat_ip", "IVF6,Flat", Metric::InnerProduct),
    ("ivf_flat_cosine", "IVF6,Flat", Metric::Cosine),
    ("ivf_pq_l2", "IVF6,PQ4", Metric::L2),
    ("ivf_pq_ip", "IVF6,PQ4", Metric::InnerProduct),
    ("ivf_pq_raw", "IVF6,PQ4np", Metric::L2),
    ("pq_refined", "IVF6,PQ2,RFlat", Metric::L2),
    ("id_map", "IDMap2,Flat", Metric::L1),
    ("norm", "L2norm,IVF6,Flat", Metric::L2),
    ("untrained", "IVF6,PQ4", Metric::L2),
];

/// File name, factory string and metric of the files that exist in version 2 only.
const LATER: &[(&str, &str, Metric)] = &[
    ("nested", "IVF6(IVF2,Flat),Flat", Metric::L2),
    ("sparse", "IVF40,PQ4", Metric::InnerProduct),
    ("few_ids", "IDMap2,Flat", Metric::L2),
    ("pq_four_bits", "IVF6,PQ4x4fs_64", Metric::L2),
    ("pq_five_bits", "IVF6,PQ4x5", Metric::InnerProduct),
    ("rabitq", "IVF6,RaBitQ4", Metric::L2),
    ("rabitq_signs", "RaBitQfs_64", Metric::InnerProduct),
    ("sq4", "IVF6,SQ4", Metric::L2),
    ("sq6", "IVF6,SQ6", Metric::InnerProduct),
    ("sq8", "IVF6,SQ8", Metric::L2),
    ("sq8_direct", "SQ8_direct", Metric::L2),
    ("sq8_direct_signed", "IVF6,SQ8_direct_signed", Metric::InnerProduct),
    ("sq8_terms", "IVF6,SQ8", Metric::InnerProduct),
    ("sq8_direct_terms", "IVF6,SQ8_direct", Metric::L2),
    ("sq4_terms", "IVF6,SQ4", Metric::InnerProduct),
    ("sq_fp16", "IVF6,SQfp16", Metric::L2),
    ("sq_bf16", "IVF6,SQbf16", Metric::InnerProduct),
    ("flat_dedup", "IVF6,FlatDedup", Metric::L2),
    ("refined_by_codes", "IVF6,PQ2,Refine(SQ8)", Metric::L2),
    ("refined_by_residuals", "IVF6,PQ2+4", Metric::L2),
    ("refined_by_rows", "IVF6,PQ2,Refine(SQ6)", Metric::InnerProduct),
    ("refined_by_rows_of_residuals", "IVF6,PQ2+4", Metric::InnerProduct),
    ("refined_by_index", "IVF6,PQ2,Refine(L2norm,IVF4,Flat)", Metric::L2),
    ("min_max", "IVF6,MinMax(SQ8)", Metric::L2),
    ("min_max_half", "MinMaxFP16(SQ4)", Metric::InnerProduct),
    ("shards", "Shards3(IVF6,Flat)", Metric::L2),
    ("replicas", "Replicas2(Flat)", Metric::InnerProduct),
    ("pca", "PCAR6,IVF6,Flat", Metric::L2),
    ("pca_whitened", "PCAW5,Flat", Metric::InnerProduct),
    ("opq", "OPQ2_6,IVF6,PQ2", Metric::L2),
    ("opq_padded", "OPQ3_9,PQ3x4", Metric::Cosine),
    ("rotations", "RR,HR7,IVF6,Flat", Metric::L2),
    ("itq", "ITQ6,Flat", Metric::L2),
    ("padded", "Pad10,Center,Flat", Metric::L1),
    ("hnsw", "HNSW4", Metric::L2),
    ("hnsw_sq8", "HNSW4,SQ8", Metric::InnerProduct),
    ("graph_of_centroids", "IVF6_HNSW4,Flat", Metric::L2),
    ("multi_index", "IMI2x2,Flat", Metric::L2),
];

const DIM: usize = 8;
const VECTORS: usize = 300;
const QUERIES: usize = 5;
const K: usize = 7;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Returns numbers between 0 and 1 that every library on every machine can reproduce.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 65_536.0
    };
    (0..count).map(next).collect()
}

/// Builds the index of a case, with consecutive ids and, if it takes ids, arbitrary negative ones.
fn build(name: &str, factory: &str, metric: Metric) -> Box<dyn Index> {
    let mut index = ivf::build(factory, DIM, metric).unwrap();
    if name == "untrained" {
        return index;
    }
    let mut vectors = numbers(VECTORS * DIM, 1);
    if name.starts_with("sq8_direct") {
        // Codes are whole numbers.
        vectors.iter_mut().for_each(|x| *x *= 100.0);
    }
    let rows = Rows::new(&vectors, DIM).unwrap();
    index.train(rows).unwrap();
    index.add(rows.slice(0..VECTORS - 20)).unwrap();
    let ids: Vec<Id> = (0..20).map(|i| Id(i * i - 100_000)).collect();
    if index.as_add_with_ids().is_some() {
        index.add_with_ids(rows.slice(VECTORS - 20..VECTORS), &ids).unwrap();
    }
    if name == "flat_dedup" {
        // Some copies have several vectors. Two of them have names that are not among their ids.
        index.add(rows.slice(0..40)).unwrap();
        index.add_with_ids(rows.slice(10..20), &[Id(12); 10]).unwrap();
        index.remove(&IdSelector::range(15..17)).unwrap();
    }
    if ["sparse", "few_ids"].contains(&name) {
        // Most lists are empty, or most ids removed, and the file names only the others.
        let kept = index.search(rows.slice(0..1), 5, &SearchParams::new()).unwrap().hits.ids().to_vec();
        index.remove(&!IdSelector::set(kept)).unwrap();
    }
    if name == "sparse" {
        index.set_knob("by_residual", true).unwrap();
        index.set_knob("mode", "queries").unwrap();
    }
    if index.parts().iter().flat_map(|part| &part.knobs).any(|knob| knob.name() == "nprobe") {
        ivf::knobs::set_knobs(&mut *index, "nprobe=3").unwrap();
    }
    index
}

/// Returns the properties of the index and its results, with the bits of the distances.
fn answers(index: &dyn Index) -> String {
    let mut text = format!("{} | {} | {} x {}\n", index.spec(), index.metric(), index.len(), index.dim());
    if !index.is_trained() {
        return text;
    }
    let queries = numbers(QUERIES * DIM, 2);
    let found = index.search(Rows::new(&queries, DIM).unwrap(), K, &SearchParams::new()).unwrap();
    for row in found.hits.rows() {
        let hits: Vec<String> = row
            .ids
            .iter()
            .zip(row.distances)
            .map(|(id, distance)| format!("{id}:{:08x}", distance.to_bits()))
            .collect();
        writeln!(text, "{}", hits.join(" ")).unwrap();
    }
    text
}

/// Reads a golden file, and compares its answers and the bytes of the file written from it.
fn check(file: &Path, text: &Path, again: &Path, bless: bool) {
    let index = read_index(file).unwrap_or_else(|error| panic!("{error}"));
    if bless && !text.exists() {
        fs::write(text, answers(&*index)).unwrap();
    }
    assert_eq!(answers(&*index), fs::read_to_string(text).unwrap(), "{}", file.display());
    if bless && !again.exists() {
        write_index(&index, again).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("again.ivf");
    write_index(&index, &written).unwrap();
    assert!(fs::read(&written).unwrap() == fs::read(again).unwrap(), "{} becomes other bytes", file.display());
}

fn version(file: &Path) -> u8 {
    fs::read(file).unwrap()[8]
}

#[test]
fn golden_files_are_read_answer_as_they_did_and_are_written_byte_for_byte() {
    let bless = env::var_os("IVF_BLESS").is_some();
    for &(name, ..) in CASES {
        let (old, text) = (golden(&format!("{name}.ivf")), golden(&format!("{name}.txt")));
        let new = golden(&format!("version2/{name}.ivf"));
        check(&old, &text, &new, bless);
        check(&new, &text, &new, false);
        assert_eq!((version(&old), version(&new)), (1, 2), "{name}");
    }
    for &(name, factory, metric) in LATER {
        let (file, text) = (golden(&format!("version2/{name}.ivf")), golden(&format!("version2/{name}.txt")));
        if bless && !file.exists() {
            write_index(&build(name, factory, metric), &file).unwrap();
        }
        check(&file, &text, &file, bless);
    }
    let files = |folder: &str| {
        let entries = fs::read_dir(golden(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let names: BTreeSet<String> = entries.map(|name| name.into_string().unwrap()).collect();
        names
    };
    let both = |name: &str| [format!("{name}.ivf"), format!("{name}.txt")];
    let old = CASES.iter().flat_map(|(name, ..)| both(name)).chain(["version2".to_owned()]);
    assert_eq!(files(""), old.collect());
    let new = CASES.iter().map(|(name, ..)| format!("{name}.ivf"));
    assert_eq!(files("version2"), new.chain(LATER.iter().flat_map(|(name, ..)| both(name))).collect());
}

/// Checks that docs/format.md has rows for a node and its descendants that name their arrays,
/// fields and children.
fn check_documented(node: &StoredNode, seen: &mut BTreeSet<String>) {
    let rows = include_str!("../docs/format.md").lines().filter(|line| line.starts_with("| `"));
    let tags = |row: &str| row.split(" | ").next().is_some_and(|cell| cell.contains(&format!("`{}`", node.tag)));
    // A codec and a quantizer may have the same tag.
    let rows: Vec<&str> = rows.filter(|row| tags(row)).collect();
    assert!(!rows.is_empty(), "docs/format.md has no row for '{}'", node.tag);
    let documented = |what: &str| rows.iter().any(|row| row.contains(what));
    for array in &node.arrays {
        let element = match array.dtype {
            DType::Element(element) => format!("{element:?}"),
            other => format!("{other:?}"),
        };
        let what = match array.name.strip_prefix("plane") {
            Some(_) => "`plane0`, ... u8".to_owned(),
            None => format!("`{}` {}", array.name, element.to_lowercase()),
        };
        assert!(documented(&what), "docs/format.md does not say {what} of '{}'", node.tag);
    }
    let StoredFields::Named(fields) = &node.fields else { panic!("fields of version 2 have names") };
    for (name, _) in fields.iter() {
        assert!(documented(&format!("`{name}`")), "docs/format.md does not say `{name}` of '{}'", node.tag);
    }
    for (name, child) in &node.children {
        // Members of a group and transforms of a chain are numbered.
        let is_numbered = |stem: &&str| name.strip_prefix(stem).is_some_and(|number| number.parse::<u64>().is_ok());
        let first = ["member", "transform"].into_iter().find(is_numbered).map(|stem| format!("{stem}0"));
        let name = first.as_deref().unwrap_or(name);
        assert!(documented(&format!("`{name}`")), "docs/format.md does not say `{name}` of '{}'", node.tag);
        check_documented(child, seen);
    }
    seen.insert(node.tag.clone());
}

#[test]
fn the_format_of_every_kind_is_documented() {
    let mut seen = BTreeSet::new();
    for (name, ..) in CASES.iter().chain(LATER) {
        let node = ivf::io::read_container(&golden(&format!("version2/{name}.ivf"))).unwrap();
        check_documented(&node, &mut seen);
    }
    let registry = ivf::default_registry();
    let rows = registry.codecs().iter().map(|row| row.tag).chain(registry.quantizers().iter().map(|row| row.tag));
    let rows = rows
        .chain(registry.transforms().iter().map(|row| row.tag))
        .chain(registry.wrappers().iter().map(|row| row.tag));
    let rows =
        rows.chain(registry.stores().iter().map(|row| row.tag)).chain(registry.indexes().iter().map(|row| row.tag));
    for tag in rows.filter(|tag| *tag != "id-map") {
        assert!(seen.contains(tag), "no golden file holds a node '{tag}'");
    }
}
