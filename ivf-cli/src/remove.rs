//! `ivf remove`: removes vectors from an index file by their ids.

use crate::failure::{self, Failure};
use crate::ids::{IdRanges, IdSet, read_ranges};
use crate::keep::ChangeArgs;
use crate::table::plural;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    which: Which,
}

/// The ids to remove.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Ids to remove, and ranges of ids: in 1,5,10..20 the last id is 19, and 100.. has no end. A
    /// single id that the index does not have is a warning
    #[arg(long, value_name = "IDS", allow_hyphen_values = true)]
    ids: Option<IdRanges>,
    /// File of the ids to remove: integers (ivecs, ibin, npy), or text (any other name, or - for
    /// standard input) with ids and ranges as in --ids, on one line or several
    #[arg(long, value_name = "FILE")]
    ids_file: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let inputs: Vec<&Path> = args.which.ids_file.iter().map(PathBuf::as_path).collect();
    let mut change = args.change.open(&inputs)?;
    let cannot = |error: &dyn std::error::Error| {
        Failure::failed(format_args!("cannot remove vectors from {}", args.change.index.display()), error)
    };
    // An index without the ability is refused before anything is read.
    if change.index.as_remove().is_none() {
        return Err(cannot(&change.index.unable("remove")));
    }
    let ids = match (&args.which.ids, &args.which.ids_file) {
        (Some(ids), _) => ids.clone(),
        (None, Some(path)) => read_ranges(path)?,
        (None, None) => return Err(Failure::Usage("--ids or --ids-file is needed".to_owned())),
    };
    change.read(Some(0))?;
    let start = Instant::now();
    let found = IdSet::of(&*change.index, |id| ids.contains(id))?;
    // A range does not say which ids should be there.
    let single = ids.single_len();
    let missing = single - found.iter().filter(|id| ids.contains_single(*id)).count() as u128;
    if missing > 0 {
        let which = match (missing, single) {
            (_, 1) => "the single id is".to_owned(),
            (1, _) => format!("1 of the {single} single ids is"),
            _ => format!("{missing} of the {single} single ids are"),
        };
        failure::say(format_args!("warning: {which} not in {}", args.change.index.display()));
    }
    let removed = ids.select(|selector| change.index.remove(selector)).map_err(|error| cannot(&error))?;
    let (time, vectors) = (start.elapsed(), change.index.len());
    let missing = if missing == 1 { "1 id".to_owned() } else { format!("{missing} ids") };
    let removed_text = plural(removed as u64, "vector", "vectors");
    let what = format!("{removed_text} removed, {missing} not found; {vectors} left");
    if removed == 0 && change.is_in_place() {
        writeln!(out, "{}: {what}; the file is not written, as nothing changes", change.path().display())?;
        return Ok(());
    }
    let written = change.write()?;
    writeln!(
        out,
        "{}: {what}; removed in {:.2} s, written in {:.2} s, {} bytes",
        written.path.display(),
        time.as_secs_f64(),
        written.time.as_secs_f64(),
        written.bytes,
    )?;
    Ok(())
}
