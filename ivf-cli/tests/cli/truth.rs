//! Tests of `ivf truth`, and of recall measured with its files.

use crate::files::{Folder, nearest, read_vecs, vectors};
use crate::program::{Ran, ivf};

const DIM: usize = 6;

fn truth(folder: &Folder, metric: &str, more: &[&str]) -> Ran {
    let (base, queries, out) = (folder.arg("base.fvecs"), folder.arg("queries.fvecs"), folder.arg("truth.ivecs"));
    let args = ["truth", "--base", &base, "--queries", &queries, "--metric", metric, "--out", &out];
    ivf(args.iter().chain(more))
}

fn build(folder: &Folder, factory: &str, metric: &str) {
    let (base, index) = (folder.arg("base.fvecs"), folder.arg("index.ivf"));
    ivf(["build", "--factory", factory, "--metric", metric, "--base", &base, "--out", &index]).ok();
}

fn eval(folder: &Folder, more: &[&str]) -> Ran {
    let (index, queries, truth) = (folder.arg("index.ivf"), folder.arg("queries.fvecs"), folder.arg("truth.ivecs"));
    ivf(["eval", &index, "--queries", &queries, "--ground-truth", &truth, "--json"].iter().chain(more))
}

/// Returns a value of the only row of an evaluation.
fn of_row(ran: &Ran, name: &str) -> serde_json::Value {
    let rows: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
    rows[0][name].clone()
}

#[test]
fn the_neighbours_are_those_of_exact_search_and_ties_go_to_the_smaller_id() {
    let folder = Folder::new();
    // Every vector occurs three times, far apart.
    let base = vectors(300, DIM, 1).repeat(3);
    let queries = vectors(20, DIM, 2);
    folder.fvecs("base.fvecs", DIM, &base);
    folder.fvecs("queries.fvecs", DIM, &queries);
    let distances = folder.arg("distances.fvecs");
    let said = truth(&folder, "l2", &["-k", "8", "--out-distances", &distances, "--threads", "2"]).ok().stdout;
    assert!(said.contains("the 8 nearest of 900 vectors for 20 queries, l2 metric"), "{said}");
    let ids = |name: &str| -> Vec<i32> {
        read_vecs(&folder.path(name)).concat().into_iter().map(i32::from_le_bytes).collect()
    };
    assert_eq!(ids("truth.ivecs"), nearest(&base, &queries, DIM, 8));

    // For every metric, the ids and distances are those of an index. A small limit makes blocks of
    // a few vectors.
    let base = vectors(6000, DIM, 3).repeat(2);
    folder.fvecs("base.fvecs", DIM, &base);
    for metric in ["ip", "cosine", "l1", "lp:3", "jaccard"] {
        build(&folder, "Flat", metric);
        let (index, queries) = (folder.arg("index.ivf"), folder.arg("queries.fvecs"));
        let (out, found) = (folder.arg("found.ivecs"), folder.arg("found.fvecs"));
        let args = ["search", &index, "--queries", &queries, "-k", "50", "--out-ids", &out, "--out-distances", &found];
        ivf(args).ok();
        for limit in [&[][..], &["--memory-limit", "40M"]] {
            truth(&folder, metric, &[&["-k", "50", "--out-distances", &distances], limit].concat()).ok();
            assert_eq!(ids("truth.ivecs"), ids("found.ivecs"), "{metric}");
            assert_eq!(read_vecs(distances.as_ref()), read_vecs(found.as_ref()), "{metric}");
        }
    }
}

#[test]
fn rows_are_as_wide_as_there_are_vectors() {
    let folder = Folder::new();
    folder.fvecs("base.fvecs", DIM, &vectors(7, DIM, 1));
    folder.fvecs("queries.fvecs", DIM, &vectors(3, DIM, 2));
    truth(&folder, "ip", &[]).ok();
    let rows = read_vecs(&folder.path("truth.ivecs"));
    assert!(rows.len() == 3 && rows.iter().all(|row| row.len() == 7));
}

#[test]
fn what_cannot_be_computed_is_an_error_and_leaves_no_file() {
    let folder = Folder::new();
    folder.fvecs("base.fvecs", DIM, &vectors(150_000, DIM, 1));
    let mut queries = vectors(5, DIM, 2);
    folder.fvecs("queries.fvecs", DIM, &queries);
    for (more, code, expected) in [
        (&["--memory-limit", "33M"][..], 1, "the memory limit is 33.00 MiB"),
        (&["--memory-limit", "40M", "-k", "1000000"], 1, "has no room for 150000 neighbours"),
        (&["--out-distances", &folder.arg("truth.ivecs")], 2, "cannot be written"),
        (&["-k", "0"], 2, "0 is not in"),
    ] {
        let message = truth(&folder, "l2", more).failed(code);
        assert!(message.contains(expected), "{message}");
    }
    queries[3 * DIM] = f32::NAN;
    folder.fvecs("queries.fvecs", DIM, &queries);
    let message = truth(&folder, "l2", &[]).failed(1);
    assert!(message.contains("queries.fvecs: vector 3 holds a NaN"), "{message}");
    // The number of a zero vector is that in the file, not in its block.
    let mut base = vectors(150_000, DIM, 1);
    base[149_999 * DIM..].fill(0.0);
    folder.fvecs("base.fvecs", DIM, &base);
    folder.fvecs("queries.fvecs", DIM, &vectors(5, DIM, 2));
    let message = truth(&folder, "cosine", &["--memory-limit", "40M"]).failed(1);
    assert!(message.contains("vector 149999 has no direction"), "{message}");
    folder.fvecs("queries.fvecs", 3, &vectors(5, 3, 2));
    let message = truth(&folder, "l2", &[]).failed(1);
    assert!(message.contains("has vectors of 3 dimensions"), "{message}");
    assert!(!folder.path("truth.ivecs").exists());
}

#[test]
fn bad_vectors_and_queries_are_skipped_if_asked() {
    let folder = Folder::new();
    let (mut base, mut queries) = (vectors(9000, DIM, 1), vectors(4, DIM, 2));
    base[2 * DIM] = f32::NAN;
    base[8000 * DIM..8001 * DIM].fill(0.0);
    queries[DIM] = f32::INFINITY;
    queries[3 * DIM..].fill(0.0);
    folder.fvecs("base.fvecs", DIM, &base);
    folder.fvecs("queries.fvecs", DIM, &queries);
    for (metric, bad, without) in [("l2", 1, &[1][..]), ("cosine", 2, &[1, 3])] {
        let message = truth(&folder, metric, &[]).failed(1);
        assert!(message.contains("base.fvecs: vector "), "{message}");
        assert!(message.ends_with("; --skip-bad-rows skips such vectors\n"), "{message}");
        // One block, or several.
        for limit in [&[][..], &["--memory-limit", "40M"]] {
            let ran = truth(&folder, metric, &[&["-k", "9000", "--skip-bad-rows"], limit].concat()).ok();
            let counts = if bad == 1 { ["1 vector of ", "1 query of "] } else { ["2 vectors of ", "2 queries of "] };
            assert!(counts.iter().all(|what| ran.stderr.contains(&format!("warning: {what}"))), "{}", ran.stderr);
            for (number, row) in read_vecs(&folder.path("truth.ivecs")).into_iter().enumerate() {
                let mut ids: Vec<i32> = row.into_iter().map(i32::from_le_bytes).collect();
                ids.sort_unstable();
                let is_skipped = |id: &i32| *id == 2 || (*id == 8000 && bad == 2);
                let mut expected = vec![-1; if without.contains(&number) { 9000 } else { bad }];
                expected.extend((0..9000).filter(|id| !is_skipped(id)));
                expected.truncate(9000);
                assert_eq!(ids, expected, "{metric}, query {number}");
            }
        }
    }
}

/// A folder with 30 vectors of 20 copies each, and a ground truth that names the last copies, with
/// their distances.
fn copies(dim: usize) -> Folder {
    let folder = Folder::new();
    let (distinct, queries) = (vectors(30, dim, 1), vectors(12, dim, 2));
    folder.fvecs("base.fvecs", dim, &distinct.repeat(20));
    folder.fvecs("queries.fvecs", dim, &queries);
    let last = nearest(&distinct, &queries, dim, 1);
    let ids: Vec<i32> = last.iter().flat_map(|id| (10..20).map(move |copy| copy * 30 + id)).collect();
    folder.ivecs("truth.ivecs", 10, &ids);
    let squared = |id: i32, query: usize| -> f32 {
        let pairs = distinct[id as usize * dim..][..dim].iter().zip(&queries[query * dim..]);
        pairs.map(|(x, y)| (x - y) * (x - y)).sum()
    };
    let distances: Vec<f32> = last.iter().enumerate().flat_map(|(query, id)| [squared(*id, query); 10]).collect();
    folder.fvecs("distances.fvecs", 10, &distances);
    folder
}

#[test]
fn other_copies_of_a_true_neighbour_are_right() {
    let folder = copies(DIM);
    let distances = folder.arg("distances.fvecs");
    for factory in ["Flat", "IVF4,Flat", "IDMap,Flat", "IVF4,Flat,RFlat"] {
        build(&folder, factory, "l2");
        for more in [&[][..], &["--ground-truth-distances", &distances]] {
            let more = [more, if factory.starts_with("IVF") { &["--nprobe", "4"] } else { &[] }].concat();
            let found = eval(&folder, &more).ok();
            assert_eq!(
                (of_row(&found, "recall_at_10"), of_row(&found, "recall_by")),
                (1.0.into(), "distance".into()),
                "{factory}"
            );
            assert_eq!(of_row(&found, "recall_at_1"), 1.0, "{factory}");
        }
    }
    // A refined index holds the vectors, whatever its candidates come from.
    build(&folder, "IVF1,SQ8,RFlat", "l2");
    let found = eval(&folder, &["--k-factor", "60"]).ok();
    assert_eq!((of_row(&found, "recall_at_10"), of_row(&found, "recall_by")), (1.0.into(), "distance".into()));
    // A bad query has no results, and changes nothing for the others.
    for metric in ["l2", "cosine"] {
        build(&folder, "Flat", metric);
        truth(&folder, metric, &["-k", "10"]).ok();
        let mut queries = vectors(12, DIM, 2);
        queries[..DIM].fill(if metric == "l2" { f32::NAN } else { 0.0 });
        folder.fvecs("bad.fvecs", DIM, &queries);
        let (index, bad, truth) = (folder.arg("index.ivf"), folder.arg("bad.fvecs"), folder.arg("truth.ivecs"));
        let args = ["eval", &index, "--queries", &bad, "--ground-truth", &truth, "--skip-bad-rows", "--json"];
        let found = ivf(args).ok();
        assert_eq!(of_row(&found, "recall_by"), "distance", "{metric}");
        let recall = of_row(&found, "recall_at_10").as_f64().unwrap();
        assert!((recall - 11.0 / 12.0).abs() < 1e-6, "{metric}: {recall}");
    }
    build(&folder, "Flat", "cosine");
    truth(&folder, "cosine", &["-k", "10"]).ok();
    assert_eq!(of_row(&eval(&folder, &[]).ok(), "recall_by"), "distance");
    let folder = copies(DIM);
    // A search measures recall in the same way, unless it leaves the vectors in the file.
    build(&folder, "Flat", "l2");
    let (index, queries, truth) = (folder.arg("index.ivf"), folder.arg("queries.fvecs"), folder.arg("truth.ivecs"));
    let search = |more: &[&str]| {
        let args = ["search", &index, "--queries", &queries, "--ground-truth", &truth];
        ivf(args.iter().chain(more)).ok().stdout
    };
    assert!(search(&[]).contains(" 1.0000 |") && search(&["--in-place"]).contains(" 0.0000 |"), "{}", search(&[]));
    assert!(search(&["--in-place"]).contains("Recall counts results whose ids are"), "{}", search(&["--in-place"]));
}

#[test]
fn ids_are_compared_where_distances_say_nothing() {
    let folder = copies(16);
    let distances = folder.arg("distances.fvecs");
    // Product codes are approximations, with distances of their own.
    folder.fvecs("learn.fvecs", 16, &vectors(400, 16, 5));
    let (base, learn, index) = (folder.arg("base.fvecs"), folder.arg("learn.fvecs"), folder.arg("index.ivf"));
    let args = ["build", "--factory", "PQ4", "--metric", "l2", "--base", &base, "--learn", &learn, "--out", &index];
    ivf(args).ok();
    for more in [&[][..], &["--ground-truth-distances", &distances]] {
        let found = eval(&folder, more).ok();
        assert_eq!(of_row(&found, "recall_by"), "id", "{more:?}");
        assert!(of_row(&found, "recall_at_10").as_f64().unwrap() < 1.0);
    }
    // Distances of another metric.
    build(&folder, "Flat", "l1");
    assert_eq!(of_row(&eval(&folder, &["--ground-truth-distances", &distances]).ok(), "recall_by"), "id");
    let short = folder.fvecs("short.fvecs", 3, &[0.0; 36]);
    let message = eval(&folder, &["--ground-truth-distances", &short]).failed(1);
    assert!(message.contains("12 rows of 3 distances for 12 rows of 10 ids"), "{message}");
}

#[test]
fn a_narrow_ground_truth_is_measured_at_its_width() {
    let folder = copies(DIM);
    build(&folder, "Flat", "l2");
    let ids: Vec<i32> = nearest(&vectors(30, DIM, 1).repeat(20), &vectors(12, DIM, 2), DIM, 3);
    folder.ivecs("truth.ivecs", 3, &ids);
    let found = eval(&folder, &[]).ok();
    assert_eq!((of_row(&found, "recall_at_3"), of_row(&found, "k")), (1.0.into(), 3.into()));
    assert!(found.stderr.contains("rows of 3 ids: recall is measured at 3, not 10"), "{}", found.stderr);
    let found = eval(&folder, &["-k", "2"]).ok();
    assert_eq!((of_row(&found, "recall_at_2"), found.stderr.as_str()), (1.0.into(), ""));
}

#[test]
fn ids_that_the_index_does_not_have_are_counted() {
    let folder = Folder::new();
    let (base, queries) = (vectors(300, DIM, 1), vectors(12, DIM, 2));
    folder.fvecs("base.fvecs", DIM, &base);
    folder.fvecs("queries.fvecs", DIM, &queries);
    let mut ids = nearest(&base, &queries, DIM, 10);
    for factory in ["Flat", "IVF4,Flat", "IDMap2,Flat", "IVF4,PQ3"] {
        build(&folder, factory, "l2");
        folder.ivecs("truth.ivecs", 10, &ids);
        assert!(!eval(&folder, &[]).ok().stderr.contains("not in the index"), "{factory}");
        // Ids as another tool may count them. -1 stands for no id.
        let shifted: Vec<i32> = ids.iter().map(|id| id + 1000).collect();
        folder.ivecs("truth.ivecs", 10, &shifted);
        let said = eval(&folder, &[]).ok().stderr;
        assert!(said.contains("warning: 120 of the 120 ids in "), "{factory}: {said}");
        assert!(said.contains("are not in the index, which has 300 vectors"), "{factory}: {said}");
    }
    (ids[3], ids[17], ids[18]) = (300, -7, -1);
    folder.ivecs("truth.ivecs", 10, &ids);
    build(&folder, "Flat", "l2");
    let found = eval(&folder, &[]).ok();
    assert!(found.stderr.contains("warning: 2 of the 119 ids in "), "{}", found.stderr);
    assert_eq!(of_row(&found, "recall_by"), "distance");
    let (index, truth) = (folder.arg("index.ivf"), folder.arg("truth.ivecs"));
    let said = ivf(["search", &index, "--queries", &folder.arg("queries.fvecs"), "--ground-truth", &truth]).ok().stderr;
    assert!(said.contains("warning: 2 of the 119 ids in "), "{said}");
}

#[test]
fn a_ground_truth_of_something_else_is_told() {
    let folder = Folder::new();
    folder.fvecs("base.fvecs", DIM, &vectors(400, DIM, 1));
    folder.fvecs("queries.fvecs", DIM, &vectors(30, DIM, 2));
    build(&folder, "Flat", "l2");
    let recall = |of: &str| {
        let ran = eval(&folder, &["-k", "10"]).ok();
        let told = ran.stderr.contains("the ground truth is of other vectors, other queries or another metric");
        assert_eq!((told, of_row(&ran, "recall_by") == "id"), (of != "l2", of != "l2"), "{of}: {}", ran.stderr);
        of_row(&ran, "recall_at_10").as_f64().expect("a number")
    };
    truth(&folder, "l2", &["-k", "10"]).ok();
    assert_eq!(recall("l2"), 1.0);
    truth(&folder, "ip", &["-k", "10"]).ok();
    assert!(recall("ip") < 0.9);
    for (of, id) in [("any ids", &(|i: i32| (i * 7919) % 400) as &dyn Fn(i32) -> i32), ("one id", &|_| 0)] {
        let ids: Vec<i32> = (0..300).map(id).collect();
        folder.ivecs("truth.ivecs", 10, &ids);
        assert!(recall(of) < 0.2, "{of}");
    }
}
