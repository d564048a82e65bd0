//! From keys on the keyboard to what is asked for. Pure.

use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// End.
    Quit,
    /// Show or hide the help.
    Help,
    /// Close what is on top, else let the selection go, else the filters.
    Back,
    /// Show the chosen request.
    Open,
    /// Hold the list, or let it go on.
    Pause,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// Ten rows up.
    PageUp,
    /// Ten rows down.
    PageDown,
    /// To the newest.
    First,
    /// To the oldest.
    Last,
    /// Filter by the next key.
    NextKey,
    /// Filter by the next group of statuses.
    NextStatuses,
    /// No filters.
    Clear,
    /// Begin to type the text to look for.
    Type,
    /// A character of it.
    Letter(char),
    /// Take its last character away.
    Rubout,
    /// The text is typed.
    Keep,
    /// No text after all.
    Forget,
}

/// What an event of the terminal asks for, if anything.
pub(crate) fn action(event: &Event, typing: bool) -> Option<Action> {
    let Event::Key(key) = event else { return None };
    // Windows also tells when a key is let go.
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Action::Quit);
    }
    if typing {
        return match key.code {
            KeyCode::Char(letter) if !letter.is_control() => Some(Action::Letter(letter)),
            KeyCode::Backspace => Some(Action::Rubout),
            KeyCode::Enter => Some(Action::Keep),
            KeyCode::Esc => Some(Action::Forget),
            _ => None,
        };
    }
    Some(match key.code {
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Char('?' | 'h') => Action::Help,
        KeyCode::Char('p' | ' ') => Action::Pause,
        KeyCode::Char('f') => Action::NextKey,
        KeyCode::Char('s') => Action::NextStatuses,
        KeyCode::Char('/') => Action::Type,
        KeyCode::Char('c') => Action::Clear,
        KeyCode::Char('k') | KeyCode::Up => Action::Up,
        KeyCode::Char('j') | KeyCode::Down => Action::Down,
        KeyCode::Char('g') | KeyCode::Home => Action::First,
        KeyCode::Char('G') | KeyCode::End => Action::Last,
        KeyCode::PageUp => Action::PageUp,
        KeyCode::PageDown => Action::PageDown,
        KeyCode::Enter => Action::Open,
        KeyCode::Esc => Action::Back,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers, typing: bool) -> Option<Action> {
        action(&Event::Key(KeyEvent::new(code, modifiers)), typing)
    }

    #[test]
    fn letters_are_commands_until_they_are_typed() {
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::NONE, false), Some(Action::Quit));
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::NONE, true), Some(Action::Letter('q')));
        assert_eq!(press(KeyCode::Char('?'), KeyModifiers::SHIFT, false), Some(Action::Help));
        assert_eq!(press(KeyCode::Esc, KeyModifiers::NONE, true), Some(Action::Forget));
        assert_eq!(press(KeyCode::Esc, KeyModifiers::NONE, false), Some(Action::Back));
        assert_eq!(press(KeyCode::F(5), KeyModifiers::NONE, false), None);
    }

    #[test]
    fn ctrl_c_always_ends_and_a_key_let_go_asks_for_nothing() {
        for typing in [false, true] {
            assert_eq!(press(KeyCode::Char('c'), KeyModifiers::CONTROL, typing), Some(Action::Quit));
            assert_eq!(press(KeyCode::Char('x'), KeyModifiers::CONTROL, typing), None);
        }
        let let_go =
            KeyEvent { kind: KeyEventKind::Release, ..KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE) };
        assert_eq!(action(&Event::Key(let_go), false), None);
        assert_eq!(action(&Event::Resize(10, 10), false), None);
    }
}
