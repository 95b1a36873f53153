//! Tests of the commands that change an index file: `add`, `remove`, `merge`, `set`.

use crate::files::{Folder, read_vecs, vectors};
use crate::program::{Ran, ivf};

const DIM: usize = 4;

/// Factory strings of indexes that take the ids of the caller.
const WITH_IDS: [&str; 5] = ["Flat", "IVF4,Flat", "IDMap,Flat", "IDMap2,IVF4,Flat,RFlat", "L2norm,IVF4,Flat"];

/// Returns vectors number `rows` of the 600 that all tests use.
fn some(rows: std::ops::Range<usize>) -> Vec<f32> {
    vectors(600, DIM, 1)[rows.start * DIM..rows.end * DIM].to_vec()
}

/// Builds an index of some of the vectors, trained on the first 300.
fn build(folder: &Folder, factory: &str, rows: std::ops::Range<usize>, out: &str) -> String {
    let (learn, base) =
        (folder.fvecs("learn.fvecs", DIM, &some(0..300)), folder.fvecs("build.fvecs", DIM, &some(rows)));
    let (learns, out) = (factory.contains("IVF") || factory.contains("PQ"), folder.arg(out));
    let args = ["build", "--factory", factory, "--metric", "l2", "--base", &base, "--out", &out];
    let learn: &[&str] = &["--learn", &learn];
    ivf(args.iter().chain(learn.iter().take(if learns { 2 } else { 0 }))).ok();
    out
}

/// Returns the ids nearest to some of the vectors.
fn nearest(folder: &Folder, index: &str, rows: std::ops::Range<usize>) -> Vec<i32> {
    let (queries, ids) = (folder.fvecs("queries.fvecs", DIM, &some(rows)), folder.arg("found.ivecs"));
    ivf(["search", index, "--queries", &queries, "-k", "1", "--out-ids", &ids]).ok();
    read_vecs(ids.as_ref()).into_iter().map(|row| i32::from_le_bytes(row[0])).collect()
}

/// Returns the number before the first ` {what}` in the line of a command.
fn count(ran: &Ran, what: &str) -> u64 {
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    let before = ran.stdout.split(&format!(" {what}")).next().expect("a part before it");
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{what}: {}", ran.stdout))
}

fn bytes(path: &str) -> Vec<u8> {
    std::fs::read(path).expect("a file")
}

#[test]
fn adding_the_rest_gives_the_index_of_all() {
    let folder = Folder::new();
    for factory in ["Flat", "IVF4,Flat", "IVF4,PQ2", "IDMap2,Flat", "IVF4,PQ2,RFlat"] {
        let all = build(&folder, factory, 0..600, "all.ivf");
        let rest = folder.fvecs("rest.fvecs", DIM, &some(250..600));
        for threads in ["1", "3"] {
            let index = build(&folder, factory, 0..250, "some.ivf");
            let ran = ivf(["add", &index, "--base", &rest, "--threads", threads]).ok();
            assert_eq!((count(&ran, "vectors added"), count(&ran, "in all")), (350, 600), "{}", ran.stdout);
            assert!(ran.stdout.ends_with(&format!("{} bytes\n", bytes(&index).len())), "{}", ran.stdout);
            assert!(bytes(&index) == bytes(&all), "{factory}, {threads} threads");
        }
    }
}

#[test]
fn vectors_get_the_ids_of_a_file_or_from_a_first_one() {
    let folder = Folder::new();
    let base = folder.fvecs("new.fvecs", DIM, &some(300..303));
    let (integers, text) =
        (folder.ivecs("ids.ivecs", 1, &[900, -7, 901]), folder.write("ids.txt", b"900\n-7\n\n901\n"));
    let ranges = folder.write("ids", b"900,-7\n901..902");
    for factory in WITH_IDS {
        let named: [(&[&str], [i32; 3]); 5] = [
            (&["--ids", &ranges], [900, -7, 901]),
            (&["--ids", &integers], [900, -7, 901]),
            (&["--ids", &text], [900, -7, 901]),
            (&["--first-id", "-3"], [-3, -2, -1]),
            (&[], [300, 301, 302]),
        ];
        for (how, expected) in named {
            let index = build(&folder, factory, 0..300, "a.ivf");
            let ran = ivf(["add", &index, "--base", &base].iter().chain(how)).ok();
            assert_eq!((count(&ran, "vectors added"), count(&ran, "in all")), (3, 303), "{}", ran.stdout);
            ivf(["set", &index, "nprobe=4"]);
            assert_eq!(nearest(&folder, &index, 300..303), expected, "{factory}, {how:?}");
        }
    }
}

#[test]
fn ids_follow_the_largest_that_the_index_ever_had() {
    let folder = Folder::new();
    let base = folder.fvecs("new.fvecs", DIM, &some(300..303));
    for factory in WITH_IDS {
        let index = build(&folder, factory, 0..300, "a.ivf");
        ivf(["remove", &index, "--ids", "250.."]).ok();
        ivf(["add", &index, "--base", &base]).ok();
        ivf(["set", &index, "nprobe=4"]);
        assert_eq!(nearest(&folder, &index, 300..303), [300, 301, 302], "{factory}");
    }
}

#[test]
fn an_id_that_is_there_is_an_error_without_upsert() {
    let folder = Folder::new();
    let base = folder.fvecs("new.fvecs", DIM, &some(300..304));
    let ids = folder.ivecs("ids.ivecs", 1, &[500, 8, 501, 5]);
    for factory in WITH_IDS {
        let index = build(&folder, factory, 0..300, "a.ivf");
        let before = bytes(&index);
        let add = |more: &[&str]| ivf(["add", &index, "--base", &base].iter().chain(more));
        let message = add(&["--ids", &ids]).failed(1);
        assert!(message.contains("has 2 of the 4 ids already, the first is 5; --upsert replaces"), "{message}");
        let message = add(&["--first-id", "298"]).failed(1);
        assert!(message.contains("has 2 of the 4 ids already, the first is 298"), "{message}");
        assert!(bytes(&index) == before);
        let ran = add(&["--ids", &ids, "--upsert"]).ok();
        let counts = (count(&ran, "vectors added"), count(&ran, "replaced"), count(&ran, "in all"));
        assert_eq!(counts, (2, 2, 302), "{factory}");
        ivf(["set", &index, "nprobe=4"]);
        assert_eq!(nearest(&folder, &index, 300..304), [500, 8, 501, 5], "{factory}");
    }
}

#[test]
fn ids_that_cannot_be_are_an_error_before_anything_is_written() {
    let folder = Folder::new();
    let (index, base) = (build(&folder, "Flat", 0..300, "a.ivf"), folder.fvecs("new.fvecs", DIM, &some(300..303)));
    let before = bytes(&index);
    let files: [(&str, &[u8], &str); 5] = [
        ("twice.txt", b"1000\n1001\n1000\n", "id 1000 occurs twice, again as number 2"),
        ("few.txt", b"1000\n", "has 1 ids for the 3 vectors of"),
        ("words.txt", b"1000\none\n7\n", "line 2: 'one' is neither an id nor a range"),
        ("long.txt", b"0, 5..\n", "has 9223372036854775804 ids for the 3 vectors of"),
        ("ids.csv", b"1;2;3\n", "line 1: '1;2;3' is neither an id nor a range"),
    ];
    for (name, content, why) in files {
        let ids = folder.write(name, content);
        let message = ivf(["add", &index, "--base", &base, "--ids", &ids]).failed(1);
        assert!(message.contains(name) && message.contains(why), "{message}");
    }
    let message = ivf(["add", &index, "--base", &base, "--first-id", "9223372036854775806"]).failed(1);
    assert!(message.contains("there are no ids left"), "{message}");
    let message = ivf(["add", &index, "--base", &base, "--ids", &folder.arg("nofile")]).failed(1);
    assert!(message.contains("nofile: No such file") || cfg!(windows), "{message}");
    ivf(["add", &index, "--base", &base, "--upsert"]).failed(2);
    ivf(["add", &index, "--base", &base, "--first-id", "5", "--ids", "ids.txt"]).failed(2);
    assert!(bytes(&index) == before);
}

#[test]
fn vectors_that_do_not_fit_are_refused_before_any_work() {
    let folder = Folder::new();
    let wide = folder.fvecs("wide.fvecs", DIM + 1, &vectors(3, DIM + 1, 1));
    let good = folder.fvecs("good.fvecs", DIM, &some(0..3));
    // The codes are damaged. A command that read them would say that.
    for (factory, base, more, why) in [
        ("IVF4,Flat", &wide, &[][..], "the vectors have 5 dimensions, but the index has 4"),
        ("IVF4,PQ2,RFlat", &good, &["--first-id", "900"], "wrap it as IDMap2,"),
        ("IVF4,PQ2,RFlat", &good, &["--first-id", "900", "--upsert"], "wrap it as IDMap2,"),
    ] {
        let index = build(&folder, factory, 0..300, "a.ivf");
        let mut damaged = bytes(&index);
        *damaged.last_mut().expect("some bytes") ^= 1;
        std::fs::write(&index, &damaged).expect("a writable folder");
        let message = ivf(["add", &index, "--base", base].iter().chain(more)).failed(1);
        assert!(message.contains(why) && message.contains(&index) && message.contains(base), "{message}");
        assert!(bytes(&index) == damaged);
    }
}

#[test]
fn a_bad_vector_is_named_by_its_number_and_leaves_the_file() {
    let folder = Folder::new();
    let mut base = some(300..400);
    base[70 * DIM] = f32::NAN;
    base[90 * DIM] = f32::INFINITY;
    let (index, base) = (build(&folder, "IVF4,Flat", 0..300, "a.ivf"), folder.fvecs("new.fvecs", DIM, &base));
    let before = bytes(&index);
    for more in [&[][..], &["--first-id", "1000"], &["--first-id", "1000", "--upsert"]] {
        let message = ivf(["add", &index, "--base", &base].iter().chain(more)).failed(1);
        assert!(message.contains("new.fvecs: vector 70 holds a NaN or an infinity"), "{message}");
        assert!(bytes(&index) == before);
    }
    let ran = ivf(["add", &index, "--base", &base, "--skip-bad-rows"]).ok();
    assert_eq!((count(&ran, "vectors added"), count(&ran, "skipped"), count(&ran, "in all")), (98, 2, 398));
    assert!(ran.stderr.contains("warning: 2 vectors of "), "{}", ran.stderr);
    // A skipped vector uses up its id.
    ivf(["set", &index, "nprobe=4"]).ok();
    assert_eq!(nearest(&folder, &index, 398..400), [398, 399]);
}

#[test]
fn an_upsert_skips_bad_vectors_if_asked() {
    let folder = Folder::new();
    let mut base = some(300..306);
    base[2 * DIM] = f32::NAN;
    base[4 * DIM..5 * DIM].fill(0.0);
    let base = folder.fvecs("new.fvecs", DIM, &base);
    let ids = folder.write("ids.txt", b"8\n500\n9\n501\n10\n11\n");
    for (factory, replaced, skipped) in [("Flat", 3, 1), ("L2norm,IVF4,Flat", 2, 2), ("IDMap2,Flat", 3, 1)] {
        let index = build(&folder, factory, 0..300, "a.ivf");
        let add = |more: &[&str]| {
            let args = ["add", &index, "--base", &base, "--ids", &ids, "--upsert"];
            ivf(args.iter().chain(more))
        };
        let message = add(&[]).failed(1);
        assert!(message.ends_with("a NaN or an infinity; --skip-bad-rows skips such vectors\n"), "{message}");
        let ran = add(&["--skip-bad-rows"]).ok();
        let counts = (count(&ran, "vectors added"), count(&ran, "replaced"), count(&ran, "skipped"));
        assert_eq!(counts, (2, replaced, skipped), "{factory}");
        let what = if skipped == 1 { "1 vector of ".to_owned() } else { format!("{skipped} vectors of ") };
        assert!(ran.stderr.contains(&format!("warning: {what}")), "{}", ran.stderr);
        ivf(["set", &index, "nprobe=4"]);
        assert_eq!(nearest(&folder, &index, 300..302), [8, 500], "{factory}");
        // The id of a skipped vector keeps its old one.
        assert_eq!(nearest(&folder, &index, 9..10), [9], "{factory}");
    }
}

#[test]
fn a_build_skips_bad_vectors_if_asked() {
    let folder = Folder::new();
    let mut base = some(0..400);
    for row in [0, 1, 250, 399] {
        base[row * DIM + 1] = f32::NAN;
    }
    let (base, out) = (folder.fvecs("base.fvecs", DIM, &base), folder.arg("a.ivf"));
    for factory in ["Flat", "IVF4,Flat", "IVF4,PQ2", "IDMap2,IVF4,Flat"] {
        let build = |more: &[&str]| {
            let args = ["build", "--factory", factory, "--metric", "l2", "--base", &base, "--out", &out];
            ivf(args.iter().chain(more))
        };
        build(&[]).failed(1);
        let ran = build(&["--skip-bad-rows"]).ok();
        assert!(ran.stdout.starts_with(&format!("{factory}: 396 vectors (4 skipped), ")), "{}", ran.stdout);
    }
    ivf(["set", &out, "nprobe=4"]).ok();
    assert_eq!(nearest(&folder, &out, 2..5), [2, 3, 4]);
}

#[test]
fn removed_ids_are_gone_and_missing_ones_are_counted() {
    let folder = Folder::new();
    let file = folder.write("ids.txt", b"5\n7\n1000\n10\n11\n");
    let ranges = folder.write("ranges.list", b"5, 7,10..12\n1000 \n");
    let open = folder.write("open.txt", b"..2, 5..\n");
    for factory in WITH_IDS.iter().chain(&["IVF4,Flat,RFlat"]) {
        for (how, left, missing) in [
            (&["--ids", "5,7,10..12"][..], 296, 0),
            (&["--ids", "12..=13, 5, 290..310,-1"], 287, 1),
            (&["--ids-file", &file], 296, 1),
            (&["--ids-file", &ranges], 296, 1),
            (&["--ids", "5..5000000000000"], 5, 0),
            (&["--ids", "5..9223372036854775807,400,401"], 5, 2_u64),
            (&["--ids", "5.."], 5, 0),
            (&["--ids-file", &open], 3, 0),
            (&["--ids", "700"], 300, 1),
        ] {
            let index = build(&folder, factory, 0..300, "a.ivf");
            let ran = ivf(["remove", &index].iter().chain(how)).ok();
            let not_found = if missing == 1 { "id not found" } else { "ids not found" };
            let counts = (count(&ran, "vectors removed"), count(&ran, "left"), count(&ran, not_found));
            assert_eq!(counts, (300 - left, left, missing), "{factory}, {how:?}");
            let warned = ran.stderr.contains("warning: ") && ran.stderr.contains(" not in ");
            assert_eq!(warned, missing > 0, "{how:?}: {}", ran.stderr);
            ivf(["set", &index, "nprobe=4"]);
            let found = nearest(&folder, &index, 4..8);
            let gone = [false, left < 300, left <= 5, left < 300 && left != 287];
            assert!(found.iter().zip(4..).zip(gone).all(|((id, row), gone)| (*id != row) == gone), "{found:?}");
        }
    }
    let index = build(&folder, "Flat", 0..300, "a.ivf");
    for ids in ["", "x", "9..3"] {
        ivf(["remove", &index, "--ids", ids]).failed(2);
    }
    ivf(["remove", &index]).failed(2);
    ivf(["remove", &index, "--ids", "1", "--ids-file", &file]).failed(2);
}

#[test]
fn a_removal_of_nothing_leaves_the_file() {
    let folder = Folder::new();
    let (index, out) = (build(&folder, "IVF4,Flat", 0..300, "a.ivf"), folder.arg("b.ivf"));
    let modified = || std::fs::metadata(&index).and_then(|file| file.modified()).expect("a file");
    let before = modified();
    for (ids, found) in [("300..9223372036854775807", "0 ids"), ("700", "1 id")] {
        let ran = ivf(["remove", &index, "--ids", ids]).ok();
        let expected = format!(
            "{index}: 0 vectors removed, {found} not found; 300 left; the file is not written, as nothing changes\n"
        );
        assert_eq!((ran.stdout, modified()), (expected, before));
    }
    // Another file is written all the same.
    ivf(["remove", &index, "--ids", "700", "--out", &out]).ok();
    assert!(bytes(&out) == bytes(&index));
}

#[test]
fn merged_indexes_hold_what_one_index_of_all_holds() {
    let folder = Folder::new();
    for factory in WITH_IDS.iter().chain(&["IVF4,PQ2"]) {
        let all = build(&folder, factory, 0..600, "all.ivf");
        let index = build(&folder, factory, 0..250, "a.ivf");
        let others = [build(&folder, factory, 250..300, "b.ivf"), build(&folder, factory, 300..600, "c.ivf")];
        let before: Vec<Vec<u8>> = others.iter().chain([&index]).map(|path| bytes(path)).collect();
        let merge = |more: &[&str]| ivf(["merge", &index, &others[0], &others[1]].iter().chain(more));
        if factory.contains("RFlat") {
            assert!(merge(&[]).failed(1).contains("cannot merge"));
            continue;
        }
        // All three have ids from 0.
        let message = merge(&[]).failed(1);
        assert!(message.contains(&format!("50 ids of {} are in {index}", others[0])), "{message}");
        assert!(message.contains("the first is 0; --shift-ids gives"), "{message}");
        let mut ran = merge(&["--shift-ids", "--threads", "2"]).ok();
        let shifts = format!("{}: 250 added to the ids\n{}: 300 added to the ids\n", others[0], others[1]);
        assert!(ran.stdout.ends_with(&shifts), "{}", ran.stdout);
        ran.stdout.truncate(ran.stdout.len() - shifts.len());
        assert_eq!((count(&ran, "vectors of 2 indexes added"), count(&ran, "in all")), (350, 600));
        assert!(bytes(&others[0]) == before[0] && bytes(&others[1]) == before[1] && bytes(&index) != before[2]);
        for path in [&index, &all] {
            ivf(["set", path, "nprobe=4"]);
        }
        assert_eq!(nearest(&folder, &index, 200..400), nearest(&folder, &all, 200..400), "{factory}");
    }
}

#[test]
fn indexes_that_differ_are_not_merged_and_both_are_named() {
    let folder = Folder::new();
    let made = |name: &str, factory: &str, metric: &str, dim: usize, seed: u64| {
        let base = folder.fvecs("base.fvecs", dim, &vectors(300, dim, seed));
        let out = folder.arg(name);
        ivf(["build", "--factory", factory, "--metric", metric, "--base", &base, "--out", &out]).ok();
        out
    };
    for (factory, metric, dim, seed, why) in [
        ("IVF4,PQ2", "l2", 6, 1, "they differ in dimension: 6 and 4"),
        ("IVF4,PQ2", "ip", 4, 1, "they differ in metric: ip and l2"),
        ("IVF4,PQ4", "l2", 4, 1, "they differ in factory string: IVF4,PQ4 and IVF4,PQ2"),
        ("IVF4,PQ2", "l2", 4, 2, "differ in their coarse quantizers"),
    ] {
        let index = made("a.ivf", "IVF4,PQ2", "l2", 4, 1);
        let same = made("b.ivf", "IVF4,PQ2", "l2", 4, 1);
        let (other, before) = (made("c.ivf", factory, metric, dim, seed), bytes(&index));
        let message = ivf(["merge", &index, &same, &other, "--shift-ids"]).failed(1);
        assert!(
            message.contains(&format!("cannot merge {other} into {index}: ")) && message.contains(why),
            "{message}"
        );
        assert!(bytes(&index) == before);
    }
    let (one, two) = (made("a.ivf", "PQ2", "l2", 4, 1), made("b.ivf", "PQ2", "l2", 4, 2));
    let message = ivf(["merge", &one, &two, "--shift-ids"]).failed(1);
    assert!(message.contains("differ in their codecs") && message.contains(&two), "{message}");
    assert!(ivf(["merge", &one, &one]).failed(2).contains("into itself"));
    ivf(["merge", &one]).failed(2);
}

#[test]
fn knobs_are_set_by_their_paths() {
    let folder = Folder::new();
    let index = build(&folder, "IDMap2,IVF4,Flat,RFlat", 0..300, "a.ivf");
    let shown = || ivf(["info", &index]).ok().stdout;
    let path = shown().split("knobs ").nth(1).expect("knobs").to_owned();
    let path = path.split([' ', ',']).find(|knob| knob.ends_with("nprobe=1")).expect("nprobe").to_owned();
    let ran = ivf(["set", &index, &path.replace("=1", "=3"), "k_factor_rf=2.5"]).ok();
    assert!(ran.stdout.contains("nprobe=3, k_factor_rf=2.5; written in "), "{}", ran.stdout);
    assert!(shown().contains("nprobe=3") && shown().contains("k_factor_rf=2.5"), "{}", shown());
    let before = bytes(&index);
    for (knobs, code, why) in [
        (
            &["nprobe=2", "speed=9"][..],
            1,
            "there is no knob 'speed'; there are: index/k_factor_rf, index/base/nprobe, ",
        ),
        (&["k_factor_rf=2", "no/such=9"], 1, "there is no "),
        (&["nprobe=2", "nprobe=3"], 2, "the knob nprobe is given twice"),
        (&["k_factor_rf=2,k_factor=3"], 2, "the knob k_factor is given twice"),
        (&["nprobe=2", &path.replace("=1", "=3")], 2, " is given twice"),
        (&["nprobe=2", "k_factor_rf=0"], 1, "k_factor_rf must be "),
        (&["nprobe"], 2, "'nprobe' is not of the form name=value"),
        (&[], 2, "required"),
    ] {
        let message = ivf(["set", &index].iter().chain(knobs)).failed(code);
        assert!(message.contains(why), "{message}");
        assert!(bytes(&index) == before);
    }
}

/// A string of parameters, as Faiss's `ParameterSpace` takes it.
#[test]
fn a_build_and_a_change_take_parameters_in_one_string() {
    let folder = Folder::new();
    let (base, out) = (folder.fvecs("b.fvecs", DIM, &some(0..300)), folder.arg("p.ivf"));
    let built = |factory: &str, params: &str| {
        ivf(["build", "--factory", factory, "--metric", "l2", "--base", &base, "--out", &out, "--params", params])
    };
    built("IVF8(IVF2,Flat),Flat,RFlat", "nprobe=4,quantizer_nprobe=2,k_factor_rf=4.5").ok();
    let shown = || ivf(["info", &out]).ok().stdout;
    for knob in ["base/nprobe=4", "base/quantizer/nprobe=2", "k_factor_rf=4.5"] {
        assert!(shown().contains(knob), "{knob}: {}", shown());
    }
    ivf(["set", &out, "--params", "nprobe=3,k_factor=2"]).ok();
    assert!(shown().contains("base/nprobe=3") && shown().contains("k_factor_rf=2"), "{}", shown());
    for (params, why) in [
        ("ht=3", "polysemous"),
        ("efSearch=64", "a setting of searches of graphs"),
        ("verbose=1", "Faiss's switch"),
        ("speed=9", "there is no knob 'speed'; there are: "),
    ] {
        let message = built("IVF4,Flat", params).failed(1);
        assert!(message.contains(why) && message.contains("nprobe"), "{message}");
        let message = ivf(["search", &out, "--queries", &base, "-k", "1", "--params", params]).failed(1);
        assert!(message.contains(why) || params.starts_with("speed"), "{message}");
    }
    let message = ivf(["set", &out]).failed(2);
    assert!(message.contains("required"), "{message}");
}

/// The commands that change an index file, with arguments for each.
fn changes(folder: &Folder, index: &str) -> Vec<Vec<String>> {
    let (base, other) = (folder.fvecs("new.fvecs", DIM, &some(300..303)), build(folder, "IVF4,Flat", 0..50, "o.ivf"));
    let owned = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect();
    vec![
        owned(&["add", index, "--base", &base]),
        owned(&["remove", index, "--ids", "3..9"]),
        owned(&["merge", index, &other, "--shift-ids"]),
        owned(&["set", index, "nprobe=2"]),
    ]
}

#[test]
fn another_file_is_written_if_asked() {
    let folder = Folder::new();
    let (index, out) = (build(&folder, "IVF4,Flat", 0..300, "a.ivf"), folder.arg("changed.ivf"));
    let before = bytes(&index);
    for args in changes(&folder, &index) {
        let ran = ivf(args.iter().map(String::as_str).chain(["--out", &out])).ok();
        assert!(ran.stdout.starts_with(&format!("{out}: ")), "{}", ran.stdout);
        assert!(bytes(&index) == before && bytes(&out) != before, "{args:?}");
        // The same as in place.
        let copy = folder.write("copy.ivf", &before);
        ivf(args.iter().map(|arg| if *arg == index { &copy } else { arg })).ok();
        assert!(bytes(&copy) == bytes(&out), "{args:?}");
        std::fs::remove_file(&out).expect("written");
    }
}

#[cfg(unix)]
#[test]
fn a_read_only_file_is_not_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let index = build(&folder, "IVF4,Flat", 0..300, "a.ivf");
    let before = bytes(&index);
    std::fs::set_permissions(&index, PermissionsExt::from_mode(0o444)).expect("a file of this user");
    for args in changes(&folder, &index) {
        let message = ivf(&args).failed(1);
        assert!(message.starts_with(&format!("error: {index} is read-only and is not replaced")), "{message}");
        assert!(bytes(&index) == before);
        let out = ["--out", &folder.arg("b.ivf")].map(str::to_owned);
        ivf(args.iter().chain(&out)).ok();
    }
}

#[test]
fn a_damaged_index_is_not_written_anew() {
    let folder = Folder::new();
    let index = build(&folder, "IVF4,Flat", 0..300, "a.ivf");
    let mut damaged = bytes(&index);
    *damaged.last_mut().expect("some bytes") ^= 1;
    std::fs::write(&index, &damaged).expect("a writable folder");
    let good = build(&folder, "IVF4,Flat", 0..300, "good.ivf");
    let mut runs = changes(&folder, &index);
    runs.push(["merge", &good, &index, "--shift-ids"].map(str::to_owned).to_vec());
    for args in runs {
        let message = ivf(&args).failed(1);
        assert!(message.contains("a.ivf is damaged: lists/plane1"), "{message}");
        assert!(bytes(&index) == damaged);
    }
}

#[test]
fn one_writer_at_a_time() {
    let folder = Folder::new();
    let index = build(&folder, "IVF4,Flat", 0..300, "a.ivf");
    let before = bytes(&index);
    let mut runs = changes(&folder, &index);
    let base = folder.fvecs("base.fvecs", DIM, &some(0..9));
    let build = ["build", "--factory", "Flat", "--metric", "l2", "--base", &base, "--out", &index];
    runs.push(build.map(str::to_owned).to_vec());
    let path = folder.path(".a.ivf.lock");
    let lock = std::fs::File::create(&path).expect("a writable folder");
    lock.lock().expect("a file system with locks");
    for args in &runs {
        let message = ivf(args).failed(1);
        assert!(message.contains("a.ivf is being written by another program"), "{message}");
        assert!(bytes(&index) == before && path.exists());
    }
    // A reader takes no lock, and a writer of another file takes another one.
    assert_eq!(nearest(&folder, &index, 0..1), [0]);
    ivf(runs[0].iter().map(String::as_str).chain(["--out", &folder.arg("b.ivf")])).ok();
    drop(lock);
    for args in &runs {
        ivf(args).ok();
        assert!(!path.exists());
    }
}

#[test]
fn an_index_above_the_memory_limit_is_refused_before_it_is_read() {
    let folder = Folder::new();
    let index = build(&folder, "IVF4,Flat", 0..300, "a.ivf");
    let mut damaged = bytes(&index);
    *damaged.last_mut().expect("some bytes") ^= 1;
    std::fs::write(&index, &damaged).expect("a writable folder");
    for args in changes(&folder, &index) {
        let message = ivf(args.iter().map(String::as_str).chain(["--memory-limit", "33M"])).failed(1);
        assert!(
            message.contains("IVF4,Flat of 300 vectors takes up to ") && message.contains("33.00 MiB"),
            "{message}"
        );
        let size = message.split("takes up to ").nth(1).and_then(|rest| rest.split(" MiB").next()).expect("a size");
        let enough = format!("{:.0}M", size.parse::<f64>().expect("a number").ceil());
        let message = ivf(args.iter().map(String::as_str).chain(["--memory-limit", &enough])).failed(1);
        assert!(message.contains("is damaged"), "{message}");
    }
}

/// The kernel refuses a program that takes more than its limit.
#[cfg(target_os = "linux")]
#[test]
fn changes_take_no_more_memory_than_the_limit() {
    use crate::program::{command, ran};
    let folder = Folder::new();
    let dim = 64;
    let built = |name: &str, factory: &str, seed: u64| {
        // 20 MB of vectors.
        let base = folder.fvecs("base.fvecs", dim, &vectors(80_000, dim, seed));
        let (learn, out) = (folder.fvecs("learn.fvecs", dim, &vectors(500, dim, 1)), folder.arg(name));
        let args = ["build", "--factory", factory, "--metric", "l2", "--base", &base, "--out", &out, "--learn", &learn];
        ivf(args).ok();
        out
    };
    let new = folder.fvecs("new.fvecs", dim, &vectors(30_000, dim, 3));
    for factory in ["IVF16,Flat", "Flat"] {
        let (index, other, out) = (built("a.ivf", factory, 1), built("b.ivf", factory, 2), folder.arg("out.ivf"));
        for args in [
            &["set", &index, "mode=queries"][..],
            &["remove", &index, "--ids", "3,70000"],
            &["add", &index, "--base", &new, "--threads", "1"],
            &["merge", &index, &other, "--shift-ids", "--threads", "1"],
        ] {
            let run = |limit: &str| {
                let sh = ["-c", "ulimit -d \"$1\"; shift; exec \"$@\"", "sh"];
                let kib = limit.trim_end_matches('M').parse::<u64>().expect("a number") * 1024;
                let mut limited = std::process::Command::new("sh");
                let program = command([""; 0]);
                limited.args(sh).arg(kib.to_string()).arg(program.get_program()).args(args);
                ran(limited.args(["--out", &out, "--memory-limit", limit]))
            };
            let message = run("33M").failed(1);
            let size = message.split("takes up to ").nth(1).and_then(|rest| rest.split(" MiB").next());
            let enough = size.and_then(|size| size.parse::<f64>().ok()).unwrap_or_else(|| panic!("{message}")).ceil();
            run(&format!("{enough:.0}M")).ok();
        }
    }
}
