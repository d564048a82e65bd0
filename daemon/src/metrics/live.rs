//! What is so at this moment: read from the pool's view when somebody asks.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use kmid_core::cooldown;
use kmid_core::pool::view::{KeyState, KeyView};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::clock;
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
    let lost = Family::<FileLabel, Whole>::default();
    for (file, log) in logs {
        lost.get_or_create(&FileLabel { file }).set(log.lost());
    }
    registry.register("lost_lines", "Lines of traces and logs that could not be written since start", lost);
    keys(registry, &state.view().keys);
}

fn keys(registry: &mut Registry, keys: &[KeyView]) {
    let states = Family::<StateLabels, Whole>::default();
    let in_flight = Family::<KeyLabel, Whole>::default();
    let caps = Family::<KeyLabel, Whole>::default();
    let left = Family::<WindowLabels, Share>::default();
    let read_at = Family::<KeyLabel, Share>::default();
    for view in keys {
        let key = KeyLabel { key: Arc::clone(&view.label) };
        for state in STATES {
            let labels = StateLabels { key: Arc::clone(&view.label), state: state.name() };
            states.get_or_create(&labels).set(u64::from(state == view.state));
        }
        in_flight.get_or_create(&key).set(view.in_flight.into());
        if let Some(cap) = view.cap {
            caps.get_or_create(&key).set(cap.into());
        }
        let Some((quota, at)) = &view.reading else { continue };
        for window in &quota.windows {
            let labels = WindowLabels { key: Arc::clone(&view.label), window: window.name.clone() };
            left.get_or_create(&labels).set(cooldown::percent_left(window, clock::now()) / 100.0);
        }
        read_at.get_or_create(&key).set(at.as_millis() as f64 / 1000.0);
    }
    registry.register("key_state", "1 for the state that a key is in", states);
    registry.register("key_in_flight", "Attempts in flight with a key", in_flight);
    registry.register("key_cap", "Most attempts in flight for the key's account", caps);
    registry.register_with_unit(
        "quota_left",
        "Part of a window that is left",
        Unit::Other("ratio".into()),
        left,
    );
    let name = "quota_read_timestamp";
    registry.register_with_unit(name, "When a key's quota was last read", Unit::Seconds, read_at);
}
