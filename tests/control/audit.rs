//! Every change through the control socket leaves an audit event: who, what, from what to what, which file.

use std::fs;

use kmi_proto::method::Method;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Daemon, Request, Setup};
use kmi_tests::upstream::{ANY, Reply, Upstream};
use serde_json::{Value, json};

/// What a method is called with to change something, and the fields of the events that this must leave.
struct Case {
    params: Value,
    events: Vec<Value>,
}

fn case(params: Value, events: impl IntoIterator<Item = Value>) -> Case {
    Case { params, events: events.into_iter().collect() }
}

/// A new method is either said to change nothing (`Method::changes`) or stands here with what it leaves.
fn case_of(method: Method, daemon: &Daemon) -> Case {
    let client = daemon.home.path().join(".kimi-code/config.toml");
    match method {
        Method::DaemonReload => case(json!({}), [json!({"action": "reloaded"})]),
        Method::DaemonRestart => case(json!({}), [json!({"action": "restarted"})]),
        Method::KeysUnblock => {
            case(json!({"label": "alpha"}), [json!({"action": "key_unblocked", "key": "alpha"})])
        }
        Method::KeysRecheck => {
            case(json!({"label": "alpha"}), [json!({"action": "key_rechecked", "key": "alpha"})])
        }
        Method::ClientsConnect => {
            case(json!({"client": "kimi-code"}), [json!({"action": "client_connected", "file": client})])
        }
        Method::ClientsDisconnect => {
            case(json!({"client": "kimi-code"}), [json!({"action": "client_disconnected", "file": client})])
        }
        Method::RotationRotate => case(
            json!({"to": "beta"}),
            [
                json!({"action": "key_rotated", "from": "alpha", "to": "beta"}),
                json!({"action": "config_written", "to": "beta", "file": client}),
            ],
        ),
        Method::RotationAuto => case(
            json!({"enabled": true}),
            [json!({"action": "auto_rotate_enabled", "from": "off", "to": "on"})],
        ),
        Method::QuotaRefresh => {
            case(json!({"label": "beta"}), [json!({"action": "quota_refreshed", "key": "beta"})])
        }
        Method::DaemonStop => case(json!({"force": true}), [json!({"action": "stop_forced"})]),
        other => panic!("{} changes something, and no case here says which event it leaves", other.name()),
    }
}

const CONFIG: &str = "default_model = \"k\"\n[models.k]\nprovider = \"kimi-for-coding\"\n[providers.kimi-for-coding]\n\
                      type = \"kimi\"\nbase_url = \"https://api.kimi.com/coding/v1\"\napi_key = \"sk-kimi-old\"\n";

fn events(daemon: &Daemon) -> Vec<Value> {
    let log = fs::read_to_string(daemon.state_path("logs/kmi.log")).unwrap_or_default();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == "audit_event").collect()
}

fn has(event: &Value, fields: &Value) -> bool {
    fields.as_object().unwrap().iter().all(|(name, value)| event[name] == *value)
}

/// With a log that is otherwise silent: the audit is no matter of its level.
async fn daemon(upstream: &Upstream) -> Daemon {
    Setup::live(upstream)
        .keys(&["alpha", "beta"])
        .may_switch()
        .env("KMI_AUDIT_ACTOR", "ann")
        .env("KMI_LOG_LEVEL", "error")
        .file(".kimi-code/config.toml", CONFIG)
        .start()
        .await
}

#[tokio::test]
async fn every_method_that_changes_something_leaves_its_event() {
    let upstream = Upstream::start().await;
    let uid = rustix::process::geteuid().as_raw();
    for method in Method::ALL.iter().copied().filter(|method| method.changes()) {
        let daemon = daemon(&upstream).await;
        daemon.quotas_read().await;
        if matches!(method, Method::KeysUnblock | Method::KeysRecheck) {
            upstream.next(ANY, "/models", Reply::openai_error(402, "", "membership"));
            daemon.send(Request::get("/models")).await;
            daemon.key_is("alpha", "blocked").await;
        }
        if method == Method::ClientsDisconnect {
            daemon.rpc(Method::ClientsConnect.name(), json!({"client": "kimi-code"})).await.unwrap();
        }
        let Case { params, events: expected } = case_of(method, &daemon);
        daemon.rpc(method.name(), params).await.unwrap_or_else(|e| panic!("{}: {e:?}", method.name()));
        for fields in expected {
            let event = eventually(format!("{}: {fields}", method.name()), || async {
                events(&daemon).into_iter().find(|event| has(event, &fields))
            })
            .await;
            assert_eq!((&event["actor"], &event["peer_uid"]), (&json!("ann"), &json!(uid)), "{event}");
        }
    }
}

#[tokio::test]
async fn what_changes_nothing_leaves_none() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    for method in Method::ALL.iter().copied().filter(|method| !method.changes()) {
        let params = match method {
            Method::DaemonHello => json!({"client": "test", "version": "0", "protocol": 1}),
            Method::RequestsGet => json!({"request_id": "none"}),
            Method::RequestsTail => json!({"follow": false}),
            Method::LogsTail => json!({"source": "app", "follow": false}),
            Method::StreamCancel => json!({"subscription": 1}),
            _ => json!({}),
        };
        let answer = daemon.rpc(method.name(), params).await;
        let finds_nothing = matches!(method, Method::RequestsGet | Method::StreamCancel);
        assert!(answer.is_ok() || finds_nothing, "{}: {answer:?}", method.name());
    }
    // Refusals and a look at what would be done change nothing either.
    daemon.rpc("rotation.rotate", json!({"to": "nobody"})).await.unwrap_err();
    daemon.rpc("clients.connect", json!({"client": "kimi-code", "dry_run": true})).await.unwrap();
    daemon.home.write(".kmi/.env", "KMI_ROTATE_ON_TIE=perhaps\n");
    let refused = daemon.rpc("daemon.reload", json!({})).await.unwrap();
    assert!(refused["issues"].to_string().contains("KMI_ROTATE_ON_TIE"), "{refused}");
    daemon.rpc("daemon.restart", json!({})).await.unwrap_err();
    daemon.home.write(".kmi/.env", "");
    // The next event is in the log, so all that came before it would be.
    daemon.rpc("daemon.reload", json!({})).await.unwrap();
    let found = eventually("the event of the reload", || async {
        Some(events(&daemon)).filter(|events| events.iter().any(|event| event["action"] == "reloaded"))
    })
    .await;
    assert_eq!(found.len(), 1, "{found:?}");
}

#[tokio::test]
async fn a_change_that_could_not_be_saved_is_written_down_as_that() {
    let setup = Setup::dry_run().keys(&["alpha", "beta"]);
    // A directory with something in it stands where the state belongs: not even root can replace that.
    let daemon = setup.start().await;
    let state = daemon.state_path("state.json");
    let _ = fs::remove_file(&state);
    eventually("the name to be free for a directory", || async {
        let _ = fs::remove_file(&state);
        fs::create_dir_all(state.join("inside")).ok()
    })
    .await;
    let error = daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap_err();
    assert_eq!((error.code, error.kind()), (-32015, "not_saved"), "{error:?}");
    assert!(error.message.contains("in force but could not be saved"), "{error:?}");
    let fields = json!({"action": "key_rotated", "from": "alpha", "to": "beta", "unsaved": true});
    eventually("the event", || async { events(&daemon).into_iter().find(|event| has(event, &fields)) }).await;
}
