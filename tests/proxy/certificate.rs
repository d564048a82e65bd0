//! The proxy's own TLS: versions, renewal without a restart, and what is said of its end.

use std::net::SocketAddr;

use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Connection, Daemon, Request, Setup};
use kmi_tests::upstream::Upstream;
use kmi_tests::upstream::tls::{Authority, client_config, client_config_for};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

const TOKEN: &str = "a-token-of-some-length";

async fn start(upstream: &Upstream, (certificate, key): &(String, String)) -> Daemon {
    let setup =
        Setup::live(upstream).keys(&["alpha"]).file("tls/cert.pem", certificate).file("tls/key.pem", key);
    let path = |name: &str| setup.home().path().join(name).display().to_string();
    let (certificate, key) = (path("tls/cert.pem"), path("tls/key.pem"));
    let setup = setup.env("KMI_PROXY_TLS_CERT", &certificate).env("KMI_PROXY_TLS_KEY", &key);
    setup.env("KMI_PROXY_TOKEN", TOKEN).start().await
}

fn models() -> Request {
    Request::get("/models").field("x-api-key", TOKEN)
}

fn local(daemon: &Daemon) -> SocketAddr {
    daemon.proxy()
}

/// What the status says of the certificate.
async fn told(daemon: &Daemon) -> Vec<Value> {
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    let issues = status["issues"].as_array().unwrap().iter();
    issues.filter(|issue| issue["kind"] == "certificate").cloned().collect()
}

#[tokio::test]
async fn both_versions_of_tls_and_no_older() {
    let upstream = Upstream::start().await;
    let authority = Authority::new();
    let daemon = start(&upstream, &authority.issue()).await;
    for version in [&TLS12, &TLS13] {
        for alpn in [&[][..], &[&b"http/1.1"[..]]] {
            let client = client_config_for(&authority.pem(), &[version], alpn);
            let mut connection = Connection::try_tls(local(&daemon), client).await.unwrap();
            assert_eq!(connection.exchange(models()).await.status, 200, "{version:?}");
        }
    }
    // TLS 1.1 in the record of a client hello: refused by an alert, or closed.
    let mut old = Connection::open(local(&daemon)).await;
    old.send_raw(&[22, 3, 1, 0, 4, 1, 0, 0, 0]).await.unwrap();
    let _ = old.any_head().await.unwrap_err();
}

#[tokio::test]
async fn a_new_certificate_serves_without_a_restart_and_a_bad_one_is_not_taken() {
    let upstream = Upstream::start().await;
    let (first, second) = (Authority::new(), Authority::new());
    let daemon = start(&upstream, &first.issue()).await;
    let mut old = Connection::open_tls(local(&daemon), &first.pem()).await;
    assert_eq!(old.exchange(models()).await.status, 200);
    assert_eq!(told(&daemon).await, Vec::<Value>::new());

    let (certificate, key) = second.issue();
    daemon.home.write("tls/key.pem", &key);
    daemon.home.write("tls/cert.pem", &certificate);
    let mut renewed = eventually("the new certificate", || async {
        Connection::try_tls(local(&daemon), client_config(&second.pem())).await.ok()
    })
    .await;
    assert_eq!(renewed.exchange(models()).await.status, 200);
    assert_eq!(old.exchange(models()).await.status, 200, "what is open goes on");
    assert!(Connection::try_tls(local(&daemon), client_config(&first.pem())).await.is_err());

    // Half written, then a key that does not fit: the pair that worked stays, and that is said.
    for (name, content) in
        [("tls/cert.pem", &certificate[..certificate.len() / 2]), ("tls/key.pem", "nonsense")]
    {
        daemon.home.write(name, content);
        let issues = eventually("the bad file to be told", || async {
            let issues = told(&daemon).await;
            (!issues.is_empty()).then_some(issues)
        })
        .await;
        let message = issues[0]["message"].as_str().unwrap();
        assert!(message.contains("stays in use") && !message.contains("nonsense"), "{message}");
        assert_eq!(issues[0]["level"], "error");
        assert!(Connection::try_tls(local(&daemon), client_config(&second.pem())).await.is_ok());
        daemon.home.write("tls/cert.pem", &certificate);
        daemon.home.write("tls/key.pem", &key);
        eventually("the good files to be read", || async { told(&daemon).await.is_empty().then_some(()) })
            .await;
    }
    // By a rename, as most programs that renew do it.
    let (certificate, key) = first.issue();
    for (name, content) in [("key", key), ("cert", certificate)] {
        let new = daemon.home.write(format!("tls/{name}.new"), content);
        std::fs::rename(new, daemon.home.path().join(format!("tls/{name}.pem"))).unwrap();
    }
    eventually("the certificate that was moved into place", || async {
        Connection::try_tls(local(&daemon), client_config(&first.pem())).await.ok()
    })
    .await;
}

#[tokio::test]
async fn its_end_is_told_ahead() {
    let upstream = Upstream::start().await;
    let authority = Authority::new();
    let daemon = start(&upstream, &authority.issue_for(5)).await;
    let issue = eventually("the warning", || async { told(&daemon).await.into_iter().next() }).await;
    assert_eq!(issue["level"], "warn");
    assert!(issue["message"].as_str().unwrap().contains("days"), "{issue}");
    for args in [&["status"][..], &["doctor"]] {
        let ran = daemon.kmi(args).await;
        assert!(ran.out.contains("renew it"), "{args:?}: {ran:?}");
    }
    let (certificate, key) = authority.issue_for(-1);
    daemon.home.write("tls/key.pem", &key);
    daemon.home.write("tls/cert.pem", &certificate);
    let ended = eventually("the end to be told", || async {
        told(&daemon).await.into_iter().find(|issue| issue["level"] == "error")
    })
    .await;
    assert!(ended["message"].as_str().unwrap().contains("ended"), "{ended}");
    assert!(Connection::try_tls(local(&daemon), client_config(&authority.pem())).await.is_err());
    let doctor = daemon.kmi(&["doctor", "--json"]).await;
    let checks: Value = serde_json::from_str(&doctor.out).unwrap();
    let check =
        checks["checks"].as_array().unwrap().iter().find(|check| check["name"] == "certificate").unwrap();
    assert_eq!(check["level"], "fail", "{check}");
    // A good one is enough to mend it.
    let (certificate, key) = authority.issue_for(90);
    daemon.home.write("tls/key.pem", &key);
    daemon.home.write("tls/cert.pem", &certificate);
    eventually("nothing to tell", || async { told(&daemon).await.is_empty().then_some(()) }).await;
    assert_eq!(
        Connection::open_tls(local(&daemon), &authority.pem()).await.exchange(models()).await.status,
        200
    );
}

#[tokio::test]
async fn clients_are_sent_to_a_name_that_the_certificate_has() {
    let upstream = Upstream::start().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["kmid.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let daemon = start(&upstream, &(certificate, key.serialize_pem())).await;
    let url = async || daemon.rpc("daemon.status", json!({})).await.unwrap()["proxy"]["url"].clone();
    let at = |host: &str| json!(format!("https://{host}:{}/kmi-rotor/v1", daemon.proxy().port()));
    assert_eq!(url().await, at("kmid.example"));
    let snippets = daemon.kmi(&["connect", "--show"]).await;
    assert!(snippets.out.contains(at("kmid.example").as_str().unwrap()), "{snippets:?}");

    let (certificate, key) = Authority::new().issue();
    daemon.home.write("tls/key.pem", key);
    daemon.home.write("tls/cert.pem", certificate);
    eventually("the other certificate", || async { (url().await == at("127.0.0.1")).then_some(()) }).await;
}
