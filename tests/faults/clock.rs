//! The machine's clock jumps by a day, forwards and back. `faketime` (Debian: libfaketime) moves it for one process.

use std::fs;
use std::path::PathBuf;

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::require::or_skip;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Daemon, Request, Setup};
use kmi_tests::upstream::{Reply, Upstream};
use serde_json::{Value, json};

const LIBRARY: &str = "libfaketimeMT.so.1";

fn library() -> Option<PathBuf> {
    let folders = ["/usr/lib", "/usr/local/lib", "/usr/lib64"].map(PathBuf::from).into_iter();
    let inside = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    folders.chain(inside).map(|folder| folder.join("faketime").join(LIBRARY)).find(|path| path.exists())
}

/// The time of the last finished request, by the daemon's clock.
async fn last_trace(daemon: &Daemon, count: usize) -> Value {
    daemon.traces(count).await[count - 1].clone()
}

#[tokio::test]
async fn a_clock_that_jumps_by_a_day_stops_nothing() {
    let library = library();
    if !or_skip(library.is_some(), "libfaketime is not installed") {
        return;
    }
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch();
    let offset = setup.home().write("offset", "+0");
    let set = |text: &str| {
        // Whole or not at all: the library reads it at every look at the clock.
        let new = offset.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &offset).unwrap();
    };
    let daemon = setup
        .env("LD_PRELOAD", &library.unwrap_or_default().display().to_string())
        .env("FAKETIME_TIMESTAMP_FILE", &offset.display().to_string())
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DISABLE_SHM", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .start()
        .await;
    daemon.quotas_read().await;
    let mut traced = 0;
    let mut days = 0;
    // Each time with a key that cools: its end is a time of the clock that is about to jump.
    for jump in [1_i64, -1, -1, 1] {
        let refusal = Reply::openai_error(429, "rate_limit_reached_error", "receiving too many requests")
            .field("Retry-After", "25");
        upstream.next(&key_of("alpha"), "/models", refusal);
        daemon.rpc("rotation.rotate", json!({"to": "alpha"})).await.unwrap();
        assert_eq!(daemon.send(Request::get("/models")).await.key(), Some("beta"));
        traced += 1;
        daemon.key_is("alpha", "cooling").await;
        let before = time_of(&last_trace(&daemon, traced).await);

        days += jump;
        set(&format!("{days:+}d"));
        // Over, a day later; and a day earlier it would last longer than it ever was to.
        daemon.key_is("alpha", "ready").await;
        daemon.rpc("rotation.rotate", json!({"to": "alpha"})).await.unwrap();
        let answer = daemon.send(Request::get("/models")).await;
        assert_eq!((answer.status, answer.key()), (200, Some("alpha")));
        traced += 1;
        let after = time_of(&last_trace(&daemon, traced).await);
        let minutes = after.duration_since(before).as_mins();
        assert!((minutes - jump * 24 * 60).abs() <= 5, "the clock did not jump: {minutes} min");
        daemon.rpc("quota.refresh", json!({})).await.unwrap();
        assert_eq!(daemon.rpc("daemon.status", json!({})).await.unwrap()["proxy"]["running"], true);
    }
    // A start with the clock set back finds its state as it was.
    set("-1d");
    let home = daemon.stopped().await;
    let daemon = Setup::in_home(home).start().await;
    assert_eq!(daemon.key("alpha").await["requests"].as_u64(), Some(8), "every attempt counted");
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    eventually("the state to be saved", || async {
        fs::read_to_string(daemon.state_path("state.json"))
            .ok()
            .filter(|state| state.contains("schema_version"))
    })
    .await;
}

/// `ts` of a trace: `2026-02-02 12:00:00.123 +0000`.
fn time_of(trace: &Value) -> jiff::Timestamp {
    let text = trace["ts"].as_str().unwrap();
    jiff::Timestamp::strptime("%Y-%m-%d %H:%M:%S%.f %z", text).unwrap_or_else(|e| panic!("{text}: {e}"))
}
