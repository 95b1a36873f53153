//! What an application writes: `use ivf::prelude::*`.
//!
//! ```
//! use ivf::prelude::*;
//!
//! let config = BuildParams::new("Flat", 2).metric(Metric::Cosine);
//! let mut index = config.build()?;
//! index.add(Rows::new(&[1.0_f32, 0.0, 0.0, 2.0], 2)?)?;
//!
//! let odd = IdSelector::range(1..2);
//! let params = SearchParams::new().selector(&odd);
//! let found = index.search(Rows::new(&[3.0_f32, 3.0], 2)?, 1, &params)?;
//! assert_eq!(found.hits.row(0).ids, [Id(1)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[doc(inline)]
pub use ivf_core::{
    AddOptions, Cancel, Hits, Id, IdSelector, Index, KnobValue, Metric, Progress, QueryParams, Rows, SearchParams,
    SearchResult, TrainOptions,
};
#[doc(inline)]
pub use ivf_factory::{BuildParams, build, open_index, read_index, write_index};
