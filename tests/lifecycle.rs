//! Start, stop, and what happens in between.

use std::time::{Duration, Instant};

use kmi_tests::harness::wait::{eventually, within};
use kmi_tests::harness::{Connection, End, Request, Setup, cli};
use kmi_tests::upstream::{ANY, Gate, Reply, Upstream};
use rustix::process::Signal;
use serde_json::json;

#[tokio::test]
async fn a_second_start_says_who_holds_the_state_directory() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let ran = cli::kmid(&daemon.home, &[]).await;
    assert_eq!(ran.code, 75, "{ran:?}");
    assert!(ran.err.contains(&daemon.pid().to_string()), "{}", ran.err);
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    assert!(daemon.rpc("daemon.status", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_terminal_that_is_closed_ends_what_runs_in_it() {
    let mut daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    // While it is there the signal means what it means to any daemon.
    daemon.home.write_key("beta", "sk-kimi-beta-0123456789");
    daemon.signal(Signal::HUP);
    eventually("the new key", || daemon.find_key("beta")).await;
    daemon.hang_up();
    assert!(daemon.ended().await.success());
    assert!(!daemon.home.socket().exists());
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_and_never_a_kill() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (ran, home) = Setup::dry_run().keys(&["alpha"]).env("KMI_PROXY_LISTEN", &address).fails().await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains(&address), "{}", ran.err);
    assert!(!home.socket().exists(), "a daemon that did not start left its socket");
}

#[tokio::test]
async fn sigterm_lets_requests_finish_and_takes_no_new_ones() {
    for signal in [Signal::TERM, Signal::INT] {
        let upstream = Upstream::start().await;
        let gate = Gate::closed();
        let reply = Reply::sse().send("data: 1\n\n").wait(&gate).send("data: [DONE]\n\n");
        upstream.next(ANY, "/chat/completions", reply);
        let mut daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
        let mut streaming = daemon.connect().await;
        streaming.send(&Request::chat_stream()).await;
        let head = streaming.head().await;
        let mut idle = daemon.connect().await;
        assert_eq!(idle.exchange(Request::get("/models")).await.status, 200);
        daemon.signal(signal);
        // The idle connection is closed: the drain has begun; the other one still works.
        assert!(idle.closed().await);
        let proxy = daemon.proxy();
        eventually("the listener to be closed", || async {
            tokio::net::TcpStream::connect(proxy).await.is_err().then_some(())
        })
        .await;
        gate.open();
        let answer = streaming.rest(head).await;
        assert_eq!((answer.text().as_str(), answer.end), ("data: 1\n\ndata: [DONE]\n\n", End::Proper));
        assert!(daemon.ended().await.success());
        assert_eq!(daemon.traces(2).await.len(), 2, "the last request is in the trace");
        assert!(!daemon.home.socket().exists());
    }
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let upstream = Upstream::start().await;
    let never = Gate::closed();
    upstream.next(ANY, "/chat/completions", Reply::sse().send("data: 1\n\n").wait(&never));
    let mut daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let mut connection = daemon.connect().await;
    connection.send(&Request::chat_stream()).await;
    let head = connection.head().await;
    let mut idle = daemon.connect().await;
    idle.exchange(Request::get("/models")).await;
    daemon.signal(Signal::TERM);
    assert!(idle.closed().await);
    let started = Instant::now();
    daemon.signal(Signal::TERM);
    daemon.ended().await;
    assert!(started.elapsed().as_secs() < 10, "it drained for {:?}", started.elapsed());
    assert_eq!(connection.rest(head).await.end, End::Broken);
}

#[tokio::test]
async fn a_drain_ends_by_its_deadline() {
    let upstream = Upstream::start().await;
    let never = Gate::closed();
    upstream.next(ANY, "/chat/completions", Reply::sse().send("data: 1\n\n").wait(&never));
    let setup = Setup::live(&upstream).keys(&["alpha"]);
    let mut daemon = setup.env("KMI_PROXY_DRAIN_SECONDS", "1").start().await;
    let mut connection = daemon.connect().await;
    connection.send(&Request::chat_stream()).await;
    let head = connection.head().await;
    daemon.signal(Signal::TERM);
    daemon.ended().await;
    assert_eq!(connection.rest(head).await.end, End::Broken);
    let trace = &daemon.traces(1).await[0];
    assert_eq!(trace["outcome"], "cut_off", "its client did not leave: {trace}");
}

#[tokio::test]
async fn sighup_reloads() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream)
        .keys(&["alpha"])
        .file(".kmi/.env", "KMI_PAYMENT_BLOCK_SECONDS=1\n")
        .start()
        .await;
    daemon.home.write(".kmi/.env", "KMI_PAYMENT_BLOCK_SECONDS=77\n");
    daemon.signal(Signal::HUP);
    eventually("the new setting", || async {
        let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
        (status["payment_block_seconds"] == 77).then_some(())
    })
    .await;
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
}

#[tokio::test]
async fn after_kill_9_the_next_start_goes_on() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    upstream.next(ANY, "/models", Reply::openai_error(402, "", "membership"));
    assert_eq!(daemon.send(Request::get("/models")).await.key(), Some("beta"));
    daemon.traces(1).await;
    let state = daemon.state_path("state.json");
    eventually("the block to be on disk", || async {
        std::fs::read_to_string(&state).ok().filter(|s| s.contains("payment"))
    })
    .await;
    let home = daemon.killed().await;
    assert!(home.socket().exists(), "the stale socket is what this is about");
    // A write that the kill cut short leaves half a line and a temporary file.
    let trace = home.state_dir().join("trace/trace.jsonl");
    let mut content = std::fs::read(&trace).unwrap();
    content.extend_from_slice(b"{\"ts\":\"2026-");
    std::fs::write(&trace, content).unwrap();
    let daemon = Setup::in_home(home).start().await;
    assert_eq!(daemon.key("alpha").await["state"], "blocked");
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!(status["active_key"], "beta");
    daemon.send(Request::get("/models")).await;
    let entries = daemon.traces(2).await;
    assert_eq!(entries.len(), 2, "the half line did not swallow the next one");
}

#[tokio::test]
async fn running_out_of_files_does_not_end_the_listener() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let limit = rustix::process::Rlimit { current: Some(64), maximum: Some(1024) };
    let pid = rustix::process::Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).unwrap();
    let mut many = Vec::new();
    for _ in 0..100 {
        many.push(Connection::open(daemon.proxy()).await);
    }
    eventually("the shortage to be told", || async {
        daemon.output().contains("proxy_accept_failed").then_some(())
    })
    .await;
    // While nothing can be accepted: a loop that only tries on would take all of one core.
    let (cpu, started) = (kmi_tests::harness::process::cpu(daemon.pid()), Instant::now());
    let mut every = tokio::time::interval(Duration::from_millis(100));
    while started.elapsed() < Duration::from_secs(1) {
        every.tick().await;
    }
    let (spent, span) = (kmi_tests::harness::process::cpu(daemon.pid()) - cpu, started.elapsed());
    assert!(spent < span / 2, "it span: {spent:?} in {span:?}");
    drop(many);
    let answer = eventually("the listener to recover", || async {
        let mut connection = Connection::open(daemon.proxy()).await;
        connection.send(&Request::get("/models")).await;
        connection.any_head().await.ok()
    });
    assert_eq!(answer.await.status, 200);
}

#[tokio::test]
async fn a_stop_while_nobody_reads_the_answer_is_bounded() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_DRAIN_SECONDS", "1");
    let mut daemon = setup.start().await;
    upstream.next(ANY, "/files", Reply::status(200).send(vec![b'x'; 8 << 20]));
    let mut connection = daemon.connect().await;
    connection.send(&Request::get("/files")).await;
    connection.head().await;
    let mut control = daemon.control().await;
    control.call("requests.tail", json!({"follow": true})).await.unwrap();
    daemon.signal(Signal::TERM);
    within("the end", daemon.ended()).await;
}

#[tokio::test]
async fn files_that_cannot_be_written_do_not_stop_the_proxy() {
    let setup = Setup::dry_run().keys(&["alpha"]);
    // A directory stands where the trace belongs: not even root can write that.
    let trace = setup.home().state_dir().join("trace/trace.jsonl");
    std::fs::create_dir_all(&trace).unwrap();
    let daemon = setup.start().await;
    for _ in 0..3 {
        assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    }
    eventually("the loss to be shown", || async {
        let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
        status["issues"].to_string().contains("trace").then_some(())
    })
    .await;
    std::fs::remove_dir(&trace).unwrap();
    // It is tried anew after a pause, and what was lost is said in the log.
    eventually("a line in the trace", || async {
        assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
        std::fs::read_to_string(&trace).ok().filter(|lines| lines.ends_with('\n'))
    })
    .await;
    daemon.log_with("log_lines_lost").await;
}
