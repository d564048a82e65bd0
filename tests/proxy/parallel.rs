//! Many at once.

use std::collections::BTreeMap;

use kmi_tests::harness::process::open_files;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Request, Setup};
use kmi_tests::upstream::{ANY, Feed, Reply, Upstream, api};
use serde_json::json;
use tokio::task::JoinSet;

#[tokio::test]
async fn parallel_streams_keep_apart() {
    const STREAMS: usize = 256;
    let upstream = Upstream::start().await;
    let mut feeds = Vec::new();
    for _ in 0..STREAMS {
        let (feed, pieces) = Feed::new();
        upstream.next(ANY, "/chat/completions", Reply::sse().feed(pieces));
        feeds.push(feed);
    }
    upstream.always(ANY, "/usages", |seen| {
        let usages = api::Usages { parallel: Some(100), ..api::Usages::of(&seen.key().unwrap()) };
        Reply::json(200, &usages.json())
    });
    let daemon = Setup::live(&upstream).keys(&["a", "b", "c"]).may_switch().start().await;
    daemon.quotas_read().await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    let files = open_files(daemon.pid());
    let mut clients = JoinSet::new();
    for _ in 0..STREAMS {
        let mut connection = daemon.connect().await;
        clients.spawn(async move { connection.exchange(Request::chat_stream()).await });
    }
    // All are in flight at once, each with a different text, before any of them ends.
    upstream.nth("/chat/completions", STREAMS).await;
    for (n, feed) in feeds.iter().enumerate() {
        feed.send(format!("data: first of {n}\n\n")).await;
    }
    for (n, feed) in feeds.into_iter().enumerate() {
        feed.send(format!("data: second of {n}\n\n")).await;
        feed.send("data: [DONE]\n\n").await;
    }
    let mut shares: BTreeMap<String, usize> = BTreeMap::new();
    let mut texts = Vec::new();
    while let Some(answer) = clients.join_next().await {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.end), (200, kmi_tests::harness::End::Proper));
        *shares.entry(answer.key().unwrap().to_owned()).or_default() += 1;
        texts.push(answer.text());
    }
    texts.sort();
    let mut expected: Vec<_> = (0..STREAMS)
        .map(|n| format!("data: first of {n}\n\ndata: second of {n}\n\ndata: [DONE]\n\n"))
        .collect();
    expected.sort();
    assert_eq!(texts, expected);
    assert!(shares.len() == 3 && shares.values().all(|n| (80..=90).contains(n)), "{shares:?}");
    eventually("the clients' connections to be closed", || async {
        (open_files(daemon.pid()) <= files + STREAMS + 16).then_some(())
    })
    .await;
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!(status["requests"]["in_flight"], 0);
    assert_eq!(daemon.traces(STREAMS).await.len(), STREAMS);
}

#[tokio::test]
async fn many_requests_on_one_connection_reuse_the_upstreams() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let mut connection = daemon.connect().await;
    let before = upstream.connections();
    for _ in 0..50 {
        assert_eq!(connection.exchange(Request::chat()).await.json(), api::chat());
    }
    assert!(upstream.connections() <= before + 1, "{} new connections", upstream.connections() - before);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let mut connection = daemon.connect().await;
    for n in 0..5 {
        connection.send(&Request::get(&format!("/echo/{n}"))).await;
    }
    for n in 0..5 {
        assert_eq!(connection.answer().await.json()["endpoint"], format!("/echo/{n}"));
    }
}
