//! Random histories, and what must hold after each step of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::affinity::Homes;
use super::events::{Event, LABELS, any_history, healthy_history, rules};
use super::*;
use crate::cooldown;
use crate::ledger::Source;
use crate::outcome::Party;
use crate::pool::view::{ErrorCounts, FigureView};

/// What a bystander knows of one key who only counts.
#[derive(Debug, Default)]
struct Counted {
    leases: u64,
    errors: ErrorCounts,
    account: Option<String>,
    /// The lease that decides about the half-open key.
    probe: Option<usize>,
}

/// Programs that ask; a session is one's, and who names no session names no program.
const CLIENTS: [&str; 2] = ["kimi-cli", "curl"];

/// A pool, and a bystander who counts.
struct History {
    bench: Bench,
    /// Leases that have not ended, each with its number.
    out: Vec<(usize, Lease)>,
    granted: usize,
    counted: BTreeMap<Fingerprint, Counted>,
    homes: Homes,
}

impl History {
    fn new(rules: Rules) -> Self {
        let bench = Bench::new(rules, &LABELS);
        let mut history =
            Self { bench, out: Vec::new(), granted: 0, counted: BTreeMap::new(), homes: Homes::default() };
        history.count_anew();
        history
    }

    fn now(&self) -> Time {
        self.bench.now
    }

    fn views(&self) -> Vec<KeyView> {
        self.bench.pool.view(self.now()).keys
    }

    /// A key that was away may have lost its record.
    fn count_anew(&mut self) {
        for view in self.views() {
            let counted = self.counted.entry(view.fingerprint).or_default();
            (counted.leases, counted.errors) = (view.requests, view.errors);
            // forgotten with its reading, or left behind at another host
            counted.account = counted.account.take().filter(|_| view.reading.is_some());
        }
    }

    fn step(&mut self, event: &Event) {
        let now = self.now();
        match event {
            Event::Lease(tried, session) => {
                self.lease(&fingerprints(*tried), session.map(super::affinity::id));
            }
            Event::End { which, outcome, random } => {
                if !self.out.is_empty() {
                    let index = which % self.out.len();
                    self.end(index, outcome, *random);
                }
            }
            Event::Answer { which, is_output } => {
                if !self.out.is_empty() {
                    self.answer(which % self.out.len(), *is_output);
                }
            }
            Event::GiveBack(which) => {
                if !self.out.is_empty() {
                    self.give_back(which % self.out.len());
                }
            }
            Event::Read { key, account, windows, parallel, extra } => {
                let account = ["", "one", "two"][usize::from(*account)];
                let [(five_hours, a), (week, b)] = *windows;
                let quota = Quota {
                    parallel_limit: *parallel,
                    extra_left: *extra,
                    ..quota(account, &[("5h", five_hours, a), ("7d", week, b)], now)
                };
                let host = self.bench.pool.key(LABELS[*key]).map(|key| key.base_url.host().to_owned());
                if let Some(host) = host.filter(|_| !account.is_empty()) {
                    let counted = self.counted.entry(super::key(LABELS[*key]).fingerprint).or_default();
                    counted.account = Some(format!("{host}/{account}"));
                }
                self.bench.read(LABELS[*key], &quota);
            }
            Event::Clock(millis) => self.bench.now = Time::from_millis(now.as_millis() + millis),
            Event::Rotate(to) => {
                let before = self.bench.pool.active;
                let rotated = self.bench.pool.rotate(to.map(|index| LABELS[index]), now);
                let after = self.bench.pool.active;
                assert_eq!(after, rotated.map_or(before, |rotated| Some(rotated.active.fingerprint)));
            }
            Event::Auto(on) => {
                self.bench.pool.set_auto(*on);
            }
            Event::Keys { there, disabled, moved, revision } => {
                let host = |index| {
                    if bit(*moved, index) { "https://api.kimi.ai/v1" } else { "https://api.kimi.com/v1" }
                };
                let keys = LABELS.iter().enumerate().filter(|(index, _)| bit(*there, *index));
                let keys = keys.map(|(index, label)| Key {
                    disabled: bit(*disabled, index),
                    base_url: BaseUrl::parse(host(index)).unwrap(),
                    revision: *revision,
                    ..super::key(label)
                });
                self.bench.pool.set_keys(keys.collect(), now);
                self.count_anew();
            }
            Event::Unblock(label) => {
                self.bench.pool.unblock(label.map(|index| LABELS[index]), now);
            }
            Event::Recheck(index) => {
                self.bench.recheck(LABELS[*index]);
            }
            Event::Rules(rules) => {
                self.bench.pool.set_rules(rules.clone());
                if !rules.session_affinity {
                    self.homes = Homes::default();
                }
            }
            Event::Restart => {
                self.bench.restart();
                self.out.clear();
                self.homes = Homes::default();
                self.counted.values_mut().for_each(|counted| counted.probe = None);
            }
        }
        self.check();
    }

    fn lease(&mut self, tried: &[Fingerprint], session: Option<SessionId>) {
        let (before, now) = (self.views(), self.now());
        let (mode, active) = (self.bench.pool.mode(), self.bench.pool.active);
        let client =
            session.and_then(|SessionId(bytes)| client(CLIENTS[usize::from(bytes[0]) % CLIENTS.len()]));
        let demand = Demand { tried, session, client };
        let outlook = self.bench.pool.outlook(now);
        let lease = match self.bench.pool.lease(&demand, now) {
            Ok(lease) => {
                assert!(!outlook.waits(&demand, now + secs(DAY)), "it could have been served at once");
                lease
            }
            Err(refusal) => {
                for deadline in [0, 1, 30, HOUR].map(|wait| now + secs(wait)) {
                    assert_eq!(outlook.waits(&demand, deadline), refusal.may_end_by(deadline), "{refusal:?}");
                }
                self.check_refusal(&refusal, tried, &before);
                return self.check_wake_up(&refusal);
            }
        };
        let counts = mode == Mode::Auto && self.bench.pool.rules.session_affinity;
        self.homes.check(session.filter(|_| counts), tried, &lease, &before, now);
        let fingerprint = lease.key.fingerprint;
        let view = before.iter().find(|view| view.fingerprint == fingerprint).unwrap();
        let half_open =
            view.reason == Some("half_open") && (view.until.is_none() || view.state == KeyState::Cooling);
        assert!(view.state.serves() || half_open, "leased while {} ({:?})", view.state.name(), view.reason);
        assert_eq!(lease.probe, half_open);
        assert!(!tried.contains(&fingerprint));
        if mode == Mode::Manual {
            assert_eq!(Some(fingerprint), active, "manual leases the active key only");
            assert_eq!(self.bench.pool.active, active);
        }
        if let Some(cap) = self.cap(fingerprint, &before) {
            let in_flight = self.in_flight_of_account(fingerprint);
            assert!(in_flight < cap, "one more than {in_flight} in flight passes the cap of {cap}");
            let ramp = before.iter().find(|view| view.fingerprint == fingerprint).unwrap().ramp;
            assert!(
                ramp.is_none_or(|most| in_flight < most as usize),
                "{in_flight} and one more pass the ramp"
            );
        }
        self.granted += 1;
        let counted = self.counted.get_mut(&fingerprint).unwrap();
        counted.leases += 1;
        if lease.probe {
            assert_eq!(counted.probe, None, "two requests decide");
            counted.probe = Some(self.granted);
        }
        self.out.push((self.granted, lease));
    }

    /// The smallest cap of the keys in the pool that share the account.
    fn cap(&self, fingerprint: Fingerprint, views: &[KeyView]) -> Option<usize> {
        let caps = views.iter().filter(|view| self.share(view.fingerprint, fingerprint));
        caps.map(|view| view.cap).min().map(|cap| cap as usize)
    }

    fn in_flight_of_account(&self, fingerprint: Fingerprint) -> usize {
        self.out.iter().filter(|(_, lease)| self.share(lease.key.fingerprint, fingerprint)).count()
    }

    fn share(&self, one: Fingerprint, other: Fingerprint) -> bool {
        let account = |fingerprint| self.counted[&fingerprint].account.as_deref();
        one == other || (account(one).is_some() && account(one) == account(other))
    }

    fn check_refusal(&self, refusal: &Refusal, tried: &[Fingerprint], before: &[KeyView]) {
        let rules = &self.bench.pool.rules;
        let told = if refusal.mode == Mode::Manual { before.len().min(1) } else { before.len() };
        assert_eq!((refusal.keys.len(), refusal.total), (told, before.len()));
        for refused in &refusal.keys {
            let view = before.iter().find(|view| view.label == refused.label).unwrap();
            let half_open = view.reason == Some("half_open");
            let holds = match refused.obstacle {
                Obstacle::State => !view.state.serves() && (!half_open || view.until.is_some()),
                Obstacle::NoReading => rules.require_reading,
                Obstacle::UpstreamDown => refusal.down.is_some(),
                Obstacle::Tried => tried.contains(&view.fingerprint),
                Obstacle::RateLimited => rules.limit_per_key != crate::rate::Limit::default(),
                // keys that left the pool may have had smaller caps, and their requests decide too
                Obstacle::AtCap | Obstacle::Ramping => self.in_flight_of_account(view.fingerprint) > 0,
                Obstacle::Probing => {
                    half_open && self.counted.values().any(|counted| counted.probe.is_some())
                }
            };
            assert!(holds, "{refused:?} but {view:?}");
        }
        if let Some((_, soonest)) = refusal.soonest() {
            assert!(soonest <= self.now() + cooldown::LONGEST);
        }
    }

    /// Whoever waits for what ends by its time is woken in time.
    fn check_wake_up(&mut self, refusal: &Refusal) {
        let now = self.now();
        let next = self.bench.pool.next_change(now);
        assert!(next.is_none_or(|next| next > now));
        let by_time = |key: &&RefusedKey| {
            matches!(key.obstacle, Obstacle::State | Obstacle::Ramping | Obstacle::RateLimited)
        };
        for until in refusal.keys.iter().filter(by_time).filter_map(|key| key.until) {
            assert!(next.is_some_and(|next| next <= until), "{next:?} is later than {until}");
        }
    }

    fn answer(&mut self, index: usize, is_output: bool) {
        let now = self.now();
        let (_, lease) = &mut self.out[index];
        let effects = if is_output {
            self.bench.pool.answered(lease, now)
        } else {
            self.bench.pool.head_came(lease, true, now)
        };
        for effect in &effects {
            let Effect::Unblocked { label } = effect else {
                assert!(matches!(effect, Effect::UpstreamUp { .. }), "{effect:?}");
                continue;
            };
            // One that was taken out meanwhile is in no view.
            let Some(view) = self.views().into_iter().find(|view| view.label == *label) else { continue };
            let is_empty = |shown: &FigureView| shown.figure.source == Source::Error;
            assert!(view.state.serves() || view.reason != Some("quota"), "{view:?}");
            assert!(!view.figures.iter().any(is_empty), "served, and still held for empty: {view:?}");
        }
    }

    fn give_back(&mut self, index: usize) {
        let (number, lease) = self.out.swap_remove(index);
        let counted = self.counted.get_mut(&lease.key.fingerprint).unwrap();
        counted.leases = counted.leases.saturating_sub(1);
        counted.probe = counted.probe.filter(|probe| *probe != number);
        self.bench.pool.give_back(lease, self.bench.now);
    }

    fn end(&mut self, index: usize, outcome: &Outcome, random: u64) {
        let (number, lease) = self.out.swap_remove(index);
        let counted = self.counted.get_mut(&lease.key.fingerprint).unwrap();
        counted.errors.count(outcome);
        counted.probe = counted.probe.filter(|probe| *probe != number);
        let now = self.now();
        self.homes.ended(&self.bench.pool, &lease, outcome, now);
        let effects = self.bench.pool.record(lease, outcome, now, random);
        let restored = effects.iter().filter_map(|effect| match effect {
            Effect::Restored { label } => Some(super::key(label).fingerprint),
            _ => None,
        });
        let restored: Vec<Fingerprint> = restored.collect();
        self.homes.taken_back(&self.bench.pool, &restored, now);
        if !matches!(outcome.whose(), Some(Party::Key | Party::Account)) {
            let punishes = |effect: &Effect| {
                matches!(effect, Effect::Cooled { .. } | Effect::Blocked { .. } | Effect::ReadQuota(_))
            };
            assert!(!effects.iter().any(punishes), "{effects:?}");
        }
    }

    fn check(&mut self) {
        let (now, views) = (self.now(), self.views());
        for view in &views {
            let out = self.out.iter().filter(|(_, lease)| lease.key.fingerprint == view.fingerprint).count();
            assert_eq!(view.in_flight as usize, out, "{}", view.label);
            let counted = self.counted.get_mut(&view.fingerprint).unwrap();
            assert_eq!((view.requests, view.errors), (counted.leases, counted.errors), "{}", view.label);
            // A key that is switched off shows no block, but its deciding request may still be under way.
            if view.reason != Some("half_open") && view.state != KeyState::Disabled {
                counted.probe = None;
            }
            if view.state == KeyState::Cooling {
                let until = view.until.unwrap();
                assert!(until > now && until <= now + cooldown::LONGEST, "{view:?}");
            }
            if view.state == KeyState::Blocked && view.reason != Some("half_open") {
                assert!(
                    view.until.is_none_or(|until| until > now && until <= now + secs(366 * DAY)),
                    "{view:?}"
                );
            }
        }
        assert_eq!(self.bench.pool.view(now).active.is_some(), !views.is_empty());
        self.check_memory(&views);
    }

    fn check_memory(&self, views: &[KeyView]) {
        let mut restored = Pool::new(self.bench.pool.rules.clone(), self.bench.pool.snapshot(self.now()));
        restored.set_keys(self.bench.pool.keys().map(|key| Key::clone(key)).collect(), self.now());
        for (old, new) in views.iter().zip(restored.view(self.now()).keys) {
            assert_eq!((old.until, &old.reading, old.errors), (new.until, &new.reading, new.errors));
            // The memory is of readings: what a refusal said of the account's windows beside them is forgotten.
            let states = [old.state, new.state];
            if old.figures != new.figures && states.iter().all(|state| state.serves()) {
                assert_eq!(old.fingerprint, new.fingerprint);
                continue;
            }
            assert_eq!((old.fingerprint, old.state, old.reason), (new.fingerprint, new.state, new.reason));
        }
        assert_eq!(restored.active, self.bench.pool.active);
    }
}

fn bit(bits: u8, index: usize) -> bool {
    bits >> index & 1 == 1
}

fn fingerprints(bits: u8) -> Vec<Fingerprint> {
    let chosen = LABELS.iter().enumerate().filter(|(index, _)| bit(bits, *index));
    chosen.map(|(_, label)| super::key(label).fingerprint).collect()
}

proptest! {
    #[test]
    fn whatever_happens_the_pool_keeps_its_promises(rules in rules(), events in any_history()) {
        let mut history = History::new(rules);
        for event in &events {
            history.step(event);
        }
        for view in history.views().into_iter().filter(|view| view.state == KeyState::Cooling) {
            // the one in force ends by its time; the other one, from before a jump of the clock, may follow
            history.bench.now = view.until.unwrap();
            if history.bench.state(&view.label) == KeyState::Cooling {
                history.bench.now = history.bench.view(&view.label).until.unwrap();
                prop_assert!(history.bench.state(&view.label) != KeyState::Cooling);
            }
        }
    }

    #[test]
    fn a_key_that_was_never_at_fault_is_never_blocked_nor_cooled_by_a_response(
        rules in rules(),
        events in healthy_history(),
    ) {
        let mut history = History::new(rules);
        for event in &events {
            history.step(event);
            for view in history.views() {
                prop_assert!(view.state != KeyState::Blocked, "{view:?}");
                prop_assert!(view.state != KeyState::Cooling || view.reason == Some("exhausted"), "{view:?}");
            }
        }
    }
}
