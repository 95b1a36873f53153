//! Shards and replicas: several indexes as one.

use ivf::cpu::{Group, RayonPool};
use ivf::error::{AddError, EditError, PartsError, ReconstructError, SearchError};
use ivf::{AddOptions, Id, IdSelector, Index, Metric, Rows, SearchParams};
use ivf_testkit::data;

const DIM: usize = 16;
const VECTORS: usize = 900;

/// Kinds that add with ids.
const KINDS: [&str; 6] = ["Flat", "IVF16,Flat", "IVF16,PQ8x4fs", "IVF16,SQ8", "L2norm,IVF16,Flat", "IDMap2,IVF16,PQ8"];

fn filled(spec: &str, metric: Metric) -> Box<dyn Index> {
    let mut index = ivf::build(spec, DIM, metric).unwrap_or_else(|error| panic!("{error}"));
    let vectors = data::clusters(1, VECTORS, DIM, 12);
    index.train(vectors.rows()).unwrap();
    index.add(vectors.rows()).unwrap();
    index
}

fn lens(index: &dyn Index) -> Vec<usize> {
    let index: &dyn std::any::Any = index;
    index.downcast_ref::<Group>().unwrap().members().iter().map(|member| member.len()).collect()
}

/// Shards of one training find what one index of all vectors finds, and replicas too, whatever the
/// executor and the batch.
#[test]
fn results_are_those_of_one_index() {
    let queries = data::clusters(2, 9, DIM, 12);
    // Fewer threads than shards, and more.
    let pools = [3, 8].map(|threads| RayonPool::new(threads).unwrap());
    let pools: Vec<Option<&dyn ivf::Executor>> = pools.iter().map(|pool| Some(pool as &dyn ivf::Executor)).collect();
    for kind in KINDS {
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
            let one = filled(kind, metric);
            for group in ["Shards4", "Replicas2"] {
                let spec = format!("{group}({kind})");
                let many = filled(&spec, metric);
                assert_eq!((many.spec(), many.len()), (spec.clone(), VECTORS));
                let mut params = SearchParams::new();
                if kind.contains("IVF") {
                    params.nprobe = Some(5);
                }
                let expected = one.search(queries.rows(), 7, &params).unwrap().hits;
                for executor in [None, pools[0], pools[1]] {
                    params.executor = executor;
                    let found = many.search(queries.rows(), 7, &params).unwrap().hits;
                    assert_eq!(found, expected, "{spec}, {metric}");
                    let alone = many.search(queries.rows().slice(3..4), 7, &params).unwrap().hits;
                    assert_eq!(alone.row(0), expected.row(3), "{spec}, {metric}");
                }
                let radius = expected.row(0).distances[6];
                let range = |index: &dyn Index| index.range_search_with(queries.rows(), radius, &params).unwrap().hits;
                assert_eq!(range(&*many), range(&*one), "{spec}, {metric}");
                let (hits, vectors) = many.search_and_reconstruct(queries.rows(), 3).unwrap();
                let hits = hits.hits;
                assert_eq!(vectors, many.reconstruct_many(hits.ids()).unwrap(), "{spec}, {metric}");
                assert_eq!(vectors, one.reconstruct_many(hits.ids()).unwrap(), "{spec}, {metric}");
            }
        }
    }
}

#[test]
fn adds_fill_shards_evenly_with_consecutive_ids() {
    let vectors = data::clusters(1, 23, DIM, 3);
    let mut index = ivf::build("Shards3(Flat)", DIM, Metric::L2).unwrap();
    for (rows, expected) in
        [(0..1, [1, 0, 0]), (1..2, [1, 1, 0]), (2..12, [4, 4, 4]), (12..12, [4, 4, 4]), (12..23, [8, 8, 7])]
    {
        index.add(vectors.rows().slice(rows)).unwrap();
        assert_eq!(lens(&*index), expected);
    }
    for id in 0..23 {
        assert_eq!(index.reconstruct(Id(id)).unwrap(), vectors.rows().row(id as usize));
    }
    assert_eq!(index.reconstruct_n(0..23).unwrap(), vectors.data);
    // The smallest shard gets the next vector, under the next id.
    index.remove(&IdSelector::range(0..2)).unwrap();
    index.add(vectors.rows().slice(0..1)).unwrap();
    assert_eq!((lens(&*index), index.reconstruct(Id(23)).unwrap()), (vec![8, 7, 7], vectors.rows().row(0).to_vec()));
    assert!(index.reconstruct(Id(1)).is_err());
}

#[test]
fn an_edit_is_made_in_all_members_or_in_none() {
    // Members of the last one cannot undo an add, so they are cloned before.
    for spec in
        ["Shards3(Flat)", "Shards3(L2norm,IVF4,Flat)", "Replicas2(L2norm,Flat)", "Shards2(IDMap2,IVF4,PQ8,RFlat)"]
    {
        let mut index = ivf::build(spec, DIM, Metric::L2).unwrap();
        let vectors = data::clusters(1, 300, DIM, 5);
        index.train(vectors.rows()).unwrap();
        index.add(vectors.rows()).unwrap();
        let before = index.clone_index().unwrap();
        // A list that was written to may keep its ids in another form, so exports may differ.
        let same = |index: &dyn Index| {
            let state = |index: &dyn Index| {
                let mut next = index.clone_index().unwrap();
                next.add(vectors.rows().slice(0..1)).unwrap();
                let last = next.reconstruct(Id(300)).unwrap();
                (lens(index), index.reconstruct_n(0..300).unwrap(), last, next.len())
            };
            state(index) == state(&*before)
        };
        // The last row is bad, and belongs to the last shard. Before `L2norm`, zero is bad too.
        let mut rows = vectors.data[..30 * DIM].to_vec();
        rows[29 * DIM..].fill(if spec.contains("L2norm") { 0.0 } else { f32::NAN });
        let rows = Rows::new(&rows, DIM).unwrap();
        let error = index.add(rows).unwrap_err();
        assert!(matches!(&error, AddError::Input(error) if error.to_string().contains("29")), "{spec}: {error}");
        assert!(same(&*index), "{spec}: an add");
        let ids: Vec<Id> = (0..30).map(|i| Id(i * 9)).collect();
        assert!(index.update(&ids, rows).is_err());
        assert!(same(&*index), "{spec}: an update");
        let missing = index.update(&[Id(1), Id(5000)], rows.slice(0..2));
        assert!(matches!(missing, Err(EditError::NoSuchId(Id(5000)))), "{spec}: {missing:?}");
        let twice = index.update(&[Id(1), Id(1)], rows.slice(0..2));
        assert!(matches!(twice, Err(EditError::TwiceNamed(Id(1)))), "{spec}: {twice:?}");
        assert!(same(&*index), "{spec}: an update of no id");
        index.update(&[Id(250), Id(7)], rows.slice(0..2)).unwrap();
        let report = index.upsert(&[Id(250), Id(4000)], rows.slice(3..5)).unwrap();
        assert_eq!((report.updated, report.added, index.len()), (1, 1, 301), "{spec}");
        assert_eq!(index.reconstruct(Id(250)).unwrap(), index.reconstruct(Id(3)).unwrap(), "{spec}");
    }
}

/// An index that re-ranks by a group finds what it finds by one index of all vectors.
#[test]
fn groups_re_rank_as_one_index_does() {
    let queries = data::clusters(2, 9, DIM, 12);
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        for (group, one) in [
            ("Shards2(Flat)", "Flat"),
            ("Shards3(IVF4,Flat)", "IVF4,Flat"),
            ("Shards2(L2norm,Flat)", "L2norm,Flat"),
            ("Shards2(IDMap2,Flat)", "Flat"),
            ("Shards2(IDMap,Flat)", "Flat"),
            ("Replicas2(Flat)", "Flat"),
        ] {
            let (spec, one) = (format!("PQ4,Refine({group})"), format!("PQ4,Refine({one})"));
            let (index, one) = (filled(&spec, metric), filled(&one, metric));
            // The shards of few candidates are looked up. Those of many are found by a scan.
            for k in [4, 15] {
                let find = |index: &dyn Index| index.search(queries.rows(), k, &SearchParams::new()).unwrap().hits;
                let (found, expected) = (find(&*index), find(&*one));
                assert_eq!(found.ids(), expected.ids(), "{spec}, {metric}, k {k}");
                for (a, b) in found.rows().zip(expected.rows()) {
                    let near = a.distances.iter().zip(b.distances);
                    assert!(near.into_iter().all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + b.abs())), "{spec}, {metric}");
                }
            }
        }
    }
}

#[test]
fn distances_are_those_of_the_shard_with_the_id() {
    for spec in ["Shards3(Flat)", "Shards3(IVF4,Flat)", "Replicas2(Flat)"] {
        let mut index = filled(spec, Metric::L2);
        let query = data::clusters(2, 1, DIM, 12).data;
        // The first and the last vector, those at the bounds of shards, and one twice.
        let ids = [899, 0, 300, 299, 600, 599, 0].map(Id);
        let expected: Vec<f32> = index.reconstruct_many(&ids).unwrap();
        let expected = expected.chunks_exact(DIM);
        let expected: Vec<f32> =
            expected.map(|row| row.iter().zip(&query).map(|(a, b)| (a - b).powi(2)).sum()).collect();
        // Ids are found by a scan, and then looked up.
        for map in ["none", "hash"] {
            index.set_knob("direct_map", map).unwrap();
            let measure = index.as_distances().unwrap();
            let mut distances = [0.0; 7];
            measure.distances_to(&query, &ids, &mut distances).unwrap();
            let near = distances.iter().zip(&expected);
            assert!(near.into_iter().all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + *b)), "{spec}: {distances:?}");
            let missing = measure.distances_to(&query, &[Id(1), Id(900)], &mut distances[..2]);
            let missing = missing.unwrap_err();
            assert!(
                matches!(missing, SearchError::Reconstruct(ReconstructError::NoSuchId(Id(900)))),
                "{spec}: {missing:?}"
            );
            assert!(measure.distances_to(&query[1..], &ids, &mut distances).is_err());
            assert!(measure.distances_to(&query, &ids, &mut distances[1..]).is_err());
        }
    }
}

/// Each group inside another one multiplies the number of indexes.
#[test]
fn one_group_may_be_inside_another_one() {
    for text in ["Replicas2(Shards2(Flat))", "Shards2(Flat),Refine(Replicas2(Shards2(Flat)))"] {
        ivf::build(text, DIM, Metric::L2).unwrap_or_else(|error| panic!("{error}"));
    }
    for text in ["Shards2(Replicas2(Shards2(Flat)))", "Replicas2(Shards2(Flat),Refine(Shards2(Flat)))"] {
        let error = text.parse::<ivf::Spec>().unwrap_err().to_string();
        assert!(error.contains("more than 2 of Shards and Replicas in one of them"), "{error}");
    }
}

#[test]
fn ids_that_several_shards_have_are_updated_and_removed_together() {
    let vectors = data::clusters(1, 12, DIM, 3);
    let mut index = ivf::build("Shards3(Flat)", DIM, Metric::L2).unwrap();
    let ids: Vec<Id> = (0..12).map(|i| Id(i % 4)).collect();
    index.add_with_ids(vectors.rows(), &ids).unwrap();
    index.update(&[Id(2)], vectors.rows().slice(0..1)).unwrap();
    assert_eq!(index.len(), 10);
    assert_eq!(index.reconstruct(Id(2)).unwrap(), vectors.rows().row(0));
    assert_eq!(index.remove(&IdSelector::set([Id(1), Id(2)])).unwrap(), 4);
}

#[test]
fn members_that_do_not_fit_are_refused() {
    let flat = |dim, metric| ivf::build("Flat", dim, metric).unwrap();
    for members in [
        vec![],
        vec![flat(4, Metric::L2), flat(5, Metric::L2)],
        vec![flat(4, Metric::L2), flat(4, Metric::InnerProduct)],
        vec![flat(4, Metric::L2), ivf::build("SQfp16", 4, Metric::L2).unwrap()],
        (0..65).map(|_| flat(4, Metric::L2)).collect(),
    ] {
        assert!(matches!(Group::shards(members), Err(PartsError::Mismatch(_))));
    }
    let mut one = flat(1, Metric::L2);
    one.add(Rows::new(&[1.0_f32], 1).unwrap()).unwrap();
    assert!(Group::replicas(vec![one.clone_index().unwrap(), flat(1, Metric::L2)]).is_err());
    // Shards that were filled elsewhere, under the ids of their caller.
    let mut other = flat(1, Metric::L2);
    other.add_with_ids(Rows::new(&[2.0_f32], 1).unwrap(), &[Id(70)]).unwrap();
    let mut shards: Box<dyn Index> = Box::new(Group::shards(vec![one, other]).unwrap());
    shards.add(Rows::new(&[3.0_f32, 4.0], 1).unwrap()).unwrap();
    assert_eq!(shards.reconstruct_many(&[Id(71), Id(0), Id(72), Id(70)]).unwrap(), [3.0, 1.0, 4.0, 2.0]);

    let error = ivf::build("Shards2(IVF4,PQ8,RFlat)", DIM, Metric::L2).unwrap_err().to_string();
    assert!(error.contains("cannot add with ids") && error.contains("Shards2(IDMap2,IVF4,PQ8,RFlat)"), "{error}");
    assert!(ivf::build("Shards2(IDMap2,IVF4,PQ8,RFlat)", DIM, Metric::L2).is_ok());
}

#[test]
fn a_knob_is_set_in_all_members() {
    let mut index = filled("Shards3(IVF16,Flat)", Metric::L2);
    index.set_knob("nprobe", 4).unwrap();
    assert_eq!(index.knob("members/nprobe"), None);
    assert_eq!(index.knob("nprobe"), Some(4.into()));
    index.set_knob_at("members", "nprobe", 6.into()).unwrap();
    assert!(index.set_knob_at("members", "nprobe", 0.into()).is_err());
    let group: &dyn std::any::Any = &*index;
    for shard in group.downcast_ref::<Group>().unwrap().members() {
        assert_eq!(shard.knob("nprobe"), Some(6.into()));
    }
    let error = index.set_knob("ht", 3).unwrap_err().to_string();
    assert!(error.contains("polysemous") && error.contains("nprobe"), "{error}");
}

/// Training is shared: its memory and its time are those of one index.
#[test]
fn shards_have_one_training() {
    let index = filled("Shards4(IVF16,PQ8)", Metric::L2);
    let group: &dyn std::any::Any = &*index;
    let shards = group.downcast_ref::<Group>().unwrap().members();
    let of = |at: usize| {
        let ivf = shards[at].find_ivf().unwrap();
        (
            std::sync::Arc::as_ptr(&ivf.quantizer().unwrap()).cast::<()>(),
            std::sync::Arc::as_ptr(&ivf.codec().unwrap()).cast::<()>(),
        )
    };
    assert!((1..4).all(|at| of(at) == of(0)));
    let mut skipping = index.clone_index().unwrap();
    let rows = [[f32::NAN; DIM], [1.0; DIM]].concat();
    let options = AddOptions::new().non_finite(ivf::params::NonFinite::SkipRow);
    let report = skipping.add_with(Rows::new(&rows, DIM).unwrap(), &options).unwrap();
    assert_eq!((report.added, report.skipped, skipping.len()), (1, vec![0], VECTORS + 1));
    // A skipped row uses up its id.
    assert!(skipping.reconstruct(Id(VECTORS as i64)).is_err() && skipping.reconstruct(Id(VECTORS as i64 + 1)).is_ok());
}
