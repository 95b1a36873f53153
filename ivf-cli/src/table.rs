//! Tables and counts on standard output.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// Makes an empty table. Columns whose names start with `<` are for text and left-aligned. The
/// others are for numbers and right-aligned.
pub(crate) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(columns.iter().map(|name| name.trim_start_matches('<')));
    for (column, name) in table.column_iter_mut().zip(columns) {
        column.set_cell_alignment(if name.starts_with('<') { CellAlignment::Left } else { CellAlignment::Right });
    }
    table
}

/// Returns a count with the word for what is counted: `1 vector`, `2 vectors`.
pub(crate) fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
