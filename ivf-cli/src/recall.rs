//! Recall of search results.

use crate::failure::Failure;
use ivf_core::{Hits, Id};
use ivf_io::read_vectors;
use std::collections::HashSet;
use std::path::Path;

/// Reads the first `k` true ids of each query. Rows of queries with fewer ids are padded with -1,
/// which is left out.
pub(crate) fn read_truth(path: &Path, queries: usize, k: usize) -> Result<Vec<Vec<Id>>, Failure> {
    let truth = read_vectors::<i64>(path)?;
    let rows = truth.rows();
    let misfit = |what: String| Failure::Failed(format!("the ground truth {} has {what}", path.display()));
    if rows.len() != queries {
        return Err(misfit(format!("{} rows for {queries} queries", rows.len())));
    }
    if rows.dim() < k {
        return Err(misfit(format!("rows of {} ids, too few for the first {k}", rows.dim())));
    }
    Ok(rows.iter().map(|row| row[..k].iter().filter(|&&id| id != -1).copied().map(Id).collect()).collect())
}

/// Returns recall@k: the fraction of the true nearest vectors that were found, over all queries.
/// `truth` has one row of true ids per query, with `k` ids if there are as many. Returns `None` if
/// it has no ids.
pub(crate) fn recall(hits: &Hits, truth: &[Vec<Id>]) -> Option<f64> {
    let wanted: usize = truth.iter().map(Vec::len).sum();
    let found: usize = hits
        .rows()
        .zip(truth)
        .map(|(row, truth)| {
            let ids: HashSet<Id> = row.ids.iter().copied().collect();
            truth.iter().filter(|id| ids.contains(id)).count()
        })
        .sum();
    (wanted > 0).then(|| found as f64 / wanted as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::{Location, Metric, Neighbor, Sink};

    #[test]
    fn recall_counts_what_was_found_of_what_is_true() {
        let mut sink = Sink::top_k(2);
        for id in [7, 8] {
            sink.push(Neighbor { distance: id as f32, id: Id(id), location: Location::default() });
        }
        let hits = Hits::from_sinks(Metric::L2, [sink, Sink::top_k(2)], false);
        assert_eq!(recall(&hits, &[vec![Id(8), Id(9)], vec![Id(1), Id(2)]]), Some(0.25));
        assert_eq!(recall(&hits, &[vec![], vec![]]), None);
    }
}
