//! `ivf info` of good files and of bad ones.

use crate::files::{Folder, vectors};
use crate::program::ivf;

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
        ["format 1.0", "IVF8,Flat", "100 x 4 dimensions", "lists       8", "imbalance", "lists/plane1", "nprobe=1"]
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
}

#[test]
fn a_damaged_section_is_named() {
    let folder = Folder::new();
    let mut bytes = std::fs::read(built(&folder)).unwrap();
    // The last byte is one of the last list's codes: a search would not see it.
    *bytes.last_mut().unwrap() ^= 1;
    let index = folder.write("flipped.ivf", &bytes);
    ivf(["info", &index]).ok();
    let ran = ivf(["info", &index, "--verify"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.stdout.matches("DAMAGED").count(), 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("flipped.ivf is damaged: lists/plane1"), "{}", ran.stderr);

    // One of the centroids, without which there is no index.
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
