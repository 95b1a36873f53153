//! Compares the memory that an index reports with the memory that an allocator counts.

use ivf::{Index, Metric, Rows, TrainOptions};
use ivf_testkit::data;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Dimension of the vectors: large enough that allocator overhead does not matter, and small enough
/// for many vectors, so that tables of a fixed size do not matter either.
const DIM: usize = 48;

/// Allowance, in bytes, for memory that does not belong to points, lists or vectors: jobs, boxes,
/// per-thread state.
const SLACK: usize = 256 << 10;

/// Returns the peak number of bytes that a call allocates, beyond what was allocated before it.
fn peak(call: impl FnOnce()) -> usize {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    call();
    ALLOCATED.peak_usage() - before
}

fn made(factory: &str, metric: Metric) -> Box<dyn Index> {
    ivf::build(factory, DIM, metric).unwrap_or_else(|error| panic!("{factory}: {error}"))
}

/// Runs all checks in one test, since the allocator would also count concurrent tests.
#[test]
fn indexes_say_how_much_memory_they_take() {
    training_takes_what_it_says();
    training_draws_as_many_points_as_it_says();
    vectors_take_what_is_said_before_they_are_there();
}

fn training_takes_what_it_says() {
    let plain = TrainOptions::new().iterations(3);
    let plus_plus = plain.start(ivf::params::KMeansStart::PlusPlus);
    let batches = plain.mini_batch(3000);
    let vectors = data::clusters(1, 40_000, DIM, 100);
    let cases = [
        ("IVF128,Flat", Metric::L2, plain),
        ("IVF128,Flat", Metric::InnerProduct, plain),
        ("IVF1000,Flat", Metric::L2, plain),
        ("IVF128,Flat", Metric::L1, plain),
        ("IVF128,Flat", Metric::Cosine, plain),
        ("IVF16,Flat", Metric::L2, plain),
        ("IVF100,Flat", Metric::L2, plus_plus),
        ("IVF100,Flat", Metric::L2, batches),
        ("IVF128,Flat", Metric::L2, plain.balanced(true)),
        ("IVF1000,Flat", Metric::L2, plain.two_level(true)),
        ("IVF400,Flat", Metric::InnerProduct, plain.two_level(true).balanced(true)),
        ("IMI2x5,Flat", Metric::L2, plain),
        ("IMI2x8,Flat", Metric::L2, plain),
        ("L2norm,IVF16,PQ8", Metric::L2, plain),
        ("PQ16", Metric::L2, plain),
        ("IVF16,PQ12", Metric::InnerProduct, plain),
        ("IVF160,PQ4,RFlat", Metric::L2, plain),
        ("IDMap,IVF100,PQ48", Metric::L2, plain),
        ("IVF100,FlatDedup", Metric::L2, plain),
        ("IVF16,PQ4,Refine(PQ24)", Metric::L2, plain),
        ("Flat,Refine(SQ8)", Metric::L2, plain),
        ("IVF16,PQ4+24", Metric::L2, plain),
        ("IVF160,PQ24x4+4x4", Metric::InnerProduct, plain),
        ("PCA16,Flat", Metric::L2, plain),
        ("PCAWR24,Flat", Metric::InnerProduct, plain),
        ("OPQ12,Flat", Metric::L2, plain),
        ("OPQ4_24,Flat", Metric::InnerProduct, plain),
        ("RR,Flat", Metric::L2, plain),
        ("ITQ,Flat", Metric::L2, plain),
        ("ITQ16,Flat", Metric::L2, plain),
        ("Center,Flat", Metric::L2, plain),
        ("PCAR16,IVF100,Flat", Metric::L2, plain),
    ];
    for (factory, metric, options) in cases {
        // The first training starts the threads.
        made(factory, metric).as_train().expect("trainable").train(vectors.rows().into(), &options).expect("enough");
        for rows in [vectors.rows(), vectors.rows().slice(0..9000)] {
            let mut index = made(factory, metric);
            let said = index.as_train().expect("trainable").training_memory(rows.len(), &options);
            let took = peak(|| {
                index.as_train().expect("trainable").train(rows.into(), &options).expect("enough vectors");
            });
            let learnt = index.memory();
            let what = format!("{factory}, {metric}, {}: {took} bytes, {said} reported, {learnt} kept", rows.len());
            assert!(took <= said + learnt + SLACK, "{what}");
            assert!(said <= took + took / 2 + SLACK, "{what}");
        }
    }
}

fn training_draws_as_many_points_as_it_says() {
    let vectors = data::uniform(2, 5000, DIM);
    let options = TrainOptions::new().iterations(1).max_points_per_centroid(10);
    for factory in [
        "IVF100,Flat",
        "IVF300,PQ8",
        "IVF16,PQ8",
        "PQ8",
        "IDMap2,PQ8,RFlat",
        "IVF9,Flat,Refine(PQ8)",
        "IVF9,PQ4x4+8",
        "L2norm,IVF100,Flat",
        "Pad64,RR64,IVF100,Flat",
    ] {
        let mut index = made(factory, Metric::L2);
        let train = index.as_train().expect("trainable");
        let points = train.training_points(&options);
        let report = train.train(vectors.rows().into(), &options).expect("enough vectors");
        assert_eq!((report.points, points < vectors.len()), (points, true), "{factory}");
    }
    let mut index = made("IVF100,Flat", Metric::L2);
    let all = index.as_train().expect("trainable").training_points(&options.mini_batch(10));
    assert_eq!(all, usize::MAX);
}

fn vectors_take_what_is_said_before_they_are_there() {
    let vectors = data::clusters(3, 20_000, DIM, 30);
    for factory in [
        "Flat",
        "IVF16,Flat",
        "IVF16,FlatDedup",
        "IVF16,PQ8",
        "PQ8",
        "IDMap,PQ8",
        "IDMap2,IVF16,Flat",
        "PQ8,RFlat",
        "PQ8,Refine(SQ8)",
        "IVF16,PQ8+24",
        "L2norm,IVF16,PQ48",
        "IMI2x9,Flat",
        "OPQ8_16,IVF16,PQ8",
        "ITQ16,Flat",
    ] {
        let mut index = made(factory, Metric::L2);
        let untrained = index.memory_with(vectors.len());
        index.train(vectors.rows()).expect("enough vectors");
        let said = index.memory_with(vectors.len());
        index.add(vectors.rows()).expect("trained");
        let took = index.memory();
        let what = format!("{factory}: {took} bytes, {said} reported, {untrained} before training");
        assert!(untrained <= said && said.abs_diff(took) <= took / 10, "{what}");
        // For no more vectors than it holds, this is its current memory. For more, it is larger.
        assert_eq!(index.memory_with(10), took, "{what}");
        let Some(row) = vectors.rows().as_slice().get(..DIM) else { unreachable!("many vectors") };
        index.add(Rows::new(row, DIM).expect("a row")).expect("trained");
        assert!(index.memory_with(vectors.len() + 2) > took, "{what}");
    }
}
