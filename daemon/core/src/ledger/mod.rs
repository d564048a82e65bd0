//! What accounts have left, as far as anybody can know: the worst of what a poll of `/usages` said, what refusals said
//! since, and what the requests through kmid must have used since.
//!
//! Response headers are no source: none with quota figures is known of this API [kimi-upstream.md, 2026-11].

mod account;
mod burn;
mod learnt;
#[cfg(test)]
mod tests;
mod window;

use std::collections::BTreeMap;

use self::account::Account;
use crate::account::AccountId;
use crate::kimi::quota::Quota;
use crate::kimi::usage::Tokens;
use crate::outcome::FullWindow;
use crate::policy::Windows;
use crate::time::Time;

/// What a cached and an output token weigh against an uncached input token: the proportions of what resellers ask for
/// kimi-k2-thinking, 0.30, 0.07 and 1.25 dollars a million (2025-11). How the coding quota weighs them is not
/// documented; a factor common to all does not matter, because percents a token are learnt.
const CACHED_WEIGHT: f64 = 0.25;
const OUTPUT_WEIGHT: f64 = 4.0;

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// `/usages` said it.
    Poll,
    /// A refusal said that the window is empty.
    Error,
    /// The last poll, less what went through kmid since.
    Ledger,
    /// The window has reset since the last poll, and nobody has looked.
    Reset,
}

impl Source {
    /// The word used in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Error => "error",
            Self::Ledger => "ledger",
            Self::Reset => "reset",
        }
    }
}

/// What is known of one window of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// `5h`, `7d`, ... as in the reading.
    pub name: String,
    /// 0 to 100, the worst that any source says.
    pub left_percent: f64,
    /// The source that says it.
    pub source: Source,
    /// When that source was asked: the poll that a ledger figure counts from.
    pub as_of: Time,
    /// When the window starts anew.
    pub resets_at: Option<Time>,
    /// Percent of it an hour at the account's present traffic, where known.
    pub burn: Option<f64>,
    /// When it will be empty at that traffic, if that is before it resets.
    pub empty_at: Option<Time>,
}

/// What is known of every account in the pool. One record an account, and one a window in it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: BTreeMap<AccountId, Account>,
}

impl Ledger {
    /// Takes in an answer of `/usages` of `read_at`.
    pub(crate) fn poll(&mut self, account: AccountId, quota: &Quota, read_at: Time) {
        self.accounts.entry(account).or_default().poll(quota, read_at);
    }

    /// A request of the account used tokens.
    pub(crate) fn spend(&mut self, account: AccountId, tokens: Tokens, now: Time) {
        self.accounts.entry(account).or_default().spend(weight(tokens), now);
    }

    /// A refusal said that a window is empty; it is believed until `until`, whatever polls say.
    pub(crate) fn refused(&mut self, account: AccountId, full: FullWindow, until: Time, now: Time) {
        self.accounts.entry(account).or_default().refused(full, until, now);
    }

    /// A request that began after the refusal was served, or a person said so: nothing is empty.
    pub(crate) fn forgive(&mut self, account: AccountId) {
        if let Some(account) = self.accounts.get_mut(&account) {
            account.forgive();
        }
    }

    /// A key turned out to be this account's: what was noted under the key moves over.
    pub(crate) fn join(&mut self, key: AccountId, account: AccountId) {
        if let Some(noted) = self.accounts.remove(&key) {
            self.accounts.entry(account).or_default().absorb(noted);
        }
    }

    /// Forgets an account: its key is sent to another host now.
    pub(crate) fn forget(&mut self, account: AccountId) {
        self.accounts.remove(&account);
    }

    /// Forgets the accounts that no key belongs to.
    pub(crate) fn retain(&mut self, is_known: impl Fn(AccountId) -> bool) {
        self.accounts.retain(|account, _| is_known(*account));
    }

    /// Whether nothing was polled of this account.
    #[must_use]
    pub(crate) fn lacks(&self, account: AccountId) -> bool {
        self.accounts.get(&account).is_none_or(Account::is_unread)
    }

    /// Every window of an account, as the last reading orders them.
    pub(crate) fn figures(&self, account: AccountId, now: Time) -> impl Iterator<Item = Figure> {
        self.accounts.get(&account).into_iter().flat_map(move |account| account.figures(now))
    }

    /// The least that any of an account's figures says is left; `None` while nothing was polled of it.
    #[must_use]
    pub(crate) fn worst_percent(&self, account: AccountId, now: Time) -> Option<f64> {
        self.accounts.get(&account)?.worst_percent(now)
    }

    /// Weighed tokens an hour over all accounts.
    #[must_use]
    pub(crate) fn burn(&self, now: Time) -> f64 {
        self.accounts.values().map(|account| account.burn(now)).sum()
    }

    /// The windows of an account for a policy. `burn` is [`Ledger::burn`]; with `polls_only` refusals are left out,
    /// for a key whose next request is to decide whether they still hold.
    #[must_use]
    pub(crate) fn windows(&self, account: AccountId, burn: f64, polls_only: bool, now: Time) -> Windows {
        self.accounts
            .get(&account)
            .map_or_else(Windows::default, |account| account.windows(burn, polls_only, now))
    }

    /// Weighed tokens in the account's longest window, where that has been learnt.
    #[must_use]
    pub(crate) fn size(&self, account: AccountId) -> Option<f64> {
        self.accounts.get(&account)?.size()
    }

    /// When these accounts together have nothing left if traffic stays as it is and none of their windows resets before;
    /// `None` while nothing is known to be used, or not of every account how much it holds.
    pub(crate) fn empty_at(&self, accounts: impl Iterator<Item = AccountId>, now: Time) -> Option<Time> {
        let burn = self.burn(now);
        let mut left = 0.0;
        for account in accounts {
            left += self.accounts.get(&account)?.tokens_left(now)?;
        }
        burn::runs_out(left, burn, now)
    }
}

fn weight(tokens: Tokens) -> f64 {
    let cached = tokens.cached.min(tokens.input);
    (tokens.input - cached) as f64 + cached as f64 * CACHED_WEIGHT + tokens.output as f64 * OUTPUT_WEIGHT
}
