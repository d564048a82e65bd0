//! The predecessor's side.

use std::io::{BufRead as _, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use kmid_core::said::Said;
use kmid_core::say;
use kmid_core::session::Home;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::spawn::{self, Started};
use super::{Files, FromNew, FromOld, HOMES_A_LINE, LONGEST_LINE, Parts, RestartError, Succeeded, Yours};
use crate::instance::Instance;
use crate::state::{Late, LateFile, State};

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
    let (ours, theirs) = StdStream::pair().map_err(io_failed)?;
    ours.set_nonblocking(true).map_err(io_failed)?;
    let seen_by_its_end = ours.try_clone().map_err(io_failed)?;
    let stream = BufReader::new(UnixStream::from_std(ours).map_err(io_failed)?);
    let (parts, started) = spawn_blocking(move || {
        let started = spawn::start(&mut parts, seen_by_its_end, theirs);
        (parts, started)
    })
    .await
    .map_err(unfinished)?;
    let program = parts.program.display().to_string();
    let started = started.map_err(|error| {
        RestartError::Failed(say!(restart_program, program = program, why = Said::of_io(&error)))
    })?;
    let mut left = Left::not_yet(&parts, started);
    let why = match lead(&parts, stream, &mut left).await {
        Ok(succeeded) => return Ok(succeeded),
        Err(why) => why,
    };
    // It waits until the successor is gone, and nothing else may wait for that.
    spawn_blocking(move || {
        let mut left = left;
        match why {
            Why::Ended => RestartError::Failed(left.started.ended()),
            Why::Error(error) => error,
        }
    })
    .await
    .map_or_else(|error| Err(unfinished(error)), Err)
}

fn io_failed(error: std::io::Error) -> RestartError {
    RestartError::Failed(Said::of_io(&error))
}

/// A thread that was to do something ended before.
fn unfinished(error: JoinError) -> RestartError {
    RestartError::Failed(Said::plain(error.to_string()))
}

/// Why there is no successor.
enum Why {
    /// It ended by itself: how, it is to be asked.
    Ended,
    Error(RestartError),
}

impl From<RestartError> for Why {
    fn from(error: RestartError) -> Self {
        Self::Error(error)
    }
}

/// Leads a started successor to serving. What `left` holds at an error is still to be undone.
async fn lead(parts: &Parts, mut stream: BufReader<UnixStream>, left: &mut Left) -> Result<Succeeded, Why> {
    let prepared = Deadline::after(parts.limits.prepare);
    let version = match prepared.hear(&mut stream, &mut left.started, &parts.give_up).await? {
        FromNew::Prepared { version, pid } => {
            if let Some(pid) = pid {
                stands_alone(&mut left.started, pid).await;
            }
            version
        }
        other => return Err(unexpected(&other).into()),
    };
    tracing::info!(pid = left.started.pid(), program = %parts.program.display(), "kmid_successor_started");
    let Parts { state, files, instance, .. } = parts;
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
    // From here on more has to be undone than the start of a process.
    left.late = Some(late);
    let (leaving, to) = (Arc::clone(state), sender.clone());
    let kept = spawn_blocking(move || leaving.leave(to))
        .await
        .map_err(unfinished)?
        .map_err(|error| RestartError::NotSaved(error.to_string()))?;
    let yours = Yours {
        in_flight: kept.in_flight,
        owns_socket: parts.owns_socket,
        behind: parts.behind + 1,
        held: parts.held,
    };
    let lock = instance.share().map_err(io_failed)?;
    let serving = Deadline::after(parts.limits.serve);
    serving.keep(&parts.give_up, give(stream.get_mut(), &lock, kept.homes, yours)).await?;
    match serving.hear(&mut stream, &mut left.started, &parts.give_up).await? {
        FromNew::Serving => {}
        other => return Err(unexpected(&other).into()),
    }

    let stream = stream.into_inner().into_std().map_err(io_failed)?;
    stream.set_nonblocking(false).map_err(io_failed)?;
    stream.set_write_timeout(Some(STUCK)).map_err(io_failed)?;
    let (watched, kept) = (stream.try_clone().map_err(io_failed)?, stream.try_clone().map_err(io_failed)?);
    let (stopping, aborting) = (CancellationToken::new(), CancellationToken::new());
    let tokens = (stopping.clone(), aborting.clone());
    let watcher = thread("successor", move || watch(watched, &tokens.0, &tokens.1)).map_err(io_failed)?;
    let late = left.late.take().ok_or(RestartError::UnderWay)?;
    let pid = left.started.pid();
    left.started.let_go();
    // The thread waits for nothing else.
    let _ = go.send((stream, late));
    files.forward(&sender);
    instance.release();
    let relay = Relay { sender, stream: kept, threads: [teller, watcher] };
    Ok(Succeeded { pid, version, relay, stopping, aborting })
}

/// The successor is this process; the one that has only started it is ended.
async fn stands_alone(started: &mut Started, pid: u32) {
    if let Some(mut starter) = started.stands_alone(pid) {
        // It has done its part and ends by itself; a thread that panics leaves a zombie, and nothing else.
        let _ = spawn_blocking(move || starter.kill().and_then(|()| starter.wait())).await;
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Hears what the successor does, until its end.
fn watch(stream: StdStream, stopping: &CancellationToken, aborting: &CancellationToken) {
    let (mut stream, mut line) = (std::io::BufReader::new(stream), Vec::new());
    // An error is as good as the end.
    while matches!(stream.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line), Ok(read) if read > 0) {
        match serde_json::from_slice(&line) {
            Ok(FromNew::Stopping) => stopping.cancel(),
            Ok(FromNew::Aborting) => aborting.cancel(),
            _ => {}
        }
        line.clear();
    }
    stopping.cancel();
}

/// What is undone when this is dropped: the successor is ended, and where the state has left, with `late` in place, it is
/// taken back. That blocks.
struct Left {
    instance: Arc<Instance>,
    state: Arc<State>,
    files: Files,
    late: Option<Receiver<Late>>,
    started: Started,
}

impl Left {
    fn not_yet(parts: &Parts, started: Started) -> Self {
        let (instance, state) = (Arc::clone(&parts.instance), Arc::clone(&parts.state));
        Self { instance, state, files: parts.files.clone(), late: None, started }
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let Some(late) = self.late.take() else { return };
        // The order matters: one writer at a time.
        self.started.end();
        self.instance.renew();
        self.state.stay();
        take_back(&self.state, &late);
        self.files.resume();
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

impl Succeeded {
    /// Stops it: somebody meant both.
    pub fn stop(&self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // It may have ended by itself.
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
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

/// Until when the successor has to have come so far.
struct Deadline {
    patience: Duration,
    at: Instant,
}

impl Deadline {
    fn after(patience: Duration) -> Self {
        Self { patience, at: Instant::now() + patience }
    }

    /// What is done with the successor, in time and not given up.
    async fn keep<T>(
        &self,
        give_up: &CancellationToken,
        work: impl Future<Output = std::io::Result<T>>,
    ) -> Result<T, RestartError> {
        let done = tokio::select! {
            biased;
            () = give_up.cancelled() => Err(say!(restart_given_up)),
            done = timeout_at(self.at, work) => match done {
                Ok(done) => done.map_err(|error| Said::of_io(&error)),
                Err(_) => Err(say!(restart_not_ready, seconds = self.patience.as_secs_f64().to_string())),
            },
        };
        done.map_err(RestartError::Failed)
    }

    /// What it says next; who it is is taken in on the way.
    async fn hear(
        &self,
        stream: &mut BufReader<UnixStream>,
        started: &mut Started,
        give_up: &CancellationToken,
    ) -> Result<FromNew, Why> {
        loop {
            let mut line = Vec::new();
            let mut limited = stream.take(LONGEST_LINE);
            if self.keep(give_up, limited.read_until(b'\n', &mut line)).await? == 0 {
                return Err(Why::Ended);
            }
            match serde_json::from_slice(&line) {
                Ok(FromNew::Started { pid }) => stands_alone(started, pid).await,
                Ok(said) => return Ok(said),
                Err(_) => return Err(RestartError::Failed(say!(restart_other_protocol)).into()),
            }
        }
    }
}

fn unexpected(message: &FromNew) -> RestartError {
    RestartError::Failed(match message {
        FromNew::Failed { why } => Said::plain(why.as_str()),
        FromNew::Started { .. }
        | FromNew::Prepared { .. }
        | FromNew::Serving
        | FromNew::Stopping
        | FromNew::Aborting => say!(restart_out_of_turn),
    })
}

/// The lock, then everything that is not on the disk.
async fn give(
    stream: &mut UnixStream,
    lock: &std::fs::File,
    homes: Vec<Home>,
    yours: Yours,
) -> std::io::Result<()> {
    send_lock(stream, lock).await?;
    for homes in homes.chunks(HOMES_A_LINE) {
        stream.write_all(&line_of(&FromOld::Homes { homes: homes.to_vec() })?).await?;
    }
    stream.write_all(&line_of(&FromOld::Yours(yours))?).await
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
