//! The log's own trouble in the log. A process of its own, because the log of a process is one and for good.
#![allow(clippy::unwrap_used, missing_docs, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;
use kmid::logging::{self, Options};
use kmid_config::settings::FileLimit;

fn events(path: &Path) -> Vec<serde_json::Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_log_that_failed_says_so_once_when_it_works_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("logs");
    // A file stands where the directory should be: both logs fail.
    fs::write(&folder, "").unwrap();
    let options = Options {
        folder: folder.clone(),
        level: "trace".to_owned(),
        limit: FileLimit { max_bytes: 1 << 20, backups: 1 },
        timezone: TimeZone::UTC,
    };
    let logging = logging::start(&options, false).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (app, daemon) = (logging.app().clone(), logging.daemon().clone());
    runtime.block_on(async {
        // A log that reported each loss to itself would go on for ever; three rounds show whether it does.
        for _ in 0..3 {
            tracing::info!(target: "kmid::test", "lost");
            app.flush().await;
            daemon.flush().await;
        }
        // The line itself three times, and that writing failed, once for each file.
        app.flush().await;
        assert_eq!((app.lost(), daemon.lost()), (5, 5));

        fs::remove_file(&folder).unwrap();
        // A line that is not flushed in time waits out the pause and is lost too: write until one is kept.
        for _ in 0..1000 {
            let lost = (app.lost(), daemon.lost());
            tracing::info!(target: "kmid::test", "probe");
            app.flush().await;
            daemon.flush().await;
            if (app.lost(), daemon.lost()) == lost {
                break;
            }
        }
        tracing::info!(target: "kmid::test", "kept");
        app.flush().await;
        daemon.flush().await;
    });
    let lost = app.lost();
    logging.close();

    let events = events(&folder.join("kmi.log"));
    let of = |message: &str| events.iter().filter(|event| event["message"] == message).collect::<Vec<_>>();
    assert_eq!((of("lost").len(), of("kept").len()), (0, 1));
    assert_eq!(of("log_write_failed").len(), 0, "it failed while nothing could be written");
    let reports = of("log_lines_lost");
    assert_eq!(reports.len(), 2, "once for each file: {events:?}");
    let own = reports.iter().find(|event| event["file"].as_str().unwrap().ends_with("kmi.log")).unwrap();
    assert_eq!(own["count"], lost);
    assert_eq!(events.len(), of("probe").len() + 3, "{events:?}");
}
