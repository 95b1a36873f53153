//! `ivf man`: manual pages, made from the command line's definition.

use crate::failure::Failure;
use clap::Command;
use clap_mangen::Man;
use std::io::Write;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Command whose page to print [default: the page of the program]
    #[arg(conflicts_with = "dir")]
    command: Option<String>,
    /// Folder to write all pages to: ivf.1, ivf-build.1, ...
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// Runs the command. `program` is the definition of the command line.
pub(crate) fn run(args: &Args, mut program: Command, out: &mut impl Write) -> Result<(), Failure> {
    if let Some(folder) = &args.dir {
        return clap_mangen::generate_to(program, folder)
            .map_err(|error| Failure::failed(format_args!("cannot write to {}", folder.display()), &error));
    }
    program.build();
    let page = match &args.command {
        None => program,
        Some(name) => {
            let found = program.find_subcommand(name).cloned();
            found.ok_or_else(|| Failure::Usage(format!("there is no command '{name}'")))?
        }
    };
    Ok(Man::new(page).render(out)?)
}
