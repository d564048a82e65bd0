//! What is counted of finished requests, for the metrics: bounded in its labels, cheap to add to.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::trace::TraceRecord;

/// Labels of keys that are told apart; keys come and go over months, and each label is a series for ever.
const MOST_KEYS: usize = 200;
/// Stands for all further ones.
const OTHER: &str = "other";
/// The API's endpoints [kimi-upstream.md, Hosts and endpoints, 2026-11]; what clients make up is `other`.
const ENDPOINTS: [&str; 8] =
    ["/chat/completions", "/messages", "/models", "/usages", "/me", "/search", "/fetch", "/files"];

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    key: Arc<str>,
    endpoint: &'static str,
    outcome: &'static str,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    key: Arc<str>,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: &'static str,
}

/// `kind`: `input` (cached ones included), `cached` or `output`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    key: Arc<str>,
    kind: &'static str,
}

/// Counters and histograms since the daemon's start.
#[derive(Debug, Clone)]
pub struct Counted {
    requests: Family<RequestLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    duration: Family<EndpointLabel, Histogram>,
    first_byte: Family<EndpointLabel, Histogram>,
    tokens: Family<TokenLabels, Counter>,
    refresh_failures: Counter,
    keys: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl Default for Counted {
    fn default() -> Self {
        // 5 ms to 11 min: an answer from the cache of a local test, and a turn that thinks for long.
        let times = || Histogram::new(exponential_buckets(0.005, 2.0, 18));
        Self {
            requests: Family::default(),
            attempts: Family::default(),
            duration: Family::new_with_constructor(times),
            first_byte: Family::new_with_constructor(times),
            tokens: Family::default(),
            refresh_failures: Counter::default(),
            keys: Arc::default(),
        }
    }
}

impl Counted {
    /// Makes the figures known under their names.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Finished requests by the key of their last attempt",
            self.requests.clone(),
        );
        registry.register("attempts", "Finished attempts upstream", self.attempts.clone());
        let name = "request_duration";
        let help = "From a request's head to its response's true end";
        registry.register_with_unit(name, help, Unit::Seconds, self.duration.clone());
        let name = "time_to_first_byte";
        let help = "From a request's head to its response's head";
        registry.register_with_unit(name, help, Unit::Seconds, self.first_byte.clone());
        registry.register("tokens", "Tokens as the responses counted them", self.tokens.clone());
        let help = "Readings of quotas that failed";
        registry.register("quota_refresh_failures", help, self.refresh_failures.clone());
    }

    /// A quota could not be read.
    pub(super) fn refresh_failed(&self) {
        self.refresh_failures.inc();
    }

    /// A request is over.
    pub(super) fn request(&self, record: &TraceRecord) {
        let endpoint = endpoint(&record.endpoint);
        let key = record.key.as_ref().map_or_else(|| Arc::from(""), |(label, _)| self.label(label));
        for attempt in &record.attempts {
            let labels = AttemptLabels { key: self.label(&attempt.key_label), outcome: attempt.outcome };
            self.attempts.get_or_create(&labels).inc();
        }
        if let Some(tokens) = record.tokens {
            for (kind, count) in
                [("input", tokens.input), ("cached", tokens.cached), ("output", tokens.output)]
            {
                let labels = TokenLabels { key: Arc::clone(&key), kind };
                self.tokens.get_or_create(&labels).inc_by(count);
            }
        }
        let at = EndpointLabel { endpoint };
        self.duration.get_or_create(&at).observe(record.latency.as_secs_f64());
        if let Some(first_byte) = record.ttfb {
            self.first_byte.get_or_create(&at).observe(first_byte.as_secs_f64());
        }
        self.requests.get_or_create(&RequestLabels { key, endpoint, outcome: record.outcome }).inc();
    }

    fn label(&self, label: &Arc<str>) -> Arc<str> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.contains(label) {
            return Arc::clone(label);
        }
        if keys.len() >= MOST_KEYS {
            return OTHER.into();
        }
        keys.insert(Arc::clone(label));
        Arc::clone(label)
    }
}

fn endpoint(path: &str) -> &'static str {
    ENDPOINTS.into_iter().find(|known| *known == path).unwrap_or(OTHER)
}
