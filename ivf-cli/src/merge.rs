//! `ivf merge`: adds the vectors of other index files to an index file.

use crate::failure::Failure;
use crate::ids::IdSet;
use crate::keep::{ChangeArgs, Source};
use crate::progress::ProgressArg;
use crate::table::plural;
use crate::threads::ThreadsArg;
use ivf_core::{AddOptions, Id, Index};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// Index files to add, which stay as they are. They must have the same dimension, metric,
    /// factory string, centroids and codec
    #[arg(required = true, value_name = "OTHER")]
    others: Vec<PathBuf>,
    /// Add a number to the ids of each other index, so that they follow the largest id before
    #[arg(long)]
    shift_ids: bool,
    #[command(flatten)]
    threads: ThreadsArg,
    #[command(flatten)]
    progress: ProgressArg,
}

/// An index to merge, whose lists are in its file.
struct Other<'a> {
    path: &'a Path,
    source: Source,
    index: Box<dyn Index>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let paths: Vec<&Path> = args.others.iter().map(PathBuf::as_path).collect();
    if let Some(same) = paths.iter().find(|path| args.change.is_index(path)) {
        return Err(Failure::Usage(format!("{} cannot be merged into itself", same.display())));
    }
    let mut change = args.change.open(&paths)?;
    let threads = args.threads.start()?;
    let mut others = Vec::with_capacity(paths.len());
    for path in paths {
        let (source, index) = Source::open(path)?;
        let other = Other { path, source, index };
        other.check_fits(&mut *change.index, &args.change.index)?;
        others.push(other);
    }
    let lengths = others.iter().map(|other| other.source.len());
    // The largest counts twice: one list of it is in memory while it is merged.
    change.read(Some(lengths.clone().sum::<u64>().saturating_add(lengths.max().unwrap_or_default())))?;
    others.iter().try_for_each(|other| other.source.check())?;
    let shifts = shifts(args, &*change.index, &others)?;

    let stages = args.progress.start();
    let (start, before) = (Instant::now(), change.index.len());
    for (other, &shift) in others.iter_mut().zip(&shifts) {
        let bar = stages.stage();
        let options = AddOptions::new().executor(threads.executor()).progress(&bar);
        let merged = change.index.merge_from_with(&mut *other.index, shift, &options);
        merged.map_err(|error| other.cannot(&args.change.index, &error))?;
        if let Some(limit) = change.limit {
            limit.check_change(&*change.index, 0)?;
        }
    }
    let (time, vectors) = (start.elapsed(), change.index.len());
    let written = change.write()?;
    writeln!(
        out,
        "{}: {} of {} added; {vectors} in all; merged in {:.2} s, written in {:.2} s, {} bytes",
        written.path.display(),
        plural((vectors - before) as u64, "vector", "vectors"),
        plural(others.len() as u64, "index", "indexes"),
        time.as_secs_f64(),
        written.time.as_secs_f64(),
        written.bytes,
    )?;
    if args.shift_ids {
        for (other, shift) in others.iter().zip(shifts) {
            writeln!(out, "{}: {shift} added to the ids", other.path.display())?;
        }
    }
    Ok(())
}

impl Other<'_> {
    /// Checks that this index can be merged into `index`, the one at `into`.
    fn check_fits(&self, index: &mut dyn Index, into: &Path) -> Result<(), Failure> {
        let differ = |what: &str, ours: String, theirs: String| {
            let why = format!("they differ in {what}: {theirs} and {ours}");
            Err(Failure::Failed(format!("cannot merge {} into {}: {why}", self.path.display(), into.display())))
        };
        let theirs = &*self.index;
        if theirs.dim() != index.dim() {
            return differ("dimension", index.dim().to_string(), theirs.dim().to_string());
        }
        if theirs.metric() != index.metric() {
            return differ("metric", index.metric().to_string(), theirs.metric().to_string());
        }
        if theirs.spec() != index.spec() {
            return differ("factory string", index.spec(), theirs.spec());
        }
        // Merging an empty copy compares centroids and codecs, and changes nothing.
        let mut empty = theirs.clone_index().map_err(|error| self.cannot(into, &error))?;
        empty.reset().map_err(|error| self.cannot(into, &error))?;
        index.merge_from(&mut *empty, 0).map_err(|error| self.cannot(into, &error))
    }

    fn cannot(&self, into: &Path, error: &dyn std::error::Error) -> Failure {
        Failure::failed(format_args!("cannot merge {} into {}", self.path.display(), into.display()), error)
    }
}

/// Returns the number to add to the ids of each other index. No two indexes may then have the same
/// id.
fn shifts(args: &Args, index: &dyn Index, others: &[Other<'_>]) -> Result<Vec<i64>, Failure> {
    let mut all = IdSet::of(index, |_| true)?;
    let mut shifts = Vec::with_capacity(others.len());
    for other in others {
        let after = all.max().map_or(Some(0), |id| id.0.max(-1).checked_add(1));
        let shift = if args.shift_ids { after } else { Some(0) };
        let (mut known, mut too_large) = (IdSet::default(), shift.is_none());
        let shift = shift.unwrap_or_default();
        for id in IdSet::of(&*other.index, |_| true)?.iter() {
            match id.0.checked_add(shift) {
                Some(shifted) if all.insert(Id(shifted)) => {}
                Some(_) => {
                    known.insert(id);
                }
                None => too_large = true,
            }
        }
        let (path, into) = (other.path.display(), args.change.index.display());
        if too_large {
            return Err(Failure::Failed(format!(
                "the ids of {path} cannot follow those of {into}: they pass 2^63 - 1"
            )));
        }
        if let Some(first) = known.min() {
            let count = known.len();
            let help = if args.shift_ids { "" } else { "; --shift-ids gives its vectors new ids" };
            return Err(Failure::Failed(format!(
                "{count} ids of {path} are in {into}, or in an index before it, the first is {first}{help}"
            )));
        }
        shifts.push(shift);
    }
    Ok(shifts)
}
