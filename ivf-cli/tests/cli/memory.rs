//! Tests of `ivf build` with a memory limit.

use crate::files::{Folder, vectors};
use crate::program::{Ran, ivf};

const DIM: usize = 512;

/// A limit above the memory of the program alone, but too small for training on all 8 MB of vectors
/// that 16 lists use.
const SMALL: &str = "48M";

/// Returns a folder with more vectors than the training of 16 lists uses.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.fvecs("base.fvecs", DIM, &vectors(5000, DIM, 1));
    folder
}

fn build(folder: &Folder, factory: &str, out: &str, more: &[&str]) -> Ran {
    let (base, out) = (folder.arg("base.fvecs"), folder.arg(out));
    let args = ["build", "--factory", factory, "--metric", "ip", "--base", &base, "--out", &out];
    ivf(args.iter().chain(more))
}

#[test]
fn what_is_no_size_is_a_usage_error() {
    let folder = Folder::new();
    for size in ["", "12X", "many", "1G5"] {
        let message = build(&folder, "Flat", "a.ivf", &["--memory-limit", size]).failed(2);
        assert!(message.contains("512M or 1.5G"), "'{size}': {message}");
    }
    let message = build(&folder, "Flat", "a.ivf", &["--memory-limit", "0"]).failed(2);
    assert!(message.contains("above 0"), "{message}");
}

#[test]
fn a_small_limit_trains_on_fewer_vectors_and_says_so() {
    let folder = folder();
    let bytes = |name: &str| std::fs::read(folder.path(name)).expect("written");
    let limit = ["--memory-limit", SMALL, "--seed", "3"];
    let ran = build(&folder, "IVF16,PQ8", "a.ivf", &limit).ok();
    let room = ran.stderr.split("warning: a memory limit of 48.00 MiB has room for ").nth(1).expect("a warning");
    let (room, rest) = room.split_once(' ').expect("a number");
    assert!(rest.starts_with("of the 5000 vectors that training can use\n"), "{}", ran.stderr);
    assert!((500..2500).contains(&room.parse().expect("a number")), "{room}");
    assert!(ran.stdout.starts_with("IVF16,PQ8: 5000 vectors, "), "{}", ran.stdout);
    // The same seed draws the same sample, and another seed another one.
    build(&folder, "IVF16,PQ8", "b.ivf", &limit).ok();
    assert!(bytes("a.ivf") == bytes("b.ivf"));
    build(&folder, "IVF16,PQ8", "b.ivf", &["--memory-limit", SMALL, "--seed", "4"]).ok();
    assert!(bytes("a.ivf") != bytes("b.ivf"));
}

#[test]
fn without_a_limit_a_seed_says_what_is_built() {
    let folder = folder();
    let bytes = |name: &str| std::fs::read(folder.path(name)).expect("written");
    // 4096 of the 5000 vectors are drawn.
    for (out, seed) in [("a.ivf", "3"), ("b.ivf", "3"), ("c.ivf", "4")] {
        let ran = build(&folder, "IVF16,Flat", out, &["--seed", seed]).ok();
        assert_eq!(ran.stderr, "");
    }
    assert!(bytes("a.ivf") == bytes("b.ivf") && bytes("a.ivf") != bytes("c.ivf"));
    // A limit that leaves enough room changes nothing.
    build(&folder, "IVF16,Flat", "b.ivf", &["--seed", "3", "--memory-limit", "1G", "--threads", "2"]).ok();
    assert!(bytes("a.ivf") == bytes("b.ivf"));
}

#[test]
fn too_little_room_for_training_is_an_error() {
    let folder = folder();
    let message = build(&folder, "IVF2048,PQ8", "a.ivf", &["--memory-limit", SMALL]).failed_after_warnings(1);
    assert!(message.contains("a memory limit of 48.00 MiB has room for "), "{message}");
    assert!(message.contains("training vectors, and the 2048 centroids of IVF2048 need at least 2048"), "{message}");
    assert!(!folder.path("a.ivf").exists());
}

#[test]
fn an_index_that_cannot_fit_is_an_error_before_anything_is_read() {
    let folder = folder();
    build(&folder, "Flat", "a.ivf", &[]).ok();
    let before = std::fs::read(folder.path("a.ivf")).expect("written");
    let message = build(&folder, "IVF4,Flat", "a.ivf", &["--memory-limit", SMALL]).failed(1);
    assert!(message.contains("IVF4,Flat of 5000 vectors takes up to 5"), "{message}");
    assert!(message.contains("the memory limit is 48.00 MiB"), "{message}");
    // 10 MB of vectors, and as much again while a list grows.
    let fixed =
        message.split(" while it is built (").nth(1).and_then(|rest| rest.split(" MiB").next()).expect("a size");
    assert!((32.0..40.0).contains(&fixed.parse::<f64>().expect("a number")), "{message}");
    assert!(
        message.contains(" for the program and the tables of the index, ") && message.contains(" for the vectors)")
    );
    assert!(std::fs::read(folder.path("a.ivf")).expect("still there") == before);
}

#[test]
fn an_index_that_outgrows_the_limit_is_an_error_and_the_old_file_stays() {
    let folder = Folder::new();
    folder.fvecs("base.fvecs", 64, &vectors(300, 64, 1));
    build(&folder, "Flat", "a.ivf", &[]).ok();
    let before = std::fs::read(folder.path("a.ivf")).expect("written");
    // There are almost as many lists as vectors. Each list takes a whole block of 64 codes, where
    // the estimate has half a block.
    let message = build(&folder, "IVF256,PQ64", "a.ivf", &["--memory-limit", "37M"]).failed_after_warnings(1);
    assert!(message.contains("stopped after 300 of 300 vectors: IVF256,PQ64 takes up to 3"), "{message}");
    assert!(message.contains("the memory limit is 37.00 MiB; no index is written"), "{message}");
    assert!(std::fs::read(folder.path("a.ivf")).expect("still there") == before);
}

#[test]
fn a_bad_vector_in_a_sample_is_named_by_its_number_in_the_file() {
    let folder = Folder::new();
    // 4096 of the vectors are drawn, and more than one of the last 2000.
    let mut base = vectors(6000, 8, 1);
    base[4000 * 8..].fill(f32::NAN);
    folder.fvecs("base.fvecs", 8, &base);
    let message = build(&folder, "IVF16,Flat", "a.ivf", &[]).failed(1);
    let number = message.split("vector ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a number");
    assert!((4000..4100).contains(&number.parse().expect("a number")), "{message}");
}
