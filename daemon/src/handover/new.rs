//! The successor's side.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use kmid_core::session::{Home, MOST_SESSIONS};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::{Files, FromNew, FromOld, LONGEST_LINE, ToPredecessor, Yours, spawn};
use crate::inherited::Held;
use crate::state::{Late, LateFile, State};

/// The predecessor gets so long to write everything.
const PATIENCE: Duration = Duration::from_secs(30);

/// The conversation with the predecessor, until this process serves.
#[derive(Debug)]
pub struct Takeover(UnixStream);

impl Takeover {
    /// The end of it that this process was started with.
    ///
    /// # Errors
    /// When standard input is no socket.
    pub fn from_stdin() -> io::Result<Self> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        stream.peer_addr()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// In the first process that the running kmid has started: starts the one that takes over, by the same arguments and
    /// this flag, as nobody's child. This process is to end then.
    ///
    /// # Errors
    /// When it cannot be started; that is told, too.
    pub fn stand_alone(&mut self, flag: &str) -> io::Result<()> {
        match spawn::stand_alone(flag) {
            Ok(pid) => self.say(&FromNew::Started { pid }),
            Err(error) => {
                self.failed(&error.to_string());
                Err(error)
            }
        }
    }

    /// Says that this process can take over, and returns when everything is its own.
    ///
    /// # Errors
    /// When the predecessor is gone or has changed its mind.
    pub fn take(&mut self) -> io::Result<(File, Predecessor)> {
        let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), Some(std::process::id()));
        self.say(&FromNew::Prepared { version, pid })?;
        let lock = self.receive_lock()?;
        let mut reader = BufReader::new(self.0.try_clone()?);
        let mut homes = Vec::new();
        let yours = loop {
            let mut line = Vec::new();
            reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
            match serde_json::from_slice(&line)? {
                FromOld::Homes { homes: more } if homes.len() < MOST_SESSIONS => homes.extend(more),
                FromOld::Homes { .. } => {}
                FromOld::Yours(yours) => break yours,
                FromOld::Tells { .. } => {
                    return Err(io::Error::other("the running kmid speaks out of turn"));
                }
            }
        };
        // Nothing was read ahead: it tells no more before this process serves.
        Ok((lock, Predecessor { stream: reader.into_inner(), yours, homes, other_mode: false }))
    }

    /// Says that this process serves.
    ///
    /// # Errors
    /// When the predecessor is gone, and that is no reason to end: then this is the only one.
    pub fn serving(&mut self) -> io::Result<()> {
        self.say(&FromNew::Serving)
    }

    /// Says why this process ends.
    pub fn failed(&mut self, why: &str) {
        // Whoever does not hear it sees the end.
        let _ = self.say(&FromNew::Failed { why: why.to_owned() });
    }

    fn say(&mut self, message: &FromNew) -> io::Result<()> {
        self.0.write_all(&line_of(message)?)
    }

    fn receive_lock(&self) -> io::Result<File> {
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
        let rights = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        match rights {
            Some(lock) if received.bytes == 1 => Ok(lock.into()),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the running kmid has ended or gave up")),
        }
    }
}

/// The process that was this kmid before, and finishes its requests.
#[derive(Debug)]
pub struct Predecessor {
    stream: UnixStream,
    yours: Yours,
    homes: Vec<Home>,
    /// It answers from the simulator and this process does not, or the other way round.
    other_mode: bool,
}

impl Predecessor {
    /// The control socket's file is kmid's own.
    #[must_use]
    pub fn owns_socket(&self) -> bool {
        self.yours.owns_socket
    }

    /// Sockets that are a manager's.
    #[must_use]
    pub fn held(&self) -> Held {
        self.yours.held
    }

    /// How many processes still finish requests.
    #[must_use]
    pub fn behind(&self) -> u32 {
        self.yours.behind
    }

    /// Takes over the attempts that are under way and the homes of the sessions. The keys have to be known. With
    /// `other_mode`, one of the two processes answers from the simulator and the other does not: then what the keys meet
    /// there says nothing of them here, and only lines of the files are taken in.
    pub fn adopt(&mut self, state: &State, other_mode: bool) {
        self.other_mode = other_mode;
        if other_mode {
            return;
        }
        state.adopt(&self.yours.in_flight);
        state.learn_homes(std::mem::take(&mut self.homes));
    }

    /// Takes in what the predecessor tells, until it ends, and passes on `word`.
    pub async fn listen(self, state: Arc<State>, files: Files, word: ToPredecessor) {
        let clean = match self.converse(&state, &files, &word).await {
            Ok(clean) => clean,
            Err(error) => {
                tracing::warn!(%error, "kmid_predecessor_lost");
                false
            }
        };
        let cut_off = state.old_one_ended();
        if clean {
            tracing::info!(cut_off, "kmid_predecessor_ended");
        } else {
            tracing::warn!(cut_off, "kmid_predecessor_ended_early");
        }
    }

    async fn converse(self, state: &State, files: &Files, word: &ToPredecessor) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let (read, write) = tokio::net::UnixStream::from_std(self.stream)?.into_split();
        tokio::select! {
            clean = hear(read, state, files, self.other_mode) => clean,
            never = pass_on(write, word) => match never {},
        }
    }
}

/// Whether the predecessor said that it had done its work.
async fn hear(from: OwnedReadHalf, state: &State, files: &Files, other_mode: bool) -> io::Result<bool> {
    let mut lines = tokio::io::BufReader::new(from);
    let (mut line, mut clean) = (Vec::new(), false);
    loop {
        line.clear();
        if (&mut lines).take(LONGEST_LINE).read_until(b'\n', &mut line).await? == 0 {
            return Ok(clean);
        }
        match serde_json::from_slice(&line) {
            Ok(FromOld::Tells { what }) => {
                clean |= what == Late::Done;
                if other_mode && !matches!(what, Late::Line { .. }) {
                    continue;
                }
                if let Some((file, text)) = state.hear_late(what) {
                    files.push(file, text);
                }
            }
            Ok(FromOld::Yours(_) | FromOld::Homes { .. }) => {}
            // An older or newer kmid may know things that this one does not.
            Err(error) => tracing::warn!(%error, "kmid_predecessor_not_understood"),
        }
    }
}

async fn pass_on(mut to: OwnedWriteHalf, word: &ToPredecessor) -> Infallible {
    for (token, message) in [(&word.stopping, FromNew::Stopping), (&word.aborting, FromNew::Aborting)] {
        token.cancelled().await;
        if let Ok(line) = line_of(&message) {
            // One that is gone needs no word.
            let _ = to.write_all(&line).await;
        }
    }
    std::future::pending().await
}

fn line_of(message: &FromNew) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

impl Files {
    fn push(&self, file: LateFile, text: String) {
        match file {
            LateFile::Trace => self.trace.push(text),
            LateFile::App => self.app.push(text),
            LateFile::Daemon => self.daemon.push(text),
        }
    }
}
