//! Searches with a filter: `filter INDEX QUERIES NPROBE THREADS [BITMAP]`.
//!
//! A search may find id `i` if bit `i % 8` of byte `i / 8` of the file `BITMAP` is set. Without a
//! bitmap, it may find every id. Prints the queries per second, for all queries in one call and for
//! one query in each call, and the ids found.
//!
//! `benches/beside_faiss.py filter` runs it beside Faiss.

use ivf::cpu::RayonPool;
use ivf::io::read_vectors;
use ivf::{IdSelector, Rows, SearchParams};
use std::error::Error;
use std::time::Instant;

const K: usize = 10;

/// Number of queries that are timed with one query in each call.
const SINGLES: usize = 400;

/// Returns the seconds of a run: the median of three runs, or of fewer runs if they fill a second.
fn seconds(mut run: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut times: Vec<f64> = Vec::new();
    while times.len() < 3 && times.iter().sum::<f64>() < 1.0 {
        let started = Instant::now();
        run()?;
        times.push(started.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let (Some([path, queries, nprobe, threads]), [] | [_]) = (args.first_chunk(), args.get(4..).unwrap_or_default())
    else {
        println!("usage: filter INDEX QUERIES NPROBE THREADS [BITMAP] (see benches/beside_faiss.py)");
        return Ok(());
    };
    let index = ivf::read_index(path)?;
    let queries = read_vectors::<f32>(queries)?;
    let queries = queries.rows();
    let pool = RayonPool::new(threads.parse()?)?;
    let selector = args.get(4).map(std::fs::read).transpose()?.map(IdSelector::Bitmap);
    let mut params = SearchParams::new().nprobe(nprobe.parse()?).executor(&pool);
    params.selector = selector.as_ref();

    let search = |rows: Rows<'_, f32>| index.search(rows, K, &params);
    let hits = search(queries)?.hits;
    let batch = seconds(|| Ok(search(queries).map(drop)?))?;
    let singles = queries.len().min(SINGLES);
    let single = seconds(|| Ok((0..singles).try_for_each(|q| search(queries.slice(q..q + 1)).map(drop))?))?;
    let ids: Vec<Vec<i64>> = hits.rows().map(|row| row.ids.iter().map(|id| id.0).collect()).collect();
    println!(
        "{{\"qps\": {:.3}, \"qps_single\": {:.3}, \"ids\": {ids:?}}}",
        queries.len() as f64 / batch,
        singles as f64 / single,
    );
    Ok(())
}
