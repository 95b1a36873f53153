//! `ivf set`: sets knobs of an index file.

use crate::failure::Failure;
use crate::info::knob_values;
use crate::keep::ChangeArgs;
use ivf_core::Index;
use ivf_core::error::KnobError;
use ivf_core::knobs::set_knobs;
use std::fmt;
use std::io::Write;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// Knobs to set, such as nprobe=16 or quantizer/efSearch=64. `ivf info` shows the knobs of an
    /// index
    #[arg(required_unless_present = "params", value_name = "KNOB=VALUE")]
    knobs: Vec<String>,
    /// The same knobs in one string, such as nprobe=16,quantizer_efSearch=64
    #[arg(long, value_name = "NAME=VALUE,...")]
    params: Option<String>,
}

/// Sets knobs of an index, all or none. `what` names the index in errors.
pub(crate) fn set(index: &mut dyn Index, knobs: &str, what: impl fmt::Display) -> Result<(), Failure> {
    let paths: Vec<String> = index.parts().iter().flat_map(knob_values).map(|(path, _)| path).collect();
    set_knobs(index, knobs).map_err(|error| match error {
        error @ (KnobError::Syntax(_) | KnobError::Twice(_)) => Failure::usage(&error),
        // Knobs are listed with their paths, as `ivf info` shows them.
        KnobError::Unknown { name, known } => {
            let known = if paths.is_empty() { known } else { paths.join(", ") };
            let error = KnobError::Unknown { name, known };
            Failure::failed(format_args!("cannot set the knobs of {what}"), &error)
        }
        error => Failure::failed(format_args!("cannot set the knobs of {what}"), &error),
    })
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let mut change = args.change.open(&[])?;
    let knobs: Vec<&str> = args.knobs.iter().chain(&args.params).map(String::as_str).collect();
    set(&mut *change.index, &knobs.join(","), args.change.index.display())?;
    change.read(None)?;
    let written = change.write()?;
    writeln!(
        out,
        "{}: {}; written in {:.2} s, {} bytes",
        written.path.display(),
        knobs.join(", "),
        written.time.as_secs_f64(),
        written.bytes
    )?;
    Ok(())
}
