//! Whole searches with the public API: recall first, then the time.
//!
//! `cargo bench --bench search` runs over the bundled word vectors. With
//! `IVF_BENCH_SET=<path>/<name>`, it reads `<name>_base.fvecs`, `<name>_query.fvecs` and
//! `<name>_groundtruth.ivecs`. `IVF_BENCH_METRIC` sets the metric (default `ip`), and
//! `IVF_BENCH_FACTORY` the index (default `IVF256,Flat`). Every line is measured in the same run:
//! compare lines, not runs.

use ivf::cpu::RayonPool;
use ivf::{Executor, Hits, Metric, ParallelMode, Rows, SearchParams};
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

const K: usize = 10;

struct Set {
    dim: usize,
    base: Vec<f32>,
    queries: Vec<f32>,
    /// True neighbours, `K` for each query.
    truth: Vec<Vec<i64>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let metric: Metric = std::env::var("IVF_BENCH_METRIC").unwrap_or_else(|_| "ip".to_owned()).parse()?;
    let factory = std::env::var("IVF_BENCH_FACTORY").unwrap_or_else(|_| "IVF256,Flat".to_owned());
    let set = match std::env::var_os("IVF_BENCH_SET") {
        Some(prefix) => from_files(prefix.into())?,
        None => from_words(metric)?,
    };
    let (base, queries) = (Rows::new(&set.base, set.dim)?, Rows::new(&set.queries, set.dim)?);
    let mut index = ivf::build(&factory, set.dim, metric)?;
    let started = Instant::now();
    index.train(base)?;
    let trained = started.elapsed();
    index.add(base)?;
    println!("{factory}, {metric}: {} x {}, {} queries", base.len(), set.dim, queries.len());
    println!("train {:.2} s, add {:.2} s", trained.as_secs_f64(), (started.elapsed() - trained).as_secs_f64());
    println!("{:>6} {:>16} {:>7} {:>9} {:>9}", "nprobe", "mode", "threads", "recall@10", "QPS");
    let pools = [RayonPool::new(1)?, RayonPool::new(2)?];
    for nprobe in [1, 4, 16, 64] {
        for mode in ParallelMode::ALL {
            for pool in &pools {
                let params = SearchParams::new().nprobe(nprobe).mode(mode).executor(pool);
                let recall = recall(&index.search(queries, K, &params)?.hits, &set.truth);
                assert!(nprobe < 64 || recall > 0.9, "recall {recall} at nprobe {nprobe} is too low for a valid time");
                let qps = (0..3).map(|_| -> Result<f64, Box<dyn Error>> {
                    let started = Instant::now();
                    index.search(queries, K, &params)?;
                    Ok(queries.len() as f64 / started.elapsed().as_secs_f64())
                });
                let qps = qps.collect::<Result<Vec<_>, _>>()?.into_iter().fold(0.0, f64::max);
                println!("{nprobe:>6} {:>16} {:>7} {recall:>9.4} {qps:>9.0}", format!("{mode:?}"), pool.threads());
            }
        }
    }
    Ok(())
}

fn from_files(prefix: PathBuf) -> Result<Set, Box<dyn Error>> {
    let file = |ending: &str| PathBuf::from(format!("{}_{ending}", prefix.display()));
    let base = ivf::io::read_vectors(file("base.fvecs"))?;
    let queries = ivf::io::read_vectors(file("query.fvecs"))?;
    let truth = ivf::io::read_vectors::<i64>(file("groundtruth.ivecs"))?;
    let truth = truth.rows().iter().map(|row| row.iter().take(K).copied().collect()).collect();
    Ok(Set { dim: base.dim(), base: base.into_data(), queries: queries.into_data(), truth })
}

/// Returns the bundled word vectors. Every twentieth is a query, and the true neighbours come from
/// exhaustive search.
fn from_words(metric: Metric) -> Result<Set, Box<dyn Error>> {
    const DIM: usize = 100;
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/ivf-cli/data/words.f16"))?;
    let vectors: Vec<f32> =
        bytes.chunks_exact(2).map(|half| half::f16::from_le_bytes([half[0], half[1]]).to_f32()).collect();
    let (mut base, mut queries) = (Vec::new(), Vec::new());
    for (i, vector) in vectors.chunks_exact(DIM).enumerate() {
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        let set = if i % 20 == 10 { &mut queries } else { &mut base };
        set.extend(vector.iter().map(|x| x / norm));
    }
    let mut exact = ivf::build("Flat", DIM, metric)?;
    exact.add(Rows::new(&base, DIM)?)?;
    let found = exact.search(Rows::new(&queries, DIM)?, K, &SearchParams::new())?;
    let truth = found.hits.rows().map(|row| row.ids.iter().map(|id| id.0).collect()).collect();
    Ok(Set { dim: DIM, base, queries, truth })
}

fn recall(hits: &Hits, truth: &[Vec<i64>]) -> f64 {
    let found: usize =
        hits.rows().zip(truth).map(|(row, truth)| row.ids.iter().filter(|id| truth.contains(&id.0)).count()).sum();
    found as f64 / truth.iter().map(Vec::len).sum::<usize>() as f64
}
