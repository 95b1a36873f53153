//! Edits of an index with a hash map of its ids: `edits BASE IDS FACTORY METRIC THREADS`.
//!
//! The index holds the first million vectors of `BASE`. `IDS` is a file with one id in each row.
//! All ids are different, and all are in the index. The edits are:
//!
//! 1. The first 1,000 ids are removed, one in each call.
//! 2. The other ids are removed in one call.
//! 3. The vectors of 1,000 remaining ids are replaced, one in each call.
//! 4. 1,000 ids are upserted, one in each call. Every other id is in the index.
//!
//! Prints the median and the worst time of the calls for one id, in microseconds, and the time of
//! the call for many ids, in milliseconds.
//!
//! `benches/beside_faiss.py edits` runs it beside Faiss.

use ivf::cpu::RayonPool;
use ivf::io::read_vectors;
use ivf::{AddOptions, Id, IdSelector, Index, Metric, Rows, TrainOptions};
use std::collections::HashSet;
use std::error::Error;
use std::time::Instant;

/// Maximum number of vectors in the index.
const MOST: usize = 1_000_000;

/// Number of ids that are edited one in each call.
const SINGLES: usize = 1000;

/// Runs the edit for each item. Returns the median and the worst time of a call in microseconds, as
/// JSON.
fn each<T>(items: &[T], mut edit: impl FnMut(&T) -> Result<(), Box<dyn Error>>) -> Result<String, Box<dyn Error>> {
    let mut times = Vec::new();
    for item in items {
        let started = Instant::now();
        edit(item)?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(format!("{{\"median_us\": {:.3}, \"worst_us\": {:.3}}}", times[times.len() / 2], times[times.len() - 1]))
}

/// Returns a trained index of all base vectors, with ids from 0 and with the map.
fn built(
    base: Rows<'_, f32>,
    factory: &str,
    metric: Metric,
    pool: &RayonPool,
) -> Result<Box<dyn Index>, Box<dyn Error>> {
    let mut index = ivf::build(factory, base.dim(), metric)?;
    // The edits need typical lists, but not good ones.
    let options = TrainOptions::new().iterations(4).max_points_per_centroid(64).executor(pool);
    index.train_with(base, &options)?;
    index.add_with(base, &AddOptions::new().executor(pool))?;
    index.set_knob("direct_map", "hash")?;
    Ok(index)
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [base, ids, factory, metric, threads] = &args[..] else {
        println!("usage: edits BASE IDS FACTORY METRIC THREADS (see benches/beside_faiss.py)");
        return Ok(());
    };
    let (base, ids) = (read_vectors::<f32>(base)?, read_vectors::<i64>(ids)?.into_data());
    let base = base.rows();
    let base = base.slice(0..base.len().min(MOST));
    let gone: Vec<Id> = ids.into_iter().map(Id).collect();
    let (one_by_one, at_once) = gone.split_at(SINGLES);
    let is_gone: HashSet<Id> = gone.iter().copied().collect();
    let left: Vec<Id> = (0..base.len() as i64).map(Id).filter(|id| !is_gone.contains(id)).collect();
    let replaced = &left[..SINGLES];
    // Every other id was removed.
    let upserted: Vec<Id> = one_by_one.iter().zip(&left[SINGLES..]).flat_map(|(gone, left)| [*gone, *left]).collect();
    let upserted = &upserted[..SINGLES];
    // The new vector of an id, which is not the one that it had.
    let of = |id: Id| {
        let other = (id.0 as usize + 1) % base.len();
        base.slice(other..other + 1)
    };
    let pool = RayonPool::new(threads.parse()?)?;
    let options = AddOptions::new().executor(&pool);
    let mut index = built(base, factory, metric.parse()?, &pool)?;

    let mut removed = 0;
    // The sets are made before the calls, as they are for Faiss.
    let sets: Vec<IdSelector<'_>> = one_by_one.iter().map(|id| IdSelector::set([*id])).collect();
    let remove = each(&sets, |set| {
        removed += index.remove(set)?;
        Ok(())
    })?;
    let set = IdSelector::set(at_once.iter().copied());
    let started = Instant::now();
    removed += index.remove(&set)?;
    let batch = started.elapsed().as_secs_f64() * 1e3;
    assert_eq!(removed, gone.len());
    assert_eq!(index.len(), base.len() - gone.len());
    assert!(gone.iter().all(|id| index.reconstruct(*id).is_err()), "a removed id is still in the index");
    assert!(index.reconstruct_many(&left).is_ok(), "an id that was not removed is missing");

    // The ability is looked up once, so that a call does nothing but the edit.
    let unable = index.unable("update and upsert");
    let updating = index.as_update().ok_or(unable.clone())?;
    let update = each(replaced, |&id| Ok(updating.update(&[id], of(id).into(), &options)?))?;
    assert_eq!(index.len(), base.len() - gone.len());

    let mut added = 0;
    let upserting = index.as_upsert().ok_or(unable)?;
    let upsert = each(upserted, |&id| {
        added += upserting.upsert(&[id], of(id).into(), &options)?.added;
        Ok(())
    })?;
    assert_eq!(added, SINGLES / 2);
    assert_eq!(index.len(), base.len() - gone.len() + added);
    for &id in replaced.iter().chain(upserted) {
        let vector = index.reconstruct(id)?;
        // Other codes keep only an approximation of the vector.
        assert!(!factory.ends_with(",Flat") || vector == of(id).as_slice(), "{id} does not have its new vector");
    }
    println!("{{\"remove\": {remove}, \"batch_ms\": {batch:.3}, \"update\": {update}, \"upsert\": {upsert}}}");
    Ok(())
}
