//! Listening sockets that the daemon was started with: by systemd (`kmid.socket`), or by an older kmid that hands its
//! work over. Both speak the protocol of `sd_listen_fds(3)`:
//!
//! - the sockets are the descriptors from 3 on, without gaps, and without the close-on-exec flag;
//! - `LISTEN_FDS` is their number, `LISTEN_FDNAMES` their names in that order with colons between them:
//!   [`PROXY`], [`CONTROL`], [`METRICS`], each at most once, any of them may be missing;
//! - `LISTEN_PID` is the process that they are for. Whoever cannot know that number before the program runs leaves the
//!   variable out (or empty), and then they are for whoever reads it. With another number they are not ours, and
//!   nothing is taken.
//!
//! What is missing is bound as always. An inherited socket has to listen where the settings say: a daemon on another
//! address than it tells would be a trap, and one that other machines reach has rules of its own. What a name resolves to
//! may have changed, so that one is taken from an older kmid alone, which has found it unchanged ([`place`]). A starter
//! whose settings have moved on leaves that socket out of the list.
//!
//! The file of an inherited control socket is not removed, not at the end either: it belongs to the one that made it. A
//! kmid that made it and hands it over says so (`crate::handover`), and then it goes with the last one.

use std::net::{IpAddr, SocketAddr, TcpListener};

use kmid_config::settings::{ListenAddr, Settings};
use serde::{Deserialize, Serialize};

/// Name of the proxy's listener in `LISTEN_FDNAMES`.
pub const PROXY: &str = "proxy";
/// Name of the control socket's listener.
pub const CONTROL: &str = "control";
/// Name of the metrics' listener.
pub const METRICS: &str = "metrics";

/// The first descriptor of the protocol.
#[cfg(unix)]
pub const FIRST: std::os::fd::RawFd = 3;

/// A listening control socket.
#[cfg(unix)]
pub type ControlListener = std::os::unix::net::UnixListener;
/// Pipes are not inherited.
#[cfg(not(unix))]
pub type ControlListener = std::convert::Infallible;

/// Sockets that listen already. Their descriptors close when a program is started from here on.
#[derive(Debug, Default)]
pub struct Inherited {
    /// KMI_PROXY_LISTEN
    pub proxy: Option<TcpListener>,
    /// KMI_SOCKET
    pub control: Option<ControlListener>,
    /// KMI_METRICS_LISTEN
    pub metrics: Option<TcpListener>,
}

/// Sockets that a manager holds: whatever kmid does, they go on listening where they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    /// KMI_PROXY_LISTEN
    pub proxy: bool,
    /// KMI_SOCKET
    pub control: bool,
    /// KMI_METRICS_LISTEN
    pub metrics: bool,
}

impl Held {
    /// All that a manager has started kmid with.
    #[must_use]
    pub fn of(inherited: &Inherited) -> Self {
        Self {
            proxy: inherited.proxy.is_some(),
            control: inherited.control.is_some(),
            metrics: inherited.metrics.is_some(),
        }
    }
}

/// What was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// The list and the names do not fit.
    #[error(
        "kmid was started with {sockets} sockets and {names} names for them (LISTEN_FDS, LISTEN_FDNAMES); give each \
         one a name, with FileDescriptorName= in a systemd socket unit"
    )]
    Count {
        /// LISTEN_FDS
        sockets: usize,
        /// LISTEN_FDNAMES
        names: usize,
    },
    /// Nothing of kmid's has that name.
    #[error(
        "kmid was started with a socket named {0:?}, which it does not know; name it proxy, control or metrics, with \
         FileDescriptorName= in a systemd socket unit"
    )]
    Unknown(String),
    /// One name, two sockets.
    #[error("kmid was started with two sockets named {0:?}; it listens on one of each, so remove the other")]
    Twice(&'static str),
    /// A file, a pipe, a datagram socket, a connection.
    #[error(
        "the socket named {name:?} that kmid was started with is not a listening {wanted} socket ({why})"
    )]
    Kind {
        /// Its name.
        name: &'static str,
        /// What it has to be.
        wanted: &'static str,
        /// What the check said.
        why: String,
    },
    /// It listens somewhere else than the settings say.
    #[error(
        "the socket named {name:?} that kmid was started with listens on {listens}, but {variable} is {wanted}; make \
         the two equal: `kmi service install` writes the service anew"
    )]
    Address {
        /// Its name.
        name: &'static str,
        /// Where it listens.
        listens: String,
        /// The setting.
        variable: &'static str,
        /// What the setting says.
        wanted: String,
    },
}

impl Inherited {
    /// Takes the sockets that this process was started with, once: `LISTEN_FDS` and `LISTEN_PID` are gone afterwards.
    /// To be called before any thread is started, because the environment is changed. Without the variables nothing
    /// is inherited.
    ///
    /// # Errors
    /// When a socket has no name that is known, is of another kind, or listens elsewhere than `settings` say.
    #[cfg(unix)]
    pub fn take(settings: &Settings, giver: Giver) -> Result<Self, InheritError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let inherited = unix::take(&names, &mut listenfd::ListenFd::from_env())?;
        inherited.check(settings, giver)?;
        Ok(inherited)
    }

    /// Windows knows no such thing.
    ///
    /// # Errors
    /// Never.
    #[cfg(not(unix))]
    pub fn take(_settings: &Settings, _giver: Giver) -> Result<Self, InheritError> {
        Ok(Self::default())
    }

    /// Whether every socket listens where the settings say.
    #[cfg_attr(not(unix), allow(dead_code, reason = "nothing is inherited there"))]
    fn check(&self, settings: &Settings, giver: Giver) -> Result<(), InheritError> {
        let metrics = settings.metrics_listen.as_ref();
        check_tcp(PROXY, "KMI_PROXY_LISTEN", self.proxy.as_ref(), Some(&settings.proxy_listen), giver)?;
        check_tcp(METRICS, "KMI_METRICS_LISTEN", self.metrics.as_ref(), metrics, giver)?;
        #[cfg(unix)]
        unix::check_control(self.control.as_ref(), &settings.socket)?;
        Ok(())
    }
}

/// Who has started this process with sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Giver {
    /// systemd, or whoever else speaks its protocol.
    Manager,
    /// An older kmid, which has compared the settings ([`place`]).
    Kmid,
}

/// What a socket of ours is to a successor with other settings.
#[cfg(unix)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where it wants to listen.
    Same,
    /// In its way: the same port on another host, and one of the two may be all addresses.
    InTheWay,
    /// None of its business.
    Other,
}

/// Where a socket, bound by the setting `was`, stands to the setting `wanted`. A host that is written as it was is the
/// same one, a name too.
///
/// # Errors
/// When the socket has no address.
#[cfg(unix)]
pub fn place(
    socket: &std::os::fd::OwnedFd,
    was: Option<&ListenAddr>,
    wanted: Option<&ListenAddr>,
) -> std::io::Result<Place> {
    let listens = TcpListener::from(socket.try_clone()?).local_addr()?;
    let Some(wanted) = wanted else { return Ok(Place::Other) };
    let same_host = was.is_some_and(|was| was.host == wanted.host);
    Ok(match (wanted.port, same_host) {
        (0, true) => Place::Same,
        (port, true) if port == listens.port() => Place::Same,
        _ if is_at(listens, wanted) => Place::Same,
        (port, _) if port == listens.port() => Place::InTheWay,
        _ => Place::Other,
    })
}

fn check_tcp(
    name: &'static str,
    variable: &'static str,
    listener: Option<&TcpListener>,
    wanted: Option<&ListenAddr>,
    giver: Giver,
) -> Result<(), InheritError> {
    let Some(listener) = listener else { return Ok(()) };
    let listens = listener.local_addr().map_err(|error| not_tcp(name, error.to_string()))?;
    match wanted {
        Some(wanted) if is_at(listens, wanted) => Ok(()),
        Some(wanted) if giver == Giver::Kmid && host_ip(wanted).is_none() && fits_port(listens, wanted) => {
            Ok(())
        }
        wanted => Err(InheritError::Address {
            name,
            listens: listens.to_string(),
            variable,
            wanted: wanted.map_or_else(|| "empty".to_owned(), ToString::to_string),
        }),
    }
}

fn is_at(listens: SocketAddr, wanted: &ListenAddr) -> bool {
    let same_host = match host_ip(wanted) {
        Some(ip) => ip == listens.ip(),
        None => wanted.host.eq_ignore_ascii_case("localhost") && listens.ip().is_loopback(),
    };
    same_host && fits_port(listens, wanted)
}

/// The host as an address; `None` for a name.
fn host_ip(listen: &ListenAddr) -> Option<IpAddr> {
    listen.host.trim_matches(['[', ']']).parse().ok()
}

/// A port of 0 in the settings is any port.
fn fits_port(listens: SocketAddr, wanted: &ListenAddr) -> bool {
    wanted.port == 0 || wanted.port == listens.port()
}

fn not_tcp(name: &'static str, why: String) -> InheritError {
    InheritError::Kind { name, wanted: "TCP", why }
}

#[cfg(unix)]
mod unix {
    use std::os::fd::AsFd;
    use std::path::{Path, PathBuf};

    use listenfd::ListenFd;

    use super::{CONTROL, ControlListener, InheritError, Inherited, METRICS, PROXY, TcpListener, not_tcp};

    pub(super) fn take(names: &str, sockets: &mut ListenFd) -> Result<Inherited, InheritError> {
        let mut inherited = Inherited::default();
        if sockets.len() == 0 {
            return Ok(inherited);
        }
        let names: Vec<&str> = names.split(':').collect();
        if names.len() != sockets.len() {
            return Err(InheritError::Count { sockets: sockets.len(), names: names.len() });
        }
        for (index, name) in names.into_iter().enumerate() {
            match name {
                PROXY => put(PROXY, &mut inherited.proxy, tcp(PROXY, sockets, index)?)?,
                METRICS => put(METRICS, &mut inherited.metrics, tcp(METRICS, sockets, index)?)?,
                CONTROL => put(CONTROL, &mut inherited.control, control(sockets, index)?)?,
                unknown => return Err(InheritError::Unknown(unknown.to_owned())),
            }
        }
        Ok(inherited)
    }

    fn put<T>(name: &'static str, place: &mut Option<T>, socket: T) -> Result<(), InheritError> {
        match place.replace(socket) {
            None => Ok(()),
            Some(_) => Err(InheritError::Twice(name)),
        }
    }

    fn tcp(name: &'static str, sockets: &mut ListenFd, index: usize) -> Result<TcpListener, InheritError> {
        let taken = sockets.take_tcp_listener(index).map_err(|error| not_tcp(name, error.to_string()))?;
        let listener = taken.ok_or_else(|| not_tcp(name, "it is not there".to_owned()))?;
        match listens(&listener) {
            true => Ok(listener),
            false => Err(not_tcp(name, "it does not listen".to_owned())),
        }
    }

    fn control(sockets: &mut ListenFd, index: usize) -> Result<ControlListener, InheritError> {
        let taken = sockets.take_unix_listener(index).map_err(|error| not_unix(error.to_string()))?;
        let listener = taken.ok_or_else(|| not_unix("it is not there".to_owned()))?;
        match listens(&listener) {
            true => Ok(listener),
            false => Err(not_unix("it does not listen".to_owned())),
        }
    }

    fn not_unix(why: String) -> InheritError {
        InheritError::Kind { name: CONTROL, wanted: "Unix stream", why }
    }

    /// macOS does not tell (rustix 1.1, 2026-11): there the first `accept` would.
    fn listens(socket: impl AsFd) -> bool {
        #[cfg(not(target_vendor = "apple"))]
        let answer = rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false);
        #[cfg(target_vendor = "apple")]
        let answer = socket.as_fd().try_clone_to_owned().is_ok();
        answer
    }

    pub(super) fn check_control(
        listener: Option<&ControlListener>,
        wanted: &Path,
    ) -> Result<(), InheritError> {
        let Some(listener) = listener else { return Ok(()) };
        let address = listener.local_addr().map_err(|error| not_unix(error.to_string()))?;
        match address.as_pathname() {
            Some(path) if real(path) == real(wanted) => Ok(()),
            path => Err(InheritError::Address {
                name: CONTROL,
                listens: path.map_or_else(|| "no path".to_owned(), |path| path.display().to_string()),
                variable: "KMI_SOCKET",
                wanted: wanted.display().to_string(),
            }),
        }
    }

    /// With the links of its directory followed: a home may be one.
    fn real(path: &Path) -> PathBuf {
        match (path.parent().and_then(|parent| parent.canonicalize().ok()), path.file_name()) {
            (Some(parent), Some(name)) => parent.join(name),
            _ => path.to_owned(),
        }
    }
}

#[cfg(all(test, unix))]
#[path = "inherited_tests.rs"]
mod tests;
