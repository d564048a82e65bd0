//! Lines as they come out.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use super::*;

const TS: &str = "2026-11-23 12:00:00.123 +0300";

/// Keeps the lines of what happens inside.
struct Keep(Arc<Mutex<Vec<(String, String)>>>);

impl<S: tracing::Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let entry = Entry::new(event);
        self.0.lock().unwrap().push((entry.json(TS), entry.human(TS)));
    }
}

fn lines(log: impl FnOnce()) -> (String, String) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::registry().with(Keep(Arc::clone(&kept)));
    tracing::subscriber::with_default(subscriber, log);
    kept.lock().unwrap().remove(0)
}

fn parsed(json: &str) -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(json).unwrap()
}

#[test]
fn an_event_in_both_forms() {
    let (json, human) = lines(|| {
        tracing::info!(
            key = "alpha",
            status = 200u16,
            ratio = 0.5,
            ok = true,
            change = -3,
            why = "a quoted \"word\"",
            none = Option::<u64>::None,
            "proxy_request"
        );
    });
    assert_eq!(
        json,
        format!(
            r#"{{"ts":"{TS}","level":"INFO","message":"proxy_request","key":"alpha","status":200,"ratio":0.5,"ok":true,"change":-3,"why":"a quoted \"word\""}}"#
        )
    );
    assert_eq!(
        human,
        format!(
            r#"{TS} INFO proxy_request key=alpha status=200 ratio=0.5 ok=true change=-3 why="a quoted \"word\"""#
        )
    );
}

#[test]
fn a_dependency_is_named() {
    let (json, human) = lines(|| tracing::warn!(target: "hyper::proto", level = 3, nan = f64::NAN, "odd"));
    let fields = parsed(&json);
    assert_eq!(fields["target"], "hyper::proto");
    assert_eq!((fields["level"].as_str(), fields["_level"].as_u64()), (Some("WARN"), Some(3)));
    assert_eq!(fields["nan"], "NaN");
    assert_eq!(human, format!("{TS} WARN hyper::proto: odd level=3 nan=NaN"));
}

#[test]
fn an_error_is_told_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    let error = Outer(std::io::Error::other("inner"));
    let (json, _) = lines(|| tracing::error!(error = &error as &(dyn Error + 'static), "failed"));
    assert_eq!(parsed(&json)["error"], "outer: inner");
}

#[test]
fn nothing_steers_a_terminal_or_breaks_the_line() {
    let nasty = "a\nb\r\x1b[31m\u{85}\u{9b}\u{2028}\0 c";
    let (json, human) = lines(|| tracing::info!(nasty, word = "x\x1b", "{nasty}"));
    assert_eq!(parsed(&json)["nasty"], nasty);
    assert_eq!(parsed(&json)["message"], nasty);
    assert!(!(human + &json).contains(|c: char| c.is_control() || c == '\u{2028}'));
}

#[test]
fn a_line_is_bounded_and_still_json() {
    struct Endless;
    impl fmt::Debug for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("\u{1}")?;
            }
        }
    }
    let (json, human) = lines(|| {
        tracing::info!(a = ?Endless, b = ?Endless, c = ?Endless, d = ?Endless, e = ?Endless, f = ?Endless, "{}", "m".repeat(100_000));
    });
    assert!(json.len() <= MAX_LINE && human.len() <= MAX_LINE, "{} {}", json.len(), human.len());
    let fields = parsed(&json);
    assert_eq!(fields["cut"], true);
    assert!(fields["message"].as_str().unwrap().ends_with("m..."));
    assert!(human.ends_with(" ..."));
}

proptest! {
    #[test]
    fn whatever_is_logged_reads_back(text in any::<String>()) {
        let (json, human) = lines(|| tracing::info!(text, "{text}"));
        prop_assert_eq!(&parsed(&json)["text"], &text);
        prop_assert!(!json.contains(|c: char| c.is_control()) && !human.contains(|c: char| c.is_control()));
    }
}
