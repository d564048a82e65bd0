//! How many files and sockets the system lets this process have open.

/// What kmid itself needs beside clients' connections: files, the control socket, watches, look-ups.
const OWN: u64 = 40;
/// Clients get so many connections even where the limit is very low.
const LEAST: usize = 4;
/// More than any setting asks for; some systems take endless for an error.
#[cfg(unix)]
const ENOUGH: u64 = 65_536;

/// Lets this process have as many files open as its user may: login shells often allow 1024 or 256, and each client's
/// connection needs two, its own and one upstream.
pub fn raise() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.unwrap_or(ENOUGH).min(ENOUGH);
        if current.is_some_and(|current| current < wanted)
            && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        {
            tracing::debug!(%error, wanted, "open_files_not_raised");
        }
    }
}

/// How many connections clients may have: as many as the setting says, or fewer, so that files are left for their
/// requests and for kmid's own work. Those beyond wait to be accepted.
#[must_use]
pub fn room(most: usize) -> usize {
    let room = within(limit(), most);
    if room < most {
        tracing::warn!(connections = room, wanted = most, "few_open_files_allowed");
    }
    room
}

/// Two for each connection, after kmid's own: pure.
fn within(limit: Option<u64>, most: usize) -> usize {
    let Some(limit) = limit else { return most };
    let fits = usize::try_from(limit.saturating_sub(OWN) / 2).unwrap_or(usize::MAX);
    fits.max(LEAST).min(most)
}

#[cfg(unix)]
fn limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

#[cfg(not(unix))]
fn limit() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_for_each_connection() {
        for (limit, most, room) in [
            (Some(64), 4096, 12),
            (Some(1024), 4096, 492),
            (Some(20_000), 4096, 4096),
            (Some(10), 4096, LEAST),
            (Some(10), 2, 2),
            (None, 4096, 4096),
        ] {
            assert_eq!(within(limit, most), room, "{limit:?}");
        }
    }
}
