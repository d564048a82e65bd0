//! The settings that the pool decides by.

use std::time::Duration;

use crate::policy::Policy;
use crate::rate::Limit;

/// The settings that the pool decides by.
#[derive(Debug, Clone)]
pub struct Rules {
    /// KMI_AUTO_ROTATE_ALLOWED
    pub allowed: bool,
    /// KMI_ROTATE_ON_TIE
    pub rotate_on_tie: bool,
    /// KMI_ROTATE_INCLUDE_WARN
    pub include_warn: bool,
    /// KMI_ROTATE_POLICY
    pub policy: Policy,
    /// KMI_SESSION_AFFINITY
    pub session_affinity: bool,
    /// KMI_ROTATION_COOLDOWN_SECONDS
    pub longest_backoff: Duration,
    /// KMI_PAYMENT_BLOCK_SECONDS; `None` = until cleared or rechecked
    pub payment_block: Option<Duration>,
    /// KMI_REQUIRE_USAGE_BEFORE_REQUEST
    pub require_reading: bool,
    /// KMI_FAIL_OPEN_ON_EMPTY_CACHE
    pub fail_open: bool,
    /// How old a reading may be to count as good in strict mode.
    pub reading_max_age: Option<Duration>,
    /// A figure that nobody has looked at for longer is stale: it tells how things stood.
    pub stale_after: Duration,
    /// KMI_PROXY_MAX_RPS, _MAX_RPM
    pub limit: Limit,
    /// KMI_PROXY_MAX_RPS_PER_KEY, _MAX_RPM_PER_KEY
    pub limit_per_key: Limit,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            allowed: false,
            rotate_on_tie: true,
            include_warn: false,
            policy: Policy::RoundRobin,
            session_affinity: true,
            longest_backoff: Duration::from_secs(300),
            payment_block: Some(Duration::from_secs(3600)),
            require_reading: false,
            fail_open: true,
            reading_max_age: None,
            stale_after: Duration::from_secs(1200),
            limit: Limit::default(),
            limit_per_key: Limit::default(),
        }
    }
}
