use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kmid_core::key::Secret;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;

/// A connection to a simulator; both of its ends run in `tasks`.
struct Client {
    sender: SendRequest<Full<Bytes>>,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    frames: Vec<Bytes>,
}

impl Answered {
    fn text(&self) -> String {
        String::from_utf8(self.frames.concat()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.frames.concat()).unwrap()
    }

    /// The data of every event of a stream, with its name where it has one.
    fn events(&self) -> Vec<(Option<String>, String)> {
        let text = self.text();
        let events = text.strip_suffix("\n\n").expect("the last event is complete").split("\n\n");
        events
            .map(|event| {
                let name = event.lines().find_map(|line| line.strip_prefix("event: ")).map(str::to_owned);
                (name, event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned())
            })
            .collect()
    }
}

async fn connect(simulator: &Arc<Simulator>, buffer: usize) -> Client {
    let (near, far) = tokio::io::duplex(buffer);
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(simulator).serve(far, cancel.clone()));
    let (sender, connection) = handshake(TokioIo::new(near)).await.unwrap();
    tasks.spawn(async {
        connection.await.ok();
    });
    Client { sender, cancel, tasks }
}

impl Client {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> Answered {
        self.sender.ready().await.unwrap();
        let (head, mut body) = self.sender.send_request(request).await.unwrap().into_parts();
        let mut frames = Vec::new();
        while let Some(frame) = body.frame().await {
            frames.push(frame.unwrap().into_data().unwrap());
        }
        assert_eq!(head.headers["x-kmi-dry-run"], "true");
        assert_eq!(head.headers["x-trace-id"].len(), 32);
        Answered { status: head.status, headers: head.headers, frames }
    }

    async fn get(&mut self, path: &str) -> Answered {
        self.send(with_key(Method::GET, path, "alpha", "")).await
    }

    async fn post(&mut self, path: &str, body: &Value) -> Answered {
        self.send(with_key(Method::POST, path, "alpha", &body.to_string())).await
    }
}

fn with_key(method: Method, path: &str, key: &str, body: &str) -> Request<Full<Bytes>> {
    let request =
        Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
    request.body(Full::from(body.to_owned())).unwrap()
}

async fn usual() -> Client {
    connect(&Simulator::new(Script::default().at_once()), 64 * 1024).await
}

/// A simulator whose key `alpha` has this preset.
fn with_preset(preset: Preset) -> Arc<Simulator> {
    Simulator::new(Script::default().at_once().with(&Secret::new("alpha"), preset))
}

const CHAT: &str = "/coding/v1/chat/completions";
const MESSAGES: &str = "/coding/v1/messages?beta=true";

#[tokio::test]
async fn the_model_list_has_what_clients_require() {
    let models = usual().await.get("/coding/v1/models").await;
    assert_eq!(models.status, StatusCode::OK);
    let models = models.json();
    let ids: Vec<_> = models["data"].as_array().unwrap().iter().map(|model| model["id"].clone()).collect();
    assert_eq!(json!(ids), json!(["k3", "k3-256k", "kimi-for-coding", "kimi-for-coding-highspeed"]));
    for model in models["data"].as_array().unwrap() {
        assert!(model["context_length"].as_u64().unwrap() > 0);
    }
}

#[tokio::test]
async fn a_chat_in_one_piece() {
    let body = json!({"model": "k3", "messages": [{"role": "user", "content": "canary"}]});
    let answer = usual().await.post(CHAT, &body).await;
    assert_eq!(answer.headers["content-type"], JSON);
    assert!(!answer.text().contains("canary"));
    let answer = answer.json();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "k3");
    assert_eq!(answer["choices"][0]["message"]["role"], "assistant");
    assert_eq!(answer["choices"][0]["message"]["content"], words::text());
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["prompt_tokens"], words::tokens(body.to_string().len()));
    assert!(words::text().contains("dry-run"));
}

#[tokio::test]
async fn a_chat_stream_is_complete() {
    let mut client = usual().await;
    let mut body = json!({"model": "k3", "stream": true, "stream_options": {"include_usage": true}});
    let answer = client.post(CHAT, &body).await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    assert!(!answer.headers.contains_key("content-length"));
    let events = answer.events();
    assert_eq!(events.last().unwrap().1, "[DONE]");
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|(_, data)| serde_json::from_str(data).unwrap()).collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, words::text());
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "stop");
    let usage = chunks.last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert!(usage["usage"]["total_tokens"].as_u64().unwrap() > 0);
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));

    body["stream_options"] = Value::Null;
    assert!(!client.post(CHAT, &body).await.text().contains("usage"), "usage only when asked for");
}

#[tokio::test]
async fn a_message_in_one_piece() {
    let body = json!({"model": "kimi-for-coding", "max_tokens": 10, "messages": []});
    let answer = usual().await.post(MESSAGES, &body).await.json();
    assert_eq!(answer["type"], "message");
    assert_eq!(answer["content"], json!([{"type": "text", "text": words::text()}]));
    assert_eq!(answer["stop_reason"], "end_turn");
    assert!(answer["usage"]["input_tokens"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_message_stream_is_complete() {
    let answer = usual().await.post(MESSAGES, &json!({"model": "m", "stream": true})).await;
    let events = answer.events();
    let mut names: Vec<_> = events.iter().map(|(name, _)| name.as_deref().unwrap()).collect();
    names.dedup();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    let data: Vec<Value> = events.iter().map(|(_, data)| serde_json::from_str(data).unwrap()).collect();
    assert!(events.iter().zip(&data).all(|((name, _), data)| data["type"] == name.clone().unwrap()));
    let text: String = data.iter().filter_map(|data| data["delta"]["text"].as_str()).collect();
    assert_eq!(text, words::text());
    let end = &data[data.len() - 2];
    assert_eq!(end["delta"]["stop_reason"], "end_turn");
    assert_eq!(end["usage"]["output_tokens"], words::tokens(words::text().len()));
}

#[tokio::test]
async fn a_session_that_comes_back_is_served_from_the_cache() {
    let mut client = usual().await;
    let chat = json!({"model": "k3", "prompt_cache_key": "s-1"});
    assert_eq!(client.post(CHAT, &chat).await.json()["usage"]["cached_tokens"], 0);
    let usage = client.post(CHAT, &chat).await.json()["usage"].clone();
    assert_eq!(usage["cached_tokens"], usage["prompt_tokens"]);

    let message = json!({"model": "k3", "metadata": {"user_id": "s-2"}});
    assert_eq!(client.post(MESSAGES, &message).await.json()["usage"]["cache_read_input_tokens"], 0);
    let usage = client.post(MESSAGES, &message).await.json()["usage"].clone();
    assert_eq!(usage["input_tokens"], 0);
    assert!(usage["cache_read_input_tokens"].as_u64().unwrap() > 0);
}

/// What `/usages` says of both windows: used and remaining, as it writes them.
fn windows(usages: &Value) -> [(Value, Value); 2] {
    [&usages["limits"][0]["detail"], &usages["usage"]]
        .map(|window| (window["used"].clone(), window["remaining"].clone()))
}

#[tokio::test]
async fn quota_goes_down_with_use_until_the_account_is_refused() {
    let preset = Preset { five_hours: Level::of(100), week: Level::of(1000), ..Preset::default() };
    let mut client = connect(&with_preset(preset), 4096).await;
    let chat = json!({"model": "k3", "messages": [{"role": "user", "content": "x".repeat(60)}]});
    let usages = client.get("/coding/v1/usages").await.json();
    let key = Fingerprint::of(&Secret::new("alpha"));
    assert_eq!(usages["user"]["userId"], format!("dry-run-{key}"));
    assert_eq!(usages["parallel"]["limit"], "30");
    assert_eq!(windows(&usages), [(Value::Null, json!("100")), (Value::Null, json!("100"))]);

    let spent = client.post(CHAT, &chat).await.json()["usage"]["total_tokens"].as_u64().unwrap();
    assert!((50..100).contains(&spent), "{spent}");
    let usages = client.get("/coding/v1/usages").await.json();
    let left = 100 - spent;
    assert_eq!(windows(&usages)[0], (json!(spent.to_string()), json!(left.to_string())));
    assert_eq!(windows(&usages)[1], (json!((spent / 10).to_string()), json!((100 - spent / 10).to_string())));
    assert!(usages["usages"]["limit_5h"]["used_ratio"].as_f64().unwrap() > 0.5);

    assert_eq!(client.post(CHAT, &chat).await.status, StatusCode::OK);
    let refused = client.post(CHAT, &chat).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let refused = refused.json();
    assert_eq!(refused["error"]["type"], "access_terminated_error");
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("reached your usage limit for this billing cycle")
    );
    let usages = client.get("/coding/v1/usages").await.json();
    assert_eq!(windows(&usages)[0], (json!("100"), Value::Null), "zeros are dropped");

    let refused = client.post(MESSAGES, &json!({"model": "k3"})).await.json();
    assert_eq!((&refused["type"], &refused["error"]["type"]), (&json!("error"), &json!("permission_error")));
    let other = client.send(with_key(Method::POST, CHAT, "beta", "{}")).await;
    assert_eq!(other.status, StatusCode::OK, "another key has its own account");
}

#[tokio::test]
async fn a_window_that_resets_serves_again() {
    let full = Level { budget: 10, used: 10, resets_in: Some(Duration::ZERO) };
    let mut client = connect(&with_preset(Preset { five_hours: full, ..Preset::default() }), 4096).await;
    assert_eq!(client.post(CHAT, &json!({})).await.status, StatusCode::OK);
    assert_eq!(client.post(CHAT, &json!({})).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_scripted_refusal_comes_while_usages_shows_room() {
    let preset = Preset { refuse_from: Some(2), ..Preset::default() };
    let mut client = connect(&with_preset(preset), 4096).await;
    assert_eq!(client.post(CHAT, &json!({})).await.status, StatusCode::OK);
    assert_eq!(client.post(CHAT, &json!({})).await.status, StatusCode::FORBIDDEN);
    let usages = client.get("/usages").await.json();
    assert_eq!(windows(&usages)[0], (Value::Null, json!("100")));
}

#[tokio::test]
async fn what_is_not_served_is_refused_in_the_shape_of_its_wire() {
    let mut client = usual().await;
    let without_key = |path: &str| Request::builder().uri(path).body(Full::default()).unwrap();
    let answer = client.send(without_key("/coding/v1/usages")).await;
    assert_eq!(
        (answer.status, answer.json()["error"]["message"].clone()),
        (StatusCode::UNAUTHORIZED, json!("Invalid Authentication"))
    );

    for (path, body, wire) in
        [(CHAT, "{", "openai"), (CHAT, "[]", "openai"), (MESSAGES, r#"{"stream":"yes"}"#, "anthropic")]
    {
        let answer = client.send(with_key(Method::POST, path, "alpha", body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}");
        let answer = answer.json();
        assert_eq!(answer["error"]["type"], "invalid_request_error");
        assert_eq!(answer.get("type").is_some(), wire == "anthropic");
    }
    assert_eq!(client.get("/coding/v1/nothing").await.status, StatusCode::NOT_FOUND);
    let answer = client.get(CHAT).await;
    assert_eq!(
        (answer.status, &answer.headers["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("POST"))
    );
    let head = client.send(with_key(Method::HEAD, "/coding/v1/models", "alpha", "")).await;
    assert_eq!((head.status, head.text().as_str()), (StatusCode::OK, ""));
    assert!(head.headers.contains_key("content-length"));
}

#[tokio::test]
async fn the_lesser_endpoints() {
    let mut client = usual().await;
    assert!(client.get("/coding/v1/me").await.json()["user_id"].as_str().unwrap().starts_with("dry-run-"));
    let search = client.post("/coding/v1/search", &json!({"text_query": "canary"})).await;
    assert!(search.json()["search_results"][0]["title"].is_string() && !search.text().contains("canary"));
    let page = client.post("/coding/v1/fetch", &json!({"url": "https://example.invalid/"})).await;
    assert!(page.text().starts_with("# Dry run"));
    let upload = client.send(with_key(Method::POST, "/coding/v1/files", "alpha", "12345")).await.json();
    assert_eq!(upload["bytes"], 5);
    assert_eq!(client.get("/coding/v1/files").await.json()["data"], json!([]));
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_and_large_ones_are_served() {
    let mut client = usual().await;
    let pad = " ".repeat(request::MOST_BODY - 2);
    let answer = client.send(with_key(Method::POST, CHAT, "alpha", &format!("{{}}{pad}"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = client.send(with_key(Method::POST, CHAT, "alpha", &format!("{{}}{pad} "))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("total message size exceeds"));
}

#[tokio::test]
async fn a_paced_stream_comes_event_by_event_even_through_a_narrow_pipe() {
    let script = Script {
        pace: Pace { first_byte: Duration::from_millis(1), between: Duration::from_millis(1) },
        ..Script::default()
    };
    let mut client = connect(&Simulator::new(script), 7).await;
    let answer = client.post(CHAT, &json!({"stream": true})).await;
    assert_eq!(answer.events().last().unwrap().1, "[DONE]");
    assert!(answer.frames.len() >= words::pieces().count(), "{} frames", answer.frames.len());
}

#[tokio::test]
async fn the_same_script_gives_the_same_ids() {
    let first = usual().await.get("/models").await.headers["x-trace-id"].clone();
    let again = usual().await.get("/models").await.headers["x-trace-id"].clone();
    let other = Simulator::new(Script { seed: 99, ..Script::default() });
    let other = connect(&other, 4096).await.get("/models").await.headers["x-trace-id"].clone();
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[tokio::test]
async fn cancelled_it_finishes_the_answer_under_way_and_ends() {
    let script =
        Script { pace: Pace { between: Duration::from_millis(1), ..Pace::default() }, ..Script::default() };
    let mut client = connect(&Simulator::new(script), 4096).await;
    let request = with_key(Method::POST, CHAT, "alpha", r#"{"stream":true}"#);
    let response = client.sender.send_request(request).await.unwrap();
    client.cancel.cancel();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.ends_with(b"data: [DONE]\n\n"));
    while let Some(ended) = client.tasks.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let script = Script {
        pace: Pace { first_byte: Duration::ZERO, between: Duration::from_secs(3600) },
        ..Script::default()
    };
    let script = script.with(&Secret::new("alpha"), Preset { parallel: 1, ..Preset::default() });
    let simulator = Simulator::new(script);
    let stream = || with_key(Method::POST, CHAT, "alpha", r#"{"stream":true}"#);
    let mut leaver = connect(&simulator, 4096).await;
    let response = leaver.sender.send_request(stream()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut second = connect(&simulator, 4096).await;
    let refused = second.send(stream()).await;
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("concurrent request limit"));

    drop((response, leaver.sender));
    while leaver.tasks.join_next().await.is_some() {}
    let served = second.sender.send_request(stream()).await.unwrap();
    assert_eq!(served.status(), StatusCode::OK);
}
