//! `ivf build`: builds an index file from a factory string and a file of vectors.

use crate::failure::{self, Failure};
use crate::fill::{Fill, NewIds, in_file};
use crate::lock::Lock;
use crate::memory::MemoryLimit;
use crate::paths::check_output;
use crate::progress::{ProgressArg, Stages};
use crate::sample::Sample;
use crate::set;
use crate::table::plural;
use crate::threads::{Threads, ThreadsArg};
use crate::vectors::{self, VectorsArg};
use ivf_core::error::TrainError;
use ivf_core::params::NonFinite;
use ivf_core::{Index, Metric, TrainOptions};
use ivf_factory::{ParseError, Spec};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Factory string of the index, such as "Flat" or "IVF1024,Flat"
    #[arg(long, value_name = "STRING")]
    factory: String,
    /// Metric to compare vectors with: l2, ip, cosine, ...
    #[arg(long, value_name = "NAME")]
    metric: Metric,
    /// Knobs to set before training, such as nprobe=16,by_residual=false. The file keeps them.
    /// `ivf kinds` lists them
    #[arg(long, value_name = "NAME=VALUE,...")]
    params: Option<String>,
    /// File of the vectors to add (fvecs, bvecs, fbin, u8bin, i8bin, npy, hdf5:DATASET), or - for
    /// standard input, if the index needs no training or --learn names a file. Their ids count up
    /// from 0
    #[arg(long, value_name = "FILE")]
    base: PathBuf,
    /// File of the training vectors, in the same formats [default: the base file]. As many as
    /// training uses are drawn from it at random
    #[arg(long, value_name = "FILE")]
    learn: Option<PathBuf>,
    #[command(flatten)]
    vectors: VectorsArg,
    /// Index file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Maximum memory to use, such as 512M or 1.5G [default: no limit]. If necessary, the index is
    /// trained on fewer vectors, with a warning. It is an error if the index itself does not fit
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<MemoryLimit>,
    /// Skip vectors that the index cannot take: with a NaN or an infinity, or without a direction
    /// [default: an error]. Their ids stay unused
    #[arg(long)]
    skip_bad_rows: bool,
    /// Even the sizes of the lists, for more even times of searches. Training takes 1.2 to 2.3
    /// times as long
    #[arg(long)]
    balanced: bool,
    /// Whether k-means of the lists has two levels, which is faster for many lists [default: true
    /// from 16384 lists on]
    #[arg(long, value_name = "BOOL")]
    two_level: Option<bool>,
    #[command(flatten)]
    threads: ThreadsArg,
    #[command(flatten)]
    progress: ProgressArg,
    /// Seed of all random choices [default: the library's]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    // An error in the string is found before any file is read.
    let spec: Spec = args.factory.parse().map_err(|error: ParseError| Failure::usage(&error))?;
    let inputs: Vec<&Path> = std::iter::once(&args.base).chain(&args.learn).map(PathBuf::as_path).collect();
    vectors::check_inputs(&inputs)?;
    args.vectors.will_open(&inputs);
    check_output(&args.out, &inputs)?;
    let _lock = Lock::take(&args.out)?;
    let threads = args.threads.start()?;
    let stages = args.progress.start();
    let mut base = args.vectors.open(&args.base)?;
    let mut index = spec.build(base.dim(), args.metric).map_err(|error| Failure::usage(&error))?;
    if let Some(params) = &args.params {
        set::set(&mut *index, params, &args.factory)?;
    }

    // The estimate from the string is checked before training, and that from the trained index
    // before adding.
    let fits = |index: &dyn Index| args.memory_limit.map_or(Ok(()), |limit| limit.check_whole(index, base.len()));
    fits(index.as_ref())?;
    let train_time = train(index.as_mut(), args, &threads, &stages)?;
    fits(index.as_ref())?;
    let fill = Fill {
        base: vectors::named(&args.base),
        ids: &NewIds::Next,
        upsert: false,
        skip_bad_rows: args.skip_bad_rows,
        limit: args.memory_limit,
        threads: &threads,
        stages: &stages,
    };
    let filled = fill.run(index.as_mut(), &mut base)?;
    let skipped = match filled.skipped {
        0 => String::new(),
        skipped => format!(" ({skipped} skipped)"),
    };
    ivf_factory::write_index(&index, &args.out)?;
    let bytes = file_len(&args.out)?;
    writeln!(
        out,
        "{}: {}{skipped}, trained in {:.2} s, added in {:.2} s, {bytes} bytes",
        index.spec(),
        plural(index.len() as u64, "vector", "vectors"),
        train_time.as_secs_f64(),
        filled.time.as_secs_f64(),
    )?;
    Ok(())
}

/// Trains the index if it needs training. Returns the time that took, without reading the file.
fn train(index: &mut dyn Index, args: &Args, threads: &Threads, stages: &Stages) -> Result<Duration, Failure> {
    let has_lists = index.parts().iter().flat_map(|part| &part.knobs).any(|knob| knob.name() == "nprobe");
    for (is_set, option) in [(args.balanced, "--balanced"), (args.two_level.is_some(), "--two-level")] {
        if is_set && !has_lists {
            failure::say(format_args!("warning: {} has no lists: {option} changes nothing", index.spec()));
        }
    }
    if index.is_trained() {
        if let Some(learn) = &args.learn {
            failure::say(format_args!(
                "warning: {} needs no training: {} is not read",
                index.spec(),
                vectors::named(learn).display()
            ));
        }
        return Ok(Duration::ZERO);
    }
    if args.learn.is_none() && vectors::is_standard(&args.base) {
        let once = "standard input can be read only once, but must be read a second time";
        return Err(Failure::Usage(format!("{once} to train {}: name a file with --base or --learn", index.spec())));
    }
    let path = args.learn.as_ref().unwrap_or(&args.base);
    let mut reader = args.vectors.open(path)?;
    let cannot = |error: &dyn std::error::Error| {
        Failure::failed(format_args!("cannot train the index on {}", vectors::named(path).display()), error)
    };
    let unable = index.unable("be trained");
    let train = index.as_train().ok_or(unable).map_err(|error| cannot(&error))?;
    let bar = stages.stage();
    let mut options = TrainOptions::new().progress(&bar).executor(threads.executor());
    (options.seed, options.two_level) = (args.seed, args.two_level);
    options.balanced = args.balanced.then_some(true);
    if args.skip_bad_rows {
        options.non_finite = NonFinite::SkipRow;
    }
    let there = usize::try_from(reader.len()).unwrap_or(usize::MAX);
    let wanted = train.training_points(&options).min(there);
    let limit = args.memory_limit.map(|limit| (limit, limit.training_points(train, reader.dim(), wanted, &options)));
    let points = limit.map_or(wanted, |(_, points)| points);
    let sample = Sample::read(&mut reader, points, args.seed)?;
    let start = Instant::now();
    if let Some((limit, points)) = limit
        && points < wanted
    {
        failure::say(format_args!(
            "warning: a memory limit of {limit} has room for {points} of the {wanted} vectors that training can use"
        ));
    }
    let report = index.train_with(sample.rows(), &options).map_err(|error| match (error, limit) {
        (TrainError::TooFew { who, needed, found }, Some((limit, points))) if points < wanted => {
            let most = format!("a memory limit of {limit} has room for {found} training vectors");
            Failure::Failed(format!("{most}, and {who} need at least {needed}"))
        }
        (TrainError::Input(error), _) => {
            let what = format_args!("cannot train the index on {}", vectors::named(path).display());
            Failure::of_vector(what, &in_file(error, |row| sample.number(row)))
        }
        (error, _) => cannot(&error),
    })?;
    let time = start.elapsed();
    drop(bar);
    for warning in &report.warnings {
        failure::say(format_args!("warning: {warning}"));
    }
    Ok(time)
}

/// Returns the length of a file in bytes.
pub(crate) fn file_len(path: &Path) -> Result<u64, Failure> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| Failure::failed(format_args!("cannot read {}", path.display()), &error))?;
    Ok(metadata.len())
}
