//! Tests of commands that read vectors from an HDF5 file, with and without the feature.

use crate::files::Folder;
use crate::program::ivf;
use std::path::Path;

/// Copies the file that ivf-io's tests read, which is like those of ann-benchmarks.
fn ann(folder: &Folder) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ivf-io/tests/data/ann.hdf5");
    folder.write("ann.hdf5", &std::fs::read(file).unwrap())
}

#[cfg(feature = "hdf5")]
#[test]
fn an_index_is_built_searched_and_measured_from_one_file() {
    let folder = Folder::new();
    let ann = ann(&folder);
    let of = |dataset: &str| format!("{ann}:{dataset}");
    let (index, lists, ids) = (folder.arg("a.ivf"), folder.arg("lists.ivf"), folder.arg("ids.ivecs"));
    ivf(["build", "--factory", "Flat", "--metric", "l2", "--base", &of("train"), "--out", &index]).ok();
    let (base, learn) = (of("train"), of("test"));
    let from = ["--base", &base, "--learn", &learn, "--out", &lists];
    ivf(["build", "--factory", "IVF2,Flat", "--metric", "l2"].into_iter().chain(from)).ok();
    let search = ["search", &index, "--queries", &of("test"), "-k", "10", "--ground-truth", &of("neighbors")];
    let said = ivf(search.into_iter().chain(["--out-ids", &ids])).ok().stdout;
    assert!(said.contains("1.0000"), "{said}");
    let eval = ["eval", &lists, "--queries", &of("test"), "--ground-truth", &of("neighbors")];
    let said = ivf(eval.into_iter().chain(["--nprobe", "2"])).ok().stdout;
    assert!(said.contains("1.0000"), "{said}");
    let said = ivf(["convert", &of("neighbors"), &folder.arg("truth.ivecs")]).ok().stdout;
    assert!(said.ends_with("5 vectors of 10 x i32\n"), "{said}");
    assert_eq!(std::fs::read(folder.path("truth.ivecs")).unwrap(), std::fs::read(&ids).unwrap());
}

#[cfg(feature = "hdf5")]
#[test]
fn a_name_without_a_dataset_lists_those_there_are() {
    let folder = Folder::new();
    let message = ivf(["convert", &ann(&folder), &folder.arg("a.npy")]).failed(1);
    assert!(message.contains("FILE:DATASET takes one of distances, neighbors, test, train"), "{message}");
}

#[cfg(not(feature = "hdf5"))]
#[test]
fn a_program_without_the_feature_says_so() {
    let folder = Folder::new();
    let message = ivf(["convert", &format!("{}:train", ann(&folder)), &folder.arg("a.npy")]).failed(1);
    assert!(message.contains("it lacks the feature `hdf5`"), "{message}");
}

#[test]
fn such_a_file_is_never_written() {
    let folder = Folder::new();
    let ann = ann(&folder);
    let before = std::fs::read(&ann).unwrap();
    let train = format!("{ann}:train");
    let message = ivf(["build", "--factory", "Flat", "--metric", "l2", "--base", &train, "--out", &ann]).failed(2);
    assert!(message.contains("cannot be written: it is also"), "{message}");
    let some = folder.fvecs("a.fvecs", 2, &[1.0, 2.0]);
    for name in [ann.clone(), format!("{ann}:more")] {
        let message = ivf(["convert", &some, &name]).failed(1);
        assert!(message.contains("this format can only be read"), "{message}");
    }
    assert!(std::fs::read(&ann).unwrap() == before);
    assert_eq!(std::fs::read_dir(folder.path(".")).unwrap().count(), 2);
}
