//! The sentences of "Rotation", one test each, and random histories against what must always hold.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod affinity;
mod blocks;
mod caps;
mod cooldowns;
mod decisions;
mod events;
mod history;
mod keys;
mod late;
mod memory;
mod modes;
mod outage_histories;
mod outages;
mod own_trouble;
mod policies;
mod ramps;
mod rotate;
mod states;

use std::sync::Arc;
use std::time::Duration;

use super::snapshot::Snapshot;
use super::view::{KeyState, KeyView};
use super::*;
use crate::key::{BaseUrl, Secret};
use crate::kimi::error::Row;
use crate::kimi::quota::{Quota, Window};
use crate::outcome::{Fault, FaultKind, Outcome, Phase};

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const BROKE: Outcome = Outcome::Broke(Fault { phase: Phase::FirstByte, kind: FaultKind::Timeout });

fn noon() -> Time {
    Time::parse("2026-11-23T12:00:00Z").unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn key(label: &str) -> Key {
    let secret = Secret::new(&format!("sk-kimi-0123456789-{label}"));
    Key::new(label, secret, BaseUrl::parse("https://api.kimi.com/coding/v1").unwrap())
}

fn keys(labels: &[&str]) -> Vec<Key> {
    labels.iter().map(|label| key(label)).collect()
}

/// Switching allowed, automatic rotation off.
fn failover() -> Rules {
    Rules { allowed: true, ..Rules::default() }
}

/// A reading of windows: name, percent left, seconds until the reset.
fn quota(account: &str, windows: &[(&str, f64, u64)], now: Time) -> Quota {
    let window = |&(name, percent_left, resets_in): &(&str, f64, u64)| Window {
        name: name.into(),
        limit: Some(100.0),
        used: Some(100.0 - percent_left),
        percent_left,
        resets_at: Some(now + secs(resets_in)),
        length: None,
    };
    let account = (!account.is_empty()).then(|| account.to_owned());
    Quota { account, windows: windows.iter().map(window).collect(), ..Quota::default() }
}

/// A program that names itself so.
fn client(name: &'static str) -> Option<ClientId> {
    Some(ClientId::of(&http::HeaderMap::from_iter([(http::header::USER_AGENT, name.parse().unwrap())])))
}

fn refused(status: u16, row: Row) -> Outcome {
    Outcome::Refused { status, verdict: row.verdict(), retry_after: None }
}

fn refused_for(status: u16, row: Row, retry_after: u64) -> Outcome {
    Outcome::Refused { status, verdict: row.verdict(), retry_after: Some(secs(retry_after)) }
}

fn dead() -> Outcome {
    refused(401, Row::InvalidKey)
}

fn unpaid() -> Outcome {
    refused(402, Row::Payment)
}

/// A pool and its clock.
struct Bench {
    pool: Pool,
    now: Time,
}

impl Bench {
    fn new(rules: Rules, labels: &[&str]) -> Self {
        let mut pool = Pool::new(rules, Snapshot::default());
        pool.set_keys(keys(labels), noon());
        Self { pool, now: noon() }
    }

    /// With automatic rotation on.
    fn auto(rules: Rules, labels: &[&str]) -> Self {
        let mut bench = Self::new(Rules { allowed: true, ..rules }, labels);
        assert!(bench.pool.set_auto(true));
        bench
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + secs(seconds);
    }

    fn try_lease(&mut self) -> Result<Lease, Refusal> {
        self.pool.lease(&Demand::default(), self.now)
    }

    fn lease(&mut self) -> Lease {
        self.try_lease().unwrap()
    }

    /// Leases, which has to give this key.
    fn lease_of(&mut self, label: &str) -> Lease {
        let lease = self.lease();
        assert_eq!(&*lease.key.label, label);
        lease
    }

    fn refusal(&mut self) -> Refusal {
        self.try_lease().unwrap_err()
    }

    fn end(&mut self, lease: Lease, outcome: &Outcome) -> Vec<Effect> {
        self.pool.record(lease, outcome, self.now, 0)
    }

    /// One request; who served it.
    fn serve(&mut self) -> Arc<str> {
        let lease = self.lease();
        let label = lease.key.label.clone();
        self.end(lease, &Outcome::Completed);
        label
    }

    fn serve_many(&mut self, count: usize) -> String {
        (0..count).map(|_| self.serve().to_string()).collect::<Vec<_>>().join(" ")
    }

    /// One request of this key, which ends so. The key becomes the active one for it.
    fn meet(&mut self, label: &str, outcome: &Outcome) -> Vec<Effect> {
        self.pool.rotate(Some(label), self.now).unwrap();
        let lease = self.lease_of(label);
        self.end(lease, outcome)
    }

    fn read(&mut self, label: &str, quota: &Quota) -> Vec<Effect> {
        self.pool.record_quota(key(label).fingerprint, quota, self.now)
    }

    /// A reading of the 5-hour window, which resets in an hour.
    fn left(&mut self, label: &str, percent: f64) {
        let quota = quota("", &[("5h", percent, HOUR)], self.now);
        self.read(label, &quota);
    }

    /// Makes keys known as one account's.
    fn one_account(&mut self, labels: &[&str]) {
        for label in labels {
            let quota = quota("account", &[("5h", 90.0, 5 * HOUR), ("7d", 90.0, 3 * DAY)], self.now);
            self.read(label, &quota);
        }
    }

    fn recheck(&mut self, label: &str) -> bool {
        self.pool.half_open(key(label).fingerprint)
    }

    fn view(&self, label: &str) -> KeyView {
        self.pool.view(self.now).keys.into_iter().find(|key| &*key.label == label).unwrap()
    }

    fn state(&self, label: &str) -> KeyState {
        self.view(label).state
    }

    /// How long until the key's state ends by itself.
    fn left_of(&self, label: &str) -> Option<u64> {
        self.view(label).until.map(|until| until.since(self.now).as_secs())
    }

    fn active(&self) -> Arc<str> {
        self.pool.view(self.now).active_key().unwrap().label.clone()
    }

    /// What a restart makes of it; leases in flight are lost, as they are then.
    fn restart(&mut self) {
        let json = serde_json::to_string(&self.pool.snapshot(self.now)).unwrap();
        let keys: Vec<Key> = self.pool.keys().map(|key| Key::clone(key)).collect();
        self.pool = Pool::new(self.pool.rules.clone(), serde_json::from_str(&json).unwrap());
        self.pool.set_keys(keys, self.now);
    }
}
