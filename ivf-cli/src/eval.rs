//! `ivf eval`: measures recall and speed of an index at several settings.

use crate::failure::Failure;
use crate::ground_truth::{Truth, TruthFiles};
use crate::params::{Params, at_least_one};
use crate::paths::check_output;
use crate::plot::{Plot, Point};
use crate::queries::search_failed;
use crate::recall::Judge;
use crate::table::table;
use crate::threads::Threads;
use crate::vectors::VectorsArg;
use clap::value_parser;
use ivf_core::error::SearchError;
use ivf_core::{Index, KnobValue, Rows, SearchParam, SearchParams, SearchResult};
use ivf_io::vectors::MAX_DIM;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    /// File of query vectors (fvecs, bvecs, fbin, u8bin, i8bin, npy, hdf5:DATASET), or - for
    /// standard input
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    #[command(flatten)]
    vectors: VectorsArg,
    /// File of the true nearest ids, as `ivf truth` writes it. Recall is measured at the length of
    /// its rows if that is less than K
    #[arg(long, value_name = "FILE")]
    ground_truth: PathBuf,
    /// File of the distances of the ground truth, as `ivf truth` writes them. With it, or with an
    /// index that holds the vectors themselves, a result is right if it is as near as the k-th true
    /// neighbour
    #[arg(long, value_name = "FILE")]
    ground_truth_distances: Option<PathBuf>,
    /// Number of results per query
    #[arg(short, value_name = "K", default_value = "10", value_parser = value_parser!(u32).range(1..=MAX_DIM as i64))]
    k: u32,
    /// Numbers of lists to probe per query, each a setting to measure [default: the index's own
    /// setting]
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = at_least_one)]
    nprobe: Vec<NonZeroUsize>,
    /// Number of candidates per result that an index with refinement reranks [default: the index's
    /// own setting]
    #[arg(long, value_name = "F")]
    k_factor: Option<f32>,
    /// Give queries that cannot be searched no results: those with a NaN or an infinity, and zero
    /// vectors under cosine [default: such a query is an error]
    #[arg(long)]
    skip_bad_rows: bool,
    /// Search parameters, such as nprobe=16,max_codes=10000. Given several times, each is a setting
    /// to measure. `ivf kinds` lists them
    #[arg(long, value_name = "NAME=VALUE,...")]
    params: Vec<Params>,
    /// Numbers of threads, each a setting to measure
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1",
          value_parser = value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,
    /// Print a JSON array instead of a table
    #[arg(long)]
    json: bool,
    /// SVG or PNG file for a plot of queries per second against recall
    #[arg(long, value_name = "FILE")]
    plot: Option<Plot>,
}

/// Results of one setting.
#[derive(Serialize)]
struct Row {
    /// `null` for an index without lists.
    nprobe: Option<usize>,
    /// Parameters beside nprobe.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<String, KnobValue>,
    threads: usize,
    k: usize,
    /// `recall_at_1`, and `recall_at_10` for k = 10.
    #[serde(flatten)]
    recalls: BTreeMap<String, f64>,
    /// What is compared with the true neighbours: `distance` or `id`.
    recall_by: &'static str,
    /// Queries per second, all in one call.
    qps: f64,
    /// Queries per second, with one call per query.
    qps_single: f64,
    /// Times of these calls.
    latency_ms: Latency,
    codes_per_query: f64,
    #[serde(skip)]
    recall: f64,
    #[serde(skip)]
    recall_at_1: f64,
}

/// Percentiles of the times of single queries, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Latency {
    p50: f64,
    p95: f64,
    p99: f64,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    if let Some(plot) = &args.plot {
        let inputs =
            [Some(&args.index), Some(&args.queries), Some(&args.ground_truth), args.ground_truth_distances.as_ref()];
        let inputs: Vec<&Path> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
        check_output(plot.path(), &inputs)?;
    }
    let settings = settings(args).map_err(Failure::Usage)?;
    let index = ivf_factory::read_index(&args.index)?;
    let index = index.as_ref();
    args.vectors.will_open(&[&args.queries]);
    let queries = args.vectors.read::<f32>(&args.queries)?;
    let queries = queries.rows();
    let files = TruthFiles { ids: &args.ground_truth, distances: args.ground_truth_distances.as_deref() };
    let mut truth = Some(Truth::read(files, queries.len(), args.k as usize, index.metric())?);

    let (mut rows, mut judge) = (Vec::new(), None);
    for &threads in &args.threads {
        let pool = Threads::start(threads.into())?;
        for setting in &settings {
            let mut search_params = setting.search_params();
            search_params.executor = Some(pool.executor());
            search_params.nprobe = search_params.nprobe.or(index.find_ivf().map(|ivf| ivf.nprobe()));
            let cannot = |error: SearchError| {
                search_failed(format_args!("cannot search {}", args.index.display()), error, 0, index)
            };
            if let Some(truth) = truth.take() {
                let found = index.search(queries, truth.k(), &search_params).map_err(cannot)?;
                judge = Some(Judge::new(truth, index, queries, &found.hits)?);
            }
            let judge = judge.as_ref().expect("the first setting made it");
            let mut row = measure(index, queries, judge, &search_params).map_err(cannot)?;
            row.threads = threads.into();
            let others = setting.iter().filter(|(name, _)| *name != SearchParam::Nprobe.name());
            row.params = others.map(|(name, value)| (name.to_owned(), value.clone())).collect();
            rows.push(row);
        }
    }
    let judge = judge.expect("there is at least one setting");
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}\n\n{judge}", shown(&rows, &judge.truth().recall_name("@")))?;
    }
    match &args.plot {
        Some(plot) => draw(plot, index, &rows, &judge.truth().recall_name("@")),
        None => Ok(()),
    }
}

/// Returns the settings to measure: each of `--params` with each of `--nprobe`.
fn settings(args: &Args) -> Result<Vec<Params>, String> {
    let of_params = if args.params.is_empty() { vec![Params::default()] } else { args.params.clone() };
    let nprobes: Vec<Option<usize>> = match args.nprobe.as_slice() {
        [] => vec![None],
        nprobes => nprobes.iter().map(|nprobe| Some(nprobe.get())).collect(),
    };
    let mut settings = Vec::new();
    for params in of_params {
        for nprobe in &nprobes {
            let mut setting = params.clone();
            setting.set(SearchParam::Nprobe.name(), *nprobe)?;
            setting.set(SearchParam::KFactorRf.name(), args.k_factor)?;
            setting.set(SearchParam::SkipBadQueries.name(), args.skip_bad_rows.then_some(true))?;
            settings.push(setting);
        }
    }
    Ok(settings)
}

fn measure(
    index: &dyn Index,
    queries: Rows<'_, f32>,
    judge: &Judge,
    params: &SearchParams<'_>,
) -> Result<Row, SearchError> {
    let k = judge.truth().k();
    let search = |rows: Rows<'_, f32>| index.search(rows, k, params);
    let SearchResult { hits, stats, .. } = search(queries)?;
    let recall = |n: usize| judge.recall(0, &hits, n, index.metric()).value().unwrap_or(0.0);
    let batch = median(|| search(queries).map(drop))?;
    let singles = queries.len().min(SINGLES);
    let mut times = Vec::new();
    let single = median(|| {
        (0..singles).try_for_each(|query| {
            let started = Instant::now();
            search(queries.slice(query..query + 1))?;
            times.push(started.elapsed());
            Ok::<(), SearchError>(())
        })
    })?;
    Ok(Row {
        nprobe: params.nprobe,
        params: BTreeMap::new(),
        threads: 1,
        k,
        recalls: [(1, recall(1)), (k, recall(k))].map(|(n, recall)| (format!("recall_at_{n}"), recall)).into(),
        recall_by: judge.rule_name(),
        qps: queries.len() as f64 / batch,
        qps_single: singles as f64 / single,
        latency_ms: Latency::of(&mut times),
        codes_per_query: stats.codes as f64 / queries.len() as f64,
        recall: recall(k),
        recall_at_1: recall(1),
    })
}

impl Latency {
    /// Computes the percentiles of some times.
    fn of(times: &mut [Duration]) -> Self {
        times.sort_unstable();
        // The least time that this share of the calls does not exceed.
        let percentile = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        Self { p50: percentile(50), p95: percentile(95), p99: percentile(99) }
    }
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

/// Returns the results as a table.
fn shown(rows: &[Row], recall_name: &str) -> comfy_table::Table {
    let with_params = rows.iter().any(|row| !row.params.is_empty());
    let mut columns = vec!["nprobe", "threads", "recall@1", "QPS", "QPS one by one", "p50 ms", "p95 ms", "p99 ms"];
    if recall_name != "recall@1" {
        columns.insert(3, recall_name);
    }
    if with_params {
        columns.insert(1, "<params");
    }
    columns.push("codes per query");
    let mut shown = table(&columns);
    for row in rows {
        let mut cells = vec![row.nprobe.map_or_else(|| "-".to_owned(), |nprobe| nprobe.to_string())];
        if with_params {
            cells.push(row.params_text());
        }
        cells.extend([row.threads.to_string(), format!("{:.4}", row.recall_at_1)]);
        if recall_name != "recall@1" {
            cells.push(format!("{:.4}", row.recall));
        }
        let Latency { p50, p95, p99 } = row.latency_ms;
        cells.extend([format!("{:.0}", row.qps), format!("{:.0}", row.qps_single)]);
        cells.extend([p50, p95, p99].map(|time| format!("{time:.3}")));
        cells.push(format!("{:.1}", row.codes_per_query));
        shown.add_row(cells);
    }
    shown
}

impl Row {
    /// Returns the parameters beside nprobe as text.
    fn params_text(&self) -> String {
        let items: Vec<String> = self.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        items.join(",")
    }
}

/// Draws a line for each number of threads and each setting of the parameters beside nprobe.
fn draw(plot: &Plot, index: &dyn Index, rows: &[Row], recall_name: &str) -> Result<(), Failure> {
    let points: Vec<Point> = rows
        .iter()
        .map(|row| {
            let threads = if row.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", row.threads) };
            let names = [threads, row.params_text()];
            let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
            Point {
                series: names.join(", "),
                label: row.nprobe.map(|nprobe| nprobe.to_string()),
                recall: row.recall,
                qps: row.qps,
            }
        })
        .collect();
    plot.draw(&format!("{}, {}", index.spec(), index.metric()), recall_name, &points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_a_share_of_the_calls_does_not_exceed() {
        let mut times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(Latency::of(&mut times), Latency { p50: 100.0, p95: 190.0, p99: 198.0 });
        assert_eq!(Latency::of(&mut times[..1]), Latency { p50: 1.0, p95: 1.0, p99: 1.0 });
    }
}
