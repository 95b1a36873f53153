//! Mini-batch k-means: each round draws a few points anew and moves the centroids by them.

use super::update::Sums;
use super::{KMeans, Random, device, normalize_rows, sample, update};
use crate::coarse::nearest;
use crate::executor::executor_for;
use crate::kernels::PackedRows;
use ivf_core::error::TrainError;
use ivf_core::{AnyRows, Rows, TrainOptions, TrainReport};

/// Runs rounds over `batch` rows each (Sculley, "Web-scale k-means clustering", WWW 2010). A
/// centroid is the mean of all points that were assigned to it in any round so far. This equals
/// Sculley's learning rate of 1/n. The time and memory of a round depend on the
/// batch only. A centroid that was near no batch takes half of another cluster after the last
/// round.
pub(super) fn train(
    kmeans: &KMeans,
    rows: AnyRows<'_>,
    batch: usize,
    centroids: &mut [f32],
    options: &TrainOptions<'_>,
    random: &mut Random,
) -> Result<TrainReport, TrainError> {
    let (k, dim) = (kmeans.k, rows.dim());
    let batch = batch.clamp(1, rows.len());
    let executor = executor_for(options.executor, batch * dim * k);
    let rounds = options.iterations.unwrap_or(kmeans.iterations);
    let (mut numbers, mut distances) = (vec![0; batch], vec![0.0; batch]);
    let (mut sums, mut objectives) = (Sums::new(k, dim), Vec::new());
    for round in 0..rounds {
        options.check_cancel()?;
        let mut scratch = Vec::new();
        let points = sample::sample(rows, batch, random, &mut scratch);
        let present = Rows::new(centroids, dim).expect("k rows");
        let on_device = options.device.map(|device| device.points(points, kmeans.metric)).transpose()?.flatten();
        if let Some(mut on_device) = on_device {
            on_device.assign(present, &mut numbers, &mut distances)?;
            device::check(&numbers, k)?;
        } else {
            nearest(points, &PackedRows::new(present), kmeans.metric, executor, &mut numbers, &mut distances);
        }
        let objective: f64 = distances.iter().map(|&d| f64::from(d)).sum();
        objectives.push(objective * (rows.len() as f64 / batch as f64));
        sums.add(points, |i| numbers[i], executor);
        sums.write_means(centroids);
        if kmeans.spherical {
            normalize_rows(centroids, dim, dim);
        }
        if let Some(progress) = options.progress {
            progress.step("k-means", round as u64 + 1, rounds as u64);
        }
    }
    let mut report = TrainReport::default();
    report.points = rows.len();
    if rounds > 0 {
        report.splits = update::split_empty(centroids, &mut sums.sizes, dim, random);
        if kmeans.spherical {
            normalize_rows(centroids, dim, dim);
        }
    }
    report.objectives.push(objectives);
    Ok(report)
}
