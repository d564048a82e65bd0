//! Restarts that cannot be a handover, and what is told instead.

use kmi_tests::harness::{Request, Setup};
use serde_json::json;

const TOKEN: &str = "a-token-of-some-length";

fn listen(address: &str) -> String {
    let open = "KMI_PROXY_ALLOW_REMOTE=1\nKMI_PROXY_REQUIRE_TLS=0";
    format!("KMI_PROXY_LISTEN={address}\n{open}\nKMI_PROXY_TOKEN={TOKEN}\n")
}

#[tokio::test]
async fn another_host_on_the_same_port_needs_a_stop_and_a_start() {
    let setup = Setup::dry_run().keys(&["alpha"]).without("KMI_PROXY_LISTEN");
    let daemon = setup.file(".kmi/.env", listen("127.0.0.1:0")).start().await;
    let port = daemon.proxy().port();
    daemon.home.write(".kmi/.env", listen(&format!("0.0.0.0:{port}")));
    let error = daemon.rpc("daemon.restart", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), "unsupported", "{error:?}");
    assert!(error.message.contains("KMI_PROXY_LISTEN has changed"), "{error:?}");
    assert_eq!(daemon.send(Request::get("/models").field("x-api-key", TOKEN)).await.status, 200);

    let ran = daemon.kmi(&["proxy-restart"]).await;
    assert!(ran.code == 0 && ran.err.contains("stopped and started"), "{ran:?}\n{}", daemon.output());
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!((&status["proxy"]["host"], &status["proxy"]["port"]), (&json!("0.0.0.0"), &json!(port)));
}

#[tokio::test]
async fn one_whose_starter_waits_for_its_end_is_restarted_there() {
    let mut daemon = Setup::dry_run().keys(&["alpha"]).without_terminal().start().await;
    let error = daemon.rpc("daemon.restart", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), "managed", "{error:?}");
    let ran = daemon.kmi(&["proxy-restart"]).await;
    assert!(ran.code == 1 && ran.err.contains("restart it there"), "{ran:?}");
    assert!(ran.err.contains("is for what started kmid to do"), "{ran:?}");
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    assert_eq!(daemon.rpc("daemon.status", json!({})).await.unwrap()["daemon"]["pid"], daemon.pid());
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.ended().await.success());
}
