//! Prints the contents of an index file. It works for any index, and uses only the public API.
//!
//! An index describes its components in three ways, whatever its kind:
//!
//! | method | returns |
//! |---|---|
//! | `parts()` | the components by path, and the knobs of each with their values |
//! | `find_ivf()` | the inverted file inside all wrappers: `nprobe`, quantizer, lists, codec |
//! | `export()` | the contents as data: named fields, arrays, child components |
//!
//! Run it with `cargo run --release --example 05_inspector -- file.ivf`. Without an argument, it
//! creates a small file.

use ivf::error::StoreError;
use ivf::extend::*;
use ivf::prelude::*;
use ivf::{ListNo, ListOffset, Registry};
use std::error::Error;
use std::fmt::Write;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let registry = ivf::default_registry();
    if let Some(path) = inspected() {
        print!("{}", inspect(Path::new(&path), registry)?);
        return Ok(());
    }
    let data: Vec<f32> = (0..2_000 * 16).map(|i| (i * i % 1_009) as f32).collect();
    let vectors = Rows::new(&data, 16)?;
    let mut index = ivf::build("IDMap2,L2norm,IVF16,PQ8,RFlat", 16, ivf::Metric::InnerProduct)?;
    index.train(vectors)?;
    index.add(vectors)?;
    index.set_knob("nprobe", 4)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("small.ivf");
    ivf::write_index(&index, &path)?;
    print!("{}", inspect(&path, registry)?);
    Ok(())
}

/// Returns the file named on the command line. (In a test, the arguments are those of the harness.)
fn inspected() -> Option<String> {
    std::env::args().nth(1).filter(|_| !cfg!(test))
}

/// Returns the description of the index in a file.
fn inspect(path: &Path, registry: &Registry) -> Result<String, Box<dyn Error>> {
    let index = ivf::read_index_with(path, registry)?;
    let mut text = String::new();
    let (spec, trained) = (index.spec(), if index.is_trained() { "" } else { ", not trained" });
    writeln!(text, "{spec}: {} vectors of {} dimensions{trained}", index.len(), index.dim())?;
    writeln!(text, "metric: {}", index.metric())?;
    if let Some(ivf) = index.find_ivf() {
        writeln!(text, "nprobe: {} of {} lists", ivf.nprobe(), ivf.nlist())?;
    }
    writeln!(text, "a search takes: {}", index.takes().names().join(", "))?;

    writeln!(text, "\nparts and knobs:")?;
    for part in index.parts() {
        let path = if part.path.is_empty() { "(the index)" } else { &part.path };
        writeln!(text, "  {path}: {}", part.kind)?;
        for knob in &part.knobs {
            writeln!(text, "    {} = {}  ({}; {})", knob.name(), knob.value, knob.param.range, knob.param.about)?;
        }
    }

    let insides = index.export()?;
    writeln!(text, "\ninsides:")?;
    show(&mut text, "index", &insides, 1)?;

    for holder in holders(&insides) {
        writeln!(text, "\nlists of codes, in a node of kind '{}':", holder.tag)?;
        show_lists(&mut text, holder, registry)?;
    }
    Ok(text)
}

/// Appends a node: its fields, arrays and children, indented by depth.
fn show(text: &mut String, name: &str, node: &Node<'_>, depth: usize) -> Result<(), std::fmt::Error> {
    let indent = "  ".repeat(depth);
    writeln!(text, "{indent}{name}: {} (version {})", node.tag, node.version)?;
    for (name, value) in node.fields.iter() {
        writeln!(text, "{indent}  {name} = {}", short(value))?;
    }
    for array in &node.arrays {
        writeln!(text, "{indent}  {} {:?} of {:?}, {} bytes", array.name, array.shape, array.dtype, array.byte_len())?;
    }
    node.children.iter().try_for_each(|(name, child)| show(text, name, child, depth + 1))
}

/// Returns a value as text, shortened to 60 characters.
fn short(value: &Value) -> String {
    let shown = value.to_string();
    if shown.chars().count() <= 60 { shown } else { shown.chars().take(57).collect::<String>() + "..." }
}

/// Returns the nodes that contain lists and their codec: one for `IVF16,Flat`, two for
/// `IVF16,PQ8,RFlat`.
fn holders<'n, 'a>(node: &'n Node<'a>) -> Vec<&'n Node<'a>> {
    let own = node.child("codec").and(node.child("lists")).map(|_| node);
    own.into_iter().chain(node.children.iter().flat_map(|(_, child)| holders(child))).collect()
}

/// Appends the statistics of a node's lists, the first centroid and the first code. The rows of the
/// registry read them, so any kind works.
fn show_lists(text: &mut String, holder: &Node<'_>, registry: &Registry) -> Result<(), Box<dyn Error>> {
    let stored = holder.to_stored();
    let codec = registry.read_codec(stored.child("codec")?)?;
    let lists = registry.read_lists(stored.child("lists")?, codec.layout())?;
    let quantizer = registry.read_quantizer(stored.child("quantizer")?)?;

    let mut lens = lens(&*lists)?;
    lens.sort_unstable();
    let (least, median, most) = (lens[0], lens[lens.len() / 2], lens[lens.len() - 1]);
    writeln!(text, "  {} lists of {least} (minimum), {median} (median), {most} (maximum) entries", lens.len())?;
    writeln!(text, "  imbalance {:.2} (1 is even)", lists.imbalance_factor()?)?;

    let mut centroid = vec![0.0; quantizer.dim()];
    quantizer.centroid(ListNo(0), &mut centroid);
    writeln!(text, "  centroid of list 0: {}", numbers(&centroid))?;
    let filled = (0..lists.nlist() as u32).map(ListNo).find(|list| lists.list_len(*list).is_ok_and(|len| len > 0));
    if let Some(list) = filled {
        let mut code = vec![0; codec.layout().code_size()];
        let id = lists.list(list)?.entry(codec.layout(), ListOffset(0), &mut code).ok_or("an empty list")?;
        let bytes: String = code.iter().take(16).map(|byte| format!("{byte:02x} ")).collect();
        writeln!(text, "  first code: {bytes}of id {id} in list {list}; {}", codec.layout())?;
    }
    Ok(())
}

/// Returns the first numbers of a vector as text.
fn numbers(vector: &[f32]) -> String {
    let shown: Vec<String> = vector.iter().take(6).map(|x| format!("{x:.3}")).collect();
    format!("{}{}", shown.join(" "), if vector.len() > 6 { " ..." } else { "" })
}

fn lens(lists: &dyn InvertedLists) -> Result<Vec<usize>, StoreError> {
    (0..lists.nlist() as u32).map(|list| lists.list_len(ListNo(list))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs() -> Result<(), Box<dyn Error>> {
        main()
    }

    fn golden(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        inspect(&path, ivf::default_registry()).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    #[test]
    fn a_file_of_version_1_is_told_by_name() {
        let text = golden("ivf_pq_ip.ivf");
        for line in
            ["metric: ip", "    nprobe = ", "  metric = ip", "  centroid of list 0: ", "  first code: ", "imbalance"]
        {
            assert!(text.contains(line), "no line '{line}' in\n{text}");
        }
    }

    #[test]
    fn every_golden_file_is_told() {
        for version in [".", "version2"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version);
            let files = std::fs::read_dir(folder).expect("the golden files");
            let names = files.map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"));
            let names: Vec<String> = names.filter(|name| name.ends_with(".ivf")).collect();
            assert!(names.len() > 5);
            for name in names {
                let text = golden(&format!("{version}/{name}"));
                assert!(text.contains("parts and knobs:") && text.contains("insides:"), "{name}:\n{text}");
            }
        }
    }

    #[test]
    fn a_file_of_now_shows_what_was_set() {
        let data: Vec<f32> = (0..300 * 4).map(|i| (i * i % 101) as f32).collect();
        let rows = Rows::new(&data, 4).expect("rows of 4");
        let mut index = ivf::build("IDMap,IVF4,Flat,RFlat", 4, ivf::Metric::L2).expect("a good string");
        index.train(rows).expect("enough vectors");
        index.add(rows).expect("trained");
        index.set_knob("nprobe", 3).expect("a knob of it");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("index.ivf");
        ivf::write_index(&index, &path).expect("a folder to write to");
        let text = inspect(&path, ivf::default_registry()).expect("written just now");
        for line in [
            "IDMap,IVF4,Flat,RFlat: 300 vectors",
            "nprobe: 3 of 4 lists",
            "nprobe = 3  (a whole number",
            "k_factor_rf = ",
        ] {
            assert!(text.contains(line), "no '{line}' in\n{text}");
        }
        // One for the lists of the inverted file, one for the full vectors.
        assert_eq!(text.matches("lists of codes").count(), 2, "{text}");
    }
}
