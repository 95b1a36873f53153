//! Runs the fuzz targets on their seeds and on every input that once broke one. `cargo xtask bless`
//! regenerates the seeds.

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, missing_docs, reason = "it is a crate of its own")]
mod bodies;

use ivf::io::vectors::VectorElement;
use ivf::io::{decode_container, write_container_to, write_vectors};
use ivf::{Metric, Rows, default_registry};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Returns the inputs in a folder, with their paths.
fn inputs(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("an input"))).collect()
}

#[test]
fn no_seed_and_no_regression_breaks_a_promise() {
    if std::env::var_os("IVF_BLESS").is_some() {
        write_seeds();
    }
    check_seeds_of_index_files();
    for (target, body) in bodies::TARGETS {
        let seeds = inputs(&fuzz().join("seeds").join(target));
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for (path, input) in seeds.into_iter().chain(inputs(&fuzz().join("regressions").join(target))) {
            println!("{}", path.display());
            body(&input);
        }
    }
}

#[test]
fn every_target_is_a_program_and_has_its_folders() {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("the manifest");
    let names: BTreeSet<String> = bodies::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for name in &names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not a program");
        assert!(fuzz().join(format!("fuzz_targets/{name}.rs")).exists(), "{name} has no file");
    }
    for folder in ["seeds", "regressions"] {
        for entry in fs::read_dir(fuzz().join(folder)).into_iter().flatten() {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            assert!(names.contains(&name), "{folder}/{name} belongs to no target");
        }
    }
}

/// Checks that the seeds of index files can be read. If not, the format has changed: regenerate
/// them with `cargo xtask bless`.
fn check_seeds_of_index_files() {
    for (path, bytes) in inputs(&fuzz().join("seeds/container")) {
        let node = decode_container(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        default_registry().read_index(&node).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

const DIM: usize = 4;

/// Writes the seeds: small indexes of every kind and small files of every format.
fn write_seeds() {
    let folder = |target: &str| {
        let folder = fuzz().join("seeds").join(target);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        folder
    };
    let (containers, trees, strings) = (folder("container"), folder("container_resealed"), folder("factory"));
    for (spec, metric) in [
        ("Flat", Metric::L2),
        ("Flat", Metric::Cosine),
        ("PQ2", Metric::InnerProduct),
        ("IVF3,Flat", Metric::L2),
        ("IVF3,Flat", Metric::Lp(3.0)),
        ("IVF2,PQ1", Metric::L2),
        ("L2norm,Flat", Metric::InnerProduct),
        ("IDMap,IVF2,Flat", Metric::L2),
        ("IDMap2,Flat", Metric::L1),
        ("IVF2,Flat,RFlat", Metric::L2),
    ] {
        let name = format!("{spec}-{metric}").replace([',', ':'], "-").to_lowercase();
        let mut index = ivf::build(spec, DIM, metric).expect("an index");
        // As few as possible: PQ needs at least as many vectors as its 256 centroids.
        let learn = numbers(256 * DIM);
        index.train(Rows::new(&learn, DIM).expect("rows")).expect("points enough");
        let vectors = Rows::new(&learn[..7 * DIM], DIM).expect("rows");
        if index.as_add_with_ids().is_some() {
            let ids = [3, 1, -4, 1 << 40, 5, 9, 2].map(ivf::Id);
            index.add_with_ids(vectors, &ids).expect("vectors that fit");
        } else {
            index.add(vectors).expect("vectors that fit");
        }
        let mut bytes = Vec::new();
        write_container_to(&mut bytes, &index.export().expect("lists in memory")).expect("a container");
        let tree = bodies::write_tree(&decode_container(&bytes).expect("a container")).expect("a small tree");
        fs::write(containers.join(&name), bytes).expect("a seed");
        fs::write(trees.join(&name), tree).expect("a seed");
    }
    for (name, spec) in [
        ("flat", "Flat"),
        ("wrapped", "IDMap2,IVF2,Flat,RFlat"),
        ("nested", "L2norm,(IDMap,(IVF4k,Flat,RFlat)),RFlat"),
        ("bits", "((IVF16,PQ8x8))"),
        ("wrong", "IVF16,Falt"),
    ] {
        fs::write(strings.join(name), spec).expect("a seed");
    }

    let (vecs, bin, npy, hdf5) = (folder("vecs"), folder("bin"), folder("npy"), folder("hdf5"));
    let scratch = tempfile::tempdir().expect("a folder");
    let file = |extension: &str, write: &dyn Fn(&Path)| {
        let path = scratch.path().join(format!("a.{extension}"));
        write(&path);
        fs::read(path).expect("a file just written")
    };
    for (number, extension) in [(0_u8, "fvecs"), (1, "ivecs"), (2, "bvecs")] {
        let bytes = file(extension, &write_some::<u8>);
        fs::write(vecs.join(extension), [&[number], &bytes[..]].concat()).expect("a seed");
    }
    for (number, extension) in [(0_u8, "fbin"), (1, "ibin"), (2, "u8bin"), (3, "i8bin")] {
        let bytes = file(extension, &write_some::<u8>);
        fs::write(bin.join(extension), [&[number], &bytes[..]].concat()).expect("a seed");
    }
    fs::write(npy.join("f4"), file("npy", &write_some::<f32>)).expect("a seed");
    fs::write(npy.join("i8"), file("npy", &write_some::<i64>)).expect("a seed");
    for name in ["ann.hdf5", "others.hdf5"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("ivf-io/tests/data").join(name);
        fs::copy(from, hdf5.join(name)).expect("a seed");
    }
}

/// Writes a few vectors in the format of the file name.
fn write_some<T: VectorElement>(path: &Path) {
    let data: Vec<T> = (0..15_u8).map(|i| T::from_number(i.number()).expect("a small number")).collect();
    write_vectors(path, Rows::new(&data, 3).expect("rows")).expect("a file");
}

/// Returns different numbers between 1 and 2.
fn numbers(n: usize) -> Vec<f32> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 + 1.0
    };
    (0..n).map(|_| next()).collect()
}
