//! k-means: seconds and objective, with 1 and 2 threads.
//!
//! Run `IVF_BENCH_SET=<path>/<name> cargo bench --bench kmeans`. It reads `<name>_base.fvecs`.
//! `IVF_BENCH_METRIC` sets the metric (default `ip`), and `IVF_BENCH_THREADS` the numbers of
//! threads (default `1,2`). It trains 1,024 centroids of 262,144 points (or of all points, if there
//! are fewer) in 10 rounds.

use ivf::cpu::{KMeans, RayonPool};
use ivf::{Metric, Rows, TrainOptions};
use std::error::Error;
use std::time::Instant;

const CENTROIDS: usize = 1024;
const POINTS: usize = 262_144;

fn main() -> Result<(), Box<dyn Error>> {
    let metric: Metric = std::env::var("IVF_BENCH_METRIC").unwrap_or_else(|_| "ip".to_owned()).parse()?;
    let Some(prefix) = std::env::var_os("IVF_BENCH_SET") else {
        println!("IVF_BENCH_SET is not set: nothing to do");
        return Ok(());
    };
    let base = ivf::io::read_vectors::<f32>(format!("{}_base.fvecs", prefix.display()))?;
    let base: Rows<'_, f32> = base.rows();
    let points = base.slice(0..base.len().min(POINTS));
    let threads = std::env::var("IVF_BENCH_THREADS").unwrap_or_else(|_| "1,2".to_owned());
    for threads in threads.split(',') {
        let threads = threads.parse()?;
        let pool = RayonPool::new(threads)?;
        let options = TrainOptions::new().executor(&pool).max_points_per_centroid(usize::MAX);
        let mut times = Vec::new();
        let mut objective = 0.0;
        for _ in 0..3 {
            let started = Instant::now();
            let (_, report) = KMeans::new(CENTROIDS, metric).train(points.into(), &options)?;
            times.push(started.elapsed().as_secs_f64());
            objective = report.objectives[0][9];
        }
        times.sort_by(f64::total_cmp);
        let each = metric.to_user_distance(objective as f32) / points.len() as f32;
        println!(
            "{threads} threads: {:.2} s (median of 3), objective {each:.5} per point after 10 assignments",
            times[1]
        );
    }
    Ok(())
}
