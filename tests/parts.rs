//! Indexes assembled from parts, as a decoder of foreign files would do it.

use ivf::cpu::coarse::FlatQuantizer;
use ivf::cpu::codec::FlatCodec;
use ivf::cpu::{CodesIndex, IdMap, IvfIndex, IvfOptions, PreTransform, Refine};
use ivf::error::PartsError;
use ivf::extend::{Codec, InvertedLists};
use ivf::lists::ArrayLists;
use ivf::{Id, Index, Metric, Rows, SearchParams};
use ivf_testkit::data;
use std::sync::Arc;

const DIM: usize = 16;

fn filled(spec: &str, metric: Metric) -> Box<dyn Index> {
    let mut index = ivf::build(spec, DIM, metric).expect("a good string");
    index.train(data::clusters(1, 600, DIM, 8).rows()).expect("enough vectors");
    index.add(data::clusters(2, 800, DIM, 8).rows()).expect("trained");
    index
}

fn answers(index: &dyn Index) -> ivf::Hits {
    index.search(data::clusters(3, 20, DIM, 8).rows(), 10, &SearchParams::new()).expect("good queries").hits
}

/// Reassembles the inverted-file index inside of an index from its parts.
fn rebuilt(index: &dyn Index) -> IvfIndex {
    let ivf = index.find_ivf().expect("an inverted file");
    let mut options = IvfOptions::default();
    options.nprobe = ivf.nprobe();
    options.by_residual = Some(ivf.by_residual());
    let lists = ivf.lists().expect("trained").snapshot().expect("in memory");
    let (quantizer, codec) = (ivf.quantizer().expect("trained"), ivf.codec().expect("trained"));
    IvfIndex::from_parts(quantizer, codec, lists, options).expect("its own parts")
}

#[test]
fn every_index_can_be_made_of_its_parts() {
    for metric in [Metric::L2, Metric::InnerProduct] {
        for spec in ["IVF16,Flat", "IVF16,PQ4", "IVF16(IVF4,Flat),PQ4"] {
            let mut index = filled(spec, metric);
            index.set_knob("nprobe", 5).expect("a knob that is there");
            let mut again: Box<dyn Index> = Box::new(rebuilt(&*index));
            assert_eq!(answers(&*again), answers(&*index), "{spec}");
            let (ours, theirs) = (index.export().expect("in memory"), again.export().expect("in memory"));
            assert!(ours.same(&theirs), "{spec}");
            // New ids continue from the largest id.
            again.add(data::clusters(4, 1, DIM, 1).rows()).expect("trained");
            assert!(again.reconstruct(Id(800)).is_ok(), "{spec}");
        }
    }
    let norm = filled("L2norm,IVF16,Flat", Metric::L2);
    let chain: Vec<Arc<dyn ivf::extend::Transform>> = vec![Arc::new(ivf::cpu::transform::Normalize::new(DIM))];
    let again = PreTransform::from_parts(chain, Box::new(rebuilt(&*norm))).expect("parts that fit");
    let again: &dyn Index = &again;
    assert_eq!(answers(again), answers(&*norm));

    let flat = filled("Flat", Metric::L2);
    let vectors = data::clusters(2, 800, DIM, 8);
    let flat_of = |n: usize| {
        let codec = FlatCodec::new(DIM, Metric::L2);
        let mut lists = ArrayLists::new(1, codec.layout().clone());
        let mut codes = vec![0; n * codec.layout().code_size()];
        codec.encode(vectors.rows().slice(0..n), &mut codes);
        let ids: Vec<Id> = (0..n as i64).map(Id).collect();
        lists.writer().expect("in memory").replace(ivf::ListNo(0), &ids, &codes).expect("in memory");
        CodesIndex::from_parts(Arc::new(codec), Box::new(lists), IvfOptions::default()).expect("parts that fit")
    };
    let made = flat_of(800);
    let index: &dyn Index = &made;
    assert_eq!(answers(index), answers(&*flat));

    let ids: Vec<Id> = (0..800).map(|i| Id(10_000 - i)).collect();
    for with_table in [false, true] {
        let mapped = IdMap::from_parts(Box::new(flat_of(800)), ids.clone(), with_table).expect("parts that fit");
        let mapped: &dyn Index = &mapped;
        assert_eq!(answers(mapped), answers(&*flat).map_ids(|id| ids[id.0 as usize]));
    }
    let base = Box::new(rebuilt(&*filled("IVF16,Flat", Metric::L2)));
    let refined = Refine::from_parts(base, flat_of(800), 2.0).expect("parts that fit");
    let refined: &dyn Index = &refined;
    assert_eq!(refined.len(), 800);
    answers(refined);
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let index = filled("IVF16,Flat", Metric::L2);
    let ivf = index.as_ivf().expect("an inverted file");
    let (quantizer, codec) = (ivf.quantizer().expect("trained"), ivf.codec().expect("trained"));
    let lists = || ivf.lists().expect("trained").snapshot().expect("in memory");
    let centroids = vec![0.5_f32; 4 * DIM];
    let few = FlatQuantizer::from_centroids(Rows::new(&centroids, DIM).expect("rows"), Metric::L2).expect("finite");
    let other = FlatQuantizer::from_centroids(Rows::new(&centroids, DIM).expect("rows"), Metric::InnerProduct);
    let thin = FlatQuantizer::from_centroids(Rows::new(&centroids, DIM / 2).expect("rows"), Metric::L2);
    let refused = |made: Result<IvfIndex, PartsError>, words: &str| {
        let error = made.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    let options = IvfOptions::default;
    refused(IvfIndex::from_parts(Arc::new(few), codec.clone(), lists(), options()), "16 lists for 4 centroids");
    refused(IvfIndex::from_parts(Arc::new(other.expect("finite")), codec.clone(), lists(), options()), "metric ip");
    refused(IvfIndex::from_parts(Arc::new(thin.expect("finite")), codec.clone(), lists(), options()), "dimensions");
    let of_another: Box<dyn InvertedLists> =
        Box::new(ArrayLists::new(16, codec.layout().clone().of_codec("another codec of these sizes")));
    refused(IvfIndex::from_parts(quantizer.clone(), codec.clone(), of_another, options()), "another codec");
    let mut zero = options();
    zero.nprobe = 0;
    refused(IvfIndex::from_parts(quantizer.clone(), codec.clone(), lists(), zero), "nprobe");
    let mut residual = options();
    residual.by_residual = Some(true);
    refused(IvfIndex::from_parts(quantizer.clone(), codec.clone(), lists(), residual), "by_residual");
    let mut setting = options();
    setting.settings.set("efSearch", 3);
    refused(IvfIndex::from_parts(quantizer.clone(), codec, lists(), setting), "efSearch");
    let cosine: Arc<dyn Codec> = Arc::new(FlatCodec::new(DIM, Metric::Cosine));
    refused(IvfIndex::from_parts(quantizer, cosine, lists(), options()), "cosine");
    let mut limited = options();
    limited.max_codes = 1;
    let flat = FlatCodec::new(DIM, Metric::L2);
    let one_list = Box::new(ArrayLists::new(1, flat.layout().clone()));
    let made = CodesIndex::from_parts(Arc::new(flat), one_list, limited);
    assert!(made.expect_err("no knob shows it").to_string().contains("max_codes"));
    let infinite = vec![f32::INFINITY; DIM];
    assert!(FlatQuantizer::from_centroids(Rows::new(&infinite, DIM).expect("rows"), Metric::L2).is_err());
}

#[test]
fn settings_come_into_the_form_of_their_parameters() {
    let index = filled("IVF16(IVF4,Flat),PQ4", Metric::L2);
    let ivf = index.find_ivf().expect("an inverted file");
    let folder = tempfile::tempdir().expect("a folder");
    let with = |name: &str, value: ivf::KnobValue| {
        let mut options = IvfOptions::default();
        options.settings.set(name, value);
        let lists = ivf.lists().expect("trained").snapshot().expect("in memory");
        IvfIndex::from_parts(ivf.quantizer().expect("trained"), ivf.codec().expect("trained"), lists, options)
    };
    for (name, given, kept) in [
        ("quantizer_nprobe", ivf::KnobValue::from(4.0), ivf::KnobValue::from(4)),
        ("quantizer_mode", "Queries".into(), "queries".into()),
        ("quantizer_mode", 1.into(), "queries".into()),
    ] {
        let made = with(name, given).expect("a value in range");
        let index: &dyn Index = &made;
        assert_eq!(index.knob(name), Some(kept.clone()), "{name}");
        let paths = ["a", "b"].map(|file| folder.path().join(file));
        ivf::write_index(index, &paths[0]).expect("a writable folder");
        let read = ivf::read_index(&paths[0]).expect("what was written");
        assert_eq!(read.knob(name), Some(kept), "{name}, read");
        ivf::write_index(&read, &paths[1]).expect("a writable folder");
        let [first, second] = paths.map(|path| std::fs::read(path).expect("written"));
        assert!(first == second, "{name}: another file when it is written again");
    }
    for (name, bad) in [("quantizer_nprobe", ivf::KnobValue::from(0)), ("quantizer_mode", "sideways".into())] {
        let error = with(name, bad).expect_err("out of range");
        assert!(matches!(&error, PartsError::Mismatch(what) if what.contains(name)), "{error}");
    }
}

#[test]
fn ids_and_maps_that_do_not_fit_the_lists_are_refused() {
    let index = filled("IVF16,Flat", Metric::L2);
    let ivf = index.find_ivf().expect("an inverted file");
    let with = |options: IvfOptions| {
        let lists = ivf.lists().expect("trained").snapshot().expect("in memory");
        IvfIndex::from_parts(ivf.quantizer().expect("trained"), ivf.codec().expect("trained"), lists, options)
    };
    let mut options = IvfOptions::default();
    options.next_id = Some(799);
    let error = with(options.clone()).expect_err("id 799 is in the lists");
    assert_eq!(error.to_string(), "the next id is 799, and the lists hold the id 799");
    options.next_id = Some(800);
    with(options.clone()).expect("the next id");
    // An array map for ids up to a million would be mostly empty.
    options.next_id = Some(1_000_000);
    options.direct_map = ivf::DirectMapKind::Array;
    let error = with(options).expect_err("no array for these ids");
    assert!(error.to_string().contains("the direct map 'array'"), "{error}");
}

#[test]
fn a_quantizer_that_could_not_be_read_again_is_not_made() {
    let spec = "IVF5(IVF4(IVF3(IVF2(Flat),Flat),Flat),Flat),Flat";
    let mut index = ivf::build(spec, DIM, Metric::L2).expect("as deep as it may be");
    index.train(data::clusters(1, 600, DIM, 8).rows()).expect("enough vectors");
    index.add(data::clusters(2, 8, DIM, 8).rows()).expect("trained");
    let spec = ivf::parse_index(spec, ivf::default_registry()).expect("parsed before");
    let error = ivf::cpu::coarse::IndexQuantizer::from_index(spec, index).expect_err("one level too deep");
    assert!(error.to_string().contains("nested parentheses"), "{error}");
}

#[test]
fn a_metric_or_a_dimension_that_no_file_may_have_is_refused() {
    for (dim, metric) in [(4, Metric::Lp(-1.0)), (4, Metric::Lp(f32::INFINITY)), (ivf::MAX_DIM + 1, Metric::L2)] {
        let codec = FlatCodec::new(dim, metric);
        let lists = Box::new(ArrayLists::new(1, codec.layout().clone()));
        let made = CodesIndex::from_parts(Arc::new(codec.clone()), lists.clone(), IvfOptions::default());
        assert!(matches!(made, Err(PartsError::Build(_) | PartsError::Mismatch(_))), "{dim}, {metric}: {made:?}");
        let centroid = vec![0.0; dim];
        let rows = Rows::new(&centroid, dim).expect("one row");
        let quantizer = FlatQuantizer::from_centroids(rows, metric).expect("a finite centroid");
        let made = IvfIndex::from_parts(Arc::new(quantizer), Arc::new(codec), lists, IvfOptions::default());
        assert!(matches!(made, Err(PartsError::Build(_) | PartsError::Mismatch(_))), "{dim}, {metric}: {made:?}");
    }
}
