use std::collections::VecDeque;

use kmi_proto::client::{Client, ClientError};
use kmi_proto::envelope::Request;
use kmi_proto::method::Empty;
use tokio::io::{AsyncBufReadExt, BufReader, DuplexStream};
use tokio::sync::mpsc;

use super::super::dispatch::Reply;
use super::*;

struct Echo;

impl Service for Echo {
    async fn call(&self, request: Request, _peer: Peer) -> Result<Reply, RpcError> {
        Ok(Reply::Result(request.params.unwrap_or_default()))
    }

    async fn stop(&self, _force: bool, _peer: Peer) {}
}

type Accepted = io::Result<(DuplexStream, Result<Peer, Refusal>)>;

/// Hands out what a test puts in, then waits for ever.
struct Scripted {
    accepts: tokio::sync::Mutex<mpsc::UnboundedReceiver<Accepted>>,
}

impl Accept for Scripted {
    type Stream = DuplexStream;

    async fn accept(&self) -> Accepted {
        match self.accepts.lock().await.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }
}

struct Running {
    accepts: mpsc::UnboundedSender<Accepted>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<usize>,
}

/// An accept loop; its task returns how many sessions were open at the end.
fn running() -> Running {
    let (accepts, receiver) = mpsc::unbounded_channel();
    let acceptor = Scripted { accepts: tokio::sync::Mutex::new(receiver) };
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let task = tokio::spawn(async move {
        let mut sessions = JoinSet::new();
        accept_loop(&acceptor, &Arc::new(Echo), &mut sessions, &token, &Pulse::default()).await;
        let open = sessions.len();
        drain(sessions).await;
        open
    });
    Running { accepts, cancel, task }
}

impl Running {
    fn connect(&self) -> BufReader<DuplexStream> {
        let (ours, theirs) = tokio::io::duplex(1024);
        self.accepts.send(Ok((theirs, Ok(Peer::default())))).unwrap();
        BufReader::new(ours)
    }
}

const REQUEST: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[5]}\n";

async fn echoes(stream: &mut BufReader<DuplexStream>) -> String {
    let mut line = String::new();
    if stream.get_mut().write_all(REQUEST).await.is_ok() {
        let _ = stream.read_line(&mut line).await;
    }
    line
}

#[tokio::test]
async fn failed_accepts_never_end_the_listener() {
    let running = running();
    // EMFILE on Linux, macOS and the BSDs.
    for _ in 0..3 {
        running.accepts.send(Err(io::Error::from_raw_os_error(24))).unwrap();
    }
    let mut client = running.connect();
    assert!(echoes(&mut client).await.contains("[5]"));
    running.accepts.send(Err(io::ErrorKind::ConnectionAborted.into())).unwrap();
    assert!(echoes(&mut running.connect()).await.contains("[5]"));
    running.cancel.cancel();
    running.task.await.unwrap();
}

#[tokio::test]
async fn the_65th_connection_is_told_so_and_a_closed_one_makes_room() {
    let running = running();
    let mut open: VecDeque<_> = (0..MAX_CONNECTIONS).map(|_| running.connect()).collect();
    let mut answer = String::new();
    let mut surplus = running.connect();
    surplus.read_line(&mut answer).await.unwrap();
    assert!(answer.contains("too_many_connections") && answer.contains("-32002"), "{answer}");
    answer.clear();
    assert_eq!(surplus.read_line(&mut answer).await.unwrap(), 0);
    // Those inside go on, and the place of one that leaves is free when its session has ended.
    assert!(echoes(&mut open[MAX_CONNECTIONS - 1]).await.contains("[5]"));
    drop(open.pop_front());
    while !echoes(&mut running.connect()).await.contains("[5]") {
        tokio::task::yield_now().await;
    }
    running.cancel.cancel();
    assert!(running.task.await.unwrap() >= MAX_CONNECTIONS - 1);
}

#[tokio::test]
async fn another_user_is_turned_away() {
    let running = running();
    let (ours, theirs) = tokio::io::duplex(1024);
    running.accepts.send(Ok((theirs, Err(Refusal::OtherUser { uid: 1001 })))).unwrap();
    let mut answer = String::new();
    BufReader::new(ours).read_line(&mut answer).await.unwrap();
    assert!(answer.contains("forbidden") && answer.contains("1001"), "{answer}");
    running.cancel.cancel();
    assert_eq!(running.task.await.unwrap(), 0);
}

/// The whole way over a real socket, with the blocking client of the protocol crate.
#[cfg(unix)]
#[tokio::test]
async fn over_a_real_socket() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("kmid.sock");
    let bound = bind(&path).unwrap();
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let serving = tokio::spawn(async move {
        let mut sessions = JoinSet::new();
        accept_loop(&bound, &Arc::new(Echo), &mut sessions, &token, &Pulse::default()).await;
        drain(sessions).await;
    });
    let at = path.clone();
    let talked = tokio::task::spawn_blocking(move || {
        let connect = || std::os::unix::net::UnixStream::connect(&at).unwrap();
        let kept: Vec<_> = (0..MAX_CONNECTIONS)
            .map(|place| {
                let mut client = Client::new(connect());
                let echoed: Vec<usize> = client.call("echo", &[place]).unwrap();
                assert_eq!(echoed, [place]);
                client
            })
            .collect();
        let error = Client::new(connect()).call::<_, Empty>("echo", &Empty {}).unwrap_err();
        drop(kept);
        error
    });
    let error = talked.await.unwrap();
    assert!(matches!(&error, ClientError::Rpc(error) if error.is(Kind::TooManyConnections)), "{error}");
    cancel.cancel();
    serving.await.unwrap();
    assert!(!path.exists());
}
