//! All accounts that the simulator has seen, a bounded number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kmid_core::key::Fingerprint;
use kmid_core::time::Time;

use super::account::Account;
use super::script::Script;

/// The account unused for longest makes room for one more.
const MOST: usize = 1000;

/// Accounts by the fingerprint of their key; the key itself is not kept.
#[derive(Debug, Default)]
pub(super) struct Accounts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_key: HashMap<Fingerprint, (Account, u64)>,
    uses: u64,
}

impl Accounts {
    /// Works on the account of a key, which is opened when it is new.
    pub(super) fn with<T>(
        &self,
        key: Fingerprint,
        script: &Script,
        now: Time,
        work: impl FnOnce(&mut Account) -> T,
    ) -> T {
        let mut known = self.lock();
        known.uses += 1;
        let uses = known.uses;
        if known.by_key.len() >= MOST && !known.by_key.contains_key(&key) {
            known.forget_oldest();
        }
        let (account, last_use) = known
            .by_key
            .entry(key)
            .or_insert_with(|| (Account::new(script.preset(key), phase(key), now), uses));
        *last_use = uses;
        account.roll(now);
        work(account)
    }

    fn release(&self, key: Fingerprint) {
        if let Some((account, _)) = self.lock().by_key.get_mut(&key) {
            account.release();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_oldest(&mut self) {
        let oldest = self.by_key.iter().min_by_key(|(_, (_, last_use))| *last_use).map(|(key, _)| *key);
        if let Some(key) = oldest {
            self.by_key.remove(&key);
        }
    }
}

/// Spreads the reset times of accounts, the same for the same key on every start.
fn phase(key: Fingerprint) -> u64 {
    u64::from_str_radix(&key.to_string(), 16).unwrap_or(0)
}

/// A place among an account's requests in flight, given back when the answer ends or is dropped.
#[derive(Debug)]
pub(super) struct Place {
    accounts: Arc<Accounts>,
    key: Fingerprint,
}

impl Place {
    /// Stands for a request that [`Account::admit`] let in.
    pub(super) fn taken(accounts: &Arc<Accounts>, key: Fingerprint) -> Self {
        Self { accounts: Arc::clone(accounts), key }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.accounts.release(self.key);
    }
}

#[cfg(test)]
mod tests {
    use kmid_core::key::Secret;

    use super::*;

    #[test]
    fn the_number_of_accounts_is_bounded_and_the_longest_unused_goes() {
        let accounts = Accounts::default();
        let script = Script::default();
        let key = |n: usize| Fingerprint::of(&Secret::new(&format!("key {n}")));
        let now = Time::from_millis(1_790_000_000_000);
        for n in 0..MOST {
            accounts.with(key(n), &script, now, |_| ());
        }
        accounts.with(key(0), &script, now, |_| ());
        accounts.with(key(MOST), &script, now, |_| ());
        let known = accounts.lock();
        assert_eq!(known.by_key.len(), MOST);
        assert!(known.by_key.contains_key(&key(0)) && known.by_key.contains_key(&key(MOST)));
        assert!(!known.by_key.contains_key(&key(1)));
    }
}
