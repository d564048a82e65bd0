//! The successor's side.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

use super::{Files, FromNew, FromOld, LONGEST_LINE, Yours};
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

    /// Says that this process can take over, and returns when everything is its own.
    ///
    /// # Errors
    /// When the predecessor is gone or has changed its mind.
    pub fn take(&mut self) -> io::Result<(File, Predecessor)> {
        self.say(&FromNew::Prepared { version: env!("CARGO_PKG_VERSION").to_owned() })?;
        let lock = self.receive_lock()?;
        let mut reader = BufReader::new(self.0.try_clone()?);
        let mut line = Vec::new();
        reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        let FromOld::Yours(yours) = serde_json::from_slice(&line)? else {
            return Err(io::Error::other("the running kmid speaks out of turn"));
        };
        // Nothing was read ahead: it tells no more before this process serves.
        Ok((lock, Predecessor { stream: reader.into_inner(), yours }))
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
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.0.write_all(&line)
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
}

impl Predecessor {
    /// The control socket's file is kmid's own.
    #[must_use]
    pub fn owns_socket(&self) -> bool {
        self.yours.owns_socket
    }

    /// How many processes still finish requests.
    #[must_use]
    pub fn behind(&self) -> u32 {
        self.yours.behind
    }

    /// Takes over the attempts that are under way. The keys have to be known.
    pub fn adopt(&self, state: &State) {
        state.adopt(&self.yours.in_flight);
    }

    /// Takes in what the predecessor tells, until it ends.
    pub async fn listen(self, state: Arc<State>, files: Files) {
        let clean = match self.hear(&state, &files).await {
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

    /// Whether it said that it had done its work.
    async fn hear(self, state: &State, files: &Files) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let mut lines = tokio::io::BufReader::new(tokio::net::UnixStream::from_std(self.stream)?);
        let (mut line, mut clean) = (Vec::new(), false);
        loop {
            line.clear();
            if (&mut lines).take(LONGEST_LINE).read_until(b'\n', &mut line).await? == 0 {
                return Ok(clean);
            }
            match serde_json::from_slice(&line) {
                Ok(FromOld::Tells { what }) => {
                    clean |= what == Late::Done;
                    if let Some((file, text)) = state.hear_late(what) {
                        files.push(file, text);
                    }
                }
                Ok(FromOld::Yours(_)) => {}
                // An older or newer kmid may know things that this one does not.
                Err(error) => tracing::warn!(%error, "kmid_predecessor_not_understood"),
            }
        }
    }
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
