//! `ivf set`: sets knobs of an index file.

use crate::failure::Failure;
use crate::info::knob_values;
use crate::keep::ChangeArgs;
use ivf_core::error::KnobError;
use ivf_core::knobs::set_knobs;
use std::io::Write;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// Knobs to set, such as nprobe=16 or quantizer/efSearch=64. `ivf info` shows the knobs of an
    /// index
    #[arg(required = true, value_name = "KNOB=VALUE")]
    knobs: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let mut change = args.change.open(&[])?;
    let knobs = args.knobs.join(",");
    let paths: Vec<String> = change.index.parts().iter().flat_map(knob_values).map(|(path, _)| path).collect();
    set_knobs(&mut *change.index, &knobs).map_err(|error| match error {
        error @ (KnobError::Syntax(_) | KnobError::Twice(_)) => Failure::usage(&error),
        // Knobs are listed with their paths, as `ivf info` shows them.
        KnobError::Unknown { name, known } => {
            let known = if paths.is_empty() { known } else { paths.join(", ") };
            let error = KnobError::Unknown { name, known };
            Failure::failed(format_args!("cannot set the knobs of {}", args.change.index.display()), &error)
        }
        error => Failure::failed(format_args!("cannot set the knobs of {}", args.change.index.display()), &error),
    })?;
    change.read(None)?;
    let written = change.write()?;
    writeln!(
        out,
        "{}: {}; written in {:.2} s, {} bytes",
        written.path.display(),
        args.knobs.join(", "),
        written.time.as_secs_f64(),
        written.bytes
    )?;
    Ok(())
}
