//! `ivf eval`: measures recall and speed of an index at several settings.

use crate::failure::Failure;
use crate::paths::check_output;
use crate::plot::{Point, plot};
use crate::recall::{read_truth, recall};
use crate::table::table;
use crate::threads::Threads;
use clap::value_parser;
use ivf_core::{Id, Index, Rows, SearchParams, SearchResult};
use ivf_io::read_vectors;
use serde::Serialize;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Number of results per query.
const K: usize = 10;

/// Maximum number of queries that are timed in a call of their own, enough for a stable figure.
const SINGLES: usize = 400;

/// Minimum number of runs of a measurement. The median is reported.
const RUNS: usize = 3;

/// Time after which a measurement with at least [`RUNS`] runs stops. It has at most ten times as
/// many.
const LONG_ENOUGH: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Index file
    index: PathBuf,
    /// File of query vectors
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    /// File of the true nearest ids, in rows of 10 or longer
    #[arg(long, value_name = "FILE")]
    ground_truth: PathBuf,
    /// Numbers of lists to probe per query, each a setting to measure [default: the index's own
    /// setting]
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    nprobe: Vec<NonZeroUsize>,
    /// Number of candidates per result that an index with refinement reranks [default: the index's
    /// own setting]
    #[arg(long, value_name = "F")]
    k_factor: Option<f32>,
    /// Numbers of threads, each a setting to measure
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1",
          value_parser = value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
    /// SVG file for a plot of queries per second against recall
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Results of one setting.
#[derive(Serialize)]
struct Row {
    /// `null` for an index without lists.
    nprobe: Option<usize>,
    threads: usize,
    recall_at_1: f64,
    recall_at_10: f64,
    /// Queries per second, all in one call.
    qps: f64,
    /// Queries per second, with one call per query.
    qps_single: f64,
    codes_per_query: f64,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    if let Some(path) = &args.plot {
        let inputs: [&Path; 3] = [&args.index, &args.queries, &args.ground_truth];
        check_output(path, &inputs)?;
    }
    let index = ivf_factory::read_index(&args.index)?;
    let queries = read_vectors::<f32>(&args.queries)?;
    let queries = queries.rows();
    if queries.is_empty() {
        return Err(Failure::Failed(format!("{} has no queries", args.queries.display())));
    }
    let truth = read_truth(&args.ground_truth, queries.len(), K)?;
    if truth.iter().all(Vec::is_empty) {
        return Err(Failure::Failed(format!("{} contains no neighbours", args.ground_truth.display())));
    }

    let settings: Vec<Option<usize>> = match args.nprobe.as_slice() {
        [] => vec![index.find_ivf().map(|ivf| ivf.nprobe())],
        nprobes => nprobes.iter().map(|nprobe| Some(nprobe.get())).collect(),
    };
    let mut rows = Vec::new();
    for &threads in &args.threads {
        let pool = Threads::start(threads.into())?;
        for &nprobe in &settings {
            let mut params = SearchParams::new().executor(pool.executor());
            params.nprobe = nprobe;
            params.k_factor_rf = args.k_factor;
            rows.push(
                measure(index.as_ref(), queries, &truth, threads.into(), &params)
                    .map_err(|error| Failure::failed(format_args!("cannot search {}", args.index.display()), &error))?,
            );
        }
    }
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", shown(&rows))?;
    }
    if let Some(path) = &args.plot {
        let points: Vec<Point> =
            rows.iter().map(|row| Point { threads: row.threads, recall: row.recall_at_10, qps: row.qps }).collect();
        plot(path, &format!("{}, {}", index.spec(), index.metric()), &points)?;
    }
    Ok(())
}

fn measure(
    index: &dyn Index,
    queries: Rows<'_, f32>,
    truth: &[Vec<Id>],
    threads: usize,
    params: &SearchParams<'_>,
) -> Result<Row, ivf_core::error::SearchError> {
    let search = |rows: Rows<'_, f32>| index.search(rows, K, params);
    let SearchResult { hits, stats, .. } = search(queries)?;
    let first: Vec<Vec<Id>> = truth.iter().map(|ids| ids.iter().take(1).copied().collect()).collect();
    // For recall@1, only the first result of a row counts.
    let with_truth = first.iter().filter(|first| !first.is_empty()).count();
    let pairs = hits.rows().zip(&first);
    let nearest = pairs.filter(|(row, first)| !first.is_empty() && row.ids.first() == first.first()).count();
    let batch = median(|| search(queries).map(drop))?;
    let singles = queries.len().min(SINGLES);
    let single = median(|| (0..singles).try_for_each(|q| search(queries.slice(q..q + 1)).map(drop)))?;
    Ok(Row {
        nprobe: params.nprobe,
        threads,
        recall_at_1: nearest as f64 / with_truth as f64,
        recall_at_10: recall(&hits, truth).unwrap_or(0.0),
        qps: queries.len() as f64 / batch,
        qps_single: singles as f64 / single,
        codes_per_query: stats.codes as f64 / queries.len() as f64,
    })
}

/// Returns the median duration of several runs, in seconds.
fn median<E>(mut run: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut times = Vec::new();
    let mut total = Duration::ZERO;
    while times.len() < RUNS || (total < LONG_ENOUGH && times.len() < 10 * RUNS) {
        let started = Instant::now();
        run()?;
        let took = started.elapsed();
        total += took;
        times.push(took);
    }
    times.sort_unstable();
    Ok(times[times.len() / 2].as_secs_f64())
}

fn shown(rows: &[Row]) -> comfy_table::Table {
    let mut shown = table(&["nprobe", "threads", "recall@1", "recall@10", "QPS", "QPS one by one", "codes per query"]);
    for row in rows {
        shown.add_row([
            row.nprobe.map_or_else(|| "-".to_owned(), |nprobe| nprobe.to_string()),
            row.threads.to_string(),
            format!("{:.4}", row.recall_at_1),
            format!("{:.4}", row.recall_at_10),
            format!("{:.0}", row.qps),
            format!("{:.0}", row.qps_single),
            format!("{:.1}", row.codes_per_query),
        ]);
    }
    shown
}
