//! The rounds of Lloyd's algorithm, for every assignment of points to centroids.

use super::assign::{Assignment, Bytes};
use super::balance::Penalties;
use super::device::DeviceAssignment;
use super::distinct::Distinct;
use super::update::{self, Sums};
use super::{KMeans, Random, normalize_rows};
use ivf_core::error::TrainError;
use ivf_core::executor::Executor;
use ivf_core::{KMeansDevice, Rows, TrainOptions};

/// A way to assign points to their nearest centroids, or to near ones.
pub(super) trait Assign {
    /// Assigns the points to these centroids.
    fn round(&mut self, centroids: Rows<'_, f32>) -> Result<(), TrainError>;

    /// Returns the number of the centroid of point `i`.
    fn number(&self, i: usize) -> u32;

    /// Returns the distance of point `i` from its centroid.
    fn distance(&self, i: usize) -> f32;

    /// Adds each point to the sum of its centroid. The sums are of no points so far.
    fn add_to(&mut self, sums: &mut Sums, points: Rows<'_, f32>, executor: &dyn Executor) -> Result<(), TrainError> {
        sums.add(points, |i| self.number(i), executor);
        Ok(())
    }
}

/// Rounds over some points.
pub(super) struct Lloyd<'a> {
    pub(super) kmeans: &'a KMeans,
    /// The points. With penalties, they have one more dimension.
    pub(super) points: Rows<'a, f32>,
    pub(super) options: &'a TrainOptions<'a>,
    pub(super) executor: &'a dyn Executor,
    /// Number of the first rounds in which large clusters are divided, for balanced sizes.
    pub(super) dividing: usize,
    /// Assigns the points in place of the CPU, without penalties.
    pub(super) device: Option<&'a dyn KMeansDevice>,
    /// Name of the rounds in progress reports. `None` reports nothing.
    pub(super) stage: Option<&'static str>,
}

/// What some rounds did.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Sum of the distances of the points, for each round, before the centroids moved.
    pub(super) objectives: Vec<f64>,
    /// Number of empty or small clusters that took half of another one.
    pub(super) splits: usize,
}

impl Lloyd<'_> {
    /// Runs rounds that compare each point with all centroids.
    pub(super) fn run_plain(
        &self,
        centroids: &mut [f32],
        rounds: usize,
        penalties: &mut Option<Penalties>,
        random: &mut Random,
    ) -> Result<Rounds, TrainError> {
        if let Some(device) = self.device.filter(|_| penalties.is_none())
            && let Some(points) = device.points(self.points, self.kmeans.metric)?
        {
            let mut assignment = DeviceAssignment::new(points, self.points.len());
            return self.run(&mut assignment, centroids, rounds, penalties, random);
        }
        let distinct = Distinct::new(self.points, self.executor);
        let mut bytes = Bytes::new(&distinct, self.kmeans.metric);
        let mut assignment = Assignment::new(&distinct, self.kmeans.metric, self.executor, &mut bytes);
        self.run(&mut assignment, centroids, rounds, penalties, random)
    }

    /// Runs rounds. Each assigns the points and moves every centroid to the mean of its points. A
    /// centroid without points takes half of another cluster. Penalties are counted in distances,
    /// but not in the objectives.
    ///
    /// The number of rounds has no limit: a caller that means to cancel asks for more rounds than
    /// there is time for.
    pub(super) fn run(
        &self,
        assignment: &mut dyn Assign,
        centroids: &mut [f32],
        rounds: usize,
        penalties: &mut Option<Penalties>,
        random: &mut Random,
    ) -> Result<Rounds, TrainError> {
        let Self { kmeans, points, options, executor, dividing, stage, .. } = self;
        let (width, mut done) = (points.dim(), Rounds::default());
        let mut sums = Sums::new(centroids.len() / width, width);
        for round in 0..rounds {
            options.check_cancel()?;
            if let Some(penalties) = penalties {
                penalties.write(centroids);
            }
            assignment.round(Rows::new(centroids, width).expect("whole centroids"))?;
            let mut objective: f64 = (0..points.len()).map(|i| f64::from(assignment.distance(i))).sum();
            sums.clear();
            assignment.add_to(&mut sums, *points, *executor)?;
            if let Some(penalties) = penalties {
                objective -= penalties.of(&sums.sizes);
                penalties.update(&sums.sizes, objective, round);
            }
            done.objectives.push(objective);
            sums.write_means(centroids);
            if round < *dividing {
                done.splits += update::split_large(centroids, &mut sums.sizes, width);
            }
            done.splits += update::split_empty(centroids, &mut sums.sizes, width, random);
            if kmeans.spherical {
                normalize_rows(centroids, width, width - usize::from(penalties.is_some()));
            }
            if let (Some(stage), Some(progress)) = (stage, options.progress) {
                progress.step(stage, round as u64 + 1, rounds as u64);
            }
        }
        Ok(done)
    }
}
