//! More sessions than kmid remembers, all of them through the proxy.

use kmi_tests::harness::downstream::Connection;
use kmi_tests::harness::{Answer, Daemon, Request, Setup, process};
use kmi_tests::upstream::{ANY, Reply, Upstream};
use serde_json::json;
use tokio::task::JoinSet;

const CHAT: &str = "/chat/completions";
/// What kmid remembers at most.
const MOST: usize = 100_000;
const CONNECTIONS: usize = 16;

async fn ask(connection: &mut Connection, session: usize) -> Answer {
    let body = json!({"messages": [], "prompt_cache_key": format!("session {session}")});
    let answer = connection.exchange(Request::post(CHAT, &body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// The session's placement, as `x-kmi-decision` says it.
fn placement(answer: &Answer) -> &str {
    answer.fields.get("x-kmi-decision").unwrap().split("; ").nth(1).unwrap()
}

/// Sessions that are known: in all, and by key.
async fn known(daemon: &Daemon) -> (u64, Vec<u64>) {
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    let list = daemon.rpc("keys.list", json!({})).await.unwrap();
    let by_key = list["keys"].as_array().unwrap().iter().map(|key| key["sessions"].as_u64().unwrap());
    (status["sessions"]["known"].as_u64().unwrap(), by_key.collect())
}

#[tokio::test]
async fn of_a_hundred_thousand_and_one_sessions_the_first_is_forgotten() {
    let upstream = Upstream::start().await;
    upstream.always(ANY, CHAT, |_| Reply::json(200, &json!({})));
    // A line for each request is another test's affair.
    let setup = Setup::live(&upstream).keys(&["a", "b"]).may_switch().env("KMI_LOG_LEVEL", "warn");
    let daemon = setup.start().await;
    daemon.quotas_read().await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    let first = ask(&mut daemon.connect().await, 0).await;
    assert_eq!((placement(&first), first.key()), ("new", Some("a")));

    let mut clients = JoinSet::new();
    for client in 0..CONNECTIONS {
        let mut connection = daemon.connect().await;
        clients.spawn(async move {
            for session in (1..MOST).skip(client).step_by(CONNECTIONS) {
                assert_eq!(placement(&ask(&mut connection, session).await), "new");
            }
        });
    }
    clients.join_all().await;
    assert_eq!(known(&daemon).await.0, MOST as u64, "there is room for exactly as many");
    let full = process::rss(daemon.pid());

    let mut connection = daemon.connect().await;
    let newest = ask(&mut connection, MOST).await;
    assert_eq!(placement(&newest), "new");
    let (all, by_key) = known(&daemon).await;
    assert_eq!((all, by_key.iter().sum::<u64>()), (MOST as u64, MOST as u64));
    assert!(by_key.iter().all(|count| (49_000..=51_000).contains(count)), "they are spread: {by_key:?}");

    // Round robin alone would give it another key each time.
    for _ in 0..3 {
        let again = ask(&mut connection, MOST).await;
        assert_eq!((placement(&again), again.key()), ("stayed", newest.key()));
    }
    // The second is the oldest one now, and known.
    assert_eq!(placement(&ask(&mut connection, 1).await), "stayed");
    // The turn is b's: were the first remembered, it would go to a.
    while daemon.rpc("rotation.plan", json!({})).await.unwrap()["candidates"][0]["key_label"] != "b" {
        assert_eq!(connection.exchange(Request::get("/models")).await.status, 200);
    }
    let forgotten = ask(&mut connection, 0).await;
    assert_eq!((placement(&forgotten), forgotten.key()), ("new", Some("b")));

    // Another thousand take the place of a thousand.
    for session in MOST + 1..MOST + 1000 {
        assert_eq!(placement(&ask(&mut connection, session).await), "new");
    }
    assert_eq!(known(&daemon).await.0, MOST as u64);
    let after = process::rss(daemon.pid());
    assert!(after < full + 8_000_000, "{full} bytes grew to {after}");
    assert!(after < 100_000_000, "{after} bytes");
}
