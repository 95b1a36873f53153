//! Tests of the settings and the output of `ivf eval`.

use crate::files::{Folder, nearest, vectors};
use crate::program::{Ran, ivf};
use serde_json::Value;

const DIM: usize = 6;

/// A folder with an index of 300 vectors, 12 queries, and the true nearest 10 of each.
fn folder() -> Folder {
    let folder = Folder::new();
    let (base, queries) = (vectors(300, DIM, 1), vectors(12, DIM, 2));
    folder.fvecs("queries.fvecs", DIM, &queries);
    folder.ivecs("truth.ivecs", 10, &nearest(&base, &queries, DIM, 10));
    let (base, index) = (folder.fvecs("base.fvecs", DIM, &base), folder.arg("index.ivf"));
    ivf(["build", "--factory", "IVF4,Flat", "--metric", "l2", "--base", &base, "--out", &index]).ok();
    folder
}

fn eval(folder: &Folder, more: &[&str]) -> Ran {
    let (index, queries, truth) = (folder.arg("index.ivf"), folder.arg("queries.fvecs"), folder.arg("truth.ivecs"));
    ivf(["eval", &index, "--queries", &queries, "--ground-truth", &truth].iter().chain(more))
}

fn rows(ran: &Ran) -> Vec<Value> {
    serde_json::from_str(&ran.stdout).expect("a JSON array")
}

#[test]
fn each_setting_of_the_parameters_is_measured() {
    let folder = folder();
    let found = eval(
        &folder,
        &["--json", "--params", "max_lists=1", "--params", "max_codes=100,mode=queries", "--nprobe", "2,4"],
    );
    let rows = rows(&found.ok());
    let settings: Vec<_> =
        rows.iter().map(|row| (row["nprobe"].as_u64().unwrap(), row["params"].to_string())).collect();
    let (lists, codes) = (r#"{"max_lists":1}"#.to_owned(), r#"{"max_codes":100,"mode":"queries"}"#.to_owned());
    assert_eq!(settings, [(2, lists.clone()), (4, lists), (2, codes.clone()), (4, codes)]);
    let shown = eval(&folder, &["--params", "nprobe=4", "--params", "nprobe=4,max_lists=1"]).ok().stdout;
    assert!(
        shown.contains("| max_lists=1 ") && shown.contains("at most as far as true neighbour number 10"),
        "{shown}"
    );
    let message = eval(&folder, &["--params", "nprobe=4", "--nprobe", "4"]).failed(2);
    assert!(message.contains("nprobe is given twice"), "{message}");
    // The alias of a parameter is the parameter.
    let message = eval(&folder, &["--params", "k_factor=2", "--k-factor", "2"]).failed(2);
    assert!(message.contains("k_factor_rf is given twice"), "{message}");
    let message = eval(&folder, &["--params", "k_factor=2"]).failed(1);
    assert!(message.contains("does not take the search parameter k_factor_rf"), "{message}");
}

#[test]
fn latencies_of_single_queries_are_in_order() {
    let folder = folder();
    let rows = rows(&eval(&folder, &["--json", "-k", "3"]).ok());
    let latency = |name: &str| rows[0]["latency_ms"][name].as_f64().unwrap();
    assert!(0.0 < latency("p50") && latency("p50") <= latency("p95") && latency("p95") <= latency("p99"), "{rows:?}");
    assert!(rows[0]["recall_at_3"].is_number() && rows[0]["recall_at_1"].is_number() && rows[0]["k"] == 3);
    let shown = eval(&folder, &["-k", "1"]).ok().stdout;
    assert!(shown.contains("p50 ms") && shown.matches("recall@1 ").count() == 1, "{shown}");
}

#[test]
fn a_plot_is_in_the_format_of_its_name() {
    let folder = folder();
    let (png, svg) = (folder.arg("plot.png"), folder.arg("plot.SVG"));
    eval(&folder, &["--nprobe", "1,4", "--plot", &png]).ok();
    assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG\r\n"));
    eval(&folder, &["--threads", "1,2", "--plot", &svg]).ok();
    let text = std::fs::read_to_string(&svg).unwrap();
    assert!(text.starts_with("<svg") && text.contains("2 threads") && text.contains("IVF4,Flat, l2"), "{text}");
    for name in ["plot.jpg", "plot", "index.ivf"] {
        let message = eval(&folder, &["--plot", &folder.arg(name)]).failed(2);
        assert!(message.contains("should end in .svg or .png"), "{message}");
    }
    // The plot must not overwrite an input.
    let message = ivf(["eval", "a.ivf", "--queries", &svg, "--ground-truth", "b.ivecs", "--plot", &svg]).failed(2);
    assert!(message.contains("cannot be written"), "{message}");
}
