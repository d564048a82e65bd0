#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::pin::pin;
use std::task::Poll;

use kmid_config::settings::FileLimit;
use kmid_core::outcome::Outcome;
use kmid_core::pool::Rules;
use kmid_core::pool::snapshot::Snapshot;

use super::*;
use crate::fixtures::key;
use crate::line_log::RecordLog;

/// What an account whose plan is unknown may have in flight.
const CAP: usize = 20;

struct Bench {
    state: Arc<State>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let limit = FileLimit { max_bytes: 1 << 20, backups: 0 };
        let trace = RecordLog::open(dir.path().join("trace.jsonl"), limit).unwrap();
        let state =
            State::start(Rules::default(), Snapshot::default(), &dir.path().join("state.json"), trace)
                .unwrap();
        state.set_keys(vec![key("alpha")]);
        Self { state, _dir: dir }
    }

    async fn fill(&self) -> Vec<Lease> {
        let mut leases = Vec::new();
        for _ in 0..CAP {
            leases.push(self.wait().await.lease.unwrap());
        }
        leases
    }

    async fn wait(&self) -> Waited {
        self.state.lease_or_wait(&Demand::default(), patience()).await
    }

    fn served(&self) -> (u64, u32) {
        let key = &self.state.view().keys[0];
        (key.requests, key.in_flight)
    }
}

fn patience() -> Patience {
    Patience { until: Instant::now() + Duration::from_secs(300), most: 3 }
}

/// Runs to its end, or until it has to wait.
async fn now<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut future = Some(future);
    std::future::poll_fn(|cx| match future.take().map(|future| future.poll(cx)) {
        Some(Poll::Ready(done)) => Poll::Ready(Some(done)),
        _ => Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn those_who_wait_get_freed_slots_in_order() {
    let bench = Bench::new();
    let mut leases = bench.fill().await;
    let (mut first, mut second) = (pin!(bench.wait()), pin!(bench.wait()));
    assert!(now(first.as_mut()).await.is_none() && now(second.as_mut()).await.is_none());
    assert_eq!(bench.state.waiting(), 2);
    leases.pop().unwrap().end(&Outcome::Completed);
    assert!(now(second.as_mut()).await.is_none(), "it came later");
    let mut third = pin!(bench.wait());
    assert!(now(third.as_mut()).await.is_none(), "nobody overtakes");
    let waited = now(first.as_mut()).await.unwrap();
    assert!(waited.lease.is_ok() && waited.queued.is_some());
    drop(leases);
    assert!(now(second.as_mut()).await.unwrap().lease.is_ok());
    assert!(now(third.as_mut()).await.unwrap().lease.is_ok());
}

#[tokio::test]
async fn who_leaves_frees_the_place_and_the_slot_that_was_handed_over() {
    let bench = Bench::new();
    let mut leases = bench.fill().await;
    let mut leaves = Box::pin(bench.wait());
    assert!(now(leaves.as_mut()).await.is_none());
    drop(leaves);
    assert_eq!(bench.state.waiting(), 0);

    let (mut gone, mut next) = (Box::pin(bench.wait()), pin!(bench.wait()));
    assert!(now(gone.as_mut()).await.is_none() && now(next.as_mut()).await.is_none());
    leases.pop().unwrap().end(&Outcome::Completed);
    assert_eq!(bench.served(), (CAP as u64 + 1, CAP as u32), "handed to the first");
    drop(gone);
    assert_eq!(bench.served(), (CAP as u64 + 1, CAP as u32), "handed on, and counted once");
    let lease = now(next.as_mut()).await.unwrap().lease.unwrap();
    drop(lease);
    drop(leases);
    assert_eq!(bench.served(), (CAP as u64 + 1, 0));
}

#[tokio::test]
async fn a_full_queue_and_no_patience_are_refusals_at_once() {
    let bench = Bench::new();
    let leases = bench.fill().await;
    let hurry = Patience { until: Instant::now(), most: 3 };
    let refused = bench.state.lease_or_wait(&Demand::default(), hurry).await;
    assert!(matches!(refused.lease, Err(NoLease::Refused(_))) && refused.queued.is_none());
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(bench.wait())).collect();
    for one in &mut waiting {
        assert!(now(one.as_mut()).await.is_none());
    }
    assert!(matches!(bench.wait().await.lease, Err(NoLease::QueueFull(_))));
    drop(waiting.pop());
    assert!(now(pin!(bench.wait()).as_mut()).await.is_none(), "its place is free");
    drop(leases);
}

#[tokio::test]
async fn whose_time_is_over_is_refused_and_says_how_long_it_was() {
    let bench = Bench::new();
    let _leases = bench.fill().await;
    let short = Patience { until: Instant::now() + Duration::from_millis(20), most: 3 };
    let waited = bench.state.lease_or_wait(&Demand::default(), short).await;
    assert!(matches!(waited.lease, Err(NoLease::Refused(_))));
    assert!(waited.queued.is_some() && Instant::now() >= short.until);
    assert_eq!(bench.state.waiting(), 0);
}

#[tokio::test]
async fn what_no_longer_ends_by_itself_is_waited_for_by_nobody() {
    let bench = Bench::new();
    let _leases = bench.fill().await;
    let mut waits = pin!(bench.wait());
    assert!(now(waits.as_mut()).await.is_none());
    bench.state.set_keys(Vec::new());
    let Some(Waited { lease: Err(NoLease::Refused(refusal)), .. }) = now(waits.as_mut()).await else {
        panic!("it waits on")
    };
    assert_eq!(refusal.total, 0);
}

#[tokio::test]
async fn who_waits_in_vain_is_refused_while_others_wait_on() {
    let bench = Bench::new();
    let leases = bench.fill().await;
    let tried = [key("alpha").fingerprint];
    let elsewhere = Demand { tried: &tried, ..Demand::default() };
    bench.state.set_keys(vec![key("alpha"), key("beta")]);
    bench.state.change(|pool| pool.set_rules(Rules { allowed: true, ..Rules::default() }));
    let mut others = Vec::new();
    for _ in 0..CAP {
        others.push(bench.state.lease_or_wait(&elsewhere, patience()).await.lease.unwrap());
    }
    let mut in_vain = pin!(bench.state.lease_or_wait(&elsewhere, patience()));
    let mut waits = pin!(bench.wait());
    assert!(now(in_vain.as_mut()).await.is_none() && now(waits.as_mut()).await.is_none());
    bench.state.set_keys(vec![key("alpha")]);
    let refused = now(in_vain.as_mut()).await.unwrap();
    assert!(matches!(refused.lease, Err(NoLease::Refused(_))), "it has tried alpha");
    assert!(now(waits.as_mut()).await.is_none());
    drop(leases);
    assert!(now(waits.as_mut()).await.unwrap().lease.is_ok());
}

#[tokio::test]
async fn when_kmid_ends_nobody_waits() {
    let bench = Bench::new();
    let mut leases = bench.fill().await;
    let mut waits = pin!(bench.wait());
    assert!(now(waits.as_mut()).await.is_none());
    bench.state.end_waiting();
    assert!(matches!(now(waits.as_mut()).await.unwrap().lease, Err(NoLease::Ending)));
    assert!(matches!(bench.wait().await.lease, Err(NoLease::Ending)));
    leases.pop();
    assert!(bench.wait().await.lease.is_ok(), "a slot that is free is no wait");
}
