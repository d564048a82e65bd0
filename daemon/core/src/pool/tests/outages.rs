//! Outages: what two accounts meet together is no key's fault, and what the breaker makes of it.

use super::*;
use crate::pool::outage::{BreakerState, FAILURES, LastAnswer, Trouble, UpstreamView};

pub(super) fn limited() -> Outcome {
    refused(429, Row::RateLimited)
}

fn down() -> Outcome {
    refused(503, Row::UpstreamError)
}

impl Bench {
    fn upstream(&self) -> UpstreamView {
        let [upstream] = self.pool.view(self.now).upstreams.try_into().unwrap();
        upstream
    }

    pub(super) fn breaker(&self) -> BreakerState {
        self.upstream().breaker
    }

    /// Lets the first two accounts meet the same.
    pub(super) fn break_down(&mut self, outcome: &Outcome) {
        self.meet("alpha", outcome);
        self.meet("beta", outcome);
        assert_eq!(self.breaker(), BreakerState::Open, "{outcome:?}");
    }

    /// Waits until the next request decides.
    pub(super) fn wait(&mut self) {
        self.now = self.upstream().until.unwrap();
        assert_eq!(self.breaker(), BreakerState::HalfOpen);
    }
}

#[test]
fn the_same_on_two_accounts_restores_both_keys_and_opens_the_breaker() {
    for (outcome, trouble) in [
        (limited(), Trouble::Throughput),
        (unpaid(), Trouble::Membership),
        (refused(403, Row::ClientRefused), Trouble::Gate),
        (refused(429, Row::Overloaded), Trouble::Failure),
        (refused(529, Row::UpstreamError), Trouble::Failure),
        (BROKE, Trouble::Failure),
    ] {
        let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
        bench.meet("alpha", &outcome);
        assert_eq!(bench.breaker(), BreakerState::Closed, "{outcome:?}: never on a single one");
        bench.pass(9);
        let effects = bench.meet("beta", &outcome);
        let until = bench.upstream().until.unwrap();
        let host = "api.kimi.com".to_owned();
        assert!(effects.contains(&Effect::UpstreamDown { host, until, trouble }), "{effects:?}");
        for label in ["alpha", "beta", "gamma"] {
            let view = bench.view(label);
            assert_eq!((view.state, view.until), (KeyState::Ready, None), "{outcome:?}");
        }
        let refusal = bench.refusal();
        assert!(!refusal.needs_a_person());
        assert_eq!(refusal.soonest().unwrap().1, until);
        let down = refusal.down.unwrap();
        assert_eq!((down.host.as_str(), down.until, down.last.what), ("api.kimi.com", until, outcome.name()));
        assert!(refusal.keys.iter().all(|key| key.obstacle == Obstacle::UpstreamDown));
    }
}

#[test]
fn ten_seconds_apart_are_two_accounts_of_their_own() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.meet("alpha", &refused_for(429, Row::RateLimited, 60));
    bench.pass(11);
    bench.meet("beta", &refused_for(429, Row::RateLimited, 60));
    assert_eq!((bench.left_of("alpha"), bench.left_of("beta")), (Some(49), Some(60)));
    assert_eq!(bench.breaker(), BreakerState::Closed);
}

#[test]
fn keys_of_one_account_are_one_account() {
    for outcome in [limited(), unpaid(), down()] {
        let mut bench = Bench::new(failover(), &["alpha", "beta"]);
        bench.one_account(&["alpha", "beta"]);
        let leases = [bench.lease(), bench.lease()];
        bench.pool.rotate(Some("beta"), bench.now).unwrap();
        let other = bench.lease_of("beta");
        for lease in leases.into_iter().chain([other]) {
            bench.end(lease, &outcome);
        }
        assert_eq!(bench.breaker(), BreakerState::Closed, "{outcome:?}");
        assert_eq!(bench.state("alpha") == KeyState::Ready, outcome == down());
    }
}

#[test]
fn an_account_that_becomes_known_between_two_failures_is_still_one() {
    for outcome in [limited(), down()] {
        let mut bench = Bench::new(failover(), &["alpha", "beta"]);
        let [first, second] = [bench.lease(), bench.lease()];
        bench.end(first, &outcome);
        bench.one_account(&["alpha"]);
        bench.end(second, &outcome);
        assert_eq!(bench.breaker(), BreakerState::Closed, "{outcome:?}");
    }
}

#[test]
fn quotas_bans_and_dead_keys_are_each_accounts_own() {
    for (status, row) in [
        (401, Row::InvalidKey),
        (403, Row::QuotaCycle),
        (403, Row::QuotaWeek),
        (403, Row::QuotaMonth),
        (403, Row::Banned),
        (403, Row::ConcurrentLimit),
        (429, Row::QuotaPeriod),
        (429, Row::Balance),
        (429, Row::TierLimit),
        (403, Row::Unknown),
        (404, Row::ModelNotFound),
    ] {
        let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
        for label in ["alpha", "beta"] {
            bench.meet(label, &refused(status, row));
        }
        assert_eq!(bench.breaker(), BreakerState::Closed, "{row:?}");
        assert_eq!(bench.state("alpha"), bench.state("beta"), "{row:?}");
        assert!(bench.try_lease().is_ok(), "{row:?}: gamma is there");
    }
}

#[test]
fn what_another_refusal_did_meanwhile_stays() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
    let [first, second] = [bench.lease(), bench.lease()];
    bench.end(first, &limited());
    bench.end(second, &refused_for(403, Row::QuotaWeek, 3600));
    bench.meet("beta", &limited());
    assert_eq!((bench.view("alpha").reason, bench.left_of("alpha")), (Some("quota"), Some(HOUR)));
    assert_eq!(bench.state("beta"), KeyState::Ready);
}

#[test]
fn what_was_before_comes_back_exactly() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    // a strike and a cooldown of its own, long ago enough to be no part of it
    let [early, late] = [bench.lease(), bench.lease()];
    bench.end(early, &refused_for(429, Row::RateLimited, 20));
    bench.pass(11);
    let before = bench.pool.snapshot(bench.now).keys;
    bench.end(late, &refused_for(429, Row::RateLimited, 300));
    assert_eq!(bench.left_of("alpha"), Some(300));
    bench.meet("beta", &limited());
    let after = bench.pool.snapshot(bench.now).keys;
    let alpha = key("alpha").fingerprint;
    assert_eq!(
        (&after[&alpha].cooldown, after[&alpha].strikes),
        (&before[&alpha].cooldown, before[&alpha].strikes)
    );
    assert_eq!(bench.left_of("alpha"), Some(9));
}

#[test]
fn a_block_that_was_half_open_is_so_again() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.meet("alpha", &unpaid());
    bench.pass(HOUR);
    assert_eq!(bench.view("alpha").reason, Some("half_open"));
    bench.meet("alpha", &unpaid());
    assert_eq!(bench.left_of("alpha"), Some(2 * HOUR), "the deciding request failed");
    bench.meet("beta", &unpaid());
    assert_eq!(bench.view("alpha").reason, Some("half_open"), "its failure said nothing of it");
    assert_eq!(bench.state("beta"), KeyState::Ready);
}

#[test]
fn a_person_who_cleared_a_key_is_not_undone() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.meet("alpha", &limited());
    bench.pool.unblock(Some("alpha"), bench.now);
    bench.meet("beta", &limited());
    assert_eq!((bench.state("alpha"), bench.state("beta")), (KeyState::Ready, KeyState::Ready));
}

#[test]
fn a_request_that_was_served_between_shows_that_the_upstream_works() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
    let old = bench.lease();
    bench.meet("alpha", &refused_for(429, Row::RateLimited, 30));
    bench.meet("gamma", &Outcome::Completed);
    bench.meet("beta", &refused_for(429, Row::RateLimited, 30));
    assert_eq!((bench.left_of("alpha"), bench.left_of("beta")), (Some(30), Some(30)));
    // one from before says nothing about now
    bench.end(old, &Outcome::Completed);
    bench.meet("gamma", &limited());
    assert_eq!((bench.breaker(), bench.state("beta")), (BreakerState::Open, KeyState::Ready));
}

#[test]
fn one_account_alone_opens_the_breaker_after_failures_in_a_row() {
    for outcome in [down(), BROKE, refused(429, Row::Overloaded)] {
        let mut bench = Bench::new(Rules::default(), &["alpha"]);
        for _ in 1..FAILURES {
            bench.meet("alpha", &outcome);
        }
        bench.meet("alpha", &Outcome::Answered);
        for _ in 1..FAILURES {
            bench.meet("alpha", &outcome);
        }
        assert_eq!(bench.breaker(), BreakerState::Closed, "an answer ends the row");
        bench.meet("alpha", &outcome);
        assert_eq!(bench.breaker(), BreakerState::Open, "{outcome:?}");
    }
    let mut bench = Bench::new(Rules::default(), &["alpha"]);
    for _ in 0..3 * FAILURES {
        bench.meet("alpha", &refused(403, Row::ClientRefused));
    }
    assert_eq!(bench.breaker(), BreakerState::Closed, "a client may be refused as often as it likes");
}

#[test]
fn streams_that_break_midway_and_requests_that_cannot_be_sent_open_nothing() {
    let broke = |phase, kind| Outcome::Broke(Fault { phase, kind });
    for outcome in [
        broke(Phase::Body, FaultKind::Truncated),
        broke(Phase::Body, FaultKind::Closed),
        broke(Phase::Send, FaultKind::Protocol),
        Outcome::ClientLeft,
        Outcome::CutOff,
    ] {
        let mut bench = Bench::new(failover(), &["alpha", "beta"]);
        for label in ["alpha", "beta"].repeat(FAILURES as usize) {
            bench.meet(label, &outcome);
        }
        assert_eq!(bench.breaker(), BreakerState::Closed, "{outcome:?}");
    }
}

#[test]
fn while_it_is_open_one_request_at_a_time_decides() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.break_down(&down());
    assert!(bench.try_lease().is_err());
    bench.wait();
    let probe = bench.lease();
    assert_eq!(bench.breaker(), BreakerState::HalfOpen);
    assert!(bench.try_lease().is_err());
    bench.end(probe, &down());
    assert_eq!(bench.breaker(), BreakerState::Open);
    bench.wait();
    let probe = bench.lease();
    let effects = bench.end(probe, &Outcome::Completed);
    assert_eq!(effects, [Effect::UpstreamUp { host: "api.kimi.com".into() }]);
    assert_eq!(bench.breaker(), BreakerState::Closed);
    assert!(!bench.pool.has_trouble());
    let _both = [bench.lease(), bench.lease()];
}

/// One request of a client, by turns with any key.
fn ask(bench: &mut Bench, name: &'static str, outcome: &Outcome) {
    let lease = lease_for(bench, name).unwrap();
    bench.end(lease, outcome);
}

fn lease_for(bench: &mut Bench, name: &'static str) -> Result<Lease, Refusal> {
    bench.pool.lease(&Demand { client: client(name), ..Demand::default() }, bench.now)
}

fn gate() -> Outcome {
    refused(403, Row::ClientRefused)
}

/// Two refusals, each of another account.
fn shut_the_gate_for(bench: &mut Bench, name: &'static str) {
    ask(bench, name, &gate());
    assert!(lease_for(bench, name).map(|lease| bench.end(lease, &gate())).is_ok());
    let refusal = lease_for(bench, name).unwrap_err();
    assert!(refusal.down.as_ref().is_some_and(|down| down.only_for_client));
    assert!(!refusal.may_end_by(bench.now + secs(60)), "it has its answer at once");
}

#[test]
fn the_gate_stops_the_client_that_it_refuses_and_no_other() {
    let mut bench = Bench::auto(failover(), &["alpha", "beta"]);
    shut_the_gate_for(&mut bench, "curl");
    assert_eq!(bench.upstream().trouble, Some(Trouble::Gate));
    let outlook = bench.pool.outlook(bench.now);
    assert!(!outlook.waits(&Demand { client: client("curl"), ..Demand::default() }, bench.now + secs(60)));
    // Another client is not refused for it, nor does its request decide about the first one's.
    let good = lease_for(&mut bench, "kimi-cli").unwrap();
    assert!(lease_for(&mut bench, "curl").is_err());
    // Its answer shows that the gate is open, whoever was refused.
    bench.end(good, &Outcome::Completed);
    assert!(!bench.pool.has_trouble());
    ask(&mut bench, "curl", &Outcome::Completed);
}

#[test]
fn a_gate_that_is_shut_for_all_is_found_out_by_each_client_and_costs_no_key() {
    let mut bench = Bench::auto(failover(), &["alpha", "beta"]);
    for name in ["kimi-cli", "kimi-code"] {
        shut_the_gate_for(&mut bench, name);
    }
    bench.pass(1);
    for name in ["kimi-cli", "kimi-code"] {
        let probe = lease_for(&mut bench, name).unwrap();
        assert!(lease_for(&mut bench, name).is_err(), "one of each client at a time");
        bench.end(probe, &gate());
        assert!(lease_for(&mut bench, name).is_err());
    }
    assert_eq!((bench.state("alpha"), bench.state("beta")), (KeyState::Ready, KeyState::Ready));
    bench.wait();
    ask(&mut bench, "kimi-code", &Outcome::Completed);
    ask(&mut bench, "kimi-cli", &Outcome::Completed);
    assert!(!bench.pool.has_trouble());
}

#[test]
fn what_a_client_meets_that_may_ask_the_gate_again() {
    for (met, passes) in
        [(gate(), false), (down(), false), (Outcome::Answered, false), (limited(), true), (dead(), false)]
    {
        let mut bench = Bench::auto(failover(), &["alpha", "beta", "gamma"]);
        shut_the_gate_for(&mut bench, "curl");
        bench.pass(1);
        ask(&mut bench, "curl", &met);
        assert_eq!(lease_for(&mut bench, "curl").is_ok(), passes, "{met:?}");
        assert!(lease_for(&mut bench, "kimi-cli").is_ok(), "{met:?}");
    }
}

#[test]
fn an_outage_stops_a_client_that_the_gate_refuses_like_all_others() {
    let mut bench = Bench::auto(failover(), &["alpha", "beta"]);
    shut_the_gate_for(&mut bench, "curl");
    for _ in 0..2 {
        ask(&mut bench, "kimi-cli", &down());
    }
    assert_eq!(bench.upstream().trouble, Some(Trouble::Failure), "what stops all is shown first");
    for name in ["curl", "kimi-cli"] {
        assert!(lease_for(&mut bench, name).is_err());
    }
    bench.pass(1);
    // It decides about both. A gate that answers shows that the outage is over.
    ask(&mut bench, "curl", &gate());
    assert!(lease_for(&mut bench, "curl").is_err());
    ask(&mut bench, "kimi-cli", &Outcome::Completed);
    assert!(!bench.pool.has_trouble());
}

#[test]
fn clients_with_ever_new_names_do_not_fill_the_memory() {
    let mut bench = Bench::auto(failover(), &["alpha", "beta"]);
    for number in 0..1000 {
        let name: &'static str = format!("client {number}").leak();
        shut_the_gate_for(&mut bench, name);
    }
    let refused = bench.pool.outages.refused_clients(&key("alpha").base_url, bench.now).count();
    assert_eq!(refused, 64);
    assert!(lease_for(&mut bench, "client 999").is_err(), "the last ones are known");
}

#[test]
fn what_the_deciding_request_may_meet() {
    for (opened_by, met, closes) in [
        (down(), Outcome::Answered, true),
        (down(), dead(), true),
        (down(), refused(403, Row::QuotaCycle), true),
        (down(), refused(400, Row::InvalidRequest), true),
        (down(), refused(418, Row::Unknown), true),
        (down(), limited(), true),
        (limited(), limited(), false),
        (limited(), unpaid(), true),
        (limited(), down(), false),
        (unpaid(), unpaid(), false),
        (down(), BROKE, false),
        (down(), Outcome::Broke(Fault { phase: Phase::Body, kind: FaultKind::Truncated }), false),
    ] {
        let mut bench = Bench::new(failover(), &["alpha", "beta"]);
        bench.break_down(&opened_by);
        bench.wait();
        let probe = bench.lease();
        let label = probe.key.label.clone();
        bench.end(probe, &met);
        let open = bench.breaker() != BreakerState::Closed;
        assert_eq!(open, !closes, "{opened_by:?}, then {met:?}");
        if open {
            assert_eq!(bench.state(&label), KeyState::Ready, "{met:?} on a probe is no key's fault");
        }
    }
}

#[test]
fn a_probe_whose_client_leaves_decides_nothing() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.break_down(&down());
    bench.wait();
    let probe = bench.lease();
    bench.end(probe, &Outcome::ClientLeft);
    assert!(bench.try_lease().is_err(), "not two in one second");
    bench.pass(1);
    let probe = bench.lease();
    bench.end(probe, &Outcome::Completed);
    assert_eq!(bench.breaker(), BreakerState::Closed);
}

#[test]
fn the_answer_closes_it_and_not_the_end_of_the_body() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    let mut old = bench.lease();
    bench.break_down(&down());
    bench.pool.answered(&mut old, bench.now);
    assert_eq!(bench.breaker(), BreakerState::Open, "that one began before the trouble");
    bench.wait();
    let mut probe = bench.lease();
    let effects = bench.pool.answered(&mut probe, bench.now);
    assert_eq!(effects, [Effect::UpstreamUp { host: "api.kimi.com".into() }]);
    bench.break_down(&down());
    bench.end(probe, &Outcome::Completed);
    assert_eq!(bench.breaker(), BreakerState::Open, "it has told what it knew");
}

#[test]
fn a_good_head_lets_the_next_one_decide_too() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.break_down(&down());
    bench.wait();
    let thinks = bench.lease();
    bench.pass(2);
    assert!(bench.try_lease().is_err(), "one decides");
    assert!(bench.pool.head_came(&thinks, true, bench.now).is_empty());
    let next = bench.lease();
    assert!(bench.try_lease().is_err(), "and not two in one second");
    bench.end(thinks, &Outcome::Completed);
    assert_eq!(bench.breaker(), BreakerState::Closed);
    bench.end(next, &Outcome::Completed);
}

#[test]
fn requests_that_were_under_way_when_it_opened_cost_no_key() {
    let mut bench = Bench::auto(Rules::default(), &["alpha", "beta", "gamma", "delta"]);
    let leases: Vec<Lease> = (0..8).map(|_| bench.lease()).collect();
    for lease in leases {
        bench.end(lease, &refused_for(429, Row::RateLimited, 300));
    }
    for label in ["alpha", "beta", "gamma", "delta"] {
        assert_eq!(bench.state(label), KeyState::Ready, "{label}");
    }
    assert!(bench.upstream().until.unwrap() <= bench.now + secs(1), "they are no probes that failed");
}

#[test]
fn another_host_goes_on() {
    let mut bench = Bench::new(failover(), &[]);
    let global = BaseUrl::parse("https://api.kimi.ai/coding/v1").unwrap();
    let other = Key { base_url: global, ..key("gamma") };
    bench.pool.set_keys(keys(&["alpha", "beta"]).into_iter().chain([other]).collect(), bench.now);
    bench.meet("alpha", &down());
    bench.meet("beta", &down());
    assert_eq!(&*bench.lease_of("gamma").key.label, "gamma");
    assert_eq!(&*bench.active(), "beta", "it is lent out");
    let breakers: Vec<_> = bench
        .pool
        .view(bench.now)
        .upstreams
        .into_iter()
        .map(|upstream| (upstream.host, upstream.breaker))
        .collect();
    assert_eq!(
        breakers,
        [("api.kimi.com".to_owned(), BreakerState::Open), ("api.kimi.ai".to_owned(), BreakerState::Closed)]
    );
    bench.pool.set_keys(keys(&[]), bench.now);
    assert!(!bench.pool.has_trouble(), "nothing is kept of hosts without keys");
}

#[test]
fn a_person_rotates_as_before() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.break_down(&down());
    assert_eq!(&*bench.pool.rotate(Some("alpha"), bench.now).unwrap().active.label, "alpha");
    assert!(bench.pool.rotate(None, bench.now).is_ok());
}

#[test]
fn the_last_answer_is_told() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.break_down(&refused(529, Row::UpstreamError));
    assert_eq!(bench.refusal().down.unwrap().last, LastAnswer { status: Some(529), what: "upstream_error" });
    bench.wait();
    let probe = bench.lease();
    bench.end(probe, &BROKE);
    assert_eq!(bench.refusal().down.unwrap().last, LastAnswer { status: None, what: "upstream_broke" });
}
