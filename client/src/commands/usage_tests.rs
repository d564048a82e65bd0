use serde_json::json;

use super::*;
use crate::fixtures;
use crate::output::locale::Locale;
use crate::output::style::{Look, width};

fn usage(by: &str, rows: &[(&str, [u64; 5])]) -> Usage {
    let sums = |[requests, errors, input, cached, output]: [u64; 5]| {
        let share = (input > 0).then(|| cached as f64 / input as f64);
        json!({"requests": requests, "errors": errors, "input": input, "cached": cached, "output": output,
            "cache_share": share})
    };
    let mut total = [0; 5];
    let rows: Vec<_> = rows
        .iter()
        .map(|(name, figures)| {
            total.iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
            let mut row = sums(*figures);
            row["name"] = json!(name);
            row
        })
        .collect();
    serde_json::from_value(json!({"by": by, "since": "2026-11-16T09:00:00.000Z", "zone": null, "rows": rows,
        "total": sums(total)}))
    .expect("usage")
}

fn days() -> Usage {
    usage(
        "day",
        &[
            ("2026-11-20", [1, 0, 900, 0, 12]),
            ("2026-11-21", [0, 0, 0, 0, 0]),
            ("2026-11-22", [1240, 3, 41_000_000, 38_500_000, 612_000]),
            ("2026-11-23", [310, 0, 9_800_000, 9_100_000, 99_960]),
        ],
    )
}

#[test]
fn days_in_every_look() {
    insta::assert_snapshot!(fixtures::looks(|view| render(view, &days())));
}

#[test]
fn keys_models_and_nothing() {
    let keys =
        usage("key", &[("月之暗面", [7, 1, 100, 50, 9]), ("", [2, 2, 0, 0, 0]), ("other", [1, 0, 5, 0, 1])]);
    let models = usage("model", &[("kimi-k2.5", [7, 0, 100, 50, 9]), ("", [2, 0, 0, 0, 0])]);
    let none = usage("hour", &[]);
    let show = |usage: &Usage| fixtures::looks(|view| render(view, usage));
    insta::assert_snapshot!([show(&keys), show(&models), show(&none)].join("\n\n"));
}

#[test]
fn csv_for_programs() {
    let usage = usage("key", &[("a,\"b\"", [7, 1, 100, 50, 9]), ("=1+1", [2, 2, 0, 0, 0])]);
    insta::assert_snapshot!(csv(&usage), @r#"
    key,fingerprint,start,requests,errors,input,cached,output,cache_share
    "a,""b""",,,7,1,100,50,9,0.5000
    '=1+1,,,2,2,0,0,0,
    "#);
}

#[test]
fn figures_are_short_and_bars_in_proportion() {
    let cases =
        [(0, "0"), (999, "999"), (1000, "1.0k"), (99_960, "100k"), (999_600, "1.0M"), (41_000_000, "41.0M")];
    for (count, text) in cases {
        assert_eq!(short(count), text);
    }
    assert_eq!((bar(0, 10, 24), bar(1, 1_000_000, 24)), (String::new(), "▏".to_owned()));
    assert_eq!((bar(10, 10, 24), bar(5, 10, 8)), ("█".repeat(24), "█".repeat(4)));
    assert_eq!(bar(u64::MAX, u64::MAX, 24).chars().count(), 24);
}

#[test]
fn bars_stand_wherever_there_is_room_for_them() {
    let longest = |columns: usize, label: &str| {
        let look = Look { color: false, boxes: true, width: Some(columns) };
        let usage =
            usage("key", &[(label, [1240, 3, 41_000_000, 38_500_000, 612_000]), ("b", [2, 0, 9, 0, 1])]);
        let text = fixtures::show(Locale::En, look, |view| render(view, &usage));
        let table: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
        // Without room for a table there are blocks.
        let table = if text.starts_with("key   ") && text.contains("\nb ") { table } else { Vec::new() };
        assert!(table.iter().all(|line| width(line) <= columns), "{columns}: {text}");
        table.iter().map(|line| line.matches('█').count()).max().unwrap_or(0)
    };
    for label in ["alpha", "a-label-that-takes-more-than-its-part-of-the-line"] {
        for columns in 40..=200 {
            let cells = longest(columns, label);
            assert!(cells == 0 || (6..=24).contains(&cells), "{columns}: {cells}");
            assert!(columns < 75 || cells > 0, "{label}, {columns}: no bars");
        }
        assert_eq!(longest(120, label), 24);
    }
    // The usual terminal, and one that is narrow.
    assert_eq!((longest(80, "alpha"), longest(60, "alpha"), longest(40, "alpha")), (24, 8, 0));
}
