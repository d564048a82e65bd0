//! Many connections, slow ones, large ones: whoever sends as usual does not notice.

use std::time::{Duration, Instant};

use kmi_tests::harness::wait::{eventually, within};
use kmi_tests::harness::{Connection, Daemon, Request, Setup, process};
use kmi_tests::upstream::{ANY, Reply, Upstream};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use serde_json::json;
use tokio::net::TcpStream;

/// The tests' own process needs a file for each of its connections.
fn raise_own_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(8192).min(8192);
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).unwrap();
    }
}

/// 200 requests, each on time, over kept connections and over new ones.
async fn normal_traffic(daemon: &Daemon) -> Duration {
    let mut kept = daemon.connect().await;
    let mut longest = Duration::ZERO;
    for number in 0..200 {
        let started = Instant::now();
        let answer = match number % 2 {
            0 => kept.exchange(Request::chat()).await,
            _ => daemon.send(Request::chat_stream()).await,
        };
        assert_eq!(answer.status, 200, "request {number}: {answer:?}");
        longest = longest.max(started.elapsed());
    }
    longest
}

#[tokio::test]
async fn a_thousand_idle_and_two_hundred_slow_connections_beside_normal_traffic() {
    raise_own_limit();
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_HEADER_SECONDS", "20");
    let daemon = setup.env("KMI_LOG_LEVEL", "warn").start().await;
    daemon.quotas_read().await;
    let before = process::open_files(daemon.pid());
    let mut idle = Vec::new();
    for number in 0..1000 {
        let mut connection = daemon.connect().await;
        // Half of them have never said a word, the others wait for their next request.
        if number % 2 == 0 {
            assert_eq!(connection.exchange(Request::get("/models")).await.status, 200);
        }
        idle.push(connection);
    }
    // A byte at a time, in turn, of the head or of the body, until the daemon has had enough.
    let proxy = daemon.proxy();
    let slow = tokio::spawn(async move {
        let head = b"POST /kmi-rotor/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
        let body = b"POST /kmi-rotor/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{";
        let mut slow = Vec::new();
        for number in 0..200 {
            let stream = TcpStream::connect(proxy).await.unwrap();
            let begin = if number % 2 == 0 { &head[..] } else { &body[..] };
            assert_eq!(stream.try_write(begin).unwrap(), begin.len());
            slow.push(stream);
        }
        let mut turns = tokio::time::interval(Duration::from_millis(5));
        for turn in 0_usize.. {
            turns.tick().await;
            let _ = slow[turn % slow.len()].try_write(b"x");
        }
        slow
    });
    eventually("all to be connected", || async {
        (process::open_files(daemon.pid()) >= before + 1200).then_some(())
    })
    .await;
    // The crowd alone, for a while: a byte in 5 ms is next to nothing.
    let (cpu, started) = (process::cpu(daemon.pid()), Instant::now());
    let mut every = tokio::time::interval(Duration::from_millis(100));
    while started.elapsed() < Duration::from_secs(1) {
        every.tick().await;
    }
    let (spent, span) = (process::cpu(daemon.pid()) - cpu, started.elapsed());
    assert!(spent < span / 2, "{spent:?} of CPU in {span:?}");
    let longest = normal_traffic(&daemon).await;
    assert!(longest < Duration::from_secs(5), "a request took {longest:?}");
    // What is idle, and what does not come to the end of its head, is closed by time.
    for connection in &mut idle {
        assert!(connection.closed().await);
    }
    eventually("slow heads to be closed", || async {
        (process::open_files(daemon.pid()) < before + 150).then_some(())
    })
    .await;
    slow.abort();
    let _ = within("the slow ones", slow).await;
    eventually("slow bodies to be gone", || async {
        (process::open_files(daemon.pid()) <= before + 10).then_some(())
    })
    .await;
    assert_eq!(daemon.send(Request::chat()).await.status, 200);
}

/// Holds more connections than there are files for ten seconds, and watches that the daemon neither ends nor spins.
async fn hold_on(daemon: &Daemon) {
    let mut control = daemon.control().await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(Connection::open(daemon.proxy()).await);
    }
    let (cpu, started) = (process::cpu(daemon.pid()), Instant::now());
    let mut asked = 0;
    let mut every = tokio::time::interval(Duration::from_millis(100));
    while started.elapsed() < Duration::from_secs(10) {
        every.tick().await;
        let status = control.call("daemon.status", json!({})).await.unwrap();
        assert_eq!(status["proxy"]["running"], true);
        asked += 1;
    }
    assert!(asked > 20, "the control socket answered {asked} times only");
    let open = process::open_files(daemon.pid());
    // One or two may have a number beyond the limit from before it.
    assert!(open <= 66, "{open} files are open");
    let spent = process::cpu(daemon.pid()) - cpu;
    assert!(spent < Duration::from_secs(3), "it span: {spent:?}");
}

async fn has_recovered(daemon: &Daemon) {
    eventually("a request to be served", || async {
        let mut connection = daemon.connect().await;
        connection.send(&Request::chat()).await;
        connection.any_head().await.ok().filter(|head| head.status == 200)
    })
    .await;
    for _ in 0..20 {
        assert_eq!(daemon.send(Request::chat()).await.status, 200);
    }
    // What is written is written again.
    assert!(daemon.traces(21).await.len() >= 21);
    daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap();
    let state = std::fs::read_to_string(daemon.state_path("state.json")).unwrap();
    assert!(state.contains("beta"), "{state}");
}

#[tokio::test]
async fn started_with_64_files_it_keeps_some_for_itself() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).open_files(64).start().await;
    daemon.quotas_read().await;
    // What is too many waits to be accepted; the files for its own work are there.
    hold_on(&daemon).await;
    assert!(!daemon.output().contains("proxy_accept_failed"), "{}", daemon.output());
    has_recovered(&daemon).await;
}

#[tokio::test]
async fn out_of_files_for_ten_seconds() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    daemon.quotas_read().await;
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    let limit = Rlimit { current: Some(64), maximum: Some(1024) };
    prlimit(pid, Resource::Nofile, limit).unwrap();
    hold_on(&daemon).await;
    has_recovered(&daemon).await;
    // It is told once nothing has failed for a while, with the next connection.
    eventually("the end of the trouble to be told", || async {
        daemon.send(Request::get("/models")).await;
        daemon.output().contains("proxy_accept_recovered").then_some(())
    })
    .await;
    // The files of the log could not be opened either: what it prints has all of it.
    let output = daemon.output();
    for event in ["proxy_accept_failed", "proxy_accept_recovered"] {
        assert_eq!(output.matches(event).count(), 1, "{event} once: {output}");
    }
}

#[tokio::test]
async fn heads_have_a_time_a_size_and_a_number_of_fields() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_HEADER_SECONDS", "1");
    let setup = setup.env("KMI_PROXY_MAX_HEADERS", "20").env("KMI_PROXY_MAX_HEADER_KB", "8");
    let daemon = setup.start().await;
    let mut slow = daemon.connect().await;
    slow.send_raw(b"GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: loc").await.unwrap();
    let answer = slow.any_head().await;
    assert!(answer.is_err() || answer.unwrap().status == 408);
    let fields = |count: usize, length: usize| {
        let value = "x".repeat(length);
        (0..count).fold(Request::get("/models"), |request, n| request.field(&format!("X-{n}"), &value))
    };
    assert_eq!(daemon.send(fields(15, 1)).await.status, 200);
    assert_eq!(daemon.send(fields(25, 1)).await.status, 431);
    assert_eq!(daemon.send(fields(1, 7000)).await.status, 200);
    assert_eq!(daemon.send(fields(1, 9000)).await.status, 431);
    assert_eq!(upstream.at("/models").len(), 2);
    // Without any setting there is room for what clients send.
    let usual = Setup::live(&upstream).keys(&["alpha"]).start().await;
    assert_eq!(usual.send(fields(90, 100)).await.status, 200);
    assert_eq!(usual.send(fields(101, 1)).await.status, 431);
    assert_eq!(usual.send(fields(1, 60_000)).await.status, 200);
    assert_eq!(usual.send(fields(1, 70_000)).await.status, 431);
}

#[tokio::test]
async fn bodies_have_a_size() {
    let upstream = Upstream::start().await;
    for replay in ["16", "0"] {
        let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_MAX_BODY_MB", "1");
        let daemon = setup.env("KMI_PROXY_REPLAY_MB", replay).start().await;
        upstream.always(ANY, "/files", |_| Reply::json(200, &json!({})));
        let file = |length: usize| Request::new("POST", "/files").body(vec![b'x'; length]);
        assert_eq!(daemon.send(file(1 << 20)).await.status, 200);
        assert_eq!(daemon.send(file(1 << 20).chunked()).await.status, 200);
        let before = upstream.at("/files").len();
        let answer = daemon.send(file((1 << 20) + 1)).await;
        assert_eq!((answer.status, answer.by_kmid()), (413, true), "{answer:?}");
        assert!(answer.text().contains("KMI_PROXY_MAX_BODY_MB"), "{}", answer.text());
        assert_eq!(upstream.at("/files").len(), before, "refused by its announced length");
        let answer = daemon.send(file(2 << 20).chunked()).await;
        assert_eq!((answer.status, answer.by_kmid()), (413, true), "{answer:?}");
        assert_eq!(daemon.key("alpha").await["state"], "ready", "no fault of the key's");
    }
}
