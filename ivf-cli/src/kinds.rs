//! `ivf kinds`: lists what factory strings, files and searches are made of.

use crate::failure::Failure;
use crate::table::table;
use ivf_core::registry::Side;
use ivf_core::{KnobValue, Metric, Registry, SearchParam};
use ivf_io::vectors::FORMATS;
use serde::Serialize;
use std::io::Write;

/// Dimension of the indexes whose knobs are listed: the samples of all rows support it.
const DIM: usize = 64;

/// Base of the wrappers and transforms whose knobs are listed.
const BASE: &str = "IVF16,Flat";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Everything that is listed.
#[derive(Serialize)]
struct Kinds {
    codecs: Vec<Token>,
    quantizers: Vec<Token>,
    indexes: Vec<Token>,
    transforms: Vec<Token>,
    wrappers: Vec<Token>,
    metrics: &'static [&'static str],
    vector_formats: Vec<Format>,
    knobs: Vec<Knob>,
    search_params: Vec<Param>,
}

/// A kind with a token.
#[derive(Serialize)]
struct Token {
    token: &'static str,
    about: &'static str,
    samples: &'static [&'static str],
}

/// A format of vector files.
#[derive(Serialize)]
struct Format {
    extension: &'static str,
    /// `None` if each file declares its own.
    element: Option<String>,
    is_written: bool,
}

/// A knob of an index, which its file keeps.
#[derive(Serialize)]
struct Knob {
    name: String,
    alias: Option<&'static str>,
    range: String,
    default: KnobValue,
    about: String,
    /// Factory string of an index that has it.
    example: String,
}

/// A parameter of a single search.
#[derive(Serialize)]
struct Param {
    name: &'static str,
    range: String,
    about: String,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let kinds = Kinds::of(ivf_factory::default_registry());
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &kinds).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    kinds.print(out)
}

impl Kinds {
    fn of(registry: &Registry) -> Self {
        // Kinds without a grammar have no token: only the library creates them.
        macro_rules! tokens {
            ($rows:expr) => {
                $rows
                    .iter()
                    .filter(|row| !row.grammar.is_empty())
                    .map(|row| Token { token: row.grammar, about: row.about, samples: row.samples })
                    .collect()
            };
        }
        Self {
            codecs: tokens!(registry.codecs()),
            quantizers: tokens!(registry.quantizers()),
            indexes: tokens!(registry.indexes()),
            transforms: tokens!(registry.transforms()),
            wrappers: tokens!(registry.wrappers()),
            metrics: Metric::NAMES,
            vector_formats: FORMATS
                .iter()
                .map(|format| Format {
                    extension: format.extension,
                    element: format.element.map(|element| element.to_string()),
                    is_written: format.is_written(),
                })
                .collect(),
            knobs: knobs(registry),
            search_params: SearchParam::ALL
                .iter()
                .filter_map(|param| Some((param, param.range()?)))
                .map(|(param, range)| {
                    let about = plain(param.about());
                    Param { name: param.name(), range: range.to_string(), about }
                })
                .collect(),
        }
    }

    fn print(&self, out: &mut impl Write) -> Result<(), Failure> {
        let sorts = [
            ("Codecs", &self.codecs),
            ("Coarse quantizers", &self.quantizers),
            ("Indexes", &self.indexes),
            ("Transforms", &self.transforms),
            ("Wrappers", &self.wrappers),
        ];
        for (title, tokens) in sorts.into_iter().filter(|(_, tokens)| !tokens.is_empty()) {
            let mut shown = table(&["<token", "<what", "<for example"]);
            shown
                .add_rows(tokens.iter().map(|row| [row.token.to_owned(), row.about.to_owned(), row.samples.join(" ")]));
            writeln!(out, "{title}\n\n{shown}\n")?;
        }
        writeln!(out, "Metrics\n\n{}\n", self.metrics.join(", "))?;
        let mut formats = table(&["<file name", "<numbers", "<written"]);
        formats.add_rows(self.vector_formats.iter().map(|format| {
            let element = format.element.clone().unwrap_or_else(|| "as the file says".to_owned());
            [format!("*.{}", format.extension), element, if format.is_written { "yes" } else { "no" }.to_owned()]
        }));
        writeln!(out, "Vector files\n\n{formats}\n")?;
        let mut knobs = table(&["<knob", "<is", "<by default", "<what", "<in"]);
        knobs.add_rows(self.knobs.iter().map(|knob| {
            let alias = knob.alias.map(|alias| format!(" (or {alias})")).unwrap_or_default();
            let name = format!("{}{alias}", knob.name);
            [name, knob.range.clone(), knob.default.to_string(), knob.about.clone(), knob.example.clone()]
        }));
        writeln!(out, "Knobs, which an index keeps\n\n{knobs}\n")?;
        let mut params = table(&["<parameter", "<is", "<what"]);
        params.add_rows(
            self.search_params.iter().map(|param| [param.name.to_owned(), param.range.clone(), param.about.clone()]),
        );
        writeln!(out, "Parameters of a search, beside knobs\n\n{params}")?;
        Ok(())
    }
}

/// Returns the knobs of an index with each sample token, each name once.
fn knobs(registry: &Registry) -> Vec<Knob> {
    let codecs = registry.codecs().iter().flat_map(|row| row.samples).map(|codec| format!("IVF16,{codec}"));
    let quantizers = registry.quantizers().iter().flat_map(|row| row.samples).map(|token| format!("{token},Flat"));
    let indexes = registry.indexes().iter().flat_map(|row| {
        row.samples.iter().map(|token| if row.takes_quantizer { format!("IVF16,{token}") } else { (*token).to_owned() })
    });
    let transforms = registry.transforms().iter().flat_map(|row| row.samples).map(|token| format!("{token},{BASE}"));
    let wrappers = registry.wrappers().iter().flat_map(|row| {
        row.samples.iter().map(|token| match row.side {
            Side::After => format!("{BASE},{token}"),
            Side::Both => format!("{token},{BASE}"),
        })
    });
    let mut found: Vec<Knob> = Vec::new();
    for example in codecs.chain(quantizers).chain(indexes).chain(transforms).chain(wrappers) {
        // Tokens that need another index are skipped.
        let Ok(index) = ivf_factory::build(&example, DIM, Metric::L2) else { continue };
        for knob in index.parts().into_iter().flat_map(|part| part.knobs) {
            if found.iter().all(|known| known.name != knob.param.name) {
                found.push(Knob {
                    name: knob.param.name.into_owned(),
                    alias: knob.param.alias,
                    range: knob.param.range.to_string(),
                    default: knob.param.default,
                    about: knob.param.about.into_owned(),
                    example: example.clone(),
                });
            }
        }
    }
    found
}

/// Returns the text of a doc comment without backticks and without the targets of links.
fn plain(about: &str) -> String {
    let mut text = String::new();
    let mut rest = about;
    while let Some((before, link)) = rest.split_once("](") {
        text.push_str(before);
        rest = link.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.chars().filter(|c| !['`', '[', ']'].contains(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_comments_are_left_out() {
        assert_eq!(
            plain("Limit of [`max_lists`](SearchParams::max_lists), or `0`. [`Id`] too."),
            "Limit of max_lists, or 0. Id too."
        );
        assert_eq!(plain("plain"), "plain");
        for param in SearchParam::ALL {
            assert!(!plain(param.about()).contains(['`', '[', ']']), "{param:?}");
        }
    }
}
