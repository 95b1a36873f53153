//! One list for everything: the quantizer of an index that has none.

use ivf_core::error::{BuildError, DecodeError, KnobError, SearchError, TrainError};
use ivf_core::part::unknown_knob;
use ivf_core::quantizer::{Origin, order_fault};
use ivf_core::registry::{QuantizerRow, Registry};
use ivf_core::{
    AnyRows, Centroids, KnobValue, Level1Quantizer, ListNo, MAX_DIM, Metric, Node, Probes, QuantizerSpec, Rows,
    SearchParams, StoredNode, TrainOptions, TrainReport,
};
use std::fmt;
use std::sync::Arc;

/// The row of this quantizer: it has no token of its own.
pub(super) const ROW: QuantizerRow = QuantizerRow::new(
    "one-list",
    "",
    "one list for everything, inside a codec's standalone index",
    &[],
    |_| None,
    |node, _: &Registry| Ok(Arc::new(OneList::read(node)?)),
);

/// One list for everything. Displayed as nothing: the token of a standalone index is its codec's.
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

/// One list around the origin, at distance 0 from everything.
#[derive(Clone, Copy, Debug)]
pub struct OneList(Origin);

impl OneList {
    /// One list of vectors of `dim`.
    pub fn new(dim: usize) -> Self {
        Self(Origin { dim })
    }

    fn read(node: &StoredNode) -> Result<Self, DecodeError> {
        node.expect_version(0)?;
        match usize::try_from(node.meta::<u64>()?) {
            Ok(dim) if (1..=MAX_DIM).contains(&dim) => Ok(Self::new(dim)),
            _ => Err(DecodeError::value(&node.tag, "a dimension that cannot be")),
        }
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
    fn assign(&self, rows: Rows<'_, f32>, _nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        params.only("an index without lists", &[])?;
        Probes::new(1, vec![Some(ListNo(0)); rows.len()], vec![0.0; rows.len()])
    }

    fn spec(&self) -> Arc<dyn QuantizerSpec> {
        Arc::new(OneListSpec)
    }

    fn metric(&self) -> Option<Metric> {
        None
    }

    fn permuted(&self, order: &[ListNo]) -> Arc<dyn Level1Quantizer> {
        assert_eq!(order_fault(1, order), None, "one list");
        Arc::new(*self)
    }

    fn memory(&self) -> usize {
        0
    }

    fn export(&self) -> Node<'_> {
        Node::new(ROW.tag, 0, &(self.dim() as u64))
    }

    fn with_knob(&self, name: &str, _value: KnobValue) -> Result<Arc<dyn Level1Quantizer>, KnobError> {
        Err(unknown_knob(name, &[]))
    }
}
