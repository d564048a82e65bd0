//! Which columns a table has room for. Pure.

use ratatui::layout::Constraint;

use crate::output::style::width;

/// A column that a table may have.
#[derive(Debug)]
pub(super) struct Part {
    /// Its heading.
    pub(super) head: String,
    /// Columns of the terminal that it takes at least.
    pub(super) least: u16,
    /// What is needed more comes first: 0 before 1.
    pub(super) rank: u8,
}

/// The columns of a table that have room, the more needed ones first.
#[derive(Debug)]
pub(super) struct Columns {
    parts: Vec<Part>,
    is_chosen: Vec<bool>,
}

impl Columns {
    /// Those of the parts that stand side by side in the room, a column apart.
    pub(super) fn fit(parts: Vec<Part>, room: u16) -> Self {
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|&at| parts[at].rank);
        let mut is_chosen = vec![false; parts.len()];
        let mut used = 0_u16;
        for at in order {
            let with = used.saturating_add(parts[at].least).saturating_add(u16::from(used > 0));
            // The first one is there in any case, cut if need be.
            if with <= room || used == 0 {
                (is_chosen[at], used) = (true, with);
            }
        }
        Self { parts, is_chosen }
    }

    /// What they leave of the room.
    pub(super) fn rest(&self, room: u16) -> u16 {
        let widths = self.of(self.parts.iter().map(|part| part.least + 1)).into_iter();
        room.saturating_sub(widths.sum::<u16>().saturating_sub(1))
    }

    /// Gives one of the parts more room.
    pub(super) fn widen(&mut self, at: usize, by: u16) {
        self.parts[at].least += by;
    }

    /// Whether this one of the parts has room.
    pub(super) fn has(&self, at: usize) -> bool {
        self.is_chosen[at]
    }

    /// The width of one of the parts.
    pub(super) fn width(&self, at: usize) -> u16 {
        self.parts[at].least
    }

    /// Of one thing for each of the parts those that have room.
    pub(super) fn of<T>(&self, each: impl IntoIterator<Item = T>) -> Vec<T> {
        each.into_iter().zip(&self.is_chosen).filter(|(_, chosen)| **chosen).map(|(one, _)| one).collect()
    }

    /// Their headings. One without room is left out: what stands below shows what it is.
    pub(super) fn heads(&self) -> Vec<String> {
        let head = |part: &Part| {
            if width(&part.head) <= part.least.into() { part.head.clone() } else { String::new() }
        };
        self.of(self.parts.iter().map(head))
    }

    /// Their widths.
    pub(super) fn widths(&self) -> Vec<Constraint> {
        self.of(self.parts.iter().map(|part| Constraint::Length(part.least)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_more_comes_first() {
        let part = |least, rank| Part { head: String::new(), least, rank };
        let parts = || vec![part(8, 0), part(4, 3), part(12, 1), part(6, 2)];
        for (room, fit, left) in [
            (3, [true, false, false, false], 0),
            (20, [true, true, false, true], 0),
            (21, [true, false, true, false], 0),
            (27, [true, true, true, false], 1),
            (28, [true, false, true, true], 0),
            (40, [true, true, true, true], 7),
        ] {
            let columns = Columns::fit(parts(), room);
            assert_eq!((columns.is_chosen.as_slice(), columns.rest(room)), (&fit[..], left), "{room}");
        }
    }
}
