//! Checks of the lists that a quantizer assigns.

use super::{Data, centroids};
use crate::data::{Vectors, uniform};
use crate::executor::Threads;
use crate::oracle;
use ivf_core::executor::Inline;
use ivf_core::{Executor, Level1Quantizer, ListNo, Metric, Probes, Rows, SearchParams};

/// A quantizer and its name in messages.
pub(super) struct Subject<'a> {
    pub(super) quantizer: &'a dyn Level1Quantizer,
    pub(super) at: String,
}

/// The lists of a row, with their coarse distances.
type Row = Vec<(Option<ListNo>, f32)>;

impl Subject<'_> {
    pub(super) fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, executor: &dyn Executor) -> Probes {
        let assigned = self.quantizer.assign(rows, nprobe, &SearchParams::new().executor(executor));
        assigned.unwrap_or_else(|error| panic!("{}: {nprobe} lists of {} rows: {error}", self.at, rows.len()))
    }
}

/// Returns the values of `nprobe` to test.
fn nprobes(nlist: usize) -> Vec<usize> {
    let mut nprobes = vec![1, 2, 3, 5, nlist.div_ceil(2), nlist.max(2) - 1, nlist, nlist + 7];
    nprobes.sort_unstable();
    nprobes.dedup();
    nprobes
}

/// Returns vectors like the training vectors, others, and the centroids themselves, among which
/// there may be ties.
fn queries(quantizer: &dyn Level1Quantizer, data: &Data) -> Vectors {
    let dim = data.queries.dim;
    let (mut others, mut own) = (uniform(72, 8, dim), centroids(quantizer));
    own.data.truncate(20 * dim);
    match quantizer.metric() {
        Some(Metric::Cosine) => others = others.unit(),
        Some(Metric::L2 | Metric::InnerProduct) | None => {}
        Some(_) => others.data.iter_mut().for_each(|x| *x = x.abs()),
    }
    Vectors { data: [&data.queries.data[..], &others.data, &own.data].concat(), dim }
}

/// Checks the contract of assignments and the quantizer's promise.
pub(super) fn check_assign(subject: &Subject<'_>, data: &Data) {
    let (quantizer, at) = (subject.quantizer, &subject.at);
    let (queries, centroids) = (queries(quantizer, data), centroids(quantizer));
    let all = subject.assign(queries.rows(), quantizer.nlist(), &Inline);
    for nprobe in nprobes(quantizer.nlist()) {
        let at = format!("{at}, nprobe {nprobe}");
        let probes = subject.assign(queries.rows(), nprobe, &Inline);
        assert_eq!(probes.len(), queries.len(), "{at}: rows of probes");
        let most = nprobe.min(quantizer.nlist());
        assert!(probes.nprobe() <= most, "{at}: {} probes a row, of {} lists", probes.nprobe(), quantizer.nlist());
        for (number, query) in queries.rows().iter().enumerate() {
            let at = format!("{at}, row {number}");
            let row: Row = probes.row(number).collect();
            check_order(&row, quantizer.nlist(), &at);
            if let Some(metric) = quantizer.metric() {
                check_distances(&row, query, &centroids, metric, &at);
                if quantizer.promise().exact {
                    check_exact(&row, (query, most), &centroids, metric, &at);
                }
            }
            if quantizer.promise().prefix {
                let begins = all.row(number).map(key).zip(row.iter().map(|probe| key(*probe))).all(|(a, b)| a == b);
                assert!(begins, "{at}: the lists {row:?} do not begin those for more probes");
            }
        }
    }
    check_recall(subject, data, &centroids);
    check_cuts(subject, &queries);
}

fn key((list, distance): (Option<ListNo>, f32)) -> (Option<ListNo>, u32) {
    (list, if list.is_some() { distance.to_bits() } else { 0 })
}

/// Checks the order of a row: no list twice or out of range, nearest first, ties by number, absent
/// lists last.
fn check_order(row: &Row, nlist: usize, at: &str) {
    let present: Vec<(ListNo, f32)> = row.iter().map_while(|(list, distance)| Some(((*list)?, *distance))).collect();
    let behind = row[present.len()..].iter().find(|(list, _)| list.is_some());
    assert!(behind.is_none(), "{at}: a list follows an absent one: {row:?}");
    let past = present.iter().find(|(list, _)| list.index() >= nlist);
    assert!(past.is_none(), "{at}: {past:?} is past the last of {nlist} lists");
    let mut lists: Vec<ListNo> = present.iter().map(|(list, _)| *list).collect();
    lists.sort_unstable();
    assert!(lists.windows(2).all(|pair| pair[0] != pair[1]), "{at}: a list stands twice: {row:?}");
    let ascends = |pair: &[(ListNo, f32)]| (pair[0].1, pair[0].0) < (pair[1].1, pair[1].0);
    assert!(present.windows(2).all(ascends), "{at}: the lists are not in the order of distances and numbers: {row:?}");
}

/// Returns the oracle's distance from a vector to a centroid, and the bound of rounding errors.
fn distance(metric: Metric, query: &[f32], centroid: &[f32]) -> (f32, f32) {
    let distance = oracle::distance(metric, query, centroid);
    let size: f32 = query.iter().zip(centroid).map(|(x, c)| (x.abs() + c.abs()).powi(2)).sum();
    (distance, 4.0 * query.len() as f32 * f32::EPSILON * (1.0 + size + distance.abs()))
}

fn check_distances(row: &Row, query: &[f32], centroids: &Vectors, metric: Metric, at: &str) {
    for (list, found) in row.iter().filter_map(|(list, distance)| Some(((*list)?, *distance))) {
        let (expected, bound) = distance(metric, query, centroids.rows().row(list.index()));
        assert!(
            (found - expected).abs() <= bound,
            "{at}: the coarse distance of list {list} is {found}, the oracle's {expected} (+- {bound})"
        );
    }
}

/// Checks that the lists are exactly the oracle's. If sums are rounded differently, lists at nearly
/// the same distances are accepted.
fn check_exact(row: &Row, (query, most): (&[f32], usize), centroids: &Vectors, metric: Metric, at: &str) {
    let mut all: Vec<(f32, ListNo)> = centroids
        .rows()
        .iter()
        .zip((0..).map(ListNo))
        .map(|(centroid, list)| (distance(metric, query, centroid).0, list))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let present = row.iter().filter(|(list, _)| list.is_some()).count();
    assert_eq!(present, most, "{at}: lists that an exact quantizer names");
    let same_bits = row.iter().zip(&all).all(|(found, expected)| found.1.to_bits() == expected.0.to_bits());
    for (place, ((list, found), (nearest, expected))) in
        row.iter().zip(all.iter().map(|(d, list)| (list, d))).enumerate()
    {
        let bound = distance(metric, query, centroids.rows().row(nearest.index())).1;
        let is_right = if same_bits { *list == Some(*nearest) } else { (found - expected).abs() <= 2.0 * bound };
        assert!(is_right, "{at}, place {place}: {list:?} at {found}, but list {nearest} is at {expected}");
    }
}

/// Checks that the first list is the nearest one for most vectors that resemble the training data.
fn check_recall(subject: &Subject<'_>, data: &Data, centroids: &Vectors) {
    let Some(metric) = subject.quantizer.metric() else { return };
    let probes = subject.assign(data.queries.rows(), 1, &Inline);
    let is_nearest = |(number, query): (usize, &[f32])| {
        let distances = centroids.rows().iter().map(|centroid| distance(metric, query, centroid));
        let (nearest, bound) = distances.min_by(|a, b| a.0.total_cmp(&b.0)).expect("there are lists");
        probes.row(number).next().is_some_and(|(list, found)| list.is_some() && found <= nearest + 2.0 * bound)
    };
    let hits = data.queries.rows().iter().enumerate().filter(|query| is_nearest(*query)).count();
    let n = data.queries.len();
    assert!(2 * hits > n, "{}: the first list is the nearest one for {hits} of {n} vectors", subject.at);
}

/// Checks batches of one, of seven, of all and of no vectors, on one thread and on four.
fn check_cuts(subject: &Subject<'_>, queries: &Vectors) {
    let (at, nprobe) = (&subject.at, subject.quantizer.nlist().min(4));
    let rows = |probes: &Probes| -> Vec<_> {
        (0..probes.len()).map(|row| probes.row(row).map(key).collect::<Vec<_>>()).collect()
    };
    let whole = rows(&subject.assign(queries.rows(), nprobe, &Inline));
    let threads: [&dyn Executor; 2] = [&Inline, &Threads(4)];
    for (executor, cut) in threads.into_iter().flat_map(|executor| [1, 7, queries.len()].map(|cut| (executor, cut))) {
        let starts = (0..queries.len()).step_by(cut);
        let pieces = starts.map(|start| queries.rows().slice(start..(start + cut).min(queries.len())));
        let found: Vec<_> = pieces.flat_map(|piece| rows(&subject.assign(piece, nprobe, executor))).collect();
        let place = found.iter().zip(&whole).position(|(found, whole)| found != whole);
        assert!(
            found == whole,
            "{at}: row {place:?} depends on the cut into pieces of {cut}, or on {} threads",
            executor.threads()
        );
    }
    let none = subject.assign(queries.rows().slice(0..0), nprobe, &Inline);
    assert!(none.is_empty(), "{at}: probes of no rows");
}

/// Asserts that two quantizers assign the same lists at the same distances.
pub(super) fn same_assignments(found: &dyn Level1Quantizer, expected: &dyn Level1Quantizer, data: &Data, at: &str) {
    let queries = queries(expected, data);
    let [found, expected] = [found, expected].map(|quantizer| Subject { quantizer, at: at.to_owned() });
    for nprobe in nprobes(expected.quantizer.nlist()) {
        let [found, expected] = [&found, &expected].map(|subject| subject.assign(queries.rows(), nprobe, &Inline));
        for row in 0..queries.len() {
            let (found, expected): (Row, Row) = (found.row(row).collect(), expected.row(row).collect());
            let same = found.iter().map(|probe| key(*probe)).eq(expected.iter().map(|probe| key(*probe)));
            assert!(same, "{at}, nprobe {nprobe}, row {row}: the lists are {found:?}, expected {expected:?}");
        }
    }
}
