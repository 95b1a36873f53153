//! Index files from the day the format was frozen: they are read, answer as they did, and are written again byte for byte.
//!
//! `IVF_BLESS=1` adds the files of new lines of [`CASES`]. A file that is there is never written over: other bytes for it
//! would be another format.

use ivf::node::{DType, StoredNode};
use ivf::{AddOptions, Id, Index, Metric, Rows, SearchParams, read_index, write_index};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

/// Name of the file, factory string, metric.
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

const DIM: usize = 8;
const VECTORS: usize = 300;
const QUERIES: usize = 5;
const K: usize = 7;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Numbers between 0 and 1 that any library on any machine makes alike.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as f32 / 65_536.0
    };
    (0..count).map(next).collect()
}

/// An index of a case, with ids of every sort: that count up, that do not, negative ones.
fn build(name: &str, factory: &str, metric: Metric) -> Box<dyn Index> {
    let mut index = ivf::build(factory, DIM, metric).unwrap();
    if name == "untrained" {
        return index;
    }
    let vectors = numbers(VECTORS * DIM, 1);
    let rows = Rows::new(&vectors, DIM).unwrap();
    index.train(rows).unwrap();
    index.add(rows.slice(0..VECTORS - 20)).unwrap();
    let ids: Vec<Id> = (0..20).map(|i| Id(i * i - 100_000)).collect();
    if let Some(add) = index.as_add_with_ids() {
        add.add_with_ids(rows.slice(VECTORS - 20..VECTORS).into(), &ids, &AddOptions::new()).unwrap();
    }
    if index.parts().iter().flat_map(|part| &part.knobs).any(|knob| knob.name == "nprobe") {
        ivf::part::set_knobs(&mut *index, "nprobe=3").unwrap();
    }
    index
}

/// What the index says of itself, and what it finds, to the bit.
fn answers(index: &dyn Index) -> String {
    let mut text = format!("{} | {} | {} x {}\n", index.spec(), index.metric(), index.len(), index.dim());
    if !index.is_trained() {
        return text;
    }
    let queries = numbers(QUERIES * DIM, 2);
    let found = index.search(Rows::new(&queries, DIM).unwrap().into(), K, &SearchParams::new()).unwrap();
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

#[test]
fn golden_files_are_read_answer_as_they_did_and_are_written_byte_for_byte() {
    let bless = env::var_os("IVF_BLESS").is_some();
    let folder = tempfile::tempdir().unwrap();
    for &(name, factory, metric) in CASES {
        let (file, text) = (golden(&format!("{name}.ivf")), golden(&format!("{name}.txt")));
        if bless && !file.exists() {
            let index = build(name, factory, metric);
            write_index(&*index, &file).unwrap();
            fs::write(&text, answers(&*index)).unwrap();
        }
        let index = read_index(&file).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(answers(&*index), fs::read_to_string(&text).unwrap(), "{name}");
        let again = folder.path().join(name);
        write_index(&*index, &again).unwrap();
        assert!(fs::read(&again).unwrap() == fs::read(&file).unwrap(), "{name}.ivf is written again with other bytes");
    }
    let names = fs::read_dir(golden("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = names.collect();
    found.sort();
    let mut cases: Vec<String> =
        CASES.iter().flat_map(|(name, ..)| [format!("{name}.ivf"), format!("{name}.txt")]).collect();
    cases.sort();
    assert_eq!(found, cases);
}

/// Checks that docs/format.md has a row for the node, and for those below it, that names its children and arrays.
fn check_documented(node: &StoredNode, seen: &mut BTreeSet<String>) {
    let rows = include_str!("../docs/format.md").lines().filter(|line| line.starts_with("| `"));
    let tags = |row: &str| row.split(" | ").next().is_some_and(|cell| cell.contains(&format!("`{}`", node.tag)));
    // A tag may be that of a codec and of a quantizer.
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
    for (name, child) in &node.children {
        assert!(documented(&format!("`{name}`")), "docs/format.md does not say `{name}` of '{}'", node.tag);
        check_documented(child, seen);
    }
    seen.insert(node.tag.clone());
}

#[test]
fn the_format_of_every_kind_is_documented() {
    let mut seen = BTreeSet::new();
    for (name, ..) in CASES {
        check_documented(&ivf::io::read_container(&golden(&format!("{name}.ivf"))).unwrap(), &mut seen);
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
