//! Opens an index file and answers the first query, in a process of its own.
//!
//! Usage: `open read|open|map INDEX QUERIES NPROBE`.
//!
//! Prints the milliseconds until the index is open and until the query is answered, the growth of
//! resident memory in KiB, and the ids found.
//!
//! `benches/beside_faiss.py open` runs it, cold and warm, beside Faiss.

use ivf::io::{Map, read_vectors};
use ivf::{Executor, Index, SearchParams};
use std::error::Error;
use std::time::Instant;

/// Function that opens an index.
type Open = fn(&str) -> Result<Box<dyn Index>, Box<dyn Error>>;

const WAYS: [(&str, Open); 3] = [
    ("read", |path| Ok(ivf::read_index(path)?)),
    ("open", |path| Ok(ivf::open_index(path)?)),
    ("map", |path| {
        // SAFETY: the person who measures does not write to the file meanwhile.
        let map = unsafe { Map::open(path)? };
        Ok(ivf::open_mapped(map)?)
    }),
];

/// Returns the resident memory in KiB, or 0 on a system without Linux's `/proc/self/status`.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [way, path, queries, nprobe] = &args[..] else {
        println!("usage: open read|open|map INDEX QUERIES NPROBE (see benches/beside_faiss.py)");
        return Ok(());
    };
    let open = WAYS.iter().find(|(name, _)| name == way).ok_or("unknown way: expected read, open or map")?.1;
    let queries = read_vectors::<f32>(queries)?;
    let params = SearchParams::new().nprobe(nprobe.parse()?);
    // Starts the threads, as in a program that has been running.
    ivf::cpu::RayonGlobal.for_each(2, &|_| {});

    let before = resident();
    let start = Instant::now();
    let index = open(path)?;
    let opened = start.elapsed();
    let found = index.search(queries.rows().slice(0..1), 10, &params)?;
    let answered = start.elapsed();
    let grown = resident() - before;
    let ids: Vec<i64> = found.hits.row(0).ids.iter().map(|id| id.0).collect();
    println!(
        "{{\"open_ms\": {:.3}, \"first_ms\": {:.3}, \"kib\": {grown}, \"ids\": {ids:?}}}",
        opened.as_secs_f64() * 1e3,
        answered.as_secs_f64() * 1e3,
    );
    Ok(())
}
