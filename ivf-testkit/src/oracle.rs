//! The oracle: every metric by its definition, and exhaustive search.
//!
//! Each metric is a plain loop over the dimensions in order. Where there is a product, each step of
//! the sum is one fused multiply-add. The kernels of the library use the same order, so their
//! results must be bit-identical to these.

use ivf_core::{Id, Metric, Rows};

/// Returns the internal distance between two vectors: smaller is closer, a similarity is negated.
///
/// # Panics
/// If the lengths differ, or the oracle does not know the metric.
pub fn distance(metric: Metric, query: &[f32], vector: &[f32]) -> f32 {
    assert_eq!(query.len(), vector.len(), "vectors of one dimension");
    let pairs = || query.iter().copied().zip(vector.iter().copied());
    let sum = |term: fn(f32, f32) -> f32| pairs().fold(0.0, |sum, (x, y)| sum + term(x, y));
    match metric {
        Metric::L2 => pairs().fold(0.0, |sum: f32, (x, y)| {
            let d = x - y;
            d.mul_add(d, sum)
        }),
        Metric::InnerProduct => pairs().fold(0.0, |sum, (x, y)| (-x).mul_add(y, sum)),
        Metric::Cosine => distance(Metric::InnerProduct, &unit(query), &unit(vector)),
        Metric::L1 => sum(|x, y| (x - y).abs()),
        Metric::Linf => pairs().fold(0.0, |max: f32, (x, y)| max.max((x - y).abs())),
        Metric::Lp(p) => pairs().fold(0.0, |sum, (x, y)| sum + (x - y).abs().powf(p)),
        Metric::Canberra => sum(|x, y| {
            let size = x.abs() + y.abs();
            if size > 0.0 { (x - y).abs() / size } else { 0.0 }
        }),
        Metric::BrayCurtis => {
            let (num, den) = (sum(|x, y| (x - y).abs()), sum(|x, y| (x + y).abs()));
            if den == 0.0 { 0.0 } else { num / den }
        }
        Metric::JensenShannon => {
            let divergence = sum(|x, y| {
                let mean = (x + y) * 0.5;
                let term = |v: f32| if v > 0.0 { v * (v / mean).ln() } else { 0.0 };
                term(x) + term(y)
            });
            divergence * 0.5
        }
        Metric::Jaccard => {
            let (num, den) = (sum(f32::min), sum(f32::max));
            if den == 0.0 { 0.0 } else { -(num / den) }
        }
        _ => panic!("the oracle has no definition of the metric {metric}"),
    }
}

/// Returns the vector divided by its length, which the metric `Cosine` compares. The length is
/// computed in `f64`. The elements are NaN if the length is zero.
pub fn unit(vector: &[f32]) -> Vec<f32> {
    let norm = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    vector.iter().map(|&x| (f64::from(x) / norm) as f32).collect()
}

/// Returns the true neighbours of each query, nearest first, ties by id, with user-facing
/// distances.
///
/// Only base vectors whose ids `keep` accepts, and that lie strictly within `radius` (a user-facing
/// value too), count. Of these, the result has the nearest `k`.
///
/// # Panics
/// If the number of ids is not the number of base vectors, or the dimensions differ.
pub fn exact(
    metric: Metric,
    base: Rows<'_, f32>,
    ids: &[Id],
    queries: Rows<'_, f32>,
    k: Option<usize>,
    radius: Option<f32>,
    keep: impl Fn(Id) -> bool,
) -> Vec<Vec<(Id, f32)>> {
    assert_eq!(base.len(), ids.len(), "one id per vector");
    let within = |d: f32| !d.is_nan() && radius.is_none_or(|radius| d < metric.to_user_distance(radius));
    let nearest = |query: &[f32]| {
        let mut all: Vec<(f32, Id)> = base
            .iter()
            .zip(ids)
            .filter(|(_, id)| keep(**id))
            .map(|(vector, id)| (distance(metric, query, vector), *id))
            .filter(|(d, _)| within(*d))
            .collect();
        all.sort_by(|a, b| a.0.partial_cmp(&b.0).expect("no NaN").then(a.1.cmp(&b.1)));
        all.truncate(k.unwrap_or(usize::MAX));
        all.into_iter().map(|(d, id)| (id, metric.to_user_distance(d))).collect()
    };
    queries.iter().map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_their_textbook_values() {
        let (x, y) = ([1.0, 2.0, 0.0], [3.0, 1.0, 0.0]);
        for (metric, expected) in [
            (Metric::L2, 5.0),
            (Metric::InnerProduct, -5.0),
            (Metric::Cosine, -5.0 / 50.0_f32.sqrt()),
            (Metric::L1, 3.0),
            (Metric::Linf, 2.0),
            (Metric::Lp(3.0), 9.0),
            (Metric::Canberra, 0.5 + 1.0 / 3.0),
            (Metric::BrayCurtis, 3.0 / 7.0),
            (
                Metric::JensenShannon,
                0.5 * (0.5_f32.ln() + 3.0 * 1.5_f32.ln() + 2.0 * (2.0_f32 / 1.5).ln() + (1.0_f32 / 1.5).ln()),
            ),
            (Metric::Jaccard, -2.0 / 5.0),
        ] {
            let found = distance(metric, &x, &y);
            assert!((found - expected).abs() < 1e-6, "{metric}: {found}, not {expected}");
        }
        for metric in [Metric::Canberra, Metric::BrayCurtis, Metric::JensenShannon, Metric::Jaccard] {
            assert_eq!(distance(metric, &[0.0; 3], &[0.0; 3]), 0.0, "{metric}: 0 / 0 is 0");
        }
    }

    #[test]
    fn exact_filters_cuts_and_orders() {
        let base = [0.0, 1.0, 2.0, 1.0];
        let ids = [Id(9), Id(8), Id(7), Id(-1)];
        let found = |metric, k, radius, keep: &dyn Fn(Id) -> bool| {
            let (base, query) = (Rows::new(&base, 1).unwrap(), Rows::new(&[1.0], 1).unwrap());
            exact(metric, base, &ids, query, k, radius, keep).remove(0)
        };
        let all = [(Id(-1), 0.0), (Id(8), 0.0), (Id(7), 1.0), (Id(9), 1.0)];
        assert_eq!(found(Metric::L2, None, None, &|_| true), all);
        assert_eq!(found(Metric::L2, Some(3), None, &|_| true), all[..3]);
        assert_eq!(found(Metric::L2, None, Some(1.0), &|_| true), all[..2]);
        assert_eq!(found(Metric::L2, None, Some(1.0), &|id| id.0 > 0), all[1..2]);
        assert_eq!(found(Metric::InnerProduct, None, Some(1.0), &|_| true), [(Id(7), 2.0)]);
    }
}
