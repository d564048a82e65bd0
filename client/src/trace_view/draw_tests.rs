use jiff::tz::TimeZone;
use kmi_proto::methods::requests::TraceAttempt;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::feed::{Figures, Update};
use super::super::input::Action;
use super::super::model::tests::entry;
use super::*;
use crate::fixtures;
use crate::output::locale::{Locale, Messages};
use crate::output::style::Look;

/// A pool at work: three keys, one of them in another script, and requests of every kind.
fn at_work() -> Model {
    let mut model = Model::default();
    let status = fixtures::status();
    model.update(Update::Live);
    model.update(Update::Figures(Box::new(Figures { keys: fixtures::keys(), status })));
    for second in 0..8 {
        let key = if second % 3 == 0 { "月之暗面" } else { "alpha" };
        let mut one = entry(second, Some(key), 200);
        one.ts = format!("2026-11-23 11:59:{:02}.500 +0300", 10 + second * 5);
        model.update(Update::Entry(Box::new(one)));
    }
    let mut moved = entry(90, Some("alpha"), 200);
    let choice = fixtures::decision();
    moved.attempts = vec![
        TraceAttempt {
            key_label: "月之暗面".into(),
            status: Some(403),
            outcome: "quota_cycle".into(),
            ms: 90,
            decision: None,
        },
        TraceAttempt {
            key_label: "alpha".into(),
            status: Some(200),
            outcome: "completed".into(),
            ms: 300,
            decision: Some(choice),
        },
    ];
    moved.queue_ms = Some(1500);
    model.update(Update::Entry(Box::new(moved)));
    let mut refused = entry(91, None, 429);
    (refused.outcome, refused.tokens, refused.error_code) =
        ("refused".into(), None, Some("none_serves".into()));
    model.update(Update::Entry(Box::new(refused)));
    let mut left = entry(92, Some("alpha"), 0);
    (left.outcome, left.ttfb_ms) = ("client_left".into(), None);
    model.update(Update::Entry(Box::new(left)));
    model
}

fn drawn(model: &Model, locale: Locale, size: (u16, u16), color: bool) -> Terminal<TestBackend> {
    drawn_to(model, locale, size, color).0
}

/// The same with how far the detail can be scrolled.
fn drawn_to(
    model: &Model,
    locale: Locale,
    (columns, rows): (u16, u16),
    color: bool,
) -> (Terminal<TestBackend>, u16) {
    let messages = Messages::new(locale);
    let view = View {
        messages: &messages,
        look: Look { color, boxes: true, width: Some(usize::from(columns)) },
        now: "2026-11-23T09:00:00Z".parse().unwrap(),
        zone: TimeZone::fixed(jiff::tz::offset(3)),
    };
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let mut bottom = 0;
    terminal.draw(|frame| bottom = draw(frame, model, &view)).unwrap();
    (terminal, bottom)
}

fn screens(model: &Model) -> String {
    [
        ("en, 120", Locale::En, (120, 20)),
        ("ru, 120", Locale::Ru, (120, 20)),
        ("en, 40", Locale::En, (40, 20)),
        ("ru, 40", Locale::Ru, (40, 20)),
    ]
    .map(|(name, locale, size)| format!("== {name}\n{}", drawn(model, locale, size, false).backend()))
    .join("\n")
}

#[test]
fn a_pool_at_work() {
    insta::assert_snapshot!(screens(&at_work()));
}

#[test]
fn before_anything_came() {
    insta::assert_snapshot!(screens(&Model::default()));
}

#[test]
fn paused_filtered_and_typing() {
    let mut model = at_work();
    model.act(Action::Pause);
    model.update(Update::Entry(Box::new(entry(99, Some("alpha"), 200))));
    model.act(Action::NextKey);
    model.act(Action::NextStatuses);
    model.act(Action::Down);
    model.act(Action::Down);
    let kept = screens(&model);
    model.act(Action::Type);
    "нет".chars().for_each(|letter| model.act(Action::Letter(letter)));
    insta::assert_snapshot!(format!("{kept}\n{}", screens(&model)));
}

#[test]
fn a_lost_daemon_is_said() {
    let mut model = at_work();
    model.update(Update::Missed(3));
    let losses = [Lost::NotRunning, Lost::Closed, Lost::Broken("\u{1b}[31mno\r\n".into())];
    let heads = losses.map(|lost| {
        model.update(Update::Lost(lost));
        screens(&model).lines().filter(|line| line.contains('✗')).collect::<Vec<_>>().join("\n")
    });
    insta::assert_snapshot!(heads.join("\n"));
}

#[test]
fn help_and_detail() {
    let mut model = at_work();
    model.act(Action::Help);
    let help = screens(&model);
    model.act(Action::Back);
    for _ in 0..3 {
        model.act(Action::Down);
    }
    model.act(Action::Open);
    let detail = screens(&model);
    model.act(Action::PageDown);
    insta::assert_snapshot!(format!("{help}\n{detail}\n== scrolled\n{}", screens(&model)));
}

#[test]
fn a_detail_is_never_scrolled_past_its_end() {
    let mut model = at_work();
    for _ in 0..3 {
        model.act(Action::Down);
    }
    model.act(Action::Open);
    let shown = |model: &mut Model| {
        let (terminal, bottom) = drawn_to(model, Locale::En, (60, 10), false);
        model.scroll_at_most(bottom);
        terminal.backend().to_string()
    };
    let top = shown(&mut model);
    model.act(Action::Last);
    let end = shown(&mut model);
    assert_ne!(end, top);
    model.act(Action::PageDown);
    assert_eq!(shown(&mut model), end);
    model.act(Action::Up);
    assert_ne!(shown(&mut model), end, "one step back shows at once");
    model.act(Action::First);
    assert_eq!(shown(&mut model), top);
}

#[test]
fn colours_only_where_they_are_wanted() {
    let colored = |color| {
        let terminal = drawn(&at_work(), Locale::En, (120, 20), color);
        terminal.backend().buffer().content().iter().filter(|cell| cell.fg != Color::Reset).count()
    };
    assert_eq!(colored(false), 0);
    assert!(colored(true) > 20);
}

#[test]
fn no_size_is_too_small() {
    let mut model = at_work();
    for step in 0..3 {
        for columns in (1..45).chain([89, 90, 500]) {
            for rows in [1, 2, 3, 4, 5, 8, 40] {
                drawn(&model, Locale::Ru, (columns, rows), true);
            }
        }
        model.act(if step == 0 { Action::Help } else { Action::Open });
    }
}

#[test]
fn labels_and_paths_cannot_steer_the_terminal() {
    let mut model = at_work();
    let mut evil = entry(95, Some("\u{1b}[2Jevil"), 200);
    evil.endpoint = "/\u{1b}]0;title\u{7}".into();
    model.update(Update::Entry(Box::new(evil)));
    let terminal = drawn(&model, Locale::En, (120, 20), true);
    let cells = terminal.backend().buffer().content();
    assert!(cells.iter().all(|cell| !cell.symbol().contains(char::is_control)));
    assert!(terminal.backend().to_string().contains("evil"));
}
