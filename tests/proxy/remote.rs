//! Peers beyond this machine, for which another address of this machine stands.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use kmi_tests::harness::machine::own_address;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Connection, Daemon, Request, Setup};
use kmi_tests::upstream::Upstream;
use serde_json::json;

const TOKEN: &str = "a-token-of-some-length";

async fn open(upstream: &Upstream, extra: &[(&str, &str)]) -> Daemon {
    let setup = Setup::live(upstream).keys(&["alpha"]).env("KMI_PROXY_LISTEN", "0.0.0.0:0");
    let setup = setup.env("KMI_PROXY_ALLOW_REMOTE", "1").env("KMI_PROXY_TOKEN", TOKEN);
    extra.iter().fold(setup, |setup, (name, value)| setup.env(name, value)).start().await
}

fn at(address: IpAddr, daemon: &Daemon) -> SocketAddr {
    (address, daemon.proxy().port()).into()
}

fn models(token: &str) -> Request {
    Request::get("/models").field("Host", "kmi.example").field("x-api-key", token)
}

fn loopback() -> IpAddr {
    std::net::Ipv4Addr::LOCALHOST.into()
}

#[tokio::test]
async fn guesses_from_afar_wait_for_their_turn_unseen_and_this_machine_is_not_kept_out() {
    let Some(own) = own_address() else { return };
    let upstream = Upstream::start().await;
    let daemon = open(&upstream, &[("KMI_PROXY_REQUIRE_TLS", "0")]).await;
    let mut afar = Connection::open(at(own, &daemon)).await;
    for _ in 0..3 {
        assert_eq!(afar.exchange(models("wrong")).await.status, 401);
    }
    // From now on the right one waits as well: the time of an answer tells nothing.
    assert_eq!(afar.exchange(models("wrong")).await.status, 401);
    let started = Instant::now();
    assert_eq!(afar.exchange(models("wrong")).await.status, 401);
    assert!(started.elapsed() > Duration::from_millis(150), "{:?}", started.elapsed());
    assert_eq!(afar.exchange(models(TOKEN)).await.status, 200, "in its turn it counts");
    assert_eq!(afar.exchange(models("wrong")).await.status, 401, "and what was before is forgotten");
    // Many at once are no quicker than one.
    let mut many = Vec::new();
    for _ in 0..40 {
        let mut connection = Connection::open(at(own, &daemon)).await;
        connection.send(&models("wrong")).await;
        many.push(connection);
    }
    let near = Connection::open(at(loopback(), &daemon)).await.exchange(models(TOKEN)).await;
    assert_eq!(near.status, 200, "the right token of this machine is never kept out");
    let mut statuses = Vec::new();
    for connection in &mut many {
        statuses.push(connection.answer().await.status);
    }
    let unseen = statuses.iter().filter(|status| **status == 429).count();
    assert!(unseen >= 20 && statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    let log = daemon.log_with(&format!("\"peer\":\"{own}\"")).await;
    assert!(log.lines().filter(|line| line.contains("proxy_unauthorized")).count() <= 3, "{log}");
    assert_eq!(upstream.at("/models").len(), 2);
}

#[tokio::test]
async fn one_peer_has_so_many_connections_and_others_are_not_concerned() {
    let Some(own) = own_address() else { return };
    let upstream = Upstream::start().await;
    let extra = [("KMI_PROXY_REQUIRE_TLS", "0"), ("KMI_PROXY_MAX_CONNECTIONS_PER_PEER", "3")];
    let daemon = open(&upstream, &extra).await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut connection = Connection::open(at(own, &daemon)).await;
        assert_eq!(connection.exchange(models(TOKEN)).await.status, 200);
        kept.push(connection);
    }
    assert!(Connection::open(at(own, &daemon)).await.closed().await, "the fourth");
    for _ in 0..5 {
        let mut connection = Connection::open(at(loopback(), &daemon)).await;
        assert_eq!(connection.exchange(models(TOKEN)).await.status, 200);
        kept.push(connection);
    }
    kept.remove(0).close().await;
    eventually("the place to be free", || async {
        let mut connection = Connection::open(at(own, &daemon)).await;
        connection.send(&models(TOKEN)).await;
        connection.any_head().await.ok().filter(|head| head.status == 200)
    })
    .await;
    let metrics = daemon.rpc("metrics.get", json!({})).await.unwrap();
    assert!(metrics["text"].as_str().unwrap().contains("kmid_refused_total{why=\"too_many_connections\"}"));
}

#[tokio::test]
async fn what_ends_tls_in_front_is_near() {
    let upstream = Upstream::start().await;
    let daemon = open(&upstream, &[("KMI_PROXY_TLS_TERMINATED", "1")]).await;
    assert_eq!(Connection::open(at(loopback(), &daemon)).await.exchange(models(TOKEN)).await.status, 200);
    assert_eq!(Connection::open(at(loopback(), &daemon)).await.exchange(models("wrong")).await.status, 401);
    let Some(own) = own_address() else { return };
    if kmid_core::door::peer::is_near(own) {
        return;
    }
    // A peer that no private network can have gets no answer in plain text.
    let mut afar = Connection::open(at(own, &daemon)).await;
    afar.send(&models(TOKEN)).await;
    assert!(afar.any_head().await.is_err());
    daemon.log_with("\"why\":\"plain_text\"").await;
    assert_eq!(upstream.at("/models").len(), 1);
}

#[tokio::test]
async fn tls_that_ends_on_this_machine_brings_its_own_names_and_needs_a_token() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_TLS_TERMINATED", "1");
    let daemon = setup.env("KMI_PROXY_TOKEN", TOKEN).start().await;
    assert_eq!(daemon.send(models(TOKEN)).await.status, 200);
    assert_eq!(daemon.send(models("wrong")).await.status, 401);
    let (ran, _home) =
        Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_TLS_TERMINATED", "1").fails().await;
    assert_eq!(ran.code, 64, "{ran:?}");
    assert!(ran.err.contains("KMI_PROXY_TOKEN"), "{}", ran.err);
}

#[tokio::test]
async fn a_client_from_afar_that_stops_in_its_body_is_cut_off() {
    let Some(own) = own_address() else { return };
    let upstream = Upstream::start().await;
    let extra = [("KMI_PROXY_REQUIRE_TLS", "0"), ("KMI_PROXY_CLIENT_IDLE_SECONDS", "1")];
    let daemon = open(&upstream, &extra).await;
    let mut connection = Connection::open(at(own, &daemon)).await;
    let request = Request::post("/chat/completions", &json!({"model": "x"})).field("x-api-key", TOKEN);
    connection.send_head(&request).await;
    let answer = connection.answer().await;
    assert_eq!((answer.status, answer.by_kmid()), (408, true), "{answer:?}");
    assert!(connection.closed().await);
}

#[tokio::test]
async fn the_last_token_cannot_be_taken_away_while_others_can_reach_the_proxy() {
    let upstream = Upstream::start().await;
    let env = format!(
        "KMI_PROXY_LISTEN=0.0.0.0:0\nKMI_PROXY_ALLOW_REMOTE=1\nKMI_PROXY_REQUIRE_TLS=0\nKMI_PROXY_TOKEN={TOKEN}\n"
    );
    let mut setup = Setup::live(&upstream).keys(&["alpha"]).file(".kmi/.env", env);
    setup = setup.without("KMI_PROXY_LISTEN");
    let daemon = setup.start().await;
    let near = at(loopback(), &daemon);
    assert_eq!(Connection::open(near).await.exchange(models(TOKEN)).await.status, 200);
    // Good settings for a listener on loopback; but the one at work is still open to others.
    daemon.home.write(".kmi/.env", "KMI_PROXY_LISTEN=127.0.0.1:0\n");
    let reloaded = daemon.rpc("daemon.reload", json!({})).await.unwrap();
    assert!(reloaded["issues"].to_string().contains("which needs KMI_PROXY_TOKEN"), "{reloaded}");
    assert_eq!(Connection::open(near).await.exchange(models(TOKEN)).await.status, 200);
    assert_eq!(Connection::open(near).await.exchange(models("")).await.status, 401);
}
