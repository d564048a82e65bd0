//! One question without a key to each host: is there a way, TLS, and the same time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::{DATE, HOST, USER_AGENT};
use jiff::fmt::rfc2822;
use kmid_core::key::BaseUrl;
use kmid_core::outcome::{FaultKind, Phase};
use kmid_core::said::Said;
use kmid_core::say;
use kmid_core::time::Time;
use tokio::task::JoinSet;

use super::Refresher;
use super::probe::AGENT;
use crate::clock;
use crate::command::Reach;
use crate::upstream::fault::{SendError, chain};
use crate::upstream::{Limits, Upstream};

/// As long as the official clients wait for `/usages`.
const LONGEST: Duration = Duration::from_secs(8);
/// Of a cause's text, in characters.
const LONGEST_CAUSE: usize = 200;

impl Refresher {
    /// Asks every host of the pool for its models, without a key: any answer shows that the way is open. Touches no
    /// key's state. `None` when answers come from the simulator.
    pub async fn check_upstreams(self: Arc<Self>) -> Option<Vec<Reach>> {
        if self.upstream.is_simulated() {
            return None;
        }
        let bases: BTreeMap<String, BaseUrl> = self
            .state
            .keys()
            .iter()
            .map(|key| (key.base_url.authority_text(), key.base_url.clone()))
            .collect();
        let mut checks = JoinSet::new();
        for (host, base) in bases {
            let this = Arc::clone(&self);
            checks.spawn(async move {
                // The places are never closed; without one the check would only be one more at once.
                let _place = this.places.acquire().await;
                reach(&this.upstream, host, &base).await
            });
        }
        let mut found = checks.join_all().await;
        found.sort_by(|one, other| one.host.cmp(&other.host));
        Some(found)
    }
}

async fn reach(upstream: &Arc<Upstream>, host: String, base: &BaseUrl) -> Reach {
    let limits = Limits { connect: LONGEST, idle: LONGEST };
    let uri = format!("{}/models", base.path());
    let mut make = || Request::get(&uri).header(HOST, base.authority()).header(USER_AGENT, AGENT).body(());
    let closed = Reach { host, reachable: false, tls: false, clock_skew_seconds: None, error: None };
    match tokio::time::timeout(LONGEST, upstream.send(base, limits, &mut make)).await {
        Ok(Ok(response)) => {
            let date = response.headers().get(DATE).and_then(|value| value.to_str().ok());
            let skew = date.and_then(|date| ahead(clock::now(), date));
            Reach { reachable: true, tls: true, clock_skew_seconds: skew, ..closed }
        }
        Ok(Err(error)) => {
            let fault = error.fault;
            let connected = fault.phase != Phase::Connect;
            let reachable = connected || fault.kind == FaultKind::Tls;
            Reach { reachable, tls: connected, error: Some(sentence(&error)), ..closed }
        }
        Err(_) => Reach { error: Some(say!(reach_timeout)), ..closed },
    }
}

/// Seconds that `now` is ahead of an HTTP date.
fn ahead(now: Time, date: &str) -> Option<i64> {
    let date = rfc2822::DateTimeParser::new().parse_timestamp(date.trim()).ok()?;
    Some((now.as_millis() / 1000).saturating_sub(date.as_second()))
}

/// What went wrong with its first cause.
fn sentence(error: &SendError) -> Said {
    let cause = chain(error).skip(1).last().map(ToString::to_string).unwrap_or_default();
    let clipped: String = cause.chars().take(LONGEST_CAUSE).collect();
    let fault = said(error);
    if clipped.is_empty() { fault } else { say!(fault_because, fault = fault, why = clipped) }
}

/// The error's own words, for people.
pub(super) fn said(error: &SendError) -> Said {
    let doing = match error.fault.phase {
        Phase::Connect => say!(doing_connect),
        Phase::Send => say!(doing_send),
        Phase::FirstByte => say!(doing_first_byte),
        Phase::Body => say!(doing_body),
    };
    let what = match error.fault.kind {
        FaultKind::Dns => say!(fault_dns),
        FaultKind::Refused => say!(fault_refused),
        FaultKind::Tls => say!(fault_tls),
        FaultKind::Timeout => say!(fault_timeout),
        FaultKind::Closed => say!(fault_closed),
        FaultKind::Protocol => say!(fault_protocol),
        FaultKind::Truncated => say!(fault_truncated),
        FaultKind::NoRoom => say!(fault_no_room),
    };
    say!(fault, doing = doing, what = what)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn the_clock_against_a_date() {
        let now = Time::parse("2026-11-23T09:00:30.900Z").unwrap();
        for (date, expected) in [
            ("Mon, 23 Nov 2026 09:00:30 GMT", Some(0)),
            ("Mon, 23 Nov 2026 09:00:00 GMT", Some(30)),
            (" Mon, 23 Nov 2026 09:05:30 GMT", Some(-300)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(ahead(now, date), expected, "{date}");
        }
    }
}
