//! Runs the commands of docs/program.md in order, and compares what they print with the page.
//! `IVF_BLESS=1` rewrites the outputs that differ.

use crate::files::{Folder, vectors};
use crate::program::{command, ran};
use serde_json::Value;
use std::{env, fs};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/program.md");

const DIM: usize = 8;

/// Columns of tables, and fields of JSON, whose numbers differ between two runs.
const VARYING: [&str; 12] = [
    "QPS",
    "QPS one by one",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "seconds",
    "coarse search",
    "scans",
    "qps",
    "qps_single",
    "coarse_seconds",
    "scan_seconds",
];

/// Stands for a number that differs between two runs.
const NUMBER: &str = "#";

/// A command of the page, and the output below it.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    printed: String,
}

/// Splits a page into text, and the outputs of its steps in between: there is one part of text more
/// than there are steps.
fn parse(page: &str) -> (Vec<String>, Vec<Step>) {
    let (mut texts, mut steps, mut rest) = (Vec::new(), Vec::new(), page);
    while let Some((before, after)) = rest.split_once("```sh\n") {
        let (command, after) = after.split_once("\n```\n").expect("a command ends");
        assert!(command.starts_with("ivf ") && command.lines().count() == 1, "one command: {command}");
        let after = after.strip_prefix("\n```text\n").unwrap_or_else(|| panic!("no output below: {command}"));
        let (printed, after) = after.split_once("```\n").expect("an output ends");
        texts.push(format!("{before}```sh\n{command}\n```\n\n```text\n"));
        steps.push(Step { command: command.to_owned(), printed: printed.to_owned() });
        rest = after;
    }
    texts.push(rest.to_owned());
    (texts, steps)
}

/// Puts the parts of a page together.
fn page(texts: &[String], steps: &[Step]) -> String {
    let (last, texts) = texts.split_last().expect("text after the last step");
    let parts = texts.iter().zip(steps).map(|(text, step)| format!("{text}{}```\n", step.printed));
    parts.collect::<String>() + last
}

/// Replaces the numbers that differ between two runs, and the widths of columns that follow them.
fn comparable(printed: &str) -> String {
    let mut header: Vec<&str> = Vec::new();
    let mut lines = Vec::new();
    for line in printed.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let is_table = line.starts_with('|');
        lines.push(if line.starts_with('{') {
            let mut value: Value = serde_json::from_str(line).expect("a line of JSON");
            without_varying(&mut value);
            value.to_string()
        } else if is_table && header.is_empty() {
            header.clone_from(&cells);
            cells.join("|")
        } else if is_table {
            let cell = |(name, cell): (&&str, &&str)| {
                let is_rule = cell.starts_with('-');
                let varies = VARYING.contains(name) && cell.parse::<f64>().is_ok();
                if is_rule {
                    "-".to_owned()
                } else if varies {
                    NUMBER.to_owned()
                } else {
                    (*cell).to_owned()
                }
            };
            header.iter().zip(&cells).map(cell).collect::<Vec<_>>().join("|")
        } else {
            without_seconds(line)
        });
        if !is_table {
            header.clear();
        }
    }
    lines.join("\n")
}

/// Replaces the numbers of seconds in a line of text.
fn without_seconds(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let is_unit = |word: &&str| ["s", "s,", "s;", "s."].contains(word);
    let shown = words.iter().enumerate().map(|(i, word)| {
        let is_time = word.parse::<f64>().is_ok() && words.get(i + 1).is_some_and(is_unit);
        if is_time { NUMBER } else { word }
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn without_varying(value: &mut Value) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        if VARYING.contains(&name.as_str()) && value.is_number() {
            *value = NUMBER.into();
        }
        without_varying(value);
    }
}

#[test]
fn the_page_shows_what_the_program_prints() {
    let folder = Folder::new();
    for (name, len, seed) in [("base.fvecs", 2000, 1), ("more.fvecs", 100, 2), ("queries.fvecs", 50, 3)] {
        folder.fvecs(name, DIM, &vectors(len, DIM, seed));
    }
    let found = fs::read_to_string(PAGE).expect("the page").replace("\r\n", "\n");
    let (texts, mut steps) = parse(&found);
    assert_eq!(page(&texts, &steps), found);
    for step in &mut steps {
        let mut command = command(step.command.split_whitespace().skip(1));
        let ran = ran(command.current_dir(folder.path(".")).env("RAYON_NUM_THREADS", "1")).ok();
        assert_eq!(ran.stderr, "", "{}", step.command);
        if comparable(&ran.stdout) != comparable(&step.printed) {
            step.printed = ran.stdout;
        }
    }
    let wanted = page(&texts, &steps);
    if env::var_os("IVF_BLESS").is_some() {
        fs::write(PAGE, &wanted).expect("a writable page");
    }
    let shown = fs::read_to_string(PAGE).expect("the page").replace("\r\n", "\n");
    assert_eq!(shown, wanted, "set IVF_BLESS=1 to rewrite {PAGE}");
    assert!(fs::read_to_string(folder.path("recall.svg")).expect("the plot").starts_with("<svg"));
    for name in ["build", "truth", "eval", "add", "remove", "merge", "set", "search", "info"] {
        assert!(steps.iter().any(|step| step.command.starts_with(&format!("ivf {name} "))), "{name}");
    }
}

#[test]
fn only_times_may_differ() {
    let is_same = |one: &str, other: &str| comparable(one) == comparable(other);
    assert!(is_same("| QPS | k |\n|-----|---|\n|  10 | 5 |", "|  QPS | k |\n|------|---|\n| 2000 | 5 |"));
    assert!(!is_same("| QPS | k |\n| 10 | 5 |", "| QPS | k |\n| 10 | 6 |"));
    assert!(!is_same("| QPS | k |\n| 10 | 5 |", "| QPS | k |\n| - | 5 |"));
    assert!(is_same("2 vectors, in 0.01 s, 7 bytes", "2 vectors, in 12.50 s, 7 bytes"));
    assert!(!is_same("2 vectors, in 0.01 s, 7 bytes", "2 vectors, in 0.01 s, 8 bytes"));
    let json = |id: i64, seconds: f64| format!(r#"{{"summary": {{"results": {id}, "seconds": {seconds}}}}}"#);
    assert!(is_same(&json(1, 0.5), &json(1, 0.25)) && !is_same(&json(1, 0.5), &json(2, 0.5)));
}
