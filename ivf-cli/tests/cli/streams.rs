//! Tests of vectors from standard input, from files whose names do not tell their format, and to
//! standard output.

use crate::files::{Folder, nearest, read_vecs, vectors};
use crate::program::{Ran, command, ivf};
use serde_json::Value;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const DIM: usize = 6;

/// Stands for the input in the arguments of a command.
const IN: &str = "IN";

/// A folder with 300 vectors, 12 queries, the true nearest 10 of each, and an index; the vectors
/// and queries as fvecs and fbin, with and without these endings.
fn folder() -> Folder {
    let folder = Folder::new();
    let (base, queries) = (vectors(300, DIM, 1), vectors(12, DIM, 2));
    folder.ivecs("truth.ivecs", 10, &nearest(&base, &queries, DIM, 10));
    for (name, data) in [("base", base), ("queries", queries)] {
        let file = folder.fvecs(&format!("{name}.fvecs"), DIM, &data);
        ivf(["convert", &file, &folder.arg(&format!("{name}.fbin"))]).ok();
        for format in ["fvecs", "fbin"] {
            let renamed = folder.path(&format!("{name}-as-{format}"));
            std::fs::copy(folder.path(&format!("{name}.{format}")), renamed).expect("a writable folder");
        }
    }
    let (base, index) = (folder.arg("base.fvecs"), folder.arg("index.ivf"));
    ivf(["build", "--factory", "IVF4,Flat", "--metric", "l2", "--base", &base, "--out", &index]).ok();
    folder
}

/// Runs a command with bytes in a pipe as its standard input.
fn piped(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
    // A program that refuses its arguments reads nothing.
    drop(child.stdin.take().expect("a pipe").write_all(input));
    child.wait_with_output().expect("the program ends")
}

/// Returns a finished run, whose output is text.
fn text(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("the program prints UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A command that reads vectors.
struct Subject {
    /// The arguments. [`IN`] is the input; the other names are files of the folder.
    args: &'static str,
    /// The vectors of the input: `base` or `queries`.
    input: &'static str,
    /// The file that it writes, or none if it prints JSON.
    output: Option<&'static str>,
}

const SUBJECTS: &[Subject] = &[
    Subject {
        args: "build --factory Flat --metric l2 --base IN --out out.ivf",
        input: "base",
        output: Some("out.ivf"),
    },
    Subject {
        args: "build --factory IVF4,Flat --metric l2 --base IN --learn base.fvecs --out out.ivf",
        input: "base",
        output: Some("out.ivf"),
    },
    Subject {
        args: "build --factory IVF4,Flat --metric l2 --base base.fvecs --learn IN --out out.ivf",
        input: "base",
        output: Some("out.ivf"),
    },
    Subject { args: "add index.ivf --base IN --out out.ivf", input: "queries", output: Some("out.ivf") },
    Subject {
        args: "truth --base IN --queries queries.fvecs --metric l2 --out out.ivecs",
        input: "base",
        output: Some("out.ivecs"),
    },
    Subject {
        args: "truth --base base.fvecs --queries IN --metric l2 --out out.ivecs",
        input: "queries",
        output: Some("out.ivecs"),
    },
    Subject { args: "search index.ivf --queries IN --out-ids out.ivecs", input: "queries", output: Some("out.ivecs") },
    Subject {
        args: "eval index.ivf --queries IN --ground-truth truth.ivecs --nprobe 1,4 --json",
        input: "queries",
        output: None,
    },
    Subject { args: "convert IN out.npy --skip 2 --take 5", input: "queries", output: Some("out.npy") },
];

impl Subject {
    /// Returns the command for an input.
    fn command(&self, folder: &Folder, input: &str, format: Option<&str>) -> Command {
        let args = self.args.split(' ').map(|arg| match arg {
            IN if input == "-" => "-".to_owned(),
            IN => folder.arg(input),
            name if name.contains('.') => folder.arg(name),
            other => other.to_owned(),
        });
        let mut command = command(args);
        command.args(format.iter().flat_map(|format| ["--vector-format", format]));
        command
    }

    /// Asserts that a run succeeded. Returns its result, and removes the file with it.
    fn result(&self, folder: &Folder, ran: Output) -> Vec<u8> {
        let ran = text(ran).ok();
        assert_eq!(ran.stderr, "", "{}", self.args);
        let Some(name) = self.output else {
            let rows: Vec<Value> = serde_json::from_str(&ran.stdout).expect("a JSON array");
            let figures = rows.iter().map(|row| [&row["nprobe"], &row["recall_at_10"], &row["codes_per_query"]]);
            return format!("{:?}", figures.collect::<Vec<_>>()).into_bytes();
        };
        let bytes = std::fs::read(folder.path(name)).expect("the output");
        std::fs::remove_file(folder.path(name)).expect("the output");
        bytes
    }
}

#[test]
fn the_result_is_the_same_from_a_file_of_any_name_and_from_a_stream() {
    let folder = folder();
    for subject in SUBJECTS {
        let mut named = subject.command(&folder, &format!("{}.fvecs", subject.input), None);
        let expected = subject.result(&folder, named.output().expect("the program starts"));
        assert!(!expected.is_empty());
        for format in ["fvecs", "fbin"] {
            let name = format!("{}-as-{format}", subject.input);
            let renamed = subject.command(&folder, &name, Some(format)).output().expect("the program starts");
            assert!(subject.result(&folder, renamed) == expected, "{}, {format}, renamed", subject.args);
            let bytes = std::fs::read(folder.path(&name)).expect("the input");
            let from_pipe = piped(&mut subject.command(&folder, "-", Some(format)), &bytes);
            assert!(subject.result(&folder, from_pipe) == expected, "{}, {format}, from a pipe", subject.args);
            let file = File::open(folder.path(&name)).expect("the input");
            let from_file = subject.command(&folder, "-", Some(format)).stdin(file).output().expect("it starts");
            assert!(subject.result(&folder, from_file) == expected, "{}, {format}, redirected", subject.args);
        }
    }
}

#[test]
fn a_name_that_does_not_tell_the_format_is_an_error_without_the_option() {
    let folder = folder();
    for subject in SUBJECTS {
        let renamed = format!("{}-as-fvecs", subject.input);
        let message = text(subject.command(&folder, &renamed, None).output().expect("it starts")).failed(1);
        assert!(message.contains(&folder.arg(&renamed)) && message.contains("unknown format"), "{message}");
        let message = text(piped(&mut subject.command(&folder, "-", None), &[])).failed(2);
        assert_eq!(message, "error: the format of standard input is unknown: --vector-format names it\n");
        let message = text(subject.command(&folder, &renamed, Some("csv")).output().expect("it starts")).failed(2);
        assert!(message.contains("unknown format of vectors 'csv'; expected one of fvecs, "), "{message}");
        let message = text(piped(&mut subject.command(&folder, "-", Some("fbin")), &[])).failed(1);
        assert_eq!(message, "error: standard input has no vectors\n", "{}", subject.args);
    }
}

#[test]
fn vectors_are_written_to_standard_output() {
    let folder = folder();
    let base = folder.arg("base.fvecs");
    for format in ["fvecs", "fbin", "npy"] {
        let file = folder.arg(&format!("copy.{format}"));
        ivf(["convert", &base, &file]).ok();
        let expected = std::fs::read(&file).expect("the copy");
        let bytes = std::fs::read(&base).expect("the vectors");
        for written in [
            command(["convert", &base, "-", "--output-format", format]).output().expect("the program starts"),
            piped(&mut command(["convert", "-", "-", "--vector-format", "fvecs", "--output-format", format]), &bytes),
        ] {
            assert!(written.status.success() && written.stdout == expected, "{format}: {written:?}");
            let said = String::from_utf8(written.stderr).expect("UTF-8");
            assert_eq!(said, "standard output: 300 vectors of 6 x f32\n");
        }
        // A file of any name has the given format too.
        let copy = folder.arg("copy");
        ivf(["convert", &base, &copy, "--output-format", format]).ok();
        assert!(std::fs::read(&copy).expect("the copy") == expected, "{format}");
    }
    let message = ivf(["convert", &base, "-"]).failed(2);
    assert_eq!(message, "error: the format of standard output is unknown: --output-format names it\n");
    let mut child = command(["convert", &base, "-", "--output-format", "fvecs"]).spawn().expect("it starts");
    drop(child.stdout.take());
    assert_eq!(child.wait_with_output().expect("it ends").status.code(), Some(0));
}

#[test]
fn ids_come_from_standard_input_as_text() {
    let folder = folder();
    let (index, queries, out) = (folder.arg("index.ivf"), folder.arg("queries.fvecs"), folder.arg("out.ivf"));
    let ids: Vec<String> = (0..12).map(|i| (1000 - 7 * i).to_string()).collect();
    let (lines, file) = (ids.join("\n"), folder.write("ids.txt", ids.join("\n").as_bytes()));
    let add = |ids: &str| {
        let mut add = command(["add", &index, "--base", &queries, "--ids", ids, "--out", &out]);
        text(piped(&mut add, lines.as_bytes())).ok();
        std::fs::read(&out).expect("the index")
    };
    assert!(add("-") == add(&file));
    let remove = |ids: &str| {
        let mut remove = command(["remove", &index, "--ids-file", ids, "--out", &out]);
        text(piped(&mut remove, b"3\n299\n")).ok();
        std::fs::read(&out).expect("the index")
    };
    assert!(remove("-") == remove(&folder.write("some.txt", b"3\n299\n")));
    let found = |filter: &str| {
        let ids = folder.arg("ids.ivecs");
        let mut search = command(["search", &index, "--queries", &queries, "--filter", filter, "--out-ids", &ids]);
        text(piped(&mut search, b"5..9,20\n30")).ok();
        read_vecs(Path::new(&ids))
    };
    assert_eq!(found("not:@-"), found("not:5..9,20,30"));
    let message = text(piped(&mut command(["remove", &index, "--ids-file", "-"]), b"3\nx\n")).failed(1);
    assert_eq!(
        message,
        "error: cannot read the ids in standard input: line 2: 'x' is neither an id nor a range of ids such as 10..20\n"
    );
}

#[test]
fn what_standard_input_cannot_give_is_one_sentence() {
    let folder = folder();
    let [base, index, queries, truth] =
        ["base.fvecs", "index.ivf", "queries.fvecs", "out.ivecs"].map(|n| folder.arg(n));
    let many = folder.fvecs("many.fvecs", DIM, &vectors(1200, DIM, 3));
    let out = folder.arg("out.ivf");
    let build = ["build", "--factory", "IVF4,Flat", "--metric", "l2", "--base"];
    let truth_of = |base: &str, queries: &str| {
        ["truth", "--metric", "l2", "--base", base, "--queries", queries, "--out", &truth].map(str::to_owned).to_vec()
    };
    let joined =
        |head: &[&str], tail: &[&str]| [head, tail].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let two = "only one input can be standard input (-)";
    for (args, expected) in [
        (
            joined(&build, &["-", "--out", &out]),
            "standard input can be read only once, but must be read a second time to train IVF4,Flat: \
             name a file with --base or --learn",
        ),
        (
            [truth_of("-", &many), joined(&["--memory-limit", "40M"], &[])].concat(),
            "standard input can be read only once, but 1200 queries take 2 passes over it: name a file with --base",
        ),
        (joined(&build, &["-", "--learn", "-", "--out", &out]), two),
        (truth_of("-", "-"), two),
        (joined(&["add", &index, "--base", "-"], &["--ids", "-"]), two),
        (joined(&["search", &index, "--queries", "-"], &["--filter", "@-"]), two),
        (
            joined(&build, &[&base, "--out", "-"]),
            "this output cannot be standard output (-): name a file (./- is a file of that name)",
        ),
        (
            joined(&["search", &index, "--queries", &queries], &["--out-ids", "-"]),
            "this output cannot be standard output (-): name a file (./- is a file of that name)",
        ),
    ] {
        let bytes = std::fs::read(&base).expect("the vectors");
        let mut refused = command(args.iter().map(String::as_str).chain(["--vector-format", "fvecs"]));
        let message = text(piped(&mut refused, &bytes)).failed(2);
        assert_eq!(message, format!("error: {expected}\n"), "{args:?}");
        assert!(!folder.path("out.ivf").exists() && !folder.path("out.ivecs").exists(), "{args:?}");
    }
}

#[test]
fn a_file_of_another_format_than_its_name_says_is_read_with_the_option() {
    let folder = Folder::new();
    let base = folder.fvecs("base.fvecs", 4, &vectors(50, 4, 1));
    let (fbin, misnamed, back) = (folder.arg("base.fbin"), folder.arg("misnamed.fvecs"), folder.arg("back.fvecs"));
    ivf(["convert", &base, &fbin]).ok();
    std::fs::copy(&fbin, &misnamed).unwrap();
    let refused = ivf(["convert", &misnamed, &back]).failed(1);
    assert!(refused.contains("or give the format fbin"), "{refused}");
    ivf(["convert", &misnamed, &back, "--vector-format", "fbin"]).ok();
    assert_eq!(std::fs::read(&back).unwrap(), std::fs::read(&base).unwrap());
}
