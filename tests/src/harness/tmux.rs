//! A real pseudo-terminal to run programs in: tmux, with a server of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::binaries::binaries;
use super::home::Home;
use super::needs;
use super::wait::{DEADLINE, DEADLINE_OF_CLIENTS, eventually, eventually_at_most};

/// A terminal of its own server, which ends with the value.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
    work_dir: PathBuf,
    deadline: Duration,
}

impl Tmux {
    /// Runs a shell script in 120 columns and 24 rows, then holds the terminal open.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(home: &Home, script: &str) -> Self {
        // One that was killed may still be about to remove its socket.
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let name = format!("tmux-{}.sock", STARTED.fetch_add(1, Ordering::Relaxed));
        let tmux = Self { socket: home.path().join(name), work_dir: home.work_dir(), deadline: DEADLINE };
        let mut command = home.command(Path::new("tmux"));
        // The server takes its environment from its first client, and so the pane has the HOME's.
        command.arg("-S").arg(&tmux.socket).args(["-u", "-f", "/dev/null", "new-session", "-d"]);
        command.env("LC_ALL", "C.UTF-8").args(["-x", "120", "-y", "24", &format!("{script}; exec cat")]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        tmux
    }

    /// Waits longer for what the screen shows: the program is not ours.
    #[must_use]
    pub fn of_a_client(mut self) -> Self {
        self.deadline = DEADLINE_OF_CLIENTS;
        self
    }

    /// Runs a command of tmux.
    ///
    /// # Panics
    /// When tmux cannot be started.
    #[must_use]
    pub fn tell(&self, args: &[&str]) -> Output {
        Command::new("tmux").arg("-S").arg(&self.socket).arg("-u").args(args).output().unwrap()
    }

    /// Presses keys, by tmux's names.
    ///
    /// # Panics
    /// When tmux refuses.
    pub fn press(&self, keys: &[&str]) {
        assert!(self.tell(&[&["send-keys"], keys].concat()).status.success());
    }

    /// What stands on the screen.
    ///
    /// # Panics
    /// When that is no text.
    #[must_use]
    pub fn screen(&self) -> String {
        String::from_utf8(self.tell(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// Waits until the screen is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually_at_most(self.deadline, format!("{what} on the screen"), || async {
            let screen = self.screen();
            wanted(&screen).then_some(screen)
        })
        .await
    }

    /// Waits for a text.
    pub async fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text)).await
    }

    /// `1` while a program has the alternate screen, then whether the cursor is shown.
    ///
    /// # Panics
    /// When that is no text.
    #[must_use]
    pub fn flags(&self) -> String {
        let told = self.tell(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        String::from_utf8(told.stdout).unwrap().trim().to_owned()
    }

    /// Types a text as it is.
    ///
    /// # Panics
    /// When tmux refuses.
    pub fn types(&self, text: &str) {
        assert!(self.tell(&["send-keys", "-l", text]).status.success());
    }

    /// Waits for the end of what [`between_stty`] runs, and finds the terminal's settings as they were.
    ///
    /// # Panics
    /// When they are not.
    pub async fn restored(&self, ended: &str) -> String {
        let screen = self.shows(ended).await;
        assert_eq!(self.flags(), "0 1", "alternate screen and cursor");
        let setting = |name: &str| std::fs::read_to_string(self.work_dir.join(name)).unwrap_or_default();
        eventually("the settings afterwards", || async { (!setting("after").is_empty()).then_some(()) })
            .await;
        assert!(setting("before").len() > 10);
        assert_eq!(setting("before"), setting("after"));
        screen
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.tell(&["kill-server"]);
    }
}

/// Whether there is a tmux.
#[must_use]
pub fn has_tmux() -> bool {
    is_there("tmux")
}

/// Whether a program is there; see [`needs::present`].
#[must_use]
pub fn is_there(program: &str) -> bool {
    needs::present(program, Command::new(program).arg("--version").output().is_ok())
}

/// `kmi ARGS`, between two looks at the terminal's settings. Ctrl-C ends `kmi` and not the shell around it.
#[must_use]
pub fn between_stty(args: &str) -> String {
    let kmi = binaries().kmi.display();
    format!("trap : INT; stty -g > before; '{kmi}' {args}; echo \"ended with $?\"; stty -g > after")
}
