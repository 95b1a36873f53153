//! Checks that the tables and errors in docs/factory.md match the rows and the indexes, and that
//! its example of a config works. `IVF_BLESS=1` rewrites the tables and errors.

use ivf_core::registry::Side;
use ivf_core::{Knob, Metric, Registry};
use ivf_factory::{BuildParams, Spec, build, default_registry};
use std::fmt::Write;
use std::{env, fs};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/factory.md");

/// Returns a table for each sort of token. Rows without a form are left out: only the library
/// itself creates their kinds.
fn tables(registry: &Registry) -> String {
    let mut text = String::new();
    macro_rules! table {
        ($title:literal, $rows:expr) => {
            write!(text, "\n### {}\n\n| token | what | samples |\n|---|---|---|\n", $title).unwrap();
            for row in $rows.iter().filter(|row| !row.grammar.is_empty()) {
                let samples: Vec<String> = row.samples.iter().map(|sample| format!("`{sample}`")).collect();
                // A bar would end the cell, even between backquotes.
                let grammar = row.grammar.replace('|', "\\|");
                writeln!(text, "| `{grammar}` | {} | {} |", row.about, samples.join(" ")).unwrap();
            }
        };
    }
    table!("Codecs", registry.codecs());
    table!("Coarse quantizers", registry.quantizers());
    if registry.indexes().iter().any(|row| !row.grammar.is_empty()) {
        table!("Indexes", registry.indexes());
    }
    table!("Transforms", registry.transforms());
    table!("Wrappers", registry.wrappers());
    text + "\n"
}

/// Returns the samples of indexes that need no quantizer before them.
fn alone(registry: &Registry) -> impl Iterator<Item = &'static str> {
    registry.indexes().iter().filter(|row| !row.takes_quantizer).flat_map(|row| row.samples).copied()
}

/// Returns the table of abilities: of Flat, IVF-Flat, other indexes, and of
/// IVF-Flat with each transform and wrapper.
fn abilities(registry: &Registry) -> String {
    let inner = "IVF1,Flat";
    let mut shapes: Vec<(String, Metric)> = vec![("Flat".to_owned(), Metric::L2), (inner.to_owned(), Metric::L2)];
    shapes.push((inner.to_owned(), Metric::Cosine));
    let of_lists = registry.indexes().iter().filter(|row| row.takes_quantizer).flat_map(|row| row.samples);
    shapes.extend(of_lists.map(|token| (format!("IVF1,{token}"), Metric::L2)));
    shapes.extend(alone(registry).map(|token| (token.to_owned(), Metric::L2)));
    let before = registry.transforms().iter().flat_map(|row| row.samples).map(|token| format!("{token},{inner}"));
    let wrappers = registry.wrappers().iter().flat_map(|row| row.samples.iter().map(move |token| (row.side, token)));
    let around = wrappers.map(|(side, token)| match side {
        Side::After => format!("{inner},{token}"),
        Side::Both => format!("{token},{inner}"),
    });
    shapes.extend(before.chain(around).map(|spec| (spec, Metric::L2)));
    let names = [
        "train",
        "add",
        "with ids",
        "range",
        "remove",
        "update",
        "reconstruct",
        "upsert",
        "merge",
        "subset",
        "codes",
        "given lists",
        "reset",
    ];
    let mut text = format!("\n| index | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    // Enough for every sample, in a dimension that every sample supports.
    let training: Vec<f32> = (0..300 * 16).map(|i| 1.0 + i as f32).collect();
    for (spec, metric) in shapes {
        let mut index = build(&spec, 16, metric).unwrap();
        index.train(ivf_core::Rows::new(&training, 16).unwrap()).unwrap();
        let can = [
            index.as_train().is_some(),
            index.as_add().is_some(),
            index.as_add_with_ids().is_some(),
            index.as_range_search().is_some(),
            index.as_remove().is_some(),
            index.as_update().is_some(),
            index.as_reconstruct().is_some(),
            index.as_upsert().is_some(),
            index.as_merge().is_some(),
            index.as_copy_subset().is_some(),
            index.as_standalone_codec().is_some() && index.as_add_codes().is_some(),
            index.as_ivf().is_some(),
            index.as_reset().is_some(),
        ];
        let cells: Vec<&str> = can.iter().map(|can| if *can { "yes" } else { "-" }).collect();
        let cosine = if metric == Metric::Cosine { ", cosine" } else { "" };
        writeln!(text, "| `{spec}`{cosine} | {} |", cells.join(" | ")).unwrap();
    }
    text + "\n"
}

/// Escapes text for a cell of a table.
fn cell(text: impl ToString) -> String {
    text.to_string().replace('|', "\\|")
}

/// Returns the table of the knobs of every codec, index, quantizer, transform and wrapper, each
/// name once.
fn knobs(registry: &Registry) -> String {
    let codecs = registry.codecs().iter().flat_map(|row| row.samples);
    let mut specs: Vec<String> = codecs.map(|codec| format!("IVF16,{codec}")).collect();
    specs.extend(alone(registry).map(str::to_owned));
    specs.extend(registry.quantizers().iter().flat_map(|row| row.samples).map(|token| format!("{token},Flat")));
    specs.extend(registry.transforms().iter().flat_map(|row| row.samples).map(|token| format!("{token},Flat")));
    let wrappers = registry.wrappers().iter().flat_map(|row| row.samples.iter().map(move |token| (row.side, token)));
    specs.extend(wrappers.map(|(side, token)| match side {
        Side::After => format!("IVF16,Flat,{token}"),
        Side::Both => format!("{token},IVF16,Flat"),
    }));
    let mut found: Vec<(Knob, String)> = Vec::new();
    for spec in specs {
        // Tokens that need another dimension or another index are skipped.
        let Ok(index) = build(&spec, 64, Metric::L2) else { continue };
        for knob in index.parts().into_iter().flat_map(|part| part.knobs) {
            if found.iter().all(|(known, _)| known.name() != knob.name()) {
                found.push((knob, spec.clone()));
            }
        }
    }
    let mut text = "\n| knob | is | by default | what | in |\n|---|---|---|---|---|\n".to_owned();
    for (Knob { param, .. }, spec) in found {
        let alias = param.alias.map(|alias| format!(" (or `{alias}`)")).unwrap_or_default();
        let (range, about) = (cell(&param.range), cell(&param.about));
        writeln!(text, "| `{}`{alias} | {range} | {} | {about} | `{spec}` |", param.name, param.default).unwrap();
    }
    text + "\n"
}

/// Returns the errors that the document shows.
fn errors() -> [(&'static str, String); 2] {
    let shown = |error: String| format!("\n```text\n{error}\n```\n\n");
    let parse = "ivf16,flat".parse::<Spec>().unwrap_err();
    let build = build("IVF16,PQ16", 100, Metric::L2).unwrap_err();
    [("parse error", shown(parse.to_string())), ("build error", shown(build.to_string()))]
}

/// Returns the document with the text between two markers replaced.
fn between(text: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (head, rest) = text.split_once(&begin).expect("the table begins at its marker");
    let (_, tail) = rest.split_once(&end).expect("the table ends at its marker");
    format!("{head}{begin}{table}{end}{tail}")
}

#[test]
fn the_document_says_what_the_rows_and_the_indexes_say() {
    let found = fs::read_to_string(PATH).unwrap();
    let wanted = between(&found, "tokens", &tables(default_registry()));
    let wanted = between(&wanted, "knobs", &knobs(default_registry()));
    let wanted = between(&wanted, "abilities", &abilities(default_registry()));
    let wanted = errors().iter().fold(wanted, |text, (name, error)| between(&text, name, error));
    if env::var_os("IVF_BLESS").is_some() {
        fs::write(PATH, &wanted).unwrap();
    }
    assert_eq!(fs::read_to_string(PATH).unwrap(), wanted, "set IVF_BLESS=1 to rewrite {PATH}");
}

/// Returns the first code block after a heading.
fn block<'t>(text: &'t str, heading: &str, language: &str) -> &'t str {
    let (_, section) = text.split_once(heading).expect("a heading");
    let (_, block) = section.split_once(&format!("```{language}\n")).expect("a block");
    block.split_once("```").expect("an end of the block").0
}

#[test]
fn the_example_of_a_config_builds_an_index() {
    let text = fs::read_to_string(PATH).unwrap();
    let config: BuildParams = serde_json::from_str(block(&text, "## In a config file", "json")).unwrap();
    let index = config.build().unwrap_or_else(|error| panic!("{error}"));
    for (name, value) in config.knobs.iter() {
        assert_eq!(index.knob(name).as_ref(), Some(value), "{name}");
    }
}
