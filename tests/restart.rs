//! `daemon.restart` and `kmi proxy-restart`: one kmid takes over from another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Connection, Daemon, End, Request, Setup, cli, process, programs};
use kmi_tests::upstream::{ANY, Gate, Reply, Upstream};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Few enough that the account has slots left for the load: the queue must not be what is tested here.
const STREAMS: usize = 4;

/// Two hundred requests a second, each on a connection of its own, and one connection that is used again and again.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<usize>>,
}

impl Load {
    fn start(daemon: &Daemon) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let proxy = daemon.proxy();
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let fresh = tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(5));
            let mut requests = tokio::task::JoinSet::new();
            while !stopped.load(Ordering::Relaxed) {
                every.tick().await;
                count.fetch_add(1, Ordering::Relaxed);
                requests.spawn(async move {
                    Connection::open(proxy).await.exchange(Request::get("/models")).await.status
                });
            }
            let statuses = requests.join_all().await;
            assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
            statuses.len()
        });
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let kept = tokio::spawn(async move {
            let mut connection = Connection::open(proxy).await;
            let mut done = 0;
            while !stopped.load(Ordering::Relaxed) {
                count.fetch_add(1, Ordering::Relaxed);
                connection.send(&Request::get("/models")).await;
                let head = connection.head().await;
                let closes = head.fields.get("connection") == Some("close");
                let answer = connection.rest(head).await;
                assert_eq!((answer.status, answer.end), (200, End::Proper));
                done += 1;
                // A client does as it is told, and asks again elsewhere.
                if closes {
                    connection = Connection::open(proxy).await;
                }
            }
            done
        });
        Self { stop, sent, tasks: vec![fresh, kept] }
    }

    /// Waits until so many more requests have been sent.
    async fn more(&self, count: usize) {
        let goal = self.sent.load(Ordering::Relaxed) + count;
        eventually("more requests", || async { (self.sent.load(Ordering::Relaxed) >= goal).then_some(()) })
            .await;
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut done = 0;
        for task in self.tasks {
            done += task.await.unwrap();
        }
        done
    }
}

/// Who has the lock, as its file says.
fn holder(daemon: &Daemon) -> u32 {
    std::fs::read_to_string(daemon.state_path("kmid.lock")).unwrap().trim().parse().unwrap()
}

fn ids(traces: &[Value]) -> BTreeSet<&str> {
    traces.iter().map(|trace| trace["request_id"].as_str().unwrap()).collect()
}

async fn streams(
    daemon: &Daemon,
    upstream: &Upstream,
    gate: &Gate,
) -> Vec<(Connection, kmi_tests::http1::ResponseHead)> {
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
        let reply = Reply::sse().send("data: 1\n\n").wait(gate).send(format!("{usage}\n\ndata: [DONE]\n\n"));
        upstream.next(ANY, "/chat/completions", reply);
        let mut stream = daemon.connect().await;
        stream.send(&Request::chat_stream()).await;
        let head = stream.head().await;
        assert_eq!(head.status, 200);
        streams.push((stream, head));
    }
    streams
}

#[tokio::test]
async fn nothing_is_refused_cut_or_counted_twice() {
    let upstream = Upstream::start().await;
    // A machine that is busy with other things falls behind 200 requests a second: then they wait.
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_QUEUE_MAX", "100000");
    let mut daemon = setup.env("KMI_QUEUE_MAX_WAIT_SECONDS", "300").start().await;
    daemon.quotas_read().await;
    let load = Load::start(&daemon);
    let mut pids = vec![daemon.pid()];
    let (first_gate, second_gate) = (Gate::closed(), Gate::closed());
    let first = streams(&daemon, &upstream, &first_gate).await;
    load.more(100).await;

    let ran = daemon.kmi(&["--json", "proxy-restart"]).await;
    assert_eq!(ran.code, 0, "{ran:?}\n{}", daemon.output());
    pids.push(ran.json()["pid"].as_u64().unwrap().try_into().unwrap());
    assert_eq!(daemon.followed().await, pids[0]);
    assert_eq!((daemon.pid(), holder(&daemon)), (pids[1], pids[1]));
    // Whoever is still at work there counts for the account, and nobody else gets the directory.
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert!(status["accounts"][0]["in_flight"].as_u64().unwrap() >= STREAMS as u64, "{status}");
    let second_start = cli::kmid(&daemon.home, &[]).await;
    assert!(second_start.code == 75 && second_start.err.contains(&pids[1].to_string()), "{second_start:?}");
    load.more(100).await;

    // Again, while the first one still has streams to finish: their outcomes go through two hands.
    let second = streams(&daemon, &upstream, &second_gate).await;
    let ran = daemon.kmi(&["proxy-restart"]).await;
    assert_eq!(ran.code, 0, "{ran:?}\n{}", daemon.output());
    assert_eq!(daemon.followed().await, pids[1]);
    pids.push(daemon.pid());
    assert!(ran.out.contains(&pids[1].to_string()) && ran.out.contains(&pids[2].to_string()), "{}", ran.out);
    assert_eq!(holder(&daemon), pids[2]);
    load.more(100).await;

    first_gate.open();
    second_gate.open();
    for (mut stream, head) in first.into_iter().chain(second) {
        let answer = stream.rest(head).await;
        assert!(answer.text().ends_with("data: [DONE]\n\n") && answer.end == End::Proper, "{answer:?}");
    }
    let sent = load.end().await + 2 * STREAMS;
    daemon.those_before_ended().await;
    let traces = daemon.traces(sent).await;
    assert_eq!((traces.len(), ids(&traces).len()), (sent, sent), "each request is traced once");
    let key = daemon.key("alpha").await;
    assert_eq!(key["requests"], sent, "{key}");
    assert_eq!(
        key["errors"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>(),
        0,
        "{key}"
    );
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!(status["accounts"][0]["in_flight"], 0, "{status}");
    assert_eq!(status["tokens"]["output"], 5 * 2 * STREAMS, "{status}");
    let usage = daemon.rpc("usage.get", json!({"since": "1h"})).await.unwrap();
    assert_eq!(usage["total"]["requests"], sent, "{usage}");

    // What is in memory is what is on disk, and the last one out takes the socket with it.
    daemon.signal(Signal::TERM);
    let socket = daemon.home.socket();
    eventually("the end", || async { (!socket.exists()).then_some(()) }).await;
    let state = daemon.state_path("state.json");
    let requests = || {
        let state: Value = serde_json::from_str(&std::fs::read_to_string(&state).unwrap()).unwrap();
        state["keys"].as_object().unwrap().values().map(|key| key["requests"].as_u64().unwrap()).sum::<u64>()
    };
    eventually("the state on disk", || async { (requests() == sent as u64).then_some(()) }).await;
}

/// A program in the place of kmid, as a broken upgrade would leave one.
fn replace(daemon: &Daemon, script: &str) {
    let path = daemon.home.path().join("bin/kmid");
    programs::write(&path, script);
}

#[tokio::test]
async fn a_start_that_fails_leaves_the_old_one_serving_and_writing() {
    let upstream = Upstream::start().await;
    let mut daemon = Setup::live(&upstream).from_copy().keys(&["alpha", "beta"]).start().await;
    let mut sent = 0;
    let prepared = r#"printf '{"new":"prepared","version":"9.9.9"}\n' >&0"#;
    // Before anything is handed over, after it, and one that speaks of something else.
    for (script, said) in [
        ("#!/bin/sh\nexit 3\n".to_owned(), "exit status: 3"),
        ("#!/bin/sh\nkill -9 $$\n".to_owned(), "signal: 9"),
        ("#!/nowhere/sh\n".to_owned(), "No such file"),
        ("#!/bin/sh\nprintf 'hello\\n' >&0\nread line\n".to_owned(), "another protocol"),
        (format!("#!/bin/sh\n{prepared}\nread lock; read yours; kill -9 $$\n"), "signal: 9"),
        (
            format!(
                "#!/bin/sh\n{prepared}\nread lock; read yours; printf '{{\"new\":\"failed\",\"why\":\"no keys\"}}\\n' >&0\n"
            ),
            "no keys",
        ),
    ] {
        replace(&daemon, &script);
        let ran = daemon.kmi(&["proxy-restart"]).await;
        assert_eq!(ran.code, 1, "{script}: {ran:?}");
        assert!(ran.err.contains(said), "{script}: {}", ran.err);
        assert_eq!(holder(&daemon), daemon.pid());
        assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
        sent += 1;
        // What a person changes is on disk before the answer.
        let to = if sent % 2 == 0 { "alpha" } else { "beta" };
        daemon.rpc("rotation.rotate", json!({"to": to})).await.unwrap();
    }
    daemon.home.write(".kmi/.env", "KMI_ROTATE_ON_TIE=perhaps\nKMI_PROXY_RETRY_MAX=often\n");
    let error = daemon.rpc("daemon.restart", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), "restart_failed");
    let told = error.message;
    assert!(told.contains("KMI_ROTATE_ON_TIE") && told.contains("; KMI_PROXY_RETRY_MAX"), "{told}");
    assert!(!told.contains('\n') && told.matches("cannot be used").count() == 1, "{told}");
    daemon.home.write(".kmi/.env", "");
    let traces = daemon.traces(sent).await;
    assert_eq!(ids(&traces).len(), sent);

    // The real program again: an upgrade in place.
    let path = daemon.home.path().join("bin/kmid");
    std::fs::remove_file(&path).unwrap();
    programs::copy(&binaries().kmid, &path);
    let ran = daemon.kmi(&["proxy-restart"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    daemon.followed().await;
    daemon.those_before_ended().await;
    assert_eq!(
        daemon.key("beta").await["requests"].as_u64().unwrap()
            + daemon.key("alpha").await["requests"].as_u64().unwrap(),
        sent as u64
    );
}

#[tokio::test]
async fn what_a_killed_predecessor_had_under_way_is_let_go() {
    let upstream = Upstream::start().await;
    let mut daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let never = Gate::closed();
    let open = streams(&daemon, &upstream, &never).await;
    let old = daemon.restarted().await;
    let in_flight = || async {
        let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
        status["accounts"][0]["in_flight"].as_u64().unwrap()
    };
    assert_eq!(in_flight().await, STREAMS as u64);
    process::signal(old, Signal::KILL);
    eventually("the slots to be free", || async { (in_flight().await == 0).then_some(()) }).await;
    drop(open);
    assert_eq!(holder(&daemon), daemon.pid());
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    daemon.traces(1).await;
    assert_eq!(daemon.key("alpha").await["requests"], STREAMS + 1);
}

#[tokio::test]
async fn stopping_the_new_one_ends_the_old_one_too() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_DRAIN_SECONDS", "1");
    let mut daemon = setup.start().await;
    let never = Gate::closed();
    let open = streams(&daemon, &upstream, &never).await;
    daemon.restarted().await;
    let ran = daemon.kmi(&["proxy-stop", "-y"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    daemon.those_before_ended().await;
    drop(open);
    assert!(!daemon.home.socket().exists());
}

#[tokio::test]
async fn a_stop_lets_the_requests_of_both_end() {
    let upstream = Upstream::start().await;
    let mut daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let gate = Gate::closed();
    let open = streams(&daemon, &upstream, &gate).await;
    daemon.restarted().await;
    daemon.signal(Signal::TERM);
    let holder = daemon.pid();
    daemon.log_with("kmid_stopping").await;
    gate.open();
    for (mut stream, head) in open {
        let answer = stream.rest(head).await;
        assert!(answer.text().ends_with("data: [DONE]\n\n") && answer.end == End::Proper, "{answer:?}");
    }
    daemon.those_before_ended().await;
    eventually("the end of the new one", || async { process::has_ended(holder).then_some(()) }).await;
    // It has stayed until the other one had told everything.
    let traces = daemon.traces(STREAMS).await;
    assert_eq!(ids(&traces).len(), STREAMS);
    assert!(traces.iter().all(|trace| trace["outcome"] == "completed"), "{traces:?}");
}

#[tokio::test]
async fn a_forced_stop_ends_both_at_once() {
    let upstream = Upstream::start().await;
    let mut daemon =
        Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_DRAIN_SECONDS", "600").start().await;
    let never = Gate::closed();
    let open = streams(&daemon, &upstream, &never).await;
    daemon.restarted().await;
    let ran = daemon.kmi(&["proxy-stop", "--force"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    daemon.those_before_ended().await;
    for (mut stream, head) in open {
        assert_ne!(stream.rest(head).await.end, End::Proper);
    }
    let traces = daemon.traces(STREAMS).await;
    assert!(traces.iter().all(|trace| trace["outcome"] == "cut_off"), "{traces:?}");
}

#[tokio::test]
async fn what_ends_live_says_nothing_in_dry_run() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).without("KMI_DRY_RUN").file(".kmi/.env", "KMI_DRY_RUN=0\n");
    let mut daemon = setup.keys(&["alpha"]).start().await;
    assert_eq!(daemon.send(Request::chat()).await.status, 200);
    daemon.traces(1).await;

    let gate = Gate::closed();
    let open = streams(&daemon, &upstream, &gate).await;
    daemon.home.write(".kmi/.env", "KMI_DRY_RUN=1\n");
    daemon.restarted().await;
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!((&status["mode"], &status["accounts"][0]["in_flight"]), (&json!("dry-run"), &json!(0)));
    gate.open();
    for (mut stream, head) in open {
        let answer = stream.rest(head).await;
        assert!(answer.text().ends_with("data: [DONE]\n\n") && answer.end == End::Proper, "{answer:?}");
    }
    daemon.those_before_ended().await;
    // Each request has its line, but the simulator's keys and their history know nothing of it.
    daemon.traces(1 + STREAMS).await;
    let counted = || async {
        let usage = daemon.rpc("usage.get", json!({})).await.unwrap();
        (daemon.key("alpha").await["requests"].clone(), usage["total"]["requests"].clone())
    };
    assert_eq!(counted().await, (json!(0), json!(0)));
    assert_eq!(daemon.send(Request::chat()).await.status, 200);
    daemon.traces(2 + STREAMS).await;
    assert_eq!(counted().await, (json!(1), json!(1)));
    for folder in ["usage", "usage-dry-run"] {
        let days = std::fs::read_dir(daemon.state_path(folder)).unwrap();
        assert_eq!(days.count(), 1, "{folder}");
    }
}
