//! Trouble that two accounts meet and a third one does not: it is their own.

use super::outages::limited;
use super::*;
use crate::pool::outage::BreakerState;

impl Bench {
    /// Alpha and beta meet it together; gamma decides, and is served.
    fn gamma_is_served(&mut self, outcome: &Outcome) {
        self.break_down(outcome);
        self.wait();
        let decides = self.lease_of("gamma");
        self.end(decides, &Outcome::Completed);
        assert_eq!(self.breaker(), BreakerState::Closed);
    }
}

#[test]
fn two_bad_accounts_do_not_shut_out_a_third_one() {
    for auto in [false, true] {
        for (outcome, state) in [(unpaid(), KeyState::Blocked), (limited(), KeyState::Cooling)] {
            let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
            bench.pool.set_auto(auto);
            bench.gamma_is_served(&outcome);
            for label in ["alpha", "beta"] {
                bench.meet(label, &outcome);
                assert_eq!(bench.view(label).state, state, "{label}: what it meets is its own");
                assert_eq!(bench.breaker(), BreakerState::Closed);
            }
            let serves = bench.lease_of("gamma");
            bench.end(serves, &Outcome::Completed);
        }
    }
}

#[test]
fn the_head_of_an_answer_is_enough() {
    for outcome in [unpaid(), limited()] {
        let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
        bench.break_down(&outcome);
        bench.wait();
        let thinks = bench.lease_of("gamma");
        assert!(
            bench.pool.head_came(&thinks, false, bench.now).is_empty(),
            "a list of models comes through, too"
        );
        assert!(bench.try_lease().is_err(), "one decides");
        assert_eq!(bench.pool.head_came(&thinks, true, bench.now).len(), 1);
        assert_eq!(bench.breaker(), BreakerState::Closed);
        let next = bench.lease();
        bench.end(next, &outcome);
        assert_eq!(bench.breaker(), BreakerState::Closed, "it is the others' own");
        bench.end(thinks, &Outcome::Completed);
    }
}

#[test]
fn who_is_served_again_is_no_suspect_any_more() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
    bench.gamma_is_served(&unpaid());
    bench.meet("alpha", &Outcome::Completed);
    bench.pass(60);
    bench.break_down(&unpaid());
    for label in ["alpha", "beta", "gamma"] {
        assert_eq!(bench.view(label).state, KeyState::Ready, "{label}");
    }
}

#[test]
fn suspects_are_cleared_with_the_third_account_that_meets_it() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
    bench.gamma_is_served(&unpaid());
    bench.pass(60);
    for label in ["alpha", "beta", "gamma"] {
        bench.meet(label, &unpaid());
    }
    assert_eq!(bench.breaker(), BreakerState::Open, "it is everybody's now");
    for label in ["alpha", "beta", "gamma"] {
        assert_eq!(bench.view(label).state, KeyState::Ready, "{label}");
    }
}

#[test]
fn an_account_that_cannot_tell_leaves_it_to_the_others() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
    bench.break_down(&unpaid());
    bench.wait();
    let asked = bench.lease_of("gamma");
    bench.end(asked, &refused(404, Row::ModelNotFound));
    assert_eq!(bench.breaker(), BreakerState::Open, "that says nothing of memberships");
    bench.wait();
    let decides = bench.lease_of("beta");
    bench.end(decides, &Outcome::Completed);
    assert_eq!(bench.breaker(), BreakerState::Closed);
}

#[test]
fn an_account_that_could_not_tell_at_first_shows_whose_trouble_it_is() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
    bench.break_down(&unpaid());
    bench.wait();
    let asked = bench.lease_of("gamma");
    bench.end(asked, &Outcome::Answered);
    bench.wait();
    bench.pool.rotate(Some("gamma"), bench.now).unwrap();
    let decides = bench.lease_of("gamma");
    bench.end(decides, &Outcome::Completed);
    assert_eq!(bench.breaker(), BreakerState::Closed);
    for label in ["alpha", "beta"] {
        bench.meet(label, &unpaid());
        assert_eq!(
            (bench.state(label), bench.breaker()),
            (KeyState::Blocked, BreakerState::Closed),
            "{label}"
        );
    }
}

#[test]
fn when_all_accounts_have_met_it_any_of_them_decides() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.break_down(&unpaid());
    bench.wait();
    let decides = bench.lease();
    bench.end(decides, &Outcome::Completed);
    assert_eq!(bench.breaker(), BreakerState::Closed);
}
