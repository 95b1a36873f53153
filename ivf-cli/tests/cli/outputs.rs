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
