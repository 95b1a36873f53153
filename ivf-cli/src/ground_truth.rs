//! Ground truth from files: the true nearest ids of each query, and their distances.

use crate::failure::{self, Failure};
use ivf_core::{Hits, Id, IdSelector, Index, Metric, Rows, SearchParam, SearchParams};
use ivf_io::{VectorReader, VectorType, read_vectors};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The files of a ground truth, as arguments of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TruthFiles<'a> {
    /// True ids, a row per query.
    pub(crate) ids: &'a Path,
    /// Distances of these ids, in rows of the same length.
    pub(crate) distances: Option<&'a Path>,
}

/// The true neighbours of each query, nearest first.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    path: PathBuf,
    k: usize,
    ids: Vec<Vec<Id>>,
    /// Internal distances (smaller is closer) of the ids.
    distances: Option<Vec<Vec<f32>>>,
}

impl Truth {
    /// Reads the first `k` true neighbours of each query, or all if the rows are shorter, with a
    /// warning. Rows of queries with fewer neighbours are padded with id -1, which is left out.
    ///
    /// # Errors
    /// [`Failure`] if a file cannot be read, if the ids are floats, if a file does not have a row
    /// for each query, if the two files differ in the length of their rows, or if there is no id at
    /// all.
    pub(crate) fn read(files: TruthFiles<'_>, queries: usize, k: usize, metric: Metric) -> Result<Self, Failure> {
        let reader = VectorReader::open(files.ids)?;
        if let VectorType::F16 | VectorType::F32 | VectorType::F64 = reader.element() {
            return Err(Failure::Failed(format!("{} holds floats; ground truth must be ids", files.ids.display())));
        }
        let read = reader.read_all::<i64>()?;
        let rows = read.rows();
        let misfit = |path: &Path, what| Failure::Failed(format!("the ground truth {} has {what}", path.display()));
        if rows.len() != queries {
            return Err(misfit(files.ids, format!("{} rows for {queries} queries", rows.len())));
        }
        let width = k.min(rows.dim());
        if width < k {
            let path = files.ids.display();
            failure::say(format_args!(
                "warning: {path} has rows of {width} ids: recall is measured at {width}, not {k}"
            ));
        }
        let is_id = |id: &i64| *id != -1;
        let ids: Vec<Vec<Id>> =
            rows.iter().map(|row| row[..width].iter().copied().filter(is_id).map(Id).collect()).collect();
        if ids.iter().all(Vec::is_empty) && queries > 0 {
            return Err(Failure::Failed(format!("{} contains no neighbours", files.ids.display())));
        }
        let distances = files.distances.map(|path| -> Result<Vec<Vec<f32>>, Failure> {
            let distances = read_vectors::<f32>(path)?;
            let distances = distances.rows();
            if (distances.len(), distances.dim()) != (rows.len(), rows.dim()) {
                let (found, dim) = (distances.len(), distances.dim());
                let what = format!("{found} rows of {dim} distances for {} rows of {} ids", rows.len(), rows.dim());
                return Err(misfit(path, what));
            }
            let of_row = |(ids, distances): (&[i64], &[f32])| -> Vec<f32> {
                let pairs = ids[..width].iter().zip(distances).filter(|(id, _)| is_id(id));
                pairs.map(|(_, distance)| metric.to_user_distance(*distance)).collect()
            };
            Ok(rows.iter().zip(distances.iter()).map(of_row).collect())
        });
        Ok(Self { path: files.ids.to_owned(), k: width, ids, distances: distances.transpose()? })
    }

    /// Makes a ground truth of the results of an exact search.
    pub(crate) fn of_hits(hits: &Hits, k: usize) -> Self {
        let ids = hits.rows().map(|row| row.ids.to_vec()).collect();
        Self { path: PathBuf::new(), k, ids, distances: None }
    }

    /// Returns the number of neighbours per query, at most.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// Returns the name of recall at this k: `recall@10`, or with another sign between the two.
    pub(crate) fn recall_name(&self, at: &str) -> String {
        format!("recall{at}{}", self.k)
    }

    /// Returns the ids of each query.
    pub(crate) fn ids(&self) -> &[Vec<Id>] {
        &self.ids
    }

    /// Returns the internal distances of the ids, if a file has them.
    pub(crate) fn distances(&self) -> Option<&[Vec<f32>]> {
        self.distances.as_deref()
    }

    /// Returns the ids of the ground truth that the index does not have, and warns with their
    /// count. It looks for them if the ids do not count from 0 to the number of vectors, or if
    /// `always` is set. `found` are results of the index.
    pub(crate) fn absent(&self, index: &dyn Index, found: &Hits, always: bool) -> Result<HashSet<Id>, Failure> {
        let rows = 0..index.len() as i64;
        let (ids, is_row) = (self.ids.concat(), |id: &Id| rows.contains(&id.0));
        if !always && ids.iter().chain(found.ids()).all(is_row) {
            return Ok(HashSet::new());
        }
        let present = present(index, ids.clone())?;
        let absent = |id: &&Id| !present.contains(*id);
        let count = ids.iter().filter(absent).count();
        if count > 0 {
            failure::say(format_args!(
                "warning: {count} of the {} ids in {} are not in the index, which has {} vectors",
                ids.len(),
                self.path.display(),
                index.len()
            ));
        }
        Ok(ids.iter().filter(absent).copied().collect())
    }
}

/// Returns those of the ids that the index has: the results of one search through all of it that
/// may return nothing else.
fn present(index: &dyn Index, ids: Vec<Id>) -> Result<HashSet<Id>, Failure> {
    let selector = IdSelector::sorted(ids);
    let mut params = SearchParams::new().selector(&selector);
    // The limits of the index must not end the search early.
    let everything = [
        (SearchParam::Nprobe, i64::MAX),
        (SearchParam::MaxCodes, 0),
        (SearchParam::MaxLists, 0),
        (SearchParam::KFactorRf, 1),
    ];
    let takes = index.takes();
    for (param, value) in everything.into_iter().filter(|(param, _)| takes.contains(*param)) {
        params = params.set(param.name(), value);
    }
    // Any vector will do, if it has a direction.
    let query = vec![1.0_f32; index.dim()];
    let query = Rows::new(&query, index.dim()).expect("one vector");
    let found = index
        .search(query, index.len().max(1), &params)
        .map_err(|error| Failure::failed("cannot look for the ids of the ground truth", &error))?;
    Ok(found.hits.ids().iter().copied().collect())
}
