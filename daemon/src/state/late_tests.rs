use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use kmid_config::settings::FileLimit;
use kmid_core::key::{BaseUrl, Key, Secret};
use kmid_core::kimi::error::Row;
use kmid_core::kimi::wire::Wire;
use kmid_core::outcome::{Action, Certainty, Party, Retry, Verdict};
use kmid_core::pool::{Demand, Rules};
use kmid_core::session::SessionId;

use super::*;
use crate::line_log::RecordLog;
use crate::state::{Patience, store};

fn key() -> Key {
    let secret = Secret::new("sk-kimi-0123456789-alpha");
    Key {
        label: "alpha".into(),
        fingerprint: Fingerprint::of(&secret),
        secret,
        base_url: BaseUrl::parse("https://api.kimi.com/coding/v1").unwrap(),
        priority: 0,
        disabled: false,
        email: None,
        source: "alpha.env".into(),
        revision: 1,
    }
}

fn another_key() -> Key {
    let secret = Secret::new("sk-kimi-0123456789-beta");
    Key { label: "beta".into(), fingerprint: Fingerprint::of(&secret), secret, ..key() }
}

fn state(dir: &Path) -> Arc<State> {
    let file = dir.join("state.json");
    let remembered = store::load(&file, clock::now()).unwrap();
    let limit = FileLimit { max_bytes: 1 << 20, backups: 1 };
    let trace = RecordLog::open(dir.join("trace.jsonl"), limit).unwrap();
    let state = State::start(Rules::default(), remembered.snapshot, &file, trace).unwrap();
    state.set_keys(vec![key()]);
    state
}

async fn lease(state: &Arc<State>) -> crate::state::Lease {
    let patience = Patience { until: tokio::time::Instant::now(), most: 0 };
    state.lease_or_wait(&Demand::default(), patience).await.lease.unwrap()
}

fn figures(state: &State) -> (u64, u64, u32) {
    let key = &state.view().keys[0];
    (key.requests, key.tokens.output, lock(&state.pool).in_flight().iter().map(|(_, count)| count).sum())
}

async fn leave(state: &Arc<State>) -> (Left, Receiver<Late>) {
    let (to, late) = sync_channel(100);
    let leaving = Arc::clone(state);
    (tokio::task::spawn_blocking(move || leaving.leave(to)).await.unwrap().unwrap(), late)
}

#[tokio::test]
async fn what_ends_late_counts_once_in_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let old = state(dir.path());
    lease(&old).await.end(&Outcome::Completed);
    let (mut open, dropped) = (lease(&old).await, lease(&old).await);
    let (Left { in_flight, .. }, late) = leave(&old).await;
    assert_eq!(in_flight, [(key().fingerprint, 2)]);
    // What comes after the switch is not in the file.
    let after = lease(&old).await;
    let file = dir.path().join("state.json");
    let before = std::fs::read_to_string(&file).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::copy(&file, elsewhere.path().join("state.json")).unwrap();
    let new = state(elsewhere.path());
    assert_eq!(figures(&new), (3, 0, 0));
    new.adopt(&in_flight);
    assert_eq!(figures(&new), (3, 0, 2));

    open.took(Tokens { input: 2, cached: 0, output: 7 });
    open.end(&Outcome::Completed);
    after.end(&Outcome::Completed);
    for late in late.try_iter() {
        assert_eq!(new.hear_late(late), None);
    }
    assert_eq!(figures(&new), (4, 7, 1));
    assert_eq!(figures(&old), (4, 7, 1));
    // Killed before it could tell.
    std::mem::forget(dropped);
    assert_eq!(new.old_one_ended(), 1);
    assert_eq!(figures(&new), (4, 7, 0));
    // The old one writes nothing any more, not even at its end.
    tokio::task::spawn_blocking(move || old.close()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
}

/// The key of a session's next request.
async fn served(state: &Arc<State>, name: &str, outcome: &Outcome) -> String {
    served_after(state, name, &[], outcome).await
}

/// The same, of a request that has tried these keys.
async fn served_after(state: &Arc<State>, name: &str, tried: &[Fingerprint], outcome: &Outcome) -> String {
    let patience = Patience { until: tokio::time::Instant::now(), most: 0 };
    let session = Some(SessionId::of(Wire::OpenAi, name));
    let demand = Demand { session, tried, ..Demand::default() };
    let lease = state.lease_or_wait(&demand, patience).await.lease.unwrap();
    let label = lease.key().label.to_string();
    lease.end(outcome);
    label
}

async fn auto(dir: &Path) -> Arc<State> {
    let state = state(dir);
    state.set_rules(Rules { allowed: true, ..Rules::default() });
    state.set_keys(vec![key(), another_key()]);
    state.set_auto(true).await.unwrap();
    state
}

#[tokio::test]
async fn sessions_stay_with_their_keys() {
    let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = auto(dir.path()).await;
    let mut homes = Vec::new();
    for name in ["one", "two", "three", "five"] {
        homes.push((name, served(&old, name, &Outcome::Completed).await));
    }
    let (left, late) = leave(&old).await;
    // After the switch: one that is new, and one whose key turns out not to be for it.
    homes.push(("four", served(&old, "four", &Outcome::Completed).await));
    let verdict = Verdict {
        row: Row::ModelNotFound,
        whose: Party::Key,
        action: Action::Nothing,
        retry: Retry::OtherKey,
        sure: Certainty::Text,
    };
    let refused = Outcome::Refused { status: 404, verdict, retry_after: None };
    served(&old, "one", &refused).await;
    // And one whose refused request another key has completed by then.
    let five = homes.remove(3);
    served(&old, "five", &refused).await;
    let of = |label: &str| if label == "alpha" { key() } else { another_key() };
    let tried = [of(&five.1).fingerprint];
    homes.push(("five", served_after(&old, "five", &tried, &Outcome::Completed).await));
    assert_ne!(homes.last().unwrap().1, five.1);

    let new = auto(elsewhere.path()).await;
    // The round robin of the new one stands elsewhere: without homes some would change their key.
    new.learn_homes(left.homes);
    late.try_iter().for_each(|late| assert_eq!(new.hear_late(late), None));
    for (name, home) in homes.iter().skip(1).rev() {
        assert_eq!(served(&new, name, &Outcome::Completed).await, *home, "{name}");
    }
    let tried = [of(&homes[0].1).fingerprint];
    let elsewhere = served_after(&new, "one", &tried, &Outcome::Completed).await;
    assert_ne!(elsewhere, homes[0].1);
    assert_eq!(served(&new, "one", &Outcome::Completed).await, elsewhere, "the new one knew what refused it");
}

#[tokio::test]
async fn a_state_that_stays_after_all_has_lost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let state = state(dir.path());
    let open = lease(&state).await;
    let (_, late) = leave(&state).await;
    assert!(matches!(state.rotate(None).await, Err(crate::state::Refused::Leaving)));
    open.end(&Outcome::Completed);
    let used =
        Late::Used { at: clock::now(), subject: subject(), sums: Sums { requests: 1, ..Sums::default() } };
    state.stay();
    late.try_iter().chain([used]).for_each(|late| state.count_again(late));
    assert_eq!(figures(&state), (1, 0, 0));
    // It writes again, and what a person changes is saved.
    state.rotate(None).await.unwrap();
    let (from, now, zone) = (Time::from_millis(0), clock::now(), jiff::tz::TimeZone::UTC);
    let reader = Arc::clone(&state);
    let read = move || reader.usage().read(from, now, kmid_core::history::By::Key, &zone).unwrap();
    let groups = tokio::task::spawn_blocking(read).await.unwrap();
    assert_eq!(groups.iter().map(|group| group.sums.requests).sum::<u64>(), 1);
}

#[tokio::test]
async fn what_could_not_be_told_is_counted_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let state = state(dir.path());
    let open = lease(&state).await;
    let (to, late) = sync_channel(1);
    let leaving = Arc::clone(&state);
    tokio::task::spawn_blocking(move || leaving.leave(to)).await.unwrap().unwrap();
    let said = Said::default();
    tracing::subscriber::with_default(said.clone(), || state.say_late_lost());
    assert_eq!((state.late_lost(), said.lost()), (0, None));
    // The first one fills the queue: a request's history, then the end of its attempt.
    let once = Sums { requests: 1, ..Sums::default() };
    state.usage().count(clock::now(), subject(), once);
    state.usage().count(clock::now(), subject(), once);
    open.end(&Outcome::Completed);
    assert_eq!(state.late_lost(), 2);
    tracing::subscriber::with_default(said.clone(), || state.say_late_lost());
    assert_eq!(said.lost(), Some(2));
    drop(late);
}

/// Hears the field `lost` of an event.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Option<u64>>>);

impl Said {
    fn lost(&self) -> Option<u64> {
        *self.0.lock().unwrap()
    }
}

impl tracing::field::Visit for Said {
    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        if field.name() == "lost" {
            *self.0.lock().unwrap() = Some(value);
        }
    }

    fn record_debug(&mut self, _field: &tracing::field::Field, _value: &dyn std::fmt::Debug) {}
}

impl tracing::Subscriber for Said {
    fn enabled(&self, _metadata: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _span: &tracing::span::Id, _values: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _span: &tracing::span::Id, _follows: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _span: &tracing::span::Id) {}

    fn exit(&self, _span: &tracing::span::Id) {}
}

fn subject() -> Subject {
    Subject { fingerprint: Some(key().fingerprint), key: "alpha".into(), model: "".into(), client: "".into() }
}

#[test]
fn what_is_told_reads_back() {
    use kmid_core::outcome::{Fault, FaultKind, Phase};
    let broke = Outcome::Broke(Fault { phase: Phase::Body, kind: FaultKind::Truncated });
    for outcome in [Outcome::Completed, Outcome::Answered, broke, Outcome::ClientLeft, Outcome::CutOff] {
        let late = Late::Ended {
            key: key().fingerprint,
            outcome,
            tokens: Tokens { input: 1, cached: 2, output: 3 },
        };
        let text = serde_json::to_string(&late).unwrap();
        assert_eq!(serde_json::from_str::<Late>(&text).unwrap(), late, "{text}");
    }
    let line = Late::Line { file: LateFile::Trace, text: "{\"a\":\"\\n\"}".into() };
    let text = serde_json::to_string(&line).unwrap();
    assert!(!text.contains('\n'));
    assert_eq!(serde_json::from_str::<Late>(&text).unwrap(), line);
}
