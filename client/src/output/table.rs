//! Tables with columns measured as a terminal shows them.

use super::style::{Look, Paint, Span, cut, width};

/// Least width a column is cut to before the table turns into blocks.
const NARROWEST: usize = 8;

/// Which side of a column stays straight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// What stands above it.
    pub(crate) title: String,
    /// Its straight side.
    pub(crate) align: Align,
    /// Whether it may be cut when space is short.
    pub(crate) shrinks: bool,
}

impl Column {
    /// A column of words.
    pub(crate) fn left(title: String) -> Self {
        Self { title, align: Align::Left, shrinks: false }
    }

    /// A column of numbers.
    pub(crate) fn right(title: String) -> Self {
        Self { title, align: Align::Right, shrinks: false }
    }

    /// May be cut.
    pub(crate) fn shrinking(mut self) -> Self {
        self.shrinks = true;
        self
    }
}

/// Lays rows out in columns; where even cut columns do not fit, each row becomes a block of `title  value` lines.
pub(crate) fn render(look: Look, columns: &[Column], rows: &[Vec<Span>]) -> String {
    let Some(widths) = fit(look, columns, rows) else {
        return blocks(look, columns, rows);
    };
    let titles: Vec<Span> = columns.iter().map(|column| Span::new(Paint::Strong, &column.title)).collect();
    let mut text = line(look, columns, &widths, &titles);
    if look.boxes {
        let total = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        text.push_str(&look.paint(Paint::Faint, &"─".repeat(total)));
        text.push('\n');
    }
    for row in rows {
        text.push_str(&line(look, columns, &widths, row));
    }
    text
}

/// The width of each column, or `None` when the table does not fit.
fn fit(look: Look, columns: &[Column], rows: &[Vec<Span>]) -> Option<Vec<usize>> {
    let mut widths: Vec<usize> = columns.iter().map(|column| width(&column.title)).collect();
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(&cell.text));
        }
    }
    let gaps = 2 * widths.len().saturating_sub(1);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(look.columns());
    while excess > 0 {
        let widest = (0..widths.len())
            .filter(|&i| columns[i].shrinks && widths[i] > NARROWEST)
            .max_by_key(|&i| widths[i])?;
        widths[widest] -= 1;
        excess -= 1;
    }
    Some(widths)
}

fn line(look: Look, columns: &[Column], widths: &[usize], cells: &[Span]) -> String {
    let mut text = String::new();
    let mut pending = 0;
    for ((column, &room), cell) in columns.iter().zip(widths).zip(cells) {
        let shown = cut(&cell.text, room);
        let padding = room - width(&shown);
        if column.align == Align::Right {
            pending += padding;
        }
        if !shown.is_empty() {
            text.push_str(&" ".repeat(pending));
            text.push_str(&look.paint(cell.paint, &shown));
            pending = 0;
        } else {
            pending += if column.align == Align::Right { 0 } else { padding };
            pending += 2;
            continue;
        }
        // Blanks are written only before something: no line ends with them.
        pending += if column.align == Align::Left { padding } else { 0 } + 2;
    }
    text.push('\n');
    text
}

fn blocks(look: Look, columns: &[Column], rows: &[Vec<Span>]) -> String {
    let blocks: Vec<String> = rows
        .iter()
        .map(|row| {
            let mut fields = super::flow::Fields::default();
            for (column, cell) in columns.iter().zip(row) {
                fields.row(column.title.clone(), vec![cell.clone()]);
            }
            fields.render(look)
        })
        .collect();
    blocks.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        vec![Column::left("ключ".into()).shrinking(), Column::right("n".into()), Column::left("note".into())]
    }

    fn rows() -> Vec<Vec<Span>> {
        vec![
            vec![Span::plain("月之暗面"), Span::plain("7"), Span::plain("first")],
            vec![Span::plain("a-rather-long-label"), Span::plain("1200"), Span::plain("")],
        ]
    }

    fn look(width: Option<usize>, boxes: bool) -> Look {
        Look { color: false, boxes, width }
    }

    #[test]
    fn columns_line_up_in_any_script() {
        insta::assert_snapshot!(render(look(None, false), &columns(), &rows()), @r"
        ключ                    n  note
        月之暗面                7  first
        a-rather-long-label  1200
        ");
    }

    #[test]
    fn a_narrow_terminal_cuts_what_may_be_cut() {
        insta::assert_snapshot!(render(look(Some(26), true), &columns(), &rows()), @r"
        ключ              n  note
        ──────────────────────────
        月之暗面          7  first
        a-rather-lon…  1200
        ");
    }

    #[test]
    fn one_too_narrow_gets_blocks() {
        insta::assert_snapshot!(render(look(Some(15), false), &columns(), &rows()), @r"
        ключ  月之暗面
        n     7
        note  first

        ключ  a-rather-long-label
        n     1200
        ");
    }
}
