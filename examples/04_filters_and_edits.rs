//! Filters, limits for single queries, collecting results during a search, and changes by id.
//!
//! Run it with `cargo run --release --example 04_filters_and_edits`.

use ivf::prelude::*;
use ivf::{Collector, Neighbor, Subset};
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;

const DIM: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let data = random(20_000 * DIM);
    let vectors = Rows::new(&data, DIM)?;
    let mut index = ivf::build("IVF64,Flat", DIM, Metric::L2)?;
    index.train(vectors)?;
    // With a direct map, removing or updating an id takes no scan of the lists.
    index.set_knob("direct_map", "hash")?;
    index.set_knob("nprobe", 4)?;
    index.add(vectors)?;

    // Two tenants share the index. Each finds only its own vectors, and the second probes more
    // lists.
    let (first, second) = (IdSelector::range(0..10_000), IdSelector::range(10_000..20_000));
    let tenants = [QueryParams::new().selector(&first), QueryParams::new().selector(&second).nprobe(16)];
    let queries = vectors.slice(0..2);
    let found = index.search(queries, 3, &SearchParams::new().per_query(&tenants))?;
    println!("tenant 1 finds {:?}, tenant 2 {:?}", found.hits.row(0).ids, found.hits.row(1).ids);

    // A filter keeps one id in 500. Four lists hold fewer than ten of these, so `ensure_k` probes
    // more lists until there are ten results, but at most 32 lists.
    let rare = |id: Id| id.0 % 500 == 0;
    let rare = IdSelector::Fn(&rare);
    let params = SearchParams::new().selector(&rare).ensure_k(true).max_lists(32);
    let found = index.search(queries, 10, &params)?;
    println!("{} results in {} lists a query", found.hits.total(), found.stats.lists / found.stats.queries);

    // A range search: the nearest hundred vectors within a radius. It ends after three consecutive
    // lists without a result.
    let params = SearchParams::new().nprobe(64).max_results(100).max_empty_lists(3);
    let near = index.range_search_with(queries, 0.6, &params)?;
    println!("{} vectors within 0.6, {} lists scanned", near.hits.row(0).ids.len(), near.stats.lists);

    // A collector receives results as they are found. This one keeps the nearest vector of each
    // group of 5,000 ids.
    let mut nearest = NearestOfGroups::default();
    let ivf = index.as_ivf().ok_or("not an inverted file")?;
    ivf.search_one(vectors.slice(7..8).into(), &mut nearest, &SearchParams::new().nprobe(16))?;
    println!("nearest of each group: {:?}", nearest.0.values().map(|hit| hit.id.0).collect::<Vec<_>>());

    // Update the vectors of two ids, add one new id, then remove a thousand ids.
    let report = index.upsert(&[Id(3), Id(4), Id(1_000_000)], vectors.slice(100..103))?;
    let removed = index.remove(&IdSelector::range(5_000..6_000))?;
    println!("{} updated, {} added, {removed} removed", report.updated, report.added);

    // Copy one vector in four to another index.
    let mut quarter = ivf::build("IVF64,Flat", DIM, Metric::L2)?;
    quarter.train(vectors)?;
    let copied = index.copy_subset_to(&mut *quarter, &Subset::IdModulo { modulus: 4, remainder: 1 })?;
    assert_eq!(quarter.len(), copied);
    assert_eq!(quarter.reconstruct(Id(101))?, vectors.row(101));
    println!("{copied} of {} copied", index.len());
    Ok(())
}

/// Collector of the nearest vector of each group of 5,000 ids.
#[derive(Default)]
struct NearestOfGroups(BTreeMap<i64, Neighbor>);

impl Collector for NearestOfGroups {
    fn threshold(&self) -> f32 {
        // A group without a result accepts every distance.
        if self.0.len() < 4 { f32::INFINITY } else { self.0.values().map(|hit| hit.distance).fold(0.0, f32::max) }
    }

    fn collect(&mut self, found: &[Neighbor]) -> ControlFlow<()> {
        for hit in found {
            let nearest = self.0.entry(hit.id.0 / 5_000).or_insert(*hit);
            if hit.distance < nearest.distance {
                *nearest = *hit;
            }
        }
        ControlFlow::Continue(())
    }
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
