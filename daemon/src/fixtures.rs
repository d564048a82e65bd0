//! Keys for the tests of this crate.

use kmid_core::account::AccountId;
use kmid_core::key::{BaseUrl, Key, Secret};
use kmid_core::pool::snapshot::Snapshot;
use kmid_core::pool::view::{KeyState, KeyView};
use kmid_core::pool::{Pool, Rules};
use kmid_core::time::Time;

/// A key `sk-kimi-0123456789-LABEL` of the coding API.
pub(crate) fn key(label: &str) -> Key {
    let secret = Secret::new(&format!("sk-kimi-0123456789-{label}"));
    Key::new(label, secret, BaseUrl::parse("https://api.kimi.com/coding/v1").unwrap())
}

/// The same as a view shows it that was never used, in this state; its account is called by its label, at host `h`.
pub(crate) fn key_view(label: &str, state: KeyState) -> KeyView {
    let mut pool = Pool::new(Rules::default(), Snapshot::default());
    let now = Time::from_millis(0);
    pool.set_keys(vec![key(label)], now);
    let view = pool.view(now).keys.remove(0);
    KeyView { state, account_id: AccountId::of_user(label, "h"), ..view }
}
