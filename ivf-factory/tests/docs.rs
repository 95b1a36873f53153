//! The tables in docs/factory.md are what the rows and the indexes say. `IVF_BLESS=1` writes it anew.

use ivf_core::registry::Side;
use ivf_core::{Metric, Registry};
use ivf_factory::default_registry;
use std::fmt::Write;
use std::{env, fs};

/// A table a sort of token. A row without a form is of a kind that only the library itself makes.
fn tables(registry: &Registry) -> String {
    let mut text = String::new();
    macro_rules! table {
        ($title:literal, $rows:expr) => {
            write!(text, "\n### {}\n\n| token | what | samples |\n|---|---|---|\n", $title).unwrap();
            for row in $rows.iter().filter(|row| !row.grammar.is_empty()) {
                let samples: Vec<String> = row.samples.iter().map(|sample| format!("`{sample}`")).collect();
                // A bar would end the cell, also between backquotes.
                let grammar = row.grammar.replace('|', "\\|");
                writeln!(text, "| `{grammar}` | {} | {} |", row.about, samples.join(" ")).unwrap();
            }
        };
    }
    table!("Codecs", registry.codecs());
    table!("Coarse quantizers", registry.quantizers());
    table!("Transforms", registry.transforms());
    table!("Wrappers", registry.wrappers());
    text + "\n"
}

/// What an index of each shape can do: Flat and IVF-Flat, and IVF-Flat under every transform and wrapper.
fn abilities(registry: &Registry) -> String {
    let inner = "IVF1,Flat";
    let mut shapes: Vec<(String, Metric)> = vec![("Flat".to_owned(), Metric::L2), (inner.to_owned(), Metric::L2)];
    shapes.push((inner.to_owned(), Metric::Cosine));
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
    let training: Vec<f32> = (0..100).map(|i| 1.0 + i as f32).collect();
    for (spec, metric) in shapes {
        let mut index = ivf_factory::build(&spec, 2, metric).unwrap();
        index.train(ivf_core::Rows::new(&training, 2).unwrap()).unwrap();
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

/// The document with what stands between two markers replaced.
fn between(text: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (head, rest) = text.split_once(&begin).expect("the table begins at its marker");
    let (_, tail) = rest.split_once(&end).expect("the table ends at its marker");
    format!("{head}{begin}{table}{end}{tail}")
}

#[test]
fn the_tables_are_what_the_rows_and_the_indexes_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/factory.md");
    let found = fs::read_to_string(path).unwrap();
    let wanted = between(&found, "tokens", &tables(default_registry()));
    let wanted = between(&wanted, "abilities", &abilities(default_registry()));
    if env::var_os("IVF_BLESS").is_some() {
        fs::write(path, &wanted).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), wanted, "set IVF_BLESS=1 to write the tables in {path} anew");
}
