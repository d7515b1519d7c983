// SPDX-License-Identifier: GPL-2.0

//! Rows of text under headings, in columns.

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A column of a table of `T`s.
pub(crate) struct Column<T> {
    pub(crate) heading: &'static str,
    pub(crate) align: Align,
    pub(crate) cell: fn(&T) -> String,
}

/// A column of text.
pub(crate) const fn left<T>(heading: &'static str, cell: fn(&T) -> String) -> Column<T> {
    Column {
        heading,
        align: Align::Left,
        cell,
    }
}

/// A column of numbers.
pub(crate) const fn right<T>(heading: &'static str, cell: fn(&T) -> String) -> Column<T> {
    Column {
        heading,
        align: Align::Right,
        cell,
    }
}

/// The lines of a table, the headings first. All text must be ASCII, which is what rings are
/// described in.
pub(crate) fn lines<'a, T: 'a>(
    columns: &[Column<T>],
    rows: impl IntoIterator<Item = &'a T>,
) -> Vec<String> {
    let mut cells = vec![
        columns
            .iter()
            .map(|column| column.heading.to_owned())
            .collect::<Vec<_>>(),
    ];
    for row in rows {
        cells.push(columns.iter().map(|column| (column.cell)(row)).collect());
    }
    let width = |index: usize| cells.iter().map(|row| row[index].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();

    cells
        .iter()
        .map(|row| {
            let padded: Vec<String> = row
                .iter()
                .zip(columns)
                .zip(&widths)
                .map(|((cell, column), width)| match column.align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                })
                .collect();
            padded.join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let columns: [Column<(&str, u32)>; 2] = [
            left("NAME", |row| row.0.to_owned()),
            right("N", |row| row.1.to_string()),
        ];
        let rows = [("a", 1), ("longer", 1000)];
        assert_eq!(
            lines(&columns, &rows),
            ["NAME       N", "a          1", "longer  1000"]
        );
    }

    #[test]
    fn no_line_ends_in_spaces() {
        let columns: [Column<&str>; 1] = [left("LONG HEADING", |row| (*row).to_owned())];
        assert_eq!(lines(&columns, &["x"]), ["LONG HEADING", "x"]);
    }
}
