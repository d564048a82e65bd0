//! What the manager of a service is told, with the test in its place (sd_notify(3)).

use kmi_tests::harness::wait::within;
use kmi_tests::harness::{End, Request, Setup};
use kmi_tests::upstream::{ANY, Gate, Reply, Upstream};
use rustix::process::Signal;
use tokio::net::UnixDatagram;

#[tokio::test]
async fn a_drain_asks_for_the_time_that_the_settings_give_it() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_DRAIN_SECONDS", "120");
    let path = setup.home().path().join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let _reading = tokio::task::JoinSet::from_iter([async move {
        let mut message = [0; 4096];
        while let Ok(length) = manager.recv(&mut message).await {
            let _ = tell.send(String::from_utf8(message[..length].to_vec()).unwrap());
        }
    }]);
    let mut daemon = setup.env("NOTIFY_SOCKET", path.to_str().unwrap()).start().await;
    let gate = Gate::closed();
    let reply = Reply::sse().send("data: 1\n\n").wait(&gate).send("data: [DONE]\n\n");
    upstream.next(ANY, "/chat/completions", reply);
    let mut stream = daemon.connect().await;
    stream.send(&Request::chat_stream()).await;
    let head = stream.head().await;
    daemon.signal(Signal::TERM);
    let stopping = within("the word of the stop", async {
        loop {
            let message: String = told.recv().await.unwrap();
            if message.contains("STOPPING=1") {
                break message;
            }
        }
    })
    .await;
    // As much as a unit of these settings would have: the drain and 10 s.
    assert!(stopping.lines().any(|line| line == "EXTEND_TIMEOUT_USEC=130000000"), "{stopping}");
    gate.open();
    assert_eq!(stream.rest(head).await.end, End::Proper);
    assert!(daemon.ended().await.success());
}
