use kmi_proto::methods::requests::TraceTokens;
use serde_json::json;

use super::*;
use crate::fixtures;

/// A request that ended well, `number` names it.
pub(crate) fn entry(number: u64, key: Option<&str>, status: u16) -> TraceEntry {
    let mut entry: TraceEntry = serde_json::from_value(json!({"ts": "2026-11-23 11:59:58.123 +0300",
        "request_id": format!("r{number}"), "method": "POST", "endpoint": "/chat/completions", "status": status,
        "latency_ms": 12_340, "ttfb_ms": 420, "key_label": key, "key_hash": "0123456789ab", "rotation_index": 1,
        "attempts": [], "session": null, "prompt_hint": "", "prompt_head": "", "tokens": null, "bytes_up": 120_000,
        "bytes_down": 3400, "error_code": null, "outcome": "completed", "schema_version": 2}))
    .unwrap();
    entry.tokens = Some(TraceTokens { input: 51_200, cached: 48_000, output: 940 });
    entry
}

fn with(count: u64) -> Model {
    let mut model = Model::default();
    for number in 0..count {
        let status = [200, 404, 503, 0][usize::try_from(number % 4).unwrap()];
        let key = if number % 2 == 0 { "alpha" } else { "gamma" };
        model.update(Update::Entry(Box::new(entry(number, Some(key), status))));
    }
    model
}

fn ids(model: &Model) -> Vec<String> {
    model.visible().iter().map(|shown| shown.entry.request_id.clone()).collect()
}

fn chosen(model: &Model) -> Option<String> {
    model.selected.as_ref().map(|shown| shown.entry.request_id.clone())
}

#[test]
fn the_newest_come_first_and_the_oldest_go() {
    let model = with(KEPT as u64 + 5);
    let ids = ids(&model);
    assert_eq!((ids.len(), ids[0].as_str(), ids[KEPT - 1].as_str()), (KEPT, "r1004", "r5"));
    assert_eq!(model.ids.len(), KEPT);
}

#[test]
fn what_a_reconnection_repeats_is_there_once() {
    let mut model = with(4);
    model.update(Update::Lost(Lost::Closed));
    assert_eq!(model.link, Link::Lost(Lost::Closed));
    model.update(Update::Live);
    for number in 2..6 {
        model.update(Update::Entry(Box::new(entry(number, None, 200))));
    }
    assert_eq!(ids(&model), ["r5", "r4", "r3", "r2", "r1", "r0"]);
    assert_eq!(model.link, Link::Live);
}

#[test]
fn statuses_in_groups() {
    let mut model = with(8);
    let mut seen = Vec::new();
    for _ in 0..4 {
        model.act(Action::NextStatuses);
        seen.push(ids(&model).join(" "));
    }
    assert_eq!(seen, ["r4 r0", "r5 r1", "r7 r6 r3 r2", "r7 r6 r5 r4 r3 r2 r1 r0"]);
}

#[test]
fn keys_in_turn_as_the_pool_has_them() {
    let mut model = with(4);
    model.act(Action::NextKey);
    assert_eq!(model.filter.key, None, "no pool is known yet");
    let figures = Figures { keys: fixtures::keys(), status: fixtures::status() };
    model.update(Update::Figures(Box::new(figures)));
    let mut seen = Vec::new();
    for _ in 0..4 {
        model.act(Action::NextKey);
        seen.push((model.filter.key.clone(), ids(&model).len()));
    }
    let label = |text: &str| Some(text.to_owned());
    assert_eq!(seen, [(label("alpha"), 2), (label("月之暗面"), 0), (label("gamma"), 2), (None, 4)]);
    // A key that has gone from the pool does not hold the filter.
    model.filter.key = label("gone");
    model.act(Action::NextKey);
    assert_eq!(model.filter.key, None);
}

#[test]
fn text_is_found_in_any_field_and_case() {
    let mut model = with(4);
    let mut other = entry(9, Some("月之暗面"), 429);
    (other.endpoint, other.error_code) = ("/Models".into(), Some("none_serves".into()));
    model.update(Update::Entry(Box::new(other)));
    for text in ["/models", "NONE", "月之", "r9", "429"] {
        model.act(Action::Type);
        text.chars().for_each(|letter| model.act(Action::Letter(letter)));
        model.act(Action::Keep);
        assert_eq!((ids(&model), model.typing), (vec!["r9".to_owned()], false), "{text}");
        model.act(Action::Clear);
    }
    "zz".chars().for_each(|letter| model.act(Action::Letter(letter)));
    assert_eq!(ids(&model).len(), 0);
    model.act(Action::Rubout);
    assert_eq!(model.filter.text, "z");
    model.act(Action::Forget);
    assert_eq!(ids(&model).len(), 5);
    (0..200).for_each(|_| model.act(Action::Letter('x')));
    assert_eq!(model.filter.text.len(), LONGEST_TEXT);
}

#[test]
fn a_pause_holds_the_list_and_counts_what_comes() {
    let mut model = with(3);
    model.act(Action::Pause);
    for number in 3..KEPT as u64 + 50 {
        model.update(Update::Entry(Box::new(entry(number, None, 200))));
    }
    assert_eq!((ids(&model), model.unseen), (vec!["r2".into(), "r1".into(), "r0".into()], 1047));
    model.act(Action::Pause);
    assert_eq!((ids(&model)[0].as_str(), model.kept(), model.unseen), ("r1049", KEPT, 0));
}

#[test]
fn a_selection_stays_with_its_request() {
    let mut model = with(3);
    model.act(Action::Down);
    assert_eq!(chosen(&model).as_deref(), Some("r2"));
    model.act(Action::Down);
    model.update(Update::Entry(Box::new(entry(3, None, 200))));
    assert_eq!(chosen(&model).as_deref(), Some("r1"));
    assert_eq!(model.place(&model.visible()), Some(2));
    model.act(Action::PageDown);
    assert_eq!(chosen(&model).as_deref(), Some("r0"));
    model.act(Action::Last);
    model.act(Action::Up);
    assert_eq!(chosen(&model).as_deref(), Some("r1"));
    model.act(Action::First);
    assert_eq!(chosen(&model), None, "it follows the newest again");
    Model::default().act(Action::Down);
}

#[test]
fn back_goes_from_the_inside_out() {
    let mut model = with(3);
    model.act(Action::NextStatuses);
    model.act(Action::Open);
    assert!(matches!(&model.over, Over::Detail(shown, 0) if shown.entry.request_id == "r0"));
    model.act(Action::Down);
    assert!(matches!(&model.over, Over::Detail(_, 1)));
    model.act(Action::Back);
    assert!(matches!(&model.over, Over::Nothing));
    assert!(chosen(&model).is_some());
    model.act(Action::Back);
    assert_eq!((chosen(&model), model.filter.statuses), (None, Statuses::Good));
    model.act(Action::Back);
    assert_eq!(model.filter, Filter::default());
    assert!(!model.done);
    model.act(Action::Quit);
    assert!(model.done);
}

#[test]
fn shares_count_all_and_rates_the_last_minute() {
    let mut model = Model::default();
    let figures = Figures { keys: fixtures::keys(), status: fixtures::status() };
    model.update(Update::Figures(Box::new(figures)));
    let now: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
    for (number, (key, ts)) in [
        ("alpha", "2026-11-23 11:59:59.900 +0300"),
        ("alpha", "2026-11-23 12:00:03.000 +0300"),
        ("alpha", "2026-11-23 11:59:01.000 +0300"),
        ("alpha", "2026-11-23 11:59:00.000 +0300"),
        ("gamma", "no time"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut one = entry(number as u64, Some(key), 200);
        one.ts = ts.into();
        model.update(Update::Entry(Box::new(one)));
    }
    let rows = model.key_rows(now);
    let told: Vec<_> = rows.iter().map(|row| (row.share.round(), row.rate, row.parts)).collect();
    let parts = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    assert_eq!(told, [(80.0, 3, parts), (0.0, 0, [0; PARTS]), (20.0, 0, [0; PARTS])]);
}
