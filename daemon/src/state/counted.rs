//! What is counted of finished requests, for the metrics: bounded in its labels, cheap to add to.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::trace::TraceRecord;

/// Labels of keys, and names of tokens, that are told apart; they come and go over months, and each label is a series for ever.
const MOST_LABELS: usize = 200;
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

/// The name of a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientLabels {
    client: Arc<str>,
    outcome: &'static str,
}

/// Why something was not let in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhyLabel {
    why: &'static str,
}

/// Counters and histograms since the daemon's start.
#[derive(Debug, Clone)]
pub struct Counted {
    requests: Family<RequestLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    duration: Family<EndpointLabel, Histogram>,
    first_byte: Family<EndpointLabel, Histogram>,
    queue_wait: Histogram,
    tokens: Family<TokenLabels, Counter>,
    refresh_failures: Counter,
    clients: Family<ClientLabels, Counter>,
    refused: Family<WhyLabel, Counter>,
    keys: Labels,
    client_names: Labels,
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
            queue_wait: times(),
            tokens: Family::default(),
            refresh_failures: Counter::default(),
            clients: Family::default(),
            refused: Family::default(),
            keys: Labels::default(),
            client_names: Labels::default(),
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
        let help = "In the queue for a key, of requests that had to wait";
        registry.register_with_unit("queue_wait", help, Unit::Seconds, self.queue_wait.clone());
        registry.register("tokens", "Tokens as the responses counted them", self.tokens.clone());
        let help = "Readings of quotas that failed";
        registry.register("quota_refresh_failures", help, self.refresh_failures.clone());
        let help = "Finished requests by the name of the token that let them in";
        registry.register("client_requests", help, self.clients.clone());
        let help = "Requests and connections that were not let in";
        registry.register("refused", help, self.refused.clone());
    }

    /// A quota could not be read.
    pub(super) fn refresh_failed(&self) {
        self.refresh_failures.inc();
    }

    /// A request or a connection was not let in; `why` is one of a few words.
    pub fn refused(&self, why: &'static str) {
        self.refused.get_or_create(&WhyLabel { why }).inc();
    }

    /// A request is over.
    pub(super) fn request(&self, record: &TraceRecord) {
        let endpoint = endpoint(&record.endpoint);
        let key = record.key.as_ref().map_or_else(|| Arc::from(""), |(label, _)| self.keys.bounded(label));
        for attempt in &record.attempts {
            let labels =
                AttemptLabels { key: self.keys.bounded(&attempt.key_label), outcome: attempt.outcome };
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
        if let Some(queued) = record.queued {
            self.queue_wait.observe(queued.as_secs_f64());
        }
        if let Some(name) = &record.client_name {
            let labels = ClientLabels { client: self.client_names.bounded(name), outcome: record.outcome };
            self.clients.get_or_create(&labels).inc();
        }
        self.requests.get_or_create(&RequestLabels { key, endpoint, outcome: record.outcome }).inc();
    }
}

/// Labels that are told apart.
#[derive(Debug, Clone, Default)]
struct Labels(Arc<Mutex<BTreeSet<Arc<str>>>>);

impl Labels {
    fn bounded(&self, label: &Arc<str>) -> Arc<str> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.contains(label) {
            return Arc::clone(label);
        }
        if keys.len() >= MOST_LABELS {
            return OTHER.into();
        }
        keys.insert(Arc::clone(label));
        Arc::clone(label)
    }
}

fn endpoint(path: &str) -> &'static str {
    ENDPOINTS.into_iter().find(|known| *known == path).unwrap_or(OTHER)
}
