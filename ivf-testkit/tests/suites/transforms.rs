//! Tests of the transform suite: a tiny transform that scales each dimension passes, and its faulty
//! variants are caught.

use crate::assert_caught;
use ivf_core::error::{BuildError, DecodeError, InputError, TrainError};
use ivf_core::node::NamedArray;
use ivf_core::transform::Reverse;
use ivf_core::{AnyRows, Metric, Node, Rows, StoredNode, TrainOptions, TrainReport, Transform, TransformSpec};
use ivf_testkit::transforms::check_transform;
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    DependsOnTheCut,
    AddsToTheOutput,
    ForgetsItsState,
    TrustsTheFile,
    NamesTheFirstRow,
    IgnoresCancel,
    DependsOnThreads,
    SaysNoMemory,
    SaysNoTrainingMemory,
    SaysMoreDimensions,
    ReversesNothing,
    HasAnotherTag,
}

const TAG: &str = "tiny scale";

#[derive(Clone, Copy, Debug)]
struct Spec(Fault);

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TinyScale")
    }
}

impl TransformSpec for Spec {
    fn dim_out(&self, dim: usize, _: Metric) -> Result<usize, BuildError> {
        Ok(dim + usize::from(self.0 == Fault::SaysMoreDimensions))
    }
    fn training_points(&self, _: &TrainOptions<'_>) -> usize {
        1000
    }
    fn training_memory(&self, dim: usize, _: Metric, _: usize, _: &TrainOptions<'_>) -> usize {
        if self.0 == Fault::SaysNoTrainingMemory { 0 } else { 4 * dim }
    }
    fn train(
        &self,
        rows: AnyRows<'_>,
        _: Metric,
        options: &TrainOptions<'_>,
    ) -> Result<(Arc<dyn Transform>, TrainReport), TrainError> {
        if self.0 != Fault::IgnoresCancel {
            options.check_cancel()?;
        }
        let mut scratch = Vec::new();
        let rows = rows.to_f32(&mut scratch);
        let greatest = |d: usize| rows.iter().map(|row| row[d].abs()).fold(0.0, f32::max);
        let mut scale: Vec<f32> = (0..rows.dim()).map(|d| 1.0 / greatest(d).max(f32::MIN_POSITIVE)).collect();
        if self.0 == Fault::DependsOnThreads {
            scale[0] *= options.executor.map_or(1, |executor| executor.threads()) as f32;
        }
        Ok((Arc::new(Scale { scale, fault: self.0 }), TrainReport::default()))
    }
}

#[derive(Clone, Debug)]
struct Scale {
    scale: Vec<f32>,
    fault: Fault,
}

fn read(node: &StoredNode, fault: Fault) -> Result<Arc<dyn Transform>, DecodeError> {
    node.expect_version(0)?;
    node.fields(&[])?;
    let mut scale = node.array::<f32>("scale")?.to_vec();
    let is_usable = |scale: f32| scale.is_finite() && scale > 0.0;
    if fault == Fault::TrustsTheFile {
        assert!(is_usable(scale[0]), "a scale that can be divided by");
    } else if scale.is_empty() || !scale.iter().all(|x| is_usable(*x)) {
        return Err(DecodeError::value(TAG, "no scale, or one that is not positive"));
    }
    if fault == Fault::ForgetsItsState {
        scale.fill(1.0);
    }
    Ok(Arc::new(Scale { scale, fault }))
}

impl Transform for Scale {
    fn spec(&self) -> Arc<dyn TransformSpec> {
        Arc::new(Spec(self.fault))
    }
    fn tag(&self) -> &str {
        if self.fault == Fault::HasAnotherTag { "another" } else { TAG }
    }
    fn dim_in(&self) -> usize {
        self.scale.len()
    }
    fn dim_out(&self) -> usize {
        self.scale.len()
    }
    /// Refuses zero vectors.
    fn apply(&self, rows: Rows<'_, f32>, out: &mut [f32]) -> Result<(), InputError> {
        for (row, (vector, out)) in rows.iter().zip(out.chunks_exact_mut(self.dim_out())).enumerate() {
            let named = if self.fault == Fault::NamesTheFirstRow { 0 } else { row };
            if vector.iter().all(|x| *x == 0.0) {
                return Err(InputError::ZeroVector { row: named });
            }
            for ((x, scale), out) in vector.iter().zip(&self.scale).zip(out) {
                let before = if self.fault == Fault::AddsToTheOutput { *out } else { 0.0 };
                let other = if self.fault == Fault::DependsOnTheCut && row == 70 { 2.0 } else { 1.0 };
                *out = before + other * x * scale;
            }
        }
        Ok(())
    }
    fn as_reverse(&self) -> Option<&dyn Reverse> {
        Some(self)
    }
    fn memory(&self) -> usize {
        if self.fault == Fault::SaysNoMemory { 0 } else { 4 * self.scale.len() }
    }
    fn export(&self) -> Node<'_> {
        let mut node = Node::new(TAG, 0);
        node.push(NamedArray::borrowed("scale", &[self.scale.len() as u64], &self.scale));
        node
    }
}

impl Reverse for Scale {
    fn reverse(&self, vector: &[f32], out: &mut [f32]) {
        let undo = |x: f32, scale: f32| if self.fault == Fault::ReversesNothing { x } else { x / scale };
        vector.iter().zip(&self.scale).zip(out).for_each(|((x, scale), out)| *out = undo(*x, *scale));
    }
}

fn check(dim: usize, fault: Fault) {
    let spec: Arc<dyn TransformSpec> = Arc::new(Spec(fault));
    check_transform(&spec, dim, Metric::L2, &|node| read(node, fault));
}

#[test]
fn a_tiny_scaling_passes() {
    [1, 7].into_iter().for_each(|dim| check(dim, Fault::None));
}

#[test]
fn faulty_transforms_are_caught() {
    for (fault, words) in [
        (Fault::DependsOnTheCut, "cut of the batch into pieces of 1"),
        (Fault::AddsToTheOutput, "what the output held before"),
        (Fault::ForgetsItsState, "read back: other vectors"),
        (Fault::TrustsTheFile, "panicked"),
        (Fault::NamesTheFirstRow, "as row 77 of a batch"),
        (Fault::IgnoresCancel, "a cancelled training gives Ok"),
        (Fault::DependsOnThreads, "trained on"),
        (Fault::SaysNoMemory, "which take no memory"),
        (Fault::SaysNoTrainingMemory, "training that takes no memory"),
        (Fault::SaysMoreDimensions, "dimensions in and out"),
        (Fault::ReversesNothing, "undone and transformed again"),
        (Fault::HasAnotherTag, "tags of the transform"),
    ] {
        assert_caught(words, || check(5, fault));
    }
}
