//! Which events are logged: KMI_LOG_LEVEL, within caps that keep the dependencies' own output small and clean.
//!
//! Two filters stand one behind the other. The first is what was asked for, a level or levels of targets; kmid has no
//! spans to filter by. The second
//! holds the dependencies to warnings unless they are named, and never turns on the trace output of crates that see
//! requests on the wire.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// What our own crates' names begin with.
const OURS: [&str; 2] = ["kmid", "kmi_proto"];
/// Crates that handle headers and bodies. They leave values out of their lines for now, on purpose in h2 [h2 0.4,
/// frame/headers.rs, 2026-11], while rustls' trace prints whole handshake messages [rustls 0.23, client/hs.rs,
/// 2026-11]: that is theirs to change, so their trace is never turned on.
const WIRE: [&str; 5] = ["h2", "http", "hyper", "rustls", "tokio_rustls"];
/// The most that they write, when named.
const WIRE_MOST: LevelFilter = LevelFilter::DEBUG;
/// The most that dependencies write unless they are named.
const UNNAMED: LevelFilter = LevelFilter::WARN;

/// The target of audit events. They are no matter of the level: who changed what is written down always.
pub const AUDIT: &str = "kmid::audit";

/// KMI_LOG_LEVEL is neither a level nor levels of targets.
#[derive(Debug, thiserror::Error)]
#[error(
    "KMI_LOG_LEVEL is not a log filter; allowed are error, warn, info, debug, trace, or a filter such as info,kmid::proxy=debug"
)]
pub struct FilterError;

/// Both filters.
#[derive(Debug)]
pub(super) struct Filters {
    pub(super) asked: Targets,
    pub(super) caps: Targets,
}

impl Filters {
    pub(super) fn parse(text: &str) -> Result<Self, FilterError> {
        let text = if text.trim().is_empty() { "info" } else { text };
        let asked = asked(text).ok_or(FilterError)?.with_target(AUDIT, LevelFilter::INFO);
        Ok(Self { asked, caps: caps(text) })
    }
}

/// Targets' own parser takes an empty level for `error`, and so a comma too many for silence.
fn asked(text: &str) -> Option<Targets> {
    let target = |name: &str| {
        let name = name.trim();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-');
        (!name.is_empty() && name.bytes().all(fits)).then(|| name.to_owned())
    };
    let mut asked = Targets::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        asked = match (part.split_once('='), part.parse::<LevelFilter>()) {
            (Some((_, level)), _) if level.trim().is_empty() => return None,
            (Some((name, level)), _) => {
                asked.with_target(target(name)?, level.trim().parse::<LevelFilter>().ok()?)
            }
            (None, Ok(level)) => asked.with_default(level),
            (None, Err(_)) => asked.with_target(target(part)?, LevelFilter::TRACE),
        };
    }
    Some(asked)
}

fn caps(text: &str) -> Targets {
    let mut caps = Targets::new()
        .with_default(UNNAMED)
        .with_targets(OURS.map(|name| (name, LevelFilter::TRACE)))
        .with_targets(WIRE.map(|name| (name, UNNAMED)));
    for name in named(text).filter(|name| !OURS.iter().any(|ours| name.starts_with(ours))) {
        // The filter matches by prefix, so this does too.
        let wire = WIRE.iter().any(|wire| name.starts_with(wire));
        caps = caps.with_target(name, if wire { WIRE_MOST } else { LevelFilter::TRACE });
    }
    caps
}

/// The targets named in a filter: `a=debug` and `a` both name `a`; a level alone names none.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(|part| part.split('=').next().unwrap_or(part).trim())
        .filter(|name| !name.is_empty() && name.parse::<LevelFilter>().is_err())
}

#[cfg(test)]
mod tests {

    use tracing::Level;

    use super::*;

    fn allowed(filter: &str, target: &str) -> Option<Level> {
        let caps = Filters::parse(filter).unwrap().caps;
        [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR]
            .into_iter()
            .find(|level| caps.would_enable(target, level))
    }

    #[test]
    fn dependencies_are_held_unless_named() {
        for (filter, target, most) in [
            ("trace", "kmid::proxy", Level::TRACE),
            ("trace", "kmid_core::pool", Level::TRACE),
            ("trace", "hyper::proto", Level::WARN),
            ("trace", "mio::poll", Level::WARN),
            ("info,mio=trace", "mio::poll", Level::TRACE),
            ("info,hyper=trace", "hyper_util::client", Level::DEBUG),
            ("hyper::proto=trace", "hyper::proto::h1", Level::DEBUG),
            ("hyper::proto=trace", "hyper::client", Level::WARN),
            ("hyp=trace,h=trace,r=trace", "hyper::proto", Level::WARN),
            ("hyp=trace,h=trace,r=trace", "h2::codec", Level::WARN),
            ("hyp=trace,h=trace,r=trace", "rustls::conn", Level::WARN),
            ("rustls", "rustls::client", Level::DEBUG),
        ] {
            assert_eq!(allowed(filter, target), Some(most), "{filter} {target}");
        }
    }

    #[test]
    fn levels_and_filters_are_understood_and_nonsense_is_not() {
        for good in ["", "info", "TRACE", "warn, kmid::proxy = debug,", "off", "rustls"] {
            assert!(Filters::parse(good).is_ok(), "{good}");
        }
        for bad in ["kmid=loud", "kmid=", "info,=,=", "a=b=c", "two words", "kmid[{key=a}]=debug"] {
            assert!(Filters::parse(bad).is_err(), "{bad}");
        }
    }
}
