//! `ivf build`: builds an index file from a factory string and a file of vectors.

use crate::failure::{self, Failure};
use crate::fill::fill;
use crate::memory::{MemoryLimit, block_bytes};
use crate::paths::refuse_same;
use crate::progress::Bar;
use crate::sample::Sample;
use crate::threads::{Threads, ThreadsArg};
use ivf_core::error::{AddError, InputError, TrainError};
use ivf_core::params::Progress as _;
use ivf_core::{AddOptions, Index, Metric, Rows, TrainOptions};
use ivf_factory::{ParseError, Spec};
use ivf_io::VectorReader;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Memory that adding a vector takes, in bytes, beside its numbers: an id, a list number, a
/// position in a batch.
const OF_ROW: usize = 64;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Factory string of the index, such as "Flat" or "IVF1024,Flat"
    #[arg(long, value_name = "STRING")]
    factory: String,
    /// Metric to compare vectors with: l2, ip, cosine, ...
    #[arg(long, value_name = "NAME")]
    metric: Metric,
    /// File of the vectors to add (fvecs, bvecs, fbin, u8bin, i8bin, npy, hdf5:DATASET). Their ids
    /// count up from 0
    #[arg(long, value_name = "FILE")]
    base: PathBuf,
    /// File of the training vectors, in the same formats [default: the base file]. As many as
    /// training uses are drawn from it at random
    #[arg(long, value_name = "FILE")]
    learn: Option<PathBuf>,
    /// Index file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Maximum memory to use, such as 512M or 1.5G [default: no limit]. If necessary, the index is
    /// trained on fewer vectors, with a warning. It is an error if the index itself does not fit
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<MemoryLimit>,
    #[command(flatten)]
    threads: ThreadsArg,
    /// Seed of all random choices [default: the library's]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    // An error in the string is found before any file is read.
    let spec: Spec = args.factory.parse().map_err(|error: ParseError| Failure::usage(&error))?;
    let inputs: Vec<&Path> = std::iter::once(&args.base).chain(&args.learn).map(PathBuf::as_path).collect();
    refuse_same(&args.out, &inputs)?;
    let threads = args.threads.start()?;
    let mut base = VectorReader::open(&args.base)?;
    let mut index = spec.build(base.dim(), args.metric).map_err(|error| Failure::usage(&error))?;

    // The estimate from the string is checked before training, and that from the trained index
    // before adding.
    let fits = |index: &dyn Index| args.memory_limit.map_or(Ok(()), |limit| limit.check_whole(index, base.len()));
    fits(index.as_ref())?;
    let train_time = train(index.as_mut(), args, &threads)?;
    fits(index.as_ref())?;
    let add_time = add(index.as_mut(), &mut base, args, &threads)?;
    ivf_factory::write_index(&index, &args.out)?;
    let bytes = file_len(&args.out)?;
    writeln!(
        out,
        "{}: {} vectors, trained in {:.2} s, added in {:.2} s, {bytes} bytes",
        index.spec(),
        index.len(),
        train_time.as_secs_f64(),
        add_time.as_secs_f64(),
    )?;
    Ok(())
}

/// Trains the index if it needs training. Returns the time that took, without reading the file.
fn train(index: &mut dyn Index, args: &Args, threads: &Threads) -> Result<Duration, Failure> {
    if index.is_trained() {
        if let Some(learn) = &args.learn {
            failure::say(format_args!("warning: {} needs no training: {} is not read", index.spec(), learn.display()));
        }
        return Ok(Duration::ZERO);
    }
    let path = args.learn.as_ref().unwrap_or(&args.base);
    let mut reader = VectorReader::open(path)?;
    let cannot = |error: &dyn std::error::Error| {
        Failure::failed(format_args!("cannot train the index on {}", path.display()), error)
    };
    let unable = index.unable("be trained");
    let train = index.as_train().ok_or(unable).map_err(|error| cannot(&error))?;
    let bar = Bar::new();
    let mut options = TrainOptions::new().progress(&bar);
    options.executor = threads.executor();
    options.seed = args.seed;
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
        (TrainError::Input(error), _) => cannot(&in_file(error, |row| sample.number(row))),
        (error, _) => cannot(&error),
    })?;
    let time = start.elapsed();
    drop(bar);
    for warning in &report.warnings {
        failure::say(format_args!("warning: {warning}"));
    }
    Ok(time)
}

/// Adds the base block by block. Returns the time that took, without reading the file.
fn add(index: &mut dyn Index, base: &mut VectorReader, args: &Args, threads: &Threads) -> Result<Duration, Failure> {
    let dim = base.dim();
    let mut options = AddOptions::new();
    options.executor = threads.executor();
    let bar = Bar::new();
    let mut time = Duration::ZERO;
    let mut block: Vec<f32> = Vec::new();
    let max_rows = (block_bytes(args.memory_limit) / (size_of::<f32>() * widest(index) + OF_ROW)).max(1);
    let tables = index.memory();
    while base.read_block(max_rows, &mut block)? > 0 {
        let first = index.len();
        let cannot = |error: &dyn std::error::Error| {
            Failure::failed(format_args!("cannot add the vectors of {}", args.base.display()), error)
        };
        let rows = Rows::new(&block, dim).map_err(|error| cannot(&error))?;
        let start = Instant::now();
        fill(index, rows, &options).map_err(|error| match error {
            AddError::Input(error) => cannot(&in_file(error, |row| (first + row) as u64)),
            error => cannot(&error),
        })?;
        time += start.elapsed();
        bar.step("add", index.len() as u64, base.len());
        args.memory_limit.map_or(Ok(()), |limit| limit.check_grown(index, tables, base.len()))?;
    }
    Ok(time)
}

/// Returns the maximum dimension of a vector on its way into the index. A transform may increase
/// it.
fn widest(index: &dyn Index) -> usize {
    let nested = std::iter::successors(Some(index), |index| index.wrapped());
    nested.map(|index| index.dim()).max().unwrap_or_default()
}

/// Replaces the row in an error by the vector's number in the file.
fn in_file(error: InputError, number: impl Fn(usize) -> u64) -> InputError {
    error.renumbered(|row| number(row) as usize)
}

/// Returns the length of a file in bytes.
pub(crate) fn file_len(path: &Path) -> Result<u64, Failure> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| Failure::failed(format_args!("cannot read {}", path.display()), &error))?;
    Ok(metadata.len())
}
