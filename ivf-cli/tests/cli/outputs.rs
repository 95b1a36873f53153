//! Tests that output files are checked before any work.

use crate::files::Folder;
use crate::program::ivf;

/// Returns the arguments of each command with an output file, up to its name. The inputs do not
/// exist: a command that began its work would say so.
fn commands(folder: &Folder) -> Vec<Vec<String>> {
    let [index, base, ids] = ["no.ivf", "no.fvecs", "no.ivecs"].map(|name| folder.arg(name));
    let commands: [&[&str]; 10] = [
        &["build", "--factory", "IVF4,Flat", "--metric", "l2", "--base", &base, "--out"],
        &["add", &index, "--base", &base, "--out"],
        &["remove", &index, "--ids", "1", "--out"],
        &["merge", &index, &ids, "--out"],
        &["set", &index, "nprobe=1", "--out"],
        &["search", &index, "--queries", &base, "--out-ids"],
        &["search", &index, "--queries", &base, "--out-distances"],
        &["eval", &index, "--queries", &base, "--ground-truth", &ids, "--plot"],
        &["convert", &base],
        &["demo", "--plot"],
    ];
    commands.iter().map(|args| args.iter().map(|arg| (*arg).to_owned()).collect()).collect()
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_before_any_work() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("taken.svg")).expect("a writable folder");
    folder.write("file", b"");
    let long = folder.arg(&format!("{}.svg", "a".repeat(300)));
    let (missing, inside, taken) = (folder.arg("missing/x.svg"), folder.arg("file/x.svg"), folder.arg("taken.svg"));
    let slash = format!("{}/", folder.arg("x.svg"));
    for args in commands(&folder) {
        for (output, why) in [
            (&missing, format!("there is no folder {}", folder.arg("missing"))),
            (&inside, format!("{} is not a folder", folder.arg("file"))),
            (&taken, "it is a folder".to_owned()),
            (&long, "the file name is too long, or invalid".to_owned()),
            (&slash, "it is the name of a folder".to_owned()),
        ] {
            let message = ivf(args.iter().chain([output])).failed(1);
            assert!(message.contains(&format!("cannot write {output}: ")) && message.contains(&why), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
    let left = std::fs::read_dir(folder.path(".")).expect("the folder");
    assert_eq!(left.count(), 2);
}

#[test]
fn ids_and_distances_are_written_only_in_formats_that_hold_them() {
    let folder = Folder::new();
    let [index, base, ids, distances] = ["no.ivf", "no.fvecs", "out.ivecs", "out.fvecs"].map(|name| folder.arg(name));
    let search = ["search", &index, "--queries", &base];
    let truth = ["truth", "--base", &base, "--queries", &base, "--metric", "l2"];
    let of_truth = |more: &[&str]| ivf(truth.iter().chain(more));
    let of_search = |more: &[&str]| ivf(search.iter().chain(more));
    for name in ["out.fvecs", "out.bvecs", "out.fbin", "out.u8bin", "out.i8bin", "out.hdf5:a", "out.txt", "out"] {
        let out = folder.arg(name);
        let why = |option: &str| {
            let what = "ids cannot be written in this format; the formats for ids are ivecs, ibin, npy";
            format!("error: {option} {out}: {what}\n")
        };
        assert_eq!(of_search(&["--out-ids", &out]).failed(2), why("--out-ids"));
        assert_eq!(of_truth(&["--out", &out]).failed(2), why("--out"));
    }
    for name in ["out.ibin", "out.bvecs", "out.u8bin", "out.i8bin", "out.h5", "out.txt"] {
        let out = folder.arg(name);
        let what = "distances cannot be written in this format; the formats for distances are fvecs, fbin, npy";
        let why = format!("error: --out-distances {out}: {what}\n");
        assert_eq!(of_search(&["--out-distances", &out]).failed(2), why);
        assert_eq!(of_truth(&["--out", &ids, "--out-distances", &out]).failed(2), why);
    }
    // With other formats, the commands begin their work.
    let began = of_truth(&["--out", &ids, "--out-distances", &distances]).failed(1);
    assert!(began.contains(&format!("cannot read {base}")), "{began}");
    for name in ["out.ibin", "out.npy", "out.IVECS"] {
        let began = of_search(&["--out-ids", &folder.arg(name)]).failed(1);
        assert!(began.contains(&format!("cannot read {index}")), "{began}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files_is_named() {
    use crate::ordinary::Ordinary;
    let user = Ordinary::new();
    let closed = user.folder().path("closed");
    std::fs::create_dir(&closed).expect("a writable folder");
    user.close(&closed);
    for args in commands(user.folder()) {
        let output = closed.join("x.svg").to_str().expect("UTF-8").to_owned();
        let message = user.ran("", args.iter().chain([&output]), &[]).failed(1);
        let expected =
            format!("cannot write {output}: no permission to write files in the folder {}\n", closed.display());
        assert!(message.ends_with(&expected), "{message}");
    }
    user.open(&closed);
}
