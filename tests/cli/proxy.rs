//! `proxy`, `proxy-stop`, `proxy-restart`, starting on demand, `kimi`.

use kmi_tests::harness::control::Control;
use kmi_tests::harness::home::Home;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Request, Setup, cli, process};
use serde_json::json;

/// Ends the daemon of a HOME that `kmi` started, whatever the test does.
struct Stop(u32);

impl Drop for Stop {
    fn drop(&mut self) {
        process::signal(self.0, rustix::process::Signal::KILL);
    }
}

async fn pid(home: &Home) -> u32 {
    let mut control = Control::connect(&home.socket()).await.unwrap();
    let status = control.call("daemon.status", json!({})).await.unwrap();
    u32::try_from(status["daemon"]["pid"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn proxy_starts_one_in_the_background_and_stop_ends_it() {
    let home = Home::new();
    home.write_key("alpha", "sk-kimi-alpha-0123456789");
    let ran = cli::kmi(&home, &["proxy"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let first = pid(&home).await;
    let _stop = Stop(first);
    assert!(ran.out.contains("http://127.0.0.1:") && ran.out.contains("/kmi-rotor/v1"), "{}", ran.out);
    // A second one finds it running.
    assert_eq!(cli::kmi(&home, &["proxy"]).await.code, 0);
    assert_eq!(pid(&home).await, first);
    let ran = cli::kmi(&home, &["proxy-restart"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let second = pid(&home).await;
    let _stop = Stop(second);
    assert_ne!(first, second);
    let ran = cli::kmi(&home, &["proxy-stop", "-y"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    eventually("the daemon to be gone", || async {
        Control::connect(&home.socket()).await.is_err().then_some(())
    })
    .await;
    assert_eq!(cli::kmi(&home, &["status"]).await.code, 3);
}

#[tokio::test]
async fn commands_start_it_on_demand_unless_told_not_to() {
    let home = Home::new();
    home.write_key("alpha", "sk-kimi-alpha-0123456789");
    let quiet = cli::kmi(&home, &["health", "--no-start"]).await;
    assert_eq!(quiet.code, 3, "{quiet:?}");
    let ran = cli::kmi(&home, &["health"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let _stop = Stop(pid(&home).await);
    assert_eq!(ran.err.lines().count(), 1, "one line on stderr: {}", ran.err);
    assert!(ran.out.contains("alpha"));
    cli::kmi(&home, &["proxy-stop", "-y", "-f"]).await;
}

#[tokio::test]
async fn several_at_once_share_the_one_that_comes_up() {
    let home = Home::new();
    home.write_key("alpha", "sk-kimi-alpha-0123456789");
    let args = &["health"][..];
    let kmi = || cli::kmi(&home, args);
    let (a, b, c, d, e, f) = tokio::join!(kmi(), kmi(), kmi(), kmi(), kmi(), kmi());
    let _stop = Stop(pid(&home).await);
    for ran in [a, b, c, d, e, f] {
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.contains("alpha"), "{ran:?}");
        assert!(!ran.err.contains("already uses") && ran.err.lines().count() <= 1, "{}", ran.err);
    }
    cli::kmi(&home, &["proxy-stop", "-y", "-f"]).await;
}

#[tokio::test]
async fn one_that_another_kmid_keeps_from_starting_says_so() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    // The same state directory, and a socket at which nobody listens.
    let other = daemon.home.path().join("other.sock").display().to_string();
    let ran = cli::kmi(&daemon.home, &["--socket", &other, "proxy"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("already uses") && ran.err.contains("75"), "{}", ran.err);
}

#[tokio::test]
async fn a_port_taken_by_another_program_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let home = Home::new().env("KMI_PROXY_LISTEN", &address);
    home.write_key("alpha", "sk-kimi-alpha-0123456789");
    let ran = cli::kmi(&home, &["proxy"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains(&address), "{}", ran.err);
}

#[tokio::test]
async fn stop_drains_and_force_does_not() {
    let upstream = kmi_tests::upstream::Upstream::start().await;
    let never = kmi_tests::upstream::Gate::closed();
    let reply = kmi_tests::upstream::Reply::sse().send("data: 1\n\n").wait(&never);
    upstream.next(kmi_tests::upstream::ANY, "/chat/completions", reply);
    let mut daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let mut connection = daemon.connect().await;
    connection.send(&Request::chat_stream()).await;
    connection.head().await;
    let ran = daemon.kmi(&["proxy-stop", "-y", "-f"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    daemon.ended().await;
}

#[tokio::test]
async fn kimi_runs_the_client_with_the_proxy_wired_in_and_its_exit_status() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let fake = daemon.home.program("bin/kimi", "#!/bin/sh\nenv | sort\necho \"args: $*\"\nexit 42\n");
    let path = format!("{}:{}", fake.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let kmi = kmi_tests::harness::binaries::binaries().kmi.display().to_string();
    let script = format!("PATH='{path}' exec '{kmi}' kimi --print 'hello there'");
    let ran = cli::run(&daemon.home, std::path::Path::new("/bin/sh"), &["-c", &script], "").await;
    assert_eq!(ran.code, 42, "{ran:?}");
    assert!(ran.out.contains("args: --print hello there"), "{}", ran.out);
    let url = format!("http://127.0.0.1:{}/kmi-rotor/v1", daemon.proxy().port());
    for name in ["KIMI_BASE_URL", "KIMI_MODEL_BASE_URL"] {
        assert!(ran.out.contains(&format!("{name}={url}")), "{name}: {}", ran.out);
    }
    assert!(!ran.out.contains("sk-kimi-alpha"), "the client got a real key");
}
