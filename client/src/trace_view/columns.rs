//! Which columns a table has room for. Pure.

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

/// Which of the parts stand side by side in the room, a column apart: the more needed ones first.
pub(super) fn chosen(parts: &[Part], room: u16) -> Vec<bool> {
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
    is_chosen
}

/// What the chosen parts leave of the room.
pub(super) fn rest(parts: &[Part], is_chosen: &[bool], room: u16) -> u16 {
    let widths = parts.iter().zip(is_chosen).filter(|(_, chosen)| **chosen).map(|(part, _)| part.least + 1);
    room.saturating_sub(widths.sum::<u16>().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_more_comes_first() {
        let part = |least, rank| Part { head: String::new(), least, rank };
        let parts = [part(8, 0), part(4, 3), part(12, 1), part(6, 2)];
        for (room, fit, left) in [
            (3, [true, false, false, false], 0),
            (20, [true, true, false, true], 0),
            (21, [true, false, true, false], 0),
            (27, [true, true, true, false], 1),
            (28, [true, false, true, true], 0),
            (40, [true, true, true, true], 7),
        ] {
            let chosen = chosen(&parts, room);
            assert_eq!((chosen.as_slice(), rest(&parts, &chosen, room)), (&fit[..], left), "{room}");
        }
    }
}
