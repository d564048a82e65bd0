use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::attempts::{Attempts, FREE, LONGEST_PAUSE, LONGEST_WAIT, MOST, Turn, pause};
use super::peer::{Exposure, Peer, is_near};
use super::places::Places;
use super::tally::{self, Report, Tally};
use super::validity::{Standing, Validity};
use super::{Named, Tokens};
use crate::key::Secret;
use crate::time::Time;

fn at(millis: u64) -> Time {
    Time::from_millis(1_800_000_000_000 + i64::try_from(millis).unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn peer(number: u32) -> Peer {
    Peer::V4(number.to_be_bytes())
}

fn tokens() -> Tokens {
    let named = |name: &str, secret: &str| Named { name: name.into(), secret: Secret::new(secret) };
    Tokens {
        unnamed: Some(Secret::new("the-one")),
        named: vec![named("laptop", "first"), named("desktop", "second")],
    }
}

#[test]
fn a_token_says_whose_it_is() {
    let tokens = tokens();
    let name = |given: &[Option<&[u8]>]| tokens.find(given).map(|name| name.map(|name| name.to_string()));
    assert_eq!(name(&[Some(b"the-one")]), Some(None));
    assert_eq!(name(&[None, Some(b"wrong"), Some(b"second")]), Some(Some("desktop".into())));
    for wrong in [&b""[..], b"firs", b"first2", b"FIRST", b"laptop", b"laptop:first"] {
        assert_eq!(name(&[Some(wrong)]), None);
    }
    assert_eq!(name(&[]), None);
    assert_eq!(Tokens::default().find(&[Some(b"")]), None);
    assert_eq!(tokens.own().unwrap().expose(), "the-one");
    assert!(!format!("{tokens:?}").contains("first"));
}

#[test]
fn tokens_are_compared_with_their_names() {
    let (one, mut other) = (tokens(), tokens());
    assert!(one.same_named(&other) && one.same_unnamed(&other));
    other.named[0].name = "tablet".into();
    other.unnamed = None;
    assert!(!one.same_named(&other) && !one.same_unnamed(&other));
}

#[test]
fn a_line_is_one_peer() {
    assert_eq!(Peer::of(ip("2001:db8:1:2::1")), Peer::of(ip("2001:db8:1:2:ffff::9")));
    assert_ne!(Peer::of(ip("2001:db8:1:2::1")), Peer::of(ip("2001:db8:1:3::1")));
    assert_eq!(Peer::of(ip("::ffff:192.0.2.1")), Peer::of(ip("192.0.2.1")));
    assert_ne!(Peer::of(ip("192.0.2.1")), Peer::of(ip("192.0.2.2")));
    assert_eq!(Peer::of(ip("2001:db8:1:2::1")).to_string(), "2001:db8:1:2::/64");
    assert_eq!(Peer::of(ip("192.0.2.1")).to_string(), "192.0.2.1");
}

#[test]
fn who_may_speak_in_plain_text() {
    let near = ["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.9", "169.254.1.1", "::1", "fd00::1"];
    for address in near.into_iter().chain(["fe80::1", "::ffff:10.0.0.1"]) {
        assert!(is_near(ip(address)) && Exposure::Terminated.lets_connect(ip(address)), "{address}");
    }
    for address in ["8.8.8.8", "172.32.0.1", "100.64.0.1", "192.0.2.1", "2001:db8::1", "::ffff:8.8.8.8"] {
        assert!(!is_near(ip(address)) && !Exposure::Terminated.lets_connect(ip(address)), "{address}");
        assert!(Exposure::Open.lets_connect(ip(address)), "{address}");
    }
    assert!(Exposure::Open.is_shared(ip("::ffff:127.0.0.1")) && !Exposure::Open.is_shared(ip("10.0.0.1")));
    assert!(Exposure::Terminated.is_shared(ip("127.0.0.1")) && Exposure::Loopback.is_shared(ip("127.0.0.1")));
    // It may as well be a neighbour who has found the port.
    assert!(
        !Exposure::Terminated.is_shared(ip("10.0.0.1")) && !Exposure::Terminated.is_shared(ip("fe80::1"))
    );
}

#[test]
fn a_few_mistakes_cost_nothing_and_then_each_costs_more() {
    let mut attempts = Attempts::default();
    for _ in 0..FREE {
        assert_eq!(attempts.turn(peer(1), at(0)), Turn::Now);
        attempts.failed(peer(1), at(0));
    }
    // The next one is looked at, the one after it has to wait, and each waits behind the other.
    assert_eq!(attempts.turn(peer(1), at(0)), Turn::Now);
    assert_eq!(attempts.turn(peer(1), at(0)), Turn::After(Duration::from_millis(250)));
    assert_eq!(attempts.turn(peer(1), at(0)), Turn::After(Duration::from_millis(750)));
    attempts.failed(peer(1), at(250));
    assert_eq!(attempts.turn(peer(1), at(250)), Turn::After(Duration::from_millis(1500)));
    assert_eq!(attempts.turn(peer(1), at(250)), Turn::After(Duration::from_millis(3500)));
    assert_eq!(attempts.turn(peer(2), at(250)), Turn::Now, "another peer is not concerned");
    attempts.succeeded(peer(1));
    assert_eq!(attempts.turn(peer(1), at(250)), Turn::Now);
    assert!(attempts.is_empty());
}

#[test]
fn what_would_wait_too_long_is_refused_and_old_failures_are_forgotten() {
    let mut attempts = Attempts::default();
    (0..50).for_each(|_| attempts.failed(peer(1), at(0)));
    let looked_at =
        (0..50).take_while(|_| !matches!(attempts.turn(peer(1), at(0)), Turn::Refused(_))).count();
    assert_eq!(looked_at, 6, "at 0, 0.25, 0.75, 1.75, 3.75 and 7.75 s; the next would be at 15.75 s");
    assert_eq!(attempts.turn(peer(1), at(0)), Turn::Refused(Duration::from_millis(15_750)));
    assert_eq!(attempts.turn(peer(1), at(6_750)), Turn::After(Duration::from_secs(9)));
    let later = at(16 * 60 * 1000);
    assert_eq!(attempts.turn(peer(1), later), Turn::Now);
    assert!(attempts.is_empty());
    attempts.failed(peer(2), at(0));
    attempts.forget(at(1000));
    assert_eq!(attempts.len(), 1);
    attempts.forget(later);
    assert!(attempts.is_empty());
}

#[test]
fn a_clock_put_back_keeps_nobody_out_for_long() {
    let mut attempts = Attempts::default();
    let day = 86_400_000;
    (0..50).for_each(|_| attempts.failed(peer(1), at(day)));
    assert_eq!(attempts.turn(peer(1), at(day)), Turn::Now);
    assert_eq!(attempts.turn(peer(1), at(0)), Turn::Now);
}

#[test]
fn pauses_grow_and_end() {
    assert_eq!((pause(0), pause(FREE - 1)), (Duration::ZERO, Duration::ZERO));
    assert_eq!(pause(FREE), Duration::from_millis(250));
    assert_eq!(pause(FREE + 1), Duration::from_millis(500));
    assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
}

#[test]
fn a_minute_of_refusals_is_one_line() {
    let mut tally = Tally::default();
    assert!(tally.note(peer(1), "token", at(0)));
    assert!(!tally.note(peer(1), "token", at(1)));
    assert!(!tally.note(peer(1), "token", at(2)));
    assert!(tally.note(peer(1), "web_page", at(2)), "another reason");
    assert_eq!(tally.due(at(59_999)), []);
    assert_eq!(tally.due(at(60_000)), [Report { peer: Some(peer(1)), why: "token", count: 2 }]);
    assert_eq!(tally.due(at(60_002)), []);
    assert!(!tally.note(peer(1), "token", at(60_003)), "its count goes on");
    assert_eq!(tally.due(at(120_000)), [Report { peer: Some(peer(1)), why: "token", count: 1 }]);
    assert_eq!(tally.due(at(180_000)), []);
    assert!(tally.is_empty() && tally.note(peer(1), "token", at(180_001)));
}

#[test]
fn too_many_peers_are_counted_together() {
    let mut tally = Tally::default();
    let said = (0..1000).filter(|number| tally.note(peer(*number), "token", at(0))).count();
    assert_eq!(said, tally::MOST);
    assert_eq!(tally.due(at(60_000)), [Report { peer: None, why: "token", count: 980 }]);
}

#[test]
fn places_are_given_back() {
    let mut places = Places::default();
    assert!(places.enter(peer(1), 2) && places.enter(peer(1), 2) && !places.enter(peer(1), 2));
    assert!(places.enter(peer(2), 2));
    places.leave(peer(1));
    assert!(places.enter(peer(1), 2));
    [1, 1, 2].into_iter().for_each(|number| places.leave(peer(number)));
    places.leave(peer(9));
    assert_eq!(places.peers(), 0);
}

#[test]
fn a_certificate_is_told_fourteen_days_ahead() {
    let day = 86_400_000;
    let validity = Validity { not_before: at(10 * day), not_after: at(100 * day) };
    for (now, standing) in [
        (at(10 * day - 1), Standing::NotYet),
        (at(10 * day), Standing::Good),
        (at(86 * day), Standing::Good),
        (at(86 * day + 1), Standing::EndsSoon(13)),
        (at(99 * day + 1), Standing::EndsSoon(0)),
        (at(100 * day), Standing::Ended),
    ] {
        assert_eq!(validity.standing(now), standing, "{now}");
    }
}

proptest! {
    /// However a peer spreads its attempts, it gets no more of them looked at than the pauses allow.
    #[test]
    fn guesses_are_as_rare_as_the_pauses(steps in prop::collection::vec((0_u64..5000, 1_usize..20), 1..60)) {
        let mut attempts = Attempts::default();
        let mut now = 0;
        let mut due: Vec<u64> = Vec::new();
        let mut looked_at = 0_u32;
        for (step, burst) in steps {
            now += step;
            for _ in 0..burst {
                match attempts.turn(peer(7), at(now)) {
                    Turn::Now => due.push(now),
                    Turn::After(wait) => {
                        prop_assert!(wait <= LONGEST_WAIT);
                        due.push(now + u64::try_from(wait.as_millis()).unwrap());
                    }
                    Turn::Refused(wait) => prop_assert!(wait > LONGEST_WAIT),
                }
                // Those whose turn has come fail.
                let ready = due.iter().filter(|time| **time <= now).count();
                due.retain(|time| *time > now);
                (0..ready).for_each(|_| attempts.failed(peer(7), at(now)));
                looked_at += u32::try_from(ready).unwrap();
            }
        }
        // Between two looks after the free ones lies the pause of all before them.
        let least: u64 = (FREE..looked_at.saturating_sub(1)).map(|n| u64::try_from(pause(n).as_millis()).unwrap()).sum();
        prop_assert!(least <= now, "{looked_at} looks in {now} ms");
    }

    #[test]
    fn the_table_is_bounded(numbers in prop::collection::vec(any::<u32>(), 0..6000)) {
        let mut attempts = Attempts::default();
        for number in numbers {
            attempts.failed(peer(number), at(0));
        }
        prop_assert!(attempts.len() <= MOST);
    }

    /// Nothing that was refused goes unsaid.
    #[test]
    fn counts_are_complete(notes in prop::collection::vec((0_u32..30, 0_u64..40_000), 0..200)) {
        let mut tally = Tally::default();
        let (mut said, mut now) = (0_u64, 0);
        for (number, step) in &notes {
            now += step;
            said += u64::from(tally.note(peer(*number), "token", at(now)));
            said += tally.due(at(now)).iter().map(|report| report.count).sum::<u64>();
        }
        said += tally.due(at(now + 60_000)).iter().map(|report| report.count).sum::<u64>();
        prop_assert_eq!(said, notes.len() as u64);
        tally.due(at(now + 120_000));
        prop_assert!(tally.is_empty());
    }
}
