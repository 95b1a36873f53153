//! A complete application: two shards filled in parallel and merged, shared by threads, saved,
//! opened.
//!
//! Run it with `cargo run --release --example 09_application`.

use ivf::cpu::SharedIndex;
use ivf::error::{EditError, SearchError};
use ivf::prelude::*;
use std::error::Error;
use std::{ops::Range, thread};

/// The configuration that an operator may change without recompiling. Unknown names are errors.
const CONFIG: &str = r#"{
    "factory": "IVF64,Flat", "dim": 32, "metric": "cosine",
    "knobs": { "direct_map": "hash" },
    "train": { "iterations": 8, "seed": 7 },
    "search": { "nprobe": 8 }
}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let config: BuildParams = serde_json::from_str(CONFIG)?;
    let data: Vec<f32> = (0..20_000 * config.dim).map(|i| (i * i * i % 1_000_003) as f32 - 500_000.0).collect();
    let articles = Rows::new(&data, config.dim)?;

    // Ctrl-C can end every call with `cancel`: `ctrlc::set_handler(move || on_ctrl_c.cancel())?`.
    let cancel = Cancel::new();
    let on_ctrl_c = cancel.clone();

    // Train once, then clone: shards with the same training can be merged.
    let mut index = config.build()?;
    let report = index.train_with(articles, &config.train.progress(&Dots).cancel(&cancel))?;
    report.warnings.iter().for_each(|warning| println!("warning: {warning}"));
    let mut shard = index.clone_index()?;

    // Fill both at the same time. The id of an article is its row number plus 1,000.
    let ids: Vec<Id> = (1_000..21_000).map(Id).collect();
    let fill = |index: &mut dyn Index, part: Range<usize>| {
        let options = config.add.progress(&Dots).cancel(&cancel);
        index.add_with_ids_with(articles.slice(part.clone()), &ids[part], &options)
    };
    thread::scope(|threads| {
        let other = threads.spawn(|| fill(&mut *shard, 10_000..20_000));
        fill(&mut *index, 0..10_000)?;
        other.join().expect("no panic")
    })?;
    index.merge_from(&mut *shard, 0)?;
    println!("\n{}: {} articles", index.spec(), index.len());

    // Readers search while a writer changes the index. Each search uses one consistent snapshot.
    let shared = SharedIndex::new(index)?;
    let queries = articles.slice(0..3);
    let (found, changed) = thread::scope(|threads| {
        let reader = threads.spawn(|| shared.load().search(queries, 3, &config.search));
        let changed = shared.update(|index| {
            let report = index.upsert(&[Id(1_000), Id(50_000)], articles.slice(5..7))?;
            Ok::<_, EditError>((report, index.remove(&IdSelector::range(2_000..3_000))?))
        });
        (reader.join().expect("no panic"), changed)
    });
    let (report, removed) = changed?;
    println!("{} updated, {} added, {removed} removed", report.updated, report.added);
    println!("a concurrent reader found {} articles", found?.hits.total());

    // A filter restricts the results to articles that the user may see.
    let mine = IdSelector::range(1_000..5_000) & !IdSelector::sorted(vec![Id(1_005), Id(1_006)]);
    let params = config.search.clone().selector(&mine);
    for (article, row) in (1_000..).zip(&shared.load().search(queries, 3, &params)?) {
        row.iter().for_each(|(id, similarity)| println!("like {article}: {id} ({similarity:.3})"));
    }

    // Saving is atomic. An opened index reads a list from the file when a search scans it.
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("articles.ivf");
    ivf::write_index(&*shared.load(), &path)?;
    let opened = ivf::open_index(&path)?;
    assert_eq!(opened.search(queries, 3, &params)?.hits, shared.load().search(queries, 3, &params)?.hits);

    // Serve until Ctrl-C. Here, another thread cancels instead.
    let served = thread::scope(|threads| {
        threads.spawn(|| on_ctrl_c.cancel());
        serve(&shared, queries, &config.search.clone().cancel(&cancel))
    })?;
    println!("{served} batches served before cancellation");
    Ok(())
}

/// Searches until it is cancelled, and returns the number of batches. Cancelling is not an error.
fn serve(shared: &SharedIndex, queries: Rows<'_, f32>, params: &SearchParams<'_>) -> Result<u64, SearchError> {
    let mut served = 0;
    loop {
        match shared.load().search(queries, 3, params) {
            Err(SearchError::Cancelled) => return Ok(served),
            found => served += u64::from(!found?.hits.is_empty()),
        }
    }
}

/// Prints a dot for each step of training and adding.
struct Dots;

impl Progress for Dots {
    fn step(&self, _stage: &'static str, _done: u64, _total: u64) {
        print!(".");
    }
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
