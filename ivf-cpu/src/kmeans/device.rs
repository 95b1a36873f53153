//! Assignment of points to their nearest centroids on a device.

use super::lloyd::Assign;
use super::update::Sums;
use ivf_core::accelerator::KMeansPoints;
use ivf_core::error::TrainError;
use ivf_core::{Executor, Rows};

/// The nearest centroid of each point, copies included, and its distance.
pub(super) struct DeviceAssignment<'a> {
    points: Box<dyn KMeansPoints + 'a>,
    numbers: Vec<u32>,
    distances: Vec<f32>,
}

impl<'a> DeviceAssignment<'a> {
    /// Creates the state of `len` points before the first round.
    pub(super) fn new(points: Box<dyn KMeansPoints + 'a>, len: usize) -> Self {
        Self { points, numbers: vec![0; len], distances: vec![0.0; len] }
    }
}

impl Assign for DeviceAssignment<'_> {
    fn round(&mut self, centroids: Rows<'_, f32>) -> Result<(), TrainError> {
        self.points.assign(centroids, &mut self.numbers, &mut self.distances)?;
        check(&self.numbers, centroids.len())
    }

    fn number(&self, i: usize) -> u32 {
        self.numbers[i]
    }

    fn distance(&self, i: usize) -> f32 {
        self.distances[i]
    }

    fn add_to(&mut self, sums: &mut Sums, _: Rows<'_, f32>, _: &dyn Executor) -> Result<(), TrainError> {
        sums.set(&self.numbers, |sums| self.points.sums(sums))
    }
}

/// Checks that a device has returned numbers of `k` centroids.
pub(super) fn check(numbers: &[u32], k: usize) -> Result<(), TrainError> {
    match numbers.iter().find(|number| **number as usize >= k) {
        Some(number) => Err(TrainError::Device(format!("it returned centroid {number} of {k}").into())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coarse::nearest;
    use crate::kernels::PackedRows;
    use crate::kmeans::KMeans;
    use ivf_core::executor::Inline;
    use ivf_core::params::KMeansStart;
    use ivf_core::{KMeansDevice, Metric, TrainOptions, TrainReport};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A device that counts its calls.
    #[derive(Debug, Default)]
    struct Plain {
        points: AtomicUsize,
        assignments: AtomicUsize,
        sums: AtomicUsize,
        /// The metric that it refuses.
        refused: Option<Metric>,
        /// Number of the call that fails, of all assignments and sums.
        fails_at: Option<usize>,
        /// Added to the numbers of centroids.
        shift: u32,
    }

    impl Plain {
        fn count(&self, calls: &AtomicUsize) -> Result<(), TrainError> {
            calls.fetch_add(1, Ordering::Relaxed);
            let all = self.assignments.load(Ordering::Relaxed) + self.sums.load(Ordering::Relaxed);
            if self.fails_at == Some(all) { Err(TrainError::Device("no power".into())) } else { Ok(()) }
        }

        /// Returns the numbers of calls so far: of points, assignments and sums.
        fn calls(&self) -> [usize; 3] {
            [&self.points, &self.assignments, &self.sums].map(|calls| calls.load(Ordering::Relaxed))
        }
    }

    struct PlainPoints<'p> {
        device: &'p Plain,
        points: Rows<'p, f32>,
        metric: Metric,
        numbers: Vec<u32>,
    }

    impl KMeansDevice for Plain {
        fn points<'p>(
            &'p self,
            points: Rows<'p, f32>,
            metric: Metric,
        ) -> Result<Option<Box<dyn KMeansPoints + 'p>>, TrainError> {
            self.points.fetch_add(1, Ordering::Relaxed);
            if self.refused == Some(metric) {
                return Ok(None);
            }
            Ok(Some(Box::new(PlainPoints { device: self, points, metric, numbers: Vec::new() })))
        }
    }

    impl KMeansPoints for PlainPoints<'_> {
        fn assign(
            &mut self,
            centroids: Rows<'_, f32>,
            numbers: &mut [u32],
            distances: &mut [f32],
        ) -> Result<(), TrainError> {
            self.device.count(&self.device.assignments)?;
            nearest(self.points, &PackedRows::new(centroids), self.metric, &Inline, numbers, distances);
            numbers.iter_mut().for_each(|number| *number += self.device.shift);
            self.numbers = numbers.to_vec();
            Ok(())
        }

        fn sums(&mut self, sums: &mut [f64]) -> Result<(), TrainError> {
            self.device.count(&self.device.sums)?;
            sums.fill(0.0);
            let dim = self.points.dim();
            for (point, &number) in self.points.iter().zip(&self.numbers) {
                let sum = &mut sums[number as usize * dim..][..dim];
                sum.iter_mut().zip(point).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            Ok(())
        }
    }

    /// Returns points. About a third are copies of others, and a third hold zeros of both signs.
    fn points(n: usize, dim: usize) -> Vec<f32> {
        let value = |i: usize| (i * 7919 % 1013) as f32 / 512.0 - 0.9;
        let of = |row: usize, d: usize| match row % 3 {
            0 => value(row * dim + d),
            1 => value((row / 9 * 3) * dim + d),
            _ => {
                if (row + d).is_multiple_of(2) {
                    -0.0
                } else {
                    0.0
                }
            }
        };
        (0..n * dim).map(|i| of(i / dim, i % dim)).collect()
    }

    type Learnt = (Vec<u32>, TrainReport);

    /// Trains some centroids. They come as bits.
    fn learn(
        k: usize,
        metric: Metric,
        points: Rows<'_, f32>,
        options: &TrainOptions<'_>,
    ) -> Result<Learnt, TrainError> {
        let (centroids, report) = KMeans::new(k, metric).train(points.into(), options)?;
        Ok((centroids.into_iter().map(f32::to_bits).collect(), report))
    }

    #[test]
    fn centroids_are_those_of_the_cpu() {
        for dim in [1, 3, 8, 13] {
            let data = points(600, dim);
            let points = Rows::new(&data, dim).unwrap();
            for (k, metric) in
                [(1, Metric::L2), (20, Metric::L2), (20, Metric::InnerProduct), (7, Metric::L1), (580, Metric::L2)]
            {
                for start in [KMeansStart::Random, KMeansStart::PlusPlus] {
                    let options = TrainOptions::new().start(start).iterations(6);
                    let device = Plain::default();
                    let found = learn(k, metric, points, &options.device(&device)).unwrap();
                    assert_eq!(found, learn(k, metric, points, &options).unwrap(), "{dim}, {k}, {metric}");
                    assert_eq!(device.calls(), [1, 6, 6]);
                }
            }
        }
    }

    #[test]
    fn variants_use_the_device_where_they_can() {
        let data = points(2000, 6);
        let points = Rows::new(&data, 6).unwrap();
        let options = TrainOptions::new().iterations(4);
        for (options, calls) in [
            (options.mini_batch(300), [4, 4, 0]),
            (options.two_level(true), [1, 4, 4]),
            (options.balanced(true), [0, 0, 0]),
            (options.balanced(true).two_level(true), [1, 4, 4]),
            (options.iterations(0), [1, 0, 0]),
        ] {
            for metric in [Metric::L2, Metric::InnerProduct] {
                let device = Plain::default();
                let found = learn(30, metric, points, &options.device(&device)).unwrap();
                assert_eq!(found, learn(30, metric, points, &options).unwrap(), "{metric}, {options:?}");
                assert_eq!(device.calls(), calls, "{options:?}");

                let refusing = Plain { refused: Some(metric), ..Plain::default() };
                assert_eq!(found, learn(30, metric, points, &options.device(&refusing)).unwrap());
                assert_eq!(refusing.calls(), [calls[0], 0, 0], "{options:?}");
            }
        }
    }

    #[test]
    fn a_device_that_fails_is_a_typed_error() {
        let data = points(300, 4);
        let points = Rows::new(&data, 4).unwrap();
        for options in [TrainOptions::new(), TrainOptions::new().mini_batch(50)] {
            for fails_at in [1, 2] {
                let device = Plain { fails_at: Some(fails_at), ..Plain::default() };
                let error = learn(5, Metric::L2, points, &options.device(&device)).unwrap_err();
                assert!(matches!(&error, TrainError::Device(source) if source.to_string() == "no power"), "{error}");
            }
            let device = Plain { shift: 5, ..Plain::default() };
            let error = learn(5, Metric::L2, points, &options.device(&device)).unwrap_err();
            let TrainError::Device(source) = &error else { panic!("{error}") };
            assert!(source.to_string().ends_with("of 5"), "{source}");
        }
    }
}
