//! A product quantizer with subvectors that no factory string names, in an index and from a file.

use ivf::cpu::IvfIndex;
use ivf::error::{BuildError, TrainError};
use ivf::extend::{Codec, CodecContext, CodecSpec, CodecTraining, Residuals};
use ivf::pq::{PqCodec, PqSpec, ProductQuantizer};
use ivf::{Index, Metric, TrainOptions, TrainReport};
use ivf_testkit::data;
use std::fmt;
use std::sync::Arc;

const DIM: usize = 7;

/// A product quantizer of 1, 3 and 3 dimensions, which subtracts the mean first.
#[derive(Debug)]
struct Uneven;

impl fmt::Display for Uneven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PqSpec::new(3).fmt(f)
    }
}

impl CodecSpec for Uneven {
    fn check(&self, _context: &CodecContext) -> Result<(), BuildError> {
        Ok(())
    }

    fn residuals(&self) -> Residuals {
        Residuals::Always
    }

    fn training_points(&self, options: &TrainOptions<'_>) -> usize {
        PqSpec::new(3).training_points(options)
    }

    fn training_memory(&self, context: &CodecContext, points: usize, options: &TrainOptions<'_>) -> usize {
        // Plus the vectors minus their mean.
        PqSpec::new(3).training_memory(context, points, options) + points * context.dim * size_of::<f32>()
    }

    fn code_size(&self, context: &CodecContext) -> usize {
        PqSpec::new(3).code_size(context)
    }

    fn train(&self, input: &CodecTraining<'_>) -> Result<(Arc<dyn Codec>, TrainReport), TrainError> {
        let (quantizer, report) = ProductQuantizer::train(input.rows, vec![0..1, 1..4, 4..7], 8, true, input.options)?;
        Ok((Arc::new(PqCodec::new(quantizer, input.context.metric)), report))
    }
}

#[test]
fn uneven_parts_and_a_mean_come_back_from_a_file() {
    let vectors = data::clusters(3, 900, DIM, 4);
    for metric in [Metric::L2, Metric::InnerProduct] {
        let quantizer = Arc::new(ivf::cpu::coarse::FlatQuantizerSpec { nlist: 4 });
        let mut index = IvfIndex::new(DIM, metric, quantizer, Arc::new(Uneven)).expect("a good specification");
        let mut index: &mut dyn Index = &mut index;
        index.train(vectors.rows()).expect("enough vectors");
        index.add(vectors.rows()).expect("trained");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.ivf");
        ivf::write_index(&*index, &path).expect("a writable folder");
        let mut back = ivf::read_index(&path).expect("what was written");
        let params = ivf::SearchParams::new().nprobe(4);
        let search = |index: &dyn Index| index.search(vectors.rows().slice(0..50), 10, &params).expect("good").hits;
        assert_eq!(search(&*back), search(index), "{metric}");
        // The specification in the file names even subvectors, which do not divide this dimension.
        index = &mut *back;
        index.reset().expect("supported");
        let again = index.as_train().expect("trainable").train(vectors.rows().into(), &TrainOptions::new());
        assert!(matches!(again, Err(TrainError::Unsupported { .. })), "{again:?}");
    }
}
