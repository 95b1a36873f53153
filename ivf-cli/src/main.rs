//! The program `ivf`: build and search inverted-file indexes from the command line.
//!
//! | module | what |
//! |---|---|
//! | [`build`], [`search`], [`eval`], [`truth`], [`info`], [`kinds`], [`convert`], [`demo`] | the commands |
//! | [`add`], [`remove`], [`merge`], [`set`] | the commands that change an index file |
//! | [`keep`], [`lock`] | what they share: open, lock, check, write |
//! | [`man`] | manual pages |
//! | [`failure`] | failures of commands, and exit codes |
//! | [`fill`], [`ids`] | adding the vectors of a file; ids |
//! | [`sample`], [`memory`] | sampling of training vectors; memory limits |
//! | [`filter`], [`params`], [`queries`] | options of searches |
//! | [`ground_truth`], [`recall`] | true neighbours, and recall of search results |
//! | [`paths`] | checks of output files |
//! | [`plot`] | the plot of an evaluation |
//! | [`results`] | results of a search, in files, JSON or a table |
//! | [`progress`], [`table`], [`threads`] | bars and lines, tables, thread pools |
//! | [`vectors`] | formats of vector files; standard input and output |
//! | [`words`] | the bundled vectors of the demo |

#![forbid(unsafe_code)]

mod add;
mod build;
mod convert;
mod demo;
mod eval;
mod failure;
mod fill;
mod filter;
mod ground_truth;
mod ids;
mod info;
mod keep;
mod kinds;
mod lock;
mod man;
mod memory;
mod merge;
mod params;
mod paths;
mod plot;
mod progress;
mod queries;
mod recall;
mod remove;
mod results;
mod sample;
mod search;
mod set;
mod table;
mod threads;
mod truth;
mod vectors;
mod words;

use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use std::io::{self, Write};
use std::process::ExitCode;

/// Inverted-file (IVF) vector search.
#[derive(Parser)]
#[command(name = "ivf", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build an index from a factory string and a file of vectors.
    Build(build::Args),
    /// Add the vectors of a file to an index file.
    Add(add::Args),
    /// Remove vectors from an index file by their ids.
    Remove(remove::Args),
    /// Add the vectors of other index files to an index file.
    Merge(merge::Args),
    /// Set knobs of an index file, such as nprobe.
    Set(set::Args),
    /// Search an index for the nearest vectors of each query.
    Search(search::Args),
    /// Measure recall and speed of an index at several settings.
    Eval(eval::Args),
    /// Compute the exact nearest neighbours of queries, as ground truth for `eval`.
    Truth(truth::Args),
    /// Describe an index file, and optionally verify its checksums.
    Info(info::Args),
    /// List the tokens of factory strings, metrics, vector files, knobs and search parameters.
    Kinds(kinds::Args),
    /// Convert a file of vectors to another format.
    Convert(convert::Args),
    /// Print completions for a shell.
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page, or write all pages to a folder.
    Man(man::Args),
    /// Build indexes over 20,000 English words, compare them, save and load one.
    ///
    /// It needs no files: the words and their vectors are in the program. It prints the nearest
    /// words of some words, compares the recall and speed of several indexes with exact search, and
    /// saves and loads one in a temporary folder.
    Demo(demo::Args),
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader closed the pipe because it has read enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            failure::say(format_args!("error: {failure}"));
            failure.exit_code()
        }
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    // An invalid `IVF_SIMD` ends every command, even one that computes nothing.
    ivf_cpu::simd::check()?;
    let mut out = io::stdout().lock();
    match command {
        Command::Build(args) => build::run(args, &mut out),
        Command::Add(args) => add::run(args, &mut out),
        Command::Remove(args) => remove::run(args, &mut out),
        Command::Merge(args) => merge::run(args, &mut out),
        Command::Set(args) => set::run(args, &mut out),
        Command::Search(args) => search::run(args, &mut out),
        Command::Eval(args) => eval::run(args, &mut out),
        Command::Truth(args) => truth::run(args, &mut out),
        Command::Info(args) => info::run(args, &mut out),
        Command::Kinds(args) => kinds::run(args, &mut out),
        Command::Convert(args) => convert::run(args, &mut out),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "ivf", &mut out);
            Ok(())
        }
        Command::Man(args) => man::run(args, Cli::command(), &mut out),
        Command::Demo(args) => demo::run(args, &mut out),
    }?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
