//! Versions on both sides, and who must upgrade when they differ.

/// The protocol this build speaks. It goes up when an old peer would misunderstand a new one; new fields, methods
/// and kinds of errors do not count.
pub const PROTOCOL: u32 = 1;

/// How two peers stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// The same version.
    None,
    /// They understand each other, but the daemon is older: some commands may lack something.
    OlderDaemon,
    /// They understand each other, but the client is older.
    OlderClient,
    /// They do not understand each other: the daemon must be upgraded (and restarted).
    UpgradeDaemon,
    /// They do not understand each other: the client must be upgraded.
    UpgradeClient,
}

impl Skew {
    /// Whether they understand each other.
    #[must_use]
    pub fn is_compatible(self) -> bool {
        !matches!(self, Self::UpgradeDaemon | Self::UpgradeClient)
    }
}

/// Compares a client's and a daemon's version and protocol.
#[must_use]
pub fn skew(client: (&str, u32), daemon: (&str, u32)) -> Skew {
    use std::cmp::Ordering::{Equal, Greater, Less};
    match (client.1.cmp(&daemon.1), numbers(client.0).cmp(&numbers(daemon.0))) {
        (Less, _) => Skew::UpgradeClient,
        (Greater, _) => Skew::UpgradeDaemon,
        (Equal, Less) => Skew::OlderClient,
        (Equal, Greater) => Skew::OlderDaemon,
        (Equal, Equal) => Skew::None,
    }
}

/// `1.2.3-rc1` as 1, 2, 3; what is no number counts as 0.
fn numbers(version: &str) -> [u64; 3] {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = core.split('.').map(|part| part.trim().parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_must_upgrade() {
        assert_eq!(skew(("0.1.0", 1), ("0.1.0", 1)), Skew::None);
        assert_eq!(skew(("0.10.0", 1), ("0.9.3", 1)), Skew::OlderDaemon);
        assert_eq!(skew(("0.1.0", 1), ("1.0", 1)), Skew::OlderClient);
        assert_eq!(skew(("9.0.0", 1), ("0.1.0", 2)), Skew::UpgradeClient);
        assert_eq!(skew(("0.1.0", 3), ("0.1.0", 2)), Skew::UpgradeDaemon);
        assert_eq!(skew(("", 1), ("junk", 1)), Skew::None);
        assert!(!Skew::UpgradeClient.is_compatible() && Skew::OlderClient.is_compatible());
    }
}
