//! Factory strings, the default registry and index files of the ivf framework.
//!
//! ```
//! use ivf_core::{Metric, Rows};
//!
//! let mut index = ivf_factory::build("IDMap,Flat", 2, Metric::L2)?;
//! let vectors = [0.0_f32, 0.0, 3.0, 4.0];
//! index.add_with_ids(Rows::new(&vectors, 2)?, &[7.into(), 9.into()])?;
//! assert_eq!(index.spec(), "IDMap,Flat");
//!
//! let error = ivf_factory::build("IVF16,Falt", 2, Metric::L2).unwrap_err();
//! assert!(error.to_string().contains("did you mean 'IVF16,Flat'?"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | `spec`, `tree` | [`Spec`]: a parsed factory string, as a tree; printing it; config files |
//! | `items`, `words`, `grammar` | parsing: split at commas, parse each item, nest by precedence |
//! | `error`, `faults`, `hint` | [`ParseError`]: what is wrong, where, what is valid there, and a suggestion |
//! | `build` | [`build`]: builds an index from a string; [`SpecError`] |
//! | `params` | [`BuildParams`]: configuration of an index in a config file |
//! | `files` | [`write_index`], [`read_index`], [`open_index`], [`open_mapped`], [`verify_index`] |
//! | `default` | [`default_registry`]: the only place that knows all kinds |

#![forbid(unsafe_code)]

mod build;
mod default;
mod error;
mod faults;
mod files;
mod foreign;
mod grammar;
mod hint;
mod items;
mod params;
mod spec;
mod tree;
mod words;

pub use build::{build, build_with};
pub use default::default_registry;
pub use error::{FactoryError, ParseError, SpecError};
pub use files::{
    ReadIndexError, WriteIndexError, open_container, open_container_with, open_index, open_index_with, open_mapped,
    open_mapped_with, read_index, read_index_with, verify_index, verify_index_with, write_index,
};
pub use items::{MAX_DEPTH, MAX_LEN, MAX_PARTS};
pub use params::BuildParams;
pub use spec::{Spec, SpecSeed, parse_index};
pub use tree::SpecTree;
