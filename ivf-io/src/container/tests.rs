//! Tests with hostile bytes: any change of a container leads to an error, not to a panic.

use super::preamble::{self, Preamble};
use super::{ContainerError, FORMAT_VERSION, MAX_DEPTH, NodeError, decode_container, write_container_to};
use ivf_core::Metric;
use ivf_core::error::DecodeError;
use ivf_core::field::Fields;
use ivf_core::node::{DType, NamedArray, Node, StoredFields, StoredNode};
use ivf_core::wire::{Writer, meta};
use proptest::prelude::*;
use std::borrow::Cow;

/// A small container with everything in it: fields of every type, a whole array, one in pieces, an
/// empty one, two levels of children.
fn small() -> Vec<u8> {
    let mut leaf = Node::new("leaf", 3);
    leaf.push(NamedArray::borrowed("ids", &[3], &[-1_i64, 0, 1]));
    leaf.push(NamedArray::owned::<u32>("none", &[0, 4], vec![]));
    let mut branch = Node::new("branch", 0).with("words", vec!["a", "b"]);
    branch.push_child("leaf", leaf);
    let mut root = Node::new("root", 1).with("dim", 7_u64).with("metric", Metric::Lp(3.0)).with("i", -7_i64);
    root = root.with("is", true).with("x", 0.5_f64).with("name", "n").with("none", Vec::<u64>::new());
    root.push(NamedArray::pieces("codes", [&[1_u8, 2, 3][..], &[4, 5]]));
    root.push(NamedArray::borrowed("vectors", &[2, 2], &[0.5_f32, 1.0, 1.5, 2.0]));
    root.push_child("branch", branch);
    root.push_child("other", Node::new("other", 0));
    encode(&root)
}

fn encode(root: &Node<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_container_to(&mut bytes, root).unwrap();
    bytes
}

/// Converts a node that was read into one that can be written.
fn exported(stored: &StoredNode) -> Node<'_> {
    let StoredFields::Named(fields) = &stored.fields else { panic!("{}: fields without names", stored.tag) };
    Node {
        tag: stored.tag.clone(),
        version: stored.version,
        fields: fields.clone(),
        arrays: stored
            .arrays
            .iter()
            .map(|array| NamedArray {
                name: array.name.clone(),
                dtype: array.dtype,
                shape: array.shape.clone(),
                pieces: vec![Cow::Borrowed(array.bytes.whole().unwrap())],
            })
            .collect(),
        children: stored.children.iter().map(|(name, child)| (name.clone(), exported(child))).collect(),
    }
}

fn header_len(container: &[u8]) -> usize {
    Preamble::parse(&container[..preamble::LEN], container.len() as u64).unwrap().header_len as usize
}

/// Returns a container of a header and the bytes after it, with correct checksums and lengths in
/// the preamble.
fn sealed(header: &[u8], rest: &[u8]) -> Vec<u8> {
    sealed_as(FORMAT_VERSION, header, rest)
}

/// Like [`sealed`], in a given version of the format.
fn sealed_as(version: (u16, u16), header: &[u8], rest: &[u8]) -> Vec<u8> {
    let file_len = (preamble::LEN + header.len() + rest.len()) as u64;
    let header_crc = crc32c::crc32c(header);
    let preamble = Preamble { version, header_crc, header_len: header.len() as u64, file_len };
    [&preamble.to_bytes(), header, rest].concat()
}

/// An array by name, element type, shape and section number.
type ArrayOf<'a> = (&'a str, u8, &'a [u64], u32);

/// Encoding of an empty list of fields: a count of 0.
const NO_FIELDS: [u8; 8] = [0; 8];

/// Returns a header of one node without fields, with the given arrays and sections. A section is an
/// offset and bytes.
fn header(arrays: &[ArrayOf<'_>], sections: &[(u64, &[u8])]) -> Vec<u8> {
    header_with(&NO_FIELDS, arrays, sections)
}

/// Like [`header`], with the given bytes of fields.
fn header_with(fields: &[u8], arrays: &[ArrayOf<'_>], sections: &[(u64, &[u8])]) -> Vec<u8> {
    let mut out = Writer::new();
    out.str("root");
    out.u16(0);
    out.count(fields.len());
    out.bytes(fields);
    out.count(arrays.len());
    for (name, dtype, shape, section) in arrays {
        out.str(name);
        out.u8(*dtype);
        out.u8(shape.len() as u8);
        shape.iter().for_each(|&axis| out.u64(axis));
        out.u32(*section);
    }
    out.count(0);
    out.count(sections.len());
    for (offset, bytes) in sections {
        out.u64(*offset);
        out.u64(bytes.len() as u64);
        out.u32(crc32c::crc32c(bytes));
    }
    out.into_bytes()
}

/// Returns the error of a reader of such a header, or `fine`. The offsets and the length of the
/// file count from the start of the first section. All bytes after the header are zero.
fn answer(arrays: &[ArrayOf<'_>], sections: &[(u64, &[u8])], len: usize) -> String {
    let end = preamble::LEN + header(arrays, sections).len();
    let first = end.next_multiple_of(64);
    let sections: Vec<_> = sections.iter().map(|(offset, bytes)| (offset + first as u64, *bytes)).collect();
    match decode_container(&sealed(&header(arrays, &sections), &vec![0; first - end + len])) {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_cut_and_every_longer_file_is_an_error() {
    let bytes = small();
    decode_container(&bytes).unwrap();
    for cut in 0..bytes.len() {
        assert!(decode_container(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(matches!(
        decode_container(&[&bytes[..], &[0]].concat()),
        Err(ContainerError::Decode(DecodeError::Trailing { left: 1, .. }))
    ));
}

#[test]
fn every_changed_byte_is_an_error() {
    let mut bytes = small();
    for i in 0..bytes.len() {
        for change in 1..=u8::MAX {
            bytes[i] ^= change;
            assert!(decode_container(&bytes).is_err(), "byte {i} xor {change}");
            bytes[i] ^= change;
        }
    }
}

#[test]
fn other_files_and_versions_are_told_apart() {
    for other in [&b"\xff\xd8\xff\xe0\0\x10JFIF"[..], b"the quick brown fox", b"\n", &[0; 100]] {
        assert!(matches!(decode_container(other), Err(ContainerError::Magic { .. })), "{other:?}");
    }
    assert!(matches!(decode_container(&[]), Err(ContainerError::Empty)));

    // The version is checked before any byte after it.
    for (major, minor) in [(0_u16, 0_u16), (0, 9), (1, 1), (2, 1), (3, 0), (u16::MAX, 0)] {
        let mut bytes = small();
        bytes[8..12].copy_from_slice(&[major.to_le_bytes(), minor.to_le_bytes()].concat());
        let error = decode_container(&bytes).unwrap_err();
        assert!(matches!(&error, ContainerError::Version { major: x, minor: y } if (*x, *y) == (major, minor)));
        let expected = format!("the file has format {major}.{minor}; this library reads 1.0 and 2.0");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn what_is_read_is_written_again_byte_for_byte() {
    let bytes = small();
    let stored = decode_container(&bytes).unwrap();
    assert_eq!(encode(&exported(&stored)), bytes);
    assert_eq!(bytes[8..12], [2, 0, 0, 0], "version 2.0 is written");
}

/// Returns the encoding of two fields.
fn two_fields() -> Vec<u8> {
    let mut fields = Fields::new();
    fields.set("dim", 7_u64);
    fields.set("metric", Metric::L2);
    meta::to_bytes(&fields).unwrap()
}

#[test]
fn fields_have_names_in_version_2_and_none_in_version_1() {
    let fields = two_fields();
    let StoredFields::Named(named) = decode_container(&sealed(&header_with(&fields, &[], &[]), &[])).unwrap().fields
    else {
        panic!("version 2 has named fields")
    };
    assert_eq!(named.value("metric"), Some(&Metric::L2.into()));

    // Version 1 accepts any bytes: only the node's kind knows their meaning.
    for bytes in [&b""[..], b"\x07\0\0\0", &fields, &[0xff; 40]] {
        let header = header_with(bytes, &[], &[]);
        let stored = decode_container(&sealed_as((1, 0), &header, &[])).unwrap();
        assert_eq!(stored.fields, StoredFields::Version1(bytes.to_vec()));
        assert_eq!(decode_container(&sealed(&header, &[])).is_ok(), *bytes == fields);
    }
}

#[test]
fn fields_that_do_not_decode_are_an_error_that_names_their_node() {
    let good = two_fields();
    let twice = [&2_u64.to_le_bytes()[..], &good[8..][..33], &good[8..][..33]].concat();
    let endless = [&u64::MAX.to_le_bytes()[..], &good[8..]].concat();
    let nothing_for_much = (1_u64 << 40).to_le_bytes().to_vec();
    let left_over = [&good[..], &[0]].concat();
    for bytes in [vec![], good[..good.len() - 1].to_vec(), left_over, twice, endless, nothing_for_much] {
        let error = decode_container(&sealed(&header_with(&bytes, &[], &[]), &[])).unwrap_err();
        assert!(
            matches!(&error, ContainerError::Decode(DecodeError::Meta { tag, .. }) if tag == "root"),
            "{bytes:?}: {error}"
        );
    }
    for version in [(1, 0), FORMAT_VERSION] {
        let header = header_with(&vec![0; meta::MAX_META + 1], &[], &[]);
        let error = decode_container(&sealed_as(version, &header, &[])).unwrap_err();
        assert!(error.to_string().contains("its fields take 1048577 bytes, more than 1048576"), "{error}");
    }
}

#[test]
fn lengths_are_compared_with_the_file_before_anything_is_allocated() {
    let bytes = small();
    for header_len in [u64::MAX, u64::MAX - 64, 1 << 60, bytes.len() as u64 - 63] {
        let hostile =
            Preamble { version: FORMAT_VERSION, header_crc: 0, header_len, file_len: bytes.len() as u64 }.to_bytes();
        let error = decode_container(&[&hostile, &bytes[preamble::LEN..]].concat()).unwrap_err();
        assert!(matches!(error, ContainerError::Decode(DecodeError::Truncated { .. })), "{error}");
    }
    let hostile = Preamble { version: FORMAT_VERSION, header_crc: 0, header_len: 0, file_len: u64::MAX }.to_bytes();
    assert!(decode_container(&hostile).is_err());

    // Offsets of the counts of field bytes, arrays, children and sections.
    let header = header(&[], &[]);
    decode_container(&sealed(&header, &[])).unwrap();
    for at in [8, 20, 24, 28] {
        let mut header = header.clone();
        header[at..at + 4].copy_from_slice(&[0xff; 4]);
        let error = decode_container(&sealed(&header, &[])).unwrap_err();
        assert!(matches!(error, ContainerError::Decode(DecodeError::Truncated { .. })), "{at}: {error}");
    }
}

#[test]
fn arrays_and_sections_must_fit_each_other() {
    let (u8s, f32s) = (3, 0);
    let four = &[0_u8; 4][..];
    let a = ("a", u8s, &[4_u64][..], 0);
    let (at_0, at_64) = ((0, four), (64, &[][..]));
    let fine = |arrays: &[ArrayOf<'_>], sections: &[_], len| assert_eq!(answer(arrays, sections, len), "fine");
    fine(&[a], &[at_0], 4);
    fine(&[("a", f32s, &[1], 0)], &[at_0], 4);
    fine(&[("a", f32s, &[], 0)], &[at_0], 4);
    fine(&[("a", u8s, &[2, 2], 0)], &[at_0], 4);
    fine(&[("a", u8s, &[0], 1), ("b", u8s, &[4], 0)], &[at_0, at_64], 64);

    let fault = |arrays: &[ArrayOf<'_>], sections: &[_], len, part: &str| {
        let answer = answer(arrays, sections, len);
        assert!(answer.contains(part), "{answer:?} has no {part:?}");
    };
    fault(&[("a", 99, &[4], 0)], &[at_0], 4, "unknown element type 99");
    fault(&[("a", u8s, &[5], 0)], &[at_0], 4, "does not match");
    fault(&[("a", u8s, &[1 << 63, 2, 4], 0)], &[at_0], 4, "does not match");
    fault(&[("a", u8s, &[4], 1)], &[at_0], 4, "a section that does not exist");
    fault(&[a, ("b", u8s, &[4], 0)], &[at_0], 4, "a section of another array");
    fault(&[a, a], &[at_0], 4, "two arrays are named 'a'");
    fault(&[], &[at_0], 4, "section 0 belongs to no array");
    fault(&[a], &[(64, four)], 68, "does not begin at the next multiple of 64");
    fault(&[a], &[(1, four)], 5, "does not begin at the next multiple of 64");
    fault(&[a], &[(1 << 63, four)], 4, "does not begin at the next multiple of 64");
    fault(&[a], &[at_0], 3, "extends past the end of the file");
    fault(&[a], &[at_0], 5, "1 bytes too many");
}

#[test]
fn padding_is_checked() {
    let mut bytes = small();
    let end = preamble::LEN + header_len(&bytes);
    assert_ne!(end % 64, 0, "there is padding");
    bytes[end] = 1;
    assert!(decode_container(&bytes).unwrap_err().to_string().contains("before section 0 are not zero"));
}

fn nested(depth: usize) -> Node<'static> {
    (1..depth).fold(Node::new("leaf", 0), |child, _| {
        let mut node = Node::new("node", 0);
        node.push_child("child", child);
        node
    })
}

#[test]
fn nesting_has_an_end_for_writers_and_readers() {
    let too_deep = write_container_to(&mut Vec::new(), &nested(MAX_DEPTH + 1)).unwrap_err();
    assert!(too_deep.to_string().contains("deeper than 100 levels"), "{too_deep}");

    for (version, fields) in [((1, 0), &[][..]), (FORMAT_VERSION, &NO_FIELDS)] {
        let mut level = Writer::new();
        level.str("node");
        level.u16(0);
        level.count(fields.len());
        level.bytes(fields);
        level.count(0);
        level.count(1);
        level.str("child");
        let error = decode_container(&sealed_as(version, &level.into_bytes().repeat(100_000), &[])).unwrap_err();
        assert!(error.to_string().contains("deeper than 100 levels"), "{error}");
    }
}

/// All recursive functions must run in an eighth of a test thread's stack.
#[test]
fn the_deepest_tree_needs_little_stack() {
    let deepest = || {
        let bytes = encode(&nested(MAX_DEPTH));
        let stored = decode_container(&bytes).unwrap();
        assert!(format!("{stored:?}").contains("leaf"));
        let node = exported(&stored);
        assert_eq!(encode(&node), bytes);
        assert!(node.to_stored().child("child").is_ok() && node.same(&nested(MAX_DEPTH)));
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(deepest).unwrap().join().unwrap();
}

#[test]
fn a_tree_that_no_reader_would_take_is_not_written() {
    let refused = |node: &Node<'_>| {
        let mut bytes = Vec::new();
        let error = write_container_to(&mut bytes, node).unwrap_err();
        assert!(bytes.is_empty());
        match error {
            super::EncodeError::Node(error) => error,
            error => panic!("{error}"),
        }
    };
    let array = |name: &str, shape: &[u64]| NamedArray {
        name: name.to_owned(),
        dtype: DType::U32,
        shape: shape.to_vec(),
        pieces: vec![Cow::Borrowed(&[0; 8])],
    };
    let with = |arrays: Vec<NamedArray<'static>>| Node { arrays, ..Node::new("tag", 0) };
    assert!(matches!(refused(&with(vec![array("a", &[2]), array("a", &[2])])), NodeError::Duplicate { .. }));
    assert!(matches!(refused(&with(vec![array("a", &[3])])), NodeError::Shape { len: 8, .. }));
    assert!(matches!(refused(&with(vec![array("a", &[u64::MAX, 2])])), NodeError::Shape { .. }));
    assert!(matches!(refused(&with(vec![array("a", &[[2].as_slice(), &[1; 255]].concat())])), NodeError::Limit { .. }));
    assert!(matches!(refused(&with(vec![array(&"a".repeat(1 << 16), &[2])])), NodeError::Limit { .. }));
    assert!(matches!(refused(&Node::new(&"t".repeat(256), 0)), NodeError::Limit { .. }));
    assert!(matches!(refused(&Node::new("\u{1b}[2J", 0)), NodeError::Name { .. }));
    let field = |name: &str| Node::new("tag", 0).with(name, 1_u64);
    assert!(matches!(refused(&field("\u{1b}[2J")), NodeError::Name { .. }));
    assert!(matches!(refused(&field(&"f".repeat(256))), NodeError::Limit { len: 256, .. }));
    let long = Node::new("tag", 0).with("long", "x".repeat(1 << 20));
    assert!(matches!(refused(&long), NodeError::Limit { most: 1_048_576, .. }));
    for p in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
        let list = Node::new("tag", 0).with("metrics", vec![Metric::L2, Metric::Lp(p)]);
        assert!(matches!(refused(&list), NodeError::Metric { .. }));
    }
    let mut twins = with(vec![]);
    twins.push_child("c", Node::new("c", 0));
    twins.push_child("c", Node::new("c", 0));
    assert!(matches!(refused(&twins), NodeError::Duplicate { what: "children", .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn garbage_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300), with_magic: bool) {
        let bytes = if with_magic { [&small()[..12], &bytes].concat() } else { bytes };
        prop_assert!(decode_container(&bytes).is_err());
    }

    #[test]
    fn mutations_do_not_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let original = small();
        let mut bytes = original.clone();
        for (at, byte) in changes {
            bytes[at.index(original.len())] = byte;
        }
        prop_assert_eq!(decode_container(&bytes).is_ok(), bytes == original);
    }

    /// The checksums are correct, so the changes reach the parser of the header.
    #[test]
    fn mutated_headers_do_not_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let bytes = small();
        let (header, rest) = bytes[preamble::LEN..].split_at(header_len(&bytes));
        let mut header = header.to_vec();
        for (at, byte) in changes {
            let at = at.index(header.len());
            header[at] = byte;
        }
        if let Some(cut) = cut {
            header.truncate(cut.index(header.len()));
        }
        // A header with a changed name or version may be valid.
        if let Ok(stored) = decode_container(&sealed(&header, rest)) {
            prop_assert_eq!(stored.arrays.len(), 2);
            // The encoding of a tree is unique.
            prop_assert_eq!(encode(&exported(&stored)), sealed(&header, rest));
        }
    }
}
