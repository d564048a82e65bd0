//! `kmi usage`: traffic, a restart, `kill -9`, and the history is still there.

use kmi_tests::harness::{Request, Setup};
use kmi_tests::upstream::{ANY, Reply, Upstream};
use serde_json::json;

fn chat(model: &str) -> Request {
    Request::post("/chat/completions", &json!({"model": model, "messages": []}))
}

fn answer() -> Reply {
    let usage =
        json!({"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107, "cached_tokens": 60});
    Reply::json(200, &json!({"choices": [{"message": {"content": "hi"}}], "usage": usage}))
}

#[tokio::test]
async fn history_outlives_a_restart_and_a_kill() {
    let upstream = Upstream::start().await;
    upstream.always(ANY, "/chat/completions", |_| answer());
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let none = daemon.kmi(&["usage"]).await;
    assert_eq!((none.code, none.err.as_str()), (0, ""), "{none:?}");
    for model in ["kimi-k2.5", "kimi-k2.5", "kimi-for-coding", "a strange name"] {
        daemon.send(chat(model)).await;
    }
    upstream.next(ANY, "/chat/completions", Reply::openai_error(400, "invalid_request_error", "no"));
    daemon.send(chat("kimi-k2.5")).await;
    daemon.traces(5).await;
    let total =
        json!({"requests": 5, "errors": 1, "input": 400, "cached": 240, "output": 28, "cache_share": 0.6});
    let shown = daemon.kmi(&["usage", "--by", "model", "--json"]).await.json();
    assert_eq!(shown["total"], total);
    let rows: Vec<(&str, u64)> = shown["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["requests"].as_u64().unwrap()))
        .collect();
    assert_eq!(rows, [("kimi-k2.5", 3), ("kimi-for-coding", 1), ("other", 1)]);

    // What was asked for is on disk, so a kill costs none of it.
    let daemon = Setup::in_home(daemon.killed().await).start().await;
    assert_eq!(daemon.kmi(&["usage", "--json"]).await.json()["total"], total);
    // And an end in order costs nothing that was never asked for.
    daemon.send(chat("kimi-k2.5")).await;
    daemon.traces(6).await;
    let daemon = Setup::in_home(daemon.stopped().await).start().await;
    let shown = daemon.kmi(&["usage", "--by", "key", "--json"]).await.json();
    assert_eq!((&shown["rows"][0]["name"], &shown["rows"][0]["requests"]), (&json!("alpha"), &json!(6)));
    assert!(shown["rows"][0]["fingerprint"].is_string(), "{shown}");
    for by in ["key", "day", "hour", "model"] {
        let ran = daemon.kmi(&["usage", "--by", by, "--since", "1d"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.contains("6 requests") && ran.out.contains("60 %"), "{by}: {}", ran.out);
        let ran = daemon.kmi(&["usage", "--by", by, "--csv"]).await;
        assert!(ran.out.starts_with(&format!("{by},fingerprint,start,requests,")), "{}", ran.out);
    }
    // Hours are cut in the zone of who asks.
    let asked = json!({"by": "hour", "zone": "+05:45"});
    let shown = daemon.rpc("usage.get", asked).await.unwrap();
    assert_eq!(shown["zone"], "+05:45", "{shown}");
    let (name, start) = (&shown["rows"][0]["name"], shown["rows"][0]["start"].as_str().unwrap());
    let start: jiff::Timestamp = start.parse().unwrap();
    let there = start.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::Offset::from_seconds(20_700).unwrap()));
    assert_eq!(*name, there.strftime("%Y-%m-%d %H:%M").to_string(), "{shown}");
    let refused = daemon.rpc("usage.get", json!({"zone": "Mars/Olympus"})).await.unwrap_err();
    assert_eq!(refused.code, -32602);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    for args in
        [&["usage", "--since", "yesterday"][..], &["usage", "--by", "week"], &["usage", "--csv", "--json"]]
    {
        assert_eq!(daemon.kmi(args).await.code, 2, "{args:?}");
    }
    for params in [json!({"by": "week"}), json!({"since": "soon"})] {
        assert_eq!(daemon.rpc("usage.get", params).await.unwrap_err().code, -32602);
    }
}
