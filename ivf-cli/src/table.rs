//! Tables on standard output.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

/// An empty table. A column whose name starts with `<` is for words, the others are for numbers and stand to the right.
pub(crate) fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(columns.iter().map(|name| name.trim_start_matches('<')));
    for (column, name) in table.column_iter_mut().zip(columns) {
        column.set_cell_alignment(if name.starts_with('<') { CellAlignment::Left } else { CellAlignment::Right });
    }
    table
}
