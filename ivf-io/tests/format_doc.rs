//! Checks that the example and the table in docs/format.md match the code.

use ivf_core::Node;
use ivf_core::node::{DType, NamedArray};
use ivf_io::{FORMAT_VERSION, write_container_to};

const DOC: &str = include_str!("../../docs/format.md");

/// Returns the code block that follows a line.
fn block_after(line: &str) -> &'static str {
    let (_, rest) = DOC.split_once(line).unwrap();
    rest.split("```").nth(1).unwrap()
}

#[test]
fn the_example_is_the_file_that_is_written() {
    let mut node = Node::new("demo", 1).with("dim", 7_u64);
    node.push(NamedArray::borrowed("x", &[2], &[1.0_f32, 2.0]));
    let mut bytes = Vec::new();
    write_container_to(&mut bytes, &node).unwrap();

    let dump: String = bytes
        .chunks(16)
        .enumerate()
        .map(|(i, row)| {
            format!("{:04x} {}\n", 16 * i, row.iter().map(|byte| format!(" {byte:02x}")).collect::<String>())
        })
        .collect();
    let documented: String =
        block_after("## An example").lines().skip(1).map(|line| without_note(line) + "\n").collect();
    assert_eq!(documented, dump, "docs/format.md shows another file");
}

/// Returns a line of the dump without the note after it.
fn without_note(line: &str) -> String {
    line.split_once('|').map_or(line, |(bytes, _)| bytes).trim_end().to_owned()
}

#[test]
fn the_version_and_the_element_types_are_documented() {
    assert!(DOC.contains(&format!("Version {}.{}", FORMAT_VERSION.0, FORMAT_VERSION.1)));
    for (number, dtype) in DType::ALL {
        let name = match dtype {
            DType::Element(element) => format!("{element:?}"),
            dtype => format!("{dtype:?}"),
        };
        let row = format!("| {number} | {} | {} |", name.to_lowercase(), dtype.size());
        assert!(DOC.contains(&row), "no row '{row}' in docs/format.md");
    }
}
