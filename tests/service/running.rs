//! The service at work: started by need, restarted, watched, reloaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::user_manager::UserManager;
use kmi_tests::harness::wait::{eventually, within};
use kmi_tests::harness::{Connection, End, Request};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

async fn activity(manager: &UserManager) -> String {
    manager.property("kmid.service", "ActiveState").await
}

#[tokio::test]
async fn the_first_request_starts_it_and_looking_does_not() {
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    manager.systemctl(&["stop", "kmid.service"]).await;
    for (looks, code) in
        [(&["status"][..], 3), (&["--no-start", "health"], 3), (&["doctor"], 0), (&["service", "status"], 3)]
    {
        let looked = manager.kmi(looks).await;
        assert_eq!(looked.code, code, "{looked:?}");
        assert_eq!(activity(&manager).await, "inactive", "{looks:?} started it");
    }
    let status = manager.kmi(&["--json", "status"]).await;
    assert_eq!((status.code, &status.json()["proxy"]["starts_on_request"]), (3, &json!(true)));
    let words = manager.kmi(&["status"]).await;
    assert!(words.err.contains("starts it at the first request"), "{words:?}");
    let service = manager.kmi(&["--json", "service", "status"]).await;
    assert_eq!((service.code, &service.json()["service"]["activity"]), (3, &json!("waiting")));

    // By the proxy's port, then by the control socket.
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);
    assert_eq!(activity(&manager).await, "active");
    manager.systemctl(&["stop", "kmid.service"]).await;
    manager.kmi_does(&["plan"]).await;
    assert_eq!(activity(&manager).await, "active");
    assert!(manager.home.socket().exists());

    // A stop is one: nothing listens any more.
    let stopped = manager.kmi_does(&["--json", "proxy-stop"]).await;
    assert_eq!(stopped.json()["stopped"], true);
    for unit in ["kmid.service", "kmid.socket", "kmid-control.socket"] {
        assert_eq!(manager.property(unit, "ActiveState").await, "inactive", "{unit}");
    }
    assert!(!manager.home.socket().exists());
    let status = manager.kmi(&["--json", "status"]).await;
    assert_eq!((status.code, &status.json()["proxy"]["starts_on_request"]), (3, &json!(false)));
    manager.kmi_does(&["proxy"]).await;
    assert_eq!(activity(&manager).await, "active", "kmi proxy starts the service, not a kmid beside it");
    manager.kmi_does(&["proxy-stop"]).await;
    manager.kmi_does(&["service", "start"]).await;
    manager.kmi_does(&["service", "stop"]).await;
    assert_eq!(manager.property("kmid.socket", "ActiveState").await, "inactive");
}

#[tokio::test]
async fn after_a_crash_it_runs_again_and_nobody_is_refused() {
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    let first = manager.pid().await;
    manager.signal(first, "KILL").await;
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);
    let second = manager.pid().await;
    assert_ne!(first, second);
    assert!(manager.home.socket().exists(), "the socket is systemd's, and outlives the crash");
    assert_eq!(manager.status().await["daemon"]["pid"], second);

    // And without a request, after its pause.
    let restarts = || async { manager.property("kmid.service", "NRestarts").await.parse::<u32>().unwrap() };
    let before = restarts().await;
    manager.signal(second, "KILL").await;
    eventually("the restart", || async { (![0, second].contains(&manager.pid().await)).then_some(()) }).await;
    assert_eq!(restarts().await, before + 1);
    let service = manager.kmi_does(&["--json", "service", "status"]).await.json();
    assert_eq!(service["service"]["restarts"], before + 1, "{service}");
}

#[tokio::test]
async fn a_hung_daemon_is_killed_by_the_watchdog() {
    let Some(manager) = UserManager::start().await else { return };
    manager.home.write(
        ".config/systemd/user/kmid.service.d/test.conf",
        "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\nRestartSec=0\n",
    );
    manager.kmi_does(&["service", "install"]).await;
    let pid = manager.pid().await;
    // It is fed while all is well.
    let fed = || async { manager.property("kmid.service", "WatchdogTimestampMonotonic").await };
    for _ in 0..5 {
        let before = fed().await;
        eventually("the watchdog to be fed", || async { (fed().await != before).then_some(()) }).await;
    }
    assert_eq!(manager.pid().await, pid);
    manager.signal(pid, "STOP").await;
    eventually("a new process", || async { (![0, pid].contains(&manager.pid().await)).then_some(()) }).await;
    assert_eq!(manager.property("kmid.service", "NRestarts").await, "1");
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);
}

#[tokio::test]
async fn a_reload_changes_settings_and_keeps_the_process() {
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    let pid = manager.pid().await;
    let settings = format!("KMI_PROXY_LISTEN={}\nKMI_PAYMENT_BLOCK_SECONDS=77\n", manager.proxy());
    manager.home.write(".kmi/.env", settings);
    manager.systemctl(&["reload", "kmid.service"]).await;
    eventually("the new setting", || async {
        (manager.status().await["payment_block_seconds"] == 77).then_some(())
    })
    .await;
    assert_eq!((activity(&manager).await.as_str(), manager.pid().await), ("active", pid));
    manager.home.write_key("beta", "sk-kimi-beta-0123456789");
    let two = format!("2 keys ready; proxy on {}; dry-run", manager.proxy());
    eventually("the status line", || async {
        (manager.property("kmid.service", "StatusText").await == two).then_some(())
    })
    .await;
}

/// Requests a second.
const RATE: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn restarts_under_load_refuse_and_cut_nobody() {
    let Some(manager) = UserManager::start().await else { return };
    // Accounts enough that nobody has to wait for a slot: who waits when kmid drains is sent away, by design.
    for label in ["bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"] {
        manager.home.write_key(label, &key_of(label));
    }
    let settings =
        format!("KMI_PROXY_LISTEN={}\nKMI_AUTO_ROTATE_ALLOWED=1\nKMI_AUTO_ROTATE_E2E=0\n", manager.proxy());
    manager.home.write(".kmi/.env", settings);
    manager.kmi_does(&["service", "install"]).await;
    manager.kmi_does(&["rotate", "auto"]).await;
    let (proxy, done) = (manager.proxy(), Arc::new(AtomicBool::new(false)));
    let served = Arc::new(AtomicUsize::new(0));
    let load = tokio::spawn({
        let (done, served) = (Arc::clone(&done), Arc::clone(&served));
        async move {
            let mut requests = JoinSet::new();
            let mut pace = tokio::time::interval(Duration::from_secs(1) / RATE);
            // On a machine that is busy with other things the rate is not made up for by a flood.
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut sent = 0_usize;
            while !done.load(Ordering::Relaxed) {
                pace.tick().await;
                sent += 1;
                let served = Arc::clone(&served);
                requests.spawn(async move {
                    // A stream among the short ones, every now and then: they are of one session, and so of one key.
                    let stream = sent.is_multiple_of(100);
                    let request = if stream { Request::chat_stream() } else { Request::get("/models") };
                    let answer = Connection::open(proxy).await.exchange(request).await;
                    assert_eq!((answer.status, answer.end), (200, End::Proper), "{}", answer.text());
                    assert!(!stream || answer.text().ends_with("data: [DONE]\n\n"), "{}", answer.text());
                    served.fetch_add(1, Ordering::Relaxed);
                });
            }
            while let Some(ended) = requests.join_next().await {
                ended.unwrap();
            }
            sent
        }
    });
    let some_more = |count| {
        let served = Arc::clone(&served);
        let goal = served.load(Ordering::Relaxed) + count;
        eventually("requests to be served", move || {
            let enough = (served.load(Ordering::Relaxed) >= goal).then_some(());
            async move { enough }
        })
    };
    let mut pids = vec![manager.pid().await];
    some_more(200).await;
    for command in [["service", "restart"].as_slice(), &["proxy-restart"]] {
        manager.kmi_does(command).await;
        pids.push(manager.pid().await);
        some_more(200).await;
    }
    done.store(true, Ordering::Relaxed);
    let sent = within("the last answers", load).await.unwrap();
    assert_eq!(served.load(Ordering::Relaxed), sent);
    pids.dedup();
    assert_eq!(pids.len(), 3, "{pids:?}");
}
