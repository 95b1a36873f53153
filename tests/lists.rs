//! Replacing parts of an index: its quantizer, its lists, and the numbers of its lists.

use ivf::cpu::IvfIndex;
use ivf::cpu::coarse::{FlatQuantizer, FlatQuantizerSpec};
use ivf::cpu::codec::FlatSpec;
use ivf::error::{ReplaceError, SearchError, StoreError};
use ivf::executor::Inline;
use ivf::extend::{
    ArrayLists, Centroids, CodeLayout, CodecSpec, InvertedListsMut, Level1Quantizer, Node, Promise, QuantizerSpec,
};
use ivf::lists::ListBatch;
use ivf::pq::PqSpec;
use ivf::{DirectMapKind, Hits, Id, Index, IndexIvf, IndexIvfMut, ListNo, Metric, Probes, Rows, SearchParams};
use ivf_testkit::data;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const DIM: usize = 8;
const NLIST: usize = 12;

fn index(codec: Arc<dyn CodecSpec>, kind: DirectMapKind) -> IvfIndex {
    let quantizer = Arc::new(FlatQuantizerSpec { nlist: NLIST });
    let mut index = IvfIndex::new(DIM, Metric::L2, quantizer, codec).expect("a good specification");
    index.set_direct_map(kind).expect("nothing to map yet");
    index.set_knob_at("", "nprobe", 4.into()).expect("a knob that is there");
    let vectors = data::clusters(1, 600, DIM, NLIST);
    let as_index: &mut dyn Index = &mut index;
    as_index.train(vectors.rows()).expect("enough vectors");
    as_index.add(vectors.rows()).expect("trained");
    index
}

fn flat(kind: DirectMapKind) -> IvfIndex {
    index(Arc::new(FlatSpec), kind)
}

fn answers(index: &dyn Index) -> Hits {
    let queries = data::clusters(2, 20, DIM, NLIST);
    index.search(queries.rows(), 10, &SearchParams::new().locations(true)).expect("good queries").hits
}

/// Returns the centroids of an index, row after row.
fn centroids(index: &IvfIndex) -> Vec<f32> {
    let quantizer = index.quantizer().expect("trained");
    let mut rows = vec![0.0; NLIST * DIM];
    rows.chunks_exact_mut(DIM).zip(0..).for_each(|(row, no)| quantizer.centroid(ListNo(no), row));
    rows
}

/// A quantizer that counts how often somebody asks for a centroid, and may have a NaN in one.
#[derive(Debug)]
struct Watched {
    inner: Arc<dyn Level1Quantizer>,
    spoilt: Option<ListNo>,
    asked: Arc<AtomicUsize>,
}

impl Centroids for Watched {
    fn dim(&self) -> usize {
        self.inner.dim()
    }
    fn nlist(&self) -> usize {
        self.inner.nlist()
    }
    fn centroid(&self, list: ListNo, out: &mut [f32]) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.inner.centroid(list, out);
        if self.spoilt == Some(list) {
            out[1] = f32::NAN;
        }
    }
}

impl Level1Quantizer for Watched {
    fn tag(&self) -> &str {
        self.inner.tag()
    }
    fn assign(&self, rows: Rows<'_, f32>, nprobe: usize, params: &SearchParams<'_>) -> Result<Probes, SearchError> {
        self.inner.assign(rows, nprobe, params)
    }
    fn promise(&self) -> Promise {
        self.inner.promise()
    }
    fn spec(&self) -> Arc<dyn QuantizerSpec> {
        self.inner.spec()
    }
    fn metric(&self) -> Option<Metric> {
        self.inner.metric()
    }
    fn memory(&self) -> usize {
        self.inner.memory()
    }
    fn export(&self) -> Result<Node<'_>, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.inner.export()
    }
}

fn quantizer(rows: &[f32], dim: usize, metric: Metric) -> Arc<dyn Level1Quantizer> {
    Arc::new(FlatQuantizer::from_centroids(Rows::new(rows, dim).expect("whole rows"), metric).expect("finite rows"))
}

#[test]
fn another_way_to_the_same_centroids_changes_nothing_and_other_centroids_are_refused() {
    for codec in [Arc::new(FlatSpec) as Arc<dyn CodecSpec>, Arc::new(PqSpec::new(4))] {
        let mut index = index(codec, DirectMapKind::Hash);
        let (before, rows) = (answers(&index), centroids(&index));
        index.replace_quantizer(quantizer(&rows, DIM, Metric::L2)).expect("the same centroids");
        assert_eq!(answers(&index), before);

        let mut moved = rows.clone();
        moved[5 * DIM] += 1.0;
        let refused = index.replace_quantizer(quantizer(&moved, DIM, Metric::L2));
        assert!(matches!(refused, Err(ReplaceError::Centroid { len: 600, list: ListNo(5) })), "{refused:?}");
        let refused = index.replace_quantizer(quantizer(&rows, DIM, Metric::InnerProduct));
        assert!(matches!(refused, Err(ReplaceError::Metric { .. })), "{refused:?}");
        let refused = index.replace_quantizer(quantizer(&rows[DIM..], DIM, Metric::L2));
        assert!(matches!(refused, Err(ReplaceError::ListCount { expected: NLIST, found: 11 })), "{refused:?}");
        let refused = index.replace_quantizer(quantizer(&rows[..NLIST * 4], 4, Metric::L2));
        assert!(matches!(refused, Err(ReplaceError::Dim { expected: DIM, found: 4 })), "{refused:?}");
        let refused = index.replace_quantizer(Arc::new(Watched {
            inner: quantizer(&rows, DIM, Metric::L2),
            spoilt: Some(ListNo(5)),
            asked: Arc::default(),
        }));
        assert!(matches!(refused, Err(ReplaceError::NonFinite { list: ListNo(5) })), "{refused:?}");
        moved[5 * DIM] = rows[5 * DIM] + 1.0;
        assert_eq!(answers(&index), before);

        // An empty index takes other centroids, and codes vectors relative to them from then on.
        let as_index: &mut dyn Index = &mut index;
        as_index.reset().expect("in memory");
        index.replace_quantizer(quantizer(&moved, DIM, Metric::L2)).expect("an empty index");
        assert_eq!(centroids(&index), moved);
        let as_index: &mut dyn Index = &mut index;
        let vector = Rows::new(&moved[5 * DIM..6 * DIM], DIM).expect("one row");
        as_index.add(vector).expect("trained");
        let found = as_index.search(vector, 1, &SearchParams::new().locations(true)).expect("a good query").hits;
        assert_eq!(found.row(0).locations[0].list, ListNo(5));
    }
}

#[test]
fn lists_are_replaced_and_those_from_before_come_back() {
    for kind in [DirectMapKind::None, DirectMapKind::Array, DirectMapKind::Hash] {
        let mut index = flat(kind);
        let before = answers(&index);
        let layout = index.lists().expect("trained").layout().clone();
        // All vectors again, with ids higher by one, each in the list with the next number.
        let mut others = ArrayLists::new(NLIST, layout.clone());
        for no in 0..NLIST as u32 {
            let lists = index.lists().expect("trained");
            let list = lists.list(ListNo(no)).expect("in memory");
            let (ids, codes): (Vec<Id>, Vec<Vec<u8>>) =
                list.entries(&layout).map(|(id, code)| (Id(id.0 + 1), code)).unzip();
            let next = ListNo((no + 1) % NLIST as u32);
            let codes = codes.concat();
            let batch = ListBatch::group(&vec![next; ids.len()], &ids, &codes, layout.code_size());
            others.append(&batch, &Inline).expect("in memory");
        }
        let old = index.replace_lists(Box::new(others)).expect("as many lists, of the same layout");
        assert_eq!((index.len(), old.total_len().expect("in memory")), (600, 600));
        let as_index: &mut dyn Index = &mut index;
        let vectors = data::clusters(1, 600, DIM, NLIST);
        assert_eq!(as_index.reconstruct(Id(41)).expect("moved up by one"), vectors.rows().row(40));
        assert!(as_index.reconstruct(Id(0)).is_err());
        // New ids continue from the largest id.
        as_index.add(vectors.rows().slice(0..1)).expect("trained");
        assert_eq!(as_index.reconstruct(Id(601)).expect("added"), vectors.rows().row(0));
        index.replace_lists(old.snapshot().expect("in memory")).expect("they fitted before");
        assert_eq!(answers(&index), before);
    }
}

#[test]
fn lists_that_do_not_fit_are_refused_and_nothing_changes() {
    let mut index = flat(DirectMapKind::Array);
    let (before, layout) = (answers(&index), index.lists().expect("trained").layout().clone());
    let refused = index.replace_lists(Box::new(ArrayLists::new(NLIST + 1, layout.clone())));
    assert!(matches!(refused, Err(ReplaceError::ListCount { expected: NLIST, found: 13 })), "{refused:?}");
    let refused = index.replace_lists(Box::new(ArrayLists::new(NLIST, CodeLayout::rows(4 * DIM))));
    assert!(matches!(refused, Err(ReplaceError::Store(StoreError::Layout { .. }))), "{refused:?}");
    for id in [Id(-1), Id(1 << 40)] {
        let mut strange = ArrayLists::new(NLIST, layout.clone());
        let code = vec![0; layout.code_size()];
        strange.append(&ListBatch::group(&[ListNo(3)], &[id], &code, code.len()), &Inline).expect("in memory");
        let refused = index.replace_lists(Box::new(strange));
        assert!(matches!(refused, Err(ReplaceError::NotForArray(at)) if at == id), "{refused:?}");
    }
    assert_eq!((answers(&index), index.len()), (before, 600));
    let as_index: &mut dyn Index = &mut index;
    as_index.add(data::clusters(3, 1, DIM, NLIST).rows()).expect("trained");
    assert!(as_index.reconstruct(Id(600)).is_ok(), "the counter is as it was");
}

#[test]
fn lists_get_other_numbers_and_answers_stay() {
    for spec in ["IVF12,Flat", "IVF12,PQ4", "L2norm,IVF12,Flat"] {
        let mut index = ivf::build(spec, DIM, Metric::L2).expect("a good string");
        let vectors = data::clusters(1, 600, DIM, NLIST);
        index.train(vectors.rows()).expect("enough vectors");
        index.add(vectors.rows()).expect("trained");
        ivf::knobs::set_knobs(&mut *index, "direct_map=2,nprobe=4").expect("knobs that are there");
        let before = answers(&*index).without_locations();
        let ivf = index.as_ivf_mut().expect("an inverted file");
        let order: Vec<ListNo> = (0..12).map(|no| ListNo(no * 5 % 12)).collect();
        let lens = |ivf: &dyn IndexIvf| -> Vec<usize> {
            let lists = ivf.lists().expect("trained");
            (0..12).map(|no| lists.list_len(ListNo(no)).expect("in memory")).collect()
        };
        let old = lens(ivf);
        ivf.permute_lists(&order).expect("every list once");
        assert_eq!(lens(ivf), order.iter().map(|list| old[list.index()]).collect::<Vec<_>>());
        ivf.sort_lists_by_size().expect("every list once");
        assert!(lens(ivf).is_sorted_by(|a, b| a >= b), "{:?}", lens(ivf));
        for bad in [vec![ListNo(0); 12], (1..13).map(ListNo).collect()] {
            let refused = ivf.permute_lists(&bad);
            assert!(matches!(refused, Err(ReplaceError::Order { nlist: 12, .. })), "{refused:?}");
        }
        for bad in [vec![], (0..13).map(ListNo).collect()] {
            let refused = ivf.permute_lists(&bad);
            assert!(matches!(refused, Err(ReplaceError::ListCount { expected: 12, .. })), "{refused:?}");
        }
        assert_eq!(answers(&*index).without_locations(), before, "{spec}");
        // The direct map knows the new locations.
        assert_eq!(index.remove(&ivf::IdSelector::range(100..200)).expect("supported"), 100);
        assert!(index.reconstruct(Id(100)).is_err() && index.reconstruct(Id(99)).is_ok());
    }
}

#[test]
fn fewer_lists_under_an_array_map_are_taken_and_a_nameless_quantizer_is_not() {
    let mut index = flat(DirectMapKind::Array);
    let layout = index.lists().expect("trained").layout().clone();
    index.replace_lists(Box::new(ArrayLists::new(NLIST, layout))).expect("no ids at all");
    assert!(index.is_empty());
    let mut one: Box<dyn Index> = ivf::build("IVF1,Flat", DIM, Metric::L2).expect("a good string");
    one.train(data::clusters(1, 50, DIM, 1).rows()).expect("enough vectors");
    let nameless = Arc::new(ivf::cpu::coarse::OneList::new(DIM));
    let refused = one.as_ivf_mut().expect("an inverted file").replace_quantizer(nameless);
    assert!(matches!(refused, Err(ReplaceError::Nameless)), "{refused:?}");
}

#[test]
fn what_has_no_lists_says_so() {
    let mut flat = ivf::build("Flat", DIM, Metric::L2).expect("a good string");
    assert!(flat.as_ivf_mut().is_none() && flat.as_ivf().is_none());
    let mut untrained = ivf::build("IVF12,Flat", DIM, Metric::L2).expect("a good string");
    let ivf = untrained.as_ivf_mut().expect("an inverted file");
    let vector = [0.0; DIM];
    let row = Rows::new(&vector, DIM).expect("one row");
    assert!(matches!(ivf.permute_lists(&[]), Err(ReplaceError::NotTrained)));
    assert!(matches!(ivf.sort_lists_by_size(), Err(ReplaceError::NotTrained)));
    assert!(ivf.sort_entries().is_ok());
    assert!(ivf.assign(row.into(), 1, &SearchParams::new()).is_err());
    assert!(ivf.add_preassigned(row.into(), &[Some(ListNo(0))], None, &ivf::AddOptions::new()).is_err());
}

#[test]
fn asking_for_parts_and_parameters_touches_no_centroid() {
    let mut index = index(Arc::new(FlatSpec), DirectMapKind::None);
    let asked = Arc::<AtomicUsize>::default();
    let inner = index.quantizer().expect("trained");
    let watched = Watched { inner, spoilt: None, asked: asked.clone() };
    index.replace_quantizer(Arc::new(watched)).expect("the same centroids");
    let checked = asked.swap(0, Ordering::Relaxed);
    assert!(checked >= NLIST, "{checked} centroids looked at when they were checked");
    let index: &mut dyn Index = &mut index;
    assert_eq!(index.parts().len(), 4);
    index.set_knob("nprobe", 4).expect("a knob that is there");
    assert!(index.takes().contains(ivf::SearchParam::Nprobe));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

/// By Jaccard, k-means once scaled its centroids to unit length, and one list in two was empty.
#[test]
fn lists_by_any_metric_are_about_even() {
    const DIM: usize = 32;
    let mut vectors = data::clusters(1, 4000, DIM, 40);
    vectors.data.iter_mut().for_each(|x| *x = x.abs());
    for metric in [Metric::L1, Metric::Canberra, Metric::BrayCurtis, Metric::JensenShannon, Metric::Jaccard] {
        let mut index = ivf::build("IVF64,Flat", DIM, metric).expect("a good string");
        index.train(vectors.rows()).expect("enough vectors");
        index.add(vectors.rows()).expect("finite vectors");
        let lists = index.as_ivf().expect("lists").lists().expect("trained");
        let longest = (0..64).map(|list| lists.list_len(ListNo(list)).expect("in memory")).max();
        assert!(longest < Some(4 * 4000 / 64), "{metric}: {longest:?}");
    }
}
