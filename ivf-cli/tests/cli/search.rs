//! Tests of the options of `ivf search`: filters, ranges, queries from the index, parameters,
//! output.

use crate::files::{Folder, nearest, read_vecs, vectors};
use crate::program::{Ran, ivf};
use serde_json::Value;

const DIM: usize = 6;

/// A folder with an index of 300 vectors, and 12 queries.
fn folder(factory: &str) -> Folder {
    let folder = Folder::new();
    let base = folder.fvecs("base.fvecs", DIM, &vectors(300, DIM, 1));
    folder.fvecs("queries.fvecs", DIM, &vectors(12, DIM, 2));
    ivf(["build", "--factory", factory, "--metric", "l2", "--base", &base, "--out", &folder.arg("index.ivf")]).ok();
    folder
}

fn search(folder: &Folder, more: &[&str]) -> Ran {
    let (index, queries) = (folder.arg("index.ivf"), folder.arg("queries.fvecs"));
    ivf(["search", &index, "--queries", &queries].iter().chain(more))
}

/// Returns the lines of a search that prints JSON: the queries, and the summary.
fn json(folder: &Folder, more: &[&str]) -> (Vec<Value>, Value) {
    lines(&search(folder, &[&["--json"], more].concat()).ok())
}

fn lines(ran: &Ran) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let mut last = lines.pop().expect("a summary");
    (lines, last["summary"].take())
}

fn ids(line: &Value) -> Vec<i64> {
    line["ids"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
}

#[test]
fn json_has_a_line_for_each_query_and_a_summary() {
    let folder = folder("IVF4,Flat");
    let truth = nearest(&vectors(300, DIM, 1), &vectors(12, DIM, 2), DIM, 5);
    let file = folder.ivecs("truth.ivecs", 5, &truth);
    let (rows, summary) = json(&folder, &["-k", "5", "--nprobe", "4", "--ground-truth", &file]);
    assert_eq!(
        rows.iter().flat_map(ids).collect::<Vec<_>>(),
        truth.iter().map(|id| i64::from(*id)).collect::<Vec<_>>()
    );
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(row["query"], number);
        let distances: Vec<f64> = row["distances"].as_array().unwrap().iter().map(|d| d.as_f64().unwrap()).collect();
        assert!(distances.len() == 5 && distances.is_sorted());
        assert_eq!(row.get("locations"), None);
    }
    for (name, value) in [
        ("queries", Value::from(12)),
        ("results", 60.into()),
        ("codes_per_query", 300.0.into()),
        ("lists_per_query", 4.0.into()),
        ("recall_at_5", 1.0.into()),
        ("recall_by", "distance".into()),
    ] {
        assert_eq!(summary[name], value, "{name} in {summary}");
    }
    let (rows, _) = json(&folder, &["--params", "locations=true,nprobe=1", "-k", "2"]);
    assert!(rows.iter().all(|row| row["locations"].as_array().unwrap().len() == ids(row).len()));
    // With files for the results, only the summary is printed.
    let (rows, summary) = json(&folder, &["--out-ids", &folder.arg("ids.ivecs")]);
    assert!(rows.is_empty() && summary["queries"] == 12);
}

#[test]
fn a_parameter_is_known_by_its_alias() {
    let folder = folder("IVF4,PQ3,RFlat");
    let found = |params| json(&folder, &["--params", params]).0;
    assert_eq!(found("nprobe=4,k_factor=3"), found("nprobe=4,k_factor_rf=3"));
    assert_ne!(found("nprobe=4,k_factor=1"), found("nprobe=4,k_factor_rf=20"));
    let message = search(&folder, &["--params", "k_factor=0"]).failed(1);
    assert!(message.contains("k_factor_rf"), "{message}");
}

#[test]
fn a_filter_names_the_ids_that_may_be_found() {
    let folder = folder("IVF4,Flat");
    folder.write("ids.txt", b"3, 4\n10..13\t299\n");
    folder.ivecs("ids.ivecs", 2, &[3, 4, 10, 11, 12, 299]);
    let (text, vectors) = (format!("@{}", folder.arg("ids.txt")), format!("@{}", folder.arg("ids.ivecs")));
    let listed = [3, 4, 10, 11, 12, 299];
    for filter in ["3,4,10..13,299", "3..=4,10..13,299..", &text, &vectors] {
        let (rows, _) = json(&folder, &["-k", "300", "--nprobe", "4", "--filter", filter]);
        let (others, _) = json(&folder, &["-k", "300", "--nprobe", "4", "--filter", &format!("not:{filter}")]);
        for (row, others) in rows.iter().zip(&others) {
            let (mut found, others) = (ids(row), ids(others));
            found.sort_unstable();
            assert_eq!(found, listed, "{filter}");
            assert!(others.len() == 294 && others.iter().all(|id| !listed.contains(id)), "{filter}");
        }
    }
    for (filter, code, expected) in [
        ("3,x", 2, "'x' is neither an id nor a range of ids"),
        ("9..3", 2, "the range 9..3 is empty"),
        ("@nowhere.txt", 1, "cannot read the ids in nowhere.txt"),
        (&format!("@{}", folder.arg("index.ivf")), 1, "cannot read the ids in"),
    ] {
        let message = search(&folder, &["--filter", filter]).failed(code);
        assert!(message.contains(expected), "{message}");
    }
    let file = folder.arg("ids.ivecs");
    assert!(search(&folder, &["--filter", &vectors, "--out-ids", &file]).failed(2).contains("cannot be written"));
}

#[test]
fn a_radius_finds_all_that_are_nearer() {
    let folder = folder("IVF4,Flat");
    let (all, _) = json(&folder, &["-k", "300", "--nprobe", "4"]);
    let (rows, summary) = json(&folder, &["--radius", "1.5", "--nprobe", "4"]);
    let mut total = 0;
    for (row, all) in rows.iter().zip(&all) {
        let distances = all["distances"].as_array().unwrap().iter();
        let near = distances.filter(|distance| distance.as_f64().unwrap() < 1.5).count();
        assert_eq!(ids(row), ids(all)[..near]);
        total += near;
    }
    assert!(total > 12 && summary["results"] == total, "{summary}");
    let (capped, _) = json(&folder, &["--radius", "1.5", "--params", "nprobe=4,max_results=2"]);
    assert!(capped.iter().zip(&rows).all(|(capped, row)| ids(capped) == ids(row)[..ids(row).len().min(2)]));
    for more in [&["-k", "3"][..], &["--out-ids", "a.ivecs"], &["--ground-truth", "a.ivecs"]] {
        search(&folder, &[&["--radius", "1"], more].concat()).failed(2);
    }
    search(&folder, &["--radius", "near"]).failed(2);
    search(&folder, &["--radius", "NaN"]).failed(1);
}

#[test]
fn vectors_of_the_index_are_queries() {
    let folder = folder("IVF4,Flat");
    let index = folder.arg("index.ivf");
    let found = ivf(["search", &index, "--ids", "7,299,7", "-k", "1", "--nprobe", "4", "--json"]).ok();
    let (rows, _) = lines(&found);
    let pairs: Vec<_> = rows.iter().map(|row| (row["query"].as_i64().unwrap(), ids(row))).collect();
    assert_eq!(pairs, [(7, vec![7]), (299, vec![299]), (7, vec![7])]);
    let found = ivf(["search", &index, "--ids", "9, 5..7", "-k", "1", "--nprobe", "4", "--json"]).ok();
    assert_eq!(lines(&found).0.iter().flat_map(ids).collect::<Vec<_>>(), [9, 5, 6]);
    let message = ivf(["search", &index, "--ids", "5.."]).failed(2);
    assert!(message.contains("too many queries in --ids: these are 9223372036854775803 ids"), "{message}");
    let shown = ivf(["search", &index, "--ids", "299"]).ok().stdout;
    assert!(shown.contains("\n|   299 | 299: 0.0000"), "{shown}");
    let message = ivf(["search", &index, "--ids", "3,-1"]).failed(1);
    assert!(message.contains("cannot search with vectors of the index: there is no vector with id -1"), "{message}");
    ivf(["search", &index]).failed(2);
    search(&folder, &["--ids", "3"]).failed(2);
}

#[test]
fn any_search_parameter_is_set_by_its_name() {
    let folder = folder("IVF4,Flat");
    let codes = |params: &str| json(&folder, &["--params", params]).1["codes_per_query"].as_f64().unwrap();
    assert_eq!(codes("nprobe=4"), 300.0);
    assert!(codes("nprobe=4,max_codes=1") < 300.0 && codes("nprobe=4, max_lists = 2, mode=queries") < 300.0);
    for (more, code, expected) in [
        (&["--params", "efSearch=3"][..], 1, "does not take the search parameter efSearch"),
        (&["--params", "nporbe=3"][..], 1, "; it takes nprobe, "),
        (&["--params", "nprobe=0"], 1, "nprobe must be"),
        (&["--params", "nprobe=many"], 1, "nprobe must be a whole number of at least 1, not many"),
        (&["--params", "nprobe"], 2, "'nprobe' is not of the form name=value"),
        (&["--params", "nprobe=1,nprobe=2"], 2, "nprobe is given twice"),
        (&["--params", "nprobe=1", "--nprobe", "2"], 2, "nprobe is given twice"),
        (&["--params", "locations=true"], 2, "locations has an effect only with --json"),
        (&["--params", "locations=true", "--json", "--out-ids", "ids.ivecs"], 2, "and without output files"),
    ] {
        let message = search(&folder, more).failed(code);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn all_queries_and_results_are_shown_on_request() {
    let folder = folder("Flat");
    let (few, all) = (search(&folder, &[]).ok().stdout, search(&folder, &["--all"]).ok().stdout);
    let rows = |shown: &str| shown.lines().filter(|line| line.contains(": 0.") || line.contains(": 1.")).count();
    assert_eq!((rows(&few), rows(&all)), (10, 12), "{few}{all}");
    assert!(few.contains("...") && !all.contains("..."));
    assert_eq!(json(&folder, &["--all"]).0, json(&folder, &[]).0);
}

#[test]
fn results_are_as_wide_as_the_index_and_written_row_after_row() {
    let folder = folder("Flat");
    folder.fvecs("queries.fvecs", DIM, &vectors(2000, DIM, 2));
    let (out, distances) = (folder.arg("ids.ivecs"), folder.arg("distances.fvecs"));
    search(&folder, &["-k", "1048576", "--out-ids", &out, "--out-distances", &distances]).ok();
    for file in [out, distances] {
        let rows = read_vecs(file.as_ref());
        assert!(rows.len() == 2000 && rows.iter().all(|row| row.len() == 300));
    }
}

/// Rows of the full width would take 25 GB.
#[test]
#[cfg(target_os = "linux")]
fn results_take_little_memory() {
    let folder = folder("Flat");
    folder.fvecs("queries.fvecs", DIM, &vectors(2000, DIM, 2));
    let (index, queries, out) = (folder.arg("index.ivf"), folder.arg("queries.fvecs"), folder.arg("ids.npy"));
    let search =
        [env!("CARGO_BIN_EXE_ivf"), "search", &index, "--queries", &queries, "-k", "1048576", "--out-ids", &out];
    // 1 GiB of address space, in KiB.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -v 1048576 && exec \"$@\"", "sh"]).args(search).args(["--threads", "2"]);
    let ended = shell.output().expect("a shell");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_bad_query_is_skipped_on_request() {
    let folder = folder("IVF4,Flat");
    let mut queries = vectors(3, DIM, 2);
    queries[DIM] = f32::NAN;
    folder.fvecs("queries.fvecs", DIM, &queries);
    let refused = search(&folder, &["--json"]).failed(1);
    assert!(
        refused.ends_with("vector 1 holds a NaN or an infinity; --skip-bad-rows skips such vectors\n"),
        "{refused}"
    );
    let found = search(&folder, &["--json", "--skip-bad-rows", "-k", "2"]).ok().stdout;
    let ids = found.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["ids"].as_array().map(Vec::len));
    assert_eq!(ids.collect::<Vec<_>>(), [Some(2), Some(0), Some(2), None]);
}
