//! Hostile bytes: whatever is changed in a container, the answer is an error, never a panic.

use super::preamble::{self, Preamble};
use super::{ContainerError, FORMAT_VERSION, MAX_DEPTH, NodeError, decode_container, write_container_to};
use ivf_core::error::DecodeError;
use ivf_core::node::{DType, NamedArray, Node};
use ivf_core::wire::Writer;
use proptest::prelude::*;
use std::borrow::Cow;

/// A small container with everything in it: fields, a whole array, one in pieces, an empty one, two levels of children.
fn small() -> Vec<u8> {
    let mut leaf = Node::new("leaf", 3, &());
    leaf.push(NamedArray::borrowed("ids", &[3], &[-1_i64, 0, 1]));
    leaf.push(NamedArray::owned::<u32>("none", &[0, 4], vec![]));
    let mut branch = Node::new("branch", 0, &"fields");
    branch.push_child("leaf", leaf);
    let mut root = Node::new("root", 1, &7_u32);
    root.push(NamedArray::pieces("codes", [&[1_u8, 2, 3][..], &[4, 5]]));
    root.push(NamedArray::borrowed("vectors", &[2, 2], &[0.5_f32, 1.0, 1.5, 2.0]));
    root.push_child("branch", branch);
    root.push_child("other", Node::new("other", 0, &()));
    encode(&root)
}

fn encode(root: &Node<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_container_to(&mut bytes, root).unwrap();
    bytes
}

fn header_len(container: &[u8]) -> usize {
    Preamble::parse(&container[..preamble::LEN], container.len() as u64).unwrap().header_len as usize
}

/// A container of that header and what follows it, with right checksums and lengths in the preamble.
fn sealed(header: &[u8], rest: &[u8]) -> Vec<u8> {
    let file_len = (preamble::LEN + header.len() + rest.len()) as u64;
    let (version, header_crc) = (FORMAT_VERSION, crc32c::crc32c(header));
    let preamble = Preamble { version, header_crc, header_len: header.len() as u64, file_len };
    [&preamble.to_bytes(), header, rest].concat()
}

/// An array by name, element type, shape and section number.
type ArrayOf<'a> = (&'a str, u8, &'a [u64], u32);

/// A header of one node with these arrays, and sections by offset and bytes.
fn header(arrays: &[ArrayOf<'_>], sections: &[(u64, &[u8])]) -> Vec<u8> {
    let mut out = Writer::new();
    out.str("root");
    out.u16(0);
    out.count(0);
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

/// What a reader says to such a header. The offsets and the length of the file count from where the first section belongs;
/// all bytes from the header on are zero.
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
        assert!(matches!(decode_container(other), Err(ContainerError::Magic)), "{other:?}");
    }
    assert!(matches!(decode_container(&[]), Err(ContainerError::Empty)));

    let (major, minor) = FORMAT_VERSION;
    for (at, found) in [(8, (major + 1, minor)), (10, (major, minor + 1))] {
        let mut bytes = small();
        bytes[at] += 1;
        let error = decode_container(&bytes).unwrap_err();
        assert!(matches!(&error, ContainerError::Version { major, minor } if (*major, *minor) == found));
        let text = error.to_string();
        assert!(
            text.contains(&format!("{}.{}", found.0, found.1)) && text.contains(&format!("{major}.{minor}")),
            "{text}"
        );
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

    // The counts of the bytes of fields, of arrays, of children and of sections.
    let header = header(&[], &[]);
    decode_container(&sealed(&header, &[])).unwrap();
    for at in [8, 12, 16, 20] {
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
    fault(&[("a", u8s, &[5], 0)], &[at_0], 4, "does not multiply");
    fault(&[("a", u8s, &[1 << 63, 2, 4], 0)], &[at_0], 4, "does not multiply");
    fault(&[("a", u8s, &[4], 1)], &[at_0], 4, "a section that is not there");
    fault(&[a, ("b", u8s, &[4], 0)], &[at_0], 4, "a section of another array");
    fault(&[a, a], &[at_0], 4, "two arrays are named 'a'");
    fault(&[], &[at_0], 4, "section 0 belongs to no array");
    fault(&[a], &[(64, four)], 68, "does not begin where");
    fault(&[a], &[(1, four)], 5, "does not begin where");
    fault(&[a], &[(1 << 63, four)], 4, "does not begin where");
    fault(&[a], &[at_0], 3, "passes the end of the file");
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
    (1..depth).fold(Node::new("leaf", 0, &()), |child, _| {
        let mut node = Node::new("node", 0, &());
        node.push_child("child", child);
        node
    })
}

#[test]
fn nesting_has_an_end_for_writers_and_readers() {
    decode_container(&encode(&nested(MAX_DEPTH))).unwrap();
    let too_deep = write_container_to(&mut Vec::new(), &nested(MAX_DEPTH + 1)).unwrap_err();
    assert!(too_deep.to_string().contains("deeper than 50"), "{too_deep}");

    let mut level = Writer::new();
    level.str("node");
    level.u16(0);
    level.count(0);
    level.count(0);
    level.count(1);
    level.str("child");
    let error = decode_container(&sealed(&level.into_bytes().repeat(100_000), &[])).unwrap_err();
    assert!(error.to_string().contains("deeper than 50"), "{error}");
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
    let with = |arrays: Vec<NamedArray<'static>>| Node { arrays, ..Node::new("tag", 0, &()) };
    assert!(matches!(refused(&with(vec![array("a", &[2]), array("a", &[2])])), NodeError::Duplicate { .. }));
    assert!(matches!(refused(&with(vec![array("a", &[3])])), NodeError::Shape { len: 8, .. }));
    assert!(matches!(refused(&with(vec![array("a", &[u64::MAX, 2])])), NodeError::Shape { .. }));
    assert!(matches!(refused(&with(vec![array("a", &[[2].as_slice(), &[1; 255]].concat())])), NodeError::Limit { .. }));
    assert!(matches!(refused(&with(vec![array(&"a".repeat(1 << 16), &[2])])), NodeError::Limit { .. }));
    assert!(matches!(refused(&Node::new(&"t".repeat(256), 0, &())), NodeError::Limit { .. }));
    assert!(matches!(refused(&Node::new("\u{1b}[2J", 0, &())), NodeError::Name { .. }));
    assert!(matches!(refused(&Node { meta: vec![0; (1 << 20) + 1], ..with(vec![]) }), NodeError::Limit { .. }));
    let mut twins = with(vec![]);
    twins.push_child("c", Node::new("c", 0, &()));
    twins.push_child("c", Node::new("c", 0, &()));
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

    /// Behind right checksums, so that the parser of the header has to defend itself.
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
        // A changed name or version may well be read.
        if let Ok(stored) = decode_container(&sealed(&header, rest)) {
            prop_assert_eq!(stored.arrays.len(), 2);
        }
    }
}
