//! What the simulated model says, and how it is counted.

/// The same for every prompt: nothing of what was asked comes back.
const TEXT: &str = "This is a dry-run answer: it was made by the simulator inside kmid. No request left this \
                    machine and no real quota was spent. Set KMI_DRY_RUN=0 to talk to the Kimi API.";

/// The whole answer.
pub(super) fn text() -> &'static str {
    TEXT
}

/// The answer in pieces, a few words each, that join to [`text`].
pub(super) fn pieces() -> impl Iterator<Item = &'static str> {
    TEXT.split_inclusive(' ')
}

/// About four bytes make a token.
pub(super) fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_join_to_the_text() {
        assert_eq!(pieces().collect::<String>(), text());
        assert!(pieces().count() > 10);
    }
}
