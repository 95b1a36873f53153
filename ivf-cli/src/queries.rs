//! The queries of a search: vectors of a file, or of the index itself.

use crate::failure::Failure;
use crate::ids::IdList;
use crate::vectors::VectorsArg;
use ivf_core::error::SearchError;
use ivf_core::{Id, Index};
use ivf_io::Vectors;
use std::fmt;
use std::path::PathBuf;

/// The options that name the queries.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct QueriesArg {
    /// File of query vectors (fvecs, bvecs, fbin, u8bin, i8bin, npy, hdf5:DATASET), or - for
    /// standard input
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// Search with vectors of the index as queries: those with these ids, such as 1,5,10..20
    /// (without 20), in this order
    #[arg(long, value_name = "IDS", allow_hyphen_values = true)]
    ids: Option<IdList>,
}

/// Queries and their names in the output.
pub(crate) struct Queries {
    vectors: Vectors<f32>,
    /// Ids in the index, or empty for a file.
    ids: Vec<i64>,
}

impl QueriesArg {
    /// Returns the file of the queries, if they are in a file.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        self.queries.as_ref()
    }

    /// Reads the queries. `formats` tells the format of a file whose name does not.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be read, or if the index cannot reconstruct the vectors.
    pub(crate) fn read(&self, index: &dyn Index, formats: &VectorsArg) -> Result<Queries, Failure> {
        let Some(list) = &self.ids else {
            let path = self.queries.as_ref().expect("one of the two options is required");
            return Ok(Queries { vectors: formats.read(path)?, ids: Vec::new() });
        };
        let ids = list.ids().map_err(|what| Failure::Usage(format!("too many queries in --ids: {what}")))?;
        let named: Vec<Id> = ids.iter().copied().map(Id).collect();
        let vectors = index
            .reconstruct_many(&named)
            .map_err(|error| Failure::failed("cannot search with vectors of the index", &error))?;
        let vectors = Vectors::new(vectors, index.dim()).expect("the index reconstructs whole vectors");
        Ok(Queries { vectors, ids })
    }
}

impl Queries {
    /// Returns the vectors.
    pub(crate) fn rows(&self) -> ivf_core::Rows<'_, f32> {
        self.vectors.rows()
    }

    /// Returns the name of query `i`: its id in the index, or its number in the file.
    pub(crate) fn name(&self, i: usize) -> i64 {
        self.ids.get(i).copied().unwrap_or(i as i64)
    }
}

/// Makes a failure from an error of a search. `what` could not be done, and `first` is the number
/// of the first query of the search.
pub(crate) fn search_failed(what: impl fmt::Display, error: SearchError, first: usize, index: &dyn Index) -> Failure {
    match in_queries(error, first) {
        SearchError::Input(error) => Failure::of_vector(what, &error),
        error @ SearchError::UnsupportedParam { .. } => {
            Failure::Failed(format!("{what}: {error}; it takes {}", index.takes().names().join(", ")))
        }
        error => Failure::failed(what, &error),
    }
}

/// Replaces the row in an error of a search by the number of the query. `first` is that of the
/// first query of the search.
fn in_queries(error: SearchError, first: usize) -> SearchError {
    match error {
        SearchError::Input(error) => SearchError::Input(error.renumbered(|row| first + row)),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivf_core::error::{Computed, InputError};

    #[test]
    fn every_error_of_a_row_names_the_query() {
        let what = Computed::Residual;
        for (error, expected) in [
            (InputError::NonFinite { row: 2 }, InputError::NonFinite { row: 102 }),
            (InputError::ZeroVector { row: 2 }, InputError::ZeroVector { row: 102 }),
            (InputError::Overflow { row: 2, what }, InputError::Overflow { row: 102, what }),
        ] {
            assert_eq!(in_queries(error.into(), 100).to_string(), SearchError::from(expected).to_string());
        }
    }
}
