//! Sessions and their keys.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::pool::Placement::{LentOut, Moved, New, NoSession, Stayed};
use crate::pool::outage::TOGETHER;

pub(super) fn id(number: u8) -> SessionId {
    SessionId([number; 8])
}

impl Bench {
    fn lease_for(&mut self, session: u8, tried: &[&str]) -> Lease {
        let tried: Vec<Fingerprint> = tried.iter().map(|label| key(label).fingerprint).collect();
        self.pool
            .lease(&Demand { tried: &tried, session: Some(id(session)), ..Demand::default() }, self.now)
            .unwrap()
    }

    /// One request of a session: who served it, and why.
    fn ask(&mut self, session: u8, outcome: &Outcome) -> (String, Placement) {
        let lease = self.lease_for(session, &[]);
        let got = (lease.key.label.to_string(), lease.decision.placement);
        self.end(lease, outcome);
        got
    }

    /// One whose client leaves before there is an answer.
    fn asks_unanswered(&mut self, session: u8) -> (String, Placement) {
        self.ask(session, &Outcome::ClientLeft)
    }

    fn asks(&mut self, session: u8) -> (String, Placement) {
        self.ask(session, &Outcome::Completed)
    }
}

fn at(label: &str, placement: Placement) -> (String, Placement) {
    (label.to_owned(), placement)
}

const ABC: [&str; 3] = ["alpha", "beta", "gamma"];

#[test]
fn new_sessions_are_spread_and_stay() {
    let mut bench = Bench::auto(failover(), &ABC);
    assert_eq!(bench.asks(1), at("alpha", New));
    assert_eq!(bench.asks(2), at("beta", New));
    assert_eq!(&*bench.serve(), "gamma");
    assert_eq!(bench.asks(1), at("alpha", Stayed));
    assert_eq!(bench.asks(3), at("alpha", New));
    for _ in 0..3 {
        assert_eq!((bench.asks(1), bench.asks(2)), (at("alpha", Stayed), at("beta", Stayed)));
    }
    let view = bench.pool.view(bench.now);
    assert_eq!(view.sessions, 3);
    assert_eq!(view.keys.iter().map(|key| key.sessions).collect::<Vec<_>>(), [2, 1, 0]);
}

#[test]
fn requests_that_begin_together_find_one_home() {
    let mut bench = Bench::auto(failover(), &ABC);
    let leases: Vec<Lease> = (0..4).map(|_| bench.lease_for(1, &[])).collect();
    assert!(leases.iter().all(|lease| &*lease.key.label == "alpha"));
    assert_eq!(
        leases.iter().map(|lease| lease.decision.placement).collect::<Vec<_>>(),
        [New, Stayed, Stayed, Stayed]
    );
}

#[test]
fn a_lasting_obstacle_moves_for_good() {
    let last = [
        refused_for(403, Row::QuotaCycle, 5),
        refused(402, Row::Payment),
        refused(401, Row::InvalidKey),
        refused(403, Row::Banned),
        refused_for(429, Row::TierLimit, 1152),
    ];
    for outcome in last {
        let mut bench = Bench::auto(failover(), &ABC);
        assert_eq!(bench.ask(1, &outcome), at("alpha", New));
        let lease = bench.lease_for(1, &["alpha"]);
        assert_eq!((&*lease.key.label, lease.decision.placement), ("beta", Moved), "{outcome:?}");
        bench.end(lease, &Outcome::Completed);
        bench.pool.unblock(None, bench.now);
        assert_eq!(bench.asks(1), at("beta", Stayed), "{outcome:?}");
        assert_eq!(bench.view("alpha").sessions, 0);
    }
}

/// A request of a session for a model: it is sent to one key after the other while those refuse it. Who did, in their
/// order, and who completed it.
fn asks_for_a_model(bench: &mut Bench, session: u8, who_has_it: &[&str]) -> (String, Option<String>) {
    let mut tried: Vec<&str> = Vec::new();
    while tried.len() < ABC.len() {
        let lease = bench.lease_for(session, &tried);
        let label = ABC.into_iter().find(|label| *label == &*lease.key.label).unwrap();
        if who_has_it.contains(&label) {
            bench.end(lease, &Outcome::Completed);
            return (tried.join(" "), Some(label.to_owned()));
        }
        bench.end(lease, &refused(404, Row::ModelNotFound));
        tried.push(label);
    }
    (tried.join(" "), None)
}

#[test]
fn a_model_that_no_key_has_drives_no_session_from_its_home() {
    let mut bench = Bench::auto(failover(), &ABC);
    assert_eq!(bench.asks(1), at("alpha", New));
    assert_eq!(asks_for_a_model(&mut bench, 1, &[]), ("alpha beta gamma".to_owned(), None));
    assert_eq!(bench.view("alpha").sessions, 1);
    assert_eq!(bench.asks(1), at("alpha", Stayed));
    // What is lent out later for another reason is just lent.
    bench.ask(1, &refused(403, Row::ConcurrentLimit));
    let lease = bench.lease_for(1, &["alpha"]);
    bench.end(lease, &Outcome::Completed);
    assert_eq!(bench.asks(1), at("alpha", Stayed));
}

#[test]
fn a_model_that_its_home_lacks_moves_a_session_to_the_key_that_has_it() {
    let mut bench = Bench::auto(failover(), &ABC);
    bench.asks(1);
    assert_eq!(
        asks_for_a_model(&mut bench, 1, &["gamma"]),
        ("alpha beta".to_owned(), Some("gamma".to_owned()))
    );
    assert_eq!(["alpha", "beta", "gamma"].map(|label| bench.view(label).sessions), [0, 0, 1]);
    assert_eq!(
        asks_for_a_model(&mut bench, 1, &["gamma"]),
        (String::new(), Some("gamma".to_owned())),
        "once"
    );
    assert_eq!(bench.asks(1), at("gamma", Stayed));
    // So does its first request.
    assert_eq!(asks_for_a_model(&mut bench, 2, &["gamma"]).1.as_deref(), Some("gamma"));
    assert_eq!(bench.asks(2), at("gamma", Stayed));
}

#[test]
fn a_request_that_its_home_has_not_refused_moves_nothing() {
    let mut bench = Bench::auto(failover(), &ABC);
    let long = bench.lease_for(1, &[]);
    bench.ask(1, &refused(404, Row::ModelNotFound));
    // Lent out without having been there; the client of the refused one has given up.
    bench.left("alpha", 90.0);
    let one = Quota { parallel_limit: Some(1), ..quota("", &[("5h", 90.0, HOUR)], bench.now) };
    bench.read("alpha", &one);
    assert_eq!(bench.asks(1).1, LentOut);
    bench.end(long, &Outcome::Completed);
    assert_eq!(bench.asks(1), at("alpha", Stayed));
}

#[test]
fn what_moves_nobody_to_a_session_that_has_moved_since() {
    let mut bench = Bench::auto(failover(), &ABC);
    bench.asks(1);
    bench.ask(1, &refused(404, Row::ModelNotFound));
    let retry = bench.lease_for(1, &["alpha"]);
    assert_eq!((&*retry.key.label, retry.decision.placement), ("beta", LentOut));
    bench.ask(1, &dead());
    assert_eq!(bench.asks(1), at("gamma", Moved));
    bench.end(retry, &Outcome::Completed);
    assert_eq!(bench.asks(1), at("gamma", Stayed));
}

#[test]
fn where_it_was_lent_before_it_goes_again_only_while_no_higher_tier_can_serve() {
    let mut bench = Bench::auto(failover(), &ABC);
    let tiers = [("alpha", 5), ("beta", 5), ("gamma", 0)];
    let tiers = tiers.map(|(label, priority)| Key { priority, ..key(label) });
    bench.pool.set_keys(tiers.to_vec(), bench.now);
    assert_eq!(bench.asks(1), at("alpha", New));
    for (tried, lent_to) in
        [(&["alpha", "beta"][..], "gamma"), (&["alpha"], "beta"), (&["alpha", "beta"], "gamma")]
    {
        let lease = bench.lease_for(1, tried);
        assert_eq!((&*lease.key.label, lease.decision.placement), (lent_to, LentOut), "{tried:?}");
        bench.end(lease, &Outcome::Completed);
    }
}

#[test]
fn what_is_taken_back_brings_the_sessions_home() {
    for (outcome, wait) in [(unpaid(), 0), (refused_for(429, Row::RateLimited, 1152), 0), (unpaid(), 11)] {
        let mut bench = Bench::auto(failover(), &ABC);
        assert_eq!((bench.asks(1), bench.asks(2)), (at("alpha", New), at("beta", New)));
        bench.ask(1, &outcome);
        assert_eq!(bench.asks_unanswered(1), at("gamma", Moved), "{outcome:?}");
        bench.pass(wait);
        bench.ask(2, &outcome);
        if wait > 0 {
            assert_eq!(bench.asks(1), at("gamma", Stayed), "two accounts with troubles of their own");
            continue;
        }
        assert_eq!(["alpha", "beta", "gamma"].map(|label| bench.view(label).sessions), [1, 1, 0]);
        bench.pass(2);
        assert_eq!(bench.asks(1), at("gamma", LentOut), "an account that has not met it decides");
        assert_eq!(bench.asks(1), at("alpha", Stayed), "{outcome:?}");
        assert_eq!(bench.asks(2), at("beta", Stayed), "{outcome:?}");
    }
}

#[test]
fn a_home_that_cannot_serve_for_another_reason_calls_nobody_back() {
    let mut bench = Bench::auto(failover(), &ABC);
    bench.asks(1);
    bench.ask(1, &unpaid());
    assert_eq!(bench.asks_unanswered(1), at("beta", Moved));
    bench.left("alpha", 0.0);
    assert_eq!(bench.ask(1, &unpaid()), at("beta", Stayed));
    bench.pass(2);
    assert_eq!(bench.asks(1), at("gamma", LentOut), "an account that has not met it decides");
    assert_eq!(bench.asks(1), at("beta", Stayed));
}

#[test]
fn a_window_that_reads_empty_moves() {
    let mut bench = Bench::auto(failover(), &ABC);
    bench.asks(1);
    bench.left("alpha", 0.0);
    assert_eq!(bench.asks(1), at("beta", Moved));
    bench.left("alpha", 90.0);
    assert_eq!(bench.asks(1), at("beta", Stayed));
}

#[test]
fn a_key_in_warn_keeps_its_sessions() {
    let mut bench = Bench::auto(failover(), &ABC);
    bench.asks(1);
    bench.left("alpha", 5.0);
    assert_eq!(bench.asks(1), at("alpha", Stayed));
    assert_eq!(bench.asks(2), at("beta", New));
}

#[test]
fn a_rate_limit_lends_out_and_returns() {
    let mut bench = Bench::auto(failover(), &ABC);
    assert_eq!(bench.ask(1, &refused_for(429, Row::RateLimited, 30)), at("alpha", New));
    assert_eq!(bench.asks(1), at("beta", LentOut));
    // While it is away it stays together, too.
    assert_eq!(bench.asks(1), at("beta", LentOut));
    assert_eq!(bench.view("alpha").sessions, 1);
    bench.pass(30);
    assert_eq!(bench.asks(1), at("alpha", Stayed));
    // And when it is lent out again, it goes where a part of its context is.
    bench.serve_many(2);
    bench.ask(1, &refused_for(429, Row::RateLimited, 30));
    assert_eq!(bench.asks(1), at("beta", LentOut));
}

#[test]
fn what_was_tried_lends_out() {
    let mut bench = Bench::auto(failover(), &ABC);
    assert_eq!(bench.ask(1, &refused(403, Row::ConcurrentLimit)), at("alpha", New));
    let lease = bench.lease_for(1, &["alpha"]);
    assert_eq!((&*lease.key.label, lease.decision.placement), ("beta", LentOut));
    bench.end(lease, &Outcome::Completed);
    let lease = bench.lease_for(1, &["alpha", "beta"]);
    assert_eq!((&*lease.key.label, lease.decision.placement), ("gamma", LentOut));
    bench.end(lease, &Outcome::Completed);
    assert_eq!(bench.asks(1), at("alpha", Stayed));
}

#[test]
fn a_full_account_lends_out() {
    let mut bench = Bench::auto(failover(), &ABC);
    let now = bench.now;
    let one = Quota { parallel_limit: Some(1), ..quota("one", &[("5h", 90.0, HOUR)], now) };
    bench.read("alpha", &one);
    let first = bench.lease_for(1, &[]);
    assert_eq!((&*first.key.label, first.decision.placement), ("alpha", New));
    assert_eq!(bench.asks(1), at("beta", LentOut));
    bench.end(first, &Outcome::Completed);
    assert_eq!(bench.asks(1), at("alpha", Stayed));
}

#[test]
fn a_limit_of_our_own_lends_out() {
    let limit_per_key = crate::rate::Limit { per_second: Some(1), per_minute: None };
    let mut bench = Bench::auto(Rules { limit_per_key, ..failover() }, &ABC);
    assert_eq!(bench.asks(1), at("alpha", New));
    assert_eq!(bench.asks(1), at("beta", LentOut));
    bench.pass(1);
    assert_eq!(bench.asks(1), at("alpha", Stayed));
}

#[test]
fn a_half_open_home_lends_out_while_one_request_decides() {
    let mut bench = Bench::auto(failover(), &ABC);
    bench.asks(1);
    bench.asks(2);
    bench.asks(3);
    assert_eq!(bench.ask(4, &unpaid()), at("alpha", New));
    assert!(bench.recheck("alpha"));
    let probe = bench.lease_for(4, &[]);
    assert_eq!((&*probe.key.label, probe.decision.placement, probe.probe), ("alpha", Stayed, true));
    assert_eq!(bench.asks(1).1, LentOut);
    bench.end(probe, &Outcome::Completed);
    assert_eq!(bench.asks(1), at("alpha", Stayed));
}

#[test]
fn a_key_that_goes_or_is_switched_off_is_left() {
    let mut bench = Bench::auto(failover(), &ABC);
    bench.asks(1);
    bench.asks(2);
    let now = bench.now;
    bench.pool.set_keys(keys(&["beta", "gamma"]), now);
    assert_eq!(bench.pool.view(now).sessions, 2, "the key may come back before the session does");
    assert_eq!(bench.asks(1).1, Moved);
    let off = Key { disabled: true, ..key("beta") };
    bench.pool.set_keys(vec![off, key("gamma")], now);
    assert_eq!(bench.asks(2), at("gamma", Moved));
}

#[test]
fn a_session_that_finds_no_key_keeps_its_home() {
    let mut bench = Bench::auto(failover(), &["alpha"]);
    bench.asks(1);
    bench.left("alpha", 0.0);
    assert!(bench.pool.lease(&Demand { session: Some(id(1)), ..Demand::default() }, bench.now).is_err());
    bench.left("alpha", 50.0);
    assert_eq!(bench.asks(1), at("alpha", Stayed));
}

#[test]
fn sessions_count_only_in_auto_mode_and_only_when_wanted() {
    let mut bench = Bench::new(failover(), &ABC);
    assert_eq!((bench.asks(1), bench.asks(2)), (at("alpha", NoSession), at("alpha", NoSession)));
    assert!(bench.pool.set_auto(true));
    assert_eq!(bench.asks(1).1, New);
    bench.pool.set_rules(Rules { session_affinity: false, ..failover() });
    assert_eq!(bench.pool.view(bench.now).sessions, 0);
    assert_eq!((bench.asks(1), bench.asks(1)), (at("beta", NoSession), at("gamma", NoSession)));
}

#[test]
fn an_hour_later_it_is_a_new_session() {
    let mut bench = Bench::auto(failover(), &ABC);
    assert_eq!(bench.asks(1), at("alpha", New));
    bench.pass(HOUR - 1);
    assert_eq!(bench.asks(1), at("alpha", Stayed));
    bench.pass(HOUR);
    assert_eq!(bench.pool.view(bench.now).sessions, 0);
    assert_eq!(bench.asks(1), at("beta", New));
}

#[test]
fn tokens_are_counted_by_key_and_kept() {
    let mut bench = Bench::auto(failover(), &["alpha"]);
    for (input, cached, output) in [(100, 0, 7), (200, 150, 3)] {
        let mut lease = bench.lease();
        lease.tokens = Tokens { input, cached, output };
        bench.end(lease, &Outcome::Completed);
    }
    // A client that leaves has had its tokens all the same.
    let mut lease = bench.lease();
    lease.tokens = Tokens { input: 100, cached: 50, output: 0 };
    bench.end(lease, &Outcome::ClientLeft);
    let tokens = Tokens { input: 400, cached: 200, output: 10 };
    assert_eq!(bench.view("alpha").tokens, tokens);
    assert_eq!(tokens.cache_share(), Some(0.5));
    assert_eq!(Tokens::default().cache_share(), None);
    bench.restart();
    assert_eq!(bench.view("alpha").tokens, tokens);
}

/// Where a bystander believes that sessions live.
#[derive(Debug, Default)]
pub(super) struct Homes {
    homes: BTreeMap<SessionId, (Fingerprint, Time)>,
    /// Moves, the last of each session from each key.
    moves: BTreeMap<(SessionId, Fingerprint), Time>,
    /// Sessions that were idle for too long at some time, by a clock that may have been set back since: they may be
    /// forgotten.
    doubtful: BTreeSet<SessionId>,
    /// Sessions whose home has refused a request for what the key is, and has completed none since.
    unfit: BTreeMap<SessionId, Fingerprint>,
    /// Of each lease its session, and whether the home has refused this very request so.
    leases: BTreeMap<u64, (SessionId, bool)>,
}

impl Homes {
    /// What must hold of a lease that a session got. `session` is `None` where sessions do not count.
    pub(super) fn check(
        &mut self,
        session: Option<SessionId>,
        tried: &[Fingerprint],
        lease: &Lease,
        before: &[KeyView],
        now: Time,
    ) {
        let Some(session) = session else { return assert_eq!(lease.decision.placement, NoSession) };
        let key = lease.key.fingerprint;
        let fresh = |used: &Time| now.since(*used).max(used.since(now)) < secs(HOUR);
        let home = self.homes.get(&session).filter(|(_, used)| fresh(used)).map(|(home, _)| *home);
        let view = home.and_then(|home| before.iter().find(|view| view.fingerprint == home));
        // A pause that put the deciding request off may be short or long: the view does not say which.
        let half_open = view.is_some_and(|view| view.reason == Some("half_open"));
        let out_for_good = view.is_none_or(|view| match view.state {
            KeyState::Ready | KeyState::Warn => false,
            KeyState::Disabled => true,
            KeyState::Blocked => !half_open,
            KeyState::Cooling => {
                view.reason != Some("rate_limited") || view.until.unwrap().since(now) > secs(300)
            }
        });
        match lease.decision.placement {
            NoSession => panic!("a session that counts was not placed"),
            New => assert!(home.is_none() || self.doubtful.contains(&session)),
            Stayed => assert_eq!(home, Some(key)),
            LentOut => assert!(home.is_some_and(|home| home != key) && !out_for_good, "{view:?}"),
            Moved => {
                assert_ne!(home, Some(key), "it goes where it came from");
                self.moves.extend(home.map(|home| ((session, home), now)));
                let paused = half_open && view.is_some_and(|view| view.until.is_some());
                assert!(home.is_some() && (out_for_good || paused), "{view:?}");
            }
        }
        let refused = self.unfit.get(&session).is_some_and(|home| tried.contains(home));
        self.leases.insert(lease.number, (session, refused && lease.decision.placement == LentOut));
        let home = if matches!(lease.decision.placement, New | Moved) { key } else { home.unwrap() };
        if matches!(lease.decision.placement, New | Moved) {
            self.unfit.remove(&session);
        }
        self.lives(session, home, now);
    }

    fn lives(&mut self, session: SessionId, home: Fingerprint, now: Time) {
        let fresh = |used: &Time| now.since(*used).max(used.since(now)) < secs(HOUR);
        let idle = self.homes.iter().filter(|(_, (_, used))| !fresh(used)).map(|(id, _)| *id);
        self.doubtful.extend(idle);
        self.doubtful.remove(&session);
        self.homes.insert(session, (home, now));
    }

    /// What a refusal had done to keys was taken back: sessions that had left them for it are home again.
    pub(super) fn taken_back(&mut self, pool: &Pool, restored: &[Fingerprint], now: Time) {
        for (id, (home, _)) in &mut self.homes {
            let Some(session) = pool.sessions.get(*id, now) else { continue };
            if session.home != *home {
                let moved_at = self.moves.get(&(*id, session.home)).copied().unwrap();
                assert!(now.since(moved_at).max(moved_at.since(now)) <= TOGETHER);
                assert!(restored.contains(&session.home), "its key was at fault");
                *home = session.home;
                self.unfit.remove(id);
            }
        }
    }

    /// A lease ends.
    pub(super) fn ended(&mut self, pool: &Pool, lease: &Lease, outcome: &Outcome, now: Time) {
        let Some((session, refused_at_home)) = self.leases.remove(&lease.number) else { return };
        let key = lease.key.fingerprint;
        let Some((home, used)) = self.homes.get(&session).copied() else { return };
        let is_unfit = self.unfit.contains_key(&session);
        match outcome {
            Outcome::Refused { status: 404, .. } if home == key => {
                self.unfit.insert(session, key);
            }
            // What another host completes says nothing of the key at this one.
            Outcome::Completed if pool.entry(key).is_none_or(|it| it.key.base_url != lease.key.base_url) => {}
            Outcome::Completed if refused_at_home => {
                let known = now.since(used).max(used.since(now)) < secs(HOUR);
                if is_unfit && known && !self.doubtful.contains(&session) {
                    self.unfit.remove(&session);
                    self.lives(session, key, now);
                }
            }
            Outcome::Completed if home == key => {
                self.unfit.remove(&session);
            }
            _ => {}
        }
    }
}
