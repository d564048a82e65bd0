//! The default: the embedded simulator answers, by the same code path.

use kmi_tests::harness::{End, Request, Setup};
use serde_json::{Value, json};

#[tokio::test]
async fn every_endpoint_has_its_shape() {
    let daemon = Setup::dry_run().keys(&["alpha", "beta"]).start().await;
    let mut connection = daemon.connect().await;
    let models = connection.exchange(Request::get("/models")).await;
    assert!(models.json()["data"].as_array().unwrap().iter().any(|m| m["id"] == "kimi-for-coding"));
    let usages = connection.exchange(Request::get("/usages")).await.json();
    assert!(usages["usage"]["limit"].is_string() && usages["limits"][0]["detail"].is_object(), "{usages}");
    let chat = connection.exchange(Request::chat()).await;
    assert!(chat.json()["choices"][0]["message"]["content"].is_string());
    assert!(chat.json()["usage"]["prompt_tokens"].as_u64().unwrap() > 0);
    let message = Request::post(
        "/messages",
        &json!({"model": "k3", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}),
    );
    let message = connection.exchange(message).await;
    assert_eq!((&message.json()["type"], message.status), (&json!("message"), 200));
    let refused = connection.exchange(Request::get("//models")).await;
    assert_eq!((refused.status, refused.fields.get("x-kmi-dry-run")), (400, Some("true")));
    let health = connection.exchange(Request::get("/__kmi/health")).await;
    assert_eq!((health.status, health.fields.get("x-kmi-dry-run")), (200, None));
    for answer in [&models, &chat, &message] {
        assert_eq!(answer.fields.get("x-kmi-dry-run"), Some("true"));
        assert_eq!(answer.key(), Some("alpha"));
    }
}

#[tokio::test]
async fn both_wires_stream_to_their_terminal_event() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let chat = daemon.send(Request::chat_stream()).await;
    assert_eq!(chat.end, End::Proper);
    assert!(chat.text().ends_with("data: [DONE]\n\n"), "{}", chat.text());
    let chunks: Vec<Value> = chat
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect();
    assert!(chunks.iter().any(|c| c["choices"][0]["delta"]["content"].is_string()));
    let message = daemon.send(Request::message_stream()).await;
    assert_eq!(message.end, End::Proper);
    for event in ["message_start", "content_block_delta", "message_delta", "message_stop"] {
        assert!(message.text().contains(&format!("event: {event}\n")), "{event}: {}", message.text());
    }
    for trace in daemon.traces(2).await {
        assert!(trace["tokens"]["output"].as_u64().unwrap() > 0, "{trace}");
    }
}

#[tokio::test]
async fn quotas_go_down_with_use() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let left = || async {
        daemon.rpc("quota.refresh", json!({})).await.unwrap();
        daemon.key("alpha").await["windows"][0]["percent_left"].as_f64().unwrap()
    };
    let before = left().await;
    let long = json!({"messages": [{"role": "user", "content": "word ".repeat(20_000)}]});
    for _ in 0..20 {
        daemon.send(Request::post("/chat/completions", &long)).await;
    }
    let after = left().await;
    assert!(after < before, "{before} -> {after}");
}

#[tokio::test]
async fn no_connection_leaves_the_machine_or_even_the_process() {
    let upstream = kmi_tests::upstream::Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).env("KMI_DRY_RUN", "1").start().await;
    assert_eq!(daemon.send(Request::chat()).await.status, 200);
    daemon.rpc("quota.refresh", json!({})).await.unwrap();
    assert_eq!((upstream.connections(), upstream.requests().len()), (0, 0));
    assert_eq!(daemon.rpc("daemon.status", json!({})).await.unwrap()["mode"], "dry-run");
}

#[tokio::test]
async fn the_demo_ends_by_itself_when_it_is_piped() {
    use kmi_tests::harness::{binaries::binaries, cli, home::Home};
    let home = Home::new();
    let ran = cli::run(&home, &binaries().kmid, &["demo", "--requests", "12"], "").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.lines().count() >= 12, "{}", ran.out);
    assert!(!ran.out.contains('\u{1b}'), "colours in a pipe");
    assert!(!home.state_dir().exists(), "the demo left files");
}

/// Ends a program whose test failed while waiting for it.
struct Kill(u32);

impl Drop for Kill {
    fn drop(&mut self) {
        kmi_tests::harness::process::signal(self.0, rustix::process::Signal::KILL);
    }
}

#[tokio::test]
async fn ctrl_c_ends_the_demo_with_its_summary() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    use kmi_tests::harness::wait::within;
    use kmi_tests::harness::{binaries::binaries, home::Home, process};
    let home = Home::new();
    let scratch = home.path().join("tmp");
    std::fs::create_dir(&scratch).unwrap();
    let home = home.env("TMPDIR", &scratch);
    let mut command = home.command(&binaries().kmid);
    command.args(["demo", "--requests", "100000"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    let kill = Kill(pid);
    let reading = tokio::task::spawn_blocking(move || {
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        // The introduction and the first requests.
        while text.matches(" status=200 ").count() < 3 {
            assert!(output.read_line(&mut text).unwrap() > 0, "it ended by itself: {text}");
        }
        process::signal(pid, rustix::process::Signal::INT);
        let from = text.len();
        output.read_to_string(&mut text).unwrap();
        (child.wait().unwrap(), text.split_off(from))
    });
    let (status, rest) = within("the end of the demo", reading).await.unwrap();
    std::mem::forget(kill);
    assert!(status.success(), "{status}: {rest}");
    for label in ["alpha", "beta", "gamma"] {
        assert!(rest.contains(label), "the summary names every key: {rest}");
    }
    assert!(rest.contains(" answered, 0 failed\n"), "the end is no failure: {rest}");
    let left: Vec<_> = std::fs::read_dir(&scratch).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "the demo left files: {left:?}");
}
