//! A daemon for a client, and what must hold of the client's turn.

use kmi_tests::harness::cli::Ran;
use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::files::rotated_lines;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Daemon, Setup};
use kmi_tests::upstream::Upstream;
use serde_json::Value;

use crate::clients::Client;
use crate::model;

/// What a client asks on one of the wires.
pub(crate) const OPENAI: &str = "/chat/completions";
pub(crate) const ANTHROPIC: &str = "/messages";

/// A part of the simulator's answer.
const SIMULATED: &str = "made by the simulator inside kmid";

/// A daemon in dry-run, with the client's programs on PATH.
pub(crate) async fn dry_run(client: Client, change: impl FnOnce(Setup) -> Setup) -> Daemon {
    change(client.on_path(Setup::dry_run()).keys(&["alpha", "beta"])).start().await
}

/// A live daemon before a scripted API whose key *alpha* has an empty quota from the second request of a turn on.
pub(crate) async fn scripted(client: Client, change: impl FnOnce(Setup) -> Setup) -> (Upstream, Daemon) {
    let upstream = Upstream::start().await;
    for endpoint in [OPENAI, ANTHROPIC] {
        upstream.always(&key_of("alpha"), endpoint, model::answer_until_empty);
        upstream.always(&key_of("beta"), endpoint, model::answer);
    }
    let setup = client.on_path(Setup::live(&upstream)).keys(&["alpha", "beta"]).may_switch();
    let daemon = change(setup).start().await;
    (upstream, daemon)
}

/// The same, but the stream of *alpha* breaks in the middle of its first answer.
pub(crate) async fn breaking(client: Client, change: impl FnOnce(Setup) -> Setup) -> (Upstream, Daemon) {
    let (upstream, daemon) = scripted(client, change).await;
    for endpoint in [OPENAI, ANTHROPIC] {
        upstream.always(&key_of("alpha"), endpoint, model::answer_that_breaks());
    }
    (upstream, daemon)
}

/// The client saw that its answer broke off: it asked again, or ended with an error. kmid made no end of the half, and
/// the next request that the key could not serve went to another.
pub(crate) async fn saw_the_break(daemon: &Daemon, ran: &Ran, endpoint: &str) {
    let broken =
        traces(daemon, endpoint, |entries| entries.iter().any(|entry| entry["outcome"] == "upstream_broke"))
            .await;
    let broken: Vec<_> = broken.into_iter().filter(|entry| entry["outcome"] == "upstream_broke").collect();
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert_eq!(attempts(&broken[0]), [("alpha".to_owned(), 200)], "what was begun is not tried elsewhere");
    if ran.code == 0 {
        assert!(ran.out.contains(model::DONE), "the half was taken for the whole: {ran:?}");
    } else {
        assert!(!ran.out.contains(model::DONE), "{ran:?}");
        assert!(!(ran.err.is_empty() && ran.out.is_empty()), "an error without a word: {ran:?}");
    }
}

/// A turn went through *beta* from its first request to its last.
pub(crate) async fn went_on(daemon: &Daemon, ran: &Ran, endpoint: &str) {
    assert!(ran.code == 0 && ran.out.contains(model::DONE), "{ran:?}");
    let entries = traces(daemon, endpoint, |entries| {
        entries.iter().filter(|entry| attempts(entry).last() == Some(&("beta".to_owned(), 200))).count() >= 2
    })
    .await;
    let done = entries.iter().filter(|entry| entry["outcome"] == "completed").count();
    assert_eq!(done + 1, entries.len(), "all but the one that broke: {entries:?}");
}

/// Where clients are pointed at.
pub(crate) fn url(daemon: &Daemon) -> String {
    format!("http://{}/kmi-rotor/v1", daemon.proxy())
}

/// The client printed the simulator's answer, which it had asked for on that wire.
pub(crate) async fn was_simulated(daemon: &Daemon, ran: &Ran, endpoint: &str) {
    assert_eq!(ran.code, 0, "{ran:?}");
    // a terminal's width may break the line anywhere
    let text = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(SIMULATED), "{ran:?}");
    let entries = traces(daemon, endpoint, |entries| !entries.is_empty()).await;
    for entry in entries {
        assert_eq!(
            (entry["status"].as_u64(), entry["outcome"].as_str()),
            (Some(200), Some("completed")),
            "{entry}"
        );
    }
}

/// The client's turn took two requests: the first went through *alpha*, the second was refused there and went on
/// through *beta*; the client noticed nothing, and the trace shows both attempts.
pub(crate) async fn went_on_with_another_key(
    upstream: &Upstream,
    daemon: &Daemon,
    ran: &Ran,
    endpoint: &str,
) {
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains(model::DONE), "{ran:?}");
    let entries =
        traces(daemon, endpoint, |entries| entries.iter().any(|entry| attempts(entry).len() == 2)).await;
    for entry in &entries {
        assert_eq!(
            (entry["status"].as_u64(), entry["outcome"].as_str()),
            (Some(200), Some("completed")),
            "{entry}"
        );
    }
    let of_each: Vec<_> = entries.iter().map(attempts).collect();
    let second = of_each.iter().position(|attempts| attempts.len() == 2).unwrap();
    assert_eq!(of_each[second], [("alpha".to_owned(), 403), ("beta".to_owned(), 200)]);
    assert!(of_each[..second].contains(&vec![("alpha".to_owned(), 200)]), "the first request: {of_each:?}");
    assert_eq!(of_each.iter().filter(|attempts| attempts.len() > 1).count(), 1, "{of_each:?}");

    let seen = upstream.requests();
    let asked = seen.iter().filter(|seen| seen.endpoint() == endpoint && model::is_second(seen));
    let keys: Vec<_> = asked.map(|seen| seen.key().unwrap_or_default()).collect();
    assert_eq!(keys[..2], [key_of("alpha"), key_of("beta")]);
    for seen in &seen {
        let key = seen.key().unwrap_or_default();
        assert!(
            ["alpha", "beta"].map(key_of).contains(&key),
            "a key that is not the pool's went upstream: {key}"
        );
    }
}

/// Each request at an endpoint carried a header that begins so.
pub(crate) fn identity_passed(upstream: &Upstream, endpoint: &str, header: &str, begins: &str) {
    let seen = upstream.at(endpoint);
    assert!(!seen.is_empty());
    for seen in seen {
        let value = seen.head.fields.get(header).unwrap_or_default();
        assert!(value.starts_with(begins), "{header}: {value}");
    }
}

/// The trace of an endpoint, as soon as it is as it should be.
async fn traces(daemon: &Daemon, endpoint: &str, complete: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let path = daemon.state_path("trace/trace.jsonl");
    eventually(format!("the trace of {endpoint}"), || async {
        let lines = rotated_lines(&path);
        let entries = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let entries: Vec<Value> = entries.filter(|entry| entry["endpoint"] == endpoint).collect();
        complete(&entries).then_some(entries)
    })
    .await
}

/// The trace holds no `HEAD`: that of a client which only asks whether somebody listens is no request.
pub(crate) fn no_head_was_counted(daemon: &Daemon) {
    let lines = rotated_lines(&daemon.state_path("trace/trace.jsonl"));
    assert!(!lines.is_empty() && !lines.iter().any(|line| line.contains("\"HEAD\"")), "{lines:?}");
}

/// Label and status of each attempt.
fn attempts(entry: &Value) -> Vec<(String, u64)> {
    let attempts = entry["attempts"].as_array().unwrap().iter();
    attempts
        .map(|attempt| {
            (attempt["key_label"].as_str().unwrap().to_owned(), attempt["status"].as_u64().unwrap_or(0))
        })
        .collect()
}
