//! A stream of the daemon's, for as long as somebody reads what is made of it.

use std::io;
use std::time::Duration;

use kmi_proto::client::{ClientError, Event};
use serde::Serialize;

use crate::app::App;
use crate::connect::{self, Daemon};
use crate::exit::{Exit, Outcome, Stop};
use crate::wire::Patience;

/// How often it is looked for the reader of stdout while nothing comes: a pipe says that its reader is gone only to
/// those who write or ask. Elsewhere than on Unix nobody can ask.
const LOOK_EVERY: Option<Duration> = if cfg!(unix) { Some(Duration::from_millis(500)) } else { None };

/// Opens a stream and hands its events on until `take` has an exit; with `follow` also until stdout has no reader.
pub(crate) fn stream(
    app: &App,
    daemon: &mut Daemon,
    method: &str,
    params: &impl Serialize,
    follow: bool,
    mut take: impl FnMut(Event) -> Outcome<Option<Exit>>,
) -> Outcome {
    let failed = |error| connect::failure(app, error);
    let events = daemon.stream(method, params).map_err(failed)?;
    // Between two events any time may pass, while somebody follows; and what is made of one may take long, too, so that
    // the whole has no span even where it has an end.
    events.get_ref().wait(match (follow, LOOK_EVERY) {
        (false, _) => Patience::Read(connect::QUICK),
        (true, Some(span)) => Patience::Read(span),
        (true, None) => Patience::Endless,
    });
    for event in events {
        let event = match event {
            Err(ClientError::Io(error)) if follow && is_timeout(&error) => {
                if reader_is_gone() {
                    return Err(Stop::ReaderGone);
                }
                continue;
            }
            event => event.map_err(failed)?,
        };
        if let Some(exit) = take(event)? {
            return Ok(exit);
        }
    }
    Ok(Exit::Ok)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(unix)]
fn reader_is_gone() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let stdout = io::stdout();
    // macOS says that nobody reads only to those who ask whether they may write.
    let mut asked = [PollFd::new(&stdout, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&at_once)).is_ok() && asked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[cfg(not(unix))]
fn reader_is_gone() -> bool {
    false
}
