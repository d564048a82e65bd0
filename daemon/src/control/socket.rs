//! Binding the control socket so that only this user can use it: a Unix half and a Windows half.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::tokio::Listener as _;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName};
use kmi_proto::endpoint::{self, EndpointError};

use crate::handover::Handle;
use crate::inherited::ControlListener;

/// How often the socket file is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Peer {
    /// The user's number, where the system tells it.
    pub(super) uid: Option<u32>,
}

/// Why a connection is turned away.
#[cfg_attr(windows, allow(dead_code, reason = "a pipe's descriptor refuses strangers by itself"))]
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Not the daemon's own user.
    #[error("user {uid} asked; only the user that runs kmid may")]
    OtherUser {
        /// Who it was.
        uid: u32,
    },
    /// The system did not say.
    #[error("the system does not say which user asked")]
    Unknown(#[source] io::Error),
}

/// Why the control socket cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system does not take this path.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Something else is there already.
    #[error(
        "{} exists and is not a socket, so it is left alone; move it away or set KMI_SOCKET to another path",
        .0.display()
    )]
    NotASocket(PathBuf),
    /// Its directory cannot be made.
    #[error("the directory {} for the control socket cannot be made; check its parent's permissions", path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket of an earlier run cannot be removed.
    #[error("the old socket {} cannot be removed; remove it or set KMI_SOCKET to another path", path.display())]
    Old {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Listening failed.
    #[error("kmid cannot listen on {}; check its directory or set KMI_SOCKET to another path", path.display())]
    Listen {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The control socket, bound and not yet served. Dropping it removes the socket file, if that is still the same one
/// and was not inherited.
#[derive(Debug)]
pub struct Bound {
    path: PathBuf,
    listener: Listener,
    file: os::File,
    share: Arc<Share>,
}

/// The control socket as a successor gets it: another one after its file was removed and it was bound anew.
#[derive(Debug, Default)]
pub struct Share {
    now: Mutex<Shared>,
    /// A successor is starting with it, or goes on with it.
    given: AtomicBool,
    /// Its file is to stay, because another process goes on with it.
    keep: AtomicBool,
}

#[derive(Debug, Default)]
struct Shared {
    copy: Option<Handle>,
    owns_file: bool,
}

impl Share {
    /// The socket once more, `None` where sockets are not passed on, and whether its file goes with it. From here on it
    /// is not bound anew, or the successor would hold a dead one: that is the successor's to do. Until
    /// [`Share::take_back`].
    ///
    /// # Errors
    /// As the system says.
    pub fn give(&self) -> io::Result<(Option<Handle>, bool)> {
        let now = self.now();
        self.given.store(true, Ordering::Relaxed);
        Ok((now.copy.as_ref().map(os::copy).transpose()?, now.owns_file))
    }

    /// There is no successor after all.
    pub fn take_back(&self) {
        self.given.store(false, Ordering::Relaxed);
    }

    /// The successor serves: the file is its own.
    pub fn leave(&self) {
        self.keep.store(true, Ordering::Relaxed);
        self.close();
    }

    /// Closes the copy: while one is open, the system goes on accepting.
    pub fn close(&self) {
        self.now().copy = None;
    }

    fn now(&self) -> MutexGuard<'_, Shared> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is(&self, listener: &Listener, file: &os::File) -> io::Result<()> {
        *self.now() = Shared { copy: os::handle(listener)?, owns_file: file.is_ours() };
        Ok(())
    }
}

/// Binds the control socket and takes the place of one that an earlier run left behind. Only for the holder of the
/// instance lock: a socket that another daemon still serves would be displaced, too.
///
/// # Errors
/// When the system does not take the path, something that is no socket is there, or listening fails.
pub fn bind(path: &Path) -> Result<Bound, BindError> {
    bind_as(path, Arc::default())
}

fn bind_as(path: &Path, share: Arc<Share>) -> Result<Bound, BindError> {
    let path = endpoint::address(path)?;
    os::make_way(&path)?;
    let failed = |source| BindError::Listen { path: path.clone(), source };
    let listener = os::listen(|| {
        let name = path.as_path().to_fs_name::<GenericFilePath>()?;
        Ok(ListenerOptions::new().name(name).reclaim_name(false))
    })
    .map_err(failed)?;
    let file = os::File::of(&path).map_err(failed)?;
    share.is(&listener, &file).map_err(failed)?;
    Ok(Bound { path, listener, file, share })
}

/// Takes a control socket that listens at `path` already (`crate::inherited`). Its file stays when kmid ends: it
/// belongs to the one that made it, unless that was a kmid that handed it over (`owned`). If somebody removed the file, nobody could connect, and the socket is bound anew.
///
/// # Errors
/// As for [`bind`].
pub fn adopt(listener: ControlListener, path: &Path, owned: bool) -> Result<Bound, BindError> {
    if !os::is_there(path) {
        tracing::warn!(path = %path.display(), "control_socket_removed");
        return bind(path);
    }
    let failed = |source| BindError::Listen { path: path.to_owned(), source };
    let listener = os::adopt(listener).map_err(failed)?;
    let file = if owned { os::File::of(path) } else { os::File::of_another(path) }.map_err(failed)?;
    let share = Arc::<Share>::default();
    share.is(&listener, &file).map_err(failed)?;
    Ok(Bound { path: path.to_owned(), listener, file, share })
}

impl Bound {
    /// The next connection, and whether it may speak.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Result<Peer, Refusal>)> {
        let stream = self.listener.accept().await?;
        let peer = os::check_peer(&stream);
        Ok((stream, peer))
    }

    /// Returns when somebody removed the socket file, and nothing else is in its place: nobody can connect any more.
    pub(super) async fn lost(&self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if !self.share.given.load(Ordering::Relaxed) && self.file.is_gone().await {
                return;
            }
        }
    }

    /// Binds again where it was.
    pub(super) fn restore(&mut self) -> Result<(), BindError> {
        let restored = bind_as(&self.path, Arc::clone(&self.share))?;
        self.file.forget();
        *self = restored;
        Ok(())
    }

    /// Removes the socket file, so that nobody connects any more.
    pub(super) fn remove_file(&mut self) {
        if !self.share.keep.load(Ordering::Relaxed) {
            self.file.remove();
        }
    }

    /// What a successor gets of it.
    #[must_use]
    pub fn share(&self) -> Arc<Share> {
        Arc::clone(&self.share)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.remove_file();
    }
}

#[cfg(unix)]
mod os {
    use std::fs::{self, DirBuilder, Permissions};
    use std::os::fd::{AsFd as _, OwnedFd};
    use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};

    use interprocess::local_socket::traits::StreamCommon;
    use interprocess::os::unix::local_socket::ListenerOptionsExt;

    use super::{
        BindError, ControlListener, Handle, Listener, ListenerOptions, Path, PathBuf, Peer, Refusal, Stream,
        io,
    };

    /// The socket file that was bound, by its place and by what it is.
    #[derive(Debug)]
    pub(super) struct File {
        path: PathBuf,
        identity: (u64, u64),
        removed: bool,
    }

    impl File {
        /// Also makes sure of its mode where binding could not.
        pub(super) fn of(path: &Path) -> io::Result<Self> {
            let meta = fs::symlink_metadata(path)?;
            if meta.permissions().mode() & 0o777 != 0o600 {
                fs::set_permissions(path, Permissions::from_mode(0o600))?;
            }
            Ok(Self { path: path.to_owned(), identity: (meta.dev(), meta.ino()), removed: false })
        }

        /// The file of an inherited socket: it is not ours to remove.
        pub(super) fn of_another(path: &Path) -> io::Result<Self> {
            Ok(Self { removed: true, ..Self::of(path)? })
        }

        pub(super) fn is_ours(&self) -> bool {
            !self.removed
        }

        /// It is gone already. The new one may have got its number.
        pub(super) fn forget(&mut self) {
            self.removed = true;
        }

        /// Whether the name is free. What somebody else put there is theirs.
        pub(super) async fn is_gone(&self) -> bool {
            let found = tokio::fs::symlink_metadata(&self.path).await;
            found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        }

        /// Leaves a successor's socket alone.
        pub(super) fn remove(&mut self) {
            let same = |meta: fs::Metadata| (meta.dev(), meta.ino()) == self.identity;
            if !self.removed && fs::symlink_metadata(&self.path).is_ok_and(same) {
                // Left behind, it is cleaned up by the next start.
                let _ = fs::remove_file(&self.path);
            }
            self.removed = true;
        }
    }

    /// Makes the directory and removes the socket of an earlier run.
    pub(super) fn make_way(path: &Path) -> Result<(), BindError> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(|source| BindError::Directory { path: parent.to_owned(), source })?;
        }
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.file_type().is_socket() => {
                fs::remove_file(path).map_err(|source| BindError::Old { path: path.to_owned(), source })
            }
            Ok(_) => Err(BindError::NotASocket(path.to_owned())),
            Err(_) => Ok(()),
        }
    }

    /// Binds with mode 0600 from the start where the system can: Linux, FreeBSD from 14.3, OpenBSD. macOS says
    /// `Unsupported` (interprocess 2.4 documentation, 2026-11): there the directory and the peer's uid are the guard
    /// until the mode is set.
    pub(super) fn listen<'a>(options: impl Fn() -> io::Result<ListenerOptions<'a>>) -> io::Result<Listener> {
        match options()?.mode(0o600).create_tokio() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => options()?.create_tokio(),
            bound => bound,
        }
    }

    pub(super) fn is_there(path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
    }

    pub(super) fn adopt(listener: ControlListener) -> io::Result<Listener> {
        use interprocess::os::unix::uds_local_socket::tokio::Listener as Unix;
        Ok(Listener::UdSocket(Unix::try_from(OwnedFd::from(listener))?))
    }

    pub(super) fn handle(listener: &Listener) -> io::Result<Option<Handle>> {
        let Listener::UdSocket(listener) = listener;
        listener.as_fd().try_clone_to_owned().map(Some)
    }

    pub(super) fn copy(handle: &Handle) -> io::Result<Handle> {
        handle.try_clone()
    }

    pub(super) fn check_peer(stream: &Stream) -> Result<Peer, Refusal> {
        let creds = stream.peer_creds().map_err(Refusal::Unknown)?;
        let Some(uid) = creds.euid() else {
            return Err(Refusal::Unknown(io::ErrorKind::Unsupported.into()));
        };
        if uid == rustix::process::geteuid().as_raw() {
            Ok(Peer { uid: Some(uid) })
        } else {
            Err(Refusal::OtherUser { uid })
        }
    }
}

#[cfg(windows)]
mod os {
    use interprocess::os::windows::local_socket::ListenerOptionsExt;

    use super::{
        BindError, ControlListener, Handle, Listener, ListenerOptions, Path, Peer, Refusal, Stream, io,
    };
    use crate::access_list::pipe_descriptor;

    /// Pipes have no file that could stay behind.
    #[derive(Debug)]
    pub(super) struct File;

    impl File {
        pub(super) fn of(_path: &Path) -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) fn of_another(path: &Path) -> io::Result<Self> {
            Self::of(path)
        }

        pub(super) fn is_ours(&self) -> bool {
            true
        }

        pub(super) fn forget(&mut self) {}

        pub(super) async fn is_gone(&self) -> bool {
            false
        }

        pub(super) fn remove(&mut self) {}
    }

    pub(super) fn is_there(_path: &Path) -> bool {
        true
    }

    pub(super) fn handle(_listener: &Listener) -> io::Result<Option<Handle>> {
        Ok(None)
    }

    pub(super) fn copy(handle: &Handle) -> io::Result<Handle> {
        match *handle {}
    }

    /// Nothing is inherited here.
    pub(super) fn adopt(listener: ControlListener) -> io::Result<Listener> {
        match listener {}
    }

    pub(super) fn make_way(_path: &Path) -> Result<(), BindError> {
        Ok(())
    }

    /// With a descriptor that names this user alone. A pipe of the same name that somebody else made before makes this
    /// fail: the first instance has to be ours (FILE_FLAG_FIRST_PIPE_INSTANCE, interprocess 2.4, 2026-11).
    pub(super) fn listen<'a>(options: impl Fn() -> io::Result<ListenerOptions<'a>>) -> io::Result<Listener> {
        options()?.security_descriptor(pipe_descriptor()?).create_tokio()
    }

    /// The descriptor has let only the user in.
    pub(super) fn check_peer(_stream: &Stream) -> Result<Peer, Refusal> {
        Ok(Peer::default())
    }
}

#[cfg(all(test, unix))]
#[path = "socket_tests.rs"]
mod tests;
