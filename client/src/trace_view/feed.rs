//! What the screen is fed with: two threads, two connections, one bounded channel.
//!
//! One thread waits for finished requests, the other asks for keys and status each second; both connect again by
//! themselves when the daemon is gone. They end with the process or with the receiver, and own nothing else.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use kmi_proto::client::{Client, ClientError, Event};
use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::Status;
use kmi_proto::methods::keys::{KeyList, ListParams};
use kmi_proto::methods::requests::{TailParams, TraceEntry};
use kmid_core::said::Said;

use crate::connect::Daemon;
use crate::rehearsal;
use crate::wire::{Patience, Wire};

/// How often keys and status are asked for, and how long after a loss it is tried again.
const PACE: Duration = Duration::from_secs(1);

/// How long a connection and an answer on it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Updates that wait for the screen. When it is full the reader waits too, and the daemon counts what it drops.
const WAITING: usize = 256;

/// Something new from the daemon.
#[derive(Debug)]
pub(crate) enum Update {
    /// The stream of requests is open.
    Live,
    /// It is gone; it is tried again.
    Lost(Lost),
    /// A request finished.
    Entry(Box<TraceEntry>),
    /// So many finished requests are missing: the daemon dropped them, or they are of another version.
    Missed(u64),
    /// Keys and status.
    Figures(Box<Figures>),
}

/// Why there is no stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nobody listens.
    NotRunning,
    /// The daemon ended the stream or the connection.
    Closed,
    /// Anything else.
    Broken(Said),
}

/// Keys and status of one moment.
#[derive(Debug)]
pub(crate) struct Figures {
    /// The keys.
    pub(crate) keys: KeyList,
    /// The daemon.
    pub(crate) status: Status,
}

/// The screen is gone, so nothing more is to be done.
#[derive(Debug)]
struct ScreenGone;

/// Starts both threads.
///
/// # Errors
/// When the system has no thread to give.
pub(crate) fn start(address: PathBuf, params: TailParams) -> io::Result<Receiver<Update>> {
    let (updates, receiver) = sync_channel(WAITING);
    let (for_figures, its_address) = (updates.clone(), address.clone());
    thread::Builder::new().name("requests".into()).spawn(move || {
        while let Ok(lost) = tail(&address, &params, &updates) {
            if updates.send(Update::Lost(lost)).is_err() {
                break;
            }
            thread::sleep(PACE);
        }
    })?;
    thread::Builder::new().name("figures".into()).spawn(move || {
        // A loss is the other thread's to tell.
        while poll(&its_address, &for_figures).is_ok() {
            thread::sleep(PACE);
        }
    })?;
    Ok(receiver)
}

/// Hands finished requests on until the stream is lost.
fn tail(address: &Path, params: &TailParams, updates: &SyncSender<Update>) -> Result<Lost, ScreenGone> {
    let send = |update| updates.send(update).map_err(|_| ScreenGone);
    let mut daemon = match open(address) {
        Ok(daemon) => daemon,
        Err(lost) => return Ok(lost),
    };
    let events = match daemon.stream("requests.tail", params) {
        Ok(events) => events,
        Err(error) => return Ok(Lost::from(error)),
    };
    // Between two requests any time may pass.
    events.get_ref().wait(Patience::Endless);
    send(Update::Live)?;
    rehearsal::panic_at("feed");
    for event in events {
        match event {
            Ok(Event::Item(item)) => match serde_json::from_value(item) {
                Ok(entry) => send(Update::Entry(Box::new(entry)))?,
                Err(_) => send(Update::Missed(1))?,
            },
            Ok(Event::Dropped(count)) => send(Update::Missed(count))?,
            Ok(Event::End(_)) => break,
            Err(error) => return Ok(Lost::from(error)),
        }
    }
    Ok(Lost::Closed)
}

/// Hands keys and status on until the connection is lost.
fn poll(address: &Path, updates: &SyncSender<Update>) -> Result<(), ScreenGone> {
    let Ok(mut daemon) = open(address) else { return Ok(()) };
    while let Ok(figures) = ask(&mut daemon) {
        updates.send(Update::Figures(Box::new(figures))).map_err(|_| ScreenGone)?;
        thread::sleep(PACE);
    }
    Ok(())
}

fn ask(daemon: &mut Daemon) -> Result<Figures, ClientError> {
    let keys = daemon.ask::<typed::KeysList>(&ListParams { refresh: false })?;
    let status = daemon.ask::<typed::DaemonStatus>(&Empty {})?;
    Ok(Figures { keys, status })
}

fn open(address: &Path) -> Result<Daemon, Lost> {
    match Wire::open(address, PATIENCE) {
        Ok(Some(wire)) => Ok(Client::new(wire)),
        Ok(None) => Err(Lost::NotRunning),
        Err(error) => Err(Lost::Broken(Said::of_io(&error))),
    }
}

impl From<ClientError> for Lost {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Closed => Self::Closed,
            ClientError::Io(error) => Self::Broken(Said::of_io(&error)),
            ClientError::Rpc(error) => {
                Self::Broken(error.said.map_or_else(|| Said::plain(error.message), |said| *said))
            }
            ClientError::Protocol(why) => Self::Broken(Said::plain(why)),
        }
    }
}
