//! Tests of building an index file from vector files, and of searching it.

use crate::files::{Folder, nearest, read_vecs, vectors};
use crate::program::ivf;

const DIM: usize = 6;

/// A folder with 300 base vectors, 12 queries and the true nearest 8 of each.
fn folder() -> Folder {
    let folder = Folder::new();
    let (base, queries) = (vectors(300, DIM, 1), vectors(12, DIM, 2));
    folder.fvecs("base.fvecs", DIM, &base);
    folder.fvecs("queries.fvecs", DIM, &queries);
    folder.ivecs("truth.ivecs", 8, &nearest(&base, &queries, DIM, 8));
    folder
}

fn build(folder: &Folder, factory: &str, metric: &str, more: &[&str]) -> crate::program::Ran {
    let (base, out) = (folder.arg("base.fvecs"), folder.arg("index.ivf"));
    let args = ["build", "--factory", factory, "--metric", metric, "--base", &base, "--out", &out];
    ivf(args.iter().chain(more))
}

fn search(folder: &Folder, more: &[&str]) -> crate::program::Ran {
    let (index, queries) = (folder.arg("index.ivf"), folder.arg("queries.fvecs"));
    ivf(["search", &index, "--queries", &queries].iter().chain(more))
}

#[test]
fn flat_finds_the_truth() {
    let folder = folder();
    let built = build(&folder, "Flat", "l2", &[]).ok();
    assert!(built.stdout.starts_with("Flat: 300 vectors, "), "{}", built.stdout);
    assert_eq!(built.stdout.lines().count(), 1);
    let bytes = std::fs::metadata(folder.path("index.ivf")).unwrap().len();
    assert!(built.stdout.ends_with(&format!(", {bytes} bytes\n")), "{}", built.stdout);

    let found = search(&folder, &["-k", "5", "--ground-truth", &folder.arg("truth.ivecs")]).ok();
    for expected in ["recall@5", "1.0000", "300.0", "codes per query"] {
        assert!(found.stdout.contains(expected), "{expected} in\n{}", found.stdout);
    }
    // Ten of the twelve queries are shown.
    assert!(found.stdout.contains("\n|     9 |") && !found.stdout.contains("\n|    10 |"), "{}", found.stdout);
}

#[test]
fn files_hold_the_ids_and_distances() {
    let folder = folder();
    build(&folder, "IVF4,Flat", "l2", &["--threads", "2", "--seed", "7"]).ok();
    let (ids, distances) = (folder.arg("ids.ivecs"), folder.arg("distances.fvecs"));
    let found = search(&folder, &["-k", "8", "--nprobe", "4", "--out-ids", &ids, "--out-distances", &distances]).ok();
    assert!(!found.stdout.contains("nearest"), "{}", found.stdout);
    assert_eq!(read_vecs(ids.as_ref()), read_vecs(&folder.path("truth.ivecs")));
    let distances = read_vecs(distances.as_ref());
    assert_eq!(distances.len(), 12);
    assert!(distances.iter().all(|row| row.len() == 8 && row.is_sorted_by_key(|v| f32::from_le_bytes(*v))));
}

#[test]
fn missing_results_are_padded() {
    let folder = folder();
    folder.fvecs("base.fvecs", DIM, &vectors(3, DIM, 1));
    let (ids, distances) = (folder.arg("ids.ivecs"), folder.arg("distances.fvecs"));
    for (metric, worst) in [("l2", f32::MAX), ("ip", -f32::MAX)] {
        build(&folder, "IDMap,Flat", metric, &[]).ok();
        let out = ["-k", "3", "--filter", "0,2", "--out-ids", &ids, "--out-distances", &distances];
        search(&folder, &out).ok();
        let (ids, distances) = (read_vecs(ids.as_ref()), read_vecs(distances.as_ref()));
        assert!(ids.iter().all(|row| i32::from_le_bytes(row[2]) == -1 && i32::from_le_bytes(row[1]) >= 0));
        assert!(distances.iter().all(|row| f32::from_le_bytes(row[2]) == worst));
    }
}

#[test]
fn fewer_probes_scan_fewer_codes() {
    let folder = folder();
    build(&folder, "IVF4,Flat", "cosine", &["--learn", &folder.arg("base.fvecs")]).ok();
    let all = search(&folder, &["--nprobe", "4"]).ok().stdout;
    let one = search(&folder, &["--nprobe", "1", "--threads", "1"]).ok().stdout;
    assert!(all.contains(" 300.0 ") && !one.contains(" 300.0 "), "{all}\n{one}");
}

#[test]
fn what_the_caller_should_know_is_a_warning() {
    let folder = folder();
    let few = build(&folder, "IVF64,Flat", "l2", &[]).ok();
    assert!(few.stderr.contains("warning: 300 training points are few for 64 centroids"), "{}", few.stderr);
    let unread = build(&folder, "Flat", "l2", &["--learn", "nowhere.fvecs"]).ok();
    assert!(unread.stderr.contains("warning: Flat needs no training: nowhere.fvecs is not read"), "{}", unread.stderr);
}

#[test]
fn a_parameter_the_index_does_not_take_is_an_error() {
    let folder = folder();
    build(&folder, "Flat", "l2", &[]).ok();
    let message = search(&folder, &["--nprobe", "3"]).failed(1);
    assert!(message.contains("nprobe"), "{message}");
}

#[test]
fn a_ground_truth_that_does_not_fit_is_an_error() {
    let folder = folder();
    build(&folder, "Flat", "l2", &[]).ok();
    let short = folder.ivecs("short.ivecs", 1, &[4]);
    let message = search(&folder, &["-k", "1", "--ground-truth", &short]).failed(1);
    assert!(message.contains("1 rows for 12 queries"), "{message}");
    let floats = folder.arg("queries.fvecs");
    let expected = format!("error: {floats} holds floats; ground truth must be ids\n");
    assert_eq!(search(&folder, &["-k", "1", "--ground-truth", &floats]).failed(1), expected);
    let (index, queries) = (folder.arg("index.ivf"), folder.arg("queries.fvecs"));
    assert_eq!(ivf(["eval", &index, "--queries", &queries, "--ground-truth", &floats]).failed(1), expected);
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let folder = folder();
    build(&folder, "Flat", "l2", &[]).ok();
    let args = ["search", &folder.arg("index.ivf"), "--queries", &folder.arg("queries.fvecs")];
    let mut child = crate::program::command(args).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn an_evaluation_has_one_row_a_setting() {
    let folder = folder();
    build(&folder, "IVF4,Flat", "l2", &[]).ok();
    let (index, queries, truth) = (folder.arg("index.ivf"), folder.arg("queries.fvecs"), folder.arg("truth10.ivecs"));
    let (base, asked) = (vectors(300, DIM, 1), vectors(12, DIM, 2));
    folder.ivecs("truth10.ivecs", 10, &nearest(&base, &asked, DIM, 10));
    let eval =
        |more: &[&str]| ivf(["eval", &index, "--queries", &queries, "--ground-truth", &truth].iter().chain(more));
    let svg = folder.arg("plot.svg");
    let found = eval(&["--nprobe", "1,4", "--threads", "1,2", "--json", "--plot", &svg]).ok();
    let rows: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    let settings: Vec<_> = rows.iter().map(|row| (row["nprobe"].as_u64(), row["threads"].as_u64())).collect();
    assert_eq!(settings, [(1, 1), (4, 1), (1, 2), (4, 2)].map(|(nprobe, threads)| (Some(nprobe), Some(threads))));
    for row in rows {
        let all = row["nprobe"] == 4;
        for share in ["recall_at_1", "recall_at_10"] {
            assert!(row[share].as_f64().unwrap() == 1.0 || !all, "{row}");
        }
        assert!(row["qps"].as_f64().unwrap() > 0.0 && row["qps_single"].as_f64().unwrap() > 0.0);
    }
    assert!(std::fs::read_to_string(&svg).unwrap().starts_with("<svg"));
    let shown = eval(&[]).ok().stdout;
    assert!(shown.contains("recall@10") && shown.contains("codes per query"), "{shown}");
}

#[test]
fn more_candidates_are_ranked_again_and_a_factor_that_cannot_be_is_an_error() {
    let folder = Folder::new();
    let (dim, base) = (4, vectors(400, 4, 7));
    let queries = folder.fvecs("queries.fvecs", dim, &base[..20 * dim]);
    folder.fvecs("base.fvecs", dim, &base);
    build(&folder, "PQ1,RFlat", "l2", &[]).ok();
    let truth = folder.ivecs("truth.ivecs", 10, &nearest(&base, &base[..20 * dim], dim, 10));
    let (index, recall) = (folder.arg("index.ivf"), |factor: &str| {
        let args =
            ["eval", &folder.arg("index.ivf"), "--queries", &queries, "--ground-truth", &truth, "--k-factor", factor];
        let rows: serde_json::Value =
            serde_json::from_str(&ivf(args.into_iter().chain(["--json"])).ok().stdout).unwrap();
        rows[0]["recall_at_10"].as_f64().unwrap()
    });
    // With a factor of 40, all vectors are candidates.
    assert!(recall("1") < recall("40"));
    assert_eq!(recall("40"), 1.0);
    let message = ivf(["search", &index, "--queries", &queries, "--k-factor", "0.5"]).failed(1);
    assert!(message.contains("k_factor"), "{message}");
}

#[test]
fn an_index_is_searched_where_it_lies() {
    let folder = Folder::new();
    let (base, index) = (folder.fvecs("a.fvecs", 4, &vectors(200, 4, 1)), folder.arg("a.ivf"));
    ivf(["build", "--factory", "IVF8,Flat", "--metric", "l2", "--base", &base, "--out", &index]).ok();
    let found = |name: &str, more: &[&str]| {
        let out = folder.arg(name);
        let args = ["search", &index, "--queries", &base, "-k", "3", "--nprobe", "3", "--out-ids", &out];
        ivf(args.iter().chain(more)).ok();
        read_vecs(&folder.path(name))
    };
    assert_eq!(found("read.ivecs", &[]), found("opened.ivecs", &["--in-place"]));
}
