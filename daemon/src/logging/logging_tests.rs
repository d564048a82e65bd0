//! From an event to the files.

use std::fs;

use super::*;

fn options(folder: PathBuf, level: &str) -> Options {
    Options {
        folder,
        level: level.to_owned(),
        limit: FileLimit { max_bytes: 1 << 20, backups: 1 },
        timezone: TimeZone::fixed(jiff::tz::offset(3)),
    }
}

fn messages(folder: &std::path::Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("kmi.log")).unwrap_or_default();
    let parse = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
    text.lines().map(|line| parse(line)["message"].as_str().unwrap().to_owned()).collect()
}

fn say_everything() {
    tracing::trace!(target: "kmid::x", "our trace");
    tracing::debug!(target: "kmid::x", "our debug");
    tracing::info!(target: "kmid::x", "our info");
    tracing::trace!(target: "hyper::x", "their trace");
    tracing::debug!(target: "hyper::x", "their debug");
    tracing::info!(target: "hyper::x", "their info");
    tracing::warn!(target: "hyper::x", "their warning");
}

#[test]
fn both_files_get_the_event_with_one_time() {
    let dir = tempfile::tempdir().unwrap();
    let (dispatch, logging) = build(&options(dir.path().to_owned(), "info"), None).unwrap();
    tracing::dispatcher::with_default(&dispatch, || tracing::info!(key = "alpha", "proxy_request"));
    logging.close();
    let json = fs::read_to_string(dir.path().join("kmi.log")).unwrap();
    let event: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((event["level"].as_str(), event["key"].as_str()), (Some("INFO"), Some("alpha")));
    let ts = event["ts"].as_str().unwrap();
    assert!(ts.ends_with(" +0300"), "{ts}");
    let human = fs::read_to_string(dir.path().join("proxy.out")).unwrap();
    assert_eq!(human, format!("{ts} INFO proxy_request key=alpha\n"));
}

#[test]
fn trace_turns_on_our_own_lines_only() {
    for (level, expected) in [
        ("trace", &["our trace", "our debug", "our info", "their warning"][..]),
        ("debug", &["our debug", "our info", "their warning"]),
        ("info", &["our info", "their warning"]),
        ("error", &[]),
        ("info,hyper=trace", &["our info", "their debug", "their info", "their warning"]),
        ("kmid=debug", &["our debug", "our info"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (dispatch, logging) = build(&options(dir.path().to_owned(), level), None).unwrap();
        tracing::dispatcher::with_default(&dispatch, say_everything);
        logging.close();
        assert_eq!(messages(dir.path()), expected, "{level}");
    }
}

#[test]
fn a_reload_changes_level_and_zone_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path().to_owned(), "error");
    let (dispatch, logging) = build(&options, None).unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        say_everything();
        options.level = "kmid=loud".to_owned();
        options.timezone = TimeZone::UTC;
        assert!(logging.apply(&options).is_err());
        assert!(logging.zone().format(clock::now()).ends_with(" +0300"));
        say_everything();
        options.level = "debug".to_owned();
        logging.apply(&options).unwrap();
        say_everything();
    });
    assert!(logging.zone().format(clock::now()).ends_with(" +0000"));
    logging.close();
    assert_eq!(messages(dir.path()), ["our debug", "our info", "their warning"]);
}

#[test]
fn the_terminal_gets_the_lines_for_people() {
    #[derive(Clone)]
    struct Screen(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
    impl io::Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let screen = Screen(std::sync::Arc::default());
    let terminal = NonBlockingBuilder::default().finish(screen.clone());
    let (dispatch, logging) = build(&options(dir.path().to_owned(), "info"), Some(terminal)).unwrap();
    tracing::dispatcher::with_default(&dispatch, || tracing::info!(key = "alpha", "proxy_request"));
    logging.close();
    let shown = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
    assert_eq!(shown, fs::read_to_string(dir.path().join("proxy.out")).unwrap());
    assert!(shown.ends_with("INFO proxy_request key=alpha\n"));
}
