//! The predecessor's side.

use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::spawn::{self, Started};
use super::{Files, FromNew, FromOld, LONGEST_LINE, Parts, RestartError, Succeeded, Yours};
use crate::state::{Late, LateFile, State};

/// The successor gets so long to read its settings.
const PREPARE: Duration = Duration::from_secs(10);
/// And so long from there to serving: keys on a slow disk, a large state.
const SERVE: Duration = Duration::from_secs(30);
/// Things that wait to be told: some seconds of many requests while the successor starts.
const MOST_LATE: usize = 16_384;
/// A successor that reads nothing for so long is given up.
const STUCK: Duration = Duration::from_secs(30);

/// Starts the successor and hands everything over to it. Until it serves this process serves and, but for a moment,
/// writes. When anything fails, the successor is killed and all is as before. Not to be dropped midway: the last write
/// may be under way on another thread.
///
/// # Errors
/// Why there is no successor.
pub async fn hand_over(mut parts: Parts) -> Result<Succeeded, RestartError> {
    let io_failed = |error: std::io::Error| RestartError::Failed(error.to_string());
    let (ours, theirs) = StdStream::pair().map_err(io_failed)?;
    ours.set_nonblocking(true).map_err(io_failed)?;
    let mut stream = BufReader::new(UnixStream::from_std(ours).map_err(io_failed)?);
    let (parts, started) = spawn_blocking(move || {
        let started = spawn::start(&mut parts, theirs);
        (parts, started)
    })
    .await
    .map_err(|error| RestartError::Failed(error.to_string()))?;
    let program = parts.program.display();
    let mut started = started.map_err(|error| RestartError::Failed(format!("{program}: {error}")))?;
    tracing::info!(pid = started.pid(), program = %program, "kmid_successor_started");

    let version = match hear(&mut stream, PREPARE, &mut started, &parts.give_up).await? {
        FromNew::Prepared { version } => version,
        other => return Err(unexpected(&other)),
    };
    let Parts { state, files, instance, .. } = &parts;
    let (sender, late) = sync_channel(MOST_LATE);
    // Made now, so that nothing can fail when the successor serves.
    let (go, went) = sync_channel::<(StdStream, Receiver<Late>)>(1);
    let teller = thread("handover", move || {
        if let Ok((stream, late)) = went.recv() {
            tell(stream, &late);
        }
    })
    .map_err(io_failed)?;
    files.hold().await;
    // From here on whatever ends this function undoes it.
    let mut left = Left { parts: &parts, late: Some(late), started };
    let (leaving, to) = (std::sync::Arc::clone(state), sender.clone());
    let in_flight = spawn_blocking(move || leaving.leave(to))
        .await
        .map_err(|error| RestartError::Failed(error.to_string()))?
        .map_err(|error| RestartError::NotSaved(error.to_string()))?;
    let yours = Yours { in_flight, owns_socket: parts.owns_socket, behind: parts.behind + 1 };
    let lock = instance.share().map_err(io_failed)?;
    send_lock(stream.get_ref(), &lock).await.map_err(io_failed)?;
    let line = line_of(&FromOld::Yours(yours)).map_err(io_failed)?;
    stream.get_mut().write_all(&line).await.map_err(io_failed)?;
    match hear(&mut stream, SERVE, &mut left.started, &parts.give_up).await? {
        FromNew::Serving => {}
        other => return Err(unexpected(&other)),
    }

    let stream = stream.into_inner().into_std().map_err(io_failed)?;
    stream.set_nonblocking(false).map_err(io_failed)?;
    stream.set_write_timeout(Some(STUCK)).map_err(io_failed)?;
    let (watched, kept) = (stream.try_clone().map_err(io_failed)?, stream.try_clone().map_err(io_failed)?);
    let ended = CancellationToken::new();
    let gone = ended.clone();
    let watcher = thread("successor", move || watch(watched, &gone)).map_err(io_failed)?;
    let late = left.late.take().ok_or(RestartError::UnderWay)?;
    let pid = left.started.pid();
    left.started.let_go();
    drop(left);
    // The thread waits for nothing else.
    let _ = go.send((stream, late));
    files.forward(&sender);
    instance.release();
    Ok(Succeeded { pid, version, relay: Relay { sender, stream: kept, threads: [teller, watcher] }, ended })
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Waits for the successor's end.
fn watch(mut stream: StdStream, gone: &CancellationToken) {
    let mut rest = [0; 64];
    // It says nothing more; an error is as good as the end.
    while matches!(stream.read(&mut rest), Ok(read) if read > 0) {}
    gone.cancel();
}

/// The state has left; taken back when this is dropped with `late` still in place.
struct Left<'a> {
    parts: &'a Parts,
    late: Option<Receiver<Late>>,
    started: Started,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        let Some(late) = self.late.take() else { return };
        // The order matters: one writer at a time.
        self.started.ended();
        self.parts.instance.renew();
        self.parts.state.stay();
        take_back(&self.parts.state, &late);
        self.parts.files.resume();
    }
}

fn take_back(state: &State, late: &Receiver<Late>) {
    late.try_iter().for_each(|late| state.count_again(late));
}

impl Files {
    async fn hold(&self) {
        self.trace.hold().await;
        self.app.hold().await;
        self.daemon.hold().await;
    }

    fn resume(&self) {
        self.trace.resume();
        self.app.resume();
        self.daemon.resume();
    }

    fn forward(&self, to: &SyncSender<Late>) {
        for (log, file) in
            [(&self.trace, LateFile::Trace), (&self.app, LateFile::App), (&self.daemon, LateFile::Daemon)]
        {
            let to = to.clone();
            // Called on the log's own thread, which may wait.
            log.forward(move |line| to.send(Late::Line { file, text: line.to_owned() }).is_ok());
        }
    }
}

/// Tells the successor what happens, until it is closed.
#[derive(Debug)]
pub struct Relay {
    sender: SyncSender<Late>,
    stream: StdStream,
    threads: [JoinHandle<()>; 2],
}

impl Relay {
    /// Says that nothing more comes, and returns when all is told or the successor is gone. Blocks: call it where that is allowed.
    pub fn close(self) {
        // It fails only when the thread has ended.
        let _ = self.sender.send(Late::Done);
        let [teller, watcher] = self.threads;
        let _ = teller.join();
        // It ends the other one's reading.
        let _ = self.stream.shutdown(Shutdown::Both);
        let _ = watcher.join();
    }
}

fn tell(mut stream: StdStream, late: &Receiver<Late>) {
    while let Ok(what) = late.recv() {
        let done = what == Late::Done;
        let told = line_of(&FromOld::Tells { what }).and_then(|line| stream.write_all(&line));
        // When the successor is gone there is nobody to tell: what comes counts as lost by those who send it.
        if told.is_err() || done {
            return;
        }
    }
}

fn line_of(message: &FromOld) -> std::io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

async fn hear(
    stream: &mut BufReader<UnixStream>,
    patience: Duration,
    started: &mut Started,
    give_up: &CancellationToken,
) -> Result<FromNew, RestartError> {
    let mut line = Vec::new();
    let failed = |why: String| Err(RestartError::Failed(why));
    let mut limited = stream.take(LONGEST_LINE);
    let read = tokio::select! {
        biased;
        () = give_up.cancelled() => return failed("this kmid was told to stop meanwhile".to_owned()),
        read = timeout(patience, limited.read_until(b'\n', &mut line)) => read,
    };
    match read {
        Err(_) => failed(format!("it was not ready after {} s", patience.as_secs())),
        Ok(Err(error)) => failed(error.to_string()),
        Ok(Ok(0)) => failed(started.ended()),
        Ok(Ok(_)) => {
            serde_json::from_slice(&line).or_else(|_| failed("it speaks another protocol".to_owned()))
        }
    }
}

fn unexpected(message: &FromNew) -> RestartError {
    RestartError::Failed(match message {
        FromNew::Failed { why } => why.clone(),
        FromNew::Prepared { .. } | FromNew::Serving => "it speaks out of turn".to_owned(),
    })
}

/// One byte with the lock's descriptor beside it: the lock is then held by both, and never by nobody.
async fn send_lock(stream: &UnixStream, lock: &std::fs::File) -> std::io::Result<()> {
    stream
        .async_io(Interest::WRITABLE, || {
            let descriptors = [lock.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&descriptors));
            let sent =
                rustix::net::sendmsg(stream, &[IoSlice::new(b"\n")], &mut control, SendFlags::empty())?;
            if sent == 1 { Ok(()) } else { Err(std::io::ErrorKind::WriteZero.into()) }
        })
        .await
}
