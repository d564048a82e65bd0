//! `kmi rotate`.

use super::*;

/// What a rotation without a name does: the active key after it, and why.
fn rotate(bench: &mut Bench) -> (String, &'static str) {
    let rotated = bench.pool.rotate(None, bench.now).unwrap();
    assert_eq!(bench.active(), rotated.active.label);
    (rotated.active.label.to_string(), rotated.reason)
}

fn is(label: &str, reason: &'static str) -> (String, &'static str) {
    (label.to_owned(), reason)
}

#[test]
fn the_state_comes_first() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta", "gamma"]);
    bench.left("alpha", 10.0);
    bench.left("beta", 19.0);
    bench.left("gamma", 21.0);
    assert_eq!(rotate(&mut bench), is("gamma", "best"));
    bench.meet("gamma", &refused_for(429, Row::RateLimited, 60));
    assert_eq!(rotate(&mut bench), is("beta", "best"));
}

#[test]
fn then_the_worst_window() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta", "gamma"]);
    for (label, five_hours, week) in [("alpha", 90.0, 40.0), ("beta", 50.0, 60.0), ("gamma", 100.0, 30.0)] {
        let quota = quota("", &[("5h", five_hours, HOUR), ("7d", week, DAY)], bench.now);
        bench.read(label, &quota);
    }
    assert_eq!(rotate(&mut bench), is("beta", "best"));
    assert_eq!(rotate(&mut bench), is("beta", "already_best"));
}

#[test]
fn an_unknown_quota_comes_after_a_known_one() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta"]);
    bench.left("beta", 25.0);
    assert_eq!(rotate(&mut bench), is("beta", "best"));
}

#[test]
fn then_the_error_rate() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta", "gamma"]);
    for (label, good) in [("beta", 3), ("gamma", 9), ("alpha", 1)] {
        bench.meet(label, &BROKE);
        for _ in 0..good {
            bench.meet(label, &Outcome::Completed);
        }
    }
    assert_eq!(rotate(&mut bench), is("gamma", "fewer_errors"));
}

#[test]
fn without_the_one_before_the_next_of_equal_ones_comes() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta", "gamma"]);
    for label in ["alpha", "beta", "gamma"] {
        bench.left(label, 100.0);
    }
    bench.meet("alpha", &dead());
    assert_eq!(rotate(&mut bench), is("beta", "next"));
}

#[test]
fn a_tie_moves_on_when_told_to() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta", "gamma"]);
    for label in ["beta", "gamma", "alpha"] {
        assert_eq!(rotate(&mut bench), is(label, "tie"));
    }
    bench.pool.set_rules(Rules { rotate_on_tie: false, ..Rules::default() });
    assert_eq!(rotate(&mut bench), is("alpha", "already_best"));
}

#[test]
fn a_worse_key_is_no_tie() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta"]);
    bench.left("alpha", 80.0);
    bench.left("beta", 79.0);
    assert_eq!(rotate(&mut bench), is("alpha", "already_best"));
}

#[test]
fn the_only_key_stays() {
    let mut bench = Bench::new(Rules::default(), &["alpha"]);
    assert_eq!(rotate(&mut bench), is("alpha", "only_key"));
}

#[test]
fn a_key_by_name() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta"]);
    let rotated = bench.pool.rotate(Some("beta"), bench.now).unwrap();
    assert_eq!((rotated.previous.as_deref(), rotated.reason), (Some("alpha"), "chosen"));
    assert_eq!(bench.pool.rotate(Some("beta"), bench.now).unwrap().reason, "already_active");
    // a person may choose a key that cannot serve now
    bench.meet("alpha", &dead());
    let rotated = bench.pool.rotate(Some("alpha"), bench.now).unwrap();
    assert_eq!((rotated.state, &*bench.active()), (KeyState::Blocked, "alpha"));
}

#[test]
fn what_there_is_to_refuse() {
    let refusal = |bench: &mut Bench, to| bench.pool.rotate(to, bench.now).unwrap_err();
    assert_eq!(refusal(&mut Bench::new(failover(), &[]), None), RotateError::NoKeys);
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta"]);
    assert_eq!(refusal(&mut bench, Some("nobody")), RotateError::UnknownLabel);
    bench.pool.set_keys(vec![key("alpha"), Key { disabled: true, ..key("beta") }], bench.now);
    assert_eq!(refusal(&mut bench, Some("beta")), RotateError::Disabled);
    bench.meet("alpha", &dead());
    assert_eq!(refusal(&mut bench, None), RotateError::NoneServes);
    assert_eq!(&*bench.active(), "alpha", "a refused rotation changes nothing");
}

#[test]
fn a_half_open_key_is_better_than_none() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta"]);
    bench.meet("beta", &unpaid());
    bench.pass(HOUR);
    assert_eq!(rotate(&mut bench), is("alpha", "better_state"));
    bench.meet("alpha", &dead());
    assert_eq!(rotate(&mut bench), is("beta", "only_one_serves"));
}
