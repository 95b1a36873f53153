//! Suites for indexes: against exhaustive search, against other modes, against a model, and with
//! bad input.
//!
//! | suite | for | content |
//! |---|---|---|
//! | [`check_exhaustive`] | exact indexes | all results are the oracle's |
//! | [`check_history`] | exact indexes | writes of every kind, against a model |
//! | [`check_approximate`] | approximate indexes | results are right, as many as they should be, and nearly all of the oracle's |
//! | [`check_modes`] | any index | modes, threads and batches do not change results |
//! | [`check_preassigned`] | inverted-file indexes | a search in two halves equals the whole search |
//! | [`check_bad_input`] | any index | bad input gives typed errors and changes nothing |
//! | [`surface::check_surface`] | indexes and their codecs | writes and searches of every kind, against a model |
//! | [`check_reload`], [`check_damaged`] | indexes with a reader | an export gives the same index, a damaged one an index that works or an error |

mod approximate;
mod bad_input;
mod exhaustive;
mod history;
mod model;
mod modes;
mod params;
mod preassigned;
mod reload;
mod selectors;
pub mod surface;

pub use approximate::check_approximate;
pub use bad_input::check_bad_input;
pub use exhaustive::check_exhaustive;
pub use history::check_history;
pub use modes::check_modes;
pub(crate) use params::{bad_values, good_values};
pub use preassigned::check_preassigned;
pub use reload::{ReadIndex, check_damaged, check_reload};
pub use selectors::selectors;

use crate::compare::pairs;
use ivf_core::error::SearchError;
use ivf_core::{AnyRows, Id, Index, SearchParams, SearchResult};

/// A function that makes an index, trained and empty, and the same on every call.
pub type MakeIndex<'a> = &'a dyn Fn() -> Box<dyn Index>;

/// The number of results or the radius of a search.
#[derive(Clone, Copy, Debug)]
enum Want {
    K(usize),
    Radius(f32),
}

impl Want {
    fn search(
        self,
        index: &dyn Index,
        queries: AnyRows<'_>,
        params: &SearchParams<'_>,
    ) -> Result<SearchResult, SearchError> {
        match self {
            Self::K(k) => index.search(queries, k, params),
            Self::Radius(radius) => {
                let search = index.as_range_search().ok_or_else(|| index.unable("search within a radius"))?;
                search.range_search(queries, radius, params)
            }
        }
    }

    fn k(self) -> Option<usize> {
        if let Self::K(k) = self { Some(k) } else { None }
    }

    fn radius(self) -> Option<f32> {
        if let Self::Radius(radius) = self { Some(radius) } else { None }
    }
}

/// Returns a radius that about half of the results lie within. It equals the distance of one
/// result, to check that results at the radius are excluded.
fn middle_radius(results: &[Vec<(Id, f32)>]) -> Option<f32> {
    let row = results.iter().max_by_key(|row| row.len())?;
    row.get(row.len() / 2).map(|(_, distance)| *distance)
}

/// Returns the length of the index and some results, to detect changes.
fn answers(index: &dyn Index, queries: AnyRows<'_>) -> (usize, Vec<Vec<(Id, f32)>>) {
    let found = index.search(queries, 5, &SearchParams::new());
    let found = found.unwrap_or_else(|error| panic!("{}: a plain search fails: {error}", index.spec()));
    (index.len(), pairs(&found.hits))
}
