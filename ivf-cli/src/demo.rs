//! `ivf demo`: builds indexes of word vectors, compares them, and saves and loads one.

use crate::build::file_len;
use crate::failure::{self, Failure};
use crate::ground_truth::Truth;
use crate::paths::check_output;
use crate::plot::{Plot, Point};
use crate::recall::Judge;
use crate::table::table;
use crate::threads::Threads;
use crate::words::{self, DIM, Words};
use half::f16;
use ivf_core::{AddOptions, Executor, Index, Metric, Rows, SearchParams, SearchResult, TrainOptions};
use std::io::Write;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// SVG or PNG file for a plot of the comparison
    #[arg(long, value_name = "FILE")]
    plot: Option<Plot>,
}

/// Words whose neighbours are shown.
const SHOWN: [&str; 6] = ["king", "coffee", "london", "python", "guitar", "wednesday"];

/// Step between the words that are held out as queries of the comparison.
const HELD_OUT_STEP: usize = 20;

/// Number of results per query in the comparison.
const K: usize = 10;

/// Factory strings of the compared indexes, and values of nprobe; `None` for an index without
/// lists. The first is exact search.
const COMPARED: [(&str, &[Option<usize>]); 4] = [
    ("Flat", &[None]),
    ("IVF64,Flat", &[Some(1), Some(4), Some(16)]),
    ("IVF256,Flat", &[Some(1), Some(4), Some(16)]),
    ("IVF64,PQ50", &[Some(1), Some(4), Some(16)]),
];

/// Factory string of the index that is saved and loaded.
const SAVED: &str = "IVF64,Flat";

/// Minimum time for which a search is repeated, for a stable figure.
const MEASURED: Duration = Duration::from_millis(100);

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    if let Some(plot) = &args.plot {
        check_output(plot.path(), &[])?;
    }
    let words = Words::bundled()?;
    let threads = Threads::start_default()?;
    let executor = threads.executor();
    writeln!(out, "{} English words, their GloVe vectors of {DIM} dimensions, compared by cosine.\n", words.len())?;
    let all = make(SAVED, words.rows(), executor)?;
    show_neighbours(all.as_ref(), &words, executor, out)?;
    let points = compare(&words, executor, out)?;
    if let Some(plot) = &args.plot {
        plot.draw(&format!("GloVe vectors of {} English words, cosine", words.len()), &format!("recall@{K}"), &points)?;
        writeln!(out, "Drew {}: queries per second against recall.\n", plot.path().display())?;
    }
    save_and_load(all.as_ref(), words.rows(), executor, out)
}

/// Builds, trains and fills an index of `rows`.
fn make(factory: &str, rows: Rows<'_, f16>, executor: &dyn Executor) -> Result<Box<dyn Index>, Failure> {
    let fail = |error: &dyn std::error::Error| Failure::failed(format_args!("cannot build {factory}"), error);
    let mut index = ivf_factory::build(factory, DIM, Metric::Cosine).map_err(|error| fail(&error))?;
    let report = index.train_with(rows, &TrainOptions::new().executor(executor)).map_err(|error| fail(&error))?;
    for warning in &report.warnings {
        failure::say(format_args!("warning: {factory}: {warning}"));
    }
    index.add_with(rows, &AddOptions::new().executor(executor)).map_err(|error| fail(&error))?;
    Ok(index)
}

fn search(
    index: &dyn Index,
    queries: Rows<'_, f16>,
    k: usize,
    nprobe: Option<usize>,
    executor: &dyn Executor,
) -> Result<SearchResult, Failure> {
    let mut params = SearchParams::new().executor(executor);
    params.nprobe = nprobe;
    index
        .search(queries, k, &params)
        .map_err(|error| Failure::failed(format_args!("cannot search {}", index.spec()), &error))
}

/// Prints the nearest words of a few words.
fn show_neighbours(
    index: &dyn Index,
    words: &Words,
    executor: &dyn Executor,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut shown = table(&["<word", "<nearest words"]);
    for (word, number) in SHOWN.iter().filter_map(|word| words.find(word).map(|number| (word, number))) {
        let query = words.rows().slice(number..number + 1);
        let found = search(index, query, 7, Some(16), executor)?;
        let nearest: Vec<&str> = found
            .hits
            .row(0)
            .ids
            .iter()
            .filter(|id| id.0 != number as i64)
            .map(|id| words.word(id.0 as usize))
            .collect();
        shown.add_row([word.to_string(), nearest.join(", ")]);
    }
    writeln!(out, "{shown}\n")?;
    Ok(())
}

/// Prints recall against exact search, memory and speed of several indexes, and returns them as
/// points of a plot. The queries are held-out words.
fn compare(words: &Words, executor: &dyn Executor, out: &mut impl Write) -> Result<Vec<Point>, Failure> {
    let (queries, base) = words.hold_out(HELD_OUT_STEP);
    let (queries, base) = (words::rows(&queries), words::rows(&base));
    let batch = queries.len();
    let threads = executor.threads();
    let on = if threads == 1 { "one thread".to_owned() } else { format!("{threads} threads") };
    writeln!(out, "{batch} words held out as queries, {} indexed:", base.len())?;
    let mut compared = table(&["<factory string", "nprobe", "bytes per vector", "recall@10", "QPS"]);
    let (mut judge, mut points): (Option<Judge>, _) = (None, Vec::new());
    for (factory, nprobes) in COMPARED {
        let index = make(factory, base, executor)?;
        for &nprobe in nprobes {
            let (found, qps) = measure(index.as_ref(), queries, nprobe, executor)?;
            let exact = || Judge::by_ids(Truth::of_hits(&found.hits, K), "no two words have the same vector");
            let recall = judge.get_or_insert_with(exact).recall(0, &found.hits, K, Metric::Cosine);
            let recall = recall.value().unwrap_or_default();
            compared.add_row([
                factory.to_owned(),
                nprobe.map_or_else(|| "-".to_owned(), |nprobe| nprobe.to_string()),
                format!("{:.0}", index.memory() as f64 / index.len() as f64),
                format!("{recall:.3}"),
                format!("{qps:.0}"),
            ]);
            let label = nprobe.map(|nprobe| nprobe.to_string());
            points.push(Point { series: factory.to_owned(), label, recall, qps });
        }
    }
    writeln!(out, "{compared}\n")?;
    writeln!(
        out,
        "QPS is queries per second on {on}, all {batch} in one batch. Flat compares each query with every\n\
         word. IVF64 divides the words into 64 lists and scans the nprobe nearest: more lists find more of\n\
         the 10 true neighbours (recall@10) and take longer. PQ50 compresses a vector to 50 bytes, which\n\
         costs recall and saves memory.\n"
    )?;
    Ok(points)
}

/// Returns the results of all queries in one batch, and the queries per second.
fn measure(
    index: &dyn Index,
    queries: Rows<'_, f16>,
    nprobe: Option<usize>,
    executor: &dyn Executor,
) -> Result<(SearchResult, f64), Failure> {
    let start = Instant::now();
    let mut searched = 0;
    loop {
        let found = search(index, queries, K, nprobe, executor)?;
        searched += queries.len();
        let time = start.elapsed();
        if time >= MEASURED {
            return Ok((found, searched as f64 / time.as_secs_f64()));
        }
    }
}

/// Writes the index to a file, verifies it, reads it, opens it in place, and compares the results.
fn save_and_load(
    index: &dyn Index,
    rows: Rows<'_, f16>,
    executor: &dyn Executor,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let folder = tempfile::tempdir().map_err(|error| Failure::failed("cannot make a temporary folder", &error))?;
    let path = folder.path().join("words.ivf");
    ivf_factory::write_index(index, &path)?;
    let bytes = file_len(&path)?;
    ivf_factory::verify_index(&path)?;
    let loaded = ivf_factory::read_index(&path)?;
    let opened = ivf_factory::open_index(&path)?;

    let queries = rows.slice(0..1000);
    let expected = search(index, queries, K, Some(4), executor)?;
    for (how, other) in [("read", &loaded), ("opened", &opened)] {
        if search(other.as_ref(), queries, K, Some(4), executor)?.hits != expected.hits {
            return Err(Failure::Failed(format!("{SAVED} gives different results after it was saved and {how}")));
        }
    }
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    writeln!(
        out,
        "Saved {SAVED} to a file of {:.1} MB. Read into {:.1} MB of memory, and opened in place in {:.2} MB: the results of {} \
         queries are equal.",
        megabytes(bytes as usize),
        megabytes(loaded.memory()),
        megabytes(opened.memory()),
        queries.len()
    )?;
    Ok(())
}
