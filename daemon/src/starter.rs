//! What started this process, and whether that waits for its end. Then nothing can be handed to another process: the old
//! one's end would be the end of the container, or a crash that is answered by a second kmid beside the new one.

use std::io::IsTerminal as _;

/// What can be known of it.
#[derive(Debug, Clone, Copy)]
struct Signs {
    /// This process.
    pid: u32,
    /// The process that started it is there.
    starter_is_there: bool,
    /// A manager is told which process is the service (`crate::service_manager::main_process`).
    is_told: bool,
    /// At a terminal the starter is a shell, which only prints its prompt again.
    at_terminal: bool,
}

impl Signs {
    /// Nobody comes after the first process of a system or of a container.
    fn say_it_waits(self) -> bool {
        let Self { pid, starter_is_there, is_told, at_terminal } = self;
        pid == 1 || (starter_is_there && !is_told && !at_terminal)
    }
}

/// The process that started this one.
#[derive(Debug, Clone, Copy)]
pub struct Starter {
    parent: Option<u32>,
    at_terminal: bool,
}

impl Starter {
    /// To be called at the start. `took_over` from a running kmid means that nobody waits: a successor is made an orphan.
    #[must_use]
    pub fn find(took_over: bool) -> Self {
        let at_terminal = std::io::stdin().is_terminal() || std::io::stderr().is_terminal();
        Self { parent: parent().filter(|_| !took_over), at_terminal }
    }

    /// Whether it waits for the end of this process.
    #[must_use]
    pub fn waits(&self) -> bool {
        let signs = Signs {
            pid: std::process::id(),
            starter_is_there: self.parent.is_some() && parent() == self.parent,
            is_told: crate::service_manager::is_there(),
            at_terminal: self.at_terminal,
        };
        signs.say_it_waits()
    }
}

/// Whoever's child this process is now: its starter, or when that has ended the one that adopts orphans.
#[cfg(unix)]
fn parent() -> Option<u32> {
    let pid = rustix::process::getppid()?;
    u32::try_from(pid.as_raw_nonzero().get()).ok()
}

/// Nothing is handed over there.
#[cfg(not(unix))]
fn parent() -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_there_waits_unless_it_is_told_or_a_shell() {
        let alone = Signs { pid: 7, starter_is_there: false, is_told: false, at_terminal: false };
        let child = Signs { starter_is_there: true, ..alone };
        for (signs, waits) in [
            // Started in the background by kmi, or by a handover.
            (alone, false),
            // supervisord, runit, launchd, `systemd-run`, the first process of a container with an init.
            (child, true),
            (Signs { is_told: true, ..child }, false),
            (Signs { at_terminal: true, ..child }, false),
            (Signs { pid: 1, ..alone }, true),
            (Signs { pid: 1, is_told: true, at_terminal: true, ..child }, true),
        ] {
            assert_eq!(signs.say_it_waits(), waits, "{signs:?}");
        }
    }
}
