//! `ivf add`: adds the vectors of a file to an index file.

use crate::failure::{self, Failure};
use crate::fill::{Fill, Filled, NewIds};
use crate::ids::{IdSet, read_ids};
use crate::keep::{Change, ChangeArgs};
use crate::progress::ProgressArg;
use crate::table::plural;
use crate::threads::ThreadsArg;
use crate::vectors::{self, VectorsArg};
use ivf_core::error::{AddError, InputError};
use ivf_core::{Id, Index, Rows};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
    /// File of the vectors to add (fvecs, bvecs, fbin, u8bin, i8bin, npy, hdf5:DATASET), or - for
    /// standard input
    #[arg(long, value_name = "FILE")]
    base: PathBuf,
    #[command(flatten)]
    vectors: VectorsArg,
    /// File of their ids, one for each vector: integers (ivecs, ibin, npy), or text (any other
    /// name, or - for standard input) with ids and ranges such as 10..20, on one line or several
    /// [default: they count up from the id after the largest that the index ever had, removed ones
    /// included]
    #[arg(long, value_name = "FILE", group = "given")]
    ids: Option<PathBuf>,
    /// First of their ids, which count up from it
    #[arg(long, value_name = "N", group = "given", allow_negative_numbers = true)]
    first_id: Option<i64>,
    /// Replace the vectors of ids that the index has already [default: an error]
    #[arg(long, requires = "given")]
    upsert: bool,
    /// Skip vectors that the index cannot take: with a NaN or an infinity, or without a direction
    /// [default: an error]. Their ids stay unused, or keep their vectors with --upsert
    #[arg(long)]
    skip_bad_rows: bool,
    #[command(flatten)]
    threads: ThreadsArg,
    #[command(flatten)]
    progress: ProgressArg,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let inputs: Vec<&Path> = std::iter::once(&args.base).chain(&args.ids).map(PathBuf::as_path).collect();
    vectors::check_inputs(&inputs)?;
    args.vectors.will_open(&[&args.base]);
    let mut change = args.change.open(&inputs)?;
    let mut base = args.vectors.open(&args.base)?;
    let threads = args.threads.start()?;
    check_able(&mut *change.index, args, base.dim())?;
    let ids = new_ids(args, base.len())?;
    let most = usize::try_from(base.len()).ok().and_then(|more| change.index.len().checked_add(more));
    let grown = change.index.memory_with(most.unwrap_or(usize::MAX)).saturating_sub(change.index.memory());
    change.read(Some((grown as u64).saturating_add(ids.memory())))?;
    if !args.upsert {
        refuse_known(&change, &ids, base.len())?;
    }
    let fill = Fill {
        base: vectors::named(&args.base),
        ids: &ids,
        upsert: args.upsert,
        skip_bad_rows: args.skip_bad_rows,
        limit: change.limit,
        threads: &threads,
        stages: &args.progress.start(),
    };
    let Filled { added, replaced, skipped, time } = fill.run(&mut *change.index, &mut base)?;
    if skipped > 0 {
        failure::say(format_args!(
            "warning: {} of {} {} skipped",
            plural(skipped as u64, "vector", "vectors"),
            vectors::named(&args.base).display(),
            if skipped == 1 { "was" } else { "were" }
        ));
    }
    let vectors = change.index.len();
    let written = change.write()?;
    writeln!(
        out,
        "{}: {} added, {replaced} replaced, {skipped} skipped; {vectors} in all; added in {:.2} s, \
         written in {:.2} s, {} bytes",
        written.path.display(),
        plural(added as u64, "vector", "vectors"),
        time.as_secs_f64(),
        written.time.as_secs_f64(),
        written.bytes,
    )?;
    Ok(())
}

/// Checks that the index can add such vectors, by adding none.
fn check_able(index: &mut dyn Index, args: &Args, dim: usize) -> Result<(), Failure> {
    let cannot = |error: &dyn std::error::Error| {
        let (base, index) = (vectors::named(&args.base).display(), args.change.index.display());
        Failure::failed(format_args!("cannot add the vectors of {base} to {index}"), error)
    };
    if dim != index.dim() {
        let error = InputError::Dim { expected: index.dim(), found: dim };
        return Err(cannot(&error));
    }
    let none = Rows::<f32>::new(&[], dim).expect("no rows of a dimension that is not 0");
    // An upsert looks for its ids in all lists, even for none, so it is called only for its error.
    match args.upsert && index.as_upsert().is_none() {
        true => index.upsert(&[], none).map(drop).map_err(|error| cannot(&error)),
        false if args.ids.is_some() || args.first_id.is_some() => {
            index.add_with_ids(none, &[]).map(drop).map_err(|error| cannot(&error))
        }
        false => index.add(none).map(drop).map_err(|error| cannot(&error)),
    }
}

/// Returns the ids of the vectors, each once.
fn new_ids(args: &Args, vectors: u64) -> Result<NewIds, Failure> {
    if let Some(path) = &args.ids {
        let ids = read_ids(path, vectors, &args.base)?;
        let mut seen = IdSet::default();
        if let Some(row) = ids.iter().position(|id| !seen.insert(*id)) {
            return Err(Failure::Failed(format!(
                "{}: id {} occurs twice, again as number {row}",
                vectors::named(path).display(),
                ids[row]
            )));
        }
        return Ok(NewIds::Listed(ids));
    }
    let Some(first) = args.first_id else { return Ok(NewIds::Next) };
    let last = i64::try_from(vectors - 1).ok().and_then(|more| first.checked_add(more));
    last.ok_or_else(|| Failure::failed("cannot give ids", &AddError::IdsExhausted))?;
    Ok(NewIds::From(first))
}

/// Checks that the index has none of the ids.
fn refuse_known(change: &Change, ids: &NewIds, vectors: u64) -> Result<(), Failure> {
    let known = match ids {
        NewIds::Next => return Ok(()),
        NewIds::From(first) => {
            let is_new = |id: Id| id.0 >= *first && id.0.abs_diff(*first) < vectors;
            IdSet::of(&*change.index, is_new)?
        }
        NewIds::Listed(ids) => {
            let mut wanted = IdSet::default();
            for id in ids {
                wanted.insert(*id);
            }
            IdSet::of(&*change.index, |id| wanted.contains(id))?
        }
    };
    let Some(first) = known.min() else { return Ok(()) };
    Err(Failure::Failed(format!(
        "{} has {} of the {vectors} ids already, the first is {first}; --upsert replaces their vectors",
        change.path().display(),
        known.len()
    )))
}
