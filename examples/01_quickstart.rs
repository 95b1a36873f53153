//! First steps: build an index, train it, add vectors, search, filter, save, load.
//!
//! Run it with `cargo run --release --example 01_quickstart`.

use ivf::prelude::*;
use std::error::Error;

const DIM: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    // 10,000 vectors, one after the other in one slice. `Rows` checks that the length of the slice
    // is a multiple of `DIM`.
    let data = random(10_000 * DIM);
    let vectors = Rows::new(&data, DIM)?;

    // A factory string describes the index: 64 lists around k-means centroids, which store full
    // vectors.
    let mut index = ivf::build("IVF64,Flat", DIM, Metric::L2)?;

    // Training computes the centroids. The report has warnings, for example of too few training
    // vectors.
    let report = index.train(vectors)?;
    report.warnings.iter().for_each(|warning| println!("warning: {warning}"));

    // Ids count up from 0. `add_with_ids` takes ids of your own.
    index.add(vectors)?;
    println!("{}: {} vectors, {} bytes each", index.spec(), index.len(), index.memory() / index.len());

    // Search for the 5 nearest vectors of two queries. Each query scans the 8 lists whose centroids
    // are nearest to it.
    let queries = vectors.slice(0..2);
    let found = index.search(queries, 5, &SearchParams::new().nprobe(8))?;
    for (query, row) in found.hits.rows().enumerate() {
        for (id, distance) in row {
            println!("query {query}: vector {id} at distance {distance:.2}");
        }
    }
    println!("codes scanned per query: {}", found.stats.codes / found.stats.queries);

    // A selector restricts the results to some ids, here the even ones from 5,000 on. Other
    // selectors are lists, sets and bitmaps.
    let even = |id: ivf::Id| id.0 % 2 == 0;
    let selector = IdSelector::range(5_000..10_000) & IdSelector::Fn(&even);
    let filtered = index.search(queries, 5, &SearchParams::new().nprobe(8).selector(&selector))?;
    println!("query 0, even ids from 5,000 on: {:?}", filtered.hits.row(0).ids);

    // An index keeps knobs, such as the defaults of search parameters. `nprobe` is 1 initially.
    index.set_knob("nprobe", 64)?;
    let exact = index.search(queries, 5, &SearchParams::new())?;

    // A file holds everything, including the knobs. Writing is atomic.
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("quickstart.ivf");
    ivf::write_index(&index, &path)?;
    let loaded = ivf::read_index(&path)?;
    let again = loaded.search(queries, 5, &SearchParams::new())?;
    assert_eq!(again.hits, exact.hits);
    println!("saved and loaded: {} bytes, the same results", std::fs::metadata(&path)?.len());
    Ok(())
}

/// Returns numbers between 0 and 1 from a linear congruential generator, the same ones on every
/// run.
fn random(n: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..n).map(|_| next()).collect()
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
