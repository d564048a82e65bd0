//! What is so at this moment: read from the pool's view when somebody asks.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use kmid_core::pool::outage::{BreakerState, UpstreamView};
use kmid_core::pool::view::{FigureView, KeyState, KeyView};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::line_log::LineLog;
use crate::state::State;

type Whole = Gauge<u64, AtomicU64>;
type Share = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabel {
    key: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    key: Arc<str>,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WindowLabels {
    key: Arc<str>,
    window: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BreakerLabels {
    host: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileLabel {
    file: &'static str,
}

const STATES: [KeyState; 5] =
    [KeyState::Ready, KeyState::Warn, KeyState::Cooling, KeyState::Blocked, KeyState::Disabled];

/// Puts the figures of this moment into `registry`.
pub(super) fn register(registry: &mut Registry, state: &State, logs: &[(&'static str, LineLog); 3]) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    registry.register("build", "The running program", Info::new(version));
    let in_flight = Whole::default();
    in_flight.set(state.requests().in_flight);
    registry.register("requests_in_flight", "Requests that have not ended", in_flight);
    let waiting = Whole::default();
    waiting.set(state.waiting() as u64);
    registry.register("queue_length", "Requests that wait for a key", waiting);
    let lost = Family::<FileLabel, Whole>::default();
    for (file, log) in logs {
        lost.get_or_create(&FileLabel { file }).set(log.lost());
    }
    registry.register("lost_lines", "Lines of traces and logs that could not be written since start", lost);
    let view = state.view();
    keys(registry, &view.keys);
    upstreams(registry, &view.upstreams);
}

fn keys(registry: &mut Registry, keys: &[KeyView]) {
    let states = Family::<StateLabels, Whole>::default();
    let in_flight = Family::<KeyLabel, Whole>::default();
    let caps = Family::<KeyLabel, Whole>::default();
    let slots = Family::<KeyLabel, Whole>::default();
    let left = Family::<WindowLabels, Share>::default();
    let read_at = Family::<KeyLabel, Share>::default();
    for view in keys {
        let key = KeyLabel { key: Arc::clone(&view.label) };
        for state in STATES {
            let labels = StateLabels { key: Arc::clone(&view.label), state: state.name() };
            states.get_or_create(&labels).set(u64::from(state == view.state));
        }
        in_flight.get_or_create(&key).set(view.in_flight.into());
        caps.get_or_create(&key).set(view.cap.into());
        slots.get_or_create(&key).set(view.ramp.unwrap_or(view.cap).into());
        // What is too old is shown nowhere as how things stand.
        for FigureView { figure, .. } in view.figures.iter().filter(|figure| !figure.stale) {
            let labels = WindowLabels { key: Arc::clone(&view.label), window: figure.name.clone() };
            left.get_or_create(&labels).set(figure.left_percent / 100.0);
        }
        let Some((_, at)) = &view.reading else { continue };
        read_at.get_or_create(&key).set(at.as_millis() as f64 / 1000.0);
    }
    registry.register("key_state", "1 for the state that a key is in", states);
    registry.register("key_in_flight", "Attempts in flight with a key", in_flight);
    registry.register("key_cap", "Most attempts in flight for the key's account", caps);
    registry.register(
        "key_slots",
        "The same for now: fewer while the account is taken up step by step",
        slots,
    );
    registry.register_with_unit(
        "quota_left",
        "Part of a window that is left",
        Unit::Other("ratio".into()),
        left,
    );
    let name = "quota_read_timestamp";
    registry.register_with_unit(name, "When a key's quota was last read", Unit::Seconds, read_at);
}

fn upstreams(registry: &mut Registry, upstreams: &[UpstreamView]) {
    let breakers = Family::<BreakerLabels, Whole>::default();
    for view in upstreams {
        for state in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
            let labels = BreakerLabels { host: view.host.clone(), state: state.name() };
            breakers.get_or_create(&labels).set(u64::from(state == view.breaker));
        }
    }
    registry.register("upstream_breaker", "1 for the state that an upstream's breaker is in", breakers);
}
