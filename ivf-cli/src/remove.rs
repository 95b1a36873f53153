//! `ivf remove`: removes vectors from an index file by their ids.

use crate::failure::{self, Failure};
use crate::ids::{IdRanges, IdSet, read_ranges};
use crate::keep::ChangeArgs;
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
    /// Ids to remove, and ranges of ids: in 1,5,10..20 the last id is 19, and 100.. has no end
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
    // A range without an end does not say which ids should be there.
    let closed = ids.closed();
    let missing = closed.len() - found.iter().filter(|id| closed.contains(*id)).count() as u128;
    if missing > 0 {
        let index = args.change.index.display();
        failure::say(format_args!("warning: {missing} of the {} ids are not in {index}", closed.len()));
    }
    let removed = ids.select(|selector| change.index.remove(selector)).map_err(|error| cannot(&error))?;
    let (time, vectors) = (start.elapsed(), change.index.len());
    let written = change.write()?;
    writeln!(
        out,
        "{}: {removed} vectors removed, {missing} ids not found; {vectors} left; removed in {:.2} s, written in \
         {:.2} s, {} bytes",
        written.path.display(),
        time.as_secs_f64(),
        written.time.as_secs_f64(),
        written.bytes,
    )?;
    Ok(())
}
