//! Tests of `ivf convert`, and of formats other than fvecs in the other commands.

use crate::files::{Folder, read_vecs};
use crate::program::ivf;

#[test]
fn vectors_come_back_through_every_format() {
    let folder = Folder::new();
    let data: Vec<f32> = (0..6 * 4).map(|i| i as f32).collect();
    let mut last = folder.fvecs("a.fvecs", 4, &data);
    for name in ["a.npy", "b.u8bin", "c.bvecs", "d.npy", "e.ibin", "f.ivecs", "g.i8bin", "h.fbin", "z.fvecs"] {
        let next = folder.arg(name);
        let said = ivf(["convert", &last, &next]).ok().stdout;
        assert!(said.starts_with(&format!("{next}: 6 vectors of 4 x ")), "{said}");
        last = next;
    }
    assert_eq!(read_vecs(&folder.path("z.fvecs")), read_vecs(&folder.path("a.fvecs")));
    let said = ivf(["convert", &last, &folder.arg("some.npy"), "--skip", "1", "--take", "3"]).ok().stdout;
    assert!(said.contains("3 vectors of 4 x f32"), "{said}");
    ivf(["convert", &folder.arg("some.npy"), &folder.arg("some.fvecs")]).ok();
    assert_eq!(read_vecs(&folder.path("some.fvecs")), read_vecs(&folder.path("a.fvecs"))[1..4]);
}

#[test]
fn an_index_is_built_from_bytes_and_answers_into_numpy_files() {
    let folder = Folder::new();
    let data: Vec<f32> = (0..40 * 3).map(|i| (i * 37 % 101) as f32).collect();
    ivf(["convert", &folder.fvecs("a.fvecs", 3, &data), &folder.arg("a.u8bin")]).ok();
    let (base, index, ids) = (folder.arg("a.u8bin"), folder.arg("a.ivf"), folder.arg("ids.npy"));
    ivf(["build", "--factory", "Flat", "--metric", "l2", "--base", &base, "--out", &index]).ok();
    ivf(["search", &index, "--queries", &base, "-k", "1", "--out-ids", &ids]).ok();
    ivf(["convert", &ids, &folder.arg("ids.ivecs")]).ok();
    let found: Vec<i32> = read_vecs(&folder.path("ids.ivecs")).concat().into_iter().map(i32::from_le_bytes).collect();
    assert_eq!(found, (0..40).collect::<Vec<_>>());
    // The ids are valid ground truth for the same queries.
    ivf(["search", &index, "--queries", &base, "-k", "1", "--ground-truth", &ids]).ok();
}

#[test]
fn what_cannot_be_converted_is_an_error_and_leaves_no_file() {
    let folder = Folder::new();
    let halves = folder.fvecs("halves.fvecs", 2, &[1.0, 2.0, 0.5, 3.0]);
    let message = ivf(["convert", &halves, &folder.arg("a.u8bin")]).failed(1);
    assert!(message.contains("vector 1, dimension 0: 0.5 does not fit u8"), "{message}");
    let message = ivf(["convert", &halves, &folder.arg("a.txt")]).failed(1);
    assert!(message.contains("the file name should end in .fvecs"), "{message}");
    let message = ivf(["convert", &halves, &halves]).failed(2);
    assert!(message.contains("cannot be written"), "{message}");
    let message = ivf(["convert", &halves, &folder.arg("none.npy"), "--skip", "2"]).failed(1);
    assert!(message.contains("has no vectors"), "{message}");
    ivf(["convert", &folder.arg("missing.npy"), &folder.arg("b.npy")]).failed(1);
    assert_eq!(std::fs::read_dir(folder.path(".")).expect("the folder is there").count(), 1);
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = ivf(["completions", shell]).ok().stdout;
        assert!(script.contains("convert") && script.contains("build"), "{shell}");
    }
    ivf(["completions", "tcsh"]).failed(2);
}
