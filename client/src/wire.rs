//! The stream to the daemon: it ends at a process of the right user, and nothing on it takes longer than it may.
//!
//! A limit of the system's for each single read would not do: a peer that sends a byte, an empty line or a notification
//! now and then could hold a call for ever. So the span of an answer is counted here, over all that is read for it.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use os::Stream;

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as it takes.
    Endless,
    /// So long from the first byte of a question to the last one of its answer.
    Answer(Duration),
    /// So long for whatever comes next, for streams.
    Read(Duration),
}

/// The socket belongs to a process of another user. Whatever it says, nothing is to be told to it: it would get the
/// proxy's token, for one.
#[derive(Debug, thiserror::Error)]
#[error("user {uid} listens there")]
pub(crate) struct OtherUser {
    /// Who it is.
    pub(crate) uid: u32,
}

/// A connection. Its question begins with the first byte that is written after something was read.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    patience: Cell<Patience>,
    /// The end of the span under way, once it has begun.
    until: Cell<Option<Instant>>,
    /// Something was read since the last write.
    has_read: Cell<bool>,
}

impl Wire {
    /// Opens the socket or pipe at an address of [`kmi_proto::endpoint`], within `limit`; `None` when nobody listens.
    ///
    /// # Errors
    /// When there is something that cannot be connected to, takes too long (`TimedOut`), or is of [`OtherUser`].
    pub(crate) fn open(address: &Path, limit: Duration) -> io::Result<Option<Self>> {
        match os::connect(address, limit) {
            Ok(stream) => Ok(Some(Self {
                stream,
                patience: Cell::new(Patience::Answer(limit)),
                until: Cell::default(),
                has_read: Cell::default(),
            })),
            // Nobody listens: no socket, or one that a killed daemon left behind.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sets how long is waited from here on.
    pub(crate) fn wait(&self, patience: Patience) {
        self.patience.set(patience);
        self.until.set(None);
    }

    /// How long the next read or write may take.
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.patience.get() {
            Patience::Endless => Ok(None),
            Patience::Read(limit) => Ok(Some(limit)),
            Patience::Answer(limit) => {
                let now = Instant::now();
                let until = self.until.get().unwrap_or(now + limit);
                self.until.set(Some(until));
                match until.saturating_duration_since(now) {
                    Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
                    left => Ok(Some(left)),
                }
            }
        }
    }
}

impl Read for &Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.has_read.set(true);
        os::read(&self.stream, buf, self.left()?)
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.has_read.replace(false) {
            self.until.set(None);
        }
        os::write(&self.stream, buf, self.left()?)
    }

    /// Nothing is held back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
mod os {
    use std::io::{self, Read as _, Write as _};
    use std::path::Path;
    use std::time::Duration;

    pub(super) use interprocess::local_socket::Stream;
    use interprocess::local_socket::prelude::*;

    use super::OtherUser;

    pub(super) fn connect(address: &Path, limit: Duration) -> io::Result<Stream> {
        let stream = open(address, limit)?;
        let creds = stream.peer_creds()?;
        let uid = creds.euid().ok_or(io::ErrorKind::Unsupported)?;
        if may_listen(uid, rustix::process::geteuid().as_raw()) {
            Ok(stream)
        } else {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, OtherUser { uid }))
        }
    }

    /// Whom `own` talks to: itself, and root, who listens for a kmid that the system's service manager starts, and from
    /// whom nothing could be kept. To root the daemon of somebody else is a stranger's, too.
    pub(super) fn may_listen(uid: u32, own: u32) -> bool {
        uid == own || uid == 0
    }

    /// The system waits for a place in the listener's queue, and for no longer than the socket's own limit for sending
    /// (unix(7) does not say so; net/unix/af_unix.c, Linux 6.12, does). Not by the limit that interprocess has: there a
    /// full queue passes for a connection (2.4.7).
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn open(address: &Path, limit: Duration) -> io::Result<Stream> {
        use interprocess::os::unix::uds_local_socket::Stream as Unix;
        use rustix::net::sockopt::{Timeout, set_socket_timeout};
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
        let address = SocketAddrUnix::new(address)?;
        match rustix::io::retry_on_intr(|| connect(&socket, &address)) {
            Err(rustix::io::Errno::AGAIN) => Err(io::ErrorKind::TimedOut.into()),
            connected => Ok(Stream::UdSocket(connected.map(|()| Unix::from(socket))?)),
        }
    }

    /// Where nobody waits: a full queue is refused at once.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn open(address: &Path, _limit: Duration) -> io::Result<Stream> {
        use interprocess::local_socket::GenericFilePath;

        Stream::connect(address.to_fs_name::<GenericFilePath>()?)
    }

    pub(super) fn read(mut stream: &Stream, buf: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        stream.set_recv_timeout(limit)?;
        stream.read(buf)
    }

    pub(super) fn write(mut stream: &Stream, buf: &[u8], limit: Option<Duration>) -> io::Result<usize> {
        stream.set_send_timeout(limit)?;
        stream.write(buf)
    }
}

/// Named pipes have no limits of their own, so a thread waits. Who listens is not looked up: the pipe's name is all that
/// is known of it.
#[cfg(windows)]
mod os {
    use std::io::{self, Read as _, Write as _};
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use std::thread;
    use std::time::Duration;

    use interprocess::local_socket::GenericFilePath;
    use interprocess::local_socket::prelude::*;

    pub(super) type Stream = Arc<interprocess::local_socket::Stream>;

    pub(super) fn connect(address: &Path, limit: Duration) -> io::Result<Stream> {
        let address = address.to_owned();
        within(Some(limit), move || {
            let name = address.as_path().to_fs_name::<GenericFilePath>()?;
            interprocess::local_socket::Stream::connect(name).map(Arc::new)
        })
    }

    pub(super) fn read(stream: &Stream, buf: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        let (stream, length) = (Arc::clone(stream), buf.len());
        let bytes = within(limit, move || {
            let mut bytes = vec![0; length];
            let read = (&*stream).read(&mut bytes)?;
            bytes.truncate(read);
            Ok(bytes)
        })?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    pub(super) fn write(stream: &Stream, buf: &[u8], limit: Option<Duration>) -> io::Result<usize> {
        let (stream, bytes) = (Arc::clone(stream), buf.to_vec());
        within(limit, move || (&*stream).write(&bytes))
    }

    /// What was given up is thrown away when it comes; its thread ends with the connection or the process.
    fn within<T: Send + 'static>(
        limit: Option<Duration>,
        act: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let Some(limit) = limit else { return act() };
        let (done, result) = sync_channel(1);
        thread::Builder::new().name("pipe".into()).spawn(move || {
            let _ = done.send(act());
        })?;
        result.recv_timeout(limit).map_err(|_| io::ErrorKind::TimedOut)?
    }
}

#[cfg(all(test, unix))]
#[path = "wire_tests.rs"]
mod tests;
