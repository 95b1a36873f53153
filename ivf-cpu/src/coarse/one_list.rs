//! A single list for all vectors: the quantizer of a standalone index.

use super::check_assign;
use ivf_core::error::{BuildError, DecodeError, SearchError, StoreError, TrainError};
use ivf_core::field::{Field, FieldType, Schema};
use ivf_core::params::Takes;
use ivf_core::quantizer::{Origin, order_fault};
use ivf_core::registry::QuantizerRow;
use ivf_core::{
    AnyRows, Centroids, Level1Quantizer, ListNo, Metric, Node, Permute, Probes, Promise, QuantizerSpec, Rows,
    SearchParams, StoredNode, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;

/// The registry row of this quantizer, which has no token of its own.
pub(super) const ROW: QuantizerRow =
    QuantizerRow::new("one-list", "", |_, _| None, |node, _| Ok(Arc::new(OneList::read(node)?)))
        .about("one list for everything, inside a codec's standalone index");

const SCHEMA: &Schema = &[Field::new("dim", FieldType::UInt)];

/// The specification of a single list for all vectors. It is displayed as an empty string, because
/// the token of a standalone index is that of its codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneListSpec;

impl fmt::Display for OneListSpec {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl QuantizerSpec for OneListSpec {
    fn nlist(&self) -> usize {
        1
    }

    fn check(&self, _dim: usize, _metric: Metric) -> Result<(), BuildError> {
        Ok(())
    }

    fn training_points(&self, _options: &TrainOptions<'_>) -> usize {
        0
    }

    fn training_memory(&self, _dim: usize, _metric: Metric, _points: usize, _options: &TrainOptions<'_>) -> usize {
        0
    }

    fn train(
        &self,
        rows: AnyRows<'_>,
        _metric: Metric,
        _options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Level1Quantizer>, TrainReport), TrainError> {
        Ok((Arc::new(OneList::new(rows.dim())), TrainReport::default()))
    }
}

/// A quantizer with one list around the origin. Its distance from every vector is reported as 0.
///
/// ```
/// use ivf_core::{Centroids, Level1Quantizer, ListNo, Rows, SearchParams};
/// use ivf_cpu::coarse::OneList;
///
/// let quantizer = OneList::new(2);
/// let probes = quantizer.assign(Rows::new(&[3.0, 4.0], 2)?, 8, &SearchParams::new())?;
/// assert_eq!(quantizer.nlist(), 1);
/// assert!(probes.row(0).eq([(Some(ListNo(0)), 0.0)]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OneList(Origin);

impl OneList {
    /// Creates the list for vectors of `dim` dimensions.
    ///
    /// # Panics
    /// If `dim` is zero.
    pub fn new(dim: usize) -> Self {
        assert!(dim > 0, "vectors have dimensions");
        Self(Origin { dim })
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        Ok(Self::new(node.fields(SCHEMA)?.dim("dim")?))
    }
}

impl Centroids for OneList {
    fn dim(&self) -> usize {
        self.0.dim
    }

    fn nlist(&self) -> usize {
        1
    }

    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        self.0.centroid(list, out);
    }
}

impl Level1Quantizer for OneList {
    fn tag(&self) -> &str {
        ROW.tag
    }

    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        params.only("an index without lists", &Takes::default())?;
        check_assign(self, rows, nprobe, params)?;
        Probes::new(1, vec![Some(ListNo(0)); rows.len()], vec![0.0; rows.len()])
    }

    fn promise(&self) -> Promise {
        Promise::EXACT
    }

    fn spec(&self) -> Arc<dyn QuantizerSpec> {
        Arc::new(OneListSpec)
    }

    fn metric(&self) -> Option<Metric> {
        None
    }

    fn as_permute(&self) -> Option<&dyn Permute> {
        Some(self)
    }

    fn memory(&self) -> usize {
        0
    }

    fn export(&self) -> Result<Node<'_>, StoreError> {
        Ok(Node::new(ROW.tag, 0).with("dim", self.dim()))
    }
}

impl Permute for OneList {
    fn permuted(&self, order: &[ListNo]) -> Arc<dyn Level1Quantizer> {
        assert_eq!(order_fault(1, order), None, "one list");
        Arc::new(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_in_the_one_list() {
        let one = OneList::read(&OneList::new(2).export().unwrap().to_stored()).unwrap();
        let rows = Rows::new(&[1.0_f32, 2.0, 3.0, 4.0], 2).unwrap();
        let probes = one.assign(rows, 7, &SearchParams::new()).unwrap();
        assert_eq!((probes.len(), probes.nprobe()), (2, 1));
        assert!((0..2).all(|row| probes.row(row).eq([(Some(ListNo(0)), 0.0)])));
        assert!(matches!(one.assign(rows, 0, &SearchParams::new()), Err(SearchError::InvalidParam { .. })));
        let other = Rows::new(&[1.0_f32], 1).unwrap();
        assert!(matches!(one.assign(other, 1, &SearchParams::new()), Err(SearchError::Input(_))));
        assert!(OneList::read(&Node::new(ROW.tag, 0).with("dim", 0_u64).to_stored()).is_err());
    }
}
