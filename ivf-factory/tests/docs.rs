//! The table in docs/factory.md is what the rows say. `IVF_BLESS=1` writes it anew.

use ivf_core::Registry;
use ivf_factory::default_registry;
use std::fmt::Write;
use std::{env, fs};

const BEGIN: &str = "<!-- tokens: begin -->\n";
const END: &str = "<!-- tokens: end -->";

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

#[test]
fn the_table_of_tokens_is_what_the_rows_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/factory.md");
    let found = fs::read_to_string(path).unwrap();
    let (head, rest) = found.split_once(BEGIN).expect("the table begins at its marker");
    let (_, tail) = rest.split_once(END).expect("the table ends at its marker");
    let wanted = format!("{head}{BEGIN}{}{END}{tail}", tables(default_registry()));
    if env::var_os("IVF_BLESS").is_some() {
        fs::write(path, &wanted).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), wanted, "set IVF_BLESS=1 to write the table in {path} anew");
}
