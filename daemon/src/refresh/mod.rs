//! Reads quotas in the background, never on a request's path; tries the way to the upstreams when it is asked to.

mod probe;
mod reach;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kmid_config::settings::Settings;
use kmid_core::key::{Fingerprint, Key};
use kmid_core::pool::HALF_OPEN;
use kmid_core::pool::view::{KeyState, KeyView, PoolView};
use kmid_core::recheck_plan::{Block, RecheckPlan};
use kmid_core::refresh_plan::{Pace, Readable, RefreshPlan};
use kmid_core::say;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::command::QuotaRefused;
use crate::pulse::Pulse;
use crate::state::State;
use crate::upstream::Upstream;

/// Readings under way at most.
const AT_ONCE: usize = 4;
/// Wall-clock time is looked at this often: a laptop that sleeps stops timers, not quotas.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// What is due within this waits for it, together with what else is due by then.
const SHORTEST_SLEEP: Duration = Duration::from_millis(50);

/// Asks `/usages` for keys.
#[derive(Debug)]
pub struct Refresher {
    state: Arc<State>,
    settings: Arc<ArcSwap<Settings>>,
    upstream: Arc<Upstream>,
    places: Semaphore,
}

impl Refresher {
    /// A refresher that does nothing yet.
    #[must_use]
    pub fn new(state: Arc<State>, settings: Arc<ArcSwap<Settings>>, upstream: Arc<Upstream>) -> Arc<Self> {
        Arc::new(Self { state, settings, upstream, places: Semaphore::new(AT_ONCE) })
    }

    /// Reads the quota of one key and records it.
    async fn read(&self, key: &Key) -> Result<(), QuotaRefused> {
        let Ok(_place) = self.places.acquire().await else { return Err(say!(ending).into()) };
        let connect = self.settings.load().proxy_connect_timeout;
        let reading = probe::usages(&self.upstream, key, connect).await;
        self.state.record_quota(key, reading.as_ref().map_err(|error| &error.said));
        reading.map(|_| ()).inspect_err(|error| {
            tracing::warn!(key = %key.label, error = %error.said, "usage_fetch_failed");
        })
    }

    /// Reads the quota of one key or all now. What came of it, by label.
    pub async fn refresh(self: Arc<Self>, label: Option<String>) -> Vec<(String, Result<(), QuotaRefused>)> {
        let wanted = self.state.keys().into_iter().filter(|key| match &label {
            Some(label) => *key.label == **label,
            None => !key.disabled,
        });
        let mut readings = JoinSet::new();
        let mut labels = Vec::new();
        for key in wanted {
            let this = Arc::clone(&self);
            labels.push(key.label.to_string());
            readings.spawn(async move { (key.label.to_string(), this.read(&key).await) });
        }
        let mut results: Vec<_> = readings.join_all().await;
        results.sort_by_key(|(label, _)| labels.iter().position(|known| known == label));
        results
    }

    /// Asks `/usages` for blocked keys; a good answer makes a key half-open. Labels cleared and still blocked.
    pub async fn recheck(self: Arc<Self>, label: Option<String>) -> (Vec<String>, Vec<String>) {
        let blocked = self.blocked(|key| label.as_ref().is_none_or(|label| *key.label == **label));
        let mut checks = JoinSet::new();
        for key in blocked {
            let this = Arc::clone(&self);
            checks.spawn(async move { (key.label.to_string(), this.recheck_one(&key).await) });
        }
        let results = checks.join_all().await;
        let (cleared, still): (Vec<_>, Vec<_>) = results.into_iter().partition(|(_, good)| *good);
        let labels = |results: Vec<(String, bool)>| {
            let mut labels: Vec<String> = results.into_iter().map(|(label, _)| label).collect();
            labels.sort();
            labels
        };
        (labels(cleared), labels(still))
    }

    async fn recheck_one(&self, key: &Key) -> bool {
        let good = self.read(key).await.is_ok();
        if good && self.state.half_open(key.fingerprint) {
            tracing::info!(key = %key.label, "proxy_key_half_open");
        }
        good
    }

    fn blocked(&self, wanted: impl Fn(&KeyView) -> bool) -> Vec<Arc<Key>> {
        let view = self.state.view();
        let blocked: BTreeSet<Fingerprint> = view
            .keys
            .iter()
            .filter(|key| is_blocked(key))
            .filter(|key| wanted(key))
            .map(|key| key.fingerprint)
            .collect();
        self.state.keys().into_iter().filter(|key| blocked.contains(&key.fingerprint)).collect()
    }

    /// Reads every key at start and then by KMI_USAGE_CACHE_SECONDS, rechecks blocked keys, until cancelled. `pulse` answers as long
    /// as that goes on.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken, pulse: Pulse) {
        let mut plan = RefreshPlan::default();
        let mut readings: JoinSet<(Fingerprint, bool)> = JoinSet::new();
        let mut rechecks: JoinSet<(Fingerprint, bool)> = JoinSet::new();
        let mut rechecked = Vec::new();
        let mut recheck_plan = RecheckPlan::at_start(clock::now(), fastrand::u64(..));
        loop {
            let view = self.state.view();
            self.start_due(&view, &mut plan, &mut readings, std::mem::take(&mut rechecked));
            self.start_rechecks(&view, &mut rechecks, &mut recheck_plan);
            tokio::select! {
                () = cancel.cancelled() => break,
                () = pulse.beat() => {}
                () = self.state.refresh_wanted() => {}
                () = tokio::time::sleep(self.pause(&plan, &recheck_plan)) => {}
                Some(done) = readings.join_next() => {
                    match (done, self.pace()) {
                        (Ok((fingerprint, good)), Some(pace)) => {
                            plan.done(fingerprint, good, pace, clock::now(), fastrand::u64(..));
                        }
                        // Nothing may stay under way for ever: when reading is wanted again, all is read anew.
                        (Err(_), _) | (_, None) => plan = RefreshPlan::default(),
                    }
                }
                Some(done) = rechecks.join_next() => rechecked.extend(done.ok()),
            }
        }
        readings.shutdown().await;
        rechecks.shutdown().await;
    }

    /// Until the next reading or the next pass over blocked keys, whichever comes first.
    fn pause(&self, plan: &RefreshPlan, rechecks: &RecheckPlan) -> Duration {
        let settings = self.settings.load();
        let reading = settings.usage_cache.and_then(|_| plan.next_due());
        let recheck = settings.blocklist_recheck.map(|every| rechecks.due(every));
        let next = reading.into_iter().chain(recheck).min();
        next.map_or(LONGEST_SLEEP, |next| next.since(clock::now()).clamp(SHORTEST_SLEEP, LONGEST_SLEEP))
    }

    /// `None` while quotas are not to be read in the background.
    fn pace(&self) -> Option<Pace> {
        let settings = self.settings.load();
        let rest_when_idle = !settings.require_usage_before_request;
        settings.usage_cache.map(|every| Pace { every, rest_when_idle })
    }

    fn start_due(
        self: &Arc<Self>,
        view: &PoolView,
        plan: &mut RefreshPlan,
        readings: &mut JoinSet<(Fingerprint, bool)>,
        rechecked: Vec<(Fingerprint, bool)>,
    ) {
        let stale = self.state.take_stale();
        let Some(pace) = self.pace() else { return };
        let now = clock::now();
        // Blocked keys are rechecked, at another pace; one whose next request decides needs its reading again.
        let is_read = |key: &&KeyView| match key.state {
            KeyState::Blocked => key.reason == Some(HALF_OPEN),
            KeyState::Disabled => false,
            KeyState::Ready | KeyState::Warn | KeyState::Cooling => true,
        };
        let readable = view.keys.iter().filter(is_read);
        plan.set_keys(&readable.map(Readable::of).collect::<Vec<_>>(), pace, now);
        // What a recheck has just asked for is not asked for again.
        for (fingerprint, good) in rechecked {
            plan.done(fingerprint, good, pace, now, fastrand::u64(..));
        }
        for fingerprint in stale {
            plan.hurry(fingerprint);
        }
        let due = plan.take_due(now);
        for key in self.state.keys().into_iter().filter(|key| due.contains(&key.fingerprint)) {
            let this = Arc::clone(self);
            readings.spawn(async move { (key.fingerprint, this.read(&key).await.is_ok()) });
        }
    }

    fn start_rechecks(
        self: &Arc<Self>,
        view: &PoolView,
        rechecks: &mut JoinSet<(Fingerprint, bool)>,
        plan: &mut RecheckPlan,
    ) {
        let settings = self.settings.load();
        let now = clock::now();
        let blocked = view.keys.iter().filter_map(|key| Some((key.fingerprint, block(key)?)));
        plan.set_blocked(blocked, now, fastrand::u64(..));
        let (every, most) = (settings.blocklist_recheck, settings.blocklist_recheck_max);
        let due = plan.take_due(every, most, now, fastrand::u64(..));
        for key in self.state.keys().into_iter().filter(|key| due.contains(&key.fingerprint)) {
            let this = Arc::clone(self);
            rechecks.spawn(async move { (key.fingerprint, this.recheck_one(&key).await) });
        }
    }
}

/// How a blocked key is blocked.
fn block(key: &KeyView) -> Option<Block> {
    (key.state == KeyState::Blocked).then_some(match key.reason {
        Some(HALF_OPEN) => Block::HalfOpen,
        _ if key.until.is_some() => Block::Ends,
        _ => Block::Endless,
    })
}

/// Blocked, and its next request does not decide.
fn is_blocked(key: &KeyView) -> bool {
    block(key).is_some_and(|block| block != Block::HalfOpen)
}
