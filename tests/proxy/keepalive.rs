//! A client that has waited for 15 s gets a head and comments, while the attempts go on behind them.

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::{Answer, Daemon, End, Request, Setup};
use kmi_tests::upstream::{ANY, Ending, Gate, Reply, Upstream, api};
use serde_json::{Value, json};

const COMMENT: &str = ": kmid\n\n";
const QUOTA: &str = "You've reached your usage limit for this billing cycle.";

/// Sends a request, opens the gate once the head has come, and reads the rest.
async fn through(daemon: &Daemon, request: Request, gate: &Gate) -> Answer {
    let mut connection = daemon.connect().await;
    connection.send(&request).await;
    let head = connection.head().await;
    assert_eq!(head.status, 200);
    assert_eq!(head.fields.get("content-type"), Some("text/event-stream"));
    assert!(head.fields.has("x-kmi-request-id"));
    for unknown in ["x-kmi-key", "x-kmi-origin", "x-trace-id", "content-encoding", "content-length"] {
        assert!(!head.fields.has(unknown), "{unknown}: {head:?}");
    }
    gate.open();
    connection.rest(head).await
}

/// What comes after the comments.
fn after_comments(answer: &Answer) -> String {
    let text = answer.text();
    assert!(text.starts_with(COMMENT), "{text}");
    text.trim_start_matches(COMMENT).to_owned()
}

/// One wait of 15 s for all of it: these requests run at the same time.
#[tokio::test]
async fn a_silent_line_is_kept_alive_and_failover_stays_possible() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream)
        .keys(&["alpha", "beta"])
        .may_switch()
        .env("KMI_PROXY_FAILOVER_MAX", "1")
        .start()
        .await;
    let gates = [Gate::closed(), Gate::closed(), Gate::closed(), Gate::closed()];

    let refusal = || Reply::openai_error(403, "access_terminated_error", QUOTA);
    upstream.next(&key_of("alpha"), "/chat/completions", refusal().head_after(&gates[0]));
    let served = async {
        let answer = through(&daemon, Request::chat_stream(), &gates[0]).await;
        assert_eq!((after_comments(&answer), answer.end), (api::chat_events().concat(), End::Proper));
    };

    // Who asked for no stream is not given one, however long it takes.
    upstream.next(ANY, "/messages", Reply::json(200, &api::message()).head_after(&gates[2]));
    let plain = async {
        let mut connection = daemon.connect().await;
        connection.send(&Request::post("/messages", &json!({"messages": []}))).await;
        let mut head = Box::pin(connection.head());
        // The other gate opens when its client, who began later, has been given a head.
        tokio::select! {
            early = &mut head => panic!("{early:?}"),
            () = gates[1].passed() => {}
        }
        gates[2].open();
        let head = head.await;
        assert_eq!((head.status, head.fields.get("content-type")), (200, Some("application/json")));
        assert_eq!(head.fields.get("x-kmi-key"), Some("alpha"));
    };

    let busy = "engine is currently overloaded";
    let reply = Reply::anthropic_error(529, "overloaded_error", busy).head_after(&gates[1]);
    upstream.next(ANY, "/messages", reply);
    let failed = async {
        upstream.nth("/messages", 1).await;
        let answer = through(&daemon, Request::message_stream(), &gates[1]).await;
        let expected = json!({"type": "error", "error": {"type": "overloaded_error", "message": busy}});
        assert_eq!(after_comments(&answer), format!("event: error\ndata: {expected}\n\n"));
        assert_eq!(answer.end, End::Broken, "no client may take it for a clean end");
    };

    // The head came, and nothing of the model's before it broke.
    let preamble = api::chat_events().remove(0);
    let reply = Reply::sse().send(preamble).wait(&gates[3]).ending(Ending::Close);
    upstream.next(&key_of("alpha"), "/chat/completions", reply);
    let broken = async {
        upstream.nth("/chat/completions", 1).await;
        let answer = through(&daemon, Request::chat_stream(), &gates[3]).await;
        let event = after_comments(&answer);
        let event: Value = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((&event["error"]["type"], &event["error"]["code"]), (&json!("api_error"), &json!("502")));
        assert_eq!(answer.end, End::Broken);
    };

    tokio::join!(served, failed, plain, broken);
    let traces = daemon.traces(4).await;
    for trace in &traces {
        assert_eq!(trace["status"], 200, "{trace}");
        let first_byte = trace["ttfb_ms"].as_f64().unwrap();
        assert!((15_000.0..30_000.0).contains(&first_byte), "{trace}");
    }
    let chat = traces.iter().find(|trace| trace["key_label"] == "beta").unwrap();
    assert_eq!((&chat["outcome"], &chat["key_label"]), (&json!("completed"), &json!("beta")), "{chat}");
    assert_eq!(chat["attempts"].as_array().unwrap().len(), 2);
    let message = traces.iter().find(|trace| trace["outcome"] == "overloaded").unwrap();
    assert_eq!((&message["endpoint"], &message["error_code"]), (&json!("/messages"), &json!("overloaded")));
    assert_eq!(daemon.rpc("daemon.status", json!({})).await.unwrap()["requests"]["failed"], 2);
}

#[tokio::test]
async fn a_late_stream_that_cannot_be_decoded_is_the_upstreams_failure() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let gate = Gate::closed();
    let reply = Reply::sse().field("content-encoding", "gzip").send("no gzip at all").head_after(&gate);
    upstream.next(ANY, "/chat/completions", reply);
    let answer = through(&daemon, Request::chat_stream(), &gate).await;
    assert_eq!((after_comments(&answer).as_str(), answer.end), ("", End::Broken));
    let trace = &daemon.traces(1).await[0];
    assert_eq!((&trace["outcome"], &trace["error_code"]), (&json!("upstream_broke"), &json!("protocol")));
}
