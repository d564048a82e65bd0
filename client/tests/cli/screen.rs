//! The full screen of `kmi trace` in a real terminal (tmux), compared as a whole: a daemon with fixed data, a clock that
//! stands still. How it behaves against a living daemon is tested in `tests/cli/trace_screen.rs` of the workspace.
#![cfg(debug_assertions)]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::fixed::{self, NOW};
use crate::kmi::{Home, output};
use crate::require::or_skip;

/// A terminal of its own server, which ends with the value.
struct Tmux {
    socket: PathBuf,
    _home: Home,
}

impl Tmux {
    /// `kmi trace` in so many columns and rows.
    fn trace(columns: u16, rows: u16, locale: &str) -> Self {
        let home = Home::new();
        fixed::streaming(&home);
        let socket = home.path().join("tmux.sock");
        // The server takes its environment from its first client, and so the pane has the HOME's.
        let mut command = home.command_of("tmux".as_ref(), ["-S"]);
        command.arg(&socket).args(["-u", "-f", "/dev/null", "new-session", "-d"]);
        command.args(["-x", &columns.to_string(), "-y", &rows.to_string()]);
        command.arg(format!("'{}' trace", env!("CARGO_BIN_EXE_kmi")));
        command.env("_KMI_CLOCK", NOW).env("KMI_TIMEZONE", "Europe/Moscow").env("KMI_LOCALE", locale);
        let started = output(command.env("LC_ALL", "C.UTF-8"));
        assert!(started.status.success(), "{started:?}");
        Self { socket, _home: home }
    }

    fn tell(&self, args: &[&str]) -> Output {
        output(Command::new("tmux").arg("-S").arg(&self.socket).arg("-u").args(args))
    }

    fn press(&self, key: &str) {
        assert!(self.tell(&["send-keys", key]).status.success());
    }

    fn screen(&self) -> String {
        String::from_utf8(self.tell(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// The screen as soon as it shows all of these and stands still: a terminal shows half a frame, too.
    fn showing(&self, texts: &[&str]) -> String {
        let started = Instant::now();
        let mut before = String::new();
        loop {
            let screen = self.screen();
            let closed = screen.lines().all(|line| line.starts_with('└') == line.trim_end().ends_with('┘'));
            if closed && before == screen && texts.iter().all(|text| screen.contains(text)) {
                return screen;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "waited for {texts:?}: {screen}");
            before = screen;
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.tell(&["send-keys", "q"]);
        self.tell(&["kill-server"]);
    }
}

fn has_tmux() -> bool {
    or_skip(Command::new("tmux").arg("-V").output().is_ok(), "tmux is not installed")
}

#[test]
fn a_whole_screen() {
    if !has_tmux() {
        return;
    }
    let mut screens = Vec::new();
    for (columns, rows, locale, live) in [
        (120, 24, "en", "● live"),
        (120, 24, "ru", "● идёт"),
        (200, 24, "en", "● live"),
        (100, 24, "en", "● live"),
        (80, 24, "en", "● live"),
        (80, 24, "ru", "● идёт"),
        (40, 24, "en", "● live"),
        (40, 24, "ru", "● идёт"),
    ] {
        let tmux = Tmux::trace(columns, rows, locale);
        let screen = tmux.showing(&[live, "рабоч", "/models"]);
        screens.push(format!("== {columns} columns, {locale}\n{screen}"));
        tmux.press("Enter");
        let open = if locale == "en" { "Request" } else { "Запрос" };
        screens.push(format!("== {columns} columns, {locale}, one request\n{}", tmux.showing(&[open])));
    }
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("kmi-trace-screen", screens.join("\n"));
    });
}
