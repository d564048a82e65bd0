//! Text within a width: wrapped, cut or filled; pure.

/// In characters: what the demo shows is narrow text.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// Lines of at most `most` characters, broken between words; a longer word has a line of its own.
pub(super) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in harmless(text).split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if width(line) + 1 + width(word) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Cut to `most` characters.
pub(super) fn fit(text: &str, most: usize) -> String {
    let text = &harmless(text);
    if width(text) <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Without anything that a terminal would act on.
pub(super) fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Cut or filled to exactly `wide` characters.
pub(super) fn cell(text: &str, wide: usize) -> String {
    format!("{:<wide$}", fit(text, wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_break_between_words_and_lose_none() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("http://127.0.0.1/v1 is it", 9), ["http://127.0.0.1/v1", "is it"]);
        assert_eq!(wrapped("one two three", usize::MAX), ["one two three"]);
        assert_eq!(wrapped("", 7), [""]);
    }
}
