//! Tests of `ivf info` with intact and damaged files.

use crate::files::{Folder, vectors};
use crate::program::ivf;
use std::path::Path;

fn built(folder: &Folder) -> String {
    let (base, index) = (folder.fvecs("a.fvecs", 4, &vectors(100, 4, 1)), folder.arg("a.ivf"));
    ivf(["build", "--factory", "IVF8,Flat", "--metric", "l2", "--base", &base, "--out", &index]).ok();
    index
}

#[test]
fn a_good_file_is_described() {
    let folder = Folder::new();
    let index = built(&folder);
    let said = ivf(["info", &index]).ok().stdout;
    for what in
        ["format 2.0", "IVF8,Flat", "100 x 4 dimensions", "lists       8", "imbalance", "lists/plane1", "nprobe=1"]
    {
        assert!(said.contains(what), "no '{what}' in {said}");
    }
    let said = ivf(["info", &index, "--verify"]).ok().stdout;
    assert!(said.contains("whole") && !said.contains("DAMAGED"), "{said}");

    let json = ivf(["info", &index, "--verify", "--json"]).ok().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["index"]["vectors"], 100);
    assert_eq!(json["index"]["lists"]["code_bytes"], 16);
    assert_eq!((json["whole"].as_bool(), json["sections"][0]["whole"].as_bool()), (Some(true), Some(true)));
    assert_eq!(json["bytes"], std::fs::metadata(&index).unwrap().len());
    assert_eq!((&json["format"], &json["index"]["knobs"]["nprobe"]), (&"2.0".into(), &1.into()));
    let parts = json["index"]["parts"].as_array().unwrap();
    let paths: Vec<&str> = parts.iter().map(|part| part["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["", "quantizer", "codec", "lists"]);
}

/// Returns the path of a file in the repository, written by a library of version 1.
fn golden(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name);
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_file_of_version_1_is_described_as_a_new_one_is() {
    let said = ivf(["info", &golden("ivf_pq_l2.ivf"), "--verify"]).ok().stdout;
    for what in ["format 1.0", "metric      l2", "quantizer: ", "codec: ", "lists: ", "nprobe=", "whole"] {
        assert!(said.contains(what), "no '{what}' in {said}");
    }
    let json = ivf(["info", &golden("ivf_pq_l2.ivf"), "--json"]).ok().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["format"], "1.0");
    assert!(json["index"]["factory"].as_str().unwrap().contains("PQ"), "{json}");
    assert!(json["index"]["knobs"]["nprobe"].is_u64(), "{json}");
}

#[test]
fn knobs_and_parts_of_what_stands_inside_have_their_paths() {
    let folder = Folder::new();
    let (base, index) = (folder.fvecs("a.fvecs", 4, &vectors(100, 4, 1)), folder.arg("a.ivf"));
    let factory = "IDMap2,L2norm,IVF8,Flat,RFlat";
    ivf(["build", "--factory", factory, "--metric", "ip", "--base", &base, "--out", &index]).ok();
    let json = ivf(["info", &index, "--json"]).ok().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let parts = json["index"]["parts"].as_array().unwrap();
    let paths: Vec<&str> = parts.iter().map(|part| part["path"].as_str().unwrap()).collect();
    let of_ivf = paths.iter().find_map(|path| path.strip_suffix("/quantizer")).expect("a quantizer inside");
    assert!(paths.contains(&of_ivf), "{paths:?}");
    assert_eq!(json["index"]["knobs"][format!("{of_ivf}/nprobe")], 1, "{json}");
    let said = ivf(["info", &index]).ok().stdout;
    assert!(said.contains(&format!("{of_ivf}/nprobe=1")) && said.contains("k_factor_rf="), "{said}");
}

#[test]
fn a_damaged_section_is_named() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(built(&folder)).unwrap();
    // The last byte belongs to the codes of the last list. Only `--verify` detects the damage.
    *bytes.last_mut().unwrap() ^= 1;
    let index = folder.write("flipped.ivf", &bytes);
    ivf(["info", &index]).ok();
    let ran = ivf(["info", &index, "--verify"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stdout.matches("DAMAGED").count(), 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("flipped.ivf is damaged: lists/plane1"), "{}", ran.stderr);

    // Also damages a centroid. Without the centroids, the index cannot be opened.
    let at = 8 + bytes.windows(9).position(|window| window == b"centroids").unwrap();
    let centroids = bytes[at..].iter().position(|&byte| byte == 0x3f || byte == 0xbf).unwrap() + at;
    bytes[centroids] ^= 1;
    let index = folder.write("flipped.ivf", &bytes);
    assert!(ivf(["info", &index]).failed(1).contains("checksum"));
    let ran = ivf(["info", &index, "--verify", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(json["index"].is_null() && json["whole"] == false, "{json}");
    assert!(ran.stderr.contains("quantizer/centroids, lists/plane1"), "{}", ran.stderr);
}

#[test]
fn what_is_no_index_file_is_said() {
    let folder = Folder::new();
    let bytes = std::fs::read(built(&folder)).unwrap();
    for (name, bytes, what) in [
        ("half.ivf", &bytes[..bytes.len() / 2], "bytes are needed"),
        ("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", "not an ivf index file"),
        ("empty.ivf", b"", "the file is empty"),
    ] {
        let message = ivf(["info", &folder.write(name, bytes)]).failed(1);
        assert!(message.contains(name) && message.contains(what), "{message}");
    }
    assert!(ivf(["info", &folder.arg(".")]).failed(1).contains("folder"));
    assert!(ivf(["info", &folder.arg("missing.ivf"), "--verify"]).failed(1).contains("missing.ivf"));
}
