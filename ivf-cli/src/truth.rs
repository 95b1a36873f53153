//! `ivf truth`: computes the exact nearest neighbours of queries, block by block of the base.

use crate::failure::{self, Failure};
use crate::memory::{MemoryLimit, block_bytes};
use crate::paths::check_output;
use crate::progress::{Bar, ProgressArg};
use crate::queries::search_failed;
use crate::results::{Files, check_formats};
use crate::table::plural;
use crate::threads::ThreadsArg;
use crate::vectors::{self, VectorsArg};
use clap::value_parser;
use ivf_core::error::AddError;
use ivf_core::params::{NonFinite, Progress as _};
use ivf_core::{
    AddOptions, Executor, Hits, Id, Index, Location, Metric, Neighbor, Rows, SearchParam, SearchParams, Sink,
};
use ivf_io::VectorReader;
use ivf_io::vectors::MAX_DIM;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Factory string of an index whose searches are exact.
const EXACT: &str = "Flat";

/// Memory of the queries whose neighbours are collected in one pass over the base, in blocks of the
/// base.
const QUERY_BLOCKS: usize = 8;

/// Memory of the results of one search, in blocks of the base.
const RESULT_BLOCKS: usize = 4;

/// Memory of a neighbour among those of a query, in bytes. A sink holds up to twice as many as it
/// returns.
const OF_NEIGHBOR: usize = 2 * size_of::<Neighbor>();

/// Memory of a result of a search, in bytes: in the sink of the search, and then as an id and a
/// distance.
const OF_RESULT: usize = OF_NEIGHBOR + size_of::<Id>() + size_of::<f32>();

#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of the vectors to search (fvecs, bvecs, fbin, u8bin, i8bin, npy, hdf5:DATASET), or -
    /// for standard input. Their ids count up from 0. They need not fit into memory
    #[arg(long, value_name = "FILE")]
    base: PathBuf,
    /// File of query vectors, in the same formats, or - for standard input
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    #[command(flatten)]
    vectors: VectorsArg,
    /// Metric to compare vectors with: l2, ip, cosine, ...
    #[arg(long, value_name = "NAME")]
    metric: Metric,
    /// Number of neighbours per query, at most the number of vectors in the base
    #[arg(short, value_name = "K", default_value = "100", value_parser = value_parser!(u32).range(1..=MAX_DIM as i64))]
    k: u32,
    /// File to write the ids of the neighbours to (ivecs, ibin, npy), nearest first. At equal
    /// distances, the smaller id comes first
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File to write the distances to (fvecs, fbin, npy)
    #[arg(long, value_name = "FILE")]
    out_distances: Option<PathBuf>,
    #[command(flatten)]
    threads: ThreadsArg,
    /// Maximum memory to use, such as 512M or 1.5G. With less memory, the base is read several
    /// times, for some of the queries each time [default: about 200M, or what one query needs]
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<MemoryLimit>,
    /// Skip vectors with a NaN or an infinity, and zero vectors under cosine [default: an error]. A
    /// skipped query has a row of -1, and the id of a skipped vector of the base is no neighbour
    #[arg(long)]
    skip_bad_rows: bool,
    #[command(flatten)]
    progress: ProgressArg,
}

/// Numbers of vectors that are processed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blocks {
    /// Vectors of the base that are searched together.
    base: usize,
    /// Queries whose neighbours are collected in one pass over the base.
    queries: usize,
    /// Queries of one search.
    search: usize,
}

impl Blocks {
    /// Divides the memory of `block` bytes per block. Returns `None` if a vector, or the neighbours
    /// of a query, take more than their share.
    fn new(block: usize, dim: usize, k: usize) -> Option<Self> {
        let vector = dim * size_of::<f32>();
        let base = block / vector;
        let queries = QUERY_BLOCKS * block / (vector + k * OF_NEIGHBOR);
        let search = RESULT_BLOCKS * block / (vector + k.min(base) * OF_RESULT);
        let all = Self { base, queries, search: search.min(queries) };
        (base > 0 && queries > 0 && search > 0).then_some(all)
    }

    /// Returns at least one vector of each, whatever memory they take.
    fn at_least_one(block: usize, dim: usize, k: usize) -> Self {
        let needed = (1..).map(|i| block << i).find_map(|block| Self::new(block, dim, k));
        Self::new(block, dim, k).or(needed).expect("some block is large enough")
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let mut taken: Vec<&Path> = vec![&args.base, &args.queries];
    vectors::check_inputs(&taken)?;
    args.vectors.will_open(&taken);
    for output in std::iter::once(&args.out).chain(&args.out_distances) {
        check_output(output, &taken)?;
        taken.push(output);
    }
    let distances = args.out_distances.as_deref().map(|path| ("--out-distances", path));
    check_formats(Some(("--out", &args.out)), distances)?;
    let threads = args.threads.start()?;
    let (mut queries, base) = (args.vectors.open(&args.queries)?, args.vectors.open(&args.base)?);
    let (dim, vectors) = (base.dim(), base.len());
    if queries.dim() != dim {
        let (path, base) = (vectors::named(&args.queries).display(), vectors::named(&args.base).display());
        let found = queries.dim();
        return Err(Failure::Failed(format!("{path} has vectors of {found} dimensions, {base} of {dim}")));
    }
    let k = usize::try_from(vectors).unwrap_or(usize::MAX).min(args.k as usize);
    let mut index = ivf_factory::build(EXACT, dim, args.metric).map_err(|error| Failure::usage(&error))?;
    let block = block_bytes(args.memory_limit);
    let blocks = match args.memory_limit {
        None => Blocks::at_least_one(block, dim, k),
        Some(limit) => {
            let blocks = Blocks::new(block, dim, k).ok_or_else(|| {
                Failure::Failed(format!(
                    "a memory limit of {limit} has no room for {k} neighbours of a query and vectors of {dim} dimensions"
                ))
            })?;
            limit.check_whole(index.as_ref(), vectors.min(blocks.base as u64))?;
            blocks
        }
    };
    let passes = queries.len().div_ceil(blocks.queries as u64);
    if passes > 1 && vectors::is_standard(&args.base) {
        return Err(Failure::Usage(format!(
            "standard input can be read only once, but {} queries take {passes} passes over it: name a file with --base",
            queries.len()
        )));
    }
    let mut files = Files::create(Some(&args.out), args.out_distances.as_deref(), k)?;
    let stages = args.progress.start();
    let mut pass = Pass {
        args,
        base: Some(base),
        index: index.as_mut(),
        blocks,
        k,
        executor: threads.executor(),
        bar: stages.stage(),
        work: (0, vectors.saturating_mul(passes)),
        skipped: 0,
    };
    let (started, mut first, mut without, mut rows) = (Instant::now(), 0, 0, Vec::new());
    while queries.read_block(blocks.queries, &mut rows)? > 0 {
        let rows = Rows::new(&rows, dim).expect("whole vectors");
        let sinks = pass.neighbors(rows, first)?;
        let hits = Hits::from_sinks(args.metric, sinks, false);
        without += hits.rows().filter(|row| row.ids.is_empty()).count();
        files.write(&hits, args.metric)?;
        first += rows.len();
    }
    let skipped = pass.skipped;
    drop(pass);
    files.finish()?;
    let skips = [(skipped, &args.base, ["vector", "vectors"]), (without, &args.queries, ["query", "queries"])];
    for (count, path, [one, many]) in skips.into_iter().filter(|(count, ..)| *count > 0) {
        let (what, verb) = (plural(count as u64, one, many), if count == 1 { "was" } else { "were" });
        failure::say(format_args!("warning: {what} of {} {verb} skipped", vectors::named(path).display()));
    }
    let seconds = started.elapsed().as_secs_f64();
    writeln!(
        out,
        "{}: the {k} nearest of {} for {}, {} metric, in {seconds:.2} s",
        args.out.display(),
        plural(vectors, "vector", "vectors"),
        plural(first as u64, "query", "queries"),
        args.metric
    )?;
    Ok(())
}

/// Passes over the base.
struct Pass<'a> {
    args: &'a Args,
    /// The base before the first pass, already open.
    base: Option<VectorReader>,
    /// The index of one block.
    index: &'a mut dyn Index,
    blocks: Blocks,
    k: usize,
    executor: &'a dyn Executor,
    bar: Bar<'a>,
    /// Vectors searched so far in all passes, and altogether.
    work: (u64, u64),
    /// Vectors of the base that were skipped in the first pass.
    skipped: usize,
}

impl Pass<'_> {
    /// Returns the nearest neighbours of some queries. `first` is the number of the first query.
    fn neighbors(&mut self, queries: Rows<'_, f32>, first: usize) -> Result<Vec<Sink>, Failure> {
        let mut sinks = vec![Sink::top_k(self.k); queries.len()];
        let mut base = match self.base.take() {
            Some(base) => base,
            None => self.args.vectors.open(&self.args.base)?,
        };
        let (mut block, mut start) = (Vec::new(), 0);
        while base.read_block(self.blocks.base, &mut block)? > 0 {
            let rows = Rows::new(&block, queries.dim()).expect("whole vectors");
            let skipped = self.fill(rows, start)?;
            self.skipped += if first == 0 { skipped } else { 0 };
            for from in (0..queries.len()).step_by(self.blocks.search) {
                let batch = from..queries.len().min(from + self.blocks.search);
                self.search(queries.slice(batch.clone()), first + from, start, &mut sinks[batch])?;
            }
            start += rows.len();
            self.work.0 += rows.len() as u64;
            self.bar.step("search", self.work.0, self.work.1);
        }
        Ok(sinks)
    }

    /// Replaces the vectors of the index, and returns the number of skipped ones. `start` is the
    /// number of the first in the base.
    fn fill(&mut self, rows: Rows<'_, f32>, start: usize) -> Result<usize, Failure> {
        let what = format!("cannot search {}", vectors::named(&self.args.base).display());
        let cannot = |error: &dyn std::error::Error| Failure::failed(&what, error);
        self.index.reset().map_err(|error| cannot(&error))?;
        let mut options = AddOptions::new();
        options.executor = Some(self.executor);
        if self.args.skip_bad_rows {
            options.non_finite = NonFinite::SkipRow;
        }
        let report = self.index.add_with(rows, &options).map_err(|error| match error {
            AddError::Input(error) => Failure::of_vector(&what, &error.renumbered(|row| start + row)),
            error => cannot(&error),
        })?;
        Ok(report.skipped.len())
    }

    /// Adds the nearest vectors of the index to the sinks of some queries.
    fn search(&self, queries: Rows<'_, f32>, first: usize, start: usize, sinks: &mut [Sink]) -> Result<(), Failure> {
        let mut params = SearchParams::new();
        params.executor = Some(self.executor);
        if self.args.skip_bad_rows {
            params = params.set(SearchParam::SkipBadQueries.name(), true);
        }
        let found = self.index.search(queries, self.k, &params).map_err(|error| {
            let what = format_args!("cannot search with {}", vectors::named(&self.args.queries).display());
            search_failed(what, error, first, &*self.index)
        })?;
        for (sink, row) in sinks.iter_mut().zip(&found) {
            for (id, distance) in row {
                let (id, distance) = (Id(start as i64 + id.0), self.args.metric.to_user_distance(distance));
                sink.push(Neighbor { distance, id, location: Location::default() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_share_the_memory() {
        // Of 64 KiB: vectors of 400 bytes, and 10 neighbours.
        let blocks = Blocks::new(64 << 10, 100, 10).unwrap();
        assert_eq!(blocks, Blocks { base: 163, queries: 595, search: 262 });
        // A vector, or its neighbours, need more.
        assert_eq!(Blocks::new(399, 100, 1), None);
        assert_eq!(Blocks::new(64 << 10, 100, 1 << 20), None);
        let large = Blocks::at_least_one(64 << 10, 100, 1 << 20);
        assert!(large.base > 163 && large.queries == 1 && large.search == 1, "{large:?}");
        assert_eq!(Blocks::at_least_one(64 << 10, 100, 10), blocks);
    }
}
