//! `ivf search`: finds the nearest vectors of each query, and prints or writes them.

use crate::failure::Failure;
use crate::filter::Filter;
use crate::ground_truth::{Truth, TruthFiles};
use crate::params::{Params, at_least_one};
use crate::paths::check_output;
use crate::queries::{QueriesArg, search_failed};
use crate::recall::{Judge, Recall};
use crate::results::{Files, Results, check_formats};
use crate::table::table;
use crate::threads::ThreadsArg;
use crate::vectors::{self, VectorsArg};
use clap::value_parser;
use ivf_core::error::SearchError;
use ivf_core::{Index, Rows, SearchParam, SearchParams, SearchResult, SearchStats};
use ivf_io::vectors::MAX_DIM;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Number of results that a search returns at a time, and of queries of a range search.
const AT_ONCE: usize = 4 << 20;
const RANGES_AT_ONCE: usize = 1024;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Index file
    index: PathBuf,
    #[command(flatten)]
    queries: QueriesArg,
    #[command(flatten)]
    vectors: VectorsArg,
    /// Number of results per query, at most the number of vectors in the index
    #[arg(short, value_name = "K", default_value = "10", conflicts_with = "radius",
          value_parser = value_parser!(u32).range(1..=MAX_DIM as i64))]
    k: u32,
    /// Find all vectors nearer than R instead: at distances below R, or similarities above R
    #[arg(long, value_name = "R", allow_hyphen_values = true,
          conflicts_with_all = ["out_ids", "out_distances", "ground_truth"])]
    radius: Option<f32>,
    /// Find only vectors with these ids: 1,5,10..20 (without 20), 100.. (without an end), or @FILE
    /// with ids. not:1,5 or not:@FILE finds only others. The file is text (also @-, standard
    /// input), or a file of integers such as ivecs
    #[arg(long, value_name = "IDS", allow_hyphen_values = true)]
    filter: Option<Filter>,
    /// Number of lists to probe per query [default: the index's own setting]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    nprobe: Option<NonZeroUsize>,
    /// Number of candidates per result that an index with refinement reranks [default: the index's
    /// own setting]
    #[arg(long, value_name = "F")]
    k_factor: Option<f32>,
    /// Give queries that cannot be searched no results: those with a NaN or an infinity, and zero
    /// vectors under cosine [default: such a query is an error]
    #[arg(long)]
    skip_bad_rows: bool,
    /// Other search parameters, such as max_codes=10000,quantizer_nprobe=8. `ivf kinds` lists them
    #[arg(long, value_name = "NAME=VALUE,...")]
    params: Option<Params>,
    /// Leave the lists in the file, and read only those that a query probes. Recall then counts ids
    #[arg(long)]
    in_place: bool,
    #[command(flatten)]
    threads: ThreadsArg,
    /// File to write the ids of the results to (ivecs, ibin, npy), in rows of K, or of the number
    /// of vectors in the index if that is less. Missing results have id -1
    #[arg(long, value_name = "FILE")]
    out_ids: Option<PathBuf>,
    /// File to write the distances of the results to (fvecs, fbin, npy), in the same rows. Missing
    /// results have the metric's worst value
    #[arg(long, value_name = "FILE")]
    out_distances: Option<PathBuf>,
    /// File of the true nearest ids, to measure recall
    #[arg(long, value_name = "FILE")]
    ground_truth: Option<PathBuf>,
    /// File of the distances of the ground truth, as `ivf truth` writes them
    #[arg(long, value_name = "FILE", requires = "ground_truth")]
    ground_truth_distances: Option<PathBuf>,
    /// Print JSON: a line {"query", "ids", "distances"} for each query, unless its results are
    /// written to files, and a last line {"summary"}
    #[arg(long)]
    json: bool,
    /// Show all queries and results in the table, not only the first of them. JSON always has all
    #[arg(long)]
    all: bool,
}

/// Figures of the whole search.
#[derive(Serialize)]
struct Summary {
    queries: usize,
    results: usize,
    seconds: f64,
    qps: f64,
    /// Times of the two halves of the search, as the index reports them.
    coarse_seconds: f64,
    scan_seconds: f64,
    lists_per_query: f64,
    codes_per_query: f64,
    /// `recall_at_10` for k = 10.
    #[serde(flatten)]
    recall: BTreeMap<String, Option<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recall_by: Option<&'static str>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    check_files(args)?;
    let params = params(args).map_err(Failure::Usage)?;
    let threads = args.threads.start()?;
    let open = if args.in_place { ivf_factory::open_index } else { ivf_factory::read_index };
    let index = open(&args.index)?;
    let index = index.as_ref();
    let queries = args.queries.read(index, &args.vectors)?;
    let rows = queries.rows();
    let k = (args.k as usize).min(index.len()).max(1);
    let truth = args.ground_truth.as_ref().map(|ids| {
        let files = TruthFiles { ids, distances: args.ground_truth_distances.as_deref() };
        Truth::read(files, rows.len(), k, index.metric())
    });
    let mut truth = truth.transpose()?;
    let selector = args.filter.as_ref().map(Filter::selector).transpose()?;
    let mut params = params.search_params();
    params.selector = selector.as_ref();
    params.executor = Some(threads.executor());

    let mut results = match (&args.out_ids, &args.out_distances) {
        (None, None) if args.json => Results::Json,
        (None, None) => Results::Table { rows: Vec::new(), all: args.all },
        (ids, distances) => Results::Files(Box::new(Files::create(ids.as_deref(), distances.as_deref(), k)?)),
    };
    let (mut time, mut stats, mut found) = (Duration::ZERO, SearchStats::default(), 0);
    let mut judged: Option<(Judge, Recall)> = None;
    let at_once = args.radius.map_or((AT_ONCE / k).max(1), |_| RANGES_AT_ONCE);
    for first in (0..rows.len()).step_by(at_once) {
        let batch = rows.slice(first..rows.len().min(first + at_once));
        let started = Instant::now();
        let result = search(index, batch, k, args.radius, &params).map_err(|error| {
            search_failed(format_args!("cannot search {}", args.index.display()), error, first, index)
        })?;
        time += started.elapsed();
        stats.add(&result.stats);
        found += result.hits.total();
        results.add(&queries, first, &result.hits, index.metric(), out)?;
        if let Some(truth) = truth.take() {
            let judge = if args.in_place {
                truth.absent(index, &result.hits, false)?;
                Judge::by_ids(truth, "the vectors are left in the file")
            } else {
                Judge::new(truth, index, rows, &result.hits)?
            };
            judged = Some((judge, Recall::default()));
        }
        if let Some((judge, recall)) = &mut judged {
            recall.add(judge.recall(first, &result.hits, judge.truth().k(), index.metric()));
        }
    }
    results.finish(index.metric(), out)?;
    let per_query = |count: u64| count as f64 / rows.len() as f64;
    let summary = Summary {
        queries: rows.len(),
        results: found,
        seconds: time.as_secs_f64(),
        qps: rows.len() as f64 / time.as_secs_f64(),
        coarse_seconds: stats.coarse_time.as_secs_f64(),
        scan_seconds: stats.scan_time.as_secs_f64(),
        lists_per_query: per_query(stats.lists),
        codes_per_query: per_query(stats.codes),
        recall: judged.iter().map(|(judge, recall)| (judge.truth().recall_name("_at_"), recall.value())).collect(),
        recall_by: judged.as_ref().map(|(judge, _)| judge.rule_name()),
    };
    if args.json {
        let line = serde_json::json!({ "summary": summary });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    let recall_name = judged.as_ref().map(|(judge, _)| judge.truth().recall_name("@"));
    writeln!(out, "{}", shown(&summary, recall_name))?;
    if let Some((judge, _)) = judged {
        writeln!(out, "\n{judge}")?;
    }
    Ok(())
}

/// Checks that one input at most is standard input, that no output file is another file of the
/// command, and that the formats of the outputs hold the results.
fn check_files(args: &Args) -> Result<(), Failure> {
    let filter = args.filter.as_ref().and_then(Filter::file);
    let inputs =
        [Some(&args.index), args.queries.file(), args.ground_truth.as_ref(), args.ground_truth_distances.as_ref()];
    let mut taken: Vec<&Path> = inputs.into_iter().flatten().map(PathBuf::as_path).chain(filter).collect();
    vectors::check_inputs(&taken)?;
    args.vectors.will_open(&args.queries.file().map(PathBuf::as_path).into_iter().collect::<Vec<_>>());
    for output in [&args.out_ids, &args.out_distances].into_iter().flatten() {
        check_output(output, &taken)?;
        taken.push(output);
    }
    check_formats(
        args.out_ids.as_deref().map(|path| ("--out-ids", path)),
        args.out_distances.as_deref().map(|path| ("--out-distances", path)),
    )
}

/// Returns the search parameters of all options that set one.
fn params(args: &Args) -> Result<Params, String> {
    let mut params = args.params.clone().unwrap_or_default();
    params.set(SearchParam::Nprobe.name(), args.nprobe.map(NonZeroUsize::get))?;
    params.set(SearchParam::KFactorRf.name(), args.k_factor)?;
    params.set(SearchParam::SkipBadQueries.name(), args.skip_bad_rows.then_some(true))?;
    let is_shown = args.json && args.out_ids.is_none() && args.out_distances.is_none();
    let locations = SearchParam::Locations.name();
    if !is_shown && params.iter().any(|(name, _)| name == locations) {
        return Err(format!(
            "the search parameter {locations} has an effect only with --json and without output files"
        ));
    }
    Ok(params)
}

fn search(
    index: &dyn Index,
    queries: Rows<'_, f32>,
    k: usize,
    radius: Option<f32>,
    params: &SearchParams<'_>,
) -> Result<SearchResult, SearchError> {
    match radius {
        Some(radius) => index.range_search_with(queries, radius, params),
        None => index.search(queries, k, params),
    }
}

/// Returns the summary as a table.
fn shown(summary: &Summary, recall_name: Option<String>) -> comfy_table::Table {
    let mut columns =
        vec!["queries", "seconds", "coarse search", "scans", "QPS", "results per query", "codes per query"];
    columns.extend(recall_name.as_deref());
    let mut shown = table(&columns);
    let mut row = vec![
        summary.queries.to_string(),
        format!("{:.3}", summary.seconds),
        format!("{:.3}", summary.coarse_seconds),
        format!("{:.3}", summary.scan_seconds),
        format!("{:.0}", summary.qps),
        format!("{:.1}", summary.results as f64 / summary.queries as f64),
        format!("{:.1}", summary.codes_per_query),
    ];
    row.extend(
        summary.recall.values().map(|recall| recall.map_or_else(|| "-".to_owned(), |recall| format!("{recall:.4}"))),
    );
    shown.add_row(row);
    shown
}
