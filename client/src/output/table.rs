//! Tables with columns measured as a terminal shows them.

use super::flow;
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

/// What a column does when space is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// It keeps its width.
    Stays,
    /// It is cut.
    Cut,
    /// It takes further lines: what explains is not lost.
    Wraps,
}

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// What stands above it.
    pub(crate) title: String,
    /// Its straight side.
    pub(crate) align: Align,
    /// What becomes of it when space is short.
    pub(crate) short: Short,
}

impl Column {
    /// A column of words.
    pub(crate) fn left(title: String) -> Self {
        Self { title, align: Align::Left, short: Short::Stays }
    }

    /// A column of numbers.
    pub(crate) fn right(title: String) -> Self {
        Self { title, align: Align::Right, short: Short::Stays }
    }

    /// May be cut.
    pub(crate) fn shrinking(mut self) -> Self {
        self.short = Short::Cut;
        self
    }

    /// May be broken between words.
    pub(crate) fn wrapping(mut self) -> Self {
        self.short = Short::Wraps;
        self
    }

    /// The least width that it is brought to; `None` = it keeps its own.
    fn narrowest(&self, texts: impl Iterator<Item = usize>) -> Option<usize> {
        match self.short {
            Short::Stays => None,
            Short::Cut => Some(NARROWEST),
            Short::Wraps => Some(texts.fold(width(&self.title), usize::max).max(NARROWEST)),
        }
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
    let least: Vec<Option<usize>> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| column.narrowest(rows.iter().filter_map(|row| row.get(i)).map(longest_word)))
        .collect();
    let gaps = 2 * widths.len().saturating_sub(1);
    let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(look.columns());
    while excess > 0 {
        let widest = (0..widths.len())
            .filter(|&i| least[i].is_some_and(|least| widths[i] > least))
            .max_by_key(|&i| widths[i])?;
        widths[widest] -= 1;
        excess -= 1;
    }
    Some(widths)
}

fn longest_word(cell: &Span) -> usize {
    flow::words(&cell.text).iter().map(|word| width(word)).max().unwrap_or(0)
}

/// A row: one line, or more where a column wraps.
fn line(look: Look, columns: &[Column], widths: &[usize], cells: &[Span]) -> String {
    let wrapped: Vec<Vec<String>> = columns
        .iter()
        .zip(widths)
        .zip(cells)
        .map(|((column, &room), cell)| match column.short {
            Short::Wraps => flow::wrap(&cell.text, room, room),
            Short::Stays | Short::Cut => vec![cut(&cell.text, room).into_owned()],
        })
        .collect();
    let lines = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let part = |number: usize| -> Vec<Span> {
        wrapped
            .iter()
            .zip(cells)
            .map(|(lines, cell)| Span::new(cell.paint, lines.get(number).map_or("", String::as_str)))
            .collect()
    };
    (0..lines).map(|number| one_line(look, columns, widths, &part(number))).collect()
}

fn one_line(look: Look, columns: &[Column], widths: &[usize], cells: &[Span]) -> String {
    let mut text = String::new();
    let mut pending = 0;
    for ((column, &room), cell) in columns.iter().zip(widths).zip(cells) {
        let shown = cell.text.as_str();
        let padding = room.saturating_sub(width(shown));
        if column.align == Align::Right {
            pending += padding;
        }
        if !shown.is_empty() {
            text.push_str(&" ".repeat(pending));
            text.push_str(&look.paint(cell.paint, shown));
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
    fn what_explains_goes_on_in_further_lines() {
        let columns = [Column::left("key".into()).shrinking(), Column::left("why".into()).wrapping()];
        let why = Span::new(Paint::Bad, "quota used up; ends in 1 h 30 min (13:30)");
        let rows = [vec![Span::plain("alpha"), why], vec![Span::plain("beta"), Span::plain("")]];
        insta::assert_snapshot!(render(look(Some(27), true), &columns, &rows), @"
        key    why
        ───────────────────────────
        alpha  quota used up; ends
               in 1 h 30 min
               (13:30)
        beta
        ");
        // Narrower than its longest word with the others: blocks.
        insta::assert_snapshot!(render(look(Some(13), true), &columns, &rows), @"
        key  alpha
        why  quota
             used up;
             ends in
             1 h
             30 min
             (13:30)

        key  beta
        ");
        let coloured = Look { color: true, ..look(Some(27), false) };
        insta::assert_snapshot!(render(coloured, &columns, &rows[..1]).replace('\x1b', "␛"), @"
        ␛[1mkey␛[0m    ␛[1mwhy␛[0m
        alpha  ␛[31mquota used up; ends␛[0m
               ␛[31min 1 h 30 min␛[0m
               ␛[31m(13:30)␛[0m
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
