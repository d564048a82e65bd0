//! Requests as real clients sent them (kimi-cli 1.50.0 and kimi-code 2.1.0, observed 2026-11), replayed.

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::{Request, Setup};
use kmi_tests::http1::Fields;
use kmi_tests::upstream::{Upstream, api};
use serde_json::Value;

/// A body of the recorded size around what its top level said; a short one was recorded whole.
fn body(recorded: &Value) -> Vec<u8> {
    const PADDING: &str = ",\"padding\":\"";
    let size = usize::try_from(recorded["body_size"].as_u64().unwrap()).unwrap();
    let mut text = recorded["body"].to_string();
    if size == 0 {
        return Vec::new();
    }
    if let Some(padding) = size.checked_sub(text.len() + PADDING.len() + 1) {
        text.pop();
        text.push_str(PADDING);
        text.push_str(&"p".repeat(padding));
        text.push_str("\"}");
        assert_eq!(text.len(), size);
    }
    text.into_bytes()
}

#[tokio::test]
async fn recorded_requests_pass_with_nothing_but_the_key_changed() {
    let recorded: Vec<Value> = serde_json::from_str(include_str!("data/client-requests.json")).unwrap();
    assert!(recorded.len() >= 7);
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    for request in &recorded {
        let client = request["client"].as_str().unwrap();
        let path = request["path"].as_str().unwrap();
        let target = path.replacen("/coding", "/kmi-rotor", 1);
        let body = body(request);
        let mut sent = Request::target(request["method"].as_str().unwrap(), &target);
        let mut fields = Fields::default();
        for field in request["headers"].as_array().unwrap() {
            let (name, mut value) = (field[0].as_str().unwrap(), field[1].as_str().unwrap().to_owned());
            if name.eq_ignore_ascii_case("content-length") {
                value = body.len().to_string();
            }
            sent = sent.field(name, &value);
            fields = fields.with(name, &value);
        }
        if !body.is_empty() {
            sent = sent.body(body.clone());
        }
        let answer = daemon.send(sent).await;
        assert_eq!(answer.status, 200, "{client} {path}: {}", answer.text());
        let seen = upstream.requests().into_iter().next_back().unwrap();
        assert_eq!(seen.head.target, path, "{client}");
        assert_eq!(seen.key(), Some(key_of("alpha")), "{client} {path}");
        assert!(seen.body().unwrap() == body, "{client} {path}: the body differs");
        let api_key = fields.has("x-api-key");
        assert_eq!(
            (seen.head.fields.has("x-api-key"), seen.head.fields.has("authorization")),
            (api_key, !api_key)
        );
        let mut names = fields.names();
        names.retain(|name| name != "connection");
        assert_eq!(seen.head.fields.names(), names, "{client} {path}");
        for name in
            names.iter().filter(|name| !matches!(name.as_str(), "host" | "authorization" | "x-api-key"))
        {
            assert_eq!(seen.head.fields.all(name), fields.all(name), "{client} {path} {name}");
        }
        let expected = match path.split('?').next().unwrap() {
            "/coding/v1/chat/completions" => api::chat_events().concat(),
            "/coding/v1/messages" => api::message_events().concat(),
            _ => continue,
        };
        assert_eq!(answer.text(), expected, "{client}");
    }
}

#[tokio::test]
async fn kimi_cli_hanging_up_after_done_is_no_fault_of_anybody() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let length = api::chat_events().concat().len();
    for n in 1..=5 {
        let mut connection = daemon.connect().await;
        connection.send(&Request::chat_stream()).await;
        let head = connection.head().await;
        let mut framing = connection.framing(&head);
        let mut read = 0;
        while read < length {
            read += connection.piece(&mut framing).await.unwrap().unwrap().len();
        }
        connection.reset();
        assert_eq!(daemon.traces(n).await[n - 1]["outcome"], "completed");
    }
}
