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

/// Requests that ended alike are counted without a look-up by labels; of so many kinds, which is more than most
/// daemons ever see.
const MOST_RECENT: usize = 64;

/// The metrics of requests that ended alike.
#[derive(Debug)]
struct Alike {
    key: Option<Arc<str>>,
    endpoint: &'static str,
    outcome: &'static str,
    requests: Counter,
    attempts: Counter,
    /// Input, cached, output.
    tokens: [Counter; 3],
    duration: Histogram,
    first_byte: Histogram,
}

impl Alike {
    fn is(&self, key: Option<&Arc<str>>, endpoint: &str, outcome: &str) -> bool {
        let same_key = match (&self.key, key) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same_key && self.endpoint == endpoint && self.outcome == outcome
    }
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
    recent: Arc<Mutex<Vec<Alike>>>,
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
            recent: Arc::default(),
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
        let key = record.key.as_ref().map(|(label, _)| label);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let known = recent.iter().position(|alike| alike.is(key, endpoint, record.outcome));
        let place = known.unwrap_or_else(|| {
            if recent.len() >= MOST_RECENT {
                recent.clear();
            }
            recent.push(self.alike(key, endpoint, record.outcome));
            recent.len() - 1
        });
        let Some(alike) = recent.get(place) else { return };
        alike.requests.inc();
        alike.duration.observe(record.latency.as_secs_f64());
        if let Some(first_byte) = record.ttfb {
            alike.first_byte.observe(first_byte.as_secs_f64());
        }
        if let Some(tokens) = record.tokens {
            for (counter, count) in alike.tokens.iter().zip([tokens.input, tokens.cached, tokens.output]) {
                counter.inc_by(count);
            }
        }
        for attempt in &record.attempts {
            if alike.is(Some(&attempt.key_label), endpoint, attempt.outcome) {
                alike.attempts.inc();
            } else {
                self.attempts_of(&attempt.key_label, attempt.outcome).inc();
            }
        }
        if let Some(queued) = record.queued {
            self.queue_wait.observe(queued.as_secs_f64());
        }
        if let Some(name) = &record.client_name {
            let labels = ClientLabels { client: self.client_names.bounded(name), outcome: record.outcome };
            self.clients.get_or_create(&labels).inc();
        }
    }

    fn alike(&self, key: Option<&Arc<str>>, endpoint: &'static str, outcome: &'static str) -> Alike {
        let label = key.map_or_else(|| Arc::from(""), |label| self.keys.bounded(label));
        let tokens = |kind| self.tokens.get_or_create_owned(&TokenLabels { key: Arc::clone(&label), kind });
        let at = EndpointLabel { endpoint };
        let requests = RequestLabels { key: Arc::clone(&label), endpoint, outcome };
        Alike {
            key: key.cloned(),
            endpoint,
            outcome,
            requests: self.requests.get_or_create_owned(&requests),
            attempts: key.map(|label| self.attempts_of(label, outcome)).unwrap_or_default(),
            tokens: ["input", "cached", "output"].map(tokens),
            duration: self.duration.get_or_create_owned(&at),
            first_byte: self.first_byte.get_or_create_owned(&at),
        }
    }

    fn attempts_of(&self, label: &Arc<str>, outcome: &'static str) -> Counter {
        self.attempts.get_or_create_owned(&AttemptLabels { key: self.keys.bounded(label), outcome })
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
