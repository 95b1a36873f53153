//! `ivf search`: finds the nearest vectors of each query, and prints or writes them.

use crate::failure::Failure;
use crate::paths::check_output;
use crate::recall::{read_truth, recall};
use crate::table::table;
use crate::threads::ThreadsArg;
use clap::value_parser;
use ivf_core::{Hits, Metric, Rows, SearchParams};
use ivf_io::vectors::MAX_DIM;
use ivf_io::{read_vectors, write_vectors};
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Number of queries, and of results per query, that are printed without an output file.
const SHOWN_QUERIES: usize = 10;
const SHOWN_RESULTS: usize = 5;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Index file
    index: PathBuf,
    /// File of query vectors (fvecs, bvecs, fbin, u8bin, i8bin, npy, hdf5:DATASET)
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    /// Number of results per query
    #[arg(short, value_name = "K", default_value = "10", value_parser = value_parser!(u32).range(1..=MAX_DIM as i64))]
    k: u32,
    /// Number of lists to probe per query [default: the index's own setting]
    #[arg(long, value_name = "N")]
    nprobe: Option<NonZeroUsize>,
    /// Number of candidates per result that an index with refinement reranks [default: the index's
    /// own setting]
    #[arg(long, value_name = "F")]
    k_factor: Option<f32>,
    /// Leave the lists in the file, and read only those that a query probes
    #[arg(long)]
    in_place: bool,
    #[command(flatten)]
    threads: ThreadsArg,
    /// File to write the ids of the results to (ivecs, ibin, npy), in rows of K. Missing results
    /// have id -1
    #[arg(long, value_name = "FILE")]
    out_ids: Option<PathBuf>,
    /// File to write the distances of the results to (fvecs, fbin, npy), in rows of K. Missing
    /// results have the metric's worst value
    #[arg(long, value_name = "FILE")]
    out_distances: Option<PathBuf>,
    /// File of the true nearest ids, in rows of K or longer, to measure recall
    #[arg(long, value_name = "FILE")]
    ground_truth: Option<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    let k = args.k as usize;
    let inputs = [Some(&args.index), Some(&args.queries), args.ground_truth.as_ref()];
    let mut taken: Vec<&Path> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
    for output in [&args.out_ids, &args.out_distances].into_iter().flatten() {
        check_output(output, &taken)?;
        taken.push(output);
    }
    let threads = args.threads.start()?;
    let open = if args.in_place { ivf_factory::open_index } else { ivf_factory::read_index };
    let index = open(&args.index)?;
    let queries = read_vectors::<f32>(&args.queries)?;
    let queries = queries.rows();
    let truth = args.ground_truth.as_deref().map(|path| read_truth(path, queries.len(), k)).transpose()?;

    let mut params = SearchParams::new();
    params.nprobe = args.nprobe.map(NonZeroUsize::get);
    params.k_factor_rf = args.k_factor;
    params.executor = Some(threads.executor());
    let start = Instant::now();
    let found = index
        .search(queries, k, &params)
        .map_err(|error| Failure::failed(format_args!("cannot search {}", args.index.display()), &error))?;
    let seconds = start.elapsed().as_secs_f64();

    write_files(args, &found.hits, k, index.metric())?;
    if args.out_ids.is_none() && args.out_distances.is_none() {
        show(&found.hits, index.metric(), out)?;
    }
    let queries = queries.len();
    let recall_name = format!("recall@{k}");
    let mut columns = vec!["queries", "seconds", "QPS", "codes per query"];
    let mut row = vec![
        queries.to_string(),
        format!("{seconds:.3}"),
        format!("{:.0}", queries as f64 / seconds),
        format!("{:.1}", found.stats.codes as f64 / queries.max(1) as f64),
    ];
    if let Some(truth) = &truth {
        columns.push(&recall_name);
        row.push(recall(&found.hits, truth).map_or_else(|| "-".to_owned(), |recall| format!("{recall:.4}")));
    }
    let mut summary = table(&columns);
    summary.add_row(row);
    writeln!(out, "{summary}")?;
    Ok(())
}

/// Writes the requested files.
fn write_files(args: &Args, hits: &Hits, k: usize, metric: Metric) -> Result<(), Failure> {
    if args.out_ids.is_none() && args.out_distances.is_none() {
        return Ok(());
    }
    let (ids, distances) = hits.padded(k, metric);
    if let Some(path) = &args.out_ids {
        write_vectors(path, rows_of(&ids, k))?;
    }
    if let Some(path) = &args.out_distances {
        write_vectors(path, rows_of(&distances, k))?;
    }
    Ok(())
}

/// Returns padded results as rows.
fn rows_of<T>(padded: &[T], k: usize) -> Rows<'_, T> {
    Rows::new(padded, k).expect("there are k padded results per query, and k is at least 1")
}

/// Shows the first results of the first queries.
fn show(hits: &Hits, metric: Metric, out: &mut impl Write) -> Result<(), Failure> {
    let nearest = format!("<nearest (id: {metric})");
    let mut shown = table(&["query", &nearest]);
    for (query, row) in hits.rows().enumerate().take(SHOWN_QUERIES) {
        let mut nearest: Vec<String> = row
            .ids
            .iter()
            .zip(row.distances)
            .take(SHOWN_RESULTS)
            .map(|(id, distance)| format!("{id}: {distance:.4}"))
            .collect();
        if row.ids.len() > SHOWN_RESULTS {
            nearest.push("...".to_owned());
        }
        shown.add_row([query.to_string(), nearest.join("  ")]);
    }
    writeln!(out, "{shown}\n")?;
    Ok(())
}
