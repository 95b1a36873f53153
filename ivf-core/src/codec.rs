//! Codecs: how a vector becomes a code, and how codes are scanned.
//!
//! Three stages, each a value that cannot be in a wrong state: a [`CodecSpec`] is what the factory string says; training makes
//! it a [`Codec`], which is always trained; binding that to the centroids of an index makes a [`BoundCodec`], which encodes,
//! decodes and hands out scanners.

use crate::error::{BuildError, TrainError};
use crate::id::ListNo;
use crate::layout::CodeLayout;
use crate::metric::Metric;
use crate::node::Node;
use crate::params::TrainOptions;
use crate::quantizer::Centroids;
use crate::report::TrainReport;
use crate::rows::Rows;
use crate::scanner::InvertedListScanner;
use std::fmt;
use std::sync::Arc;

/// What a codec shall be: trains into one. Displayed as its factory token, which parses back into it.
pub trait CodecSpec: Send + Sync + fmt::Debug + fmt::Display {
    /// Says whether it can work with this dimension and metric, before anything is trained.
    ///
    /// # Errors
    /// [`BuildError`].
    fn check(&self, dim: usize, metric: Metric) -> Result<(), BuildError>;

    /// True if, in an index with a coarse quantizer, it codes the difference between a vector and its list's centroid.
    fn by_residual(&self) -> bool;

    /// How many training vectors it can use; 0 if it learns nothing from vectors, whatever the options.
    fn training_points(&self, options: &TrainOptions<'_>) -> usize;

    /// Bytes of memory that training on `points` vectors of `dim` takes at its peak, beside those vectors.
    fn training_memory(&self, dim: usize, points: usize, options: &TrainOptions<'_>) -> usize;

    /// Bytes of the code of a vector of `dim`, a dimension that [`check`](Self::check) takes: those of the layout of the codec it
    /// trains into.
    fn code_size(&self, dim: usize) -> usize;

    /// Learns the codec. The vectors are as the codec sees them: residuals if [`by_residual`](Self::by_residual), all finite,
    /// at most [`training_points`](Self::training_points).
    ///
    /// # Errors
    /// [`TrainError`]: too few vectors, cancelled.
    fn train(
        &self,
        rows: Rows<'_, f32>,
        metric: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Codec>, TrainReport), TrainError>;
}

/// A trained codec: turns vectors into codes of a fixed size and back.
///
/// Both sides may rely on: it never changes; every string of `code_size` bytes is a valid code (a damaged file gives wrong
/// answers, not a crash); `decode(encode(x))` is the same for the same `x`, always.
pub trait Codec: Send + Sync + fmt::Debug {
    /// The specification it was trained from.
    fn spec(&self) -> Arc<dyn CodecSpec>;

    /// Dimension of the vectors.
    fn dim(&self) -> usize;

    /// The metric it was trained for.
    fn metric(&self) -> Metric;

    /// How codes lie in lists.
    fn layout(&self) -> &CodeLayout;

    /// Codes vectors (residuals, if the spec says so): `codes` has `rows.len() * code_size` bytes.
    ///
    /// # Panics
    /// If the dimension or the length of `codes` is another one.
    fn encode(&self, rows: Rows<'_, f32>, codes: &mut [u8]);

    /// Decodes one code of `code_size` bytes into `dim` places.
    ///
    /// # Panics
    /// If a length is another one.
    fn decode(&self, code: &[u8], vector: &mut [f32]);

    /// Bytes of memory its tables take.
    fn memory(&self) -> usize;

    /// The codec for a file or another reader of its insides.
    fn export(&self) -> Node<'_>;

    /// The codec for lists around these centroids; what depends on them (precomputed tables, rotated centroids) is made here.
    /// Called again when an index is loaded or its quantizer is replaced.
    fn bind(self: Arc<Self>, centroids: Arc<dyn Centroids>) -> Arc<dyn BoundCodec>;
}

/// A codec bound to the centroids of an index.
pub trait BoundCodec: Send + Sync + fmt::Debug {
    /// The codec.
    fn codec(&self) -> &dyn Codec;

    /// The centroids.
    fn centroids(&self) -> &dyn Centroids;

    /// True if its scanners scan lists of about `len` codes for a block of queries in less time than for one after the other: an
    /// engine that may choose then goes list after list.
    fn shares_lists(&self, _len: usize) -> bool {
        false
    }

    /// The most queries that [`InvertedListScanner::set_queries`] should be given: what a scanner keeps for them takes memory, and
    /// a place in a cache.
    fn queries_at_once(&self) -> usize {
        usize::MAX
    }

    /// Bytes of memory the codec takes, and what was made for the lists.
    fn memory(&self) -> usize {
        self.codec().memory()
    }

    /// A scanner of its lists. Making one is cheap but not free: an engine makes one a thread and call.
    fn scanner(&self) -> Box<dyn InvertedListScanner + '_>;

    /// Codes vectors that belong to `lists`, one each: `codes` has `rows.len() * code_size` bytes.
    ///
    /// # Panics
    /// If a length is another one.
    fn encode(&self, rows: Rows<'_, f32>, lists: &[ListNo], codes: &mut [u8]) {
        if !self.codec().spec().by_residual() {
            return self.codec().encode(rows, codes);
        }
        let residuals = residuals(rows, lists, self.centroids());
        self.codec().encode(Rows::new(&residuals, rows.dim()).expect("residuals have the vectors' shape"), codes);
    }

    /// Decodes a code of `list`.
    ///
    /// # Panics
    /// If a length is another one.
    fn decode(&self, list: ListNo, code: &[u8], vector: &mut [f32]) {
        self.codec().decode(code, vector);
        if self.codec().spec().by_residual() {
            let mut centroid = vec![0.0; vector.len()];
            self.centroids().centroid(list, &mut centroid);
            vector.iter_mut().zip(&centroid).for_each(|(x, c)| *x += c);
        }
    }
}

/// The differences between vectors and the centroids of their lists, row after row.
///
/// # Panics
/// If there is not one list a row, or the dimensions differ.
pub fn residuals(rows: Rows<'_, f32>, lists: &[ListNo], centroids: &dyn Centroids) -> Vec<f32> {
    assert_eq!(rows.len(), lists.len(), "a list a row");
    let mut centroid = vec![0.0; rows.dim()];
    let mut residuals = rows.as_slice().to_vec();
    for (residual, &list) in residuals.chunks_exact_mut(rows.dim()).zip(lists) {
        centroids.centroid(list, &mut centroid);
        residual.iter_mut().zip(&centroid).for_each(|(x, c)| *x -= c);
    }
    residuals
}
