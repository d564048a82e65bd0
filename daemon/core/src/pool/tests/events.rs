//! What may happen to a pool, at random.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::policy::Policy;
use crate::rate::Limit;

pub(super) const LABELS: [&str; 5] = ["alpha", "beta", "gamma", "delta", "epsilon"];

/// One thing that happens.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A request looks for a key; bits of the keys that it has tried, and its session.
    Lease(u8, Option<u8>),
    /// One of the leases ends.
    End { which: usize, outcome: Outcome, random: u64 },
    /// The head of the answer to one of the leases comes, or its first output.
    Answer { which: usize, is_output: bool },
    /// One of the leases was never used.
    GiveBack(usize),
    /// A quota is read: key, account (0 = not said), percent left and seconds to the reset of two windows.
    Read { key: usize, account: u8, windows: [(f64, u64); 2], parallel: Option<u32>, extra: bool },
    /// Time passes, or the clock is set back.
    Clock(i64),
    /// A person switches.
    Rotate(Option<usize>),
    /// Automatic rotation on or off.
    Auto(bool),
    /// The key files change: bits of the keys that are there, are disabled, are at another host; a revision.
    Keys { there: u8, disabled: u8, moved: u8, revision: u64 },
    /// A person clears blocks and cooldowns.
    Unblock(Option<usize>),
    /// A recheck succeeds.
    Recheck(usize),
    /// Settings change.
    Rules(Rules),
    /// kmid ends and starts.
    Restart,
}

/// The rows with the status that they come with.
const ROWS: [(u16, Row); 18] = [
    (401, Row::InvalidKey),
    (402, Row::Payment),
    (403, Row::QuotaCycle),
    (403, Row::QuotaWeek),
    (403, Row::QuotaMonth),
    (403, Row::ConcurrentLimit),
    (403, Row::Banned),
    (429, Row::RateLimited),
    (429, Row::QuotaPeriod),
    (429, Row::Balance),
    (429, Row::TierLimit),
    // from here on no key and no account is at fault
    (401, Row::BadModel),
    (403, Row::ClientRefused),
    (429, Row::Overloaded),
    (400, Row::InvalidRequest),
    (404, Row::ModelNotFound),
    (503, Row::UpstreamError),
    (403, Row::Unknown),
];
const FIRST_HARMLESS: usize = 11;

fn outcome(first_row: usize) -> impl Strategy<Value = Outcome> {
    let retry_after = prop_oneof![Just(None), (0..100u64).prop_map(Some), any::<u64>().prop_map(Some)];
    let refused = (first_row..ROWS.len(), retry_after).prop_map(|(row, retry_after)| {
        let (status, row) = ROWS[row];
        Outcome::Refused { status, verdict: row.verdict(), retry_after: retry_after.map(secs) }
    });
    prop_oneof![
        4 => Just(Outcome::Completed),
        1 => Just(BROKE),
        1 => Just(Outcome::Answered),
        1 => Just(Outcome::ClientLeft),
        1 => Just(Outcome::CutOff),
        6 => refused,
    ]
}

fn read() -> impl Strategy<Value = Event> {
    let percent = prop_oneof![Just(0.0), Just(19.9), Just(100.0), 0.0..100.0];
    let reset = prop_oneof![4 => 1..8 * DAY, 1 => Just(u64::MAX / 2000)];
    let window = (percent, reset);
    (0..LABELS.len(), 0..3u8, [window.clone(), window], option::of(1..6u32), any::<bool>()).prop_map(
        |(key, account, windows, parallel, extra)| Event::Read { key, account, windows, parallel, extra },
    )
}

fn keys() -> impl Strategy<Value = Event> {
    let few = || (any::<u8>(), any::<u8>()).prop_map(|(one, other)| one & other & 0x1f);
    (any::<u8>(), few(), few(), 1..3u64).prop_map(|(there, disabled, moved, revision)| Event::Keys {
        there,
        disabled,
        moved,
        revision,
    })
}

pub(super) fn rules() -> impl Strategy<Value = Rules> {
    let limit = || {
        prop_oneof![
            4 => Just(Limit::default()),
            1 => (option::of(1..4u32), option::of(1..9u32))
                .prop_map(|(per_second, per_minute)| Limit { per_second, per_minute }),
        ]
    };
    let strict =
        (prop::bool::weighted(0.2), any::<bool>(), option::of(60..HOUR).prop_map(|age| age.map(secs)));
    let blocks = option::of(1..366 * DAY).prop_map(|length| length.map(secs));
    let policy = prop::sample::select(&Policy::ALL[..]);
    let switches = (any::<[bool; 3]>(), policy);
    (prop::bool::weighted(0.8), switches, 1..31 * DAY, blocks, strict, [limit(), limit()]).prop_map(
        |(allowed, switches, longest, payment_block, strict, [limit, limit_per_key])| {
            let ([rotate_on_tie, include_warn, session_affinity], policy) = switches;
            Rules {
                allowed,
                rotate_on_tie,
                include_warn,
                policy,
                stale_after: secs(1200),
                session_affinity,
                longest_backoff: secs(longest),
                payment_block,
                require_reading: strict.0,
                fail_open: strict.1,
                reading_max_age: strict.2,
                limit,
                limit_per_key,
            }
        },
    )
}

fn event(first_row: usize) -> impl Strategy<Value = Event> {
    let key = || 0..LABELS.len();
    let clock = prop_oneof![
        4 => 0..5_000i64,
        3 => 0..7_200_000i64,
        1 => 0..40 * 86_400_000i64,
        1 => -5_000..0i64,
        1 => -400 * 86_400_000..0i64,
    ];
    prop_oneof![
        10 => (prop_oneof![3 => Just(0), 1 => 0..32u8], option::of(0..4u8))
            .prop_map(|(tried, session)| Event::Lease(tried, session)),
        8 => (any::<usize>(), outcome(first_row), any::<u64>())
            .prop_map(|(which, outcome, random)| Event::End { which, outcome, random }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, is_output)| Event::Answer { which, is_output }),
        2 => any::<usize>().prop_map(Event::GiveBack),
        3 => read(),
        4 => clock.prop_map(Event::Clock),
        1 => option::of(key()).prop_map(Event::Rotate),
        1 => any::<bool>().prop_map(Event::Auto),
        2 => keys(),
        1 => option::of(key()).prop_map(Event::Unblock),
        2 => key().prop_map(Event::Recheck),
        1 => rules().prop_map(Event::Rules),
        1 => Just(Event::Restart),
    ]
}

/// Anything that may happen.
pub(super) fn any_history() -> impl Strategy<Value = Vec<Event>> {
    vec(event(0), 1..120)
}

/// Anything, but no key and no account is ever at fault.
pub(super) fn healthy_history() -> impl Strategy<Value = Vec<Event>> {
    vec(event(FIRST_HARMLESS), 1..120)
}
