//! The results of a search, as they arrive: written to files, printed as JSON, or shown in a table.

use crate::failure::Failure;
use crate::queries::Queries;
use crate::table::table;
use ivf_core::{Hits, HitsRow, Id, Metric, Rows};
use ivf_io::vectors::{FORMATS, VectorFormat};
use ivf_io::{VectorType, VectorWriter};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// Number of queries, and of results per query, that a table shows.
const SHOWN_QUERIES: usize = 10;
const SHOWN_RESULTS: usize = 5;

/// Where the results go.
pub(crate) enum Results {
    /// Files of rows of the same length.
    Files(Box<Files>),
    /// One JSON object per query, on a line of its own.
    Json,
    /// A table, which is printed at the end.
    Table {
        /// The names of the queries, and their results.
        rows: Vec<[String; 2]>,
        /// Show all queries and results.
        all: bool,
    },
}

/// Files of ids and of distances.
pub(crate) struct Files {
    ids: Option<VectorWriter>,
    distances: Option<VectorWriter>,
    k: usize,
}

/// Checks the formats of the files of ids and of distances, given as their options and paths. A
/// format must hold the results as they are: integers, or floats.
///
/// # Errors
/// [`Failure`] with the option, the file and the formats that hold the results.
pub(crate) fn check_formats(ids: Option<(&str, &Path)>, distances: Option<(&str, &Path)>) -> Result<(), Failure> {
    for (file, what, element) in [(ids, "ids", VectorType::I32), (distances, "distances", VectorType::F32)] {
        let Some((option, path)) = file else { continue };
        let fits = |format: &VectorFormat| format.is_written() && format.element.is_none_or(|fixed| fixed == element);
        if VectorFormat::of(path).is_ok_and(fits) {
            continue;
        }
        let known: Vec<&str> = FORMATS.iter().filter(|format| fits(format)).map(|format| format.extension).collect();
        return Err(Failure::Usage(format!(
            "{option} {}: {what} cannot be written in this format; the formats for {what} are {}",
            path.display(),
            known.join(", ")
        )));
    }
    Ok(())
}

impl Files {
    /// Starts the files, which appear when they are complete. They have rows of `k` results.
    ///
    /// # Errors
    /// [`Failure`] if a file cannot be created.
    pub(crate) fn create(ids: Option<&Path>, distances: Option<&Path>, k: usize) -> Result<Self, Failure> {
        let create = |path: Option<&Path>| path.map(VectorWriter::create).transpose();
        Ok(Self { ids: create(ids)?, distances: create(distances)?, k })
    }

    /// Appends a row for each query. Missing results have id -1 and the metric's worst value.
    ///
    /// # Errors
    /// [`Failure`] if a file cannot be written.
    pub(crate) fn write(&mut self, hits: &Hits, metric: Metric) -> Result<(), Failure> {
        let (ids, distances) = hits.padded(self.k, metric);
        fn rows<T>(padded: &[T], k: usize) -> Rows<'_, T> {
            Rows::new(padded, k).expect("there are k padded results per query, and k is at least 1")
        }
        if let Some(file) = &mut self.ids {
            file.write(rows(&ids, self.k))?;
        }
        if let Some(file) = &mut self.distances {
            file.write(rows(&distances, self.k))?;
        }
        Ok(())
    }

    /// Completes the files.
    ///
    /// # Errors
    /// [`Failure`] if a file cannot be written.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        for file in [self.ids, self.distances].into_iter().flatten() {
            file.finish()?;
        }
        Ok(())
    }
}

/// The results of a query in JSON.
#[derive(Serialize)]
struct Line<'a> {
    query: i64,
    ids: &'a [Id],
    /// A distance beyond the range of f32 is `null`.
    distances: &'a [f32],
    /// Lists and offsets in them, if the search parameter `locations` asks for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    locations: Vec<[u32; 2]>,
}

impl Results {
    /// Adds the results of some queries. `first` is the number of the first one.
    ///
    /// # Errors
    /// [`Failure`] if the results cannot be written.
    pub(crate) fn add(
        &mut self,
        queries: &Queries,
        first: usize,
        hits: &Hits,
        metric: Metric,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        match self {
            Self::Files(files) => files.write(hits, metric),
            Self::Json => {
                for (i, row) in hits.rows().enumerate() {
                    let locations = row.locations.iter().map(|at| [at.list.0, at.offset.0]).collect();
                    let (ids, distances) = (row.ids, row.distances);
                    let line = Line { query: queries.name(first + i), ids, distances, locations };
                    serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
                    writeln!(out)?;
                }
                Ok(())
            }
            Self::Table { rows, all } => {
                let (most_rows, most) = if *all { (usize::MAX, usize::MAX) } else { (SHOWN_QUERIES, SHOWN_RESULTS) };
                for (i, row) in hits.rows().enumerate().take(most_rows - rows.len()) {
                    rows.push([queries.name(first + i).to_string(), shown(row, most)]);
                }
                Ok(())
            }
        }
    }

    /// Completes the output.
    ///
    /// # Errors
    /// [`Failure`] if the results cannot be written.
    pub(crate) fn finish(self, metric: Metric, out: &mut impl Write) -> Result<(), Failure> {
        match self {
            Self::Files(files) => files.finish()?,
            Self::Json => {}
            Self::Table { rows, .. } => {
                let mut shown = table(&["query", &format!("<nearest (id: {metric})")]);
                shown.add_rows(rows);
                writeln!(out, "{shown}\n")?;
            }
        }
        Ok(())
    }
}

/// Returns the first `most` results of a query as text.
fn shown(row: HitsRow<'_>, most: usize) -> String {
    let mut nearest: Vec<String> = row.iter().take(most).map(|(id, distance)| format!("{id}: {distance:.4}")).collect();
    if row.len() > most {
        nearest.push("...".to_owned());
    }
    nearest.join("  ")
}
