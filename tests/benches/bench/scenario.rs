//! What is sent how often, and what must come of it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::load::{Load, Shape};
use super::options::Options;
use super::report::{Report, Row, median};
use super::target::{Target, Targets};

/// One kind of load.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// In the report.
    pub name: &'static str,
    shape: Shape,
    connections: usize,
    requests: usize,
    /// CPU a request, as a multiple of nginx's.
    cpu_target: f64,
    /// Set where the time added at the median counts.
    latency_target: Option<f64>,
    /// Set where the delay of events counts.
    delay_target: Option<f64>,
    /// Set where trace on is compared with trace off.
    trace_target: Option<f64>,
}

impl Scenario {
    /// All that are wanted.
    pub(crate) fn all(options: &Options) -> Vec<Self> {
        let base = |name, shape, connections, requests, cpu_target| Self {
            name,
            shape,
            connections,
            requests: options.count(requests),
            cpu_target,
            latency_target: None,
            delay_target: None,
            trace_target: None,
        };
        let all = vec![
            Self {
                latency_target: Some(1.25),
                ..base("small JSON, 1 connection", json_shape(), 1, 4000, 1.25)
            },
            Self {
                trace_target: Some(1.05),
                ..base("small JSON, 16 connections", json_shape(), 16, 15_000, 1.25)
            },
            base("small JSON, 64 connections", json_shape(), 64, 15_000, 1.25),
            base("sse, 200 events, dense", events_shape("/chat/completions?gap=0"), 8, 400, 1.1),
            Self {
                delay_target: Some(1.25),
                ..base("sse, 200 events, 2 ms apart", events_shape("/chat/completions?gap=2"), 16, 80, 1.1)
            },
            base("1 MiB bodies", body_shape(1 << 20), 4, 250, 0.5),
        ];
        all.into_iter().filter(|scenario| options.wants(scenario.name)).collect()
    }
}

/// A short chat without a session, so that every request may go to another key.
fn json_shape() -> Shape {
    let body = json!({"model": "kimi-for-coding", "stream": false, "max_completion_tokens": 1024,
        "messages": [{"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Name three rivers. ".repeat(20)}]});
    Shape { endpoint: "/chat/completions", body: body.to_string().into(), events: false }
}

fn events_shape(endpoint: &'static str) -> Shape {
    let body = json!({"model": "kimi-for-coding", "stream": true, "prompt_cache_key": "session-1",
        "messages": [{"role": "user", "content": "Name three rivers."}]});
    Shape { endpoint, body: body.to_string().into(), events: true }
}

/// A long conversation of so many bytes.
pub(crate) fn body_shape(length: usize) -> Shape {
    let frame = |text: &str| {
        json!({"model": "kimi-for-coding", "messages": [{"role": "user", "content": text}],
            "prompt_cache_key": "session-1"})
        .to_string()
    };
    let body = frame(&"w".repeat(length - frame("").len()));
    Shape { endpoint: "/chat/completions", body: Bytes::from(body), events: false }
}

/// One target's figures over the rounds.
#[derive(Debug, Default)]
struct Figures {
    cpu_micros: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    delay_p50: Vec<f64>,
    delay_p99: Vec<f64>,
}

/// Runs a scenario against every target, turn by turn, and reports.
pub(crate) async fn rounds(scenario: &Scenario, targets: &Targets, options: &Options, report: &mut Report) {
    let mut measured: Vec<&Target> = vec![&targets.direct];
    measured.extend(targets.nginx.as_ref().map(|n| &n.0));
    measured.extend(targets.kmid.as_ref().map(|k| &k.0));
    measured.extend(targets.bare.as_ref().map(|b| &b.0));
    if scenario.trace_target.is_some() {
        measured.extend(targets.untraced.as_ref().map(|u| &u.0));
    }
    let mut figures: BTreeMap<&str, Figures> = BTreeMap::new();
    let mut loads = Vec::new();
    for target in &measured {
        loads.push(Load::open(target, &scenario.shape, scenario.connections).await);
    }
    for round in 0..options.rounds {
        // Another one first each time: whatever drifts over a round drifts for all.
        for turn in 0..measured.len() {
            let at = (round + turn) % measured.len();
            let (target, load) = (measured[at], &mut loads[at]);
            let cpu = target.cpu();
            let result = load.run(scenario.requests).await;
            let cpu = target.cpu().saturating_sub(cpu);
            let figures = figures.entry(target.name).or_default();
            figures.cpu_micros.push(micros(cpu) / scenario.requests as f64);
            figures.p50.push(quantile(result.latencies.clone(), 0.50));
            figures.p99.push(quantile(result.latencies, 0.99));
            if scenario.shape.events {
                figures.delay_p50.push(quantile(result.delays.clone(), 0.50));
                figures.delay_p99.push(quantile(result.delays, 0.99));
            }
        }
    }
    write(scenario, &figures, report);
}

fn write(scenario: &Scenario, figures: &BTreeMap<&str, Figures>, report: &mut Report) {
    let name = scenario.name;
    let of = |target: &str, pick: fn(&Figures) -> &Vec<f64>| figures.get(target).map(|f| median(pick(f)));
    let added = |target: &str, pick: fn(&Figures) -> &Vec<f64>| {
        Some(of(target, pick)? - of("direct", pick).unwrap_or_default())
    };
    let both = |what: &str, value: &dyn Fn(&str) -> Option<f64>, target: Option<f64>| Row {
        name: format!("{name}: {what}"),
        kmid: value("kmid"),
        other: value("nginx"),
        ratio_target: target,
        limit: None,
    };
    report.row(both("CPU us a request", &|t| of(t, |f| &f.cpu_micros), Some(scenario.cpu_target)));
    report.row(both("p50 us added to direct", &|t| added(t, |f| &f.p50), scenario.latency_target));
    report.row(both("p99 us added to direct", &|t| added(t, |f| &f.p99), None));
    if scenario.delay_target.is_some() {
        report.row(both("event delay p50 us", &|t| of(t, |f| &f.delay_p50), scenario.delay_target));
        report.row(both("event delay p99 us", &|t| of(t, |f| &f.delay_p99), None));
    }
    if scenario.trace_target.is_some() {
        report.row(Row {
            name: format!("{name}: CPU us, trace on against off"),
            kmid: of("kmid", |f| &f.cpu_micros),
            other: of("kmid, no trace", |f| &f.cpu_micros),
            ratio_target: scenario.trace_target,
            limit: None,
        });
    }
    if let Some(cpu) = of("bare", |f| &f.cpu_micros) {
        report.note(format!("{name}: the libraries alone: CPU us a request {cpu:.1}"));
    }
    if let (Some(p50), Some(p99)) = (of("direct", |f| &f.p50), of("direct", |f| &f.p99)) {
        report.note(format!("{name}: direct p50 {p50:.0} us, p99 {p99:.0} us"));
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A quantile in microseconds.
fn quantile(mut values: Vec<Duration>, share: f64) -> f64 {
    values.sort_unstable();
    let at = ((values.len() as f64 - 1.0) * share).round();
    // The share is at most 1 and the count is small: the place is inside.
    values.get(at as usize).map_or(f64::NAN, |d| micros(*d))
}
