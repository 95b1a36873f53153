//! Tests of the program's messages for mistakes.

use crate::files::{Folder, vectors};
use crate::program::{ivf, ran};

/// Invalid factory strings.
const FACTORY_MISTAKES: [&str; 13] = [
    "",
    "IVF0,Flat",
    "IVF99999999999,Flat",
    "IVF16",
    "IVF16,",
    ",Flat",
    "IVF16,,Flat",
    "IVF16,(Flat",
    "IVF16,Flat)",
    "IVF16,Fl\u{e4}t",
    "ivf16,flat",
    "Flat,Flat",
    "IVF16,PQ8x",
];

fn build(folder: &Folder, factory: &str, metric: &str, base: &str) -> crate::program::Ran {
    let out = folder.arg("index.ivf");
    ivf(["build", "--factory", factory, "--metric", metric, "--base", base, "--out", &out])
}

#[test]
fn a_bad_factory_string_is_a_usage_error_with_a_caret() {
    let folder = Folder::new();
    for factory in FACTORY_MISTAKES {
        // The base file does not exist: the string is checked first.
        let message = build(&folder, factory, "l2", &folder.arg("no.fvecs")).failed(2);
        assert!(message.contains('^'), "'{factory}': {message}");
        assert!(!message.contains("no.fvecs"), "'{factory}': {message}");
    }
}

#[test]
fn an_index_that_cannot_be_is_a_usage_error_with_a_caret() {
    let folder = Folder::new();
    let base = folder.fvecs("base.fvecs", 10, &vectors(20, 10, 1));
    // The expected text, with carets under the token that caused the error.
    for (factory, metric, caret) in [
        ("IVF4,PQ3", "l2", "\n  IVF4,PQ3\n       ^^^\n"),
        ("IDMap2,(L2norm,IVF4,PQ3),RFlat", "ip", "\n  IDMap2,(L2norm,IVF4,PQ3),RFlat\n                      ^^^\n"),
        ("PQ5", "canberra", "\n  PQ5\n  ^^^\n"),
    ] {
        let message = build(&folder, factory, metric, &base).failed(2);
        assert!(message.contains(caret), "'{factory}': {message}");
        assert_eq!(message.lines().count(), 3, "'{factory}': {message}");
        assert!(!folder.path("index.ivf").exists());
    }
}

#[test]
fn a_metric_has_one_name_in_any_spelling() {
    let folder = Folder::new();
    let base = folder.fvecs("base.fvecs", 2, &vectors(9, 2, 1));
    for (spelling, name) in
        [("Cosine", "cosine"), ("L2", "l2"), ("inner_product", "ip"), ("InnerProduct", "ip"), ("LP:3", "lp:3")]
    {
        build(&folder, "Flat", spelling, &base).ok();
        let said = ivf(["info", &folder.arg("index.ivf")]).ok().stdout;
        assert!(said.contains(&format!("\nmetric      {name}\n")), "'{spelling}': {said}");
    }
}

#[test]
fn an_unknown_metric_is_a_usage_error() {
    let folder = Folder::new();
    let message = build(&folder, "Flat", "euclid", &folder.arg("no.fvecs")).failed(2);
    assert!(message.contains("unknown metric 'euclid'; expected one of l2, ip, cosine"), "{message}");
}

#[test]
fn unknown_arguments_are_usage_errors() {
    ivf(["index"]).failed(2);
    ivf(["search", "a.ivf", "--queries", "q.fvecs", "-k", "0"]).failed(2);
    ivf(["search", "a.ivf", "--queries", "q.fvecs", "--threads", "0"]).failed(2);
    ivf(["search", "a.ivf", "--queries", "q.fvecs", "--threads", "99999999"]).failed(2);
    ivf(["demo", "--fast"]).failed(2);
    for args in [&["search", "a.ivf"][..], &["eval", "a.ivf", "--ground-truth", "t.ivecs"]] {
        let message = ivf(args.iter().chain(&["--queries", "q.fvecs", "--nprobe", "0"])).failed(2);
        assert!(message.contains("invalid value '0'") && message.contains("must be at least 1\n"), "{message}");
        assert!(!message.contains("non-zero"), "{message}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let folder = Folder::new();
    let missing = folder.arg("no.fvecs");
    let message = build(&folder, "Flat", "l2", &missing).failed(1);
    assert!(message.starts_with(&format!("error: cannot read {missing}: ")), "{message}");
    assert_eq!(message.matches("os error").count(), 1, "{message}");
    assert!(!folder.path("index.ivf").exists());
    let message = ivf(["search", &folder.arg("no.ivf"), "--queries", &missing]).failed(1);
    assert!(message.starts_with(&format!("error: cannot read {}: ", folder.arg("no.ivf"))), "{message}");
    assert_eq!(message.matches("os error").count(), 1, "{message}");
    // A missing folder cannot be written to.
    let base = folder.fvecs("base.fvecs", 2, &vectors(3, 2, 1));
    let out = folder.arg("nowhere/a.ivf");
    let message = ivf(["build", "--factory", "Flat", "--metric", "l2", "--base", &base, "--out", &out]).failed(1);
    assert!(message.starts_with(&format!("error: cannot write {out}: ")), "{message}");
    assert!(message.ends_with(&format!(": there is no folder {}\n", folder.arg("nowhere"))), "{message}");
}

#[test]
fn malformed_vectors_are_an_error() {
    let folder = Folder::new();
    let malformed: [(&str, &[u8]); 5] = [
        ("cut.fvecs", &[2, 0, 0, 0, 0, 0, 128, 63, 0, 0]),
        ("zero.fvecs", &[0, 0, 0, 0]),
        ("negative.fvecs", &[255, 255, 255, 255, 0, 0, 0, 0]),
        ("huge.fvecs", &[255, 255, 255, 127, 0, 0, 0, 0]),
        ("uneven.fvecs", &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]),
    ];
    for (name, bytes) in malformed {
        let base = folder.write(name, bytes);
        let message = build(&folder, "Flat", "l2", &base).failed(1);
        assert!(message.contains(name), "{message}");
        assert!(!folder.path("index.ivf").exists(), "{name}");
    }
}

#[test]
fn unusable_vectors_are_an_error() {
    let folder = Folder::new();
    let base = folder.fvecs("nan.fvecs", 2, &[0.0, 1.0, f32::NAN, 1.0]);
    let message = build(&folder, "Flat", "l2", &base).failed(1);
    assert!(message.contains("vector 1 holds a NaN or an infinity"), "{message}");
    let few = folder.fvecs("few.fvecs", 2, &vectors(3, 2, 1));
    let message = build(&folder, "IVF16,Flat", "l2", &few).failed(1);
    assert!(message.contains("16"), "{message}");
}

#[test]
fn queries_of_another_dimension_are_an_error() {
    let folder = Folder::new();
    build(&folder, "Flat", "l2", &folder.fvecs("base.fvecs", 2, &vectors(4, 2, 1))).ok();
    let queries = folder.fvecs("queries.fvecs", 3, &vectors(1, 3, 1));
    let message = ivf(["search", &folder.arg("index.ivf"), "--queries", &queries]).failed(1);
    assert!(message.contains("the vectors have 3 dimensions, but the index has 2"), "{message}");
}

#[test]
fn a_file_that_is_no_index_is_an_error() {
    let folder = Folder::new();
    let index = folder.write("index.ivf", b"this is no index");
    let message = ivf(["search", &index, "--queries", "q.fvecs"]).failed(1);
    assert!(message.contains(&index), "{message}");
}

#[test]
fn help_names_the_commands() {
    let help = ivf(["--help"]).ok().stdout;
    for command in ["build", "search", "demo"] {
        assert!(help.contains(command), "{help}");
        ivf([command, "--help"]).ok();
    }
    // Each command is described by what it does.
    let verbs = [
        "Add", "Build", "Compute", "Convert", "Describe", "List", "Measure", "Merge", "Print", "Remove", "Search",
        "Set",
    ];
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let described: Vec<_> = commands.map(|line| line.split_whitespace().nth(1).expect("a description")).collect();
    assert!(described.len() > 10 && described.iter().all(|verb| verbs.contains(&verb.trim_end_matches(','))), "{help}");
    let demo = ivf(["demo", "--help"]).ok().stdout;
    assert!(demo.contains("It needs no files"), "{demo}");
    assert!(ivf(["--version"]).ok().stdout.starts_with("ivf "));
}

#[test]
fn an_instruction_set_that_is_not_there_is_named() {
    for set in ["nonsense", "mmx", ""] {
        for command in [&["demo"][..], &["info", "a.ivf"]] {
            let message = ran(crate::program::command(command).env("IVF_SIMD", set)).failed(1);
            let expected = format!("error: IVF_SIMD: this machine has no instruction set '{set}'; it has scalar");
            assert!(message.starts_with(&expected), "{message}");
            assert_eq!(message.lines().count(), 1, "{message}");
        }
    }
}

#[test]
fn no_command_writes_over_a_file_that_it_needs() {
    let folder = Folder::new();
    let base = folder.arg("base.fvecs");
    let rows = vectors(50, 4, 1);
    let rows = ivf_core::Rows::new(&rows, 4).expect("whole rows");
    ivf_io::write_vectors(&base, rows).expect("a writable folder");
    let before = std::fs::read(&base).expect("just written");
    let message = ivf(["build", "--factory", "Flat", "--metric", "l2", "--base", &base, "--out", &base]).failed(2);
    assert!(message.contains("cannot be written"), "{message}");
    assert!(std::fs::read(&base).expect("still there") == before);
    let out = folder.arg("same");
    let twice = ["search", &base, "--queries", &base, "--out-ids", &out, "--out-distances", &out];
    assert!(ivf(twice).failed(2).contains("cannot be written"));
}
