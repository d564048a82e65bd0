//! The full screen of `kmi trace` in a real terminal (tmux), compared as a whole: a daemon with fixed data, a clock that
//! stands still. How it behaves against a living daemon is tested in `tests/cli/trace_screen.rs` of the workspace.
#![cfg(debug_assertions)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::fixed::{self, NOW};
use crate::kmi::{Home, start};
use crate::require::or_skip;

/// Long enough for a loaded machine; a test that waits so long for the terminal has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// How tmux begins a line about what a program wrote.
const OUTPUT: &str = "%output ";

/// What the screen library writes last of a frame, hiding the cursor; tmux gives control characters in octal.
const END_OF_FRAME: &str = r"\033[?25l";

/// A terminal of its own server, which ends with the value.
///
/// Its client is one in control mode (tmux(1), CONTROL MODE): it is told what the program in the terminal writes as it
/// writes it, and what it asks is answered in between.
struct Tmux {
    client: Child,
    asks: ChildStdin,
    lines: Receiver<String>,
    /// Whether what was written so far ends with a whole frame.
    whole: bool,
    _home: Home,
}

impl Tmux {
    /// `kmi trace` in so many columns and rows.
    fn trace(columns: u16, rows: u16, locale: &str) -> Self {
        let home = Home::new();
        fixed::streaming(&home);
        // The server takes its environment from its first client, and so the pane has the HOME's.
        let mut command = home.command_of("tmux".as_ref(), ["-S"]);
        command.arg(home.path().join("tmux.sock")).args(["-u", "-f", "/dev/null", "-C", "new-session"]);
        command.args(["-x", &columns.to_string(), "-y", &rows.to_string()]);
        command.arg(format!("'{}' trace", env!("CARGO_BIN_EXE_kmi")));
        command.env("_KMI_CLOCK", NOW).env("KMI_TIMEZONE", "Europe/Moscow").env("KMI_LOCALE", locale);
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = start(&mut command);
        let (asks, told) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
        let (send, lines) = channel();
        // Ends with the client. A piece of output may end within a character.
        thread::spawn(move || {
            let mut lines = BufReader::new(told).split(b'\n').map_while(Result::ok);
            lines.try_for_each(|line| send.send(String::from_utf8_lossy(&line).into_owned()))
        });
        let mut tmux = Self { client, asks, lines, whole: false, _home: home };
        tmux.answer();
        tmux
    }

    /// What tmux answers to a command, line by line.
    fn ask(&mut self, command: &str) -> Vec<String> {
        writeln!(self.asks, "{command}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Vec<String> {
        while !self.line().starts_with("%begin ") {}
        let mut answer = Vec::new();
        loop {
            let line = self.line();
            assert!(!line.starts_with("%error "), "{answer:?}");
            if line.starts_with("%end ") {
                return answer;
            }
            answer.push(line);
        }
    }

    /// The next line, after a look at whether it ends a frame.
    fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(DEADLINE).expect("tmux says nothing more");
        if line.starts_with(OUTPUT) {
            self.whole = line.ends_with(END_OF_FRAME);
        }
        line
    }

    fn press(&mut self, key: &str) {
        self.ask(&format!("send-keys {key}"));
    }

    /// The screen as soon as a whole frame shows all of these.
    fn showing(&mut self, texts: &[&str]) -> String {
        let started = Instant::now();
        loop {
            let screen = self.ask("capture-pane -p").join("\n") + "\n";
            if self.whole && texts.iter().all(|text| screen.contains(text)) {
                return screen;
            }
            // Frames of an unchanged screen come for ever.
            assert!(started.elapsed() < DEADLINE, "waited for {texts:?}: {screen}");
            while !self.line().starts_with(OUTPUT) {}
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = writeln!(self.asks, "send-keys q\nkill-server");
        let _ = self.client.wait();
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
        let mut tmux = Tmux::trace(columns, rows, locale);
        let screen = tmux.showing(&[live, "рабоч", "11:59:55"]);
        screens.push(format!("== {columns} columns, {locale}\n{screen}"));
        tmux.press("Enter");
        let open = if locale == "en" { "Request" } else { "Запрос" };
        screens.push(format!("== {columns} columns, {locale}, one request\n{}", tmux.showing(&[open])));
    }
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("kmi-trace-screen", screens.join("\n"));
    });
}
