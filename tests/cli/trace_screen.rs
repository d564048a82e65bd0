//! `kmi trace` on the whole screen, in a real pseudo-terminal.

use kmi_tests::harness::{Request, Setup};
use rustix::process::Signal;

use kmi_tests::harness::tmux::{Tmux, between_stty, has_tmux};

/// Waits for its end, and finds the terminal as it was.
async fn left_well(tmux: &Tmux, ended: &str) {
    let screen = tmux.restored(ended).await;
    assert!(!screen.contains("─"), "something is left: {screen}");
}

#[tokio::test]
async fn requests_keys_help_detail_and_filters() {
    if !has_tmux() {
        return;
    }
    let daemon = Setup::dry_run().keys(&["alpha", "beta"]).env("KMI_LOCALE", "en").start().await;
    daemon.quotas_read().await;
    daemon.send(Request::get("/models")).await;
    let tmux = Tmux::run(&daemon.home, &between_stty("top"));
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
    left_well(&tmux, "ended with 0").await;
}

#[tokio::test]
async fn a_daemon_that_dies_and_comes_back() {
    if !has_tmux() {
        return;
    }
    let mut daemon = Setup::dry_run().keys(&["alpha"]).env("KMI_LOCALE", "en").start().await;
    daemon.send(Request::get("/models")).await;
    daemon.traces(1).await;
    let tmux = Tmux::run(&daemon.home, &between_stty("trace --no-start"));
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
    left_well(&tmux, "ended with 0").await;
}

#[tokio::test]
async fn lines_where_lines_were_asked_for() {
    if !has_tmux() {
        return;
    }
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    daemon.send(Request::get("/models")).await;
    let tmux = Tmux::run(&daemon.home, &between_stty("trace --plain"));
    tmux.shows("GET /models").await;
    assert_eq!(tmux.flags(), "0 1");
    tmux.press(&["C-c"]);
}

#[tokio::test]
async fn left_while_the_daemon_is_gone() {
    if !has_tmux() {
        return;
    }
    let mut daemon = Setup::dry_run().keys(&["alpha"]).env("KMI_LOCALE", "en").start().await;
    let tmux = Tmux::run(&daemon.home, &between_stty("trace --no-start"));
    tmux.shows("● live").await;
    daemon.signal(Signal::KILL);
    daemon.ended().await;
    tmux.shows("kmid is gone; trying again each second").await;
    tmux.press(&["q"]);
    left_well(&tmux, "ended with 0").await;
}

#[tokio::test]
async fn it_ends_with_its_terminal() {
    if !has_tmux() {
        return;
    }
    let daemon = Setup::dry_run().keys(&["alpha"]).env("KMI_LOCALE", "en").start().await;
    let kmi = kmi_tests::harness::binaries::binaries().kmi.display();
    // In place of the shell, so that the pane's process is the one to look at.
    let tmux = Tmux::run(&daemon.home, &format!("exec '{kmi}' trace --no-start"));
    tmux.shows("● live").await;
    let pane = String::from_utf8(tmux.tell(&["display-message", "-p", "#{pane_pid}"]).stdout).unwrap();
    let status = format!("/proc/{}/status", pane.trim());
    assert!(std::fs::read_to_string(&status).unwrap().starts_with("Name:\tkmi\n"));
    drop(tmux);
    kmi_tests::harness::wait::eventually("the end of kmi trace", || async {
        let gone = std::fs::read_to_string(&status).map_or(true, |text| text.contains("State:\tZ"));
        gone.then_some(())
    })
    .await;
}

/// A panic where frames are drawn, and one in a thread that reads: only a debug build lets a test ask for them.
#[cfg(debug_assertions)]
#[tokio::test]
async fn a_panic_gives_the_terminal_back_and_is_read() {
    if !has_tmux() {
        return;
    }
    let daemon = Setup::dry_run().keys(&["alpha"]).env("KMI_LOCALE", "en").start().await;
    for (point, code) in [("screen", 101), ("feed", 1)] {
        for name in ["before", "after"] {
            let _ = std::fs::remove_file(daemon.home.work_dir().join(name));
        }
        let run = between_stty("trace --no-start");
        // What the terminal is told is kept, to see that the screen had been taken.
        let tmux = Tmux::run(&daemon.home, &format!("export _KMI_PANIC={point}; read -r _; {run}"));
        let told = daemon.home.work_dir().join(format!("told-{point}"));
        assert!(tmux.tell(&["pipe-pane", &format!("cat > '{}'", told.display())]).status.success());
        tmux.press(&["Enter"]);
        let screen = tmux.restored(&format!("ended with {code}")).await;
        assert!(screen.contains(&format!("rehearsed at {point}")), "{screen}");
        assert!(!screen.contains("─"), "something is left: {screen}");
        let told = kmi_tests::harness::wait::eventually("what the terminal was told", || async {
            let told = std::fs::read(&told).unwrap_or_default();
            String::from_utf8_lossy(&told).contains("ended with").then_some(told)
        })
        .await;
        let told = String::from_utf8_lossy(&told);
        let place = |part: &str| told.find(part).unwrap_or_else(|| panic!("{part:?} is missing: {told:?}"));
        let (taken, given_back) = (place("\x1b[?1049h"), place("\x1b[?1049l"));
        assert!(taken < given_back && given_back < place("rehearsed at"), "{told:?}");
    }
}
