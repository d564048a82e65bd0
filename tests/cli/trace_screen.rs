//! `kmi trace` on the whole screen, in a real pseudo-terminal (tmux).

use std::path::PathBuf;
use std::process::{Command, Output};

use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Daemon, Request, Setup, needs};
use rustix::process::Signal;

/// A terminal of its own server, which ends with the value.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// Runs a shell script in 120 columns and 24 rows, then holds the terminal open.
    fn run(daemon: &Daemon, script: &str) -> Self {
        let tmux = Self { socket: daemon.home.path().join("tmux.sock") };
        let mut command = daemon.home.command(std::path::Path::new("tmux"));
        // The server takes its environment from its first client, and so the pane has the HOME's.
        command.arg("-S").arg(&tmux.socket).args(["-u", "-f", "/dev/null", "new-session", "-d"]);
        command.env("LC_ALL", "C.UTF-8").args(["-x", "120", "-y", "24", &format!("{script}; exec cat")]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        tmux
    }

    fn tell(&self, args: &[&str]) -> Output {
        Command::new("tmux").arg("-S").arg(&self.socket).arg("-u").args(args).output().unwrap()
    }

    fn press(&self, keys: &[&str]) {
        assert!(self.tell(&[&["send-keys"], keys].concat()).status.success());
    }

    fn screen(&self) -> String {
        String::from_utf8(self.tell(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// Waits until the screen is as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually(format!("{what} on the screen"), || async {
            let screen = self.screen();
            wanted(&screen).then_some(screen)
        })
        .await
    }

    async fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text)).await
    }

    /// `1` while a program has the alternate screen, then whether the cursor is shown.
    fn flags(&self) -> String {
        let told = self.tell(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        String::from_utf8(told.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.tell(&["kill-server"]);
    }
}

/// Whether there is a tmux; where everything is required, its lack is a failure.
fn has_tmux() -> bool {
    let there = Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success());
    needs::present("tmux (so kmi trace is not seen on a terminal)", there)
}

/// `kmi ARGS`, between two looks at the terminal's settings.
fn between_stty(args: &str) -> String {
    let kmi = binaries().kmi.display();
    format!("stty -g > before; '{kmi}' {args}; echo \"ended with $?\"; stty -g > after")
}

/// Waits for its end, and finds the terminal as it was.
async fn restored(tmux: &Tmux, daemon: &Daemon, ended: &str) {
    let screen = tmux.shows(ended).await;
    assert!(!screen.contains("─"), "something is left: {screen}");
    assert_eq!(tmux.flags(), "0 1", "alternate screen and cursor");
    let setting = |name: &str| std::fs::read_to_string(daemon.home.work_dir().join(name)).unwrap_or_default();
    eventually("the settings afterwards", || async { (!setting("after").is_empty()).then_some(()) }).await;
    assert!(setting("before").len() > 10);
    assert_eq!(setting("before"), setting("after"));
}

#[tokio::test]
async fn requests_keys_help_detail_and_filters() {
    if !has_tmux() {
        return;
    }
    let daemon = Setup::dry_run().keys(&["alpha", "beta"]).env("KMI_LOCALE", "en").start().await;
    daemon.quotas_read().await;
    daemon.send(Request::get("/models")).await;
    let tmux = Tmux::run(&daemon, &between_stty("top"));
    let screen = tmux.shows("GET /models").await;
    assert!(screen.contains("● live") && screen.contains("requests: 1 of 1"), "{screen}");
    assert_eq!(tmux.flags(), "1 0");
    tmux.until("both keys", |screen| screen.contains("▸alpha") && screen.contains(" beta ")).await;
    daemon.send(Request::get("/usages")).await;
    tmux.shows("GET /usages").await;
    tmux.press(&["?"]);
    tmux.shows("hold the list").await;
    tmux.press(&["Escape"]);
    tmux.until("no help", |screen| !screen.contains("hold the list")).await;
    tmux.press(&["/", "m", "o", "d", "Enter"]);
    let screen = tmux.shows("requests: 1 of 2").await;
    assert!(screen.contains("GET /models") && !screen.contains("GET /usages"), "{screen}");
    tmux.press(&["c", "p"]);
    tmux.shows("‖ paused").await;
    daemon.send(Request::get("/models")).await;
    tmux.shows("paused, 1 new").await;
    tmux.press(&["p", "Enter"]);
    tmux.shows("attempt 1: alpha").await;
    tmux.press(&["Escape"]);
    assert!(tmux.tell(&["resize-window", "-x", "50", "-y", "16"]).status.success());
    tmux.until("a narrow frame", |screen| {
        let frame = |line: &str| line.chars().count() == 50 && line.starts_with('└') && line.ends_with('┘');
        screen.lines().filter(|line| frame(line)).count() == 2
    })
    .await;
    tmux.press(&["q"]);
    restored(&tmux, &daemon, "ended with 0").await;
}

#[tokio::test]
async fn a_daemon_that_dies_and_comes_back() {
    if !has_tmux() {
        return;
    }
    let mut daemon = Setup::dry_run().keys(&["alpha"]).env("KMI_LOCALE", "en").start().await;
    daemon.send(Request::get("/models")).await;
    daemon.traces(1).await;
    let tmux = Tmux::run(&daemon, &between_stty("trace --no-start"));
    tmux.shows("requests: 1 of 1").await;
    daemon.signal(Signal::KILL);
    daemon.ended().await;
    let screen = tmux.shows("✗ kmid is gone").await;
    assert!(screen.contains("GET /models"), "what was seen stays: {screen}");
    daemon = Setup::in_home(std::mem::take(&mut daemon.home)).start().await;
    let screen = tmux.shows("● live").await;
    assert!(screen.contains("requests: 1 of 1"), "nothing comes twice: {screen}");
    daemon.send(Request::get("/models")).await;
    tmux.shows("requests: 2 of 2").await;
    // A signal ends it as `q` does.
    let pane = String::from_utf8(tmux.tell(&["display-message", "-p", "#{pane_pid}"]).stdout).unwrap();
    let kmi = kmi_tests::harness::process::children(pane.trim().parse().unwrap());
    assert_eq!(kmi.len(), 1);
    kmi_tests::harness::process::signal(kmi[0], Signal::TERM);
    restored(&tmux, &daemon, "ended with 0").await;
}

#[tokio::test]
async fn lines_where_lines_were_asked_for() {
    if !has_tmux() {
        return;
    }
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    daemon.send(Request::get("/models")).await;
    let tmux = Tmux::run(&daemon, &between_stty("trace --plain"));
    tmux.shows("GET /models").await;
    assert_eq!(tmux.flags(), "0 1");
    tmux.press(&["C-c"]);
}
